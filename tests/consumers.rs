//! A person gives agents and servers what they are bound to: on the command line, with the real binary.
use crate::support::shell::Shell;
use std::process::Command;
use std::time::Duration;

/// Made here, so that nothing that looks live stands in the source.
fn live(letter: &str) -> String {
    format!("ghp_{}", letter.repeat(4) + &"aB3dE6gH".repeat(4))
}

/// A person at the terminal agrees.
fn registered(shell: &Shell, args: &[&str]) {
    let mut screen = shell.at_terminal(&[&["consumer", "add"], args].concat());
    screen.take_challenge();
    let (code, text) = screen.end();
    assert_eq!(code, 0, "{text}");
}

#[test]
fn a_server_starts_with_what_it_is_bound_to_and_what_it_repeats_is_masked() {
    let (shell, value) = (Shell::new(), live("x"));
    shell.ok(&["set", "GITHUB_TOKEN"], &value);
    shell.ok(&["set", "OTHER_TOKEN"], &live("y"));
    let script = "echo $GH $LEVEL; test ${#GH} = 40 && test -z \"$OTHER_TOKEN\" && echo right";
    let bind = ["github", "--bind", "GH=GITHUB_TOKEN", "--text", "LEVEL=debug", "--", "sh", "-c", script];
    registered(&shell, &bind);

    let started = shell.run(&["mcp", "github"], "");

    assert_eq!((started.code, started.out.as_str()), (0, "[unsaid:GITHUB_TOKEN] debug\nright\n"));
    for args in [&["consumer", "list"][..], &["consumer", "show", "github"], &["log", "export"], &["doctor"]]
    {
        let done = shell.run(args, "");
        assert!(!format!("{}{}", done.out, done.err).contains(&value), "{args:?}");
    }
}

#[test]
fn what_is_missing_stops_the_start_before_anything_runs() {
    let shell = Shell::new();
    registered(&shell, &["bot", "--bind", "A_KEY", "--bind", "B_KEY?", "--", "touch", "ran"]);

    let refused = shell.run(&["mcp", "bot"], "");

    assert_eq!((refused.code, refused.error()), (125, "unresolved"));
    assert!(refused.err.contains("A_KEY") && refused.err.contains("unsaid set A_KEY"), "{}", refused.err);
    assert!(!refused.err.contains("B_KEY"), "{}", refused.err);
    assert!(!shell.folder().join("ran").exists());
    assert_eq!(shell.run(&["mcp", "nobody"], "").error(), "consumer_not_found");
    let without = shell.run(&["run", "--consumer", "nobody", "--only", "A_KEY", "--", "true"], "");
    assert_eq!(without.code, 125);
}

#[test]
fn nothing_is_bound_where_nobody_can_be_asked() {
    let shell = Shell::new();

    for args in [
        &["consumer", "add", "bot", "--bind", "A_KEY"][..],
        &["consumer", "add", "bot", "--", "sh"],
        &["consumer", "add", "bot", "--server", "github"],
        &["consumer", "add", "bot", "--text", "LEVEL=debug"],
    ] {
        let refused = shell.run(args, "");
        assert_eq!((refused.code, refused.error()), (3, "approval_required"), "{args:?}");
    }
    assert_eq!(shell.run(&["consumer", "show", "bot"], "").error(), "consumer_not_found");
}

#[test]
fn a_known_server_needs_its_name_alone() {
    let shell = Shell::new();

    registered(&shell, &["gh", "--server", "github"]);

    let shown = shell.ok(&["consumer", "show", "gh"], "");
    assert!(shown.contains("@modelcontextprotocol/server-github"), "{shown}");
    assert!(shown.contains("GITHUB_PERSONAL_ACCESS_TOKEN"), "{shown}");
    assert_eq!(shell.run(&["consumer", "add", "x", "--server", "no-such"], "").error(), "service_not_found");
    // It takes its secret as an argument, where every process could read it.
    let argument = shell.run(&["consumer", "add", "x", "--server", "postgres"], "");
    assert!(argument.err.contains("argument"), "{}", argument.err);
}

