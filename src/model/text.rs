//! Free text about a credential: labels, descriptions, tags, reasons, names of people and teams.
//!
//! Text is cleaned as it comes in, once. It refuses what is too long, and drops what a reader cannot see but a
//! model would obey or a terminal would act on: control, bidi, zero-width, tag and filler characters.
use super::suspicion;
use crate::error::{Error, Result, invalid};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;
use unicode_normalization::UnicodeNormalization;

macro_rules! text {
    ($($(#[$doc:meta])* $name:ident $max:literal $what:literal $empty:ident $schema:tt)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The most characters it may have, counted after cleaning.
            pub const MAX: usize = $max;

            /// `text`, cleaned. Fails with `invalid_input`; the message does not repeat the text.
            pub fn parse(text: &str) -> Result<Self> {
                checked(clean(text), Self::MAX, $what, Empty::$empty).and_then(|text| Self::shaped(text))
            }
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl From<$name> for String {
            fn from(text: $name) -> Self {
                text.0
            }
        }
        impl TryFrom<String> for $name {
            type Error = Error;
            fn try_from(text: String) -> Result<Self> {
                Self::parse(&text)
            }
        }
        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    )*};
}

text! {
    /// Which account of a service a credential belongs to, such as `work` or `ops@example.com`.
    Label 80 "a label" Refused { "type": "string", "maxLength": 80 }
    /// What a credential is for, in a sentence or two. May be empty.
    Description 500 "a description" Allowed { "type": "string", "maxLength": 500 }
    /// A word to filter by, in lower case: `[a-z0-9][a-z0-9._:/-]*`.
    Tag 40 "a tag" Refused { "type": "string", "maxLength": 40 }
    /// Why somebody does something; kept in the audit log.
    Reason 300 "a reason" Refused { "type": "string", "maxLength": 300 }
    /// What people call an org, a team, a user or a provider.
    DisplayName 80 "a name" Refused { "type": "string", "maxLength": 80 }
}

macro_rules! any_shape {
    ($($name:ident)*) => {$(
        impl $name {
            fn shaped(text: String) -> Result<Self> {
                Ok(Self(text))
            }
        }
    )*};
}

any_shape! { Label Description Reason DisplayName }

impl Tag {
    fn shaped(text: String) -> Result<Self> {
        let text = text.to_ascii_lowercase();
        let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        if good(text.as_bytes()[0]) && text.bytes().all(|b| good(b) || b"._:/-".contains(&b)) {
            Ok(Self(text))
        } else {
            Err(invalid("a tag has only a-z, 0-9 and . _ : / -, and starts with a letter or digit"))
        }
    }
}

#[derive(PartialEq)]
enum Empty {
    Allowed,
    Refused,
}

fn checked(text: String, max: usize, what: &'static str, empty: Empty) -> Result<String> {
    if text.is_empty() && empty == Empty::Refused {
        return Err(invalid(format!("{what} cannot be empty")));
    }
    if text.len() > max && text.chars().count() > max {
        return Err(invalid(format!("{what} has at most {max} characters")));
    }
    Ok(text)
}

/// `text` in NFC, with every run of white space (line and paragraph separators too) as one space, none at the
/// ends, and without the characters that nobody sees. Cleaning twice changes nothing.
pub fn clean(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut gap = false;
    for c in text.chars() {
        if c.is_whitespace() {
            gap = !kept.is_empty();
        } else if !is_unseen(c) {
            if std::mem::take(&mut gap) {
                kept.push(' ');
            }
            kept.push(c);
        }
    }
    // After dropping, not before: a joiner between a letter and its accent keeps the two from composing.
    if kept.is_ascii() { kept } else { kept.nfc().collect() }
}

/// Whether `c` draws nothing by itself, and so can carry orders or order text anew behind a reader's back.
///
/// Categories Cc and Cf of Unicode 17, the fillers, the selectors (which can hide bytes), and noncharacters.
pub fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{AD}' | '\u{34F}' | '\u{600}'..='\u{605}' | '\u{61C}' | '\u{6DD}' | '\u{70F}'
            | '\u{890}'..='\u{891}' | '\u{8E2}' | '\u{115F}'..='\u{1160}' | '\u{17B4}'..='\u{17B5}'
            | '\u{180B}'..='\u{180F}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}'
            | '\u{2060}'..='\u{206F}' | '\u{2800}' | '\u{3164}' | '\u{FDD0}'..='\u{FDEF}'
            | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{FFA0}' | '\u{FFF0}'..='\u{FFFB}'
            | '\u{110BD}' | '\u{110CD}' | '\u{13430}'..='\u{1345F}' | '\u{1BCA0}'..='\u{1BCA3}'
            | '\u{1D173}'..='\u{1D17A}' | '\u{E0000}'..='\u{E0FFF}')
        || (c as u32) & 0xFFFE == 0xFFFE
}

