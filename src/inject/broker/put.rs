//! Puts the credential into a request, where its service wants it.
use super::Given;
use super::asked::is_parameter;
use crate::error::{Code, Error, Result, invalid};
use crate::services::Placement;
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
            let mut pair = filled(username, values)?;
            pair.push(b':');
            pair.extend_from_slice(&filled(password, values)?);
            let mut text = Zeroizing::new(Vec::with_capacity(6 + pair.len().div_ceil(3) * 4));
            text.extend_from_slice(b"Basic ");
            let encoded = Zeroizing::new(data_encoding::BASE64.encode(&pair));
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
    use crate::secret::SecretBytes;

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
        assert_eq!(all["authorization"], format!("Basic {}", data_encoding::BASE64.encode(b"mia:va lue+/")));

        let query = Placement::Query { name: "key".into() };
        let put = put(&query, &values, &mut all, Some("a=1&KEY=own&k%65y=own&b")).expect("put");
        assert_eq!(put.as_deref().map(String::as_str), Some("a=1&b&key=va%20lue%2B%2F"));
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
