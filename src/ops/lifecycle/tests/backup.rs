//! Backups: what they hold, what opens them, and that a damaged one is nothing.
use super::*;
use crate::error::Code;
use crate::ops::lifecycle::backup::{BackedUp, backup};
use crate::ops::lifecycle::container::{self, Opening, Seal};
use crate::ops::lifecycle::restore::{Restore, Restored, Unlock, restore};
use std::os::unix::fs::PermissionsExt;

fn words() -> Secret {
    Secret::new(["orbit", "velvet", "canyon", "thistle", "marble"].join(" "))
}

/// An age identity made at run time, and what is encrypted to it.
fn recipient() -> (Opening, Seal) {
    use age::secrecy::ExposeSecret;
    let identity = age::x25519::Identity::generate();
    let text = SecretBytes::copied(identity.to_string().expose_secret().as_bytes());
    (Opening::Identity(text), Seal::Recipient(identity.to_public().to_string()))
}

async fn back_up(app: &App, file: &Path, seal: Seal) -> BackedUp {
    backup(app, &owner(app), file, seal).await.unwrap()
}

struct Bring<'a> {
    ground: &'a Ground,
    file: &'a Path,
    opening: &'a Opening,
    unlock: Unlock<'a>,
}

impl Bring<'_> {
    async fn to(self, name: &str) -> Result<Restored> {
        let (to, mine) = (self.ground.path(name), self.ground.saved_config());
        let request = Restore {
            file: self.file,
            to: &to,
            opening: self.opening,
            unlock: self.unlock,
            mine: &mine,
            login: "ada",
        };
        restore(request, self.ground.clock(), None).await
    }
}

fn open_at(ground: &Ground, name: &str) -> App {
    App::open_with(saved_config(&ground.path(name)), ground.clock(), None).unwrap()
}

#[tokio::test]
async fn a_backup_to_a_passphrase_comes_back_with_every_value() {
    let ground = Ground::new();
    let (app, made) = ground.vault().await;
    fill(&app, 12).await;
    let file = ground.path("vault.backup");

    let done = back_up(&app, &file, Seal::Passphrase(words())).await;
    fill_after(&app).await;
    let opening = Opening::Passphrase(words());
    let restored = Bring { ground: &ground, file: &file, opening: &opening, unlock: Unlock::Slots }
        .to("second")
        .await
        .unwrap();

    assert_eq!((done.credentials, done.sealed_to.as_str()), (12, "passphrase"));
    assert!(!done.has_recovery_code && done.opened_by[0].contains("vault.key") && !done.is_beside_vault);
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(restored.instance, made.instance);
    assert_eq!((restored.verified.credentials, restored.verified.opened), (12, 12));
    assert_eq!(restored.login, "ada");
    let back = open_at(&ground, "second");
    assert_eq!(every_value_opens(&back).await, 12);
    assert_eq!(log(&back).await.last().unwrap(), "restore_backup ok");
    let log = log(&app).await;
    assert!(log.contains(&"backup ok".to_owned()));
    assert!(!log.contains(&"restore_backup ok".to_owned()));
    let left: Vec<_> = std::fs::read_dir(ground.path("home/data")).unwrap().flatten().collect();
    assert!(left.iter().all(|entry| entry.file_name().to_string_lossy().starts_with("vault.db")));
}

async fn fill_after(app: &App) {
    let create = CreateCredential { name: "KEY_12".into(), ..CreateCredential::default() };
    let values = vec![("value".into(), SecretBytes::copied(value_of(12).as_bytes()))];
    let target = Target::New(Box::new(create));
    enter_many(app, &owner(app), vec![Entry { target, values, file_name: String::new() }]).await.unwrap();
}

#[tokio::test]
async fn k_26_a_clean_machine_needs_the_backup_its_passphrase_and_the_recovery_code() {
    let ground = Ground::new();
    let (app, _, code) = ground.vault_with_code().await;
    fill(&app, 3).await;
    let file = ground.path("vault.backup");
    let (opening, seal) = recipient();
    back_up(&app, &file, seal).await;
    drop(app);
    std::fs::remove_dir_all(ground.home()).unwrap();
    let bring = |unlock| Bring { ground: &ground, file: &file, opening: &opening, unlock };

    let without = refused(bring(Unlock::Slots).to("second").await);
    assert_eq!(without.code, Code::KeyNotFound);
    assert!(without.next_step().contains("--recovery-code"));
    assert!(!ground.path("second").exists());
    let slip = Secret::new(["ABCD"; 14].join("-"));
    let slipped = refused(bring(Unlock::RecoveryCode(&slip, KeySource::File(None))).to("second").await);
    assert_eq!(slipped.code, Code::InvalidInput);
    assert!(!ground.path("second").exists());

    let restored = bring(Unlock::RecoveryCode(&code, KeySource::File(None))).to("second").await.unwrap();

    assert!(restored.slot.unwrap().place.ends_with("second/keys/vault.key"));
    assert_eq!(every_value_opens(&open_at(&ground, "second")).await, 3);
}

