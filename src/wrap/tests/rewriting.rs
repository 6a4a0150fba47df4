use super::*;

fn vscode_file(token: &str, newline: &str) -> String {
    [
        "{",
        "  // the servers of this project",
        "  \"inputs\": [],",
        "  \"servers\": {",
        "    \"github\": {   // ours",
        "      \"type\": \"stdio\",",
        "      \"command\": \"npx\",",
        "      \"args\": [",
        "        \"-y\",",
        "        \"@modelcontextprotocol/server-github\"",
        "      ],",
        "      \"env\": {",
        "        /* plain */ \"LOG\": \"debug\",",
        &format!("        \"GITHUB_PERSONAL_ACCESS_TOKEN\": \"{token}\","),
        "        \"K\": \"${input:key}\"",
        "      },",
        "      \"dev\": { \"watch\" : true }",
        "    },",
        "    \"other\": { \"command\":\"y\" , \"args\":[ ] },",
        "  },",
        "}",
        "",
    ]
    .join(newline)
}

#[test]
fn a_server_is_wrapped_and_every_other_byte_stays() {
    let token = github_token();
    for newline in ["\n", "\r\n"] {
        let text = vscode_file(&token, newline);

        let done = wrapped(&read_text(&text));

        let expected = text
            .replace("\"npx\"", "\"/usr/bin/unsaid\"")
            .replace(
                &["[", "        \"-y\",", "        \"@modelcontextprotocol/server-github\"", "      ]"]
                    .join(newline),
                "[\"mcp\", \"github\"]",
            )
            .replace(&format!("        \"GITHUB_PERSONAL_ACCESS_TOKEN\": \"{token}\",{newline}"), "");
        assert_eq!(done.text, expected);
    }
}

#[test]
fn a_wrapped_file_has_an_empty_plan_and_changes_no_more() {
    let done = wrapped(&read_text(&vscode_file(&github_token(), "\n")));

    let again = read_text(&done.text);

    assert_eq!(again.servers()[0].kind, ServerKind::Wrapped { consumer: Some("github".into()) });
    assert!(again.plan().is_empty());
    let twice = wrapped(&again);
    assert_eq!((twice.text, twice.diff.as_str()), (done.text.clone(), ""));
    let same = Rewrite {
        server: 0,
        program: "/usr/bin/unsaid".into(),
        args: vec!["mcp".into(), "github".into()],
        remove_env: vec![],
    };
    let kept = again.rewrite(&[same], "f", &known()).expect("it is rewritten");
    assert!(kept.text.expose(|bytes| bytes == done.text.as_bytes()));
}

#[test]
fn a_secret_that_comes_back_into_a_wrapped_server_is_moved_again() {
    let token = github_token();
    let text = format!(
        r#"{{"mcpServers": {{"g": {{"command": "/opt/unsaid", "args": ["mcp", "g"], "env": {{"A_TOKEN": "{token}"}}}}}}}}"#
    );

    let config = read_text(&text);

    assert!(config.plan().servers[0].to_wrap);
    assert!(!wrapped(&config).text.contains(&token));
}

