//! The command line: each command is the same operation as its tool, asked for by a person.
//!
//! `clap` appears only here. A command parses, asks on the terminal, calls an operation and shows its answer;
//! it holds no rule of its own.
mod approve;
mod audit;
mod backup;
mod binding;
mod broker;
mod canary;
pub mod client_file;
mod completions;
mod confirm;
mod connect;
mod consumer;
mod consumer_set;
pub mod context;
mod doctor;
mod edit;
mod import;
mod init;
mod key;
mod launch;
mod lending;
mod list;
mod log;
mod mcp;
mod mcp_config;
mod open;
mod org;
mod output;
mod phrase;
mod place;
mod policy;
mod project;
mod provider;
mod purge;
mod remote;
mod report;
mod restore;
mod restore_backup;
mod rm;
mod rotate;
mod run;
mod scan;
mod serve;
mod serve_http;
mod service;
mod set;
mod share;
mod show;
mod status;
mod team;
pub mod terminal;
mod token;
mod typed;
mod unshare;
mod usage;
mod user;
mod value;
mod watching;
mod wrap;
mod wrap_into;

pub use context::{Context, Session};

use crate::error::{Code, Error, Kind, Result, internal};
use crate::telemetry;
use clap::{Args, Parser, Subcommand};
use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

/// Keep the credentials that your agents use, and never see.
#[derive(Parser)]
#[command(name = "unsaid", version, max_term_width = 100, after_help = EXAMPLES)]
struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  unsaid init                              make a vault, and yourself its first admin
  unsaid mcp-config claude                 what to put where, so that an assistant finds it
  unsaid set GITHUB_TOKEN                  enter a value; nothing is shown while you type
  unsaid run --only GITHUB_TOKEN -- gh pr list
  unsaid approve                           see what waits for your yes

Exit codes: 0 done · 2 wrong input · 3 denied · 4 not found · 5 conflict · 6 limit · 7 unavailable ·
70 internal. `unsaid scan` ends with 1 where it found something. `unsaid run` passes its command's own status on, and fails with 125 to 127 itself.";

/// What a shell sees when `unsaid run` itself fails (env(1)).
const RUN_FAILED: u8 = 125;

/// What every command understands.
#[derive(Args, Clone, Debug, Default)]
pub struct Globals {
    /// Answer in JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// Work in another org of this vault (name or id)
    #[arg(long, global = true, value_name = "NAME")]
    pub org: Option<String>,
    /// Act as another user; for admins, and written to the audit log
    #[arg(long = "as", global = true, value_name = "USER")]
    pub as_user: Option<String>,
    /// Log what happens on standard error (or set UNSAID_LOG=debug)
    #[arg(long, global = true)]
    pub verbose: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Make a vault on this machine
    Init(init::Init),
    /// Serve the vault to an MCP client over standard input and output
    Serve(serve::Serve),
    /// Tell who you are here and what needs attention
    Status(status::Status),
    /// List credentials
    #[command(visible_alias = "ls")]
    List(list::List),
    /// Show everything about one credential but its value
    Show(show::Show),
    /// Enter a value; makes the credential if it is not there
    Set(set::Set),
    /// Change a credential's description, tags, expiry, place and the like
    Edit(edit::Edit),
    /// Move a credential to the bin; what uses it stops working
    Rm(rm::Rm),
    /// Connect a credential of type oauth, or connect it again in place
    Connect(connect::Connect),
    /// End a connection, here and at the service
    Disconnect(connect::Disconnect),
    /// Get new tokens for a connection now
    Refresh(connect::Refresh),
    /// Ask its service whether a credential still works, and whose it is
    Test(connect::Test),
    /// Replace a value step by step, with a way back
    Rotate(Box<rotate::Rotate>),
    /// Say whether a consumer works with what it was handed
    Report(report::Report),
    /// Bring a credential back from the bin
    Restore(restore::Restore),
    /// Destroy a credential of the bin for good
    Purge(purge::Purge),
    /// Let a user, a team or a consumer use, see or manage a credential
    Share(share::Share),
    /// Take a user's or team's right to a credential away
    Unshare(unshare::Unshare),
    /// Run a program with values in its environment, and mask them in its output
    Run(run::Run),
    /// Start a registered MCP server with its credentials, and mask them in what it answers
    Mcp(mcp::Mcp),
    /// Add credentials to the requests of consumers, which never hold them
    Broker(broker::Broker),
    /// See, grant or decline what an assistant asked for
    Approve(approve::Approve),
    /// Find out where values of the vault stand in files, histories and transcripts
    Scan(scan::Scan),
    /// Mark credentials that nothing should use, and see who used one
    Canary(canary::Canary),
    /// Read, check and export the audit log
    Log(log::Log),
    /// Take over what a .env file, a password manager's export or a secret store's JSON holds
    Import(import::Import),
    /// Write an encrypted backup of the vault
    Backup(backup::Backup),
    /// Restore a backup to a new place
    RestoreBackup(restore_backup::RestoreBackup),
    /// Sign a browser in to the pages of a running server, once
    Open(open::Open),
    /// List the orgs of this vault, or make another
    Org(org::Org),
    /// Show or change what the org allows
    Policy(policy::Policy),
    /// Administer the people of the org
    User(user::User),
    /// Administer teams and who is in them
    Team(team::Team),
    /// Make, list and revoke the tokens that clients and browsers show
    Token(token::Token),
    /// Administer what uses credentials: agents, MCP servers, workflows, integrations
    Consumer(consumer::Consumer),
    /// Administer OAuth providers and enter their client secrets
    Provider(provider::Provider),
    /// Look up a service: its keys, how to rotate them, who uses it
    Service(service::Service),
    /// Find what is wrong with credentials and consumers, and what to do about it
    Audit(audit::Audit),
    /// Administer the ways in which the vault is unlocked
    Key(key::Key),
    /// Print what an MCP client needs to start this server
    McpConfig(mcp_config::McpConfig),
    /// Check the vault and say what to do
    Doctor(doctor::Doctor),
    /// Print completions for a shell
    Completions(completions::Completions),
}

