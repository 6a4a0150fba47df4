//! Comma-separated exports: which columns each program writes, and what they mean.
//!
//! Refuses what it could only guess at: an unknown or missing column, a row of another length, a quote that is not
//! where quotes belong.
use super::batch::{At, Batch};
use super::record::{Record, Role, What};
use super::{Format, Options, broken, notes, shape};
use crate::error::{Code, Error, Result};
use zeroize::Zeroizing;

/// The columns of a format, in lower case.
struct Layout {
    format: Format,
    required: &'static [&'static str],
    optional: &'static [&'static str],
}

#[rustfmt::skip]
const LAYOUTS: &[Layout] = &[
    Layout { format: Format::Lastpass, required: &["url", "username", "password", "extra", "name", "grouping"], optional: &["totp", "fav"] },
    Layout { format: Format::BitwardenCsv, required: &["type", "name", "notes", "fields", "login_uri", "login_username", "login_password"], optional: &["folder", "favorite", "collections", "reprompt", "login_totp", "archiveddate"] },
    Layout { format: Format::Firefox, required: &["url", "username", "password", "httprealm", "formactionorigin", "guid", "timecreated", "timelastused", "timepasswordchanged"], optional: &[] },
    Layout { format: Format::KeepassxcCsv, required: &["group", "title", "username", "password", "url", "notes"], optional: &["totp", "icon", "last modified", "created"] },
    Layout { format: Format::OnePasswordCsv, required: &["title", "url", "username", "password", "otpauth", "favorite", "archived", "tags", "notes"], optional: &[] },
    Layout { format: Format::OnePassword7Csv, required: &["title", "username", "password", "url", "notes"], optional: &["type"] },
    Layout { format: Format::Safari, required: &["title", "url", "username", "password", "notes", "otpauth"], optional: &[] },
    Layout { format: Format::Browser, required: &["name", "url", "username", "password"], optional: &["note"] },
    Layout { format: Format::InfisicalCsv, required: &["key", "value"], optional: &[] },
];

/// The format whose header this line is.
pub(super) fn detect(first_line: &str) -> Option<Format> {
    let names: Vec<String> =
        first_line.trim_end().split(',').map(|name| name.trim_matches('"').to_ascii_lowercase()).collect();
    let has = |name: &str| names.iter().any(|n| n == name);
    let fits = |l: &&Layout| {
        l.required.iter().all(|n| has(n))
            && names.iter().all(|n| l.required.contains(&n.as_str()) || l.optional.contains(&n.as_str()))
    };
    LAYOUTS.iter().find(fits).map(|l| l.format)
}

/// Reads a whole table.
pub(super) fn read(format: Format, text: &str, options: &Options<'_>, batch: &mut Batch) -> Result<()> {
    let Some(layout) = LAYOUTS.iter().find(|l| l.format == format) else {
        return Err(crate::error::internal("a table of a format that is none"));
    };
    let backslash = format == Format::OnePassword7Csv;
    check_quotes(text, backslash)?;
    let mut reader = csv::ReaderBuilder::new();
    if backslash {
        reader.escape(Some(b'\\')).double_quote(false);
    }
    let mut reader = reader.has_headers(true).flexible(true).from_reader(text.as_bytes());
    let header = reader.headers().map_err(|_| broken(1, "this is no table of comma-separated values"))?;
    let columns = columns(header, layout)?;
    let size = header.len();
    let mut row = csv::StringRecord::new();
    let mut lines = Lines { text: text.as_bytes(), at: 0, line: 1 };
    loop {
        let line = lines.of(reader.position().byte());
        match reader.read_record(&mut row) {
            Ok(false) => break,
            Ok(true) => {}
            Err(_) => return Err(broken(line, "this is no row of comma-separated values")),
        }
        if row.len() != size {
            return Err(broken(line, &format!("the row has {} columns, the header has {size}", row.len()))
                .next("Export the file again: it was cut off, or its values are not quoted."));
        }
        super::check_room(batch)?;
        let cell = |name: &str| {
            columns.iter().position(|c| c == name).and_then(|at| row.get(at)).unwrap_or_default()
        };
        take(format, At::Line(line), &cell, options, batch)?;
    }
    if !text.ends_with('\n') {
        batch.remark(
            At::Line(1 + text.matches('\n').count()),
            "",
            "the file has no line end at its end: if it was cut off, its last value is too",
        );
    }
    Ok(())
}

/// Counts lines as it goes. The reader's own count is one behind where lines end in CRLF.
struct Lines<'a> {
    text: &'a [u8],
    at: usize,
    line: usize,
}

impl Lines<'_> {
    /// The line of the row that begins at or right behind this byte; rows come in order.
    fn of(&mut self, byte: u64) -> usize {
        let mut to = usize::try_from(byte).unwrap_or(usize::MAX).min(self.text.len());
        while matches!(self.text.get(to), Some(b'\r' | b'\n')) {
            to += 1;
        }
        self.line += self.text[self.at.min(to)..to].iter().filter(|b| **b == b'\n').count();
        self.at = to;
        self.line
    }
}

/// The columns by their names in lower case.
fn columns(header: &csv::StringRecord, layout: &Layout) -> Result<Vec<String>> {
    let names: Vec<String> = header.iter().map(str::to_ascii_lowercase).collect();
    let wrong = |what: String| {
        Error::new(Code::InvalidFile, what)
            .next("Export the file again as comma-separated values (CSV), and do not edit it in between.")
    };
    for name in layout.required {
        if !names.iter().any(|n| n == name) {
            return Err(wrong(format!(
                "line 1: {} has a column {name}, this file has none",
                layout.format.title()
            )));
        }
    }
    for (at, name) in names.iter().enumerate() {
        let known = layout.required.contains(&name.as_str()) || layout.optional.contains(&name.as_str());
        if !known || names[..at].contains(name) {
            return Err(wrong(format!(
                "line 1: column {} is none that {} has",
                at + 1,
                layout.format.title()
            )));
        }
    }
    Ok(names)
}

