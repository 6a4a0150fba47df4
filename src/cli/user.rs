//! `unsaid user`: the people of the org. Nobody is removed, for the log names them: they are disabled, or erased.
use super::Context;
use super::output::{Table, at, items, line};
use crate::error::Result;
use crate::model::org::Role;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

/// Administer the people of the org
#[derive(Args)]
pub struct User {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// List the people of the org
    List {
        /// Only those with these words in login or name
        text: Option<String>,
    },
    /// Add a person
    Add {
        /// Lower case, as ada or ada@example.com
        login: String,
        /// The name people read
        #[arg(long)]
        name: Option<String>,
        /// admin, auditor or member
        #[arg(long, default_value = "member")]
        role: Role,
    },
    /// Give a person another role
    Role {
        /// Login or id
        user: String,
        /// admin, auditor or member
        role: Role,
    },
    /// Give a person another name
    Rename {
        /// Login or id
        user: String,
        /// The name people read
        name: String,
    },
    /// Stop a person from using the vault
    Disable {
        /// Login or id
        user: String,
    },
    /// Take a person's name out of the vault and destroy what was theirs alone, for good
    Erase {
        /// Login or id
        user: String,
    },
    /// Let a disabled person use the vault again
    Enable {
        /// Login or id
        user: String,
    },
}

impl User {
    pub async fn run(self, cx: &Context) -> Result<()> {
        let session = cx.session().await?;
        let (operation, arguments) = match self.action {
            Action::List { text } => {
                let mut rows: Vec<Value> = Vec::new();
                let mut cursor = Value::Null;
                loop {
                    let page = session.call("list_users", json!({ "text": text, "cursor": cursor })).await?;
                    rows.extend(items(&page, "/users").iter().cloned());
                    cursor = page["next_cursor"].clone();
                    if cursor.is_null() {
                        return cx.print(&json!({ "users": rows }), told);
                    }
                }
            }
            Action::Add { login, name, role } => {
                ("add_user", json!({ "login": login, "display_name": name, "role": role }))
            }
            Action::Erase { user } => ("erase_user", json!({ "user": user })),
            Action::Role { user, role } => ("update_user", json!({ "user": user, "role": role })),
            Action::Rename { user, name } => ("update_user", json!({ "user": user, "display_name": name })),
            Action::Disable { user } => ("update_user", json!({ "user": user, "disabled": true })),
            Action::Enable { user } => ("update_user", json!({ "user": user, "disabled": false })),
        };
        if operation == "erase_user" {
            let answer = session.call(operation, arguments).await?;
            return cx.print(&answer, |erased| {
                let destroyed = at(erased, "/credentials_destroyed");
                let mut text = line(&format!("erased; the log goes on naming {}", at(erased, "/login")));
                text.push_str(&line(&format!("personal credentials destroyed: {destroyed}")));
                text.push_str(&line(&at(erased, "/note")));
                text
            });
        }
        let answer = session.call(operation, arguments).await?;
        cx.print(&answer, |user| {
            let disabled = if user["disabled"] == true { ", disabled" } else { "" };
            line(&format!("{} is {}{disabled}", at(user, "/login"), at(user, "/role")))
        })
    }
}

fn told(answer: &Value) -> String {
    let mut table = Table::new(&["LOGIN", "NAME", "ROLE", "STATE"]);
    for user in items(answer, "/users") {
        let state = if user["disabled"] == true { "disabled" } else { "" };
        table.row([at(user, "/login"), at(user, "/display_name"), at(user, "/role"), state.to_owned()]);
    }
    table.text("There is nobody of that name.")
}
