//! What a command works with: the configuration, the global flags, the open vault and the person who calls.
use super::confirm::AtTerminal;
use super::terminal::{self, Terminal};
use super::{Globals, output};
use crate::app::{App, Prompt};
use crate::config::Config;
use crate::error::{Code, Error, Result, internal};
use crate::ids::{OrgId, UserId};
use crate::model::access::{Caller, Door};
use crate::model::event::{Event, Outcome};
use crate::model::org::{Role, User};
use crate::ops::{self, Limits, Reply};
use crate::store::Reader;
use serde_json::{Map, Value};

/// Configuration and global flags.
pub struct Context {
    pub config: Config,
    /// Answers are JSON.
    pub json: bool,
    /// The org that `--org` names.
    pub org: Option<String>,
    /// The user that `--as` names.
    pub as_user: Option<String>,
    pub verbose: bool,
    /// The file mode mask that this process was started with: a program we start gets it back.
    pub umask: rustix::fs::Mode,
}

impl Context {
    /// Reads the configuration. Fails with `config_invalid`.
    pub fn load(globals: Globals, umask: rustix::fs::Mode) -> Result<Self> {
        let config = Config::load(&|name| std::env::var(name).ok())?;
        let Globals { json, org, as_user, verbose } = globals;
        Ok(Self { config, json, org, as_user, verbose, umask })
    }

    /// Opens the vault; asks for a passphrase only where there is a terminal to ask on.
    pub fn open(&self) -> Result<App> {
        let prompt: Prompt = Terminal::open().map(|_| terminal::passphrase as fn(&str) -> Result<_>);
        let app = App::open(self.config.clone(), prompt)?;
        app.store.keep_log_short();
        Ok(app)
    }

    /// Who calls: the local user of `unsaid.toml`, in the org that `--org` names, or whom an admin acts as.
    pub async fn caller(&self, app: &App) -> Result<Caller> {
        CallerOf { org: self.org.clone(), other: self.as_user.clone(), door: Door::Cli }.caller(app).await
    }

    /// The open vault and its caller.
    pub async fn session(&self) -> Result<Session> {
        let app = self.open()?;
        let caller = self.caller(&app).await?;
        Ok(Session { app, caller })
    }

    /// One call of one operation: opens the vault for it alone.
    pub async fn call(&self, operation: &str, arguments: Value) -> Result<Value> {
        self.session().await?.call(operation, arguments).await
    }

    /// Prints an operation's answer: as it is with `--json`, as `human` tells it otherwise.
    pub fn print(&self, answer: &Value, human: impl FnOnce(&Value) -> String) -> Result<()> {
        match self.json {
            true => output::put(&format!("{}\n", pretty(answer)?)),
            false => output::put(&human(answer)),
        }
    }
}

fn pretty(answer: &Value) -> Result<String> {
    serde_json::to_string_pretty(answer)
        .map_err(|e| internal("the answer could not be written as JSON").because(e))
}

/// An open vault with its caller.
pub struct Session {
    pub app: App,
    pub caller: Caller,
}

impl Session {
    /// Calls an operation through the same steps as every other door; asks on the terminal where it must.
    pub async fn call(&self, operation: &str, arguments: Value) -> Result<Value> {
        self.call_with(operation, arguments, false).await
    }

    /// As [`Session::call`]; `yes` answers the questions that a form could answer, and no others.
    pub async fn call_with(&self, operation: &str, arguments: Value, yes: bool) -> Result<Value> {
        let entry = ops::find_entry(operation)
            .ok_or_else(|| internal("a command names an operation there is not"))?;
        let limits = Limits::default();
        let confirmer = AtTerminal { yes };
        match ops::call(&self.app, &self.caller, entry, &limits, given(arguments)?, &confirmer).await? {
            Reply::Done(answer) => Ok(answer),
            Reply::AskFirst(_) => Err(internal("the terminal was asked to ask twice")),
        }
    }
}

/// The arguments that were given: an option that was left out is not there at all.
fn given(arguments: Value) -> Result<Map<String, Value>> {
    match arguments {
        Value::Object(mut map) => {
            map.retain(|_, value| !value.is_null());
            Ok(map)
        }
        _ => Err(internal("the arguments of an operation are no object")),
    }
}