/// Quotes begin and end whole values (RFC 4180 §2), and the last one is closed.
fn check_quotes(text: &str, backslash: bool) -> Result<()> {
    #[derive(PartialEq)]
    enum In {
        Start,
        Bare,
        Quotes,
        After,
    }
    let (mut state, mut line, mut opened) = (In::Start, 1, 1);
    let mut bytes = text.bytes().peekable();
    while let Some(byte) = bytes.next() {
        if byte == b'\r' && state != In::Quotes && bytes.peek() != Some(&b'\n') {
            return Err(broken(line, "a carriage return that ends no line"));
        }
        state = match (state, byte) {
            (In::Start, b'"') => {
                opened = line;
                In::Quotes
            }
            (In::Start | In::Bare | In::After, b',' | b'\n' | b'\r') => In::Start,
            (In::Bare, b'"') => return Err(broken(line, "a quote in the middle of a value")),
            (In::Start | In::Bare, _) => In::Bare,
            (In::Quotes, b'\\') if backslash => {
                if bytes.next() == Some(b'\n') {
                    line += 1;
                }
                In::Quotes
            }
            (In::Quotes, b'"') => In::After,
            (In::Quotes, _) => In::Quotes,
            (In::After, b'"') if !backslash => In::Quotes,
            (In::After, _) => return Err(broken(line, "text after a closing quote")),
        };
        line += usize::from(byte == b'\n');
    }
    match state {
        In::Quotes => Err(broken(opened, "a quote is opened and never closed")),
        _ => Ok(()),
    }
}

/// One row as an entry.
fn take<'r>(
    format: Format,
    at: At,
    cell: &dyn Fn(&str) -> &'r str,
    options: &Options<'_>,
    batch: &mut Batch,
) -> Result<()> {
    let title = match format {
        Format::Browser | Format::Lastpass | Format::BitwardenCsv => cell("name"),
        Format::InfisicalCsv => cell("key"),
        _ => cell("title"),
    };
    let mut record = Record::new(at, title);
    record.url = Zeroizing::new(cell("url").to_owned());
    match format {
        Format::InfisicalCsv => {
            record.is_variable = true;
            record.put_text(Role::Password, "value", cell("value"));
        }
        Format::BitwardenCsv => bitwarden(&mut record, cell)?,
        Format::Lastpass if cell("url") == "http://group" => return Ok(()),
        Format::Lastpass if cell("url") == "http://sn" => {
            record.url = Zeroizing::default();
            notes::lastpass(&mut record, cell("extra"));
            folder(&mut record, cell("grouping"));
        }
        Format::Firefox if cell("url").starts_with("chrome://") => {
            record.title = Zeroizing::new("Firefox".into());
            record.what = What::NotOurs("the browser's own sign-in, which no program can use");
        }
        _ => {
            record.put_text(Role::User, "username", cell("username"));
            record.put_text(Role::Password, "password", cell("password"));
            let totp =
                if format == Format::Safari || format == Format::OnePasswordCsv { "otpauth" } else { "totp" };
            record.put_text(Role::Totp, "totp", cell(totp));
            let note = match format {
                Format::Browser => "note",
                Format::Lastpass => "extra",
                _ => "notes",
            };
            record.put_text(Role::Note, "notes", cell(note));
            record.remark = Zeroizing::new(cell("httprealm").to_owned());
            match format {
                Format::Lastpass => folder(&mut record, cell("grouping")),
                // The first part is the database's own group.
                Format::KeepassxcCsv => {
                    folder(&mut record, cell("group").split_once('/').map_or("", |(_, rest)| rest));
                }
                Format::OnePasswordCsv => {
                    record.tags.extend(cell("tags").split(';').map(str::to_owned));
                    if cell("archived").eq_ignore_ascii_case("true") {
                        record.tags.push("archived".into());
                    }
                }
                Format::OnePassword7Csv if cell("type") == "Secure Note" => record.what = What::Note,
                _ => {}
            }
        }
    }
    shape::take(record, options, batch);
    Ok(())
}

fn folder(record: &mut Record, path: &str) {
    if !path.is_empty() {
        record.tags.push(path.to_owned());
    }
}

fn bitwarden<'r>(record: &mut Record, cell: &dyn Fn(&str) -> &'r str) -> Result<()> {
    match cell("type") {
        "login" => {}
        "note" => record.what = What::Note,
        _ => {
            let At::Line(line) = record.at else { return Ok(()) };
            return Err(broken(line, "the type is neither login nor note"));
        }
    }
    // Several addresses are joined by commas.
    record.url = Zeroizing::new(cell("login_uri").split(',').next().unwrap_or_default().to_owned());
    record.put_text(Role::User, "username", cell("login_username"));
    record.put_text(Role::Password, "password", cell("login_password"));
    record.put_text(Role::Totp, "totp", cell("login_totp"));
    record.put_text(Role::Note, "notes", cell("notes"));
    notes::labelled(record, cell("fields"), ": ", |_| Role::Hidden);
    folder(record, cell("folder"));
    folder(record, cell("collections"));
    Ok(())
}
