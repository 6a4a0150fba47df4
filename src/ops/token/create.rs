//! Makes a token. It is no tool and no stored answer: the token is returned once, to a person.
use super::{TokenRow, hash};
use crate::app::App;
use crate::clock::{DAY_MS, Millis};
use crate::error::{Code, Error, Result, internal, invalid};
use crate::ids::TokenId;
use crate::model::Word;
use crate::model::access::Caller;
use crate::model::consumer::ConsumerToken;
use crate::model::event::Event;
use crate::model::org::{Role, User};
use crate::model::suspicion::Kind;
use crate::model::text::Label;
use crate::model::token::{self, DEFAULT_DAYS, MOST_DAYS, MOST_LIVE, Purpose, Token};
use crate::ops::org::{about, named};
use crate::ops::{Toolset, consumer, people_only, refusal};
use crate::secret::Secret;
use crate::store::Writer;

/// How long an old token may go on beside its next one, days.
pub const MOST_OVERLAP_DAYS: i64 = 30;

/// What the token is to be.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// What people call it, as `laptop`.
    pub label: String,
    /// Login or id; oneself where nothing is said. Only admins make tokens for others.
    pub user: Option<String>,
    pub purpose: Purpose,
    /// Of a consumer's token: whose it is, name or id.
    pub consumer: Option<String>,
    /// Empty: all.
    pub toolsets: Vec<Toolset>,
    pub read_only: bool,
    /// A person passed the terminal's challenge.
    pub is_assured: bool,
    /// 90 days from now where nothing is said.
    pub expires_at: Option<Millis>,
}

/// Makes it and returns it with its row: the only time that anybody sees it. For people only.
///
/// Fails with `not_allowed` where a member names somebody else, `invalid_input` for an expiry in the past or more
/// than 366 days away, `quota_exceeded` beyond 50 live tokens of one user.
pub async fn create(app: &App, caller: &Caller, new: NewToken) -> Result<(TokenRow, Secret)> {
    people_only(caller)?;
    let made = make(app, caller, new).await;
    if let Err(e) = &made {
        refusal::remember(app, caller, Event::of("create_token"), e).await;
    }
    made
}

async fn make(app: &App, caller: &Caller, new: NewToken) -> Result<(TokenRow, Secret)> {
    let label = String::from(Label::parse(&new.label)?);
    if label.is_empty() {
        return Err(invalid("a token has a name, so that you know later what to revoke"));
    }
    if let Some(why) = app.detector.check_text(&new.label, Kind::FreeText) {
        return Err(Error::new(Code::SecretInArgument, format!("the name looks like a secret ({why})"))
            .next("Give it a name, as laptop. If that was a live secret, it has leaked: replace it."));
    }
    if new.purpose == Purpose::SignIn && (new.read_only || !new.toolsets.is_empty()) {
        return Err(invalid("a sign-in token opens the pages, which have no toolsets and no read-only mode"));
    }
    if (new.purpose == Purpose::Consumer) != new.consumer.is_some() {
        return Err(invalid("a consumer's token names its consumer, and no other token does"));
    }
    if new.purpose == Purpose::Consumer && (new.read_only || !new.toolsets.is_empty()) {
        return Err(invalid(
            "a consumer's token opens the broker, which has no toolsets and no read-only mode",
        ));
    }
    let (text, hash) = fresh()?;
    let asking = caller.clone();
    let row = app
        .store
        .write(caller, move |tx| {
            let (token, held, login) = insert(tx, &asking, new, label, hash)?;
            let event = about("create_token", "token", token.id.as_str(), &token.label, token.revision)
                .with("user", token.user_id.0.clone())
                .with("purpose", token.purpose.as_str())
                .with("toolsets", token.toolsets.clone())
                .with("read_only", token.read_only)
                .with("expires_at", token.expires_at.to_string());
            let event = match &held {
                Some(held) => event.with("consumer", held.consumer_id.0.clone()),
                None => event,
            };
            let row = TokenRow::of(tx, &tx.standing(&asking)?, &token, login)?;
            tx.record_step(event, row)
        })
        .await?;
    Ok((row, text))
}

/// A token's text and its hash.
fn fresh() -> Result<(Secret, Vec<u8>)> {
    let mut random = zeroize::Zeroizing::new([0u8; 32]);
    getrandom::fill(&mut random[..]).map_err(|_| internal("the operating system gave no random bytes"))?;
    let text = Secret::new(token::write(&random));
    let hash = text.expose(hash);
    Ok((text, hash))
}

