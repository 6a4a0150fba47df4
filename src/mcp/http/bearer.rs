//! Nobody comes in without a token, on loopback neither (RFC 6750, and RFC 9728 for where to ask for one).
//!
//! The token is taken off the request before anything behind it sees it; what goes on is the [`Principal`].
use super::living::{End, Living};
use super::rates::Rates;
use crate::app::App;
use crate::error::{Code, Error, Result};
use crate::front::{Peer, read_whole, refusal};
use crate::ids::TokenId;
use crate::mcp::opening::Opening;
use crate::mcp::seats::Seat;
use crate::model::access::{Caller, Door};
use crate::model::suspicion;
use crate::model::token::Purpose;
use crate::ops::token::{Shown, verify};
use crate::ops::{Limits, find_entry};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::future::BoxFuture;
use http_body::{Frame, SizeHint};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

/// Who shows the token, and what it allows.
#[derive(Clone, Debug)]
pub struct Principal {
    pub token: TokenId,
    pub caller: Caller,
    pub limits: Limits,
    /// Ends with the token.
    pub end: End,
    /// Set where there was no place for one more session.
    pub(super) is_full: Arc<AtomicBool>,
}

/// The answer to who is not let in.
type Refused = Box<Response>;

tokio::task_local! {
    /// Whose request this task answers: for what is kept from one request to the next.
    pub(super) static WHOSE: Principal;
}

/// What stands in front of the protocol's endpoints.
pub struct Bearer {
    pub(in crate::mcp) opening: Arc<Opening>,
    pub rates: Rates,
    pub living: Living,
    /// What the server is called, as `http://127.0.0.1:8740`.
    pub base: String,
    /// Issuers whose tokens will be taken one day (RFC 9728 `authorization_servers`).
    pub issuers: Vec<String>,
}

/// `router` for bearers of a token, and the open description of where one comes from.
pub fn guarded(router: Router, bearer: Arc<Bearer>) -> Router {
    let described = bearer.metadata();
    let describe = move || {
        let described = described.clone();
        async move { ([(header::CONTENT_TYPE, "application/json")], described) }
    };
    router
        .layer(from_fn_with_state(bearer, pass))
        .route("/.well-known/oauth-protected-resource", get(describe.clone()))
        .route("/.well-known/oauth-protected-resource/mcp", get(describe))
}

