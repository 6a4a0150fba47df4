//! Writes the file anew: the servers that are told are started by another command, the variables that are told are
//! gone, and every other byte is as it was.
use jsonc_parser::ast::{Object, Value};
use jsonc_parser::cst::{CstNode, CstObject, CstRootNode};
use zeroize::Zeroizing;

use super::document::{options, parse, range};
use super::found::{FoundServer, LaunchKeys, ServerKind};
use super::mask::{Masker, diff};
use super::{Config, Knowledge, remote, server};
use crate::error::{Code, Error, Result, internal, invalid};
use crate::secret::SecretBytes;

/// What to make of one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewrite {
    /// Its place in [`Config::servers`].
    pub server: usize,
    pub program: String,
    /// For instance `mcp` and the name of a consumer.
    pub args: Vec<String>,
    /// The variables that leave `env`.
    pub remove_env: Vec<String>,
}

/// The file anew. It may still hold secrets that nobody moved.
#[derive(Debug)]
pub struct Rewritten {
    /// The whole file, with its byte order mark if it had one.
    pub text: SecretBytes,
    /// The change as a unified diff without any value; empty where there is none.
    pub diff: String,
}

impl Config {
    /// The file with each of `rewrites` done; `file_name` is what the diff calls it.
    ///
    /// Fails with `invalid_input` when a server is named twice, is no program that the client starts, has something
    /// that keeps it from being started elsewhere, or has no such variable. What comes out is read again and compared
    /// with what went in before it is returned.
    pub fn rewrite(&self, rewrites: &[Rewrite], file_name: &str, known: &Knowledge<'_>) -> Result<Rewritten> {
        let mut order: Vec<(&FoundServer, &Rewrite)> = Vec::new();
        for rewrite in rewrites {
            let server = self
                .servers
                .get(rewrite.server)
                .ok_or_else(|| invalid("there is no such server in the file"))?;
            if order.iter().any(|(other, _)| other.index == server.index) {
                return Err(invalid("a server is to be rewritten twice"));
            }
            check(server, rewrite)?;
            order.push((server, rewrite));
        }
        let changed: Vec<usize> = order.iter().map(|(server, _)| server.index).collect();
        order.sort_by_key(|(server, _)| std::cmp::Reverse(server.range.start));

        let mut text = self.text.clone();
        for (server, rewrite) in order {
            let new = one(&self.text, server, rewrite)?;
            let (before, after) = (&text[..server.range.start], &text[server.range.end..]);
            text = Zeroizing::new([before, &new, after].concat());
        }

        let (servers, _) = server::find_all(&text, self.client, known)
            .map_err(|e| internal("the file as rewritten could not be read again").because(e))?;
        let masker = Masker::new(known, &self.servers)?;
        let diff = diff(
            file_name,
            &masker.masked(&self.text, &self.servers, &changed)?,
            &masker.masked(&text, &servers, &changed)?,
        );
        let mark: &[u8] = if self.has_bom { b"\xEF\xBB\xBF" } else { b"" };
        let text = SecretBytes::new([mark, text.as_bytes()].concat());
        Ok(Rewritten { text, diff })
    }
}

fn check(server: &FoundServer, rewrite: &Rewrite) -> Result<()> {
    let is_program = matches!(server.kind, ServerKind::Launch { .. } | ServerKind::Wrapped { .. })
        && server.launch.is_some();
    let is_address = server.kind == ServerKind::Remote && server.address.is_some();
    if !is_program && !is_address {
        return Err(refused(server, "it is neither a program that the client starts nor an address"));
    }
    if let Some(why) = server.obstacles.first() {
        return Err(refused(server, why));
    }
    let has = |name: &String| {
        server.values.iter().any(|value| matches!(&value.place, super::Where::Env(known) if known == name))
    };
    match rewrite.remove_env.iter().all(has) {
        true => Ok(()),
        false => Err(refused(server, "a variable that should leave it is not there")),
    }
}

fn refused(server: &FoundServer, why: &str) -> Error {
    Error::new(Code::InvalidInput, format!("line {}: this server cannot be rewritten: {why}", server.line))
        .next("Leave it as it is, or correct the file and try again.")
}

