//! What the broker costs beside a bare reverse proxy, in front of the same service.
//!
//! `cargo bench --bench broker [-- compare|stream …]` (nginx must be installed). `compare`: nginx and the broker take turns
//! in front of one TLS service (nginx as well), 64 connections in a closed loop and then one, keep-alive on both sides.
//! `stream`: 1 GiB each way through the broker, and the most memory that it took. The broker is this very binary started
//! again, with a doorkeeper that admits everybody and writes nothing; what a use costs to record is measured beside it, as a
//! commit of one row. Beside both: `unsaid broker` itself with a vault, which has every use on disk before it leaves.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use rusqlite::Connection;
use std::alloc::System;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener as StdListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_util::sync::CancellationToken;
use unsaid::app::App;
use unsaid::config::Config;
use unsaid::error::Result;
use unsaid::front::{self, Guard, Listener, Place};
use unsaid::inject::broker::{
    Asked, Broker, Doorkeeper, Ended, Given, Limits, PREFIX, Passage, Route, Settings, Way,
};
use unsaid::model::access::{Caller, Door};
use unsaid::model::consumer::Delivery;
use unsaid::model::token::Purpose;
use unsaid::ops::consumer::{GivenBinding, RegisterConsumer, register_all};
use unsaid::ops::credential::create::CreateCredential;
use unsaid::ops::credential::value::{Target, enter_value};
use unsaid::ops::token::{NewToken, create as create_token};
use unsaid::secret::SecretBytes;
use unsaid::services::Placement;
use unsaid::services::client::Outbound;
use zeroizing_alloc::ZeroAlloc;

/// As the program has it.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<System> = ZeroAlloc(System);

/// Set to `BASE CA_FILE` where this binary is to be the broker.
const BROKER: &str = "UNSAID_BENCH_BROKER";
const TURNS: usize = 7;
const TURN: Duration = Duration::from_millis(1500);
const GIB: u64 = 1 << 30;

fn main() {
    if let Ok(told) = std::env::var(BROKER) {
        let (base, ca_file) = told.split_once(' ').unwrap();
        return runtime().block_on(broker(base.to_owned(), ca_file.into()));
    }
    let parts: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let wants = |part: &str| parts.is_empty() || parts.iter().any(|p| p == part);
    let folder = tempfile::tempdir().unwrap();
    if wants("compare") {
        compare(folder.path());
    }
    if wants("stream") {
        stream(folder.path());
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap()
}

/// The one service, for everybody.
struct Open(Arc<Route>, Arc<Limits>);

impl Doorkeeper for Open {
    type Use = ();

    async fn admit(&self, asked: &Asked<'_>) -> Result<Passage<()>> {
        Ok(Passage {
            way: asked.way(&self.0, &self.1)?,
            placement: Placement::bearer(),
            values: vec![Given {
                field: "token".into(),
                label: "SERVICE_KEY".into(),
                value: SecretBytes::new("Ab9xQ7".repeat(8).into_bytes()),
                is_secret: true,
            }],
            is_renewable: false,
            used: (),
        })
    }

    async fn renew(&self, (): &(), _: &Way) -> Result<Option<Passage<()>>> {
        Ok(None)
    }

    fn ended(&self, (): &(), _: Ended) {}
}

async fn broker(base: String, ca_file: PathBuf) {
    let host = base.strip_prefix("https://").unwrap().to_owned();
    let outbound = Outbound { allow: vec![host], ca_file: Some(ca_file), ..Outbound::default() };
    let broker = Broker::new(
        Open(Arc::new(Route::new(base.parse().unwrap(), Vec::new()).unwrap()), Arc::default()),
        Settings { outbound, ..Settings::default() },
    );
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), None).await.unwrap();
    let address = listener.local().unwrap();
    let place = Place { listen: address, public_url: None, has_tls: false, behind_proxy: false };
    let guard = Guard { unread: vec![PREFIX], ..Guard::at(&place.address(address), false) };
    println!("{address}");
    let router = front::guarded(front::alone(broker), guard);
    front::serve(listener, router, CancellationToken::new(), std::future::pending(), Duration::ZERO).await;
}

