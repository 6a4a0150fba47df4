//! A person registers a remote MCP server, a client starts it by `unsaid mcp`, and a configuration is rewritten to that.
use crate::support::brokered::{Service, answer};
use crate::support::shell::{Done, Shell};
use crate::support::world::{PersonYes, World};
use serde_json::{Value, json};
use std::sync::atomic::Ordering;
use tokio::runtime::Runtime;
use unsaid::error::Code;
use unsaid::ops::Operation as _;
use unsaid::ops::confirm::Confirm;
use unsaid::ops::consumer::{RegisterConsumer, UpdateConsumer};

/// Made here, so that nothing that looks live stands in the source.
fn live(letter: &str) -> String {
    format!("ghp_{}", letter.repeat(4) + &"aB3dE6gH".repeat(4))
}

const JSON: &str = "Content-Type: application/json\r\n";

/// A server that repeats what it was sent in `header`, to everything.
fn echoing(runtime: &Runtime) -> Service {
    runtime.block_on(Service::start(|_, request| {
        let head = request.split("\r\n\r\n").next().unwrap_or_default();
        let sent: Vec<&str> =
            head.lines().filter(|l| l.starts_with("authorization") || l.starts_with("x-")).collect();
        let body = json!({ "jsonrpc": "2.0", "id": 1, "result": { "sent": sent.join("; ") } });
        vec![answer("200 OK", JSON, &body.to_string())]
    }))
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

/// A person at the terminal agrees; returns what was on the screen.
fn registered(shell: &Shell, args: &[&str]) -> String {
    let mut screen = shell.at_terminal(&[&["consumer", "add"], args].concat());
    screen.take_challenge();
    let (code, text) = screen.end();
    assert_eq!(code, 0, "{text}");
    text
}

const PING: &str = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n";

fn pinged(shell: &Shell, consumer: &str) -> Done {
    shell.run(&["mcp", consumer], PING)
}

fn definition(url: &str, extra: &str) -> String {
    format!(
        r#"id = "mine"
name = "Mine"
description = "A server of ours."
docs_url = "https://mcp.example.com/docs"
confidence = "low"
checked = "2026-06-01"
source = "https://mcp.example.com/docs"

[transport]
type = "http"
url = "{url}"

[[fields]]
id = "X-Mine-Key"
in = "header"
label = "Key"
type = "token"
secret = true
required = true
format = "key {{value}}"
variable = "MINE_KEY"
{extra}"#
    )
}

#[test]
fn a_definition_with_an_address_is_registered_and_spoken_to() {
    let (runtime, shell, value) = (runtime(), Shell::new(), live("x"));
    let server = echoing(&runtime);
    let folder = shell.folder().join("home/config/servers");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("mine.toml"), definition(&format!("http://{}/mcp", server.address), ""))
        .unwrap();

    let asked = registered(&shell, &["mine", "--server", "mine"]);
    assert!(asked.contains(&format!("sends MINE_KEY to {}", server.address)), "{asked}");
    assert!(asked.contains("X-Mine-Key: key {value}"), "{asked}");
    let missing = pinged(&shell, "mine");
    assert_eq!((missing.code, missing.error()), (125, "unresolved"));
    assert!(missing.err.contains("unsaid set MINE_KEY") && missing.out.is_empty(), "{}", missing.err);
    assert_eq!(server.connections.load(Ordering::SeqCst), 0);

    shell.ok(&["set", "MINE_KEY"], &value);
    let done = pinged(&shell, "mine");

    assert_eq!(done.code, 0, "{}", done.err);
    let told: Value = serde_json::from_str(done.out.trim()).expect("one line of JSON");
    assert_eq!(told["result"]["sent"], "x-mine-key: key [unsaid:MINE_KEY]");
    assert!(server.received().contains(&format!("x-mine-key: key {value}\r\n")));
    let log = shell.ok(&["log", "export"], "");
    assert!(log.contains("mcp ping") && log.contains(&server.address.to_string()), "{log}");
    for text in [&log, &done.err, &shell.ok(&["consumer", "show", "mine"], ""), &shell.ok(&["doctor"], "")] {
        assert!(!text.contains(&value));
    }
    shell.ok(&["rm", "MINE_KEY", "--yes"], "");
    assert_eq!(pinged(&shell, "mine").error(), "unresolved");
}

