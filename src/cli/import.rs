//! `unsaid import FILE`: takes the credentials of a file over, all or none.
//!
//! Shows names only. The file is shredded where the person says so, and else stays as it is.
use super::Context;
use super::confirm::ask;
use super::output::{self, Table, at, line, note};
use super::place::Place;
use super::terminal::Terminal;
use super::value::all;
use crate::error::{Code, Error, Result, internal, invalid};
use crate::import::{Format, MAX_ARCHIVE_BYTES, MAX_TEXT_BYTES, detect_format};
use crate::model::Word as _;
use crate::model::credential::{Environment, Scope};
use crate::ops::credential::value::Progress;
use crate::ops::import::{self as importing, Action, Into, Known, OnClash, Plan, Wish, plan, read};
use clap::builder::{PossibleValue, PossibleValuesParser};
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};
use std::path::PathBuf;
use zeroize::Zeroizing;

/// The most rows of a plan that are shown before the question.
const MOST_SHOWN: usize = 200;
/// From how many credentials on an import is long enough for a bar.
const LONG: usize = 500;

const HONEST: &str = "it is overwritten, flushed and removed; an SSD, a copy-on-write file system, a snapshot or a backup may keep it";

/// Take over what a .env file, a password manager's export, a secret store's answer or a .netrc and the like hold
#[derive(Args)]
#[command(after_help = "\
A variable or a single secret becomes an api_key; user name and password a basic one (NAME_USERNAME, NAME_PASSWORD);
more than that a custom one with its fields, notes and one-time codes among them, all kept secret; a document or an
SSH key a file. Names are made of titles: Acme Prod (API) is ACME_PROD_API. All is taken over, or nothing.
The configuration of an MCP client is not imported but wrapped: unsaid mcp-config --wrap FILE.

Examples:
  unsaid import .env
  unsaid import prod.env --scope team:backend --env prod --from docker
  unsaid import .env --only GITHUB_TOKEN,STRIPE_KEY --yes
  unsaid import bitwarden.json --dry-run
  unsaid import export.1pux --on-clash rename --shred
  unsaid import ~/.aws/credentials
  kubectl get secret app -o yaml | unsaid import - --split --yes
  vault kv get -format=json kv/app | unsaid import - --name APP --yes")]
pub struct Import {
    /// The file, or - for standard input
    file: PathBuf,
    /// Who wrote the file; told from its name and content where it is left out
    #[arg(long, visible_alias = "dialect", value_name = "FORMAT", value_parser = formats())]
    from: Option<String>,
    /// Where the credentials are kept: personal, team:NAME or org
    #[arg(long, value_name = "PLACE")]
    scope: Option<Place>,
    /// Which deployment they belong to: prod, staging, dev or any
    #[arg(long, value_name = "ENV")]
    env: Option<Environment>,
    /// Only credentials of these names
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    only: Vec<String>,
    /// What to call a secret whose file does not name it (Vault); else it is called like the file
    #[arg(long)]
    name: Option<String>,
    /// What to do where a credential is there already; asked on a terminal, else skip
    #[arg(long, value_enum, value_name = "WHAT")]
    on_clash: Option<Clashing>,
    /// Give credentials that are there a new version: the same as --on-clash replace
    #[arg(long, conflicts_with = "on_clash")]
    replace: bool,
    /// Make each named value of a secret a credential of its own (Vault, AWS, Kubernetes)
    #[arg(long)]
    split: bool,
    /// Take secure notes over too
    #[arg(long)]
    notes: bool,
    /// Overwrite and remove the file once everything of it is in the vault
    #[arg(long)]
    shred: bool,
    /// Show what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Clashing {
    /// What is there stays
    Skip,
    /// What is there gets a new version
    Replace,
    /// Both are kept, the file's under another name
    Rename,
}

fn formats() -> PossibleValuesParser {
    PossibleValuesParser::new(Format::words().map(|word| match word {
        "chrome" => PossibleValue::new(word).aliases(["edge", "brave", "opera", "vivaldi", "chromium"]),
        word => PossibleValue::new(word),
    }))
}

/// What was read: the bytes, and the file by which it is known again.
struct Source {
    bytes: Zeroizing<Vec<u8>>,
    known: Option<Known>,
    shown: String,
}

