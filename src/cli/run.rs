//! `unsaid run -- cmd …`: hands values to a program's environment and masks them in its output.
use super::launch::{self, Bundle};
use super::output::note;
use super::terminal::{Terminal, needs_terminal};
use super::watching::{Reaction, Watching};
use super::{Context, project};
use crate::app::App;
use crate::error::{Code, Error, Result, invalid};
use crate::inject::{Delivery, Injected, Masking};
use crate::model::credential::Environment;
use crate::ops::hand_over::{HandOver, Handed, Wanting, hand_over, holding};
use clap::Args;
use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;

const EXAMPLES: &str = "\
Without --only and --all the names come from the nearest .unsaid.toml at or above this folder:
  [run]
  only = [\"GITHUB_TOKEN\", \"DATABASE_URL\"]
  env = \"dev\"

Names resolve to your personal value, then your team's, then the org's. If one is missing, nothing is started.

Examples:
  unsaid run --only GITHUB_TOKEN -- gh pr list
  unsaid run --env prod -- ./deploy.sh
  unsaid run --only GCP_KEY --file GCP_KEY -- ./upload
  unsaid run --consumer nightly -- ./nightly.sh
  unsaid run --only TLS_KEY --file TLS_KEY --watch=HUP -- nginx -g 'daemon off;'";

/// Run a program with values in its environment, and mask them in its output
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Run {
    /// The names of the credentials to hand over
    #[arg(long, value_name = "A,B", value_delimiter = ',', conflicts_with = "all")]
    only: Vec<String>,
    /// Hand over every credential that you may use
    #[arg(long)]
    all: bool,
    /// Leave these out of --all
    #[arg(long, value_name = "A,B", value_delimiter = ',', requires = "all")]
    except: Vec<String>,
    /// Take the credential of this account where there are several
    #[arg(long)]
    account: Option<String>,
    /// Take the credential of this deployment: prod, staging or dev
    #[arg(long, value_name = "ENV")]
    env: Option<Environment>,
    /// Take this team's credential where several of your teams have one
    #[arg(long, value_name = "TEAM")]
    team: Option<String>,
    /// Put this credential's value into a file, and the file's path into the variable. Repeatable
    #[arg(long = "file", value_name = "NAME")]
    files: Vec<String>,
    /// Do not mask the output; asks for a challenge on the terminal
    #[arg(long)]
    no_mask: bool,
    /// Hand over what this consumer is bound to, and nothing else
    #[arg(long, value_name = "NAME", conflicts_with_all = ["only", "all", "account", "env", "team", "files"])]
    consumer: Option<String>,
    /// While it runs, pick up what is replaced in the vault: restart, or a signal (HUP, USR1, USR2) after its files were
    /// renewed
    #[arg(long, value_name = "HOW", num_args = 0..=1, require_equals = true, default_missing_value = "restart")]
    watch: Option<Reaction>,
    /// The program and its arguments; a consumer may have its own
    #[arg(last = true, required_unless_present = "consumer", value_name = "CMD")]
    command: Vec<OsString>,
}

impl Run {
    pub fn run(self, cx: &Context) -> Result<ExitCode> {
        launch::expect_oneself(cx)?;
        let masking = self.masking()?;
        if let Some(consumer) = self.consumer {
            return launch::run_consumer(cx, None, &consumer, &self.command, masking, self.watch);
        }
        loop {
            let runtime = super::runtime()?;
            let app = cx.open()?;
            let wanted = self.wanted(&app)?;
            let asked = wanted.clone();
            let (handed, strip, caller) = runtime.block_on(async {
                let caller = cx.caller(&app).await?;
                let slots = app.store.read_here(|tx| tx.slots()).await?;
                Ok::<_, Error>((hand_over(&app, &caller, asked).await?, launch::ours(&slots), caller))
            })?;
            drop(runtime);
            let held = holding(&handed);
            let is_signalled = matches!(self.watch, Some(Reaction::Signal(_)));
            if is_signalled && self.files.is_empty() && handed.iter().all(|one| one.file_name.is_none()) {
                note(
                    "none of the values is in a file: after the signal it still has the old ones (--file NAME puts one there)",
                );
            }
            let mut bundle =
                Bundle { injected: self.deliveries(handed)?, plain: Vec::new(), strip, control: None };
            let watching = match self.watch {
                None => {
                    drop(app);
                    None
                }
                Some(reaction) => {
                    let wanting = Wanting::Names(wanted);
                    let (watching, control) =
                        Watching::start(Arc::new(app), caller, wanting, held, reaction)?;
                    bundle.control = Some(control);
                    Some(watching)
                }
            };
            // Without a watcher the vault is closed by now, however long the program runs.
            let ended = launch::start(cx, self.command.clone(), bundle, masking)?;
            if !launch::starts_again(watching, &ended) {
                return Ok(launch::exit_code(&ended));
            }
        }
    }

    fn masking(&self) -> Result<Masking> {
        if !self.no_mask {
            return Ok(Masking::On);
        }
        let terminal = Terminal::open().ok_or_else(|| {
            needs_terminal("--no-mask asks for a challenge, and there is no terminal to ask on")
                .next("Run it in a terminal of your own, or leave --no-mask out.")
        })?;
        terminal.tell("The program's output will be shown as it is, also where it holds a secret.\n");
        match terminal.passes_challenge()? {
            true => Ok(Masking::Off),
            false => Err(Error::new(Code::ChallengeFailed, "the challenge was not typed as shown")),
        }
    }

    /// What is asked for: by the command line, else by the project's file.
    fn wanted(&self, app: &App) -> Result<HandOver> {
        let named = |names: &[String]| -> Vec<String> {
            names.iter().map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()
        };
        let mut wanted = HandOver {
            names: named(&self.only),
            all: self.all,
            except: named(&self.except),
            account: self.account.clone(),
            environment: self.env,
            team: self.team.clone(),
            command: launch::program_name(&self.command),
        };
        if !wanted.all && wanted.names.is_empty() {
            let here = std::env::current_dir().map_err(|e| invalid("this folder is gone").because(e))?;
            let Some((path, project)) = project::find(&here, &app.detector)? else {
                // Who says which file to make has named what goes into it.
                if !self.files.is_empty() {
                    wanted.names = named(&self.files);
                    return Ok(wanted);
                }
                return Err(invalid(
                    "no credential is named, and there is no .unsaid.toml at or above this folder",
                )
                .next("Name some with --only A,B, write them into .unsaid.toml, or say --all."));
            };
            if project.run.only.is_empty() {
                return Err(invalid(format!("{} names no credential", path.display()))
                    .next("Write [run] and only = [\"NAME\", …] into it, or say --only A,B."));
            }
            tracing::info!(file = %path.display(), "the names come from a project's file");
            wanted.names = project.run.only.into_iter().map(String::from).collect();
            wanted.account = wanted.account.or(project.run.account);
            wanted.environment = wanted.environment.or(project.run.env);
        }
        Ok(wanted)
    }

    fn deliveries(&self, handed: Vec<Handed>) -> Result<Vec<Injected>> {
        let as_file = |one: &Handed| {
            self.files
                .iter()
                .any(|name| name.eq_ignore_ascii_case(&one.variable) || name.eq_ignore_ascii_case(&one.label))
        };
        let unused = self.files.iter().find(|name| {
            !handed
                .iter()
                .any(|one| name.eq_ignore_ascii_case(&one.variable) || name.eq_ignore_ascii_case(&one.label))
        });
        if unused.is_some() {
            return Err(invalid("--file names a credential that is not handed over")
                .next("Name it in --only or .unsaid.toml too."));
        }
        let deliver = |one: Handed| {
            let file_name = match (&one.file_name, as_file(&one)) {
                (Some(name), _) => Some(name.clone()),
                (None, true) => Some(one.variable.to_ascii_lowercase()),
                (None, false) => None,
            };
            let delivery = match file_name {
                Some(file_name) => Delivery::File { file_name },
                None => Delivery::Environment,
            };
            Injected { variable: one.variable, label: one.label, value: one.value, delivery }
        };
        Ok(handed.into_iter().map(deliver).collect())
    }
}