#[test]
fn an_address_of_ones_own_takes_a_binding_with_a_header() {
    let (runtime, shell, value) = (runtime(), Shell::new(), live("y"));
    let server = echoing(&runtime);
    let url = format!("http://{}/mcp", server.address);
    shell.ok(&["set", "A_KEY"], &value);
    registered(&shell, &["own", "--url", &url, "--bind", "A_KEY=,header=Authorization"]);

    let done = pinged(&shell, "own");

    assert!(done.out.contains("authorization: Bearer [unsaid:A_KEY]"), "{} {}", done.out, done.err);
    // The value that somebody puts in its place later goes along from then on.
    let other = live("z");
    shell.ok(&["set", "A_KEY"], &other);
    assert!(pinged(&shell, "own").out.contains("Bearer [unsaid:A_KEY]"));
    assert!(server.received().contains(&other));
    assert!(shell.ok(&["consumer", "show", "own"], "").contains("header Authorization: Bearer {value}"));
    let run = shell.run(&["run", "--consumer", "own"], "");
    assert!(run.code != 0 && run.err.contains("unsaid mcp own"), "{}", run.err);
    // A program that is run as this consumer does not get what is for the server.
    let given = shell.run(&["run", "--consumer", "own", "--", "sh", "-c", "echo \"${A_KEY-none}\""], "");
    assert_eq!(given.out, "none\n", "{}", given.err);
}

#[test]
fn b_25_a_server_that_sends_a_credential_back_three_times_is_not_sent_it_any_more() {
    let (runtime, shell, value) = (runtime(), Shell::new(), live("q"));
    let (server, other) = (echoing(&runtime), echoing(&runtime));
    let url = |server: &Service| format!("http://{}/mcp", server.address);
    shell.ok(&["set", "A_KEY"], &value);
    shell.ok(&["set", "B_KEY"], &live("r"));
    registered(&shell, &["one", "--url", &url(&server), "--bind", "A_KEY=,header=Authorization"]);
    registered(&shell, &["two", "--url", &url(&server), "--bind", "A_KEY=,header=X-Key"]);
    registered(&shell, &["far", "--url", &url(&other), "--bind", "A_KEY=,header=X-Key"]);
    registered(&shell, &["alike", "--url", &url(&server), "--bind", "B_KEY=,header=X-Key"]);
    for _ in 0..3 {
        assert!(pinged(&shell, "one").out.contains("Bearer [unsaid:A_KEY]"));
    }
    let sent = server.received().len();

    for consumer in ["one", "two"] {
        let refused = pinged(&shell, consumer);

        assert_eq!(refused.error(), "credential_suspended", "{}", refused.err);
        assert!(refused.err.contains("unsaid broker lift") && refused.err.contains("in 3 of its answers"));
        assert!(refused.out.is_empty() && !refused.err.contains(&value));
        let shown = shell.ok(&["consumer", "show", consumer], "");
        assert!(shown.contains("is not sent to"), "{shown}");
    }

    assert_eq!(server.received().len(), sent);
    let log = shell.ok(&["log", "export"], "");
    assert_eq!(log.matches("\"echoed\":true").count(), 3, "{log}");
    assert_eq!(log.matches("suspended_for").count(), 1, "{log}");
    // It is this credential and this server; and another value was not sent back.
    assert!(pinged(&shell, "far").out.contains("[unsaid:A_KEY]"));
    assert!(pinged(&shell, "alike").out.contains("[unsaid:B_KEY]"));
    shell.ok(&["set", "A_KEY"], &live("s"));
    assert!(pinged(&shell, "one").out.contains("Bearer [unsaid:A_KEY]"));
}

