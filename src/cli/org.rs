//! `unsaid org`: the tenants of this vault.
use super::Context;
use super::output::{Table, at, items, line};
use crate::error::{Code, Error, Result, internal};
use crate::model::org::Role;
use crate::model::text::DisplayName;
use crate::ops::org::{FirstAdmin, create_org, list_orgs, rename};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

/// List the orgs of this vault, or make another
#[derive(Args)]
pub struct Org {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// List the orgs of this vault
    List,
    /// Make an org with its first admin
    Create {
        /// Its name
        name: String,
        /// Login of its first admin; yours where it is left out
        #[arg(long, value_name = "LOGIN")]
        admin: Option<String>,
    },
    /// Give the org another name
    Rename {
        /// The new name
        name: String,
    },
}

impl Org {
    pub async fn run(self, cx: &Context) -> Result<()> {
        let session = cx.session().await?;
        let (app, caller) = (&session.app, &session.caller);
        let json_of = |value: serde_json::Result<Value>| {
            value.map_err(|e| internal("the answer is no JSON").because(e))
        };
        match self.action {
            Action::List => {
                local_admin(cx, &session).await?;
                let orgs = json_of(serde_json::to_value(list_orgs(app).await?))?;
                cx.print(&json!({ "orgs": orgs }), told)
            }
            Action::Create { name, admin } => {
                let me = local_admin(cx, &session).await?;
                let admin = FirstAdmin { login: admin.unwrap_or(me), display_name: None };
                let made = create_org(app, DisplayName::parse(&name)?, admin).await?;
                let made = json_of(serde_json::to_value(&made))?;
                cx.print(&made, |o| {
                    line(&format!("org {} made, with {} as its admin", at(o, "/name"), at(o, "/login")))
                        + &line(&format!("Work in it with `unsaid --org '{}' …`.", at(o, "/name")))
                })
            }
            Action::Rename { name } => {
                let row =
                    json_of(serde_json::to_value(rename(app, caller, DisplayName::parse(&name)?).await?))?;
                cx.print(&row, |o| line(&format!("the org is called {} now", at(o, "/name"))))
            }
        }
    }
}

/// The login of the local person, who must be an admin and act as nobody else: orgs belong to the vault, not to one of them.
async fn local_admin(cx: &Context, session: &super::Session) -> Result<String> {
    let caller = session.caller.clone();
    let who = session.app.store.read(move |tx| tx.standing(&caller)).await?;
    match who.role == Role::Admin && cx.as_user.is_none() {
        true => Ok(who.login),
        false => Err(Error::new(
            Code::NotAllowed,
            "only an admin of this vault, as themselves, sees and makes orgs",
        )),
    }
}

fn told(answer: &Value) -> String {
    let mut table = Table::new(&["NAME", "SHARING PLAN", "ID"]);
    for org in items(answer, "/orgs") {
        table.row([at(org, "/name"), at(org, "/sharing_plan"), at(org, "/id")]);
    }
    table.text("There is no org.")
}
