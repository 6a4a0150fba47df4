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

/// `text` as it may stand between the quotes of a JSON string: `habit` says for each character how it is written.
fn in_json(text: &str, mut habit: impl FnMut(char) -> Habit) -> String {
    let mut escaped = String::new();
    for character in text.chars() {
        let plain = serde_json::to_string(&character).expect("a character is JSON");
        let units = character.encode_utf16(&mut [0; 2]).to_vec();
        match habit(character) {
            Habit::Plain => escaped.push_str(&plain[1..plain.len() - 1]),
            Habit::Slash if character == '/' => escaped.push_str("\\/"),
            Habit::Slash => escaped.push_str(&plain[1..plain.len() - 1]),
            Habit::Lower => units.iter().for_each(|unit| escaped.push_str(&format!("\\u{unit:04x}"))),
            Habit::Upper => units.iter().for_each(|unit| escaped.push_str(&format!("\\u{unit:04X}"))),
        }
    }
    escaped
}

#[derive(Clone, Copy, Debug)]
enum Habit {
    Plain,
    Slash,
    Lower,
    Upper,
}

type Writer = fn(char) -> Habit;

/// What writers of JSON escape, beyond what they must.
const HABITS: [(&str, Writer); 9] = [
    ("none", |_| Habit::Plain),
    ("php", |c| if c.is_ascii() { Habit::Slash } else { Habit::Lower }),
    ("python", |c| if c.is_ascii() { Habit::Plain } else { Habit::Lower }),
    ("go", |c| if "<>&".contains(c) { Habit::Lower } else { Habit::Plain }),
    ("gson", |c| if "<>&='".contains(c) { Habit::Lower } else { Habit::Plain }),
    ("dotnet", |c| if "<>&'+\"`".contains(c) || !c.is_ascii() { Habit::Upper } else { Habit::Plain }),
    ("one letter", |c| if c == 'w' { Habit::Upper } else { Habit::Plain }),
    ("all", |_| Habit::Lower),
    ("all, upper", |_| Habit::Upper),
];

/// So many documents within each other, all by the same writer; without the outermost quotes.
fn nested(text: &str, levels: usize, habit: Writer) -> String {
    let mut stream = in_json(text, habit);
    for _ in 1..levels {
        stream = in_json(&format!("{{\"text\": \"{stream}\"}}"), habit);
    }
    stream
}

/// What a reader of `levels` documents within each other reads.
fn decoded(stream: &str, levels: usize) -> String {
    let mut text = stream.to_owned();
    for level in 0..levels {
        text = serde_json::from_str(&format!("\"{text}\"")).unwrap_or_else(|e| panic!("{level} {e}: {text}"));
        if level + 1 < levels {
            let document: serde_json::Value = serde_json::from_str(&text).expect("a document");
            let inner = serde_json::to_string(&document["text"]).expect("text is JSON");
            text = inner[1..inner.len() - 1].to_owned();
        }
    }
    text
}

#[test]
fn r_09_a_value_is_masked_however_a_writer_of_json_escapes_it() {
    let value = "p\u{e4} ss=w/o?r&d\"x'y\\z`1+<>\u{1f511}$~";
    for (name, habit) in HABITS {
        for levels in 1..=3 {
            let stream = nested(&format!("before {value} after"), levels, habit);
            let shown = masked(&[("KEY", value.as_bytes())], stream.as_bytes());

            // What is left is a document still.
            assert_eq!(decoded(&shown, levels), "before [unsaid:KEY] after", "{name} {levels}");
        }
    }
}

#[test]
fn r_09_what_is_escaped_is_masked_in_every_encoding_and_in_all_its_parts() {
    let key = format!("-----BEGIN KEY-----\n{}\nshort=/\n-----END KEY-----", "A1b2/+".repeat(10));
    let long = (0..60).map(|n| format!("{n:04}/")).collect::<String>();
    let document = r#"{"user":"administrator","pw":"p\u00e4ss/word"}"#;
    for (name, habit) in HABITS {
        for (value, text) in [
            (key.as_str(), key.clone()),
            (long.as_str(), long.clone()),
            (document, document.to_owned()),
            (document, "p\u{e4}ss/word".to_owned()),
            ("correct?>horse~~", data_encoding::BASE64.encode(b"correct?>horse~~")),
            ("correct horse/", "correct%20horse%2F".to_owned()),
        ] {
            let shown = masked(&[("KEY", value.as_bytes())], nested(&text, 2, habit).as_bytes());

            assert_eq!(decoded(&shown, 2), "[unsaid:KEY]", "{name}: {text}");
        }
    }
}

