//! Tests of the vault as its callers see it: what opens, what does not, and with which code.
use super::envelope::GCM_OPENS;
use super::random::Seeded;
use super::*;
use std::path::PathBuf;

const NOW: Millis = Millis(1_800_000_000_000);

struct Home {
    _dir: tempfile::TempDir,
    data: PathBuf,
    keys: PathBuf,
}

fn home() -> Home {
    let dir = tempfile::tempdir().unwrap();
    let (data, keys) = (dir.path().join("data"), dir.path().join("keys"));
    std::fs::create_dir(&data).unwrap();
    Home { _dir: dir, data, keys }
}

impl Home {
    fn by(&self) -> Unlocking<'_> {
        Unlocking { environment: &|_| None, ..Unlocking::new(&self.data) }
    }

    fn file(&self, name: &str) -> NewSlot {
        NewSlot::File { path: self.keys.join(name) }
    }

    /// A vault with one key file.
    fn vault(&self) -> (Vault, Vec<SlotRow>) {
        let vault = Vault::create("vault-1").unwrap();
        let slot = vault.add_slot(self.file("root.key"), "this machine", &self.by(), NOW).unwrap();
        (vault, vec![slot.row])
    }
}

fn org() -> OrgId {
    OrgId::from("org-1")
}

fn with_org() -> (Vault, OrgKeyRow) {
    let vault = Vault::create_with("vault-1", Arc::new(Seeded::new(5))).unwrap();
    let row = vault.new_org_key(&org(), 1, NOW).unwrap();
    vault.load_org_keys(std::slice::from_ref(&row)).unwrap();
    (vault, row)
}

fn place<'a>(record: &'a str, version: u64) -> Context<'a> {
    Context {
        instance: "vault-1",
        org: "org-1",
        table: "credentials",
        record,
        version,
        field: "value",
        scope: "personal",
        owner: "user-1",
        policy: [0; 32],
    }
}

fn code<T>(result: Result<T>) -> Code {
    result.err().expect("it should have been refused").code
}

#[test]
fn a_vault_opens_again_with_its_key_file_and_reads_what_it_sealed() {
    let home = home();
    let (vault, slots) = home.vault();
    let row = vault.new_org_key(&org(), 1, NOW).unwrap();
    vault.load_org_keys(std::slice::from_ref(&row)).unwrap();
    let (key, wrapped) = vault.new_data_key(&place("a", 1)).unwrap();
    let sealed = key.seal(&place("a", 1), b"hunter2").unwrap();
    drop((vault, key));

    let vault = Vault::unlock("vault-1", &slots, &home.by()).unwrap();
    assert!(!vault.has_org(&org()));
    vault.load_org_keys(&[row]).unwrap();

    let opened =
        vault.open_data_key(&place("a", 1), &wrapped).unwrap().open(&place("a", 1), &sealed).unwrap();
    assert!(opened.expose(|b| b == b"hunter2"));
    assert_eq!(code(Vault::unlock("vault-2", &slots, &home.by())), Code::VaultLocked);
}

#[test]
fn k_22_a_vault_without_slots_or_without_its_key_is_never_given_a_new_root() {
    let home = home();
    let (_, slots) = home.vault();
    std::fs::remove_file(home.keys.join("root.key")).unwrap();

    assert_eq!(code(Vault::unlock("vault-1", &[], &home.by())), Code::KeyNotFound);
    assert_eq!(code(Vault::unlock("vault-1", &slots, &home.by())), Code::KeyNotFound);
    assert!(!home.keys.join("root.key").exists());
}

#[test]
fn another_key_file_in_the_old_place_does_not_open_the_vault() {
    let home = home();
    let (_, slots) = home.vault();
    std::fs::remove_file(home.keys.join("root.key")).unwrap();
    home.vault();

    assert_eq!(code(Vault::unlock("vault-1", &slots, &home.by())), Code::VaultLocked);
}

