//! Streams to a service and back, for the HTTP broker: what is sent and what comes is as large and as long as it is.
//!
//! The same rules as the outbound client's: https, or http where the configuration says `http://host:port`; a name is
//! looked up for each connection, its addresses are checked, and the connection is made to those and no others. No
//! redirect is followed, nothing is unpacked, no proxy of the environment is used. A connection is kept for half a
//! second without use: it has the credential in its buffers, and nothing may be found there a second later.
use super::client::Outbound;
use crate::error::{Code, Error, invalid};
use http_body::{Body, Frame, SizeHint};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Method, Request, Response, Uri, header};
use hyper_util::rt::TokioIo;
use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use url::{Host, Url};

/// How long a connection is kept unused, and how often that is looked after.
const KEPT: Duration = Duration::from_millis(500);
const TIDY: Duration = Duration::from_millis(200);
/// The largest head of an answer, bytes, and the most headers and interim answers (1xx) that it has.
const MOST_HEAD: usize = 64 * 1024;
const MOST_HEADERS: usize = 100;
const MOST_INTERIM: usize = 16;
/// What is read at once, at most, bytes.
const MOST_READ: usize = 128 * 1024;

/// How long each step may take. A stream that has begun may last.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Looking the name up, connecting, shaking hands.
    pub connect: Duration,
    /// From the last byte of the request to the head of its answer.
    pub head: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { connect: Duration::from_secs(10), head: Duration::from_secs(300) }
    }
}

/// A body that comes in while it is sent.
pub type Inflow = Pin<Box<dyn Body<Data = Bytes, Error = Box<dyn std::error::Error + Send + Sync>> + Send>>;

/// The body of a request. What may follow it (trailers) is left out.
pub enum Sent {
    Nothing,
    Whole(Bytes),
    Stream(Inflow, Progress),
}

/// Whether a body has moved on since it was asked last.
#[derive(Clone, Default)]
pub struct Progress(Arc<AtomicBool>);

impl Sent {
    pub fn whole(bytes: Bytes) -> Self {
        if bytes.is_empty() { Self::Nothing } else { Self::Whole(bytes) }
    }

    pub fn stream(body: Inflow) -> Self {
        Self::Stream(body, Progress::default())
    }

    fn progress(&self) -> Progress {
        match self {
            Sent::Stream(_, progress) => progress.clone(),
            _ => Progress::default(),
        }
    }
}

impl Body for Sent {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match &mut *self {
            Sent::Nothing => Poll::Ready(None),
            Sent::Whole(bytes) => {
                let whole = std::mem::take(bytes);
                *self = Sent::Nothing;
                Poll::Ready((!whole.is_empty()).then(|| Ok(Frame::data(whole))))
            }
            Sent::Stream(stream, progress) => match ready!(stream.as_mut().poll_frame(cx)) {
                Some(Ok(frame)) if frame.is_trailers() => Poll::Ready(None),
                other => {
                    progress.0.store(true, Ordering::Relaxed);
                    Poll::Ready(other)
                }
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Sent::Nothing => true,
            Sent::Whole(bytes) => bytes.is_empty(),
            Sent::Stream(stream, _) => stream.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Sent::Nothing => SizeHint::with_exact(0),
            Sent::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Sent::Stream(stream, _) => stream.size_hint(),
        }
    }
}

/// No answer, and why; the service's name is for whoever tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failed {
    pub why: &'static str,
    /// It took too long.
    pub is_late: bool,
    /// What came breaks the protocol, or a limit: not to be trusted.
    pub is_malformed: bool,
    /// It may not be called at all.
    pub is_forbidden: bool,
}

const FLOODED: Failed = Failed::malformed("it sends interim answers without end");

impl Failed {
    const fn new(why: &'static str) -> Self {
        Self { why, is_late: false, is_malformed: false, is_forbidden: false }
    }
    const fn late(why: &'static str) -> Self {
        Self { why, is_late: true, is_malformed: false, is_forbidden: false }
    }
    const fn malformed(why: &'static str) -> Self {
        Self { why, is_late: false, is_malformed: true, is_forbidden: false }
    }
}

/// Where a service is, with what every request to it needs.
#[derive(Clone, Debug)]
pub struct Origin {
    pub url: Url,
    /// What `Host` says.
    pub host: header::HeaderValue,
    key: String,
}

impl Origin {
    /// Fails with `invalid_input` for an address that has no host.
    pub fn of(url: Url) -> Result<Self, Error> {
        let host = &url[url::Position::BeforeHost..url::Position::AfterPort];
        let host = header::HeaderValue::from_str(host)
            .ok()
            .filter(|_| url.has_host())
            .ok_or_else(|| invalid("the service's address names no host"))?;
        let key = url.origin().ascii_serialization();
        Ok(Self { url, host, key })
    }
}