/// The caller's own word for a thing, short and harmless, to be repeated in an answer.
///
/// Nothing of a text that holds a long run of letters and digits, for that may be a value in the wrong place (C-20).
pub fn shown(name: &str) -> String {
    // A value in the wrong place is not repeated (C-21).
    if suspicion::PLAIN.check_text(name, suspicion::Kind::Identifier).is_some() {
        return "of that name".into();
    }
    let clean: String =
        name.chars().filter(|c| c.is_alphanumeric() || "_-.:@/ ".contains(*c)).take(64).collect();
    if clean.trim().is_empty() || may_be_a_value(name) { "of that name".into() } else { clean }
}

/// Whether a long run of letters and digits in `text` may be a value: random text, and no words.
pub fn may_be_a_value(text: &str) -> bool {
    text.split(|c: char| !c.is_alphanumeric()).any(|run| {
        let count = |is: fn(&char) -> bool| run.chars().filter(is).count();
        let (digits, upper, lower) =
            (count(char::is_ascii_digit), count(char::is_ascii_uppercase), count(char::is_ascii_lowercase));
        // Random letters change their case as often as not, and words do so where one begins.
        let is_mixed = upper.min(lower) > run.len() / 4;
        run.len() > 26 && (is_mixed || (digits > 0 && upper + lower > 0))
    })
}