/// Runs the command of `args` and returns what the shell is to see. `umask` is the one we were started with.
pub fn main(args: Vec<OsString>, umask: rustix::fs::Mode) -> ExitCode {
    let asks_for_run = matches!(usage::subcommand(&args), Some("run" | "mcp"));
    let status_of = |code: u8| if asks_for_run { RUN_FAILED } else { code };
    let cli = match Cli::try_parse_from(&args) {
        Ok(cli) => cli,
        Err(e) => return usage::answer(e, &args, status_of),
    };
    let json = cli.globals.json;
    telemetry::start(telemetry::level(std::env::var("UNSAID_LOG").ok().as_deref(), cli.globals.verbose));
    // What a panic leaves half done is dropped with it: the process ends.
    let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| cli.start(umask)));
    match ended {
        Ok(Ok(code)) => code,
        Ok(Err(e)) if output::reader_is_gone() && e.code == Code::Cancelled => ExitCode::SUCCESS,
        Ok(Err(e)) => {
            log_cause(&e);
            report(&e, json);
            ExitCode::from(if asks_for_run { crate::inject::exit_code(&e) } else { e.kind().exit_code() })
        }
        // The panic hook has told where it was.
        Err(_) => ExitCode::from(status_of(Kind::Internal.exit_code())),
    }
}

impl Cli {
    fn start(self, umask: rustix::fs::Mode) -> Result<ExitCode> {
        let context = |globals| Context::load(globals, umask);
        let globals = self.globals;
        match self.command {
            // These need no vault, so a broken configuration does not stop them.
            Command::Completions(command) => command.run(&mut <Cli as clap::CommandFactory>::command()),
            Command::McpConfig(command) if !command.needs_vault() => command.run(&globals),
            // The child is started after the runtime is gone: one thread, and nothing in its way.
            Command::Run(command) => command.run(&context(globals)?),
            Command::Mcp(command) => command.run(&context(globals)?),
            // What it found is its status.
            Command::Scan(command) => runtime()?.block_on(command.run(&context(globals)?)),
            command => {
                let cx = context(globals)?;
                let runtime = match &command {
                    Command::Serve(serve) if serve.is_for_many() => many_threads()?,
                    Command::Broker(_) => many_threads()?,
                    _ => runtime()?,
                };
                let done = runtime.block_on(command.run(&cx));
                // A thread may still be waiting for standard input: nothing is left to wait for.
                runtime.shutdown_background();
                done.map(|()| ExitCode::SUCCESS)
            }
        }
    }
}

