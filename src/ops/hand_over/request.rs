//! Handing one bound credential to the broker, for one request.
use super::wish::Wish;
use super::{Chosen, choose, remember};
use crate::app::App;
use crate::error::{Code, Error, Result, invalid};
use crate::ids::{ConsumerId, CredentialId};
use crate::model::access::Caller;
use crate::model::consumer::{Binding, Consumer};
use crate::model::credential::{Credential, Source};
use crate::model::event::Event;
use crate::model::text::shown;
use crate::ops::canary;
use crate::ops::connection::{Wanted, ensure_fresh, policy, provider_of};
use crate::ops::consumer::run_by;
use crate::ops::credential::probe::subject;
use crate::ops::echo::expect_kept;
use crate::ops::rotation::is_awaited;
use crate::secret::SecretBytes;
use crate::services::probe::{Field, Subject};
use crate::services::{Catalogue, fill};
use crate::store::Reader;
use std::collections::BTreeMap;
use url::Url;

/// What a request would be given, before anything is decided or recorded.
pub struct Meant {
    pub consumer: Consumer,
    pub binding: Binding,
    pub credential: Credential,
    /// Which tokens of a connection these are.
    pub generation: i64,
    is_stale: bool,
}

/// What the credential says of where its service is, for the parameters of the service's address.
#[derive(Debug, Default)]
pub struct Stated {
    pub params: BTreeMap<String, String>,
    by: By,
}

/// Who says where.
#[derive(Clone, Copy, Debug, Default)]
enum By {
    /// The manifest alone.
    #[default]
    Nobody,
    /// This version, in its own fields.
    Version(i64),
    /// The provider of the connection.
    Provider,
}

/// Which credential the caller's consumer adds for `service`.
///
/// `name`: the consumer as the request names it. Fails with `consumer_not_found` where that is another than the caller
/// is, with `unresolved` where nothing that is bound to the broker is of this service, and as a hand-over does for what
/// is expired or disconnected.
pub async fn meant(app: &App, caller: &Caller, name: &str, service: &str) -> Result<Meant> {
    let (asking, name, service) = (caller.clone(), name.to_owned(), service.to_owned());
    let fresh_ms = app.config.file.oauth.fresh_ms();
    app.store.read_here(move |tx| meant_now(tx, &asking, &name, &service, fresh_ms)).await
}

/// As [`meant`], in this transaction. `fresh_ms`: how much of its life a connection's token must have left.
pub fn meant_now(
    tx: &Reader<'_>,
    caller: &Caller,
    name: &str,
    service: &str,
    fresh_ms: i64,
) -> Result<Meant> {
    let who = tx.standing(caller)?;
    let c = run_by(tx, caller, &who, &caller.consumer)?;
    if c.name_key != name.to_ascii_lowercase() && c.id.as_str() != name {
        return Err(Error::new(Code::ConsumerNotFound, "this token is of another consumer"));
    }
    for b in tx.bindings(&caller.org, &c.id)? {
        if !b.is_brokered() || b.service != service {
            continue;
        }
        let wish = Wish::bound(c.clone(), b.clone());
        let mut found = wish.look(tx, caller, &who)?;
        let Some(winner) = found.resolved.winner else { return Err(wish.problem(&found)) };
        let credential = found.candidates.swap_remove(winner);
        expect_of_service(&credential, &b)?;
        let connection = match credential.source {
            Source::OAuth => tx.connection(&credential.org_id, &credential.id)?,
            Source::Manual => None,
        };
        let is_stale = connection.as_ref().is_some_and(|c| !c.is_fresh(tx.now(), fresh_ms));
        let generation = connection.map_or(0, |c| c.generation);
        return Ok(Meant { consumer: c, binding: b, credential, generation, is_stale });
    }
    Err(Error::new(
        Code::Unresolved,
        format!("{} is bound to nothing that the broker adds for {}", c.name, shown(service)),
    )
    .next("Bind a credential of that service with delivery header: `unsaid consumer bind`."))
}

