//! `.env`, where python-dotenv (without interpolation) and npm's dotenv agree.
//!
//! They agree on: comments, `export`, blanks around `=`, `'…'` and `"…"` over several lines, `\n` and `\r` in double
//! quotes, ` # …` after a value, `$NAME` as plain characters. Skipped and reported, because the parsers differ:
//! other escapes in quotes, backticks, `a#b` and `=#`, `NAME: value`, text after a closing quote. Skipped too:
//! `${…}` outside single quotes; python-dotenv by default and dotenv-expand would put another value there.
use super::{Found, NO_ASSIGNMENT, NO_VALUE, broken, secret};
use crate::error::Result;
use crate::secret::Secret;
use zeroize::Zeroizing;

const REFERS: &str = "refers to another variable, and nothing is expanded: put single quotes around it if it is meant as written";
const ESCAPES: &str = "programs read the backslash in this value differently: enter it with `unsaid set`";
const BACKTICKS: &str = "programs read backticks differently: put the value in single quotes";
const HASH: &str = "programs read # without quotes differently: put the value in single quotes";
const AFTER: &str = "there is text after the closing quote";
const COLON: &str = "only some programs read NAME: value; write NAME=value";
const KEY_BLOCK: &str = "a key block over several lines needs quotes around it";
const STRAY: &str = "a name and nothing but = signs: likely the end of a broken value";

pub(super) fn read(text: &str, found: &mut Found) -> Result<()> {
    let mut rest = text;
    let mut line = 1;
    while !rest.is_empty() {
        let used = statement(rest, line, found)?;
        line += count_lines(&rest[..used]);
        rest = &rest[used..];
    }
    Ok(())
}

/// Line ends in `text`: LF, CRLF or a lone CR, as both parsers have it.
fn count_lines(text: &str) -> usize {
    let bytes = text.as_bytes();
    bytes
        .iter()
        .enumerate()
        .filter(|(i, b)| **b == b'\n' || (**b == b'\r' && bytes.get(i + 1) != Some(&b'\n')))
        .count()
}

/// The first line of `text` without its end, and the size with it.
fn first_line(text: &str) -> (&str, usize) {
    let end = text.find(['\n', '\r']).unwrap_or(text.len());
    let size = match text.as_bytes().get(end..) {
        Some([b'\r', b'\n', ..]) => end + 2,
        Some([_, ..]) => end + 1,
        _ => end,
    };
    (&text[..end], size)
}

/// Reads what begins at `text`; how many bytes it took.
fn statement(text: &str, line: usize, found: &mut Found) -> Result<usize> {
    let (whole, size) = first_line(text);
    let content = whole.trim_start();
    if content.starts_with('#') {
        found.comment(line, content);
        return Ok(size);
    }
    if content.is_empty() {
        return Ok(size);
    }
    let content = match content.strip_prefix("export") {
        Some(after) if after.starts_with([' ', '\t']) => after.trim_start(),
        _ => content,
    };
    let name_size =
        content.find(|c: char| c == '=' || c == '#' || c.is_whitespace()).unwrap_or(content.len());
    let (name, after) = content.split_at(name_size);
    let after = after.trim_start();
    if name.len() > 1 && name.ends_with(':') && !after.starts_with('=') {
        found.skip(line, name.trim_end_matches(':'), COLON);
        return Ok(size);
    }
    let Some(value) = after.strip_prefix('=') else {
        let why = if after.is_empty() || after.starts_with('#') { NO_VALUE } else { NO_ASSIGNMENT };
        found.skip_bare(line, name, why);
        return Ok(size);
    };
    let value = value.trim_start();
    // Where the value begins in `text`: everything before it stands on the first line.
    let at = whole.len() - value.len();
    match value.as_bytes().first() {
        Some(quote @ (b'"' | b'\'')) => {
            quoted(&text[at..], char::from(*quote), name, line, found).map(|n| at + n)
        }
        Some(b'`') => {
            if value[1..].contains('`') {
                found.skip(line, name, BACKTICKS);
                Ok(size)
            } else {
                Err(broken(line, "a backtick is opened and not closed on its line"))
            }
        }
        _ if value.starts_with("-----BEGIN ") && !value.contains("-----END ") => {
            found.skip(line, name, KEY_BLOCK);
            match text.find("-----END ") {
                Some(end) => Ok(end + first_line(&text[end..]).1),
                None => Err(broken(line, "a key block begins and does not end")),
            }
        }
        _ => unquoted(value, name, line, found).map(|()| size),
    }
}

