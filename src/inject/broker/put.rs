//! Puts the credential into a request, where its service wants it.
use super::Given;
use super::asked::is_parameter;
use crate::error::{Code, Error, Result, invalid};
use crate::inject::MASKED_FROM_BYTES;
use crate::secret::SecretBytes;
use crate::services::Placement;
use data_encoding::{BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD};
use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue};
use hyper::body::Bytes;
use zeroize::Zeroizing;

/// Puts the credential where it belongs: into `headers`, or as the query that is returned.
///
/// Fails with `value_missing`, naming the field, and with `invalid_input` for a value that no header can carry.
pub(in crate::inject) fn put(
    placement: &Placement,
    values: &[Given],
    headers: &mut HeaderMap,
    query: Option<&str>,
) -> Result<Option<Zeroizing<String>>> {
    let query_as_is = || query.map(|query| Zeroizing::new(query.to_owned()));
    match placement {
        Placement::Header { name, format } => {
            let name = HeaderName::from_bytes(name.as_bytes())
                .map_err(|_| invalid("the service's header has no name that can be sent"))?;
            headers.insert(name, sensitive(filled(format, values)?)?);
            Ok(query_as_is())
        }
        Placement::Basic { username, password } => {
            let pair = pair(username, password, values)?;
            let mut text = Zeroizing::new(Vec::with_capacity(6 + pair.len().div_ceil(3) * 4));
            text.extend_from_slice(b"Basic ");
            let encoded = Zeroizing::new(BASE64.encode(&pair));
            text.extend_from_slice(encoded.as_bytes());
            headers.insert(header::AUTHORIZATION, sensitive(text)?);
            Ok(query_as_is())
        }
        Placement::Query { name } => {
            let value = filled("{token}", values)?;
            let left = query
                .unwrap_or_default()
                .split('&')
                .filter(|pair| !pair.is_empty() && !is_parameter(pair, name));
            let mut text = Zeroizing::new(String::with_capacity(
                query.map_or(0, str::len) + name.len() * 3 + value.len() * 3 + 2,
            ));
            for pair in left {
                text.push_str(pair);
                text.push('&');
            }
            encode(name.as_bytes(), &mut text);
            text.push('=');
            encode(&value, &mut text);
            Ok(Some(text))
        }
    }
}

/// What a service that takes `Basic` authorization apart finds in what [`put`] sends: the pair, and what of it is secret.
/// Nothing where it is sent in another way.
///
/// Fails as [`put`] does, and with `invalid_input` where neither part is long enough to be told from other text.
pub(in crate::inject) fn within(placement: &Placement, values: &[Given]) -> Result<Vec<Given>> {
    let Some(first) = values.iter().find(|given| given.is_secret) else { return Ok(Vec::new()) };
    let given = |text: &[u8]| Given {
        field: String::new(),
        label: first.label.clone(),
        value: SecretBytes::copied(text),
        is_secret: true,
    };
    let format = match placement {
        // What it is made of is looked for by itself, where it is secret.
        Placement::Basic { username, password } => {
            return Ok(vec![given(&pair(username, password, values)?)]);
        }
        Placement::Header { format, .. } => format,
        Placement::Query { .. } => return Ok(Vec::new()),
    };
    let Some(encoded) = after_basic(format) else { return Ok(Vec::new()) };
    let encoded = filled(encoded, values)?;
    let all = [BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD];
    let decoded = all.iter().find_map(|encoding| encoding.decode(encoded.trim_ascii()).ok());
    let Some(pair) = decoded.map(Zeroizing::new) else { return Ok(Vec::new()) };
    let Some(colon) = pair.iter().position(|byte| *byte == b':') else { return Ok(vec![given(&pair)]) };
    let (user, password) = (&pair[..colon], &pair[colon + 1..]);
    let is_word = password.len() < MASKED_FROM_BYTES || PUBLIC_PASSWORDS.contains(&password);
    let secret = if is_word { user } else { password };
    if secret.trim_ascii().len() < MASKED_FROM_BYTES {
        let short =
            format!("what {} has in it is too short to be found in answers, so it is not sent", first.label);
        return Err(invalid(short).next("Use a longer password."));
    }
    Ok(vec![given(&pair), given(secret)])
}

/// What services tell to put beside a token that goes where the user's name does.
const PUBLIC_PASSWORDS: [&[u8]; 2] = [b"x-oauth-basic", b"api_token"];

/// What follows `Basic ` in a header's `format`.
fn after_basic(format: &str) -> Option<&str> {
    let (scheme, rest) = format.trim_start().split_once(' ')?;
    scheme.eq_ignore_ascii_case("basic").then_some(rest)
}

fn pair(username: &str, password: &str, values: &[Given]) -> Result<Zeroizing<Vec<u8>>> {
    let mut pair = filled(username, values)?;
    pair.push(b':');
    pair.extend_from_slice(&filled(password, values)?);
    Ok(pair)
}

/// Percent encoding of everything but what never needs it (RFC 3986 §2.3).
fn encode(bytes: &[u8], text: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push('%');
            text.push(char::from(DIGITS[usize::from(byte >> 4)]));
            text.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
    }
}

