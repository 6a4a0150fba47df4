//! `unsaid token`: what clients and browsers show to be let in. A token is printed once, when it is made.
use super::Context;
use super::output::{self, Table, at, items, line, when};
use crate::clock::{DAY_MS, Millis};
use crate::error::{Result, internal, invalid};
use crate::model::token::Purpose;
use crate::ops::Toolset;
use crate::ops::token::{NewToken, TokenRow, create, rotate};
use crate::secret::Secret;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

/// Make, list and revoke the tokens that clients and browsers show
#[derive(Args)]
#[command(after_help = "\
Examples:
  unsaid token create laptop                          for a client over HTTP, 90 days
  unsaid token create ci --read-only --toolsets audit --expires 30d
  unsaid token create phone --sign-in                 for the sign-in form of the pages
  unsaid token create bot --consumer nightly          for a consumer at the broker
  unsaid token rotate bot --overlap 24h               the next one; the old one ends tomorrow
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
        /// For a consumer at the broker, in place of a client: it opens no tool
        #[arg(long, value_name = "CONSUMER", conflicts_with_all = ["read_only", "toolsets", "sign_in"])]
        consumer: Option<String>,
        /// Only reading tools
        #[arg(long)]
        read_only: bool,
        /// Only these groups of tools: credentials, oauth, consumers, audit, hygiene, rotation, catalogue (session is always there)
        #[arg(long, value_name = "A,B", value_delimiter = ',', value_parser = super::serve::toolset)]
        toolsets: Vec<Toolset>,
        /// When it ends: 30d, or a date as 2027-01-31 (default 90d, at most 366d)
        #[arg(long, value_name = "WHEN")]
        expires: Option<String>,
    },
    /// Make the next token of one, and let the old one go on for a while
    Rotate {
        /// Its name or id
        token: String,
        /// How long the old one goes on: 24h, 7d, or 0 for not at all (at most 30d)
        #[arg(long, value_name = "TIME", default_value = "24h")]
        overlap: String,
        /// When the new one ends; as long as the old one lived where it is left out
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
            Action::Create { name, user, sign_in, consumer, read_only, toolsets, expires } => {
                let is_assured = match sign_in {
                    true => super::open::at_a_terminal()?,
                    false => false,
                };
                let new = NewToken {
                    is_assured,
                    label: name,
                    user,
                    purpose: match (sign_in, &consumer) {
                        (true, _) => Purpose::SignIn,
                        (false, Some(_)) => Purpose::Consumer,
                        (false, None) => Purpose::Mcp,
                    },
                    consumer,
                    toolsets,
                    read_only,
                    expires_at: expires.map(|text| expiry(&text, session.app.now())).transpose()?,
                };
                let (row, token) = create(&session.app, &session.caller, new).await?;
                shown_once(cx, &row, &token)
            }
            Action::Rotate { token, overlap, expires } => {
                let now = session.app.now();
                let expires_at = expires.map(|text| expiry(&text, now)).transpose()?;
                let overlap_ms = duration_ms(&overlap)?;
                let (row, token) =
                    rotate(&session.app, &session.caller, &token, overlap_ms, expires_at).await?;
                shown_once(cx, &row, &token)
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

/// Prints a token, which nobody can read again.
fn shown_once(cx: &Context, row: &TokenRow, token: &Secret) -> Result<()> {
    let row = serde_json::to_value(row).map_err(|e| internal("the answer is no JSON").because(e))?;
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

/// `30m`, `24h`, `7d` or `0`, in milliseconds.
fn duration_ms(text: &str) -> Result<i64> {
    let wrong = || invalid("--overlap is a time as 30m, 24h or 7d, or 0");
    if text == "0" {
        return Ok(0);
    }
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wrong)?;
    let number: i64 = number.parse().map_err(|_| wrong())?;
    let unit_ms = match unit {
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => DAY_MS,
        _ => return Err(wrong()),
    };
    number.checked_mul(unit_ms).ok_or_else(wrong)
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
        let purpose = match at(token, "/purpose").as_str() {
            "sign_in" => "sign-in",
            "consumer" => "consumer",
            _ => "client",
        };
        if token["consumer"].is_string() {
            limits.insert(0, at(token, "/consumer"));
        }
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
