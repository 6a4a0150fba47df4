//! The door over HTTP: Streamable HTTP at `/mcp` in both eras, and the older two-endpoint transport at `/sse` and
//! `/messages`.
//!
//! [`mount`] is the whole assembly for any handler, and lets everybody in; [`bearer::guarded`] stands in front of it
//! wherever it serves the vault.
pub mod bearer;
mod living;
mod rates;
mod sessions;
mod sse;

pub use bearer::{Bearer, Principal, guarded};
pub use living::Living;
pub use rates::Rates;

use super::opening::{Identity, Known};
use super::seats::Seats;
use crate::app::App;
use crate::error::{Code, Error, Result};
use axum::Router;
use futures_util::future::BoxFuture;
use rmcp::service::RequestContext;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{RoleServer, ServerHandler};
use sessions::Sessions;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The largest message, in bytes.
pub const MOST_BODY: usize = 256 * 1024;
/// How long a session stays that nobody uses. Clients do not begin anew by themselves, so it is long.
const SESSION_IDLE: Duration = Duration::from_secs(3600);
/// How long after its answer a call's stream can be asked for again: not at all, nearly.
const REPLAY: Duration = Duration::from_secs(1);

/// What the assembly is to allow.
#[derive(Clone, Debug)]
pub struct Shape {
    /// What `Host` and `Origin` may say; checked in front of the whole router too.
    pub hosts: Vec<String>,
    pub origins: Vec<String>,
    /// Sessions at once of all, and of one token; its user's tokens have half of all together, where that is more.
    pub most_sessions: usize,
    pub most_of_one: usize,
}

/// Every endpoint of the protocol, for the handlers that `make` makes: one for each session, or for each request
/// of the era without sessions. `stop` ends them all.
pub fn mount<H, F>(make: F, shape: &Shape, stop: &CancellationToken) -> Router
where
    H: ServerHandler,
    F: Fn(CancellationToken) -> H + Clone + Send + Sync + 'static,
{
    let mut local = LocalSessionManager::default();
    local.session_config.keep_alive = Some(SESSION_IDLE);
    local.session_config.completed_cache_ttl = REPLAY;
    // Priming events have empty data, which some clients cannot read.
    local.session_config.sse_retry = None;
    let seats = Seats::new(shape.most_sessions, shape.most_of_one);
    let config = StreamableHttpServerConfig::default()
        .with_json_response(true)
        .with_sse_retry(None)
        .with_allowed_hosts(shape.hosts.clone())
        .with_allowed_origins(shape.origins.clone())
        .enforce_origin_validation()
        .with_max_request_body_bytes(MOST_BODY)
        .with_cancellation_token(stop.child_token());
    let (handlers, ending) = (make.clone(), stop.clone());
    let streamable = StreamableHttpService::new(
        move || Ok(handlers(ending.child_token())),
        Arc::new(Sessions::new(local, seats.clone())),
        config,
    );
    Router::new().route_service("/mcp", streamable).merge(sse::router(make, seats, stop.clone()))
}

/// Who calls over HTTP: the bearer of the token that the request came with.
pub struct ByToken;

impl Identity for ByToken {
    fn caller<'a>(&'a self, _: &'a App, cx: &'a RequestContext<RoleServer>) -> BoxFuture<'a, Result<Known>> {
        Box::pin(async move {
            let principal = cx
                .extensions
                .get::<axum::http::request::Parts>()
                .and_then(|parts| parts.extensions.get::<Principal>());
            match principal {
                Some(principal) => {
                    Ok(Known { caller: principal.caller.clone(), limits: principal.limits.clone() })
                }
                None => Err(Error::new(Code::TokenInvalid, "this call came without a token")),
            }
        })
    }
}
