//! Files that a person hands in: `.env` and its relatives, the exports of password managers and secret stores, and
//! what programs keep in a home folder.
//!
//! Nothing is run and nothing is asked of anybody. [`read`] tells which credentials a file can become. Refuses to guess. A line whose value depends on who reads it (the dotenv parsers differ about escapes,
//! backticks and `a#b`), or on another variable or a command, is skipped and reported; a file whose *extent* is
//! unclear (an open quote, shell logic, another encoding) is refused whole. Nothing is expanded. Values go into
//! [`Secret`] and nowhere else: reports hold line numbers, and names only where a name stood before a `=`.
mod archive;
mod batch;
mod bitwarden;
mod docker;
mod dotenv;
mod encoded;
mod format;
mod gh;
mod guard;
mod json;
mod keepass;
mod kubernetes;
mod naming;
mod netrc;
mod notes;
mod npmrc;
mod onepassword;
mod pgpass;
mod profiles;
mod record;
mod registries;
mod shape;
mod shell;
mod stores;
mod systemd;
mod table;
mod tree;
mod yaml;

pub use batch::{At, Batch, Field, Item, Left, Remark};
pub use format::{Format, MAX_ARCHIVE_BYTES, Options, detect_format, read};
pub use naming::numbered;

use format::check_room;

use crate::error::{Code, Error, Result};
use crate::model::name::{CredentialName, Reserved};
use crate::secret::Secret;
use std::collections::HashMap;

/// The largest file of variables that is read.
pub const MAX_FILE_BYTES: usize = 1024 * 1024;
/// The most variables in one file.
pub const MAX_ENTRIES: usize = 10_000;
/// The largest export that is text, and the largest text inside an archive.
pub const MAX_TEXT_BYTES: usize = 64 * 1024 * 1024;
/// The most entries of one export.
pub const MAX_ITEMS: usize = 100_000;

/// Said of what a later version of a program may write.
const MORE: &str = "a part of it is not known here, and is left out";

/// Whose rules a file is read by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `.env` as python-dotenv (without interpolation) and npm's dotenv both read it.
    Dotenv,
    /// `docker run --env-file`: no quotes, no comments after a value, every character counts.
    Docker,
    /// `EnvironmentFile=` of systemd: quotes, backslashes and continued lines.
    Systemd,
    /// Assignments of a POSIX shell or bash: `export A='x'`, `declare -x A="x"`, `A=$'x'`.
    Shell,
    /// One flat JSON object, as `heroku config --json` prints it.
    Json,
}

/// A variable with its value. Neither `Clone` nor `Serialize`: it holds a [`Secret`].
#[derive(Debug)]
pub struct Entry {
    /// Acceptable to [`CredentialName::parse`].
    pub name: String,
    /// May be empty (`A=`): whether that is worth keeping is the caller's decision.
    pub value: Secret,
    /// Where the entry begins, counted from 1.
    pub line: usize,
}

/// Something of the file that was not taken over.
#[derive(Debug, PartialEq, Eq)]
pub struct Skipped {
    pub line: usize,
    /// The name before the `=`; none where there was no `=`, for such a line may be a stray piece of a value.
    pub name: Option<String>,
    pub why: &'static str,
}

/// Something that was taken over and that the reader may wonder about.
#[derive(Debug, PartialEq, Eq)]
pub struct Note {
    pub line: usize,
    pub name: String,
    pub text: &'static str,
}

/// What a file held. `entries` has no two names that are equal in upper case.
#[derive(Debug, Default)]
pub struct Parsed {
    pub entries: Vec<Entry>,
    pub skipped: Vec<Skipped>,
    pub notes: Vec<Note>,
    pub comments: Vec<Comment>,
}

/// A comment of the file, with its mark. It may hold an old value: neither `Clone` nor `Serialize`.
#[derive(Debug)]
pub struct Comment {
    pub line: usize,
    pub text: Secret,
}

/// The likely dialect of a file, by its name and its first characters. A guess to show, and to be overruled.
pub fn detect(file_name: &str, bytes: &[u8]) -> Dialect {
    let name = file_name.rsplit(['/', '\\']).next().unwrap_or(file_name).to_ascii_lowercase();
    let text = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let first_line = text.split(|b| *b == b'\n').next().unwrap_or(text);
    let starts = |line: &[u8], word: &str| line.trim_ascii_start().starts_with(word.as_bytes());
    if name.ends_with(".json") || starts(text, "{") {
        Dialect::Json
    } else if [".sh", ".bash", ".zsh", ".ksh"].iter().any(|end| name.ends_with(end))
        || [".envrc", ".profile", ".bashrc", ".zshrc", ".zshenv"].contains(&name.as_str())
        || (first_line.starts_with(b"#!") && first_line.trim_ascii_end().ends_with(b"sh"))
        || text
            .split(|b| *b == b'\n')
            .any(|line| ["declare -x ", "typeset -x ", "set -a"].iter().any(|word| starts(line, word)))
    {
        Dialect::Shell
    } else if name == "env.list" || name.split(['.', '-', '_']).any(|part| part == "docker") {
        Dialect::Docker
    } else if name.contains("systemd") || name.contains(".service") || starts(text, ";") {
        Dialect::Systemd
    } else {
        Dialect::Dotenv
    }
}

/// The entries of a file.
///
/// Fails with `too_large` over 1 MiB or 10,000 entries, and with `invalid_file` for another encoding than UTF-8,
/// a NUL, a quote that nobody closes, broken JSON and shell logic. The message names the line, never its text.
pub fn parse(dialect: Dialect, bytes: &[u8]) -> Result<Parsed> {
    let text = decoded_within(bytes, MAX_FILE_BYTES)?;
    let mut found = Found::default();
    match dialect {
        Dialect::Dotenv => dotenv::read(text, &mut found)?,
        Dialect::Docker => docker::read(text, &mut found)?,
        Dialect::Systemd => systemd::read(text, &mut found)?,
        Dialect::Shell => shell::read(text, &mut found)?,
        Dialect::Json => json::read(text, &mut found)?,
    }
    Ok(found.finish())
}

