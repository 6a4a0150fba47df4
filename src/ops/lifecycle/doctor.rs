//! Looks at a vault and its machine, and says what to do. Changes nothing, and goes on where one thing is broken.
//!
//! A line is `ok`, `warn` (it works, and could be better) or `fail` (it does not work, or cannot be trusted).
use super::checks;
use crate::app::{App, Prompt, slot_row, with_unlocking};
use crate::clock::{Clock, DAY_MS, Millis};
use crate::config::Config;
use crate::error::{Code, Error, Result};
use crate::ids::OrgId;
use crate::ops::lifecycle::restore::every_row;
use crate::ops::lifecycle::source;
use crate::store::{Reader, Store, check_folder, check_place};
use crate::vault::{SlotKind, SlotRow, Vault};
use serde::Serialize;
use std::sync::Arc;

/// A backup older than this is called old.
const OLD_BACKUP_DAYS: i64 = 14;
/// A write-ahead log beyond this was not emptied for long.
const BIG_LOG_BYTES: u64 = 64 << 20;
/// A call to a service that is under way for longer than this hangs.
const CALL_MS: i64 = 10 * 60 * 1000;
/// How far the newest event may lie ahead of the clock.
const SKEW_MS: i64 = 5 * 60 * 1000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    Ok,
    Warn,
    Fail,
}

/// One thing that was looked at.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    pub name: &'static str,
    pub level: Level,
    pub what: String,
    /// What to do; empty where there is nothing to do.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub next: String,
    /// Of a failure.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "code_name")]
    pub code: Option<Code>,
}

fn code_name<S: serde::Serializer>(code: &Option<Code>, s: S) -> std::result::Result<S::Ok, S::Error> {
    s.serialize_str(code.map_or("", Code::name))
}

impl Check {
    pub fn ok(name: &'static str, what: impl Into<String>) -> Self {
        Self { name, level: Level::Ok, what: what.into(), next: String::new(), code: None }
    }
    pub fn warn(name: &'static str, what: impl Into<String>, next: impl Into<String>) -> Self {
        Self { level: Level::Warn, next: next.into(), ..Self::ok(name, what) }
    }
    pub fn fail(name: &'static str, e: &Error) -> Self {
        Self {
            level: Level::Fail,
            next: e.next_step().to_owned(),
            code: Some(e.code),
            ..Self::ok(name, e.message().to_owned())
        }
    }
    fn of(name: &'static str, looked: Result<String>) -> Self {
        match looked {
            Ok(what) => Self::ok(name, what),
            Err(e) => Self::fail(name, &e),
        }
    }
}

/// The failure that a command ends with, if any check failed.
pub fn failure(checks: &[Check]) -> Option<Error> {
    let failed: Vec<_> = checks.iter().filter(|check| check.level == Level::Fail).collect();
    let first = failed.first()?;
    let code = first.code.unwrap_or(Code::Internal);
    Some(
        Error::new(
            code,
            format!("{} of {} checks failed, the first is {}", failed.len(), checks.len(), first.name),
        )
        .next(first.next.clone()),
    )
}

/// Looks at everything. `thorough` reads every page and every row instead of what a start relies on.
pub async fn doctor(config: &Config, clock: Arc<dyn Clock>, thorough: bool, prompt: Prompt) -> Vec<Check> {
    let mut found = vec![checks::configuration(config)];
    found.extend(checks::own_files(config));
    if let Err(e) = check_place(&config.places.database())
        && e.code == Code::NotInitialised
    {
        // Nothing of it can be looked at, and once is enough to say so.
        found.push(Check::fail("vault", &e));
        found.extend(checks::machine());
        return found;
    }
    found.extend(folders(config));
    found.extend(checks::machine());
    match Store::open(&config.places.database(), clock.clone()) {
        Err(e) => found.push(Check::fail("database", &e)),
        Ok(store) => {
            found.push(database(&store));
            found.push(Check::of("pages", integrity(&store, thorough)));
            found.push(log_size(&store));
            found.extend(ways_in(config, &store));
            drop(store);
            match App::open_with(config.clone(), clock, prompt) {
                Err(e) => found.push(locked(&e)),
                Ok(app) => {
                    found.push(Check::ok(
                        "unlock",
                        format!("the vault opens (root key version {})", app.vault().root_version()),
                    ));
                    found.extend(contents(&app, thorough).await);
                }
            }
        }
    }
    found
}

/// Why the vault does not open, with what a person can do about it: the error's own advice leads here.
fn locked(e: &Error) -> Check {
    const HOW: &str = "Put the key back where a line above says it was, or run `unsaid key recover` with the recovery code.";
    let check = Check::fail("unlock", e);
    match e.code {
        Code::KeyNotFound | Code::VaultLocked => Check { next: HOW.into(), ..check },
        _ => check,
    }
}

