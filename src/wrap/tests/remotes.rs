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
        r#"{{"url": "https://mcp.linear.app/mcp", "headers": {{"Authorization": "Bearer {value}", "X-Acme-Version": "2024-11-05", "Accept": "*/*"}}}}"#
    )));

    let remote = config.servers()[0].remote().expect("it can be reached");

    let lines: Vec<_> = remote.headers.iter().map(|(name, line)| format!("{name} {line}")).collect();
    assert_eq!(
        lines,
        ["LINEAR_API_KEY Authorization: Bearer {value}", "S_X_ACME_VERSION X-Acme-Version: 2024-11-05"]
    );
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
        (format!(r#"{{"url": 5, "serverUrl": "https://a.example/mcp", {bearer}}}"#), "its url is not a text"),
        (
            format!(r#"{{"serverUrl": "https://a.example/mcp", "url": null, {bearer}}}"#),
            "its url is not a text",
        ),
        (
            format!(r#"{{"url": "https://a.example/mcp", "httpUrl": ["x"], {bearer}}}"#),
            "its httpUrl is not a text",
        ),
        (
            format!(
                r#"{{"url": "https://a.example/mcp", "headers": {{"Authorization": "Bearer {token}", "X-Key": "<YOUR_KEY>"}}}}"#
            ),
            "its header X-Key is not filled in yet",
        ),
        (
            format!(
                r#"{{"url": "https://a.example/mcp", "headers": {{"Authorization": "Bearer {token}", "X-Team": "blue"}}}}"#
            ),
            "its header X-Team cannot be sent elsewhere: its value is too short",
        ),
        (
            format!(
                r#"{{"url": "https://a.example/mcp", "headers": {{"Authorization": "Bearer {token}", "{token}": "x-y-z-a"}}}}"#
            ),
            "its name looks like a secret itself",
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

fn with_headers(headers: serde_json::Value) -> String {
    let server = serde_json::json!({ "url": "https://a.example/mcp", "headers": headers });
    file(&server.to_string())
}

#[test]
fn every_header_is_a_credential_unless_it_is_known_to_be_plain() {
    for (name, value) in [
        ("X-Session", "sesame-open-hunter2"),
        ("X-Acme-Login", "mia:s3same-2024"),
        ("X-Pin-Code", "48213377"),
        ("X-Api-Key", "48213377"),
        ("Authorization", "48213377"),
        ("X-Signing", "correct.horse.battery"),
        ("X-Team", "blue-team"),
        ("X-Key-File", "/home/u/key.pem"),
        ("X-Token-Version", "2024-11-05"),
        ("X-Session-Version", "48213377"),
        ("X-Acme-Version", "sesame-open"),
        ("User-Agent", "Bearer hunter22hunter22"),
    ] {
        let config = read_text(&with_headers(serde_json::json!({ name: value })));

        let server = &config.servers()[0];
        let moves: Vec<_> = server.movable().map(|found| found.value.expose(str::to_owned)).collect();
        assert!(moves == [value] || moves == ["hunter22hunter22"], "{name}: {moves:?}");
        let remote = server.remote().expect("it can be reached");
        let shown = format!("{remote:?} {}", serde_json::to_string(&config.plan()).expect("JSON"));
        assert!(!shown.contains(value) && shown.contains("{value}"), "{name}: {shown}");
    }
    for (name, value) in [
        ("User-Agent", "acme/1.2 (linux)"),
        ("X-Acme-Version", "2024-11-05"),
        ("Notion-Version", "v2.1-beta"),
        ("X-MCP-Readonly", "true"),
        ("X-MCP-Toolsets", "repos,issues"),
        ("X-Acme-Trace", "off"),
    ] {
        let config =
            read_text(&with_headers(serde_json::json!({ "Authorization": quiet("v"), name: value })));

        let remote = config.servers()[0].remote().expect("it can be reached");
        assert_eq!(config.servers()[0].movable().count(), 1, "{name}");
        assert_eq!(remote.headers[1].1, format!("{name}: {value}"));
    }
}

#[test]
fn a_definition_says_of_its_own_headers_which_are_plain() {
    let folder = tempfile::tempdir().expect("a folder");
    let field = |id: &str| {
        format!(
            "[[fields]]\nid = \"{id}\"\nin = \"header\"\nlabel = \"X\"\ntype = \"text\"\nvariable = \"MINE_X\"\n"
        )
    };
    let text = format!(
        "id = \"mine\"\nname = \"Mine\"\ndescription = \"Ours.\"\ndocs_url = \"https://a.example/docs\"\nconfidence = \"low\"\nchecked = \"2026-06-01\"\nsource = \"https://a.example/docs\"\n[transport]\ntype = \"http\"\nurl = \"https://a.example/mcp\"\n{}",
        field("X-Team")
    );
    std::fs::write(folder.path().join("mine.toml"), text).expect("it is written");
    let servers = Servers::with_folder(folder.path(), Catalogue::embedded()).expect("it is read");
    let known = Knowledge { servers: &servers, ..known() };
    let read_with = |team: &str| {
        let file = with_headers(serde_json::json!({ "X-Other": "other-text", "X-Team": team }));
        read(file.as_bytes(), None, &known).expect("the file is good")
    };

    let remote = read_with("blue").servers()[0].remote().expect("it can be reached");
    assert_eq!(remote.headers[1].1, "X-Team: blue");

    // What the definition does not name is a credential, and so is what looks like a key.
    assert_eq!(remote.headers[0].1, "X-Other: {value}");
    let remote = read_with(&github_token()).servers()[0].remote().expect("it can be reached");
    assert_eq!(remote.headers[1].1, "X-Team: {value}");
}

#[test]
fn an_address_that_nobody_can_guess_keeps_a_server_where_it_is() {
    let bearer = quiet("value");
    let with = |url: &str| {
        let headers = serde_json::json!({ "Authorization": format!("Bearer {bearer}") });
        file(&serde_json::json!({ "url": url, "headers": headers }).to_string())
    };
    for part in [
        "NmUzYjM0ZTUtOWYxZC00YzJiLWE3ZTgtQ2xlYXJTZWNyZXQ5",
        "6e3b34e5-9f1d-4c2b-a7e8-0123456789ab",
        "9f1d4c2ba7e80123",
        "aB3dE6gH9kLm",
        "q7w3e9r1t5y2u8i4o6p0",
        &github_token(),
    ] {
        for url in [
            format!("https://a.example/api/mcp/s/{part}/mcp"),
            format!("https://a.example/mcp;s={part}"),
            format!("https://a.example/mcp?profile={part}"),
        ] {
            let config = read_text(&with(&url));

            let plan = &config.plan().servers[0];
            assert!(!plan.to_wrap && plan.obstacles[0].contains("its address holds a secret: "), "{url}");
            assert!(plan.cannot.iter().any(|value| value.name == "the address"), "{plan:?}");
            assert!(config.servers()[0].remote().is_err());
            assert!(!serde_json::to_string(plan).expect("JSON").contains(part));
        }
        let args = serde_json::json!(["-y", "mcp-remote", format!("https://a.example/s/{part}/mcp")]);
        let program = file(&serde_json::json!({ "command": "npx", "args": args }).to_string());
        let launch = read_text(&program).servers()[0].launch().expect("it can be started");
        assert_eq!(launch.placeholders.len(), 1, "{:?}", launch.args);
    }
    for url in [
        "https://api.githubcopilot.com/mcp/",
        "https://mcp.example.com/v1beta1/organizations/acme-inc/streamable-http",
        "https://mcp.example.com/projects/123456789012/locations/europe-west4/mcp?read_only=true",
        "https://a.example/mcp?version=2024-11-05&toolsets=repos,issues",
        "http://localhost:7777/mcp",
    ] {
        assert!(read_text(&with(url)).plan().servers[0].to_wrap, "{url}");
    }
}

#[test]
fn a_number_behind_a_key_of_the_query_is_a_secret() {
    for (query, is_secret) in
        [("api_key=48213377", true), ("token=48213377", true), ("max_tokens=400", false)]
    {
        let text = with_headers(serde_json::json!({ "X-Key": quiet("v") }));
        let plan = read_text(&text.replace("/mcp\"", &format!("/mcp?{query}\""))).plan();

        assert_eq!(!plan.servers[0].to_wrap, is_secret, "{query}");
        assert!(!serde_json::to_string(&plan).expect("JSON").contains("48213377"));
    }
}

#[test]
fn the_plan_says_what_stays_and_what_leaves_the_file_and_for_where() {
    let names = |values: &[PlannedValue]| values.iter().map(|v| v.name.clone()).collect::<Vec<_>>();
    let headers = serde_json::json!({
        "Authorization": quiet("v"), "X-Acme-Version": "2", "Accept": "*/*", "X-Empty": "",
    });

    let plan = &read_text(&with_headers(headers.clone())).plan().servers[0];
    assert_eq!(names(&plan.moves), ["Authorization"]);
    assert_eq!(names(&plan.plain), ["the address", "X-Acme-Version"]);
    assert_eq!(names(&plan.dropped), ["Accept", "X-Empty"]);
    assert!(plan.stays.is_empty() && plan.cannot.is_empty());

    // What is not rewritten keeps all that it has.
    let text = with_headers(headers).replace("\"url\"", "\"oauth\": {}, \"url\"");
    let plan = &read_text(&text).plan().servers[0];
    assert!(plan.moves.is_empty() && plan.plain.is_empty() && plan.dropped.is_empty(), "{plan:?}");
    assert_eq!(names(&plan.stays), ["Accept", "X-Acme-Version", "X-Empty"]);
    assert_eq!(names(&plan.cannot), ["Authorization"]);
}

#[test]
fn an_address_without_a_secret_is_left_alone() {
    for server in [
        r#"{"url": "https://a.example/mcp"}"#,
        r#"{"type": "http", "url": "https://a.example/mcp", "headers": {"X-Acme-Version": "2"}}"#,
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
