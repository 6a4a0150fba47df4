//! `unsaid team`: teams, and who is in them.
use super::Context;
use super::output::{Table, at, items, line};
use crate::error::{Code, Error, Result};
use crate::model::org::TeamRole;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

/// Administer teams and who is in them
#[derive(Args)]
pub struct Team {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// List the teams, with the members of yours
    List,
    /// Make a team
    Create {
        /// Its name
        name: String,
        /// Who owns it: login or id; you where it is left out
        #[arg(long, value_name = "USER")]
        owner: Option<String>,
    },
    /// Delete a team that keeps no credentials any more
    Delete {
        /// Name or id
        team: String,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
    /// Put a person into a team, or change what they are in it
    Add {
        /// Name or id
        team: String,
        /// Login or id
        user: String,
        /// owner, admin or member
        #[arg(long, default_value = "member")]
        role: TeamRole,
    },
    /// Take a person out of a team
    Remove {
        /// Name or id
        team: String,
        /// Login or id
        user: String,
    },
}

impl Team {
    pub async fn run(self, cx: &Context) -> Result<()> {
        let session = cx.session().await?;
        match self.action {
            Action::List => cx.print(&session.call("list_teams", json!({})).await?, told),
            Action::Create { name, owner } => {
                let answer = session.call("create_team", json!({ "name": name, "owner": owner })).await?;
                cx.print(&answer, |team| {
                    line(&format!("team {} made ({})", at(team, "/name"), at(team, "/id")))
                })
            }
            Action::Delete { team, yes } => {
                expect_team(&session.call("list_teams", json!({})).await?, &team)?;
                super::confirm::ask(&format!("delete team {team}"), yes)?;
                let answer = session.call_with("delete_team", json!({ "team": team }), yes).await?;
                cx.print(&answer, |_| line("the team is deleted"))
            }
            Action::Add { team, user, role } => {
                let arguments = json!({ "team": team, "user": user, "role": role });
                let answer = session.call("set_member", arguments).await?;
                cx.print(&answer, |m| {
                    line(&format!("{} is {} of {}", at(m, "/user"), at(m, "/role"), at(m, "/team")))
                })
            }
            Action::Remove { team, user } => {
                let answer = session.call("remove_member", json!({ "team": team, "user": user })).await?;
                cx.print(&answer, |m| {
                    line(&format!("{} is not in {} any more", at(m, "/user"), at(m, "/team")))
                })
            }
        }
    }
}

/// Nobody is asked about a team that there is not.
fn expect_team(teams: &Value, wanted: &str) -> Result<()> {
    let is_it = |team: &Value| team["name"] == wanted || team["id"] == wanted;
    match items(teams, "/teams").iter().any(is_it) {
        true => Ok(()),
        false => Err(Error::new(Code::TeamNotFound, "there is no such team").next("Run `unsaid team list`.")),
    }
}

fn told(answer: &Value) -> String {
    let mut table = Table::new(&["TEAM", "MEMBERS", "ID"]);
    for team in items(answer, "/teams") {
        let members: Vec<_> = items(team, "/members")
            .iter()
            .map(|m| format!("{} ({})", at(m, "/user"), at(m, "/role")))
            .collect();
        table.row([at(team, "/name"), members.join(", "), at(team, "/id")]);
    }
    table.text("There is no team.")
}
