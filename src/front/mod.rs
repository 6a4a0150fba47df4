//! What stands in front of every page and every tool over HTTP: the listener, TLS, who may be asked for by which
//! name, how large and how slow a request may be, and a stop that lets what runs finish.
//!
//! Nothing here knows what is served, and nothing here lets anybody in: that is for the doors behind it.
mod guard;
mod listen;
mod place;
mod tls;

pub use guard::{Guard, guarded, read_whole};
pub use listen::{Listener, serve};
pub use place::{Address, Place};
pub use tls::Tls;

use crate::error::{Error, Kind};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use std::net::IpAddr;

/// Where a request comes from: the other end of the connection, or what a trusted proxy says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Peer(pub IpAddr);

/// A failure as `{code, message, next}`, with its status; for doors that answer programs.
pub fn refusal(e: &Error) -> Response {
    let status = StatusCode::from_u16(e.kind().http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (
        status,
        [
            (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
            (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        ],
        e.to_json().to_string(),
    )
        .into_response();
    if matches!(e.kind(), Kind::Limited | Kind::Unavailable) {
        let wait = e.details().iter().find(|(name, _)| *name == "retry_after").map(|(_, s)| s.as_str());
        let wait = wait.and_then(|s| HeaderValue::from_str(s).ok()).unwrap_or(HeaderValue::from_static("1"));
        response.headers_mut().insert(header::RETRY_AFTER, wait);
    }
    response
}

/// Headers of every answer.
pub(crate) const ALWAYS: [(HeaderName, HeaderValue); 5] = [
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
    (HeaderName::from_static("x-robots-tag"), HeaderValue::from_static("noindex")),
];
