//! JSON-RPC messages over a pair of streams, a line each. Reading is ours (see `lines`), writing the library's.
use super::lines::Lines;
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
use tokio::io::{AsyncRead, AsyncWrite, Empty};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

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
