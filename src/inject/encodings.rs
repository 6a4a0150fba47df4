//! The ways a program may print a value: as it is, or in one of the encodings that programs use without thinking.
//!
//! Of the escapes of JSON only those of common writers are here, for what lies in files: in a stream they are undone
//! ([`super::views`]). What a program does on purpose is not here: reverse it, encrypt it, print every second character.
use data_encoding::{BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD, Encoding, HEXLOWER, HEXUPPER};
use zeroize::Zeroizing;

/// Values shorter than this many bytes, white space around them not counted, are not masked.
pub const MASKED_FROM_BYTES: usize = 6;
/// A line of a value with several is masked by itself from this length on.
const LINE_FROM_BYTES: usize = 16;
/// More parts than this and each is looked for as it is only.
const PARTS_WITH_ENCODINGS: usize = 64;
const MOST_LINES: usize = 4096;
/// In files a value is also looked for within JSON within JSON, so many levels deep: a log often has a document in the
/// text of a message.
const NESTED: usize = 3;
/// Up to this size, in bytes, a value is looked for in base64 with line ends in it wherever they fall.
const FOLDED_BYTES: usize = 4096;
/// How long the lines of base64 are: MIME's, and PEM's.
const WIDTHS: [usize; 2] = [76, 64];
/// From this size on only the most likely encodings are looked for.
const LARGE_BYTES: usize = 64 * 1024;

/// A line or a part of a value is looked for in what others wrote only where it has so many bytes.
const TELLING_FROM_BYTES: usize = 20;
/// So much of the beginning of a value is looked for in its encodings.
const HEAD_BYTES: usize = 768;

/// In no order, and some of them twice.
type Texts = Vec<Zeroizing<Vec<u8>>>;

/// Every text that gives `value` away, none of them shorter than [`MASKED_FROM_BYTES`] bytes.
///
/// White space around the value is left out, for `$(cat file)` drops it, and then every pattern begins with a
/// character that says something. A JSON object or a URL is also taken apart.
pub(super) fn of_value(value: &[u8]) -> Texts {
    let mut texts = Texts::new();
    let core = value.trim_ascii();
    add_encodings(&mut texts, core);
    add_folded(&mut texts, core);
    add_lines(&mut texts, core);
    let parts = parts(core);
    let few = parts.len() <= PARTS_WITH_ENCODINGS;
    for part in &parts {
        let part = part.trim_ascii();
        if few {
            add_encodings(&mut texts, part);
            add_folded(&mut texts, part);
        } else {
            add(&mut texts, part.to_vec())
        }
        add_lines(&mut texts, part);
    }
    texts
}

/// Every text by which `value` is found in what somebody else wrote: its beginning in all encodings, and of its lines
/// and parts those that nothing else has.
///
/// A masker may hide a line such as `current-context: default` because a key file has it. Who looks for a leak must not
/// hear of every file that has it too.
pub(super) fn to_find(value: &[u8]) -> Texts {
    let core = value.trim_ascii();
    let mut texts = Texts::new();
    add_encodings(&mut texts, head(core));
    add_in_json(&mut texts, head(core));
    let mut pieces = Texts::new();
    add_lines(&mut pieces, core);
    let is_document = matches!(core.first(), Some(b'{' | b'['));
    let parts = parts(core);
    let few = parts.len() <= PARTS_WITH_ENCODINGS;
    for part in &parts {
        add_lines(&mut pieces, part);
        // The password in a URL is one, whatever it looks like.
        if !is_document || part.contains(&b'\n') || tells(part) {
            match few {
                true => {
                    add_encodings(&mut texts, head(part.trim_ascii()));
                    add_in_json(&mut texts, head(part.trim_ascii()));
                }
                false => add(&mut texts, part.to_vec()),
            }
        }
    }
    texts.extend(pieces.into_iter().filter(|piece| tells(piece)));
    texts
}

/// The beginning of `value`, whole characters only.
fn head(value: &[u8]) -> &[u8] {
    let head = &value[..value.len().min(HEAD_BYTES)];
    match std::str::from_utf8(head) {
        // A character is cut, and not a byte that is none.
        Err(e) if e.error_len().is_none() => &head[..e.valid_up_to()],
        _ => head,
    }
}

