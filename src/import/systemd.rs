//! `EnvironmentFile=` of systemd (`src/basic/env-file.c`): quotes, backslashes, continued lines, no expansion.
//!
//! Refuses what systemd lets pass: a quote that is open at the end, and a comment that ends in a backslash, which
//! some versions continue on the next line and some do not.
use super::{Found, NO_ASSIGNMENT, broken};
use crate::error::Result;
use crate::secret::Secret;
use std::str::Chars;
use zeroize::Zeroizing;

pub(super) fn read(text: &str, found: &mut Found) -> Result<()> {
    let mut reader = Reader { chars: text.chars(), line: 1 };
    while let Some(first) = reader.peek() {
        let line = reader.line;
        match first {
            ' ' | '\t' | '\r' | '\n' => {
                reader.next();
            }
            '#' | ';' => {
                let comment = reader.up_to(['\n', '\n']).trim_end_matches('\r');
                found.comment(line, comment);
                if comment.ends_with('\\') {
                    return Err(broken(
                        line,
                        "a comment ends in a backslash, which systemd versions read differently",
                    ));
                }
            }
            _ => {
                let name = reader.up_to(['=', '\n']);
                if reader.next() != Some('=') {
                    found.skip_bare(line, name.trim(), NO_ASSIGNMENT);
                    continue;
                }
                let value = reader.value(line)?;
                found.entry(line, name.trim(), value)?;
            }
        }
    }
    Ok(())
}

struct Reader<'a> {
    chars: Chars<'a>,
    line: usize,
}

impl<'a> Reader<'a> {
    /// The next character; CRLF counts as one line feed.
    fn next(&mut self) -> Option<char> {
        let mut c = self.chars.next()?;
        if c == '\r' && self.peek() == Some('\n') {
            c = '\n';
            self.chars.next();
        }
        self.line += usize::from(c == '\n');
        Some(c)
    }

    fn peek(&self) -> Option<char> {
        self.chars.clone().next()
    }

    /// The text before the next of two characters, which is not taken.
    fn up_to(&mut self, ends: [char; 2]) -> &'a str {
        let rest = self.chars.as_str();
        let (text, rest) = rest.split_at(rest.find(ends).unwrap_or(rest.len()));
        self.chars = rest.chars();
        text
    }

    fn value(&mut self, began: usize) -> Result<Secret> {
        let mut value = Zeroizing::new(String::with_capacity(self.size_of_value()));
        // What ends at `kept` is quoted or escaped and keeps its spaces; the rest is trimmed at the end.
        let mut kept = 0;
        let mut bare = false;
        while let Some(c) = self.next() {
            match c {
                '\n' => break,
                '\'' if !bare => {
                    self.quoted('\'', &mut value, began)?;
                    kept = value.len();
                }
                '"' if !bare => {
                    self.quoted('"', &mut value, began)?;
                    kept = value.len();
                }
                '\\' => {
                    bare = true;
                    if let Some(escaped) = self.next().filter(|c| *c != '\n') {
                        value.push(escaped);
                        kept = value.len();
                    }
                }
                c if c.is_ascii_whitespace() && !bare => {}
                c => {
                    bare = true;
                    value.push(c);
                }
            }
        }
        let end = kept.max(value.trim_end_matches([' ', '\t', '\r']).len());
        value.truncate(end);
        Ok(Secret::new(std::mem::take(&mut *value)))
    }

    fn quoted(&mut self, quote: char, value: &mut String, began: usize) -> Result<()> {
        while let Some(c) = self.next() {
            if c == quote {
                return Ok(());
            }
            if c != '\\' || quote == '\'' {
                value.push(c);
                continue;
            }
            match self.next() {
                Some('\n') => {}
                Some(c @ ('"' | '\\' | '`' | '$')) => value.push(c),
                Some(c) => value.extend(['\\', c]),
                None => break,
            }
        }
        Err(broken(began, "a quote is opened and never closed"))
    }

    /// An upper bound for the value that begins here, so that its buffer never grows: a first pass that only counts.
    fn size_of_value(&self) -> usize {
        let mut ahead = Reader { chars: self.chars.clone(), line: 0 };
        let (mut size, mut quote) = (0, None);
        while let Some(c) = ahead.next() {
            size += c.len_utf8();
            match (c, quote) {
                ('\\', None | Some('"')) => size += ahead.next().map_or(0, char::len_utf8),
                ('\n', None) => break,
                // A quote inside a bare word opens nothing, which makes the bound too large at worst.
                ('"' | '\'', None) => quote = Some(c),
                (c, Some(open)) if c == open => quote = None,
                _ => {}
            }
        }
        size
    }
}