/// The way out, with the connections that are worth keeping for a moment.
pub struct Upstream {
    outbound: Outbound,
    patience: Patience,
    /// Whose certificates count: read once, for it takes a while.
    tls: OnceCell<TlsConnector>,
    idle: Arc<Idle>,
}

#[derive(Default)]
struct Idle {
    /// By scheme, host and port; the last used is the first taken.
    by_origin: Mutex<HashMap<String, Vec<(Instant, Connection)>>>,
    is_tidied: Mutex<bool>,
}

impl Upstream {
    pub fn new(outbound: Outbound, patience: Patience) -> Self {
        Self { outbound, patience, tls: OnceCell::new(), idle: Arc::default() }
    }

    /// Sends `request`, whose target is a path, to `origin`, and returns with the head of the answer.
    ///
    /// Whoever drops the future or the answer's body ends the request. It is sent twice only where the first surely did
    /// not arrive, or nothing is changed by it (RFC 9110 §9.2.2).
    pub async fn send(
        &self,
        origin: &Origin,
        mut request: Request<Sent>,
    ) -> Result<Response<Answered>, Failed> {
        let interim = count_interim(&mut request);
        // The library says nothing where there is nothing, and some services then wait (RFC 9110 §8.6).
        let is_reading = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
        if matches!(request.body(), Sent::Nothing) && !is_reading {
            request.headers_mut().insert(header::CONTENT_LENGTH, header::HeaderValue::from_static("0"));
        }
        let progress = request.body().progress();
        loop {
            let kept = self.idle.take(&origin.key);
            let is_kept = kept.is_some();
            let mut connection = match kept {
                Some(connection) => connection,
                None => self.connect(&origin.url).await?,
            };
            let again = is_kept.then(|| copy(&request)).flatten();
            let answered = tokio::select! {
                biased;
                answered = connection.send(request, &interim) => answered.ok_or(FLOODED)?,
                () = self.silence(&progress) => return Err(Failed::late("it did not answer in time")),
            };
            match answered {
                Ok(response) => {
                    check(&response)?;
                    let home = Some((connection, origin.key.clone(), self.idle.clone()));
                    return Ok(response.map(|coming| Answered { coming, home }));
                }
                Err(mut failed) => {
                    // It was closed while nobody looked: what did not go out may go out elsewhere.
                    request = match (failed.take_message(), again) {
                        (Some(unsent), _) if is_kept => unsent,
                        (None, Some(again)) if failed.error().is_incomplete_message() => again,
                        _ => return Err(cause(failed.error())),
                    };
                }
            }
        }
    }

    /// Ends when nothing more was sent for as long as an answer may take.
    async fn silence(&self, progress: &Progress) {
        loop {
            tokio::time::sleep(self.patience.head).await;
            if !progress.0.swap(false, Ordering::Relaxed) {
                return;
            }
        }
    }

    async fn connect(&self, base: &Url) -> Result<Connection, Failed> {
        match tokio::time::timeout(self.patience.connect, self.connected(base)).await {
            Ok(connected) => connected,
            Err(_) => Err(Failed::late("no connection in time")),
        }
    }

    async fn connected(&self, base: &Url) -> Result<Connection, Failed> {
        let is_plain = base.scheme() == "http";
        let prefix = if is_plain { "http://" } else { "" };
        let is_named = self.outbound.names(base, prefix);
        if is_plain && !is_named {
            return Err(Failed { is_forbidden: true, ..Failed::new("only https addresses are called") });
        }
        let addresses = self.outbound.addresses(base, is_named).await.map_err(|e| forbidden(&e))?;
        let unconnected = |_| Failed::new("no connection");
        let stream = match &self.outbound.proxy {
            Some(proxy) if addresses.is_empty() => return self.through(proxy, base, is_plain).await,
            _ => TcpStream::connect(&addresses[..]).await.map_err(unconnected)?,
        };
        stream.set_nodelay(true).map_err(unconnected)?;
        match is_plain {
            true => shake_hands(stream).await,
            false => shake_hands(self.secured(base, stream).await?).await,
        }
    }

