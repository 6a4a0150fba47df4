//! Where a value comes from when a person enters one: the terminal without echo, standard input, or a file.
//!
//! Never from an argument. Bytes are read straight into a buffer of fixed size, past every buffer of the library.
use super::output::note;
use super::terminal::{Terminal, needs_terminal};
use crate::error::{Code, Error, Result, invalid};
use crate::secret::SecretBytes;
use std::fs::File;
use std::io::{self, IsTerminal as _};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// How the value is given.
#[derive(clap::Args, Debug, Default)]
#[group(multiple = false)]
pub struct Given {
    /// Read the value from standard input (one line end after it is dropped)
    #[arg(long)]
    pub stdin: bool,
    /// Read the value from this file, byte by byte
    #[arg(long, value_name = "PATH")]
    pub file: Option<PathBuf>,
}

/// The place a value is read from.
#[derive(Debug, PartialEq, Eq)]
pub enum Origin {
    Terminal,
    StandardInput,
    File(PathBuf),
}

impl Given {
    /// Standard input where it is asked for, or where it is no terminal: `op read … | unsaid set NAME`.
    pub fn origin(&self) -> Origin {
        match &self.file {
            Some(path) => Origin::File(path.clone()),
            None if self.stdin || !io::stdin().is_terminal() => Origin::StandardInput,
            None => Origin::Terminal,
        }
    }
}

impl Origin {
    /// One secret of at most `most` bytes; `question` is shown at the terminal.
    pub fn read(&self, question: &str, most: usize) -> Result<SecretBytes> {
        match self {
            Origin::Terminal => Terminal::open().ok_or_else(nobody_to_ask)?.secret(question, most),
            Origin::StandardInput => from_standard_input(most),
            Origin::File(path) => from_file(path, most),
        }
    }
}

/// The error where a value is wanted and there is no terminal to ask on.
pub fn nobody_to_ask() -> Error {
    needs_terminal("there is no terminal to enter the value on")
        .next("Run this in a terminal of your own, or give the value by --stdin or --file PATH.")
}

/// All of standard input. One line end after it is dropped, and the person is told.
fn from_standard_input(most: usize) -> Result<SecretBytes> {
    let stdin = io::stdin();
    if stdin.is_terminal() {
        note("reading the value from standard input until its end (^D)");
    }
    let mut bytes = all(&stdin, most)?;
    if trim_line_end(&mut bytes) {
        note("a line end after the value was dropped");
    }
    if bytes.is_empty() {
        return Err(Error::new(Code::ValueMissing, "standard input held no value")
            .next("Pipe the value in, or run this in a terminal of your own."));
    }
    Ok(SecretBytes::new(std::mem::take(&mut *bytes)))
}

/// The bytes of a file, as they are.
fn from_file(path: &Path, most: usize) -> Result<SecretBytes> {
    let failed = |e: io::Error| {
        Error::new(Code::InvalidFile, format!("{} cannot be read ({})", path.display(), e.kind())).because(e)
    };
    let file = File::open(path).map_err(failed)?;
    if file.metadata().map_err(failed)?.is_dir() {
        return Err(Error::new(Code::InvalidFile, format!("{} is a folder", path.display())));
    }
    let mut bytes = all(&file, most)?;
    if bytes.is_empty() {
        return Err(Error::new(Code::ValueMissing, format!("{} is empty", path.display())));
    }
    Ok(SecretBytes::new(std::mem::take(&mut *bytes)))
}

/// Everything that can be read, up to `most` bytes; fails with `too_large` beyond.
pub fn all(from: impl AsFd, most: usize) -> Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(vec![0u8; most + 1]);
    let mut filled = 0;
    while filled < bytes.len() {
        match rustix::io::read(&from, &mut bytes[filled..]) {
            Ok(0) => break,
            Ok(size) => filled += size,
            Err(rustix::io::Errno::INTR) => {}
            Err(e) => {
                return Err(invalid(format!("the input cannot be read ({})", io::Error::from(e).kind())));
            }
        }
    }
    if filled > most {
        return Err(Error::new(Code::TooLarge, format!("the input is larger than {} KiB", most / 1024)));
    }
    bytes.truncate(filled);
    Ok(bytes)
}

fn trim_line_end(bytes: &mut Vec<u8>) -> bool {
    let had = bytes.last() == Some(&b'\n');
    if had {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
    had
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn file_with(bytes: &[u8]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    #[test]
    fn a_file_is_taken_byte_by_byte_and_its_line_end_stays() {
        let file = file_with(b"\x00key\r\n");

        let value = from_file(file.path(), 64).unwrap();

        value.expose(|bytes| assert_eq!(bytes, b"\x00key\r\n"));
    }

    #[test]
    fn what_is_too_large_empty_or_missing_is_refused_with_the_path_and_not_the_content() {
        let file = file_with(&[b'x'; 65]);

        assert_eq!(from_file(file.path(), 64).unwrap_err().code, Code::TooLarge);
        assert_eq!(from_file(file_with(b"").path(), 64).unwrap_err().code, Code::ValueMissing);
        assert_eq!(from_file(Path::new("/no/such/file"), 64).unwrap_err().code, Code::InvalidFile);
        assert_eq!(from_file(&std::env::temp_dir(), 64).unwrap_err().code, Code::InvalidFile);
    }

    #[test]
    fn one_line_end_goes_and_no_more() {
        for (given, left) in [("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n"), ("a", "a"), ("a ", "a ")] {
            let mut bytes = given.as_bytes().to_vec();
            trim_line_end(&mut bytes);
            assert_eq!(bytes, left.as_bytes());
        }
    }
}
