//! One refresh at a time, over all tasks and processes that share the store, and no grant lost to a race.
//!
//! The order that makes it so: claim the connection in a transaction (a lease, fenced by the generation of its tokens), which
//! also records the intent; ask the provider, with a deadline that is far shorter than the lease; keep what came in one
//! transaction that holds only if the claim still does. Nobody uses an access token whose refresh token is not on disk.
use super::save;
use super::{dice, policy, provider_of, quirks};
use crate::app::App;
use crate::clock::Millis;
use crate::error::{Code, Error, Result};
use crate::ids::{self, CredentialId, OrgId};
use crate::model::Word;
use crate::model::access::Caller;
use crate::model::connection::{Connection, ConnectionState, GrantKind, LEASE_MS, backoff_ms};
use crate::model::credential::Credential;
use crate::model::event::{Event, Outcome};
use crate::model::provider::Provider;
use crate::model::status::StatusReason;
use crate::oauth::{Answer, Client, Grant, Refusal, Tokens, Trouble, token_form, tokens};
use crate::secret::SecretBytes;
use crate::store::{Reader, Writer};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long somebody waits for another's refresh, and looks again.
const PATIENCE_MS: i64 = LEASE_MS + 5_000;
/// How much of its claim an attempt may take with the provider; the rest is for keeping what came.
const MOST_OF_LEASE: Duration = Duration::from_millis(LEASE_MS as u64 * 2 / 3);
/// How long a provider is left alone that does not know our client: an admin has to do something first.
const CLIENT_WAIT_MS: i64 = 5 * 60 * 1000;

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
struct Claim {
    owner: String,
    generation: i64,
    /// A refresh of this very generation was begun before, and nobody knows what came of it.
    is_retry: bool,
    credential: Credential,
    connection: Connection,
    provider: Provider,
    token: Option<SecretBytes>,
}

