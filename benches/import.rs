//! Ten thousand credentials out of one file, beside the same rows put into bare SQLite.
//!
//! `cargo bench --bench import [-- COUNT]`; medians of several rounds that take turns, each in a vault of its own.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "../tests/support/world.rs"]
#[allow(dead_code)]
mod world;

use rusqlite::{Connection, params};
use std::fmt::Write as _;
use std::time::Instant;
use unsaid::import::Format;
use unsaid::model::credential::Scope;
use unsaid::ops::import::{Into, OnClash, Wish, import, plan, read};
use world::World;

const ROUNDS: usize = 5;
const MOST_SECONDS: f64 = 10.0;

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// A browser's export of `count` logins.
fn logins(count: usize) -> String {
    let mut text = String::from("name,url,username,password,note\n");
    for n in 0..count {
        writeln!(text, "Service {n},https://service-{n}.example.test/login,user-{n},word {n:064},").unwrap();
    }
    text
}

/// The export of a password manager, with fields, notes and folders.
fn items(count: usize) -> String {
    let item = |n: usize| {
        serde_json::json!({
            "id": format!("{n:036}"), "type": 1, "name": format!("Service {n}"), "folderId": "f", "notes": "line\nline",
            "fields": [{"name": "region", "value": "eu", "type": 0}, {"name": "key", "value": format!("{n:064}"), "type": 1}],
            "login": {
                "uris": [{"match": null, "uri": format!("https://service-{n}.example.test/login")}],
                "username": format!("user-{n}"), "password": format!("word {n:064}"), "totp": null
            }
        })
    };
    let items: Vec<_> = (0..count).map(item).collect();
    serde_json::json!({"encrypted": false, "folders": [{"id": "f", "name": "Work/Web"}], "items": items})
        .to_string()
}

/// Seconds from the bytes of the file to the commit; reading and planning alone are the second figure.
async fn imported(format: Format, text: &str, count: usize) -> (f64, f64) {
    let world = World::new().await;
    let caller = world.person("ada");
    let began = Instant::now();
    let batch = read(&world.app, format, text.as_bytes(), &Wish::default()).unwrap();
    let into = Into { scope: Scope::Personal, team: None, environment: None };
    let mut plan = plan(&world.app, &caller, format, batch, into, Vec::new()).await.unwrap();
    plan.decide(OnClash::Skip);
    let planned = began.elapsed().as_secs_f64();
    let done = import(&world.app, &caller, plan, None).await.unwrap();
    assert_eq!(done.len(), count);
    (began.elapsed().as_secs_f64(), planned)
}

/// Seconds for one bare transaction with as many rows as an import of `fields` a credential writes: the credential,
/// its version, its fields and two events, of the sizes that ours have, under the indexes that ours have.
fn bare(count: usize, fields: usize) -> f64 {
    let folder = tempfile::tempdir().unwrap();
    let conn = Connection::open(folder.path().join("bare.db")).unwrap();
    conn.execute_batch(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA secure_delete=ON; PRAGMA temp_store=MEMORY;
         CREATE TABLE credential (id TEXT PRIMARY KEY, name TEXT NOT NULL, owner TEXT NOT NULL, body BLOB NOT NULL);
         CREATE UNIQUE INDEX place ON credential (owner, name);
         CREATE INDEX by_owner ON credential (owner, name, id);
         CREATE INDEX by_scope ON credential (name, id);
         CREATE TABLE version (id TEXT PRIMARY KEY, credential TEXT NOT NULL, body BLOB NOT NULL);
         CREATE INDEX by_credential ON version (credential);
         CREATE TABLE field (version TEXT NOT NULL, name TEXT NOT NULL, body BLOB NOT NULL, PRIMARY KEY (version, name));
         CREATE TABLE event (seq INTEGER PRIMARY KEY, object TEXT NOT NULL, at INTEGER NOT NULL, body BLOB NOT NULL);
         CREATE INDEX by_object ON event (object, seq);
         CREATE INDEX by_time ON event (at, seq);",
    )
    .unwrap();
    let began = Instant::now();
    conn.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut credential = conn.prepare("INSERT INTO credential VALUES (?1, ?2, ?3, ?4)").unwrap();
    let mut version = conn.prepare("INSERT INTO version VALUES (?1, ?2, ?3)").unwrap();
    let mut field = conn.prepare("INSERT INTO field VALUES (?1, ?2, ?3)").unwrap();
    let mut event = conn.prepare("INSERT INTO event VALUES (NULL, ?1, ?2, ?3)").unwrap();
    for n in 0..count {
        let id = format!("{n:026}");
        credential.execute(params![id, format!("SERVICE_{n}"), "user-acme-ada", [7u8; 400]]).unwrap();
        version.execute(params![id, id, [7u8; 300]]).unwrap();
        for f in 0..fields {
            field.execute(params![id, f.to_string(), [7u8; 150]]).unwrap();
        }
        for _ in 0..2 {
            event.execute(params![id, n as i64, [7u8; 400]]).unwrap();
        }
    }
    drop((credential, version, field, event));
    conn.execute_batch("COMMIT").unwrap();
    began.elapsed().as_secs_f64()
}

#[tokio::main]
async fn main() {
    let count = std::env::args().filter_map(|a| a.parse().ok()).next().unwrap_or(10_000);
    let files = [
        ("logins (chrome)", Format::Browser, logins(count), 2),
        ("items (bitwarden)", Format::BitwardenJson, items(count), 5),
    ];
    let mut slow = false;
    for (what, format, text, fields) in files {
        let (mut ours, mut planning, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let (all, planned) = imported(format, &text, count).await;
            ours.push(all);
            planning.push(planned);
            theirs.push(bare(count, fields));
        }
        let (ours, planning, theirs) = (median(ours), median(planning), median(theirs));
        println!(
            "{count} {what:<18} {ours:>7.2} s ({planning:.2} s of it reading and planning); bare rows {theirs:>6.2} s  {:.1} x",
            ours / theirs
        );
        slow |= count <= 10_000 && ours > MOST_SECONDS;
    }
    assert!(!slow, "slower than {MOST_SECONDS} s");
}
