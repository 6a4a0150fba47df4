//! Coming in: by a one-time ticket of `unsaid open`, by a sign-in token, or, on a local page, by the code that was
//! shown to whoever asked for the link.
use super::answer::{Answer, sentence};
use super::pages::{self, CodeForm, ConfirmSignIn, Note, SignIn};
use super::sessions::Visitor;
use super::{Site, form};
use crate::error::{Code, Error, Result};
use crate::front::{Attempts, Peer};
use crate::ids::TokenId;
use crate::model::access::{Caller, Door};
use crate::model::entry::MOST_TRIES;
use crate::model::event::Event;
use crate::model::token::Purpose;
use crate::ops::entry::{expect_code, find, peek_sign_in, sign_in as use_ticket};
use crate::ops::token::{Shown, verify};
use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use std::num::NonZeroU32;
use std::sync::Arc;

/// Wrong attempts of one address a minute.
const ATTEMPTS: NonZeroU32 = NonZeroU32::new(20).expect("is not zero");
/// Sign-ins by one token a minute.
const SIGN_INS: NonZeroU32 = NonZeroU32::new(30).expect("is not zero");
/// Tokens that are remembered before those that have been quiet are looked for.
const MANY: usize = 1000;

/// Attempts to come in: wrong ones by address, good ones by token.
pub(super) struct Guesses {
    wrong: Attempts,
    good: DefaultKeyedRateLimiter<TokenId>,
}

impl Guesses {
    pub fn new() -> Self {
        Self { wrong: Attempts::new(ATTEMPTS), good: RateLimiter::keyed(Quota::per_minute(SIGN_INS)) }
    }

    fn count(&self, peer: Option<Extension<Peer>>) -> Result<()> {
        let Some(Extension(peer)) = peer else { return Ok(()) };
        self.wrong.count(peer).map_err(|_| {
            Error::new(Code::TooManyRequests, "too many attempts to sign in came from your address")
                .next("Wait a minute, then try again.")
        })
    }

    /// One more sign-in: each is a session, and a line of the log, which is kept for good.
    fn count_good(&self, token: &TokenId) -> Result<()> {
        if self.good.len() > MANY {
            self.good.retain_recent();
        }
        self.good.check_key(token).map_err(|_| {
            Error::new(Code::TooManyRequests, "this token signs in too often")
                .next("Wait a minute, then try again.")
        })
    }
}

/// The sign-in page, which goes on to `link`.
pub(super) fn page(site: &Site, link: Option<String>, error: Option<&str>) -> Answer {
    let form = SignIn {
        action: "/sign-in".into(),
        error: error.map(str::to_owned),
        link,
        is_local: site.is_local,
        base: Some(site.base.clone()),
    };
    Answer::page(StatusCode::UNAUTHORIZED, pages::sign_in(&form))
}

pub(super) async fn begin(State(site): State<Arc<Site>>) -> Answer {
    page(&site, None, None)
}

/// A link that is opened: nothing of what it is for is shown before it is known who came.
pub(super) async fn land(State(site): State<Arc<Site>>, Path(link): Path<String>) -> Answer {
    let found = async { find(&*site.app().await?, &link).await };
    match found.await {
        Ok(_) => page(&site, Some(link), None),
        Err(e) => Answer::failed(&e, None),
    }
}

/// Where a sign-in goes on: an entry link, or the first page. Nothing else is ever followed.
fn onward(base: &str, link: Option<&str>) -> String {
    match link.filter(|link| form::is_link(link)) {
        Some(link) => format!("{base}/e/{link}"),
        None => format!("{base}/"),
    }
}

pub(super) async fn by_token(
    State(site): State<Arc<Site>>,
    peer: Option<Extension<Peer>>,
    body: Bytes,
) -> Answer {
    let sent = form::read(&body);
    let link = sent.get("link").filter(|link| form::is_link(link)).map(|link| link.to_string());
    let came = async {
        let shown = sent.get("token").map_or(Err(None), |token| Shown::new(token.trim()).map_err(Some));
        let shown =
            shown.map_err(|e| e.unwrap_or_else(|| Error::new(Code::TokenInvalid, "a token is needed")))?;
        let app = site.app().await?;
        let verified = verify(&app, shown, Purpose::SignIn, Door::Web).await?;
        site.guesses.count_good(&verified.token)?;
        signed_in(&app, &verified.caller, &verified.token.0).await?;
        site.sessions.begin(verified.caller, Some(verified.token), None, verified.is_assured, site.is_https)
    };
    match came.await {
        Ok(begun) => Answer::go(&onward(&begun.base, link.as_deref())).with_cookie(&begun.cookie).and_close(),
        // Only what is wrong counts: nobody is kept out by somebody else's guesses.
        Err(e) if e.code == Code::TokenInvalid => match site.guesses.count(peer) {
            Ok(()) => page(&site, link, Some(&sentence(e.message()))).and_close(),
            Err(e) => Answer::failed(&e, None).and_close(),
        },
        Err(e) => Answer::failed(&e, None).and_close(),
    }
}

async fn signed_in(app: &crate::app::App, caller: &Caller, token: &str) -> Result<()> {
    let event = Event::of("sign_in").with("by", "token").with("token", token);
    app.store.write(caller, move |tx| tx.record(event, ())).await
}

