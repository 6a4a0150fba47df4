//! A person works with the vault from a shell: exit codes, messages, prompts, and what never shows.
use crate::support::shell::Shell;

/// A value that looks live, made here so that none stands in the source.
fn live() -> String {
    format!("ghp_{}", "aB3dE6gH9jK2".repeat(3))
}

#[test]
fn before_init_every_command_says_what_to_run() {
    let shell = Shell::without_vault();

    for args in [&["list"][..], &["status"], &["show", "A"], &["log"], &["set", "A"]] {
        let done = shell.run(args, "x");
        assert_eq!((done.code, done.error()), (7, "not_initialised"), "{args:?}");
        assert!(done.err.contains("next: Run `unsaid init`"), "{}", done.err);
    }
    assert_eq!(shell.run(&["run", "--only", "A", "--", "true"], "").code, 125);
}

#[test]
fn a_value_comes_in_by_standard_input_and_out_to_a_program_alone() {
    let (shell, value) = (Shell::new(), live());

    let set = shell.run(&["set", "GITHUB_TOKEN"], &format!("{value}\n"));
    assert_eq!(set.code, 0, "{}", set.err);
    assert!(set.err.contains("a line end after the value was dropped") && set.err.contains("github"));

    let check = format!("test ${{#GITHUB_TOKEN}} = {} && echo got $GITHUB_TOKEN", value.len());
    let run = shell.run(&["run", "--only", "GITHUB_TOKEN", "--", "sh", "-c", &check], "");
    assert_eq!((run.code, run.out.as_str()), (0, "got [unsaid:GITHUB_TOKEN]\n"));

    for args in [
        &["list"][..],
        &["list", "--json"],
        &["show", "GITHUB_TOKEN"],
        &["show", "GITHUB_TOKEN", "--json"],
        &["log"],
        &["log", "export"],
        &["status"],
        &["doctor"],
        &["list", "--verbose"],
    ] {
        let done = shell.run(args, "");
        assert!(!format!("{}{}", done.out, done.err).contains(&value), "{args:?}");
    }
}

#[test]
fn a_value_among_the_arguments_is_refused_without_being_repeated() {
    let (shell, value) = (Shell::new(), live());

    for args in [
        &["set", "A", &value][..],
        &["set", &value],
        &["list", "--type", &value],
        &["set", "A", "--account", &value],
        &["provider", "secret", "github", &value],
        &["edit", "A", "--description", &value],
        &[&value],
    ] {
        let done = shell.run(args, "");
        assert_eq!(done.code, 2, "{args:?} {}", done.err);
        assert!(!format!("{}{}", done.out, done.err).contains(&value), "{args:?} {}", done.err);
    }
    assert!(!shell.ok(&["log", "export"], "").contains(&value));
    assert!(shell.ok(&["list"], "").contains("no credential that you can see"));
    assert!(shell.ok(&["list", "--tag", "none"], "").contains("is like that"));
}

#[test]
fn exit_codes_tell_the_kinds_apart() {
    let shell = Shell::new();
    shell.ok(&["set", "A"], "value-of-a");
    shell.ok(&["team", "create", "core", "--owner", "ada"], "");

    for (args, code, error) in [
        (&["show", "MISSING"][..], 4, "credential_not_found"),
        (&["set", "LD_PRELOAD"], 2, "reserved_name"),
        (&["set", "B"], 4, "value_missing"),
        (&["purge", "A"], 5, "credential_not_deleted"),
        (&["--org", "Other", "list"], 4, "org_not_found"),
        (&["--as", "nobody", "list"], 4, "user_not_found"),
        (&["rm", "A"], 3, "approval_required"),
        (&["team", "delete", "core"], 2, "needs_terminal"),
        (&["team", "delete", "x"], 4, "team_not_found"),
        (&["policy", "set"], 2, "invalid_input"),
        (&["run", "--all", "--except", "A", "--", "true"], 125, "invalid_input"),
        (&["import", "missing.env"], 2, "invalid_file"),
        (&["run", "--only", "MISSING", "--", "true"], 125, "unresolved"),
        (&["run", "--", "true"], 125, "invalid_input"),
        (&["run", "--only", "A", "--no-mask", "--", "true"], 125, "needs_terminal"),
        (&["run", "--only", "A", "--", "no-such-command"], 127, "command_not_found"),
        (&["--as", "ada", "run", "--only", "A", "--", "true"], 125, "not_allowed"),
    ] {
        let done = shell.run(args, "");
        assert_eq!((done.code, done.error()), (code, error), "{args:?} {}", done.err);
        assert!(done.out.is_empty(), "{args:?}: results only on standard output: {}", done.out);
    }
    assert_eq!(shell.run(&["run", "--nonsense"], "").code, 125);
    assert_eq!(shell.run(&["list", "--nonsense"], "").code, 2);
    assert_eq!(shell.run(&["list", "--limit", "0"], "").code, 2);
    assert_eq!(shell.run(&["run", "--only", "A", "--", "sh", "-c", "exit 7"], "").code, 7);
    assert_eq!(shell.run(&["run", "--only", "A", "--", "sh", "-c", "kill -9 $$"], "").code, 137);
}

