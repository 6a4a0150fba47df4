//! `unsaid mcp-config CLIENT`: the text that makes an MCP client start this server. It changes no file but with `--wrap`
//! and `--undo`.
use super::output::{Table, note, put};
use super::place::Place;
use super::{Context, Globals, wrap};
use crate::clock::{Clock as _, SystemClock};
use crate::config::Places;
use crate::error::{Code, Error, Result, internal, invalid};
use crate::services::agents::{self, Snippet};
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;

/// Print what an MCP client needs to start this server
#[derive(Args)]
#[command(after_help = "\
Examples:
  unsaid mcp-config             the clients there are
  unsaid mcp-config claude
  unsaid mcp-config vscode --read-only
  unsaid mcp-config --wrap ~/.cursor/mcp.json       take the plaintext out; shows a diff first
  unsaid mcp-config --undo ~/.cursor/mcp.json
  unsaid mcp-config --forget ~/.cursor/mcp.json     wipe the backup, which holds the plaintext")]
pub struct McpConfig {
    /// Which client: claude, cursor, vscode, zed, …; without one, they are listed
    client: Option<String>,
    /// Serve this vault, also where it is not the usual one (sets UNSAID_HOME)
    #[arg(long)]
    home: bool,
    /// Let the server answer questions and change nothing
    #[arg(long)]
    read_only: bool,
    /// Take the plaintext out of this client configuration: values into the vault, servers by `unsaid mcp`
    #[arg(long, value_name = "FILE", conflicts_with_all = ["home", "read_only", "undo", "forget"])]
    wrap: Option<PathBuf>,
    /// Put back what stood in this file before it was wrapped
    #[arg(long, value_name = "FILE", conflicts_with_all = ["client", "home", "read_only", "forget"])]
    undo: Option<PathBuf>,
    /// Wipe the backups of this file, which hold the plaintext
    #[arg(long, value_name = "FILE", conflicts_with_all = ["client", "home", "read_only"])]
    forget: Option<PathBuf>,
    /// With --wrap: where the values are kept: personal, team:NAME or org; asked where it is left out
    #[arg(long, value_name = "PLACE", requires = "wrap")]
    scope: Option<Place>,
    /// With --wrap: only these servers
    #[arg(long, value_name = "A,B", value_delimiter = ',', requires = "wrap")]
    servers: Vec<String>,
    /// With --wrap: another name for a credential. Repeatable
    #[arg(long = "name", value_name = "FROM=TO", requires = "wrap")]
    names: Vec<String>,
    /// With --wrap: show what would be done, and do nothing
    #[arg(long, requires = "wrap")]
    dry_run: bool,
}

impl McpConfig {
    /// Whether it changes a file, and needs the vault for it.
    pub fn needs_vault(&self) -> bool {
        self.wrap.is_some() || self.undo.is_some() || self.forget.is_some()
    }

    /// `--wrap`, `--undo`, `--forget`.
    pub async fn change(self, cx: &Context) -> Result<()> {
        if let Some(path) = &self.undo {
            return wrap::take_back(path, SystemClock.now());
        }
        if let Some(path) = &self.forget {
            return wrap::forget_all(path);
        }
        let Some(file) = self.wrap else { return Err(internal("nothing is asked for")) };
        let program = program()?;
        let program = program.to_str().ok_or_else(|| invalid("the path of this program is not UTF-8"))?;
        let wrap = wrap::Wrap {
            file,
            client: self.client,
            scope: self.scope,
            only: self.servers,
            names: self.names,
            dry_run: self.dry_run,
        };
        wrap.run(cx, program).await
    }

    pub fn run(self, globals: &Globals) -> Result<ExitCode> {
        let text = match &self.client {
            None if globals.json => pretty(&agents::agents())?,
            None => list(),
            Some(client) => {
                let snippet = self.snippet(client, globals)?;
                match globals.json {
                    true => pretty(&snippet)?,
                    false => told(&snippet),
                }
            }
        };
        put(&text)?;
        Ok(ExitCode::SUCCESS)
    }

    fn snippet(&self, client: &str, globals: &Globals) -> Result<Snippet> {
        let program = program()?;
        let program = program.to_str().ok_or_else(|| invalid("the path of this program is not UTF-8"))?;
        let mut args = vec!["serve".to_owned()];
        args.extend(self.read_only.then(|| "--read-only".to_owned()));
        for (flag, value) in [("--org", &globals.org), ("--as", &globals.as_user)] {
            args.extend(value.iter().flat_map(|value| [flag.to_owned(), value.clone()]));
        }
        let env = match (self.home, std::env::var("UNSAID_HOME").ok().filter(|home| !home.is_empty())) {
            (_, Some(home)) => {
                // A client does not hand its shell's variables on: without this it would serve another vault.
                Places::find(&|name| (name == "UNSAID_HOME").then(|| home.clone()))?;
                vec![("UNSAID_HOME".to_owned(), home)]
            }
            (true, None) => {
                return Err(Error::new(
                    Code::InvalidInput,
                    "UNSAID_HOME is not set, so this is the usual vault",
                )
                .next("Leave --home out."));
            }
            (false, None) => Vec::new(),
        };
        agents::snippet(client, program, &args, &env)
    }
}

/// This program where it lies, as it was called: the target of a link changes with every update.
fn program() -> Result<PathBuf> {
    let real =
        std::env::current_exe().map_err(|e| internal("the path of this program is not known").because(e))?;
    let called =
        std::env::args_os().next().map(PathBuf::from).filter(|path| path.is_absolute() && path.exists());
    Ok(called.unwrap_or(real))
}

fn pretty(value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string_pretty(value)
        .map(|text| text + "\n")
        .map_err(|e| internal("the answer could not be written as JSON").because(e))
}

fn list() -> String {
    let mut table = Table::new(&["CLIENT", "NAME", "ALSO"]);
    for agent in agents::agents() {
        table.row([agent.id, agent.name, agent.aliases.join(", ")]);
    }
    table.text("")
}

/// The snippet alone on standard output, so that it can be redirected; what a person must know beside it.
fn told(snippet: &Snippet) -> String {
    note(&format!("{}: put this into its configuration", snippet.name));
    for (what, text) in [
        ("for all projects", &snippet.file),
        ("for one project", &snippet.project_file),
        ("or run", &snippet.command_line),
        ("note", &snippet.note),
    ] {
        if let Some(text) = text {
            note(&format!("  {what}: {text}"));
        }
    }
    let mut text = snippet.text.clone();
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}
