//! A consumer without a key calls a service through the broker.
use crate::support::brokered::{Brokered, Service, answer, body, status, token, value};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use unsaid::inject::broker::{Ended, Limits, Outcome};
use unsaid::services::Placement;
use unsaid::services::client::Outbound;

fn ok() -> Vec<Vec<u8>> {
    vec![answer("200 OK", "Content-Type: application/json\r\n", "{}")]
}

#[tokio::test]
async fn the_credential_goes_where_the_service_wants_it_and_the_token_no_further() {
    let basic = |text: String| data_encoding::BASE64.encode(text.as_bytes());
    let encoded = value().replace('/', "%2F").replace('+', "%2B");
    let (token, value) = (token(), value());
    for (placement, shown, expected) in [
        (
            Placement::bearer(),
            format!("Authorization: Bearer {token}\r\n"),
            format!("authorization: Bearer {value}\r\n"),
        ),
        (
            Placement::Header { name: "X-Api-Key".into(), format: "{token}".into() },
            format!("X-Api-Key: {token}\r\n"),
            format!("x-api-key: {value}\r\n"),
        ),
        (
            Placement::Basic { username: "{username}".into(), password: "{token}".into() },
            format!("Authorization: Basic {}\r\n", basic(format!("mia:{token}"))),
            format!("authorization: Basic {}\r\n", basic(format!("mia:{value}"))),
        ),
        (
            Placement::Query { name: "key".into() },
            String::new(),
            format!("GET /v1/x?a=1&b=2&key={encoded} HTTP/1.1\r\n"),
        ),
    ] {
        let service = Service::start(|_, _| ok()).await;
        let broker = Brokered::plain(service.address, |book, _| book.placement = placement.clone()).await;
        let query = if shown.is_empty() { format!("?a=1&key={token}&b=2") } else { "?a=1&b=2".into() };

        let answer = broker
            .raw(
                format!(
                    "GET /b/bot/acme/v1/x{query} HTTP/1.1\r\nHost: {}\r\n{shown}Connection: close\r\nCookie: a=b\r\nX-Forwarded-For: 1.2.3.4\r\nAccept-Encoding: gzip\r\nUser-Agent: sdk/1\r\n\r\n",
                    broker.address
                )
                .as_bytes(),
            )
            .await;

        assert_eq!((status(&answer), body(&answer).as_str()), (200, "{}"), "{placement:?}");
        let received = service.received();
        assert!(received.contains(&expected), "{placement:?}");
        assert!(received.contains(&format!("host: {}\r\n", service.address)), "{placement:?}");
        assert!(
            received.contains("user-agent: sdk/1\r\n") && received.contains("accept-encoding: identity\r\n")
        );
        for absent in ["unsaid", "cookie", "x-forwarded", "gzip", "connection"] {
            assert!(!received.contains(absent), "{placement:?} {absent}");
        }
        assert_eq!(broker.admitted(), ["GET /v1/x"]);
        let ended = Ended { status: Some(200), outcome: Outcome::Answered, was_echoed: false };
        assert_eq!(broker.ended(1).await, [ended]);
    }
}

#[tokio::test]
async fn bodies_arrive_as_they_were_framed() {
    let service = Service::start(|_, _| ok()).await;
    let broker = Brokered::plain(service.address, |_, _| {}).await;
    for (method, more, sent, arrived) in [
        ("POST", "Content-Length: 5\r\n", "hello", "content-length: 5\r\n"),
        ("POST", "Content-Length: 0\r\n", "", "content-length: 0\r\n"),
        ("PUT", "", "", "content-length: 0\r\n"),
        (
            "PATCH",
            "Transfer-Encoding: chunked\r\n",
            "5\r\nhello\r\n0\r\nX: y\r\n\r\n",
            "transfer-encoding: chunked\r\n",
        ),
        ("DELETE", "Content-Length: 2\r\n", "{}", "content-length: 2\r\n"),
    ] {
        service.received.lock().unwrap().clear();

        let answer = broker.raw(format!("{}{sent}", broker.head(method, "/v1/x", more)).as_bytes()).await;

        assert_eq!(status(&answer), 200, "{method} {answer}");
        let received = service.received();
        assert!(
            received.starts_with(&format!("{method} /v1/x HTTP/1.1\r\n")) && received.contains(arrived),
            "{method}"
        );
        assert_eq!(received.contains("hello"), sent.contains("hello"), "{method}");
        assert!(!received.contains("X: y"), "{method}");
    }
}