fn decoded_within(bytes: &[u8], most: usize) -> Result<&str> {
    if bytes.len() > most {
        return Err(Error::new(
            Code::TooLarge,
            format!("the file is larger than {} MiB", most / 1024 / 1024),
        ));
    }
    if bytes.starts_with(b"\xFF\xFE") || bytes.starts_with(b"\xFE\xFF") {
        return Err(
            Error::new(Code::InvalidFile, "the file is UTF-16").next("Save it as UTF-8, then import it.")
        );
    }
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    if let Some(at) = bytes.iter().position(|b| *b == 0) {
        let line = line_of(bytes, at);
        return Err(Error::new(Code::InvalidFile, format!("line {line} has a NUL character"))
            .next("Save the file as UTF-8 text, then import it."));
    }
    // The error of from_utf8 is dropped: only its position is used.
    std::str::from_utf8(bytes).map_err(|error| {
        let line = line_of(bytes, error.valid_up_to());
        Error::new(Code::InvalidFile, format!("line {line} is not UTF-8; perhaps it is Latin-1"))
            .next("Save the file as UTF-8, then import it.")
    })
}

fn line_of(bytes: &[u8], at: usize) -> usize {
    1 + bytes[..at].iter().filter(|b| **b == b'\n').count()
}

fn broken(line: usize, what: &str) -> Error {
    Error::new(Code::InvalidFile, format!("line {line}: {what}"))
}

const NO_VALUE: &str = "no value: a name alone takes its value from elsewhere";
const NO_ASSIGNMENT: &str = "not of the form NAME=value";
const BAD_NAME: &str = "the name is not one that a credential can have (A-Z, a-z, 0-9, _; at most 64)";
const LATER: &str = "a later line sets it again";
const OTHER_CASE: &str = "an earlier line has the same name in other case";

/// What has been read so far. Keeps one entry a name: the last, as every parser does.
#[derive(Default)]
struct Found {
    entries: Vec<Option<Entry>>,
    /// Name in upper case → its place in `entries`.
    places: HashMap<String, usize>,
    skipped: Vec<Skipped>,
    notes: Vec<Note>,
    comments: Vec<Comment>,
}

impl Found {
    /// Takes an entry over, or reports why not.
    fn entry(&mut self, line: usize, name: &str, value: Secret) -> Result<()> {
        if CredentialName::parse(name).is_err() {
            self.skip(line, name, Reserved::of(name).map_or(BAD_NAME, Reserved::reason));
            return Ok(());
        }
        let key = name.to_ascii_uppercase();
        if let Some(&place) = self.places.get(&key) {
            match self.entries[place].take() {
                Some(old) if old.name != name => {
                    self.entries[place] = Some(old);
                    self.skip_line(line, Some(name), OTHER_CASE);
                    return Ok(());
                }
                Some(old) => self.skip_line(old.line, Some(name), LATER),
                None => {}
            }
        }
        if self.places.len() >= MAX_ENTRIES {
            return Err(Error::new(Code::TooLarge, "the file has more than 10,000 entries"));
        }
        self.notes.retain(|note| note.name != name || note.line == line);
        self.places.insert(key, self.entries.len());
        self.entries.push(Some(Entry { name: name.to_owned(), value, line }));
        Ok(())
    }

    /// Reports that `name=…` was not taken over. An earlier value goes too: the file says that it is not the one.
    fn skip(&mut self, line: usize, name: &str, why: &'static str) {
        self.forget(name);
        self.skip_line(line, Some(name), why);
    }

    /// As [`Found::skip`], for a name without `=`, which the report does not repeat.
    fn skip_bare(&mut self, line: usize, name: &str, why: &'static str) {
        self.forget(name);
        self.skip_line(line, None, why);
    }

    fn skip_line(&mut self, line: usize, name: Option<&str>, why: &'static str) {
        let name = name.filter(|name| {
            !name.is_empty()
                && name.len() <= 64
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
        });
        self.skipped.push(Skipped { line, name: name.map(str::to_owned), why });
    }

    fn note(&mut self, line: usize, name: &str, text: &'static str) {
        if CredentialName::parse(name).is_ok() {
            self.notes.push(Note { line, name: name.to_owned(), text });
        }
    }

    fn comment(&mut self, line: usize, text: &str) {
        self.comments.push(Comment { line, text: secret(text) });
    }

    fn has(&self, name: &str) -> bool {
        self.place(name).is_some()
    }

    fn place(&self, name: &str) -> Option<usize> {
        let place = *self.places.get(&name.to_ascii_uppercase())?;
        self.entries[place].as_ref().is_some_and(|entry| entry.name == name).then_some(place)
    }

    fn forget(&mut self, name: &str) {
        if let Some(old) = self.place(name).and_then(|place| self.entries[place].take()) {
            self.notes.retain(|note| note.name != name);
            self.skip_line(old.line, Some(name), LATER);
        }
    }

    fn finish(self) -> Parsed {
        let mut parsed = Parsed {
            entries: self.entries.into_iter().flatten().collect(),
            skipped: self.skipped,
            notes: self.notes,
            comments: self.comments,
        };
        parsed.skipped.sort_by_key(|skipped| skipped.line);
        parsed
    }
}

/// A copy of `text` as a secret, in a buffer that never grew.
fn secret(text: &str) -> Secret {
    let mut copy = String::with_capacity(text.len());
    copy.push_str(text);
    Secret::new(copy)
}

#[cfg(test)]
mod tests;
