//! A provider's client secret: sealed under its own data key, for the addresses that it may go to.
use super::{ProviderAnswer, ProviderRow};
use crate::app::App;
use crate::clock::Millis;
use crate::error::{Code, Error, Result, invalid};
use crate::model::access::Caller;
use crate::model::connection::{Connection, ConnectionState};
use crate::model::event::{Event, Outcome};
use crate::model::provider::{ClientAuth, Provider};
use crate::ops::org::{about, named};
use crate::ops::{entry, people_only, reach, refusal};
use crate::secret::{Secret, SecretBytes};
use crate::vault::{Context, Vault};
use sha2::{Digest, Sha256};

/// The longest client secret, in bytes.
const MOST: usize = 4096;
/// The field that it is sealed as.
pub const FIELD: &str = "client_secret";

/// The place of a provider's data key and, with its field, of the secret: bound to the addresses it may go to.
pub fn key_context<'a>(instance: &'a str, p: &'a Provider) -> Context<'a> {
    Context {
        instance,
        org: p.org_id.as_str(),
        table: "provider",
        record: p.id.as_str(),
        version: 1,
        field: "",
        scope: "",
        owner: "",
        policy: Sha256::digest(p.endpoints.canonical().as_bytes()).into(),
    }
}

/// The place of a client secret that waits to be proven: another than that of the one in use.
pub fn next_context<'a>(instance: &'a str, p: &'a Provider) -> Context<'a> {
    Context { version: 2, ..key_context(instance, p) }
}

/// Puts a client secret beside the one in use, until a refresh has proven it.
fn stage_into(vault: &Vault, p: &mut Provider, secret: &SecretBytes, now: Millis) -> Result<()> {
    let (wrapped, sealed) = {
        let place = next_context(vault.instance(), p);
        let (key, wrapped) = vault.new_data_key(&place)?;
        (wrapped, secret.expose(|bytes| key.seal(&place.field(FIELD), bytes))?)
    };
    p.next_wrapped_key = wrapped;
    p.next_key_version = vault.active_version(&p.org_id)?;
    p.next_sealed = sealed;
    p.next_set_at = Some(now);
    p.next_refused_at = None;
    Ok(())
}

/// The client secret that waits, opened.
pub(in crate::ops) fn open_next(vault: &Vault, p: &Provider) -> Result<SecretBytes> {
    let place = next_context(vault.instance(), p);
    vault.open_data_key(&place, &p.next_wrapped_key)?.open(&place.field(FIELD), &p.next_sealed)
}

/// What a provider said to the client secret that waits: it takes the other's place, or its refusal is kept.
pub(in crate::ops) async fn prove_next(
    app: &App,
    caller: &Caller,
    p: &Provider,
    is_good: bool,
) -> Result<()> {
    let (id, org, set_at, keys) = (p.id.clone(), p.org_id.clone(), p.next_set_at, app.keys.clone());
    let plain = Caller { idempotency: None, approval: None, ..caller.clone() };
    app.store
        .write(&plain, move |tx| {
            let mut p = tx.provider_named(&org, id.as_str())?;
            // Another one may have been entered meanwhile, which nothing has proven.
            if !p.has_next() || p.next_set_at != set_at {
                return Err(Error::new(Code::Changed, "the client secret was changed meanwhile"));
            }
            let now = tx.now();
            if is_good {
                let vault = keys.vault();
                let secret = open_next(&vault, &p)?;
                seal_into(&vault, &mut p, &secret, now)?;
                p.drop_next();
            } else {
                p.next_refused_at = Some(now);
            }
            tx.save(&mut p)?;
            let outcome = if is_good { Outcome::Ok } else { Outcome::Failed };
            let event = about("prove_client_secret", "provider", p.id.as_str(), &p.name, p.revision);
            tx.record_step(event.ended(outcome, if is_good { "" } else { Code::RefreshRefused.name() }), ())
        })
        .await
}

/// Seals the client secret that a person typed, in the place of any before it. For people only.
pub async fn set_secret(
    app: &App,
    caller: &Caller,
    provider: &str,
    secret: Secret,
) -> Result<ProviderAnswer> {
    seal_secret(app, caller, provider, secret, None).await
}

