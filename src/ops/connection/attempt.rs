//! One request for new tokens under a claim, and keeping what comes of it.
use super::refresh::{Attempt, Claim, Wanted, load, not_connected, plain, unreachable};
use super::{dice, quirks, save};
use crate::app::App;
use crate::clock::Millis;
use crate::error::{Code, Error, Result};
use crate::model::Word;
use crate::model::access::Caller;
use crate::model::connection::{Connection, ConnectionState, GrantKind, LEASE_MS, backoff_ms};
use crate::model::credential::Credential;
use crate::model::event::{Event, Outcome};
use crate::model::provider::Provider;
use crate::model::status::StatusReason;
use crate::oauth::{Answer, Client, Grant, Refusal, Tokens, Trouble, token_form, tokens};
use crate::ops::provider::prove_next;
use crate::secret::SecretBytes;
use crate::store::Writer;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How much of its claim an attempt may take with the provider; the rest is for keeping what came.
const MOST_OF_LEASE: Duration = Duration::from_millis(LEASE_MS as u64 * 2 / 3);
/// How long a provider is left alone that does not know our client: an admin has to do something first.
const CLIENT_WAIT_MS: i64 = 5 * 60 * 1000;

pub(super) async fn attempt(app: &App, caller: &Caller, claim: Claim, wanted: Wanted) -> Result<Attempt> {
    let began_at = app.now();
    // All of it, whatever is sent twice: a request must not outlast its claim.
    let asked = match tokio::time::timeout(MOST_OF_LEASE, ask(app, &claim)).await {
        Ok(asked) => asked,
        Err(_) => {
            let why = "it did not answer in time";
            Ok((Answer::Trouble(Trouble { why, is_unsent: false, is_unknown: true, wait_ms: None }), None))
        }
    };
    let (answer, proven) = match asked {
        Ok(asked) => asked,
        // Nothing was sent: the claim is given back with the reason.
        Err(e) => {
            let why = e.message().to_owned();
            settle(app, caller, claim, Settled::Refused { why, wait_ms: CLIENT_WAIT_MS }).await?;
            return Err(e);
        }
    };
    let provider = claim.provider.clone();
    let done = kept(app, caller, claim, answer, began_at, wanted).await;
    // Only now: nothing stands between the provider's answer and its being kept.
    if let Some(is_good) = proven
        && let Err(e) = prove_next(app, caller, &provider, is_good).await
        && e.code != Code::Changed
    {
        tracing::warn!(code = e.code.name(), "it could not be kept what a provider said to a client secret");
    }
    done
}

/// Keeps what the provider answered, and tells what that means for whoever asked.
async fn kept(
    app: &App,
    caller: &Caller,
    claim: Claim,
    answer: Answer<Tokens>,
    began_at: Millis,
    wanted: Wanted,
) -> Result<Attempt> {
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

/// Asks the provider, by each client secret that may be the right one. Also: whether one that waited was good, where that
/// was found out.
async fn ask(app: &App, claim: &Claim) -> Result<(Answer<Tokens>, Option<bool>)> {
    let (mut answer, mut proven) = (None, None);
    for (client, is_next) in super::clients(app, &claim.provider)? {
        let asked = ask_as(app, claim, &client).await?;
        // Whether a client is known is looked at before its grant: what was refused so was not used up.
        let is_refused = matches!(asked, Answer::No(Refusal::Client(_)));
        if is_next && (is_refused || matches!(asked, Answer::Yes(_))) {
            proven = Some(!is_refused);
        }
        answer = Some(asked);
        if !is_refused {
            break;
        }
    }
    let answer = answer.ok_or_else(|| crate::error::internal("there is no client to ask as"))?;
    Ok((answer, proven))
}

/// What surely did not arrive is sent once more.
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
