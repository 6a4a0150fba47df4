//! `unsaid org`: the orgs of this vault that you are in.
use super::output::{Table, at, items, line};
use super::{Context, Session};
use crate::error::{Code, Error, Result, internal};
use crate::model::org::Role;
use crate::model::text::DisplayName;
use crate::ops::org::{FirstAdmin, create_org, rename};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

/// List the orgs of this vault, or make another
#[derive(Args)]
pub struct Org {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Subcommand)]
enum Action {
    /// List the orgs that you are in
    List,
    /// Make another org, with yourself as its first admin; for admins
    Create {
        /// Its name
        name: String,
    },
    /// Give this org another name; for admins
    Rename {
        /// The new name
        name: String,
    },
}

impl Org {
    pub async fn run(self, cx: &Context) -> Result<()> {
        let session = cx.session().await?;
        match self.action {
            None | Some(Action::List) => cx.print(&list(&session).await?, told),
            Some(Action::Create { name }) => {
                let login = admin(&session).await?;
                let first = FirstAdmin { login, display_name: None };
                let made = create_org(&session.app, DisplayName::parse(&name)?, first).await?;
                cx.print(&json(&made)?, |org| {
                    line(&format!("org {} made; work in it with --org {}", at(org, "/name"), at(org, "/org")))
                })
            }
            Some(Action::Rename { name }) => {
                let row = rename(&session.app, &session.caller, DisplayName::parse(&name)?).await?;
                cx.print(&json(&row)?, |org| line(&format!("the org is {} now", at(org, "/name"))))
            }
        }
    }
}

fn json(value: &impl serde::Serialize) -> Result<Value> {
    serde_json::to_value(value).map_err(|e| internal("the answer is no JSON").because(e))
}

/// The caller's login, if they are an admin here: whoever administers nothing makes no org.
async fn admin(session: &Session) -> Result<String> {
    let caller = session.caller.clone();
    let who = session.app.store.read(move |tx| tx.standing(&caller)).await?;
    match who.role {
        Role::Admin => Ok(who.login),
        _ => Err(Error::new(Code::NotAllowed, "only an admin makes another org")),
    }
}

/// An org that somebody is not in does not exist for them.
async fn list(session: &Session) -> Result<Value> {
    let caller = session.caller.clone();
    session
        .app
        .store
        .read(move |tx| {
            let me = tx.standing(&caller)?;
            let mut rows = Vec::new();
            for org in tx.orgs()? {
                let user = tx
                    .users(&org.id)?
                    .into_iter()
                    .find(|user| user.login == me.login && user.disabled_at.is_none());
                if let Some(user) = user {
                    rows.push(json!({
                        "id": org.id, "name": org.name, "sharing_plan": org.sharing_plan, "role": user.role,
                        "current": org.id == caller.org,
                    }));
                }
            }
            Ok(json!({ "orgs": rows }))
        })
        .await
}

fn told(answer: &Value) -> String {
    let mut table = Table::new(&["", "ORG", "PLAN", "YOU ARE", "ID"]);
    for org in items(answer, "/orgs") {
        let here = if org["current"] == true { "*" } else { "" };
        table.row([
            here.to_owned(),
            at(org, "/name"),
            at(org, "/sharing_plan"),
            at(org, "/role"),
            at(org, "/id"),
        ]);
    }
    table.text("There is no org that you are in.")
}
