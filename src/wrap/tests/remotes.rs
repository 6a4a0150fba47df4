use super::*;

fn file(server: &str) -> String {
    format!(r#"{{"mcpServers": {{"s": {server}}}}}"#)
}

#[test]
fn the_headers_of_an_address_move_as_each_client_spells_them() {
    let token = github_token();
    for (server, url, line) in [
        (
            format!(
                r#"{{"type": "http", "url": "https://a.example/mcp", "headers": {{"Authorization": "Bearer {token}"}}}}"#
            ),
            "https://a.example/mcp",
            "Authorization: Bearer {value}",
        ),
        (
            format!(
                r#"{{"serverUrl": "https://a.example/mcp", "headers": {{"authorization": "bearer {token}"}}}}"#
            ),
            "https://a.example/mcp",
            "authorization: bearer {value}",
        ),
        (
            format!(
                r#"{{"type": "streamable-http", "url": "https://a.example/mcp?x=1", "headers": {{"X-Api-Key": "{token}"}}}}"#
            ),
            "https://a.example/mcp?x=1",
            "X-Api-Key: {value}",
        ),
        (
            format!(
                r#"{{"source": "custom", "url": "http://localhost:7/mcp", "headers": {{"Authorization": "Token  {token} "}}}}"#
            ),
            "http://localhost:7/mcp",
            "Authorization: Token  {value}",
        ),
    ] {
        let config = read_text(&file(&server));

        let found = &config.servers()[0];
        assert!(config.plan().servers[0].to_wrap, "{:?}", config.plan());
        let remote = found.remote().expect("it can be reached");
        assert_eq!((remote.url.as_str(), remote.headers[0].1.as_str()), (url, line));
        let value = found.movable().next().expect("one moves");
        assert!(value.value.expose(|value| value == token));
        assert_eq!(value.credential_name(), Some(remote.headers[0].0.as_str()));
        let done = wrapped(&config);
        assert!(!done.text.contains(&token) && !done.diff.contains(&token), "{}", done.diff);
        let now = &json(&done.text)["mcpServers"]["s"];
        assert_eq!(
            (&now["command"], &now["args"]),
            (&serde_json::json!("/usr/bin/unsaid"), &serde_json::json!(["mcp", "s"]))
        );
        for gone in ["url", "serverUrl", "headers"] {
            assert!(now.get(gone).is_none(), "{gone}");
        }
        assert!(now.get("type").is_none_or(|kind| kind == "stdio"));
        assert!(read_text(&done.text).plan().is_empty());
    }
}

#[test]
fn a_known_server_names_its_credential_and_a_plain_header_goes_along() {
    let value = quiet("linear");
    let config = read_text(&file(&format!(
        r#"{{"url": "https://mcp.linear.app/mcp", "headers": {{"Authorization": "Bearer {value}", "X-Team": "blue", "Accept": "*/*"}}}}"#
    )));

    let remote = config.servers()[0].remote().expect("it can be reached");

    let lines: Vec<_> = remote.headers.iter().map(|(name, line)| format!("{name} {line}")).collect();
    assert_eq!(lines, ["LINEAR_API_KEY Authorization: Bearer {value}", "S_X_TEAM X-Team: blue"]);
    assert_eq!(config.servers()[0].movable().next().expect("one").service.as_deref(), Some("linear"));
}

#[test]
fn what_only_the_client_can_do_keeps_an_address_where_it_is() {
    let token = github_token();
    let bearer = format!(r#""headers": {{"Authorization": "Bearer {token}"}}"#);
    for (server, why) in [
        (format!(r#"{{"type": "sse", "url": "https://a.example/sse", {bearer}}}"#), "SSE"),
        (format!(r#"{{"type": "ws", "url": "https://a.example/mcp", {bearer}}}"#), "not known"),
        (format!(r#"{{"type": 7, "url": "https://a.example/mcp", {bearer}}}"#), "not known"),
        (format!(r#"{{"url": "http://a.example/mcp", {bearer}}}"#), "https"),
        (format!(r#"{{"url": "a.example/mcp", {bearer}}}"#), "https"),
        (format!(r#"{{"url": "https://a.example/mcp?apiKey={token}", {bearer}}}"#), "holds a secret"),
        (format!(r#"{{"url": "https://${{HOST}}/mcp", {bearer}}}"#), "reference"),
        (
            format!(r#"{{"url": "https://a.example/mcp", "serverUrl": "https://b.example/mcp", {bearer}}}"#),
            "two addresses",
        ),
        (format!(r#"{{"url": "https://a.example/mcp", "headersHelper": "x", {bearer}}}"#), "headersHelper"),
        (format!(r#"{{"url": "https://a.example/mcp", "env": {{"A": "b"}}, {bearer}}}"#), "env"),
        (
            format!(
                r#"{{"url": "https://a.example/mcp", "headers": {{"Authorization": "Bearer {token}", "X-Key": "${{input:key}}"}}}}"#
            ),
            "reference",
        ),
        (
            format!(
                r#"{{"url": "https://a.example/mcp", "headers": {{"Authorization": "Bearer {token}", "X-Key": 7}}}}"#
            ),
            "not a text",
        ),
        (
            format!(
                r#"{{"url": "https://a.example/mcp", "headers": {{"Proxy-Authorization": "Bearer {token}"}}}}"#
            ),
            "no header",
        ),
        (
            format!(
                r#"{{"url": "https://a.example/mcp", "headers": {{"X-Key": "{token}", "x-key": "{token}"}}}}"#
            ),
            "twice",
        ),
        (format!(r#"{{"url": "https://a.example/mcp", "headers": {{"X-Key": "{token}\u00e9"}}}}"#), "ASCII"),
        (
            format!(
                "{{\"url\": \"https://a.example/mcp\", \"headers\": {{ // old\n\"X-Key\": \"{token}\"}}}}"
            ),
            "comment",
        ),
    ] {
        let config = read_text(&file(&server));

        let plan = &config.plan().servers[0];
        assert!(!plan.to_wrap && plan.moves.is_empty(), "{server}");
        assert!(plan.obstacles.iter().any(|told| told.contains(why)), "{why}: {:?}", plan.obstacles);
        assert!(config.servers()[0].remote().is_err());
        let rewrite =
            Rewrite { server: 0, program: "unsaid".into(), args: vec!["mcp".into()], remove_env: vec![] };
        assert!(config.rewrite(&[rewrite], "f", &known()).is_err());
        assert!(!serde_json::to_string(plan).expect("JSON").contains(&token));
    }
}

#[test]
fn an_address_without_a_secret_is_left_alone() {
    for server in [
        r#"{"url": "https://a.example/mcp"}"#,
        r#"{"type": "http", "url": "https://a.example/mcp", "headers": {"X-Team": "blue"}}"#,
        r#"{"url": "https://a.example/mcp", "headers": {"Authorization": "Bearer ${TOKEN}"}}"#,
        r#"{"url": "https://a.example/mcp", "headers": {"Authorization": "Bearer <YOUR_TOKEN>"}}"#,
    ] {
        let config = read_text(&file(server));

        assert!(config.plan().is_empty(), "{server}");
        assert_eq!(wrapped(&config).text, file(server));
    }
}

#[test]
fn every_other_byte_of_the_file_stays() {
    let token = github_token();
    for newline in ["\n", "\r\n"] {
        let text = [
            "{",
            "  \"servers\": {",
            "    \"a\": {   // ours",
            "      \"type\": \"http\",",
            "      \"url\": \"https://a.example/mcp\",  /* there */",
            &format!("      \"headers\": {{ \"X-Api-Key\": \"{token}\" }},"),
            "      \"dev\": { \"watch\" : true },",
            "    },",
            "  },",
            "}",
            "",
        ]
        .join(newline);

        let done = wrapped(&read_text(&text));

        let started = format!("\"command\": \"/usr/bin/unsaid\",{newline}      \"args\": [\"mcp\", \"a\"]");
        let expected = text
            .replace("\"http\"", "\"stdio\"")
            .replace("\"url\": \"https://a.example/mcp\"", &started)
            .replace(&format!("      \"headers\": {{ \"X-Api-Key\": \"{token}\" }},{newline}"), "");
        assert_eq!(done.text, expected);
    }
}
