//! JSON-RPC messages, a line each, over a pair of streams.
//!
//! The library's own transport keeps the last message in two buffers for the life of a connection. Here every line is
//! written over as soon as it has been read, since what was refused in an argument must not lie in a buffer (H-02).
//! Writing is the library's.
use rmcp::RoleServer;
use rmcp::model::{
    CallToolRequestMethod, CallToolRequestParams, ClientRequest, ErrorData, JsonRpcMessage, JsonRpcRequest,
    JsonRpcVersion2_0, Request, RequestId,
};
use rmcp::service::{RxJsonRpcMessage, TxJsonRpcMessage};
use rmcp::transport::Transport;
use rmcp::transport::async_rw::AsyncRwTransport;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::error::Category;
use std::io;
use std::marker::PhantomData;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, Empty};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use zeroize::{Zeroize, Zeroizing};

/// The longest message that is read; a longer one is skipped, and the connection goes on (M-04).
pub(super) const MAX_MESSAGE_BYTES: usize = 4 * 1024 * 1024;
/// What is asked of the stream at once, and kept between messages.
const BLOCK: usize = 8 * 1024;
/// What editors put before a text, and a message may begin with.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A client's messages, with what the library leaves to us: it ends a connection whose first message asks for
/// nothing, and lets calls wait for a client that is gone.
pub(super) struct Wire<R, W: AsyncWrite> {
    lines: Lines<R>,
    writer: AsyncRwTransport<RoleServer, Empty, W>,
    /// The answer to a message of the wrong shape, on its way: nothing more is read until it is out.
    complaint: Option<JoinHandle<io::Result<()>>>,
    gone: CancellationToken,
    has_begun: bool,
}

impl<R, W> Wire<R, W>
where
    R: AsyncRead + Send + Unpin + 'static,
    W: AsyncWrite + Send + Unpin + 'static,
{
    /// `gone` is cancelled when the client is.
    pub(super) fn new(read: R, write: W, gone: CancellationToken) -> Self {
        let writer = AsyncRwTransport::new(tokio::io::empty(), write);
        Self { lines: Lines::new(read), writer, complaint: None, gone, has_begun: false }
    }

    /// The next message, of whatever kind. May be dropped at any await: nothing of the stream is lost.
    async fn next(&mut self) -> Option<RxJsonRpcMessage<RoleServer>> {
        loop {
            if let Some(complaint) = &mut self.complaint {
                let said = complaint.await;
                self.complaint = None;
                said.ok()?.ok()?;
            }
            match self.lines.next().await {
                Ok(true) => {}
                Ok(false) => return None,
                Err(e) => {
                    tracing::error!(kind = ?e.kind(), "the client's stream cannot be read");
                    return None;
                }
            }
            let read = parse(self.lines.line());
            self.lines.wipe();
            match read {
                Parsed::Message(message) => return Some(*message),
                Parsed::Nothing => {}
                Parsed::Wrong => {
                    let wrong = ErrorData::invalid_request("Invalid request", None);
                    let said = self.writer.send(TxJsonRpcMessage::<RoleServer>::error(wrong, None));
                    self.complaint = Some(tokio::spawn(said));
                }
            }
        }
    }
}

impl<R, W> Transport<RoleServer> for Wire<R, W>
where
    R: AsyncRead + Send + Unpin + 'static,
    W: AsyncWrite + Send + Unpin + 'static,
{
    type Error = io::Error;

    fn send(
        &mut self,
        message: TxJsonRpcMessage<RoleServer>,
    ) -> impl Future<Output = io::Result<()>> + Send + 'static {
        self.writer.send(message)
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleServer>> {
        loop {
            let Some(message) = self.next().await else {
                self.gone.cancel();
                return None;
            };
            self.has_begun |= matches!(message, JsonRpcMessage::Request(_));
            if self.has_begun {
                return Some(message);
            }
        }
    }

    async fn close(&mut self) -> io::Result<()> {
        self.gone.cancel();
        self.writer.close().await
    }
}

