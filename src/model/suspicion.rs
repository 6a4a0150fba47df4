//! Does an argument of a tool call hold a secret? If so the call is refused, and the secret is named as leaked.
//!
//! Known shapes of keys are looked for in every argument but cursors; randomness counts in free text only, for ids
//! and addresses are random by nature. Nothing here keeps, returns or logs the text it looked at.
//!
//! Not caught: a passphrase of plain words, letters of one case only, a secret cut in pieces or spelt out, and a
//! random hexadecimal value of 40, 56, 64, 96 or 128 characters, which cannot be told from a hash.
mod assignments;
pub mod names;
mod randomness;
mod shapes;

use super::text;
use serde_json::{Map, Value};
use shapes::Catalogue;
use std::borrow::Cow;
use std::sync::LazyLock;
use unicode_normalization::UnicodeNormalization;

/// What an argument is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Sentences, labels, tags, notes, and every field that the operation does not know.
    FreeText,
    /// Names, ids, client ids, scopes: random text is ordinary.
    Identifier,
    /// An address: random text is ordinary, a password in it is not.
    Url,
    /// Our own opaque page marks: not looked at.
    Cursor,
}

/// Where a secret was seen and what it looked like; never the text itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspect {
    /// The path of the field, such as `fields.note` or `tags[2]`. A part that is not a plain word of a schema
    /// (letters and `_`) is shown as `?`, since a key may hold the secret.
    pub field: String,
    /// What it looked like, such as "a GitHub token".
    pub why: &'static str,
}

/// A detector that knows no shapes of a catalogue: for what is looked at where no vault is open.
pub static PLAIN: LazyLock<Detector> = LazyLock::new(|| Detector::new(Vec::new));

/// Finds secrets in arguments. Cheap to make: shapes are read and compiled when something first looks suspicious.
pub struct Detector {
    catalogue: Catalogue,
}

impl Detector {
    /// `known_shapes` gives regular expressions of whole keys (`^…$`), as the service catalogue has them. It should
    /// leave out the public ones (client ids, publishable keys) and those that several services share
    /// (`^[0-9a-f]{32}$`). An expression that does not compile is passed over.
    pub fn new(known_shapes: impl Fn() -> Vec<String> + Send + Sync + 'static) -> Self {
        Self { catalogue: Catalogue::new(Box::new(known_shapes)) }
    }

    /// The first argument that looks like it holds a secret. `kinds` tells what a field is for by its path
    /// (`note`, `fields.note`, `tags[2]`); it is asked only about text that is not plainly harmless.
    ///
    /// Looks at every text at any depth, and at the keys, as free text. A call with ordinary arguments costs
    /// about a nanosecond a byte.
    pub fn check_arguments(
        &self,
        arguments: &Map<String, Value>,
        kinds: &dyn Fn(&str) -> Kind,
    ) -> Option<Suspect> {
        self.check_map(arguments, &Path::Root, kinds)
    }

    fn check_map(
        &self,
        map: &Map<String, Value>,
        at: &Path<'_>,
        kinds: &dyn Fn(&str) -> Kind,
    ) -> Option<Suspect> {
        map.iter().find_map(|(key, value)| {
            if let Some(why) = self.check_text(key, Kind::FreeText) {
                return Some(Suspect { field: Path::Key(at, "?").shown(), why });
            }
            self.check_value(value, &Path::Key(at, key), kinds)
        })
    }

    fn check_value(&self, value: &Value, at: &Path<'_>, kinds: &dyn Fn(&str) -> Kind) -> Option<Suspect> {
        match value {
            Value::String(text) if is_plain(text) => None,
            Value::String(text) => {
                let why = self.check_text(text, kinds(&at.exact()))?;
                Some(Suspect { field: at.shown(), why })
            }
            Value::Array(items) => items
                .iter()
                .enumerate()
                .find_map(|(i, item)| self.check_value(item, &Path::Item(at, i), kinds)),
            Value::Object(map) => self.check_map(map, at, kinds),
            Value::Null | Value::Bool(_) | Value::Number(_) => None,
        }
    }

