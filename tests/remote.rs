//! A remote MCP server is spoken to for a client that knows local ones only.
use crate::support::brokered::{Service, answer, value};
use crate::support::remote::{Client, Ring};
use serde_json::json;
use std::sync::atomic::Ordering;
use unsaid::error::Code;
use unsaid::inject::broker::Outcome;

const JSON: &str = "Content-Type: application/json\r\n";
const EVENTS: &str = "Content-Type: text/event-stream; charset=utf-8\r\n";

/// What a request asks for: its first line and its body.
fn asks(request: &str, text: &str) -> bool {
    request.contains(text)
}

fn result(id: i64) -> String {
    json!({ "jsonrpc": "2.0", "id": id, "result": { "ok": true } }).to_string()
}

/// A server of the handshake: JSON for the first answer, events for others, no stream of its own.
fn handshake(request: &str) -> Vec<Vec<u8>> {
    if request.starts_with("GET ") {
        return vec![answer("405 Method Not Allowed", "", "")];
    }
    if request.starts_with("DELETE ") {
        return vec![answer("204 No Content", "", "")];
    }
    if asks(request, "\"initialize\"") {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "result": { "protocolVersion": "2025-06-18" } });
        return vec![answer("200 OK", &format!("{JSON}Mcp-Session-Id: session-7\r\n"), &body.to_string())];
    }
    if asks(request, "notifications/") {
        return vec![answer("202 Accepted", "", "")];
    }
    let note = json!({ "jsonrpc": "2.0", "method": "notifications/progress" });
    vec![answer("200 OK", EVENTS, &format!(": hello\n\ndata: {note}\n\nid: 9\ndata: {}\n\n", result(2)))]
}

