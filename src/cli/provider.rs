//! `unsaid provider`: the org's OAuth clients, and the way in for their secrets.
use super::Context;
use super::output::{self, Table, at, items, line};
use super::usage::secret_on_the_command_line;
use super::value::{Given, nobody_to_ask};
use crate::error::{Result, internal, invalid};
use crate::model::connection::GrantKind;
use crate::model::provider::ClientAuth;
use crate::ops::provider::set_secret;
use crate::secret::Secret;
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

/// The longest client secret that is read, bytes.
const MOST: usize = 4096;

/// Administer OAuth providers and enter their client secrets
#[derive(Args)]
#[command(after_help = "\
Examples:
  unsaid provider add --service github --client-id Iv1.example
  unsaid provider secret github
  unsaid provider add --name intranet --client-id app --auth-url https://id.example.com/authorize \\
         --token-url https://id.example.com/token")]
pub struct Provider {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// List the providers of the org
    List,
    /// Add an OAuth client of the org at a service
    Add {
        /// What people call it; the service's id where it is left out
        #[arg(long)]
        name: Option<String>,
        /// Service of the catalogue, such as github: fills the addresses
        #[arg(long)]
        service: Option<String>,
        /// The client id that the service gave; left out with --issuer, the client registers itself
        #[arg(long, required_unless_present = "issuer")]
        client_id: Option<String>,
        /// Whose metadata gives the addresses (RFC 8414, OpenID Connect)
        #[arg(long, value_name = "URL", conflicts_with = "service")]
        issuer: Option<String>,
        /// client_credentials where the client is the account and no person consents
        #[arg(long, value_name = "GRANT")]
        grant: Option<GrantKind>,
        #[command(flatten)]
        settings: Settings,
    },
    /// Change a provider; a changed address voids its client secret
    Edit {
        /// Name or id
        provider: String,
        #[arg(long)]
        new_name: Option<String>,
        #[arg(long)]
        client_id: Option<String>,
        #[command(flatten)]
        settings: Settings,
    },
    /// Enter the client secret; nothing is shown while you type
    Secret {
        /// Name or id
        provider: String,
        #[command(flatten)]
        given: Given,
        /// A secret does not belong here
        #[arg(hide = true, num_args = 0..)]
        misplaced: Vec<std::ffi::OsString>,
    },
    /// Delete a provider that nothing is bound to
    Rm {
        /// Name or id
        provider: String,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}

#[derive(Args)]
struct Settings {
    /// A scope to ask for. Repeatable
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,
    /// What the service's addresses need, as host=git.example.com. Repeatable
    #[arg(long = "param", value_name = "NAME=VALUE")]
    params: Vec<String>,
    /// How the client proves itself: basic, post or none
    #[arg(long, value_name = "HOW")]
    client_auth: Option<ClientAuth>,
    /// Where the service sends people back to
    #[arg(long, value_name = "URL")]
    callback_url: Option<String>,
    #[arg(long, value_name = "URL")]
    auth_url: Option<String>,
    #[arg(long, value_name = "URL")]
    token_url: Option<String>,
    #[arg(long, value_name = "URL")]
    revocation_url: Option<String>,
    #[arg(long, value_name = "URL")]
    userinfo_url: Option<String>,
    #[arg(long, value_name = "URL")]
    device_url: Option<String>,
    /// What the tokens are for (RFC 8707)
    #[arg(long, value_name = "URL")]
    resource: Option<String>,
    /// Why, for the log
    #[arg(long)]
    reason: Option<String>,
}

impl Settings {
    /// The arguments that were given; a list that was not is left out, so that an edit keeps what is there.
    fn arguments(self) -> Result<Map<String, Value>> {
        let mut params = Map::new();
        for pair in &self.params {
            let (name, value) =
                pair.split_once('=').ok_or_else(|| invalid("--param is written NAME=VALUE"))?;
            params.insert(name.to_owned(), Value::from(value));
        }
        let mut endpoints = Map::new();
        for (name, url) in [
            ("authorization_url", self.auth_url),
            ("token_url", self.token_url),
            ("revocation_url", self.revocation_url),
            ("userinfo_url", self.userinfo_url),
            ("device_authorization_url", self.device_url),
        ] {
            if let Some(url) = url {
                endpoints.insert(name.into(), Value::from(url));
            }
        }
        let mut all = Map::new();
        let mut put = |name: &str, value: Value, is_given: bool| {
            if is_given {
                all.insert(name.into(), value);
            }
        };
        put("scopes", json!(self.scopes), !self.scopes.is_empty());
        put("endpoints", Value::Object(endpoints.clone()), !endpoints.is_empty());
        put("params", Value::Object(params.clone()), !params.is_empty());
        put("client_auth", json!(self.client_auth), self.client_auth.is_some());
        put("callback_url", json!(self.callback_url), self.callback_url.is_some());
        put("resource", json!(self.resource), self.resource.is_some());
        put("reason", json!(self.reason), self.reason.is_some());
        Ok(all)
    }
}

fn with(mut all: Map<String, Value>, more: Value) -> Value {
    if let Value::Object(more) = more {
        all.extend(more);
    }
    Value::Object(all)
}

impl Provider {
    pub async fn run(self, cx: &Context) -> Result<()> {
        let session = cx.session().await?;
        match self.action {
            Action::List => {
                let mut rows: Vec<Value> = Vec::new();
                let mut cursor = Value::Null;
                loop {
                    let page = session.call("list_oauth_providers", json!({ "cursor": cursor })).await?;
                    rows.extend(items(&page, "/providers").iter().cloned());
                    cursor = page["next_cursor"].clone();
                    if cursor.is_null() {
                        break;
                    }
                }
                cx.print(&json!({ "providers": rows }), told)
            }
            Action::Add { name, service, client_id, issuer, grant, settings } => {
                let given = json!({
                    "name": name, "service": service, "client_id": client_id.unwrap_or_default(), "issuer": issuer,
                    "grant": grant,
                });
                let answer =
                    session.call("create_oauth_provider", with(settings.arguments()?, given)).await?;
                cx.print(&answer, |a| done(a, "added"))
            }
            Action::Edit { provider, new_name, client_id, settings } => {
                let given = json!({ "provider": provider, "new_name": new_name, "client_id": client_id });
                let answer =
                    session.call("update_oauth_provider", with(settings.arguments()?, given)).await?;
                cx.print(&answer, |a| done(a, "changed"))
            }
            Action::Secret { provider, given, misplaced } => {
                if !misplaced.is_empty() {
                    return Err(secret_on_the_command_line("the client secret stood on the command line"));
                }
                let bytes = given.origin().read(&format!("Client secret of {provider}: "), MOST).map_err(
                    |e| match e.code {
                        crate::error::Code::NeedsTerminal => nobody_to_ask(),
                        _ => e,
                    },
                )?;
                let secret = bytes.expose(|bytes| {
                    std::str::from_utf8(bytes)
                        // The line end of a file is the file's.
                        .map(|text| Secret::new(text.trim_end_matches(['\r', '\n']).to_owned()))
                        .map_err(|_| invalid("a client secret is text"))
                })?;
                let answer = set_secret(&session.app, &session.caller, &provider, secret).await?;
                let answer = serde_json::to_value(&answer)
                    .map_err(|e| internal("the answer is no JSON").because(e))?;
                cx.print(&answer, |a| done(a, "has its client secret"))
            }
            Action::Rm { provider, yes } => {
                let arguments = json!({ "provider": provider, "reason": "removed on the command line" });
                let answer = session.call_with("delete_oauth_provider", arguments, yes).await?;
                cx.print(&answer, |_| line("the provider is deleted"))
            }
        }
    }
}

fn done(answer: &Value, what: &str) -> String {
    let mut text = line(&format!("provider {} {what}", at(answer, "/provider/name")));
    text.push_str(&output::pairs(&[
        ("callback URL", at(answer, "/provider/setup/callback_url")),
        ("scopes", at(answer, "/provider/scopes")),
    ]));
    for (path, mark) in [("/warnings", "warning: "), ("/next", "next: ")] {
        for one in items(answer, path) {
            text.push_str(&line(&format!("{mark}{}", one.as_str().unwrap_or_default())));
        }
    }
    text
}

fn told(answer: &Value) -> String {
    let mut table = Table::new(&["NAME", "SERVICE", "SCOPES", "CLIENT SECRET", "ID"]);
    for p in items(answer, "/providers") {
        let secret = match p.pointer("/setup/has_secret").and_then(Value::as_bool) {
            Some(true) => "there",
            Some(false) => "missing",
            None => "",
        };
        table.row([at(p, "/name"), at(p, "/service"), at(p, "/scopes"), secret.into(), at(p, "/id")]);
    }
    table.text("There is no OAuth provider. Add one with `unsaid provider add`.")
}