fn unquoted(value: &str, name: &str, line: usize, found: &mut Found) -> Result<()> {
    let value = match value.find('#') {
        Some(at) if value[..at].ends_with(char::is_whitespace) => {
            found.comment(line, &value[at..]);
            value[..at].trim_end()
        }
        Some(_) => {
            found.skip(line, name, HASH);
            return Ok(());
        }
        None => value.trim_end(),
    };
    if !value.is_empty() && value.bytes().all(|b| b == b'=') {
        // The name may itself be the last line of a base64 block, so it is not repeated.
        found.skip_bare(line, name, STRAY);
    } else if value.contains("${") {
        found.skip(line, name, REFERS);
    } else {
        note_dollar(value, name, line, found);
        found.entry(line, name, secret(value))?;
    }
    Ok(())
}

fn note_dollar(value: &str, name: &str, line: usize, found: &mut Found) {
    let starts_name =
        |pair: &[u8]| pair[0] == b'$' && (pair[1].is_ascii_alphabetic() || matches!(pair[1], b'_' | b'('));
    if value.as_bytes().windows(2).any(starts_name) {
        found.note(line, name, "the $ is taken as written: nothing was expanded");
    }
}

/// Reads a quoted value at the start of `text`, to the end of its last line.
fn quoted(text: &str, quote: char, name: &str, line: usize, found: &mut Found) -> Result<usize> {
    let body = &text[1..];
    let mut value = Zeroizing::new(String::with_capacity(body_bound(body, quote)));
    let mut differs = None;
    let mut chars = body.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let next = chars.peek().map(|(_, c)| *c);
        match c {
            '\\' => match (next, quote) {
                (Some(escaped), _) if escaped == quote => {
                    // One parser ends the value here, others do not: unclear beyond this line.
                    if !first_line(&body[at + 2..]).0.contains(quote) {
                        return Err(broken(line, "a quote is closed only by \\ and a quote"));
                    }
                    differs = Some(ESCAPES);
                    chars.next();
                }
                (Some('n'), '"') => {
                    value.push('\n');
                    chars.next();
                }
                (Some('r'), '"') => {
                    value.push('\r');
                    chars.next();
                }
                // Not consumed: the parsers take \\" for a backslash and an escaped quote.
                (Some('\\'), _) => differs = Some(ESCAPES),
                (Some('\'' | 'a' | 'b' | 'f' | 't' | 'v'), '"') => {
                    differs = Some(ESCAPES);
                    chars.next();
                }
                _ => value.push('\\'),
            },
            '\r' => {
                if next == Some('\n') {
                    chars.next();
                }
                value.push('\n');
            }
            c if c == quote => {
                let (tail, size) = first_line(&body[at + 1..]);
                let tail = tail.trim_start();
                if tail.starts_with('#') {
                    found.comment(line + count_lines(&body[..at]), tail);
                }
                if !tail.is_empty() && !tail.starts_with('#') {
                    found.skip(line, name, AFTER);
                } else if let Some(why) = differs {
                    found.skip(line, name, why);
                } else if quote == '"' && value.contains("${") {
                    found.skip(line, name, REFERS);
                } else {
                    note_dollar(if quote == '"' { &value } else { "" }, name, line, found);
                    found.entry(line, name, Secret::new(std::mem::take(&mut *value)))?;
                    return Ok(1 + at + 1 + size);
                }
                return Ok(1 + at + 1 + size);
            }
            c => value.push(c),
        }
    }
    Err(broken(line, "a quote is opened and never closed"))
}

/// An upper bound for the bytes up to the closing quote.
fn body_bound(body: &str, quote: char) -> usize {
    let mut escaped = false;
    let mut end = body.len();
    for (at, c) in body.char_indices() {
        if c == quote && !escaped {
            end = at;
            break;
        }
        escaped = c == '\\';
    }
    end
}