/// Ends with what it stands for.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // nginx ends its workers when it is asked to; one that is killed leaves them.
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }
}

fn start_broker(base: &str, ca_file: &Path) -> (Running, SocketAddr) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .env(BROKER, format!("{base} {}", ca_file.display()))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    (Running(child), line.trim().parse().unwrap())
}

/// `unsaid broker` with a vault of its own: a consumer, its binding and its token.
fn start_program(folder: &Path, service: u16) -> (Running, SocketAddr, String) {
    let (home, at) = (folder.join("home"), folder.display());
    let unsaid = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_unsaid"));
        command.args(args).env("UNSAID_HOME", &home);
        command
    };
    let recovery = folder.join("recovery").to_str().unwrap().to_owned();
    let made = unsaid(&["init", "--key", "file", "--recovery-file", &recovery]).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let services = folder.join("services");
    std::fs::create_dir(&services).unwrap();
    let groq = include_str!("../manifests/services/groq.toml");
    let acme = groq
        .replace("id = \"groq\"", "id = \"acme\"")
        .replace("https://api.groq.com\"", &format!("https://127.0.0.1:{service}\""))
        .replace("regex = \"^gsk_", "regex = \"^acme_")
        .replace("example_shape = \"gsk_", "example_shape = \"acme_");
    std::fs::write(services.join("acme.toml"), acme).unwrap();
    let env = |name: &str| match name {
        "UNSAID_HOME" => Some(home.to_str().unwrap().to_owned()),
        name => std::env::var(name).ok(),
    };
    let more = format!(
        "\n[outbound]\nallow = [\"127.0.0.1:{service}\"]\nca_file = \"{at}/cert.pem\"\n\n[broker]\nrequests_per_minute = 4294967295\n\n[catalogue]\nfolder = \"{at}/services\"\n"
    );
    let file = Config::load(&env).unwrap().places.file();
    std::fs::OpenOptions::new().append(true).open(file).unwrap().write_all(more.as_bytes()).unwrap();
    let app = App::open(Config::load(&env).unwrap(), None).unwrap();
    let identity = &app.config.file.identity;
    let caller = Caller::new(identity.org.as_str().into(), identity.user.as_str().into(), Door::Cli);
    let token = runtime().block_on(async {
        let create = CreateCredential {
            name: "ACME_KEY".into(),
            service: Some("acme".into()),
            ..CreateCredential::default()
        };
        let values = vec![("value".to_owned(), SecretBytes::new("Ab9xQ7".repeat(8).into_bytes()))];
        enter_value(&app, &caller, Target::New(Box::new(create)), values, String::new()).await.unwrap();
        let binding = GivenBinding {
            variable: "ACME_KEY".into(),
            delivery: Some(Delivery::Header),
            ..GivenBinding::default()
        };
        let bot =
            RegisterConsumer { name: "bot".into(), bindings: Some(vec![binding]), ..Default::default() };
        register_all(&app, &caller, vec![bot]).await.unwrap();
        let new = NewToken {
            label: "bench".into(),
            user: None,
            purpose: Purpose::Consumer,
            consumer: Some("bot".into()),
            toolsets: Vec::new(),
            read_only: false,
            is_assured: false,
            expires_at: None,
        };
        create_token(&app, &caller, new).await.unwrap().1.expose(str::to_owned)
    });
    drop(app);
    let listen = format!("127.0.0.1:{}", free_port());
    let child = unsaid(&["broker", "--listen", &listen]).stderr(Stdio::null()).spawn().unwrap();
    let address: SocketAddr = listen.parse().unwrap();
    while std::net::TcpStream::connect(address).is_err() {
        std::thread::sleep(Duration::from_millis(20));
    }
    (Running(child), address, token)
}

