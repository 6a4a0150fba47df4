//! What must not get through the broker: each is refused, and no byte of the credential, or of anything, is sent.
use crate::support::brokered::{Brokered, Service, answer, body, status, token, value};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::AsyncWriteExt;
use unsaid::inject::broker::{Limits, Outcome};
use unsaid::services::client::{Names, Outbound};
use unsaid::services::{PathPattern, Placement};

async fn service() -> Service {
    Service::start(|_, _| vec![answer("200 OK", "", "reached")]).await
}

#[tokio::test]
async fn b_01_b_13_w_10_every_attack_is_refused_and_nothing_is_sent() {
    let service = service().await;
    let broker = Brokered::plain(service.address, |book, _| {
        book.limits = Limits {
            methods: ["GET", "POST"].map(|method| method.parse().unwrap()).to_vec(),
            paths: vec![PathPattern::parse("/v1/**").unwrap()],
            cookies: false,
        };
    })
    .await;
    let (host, token, there) = (broker.address, token(), service.address);
    let line = |line: &str| {
        format!("{line}\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n")
    };
    let path = |path: &str| line(&format!("GET {path} HTTP/1.1"));
    let with = |more: &str| {
        format!(
            "GET /b/bot/acme/v1/x HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n{more}\r\n"
        )
    };
    let post = |more: &str, body: &str| {
        format!(
            "POST /b/bot/acme/v1/x HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n{more}\r\n{body}"
        )
    };
    let chunked = "Transfer-Encoding: chunked\r\n";
    let attacks: Vec<(&str, String)> = vec![
        // Another host than the service's.
        ("absolute form", path(&format!("http://{there}/b/bot/acme/v1/x"))),
        ("absolute form, our own host", path(&format!("http://{host}/b/bot/acme/v1/x"))),
        ("authority form", line(&format!("CONNECT {there} HTTP/1.1"))),
        ("a tunnel to ourselves", line(&format!("CONNECT {host} HTTP/1.1"))),
        ("a user before the host", path("/b/bot/acme@evil.example/v1/x")),
        ("a user in the path", path("/b/bot/acme/@evil.example/v1/x")),
        ("a host after two slashes", path("/b/bot/acme//evil.example/v1/x")),
        ("a host before everything", path("//evil.example/b/bot/acme/v1/x")),
        ("a host after a backslash", path("/b/bot/acme/\\\\evil.example/v1/x")),
        ("a port after the service", path("/b/bot/acme:443/v1/x")),
        ("a scheme as the service", path("/b/bot/http:/v1/x")),
        ("another Host", with("").replace(&format!("Host: {host}"), "Host: evil.example")),
        ("no Host", with("").replace(&format!("Host: {host}\r\n"), "")),
        ("two Hosts", with(&format!("Host: {host}\r\n"))),
        ("a Host with a dot", with("").replace("Host: 127.0.0.1:", "Host: 127.0.0.1.:")),
        // Another path than the one that was looked at.
        ("dots", path("/b/bot/acme/v1/../admin")),
        ("dots that leave the service", path("/b/bot/acme/../other/v1/x")),
        ("encoded dots", path("/b/bot/acme/v1/%2e%2e/admin")),
        ("half encoded dots", path("/b/bot/acme/v1/.%2E/admin")),
        ("an encoded slash", path("/b/bot/acme/v1%2fadmin")),
        ("an encoded backslash", path("/b/bot/acme/v1%5Cadmin")),
        ("a slash encoded twice", path("/b/bot/acme/v1%252fadmin")),
        ("an overlong dot", path("/b/bot/acme/v1/%c0%2e%c0%2e/admin")),
        ("path parameters", path("/b/bot/acme/v1/..;/admin")),
        ("a path parameter", path("/b/bot/acme/v1;x/admin")),
        ("an empty segment", path("/b/bot/acme/v1//admin")),
        ("a fragment", path("/b/bot/acme/v1/x#/../../admin")),
        ("a NUL", path("/b/bot/acme/v1/x%00")),
        ("characters outside ASCII", path("/b/bot/acme/v1/\u{ff0f}admin")),
        ("a half percent", path("/b/bot/acme/v1/%2")),
        ("what is not open", path("/b/bot/acme/admin")),
        ("the root", path("/b/bot/acme/")),
        ("a method that is not allowed", line("DELETE /b/bot/acme/v1/x HTTP/1.1")),
        ("a method of its own", line("PURGE /b/bot/acme/v1/x HTTP/1.1")),
        ("TRACE", line("TRACE /b/bot/acme/v1/x HTTP/1.1")),
        // Other lines.
        ("an encoded line", path("/b/bot/acme/v1/x%0d%0aX-Evil:%20y")),
        ("a line in the path", path("/b/bot/acme/v1/x\r\nX-Evil: y")),
        ("a line feed in a header", with("X: a\nX-Evil: b\r\n")),
        ("a carriage return in a header", with("X: a\rX-Evil: b\r\n")),
        ("a NUL in a header", with("X: a\0b\r\n")),
        ("a folded header", with("X: a\r\n b\r\n")),
        ("a tab in the path", path("/b/bot/acme/v1/x\tHTTP/1.1")),
        // Two requests in one.
        ("two lengths", post("Content-Length: 5\r\nContent-Length: 6\r\n", "hello!")),
        ("a length twice", post("Content-Length: 5\r\nContent-Length: 5\r\n", "hello")),
        ("a list of lengths", post("Content-Length: 5, 5\r\n", "hello")),
        ("a signed length", post("Content-Length: +5\r\n", "hello")),
        ("CL.TE", post(&format!("Content-Length: 6\r\n{chunked}"), "0\r\n\r\nG")),
        (
            "TE.CL",
            post(&format!("{chunked}Content-Length: 4\r\n"), "5c\r\nGPOST / HTTP/1.1\r\n\r\n0\r\n\r\n"),
        ),
        ("TE.TE", post(&format!("{chunked}Transfer-Encoding: identity\r\n"), "0\r\n\r\n")),
        ("identity", post("Transfer-Encoding: identity\r\nContent-Length: 5\r\n", "hello")),
        ("xchunked", post("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n")),
        ("a space before the colon", post("Transfer-Encoding : chunked\r\n", "0\r\n\r\n")),
        ("a tab in the coding", post("Transfer-Encoding: \x0bchunked\r\n", "0\r\n\r\n")),
        ("gzip, chunked", post("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n")),
        ("chunks in 1.0", post(chunked, "0\r\n\r\n").replace("HTTP/1.1", "HTTP/1.0")),
        ("a chunk of no size", post(chunked, "z\r\n")),
        ("a chunk of a negative size", post(chunked, "-1\r\n\r\n")),
        ("a chunk of a huge size", post(chunked, "ffffffffffffffffff\r\n")),
        ("a chunk's extension", post(chunked, "5;a=\"\n\"\r\nhello\r\n0\r\n\r\n")),
        ("a chunk's size with a bare line feed", post(chunked, "5\nhello\r\n0\r\n\r\n")),
        ("HTTP/2 with prior knowledge", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into()),
        ("HTTP/0.9", "GET /b/bot/acme/v1/x\r\n\r\n".into()),
        // Headers with a meaning of their own.
        ("a Connection that names a header", with("Connection: close, x-api-key\r\n")),
        ("a Connection that names the credential's", with("Connection: authorization\r\n")),
        ("an upgrade", with("Connection: Upgrade\r\nUpgrade: websocket\r\n")),
        ("an upgrade to HTTP/2", with("Connection: close\r\nUpgrade: h2c\r\n")),
        ("an expectation", post("Expect: 100-continue\r\nContent-Length: 5\r\n", "hello")),
        ("a page's request", with("Origin: https://evil.example\r\n")),
        ("our own page's request", with(&format!("Origin: http://{host}\r\n"))),
        ("a sandboxed page's request", with("Origin: null\r\n")),
        ("a link from a page", with("Sec-Fetch-Site: cross-site\r\n")),
        ("two authorizations", with("Authorization: Basic eDp5\r\n")),
        ("a hundred and one headers", with(&"X: y\r\n".repeat(101))),
        ("a large header", with(&format!("X: {}\r\n", "y".repeat(66_000)))),
        ("a large target", path(&format!("/b/bot/acme/v1/{}", "y".repeat(20_000)))),
        // Nobody, or somebody else.
        ("no token", with("").replace(&format!("Authorization: Bearer {token}\r\n"), "")),
        ("a token of another shape", with("").replace(&token, "unsaid_x")),
        ("a token that opens nothing", with("").replace(&token, &token.replace("0a", "1b"))),
        ("another consumer's name", path("/b/other/acme/v1/x")),
        ("a service that is not bound", path("/b/bot/other/v1/x")),
        ("two tokens", with(&format!("X-Api-Key: {}\r\n", token.replace("0a", "1b")))),
    ];
    for (name, raw) in attacks {
        let answer = broker.raw(raw.as_bytes()).await;

        let shown = &answer[..answer.len().min(300)];
        assert!((400..600).contains(&status(&answer)), "{name}: {shown}");
        assert!(!answer.contains("reached") && !answer.contains(&value()), "{name}: {shown}");
        assert_eq!(service.received(), "", "{name}");
        assert_eq!(broker.admitted(), Vec::<String>::new(), "{name}");
    }
    assert_eq!(service.connections.load(Ordering::SeqCst), 0);
    // The same without an attack.
    assert_eq!(
        body(&broker.raw(post("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n").as_bytes()).await),
        "reached"
    );
    assert_eq!(broker.admitted(), ["POST /v1/x"]);
}