#[tokio::test]
async fn b_15_an_answers_head_has_nothing_of_the_services_own_host() {
    let headers = "Set-Cookie: a=b\r\nStrict-Transport-Security: max-age=1\r\nAlt-Svc: h3\r\nAccess-Control-Allow-Origin: *\r\nX-Request-Id: r1\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\n";
    let service = Service::start(move |_, _| vec![answer("418 I Am Tired", headers, "short")]).await;
    let broker = Brokered::plain(service.address, |_, _| {}).await;

    let head = broker.head("HEAD", "/v1/x", "");
    let (got, head) = (broker.get("/v1/x").await, broker.raw(head.as_bytes()).await);

    for answer in [&got, &head] {
        let lower = answer.to_ascii_lowercase();
        assert!(lower.contains("x-request-id: r1") && lower.contains("content-length: 5\r\n"), "{answer}");
        for absent in ["set-cookie", "strict-transport", "alt-svc", "access-control", "keep-alive", "tired"] {
            assert!(!lower.contains(absent), "{absent}");
        }
        assert_eq!(status(answer), 418);
    }
    assert_eq!((body(&got).as_str(), body(&head).as_str()), ("short", ""));
}

#[tokio::test]
async fn cookies_pass_only_where_the_binding_says_so() {
    let service = Service::start(|_, _| vec![answer("200 OK", "Set-Cookie: c=d\r\n", "")]).await;
    let broker = Brokered::plain(service.address, |book, _| {
        book.limits = Limits { cookies: true, ..Limits::default() };
    })
    .await;

    let answer = broker.raw(broker.head("GET", "/v1/x", "Cookie: a=b\r\n").as_bytes()).await;

    assert!(
        answer.to_ascii_lowercase().contains("set-cookie: c=d") && service.received().contains("cookie: a=b")
    );
}

/// Everything a service may make of what it was sent without meaning to.
fn echoes() -> Vec<String> {
    let value = value();
    let bytes = value.as_bytes();
    vec![
        value.clone(),
        data_encoding::BASE64.encode(bytes),
        data_encoding::BASE64.encode(format!("mia:{value}").as_bytes()),
        data_encoding::HEXLOWER.encode(bytes),
        value.replace('/', "%2F").replace('+', "%2B"),
        value.replace('/', "\\/"),
        value.replace('/', "\\u002f").replace('+', "\\u002B"),
        value.replace('A', "\\u0041"),
        escaped(&value),
        escaped(&escaped(&value)),
        escaped(&data_encoding::BASE64.encode(bytes)),
    ]
}

/// Every character as `\u0041`.
fn escaped(text: &str) -> String {
    text.bytes().map(|byte| format!("\\u{byte:04x}")).collect()
}

#[tokio::test]
async fn b_24_what_is_escaped_and_is_not_the_value_reaches_the_caller_as_it_was_sent() {
    for text in [escaped("sk-Ab9x/Q+8"), escaped(&value()[..11]), r"C:\new \u00 \ud83d\ude00 \".to_owned()] {
        let said = text.clone();
        let service = Service::start(move |n, _| match n {
            0 => vec![answer("200 OK", "", &said)],
            _ => vec![chunked(&[said.as_bytes()]).concat()],
        })
        .await;
        let broker = Brokered::plain(service.address, |_, _| {}).await;

        for _ in 0..2 {
            assert_eq!(body(&broker.get("/v1/echo").await), text);
        }
        assert!(broker.ended(2).await.iter().all(|ended| !ended.was_echoed));
    }
}

