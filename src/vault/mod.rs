//! The vault: it seals and opens, and is the only place that holds keys.
//!
//! ```text
//! root key (random; each unlock slot wraps it)
//!   ├─ "slots" MAC · "instance" MAC · "backup" MAC
//!   └─ wraps one key per org and version
//!        ├─ row MAC · fingerprint · audit MAC · checkpoint signature
//!        └─ wraps one data key per credential version → fields, tokens, files
//! ```
//! Nothing here reads or writes the store: rows come in and go out as values. Nothing here makes a new root over
//! rows that exist, tries a second key on a value, or repairs what does not verify.
//! The envelope is in `envelope`, the place a value is bound to in `context`, the sources of slots in `sources`,
//! what proves that a row is ours in `macs`, the change of the root in `rotate`.
pub mod context;
mod data_key;
pub mod envelope;
mod kdf;
mod keys;
pub mod locked;
mod macs;
#[cfg(test)]
mod primitives;
pub mod random;
#[cfg(test)]
#[cfg(target_os = "linux")]
mod residue;
mod rotate;
mod slots;
pub mod sources;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;

pub use context::Context;
pub use data_key::DataKey;
pub use keys::{KeyState, OrgKeyRow};
pub use locked::{Guarantee, guarantee};
pub use random::{OsRandom, Random};
pub use rotate::{Dropped, NewRoot, Rotated};
pub use slots::{SlotKind, SlotRow, may_remove};
pub use sources::{Choice, NewSlot, Prompt, Unlocking, choose};

use crate::clock::Millis;
use crate::error::{Code, Error, Result};
use crate::ids::{OrgId, SlotId};
use crate::secret::Secret;
use envelope::Content;
use keys::{OrgKey, OrgKeys, Root};
use locked::LockedKey;
use slots::Draft;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// An open vault. Share it in an `Arc`; dropping the last one wipes every key.
pub struct Vault {
    instance: String,
    random: Arc<dyn Random>,
    root: RwLock<Root>,
    orgs: RwLock<HashMap<OrgId, Arc<OrgKeys>>>,
}

/// A new slot, to be committed by the caller.
#[derive(Debug)]
pub struct AddedSlot {
    pub row: SlotRow,
    /// Only for a recovery slot: to be shown once, on a terminal, to a person.
    pub recovery_code: Option<Secret>,
    /// What the person should know about this choice.
    pub warning: Option<&'static str>,
}

impl Vault {
    /// A vault with a fresh random root, version 1. It can be opened again only after a slot was added.
    ///
    /// For `unsaid init` alone: the caller has made sure that the database has no slots (K-22).
    pub fn create(instance: &str) -> Result<Vault> {
        Self::create_with(instance, Arc::new(OsRandom))
    }

    /// As [`Vault::create`], with randomness handed in.
    pub fn create_with(instance: &str, random: Arc<dyn Random>) -> Result<Vault> {
        let key = LockedKey::filled(|out| random.fill(out))?;
        Self::open(instance, 1, key, random)
    }

    fn open(instance: &str, version: i64, key: LockedKey, random: Arc<dyn Random>) -> Result<Vault> {
        let root = RwLock::new(Root::new(version, key)?);
        Ok(Vault { instance: instance.to_owned(), random, root, orgs: RwLock::default() })
    }

    /// Opens the vault with the first slot that works; slots that ask nobody come first, and a passphrase is asked
    /// for only if `by.prompt` is given.
    ///
    /// Fails with `key_not_found` if there is no slot (never making a new root over rows that exist), with
    /// `integrity_failure` if any row was not written by us, and otherwise with each slot tried and why it failed:
    /// under the code they all share, or `vault_locked`.
    pub fn unlock(instance: &str, slots: &[SlotRow], by: &Unlocking<'_>) -> Result<Vault> {
        let mut order: Vec<&SlotRow> = slots.iter().filter(|slot| slot.kind != SlotKind::Recovery).collect();
        order.sort_by_key(|slot| slot.kind);
        let mut failures: Vec<(SlotKind, Error)> = Vec::new();
        for slot in order {
            match crate::secret::stack::clean(|| {
                sources::read(slot, by).and_then(|secret| slots::unwrap(instance, slot, &secret))
            }) {
                Ok(root) => return Self::opened(instance, slots, slot, root),
                Err(why) => failures.push((slot.kind, why)),
            }
        }
        let Some((_, first)) = failures.first() else {
            return Err(Error::new(
                Code::KeyNotFound,
                "this vault has no unlock method, and none was made up",
            ));
        };
        let code = if failures.iter().all(|(_, why)| why.code == first.code) {
            first.code
        } else {
            Code::VaultLocked
        };
        let tried: Vec<String> = failures
            .iter()
            .map(|(kind, why)| format!("{} ({}): {}", kind.as_str(), why.code.name(), why.message()))
            .collect();
        let error = Error::new(code, format!("no unlock method opened the vault: {}", tried.join("; ")));
        Err(if failures.len() == 1 { error.next(first.next_step().to_owned()) } else { error })
    }