#[tokio::test]
async fn a_refusal_says_what_is_wrong_and_what_to_do() {
    let service = service().await;
    let broker = Brokered::plain(service.address, |_, _| {}).await;

    let answer = broker.get("/v1/../x").await;

    let said: serde_json::Value = serde_json::from_str(&body(&answer)).unwrap();
    assert_eq!((status(&answer), said["code"].as_str()), (400, Some("invalid_input")));
    assert!(said["next"].as_str().unwrap().ends_with('.'));
    let unknown = broker.raw(broker.head("GET", "/", "").replace(&token(), "none").as_bytes()).await;
    assert_eq!(status(&unknown), 401);
    assert!(unknown.to_ascii_lowercase().contains("www-authenticate: bearer"));
}

#[tokio::test]
async fn two_requests_in_one_stay_two_for_the_service() {
    let service = service().await;
    let broker = Brokered::plain(service.address, |_, _| {}).await;
    let first = broker.head("POST", "/v1/a", "Content-Length: 40\r\n").replace("Connection: close\r\n", "");
    // What looks like a request is a body.
    let smuggled = format!("{:<40}", "GET /v1/smuggled HTTP/1.1\r\nX: y\r\n\r\n");

    let answers =
        broker.raw(format!("{first}{smuggled}{}", broker.head("GET", "/v1/b", "")).as_bytes()).await;

    assert_eq!(answers.matches("HTTP/1.1 200").count(), 2);
    assert_eq!(broker.admitted(), ["POST /v1/a", "GET /v1/b"]);
    assert!(!service.received().contains("Authorization: Bearer unsaid"));
}