#[test]
fn when_nothing_opens_every_slot_is_named_with_its_reason_and_no_secret() {
    let home = home();
    let (vault, mut slots) = home.vault();
    let secret = "correct horse battery staple".repeat(2);
    let environment = |_: &str| Some(secret.clone().into());
    let by = Unlocking { environment: &environment, ..home.by() };
    slots.push(vault.add_slot(NewSlot::Environment { name: "ROOT".into() }, "", &by, NOW).unwrap().row);
    std::fs::write(home.keys.join("root.key"), "").unwrap();
    let wrong = |_: &str| Some("another thing that is long enough".into());

    let refused =
        Vault::unlock("vault-1", &slots, &Unlocking { environment: &wrong, ..home.by() }).err().unwrap();

    assert_eq!(refused.code, Code::VaultLocked);
    assert!(
        refused.message().contains("file (key_insecure)")
            && refused.message().contains("environment (vault_locked)")
    );
    assert!(!refused.message().contains("another thing"));
}

#[test]
fn t_12_a_slot_row_that_was_added_or_changed_in_the_database_keeps_the_vault_shut() {
    let home = home();
    let (vault, slots) = home.vault();
    let other = Vault::create("vault-1").unwrap();
    let foreign = other.add_slot(home.file("other.key"), "", &home.by(), NOW).unwrap().row;
    let recovery = vault.add_slot(NewSlot::Recovery, "paper", &home.by(), NOW).unwrap().row;

    assert_eq!(code(Vault::unlock("vault-1", &[slots[0].clone(), foreign], &home.by())), Code::Integrity);
    for change in [
        (|row: &mut SlotRow| row.label.push('x')) as fn(&mut SlotRow),
        |row| row.created_at = Millis(1),
        |row| row.config.push(' '),
        |row| row.id = "another".into(),
        |row| row.mac[0] ^= 1,
        |row| row.mac.clear(),
        |row| row.wrapped[100] ^= 1,
    ] {
        let mut changed = recovery.clone();
        change(&mut changed);
        assert_eq!(code(Vault::unlock("vault-1", &[slots[0].clone(), changed], &home.by())), Code::Integrity);
    }
    assert!(Vault::unlock("vault-1", &[slots[0].clone(), recovery], &home.by()).is_ok());
}

#[test]
fn a_command_in_the_database_runs_only_if_the_configuration_names_it_too() {
    let home = home();
    let vault = Vault::create("vault-1").unwrap();
    let ran = home.keys.join("ran");
    std::fs::create_dir(&home.keys).unwrap();
    let script = format!("touch {}; echo kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk", ran.display());
    let argv = vec!["/bin/sh".to_owned(), "-c".to_owned(), script];
    let path = |name: &str| (name == "PATH").then(|| "/usr/bin:/bin".into());
    let by = Unlocking { environment: &path, ..home.by() };
    let slot = vault.add_slot(NewSlot::Command { argv: argv.clone() }, "", &by, NOW).unwrap().row;
    std::fs::remove_file(&ran).unwrap();

    assert_eq!(code(Vault::unlock("vault-1", std::slice::from_ref(&slot), &by)), Code::KeyInsecure);
    assert!(!ran.exists());
    let by = Unlocking { command: Some(&argv), ..by };
    assert!(Vault::unlock("vault-1", &[slot], &by).is_ok());
}

#[test]
fn a_passphrase_is_asked_for_last_and_only_where_somebody_can_answer() {
    let home = home();
    let vault = Vault::create("vault-1").unwrap();
    let words = || Secret::new(["orbit", "velvet", "canyon", "thistle", "marble"].join(" "));
    let slot = vault.add_slot(NewSlot::Passphrase(words()), "", &home.by(), NOW).unwrap().row;
    let right = |_: &str| Ok(words());
    let wrong = |_: &str| Ok(Secret::new("orbit velvet canyon thistle".into()));
    let slots = [slot];

    assert_eq!(code(Vault::unlock("vault-1", &slots, &home.by())), Code::NeedsTerminal);
    let by = Unlocking { prompt: Some(&wrong), ..home.by() };
    assert_eq!(code(Vault::unlock("vault-1", &slots, &by)), Code::VaultLocked);
    let by = Unlocking { prompt: Some(&right), ..home.by() };
    assert!(Vault::unlock("vault-1", &slots, &by).is_ok());
}