/// The pieces of an answer without a length.
fn chunked(pieces: &[&[u8]]) -> Vec<Vec<u8>> {
    let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    let piece = |piece: &&[u8]| [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat();
    std::iter::once(head).chain(pieces.iter().map(piece)).chain([b"0\r\n\r\n".to_vec()]).collect()
}

#[tokio::test]
async fn b_25_an_echo_counts_though_the_answer_breaks_off_or_nobody_reads_it_to_its_end() {
    for is_broken in [true, false] {
        for echo in [format!("you are {}.", value()), format!("you are {}", escaped(&value()[..30]))] {
            let said = echo.clone();
            let service = Service::start(move |_, _| {
                let mut pieces = chunked(&[said.as_bytes()]);
                pieces.pop();
                // Without its last piece the answer is not over; an empty one ends the connection.
                pieces.extend(is_broken.then(Vec::new));
                pieces
            })
            .await;
            let broker = Brokered::plain(service.address, |_, _| {}).await;
            if is_broken {
                assert!(!broker.get("/v1/echo").await.contains(&echo[8..]));
            } else {
                let mut stream = TcpStream::connect(broker.address).await.unwrap();
                stream.write_all(broker.head("GET", "/v1/echo", "").as_bytes()).await.unwrap();
                let mut seen = Vec::new();
                while !String::from_utf8_lossy(&seen).contains("you are ") {
                    assert!(stream.read_buf(&mut seen).await.unwrap() > 0);
                }
                drop(stream);
            }

            let ended = broker.ended(1).await[0];

            // What is cut off before it is all there is known at the end alone, and shown to nobody.
            assert_eq!(ended.was_echoed, is_broken || echo.ends_with('.'), "{ended:?}");
            let how = if is_broken { Outcome::Failed("the answer broke off") } else { Outcome::Aborted };
            assert_eq!(ended.outcome, how);
        }
    }
    // One that was not in it does not count, however it ends.
    for is_broken in [true, false] {
        let service = Service::start(move |_, _| {
            let mut pieces = chunked(&[b"you are somebody, sk-Ab9x", b" and more"]);
            pieces.pop();
            pieces.extend(is_broken.then(Vec::new));
            pieces
        })
        .await;
        let broker = Brokered::plain(service.address, |_, _| {}).await;
        let mut stream = TcpStream::connect(broker.address).await.unwrap();
        stream.write_all(broker.head("GET", "/v1/x", "").as_bytes()).await.unwrap();
        let mut seen = Vec::new();
        // What breaks off need not arrive to its last piece.
        while !String::from_utf8_lossy(&seen).contains(" and more") {
            if stream.read_buf(&mut seen).await.unwrap_or(0) == 0 {
                break;
            }
        }
        drop(stream);

        assert!(!broker.ended(1).await[0].was_echoed);
    }
}

#[tokio::test]
async fn b_24_of_basic_authorization_the_pair_and_the_password_are_masked_too() {
    let pair = format!("mia:{}", value());
    let encoded = data_encoding::BASE64.encode(pair.as_bytes());
    let of_fields = Placement::Basic { username: "{username}".into(), password: "{token}".into() };
    let ready_made = Placement::Header { name: "Authorization".into(), format: "Basic {token}".into() };
    for (placement, version) in [(of_fields, value()), (ready_made, encoded.clone())] {
        let said = format!("{encoded}; {pair}; {}; mia", value());
        let service = Service::start(move |_, _| vec![answer("200 OK", "", &said)]).await;
        let broker = Brokered::plain(service.address, |book, _| {
            (book.placement, book.versions) = (placement.clone(), vec![version.clone()]);
        })
        .await;

        let told = broker.get("/v1/x").await;

        let masked = "[unsaid:ACME_KEY]";
        assert_eq!(body(&told), format!("{masked}; {masked}; {masked}; mia"));
        assert!(service.received().contains(&format!("authorization: Basic {encoded}\r\n")));
    }
    // What is sent in another way is not taken apart; what has no secret that is long enough is not sent.
    let said = pair.clone();
    let service = Service::start(move |_, _| vec![answer("200 OK", "", &said)]).await;
    let bearer = Brokered::plain(service.address, |book, _| book.versions = vec![encoded.clone()]).await;
    assert_eq!(body(&bearer.get("/v1/x").await), pair);
    let sent = service.received().len();
    for short in ["mia:pass", "mia:"] {
        let broker = Brokered::plain(service.address, |book, _| {
            book.placement = Placement::Header { name: "X-Key".into(), format: "Basic {token}".into() };
            book.versions = vec![data_encoding::BASE64.encode(short.as_bytes())];
        })
        .await;
        let refused = broker.get("/v1/x").await;
        assert!(status(&refused) == 400 && refused.contains("too short"), "{refused}");
    }
    assert_eq!(service.received().len(), sent);
}

#[tokio::test]
async fn b_24_b_19_an_echo_is_masked_in_headers_and_body_however_it_is_cut() {
    for echo in echoes() {
        for cut in [1, 7, 1000] {
            let text = format!("before {echo} after");
            let piece = |piece: &[u8]| [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat();
            let mut pieces = vec![
                format!("HTTP/1.1 200 OK\r\nX-Echo: got {echo}\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n")
                    .into_bytes(),
            ];
            pieces.extend(text.as_bytes().chunks(cut).map(piece));
            pieces.push(format!("0\r\nX-T: {echo}\r\n\r\n").into_bytes());
            let service = Service::start(move |_, _| pieces.clone()).await;
            let broker = Brokered::plain(service.address, |_, _| {}).await;

            let answer = broker.get("/v1/echo").await;

            assert!(!answer.contains(&echo[..12]), "cut {cut}");
            assert!(body(&answer).starts_with("before ") && body(&answer).ends_with(" after"), "cut {cut}");
            let (head, _) = answer.split_once("\r\n\r\n").unwrap();
            for part in [head, &body(&answer)] {
                assert!(part.contains("[unsaid:ACME_KEY]"), "cut {cut}: {part}");
            }
            assert!(broker.ended(1).await[0].was_echoed);
        }
        let said = echo.clone();
        let service =
            Service::start(move |_, _| vec![answer("401 Unauthorized", "", &format!("key {said}!"))]).await;
        let broker = Brokered::plain(service.address, |_, _| {}).await;

        let whole = broker.get("/v1/echo").await;

        assert!(whole.to_ascii_lowercase().contains("content-length: "));
        assert!(!whole.contains(&echo[..12]) && body(&whole).ends_with('!'));
    }
}

#[tokio::test]
async fn b_26_a_value_that_could_not_be_found_in_an_answer_is_not_sent() {
    let service = Service::start(|_, _| ok()).await;
    let broker = Brokered::plain(service.address, |book, _| book.versions = vec!["short".into()]).await;

    let answer = broker.get("/v1/x").await;

    assert_eq!((status(&answer), service.received().as_str()), (400, ""));
    assert!(
        body(&answer).contains("ACME_KEY") && matches!(broker.ended(1).await[0].outcome, Outcome::Failed(_))
    );
}

/// Says 401 to the first version, and 200 to the second.
async fn expired() -> (Service, [String; 2]) {
    let versions = ["old", "new"].map(|version| format!("{version}-{}", value()));
    let current = versions[1].clone();
    let service = Service::start(move |_, request| match request.contains(&current) {
        true => vec![answer("200 OK", "", "fresh")],
        false => vec![answer("401 Unauthorized", "", "expired")],
    })
    .await;
    (service, versions)
}

#[tokio::test]
async fn b_18_a_401_is_renewed_once_and_the_request_sent_again() {
    let (service, versions) = expired().await;
    let broker = Brokered::plain(service.address, |book, _| {
        (book.versions, book.is_renewable) = (versions.to_vec(), true);
    })
    .await;

    let answer = broker
        .raw(format!("{}hello", broker.head("POST", "/v1/x?q=1", "Content-Length: 5\r\n")).as_bytes())
        .await;

    assert_eq!((status(&answer), body(&answer).as_str()), (200, "fresh"));
    assert_eq!(service.received().matches("hello").count(), 2);
    assert_eq!(service.received().matches("POST /v1/x?q=1 ").count(), 2);
    assert_eq!(broker.book.renewed.load(Ordering::SeqCst), 1);
    let statuses: Vec<_> = broker.ended(2).await.iter().map(|ended| ended.status).collect();
    assert_eq!(statuses, [Some(401), Some(200)]);
}

#[tokio::test]
async fn a_second_401_is_the_answer() {
    let service = Service::start(|_, _| vec![answer("401 Unauthorized", "", "no")]).await;
    for (versions, sent) in [(vec![value(), value() + "2"], 2), (vec![value()], 1)] {
        let broker = Brokered::plain(service.address, |book, _| {
            (book.versions, book.is_renewable) = (versions, true);
        })
        .await;
        let before = service.received().matches("GET ").count();

        let answer = broker.get("/v1/x").await;

        assert_eq!((status(&answer), body(&answer).as_str()), (401, "no"));
        assert_eq!(service.received().matches("GET ").count() - before, sent);
        assert_eq!(broker.book.renewed.load(Ordering::SeqCst), 1);
    }
}

#[tokio::test]
async fn a_body_that_was_streamed_is_not_sent_again_and_the_credential_is_renewed_all_the_same() {
    let (service, versions) = expired().await;
    let broker = Brokered::plain(service.address, |book, _| {
        (book.versions, book.is_renewable) = (versions.to_vec(), true);
    })
    .await;
    let large = "x".repeat(64 * 1024 + 1);
    for (more, sent) in [
        (format!("Content-Length: {}\r\n", large.len()), large.clone()),
        ("Transfer-Encoding: chunked\r\n".into(), "5\r\nhello\r\n0\r\n\r\n".into()),
    ] {
        let before = broker.book.renewed.load(Ordering::SeqCst);

        let answer = broker.raw(format!("{}{sent}", broker.head("POST", "/v1/x", &more)).as_bytes()).await;

        assert_eq!((status(&answer), body(&answer).as_str()), (401, "expired"));
        assert_eq!(broker.book.renewed.load(Ordering::SeqCst), before + 1);
    }
}

#[tokio::test]
async fn events_flow_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let broker = Brokered::plain(listener.local_addr().unwrap(), |_, _| {}).await;
    let mut caller = TcpStream::connect(broker.address).await.unwrap();
    caller.write_all(broker.head("GET", "/v1/events", "").as_bytes()).await.unwrap();
    let (mut service, _) = listener.accept().await.unwrap();
    let mut text = String::new();
    read_until(&mut service, &mut text, "\r\n\r\n").await;
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    service.write_all(head.as_bytes()).await.unwrap();

    // Each is read before the next is sent; a value begins in one and ends in another.
    let (first, rest) = (value()[..20].to_owned(), value()[20..].to_owned());
    let mut seen = String::new();
    for (event, told) in [
        ("data: one\n\n".to_owned(), "data: one\n\n"),
        ("data: two\n\n".to_owned(), "data: two\n\n"),
        (format!("data: {first}"), "data: "),
        (format!("{rest}\n\n"), "[unsaid:ACME_KEY]"),
    ] {
        service.write_all(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes()).await.unwrap();
        read_until(&mut caller, &mut seen, told).await;
    }

    assert!(!seen.contains(&first[..8]));
}

async fn read_until(stream: &mut TcpStream, seen: &mut String, what: &str) {
    let mut piece = [0; 4096];
    let from = seen.len();
    while !seen[from..].contains(what) {
        let size = stream.read(&mut piece).await.unwrap();
        assert!(size > 0, "it ended before {what}");
        seen.push_str(&String::from_utf8_lossy(&piece[..size]));
    }
}

#[tokio::test]
async fn b_14_a_caller_who_goes_away_ends_the_request() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let broker = Brokered::plain(listener.local_addr().unwrap(), |_, _| {}).await;
    for answered in [false, true] {
        let mut caller = TcpStream::connect(broker.address).await.unwrap();
        caller.write_all(broker.head("GET", "/v1/slow", "").as_bytes()).await.unwrap();
        let (mut service, _) = listener.accept().await.unwrap();
        let mut text = String::new();
        read_until(&mut service, &mut text, "\r\n\r\n").await;
        if answered {
            let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n";
            service.write_all(head.as_bytes()).await.unwrap();
            let mut seen = String::new();
            read_until(&mut caller, &mut seen, "first").await;
        }

        drop(caller);

        let mut rest = Vec::new();
        // Closed, or reset.
        let _ = service.read_to_end(&mut rest).await;
        assert!(rest.is_empty());
    }
    assert!(broker.ended(2).await.iter().all(|ended| ended.outcome == Outcome::Aborted));
}

