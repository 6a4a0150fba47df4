//! What it costs that a server is started by `unsaid mcp`, which masks what it answers: a call through it, beside the
//! same call to the bare server.
//!
//! `cargo bench --bench mcp`. The server is the leanest there can be on this library, this very binary started again, on
//! one thread. Both are called turn by turn over pipes, one call at a time; figures are medians.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, ErrorData, ServerCapabilities,
    ServerConfig,
};
use rmcp::service::RequestContext;
use rmcp::transport::io::stdio_pipes;
use rmcp::{RoleServer, ServerHandler, ServiceExt};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};
use unsaid::app::App;
use unsaid::config::Config;
use unsaid::model::access::{Caller, Door};
use unsaid::ops::consumer::{GivenBinding, RegisterConsumer, register_all};

/// The argument with which this binary is the server.
const ECHO: &str = "--echo";
const FIVE: [&str; 5] = ["K_A", "K_B", "K_C", "K_D", "K_E"];
/// Bytes of the text that is said and answered, and how often.
const SIZES: [(usize, usize); 3] = [(100, 8_000), (10_000, 4_000), (1_000_000, 200)];
/// Calls of one server before it is the other's turn.
const BLOCK: usize = 50;

fn main() {
    if std::env::args().any(|arg| arg == ECHO) {
        return echo();
    }
    let folder = tempfile::tempdir().unwrap();
    // Copied as `cargo install` copies them: what a linker has written starts more slowly.
    let place = |name: &str| folder.path().join(name);
    std::fs::copy(env!("CARGO_BIN_EXE_unsaid"), place("unsaid")).unwrap();
    std::fs::copy(std::env::current_exe().unwrap(), place("echo")).unwrap();
    let home = place("home");
    let unsaid = || {
        let mut command = Command::new(place("unsaid"));
        command.env("UNSAID_HOME", &home);
        command
    };
    make(&home, &unsaid, &place("echo"));
    let bare = || {
        let mut command = Command::new(place("echo"));
        command.arg(ECHO);
        command
    };
    let through = || {
        let mut command = unsaid();
        command.args(["mcp", "echo"]);
        command
    };
    println!("{:<28} {:>12} {:>12} {:>8} {:>12}", "", "bare", "unsaid mcp", "", "");
    for (size, count) in SIZES {
        let (mut taken, said) = ([Vec::new(), Vec::new()], "x".repeat(size));
        let mut servers = [Server::start(bare()), Server::start(through())];
        for round in 0..count / BLOCK + 2 {
            for (server, taken) in servers.iter_mut().zip(&mut taken) {
                taken.extend((0..BLOCK).map(|_| server.call(&said)));
            }
            // The first rounds warm up.
            if round == 1 {
                taken.iter_mut().for_each(Vec::clear);
            }
        }
        line(&format!("a call of {size} bytes"), taken);
    }
    let mut taken = [Vec::new(), Vec::new()];
    for _ in 0..100 {
        taken[0].push(start(bare()));
        taken[1].push(start(through()));
    }
    line("start to the first answer", taken);
}

fn line(what: &str, taken: [Vec<Duration>; 2]) {
    let [bare, through] = taken.map(|mut taken| {
        taken.sort();
        taken[taken.len() / 2].as_nanos() as f64 / 1000.0
    });
    let (ratio, more) = (through / bare, through - bare);
    println!("{what:<28} {bare:>9.1} µs {through:>9.1} µs {ratio:>6.2} × {more:>+9.1} µs");
}

/// A vault with five values, all of which the consumer `echo` gets.
fn make(home: &Path, unsaid: &dyn Fn() -> Command, echo: &Path) {
    let did = |args: &[&str]| {
        let done = unsaid().args(args).stdin(Stdio::null()).output().unwrap();
        assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
    };
    did(&["init", "--key", "file", "--user", "ada"]);
    let file = home.join("five.env");
    let lines = FIVE.map(|name| format!("{name}=a-value-of-{name}-that-is-as-long-as-most\n"));
    std::fs::write(&file, lines.concat()).unwrap();
    did(&["import", file.to_str().unwrap(), "--yes"]);
    let place = home.display().to_string();
    let config = Config::load(&|name| (name == "UNSAID_HOME").then(|| place.clone())).unwrap();
    let identity = config.file.identity.clone();
    let app = App::open(config, None).unwrap();
    let caller = Caller::new(identity.org.as_str().into(), identity.user.as_str().into(), Door::Cli);
    let binding = |name: &str| GivenBinding { variable: name.into(), ..GivenBinding::default() };
    let consumer = RegisterConsumer {
        name: "echo".into(),
        command: Some(vec![echo.to_str().unwrap().into(), ECHO.into()]),
        bindings: Some(FIVE.map(binding).into()),
        ..RegisterConsumer::default()
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(register_all(&app, &caller, vec![consumer])).unwrap();
}

fn start(command: Command) -> Duration {
    let began = Instant::now();
    Server::start(command).call("hello");
    began.elapsed()
}

/// A server on two pipes.
struct Server {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    said: u64,
}

impl Server {
    fn start(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (to, from) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, to, from, said: 0 }
    }

    /// How long a call takes; the request is made before the clock starts, the answer looked at after it has stopped.
    fn call(&mut self, text: &str) -> Duration {
        self.said += 1;
        let meta = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": { "name": "bench", "version": "1" },
            "io.modelcontextprotocol/clientCapabilities": {},
        });
        let params = json!({ "name": "echo", "arguments": { "text": text }, "_meta": meta });
        let request = json!({ "jsonrpc": "2.0", "id": self.said, "method": "tools/call", "params": params });
        let (request, mut answer) = (format!("{request}\n"), String::new());
        let began = Instant::now();
        self.to.write_all(request.as_bytes()).unwrap();
        self.from.read_line(&mut answer).unwrap();
        let taken = began.elapsed();
        assert!(answer.contains(text) && !answer.contains("\"error\":"), "{answer}");
        taken
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One tool, that answers with what it was given.
struct Echo;

fn echo() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let running = Echo.serve(stdio_pipes()).await.unwrap();
        running.waiting().await.unwrap();
    });
}

impl ServerHandler for Echo {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let arguments = request.arguments.unwrap_or_default();
        let text = arguments.get("text").and_then(Value::as_str).unwrap_or_default();
        Ok(CallToolResult::success(vec![ContentBlock::text(text)]).into())
    }
}
