//! The masker by itself: examples, then properties (X-10).
use super::super::encodings;
use super::*;
use proptest::prelude::*;
use std::sync::Arc;

fn patterns(values: &[(&str, &[u8])]) -> Arc<Patterns> {
    let values: Vec<_> = values.iter().map(|(label, value)| (*label, SecretBytes::copied(value))).collect();
    Arc::new(Patterns::new(values.iter().map(|(label, value)| (*label, value))))
}

fn masked_in(patterns: &Arc<Patterns>, pieces: &[&[u8]]) -> Vec<u8> {
    let (mut masker, mut out) = (Masker::new(Arc::clone(patterns)), Vec::new());
    pieces.iter().for_each(|piece| masker.push(piece, &mut out));
    masker.finish(&mut out);
    out
}

fn masked(values: &[(&str, &[u8])], stream: &[u8]) -> String {
    text(&masked_in(&patterns(values), &[stream]))
}

#[test]
fn r_09_a_value_is_masked_in_every_encoding_and_leaves_nothing_behind() {
    let value = "pä ss+w/o?r&d=\"x'y\\z$1~";
    let of = [("KEY", value.as_bytes())];
    for encoding in encodings::of_value(value.as_bytes()) {
        let stream = [b"before ", &encoding[..], b" after"].concat();

        assert_eq!(masked(&of, &stream), "before [unsaid:KEY] after");
    }
}

#[test]
fn r_09_a_value_is_masked_in_documents_within_documents() {
    // A tool of an MCP server answers with a document as text, in a message that is one.
    let value = "p\u{e4} ss\"wo\\rd/<&>";
    let mut stream = value.to_owned();
    for level in 1..=3 {
        stream = serde_json::to_string(&stream).expect("text is JSON").replace('\u{e4}', "\\u00e4");
        let shown = masked(&[("KEY", value.as_bytes())], stream.as_bytes());

        assert!(shown.contains("[unsaid:KEY]") && !shown.contains("wo"), "level {level}");
        // What is left is a document still.
        assert!(serde_json::from_str::<String>(&shown).is_ok(), "level {level}");
    }
}

#[test]
fn r_09_a_value_is_masked_in_a_form_of_a_browser_and_of_python() {
    let value = "pa ss~wo*rd+x";

    for form in ["pa+ss%7Ewo*rd%2Bx", "pa+ss~wo%2Ard%2Bx"] {
        assert_eq!(
            masked(&[("KEY", value.as_bytes())], format!("key={form}&b").as_bytes()),
            "key=[unsaid:KEY]&b"
        );
    }
}

#[test]
fn r_09_base64_is_masked_at_every_offset_in_a_longer_text() {
    let value = b"correct horse battery";
    for encoding in [data_encoding::BASE64, data_encoding::BASE64URL_NOPAD] {
        for before in ["", "u", "us", "use", "user:"] {
            let stream = encoding.encode(&[before.as_bytes(), value, b":and more"].concat());
            let shown = masked(&[("KEY", value)], stream.as_bytes());

            assert!(shown.contains("[unsaid:KEY]"), "{before}");
            assert!(shown.len() < stream.len(), "{before}");
        }
    }
}

#[test]
fn r_10_a_value_under_six_bytes_passes() {
    assert_eq!(masked(&[("PIN", b"12345")], b"12345"), "12345");
    assert_eq!(masked(&[("PIN", b" 12345\n")], b"12345"), "12345");
    assert_eq!(masked(&[("PIN", b"123456")], b"x123456x"), "x[unsaid:PIN]x");
}

#[test]
fn r_10_each_leaf_of_a_json_value_is_masked() {
    let document = br#"{"user":"administrator","pw":{"now":"p\u00e4ss/word"},"ids":[12345678]}"#;

    let shown = masked(&[("DB", document)], "administrator päss/word 12345678 p\\u00e4ss\\/word".as_bytes());

    assert_eq!(shown, "[unsaid:DB] [unsaid:DB] [unsaid:DB] [unsaid:DB]");
}

#[test]
fn r_10_what_every_key_file_holds_is_not_masked_by_itself() {
    let document =
        br#"{"type":"service_account","uri":"https://accounts.example.com/auth","id":"0123456789"}"#;
    let stream = b"service_account https://accounts.example.com/auth 0123456789";

    assert_eq!(
        masked(&[("K", document)], stream),
        "service_account https://accounts.example.com/auth [unsaid:K]"
    );
}

