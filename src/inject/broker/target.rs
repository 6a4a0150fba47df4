//! What a request to the broker asks for: read strictly, so that no two readers can understand it in two ways.
//!
//! A path has one spelling. What could be read as another host, another segment or another line is refused, raw and
//! percent-encoded, and never repaired.
use crate::error::{Error, invalid};
use http::Uri;

/// What all of the broker's paths begin with.
pub const PREFIX: &str = "/b/";
/// The longest name of a consumer or a service, and the longest target, bytes.
const MOST_NAME: usize = 64;
const MOST_TARGET: usize = 16 * 1024;
/// Segments that a template shows, and the longest that is shown as it is.
const MOST_SEGMENTS: usize = 8;
const LONGEST_SHOWN: usize = 32;

/// `/b/<consumer>/<service>/path?query`, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub consumer: String,
    pub service: String,
    /// Begins with a slash; every character that may stand for itself does.
    pub path: String,
    pub query: Option<String>,
}

fn wrong(why: &'static str) -> Error {
    invalid(why).next("Send the request as /b/CONSUMER/SERVICE/path?query with a plain path: one spelling, no dots, no encoded slashes.")
}

impl Target {
    /// Fails with `invalid_input` for whatever is not the plain form.
    pub fn parse(uri: &Uri) -> Result<Self, Error> {
        if uri.scheme().is_some() || uri.authority().is_some() {
            return Err(wrong("the request names a whole address: only a path is taken here"));
        }
        let (path, query) = (uri.path(), uri.query());
        if path.len() + query.map_or(0, str::len) > MOST_TARGET {
            return Err(wrong("the request's target is too long"));
        }
        let rest = path.strip_prefix(PREFIX).ok_or_else(|| wrong("the path is not one of the broker's"))?;
        let (consumer, rest) = rest.split_once('/').ok_or_else(|| wrong("the path names no service"))?;
        let (service, rest) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if !is_name(consumer) || !is_name(service) {
            return Err(wrong(
                "a consumer and a service are named by letters, digits, dots, hyphens and underscores",
            ));
        }
        let path = if rest.is_empty() { "/".to_owned() } else { plain_path(rest)? };
        query.map_or(Ok(()), check_query)?;
        let owned = str::to_owned;
        Ok(Self { consumer: consumer.into(), service: service.into(), path, query: query.map(owned) })
    }
}

fn is_name(name: &str) -> bool {
    (1..=MOST_NAME).contains(&name.len())
        && !matches!(name, "." | "..")
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

/// The one spelling of `path`, which begins with a slash.
fn plain_path(path: &str) -> Result<String, Error> {
    let mut plain = String::with_capacity(path.len());
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let byte =
                    escaped(&mut bytes).ok_or_else(|| wrong("the path has a % that encodes nothing"))?;
                match byte {
                    b'/' | b'\\' | b'.' => {
                        return Err(wrong("the path has an encoded slash, backslash or dot"));
                    }
                    0..=0x1f | 0x7f => return Err(wrong("the path has an encoded control character")),
                    _ if byte.is_ascii_alphanumeric() || b"-_~".contains(&byte) => {
                        plain.push(char::from(byte))
                    }
                    _ => plain.push_str(&format!("%{byte:02X}")),
                }
            }
            b'\\' => return Err(wrong("the path has a backslash")),
            b'@' => return Err(wrong("the path has an @: write it as %40")),
            b';' => return Err(wrong("the path has a semicolon: write it as %3B")),
            b'#' => return Err(wrong("the path has a fragment")),
            _ if byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,=:".contains(&byte) => {
                plain.push(char::from(byte));
            }
            _ => return Err(wrong("the path has a character that must be encoded")),
        }
    }
    // What is decoded twice further on would be another path then. Looked for in the plain spelling: each of the
    // characters may have been encoded.
    let is_twice = |rest: &str| rest.len() >= 2 && rest.bytes().take(2).all(|b| b.is_ascii_hexdigit());
    if plain.split("%25").skip(1).any(is_twice) {
        return Err(wrong("the path is encoded twice"));
    }
    let mut segments = plain[1..].split('/').peekable();
    while let Some(segment) = segments.next() {
        if segment.is_empty() && segments.peek().is_some() {
            return Err(wrong("the path has an empty segment"));
        }
        if matches!(segment, "." | "..") {
            return Err(wrong("the path has a dot segment"));
        }
    }
    Ok(plain)
}

