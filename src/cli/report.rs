//! `unsaid report`: whether a consumer works with what it was handed, by its own token or by the person who runs it.
use super::output::{Table, at, items, line};
use super::{Context, Session};
use crate::error::{Result, internal};
use crate::model::access::Door;
use crate::model::token::Purpose;
use crate::ops::token::{Shown, verify};
use crate::secret::Secret;
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

/// Say whether a consumer works with what it was handed
#[derive(Args)]
#[command(after_help = "\
While a rotation waits for its consumers, ok confirms the new value for this one, and failed brings the old one back.
A consumer that has a token of its own says it as itself: UNSAID_TOKEN.

Say which version it is about where a late word could meet a newer one: what is said of another
version than the new one is kept in the log and changes nothing. `unsaid run --consumer` tells its
program the versions: UNSAID_VERSION_ and the variable of the binding (not with --watch and a signal,
where a value in a file is replaced while the program runs).

Examples:
  unsaid report ok --consumer deploy
  unsaid report failed --consumer deploy --reason 'login refused'
  unsaid report failed --consumer deploy --credential KEY --version \"$UNSAID_VERSION_KEY\"")]
pub struct Report {
    /// How it went
    outcome: Outcome,
    /// Which consumer: its id or name
    #[arg(long, value_name = "NAME")]
    consumer: String,
    /// Only about this credential
    #[arg(long, value_name = "NAME")]
    credential: Option<String>,
    /// About this version of the credential; the last one it was handed where nothing is said
    #[arg(long, value_name = "N", requires = "credential", value_parser = clap::value_parser!(i64).range(1..))]
    version: Option<i64>,
    /// Why, for the audit log
    #[arg(long)]
    reason: Option<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Outcome {
    Ok,
    Failed,
}

impl Report {
    pub async fn run(self, cx: &Context) -> Result<()> {
        let outcome = match self.outcome {
            Outcome::Ok => "ok",
            Outcome::Failed => "failed",
        };
        let arguments = json!({
            "consumer": self.consumer, "outcome": outcome, "credential": self.credential, "version": self.version,
            "reason": self.reason,
        });
        let answer = session(cx).await?.call("report_use", arguments).await?;
        cx.print(&answer, told)
    }
}

/// As the consumer of `UNSAID_TOKEN`, else as the person.
async fn session(cx: &Context) -> Result<Session> {
    let token = std::env::var("UNSAID_TOKEN").ok().filter(|token| !token.is_empty());
    let Some(token) = token else { return cx.session().await };
    let app = cx.open()?;
    let shown = Secret::new(token).expose(Shown::new)?;
    let caller = verify(&app, shown, Purpose::Consumer, Door::Cli).await?.caller;
    match caller.consumer.is_empty() {
        true => Err(internal("a consumer's token has no consumer")),
        false => Ok(Session { app, caller }),
    }
}

fn told(answer: &Value) -> String {
    let mut table = Table::new(&["CREDENTIAL", "ROTATION", "RESULT"]);
    for one in items(answer, "/rotations") {
        table.row([at(one, "/credential"), at(one, "/rotation"), at(one, "/result").replace('_', " ")]);
    }
    match table.is_empty() {
        true => line(&at(answer, "/message")),
        false => line(&at(answer, "/message")) + &table.text(""),
    }
}