#[test]
fn the_password_in_a_url_is_masked_by_itself_as_it_is_and_decoded() {
    let shown =
        masked(&[("DSN", b"postgres://me:hunt%2Fer22@db/x")], b"hunt%2Fer22 hunt/er22 postgres://me@db");

    assert_eq!(shown, "[unsaid:DSN] [unsaid:DSN] postgres://me@db");
}

#[test]
fn a_key_of_several_lines_is_masked_whole_with_either_line_end_and_line_by_line() {
    let (one, two) = ("A1b2".repeat(16), "C3d4".repeat(7));
    let key = format!("-----BEGIN KEY-----\n{one}\n{two}\n-----END KEY-----\n");
    let of = [("KEY", key.as_bytes())];

    assert_eq!(masked(&of, key.as_bytes()), "[unsaid:KEY]\n");
    assert_eq!(masked(&of, key.replace('\n', "\r\n").as_bytes()), "[unsaid:KEY]\r\n");
    assert_eq!(masked(&of, format!("> {two}").as_bytes()), "> [unsaid:KEY]");
    assert_eq!(masked(&of, b"-----BEGIN KEY-----\nother"), "-----BEGIN KEY-----\nother");
}

#[test]
fn base64_in_lines_is_masked() {
    let value = "long value ".repeat(20);
    let encoded = data_encoding::BASE64.encode(value.trim().as_bytes());
    let lines: Vec<&str> =
        encoded.as_bytes().chunks(76).map(|line| std::str::from_utf8(line).unwrap()).collect();

    let shown = masked(&[("KEY", value.as_bytes())], lines.join("\n").as_bytes());

    assert!(lines.iter().all(|line| !shown.contains(line)), "{shown}");
}

#[test]
fn the_longer_of_two_values_names_the_marker() {
    let of: [(&str, &[u8]); 2] = [("SHORT", b"abcdef"), ("LONG", b"abcdefghijkl")];

    assert_eq!(masked(&of, b"abcdefghijkl."), "[unsaid:LONG].");
    assert_eq!(masked(&of, b"abcdef."), "[unsaid:SHORT].");
    assert_eq!(masked(&of, b"abcdef"), "[unsaid:SHORT]");
}

#[test]
fn x_10_a_short_value_within_the_beginning_of_a_longer_one_is_masked_at_the_end() {
    let of: [(&str, &[u8]); 2] = [("LONG", b"abcdefghijklmnop"), ("SHORT", b"cdefgh")];

    assert_eq!(masked(&of, b"abcdefgh"), "ab[unsaid:SHORT]");
    assert_eq!(masked(&of, b"abcdefghi."), "ab[unsaid:SHORT]i.");
    assert_eq!(masked(&of, b"abcdefghijklmnop"), "[unsaid:LONG]");
}

#[test]
fn a_marker_never_prints_what_it_hides() {
    assert_eq!(masked(&[("PRODUCTION", b"PRODUCTION")], b"in PRODUCTION"), "in [***]");
}

#[test]
fn a_long_value_that_is_cut_off_is_masked_as_far_as_it_goes() {
    let value: String = (0..60).map(|n| format!("{n:04}-")).collect();

    assert_eq!(masked(&[("KEY", value.as_bytes())], &value.as_bytes()[..200]), "[unsaid:KEY]");
    assert_eq!(masked(&[("KEY", value.as_bytes())], &value.as_bytes()[..40]), "[unsaid:KEY]");
    assert_eq!(masked(&[("KEY", value.as_bytes())], &value.as_bytes()[..7]), "0000-00");
}

#[test]
fn only_the_beginning_of_a_value_is_held_back() {
    let (mut masker, mut out) = (Masker::new(patterns(&[("KEY", b"zebra-zebra-zoo")])), Vec::new());

    masker.push(b"ready> zebra-z", &mut out);
    assert_eq!(text(&out), "ready> ");
    masker.push(b"ip\n", &mut out);
    assert_eq!(text(&out), "ready> zebra-zip\n");
}

#[test]
fn r_11_a_pause_shows_three_bytes_once_and_never_a_value() {
    let (mut masker, mut out) = (Masker::new(patterns(&[("KEY", b"zebra-zebra-zoo")])), Vec::new());
    for byte in b"zebra-zebra-zoo" {
        masker.push(&[*byte], &mut out);
        masker.pause(&mut out);
        assert!(!masker.has_more_to_show());
    }
    masker.push(b" zebra", &mut out);
    masker.pause(&mut out);
    masker.push(b" crossing", &mut out);
    masker.finish(&mut out);

    assert_eq!(text(&out), "zeb[unsaid:KEY] zebra crossing");
}

