//! Handing values over, through the library, beside what the same disk and the same cryptography do bare.
//!
//! `cargo bench --bench hand_over [-- FILTER]`; every figure is the median of several rounds that take turns.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "../tests/support/world.rs"]
#[allow(dead_code)]
mod world;

use rusqlite::{Connection, params};
use std::path::Path;
use std::time::Instant;
use unsaid::model::access::Caller;
use unsaid::ops::Operation;
use unsaid::ops::credential::create::CreateCredential;
use unsaid::ops::credential::get::GetCredential;
use unsaid::ops::credential::list::ListCredentials;
use unsaid::ops::credential::value::{Entry, Target, enter_many};
use unsaid::ops::hand_over::{HandOver, hand_over};
use unsaid::secret::SecretBytes;
use world::World;

const ROUNDS: usize = 7;
const CALLERS: usize = 64;

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// Uses per second, `callers` at a time, `each` uses a caller.
async fn uses(world: &World, callers: usize, each: usize) -> f64 {
    let began = Instant::now();
    let tasks: Vec<_> = (0..callers)
        .map(|n| {
            let (app, caller) = (world.app.clone(), world.person("ada"));
            tokio::spawn(async move {
                for _ in 0..each {
                    let wanted = HandOver {
                        names: vec![format!("K_{n:06}")],
                        command: "bench".into(),
                        ..HandOver::default()
                    };
                    hand_over(&app, &caller, wanted).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    (callers * each) as f64 / began.elapsed().as_secs_f64()
}

/// A database of one table, with the settings that the store asserts.
fn bare(path: &Path) -> Connection {
    let conn = Connection::open(path).unwrap();
    conn.execute_batch(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA secure_delete=ON; PRAGMA temp_store=MEMORY; \
         CREATE TABLE IF NOT EXISTS row (id INTEGER PRIMARY KEY, body BLOB NOT NULL); \
         CREATE TABLE IF NOT EXISTS sealed (name TEXT PRIMARY KEY, body BLOB NOT NULL);",
    )
    .unwrap();
    conn
}

/// Commits per second of `rows` rows each.
fn commits(conn: &Connection, rows: usize, times: usize) -> f64 {
    let began = Instant::now();
    for _ in 0..times {
        conn.execute_batch("BEGIN IMMEDIATE").unwrap();
        let mut insert = conn.prepare_cached("INSERT INTO row (body) VALUES (?1)").unwrap();
        for _ in 0..rows {
            insert.execute(params![[7u8; 300]]).unwrap();
        }
        drop(insert);
        conn.execute_batch("COMMIT").unwrap();
    }
    times as f64 / began.elapsed().as_secs_f64()
}

/// Microseconds for one read of a sealed row by name, and its opening with AES-256-GCM.
fn read_and_open(conn: &Connection, times: usize) -> f64 {
    use aes_gcm::aead::{Aead, KeyInit};
    use aes_gcm::{Aes256Gcm, Nonce};
    let cipher = Aes256Gcm::new(&[9u8; 32].into());
    let nonce = Nonce::from([3u8; 12]);
    let sealed = cipher.encrypt(&nonce, [1u8; 64].as_slice()).unwrap();
    conn.execute_batch("BEGIN").unwrap();
    for n in 0..1000 {
        let name = format!("K_{n:06}");
        conn.execute("INSERT OR REPLACE INTO sealed VALUES (?1, ?2)", params![name, sealed]).unwrap();
    }
    conn.execute_batch("COMMIT").unwrap();
    let began = Instant::now();
    for n in 0..times {
        let mut read = conn.prepare_cached("SELECT body FROM sealed WHERE name = ?1").unwrap();
        let body: Vec<u8> = read.query_row([format!("K_{:06}", n % 1000)], |r| r.get(0)).unwrap();
        assert_eq!(cipher.decrypt(&nonce, body.as_slice()).unwrap().len(), 64);
    }
    began.elapsed().as_secs_f64() * 1e6 / times as f64
}

/// Fills the vault up to `to` credentials with a value each.
async fn fill(world: &World, from: usize, to: usize) {
    let caller = world.person("ada");
    for first in (from..to).step_by(200) {
        let entries = (first..to.min(first + 200)).map(|n| {
            let create = CreateCredential { name: format!("K_{n:06}"), ..CreateCredential::default() };
            let value = SecretBytes::copied(format!("{n:064}").as_bytes());
            Entry {
                target: Target::New(Box::new(create)),
                values: vec![("value".into(), value)],
                file_name: String::new(),
            }
        });
        enter_many(&world.app, &caller, entries.collect()).await.unwrap();
    }
}

/// Microseconds of one call.
async fn call<O: Operation>(world: &World, caller: &Caller, times: usize, make: impl Fn(usize) -> O) -> f64 {
    let mut all = Vec::with_capacity(times);
    for n in 0..times {
        let began = Instant::now();
        make(n).run(&world.app, caller).await.unwrap();
        all.push(began.elapsed().as_secs_f64() * 1e6);
    }
    median(all)
}

async fn uses_beside_bare() {
    let world = World::new().await;
    fill(&world, 0, 1000).await;
    let conn = bare(&world.folder.path().join("bare.db"));
    let (mut many, mut one) = (Vec::new(), Vec::new());
    let (mut row, mut hundred, mut open) = (Vec::new(), Vec::new(), Vec::new());
    uses(&world, CALLERS, 50).await;
    for _ in 0..ROUNDS {
        row.push(commits(&conn, 1, 800));
        one.push(uses(&world, 1, 800).await);
        hundred.push(commits(&conn, 100, 200));
        many.push(uses(&world, CALLERS, 200).await);
        open.push(read_and_open(&conn, 20_000));
    }
    let (many, one) = (median(many), median(one));
    let (row, hundred, open) = (median(row), median(hundred), median(open));
    println!("bare commit of one row       {row:>10.0} /s");
    println!("bare commit of 100 rows      {hundred:>10.0} /s  ({:.0} rows/s)", hundred * 100.0);
    println!("bare read + AES-256-GCM open {open:>10.1} us");
    println!("hand-over, one caller        {one:>10.0} uses/s  {:.2} x bare one-row commit", one / row);
    println!(
        "hand-over, {CALLERS} callers       {many:>10.0} uses/s  {:.2} x bare one-row commit, {:.2} x bare 100-row rows",
        many / row,
        many / (hundred * 100.0)
    );
}

async fn reads() {
    let world = World::new().await;
    let caller = world.person("ada");
    let mut filled = 0;
    let mut lists = Vec::new();
    for size in [10_000, 100_000] {
        fill(&world, filled, size).await;
        filled = size;
        world.app.store.checkpoint().unwrap();
        let list = || call(&world, &caller, 300, |_| ListCredentials::default());
        let get = || {
            call(&world, &caller, 2000, |n| GetCredential { credential: format!("K_{:06}", n * 7 % size) })
        };
        list().await;
        let (list, get) = (list().await, get().await);
        println!("{size:>7} stored: list_credentials p50 {list:>8.1} us   get_credential p50 {get:>8.1} us");
        lists.push(list);
    }
    println!("list_credentials, 100,000 to 10,000: {:.2} x", lists[1] / lists[0]);
}

fn main() {
    let wanted = std::env::args().skip(1).find(|a| !a.starts_with('-')).unwrap_or_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    if "uses".contains(&wanted) {
        runtime.block_on(uses_beside_bare());
    }
    if "reads".contains(&wanted) {
        runtime.block_on(reads());
    }
}