#[tokio::test]
async fn nothing_is_written_over_and_only_admins_back_up() {
    let world = crate::testing::World::new().await;
    let file = world.folder.path().join("vault.backup");
    for login in ["otto", "tess", "mia"] {
        let stopped = refused(backup(&world.app, &world.person(login), &file, recipient().1).await);
        assert_eq!(stopped.code, Code::NotAllowed);
    }
    assert!(!file.exists());
    std::fs::write(&file, "mine").unwrap();
    let ada = world.person("ada");

    assert_eq!(refused(backup(&world.app, &ada, &file, recipient().1).await).code, Code::InvalidFile);
    let nowhere = world.folder.path().join("nowhere/vault.backup");
    assert_eq!(refused(backup(&world.app, &ada, &nowhere, recipient().1).await).code, Code::InvalidFile);

    assert_eq!(std::fs::read_to_string(&file).unwrap(), "mine");
    assert!(!world.log().await.contains(&"backup ok".to_owned()));
}

#[tokio::test]
async fn a_weak_passphrase_or_a_foreign_recipient_makes_no_backup() {
    let ground = Ground::new();
    let (app, _) = ground.vault().await;
    let file = ground.path("vault.backup");
    for (seal, code) in [
        (Seal::Passphrase(Secret::new("short".into())), Code::PassphraseWeak),
        (Seal::Passphrase(Secret::new("a".repeat(40))), Code::PassphraseWeak),
        (Seal::Recipient("age1nothing".into()), Code::InvalidInput),
        (Seal::Recipient("ssh-ed25519 AAAA".into()), Code::InvalidInput),
        (Seal::Recipient("age1yubikey1qqq".into()), Code::InvalidInput),
    ] {
        assert_eq!(refused(backup(&app, &owner(&app), &file, seal).await).code, code);
        assert!(!file.exists());
    }
}

#[tokio::test]
async fn the_wrong_passphrase_identity_or_kind_opens_nothing() {
    let ground = Ground::new();
    let (app, _) = ground.vault().await;
    let (by_words, by_key) = (ground.path("a.backup"), ground.path("b.backup"));
    back_up(&app, &by_words, Seal::Passphrase(words())).await;
    back_up(&app, &by_key, recipient().1).await;
    let wrong = Opening::Passphrase(Secret::new("not it, whatever it may be".into()));
    let other = recipient().0;
    let none = Opening::Identity(SecretBytes::copied(b"# a comment\nnot an identity\n"));

    for (file, opening) in
        [(&by_words, &wrong), (&by_words, &other), (&by_key, &wrong), (&by_key, &other), (&by_key, &none)]
    {
        let stopped = Bring { ground: &ground, file, opening, unlock: Unlock::Slots }.to("second").await;
        assert_eq!(refused(stopped).code, Code::InvalidInput);
        assert!(!ground.path("second").exists());
    }
}

#[tokio::test]
async fn a_place_that_is_not_free_or_cannot_be_made_is_left_as_it_is() {
    let ground = Ground::new();
    let (app, _) = ground.vault().await;
    let file = ground.path("vault.backup");
    let (opening, seal) = recipient();
    back_up(&app, &file, seal).await;
    std::fs::create_dir(ground.path("full")).unwrap();
    std::fs::write(ground.path("full/mine"), "mine").unwrap();
    let bring = || Bring { ground: &ground, file: &file, opening: &opening, unlock: Unlock::Slots };

    assert_eq!(refused(bring().to("full").await).code, Code::AlreadyExists);
    assert_eq!(refused(bring().to("home").await).code, Code::AlreadyExists);
    assert_eq!(refused(bring().to("no/such").await).code, Code::InvalidFile);
    assert_eq!(refused(bring().to("vault.backup").await).code, Code::InvalidFile);

    assert_eq!(std::fs::read_to_string(ground.path("full/mine")).unwrap(), "mine");
    assert_eq!(std::fs::read_dir(ground.path("full")).unwrap().count(), 1);
    assert_eq!(log(&app).await.last().unwrap(), "backup ok");
}