/// Waits until the program's file has this line.
fn seen(shell: &Shell, name: &str, line: &str) -> bool {
    let until = std::time::Instant::now() + Duration::from_secs(20);
    while std::time::Instant::now() < until {
        let text = std::fs::read_to_string(shell.folder().join(name)).unwrap_or_default();
        if text.lines().any(|l| l == line) {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}

#[test]
fn a_replaced_value_starts_the_program_again_where_it_asks_for_that() {
    let shell = Shell::new();
    shell.ok(&["set", "A_KEY"], &live("x"));
    // Sees its value by its end, which says nothing.
    let script = "echo \"start ${A_KEY#ghp_}\" | cut -c1-7 >> seen; while [ ! -e done ]; do sleep 0.05; done";

    std::thread::scope(|all| {
        let run =
            all.spawn(|| shell.run(&["run", "--only", "A_KEY", "--watch", "--", "sh", "-c", script], ""));
        assert!(seen(&shell, "seen", "start x"));
        shell.ok(&["set", "A_KEY"], &live("y"));
        assert!(seen(&shell, "seen", "start y"));
        shell.file("done", "");
        let done = run.join().unwrap();
        assert_eq!(done.code, 0, "{}", done.err);
        assert!(done.err.contains("started again"), "{}", done.err);
    });
}

#[test]
fn who_ends_it_while_the_program_is_started_again_is_obeyed() {
    let shell = Shell::new();
    shell.ok(&["set", "A_KEY"], &live("x"));
    let script = "trap 'echo told >> seen; while [ ! -e done ]; do sleep 0.05; done; exit 0' TERM; \
                  echo $PPID > parent; echo up >> seen; while [ ! -e done ]; do sleep 0.05; done";

    std::thread::scope(|all| {
        let run =
            all.spawn(|| shell.run(&["run", "--only", "A_KEY", "--watch", "--", "sh", "-c", script], ""));
        assert!(seen(&shell, "seen", "up"));
        shell.ok(&["set", "A_KEY"], &live("y"));
        assert!(seen(&shell, "seen", "told"));
        let parent = std::fs::read_to_string(shell.folder().join("parent")).unwrap();
        assert!(Command::new("kill").arg(parent.trim()).status().unwrap().success());
        std::thread::sleep(Duration::from_millis(600));
        shell.file("done", "");
        let done = run.join().unwrap();
        assert!(!done.err.contains("started again"), "{}", done.err);
    });
    assert_eq!(std::fs::read_to_string(shell.folder().join("seen")).unwrap().matches("up").count(), 1);
}

#[test]
fn a_replaced_value_is_in_the_file_before_the_signal_comes_and_masked_from_then_on() {
    let shell = Shell::new();
    shell.ok(&["set", "A_KEY"], &live("x"));
    let script = "trap 'cut -c5 < $A_KEY >> seen; cat $A_KEY; echo' HUP; echo up >> seen; while [ ! -e done ]; do sleep 0.05; done";

    let args = ["run", "--only", "A_KEY", "--file", "A_KEY", "--watch=HUP", "--", "sh", "-c", script];
    std::thread::scope(|all| {
        let run = all.spawn(|| shell.run(&args, ""));
        assert!(seen(&shell, "seen", "up"));
        shell.ok(&["set", "A_KEY"], &live("y"));
        assert!(seen(&shell, "seen", "y"));
        shell.file("done", "");
        let done = run.join().unwrap();
        assert_eq!((done.code, done.out.as_str()), (0, "[unsaid:A_KEY]\n"), "{}", done.err);
    });
}

#[test]
fn a_program_keeps_what_it_has_where_nothing_else_could_be_handed_over() {
    let shell = Shell::new();
    shell.ok(&["set", "A_KEY"], &live("x"));
    let script = "echo up >> seen; while [ ! -e done ]; do sleep 0.05; done";

    std::thread::scope(|all| {
        let run =
            all.spawn(|| shell.run(&["run", "--only", "A_KEY", "--watch", "--", "sh", "-c", script], ""));
        assert!(seen(&shell, "seen", "up"));
        shell.ok(&["rm", "A_KEY", "--yes"], "");
        std::thread::sleep(Duration::from_millis(600));
        shell.file("done", "");
        let done = run.join().unwrap();
        assert_eq!(done.code, 0);
        assert!(done.err.contains("keeps the values it has"), "{}", done.err);
    });
}

#[test]
fn a_configuration_is_wrapped_after_a_diff_and_a_challenge_and_put_back_byte_for_byte() {
    let (shell, value) = (Shell::new(), live("x"));
    let before = format!(
        "{{\n  // mine\n  \"mcpServers\": {{\n    \"gh\": {{ \"command\": \"sh\", \"args\": [\"-c\", \"echo $GITHUB_TOKEN\"],\n      \"env\": {{ \"GITHUB_TOKEN\": \"{value}\", \"LEVEL\": \"debug\" }} }}\n  }}\n}}\n"
    );
    let path = shell.file("mcp.json", &before);
    let file = path.to_str().unwrap();

    let dry = shell.run(&["mcp-config", "--wrap", file, "--dry-run"], "");
    assert!(dry.code == 0 && !dry.err.contains(&value) && dry.err.contains("+++ mcp.json"), "{}", dry.err);
    let nobody = shell.run(&["mcp-config", "--wrap", file], "");
    assert_eq!(nobody.error(), "needs_terminal");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), before);
    assert_eq!(shell.run(&["consumer", "show", "gh"], "").error(), "consumer_not_found");

    let mut screen = shell.at_terminal(&["mcp-config", "--wrap", file, "--scope", "personal"]);
    screen.take_challenge();
    let (code, text) = screen.end();
    assert!(code == 0 && !text.contains(&value), "{text}");
    let wrapped = std::fs::read_to_string(&path).unwrap();
    assert!(!wrapped.contains(&value) && wrapped.contains("// mine") && wrapped.contains("\"mcp\", \"gh\""));
    assert_eq!(shell.run(&["mcp", "gh"], "").out, "[unsaid:GITHUB_TOKEN]\n");
    assert_eq!(shell.run(&["mcp-config", "--wrap", file], "").error(), "nothing_to_do");

    shell.ok(&["mcp-config", "--undo", file], "");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), before);
    // What stood there until then may have been edited: it is kept until it is wiped.
    shell.ok(&["mcp-config", "--forget", file], "");
    assert_eq!(shell.run(&["mcp-config", "--forget", file], "").error(), "nothing_to_do");
    let left: Vec<_> = std::fs::read_dir(shell.folder())
        .unwrap()
        .filter_map(|e| e.unwrap().file_name().into_string().ok())
        .collect();
    assert!(!left.iter().any(|name| name.contains("backup")), "{left:?}");
}

