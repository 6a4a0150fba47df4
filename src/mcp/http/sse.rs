//! The HTTP+SSE transport of 2024-11-05, which the library no longer has: a stream at `/sse` whose first event names
//! where to post, and posts to `/messages?sessionId=…`.
use super::bearer::{Principal, WHOSE, full};
use super::sessions::{owner, seat};
use crate::ids::TokenId;
use crate::mcp::seats::{Seat, Seats};
use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Query, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::sse::{Event, KeepAlive};
use axum::response::{IntoResponse, Response, Sse};
use axum::routing::{get, post};
use futures_util::{Stream, StreamExt, stream};
use rmcp::model::{ClientJsonRpcMessage, GetExtensions};
use rmcp::service::{RxJsonRpcMessage, TxJsonRpcMessage, serve_server_with_ct};
use rmcp::transport::Transport;
use rmcp::{RoleServer, ServerHandler};
use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Messages that wait to be read, either way.
const WAITING: usize = 16;
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Boxed, for a channel keeps room for many, and a session that waits is to cost little.
type Inward = Box<RxJsonRpcMessage<RoleServer>>;
type Outward = Box<TxJsonRpcMessage<RoleServer>>;

struct Session {
    to_server: mpsc::Sender<Inward>,
    owner: Option<TokenId>,
}

type Sessions = Arc<Mutex<HashMap<String, Session>>>;

/// What both endpoints share.
struct Legacy<F> {
    make: F,
    sessions: Sessions,
    seats: Seats,
    stop: CancellationToken,
}

pub(super) fn router<H, F>(make: F, seats: Seats, stop: CancellationToken) -> Router
where
    H: ServerHandler,
    F: Fn(CancellationToken) -> H + Clone + Send + Sync + 'static,
{
    let shared = Arc::new(Legacy { make, sessions: Sessions::default(), seats, stop });
    Router::new().route("/sse", get(open::<H, F>)).route("/messages", post(message::<F>)).with_state(shared)
}

/// Messages in from posts, messages out to the stream.
struct Pair {
    from_client: mpsc::Receiver<Inward>,
    to_client: Option<mpsc::Sender<Outward>>,
}

#[derive(Debug)]
struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the stream is closed")
    }
}

impl std::error::Error for Closed {}

impl Transport<RoleServer> for Pair {
    type Error = Closed;

    fn send(
        &mut self,
        message: TxJsonRpcMessage<RoleServer>,
    ) -> impl Future<Output = Result<(), Closed>> + Send + 'static {
        let to_client = self.to_client.clone();
        async move { to_client.ok_or(Closed)?.send(Box::new(message)).await.map_err(|_| Closed) }
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleServer>> {
        self.from_client.recv().await.map(|message| *message)
    }

    async fn close(&mut self) -> Result<(), Closed> {
        self.to_client = None;
        self.from_client.close();
        Ok(())
    }
}

/// Ends the session when its stream does.
struct Ending {
    id: String,
    sessions: Sessions,
    _seat: Seat,
    _stop: DropGuard,
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}

struct With<S> {
    stream: S,
    _ending: Ending,
}

impl<S: Stream + Unpin> Stream for With<S> {
    type Item = S::Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.stream.poll_next_unpin(cx)
    }
}

async fn open<H, F>(State(legacy): State<Arc<Legacy<F>>>, _: Request) -> Response
where
    H: ServerHandler,
    F: Fn(CancellationToken) -> H + Clone + Send + Sync + 'static,
{
    let owner = owner();
    let Some(seat) = seat(&legacy.seats) else {
        return full();
    };
    // 128 random bits: an id is no proof of anything, and cannot be guessed either.
    let id = crate::ids::fresh() + &crate::ids::fresh()[10..];
    let (to_server, from_client) = mpsc::channel(WAITING);
    let (to_client, from_server) = mpsc::channel::<Outward>(WAITING);
    let stop = legacy.stop.child_token();
    let session = Session { to_server, owner };
    legacy.sessions.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), session);
    let ending = Ending {
        id: id.clone(),
        sessions: legacy.sessions.clone(),
        _seat: seat,
        _stop: stop.clone().drop_guard(),
    };
    let handler = (legacy.make)(stop.clone());
    let serving = async move {
        let pair = Pair { from_client, to_client: Some(to_client) };
        // In a box of its own, which goes when it is done: the handshake has room for every call that it could get, and a
        // session that waits would keep that room for as long as it is there.
        let shaken = Box::pin(serve_server_with_ct(handler, pair, stop)).await;
        // What breaks off the handshake or the stream is the client's business.
        if let Ok(running) = shaken {
            let _ = running.waiting().await;
        }
    };
    match WHOSE.try_with(Principal::clone) {
        Ok(principal) => tokio::spawn(WHOSE.scope(principal, serving)),
        Err(_) => tokio::spawn(serving),
    };
    // Relative, for clients refuse another origin.
    let first = Event::default().event("endpoint").data(format!("/messages?sessionId={id}"));
    let rest = stream::unfold(from_server, |mut from_server| async move {
        let message = from_server.recv().await?;
        let text = serde_json::to_string(&message).unwrap_or_default();
        Some((Ok::<_, Infallible>(Event::default().event("message").data(text)), from_server))
    });
    let body = stream::once(async move { Ok::<_, Infallible>(first) }).chain(rest);
    let mut response = Sse::new(With { stream: Box::pin(body), _ending: ending })
        .keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
        .into_response();
    let unbuffered = HeaderName::from_static("x-accel-buffering");
    response.headers_mut().insert(unbuffered, HeaderValue::from_static("no"));
    response
}

#[derive(serde::Deserialize)]
struct Which {
    #[serde(rename = "sessionId", alias = "session_id")]
    id: String,
}

async fn message<F>(
    State(legacy): State<Arc<Legacy<F>>>,
    which: Result<Query<Which>, axum::extract::rejection::QueryRejection>,
    request: Request,
) -> Response {
    let unknown = || (StatusCode::NOT_FOUND, "there is no such session").into_response();
    let Ok(Query(Which { id })) = which else { return unknown() };
    let owner = owner();
    // Somebody else's session looks like none.
    let to_server = match legacy.sessions.lock().unwrap_or_else(PoisonError::into_inner).get(&id) {
        Some(session) if session.owner == owner => session.to_server.clone(),
        _ => return unknown(),
    };
    let is_json = request
        .headers()
        .get(axum::http::header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|kind| kind.split(';').next().is_some_and(|k| k.trim() == "application/json"));
    if !is_json {
        return (StatusCode::UNSUPPORTED_MEDIA_TYPE, "a message is application/json").into_response();
    }
    let (parts, body) = request.into_parts();
    let Ok(bytes) = to_bytes(body, super::MOST_BODY).await else {
        return (StatusCode::PAYLOAD_TOO_LARGE, "the message is too large").into_response();
    };
    let Ok(mut message) = serde_json::from_slice::<ClientJsonRpcMessage>(&bytes) else {
        return (StatusCode::BAD_REQUEST, "this is no JSON-RPC message").into_response();
    };
    // As on /mcp: handlers find who calls in the extensions.
    match &mut message {
        ClientJsonRpcMessage::Request(r) => {
            r.request.extensions_mut().insert(parts);
        }
        ClientJsonRpcMessage::Notification(n) => {
            n.notification.extensions_mut().insert(parts);
        }
        _ => {}
    }
    match to_server.send(Box::new(message)).await {
        Ok(()) => (StatusCode::ACCEPTED, "Accepted").into_response(),
        Err(_) => unknown(),
    }
}
