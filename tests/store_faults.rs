//! Faults that hit a whole process: no more files, no room to write, everybody at once. A typed refusal, and whole data.
//!
//! The processes are this test binary, started again with `UNSAID_FAULT` naming the fault. What happens inside one
//! process (S-04, S-09, S-12, panics, batches) is tested beside the store.
use crate::support::rig;
use crate::support::world::World;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::process::{Command, Output};
use unsaid::app::App;
use unsaid::error::{Code, Error, Result};
use unsaid::ids::{OrgId, UserId};
use unsaid::model::access::{Caller, Door};
use unsaid::model::credential::Scope;
use unsaid::ops::Operation;
use unsaid::ops::credential::create::CreateCredential;
use unsaid::ops::hand_over::{HandOver, hand_over};
use unsaid::store::Place;

fn caller() -> Caller {
    Caller::new(OrgId::from("acme"), UserId("user-acme-ada".into()), Door::Cli)
}

async fn create(app: &App, name: &str) -> Result<()> {
    let description = Some("x".repeat(400));
    let create = CreateCredential { name: name.into(), description, ..CreateCredential::default() };
    create.run(app, &caller()).await.map(drop)
}

/// This binary again, as one process that meets `fault`; `shell` runs before it.
fn process(shell: &str, home: &Path, fault: &str) -> Command {
    let mut command = Command::new("sh");
    command
        .args([
            "-c",
            &format!("{shell} exec \"$0\" store_faults::a_process_that_meets_a_fault --exact --nocapture"),
        ])
        .arg(std::env::current_exe().unwrap())
        .env("UNSAID_FAULT", fault)
        .env("UNSAID_FAULT_HOME", home);
    command
}

fn passed(output: Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn is_typed(e: &Error) {
    let codes = [Code::StoreFull, Code::StoreReadOnly, Code::StoreInsecure, Code::StoreBusy];
    assert!(codes.contains(&e.code), "{} {}", e.code.name(), e.message());
}

/// Not a test of its own: what a started process runs.
#[test]
fn a_process_that_meets_a_fault() {
    let Ok(fault) = std::env::var("UNSAID_FAULT") else { return };
    let home = std::env::var("UNSAID_FAULT_HOME").unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let home = Path::new(&home);
        match fault.as_str() {
            // Writes go on until the file may grow no further; what was refused is not there, and reads go on.
            "no_room" => {
                let app = rig::open(home).unwrap();
                let mut refused = None;
                for n in 0..2000 {
                    if let Err(e) = create(&app, &format!("FULL_{n}")).await {
                        is_typed(&e);
                        refused = Some(n);
                        break;
                    }
                }
                let refused = format!("FULL_{}", refused.expect("the limit was met"));
                // A use is smaller than a creation and may still fit; soon none does, and none goes unrecorded.
                let mut last = Ok(());
                for _ in 0..200 {
                    let wanted = HandOver { names: vec!["BEFORE".into()], ..HandOver::default() };
                    last = hand_over(&app, &caller(), wanted).await.map(drop);
                    if last.is_err() {
                        break;
                    }
                }
                is_typed(&last.expect_err("an unrecorded use"));
                let places = [Place::Owned(Scope::Personal, caller().user.0)];
                let found = app.store.read(move |tx| tx.candidates(&"acme".into(), &refused, &places)).await;
                assert!(found.unwrap().is_empty());
            }
            "no_files" => {
                let mut held = Vec::new();
                while let Ok(file) = std::fs::File::open("/dev/null") {
                    held.push(file);
                }
                assert!(rig::open(home).is_err());
                for _ in 0..40 {
                    held.pop();
                    // Part of the way open, or wholly: never a panic, never a half-open vault.
                    let Ok(app) = rig::open(home) else { continue };
                    if let Err(e) = create(&app, "WITH_FEW_FILES").await {
                        assert!(e.code == Code::AlreadyExists, "{} {}", e.code.name(), e.message());
                    }
                }
                assert!(rig::open(home).is_ok());
            }
            name => {
                let app = rig::open(home).unwrap();
                create(&app, name).await.unwrap();
            }
        }
    });
}

async fn home() -> (World, std::path::PathBuf) {
    let world = World::new().await;
    world.add("ada", "personal", "BEFORE", &rig::value_of(1)).await;
    let home = world.folder.path().join("home");
    (world, home)
}

#[tokio::test]
async fn s_04_s_05_a_process_that_can_write_no_further_refuses_uses_and_keeps_every_commit() {
    let (world, home) = home().await;

    // Two MiB at most in a file; the signal that comes with it is ignored, as services are started.
    passed(process("trap '' XFSZ; ulimit -f 4096;", &home, "no_room").output().unwrap());

    world.add("ada", "personal", "AFTER", &rig::value_of(2)).await;
    assert!(world.chain_is_whole().await);
    assert_eq!(world.app.store.integrity(true).unwrap(), "ok");
}

#[tokio::test]
async fn s_05_a_process_without_file_handles_is_refused_and_works_when_there_are_some() {
    let (world, home) = home().await;

    passed(process("ulimit -n 64;", &home, "no_files").output().unwrap());

    assert!(world.chain_is_whole().await);
}

#[tokio::test]
async fn sixteen_processes_open_and_write_at_once_and_none_is_turned_away() {
    let (world, home) = home().await;

    let all: Vec<_> = (0..16)
        .map(|n| {
            let mut command = process("", &home, &format!("AT_ONCE_{n}"));
            command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
            command.spawn().unwrap()
        })
        .collect();
    for one in all {
        passed(one.wait_with_output().unwrap());
    }

    let log = world.log().await;
    assert_eq!(log.iter().filter(|line| line.starts_with("create_credential ok")).count(), 17);
    assert!(world.chain_is_whole().await);
}

/// Copies the folders of a vault; what lies beside its database only where `beside` says so.
fn copied(from: &Path, to: &Path, beside: &[&str]) {
    for folder in ["data", "config", "keys"] {
        let (from, to) = (from.join(folder), to.join(folder));
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&to).unwrap();
        for entry in std::fs::read_dir(from).into_iter().flatten() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if !name.starts_with("vault.db-") || beside.contains(&name) {
                std::fs::copy(&path, to.join(name)).unwrap();
            }
        }
    }
}

#[tokio::test]
async fn s_17_a_journal_that_a_kill_left_is_rolled_back_when_the_vault_is_opened() {
    let (world, home) = home().await;
    world.app.store.forget_old_pages().await.unwrap();
    let (halfway, killed) = (world.folder.path().join("halfway"), world.folder.path().join("killed"));
    copied(&home, &halfway, &[]);
    let conn = rusqlite::Connection::open(halfway.join("data/vault.db")).unwrap();
    // As the journal is before the vault's own settings are made; so little memory that pages go to disk at once.
    conn.execute_batch(
        "PRAGMA journal_mode=DELETE; PRAGMA cache_size=1; BEGIN IMMEDIATE; CREATE TABLE late (x);",
    )
    .unwrap();
    for _ in 0..50 {
        conn.execute("INSERT INTO late VALUES (randomblob(4000))", []).unwrap();
    }
    copied(&halfway, &killed, &["vault.db-journal"]);
    assert!(std::fs::metadata(killed.join("data/vault.db-journal")).unwrap().len() > 512);

    let app = rig::open(&killed).unwrap();

    let wanted = HandOver { names: vec!["BEFORE".into()], ..HandOver::default() };
    assert_eq!(hand_over(&app, &caller(), wanted).await.unwrap().len(), 1);
    assert_eq!(app.store.integrity(true).unwrap(), "ok");
}
