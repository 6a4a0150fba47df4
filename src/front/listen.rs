//! Accepts connections, a bounded number of them, none of which may dawdle; and stops when told, once what runs is done.
use super::strict::{Malformed, Strict};
use super::tls::Tls;
use super::{Peer, malformed};
use crate::error::{Code, Error, Result};
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

/// Connections at once; those beyond wait to be accepted.
const MOST_CONNECTIONS: usize = 4096;
/// How long a request's head may take, and a TLS handshake.
const HEAD_PATIENCE: Duration = Duration::from_secs(10);

/// A bound socket.
pub struct Listener {
    socket: TcpListener,
    tls: Option<Tls>,
}

impl Listener {
    /// Fails with `config_invalid` where the address is taken or is not this machine's.
    pub async fn bind(address: SocketAddr, tls: Option<Tls>) -> Result<Self> {
        let socket = TcpListener::bind(address).await.map_err(|e| {
            Error::new(Code::ConfigInvalid, format!("{address} cannot be listened on: {}", e.kind()))
                .next("Choose another address or port, or stop what listens there.")
        })?;
        Ok(Self { socket, tls })
    }

    pub fn local(&self) -> Result<SocketAddr> {
        self.socket.local_addr().map_err(|e| crate::error::internal("a socket has no address").because(e))
    }
}

/// Serves `router` until `stop`; then accepts no more, waits for `finished` and for the answers on their way, both
/// together for `grace` at most, and breaks off what is left.
pub async fn serve(
    listener: Listener,
    router: Router,
    stop: CancellationToken,
    finished: impl Future<Output = ()>,
    grace: Duration,
) {
    let places = Arc::new(Semaphore::new(most_connections()));
    let open = GracefulShutdown::new();
    let ended = CancellationToken::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accept(&listener, &places) => accepted,
        };
        let Some((stream, peer, place)) = accepted else { continue };
        let (router, tls, watcher) = (router.clone(), listener.tls.clone(), open.watcher());
        let ended = ended.clone();
        tokio::spawn(async move {
            let work = async {
                match tls {
                    None => connection(stream, peer, router, watcher).await,
                    // Apart: a connection without TLS would take as much as one with it, as long as it waits.
                    Some(Tls(tls)) => {
                        let secured = async move {
                            let handshake = tokio::time::timeout(HEAD_PATIENCE, tls.accept(stream)).await;
                            // One that fails is the other side's business.
                            if let Ok(Ok(stream)) = handshake {
                                connection(stream, peer, router, watcher).await;
                            }
                        };
                        Box::pin(secured).await;
                    }
                }
            };
            tokio::select! {
                () = work => {}
                () = ended.cancelled() => {}
            }
            drop(place);
        });
    }
    drop(listener);
    let all = async {
        tokio::join!(open.shutdown(), finished);
    };
    if tokio::time::timeout(grace, all).await.is_err() {
        tracing::warn!("connections were still open and are broken off");
    }
    ended.cancel();
}

/// As many as there may be files for, with as many again for the vault and what is called.
fn most_connections() -> usize {
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    files.map_or(MOST_CONNECTIONS, |files| MOST_CONNECTIONS.min((files / 2) as usize)).max(8)
}

type Accepted = (TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit);

/// The next connection once there is a place for it; `None` where accepting failed for the moment.
async fn accept(listener: &Listener, places: &Arc<Semaphore>) -> Option<Accepted> {
    let place = places.clone().acquire_owned().await.ok()?;
    match listener.socket.accept().await {
        Ok((stream, peer)) => {
            // Answers are small and wanted now: without this each event of a stream waits 40 ms.
            let _ = stream.set_nodelay(true);
            Some((stream, peer, place))
        }
        Err(e) => {
            // Too many open files, for one: the next attempt would fail as fast.
            tracing::warn!(kind = %e.kind(), "a connection could not be accepted");
            tokio::time::sleep(Duration::from_millis(50)).await;
            None
        }
    }
}

async fn connection<S>(
    stream: S,
    peer: SocketAddr,
    router: Router,
    watcher: hyper_util::server::graceful::Watcher,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let refused = Malformed::default();
    let stream = Strict::new(stream, refused.clone());
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let refusal = refused.refusal(request.uri().path());
        let mut request: Request = request.map(Body::new);
        request.extensions_mut().insert(Peer(peer.ip()));
        let router = router.clone();
        async move {
            match refusal {
                Some((status, e)) => Ok(malformed(status, &e)),
                None => router.oneshot(request).await,
            }
        }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_PATIENCE)
        .max_buf_size(64 * 1024)
        .serve_connection(TokioIo::new(stream), service);
    // Broken connections and malformed requests are the other side's business.
    let _ = watcher.watch(served).await;
}
