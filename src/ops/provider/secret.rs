//! A provider's client secret: sealed under its own data key, for the addresses that it may go to.
use super::{ProviderAnswer, ProviderRow};
use crate::app::App;
use crate::clock::Millis;
use crate::error::{Code, Error, Result, invalid};
use crate::model::access::Caller;
use crate::model::event::Event;
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
            seal_into(&keys.vault(), &mut p, &secret, now)?;
            p.updated_at = now;
            tx.save(&mut p)?;
            let event = about("set_provider_secret", "provider", p.id.as_str(), &p.name, p.revision)
                .with("replaced", replaced)
                .with("link", link.map(|link| link.id.0));
            let next = super::next_steps(&p);
            tx.record(
                event,
                ProviderAnswer {
                    provider: ProviderRow::of(&p, true),
                    warnings: Vec::new(),
                    next,
                    entry: None,
                },
            )
        })
        .await
}
