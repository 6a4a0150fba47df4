//! `unsaid show NAME`: everything about one credential but its value; `--why` tells which value a name would give.
use super::Context;
use super::list::scope;
use super::output::{Table, at, items, line, pairs, when};
use super::phrase::for_people;
use crate::error::Result;
use crate::model::credential::Environment;
use clap::Args;
use serde_json::{Value, json};

/// Show everything about one credential but its value
#[derive(Args)]
#[command(after_help = "\
Examples:
  unsaid show GITHUB_TOKEN
  unsaid show team/GITHUB_TOKEN@bot
  unsaid show --why GITHUB_TOKEN --env prod     which value a program would get, and why
  unsaid show --usage GITHUB_TOKEN              who used it, and when")]
pub struct Show {
    /// Name or id; also team/NAME, NAME@account, NAME[prod]
    credential: String,
    /// Tell which credential the name resolves to for you
    #[arg(long, conflicts_with = "usage")]
    why: bool,
    /// With --why: the account
    #[arg(long, requires = "why")]
    account: Option<String>,
    /// With --why: the deployment
    #[arg(long, requires = "why", value_name = "ENV")]
    env: Option<Environment>,
    /// Tell who used it, and when
    #[arg(long)]
    usage: bool,
}

impl Show {
    pub async fn run(self, cx: &Context) -> Result<()> {
        if self.why {
            let arguments =
                json!({ "name": self.credential, "account": self.account, "environment": self.env });
            return cx.print(&cx.call("explain_resolution", arguments).await?, why);
        }
        let wanted = json!({ "credential": self.credential });
        match self.usage {
            true => cx.print(&cx.call("get_usage", wanted).await?, usage),
            false => {
                let session = cx.session().await?;
                let mut answer = session.call("get_credential", wanted).await?;
                // Of what this person manages; nobody else is told.
                let all = session.call("list_canaries", json!({})).await?;
                let of_it = |row: &Value, field: &str| row[field] == answer["id"];
                if items(&all, "/canaries").iter().any(|row| of_it(row, "id")) {
                    let alerts: Vec<Value> = items(&all, "/alerts")
                        .iter()
                        .filter(|row| of_it(row, "credential"))
                        .cloned()
                        .collect();
                    answer["canary"] = json!({ "alerts": alerts });
                }
                cx.print(&answer, detail)
            }
        }
    }
}

fn canary(c: &Value) -> String {
    match (c.get("canary").is_some(), items(c, "/canary/alerts").len()) {
        (false, _) => String::new(),
        (true, 0) => "yes: any use of it raises an alert".into(),
        (true, n) => format!("yes, and it was used: {n} open alerts, see `unsaid canary`"),
    }
}

fn detail(c: &Value) -> String {
    let configuration = c.get("configuration").unwrap_or(&Value::Null);
    let fields: Vec<_> = items(configuration, "/fields")
        .iter()
        .map(|field| match field["secret"].as_bool() {
            Some(false) => format!("{} (plain)", at(field, "/name")),
            _ => at(field, "/name"),
        })
        .collect();
    let mut text = pairs(&[
        ("name", at(c, "/name")),
        ("id", at(c, "/id")),
        ("status", [at(c, "/status/status"), at(c, "/status/message")].join(": ")),
        ("reasons", at(c, "/status/reasons")),
        ("canary", canary(c)),
        ("next", for_people(&at(c, "/status/next"))),
        ("scope", scope(c)),
        ("type", at(c, "/type")),
        ("fields", if c["type"] == "custom" { fields.join(", ") } else { String::new() }),
        ("service", at(c, "/service")),
        ("account", at(c, "/account")),
        ("environment", at(c, "/environment")),
        ("description", at(configuration, "/description")),
        ("tags", at(configuration, "/tags")),
        ("created", when(c, "/created_at")),
        (
            "value set",
            [when(configuration, "/value_set_at"), at(configuration, "/value_set_by")]
                .join(" ")
                .trim()
                .to_owned(),
        ),
        ("expires", when(c, "/expires_at")),
        ("last used", when(c, "/last_used_at")),
        ("uses", at(configuration, "/uses")),
        ("failures", at(configuration, "/failures")),
        ("bound to", at(configuration, "/bound_to")),
        ("you may", at(c, "/you_may")),
    ]);
    let mut table = Table::new(&["WHO", "MAY", "BECAUSE", "GRANT"]);
    for holder in items(configuration, "/who") {
        table.row([at(holder, "/who"), at(holder, "/may"), at(holder, "/because"), at(holder, "/grant")]);
    }
    section(&mut text, table);
    let mut table = Table::new(&["VERSION", "STAGE", "ENTERED", "BY"]);
    for version in items(configuration, "/versions") {
        table.row([
            at(version, "/number"),
            at(version, "/stage"),
            when(version, "/created_at"),
            at(version, "/created_by"),
        ]);
    }
    section(&mut text, table);
    let mut table = Table::new(&["WHEN", "WHAT", "OUTCOME", "BY"]);
    for event in items(configuration, "/last_events") {
        table.row([when(event, "/at"), at(event, "/operation"), at(event, "/outcome"), at(event, "/user")]);
    }
    section(&mut text, table);
    text
}

fn section(text: &mut String, table: Table) {
    if !table.is_empty() {
        text.push('\n');
        text.push_str(&table.text(""));
    }
}

fn why(answer: &Value) -> String {
    let mut text = line(&at(answer, "/message"));
    let mut table = Table::new(&["CREDENTIAL", "SCOPE", "VERDICT", "WHY", "ID"]);
    for one in items(answer, "/considered") {
        table.row([
            at(one, "/label"),
            at(one, "/scope"),
            at(one, "/verdict"),
            at(one, "/why"),
            at(one, "/id"),
        ]);
    }
    section(&mut text, table);
    text.push_str(&line(&at(answer, "/next")));
    text
}

fn usage(answer: &Value) -> String {
    let mut text = pairs(&[
        ("name", at(answer, "/name")),
        ("uses", at(answer, "/uses")),
        ("failures", at(answer, "/failures")),
        ("first", when(answer, "/first_at")),
        ("last", when(answer, "/last_at")),
    ]);
    let mut table = Table::new(&["WHO", "CONSUMER", "USES", "FAILURES", "FIRST", "LAST"]);
    for one in items(answer, "/by_user") {
        table.row([
            at(one, "/user"),
            at(one, "/consumer"),
            at(one, "/uses"),
            at(one, "/failures"),
            when(one, "/first_at"),
            when(one, "/last_at"),
        ]);
    }
    section(&mut text, table);
    let mut table = Table::new(&["DAY", "USES", "FAILURES"]);
    for one in items(answer, "/by_day") {
        table.row([at(one, "/day"), at(one, "/uses"), at(one, "/failures")]);
    }
    section(&mut text, table);
    for one in items(answer, "/unusual") {
        let told = format!("unusual ({}): {}, {}", at(one, "/rule"), at(one, "/why"), when(one, "/at"));
        text.push_str(&line(&told));
    }
    text.push_str(&line(&at(answer, "/message")));
    text
}