#[test]
fn k_26_the_recovery_code_opens_the_vault_on_a_machine_that_has_nothing_else() {
    let home = home();
    let (vault, mut slots) = home.vault();
    let added = vault.add_slot(NewSlot::Recovery, "paper", &home.by(), NOW).unwrap();
    let recovery = added.recovery_code.unwrap();
    slots.push(added.row);
    std::fs::remove_dir_all(&home.keys).unwrap();

    let opened = Vault::unlock_with_recovery("vault-1", &slots, &recovery).unwrap();

    assert_eq!(opened.root_version(), 1);
    let other = Vault::create("x").unwrap().add_slot(NewSlot::Recovery, "", &home.by(), NOW).unwrap();
    let stranger = other.recovery_code.unwrap();
    assert_eq!(code(Vault::unlock_with_recovery("vault-1", &slots, &stranger)), Code::VaultLocked);
    assert_eq!(code(Vault::unlock_with_recovery("vault-1", &slots[..1], &recovery)), Code::KeyNotFound);
    let typo = recovery
        .expose(|c| Secret::new(format!("{}{}", if c.starts_with('0') { '2' } else { '0' }, &c[1..])));
    assert_eq!(code(Vault::unlock_with_recovery("vault-1", &slots, &typo)), Code::InvalidInput);
}

#[test]
fn k_27_the_last_way_in_cannot_be_removed() {
    let home = home();
    let (vault, mut slots) = home.vault();
    let only = slots[0].id.clone();
    assert_eq!(code(may_remove(&slots, &only)), Code::LastSlot);

    slots.push(vault.add_slot(NewSlot::Recovery, "", &home.by(), NOW).unwrap().row);
    assert_eq!(code(may_remove(&slots, &only)), Code::LastSlot);
    assert!(may_remove(&slots, &slots[1].id).is_ok());

    slots.push(vault.add_slot(home.file("second.key"), "", &home.by(), NOW).unwrap().row);
    assert!(may_remove(&slots, &only).is_ok());
    assert_eq!(code(may_remove(&slots, &SlotId::from("nobody"))), Code::KeyNotFound);
}

#[test]
fn k_21_without_a_keyring_the_choice_falls_on_a_key_file_and_says_why() {
    let home = home();

    let choice = choose(&home.by(), "unsaid", "main", &home.keys.join("root.key"), &OsRandom);

    if cfg!(target_os = "linux") {
        assert_eq!(choice.slot.kind(), SlotKind::File);
        assert!(choice.why.contains("D-Bus"));
    }
    assert!(!home.keys.exists());
}

#[test]
fn a_new_root_opens_with_the_same_key_file_and_reads_the_same_values() {
    let home = home();
    let (vault, mut slots) = home.vault();
    slots.push(vault.add_slot(NewSlot::Recovery, "paper", &home.by(), NOW).unwrap().row);
    let row = vault.new_org_key(&org(), 1, NOW).unwrap();
    vault.load_org_keys(std::slice::from_ref(&row)).unwrap();
    let (key, wrapped) = vault.new_data_key(&place("a", 1)).unwrap();
    let sealed = key.seal(&place("a", 1), b"v").unwrap();

    let rotated = vault.rotate_root(&slots, std::slice::from_ref(&row), &home.by(), NOW).unwrap();
    assert_eq!(vault.root_version(), 1);
    vault.adopt(rotated.root);

    assert_eq!((vault.root_version(), rotated.root_version, rotated.dropped.len()), (2, 2, 0));
    assert!(vault.open_data_key(&place("a", 1), &wrapped).unwrap().open(&place("a", 1), &sealed).is_ok());
    assert_eq!(code(vault.load_org_keys(&[row])), Code::KeyChanged);
    let again = Vault::unlock("vault-1", &rotated.slots, &home.by()).unwrap();
    again.load_org_keys(&rotated.org_keys).unwrap();
    assert!(again.open_data_key(&place("a", 1), &wrapped).unwrap().open(&place("a", 1), &sealed).is_ok());
    let recovery = rotated.new_recovery_code.unwrap();
    assert!(Vault::unlock_with_recovery("vault-1", &rotated.slots, &recovery).is_ok());
    assert_eq!(code(Vault::unlock_with_recovery("vault-1", &slots, &recovery)), Code::VaultLocked);
    assert_eq!(
        code(Vault::unlock("vault-1", &[rotated.slots[0].clone(), slots[1].clone()], &home.by())),
        Code::Integrity
    );
}

