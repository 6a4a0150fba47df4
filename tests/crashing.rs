//! S-01: four processes write to one vault, and any of them is killed at any moment. Nothing acknowledged is lost,
//! nothing is done by half, nothing is done twice.
//!
//! The writers are this test binary, started again with `UNSAID_CRASH_HOME` set. `UNSAID_CRASH_CYCLES` says how many
//! kills there are (300), `UNSAID_CRASH_SEED` repeats a run's choices.
use crate::support::rig::{self, Dice};
use crate::support::world::World;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use unsaid::app::App;
use unsaid::error::{Code, Result};
use unsaid::ids::{OrgId, UserId};
use unsaid::model::access::{Caller, Door, Idempotency};
use unsaid::model::credential::Scope;
use unsaid::ops::Operation;
use unsaid::ops::credential::create::CreateCredential;
use unsaid::ops::credential::delete::DeleteCredential;
use unsaid::ops::credential::restore::RestoreCredential;
use unsaid::ops::credential::sealing::open_fields;
use unsaid::ops::credential::update::UpdateCredential;
use unsaid::ops::credential::value::{Target, enter_value};
use unsaid::ops::hand_over::{HandOver, hand_over};
use unsaid::secret::SecretBytes;
use unsaid::store::{AuditFilter, Place, Reader};

const WRITERS: usize = 4;
/// Concurrent callers in each writer, so that several share a commit.
const HANDS: u64 = 2;
/// Kills of one vault; then all of it is checked, and the next one begins.
const CYCLES_A_VAULT: u64 = 50;

fn caller() -> Caller {
    Caller::new(OrgId::from("acme"), UserId("user-acme-ada".into()), Door::Cli)
}

/// What is known of one credential: by the acknowledgements, or from the vault.
#[derive(Clone, Debug, Default, PartialEq)]
struct State {
    version: i64,
    /// Of the value's bytes, so that a failure shows no value.
    value: u64,
    description: u64,
    is_deleted: bool,
    uses: i64,
    events: i64,
}

/// Tells values apart.
fn told_apart(value: &[u8]) -> u64 {
    value.iter().fold(value.len() as u64, |sum, byte| sum.wrapping_mul(0x100_0000_01b3) ^ u64::from(*byte))
}

impl State {
    /// What it is after `op` with `number`; nothing was there before `create`.
    fn after(before: Option<&State>, op: &str, number: u64) -> State {
        let mut s = before.cloned().unwrap_or_default();
        s.events += 1;
        match op {
            "create" | "update" => s.description = number,
            "enter" => (s.version, s.value) = (s.version + 1, told_apart(rig::value_of(number).as_bytes())),
            "use" => s.uses += 1,
            "delete" => s.is_deleted = true,
            "restore" => s.is_deleted = false,
            _ => panic!("there is no step {op}"),
        }
        s
    }
}

/// The caller of a creation, which happens once however often it is asked for.
fn once(name: &str) -> Caller {
    let key = Idempotency { operation: CreateCredential::NAME, key: name.into(), digest: name.into() };
    Caller { idempotency: Some(key), ..caller() }
}

fn creation(name: &str, number: u64) -> CreateCredential {
    let description = Some(number.to_string());
    CreateCredential { name: name.into(), description, ..CreateCredential::default() }
}

async fn step(app: &App, op: &str, name: &str, number: u64) -> Result<()> {
    let (who, credential, reason) = (caller(), name.to_owned(), String::from("crash test"));
    match op {
        "create" => drop(creation(name, number).run(app, &once(name)).await?),
        "enter" => {
            let value = SecretBytes::new(rig::value_of(number).into_bytes());
            let target = Target::Existing(credential);
            enter_value(app, &who, target, vec![("value".into(), value)], String::new()).await?;
        }
        "use" => {
            drop(hand_over(app, &who, HandOver { names: vec![credential], ..HandOver::default() }).await?)
        }
        "update" => {
            let description = Some(number.to_string());
            let change = UpdateCredential { credential, description, ..UpdateCredential::default() };
            drop(change.run(app, &who).await?);
        }
        "delete" => drop(DeleteCredential { credential, reason }.run(app, &who).await?),
        "restore" => drop(RestoreCredential { credential }.run(app, &who).await?),
        _ => panic!("there is no step {op}"),
    }
    Ok(())
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // The parent is gone: so are we.
    if writeln!(out, "@{line}").and_then(|()| out.flush()).is_err() {
        std::process::exit(0);
    }
}

