//! What a client over HTTP waits for, and what the server holds: one call at a time, sixteen at once, idle streams, and
//! ten times more than it takes.
//!
//! `cargo bench --bench http [-- call|throughput|idle|overload …]`. Calls stand beside those of a bare rmcp echo server
//! over the same transport, which is this very binary started again. Runs take turns, figures are medians.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, ErrorData, ListToolsResult,
    PaginatedRequestParams, ServerCapabilities, ServerConfig, Tool,
};
use rmcp::service::RequestContext;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{RoleServer, ServerHandler};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// Set where this binary is to be the echo server.
const ECHO: &str = "UNSAID_BENCH_HTTP_ECHO";

fn main() {
    if std::env::var_os(ECHO).is_some() {
        return echo();
    }
    let parts: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let wants = |part: &str| parts.is_empty() || parts.iter().any(|p| p == part);
    let folder = tempfile::tempdir().unwrap();
    install(folder.path());
    let home = Home::make(folder.path());
    if wants("call") {
        calls(&home);
    }
    if wants("throughput") {
        throughput(&home);
    }
    if wants("idle") {
        idle(&home);
    }
    if wants("overload") {
        overload(&home);
    }
}

static PLACE: OnceLock<PathBuf> = OnceLock::new();

fn install(folder: &Path) {
    std::fs::copy(env!("CARGO_BIN_EXE_unsaid"), folder.join("unsaid")).unwrap();
    std::fs::copy(std::env::current_exe().unwrap(), folder.join("echo")).unwrap();
    PLACE.set(folder.to_owned()).unwrap();
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

fn percentile(all: &mut [f64], part: f64) -> f64 {
    all.sort_by(f64::total_cmp);
    all[((all.len() - 1) as f64 * part) as usize]
}

/// One call at a time over one kept connection: `get_credential` beside `echo`, turn by turn in blocks of 100.
fn calls(home: &Home) {
    let (ours, bare) = (home.serve(""), echo_server());
    let token = home.token("calls");
    let mut connections = [
        Connection::to(ours.port, Some(&token), "get_credential", &json!({ "credential": "K_005000" })),
        Connection::to(bare.port, None, "echo", &json!({ "text": "hello" })),
    ];
    let mut taken = [Vec::new(), Vec::new()];
    for block in 0..60 {
        for (connection, taken) in connections.iter_mut().zip(&mut taken) {
            for _ in 0..100 {
                let began = Instant::now();
                let status = connection.call();
                let one = began.elapsed().as_nanos() as f64 / 1000.0;
                assert_eq!(status, 200);
                if block >= 10 {
                    taken.push(one);
                }
            }
        }
    }
    let [ours, bare] = taken.map(median);
    println!(
        "get_credential over HTTP, p50          {ours:>7.0} µs  {bare:>7.0} µs = {:>5.2} ×   ≤ 2",
        ours / bare
    );
}

/// Calls a second over sixteen connections, closed loop, in turns of a second and a half.
fn throughput(home: &Home) {
    let (ours, bare) = (home.serve(""), echo_server());
    let token = home.token("throughput");
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for turn in 0..7 {
        let arguments = json!({ "credential": "K_005000" });
        let one = run_for(16, 1500, || Connection::to(ours.port, Some(&token), "get_credential", &arguments));
        let other =
            run_for(16, 1500, || Connection::to(bare.port, None, "echo", &json!({ "text": "hello" })));
        assert_eq!(one.refused + one.failed + other.refused + other.failed, 0);
        if turn > 0 {
            a.push(one.per_second());
            b.push(other.per_second());
        }
    }
    let (ours, bare) = (median(a), median(b));
    println!(
        "get_credential over HTTP, 16 at once   {ours:>7.0} /s  {bare:>7.0} /s = {:>5.2} ×   ≥ 0.5",
        ours / bare
    );
}

/// Memory of a thousand SSE sessions that have shaken hands and wait.
fn idle(home: &Home) {
    let ours = home.serve("");
    let tokens: Vec<_> = (0..10).map(|n| home.token(&format!("idle-{n}"))).collect();
    let before = ours.resident_kib();
    let streams: Vec<_> = (0..1000).map(|n| Sse::open(ours.port, &tokens[n % 10])).collect();
    std::thread::sleep(Duration::from_secs(2));
    let after = ours.resident_kib();
    println!(
        "1,000 idle SSE sessions                {:>7.1} MiB (before: {:.1} MiB)   ≤ 80",
        after as f64 / 1024.0,
        before as f64 / 1024.0
    );
    drop(streams);
}

/// A server whose rate is set; a generator on one core that asks for exactly it, and then for ten times it.
fn overload(home: &Home) {
    const RATE: u32 = 1000;
    let seconds = std::env::var("UNSAID_BENCH_OVERLOAD").ok().and_then(|s| s.parse().ok()).unwrap_or(60);
    let ours = home.serve(&format!("calls_per_second = {RATE}\ncalls_at_once = 64\n"));
    let token = home.token("overload");
    pin_to_one_core();
    let arguments = json!({ "credential": "K_005000" });
    let mut figures = Vec::new();
    for asked in [RATE * 9 / 10, RATE * 10] {
        let connect = || Connection::to(ours.port, Some(&token), "get_credential", &arguments);
        let mut run = paced(16, asked, seconds, connect);
        let p99 = percentile(&mut run.taken, 0.99);
        println!(
            "asked {asked:>6} /s for {seconds} s: {} admitted, {} shed with 429, {} failed, p99 of the admitted {p99:.0} µs",
            run.taken.len(),
            run.refused,
            run.failed
        );
        assert_eq!(run.failed, 0);
        assert!(run.retry_after_missing == 0, "a 429 without Retry-After");
        figures.push(p99);
    }
    println!("p99 at ten times the rate              {:>5.2} ×   ≤ 3", figures[1] / figures[0]);
}

#[derive(Default)]
struct Run {
    /// Of admitted calls, microseconds.
    taken: Vec<f64>,
    refused: usize,
    failed: usize,
    retry_after_missing: usize,
    seconds: f64,
}

impl Run {
    fn per_second(&self) -> f64 {
        self.taken.len() as f64 / self.seconds
    }

    fn add(&mut self, connection: &mut Connection) {
        let began = Instant::now();
        match connection.call() {
            200 => self.taken.push(began.elapsed().as_nanos() as f64 / 1000.0),
            429 => {
                self.refused += 1;
                self.retry_after_missing += usize::from(!connection.has_retry_after);
            }
            _ => self.failed += 1,
        }
    }

    fn join(runs: Vec<Run>, seconds: f64) -> Run {
        runs.into_iter().fold(Run { seconds, ..Run::default() }, |mut all, run| {
            all.taken.extend(run.taken);
            all.refused += run.refused;
            all.failed += run.failed;
            all.retry_after_missing += run.retry_after_missing;
            all
        })
    }
}

fn run_for(at_once: usize, millis: u64, connect: impl Fn() -> Connection) -> Run {
    let stop = Arc::new(AtomicBool::new(false));
    let began = Instant::now();
    let threads: Vec<_> = (0..at_once)
        .map(|_| {
            let (mut connection, stop) = (connect(), stop.clone());
            std::thread::spawn(move || {
                let mut run = Run::default();
                while !stop.load(Ordering::Relaxed) {
                    run.add(&mut connection);
                }
                run
            })
        })
        .collect();
    std::thread::sleep(Duration::from_millis(millis));
    stop.store(true, Ordering::Relaxed);
    let runs = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    Run::join(runs, began.elapsed().as_secs_f64())
}

/// Asks `a_second` times a second, as far as the connections are free, spread over them.
fn paced(at_once: usize, a_second: u32, seconds: u64, connect: impl Fn() -> Connection) -> Run {
    let began = Instant::now();
    let due = Arc::new(AtomicUsize::new(0));
    let threads: Vec<_> = (0..at_once)
        .map(|_| {
            let (mut connection, due) = (connect(), due.clone());
            std::thread::spawn(move || {
                let mut run = Run::default();
                loop {
                    let number = due.fetch_add(1, Ordering::Relaxed);
                    let at = Duration::from_secs_f64(number as f64 / f64::from(a_second));
                    if at.as_secs() >= seconds {
                        return run;
                    }
                    if let Some(wait) = at.checked_sub(began.elapsed()) {
                        std::thread::sleep(wait);
                    } else if began.elapsed().as_secs() >= seconds {
                        return run;
                    }
                    run.add(&mut connection);
                }
            })
        })
        .collect();
    let runs = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    Run::join(runs, began.elapsed().as_secs_f64())
}

/// This process on the last core alone.
fn pin_to_one_core() {
    let pinned = Command::new("taskset").args(["-apc", "1", &std::process::id().to_string()]).output();
    if !pinned.is_ok_and(|out| out.status.success()) {
        println!("(not pinned: taskset is missing)");
    }
}

/// A vault of 10,000 credentials.
struct Home {
    path: PathBuf,
}

impl Home {
    fn make(folder: &Path) -> Self {
        let home = Self { path: folder.join("home") };
        let recovery = folder.join("recovery").to_str().unwrap().to_owned();
        home.run(&["init", "--key", "file", "--recovery-file", &recovery], "");
        let mut all = String::new();
        for n in 0..10_000 {
            all.push_str(&format!("K_{n:06}=value-{n}\n"));
        }
        let file = folder.join("all.env");
        std::fs::write(&file, all).unwrap();
        home.run(&["import", file.to_str().unwrap(), "--yes"], "");
        home
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(PLACE.get().unwrap().join("unsaid"));
        command.args(args).env("UNSAID_HOME", &self.path);
        command
    }

    fn run(&self, args: &[&str], input: &str) -> String {
        let mut child = self
            .command(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let out = child.wait_with_output().unwrap();
        assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap()
    }

    fn token(&self, name: &str) -> String {
        self.run(&["token", "create", name], "").trim().to_owned()
    }

    /// The server with these settings; without any, its rate is out of the way.
    fn serve(&self, settings: &str) -> Server {
        let settings = match settings {
            "" => "calls_per_second = 1000000\ncalls_at_once = 64\n",
            settings => settings,
        };
        let file = self.path.join("config/unsaid.toml");
        let mut text = std::fs::read_to_string(&file).unwrap();
        text.truncate(text.find("[http]").unwrap_or(text.len()));
        std::fs::write(&file, format!("{text}\n[http]\n{settings}")).unwrap();
        Server::start(self.command(&["serve", "--http", "127.0.0.1:0"]))
    }
}

struct Server {
    child: Child,
    port: u16,
}

impl Server {
    fn start(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.split("127.0.0.1:").nth(1).unwrap();
        let port: String = port.chars().take_while(char::is_ascii_digit).collect();
        Self { child, port: port.parse().unwrap() }
    }

    fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A kept connection that makes one and the same call.
struct Connection {
    stream: BufReader<TcpStream>,
    request: Vec<u8>,
    has_retry_after: bool,
    body: Vec<u8>,
}

impl Connection {
    fn to(port: u16, token: Option<&str>, tool: &str, arguments: &Value) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_nodelay(true).unwrap();
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
            "name": tool, "arguments": arguments, "_meta": {
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientInfo": { "name": "bench", "version": "1" },
                "io.modelcontextprotocol/clientCapabilities": {},
            } } })
        .to_string();
        let token = token.map_or(String::new(), |token| format!("Authorization: Bearer {token}\r\n"));
        let request = format!(
            "POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{token}Content-Type: application/json\r\n\
             Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: 2026-07-28\r\n\
             Mcp-Method: tools/call\r\nMcp-Name: {tool}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let (request, body) = (request.into_bytes(), Vec::new());
        Self { stream: BufReader::new(stream), request, has_retry_after: false, body }
    }

    /// The status, once the whole answer is read.
    fn call(&mut self) -> u16 {
        self.stream.get_mut().write_all(&self.request).unwrap();
        let (mut line, mut status, mut size) = (String::new(), 0, 0);
        self.has_retry_after = false;
        loop {
            line.clear();
            self.stream.read_line(&mut line).unwrap();
            let text = line.trim_end();
            if text.is_empty() {
                break;
            }
            if status == 0 {
                status = text.split(' ').nth(1).unwrap().parse().unwrap();
            } else if let Some(rest) = text.to_ascii_lowercase().strip_prefix("content-length:") {
                size = rest.trim().parse().unwrap();
            } else if text.to_ascii_lowercase().starts_with("retry-after:") {
                self.has_retry_after = true;
            }
        }
        self.body.resize(size, 0);
        self.stream.read_exact(&mut self.body).unwrap();
        assert!(status != 200 || size > 0);
        status
    }
}