/// K-30 in small: the other process goes on without a restart.
#[test]
fn k_30_a_process_follows_the_rotation_of_another_and_refuses_to_go_back() {
    let home = home();
    let (vault, slots) = home.vault();
    let row = vault.new_org_key(&org(), 1, NOW).unwrap();
    let follower = Vault::unlock("vault-1", &slots, &home.by()).unwrap();
    follower.load_org_keys(std::slice::from_ref(&row)).unwrap();
    let (key, wrapped) = follower.new_data_key(&place("a", 1)).unwrap();
    let sealed = key.seal(&place("a", 1), b"v").unwrap();
    let rotated = vault.rotate_root(&slots, std::slice::from_ref(&row), &home.by(), NOW).unwrap();

    follower.take_over(&rotated.slots, &rotated.org_keys, &home.by()).unwrap();

    assert_eq!(follower.root_version(), 2);
    assert!(follower.open_data_key(&place("a", 1), &wrapped).unwrap().open(&place("a", 1), &sealed).is_ok());
    assert!(follower.take_over(&rotated.slots, &rotated.org_keys, &home.by()).is_ok());
    assert_eq!(code(follower.take_over(&slots, std::slice::from_ref(&row), &home.by())), Code::Integrity);
    std::fs::remove_file(home.keys.join("root.key")).unwrap();
    let left_behind = Vault::create("vault-1").unwrap();
    assert_eq!(code(left_behind.take_over(&rotated.slots, &rotated.org_keys, &home.by())), Code::KeyChanged);
}

#[test]
fn x_01_nothing_that_is_thrown_at_it_makes_it_panic_or_answer() {
    let (vault, _) = with_org();
    let (key, wrapped) = vault.new_data_key(&place("a", 1)).unwrap();
    let whole = key.seal(&place("a", 1), b"v").unwrap();
    let random = Seeded::new(77);
    for n in 0..5_000usize {
        let mut noise = [0u8; 8];
        random.fill(&mut noise).unwrap();
        let at = usize::from(u16::from_be_bytes([noise[0], noise[1]]));
        let mut sealed = whole.clone();
        let size = sealed.len();
        sealed[at % size] ^= noise[2] | 1;
        if n % 3 == 0 {
            sealed.truncate(at % (size + 1));
        }
        if n % 5 == 0 {
            sealed.splice(at % (sealed.len() + 1).., noise);
        }
        assert!(key.open(&place("a", 1), &sealed).is_err());
        assert!(vault.open_data_key(&place("a", 1), &sealed).is_err());
    }
    assert!(vault.open_data_key(&place("a", 1), &wrapped).is_ok());
}

#[test]
fn a_rotation_drops_what_it_cannot_read_and_never_all_of_it() {
    let home = home();
    let (vault, mut slots) = home.vault();
    slots.push(vault.add_slot(home.file("second.key"), "usb", &home.by(), NOW).unwrap().row);
    std::fs::remove_file(home.keys.join("second.key")).unwrap();

    let rotated = vault.rotate_root(&slots, &[], &home.by(), NOW).unwrap();
    assert_eq!((rotated.slots.len(), rotated.dropped.len()), (1, 1));
    assert_eq!(rotated.dropped[0].why.code, Code::KeyNotFound);

    std::fs::remove_file(home.keys.join("root.key")).unwrap();
    assert_eq!(code(vault.rotate_root(&slots, &[], &home.by(), NOW)), Code::LastSlot);
}

/// T-01, T-02, T-03 (another record or owner), T-05 (an older version's data key), T-07 (another destination).
#[test]
fn t_01_a_sealed_value_opens_in_no_other_record_version_field_scope_or_owner() {
    let (vault, _) = with_org();
    let (a, wrapped_a) = vault.new_data_key(&place("a", 1)).unwrap();
    let (b, wrapped_b) = vault.new_data_key(&place("b", 1)).unwrap();
    let sealed = a.seal(&place("a", 1), b"v").unwrap();

    assert_eq!(code(b.open(&place("b", 1), &sealed)), Code::Integrity);
    for elsewhere in [
        place("b", 1),
        place("a", 2),
        place("a", 1).field("note"),
        Context { scope: "org", ..place("a", 1) },
        Context { owner: "user-2", ..place("a", 1) },
        Context { policy: [1; 32], ..place("a", 1) },
    ] {
        assert_eq!(code(a.open(&elsewhere, &sealed)), Code::Integrity);
    }
    assert_eq!(code(vault.open_data_key(&place("a", 1), &wrapped_b)), Code::Integrity);
    assert_eq!(code(vault.open_data_key(&place("a", 2), &wrapped_a)), Code::Integrity);
}