async fn hand(app: Arc<App>, run: u64, hand: u64) {
    let mut dice = Dice(rig::seed("") ^ (run << 8) ^ hand);
    let mut mine: Vec<(String, State)> = Vec::new();
    loop {
        let number = dice.next() >> 1;
        let at = if mine.len() < 2 { mine.len() } else { dice.below(mine.len() as u64 + 1) as usize };
        let is_new = at == mine.len() && (mine.len() < 2 || dice.below(4) == 0);
        let at = if is_new { at } else { at % mine.len() };
        let (name, op) = match mine.get(at) {
            _ if is_new => (format!("K_{run}_{hand}_{}", mine.len()), "create"),
            Some((name, s)) if s.is_deleted => (name.clone(), "restore"),
            Some((name, s)) => {
                let op = match dice.below(10) {
                    0 => "delete",
                    1 | 2 => "update",
                    3..=5 => "enter",
                    _ if s.version == 0 => "enter",
                    _ => "use",
                };
                (name.clone(), op)
            }
            None => unreachable!("a step is new or on one that exists"),
        };
        say(&format!("{hand} try {op} {name} {number}"));
        match step(&app, op, &name, number).await {
            Ok(()) => say(&format!("{hand} did")),
            // Not acknowledged: it must not be there.
            Err(e) if e.code == Code::StoreBusy => {
                say(&format!("{hand} not"));
                continue;
            }
            Err(e) => return say(&format!("{hand} failed {op} {name}: {} {}", e.code.name(), e.message())),
        }
        if is_new {
            mine.push((name, State::after(None, op, number)));
        } else {
            mine[at].1 = State::after(Some(&mine[at].1), op, number);
        }
    }
}

/// Not a test of its own: what a writer process runs.
#[test]
fn a_writer_process() {
    let Ok(home) = std::env::var("UNSAID_CRASH_HOME") else { return };
    let run = rig::count("UNSAID_CRASH_RUN", 0);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let app = Arc::new(rig::open(Path::new(&home)).unwrap());
        let hands: Vec<_> = (0..HANDS).map(|n| tokio::spawn(hand(app.clone(), run, n))).collect();
        for hand in hands {
            hand.await.unwrap();
        }
    });
}

/// A writer, and everything that it said.
struct Writing {
    child: Child,
    said: std::thread::JoinHandle<Vec<String>>,
}

impl Writing {
    fn start(home: &Path, run: u64) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["crashing::a_writer_process", "--exact", "--nocapture", "--test-threads=1"])
            .env("UNSAID_CRASH_HOME", home)
            .env("UNSAID_CRASH_RUN", run.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let said = std::thread::spawn(move || {
            let (mut lines, mut line) = (Vec::new(), String::new());
            while out.read_line(&mut line).is_ok_and(|n| n > 0) {
                // The kill can cut the last line: what has no end was not said.
                if let Some(text) = line.strip_suffix('\n').and_then(|text| text.split_once('@')) {
                    lines.push(text.1.to_owned());
                }
                line.clear();
            }
            lines
        });
        Self { child, said }
    }

    /// SIGKILL, and what it had said until then.
    fn kill(mut self) -> Told {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        Told::from(self.said.join().unwrap())
    }
}

/// What a writer acknowledged, and the steps it was in when it died.
#[derive(Default)]
struct Told {
    known: BTreeMap<String, State>,
    /// Of each hand: step, credential, number.
    open: BTreeMap<String, (String, String, u64)>,
    acknowledged: u64,
}

impl From<Vec<String>> for Told {
    fn from(lines: Vec<String>) -> Self {
        let mut told = Told::default();
        for line in lines {
            let words: Vec<_> = line.split(' ').collect();
            match words[..] {
                [hand, "try", op, name, number] => {
                    let step = (op.to_owned(), name.to_owned(), number.parse().unwrap());
                    told.open.insert(hand.to_owned(), step);
                }
                [hand, "not"] => drop(told.open.remove(hand)),
                [hand, "did"] => {
                    let (op, name, number) = told.open.remove(hand).unwrap();
                    let state = State::after(told.known.get(&name), &op, number);
                    told.known.insert(name, state);
                    told.acknowledged += 1;
                }
                _ => panic!("a writer failed: {line}"),
            }
        }
        told
    }
}

/// What the vault holds under this name, everything opened.
fn found(tx: &Reader<'_>, app: &App, name: &str) -> Result<Option<State>> {
    let me = caller();
    let places = [Place::Owned(Scope::Personal, me.user.0.clone())];
    let mut all = tx.candidates(&me.org, name, &places)?;
    all.extend(tx.deleted_candidates(&me.org, name, &places)?);
    assert!(all.len() <= 1, "{name} was made twice");
    let Some(c) = all.pop() else { return Ok(None) };
    let versions = tx.versions(&me.org, &c.id, 1000)?;
    assert_eq!(versions.len() as i64, c.current_version.unwrap_or(0), "{name} has versions by half");
    let mut value = 0;
    if let Some(version) = tx.current_version(&c)? {
        let opened = open_fields(&app.vault(), &c, &version, tx.fields(&version.id)?)?;
        value = opened[0].1.expose(told_apart);
    }
    let of_it = AuditFilter {
        sees_others: true,
        object_id: Some(c.id.0.clone()),
        limit: 1000,
        ..AuditFilter::default()
    };
    Ok(Some(State {
        version: c.current_version.unwrap_or(0),
        value,
        description: c.description.parse().unwrap(),
        is_deleted: c.is_deleted(),
        uses: tx.usage(&c.id)?.uses,
        events: tx.search_audit(&me.org, &of_it)?.len() as i64,
    }))
}

