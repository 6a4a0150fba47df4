//! `unsaid audit`: what is wrong, what is accepted, where a credential belongs, and what to do when somebody leaves.
use super::Context;
use super::output::{Table, at, items, line, pairs, when};
use crate::error::Result;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

/// Find what is wrong with credentials and consumers, and what to do about it
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Audit {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    filter: Filter,
}

#[derive(Args)]
struct Filter {
    /// Only findings of this kind, as unused_90
    #[arg(long)]
    kind: Option<String>,
    /// Only high, medium, low or info
    #[arg(long)]
    severity: Option<String>,
    /// Only personal, team or org
    #[arg(long)]
    scope: Option<String>,
    /// Only about this service
    #[arg(long)]
    service: Option<String>,
    /// Only about this team
    #[arg(long)]
    team: Option<String>,
    /// Only about this credential (name or id)
    #[arg(long)]
    credential: Option<String>,
    /// Only about this consumer
    #[arg(long)]
    consumer: Option<String>,
    /// Show what was accepted instead
    #[arg(long)]
    accepted: bool,
}

#[derive(Subcommand)]
enum Action {
    /// Leave a finding out of reports until a date, or until its facts change
    Accept {
        /// The finding's id, as the report shows it
        id: String,
        /// Why it may stay
        #[arg(long)]
        reason: String,
        /// When it comes back, as 2027-01-31
        #[arg(long, value_name = "DATE")]
        until: String,
    },
    /// Take the acceptance of a finding back
    Withdraw {
        /// The finding's id, as the report shows it
        id: String,
        /// Why
        #[arg(long)]
        reason: String,
    },
    /// Recommend the narrowest scope for a credential
    Scope {
        /// Its name, as programs know it
        name: String,
        /// What it is for
        #[arg(long)]
        purpose: Option<String>,
        /// A consumer that will use it; repeat for several
        #[arg(long = "consumer", value_name = "NAME")]
        consumers: Vec<String>,
    },
    /// List all that a person could reach and used, with what to do when they leave
    Leaver {
        /// Login or id
        user: String,
    },
}

impl Audit {
    pub async fn run(self, cx: &Context) -> Result<()> {
        match self.action {
            None => report(cx, self.filter).await,
            Some(Action::Accept { id, reason, until }) => {
                let arguments = json!({ "id": id, "reason": reason, "until": until });
                cx.print(&cx.call("accept_finding", arguments).await?, told)
            }
            Some(Action::Withdraw { id, reason }) => {
                cx.print(&cx.call("accept_finding", json!({ "id": id, "reason": reason })).await?, told)
            }
            Some(Action::Scope { name, purpose, consumers }) => {
                let arguments = json!({ "name": name, "purpose": purpose, "consumers": consumers });
                cx.print(&cx.call("recommend_scope", arguments).await?, recommendation)
            }
            Some(Action::Leaver { user }) => {
                let answer = all(cx, "plan_offboarding", json!({ "user": user }), "/steps").await?;
                cx.print(&answer, plan)
            }
        }
    }
}

async fn report(cx: &Context, f: Filter) -> Result<()> {
    let arguments = json!({
        "kind": f.kind, "severity": f.severity, "scope": f.scope, "service": f.service, "team": f.team,
        "credential": f.credential, "consumer": f.consumer, "accepted": f.accepted.then_some(true),
    });
    let answer = all(cx, "audit_credentials", arguments, "/findings").await?;
    cx.print(&answer, findings)
}

/// Every page, as one answer.
async fn all(cx: &Context, operation: &str, mut arguments: Value, list: &str) -> Result<Value> {
    let session = cx.session().await?;
    let mut whole = session.call(operation, arguments.clone()).await?;
    let mut cursor = whole["next_cursor"].take();
    while !cursor.is_null() {
        arguments["cursor"] = cursor;
        let mut page = session.call(operation, arguments.clone()).await?;
        cursor = page["next_cursor"].take();
        if let (Some(Value::Array(rows)), Some(Value::Array(more))) =
            (whole.pointer_mut(list), page.pointer_mut(list))
        {
            rows.append(more);
        }
    }
    if let Some(object) = whole.as_object_mut() {
        object.remove("next_cursor");
    }
    Ok(whole)
}

fn told(answer: &Value) -> String {
    line(&format!("{}: {}.", at(answer, "/id"), at(answer, "/message")))
}

fn findings(answer: &Value) -> String {
    let mut table = Table::new(&["SEVERITY", "KIND", "", "WHAT", "ID"]);
    for one in items(answer, "/findings") {
        let is_new = if one["is_new"] == true { "new" } else { "" };
        let mut what = at(one, "/message");
        if one["accepted"].is_string() {
            what = format!("{what} (accepted {})", at(one, "/accepted"));
        }
        table.row([at(one, "/severity"), at(one, "/kind"), is_new.to_owned(), what, at(one, "/id")]);
    }
    let mut text = table.text("Nothing was found.");
    let counts: Vec<_> = ["high", "medium", "low", "info"]
        .iter()
        .map(|word| (word, at(answer, &format!("/by_severity/{word}"))))
        .filter(|(_, n)| !n.is_empty())
        .map(|(word, n)| format!("{n} {word}"))
        .collect();
    let mut last = Vec::new();
    if !counts.is_empty() {
        last.push(counts.join(", "));
    }
    if answer["accepted"].as_u64().unwrap_or(0) > 0 {
        last.push(format!("{} accepted", at(answer, "/accepted")));
    }
    if answer["compared_with"].is_string() {
        last.push(format!(
            "since {}: {} new, {} gone, {} still there",
            when(answer, "/compared_with"),
            at(answer, "/new"),
            at(answer, "/gone"),
            at(answer, "/still")
        ));
    }
    if !last.is_empty() {
        text.push_str(&format!("\n{}.\n", last.join("; ")));
    }
    for note in items(answer, "/notes") {
        text.push_str(&line(note.as_str().unwrap_or_default()));
    }
    text
}

fn recommendation(answer: &Value) -> String {
    let place = match at(answer, "/team") {
        team if team.is_empty() => at(answer, "/scope"),
        team => format!("{} ({team})", at(answer, "/scope")),
    };
    let mut text = pairs(&[("scope", place)]);
    let mut list = |title: &str, path: &str| {
        for one in items(answer, path) {
            text.push_str(&line(&format!("{title}: {}", one.as_str().unwrap_or_default())));
        }
    };
    list("because", "/reasons");
    list("consider", "/trade_offs");
    list("existing", "/existing");
    list("next", "/next");
    text
}

fn plan(answer: &Value) -> String {
    let mut table = Table::new(&["STEP", "NAME", "SCOPE", "OWNER", "LAST USED", "WHY", "NEXT"]);
    for one in items(answer, "/steps") {
        table.row([
            at(one, "/step"),
            at(one, "/name"),
            at(one, "/scope"),
            at(one, "/owner"),
            when(one, "/last_used_at"),
            at(one, "/why"),
            at(one, "/next"),
        ]);
    }
    let mut text = table.text("There is nothing to do.");
    for note in items(answer, "/notes") {
        text.push_str(&line(note.as_str().unwrap_or_default()));
    }
    text
}
