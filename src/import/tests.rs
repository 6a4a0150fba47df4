//! X-12 and the samples of `tests/fixtures/dotenv`, whose `expected.json` is what four real parsers return.
use super::*;
use serde_json::Value;

fn text(value: &Secret) -> String {
    value.expose(str::to_owned)
}

fn value(parsed: &Parsed, name: &str) -> Option<String> {
    parsed.entries.iter().find(|entry| entry.name == name).map(|entry| text(&entry.value))
}

fn why(parsed: &Parsed, name: &str) -> Option<&'static str> {
    parsed.skipped.iter().find(|skipped| skipped.name.as_deref() == Some(name)).map(|skipped| skipped.why)
}

fn read(dialect: Dialect, text: &str) -> Parsed {
    parse(dialect, text.as_bytes()).unwrap()
}

fn refusal(dialect: Dialect, bytes: &[u8]) -> Error {
    parse(dialect, bytes).unwrap_err()
}

// The samples are also read as CRLF, so a checkout that changes line ends does no harm.
const TRICKY: &[u8] = include_bytes!("../../tests/fixtures/dotenv/tricky.env");

/// Takes over what python-dotenv (no interpolation), npm dotenv and Node agree on, and nothing else.
fn agrees_with_the_real_parsers(file: &str, bytes: &[u8]) {
    let expected: Value =
        serde_json::from_str(include_str!("../../tests/fixtures/dotenv/expected.json")).unwrap();
    let by = |parser: &str| expected[file][parser].as_object().unwrap();
    let python = by("python-dotenv 1.2.4 interpolate=False");
    let parsed = parse(Dialect::Dotenv, bytes).unwrap();

    for (name, theirs) in python {
        let agreed = ["npm dotenv", "node24 util.parseEnv", "python-dotenv 1.2.4"]
            .iter()
            .all(|parser| by(parser).get(name) == Some(theirs));
        let can_be_a_name = CredentialName::parse(name).is_ok();
        let ours = value(&parsed, name);
        if agreed && can_be_a_name {
            assert_eq!(ours.as_deref(), theirs.as_str(), "{file} {name}");
        } else {
            assert_eq!(ours, None, "{file} {name}");
            assert!(why(&parsed, name).is_some() || theirs.is_null(), "{file} {name} is reported");
        }
    }
    assert_eq!(parsed.entries.len(), 16);
    assert_eq!(why(&parsed, "YAMLISH"), Some("only some programs read NAME: value; write NAME=value"));
}

#[test]
fn x_12_dotenv_takes_over_what_the_real_parsers_agree_on_and_reports_the_rest() {
    agrees_with_the_real_parsers("tricky.env", TRICKY);
    let crlf = String::from_utf8(TRICKY.to_vec()).unwrap().replace('\n', "\r\n");
    agrees_with_the_real_parsers("tricky-crlf.env", crlf.as_bytes());
    agrees_with_the_real_parsers(
        "tricky-crlf.env",
        include_bytes!("../../tests/fixtures/dotenv/tricky-crlf.env"),
    );
}

#[test]
fn lines_are_counted_across_values_of_several_lines() {
    let parsed = parse(Dialect::Dotenv, TRICKY).unwrap();

    let line = |name: &str| parsed.entries.iter().find(|entry| entry.name == name).unwrap().line;
    assert_eq!((line("PLAIN"), line("MULTI"), line("JSONV")), (2, 14, 16));
    let duplicate = parsed.skipped.iter().find(|skipped| skipped.name.as_deref() == Some("DUP")).unwrap();
    assert_eq!((duplicate.line, duplicate.why), (25, LATER));
    assert_eq!(value(&parsed, "DUP").unwrap(), "second");
}

#[test]
fn a_byte_order_mark_is_no_part_of_the_first_name() {
    let parsed = parse(Dialect::Dotenv, include_bytes!("../../tests/fixtures/dotenv/bom.env")).unwrap();

    assert_eq!(
        (value(&parsed, "FIRST").unwrap(), value(&parsed, "SECOND").unwrap()),
        ("1".into(), "2".into())
    );
}

#[test]
fn docker_keeps_every_character_after_the_first_equals_sign() {
    let parsed = parse(Dialect::Docker, include_bytes!("../../tests/fixtures/dotenv/docker.env")).unwrap();

    assert_eq!(value(&parsed, "QUOTES").unwrap(), "\"kept as is\"");
    assert_eq!(value(&parsed, "HASH").unwrap(), "a # b is part of the value");
    assert_eq!(value(&parsed, "SPACES").unwrap(), " lead and trail ");
    assert_eq!(value(&parsed, "DOLLAR").unwrap(), "$PLAIN");
    assert_eq!(parsed.skipped, [Skipped { line: 7, name: None, why: NO_VALUE }]);
    assert_eq!(parsed.notes.len(), 1);
}