#[test]
fn our_own_server_is_left_alone() {
    let config =
        read_text(r#"{"mcpServers": {"unsaid": {"command": "/usr/bin/unsaid", "args": ["serve"]}}}"#);

    assert_eq!(config.plan().servers[0].kind, "unsaid");
    assert!(config.plan().is_empty());
}

#[test]
fn the_diff_shows_the_change_and_no_value() {
    let token = github_token();
    let secret = quiet("other");
    let text = format!(
        "{{\n  // was {token}\n  \"note\": \"see {token}\",\n  \"mcpServers\": {{\n    \"a\": {{\n      \"command\": \"npx\",\n      \"args\": [\"-y\", \"x\", \"--api-key={secret}\"],\n      \"env\": {{\n        \"A\": \"{token}\",\n        \"PLAIN\": \"anything\",\n        \"P_PASSWORD\": \"{secret}\"\n      }}\n    }},\n    \"b\": {{\n      \"url\": \"https://u:{secret}@b.example/\",\n      \"headers\": {{\n        \"X-Team\": \"{secret}\"\n      }}\n    }}\n  }},\n  \"apiKey\": \"{secret}\"\n}}\n"
    );

    let done = wrapped(&read_text(&text));

    assert!(!done.diff.contains(&token) && !done.diff.contains(&secret), "a value is in the diff");
    assert!(!done.diff.contains("anything"), "every value of env is hidden");
    for line in [
        "--- mcp.json",
        "+++ mcp.json",
        "-      \"command\": \"npx\",",
        "+      \"command\": \"/usr/bin/unsaid\",",
        "-      \"args\": [\"-y\", \"x\", \"--api-key=••••••\"],",
        "-        \"A\": \"••••••\",",
        "+        \"PLAIN\": \"••••••\"",
    ] {
        assert!(
            done.diff.lines().any(|shown| shown.trim_end_matches(',') == line.trim_end_matches(',')),
            "{line}\n{}",
            done.diff
        );
    }
    assert!(done.text.contains("\"PLAIN\": \"anything\""), "what is hidden is still there");
}

#[test]
fn a_file_in_one_line_stays_in_one_line_and_its_diff_is_cut() {
    let token = github_token();
    let filler = "x ".repeat(5_000);
    let text = format!(
        r#"{{"mcpServers":{{"s":{{"command":"x","env":{{"A":"{token}","B":"c"}}}}}},"filler":"{filler}"}}"#
    );

    let done = wrapped(&read_text(&text));

    assert_eq!(
        done.text,
        text.replace("\"x\",\"env\"", "\"/usr/bin/unsaid\", \"args\": [\"mcp\", \"s\"],\"env\"")
            .replace(&format!("\"A\":\"{token}\","), "")
    );
    assert!(done.diff.len() < 2_000);
}

#[test]
fn arguments_that_there_were_none_of_follow_the_command() {
    let text = "{\n\t\"mcpServers\": {\n\t\t\"s\": {\n\t\t\t\"command\": \"x\",\n\t\t\t\"env\": {\n\t\t\t\t\"A_TOKEN\": \"quiet-value\"\n\t\t\t}\n\t\t}\n\t}\n}";

    let done = wrapped(&read_text(text));

    assert_eq!(
        done.text,
        "{\n\t\"mcpServers\": {\n\t\t\"s\": {\n\t\t\t\"command\": \"/usr/bin/unsaid\",\n\t\t\t\"args\": [\"mcp\", \"s\"]\n\t\t}\n\t}\n}"
    );
}

#[test]
fn an_env_that_is_left_empty_goes_unless_somebody_wrote_into_it() {
    let token = github_token();
    let file = |env: &str| {
        format!(
            "{{\"mcpServers\": {{\"s\": {{\n  \"command\": \"x\",\n  \"args\": [],\n  \"env\": {env}\n}}}}}}"
        )
    };

    let gone = wrapped(&read_text(&file(&format!("{{ \"A\": \"{token}\" }}"))));
    let kept = wrapped(&read_text(&file(&format!("{{\n    // why\n    \"A\": \"{token}\"\n  }}"))));

    assert!(!gone.text.contains("env"), "{}", gone.text);
    assert!(kept.text.contains("\"env\": {\n    // why\n"), "{}", kept.text);
}

#[test]
fn an_older_zed_keeps_its_form() {
    let token = github_token();
    let text = format!(
        "// Zed settings\n{{\n  \"context_servers\": {{\n    \"notion\": {{\n      \"command\": {{\n        \"path\": \"npx\",\n        \"args\": [\"-y\", \"@notionhq/notion-mcp-server\"],\n        \"env\": {{ \"NOTION_TOKEN\": \"{token}\" }}\n      }},\n      \"settings\": {{}}\n    }},\n  }},\n}}\n"
    );

    let config = read_text(&text);
    let done = wrapped(&config);

    assert_eq!(config.servers()[0].definition.as_ref().expect("recognised").id, "notion");
    assert_eq!(
        done.text,
        "// Zed settings\n{\n  \"context_servers\": {\n    \"notion\": {\n      \"command\": {\n        \"path\": \"/usr/bin/unsaid\",\n        \"args\": [\"mcp\", \"notion\"]\n      },\n      \"settings\": {}\n    },\n  },\n}\n"
    );
}

#[test]
fn a_byte_order_mark_stays() {
    let text = format!(
        "\u{FEFF}{{\"mcpServers\": {{\"s\": {{\"command\": \"x\", \"env\": {{\"A\": \"{}\"}}}}}}}}",
        github_token()
    );

    let done = wrapped(&read_text(&text));

    assert!(done.text.starts_with("\u{FEFF}{\"mcpServers\""));
    assert_eq!(done.text.matches('\u{FEFF}').count(), 1);
}

#[test]
fn nothing_to_do_changes_nothing() {
    let text = " {\n\"mcpServers\" : { } } // end";

    let done = read_text(text).rewrite(&[], "f", &known()).expect("it is rewritten");

    assert!(done.diff.is_empty() && done.text.expose(|bytes| bytes == text.as_bytes()));
}

#[test]
fn the_servers_of_every_project_are_rewritten_where_they_stand() {
    let token = github_token();
    let server = format!(r#"{{"command": "x", "env": {{"A": "{token}"}}}}"#);
    let text = format!(
        r#"{{"projects": {{"/a": {{"mcpServers": {{"s": {server}}}}}, "/b": {{"mcpServers": {{"s": {server}}}}}}}, "mcpServers": {{"s": {server}}}}}"#
    );

    let config = read_text(&text);
    let done = wrapped(&config);

    let projects: Vec<_> = config.servers().iter().map(FoundServer::project).collect();
    assert_eq!(projects, [Some("/a"), Some("/b"), None]);
    assert!(!done.text.contains(&token));
    assert_eq!(json(&done.text)["projects"]["/b"]["mcpServers"]["s"]["args"][0], "mcp");
}

#[test]
fn a_diff_of_a_long_file_has_the_lines_around_the_change_only_and_their_numbers() {
    let token = github_token();
    let filler = format!("  \"far\": \"{}\",\n", "words and words ".repeat(3)).repeat(500);
    let server = format!("{{\n    \"command\": \"x\",\n    \"env\": {{\"A\": \"{token}\"}}\n  }}");
    let text =
        format!("{{\n{filler}  \"mcpServers\": {{\"s\": {server}}},\n{filler}  \"end\": \"{token}\"\n}}\n");

    let done = wrapped(&read_text(&text));

    assert!(done.diff.contains("@@ -500,"), "{}", done.diff);
    assert!(done.diff.lines().count() < 16 && done.diff.contains("words and words"), "{}", done.diff);
    assert!(!done.diff.contains(&token));
}
