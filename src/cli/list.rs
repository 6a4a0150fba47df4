//! `unsaid list`: which credentials there are, and what needs attention.
use super::output::{Table, at, items, line, when};
use super::place::Place;
use super::{Context, Session};
use crate::clock::Millis;
use crate::error::Result;
use crate::model::credential::{CredentialType, Environment};
use crate::model::status::Status;
use clap::Args;
use serde_json::{Value, json};

/// List credentials
#[derive(Args)]
#[command(after_help = "\
Examples:
  unsaid list --status needs_attention
  unsaid list --scope team:backend --unused-since 2026-01-01
  unsaid list github --json | jq -r '.credentials[].name'")]
pub struct List {
    /// Only those with this text in name, description, account, service or tags
    text: Option<String>,
    /// Only this type: api_key, oauth, basic, file or custom
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<CredentialType>,
    /// Only this status; `deleted` shows the bin
    #[arg(long)]
    status: Option<Status>,
    /// Only what is kept here: personal, team:NAME or org
    #[arg(long, value_name = "PLACE")]
    scope: Option<Place>,
    /// Only this service, such as github
    #[arg(long)]
    service: Option<String>,
    /// Only this deployment
    #[arg(long, value_name = "ENV")]
    env: Option<Environment>,
    /// Only those with this tag
    #[arg(long)]
    tag: Option<String>,
    /// Only those that nobody has used since then
    #[arg(long, value_name = "DATE")]
    unused_since: Option<Millis>,
    /// Only those that end before then
    #[arg(long, value_name = "DATE")]
    expires_before: Option<Millis>,
    /// At most this many; all of them where it is left out
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
}

/// Rows that are asked for at a time.
const PAGE: usize = 100;

impl List {
    pub async fn run(self, cx: &Context) -> Result<()> {
        let session = cx.session().await?;
        let answer = self.all(&session).await?;
        let nothing = match self.has_filter() {
            true => "None of the credentials that you can see is like that.",
            false => "There is no credential that you can see. Add one with `unsaid set NAME`.",
        };
        cx.print(&answer, |answer| told(answer, nothing))
    }

    fn has_filter(&self) -> bool {
        let Self { text, kind, status, scope, service, env, tag, unused_since, expires_before, limit: _ } =
            self;
        let texts = [text, service, tag].iter().any(|text| text.is_some());
        let dates = unused_since.is_some() || expires_before.is_some();
        texts || dates || kind.is_some() || status.is_some() || scope.is_some() || env.is_some()
    }

    /// Every page, or as many as were asked for, as one answer.
    async fn all(&self, session: &Session) -> Result<Value> {
        let mut rows: Vec<Value> = Vec::new();
        let mut cursor = Value::Null;
        loop {
            let wanted =
                self.limit.map_or(PAGE, |limit| (limit as usize).saturating_sub(rows.len()).min(PAGE));
            if wanted == 0 {
                break;
            }
            let page = session
                .call(
                    "list_credentials",
                    json!({
                        "text": self.text, "type": self.kind, "status": self.status, "service": self.service,
                        "scope": self.scope.as_ref().map(|place| place.scope),
                        "team": self.scope.as_ref().and_then(|place| place.team.clone()),
                        "environment": self.env, "tag": self.tag, "unused_since": self.unused_since,
                        "expires_before": self.expires_before, "limit": wanted, "cursor": cursor,
                    }),
                )
                .await?;
            rows.extend(items(&page, "/credentials").iter().cloned());
            cursor = page["next_cursor"].clone();
            if cursor.is_null() {
                break;
            }
        }
        Ok(match cursor {
            Value::Null => json!({ "credentials": rows }),
            more => json!({ "credentials": rows, "next_cursor": more }),
        })
    }
}

fn told(answer: &Value, nothing: &str) -> String {
    let rows = items(answer, "/credentials");
    let mut table =
        Table::new(&["NAME", "ACCOUNT", "ENV", "SCOPE", "TYPE", "SERVICE", "STATUS", "LAST USED", "EXPIRES"]);
    for row in rows {
        let environment = at(row, "/environment");
        table.row([
            at(row, "/name"),
            at(row, "/account"),
            if environment == "any" { String::new() } else { environment },
            scope(row),
            at(row, "/type"),
            at(row, "/service"),
            at(row, "/status/status"),
            when(row, "/last_used_at"),
            when(row, "/expires_at"),
        ]);
    }
    let mut text = table.text(nothing);
    if !answer["next_cursor"].is_null() {
        text.push_str(&line("There are more: raise --limit."));
    }
    text
}

/// `org`, `team NAME` or `personal`.
pub fn scope(row: &Value) -> String {
    match (row["scope"].as_str().unwrap_or_default(), at(row, "/owner")) {
        ("team", owner) => format!("team {owner}"),
        (scope, _) => scope.to_owned(),
    }
}