#[test]
fn systemd_joins_continued_lines_and_expands_nothing() {
    let parsed = parse(Dialect::Systemd, include_bytes!("../../tests/fixtures/dotenv/systemd.env")).unwrap();

    assert_eq!(value(&parsed, "A").unwrap(), "two words");
    assert_eq!(value(&parsed, "B").unwrap(), "single");
    assert_eq!(value(&parsed, "C").unwrap(), "line continued");
    assert_eq!(value(&parsed, "D").unwrap(), "$A");
    assert!(parsed.skipped.is_empty());
}

#[test]
fn systemd_quotes_escapes_and_trims_as_env_file_c_does() {
    let parsed = read(
        Dialect::Systemd,
        "A=\"a\\\"b\\n\\$\" \nB='a'\"b\" c  \nC=x # not a comment\nD=a\\ \\\\ \nE='two\nlines'\nF=\"one\\\ntwo\"\nG=it's\nH=\r\n",
    );

    for (name, expected) in [
        ("A", "a\"b\\n$"),
        ("B", "abc"),
        ("C", "x # not a comment"),
        ("D", "a \\"),
        ("E", "two\nlines"),
        ("F", "onetwo"),
        ("G", "it's"),
        ("H", ""),
    ] {
        assert_eq!(value(&parsed, name).as_deref(), Some(expected), "{name}");
    }
}

#[test]
fn a_shell_file_is_read_without_running_it() {
    let parsed =
        parse(Dialect::Shell, include_bytes!("../../tests/fixtures/dotenv/shell-export.sh")).unwrap();

    for (name, expected) in [
        ("A", "it's"),
        ("B", "two words"),
        ("C", "c"),
        ("D", "bash declare -x"),
        ("E", "ansi\tc"),
        ("F", "set-a"),
    ] {
        assert_eq!(value(&parsed, name).as_deref(), Some(expected), "{name}");
    }
    assert!(parsed.skipped.is_empty(), "{:?}", parsed.skipped);
}

#[test]
fn shell_skips_what_it_cannot_know() {
    let parsed = read(
        Dialect::Shell,
        "A=$HOME/x\nB=\"$(op read \"x\")\"\nC=`id`\nE=ok\nF=~/x\nG=${A:-d}; H=h\nI=cost$\nJ='$HOME'\nK+=x\nL=\"a\\$b\\`\"\n\
         echo hi\nM=1 cmd\nunset E\nN=$'\\u00e9\\x41\\101\\''\nO=$'\\0'\nexport P\nexport H\nQ=a\\\nb\nR=pa$$word\n",
    );

    for name in ["A", "B", "C", "F", "G", "K", "M", "O", "R"] {
        assert_eq!(value(&parsed, name), None, "{name}");
        assert!(why(&parsed, name).is_some(), "{name}");
    }
    assert_eq!(value(&parsed, "E"), None, "it was unset");
    for (name, expected) in
        [("H", "h"), ("I", "cost$"), ("J", "$HOME"), ("L", "a$b`"), ("N", "éAA'"), ("Q", "ab")]
    {
        assert_eq!(value(&parsed, name).as_deref(), Some(expected), "{name}");
    }
}

#[test]
fn shell_logic_makes_the_whole_file_unreadable() {
    for file in [
        "if true; then A=1; fi",
        "A=1 && B=2",
        "f() { A=1; }",
        "cat <<X\nA=1\nX",
        "A=(1 2)",
        "case $x in a) A=1;; esac",
        "A=1 | cat",
        "{ A=1; }",
        "A=$(x\n)",
        "A=\"${x:-\"y\"}\"",
        "eval A=1",
    ] {
        assert_eq!(refusal(Dialect::Shell, file.as_bytes()).code, Code::InvalidFile, "{file}");
    }
}

#[test]
fn json_takes_text_numbers_and_booleans_and_reports_the_rest() {
    let heroku =
        parse(Dialect::Json, include_bytes!("../../tests/fixtures/dotenv/heroku-json.json")).unwrap();
    let parsed = read(
        Dialect::Json,
        "{\n \"A\": \"x\\ny\",\n \"B\": 7, \"C\": true,\n \"D\": null, \"E\": [1], \"F\": {\"a\": 1}, \"G\": 1.0,\n \"A\": \"last\"}",
    );

    assert_eq!(
        (value(&heroku, "A").unwrap(), value(&heroku, "B").unwrap()),
        ("1".into(), "two words".into())
    );
    assert_eq!(value(&parsed, "A").unwrap(), "last");
    assert_eq!((value(&parsed, "B").unwrap(), value(&parsed, "C").unwrap()), ("7".into(), "true".into()));
    for name in ["D", "E", "F", "G"] {
        assert!(why(&parsed, name).is_some(), "{name}");
    }
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for bad in ["[]", "\"x\"", "{", "{\"A\":\"x\"} y", "", deep.as_str()] {
        assert_eq!(refusal(Dialect::Json, bad.as_bytes()).code, Code::InvalidFile);
    }
}

