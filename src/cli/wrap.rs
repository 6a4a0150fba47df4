//! `unsaid mcp-config --wrap FILE`: takes the plaintext out of a client's configuration, and `--undo` puts it back.
//!
//! The vault comes first, the file last: whatever fails, the file is the old one or the new one, and its values are
//! not lost.
use super::Context;
use super::client_file::{ClientFile, backups, forget, newest, undo};
use super::output::{Table, line, note, put};
use super::place::Place;
use super::terminal::{Terminal, needs_terminal};
use super::wrap_into::{Move, Named, Renamed, Taken, entry, free, name_for, plain_headers, sends, taken};
use crate::app::App;
use crate::error::{Code, Error, Result, invalid};
use crate::model::consumer::{BindingSource, ConsumerKind, Delivery};
use crate::model::credential::Scope;
use crate::ops::consumer::{GivenBinding, RegisterConsumer, check_all, register_all};
use crate::ops::credential::value::enter_many;
use crate::services::agents;
use crate::wrap::{self, Client, Config, Fate, FoundServer, Knowledge, PlannedValue, Rewrite, ServerKind};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What is asked for.
pub struct Wrap {
    pub file: PathBuf,
    /// Whose file it is, where its name does not tell.
    pub client: Option<String>,
    pub scope: Option<Place>,
    /// Only these servers, by their names in the file.
    pub only: Vec<String>,
    /// `FROM=TO`: another name for a credential.
    pub names: Vec<String>,
    pub dry_run: bool,
}

/// One server and what becomes of it.
struct Job<'a> {
    server: &'a FoundServer,
    consumer: String,
    input: RegisterConsumer,
    remove_env: Vec<String>,
    named: Vec<Named>,
}