#[test]
fn b_25_two_echoes_suspend_nothing_and_neither_do_answers_without_the_value() {
    let (runtime, shell) = (runtime(), Shell::new());
    let quiet = runtime.block_on(Service::start(|_, _| {
        vec![answer("200 OK", JSON, r#"{"jsonrpc":"2.0","id":1,"result":{"sent":"ghp_tttt and more"}}"#)]
    }));
    let server = echoing(&runtime);
    shell.ok(&["set", "A_KEY"], &live("t"));
    for (name, server) in [("quiet", &quiet), ("loud", &server)] {
        let url = format!("http://{}/mcp", server.address);
        registered(&shell, &[name, "--url", &url, "--bind", "A_KEY=,header=Authorization"]);
    }

    for _ in 0..2 {
        assert!(pinged(&shell, "loud").out.contains("[unsaid:A_KEY]"));
    }
    for _ in 0..4 {
        assert!(pinged(&shell, "quiet").out.contains("ghp_tttt and more"));
    }

    let shown = shell.ok(&["consumer", "show", "loud"], "");
    assert!(!shown.contains("is not sent to"), "{shown}");
    assert!(pinged(&shell, "loud").out.contains("[unsaid:A_KEY]"));
}

#[test]
fn b_17_beyond_its_rate_a_credential_is_not_sent_to_a_remote_server() {
    let (runtime, shell) = (runtime(), Shell::new());
    let server = runtime.block_on(Service::start(|_, _| {
        vec![answer("200 OK", JSON, r#"{"jsonrpc":"2.0","id":1,"result":{}}"#)]
    }));
    shell.ok(&["set", "A_KEY"], &live("u"));
    let url = format!("http://{}/mcp", server.address);
    registered(&shell, &["own", "--url", &url, "--bind", "A_KEY=,header=Authorization"]);
    registered(&shell, &["open", "--url", &url]);
    let config = shell.folder().join("home/config/unsaid.toml");
    let said = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("{said}\n[broker]\nrequests_per_minute = 2\n")).unwrap();

    let done = shell.run(&["mcp", "own"], &PING.repeat(5));

    assert_eq!(done.code, 0, "{}", done.err);
    let said: Vec<Value> = done.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let refused: Vec<_> = said.iter().filter(|one| one.get("error").is_some()).collect();
    assert_eq!((said.len(), refused.len()), (5, 3), "{said:?}");
    for one in refused {
        assert_eq!(one["error"]["data"]["code"], "too_many_requests");
        let message = one["error"]["message"].as_str().unwrap();
        assert!(message.contains("A_KEY is sent at most 2 times a minute"), "{message}");
        assert!(message.contains("Wait ") && message.contains("requests_per_minute"), "{message}");
    }
    assert_eq!(server.received().matches(" HTTP/1.1\r\n").count(), 2);
    let log = shell.ok(&["log", "export"], "");
    assert_eq!(log.matches("too_many_requests").count(), 1, "a burst is one event: {log}");
    // What has no credential has no rate.
    let open = shell.run(&["mcp", "open"], &PING.repeat(5));
    assert!(open.out.lines().count() == 5 && !open.out.contains("error"), "{}", open.out);
}

#[test]
fn what_could_send_a_value_where_nobody_agreed_to_is_refused() {
    let shell = Shell::new();
    for (args, told) in [
        (&["a", "--url", "http://mcp.example.com/mcp", "--bind", "A_KEY=,header=Authorization"][..], "https"),
        (&["a", "--url", "https://u@mcp.example.com/", "--bind", "A_KEY=,header=Authorization"], "no user"),
        (&["a", "--bind", "A_KEY=,header=Authorization"], "there is no url"),
        (&["a", "--url", "https://mcp.example.com/", "--bind", "A_KEY=,header=Host"], "not by a binding"),
        (
            &["a", "--url", "https://mcp.example.com/", "--bind", "A_KEY=,header=X-Key: {other}"],
            "placeholder",
        ),
        (
            &["a", "--url", "https://mcp.example.com/", "--bind", "A_KEY=,header=X-Key: plain"],
            "where the value goes",
        ),
        (
            &[
                "a",
                "--url",
                "https://mcp.example.com/",
                "--bind",
                "A=,header=X-Key",
                "--bind",
                "B=,header=x-key",
            ],
            "two bindings",
        ),
        (
            &["a", "--url", "https://mcp.example.com/", "--bind", "A=,header=X-Key,paths=/v1/**"],
            "for the broker",
        ),
        (&["a", "--server", "linear", "--url", "https://mcp.example.com/"], "address of its own"),
        (&["a", "--server", "linear", "--", "sh"], "address of its own"),
    ] {
        let refused = shell.run(&[&["consumer", "add"], args].concat(), "");
        assert_eq!((refused.code, refused.error()), (2, "invalid_input"), "{args:?} {}", refused.err);
        assert!(refused.err.contains(told), "{args:?} {}", refused.err);
    }
    let nobody = shell.run(&["consumer", "add", "a", "--server", "linear"], "");
    assert_eq!(nobody.error(), "approval_required");
    let folder = shell.folder().join("home/config/servers");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("mine.toml"), definition("http://mcp.example.com/mcp", "")).unwrap();
    // A folder with such a definition is not used at all.
    let unsafe_one = shell.run(&["consumer", "add", "a", "--server", "mine"], "");
    assert_eq!(unsafe_one.error(), "service_not_found");
}

async fn asked(w: &World, operation: &str, input: Value) -> Result<String, Code> {
    let caller = w.person("mia");
    let confirm = match operation {
        "register_consumer" => {
            let input: RegisterConsumer = serde_json::from_value(input).unwrap();
            input.confirm(&w.app, &caller).await
        }
        _ => {
            let input: UpdateConsumer = serde_json::from_value(input).unwrap();
            input.confirm(&w.app, &caller).await
        }
    };
    match confirm.map_err(|e| e.code)? {
        Confirm::Person(question) => Ok(question.impact.join("\n")),
        _ => panic!("a person is asked"),
    }
}

#[tokio::test]
async fn a_person_is_told_the_host_whenever_it_or_what_goes_there_changes() {
    let w = World::new().await;
    let told = asked(&w, "register_consumer", json!({ "name": "linear", "server": "linear" })).await.unwrap();
    assert!(told.contains("talks to: https://mcp.linear.app/mcp"), "{told}");
    assert!(told.contains("sends LINEAR_API_KEY to mcp.linear.app"), "{told}");
    assert!(told.contains("Authorization: Bearer {value}"), "{told}");
    let mia = w.person("mia");
    let input = json!({ "name": "linear", "server": "linear" });
    let made = w.call_with(&mia, "register_consumer", input, &PersonYes).await.unwrap();
    assert_eq!(made["consumer"]["url"], "https://mcp.linear.app/mcp");
    assert_eq!(
        (&made["checks"][0]["delivery"], &made["checks"][0]["required"]),
        (&json!("header"), &json!(false))
    );

    let moved = json!({ "consumer": "linear", "url": "https://mcp.evil.example/mcp" });
    let told = asked(&w, "update_consumer", moved).await.unwrap();
    assert!(told.contains("sends LINEAR_API_KEY to mcp.evil.example"), "{told}");
    let alone = json!({ "consumer": "linear", "url": "" });
    assert_eq!(asked(&w, "update_consumer", alone).await, Err(Code::InvalidInput));
    let more = json!({ "consumer": "linear", "set_bindings": [
        { "variable": "TEAM", "source": "static", "delivery": "header", "text": "X-Team: blue" } ] });
    let told = asked(&w, "update_consumer", more).await.unwrap();
    assert!(told.contains("gets: TEAM = plain text (header), sent as X-Team: blue"), "{told}");
    // A model's call waits for a person, and a secret in the text is refused before.
    let refused = w
        .refused(
            &w.caller("mia"),
            "update_consumer",
            json!({ "consumer": "linear", "url": "https://mcp.evil.example/" }),
        )
        .await;
    assert_eq!(refused.code, Code::ApprovalRequired);
    let pasted = json!({ "consumer": "linear", "set_bindings": [
        { "variable": "A", "source": "static", "delivery": "header", "text": format!("X-Key: {}", live("p")) } ] });
    assert_eq!(w.refused(&w.caller("mia"), "update_consumer", pasted).await.code, Code::SecretInArgument);
}

#[test]
fn a_remote_entry_is_wrapped_and_put_back_byte_for_byte() {
    let (runtime, shell, value) = (runtime(), Shell::new(), live("x"));
    let server = echoing(&runtime);
    let before = format!(
        "{{\n  // mine\n  \"mcpServers\": {{\n    \"api\": {{\n      \"type\": \"http\",\n      \"url\": \"http://{}/mcp\",\n      \"headers\": {{ \"Authorization\": \"Bearer {value}\", \"X-Acme-Version\": \"2024-11-05\" }},\n      \"disabled\": false\n    }},\n    \"plain\": {{ \"type\": \"http\", \"url\": \"https://mcp.example.com/mcp\" }}\n  }}\n}}\n",
        server.address
    );
    let path = shell.file("mcp.json", &before);
    let file = path.to_str().unwrap();

    let dry = shell.run(&["mcp-config", "--wrap", file, "--dry-run"], "");
    assert!(dry.code == 0 && !dry.err.contains(&value) && dry.err.contains("+++ mcp.json"), "{}", dry.err);
    assert_eq!(shell.run(&["mcp-config", "--wrap", file], "").error(), "needs_terminal");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), before);

    let mut screen = shell.at_terminal(&["mcp-config", "--wrap", file, "--scope", "personal"]);
    screen.take_challenge();
    let (code, text) = screen.end();

    assert!(code == 0 && !text.contains(&value), "{text}");
    let wrapped = std::fs::read_to_string(&path).unwrap();
    assert!(!wrapped.contains(&value) && !wrapped.contains("headers"), "{wrapped}");
    assert!(
        wrapped.contains("// mine")
            && wrapped.contains("\"disabled\": false")
            && wrapped.contains("\"type\": \"stdio\"")
    );
    assert!(
        wrapped.contains("\"mcp\", \"api\"") && wrapped.contains("https://mcp.example.com/mcp"),
        "{wrapped}"
    );
    let done = pinged(&shell, "api");
    assert!(done.out.contains("authorization: Bearer [unsaid:"), "{} {}", done.out, done.err);
    assert!(done.out.contains("x-acme-version: 2024-11-05"), "{}", done.out);
    assert!(server.received().contains(&format!("authorization: Bearer {value}\r\n")));
    assert_eq!(shell.run(&["mcp-config", "--wrap", file], "").error(), "nothing_to_do");

    shell.ok(&["mcp-config", "--undo", file], "");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), before);
}