/// A configuration with servers that have one variable each.
fn clients_file(shell: &Shell, servers: &[(&str, &str, &str)]) -> String {
    let servers: serde_json::Map<String, serde_json::Value> = servers
        .iter()
        .map(|(name, variable, value)| {
            let server =
                serde_json::json!({ "command": "sh", "args": ["-c", "env"], "env": { *variable: value } });
            ((*name).to_owned(), server)
        })
        .collect();
    let text = serde_json::json!({ "mcpServers": servers }).to_string();
    shell.file("mcp.json", &text).to_str().unwrap().to_owned()
}

#[test]
fn a_wrap_asks_where_and_under_which_names_and_says_what_it_did_not_understand() {
    let (shell, one, two) = (Shell::new(), live("x"), live("y"));
    let file = clients_file(&shell, &[("a", "GITHUB_TOKEN", &one), ("b", "GITHUB_TOKEN", &two)]);

    let mut screen = shell.at_terminal(&["mcp-config", "--wrap", &file]);
    screen.until("[personal] ");
    screen.keys("\r");
    let told = screen.until("to keep these: ");
    // Two values of one variable are two credentials: the second has another name, which is shown.
    assert!(told.contains("GITHUB_TOKEN as GITHUB_TOKEN_B"), "{told}");
    screen.keys("GITLAB_TOKEN=OTHER\r");
    screen.until("names a value that does not move");
    screen.keys("GITHUB_TOKEN_B=WORK_TOKEN\r");
    screen.until("GITHUB_TOKEN as WORK_TOKEN");
    std::thread::sleep(Duration::from_millis(50));
    screen.keys("\r");
    screen.take_challenge();
    let (code, text) = screen.end();

    assert!(code == 0 && !text.contains(&one) && !text.contains(&two), "{text}");
    let all: serde_json::Value = serde_json::from_str(&shell.ok(&["list", "--json"], "")).unwrap();
    let names: Vec<_> = all["credentials"].as_array().unwrap().iter().map(|c| c["name"].clone()).collect();
    assert_eq!(names, ["GITHUB_TOKEN", "WORK_TOKEN"]);
    assert!(shell.run(&["mcp", "b"], "").out.contains("GITHUB_TOKEN=[unsaid:WORK_TOKEN]"));
}