#[tokio::test]
async fn a_session_is_held_as_the_protocol_says_and_each_request_has_the_header() {
    let server = Service::start(|_, request| handshake(request)).await;
    let mut client = Client::of(&format!("http://{}/mcp?team=7", server.address), Ring::of(&[value()]));

    let first = client.ask(1, "initialize").await;
    client.tell(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#).await;
    let progress = client.ask(2, "tools/call").await;
    let second = client.message().await;
    let ring = client.ring.clone();
    let (ended, rest) = client.end().await;

    assert!(ended.is_ok() && rest.is_empty(), "{rest:?}");
    assert_eq!(first["result"]["protocolVersion"], "2025-06-18");
    assert_eq!((&progress["method"], &second["id"]), (&json!("notifications/progress"), &json!(2)));
    let received = server.received();
    let heads: Vec<&str> = received.split("/mcp?team=7 HTTP/1.1\r\n").skip(1).collect();
    let of = |text: &str| heads.iter().find(|head| head.contains(text)).copied().expect("it was sent");
    for head in &heads {
        assert!(head.contains(&format!("authorization: Bearer {}\r\n", value())));
        assert!(head.contains("x-team: blue\r\n") && head.contains("accept-encoding: identity\r\n"));
        assert!(head.contains(&format!("host: {}\r\n", server.address)));
    }
    assert!(!of("\"initialize\"").contains("mcp-session-id"));
    for text in ["notifications/initialized", "tools/call"] {
        assert!(of(text).contains("accept: application/json, text/event-stream\r\n"));
        assert!(of(text).contains("mcp-session-id: session-7\r\n"));
        assert!(of(text).contains("mcp-protocol-version: 2025-06-18\r\n"));
    }
    assert!(received.contains("DELETE /mcp?team=7"));
    let admitted = ring.admitted();
    for operation in ["mcp initialize", "mcp notifications/initialized", "mcp tools/call", "mcp end"] {
        assert!(admitted.contains(&operation.to_owned()), "{admitted:?}");
    }
    assert_eq!(admitted.len(), heads.len(), "a use for each request");
}

#[tokio::test]
async fn a_header_of_another_name_takes_the_value_as_it_is_told() {
    let server = Service::start(|_, request| handshake(request)).await;
    let ring = Ring { header: ("X-Api-Key", "key {token}"), ..Ring::of(&[value()]) };
    let mut client = Client::of(&format!("http://{}/", server.address), ring);

    client.ask(1, "initialize").await;

    let received = server.received();
    assert!(received.contains(&format!("x-api-key: key {}\r\n", value())));
    assert!(!received.contains("authorization"));
}

#[tokio::test]
async fn the_value_is_masked_in_whatever_pieces_and_wrappings_it_comes_back() {
    let chunked = |head: &str, body: &str| {
        let mut all =
            vec![format!("HTTP/1.1 200 OK\r\n{head}Transfer-Encoding: chunked\r\n\r\n").into_bytes()];
        for piece in body.as_bytes().chunks(3) {
            let mut chunk = format!("{:x}\r\n", piece.len()).into_bytes();
            chunk.extend_from_slice(piece);
            chunk.extend_from_slice(b"\r\n");
            all.push(chunk);
        }
        all.push(b"0\r\n\r\n".to_vec());
        all
    };
    let server = Service::start(move |_, request| {
        let inner = json!({ "seen": format!("Bearer {}", value()) }).to_string();
        let nested = json!({ "text": inner }).to_string();
        let encoded = data_encoding::BASE64.encode(value().as_bytes());
        let body = json!({ "jsonrpc": "2.0", "id": 1, "result": [value(), inner, nested, encoded] });
        // JSON with its lines: one line for the client.
        let body = serde_json::to_string_pretty(&body).unwrap();
        match asks(request, "\"a\"") {
            true => chunked(JSON, &body),
            false => chunked(EVENTS, &format!("data: {}\r\n\r\n", body.replace('\n', "\r\ndata: "))),
        }
    })
    .await;
    for method in ["a", "b"] {
        let mut client = Client::of(&format!("http://{}/", server.address), Ring::of(&[value()]));

        client.tell(&json!({ "jsonrpc": "2.0", "id": 1, "method": method }).to_string()).await;
        let line = client.line().await;

        assert_eq!(line.matches("[unsaid:ACME_KEY]").count(), 4, "{line}");
        assert!(!line.contains("Ab9x"), "{line}");
        let told: serde_json::Value = serde_json::from_str(&line).expect("still JSON");
        assert_eq!(told["result"][0], "[unsaid:ACME_KEY]");
        let ring = client.ring.clone();
        client.end().await.0.expect("it ends");
        assert!(ring.ended()[0].was_echoed);
    }
}

/// Every character as `\u0041`.
fn escaped(text: &str) -> String {
    text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect()
}

#[tokio::test]
async fn b_24_the_value_is_masked_however_the_server_escapes_it() {
    let gson = value().replace('/', "\\u002f").replace('+', "\\u002b");
    let first = format!("{}{}", escaped("s"), &value()[1..]);
    let upper: String = value().bytes().map(|byte| format!("\\u{byte:04X}")).collect();
    let inner = escaped(&format!("{{\"seen\":\"{}\"}}", escaped(&value())));
    for written in [gson, first, escaped(&value()), upper, inner] {
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"seen":"{written}"}}}}"#);
        let told = serde_json::from_str::<serde_json::Value>(&body).expect("the server sends JSON");
        assert!(told["result"]["seen"].is_string());
        let events = format!("data: {body}\n\n");
        for (kind, body) in [(JSON, body.clone()), (EVENTS, events)] {
            let server = Service::start(move |_, _| vec![answer("200 OK", kind, &body)]).await;
            let mut client = Client::of(&format!("http://{}/", server.address), Ring::of(&[value()]));

            let told = client.ask(1, "ping").await;

            let seen = told["result"]["seen"].as_str().expect("text");
            assert!(seen == "[unsaid:ACME_KEY]" || seen == r#"{"seen":"[unsaid:ACME_KEY]"}"#, "{seen}");
            assert_eq!(client.ring.echoed(), ["0"]);
        }
    }
    // The answer of the protocol to what it does not know, too.
    let error = format!(r#"{{"id":1,"error":{{"code":-1,"message":"no {}"}}}}"#, escaped(&value()));
    let server = Service::start(move |_, _| vec![answer("400 Bad Request", JSON, &error)]).await;
    let mut client = Client::of(&format!("http://{}/", server.address), Ring::of(&[value()]));
    assert_eq!(client.ask(1, "ping").await["error"]["message"], "no [unsaid:ACME_KEY]");
}