#[tokio::test]
async fn one_token_has_so_many_places_and_is_told_to_wait() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let broker =
        Brokered::plain(listener.local_addr().unwrap(), |_, settings| settings.most_of_one = 1).await;
    let mut first = TcpStream::connect(broker.address).await.unwrap();
    first.write_all(broker.head("GET", "/v1/slow", "").as_bytes()).await.unwrap();
    let (mut service, _) = listener.accept().await.unwrap();

    let refused = broker.get("/v1/x").await;

    assert_eq!(status(&refused), 429);
    assert!(refused.to_ascii_lowercase().contains("retry-after: 1\r\n"));
    assert_eq!(broker.admitted().len(), 1);
    service.write_all(&answer("200 OK", "Connection: close\r\n", "done")).await.unwrap();
    let mut seen = String::new();
    read_until(&mut first, &mut seen, "done").await;
    broker.ended(1).await;
}

#[tokio::test]
async fn connections_to_a_service_are_kept_for_the_next_request() {
    let service = Service::start(|_, _| ok()).await;
    let broker = Brokered::plain(service.address, |_, _| {}).await;
    let one = broker.head("GET", "/v1/x", "").replace("Connection: close\r\n", "");

    let answers = broker.raw(format!("{one}{one}{one}{}", broker.head("GET", "/v1/x", "")).as_bytes()).await;

    assert_eq!(answers.matches("HTTP/1.1 200").count(), 4);
    // The next may come before the last is back.
    assert!(service.connections.load(Ordering::SeqCst) < 4);
}

