//! Fields that a program writes into one text, as `label: value` lines.
use super::record::{Record, Role, What};

/// Adds a part for each `label<mark>value` line; a line without a label goes on the value before it.
pub(super) fn labelled(record: &mut Record, text: &str, mark: &str, role: impl Fn(&str) -> Role) {
    let mut open: Option<(String, zeroize::Zeroizing<String>)> = None;
    let mut done = Vec::new();
    for line in text.lines() {
        match (line.split_once(mark).filter(|(label, _)| is_label(label)), &mut open) {
            (Some((label, value)), _) => {
                let mut whole = zeroize::Zeroizing::new(String::with_capacity(text.len()));
                whole.push_str(value);
                done.extend(open.replace((label.to_owned(), whole)));
            }
            // The buffer has room for all of the text.
            (None, Some((_, value))) => {
                value.push('\n');
                value.push_str(line);
            }
            (None, None) if line.is_empty() => {}
            (None, None) => {
                let mut whole = zeroize::Zeroizing::new(String::with_capacity(text.len()));
                whole.push_str(line);
                open = Some(("text".into(), whole));
            }
        }
    }
    done.extend(open);
    for (label, value) in done {
        record.put_text(role(&label), &label, &value);
    }
}

fn is_label(label: &str) -> bool {
    !label.is_empty()
        && label.len() <= 40
        && label.chars().all(|c| c.is_alphanumeric() || matches!(c, ' ' | '_' | '-' | '.' | '/' | '(' | ')'))
}

/// Structured notes that are about people and money, not programs.
const NOT_OURS: &[&str] = &[
    "Credit Card",
    "Bank Account",
    "Driver's License",
    "Passport",
    "Social Security",
    "Insurance",
    "Health Insurance",
    "Membership",
    "Address",
];

/// What everybody may see of a structured note.
const PLAIN: &[&str] =
    &["Hostname", "Port", "Server", "Type", "Date", "Location", "Format", "Alias", "Database", "SID"];

/// A secure note of LastPass; a structured one begins with `NoteType:`.
pub(super) fn lastpass(record: &mut Record, text: &str) {
    record.what = What::Note;
    let Some(rest) = text.strip_prefix("NoteType:") else {
        return record.put_text(Role::Note, "notes", text);
    };
    let (kind, rest) = rest.split_once('\n').unwrap_or((rest, ""));
    if NOT_OURS.contains(&kind.trim()) {
        record.what = What::NotOurs("a form about a person or money, not for programs");
        return;
    }
    record.what = What::Login;
    // Everything after `Notes:` is the note, whatever it looks like.
    let (fields, note) = match rest.split_once("\nNotes:") {
        Some((fields, note)) => (fields, note),
        None => (rest, ""),
    };
    let before = record.parts.len();
    labelled(record, fields, ":", |label| match label {
        "Username" => Role::User,
        "Password" => Role::Password,
        label if PLAIN.contains(&label) => Role::Plain,
        _ => Role::Hidden,
    });
    let mut at = 0;
    record.parts.retain(|part| {
        at += 1;
        at <= before || part.label != "Language"
    });
    record.put_text(Role::Note, "notes", note);
}