impl Import {
    pub async fn run(self, cx: &Context) -> Result<()> {
        let source = self.source()?;
        let file_name = self.file.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let format = match self.from.as_deref().and_then(Format::named) {
            Some(format) => format,
            None => detect_format(&file_name, &source.bytes)?,
        };
        let session = cx.session().await?;
        let wish = Wish { split: self.split, notes: self.notes, name: self.secret_name() };
        let batch = read(&session.app, format, &source.bytes, &wish)
            .map_err(|e| if self.from.is_none() { read_as(e, format) } else { e })?;
        let Source { bytes, known, shown } = source;
        drop(bytes);
        let place = self.scope.clone().unwrap_or(Place { scope: Scope::Personal, team: None });
        let into = Into { scope: place.scope, team: place.team, environment: self.env };
        let mut plan = plan(&session.app, &session.caller, format, batch, into, self.only.clone()).await?;
        if let Some(what) = self.clashing() {
            plan.decide(what);
        }
        for r in plan.remarks.iter().take(MOST_SHOWN) {
            note(&match r.name.is_empty() {
                true => format!("{}: {}", r.at, r.text),
                false => format!("{} ({}): {}", r.name, r.at, r.text),
            });
        }
        if self.dry_run || (plan.to_store() == 0 && plan.undecided() == 0) {
            return cx.print(&answer(&plan, 0), |a| told(a, usize::MAX));
        }
        if !cx.json {
            told(&answer(&plan, 0), MOST_SHOWN).lines().for_each(note);
        }
        if !self.yes {
            self.ask_about_clashes(&mut plan)?;
        }
        plan.decide(OnClash::Skip);
        let count = plan.to_store();
        if count == 0 {
            note("nothing is imported: all of it is there already");
            return cx.print(&answer(&plan, 0), |_| String::new());
        }
        ask(&format!("import {count} credentials of {} into {}", format.title(), place.scope), self.yes)?;
        let (mut answer, missing) = (answer(&plan, count), plan.missing());
        let bar = bar(count);
        let (shown_bar, progress) = (bar.clone(), bar.clone());
        let progress: Progress = Box::new(move |done| progress.set_position(done as u64));
        let done = importing::import(&session.app, &session.caller, plan, Some(progress)).await;
        shown_bar.finish_and_clear();
        let done = done?;
        answer["imported"] = json!(done.len());
        let shredded = match known {
            Some(known) => self.offer_to_shred(&known, missing, &shown)?,
            None => false,
        };
        answer["shredded"] = json!(shredded);
        if cx.json {
            let text = serde_json::to_string_pretty(&answer)
                .map_err(|e| internal("the answer is no JSON").because(e))?;
            return output::put(&format!("{text}\n"));
        }
        let mut text = line(&format!("{} credentials imported", done.len()));
        match (shredded, missing) {
            (true, _) => text.push_str(&line(&format!("{shown} is shredded."))),
            (false, 0) if shown != "-" => text.push_str(&line(&format!(
                "The values still stand in {shown}: delete it when nothing needs it, or import with --shred."
            ))),
            (false, 0) => {}
            (false, n) => text.push_str(&line(&format!(
                "{n} entries were not taken over and are in {shown} only: keep it, or move them first."
            ))),
        }
        output::put(&text)
    }

    fn source(&self) -> Result<Source> {
        let shown = self.file.display().to_string();
        if shown == "-" {
            if self.shred {
                return Err(invalid("standard input cannot be shredded").next("Leave --shred out."));
            }
            return Ok(Source { bytes: all(std::io::stdin(), MAX_TEXT_BYTES)?, known: None, shown });
        }
        let failed = |e: std::io::Error| {
            Error::new(Code::InvalidFile, format!("{shown} cannot be read ({})", e.kind())).because(e)
        };
        let file = std::fs::File::open(&self.file).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if metadata.is_dir() {
            return Err(Error::new(Code::InvalidFile, format!("{shown} is a folder")));
        }
        let known = Known::of(&file)?;
        if self.shred
            && let Some(why) = importing::why_not(&self.file, &known)
        {
            return Err(Error::new(Code::InvalidFile, format!("{shown} would not be shredded: {why}")).next(
                "Nothing was imported. Leave --shred out, and remove what holds the values yourself.",
            ));
        }
        // What is no ordinary file does not tell its size.
        let most = match usize::try_from(metadata.len()) {
            Ok(size) if metadata.is_file() && size <= MAX_ARCHIVE_BYTES => size,
            Ok(_) if metadata.is_file() => {
                return Err(Error::new(Code::TooLarge, format!("{shown} is larger than 256 MiB")));
            }
            _ => MAX_TEXT_BYTES,
        };
        Ok(Source { bytes: all(&file, most)?, known: Some(known), shown })
    }

    /// What a secret without a name of its own is called.
    fn secret_name(&self) -> String {
        let stem = || self.file.file_stem().map(|s| s.to_string_lossy().into_owned());
        let stem = || stem().filter(|stem| stem != "-");
        self.name.clone().or_else(stem).unwrap_or_else(|| "SECRET".into())
    }

    fn clashing(&self) -> Option<OnClash> {
        Some(match self.on_clash {
            None if self.replace => OnClash::Replace,
            None => return None,
            Some(Clashing::Skip) => OnClash::Skip,
            Some(Clashing::Replace) => OnClash::Replace,
            Some(Clashing::Rename) => OnClash::Rename,
        })
    }