/// Where the service of `meant` is, as far as its credential says: in the plain fields of its value, or by what a person
/// agreed to for its provider. Nothing of it is a secret, so this is no use of the credential.
///
/// `needs`: the parameters of the service's address. Fails with `reauth_required` where the provider's addresses have been
/// changed since the tokens were got, for they go nowhere else; with `invalid_input` where those addresses are not the
/// ones that its parameters make, and where a field that should say where is a secret.
pub async fn stated(app: &App, caller: &Caller, meant: &Meant, needs: &[&str]) -> Result<Stated> {
    let (c, service) = (meant.credential.clone(), meant.binding.service.clone());
    if c.source == Source::OAuth {
        let catalogue = app.catalogue;
        let params = app.store.read_here(move |tx| provider_params(tx, catalogue, &c, &service)).await?;
        return Ok(Stated { params, by: By::Provider });
    }
    let (org, id) = (caller.org.clone(), c.id.clone());
    let found = app
        .store
        .read_here(move |tx| {
            let c = tx.find_credential(&org, &id)?.ok_or_else(replaced)?;
            let Some(version) = tx.current_version(&c)? else { return Ok(None) };
            let plain = c.field_specs().into_iter().filter(|spec| !spec.secret).map(|spec| spec.name);
            let plain: Vec<_> = plain.collect();
            let mut fields = tx.fields(&version.id)?;
            // What was entered as a secret stays one, whatever it is called by now.
            fields.retain(|f| !f.is_secret && plain.contains(&f.name));
            Ok(Some((c, version, fields)))
        })
        .await?;
    // That there is none is for the hand-over to say; one that comes until then has not been asked where it goes.
    let Some((c, version, fields)) = found else {
        return Ok(Stated { params: BTreeMap::new(), by: By::Version(0) });
    };
    let mut seen = subject(app, &c, &version, fields)?;
    let opened: Vec<_> = seen.fields.iter().map(|field| field.name.clone()).collect();
    // The others by their names alone: a field that is kept as a secret is not overlooked for it.
    let names = c.field_specs().into_iter().map(|spec| spec.name).filter(|name| !opened.contains(name));
    seen.fields.extend(names.map(|name| Field {
        name,
        value: SecretBytes::new(Vec::new()),
        is_secret: true,
    }));
    let mut params = BTreeMap::new();
    for need in needs {
        let Some(field) = seen.field(need) else { continue };
        let text = seen.part(need).filter(|_| !field.is_secret).ok_or_else(|| {
            invalid(format!("{} of {} says where it is sent, and is kept as a secret", field.name, c.name))
                .next("Make it anew with that field plain: an address is no secret, and nothing secret names one.")
        })?;
        params.insert((*need).to_owned(), text.trim().to_owned());
    }
    Ok(Stated { params, by: By::Version(version.number) })
}

/// What a person agreed to for the provider of a connection, where it is one of `service` and all of its addresses are
/// those that its parameters make: what else it says of itself decided nothing that anybody was shown.
fn provider_params(
    tx: &Reader<'_>,
    catalogue: &Catalogue,
    c: &Credential,
    service: &str,
) -> Result<BTreeMap<String, String>> {
    let provider = provider_of(tx, c)?;
    let is_same = tx.connection(&c.org_id, &c.id)?.is_some_and(|found| found.policy == policy(&provider));
    if !is_same {
        return Err(Error::new(
            Code::ReauthRequired,
            format!("the addresses of {} were changed since {} was connected", provider.name, c.name),
        )
        .next(format!("Connect it anew: `unsaid connect {}`.", c.name)));
    }
    let params: BTreeMap<_, _> = provider.params.iter().cloned().collect();
    let mut all = params.clone();
    all.insert("client_id".into(), provider.client_id.clone());
    let makes = |template: &str, address: &str| {
        let made = fill(template, &all).ok().and_then(|made| Url::parse(&made).ok());
        made.is_some_and(|made| made.as_str() == address)
    };
    let manifest = catalogue.service(service)?;
    let is_made = provider.service == service
        && provider.is_preset
        && manifest.oauth.as_ref().is_some_and(|preset| {
            makes(&preset.authorization_url, &provider.endpoints.authorization_url)
                && makes(&preset.token_url, &provider.endpoints.token_url)
        });
    match is_made {
        true => Ok(params),
        false => Err(invalid(format!(
            "the addresses of {} are its own, and do not say where {} is reached",
            provider.name, manifest.name
        ))
        .next("Set the provider up by the service and its params alone, or bind with delivery env.")),
    }
}

fn replaced() -> Error {
    Error::new(Code::Changed, "the value was replaced while the request was read").next("Ask again.")
}

/// What one request is given, on record already.
pub struct Opened {
    pub value: Subject,
    pub version: i64,
    /// A rotation waits to hear how this version does.
    pub is_awaited: bool,
}

