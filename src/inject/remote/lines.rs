//! The client's side: its lines in, one message each, and ours out.
use super::message::{Spoken, refusal};
use super::{Bridge, Keys, MOST_MESSAGE};
use crate::error::{Code, Error, Result};
use crate::services::client::Outbound;
use hyper::body::Bytes;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use url::Url;

/// Lines on their way to the client.
const QUEUE: usize = 64;
/// How long what was asked is waited for once the client has ended; and the end of the session.
const GRACE: Duration = Duration::from_secs(10);
const FAREWELL: Duration = Duration::from_secs(2);
/// How long what follows a notification waits for it to arrive; and what follows the first message, for its answer.
const IN_ORDER: Duration = Duration::from_secs(5);
const FIRST: Duration = Duration::from_secs(300);

/// Carries messages between the client at `input` and `output` and the server at `url`, until the client has ended or
/// `stop` is cancelled. `warn` gets a sentence for what no answer can tell.
///
/// Fails with `invalid_input` for an address that no credential may be sent to.
pub async fn serve<K: Keys>(
    keys: K,
    url: &Url,
    outbound: Outbound,
    input: impl AsyncBufRead + Unpin,
    output: impl AsyncWrite + Unpin + Send + 'static,
    stop: CancellationToken,
    warn: impl Fn(&str) + Clone + Send + Sync + 'static,
) -> Result<()> {
    let (said, lines) = mpsc::channel(QUEUE);
    let bridge = Arc::new(Bridge::new(keys, url, outbound, said)?);
    let writer = tokio::spawn(write(lines, output, stop.clone()));
    let mut under_way = JoinSet::new();
    let mut listening = None;
    let (heard, messages) = mpsc::channel(QUEUE);
    let all_answered = async {
        carry(&bridge, messages, &mut under_way, &mut listening, &warn).await;
        while under_way.join_next().await.is_some() {}
    };
    // A client that has ended is noticed whatever is still waited for, and nothing of it for long after.
    let gone_for_long = async {
        hear(&bridge, input, heard).await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        () = all_answered => {}
        () = gone_for_long => {}
        () = stop.cancelled() => {}
    }
    under_way.shutdown().await;
    if let Some(listening) = listening.take() {
        let listening: tokio::task::JoinHandle<()> = listening;
        listening.abort();
        // Aborted, as it should be.
        let _ = listening.await;
    }
    // A server that does not answer has ended it by itself.
    let _ = tokio::time::timeout(FAREWELL, bridge.end()).await;
    drop(bridge);
    // A client that does not read any more is not waited for.
    let _ = tokio::time::timeout(FAREWELL, writer).await;
    Ok(())
}

/// What the client says, line by line, until it says no more.
async fn hear<K: Keys>(
    bridge: &Arc<Bridge<K>>,
    mut input: impl AsyncBufRead + Unpin,
    heard: mpsc::Sender<(Bytes, Spoken)>,
) {
    loop {
        let said = match line(&mut input).await {
            Ok(Some(line)) if line.trim_ascii().is_empty() => continue,
            Ok(Some(line)) => Spoken::parse(&line).map(|spoken| (Bytes::from(line), spoken)),
            Ok(None) => return,
            Err(e) => Err(e),
        };
        match said {
            Ok(message) => match heard.send(message).await {
                Ok(()) => {}
                // Nobody carries it any more.
                Err(_) => return,
            },
            Err(e) => bridge.say(refusal(&Value::Null, &e)).await,
        }
    }
}

/// Sends each message to the server, in their order where that matters; ends when there are no more.
async fn carry<K: Keys>(
    bridge: &Arc<Bridge<K>>,
    mut messages: mpsc::Receiver<(Bytes, Spoken)>,
    under_way: &mut JoinSet<()>,
    listening: &mut Option<tokio::task::JoinHandle<()>>,
    warn: &(impl Fn(&str) + Clone + Send + Sync + 'static),
) {
    while let Some((line, spoken)) = messages.recv().await {
        while under_way.try_join_next().is_some() {}
        let (is_initialize, is_initialized) = (spoken.is_initialize(), spoken.is_initialized());
        let is_asking = !spoken.ids.is_empty();
        let (done, arrived) = oneshot::channel();
        let (sender, warn) = (bridge.clone(), warn.clone());
        under_way.spawn(async move {
            if let Err(e) = sender.exchange(line, spoken, done).await {
                warn(&format!("{}. {}", e.message(), e.next_step()));
            }
        });
        // The session begins with the first answer; what is told arrives before what is asked after it.
        let has_arrived = match (is_initialize, is_asking) {
            (true, _) => matches!(tokio::time::timeout(FIRST, arrived).await, Ok(Ok(()))),
            (false, true) => continue,
            (false, false) => matches!(tokio::time::timeout(IN_ORDER, arrived).await, Ok(Ok(()))),
        };
        if is_initialized && has_arrived && listening.is_none() {
            *listening = Some(tokio::spawn(bridge.clone().listen()));
        }
    }
}

/// The next line; nothing at the end. Fails with `too_large` for one that is larger than any message, and goes on
/// after it.
async fn line(input: &mut (impl AsyncBufRead + Unpin)) -> Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let mut is_too_large = false;
    loop {
        let most = (MOST_MESSAGE + 1 - line.len()) as u64;
        // An input that cannot be read any more has ended.
        let size = (&mut *input).take(most).read_until(b'\n', &mut line).await.unwrap_or(0);
        if size > 0 && line.len() > MOST_MESSAGE && line.last() != Some(&b'\n') {
            is_too_large = true;
            line.clear();
            continue;
        }
        if is_too_large {
            return Err(Error::new(
                Code::TooLarge,
                format!("a message has at most {} MiB", MOST_MESSAGE >> 20),
            )
            .next("Send less at once."));
        }
        return Ok((!line.is_empty()).then_some(line));
    }
}

/// Writes what there is to say; a client that reads no more ends everything.
async fn write(
    mut lines: mpsc::Receiver<Vec<u8>>,
    mut output: impl AsyncWrite + Unpin,
    stop: CancellationToken,
) {
    while let Some(line) = lines.recv().await {
        let written = async {
            output.write_all(&line).await?;
            output.flush().await
        };
        if written.await.is_err() {
            return stop.cancel();
        }
    }
}