#[test]
fn a_value_that_the_vault_has_under_its_name_is_bound_and_not_kept_twice() {
    let (shell, value) = (Shell::new(), live("x"));
    shell.ok(&["set", "GITHUB_TOKEN"], &value);
    shell.ok(&["set", "API_KEY"], &live("z"));
    let file = clients_file(&shell, &[("a", "GITHUB_TOKEN", &value), ("b", "API_KEY", &live("y"))]);

    let mut screen = shell.at_terminal(&["mcp-config", "--wrap", &file, "--scope", "personal"]);
    screen.take_challenge();
    let (code, text) = screen.end();

    assert_eq!(code, 0, "{text}");
    assert!(text.contains("already, as GITHUB_TOKEN)") && text.contains("API_KEY as API_KEY_B"), "{text}");
    assert!(shell.run(&["mcp", "a"], "").out.contains("GITHUB_TOKEN=[unsaid:GITHUB_TOKEN]"));
    let all: serde_json::Value = serde_json::from_str(&shell.ok(&["list", "--json"], "")).unwrap();
    assert_eq!(all["credentials"].as_array().unwrap().len(), 3, "{all}");
    assert!(
        shell.ok(&["log", "--operation", "compare_value"], "").contains("GITHUB_TOKEN"),
        "it is in the log"
    );
}

#[test]
fn whether_a_value_is_there_is_told_to_nobody_but_who_acts_for_themselves_and_is_about_to_agree() {
    let (shell, value) = (Shell::new(), live("x"));
    shell.ok(&["set", "GITHUB_TOKEN"], &value);
    let login: serde_json::Value = serde_json::from_str(&shell.ok(&["status", "--json"], "")).unwrap();
    let file = clients_file(&shell, &[("a", "GITHUB_TOKEN", &value)]);

    let dry = shell.run(&["mcp-config", "--wrap", &file, "--scope", "personal", "--dry-run"], "");
    let nobody = shell.run(&["mcp-config", "--wrap", &file, "--scope", "personal"], "");

    assert!(dry.code == 0 && dry.err.contains("GITHUB_TOKEN as GITHUB_TOKEN_A"), "{} {login}", dry.err);
    assert!(!format!("{}{}", dry.err, nobody.err).contains("in the vault already"));
    assert!(!shell.ok(&["log"], "").contains("compare_value"));
}

#[test]
fn only_what_would_be_handed_over_as_it_is_is_bound_again() {
    let (shell, value) = (Shell::new(), live("x"));
    // One of another type, and one that shares its name.
    let key = shell.file("key.txt", &value);
    shell.ok(&["set", "FILE_TOKEN", "--type", "file", "--file", key.to_str().unwrap()], "");
    shell.ok(&["set", "GITHUB_TOKEN"], &value);
    shell.ok(&["set", "GITHUB_TOKEN", "--account", "work"], &live("w"));
    let file = clients_file(&shell, &[("a", "FILE_TOKEN", &value), ("b", "GITHUB_TOKEN", &value)]);

    let mut screen = shell.at_terminal(&["mcp-config", "--wrap", &file, "--scope", "personal"]);
    screen.take_challenge();
    let (code, text) = screen.end();

    assert!(code == 0 && !text.contains("in the vault already"), "{text}");
    assert!(shell.run(&["mcp", "a"], "").out.contains("FILE_TOKEN=[unsaid:FILE_TOKEN_A]"));
    assert!(shell.run(&["mcp", "b"], "").out.contains("GITHUB_TOKEN=[unsaid:GITHUB_TOKEN_B]"));
}

