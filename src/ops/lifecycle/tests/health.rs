//! What `doctor` says about vaults in all states, and that it changes nothing.
use super::*;
use crate::clock::DAY_MS;
use crate::error::Code;
use crate::ops::lifecycle::backup::backup;
use crate::ops::lifecycle::container::Seal;
use crate::ops::lifecycle::doctor::{Check, Level, doctor, failure};
use crate::ops::lifecycle::rekey::rotate_org;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

async fn looked(ground: &Ground) -> Vec<Check> {
    doctor(&ground.saved_config(), ground.clock(), true, None).await
}

fn named<'a>(checks: &'a [Check], name: &str) -> &'a Check {
    checks.iter().find(|check| check.name == name).unwrap_or_else(|| panic!("{name} was not looked at"))
}

#[tokio::test]
async fn a_sound_vault_fails_nothing_and_hears_what_could_be_better() {
    let ground = Ground::new();
    let (app, _) = ground.vault().await;
    fill(&app, 3).await;
    let before = log(&app).await;

    let found = looked(&ground).await;

    assert!(failure(&found).is_none(), "{found:?}");
    for name in [
        "data folder",
        "database file",
        "database",
        "pages",
        "way in",
        "unlock",
        "audit chain",
        "rows",
        "clock",
    ] {
        assert_eq!(named(&found, name).level, Level::Ok, "{:?}", named(&found, name));
    }
    assert_eq!(named(&found, "recovery code").level, Level::Warn);
    assert!(named(&found, "recovery code").next.contains("unsaid key add recovery"));
    assert_eq!(named(&found, "backup").level, Level::Warn);
    assert!(found.iter().all(|check| (check.level == Level::Ok) == check.next.is_empty()));
    assert_eq!(log(&app).await, before);
}

#[tokio::test]
async fn a_recent_backup_is_enough_and_an_old_one_is_not() {
    let ground = Ground::new();
    let (app, _, _) = ground.vault_with_code().await;
    let seal = Seal::Recipient(age::x25519::Identity::generate().to_public().to_string());
    backup(&app, &owner(&app), &ground.path("vault.backup"), seal).await.unwrap();

    assert_eq!(named(&looked(&ground).await, "backup").level, Level::Ok);
    assert_eq!(named(&looked(&ground).await, "recovery code").level, Level::Ok);
    ground.clock.advance_ms(20 * DAY_MS);
    let found = looked(&ground).await;

    assert_eq!(named(&found, "backup").level, Level::Warn);
    assert!(named(&found, "backup").what.contains("20 days"));
}

#[tokio::test]
async fn no_vault_and_half_a_vault_are_told_with_the_command_to_run() {
    let ground = Ground::new();
    let found = looked(&ground).await;
    assert_eq!(failure(&found).unwrap().code, Code::NotInitialised);

    let path = ground.config().places.database();
    drop(crate::store::Store::create(&path, ground.clock()).unwrap());
    let found = looked(&ground).await;
    assert!(named(&found, "unlock").next.contains("unsaid init"));
    assert_eq!(failure(&found).unwrap().code, Code::NotInitialised);
}

#[tokio::test]
async fn a_lost_key_fails_and_the_rest_is_looked_at_all_the_same() {
    let ground = Ground::new();
    drop(ground.vault().await);
    std::fs::remove_file(ground.path("home/keys/vault.key")).unwrap();

    let found = looked(&ground).await;

    assert_eq!(named(&found, "way in").level, Level::Warn);
    assert_eq!(named(&found, "unlock").level, Level::Fail);
    assert!(named(&found, "unlock").next.contains("unsaid key recover"));
    assert_eq!(named(&found, "pages").level, Level::Ok);
    assert_eq!(failure(&found).unwrap().code, Code::KeyNotFound);
}

#[tokio::test]
async fn open_folders_and_files_fail_with_the_command_that_closes_them() {
    let ground = Ground::new();
    drop(ground.vault().await);
    for (name, mode, check, fix) in [
        ("home/data", 0o755, "data folder", "chmod 700"),
        ("home/data/vault.db", 0o644, "database file", "chmod 600"),
        ("home/config", 0o755, "config folder", "chmod 700"),
    ] {
        let path = ground.path(name);
        let was = std::fs::metadata(&path).unwrap().permissions();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();

        let found = looked(&ground).await;

        assert_eq!(named(&found, check).level, Level::Fail);
        assert!(named(&found, check).next.contains(fix));
        assert_eq!(failure(&found).unwrap().code, Code::StoreInsecure);
        std::fs::set_permissions(&path, was).unwrap();
    }
}

#[tokio::test]
async fn changed_rows_changed_events_and_a_wrong_clock_are_found() {
    let ground = Ground::new();
    let (app, _) = ground.vault().await;
    fill(&app, 2).await;
    let outside = rusqlite::Connection::open(app.store.path()).unwrap();

    outside.execute("UPDATE credential SET description = 'changed' WHERE name = 'KEY_1'", []).unwrap();
    let found = looked(&ground).await;
    assert_eq!(named(&found, "rows").level, Level::Fail);
    assert_eq!(failure(&found).unwrap().code, Code::Integrity);
    outside.execute("UPDATE credential SET description = ''", []).unwrap();

    ground.clock.advance_ms(-DAY_MS);
    assert_eq!(named(&looked(&ground).await, "clock").level, Level::Warn);
    ground.clock.advance_ms(DAY_MS);

    outside.execute("DELETE FROM audit WHERE seq = 2", []).unwrap();
    let found = looked(&ground).await;
    assert_eq!(named(&found, "audit chain").level, Level::Fail);
    assert!(named(&found, "audit chain").what.contains("event 2"));
}

#[tokio::test]
async fn a_rotation_that_stopped_half_way_is_told_with_the_command_that_finishes_it() {
    let ground = Ground::new();
    let (app, _) = ground.vault().await;
    fill(&app, 2).await;
    let outside = rusqlite::Connection::open(app.store.path()).unwrap();
    outside.execute("UPDATE credential SET description = 'changed' WHERE name = 'KEY_1'", []).unwrap();
    rotate_org(&app, &owner(&app), Duration::ZERO).await.unwrap_err();

    let found = looked(&ground).await;

    assert_eq!(named(&found, "unfinished work").level, Level::Warn);
    assert!(named(&found, "unfinished work").next.contains("unsaid key rotate --org-key"));
}