/// Whether a text is nobody else's: long, of letters and digits, in one piece, and no address.
fn tells(text: &[u8]) -> bool {
    text.len() >= TELLING_FROM_BYTES
        && text.iter().any(u8::is_ascii_digit)
        && text.iter().any(u8::is_ascii_alphabetic)
        && !text.iter().any(|byte| byte.is_ascii_whitespace() || *byte == b'@')
        && scheme_bytes(text) == 0
}

fn add(texts: &mut Texts, text: Vec<u8>) {
    let text = Zeroizing::new(text);
    if text.len() >= MASKED_FROM_BYTES {
        texts.push(text);
    }
}

fn add_encodings(texts: &mut Texts, value: &[u8]) {
    if value.len() < MASKED_FROM_BYTES {
        return;
    }
    add(texts, value.to_vec());
    for ends in line_ends(value) {
        add_quoted(texts, &ends);
        add(texts, ends.to_vec());
    }
    add_quoted(texts, value);
    for encoding in [&BASE64, &BASE64URL] {
        add(texts, encoding.encode(value).into_bytes());
        add_wrapped(texts, encoding, value);
    }
    for (plain, skip) in [&BASE64_NOPAD, &BASE64URL_NOPAD].into_iter().flat_map(|e| [(e, 0), (e, 1), (e, 2)])
    {
        add(texts, base64_inside(plain, value, skip));
    }
    add(texts, BASE64_NOPAD.encode(value).into_bytes());
    add(texts, BASE64URL_NOPAD.encode(value).into_bytes());
    if value.len() > LARGE_BYTES {
        return;
    }
    add(texts, HEXLOWER.encode(value).into_bytes());
    add(texts, HEXUPPER.encode(value).into_bytes());
    // RFC 3986; JavaScript's encodeURIComponent and encodeURI; Python's quote; a form of a browser, and of Python and Go.
    for kept in ["-._~", "-._~!'()*", "-._~!'()*;,/?:@&=+$#", "-._~/", "*-._+", "-._~+", ""] {
        for upper in [true, false] {
            add(texts, percent(value, kept, upper));
        }
    }
    let every: Vec<u8> = value.iter().flat_map(|byte| format!("%{byte:02X}").into_bytes()).collect();
    add(texts, every.to_ascii_lowercase());
    add(texts, every);
}

/// The characters of `value` in base64 that stay the same whatever stands before (`skip` bytes, modulo 3) and
/// after it: for instance the password in `Basic` authorization.
fn base64_inside(encoding: &Encoding, value: &[u8], skip: usize) -> Vec<u8> {
    let shifted = Zeroizing::new([&vec![0u8; skip][..], value].concat());
    let mut text = encoding.encode(&shifted).into_bytes();
    text.truncate(shifted.len() * 8 / 6);
    text.drain(..(skip * 8).div_ceil(6));
    text
}

/// The lines in which base64(1), MIME (76) and PEM (64) break a long text.
fn add_wrapped(texts: &mut Texts, encoding: &Encoding, value: &[u8]) {
    for width in WIDTHS {
        let encoded = Zeroizing::new(encoding.encode(value).into_bytes());
        if encoded.len() <= width || encoded.len() / width > MOST_LINES {
            continue;
        }
        for line in encoded.chunks(width).filter(|line| line.len() >= LINE_FROM_BYTES) {
            add(texts, line.to_vec());
        }
    }
}

/// Base64 in lines of a longer text that begins somewhere before the value, so that a line end may stand anywhere in it
/// where four characters end.
fn add_folded(texts: &mut Texts, value: &[u8]) {
    if value.len() > FOLDED_BYTES {
        return;
    }
    for skip in 0..3 {
        let inside = Zeroizing::new(base64_inside(&BASE64_NOPAD, value, skip));
        let first_column = (skip * 8).div_ceil(6) % 4;
        for width in WIDTHS {
            for column in (first_column..width).step_by(4).filter(|column| width - column < inside.len()) {
                let (first, rest) = inside.split_at(width - column);
                for end in [&b"\n"[..], b"\r\n"] {
                    let mut text = Vec::with_capacity(inside.len() + (rest.len() / width + 1) * end.len());
                    text.extend_from_slice(first);
                    for line in rest.chunks(width) {
                        text.extend_from_slice(end);
                        text.extend_from_slice(line);
                    }
                    add(texts, text);
                }
            }
        }
    }
}

