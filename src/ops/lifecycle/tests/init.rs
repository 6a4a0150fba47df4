//! `init`: what there is afterwards, and that nothing is ever made over something.
use super::*;
use crate::error::Code;
use crate::ops::lifecycle::Kept;
use crate::store::Store;
use crate::vault::SlotKind;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicUsize, Ordering};

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn init_makes_a_vault_that_opens_by_itself_and_knows_its_owner() {
    let ground = Ground::new();

    let (app, made) = ground.vault().await;

    assert_eq!(made.unlock, SlotKind::File);
    assert_eq!(made.recovery, Kept::Nowhere);
    drop(app);
    let again = ground.open().unwrap();
    let caller = owner(&again);
    let (user, org) = again
        .store
        .read(move |tx| Ok((tx.user(&caller.org, &caller.user)?, tx.org(&caller.org)?)))
        .await
        .unwrap();
    assert_eq!((user.login.as_str(), user.role), ("ada", crate::model::org::Role::Admin));
    assert_eq!(org.name, "acme");
    assert_eq!(log(&again).await, ["init ok"]);
    for folder in ["home", "home/data", "home/config", "home/keys"] {
        assert_eq!(mode(&ground.path(folder)), 0o700, "{folder}");
    }
    assert_eq!(mode(&ground.path("home/data/vault.db")), 0o600);
    assert_eq!(mode(&ground.path("home/config/unsaid.toml")), 0o600);
}

#[tokio::test]
async fn a_second_init_says_so_and_changes_nothing() {
    let ground = Ground::new();
    let (app, made) = ground.vault().await;
    let before = std::fs::read(ground.path("home/config/unsaid.toml")).unwrap();

    let again = refused(ground.try_init(KeySource::File(None), Keep::File(ground.path("r")), None).await);

    assert_eq!(again.code, Code::AlreadyInitialised);
    assert!(!ground.path("r").exists());
    assert_eq!(std::fs::read(ground.path("home/config/unsaid.toml")).unwrap(), before);
    assert_eq!(app.store.meta("instance").unwrap(), Some(made.instance));
    assert_eq!(log(&app).await, ["init ok"]);
}

#[tokio::test]
async fn k_22_a_vault_whose_key_is_gone_gets_no_new_root() {
    let ground = Ground::new();
    drop(ground.vault().await);
    std::fs::remove_dir_all(ground.path("home/keys")).unwrap();

    let again = refused(ground.try_init(KeySource::File(None), Keep::Nowhere, None).await);

    assert_eq!(again.code, Code::AlreadyInitialised);
    assert!(!ground.path("home/keys").exists());
    assert_eq!(refused(ground.open()).code, Code::KeyNotFound);
}

#[tokio::test]
async fn k_22_rows_without_their_vaults_id_are_not_made_another_vault() {
    let ground = Ground::new();
    let (app, _) = ground.vault().await;
    let path = app.store.path().to_owned();
    drop(app);
    let outside = rusqlite::Connection::open(&path).unwrap();
    outside.execute("DELETE FROM meta", []).unwrap();
    outside.execute("DELETE FROM slot", []).unwrap();
    drop(outside);

    let again = refused(ground.try_init(KeySource::File(None), Keep::Nowhere, None).await);

    assert_eq!(again.code, Code::StoreCorrupt);
}

#[tokio::test]
async fn what_a_killed_init_leaves_is_used_by_the_next() {
    let ground = Ground::new();
    let path = ground.config().places.database();
    // Killed after the file was made, after the schema was, and after the id was.
    crate::store::make_folder(&ground.config().places.data).unwrap();
    std::fs::write(&path, b"").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(refused(ground.open()).code, Code::NotInitialised);
    let begun = Store::open(&path, ground.clock()).unwrap().begin_vault("the first id").unwrap();
    assert_eq!(refused(ground.open()).code, Code::NotInitialised);
    // Its recovery file too: that code opens nothing.
    let file = ground.path("recovery.txt");
    std::fs::write(&file, format!("unsaid recovery code of vault {begun}\n\nold\n")).unwrap();

    let (_, made) = ground.try_init(KeySource::File(None), Keep::File(file.clone()), None).await.unwrap();

    assert_eq!(made.instance, "the first id");
    assert_eq!(made.recovery, Kept::File(file.clone()));
    assert!(!std::fs::read_to_string(file).unwrap().contains("old"));
    ground.open().unwrap();
}