impl Wrap {
    pub async fn run(self, cx: &Context, program: &str) -> Result<()> {
        let session = cx.session().await?;
        let client = match &self.client {
            None => Client::of_file(&self.file),
            Some(name) => {
                let is_it =
                    |a: &agents::Summary| a.id == *name || a.aliases.iter().any(|alias| alias == name);
                let agent = agents::agents().into_iter().find(is_it).ok_or_else(|| {
                    invalid("there is no client of that name").next("Run `unsaid mcp-config` to see them.")
                })?;
                let known = Client::of_agent(&agent.id);
                Some(known.ok_or_else(|| {
                    invalid(format!("the configuration of {} is not one that can be rewritten", agent.name))
                        .next("Run `unsaid mcp-config` for what to put where by hand.")
                })?)
            }
        };
        let file = ClientFile::read(&self.file)?;
        let app = &session.app;
        let known = Knowledge { servers: app.servers, catalogue: app.catalogue, detector: &app.detector };
        let config = file.bytes().expose(|bytes| wrap::read(bytes, client, &known))?;
        let place = self.place(&config)?;
        let mut renamed = Renamed::default();
        self.names.iter().try_for_each(|pair| renamed.add(pair, &config, &app.detector))?;
        // A look changes nothing, and tells nothing of what is in the vault; nor does it to who acts as somebody else.
        let compares = !self.dry_run && cx.as_user.is_none() && Terminal::open().is_some();
        let taken = taken(&session, &place, &config, &renamed, compares).await?;
        let (mut jobs, mut moves) = self.plan(&config, &place, &taken, &renamed)?;
        tell_plan(&config, &jobs)?;
        if jobs.is_empty() {
            return Err(nothing_moves(&self.file, &config));
        }
        // Who says where by an option is not asked; there are options for names too.
        if self.names.is_empty() && self.scope.is_none() && !self.dry_run {
            while let Some(other) = other_names(&moves)? {
                let renamed = other_renamed(&other, &config, app);
                match renamed.and_then(|renamed| self.plan(&config, &place, &taken, &renamed)) {
                    Ok(planned) => {
                        (jobs, moves) = planned;
                        tell_plan(&config, &jobs)?;
                    }
                    Err(e) => note(&format!("{}. {}", e.message(), e.next_step())),
                }
            }
        }
        let rewrites: Vec<_> = jobs.iter().map(|job| rewrite(job, program)).collect();
        let inputs: Vec<_> = jobs.iter().map(|job| job.input.clone()).collect();
        check_all(app, &session.caller, &inputs).await?;
        let shown =
            self.file.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let rewritten = config.rewrite(&rewrites, &shown, &known)?;
        note("");
        rewritten.diff.lines().for_each(note);
        note("");
        let told: Vec<_> = inputs
            .iter()
            .filter_map(sends)
            .chain(moves.iter().flat_map(|one| taken.beside(&one.name, place.scope)))
            .collect();
        if self.dry_run {
            told.iter().for_each(|text| note(text));
            return put(&line("Nothing was changed: this is what would be done."));
        }
        let terminal = Terminal::open().ok_or_else(|| {
            needs_terminal("it asks before it changes the file, and there is no terminal to ask on")
        })?;
        told.iter().for_each(|text| terminal.tell(&format!("{text}\n")));
        terminal.tell(&format!(
            "{} values move into the vault ({}), {} servers start by `unsaid mcp` from now on.\n",
            moves.len(),
            place.scope,
            jobs.len()
        ));
        if !terminal.passes_challenge()? {
            return Err(Error::new(Code::ChallengeFailed, "the challenge was not typed as shown"));
        }
        let entries: Vec<_> = moves.iter().map(|one| entry(one, &place)).collect();
        let names: Vec<_> = moves.iter().map(|one| one.name.clone()).collect();
        if !entries.is_empty() {
            enter_many(app, &session.caller, entries).await?;
        }
        let kept = |e: Error| {
            let e2 = format!(
                "{} is unchanged; these credentials are in the vault already: {}. Put right what is named, then run `unsaid consumer add` for them, or delete them and run this again.",
                self.file.display(),
                names.join(", ")
            );
            e.next(e2)
        };
        let answers = register_all(app, &session.caller, inputs).await.map_err(kept)?;
        let backup = file.replace(&rewritten.text, app.now()).map_err(|e| {
            let made: Vec<_> = answers.iter().map(|a| a.consumer.name.clone()).collect();
            e.next(format!(
                "The file is unchanged. The vault has the values, and the consumers {}: remove them with `unsaid consumer rm`, or run this again.",
                made.join(", ")
            ))
        })?;
        let mut text = line(&format!(
            "{} is rewritten: {} servers start by `unsaid mcp` from now on.",
            self.file.display(),
            jobs.len()
        ));
        let left = left_over(&config, &jobs);
        if !left.is_empty() {
            text.push_str(&line(&format!("It still holds plaintext of: {}.", left.join(", "))));
        }
        text.push_str(&line(&format!(
            "What stood there is in {}, in plain text, readable to you alone.",
            backup.display()
        )));
        if self.file.ancestors().any(|folder| folder.join(".git").exists()) {
            text.push_str(&line("That is in a repository: wipe the backup before anybody commits it."));
        }
        text.push_str(&line(&format!(
            "Start the client again. When everything works: `unsaid mcp-config --forget {}` wipes the backup; `--undo` puts it back.",
            self.file.display()
        )));
        put(&text)
    }

    /// Where the values are kept: as said, or as the person answers.
    fn place(&self, config: &Config) -> Result<Place> {
        let personal = Place { scope: Scope::Personal, team: None };
        if let Some(place) = &self.scope {
            return Ok(place.clone());
        }
        match Terminal::open().filter(|_| !self.dry_run && !config.plan().is_empty()) {
            None => Ok(personal),
            Some(terminal) => match terminal
                .answer("Keep the values where: personal, team:NAME or org? [personal] ")?
                .trim()
            {
                "" => Ok(personal),
                text => text.parse().map_err(|e: String| invalid(e)),
            },
        }
    }

