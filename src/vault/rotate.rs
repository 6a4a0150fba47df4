//! A new root key: every slot and every org key is wrapped again, no value is touched.
//!
//! Pure towards the store: the new rows are handed back, the caller commits them in one transaction, and only
//! then adopts the new root. The secrets of the slots stay what they are, except the recovery code.
use super::Vault;
use super::keys::{OrgKeyRow, Root};
use super::locked::LockedKey;
use super::slots::{self, Draft, SlotKind, SlotRow};
use super::sources::{self, Config, Unlocking};
use crate::clock::Millis;
use crate::error::{Code, Error, Result};
use crate::secret::Secret;

/// What to commit, what to tell the person, and then what to adopt.
pub struct Rotated {
    pub root_version: i64,
    /// All slots that are left, under the new root. They replace every old row.
    pub slots: Vec<SlotRow>,
    /// All org keys, under the new root. They replace every old row.
    pub org_keys: Vec<OrgKeyRow>,
    /// The old code opens nothing any more.
    pub new_recovery_code: Option<Secret>,
    /// Slots whose secret could not be read now, so they could not be kept.
    pub dropped: Vec<Dropped>,
    /// For [`Vault::adopt`], after the commit.
    pub root: NewRoot,
}

/// A slot that did not survive.
pub struct Dropped {
    pub slot: SlotRow,
    pub why: Error,
}

/// The new root, not in use yet.
pub struct NewRoot(pub(super) Root);

impl Vault {
    /// New rows under a new random root. Nothing changes in this vault before [`Vault::adopt`].
    ///
    /// Fails with `integrity_failure` if a given row is not ours, `key_changed` if a row is under another root
    /// (rotate again after starting again), `last_slot` if no slot but a recovery code would be left.
    pub fn rotate_root(
        &self,
        slots: &[SlotRow],
        org_keys: &[OrgKeyRow],
        by: &Unlocking<'_>,
        now: Millis,
    ) -> Result<Rotated> {
        let old = self.root();
        let version = old.version + 1;
        let root = Root::new(version, LockedKey::filled(|out| self.random.fill(out))?)?;
        let wrap = |draft: Draft<'_>, secret: &LockedKey| {
            slots::wrap(&self.instance, draft, secret, (version, &root.key, &root.slots), &*self.random)
        };

        let mut kept = Vec::new();
        let mut dropped = Vec::new();
        let mut new_recovery_code = None;
        for slot in slots {
            self.check_slot(&old, slot)?;
            let draft = |config, created_at| Draft {
                id: slot.id.clone(),
                kind: slot.kind,
                label: slot.label.clone(),
                config,
                created_at,
            };
            if slot.kind == SlotKind::Recovery {
                if new_recovery_code.is_some() {
                    let why = Error::new(Code::NothingToDo, "the new recovery code replaces both");
                    dropped.push(Dropped { slot: slot.clone(), why });
                    continue;
                }
                let (secret, code) = sources::recovery::make(&*self.random)?;
                kept.push(wrap(draft(&Config::Recovery {}, now), &secret)?);
                new_recovery_code = Some(code);
                continue;
            }
            // A mistyped passphrase must not become the one that opens the new root.
            let secret = sources::read(slot, by)
                .and_then(|secret| slots::unwrap(&self.instance, slot, &secret).map(|_| secret));
            match secret {
                Ok(secret) => kept.push(wrap(draft(&Config::read(slot)?, slot.created_at), &secret)?),
                Err(why) => dropped.push(Dropped { slot: slot.clone(), why }),
            }
        }
        if kept.iter().all(|slot| slot.kind == SlotKind::Recovery) {
            return Err(Error::new(
                Code::LastSlot,
                "no unlock method could be read now, so none would open the new root",
            ));
        }
        let org_keys = org_keys.iter().map(|row| {
            let key = old.unwrap_org(&self.instance, row)?;
            let mut row = row.clone();
            root.wrap_org(&self.instance, &mut row, &key, &*self.random)?;
            Ok(row)
        });
        let org_keys = org_keys.collect::<Result<Vec<_>>>()?;
        drop(old);
        Ok(Rotated {
            root_version: version,
            slots: kept,
            org_keys,
            new_recovery_code,
            dropped,
            root: NewRoot(root),
        })
    }

    /// Uses the new root from now on. Call it after the rows were committed, and only then.
    pub fn adopt(&self, root: NewRoot) {
        *self.root_mut() = root.0;
    }

    /// Follows a rotation that another process committed: all slots and org keys as they are in the store now.
    /// Opens the new root with a slot that asks nobody, if there is a new one, and loads the org keys.
    ///
    /// Fails with `key_changed` if no such slot opens it here, `integrity_failure` if the rows are older than the
    /// keys in use or not ours; then nothing is replaced.
    pub fn take_over(&self, slots: &[SlotRow], org_keys: &[OrgKeyRow], by: &Unlocking<'_>) -> Result<()> {
        let mine = self.root_version();
        let stored = slots.iter().map(|slot| slot.root_version).max().unwrap_or(0);
        if stored < mine {
            return Err(Error::new(Code::Integrity, "the unlock methods are older than the root key in use"));
        }
        if stored > mine {
            let silent = Unlocking { prompt: None, ..*by };
            let newer = Vault::unlock(&self.instance, slots, &silent).map_err(|why| match why.code {
                Code::Integrity => why,
                _ => Error::new(
                    Code::KeyChanged,
                    "the root key was rotated by another process, and nothing opens it here",
                )
                .because(why),
            })?;
            newer.load_org_keys(org_keys)?;
            self.adopt(NewRoot(newer.into_root()));
        }
        self.load_org_keys(org_keys)
    }
}
