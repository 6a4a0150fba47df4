//! In front of everything: exact `Host` and `Origin` (DNS rebinding, foreign pages), bodies that are neither too large
//! nor too slow, and headers that every answer has.
use super::room::{NoRoom, Share};
use super::{ALWAYS, Address, Peer, Room, refusal};
use crate::error::{Code, Error};
use axum::Router;
use axum::body::{Body, BodyDataStream, Bytes, HttpBody, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// How long a body may take to arrive.
const BODY_PATIENCE: Duration = Duration::from_secs(15);
/// A header that no other origin's page can keep the browser from sending.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// What is read past of a body that is too large, bytes, and for how long.
const PAST: usize = 8 * 1024 * 1024;
const PAST_PATIENCE: Duration = Duration::from_secs(2);

/// What is let through.
#[derive(Debug)]
pub struct Guard {
    pub hosts: Vec<String>,
    pub origins: Vec<String>,
    /// The largest body, in bytes, of a path that begins so; the first that fits counts.
    pub bodies: Vec<(&'static str, usize)>,
    /// Of all other paths.
    pub body: usize,
    /// Paths that begin so read their bodies themselves, once they know who sends them.
    pub unread: Vec<&'static str>,
    pub behind_proxy: bool,
    /// The scheme is https, by our own TLS or the proxy's.
    pub is_https: bool,
    /// For bodies, until their requests are answered.
    pub room: Room,
}

impl Guard {
    /// For a server at `address`, with small bodies only.
    pub fn at(address: &Address, is_https: bool) -> Self {
        Self {
            hosts: address.hosts.clone(),
            origins: address.origins.clone(),
            bodies: Vec::new(),
            body: 64 * 1024,
            unread: Vec::new(),
            behind_proxy: false,
            is_https,
            room: Room::default(),
        }
    }
}

/// `router` behind `guard`.
pub fn guarded(router: Router, guard: Guard) -> Router {
    router.layer(from_fn_with_state(Arc::new(guard), pass))
}

/// Refused without a body that repeats anything.
fn refused(status: StatusCode, why: &'static str) -> Response {
    (status, [(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"))], why).into_response()
}

async fn pass(State(guard): State<Arc<Guard>>, mut request: Request, next: Next) -> Response {
    let mut response = match guard.check(&request) {
        Err((status, why)) => refused(status, why),
        Ok(()) => {
            guard.locate(&mut request);
            match guard.whole(request).await {
                Ok((request, _share)) => next.run(request).await,
                Err(response) => response,
            }
        }
    };
    for (name, value) in ALWAYS {
        response.headers_mut().entry(name).or_insert(value);
    }
    if guard.is_https {
        let hsts = HeaderValue::from_static("max-age=31536000");
        response.headers_mut().insert(header::STRICT_TRANSPORT_SECURITY, hsts);
    }
    response
}

impl Guard {
    fn check(&self, request: &Request) -> Result<(), (StatusCode, &'static str)> {
        let headers = request.headers();
        let host = one(headers, &header::HOST)
            .map_err(|()| (StatusCode::BAD_REQUEST, "more than one Host"))?
            .ok_or((StatusCode::BAD_REQUEST, "no Host"))?;
        if !self.hosts.iter().any(|known| known.eq_ignore_ascii_case(host)) {
            return Err((StatusCode::FORBIDDEN, "this server has another name"));
        }
        // An absolute address (as to a proxy) must name the same host.
        if let Some(authority) = request.uri().authority()
            && !authority.as_str().eq_ignore_ascii_case(host)
        {
            return Err((StatusCode::FORBIDDEN, "the address and Host differ"));
        }
        let origin =
            one(headers, &header::ORIGIN).map_err(|()| (StatusCode::FORBIDDEN, "more than one Origin"))?;
        if let Some(origin) = origin
            && !self.origins.iter().any(|known| known == origin)
        {
            return Err((StatusCode::FORBIDDEN, "pages of another origin are not served"));
        }
        // What a browser sends for another site's page, with or without Origin; opening a link is all that may do.
        let site = one(headers, &SEC_FETCH_SITE).unwrap_or(Some("cross-site"));
        let is_foreign = matches!(site, Some(site) if !matches!(site, "same-origin" | "none"));
        let is_reading = matches!(*request.method(), Method::GET | Method::HEAD);
        if is_foreign && !is_reading {
            return Err((StatusCode::FORBIDDEN, "pages of another site change nothing here"));
        }
        Ok(())
    }

    /// Behind a proxy the visitor is who the proxy says: the last entry, which it wrote itself.
    fn locate(&self, request: &mut Request) {
        if !self.behind_proxy {
            return;
        }
        let said = request
            .headers()
            .get_all("x-forwarded-for")
            .iter()
            .next_back()
            .and_then(|value| value.to_str().ok())
            .and_then(|list| list.rsplit(',').next())
            .and_then(|last| last.trim().parse::<IpAddr>().ok());
        if let Some(ip) = said {
            request.extensions_mut().insert(Peer(ip));
        }
    }

    /// The request with its body read: within its size, within its time, and within the room there is for it.
    async fn whole(&self, request: Request) -> Result<(Request, Option<Share>), Response> {
        let path = request.uri().path();
        let is_left = self.unread.iter().any(|start| path.starts_with(start));
        if is_left || matches!(*request.method(), Method::GET | Method::HEAD) {
            return Ok((request, None));
        }
        let most = self
            .bodies
            .iter()
            .find(|(start, _)| path.starts_with(start))
            .map_or(self.body, |(_, most)| *most);
        // Anybody may send: without it they could have us hold as much as they like.
        let mut share = self.room.share(request.extensions().get::<Peer>().copied());
        let (parts, body) = request.into_parts();
        let bytes = within_room(body, most, &mut share).await.map_err(Unread::told)?;
        Ok((Request::from_parts(parts, Body::from(bytes)), Some(share)))
    }
}

/// Why a body was not read.
enum Unread {
    TooLarge,
    TooSlow,
    Broken,
    NoRoom,
}

impl Unread {
    /// Told to a person in a browser.
    fn told(self) -> Response {
        closing(match self {
            Unread::TooLarge => refused(
                StatusCode::PAYLOAD_TOO_LARGE,
                "That is larger than this page takes: a value holds 64 KiB, a file 1 MiB. Nothing was stored. Go back and choose another.",
            ),
            Unread::TooSlow => too_slow(),
            Unread::Broken => refused(StatusCode::BAD_REQUEST, "the request did not arrive whole"),
            Unread::NoRoom => {
                let mut response = refused(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "The server is busy with what others send. Nothing was stored. Go back and try again in a moment.",
                );
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
                response
            }
        })
    }
}

fn too_slow() -> Response {
    refused(StatusCode::REQUEST_TIMEOUT, "the request took too long to arrive")
}

/// A body of at most `most` bytes, as it comes: what has not come takes no room.
async fn within_room(body: Body, most: usize, share: &mut Share) -> Result<Vec<u8>, Unread> {
    let is_larger = said_size(&body) > most;
    let mut coming = body.into_data_stream();
    if is_larger {
        read_past(&mut coming).await;
        return Err(Unread::TooLarge);
    }
    let reading = async {
        let mut bytes: Vec<u8> = Vec::new();
        while let Some(piece) = coming.next().await {
            let piece = piece.map_err(|_| Unread::Broken)?;
            let size = bytes.len() + piece.len();
            if size > most {
                return Err(Unread::TooLarge);
            }
            share.hold(size).await.map_err(|NoRoom| Unread::NoRoom)?;
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    };
    let read = tokio::time::timeout(BODY_PATIENCE, reading).await.unwrap_or(Err(Unread::TooSlow));
    if matches!(read, Err(Unread::TooLarge)) {
        read_past(&mut coming).await;
    }
    read
}

/// How large a body says that it is, at least.
fn said_size(body: &Body) -> usize {
    usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX)
}

/// Reads a little of what is on its way, and keeps nothing: a client that is still sending when the connection closes
/// would see it break, and never the answer (RFC 9112 §9.6).
async fn read_past(coming: &mut BodyDataStream) {
    let past = async {
        let mut left = PAST;
        while let Some(Ok(piece)) = coming.next().await {
            match left.checked_sub(piece.len()) {
                Some(less) => left = less,
                None => return,
            }
        }
    };
    // Whoever has not sent it by then has waited for the answer, or is answered too early.
    let _ = tokio::time::timeout(PAST_PATIENCE, past).await;
}

/// The connection ends with this answer: the rest of the request is not waited for.
fn closing(mut response: Response) -> Response {
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// A body of at most `most` bytes that arrives within a quarter of a minute, or the answer that refuses it; for senders
/// who are known, and have places of their own.
pub async fn read_whole(body: Body, most: usize) -> Result<Bytes, Response> {
    if said_size(&body) > most {
        read_past(&mut body.into_data_stream()).await;
        return Err(too_large());
    }
    match tokio::time::timeout(BODY_PATIENCE, to_bytes(body, most)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(_)) => Err(too_large()),
        Err(_) => Err(closing(too_slow())),
    }
}

/// Told to a program.
fn too_large() -> Response {
    let mut response = refusal(&Error::new(Code::TooLarge, "the request is larger than this server takes"));
    *response.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
    closing(response)
}

/// The one value of a header; `Err` where there are several or it is no text.
fn one<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, ()> {
    let mut all = headers.get_all(name).iter();
    match (all.next(), all.next()) {
        (None, _) => Ok(None),
        (Some(one), None) => one.to_str().map(Some).map_err(|_| ()),
        _ => Err(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::room::PIECE;
    use super::*;
    use axum::routing::{get, post};
    use tower::ServiceExt;

    fn guard() -> Guard {
        let address = Address {
            base: String::new(),
            hosts: vec!["127.0.0.1:8740".into(), "localhost:8740".into()],
            origins: vec!["http://127.0.0.1:8740".into()],
            is_local: true,
        };
        Guard { bodies: vec![("/big", 100)], body: 10, ..Guard::at(&address, false) }
    }

    async fn status(guard: Guard, request: Request) -> StatusCode {
        let router = Router::new()
            .route("/", get(|| async { "read" }).post(|| async { "written" }))
            .route("/big", post(|body: String| async move { body }));
        guarded(router, guard).oneshot(request).await.unwrap().status()
    }

    fn request(method: &str, uri: &str, headers: &[(&str, &str)]) -> Request {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(Body::empty()).unwrap()
    }

    #[tokio::test]
    async fn w_10_only_our_own_names_are_answered() {
        for host in [
            "evil.example",
            "127.0.0.1",
            "127.0.0.1:8741",
            "localhost.:8740",
            "127.0.0.1:8740.",
            "192.168.1.2:8740",
            "127.0.0.1:8740 ",
            "127.0.0.1:8740, evil.example",
            "[::1]:8740",
            "",
        ] {
            let answered = status(guard(), request("GET", "/", &[("host", host)])).await;
            assert_eq!(answered, StatusCode::FORBIDDEN, "{host}");
        }
        assert_eq!(status(guard(), request("GET", "/", &[])).await, StatusCode::BAD_REQUEST);
        let two = [("host", "127.0.0.1:8740"), ("host", "evil.example")];
        assert_eq!(status(guard(), request("GET", "/", &two)).await, StatusCode::BAD_REQUEST);
        let absolute = request("GET", "http://evil.example/", &[("host", "127.0.0.1:8740")]);
        assert_eq!(status(guard(), absolute).await, StatusCode::FORBIDDEN);
        for host in ["127.0.0.1:8740", "LOCALHOST:8740"] {
            assert_eq!(status(guard(), request("GET", "/", &[("host", host)])).await, StatusCode::OK);
        }
    }

    #[tokio::test]
    async fn w_11_w_15_pages_of_other_origins_are_refused_on_every_method() {
        for origin in ["https://evil.example", "null", "http://localhost:3000", "file://", "http://127.0.0.1"]
        {
            for method in ["GET", "POST"] {
                let asked = request(method, "/", &[("host", "127.0.0.1:8740"), ("origin", origin)]);
                assert_eq!(status(guard(), asked).await, StatusCode::FORBIDDEN, "{method} {origin}");
            }
        }
        for site in ["cross-site", "same-site", "anything"] {
            let asked = request("POST", "/", &[("host", "127.0.0.1:8740"), ("sec-fetch-site", site)]);
            assert_eq!(status(guard(), asked).await, StatusCode::FORBIDDEN, "{site}");
        }
        let ours = [
            ("host", "127.0.0.1:8740"),
            ("origin", "http://127.0.0.1:8740"),
            ("sec-fetch-site", "same-origin"),
        ];
        assert_eq!(status(guard(), request("POST", "/", &ours)).await, StatusCode::OK);
        let link = [("host", "127.0.0.1:8740"), ("sec-fetch-site", "cross-site")];
        assert_eq!(status(guard(), request("GET", "/", &link)).await, StatusCode::OK);
    }

    #[tokio::test]
    async fn m_04_a_body_has_a_largest_size_which_the_path_decides() {
        let with = |uri: &str, size: usize| {
            let body = Body::from("x".repeat(size));
            Request::builder().method("POST").uri(uri).header("host", "127.0.0.1:8740").body(body).unwrap()
        };
        assert_eq!(status(guard(), with("/", 10)).await, StatusCode::OK);
        assert_eq!(status(guard(), with("/", 11)).await, StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(status(guard(), with("/big", 100)).await, StatusCode::OK);
        assert_eq!(status(guard(), with("/big", 101)).await, StatusCode::PAYLOAD_TOO_LARGE);
    }

    /// A request whose body has begun to come, and never goes on.
    fn stalled(uri: &str, from: &str, begun: usize) -> Request {
        let begun = futures_util::stream::iter([Ok::<_, std::io::Error>(vec![b'x'; begun])]);
        let body = Body::from_stream(begun.chain(futures_util::stream::pending()));
        sent(uri, from, body)
    }

    fn sent(uri: &str, from: &str, body: Body) -> Request {
        let request = Request::builder().method("POST").uri(uri).header("host", "127.0.0.1:8740");
        let mut request = request.body(body).unwrap();
        request.extensions_mut().insert(Peer(from.parse().unwrap()));
        request
    }

    fn large(room: Room) -> Router {
        let router =
            Router::new().route("/", post(|| async { "small" })).route("/big", post(|| async { "big" }));
        let guard = Guard { bodies: vec![("/big", 4 * PIECE)], body: PIECE, room, ..guard() };
        guarded(router, guard)
    }

    #[tokio::test(start_paused = true)]
    async fn l_04_slow_bodies_hold_nobody_up_and_are_given_up_after_a_while() {
        let began = tokio::time::Instant::now();
        let router = large(Room::default());
        let slow: Vec<_> =
            (0..200).map(|_| tokio::spawn(router.clone().oneshot(stalled("/", "127.0.0.1", 1)))).collect();
        tokio::task::yield_now().await;

        let other = router.clone().oneshot(sent("/", "127.0.0.1", Body::from("form"))).await.unwrap();

        assert_eq!((other.status(), began.elapsed()), (StatusCode::OK, Duration::ZERO));
        for one in slow {
            assert_eq!(one.await.unwrap().unwrap().status(), StatusCode::REQUEST_TIMEOUT);
        }
        assert!(began.elapsed() >= BODY_PATIENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn l_04_one_address_does_not_take_the_room_of_all() {
        let router = large(Room::of(6, 3));
        let much = tokio::spawn(router.clone().oneshot(stalled("/big", "192.0.2.1", 3 * PIECE)));
        tokio::task::yield_now().await;

        let same = router.clone().oneshot(sent("/", "192.0.2.1", Body::from("form"))).await.unwrap();
        let other = router.clone().oneshot(sent("/", "192.0.2.2", Body::from("form"))).await.unwrap();

        assert_eq!(same.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(same.headers()[header::RETRY_AFTER], "5");
        assert_eq!(other.status(), StatusCode::OK);
        assert_eq!(much.await.unwrap().unwrap().status(), StatusCode::REQUEST_TIMEOUT);
        let again = router.oneshot(sent("/", "192.0.2.1", Body::from("form"))).await.unwrap();
        assert_eq!(again.status(), StatusCode::OK);
    }

    /// A body that says how large it is, and does not come.
    struct Said(u64);

    impl HttpBody for Said {
        type Data = Bytes;
        type Error = std::io::Error;

        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, std::io::Error>>> {
            std::task::Poll::Pending
        }

        fn size_hint(&self) -> http_body::SizeHint {
            http_body::SizeHint::with_exact(self.0)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn m_04_a_body_that_says_it_is_too_large_is_refused_before_it_comes_and_takes_no_room() {
        let began = tokio::time::Instant::now();
        let router = large(Room::of(0, 0));

        let page = router.oneshot(sent("/", "192.0.2.1", Body::new(Said(PIECE as u64 + 1)))).await.unwrap();
        let program = read_whole(Body::new(Said(11)), 10).await.unwrap_err();

        for refused in [page, program] {
            assert_eq!(refused.status(), StatusCode::PAYLOAD_TOO_LARGE);
            assert!(refused.headers().get(header::RETRY_AFTER).is_none());
            assert_eq!(refused.headers()[header::CONNECTION], "close");
        }
        assert!(began.elapsed() < BODY_PATIENCE);
    }

    #[tokio::test]
    async fn w_16_no_other_origin_is_ever_allowed_to_read() {
        let preflight = request(
            "OPTIONS",
            "/",
            &[
                ("host", "127.0.0.1:8740"),
                ("origin", "https://evil.example"),
                ("access-control-request-method", "POST"),
            ],
        );
        let router = Router::new().route("/", get(|| async { "read" }));

        let response = guarded(router, guard()).oneshot(preflight).await.unwrap();

        assert_eq!(response.status(), StatusCode::FORBIDDEN);
        assert!(response.headers().keys().all(|name| !name.as_str().starts_with("access-control")));
    }

    #[tokio::test]
    async fn behind_a_proxy_the_visitor_is_who_its_last_entry_names() {
        let router = Router::new().route(
            "/",
            get(|axum::Extension(peer): axum::Extension<Peer>| async move { peer.0.to_string() }),
        );
        let guard = Guard { behind_proxy: true, ..guard() };
        let asked =
            request("GET", "/", &[("host", "127.0.0.1:8740"), ("x-forwarded-for", "10.0.0.1, 192.0.2.7")]);

        let response = guarded(router, guard).oneshot(asked).await.unwrap();

        let told = to_bytes(response.into_body(), 100).await.unwrap();
        assert_eq!(&told[..], b"192.0.2.7");
    }
}
