//! The head of a request: what is refused, and what is left out.
//!
//! The caller's token is looked for wherever an SDK puts its key, for an SDK that is pointed here by its base URL sends
//! it as its service wants it; and wherever it is, it goes no further.
use super::target::Target;
use crate::error::{Code, Error, Result, invalid};
use crate::secret::SecretBytes;
use crate::services::Placement;
use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, Method, Version, request};
use zeroize::Zeroizing;

/// What every token of ours begins with; and the fewest characters that follow.
const TOKEN: &[u8] = b"unsaid_";
const TOKEN_BYTES: usize = 20;
const MOST_HEADERS: usize = 100;
const MOST_HEAD: usize = 64 * 1024;

/// What a hop keeps to itself (RFC 9110 §7.6.1), what says who is asked and by whom, and what asks for parts or for
/// packed answers, which cannot be looked through.
const DROPPED: &[&str] = &[
    "accept-encoding",
    "authorization",
    "connection",
    "content-length",
    "expect",
    "forwarded",
    "host",
    "http2-settings",
    "if-range",
    "keep-alive",
    "max-forwards",
    "origin",
    "range",
    "referer",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    // These would ask for another method or path than the one that was looked at.
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-url",
    "x-real-ip",
    "x-rewrite-url",
];
const DROPPED_STARTS: &[&str] = &["proxy-", "sec-fetch-", "x-forwarded-"];

/// A refusal, with a status of its own where the kind's does not say it.
pub(super) struct Refused {
    pub status: Option<u16>,
    pub error: Error,
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self { status: None, error }
    }
}

fn refused(status: u16, error: Error) -> Refused {
    Refused { status: Some(status), error }
}

/// Looks at a head before anything is done with it. `origins` are the pages that may ask.
pub(super) fn check(parts: &request::Parts, origins: &[String]) -> Result<Target, Refused> {
    let headers = &parts.headers;
    if matches!(parts.method, Method::CONNECT | Method::TRACE) {
        let why = invalid(
            "CONNECT and TRACE are not served: the broker speaks for you to one service, and opens no tunnel",
        );
        return Err(refused(405, why));
    }
    if !matches!(parts.version, Version::HTTP_10 | Version::HTTP_11) {
        return Err(refused(505, invalid("only HTTP/1.1 is served")));
    }
    let size: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if headers.len() > MOST_HEADERS || size > MOST_HEAD {
        return Err(refused(
            431,
            Error::new(Code::TooLarge, "the request's head is too large")
                .next("Send fewer headers: 100 of them, 64 KiB in all."),
        ));
    }
    for once in [header::HOST, header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::AUTHORIZATION] {
        if headers.get_all(&once).iter().count() > 1 {
            return Err(invalid(format!("the request has more than one {once}")).into());
        }
    }
    if headers.contains_key(header::CONTENT_LENGTH) && headers.contains_key(header::TRANSFER_ENCODING) {
        return Err(invalid("the request has both Content-Length and Transfer-Encoding").into());
    }
    if let Some(coding) = headers.get(header::TRANSFER_ENCODING)
        && !coding.as_bytes().eq_ignore_ascii_case(b"chunked")
    {
        return Err(refused(501, invalid("the request's Transfer-Encoding is not chunked")));
    }
    if headers.contains_key(header::UPGRADE) {
        return Err(refused(
            501,
            invalid("the request asks for another protocol: WebSockets are not brokered"),
        ));
    }
    if headers.contains_key(header::EXPECT) {
        return Err(refused(
            417,
            invalid("the request expects an interim answer").next("Send it without Expect."),
        ));
    }
    let names_more = |value: &HeaderValue| {
        value.as_bytes().split(|b| *b == b',').map(<[u8]>::trim_ascii).any(|option| {
            !["", "close", "keep-alive", "te"]
                .iter()
                .any(|known| option.eq_ignore_ascii_case(known.as_bytes()))
        })
    };
    if headers.get_all(header::CONNECTION).iter().any(names_more) {
        return Err(invalid("Connection names more than close and keep-alive").into());
    }
    if let Some(origin) = headers.get(header::ORIGIN)
        && !origins.iter().any(|known| known.as_bytes() == origin.as_bytes())
    {
        return Err(foreign());
    }
    if headers.get("sec-fetch-site").is_some_and(|site| !matches!(site.as_bytes(), b"same-origin" | b"none"))
    {
        return Err(foreign());
    }
    Ok(Target::parse(&parts.uri)?)
}

