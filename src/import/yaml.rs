//! YAML as the tree that JSON has, out of the events of a parser, so that every text goes straight into a secret.
//!
//! Refuses what makes one text mean another or stand for many: anchors, aliases, tags, merged and repeated names.
//! What readers of YAML 1.1 and 1.2 take for different things (`no`, `1.10`, `0755`, a date) is not guessed at.
use super::batch::{At, Batch};
use super::record::Record;
use super::tree::{Map, Node};
use super::{Options, broken, shape};
use crate::error::{Code, Error, Result};
use crate::secret::Secret;
use regex::Regex;
use std::collections::HashSet;
use std::sync::LazyLock;
use yaml_rust2::parser::{Event, Parser};
use yaml_rust2::scanner::TScalarStyle;
use zeroize::Zeroizing;

/// How deep lists and objects may stand in one another.
const MOST_LEVELS: usize = 64;

const NULL: &str = "null is no value";
const UNSURE: &str = "readers of YAML differ about what it is: put it in quotes";
const NESTED: &str = "a list or an object is not one value";

/// The documents of `text` that are not empty, in their order.
///
/// Fails with `invalid_file` for what is no YAML, is nested deeper than 64 levels, or is one of the things above.
pub(super) fn documents(text: &str) -> Result<Vec<Node>> {
    let mut parser = Parser::new_from_str(text);
    let mut tree = Tree::default();
    loop {
        // The library's own words may quote the file: only the line is used.
        let (event, mark) = parser
            .next_token()
            .map_err(|e| broken(e.marker().line().max(1), "this is not YAML, or it ends in the middle"))?;
        let line = mark.line().max(1);
        match event {
            Event::Nothing | Event::StreamStart | Event::DocumentStart | Event::DocumentEnd => {}
            Event::StreamEnd => break,
            Event::Alias(_) => return Err(broken(line, "an alias: write the value itself there")),
            Event::Scalar(text, style, anchor, tag) => {
                let text = Zeroizing::new(text);
                plain(line, anchor, tag.is_some())?;
                tree.scalar(line, &text, style)?;
            }
            Event::SequenceStart(anchor, tag) => {
                plain(line, anchor, tag.is_some())?;
                tree.open(line, Open::List(Vec::new()))?;
            }
            Event::MappingStart(anchor, tag) => {
                plain(line, anchor, tag.is_some())?;
                tree.open(line, Open::Map { members: Map::default(), seen: HashSet::new(), name: None })?;
            }
            Event::SequenceEnd | Event::MappingEnd => tree.close(),
        }
    }
    tree.done.retain(|node| !matches!(node, Node::Null));
    match tree.done.is_empty() {
        true => Err(broken(1, "there is nothing in the file")),
        false => Ok(tree.done),
    }
}

/// The one document of a file that has no more.
pub(super) fn only(text: &str) -> Result<Node> {
    let mut all = documents(text)?;
    match (all.pop(), all.is_empty()) {
        (Some(node), true) => Ok(node),
        _ => Err(Error::new(Code::InvalidFile, "line 1: the file has more than one document")),
    }
}

fn plain(line: usize, anchor: usize, is_tagged: bool) -> Result<()> {
    match (anchor, is_tagged) {
        (0, false) => Ok(()),
        (0, true) => Err(broken(line, "a tag: it may change what the value is")),
        _ => Err(broken(line, "an anchor: write the value itself where it is meant")),
    }
}

enum Open {
    List(Vec<Node>),
    Map {
        members: Map,
        seen: HashSet<String>,
        /// The name whose value comes next.
        name: Option<String>,
    },
}

#[derive(Default)]
struct Tree {
    done: Vec<Node>,
    open: Vec<Open>,
}

impl Tree {
    fn open(&mut self, line: usize, one: Open) -> Result<()> {
        if let Some(Open::Map { name: None, .. }) = self.open.last() {
            return Err(broken(line, "a name that is not text"));
        }
        if self.open.len() >= MOST_LEVELS {
            return Err(broken(line, "it is nested too deeply"));
        }
        self.open.push(one);
        Ok(())
    }