/// Checks everything about the token and keeps its row; returns its user's login too.
fn insert(
    tx: &mut Writer<'_>,
    asking: &Caller,
    new: NewToken,
    label: String,
    hash: Vec<u8>,
) -> Result<(Token, Option<ConsumerToken>, String)> {
    let who = tx.standing(asking)?;
    let user = match &new.user {
        None => tx.user(&asking.org, &asking.user)?,
        Some(name) => {
            let not_yours =
                || Error::new(Code::NotAllowed, "only an admin of the org makes tokens for others");
            let found = tx.user_named(&asking.org, &named(name)?);
            match (who.role, found) {
                (_, Ok(user)) if user.id == who.user => user,
                (Role::Admin, found) => found?,
                _ => return Err(not_yours()),
            }
        }
    };
    if user.disabled_at.is_some() {
        return Err(Error::new(Code::NotAllowed, format!("{} is disabled", user.login)));
    }
    let consumer = match &new.consumer {
        None => None,
        Some(wanted) => {
            // Seen by who makes it, and run by whom it is for: it never lets anybody at more than they may start.
            let c = consumer::reach(tx, asking, &who, wanted)?;
            // It opens what is personal to its user: nobody else is given one of it.
            if user.id != who.user {
                return Err(Error::new(
                    Code::NotAllowed,
                    "a consumer's token is made by the person it acts for",
                )
                .next("Ask them to run `unsaid token create NAME --consumer CONSUMER` themselves."));
            }
            Some(consumer::run_by(tx, asking, &who, c.id.as_str())?)
        }
    };
    let now = tx.now();
    let expires_at = new.expires_at.unwrap_or_else(|| now.plus_days(DEFAULT_DAYS));
    if expires_at <= now {
        return Err(invalid("the token would have ended already")
            .next("Give a day that is to come, or a number of days as 30d."));
    }
    if expires_at > now.plus_days(MOST_DAYS) {
        return Err(invalid(format!("a token lives at most {MOST_DAYS} days from now")));
    }
    expect_room(tx, asking, &user)?;
    let mut token = Token {
        id: TokenId::fresh(),
        org_id: asking.org.clone(),
        user_id: user.id.clone(),
        label,
        purpose: new.purpose,
        hash,
        toolsets: new.toolsets.iter().map(|t| t.as_str().to_owned()).collect(),
        read_only: new.read_only,
        is_assured: new.is_assured,
        created_at: now,
        created_by: asking.user.clone(),
        expires_at,
        revoked_at: None,
        revision: 0,
    };
    tx.insert(&mut token)?;
    let held = consumer.map(|c| ConsumerToken {
        token_id: token.id.clone(),
        org_id: asking.org.clone(),
        consumer_id: c.id,
        revision: 0,
    });
    let held = held.map(|mut held| tx.insert(&mut held).map(|()| held)).transpose()?;
    Ok((token, held, user.login))
}

fn expect_room(tx: &Writer<'_>, asking: &Caller, user: &User) -> Result<()> {
    let now = tx.now();
    let live = tx.tokens(&asking.org, Some(&user.id))?;
    match live.iter().filter(|t| t.is_live(now)).count() >= MOST_LIVE {
        true => Err(Error::new(Code::Quota, format!("{} has {MOST_LIVE} live tokens", user.login))
            .next("Revoke those that are no longer used: `unsaid token list`, `unsaid token revoke ID`.")),
        false => Ok(()),
    }
}

/// Makes the next token of one that is there, like it in everything; the old one goes on for `overlap_ms`, or until its
/// own end where that is sooner. For people only.
///
/// Fails with `token_not_found` for what is not theirs or has ended, `ambiguous_name`, `invalid_input` for an overlap
/// of more than 30 days.
pub async fn rotate(
    app: &App,
    caller: &Caller,
    wanted: &str,
    overlap_ms: i64,
    expires_at: Option<Millis>,
) -> Result<(TokenRow, Secret)> {
    people_only(caller)?;
    let made = rotated(app, caller, wanted, overlap_ms, expires_at).await;
    if let Err(e) = &made {
        refusal::remember(app, caller, Event::of("rotate_token"), e).await;
    }
    made
}

async fn rotated(
    app: &App,
    caller: &Caller,
    wanted: &str,
    overlap_ms: i64,
    expires_at: Option<Millis>,
) -> Result<(TokenRow, Secret)> {
    if !(0..=MOST_OVERLAP_DAYS * DAY_MS).contains(&overlap_ms) {
        return Err(invalid(format!("the old token goes on for at most {MOST_OVERLAP_DAYS} days")));
    }
    let (text, hash) = fresh()?;
    let (asking, wanted) = (caller.clone(), named(wanted)?);
    let row = app
        .store
        .write(caller, move |tx| {
            let mut old = super::revoke::theirs(tx, &asking, &wanted)?;
            if old.user_id != asking.user {
                return Err(Error::new(
                    Code::NotAllowed,
                    "only the person whose token it is gets the next one",
                )
                .next("End it with `unsaid token revoke`; its person makes a new one."));
            }
            let now = tx.now();
            if !old.is_live(now) {
                return Err(Error::new(Code::TokenNotFound, format!("{} has ended already", old.label))
                    .next("Make a new one: `unsaid token create NAME`."));
            }
            if old.purpose == Purpose::SignIn {
                return Err(invalid("a sign-in token is made anew, with its challenge")
                    .next("Run `unsaid token create --sign-in NAME`, then revoke this one."));
            }
            let life_ms = old.expires_at.0 - old.created_at.0;
            let new = NewToken {
                label: old.label.clone(),
                user: Some(old.user_id.0.clone()),
                purpose: old.purpose,
                consumer: tx.consumer_of_token(&asking.org, &old.id)?.map(|held| held.consumer_id.0),
                toolsets: Vec::new(),
                read_only: old.read_only,
                is_assured: old.is_assured,
                expires_at: Some(expires_at.unwrap_or_else(|| now.plus_ms(life_ms))),
            };
            let (mut token, _, login) = insert(tx, &asking, new, old.label.clone(), hash)?;
            // As they are stored: a word that this program does not know stays one.
            token.toolsets.clone_from(&old.toolsets);
            tx.save(&mut token)?;
            let until = now.plus_ms(overlap_ms);
            if until < old.expires_at {
                old.expires_at = until;
                if overlap_ms == 0 {
                    old.revoked_at = Some(now);
                }
                tx.save(&mut old)?;
            }
            let event = about("rotate_token", "token", token.id.as_str(), &token.label, token.revision)
                .with("user", token.user_id.0.clone())
                .with("before", old.id.0.clone())
                .with("before_ends_at", old.expires_at.to_string())
                .with("expires_at", token.expires_at.to_string());
            let row = TokenRow::of(tx, &tx.standing(&asking)?, &token, login)?;
            tx.record_step(event, row)
        })
        .await?;
    Ok((row, text))
}