fn foreign() -> Refused {
    Error::new(Code::NotAllowed, "web pages are not served by the broker")
        .next("Call it from a program.")
        .into()
}

/// Takes the caller's token out of wherever it stands. Fails with `token_invalid` where there is none, and
/// `invalid_input` where there are two.
pub(super) fn take_token(headers: &mut HeaderMap, query: &mut Option<String>) -> Result<SecretBytes> {
    let mut found: Option<Zeroizing<Vec<u8>>> = None;
    let mut holders: Vec<HeaderName> = Vec::new();
    let mut several = false;
    let mut keep = |token: &[u8]| match &found {
        None => found = Some(Zeroizing::new(token.to_vec())),
        Some(first) => several |= first[..] != *token,
    };
    for (name, value) in headers.iter() {
        let mut holds = each_token(value.as_bytes(), &mut keep);
        if name == header::AUTHORIZATION
            && let Some(pair) = basic(value.as_bytes())
        {
            holds |= each_token(&pair, &mut keep);
        }
        if holds {
            holders.push(name.clone());
        }
    }
    if let Some(text) = query.take() {
        let clean: Vec<&str> =
            text.split('&').filter(|pair| !each_token(&decoded(pair), &mut keep)).collect();
        *query = (!clean.is_empty()).then(|| clean.join("&"));
    }
    holders.iter().for_each(|name| while headers.remove(name).is_some() {});
    match found {
        _ if several => Err(invalid("the request shows two tokens of ours").next("Send one.")),
        Some(mut token) => Ok(SecretBytes::new(std::mem::take(&mut *token))),
        None => Err(Error::new(Code::TokenInvalid, "the request shows no token of a consumer")
            .next("Send the consumer's token as `Authorization: Bearer …`, or wherever the service's SDK puts its key.")),
    }
}

/// Hands every token in `text` to `keep`; says whether there was one.
fn each_token(text: &[u8], keep: &mut dyn FnMut(&[u8])) -> bool {
    let mut at = 0;
    let mut any = false;
    while let Some(found) = text[at..].windows(TOKEN.len()).position(|window| window == TOKEN) {
        let start = at + found;
        let rest = &text[start + TOKEN.len()..];
        let body = rest.iter().take_while(|b| b.is_ascii_alphanumeric()).count();
        let end = start + TOKEN.len() + body;
        if body >= TOKEN_BYTES {
            keep(&text[start..end]);
            any = true;
        }
        at = end;
    }
    any
}

/// `user:password` of Basic authorization (RFC 7617 §2).
fn basic(value: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (scheme, pair) = value.split_at_checked(6)?;
    let encoded = scheme.eq_ignore_ascii_case(b"basic ").then(|| pair.trim_ascii())?;
    data_encoding::BASE64.decode(encoded).ok().map(Zeroizing::new)
}

/// Percent-decoded, as far as it is encoded at all.
fn decoded(text: &str) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(super::super::encodings::unpercent(text.as_bytes()))
}

/// Whether `pair` of a query sets the parameter `name`, however it is spelt.
pub(super) fn is_parameter(pair: &str, name: &str) -> bool {
    let key = pair.split('=').next().unwrap_or_default();
    decoded(key).eq_ignore_ascii_case(name.as_bytes())
}

