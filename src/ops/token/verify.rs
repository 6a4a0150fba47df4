//! Who shows a token, if it is one and is still good.
use super::hash;
use crate::app::App;
use crate::error::{Code, Error, Result};
use crate::ids::{OrgId, TokenId};
use crate::model::Word;
use crate::model::access::{Caller, Door};
use crate::model::consumer::ConsumerToken;
use crate::model::event::{Event, Outcome};
use crate::model::token::{Purpose, Token, is_well_formed};
use crate::ops::{Limits, Toolset};
use crate::store::Reader;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use std::num::NonZeroU32;
use std::sync::LazyLock;

/// A token as it is looked up: its hash, so that nobody keeps the token itself while they wait.
#[derive(Clone)]
pub struct Shown(Vec<u8>);

impl Shown {
    /// Fails with `token_invalid` for what is not written as a token is, its checksum included.
    pub fn new(text: &str) -> Result<Self> {
        match is_well_formed(text) {
            true => Ok(Self(hash(text))),
            false => Err(invalid()),
        }
    }
}

/// A token that was good a moment ago, as whom, and for what.
#[derive(Clone, Debug)]
pub struct Verified {
    pub token: TokenId,
    pub caller: Caller,
    pub limits: Limits,
    /// Who signs in by it may approve.
    pub is_assured: bool,
}

/// A token that there is, good or not.
pub(in crate::ops) struct Known {
    token: Token,
    /// Why it is not good.
    why: Option<&'static str>,
    held: Option<ConsumerToken>,
}

impl Known {
    /// What was shown, as things stand in this transaction; `None` for a token that there is not.
    pub fn of(tx: &Reader<'_>, shown: &Shown, purpose: Purpose) -> Result<Option<Self>> {
        let Some(token) = tx.token_by_hash(&shown.0)? else { return Ok(None) };
        let why = refused(tx, &token, purpose)?;
        let held = match purpose {
            Purpose::Consumer => tx.consumer_of_token(&token.org_id, &token.id)?,
            _ => None,
        };
        Ok(Some(Self { token, why, held }))
    }

    pub fn is_good(&self) -> bool {
        self.why.is_none()
    }

    /// Who calls by it, if it is good.
    pub fn caller(&self, door: Door) -> Caller {
        let token = &self.token;
        let mut caller = Caller::new(token.org_id.clone(), token.user_id.clone(), door);
        // By id: a label is its maker's text, and the log is kept for good.
        caller.client = format!("(token {})", token.id);
        caller.token.clone_from(&token.id.0);
        caller.consumer = self.held.as_ref().map_or(String::new(), |held| held.consumer_id.0.clone());
        caller
    }
}

/// What is behind the token, for a caller by `door`.
///
/// Fails with `token_invalid`, and one and the same message whatever is wrong with it; the log keeps which known token
/// it was. Whether a user is still enabled is asked here too, so that a door need not.
pub async fn verify(app: &App, shown: Shown, purpose: Purpose, door: Door) -> Result<Verified> {
    let found = app.store.read_here(move |tx| Known::of(tx, &shown, purpose)).await?;
    settle(app, found, purpose, door).await
}

