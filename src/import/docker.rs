//! `docker run --env-file`: a line is a name, `=`, and everything after it.
//!
//! Quotes, spaces and `#` belong to the value (docker/cli `opts/file.go`); nothing is trimmed but the start of a line.
use super::{Found, NO_VALUE, secret};
use crate::error::Result;

pub(super) fn read(text: &str, found: &mut Found) -> Result<()> {
    for (index, line) in text.split('\n').enumerate() {
        let number = index + 1;
        let line = line.strip_suffix('\r').unwrap_or(line).trim_start();
        if line.starts_with('#') {
            found.comment(number, line);
            continue;
        }
        if line.is_empty() {
            continue;
        }
        let Some((name, value)) = line.split_once('=') else {
            found.skip_bare(number, line, NO_VALUE);
            continue;
        };
        if value.len() > 1 && ['"', '\''].iter().any(|q| value.starts_with(*q) && value.ends_with(*q)) {
            found.note(number, name, "the quotes are part of the value, as docker reads it");
        }
        found.entry(number, name, secret(value))?;
    }
    Ok(())
}
