//! `unsaid canary`: credentials that nothing should use, and who used one.
use super::output::{self, Table, at, items, line, when};
use super::phrase::for_people;
use super::{Context, Session};
use crate::error::Result;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

/// Mark credentials that nothing should use, and see who used one
#[derive(Args)]
#[command(after_help = "\
A canary is a credential like any other, with a value that opens nothing. Whoever uses it, by a program, the broker or a test,
gets it, and gives themselves away: an alert stays in `unsaid status` until somebody acknowledges it. Only people who manage
it see that it is one, here; no assistant does.

Examples:
  unsaid set AWS_ROOT_KEY --service aws --canary    make one, with a value that looks real
  unsaid canary                                     which there are, and what used them
  unsaid canary mark OLD_DEPLOY_KEY                 one that should be dead
  unsaid canary acknowledge 01J… --reason \"the new intern\"
  unsaid canary unmark OLD_DEPLOY_KEY")]
pub struct Canary {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Subcommand)]
enum Action {
    /// List canaries and their open alerts
    List,
    /// Make a credential a canary
    Mark {
        /// Name or id
        credential: String,
    },
    /// Take the mark away
    Unmark {
        /// Name or id
        credential: String,
    },
    /// Say that you know of an alert; the next use raises another
    Acknowledge {
        /// The alert's id
        alert: String,
        /// What came of it
        #[arg(long, default_value = "")]
        reason: String,
    },
}

impl Canary {
    pub async fn run(self, cx: &Context) -> Result<()> {
        let session = cx.session().await?;
        match self.action.unwrap_or(Action::List) {
            Action::List => cx.print(&session.call("list_canaries", json!({})).await?, told),
            Action::Mark { credential } => mark(cx, &session, &credential, false).await,
            Action::Unmark { credential } => mark(cx, &session, &credential, true).await,
            Action::Acknowledge { alert, reason } => {
                let given = json!({ "alert": alert, "reason": reason });
                let answer = session.call("acknowledge_canary", given).await?;
                cx.print(&answer, |a| line(&format!("the alert of {} is acknowledged", at(a, "/alert/name"))))
            }
        }
    }
}

async fn mark(cx: &Context, session: &Session, credential: &str, remove: bool) -> Result<()> {
    let answer = session.call("mark_canary", json!({ "credential": credential, "remove": remove })).await?;
    cx.print(&answer, |a| {
        let is = if a["is_canary"] == true { "a canary" } else { "no canary any more" };
        let text = line(&format!("{} is {is}.", at(a, "/name")));
        text + &line(&for_people(&at(a, "/next")))
    })
}

fn told(answer: &Value) -> String {
    let mut table = Table::new(&["CANARY", "SCOPE", "MARKED", "BY"]);
    for row in items(answer, "/canaries") {
        table.row([at(row, "/name"), at(row, "/scope"), when(row, "/marked_at"), at(row, "/marked_by")]);
    }
    table.text("You manage no canary.") + &alerts(answer)
}

/// The open alerts of an answer as a table; nothing where there is none.
pub(super) fn alerts(answer: &Value) -> String {
    let all = items(answer, "/alerts");
    if all.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&["CANARY USED", "BY", "THROUGH", "HOW", "LAST", "TIMES", "ALERT"]);
    for row in all {
        let parts = [at(row, "/door"), at(row, "/client"), at(row, "/consumer")];
        let through: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        let how = [at(row, "/how"), at(row, "/place")].join(" ");
        table.row([
            at(row, "/name"),
            at(row, "/user"),
            through.join(" "),
            how.trim().to_owned(),
            when(row, "/last_at"),
            at(row, "/times"),
            at(row, "/id"),
        ]);
    }
    let mut text = String::from("\n");
    text.push_str(&table.text(""));
    text.push_str(&output::line(
        "Somebody used what nothing should. Find out who with `unsaid log`, then `unsaid canary acknowledge ALERT`.",
    ));
    text
}