#[tokio::test]
async fn a_kept_connection_that_was_closed_meanwhile_costs_nobody_an_answer() {
    // Each connection is good for one answer, and does not say so.
    let service = Service::start(|_, _| vec![ok().concat(), Vec::new()]).await;
    let broker = Brokered::plain(service.address, |_, _| {}).await;
    for _ in 0..20 {
        assert_eq!(status(&broker.get("/v1/x").await), 200);
    }
}

#[tokio::test]
async fn a_service_that_does_not_answer_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let broker = Brokered::plain(listener.local_addr().unwrap(), |_, settings| {
        settings.patience.head = Duration::from_millis(50);
    })
    .await;

    let answer = broker.get("/v1/x").await;

    assert_eq!(status(&answer), 504, "{answer}");
    assert_eq!(broker.ended(1).await[0].outcome, Outcome::Failed("it did not answer in time"));
}

/// A certificate for `name` by itself, and what serves with it.
fn certified(name: &str) -> (String, tokio_rustls::TlsAcceptor) {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    (made.cert.pem(), tokio_rustls::TlsAcceptor::from(Arc::new(config)))
}

#[tokio::test]
async fn b_16_only_a_certificate_that_is_trusted_and_names_the_host_gets_the_credential() {
    let folder = tempfile::tempdir().unwrap();
    for (name, is_trusted, expected) in
        [("127.0.0.1", true, 200), ("127.0.0.1", false, 502), ("other.example", true, 502)]
    {
        let (pem, tls) = certified(name);
        let ca_file = folder.path().join("ca.pem");
        std::fs::write(&ca_file, pem).unwrap();
        let service = Service::secured(Some(tls), |_, _| ok()).await;
        let outbound = Outbound {
            allow: vec![service.address.to_string()],
            ca_file: is_trusted.then_some(ca_file),
            ..Outbound::default()
        };
        let broker = Brokered::start(format!("https://{}", service.address), outbound, |_, _| {}).await;

        let answer = broker.get("/v1/x").await;

        assert_eq!(status(&answer), expected, "{name} {is_trusted}");
        assert_eq!(service.received().contains(&value()), expected == 200);
    }
}