#[tokio::test]
async fn b_24_what_is_escaped_and_is_not_the_value_reaches_the_client_as_it_was_sent() {
    for written in
        [escaped("sk-Ab9x/Q+8"), escaped(&value()[..11]), "C:\\\\new \\\\u0041 \\ud83d\\ude00".to_owned()]
    {
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"result":"{written}"}}"#);
        let sent = body.clone();
        let server = Service::start(move |_, _| vec![answer("200 OK", JSON, &sent)]).await;
        let mut client = Client::of(&format!("http://{}/", server.address), Ring::of(&[value()]));

        client.tell(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#).await;

        assert_eq!(client.line().await, body);
        assert!(client.ring.echoed().is_empty());
    }
}

#[tokio::test]
async fn b_24_of_basic_authorization_the_pair_and_the_password_are_masked_too() {
    let encoded = data_encoding::BASE64.encode(b"mia:hunter-22-horse");
    let server = Service::start(|_, _| {
        let seen = json!({ "pair": "mia:hunter-22-horse", "password": "hunter-22-horse", "user": "mia" });
        let body = json!({ "jsonrpc": "2.0", "id": 1, "result": seen });
        vec![answer("200 OK", JSON, &body.to_string())]
    })
    .await;
    let url = format!("http://{}/", server.address);
    let basic =
        |value: &str| Ring { header: ("Authorization", "Basic {token}"), ..Ring::of(&[value.to_owned()]) };
    let mut client = Client::of(&url, basic(&encoded));

    let told = client.ask(1, "ping").await;

    let masked = "[unsaid:ACME_KEY]";
    assert_eq!(told["result"], json!({ "pair": masked, "password": masked, "user": "mia" }));
    assert!(server.received().contains(&format!("authorization: Basic {encoded}\r\n")));
    // Of another scheme nothing is taken apart; what has no secret that is long enough is not sent.
    let mut bearer = Client::of(&url, Ring::of(std::slice::from_ref(&encoded)));
    assert_eq!(bearer.ask(1, "ping").await["result"]["password"], "hunter-22-horse");
    let sent = server.received().len();
    for short in ["mia:pass", "mia:"] {
        let mut short = Client::of(&url, basic(&data_encoding::BASE64.encode(short.as_bytes())));
        let refused = short.ask(1, "ping").await;
        assert!(refused["error"]["message"].as_str().unwrap().contains("too short"), "{refused}");
    }
    assert_eq!(server.received().len(), sent);
}