#[tokio::test]
async fn a_body_that_breaks_off_is_never_whole_for_the_service() {
    let service = service().await;
    let broker = Brokered::plain(service.address, |_, _| {}).await;
    for (count, rest) in [(1, "zz\r\n"), (2, "5\r\nhel"), (3, "5\r\nhello\n"), (4, "0\r\n x\r\n\r\n")] {
        let head = broker.head("POST", "/v1/a", "Transfer-Encoding: chunked\r\n");
        let mut caller = tokio::net::TcpStream::connect(broker.address).await.unwrap();
        caller.write_all(format!("{head}5\r\nfirst\r\n{rest}").as_bytes()).await.unwrap();

        caller.shutdown().await.unwrap();

        let ended = broker.ended(count).await;
        assert!(ended.iter().all(|ended| ended.outcome != Outcome::Answered), "{rest}");
        assert!(!service.received().contains("0\r\n\r\n"), "{rest}");
    }
}

#[tokio::test]
async fn b_06_b_07_what_is_not_public_is_called_only_where_the_configuration_names_it() {
    let service = service().await;
    let port = service.address.port();
    let allows = |text: String| Outbound { allow: vec![text], ..Outbound::default() };
    for (base, outbound) in [
        (format!("https://127.0.0.1:{port}"), Outbound::default()),
        (format!("http://127.0.0.1:{port}"), Outbound::default()),
        // Named, but not for http; another port; another name for the same address.
        (format!("http://127.0.0.1:{port}"), allows(format!("127.0.0.1:{port}"))),
        (format!("http://127.0.0.1:{port}"), allows("http://127.0.0.1:1".into())),
        (format!("http://localhost:{port}"), allows(format!("http://127.0.0.1:{port}"))),
        (format!("https://localhost:{port}"), Outbound::default()),
        (format!("https://localhost.:{port}"), Outbound::default()),
        (format!("https://[::1]:{port}"), Outbound::default()),
        (format!("https://[::ffff:127.0.0.1]:{port}"), Outbound::default()),
        (format!("https://2130706433:{port}"), Outbound::default()),
        (format!("https://0x7f.1:{port}"), Outbound::default()),
        (format!("https://0.0.0.0:{port}"), Outbound::default()),
        ("https://169.254.169.254".into(), Outbound::default()),
        ("https://100.100.100.200".into(), Outbound::default()),
        ("https://[fd00:ec2::254]".into(), Outbound::default()),
        ("https://10.0.0.1".into(), Outbound::default()),
    ] {
        let broker = Brokered::start(base.clone(), outbound, |_, _| {}).await;

        let answer = broker.get("/latest").await;

        assert_eq!(status(&answer), 502, "{base} {answer}");
        // Not every machine's resolver knows the name with a dot.
        let is_told = body(&answer).contains("outbound") || body(&answer).contains("has no address");
        assert!(is_told, "{base} {answer}");
        assert!(matches!(broker.ended(1).await[0].outcome, Outcome::Failed(_)), "{base}");
    }
    assert_eq!(service.connections.load(Ordering::SeqCst), 0);
}