async fn pass(State(bearer): State<Arc<Bearer>>, request: Request, next: Next) -> Response {
    let mut response = match bearer.admit(request).await {
        Ok((request, principal, place)) => {
            let (end, is_full) = (principal.end.clone(), principal.is_full.clone());
            let ended = end.token();
            let answered = tokio::select! {
                response = WHOSE.scope(principal, next.run(request)) => Some(response),
                // What a call has begun goes on; its answer is for nobody any more.
                () = ended.cancelled() => None,
            };
            match answered {
                Some(_) if is_full.load(Ordering::Relaxed) => full(),
                Some(response) => response.map(|body| Body::new(Tied::new(body, end, place))),
                None => {
                    let e = Error::new(Code::TokenInvalid, "the token is not valid any more");
                    bearer.challenge(StatusCode::UNAUTHORIZED, Some("invalid_token"), Some(&e))
                }
            }
        }
        Err(refused) => *refused,
    };
    // Lists differ by caller, and answers are nobody else's.
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// No place for one more session of this token, of its user, or of all.
pub(super) fn full() -> Response {
    let e = Error::new(Code::TooManyRequests, "too many sessions are open").detail("retry_after", "30");
    let mut response = refusal(&e);
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    response
}

impl Bearer {
    fn metadata(&self) -> String {
        let mut metadata = serde_json::json!({
            "resource": format!("{}/mcp", self.base),
            "bearer_methods_supported": ["header"],
            "resource_name": "Unsaid",
        });
        if !self.issuers.is_empty() {
            metadata["authorization_servers"] = self.issuers.clone().into();
        }
        metadata.to_string()
    }

    /// The request with its principal in the place of its token, or the answer that refuses it.
    async fn admit(&self, mut request: Request) -> Result<(Request, Principal, Option<Arc<Seat>>), Refused> {
        let peer = request.extensions().get::<Peer>().copied();
        let failed = |response: Response| match peer.map(|peer| self.rates.failed(peer)) {
            Some(Err(e)) => Box::new(refusal(&e)),
            _ => Box::new(response),
        };
        let token = match token(request.headers()) {
            Ok(Some(token)) => Shown::new(token),
            Ok(None) => return Err(failed(self.challenge(StatusCode::UNAUTHORIZED, None, None))),
            Err(()) => {
                return Err(failed(self.challenge(StatusCode::BAD_REQUEST, Some("invalid_request"), None)));
            }
        };
        request.headers_mut().remove(header::AUTHORIZATION);
        let verified = match token {
            // Nobody has the vault opened who shows nothing like a token.
            Ok(token) => {
                let app = self.opening.app().await.map_err(|e| Box::new(refusal(&e)))?;
                let _turn = self.rates.turn(peer).await.map_err(|e| Box::new(refusal(&e)))?;
                verify(app, token, Purpose::Mcp, Door::Http).await
            }
            Err(e) => Err(e),
        };
        let verified = match verified {
            Ok(verified) => verified,
            Err(e) if e.code == Code::TokenInvalid => {
                let e = Some(&e);
                return Err(failed(self.challenge(StatusCode::UNAUTHORIZED, Some("invalid_token"), e)));
            }
            Err(e) => return Err(Box::new(refusal(&e))),
        };
        let principal = Principal {
            end: self.living.under(&verified.caller.org, &verified.token),
            token: verified.token,
            caller: verified.caller,
            limits: verified.limits,
            is_full: Arc::default(),
        };
        expect_version(request.headers())?;
        self.expect_scope(request.headers(), &principal.limits)?;
        request.extensions_mut().insert(principal.clone());
        // A stream that only waits takes no place of those that work.
        if matches!(*request.method(), Method::GET | Method::HEAD) {
            return Ok((request, principal, None));
        }
        self.rates.count(&principal.token).map_err(|e| Box::new(refusal(&e)))?;
        let (mut parts, body) = request.into_parts();
        let body = read_whole(body, super::MOST_BODY).await.map_err(Box::new)?;
        // An answer to a question of ours, and a cancellation, free places: they need none.
        let place = match asks(&body) {
            true => {
                let place = self.rates.enter(&principal.caller).map_err(|e| Box::new(refusal(&e)))?;
                Some(Arc::new(place))
            }
            false => None,
        };
        // Kept by the call itself too: over the older transport its answer goes another way.
        if let Some(place) = &place {
            parts.extensions.insert(place.clone());
        }
        Ok((Request::from_parts(parts, Body::from(body)), principal, place))
    }

    /// Refuses, where the request names its tool in a header, one that this token never allows (RFC 6750 §3.1). The
    /// operation refuses it in any case; the header is held against the body by what stands behind.
    fn expect_scope(&self, headers: &HeaderMap, limits: &Limits) -> Result<(), Refused> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        if text("mcp-method") != Some("tools/call") {
            return Ok(());
        }
        match text("mcp-name").map(named).as_deref().and_then(find_entry) {
            Some(entry) if entry.is_tool() && !limits.allow(entry) => {
                let e = Error::new(Code::NotAllowed, format!("this token does not allow {}", entry.name))
                    .next("Make a token that allows it with `unsaid token create`.");
                let wanted = format!("insufficient_scope\", scope=\"{}", entry.toolset);
                Err(Box::new(self.challenge(StatusCode::FORBIDDEN, Some(&wanted), Some(&e))))
            }
            _ => Ok(()),
        }
    }

    fn challenge(&self, status: StatusCode, error: Option<&str>, e: Option<&Error>) -> Response {
        let default = Error::new(Code::TokenInvalid, "a token is needed");
        let body = e.unwrap_or(&default).to_json().to_string();
        let mut challenge =
            format!("Bearer resource_metadata=\"{}/.well-known/oauth-protected-resource/mcp\"", self.base);
        if let Some(error) = error {
            challenge.push_str(&format!(", error=\"{error}\""));
        }
        let mut response =
            (status, [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], body)
                .into_response();
        if let Ok(value) = HeaderValue::from_str(&challenge) {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, value);
        }
        response
    }

    /// The open vault, for what works beside the calls.
    pub async fn app(&self) -> Result<Arc<App>> {
        self.opening.app().await.cloned()
    }
}

