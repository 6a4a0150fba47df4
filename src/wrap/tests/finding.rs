use super::*;

fn guess_of<'c>(config: &'c Config, server: usize, place: &Where) -> &'c FoundValue {
    config.servers()[server].values.iter().find(|value| value.place == *place).expect("it was found")
}

fn env(name: &str) -> Where {
    Where::Env(name.to_owned())
}

#[test]
fn the_value_of_a_defined_field_is_a_secret_of_its_service() {
    let token = quiet("anything");
    let text = format!(
        r#"{{"mcpServers": {{"gh": {{"command": "npx", "args": ["-y", "@modelcontextprotocol/server-github"],
            "env": {{"GITHUB_PERSONAL_ACCESS_TOKEN": "{token}", "LOG_LEVEL": "debug"}}}}}}}}"#
    );

    let config = read_text(&text);

    let found = guess_of(&config, 0, &env("GITHUB_PERSONAL_ACCESS_TOKEN"));
    assert_eq!(config.servers()[0].definition.as_ref().expect("recognised").id, "github");
    assert!(matches!(found.guess, Guess::Yes(_)) && found.fate == Fate::Moves);
    assert_eq!(found.service.as_deref(), Some("github"));
    assert!(found.value.expose(|value| value == token));
    assert!(matches!(guess_of(&config, 0, &env("LOG_LEVEL")).guess, Guess::No(_)));
}

#[test]
fn without_a_definition_name_and_shape_tell_a_secret_from_a_setting() {
    let cases = [
        ("ACME_API_KEY", quiet("abc"), true),
        ("acmeApiKey", quiet("abc"), true),
        ("DB_PASSWORD", "123456".to_owned(), true),
        ("PLAIN", github_token(), true),
        ("DATABASE_URL", format!("postgres://u:{}@h/db", quiet("pw")), true),
        ("CONNECTION_STRING", quiet("x"), true),
        ("HTTP_PROXY", format!("http://u:{}@proxy:8080", quiet("pw")), true),
        ("MAX_TOKENS", "4096".to_owned(), false),
        ("KEY_FILE", "/home/u/key.pem".to_owned(), false),
        ("PRIVATE_KEY", "~/keys/id.pem".to_owned(), false),
        ("AUTH_ENABLED", "true".to_owned(), false),
        ("AUTH_URL", "https://login.example/".to_owned(), false),
        ("API_TOKEN", "<YOUR_TOKEN>".to_owned(), false),
        ("API_TOKEN", "your-api-token".to_owned(), false),
        ("API_TOKEN", "xxxxxxxx".to_owned(), false),
        ("API_TOKEN", String::new(), false),
        ("NODE_ENV", "production".to_owned(), false),
        ("MONKEY", "banana".to_owned(), false),
    ];
    for (name, value, secret) in cases {
        let text =
            format!(r#"{{"mcpServers": {{"s": {{"command": "x", "env": {{"{name}": "{value}"}}}}}}}}"#);

        let config = read_text(&text);

        let guess = guess_of(&config, 0, &env(name)).guess;
        assert_eq!(matches!(guess, Guess::Yes(_)), secret, "{name}: {guess:?}");
    }
}

#[test]
fn a_known_key_is_a_secret_even_where_documentation_speaks() {
    let text =
        format!(r#"{{"mcpServers": {{"s": {{"command": "x", "env": {{"A": "{}"}}}}}}}}"#, github_token());

    assert!(matches!(guess_of(&read_text(&text), 0, &env("A")).guess, Guess::Yes(_)));
}

#[test]
fn references_are_left_alone_and_reported() {
    let token = github_token();
    let text = format!(
        r#"{{"mcpServers": {{"s": {{"command": "x", "env": {{
            "A_TOKEN": "${{A_TOKEN}}", "B_TOKEN": "${{env:B}}", "C_TOKEN": "${{input:c}}",
            "D_TOKEN": "${{D:-{token}}}", "E_TOKEN": "{token}${{X}}"}}}}}}}}"#
    );

    let config = read_text(&text);

    let plan = config.plan();
    let names: Vec<_> = plan.servers[0].references.iter().map(|value| value.name.as_str()).collect();
    assert_eq!(names, ["A_TOKEN", "B_TOKEN", "C_TOKEN", "D_TOKEN", "E_TOKEN"]);
    assert!(plan.is_empty());
    assert_eq!(plan.servers[0].notes.len(), 2, "{:?}", plan.servers[0].notes);
    assert!(!serde_json::to_string(&plan).expect("JSON").contains(&token));
}

