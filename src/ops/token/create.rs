//! Makes a token. It is no tool and no stored answer: the token is returned once, to a person.
use super::{TokenRow, hash};
use crate::app::App;
use crate::clock::Millis;
use crate::error::{Code, Error, Result, internal, invalid};
use crate::ids::TokenId;
use crate::model::Word;
use crate::model::access::Caller;
use crate::model::event::Event;
use crate::model::org::Role;
use crate::model::suspicion::Kind;
use crate::model::text::Label;
use crate::model::token::{self, DEFAULT_DAYS, MOST_DAYS, MOST_LIVE, Purpose, Token};
use crate::ops::org::{about, named};
use crate::ops::{Toolset, people_only, refusal};
use crate::secret::Secret;

/// What the token is to be.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// What people call it, as `laptop`.
    pub label: String,
    /// Login or id; oneself where nothing is said. Only admins make tokens for others.
    pub user: Option<String>,
    pub purpose: Purpose,
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
    let mut random = zeroize::Zeroizing::new([0u8; 32]);
    getrandom::fill(&mut random[..]).map_err(|_| internal("the operating system gave no random bytes"))?;
    let text = Secret::new(token::write(&random));
    let hash = text.expose(hash);
    let asking = caller.clone();
    let row = app
        .store
        .write(caller, move |tx| {
            let who = tx.standing(&asking)?;
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
            let now = tx.now();
            let expires_at = new.expires_at.unwrap_or_else(|| now.plus_days(DEFAULT_DAYS));
            if expires_at <= now || expires_at > now.plus_days(MOST_DAYS) {
                return Err(invalid(format!("a token lives at most {MOST_DAYS} days from now")));
            }
            let live = tx.tokens(&asking.org, Some(&user.id))?;
            if live.iter().filter(|t| t.is_live(now)).count() >= MOST_LIVE {
                return Err(Error::new(Code::Quota, format!("{} has {MOST_LIVE} live tokens", user.login))
                    .next("Revoke those that are no longer used: `unsaid token list`, `unsaid token revoke ID`."));
            }
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
            let event = about("create_token", "token", token.id.as_str(), &token.label, token.revision)
                .with("user", user.id.0.clone())
                .with("purpose", token.purpose.as_str())
                .with("toolsets", token.toolsets.clone())
                .with("read_only", token.read_only)
                .with("expires_at", token.expires_at.to_string());
            let row = TokenRow::of(&token, user.login, now);
            tx.record_step(event, row)
        })
        .await?;
    Ok((row, text))
}