fn check_query(query: &str) -> Result<(), Error> {
    let mut bytes = query.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => match escaped(&mut bytes) {
                None => return Err(wrong("the query has a % that encodes nothing")),
                Some(0) => return Err(wrong("the query has an encoded NUL")),
                Some(_) => {}
            },
            b'#' | b'\\' => return Err(wrong("the query has a character that must be encoded")),
            0x21..=0x7e => {}
            _ => return Err(wrong("the query has a character that must be encoded")),
        }
    }
    Ok(())
}

/// The byte of two hexadecimal digits.
fn escaped(bytes: &mut std::str::Bytes<'_>) -> Option<u8> {
    let mut digit = || char::from(bytes.next()?).to_digit(16);
    let (high, low) = (digit()?, digit()?);
    u8::try_from(high * 16 + low).ok()
}

/// The path as the log shows it: what names a thing of somebody's is `{id}`, for it may be private, or a secret.
pub(super) fn template(path: &str) -> String {
    let mut text = String::new();
    let mut segments = path.trim_matches('/').split('/');
    for segment in segments.by_ref().take(MOST_SEGMENTS) {
        text.push('/');
        text.push_str(if is_word(segment) { segment } else { "{id}" });
    }
    if segments.next().is_some() {
        text.push_str("/…");
    }
    text
}