fn free_port() -> u16 {
    StdListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn nginx(folder: &Path, name: &str, server: &str) -> Running {
    let file = folder.join(format!("{name}.conf"));
    let at = folder.display();
    let text = format!(
        "daemon off; worker_processes 2; pid {at}/{name}.pid; error_log {at}/{name}.log crit;\n\
         events {{ worker_connections 1024; }}\n\
         http {{ access_log off; keepalive_requests 100000000; client_body_temp_path {at}/b; proxy_temp_path {at}/p;\n\
         fastcgi_temp_path {at}/f; uwsgi_temp_path {at}/u; scgi_temp_path {at}/s;\n{server}\n}}\n"
    );
    std::fs::write(&file, text).unwrap();
    Running(Command::new("nginx").arg("-c").arg(&file).arg("-e").arg(folder.join("error")).spawn().unwrap())
}

/// A certificate of 127.0.0.1's, in files.
fn certificate(folder: &Path) -> rcgen::CertifiedKey<rcgen::KeyPair> {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1", "localhost"].map(str::to_owned)).unwrap();
    std::fs::write(folder.join("cert.pem"), made.cert.pem()).unwrap();
    std::fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    made
}

fn compare(folder: &Path) {
    certificate(folder);
    let at = folder.display();
    let (service, proxy) = (free_port(), free_port());
    let answer = "x".repeat(512);
    let _service = nginx(
        folder,
        "service",
        &format!(
            "server {{ listen 127.0.0.1:{service} ssl; ssl_certificate {at}/cert.pem; ssl_certificate_key {at}/key.pem;\n\
             location / {{ default_type application/json; return 200 '{answer}'; }} }}"
        ),
    );
    let _proxy = nginx(
        folder,
        "proxy",
        &format!(
            "upstream service {{ server 127.0.0.1:{service}; keepalive 64; keepalive_requests 100000000; }}\n\
             server {{ listen 127.0.0.1:{proxy}; location / {{ proxy_pass https://service; proxy_http_version 1.1;\n\
             proxy_set_header Connection ''; proxy_set_header Authorization 'Bearer other'; proxy_ssl_verify on;\n\
             proxy_ssl_name localhost; proxy_ssl_trusted_certificate {at}/cert.pem; }} }}"
        ),
    );
    let (_broker, ours) = start_broker(&format!("https://127.0.0.1:{service}"), &folder.join("cert.pem"));
    let bare: SocketAddr = ([127, 0, 0, 1], proxy).into();
    let (_program, whole, token) = start_program(folder, service);
    let anybody = format!("unsaid_{}", "0aZ9".repeat(12));
    let load = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut commits = Vec::new();
    load.block_on(async {
        for port in [service, proxy] {
            while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        for connections in [64, 1] {
            let mut turns = [Vec::new(), Vec::new(), Vec::new()];
            let mut taken = [Vec::new(), Vec::new(), Vec::new()];
            for turn in 0..=TURNS {
                let all = [(ours, &anybody), (bare, &anybody), (whole, &token)];
                for (which, (address, token)) in all.into_iter().enumerate() {
                    let mut times = closed_loop(address, token, connections).await;
                    if turn > 0 {
                        turns[which].push(times.len() as f64 / TURN.as_secs_f64());
                        taken[which].append(&mut times);
                    }
                }
                // Beside the turns, since a disk's pace changes from one second to the next.
                commits.push(commit(folder));
            }
            let [a, b, c] = turns.map(median);
            let [x, y, z] = taken.map(median);
            println!("{connections:>3} at once, throughput   {a:>8.0} /s  nginx {b:>8.0} /s = {:.2} ×   ≥ 0.6 at 64", a / b);
            println!("{connections:>3} at once, median       {x:>8.0} µs  nginx {y:>8.0} µs = {:+.0} µs", x - y);
            println!("    the program, every use on disk first: {c:>8.0} /s = {:.2} ×, median {z:>8.0} µs = {:+.0} µs", c / b, z - y);
        }
    });
    let commit = median(commits);
    println!(
        "    a durable commit of one row {commit:>8.0} µs, so {:.0} µs more are asked at most",
        commit + 500.0
    );
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

/// How long each request took, in microseconds, of what so many connections asked for in one turn.
async fn closed_loop(address: SocketAddr, token: &str, connections: usize) -> Vec<f64> {
    let request: Arc<[u8]> = format!(
        "GET /b/bot/acme/v1/items?limit=10 HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nAccept: application/json\r\nUser-Agent: bench/1\r\n\r\n"
    )
    .into_bytes()
    .into();
    let until = Instant::now() + TURN;
    let tasks: Vec<_> = (0..connections)
        .map(|_| {
            let request = request.clone();
            tokio::spawn(async move {
                let mut stream = TcpStream::connect(address).await.unwrap();
                stream.set_nodelay(true).unwrap();
                let (mut times, mut buffer) = (Vec::new(), vec![0; 16 * 1024]);
                while Instant::now() < until {
                    let began = Instant::now();
                    stream.write_all(&request).await.unwrap();
                    let mut filled = 0;
                    while !is_whole(&buffer[..filled]) {
                        let size = stream.read(&mut buffer[filled..]).await.unwrap();
                        assert!(size > 0);
                        filled += size;
                    }
                    assert!(buffer.starts_with(b"HTTP/1.1 200"));
                    times.push(began.elapsed().as_nanos() as f64 / 1000.0);
                }
                times
            })
        })
        .collect();
    let mut all = Vec::new();
    for task in tasks {
        all.append(&mut task.await.unwrap());
    }
    all
}

fn is_whole(text: &[u8]) -> bool {
    let Some(head) = text.windows(4).position(|window| window == b"\r\n\r\n") else { return false };
    let lower = String::from_utf8_lossy(&text[..head]).to_ascii_lowercase();
    let length = lower.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
    text.len() >= head + 4 + length.map_or(usize::MAX / 2, |length| length.parse().unwrap())
}

/// Microseconds that a commit of one row takes here, as the store commits.
fn commit(folder: &Path) -> f64 {
    let conn = Connection::open(folder.join("bare.db")).unwrap();
    conn.execute_batch(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE IF NOT EXISTS t (a TEXT);",
    )
    .unwrap();
    let mut one = conn.prepare("INSERT INTO t VALUES (hex(randomblob(100)))").unwrap();
    median(
        (0..100)
            .map(|_| {
                let began = Instant::now();
                one.execute([]).unwrap();
                began.elapsed().as_nanos() as f64 / 1000.0
            })
            .collect(),
    )
}

fn stream(folder: &Path) {
    let made = certificate(folder);
    runtime().block_on(async {
        let service = large(made).await;
        let (broker, ours) = start_broker(&format!("https://{service}"), &folder.join("cert.pem"));
        let before = {
            // One small request, so that everything is there that is needed once.
            let size = transfer(ours, "GET", "/small", 0).await;
            assert_eq!(size, 1);
            peak(&broker)
        };
        for (name, method, path, sent) in [("down", "GET", "/large", 0), ("up", "POST", "/sink", GIB)] {
            let began = Instant::now();
            let came = transfer(ours, method, path, sent).await;
            let rate = (came.max(sent) >> 20) as f64 / began.elapsed().as_secs_f64();
            assert_eq!(came, if sent == 0 { GIB } else { 1 });
            println!(
                "1 GiB {name:<4}  {rate:>6.0} MiB/s, most memory {:.1} MiB ({before:.1} before)",
                peak(&broker)
            );
        }
    });
}

/// VmHWM of a process, MiB.
fn peak(of: &Running) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", of.0.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<f64>().unwrap() / 1024.0
}

/// A TLS service that sends 1 GiB, or takes as much as comes.
async fn large(made: rcgen::CertifiedKey<rcgen::KeyPair>) -> SocketAddr {
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let tls = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let tls = tls.clone();
            tokio::spawn(async move {
                let mut stream = tls.accept(stream).await.unwrap();
                let (head, mut left) = head(&mut stream).await;
                let mut piece = vec![b'x'; 64 * 1024];
                let length = if head.starts_with("GET /large") { GIB } else { 1 };
                while left > 0 {
                    let size = stream.read(&mut piece).await.unwrap();
                    assert!(size > 0);
                    left -= size as u64;
                }
                let answer =
                    format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
                stream.write_all(answer.as_bytes()).await.unwrap();
                // Text that looks like anything.
                piece
                    .iter_mut()
                    .enumerate()
                    .for_each(|(at, byte)| *byte = b"Ab9xQ7 {\"id\": 12345},\n"[at % 22]);
                let mut left = length;
                while left > 0 {
                    let size = left.min(piece.len() as u64);
                    stream.write_all(&piece[..size as usize]).await.unwrap();
                    left -= size;
                }
                stream.shutdown().await.unwrap();
            });
        }
    });
    address
}