#[test]
fn no_name_is_made_of_a_value() {
    let shell = Shell::new();
    let plain = "HUNTERS_OF_THE_LOST_KEY_77";
    let file = clients_file(&shell, &[("a", "A_TOKEN", plain), ("b", "B_TOKEN", &live("x"))]);

    for name in [plain.to_owned(), plain.to_lowercase(), format!("MY_{plain}"), live("y")] {
        let rename = format!("A_TOKEN={name}");
        let done = shell.run(&["mcp-config", "--wrap", &file, "--name", &rename, "--dry-run"], "");
        assert_ne!(done.code, 0, "{}", done.err);
        assert!(
            !format!("{}{}", done.out, done.err).to_uppercase().contains(&name.to_uppercase()),
            "{}",
            done.err
        );
    }
    let both = ["--name", "A_TOKEN=ONE_TOKEN", "--name", "B_TOKEN=TWO_TOKEN", "--dry-run"];
    let done = shell.run(&[&["mcp-config", "--wrap", &file][..], &both].concat(), "");
    assert!(
        done.err.contains("A_TOKEN as ONE_TOKEN") && done.err.contains("B_TOKEN as TWO_TOKEN"),
        "{}",
        done.err
    );
}

#[test]
fn another_name_for_what_does_not_move_is_refused() {
    let (shell, value) = (Shell::new(), live("x"));
    let file = clients_file(&shell, &[("a", "GITHUB_TOKEN", &value)]);

    for (name, says) in
        [("LEVEL=OTHER", "does not move"), ("GITHUB_TOKEN", "FROM=TO"), ("GITHUB_TOKEN=a b", "name")]
    {
        let done = shell.run(&["mcp-config", "--wrap", &file, "--name", name, "--dry-run"], "");
        assert!(done.error() == "invalid_input" && done.err.contains(says), "{name}: {}", done.err);
    }
    let done =
        shell.run(&["mcp-config", "--wrap", &file, "--name", "GITHUB_TOKEN=WORK_TOKEN", "--dry-run"], "");
    assert!(done.code == 0 && done.err.contains("GITHUB_TOKEN as WORK_TOKEN"), "{}", done.err);
}

#[test]
fn what_a_definition_says_of_a_servers_values_is_told_where_they_are_missing() {
    let shell = Shell::new();
    let known = shell.ok(&["consumer", "server", "atlassian"], "");
    assert!(known.contains("JIRA_URL") && known.contains("id.atlassian.com, Security"), "{known}");
    let listed = shell.ok(&["consumer", "servers", "postgres"], "");
    assert!(listed.contains("cannot be registered"), "{listed}");
    assert_eq!(shell.run(&["consumer", "server", "atlasian"], "").error(), "service_not_found");

    registered(&shell, &["jira", "--server", "atlassian"]);
    let shown = shell.ok(&["consumer", "show", "jira"], "");

    // All that it takes is optional: it may start, and it says with what.
    assert!(shown.contains("starts without a credential"), "{shown}");
    assert!(shown.contains("JIRA_URL (Jira address: https://your-company"), "{shown}");
    let plain = shell.run(&["consumer", "set", "jira", "JIRA_URL"], "");
    assert!(plain.err.contains("unsaid consumer bind jira --text JIRA_URL="), "{}", plain.err);
    let nobody = shell.run(&["consumer", "set", "jira"], "");
    assert!(
        nobody.error() == "needs_terminal" && nobody.err.contains("unsaid set NAME --stdin"),
        "{}",
        nobody.err
    );
    let mut screen = shell.at_terminal(&["consumer", "set", "jira", "JIRA_API_TOKEN"]);
    screen.until("Jira API token: id.atlassian.com, Security, API tokens.");
    screen.until("JIRA_API_TOKEN (JIRA_API_TOKEN, personal): ");
    screen.keys(&format!("{}\r", live("q")));
    assert_eq!(screen.end().0, 0);
    assert!(shell.ok(&["consumer", "show", "jira"], "").contains("of them optional and not there"));
}

#[test]
fn where_nothing_is_missing_nothing_is_asked_for() {
    let shell = Shell::new();
    shell.ok(&["set", "A_KEY"], &live("a"));
    registered(&shell, &["bot", "--bind", "A_KEY", "--", "true"]);

    let done = shell.run(&["consumer", "set", "bot"], "");

    assert!(
        done.code == 0 && done.out.contains("Nothing is missing. bot is ready"),
        "{} {}",
        done.out,
        done.err
    );
}
