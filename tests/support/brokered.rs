//! A broker in front of a service of the test's own, spoken to byte by byte from both sides.
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use unsaid::error::{Code, Error, Result};
use unsaid::front::{self, Guard, Listener, Place};
use unsaid::inject::broker::{
    Asked, Broker, Doorkeeper, Ended, Given, Limits, PREFIX, Passage, Route, Settings, Way,
};
use unsaid::secret::SecretBytes;
use unsaid::services::client::Outbound;
use unsaid::services::{PathPattern, Placement};

/// A credential's value, and a consumer's token; made here so that no text of this repository looks like one.
pub fn value() -> String {
    format!("sk-{}", "Ab9x/Q+7".repeat(5))
}
pub fn token() -> String {
    format!("unsaid_{}", "0aZ9".repeat(12))
}

/// What the doorkeeper goes by, and what it was asked and told.
pub struct Book {
    pub base: String,
    pub placement: Placement,
    pub paths: Vec<PathPattern>,
    pub limits: Limits,
    /// The credential's versions, the current one first; each renewal goes on to the next.
    pub versions: Vec<String>,
    pub is_renewable: bool,
    pub admitted: Mutex<Vec<String>>,
    pub renewed: AtomicUsize,
    pub ended: Mutex<Vec<Ended>>,
}

impl Book {
    pub fn of(base: String) -> Self {
        Self {
            base,
            placement: Placement::bearer(),
            paths: Vec::new(),
            limits: Limits::default(),
            versions: vec![value()],
            is_renewable: false,
            admitted: Mutex::default(),
            renewed: AtomicUsize::new(0),
            ended: Mutex::default(),
        }
    }

    fn passage(&self, way: Way, version: usize) -> Passage<usize> {
        let given = |field: &str, value: &str, is_secret| Given {
            field: field.into(),
            label: "ACME_KEY".into(),
            value: SecretBytes::copied(value.as_bytes()),
            is_secret,
        };
        Passage {
            way,
            placement: self.placement.clone(),
            values: vec![given("token", &self.versions[version], true), given("username", "mia", false)],
            is_renewable: self.is_renewable,
            used: version,
        }
    }
}

pub struct Door(pub Arc<Book>);

impl Doorkeeper for Door {
    type Use = usize;

    async fn admit(&self, asked: &Asked<'_>) -> Result<Passage<usize>> {
        let is_known = asked.token.expose(|shown| shown == token().as_bytes()) && asked.consumer() == "bot";
        if !is_known {
            return Err(Error::new(Code::TokenInvalid, "the token is not this consumer's"));
        }
        if asked.service() != "acme" {
            return Err(Error::new(Code::NotAllowed, "nothing is bound for this service"));
        }
        let route = Arc::new(Route::new(self.0.base.parse().unwrap(), self.0.paths.clone())?);
        let way = asked.way(&route, &Arc::new(self.0.limits.clone()))?;
        self.0.admitted.lock().unwrap().push(asked.operation(&route));
        Ok(self.0.passage(way, 0))
    }

    async fn renew(&self, used: &usize, way: &Way) -> Result<Option<Passage<usize>>> {
        self.0.renewed.fetch_add(1, Ordering::SeqCst);
        Ok((used + 1 < self.0.versions.len()).then(|| self.0.passage(way.clone(), used + 1)))
    }

    fn ended(&self, _: &usize, ended: Ended) {
        self.0.ended.lock().unwrap().push(ended);
    }
}

/// A broker that listens.
pub struct Brokered {
    pub address: SocketAddr,
    pub book: Arc<Book>,
    stop: CancellationToken,
}

impl Drop for Brokered {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Brokered {
    /// For the service at `address`, by plain HTTP that the configuration allows.
    pub async fn plain(address: SocketAddr, change: impl FnOnce(&mut Book, &mut Settings)) -> Self {
        let base = format!("http://{address}");
        let outbound = Outbound { allow: vec![base.clone()], ..Outbound::default() };
        Self::start(base, outbound, change).await
    }

