//! The ways in: adding, removing, a new root, and the way back.
use super::*;
use crate::error::Code;
use crate::ops::lifecycle::Kept;
use crate::ops::lifecycle::keys::{NewWay, add, remove, rotate_root, status};
use crate::ops::lifecycle::recover::recover;

fn passphrase(_: &str) -> Result<Secret> {
    Ok(Secret::new(["orbit", "velvet", "canyon", "thistle", "marble"].join(" ")))
}

fn wrong_passphrase(_: &str) -> Result<Secret> {
    Ok(Secret::new(["orbit", "velvet", "canyon", "thistle", "granite"].join(" ")))
}

#[tokio::test]
async fn status_names_every_way_in_and_no_secret() {
    let ground = Ground::new();
    let (app, _, code) = ground.vault_with_code().await;

    let found = status(&app, &owner(&app)).await.unwrap();

    assert_eq!(found.slots.len(), 2);
    assert!(found.has_recovery_code && !found.is_rotation_open);
    assert!(found.slots.iter().any(|slot| slot.place.ends_with("keys/vault.key")));
    let told = serde_json::to_string(&found).unwrap();
    code.expose(|code| assert!(!told.contains(code)));
}

#[tokio::test]
async fn only_an_admin_sees_or_changes_the_ways_in() {
    let world = crate::testing::World::new().await;
    for login in ["otto", "tess", "mia"] {
        let caller = world.person(login);
        let way = NewWay::Source(KeySource::File(None));
        for refused in [
            refused(status(&world.app, &caller).await),
            refused(add(&world.app, &caller, way, None, Keep::Nowhere, None).await),
            refused(remove(&world.app, &caller, "key file").await),
            refused(rotate_root(&world.app, &caller, Keep::Nowhere, false, None).await),
        ] {
            assert_eq!(refused.code, Code::NotAllowed);
        }
    }
}

#[tokio::test]
async fn no_model_touches_keys_or_makes_a_backup_even_for_an_admin() {
    let world = crate::testing::World::new().await;
    let (app, ada) = (&world.app, world.caller("ada"));
    let file = world.folder.path().join("vault.backup");
    let seal = crate::ops::lifecycle::container::Seal::Recipient("age1".into());
    for refused in [
        refused(status(app, &ada).await),
        refused(add(app, &ada, NewWay::Source(KeySource::File(None)), None, Keep::Nowhere, None).await),
        refused(remove(app, &ada, "key file").await),
        refused(rotate_root(app, &ada, Keep::Nowhere, false, None).await),
        refused(crate::ops::lifecycle::rekey::rotate_org(app, &ada, std::time::Duration::ZERO).await),
        refused(crate::ops::lifecycle::backup::backup(app, &ada, &file, seal).await),
    ] {
        assert_eq!(refused.code, Code::PeopleOnly);
    }
    assert!(!file.exists());
    assert!(!world.log().await.iter().any(|line| line.starts_with("key_")));
}

#[tokio::test]
async fn a_passphrase_opens_a_vault_whose_key_file_is_gone() {
    let ground = Ground::new();
    let (app, _) = ground.vault().await;
    fill(&app, 2).await;

    let way = NewWay::Source(KeySource::Passphrase);
    add(&app, &owner(&app), way, None, Keep::Nowhere, Some(passphrase)).await.unwrap();
    drop(app);
    std::fs::remove_file(ground.path("home/keys/vault.key")).unwrap();

    assert_eq!(refused(ground.open()).code, Code::VaultLocked);
    let open = |prompt| App::open_with(ground.saved_config(), ground.clock(), Some(prompt));
    assert!(open(wrong_passphrase as fn(&str) -> Result<Secret>).is_err());
    let app = open(passphrase).unwrap();
    assert_eq!(every_value_opens(&app).await, 2);
    assert_eq!(log(&app).await.last().unwrap(), "key_add ok");
}