/// Where to go on after signing in.
#[derive(serde::Deserialize)]
pub(super) struct Onward {
    link: Option<String>,
}

pub(super) async fn ask_ticket(
    State(site): State<Arc<Site>>,
    Path(ticket): Path<String>,
    Query(onward): Query<Onward>,
) -> Answer {
    let found = async { peek_sign_in(&*site.app().await?, &ticket).await };
    match found.await {
        Ok((user, org)) => Answer::ok(pages::confirm_sign_in(&ConfirmSignIn {
            action: format!("/sign-in/{ticket}"),
            login: user.login,
            org,
            link: onward.link.filter(|link| form::is_link(link)),
        })),
        Err(e) => Answer::failed(&again(e), None),
    }
}

fn again(e: Error) -> Error {
    match e.code {
        Code::EntryClosed | Code::EntryNotFound => {
            Error::new(e.code, e.message().to_owned()).next("Run `unsaid open` again.")
        }
        _ => e,
    }
}

pub(super) async fn by_ticket(
    State(site): State<Arc<Site>>,
    Path(ticket): Path<String>,
    body: Bytes,
) -> Answer {
    let form = form::read(&body);
    let came = async {
        let (caller, is_assured) = use_ticket(&*site.app().await?, &ticket).await?;
        site.sessions.begin(caller, None, None, is_assured, site.is_https)
    };
    match came.await {
        Ok(begun) => {
            let link = form.get("link").map(|link| link.to_string());
            Answer::go(&onward(&begun.base, link.as_deref())).with_cookie(&begun.cookie)
        }
        Err(e) => Answer::failed(&again(e), None),
    }
}

pub(super) async fn sign_out(State(site): State<Arc<Site>>, visitor: Visitor, body: Bytes) -> Answer {
    let form = form::read(&body);
    if let Err(e) = visitor.expect_csrf(form.get("csrf").map_or("", |csrf| csrf)) {
        return visitor.failed(&e);
    }
    site.sessions.end(&visitor.half);
    let form =
        SignIn { action: "/sign-in".into(), error: None, link: None, is_local: site.is_local, base: None };
    Answer::ok(pages::signed_out(&form)).and_forget()
}

/// The page that asks for the code.
fn code_page(link: &str, tries_left: i64, error: Option<String>) -> Answer {
    let status = if error.is_some() { StatusCode::FORBIDDEN } else { StatusCode::UNAUTHORIZED };
    let form = CodeForm { action: format!("/e/{link}"), tries_left: tries_left.clamp(0, 99) as u32, error };
    Answer::page(status, pages::code_form(&form))
}

pub(super) async fn ask_code(State(site): State<Arc<Site>>, Path(link): Path<String>) -> Answer {
    let found = async {
        let app = site.app().await?;
        let row = find(&app, &link).await?;
        if !row.is_open(app.now()) {
            crate::ops::entry::expect_open(&row, app.now())?;
        }
        Ok(row)
    };
    match found.await {
        Ok(row) => code_page(&link, MOST_TRIES - row.tries, None),
        Err(e) => Answer::failed(&e, None),
    }
}

pub(super) async fn by_code(State(site): State<Arc<Site>>, Path(link): Path<String>, body: Bytes) -> Answer {
    let form = form::read(&body);
    let came = async {
        let app = site.app().await?;
        let caller = expect_code(&app, &link, form.get("code").map_or("", |code| code)).await?;
        site.sessions.begin(caller, None, Some(&link), false, site.is_https)
    };
    match came.await {
        Ok(begun) => Answer::go(&format!("{}/e/{link}", begun.base)).with_cookie(&begun.cookie),
        Err(e) if e.code == Code::CodeWrong => {
            let left = e.details().iter().find(|(name, _)| *name == "tries_left");
            let left = left.and_then(|(_, n)| n.parse().ok()).unwrap_or(0);
            code_page(&link, left, Some(sentence(e.message())))
        }
        Err(e) => Answer::failed(&e, None),
    }
}

/// A plain page with a title and a sentence.
pub(super) fn told(visitor: &Visitor, title: &str, message: &str) -> Answer {
    let note = Note {
        title: title.into(),
        message: message.into(),
        next: String::new(),
        link: None,
        is_error: false,
        session: visitor.session(),
    };
    Answer::ok(pages::note(&note))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_token_signs_in_so_often_and_another_is_not_held_up() {
        let guesses = Guesses::new();
        let (one, other) = (TokenId::from("one"), TokenId::from("other"));

        let passed = (0..100).filter(|_| guesses.count_good(&one).is_ok()).count();

        assert_eq!(passed, SIGN_INS.get() as usize);
        assert_eq!(guesses.count_good(&one).unwrap_err().code, Code::TooManyRequests);
        assert!(guesses.count_good(&other).is_ok());
    }

    #[test]
    fn who_changes_address_within_its_network_guesses_on_as_one() {
        let guesses = Guesses::new();
        let from = |n: u32| Some(Extension(Peer(format!("2001:db8::{n:x}").parse().unwrap())));

        let passed = (0..100).filter(|n| guesses.count(from(*n)).is_ok()).count();

        assert_eq!(passed, ATTEMPTS.get() as usize);
    }
}