/// `format` with each `{field}` replaced. White space around a value is left out, as around a file's only line.
fn filled(format: &str, values: &[Given]) -> Result<Zeroizing<Vec<u8>>> {
    let most: usize = values.iter().map(|given| given.value.size_bytes()).sum();
    let mut text =
        Zeroizing::new(Vec::with_capacity(format.len() + most * format.matches('{').count().max(1)));
    let mut rest = format;
    while let Some((before, after)) = rest.split_once('{') {
        let Some((name, after)) = after.split_once('}') else { break };
        text.extend_from_slice(before.as_bytes());
        let given = values.iter().find(|given| given.field == name);
        let given = given.ok_or_else(|| {
            Error::new(
                Code::ValueMissing,
                format!("the credential has no field {name}, which the service wants"),
            )
        })?;
        given.value.expose(|value| text.extend_from_slice(value.trim_ascii()));
        rest = after;
    }
    text.extend_from_slice(rest.as_bytes());
    Ok(text)
}

fn sensitive(mut text: Zeroizing<Vec<u8>>) -> Result<HeaderValue> {
    let mut value = HeaderValue::from_maybe_shared(Bytes::from(std::mem::take(&mut *text)))
        .map_err(|_| invalid("the credential's value cannot be sent in a header"))?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(field: &str, value: &str) -> Given {
        Given {
            field: field.into(),
            label: field.to_uppercase(),
            value: SecretBytes::copied(value.as_bytes()),
            is_secret: true,
        }
    }

    #[test]
    fn a_credential_goes_where_the_catalogue_says() {
        let values = [given("token", "va lue+/\n"), given("username", "mia")];
        let mut all = HeaderMap::new();

        let header = Placement::Header { name: "X-Key".into(), format: "Key {token}!".into() };
        assert!(put(&header, &values, &mut all, None).expect("put").is_none());
        assert_eq!(all["x-key"], "Key va lue+/!");
        assert!(all["x-key"].is_sensitive());

        let basic = Placement::Basic { username: "{username}".into(), password: "{token}".into() };
        put(&basic, &values, &mut all, None).expect("put");
        assert_eq!(all["authorization"], format!("Basic {}", BASE64.encode(b"mia:va lue+/")));

        let query = Placement::Query { name: "key".into() };
        let put = put(&query, &values, &mut all, Some("a=1&KEY=own&k%65y=own&b")).expect("put");
        assert_eq!(put.as_deref().map(String::as_str), Some("a=1&b&key=va%20lue%2B%2F"));
    }

    fn within_basic(format: &str, value: &str) -> Result<Vec<String>> {
        let placement = Placement::Header { name: "Authorization".into(), format: format.into() };
        let text = |given: Given| given.value.expose(|text| String::from_utf8_lossy(text).into_owned());
        Ok(within(&placement, &[given("token", value)])?.into_iter().map(text).collect())
    }

    #[test]
    fn b_24_what_stands_within_basic_authorization_is_looked_for() {
        for encoded in ["bWlhOmh1bnRlci0yMg==", "bWlhOmh1bnRlci0yMg", " bWlhOmh1bnRlci0yMg==\n"] {
            for format in ["Basic {token}", "basic {token}"] {
                assert_eq!(within_basic(format, encoded).expect("long"), ["mia:hunter-22", "hunter-22"]);
            }
        }
        // A token that goes where the user's name does.
        for password in ["", "x", "X", "api_token", "x-oauth-basic"] {
            let pair = format!("token-1234:{password}");
            let found = within_basic("Basic {token}", &BASE64.encode(pair.as_bytes())).expect("long");
            assert_eq!(found, [pair.as_str(), "token-1234"]);
        }
        let fields = [given("token", "hunter-22"), Given { is_secret: false, ..given("username", "mia") }];
        let basic = Placement::Basic { username: "{username}".into(), password: "{token}".into() };
        let found = within(&basic, &fields).expect("found");
        assert!(found.len() == 1 && found[0].value.expose(|pair| pair == b"mia:hunter-22"));
    }

    #[test]
    fn b_24_what_is_no_basic_authorization_is_not_taken_apart_and_what_is_short_not_sent() {
        for format in ["Bearer {token}", "{token}", "Basic{token}", "Basics {token}", "Key Basic {token}"] {
            assert!(within_basic(format, "bWlhOmh1bnRlci0yMg==").expect("as it is").is_empty(), "{format}");
        }
        assert!(within_basic("Basic {token}", "no base64!").expect("as it is").is_empty());
        let query = Placement::Query { name: "key".into() };
        assert!(within(&query, &[given("token", "bWlhOmh1bnRlci0yMg==")]).expect("as it is").is_empty());
        for pair in ["mia:short", "abcde:", ":", "mia:x"] {
            let refused = within_basic("Basic {token}", &BASE64.encode(pair.as_bytes()));
            assert_eq!(refused.expect_err(pair).code, Code::InvalidInput);
        }
    }

    #[test]
    fn a_value_that_no_header_can_carry_is_not_sent_and_not_shown() {
        let mut all = HeaderMap::new();
        let planted = "first\r\nX-Evil: second";

        let error =
            put(&Placement::bearer(), &[given("token", planted)], &mut all, None).expect_err("refused");

        assert_eq!(error.code, Code::InvalidInput);
        assert!(!format!("{error:?}{}", error.to_json()).contains("second") && all.is_empty());
        let missing = put(&Placement::bearer(), &[given("key", "x")], &mut all, None).expect_err("refused");
        assert_eq!(missing.code, Code::ValueMissing);
    }
}
