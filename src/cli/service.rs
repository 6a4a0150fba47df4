//! `unsaid service`: the catalogue of services.
use super::Context;
use super::output::{Table, at, items, line, pairs};
use crate::error::{Code, Error, Result, invalid};
use crate::services::{Catalogue, Servers};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::path::PathBuf;

/// Look up a service: its keys, how to rotate them, who uses it
#[derive(Args)]
pub struct Service {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// List the services of the catalogue
    List {
        /// Only those with these words in their names
        text: Option<String>,
        /// Only this category
        #[arg(long)]
        category: Option<String>,
        /// Only those one can connect to by OAuth
        #[arg(long)]
        oauth: bool,
    },
    /// Show what is known about a service
    Show {
        /// Its id or another name, as github
        service: String,
    },
    /// Check a folder of own service files and server definitions, each by itself
    Check {
        /// The folder; where none is said, those of `[catalogue] folder` and `[catalogue] servers`
        folder: Option<PathBuf>,
    },
    /// Tell how to rotate a credential, or the keys of a service
    Guide {
        /// Its id or another name, as github
        #[arg(required_unless_present = "credential")]
        service: Option<String>,
        /// For this credential
        #[arg(long, value_name = "NAME")]
        credential: Option<String>,
    },
}

impl Service {
    pub async fn run(self, cx: &Context) -> Result<()> {
        match self.action {
            Action::List { text, category, oauth } => {
                let session = cx.session().await?;
                let mut rows: Vec<Value> = Vec::new();
                let mut cursor = Value::Null;
                loop {
                    let arguments = json!({
                        "text": text, "category": category, "oauth": oauth.then_some(true), "cursor": cursor,
                    });
                    let page = session.call("list_services", arguments).await?;
                    rows.extend(items(&page, "/services").iter().cloned());
                    cursor = page["next_cursor"].clone();
                    if cursor.is_null() {
                        return cx.print(&json!({ "services": rows }), list);
                    }
                }
            }
            Action::Show { service } => {
                cx.print(&cx.call("get_service", json!({ "service": service })).await?, detail)
            }
            Action::Check { folder } => {
                let own = &cx.config.file.catalogue;
                let catalogue = own.folder.as_deref().and_then(|folder| Catalogue::with_folder(folder).ok());
                let catalogue = catalogue.as_ref().unwrap_or(Catalogue::embedded());
                let servers = crate::app::servers_folder(&cx.config);
                let folders: Vec<PathBuf> = match folder {
                    Some(folder) => vec![folder],
                    None => own.folder.iter().cloned().chain(servers.is_dir().then_some(servers)).collect(),
                };
                if folders.is_empty() {
                    return Err(invalid("there is no folder of own files").next(
                        "Name one: `unsaid service check FOLDER`, or set `[catalogue] folder` in unsaid.toml.",
                    ));
                }
                let mut checked = Vec::new();
                for folder in &folders {
                    checked.extend(Catalogue::check_folder(folder)?);
                    checked.extend(Servers::check_folder(folder, catalogue)?);
                }
                let wrong = checked.iter().filter(|one| one.fault.is_some()).count();
                let shown: Vec<_> = folders.iter().map(|folder| folder.display().to_string()).collect();
                cx.print(&json!({ "folder": shown.join(", "), "files": checked }), files)?;
                match wrong {
                    0 => Ok(()),
                    n => Err(Error::new(Code::InvalidFile, format!("{n} of {} files cannot be used", checked.len()))
                        .next("Correct what is said beside each; service.schema.json and server.schema.json in manifests/schema say what a file holds.")),
                }
            }
            Action::Guide { service, credential } => {
                let arguments = json!({ "service": service, "credential": credential });
                cx.print(&cx.call("get_rotation_guide", arguments).await?, guide)
            }
        }
    }
}

fn files(answer: &Value) -> String {
    let mut table = Table::new(&["FILE", "", "WHAT IS WRONG"]);
    for one in items(answer, "/files") {
        let fault = at(one, "/fault");
        table.row([at(one, "/file"), if fault.is_empty() { "good" } else { "wrong" }.into(), fault]);
    }
    table.text("There is no *.toml in that folder.")
}

fn list(answer: &Value) -> String {
    let mut table = Table::new(&["ID", "NAME", "CATEGORY", "TYPES", "OAUTH"]);
    for one in items(answer, "/services") {
        let oauth = if one["oauth"] == true { "yes" } else { "" };
        table.row([
            at(one, "/id"),
            at(one, "/name"),
            at(one, "/category"),
            at(one, "/credential_types"),
            oauth.to_owned(),
        ]);
    }
    table.text("There is no such service in the catalogue.")
}

fn detail(one: &Value) -> String {
    let yes =
        |path: &str| if one.pointer(path) == Some(&Value::Bool(true)) { "yes" } else { "no" }.to_owned();
    let mut text = pairs(&[
        ("name", at(one, "/name")),
        ("id", at(one, "/id")),
        ("also", at(one, "/aliases")),
        ("category", at(one, "/category")),
        ("types", at(one, "/credential_types")),
        ("variables", at(one, "/env_names")),
        ("manage", at(one, "/manage_url")),
        ("documents", at(one, "/docs_url")),
        ("replace every", format!("{} days", at(one, "/recommended_interval_days"))),
        ("overlap", yes("/overlap")),
        ("notice", at(one, "/lifecycle_notice")),
        ("notes", at(one, "/notes")),
    ]);
    let mut table = Table::new(&["KEY", "LOOKS LIKE", "NOTE"]);
    for key in items(one, "/keys") {
        table.row([at(key, "/kind"), at(key, "/example_shape"), at(key, "/note")]);
    }
    if !table.is_empty() {
        text.push('\n');
        text.push_str(&table.text(""));
    }
    text
}

fn guide(answer: &Value) -> String {
    let mut text = pairs(&[
        ("service", at(answer, "/guide/name")),
        ("credential", at(answer, "/credential/name")),
        ("status", at(answer, "/credential/status/message")),
        ("used by", at(answer, "/credential/used_by")),
        (
            "overlap",
            match answer.pointer("/guide/overlap") {
                Some(Value::Bool(true)) => "the old and the new key may work side by side".to_owned(),
                Some(Value::Bool(false)) => "the old key dies when the new one is made".to_owned(),
                _ => String::new(),
            },
        ),
        ("warning", at(answer, "/guide/warning")),
        ("documents", at(answer, "/guide/docs_url")),
    ]);
    for page in items(answer, "/guide/pages") {
        text.push_str(&line(&format!("open: {} ({})", at(page, "/url"), at(page, "/what"))));
    }
    if !items(answer, "/guide/steps").is_empty() {
        text.push_str("\nAt the service:\n");
        for (n, step) in items(answer, "/guide/steps").iter().enumerate() {
            text.push_str(&line(&format!("{}. {}", n + 1, step.as_str().unwrap_or_default())));
        }
        text.push_str("\nHere:\n");
    }
    for (n, step) in items(answer, "/steps").iter().enumerate() {
        text.push_str(&line(&format!("{}. {}", n + 1, step.as_str().unwrap_or_default())));
    }
    text
}
