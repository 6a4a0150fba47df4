//! `unsaid import FILE`: the variables of a .env file become credentials, all of them or none.
//!
//! It shows names and never a value, runs nothing, and neither changes nor deletes the file.
use super::output::{Table, at, items, line, note};
use super::place::Place;
use super::{Context, Session, confirm};
use crate::error::{Code, Error, Result, internal};
use crate::import::{Dialect, MAX_FILE_BYTES, Parsed, detect, parse};
use crate::model::credential::{Environment, Scope};
use crate::ops::credential::create::CreateCredential;
use crate::ops::credential::value::{Entry, MOST_VALUE_BYTES, Target, enter_many};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::PathBuf;

/// Take over the variables of a .env file
#[derive(Args)]
#[command(after_help = "\
Shows what it would do and asks. What cannot be read without guessing is left out and listed.
The file stays as it is: delete it yourself, and rotate what was ever committed.

Examples:
  unsaid import .env
  unsaid import .env.production --scope team:backend --env prod
  heroku config --json | unsaid import - --dialect json --yes")]
pub struct Import {
    /// The file, or - for standard input
    file: PathBuf,
    /// Whose rules to read it by; told by the file's name where it is left out
    #[arg(long)]
    dialect: Option<Rules>,
    /// Where the credentials are kept: personal, team:NAME or org
    #[arg(long, value_name = "PLACE", default_value = "personal")]
    scope: Place,
    /// Which deployment they belong to: prod, staging, dev or any
    #[arg(long, value_name = "ENV")]
    env: Option<Environment>,
    /// Which account they belong to
    #[arg(long)]
    account: Option<String>,
    /// Take over these names alone
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    only: Vec<String>,
    /// Give those that exist already the file's value; they are left alone otherwise
    #[arg(long)]
    replace: bool,
    /// Show what would happen, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Rules {
    Dotenv,
    Docker,
    Systemd,
    Shell,
    Json,
}

impl From<Rules> for Dialect {
    fn from(rules: Rules) -> Self {
        match rules {
            Rules::Dotenv => Dialect::Dotenv,
            Rules::Docker => Dialect::Docker,
            Rules::Systemd => Dialect::Systemd,
            Rules::Shell => Dialect::Shell,
            Rules::Json => Dialect::Json,
        }
    }
}

/// What is to happen, and why some of it is not.
struct Plan {
    entries: Vec<Entry>,
    /// Name, what happens, why: as it is shown.
    lines: Vec<(String, &'static str, String)>,
}

impl Import {
    pub async fn run(self, cx: &Context) -> Result<()> {
        let session = cx.session().await?;
        let parsed = self.parsed()?;
        let plan = self.plan(parsed, &self.existing(&session).await?);
        let shown: Vec<_> = plan
            .lines
            .iter()
            .map(|(name, what, why)| json!({ "name": name, "does": what, "why": why }))
            .collect();
        if self.dry_run || plan.entries.is_empty() {
            return cx.print(&json!({ "plan": shown, "imported": 0 }), told);
        }
        // The plan is for the person who is asked: the answer says it again.
        if !self.yes {
            note(told(&json!({ "plan": shown })).trim_end());
            confirm::ask(&format!("Import {} credentials", plan.entries.len()), false)?;
        }
        let entered = enter_many(&session.app, &session.caller, plan.entries).await?;
        let imported =
            serde_json::to_value(&entered).map_err(|e| internal("the answer is no JSON").because(e))?;
        cx.print(&json!({ "plan": shown, "imported": entered.len(), "credentials": imported }), |a| {
            let counted =
                line(&format!("{} credentials imported; the file is as it was", at(a, "/imported")));
            if self.yes { told(a) + &counted } else { counted }
        })
    }

    fn parsed(&self) -> Result<Parsed> {
        let is_stdin = self.file.as_os_str() == "-";
        let bytes = match is_stdin {
            true => super::value::all(std::io::stdin(), MAX_FILE_BYTES)?,
            false => {
                let file = std::fs::File::open(&self.file).map_err(|e| {
                    Error::new(
                        Code::InvalidFile,
                        format!("{} cannot be read ({})", self.file.display(), e.kind()),
                    )
                    .because(e)
                })?;
                super::value::all(&file, MAX_FILE_BYTES)?
            }
        };
        let name = self.file.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
        let dialect = self.dialect.map_or_else(|| detect(&name, &bytes), Dialect::from);
        parse(dialect, &bytes)
    }

    /// Ids of what is in this place already, by name in upper case.
    async fn existing(&self, session: &Session) -> Result<HashMap<String, String>> {
        let mut found = HashMap::new();
        let mut cursor = Value::Null;
        loop {
            let arguments = json!({
                "scope": self.scope.scope, "team": self.scope.team, "limit": 100, "cursor": cursor,
                "environment": self.env.unwrap_or(Environment::Any),
            });
            let page = session.call("list_credentials", arguments).await?;
            for row in items(&page, "/credentials") {
                if at(row, "/account") == self.account.as_deref().unwrap_or("") {
                    found.insert(at(row, "/name").to_ascii_uppercase(), at(row, "/id"));
                }
            }
            cursor = page["next_cursor"].clone();
            if cursor.is_null() {
                return Ok(found);
            }
        }
    }

    fn plan(&self, parsed: Parsed, existing: &HashMap<String, String>) -> Plan {
        let mut plan = Plan { entries: Vec::new(), lines: Vec::new() };
        for entry in parsed.entries {
            let size_bytes = entry.value.expose(str::len);
            let wanted = self.only.is_empty()
                || self.only.iter().any(|name| name.trim().eq_ignore_ascii_case(&entry.name));
            let id = existing.get(&entry.name.to_ascii_uppercase());
            let skip = match id {
                _ if !wanted => continue,
                _ if size_bytes == 0 => Some("its value is empty"),
                _ if size_bytes > MOST_VALUE_BYTES => Some("its value is larger than 64 KiB"),
                Some(_) if !self.replace => Some("it is there already; --replace gives it this value"),
                _ => None,
            };
            if let Some(why) = skip {
                plan.lines.push((entry.name, "skip", why.into()));
                continue;
            }
            let (target, what) = match id {
                Some(id) => (Target::Existing(id.clone()), "replace"),
                None => (Target::New(Box::new(self.new_credential(&entry.name))), "create"),
            };
            let notes: Vec<_> =
                parsed.notes.iter().filter(|note| note.name == entry.name).map(|note| note.text).collect();
            plan.lines.push((entry.name, what, notes.join("; ")));
            plan.entries.push(Entry {
                target,
                values: vec![("value".into(), entry.value.into_bytes())],
                file_name: String::new(),
            });
        }
        for skipped in parsed.skipped {
            let name = skipped.name.unwrap_or_else(|| format!("line {}", skipped.line));
            plan.lines.push((name, "skip", format!("line {}: {}", skipped.line, skipped.why)));
        }
        plan
    }

    fn new_credential(&self, name: &str) -> CreateCredential {
        CreateCredential {
            name: name.to_owned(),
            scope: Some(self.scope.scope),
            team: self.scope.team.clone().filter(|_| self.scope.scope == Scope::Team),
            account: self.account.clone(),
            environment: self.env,
            ..CreateCredential::default()
        }
    }
}

fn told(answer: &Value) -> String {
    let mut table = Table::new(&["NAME", "DOES", "WHY"]);
    for one in items(answer, "/plan") {
        table.row([at(one, "/name"), at(one, "/does"), at(one, "/why")]);
    }
    table.text("There is nothing to import in it.")
}