#[tokio::test]
async fn b_25_an_echo_is_told_once_for_each_request_as_soon_as_it_is_there() {
    let server = Service::start(|_, _| {
        let body = json!({ "jsonrpc": "2.0", "method": "note", "params": value() });
        let head = format!("HTTP/1.1 200 OK\r\n{EVENTS}Content-Length: 100000\r\n\r\n");
        // And the answer never comes, though the stream stays open.
        vec![format!("{head}data: {body}\n\ndata: {body}\n\n").into_bytes()]
    })
    .await;
    let mut client = Client::of(&format!("http://{}/", server.address), Ring::of(&[value()]));

    for _ in 0..2 {
        client.tell(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#).await;
        for _ in 0..2 {
            assert_eq!(client.message().await["params"], "[unsaid:ACME_KEY]");
        }
    }

    assert_eq!(client.ring.echoed(), ["0", "0"]);
    client.stop.cancel();
    let ring = client.ring.clone();
    client.end().await.0.expect("it ends");
    assert!(ring.ended().iter().all(|ended| ended.was_echoed && ended.outcome == Outcome::Aborted));
}

#[tokio::test]
async fn it_ends_with_its_client_though_the_server_never_ends_its_answer() {
    for (first, then) in [("initialize", 0), ("initialize", 3), ("ping", 0), ("notifications/initialized", 0)]
    {
        let server = Service::start(|_, _| {
            let head = format!("HTTP/1.1 200 OK\r\n{EVENTS}Content-Length: 100000\r\n\r\n");
            vec![format!("{head}: nothing yet\n\n").into_bytes()]
        })
        .await;
        let mut client = Client::of(&format!("http://{}/", server.address), Ring::of(&[value()]));
        let id = if first.contains('/') { "" } else { r#""id":1,"# };
        client.tell(&format!(r#"{{"jsonrpc":"2.0",{id}"method":"{first}"}}"#)).await;
        for _ in 0..then {
            client.tell(r#"{"jsonrpc":"2.0","id":2,"method":"ping"}"#).await;
        }
        while server.received().is_empty() {
            tokio::task::yield_now().await;
        }
        tokio::time::pause();

        let (ended, rest) = client.end().await;

        tokio::time::resume();
        assert!(ended.is_ok() && rest.is_empty(), "{first} {rest:?}");
    }
}

#[tokio::test]
async fn what_the_server_refuses_is_told_with_what_to_do_and_nothing_of_its_body() {
    let elsewhere = Service::start(|_, _| vec![answer("200 OK", JSON, "{}")]).await;
    let away = format!("Location: http://{}/mcp\r\n", elsewhere.address);
    let echo = format!("oops {}", value());
    for (status, headers, code, next) in [
        ("401 Unauthorized", "WWW-Authenticate: Bearer\r\n", "not_allowed", "unsaid set ACME_KEY"),
        ("403 Forbidden", "", "not_allowed", "rights"),
        ("404 Not Found", "", "unreachable", "address"),
        ("429 Too Many Requests", "", "too_many_requests", "Wait"),
        ("500 Oh", JSON, "unreachable", "moment"),
        ("503 Busy", "", "unreachable", "moment"),
        ("302 Found", away.as_str(), "unreachable", "unsaid consumer edit"),
        ("307 Temporary Redirect", away.as_str(), "unreachable", "unsaid consumer edit"),
        ("200 OK", "Content-Type: text/html\r\n", "unreachable", "streamable HTTP"),
        ("200 OK", JSON, "unreachable", "streamable HTTP"),
        (
            "200 OK",
            "Content-Type: application/json\r\nContent-Encoding: gzip\r\n",
            "unreachable",
            "streamable",
        ),
        ("202 Accepted", "", "unreachable", "streamable HTTP"),
    ] {
        let (status, headers, body) = (status.to_owned(), headers.to_owned(), echo.clone());
        let told = (status.clone(), headers.clone());
        let server = Service::start(move |_, _| vec![answer(&told.0, &told.1, &body)]).await;
        let mut client = Client::of(&format!("http://{}/mcp", server.address), Ring::of(&[value()]));

        let refused = client.ask(7, "tools/list").await;

        let error = &refused["error"];
        assert_eq!((&refused["id"], &error["data"]["code"]), (&json!(7), &json!(code)), "{status} {headers}");
        let shown = refused.to_string();
        assert!(error["message"].as_str().unwrap().contains("127.0.0.1"), "{shown}");
        assert!(error["data"]["next"].as_str().unwrap().contains(next), "{status}: {shown}");
        assert!(!shown.contains("oops") && !shown.contains("Ab9x"), "{shown}");
        client.end().await.0.expect("it ends");
    }
    assert_eq!(elsewhere.connections.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn what_the_protocol_says_of_a_refusal_reaches_the_client_masked() {
    let server = Service::start(|_, _| {
        let error = json!({ "code": -32601, "message": format!("no {} here", value()) });
        let body = json!({ "jsonrpc": "2.0", "id": "server-error", "error": error });
        vec![answer("400 Bad Request", JSON, &body.to_string())]
    })
    .await;
    let mut client = Client::of(&format!("http://{}/", server.address), Ring::of(&[value()]));

    let refused = client.ask(3, "server/discover").await;

    assert_eq!(refused["id"], 3);
    assert_eq!(refused["error"], json!({ "code": -32601, "message": "no [unsaid:ACME_KEY] here" }));
}

#[tokio::test]
async fn a_session_that_is_gone_is_told_as_that() {
    let server = Service::start(|_, request| match asks(request, "tools/call") {
        true => vec![answer(
            "404 Not Found",
            JSON,
            r#"{"jsonrpc":"2.0","id":"x","error":{"code":1,"message":"m"}}"#,
        )],
        false => handshake(request),
    })
    .await;
    let mut client = Client::of(&format!("http://{}/mcp", server.address), Ring::of(&[value()]));
    client.ask(1, "initialize").await;

    let gone = client.ask(2, "tools/call").await;

    assert!(gone["error"]["message"].as_str().unwrap().contains("ended the session"), "{gone}");
    assert!(gone["error"]["data"]["next"].as_str().unwrap().contains("Start this server again"), "{gone}");
}

#[tokio::test]
async fn an_answer_larger_than_any_message_is_refused_and_the_next_one_is_not() {
    let server = Service::start(|n, _| match n {
        0 => vec![answer("200 OK", JSON, &format!("{}{}", " ".repeat(17 << 20), result(1)))],
        1 => vec![answer("200 OK", EVENTS, &format!("data: {}\n\n", "a".repeat(17 << 20)))],
        _ => vec![answer("200 OK", JSON, &result(3))],
    })
    .await;
    let mut client = Client::of(&format!("http://{}/", server.address), Ring::of(&[value()]));

    for id in [1, 2] {
        let refused = client.ask(id, "tools/call").await;
        assert_eq!((&refused["id"], &refused["error"]["data"]["code"]), (&json!(id), &json!("too_large")));
    }
    assert_eq!(client.ask(3, "tools/call").await["result"], json!({ "ok": true }));
}

#[tokio::test]
async fn nothing_is_sent_where_it_may_not_be_or_the_use_is_not_on_record() {
    for address in [
        "http://mcp.example.com/mcp",
        "http://10.0.0.1/mcp",
        "ftp://127.0.0.1/",
        "http://localhost.example.com/",
    ] {
        let client = Client::of(address, Ring::of(&[value()]));
        let ring = client.ring.clone();
        let (ended, _) = client.end().await;
        assert_eq!(ended.expect_err(address).code, Code::InvalidInput);
        assert!(ring.admitted().is_empty());
    }
    // Not in the public network, and no admin allowed it.
    let mut private = Client::of("https://10.0.0.1/mcp", Ring::of(&[value()]));
    assert_eq!(private.ask(1, "ping").await["error"]["data"]["code"], "unreachable");

    let server = Service::start(|_, request| handshake(request)).await;
    let url = format!("http://{}/", server.address);
    let mut refusing = Client::of(&url, Ring { is_refusing: true, ..Ring::of(&[value()]) });
    assert_eq!(refusing.ask(1, "ping").await["error"]["data"]["code"], "store_full");
    let mut short = Client::of(&url, Ring::of(&["abc".to_owned()]));
    assert!(short.ask(1, "ping").await["error"]["message"].as_str().unwrap().contains("too short"));
    let mut split = Client::of(&url, Ring::of(&["first\r\nX-Evil: second".to_owned()]));
    let refused = split.ask(1, "ping").await.to_string();
    assert!(refused.contains("invalid_input") && !refused.contains("second"), "{refused}");
    assert_eq!(server.connections.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_told_as_that_and_the_use_as_failed() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let broken = Service::start(|_, _| {
        vec![
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 99\r\n\r\ndata: {"
                .to_vec(),
            Vec::new(),
        ]
    })
    .await;
    for address in [gone, broken.address] {
        let mut client = Client::of(&format!("http://{address}/"), Ring::of(&[value()]));

        let refused = client.ask(1, "ping").await;
        client.tell(r#"{"jsonrpc":"2.0","method":"notifications/cancelled"}"#).await;
        let ring = client.ring.clone();
        client.end().await.0.expect("it ends");

        assert_eq!(refused["error"]["data"]["code"], "unreachable", "{refused}");
        if address == gone {
            assert!(matches!(ring.ended()[0].outcome, Outcome::Failed(_)));
            assert!(ring.warned().contains("gave no answer"), "{}", ring.warned());
        }
    }
}

#[tokio::test]
async fn a_refused_token_is_renewed_once_and_the_message_sent_again() {
    let versions = [format!("{}-old", value()), format!("{}-new", value())];
    let fresh = versions[1].clone();
    let server = Service::start(move |_, request| match request.contains(&fresh) {
        true => vec![answer("200 OK", JSON, &result(1))],
        false => vec![answer("401 Unauthorized", "", "")],
    })
    .await;
    let mut client = Client::of(&format!("http://{}/", server.address), Ring::of(&versions));

    assert_eq!(client.ask(1, "ping").await["result"], json!({ "ok": true }));

    assert_eq!(client.ring.admitted().len(), 2);
    assert_eq!(client.ring.ended()[0].status, Some(401));
    let never = Service::start(|_, _| vec![answer("401 Unauthorized", "", "")]).await;
    let mut client = Client::of(&format!("http://{}/", never.address), Ring::of(&versions));
    assert_eq!(client.ask(1, "ping").await["error"]["data"]["code"], "not_allowed");
    assert_eq!(client.ring.admitted().len(), 2, "once, and no more");
}

#[tokio::test]
async fn what_the_server_says_unasked_reaches_the_client_masked() {
    let server = Service::start(|_, request| match request.starts_with("GET ") {
        true => {
            let note = json!({ "jsonrpc": "2.0", "method": "notifications/message", "params": value() });
            vec![answer("200 OK", EVENTS, &format!("event: message\ndata: {note}\n\ndata: no JSON\n\n"))]
        }
        false => handshake(request),
    })
    .await;
    let mut client = Client::of(&format!("http://{}/", server.address), Ring::of(&[value()]));
    client.ask(1, "initialize").await;

    client.tell(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#).await;

    let note = client.message().await;
    assert_eq!(note["params"], "[unsaid:ACME_KEY]");
    assert!(client.ring.admitted().contains(&"mcp listen".to_owned()));
    client.stop.cancel();
    assert!(client.end().await.0.is_ok());
}

#[tokio::test]
async fn a_stream_that_breaks_off_before_its_answer_is_asked_for_again() {
    let server = Service::start(|_, request| match request.starts_with("GET ") {
        true => vec![answer("200 OK", EVENTS, &format!("id: 6\ndata: {}\n\n", result(2)))],
        false if asks(request, "tools/call") => {
            vec![answer("200 OK", EVENTS, "id: 5\nretry: 1\ndata:\n\n")]
        }
        false => handshake(request),
    })
    .await;
    let mut client = Client::of(&format!("http://{}/", server.address), Ring::of(&[value()]));
    client.ask(1, "initialize").await;

    assert_eq!(client.ask(2, "tools/call").await["result"], json!({ "ok": true }));

    assert!(server.received().contains("last-event-id: 5\r\n"));
}

#[tokio::test]
async fn a_line_that_is_no_message_is_answered_and_goes_nowhere() {
    let server = Service::start(|_, request| handshake(request)).await;
    let mut client = Client::of(&format!("http://{}/", server.address), Ring::of(&[value()]));

    for line in ["hunter2", "7", "[]", "{\"id\":"] {
        client.tell(line).await;
        let refused = client.line().await;
        assert!(refused.contains("-32700") && !refused.contains("hunter2"), "{refused}");
    }

    client.tell("").await;
    client.tell(&format!("\"{}\"", "a".repeat(17 << 20))).await;
    assert!(client.line().await.contains("too_large"));
    assert_eq!(server.connections.load(Ordering::SeqCst), 0);
    assert_eq!(client.ask(1, "initialize").await["id"], 1);
}
