use super::*;
use crate::error::Code;

#[test]
fn broken_json_is_refused_with_its_line_and_nothing_of_its_text() {
    let token = github_token();
    for (text, line) in [
        (format!("{{\n\"a\": {token}"), "line 2"),
        (format!("{{\n\"a\": \"{token}"), "line 2"),
        (format!("{{\"a\": 1}}\n{{\"b\": \"{token}\"}}"), "line 2"),
        (format!("[\"{token}\"]"), "line 1"),
        (format!("\"{token}\""), "line 1"),
        (format!("{{'a': '{token}'}}"), "line 1"),
        (format!("{{a: \"{token}\"}}"), "line 1"),
        (format!("{{\"a\": \"{token}\" \"b\": 1}}"), "line 1"),
        (format!("{{\"a\": \"\\ud800{token}\"}}"), "line 1"),
        (format!("/* {token}"), "line 1"),
        ("{\"mcpServers\": 1}".to_owned(), "line 1"),
        ("{\"mcpServers\": []}".to_owned(), "line 1"),
    ] {
        let error = read(text.as_bytes(), None, &known()).err();
        let error = error.unwrap_or_else(|| panic!("accepted: {}", text.replace(&token, "TOKEN")));

        assert_eq!(error.code, Code::InvalidFile);
        assert!(error.message().contains(line), "{error}");
        assert!(!format!("{error:?} {}", error.to_json()).contains(&token));
    }
}

#[test]
fn another_encoding_is_refused() {
    for bytes in [&b"\xFF\xFE{\0}\0"[..], b"\xFE\xFF\0{\0}", b"{\"a\": \"\xE9\"}", b"{\0}"] {
        assert_eq!(refused(bytes).code, Code::InvalidFile);
    }
}

#[test]
fn a_huge_file_is_refused_before_it_is_read() {
    assert_eq!(refused(&vec![b' '; MAX_FILE_BYTES + 1]).code, Code::TooLarge);
}

#[test]
fn a_deep_file_is_refused_and_not_followed() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let text =
            format!("{{\"mcpServers\": {{}}, \"x\": {}1{}}}", open.repeat(100_000), close.repeat(100_000));

        assert_eq!(refused(text.as_bytes()).code, Code::InvalidFile);
    }
}