#[test]
fn r_11_a_pause_shows_the_scheme_of_a_url() {
    let (mut masker, mut out) = (Masker::new(patterns(&[("DSN", b"postgres://me:secret@db/x")])), Vec::new());
    masker.push(b"$ psql postgres://me:", &mut out);
    masker.pause(&mut out);

    assert_eq!(text(&out), "$ psql postgres://");
}

/// A stream of noise and of encodings of the values, and where to cut it.
fn streams() -> impl Strategy<Value = (Vec<Vec<u8>>, Vec<u8>, Vec<usize>)> {
    let value = prop_oneof![
        proptest::collection::vec(any::<u8>(), 6..160),
        "[ab]{6,14}".prop_map(String::into_bytes),
        "[a-zA-Z0-9+/=_.-]{6,60}".prop_map(String::into_bytes),
        "\\PC{6,40}".prop_map(String::into_bytes),
        "([a-z]{4,20}\n){2,5}".prop_map(String::into_bytes),
    ];
    let noise =
        prop_oneof![proptest::collection::vec(any::<u8>(), 0..40), "[ab]{0,20}".prop_map(String::into_bytes)];
    let pieces = proptest::collection::vec((noise, any::<u16>(), any::<u16>(), any::<bool>()), 1..12);
    let cuts = proptest::collection::vec(any::<u16>(), 0..30);
    (proptest::collection::vec(value, 1..4), pieces, cuts).prop_map(|(values, pieces, cuts)| {
        let texts: Vec<_> = values.iter().flat_map(|value| encodings::of_value(value)).collect();
        let mut stream = Vec::new();
        for (noise, which, length, is_whole) in pieces {
            stream.extend(noise);
            if let Some(text) = texts.get(usize::from(which) % texts.len().max(1)) {
                let length = if is_whole { text.len() } else { usize::from(length) % text.len() };
                stream.extend_from_slice(&text[..length]);
            }
        }
        let mut cuts: Vec<usize> =
            cuts.into_iter().map(|cut| usize::from(cut) % (stream.len() + 1)).collect();
        cuts.sort_unstable();
        (values, stream, cuts)
    })
}

fn contains(stream: &[u8], part: &[u8]) -> bool {
    stream.windows(part.len()).any(|window| window == part)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn x_10_no_encoding_of_a_value_comes_through_and_cuts_do_not_matter((values, stream, cuts) in streams()) {
        let of: Vec<(&str, &[u8])> = values.iter().map(|value| ("KEY", &value[..])).collect();
        let patterns = patterns(&of);
        let whole = masked_in(&patterns, &[&stream]);
        let mut ends = cuts.clone();
        ends.push(stream.len());
        let starts = std::iter::once(0).chain(cuts);
        let pieces: Vec<&[u8]> = starts.zip(ends).map(|(start, end)| &stream[start..end]).collect();

        prop_assert_eq!(&masked_in(&patterns, &pieces), &whole);
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        prop_assert_eq!(&masked_in(&patterns, &bytes), &whole);
        prop_assert_eq!(&masked_in(&patterns, &[&whole]), &whole, "masking twice changes nothing");
        for text in values.iter().flat_map(|value| encodings::of_value(value)) {
            prop_assert!(!contains(&whole, &text));
        }
    }

    #[test]
    fn b_27_a_stream_without_a_value_passes_unchanged(
        stream in proptest::collection::vec(any::<u8>(), 0..5000), cuts in 1usize..700,
    ) {
        let value = [0xfeu8, b'k', 0xfd].repeat(9);
        let patterns = patterns(&[("KEY", &value), ("OTHER", b"quite-improbable-0123456789")]);
        let pieces: Vec<&[u8]> = stream.chunks(cuts).collect();

        prop_assert_eq!(masked_in(&patterns, &pieces), stream);
    }

    #[test]
    fn x_10_pauses_show_at_most_the_beginning(value in "[a-z]{8,30}", cut in 1usize..30) {
        let (mut masker, mut out) = (Masker::new(patterns(&[("K", value.as_bytes())])), Vec::new());
        for piece in value.as_bytes().chunks(cut) {
            masker.push(piece, &mut out);
            masker.pause(&mut out);
        }
        masker.finish(&mut out);

        prop_assert!(out.ends_with(b"[unsaid:K]") && out.len() <= 3 + b"[unsaid:K]".len());
    }
}
