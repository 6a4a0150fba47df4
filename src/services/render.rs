//! Writes a server's entry as JSON, TOML or YAML, and as a command for a shell.
//!
//! Written by hand because order matters to the person who reads it, and the three formats agree on almost
//! everything: strings and lists of JSON are valid YAML, and all but a few characters are valid TOML.
use serde_json::Value;

use super::agents::{Agent, Field, Format, Servers};

/// How this server is to be started.
pub(super) struct Server<'a> {
    pub name: &'a str,
    pub command: &'a str,
    pub args: &'a [String],
    pub env: &'a [(String, String)],
}

impl Server<'_> {
    /// `field` with the placeholders filled; `None` when it is an environment and there is none.
    fn fill(&self, field: &Field) -> Option<(String, Value)> {
        let value = match field.value.as_str() {
            Some("{name}") => Value::from(self.name),
            Some("{command}") => Value::from(self.command),
            Some("{args}") => Value::from(self.args),
            Some("{command_and_args}") => {
                std::iter::once(self.command).chain(self.args.iter().map(String::as_str)).collect()
            }
            Some("{env}") if self.env.is_empty() => return None,
            Some("{env}") => {
                self.env.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect()
            }
            _ => serde_json::to_value(&field.value).expect("TOML without dates is JSON"),
        };
        Some((field.key.clone(), value))
    }

    fn fields(&self, agent: &Agent) -> Vec<(String, Value)> {
        agent.entry.iter().filter_map(|field| self.fill(field)).collect()
    }
}

/// The configuration file, holding this server and nothing else.
pub(super) fn text(agent: &Agent, server: &Server<'_>) -> String {
    let fields = server.fields(agent);
    match agent.format {
        Format::Json => json(agent, server.name, &fields),
        Format::Toml => toml(agent, server.name, &fields),
        Format::Yaml => yaml(agent, server.name, &fields),
    }
}

fn json(agent: &Agent, name: &str, fields: &[(String, Value)]) -> String {
    let mut open = agent.key.clone();
    if agent.servers == Servers::Map {
        open.push(name.to_owned());
    }
    let mut text = String::from("{\n");
    for (depth, key) in open.iter().enumerate() {
        text.push_str(&format!("{}{}: {{\n", "  ".repeat(depth + 1), Value::from(key.as_str())));
    }
    let indent = "  ".repeat(open.len() + 1);
    let lines: Vec<_> = fields
        .iter()
        .map(|(key, value)| format!("{indent}{}: {}", Value::from(key.as_str()), spaced(value)))
        .collect();
    text.push_str(&lines.join(",\n"));
    text.push('\n');
    for depth in (0..=open.len()).rev() {
        text.push_str(&format!("{}}}\n", "  ".repeat(depth)));
    }
    text
}

fn toml(agent: &Agent, name: &str, fields: &[(String, Value)]) -> String {
    let path: Vec<_> = agent.key.iter().map(String::as_str).chain([name]).map(toml_key).collect();
    let mut text = format!("[{}]\n", path.join("."));
    for (key, value) in fields {
        let value = toml::Value::try_from(value).expect("no entry holds a null");
        text.push_str(&format!("{} = {value}\n", toml_key(key)));
    }
    text
}

fn toml_key(key: &str) -> String {
    let bare = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if bare { key.to_owned() } else { toml::Value::from(key).to_string() }
}

fn yaml(agent: &Agent, name: &str, fields: &[(String, Value)]) -> String {
    let mut text = String::new();
    for (depth, key) in agent.key.iter().enumerate() {
        text.push_str(&format!("{}{key}:\n", "  ".repeat(depth)));
    }
    let outer = "  ".repeat(agent.key.len());
    let indent = match agent.servers {
        Servers::Map => {
            text.push_str(&format!("{outer}{name}:\n"));
            format!("{outer}  ")
        }
        Servers::List => format!("{outer}  "),
    };
    for (at, (key, value)) in fields.iter().enumerate() {
        let lead =
            if agent.servers == Servers::List && at == 0 { format!("{outer}- ") } else { indent.clone() };
        text.push_str(&format!("{lead}{key}: {}\n", spaced(value)));
    }
    text
}

/// JSON on one line with a blank after each comma and colon, as people write it.
fn spaced(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(spaced).collect::<Vec<_>>().join(", ")),
        Value::Object(map) => {
            let pairs: Vec<_> = map
                .iter()
                .map(|(key, value)| format!("{}: {}", Value::from(key.as_str()), spaced(value)))
                .collect();
            format!("{{ {} }}", pairs.join(", "))
        }
        other => other.to_string(),
    }
}

/// The command that adds the server, if the client has one that can carry these arguments.
///
/// `{name}`, `{command}` and `{args}` stand for the server's words, `{env}` for the option and `NAME=value` of each
/// variable, `{json}` for name and entry as one JSON object.
pub(super) fn command_line(agent: &Agent, server: &Server<'_>) -> Option<String> {
    let hyphen = server.args.iter().any(|arg| arg.starts_with('-'));
    let env_fits =
        server.env.is_empty() || agent.cli_env_flag.is_some() || agent.cli.iter().any(|w| w == "{json}");
    if agent.cli.is_empty() || (agent.cli_plain_args_only && hyphen) || !env_fits {
        return None;
    }
    let mut words: Vec<String> = Vec::new();
    for word in &agent.cli {
        match word.as_str() {
            "{name}" => words.push(server.name.to_owned()),
            "{command}" => words.push(server.command.to_owned()),
            "{args}" => words.extend(server.args.iter().cloned()),
            "{env}" => {
                for (name, value) in server.env {
                    words.extend(agent.cli_env_flag.clone());
                    words.push(format!("{name}={value}"));
                }
            }
            "{json}" => {
                let named = std::iter::once(("name".to_owned(), Value::from(server.name)));
                words.push(named.chain(server.fields(agent)).collect::<Value>().to_string());
            }
            plain => words.push(plain.to_owned()),
        }
    }
    Some(words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" "))
}

/// `word` as a POSIX shell reads it back.
fn quoted(word: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_./=:@%+,".contains(&b);
    if !word.is_empty() && word.bytes().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}
