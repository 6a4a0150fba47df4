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

#[cfg(test)]
mod tests {
    use yaml_rust2::{Yaml, YamlLoader};

    use super::super::agents::{agents, find_agent, snippet};
    use super::*;

    /// Values that break whoever quotes carelessly.
    fn awkward() -> (String, Vec<String>, Vec<(String, String)>) {
        let args = vec!["serve".to_owned(), "--as".to_owned(), "it's \"me\" \\ é \u{7f} # : {x}".to_owned()];
        (
            "/opt/my programs/unsaid".to_owned(),
            args,
            vec![("UNSAID_HOME".to_owned(), "/a b/$HOME".to_owned())],
        )
    }

    /// The one server in the file, as JSON, whatever format the file has.
    fn server_in(agent: &Agent, text: &str) -> Value {
        let mut found: Value = match agent.format {
            Format::Json => serde_json::from_str(text).expect("JSON"),
            Format::Toml => toml::from_str(text).expect("TOML"),
            Format::Yaml => from_yaml(&YamlLoader::load_from_str(text).expect("YAML")[0]),
        };
        for key in &agent.key {
            found = found[key].take();
        }
        match agent.servers {
            Servers::Map => found["unsaid"].take(),
            Servers::List => found[0].take(),
        }
    }

    fn from_yaml(yaml: &Yaml) -> Value {
        match yaml {
            Yaml::Hash(map) => {
                map.iter().map(|(k, v)| (k.as_str().expect("a text key").to_owned(), from_yaml(v))).collect()
            }
            Yaml::Array(items) => items.iter().map(from_yaml).collect(),
            Yaml::String(text) => Value::from(text.as_str()),
            Yaml::Boolean(claim) => Value::from(*claim),
            Yaml::Integer(number) => Value::from(*number),
            other => panic!("not in any entry: {other:?}"),
        }
    }

    #[test]
    fn every_clients_text_reads_back_as_the_same_command_arguments_and_environment() {
        let (command, args, env) = awkward();
        for summary in agents() {
            let agent = find_agent(&summary.id).expect("listed");
            let text = snippet(&summary.id, &command, &args, &env).expect("known").text;

            let server = server_in(agent, &text);

            for field in &agent.entry {
                let found = &server[&field.key];
                match field.value.as_str() {
                    Some("{command}") => assert_eq!(found, &Value::from(command.as_str()), "{}", agent.id),
                    Some("{args}") => assert_eq!(found, &Value::from(args.clone()), "{}", agent.id),
                    Some("{command_and_args}") => {
                        assert_eq!(found[0], Value::from(command.as_str()), "{}", agent.id);
                        assert_eq!(found[3], Value::from(args[2].as_str()), "{}", agent.id);
                    }
                    Some("{env}") => {
                        assert_eq!(found["UNSAID_HOME"], Value::from("/a b/$HOME"), "{}", agent.id)
                    }
                    Some("{name}") => assert_eq!(found, &Value::from("unsaid"), "{}", agent.id),
                    _ => assert!(!found.is_null(), "{} lacks {}", agent.id, field.key),
                }
            }
            let said: Vec<_> = agent.entry.iter().filter_map(|field| field.value.as_str()).collect();
            assert!(
                said.contains(&"{env}") && said.iter().any(|s| s.starts_with("{command")),
                "{}",
                agent.id
            );
        }
    }

    #[test]
    fn without_an_environment_none_is_written() {
        for summary in agents() {
            let text =
                snippet(&summary.id, "/usr/bin/unsaid", &["serve".to_owned()], &[]).expect("known").text;

            assert!(!text.contains("env"), "{}: {text}", summary.id);
        }
    }

    #[test]
    fn a_claude_code_command_survives_the_shell() {
        let (command, args, env) = awkward();

        let line =
            snippet("claude", &command, &args, &env).expect("known").command_line.expect("it has a command");

        assert!(
            line.starts_with("claude mcp add --env 'UNSAID_HOME=/a b/$HOME' --scope user unsaid -- "),
            "{line}"
        );
        let out = std::process::Command::new("sh")
            .arg("-c")
            .arg(format!("set -- {line}; printf '%s\\n' \"$@\""))
            .output();
        let words = String::from_utf8(out.expect("sh runs").stdout).expect("UTF-8");
        let words: Vec<_> = words.lines().collect();
        assert_eq!(words[9..], [command.as_str(), "serve", "--as", args[2].as_str()]);
    }

    #[test]
    fn the_json_of_a_command_is_one_object_with_the_name_inside() {
        let line =
            snippet("vscode", "/usr/bin/unsaid", &["serve".to_owned()], &[]).expect("known").command_line;

        let line = line.expect("it has a command");
        let json =
            line.strip_prefix("code --add-mcp '").and_then(|rest| rest.strip_suffix('\'')).expect("quoted");
        let value: Value = serde_json::from_str(json).expect("JSON");
        assert_eq!((&value["name"], &value["args"][0]), (&Value::from("unsaid"), &Value::from("serve")));
    }

    #[test]
    fn a_command_that_cannot_carry_the_arguments_is_not_offered() {
        let env = [("UNSAID_HOME".to_owned(), "/x".to_owned())];
        let line = |args: &[&str], env: &[(String, String)]| {
            let args: Vec<_> = args.iter().map(|a| (*a).to_owned()).collect();
            snippet("gemini", "/usr/bin/unsaid", &args, env).expect("known").command_line
        };

        assert!(line(&["serve"], &[]).is_some());
        assert!(line(&["serve", "--read-only"], &[]).is_none());
        assert!(line(&["serve"], &env).is_none());
    }

    #[test]
    fn the_text_reads_as_a_person_would_write_it() {
        let cursor = snippet("cursor", "/usr/bin/unsaid", &["serve".to_owned()], &[]).expect("known").text;
        let codex = snippet("codex", "/usr/bin/unsaid", &["serve".to_owned()], &[]).expect("known").text;
        let proceed = snippet("continue", "/usr/bin/unsaid", &["serve".to_owned()], &[]).expect("known").text;

        assert_eq!(
            cursor,
            "{\n  \"mcpServers\": {\n    \"unsaid\": {\n      \"command\": \"/usr/bin/unsaid\",\n      \"args\": [\"serve\"]\n    }\n  }\n}\n"
        );
        assert_eq!(codex, "[mcp_servers.unsaid]\ncommand = \"/usr/bin/unsaid\"\nargs = [\"serve\"]\n");
        assert_eq!(
            proceed,
            "mcpServers:\n  - name: \"unsaid\"\n    type: \"stdio\"\n    command: \"/usr/bin/unsaid\"\n    args: [\"serve\"]\n"
        );
    }
}