impl Command {
    async fn run(self, cx: &Context) -> Result<()> {
        match self {
            Command::Init(command) => command.run(cx).await,
            Command::Serve(command) => command.run(cx).await,
            Command::Status(command) => command.run(cx).await,
            Command::List(command) => command.run(cx).await,
            Command::Show(command) => command.run(cx).await,
            Command::Set(command) => command.run(cx).await,
            Command::Edit(command) => command.run(cx).await,
            Command::Rm(command) => command.run(cx).await,
            Command::Connect(command) => command.run(cx).await,
            Command::Disconnect(command) => command.run(cx).await,
            Command::Refresh(command) => command.run(cx).await,
            Command::Test(command) => command.run(cx).await,
            Command::Rotate(command) => command.run(cx).await,
            Command::Report(command) => command.run(cx).await,
            Command::Restore(command) => command.run(cx).await,
            Command::Purge(command) => command.run(cx).await,
            Command::Share(command) => command.run(cx).await,
            Command::Unshare(command) => command.run(cx).await,
            Command::Approve(command) => command.run(cx).await,
            Command::Canary(command) => command.run(cx).await,
            Command::Log(command) => command.run(cx).await,
            Command::Import(command) => command.run(cx).await,
            Command::Backup(command) => command.run(cx).await,
            Command::RestoreBackup(command) => command.run(cx).await,
            Command::Open(command) => command.run(cx).await,
            Command::Token(command) => command.run(cx).await,
            Command::Org(command) => command.run(cx).await,
            Command::Policy(command) => command.run(cx).await,
            Command::User(command) => command.run(cx).await,
            Command::Team(command) => command.run(cx).await,
            Command::Broker(command) => command.run(cx).await,
            Command::Consumer(command) => command.run(cx).await,
            Command::Provider(command) => command.run(cx).await,
            Command::Service(command) => command.run(cx).await,
            Command::Audit(command) => command.run(cx).await,
            Command::Key(command) => command.run(cx).await,
            Command::Doctor(command) => command.run(cx).await,
            Command::McpConfig(command) => command.change(cx).await,
            Command::Run(_) | Command::Mcp(_) | Command::Scan(_) | Command::Completions(_) => {
                Err(internal("a command was sent the wrong way"))
            }
        }
    }
}

/// A runtime on this thread alone.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| internal("the runtime could not be started").because(e))
}

/// A runtime on as many threads as there are processors.
fn many_threads() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| internal("the runtime could not be started").because(e))
}

/// The cause goes to the log and nowhere else.
fn log_cause(e: &Error) {
    if let Some(cause) = std::error::Error::source(e) {
        tracing::debug!(code = e.code.name(), %cause, "the cause");
    }
}

/// Shows a failure on standard error.
fn report(e: &Error, json: bool) {
    let text = if json {
        format!("{}\n", e.to_json())
    } else {
        let show = telemetry::escaped;
        let mut text = format!(
            "error[{}]: {}\nnext: {}\n",
            e.code.name(),
            show(e.message()),
            show(&phrase::for_people(e.next_step()))
        );
        for (name, fact) in e.details().iter().filter(|(name, _)| *name == "approval_id") {
            text.push_str(&format!("{name}: {}\n", show(fact)));
        }
        text
    };
    // Where standard error is gone there is nobody to tell.
    let _ = std::io::stderr().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_parses_and_its_help_opens_with_an_imperative() {
        let mut cli = <Cli as clap::CommandFactory>::command();
        cli.build();
        cli.clone().debug_assert();

        let mut names: Vec<_> = cli.get_subcommands().map(|c| c.get_name().to_owned()).collect();
        names.retain(|name| name != "help");

        assert_eq!(
            names.join(" "),
            "init serve status list show set edit rm connect disconnect refresh test rotate report restore purge share unshare run mcp broker approve scan canary log import backup \
             restore-backup open org policy user team token consumer provider service audit key mcp-config doctor completions"
        );
        for command in cli.get_subcommands() {
            let about = command.get_about().expect("every command says what it does").to_string();
            assert!(about.starts_with(char::is_uppercase) && !about.ends_with('.'), "{about}");
        }
    }
}
