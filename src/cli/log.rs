//! `unsaid log`: the audit log, read, checked, and taken out.
use super::Context;
use super::output::{self, Table, at, items, line, note, when};
use crate::clock::Millis;
use crate::error::{Code, Error, Result, internal};
use crate::model::event::Outcome;
use crate::ops::audit;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Read, check and export the audit log
#[derive(Args)]
#[command(after_help = "\
A checkpoint that is kept outside this machine shows later whether the log's end was cut off.

Examples:
  unsaid log                                         the last events
  unsaid log search --credential GITHUB_TOKEN --since 2026-11-01
  unsaid log checkpoint > checkpoint.json
  unsaid log verify --checkpoint checkpoint.json
  unsaid log export > log.jsonl")]
pub struct Log {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Subcommand)]
enum Action {
    /// Find events, newest first
    Search(Search),
    /// Check that no event was changed, moved or removed
    Verify {
        /// Hold the log against a checkpoint that was kept elsewhere
        #[arg(long, value_name = "FILE")]
        checkpoint: Option<PathBuf>,
    },
    /// Write the events as JSON lines, oldest first, with number and chain
    Export {
        /// Begin after this event
        #[arg(long, value_name = "SEQ", default_value_t = 0, value_parser = clap::value_parser!(i64).range(0..))]
        after: i64,
    },
    /// Print a signed checkpoint of the log's end
    Checkpoint,
}

#[derive(Args, Default)]
struct Search {
    /// About this credential: name or id
    #[arg(long, value_name = "NAME")]
    credential: Option<String>,
    /// By this user: login or id
    #[arg(long)]
    user: Option<String>,
    /// Of this operation, such as use or delete_credential
    #[arg(long)]
    operation: Option<String>,
    /// That ended so: ok, refused, failed or started
    #[arg(long)]
    outcome: Option<Outcome>,
    /// From then on
    #[arg(long, value_name = "DATE")]
    since: Option<Millis>,
    /// Until before then
    #[arg(long, value_name = "DATE")]
    until: Option<Millis>,
    /// At most this many
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
}

/// Events that one answer brings, and that one part of an export holds.
const PAGE: usize = 50;
const EXPORTED: i64 = 10_000;
/// A checkpoint is a short text.
const MOST_CHECKPOINT: usize = 16 * 1024;

impl Log {
    pub async fn run(self, cx: &Context) -> Result<()> {
        match self.action {
            None => Search { limit: PAGE, ..Search::default() }.run(cx).await,
            Some(Action::Search(search)) => search.run(cx).await,
            Some(Action::Verify { checkpoint }) => verify(cx, checkpoint.as_deref()).await,
            Some(Action::Export { after }) => export(cx, after).await,
            Some(Action::Checkpoint) => checkpoint(cx).await,
        }
    }
}

impl Search {
    async fn run(self, cx: &Context) -> Result<()> {
        let session = cx.session().await?;
        let mut rows: Vec<Value> = Vec::new();
        let mut cursor = Value::Null;
        while rows.len() < self.limit {
            let arguments = json!({
                "credential": self.credential, "user": self.user, "operation": self.operation,
                "outcome": self.outcome, "since": self.since, "until": self.until,
                "limit": (self.limit - rows.len()).min(PAGE), "cursor": cursor,
            });
            let page = session.call("search_audit_log", arguments).await?;
            rows.extend(items(&page, "/events").iter().cloned());
            cursor = page["next_cursor"].clone();
            if cursor.is_null() {
                break;
            }
        }
        cx.print(&json!({ "events": rows, "next_cursor": cursor }), told)
    }
}

fn told(answer: &Value) -> String {
    let mut table =
        Table::new(&["SEQ", "WHEN", "WHO", "CLIENT", "WHAT", "ABOUT", "OUTCOME", "CODE", "REASON"]);
    for event in items(answer, "/events") {
        let client = match at(event, "/client") {
            client if client.is_empty() => at(event, "/door"),
            client => client,
        };
        table.row([
            at(event, "/seq"),
            when(event, "/at"),
            at(event, "/user"),
            client,
            at(event, "/operation"),
            at(event, "/object/name"),
            at(event, "/outcome"),
            at(event, "/code"),
            at(event, "/reason"),
        ]);
    }
    table.text("There is no such event that you may see.")
}

/// Exit status 0 only where the log is intact.
async fn verify(cx: &Context, checkpoint: Option<&Path>) -> Result<()> {
    let checkpoint = checkpoint.map(read_checkpoint).transpose()?;
    let answer = cx.call("verify_audit_log", json!({ "checkpoint": checkpoint })).await?;
    cx.print(&answer, |a| line(&at(a, "/message")))?;
    match answer["intact"] == true {
        true => Ok(()),
        false => Err(Error::new(
            Code::Integrity,
            format!("the audit log is not intact: {}", at(&answer, "/message")),
        )
        .next(at(&answer, "/next"))),
    }
}

fn read_checkpoint(path: &Path) -> Result<Value> {
    let wrong = || {
        Error::new(Code::InvalidFile, format!("{} is no checkpoint", path.display()))
            .next("Name a file that `unsaid log checkpoint` wrote.")
    };
    let file = std::fs::File::open(path).map_err(|e| wrong().because(e))?;
    let bytes = super::value::all(&file, MOST_CHECKPOINT)?;
    serde_json::from_slice(&bytes).map_err(|_| wrong())
}

async fn export(cx: &Context, mut after: i64) -> Result<()> {
    let session = cx.session().await?;
    // The export leaves an event of its own, which belongs to the next one.
    let end = match audit::checkpoint(&session.app, &session.caller).await? {
        Some(end) => end.seq,
        None => return Ok(()),
    };
    let mut written = 0;
    while after < end {
        let lines = audit::export(&session.app, &session.caller, after, (end - after).min(EXPORTED)).await?;
        if lines.is_empty() {
            break;
        }
        after += i64::try_from(lines.len()).map_err(|_| internal("there are too many events"))?;
        written += lines.len();
        output::put(&(lines.join("\n") + "\n"))?;
    }
    note(&format!("{written} events, up to {after}"));
    Ok(())
}

async fn checkpoint(cx: &Context) -> Result<()> {
    let session = cx.session().await?;
    let Some(checkpoint) = audit::checkpoint(&session.app, &session.caller).await? else {
        return Err(
            Error::new(Code::NothingToDo, "there is no event yet").next("Come back when there is one.")
        );
    };
    let text =
        serde_json::to_string(&checkpoint).map_err(|e| internal("the checkpoint is no JSON").because(e))?;
    output::put(&(text + "\n"))
}