#[test]
fn t_02_keys_and_values_of_another_org_or_vault_are_refused() {
    let (vault, row) = with_org();
    let other = vault.new_org_key(&OrgId::from("org-2"), 1, NOW).unwrap();
    vault.load_org_keys(std::slice::from_ref(&other)).unwrap();
    let (_, wrapped) = vault.new_data_key(&place("a", 1)).unwrap();

    let there = Context { org: "org-2", ..place("a", 1) };
    assert_eq!(code(vault.open_data_key(&there, &wrapped)), Code::Integrity);
    assert_eq!(code(vault.new_data_key(&Context { instance: "x", ..place("a", 1) })), Code::Integrity);
    let swapped = OrgKeyRow { wrapped: other.wrapped, ..row };
    assert_eq!(code(vault.load_org_keys(&[swapped])), Code::Integrity);
}

#[test]
fn k_09_an_unknown_key_version_is_told_without_opening_anything() {
    let (vault, _) = with_org();
    let (key, wrapped) = vault.new_data_key(&place("a", 1)).unwrap();
    let (mut value, mut wrapped) = (key.seal(&place("a", 1), b"v").unwrap(), wrapped);
    value[24] = 9;
    wrapped[24] = 9;
    let before = GCM_OPENS.get();

    assert_eq!(code(key.open(&place("a", 1), &value)), Code::KeyUnknown);
    assert_eq!(code(vault.open_data_key(&place("a", 1), &wrapped)), Code::KeyUnknown);
    assert_eq!(code(vault.active_version(&OrgId::from("nobody"))), Code::KeyUnknown);
    assert_eq!(GCM_OPENS.get(), before);
}

#[test]
fn sizes_up_to_the_limits_come_back_and_nothing_larger_is_sealed() {
    let (vault, _) = with_org();
    let (key, _) = vault.new_data_key(&place("a", 1)).unwrap();
    let at = place("a", 1);
    for size in [0, 64 * 1024] {
        let sealed = key.seal(&at, &vec![5; size]).unwrap();
        assert!(key.open(&at, &sealed).unwrap().expose(|b| b == vec![5; size]));
    }
    let file = key.seal_file(&at, &vec![5; 1 << 20]).unwrap();
    assert_eq!(key.open(&at, &file).unwrap().size_bytes(), 1 << 20);

    assert_eq!(code(key.seal(&at, &vec![5; 64 * 1024 + 1])), Code::TooLarge);
    assert_eq!(code(key.seal_file(&at, &vec![5; (1 << 20) + 1])), Code::TooLarge);
    assert_eq!(key.seal(&at, b"").unwrap().len(), key.seal(&at, &[1; 64]).unwrap().len());
}

#[test]
fn a_new_org_key_takes_over_while_the_old_one_still_opens_until_it_only_verifies() {
    let (vault, first) = with_org();
    let at = place("a", 1);
    let (key, wrapped) = vault.new_data_key(&at).unwrap();
    let sealed = key.seal(&at, b"v").unwrap();
    let (row_mac, audit_mac) =
        (vault.row_mac(&org(), b"row").unwrap(), vault.audit_mac(&org(), b"e").unwrap());
    let second = vault.new_org_key(&org(), 2, NOW).unwrap();
    assert_eq!(code(vault.load_org_keys(&[first.clone(), second.clone()])), Code::Integrity);

    let retiring = vault.org_key_in_state(&first, KeyState::Retiring).unwrap();
    vault.load_org_keys(&[retiring.clone(), second.clone()]).unwrap();
    let moved = vault.rewrap_data_key(&at, &wrapped).unwrap().unwrap();
    assert_eq!(vault.active_version(&org()).unwrap(), 2);
    assert!(vault.rewrap_data_key(&at, &moved).unwrap().is_none());
    assert!(vault.row_mac_ok(&org(), b"row", &row_mac).unwrap());
    assert!(vault.open_data_key(&at, &moved).unwrap().open(&at, &sealed).is_ok());

    let retired = vault.org_key_in_state(&retiring, KeyState::VerifyOnly).unwrap();
    vault.load_org_keys(&[retired.clone(), second.clone()]).unwrap();
    assert!(vault.open_data_key(&at, &moved).unwrap().open(&at, &sealed).is_ok());
    assert_eq!(code(vault.open_data_key(&at, &wrapped)), Code::KeyUnknown);
    assert!(!vault.row_mac_ok(&org(), b"row", &row_mac).unwrap());
    assert!(vault.audit_mac_ok(&org(), b"e", &audit_mac).unwrap());

    let revived = OrgKeyRow { state: KeyState::Retiring, ..retired };
    assert_eq!(code(vault.load_org_keys(&[revived, second])), Code::Integrity);
}

