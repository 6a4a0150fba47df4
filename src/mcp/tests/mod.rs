//! The door as a client meets it: messages in, messages out, in both eras of the protocol.
mod asking;
mod calling;
mod reading;
mod standing;
mod watching;

use super::asking::Asking;
use super::door::Door;
use super::gate::Gate;
use super::opening::{Identify, Known, Local, Opening};
use super::server::Server;
use super::stdio;
use crate::error::{Code, Error};
use crate::ops::Limits;
use crate::testing::World;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, Lines, ReadHalf, WriteHalf};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Era {
    Handshake,
    PerRequest,
}

pub const ERAS: [Era; 2] = [Era::Handshake, Era::PerRequest];

/// A server over a world, with what a test may want to turn while it runs.
pub struct Rig {
    pub world: World,
    pub login: Arc<Mutex<String>>,
    /// The next calls panic inside the handler.
    pub panics: Arc<AtomicBool>,
    /// A call goes on only with a permit from here. Plenty by default.
    pub turns: Arc<Semaphore>,
    pub is_initialised: Arc<AtomicBool>,
    pub limits: Limits,
    pub gate: (usize, usize),
    pub patience_ms: u64,
    pub state_life_ms: u64,
}

impl Rig {
    pub async fn new() -> Self {
        Self {
            world: World::new().await,
            login: Arc::new(Mutex::new("ada".into())),
            panics: Arc::default(),
            turns: Arc::new(Semaphore::new(1_000_000)),
            is_initialised: Arc::new(AtomicBool::new(true)),
            limits: Limits::default(),
            gate: (64, 1024),
            patience_ms: 20_000,
            state_life_ms: 300_000,
        }
    }

    pub fn becomes(&self, login: &str) {
        *self.login.lock().unwrap() = login.into();
    }

    pub fn server(&self) -> Server {
        let (app, ready) = (self.world.app.clone(), self.is_initialised.clone());
        let open = Arc::new(move || match ready.load(Ordering::SeqCst) {
            true => Ok(app.clone()),
            false => Err(Error::new(Code::NotInitialised, "there is no vault here")),
        });
        let people: Vec<_> =
            crate::testing::PEOPLE.iter().map(|(l, _)| ((*l).to_owned(), self.world.caller(l))).collect();
        let (login, panics, turns) = (self.login.clone(), self.panics.clone(), self.turns.clone());
        let identify: Identify = Box::new(move |_| {
            let login = login.lock().unwrap().clone();
            let caller = people.iter().find(|(l, _)| *l == login).unwrap().1.clone();
            let (panics, turns) = (panics.load(Ordering::SeqCst), turns.clone());
            Box::pin(async move {
                assert!(!panics, "{}", canary());
                turns.acquire().await.unwrap().forget();
                Ok(Known { caller, limits: Limits::default() })
            })
        });
        let mut asking = Asking::new().unwrap();
        asking.patience = std::time::Duration::from_millis(self.patience_ms);
        asking.state_life = std::time::Duration::from_millis(self.state_life_ms);
        Server::over(Door {
            opening: Arc::new(Opening::new(open, std::time::Duration::ZERO)),
            identity: Box::new(Local(identify)),
            limits: self.limits.clone(),
            asking,
            gate: Gate::of(self.gate.0, self.gate.1),
        })
    }

    pub async fn client(&self, era: Era) -> Client {
        Client::connect(self.server(), era, json!({ "elicitation": {} })).await
    }
}

/// Text that must come back in no answer. Made at run time, for it looks like a secret.
pub fn canary() -> String {
    format!("ghp_{}", "Zq7Xw9Rt2Lm4".repeat(3))
}

/// What a failed call says: as text alone, for clients hold structured content against the tool's output schema.
pub fn failure(result: &Value) -> Value {
    assert_eq!(result["isError"], true, "{result}");
    assert!(result["structuredContent"].is_null(), "{result}");
    serde_json::from_str(result["content"][0]["text"].as_str().unwrap()).unwrap()
}

/// Sends and reads lines, as a client does that takes nothing for granted.
pub struct Client {
    lines: Lines<BufReader<ReadHalf<DuplexStream>>>,
    write: WriteHalf<DuplexStream>,
    era: Era,
    capabilities: Value,
    last_id: i64,
}

impl Client {
    pub async fn connect(server: Server, era: Era, capabilities: Value) -> Self {
        let (here, there) = tokio::io::duplex(1 << 20);
        let (read, write) = tokio::io::split(there);
        tokio::spawn(stdio::serve(server, read, write, CancellationToken::new()));
        let (read, write) = tokio::io::split(here);
        let mut client = Self { lines: BufReader::new(read).lines(), write, era, capabilities, last_id: 0 };
        if era == Era::Handshake {
            let me = json!({ "name": "rig", "version": "1" });
            let params = json!({ "protocolVersion": "2025-11-25", "capabilities": client.capabilities, "clientInfo": me });
            let reply = client.request("initialize", params).await;
            assert_eq!(reply["result"]["serverInfo"]["name"], "unsaid");
            client
                .line(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }).to_string())
                .await;
        }
        client
    }

    pub async fn line(&mut self, text: &str) {
        self.write.write_all(text.as_bytes()).await.unwrap();
        self.write.write_all(b"\n").await.unwrap();
    }

    pub async fn bytes(&mut self, bytes: &[u8]) {
        self.write.write_all(bytes).await.unwrap();
    }

    /// Sends a request without waiting; returns its id.
    pub async fn send(&mut self, method: &str, mut params: Value) -> i64 {
        self.last_id += 1;
        if self.era == Era::PerRequest {
            params["_meta"] = json!({
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientInfo": { "name": "rig", "version": "1" },
                "io.modelcontextprotocol/clientCapabilities": self.capabilities,
            });
        }
        let request = json!({ "jsonrpc": "2.0", "id": self.last_id, "method": method, "params": params });
        self.line(&request.to_string()).await;
        self.last_id
    }

    pub async fn receive(&mut self) -> Value {
        let line = tokio::time::timeout(std::time::Duration::from_secs(30), self.lines.next_line()).await;
        let line = line.expect("an answer within half a minute").unwrap().expect("the connection is open");
        serde_json::from_str(&line).expect("nothing but JSON is written")
    }

    /// The whole reply to one request.
    pub async fn request(&mut self, method: &str, params: Value) -> Value {
        let id = self.send(method, params).await;
        let reply = self.receive().await;
        assert_eq!(reply["id"], id, "{reply}");
        reply
    }

    /// The result of one tool call, which must be no protocol error.
    pub async fn call(&mut self, tool: &str, arguments: Value) -> Value {
        let reply = self.request("tools/call", json!({ "name": tool, "arguments": arguments })).await;
        assert!(reply["error"].is_null(), "{reply}");
        reply["result"].clone()
    }

    /// The code of a tool call that must fail.
    pub async fn refused(&mut self, tool: &str, arguments: Value) -> String {
        let result = self.call(tool, arguments).await;
        assert_eq!(result["isError"], true, "{result}");
        failure(&result)["code"].as_str().unwrap().to_owned()
    }

    pub async fn tools(&mut self) -> Vec<Value> {
        self.request("tools/list", json!({})).await["result"]["tools"].as_array().unwrap().clone()
    }
}