    /// Asks what becomes of clashes, where there is a terminal: once for all, or one by one.
    fn ask_about_clashes(&self, plan: &mut Plan) -> Result<()> {
        let open = plan.undecided();
        if open == 0 {
            return Ok(());
        }
        let Some(terminal) = Terminal::open() else { return Ok(()) };
        let question = format!(
            "{open} of them are there already. Skip them, replace what is there, or keep both? [s]kip/[r]eplace/[b]oth/[o]ne by one "
        );
        match first_letter(&terminal.answer(&question)?) {
            Some('r') => plan.decide(OnClash::Replace),
            Some('b' | 'k') => plan.decide(OnClash::Rename),
            Some('o') => {
                for planned in &mut plan.planned {
                    let Action::Undecided(clash) = &planned.action else { continue };
                    let label = planned.label();
                    let question = match clash.why_not {
                        None => format!("{label}: [s]kip/[r]eplace/[b]oth "),
                        Some(why) => format!("{label} ({why}): [s]kip/[b]oth "),
                    };
                    planned.decide(match first_letter(&terminal.answer(&question)?) {
                        Some('r') => OnClash::Replace,
                        Some('b' | 'k') => OnClash::Rename,
                        _ => OnClash::Skip,
                    });
                }
            }
            _ => plan.decide(OnClash::Skip),
        }
        Ok(())
    }

    /// Shreds the file where the person says so. What is in the file alone is not destroyed unasked.
    fn offer_to_shred(&self, known: &Known, missing: usize, shown: &str) -> Result<bool> {
        let why_not = importing::why_not(&self.file, known);
        let terminal = (!self.yes).then(Terminal::open).flatten();
        if let Some(why) = why_not {
            if self.shred {
                note(&format!("{shown} is not shredded: {why}"));
            }
            return Ok(false);
        }
        let agreed = match (missing, terminal) {
            (0, _) if self.shred => true,
            (0, Some(terminal)) => terminal.agrees(&format!("shred {shown}? {HONEST}"))?,
            (n, Some(terminal)) => {
                let what = if self.shred { "shred it all the same" } else { "shred it" };
                terminal.agrees(&format!("{n} entries are in {shown} only; {what}? {HONEST}"))?
            }
            (n, None) => {
                if self.shred && n > 0 {
                    note(&format!("{shown} is not shredded: {n} entries are in it only"));
                }
                false
            }
        };
        if agreed {
            importing::shred(&self.file, known)?;
            note(&format!("{shown}: {HONEST}"));
        }
        Ok(agreed)
    }
}

fn first_letter(answer: &str) -> Option<char> {
    answer.chars().next().map(|c| c.to_ascii_lowercase())
}

/// The error, with what the file was taken for.
fn read_as(e: Error, format: Format) -> Error {
    note(&format!("the file was read as {}; say --from FORMAT if it is another", format.title()));
    e
}

/// A bar on standard error; none where that is no terminal, or where it would only flash up.
fn bar(count: usize) -> ProgressBar {
    if count < LONG {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("importing {wide_bar} {pos}/{len}");
    let bar = ProgressBar::with_draw_target(Some(count as u64), ProgressDrawTarget::stderr());
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// The plan without its values. `imported` is filled in when it is done.
fn answer(plan: &Plan, imported: usize) -> Value {
    let action = |action: &Action| match action {
        Action::Create => Some("new"),
        Action::Replace(_) => Some("new version"),
        Action::Undecided(_) => Some("is there already"),
        Action::Skip => None,
    };
    let planned = plan.planned.iter().filter_map(|p| {
        let action = action(&p.action)?;
        Some(json!({
            "name": p.name(), "account": p.account(), "type": p.kind().as_str(), "service": p.service(),
            "fields": p.fields().collect::<Vec<_>>(), "action": action, "from": p.at.to_string(),
        }))
    });
    let there = plan.planned.iter().filter(|p| p.action == Action::Skip).map(|p| {
        json!({ "name": p.label(), "from": p.at.to_string(),
                "why": "there is one already; say --replace to give it a new version, --on-clash rename to keep both" })
    });
    let left = plan.left.iter().map(|l| {
        let name = l.name.clone().unwrap_or_else(|| l.at.to_string());
        json!({ "name": name, "from": l.at.to_string(), "why": l.why })
    });
    json!({
        "format": plan.format.word(),
        "plan": planned.collect::<Vec<_>>(),
        "skipped": there.chain(left).collect::<Vec<_>>(),
        "imported": imported,
    })
}

fn told(answer: &Value, most: usize) -> String {
    let mut table = Table::new(&["NAME", "ACCOUNT", "TYPE", "SERVICE", "WHAT", "WHY"]);
    let (planned, skipped) = (output::items(answer, "/plan"), output::items(answer, "/skipped"));
    for one in planned.iter().take(most) {
        table.row(["/name", "/account", "/type", "/service", "/action"].map(|path| at(one, path)));
    }
    for one in skipped.iter().take(most) {
        let none = String::new;
        table.row([at(one, "/name"), none(), none(), none(), "skipped".into(), at(one, "/why")]);
    }
    let mut text = table.text("There is nothing to import.");
    let more = planned.len().saturating_sub(most) + skipped.len().saturating_sub(most);
    if more > 0 {
        text.push_str(&line(&format!("… and {more} more; --dry-run lists them all.")));
    }
    text
}
