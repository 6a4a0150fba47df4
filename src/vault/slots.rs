//! Unlock slots: each wraps the same root key under the secret of one source (as LUKS does).
//!
//! A row is trusted only after its MAC under the root was checked, and that needs the root: until then nothing
//! in a row may do more than fail.
use super::context::{Context, tuple};
use super::envelope::{self, Content, KeyName};
use super::kdf;
use super::locked::LockedKey;
use super::random::Random;
use super::sources::Config;
use crate::clock::Millis;
use crate::error::{Code, Error, Result};
use crate::ids::SlotId;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// One unlock method, as the store keeps it. Nothing in it is secret without its source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotRow {
    pub id: SlotId,
    pub kind: SlotKind,
    /// What people call it.
    pub label: String,
    /// JSON: where the secret is, or what it costs. Never the secret.
    pub config: String,
    /// An envelope with the root key.
    pub wrapped: Vec<u8>,
    pub root_version: i64,
    pub created_at: Millis,
    /// HMAC over all of the above under the root's "slots" key.
    pub mac: Vec<u8>,
}

/// Where the secret of a slot comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SlotKind {
    Keyring,
    Systemd,
    File,
    Environment,
    Command,
    Passphrase,
    Recovery,
}

impl SlotKind {
    /// In the order in which unlocking tries them: what asks nobody comes first.
    pub const ALL: [SlotKind; 7] = [
        SlotKind::Keyring,
        SlotKind::Systemd,
        SlotKind::File,
        SlotKind::Environment,
        SlotKind::Command,
        SlotKind::Passphrase,
        SlotKind::Recovery,
    ];

    /// The name in the database and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            SlotKind::Keyring => "keyring",
            SlotKind::Systemd => "systemd",
            SlotKind::File => "file",
            SlotKind::Environment => "environment",
            SlotKind::Command => "command",
            SlotKind::Passphrase => "passphrase",
            SlotKind::Recovery => "recovery",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// Whether slot `id` may go: afterwards something other than a recovery code must still open the vault, and
/// the keyring may not be alone without a recovery code (K-27).
///
/// Fails with `last_slot`, or `key_not_found` if there is no such slot.
pub fn may_remove(slots: &[SlotRow], id: &SlotId) -> Result<()> {
    if !slots.iter().any(|slot| slot.id == *id) {
        return Err(Error::new(Code::KeyNotFound, format!("there is no unlock method {id}"))
            .next("Run `unsaid key status` to see the unlock methods."));
    }
    let left: Vec<SlotKind> = slots.iter().filter(|slot| slot.id != *id).map(|slot| slot.kind).collect();
    if left.iter().all(|kind| *kind == SlotKind::Recovery) {
        return Err(Error::new(
            Code::LastSlot,
            "nothing but a recovery code would be left to open this vault",
        ));
    }
    if left.iter().all(|kind| *kind == SlotKind::Keyring) {
        return Err(Error::new(
            Code::LastSlot,
            "only the keyring would be left: if this machine loses it, the vault is lost",
        ));
    }
    Ok(())
}

/// What a row is made of before it is wrapped.
pub(crate) struct Draft<'a> {
    pub id: SlotId,
    pub kind: SlotKind,
    pub label: String,
    pub config: &'a Config,
    pub created_at: Millis,
}

/// Wraps `root` under `secret` and signs the row with the root's "slots" key.
pub(crate) fn wrap(
    instance: &str,
    draft: Draft<'_>,
    secret: &LockedKey,
    (root_version, root, macs): (i64, &LockedKey, &LockedKey),
    random: &dyn Random,
) -> Result<SlotRow> {
    let mut row = SlotRow {
        id: draft.id,
        kind: draft.kind,
        label: draft.label,
        config: draft.config.text(),
        wrapped: Vec::new(),
        root_version,
        created_at: draft.created_at,
        mac: Vec::new(),
    };
    let place = place(instance, &row)?;
    let name = key_name(instance, &row);
    row.wrapped = root.expose(|root| envelope::seal(secret, name, &place, Content::Key, root, random))?;
    row.mac = mac(instance, &row, macs).to_vec();
    Ok(row)
}

/// The root key of a row, under the right secret; `vault_locked` under any other.
pub(crate) fn unwrap(instance: &str, row: &SlotRow, secret: &LockedKey) -> Result<LockedKey> {
    let parsed = envelope::parse(&row.wrapped)?;
    let wrong = || Error::new(Code::VaultLocked, "the key that was found does not open this vault");
    if parsed.name != key_name(instance, row) {
        return Err(wrong());
    }
    let root = parsed.open(secret, &place(instance, row)?, &[Content::Key]).map_err(|_| wrong())?;
    super::keys::from_bytes(&root)
}

/// Whether the root's "slots" key wrote this row.
pub(crate) fn is_ours(instance: &str, row: &SlotRow, macs: &LockedKey) -> bool {
    mac(instance, row, macs).ct_eq(&row.mac).into()
}

fn mac(instance: &str, row: &SlotRow, macs: &LockedKey) -> [u8; 32] {
    kdf::hmac(
        macs,
        &[&tuple(&[
            b"slot1",
            instance.as_bytes(),
            row.id.as_str().as_bytes(),
            row.kind.as_str().as_bytes(),
            row.label.as_bytes(),
            row.config.as_bytes(),
            &row.wrapped,
            &row.root_version.to_be_bytes(),
            &row.created_at.0.to_be_bytes(),
        ])],
    )
}

fn key_name(instance: &str, row: &SlotRow) -> KeyName {
    KeyName { id: kdf::key_id("slot", &[instance, row.id.as_str()]), version: 1 }
}

fn place<'a>(instance: &'a str, row: &'a SlotRow) -> Result<Context<'a>> {
    Ok(Context {
        instance,
        org: "",
        table: "slots",
        record: row.id.as_str(),
        version: super::keys::counted(row.root_version)?.into(),
        field: "root",
        scope: row.kind.as_str(),
        owner: "",
        policy: Sha256::digest(row.config.as_bytes()).into(),
    })
}