#[test]
fn who_serves_as_another_is_named_beside_the_client() {
    let shell = Shell::new();
    shell.ok(&["user", "add", "bob"], "");
    let meta = serde_json::json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": { "name": "editor", "version": "3" },
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let params = serde_json::json!({ "name": "create_credential", "arguments": { "name": "A", "scope": "org" }, "_meta": meta });
    let call = serde_json::json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params });

    let answer = shell.ok(&["--as", "bob", "serve"], &format!("{call}\n"));

    assert!(answer.contains("not_allowed"), "{answer}");
    let log = shell.ok(&["--json", "log"], "");
    assert!(log.contains("editor/3 stdio as bob by ada"), "{log}");
}

#[test]
fn with_json_an_error_is_an_object_on_standard_error() {
    let shell = Shell::new();

    for args in [&["--json", "show", "MISSING"][..], &["--json", "list", "--nonsense"]] {
        let done = shell.run(args, "");
        let error: serde_json::Value = serde_json::from_str(&done.err).unwrap();
        assert!(error["code"].is_string() && error["message"].is_string() && error["next"].is_string());
    }
}

#[test]
fn the_projects_file_names_what_a_program_gets_and_never_holds_a_value() {
    let (shell, value) = (Shell::new(), live());
    shell.ok(&["set", "A"], "value-of-a");
    shell.ok(&["set", "B"], "value-of-b");

    shell.file(".unsaid.toml", "[run]\nonly = [\"A\"]\n");
    let run = shell.run(&["run", "--", "sh", "-c", "echo ${A:+a} ${B:+b}"], "");
    assert_eq!((run.code, run.out.trim()), (0, "a"), "{}", run.err);

    shell.file(".unsaid.toml", &format!("[run]\nonly = [\"A\"]\n# {value}\n"));
    let run = shell.run(&["run", "--", "true"], "");
    assert_eq!((run.code, run.error()), (125, "secret_in_argument"));
    assert!(!run.err.contains(&value));
}

#[test]
fn the_program_gets_the_shells_own_umask_and_nothing_that_opens_the_vault() {
    let shell = Shell::new();
    shell.ok(&["set", "A"], "value-of-a");

    let expected = std::process::Command::new("sh").args(["-c", "umask"]).output().unwrap();
    let run = shell.run(&["run", "--only", "A", "--", "sh", "-c", "umask"], "");

    assert_eq!(run.out.as_bytes(), expected.stdout);
}

#[test]
fn an_import_shows_names_asks_and_takes_all_or_none() {
    let (shell, value) = (Shell::new(), live());
    shell.ok(&["set", "ALREADY"], "value-before");
    let text = format!("GITHUB_TOKEN={value}\nALREADY=other-value\nEMPTY=\nLD_PRELOAD=/x.so\n");
    shell.file(".env", &text);

    let asked = shell.run(&["import", ".env"], "y\n");
    assert_eq!((asked.code, asked.error()), (2, "needs_terminal"));
    assert!(shell.run(&["show", "GITHUB_TOKEN"], "").code == 4, "nothing was taken over");

    let done = shell.run(&["import", ".env", "--yes"], "");
    assert_eq!(done.code, 0, "{}", done.err);
    assert!(done.out.contains("1 credentials imported"), "{}", done.out);
    assert!(!format!("{}{}{}", done.out, done.err, asked.err).contains(&value));
    assert_eq!(std::fs::read_to_string(shell.folder().join(".env")).unwrap(), text);
}

#[test]
fn an_admin_acts_as_another_and_the_log_says_so() {
    let shell = Shell::new();
    shell.ok(&["user", "add", "bob"], "");
    shell.ok(&["set", "MINE"], "value-of-mine");

    assert!(!shell.ok(&["--as", "bob", "list"], "").contains("MINE"));
    shell.ok(&["--as", "bob", "set", "HIS"], "value-of-his");

    let refused = shell.run(&["--as", "bob", "user", "add", "eve"], "");
    assert_eq!((refused.code, refused.error()), (3, "not_allowed"));
    assert!(shell.ok(&["--json", "log"], "").contains("cli as bob by ada"));
}

#[test]
fn a_closed_pipe_ends_a_command_quietly() {
    let shell = Shell::new();
    let line = format!("{} completions bash | head -1", env!("CARGO_BIN_EXE_unsaid"));

    let out =
        std::process::Command::new("sh").args(["-c", &line]).current_dir(shell.folder()).output().unwrap();

    assert!(out.stderr.is_empty(), "{}", String::from_utf8_lossy(&out.stderr));
}