    pub async fn start(
        base: String,
        outbound: Outbound,
        change: impl FnOnce(&mut Book, &mut Settings),
    ) -> Self {
        let (mut book, mut settings) = (Book::of(base), Settings { outbound, ..Settings::default() });
        change(&mut book, &mut settings);
        let book = Arc::new(book);
        let broker = Broker::new(Door(book.clone()), settings);
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), None).await.unwrap();
        let address = listener.local().unwrap();
        let place = Place { listen: address, public_url: None, has_tls: false, behind_proxy: false };
        let guard = Guard { unread: vec![PREFIX], ..Guard::at(&place.address(address), false) };
        let router = front::guarded(front::alone(broker), guard);
        let stop = CancellationToken::new();
        tokio::spawn(front::serve(listener, router, stop.clone(), async {}, Duration::ZERO));
        Self { address, book, stop }
    }

    /// Sends `raw` as it is, and reads until the connection ends.
    pub async fn raw(&self, raw: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        // It may be refused before it was read.
        let _ = stream.write_all(raw).await;
        let mut all = Vec::new();
        let _ = stream.read_to_end(&mut all).await;
        String::from_utf8_lossy(&all).into_owned()
    }

    /// The head of a request for `path` of the service, with a token, whose connection ends with its answer.
    pub fn head(&self, method: &str, path: &str, more: &str) -> String {
        format!(
            "{method} /b/bot/acme{path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nConnection: close\r\n{more}\r\n",
            self.address,
            token()
        )
    }

    pub async fn get(&self, path: &str) -> String {
        self.raw(self.head("GET", path, "").as_bytes()).await
    }

    pub fn admitted(&self) -> Vec<String> {
        self.book.admitted.lock().unwrap().clone()
    }

    /// How the first `count` ended, once they have.
    pub async fn ended(&self, count: usize) -> Vec<Ended> {
        loop {
            let ended = self.book.ended.lock().unwrap().clone();
            if ended.len() >= count {
                return ended;
            }
            tokio::task::yield_now().await;
        }
    }
}

/// The status of an answer.
pub fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
}

/// The body of an answer, its pieces put together.
pub fn body(answer: &str) -> String {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
    if !head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
        return body.to_owned();
    }
    let (mut whole, mut rest) = (String::new(), body);
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        whole.push_str(&after[..size]);
        rest = &after[(size + 2).min(after.len())..];
    }
    whole
}

/// A service that records every byte it gets.
#[derive(Clone)]
pub struct Service {
    pub address: SocketAddr,
    pub received: Arc<Mutex<String>>,
    pub connections: Arc<AtomicUsize>,
}

impl Service {
    /// Answers the n-th request with what `answer` makes of it, in these pieces; an empty list ends the connection, and
    /// so does a piece that is empty.
    pub async fn start<A>(answer: A) -> Self
    where
        A: Fn(usize, &str) -> Vec<Vec<u8>> + Send + Sync + 'static,
    {
        Self::secured(None, answer).await
    }

    pub async fn secured<A>(tls: Option<tokio_rustls::TlsAcceptor>, answer: A) -> Self
    where
        A: Fn(usize, &str) -> Vec<Vec<u8>> + Send + Sync + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let service = Self {
            address: listener.local_addr().unwrap(),
            received: Arc::default(),
            connections: Arc::default(),
        };
        let (this, answer, count) = (service.clone(), Arc::new(answer), Arc::new(AtomicUsize::new(0)));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                this.connections.fetch_add(1, Ordering::SeqCst);
                let (this, answer, count, tls) = (this.clone(), answer.clone(), count.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => this.talk(stream, &*answer, &count).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                this.talk(stream, &*answer, &count).await;
                            }
                        }
                    }
                });
            }
        });
        service
    }

    async fn talk<S, A>(&self, mut stream: S, answer: &A, count: &AtomicUsize)
    where
        S: AsyncRead + AsyncWrite + Unpin,
        A: Fn(usize, &str) -> Vec<Vec<u8>>,
    {
        let mut text = String::new();
        let mut piece = [0; 16 * 1024];
        loop {
            while let Some(end) = request_end(&text) {
                let request: String = text.drain(..end).collect();
                let pieces = answer(count.fetch_add(1, Ordering::SeqCst), &request);
                if pieces.is_empty() {
                    return;
                }
                for piece in pieces {
                    if piece.is_empty() {
                        let _ = stream.shutdown().await;
                        return;
                    }
                    if stream.write_all(&piece).await.is_err() || stream.flush().await.is_err() {
                        return;
                    }
                }
            }
            match stream.read(&mut piece).await {
                Ok(size) if size > 0 => {
                    let came = String::from_utf8_lossy(&piece[..size]).into_owned();
                    self.received.lock().unwrap().push_str(&came);
                    text.push_str(&came);
                }
                _ => return,
            }
        }
    }

    pub fn received(&self) -> String {
        self.received.lock().unwrap().clone()
    }
}

/// Where the first request of `text` ends, if it is whole.
fn request_end(text: &str) -> Option<usize> {
    let head = text.find("\r\n\r\n")? + 4;
    let lower = text[..head].to_ascii_lowercase();
    if lower.contains("transfer-encoding: chunked") {
        return text[head..].find("0\r\n\r\n").map(|at| head + at + 5);
    }
    let length = lower.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
    let end = head + length.map_or(0, |length| length.parse::<usize>().unwrap());
    (text.len() >= end).then_some(end)
}

/// An answer with this status, these headers and this body.
pub fn answer(status: &str, headers: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}
