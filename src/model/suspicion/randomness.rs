//! Is a word random, or something that people read and write?
//!
//! Counts pairs of neighbouring letters that English and German hardly have, and changes between letters and digits.
//! Refuses to judge what is random by nature and no secret: ids, hashes, paths, addresses, versions, dates.

/// For each first letter, the set of second letters (bit 0 is `a`) that are common in English and German words.
///
/// The 290 commonest of 676 pairs, over the distinct words of English documentation and source comments and a list
/// of German office words: 94 in 100 pairs of a text are among them, and 43 in 100 of random letters.
#[rustfmt::skip]
const COMMON: [u32; 26] = [
    0x13EBDFE, 0x01E4911, 0x01E4D95, 0x0164939, 0x1FFFDFF, 0x01E4939, 0x0166991, 0x01A6911,
    0x2AEFC7F, 0x0000010, 0x00E4111, 0x11C491D, 0x014D913, 0x03C657F, 0x07EFD6F, 0x11ECDB1,
    0x0100000, 0x15EFD7F, 0x17EC9BF, 0x35EF9BF, 0x00EB97F, 0x0000111, 0x0004111, 0x00C8010,
    0x0048800, 0x0100010,
];

/// Pairs that speak against a word, and for it.
#[derive(Default)]
struct Pairs {
    odd: usize,
    fine: usize,
}

impl Pairs {
    fn of(text: &str) -> Self {
        let mut pairs = Self::default();
        for pair in text.as_bytes().windows(2) {
            let (a, b) = (pair[0], pair[1]);
            if a.is_ascii_alphabetic() && b.is_ascii_alphabetic() {
                // camelCase: the border between two words says nothing.
                if a.is_ascii_lowercase() && b.is_ascii_uppercase() {
                    continue;
                }
                let (first, second) = (a.to_ascii_lowercase() - b'a', b.to_ascii_lowercase() - b'a');
                if COMMON[first as usize] >> second & 1 == 1 { pairs.fine += 1 } else { pairs.odd += 1 }
            } else if (a.is_ascii_alphabetic() && b.is_ascii_digit())
                || (a.is_ascii_digit() && b.is_ascii_alphabetic())
            {
                pairs.odd += 1;
            }
        }
        pairs
    }

    fn is_odd(&self) -> bool {
        self.odd >= 6 && self.odd * 100 >= (self.odd + self.fine) * 38
    }
}

/// Whether a word of free text (no white space, no quotes or brackets) is random enough to be a secret.
pub(super) fn looks_random(word: &str) -> bool {
    if is_password(word) {
        return true;
    }
    if word.contains("://") {
        return has_random_user(word);
    }
    if word.len() < 16 || is_id(word) || is_fingerprint(word) || word.contains('@') {
        return false;
    }
    // A path, or a list of names: judged part by part. A base64 text with slashes has long odd parts all the same.
    let parts = || word.split(['/', '\\', ':', '=', '|', '&', '?', '#', '~', '*', '$']);
    let counted: usize = parts().filter(|part| !is_id(part)).map(|part| Pairs::of(part).odd).sum();
    if counted < 6 {
        return false;
    }
    parts().any(|part| part.len() >= 16 && !is_id(part) && is_random_part(part))
        || is_base64_with_slashes(word)
}

/// A part between slashes: random as a whole, or in one of its pieces between dashes and dots.
fn is_random_part(part: &str) -> bool {
    if has_digits_and_letters(part) && Pairs::of(part).is_odd() && !is_readable_list(part) {
        return true;
    }
    // No digit: letters alone must be odd, in both cases, and long.
    part.len() >= 24 && is_mixed_case(part) && Pairs::of(part).is_odd() && !is_readable_list(part)
}

/// Names joined by dashes, dots or underscores, such as `k8s-prod-eu1-v2`: short pieces, each with few odd pairs.
fn is_readable_list(part: &str) -> bool {
    let pieces = part.split(['-', '_', '.', '+']);
    pieces.clone().count() > 1
        && pieces.clone().all(|piece| piece.len() < 13 || is_id(piece) || !Pairs::of(piece).is_odd())
        && {
            let odd: usize =
                pieces.clone().filter(|piece| !is_hex(piece)).map(|piece| Pairs::of(piece).odd).sum();
            odd <= 3 * pieces.count()
        }
}

