//! Connections: what a person granted through a provider, kept so that it is never lost and always fresh.
//!
//! The tokens are a version of the credential, sealed as every value is: the access token is its `value`, which is handed
//! over, the refresh token a field beside it, which never is. The connection's own row says where they stand.
mod attempt;
mod begin;
mod callback;
mod conclude;
mod connect;
mod consent;
mod device;
mod disconnect;
mod due;
mod hold;
mod refresh;
mod renew;
mod revoke;
mod save;
mod test;
#[cfg(test)]
mod tests;
mod who;
mod without;

pub(in crate::ops) use begin::host;
pub use begin::{Begun, Started, begin, begin_by_link, consent_address, peek, start};
pub use callback::{Came, Finished, finish, finish_pasted};
pub use conclude::{accept_other, accept_other_by_browser, found};
pub use connect::{ConnectCredential, Connecting};
pub(in crate::ops) use consent::end_of_link;
pub use consent::{key_context as consent_context, state_of};
pub use device::{DeviceBegun, begin_device, begin_device_by_link, poll_device};
pub use disconnect::{DisconnectCredential, Disconnected};
pub use due::{Pace, keep_fresh, pass};
pub use refresh::{Wanted, ensure_fresh};
pub use renew::{RefreshCredential, Refreshed};
pub use save::{ACCESS, REFRESH, forget_all};
pub(in crate::ops) use test::{ask, test};
pub use without::adopt;

use crate::app::App;
use crate::error::{Code, Error, Result, internal};
use crate::model::access::Caller;
use crate::model::credential::{Credential, Source};
use crate::model::provider::{ClientAuth, Provider};
use crate::oauth::{Client, Quirks};
use crate::ops::provider::{SECRET_FIELD, key_context};
use crate::secret::SecretBytes;
use crate::services::OauthPreset;
use crate::store::Reader;
use sha2::{Digest, Sha256};
use url::Url;

/// The client and the addresses that tokens were got with; SHA-256. They go nowhere else.
pub fn policy(p: &Provider) -> Vec<u8> {
    let mut hash = Sha256::new();
    for part in [p.id.as_str(), &p.client_id, &p.endpoints.canonical()] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().to_vec()
}

/// The provider that `c` is bound to.
pub(in crate::ops) fn provider_of(tx: &Reader<'_>, c: &Credential) -> Result<Provider> {
    match (&c.provider_id, c.source) {
        (Some(id), Source::OAuth) => tx.provider_named(&c.org_id, id.as_str()),
        _ => Err(crate::error::invalid(format!("{} is no connection: its value is entered", c.name))
            .next(format!("Ask the person to run `{}`.", c.set_command()))),
    }
}

/// What the catalogue says of the provider's service.
fn preset(app: &App, p: &Provider) -> Option<OauthPreset> {
    app.catalogue.find_service(&p.service).and_then(|service| service.oauth.clone())
}

fn quirks(app: &App, p: &Provider) -> Quirks {
    Quirks::of(preset(app, p).as_ref())
}

fn address(url: &str) -> Result<Url> {
    Url::parse(url).map_err(|_| internal("a stored address is none"))
}

/// The client with its secret, for requests to the provider's own addresses.
///
/// Fails with `value_missing` where the client must have a secret and has none.
fn client(app: &App, p: &Provider) -> Result<Client> {
    Ok(Client { id: p.client_id.clone(), auth: p.client_auth, secret: secret(app, p)? })
}

/// The client by each secret that may be the right one, and whether that one waits to be proven: a refresh tries that first.
fn clients(app: &App, p: &Provider) -> Result<Vec<(Client, bool)>> {
    let mut all = vec![(client(app, p)?, false)];
    if p.has_next() && p.next_refused_at.is_none() {
        let next = crate::ops::provider::open_next(&app.vault(), p)?;
        let next = (Client { id: p.client_id.clone(), auth: p.client_auth, secret: Some(next) }, true);
        all.insert(0, next);
    }
    Ok(all)
}

fn secret(app: &App, p: &Provider) -> Result<Option<SecretBytes>> {
    match (p.client_auth, p.has_secret()) {
        (ClientAuth::None, _) => Ok(None),
        (_, true) => {
            let vault = app.vault();
            let place = key_context(vault.instance(), p);
            let key = vault.open_data_key(&place, &p.wrapped_key)?;
            Ok(Some(key.open(&place.field(SECRET_FIELD), &p.sealed_secret)?))
        }
        (_, false) => Err(no_secret(p)),
    }
}

fn no_secret(p: &Provider) -> Error {
    Error::new(Code::ValueMissing, format!("the OAuth provider {} has no client secret", p.name)).next(
        format!("Ask an admin to enter it: `unsaid provider secret {}`, or on the server's page.", p.name),
    )
}

/// The caller for what happens without anybody asking: in the name of who connected it.
fn system(c: &crate::model::connection::Connection) -> Caller {
    Caller::new(c.org_id.clone(), c.connected_by.clone(), crate::model::access::Door::System)
}

/// A random byte, for jitter.
fn dice() -> u8 {
    let mut byte = [0u8; 1];
    // Without it everything still works, only less spread out.
    let _ = getrandom::fill(&mut byte);
    byte[0]
}
