//! Time, handed in: the product never asks the machine for it anywhere else.
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicI64, Ordering};

/// Milliseconds since 1970-01-01T00:00:00Z. In JSON and on a terminal it is RFC 3339 text in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Millis(pub i64);

/// One day, in milliseconds.
pub const DAY_MS: i64 = 86_400_000;

impl Millis {
    pub fn plus_ms(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms))
    }
    pub fn plus_days(self, days: i64) -> Self {
        self.plus_ms(days.saturating_mul(DAY_MS))
    }
}

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(t) => write!(f, "{t}"),
            Err(_) => write!(f, "{} ms", self.0),
        }
    }
}

impl FromStr for Millis {
    type Err = &'static str;

    /// RFC 3339 (`2027-01-31T12:00:00Z`) or a plain date (`2027-01-31`, midnight UTC).
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const HOW: &str = "write a date like 2027-01-31 or a time like 2027-01-31T12:00:00Z";
        if let Ok(t) = text.parse::<jiff::Timestamp>() {
            return Ok(Self(t.as_millisecond()));
        }
        let date: jiff::civil::Date = text.parse().map_err(|_| HOW)?;
        let at = date.to_zoned(jiff::tz::TimeZone::UTC).map_err(|_| HOW)?;
        Ok(Self(at.timestamp().as_millisecond()))
    }
}

impl Serialize for Millis {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Millis {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Millis {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Time".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "maxLength": 40 })
    }
}

/// Where the time comes from.
pub trait Clock: Send + Sync {
    fn now(&self) -> Millis;
}

/// The machine's own clock.
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Millis {
        Millis(jiff::Timestamp::now().as_millisecond())
    }
}

/// A clock that stands still until it is moved; for tests.
pub struct FixedClock(AtomicI64);

impl FixedClock {
    pub fn at(start: Millis) -> Self {
        Self(AtomicI64::new(start.0))
    }
    pub fn advance_ms(&self, ms: i64) {
        self.0.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Clock for FixedClock {
    fn now(&self) -> Millis {
        Millis(self.0.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_date_is_midnight_utc() {
        let parsed: Millis = "2027-01-31".parse().unwrap();

        assert_eq!(parsed.to_string(), "2027-01-31T00:00:00Z");
        assert_eq!("2027-01-31T00:00:00Z".parse::<Millis>().unwrap(), parsed);
    }

    #[test]
    fn nonsense_is_refused_with_an_example_and_without_the_text() {
        let refused = "hunter2".parse::<Millis>().unwrap_err();

        assert!(refused.contains("2027-01-31") && !refused.contains("hunter2"));
    }
}
