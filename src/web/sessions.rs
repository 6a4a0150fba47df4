//! Signed-in visitors, kept in this process alone: a restart signs everybody out.
use super::Site;
use super::answer::Answer;
use super::pages;
use crate::app::App;
use crate::error::{Code, Error, Result};
use crate::ids::TokenId;
use crate::model::access::Caller;
use crate::model::org::Role;
use crate::model::token::Purpose;
use crate::ops::token::still_valid;
use crate::secret::unguessable;
use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use subtle::ConstantTimeEq;

/// How long a session lives that nobody uses, and at most.
const IDLE: Duration = Duration::from_secs(30 * 60);
const LIFE: Duration = Duration::from_secs(8 * 60 * 60);
/// Sessions at once, of all and of one user; the one that was quiet longest makes room, of the user's own first.
const MOST: usize = 1000;
const MOST_OF_ONE: usize = 20;
const COOKIE: &str = "unsaid_session";

type Hash = [u8; 32];

fn hash(text: &str) -> Hash {
    crate::secret::looked_up_by(text.as_bytes())
}

#[derive(Clone)]
struct Session {
    cookie: Hash,
    csrf: String,
    caller: Caller,
    /// By which sign-in token, where it was one: the session ends with it.
    token: Option<TokenId>,
    /// The one entry link that a visitor by code may use.
    only: Option<Hash>,
    /// The sign-in began at a terminal's challenge: approvals are theirs to give.
    is_assured: bool,
    began: Instant,
    seen: Instant,
}

impl Session {
    fn is_of(&self, caller: &Caller) -> bool {
        self.caller.org == caller.org && self.caller.user == caller.user
    }
}

/// The one of these that was quiet longest.
fn quietest(all: &HashMap<Hash, Session>, these: impl Fn(&Session) -> bool) -> Option<Hash> {
    all.iter()
        .filter(|(_, session)| these(session))
        .min_by_key(|(_, session)| session.seen)
        .map(|(half, _)| *half)
}

/// By the hash of the half in the path.
#[derive(Default)]
pub(super) struct Sessions(Mutex<HashMap<Hash, Session>>);

/// A session that has just begun: where it goes on, and its cookie.
pub(super) struct Begun {
    pub base: String,
    pub cookie: String,
}

impl Sessions {
    pub fn begin(
        &self,
        caller: Caller,
        token: Option<TokenId>,
        only: Option<&str>,
        is_assured: bool,
        is_https: bool,
    ) -> Result<Begun> {
        let (half, cookie) = (unguessable()?, unguessable()?);
        let session = Session {
            cookie: hash(&cookie),
            csrf: unguessable()?,
            caller,
            token,
            only: only.map(hash),
            is_assured,
            began: Instant::now(),
            seen: Instant::now(),
        };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, session| session.seen.elapsed() < IDLE && session.began.elapsed() < LIFE);
        let own = all.values().filter(|other| other.is_of(&session.caller)).count();
        let gives_way = match own >= MOST_OF_ONE {
            true => quietest(&all, |other| other.is_of(&session.caller)),
            false if all.len() >= MOST => quietest(&all, |_| true),
            false => None,
        };
        if let Some(gives_way) = gives_way {
            all.remove(&gives_way);
        }
        all.insert(hash(&half), session);
        let secure = if is_https { "; Secure" } else { "" };
        Ok(Begun {
            cookie: format!("{COOKIE}={cookie}; Path=/u/{half}; HttpOnly; SameSite=Strict{secure}"),
            base: format!("/u/{half}"),
        })
    }

    fn find(&self, half: &str, headers: &HeaderMap) -> Option<Session> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let session = all.get_mut(&hash(half))?;
        if session.seen.elapsed() >= IDLE || session.began.elapsed() >= LIFE {
            all.remove(&hash(half));
            return None;
        }
        // Another program may have put one of that name beside ours, and the browser does not say which is whose.
        let is_shown = headers
            .get_all(header::COOKIE)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|all| all.split(';'))
            .filter_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('='))
            .take(8)
            .any(|shown| bool::from(hash(shown).ct_eq(&session.cookie)));
        if !is_shown {
            return None;
        }
        session.seen = Instant::now();
        Some(session.clone())
    }

    pub fn end(&self, half: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&hash(half));
    }
}

/// Who is signed in, on a page of theirs.
pub(super) struct Visitor {
    pub app: Arc<App>,
    pub caller: Caller,
    pub half: String,
    csrf: String,
    login: String,
    org: String,
    pub is_admin: bool,
    only: Option<Hash>,
    is_assured: bool,
}

impl Visitor {
    pub fn base(&self) -> String {
        format!("/u/{}", self.half)
    }

    /// What the frame of a page shows; nothing for a visitor by code, who has one page.
    pub fn session(&self) -> Option<pages::Session> {
        self.only.is_none().then(|| pages::Session {
            base: self.base(),
            login: self.login.clone(),
            org: self.org.clone(),
            csrf: self.csrf.clone(),
            is_admin: self.is_admin,
        })
    }

    /// The same, for pages that only the signed-in have.
    pub fn signed_in(&self) -> Result<pages::Session> {
        self.session().ok_or_else(|| Error::new(Code::NotAllowed, "this page is for people who signed in"))
    }