/// A configuration with one remote server, `api`.
fn config_of(shell: &Shell, server: &Service, headers: Value) -> String {
    let url = format!("http://{}/mcp", server.address);
    let text = json!({ "mcpServers": { "api": { "type": "http", "url": url, "headers": headers } } });
    shell.file("mcp.json", &text.to_string()).to_str().unwrap().to_owned()
}

/// A person at the terminal wraps it; returns what was on the screen.
fn wrap(shell: &Shell, file: &str, scope: &str) -> String {
    let mut screen = shell.at_terminal(&["mcp-config", "--wrap", file, "--scope", scope]);
    screen.take_challenge();
    let (code, text) = screen.end();
    assert_eq!(code, 0, "{text}");
    text
}

#[test]
fn a_wrapped_server_is_sent_the_value_of_its_own_place_and_no_other_of_the_name() {
    let (runtime, shell) = (runtime(), Shell::new());
    let (dummy, of_org) = (live("d"), live("o"));
    let server = echoing(&runtime);
    shell.ok(&["set", "API_TOKEN", "--scope", "org"], &of_org);
    let file = config_of(&shell, &server, json!({ "Authorization": format!("Bearer {dummy}") }));

    let dry = shell.run(&["mcp-config", "--wrap", &file, "--scope", "personal", "--dry-run"], "");
    let text = wrap(&shell, &file, "personal");

    for told in [&dry.err, &text] {
        assert!(told.contains(&format!("sends API_TOKEN to {}", server.address)), "{told}");
        assert!(told.contains("API_TOKEN comes before the one of the org"), "{told}");
    }
    assert!(pinged(&shell, "api").out.contains("Bearer [unsaid:"));
    let before = server.received();
    assert!(before.contains(&dummy) && !before.contains(&of_org));

    // Without the dummy, nothing of that name goes to the address of the file.
    let all: Value = serde_json::from_str(&shell.ok(&["list", "--json"], "")).unwrap();
    let rows = all["credentials"].as_array().unwrap();
    let own = rows.iter().find(|row| row["scope"] == "personal").expect("it was made");
    shell.ok(&["rm", own["id"].as_str().unwrap(), "--yes"], "");
    let done = pinged(&shell, "api");
    assert!(!server.received().contains(&of_org) && !done.out.contains("Bearer"), "{}", done.out);
}