/// The same lines with the other line end; a terminal turns LF into CR LF.
fn line_ends(value: &[u8]) -> Vec<Zeroizing<Vec<u8>>> {
    if !value.contains(&b'\n') {
        return Vec::new();
    }
    let lf: Vec<u8> = value.iter().copied().filter(|&byte| byte != b'\r').collect();
    let crlf =
        lf.iter().flat_map(|&byte| if byte == b'\n' { vec![b'\r', b'\n'] } else { vec![byte] }).collect();
    vec![Zeroizing::new(lf), Zeroizing::new(crlf)]
}

/// The lines of a key file, but not its `-----BEGIN …-----`, which says nothing.
fn add_lines(texts: &mut Texts, value: &[u8]) {
    let lines: Vec<&[u8]> = value.split(|&byte| byte == b'\n').map(|line| line.trim_ascii()).collect();
    if lines.len() < 2 || lines.len() > MOST_LINES {
        return;
    }
    for line in lines.into_iter().filter(|line| line.len() >= LINE_FROM_BYTES && !line.starts_with(b"-----"))
    {
        add(texts, line.to_vec());
    }
}

/// What a structured value is made of: the leaves of a JSON document, the password in a URL.
fn parts(value: &[u8]) -> Vec<Zeroizing<Vec<u8>>> {
    let mut found = Vec::new();
    if matches!(value.first(), Some(b'{' | b'[')) {
        if let Ok(document) = serde_json::from_slice::<serde_json::Value>(value) {
            add_leaves(&mut found, document);
        }
    } else if let Some(password) = url_password(value) {
        found.push(Zeroizing::new(password.to_vec()));
        found.push(Zeroizing::new(unpercent(password)));
    }
    found
}

fn add_leaves(found: &mut Vec<Zeroizing<Vec<u8>>>, leaf: serde_json::Value) {
    match leaf {
        serde_json::Value::String(text) if is_public(&text) => {}
        serde_json::Value::String(text) => found.push(Zeroizing::new(text.into_bytes())),
        serde_json::Value::Number(number) => found.push(Zeroizing::new(number.to_string().into_bytes())),
        serde_json::Value::Array(items) => items.into_iter().for_each(|item| add_leaves(found, item)),
        serde_json::Value::Object(fields) => fields.into_iter().for_each(|(_, item)| add_leaves(found, item)),
        serde_json::Value::Bool(_) | serde_json::Value::Null => {}
    }
}

/// What every key file of a kind holds. To mask these would blot out half of any program's output.
fn is_public(text: &str) -> bool {
    let is_plain_url = text.starts_with("https://") && !text.contains(['@', '?', '#']);
    is_plain_url || ["service_account", "authorized_user", "googleapis.com"].contains(&text)
}

/// `pw` of `scheme://user:pw@host/…`.
fn url_password(value: &[u8]) -> Option<&[u8]> {
    let after = scheme_bytes(value);
    let rest = (after > 0).then(|| &value[after..])?;
    let authority = rest.split(|byte| matches!(byte, b'/' | b'?' | b'#')).next()?;
    let user = &authority[..authority.iter().rposition(|&byte| byte == b'@')?];
    Some(&user[user.iter().position(|&byte| byte == b':')? + 1..])
}

/// How many bytes of `text` are `scheme://`; these are no secret.
pub(super) fn scheme_bytes(text: &[u8]) -> usize {
    let letters = text.iter().take_while(|b| b.is_ascii_alphanumeric() || b"+-.".contains(b)).count();
    if letters > 0 && text[letters..].starts_with(b"://") { letters + 3 } else { 0 }
}

pub(super) fn unpercent(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, after @ ..] = rest {
        let byte = after
            .get(..2)
            .filter(|_| *first == b'%')
            .and_then(|two| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok());
        plain.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &after[2..] } else { after };
    }
    plain
}

