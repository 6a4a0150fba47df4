//! The pages of a connection: from the entry link to the provider, and back.
use super::Site;
use super::answer::{Answer, sentence};
use super::form::Entered;
use super::pages::{self, Asked, AskedToLeave, ConnectForm, Connected, DeviceCode, Leaving, OtherAccount};
use super::sessions::Visitor;
use crate::error::{Code, Error, Kind, Result, internal, invalid};
use crate::ids::ConsentId;
use crate::ops::connection::{
    Came, Finished, Started, accept_other, accept_other_by_browser, begin_by_link, begin_device_by_link,
    consent_address, finish, finish_pasted, peek, poll_device, start,
};
use crate::ops::entry::EntryView;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use std::sync::Arc;
use url::Url;

/// The cookies of browsers that were sent away, each named by its consent.
const COOKIE: &str = "unsaid_consent_";
const MOST_COOKIES: usize = 16;

/// The entry page of a connection.
pub(super) fn page(visitor: &Visitor, link: &str, view: EntryView, error: Option<String>) -> ConnectForm {
    let connect = view.connect.unwrap_or_default();
    ConnectForm {
        action: format!("{}/e/{link}", visitor.base()),
        csrf: visitor.csrf().to_owned(),
        name: view.name,
        provider: connect.provider,
        host: connect.host,
        asked: Asked {
            by: view.asked_by,
            client: view.client,
            at: view.asked_at.to_string(),
            expires: view.expires_at.to_string(),
        },
        facts: view.facts.into_iter().map(|(label, text)| (label.to_owned(), text)).collect(),
        scopes: connect.scopes,
        warnings: view.warnings,
        has_device: connect.has_device,
        command: view.command,
        error,
        session: visitor.session(),
    }
}

/// Goes on although the browser is gone: what a provider gives once is kept, whoever still listens.
async fn unbroken<T: Send + 'static>(work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
    tokio::spawn(work).await.unwrap_or_else(|_| Err(internal("a consent could not be ended")))
}

fn host_of(origin: &str) -> Option<String> {
    Url::parse(origin).ok()?.host_str().map(str::to_owned)
}

fn field(entered: &Entered, name: &str) -> Option<String> {
    let (_, value) = entered.fields.iter().find(|(field, _)| field == name)?;
    value.expose(|bytes| std::str::from_utf8(bytes).ok().map(str::to_owned))
}

