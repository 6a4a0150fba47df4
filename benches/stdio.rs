//! What a person waits for, process by process: starting, calling and listing over stdio, and `unsaid run`.
//!
//! `cargo bench --bench stdio [-- start|call|list|memory|run …]`. Every figure stands beside the same one of a bare rmcp
//! echo server, which is this very binary started again: it links nothing of unsaid. It runs on one thread, as our server
//! does, and once more on the many that `#[tokio::main]` gives. Runs take turns, figures are medians.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, ErrorData, ListToolsResult,
    PaginatedRequestParams, ServerCapabilities, ServerConfig, Tool,
};
use rmcp::service::RequestContext;
use rmcp::transport::io::stdio_pipes;
use rmcp::{RoleServer, ServerHandler, ServiceExt};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// Set where this binary is to be the echo server: on `one` thread or on `many`.
const ECHO: &str = "UNSAID_BENCH_ECHO";
const ECHOES: [&str; 2] = ["one", "many"];
const FIVE: [&str; 5] = ["K_A", "K_B", "K_C", "K_D", "K_E"];

fn main() {
    if let Some(threads) = std::env::var_os(ECHO) {
        return echo(threads == "many");
    }
    let parts: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let wants = |part: &str| parts.is_empty() || parts.iter().any(|p| p == part);
    let folder = tempfile::tempdir().unwrap();
    install(folder.path());
    let small = Home::make(folder.path(), "small", 0);
    println!("{:<40} {:>10} {:>20} {:>20}   target", "", "unsaid", "echo, one thread", "echo, many");
    if wants("start") {
        starts(&small);
    }
    if wants("call") || wants("list") || wants("memory") {
        let many = Home::make(folder.path(), "ten", 10_000);
        if wants("call") {
            calls(&many);
        }
        if wants("list") {
            let most = Home::make(folder.path(), "hundred", 100_000);
            lists(&many, &most);
        }
        if wants("memory") {
            memory(&many);
        }
    }
    if wants("run") {
        runs(&small);
    }
}

/// Where both programs are, copied as `cargo install` copies them: what a linker has written starts more slowly.
static PLACE: OnceLock<PathBuf> = OnceLock::new();

fn install(folder: &Path) {
    std::fs::copy(env!("CARGO_BIN_EXE_unsaid"), folder.join("unsaid")).unwrap();
    std::fs::copy(std::env::current_exe().unwrap(), folder.join("echo")).unwrap();
    PLACE.set(folder.to_owned()).unwrap();
}

fn installed(program: &str) -> PathBuf {
    PLACE.get().unwrap().join(program)
}

fn micros(mut taken: Vec<Duration>) -> f64 {
    taken.sort();
    taken[taken.len() / 2].as_nanos() as f64 / 1000.0
}

fn line(what: &str, ours: f64, bare: [f64; 2], target: &str) {
    let beside = bare.map(|bare| format!("{bare:>7.0} µs = {:>5.2} ×", ours / bare)).join("  ");
    println!("{what:<40} {ours:>7.0} µs  {beside}   {target}");
}

/// From fork to the first answer to `tools/list`, in both eras.
fn starts(home: &Home) {
    for era in [Era::PerRequest, Era::Handshake] {
        let (mut ours, mut bare) = (Vec::new(), [Vec::new(), Vec::new()]);
        for _ in 0..100 {
            ours.push(start(home.serve(), era));
            for (bare, threads) in bare.iter_mut().zip(ECHOES) {
                bare.push(start(echo_command(threads), era));
            }
        }
        line(&format!("start to tools/list, {era:?}"), micros(ours), bare.map(micros), "≤ 2");
    }
}

fn start(command: Command, era: Era) -> Duration {
    let began = Instant::now();
    let mut server = Server::start(command);
    server.greet(era);
    let answer = server.ask(era, "tools/list", json!({}));
    let taken = began.elapsed();
    assert!(answer["result"]["tools"].is_array(), "{answer}");
    taken
}

/// One call at a time: `get_credential` of a credential in a vault of 10,000, beside `echo`.
fn calls(home: &Home) {
    for era in [Era::PerRequest, Era::Handshake] {
        let (ours, bare) = beside(home, era, "get_credential", json!({ "credential": "K_005000" }), 4_000);
        line(&format!("get_credential, {era:?}"), ours, bare, "≤ 3");
    }
}

