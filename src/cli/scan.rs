//! `unsaid scan PATH…`: where values of the vault stand, and whose they are. Never what they are.
use super::Context;
use super::output::{Table, at, items, line, note};
use crate::error::{Result, internal};
use crate::ops::scan::{MOST_BYTES, Scan as Wanted, incomplete, scan};
use clap::Args;
use serde_json::Value;
use std::path::PathBuf;
use std::process::ExitCode;

/// What a shell sees where something was found.
const FOUND: u8 = 1;

/// Find out where values of the vault stand in files, histories and transcripts
#[derive(Args)]
#[command(after_help = "\
Looks for every value that you may use, those of earlier versions too, as it is and as programs write it: in base64, hex,
percent encoding, JSON and JSON within JSON, and broken over lines. Names the credential, the file and the line, and shows
nothing of the value. Changes and removes nothing. Each value is recorded as used by a scan.

Links, pipes, devices and /proc are left out; what is compressed or encrypted is not looked into. A value of fewer than six
characters is not looked for.

Exits with 1 where something was found, with 0 where nothing was, and with 7 where nothing was and not everything could be
read; else as every command does.

Examples:
  unsaid scan .
  unsaid scan --git .                            all that was ever committed, branches that are gone too
  unsaid scan ~/.claude/projects                 the transcripts of an assistant
  unsaid scan --only STRIPE_KEY ~/src /var/log
  kubectl logs api | unsaid scan -")]
pub struct Scan {
    /// Files and folders; - for standard input
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Search the history of the repositories too, every object in it
    #[arg(long)]
    git: bool,
    /// Look for these credentials alone
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    only: Vec<String>,
    /// Leave out what .gitignore names; .env files usually are
    #[arg(long)]
    gitignore: bool,
    /// Leave out files and objects larger than this
    #[arg(long, value_name = "MIB", default_value_t = MOST_BYTES >> 20, value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    max_size: u64,
}

impl Scan {
    pub async fn run(self, cx: &Context) -> Result<ExitCode> {
        let session = cx.session().await?;
        let (input, paths): (Vec<PathBuf>, Vec<PathBuf>) =
            self.paths.into_iter().partition(|path| path.as_os_str() == "-");
        let wanted = Wanted {
            paths,
            input: (!input.is_empty()).then(|| Box::new(std::io::stdin()) as _),
            has_history: self.git,
            only: self.only,
            obeys_gitignore: self.gitignore,
            most_bytes: self.max_size << 20,
        };
        let done = scan(&session.app, &session.caller, wanted).await?;
        let answer = serde_json::to_value(&done).map_err(|e| internal("the answer is no JSON").because(e))?;
        tell_left_out(&answer, self.max_size);
        cx.print(&answer, told)?;
        match incomplete(&done) {
            Some(error) => Err(error),
            None if done.found.is_empty() => Ok(ExitCode::SUCCESS),
            None => Ok(ExitCode::from(FOUND)),
        }
    }
}

/// What was not looked at, on standard error.
fn tell_left_out(answer: &Value, max_size: u64) {
    let count = |what: &str| answer["left_out"][what].as_u64().unwrap_or_default();
    let named = items(answer, "/left_out/named");
    for one in named {
        note(&format!("could not be read: {}", one.as_str().unwrap_or_default()));
    }
    let rest = count("unreadable").saturating_sub(named.len() as u64);
    let over = format!("larger than {max_size} MiB, left out (--max-size)");
    for (n, what) in [
        (rest, "more could not be read"),
        (count("too_large"), over.as_str()),
        (count("special"), "links, pipes, devices or made-up files, left out"),
        (count("values_too_short"), "values too short to be looked for"),
        (count("findings"), "more finds than are told"),
    ] {
        if n > 0 {
            note(&format!("{n} {what}"));
        }
    }
}

fn told(answer: &Value) -> String {
    let mut table = Table::new(&["CREDENTIAL", "PLACE", "LINE", "COMMIT", "HOW"]);
    for one in items(answer, "/found") {
        let mut name = at(one, "/credential");
        if one["stage"] != "current" {
            name.push_str(&format!(" (version {}, {})", at(one, "/version"), at(one, "/stage")));
        }
        let how = match (one["line"].is_null(), one["is_encoded"] == true) {
            (true, _) => "in the name",
            (_, true) => "encoded or in part",
            _ => "",
        };
        let commit: String = at(one, "/commit").chars().take(12).collect();
        table.row([name, at(one, "/path"), at(one, "/line"), commit, how.to_owned()]);
    }
    let mut text = table.text("Nothing was found.");
    text.push_str(&line(&format!(
        "Looked for {} values of {} credentials in {} files and {} objects of histories, {} MiB.",
        at(answer, "/searched/values"),
        at(answer, "/searched/credentials"),
        at(answer, "/searched/files"),
        at(answer, "/searched/objects"),
        answer["searched"]["bytes"].as_u64().unwrap_or_default() >> 20,
    )));
    text.push_str(&line(&at(answer, "/next")));
    text
}