    /// By the configured proxy, which resolves the name (RFC 9110 §9.3.6).
    async fn through(&self, proxy: &str, base: &Url, is_plain: bool) -> Result<Connection, Failed> {
        let wrong = || Failed { is_forbidden: true, ..Failed::new("[outbound] proxy is no http:// address") };
        let proxy = Url::parse(proxy).ok().filter(|proxy| proxy.scheme() == "http").ok_or_else(wrong)?;
        let refused = || Failed::new("the proxy made no connection");
        let (host, port) = (proxy.host_str().ok_or_else(wrong)?, proxy.port_or_known_default().unwrap_or(80));
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let stream = TcpStream::connect((host, port)).await.map_err(|_| refused())?;
        stream.set_nodelay(true).map_err(|_| refused())?;
        let (mut sender, connection) =
            http1::handshake::<_, Sent>(TokioIo::new(stream)).await.map_err(|_| refused())?;
        tokio::spawn(async move {
            // Its end is seen by whoever uses it.
            let _ = connection.with_upgrades().await;
        });
        let authority = format!(
            "{}:{}",
            base.host_str().unwrap_or_default(),
            base.port_or_known_default().unwrap_or(443)
        );
        let target = Uri::try_from(authority.as_str()).map_err(|_| refused())?;
        let mut ask = Request::builder().method(Method::CONNECT).uri(target).header(header::HOST, authority);
        if !proxy.username().is_empty() {
            let user = format!("{}:{}", proxy.username(), proxy.password().unwrap_or_default());
            let basic = format!("Basic {}", data_encoding::BASE64.encode(user.as_bytes()));
            ask = ask.header(header::PROXY_AUTHORIZATION, basic);
        }
        let ask = ask.body(Sent::Nothing).map_err(|_| refused())?;
        let answer = sender.send_request(ask).await.map_err(|_| refused())?;
        if !answer.status().is_success() {
            return Err(refused());
        }
        let stream = TokioIo::new(hyper::upgrade::on(answer).await.map_err(|_| refused())?);
        match is_plain {
            true => shake_hands(stream).await,
            false => shake_hands(self.secured(base, stream).await?).await,
        }
    }

    async fn secured<S>(&self, base: &Url, stream: S) -> Result<tokio_rustls::client::TlsStream<S>, Failed>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let config = || async {
            let mut tls = self.outbound.tls()?;
            tls.alpn_protocols = vec![b"http/1.1".to_vec()];
            Ok::<_, Error>(TlsConnector::from(Arc::new(tls)))
        };
        let tls = self.tls.get_or_try_init(config).await.map_err(|e| forbidden(&e))?;
        let name = match base.host() {
            Some(Host::Domain(name)) => ServerName::try_from(name.to_owned()).ok(),
            Some(Host::Ipv4(ip)) => Some(std::net::IpAddr::from(ip).into()),
            Some(Host::Ipv6(ip)) => Some(std::net::IpAddr::from(ip).into()),
            None => None,
        };
        let name = name.ok_or(Failed::new("its name cannot be in a certificate"))?;
        tls.connect(name, stream)
            .await
            .map_err(|_| Failed::new("its certificate is not trusted, or its TLS is none"))
    }
}

async fn shake_hands<S>(stream: S) -> Result<Connection, Failed>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::Builder::new()
        .max_headers(MOST_HEADERS)
        .max_header_size(MOST_HEAD)
        .max_buf_size(MOST_READ)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|e| cause(&e))?;
    // Its end is seen by whoever uses it.
    let run = Box::pin(async move { drop(connection.await) });
    Ok(Connection { sender, run: Some(run) })
}

/// A connection, which moves only while somebody who uses it waits: a task of its own would cost two changes of thread
/// for each request. Dropping it closes it.
struct Connection {
    sender: SendRequest<Sent>,
    /// Nothing once it has ended.
    run: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Connection {
    /// Nothing where it sends more `interim` answers than anybody does.
    async fn send(
        &mut self,
        request: Request<Sent>,
        interim: &AtomicUsize,
    ) -> Option<Result<Response<Incoming>, TrySendError<Request<Sent>>>> {
        let mut answer = std::pin::pin!(self.sender.try_send_request(request));
        poll_fn(|cx| {
            self.run(cx);
            match interim.load(Ordering::Relaxed) {
                0..=MOST_INTERIM => answer.as_mut().poll(cx).map(Some),
                _ => Poll::Ready(None),
            }
        })
        .await
    }

    fn run(&mut self, cx: &mut Context<'_>) {
        if self.run.as_mut().is_some_and(|run| run.as_mut().poll(cx).is_ready()) {
            self.run = None;
        }
    }

    /// Whether it may be used again. Looks at what came meanwhile: its end, or what nobody asked for.
    fn is_ready(&mut self) -> bool {
        self.run(&mut Context::from_waker(Waker::noop()));
        self.run.is_some() && self.sender.is_ready()
    }
}

/// The body of an answer. Its connection is kept once it was read to the end.
pub struct Answered {
    coming: Incoming,
    home: Option<(Connection, String, Arc<Idle>)>,
}

impl Body for Answered {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = &mut *self;
        let mut polled = Pin::new(&mut this.coming).poll_frame(cx);
        if polled.is_pending()
            && let Some((connection, ..)) = &mut this.home
        {
            connection.run(cx);
            polled = Pin::new(&mut this.coming).poll_frame(cx);
        }
        if matches!(polled, Poll::Ready(None)) {
            this.go_home();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.coming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.coming.size_hint()
    }
}

impl Answered {
    /// Keeps the connection, if nothing more is to come; for an answer that has no body.
    pub fn go_home(&mut self) {
        if let Some((mut connection, key, idle)) = self.home.take()
            && connection.is_ready()
        {
            idle.keep(key, connection);
        }
    }
}

/// How many interim answers (1xx) came.
fn count_interim(request: &mut Request<Sent>) -> Arc<AtomicUsize> {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    hyper::ext::on_informational(request, move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
    });
    count
}

