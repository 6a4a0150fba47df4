//! `unsaid import FILE`: takes the variables of a .env file over, all or none.
//!
//! Shows names only. The file stays as it is; removing it is the person's own decision.
use super::Context;
use super::confirm::ask;
use super::output::{self, Table, at, line, note};
use super::place::Place;
use super::value::all;
use crate::error::{Code, Error, Result, internal};
use crate::import::{self, Dialect};
use crate::model::credential::{Environment, Scope};
use crate::ops::credential::create::CreateCredential;
use crate::ops::credential::value::{Entry, Target, enter_many};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use std::path::PathBuf;

/// The largest file that is read.
const MOST: usize = 1024 * 1024;

/// Take over the variables of a .env file
#[derive(Args)]
#[command(after_help = "\
Every variable becomes a credential of its own; one that is there gets a new version only with --replace.
Examples:
  unsaid import .env
  unsaid import prod.env --scope team:backend --env prod --dialect docker
  unsaid import .env --only GITHUB_TOKEN,STRIPE_KEY --yes")]
pub struct Import {
    /// The file, or - for standard input
    file: PathBuf,
    /// Whose rules it follows; told from its name and content where it is left out
    #[arg(long, value_enum)]
    dialect: Option<Rules>,
    /// Where the credentials are kept: personal, team:NAME or org
    #[arg(long, value_name = "PLACE")]
    scope: Option<Place>,
    /// Which deployment they belong to: prod, staging, dev or any
    #[arg(long, value_name = "ENV")]
    env: Option<Environment>,
    /// Only these variables
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    only: Vec<String>,
    /// Give credentials that are there a new version
    #[arg(long)]
    replace: bool,
    /// Show what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

#[derive(Clone, Copy, ValueEnum)]
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

impl Import {
    pub async fn run(self, cx: &Context) -> Result<()> {
        let shown = self.file.display().to_string();
        let failed = |e: std::io::Error| {
            Error::new(Code::InvalidFile, format!("{shown} cannot be read ({})", e.kind())).because(e)
        };
        let bytes = match shown == "-" {
            true => all(std::io::stdin(), MOST)?,
            false => all(std::fs::File::open(&self.file).map_err(failed)?, MOST)?,
        };
        let name = self.file.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let dialect = self.dialect.map_or_else(|| import::detect(&name, &bytes), Dialect::from);
        let parsed = import::parse(dialect, &bytes)?;
        drop(bytes);
        let session = cx.session().await?;
        let place = self.scope.clone().unwrap_or(Place { scope: Scope::Personal, team: None });
        let mut plan: Vec<(String, &'static str)> = Vec::new();
        let mut skipped: Vec<(String, String)> = Vec::new();
        for s in &parsed.skipped {
            skipped.push((s.name.clone().unwrap_or_else(|| format!("line {}", s.line)), s.why.to_owned()));
        }
        let mut entries = Vec::new();
        for entry in parsed.entries {
            if !self.only.is_empty() && !self.only.iter().any(|n| n.eq_ignore_ascii_case(&entry.name)) {
                continue;
            }
            let value = entry.value.into_bytes();
            if value.size_bytes() == 0 {
                skipped.push((entry.name, "it has no value".into()));
                continue;
            }
            let target = match existing(&session, &place, &entry.name, self.env).await? {
                Some(_) if !self.replace => {
                    skipped.push((
                        entry.name,
                        "there is one already; say --replace to give it a new version".into(),
                    ));
                    continue;
                }
                Some(id) => {
                    plan.push((entry.name, "new version"));
                    Target::Existing(id)
                }
                None => {
                    let create = CreateCredential {
                        name: entry.name.clone(),
                        scope: Some(place.scope),
                        team: place.team.clone(),
                        environment: self.env,
                        ..CreateCredential::default()
                    };
                    plan.push((entry.name, "new"));
                    Target::New(Box::new(create))
                }
            };
            entries.push(Entry {
                target,
                values: vec![("value".to_owned(), value)],
                file_name: String::new(),
            });
        }
        for n in &parsed.notes {
            note(&format!("{} (line {}): {}", n.name, n.line, n.text));
        }
        let mut answer = json!({
            "plan": plan.iter().map(|(name, what)| json!({ "name": name, "action": what })).collect::<Vec<_>>(),
            "skipped": skipped.iter().map(|(name, why)| json!({ "name": name, "why": why })).collect::<Vec<_>>(),
            "imported": 0,
        });
        if entries.is_empty() || self.dry_run {
            return cx.print(&answer, told);
        }
        if !cx.json {
            told(&answer).lines().for_each(note);
        }
        ask(&format!("import {} credentials into {}", entries.len(), place.scope), self.yes)?;
        let done = enter_many(&session.app, &session.caller, entries).await?;
        answer["imported"] = json!(done.len());
        if !cx.json {
            let mut text = line(&format!("{} credentials imported", done.len()));
            if !skipped.is_empty() {
                text.push_str(&line(&format!(
                    "{} entries were not taken over and are in {shown} only: keep it, or move them first.",
                    skipped.len()
                )));
            } else if shown != "-" {
                text.push_str(&line(&format!(
                    "The values still stand in {shown}: delete it when nothing needs it, for instance with `shred -u`."
                )));
            }
            return output::put(&text);
        }
        let text = serde_json::to_string_pretty(&answer)
            .map_err(|e| internal("the answer is no JSON").because(e))?;
        output::put(&format!("{text}\n"))
    }
}

/// The id of the credential of this name in exactly this place, where there is one.
async fn existing(
    session: &super::Session,
    place: &Place,
    name: &str,
    env: Option<Environment>,
) -> Result<Option<String>> {
    let found = session.call("explain_resolution", json!({ "name": name })).await?;
    let considered = output::items(&found, "/considered").to_vec();
    for one in considered {
        if at(&one, "/scope") != place.scope.to_string() {
            continue;
        }
        let id = at(&one, "/id");
        let detail = session.call("get_credential", json!({ "credential": id })).await?;
        let same_env = at(&detail, "/environment") == env.unwrap_or(Environment::Any).to_string();
        let same_team = match (&place.team, place.scope) {
            (Some(team), Scope::Team) => at(&detail, "/owner") == *team || at(&detail, "/owner_id") == *team,
            _ => true,
        };
        if same_env && same_team && at(&detail, "/account").is_empty() && at(&detail, "/type") == "api_key" {
            return Ok(Some(id));
        }
    }
    Ok(None)
}

fn told(answer: &Value) -> String {
    let mut table = Table::new(&["NAME", "WHAT", "WHY"]);
    for one in output::items(answer, "/plan") {
        table.row([at(one, "/name"), at(one, "/action"), String::new()]);
    }
    for one in output::items(answer, "/skipped") {
        table.row([at(one, "/name"), "skipped".into(), at(one, "/why")]);
    }
    table.text("There is nothing to import.")
}
