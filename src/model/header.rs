//! A header that a remote server is sent, as a binding keeps it: `Authorization: Bearer {value}`.
//!
//! Only the line without the value: what it holds is configuration, and no secret. What speaks of the connection or of
//! the protocol is not for a binding to say.
use crate::error::{Result, invalid};
use http::HeaderName;

/// The longest line, bytes.
const MOST_LINE: usize = 500;
/// Where the credential goes.
const VALUE: &str = "{value}";

/// Set by whoever speaks, or about the way there.
const OURS: &[&str] = &[
    "accept",
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "forwarded",
    "host",
    "http2-settings",
    "keep-alive",
    "last-event-id",
    "origin",
    "referer",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
];
const OUR_STARTS: &[&str] = &["mcp-", "proxy-", "sec-", "x-forwarded-"];

/// A header and what stands in it, with `{value}` for the credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderLine {
    pub name: String,
    pub format: String,
}

impl HeaderLine {
    /// `NAME: TEXT`; a name alone is `Authorization: Bearer {value}` or `NAME: {value}`.
    ///
    /// Fails with `invalid_input`, without repeating the text.
    pub fn parse(text: &str) -> Result<Self> {
        let (name, format) = match text.split_once(':') {
            Some((name, format)) => (name.trim(), format.trim()),
            None if text.trim().eq_ignore_ascii_case("authorization") => (text.trim(), "Bearer {value}"),
            None => (text.trim(), VALUE),
        };
        if text.len() > MOST_LINE {
            return Err(invalid(format!("a header has at most {MOST_LINE} characters")));
        }
        let Ok(known) = HeaderName::from_bytes(name.as_bytes()) else {
            return Err(invalid("a header is written NAME: TEXT, as Authorization: Bearer {value}"));
        };
        let known = known.as_str();
        if OURS.binary_search(&known).is_ok() || OUR_STARTS.iter().any(|start| known.starts_with(start)) {
            return Err(invalid("this header is set by whoever speaks to the server, not by a binding"));
        }
        let is_text = format.bytes().all(|b| (b' '..=b'~').contains(&b));
        if format.is_empty() || !is_text || format.replace(VALUE, "").contains(['{', '}']) {
            return Err(invalid("a header holds printable ASCII, and no placeholder but {value}"));
        }
        Ok(Self { name: name.to_owned(), format: format.to_owned() })
    }

    /// Whether a credential goes into it, once.
    pub fn takes_value(&self) -> bool {
        self.format.matches(VALUE).count() == 1
    }

    /// Whether nothing is to be filled in.
    pub fn is_plain(&self) -> bool {
        !self.format.contains(VALUE)
    }

    /// As it is kept.
    pub fn line(&self) -> String {
        format!("{}: {}", self.name, self.format)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    #[test]
    fn the_list_of_ours_is_sorted() {
        assert!(OURS.is_sorted());
    }

    #[test]
    fn a_header_is_a_name_and_what_stands_in_it() {
        for (text, line) in [
            ("Authorization", "Authorization: Bearer {value}"),
            ("X-Api-Key", "X-Api-Key: {value}"),
            ("authorization:Token token={value}", "authorization: Token token={value}"),
            ("X-Team: blue", "X-Team: blue"),
        ] {
            assert_eq!(HeaderLine::parse(text).expect(text).line(), line);
        }
        assert!(HeaderLine::parse("X-Key: {value}").expect("one").takes_value());
        assert!(!HeaderLine::parse("X-Key: {value}{value}").expect("two").takes_value());
        assert!(HeaderLine::parse("X-Team: blue").expect("plain").is_plain());
    }

    #[test]
    fn what_is_no_header_or_not_a_bindings_to_say_is_refused_without_repeating_it() {
        let planted = "planted-".repeat(3);
        for bad in [
            "",
            ":",
            "X Y: {value}",
            "X-Key:",
            "X-Key: {other}",
            "X-Key: {value",
            "X-Key: a\r\nHost: b",
            "Host: {value}",
            "content-length: {value}",
            "Mcp-Session-Id: {value}",
            "Proxy-Authorization: {value}",
            "X-Forwarded-For: {value}",
            &format!("X-Key: \u{e9}{planted}"),
            &format!("X-Key: {}", "a".repeat(MOST_LINE)),
        ] {
            let refused = HeaderLine::parse(bad).expect_err(bad);
            assert!(refused.code == Code::InvalidInput && !refused.message().contains(&planted), "{bad}");
        }
    }
}
