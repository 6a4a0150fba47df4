//! What an answer means: which of the four verdicts, whose account, what it may do and until when. Its body ends here.
use super::super::catalogue::Catalogue;
use super::super::check::{BodyTest, Check};
use super::super::service::Service;
use super::super::wire::Answered;
use super::subject::Subject;
use super::{limits, refuses, takes};
use crate::clock::Millis;
use crate::model::probe::{Probed, Verdict};
use serde_json::Value;

/// The longest name of an account or scope that is shown, characters.
const MOST_NAME: usize = 100;
const MOST_SCOPES: usize = 60;

pub(super) fn judge(
    catalogue: &Catalogue,
    service: &Service,
    check: &Check,
    subject: &Subject,
    answered: &Answered,
    now: Millis,
) -> Probed {
    let body: Value = serde_json::from_slice(&answered.body).unwrap_or(Value::Null);
    let holds = |test: &Option<BodyTest>| test.as_ref().is_some_and(|test| test.holds(&body));
    let status = answered.status;
    let undecided = |why: &str| Probed::could_not(format!("{} could not be asked: {why}", service.name));
    // What a body says is more exact than the status beside it.
    let mut found = if holds(&check.limited_body) {
        limits(service)
    } else if holds(&check.invalid_body) {
        refuses(service)
    } else if check.limited_status.contains(&status) {
        limits(service)
    } else if check.invalid_status.contains(&status) {
        refuses(service)
    } else if check.ok_status.contains(&status) {
        match &check.ok_body {
            None => takes(service),
            Some(test) if test.holds(&body) => takes(service),
            Some(_) => undecided("its answer says neither yes nor no"),
        }
    } else {
        match status {
            429 => undecided("it asks to be called less often"),
            300..=399 => undecided("it answered with a redirect, which is not followed"),
            500..=599 => undecided("it answered with a failure of its own"),
            _ => undecided("it answered with a status that says nothing about the credential"),
        }
    };
    if !matches!(found.verdict, Verdict::Valid | Verdict::Limited) {
        return found;
    }
    // Whole texts are compared, and cut afterwards.
    let shown = |text: String| {
        let is_its_own = subject.is_in(&text) || !catalogue.recognise(&text).is_empty();
        (!is_its_own && !text.is_empty()).then(|| text.chars().take(MOST_NAME).collect::<String>())
    };
    let at = |path: &Option<String>| path.as_deref().and_then(|path| body.pointer(path));
    let header = |name: &Option<String>| {
        let name = name.as_deref()?;
        answered.headers.get(name)?.to_str().ok().map(|text| Value::from(text.to_owned()))
    };
    found.account = at(&check.account_id_path).and_then(name_of).and_then(shown).unwrap_or_default();
    let scopes = header(&check.scopes_header).or_else(|| at(&check.scopes_path).cloned());
    // A list that tells of a secret may have it in pieces, between blanks or commas.
    let is_whole = |said: &Value| !said.as_str().is_some_and(|said| subject.is_in(said));
    found.scopes = scopes.filter(is_whole).map(|said| scopes_of(&said)).unwrap_or_default();
    found.scopes = found.scopes.into_iter().filter_map(shown).take(MOST_SCOPES).collect();
    let left = at(&check.expires_in_path).and_then(Value::as_i64).filter(|seconds| *seconds > 0);
    found.expires_at = header(&check.expires_header)
        .as_ref()
        .and_then(moment)
        .or_else(|| at(&check.expires_path).and_then(moment))
        .or_else(|| left.map(|seconds| now.plus_ms(seconds.saturating_mul(1000))));
    found
}

impl BodyTest {
    fn holds(&self, body: &Value) -> bool {
        let Some(found) = body.pointer(&self.pointer).filter(|found| !found.is_null()) else { return false };
        match (&self.equals, &self.one_of[..]) {
            (Some(wanted), _) => found == wanted,
            (None, []) => self.exists,
            (None, any) => any.contains(found),
        }
    }
}