/// A page of 50 without filters.
fn lists(ten: &Home, hundred: &Home) {
    let (ours, bare) = beside(ten, Era::PerRequest, "list_credentials", json!({}), 2_000);
    line("list_credentials, 50 of 10,000", ours, bare, "≤ 10");
    let mut servers = [Server::start(ten.serve()), Server::start(hundred.serve())];
    let mut taken = [Vec::new(), Vec::new()];
    for n in 0..3_000 {
        for (server, taken) in servers.iter_mut().zip(&mut taken) {
            let one = server.call("list_credentials", &json!({}), Era::PerRequest);
            if n >= 500 {
                taken.push(one);
            }
        }
    }
    let [ten, hundred] = taken.map(micros);
    println!(
        "{:<40} {hundred:>7.0} µs  {ten:>7.0} µs = {:>5.2} ×   ≤ 1.2 (beside 10,000)",
        "list_credentials, 50 of 100,000",
        hundred / ten
    );
}

/// Medians of a tool of ours and of `echo`, turn by turn in blocks of 100.
fn beside(home: &Home, era: Era, tool: &str, arguments: Value, count: usize) -> (f64, [f64; 2]) {
    let mut ours = Server::start(home.serve());
    let mut bare = ECHOES.map(|threads| Server::start(echo_command(threads)));
    ours.greet(era);
    bare.iter_mut().for_each(|bare| bare.greet(era));
    let mut taken = [Vec::new(), Vec::new(), Vec::new()];
    let spoken = json!({ "text": "hello" });
    for block in 0..(count / 100 + 3) {
        for _ in 0..100 {
            taken[0].push(ours.call(tool, &arguments, era));
        }
        for (n, bare) in bare.iter_mut().enumerate() {
            for _ in 0..100 {
                taken[n + 1].push(bare.call("echo", &spoken, era));
            }
        }
        // The first blocks warm up.
        if block == 2 {
            taken.iter_mut().for_each(Vec::clear);
        }
    }
    let [ours, one, many] = taken.map(micros);
    (ours, [one, many])
}

/// What the server holds after 10,000 calls of several kinds.
fn memory(home: &Home) {
    let mut server = Server::start(home.serve());
    for n in 0..2_500 {
        let name = format!("K_{:06}", n * 4);
        server.call("get_credential", &json!({ "credential": name }), Era::PerRequest);
        server.call("list_credentials", &json!({ "limit": 50 }), Era::PerRequest);
        server.call("whoami", &json!({}), Era::PerRequest);
        server.call("explain_resolution", &json!({ "name": name }), Era::PerRequest);
    }
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.child.id())).unwrap();
    let kib = |field: &str| {
        let line = status.lines().find(|line| line.starts_with(field)).unwrap_or_default();
        line.split_whitespace().nth(1).and_then(|n| n.parse::<f64>().ok()).unwrap_or_default()
    };
    println!(
        "{:<40} {:>6.1} MiB {:>6.1} MiB   ≤ 24 (at the end, at most)",
        "memory, after 10,000 calls",
        kib("VmRSS") / 1024.0,
        kib("VmHWM") / 1024.0
    );
}

/// `unsaid run` with five values, less what `true` takes by itself.
fn runs(home: &Home) {
    let (mut ours, mut bare, mut over) = (Vec::new(), Vec::new(), Vec::new());
    for n in 0..105 {
        let mut command = home.unsaid();
        command.args(["run", "--only", &FIVE.join(","), "--", "true"]);
        let a = timed(command);
        let b = timed(Command::new("true"));
        if n >= 5 {
            ours.push(a);
            bare.push(b);
            over.push(a.saturating_sub(b));
        }
    }
    println!(
        "{:<40} {:>7.0} µs {:>7.0} µs   ≤ 5000 over: {:.0} µs over",
        "unsaid run with 5 values, and true",
        micros(ours),
        micros(bare),
        micros(over)
    );
}

fn timed(mut command: Command) -> Duration {
    let began = Instant::now();
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status().unwrap();
    let taken = began.elapsed();
    assert!(status.success());
    taken
}

/// A vault of its own, whose root key is in a file.
struct Home(PathBuf);