fn folders(config: &Config) -> Vec<Check> {
    let places = &config.places;
    let private = |name, folder: &std::path::Path| {
        Check::of(name, check_folder(folder).map(|()| format!("{} is yours alone", folder.display())))
    };
    let mut found = vec![private("data folder", &places.data)];
    // A way in that needs no folder, or a configuration that was never written, has none.
    let more = [("config folder", &places.config), ("key folder", &places.keys)];
    let there = more.into_iter().filter(|(_, folder)| folder.symlink_metadata().is_ok());
    found.extend(there.map(|(name, folder)| private(name, folder)));
    let file = places.database();
    found.push(Check::of(
        "database file",
        check_place(&file).map(|()| format!("{} is yours alone", file.display())),
    ));
    found
}

fn database(store: &Store) -> Check {
    let wanted = [
        ("journal_mode", "wal"),
        ("synchronous", "2"),
        ("foreign_keys", "1"),
        ("secure_delete", "1"),
        ("temp_store", "2"),
        ("trusted_schema", "0"),
    ];
    let looked = store.profile().and_then(|profile| {
        let wrong: Vec<_> = wanted
            .iter()
            .filter(|(name, value)| !profile.iter().any(|(n, v)| n == name && v.eq_ignore_ascii_case(value)))
            .map(|(name, _)| *name)
            .collect();
        match wrong.is_empty() {
            true => Ok(format!(
                "SQLite {}, schema {}, settings as they must be",
                crate::store::sqlite_version(),
                store.schema()?
            )),
            false => Err(Error::new(
                Code::StoreInsecure,
                format!("settings of the database are wrong: {}", wrong.join(", ")),
            )
            .next("Install a release of unsaid that is built with its own SQLite.")),
        }
    });
    Check::of("database", looked)
}

fn integrity(store: &Store, thorough: bool) -> Result<String> {
    match store.integrity(thorough)?.as_str() {
        "ok" => Ok(format!("SQLite's {} check finds nothing", if thorough { "full" } else { "quick" })),
        _ => Err(Error::new(Code::StoreCorrupt, "SQLite's own check finds damage in the database")),
    }
}

fn log_size(store: &Store) -> Check {
    let mib = store.wal().size_bytes >> 20;
    match store.wal().size_bytes > BIG_LOG_BYTES {
        true => Check::warn(
            "write-ahead log",
            format!("the log beside the database has grown to {mib} MiB"),
            "Stop programs that keep the vault open in the middle of a read; the next changes empty it.",
        ),
        false => Check::ok("write-ahead log", format!("{mib} MiB")),
    }
}

/// Each way in, tried by itself.
fn ways_in(config: &Config, store: &Store) -> Vec<Check> {
    let looked = store.meta("instance").and_then(|instance| {
        let instance = instance.ok_or_else(|| {
            Error::new(Code::NotInitialised, "the vault was begun and not finished")
                .next("Run `unsaid init` again.")
        })?;
        let slots: Vec<_> = store.keys()?.1.iter().map(slot_row).collect::<Result<_>>()?;
        Ok((instance, slots))
    });
    let (instance, slots) = match looked {
        Ok(found) => found,
        Err(e) => return vec![Check::fail("ways in", &e)],
    };
    let mut found: Vec<_> = slots
        .iter()
        .filter(|slot| slot.kind != SlotKind::Recovery)
        .map(|slot| way(config, &instance, slot))
        .collect();
    if slots.iter().any(|slot| slot.kind == SlotKind::Recovery) {
        found.push(Check::ok("recovery code", "there is one; keep it away from this machine"));
    } else {
        let only = slots.len() == 1;
        found.push(Check::warn(
            "recovery code",
            if only {
                "there is none: whatever loses the one way in loses the vault"
            } else {
                "there is none"
            },
            "Run `unsaid key add recovery` in a terminal.",
        ));
    }
    found
}

fn way(config: &Config, instance: &str, slot: &SlotRow) -> Check {
    let named = format!("{}: {}", slot.kind.as_str(), source::place(slot));
    if slot.kind == SlotKind::Passphrase {
        return Check::ok("way in", format!("{named}; {}", source::worth(slot.kind)));
    }
    match with_unlocking(config, None, |by| Vault::unlock(instance, std::slice::from_ref(slot), by)) {
        Ok(_) => {
            let what = format!("{named} opens the vault; {}", source::worth(slot.kind));
            match slot.kind {
                SlotKind::Environment => Check::warn(
                    "way in",
                    what,
                    "Prefer `unsaid key add file` or a systemd credential, then remove this one.",
                ),
                _ => Check::ok("way in", what),
            }
        }
        // Another way may work: whether the vault opens is a check of its own.
        Err(e) => Check::warn(
            "way in",
            format!("{named} does not work now: {}", e.message()),
            e.next_step().to_owned(),
        ),
    }
}

async fn contents(app: &App, thorough: bool) -> Vec<Check> {
    let (now, file) = (app.now(), app.config.file.clone());
    let looked = app
        .store
        .read(move |tx| {
            let mut found = look(tx, now, thorough)?;
            found.extend(checks::notices(tx, &file)?);
            Ok(found)
        })
        .await;
    looked.unwrap_or_else(|e| vec![Check::fail("contents", &e)])
}