#[test]
fn r_09_a_value_that_looks_like_an_escape_is_masked_as_it_is_and_escaped() {
    for value in [r"pass\u0041word", r"C:\new\table", r"\\\\\\", r"tail\ud83d\", "quote\\\"d\\/\\'"] {
        assert_eq!(
            masked(&[("KEY", value.as_bytes())], format!("a {value} b").as_bytes()),
            "a [unsaid:KEY] b"
        );
        for (name, habit) in HABITS {
            let shown =
                masked(&[("KEY", value.as_bytes())], format!("{}, b", in_json(value, habit)).as_bytes());

            assert_eq!(shown, "[unsaid:KEY], b", "{name} {value}");
        }
    }
}

#[test]
fn r_09_what_is_escaped_and_is_no_value_passes_as_it_is() {
    let of: [(&str, &[u8]); 2] = [("KEY", b"Zebra/Zebra=Zoo"), ("OTHER", b"Zulu-9876")];
    for stream in [
        r"\u005aebra\/Zebra=Zo\u006e",
        r"\u005aebra\/Zebra",
        r"\u005",
        r"\u005g\u005aebra",
        r"\ud83d \ud83d\ud83d \udc00 \",
        r"C:\Zebra\Zebra=Zoo \x5aebra",
        r"\\\\\u005aebra",
        r#"{"a":"line\nline\t\"quoted\" \u00e9"}"#,
        // A document deeper than anybody writes one.
        &nested("Zebra/Zebra=Zoo", 4, |_| Habit::Lower),
    ] {
        assert_eq!(masked(&of, stream.as_bytes()), stream);
        let bytes: Vec<&[u8]> = stream.as_bytes().chunks(1).collect();
        assert_eq!(text(&masked_in(&patterns(&of), &bytes)), stream);
    }
}

#[test]
fn r_09_an_escaped_value_of_several_that_begin_alike_has_the_marker_of_the_longest() {
    let of: [(&str, &[u8]); 2] = [("SHORT", b"abcdef"), ("LONG", b"abcdefghijkl")];

    assert_eq!(masked(&of, br"abcd\u0065fghijkl."), "[unsaid:LONG].");
    assert_eq!(masked(&of, br"abcdef\u0067hijkl."), "[unsaid:LONG].");
    assert_eq!(masked(&of, br"abcd\u0065f\u002e"), r"[unsaid:SHORT]\u002e");
    assert_eq!(masked(&of, br"abcdef\u002e"), r"[unsaid:SHORT]\u002e");
}

