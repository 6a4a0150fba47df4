//! A value that looks like one of a service, and opens nothing.
use crate::error::{Result, internal};
use crate::secret::SecretBytes;
use crate::services::Catalogue;
use regex::Regex;

const DIGITS: &[u8] = b"0123456789";
const HEX: &[u8] = b"0123456789abcdef";
const LOWER: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";
const UPPER: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
const ALL: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
/// A shape's runs of x, X and 0 that are this long stand for what is random; `xoxb-` does not.
const RUN: usize = 4;
/// Fewer random characters could be somebody's key after all.
const FEWEST: usize = 16;
/// Of a value without a service.
const PLAIN: usize = 40;

/// A value of the shape that `service` gives its keys, made now and known to nobody; else plain random text.
pub fn decoy(catalogue: &Catalogue, service: &str) -> Result<SecretBytes> {
    let keys = catalogue.find_service(service).map(|service| service.keys.clone()).unwrap_or_default();
    for key in keys.iter().filter(|key| !key.public) {
        let Some(pattern) = key.regex.as_ref().or(key.format_regex.as_ref()) else { continue };
        let Ok(regex) = Regex::new(pattern) else { continue };
        if let Some(value) = shaped(&key.example_shape, &regex)? {
            return Ok(SecretBytes::new(value.into_bytes()));
        }
    }
    let plain = (0..PLAIN).map(|_| pick(ALL).map(char::from)).collect::<Result<String>>()?;
    Ok(SecretBytes::new(plain.into_bytes()))
}

/// `shape` filled with the widest alphabet that `regex` takes; `None` where too little of it is open.
fn shaped(shape: &str, regex: &Regex) -> Result<Option<String>> {
    for letters in [ALL, LOWER, UPPER, HEX, DIGITS] {
        for zeros in [HEX, DIGITS] {
            let (value, random) = filled(shape, letters, zeros)?;
            if random >= FEWEST && regex.is_match(&value) {
                return Ok(Some(value));
            }
        }
    }
    Ok(None)
}

/// The text, and how many characters of it are random.
fn filled(shape: &str, letters: &[u8], zeros: &[u8]) -> Result<(String, usize)> {
    let (mut text, mut random, mut rest) = (String::new(), 0, shape);
    while let Some(first) = rest.chars().next() {
        let run = rest.chars().take_while(|c| *c == first).count();
        match (first, run >= RUN) {
            ('x' | 'X' | '0', true) => {
                for _ in 0..run {
                    text.push(char::from(pick(if first == '0' { zeros } else { letters })?));
                }
                random += run;
            }
            _ => text.extend(std::iter::repeat_n(first, run)),
        }
        rest = &rest[run * first.len_utf8()..];
    }
    Ok((text, random))
}

/// One of them, each as likely.
fn pick(of: &[u8]) -> Result<u8> {
    let fair = 256 - 256 % of.len();
    loop {
        let mut byte = [0];
        getrandom::fill(&mut byte).map_err(|_| internal("the operating system gave no random bytes"))?;
        if usize::from(byte[0]) < fair {
            return Ok(of[usize::from(byte[0]) % of.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(service: &str) -> String {
        let value = decoy(Catalogue::embedded(), service).unwrap();
        value.expose(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
    }

    #[test]
    fn it_looks_like_the_services_own_and_is_never_the_same() {
        for service in ["github", "openai", "stripe", "slack", "circleci"] {
            let (one, other) = (text(service), text(service));

            let seen = Catalogue::embedded().recognise(&one);
            assert!(seen.iter().any(|key| key.service == service), "{service}");
            assert_ne!(one, other, "{service}");
        }
    }

    #[test]
    fn a_service_without_a_shape_and_none_at_all_get_random_text() {
        for service in ["", "no-such-service"] {
            assert_eq!(text(service).len(), PLAIN);
            assert!(text(service).bytes().all(|b| b.is_ascii_alphanumeric()));
        }
    }

    #[test]
    fn what_is_fixed_in_a_shape_stays_and_too_little_that_is_open_is_no_shape() {
        let (value, random) = filled("xoxb-0000000000-xxxxxxxxxxxx", ALL, DIGITS).unwrap();

        assert!(value.starts_with("xoxb-") && random == 22, "{random}");
        assert!(shaped("key-xxxx", &Regex::new("^key-.{4}$").unwrap()).unwrap().is_none());
    }
}