#[tokio::test]
async fn a_person_who_does_not_take_the_code_has_no_vault_yet() {
    let ground = Ground::new();
    let no = |_: &Secret| Err(Error::new(Code::Declined, "the groups did not match"));

    let stopped = refused(ground.try_init(KeySource::File(None), Keep::Show(&no), None).await);

    assert_eq!(stopped.code, Code::Declined);
    assert_eq!(refused(ground.open()).code, Code::NotInitialised);
    let seen = AtomicUsize::new(0);
    let yes = |code: &Secret| {
        seen.store(code.expose(str::len), Ordering::SeqCst);
        Ok(())
    };
    let (_, made) = ground.try_init(KeySource::File(None), Keep::Show(&yes), None).await.unwrap();
    assert_eq!(made.recovery, Kept::Shown);
    assert_eq!(seen.load(Ordering::SeqCst), 14 * 4 + 13);
}

#[tokio::test]
async fn a_recovery_file_beside_the_database_or_over_a_file_is_refused_before_anything_is_made() {
    let ground = Ground::new();
    std::fs::write(ground.path("mine"), "mine").unwrap();

    for path in [ground.path("home/data/code"), ground.path("nowhere/code"), ground.path("mine")] {
        let stopped = refused(ground.try_init(KeySource::File(None), Keep::File(path), None).await);
        assert_eq!(stopped.code, Code::InvalidFile);
        assert_eq!(refused(ground.open()).code, Code::NotInitialised);
    }

    assert_eq!(std::fs::read_to_string(ground.path("mine")).unwrap(), "mine");
}

#[tokio::test]
async fn k_27_a_keyring_is_not_the_only_way_in_where_nobody_takes_a_recovery_code() {
    let ground = Ground::new();

    let stopped = refused(ground.try_init(KeySource::Keyring, Keep::Nowhere, None).await);
    let (_, made) = ground.try_init(KeySource::Automatic, Keep::Nowhere, None).await.unwrap();

    assert_eq!(stopped.code, Code::NeedsTerminal);
    assert_eq!(made.unlock, SlotKind::File);
    assert!(made.why.contains("recovery code"), "{}", made.why);
}

#[tokio::test]
async fn a_source_that_does_not_work_leaves_no_vault() {
    let ground = Ground::new();
    for (key, code) in [
        (KeySource::Passphrase, Code::NeedsTerminal),
        (KeySource::Command, Code::ConfigInvalid),
        (KeySource::Environment("UNSAID_TEST_NO_SUCH_VARIABLE".into()), Code::KeyNotFound),
        (KeySource::File(Some(ground.path("home/data/key"))), Code::KeyInsecure),
    ] {
        assert_eq!(refused(ground.try_init(key, Keep::Nowhere, None).await).code, code);
        assert_eq!(refused(ground.open()).code, Code::NotInitialised);
    }

    ground.vault().await;
}

#[tokio::test]
async fn p_14_thirty_at_once_make_one_vault() {
    let ground = Ground::new();
    let threads: Vec<_> = (0..30)
        .map(|_| {
            let config = ground.config();
            std::thread::spawn(move || {
                let start =
                    init(config, Arc::new(SystemClock), request(KeySource::File(None)), Keep::Nowhere, None);
                runtime().block_on(start).map(|(_, made)| made.instance)
            })
        })
        .collect();

    let ended: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();

    let made: Vec<_> = ended.iter().filter_map(|outcome| outcome.as_ref().ok()).collect();
    assert_eq!(made.len(), 1);
    for other in ended.iter().filter_map(|outcome| outcome.as_ref().err()) {
        assert_eq!(other.code, Code::AlreadyInitialised);
    }
    let app = ground.open().unwrap();
    assert_eq!(app.vault().instance(), made[0]);
    assert_eq!(app.store.keys().unwrap().1.len(), 1);
}

#[test]
fn k_22_a_kill_at_any_moment_leaves_nothing_or_something_to_go_on_with() {
    for round in 0..12 {
        let ground = Ground::new();
        let mut killed = child("init::child_inits", &ground.home(), &[]);
        std::thread::sleep(std::time::Duration::from_millis(5 + round * 7));
        killed.kill().unwrap();
        killed.wait().unwrap();

        match runtime().block_on(ground.try_init(KeySource::File(None), Keep::Nowhere, None)) {
            Ok((app, _)) => assert_eq!(runtime().block_on(log(&app)), ["init ok"]),
            Err(e) => assert_eq!(e.code, Code::AlreadyInitialised),
        }
        let app = ground.open().unwrap();
        assert_eq!(runtime().block_on(log(&app)), ["init ok"]);
    }
}

#[test]
#[ignore = "a child of k_22_a_kill_at_any_moment_leaves_nothing_or_something_to_go_on_with"]
fn child_inits() {
    let start = init(
        config_at(&childs_home()),
        Arc::new(SystemClock),
        request(KeySource::File(None)),
        Keep::Nowhere,
        None,
    );
    runtime().block_on(start).unwrap();
}
