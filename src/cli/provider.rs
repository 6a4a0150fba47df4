//! `unsaid provider`: the org's OAuth clients. A client secret is typed past the model, never an argument.
use super::output::{Table, at, items, line, pairs, when};
use super::usage::secret_on_the_command_line;
use super::value::{Given, Origin, nobody_to_ask};
use super::{Context, Session};
use crate::error::{Code, Error, Result, internal, invalid};
use crate::model::provider::ClientAuth;
use crate::ops::provider::set_secret;
use crate::secret::Secret;
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};
use std::ffi::OsString;

/// Administer OAuth providers and enter their client secrets
#[derive(Args)]
#[command(after_help = "\
Examples:
  unsaid provider create --service github --client-id Iv1.0123
  unsaid provider secret github
  unsaid provider list")]
pub struct Provider {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// List the providers
    List {
        /// Only those of this service
        #[arg(long)]
        service: Option<String>,
    },
    /// Show one provider
    Show {
        /// Name or id
        provider: String,
    },
    /// Make a provider; endpoints of your own ask for a challenge on the terminal
    Create {
        /// What it is called; the service where it is left out
        #[arg(long)]
        name: Option<String>,
        /// A service of the catalogue, whose endpoints are taken over
        #[arg(long)]
        service: Option<String>,
        #[command(flatten)]
        settings: Settings,
    },
    /// Change a provider; new endpoints ask for a challenge, and for the client secret once more
    Update {
        /// Name or id
        provider: String,
        /// Give it another name
        #[arg(long, value_name = "NAME")]
        rename: Option<String>,
        #[command(flatten)]
        settings: Settings,
    },
    /// Enter a provider's client secret; nothing is shown while you type
    Secret {
        /// Name or id
        provider: String,
        #[command(flatten)]
        given: Given,
        /// A secret does not belong here
        #[arg(hide = true, num_args = 0..)]
        misplaced: Vec<OsString>,
    },
    /// Delete a provider that nothing uses any more
    Delete {
        /// Name or id
        provider: String,
        /// Why, for the audit log
        #[arg(long)]
        reason: Option<String>,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}

#[derive(Args)]
struct Settings {
    /// The client id that the service gave out
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,
    /// How the client proves itself at the token endpoint
    #[arg(long, value_name = "HOW")]
    client_auth: Option<ClientAuth>,
    /// A scope to ask for; repeatable
    #[arg(long = "oauth-scope", value_name = "SCOPE")]
    scopes: Option<Vec<String>>,
    /// What the service's addresses need, as host=git.example.com; repeatable
    #[arg(long = "param", value_name = "NAME=VALUE")]
    params: Vec<String>,
    /// An address of your own, as token_url=https://…; repeatable
    #[arg(long = "endpoint", value_name = "NAME=URL")]
    endpoints: Vec<String>,
    /// Where the service sends people back to
    #[arg(long, value_name = "URL")]
    callback_url: Option<String>,
    /// Why, for the audit log
    #[arg(long)]
    reason: Option<String>,
}

/// The longest client secret, bytes.
const MOST_SECRET: usize = 4096;

impl Provider {
    pub async fn run(self, cx: &Context) -> Result<()> {
        let session = cx.session().await?;
        match self.action {
            Action::List { service } => cx.print(&all(&session, service.as_deref()).await?, told),
            Action::Show { provider } => cx.print(&one(&session, &provider).await?, detail),
            Action::Create { name, service, settings } => {
                let mut arguments = settings.arguments()?;
                arguments.insert("name".into(), json!(name));
                arguments.insert("service".into(), json!(service));
                answer(cx, &session.call("create_oauth_provider", Value::Object(arguments)).await?)
            }
            Action::Update { provider, rename, settings } => {
                let mut arguments = settings.arguments()?;
                arguments.insert("provider".into(), json!(provider));
                arguments.insert("new_name".into(), json!(rename));
                answer(cx, &session.call("update_oauth_provider", Value::Object(arguments)).await?)
            }
            Action::Secret { provider, given, misplaced } => {
                if !misplaced.is_empty() {
                    return Err(secret_on_the_command_line("the client secret stood on the command line"));
                }
                let secret = secret(&provider, &given)?;
                let done = set_secret(&session.app, &session.caller, &provider, secret).await?;
                answer(
                    cx,
                    &serde_json::to_value(&done).map_err(|e| internal("the answer is no JSON").because(e))?,
                )
            }
            Action::Delete { provider, reason, yes } => {
                let arguments = json!({ "provider": provider, "reason": reason });
                let gone = session.call_with("delete_oauth_provider", arguments, yes).await?;
                cx.print(&gone, |a| line(&format!("provider {} is deleted", at(a, "/name"))))
            }
        }
    }
}

impl Settings {
    fn arguments(self) -> Result<Map<String, Value>> {
        let mut map = Map::new();
        map.insert("client_id".into(), json!(self.client_id));
        map.insert("client_auth".into(), json!(self.client_auth));
        map.insert("scopes".into(), json!(self.scopes));
        map.insert("callback_url".into(), json!(self.callback_url));
        map.insert("reason".into(), json!(self.reason));
        for (name, given) in [("params", self.params), ("endpoints", self.endpoints)] {
            if !given.is_empty() {
                map.insert(name.into(), Value::Object(assignments(&given)?));
            }
        }
        Ok(map)
    }
}

fn assignments(given: &[String]) -> Result<Map<String, Value>> {
    let split = |text: &String| match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), Value::from(value))),
        _ => Err(invalid("write it as NAME=VALUE")),
    };
    given.iter().map(split).collect()
}

