//! Secrets that their surroundings give away: `password=…`, `Authorization: Bearer …`, `https://user:…@host`.
//!
//! Refuses less after `:` than after `=`, for people write "token: see the wiki".

/// What was found, if anything.
pub(super) fn find(text: &str) -> Option<&'static str> {
    if text.match_indices("://").any(|(at, _)| has_password(&text[at + 3..])) {
        return Some("an address with a password in it");
    }
    if text.match_indices(['=', ':']).any(|(at, mark)| is_assigned(&text[..at], mark, &text[at + 1..])) {
        return Some("a password or key after its name");
    }
    authorization(text).then_some("an Authorization header")
}

/// `user:password@` at the start of what follows a `://`.
fn has_password(after_scheme: &str) -> bool {
    let end = after_scheme
        .find(|c: char| c.is_whitespace() || "/?#\"'`<>".contains(c))
        .unwrap_or(after_scheme.len());
    // A password may hold a raw slash or the like; then the @ comes later. Placeholders such as <password> end it.
    let authority = &after_scheme[..end];
    let Some((user, _host)) = authority.rsplit_once('@') else { return false };
    user.split_once(':').is_some_and(|(_, password)| !is_placeholder(password))
}

const NAMES: &[&str] = &[
    "password",
    "passwd",
    "passwort",
    "kennwort",
    "passphrase",
    "pwd",
    "secret",
    "token",
    "apikey",
    "api_key",
    "api-key",
    "access_key",
    "accesskey",
    "accountkey",
    "sharedaccesskey",
    "private_key",
    "secretkey",
    "secret_key",
    "auth_key",
    "credential",
    "signature",
    "sig",
    "api key",
    "access key",
    "secret key",
    "private key",
];

fn is_assigned(before: &str, mark: &str, after: &str) -> bool {
    let before = before.trim_end_matches([' ', '"', '\'']);
    let long_enough = before.len().saturating_sub(16);
    let start = (long_enough..before.len()).find(|at| before.is_char_boundary(*at)).unwrap_or(before.len());
    let word = before[start..].to_ascii_lowercase();
    if !NAMES.iter().any(|name| word.ends_with(name)) {
        return false;
    }
    let after = after.trim_start_matches(['=', ':', '>']);
    let trimmed = after.trim_start();
    let quoted = trimmed.starts_with(['"', '\'', '`']);
    let value = if quoted {
        let quote = &trimmed[..1];
        trimmed[1..].split(quote).next().unwrap_or_default()
    } else {
        trimmed.split(|c: char| c.is_whitespace() || "&,;)}]\"'".contains(c)).next().unwrap_or_default()
    };
    let value = value.trim_end_matches(['.', '!', '?']);
    if value.len() < 6 || value.contains(' ') || is_placeholder(value) || super::randomness::is_id(value) {
        return false;
    }
    let has_digit = value.bytes().any(|b| b.is_ascii_digit());
    let has_letter = value.bytes().any(|b| b.is_ascii_alphabetic());
    let has_mark = value.bytes().any(|b| b"!@#$%^&*+~".contains(&b));
    if mark == "=" || quoted {
        !WORDS.contains(&value.to_ascii_lowercase().as_str()) && !is_reference(value)
    } else {
        value.len() > 6 && has_letter && (has_digit || has_mark) && !is_reference(value)
    }
}

/// Words that stand after `token=` and are no token.
const WORDS: &[&str] = &[
    "string",
    "required",
    "optional",
    "secret",
    "password",
    "bearer",
    "access",
    "refresh",
    "public",
    "private",
    "default",
    "enabled",
    "disabled",
    "hidden",
    "redacted",
    "masked",
    "removed",
    "unknown",
    "undefined",
    "config",
    "vault",
    "expired",
];

/// An address, a path, a version or a date: where the secret is, not what.
fn is_reference(value: &str) -> bool {
    let digits_and_marks = |c: char| c.is_ascii_digit() || "-./:_Tv".contains(c);
    value.contains("://")
        || value.starts_with(['/', '.', '~'])
        || value.chars().all(digits_and_marks) && value.contains(['-', '.'])
        || value.to_ascii_lowercase().starts_with("oauth")
        || (value.contains('_')
            && value.bytes().all(|b| b.is_ascii_uppercase() || b == b'_' || b.is_ascii_digit()))
}

fn is_placeholder(value: &str) -> bool {
    let value = value.trim();
    value.is_empty()
        || value.starts_with(['<', '{', '[', '%'])
        || value.starts_with('$')
        || value.starts_with("...")
        || value.contains('…')
        || value.bytes().all(|b| b"*xX.-_#".contains(&b))
        || value.to_ascii_lowercase().starts_with("your")
}

/// `Bearer` or `Basic` and something that is not a word of a sentence.
fn authorization(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    ["bearer ", "basic ", "authorization:"].iter().any(|scheme| {
        lower.match_indices(scheme).any(|(at, _)| {
            let value = text[at + scheme.len()..].split_whitespace().next().unwrap_or_default();
            let value = value.trim_matches(|c: char| "\"'`.,;:)".contains(c));
            let has_digit = value.bytes().any(|b| b.is_ascii_digit());
            let has_letter = value.bytes().any(|b| b.is_ascii_alphabetic());
            value.len() >= 10
                && has_letter
                && (has_digit || value.ends_with('='))
                && !is_placeholder(value)
                && !is_reference(value)
                && !super::randomness::is_id(value)
        })
    })
}