    fn close(&mut self) {
        match self.open.pop() {
            Some(Open::List(all)) => self.put(Node::List(all)),
            Some(Open::Map { members, .. }) => self.put(Node::Map(members)),
            None => {}
        }
    }

    fn scalar(&mut self, line: usize, text: &str, style: TScalarStyle) -> Result<()> {
        if let Some(Open::Map { seen, name: name @ None, .. }) = self.open.last_mut() {
            let what = match text {
                "" => "there is no name before the colon",
                "<<" => "a merge: write the values themselves there",
                text if !seen.insert(text.to_owned()) => "a name stands twice in one object",
                text => {
                    *name = Some(text.to_owned());
                    return Ok(());
                }
            };
            return Err(broken(line, what));
        }
        if text.contains('\0') {
            return Err(broken(line, "the value has a NUL character"));
        }
        self.put(if style == TScalarStyle::Plain { resolved(text) } else { Node::Text(super::secret(text)) });
        Ok(())
    }

    fn put(&mut self, node: Node) {
        match self.open.last_mut() {
            None => self.done.push(node),
            Some(Open::List(all)) => all.push(node),
            Some(Open::Map { members, name, .. }) => members.0.extend(name.take().map(|name| (name, node))),
        }
    }
}

/// What some readers take for a number, a truth value or a time (the types of YAML 1.1; the core schema of 1.2).
static UNLIKE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(concat!(
        r"(?i)^(?:y|n|yes|no|on|off|true|false|[-+]?\.inf|\.nan|0x[0-9a-f_]+|0o[0-7_]+|0b[01_]+",
        r"|[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?",
        r"|[-+]?(?:\.[0-9_]+|[0-9][0-9_]*(?:\.[0-9_]*)?)(?:e[-+]?[0-9]+)?",
        r"|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt \t].*)?)$"
    ))
    .expect("the expression is well formed")
});

/// What a text without quotes is.
fn resolved(text: &str) -> Node {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Node::Null,
        "true" => Node::Bool(true),
        "false" => Node::Bool(false),
        text => match text.parse::<i64>() {
            Ok(number) if number.to_string() == text => Node::Number(number),
            _ if UNLIKE.is_match(text) => Node::Inexact,
            _ => Node::Text(super::secret(text)),
        },
    }
}

/// One flat object of names and values, as `infisical export --format=yaml` prints it.
pub(super) fn variables(file: Node, options: &Options<'_>, batch: &mut Batch) -> Result<()> {
    let map = file.into_map(At::Line(1), "the file")?;
    if map.has("sops") {
        return Err(Error::new(Code::InvalidFile, "this file is encrypted by SOPS")
            .next("Decrypt it first: `sops decrypt FILE | unsaid import - --from yaml`."));
    }
    for (i, (name, node)) in map.0.into_iter().enumerate() {
        super::check_room(batch)?;
        let at = At::Entry(i + 1);
        let why = match &node {
            Node::Null => NULL,
            Node::List(_) | Node::Map(_) => NESTED,
            _ => UNSURE,
        };
        let is_one = !matches!(node, Node::List(_) | Node::Map(_));
        match node.into_value().filter(|_| is_one) {
            Some(value) if value.expose(str::is_empty) => {
                batch.entries += 1;
                shape::leave_empty(at, &name, options, batch);
            }
            Some(value) => variable(at, &name, value, options, batch),
            None => {
                batch.entries += 1;
                batch.leave(at, shape::shown(&name, options.looks_secret), why);
            }
        }
    }
    Ok(())
}

fn variable(at: At, name: &str, value: Secret, options: &Options<'_>, batch: &mut Batch) {
    if super::stores::OF_DOPPLER.contains(&name) {
        batch.entries += 1;
        return batch.leave_trifle(at, Some(name.to_owned()), super::stores::OF_DOPPLER_WHY);
    }
    shape::take(Record::variable(at, name, value), options, batch);
}

#[cfg(test)]
mod tests;