/// The same request where sending it twice changes nothing.
fn copy(request: &Request<Sent>) -> Option<Request<Sent>> {
    let is_safe = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if !is_safe || !matches!(request.body(), Sent::Nothing) {
        return None;
    }
    let mut copied = Request::new(Sent::Nothing);
    *copied.method_mut() = request.method().clone();
    *copied.uri_mut() = request.uri().clone();
    *copied.headers_mut() = request.headers().clone();
    *copied.extensions_mut() = request.extensions().clone();
    Some(copied)
}

/// An answer that two readers may understand in two ways is nobody's (RFC 9112 §6.3).
fn check(response: &Response<Incoming>) -> Result<(), Failed> {
    let headers = response.headers();
    let codings = headers.get_all(header::TRANSFER_ENCODING);
    let has_coding = codings.iter().next().is_some();
    if has_coding && headers.contains_key(header::CONTENT_LENGTH) {
        return Err(Failed::malformed("its answer has two lengths"));
    }
    if has_coding
        && (codings.iter().count() > 1
            || codings.iter().any(|c| !c.as_bytes().eq_ignore_ascii_case(b"chunked")))
    {
        return Err(Failed::malformed("its answer is in a coding that was not asked for"));
    }
    if headers.get_all(header::CONTENT_LENGTH).iter().count() > 1 {
        return Err(Failed::malformed("its answer has two lengths"));
    }
    if response.status() == hyper::StatusCode::SWITCHING_PROTOCOLS {
        return Err(Failed::malformed("it changes the protocol, which was not asked for"));
    }
    Ok(())
}

fn cause(e: &hyper::Error) -> Failed {
    if e.is_parse_too_large() {
        Failed::malformed("the head of its answer is too large")
    } else if e.is_parse() {
        Failed::malformed("its answer is not HTTP")
    } else {
        Failed::new("the connection broke off")
    }
}

fn forbidden(e: &Error) -> Failed {
    match e.code {
        Code::InvalidInput => Failed {
            is_forbidden: true,
            ..Failed::new("its address may not be called: it is not in the public network")
        },
        Code::ConfigInvalid => {
            Failed { is_forbidden: true, ..Failed::new("the [outbound] settings cannot be used") }
        }
        _ => Failed::new("its name has no address"),
    }
}

impl Idle {
    /// One that can be used at once.
    fn take(&self, origin: &str) -> Option<Connection> {
        loop {
            let kept = {
                let mut by_origin = self.by_origin.lock().unwrap_or_else(PoisonError::into_inner);
                by_origin.get_mut(origin)?.pop()?
            };
            let (_, mut connection) = kept;
            if connection.is_ready() {
                return Some(connection);
            }
        }
    }

    fn keep(self: &Arc<Self>, origin: String, connection: Connection) {
        let mut by_origin = self.by_origin.lock().unwrap_or_else(PoisonError::into_inner);
        by_origin.entry(origin).or_default().push((Instant::now(), connection));
        drop(by_origin);
        self.tidy();
    }

    /// Closes what was not used, until nothing is left.
    fn tidy(self: &Arc<Self>) {
        if std::mem::replace(&mut *self.is_tidied.lock().unwrap_or_else(PoisonError::into_inner), true) {
            return;
        }
        let idle = self.clone();
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(TIDY).await;
                let mut is_tidied = idle.is_tidied.lock().unwrap_or_else(PoisonError::into_inner);
                let mut by_origin = idle.by_origin.lock().unwrap_or_else(PoisonError::into_inner);
                by_origin.retain(|_, kept| {
                    kept.retain(|(since, _)| since.elapsed() < KEPT);
                    !kept.is_empty()
                });
                if by_origin.is_empty() {
                    *is_tidied = false;
                    return;
                }
            }
        });
    }
}