/// Whose calls come in by a local door.
pub struct CallerOf {
    /// The org that `--org` names.
    pub org: Option<String>,
    /// The user that `--as` names.
    pub other: Option<String>,
    pub door: Door,
}

impl CallerOf {
    /// Whether it is the local user in their own org, whatever happens.
    pub fn is_oneself(&self) -> bool {
        self.org.is_none() && self.other.is_none()
    }

    /// The local user, or whom they act as. A refusal to act as somebody is written to the audit log.
    pub async fn caller(&self, app: &App) -> Result<Caller> {
        let identity = &app.config.file.identity;
        if identity.org.is_empty() || identity.user.is_empty() {
            return Err(Error::new(Code::NotInitialised, "unsaid.toml does not say who you are")
                .next("Run `unsaid init`, or restore the configuration folder of this vault."));
        }
        let home = OrgId::from(identity.org.as_str());
        let user = UserId::from(identity.user.as_str());
        let (org, other, door) = (self.org.clone(), self.other.clone(), self.door);
        let who = app
            .store
            .read_here(move |tx| Who::find(tx, home, user, org.as_deref(), other.as_deref(), door))
            .await?;
        match who {
            Who::Caller(caller) => Ok(*caller),
            Who::Refused(refusal) => {
                let Refusal { caller, event, error } = *refusal;
                app.store.write(&caller, move |tx| tx.record(event, ())).await?;
                Err(error)
            }
        }
    }
}

/// A refusal, with what the log keeps of it.
struct Refusal {
    caller: Caller,
    event: Event,
    error: Error,
}

/// The caller, or the refusal that is to be remembered first.
enum Who {
    Caller(Box<Caller>),
    Refused(Box<Refusal>),
}

impl Who {
    fn find(
        tx: &Reader<'_>,
        home: OrgId,
        user: UserId,
        org: Option<&str>,
        other: Option<&str>,
        door: Door,
    ) -> Result<Self> {
        let here = tx.user(&home, &user).map_err(|e| match e.code {
            Code::UserNotFound => {
                Error::new(Code::NotAllowed, "the user of unsaid.toml is not in this vault")
                    .next("Run `unsaid doctor`: the configuration may belong to another vault.")
            }
            _ => e,
        })?;
        let me = match org {
            None => here,
            Some(name) => in_org(tx, &here, name)?,
        };
        let mut caller = Caller::new(me.org_id.clone(), me.id.clone(), door);
        // Over another door the client says itself what it is.
        if door == Door::Cli {
            caller.client = concat!("unsaid/", env!("CARGO_PKG_VERSION")).into();
        }
        let Some(other) = other else { return Ok(Who::Caller(Box::new(caller))) };
        let shown = ops::reach::shown(other);
        if me.role != Role::Admin || me.disabled_at.is_some() {
            let error = Error::new(Code::NotAllowed, "only an admin of the org may act as another user");
            let whom =
                tx.user_named(&me.org_id, other).map_or_else(|_| "nobody here".into(), |them| them.id.0);
            let event = Event::of("act_as").ended(Outcome::Refused, error.code.name()).with("as", whom);
            return Ok(Who::Refused(Box::new(Refusal { caller, event, error })));
        }
        let them = tx.user_named(&me.org_id, other).map_err(|e| match e.code {
            Code::UserNotFound => {
                Error::new(Code::UserNotFound, format!("there is no user {shown} in this org"))
            }
            _ => e,
        })?;
        // By id: a login can be erased, and an entry of the log cannot.
        caller.client = format!("{door} as {} by {}", them.id, me.id);
        caller.user = them.id;
        Ok(Who::Caller(Box::new(caller)))
    }
}

/// The same person in another org. An org that they are not in does not exist for them.
fn in_org(tx: &Reader<'_>, me: &User, name: &str) -> Result<User> {
    let unknown = || {
        Error::new(Code::OrgNotFound, format!("there is no org {} that you are in", ops::reach::shown(name)))
    };
    let org =
        tx.orgs()?.into_iter().find(|org| org.name == name || org.id.as_str() == name).ok_or_else(unknown)?;
    if org.id == me.org_id {
        return Ok(me.clone());
    }
    tx.users(&org.id)?.into_iter().find(|user| user.login == me.login).ok_or_else(unknown)
}
