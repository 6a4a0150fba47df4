//! `unsaid approve`: a person's yes or no to what was asked for, past the model.
use super::Context;
use super::output::{self, Table, at, items, line, when};
use super::terminal::{Terminal, needs_terminal};
use crate::error::{Code, Error, Result, internal};
use crate::ops::approval;
use crate::telemetry::escaped;
use clap::Args;
use serde_json::{Value, json};

/// See, grant or decline what an assistant asked for
#[derive(Args)]
#[command(after_help = "\
Examples:
  unsaid approve               what waits for a decision
  unsaid approve 01J…          show it, and ask for a challenge on the terminal
  unsaid approve 01J… --decline")]
pub struct Approve {
    /// The request; without one, those that are open are listed
    id: Option<String>,
    /// Say no
    #[arg(long, requires = "id")]
    decline: bool,
    /// List those of the last day that were decided, too
    #[arg(long, conflicts_with = "id")]
    all: bool,
}

impl Approve {
    pub async fn run(self, cx: &Context) -> Result<()> {
        let session = cx.session().await?;
        let Some(id) = self.id else {
            let answer = session.call("list_approvals", json!({ "all": self.all.then_some(true) })).await?;
            return cx.print(&answer, told);
        };
        let (app, caller) = (&session.app, &session.caller);
        if self.decline {
            approval::decline(app, caller, &id).await?;
            return cx
                .print(&json!({ "id": id, "state": "declined" }), |_| line("declined; nothing was changed"));
        }
        let request = approval::show(app, caller, &id).await?;
        // Only after it is known that there is something to decide, and that this person may.
        let terminal = Terminal::open().ok_or_else(|| {
            needs_terminal("an approval asks for a challenge, and there is no terminal to ask on")
                .next("Run `unsaid approve ID` in a terminal of your own.")
        })?;
        terminal.tell(&format!(
            "Asked for by {}, through {}, at {}\n",
            escaped(&request.requested_by),
            escaped(&request.client),
            request.created_at
        ));
        // Composed by us when it was asked for; its lines are ours, the text in them may not be.
        for part in request.impact.lines() {
            terminal.tell(&format!("  {}\n", escaped(part)));
        }
        if !terminal.passes_challenge()? {
            return Err(Error::new(Code::ChallengeFailed, "the challenge was not typed as shown"));
        }
        let approved = approval::approve(app, caller, &id).await?;
        let answer =
            serde_json::to_value(&approved).map_err(|e| internal("the answer is no JSON").because(e))?;
        cx.print(&answer, |a| line(&format!("approved, and done: {}", at(a, "/operation"))))
    }
}

fn told(answer: &Value) -> String {
    let mut text = String::new();
    for one in items(answer, "/approvals") {
        text.push_str(&output::pairs(&[
            ("id", at(one, "/id")),
            ("state", at(one, "/state")),
            ("asked by", format!("{} through {}", at(one, "/requested_by"), at(one, "/client"))),
            ("asked at", when(one, "/created_at")),
            ("until", when(one, "/expires_at")),
        ]));
        for part in at(one, "/impact").lines() {
            text.push_str(&line(&format!("  {part}")));
        }
        text.push('\n');
    }
    match text.is_empty() {
        true => Table::new(&["ID"]).text("Nothing waits for your decision."),
        false => text + &line("Decide with `unsaid approve ID`, or `unsaid approve ID --decline`."),
    }
}