/// Percent encoding that keeps letters, digits and `kept`; where `+` is the last that is kept, a space becomes one (a
/// form).
fn percent(value: &[u8], kept: &str, upper: bool) -> Vec<u8> {
    let mut text = Vec::with_capacity(value.len() * 3);
    let form = kept.ends_with('+');
    for &byte in value {
        match byte {
            b' ' if form => text.push(b'+'),
            b'+' if form => text.extend(if upper { b"%2B" } else { b"%2b" }),
            _ if byte.is_ascii_alphanumeric() || kept.as_bytes().contains(&byte) => text.push(byte),
            _ if upper => text.extend(format!("%{byte:02X}").bytes()),
            _ => text.extend(format!("%{byte:02x}").bytes()),
        }
    }
    text
}

/// Quoting inside a string of a shell.
fn add_quoted(texts: &mut Texts, value: &[u8]) {
    for (from, to) in [("'", "'\\''"), ("'", "'\"'\"'")] {
        add(texts, replaced(value, &[(from, to)]));
    }
    add(texts, replaced(value, &[("\\", "\\\\"), ("\"", "\\\""), ("$", "\\$"), ("`", "\\`")]));
}

/// Within strings of JSON, by the writers of JSON that are common.
fn add_in_json(texts: &mut Texts, value: &[u8]) {
    let mut levels = vec![Zeroizing::new(value.to_vec())];
    for _ in 0..NESTED {
        let mut next: Texts = levels.iter().flat_map(|text| in_json(text)).collect();
        next.sort_unstable_by(|a, b| a[..].cmp(&b[..]));
        next.dedup_by(|b, a| a[..] == b[..]);
        if next == levels {
            return;
        }
        next.iter().for_each(|text| add(texts, text.to_vec()));
        levels = next;
    }
}

/// `value` as it stands between the quotes of a JSON string, in the dialects of JSON.
fn in_json(value: &[u8]) -> Texts {
    let Ok(text) = std::str::from_utf8(value) else { return Texts::new() };
    let quoted = Zeroizing::new(serde_json::to_string(text).expect("text is always a JSON string"));
    let plain = quoted[1..quoted.len() - 1].as_bytes();
    let slashes = [("/", "\\/")];
    let go = [("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026")];
    let gson = [("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026"), ("=", "\\u003d"), ("'", "\\u0027")];
    let dotnet = [("<", "\\u003C"), (">", "\\u003E"), ("&", "\\u0026"), ("'", "\\u0027"), ("+", "\\u002B")];
    // .NET's own writer has no `\"`.
    let quotes = Zeroizing::new(quoted[1..quoted.len() - 1].replace("\\\"", "\\u0022"));
    let mut texts = Texts::new();
    for (plain, dialect) in [
        (plain, &[][..]),
        (plain, &slashes),
        (plain, &go),
        (plain, &gson),
        (plain, &dotnet),
        (quotes.as_bytes(), &dotnet),
    ] {
        let once = Zeroizing::new(replaced(plain, dialect));
        for upper in [false, true] {
            texts.push(Zeroizing::new(ascii_only(&once, upper)));
        }
        texts.push(once);
    }
    texts
}

/// `\u00e9` for every character outside ASCII, as Python's json prints it.
fn ascii_only(text: &[u8], upper: bool) -> Vec<u8> {
    let Ok(text) = std::str::from_utf8(text) else { return Vec::new() };
    let mut out = Vec::with_capacity(text.len() * 2);
    for character in text.chars() {
        if character.is_ascii() {
            out.push(character as u8);
            continue;
        }
        for unit in character.encode_utf16(&mut [0; 2]) {
            out.extend(if upper { format!("\\u{unit:04X}") } else { format!("\\u{unit:04x}") }.bytes());
        }
    }
    out
}

fn replaced(value: &[u8], pairs: &[(&str, &str)]) -> Vec<u8> {
    let mut text = Vec::with_capacity(value.len() * 2);
    for &byte in value {
        match pairs.iter().find(|(from, _)| from.as_bytes() == [byte]) {
            Some((_, to)) => text.extend(to.bytes()),
            None => text.push(byte),
        }
    }
    text
}