/// AWS secret keys and other base64 of 32 and more characters, where slashes cut it in short parts.
fn is_base64_with_slashes(word: &str) -> bool {
    let body = word.trim_end_matches('=');
    body.len() >= 32
        && body.contains('/')
        && !body.starts_with(['/', '.', '~'])
        && body.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/".contains(&b))
        && body.bytes().filter(u8::is_ascii_digit).count() >= 2
        && is_mixed_case(body)
        && Pairs::of(body).is_odd()
}

/// Twelve and more characters of all four classes, as password generators make them: `x7$Kp!2qLm@9`.
fn is_password(word: &str) -> bool {
    let marks = word.bytes().filter(|b| b"!@#$%^&*?+~".contains(b)).count();
    let changes = word.as_bytes().windows(2).filter(|pair| class(pair[0]) != class(pair[1])).count();
    (12..=128).contains(&word.len())
        && marks >= 2
        && has_digits_and_letters(word)
        && is_mixed_case(word)
        && changes * 2 >= word.len()
        && !word.contains("://")
        && !word.contains('/')
}

fn class(byte: u8) -> u8 {
    match byte {
        b'a'..=b'z' => 0,
        b'A'..=b'Z' => 1,
        b'0'..=b'9' => 2,
        _ => 3,
    }
}

fn is_mixed_case(text: &str) -> bool {
    text.bytes().any(|b| b.is_ascii_lowercase()) && text.bytes().any(|b| b.is_ascii_uppercase())
}

fn has_digits_and_letters(text: &str) -> bool {
    text.bytes().any(|b| b.is_ascii_digit()) && text.bytes().any(|b| b.is_ascii_alphabetic())
}

fn is_hex(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Whether `word` is an identifier or hash: a ULID, a UUID, or hexadecimal text as short as an object id (24) or as
/// long as a hash (40, 56, 64, 96, 128). Hexadecimal of 32 characters is not: many API keys are.
pub(super) fn is_id(word: &str) -> bool {
    if word.bytes().all(|b| b.is_ascii_digit()) || is_ulid(word) || is_uuid(word) {
        return true;
    }
    let digits = word.strip_prefix("0x").unwrap_or(word);
    if is_hex(digits) {
        return digits.len() <= 24 || matches!(digits.len(), 40 | 56 | 64 | 96 | 128);
    }
    // i-0abc…, vpc-0abc…: ids of cloud resources; sha256:… of images
    if let Some((kind, rest)) = word.split_once(['-', ':', '@']) {
        let short = kind.len() <= 10 && kind.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        return short && is_hex(rest) && (rest.len() <= 17 || (kind.starts_with("sha") && rest.len() >= 40));
    }
    false
}

pub(super) fn is_ulid(text: &str) -> bool {
    // The first two characters are "01" until the year 2039.
    text.len() == 26
        && text.starts_with("01")
        && text.bytes().all(|b| b.is_ascii_digit() || (b.is_ascii_uppercase() && !b"ILOU".contains(&b)))
}

fn is_uuid(text: &str) -> bool {
    let text = text.strip_prefix("urn:uuid:").unwrap_or(text);
    text.len() == 36
        && text
            .bytes()
            .enumerate()
            .all(|(i, b)| if matches!(i, 8 | 13 | 18 | 23) { b == b'-' } else { b.is_ascii_hexdigit() })
}

/// Hashes in base64 with their algorithm in front, and the client ids that end in a host name.
fn is_fingerprint(word: &str) -> bool {
    ["SHA256:", "sha256-", "sha384-", "sha512-", "MD5:"].iter().any(|start| word.starts_with(start))
        || word.ends_with(".apps.googleusercontent.com")
}

/// `https://TOKEN@host`: a random user name in an address.
pub(super) fn has_random_user(word: &str) -> bool {
    let Some((_, rest)) = word.split_once("://") else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    authority.rsplit_once('@').is_some_and(|(user, _)| {
        user.len() >= 16 && !is_uuid(user) && !is_ulid(user) && (is_hex(user) || Pairs::of(user).is_odd())
    })
}