#[tokio::test]
async fn b_05_the_configured_proxy_carries_what_it_cannot_read() {
    let folder = tempfile::tempdir().unwrap();
    let (pem, tls) = certified("service.invalid");
    std::fs::write(folder.path().join("ca.pem"), pem).unwrap();
    let service = Service::secured(Some(tls), |_, _| ok()).await;
    let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let outbound = Outbound {
        ca_file: Some(folder.path().join("ca.pem")),
        proxy: Some(format!("http://user:pass@{}", proxy.local_addr().unwrap())),
        ..Outbound::default()
    };
    let there = service.address;
    let carried = tokio::spawn(async move {
        let (mut caller, _) = proxy.accept().await.unwrap();
        let mut asked = String::new();
        read_until(&mut caller, &mut asked, "\r\n\r\n").await;
        caller.write_all(b"HTTP/1.1 200 Established\r\n\r\n").await.unwrap();
        let mut service = TcpStream::connect(there).await.unwrap();
        let _ = tokio::io::copy_bidirectional(&mut caller, &mut service).await;
        asked
    });
    let broker = Brokered::start("https://service.invalid".into(), outbound, |_, _| {}).await;

    let answer = broker.get("/v1/x").await;

    assert_eq!(status(&answer), 200, "{answer}");
    drop(broker);
    let asked = carried.await.unwrap();
    assert!(
        asked.starts_with("CONNECT service.invalid:443 HTTP/1.1\r\n") && !asked.contains(&value()),
        "{asked}"
    );
    assert!(asked.contains("proxy-authorization: Basic "));
}