/// An open stream of the older transport, whose session has shaken hands.
struct Sse {
    _stream: BufReader<TcpStream>,
}

impl Sse {
    fn open(port: u16, token: &str) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let mut stream = BufReader::new(stream);
        let get = format!(
            "GET /sse HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\nAccept: text/event-stream\r\n\r\n"
        );
        stream.get_mut().write_all(get.as_bytes()).unwrap();
        let endpoint = Self::find(&mut stream, "data: /messages").trim_start_matches("data: ").to_owned();
        let client = json!({ "name": "bench", "version": "1" });
        let hello = json!({ "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": client });
        for message in [
            json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello }),
            json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }),
        ] {
            let body = message.to_string();
            let mut post = TcpStream::connect(("127.0.0.1", port)).unwrap();
            let request = format!(
                "POST {endpoint} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\n\
                 Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
            post.write_all(request.as_bytes()).unwrap();
            let mut answer = String::new();
            post.read_to_string(&mut answer).unwrap();
            assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
        }
        Self::find(&mut stream, "serverInfo");
        Self { _stream: stream }
    }

    fn find(stream: &mut BufReader<TcpStream>, text: &str) -> String {
        loop {
            let mut line = String::new();
            assert!(stream.read_line(&mut line).unwrap() > 0, "the stream ended");
            if line.contains(text) {
                return line.trim_end().to_owned();
            }
        }
    }
}

fn echo_server() -> Server {
    let mut command = Command::new(PLACE.get().unwrap().join("echo"));
    command.env(ECHO, "1");
    Server::start(command)
}

/// The least that a server on this library can be over HTTP: one tool that answers with what it was given.
#[derive(Clone)]
struct Echo;

fn echo() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let config = StreamableHttpServerConfig::default().with_json_response(true).with_sse_retry(None);
        let service =
            StreamableHttpService::new(|| Ok(Echo), Arc::new(LocalSessionManager::default()), config);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        eprintln!("listening on http://{}", listener.local_addr().unwrap());
        let listener = axum::serve::ListenerExt::tap_io(listener, |stream| {
            stream.set_nodelay(true).unwrap();
        });
        axum::serve(listener, axum::Router::new().route_service("/mcp", service)).await.unwrap();
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
        Ok(ListToolsResult::with_all_items(vec![tool()]))
    }

    fn get_tool(&self, _: &str) -> Option<Tool> {
        Some(tool())
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

fn tool() -> Tool {
    let schema =
        json!({ "type": "object", "properties": { "text": { "type": "string" } }, "required": ["text"] });
    let schema = schema.as_object().cloned().unwrap();
    Tool::new("echo", "Say it again.", Arc::new(schema))
}