    fn plan<'a>(
        &self,
        config: &'a Config,
        place: &Place,
        taken: &Taken,
        renamed: &Renamed,
    ) -> Result<Planned<'a>> {
        let plan = config.plan();
        let mut consumers = taken.consumers.clone();
        let (mut jobs, mut moves): (Vec<Job<'_>>, Vec<Move<'_>>) = (Vec::new(), Vec::new());
        for wanted in &self.only {
            if !plan.servers.iter().any(|s| s.name == *wanted) {
                return Err(invalid("--servers names one that is not in the file").next(format!(
                    "There are: {}.",
                    plan.servers.iter().map(|s| s.name.clone()).collect::<Vec<_>>().join(", ")
                )));
            }
        }
        for planned in plan.servers.iter().filter(|s| s.to_wrap) {
            if !self.only.is_empty() && !self.only.contains(&planned.name) {
                continue;
            }
            let server = &config.servers()[planned.server];
            let is_remote = server.kind == ServerKind::Remote;
            let launch = if is_remote { None } else { Some(server.launch()?) };
            let remote = if is_remote { Some(server.remote()?) } else { None };
            if let Some(launch) = launch.as_ref().filter(|launch| !launch.placeholders.is_empty()) {
                note(&format!(
                    "{}: left as it is, with its other values: it takes {} as an argument, which every program of this machine can read",
                    planned.name,
                    launch.placeholders.join(", ")
                ));
                continue;
            }
            let consumer = free(&server.suggested_consumer(), |name| {
                consumers.iter().any(|c: &String| c.eq_ignore_ascii_case(name))
            });
            consumers.push(consumer.clone());
            let (mut bindings, mut remove_env, mut all) = (Vec::new(), Vec::new(), Vec::new());
            for value in server.movable() {
                let variable = value.credential_name().unwrap_or_default().to_owned();
                if value.fate == Fate::Moves {
                    remove_env.push(variable.clone());
                }
                let named = name_for(server, value, &consumer, &mut moves, taken, renamed)?;
                let name = named.name.clone();
                all.push(named);
                // Of this place and no other: without it nothing that has its name goes where the file says.
                let source = match place.scope {
                    Scope::Personal => BindingSource::UserSecret,
                    Scope::Team => BindingSource::TeamSecret,
                    Scope::Org => BindingSource::OrgSecret,
                };
                let header = remote.iter().flat_map(|remote| &remote.headers).find(|(of, _)| *of == variable);
                bindings.push(GivenBinding {
                    credential: (name != variable).then_some(name),
                    source: Some(source),
                    team: (place.scope == Scope::Team).then(|| place.team.clone()).flatten(),
                    delivery: header.map(|_| Delivery::Header),
                    text: header.map(|(_, line)| line.clone()),
                    variable,
                    ..GivenBinding::default()
                });
            }
            bindings.extend(remote.iter().flat_map(plain_headers));
            let input = RegisterConsumer {
                name: consumer.clone(),
                kind: Some(ConsumerKind::McpServer),
                scope: Some(place.scope),
                team: place.team.clone(),
                command: launch.map(|launch| std::iter::once(launch.command).chain(launch.args).collect()),
                url: remote.map(|remote| remote.url),
                bindings: Some(bindings),
                ..RegisterConsumer::default()
            };
            jobs.push(Job { server, consumer, input, remove_env, named: all });
        }
        let known = jobs.iter().flat_map(|job| &job.named).filter(|one| !one.is_there);
        let known: BTreeSet<_> = known.flat_map(|one| [one.variable.as_str(), &one.proposed]).collect();
        renamed.expect_known(&known.into_iter().collect::<Vec<_>>())?;
        Ok((jobs, moves))
    }
}

/// The servers to change, and the values that move.
type Planned<'a> = (Vec<Job<'a>>, Vec<Move<'a>>);