enum Parsed {
    Message(Box<RxJsonRpcMessage<RoleServer>>),
    /// No JSON, or a notification of another protocol: there is nobody to answer.
    Nothing,
    /// JSON, but no message.
    Wrong,
}

fn parse(line: &[u8]) -> Parsed {
    let line = line.trim_ascii_end();
    let line = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line);
    if line.is_empty() {
        return Parsed::Nothing;
    }
    if let Ok(MapOnly(call)) = serde_json::from_slice::<MapOnly<Call>>(line) {
        return Parsed::Message(Box::new(call.into()));
    }
    match serde_json::from_slice::<RxJsonRpcMessage<RoleServer>>(line) {
        Ok(message) => Parsed::Message(Box::new(message)),
        Err(e) if matches!(e.classify(), Category::Syntax | Category::Eof) => Parsed::Nothing,
        // A notification is never answered (JSON-RPC 2.0, section 4.1).
        Err(_) => match serde_json::from_slice::<Outline>(line) {
            Ok(Outline { method: Some(_), id: None }) => Parsed::Nothing,
            _ => Parsed::Wrong,
        },
    }
}

/// A tool call, read at once. The library takes a message apart four times and tries thirteen other requests before
/// this one; what does not fit here exactly goes its way.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Call {
    #[serde(rename = "jsonrpc")]
    _version: JsonRpcVersion2_0,
    id: RequestId,
    #[serde(rename = "method")]
    _method: CallToolRequestMethod,
    params: MapOnly<CallToolRequestParams>,
}

/// An object. Derived types would take an array for one, too, which the library does not.
struct MapOnly<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for MapOnly<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Object<T> {
            type Value = MapOnly<T>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<MapOnly<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(MapOnly)
            }
        }
        deserializer.deserialize_map(Object(PhantomData))
    }
}

impl From<Call> for RxJsonRpcMessage<RoleServer> {
    fn from(call: Call) -> Self {
        let MapOnly(mut params) = call.params;
        let meta = params.meta.take();
        let mut request = Request::new(params);
        if let Some(meta) = meta {
            request.extensions.insert(meta);
        }
        Self::Request(JsonRpcRequest::new(call.id, ClientRequest::CallToolRequest(request)))
    }
}

/// What tells a notification from a request.
#[derive(Deserialize)]
struct Outline {
    method: Option<serde::de::IgnoredAny>,
    id: Option<serde::de::IgnoredAny>,
}

/// Bounded lines of a stream, each written over once it is done with.
struct Lines<R> {
    from: R,
    buffer: Zeroizing<Vec<u8>>,
    /// What the stream has given and nobody has taken: `buffer[start..filled]`. All else in the buffer is zeros.
    start: usize,
    filled: usize,
    /// Up to here there is no end of a line.
    searched: usize,
    /// In the rest of a line that was too long.
    is_skipping: bool,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    fn new(from: R) -> Self {
        let buffer = Zeroizing::new(vec![0; BLOCK]);
        Self { from, buffer, start: 0, filled: 0, searched: 0, is_skipping: false }
    }

    /// Waits for the next line, which is [`Self::line`] until [`Self::wipe`]. `false` at the end of the stream.
    async fn next(&mut self) -> io::Result<bool> {
        loop {
            let unseen = &self.buffer[self.searched..self.filled];
            if let Some(at) = unseen.iter().position(|byte| *byte == b'\n') {
                self.searched += at;
                if !self.is_skipping && self.searched - self.start < MAX_MESSAGE_BYTES {
                    return Ok(true);
                }
                tracing::error!(most = MAX_MESSAGE_BYTES, "a message was too long, and was skipped");
                self.is_skipping = false;
                self.wipe();
                continue;
            }
            self.searched = self.filled;
            if self.is_skipping || self.filled - self.start >= MAX_MESSAGE_BYTES {
                self.is_skipping = true;
                self.wipe();
            }
            self.make_room();
            match self.from.read(&mut self.buffer[self.filled..]).await? {
                0 => return Ok(false),
                read => self.filled += read,
            }
        }
    }