#[test]
fn a_wrap_binds_to_the_place_that_was_said() {
    let (runtime, shell) = (runtime(), Shell::new());
    let server = echoing(&runtime);
    shell.ok(&["team", "create", "core"], "");
    // A client starts its server by the bare name, so each has one that no other place has.
    for (scope, source, name) in [
        ("personal", "user_secret", "api"),
        ("team:core", "team_secret", "api-2"),
        ("org", "org_secret", "api-3"),
    ] {
        let file = config_of(&shell, &server, json!({ "X-Session": "sesame-open-hunter2" }));
        wrap(&shell, &file, scope);
        assert!(std::fs::read_to_string(&file).unwrap().contains(&format!("\"{name}\"")));
        let shown = shell.ok(&["consumer", "show", name, "--json"], "");
        let shown: Value = serde_json::from_str(&shown).unwrap();

        assert_eq!(shown["checks"][0]["source"], source, "{shown}");
        assert_ne!(shown["checks"][0]["source"], "auto");
        assert_eq!(shown["scope"], scope.split(':').next().unwrap());
    }
}

#[test]
fn no_header_of_a_wrapped_server_can_be_read_in_the_consumer_or_the_log() {
    let (runtime, shell) = (runtime(), Shell::new());
    let server = echoing(&runtime);
    let headers = json!({
        "X-Session": "sesame-open-hunter2", "X-Acme-Login": "mia:s3same-2024", "X-Api-Key": "48213377",
        "X-Signing": "correct.horse.battery", "X-Acme-Version": "2024.77-beta",
    });
    let file = config_of(&shell, &server, headers);

    let text = wrap(&shell, &file, "personal");

    let shown = shell.ok(&["consumer", "show", "api", "--json"], "");
    let log = shell.ok(&["log", "export"], "");
    for value in ["sesame-open", "s3same", "48213377", "correct.horse"] {
        assert!(!shown.contains(value) && !log.contains(value) && !text.contains(value), "{value}");
    }
    // Plain text is read in the consumer; the log, which nobody can change, has its name alone.
    assert!(shown.contains("2024.77-beta") && !log.contains("2024.77-beta"), "{log}");
    assert!(log.contains("sent as X-Acme-Version"), "{log}");
    assert!(pinged(&shell, "api").out.contains("x-acme-version: 2024.77-beta"));
    assert!(server.received().contains("x-session: sesame-open-hunter2\r\n"));
}