#[test]
fn a_reserved_name_is_kept_and_reported() {
    let text = r#"{"mcpServers": {"s": {"command": "x", "env": {"LD_PRELOAD": "/opt/lib.so", "OPENAI_BASE_URL": "https://x.example"}}}}"#;

    let config = read_text(text);

    for name in ["LD_PRELOAD", "OPENAI_BASE_URL"] {
        let found = guess_of(&config, 0, &env(name));
        assert!(matches!(found.guess, Guess::No(_)) && matches!(found.fate, Fate::Stays(_)), "{name}");
    }
    assert_eq!(config.plan().servers[0].stays.len(), 2);
}

#[test]
fn numbers_and_switches_are_values_and_what_is_none_is_passed_over() {
    let text = r#"{"mcpServers": {"s": {"command": "x", "env": {"A_PASSWORD": 12345678, "B": true, "C": null, "D": {"x": 1}}}}}"#;

    let config = read_text(text);

    let found = guess_of(&config, 0, &env("A_PASSWORD"));
    assert!(matches!(found.guess, Guess::Yes(_)) && found.value.expose(|value| value == "12345678"));
    assert!(matches!(guess_of(&config, 0, &env("B")).guess, Guess::No(_)));
    assert_eq!(config.servers()[0].values.len(), 2);
    assert_eq!(config.servers()[0].notes.len(), 1);
}

#[test]
#[rustfmt::skip]
fn secrets_in_arguments_are_found_and_the_server_is_started_without_them() {
    let value = quiet("value");
    let url = format!("postgres://u:{value}@127.0.0.1/db");
    let bearer = format!("Authorization: Bearer {value}");
    let token = github_token();
    for (args, started, fates) in [
        (vec!["npx", "-y", "figma-developer-mcp", &format!("--figma-api-key={value}"), "--stdio"],
         vec!["npx", "-y", "figma-developer-mcp", "--stdio"], vec![Fate::Becomes("FIGMA_API_KEY".into())]),
        (vec!["npx", "@upstash/context7-mcp", "--api-key", &value],
         vec!["npx", "@upstash/context7-mcp"], vec![Fate::Becomes("CONTEXT7_API_KEY".into())]),
        (vec!["x", "--token", &value, "--verbose"],
         vec!["x", "--token", "{S_TOKEN}", "--verbose"], vec![Fate::Argument("S_TOKEN".into())]),
        (vec!["x", &format!("--db-password={value}")],
         vec!["x", "--db-password={S_DB_PASSWORD}"], vec![Fate::Argument("S_DB_PASSWORD".into())]),
        (vec!["npx", "-y", "@modelcontextprotocol/server-postgres", &url],
         vec!["npx", "-y", "@modelcontextprotocol/server-postgres", "{DATABASE_URL}"], vec![Fate::Argument("DATABASE_URL".into())]),
        (vec!["x", "--dsn", &url], vec!["x", "--dsn", "{S_DSN}"], vec![Fate::Argument("S_DSN".into())]),
        (vec!["x", &url, &token],
         vec!["x", "{S_URL}", "{S_ARGUMENT}"], vec![Fate::Argument("S_URL".into()), Fate::Argument("S_ARGUMENT".into())]),
        (vec!["docker", "run", "-i", "-e", &format!("GITHUB_PERSONAL_ACCESS_TOKEN={value}"), "ghcr.io/github/github-mcp-server"],
         vec!["docker", "run", "-i", "-e", "GITHUB_PERSONAL_ACCESS_TOKEN", "ghcr.io/github/github-mcp-server"],
         vec![Fate::Becomes("GITHUB_PERSONAL_ACCESS_TOKEN".into())]),
        (vec!["docker", "run", &format!("--env=A_TOKEN={value}"), "mine"],
         vec!["docker", "run", "--env=A_TOKEN", "mine"], vec![Fate::Becomes("A_TOKEN".into())]),
        (vec!["npx", "mcp-remote", "https://mcp.linear.app/mcp", "--header", &bearer],
         vec!["npx", "mcp-remote", "https://mcp.linear.app/mcp", "--header", "Authorization: Bearer ${LINEAR_API_KEY}"],
         vec![Fate::Becomes("LINEAR_API_KEY".into())]),
        (vec!["npx", "mcp-remote", "https://x.example/mcp", "--header", &bearer],
         vec!["npx", "mcp-remote", "https://x.example/mcp", "--header", "Authorization: Bearer ${S_TOKEN}"],
         vec![Fate::Becomes("S_TOKEN".into())]),
        (vec!["x", "--header", &bearer],
         vec!["x", "--header", "Authorization: {S_AUTHORIZATION}"], vec![Fate::Argument("S_AUTHORIZATION".into())]),
        (vec!["x", "--max-tokens", "400", "--port=80", "https://example.com/a?b=c"],
         vec!["x", "--max-tokens", "400", "--port=80", "https://example.com/a?b=c"], vec![]),
    ] {
        let file = serde_json::json!({ "mcpServers": { "s": { "command": args[0], "args": &args[1..] } } });

        let config = read_text(&file.to_string());

        let server = &config.servers()[0];
        let found: Vec<_> = server.values.iter().map(|value| value.fate.clone()).collect();
        assert_eq!(found, fates, "{started:?}");
        let launch = server.launch().expect("it can be started");
        let words: Vec<_> = std::iter::once(launch.command.as_str()).chain(launch.args.iter().map(String::as_str)).collect();
        assert_eq!(words, started);
        for found in &server.values {
            assert!(found.value.expose(|found| [&value, &url, &token].contains(&&found.to_owned()) || found == format!("Bearer {value}")));
        }
        assert!(!format!("{launch:?} {server:?} {}", serde_json::to_string(&config.plan()).expect("JSON")).contains(&value));
    }
}

