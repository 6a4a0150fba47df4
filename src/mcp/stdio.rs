//! The door on standard input and output: one client, which started us.
//!
//! Nothing but protocol messages is ever written to standard output. Clients hand over pipes, socketpairs (those
//! on Node do) or files; each kind is read in the way that costs least.
use super::opening::{Identify, Local, Open};
use super::server::Server;
use super::wire::Wire;
use crate::error::{Error, Result, internal};
use crate::front::stop_on_signals;
use crate::ops::Limits;
use rmcp::ServiceExt;
use rmcp::service::ServerInitializeError;
use rmcp::transport::io::{stdio, stdio_pipes};
use rustix::fs::{FileType, fstat};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
use tokio_util::sync::CancellationToken;

/// How long what runs may take to finish once nobody listens: the deadline of a request to a provider, and what it takes
/// to keep its answer.
const FINISHED: Duration = Duration::from_secs(15);

/// Serves the client on standard input and output until it closes them, or until SIGTERM or SIGINT.
///
/// The vault is opened at once beside the first messages, and again on each call as long as that fails. Where
/// standard input is neither a pipe nor a socket, a thread may still be reading it when this returns: leave the
/// process without waiting for it.
///
/// Fails with `internal` when signals cannot be listened to or the connection breaks in its first message.
pub async fn serve_stdio(open: Open, limits: Limits, identify: Identify) -> Result<()> {
    let server = Server::new(open, Local(identify), limits)?;
    let stop = CancellationToken::new();
    stop_on_signals(stop.clone())?;
    let warming = server.clone();
    tokio::spawn(async move { warming.warm().await });
    match standard_streams()? {
        Streams::Pipes => {
            let (read, write) = stdio_pipes();
            serve(server, read, write, stop).await
        }
        Streams::Sockets(read, write) => serve(server, read, write, stop).await,
        Streams::Others => {
            let (read, write) = stdio();
            serve(server, read, write, stop).await
        }
    }
}

/// Serves one client over any pair of streams, a message a line.
pub async fn serve<R, W>(server: Server, read: R, write: W, stop: CancellationToken) -> Result<()>
where
    R: AsyncRead + Send + Unpin + 'static,
    W: AsyncWrite + Send + Unpin + 'static,
{
    let gone = CancellationToken::new();
    let wire = Wire::new(read, write, gone.clone());
    let served = server.connection(gone.clone()).serve_with_ct(wire, stop).await;
    let ended = match served {
        Ok(running) => match running.waiting().await {
            Ok(_) => Ok(()),
            Err(e) => Err(internal("the connection ended in an unexpected way").because(e)),
        },
        // The client left before it said anything, or we were told to stop.
        Err(ServerInitializeError::ConnectionClosed(_) | ServerInitializeError::Cancelled) => Ok(()),
        // The library's text repeats what the client sent: it is dropped here.
        Err(_) => Err(internal("the client broke off the handshake")),
    };
    // Nobody answers a question any more. What is done already is done to its end: tokens that a provider has sent would
    // be lost with us.
    gone.cancel();
    if tokio::time::timeout(FINISHED, server.idle()).await.is_err() {
        tracing::warn!("calls were still at work and are broken off");
    }
    ended
}

enum Streams {
    Pipes,
    Sockets(UnixStream, UnixStream),
    Others,
}

fn standard_streams() -> Result<Streams> {
    let (input, output) = (std::io::stdin(), std::io::stdout());
    let (input, output) = (input.as_fd(), output.as_fd());
    Ok(match (kind(input), kind(output)) {
        (Some(FileType::Fifo), Some(FileType::Fifo)) => Streams::Pipes,
        (Some(FileType::Socket), Some(FileType::Socket)) => match (unix_stream(input)?, unix_stream(output)?)
        {
            (Some(read), Some(write)) => Streams::Sockets(read, write),
            _ => Streams::Others,
        },
        _ => Streams::Others,
    })
}

fn kind(fd: BorrowedFd<'_>) -> Option<FileType> {
    fstat(fd).ok().map(|stat| FileType::from_raw_mode(stat.st_mode))
}

/// A second handle on a Unix stream socket; `None` for a socket of another family.
fn unix_stream(fd: BorrowedFd<'_>) -> Result<Option<UnixStream>> {
    let cannot = |e: std::io::Error| -> Error { internal("a standard stream cannot be used").because(e) };
    let stream = std::os::unix::net::UnixStream::from(fd.try_clone_to_owned().map_err(cannot)?);
    if stream.local_addr().is_err() {
        return Ok(None);
    }
    stream.set_nonblocking(true).map_err(cannot)?;
    UnixStream::from_std(stream).map(Some).map_err(cannot)
}