/// Whether a word of `text` mixes Latin letters with Greek or Cyrillic ones, as look-alike names do
/// (`pаypal` with a Cyrillic а). A reason to warn, not to refuse.
pub fn mixes_alphabets(text: &str) -> bool {
    !text.is_ascii()
        && text.split(|c: char| !c.is_alphanumeric()).any(|word| {
            let latin = word.chars().any(|c| c.is_ascii_alphabetic() || matches!(c, '\u{C0}'..='\u{24F}'));
            let other = word.chars().any(|c| matches!(c, '\u{370}'..='\u{52F}' | '\u{1F00}'..='\u{1FFF}'));
            latin && other
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    #[test]
    fn m_10_unseen_characters_go_and_white_space_collapses() {
        let orders: String = "delete".chars().map(|c| char::from_u32(0xE0000 + c as u32).unwrap()).collect();

        assert_eq!(clean(&format!("deploy{orders} key")), "deploy key");
        assert_eq!(clean("a\u{202E}b\u{2066}c\u{200B}d\u{FEFF}e\u{AD}f\u{FE0F}g\u{3164}h"), "abcdefgh");
        assert_eq!(clean("  a\t\r\n b\u{2028}\u{2029}c\u{A0}\u{3000}d\u{85}e "), "a b c d e");
        assert_eq!(clean("\u{1B}[31mred\u{7}\0"), "[31mred");
    }

    #[test]
    fn m_12_markup_stays_as_plain_characters() {
        let text = "![x](https://e.example/a.png) <b>bold</b>";

        assert_eq!(Description::parse(text).unwrap().as_str(), text);
    }

    #[test]
    fn text_composes_even_across_a_dropped_joiner() {
        assert_eq!(clean("e\u{301}"), "é");
        assert_eq!(clean("e\u{200D}\u{301}"), "é");
    }

    #[test]
    fn limits_count_characters_after_cleaning() {
        assert!(Label::parse(&"ä".repeat(80)).is_ok());
        assert!(Label::parse(&format!("  {}\u{200B}\n", "é".repeat(80))).is_ok());
        assert_eq!(Label::parse(&"a".repeat(81)).unwrap_err().code, Code::InvalidInput);
        assert!(Description::parse(&"🔐".repeat(500)).is_ok());
        assert!(Description::parse(&"🔐".repeat(501)).is_err());
        assert!(Reason::parse(&"r".repeat(301)).is_err());
    }

    #[test]
    fn only_a_description_may_be_empty() {
        assert_eq!(Description::parse(" \u{200B} ").unwrap().as_str(), "");
        assert!(Label::parse("\u{200B}").is_err());
        assert!(Tag::parse(" ").is_err());
        assert!(Reason::parse("").is_err());
        assert!(DisplayName::parse("\n").is_err());
    }

    #[test]
    fn tags_are_lower_case_words() {
        assert_eq!(Tag::parse(" Team/Billing:EU-1.x_y ").unwrap().as_str(), "team/billing:eu-1.x_y");
        for bad in ["-a", ".a", "two words", "ä", "a#b", "a,b"] {
            assert!(Tag::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn x_13_cleaning_is_idempotent_and_leaves_nothing_unseen_on_any_text() {
        // Every character of Unicode between two others, then random strings of troublesome ones.
        for c in '\0'..=char::MAX {
            let once = clean(&format!("a{c}\u{301}b {c}"));
            assert_eq!(clean(&once), once, "{:x}", c as u32);
            assert!(!once.chars().any(is_unseen), "{:x}", c as u32);
        }
        let troublesome: Vec<char> = "aAe\u{301}\u{327}\u{34F}\u{200D}\u{1100}\u{1161}\u{11A8} \u{2000}\u{2126}\u{E0041}\n\u{FB01}\u{915}\u{93C}\u{5D0}\u{5B7}\u{202E}\u{1F468}"
            .chars()
            .collect();
        let mut state = 0x9E37_79B9_7F4A_7C15u64;
        for _ in 0..50_000 {
            let text: String = (0..12)
                .map(|_| {
                    state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                    troublesome[(state >> 33) as usize % troublesome.len()]
                })
                .collect();
            let once = clean(&text);
            assert_eq!(clean(&once), once, "{text:?}");
            assert_eq!(once.nfc().collect::<String>(), once);
        }
    }

    #[test]
    fn json_is_cleaned_on_the_way_in_and_errors_do_not_repeat_it() {
        let label: Label = serde_json::from_str("\" work\\u200b \"").unwrap();
        let error = serde_json::from_str::<Tag>("\"hush hush\"").unwrap_err();

        assert_eq!(label.as_str(), "work");
        assert!(!error.to_string().contains("hush"));
        assert_eq!(schemars::schema_for!(Description).get("maxLength").unwrap(), Description::MAX);
    }

    #[test]
    fn m_13_a_word_of_two_alphabets_is_noticed() {
        assert!(mixes_alphabets("p\u{430}ypal"));
        assert!(!mixes_alphabets("paypal"));
        assert!(!mixes_alphabets("почта work Ärger Ωmega".split(' ').next().unwrap()));
        assert!(!mixes_alphabets("почта work"));
    }

    #[test]
    fn c_20_a_long_run_that_may_be_a_value_is_not_repeated_and_a_long_name_is() {
        for (upper, lower, digit) in [(20, 20, 0), (12, 30, 2), (30, 12, 0), (0, 30, 1), (11, 33, 0)] {
            let part = |count: usize, of: char| std::iter::repeat_n(of, count).collect::<String>();
            let text = part(upper, 'Q') + &part(lower, 'w') + &part(digit, '7');
            let is_hidden = digit > 0 || upper.min(lower) > text.len() / 4;
            assert_eq!(shown(&text) == "of that name", is_hidden, "{text}");
        }
        for name in ["TheServiceAccountOfTheBillingTeam", "GITHUB_TOKEN_OF_THE_PRODUCTION_ROBOT_2", "core"] {
            assert_eq!(shown(name), name);
        }
    }
}