/// What the person chose on the page.
pub(super) async fn taken(
    site: &Site,
    link: &str,
    visitor: &Visitor,
    view: EntryView,
    entered: &Entered,
) -> Result<Answer> {
    let action = format!("{}/e/{link}", visitor.base());
    let consent = || -> Result<ConsentId> {
        let id = field(entered, "consent").unwrap_or_default();
        super::form::expect_id(&id)?;
        Ok(ConsentId(id))
    };
    match field(entered, "way").unwrap_or_default().as_str() {
        "browser" => {
            let begun = begin_by_link(&visitor.app, &visitor.caller, link).await?;
            let origin = match visitor.app.pages.get() {
                Some(pages) => pages.come_back(&begun.redirect_uri).await,
                None => Ok(site.base.clone()),
            };
            let mut known = None;
            let (address, comes_back_elsewhere) = match origin {
                // A cookie of this page is one of where the browser comes back to.
                Ok(origin) if host_of(&origin) == host_of(&site.base) => {
                    let started = start(&visitor.app, &begun.ticket).await?;
                    let address = started.address.to_string();
                    known = Some(cookie(site, &started));
                    (address, false)
                }
                Ok(origin) => (format!("{origin}/oauth/start/{}", begun.ticket), false),
                // Nobody listens there: the browser goes straight away, and its answer is pasted.
                Err(_) => (consent_address(&visitor.app, &begun).await?.to_string(), true),
            };
            let answer = Answer::ok(pages::leaving(&Leaving {
                name: view.name,
                host: begun.host,
                address,
                action,
                csrf: visitor.csrf().to_owned(),
                redirect_uri: begun.redirect_uri,
                comes_back_elsewhere,
                is_pasted: true,
                session: visitor.session(),
            }));
            Ok(match known {
                Some(cookie) => answer.with_cookie(&cookie),
                None => answer,
            })
        }
        "paste" => {
            let address = field(entered, "address").ok_or_else(|| invalid("there is no address"))?;
            let (app, caller) = (visitor.app.clone(), visitor.caller.clone());
            let finished = unbroken(async move { finish_pasted(&app, &caller, &address).await }).await?;
            Ok(told(visitor, &action, finished))
        }
        "device" => {
            let begun = begin_device_by_link(&visitor.app, &visitor.caller, link).await?;
            Ok(Answer::ok(pages::device_code(&DeviceCode {
                action,
                csrf: visitor.csrf().to_owned(),
                name: view.name,
                host: begun.host,
                address: begun.verification_uri,
                code: begun.user_code,
                consent: begun.id.0,
                expires: begun.expires_at.to_string(),
                is_waiting: false,
                session: visitor.session(),
            })))
        }
        "wait" => {
            let id = consent()?;
            let (app, caller, wanted) = (visitor.app.clone(), visitor.caller.clone(), id.clone());
            match unbroken(async move { poll_device(&app, &caller, &wanted).await }).await? {
                Ok(finished) => Ok(told(visitor, &action, finished)),
                Err(_) => {
                    let begun = crate::ops::connection::state_of(&visitor.app, &visitor.caller, &id).await?;
                    let host = Url::parse(&begun.verification_uri).ok();
                    Ok(Answer::ok(pages::device_code(&DeviceCode {
                        action,
                        csrf: visitor.csrf().to_owned(),
                        name: view.name,
                        host: host.and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default(),
                        address: begun.verification_uri,
                        code: begun.user_code,
                        consent: id.0,
                        expires: begun.expires_at.to_string(),
                        is_waiting: true,
                        session: visitor.session(),
                    })))
                }
            }
        }
        "accept" => {
            let finished = accept_other(&visitor.app, &visitor.caller, &consent()?).await?;
            Ok(told(visitor, &action, finished))
        }
        _ => Err(invalid("the page does not say which way")),
    }
}

fn told(visitor: &Visitor, action: &str, finished: Finished) -> Answer {
    match finished.was_account {
        Some(was) => Answer::ok(pages::other_account(&OtherAccount {
            action: action.to_owned(),
            csrf: visitor.csrf().to_owned(),
            consent: finished.consent.0,
            field: "way",
            is_multipart: true,
            name: finished.name,
            was,
            now: finished.account,
            session: visitor.session(),
        })),
        None => Answer::ok(pages::connected(&done(finished, visitor.session()))),
    }
}

fn done(finished: Finished, session: Option<pages::Session>) -> Connected {
    let mut facts = vec![("Provider".to_owned(), finished.provider)];
    let account = match finished.account.is_empty() {
        true => "the service does not say whose it is".to_owned(),
        false => finished.account,
    };
    facts.push(("Account".into(), account));
    let mut warnings = Vec::new();
    if !finished.scopes_missing.is_empty() {
        warnings
            .push(format!("Not granted: {}. What needs them will fail.", finished.scopes_missing.join(", ")));
    }
    if finished.is_short {
        warnings.push("The service gave no refresh token: this connection ends with its token.".into());
    }
    let ends =
        finished.token_expires_at.filter(|_| finished.is_short).map_or(String::new(), |at| at.to_string());
    Connected { name: finished.name, facts, warnings, ends, session }
}

/// Who asks for what, before a browser goes anywhere: for one that comes from a terminal, or from a page of another name.
pub(super) async fn ask_leave(State(site): State<Arc<Site>>, Path(ticket): Path<String>) -> Answer {
    let looked = async {
        if !super::form::is_link(&ticket) {
            return Err(Error::new(Code::ConsentInvalid, "there is no such consent"));
        }
        let app = site.app().await?;
        peek(&app, &ticket).await
    };
    match looked.await {
        Ok(waiting) => Answer::ok(pages::asked_to_leave(&AskedToLeave {
            action: format!("/oauth/start/{ticket}"),
            name: waiting.name,
            asked_by: waiting.asked_by,
            org: waiting.org,
            provider: waiting.provider,
            host: waiting.host,
            scopes: waiting.scopes,
        })),
        Err(e) => Answer::failed(&e, None),
    }
}

