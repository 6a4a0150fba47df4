//! `unsaid token`: what clients and browsers show to be let in. A token is printed once, when it is made.
use super::Context;
use super::output::{self, Table, at, items, line, when};
use crate::clock::Millis;
use crate::error::{Result, internal, invalid};
use crate::model::token::Purpose;
use crate::ops::Toolset;
use crate::ops::token::{NewToken, create};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

/// Make, list and revoke the tokens that clients and browsers show
#[derive(Args)]
#[command(after_help = "\
Examples:
  unsaid token create laptop                          for a client over HTTP, 90 days
  unsaid token create ci --read-only --toolsets audit --expires 30d
  unsaid token create phone --sign-in                 for the sign-in form of the pages
  unsaid token list
  unsaid token revoke laptop")]
pub struct Token {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Make a token and print it, this once
    Create {
        /// What you call it, as laptop
        name: String,
        /// For another person (login or id); for admins
        #[arg(long, value_name = "USER")]
        user: Option<String>,
        /// For the sign-in form instead of a client: it can approve, so no client may have it
        #[arg(long, conflicts_with_all = ["read_only", "toolsets"])]
        sign_in: bool,
        /// Only reading tools
        #[arg(long)]
        read_only: bool,
        /// Only these groups of tools: credentials, oauth, audit, catalogue (session is always there)
        #[arg(long, value_name = "A,B", value_delimiter = ',', value_parser = super::serve::toolset)]
        toolsets: Vec<Toolset>,
        /// When it ends: 30d, or a date as 2027-01-31 (default 90d, at most 366d)
        #[arg(long, value_name = "WHEN")]
        expires: Option<String>,
    },
    /// List your tokens
    List {
        /// Everybody's; for admins
        #[arg(long)]
        all: bool,
        /// Revoked and expired ones too
        #[arg(long)]
        ended: bool,
    },
    /// End a token at once, with every session that is open under it
    Revoke {
        /// Its name or id
        token: String,
    },
}

impl Token {
    pub async fn run(self, cx: &Context) -> Result<()> {
        let session = cx.session().await?;
        match self.action {
            Action::Create { name, user, sign_in, read_only, toolsets, expires } => {
                let is_assured = match sign_in {
                    true => super::open::at_a_terminal()?,
                    false => false,
                };
                let new = NewToken {
                    is_assured,
                    label: name,
                    user,
                    purpose: if sign_in { Purpose::SignIn } else { Purpose::Mcp },
                    toolsets,
                    read_only,
                    expires_at: expires.map(|text| expiry(&text, session.app.now())).transpose()?,
                };
                let (row, token) = create(&session.app, &session.caller, new).await?;
                let row =
                    serde_json::to_value(&row).map_err(|e| internal("the answer is no JSON").because(e))?;
                token.expose(|token| match cx.json {
                    // A program that asks for JSON gets the token in it: that is what it asked for.
                    true => {
                        let mut row = row.clone();
                        row["token"] = Value::from(token);
                        cx.print(&row, |_| String::new())
                    }
                    false => {
                        output::note(&format!(
                            "token {} of {}, until {}. It is shown this once: put it where its client reads it.",
                            at(&row, "/label"),
                            at(&row, "/user"),
                            when(&row, "/expires_at"),
                        ));
                        output::put(&format!("{token}\n"))
                    }
                })
            }
            Action::List { all, ended } => {
                let given = json!({ "all": all.then_some(true), "ended": ended.then_some(true) });
                let answer = session.call("list_tokens", given).await?;
                cx.print(&answer, told)
            }
            Action::Revoke { token } => {
                let answer = session.call("revoke_token", json!({ "id": token })).await?;
                cx.print(&answer, |a| line(&format!("{} is revoked", at(a, "/label"))))
            }
        }
    }
}

/// `30d` from now, or a date.
fn expiry(text: &str, now: Millis) -> Result<Millis> {
    match text.strip_suffix('d').map(str::parse::<i64>) {
        Some(Ok(days)) => Ok(now.plus_days(days)),
        _ => {
            text.parse().map_err(|_| invalid("--expires is a number of days as 30d, or a date as 2027-01-31"))
        }
    }
}

fn told(answer: &Value) -> String {
    let mut table = Table::new(&["NAME", "ID", "USER", "FOR", "LIMITS", "STATE", "UNTIL"]);
    for token in items(answer, "/tokens") {
        let mut limits: Vec<_> =
            items(token, "/toolsets").iter().filter_map(Value::as_str).map(str::to_owned).collect();
        if token["read_only"] == true {
            limits.insert(0, "read-only".into());
        }
        let purpose = if token["purpose"] == "sign_in" { "sign-in" } else { "client" };
        table.row([
            at(token, "/label"),
            at(token, "/id"),
            at(token, "/user"),
            purpose.to_owned(),
            limits.join(", "),
            at(token, "/state"),
            when(token, "/expires_at"),
        ]);
    }
    table.text("There is no token. Make one with `unsaid token create NAME`.")
}
