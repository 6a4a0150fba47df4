//! Where each client keeps its servers.
use std::path::Path;

use jsonc_parser::ast::{Object, Value};

use super::document::{broken, distinct, line_of, only, range};
use crate::error::Result;

/// A program with a configuration file of MCP servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    ClaudeDesktop,
    ClaudeCode,
    Cursor,
    VsCode,
    Windsurf,
    Zed,
}

impl Client {
    /// The client of this id in `manifests/agents`.
    pub fn of_agent(id: &str) -> Option<Self> {
        match id {
            "claude-desktop" => Some(Self::ClaudeDesktop),
            "claude-code" => Some(Self::ClaudeCode),
            "cursor" => Some(Self::Cursor),
            "vscode" => Some(Self::VsCode),
            "windsurf" => Some(Self::Windsurf),
            "zed" => Some(Self::Zed),
            _ => None,
        }
    }

    /// Whose file this is, where the name alone tells.
    pub fn of_file(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        let folder =
            path.parent().and_then(Path::file_name).and_then(|name| name.to_str()).unwrap_or_default();
        match (folder, name) {
            (_, "claude_desktop_config.json") => Some(Self::ClaudeDesktop),
            (_, ".claude.json" | ".mcp.json") => Some(Self::ClaudeCode),
            (".cursor", "mcp.json") => Some(Self::Cursor),
            (".vscode", "mcp.json" | "settings.json") | ("User", "mcp.json" | "settings.json") => {
                Some(Self::VsCode)
            }
            (_, "mcp_config.json") => Some(Self::Windsurf),
            (".zed" | "zed", "settings.json") => Some(Self::Zed),
            _ => None,
        }
    }
}

/// An object whose keys are servers, and the way to it from the top.
pub(super) struct Container<'n, 'a> {
    pub path: Vec<String>,
    pub object: &'n Object<'a>,
}

/// Every place of the file in which `client` (any that we know, if none) looks for servers.
pub(super) fn containers<'n, 'a>(
    text: &str,
    root: &'n Object<'a>,
    client: Option<Client>,
) -> Result<Vec<Container<'n, 'a>>> {
    use Client::{ClaudeCode, VsCode, Zed};
    let is = |one: Client| client.is_none_or(|client| client == one);
    let mut found = Vec::new();
    if !matches!(client, Some(VsCode | Zed)) {
        found.extend(at(text, root, &["mcpServers"])?);
    }
    if is(ClaudeCode)
        && let Some(Value::Object(projects)) = only(text, root, "projects")?.map(|property| &property.value)
    {
        for project in &projects.properties {
            if let Value::Object(inner) = &project.value
                && let Some(mut container) = at(text, inner, &["mcpServers"])?
            {
                container.path.splice(0..0, ["projects".to_owned(), project.name.as_str().to_owned()]);
                found.push(container);
            }
        }
    }
    if is(VsCode) {
        found.extend(at(text, root, &["mcp", "servers"])?);
        found.extend(at(text, root, &["mcp.servers"])?);
        // Many files have a key of this name.
        let servers = match client {
            Some(_) => at(text, root, &["servers"])?,
            None => object_at(text, root, &["servers"])?,
        };
        found.extend(servers.filter(|container| client.is_some() || holds_servers(container.object)));
    }
    if is(Zed) {
        found.extend(at(text, root, &["context_servers"])?);
    }
    for container in &found {
        distinct(text, container.object)?;
    }
    Ok(found)
}

/// The object at `keys`; fails where the last of them holds something else than an object or null.
fn at<'n, 'a>(text: &str, from: &'n Object<'a>, keys: &[&str]) -> Result<Option<Container<'n, 'a>>> {
    let (last, before) = keys.split_last().expect("a way has a step");
    let Some(holder) = walk(text, from, before)? else { return Ok(None) };
    match only(text, holder, last)?.map(|property| &property.value) {
        None | Some(Value::NullKeyword(_)) => Ok(None),
        Some(Value::Object(object)) => Ok(Some(Container { path: owned(keys), object })),
        Some(other) => {
            Err(broken(line_of(text, range(other).start), "the servers are not an object of names"))
        }
    }
}

/// The same; `None` for anything that is no object.
fn object_at<'n, 'a>(text: &str, from: &'n Object<'a>, keys: &[&str]) -> Result<Option<Container<'n, 'a>>> {
    Ok(walk(text, from, keys)?.map(|object| Container { path: owned(keys), object }))
}

fn walk<'n, 'a>(text: &str, from: &'n Object<'a>, keys: &[&str]) -> Result<Option<&'n Object<'a>>> {
    let mut object = from;
    for key in keys {
        match only(text, object, key)?.map(|property| &property.value) {
            Some(Value::Object(inner)) => object = inner,
            _ => return Ok(None),
        }
    }
    Ok(Some(object))
}

fn owned(keys: &[&str]) -> Vec<String> {
    keys.iter().map(|key| (*key).to_owned()).collect()
}

fn holds_servers(object: &Object<'_>) -> bool {
    let starts = |value: &Value<'_>| {
        value.as_object().is_some_and(|server| server.get("command").is_some() || server.get("url").is_some())
    };
    object.properties.iter().any(|property| starts(&property.value))
        && object.properties.iter().all(|property| property.value.as_object().is_some())
}
