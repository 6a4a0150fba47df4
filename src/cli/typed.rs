//! What a person types at a prompt, byte by byte: editing keys, pastes, and a buffer that never grows.
//!
//! It knows nothing of terminals, so that every key can be tested. What was typed is wiped when this is dropped.
use zeroize::Zeroizing;

/// What a byte did to the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Typed {
    /// Show this character, where the prompt echoes.
    Added,
    /// Take one character back from the screen.
    Removed,
    /// The whole line is gone: this many characters.
    Cleared(usize),
    Nothing,
    /// Enter.
    Done,
    /// The person typed the end of input (^D) on an empty line.
    Ended,
}

/// Where an escape sequence stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Escape {
    None,
    Begun,
    /// After `ESC [`, with the number read so far.
    Number(u32),
    /// After `ESC O`: one more byte.
    Key,
}

/// One line being typed.
pub struct Line {
    bytes: Zeroizing<Vec<u8>>,
    most: usize,
    escape: Escape,
    in_paste: bool,
    is_too_long: bool,
    after_return: bool,
}

const PASTE_BEGINS: u32 = 200;
const PASTE_ENDS: u32 = 201;

impl Line {
    /// A line of at most `most` bytes.
    pub fn new(most: usize) -> Self {
        Self {
            bytes: Zeroizing::new(Vec::with_capacity(most)),
            most,
            escape: Escape::None,
            in_paste: false,
            is_too_long: false,
            after_return: false,
        }
    }

    /// Takes one byte from the terminal.
    ///
    /// In a bracketed paste line ends belong to the text; otherwise one of them ends the line.
    pub fn take(&mut self, byte: u8) -> Typed {
        if self.escape != Escape::None {
            self.escape = self.escaped(byte);
            return Typed::Nothing;
        }
        let follows_return = std::mem::take(&mut self.after_return);
        match byte {
            0x1b => {
                self.escape = Escape::Begun;
                Typed::Nothing
            }
            b'\r' | b'\n' if self.in_paste => {
                if byte == b'\r' {
                    self.after_return = true;
                } else if follows_return {
                    return Typed::Nothing;
                }
                self.add(b'\n')
            }
            _ if self.in_paste => self.add(byte),
            b'\r' | b'\n' => Typed::Done,
            0x08 | 0x7f => self.remove(),
            0x15 | 0x17 => self.clear(),
            0x04 if self.bytes.is_empty() => Typed::Ended,
            0x00..=0x1f if byte != b'\t' => Typed::Nothing,
            _ => self.add(byte),
        }
    }

    fn escaped(&mut self, byte: u8) -> Escape {
        match (self.escape, byte) {
            (Escape::Begun, b'[') => Escape::Number(0),
            (Escape::Begun, b'O') => Escape::Key,
            (Escape::Number(n), b'0'..=b'9') => {
                Escape::Number(n.saturating_mul(10).saturating_add(u32::from(byte - b'0')))
            }
            (Escape::Number(n), b'~') => {
                match n {
                    PASTE_BEGINS => self.in_paste = true,
                    PASTE_ENDS => self.in_paste = false,
                    _ => {}
                }
                Escape::None
            }
            // Parameters and intermediate bytes (ECMA-48 §5.4), until a final byte.
            (Escape::Number(_), 0x20..=0x3f) => Escape::Number(0),
            _ => Escape::None,
        }
    }

    fn add(&mut self, byte: u8) -> Typed {
        if self.bytes.len() >= self.most {
            self.is_too_long = true;
            return Typed::Nothing;
        }
        self.bytes.push(byte);
        Typed::Added
    }

    fn remove(&mut self) -> Typed {
        match self.bytes.pop() {
            None => Typed::Nothing,
            Some(last) => {
                // The rest of a UTF-8 character goes with it.
                let mut byte = last;
                while byte & 0xc0 == 0x80 {
                    match self.bytes.pop() {
                        Some(before) => byte = before,
                        None => break,
                    }
                }
                Typed::Removed
            }
        }
    }

    fn clear(&mut self) -> Typed {
        let characters = self.bytes.iter().filter(|byte| **byte & 0xc0 != 0x80).count();
        self.bytes.fill(0);
        self.bytes.clear();
        self.is_too_long = false;
        Typed::Cleared(characters)
    }

    /// Whether something was typed that did not fit.
    pub fn is_too_long(&self) -> bool {
        self.is_too_long
    }

    /// What was typed, without the line ends after it.
    pub fn finish(mut self) -> Zeroizing<Vec<u8>> {
        while self.bytes.last().is_some_and(|byte| *byte == b'\n') {
            self.bytes.pop();
        }
        std::mem::take(&mut self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn type_in(keys: &[u8]) -> (Vec<u8>, Option<Typed>) {
        let mut line = Line::new(32);
        let mut end = None;
        for key in keys {
            let taken = line.take(*key);
            if matches!(taken, Typed::Done | Typed::Ended) {
                end = Some(taken);
                break;
            }
        }
        (line.finish().to_vec(), end)
    }

    #[test]
    fn enter_ends_the_line_and_editing_keys_edit() {
        assert_eq!(type_in(b"abc\r"), (b"abc".to_vec(), Some(Typed::Done)));
        assert_eq!(type_in(b"abx\x7fc\n"), (b"abc".to_vec(), Some(Typed::Done)));
        assert_eq!(type_in(b"wrong\x15right\n"), (b"right".to_vec(), Some(Typed::Done)));
        assert_eq!(type_in("a\u{e9}\u{7f}b\n".as_bytes()), (b"ab".to_vec(), Some(Typed::Done)));
        assert_eq!(type_in(b"\x7f\x7fa\n"), (b"a".to_vec(), Some(Typed::Done)));
        assert_eq!(type_in(b"\x04"), (vec![], Some(Typed::Ended)));
    }

    #[test]
    fn w_32_a_bracketed_paste_keeps_its_lines_and_loses_its_markers() {
        let (text, end) = type_in(b"\x1b[200~one\r\ntwo\rthree\n\x1b[201~\r");

        assert_eq!(text, b"one\ntwo\nthree");
        assert_eq!(end, Some(Typed::Done));
    }

    #[test]
    fn cursor_keys_and_other_sequences_leave_nothing_behind() {
        assert_eq!(type_in(b"a\x1b[A\x1b[1;5C\x1bOPb\x1b[3~\n").0, b"ab");
    }

    #[test]
    fn a_line_that_does_not_fit_is_told_and_never_grows_the_buffer() {
        let mut line = Line::new(4);
        for byte in b"12345678" {
            line.take(*byte);
        }

        assert!(line.is_too_long());
        assert_eq!(line.bytes.capacity(), 4);
        assert_eq!(line.take(0x15), Typed::Cleared(4));
        assert!(!line.is_too_long());
    }
}
