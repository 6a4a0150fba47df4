//! JSON as a tree whose texts are secrets, taken apart member by member, so that nothing is passed over unseen.
//!
//! Stricter than most readers: a name that stands twice in one object is refused, since readers differ about which
//! one counts. Errors tell lines and the names of the format, never what a file holds.
use super::batch::At;
use crate::error::{Code, Error, Result};
use crate::secret::Secret;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use std::fmt;

pub(super) enum Node {
    Null,
    Bool(bool),
    Number(i64),
    /// A fraction, or a number beyond 64 bits: its text is not known exactly.
    Inexact,
    Text(Secret),
    List(Vec<Node>),
    Map(Map),
}

/// An object's members, in the order of the file.
#[derive(Default)]
pub(super) struct Map(pub Vec<(String, Node)>);

const TWICE: &str = "a name stands twice in one object";

/// The tree of `text`.
///
/// Fails with `invalid_file` for what is no JSON, is nested deeper than 128 levels, or has a name twice.
pub(super) fn parse(text: &str) -> Result<Node> {
    serde_json::from_str(text).map_err(|e| {
        // The library's own words may quote the file: only the line and the kind are used.
        let what = match () {
            () if e.is_eof() => "the file ends in the middle",
            () if e.is_data() => TWICE,
            () => "this is not JSON, or it is nested too deeply",
        };
        super::broken(e.line(), what)
    })
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Any)
    }
}

struct Any;

impl<'de> Visitor<'de> for Any {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }
    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }
    fn visit_bool<E>(self, yes: bool) -> Result<Node, E> {
        Ok(Node::Bool(yes))
    }
    fn visit_i64<E>(self, n: i64) -> Result<Node, E> {
        Ok(Node::Number(n))
    }
    fn visit_u64<E>(self, n: u64) -> Result<Node, E> {
        Ok(i64::try_from(n).map_or(Node::Inexact, Node::Number))
    }
    fn visit_f64<E>(self, _: f64) -> Result<Node, E> {
        Ok(Node::Inexact)
    }
    fn visit_str<E>(self, text: &str) -> Result<Node, E> {
        Ok(Node::Text(super::secret(text)))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
        let mut all = Vec::new();
        while let Some(one) = list.next_element()? {
            all.push(one);
        }
        Ok(Node::List(all))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut all: Vec<(String, Node)> = Vec::new();
        let mut seen = std::collections::HashSet::new();
        while let Some(name) = map.next_key::<String>()? {
            if !seen.insert(name.clone()) {
                return Err(A::Error::custom(TWICE));
            }
            all.push((name, map.next_value()?));
        }
        Ok(Node::Map(Map(all)))
    }
}

/// What is not of the kind that the format has there.
pub(super) fn wrong(at: At, what: &str) -> Error {
    Error::new(Code::InvalidFile, format!("{at}: {what}"))
}

impl Node {
    /// Whether there is anything in it.
    pub fn is_empty(&self) -> bool {
        match self {
            Node::Null => true,
            Node::Bool(yes) => !yes,
            Node::Number(_) | Node::Inexact => false,
            Node::Text(text) => text.expose(str::is_empty),
            Node::List(all) => all.iter().all(Node::is_empty),
            Node::Map(map) => map.0.iter().all(|(_, node)| node.is_empty()),
        }
    }

    pub fn into_map(self, at: At, what: &str) -> Result<Map> {
        match self {
            Node::Map(map) => Ok(map),
            _ => Err(wrong(at, &format!("{what} is not an object"))),
        }
    }

    pub fn into_list(self, at: At, what: &str) -> Result<Vec<Node>> {
        match self {
            Node::List(list) => Ok(list),
            Node::Null => Ok(Vec::new()),
            _ => Err(wrong(at, &format!("{what} is not a list"))),
        }
    }

    /// Text, or a number or truth value as text; structures as compact JSON. `None` for null and what is inexact.
    pub fn into_value(self) -> Option<Secret> {
        match self {
            Node::Text(text) => Some(text),
            Node::Bool(yes) => Some(super::secret(if yes { "true" } else { "false" })),
            Node::Number(n) => Some(Secret::new(n.to_string())),
            Node::Null | Node::Inexact => None,
            Node::List(_) | Node::Map(_) => {
                let mut size = 0;
                self.write(&mut |part| {
                    size += part.len();
                })?;
                let mut text = String::with_capacity(size);
                self.write(&mut |part| text.push_str(part))?;
                Some(Secret::new(text))
            }
        }
    }

