//! What no reader takes over and may hold a secret all the same: settings, annotations, comments.
//!
//! Whoever shreds the file loses it, so in doubt it is a secret, and the file stays. Nothing of it is told but where.
use super::Options;
use super::batch::{At, Batch};
use super::tree::Node;
use crate::model::suspicion::Kind;
use crate::model::suspicion::names::{is_placeholder, is_plain_setting, is_switch, says_secret};

pub(super) const SETTING: &str = "a setting that may hold a secret";
const COMMENT: &str = "a comment that looks like it holds a secret";

/// Whether a setting may hold a secret, by what it is called or by what it looks like.
pub(super) fn setting(name: &str, value: &str, options: &Options<'_>) -> bool {
    let value = value.trim();
    if value.is_empty() || is_reference(value) {
        return false;
    }
    looks(value, options) || looks(name, options) || (says_secret(name) && !is_plain_setting(name, value))
}

/// The same of a member of an object, with all that is in it.
pub(super) fn member(name: &str, node: &Node, options: &Options<'_>) -> bool {
    match node {
        Node::Null | Node::Bool(_) => looks(name, options),
        Node::Number(n) => setting(name, &n.to_string(), options),
        Node::Inexact => says_secret(name),
        Node::Text(text) => text.expose(|text| setting(name, text, options)),
        Node::List(all) => all.iter().any(|one| member(name, one, options)),
        Node::Map(map) => {
            // `password: {value: x}` is about the password.
            let is_about = |node: &Node| says_secret(name) && !node.is_empty();
            looks(name, options)
                || map.0.iter().any(|(inner, node)| is_about(node) || member(inner, node, options))
        }
    }
}

/// Whether it is nothing but switches, and so nothing that anybody would miss.
pub(super) fn is_all_switches(node: &Node) -> bool {
    match node {
        Node::Null | Node::Bool(_) => true,
        Node::Text(text) => text.expose(|text| text.is_empty() || is_switch(text)),
        Node::Map(map) => map.0.iter().all(|(_, node)| is_all_switches(node)),
        Node::Number(_) | Node::Inexact | Node::List(_) => false,
    }
}

/// Tells of the comments that look like they hold a secret: an old password is one still, somewhere.
pub(super) fn comments<'t>(
    all: impl IntoIterator<Item = (usize, &'t str)>,
    options: &Options<'_>,
    batch: &mut Batch,
) {
    for (line, text) in all {
        if comment(text, options) {
            batch.leave(At::Line(line), None, COMMENT);
        }
    }
}

/// The lines of `text` that begin with one of `marks`, with their numbers.
pub(super) fn commented<'t>(text: &'t str, marks: &[char]) -> impl Iterator<Item = (usize, &'t str)> {
    text.lines().enumerate().filter(move |(_, line)| line.trim_start().starts_with(marks)).map(numbered)
}

/// Comments of YAML, also behind a value. What stands so in a text of several lines is taken for one too.
pub(super) fn commented_yaml(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().filter_map(|(i, line)| {
        let begins =
            |(at, _): &(usize, &str)| line[..*at].chars().next_back().is_none_or(char::is_whitespace);
        let (at, _) = line.match_indices('#').find(begins)?;
        Some(numbered((i, &line[at..])))
    })
}

fn numbered((i, line): (usize, &str)) -> (usize, &str) {
    (i + 1, line)
}

fn comment(text: &str, options: &Options<'_>) -> bool {
    let text = text.trim_start().trim_start_matches(['#', ';']).trim();
    looks(text, options)
        || text.match_indices(['=', ':']).any(|(at, mark)| is_assigned(&text[..at], mark, &text[at + 1..]))
        || is_of_pgpass(text)
        || is_told(text)
}

fn looks(text: &str, options: &Options<'_>) -> bool {
    (options.looks_secret)(text, Kind::FreeText) || (options.looks_secret)(text, Kind::Url)
}

/// `${NAME}`: the value is elsewhere.
fn is_reference(value: &str) -> bool {
    value.strip_prefix("${").is_some_and(|rest| rest.find('}') == Some(rest.len() - 1))
}

/// `NAME=value` and `name: value`, where the name says that it is a secret.
fn is_assigned(before: &str, mark: &str, value: &str) -> bool {
    let name = before.split_whitespace().next_back().unwrap_or_default();
    let value = value.trim().trim_matches(['"', '\'']);
    // After a colon also a sentence may follow.
    let is_value = match mark {
        "=" => !value.is_empty(),
        _ => value.len() >= 4 && !value.contains(char::is_whitespace),
    };
    let is_example = is_reference(value) || is_placeholder(value) || value.eq_ignore_ascii_case("value");
    is_value && says_secret(name) && !is_example && !is_plain_setting(name, value)
}

/// `host:port:database:user:password`.
fn is_of_pgpass(text: &str) -> bool {
    let parts: Vec<_> = text.splitn(5, ':').collect();
    matches!(parts[..], [_, port, _, _, password] if (port == "*" || port.parse::<u16>().is_ok()) && !password.is_empty())
}

/// `login mia password …` of a netrc; `old password …` with a word behind it that is none of a sentence.
fn is_told(text: &str) -> bool {
    let words: Vec<_> = text.split_whitespace().map(|word| word.trim_matches([':', '=', ',', '"'])).collect();
    let is_machine = words.iter().any(|word| ["machine", "login"].contains(word));
    words.iter().enumerate().any(|(i, word)| {
        let mut next = words[i + 1..].iter().filter(|word| !["is", "was", ""].contains(*word));
        match next.next() {
            Some(_) if is_machine && ["password", "account"].contains(word) => true,
            Some(value) => says_secret(word) && is_no_word(value),
            None => false,
        }
    })
}

fn is_no_word(text: &str) -> bool {
    let has = |is: fn(&u8) -> bool| text.bytes().any(|b| is(&b));
    let is_mixed = text.bytes().skip(1).any(|b| b.is_ascii_uppercase()) && has(u8::is_ascii_lowercase);
    text.len() >= 6
        && !text.contains("://")
        && !text.starts_with(['/', '~', '.'])
        && !is_reference(text)
        && (has(u8::is_ascii_digit) || has(|b| b"!@#$%^&*+~".contains(b)) || is_mixed)
}
