//! The broker's doorkeeper: who asks, which credential their consumer is bound to, and the use on record before it
//! leaves.
//!
//! A request names a consumer and a service. Where it goes is the catalogue's, how it is signed too; what it may do is
//! the binding's.
mod lift;
mod rate;
#[cfg(test)]
mod tests;

pub use lift::{LiftSuspension, Lifted};
pub use rate::Rate;

use super::echo;
use super::hand_over::{Meant, Opened, Stated, meant, meant_now, open_for_request, stated};
use super::token::{Known, Shown, settle};
use crate::app::App;
use crate::error::{Code, Error, Result, internal, invalid};
use crate::inject::broker::{Asked, Doorkeeper, Ended, Given, Limits, Outcome, Passage, Route, Way};
use crate::model::access::{Caller, Door};
use crate::model::credential::{CredentialType, Source};
use crate::model::event::{self, Event};
use crate::model::suspicion::Kind;
use crate::model::text::may_be_a_value;
use crate::model::token::Purpose;
use crate::ops::connection::{Wanted, ensure_fresh};
use crate::ops::refusal::remember;
use crate::ops::rotation::heard_by_broker;
use crate::secret::SecretBytes;
use crate::services::probe::{Subject, field_for};
use crate::services::{PathPattern, Placement, Service};
use futures_util::future::BoxFuture;
use std::sync::Arc;
use tokio_util::task::TaskTracker;
use zeroize::Zeroizing;

/// Gives the open vault; a server opens it when it is first asked for.
pub type Vaults = Arc<dyn Fn() -> BoxFuture<'static, Result<Arc<App>>> + Send + Sync>;

/// Whose requests are let through.
pub enum Let {
    /// Whoever shows a consumer's token.
    Tokens,
    /// The one program that was given this token, which lives as long as we do; as this caller, a consumer.
    One { token: SecretBytes, caller: Box<Caller> },
}

/// See [`Doorkeeper`].
pub struct Keeper {
    pub vaults: Vaults,
    pub lets: Let,
    pub rate: Rate,
    /// Ends of uses that are on their way into the log: waited for before the program ends.
    pub endings: TaskTracker,
}

/// One use, until it has ended.
pub struct Used {
    app: Arc<App>,
    caller: Caller,
    meant: Meant,
    operation: String,
    version: i64,
    /// A rotation waits to hear how it went.
    is_awaited: bool,
    /// It is a second attempt already.
    is_renewed: bool,
}

impl Keeper {
    /// Who asks, and which credential is meant for them: both as of one moment.
    async fn asked(&self, app: &App, asked: &Asked<'_>) -> Result<(Caller, Result<Meant>)> {
        let (name, service) = (asked.consumer().to_owned(), asked.service().to_owned());
        let fresh_ms = app.config.file.oauth.fresh_ms();
        match &self.lets {
            Let::Tokens => {
                let shown = asked.token.expose(|bytes| std::str::from_utf8(bytes).ok().map(Shown::new));
                let none = || Error::new(Code::TokenInvalid, "the token is not valid");
                let shown = shown.ok_or_else(none)??;
                let looked = app.store.read_here(move |tx| {
                    let known = Known::of(tx, &shown, Purpose::Consumer)?;
                    let caller = known.as_ref().filter(|known| known.is_good()).map(|k| k.caller(Door::Http));
                    let meant = caller.map(|caller| meant_now(tx, &caller, &name, &service, fresh_ms));
                    Ok((known, meant))
                });
                let (known, meant) = looked.await?;
                let caller = settle(app, known, Purpose::Consumer, Door::Http).await?.caller;
                let meant = meant.ok_or_else(|| internal("a token is good and was not looked at"))?;
                Ok((caller, meant))
            }
            Let::One { token: ours, caller } if ours == asked.token => {
                // One request, one id in the log.
                let caller = Caller { request: crate::ids::fresh(), ..(**caller).clone() };
                let meant = meant(app, &caller, &name, &service).await;
                Ok((caller, meant))
            }
            Let::One { .. } => {
                Err(Error::new(Code::TokenInvalid, "the token is not the one of this program"))
            }
        }
    }
}

/// Where requests for a service go, and how they are signed.
struct Destination {
    route: Arc<Route>,
    placement: Placement,
    stated: Stated,
}