#[test]
fn an_entry_with_an_address_that_is_no_text_is_refused_in_words() {
    let (shell, value) = (Shell::new(), live("x"));
    for first in ["5", "null", "{}", "[\"https://b.example/mcp\"]"] {
        let text = format!(
            r#"{{"mcpServers": {{"api": {{"url": {first}, "serverUrl": "https://a.example/mcp", "headers": {{"Authorization": "Bearer {value}"}}}}}}}}"#
        );
        let path = shell.file("mcp.json", &text);

        let done = shell.run(&["mcp-config", "cursor", "--wrap", path.to_str().unwrap(), "--dry-run"], "");

        assert_eq!(done.error(), "nothing_to_do", "{}", done.err);
        assert!(done.err.contains("its url is not a text") && !done.err.contains(&value), "{}", done.err);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    }
}

#[tokio::test]
async fn the_log_names_plain_configuration_and_never_has_its_text() {
    let w = World::new().await;
    let mia = w.person("mia");
    let plain = |text: &str| {
        json!([
            { "variable": "LEVEL", "text": format!("{text}-level") },
            { "variable": "TEAM", "source": "static", "delivery": "header", "text": format!("X-Team: {text}-team") },
            { "variable": "A_KEY", "delivery": "header", "text": "Authorization: Bearer {value}" }
        ])
    };
    let made = json!({ "name": "api", "url": "https://a.example/mcp", "bindings": plain("first") });
    w.call_with(&mia, "register_consumer", made, &PersonYes).await.unwrap();
    let changed = json!({ "consumer": "api", "set_bindings": plain("second") });
    let told = asked(&w, "update_consumer", changed.clone()).await.unwrap();
    w.call_with(&mia, "update_consumer", changed, &PersonYes).await.unwrap();

    // Whoever agrees reads what there was and what there will be.
    assert!(told.contains("first-level") && told.contains("sent as X-Team: second-team"), "{told}");
    let org = w.org.clone();
    let rows = w.app.store.read(move |tx| tx.audit_after(&org, 0, 10_000)).await.unwrap();
    let log: String = rows.iter().map(|row| format!("{}\n", row.details)).collect();
    for text in ["first-", "second-"] {
        assert!(!log.contains(text), "{log}");
    }
    assert!(log.contains("LEVEL = plain text (env)"), "{log}");
    assert!(log.contains("TEAM = plain text (header), sent as X-Team\""), "{log}");
    assert!(log.contains("sent as Authorization: Bearer {value}"), "{log}");
}
