//! What stands in front of every page and every tool over HTTP: the listener, TLS, who may be asked for by which
//! name, how large and how slow a request may be, and a stop that lets what runs finish.
//!
//! Nothing here knows what is served, and nothing here lets anybody in: that is for the doors behind it.
mod attempts;
mod guard;
mod listen;
mod place;
mod room;
mod signals;
mod strict;
mod tls;

pub use attempts::Attempts;
pub use guard::{Guard, guarded, read_whole};
pub use listen::{Listener, serve};
pub use place::{Address, Place};
pub use room::Room;
pub use signals::stop_on_signals;
pub use tls::Tls;

use crate::error::{Code, Error, Kind};
use axum::Router;
use axum::body::Bytes;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use std::convert::Infallible;
use std::net::{IpAddr, Ipv6Addr};

/// Where a request comes from: the other end of the connection, or what a trusted proxy says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Peer(pub IpAddr);

impl Peer {
    /// Whom it counts as: an IPv6 host has as many addresses as it likes, so all of its /64 are one.
    pub fn network(self) -> IpAddr {
        match self.0.to_canonical() {
            IpAddr::V6(ip) if !ip.is_loopback() => {
                let [a, b, c, d, ..] = ip.segments();
                IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
            }
            ip => ip,
        }
    }
}

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
    if let Some(wait) = retry_after(e) {
        response.headers_mut().insert(header::RETRY_AFTER, wait);
    }
    response
}

/// The refusal of a request that is no HTTP; its connection ends.
fn malformed(status: u16, e: &Error) -> Response {
    let mut response = refusal(e);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// A router that hands every request to `service`, whatever it asks for.
pub fn alone<S, B>(service: S) -> Router
where
    S: tower::Service<Request, Response = http::Response<B>, Error = Infallible>
        + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send + 'static,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<axum::BoxError>,
{
    Router::new().fallback_service(service)
}

/// `router` with all that begins with `prefix` (as `/b/`) handed to `service`.
pub fn beside<S, B>(router: Router, prefix: &str, service: S) -> Router
where
    S: tower::Service<Request, Response = http::Response<B>, Error = Infallible>
        + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send + 'static,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<axum::BoxError>,
{
    router.route_service(&format!("{prefix}{{*rest}}"), service)
}

/// Seconds after which the same request may do better; `None` where it would not, as with one that is too large.
fn retry_after(e: &Error) -> Option<HeaderValue> {
    let told = e.details().iter().find(|(name, _)| *name == "retry_after");
    let told = told.and_then(|(_, seconds)| HeaderValue::from_str(seconds).ok());
    let passes = e.code == Code::TooManyRequests || e.kind() == Kind::Unavailable;
    told.or(passes.then(|| HeaderValue::from_static("1")))
}

/// Headers of every answer.
pub(crate) const ALWAYS: [(HeaderName, HeaderValue); 5] = [
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
    (HeaderName::from_static("x-robots-tag"), HeaderValue::from_static("noindex")),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_failure_that_passes_says_when_to_come_again() {
        let wait = |e: Error| {
            let response = refusal(&e);
            response.headers().get(header::RETRY_AFTER).map(|value| value.to_str().unwrap().to_owned())
        };

        assert_eq!(wait(Error::new(Code::TooLarge, "too large")), None);
        assert_eq!(wait(Error::new(Code::Quota, "too much")), None);
        assert_eq!(wait(Error::new(Code::InvalidInput, "wrong")), None);
        assert_eq!(wait(Error::new(Code::TooManyRequests, "wait")).as_deref(), Some("1"));
        assert_eq!(wait(Error::new(Code::StoreBusy, "wait")).as_deref(), Some("1"));
        let told = Error::new(Code::TooManyRequests, "wait").detail("retry_after", "30");
        assert_eq!(wait(told).as_deref(), Some("30"));
    }

    #[test]
    fn all_addresses_of_one_network_count_as_one() {
        let network = |ip: &str| Peer(ip.parse().unwrap()).network().to_string();

        assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(network("2001:db8:1:2::9"), "2001:db8:1:2::");
        assert_ne!(network("2001:db8:1:3::9"), "2001:db8:1:2::");
        assert_eq!(network("::ffff:192.0.2.7"), "192.0.2.7");
        assert_eq!(network("192.0.2.7"), "192.0.2.7");
        assert_eq!(network("::1"), "::1");
    }
}