/// Compares one writer's words with the vault. A step in flight is done or not done, and is settled here.
async fn compare(app: &Arc<App>, told: &mut Told) {
    let mut names: Vec<_> = told.known.keys().cloned().collect();
    names.extend(told.open.values().map(|(_, name, _)| name.clone()));
    let reading = app.clone();
    let read = app.store.read(move |tx| {
        names.into_iter().map(|n| found(tx, &reading, &n).map(|s| (n, s))).collect::<Result<Vec<_>>>()
    });
    for (name, there) in read.await.unwrap() {
        let before = told.known.get(&name).cloned();
        if there == before {
            continue;
        }
        let in_flight = told.open.values().find(|(_, n, _)| *n == name);
        let after = in_flight.map(|(op, _, number)| State::after(before.as_ref(), op, *number));
        assert!(
            after.is_some() && there == after,
            "{name}: acknowledged {before:?}, in flight {in_flight:?}, found {there:?}"
        );
        told.known.insert(name, after.unwrap());
    }
    for (op, name, number) in std::mem::take(&mut told.open).into_values() {
        if op != "create" {
            continue;
        }
        // The writer never heard the answer, so it asks again: done now, or done already and not done twice.
        let again = creation(&name, number).run(app, &once(&name)).await;
        match told.known.contains_key(&name) {
            true => assert_eq!(again.unwrap_err().code, Code::IdempotencyConflict),
            false => drop(again.unwrap()),
        }
        told.known.insert(name, State::after(None, &op, number));
    }
}

/// What a run comes to.
#[derive(Debug, Default)]
struct Report {
    kills: u64,
    acknowledged: u64,
    slowest_open: Duration,
}

async fn one_vault(dice: &mut Dice, cycles: u64, run: &mut u64, report: &mut Report) {
    let world = World::new().await;
    let home = world.folder.path().join("home");
    let mut start = || {
        *run += 1;
        Writing::start(&home, *run)
    };
    let mut writers: Vec<_> = (0..WRITERS).map(|_| start()).collect();
    let mut all: Vec<Told> = Vec::new();
    for _ in 0..cycles {
        tokio::time::sleep(Duration::from_millis(dice.below(60))).await;
        let doomed = if dice.below(8) == 0 { WRITERS } else { 1 };
        let mut told: Vec<_> = (0..doomed)
            .map(|_| writers.swap_remove(dice.below(writers.len() as u64) as usize).kill())
            .collect();
        report.kills += 1;
        let opening = Instant::now();
        let app = Arc::new(rig::open(&home).unwrap());
        app.store.read(|tx| tx.orgs()).await.unwrap();
        report.slowest_open = report.slowest_open.max(opening.elapsed());
        for told in &mut told {
            report.acknowledged += told.acknowledged;
            compare(&app, told).await;
        }
        all.extend(told);
        writers.extend((0..doomed).map(|_| start()));
    }
    for writer in writers {
        all.push(writer.kill());
    }
    let app = Arc::new(rig::open(&home).unwrap());
    for told in &mut all {
        compare(&app, told).await;
    }
    assert_eq!(app.store.integrity(true).unwrap(), "ok");
    let chain = app.store.read(|tx| tx.verify_audit(&OrgId::from("acme"), None)).await.unwrap();
    assert_eq!(chain.first_bad, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s_01_nothing_acknowledged_is_lost_when_writers_are_killed() {
    let (cycles, seed) = (rig::count("UNSAID_CRASH_CYCLES", 300), rig::seed("UNSAID_CRASH_SEED"));
    let (mut dice, mut run, mut report) = (Dice(seed), 0, Report::default());
    let began = Instant::now();

    while report.kills < cycles {
        let now = CYCLES_A_VAULT.min(cycles - report.kills);
        one_vault(&mut dice, now, &mut run, &mut report).await;
    }

    eprintln!("seed {seed}: {report:?} in {:?}", began.elapsed());
    assert!(report.slowest_open < Duration::from_secs(1), "{report:?}");
    assert!(report.acknowledged > cycles, "the writers were killed before they wrote: {report:?}");
}