#[test]
fn r_11_a_pause_shows_no_more_of_what_is_escaped() {
    let (mut masker, mut out) = (Masker::new(patterns(&[("KEY", b"zebra-zebra-zoo")])), Vec::new());
    let stream = br"\u007aeb\u0072a-zebra-zoo C:\";
    for byte in stream {
        masker.push(&[*byte], &mut out);
        masker.pause(&mut out);
        assert!(!masker.has_more_to_show());
    }
    // A prompt that ends in a backslash is there at once.
    assert_eq!(text(&out), r"\u007aeb[unsaid:KEY] C:\");
    masker.push(b">", &mut out);
    masker.finish(&mut out);

    assert_eq!(text(&out), r"\u007aeb[unsaid:KEY] C:\>");
}

#[test]
fn what_is_held_back_does_not_grow_with_the_stream() {
    let value = "A1b2".repeat(50);
    let of = patterns(&[("KEY", value.as_bytes())]);
    let (mut masker, mut out) = (Masker::new(of), Vec::new());
    // Beginnings of the value, three documents deep, and backslashes without end.
    let beginning = nested(&value[..120], 3, |_| Habit::Lower).repeat(8);
    for piece in beginning.as_bytes().chunks(700).chain([&[b'\\'; 700][..]; 40]) {
        let before = out.len();
        masker.push(piece, &mut out);
        assert!(out.len() <= before + 128 * 36 * 12 + 700);
    }
    let sent = beginning.len() + 40 * 700;
    assert!(sent - out.len() <= 128 * 36 * 12, "{} of {sent} are held back", sent - out.len());
    masker.finish(&mut out);

    assert_eq!(out.len(), sent);
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
fn r_09_base64_in_lines_is_masked_wherever_the_value_begins() {
    let long = format!("long/{}value", "0aZ9".repeat(60));
    for value in ["correct horse battery staple", long.as_str()] {
        let of = patterns(&[("KEY", value.as_bytes())]);
        for before in 0..120 {
            for (width, end) in [(76, "\n"), (76, "\r\n"), (64, "\n")] {
                let whole = format!("{}{value}{}", "u".repeat(before), ":and something after it".repeat(3));
                let encoded = data_encoding::BASE64.encode(whole.as_bytes());
                let lines: Vec<&str> =
                    encoded.as_bytes().chunks(width).map(|line| std::str::from_utf8(line).unwrap()).collect();
                let shown = text(&masked_in(&of, &[lines.join(end).as_bytes()]));

                // But for the characters at either end that it shares with what stands beside it.
                let left = shown.replace("[unsaid:KEY]", "").replace(['\r', '\n'], "").len();
                assert!(left <= encoded.len() - (value.len() * 4 / 3 - 2), "{before} {width} {shown}");
                assert_eq!(shown.matches("[unsaid:KEY]").count(), 1, "{before} {width} {shown}");
            }
        }
    }
}

#[test]
fn base64_in_lines_of_something_else_passes() {
    let of = patterns(&[("KEY", b"correct horse battery staple")]);
    for before in 0..60 {
        for other in ["correct horse battery STAPLE", "correct horse-battery staple"] {
            let encoded = data_encoding::BASE64.encode(format!("{}{other}", "u".repeat(before)).as_bytes());
            let lines: Vec<&[u8]> = encoded.as_bytes().chunks(76).collect();
            let stream = lines.join(&b"\n"[..]);

            let shown = text(&masked_in(&of, &[&stream, b"."]));
            assert_eq!(shown, format!("{}.", String::from_utf8_lossy(&stream)), "{before}");
        }
    }
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
    fn x_10_no_reader_of_json_finds_a_value_however_each_of_its_characters_is_written(
        value in prop_oneof!["\\PC{6,60}", "[ab\\\\/\"u0]{6,20}", "[A-Za-z0-9+/=]{100,150}"],
        around in "[ab\\\\u0/\"'n]{0,30}",
        habits in proptest::collection::vec(0usize..4, 1..40),
        cut in 1usize..50,
    ) {
        prop_assume!(value.trim().len() >= 6);
        let mut habits = habits.iter().cycle();
        let mut habit = |_| [Habit::Plain, Habit::Slash, Habit::Lower, Habit::Upper][*habits.next().expect("a cycle")];
        let mut stream = in_json(&format!("{around}{value}{around}"), &mut habit);
        let patterns = patterns(&[("KEY", value.as_bytes())]);
        for level in 1..=3 {
            let whole = masked_in(&patterns, &[stream.as_bytes()]);
            let pieces: Vec<&[u8]> = stream.as_bytes().chunks(cut).collect();

            prop_assert_eq!(&masked_in(&patterns, &pieces), &whole, "the cuts matter");
            let mut read = text(&whole);
            for _ in 0..level {
                prop_assert!(!read.contains(value.trim()), "{} {}", level, read);
                read = serde_json::from_str(&format!("\"{read}\"")).unwrap_or_default();
            }
            prop_assert!(!read.contains(value.trim()), "{} {}", level, read);
            stream = in_json(&stream, &mut habit);
        }
    }

    #[test]
    fn b_27_escapes_without_a_value_pass_unchanged(
        stream in "[\\\\u0aAd8cf/\"n\n]{0,600}", cut in 1usize..70,
    ) {
        let patterns = patterns(&[("KEY", b"quite-improbable-0123456789")]);
        let pieces: Vec<&[u8]> = stream.as_bytes().chunks(cut).collect();

        prop_assert_eq!(text(&masked_in(&patterns, &pieces)), stream);
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
