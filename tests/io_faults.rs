//! S-02: system calls that fail. A process writes under `strace`, which lets the n-th call of a kind fail; afterwards all
//! that it was told is stored is there, nothing is damaged, and it ended with a typed error or none.
//!
//! A run takes a handful of these; `UNSAID_IO_FAULTS=1400` goes through 1,400 of the matrix.
use crate::support::rig;
use crate::support::world::World;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use unsaid::app::App;
use unsaid::error::{Error, Kind, Result};
use unsaid::ids::{OrgId, UserId};
use unsaid::model::access::{Caller, Door};
use unsaid::ops::credential::create::CreateCredential;
use unsaid::ops::credential::value::{Target, enter_value};
use unsaid::ops::hand_over::{HandOver, hand_over};
use unsaid::secret::SecretBytes;

const CALLS: [&str; 7] = ["pwrite64", "fdatasync", "fsync", "ftruncate", "openat", "mmap", "unlink"];
const ERRORS: [&str; 3] = ["EIO", "ENOSPC", "EINTR"];
/// The n-th call of a kind fails, n up to this.
const LAST: u64 = 200;
/// How many values a process enters, each used once.
const STEPS: u64 = 5;

fn caller() -> Caller {
    Caller::new(OrgId::from("acme"), UserId("user-acme-ada".into()), Door::Cli)
}

async fn enter(app: &App, number: u64) -> Result<()> {
    let create = CreateCredential { name: format!("IO_{number}"), ..CreateCredential::default() };
    let values = vec![("value".to_owned(), SecretBytes::copied(rig::value_of(number).as_bytes()))];
    enter_value(app, &caller(), Target::New(Box::new(create)), values, String::new()).await.map(drop)
}

async fn is_there(app: &App, number: u64) -> Result<bool> {
    let wanted = HandOver { names: vec![format!("IO_{number}")], ..HandOver::default() };
    let handed = hand_over(app, &caller(), wanted).await?;
    Ok(handed[0].value.expose(|bytes| bytes == rig::value_of(number).as_bytes()))
}

/// Not a test of its own: what is started under `strace`. It says what was acknowledged, and how it failed.
#[test]
fn a_process_whose_calls_fail() {
    let Ok(home) = std::env::var("UNSAID_IO_HOME") else { return };
    let first = rig::count("UNSAID_IO_FIRST", 0);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let failed = |e: Error| {
            // What the operating system does to us is never called a caller's fault.
            assert!(
                matches!(e.kind(), Kind::Unavailable | Kind::Internal),
                "{} {}",
                e.code.name(),
                e.message()
            );
            println!("\nERR {}", e.code.name());
        };
        match rig::open(Path::new(&home)) {
            Err(e) => failed(e),
            Ok(app) => {
                for number in first..first + STEPS {
                    match enter(&app, number).await {
                        Ok(()) => println!("\nACK {number}"),
                        Err(e) => failed(e),
                    }
                    match is_there(&app, number).await {
                        Ok(is_right) => assert!(is_right, "a wrong value"),
                        Err(e) if e.kind() == Kind::Missing => {}
                        Err(e) => failed(e),
                    }
                }
            }
        }
    });
}

/// One run; returns what was acknowledged and the codes of what failed.
fn run(home: &Path, first: u64, call: &str, error: &str, nth: u64) -> (Vec<u64>, Vec<String>) {
    let inject = format!("inject={call}:error={error}:when={nth}");
    let output = Command::new("strace")
        .args([
            "-f",
            "-qq",
            "--seccomp-bpf",
            "-o",
            "/dev/null",
            "-e",
            &format!("trace={call}"),
            "-e",
            &inject,
        ])
        .arg(std::env::current_exe().unwrap())
        .args(["io_faults::a_process_whose_calls_fail", "--exact", "--nocapture"])
        .env("UNSAID_IO_HOME", home)
        .env("UNSAID_IO_FIRST", first.to_string())
        .output()
        .expect("strace is there: scripts/test installs it");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    // The test harness around it may panic where it gets no thread: that is not ours.
    let is_ours = ["panicked at src/", "panicked at tests/"].iter().any(|place| err.contains(place));
    assert!(!is_ours, "{call} {error} {nth}: {err}");
    let words = |mark: &str| -> Vec<String> {
        out.lines().filter_map(|line| line.strip_prefix(mark)).map(|rest| rest.trim().to_owned()).collect()
    };
    (words("ACK ").iter().filter_map(|n| n.parse().ok()).collect(), words("ERR "))
}

/// `count` runs spread over kinds, errors and n.
fn matrix(count: u64) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
    let kinds = CALLS.len() as u64 * ERRORS.len() as u64;
    (0..count).map(move |n| {
        let kind = (n % kinds) as usize;
        let nth = 1 + (n / kinds) * LAST.div_ceil(count.div_ceil(kinds)) % LAST;
        (CALLS[kind / ERRORS.len()], ERRORS[kind % ERRORS.len()], nth)
    })
}

#[tokio::test]
async fn s_02_after_a_failed_system_call_all_that_was_acknowledged_is_there() {
    let can_trace = Command::new("strace").args(["-o", "/dev/null", "true"]).status();
    if !can_trace.is_ok_and(|status| status.success()) {
        eprintln!("NOT RUN: there is no strace here, or it may not trace");
        return;
    }
    let world = World::new().await;
    let home = world.folder.path().join("home");
    let mut codes: BTreeMap<String, u64> = BTreeMap::new();
    let (mut runs, mut kept, mut hit) = (0, 0, 0);
    for (call, error, nth) in matrix(rig::count("UNSAID_IO_FAULTS", 63)) {
        let (acknowledged, failed) = run(&home, runs * STEPS, call, error, nth);
        runs += 1;
        hit += u64::from(!failed.is_empty());
        for code in failed {
            *codes.entry(format!("{call} {code}")).or_default() += 1;
        }
        let app = rig::open(&home).unwrap();
        for number in &acknowledged {
            assert!(is_there(&app, *number).await.unwrap(), "{call} {error} {nth}: IO_{number}");
        }
        kept += acknowledged.len();
        assert_eq!(app.store.integrity(false).unwrap(), "ok", "{call} {error} {nth}");
        if runs % 50 == 0 {
            assert!(world.chain_is_whole().await, "{call} {error} {nth}");
        }
    }
    println!("{runs} runs, {hit} of them refused something, {kept} acknowledged values there: {codes:?}");
    assert!(hit > 0 && world.chain_is_whole().await);
    assert_eq!(world.app.store.integrity(true).unwrap(), "ok");
}