/// Leaves out of `headers` what goes no further.
pub(super) fn clean(headers: &mut HeaderMap, placement: &Placement, cookies: bool) {
    let ours = match placement {
        Placement::Header { name, .. } => name.as_str(),
        Placement::Basic { .. } | Placement::Query { .. } => "authorization",
    };
    let is_dropped = |name: &str| {
        // Some servers read `x_api_key` as `x-api-key`.
        let name = if name.contains('_') { &name.replace('_', "-") } else { name };
        DROPPED.binary_search(&name).is_ok()
            || DROPPED_STARTS.iter().any(|start| name.starts_with(start))
            || name.eq_ignore_ascii_case(ours)
            || (name == "cookie" && !cookies)
    };
    let dropped: Vec<HeaderName> = headers.keys().filter(|name| is_dropped(name.as_str())).cloned().collect();
    dropped.iter().for_each(|name| while headers.remove(name).is_some() {});
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(last: char) -> String {
        format!("unsaid_{}{last}", "0aZ".repeat(16))
    }

    fn headers(all: &[(&str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&str, &str)| {
            (name.parse::<HeaderName>().expect("a name"), HeaderValue::from_str(value).expect("a value"))
        };
        all.iter().map(pair).collect()
    }

    fn taken(all: &[(&str, &str)], query: Option<&str>) -> (Result<SecretBytes>, HeaderMap, Option<String>) {
        let (mut headers, mut query) = (headers(all), query.map(str::to_owned));
        let found = take_token(&mut headers, &mut query);
        (found, headers, query)
    }

    #[test]
    fn the_list_of_what_is_dropped_is_sorted() {
        assert!(DROPPED.is_sorted());
    }

    #[test]
    fn the_token_is_found_wherever_an_sdk_puts_its_key_and_stays_here() {
        let token = token('x');
        let basic = |text: String| format!("Basic {}", data_encoding::BASE64.encode(text.as_bytes()));
        let cases: Vec<(&str, String)> = vec![
            ("authorization", format!("Bearer {token}")),
            ("authorization", format!("Token token={token}")),
            ("authorization", token.clone()),
            ("authorization", basic(format!("{token}:"))),
            ("authorization", basic(format!("user:{token}"))),
            ("x-api-key", token.clone()),
            ("private-token", token.clone()),
            ("cookie", format!("a=b; session={token}")),
        ];
        for (name, value) in cases {
            let (found, left, _) = taken(&[(name, &value), ("accept", "*/*")], None);
            found.expect("found").expose(|found| assert!(found == token.as_bytes(), "{name}"));
            assert_eq!(left.len(), 1, "{name}");
        }
        let encoded = token.replace('_', "%5F");
        for query in [format!("a=1&key={token}&b=2"), format!("a=1&b=2&key={encoded}")] {
            let (found, _, left) = taken(&[], Some(&query));
            found.expect("found").expose(|found| assert!(found == token.as_bytes()));
            assert_eq!(left.as_deref(), Some("a=1&b=2"));
        }
    }

    #[test]
    fn the_same_token_twice_is_one_and_two_tokens_are_none() {
        let (one, other) = (token('x'), token('y'));

        let (found, left, _) = taken(&[("dd-api-key", &one), ("dd-application-key", &one)], Some("a=1"));
        assert!(found.is_ok() && left.is_empty());

        let (found, left, _) = taken(&[("x-api-key", &one), ("authorization", &other)], None);
        assert_eq!(found.expect_err("two").code, Code::InvalidInput);
        assert!(left.is_empty());
        assert_eq!(
            taken(&[("user-agent", "unsaid_cli")], None).0.expect_err("none").code,
            Code::TokenInvalid
        );
    }

    #[test]
    fn b_04_what_a_caller_must_not_say_to_the_service_is_left_out() {
        let mut all = headers(&[
            ("Authorization", "Bearer own"),
            ("Proxy-Authorization", "Basic own"),
            ("Host", "evil.example"),
            ("Cookie", "a=b"),
            ("X-Forwarded-For", "127.0.0.1"),
            ("X-Forwarded-Host", "evil.example"),
            ("Forwarded", "for=127.0.0.1"),
            ("X_Forwarded_Proto", "https"),
            ("X-Api-Key", "own"),
            ("x_api_key", "own"),
            ("Connection", "close"),
            ("TE", "trailers"),
            ("Accept-Encoding", "gzip"),
            ("Range", "bytes=0-3"),
            ("X-HTTP-Method-Override", "DELETE"),
            ("X-Original-URL", "/admin"),
            ("Accept", "application/json"),
            ("User-Agent", "sdk"),
        ]);

        clean(&mut all, &Placement::Header { name: "X-Api-Key".into(), format: "{token}".into() }, false);

        let mut left: Vec<String> =
            all.iter().map(|(n, v)| format!("{n}: {}", v.to_str().expect("text"))).collect();
        left.sort();
        assert_eq!(left, ["accept-encoding: identity", "accept: application/json", "user-agent: sdk"]);
    }
}