/// By the service of the catalogue; the parameters of its address by the credential.
async fn destination(app: &App, caller: &Caller, meant: &Meant) -> Result<Destination> {
    let c = &meant.credential;
    // The binding's, which a person agreed to; never what the credential says of itself.
    let service: Arc<Service> = app.catalogue.service(&meant.binding.service)?;
    let preset = service.broker().ok_or_else(|| {
        invalid(format!("the catalogue does not say how {} takes its credential in a request", service.name))
            .next("Bind it with delivery env instead, or describe the service in a manifest of your own.")
    })?;
    let needs = preset.needs();
    let stated =
        if needs.is_empty() { Stated::default() } else { stated(app, caller, meant, &needs).await? };
    let base = service.broker_base(&preset, &stated.params).map_err(|e| {
        let names: Vec<_> = needs.iter().map(|name| field_for(name)).collect();
        e.next(format!(
            "Say where your {} is: with plain fields ({}) beside the key, in a credential of type custom.",
            service.name,
            names.join(", ")
        ))
    })?;
    // What the token endpoint gave is a bearer token, however the service's keys are sent (RFC 6750).
    let placement = match c.source {
        Source::OAuth => Placement::bearer(),
        Source::Manual => preset.placement,
    };
    Ok(Destination { route: Arc::new(Route::new(base, preset.paths)?), placement, stated })
}

/// The fields of an opened credential as the texts of `placement` name them, and those that no text names, for they are
/// looked for in answers too.
///
/// A user name is kept as a secret. Services tell it to whoever asks who they are, so it is not looked for where it is
/// plainly no more than that.
fn given(app: &App, subject: Subject, placement: &Placement, label: &str) -> Vec<Given> {
    let texts = placement.names();
    let named: Vec<_> =
        subject.meant_by(&texts).into_iter().map(|(name, at)| (name.to_owned(), at)).collect();
    let is_basic = subject.kind == CredentialType::Basic;
    let mut values = Vec::new();
    for (at, field) in subject.fields.into_iter().enumerate() {
        let names: Vec<_> = named.iter().filter(|(_, of)| *of == at).map(|(name, _)| name.clone()).collect();
        let is_user = is_basic && field.name == "username" && !names.is_empty();
        let is_secret = field.is_secret && !(is_user && is_mere_name(app, &field.value, &names));
        let given = |name: String, value| Given { field: name, label: label.to_owned(), value, is_secret };
        values.extend(
            names.iter().skip(1).map(|name| given(name.clone(), field.value.expose(SecretBytes::copied))),
        );
        // Under no name that a text could have, where none means it.
        values.push(given(names.into_iter().next().unwrap_or_default(), field.value));
    }
    values
}

/// Whether a user name is nothing but one: by its shape in the catalogue, or because nothing about it is like a secret.
/// What the service itself calls a key is none.
fn is_mere_name(app: &App, value: &SecretBytes, names: &[String]) -> bool {
    let text = value
        .expose(|bytes| std::str::from_utf8(bytes).ok().map(|text| Zeroizing::new(text.trim().to_owned())));
    let Some(text) = text.filter(|_| !names.iter().any(|name| name.contains("key") || name == "token"))
    else {
        return false;
    };
    let found = app.catalogue.recognise(&text);
    match found.is_empty() {
        true => app.detector.check_text(&text, Kind::FreeText).is_none() && !may_be_a_value(&text),
        false => found.iter().all(|found| found.public),
    }
}

fn limits(meant: &Meant) -> Result<Limits> {
    let b = &meant.binding;
    let method = |m: &String| {
        http::Method::from_bytes(m.as_bytes()).map_err(|_| crate::error::internal("a stored method is none"))
    };
    Ok(Limits {
        methods: b.methods.iter().map(method).collect::<Result<_>>()?,
        paths: b.paths.iter().map(|p| PathPattern::parse(p)).collect::<Result<_>>()?,
        cookies: false,
    })
}

/// Records the use, opens the value, and lets the request through.
async fn pass(
    app: Arc<App>,
    caller: Caller,
    meant: Meant,
    operation: String,
    way: Way,
    (placement, stated): (Placement, Stated),
    is_renewed: bool,
) -> Result<Passage<Used>> {
    let host = way.host().to_owned();
    let Opened { value, version, is_awaited } =
        open_for_request(&app, &caller, &meant, &stated, operation.clone(), host).await?;
    let values = given(&app, value, &placement, &meant.credential.name);
    let is_renewable = meant.credential.source == Source::OAuth && !is_renewed;
    let used = Used { app, caller, meant, operation, version, is_awaited, is_renewed };
    Ok(Passage { way, placement, values, is_renewable, used })
}