/// The text of one server, anew.
fn one(text: &str, server: &FoundServer, rewrite: &Rewrite) -> Result<Zeroizing<String>> {
    // The white space before it tells the tree how deep it stands.
    let line_start = text[..server.range.start].rfind('\n').map_or(0, |at| at + 1);
    let line = &text[line_start..server.range.start];
    let indent = &line[..line.len() - line.trim_start().len()];
    let old = Zeroizing::new([indent, &text[server.range.clone()]].concat());
    let nested = server.launch == Some(LaunchKeys::Nested);
    if server.kind == ServerKind::Remote {
        let new = remote::one(&old, rewrite)?;
        return Ok(Zeroizing::new(new[indent.len()..].to_owned()));
    }

    let started = with_command(&old, nested, rewrite)?;
    let new = without_variables(&started, nested, &rewrite.remove_env)?;
    if !is_as_told(&old, &new, nested, rewrite)? {
        return Err(internal("a rewritten server is not what it should be"));
    }
    Ok(Zeroizing::new(new[indent.len()..].to_owned()))
}

/// The object that holds the command of the one server in `text`.
fn launch_object<'n, 'a>(root: &'n Option<Value<'a>>, nested: bool) -> Result<&'n Object<'a>> {
    let lost = || internal("a server of the file could not be found again");
    let object = root.as_ref().and_then(Value::as_object).ok_or_else(lost)?;
    match nested {
        false => Ok(object),
        true => object.get_object("command").ok_or_else(lost),
    }
}

fn command_key(nested: bool) -> &'static str {
    if nested { "path" } else { "command" }
}

pub(super) fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Puts program and arguments in, each where the old one stood; arguments that there were none of follow the program.
fn with_command(text: &str, nested: bool, rewrite: &Rewrite) -> Result<Zeroizing<String>> {
    let parsed = parse(text)?;
    let object = launch_object(&parsed.value, nested)?;
    let command = object
        .get(command_key(nested))
        .ok_or_else(|| internal("a server of the file has lost its command"))?;
    let as_told = |value: &Value<'_>| {
        value.as_array().is_some_and(|array| {
            array.elements.len() == rewrite.args.len()
                && array.elements.iter().zip(&rewrite.args).all(|(element, arg)| {
                    element.as_string_lit().is_some_and(|found| found.value.as_ref() == arg)
                })
        })
    };
    let args = format!("[{}]", rewrite.args.iter().map(|arg| json(arg)).collect::<Vec<_>>().join(", "));
    let mut edits = Vec::new();
    if command.value.as_string_lit().is_none_or(|found| found.value.as_ref() != rewrite.program) {
        edits.push((range(&command.value), json(&rewrite.program)));
    }
    match object.get("args") {
        Some(old) if as_told(&old.value) => {}
        Some(old) => edits.push((range(&old.value), args)),
        None => {
            let at = range(&command.value).end;
            let line_start = text[..command.range.start].rfind('\n').map(|at| at + 1);
            let own_line = line_start.map(|start| &text[start..command.range.start]);
            let gap = match own_line.filter(|before| before.trim().is_empty()) {
                Some(indent) => {
                    let start = line_start.unwrap_or_default();
                    let newline = if text[..start].ends_with("\r\n") { "\r\n" } else { "\n" };
                    format!("{newline}{indent}")
                }
                None => " ".to_owned(),
            };
            edits.push((at..at, format!(",{gap}\"args\": {args}")));
        }
    }
    edits.sort_by_key(|(range, _)| std::cmp::Reverse((range.start, range.end)));
    let mut new = Zeroizing::new(text.to_owned());
    for (range, with) in edits {
        new = Zeroizing::new([&new[..range.start], &with, &new[range.end..]].concat());
    }
    Ok(new)
}