#[test]
fn other_encodings_and_nul_are_refused_with_the_line() {
    let message = |bytes: &[u8]| refusal(Dialect::Dotenv, bytes).message().to_owned();

    assert_eq!(message(b"A=x\0y\nB=ok\n"), "line 1 has a NUL character");
    assert_eq!(message(b"A=1\nB=M\xFCller\n"), "line 2 is not UTF-8; perhaps it is Latin-1");
    assert_eq!(message(b"\xFF\xFEA\0=\0"), "the file is UTF-16");
    assert_eq!(message(b"\xFE\xFF\0A\0="), "the file is UTF-16");
    assert_eq!(message(b"A\0=\0x\0"), "line 1 has a NUL character");
}

#[test]
fn a_quote_that_nobody_closes_refuses_the_file_and_names_its_line() {
    for (dialect, file) in [
        (Dialect::Dotenv, "OK=1\nA=\"open\nB=2\n"),
        (Dialect::Dotenv, "OK=1\nA='open\n"),
        (Dialect::Dotenv, "OK=1\nA=`open\nB=`\n"),
        (Dialect::Dotenv, "OK=1\nA=\"C:\\dir\\\"\nB=\"x\"\n"),
        (Dialect::Shell, "OK=1\nA=\"open\nB=2\n"),
        (Dialect::Shell, "OK=1\nA='open"),
        (Dialect::Shell, "OK=1\nA=$'open\\'"),
        (Dialect::Systemd, "OK=1\nA=\"open\nB=2\n"),
    ] {
        let error = refusal(dialect, file.as_bytes());

        assert_eq!(error.code, Code::InvalidFile);
        assert!(error.message().starts_with("line 2: "), "{}", error.message());
        assert!(!error.message().contains("open\n") && !error.message().contains("dir"));
    }
}

#[test]
fn a_value_that_needs_another_variable_is_never_expanded_and_never_half_taken() {
    let parsed = read(Dialect::Dotenv, "A=1\nB=${A}\nC=\"x${A}\"\nD='${A}'\nE=$A\nA=${B}\n");

    assert_eq!(
        value(&parsed, "A"),
        None,
        "the file's last word on A was skipped, so its first must not count"
    );
    assert_eq!((value(&parsed, "B"), value(&parsed, "C")), (None, None));
    assert_eq!((value(&parsed, "D").unwrap(), value(&parsed, "E").unwrap()), ("${A}".into(), "$A".into()));
    assert_eq!(parsed.notes.len(), 1);
}

#[test]
fn dotenv_values_that_parsers_read_differently_are_skipped() {
    let parsed = read(
        Dialect::Dotenv,
        "A=a#b\nB=#x\nC= # comment\nD=\"a\\tb\"\nE='it\\'s'\nF=\"x\"y\nG=`x`\nH='a\\\\b'\nI=\"a\\\\\"b\"\nJ: x\nK=ok # c\nL=\"a\\nb\"\n",
    );

    for name in ["A", "B", "C", "D", "E", "F", "G", "H", "I", "J"] {
        assert_eq!(value(&parsed, name), None, "{name}");
        assert!(why(&parsed, name).is_some(), "{name}");
    }
    assert_eq!((value(&parsed, "K").unwrap(), value(&parsed, "L").unwrap()), ("ok".into(), "a\nb".into()));
}

#[test]
fn a_key_block_without_quotes_is_skipped_as_a_whole_and_not_shown() {
    let block = format!("{}BEGIN X{}\nMIIabc\nlastline==\n{}END X{}", "-----", "-----", "-----", "-----");
    let parsed = read(Dialect::Dotenv, &format!("A=1\nKEY={block}\nB=2\nstray==\n"));

    assert_eq!(parsed.entries.iter().map(|entry| entry.line).collect::<Vec<_>>(), [1, 6]);
    assert!(why(&parsed, "KEY").is_some());
    let report = format!("{parsed:?}");
    assert!(!report.contains("MII") && !report.contains("lastline") && !report.contains("stray"));
}

#[test]
fn names_that_a_credential_cannot_have_are_skipped_and_reported() {
    let parsed = read(
        Dialect::Dotenv,
        "LD_PRELOAD=/x.so\nKEY-DASH=1\nOPENAI_BASE_URL=https://x\na_key=1\nA_KEY=2\n1X=2\n",
    );

    assert_eq!(parsed.entries.len(), 1);
    assert_eq!(why(&parsed, "LD_PRELOAD"), Some(Reserved::Loader.reason()));
    assert_eq!(why(&parsed, "OPENAI_BASE_URL"), Some(Reserved::Destination.reason()));
    assert_eq!(why(&parsed, "KEY-DASH"), Some(BAD_NAME));
    assert_eq!(why(&parsed, "A_KEY"), Some(OTHER_CASE));
}