    /// What `text` looks like, if it looks like a secret, for one argument of that kind.
    pub fn check_text(&self, text: &str, kind: Kind) -> Option<&'static str> {
        if kind == Kind::Cursor || is_plain(text) {
            return None;
        }
        // What would be stored is cleaned of unseen characters, so a key cut by one would be whole again.
        let seen = if text.is_ascii() { Cow::Borrowed(text) } else { Cow::Owned(seen(text)) };
        shapes::marker(&seen)
            .or_else(|| assignments::find(&seen))
            .or_else(|| seen.split(is_break).find_map(|word| self.check_word(word, kind)))
            .or_else(|| self.catalogue.matches_whole(&seen))
    }

    fn check_word(&self, word: &str, kind: Kind) -> Option<&'static str> {
        let word = word.trim_matches(is_edge);
        if word.len() < SHORTEST || randomness::is_id(word) {
            return None;
        }
        candidates(word)
            .filter(|part| part.len() >= SHORTEST && !randomness::is_id(part))
            .find_map(|part| shapes::known(part).or_else(|| self.catalogue.matches(part)))
            .or_else(|| match kind {
                Kind::FreeText => randomness::looks_random(word).then_some("a long random text"),
                Kind::Url => randomness::has_random_user(word).then_some("an address with a token in it"),
                Kind::Identifier | Kind::Cursor => None,
            })
    }

    /// How many expressions of the catalogue have been compiled so far. For tests and diagnostics.
    pub fn compiled(&self) -> usize {
        self.catalogue.compiled()
    }
}

/// The shortest text that is a key by its shape or its randomness alone.
const SHORTEST: usize = 12;

/// Whether no secret can be in `text`: one pass over the bytes. Keys have a long word of several kinds of
/// characters, or come after `=`, `:` or a scheme word.
fn is_plain(text: &str) -> bool {
    const LOWER: u8 = 1;
    const UPPER: u8 = 2;
    const DIGIT: u8 = 4;
    const MARK: u8 = 8;
    /// Joins words, and says nothing of its own.
    const UNDERSCORE: u8 = 16;
    if text.len() < 6 {
        return true;
    }
    let harmless = |size: usize, classes: u8| {
        let kinds = (classes & !UNDERSCORE).count_ones();
        // AKIA… may by chance have no digit; GITHUB_TOKEN_PRODUCTION is no such thing.
        size < SHORTEST || kinds == 0 || (kinds == 1 && (classes != UPPER || size < 20))
    };
    let bytes = text.as_bytes();
    let (mut size, mut classes) = (0usize, 0u8);
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'a'..=b'z' => classes |= LOWER,
            // A capital that begins a word is no sign of mixed case.
            b'A'..=b'Z' if size == 0 && bytes.get(at + 1).is_some_and(u8::is_ascii_lowercase) => {}
            b'A'..=b'Z' => classes |= UPPER,
            b'0'..=b'9' => classes |= DIGIT,
            b'_' => classes |= UNDERSCORE,
            b'-' | b'.' | b'/' | b'(' | b')' => {}
            b'=' | b':' | 0x80.. => return false,
            b' ' | b'\n' | b'\t' | b'\r' | b',' => {
                if !harmless(size, classes) {
                    return false;
                }
                (size, classes) = (0, 0);
                continue;
            }
            _ => classes |= MARK,
        }
        size += 1;
    }
    harmless(size, classes) || randomness::is_ulid(text)
}

/// `text` in compatibility form (full-width letters become plain ones) without unseen characters; white space stays.
fn seen(text: &str) -> String {
    text.nfkc().filter(|c| c.is_whitespace() || !text::is_unseen(*c)).collect()
}

fn is_break(c: char) -> bool {
    c.is_whitespace()
        || matches!(c, '"' | '\'' | '`' | '<' | '>' | '(' | ')' | '[' | ']' | '{' | '}' | ',' | ';')
}

fn is_edge(c: char) -> bool {
    matches!(c, '.' | ':' | '!' | '?' | '*' | '…' | '„' | '“' | '”' | '’' | '«' | '»')
}

/// The parts of a word that may be a key: the whole, what follows a mark, and what stands between two marks.
fn candidates(word: &str) -> impl Iterator<Item = &str> {
    let is_mark = |c: char| matches!(c, '=' | ':' | '/' | '?' | '&' | '@' | '#' | '|');
    std::iter::once(word)
        .chain(word.match_indices(is_mark).map(|(at, mark)| &word[at + mark.len()..]))
        .chain(word.split(is_mark))
}

/// Where we are in the arguments, without a buffer.
enum Path<'a> {
    Root,
    Key(&'a Path<'a>, &'a str),
    Item(&'a Path<'a>, usize),
}

impl Path<'_> {
    fn exact(&self) -> String {
        self.written(&|key| key)
    }

    fn shown(&self) -> String {
        self.written(&|key| {
            let plain = key.len() <= 32 && key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
            if plain { key } else { "?" }
        })
    }

    fn written(&self, show: &dyn for<'k> Fn(&'k str) -> &'k str) -> String {
        match self {
            Path::Root => String::new(),
            Path::Key(Path::Root, key) => show(key).to_owned(),
            Path::Key(parent, key) => format!("{}.{}", parent.written(show), show(key)),
            Path::Item(parent, index) => format!("{}[{index}]", parent.written(show)),
        }
    }
}

#[cfg(test)]
mod tests;