/// Takes the variables out, with their commas; an `env` that is left empty goes too, unless a comment is in it.
fn without_variables(text: &str, nested: bool, names: &[String]) -> Result<Zeroizing<String>> {
    if names.is_empty() {
        return Ok(Zeroizing::new(text.to_owned()));
    }
    let lost = || internal("a server of the file could not be found again");
    let root = CstRootNode::parse(text, &options()).map_err(|_| lost())?;
    let mut object = root.object_value().ok_or_else(lost)?;
    if nested {
        object = object.object_value("command").ok_or_else(lost)?;
    }
    let env = object.get("env").ok_or_else(lost)?;
    let variables = env.object_value().ok_or_else(lost)?;
    for name in names {
        if let Some(variable) = variables.get(name) {
            variable.remove();
        }
    }
    if variables.properties().is_empty() && !has_comment(&variables) {
        env.remove();
    }
    Ok(Zeroizing::new(root.to_string()))
}

fn has_comment(object: &CstObject) -> bool {
    object.children().iter().any(CstNode::is_comment)
}

/// Whether `new` is `old` but for what was told.
fn is_as_told(old: &str, new: &str, nested: bool, rewrite: &Rewrite) -> Result<bool> {
    let (old, new) = (parse(old)?, parse(new)?);
    if nested {
        let outer = [&old.value, &new.value].map(|value| value.as_ref().and_then(Value::as_object));
        let [Some(before), Some(after)] = outer else { return Ok(false) };
        if !same_but(before, after, &["command"]) {
            return Ok(false);
        }
    }
    let (before, after) = (launch_object(&old.value, nested)?, launch_object(&new.value, nested)?);
    let started =
        after.get_string(command_key(nested)).is_some_and(|found| found.value.as_ref() == rewrite.program);
    let args: Option<Vec<&str>> = after.get_array("args").and_then(|array| {
        array.elements.iter().map(|e| e.as_string_lit().map(|s| s.value.as_ref())).collect()
    });
    let removed: Vec<&str> = rewrite.remove_env.iter().map(String::as_str).collect();
    let env = match (before.get_object("env"), after.get_object("env")) {
        (Some(before), Some(after)) => {
            same_but(before, after, &removed) && removed.iter().all(|n| after.get(n).is_none())
        }
        (Some(before), None) => {
            !removed.is_empty() && before.properties.iter().all(|p| removed.contains(&p.name.as_str()))
        }
        (None, None) => removed.is_empty(),
        (None, Some(_)) => false,
    };
    Ok(started
        && args.is_some_and(|args| args == rewrite.args.iter().map(String::as_str).collect::<Vec<_>>())
        && env
        && same_but(before, after, &[command_key(nested), "args", "env"]))
}

/// Whether two objects have the same properties in the same order, those of `names` left aside.
pub(super) fn same_but(one: &Object<'_>, other: &Object<'_>, names: &[&str]) -> bool {
    let aside = |object: &Object<'_>| -> Vec<usize> {
        let kept = object.properties.iter().enumerate();
        kept.filter(|(_, p)| !names.contains(&p.name.as_str())).map(|(at, _)| at).collect()
    };
    let (ours, theirs) = (aside(one), aside(other));
    ours.len() == theirs.len()
        && ours.iter().zip(&theirs).all(|(a, b)| {
            let (a, b) = (&one.properties[*a], &other.properties[*b]);
            a.name.as_str() == b.name.as_str() && same(&a.value, &b.value)
        })
}

/// Whether two values are the same wherever they stand.
fn same(one: &Value<'_>, other: &Value<'_>) -> bool {
    match (one, other) {
        (Value::StringLit(a), Value::StringLit(b)) => a.value == b.value,
        (Value::NumberLit(a), Value::NumberLit(b)) => a.value == b.value,
        (Value::BooleanLit(a), Value::BooleanLit(b)) => a.value == b.value,
        (Value::NullKeyword(_), Value::NullKeyword(_)) => true,
        (Value::Object(a), Value::Object(b)) => same_but(a, b, &[]),
        (Value::Array(a), Value::Array(b)) => {
            a.elements.len() == b.elements.len()
                && a.elements.iter().zip(&b.elements).all(|(a, b)| same(a, b))
        }
        _ => false,
    }
}
