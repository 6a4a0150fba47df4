//! One flat JSON object of names and values, as `heroku config --json` prints it.
//!
//! Text, whole numbers and true/false are taken over. Refuses to invent a text for the rest: lists, objects, nothing
//! and fractions are skipped and reported.
use super::{Found, broken, secret};
use crate::error::{Error, Result};
use crate::secret::Secret;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

pub(super) fn read(text: &str, found: &mut Found) -> Result<()> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let mut outcome = Ok(());
    // serde_json's own message may quote the file, so only its line is used.
    let at = |error: serde_json::Error| {
        broken(error.line(), "this is not one flat JSON object of names and values")
    };
    reader.deserialize_map(Object { text, found, outcome: &mut outcome }).map_err(at)?;
    reader.end().map_err(at)?;
    outcome
}

struct Object<'a, 'f> {
    text: &'a str,
    found: &'f mut Found,
    outcome: &'f mut Result<(), Error>,
}

impl<'de> Visitor<'de> for Object<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let (mut line, mut rest) = (1, self.text);
        while let Some(name) = map.next_key::<String>()? {
            // serde tells no positions; the next place where the name stands in quotes is the likely line.
            if let Some(at) = rest.find(&format!("\"{name}\"")) {
                line += rest[..at].matches('\n').count();
                rest = &rest[at..];
            }
            match map.next_value()? {
                Member::Text(value) if self.outcome.is_ok() => {
                    *self.outcome = self.found.entry(line, &name, value)
                }
                Member::Text(_) => {}
                Member::Other(why) => self.found.skip(line, &name, why),
            }
        }
        Ok(())
    }
}

enum Member {
    Text(Secret),
    Other(&'static str),
}

impl<'de> Deserialize<'de> for Member {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Scalar)
    }
}

struct Scalar;

impl<'de> Visitor<'de> for Scalar {
    type Value = Member;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }
    fn visit_str<E>(self, text: &str) -> Result<Member, E> {
        Ok(if text.contains('\0') {
            Member::Other("the value has a NUL character")
        } else {
            Member::Text(secret(text))
        })
    }
    fn visit_bool<E>(self, yes: bool) -> Result<Member, E> {
        Ok(Member::Text(secret(if yes { "true" } else { "false" })))
    }
    fn visit_u64<E>(self, number: u64) -> Result<Member, E> {
        Ok(Member::Text(Secret::new(number.to_string())))
    }
    fn visit_i64<E>(self, number: i64) -> Result<Member, E> {
        Ok(Member::Text(Secret::new(number.to_string())))
    }
    fn visit_f64<E>(self, _: f64) -> Result<Member, E> {
        Ok(Member::Other("a fraction or a very large number: put it in quotes"))
    }
    fn visit_unit<E>(self) -> Result<Member, E> {
        Ok(Member::Other("null is no value"))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Member, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Member::Other("a list is not one value"))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Member, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Member::Other("an object is not one value"))
    }
}