fn secret(provider: &str, given: &Given) -> Result<Secret> {
    let origin = given.origin();
    if origin == Origin::Terminal && super::terminal::Terminal::open().is_none() {
        return Err(nobody_to_ask());
    }
    let typed = origin.read(&format!("Client secret of {provider} (nothing is shown)"), MOST_SECRET)?;
    typed.expose(|bytes| match std::str::from_utf8(bytes) {
        // A client secret has no line end; the one at the end of a file is the file's.
        Ok(text) => Ok(Secret::new(text.trim_end_matches(['\r', '\n']).to_owned())),
        Err(_) => Err(invalid("the client secret is not UTF-8")),
    })
}

async fn all(session: &Session, service: Option<&str>) -> Result<Value> {
    let mut rows: Vec<Value> = Vec::new();
    let mut cursor = Value::Null;
    loop {
        let page =
            session.call("list_oauth_providers", json!({ "service": service, "cursor": cursor })).await?;
        rows.extend(items(&page, "/providers").iter().cloned());
        cursor = page["next_cursor"].clone();
        if cursor.is_null() {
            return Ok(json!({ "providers": rows }));
        }
    }
}

async fn one(session: &Session, wanted: &str) -> Result<Value> {
    let list = all(session, None).await?;
    let found = items(&list, "/providers").iter().find(|p| p["name"] == wanted || p["id"] == wanted);
    let missing = || {
        let shown = crate::ops::reach::shown(wanted);
        Error::new(Code::ProviderNotFound, format!("there is no provider {shown}"))
            .next("Run `unsaid provider list` to see those there are.")
    };
    found.cloned().ok_or_else(missing)
}

fn told(answer: &Value) -> String {
    let mut table = Table::new(&["NAME", "SERVICE", "CLIENT ID", "SECRET", "SCOPES", "ID"]);
    for p in items(answer, "/providers") {
        let secret = match p.pointer("/setup/has_secret") {
            Some(Value::Bool(true)) => "entered",
            Some(Value::Bool(false)) => "missing",
            _ => "",
        };
        table.row([
            at(p, "/name"),
            at(p, "/service"),
            at(p, "/setup/client_id"),
            secret.to_owned(),
            at(p, "/scopes"),
            at(p, "/id"),
        ]);
    }
    table.text("There is no provider. Make one with `unsaid provider create`.")
}

fn detail(p: &Value) -> String {
    pairs(&[
        ("name", at(p, "/name")),
        ("id", at(p, "/id")),
        ("service", at(p, "/service")),
        ("client id", at(p, "/setup/client_id")),
        ("client auth", at(p, "/setup/client_auth")),
        ("secret set", when(p, "/setup/secret_set_at")),
        ("scopes", at(p, "/scopes")),
        ("authorization", at(p, "/setup/endpoints/authorization_url")),
        ("token", at(p, "/setup/endpoints/token_url")),
        ("callback", at(p, "/setup/callback_url")),
        ("preset", at(p, "/setup/is_preset")),
    ])
}

fn answer(cx: &Context, answer: &Value) -> Result<()> {
    cx.print(answer, |a| {
        let mut text = a.get("provider").map(detail).unwrap_or_default();
        for (path, word) in [("/warnings", "warning"), ("/next", "next")] {
            for one in items(a, path) {
                text.push_str(&line(&format!("{word}: {}", one.as_str().unwrap_or_default())));
            }
        }
        text
    })
}