/// Whether `segment` is a word of an API's language: letters, hardly a digit.
fn is_word(segment: &str) -> bool {
    let digits = segment.bytes().filter(u8::is_ascii_digit).count();
    let upper = segment.bytes().filter(u8::is_ascii_uppercase).count();
    segment.len() <= LONGEST_SHOWN
        && segment.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b))
        && digits <= 2
        && digits < segment.len().max(1)
        && (upper <= 3 || upper * 4 <= segment.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(target: &str) -> Result<Target, Error> {
        Target::parse(&target.parse::<Uri>().map_err(|_| invalid("no URI"))?)
    }

    #[test]
    fn a_plain_target_is_taken_apart_and_spelt_in_one_way() {
        for (asked, path, query) in [
            ("/b/bot/openai/v1/models", "/v1/models", None),
            ("/b/bot/openai/v1/models/", "/v1/models/", None),
            ("/b/bot/openai", "/", None),
            ("/b/bot/openai/", "/", None),
            ("/b/bot/openai?x=1&y=%0a", "/", Some("x=1&y=%0a")),
            ("/b/bot/openai/%61%2d%7E/%c3%a9/a%20b", "/a-~/%C3%A9/a%20b", None),
            ("/b/bot/openai/users/mia%40acme.example/x:get", "/users/mia%40acme.example/x:get", None),
            ("/b/bot/openai/100%25", "/100%25", None),
            ("/b/bot/openai/a?q=http://x/../y@z;w", "/a", Some("q=http://x/../y@z;w")),
        ] {
            let target = parse(asked).expect(asked);
            assert_eq!((target.consumer.as_str(), target.service.as_str()), ("bot", "openai"));
            assert_eq!((target.path.as_str(), target.query.as_deref()), (path, query), "{asked}");
        }
    }

    #[test]
    fn b_01_whatever_could_mean_another_host_segment_or_line_is_refused() {
        for asked in [
            "http://api.openai.com/b/bot/openai/v1",
            "https://evil.example/b/bot/openai/v1",
            "evil.example:443",
            "*",
            "/",
            "/b",
            "/b/",
            "/b/bot",
            "/b//openai/v1",
            "/b/bot//v1",
            "/b/../openai/v1",
            "/b/bot/../v1",
            "/b/bot@evil/openai/v1",
            "/b/bot/openai@evil.example/v1",
            "/b/bot/openai:443/v1",
            "/b/bot/open%61i/v1",
            "/b/bot/openai//evil.example/v1",
            "/b/bot/openai/v1//models",
            "/b/bot/openai/v1///",
            "/b/bot/openai/./v1",
            "/b/bot/openai/v1/..",
            "/b/bot/openai/v1/../admin",
            "/b/bot/openai/%2e%2e/admin",
            "/b/bot/openai/%2E/admin",
            "/b/bot/openai/v1%2fadmin",
            "/b/bot/openai/v1%2Fadmin",
            "/b/bot/openai/v1%5cadmin",
            "/b/bot/openai/v1\\admin",
            "/b/bot/openai/v1%252fadmin",
            "/b/bot/openai/v1%25%32%66admin",
            "/b/bot/openai/v1%250%30",
            "/b/bot/openai/v1%25%25%32f",
            "/b/bot/openai/..;/admin",
            "/b/bot/openai/v1;a=b/admin",
            "/b/bot/openai/@evil.example/",
            "/b/bot/openai/v1%00",
            "/b/bot/openai/v1%0d%0aHost:%20evil",
            "/b/bot/openai/v1%0a",
            "/b/bot/openai/v1%09",
            "/b/bot/openai/v1%7f",
            "/b/bot/openai/v1%",
            "/b/bot/openai/v1%2",
            "/b/bot/openai/v1%zz",
            "/b/bot/openai/v1/\u{e9}",
            "/b/bot/openai/v1/\u{ff0f}admin",
            "/b/bot/openai/v1|admin",
            "/b/bot/openai/{v1}",
            "/b/bot/openai/v1?q=%00",
            "/b/bot/openai/v1?q=%z",
            "/b/bot/openai/v1?q=\\",
            "/b/bot/openai/v1?q=\u{e9}",
            "/other/bot/openai/v1",
        ] {
            assert!(parse(asked).is_err(), "{asked}");
        }
        assert!(parse(&format!("/b/bot/openai/{}", "a".repeat(MOST_TARGET))).is_err());
        assert!(parse(&format!("/b/{}/openai/", "a".repeat(MOST_NAME + 1))).is_err());
    }

    #[test]
    fn the_log_sees_which_kind_of_thing_was_asked_for_and_not_which() {
        for (path, shown) in [
            ("/v1/chat/completions", "/v1/chat/completions"),
            ("/", "/"),
            ("/repos/acme/unsaid/issues/1234", "/repos/acme/unsaid/issues/{id}"),
            ("/v1/customers/cus_NffrFeUfNV2Hib", "/v1/customers/{id}"),
            ("/users/mia%40acme.example", "/users/{id}"),
            ("/o/0188ad1e-3d6b-7c2b-9d9d-8b7f5a6c4d3e/x/", "/o/{id}/x"),
            ("/v1beta/models/gemini:generateContent", "/v1beta/models/gemini:generateContent"),
            ("/a/b/c/d/e/f/g/h/i", "/a/b/c/d/e/f/g/h/…"),
            ("/7", "/{id}"),
        ] {
            assert_eq!(template(path), shown);
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(20_000))]

        /// B-01: whatever is let through means the same to a reader of the WHATWG's rules, below the same origin.
        #[test]
        fn b_01_what_is_let_through_has_one_meaning(
            rest in "(/|//|\\.|\\.\\.|%2[eEfF]|%5c|%25|%|@|:|;|\\\\|\\?|#|\t|[a-z0-9]|evil\\.example|http:|%[0-9a-f]{2}|\\PC){0,12}"
        ) {
            let Ok(uri) = format!("/b/bot/acme/{rest}").parse::<Uri>() else { return Ok(()) };
            let Ok(target) = Target::parse(&uri) else { return Ok(()) };

            for base in ["https://api.acme.example", "https://api.acme.example/v1"] {
                let base = url::Url::parse(base).expect("an address");
                let path = format!("{}{}", base.path().trim_end_matches('/'), target.path);
                let read = url::Url::parse(&format!("{}{path}", base.origin().ascii_serialization())).expect("an address");
                proptest::prop_assert_eq!(read.origin(), base.origin());
                proptest::prop_assert_eq!(read.path(), &path);
                proptest::prop_assert!(read.query().is_none() && read.fragment().is_none());
            }
            // Once spelt plainly it stays so.
            let again = Target::parse(&format!("/b/bot/acme{}", target.path).parse::<Uri>().expect("a path")).expect("plain");
            proptest::prop_assert_eq!(again.path, target.path);
        }
    }
}