/// A resolver that says these one after the other, and the last for ever; and how often it was asked.
fn flipping(answers: &[&[&str]]) -> (Names, Arc<AtomicUsize>) {
    let parsed = |all: &&[&str]| all.iter().map(|ip| ip.parse().unwrap()).collect();
    let answers: Vec<Vec<IpAddr>> = answers.iter().map(parsed).collect();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let names = Names::told_by(move |_, port| {
        let turn = count.fetch_add(1, Ordering::SeqCst).min(answers.len() - 1);
        Ok(answers[turn].iter().map(|ip| (*ip, port).into()).collect())
    });
    (names, asked)
}

#[tokio::test]
async fn b_06_a_name_that_means_something_private_by_now_is_not_called() {
    let service = service().await;
    let port = service.address.port();
    for addresses in [
        &["127.0.0.1"][..],
        &["1.1.1.1", "127.0.0.1"],
        &["127.0.0.1", "1.1.1.1"],
        &["2606:4700::1111", "169.254.169.254"],
        &["::ffff:127.0.0.1"],
        &["::ffff:10.0.0.1", "1.1.1.1"],
        &["0.0.0.0"],
        &["fd00:ec2::254"],
        &["64:ff9b::7f00:1"],
        &["2002:7f00:1::"],
    ] {
        let (names, asked) = flipping(&[addresses]);
        let outbound = Outbound { names, ..Outbound::default() };
        let broker = Brokered::start(format!("https://api.acme.example:{port}"), outbound, |_, _| {}).await;

        let answer = broker.get("/v1/x").await;

        assert_eq!(status(&answer), 502, "{addresses:?}");
        assert!(body(&answer).contains("outbound"), "{addresses:?} {answer}");
        assert_eq!(broker.ended(1).await[0].status, None);
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }
    assert_eq!(service.connections.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn b_06_the_address_that_was_looked_at_is_the_one_that_is_connected() {
    let service = service().await;
    let base = format!("http://api.acme.example:{}", service.address.port());
    // Nobody listens at the second: a second look would find nobody.
    let (names, asked) = flipping(&[&["127.0.0.1"], &["127.0.0.2"]]);
    let outbound = Outbound { allow: vec![base.clone()], names, ..Outbound::default() };
    let broker = Brokered::start(base, outbound, |_, _| {}).await;

    let answer = broker.get("/v1/x").await;

    assert_eq!((status(&answer), body(&answer).as_str()), (200, "reached"));
    assert_eq!((asked.load(Ordering::SeqCst), service.connections.load(Ordering::SeqCst)), (1, 1));
    // The name is what the service is asked for, and not its number.
    assert!(service.received().contains(&format!("host: api.acme.example:{}\r\n", service.address.port())));
}

#[tokio::test]
async fn a_link_leads_back_to_the_broker_or_goes_without_a_credential() {
    let head = "Link: </v1/x?page=2&key=KEY>; rel=\"next\", <https://evil.example/x?key=KEY>; rel=\"last\"\r\nLink: </admin>; rel=up\r\nLink: <broken; rel=KEY\r\n";
    let head = head.replace("KEY", &value().replace('/', "%2F").replace('+', "%2B"));
    let service = Service::start(move |_, _| vec![answer("200 OK", &head, "page")]).await;
    let there = service.address;
    let broker = Brokered::plain(there, |book, settings| {
        book.placement = Placement::Query { name: "key".into() };
        book.paths = vec![PathPattern::parse("/v1/**").unwrap()];
        settings.base = "https://broker.example".into();
    })
    .await;

    let answer = broker.get("/v1/x").await;

    let links: Vec<_> = answer.lines().filter_map(|line| line.strip_prefix("link: ")).collect();
    let expected = [
        "<https://broker.example/b/bot/acme/v1/x?page=2>; rel=\"next\", <https://evil.example/x?key=[unsaid:ACME_KEY]>; rel=\"last\"".to_owned(),
        format!("<http://{there}/admin>; rel=up"),
        "<broken; rel=[unsaid:ACME_KEY]".to_owned(),
    ];
    assert_eq!(links, expected, "{answer}");
    assert!(!answer.contains(&value()[..12]));
}

#[tokio::test]
async fn b_02_b_03_no_redirect_is_followed_and_none_gets_the_credential() {
    let elsewhere = service().await;
    let there = elsewhere.address;
    for (status_line, location, told) in [
        ("301 Moved Permanently", format!("http://{there}/x"), format!("http://{there}/x")),
        ("302 Found", format!("//{there}/x"), format!("//{there}/x")),
        ("307 Temporary Redirect", "https://evil.example/x".into(), "https://evil.example/x".into()),
        ("308 Permanent Redirect", "data:text/html,x".into(), "data:text/html,x".into()),
        ("303 See Other", "/v1/other?a=1".into(), "/b/bot/acme/v1/other?a=1".into()),
        ("302 Found", "other".into(), "/b/bot/acme/v1/other".into()),
    ] {
        let line = format!("Location: {location}\r\n");
        let service = Service::start(move |_, _| vec![answer(status_line, &line, "")]).await;
        let broker = Brokered::plain(service.address, |book, _| {
            book.placement = Placement::Header { name: "X-Api-Key".into(), format: "{token}".into() };
        })
        .await;

        let answer = broker.get("/v1/x").await;

        assert!(status_line.starts_with(&status(&answer).to_string()));
        assert!(
            answer.to_ascii_lowercase().contains(&format!("location: {}\r\n", told.to_ascii_lowercase())),
            "{answer}"
        );
        assert_eq!(service.connections.load(Ordering::SeqCst), 1);
    }
    assert_eq!(elsewhere.connections.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn b_12_b_13_an_answer_that_breaks_the_protocol_is_passed_to_nobody() {
    let many = "X: y\r\n".repeat(101);
    let large = format!("X: {}\r\n", "y".repeat(70_000));
    let flood = "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(1000);
    let head = "HTTP/1.1 200 OK\r\n";
    let answers: Vec<(&str, String)> = vec![
        (
            "CL.TE",
            format!("{head}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nbad\r\n0\r\n\r\n"),
        ),
        (
            "TE.CL",
            format!("{head}Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n3\r\nbad\r\n0\r\n\r\n"),
        ),
        ("two lengths", format!("{head}Content-Length: 3\r\nContent-Length: 4\r\n\r\nbad!")),
        ("a length twice", format!("{head}Content-Length: 3\r\nContent-Length: 3\r\n\r\nbad")),
        ("a length that is none", format!("{head}Content-Length: 3x\r\n\r\nbad")),
        ("gzip, chunked", format!("{head}Transfer-Encoding: gzip, chunked\r\n\r\n3\r\nbad\r\n0\r\n\r\n")),
        ("identity", format!("{head}Transfer-Encoding: identity\r\n\r\nbad")),
        ("a packed body", format!("{head}Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nbad")),
        (
            "a body packed in a row",
            format!("{head}Content-Encoding: identity, br\r\nContent-Length: 3\r\n\r\nbad"),
        ),
        (
            "another protocol",
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nbad".into(),
        ),
        ("a hundred and one headers", format!("{head}{many}Content-Length: 3\r\n\r\nbad")),
        ("a large header", format!("{head}{large}Content-Length: 3\r\n\r\nbad")),
        ("a header without end", format!("{head}X: {}", "y".repeat(300_000))),
        ("a folded header", format!("{head}X: a\r\n b\r\nContent-Length: 3\r\n\r\nbad")),
        ("interim answers without end", format!("{flood}{head}Content-Length: 3\r\n\r\nbad")),
        ("no HTTP", "SSH-2.0-bad\r\n".into()),
        ("HTTP/0.9", "bad".into()),
        ("HTTP/2", "HTTP/2.0 200 OK\r\n\r\nbad".into()),
        ("a head that breaks off", "HTTP/1.1 200 OK\r\nContent-Le".into()),
        ("a short body that breaks off", format!("{head}Content-Length: 30\r\n\r\nbad")),
        ("nothing", String::new()),
    ];
    for (name, text) in answers {
        let service = Service::start(move |_, _| vec![text.clone().into_bytes(), Vec::new()]).await;
        let broker = Brokered::plain(service.address, |_, _| {}).await;

        let answer = broker.get("/v1/x").await;

        assert_eq!(status(&answer), 502, "{name} {}", &answer[..answer.len().min(300)]);
        assert!(
            body(&answer).contains("\"code\":\"unreachable\"") && !body(&answer).contains("bad"),
            "{name}"
        );
        assert!(matches!(broker.ended(1).await[0].outcome, Outcome::Failed(_)), "{name}");
    }
}

#[tokio::test]
async fn a_long_answer_that_breaks_off_breaks_off_for_the_caller_too() {
    let text = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n5\r\nsec";
    for rest in ["", "zz\r\n", "ond!!\r\n"] {
        let text = format!("{text}{rest}");
        let service = Service::start(move |_, _| vec![text.clone().into_bytes(), Vec::new()]).await;
        let broker = Brokered::plain(service.address, |_, _| {}).await;

        let answer = broker.get("/v1/x").await;

        assert!(
            !answer.ends_with("0\r\n\r\n") && !answer.to_ascii_lowercase().contains("content-length"),
            "{answer}"
        );
        assert_eq!(broker.ended(1).await[0].outcome, Outcome::Failed("the answer broke off"));
    }
}

#[tokio::test]
async fn an_answer_that_was_not_asked_for_answers_nobody_elses_request() {
    let poison = [answer("200 OK", "", "mine"), answer("200 OK", "", "poison")].concat();
    let service = Service::start(move |count, _| match count {
        0 => vec![poison.clone()],
        _ => vec![answer("200 OK", "", "yours")],
    })
    .await;
    let broker = Brokered::plain(service.address, |_, _| {}).await;

    let first = broker.get("/v1/a").await;
    let second = broker.get("/v1/b").await;

    assert_eq!((body(&first).as_str(), body(&second).as_str()), ("mine", "yours"));
}