/// What a person would rather call what moves; nothing where the names are as they want them.
fn other_names(moves: &[Move<'_>]) -> Result<Option<String>> {
    let Some(terminal) = Terminal::open().filter(|_| !moves.is_empty()) else { return Ok(None) };
    let answer = terminal.answer("Other names in the vault? FROM=TO FROM=TO …, or Enter to keep these: ")?;
    Ok(Some(answer).filter(|answer| !answer.trim().is_empty()))
}

fn other_renamed(other: &str, config: &Config, app: &App) -> Result<Renamed> {
    let mut renamed = Renamed::default();
    other.split_whitespace().try_for_each(|pair| renamed.add(pair, config, &app.detector))?;
    Ok(renamed)
}

/// Why no server can be started by `unsaid mcp`, and what there is to do.
fn nothing_moves(file: &Path, config: &Config) -> Error {
    let left = left_over(config, &[]);
    let nothing = |why: &str| {
        Error::new(Code::NothingToDo, format!("there is no plaintext in {} {why}", file.display()))
    };
    match left.is_empty() {
        true => nothing("to move").next("Nothing needs to be done."),
        false => nothing("that can be moved").next(format!(
            "It still holds plaintext of {}: see above why it stays, and take it out by hand.",
            left.join(", ")
        )),
    }
}

/// A client does not hand its shell's variables on: another vault than the usual one is named in the file.
fn rewrite(job: &Job<'_>, program: &str) -> Rewrite {
    let own = [program.to_owned(), "mcp".to_owned(), job.consumer.clone()];
    let home = std::env::var("UNSAID_HOME").ok().filter(|home| !home.is_empty());
    let words: Vec<String> = match home {
        None => own.into(),
        Some(home) => ["env".to_owned(), format!("UNSAID_HOME={home}")].into_iter().chain(own).collect(),
    };
    let mut words = words.into_iter();
    Rewrite {
        server: job.server.index,
        program: words.next().unwrap_or_default(),
        args: words.collect(),
        remove_env: job.remove_env.clone(),
    }
}

/// Names only: what goes where, and what is readable there.
fn tell_plan(config: &Config, jobs: &[Job<'_>]) -> Result<()> {
    let plan = config.plan();
    let columns =
        ["SERVER", "CONSUMER", "MOVES INTO THE VAULT", "READABLE IN THE CONSUMER", "STAYS IN THE FILE"];
    let mut table = Table::new(&columns);
    let names = |values: &[PlannedValue]| values.iter().map(|v| v.name.clone()).collect::<Vec<_>>();
    for planned in &plan.servers {
        let job = jobs.iter().find(|job| job.server.index == planned.server);
        let (mut moves, mut plain) = (moved(&planned.moves, job), names(&planned.plain));
        let mut stays = names(&planned.stays);
        match job {
            Some(_) => {
                plain.extend(planned.dropped.iter().map(|v| format!("{} (left out: {})", v.name, v.why)))
            }
            None => {
                stays.extend(moves.drain(..).map(|name| format!("{name} (a secret)")));
                stays.append(&mut plain);
                stays.extend(names(&planned.dropped));
            }
        }
        stays.extend(planned.references.iter().map(|v| format!("{} (reference)", v.name)));
        stays.extend(planned.cannot.iter().map(|v| format!("{} ({})", v.name, v.why)));
        stays.extend(planned.obstacles.iter().cloned());
        let consumer = job.map_or_else(|| planned.kind.to_owned(), |job| job.consumer.clone());
        table.row([planned.name.clone(), consumer, moves.join(", "), plain.join(", "), stays.join(", ")]);
    }
    table.text("There is no server in this file.").lines().for_each(note);
    plan.notes.iter().for_each(|text| note(text));
    for planned in &plan.servers {
        planned.notes.iter().for_each(|text| note(&format!("{}: {text}", planned.name)));
    }
    Ok(())
}

/// What moves, each with the credential it becomes, where that has another name.
fn moved(values: &[PlannedValue], job: Option<&Job<'_>>) -> Vec<String> {
    let told = |value: &PlannedValue| {
        let of_value = |one: &&Named| value.credential.as_deref() == Some(one.variable.as_str());
        match job.iter().flat_map(|job| &job.named).find(of_value) {
            Some(one) if one.is_there => format!("{} (in the vault already, as {})", value.name, one.name),
            Some(one) if one.name != value.name => format!("{} as {}", value.name, one.name),
            _ => value.name.clone(),
        }
    };
    values.iter().map(told).collect()
}

/// The servers whose secrets stay in the file, for whichever reason.
fn left_over(config: &Config, jobs: &[Job<'_>]) -> Vec<String> {
    let plan = config.plan();
    let stays = |s: &&wrap::PlannedServer| {
        let is_done = jobs.iter().any(|job| job.server.index == s.server);
        !s.cannot.is_empty() || (!is_done && !s.moves.is_empty())
    };
    plan.servers.iter().filter(stays).map(|s| s.name.clone()).collect()
}

/// Puts the newest backup back.
pub fn take_back(path: &Path, now: crate::clock::Millis) -> Result<()> {
    let backup = newest(path)?.ok_or_else(|| no_backup(path))?;
    // What stood there may have been edited since: it is kept, and one more `--undo` brings it back.
    let other = undo(path, &backup, now)?;
    forget(&backup)?;
    put(&line(&format!(
        "{} is as it was before. What stood there until now is in {}. The vault keeps the values and the consumers: `unsaid consumer list`.",
        path.display(),
        other.display()
    )))
}

/// Wipes every backup.
pub fn forget_all(path: &Path) -> Result<()> {
    let all = backups(path)?;
    if all.is_empty() {
        return Err(no_backup(path));
    }
    for backup in &all {
        forget(backup)?;
    }
    put(&line(&format!(
        "{} backups of {} are wiped. A disk that moves what it writes, a snapshot or a backup of the machine may still have a copy.",
        all.len(),
        path.display()
    )))
}

fn no_backup(path: &Path) -> Error {
    Error::new(Code::NothingToDo, format!("there is no backup of {}", path.display()))
}
