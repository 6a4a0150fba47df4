//! `unsaid status`: who you are here, and what needs attention.
use super::Context;
use super::output::{Table, at, items, line, pairs, when};
use super::phrase::for_people;
use crate::error::Result;
use crate::ops::notice;
use clap::Args;
use serde_json::{Value, json};

/// Tell who you are here and what needs attention
#[derive(Args)]
pub struct Status {}

/// What a person would want to look at.
const TROUBLE: [&str; 4] = ["needs_attention", "expired", "expiring", "error"];

impl Status {
    pub async fn run(self, cx: &Context) -> Result<()> {
        let session = cx.session().await?;
        let mut answer = session.call("whoami", json!({})).await?;
        let mut rows: Vec<Value> = Vec::new();
        for status in TROUBLE {
            let page = session.call("list_credentials", json!({ "status": status, "limit": 20 })).await?;
            rows.extend(items(&page, "/credentials").iter().cloned());
        }
        answer["needs_attention"] = Value::from(rows);
        answer["canary_alerts"] = session.call("list_canaries", json!({})).await?["alerts"].take();
        let file = session.app.config.file.clone();
        let unsent = session.app.store.read(move |tx| notice::missing(tx, &file)).await?;
        answer["notices"] = json!(unsent);
        cx.print(&answer, |answer| told(answer, cx))
    }
}

fn told(me: &Value, cx: &Context) -> String {
    let teams: Vec<_> =
        items(me, "/teams").iter().map(|t| format!("{} ({})", at(t, "/name"), at(t, "/role"))).collect();
    let counts = ["personal", "team", "org"]
        .map(|scope| format!("{} {scope}", at(me, &format!("/credentials/{scope}"))));
    let mut text = pairs(&[
        ("vault", cx.config.places.data.display().to_string()),
        ("org", at(me, "/org")),
        ("you", format!("{} ({})", at(me, "/login"), at(me, "/role"))),
        ("teams", teams.join(", ")),
        ("credentials", counts.join(", ")),
    ]);
    text.push_str(&super::canary::alerts(&json!({ "alerts": me["canary_alerts"] })));
    for one in items(me, "/notices") {
        text.push_str(&line(&format!("warning: {}", at(one, "/what"))));
        text.push_str(&line(&format!("next: {}", at(one, "/next"))));
    }
    let mut table = Table::new(&["NEEDS ATTENTION", "STATUS", "WHY", "NEXT"]);
    for row in items(me, "/needs_attention") {
        table.row([
            at(row, "/name"),
            at(row, "/status/status"),
            at(row, "/status/message"),
            for_people(&at(row, "/status/next")),
        ]);
    }
    text.push('\n');
    text.push_str(&table.text("No credential needs attention."));
    let open: Vec<_> = items(me, "/approvals").iter().filter(|a| a["state"] == "open").collect();
    if !open.is_empty() {
        let mut table = Table::new(&["WAITS FOR A YES", "SINCE", "ID"]);
        for one in open {
            table.row([at(one, "/summary"), when(one, "/asked_at"), at(one, "/id")]);
        }
        text.push('\n');
        text.push_str(&table.text(""));
        text.push_str(&line("Decide with `unsaid approve ID`."));
    }
    text
}