    /// Opens the vault with its recovery code. Fails with `invalid_input` on a typing error, `vault_locked` if the
    /// code is of another vault or of before the last rotation, and as [`Vault::unlock`].
    pub fn unlock_with_recovery(instance: &str, slots: &[SlotRow], code: &Secret) -> Result<Vault> {
        let secret = crate::secret::stack::clean(|| sources::recovery::read(code))?;
        let mut last = Error::new(Code::KeyNotFound, "this vault has no recovery code").next(
            "Open it with one of its other ways in: `unsaid doctor` says which there are and what is wrong.",
        );
        for slot in slots.iter().filter(|slot| slot.kind == SlotKind::Recovery) {
            match slots::unwrap(instance, slot, &secret) {
                Ok(root) => return Self::opened(instance, slots, slot, root),
                Err(why) => last = why,
            }
        }
        Err(last)
    }

    fn opened(instance: &str, slots: &[SlotRow], by: &SlotRow, root: LockedKey) -> Result<Vault> {
        let vault = Self::open(instance, by.root_version, root, Arc::new(OsRandom))?;
        let root = vault.root();
        slots.iter().try_for_each(|slot| vault.check_slot(&root, slot))?;
        drop(root);
        Ok(vault)
    }

    fn check_slot(&self, root: &Root, slot: &SlotRow) -> Result<()> {
        if slot.root_version > root.version {
            return Err(Error::new(Code::KeyChanged, "the root key was changed by another process"));
        }
        if slot.root_version < root.version || !slots::is_ours(&self.instance, slot, &root.slots) {
            return Err(Error::new(
                Code::Integrity,
                format!("an unlock method ({}) was not written by us", slot.kind.as_str()),
            ));
        }
        Ok(())
    }

    /// Wraps the root for one more unlock method. Nothing is stored: the caller commits the row.
    ///
    /// Fails as the source does: `key_not_found`, `key_insecure`, `passphrase_weak`, `config_invalid`.
    pub fn add_slot(&self, new: NewSlot, label: &str, by: &Unlocking<'_>, now: Millis) -> Result<AddedSlot> {
        let kind = new.kind();
        let made = crate::secret::stack::clean(|| sources::make(new, by, &*self.random))?;
        let root = self.root();
        let draft = Draft {
            id: SlotId::fresh(),
            kind,
            label: label.to_owned(),
            config: &made.config,
            created_at: now,
        };
        let parts = (root.version, &root.key, &root.slots);
        let row = slots::wrap(&self.instance, draft, &made.secret, parts, &*self.random)?;
        Ok(AddedSlot { row, recovery_code: made.recovery_code, warning: made.warning })
    }

    /// The version of the root in use.
    pub fn root_version(&self) -> i64 {
        self.root().version
    }

    /// The id of the vault these keys belong to.
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// A fresh key for an org, active, to be committed and then loaded. Before it can be loaded beside an older
    /// version, that one must leave the active state (see [`Vault::org_key_in_state`]).
    pub fn new_org_key(&self, org: &OrgId, version: i64, now: Millis) -> Result<OrgKeyRow> {
        let key = LockedKey::filled(|out| self.random.fill(out))?;
        let mut row = OrgKeyRow {
            org: org.clone(),
            version,
            state: KeyState::Active,
            root_version: 0,
            wrapped: Vec::new(),
            created_at: now,
        };
        self.root().wrap_org(&self.instance, &mut row, &key, &*self.random)?;
        Ok(row)
    }

    /// The same org key in another state: the state is sealed into the row, so it takes a new wrapping.
    pub fn org_key_in_state(&self, row: &OrgKeyRow, state: KeyState) -> Result<OrgKeyRow> {
        let root = self.root();
        let key = root.unwrap_org(&self.instance, row)?;
        let mut row = OrgKeyRow { state, ..row.clone() };
        root.wrap_org(&self.instance, &mut row, &key, &*self.random)?;
        Ok(row)
    }

