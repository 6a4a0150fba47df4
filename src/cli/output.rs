//! Results, on standard output: tables for a terminal, plain aligned text otherwise.
//!
//! Text from the vault is shown with its control characters escaped: a name must not drive somebody's terminal.
use crate::error::{Code, Error, Result};
use crate::telemetry::escaped;
use comfy_table::{ContentArrangement, presets};
use serde_json::Value;
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};

/// Set when standard output was closed, as by `| head -1`.
static READER_GONE: AtomicBool = AtomicBool::new(false);

/// Writes to standard output. A reader that has gone ends the command quietly; see [`reader_is_gone`].
pub fn put(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|e| {
        if e.kind() == io::ErrorKind::BrokenPipe {
            READER_GONE.store(true, Ordering::Relaxed);
            return Error::new(Code::Cancelled, "nobody reads the output any more");
        }
        Error::new(Code::StoreFull, "the output could not be written").next("Check where it goes.").because(e)
    })
}

pub fn reader_is_gone() -> bool {
    READER_GONE.load(Ordering::Relaxed)
}

/// A remark for the person, on standard error.
pub fn note(text: &str) {
    // Where standard error is gone there is nobody to tell.
    let _ = writeln!(io::stderr(), "{}", escaped(text));
}

/// Columns of a terminal; `None` where standard output is none.
fn terminal_width() -> Option<u16> {
    let out = io::stdout();
    if !out.is_terminal() {
        return None;
    }
    let width = rustix::termios::tcgetwinsize(&out).map_or(0, |size| size.ws_col);
    Some(if width < 20 { 80 } else { width })
}

/// Rows under headings.
pub struct Table {
    heads: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new(heads: &[&'static str]) -> Self {
        Self { heads: heads.to_vec(), rows: Vec::new() }
    }

    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().map(|cell| escaped(&cell)).collect());
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The table as text, or `otherwise` where it has no row. Columns without a single entry are left out.
    pub fn text(self, otherwise: &str) -> String {
        self.text_for(otherwise, terminal_width())
    }

    fn text_for(mut self, otherwise: &str, width: Option<u16>) -> String {
        if self.rows.is_empty() {
            return format!("{otherwise}\n");
        }
        let kept: Vec<bool> = (0..self.heads.len())
            .map(|i| self.rows.iter().any(|row| row.get(i).is_some_and(|c| !c.is_empty())))
            .collect();
        let keep = |cells: &mut dyn Iterator<Item = String>| {
            cells.zip(&kept).filter(|(_, kept)| **kept).map(|(cell, _)| cell).collect::<Vec<_>>()
        };
        let heads = keep(&mut std::mem::take(&mut self.heads).into_iter().map(str::to_owned));
        let rows = self.rows.into_iter().map(|row| keep(&mut row.into_iter())).collect::<Vec<_>>();
        let mut table = comfy_table::Table::new();
        table.load_style(presets::NOTHING).set_header(heads);
        match width {
            Some(width) => table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width),
            None => table.set_content_arrangement(ContentArrangement::Disabled),
        };
        table.add_rows(rows);
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        table.lines().map(|line| format!("{}\n", line.trim_end())).collect()
    }
}

/// `label: text` lines, aligned; what is empty is left out.
pub fn pairs(pairs: &[(&str, String)]) -> String {
    let shown = || pairs.iter().filter(|(_, text)| !text.is_empty());
    let width = shown().map(|(label, _)| label.len()).max().unwrap_or(0) + 1;
    shown().map(|(label, text)| format!("{:width$} {}\n", format!("{label}:"), escaped(text))).collect()
}

/// The text at a path of an answer, as `/status/status`; empty where there is none. A list is joined with commas.
pub fn at(answer: &Value, path: &str) -> String {
    answer.pointer(path).map(text).unwrap_or_default()
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(text).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// A time of an answer, to the minute: `2027-01-31 12:00Z`.
pub fn when(answer: &Value, path: &str) -> String {
    let full = at(answer, path);
    match full.get(..16) {
        Some(minute) if full.as_bytes().get(10) == Some(&b'T') => format!("{}Z", minute.replace('T', " ")),
        _ => full,
    }
}

/// The items of a list in an answer.
pub fn items<'a>(answer: &'a Value, path: &str) -> &'a [Value] {
    answer.pointer(path).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// `text` with a line end, escaped; nothing for no text.
pub fn line(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("{}\n", escaped(text)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&["NAME", "EMPTY", "NOTE"]);
        table.row(["A".into(), String::new(), "first".into()]);
        table.row(["LONGER_NAME".into(), String::new(), "second\u{1b}[2J".into()]);
        table
    }

    #[test]
    fn plain_text_is_aligned_and_leaves_empty_columns_out() {
        assert_eq!(
            table().text_for("none", None),
            "NAME         NOTE\nA            first\nLONGER_NAME  second\\u{1b}[2J\n"
        );
        assert_eq!(Table::new(&["NAME"]).text_for("none", None), "none\n");
    }

    #[test]
    fn a_table_fits_the_terminal() {
        let mut table = table();
        table.row(["B".into(), String::new(), "words ".repeat(40)]);

        let text = table.text_for("none", Some(40));

        assert!(text.lines().all(|line| line.chars().count() <= 40), "{text}");
    }

    #[test]
    fn answers_are_read_by_path() {
        let answer = serde_json::json!({"a": {"b": ["x", "y"]}, "at": "2027-01-31T12:00:33Z", "n": 3});

        assert_eq!(at(&answer, "/a/b"), "x, y");
        assert_eq!(at(&answer, "/n"), "3");
        assert_eq!(at(&answer, "/gone"), "");
        assert_eq!(when(&answer, "/at"), "2027-01-31 12:00Z");
        assert_eq!(
            pairs(&[("name", "A".into()), ("expires", "B".into()), ("none", String::new())]),
            "name:    A\nexpires: B\n"
        );
    }
}
