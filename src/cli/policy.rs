//! `unsaid policy`: what the org allows.
use super::Context;
use super::output::{at, items, line, pairs};
use crate::error::{Result, invalid};
use crate::model::org::SharingPlan;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

/// Show or change what the org allows
#[derive(Args)]
pub struct Policy {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Subcommand)]
enum Action {
    /// Show the policy
    Show,
    /// Change the policy; for admins
    Set {
        /// Which scopes there are: workspace, single_team or multi_team
        #[arg(long, value_name = "PLAN")]
        sharing_plan: Option<SharingPlan>,
        /// How many days the bin keeps a credential
        #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(i64).range(1..=365))]
        bin_days: Option<i64>,
        /// How many days before its end a credential counts as expiring
        #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(i64).range(0..=365))]
        warn_days: Option<i64>,
    },
}

impl Policy {
    pub async fn run(self, cx: &Context) -> Result<()> {
        let answer = match self.action {
            None | Some(Action::Show) => cx.call("get_policy", json!({})).await?,
            Some(Action::Set { sharing_plan: None, bin_days: None, warn_days: None }) => {
                return Err(invalid("nothing is to be changed")
                    .next("Say what: --sharing-plan, --bin-days or --warn-days."));
            }
            Some(Action::Set { sharing_plan, bin_days, warn_days }) => {
                let arguments =
                    json!({ "sharing_plan": sharing_plan, "bin_days": bin_days, "warn_days": warn_days });
                cx.call("set_policy", arguments).await?
            }
        };
        cx.print(&answer, told)
    }
}

fn told(policy: &Value) -> String {
    let mut text = pairs(&[
        ("org", at(policy, "/org")),
        ("sharing plan", at(policy, "/sharing_plan")),
        ("scopes", at(policy, "/scopes")),
        ("bin", format!("{} days", at(policy, "/bin_days"))),
        ("expiring", format!("{} days before the end", at(policy, "/warn_days"))),
    ]);
    for note in items(policy, "/notes") {
        text.push_str(&line(&format!("note: {}", note.as_str().unwrap_or_default())));
    }
    text.push_str("\nWho confirms:\n");
    for rule in items(policy, "/confirmations") {
        text.push_str(&line(&format!("  {}", rule.as_str().unwrap_or_default())));
    }
    text
}
