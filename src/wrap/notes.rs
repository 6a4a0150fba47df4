//! What else a person should know: secrets where no rewrite reaches.
use jsonc_parser::ParseResult;
use jsonc_parser::ast::{Comment, Object, Value};
use jsonc_parser::common::Ranged as _;
use zeroize::Zeroizing;

use super::document::line_of;
use super::found::{FoundServer, Guess, Note};
use super::judge::{Judge, defaults};
use super::server::Reader;

/// The comments of a file, each once, in order.
pub(super) fn comments<'n, 'a>(parsed: &'n ParseResult<'a>) -> Vec<&'n Comment<'a>> {
    let mut all: Vec<_> = parsed.comments.iter().flatten().flat_map(|(_, found)| found.iter()).collect();
    all.sort_by_key(|comment| comment.start());
    all.dedup_by_key(|comment| comment.start());
    all
}

impl Reader<'_> {
    pub fn line(&self, at: usize) -> usize {
        line_of(self.text, at)
    }

    /// What stands in plain text around a reference, or as its default.
    pub fn beside_reference(&self, judge: &Judge<'_>, value: &str) -> Option<&'static str> {
        if defaults(value).any(|default| judge.looks(default).is_some()) {
            return Some("the default of a reference here looks like a secret");
        }
        let rest = Zeroizing::new(
            value
                .split("${")
                .map(|part| part.split_once('}').map_or(part, |(_, after)| after))
                .collect::<Vec<_>>()
                .join(" "),
        );
        judge.looks(&rest).map(|_| "beside a reference here stands what looks like a secret")
    }

    /// What else a server of these clients may have.
    pub fn beside(&self, server: &mut FoundServer, object: &Object<'_>) {
        if let Some(file) = object.get("envFile") {
            let text =
                "its envFile is a file of plaintext values of its own; unsaid import takes such a file over";
            server.notes.push(Note { line: self.line(file.range.start), text });
        }
        if let Some(settings) = object.get("settings") {
            let judge = Judge { known: self.known, definition: None };
            let mut lines = Vec::new();
            self.suspicious(&judge, &settings.value, "", &mut lines);
            let text = "its settings look like they hold a secret, which only the client hands on";
            server.notes.extend(lines.into_iter().map(|line| Note { line, text }));
        }
    }

    fn suspicious(&self, judge: &Judge<'_>, value: &Value<'_>, name: &str, lines: &mut Vec<usize>) {
        match value {
            Value::Object(object) => {
                for property in &object.properties {
                    self.suspicious(judge, &property.value, property.name.as_str(), lines);
                }
            }
            Value::Array(array) => {
                array.elements.iter().for_each(|element| self.suspicious(judge, element, name, lines));
            }
            Value::StringLit(text) if matches!(judge.variable(name, &text.value), Guess::Yes(_)) => {
                lines.push(self.line(text.range.start));
            }
            _ => {}
        }
    }

    pub fn comments(&self, parsed: &ParseResult<'_>) -> Vec<Note> {
        let judge = Judge { known: self.known, definition: None };
        let text = "a comment looks like it holds a secret; no rewrite touches it";
        comments(parsed)
            .into_iter()
            .filter(|comment| matches!(judge.text(comment.text()), Guess::Yes(_)))
            .map(|comment| Note { line: self.line(comment.start()), text })
            .collect()
    }

    /// The questions of VS Code may carry an answer.
    pub fn inputs(&self, root: &Object<'_>) -> Vec<Note> {
        let judge = Judge { known: self.known, definition: None };
        let Some(inputs) = root.get_array("inputs") else { return Vec::new() };
        let defaults = inputs.elements.iter().filter_map(|input| input.as_object()?.get_string("default"));
        let secret = defaults.filter(|default| judge.looks(&default.value).is_some());
        let text = "the default of an input looks like a secret";
        secret.map(|default| Note { line: self.line(default.range.start), text }).collect()
    }
}