#[test]
fn a_key_that_stands_twice_where_it_matters_is_refused() {
    for text in [
        r#"{"mcpServers": {}, "mcpServers": {}}"#,
        r#"{"mcpServers": {"s": {"command": "x"}, "s": {"command": "y"}}}"#,
        r#"{"mcpServers": {"s": {"command": "x", "command": "y"}}}"#,
        r#"{"mcpServers": {"s": {"command": "x", "env": {"A": "1", "A": "2"}}}}"#,
        r#"{"mcpServers": {"s": {"command": "x", "env": {"A": "1", "\u0041": "2"}}}}"#,
        r#"{"mcpServers": {"s": {"command": "x", "env": {}, "env": {}}}}"#,
        r#"{"mcpServers": {"s": {"url": "https://x.example", "headers": {"A": "1", "A": "2"}}}}"#,
        r#"{"context_servers": {"s": {"command": {"path": "x", "path": "y"}}}}"#,
    ] {
        let error = refused(text.as_bytes());

        assert!(error.message().contains("a second time"), "{text}: {error}");
    }
    assert!(read_text(r#"{"other": {"a": 1, "a": 2}, "mcpServers": {}}"#).servers().is_empty());
}

#[test]
fn what_is_no_server_is_reported_and_cannot_be_rewritten() {
    for server in [
        "1",
        "null",
        "[]",
        "{}",
        r#"{"command": ["npx", "x"]}"#,
        r#"{"command": {"x": 1}}"#,
        r#"{"command": null}"#,
        r#"{"command": "x", "url": "https://x.example"}"#,
    ] {
        let config = read_text(&format!(r#"{{"mcpServers": {{"s": {server}}}}}"#));

        let plan = &config.plan().servers[0];
        assert_eq!((plan.kind, plan.to_wrap, plan.obstacles.len()), ("unclear", false, 1), "{server}");
        let rewrite = Rewrite { server: 0, program: "unsaid".into(), args: vec![], remove_env: vec![] };
        assert_eq!(config.rewrite(&[rewrite], "f", &known()).expect_err("refused").code, Code::InvalidInput);
    }
    for server in [
        r#"{"command": "", "args": []}"#,
        r#"{"command": "x", "args": "y"}"#,
        r#"{"command": "x", "args": [{}]}"#,
        r#"{"command": "x", "env": []}"#,
        r#"{"command": "x", "env": "A=b"}"#,
    ] {
        let config = read_text(&format!(r#"{{"mcpServers": {{"s": {server}}}}}"#));

        assert_eq!(config.plan().servers[0].obstacles.len(), 1, "{server}");
        assert!(config.servers()[0].launch().is_err());
    }
}

#[test]
fn a_rewrite_of_something_that_is_not_there_is_refused() {
    let config = read_text(r#"{"mcpServers": {"s": {"command": "x", "env": {"A": "1"}}}}"#);
    let rewrite = |server, remove: &str| Rewrite {
        server,
        program: "unsaid".into(),
        args: vec!["mcp".into(), "s".into()],
        remove_env: vec![remove.into()],
    };

    for wrong in [vec![rewrite(1, "A")], vec![rewrite(0, "B")], vec![rewrite(0, "A"), rewrite(0, "A")]] {
        assert_eq!(config.rewrite(&wrong, "f", &known()).expect_err("refused").code, Code::InvalidInput);
    }
}

#[test]
fn odd_names_of_servers_are_names_and_are_shown_harmlessly() {
    for name in [
        "__proto__",
        "constructor",
        "a\u{1b}[31m\nb",
        "\u{202e}evil",
        "a\"b\\c",
        "",
        "ключ",
        &"x".repeat(500),
    ] {
        let text = serde_json::json!({ "mcpServers": { name: { "command": "x", "env": { "A_TOKEN": quiet("v") } } } });

        let config = read_text(&text.to_string());
        let done = wrapped(&config);

        assert_eq!(config.servers()[0].name(), name);
        assert!(!config.servers()[0].shown_name().contains(['\u{1b}', '\n', '\u{202e}']));
        assert!(!done.diff.contains(['\u{1b}', '\u{202e}']));
        assert_eq!(json(&done.text)["mcpServers"][name]["command"], "/usr/bin/unsaid");
    }
}

#[test]
fn a_name_that_is_a_key_is_not_repeated() {
    let token = github_token();
    let text = serde_json::json!({ "mcpServers": { &token: { "command": "x", "env": { &token: &token, "A": &token } } } });

    let config = read_text(&text.to_string());

    assert!(!serde_json::to_string(&config.plan()).expect("JSON").contains(&token[4..]));
    assert!(!wrapped(&config).diff.contains(&token[4..]));
}

#[test]
fn a_variable_that_no_credential_can_be_named_after_stays() {
    for (name, value) in [
        ("A-TOKEN", quiet("v")),
        ("1_TOKEN", quiet("v")),
        ("A_TOKEN", "a\\u0000bcdefg".into()),
        ("A_TOKEN", "v".repeat(70_000)),
    ] {
        let text =
            format!(r#"{{"mcpServers": {{"s": {{"command": "x", "env": {{"{name}": "{value}"}}}}}}}}"#);

        let plan = &read_text(&text).plan().servers[0];

        assert_eq!((plan.moves.len(), plan.cannot.len()), (0, 1), "{name}");
    }
}

#[test]
fn damaged_files_are_refused_or_read_and_never_more() {
    let token = github_token();
    let text = format!(
        "{{ // c\r\n  \"servers\": {{\"s\": {{\"command\": \"npx\", \"args\": [\"--token\", \"{token}\"],\r\n \"env\": {{\"A\": \"{token}\", \"B\": 1}}, }}, }} }}"
    );
    let mut state = 7u64;
    let mut roll = |bound: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % bound
    };
    for _ in 0..3_000 {
        let mut bytes = text.clone().into_bytes();
        for _ in 0..=roll(3) {
            let at = roll(bytes.len());
            match roll(3) {
                0 => bytes.truncate(at),
                1 => bytes[at] = b"{}[]\",:/*\\\n\xFFa0"[roll(14)],
                _ => bytes.insert(at, b"{}[]\",:/*\\\n\xFFa0"[roll(14)]),
            }
            if bytes.is_empty() {
                break;
            }
        }

        match read(&bytes, None, &known()) {
            Err(error) => assert!(!format!("{error:?}").contains(&token)),
            Ok(config) => {
                let done = config.rewrite(&wrap_all(&config), "f", &known()).expect("it is rewritten");
                let shown = format!("{} {}", done.diff, serde_json::to_string(&config.plan()).expect("JSON"));
                assert!(!shown.contains(&token));
            }
        }
    }
}
