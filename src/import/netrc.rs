//! `.netrc`: machines with a login and a password, as curl and Python read them.
//!
//! Refuses a word that no netrc has there, and a quote that is open at the end of its line. An entry that curl and
//! Python read differently (an escape besides `\"` and `\\`, a backslash without quotes) is left out, and told.
use super::batch::{At, Batch};
use super::record::{Record, Role};
use super::{Options, broken, guard, secret, shape};
use crate::error::Result;
use zeroize::Zeroizing;

const MACRO: &str = "a macro, which is no credential";
const UNSURE: &str = "programs differ about a backslash or a quote in it: put the value in quotes";
const KEYWORDS: &[&str] = &["machine", "default", "login", "password", "account", "macdef"];

/// One word, with what quotes and escapes stand for.
struct Word {
    line: usize,
    text: Zeroizing<String>,
    is_quoted: bool,
    /// Programs differ about what it is.
    is_unsure: bool,
}

struct Reader<'a> {
    rest: &'a str,
    line: usize,
    comments: Vec<(usize, &'a str)>,
}

pub(super) fn read(text: &str, options: &Options<'_>, batch: &mut Batch) -> Result<()> {
    let mut reader = Reader { rest: text, line: 1, comments: Vec::new() };
    let (mut open, mut number): (Option<(Record, bool)>, usize) = (None, 0);
    while let Some(word) = reader.keyword()? {
        match word.text.as_str() {
            kind @ ("machine" | "default" | "macdef") => {
                finish(open.take(), options, batch);
                super::check_room(batch)?;
                number += 1;
                let at = At::Entry(number);
                if kind == "default" {
                    open = Some((Record::new(at, "netrc default"), false));
                    continue;
                }
                let name = reader.value(word.line)?;
                if kind == "macdef" {
                    reader.skip_macro();
                    batch.entries += 1;
                    batch.leave(at, None, MACRO);
                    continue;
                }
                let mut record = Record::new(at, &name.text);
                record.url = name.text;
                open = Some((record, name.is_unsure));
            }
            kind => {
                let Some((record, is_unsure)) = &mut open else {
                    return Err(broken(word.line, "a login or a password before the first machine"));
                };
                let (role, label) = match kind {
                    "login" => (Role::User, "login"),
                    "password" => (Role::Password, "password"),
                    "account" => (Role::Hidden, "account"),
                    _ => return Err(broken(word.line, "a word that no netrc has there")),
                };
                if record.parts.iter().any(|part| part.label == label) {
                    return Err(broken(word.line, "a machine has two of one kind"));
                }
                let value = reader.value(word.line)?;
                *is_unsure |= value.is_unsure;
                record.put(role, label, secret(&value.text));
            }
        }
    }
    finish(open, options, batch);
    guard::comments(reader.comments, options, batch);
    match number {
        0 => Err(broken(1, "there is no machine, as a netrc has it")),
        _ => Ok(()),
    }
}

fn finish(open: Option<(Record, bool)>, options: &Options<'_>, batch: &mut Batch) {
    match open {
        None => {}
        Some((record, false)) => shape::take(record, options, batch),
        Some((record, true)) => {
            batch.entries += 1;
            batch.leave(record.at, None, UNSURE);
        }
    }
}

impl Reader<'_> {
    /// The next word where a keyword may stand; a comment may stand there too.
    fn keyword(&mut self) -> Result<Option<Word>> {
        loop {
            let before = self.rest;
            match self.word()? {
                Some(word) if word.text.starts_with('#') && !word.is_quoted => {
                    let start = before.len() - before.trim_start().len();
                    let mut end = before.len() - self.rest.len();
                    if word.line == self.line {
                        end += self.rest.find('\n').unwrap_or(self.rest.len());
                        self.rest = &before[end..];
                    }
                    self.comments.push((word.line, &before[start..end]));
                }
                Some(word) if word.is_quoted => {
                    return Err(broken(word.line, "a word that no netrc has there"));
                }
                word => return Ok(word),
            }
        }
    }

    /// The word that belongs to the keyword on `line`.
    fn value(&mut self, line: usize) -> Result<Word> {
        match self.word()? {
            Some(word) if word.is_quoted || !KEYWORDS.contains(&word.text.as_str()) => Ok(word),
            _ => Err(broken(line, "a value is missing, or is a keyword without quotes")),
        }
    }

    fn word(&mut self) -> Result<Option<Word>> {
        let start = self.rest.trim_start();
        self.line += self.rest[..self.rest.len() - start.len()].matches('\n').count();
        self.rest = start;
        let (line, mut is_unsure) = (self.line, false);
        if start.is_empty() {
            return Ok(None);
        }
        let Some(quoted) = start.strip_prefix('"') else {
            let end = start.find(char::is_whitespace).unwrap_or(start.len());
            let text = Zeroizing::new(start[..end].to_owned());
            self.rest = &start[end..];
            let is_unsure = text.contains(['\\', '"']);
            return Ok(Some(Word { line, text, is_quoted: false, is_unsure }));
        };
        let end_of_line = quoted.find('\n').unwrap_or(quoted.len());
        let mut text = Zeroizing::new(String::with_capacity(end_of_line));
        let mut chars = quoted[..end_of_line].char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    self.rest = &quoted[at + 1..];
                    return match self.rest.starts_with(|c: char| !c.is_whitespace()) {
                        true => Err(broken(line, "something stands right behind a closing quote")),
                        false => Ok(Some(Word { line, text, is_quoted: true, is_unsure })),
                    };
                }
                '\\' => match chars.next() {
                    Some((_, c)) => {
                        is_unsure |= !matches!(c, '"' | '\\');
                        text.push(c);
                    }
                    None => break,
                },
                c => text.push(c),
            }
        }
        Err(broken(line, "a quote that is not closed on its line"))
    }

    /// Passes over the commands of a macro, up to an empty line.
    fn skip_macro(&mut self) {
        let end = ["\n\n", "\n\r\n"].iter().filter_map(|end| self.rest.find(end)).min();
        let end = end.unwrap_or(self.rest.len());
        self.line += self.rest[..end].matches('\n').count();
        self.rest = &self.rest[end..];
    }
}