#[test]
fn a_data_key_can_follow_its_credential_to_another_owner() {
    let (vault, _) = with_org();
    let (from, to) = (place("a", 1), Context { scope: "org", owner: "", ..place("a", 1) });
    let (key, wrapped) = vault.new_data_key(&from).unwrap();

    let wrapped = vault.rebind_data_key(&from, &to, &wrapped).unwrap();
    let sealed = key.seal(&to, b"v").unwrap();

    assert!(vault.open_data_key(&to, &wrapped).unwrap().open(&to, &sealed).is_ok());
    assert_eq!(code(vault.open_data_key(&from, &wrapped)), Code::Integrity);
}

#[test]
fn a_row_mac_holds_for_its_row_its_org_and_its_purpose_only() {
    let (vault, _) = with_org();
    let other = OrgId::from("org-2");
    vault.load_org_keys(&[vault.new_org_key(&other, 1, NOW).unwrap()]).unwrap();
    let mac = vault.row_mac(&org(), b"row").unwrap();

    assert_eq!((mac.len(), &mac[..4]), (36, &[0, 0, 0, 1][..]));
    assert!(vault.row_mac_ok(&org(), b"row", &mac).unwrap());
    assert!(!vault.row_mac_ok(&org(), b"ro", &mac).unwrap());
    assert!(!vault.row_mac_ok(&other, b"row", &mac).unwrap());
    assert!(!vault.audit_mac_ok(&org(), b"row", &mac).unwrap());
    for bad in [&mac[..35], &mac[..4], &[], &[&mac[..], &[0]].concat()] {
        assert!(!vault.row_mac_ok(&org(), b"row", bad).unwrap());
    }
    for bit in 0..mac.len() * 8 {
        let mut flipped = mac.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(!vault.row_mac_ok(&org(), b"row", &flipped).unwrap());
    }
}

#[test]
fn a_checkpoint_is_signed_for_its_org_and_checked_by_anybody_with_the_public_key() {
    let (vault, _) = with_org();
    let signature = vault.sign_checkpoint(&org(), b"seq 10").unwrap();

    assert!(vault.checkpoint_ok(&org(), b"seq 10", &signature).unwrap());
    assert!(!vault.checkpoint_ok(&org(), b"seq 11", &signature).unwrap());
    assert!(!vault.checkpoint_ok(&org(), b"seq 10", &signature[..60]).unwrap());
    let public =
        ed25519_dalek::VerifyingKey::from_bytes(&vault.checkpoint_public(&org(), 1).unwrap()).unwrap();
    let signed = context::tuple(&[b"cv1/checkpoint", b"vault-1", b"org-1", b"seq 10"]);
    assert!(
        public
            .verify_strict(&signed, &ed25519_dalek::Signature::from_slice(&signature[4..]).unwrap())
            .is_ok()
    );
}

#[test]
fn fingerprints_and_instance_macs_are_apart_by_kind_and_purpose() {
    let (vault, _) = with_org();
    let print = |kind, value| vault.fingerprint(&org(), kind, value).unwrap();

    assert_eq!(print("token", b"v"), print("token", b"v"));
    assert_ne!(print("token", b"v"), print("token", b"w"));
    assert_ne!(print("token", b"v"), print("toke", b"nv"));
    assert_ne!(vault.instance_mac("session", b"x"), vault.instance_mac("state", b"x"));
    assert_ne!(vault.instance_mac("session", b"x"), vault.backup_mac(b"x"));
}

#[test]
fn h_04_keys_are_not_in_debug_texts_and_the_vault_can_be_shared() {
    fn shared<T: Send + Sync>() {}
    shared::<Vault>();
    shared::<DataKey>();
    let home = home();
    let (vault, _) = home.vault();
    let added = vault.add_slot(NewSlot::Recovery, "paper", &home.by(), NOW).unwrap();

    let code = added.recovery_code.as_ref().unwrap();
    assert!(code.expose(|c| !format!("{added:?}").contains(&c[..4])));
}
