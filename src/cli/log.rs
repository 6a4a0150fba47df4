//! `unsaid log`: reads, checks and exports the audit log.
use super::Context;
use super::output::{self, Table, at, items, line, note, when};
use crate::clock::Millis;
use crate::error::{Code, Error, Result, internal, invalid};
use crate::model::event::Outcome;
use crate::ops::audit;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Rows that an export takes at a time.
const PAGE: i64 = 1000;

/// Read, check and export the audit log
#[derive(Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  unsaid log --credential GITHUB_TOKEN
  unsaid log verify
  unsaid log checkpoint > checkpoint.json      keep it outside the vault
  unsaid log verify --checkpoint checkpoint.json
  unsaid log export > audit.jsonl"
)]
pub struct Log {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    search: Search,
}

#[derive(Subcommand)]
enum Action {
    /// Check the whole chain, and name the first event that does not fit
    Verify {
        /// A checkpoint kept outside the vault: shows a missing end of the log
        #[arg(long, value_name = "PATH")]
        checkpoint: Option<PathBuf>,
    },
    /// Write every event as a line of JSON, with its place in the chain
    Export {
        /// Only events after this number
        #[arg(long, value_name = "SEQ", default_value_t = 0)]
        after: i64,
    },
    /// Write a signed checkpoint of the log's end
    Checkpoint,
}

#[derive(Args)]
struct Search {
    /// Only events on this credential: id or name
    #[arg(long, value_name = "NAME")]
    credential: Option<String>,
    /// Only what this user did: login or id
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// Only this operation, such as use or delete_credential
    #[arg(long)]
    operation: Option<String>,
    /// Only what ended so: ok, refused, failed or started
    #[arg(long)]
    outcome: Option<Outcome>,
    /// Only since then
    #[arg(long, value_name = "DATE")]
    since: Option<Millis>,
    /// Only before then
    #[arg(long, value_name = "DATE")]
    until: Option<Millis>,
    /// At most this many
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
}

impl Log {
    pub async fn run(self, cx: &Context) -> Result<()> {
        match self.action {
            None => self.search.run(cx).await,
            Some(Action::Verify { checkpoint }) => verify(cx, checkpoint.as_deref()).await,
            Some(Action::Export { after }) => export(cx, after).await,
            Some(Action::Checkpoint) => checkpoint(cx).await,
        }
    }
}

impl Search {
    async fn run(self, cx: &Context) -> Result<()> {
        let session = cx.session().await?;
        let mut events: Vec<Value> = Vec::new();
        let mut cursor = Value::Null;
        while events.len() < self.limit {
            let page = session
                .call(
                    "search_audit_log",
                    json!({
                        "credential": self.credential, "user": self.user, "operation": self.operation,
                        "outcome": self.outcome, "since": self.since, "until": self.until,
                        "limit": (self.limit - events.len()).min(200), "cursor": cursor,
                    }),
                )
                .await?;
            events.extend(items(&page, "/events").iter().cloned());
            cursor = page["next_cursor"].clone();
            if cursor.is_null() {
                break;
            }
        }
        let answer = match cursor {
            Value::Null => json!({ "events": events }),
            more => json!({ "events": events, "next_cursor": more }),
        };
        cx.print(&answer, told)
    }
}

fn told(answer: &Value) -> String {
    let mut table = Table::new(&["SEQ", "WHEN", "WHO", "DOOR", "WHAT", "ON", "OUTCOME", "REASON"]);
    for e in items(answer, "/events") {
        let outcome = match at(e, "/code") {
            code if code.is_empty() => at(e, "/outcome"),
            code => format!("{} ({code})", at(e, "/outcome")),
        };
        table.row([
            at(e, "/seq"),
            when(e, "/at"),
            at(e, "/user"),
            at(e, "/door"),
            at(e, "/operation"),
            at(e, "/object/name"),
            outcome,
            at(e, "/reason"),
        ]);
    }
    let mut text = table.text("There is no such event.");
    if !answer["next_cursor"].is_null() {
        text.push_str(&line("There are more: raise --limit, or narrow the search."));
    }
    text
}

async fn verify(cx: &Context, checkpoint: Option<&Path>) -> Result<()> {
    let checkpoint = checkpoint.map(read_checkpoint).transpose()?;
    let answer = cx.call("verify_audit_log", json!({ "checkpoint": checkpoint })).await?;
    let bad =
        answer.get("first_bad").filter(|bad| !bad.is_null()).map(|bad| (at(bad, "/seq"), at(bad, "/why")));
    cx.print(&answer, |a| match &bad {
        None => line(&format!("{} events, all in order", at(a, "/events"))),
        Some(_) => line(&format!("{} events are in order", at(a, "/events"))),
    })?;
    match bad {
        None => Ok(()),
        Some((seq, why)) => Err(Error::new(Code::Integrity, format!("event {seq} does not fit: {why}"))),
    }
}

fn read_checkpoint(path: &Path) -> Result<Value> {
    let wrong = || {
        Error::new(Code::InvalidFile, format!("{} is no checkpoint", path.display()))
            .next("Give a file that `unsaid log checkpoint` wrote.")
    };
    let text = std::fs::read_to_string(path).map_err(|e| wrong().because(e))?;
    serde_json::from_str(&text).map_err(|_| wrong())
}

async fn export(cx: &Context, after: i64) -> Result<()> {
    if after < 0 {
        return Err(invalid("--after is the number of an event, or 0"));
    }
    let session = cx.session().await?;
    let end = session.call("verify_audit_log", json!({})).await?;
    if end.get("first_bad").is_some_and(|bad| !bad.is_null()) {
        note("the log does not verify: run `unsaid log verify`; it is exported as it is");
    }
    let (mut next, mut left) =
        (after, at(&end, "/events").parse::<i64>().unwrap_or(i64::MAX).saturating_sub(after));
    while left > 0 {
        let rows = audit::export(&session.app, &session.caller, next, PAGE.min(left)).await?;
        let Some(last) = rows.last() else { break };
        let seq = serde_json::from_str::<Value>(last).ok().and_then(|row| row["seq"].as_i64());
        for row in &rows {
            output::put(&format!("{row}\n"))?;
        }
        left -= rows.len() as i64;
        next = seq.ok_or_else(|| internal("an exported event has no number"))?;
    }
    Ok(())
}

async fn checkpoint(cx: &Context) -> Result<()> {
    let session = cx.session().await?;
    match audit::checkpoint(&session.app, &session.caller).await? {
        None => Err(Error::new(Code::NothingToDo, "there is no event yet")),
        Some(checkpoint) => {
            let text = serde_json::to_string(&checkpoint)
                .map_err(|e| internal("the answer is no JSON").because(e))?;
            output::put(&format!("{text}\n"))
        }
    }
}