#[test]
fn a_variable_that_is_given_already_is_not_given_twice() {
    let value = quiet("value");
    let text = format!(
        r#"{{"mcpServers": {{"s": {{"command": "npx", "args": ["figma-developer-mcp", "--figma-api-key={value}"],
            "env": {{"FIGMA_API_KEY": "{value}2"}}}}}}}}"#
    );

    let config = read_text(&text);

    let names: Vec<_> = config.servers()[0].movable().filter_map(FoundValue::credential_name).collect();
    assert_eq!(names, ["FIGMA_API_KEY", "S_FIGMA_API_KEY"]);
}

#[test]
fn a_reference_among_the_arguments_keeps_a_server_where_it_is() {
    let token = github_token();
    for (args, command) in [
        (r#"["${workspaceFolder}/server.js"]"#, "node"),
        (r#"["--token", "${input:x}"]"#, "x"),
        (r#"["--token=${TOKEN}"]"#, "x"),
        (r#"["-e", "T_TOKEN=${T}", "image"]"#, "docker"),
        (r#"["run"]"#, "${userHome}/bin/x"),
    ] {
        let text = format!(
            r#"{{"servers": {{"s": {{"command": "{command}", "args": {args}, "env": {{"A": "{token}"}}}}}}}}"#
        );
        let text = if command == "docker" { text.replace("[\"-e\"", "[\"run\", \"-e\"") } else { text };

        let config = read_text(&text);

        let plan = &config.plan().servers[0];
        assert!(!plan.to_wrap && plan.obstacles.len() == 1, "{args}: {plan:?}");
        assert!(config.servers()[0].launch().is_err());
        let rewrite =
            Rewrite { server: 0, program: "unsaid".into(), args: vec!["mcp".into()], remove_env: vec![] };
        assert!(config.rewrite(&[rewrite], "f", &known()).is_err());
    }
}

#[test]
fn a_command_that_is_a_whole_line_with_a_secret_is_reported() {
    let value = quiet("value");
    let line = format!("npx -y mcp-remote https://mcp.tavily.com/mcp/?tavilyApiKey={value}");
    let text = serde_json::json!({ "mcpServers": { "tavily": { "command": line } } }).to_string();

    let config = read_text(&text);

    let plan = &config.plan().servers[0];
    assert_eq!((plan.to_wrap, plan.cannot[0].name.as_str()), (false, "the command"));
    assert!(!serde_json::to_string(&plan).expect("JSON").contains(&value));
}

#[test]
fn the_secrets_of_a_remote_server_are_reported_with_what_can_be_done() {
    let value = quiet("value");
    let text = format!(
        r#"{{"mcpServers": {{
            "a": {{"type": "http", "url": "https://a.example/mcp", "headers": {{"Authorization": "Bearer {value}", "X-Api-Key": "${{input:key}}", "X-Acme-Version": "2"}}}},
            "b": {{"serverUrl": "https://b.example/mcp?apiKey={value}"}},
            "c": {{"url": "https://u:{value}@c.example/mcp"}},
            "d": {{"url": "https://d.example/mcp"}}}}}}"#
    );

    let config = read_text(&text);

    let plan = config.plan();
    let cannot: Vec<_> =
        plan.servers.iter().map(|s| s.cannot.iter().map(|v| v.name.as_str()).collect::<Vec<_>>()).collect();
    assert_eq!(cannot, [vec!["Authorization"], vec!["the address"], vec!["the address"], vec![]]);
    assert!(plan.servers[0].cannot[0].why.contains("OAuth"));
    assert_eq!(plan.servers[0].references[0].name, "X-Api-Key");
    assert!(plan.is_empty() && plan.servers.iter().all(|server| server.kind == "remote"));
    assert!(!serde_json::to_string(&plan).expect("JSON").contains(&value));
}

#[test]
fn each_client_keeps_its_servers_somewhere_else() {
    let server = r#"{"command": "x", "env": {"A_TOKEN": "quiet-value"}}"#;
    for (file, client, paths) in [
        (format!(r#"{{"mcpServers": {{"s": {server}}}}}"#), Client::ClaudeDesktop, vec!["mcpServers/s"]),
        (
            format!(
                r#"{{"mcpServers": {{"s": {server}}}, "projects": {{"/p": {{"mcpServers": {{"t": {server}}}}}, "/q": {{}}}}}}"#
            ),
            Client::ClaudeCode,
            vec!["mcpServers/s", "projects//p/mcpServers/t"],
        ),
        (format!(r#"{{"mcpServers": {{"s": {server}}}}}"#), Client::Cursor, vec!["mcpServers/s"]),
        (format!(r#"{{"servers": {{"s": {server}}}, "inputs": []}}"#), Client::VsCode, vec!["servers/s"]),
        (
            format!(r#"{{"editor.fontSize": 12, "mcp": {{"servers": {{"s": {server}}}}}}}"#),
            Client::VsCode,
            vec!["mcp/servers/s"],
        ),
        (format!(r#"{{"mcp.servers": {{"s": {server}}}}}"#), Client::VsCode, vec!["mcp.servers/s"]),
        (format!(r#"{{"mcpServers": {{"s": {server}}}}}"#), Client::Windsurf, vec!["mcpServers/s"]),
        (
            format!("// Zed\n{{\"theme\": \"x\", \"context_servers\": {{\"s\": {server},}},}}"),
            Client::Zed,
            vec!["context_servers/s"],
        ),
    ] {
        for asked in [Some(client), None] {
            let config = read(file.as_bytes(), asked, &known()).expect("the file is good");

            let found: Vec<_> = config.servers().iter().map(|server| server.path.join("/")).collect();
            assert_eq!(found, paths, "{client:?}");
            assert!(config.plan().servers.iter().all(|server| server.to_wrap));
        }
    }
}

#[test]
fn a_file_of_another_kind_has_no_servers() {
    for text in [
        "",
        "{}",
        "// nothing\n",
        r#"{"name": "x", "servers": {"a": 1}}"#,
        r#"{"servers": ["a"]}"#,
        r#"{"mcpServers": null}"#,
    ] {
        assert!(read_text(text).servers().is_empty(), "{text}");
    }
}

#[test]
fn the_file_tells_its_client_where_the_name_does() {
    let of = |path: &str| Client::of_file(std::path::Path::new(path));

    assert_eq!(of("/h/.cursor/mcp.json"), Some(Client::Cursor));
    assert_eq!(of("/h/x/.vscode/mcp.json"), Some(Client::VsCode));
    assert_eq!(of("/h/.config/zed/settings.json"), Some(Client::Zed));
    assert_eq!(of("/h/.claude.json"), Some(Client::ClaudeCode));
    assert_eq!(of("/h/settings.json"), None);
    for agent in ["claude-desktop", "claude-code", "cursor", "vscode", "windsurf", "zed"] {
        assert!(Client::of_agent(agent).is_some() && crate::services::agents::find_agent(agent).is_some());
    }
}

#[test]
fn what_else_holds_a_secret_is_noted_with_its_line() {
    let token = github_token();
    let text = format!(
        "{{\n// old: {token}\n\"inputs\": [{{\"id\": \"k\", \"default\": \"{token}\"}}],\n\"servers\": {{\"s\": {{\n\"command\": \"x\",\n\"envFile\": \".env\",\n\"settings\": {{\"api_key\": \"{token}\"}}}}}}}}"
    );

    let plan = read_text(&text).plan();

    assert!(plan.notes.iter().any(|note| note.starts_with("line 2: a comment")), "{:?}", plan.notes);
    assert!(plan.notes.iter().any(|note| note.starts_with("line 3: ")));
    assert!(plan.servers[0].notes[0].starts_with("line 6: its envFile"));
    assert!(plan.servers[0].notes[1].starts_with("line 7: its settings"));
    assert!(!serde_json::to_string(&plan).expect("JSON").contains(&token));
}

#[test]
fn a_name_becomes_one_that_a_consumer_can_have() {
    for (name, consumer) in [
        ("GitHub MCP", "github-mcp"),
        ("a/b.c", "a-b-c"),
        ("__proto__", "proto"),
        ("世界", "server"),
        ("", "server"),
    ] {
        let text = serde_json::json!({ "mcpServers": { name: { "command": "x" } } }).to_string();

        assert_eq!(read_text(&text).servers()[0].suggested_consumer(), consumer, "{name}");
    }
}