    /// The line that [`Self::next`] found, without its end.
    fn line(&self) -> &[u8] {
        &self.buffer[self.start..self.searched]
    }

    /// Writes over all up to where was searched, and the end of the line there.
    fn wipe(&mut self) {
        let end = (self.searched + 1).min(self.filled);
        self.buffer[self.start..end].zeroize();
        (self.start, self.searched) = (end, end);
    }

    /// Moves what is left to the front, and makes the buffer larger where that is full, smaller where it is empty.
    fn make_room(&mut self) {
        let left = self.filled - self.start;
        let size = match left {
            0 => BLOCK,
            left if left == self.buffer.len() => left * 2,
            _ => self.buffer.len(),
        };
        if size != self.buffer.len() {
            let mut other = Zeroizing::new(vec![0; size]);
            other[..left].copy_from_slice(&self.buffer[self.start..self.filled]);
            self.buffer = other;
        } else if self.start > 0 {
            self.buffer.copy_within(self.start..self.filled, 0);
            self.buffer[left..self.filled].zeroize();
        }
        self.searched -= self.start;
        (self.start, self.filled) = (0, left);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::time::Duration;
    use tokio::io::{AsyncWriteExt as _, DuplexStream};

    fn lines() -> (DuplexStream, Lines<DuplexStream>) {
        let (client, server) = tokio::io::duplex(64 * 1024);
        (client, Lines::new(server))
    }

    async fn taken(lines: &mut Lines<DuplexStream>) -> Option<String> {
        if !lines.next().await.unwrap() {
            return None;
        }
        let text = String::from_utf8(lines.line().to_vec()).unwrap();
        lines.wipe();
        Some(text)
    }

    #[tokio::test]
    async fn h_02_nothing_of_a_line_stays_once_it_is_done_with() {
        let (mut client, mut lines) = lines();
        client.write_all(format!("{}\nnext\nha", "k".repeat(5_000)).as_bytes()).await.unwrap();

        assert_eq!(taken(&mut lines).await.map(|line| line.len()), Some(5_000));
        assert!(!lines.buffer.contains(&b'k'));
        assert_eq!(taken(&mut lines).await.as_deref(), Some("next"));
        let left = lines.start..lines.filled;
        assert_eq!(&lines.buffer[left.clone()], b"ha");
        let outside = |at: &usize| !left.contains(at);
        assert!((0..lines.buffer.len()).filter(outside).all(|at| lines.buffer[at] == 0));
        assert!(tokio::time::timeout(Duration::from_millis(20), lines.next()).await.is_err());
        assert_eq!(&lines.buffer[..2], b"ha");
        assert!(lines.buffer[2..].iter().all(|byte| *byte == 0));
    }

    #[tokio::test]
    async fn h_02_a_long_line_leaves_no_long_buffer() {
        let (mut client, mut lines) = lines();
        client.write_all(format!("{}\n", "k".repeat(40_000)).as_bytes()).await.unwrap();

        assert_eq!(taken(&mut lines).await.map(|line| line.len()), Some(40_000));
        assert!(lines.buffer.iter().all(|byte| *byte == 0));
        assert!(tokio::time::timeout(Duration::from_millis(20), lines.next()).await.is_err());
        assert!(lines.buffer.len() == BLOCK && lines.buffer.iter().all(|byte| *byte == 0));
    }

    #[tokio::test]
    async fn a_line_that_comes_in_pieces_survives_a_reader_that_gives_up() {
        let (mut client, mut lines) = lines();
        client.write_all(b"half").await.unwrap();

        assert!(tokio::time::timeout(Duration::from_millis(20), lines.next()).await.is_err());
        client.write_all(b" whole\r\n").await.unwrap();
        assert_eq!(taken(&mut lines).await.as_deref(), Some("half whole\r"));
        drop(client);
        assert_eq!(taken(&mut lines).await, None);
    }

    #[tokio::test]
    async fn m_04_a_line_too_long_is_skipped_and_the_next_is_read() {
        let (mut client, mut lines) = lines();
        let saying = tokio::spawn(async move {
            for length in [MAX_MESSAGE_BYTES, 2 * MAX_MESSAGE_BYTES + 3, MAX_MESSAGE_BYTES - 1] {
                client.write_all(&vec![b'k'; length]).await.unwrap();
                client.write_all(b"\nnext\n").await.unwrap();
            }
        });

        assert_eq!(taken(&mut lines).await.as_deref(), Some("next"));
        assert_eq!(taken(&mut lines).await.as_deref(), Some("next"));
        assert_eq!(taken(&mut lines).await.map(|line| line.len()), Some(MAX_MESSAGE_BYTES - 1));
        assert_eq!(taken(&mut lines).await.as_deref(), Some("next"));
        assert_eq!(taken(&mut lines).await, None);
        saying.await.unwrap();
    }

    fn message(line: &str) -> Option<RxJsonRpcMessage<RoleServer>> {
        match parse(line.as_bytes()) {
            Parsed::Message(message) => Some(*message),
            Parsed::Nothing | Parsed::Wrong => None,
        }
    }

    /// What the short way makes of a call is what the library makes of it.
    #[test]
    fn a_tool_call_is_read_as_the_library_reads_it() {
        let meta = json!({ "io.modelcontextprotocol/protocolVersion": "2026-07-28", "progressToken": 7 });
        for params in [
            json!({ "name": "whoami" }),
            json!({ "name": "whoami", "arguments": {} }),
            json!({ "name": "get_credential", "arguments": { "credential": "K" }, "_meta": meta }),
            json!({ "name": "whoami", "requestState": "s", "inputResponses": {}, "task": { "ttl": 1 } }),
        ] {
            for id in [json!(1), json!("one")] {
                let line = json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params });
                let library: RxJsonRpcMessage<RoleServer> = serde_json::from_value(line.clone()).unwrap();
                let ours =
                    serde_json::from_value::<Call>(line.clone()).map(RxJsonRpcMessage::<RoleServer>::from);

                assert_eq!(format!("{:?}", ours.unwrap()), format!("{library:?}"));
                assert_eq!(format!("{:?}", message(&line.to_string()).unwrap()), format!("{library:?}"));
            }
        }
    }

    #[test]
    fn what_is_no_whole_tool_call_goes_the_library_s_way() {
        for line in [
            json!({ "jsonrpc": "1.0", "id": 1, "method": "tools/call", "params": { "name": "whoami" } }),
            json!({ "jsonrpc": "2.0", "method": "tools/call", "params": { "name": "whoami" } }),
            json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": 3 } }),
            json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": { "name": "whoami" } }),
            json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "whoami" }, "result": 1 }),
            json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": [null, "whoami", {}, null, null] }),
            json!(["2.0", 1, "tools/call", { "name": "whoami" }]),
        ] {
            assert!(serde_json::from_value::<MapOnly<Call>>(line.clone()).is_err(), "{line}");
        }
    }

    #[test]
    fn only_json_that_asks_for_something_is_complained_about() {
        let is_wrong = |line: &str| matches!(parse(line.as_bytes()), Parsed::Wrong);
        let is_nothing = |line: &str| matches!(parse(line.as_bytes()), Parsed::Nothing);

        for line in ["", " \r", "{", "Content-Length: 3", "\u{feff}", r#"{"method":"$/lsp"}"#] {
            assert!(is_nothing(line), "{line:?}");
        }
        for line in ["3", "[]", r#"{"jsonrpc":"2.0","id":1}"#, r#"{"id":1,"method":"ping"}"#] {
            assert!(is_wrong(line), "{line:?}");
        }
        assert!(message("\u{feff}{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\r").is_some());
    }
}