#[tokio::test]
async fn k_27_the_last_way_in_is_never_taken_away() {
    let ground = Ground::new();
    let (app, _, _) = ground.vault_with_code().await;
    let caller = owner(&app);

    assert_eq!(refused(remove(&app, &caller, "file").await).code, Code::LastSlot);
    assert_eq!(refused(remove(&app, &caller, "no such way").await).code, Code::SlotNotFound);
    remove(&app, &caller, "recovery").await.unwrap();
    assert_eq!(refused(remove(&app, &caller, "file").await).code, Code::LastSlot);

    assert_eq!(status(&app, &caller).await.unwrap().slots.len(), 1);
    assert_eq!(log(&app).await, ["init ok", "key_remove ok"]);
}

#[tokio::test]
async fn the_same_way_twice_and_a_code_for_nobody_are_refused() {
    let ground = Ground::new();
    let (app, _) = ground.vault().await;
    let caller = owner(&app);

    let same = add(&app, &caller, NewWay::Source(KeySource::File(None)), None, Keep::Nowhere, None).await;
    assert_eq!(refused(same).code, Code::AlreadyExists);
    let code = add(&app, &caller, NewWay::Recovery, None, Keep::Nowhere, None).await;
    assert_eq!(refused(code).code, Code::NeedsTerminal);
    let other = KeySource::File(Some(ground.path("home/data/below.key")));
    assert_eq!(
        refused(add(&app, &caller, NewWay::Source(other), None, Keep::Nowhere, None).await).code,
        Code::KeyInsecure
    );

    assert_eq!(log(&app).await, ["init ok"]);
}

#[tokio::test]
async fn two_ways_of_one_kind_must_be_told_apart() {
    let ground = Ground::new();
    let (app, _) = ground.vault().await;
    let caller = owner(&app);
    let second = NewWay::Source(KeySource::File(Some(ground.path("stick/other.key"))));
    let added = add(&app, &caller, second, Some("stick"), Keep::Nowhere, None).await.unwrap();

    assert_eq!(refused(remove(&app, &caller, "file").await).code, Code::AmbiguousName);
    assert_eq!(remove(&app, &caller, "stick").await.unwrap().id, added.slot.id);
}

#[tokio::test]
async fn a_new_recovery_code_ends_the_one_before() {
    let ground = Ground::new();
    let (app, _, old) = ground.vault_with_code().await;
    let path = ground.path("second.txt");

    let added =
        add(&app, &owner(&app), NewWay::Recovery, None, Keep::File(path.clone()), None).await.unwrap();

    assert_eq!((added.recovery, added.replaced), (Kept::File(path.clone()), 1));
    drop(app);
    let new = crate::ops::lifecycle::recovery::read_file(&path).unwrap();
    let open =
        |code: &Secret| crate::ops::lifecycle::recover::open(ground.saved_config(), ground.clock(), code);
    assert_eq!(refused(open(&old)).code, Code::VaultLocked);
    open(&new).unwrap();
}

#[tokio::test]
async fn a_new_root_keeps_every_way_in_and_replaces_the_recovery_code() {
    let ground = Ground::new();
    let (app, _, old) = ground.vault_with_code().await;
    fill(&app, 3).await;
    let other = ground.open().unwrap();
    let caller = owner(&app);

    let nobody = refused(rotate_root(&app, &caller, Keep::Nowhere, false, None).await);
    assert_eq!(nobody.code, Code::NeedsTerminal);
    let path = ground.path("second.txt");
    let done = rotate_root(&app, &caller, Keep::File(path.clone()), false, None).await.unwrap();

    assert_eq!((done.root_version, done.kept.len(), done.dropped.len()), (2, 2, 0));
    for app in [&app, &other, &ground.open().unwrap()] {
        assert_eq!(every_value_opens(app).await, 3);
        assert_eq!(app.vault().root_version(), 2);
    }
    fill_one_more(&other).await;
    assert_eq!(every_value_opens(&app).await, 4);
    let open =
        |code: &Secret| crate::ops::lifecycle::recover::open(ground.saved_config(), ground.clock(), code);
    assert_eq!(refused(open(&old)).code, Code::VaultLocked);
    open(&crate::ops::lifecycle::recovery::read_file(&path).unwrap()).unwrap();
    assert!(log(&app).await.contains(&"key_rotate_root ok".to_owned()));
}