/// How one attempt ended.
enum Attempt {
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

fn unreachable(why: &str) -> Error {
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
fn plain(caller: &Caller) -> Caller {
    Caller { idempotency: None, approval: None, ..caller.clone() }
}

async fn attempt(app: &App, caller: &Caller, claim: Claim, wanted: Wanted) -> Result<Attempt> {
    let began_at = app.now();
    // All of it, whatever is sent twice: a request must not outlast its claim.
    let answer = match tokio::time::timeout(MOST_OF_LEASE, ask(app, caller, &claim)).await {
        Ok(answer) => answer,
        Err(_) => Ok(Answer::Trouble(Trouble {
            why: "it did not answer in time",
            is_unsent: false,
            is_unknown: true,
            wait_ms: None,
        })),
    };
    let answer = match answer {
        Ok(answer) => answer,
        // Nothing was sent: the claim is given back with the reason.
        Err(e) => {
            let why = e.message().to_owned();
            settle(app, caller, claim, Settled::Refused { why, wait_ms: CLIENT_WAIT_MS }).await?;
            return Err(e);
        }
    };
    let name = claim.credential.name.clone();
    let command = claim.credential.connect_command();
    // Whoever only uses the token goes on with one that lives; whoever asked for a new one is told that there is none.
    let goes_on = wanted == Wanted::ForUse && claim.connection.is_alive(app.now());
    match answer {
        Answer::Yes(tokens) => settle(app, caller, claim, Settled::Renewed { tokens, began_at }).await,
        Answer::No(Refusal::Grant(word)) => {
            let is_retry = claim.is_retry;
            match settle(app, caller, claim, Settled::Over { word }).await? {
                Attempt::Again => Ok(Attempt::Again),
                Attempt::Done => {
                    let why = match is_retry {
                        true => {
                            "an earlier refresh was broken off before its answer was kept, and the provider takes the old token no more"
                        }
                        false => "the provider ended the grant",
                    };
                    Err(Error::new(
                        Code::ReauthRequired,
                        format!("{name} has to be connected again: {why} ({word})"),
                    )
                    .next(format!("Call connect_credential, or ask the person to run `{command}`.")))
                }
            }
        }
        Answer::Half(refresh, why) => match settle(app, caller, claim, Settled::Half { refresh, why }).await?
        {
            Attempt::Again => Ok(Attempt::Again),
            Attempt::Done if goes_on => Ok(Attempt::Done),
            Attempt::Done => Err(unreachable(why)),
        },
        Answer::No(Refusal::SlowDown | Refusal::Pending) => {
            let trouble = Trouble {
                why: "it asks to be called less often",
                is_unsent: false,
                is_unknown: false,
                wait_ms: None,
            };
            match settle(app, caller, claim, Settled::Trouble(trouble)).await? {
                Attempt::Again => Ok(Attempt::Again),
                Attempt::Done if goes_on => Ok(Attempt::Done),
                Attempt::Done => Err(unreachable("it asks to be called less often")),
            }
        }
        Answer::No(refusal) => {
            let word = match refusal {
                Refusal::Client(word) | Refusal::Request(word) => word,
                _ => "unexpected answer",
            };
            let provider = claim.provider.name.clone();
            let settled = Settled::Refused { why: word.to_owned(), wait_ms: CLIENT_WAIT_MS };
            match settle(app, caller, claim, settled).await? {
                Attempt::Again => Ok(Attempt::Again),
                Attempt::Done if goes_on => Ok(Attempt::Done),
                Attempt::Done => Err(Error::new(
                    Code::RefreshRefused,
                    format!("the service refused our client when {name} was to be refreshed ({word})"),
                )
                .next(format!(
                    "Ask an admin to check the OAuth provider {provider}: its client id and client secret."
                ))),
            }
        }
        Answer::Trouble(trouble) => {
            let why = trouble.why;
            match settle(app, caller, claim, Settled::Trouble(trouble)).await? {
                Attempt::Again => Ok(Attempt::Again),
                Attempt::Done if goes_on => Ok(Attempt::Done),
                Attempt::Done => Err(unreachable(why)),
            }
        }
    }
}

/// Asks the provider. What surely did not arrive is sent once more.
async fn ask(app: &App, caller: &Caller, claim: &Claim) -> Result<Answer<Tokens>> {
    let p = &claim.provider;
    let mut answer = None;
    for (client, is_next) in super::clients(app, p, true)? {
        let asked = ask_as(app, claim, &client).await?;
        // Whether a client is known is looked at before its grant: what was refused so was not used up.
        let is_refused = matches!(asked, Answer::No(Refusal::Client(_)));
        if is_next && (is_refused || matches!(asked, Answer::Yes(_))) {
            let proven = crate::ops::provider::prove_next(app, caller, p, !is_refused).await;
            if let Err(e) = proven
                && e.code != Code::Changed
            {
                tracing::warn!(
                    code = e.code.name(),
                    "it could not be kept what the provider said to a client secret"
                );
            }
        }
        answer = Some(asked);
        if !is_refused {
            break;
        }
    }
    answer.ok_or_else(|| crate::error::internal("there is no client to ask as"))
}

async fn ask_as(app: &App, claim: &Claim, client: &Client) -> Result<Answer<Tokens>> {
    let url = super::address(&refresh_url(app, &claim.provider))?;
    let quirks = quirks(app, &claim.provider);
    let once = || async {
        let grant = match (&claim.token, claim.connection.grant_kind) {
            (_, GrantKind::ClientCredentials) => Grant::Client { scopes: &claim.connection.scopes_asked },
            (Some(token), _) => Grant::Refresh { token },
            (None, _) => return Err(not_connected(&claim.credential, None)),
        };
        let ask = token_form(&url, client, &grant, &claim.provider.resource, &quirks);
        Ok(tokens(app.wire.send(ask, app.now()).await))
    };
    match once().await? {
        Answer::Trouble(Trouble { is_unsent: true, .. }) => once().await,
        answer => Ok(answer),
    }
}

fn refresh_url(app: &App, p: &Provider) -> String {
    // The catalogue knows one that differs; it counts only where the other addresses are the catalogue's too.
    super::preset(app, p)
        .filter(|_| p.is_preset)
        .and_then(|preset| preset.refresh_url)
        .filter(|url| !url.contains('{'))
        .unwrap_or_else(|| p.endpoints.token_url.clone())
}

/// What is to be written about an attempt.
enum Settled {
    Renewed { tokens: Tokens, began_at: Millis },
    Half { refresh: SecretBytes, why: &'static str },
    Over { word: &'static str },
    Refused { why: String, wait_ms: i64 },
    Trouble(Trouble),
}

/// Writes how it ended, if the claim still holds. Where it does not, what came is not kept, and that is told.
///
/// What a provider has given exists nowhere else: a store that is busy or full is asked again for as long as the claim
/// lasts.
async fn settle(app: &App, caller: &Caller, claim: Claim, settled: Settled) -> Result<Attempt> {
    let until =
        Instant::now() + Duration::from_millis((claim.connection.lease_until.0 - app.now().0).max(0) as u64);
    let (claim, settled) = (Arc::new(claim), Arc::new(settled));
    loop {
        match settle_once(app, caller, claim.clone(), settled.clone()).await {
            Err(e) if is_passing(e.code) && Instant::now() < until => {
                tokio::time::sleep(Duration::from_millis(200 + u64::from(dice()))).await;
            }
            done => return done,
        }
    }
}

/// Whether the store may take it in a moment.
pub(super) fn is_passing(code: Code) -> bool {
    matches!(code, Code::StoreBusy | Code::StoreFull | Code::StoreReadOnly)
}

async fn settle_once(
    app: &App,
    caller: &Caller,
    claim: Arc<Claim>,
    settled: Arc<Settled>,
) -> Result<Attempt> {
    let (keys, plain) = (app.keys.clone(), plain(caller));
    app.store
        .write(&plain, move |tx| {
            let vault = keys.vault();
            let (mut c, connection) = load(tx, &claim.connection.org_id, &claim.connection.credential_id)?;
            let holds = connection
                .as_ref()
                .is_some_and(|c| c.lease_owner == claim.owner && c.generation == claim.generation);
            let event = Event::of("refresh_token").on(&c).with("generation", claim.generation);
            let Some(mut connection) = connection.filter(|_| holds) else {
                let event =
                    event.ended(Outcome::Failed, Code::Changed.name()).with("why", "the claim was lost");
                return tx.record_step(event, Attempt::Again);
            };
            let now = tx.now();
            let event = match &*settled {
                Settled::Renewed { tokens, began_at } => {
                    let before = connection.scopes_granted.clone();
                    save::store(tx, &vault, &mut c, &mut connection, tokens, *began_at)?;
                    let lost: Vec<_> =
                        before.into_iter().filter(|s| !connection.scopes_granted.contains(s)).collect();
                    let event = Event::of("refresh_token").on(&c).with("generation", connection.generation);
                    if lost.is_empty() { event } else { event.with("scopes_lost", lost) }
                }
                Settled::Half { refresh, why } => {
                    save::store_half(tx, &vault, &mut c, &mut connection, refresh)?;
                    let wait = backoff_ms(connection.failures + 1, dice());
                    failed(&mut connection, now, why, wait);
                    connection.reason = StatusReason::RefreshUnreachable.as_str().into();
                    tx.save(&mut connection)?;
                    event.ended(Outcome::Failed, Code::RefreshUnreachable.name()).with("why", *why)
                }
                Settled::Over { word } => {
                    let why = match claim.is_retry {
                        true => format!("refresh_outcome_unknown ({word})"),
                        false => (*word).to_owned(),
                    };
                    break_off(tx, &mut c, &mut connection, &why)?;
                    event.ended(Outcome::Failed, Code::ReauthRequired.name()).with("why", why)
                }
                Settled::Refused { why, wait_ms } => {
                    failed(&mut connection, now, why, *wait_ms);
                    connection.reason = StatusReason::RefreshRefused.as_str().into();
                    // Refused as a whole, the tokens were not touched; what an earlier attempt did is not known by that.
                    if !claim.is_retry {
                        connection.intent = 0;
                    }
                    tx.save(&mut connection)?;
                    event.ended(Outcome::Failed, Code::RefreshRefused.name()).with("why", why.clone())
                }
                Settled::Trouble(trouble) => {
                    let wait = backoff_ms(connection.failures + 1, dice()).max(trouble.wait_ms.unwrap_or(0));
                    failed(&mut connection, now, trouble.why, wait);
                    connection.reason = StatusReason::RefreshUnreachable.as_str().into();
                    if !trouble.is_unknown && !claim.is_retry {
                        connection.intent = 0;
                    }
                    tx.save(&mut connection)?;
                    event.ended(Outcome::Failed, Code::RefreshUnreachable.name()).with("why", trouble.why)
                }
            };
            tx.record_step(event, Attempt::Done)
        })
        .await
}

fn failed(connection: &mut Connection, now: Millis, why: &str, wait_ms: i64) {
    connection.failures += 1;
    connection.last_error = why.into();
    let again = now.plus_ms(wait_ms);
    connection.next_try_at = Some(again);
    connection.refresh_due_at = Some(again);
    connection.lease_owner.clear();
    connection.lease_until = Millis(0);
    connection.updated_at = now;
}

/// The grant is over. The access token is out of use; the sealed refresh token stays a week, for a provider that was wrong.
fn break_off(tx: &mut Writer<'_>, c: &mut Credential, connection: &mut Connection, why: &str) -> Result<()> {
    let now = tx.now();
    save::drop_value(tx, c)?;
    connection.state = ConnectionState::Broken;
    connection.reason = StatusReason::ReauthRequired.as_str().into();
    connection.last_error = why.into();
    connection.refresh_due_at = Some(now.plus_ms(crate::model::connection::KEPT_BROKEN_MS));
    connection.next_try_at = None;
    connection.lease_owner.clear();
    connection.lease_until = Millis(0);
    connection.intent = 0;
    connection.updated_at = now;
    tx.save(connection)
}