#[test]
fn w_32_a_value_typed_at_the_terminal_never_shows() {
    let (shell, value) = (Shell::new(), live());

    let mut screen = shell.at_terminal(&["set", "GITHUB_TOKEN"]);
    screen.until("nothing is shown): ");
    assert!(!screen.echoes());
    screen.keys(&value);
    screen.keys("\r");
    let (code, text) = screen.end();

    assert_eq!(code, 0, "{text}");
    assert!(!text.contains(&value) && text.contains("created GITHUB_TOKEN"));
}

#[test]
fn w_32_a_paste_of_several_lines_is_one_value() {
    let shell = Shell::new();

    let mut screen = shell.at_terminal(&["set", "PEM"]);
    screen.until("nothing is shown): ");
    screen.keys("\x1b[200~first line\rsecond line\r\x1b[201~\r");
    assert_eq!(screen.end().0, 0);

    let run = shell
        .run(&["run", "--only", "PEM", "--", "sh", "-c", "test \"$PEM\" = 'first line\nsecond line'"], "");
    assert_eq!(run.code, 0);
}

#[test]
fn w_32_several_lines_without_a_paste_are_refused_and_nothing_reaches_the_shell() {
    let shell = Shell::new();

    let mut screen = shell.at_terminal(&["set", "A"]);
    screen.until("nothing is shown): ");
    screen.keys("first-line\rsecond-line\r");
    let (code, text) = screen.end();

    assert_eq!(code, 2, "{text}");
    assert!(text.contains("more than one line") && !text.contains("second-line"), "{text}");
}

#[test]
fn w_32_an_interrupt_at_a_prompt_gives_the_terminal_back() {
    let shell = Shell::new();

    let mut screen = shell.at_terminal(&["set", "A"]);
    screen.until("nothing is shown): ");
    assert!(!screen.echoes());
    screen.keys("half-a-value\x03");
    let began = std::time::Instant::now();
    while !screen.echoes() {
        assert!(began.elapsed().as_secs() < 10, "the terminal stays silent");
    }
    let (code, text) = screen.end();

    assert_eq!(code, 130, "{text}");
    assert_eq!(shell.run(&["show", "A"], "").code, 4);
}

#[test]
fn what_widens_asks_for_a_challenge_that_only_the_terminal_shows() {
    let shell = Shell::new();
    shell.ok(&["set", "A", "--scope", "org"], "value-of-a");
    shell.ok(&["user", "add", "bob"], "");

    let refused = shell.run(&["share", "A", "--with", "bob", "--level", "view"], "yes\n000000\n");
    assert_eq!((refused.code, refused.error()), (3, "approval_required"));
    let id = refused.err.split("approval_id: ").nth(1).unwrap().trim().to_owned();

    let mut screen = shell.at_terminal(&["approve", &id]);
    screen.until("(anything else stops): ");
    screen.keys("no\r");
    assert_eq!(screen.end().0, 3);

    let mut screen = shell.at_terminal(&["approve", &id]);
    screen.take_challenge();
    let (code, text) = screen.end();
    assert_eq!(code, 0, "{text}");
    assert!(shell.ok(&["show", "A"], "").contains("bob"));

    let unasked = shell.run(&["approve", &id], "");
    assert_eq!(unasked.error(), "approval_closed");
}

#[test]
fn the_output_is_unmasked_only_after_a_challenge() {
    let shell = Shell::new();
    shell.ok(&["set", "A"], "value-of-a-long");

    let mut screen = shell.at_terminal(&["run", "--only", "A", "--no-mask", "--", "sh", "-c", "echo $A"]);
    screen.take_challenge();
    let (code, text) = screen.end();
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("value-of-a-long"));

    let mut screen = shell.at_terminal(&["run", "--only", "A", "--no-mask", "--", "sh", "-c", "echo $A"]);
    screen.until("(anything else stops): ");
    screen.keys("\r");
    let (code, text) = screen.end();
    assert_eq!(code, 125);
    assert!(!text.contains("value-of-a-long"));
}

#[test]
fn a_provider_is_not_dropped_in_silence_where_the_credential_is_there_already() {
    let shell = Shell::new();
    shell.ok(&["set", "A"], "value-of-a");

    let refused = shell.run(&["set", "A", "--provider", "hub"], "another-value");

    assert_eq!(refused.code, 2);
    assert!(refused.err.contains("--provider") && !refused.err.contains("another-value"), "{}", refused.err);
}