/// As [`verify`], of what was looked up already.
pub(in crate::ops) async fn settle(
    app: &App,
    found: Option<Known>,
    purpose: Purpose,
    door: Door,
) -> Result<Verified> {
    let Some(known) = found else { return Err(invalid()) };
    let caller = known.caller(door);
    let Known { token, why, .. } = known;
    match why {
        None => Ok(Verified {
            limits: Limits {
                read_only: token.read_only,
                // One that this program does not know allows nothing of its own, and never everything.
                toolsets: token
                    .toolsets
                    .iter()
                    .map(|t| Toolset::parse(t).unwrap_or(Toolset::Session))
                    .collect(),
            },
            is_assured: token.is_assured,
            token: token.id,
            caller,
        }),
        Some(why) => {
            let event = Event::of("sign_in")
                .about("token", token.id.as_str(), &token.label)
                .ended(Outcome::Refused, Code::TokenInvalid.name())
                .with("why", why);
            // A client that goes on trying would fill the log, which is kept for good.
            if TOLD.check_key(&token.id).is_ok() {
                remember(app, &caller, event).await;
            }
            Err(match purpose {
                // Whoever holds the token is told, for it costs nothing and saves a puzzle.
                Purpose::SignIn if why == "purpose" => Error::new(
                    Code::TokenInvalid,
                    "this token is for a client; a browser signs in with another kind",
                )
                .next(
                    "Run `unsaid open`, or make a sign-in token with `unsaid token create --sign-in NAME`.",
                ),
                Purpose::Mcp if why == "purpose" && token.purpose == Purpose::Consumer => Error::new(
                    Code::TokenInvalid,
                    "this token is a consumer's: it opens the broker and no tool",
                ),
                Purpose::Consumer if why == "purpose" => Error::new(
                    Code::TokenInvalid,
                    "this token is no consumer's, and the broker takes no other",
                )
                .next("Make one with `unsaid token create NAME --consumer CONSUMER`."),
                Purpose::Mcp if why == "purpose" => Error::new(
                    Code::TokenInvalid,
                    "this token is for signing in on the page, not for a client",
                ),
                _ => invalid(),
            })
        }
    }
}

/// Refusals of one token that are written down: one a minute.
static TOLD: LazyLock<DefaultKeyedRateLimiter<TokenId>> =
    LazyLock::new(|| RateLimiter::keyed(Quota::per_minute(NonZeroU32::MIN)));

fn invalid() -> Error {
    Error::new(Code::TokenInvalid, "the token is not valid")
}

/// Why the token is not good, if it is not.
fn refused(tx: &Reader<'_>, token: &Token, purpose: Purpose) -> Result<Option<&'static str>> {
    let now = tx.now();
    Ok(match token {
        t if t.revoked_at.is_some() => Some("revoked"),
        t if now >= t.expires_at => Some("expired"),
        t if t.purpose != purpose => Some("purpose"),
        t => {
            // Their teams are read by the operation.
            match tx.user(&t.org_id, &t.user_id) {
                Ok(user) if user.disabled_at.is_none() => match t.purpose {
                    Purpose::Consumer => consumer_gone(tx, t)?,
                    _ => None,
                },
                Ok(_) => Some("disabled"),
                Err(e) if e.code == Code::UserNotFound => Some("disabled"),
                Err(e) => return Err(e),
            }
        }
    })
}

/// Why a consumer's token is not good although it lives: the consumer is gone, or its user may not run it any more.
fn consumer_gone(tx: &Reader<'_>, token: &Token) -> Result<Option<&'static str>> {
    let Some(held) = tx.consumer_of_token(&token.org_id, &token.id)? else { return Ok(Some("consumer")) };
    let Some(c) = tx.find_consumer(&token.org_id, &held.consumer_id)?.filter(|c| c.deleted_at.is_none())
    else {
        return Ok(Some("consumer"));
    };
    let who = tx.standing(&Caller::new(token.org_id.clone(), token.user_id.clone(), Door::System))?;
    Ok((!c.is_run_by(&who)).then_some("consumer"))
}

/// Whether what was verified before still is. For what stays open: streams, sessions.
pub async fn still_valid(app: &App, org: OrgId, token: TokenId, purpose: Purpose) -> Result<bool> {
    app.store
        .read_here(move |tx| match tx.token(&org, &token) {
            Ok(token) => Ok(refused(tx, &token, purpose)?.is_none()),
            Err(e) if e.code == Code::TokenNotFound => Ok(false),
            Err(e) => Err(e),
        })
        .await
}

/// A refusal is the answer; that it could not be written down goes to our own log.
async fn remember(app: &App, caller: &Caller, event: Event) {
    if let Err(e) = app.store.write(caller, move |tx| tx.record(event, ())).await {
        tracing::error!(code = e.code.name(), "a failed sign-in could not be recorded");
    }
}