/// As [`set_secret`], by an entry link, which is used up by it. See [`crate::ops::entry`].
pub(in crate::ops) async fn set_secret_by_link(
    app: &App,
    caller: &Caller,
    provider: &str,
    secret: Secret,
    link: Vec<u8>,
) -> Result<ProviderAnswer> {
    let sealed = seal_secret(app, caller, provider, secret, Some(link)).await;
    if let Err(e) = &sealed {
        refusal::remember(app, caller, Event::of("set_provider_secret"), e).await;
    }
    sealed
}

/// Seals `secret` into the row of its provider.
pub(super) fn seal_into(vault: &Vault, p: &mut Provider, secret: &SecretBytes, now: Millis) -> Result<()> {
    let (wrapped, sealed) = {
        let place = key_context(vault.instance(), p);
        let (key, wrapped) = vault.new_data_key(&place)?;
        (wrapped, secret.expose(|bytes| key.seal(&place.field(FIELD), bytes))?)
    };
    p.wrapped_key = wrapped;
    p.key_version = vault.active_version(&p.org_id)?;
    p.sealed_secret = sealed;
    p.secret_set_at = Some(now);
    Ok(())
}

async fn seal_secret(
    app: &App,
    caller: &Caller,
    provider: &str,
    secret: Secret,
    link: Option<Vec<u8>>,
) -> Result<ProviderAnswer> {
    people_only(caller)?;
    let secret = secret.into_bytes();
    if !(1..=MOST).contains(&secret.size_bytes()) {
        return Err(invalid("a client secret is neither empty nor longer than 4 KiB"));
    }
    let (asking, wanted, keys) = (caller.clone(), named(provider)?, app.keys.clone());
    app.store
        .write(caller, move |tx| {
            reach::admin(tx, &asking)?;
            let mut p = tx.provider_named(&asking.org, &wanted)?;
            let link = link.map(|hash| entry::consume(tx, &asking, &hash)).transpose()?;
            if let Some(link) = &link {
                entry::expect_same(link, &entry::secret_policy(&p))?;
            }
            if p.client_auth == ClientAuth::None {
                return Err(Error::new(
                    Code::PolicyForbids,
                    format!("{} is a public client, which has no secret", p.name),
                )
                .next("Change its client_auth with update_oauth_provider first."));
            }
            let replaced = p.has_secret();
            let now = tx.now();
            // With connections that live by the one in use, the new one is proven by a refresh before the old is dropped.
            let is_used = |c: &Connection| c.state == ConnectionState::Connected && c.renews();
            let waits = replaced && tx.connections_of_provider(&p.org_id, &p.id)?.iter().any(is_used);
            match waits {
                true => stage_into(&keys.vault(), &mut p, &secret, now)?,
                false => {
                    seal_into(&keys.vault(), &mut p, &secret, now)?;
                    p.drop_next();
                }
            }
            p.updated_at = now;
            tx.save(&mut p)?;
            // Whose refresh was refused for the old one need not wait any longer.
            for mut connection in tx.connections_of_provider(&p.org_id, &p.id)? {
                if connection.next_try_at.is_some() && connection.state == ConnectionState::Connected {
                    connection.next_try_at = None;
                    connection.refresh_due_at = Some(now);
                    tx.save(&mut connection)?;
                }
            }
            let event = about("set_provider_secret", "provider", p.id.as_str(), &p.name, p.revision)
                .with("replaced", replaced)
                .with("waits", waits)
                .with("link", link.map(|link| link.id.0));
            let next = super::next_steps(&p);
            tx.record(
                event,
                ProviderAnswer {
                    provider: ProviderRow::of(&p, true),
                    warnings: match waits {
                        true => vec![
                            "It takes the place of the one in use as soon as a refresh has proven it; until then both are kept. \
                             Keep the old one valid at the service until then."
                                .into(),
                        ],
                        false => Vec::new(),
                    },
                    next,
                    entry: None,
                },
            )
        })
        .await
}