fn look(tx: &Reader<'_>, now: Millis, thorough: bool) -> Result<Vec<Check>> {
    let mut found = Vec::new();
    for org in tx.orgs()? {
        found.push(Check::of("audit chain", chain(tx, &org.id, &org.name)));
        if thorough {
            let mut rows = 0;
            let looked = every_row(tx, &org.id, &mut rows)
                .map(|()| format!("{rows} rows of {} are as they were written", org.name));
            found.push(Check::of("rows", looked));
        }
    }
    found.push(clock(tx.last_event_at()?, now));
    found.push(last_backup(tx, now)?);
    found.push(half_done(tx)?);
    found.push(rotations(tx, now)?);
    let mut open = 0;
    for org in tx.orgs()? {
        open += tx.approvals(&org.id, Millis(now.0 - DAY_MS), 100)?.iter().filter(|a| a.is_open(now)).count();
    }
    found.push(match open {
        0 => Check::ok("approvals", "nothing waits for a person"),
        n => Check::warn("approvals", format!("{n} requests wait for a person"), "Run `unsaid approve`."),
    });
    found.push(canaries(tx)?);
    Ok(found)
}

/// Which credentials they are is told by `unsaid status` alone, and to whom it concerns.
fn canaries(tx: &Reader<'_>) -> Result<Check> {
    let mut open = 0;
    for org in tx.orgs()? {
        open += tx.open_alerts(&org.id, None, 1000)?.len();
    }
    Ok(match open {
        0 => Check::ok("canaries", "none was used"),
        n => Check::warn(
            "canaries",
            format!("{n} alerts: a credential that nothing should use was used"),
            "Run `unsaid status`; whoever manages it sees by whom.",
        ),
    })
}

fn chain(tx: &Reader<'_>, org: &OrgId, name: &str) -> Result<String> {
    let verified = tx.verify_audit(org, None)?;
    match verified.first_bad {
        None => Ok(format!("{} events of {name} are in order", verified.good)),
        Some((seq, why)) => Err(Error::new(Code::Integrity, format!("event {seq} of {name}: {why}"))),
    }
}

fn clock(last: Option<Millis>, now: Millis) -> Check {
    match last {
        Some(last) if last.0 > now.0 + SKEW_MS => Check::warn(
            "clock",
            format!("the newest event is of {last}, and the clock says {now}"),
            "Set the clock of this machine: expiry and the bin go by it.",
        ),
        _ => Check::ok("clock", format!("{now}, not before the newest event")),
    }
}

fn last_backup(tx: &Reader<'_>, now: Millis) -> Result<Check> {
    const HOW: &str = "Run `unsaid backup FILE`, and keep the file elsewhere.";
    Ok(match tx.last_backup()? {
        None => Check::warn("backup", "there has never been one", HOW),
        Some(row) => {
            let days = (now.0 - row.at.0).max(0) / DAY_MS;
            match days > OLD_BACKUP_DAYS {
                true => Check::warn("backup", format!("the last one is {days} days old"), HOW),
                false => Check::ok("backup", format!("the last one is of {}", row.at)),
            }
        }
    })
}

/// Rotations that nobody goes on with, and calls to services whose end nobody wrote down.
fn rotations(tx: &Reader<'_>, now: Millis) -> Result<Check> {
    let (mut calls, mut unmoved) = (Vec::new(), Vec::new());
    for org in tx.orgs()? {
        calls.extend(tx.calls_begun(&org.id, now.plus_ms(-CALL_MS))?);
        unmoved.extend(tx.rotations_unmoved(&org.id, now.plus_ms(-DAY_MS))?);
    }
    let what =
        |name: &str, id: Option<&str>| format!("{name}, the first is of rotation {}", id.unwrap_or_default());
    Ok(match (calls.first(), unmoved.first()) {
        (None, None) => Check::ok("rotations", "none hangs"),
        (Some(first), _) => Check::warn(
            "rotations",
            what(
                &format!("{} calls to services were begun, and how they ended is not known", calls.len()),
                Some(first.rotation_id.as_str()),
            ),
            "Run `unsaid rotate --status ID`: the service's page shows whether it happened. It is not done again by itself.",
        ),
        (None, Some(first)) => Check::warn(
            "rotations",
            what(&format!("{} rotations stand still for a day", unmoved.len()), Some(first.id.as_str())),
            "Run `unsaid rotate --list`, and go on with them or abort them.",
        ),
    })
}

fn half_done(tx: &Reader<'_>) -> Result<Check> {
    let retiring = tx.org_keys()?.iter().filter(|key| key.state == "retiring").count();
    Ok(match retiring {
        0 => Check::ok("unfinished work", "there is none"),
        n => Check::warn(
            "unfinished work",
            format!("the key rotation of {n} orgs was begun and not finished; everything works meanwhile"),
            "Run `unsaid key rotate --org-key`: it goes on where it stopped.",
        ),
    })
}