/// The cookie by which this browser is known when it comes back.
fn cookie(site: &Site, started: &Started) -> String {
    let secure = if site.is_https { "; Secure" } else { "" };
    // Lax: the way back begins at another site.
    format!(
        "{COOKIE}{}={}; Path=/oauth; HttpOnly; SameSite=Lax; Max-Age=900{secure}",
        started.id, started.browser
    )
}

/// Sends the browser to the provider, once, and remembers which browser it was.
pub(super) async fn leave(State(site): State<Arc<Site>>, Path(ticket): Path<String>) -> Answer {
    let begun = async {
        if !super::form::is_link(&ticket) {
            return Err(Error::new(Code::ConsentInvalid, "there is no such consent"));
        }
        let app = site.app().await?;
        start(&app, &ticket).await
    };
    match begun.await {
        Ok(started) => {
            let host = started.address.host_str().unwrap_or_default().to_owned();
            let leaving = Leaving {
                host,
                address: started.address.to_string(),
                is_pasted: false,
                ..Leaving::default()
            };
            Answer::ok(pages::leaving(&leaving)).with_cookie(&cookie(&site, &started))
        }
        Err(e) => Answer::failed(&e, None),
    }
}

/// What this browser holds of any consent.
fn held(headers: &HeaderMap) -> Vec<(String, String)> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|all| all.split(';'))
        .filter_map(|pair| pair.trim().strip_prefix(COOKIE)?.split_once('='))
        .map(|(id, value)| (id.to_owned(), value.to_owned()))
        .take(MOST_COOKIES)
        .collect()
}

/// The browser comes back.
pub(super) async fn back(
    State(site): State<Arc<Site>>,
    RawQuery(query): RawQuery,
    uri: Uri,
    headers: HeaderMap,
) -> Answer {
    let held = held(&headers);
    let finished = async {
        let app = site.app().await?;
        unbroken(async move {
            let came = Came::Browser { held: &held, path: uri.path() };
            finish(&app, &query.unwrap_or_default(), came).await
        })
        .await
    };
    let answer = match finished.await {
        Ok(finished) => match finished.was_account.clone() {
            Some(was) => Answer::ok(pages::other_account(&OtherAccount {
                action: "/oauth/accept".into(),
                csrf: String::new(),
                consent: finished.consent.0,
                field: "way",
                is_multipart: false,
                name: finished.name,
                was,
                now: finished.account,
                session: None,
            })),
            None => Answer::ok(pages::connected(&done(finished, None))),
        },
        Err(e) => Answer::failed(&e, None),
    };
    // The address of this page holds the code, which is used up; it is told to nobody all the same.
    answer.without_referrer().and_close()
}

/// The person says that the other account is meant, in the browser that came back with it.
pub(super) async fn accept(
    State(site): State<Arc<Site>>,
    headers: HeaderMap,
    body: axum::body::Bytes,
) -> Answer {
    let held = held(&headers);
    let accepted = async {
        let form = super::form::read(&body);
        let id = form.get("consent").map(|id| id.to_string()).unwrap_or_default();
        super::form::expect_id(&id)?;
        let app = site.app().await?;
        accept_other_by_browser(&app, &ConsentId(id), &held).await
    };
    match accepted.await {
        Ok(finished) => Answer::ok(pages::connected(&done(finished, None))),
        Err(e) => Answer::failed(&e, None),
    }
}

/// An error that can be put right is shown on the same page.
pub(super) fn again(visitor: &Visitor, link: &str, view: EntryView, e: &Error) -> Answer {
    let status = StatusCode::from_u16(e.kind().http_status()).unwrap_or(StatusCode::BAD_REQUEST);
    let error = format!("{} {}", sentence(e.message()), e.next_step());
    Answer::page(status, pages::connect(&page(visitor, link, view, Some(error))))
}

/// Whether an error leaves the page as it was.
pub(super) fn can_go_on(e: &Error) -> bool {
    matches!(e.kind(), Kind::Input | Kind::Unavailable)
        || matches!(
            e.code,
            Code::ConsentInvalid | Code::ConsentDenied | Code::RefreshRefused | Code::ValueMissing
        )
}
