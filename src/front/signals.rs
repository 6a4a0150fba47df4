//! The signals that end a server: SIGTERM, and SIGINT from a terminal.
use crate::error::{Result, internal};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Cancels `stop` at the first of them. Listens when it returns; fails with `internal` where it cannot.
pub fn stop_on_signals(stop: CancellationToken) -> Result<()> {
    let cannot = |e: std::io::Error| internal("signals cannot be listened to").because(e);
    let mut terminate = signal(SignalKind::terminate()).map_err(cannot)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(cannot)?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stop.cancel();
    });
    Ok(())
}
