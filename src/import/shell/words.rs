//! The words of a shell command, with their quotes taken off.
//!
//! Refuses what opens something that is not closed, and operators inside a word.
use super::super::broken;
use super::LOGIC;
use crate::error::{Error, Result};
use zeroize::Zeroizing;

/// One word of a command.
pub(super) struct Word {
    pub(super) line: usize,
    /// What the word stands for after quotes are taken off.
    pub(super) text: Zeroizing<Vec<u8>>,
    /// How many bytes at its start were written without quotes: a name and its `=` must be.
    pub(super) bare: usize,
    pub(super) computed: bool,
    pub(super) has_nul: bool,
}

pub(super) struct Reader<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
    pub(super) line: usize,
}

impl Reader<'_> {
    /// The byte at hand; CRLF is a line feed.
    pub(super) fn peek(&self) -> Option<u8> {
        match self.bytes.get(self.at..)? {
            [b'\r', b'\n', ..] => Some(b'\n'),
            [b, ..] => Some(*b),
            [] => None,
        }
    }

    pub(super) fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += if byte == b'\n' && self.bytes[self.at] == b'\r' { 2 } else { 1 };
        self.line += usize::from(byte == b'\n');
        Some(byte)
    }

    pub(super) fn skip_blanks(&mut self) {
        loop {
            match self.peek() {
                Some(b' ' | b'\t') => self.at += 1,
                Some(b'\\') if matches!(self.bytes[self.at + 1..], [b'\n', ..] | [b'\r', b'\n', ..]) => {
                    self.next();
                    self.next();
                }
                _ => return,
            }
        }
    }

    pub(super) fn skip_line(&mut self) {
        while self.peek().is_some_and(|b| b != b'\n') {
            self.at += 1;
        }
    }

    pub(super) fn word(&mut self) -> Result<Word> {
        let began = self.line;
        // Taking quotes off only shortens, so the rest of the file bounds the word; the word's end is sought first.
        let size = self.word_size();
        let text = Zeroizing::new(Vec::with_capacity(size));
        let mut word = Word { line: began, text, bare: 0, computed: false, has_nul: false };
        let mut bare = true;
        while let Some(byte) = self.peek() {
            match byte {
                b' ' | b'\t' | b'\n' | b';' => break,
                b'&' | b'|' | b'<' | b'>' | b'(' | b')' => return Err(broken(self.line, LOGIC)),
                b'\'' => {
                    bare = false;
                    self.next();
                    loop {
                        match self.next() {
                            Some(b'\'') => break,
                            Some(byte) => word.text.push(byte),
                            None => return Err(open_quote(began)),
                        }
                    }
                }
                b'"' => {
                    bare = false;
                    self.next();
                    self.double_quoted(&mut word)?;
                }
                b'$' if self.bytes.get(self.at + 1) == Some(&b'\'') => {
                    bare = false;
                    self.at += 2;
                    self.ansi_quoted(&mut word)?;
                }
                b'$' | b'`' => {
                    bare = false;
                    self.dollar(&mut word, false)?;
                }
                b'\\' => {
                    bare = false;
                    self.next();
                    word.text.extend(self.next().filter(|b| *b != b'\n'));
                }
                byte => {
                    self.next();
                    word.text.push(byte);
                    if bare {
                        word.bare = word.text.len();
                    }
                }
            }
        }
        Ok(word)
    }

    fn double_quoted(&mut self, word: &mut Word) -> Result<()> {
        loop {
            match self.peek() {
                None => return Err(open_quote(word.line)),
                Some(b'"') => {
                    self.next();
                    return Ok(());
                }
                Some(b'$' | b'`') => {
                    self.dollar(word, true)?;
                    // A command was skipped, its closing quote with it.
                    if matches!(self.peek(), None | Some(b'\n')) && word.computed {
                        return Ok(());
                    }
                }
                Some(b'\\') => {
                    self.next();
                    match self.next() {
                        Some(b'\n') => {}
                        Some(byte @ (b'$' | b'`' | b'"' | b'\\')) => word.text.push(byte),
                        Some(byte) => word.text.extend([b'\\', byte]),
                        None => return Err(open_quote(word.line)),
                    }
                }
                Some(byte) => {
                    self.next();
                    word.text.push(byte);
                }
            }
        }
    }

    /// A `$` or backtick outside single quotes. A `$` before nothing special is a character.
    fn dollar(&mut self, word: &mut Word, in_quotes: bool) -> Result<()> {
        let next = self.bytes.get(self.at + 1).copied();
        let nested = self.bytes[self.at] == b'`' || matches!(next, Some(b'(' | b'['));
        if nested {
            // What is inside has quotes of its own. Where it clearly ends on its line, that line is skipped whole.
            if !self.closes_on_line(in_quotes) {
                return Err(broken(self.line, "a command in a value, over several lines"));
            }
            word.computed = true;
            self.skip_line();
            return Ok(());
        }
        if next == Some(b'{') {
            word.computed = true;
            let closing = self.bytes[self.at..].iter().position(|b| matches!(b, b'}' | b'\n'));
            let Some(size) = closing.filter(|size| self.bytes[self.at + size] == b'}') else {
                return Err(broken(self.line, "a ${ is not closed on its line"));
            };
            let inside = &self.bytes[self.at + 2..self.at + size];
            if inside.iter().any(|b| matches!(b, b'\'' | b'"' | b'`' | b'{' | b'$' | b'\\')) {
                return Err(broken(self.line, LOGIC));
            }
            self.at += size + 1;
            return Ok(());
        }
        word.computed |= next.is_some_and(|b| b.is_ascii_alphanumeric() || b"_@*#?$!-".contains(&b));
        self.next();
        word.text.push(b'$');
        // `$$` is a number to the shell: both are passed, so the second is not read as the start of a name.
        if next == Some(b'$') {
            self.next();
            word.text.push(b'$');
        }
        Ok(())
    }

    /// Whether parentheses, quotes and backticks balance on the rest of this line.
    fn closes_on_line(&self, in_quotes: bool) -> bool {
        let rest = &self.bytes[self.at..];
        let rest = &rest[..rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len())];
        let count = |wanted: u8| rest.iter().filter(|b| **b == wanted).count();
        let even = |wanted: u8| count(wanted) % 2 == 0;
        count(b'(') == count(b')')
            && even(b'\'')
            && even(b'`')
            && even(b'"') != in_quotes
            && !rest.contains(&b'\\')
            && !rest.windows(2).any(|pair| pair == b"<<")
    }

    /// `$'…'`: the escapes of ANSI C (bash manual, "ANSI-C Quoting").
    fn ansi_quoted(&mut self, word: &mut Word) -> Result<()> {
        loop {
            let byte = self.next().ok_or_else(|| open_quote(word.line))?;
            if byte == b'\'' {
                return Ok(());
            }
            if byte != b'\\' {
                word.text.push(byte);
                continue;
            }
            let escape = self.next().ok_or_else(|| open_quote(word.line))?;
            match escape {
                b'n' => word.text.push(b'\n'),
                b't' => word.text.push(b'\t'),
                b'r' => word.text.push(b'\r'),
                b'a' => word.text.push(7),
                b'b' => word.text.push(8),
                b'f' => word.text.push(12),
                b'v' => word.text.push(11),
                b'e' | b'E' => word.text.push(27),
                b'\\' | b'\'' | b'"' | b'?' => word.text.push(escape),
                b'0'..=b'7' => {
                    self.at -= 1;
                    let byte = self.digits(8, 3) as u8;
                    self.byte(word, byte);
                }
                b'x' => {
                    let byte = self.digits(16, 2) as u8;
                    self.byte(word, byte);
                }
                b'u' | b'U' => {
                    let code = self.digits(16, if escape == b'u' { 4 } else { 8 });
                    match char::from_u32(code) {
                        Some(c) if c != '\0' => {
                            word.text.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                        }
                        _ => word.has_nul = true,
                    }
                }
                // \cX and whatever else bash keeps to itself
                _ => word.computed = true,
            }
        }
    }

    fn byte(&self, word: &mut Word, byte: u8) {
        word.has_nul |= byte == 0;
        word.text.push(byte);
    }

    fn digits(&mut self, radix: u32, most: usize) -> u32 {
        let mut number = 0u32;
        for _ in 0..most {
            let Some(digit) = self.bytes.get(self.at).and_then(|b| char::from(*b).to_digit(radix)) else {
                break;
            };
            number = number.wrapping_mul(radix).wrapping_add(digit);
            self.at += 1;
        }
        number
    }

    /// An upper bound for the word's size: as far as the first blank or line end outside quotes.
    fn word_size(&self) -> usize {
        let (mut quote, mut escaped, mut ansi) = (0u8, false, false);
        let bytes = &self.bytes[self.at..];
        for (i, byte) in bytes.iter().enumerate() {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = quote != b'\'' || ansi,
                b'\'' | b'"' if quote == 0 => {
                    quote = *byte;
                    ansi = i > 0 && bytes[i - 1] == b'$';
                }
                byte if *byte == quote => quote = 0,
                b' ' | b'\t' | b'\n' | b';' if quote == 0 => return i,
                _ => {}
            }
        }
        self.bytes.len() - self.at
    }
}

fn open_quote(line: usize) -> Error {
    broken(line, "a quote is opened and never closed")
}