async fn fill_one_more(app: &App) {
    let create = CreateCredential { name: "KEY_3".into(), ..CreateCredential::default() };
    let values = vec![("value".into(), SecretBytes::copied(value_of(3).as_bytes()))];
    let target = Target::New(Box::new(create));
    enter_many(app, &owner(app), vec![Entry { target, values, file_name: String::new() }]).await.unwrap();
}

#[tokio::test]
async fn a_way_in_that_cannot_be_read_stops_a_new_root_unless_it_is_given_up() {
    let ground = Ground::new();
    let (app, _) = ground.vault().await;
    let caller = owner(&app);
    let stick = ground.path("stick/other.key");
    add(
        &app,
        &caller,
        NewWay::Source(KeySource::File(Some(stick.clone()))),
        Some("stick"),
        Keep::Nowhere,
        None,
    )
    .await
    .unwrap();
    std::fs::remove_file(&stick).unwrap();

    let stopped = refused(rotate_root(&app, &caller, Keep::Nowhere, false, None).await);
    assert_eq!(stopped.code, Code::HasDependents);
    assert!(stopped.message().contains("stick"));
    assert_eq!(app.vault().root_version(), 1);

    let done = rotate_root(&app, &caller, Keep::Nowhere, true, None).await.unwrap();
    assert_eq!((done.kept.len(), done.dropped.len()), (1, 1));
    ground.open().unwrap();
}

#[tokio::test]
async fn no_way_left_to_read_means_no_new_root() {
    let ground = Ground::new();
    let (app, _) = ground.vault().await;
    std::fs::remove_file(ground.path("home/keys/vault.key")).unwrap();

    let stopped = refused(rotate_root(&app, &owner(&app), Keep::Nowhere, true, None).await);

    assert_eq!(stopped.code, Code::LastSlot);
    assert_eq!(log(&app).await, ["init ok"]);
}

#[tokio::test]
async fn k_26_the_recovery_code_opens_a_vault_whose_keys_and_configuration_are_gone() {
    let ground = Ground::new();
    let (app, _, code) = ground.vault_with_code().await;
    fill(&app, 2).await;
    drop(app);
    std::fs::remove_dir_all(ground.path("home/keys")).unwrap();
    std::fs::remove_dir_all(ground.path("home/config")).unwrap();
    assert_eq!(refused(ground.open()).code, Code::KeyNotFound);

    let (app, done) =
        recover(ground.config(), ground.clock(), &code, &KeySource::File(None), "somebody", None)
            .await
            .unwrap();

    // The dead slot had the very path of the new one.
    assert_eq!((done.login.as_str(), done.replaced), ("ada", 1));
    assert_eq!(log(&app).await.last().unwrap(), "key_recover ok");
    drop(app);
    assert_eq!(every_value_opens(&ground.open().unwrap()).await, 2);
}

#[tokio::test]
async fn k_26_a_slip_or_a_foreign_code_recovers_nothing() {
    let ground = Ground::new();
    let (app, _, code) = ground.vault_with_code().await;
    drop(app);
    let other = Ground::new();
    let (_, _, foreign) = other.vault_with_code().await;
    std::fs::remove_dir_all(ground.path("home/keys")).unwrap();
    let slip = code.expose(|text| {
        let first = if text.starts_with('A') { 'B' } else { 'A' };
        Secret::new(format!("{first}{}", &text[1..]))
    });

    for (given, expected) in [
        (slip, Code::InvalidInput),
        (foreign, Code::VaultLocked),
        (Secret::new(String::new()), Code::InvalidInput),
    ] {
        let tried =
            recover(ground.config(), ground.clock(), &given, &KeySource::File(None), "ada", None).await;
        assert_eq!(refused(tried).code, expected);
    }

    assert!(!ground.path("home/keys").exists());
}
