//! Assignments of a POSIX shell or bash, read without running anything.
//!
//! Takes `NAME=word`, alone or after `export`, `declare -x`, `typeset -x`, `readonly`, with every quoting of a word
//! (`'…'`, `"…"`, `\x`, `$'…'`, joined). Skips and reports what a shell would have to compute, and other commands.
//! Refuses a file with shell logic (`if`, `&&`, functions, pipes, here-documents): which lines run is then unknown.
mod words;

use super::{Found, NO_VALUE, broken};
use crate::error::Result;
use crate::secret::Secret;
use words::{Reader, Word};

const COMPUTED: &str = "needs a shell: it refers to a variable, a command or a home folder";
const COMMAND: &str = "a command, which was not run";
const BEFORE_COMMAND: &str = "set for one command only";
const APPENDS: &str = "adds to a value instead of setting it";
const NOT_TEXT: &str = "the value is not text (UTF-8 without NUL)";
const LOGIC: &str = "shell logic; only plain assignments can be imported";

pub(super) fn read(text: &str, found: &mut Found) -> Result<()> {
    let mut reader = Reader { bytes: text.as_bytes(), at: 0, line: 1 };
    while reader.at < reader.bytes.len() {
        command(text, &mut reader, found)?;
    }
    Ok(())
}

/// Reads up to the end of a command: a line end or `;` outside quotes.
fn command(text: &str, reader: &mut Reader<'_>, found: &mut Found) -> Result<()> {
    let mut words = Vec::new();
    loop {
        reader.skip_blanks();
        match reader.peek() {
            None => break,
            Some(b'\n' | b';') => {
                if reader.next() == Some(b';') && reader.peek() == Some(b';') {
                    return Err(broken(reader.line, LOGIC));
                }
                break;
            }
            Some(b'#') => {
                let began = reader.at;
                reader.skip_line();
                found.comment(reader.line, &text[began..reader.at]);
            }
            Some(b'&' | b'|' | b'<' | b'>' | b'(' | b')') => return Err(broken(reader.line, LOGIC)),
            Some(_) => words.push(reader.word()?),
        }
    }
    obey(words, found)
}

fn obey(words: Vec<Word>, found: &mut Found) -> Result<()> {
    let Some(first) = words.first() else { return Ok(()) };
    let line = first.line;
    const WORDS_OF_LOGIC: &[&[u8]] = &[
        b"if",
        b"then",
        b"else",
        b"elif",
        b"fi",
        b"for",
        b"while",
        b"until",
        b"do",
        b"done",
        b"case",
        b"esac",
        b"select",
        b"function",
        b"{",
        b"}",
        b"[[",
        b"!",
        b"return",
        b"exit",
        b"eval",
        b"exec",
    ];
    if first.bare == first.text.len() && WORDS_OF_LOGIC.contains(&first.text.as_slice()) {
        return Err(broken(line, LOGIC));
    }
    match first.text.as_slice() {
        b"export" | b"declare" | b"typeset" | b"readonly" => {
            for word in words.into_iter().skip(1) {
                if name_size(&word).is_some() {
                    assign(word, found)?;
                } else if !word.text.starts_with(b"-") {
                    let name = String::from_utf8_lossy(&word.text);
                    if !found.has(&name) {
                        found.skip_bare(word.line, &name, NO_VALUE);
                    }
                }
            }
        }
        b"set" if words.len() == 2 && matches!(words[1].text.as_slice(), b"-a" | b"+a") => {}
        b"unset" => {
            for word in &words[1..] {
                found.skip_bare(word.line, &String::from_utf8_lossy(&word.text), COMMAND);
            }
        }
        _ if words.iter().all(|word| name_size(word).is_some()) => {
            for word in words {
                assign(word, found)?;
            }
        }
        _ => {
            // Names in front of a command are that command's alone: an earlier value of the same name stays.
            for word in &words {
                let Some((size, _)) = name_size(word) else { break };
                let name = String::from_utf8_lossy(&word.text[..size]);
                found.skip_line(word.line, Some(&name), BEFORE_COMMAND);
            }
            found.skip_line(line, None, COMMAND);
        }
    }
    Ok(())
}

/// The size of the name if the word is an assignment, and whether it appends (`+=`).
fn name_size(word: &Word) -> Option<(usize, bool)> {
    let text = &word.text[..word.bare];
    let size = text.iter().position(|b| !b.is_ascii_alphanumeric() && *b != b'_')?;
    if size == 0 || text[0].is_ascii_digit() {
        return None;
    }
    match &text[size..] {
        [b'=', ..] => Some((size, false)),
        [b'+', b'=', ..] => Some((size, true)),
        _ => None,
    }
}

fn assign(mut word: Word, found: &mut Found) -> Result<()> {
    let Some((size, appends)) = name_size(&word) else { return Ok(()) };
    let name = String::from_utf8_lossy(&word.text[..size]).into_owned();
    let home = word.bare > size + 1 && word.text.get(size + 1) == Some(&b'~');
    let refused = if appends {
        Some(APPENDS)
    } else if word.computed || home {
        Some(COMPUTED)
    } else if word.has_nul || std::str::from_utf8(&word.text).is_err() {
        Some(NOT_TEXT)
    } else {
        None
    };
    if let Some(why) = refused {
        found.skip(word.line, &name, why);
        return Ok(());
    }
    word.text.drain(..=size);
    let value = String::from_utf8(std::mem::take(&mut *word.text)).expect("looked at just above");
    found.entry(word.line, &name, Secret::new(value))
}
