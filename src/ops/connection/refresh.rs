//! One refresh at a time, over all tasks and processes that share the store, and no grant lost to a race.
//!
//! The order that makes it so: claim the connection in a transaction (a lease, fenced by the generation of its tokens), which
//! also records the intent; ask the provider, with a deadline that is far shorter than the lease; keep what came in one
//! transaction that holds only if the claim still does. Nobody uses an access token whose refresh token is not on disk.
use super::attempt::attempt;
use super::save;
use super::{dice, policy, provider_of};
use crate::app::App;
use crate::clock::Millis;
use crate::error::{Code, Error, Result};
use crate::ids::{self, CredentialId, OrgId};
use crate::model::Word;
use crate::model::access::Caller;
use crate::model::connection::{Connection, ConnectionState, LEASE_MS};
use crate::model::credential::Credential;
use crate::model::event::{Event, Outcome};
use crate::model::provider::Provider;
use crate::model::status::StatusReason;
use crate::secret::SecretBytes;
use crate::store::Reader;
use std::time::Duration;

/// How long somebody waits for another's refresh, and looks again.
const PATIENCE_MS: i64 = LEASE_MS + 5_000;

/// Why a refresh is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The token is about to be used: refresh where it has too little left.
    ForUse,
    /// It is due, or somebody asked for it: refresh unless these tokens (a generation) have been replaced already.
    Instead(i64),
}

/// What was found when the store was looked at.
enum Seen {
    /// Nothing is to be done.
    Fresh,
    /// Another task or process is at it.
    Claimed,
    /// It failed a moment ago: not before then. The access token lives, or does not.
    NotBefore {
        at: Millis,
        is_alive: bool,
        /// Our client was refused.
        is_refused: bool,
        why: String,
    },
    Due {
        generation: i64,
    },
}

/// A claim on the refresh of one generation of tokens.
pub(super) struct Claim {
    pub owner: String,
    pub generation: i64,
    /// A refresh of this very generation was begun before, and nobody knows what came of it.
    pub is_retry: bool,
    pub credential: Credential,
    pub connection: Connection,
    pub provider: Provider,
    pub token: Option<SecretBytes>,
}

/// How one attempt ended.
pub(super) enum Attempt {
    Done,
    /// Somebody else was faster; look again.
    Again,
}

/// Makes sure that the tokens of this connection are good to be used.
///
/// Fails with `reauth_required` where a person has to connect it (again), `refresh_refused` where the provider does not
/// know our client any more, and `refresh_unreachable` where it could not be asked and the token has ended.
pub async fn ensure_fresh(
    app: &App,
    caller: &Caller,
    org: &OrgId,
    credential: &CredentialId,
    wanted: Wanted,
) -> Result<()> {
    let begun = app.now();
    let mut pause_ms = 50;
    loop {
        match look(app, org, credential, wanted).await? {
            Seen::Fresh => return Ok(()),
            Seen::NotBefore { is_alive: true, .. } if wanted == Wanted::ForUse => return Ok(()),
            Seen::NotBefore { at, is_refused, why, .. } => {
                return Err(not_before(at, app.now(), is_refused, &why));
            }
            Seen::Claimed => {
                if app.now().0 - begun.0 > PATIENCE_MS {
                    return Err(unreachable("another process has been refreshing it for too long"));
                }
                // Anywhere between half and all of it, so that those who wait do not all come at once.
                let jitter = pause_ms / 2 + pause_ms / 2 * u64::from(dice()) / 255;
                tokio::time::sleep(Duration::from_millis(jitter)).await;
                pause_ms = (pause_ms * 2).min(1000);
            }
            Seen::Due { generation } => {
                let Some(claim) = claim(app, caller, org, credential, generation).await? else {
                    if app.now().0 - begun.0 > PATIENCE_MS {
                        return Err(unreachable("others were always faster"));
                    }
                    tokio::time::sleep(Duration::from_millis(20 + u64::from(dice()) / 8)).await;
                    continue;
                };
                match attempt(app, caller, claim, wanted).await? {
                    Attempt::Done => return Ok(()),
                    Attempt::Again => {}
                }
            }
        }
    }
}

pub(super) fn unreachable(why: &str) -> Error {
    Error::new(Code::RefreshUnreachable, format!("the token could not be refreshed: {why}"))
}

fn not_before(at: Millis, now: Millis, is_refused: bool, why: &str) -> Error {
    let seconds = ((at.0 - now.0).max(0) + 999) / 1000;
    let e = match is_refused {
        true => {
            Error::new(Code::RefreshRefused, format!("the service refused our client a moment ago ({why})"))
        }
        false => unreachable(&format!("the last attempt failed a moment ago ({why})")),
    };
    e.detail("retry_after", seconds.to_string())
}

/// Why a connection that is not connected cannot be used.
pub(super) fn not_connected(c: &Credential, connection: Option<&Connection>) -> Error {
    let why = match connection.map(|c| c.state) {
        None => "nobody has connected it yet",
        Some(ConnectionState::Disconnected | ConnectionState::Revoking) => "it was disconnected",
        Some(_) => "it has to be connected again",
    };
    Error::new(Code::ReauthRequired, format!("{} cannot be used: {why}", c.name))
        .next(format!("Call connect_credential, or ask the person to run `{}`.", c.connect_command()))
}

