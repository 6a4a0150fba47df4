//! What every page is sent with: nobody keeps it, frames it, or learns of it, and no script is in it but our own.
use super::pages::{self, Note};
use crate::error::{Code, Error, Kind};
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use maud::Markup;

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
    form-action 'self'; frame-ancestors 'none'; base-uri 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/// A page, or the way to another one.
pub(super) struct Answer(Response);

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        self.0
    }
}

impl Answer {
    pub fn page(status: StatusCode, page: Markup) -> Self {
        let mut response = Response::new(Body::from(page.into_string()));
        *response.status_mut() = status;
        let html = HeaderValue::from_static("text/html; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, html);
        Self(sealed_off(response))
    }

    pub fn ok(page: Markup) -> Self {
        Self::page(StatusCode::OK, page)
    }

    /// After a post, to a page of ours (303).
    pub fn go(to: &str) -> Self {
        let mut response = StatusCode::SEE_OTHER.into_response();
        if let Ok(to) = HeaderValue::from_str(to) {
            response.headers_mut().insert(header::LOCATION, to);
        }
        Self(sealed_off(response))
    }

    pub fn with_cookie(mut self, cookie: &str) -> Self {
        if let Ok(cookie) = HeaderValue::from_str(cookie) {
            self.0.headers_mut().append(header::SET_COOKIE, cookie);
        }
        self
    }

    /// The connection ends with it: what it carried in is in no buffer that waits for more.
    pub fn and_close(mut self) -> Self {
        self.0.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        self
    }

    /// Nobody learns of the address of this page, not even we: of its origin alone, which our own forms want.
    pub fn without_referrer(mut self) -> Self {
        self.0.headers_mut().insert(header::REFERRER_POLICY, HeaderValue::from_static("strict-origin"));
        self
    }

    /// The browser forgets what it kept of us.
    pub fn and_forget(mut self) -> Self {
        let all = HeaderValue::from_static("\"cache\", \"storage\"");
        self.0.headers_mut().insert(HeaderName::from_static("clear-site-data"), all);
        self
    }

    /// A failure, told to a person.
    pub fn failed(e: &Error, session: Option<pages::Session>) -> Self {
        let status = match e.code {
            Code::EntryClosed | Code::ApprovalClosed => StatusCode::GONE,
            _ => StatusCode::from_u16(e.kind().http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
        };
        let cause = std::error::Error::source(e).map(ToString::to_string);
        match e.kind() {
            Kind::Internal => tracing::error!(code = e.code.name(), cause, "a page failed"),
            Kind::Unavailable => tracing::warn!(code = e.code.name(), cause, "a page could not be served"),
            _ => {}
        }
        let title = match e.code {
            Code::EntryClosed => "This link is closed",
            Code::EntryNotFound => "There is no such link",
            Code::ApprovalClosed => "This request is closed",
            Code::ConsentInvalid => "This consent cannot be used",
            Code::ConsentDenied => "Nothing was connected",
            Code::NotAllowed => "This is not for you",
            Code::TooManyRequests => "Too many attempts",
            _ => "That did not work",
        };
        let note = Note {
            title: title.into(),
            message: sentence(e.message()),
            next: e.next_step().to_owned(),
            link: None,
            is_error: true,
            session,
        };
        Self::page(status, pages::note(&note))
    }

    pub fn nothing_here() -> Self {
        let note = Note {
            title: "There is nothing here".into(),
            message: "The address is wrong, or what was there is gone.".into(),
            next: String::new(),
            link: None,
            is_error: true,
            session: None,
        };
        Self::page(StatusCode::NOT_FOUND, pages::note(&note))
    }
}

/// A message as a sentence: it begins with a capital and ends with a full stop.
pub(super) fn sentence(message: &str) -> String {
    let mut chars = message.chars();
    let mut text: String = chars.next().into_iter().flat_map(char::to_uppercase).collect();
    text.push_str(chars.as_str());
    if !text.ends_with(['.', '!', '?']) {
        text.push('.');
    }
    text
}

fn sealed_off(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (
            HeaderName::from_static("permissions-policy"),
            "camera=(), microphone=(), geolocation=(), payment=()",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
