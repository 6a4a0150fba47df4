//! The file as it may be shown: every value that is or may be a secret is hidden.
//!
//! Hides more than the plan names: all of `env` and `headers`, whatever looks like a secret anywhere in the file, and
//! each found secret wherever else it stands. Control and unseen characters are written out, for a terminal obeys them.
use std::collections::HashMap;
use std::fmt::Write as _;
use std::ops::Range;

use aho_corasick::{AhoCorasick, MatchKind};
use jsonc_parser::ast::{Comment, ObjectProp, Value};
use jsonc_parser::common::Ranged as _;
use similar::TextDiff;
use zeroize::Zeroizing;

use super::Knowledge;
use super::document::{parse, range};
use super::found::{FoundServer, Guess, Where};
use super::judge::Judge;
use super::notes::comments;
use super::server::is_only_references;
use crate::error::{Result, internal};
use crate::model::suspicion::Kind;
use crate::model::text::is_unseen;

const MASK: &str = "••••••";
/// A longer line of a diff is cut: somebody's file may be one line.
const LONGEST_LINE_CHARS: usize = 240;
/// How many unchanged lines a diff shows before and after a change.
const CONTEXT_LINES: usize = 3;
/// A shorter secret is hidden where it was found only: it may be part of any word.
const SHORTEST_REPEATED_BYTES: usize = 5;

/// The secrets of several versions of one file.
pub(super) struct Masker<'a> {
    known: &'a Knowledge<'a>,
    repeated: AhoCorasick,
}

impl<'a> Masker<'a> {
    pub fn new(known: &'a Knowledge<'a>, servers: &[FoundServer]) -> Result<Self> {
        let mut values: Vec<Zeroizing<String>> = Vec::new();
        let secrets = servers.iter().flat_map(|server| &server.values);
        for found in secrets.filter(|found| matches!(found.guess, Guess::Yes(_))) {
            let long = found.value.expose(|value| value.len() >= SHORTEST_REPEATED_BYTES);
            if long {
                values.push(Zeroizing::new(found.value.expose(str::to_owned)));
            }
        }
        let repeated = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostFirst)
            .build(values.iter().map(|value| value.as_bytes()))
            .map_err(|e| internal("the secrets of the file could not be searched for").because(e))?;
        Ok(Self { known, repeated })
    }

    /// `text`, of which `servers` were read, as it may be shown: the lines of the servers `changed` and those around
    /// them. Every other line is blank, for nobody has looked at it.
    pub fn masked(&self, text: &str, servers: &[FoundServer], changed: &[usize]) -> Result<String> {
        let mut windows: Vec<Range<usize>> = changed
            .iter()
            .filter_map(|at| servers.get(*at))
            .map(|server| around(text, &server.range))
            .collect();
        windows.sort_by_key(|window| window.start);
        let in_sight = |range: &Range<usize>| {
            windows.iter().any(|window| range.start < window.end && window.start < range.end)
        };
        let parsed = parse(text)?;
        let judge = Judge { known: self.known, definition: None };
        let mut hidden: Vec<(Range<usize>, String)> = Vec::new();
        let always = always_hidden(text, servers);
        if let Some(value) = &parsed.value {
            self.walk(&judge, value, &always, &in_sight, &mut hidden);
        }
        for comment in
            comments(&parsed).into_iter().filter(|comment| in_sight(&(comment.start()..comment.end())))
        {
            if matches!(judge.text(comment.text()), Guess::Yes(_)) || self.repeated.is_match(comment.text()) {
                let shown = match comment {
                    Comment::Line(_) => format!("// {MASK}"),
                    Comment::Block(_) => format!("/* {MASK} */"),
                };
                hidden.push((comment.start()..comment.end(), shown));
            }
        }
        hidden.sort_by_key(|(range, _)| range.start);
        let (mut shown, mut at) = (String::new(), 0);
        let mut hidden = hidden.into_iter().peekable();
        for window in windows {
            // Windows may overlap; what was shown is not shown again.
            let start = window.start.max(at);
            shown.extend(text[at..start].matches('\n'));
            at = start;
            while let Some((range, with)) = hidden.next_if(|(range, _)| range.start < window.end) {
                write_out(text.get(at..range.start).unwrap_or_default(), &mut shown);
                write_out(&with, &mut shown);
                at = range.end.max(at);
            }
            write_out(text.get(at..window.end).unwrap_or_default(), &mut shown);
            at = window.end.max(at);
        }
        shown.extend(text[at..].matches('\n'));
        Ok(shown)
    }

    fn walk(
        &self,
        judge: &Judge<'_>,
        value: &Value<'_>,
        always: &HashMap<usize, String>,
        in_sight: &dyn Fn(&Range<usize>) -> bool,
        hidden: &mut Vec<(Range<usize>, String)>,
    ) {
        if !in_sight(&range(value)) {
            return;
        }
        if let Some(with) = always.get(&value.start()) {
            hidden.push((range(value), with.clone()));
            return;
        }
        match value {
            Value::Object(object) => {
                let seen = |property: &&ObjectProp<'_>| in_sight(&(property.range.start..property.range.end));
                for property in object.properties.iter().filter(seen) {
                    let name = property.name.as_str();
                    let kind = self.known.detector.check_text(name, Kind::Identifier);
                    if kind.is_some() || self.repeated.is_match(name) {
                        hidden.push((property.name.start()..property.name.end(), format!("\"{MASK}\"")));
                    }
                    match &property.value {
                        Value::StringLit(text)
                            if matches!(judge.variable(name, &text.value), Guess::Yes(_)) =>
                        {
                            let with = always.get(&text.range.start).cloned();
                            let with = with.unwrap_or_else(|| format!("\"{MASK}\""));
                            hidden.push((text.range.start..text.range.end, with));
                        }
                        other => self.walk(judge, other, always, in_sight, hidden),
                    }
                }
            }
            Value::Array(array) => {
                array.elements.iter().for_each(|element| self.walk(judge, element, always, in_sight, hidden));
            }
            Value::StringLit(text) => {
                let suspect = matches!(judge.text(&text.value), Guess::Yes(_));
                if suspect || self.repeated.is_match(text.value.as_ref()) {
                    hidden.push((text.range.start..text.range.end, format!("\"{MASK}\"")));
                }
            }
            Value::NumberLit(_) | Value::BooleanLit(_) | Value::NullKeyword(_) => {}
        }
    }
}

