//! What a YAML file may say here, and what no YAML file can make the reader do.
use super::*;
use proptest::prelude::*;

fn refused(text: &str) -> String {
    match documents(text) {
        Err(e) => e.message().to_owned(),
        Ok(_) => panic!("it was read"),
    }
}

fn member(text: &str, name: &str) -> Option<String> {
    let Ok(Node::Map(mut map)) = only(text) else { panic!("it is no map") };
    map.take(name).expect("the name is there").into_value().map(|value| value.expose(str::to_owned))
}

#[test]
fn quotes_blocks_and_plain_text_are_what_yaml_says() {
    let text = "a: plain text # told\nb: 'it''s'\nc: \"l1\\nl2\\u00e4\"\nd: |\n  k1\n   k2\n\ne: >-\n  f1\n  f2\nf: |2-\n   lead\ng: \"5\"\nh: 5\ni: true\nj: ''\n";

    for (name, expected) in [
        ("a", "plain text"),
        ("b", "it's"),
        ("c", "l1\nl2ä"),
        ("d", "k1\n k2\n"),
        ("e", "f1 f2"),
        ("f", " lead"),
        ("g", "5"),
        ("h", "5"),
        ("i", "true"),
        ("j", ""),
    ] {
        assert_eq!(member(text, name).as_deref(), Some(expected), "{name}");
    }
}

#[test]
fn what_readers_differ_about_is_not_guessed_at() {
    for text in [
        "no",
        "Yes",
        "on",
        "OFF",
        "y",
        "True",
        "1.10",
        "1e3",
        "0755",
        "0x1F",
        "0o17",
        "1_000",
        "+5",
        ".5",
        ".inf",
        ".NaN",
        "2026-01-02",
        "2026-01-02T03:04:05Z",
        "12:30",
        "190:20:30",
        "00",
        "99999999999999999999",
        "~",
        "null",
    ] {
        assert_eq!(member(&format!("k: {text}"), "k"), None, "{text}");
    }
    for text in ["1234abcd", "12-34", "1.2.3", "none", "0xzz", "-x", "10.0.0.1", "2026-13", "1e3f", "nope"] {
        assert_eq!(member(&format!("k: {text}"), "k").as_deref(), Some(text));
    }
}

#[test]
fn what_makes_one_text_another_is_refused_with_its_line() {
    for (text, says) in [
        ("a: &x hunter22\nb: *x\n", "line 1: an anchor"),
        ("a: 1\nb: *hunter22\n", "line 2"),
        ("a: !!binary aHVudGVyMjI=\n", "line 1: a tag"),
        ("a: !hunter22 x\n", "line 1: a tag"),
        ("a: x\nb: y\na: hunter22\n", "line 3: a name stands twice"),
        ("a: {b: x, \"b\": hunter22}\n", "line 1: a name stands twice"),
        ("a: x\n<<: {b: hunter22}\n", "line 2: a merge"),
        ("[a, b]: hunter22\n", "line 1: a name that is not text"),
        ("? {a: b}\n: hunter22\n", "line 1: a name that is not text"),
        (": hunter22\n", "line 1"),
        ("a: 'hunter22\n", "line"),
        ("a: \"hunter22\\q\"\n", "line 1"),
        ("a: \"hunter22\\0\"\n", "NUL"),
        ("a: [hunter22\n", "line"),
        ("a: b: hunter22\n", "line 1"),
        ("a:\n\t- hunter22\n", "line"),
        ("a: x\n  hunter22: y\n", "line"),
        ("---\n---\n", "nothing in the file"),
        ("", "nothing in the file"),
        ("# hunter22\n", "nothing in the file"),
    ] {
        let told = refused(text);
        assert!(told.contains(says) && !told.contains("hunter"), "{text:?}: {told}");
    }
    assert!(only("a: x\n---\nb: y\n").is_err_and(|e| e.message().contains("more than one document")));
}

#[test]
fn deep_and_multiplying_files_end_early() {
    let laughs: String =
        (1..30).map(|n| format!("a{n}: &a{n} [{}]\n", format!("*a{},", n - 1).repeat(9))).collect();
    for text in [
        "[".repeat(100_000),
        "- ".repeat(100_000),
        "{a: ".repeat(100_000),
        "? ".repeat(100_000),
        (0..2000).map(|n| format!("{}a:\n", " ".repeat(n))).collect(),
        format!("a0: &a0 x\n{laughs}"),
    ] {
        let told = refused(&text);
        assert!(told.starts_with("line "), "{told}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "[a-c0 \n\t:'\"\\[\\]{},#&*!|>%@`?~<-]{0,60}|\\PC{0,60}") {
        if let Err(e) = documents(&text) {
            prop_assert!(e.message().starts_with("line "));
        }
    }
}