    /// `None` where a number inside is inexact.
    fn write(&self, put: &mut dyn FnMut(&str)) -> Option<()> {
        match self {
            Node::Null => put("null"),
            Node::Bool(yes) => put(if *yes { "true" } else { "false" }),
            Node::Number(n) => put(&n.to_string()),
            Node::Inexact => return None,
            Node::Text(text) => text.expose(|text| quoted(text, put)),
            Node::List(all) => {
                put("[");
                for (i, one) in all.iter().enumerate() {
                    if i > 0 {
                        put(",");
                    }
                    one.write(put)?;
                }
                put("]");
            }
            Node::Map(map) => {
                put("{");
                for (i, (name, node)) in map.0.iter().enumerate() {
                    if i > 0 {
                        put(",");
                    }
                    quoted(name, put);
                    put(":");
                    node.write(put)?;
                }
                put("}");
            }
        }
        Some(())
    }
}

/// `text` as JSON text (RFC 8259 §7).
fn quoted(text: &str, put: &mut dyn FnMut(&str)) {
    put("\"");
    let mut buffer = [0u8; 4];
    for c in text.chars() {
        match c {
            '"' => put("\\\""),
            '\\' => put("\\\\"),
            '\n' => put("\\n"),
            '\r' => put("\\r"),
            '\t' => put("\\t"),
            c if (c as u32) < 0x20 => put(&format!("\\u{:04x}", c as u32)),
            c => put(c.encode_utf8(&mut buffer)),
        }
    }
    put("\"");
}

impl Map {
    /// Takes a member out.
    pub fn take(&mut self, name: &str) -> Option<Node> {
        let at = self.0.iter().position(|(n, _)| n == name)?;
        Some(self.0.swap_remove(at).1)
    }

    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(n, _)| n == name)
    }

    /// As [`Map::drop_all`], of what a person may have written: whether a secret may be among it.
    pub fn drop_settings(&mut self, names: &[&str], options: &super::Options<'_>) -> bool {
        let dropped = |name: &String| names.contains(&name.as_str());
        let all = &self.0;
        let is_guarded =
            all.iter().any(|(name, node)| dropped(name) && super::guard::member(name, node, options));
        self.drop_all(names);
        is_guarded
    }

    /// Takes members out that are of no use to us.
    pub fn drop_all(&mut self, names: &[&str]) {
        self.0.retain(|(name, _)| !names.contains(&name.as_str()));
    }

    /// The text of a member; `None` where it is missing or null.
    pub fn text(&mut self, name: &str, at: At) -> Result<Option<Secret>> {
        match self.take(name) {
            None | Some(Node::Null) => Ok(None),
            Some(Node::Text(text)) => Ok(Some(text)),
            Some(_) => Err(wrong(at, &format!("{name} is not text"))),
        }
    }

    /// As [`Map::text`], of what is no secret: a title, an address, a kind. Empty where it is missing.
    pub fn word(&mut self, name: &str, at: At) -> Result<String> {
        Ok(self.text(name, at)?.map(|text| text.expose(str::to_owned)).unwrap_or_default())
    }

    pub fn number(&mut self, name: &str, at: At) -> Result<Option<i64>> {
        match self.take(name) {
            None | Some(Node::Null) => Ok(None),
            Some(Node::Number(n)) => Ok(Some(n)),
            Some(_) => Err(wrong(at, &format!("{name} is not a whole number"))),
        }
    }

    pub fn list(&mut self, name: &str, at: At) -> Result<Vec<Node>> {
        self.take(name).map_or(Ok(Vec::new()), |node| node.into_list(at, name))
    }

    pub fn map(&mut self, name: &str, at: At) -> Result<Option<Map>> {
        match self.take(name) {
            None | Some(Node::Null) => Ok(None),
            Some(node) => node.into_map(at, name).map(Some),
        }
    }

    /// Whether something is left that nobody took.
    pub fn has_more(&self) -> bool {
        self.0.iter().any(|(_, node)| !node.is_empty())
    }
}
