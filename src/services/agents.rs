//! How to add this server to the programs that speak MCP: which file, which key, which words.
//!
//! The facts are in `manifests/agents/*.toml`. Nothing is written to anybody's configuration here: a person (or a
//! command they run) does that, with the text that `snippet` makes.
use std::sync::LazyLock;

use include_dir::{Dir, include_dir};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::render;
use crate::error::{Code, Error, Result};

static FILES: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/manifests/agents");
static AGENTS: LazyLock<Vec<Agent>> = LazyLock::new(|| {
    let parse = |text| toml::from_str(text).expect("a test parses every embedded manifest");
    let mut agents: Vec<Agent> = FILES.files().filter_map(|file| file.contents_utf8()).map(parse).collect();
    agents.sort_by(|a, b| a.id.cmp(&b.id));
    agents
});

/// What a client calls this server in its lists.
const SERVER_NAME: &str = "unsaid";

/// A program that starts MCP servers, as its manifest describes it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Agent {
    pub id: String,
    pub name: String,
    #[serde(default)]
    pub aliases: Vec<String>,
    pub docs_url: String,
    pub format: Format,
    /// The way from the top of the file to the servers.
    pub key: Vec<String>,
    #[serde(default)]
    pub servers: Servers,
    /// The fields of one server, in the order to write them.
    pub entry: Vec<Field>,
    pub files: Files,
    /// The words of a command that does it; see `render::command_line`.
    #[serde(default)]
    pub cli: Vec<String>,
    /// The option that carries one `NAME=value`.
    pub cli_env_flag: Option<String>,
    /// The command cannot carry an argument that begins with a hyphen.
    #[serde(default)]
    pub cli_plain_args_only: bool,
    /// What a person must do besides.
    pub note: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    Json,
    Toml,
    Yaml,
}

/// How a file holds its servers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Servers {
    /// By name.
    #[default]
    Map,
    /// One after the other, each with its name inside.
    List,
}

/// One field of a server's entry. `{name}`, `{command}`, `{args}`, `{command_and_args}` and `{env}` stand for the
/// caller's values; a field of `{env}` is left out when there is none.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Field {
    pub key: String,
    pub value: toml::Value,
}

/// Where the configuration is; `~` is the home folder and a relative path starts at the project.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Files {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_linux: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_macos: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
}

impl Files {
    /// The file that serves all projects of this user, on the system this was built for.
    pub fn user(&self) -> Option<&str> {
        if cfg!(target_os = "macos") { self.user_macos.as_deref() } else { self.user_linux.as_deref() }
    }
}

/// A client as a list shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Summary {
    pub id: String,
    pub name: String,
    pub aliases: Vec<String>,
}

/// What to put where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Snippet {
    pub agent: String,
    pub name: String,
    /// The file for all projects of this user; absent where the program keeps it to itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The file for one project, relative to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project_file: Option<String>,
    pub format: Format,
    /// The whole file, if it held nothing else; otherwise merge it.
    pub text: String,
    /// The same as a command for a shell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command_line: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    pub docs_url: String,
}

/// The clients we know, by id.
pub fn agents() -> Vec<Summary> {
    AGENTS
        .iter()
        .map(|agent| Summary {
            id: agent.id.clone(),
            name: agent.name.clone(),
            aliases: agent.aliases.clone(),
        })
        .collect()
}

/// The client with this id or alias, in any case.
pub fn find_agent(id_or_alias: &str) -> Option<&'static Agent> {
    let name = id_or_alias.trim().to_ascii_lowercase();
    AGENTS.iter().find(|agent| agent.id == name || agent.aliases.contains(&name))
}

/// The text that makes this client start `command` with `args` and `env`.
///
/// `command` should be a full path: programs with a window rarely have the shell's PATH. Fails with
/// `invalid_input` when there is no such client.
pub fn snippet(agent_id: &str, command: &str, args: &[String], env: &[(String, String)]) -> Result<Snippet> {
    let agent = find_agent(agent_id).ok_or_else(unknown)?;
    let server = render::Server { name: SERVER_NAME, command, args, env };
    Ok(Snippet {
        agent: agent.id.clone(),
        name: agent.name.clone(),
        file: agent.files.user().map(str::to_owned),
        project_file: agent.files.project.clone(),
        format: agent.format,
        text: render::text(agent, &server),
        command_line: render::command_line(agent, &server),
        note: agent.note.clone(),
        docs_url: agent.docs_url.clone(),
    })
}

fn unknown() -> Error {
    let known: Vec<&str> = AGENTS.iter().map(|agent| agent.id.as_str()).collect();
    Error::new(Code::InvalidInput, "there is no client of that name")
        .next(format!("Use one of {}.", known.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_manifest_parses_and_is_named_after_its_id() {
        let mut count = 0;
        for file in FILES.files() {
            let agent: Agent = toml::from_str(file.contents_utf8().expect("text")).expect("a manifest");
            assert_eq!(file.path().file_stem().expect("a name"), agent.id.as_str());
            count += 1;
        }
        assert_eq!(count, agents().len());
    }

    #[test]
    fn no_id_or_alias_names_two_clients() {
        let mut seen = std::collections::HashSet::new();
        for agent in agents() {
            for name in std::iter::once(agent.id).chain(agent.aliases) {
                assert!(seen.insert(name.clone()), "{name} twice");
            }
        }
    }

    #[test]
    fn claude_is_claude_code() {
        assert_eq!(find_agent("Claude").expect("an alias").id, "claude-code");
    }

    #[test]
    fn an_unknown_client_is_answered_with_those_there_are() {
        let error = snippet("notepad", "/usr/bin/unsaid", &[], &[]).expect_err("unknown");

        assert!(error.next_step().contains("cursor"), "{}", error.next_step());
    }

    #[test]
    fn the_documentation_of_every_client_is_an_https_address() {
        for agent in AGENTS.iter() {
            assert_eq!(
                url::Url::parse(&agent.docs_url).expect("an address").scheme(),
                "https",
                "{}",
                agent.id
            );
            let somewhere =
                agent.files.user_linux.is_some() || agent.files.project.is_some() || agent.note.is_some();
            assert!(somewhere, "{} says neither a file nor what to do", agent.id);
        }
    }
}