/// Refuses a protocol version that is none: what stands behind repeats it, and it may be a secret (C-21).
fn expect_version(headers: &HeaderMap) -> Result<(), Refused> {
    let is_version = |value: &HeaderValue| {
        value.to_str().is_ok_and(|text| {
            text.len() <= 24
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
                && suspicion::PLAIN.check_text(text, suspicion::Kind::FreeText).is_none()
        })
    };
    match headers.get_all("mcp-protocol-version").iter().all(is_version) {
        true => Ok(()),
        false => {
            let e = Error::new(Code::InvalidInput, "MCP-Protocol-Version is no version of the protocol")
                .next("Send the version that was agreed on, as 2025-11-25.");
            Err(Box::new(refusal(&e)))
        }
    }
}

/// A header's text, which a client may have put into base64 (MCP 2026-07-28, standard request headers).
fn named(text: &str) -> std::borrow::Cow<'_, str> {
    let inner = text.strip_prefix("=?base64?").and_then(|rest| rest.strip_suffix("?="));
    let decoded = inner.and_then(|inner| data_encoding::BASE64.decode(inner.as_bytes()).ok());
    match decoded.and_then(|bytes| String::from_utf8(bytes).ok()) {
        Some(decoded) => decoded.into(),
        None => text.into(),
    }
}

/// Whether a message is a request, which is worked on until it is answered.
fn asks(body: &[u8]) -> bool {
    #[derive(serde::Deserialize)]
    struct Message {
        method: Option<serde::de::IgnoredAny>,
        id: Option<serde::de::IgnoredAny>,
    }
    match serde_json::from_slice::<Message>(body) {
        Ok(message) => message.method.is_some() && message.id.is_some(),
        // Whatever it is, it is answered.
        Err(_) => true,
    }
}

/// The bearer token; `Err` where the header is there twice or has another shape.
fn token(headers: &HeaderMap) -> Result<Option<&str>, ()> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    match (all.next(), all.next()) {
        (None, _) => Ok(None),
        (Some(only), None) => {
            let (scheme, token) = only.to_str().map_err(|_| ())?.split_once(' ').ok_or(())?;
            let token = token.trim();
            match scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() && !token.contains(' ') {
                true => Ok(Some(token)),
                false => Err(()),
            }
        }
        _ => Err(()),
    }
}

/// A body that ends with its token, and keeps the call's place until it has ended.
struct Tied {
    inner: Body,
    ended: BoxFuture<'static, ()>,
    _end: End,
    _place: Option<Arc<Seat>>,
}

impl Tied {
    fn new(inner: Body, end: End, place: Option<Arc<Seat>>) -> Self {
        Self { inner, ended: Box::pin(end.token().cancelled_owned()), _end: end, _place: place }
    }
}

impl http_body::Body for Tied {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        match Pin::new(&mut self.inner).poll_frame(cx) {
            // Only where there is nothing to send yet: what is there was made while the token was good.
            Poll::Pending => match self.ended.as_mut().poll(cx) {
                Poll::Ready(()) => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            },
            ready => ready,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[test]
    fn only_what_is_answered_needs_a_place() {
        for (body, expected) in [
            (r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{}}"#, true),
            (r#"{"jsonrpc":"2.0","method":"notifications/cancelled"}"#, false),
            (r#"{"jsonrpc":"2.0","id":1,"result":{"method":"x"}}"#, false),
            (r#"{"jsonrpc":"2.0","id":1,"error":{}}"#, false),
            ("no json", true),
            ("[]", true),
        ] {
            assert_eq!(asks(body.as_bytes()), expected, "{body}");
        }
    }

    #[test]
    fn a_token_comes_once_and_as_a_bearer_token() {
        assert_eq!(token(&headers(&[])), Ok(None));
        assert_eq!(token(&headers(&["Bearer abc"])), Ok(Some("abc")));
        assert_eq!(token(&headers(&["bEARER  abc "])), Ok(Some("abc")));
        for wrong in [&["abc"][..], &["Basic abc"], &["Bearer "], &["Bearer a b"], &["Bearer a", "Bearer b"]]
        {
            assert_eq!(token(&headers(wrong)), Err(()), "{wrong:?}");
        }
    }
}