#[tokio::test]
async fn a_backup_that_another_made_for_the_recipient_is_not_taken() {
    let ground = Ground::new();
    let (app, _) = ground.vault().await;
    fill(&app, 2).await;
    let (opening, seal) = recipient();
    let file = ground.path("vault.backup");
    back_up(&app, &file, Seal::Recipient(seal.name())).await;
    let mut image = Vec::new();
    let (mut header, _, mac) =
        container::read(std::fs::File::open(&file).unwrap(), &opening, &mut image).unwrap();

    // A recipient is public: whoever has an image can write a file for it, with a header of their own.
    header.rows.retain(|(table, _)| table != "audit");
    let forged = ground.path("forged.backup");
    let text = serde_json::to_vec(&header).unwrap();
    let out = std::fs::File::create(&forged).unwrap();
    container::write(out, &seal, &text, &mac, &mut &image[..]).unwrap();
    let stopped =
        Bring { ground: &ground, file: &forged, opening: &opening, unlock: Unlock::Slots }.to("second").await;

    assert_eq!(refused(stopped).code, Code::Integrity);
    assert!(!ground.path("second").exists());
}

#[tokio::test]
async fn a_vault_that_was_changed_outside_can_be_backed_up_but_not_restored() {
    let ground = Ground::new();
    let (app, _) = ground.vault().await;
    fill(&app, 2).await;
    let outside = rusqlite::Connection::open(app.store.path()).unwrap();
    for (n, sql) in [
        "UPDATE credential SET description = 'changed' WHERE name = 'KEY_1'",
        "UPDATE audit SET reason = 'changed' WHERE seq = 2",
    ]
    .into_iter()
    .enumerate()
    {
        outside.execute(sql, []).unwrap();
        let (opening, seal) = recipient();
        let file = ground.path(&format!("{n}.backup"));
        back_up(&app, &file, seal).await;

        let stopped = Bring { ground: &ground, file: &file, opening: &opening, unlock: Unlock::Slots }
            .to("second")
            .await;

        assert_eq!(refused(stopped).code, Code::Integrity);
        assert!(!ground.path("second").exists());
        outside.execute("UPDATE credential SET description = ''", []).unwrap();
    }
}

#[tokio::test]
async fn s_21_a_cut_or_flipped_backup_is_rejected() {
    let ground = Ground::new();
    let (app, _) = ground.vault().await;
    let file = ground.path("vault.backup");
    let (opening, seal) = recipient();
    back_up(&app, &file, seal).await;
    let whole = std::fs::read(&file).unwrap();
    let read = |bytes: &[u8]| container::read(bytes, &opening, &mut std::io::sink()).map(drop);
    read(&whole).unwrap();
    let told = [Code::InvalidFile, Code::InvalidInput, Code::StoreNewer];

    for cut in (0..whole.len()).step_by(whole.len() / 150 + 1).chain(whole.len() - 20..whole.len()) {
        assert!(told.contains(&refused(read(&whole[..cut])).code), "cut at {cut}");
    }
    for at in (0..400).chain((400..whole.len()).step_by(whole.len() / 250 + 1)) {
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << (at % 8);
        assert!(told.contains(&refused(read(&flipped)).code), "flipped at {at}");
    }
    // After its header and a nonce of 16 bytes, age writes chunks of 64 KiB and a tag: swap two, repeat one, drop one.
    let mac_line = whole.windows(5).position(|w| w == b"\n--- ").unwrap() + 1;
    let body = mac_line + whole[mac_line..].iter().position(|b| *b == b'\n').unwrap() + 1 + 16;
    let chunk = |n: usize| &whole[body + n * 65_552..body + (n + 1) * 65_552];
    let start = &whole[..body];
    for pieces in [
        vec![start, chunk(1), chunk(0), &whole[body + 2 * 65_552..]],
        vec![start, chunk(0), chunk(0), &whole[body + 65_552..]],
        vec![start, &whole[body + 65_552..]],
        vec![&whole, b"more"],
        vec![&whole, &whole],
    ] {
        assert!(told.contains(&refused(read(&pieces.concat())).code));
    }
    let stopped = refused(read(b"not a backup at all"));
    assert_eq!(stopped.code, Code::InvalidFile);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s_20_backups_under_load_are_each_whole() {
    let ground = Ground::new();
    let (app, _) = ground.vault().await;
    fill(&app, 20).await;
    let app = Arc::new(app);
    let busy = {
        let app = app.clone();
        tokio::spawn(async move {
            let mut n = 0;
            loop {
                let values = vec![("value".into(), SecretBytes::copied(value_of(n % 20).as_bytes()))];
                let target = Target::Existing(format!("KEY_{}", n % 20));
                let entry = Entry { target, values, file_name: String::new() };
                enter_many(&app, &owner(&app), vec![entry]).await.unwrap();
                n += 1;
            }
        })
    };

    for n in 0..5 {
        let (opening, seal) = recipient();
        let file = ground.path(&format!("{n}.backup"));
        back_up(&app, &file, seal).await;
        let name = format!("place-{n}");
        let restored =
            Bring { ground: &ground, file: &file, opening: &opening, unlock: Unlock::Slots }.to(&name).await;
        assert_eq!(restored.unwrap().verified.credentials, 20);
        assert_eq!(every_value_opens(&open_at(&ground, &name)).await, 20);
    }

    busy.abort();
}