/// A name as it may be shown: a line of text, of any length.
fn name_of(said: &Value) -> Option<String> {
    let text = match said {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    let text: String = text.chars().filter(|c| !c.is_control() && !is_invisible(*c)).collect();
    Some(text.trim().to_owned())
}

/// Characters that change how others are read, or are not seen (Unicode bidi, zero-width, tags).
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

/// Scopes: a list of words, or of objects that name one, or words between blanks or commas.
fn scopes_of(said: &Value) -> Vec<String> {
    let words: Vec<String> = match said {
        Value::String(text) => text.split([' ', ',']).map(str::to_owned).collect(),
        Value::Array(all) => all
            .iter()
            .filter_map(|one| match one {
                Value::String(text) => Some(text.clone()),
                Value::Object(map) => ["handle", "scope", "name"]
                    .iter()
                    .find_map(|key| map.get(*key).and_then(Value::as_str).map(str::to_owned)),
                _ => None,
            })
            .collect(),
        _ => Vec::new(),
    };
    let is_plain = |word: &String| {
        !word.is_empty() && word.len() <= MOST_NAME && word.bytes().all(|b| b.is_ascii_graphic())
    };
    let mut words: Vec<_> = words.into_iter().filter(is_plain).collect();
    words.sort();
    words.dedup();
    words
}

/// A point in time as services write it.
fn moment(said: &Value) -> Option<Millis> {
    match said {
        Value::Number(number) => {
            let number = number.as_i64().filter(|n| *n > 0)?;
            // Nobody's token ends before 1970-01-13 or after 5138 by seconds: larger numbers are milliseconds.
            Some(if number > 100_000_000_000 { Millis(number) } else { Millis(number.saturating_mul(1000)) })
        }
        Value::String(text) => {
            let text = text.trim();
            let spaced = text.replacen(" UTC", " +0000", 1);
            let at = text
                .parse::<jiff::Timestamp>()
                .ok()
                .or_else(|| {
                    jiff::fmt::strtime::parse("%Y-%m-%d %H:%M:%S %z", &spaced).ok()?.to_timestamp().ok()
                })
                .or_else(|| {
                    let day = text.parse::<jiff::civil::Date>().ok()?;
                    Some(day.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
                })?;
            Some(Millis(at.as_millisecond()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_point_in_time_is_read_as_services_write_it() {
        let new_year = Some(Millis(1_767_225_600_000));
        for said in [
            json!("2026-01-01"),
            json!("2026-01-01T00:00:00Z"),
            json!("2026-01-01T01:00:00+01:00"),
            json!("2026-01-01 00:00:00 UTC"),
            json!("2026-01-01 01:00:00 +0100"),
            json!(1_767_225_600),
            json!(1_767_225_600_000_i64),
        ] {
            assert_eq!(moment(&said), new_year, "{said}");
        }
        for none in [json!(null), json!(0), json!(-1), json!("never"), json!(""), json!([])] {
            assert_eq!(moment(&none), None, "{none}");
        }
    }

    #[test]
    fn scopes_are_words_however_they_are_listed() {
        let expected = ["read", "write:x"];
        for said in [
            json!("write:x, read"),
            json!("read write:x read"),
            json!(["write:x", "read"]),
            json!([{"handle": "read"}, {"handle": "write:x"}, {"id": 1}]),
        ] {
            assert_eq!(scopes_of(&said), expected, "{said}");
        }
        assert!(scopes_of(&json!({"a": 1})).is_empty());
        assert!(scopes_of(&json!(["a b", "\u{202e}x", ""])).is_empty());
    }

    #[test]
    fn a_name_is_one_line_without_what_is_not_seen() {
        assert_eq!(name_of(&json!(" a\n\u{202e}b\u{200b} ")).as_deref(), Some("ab"));
        assert_eq!(name_of(&json!(42)).as_deref(), Some("42"));
        assert_eq!(
            name_of(&json!("y".repeat(500))).map(|n| n.len()),
            Some(500),
            "it is cut after it was compared"
        );
        assert_eq!(name_of(&json!({})), None);
    }
}