pub(super) fn load(
    tx: &Reader<'_>,
    org: &OrgId,
    id: &CredentialId,
) -> Result<(Credential, Option<Connection>)> {
    let c = tx
        .find_credential(org, id)?
        .ok_or_else(|| Error::new(Code::CredentialNotFound, "the credential is gone"))?;
    let connection = tx.connection(org, id)?;
    Ok((c, connection))
}

async fn look(app: &App, org: &OrgId, id: &CredentialId, wanted: Wanted) -> Result<Seen> {
    let (org, id, fresh_ms) = (org.clone(), id.clone(), app.config.file.oauth.fresh_ms());
    app.store
        .read_here(move |tx| {
            let (c, connection) = load(tx, &org, &id)?;
            seen(tx.now(), &c, connection.as_ref(), wanted, fresh_ms)
        })
        .await
}

fn seen(
    now: Millis,
    c: &Credential,
    connection: Option<&Connection>,
    wanted: Wanted,
    fresh_ms: i64,
) -> Result<Seen> {
    if c.is_deleted() {
        return Err(Error::new(Code::Deleted, format!("{} is in the bin", c.name)));
    }
    let Some(connection) = connection.filter(|c| c.state == ConnectionState::Connected) else {
        return Err(not_connected(c, connection));
    };
    let is_enough = match wanted {
        Wanted::ForUse => connection.is_fresh(now, fresh_ms),
        Wanted::Instead(generation) => connection.generation > generation,
    };
    if is_enough {
        return Ok(Seen::Fresh);
    }
    if !connection.renews() {
        return match connection.is_alive(now) && wanted == Wanted::ForUse {
            true => Ok(Seen::Fresh),
            false => Err(Error::new(
                Code::ReauthRequired,
                format!("{} has no refresh token: its provider gave none", c.name),
            )
            .next(format!("Call connect_credential, or ask the person to run `{}`.", c.connect_command()))),
        };
    }
    if connection.is_claimed(now) {
        return Ok(Seen::Claimed);
    }
    match connection.next_try_at {
        // A clock that was set back must not keep everybody waiting.
        Some(at) if at > now && at.0 - now.0 <= 16 * 60 * 1000 => Ok(Seen::NotBefore {
            at,
            is_alive: connection.is_alive(now),
            is_refused: connection.reason == StatusReason::RefreshRefused.as_str(),
            why: connection.last_error.clone(),
        }),
        _ => Ok(Seen::Due { generation: connection.generation }),
    }
}

/// Claims the refresh of `generation`, or `None` where somebody else was faster.
async fn claim(
    app: &App,
    caller: &Caller,
    org: &OrgId,
    id: &CredentialId,
    generation: i64,
) -> Result<Option<Claim>> {
    let (org, id, keys, owner) = (org.clone(), id.clone(), app.keys.clone(), ids::fresh());
    let plain = plain(caller);
    let claimed = app
        .store
        .write(&plain, move |tx| {
            let vault = keys.vault();
            let (c, connection) = load(tx, &org, &id)?;
            let Some(mut connection) = connection else { return Err(not_connected(&c, None)) };
            let now = tx.now();
            let is_free = connection.state == ConnectionState::Connected
                && connection.generation == generation
                && !connection.is_claimed(now)
                && !c.is_deleted();
            if !is_free {
                return Err(Error::new(Code::Changed, "somebody else refreshes it"));
            }
            let provider = provider_of(tx, &c)?;
            // Tokens go where they were got, and nowhere else (O-02).
            if connection.policy != policy(&provider) {
                return Err(not_connected(
                    &c,
                    Some(&Connection { state: ConnectionState::Broken, ..connection }),
                ));
            }
            let token = match tx.find_version(&org, &id, generation)? {
                Some(version) => save::refresh_token(tx, &vault, &c, &version)?,
                None => None,
            };
            let is_retry = connection.intent == generation;
            connection.lease_owner.clone_from(&owner);
            connection.lease_until = now.plus_ms(LEASE_MS);
            connection.intent = generation;
            connection.updated_at = now;
            tx.save(&mut connection)?;
            let event = Event::of("refresh_token")
                .on(&c)
                .ended(Outcome::Started, "")
                .with("generation", generation)
                .with("again", is_retry);
            tx.record_step(
                event,
                Claim { owner, generation, is_retry, credential: c, connection, provider, token },
            )
        })
        .await;
    match claimed {
        Ok(claim) => Ok(Some(claim)),
        Err(e) if e.code == Code::Changed => Ok(None),
        Err(e) => Err(e),
    }
}

/// The caller without what belongs to their own request alone: the answer kept for a repeat, and an approval.
pub(super) fn plain(caller: &Caller) -> Caller {
    Caller { idempotency: None, approval: None, ..caller.clone() }
}