impl Keeper {
    /// Whether the service takes a value is what a rotation waits to hear.
    fn tell_rotation(&self, used: &Used, ended: &Ended) {
        let is_good = match (&ended.outcome, ended.status) {
            (Outcome::Answered, Some(200..=299)) => true,
            // 403 says that it may not do this, and so that it is known.
            (Outcome::Answered | Outcome::Aborted, Some(401)) => false,
            _ => return,
        };
        if !used.is_awaited {
            return;
        }
        let (app, caller, version) = (used.app.clone(), used.caller.clone(), used.version);
        let (credential, consumer) = (used.meant.credential.id.clone(), used.meant.consumer.id.clone());
        self.endings.spawn(async move {
            let heard = heard_by_broker(&app, &caller, &credential, &consumer, (version, is_good));
            if let Err(e) = heard.await {
                tracing::error!(code = e.code.name(), "what a rotation waits for could not be recorded");
            }
        });
    }
}

impl Doorkeeper for Keeper {
    type Use = Used;

    async fn admit(&self, asked: &Asked<'_>) -> Result<Passage<Used>> {
        let app = (self.vaults)().await?;
        let (caller, meant) = self.asked(&app, asked).await?;
        let decided = async {
            let meant = meant?;
            let to = destination(&app, &caller, &meant).await?;
            let operation = asked.operation(&to.route);
            let way = asked.way(&to.route, &Arc::new(limits(&meant)?))?;
            Ok::<_, Error>((meant, operation, way, (to.placement, to.stated)))
        };
        match decided.await {
            Ok((meant, operation, way, to)) => {
                if let Err(e) = self.rate.count(&meant.credential) {
                    if self.rate.is_news(&meant.credential, &caller.consumer) {
                        let event = Event::of("use")
                            .on(&meant.credential)
                            .with("operation", operation)
                            .with("host", way.host())
                            .with("binding", meant.binding.variable.clone());
                        remember(&app, &caller, event, &e).await;
                    }
                    return Err(e);
                }
                pass(app, caller, meant, operation, way, to, false).await
            }
            Err(e) => {
                // Every refusal of somebody we know leaves its event; nothing of the request but its service is in it.
                let event = Event::of("use").with("service", asked.service().to_owned());
                remember(&app, &caller, event, &e).await;
                Err(e)
            }
        }
    }

    async fn renew(&self, used: &Used, way: &Way) -> Result<Option<Passage<Used>>> {
        if used.is_renewed || used.meant.credential.source != Source::OAuth {
            return Ok(None);
        }
        let (app, c) = (used.app.clone(), &used.meant.credential);
        ensure_fresh(&app, &used.caller, &c.org_id, &c.id, Wanted::Instead(used.meant.generation)).await?;
        let consumer = used.meant.consumer.id.0.clone();
        let meant = meant(&app, &used.caller, &consumer, &used.meant.binding.service).await?;
        if meant.binding != used.meant.binding {
            // What was let through was let through by the other one.
            return Ok(None);
        }
        let to = destination(&app, &used.caller, &meant).await?;
        if !way.goes_to(&to.route) {
            // It leads elsewhere since, and this way was looked at for where it led.
            return Ok(None);
        }
        let (caller, to) = (used.caller.clone(), (to.placement, to.stated));
        pass(app, caller, meant, used.operation.clone(), way.clone(), to, true).await.map(Some)
    }

    /// A use that failed is told; one that went well is on record already.
    fn ended(&self, used: &Used, ended: Ended) {
        self.tell_rotation(used, &ended);
        let (why, is_failure) = match (ended.outcome, ended.status) {
            (Outcome::Failed(why), _) => (why, true),
            (Outcome::Answered | Outcome::Aborted, Some(401 | 403)) => ("the service refused it", true),
            _ if ended.was_echoed => ("the service sent the credential back, and it was masked", false),
            _ => return,
        };
        let outcome = if is_failure { event::Outcome::Failed } else { event::Outcome::Ok };
        let mut event = Event::of("use")
            .on(&used.meant.credential)
            .ended(outcome, "")
            .with("operation", used.operation.clone())
            .with("binding", used.meant.binding.variable.clone())
            .with("ended", why);
        event.object.version = Some(used.version);
        if let Some(status) = ended.status {
            event = event.with("status", i64::from(status));
        }
        if ended.was_echoed {
            event = event.with("echoed", true);
        }
        let (app, caller, id) = (used.app.clone(), used.caller.clone(), used.meant.credential.id.clone());
        let (service, version) = (used.meant.binding.service.clone(), used.version);
        self.endings.spawn(async move {
            let org = caller.org.clone();
            let noted = app.store.write(&caller, move |tx| {
                if is_failure {
                    tx.count_use(&id, false)?;
                }
                if ended.was_echoed && echo::count(tx, &org, &id, version, &service)? {
                    event = event.with("suspended_for", service);
                }
                tx.record_step(event, ())
            });
            if let Err(e) = noted.await {
                tracing::error!(code = e.code.name(), "the end of a use could not be recorded");
            }
        });
    }
}