#[test]
fn a_server_for_many_is_started_as_nobody_in_particular() {
    let shell = Shell::new();

    let refused = shell.run(&["--as", "bob", "serve", "--http", "127.0.0.1:0"], "");

    assert_eq!(refused.code, 2);
    assert!(refused.err.contains("--as") && refused.err.contains("unsaid token create"), "{}", refused.err);
}

#[test]
fn several_rotations_are_planned_by_name_and_the_org_may_follow_the_catalogue() {
    let shell = Shell::new();
    for name in ["A_KEY", "B_KEY", "C_KEY"] {
        shell.ok(&["set", name], &format!("value-of-{name}"));
    }

    let planned = shell.ok(&["rotate", "--only", "A_KEY,B_KEY", "--reason", "a leaked laptop"], "");
    assert!(planned.contains("planned 2 rotations"), "{planned}");
    let campaign =
        planned.lines().find_map(|line| line.strip_prefix("progress: unsaid ")).expect("how to see it");
    let listed = shell.ok(&campaign.split(' ').collect::<Vec<_>>(), "");
    assert!(listed.contains("0 of 2 done") && !listed.contains("C_KEY"), "{listed}");
    let ended = shell.ok(&["rotate", "A_KEY", "--abort"], "");
    assert!(ended.contains("no new one had been entered"), "{ended}");
    for wrong in
        [&["rotate"][..], &["rotate", "--only", "A_KEY", "--overdue"], &["rotate", "--only", "NOT_THERE"]]
    {
        assert_ne!(shell.run(wrong, "").code, 0, "{wrong:?}");
    }

    assert_eq!(shell.run(&["rotate", "--policy", "advised"], "").error(), "approval_required");
    let mut screen = shell.at_terminal(&["rotate", "--policy", "advised"]);
    screen.take_challenge();
    let (code, text) = screen.end();
    assert_eq!(code, 0, "{text}");
    assert!(shell.ok(&["rotate", "--list"], "").contains("policy: as advised: "));
    assert_eq!(shell.run(&["rotate", "--policy", "soon"], "").error(), "invalid_input");
}

#[test]
fn a_person_is_led_through_a_rotation_and_a_value_is_entered_by_the_id_too() {
    let shell = Shell::new();
    let (first, second, third) = ("first words of a key", "second words of a key", "third words of a key");
    shell.ok(&["set", "A_KEY"], first);
    let shown: serde_json::Value = serde_json::from_str(&shell.ok(&["show", "A_KEY", "--json"], "")).unwrap();
    let id = shown["id"].as_str().expect("it has an id").to_owned();

    let mut screen = shell.at_terminal(&["rotate", "A_KEY"]);
    screen.until("Do you have the new value?");
    screen.keys("y\r");
    screen.until("A_KEY (personal)");
    std::thread::sleep(std::time::Duration::from_millis(300));
    screen.keys(&format!("{second}\r"));
    screen.until("Serve it all the same?");
    screen.keys("n\r");
    let (code, text) = screen.end();
    assert!(code == 0 && !text.contains(second), "{text}");
    assert!(shell.ok(&["rotate", "A_KEY", "--status"], "").contains("staged"));

    // By its id, and piped: neither is lost.
    shell.ok(&["rotate", "A_KEY", "--abort"], "");
    shell.ok(&["set", &id], third);
    let entered = shell.run(&["rotate", "A_KEY", "--stdin"], second);
    assert_eq!(entered.code, 0, "{}", entered.err);
    let piped = shell.run(&["rotate", "A_KEY", "--step", "enter", "--stdin"], second);
    assert_eq!(piped.code, 0, "{}", piped.err);
    assert!(shell.ok(&["rotate", "A_KEY", "--status"], "").contains("staged"));
    let refused = shell.run(&["rotate", "A_KEY", "--step", "verify", "--stdin"], second);
    assert_eq!(refused.error(), "invalid_input");
    let script = format!("test \"$A_KEY\" = '{third}'");
    assert_eq!(shell.run(&["run", "--only", "A_KEY", "--", "sh", "-c", &script], "").code, 0);
}

#[test]
fn a_yes_to_the_catalogue_s_advice_is_done() {
    let shell = Shell::new();
    let asked = shell.run(&["rotate", "--policy", "advised"], "");
    assert_eq!(asked.error(), "approval_required");
    let id = asked.err.split("unsaid approve ").nth(1).and_then(|rest| rest.get(..26)).expect("it waits");
    let mut screen = shell.at_terminal(&["approve", id]);
    screen.take_challenge();
    let (code, text) = screen.end();
    assert_eq!(code, 0, "{text}");
    assert!(shell.ok(&["rotate", "--list"], "").contains("policy: as advised: "));
    let nothing = shell.run(&["rotate", "--policy", "none"], "");
    assert_eq!(nothing.error(), "nothing_to_do", "{}", nothing.err);
}