impl Home {
    /// Made the way a person makes one: `init`, then `import`, half of it personal and half the org's.
    fn make(folder: &Path, name: &str, count: usize) -> Self {
        let home = Self(folder.join(name));
        std::fs::create_dir(&home.0).unwrap();
        home.did(&["init", "--key", "file", "--user", "ada"]);
        let file = folder.join(format!("{name}.env"));
        for from in (0..count).step_by(1000) {
            let lines: String = (from..from + 1000).map(|n| format!("K_{n:06}=value-{n}\n")).collect();
            std::fs::write(&file, lines).unwrap();
            let place = if from % 2000 == 0 { "personal" } else { "org" };
            home.did(&["import", file.to_str().unwrap(), "--scope", place, "--yes"]);
        }
        std::fs::write(&file, FIVE.map(|name| format!("{name}=value-of-{name}\n")).concat()).unwrap();
        home.did(&["import", file.to_str().unwrap(), "--yes"]);
        home
    }

    fn unsaid(&self) -> Command {
        let mut command = Command::new(installed("unsaid"));
        command.env("UNSAID_HOME", &self.0);
        command
    }

    fn serve(&self) -> Command {
        let mut command = self.unsaid();
        command.arg("serve");
        command
    }

    fn did(&self, args: &[&str]) {
        let done = self.unsaid().args(args).stdin(Stdio::null()).output().unwrap();
        assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
    }
}

/// How a client speaks.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Era {
    /// 2026-07-28: no handshake, who asks is said in every request.
    PerRequest,
    /// 2025-11-25 and before.
    Handshake,
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

    fn greet(&mut self, era: Era) {
        if era == Era::Handshake {
            let client = json!({ "name": "bench", "version": "1" });
            let hello = json!({ "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": client });
            self.ask(era, "initialize", hello);
            self.say(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }).to_string());
        }
    }

    fn say(&mut self, text: &str) {
        self.to.write_all(format!("{text}\n").as_bytes()).unwrap();
    }

    /// The request as a line, made before the clock starts.
    fn request(&mut self, era: Era, method: &str, mut params: Value) -> String {
        self.said += 1;
        if era == Era::PerRequest {
            params["_meta"] = json!({
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientInfo": { "name": "bench", "version": "1" },
                "io.modelcontextprotocol/clientCapabilities": {},
            });
        }
        json!({ "jsonrpc": "2.0", "id": self.said, "method": method, "params": params }).to_string()
    }

    fn answer(&mut self) -> String {
        let mut text = String::new();
        self.from.read_line(&mut text).unwrap();
        assert!(!text.is_empty(), "the server is gone");
        text
    }

    fn ask(&mut self, era: Era, method: &str, params: Value) -> Value {
        let request = self.request(era, method, params);
        self.say(&request);
        serde_json::from_str(&self.answer()).unwrap()
    }

    /// How long a call takes; its answer is looked at after the clock has stopped.
    fn call(&mut self, tool: &str, arguments: &Value, era: Era) -> Duration {
        let request = self.request(era, "tools/call", json!({ "name": tool, "arguments": arguments }));
        let began = Instant::now();
        self.say(&request);
        let answer = self.answer();
        let taken = began.elapsed();
        assert!(!answer.contains("\"isError\":true") && !answer.contains("\"error\":"), "{answer}");
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

fn echo_command(threads: &str) -> Command {
    let mut command = Command::new(installed("echo"));
    command.env(ECHO, threads);
    command
}

/// The least that a server on this library can be: one tool that answers with what it was given.
struct Echo;

fn echo(is_threaded: bool) {
    use tokio::runtime::Builder;
    let mut builder = if is_threaded { Builder::new_multi_thread() } else { Builder::new_current_thread() };
    let runtime = builder.enable_all().build().unwrap();
    runtime.block_on(async {
        let running = Echo.serve(stdio_pipes()).await.unwrap();
        running.waiting().await.unwrap();
    });
}

impl ServerHandler for Echo {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let schema = json!({
            "type": "object", "properties": { "text": { "type": "string" } }, "required": ["text"],
        });
        let schema = schema.as_object().cloned().unwrap();
        Ok(ListToolsResult::with_all_items(vec![Tool::new("echo", "Say it again.", Arc::new(schema))]))
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