/// Records the use and commits it, then opens the value.
///
/// `operation`: method and path template; `host`: where it goes, by what `stated` says. Fails with `changed_meanwhile`
/// where the binding means another credential by now, or the value is another than the one that said where it goes, and
/// with `credential_suspended` where the service has sent it back too often.
pub async fn open_for_request(
    app: &App,
    caller: &Caller,
    meant: &Meant,
    stated: &Stated,
    operation: String,
    host: String,
) -> Result<Opened> {
    if meant.is_stale {
        let id = &meant.credential.id;
        if let Err(e) = ensure_fresh(app, caller, &caller.org, id, Wanted::ForUse).await {
            remember(app, caller, used(&meant.credential, &meant.binding, &operation, &host), &e).await;
            return Err(e);
        }
    }
    let (asking, consumer, agreed, expected) =
        (caller.clone(), meant.consumer.id.clone(), meant.binding.clone(), meant.credential.id.clone());
    let (told_operation, told_host, said_by) = (operation.clone(), host.clone(), stated.by);
    let (said, catalogue) = (stated.params.clone(), app.catalogue);
    let file = app.config.file.clone();
    let chosen = app
        .store
        .write(caller, move |tx| {
            let chosen = again(tx, &asking, &consumer, &agreed, &expected)?;
            let is_as_said = match said_by {
                By::Nobody => true,
                By::Version(number) => number == chosen.version.number,
                By::Provider => provider_params(tx, catalogue, &chosen.credential, &agreed.service)? == said,
            };
            if !is_as_said {
                return Err(replaced());
            }
            expect_kept(tx, &chosen.credential, &agreed.service)?;
            tx.count_use(&chosen.credential.id, true)?;
            let alarm = canary::watch(tx, &asking, &chosen.credential, ("broker", &told_host), &file)?;
            let binding =
                chosen.binding.as_ref().ok_or_else(|| crate::error::internal("a bound use has a binding"))?;
            let mut event = used(&chosen.credential, binding, &told_operation, &told_host);
            event.object.version = Some(chosen.version.number);
            let is_awaited = is_awaited(tx, &asking.org, &chosen.credential.id, chosen.version.number)?;
            tx.record_step(event, (chosen, alarm, is_awaited))
        })
        .await;
    let failed = used(&meant.credential, &meant.binding, &operation, &host);
    let (mut chosen, alarm, is_awaited) = match chosen {
        Ok(chosen) => chosen,
        Err(e) => {
            remember(app, caller, failed, &e).await;
            return Err(e);
        }
    };
    alarm.iter().for_each(|alarm| canary::alert(app, alarm));
    let sealed = std::mem::take(&mut chosen.fields);
    match subject(app, &chosen.credential, &chosen.version, sealed) {
        Ok(value) => Ok(Opened { value, version: chosen.version.number, is_awaited }),
        Err(e) => {
            remember(app, caller, failed, &e).await;
            Err(e)
        }
    }
}

fn used(c: &Credential, b: &Binding, operation: &str, host: &str) -> Event {
    Event::of("use").on(c).with("operation", operation).with("host", host).with("binding", b.variable.clone())
}

/// The same binding, as it is in this transaction.
fn again(
    tx: &Reader<'_>,
    caller: &Caller,
    consumer: &ConsumerId,
    agreed: &Binding,
    expected: &CredentialId,
) -> Result<Chosen> {
    let changed = || Error::new(Code::Changed, "the binding was changed while the request was read");
    let who = tx.standing(caller)?;
    let c = run_by(tx, caller, &who, consumer.as_str())?;
    let b = tx.bindings(&caller.org, consumer)?.into_iter().find(|b| b == agreed).ok_or_else(changed)?;
    let chosen = choose(tx, caller, &who, Wish::bound(c, b))?.ok_or_else(changed)?;
    if let Some(b) = &chosen.binding {
        expect_of_service(&chosen.credential, b)?;
    }
    if chosen.credential.id == *expected { Ok(chosen) } else { Err(changed()) }
}

/// A credential goes to the service that a person agreed to. What somebody calls it later does not send it elsewhere.
pub(super) fn expect_of_service(c: &Credential, b: &Binding) -> Result<()> {
    match c.service.is_empty() || c.service == b.service {
        true => Ok(()),
        false => Err(Error::new(
            Code::NotAllowed,
            format!("{} is of {}, and {} is bound for {}", c.name, c.service, b.variable, b.service),
        )
        .next("Bind it anew for its own service: `unsaid consumer bind`.")),
    }
}
