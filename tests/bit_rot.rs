//! S-07, T-20: one bit of the vault's files changes. Whatever is read then is right or an error: never a wrong value,
//! never a panic.
//!
//! `UNSAID_ROT_FLIPS` says how many flips each file gets (250), `UNSAID_ROT_SEED` repeats a run's choices.
use crate::support::rig::{self, Dice};
use crate::support::world::World;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use unsaid::ids::{OrgId, UserId};
use unsaid::model::access::{Caller, Door};
use unsaid::ops::Operation;
use unsaid::ops::credential::list::ListCredentials;
use unsaid::ops::hand_over::{HandOver, hand_over};

const NAMES: u64 = 10;

/// Memory where there is some, so that ten thousand copies do not wait for a disk.
fn scratch() -> tempfile::TempDir {
    match Path::new("/dev/shm").is_dir() {
        true => tempfile::tempdir_in("/dev/shm").unwrap(),
        false => tempfile::tempdir().unwrap(),
    }
}

/// The files of a vault that nobody has open, and what each name's value was, oldest first.
struct Frozen {
    home: tempfile::TempDir,
    /// The vault that the copies are of: its key file stays where it is.
    _first: tempfile::TempDir,
    files: Vec<(PathBuf, Vec<u8>)>,
    truth: BTreeMap<String, Vec<String>>,
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

/// A vault whose first values are in the database file and whose later ones are in the log.
async fn frozen() -> Frozen {
    let world = World::new().await;
    let mut truth: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for n in 0..NAMES {
        let (name, value) = (format!("ROT_{n}"), rig::value_of(n));
        world.add("ada", ["personal", "org"][n as usize % 2], &name, &value).await;
        truth.entry(name).or_default().push(value);
    }
    world.app.store.forget_old_pages().await.unwrap();
    for n in 0..NAMES / 2 {
        let (name, value) = (format!("ROT_{n}"), rig::value_of(1000 + n));
        let target = unsaid::ops::credential::value::Target::Existing(name.clone());
        let bytes = unsaid::secret::SecretBytes::copied(value.as_bytes());
        let values = vec![("value".to_owned(), bytes)];
        unsaid::ops::credential::value::enter_value(
            &world.app,
            &world.person("ada"),
            target,
            values,
            String::new(),
        )
        .await
        .unwrap();
        truth.entry(name).or_default().push(value);
    }
    let home = scratch();
    let from = world.folder.path().join("home");
    let mut all = Vec::new();
    files(&from, &mut all);
    let files = all
        .into_iter()
        .filter(|path| !path.to_string_lossy().ends_with("-shm"))
        .map(|path| (path.strip_prefix(&from).unwrap().to_owned(), std::fs::read(&path).unwrap()))
        .collect();
    Frozen { home, _first: world.folder, files, truth }
}

impl Frozen {
    /// Lays a fresh copy out, with one bit of `spoiled` changed.
    fn thaw(&self, spoiled: &Path, bit: u64) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let home = self.home.path().join("home");
        let _ = std::fs::remove_dir_all(&home);
        for (path, bytes) in &self.files {
            let to = home.join(path);
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::fs::set_permissions(to.parent().unwrap(), PermissionsExt::from_mode(0o700)).unwrap();
            let mut bytes = bytes.clone();
            if path == spoiled {
                bytes[(bit / 8) as usize] ^= 1 << (bit % 8);
            }
            std::fs::write(&to, bytes).unwrap();
            std::fs::set_permissions(&to, PermissionsExt::from_mode(0o600)).unwrap();
        }
        home
    }
}

#[derive(Debug, Default)]
struct Report {
    harmless: u64,
    detected: u64,
    /// The log ends before the flip: everything is as an earlier commit left it.
    earlier: u64,
}

/// Opens, lists, hands everything over one by one. Says whether it met an error and whether a value was an earlier one.
async fn look(home: &Path, truth: &BTreeMap<String, Vec<String>>, what: &str) -> (bool, bool) {
    let (mut failed, mut earlier) = (false, false);
    let app = match rig::open(home) {
        Ok(app) => app,
        Err(_) => return (true, false),
    };
    let caller = Caller::new(OrgId::from("acme"), UserId("user-acme-ada".into()), Door::Cli);
    match (ListCredentials { limit: Some(100), ..ListCredentials::default() }).run(&app, &caller).await {
        Ok(page) => {
            for row in &page.credentials {
                assert!(truth.contains_key(&row.name), "{what}: listed {}", row.name);
            }
            failed |= page.credentials.len() != truth.len();
        }
        Err(e) => {
            assert_ne!(e.message(), "a store operation panicked", "{what}");
            failed = true;
        }
    }
    for (name, values) in truth {
        let wanted = HandOver { names: vec![name.clone()], ..HandOver::default() };
        match hand_over(&app, &caller, wanted).await {
            Ok(handed) => handed[0].value.expose(|bytes| {
                let at = values.iter().position(|v| v.as_bytes() == bytes);
                assert!(at.is_some() && handed.len() == 1, "{what}: {name} opened to a wrong value");
                earlier |= at != Some(values.len() - 1);
            }),
            Err(e) => {
                assert_ne!(e.message(), "a store operation panicked", "{what}");
                failed = true;
            }
        }
    }
    (failed, earlier)
}

#[tokio::test]
async fn s_07_a_flipped_bit_is_detected_or_harmless_and_never_a_wrong_value() {
    let (flips, seed) = (rig::count("UNSAID_ROT_FLIPS", 250), rig::seed("UNSAID_ROT_SEED"));
    let frozen = frozen().await;
    let mut dice = Dice(seed);
    assert_eq!(look(&frozen.thaw(Path::new("-"), 0), &frozen.truth, "unharmed").await, (false, false));

    for (path, bytes) in &frozen.files {
        let is_log = path.to_string_lossy().ends_with("-wal");
        if !is_log && path.file_name().unwrap() != "vault.db" {
            continue;
        }
        assert!(bytes.len() > 4096, "{} holds something", path.display());
        let mut report = Report::default();
        for _ in 0..flips {
            let bit = dice.below(bytes.len() as u64 * 8);
            let what = format!("seed {seed}, bit {bit} of {}", path.display());
            match look(&frozen.thaw(path, bit), &frozen.truth, &what).await {
                (true, _) => report.detected += 1,
                (false, true) => {
                    assert!(is_log, "{what}: an earlier value out of the database file");
                    report.earlier += 1;
                }
                (false, false) => report.harmless += 1,
            }
        }
        eprintln!("seed {seed}, {} of {} bytes: {report:?}", path.display(), bytes.len());
    }
}