    /// Opens these rows and replaces what is loaded for their orgs; all rows of an org come in one call.
    ///
    /// Fails with `key_changed` if a row is under another root, `integrity_failure` if one was changed or an org
    /// has not exactly one active key; then nothing is replaced.
    pub fn load_org_keys(&self, rows: &[OrgKeyRow]) -> Result<()> {
        let mut opened: HashMap<&OrgId, Vec<OrgKey>> = HashMap::new();
        let root = self.root();
        for row in rows {
            let key = root.unwrap_org(&self.instance, row)?;
            let version = keys::counted(row.version)?;
            opened.entry(&row.org).or_default().push(OrgKey::new(version, row.state, key)?);
        }
        drop(root);
        let loaded: Vec<(OrgId, Arc<OrgKeys>)> = opened
            .into_iter()
            .map(|(org, keys)| Ok((org.clone(), Arc::new(OrgKeys::new(keys)?))))
            .collect::<Result<_>>()?;
        self.orgs.write().unwrap_or_else(PoisonError::into_inner).extend(loaded);
        Ok(())
    }

    /// Forgets an org's keys, for instance after it was deleted.
    pub fn unload_org(&self, org: &OrgId) {
        self.orgs.write().unwrap_or_else(PoisonError::into_inner).remove(org);
    }

    pub fn has_org(&self, org: &OrgId) -> bool {
        self.orgs.read().unwrap_or_else(PoisonError::into_inner).contains_key(org)
    }

    /// The version new values of this org are sealed under; `key_unknown` if the org's keys are not loaded.
    pub fn active_version(&self, org: &OrgId) -> Result<i64> {
        Ok(self.org(org)?.active().version.into())
    }

    /// A fresh data key for one credential version, and its wrapped form for the store.
    ///
    /// It is bound to `ctx` without its field; whoever opens it passes the same place, with any field.
    pub fn new_data_key(&self, ctx: &Context<'_>) -> Result<(DataKey, Vec<u8>)> {
        let key = DataKey::fresh(self.random.clone())?;
        let wrapped = self.wrap_data_key(ctx, key.key())?;
        Ok((key, wrapped))
    }

    fn wrap_data_key(&self, ctx: &Context<'_>, key: &LockedKey) -> Result<Vec<u8>> {
        let org = self.org(&self.org_of(ctx)?)?;
        let active = org.active();
        let (place, name) = (ctx.field("data_key"), active.name(&self.instance, ctx.org));
        key.expose(|k| envelope::seal(&active.wrap, name, &place, Content::Key, k, &*self.random))
    }

    /// Opens a wrapped data key under an active or retiring org key; errors as [`DataKey::open`].
    pub fn open_data_key(&self, ctx: &Context<'_>, wrapped: &[u8]) -> Result<DataKey> {
        let parsed = envelope::parse(wrapped)?;
        let org = self.org(&self.org_of(ctx)?)?;
        if parsed.name.id != org.active().name(&self.instance, ctx.org).id {
            return Err(Error::new(Code::Integrity, "a data key belongs to another org"));
        }
        let key = org.in_use(parsed.name.version)?;
        let bytes = parsed.open(&key.wrap, &ctx.field("data_key"), &[Content::Key])?;
        DataKey::of(keys::from_bytes(&bytes)?, self.random.clone())
    }

    /// The same data key under the active org key; `None` if it is there already.
    pub fn rewrap_data_key(&self, ctx: &Context<'_>, wrapped: &[u8]) -> Result<Option<Vec<u8>>> {
        let version = envelope::parse(wrapped)?.name.version;
        let key = self.open_data_key(ctx, wrapped)?;
        if i64::from(version) == self.active_version(&self.org_of(ctx)?)? {
            return Ok(None);
        }
        self.wrap_data_key(ctx, key.key()).map(Some)
    }

    /// The same data key for another place, as when a credential changes its scope, owner or destination. The
    /// values it sealed are bound to the old place too: open them there and seal them for the new one.
    pub fn rebind_data_key(&self, from: &Context<'_>, to: &Context<'_>, wrapped: &[u8]) -> Result<Vec<u8>> {
        let key = self.open_data_key(from, wrapped)?;
        self.wrap_data_key(to, key.key())
    }

    fn org(&self, org: &OrgId) -> Result<Arc<OrgKeys>> {
        let orgs = self.orgs.read().unwrap_or_else(PoisonError::into_inner);
        orgs.get(org)
            .cloned()
            .ok_or_else(|| Error::new(Code::KeyUnknown, format!("the keys of org {org} are not loaded")))
    }

    /// The org of a place, after checking that the place is in this vault.
    fn org_of(&self, ctx: &Context<'_>) -> Result<OrgId> {
        if ctx.instance != self.instance {
            return Err(Error::new(Code::Integrity, "a value belongs to another vault"));
        }
        Ok(OrgId::from(ctx.org))
    }

    fn root(&self) -> RwLockReadGuard<'_, Root> {
        self.root.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn into_root(self) -> Root {
        self.root.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn root_mut(&self) -> RwLockWriteGuard<'_, Root> {
        self.root.write().unwrap_or_else(PoisonError::into_inner)
    }
}