/// The lines of `range`, and as many around it as a diff shows and one more.
fn around(text: &str, range: &Range<usize>) -> Range<usize> {
    let before = text[..range.start].rmatch_indices('\n').nth(CONTEXT_LINES + 1);
    let after = text[range.end..].match_indices('\n').nth(CONTEXT_LINES + 1);
    before.map_or(0, |(at, _)| at + 1)..after.map_or(text.len(), |(at, _)| range.end + at + 1)
}

/// Where the values of the servers begin, and what is shown there.
fn always_hidden(text: &str, servers: &[FoundServer]) -> HashMap<usize, String> {
    let mut always = HashMap::new();
    for found in servers.iter().flat_map(|server| &server.values) {
        let secret = matches!(found.guess, Guess::Yes(_));
        let harmless = found.value.expose(|value| value.is_empty() || is_only_references(value));
        let shown = match &found.place {
            _ if harmless => continue,
            Where::Env(_) | Where::Header(_) => format!("\"{MASK}\""),
            Where::Address | Where::Command if secret => format!("\"{MASK}\""),
            Where::Argument(_) if secret => {
                let literal = &text[found.range.clone()];
                let option = literal.split_once('=').map(|(option, _)| option);
                match option.filter(|option| option.starts_with("\"-") && is_plain_option(option)) {
                    Some(option) => format!("{option}={MASK}\""),
                    None => format!("\"{MASK}\""),
                }
            }
            Where::Address | Where::Command | Where::Argument(_) => continue,
        };
        always.insert(found.range.start, shown);
    }
    always
}

fn is_plain_option(literal: &str) -> bool {
    literal.len() <= 40 && literal[1..].bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// Appends `text` with what a terminal would obey, or nobody would see, written out.
fn write_out(text: &str, shown: &mut String) {
    for c in text.chars() {
        match c {
            '\n' | '\t' => shown.push(c),
            '\r' => {}
            c if is_unseen(c) => {
                write!(shown, "\\u{{{:x}}}", c as u32).expect("writing to a string does not fail");
            }
            c => shown.push(c),
        }
    }
}

/// What changes between two texts that may be shown, as a unified diff of the file `name`; empty where nothing does.
pub(super) fn diff(name: &str, before: &str, after: &str) -> String {
    if before == after {
        return String::new();
    }
    let diff = TextDiff::from_lines(before, after);
    let mut header = String::new();
    write_out(&name.replace(['\n', '\t'], " "), &mut header);
    let whole = diff.unified_diff().context_radius(CONTEXT_LINES).header(&header, &header).to_string();
    let mut shown = String::with_capacity(whole.len());
    for line in whole.lines() {
        match line.char_indices().nth(LONGEST_LINE_CHARS) {
            Some((end, _)) => shown.extend([&line[..end], "…"]),
            None => shown.push_str(line),
        }
        shown.push('\n');
    }
    shown
}