    /// Refuses to approve by a sign-in that no person at a terminal began: a program could have made it.
    pub fn expect_assured(&self) -> Result<()> {
        match self.is_assured {
            true => Ok(()),
            false => Err(Error::new(
                Code::ChallengeFailed,
                "this sign-in was made without a terminal, and can approve nothing",
            )
            .next("Run `unsaid open` in a terminal of your own and sign in with what it prints, or `unsaid approve ID` there.")),
        }
    }

    pub fn csrf(&self) -> &str {
        &self.csrf
    }

    /// Refuses a form that did not come from a page of this session.
    pub fn expect_csrf(&self, given: &str) -> Result<()> {
        match bool::from(given.as_bytes().ct_eq(self.csrf.as_bytes())) {
            true => Ok(()),
            false => Err(Error::new(Code::NotAllowed, "this form is not from a page of this session")
                .next("Open the page again and repeat it there.")),
        }
    }

    /// Refuses another link than the one whose code was shown.
    pub fn expect_link(&self, link: &str) -> Result<()> {
        match self.only.is_none_or(|only| bool::from(only.ct_eq(&hash(link)))) {
            true => Ok(()),
            false => Err(Error::new(Code::EntryNotFound, "there is no such link")),
        }
    }

    pub fn failed(&self, e: &Error) -> Answer {
        Answer::failed(e, self.session())
    }
}

impl FromRequestParts<Arc<Site>> for Visitor {
    type Rejection = Answer;

    async fn from_request_parts(parts: &mut Parts, site: &Arc<Site>) -> Result<Self, Answer> {
        let params = RawPathParams::from_request_parts(parts, site).await;
        let params = params.map_err(|_| Answer::nothing_here())?;
        let named = |name: &str| params.iter().find(|(n, _)| *n == name).map(|(_, value)| value.to_owned());
        let half = named("half").ok_or_else(Answer::nothing_here)?;
        let link = named("link");
        let Some(session) = site.sessions.find(&half, &parts.headers) else {
            return Err(match (site.by_code, link) {
                (true, Some(link)) => Answer::go(&format!("/e/{link}")).and_close(),
                // Whatever was sent is gone with the session: it is said, for the person may think otherwise.
                (_, link) if parts.method == Method::POST => {
                    super::sign_in::page(site, link, Some("You were signed out, and nothing was stored."))
                        .and_close()
                }
                (_, link) => super::sign_in::page(site, link, None),
            });
        };
        match visitor(site, session, half.clone()).await {
            Ok(visitor) => Ok(visitor),
            // A person who may no longer come in, or a token that is no more.
            Err(e) if matches!(e.code, Code::NotAllowed | Code::TokenInvalid) => {
                site.sessions.end(&half);
                Err(super::sign_in::page(site, link, Some("You were signed out.")))
            }
            Err(e) => Err(Answer::failed(&e, None)),
        }
    }
}

async fn visitor(site: &Site, session: Session, half: String) -> Result<Visitor> {
    let app = site.app().await?;
    if let Some(token) = &session.token
        && !still_valid(&app, session.caller.org.clone(), token.clone(), Purpose::SignIn).await?
    {
        return Err(Error::new(Code::TokenInvalid, "the token is not valid any more"));
    }
    let asking = session.caller.clone();
    let (who, org) = app.store.read_here(move |tx| Ok((tx.standing(&asking)?, tx.org(&asking.org)?))).await?;
    let mut caller = session.caller;
    caller.request = crate::ids::fresh();
    Ok(Visitor {
        app,
        caller,
        half,
        csrf: session.csrf,
        login: who.login,
        org: org.name,
        is_admin: who.role == Role::Admin,
        only: session.only,
        is_assured: session.is_assured,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::access::Door;
    use axum::http::HeaderValue;

    /// Signs in, and returns what is shown for it: the half in the path, and the cookie.
    fn begin(sessions: &Sessions, org: &str, user: &str) -> (String, HeaderMap) {
        let caller = Caller::new(org.into(), user.into(), Door::Web);
        let begun = sessions.begin(caller, None, None, true, false).unwrap();
        let cookie = begun.cookie.split(';').next().unwrap();
        let headers = HeaderMap::from_iter([(header::COOKIE, HeaderValue::from_str(cookie).unwrap())]);
        (begun.base.strip_prefix("/u/").unwrap().to_owned(), headers)
    }

    fn is_in(sessions: &Sessions, (half, headers): &(String, HeaderMap)) -> bool {
        sessions.find(half, headers).is_some()
    }

    #[test]
    fn who_signs_in_over_and_over_signs_nobody_out_but_themselves() {
        let sessions = Sessions::default();
        let (ada, namesake) = (begin(&sessions, "acme", "ada"), begin(&sessions, "other", "eve"));
        let (quiet, used) = (begin(&sessions, "acme", "eve"), begin(&sessions, "acme", "eve"));
        assert!(is_in(&sessions, &used));

        // With the two that there are, one more than they may have.
        let more: Vec<_> = (0..MOST_OF_ONE - 1).map(|_| begin(&sessions, "acme", "eve")).collect();

        assert!(!is_in(&sessions, &quiet));
        assert!(is_in(&sessions, &used) && more.iter().all(|one| is_in(&sessions, one)));
        for _ in 0..MOST {
            begin(&sessions, "acme", "eve");
        }
        assert!(is_in(&sessions, &ada) && is_in(&sessions, &namesake));
        assert_eq!(sessions.0.lock().unwrap().len(), MOST_OF_ONE + 2);
    }
}