/// A head, and how much of the body that it announces is still to come.
async fn head<S: tokio::io::AsyncRead + Unpin>(stream: &mut S) -> (String, u64) {
    let mut bytes = Vec::new();
    let mut piece = vec![0; 16 * 1024];
    loop {
        let size = stream.read(&mut piece).await.unwrap();
        assert!(size > 0);
        bytes.extend_from_slice(&piece[..size]);
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
        let length = head.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
        let length = length.map_or(0, |length| length.parse::<u64>().unwrap());
        let first = String::from_utf8_lossy(&bytes[..end]).into_owned();
        return (first, length - (bytes.len() - end - 4) as u64);
    }
}

/// Sends `sent` bytes, and returns how many came back.
async fn transfer(address: SocketAddr, method: &str, path: &str, sent: u64) -> u64 {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut reading, mut writing) = stream.into_split();
    let token = format!("unsaid_{}", "0aZ9".repeat(12));
    let head = format!(
        "{method} /b/bot/acme{path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\nContent-Length: {sent}\r\n\r\n"
    );
    let sending = tokio::spawn(async move {
        writing.write_all(head.as_bytes()).await.unwrap();
        let piece = vec![b'x'; 64 * 1024];
        let mut left = sent;
        while left > 0 {
            let size = left.min(piece.len() as u64);
            writing.write_all(&piece[..size as usize]).await.unwrap();
            left -= size;
        }
        writing
    });
    let mut all = Count::default();
    let mut piece = vec![0; 64 * 1024];
    loop {
        let size = reading.read(&mut piece).await.unwrap();
        if size == 0 {
            break;
        }
        all.take(&piece[..size]);
    }
    sending.await.unwrap();
    all.body
}