#[test]
fn limits_hold() {
    let many: String = (0..=MAX_ENTRIES).map(|i| format!("A{i}=x\n")).collect();

    assert_eq!(refusal(Dialect::Dotenv, &vec![b'#'; MAX_FILE_BYTES + 1]).code, Code::TooLarge);
    assert_eq!(refusal(Dialect::Dotenv, many.as_bytes()).code, Code::TooLarge);
    assert_eq!(read(Dialect::Docker, &many[..many.rfind('A').unwrap()]).entries.len(), MAX_ENTRIES);
}

#[test]
fn hard_files_are_read_in_reasonable_time() {
    // Each once made a reader look ahead to the end of the file at every line.
    for line in [
        "A=it's\n",
        "A=\"x\n",
        "A='\n",
        "A=\\\n",
        "A=$'\n",
        "=\n",
        "A=`\n",
        "A=x'y\"\n",
        ";",
        "A=$\n",
        "a b c\n",
    ] {
        let file = line.repeat(200_000 / line.len());
        for dialect in [Dialect::Dotenv, Dialect::Docker, Dialect::Systemd, Dialect::Shell, Dialect::Json] {
            let began = std::time::Instant::now();
            let _result = parse(dialect, file.as_bytes());
            assert!(began.elapsed().as_secs() < 10, "{dialect:?} {line:?} {:?}", began.elapsed());
        }
    }
}

#[test]
fn x_12_no_bytes_make_a_reader_panic_or_repeat_a_value() {
    let pieces = [
        "A=",
        "B",
        "=",
        "\"",
        "'",
        "`",
        "\\",
        "\n",
        "\r\n",
        "\r",
        " ",
        "#",
        "$",
        "${",
        "}",
        "(",
        ")",
        "$'",
        "export ",
        "declare -x ",
        ";",
        ":",
        "HUSH",
        "\u{FEFF}",
        "é",
        "\\x",
        "\\u",
        "{",
        "\":\"",
        ",",
        "[",
        "-----BEGIN ",
        "-----END ",
        "set -a",
        "\t",
        "~",
        "+=",
    ];
    let mut state = 0x1234_5678_9ABC_DEF1u64;
    let mut pick = |most: usize| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as usize % most
    };
    for _ in 0..60_000 {
        let file: String = (0..pick(14)).map(|_| pieces[pick(pieces.len())]).collect();
        for dialect in [Dialect::Dotenv, Dialect::Docker, Dialect::Systemd, Dialect::Shell, Dialect::Json] {
            match parse(dialect, file.as_bytes()) {
                Ok(parsed) => {
                    assert!(parsed.entries.iter().all(|entry| CredentialName::parse(&entry.name).is_ok()));
                    assert!(parsed.skipped.iter().all(|s| s.name.as_deref().is_none_or(|name| {
                        // A name stands before an equals sign (or a colon), else it is not shown.
                        file.contains(name)
                    })));
                }
                Err(error) => assert!(!format!("{error:?} {}", error.to_json()).contains("HUSH"), "{file:?}"),
            }
        }
    }
}

#[test]
fn a_bare_line_is_never_repeated() {
    for dialect in [Dialect::Dotenv, Dialect::Docker, Dialect::Systemd, Dialect::Shell] {
        let parsed = read(dialect, "HUSHHUSH\nexport HUSHTOO\nhush hush\n");

        assert!(!format!("{parsed:?}").to_lowercase().contains("hush"), "{dialect:?}");
        assert!(parsed.skipped.len() >= 3);
    }
}

#[test]
fn dialects_are_told_by_name_and_first_characters() {
    for (name, bytes, dialect) in [
        (".env", &b"A=1"[..], Dialect::Dotenv),
        ("/x/.env.production", b"export A=1", Dialect::Dotenv),
        ("docker.env", b"A=1", Dialect::Docker),
        ("env.list", b"A=1", Dialect::Docker),
        ("x.sh", b"", Dialect::Shell),
        ("env", b"#!/bin/sh\n", Dialect::Shell),
        ("env", b"A=1\ndeclare -x B=\"2\"\n", Dialect::Shell),
        (".envrc", b"", Dialect::Shell),
        ("config.json", b"", Dialect::Json),
        ("x", b"\xEF\xBB\xBF {\"A\":1}", Dialect::Json),
        ("systemd.env", b"", Dialect::Systemd),
        ("app.service.env", b"", Dialect::Systemd),
        ("x", b"; c\nA=1", Dialect::Systemd),
    ] {
        assert_eq!(detect(name, bytes), dialect, "{name}");
    }
}
