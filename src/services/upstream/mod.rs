//! Streams to a service and back, for the HTTP broker: what is sent and what comes is as large and as long as it is.
//!
//! The same rules as the outbound client's: https, or http where the configuration says `http://host:port`; a name is
//! looked up for each connection, its addresses are checked, and the connection is made to those and no others. No
//! redirect is followed, nothing is unpacked, no proxy of the environment is used. A connection is kept for half a
//! second without use: it has the credential in its buffers, and nothing may be found there a second later.
mod connection;
mod sent;

pub use connection::Answered;
pub use sent::{Inflow, Sent};

use super::client::Outbound;
use crate::error::{Code, Error, invalid};
use connection::{Connection, Idle};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Method, Request, Response, Uri, header};
use hyper_util::rt::TokioIo;
use sent::Progress;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
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
            if !progress.moved() {
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