/// Counts the body of an answer, in chunks or not, and keeps none of it.
#[derive(Default)]
struct Count {
    begun: Vec<u8>,
    is_chunked: Option<bool>,
    left: u64,
    body: u64,
}

impl Count {
    fn take(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.left > 0 {
                let size = self.left.min(bytes.len() as u64);
                self.left -= size;
                self.body += size;
                bytes = &bytes[size as usize..];
                continue;
            }
            let (&byte, rest) = bytes.split_first().unwrap();
            bytes = rest;
            self.begun.push(byte);
            match self.is_chunked {
                None if self.begun.ends_with(b"\r\n\r\n") => {
                    let head = String::from_utf8_lossy(&self.begun).to_ascii_lowercase();
                    assert!(head.starts_with("http/1.1 200"), "{head}");
                    let is_chunked = head.contains("transfer-encoding: chunked");
                    self.is_chunked = Some(is_chunked);
                    if !is_chunked {
                        self.left = head
                            .split("content-length: ")
                            .nth(1)
                            .unwrap()
                            .split("\r\n")
                            .next()
                            .unwrap()
                            .parse()
                            .unwrap();
                    }
                    self.begun.clear();
                }
                Some(true) if self.begun.ends_with(b"\r\n") => {
                    let line = String::from_utf8_lossy(&self.begun).trim().to_owned();
                    self.left = if line.is_empty() { 0 } else { u64::from_str_radix(&line, 16).unwrap() };
                    self.begun.clear();
                }
                _ => {}
            }
        }
    }
}
