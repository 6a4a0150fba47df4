//! The keys of one vault: the root and its subkeys, the keys of each org and theirs.
//!
//! A key here serves one purpose; its siblings are derived with other labels (see `kdf`).
use super::context::Context;
use super::envelope::{self, Content, KeyName};
use super::kdf;
use super::locked::{KEY, LockedKey};
use super::random::Random;
use crate::clock::Millis;
use crate::error::{Code, Error, Result};
use crate::ids::OrgId;
use crate::secret::SecretBytes;
use std::collections::BTreeMap;

/// The key of one org in one version, as the store keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrgKeyRow {
    pub org: OrgId,
    pub version: i64,
    /// Bound into `wrapped`: change it with `Vault::org_key_in_state`, never alone.
    pub state: KeyState,
    /// The version of the root that wraps it.
    pub root_version: i64,
    /// An envelope with the org's key.
    pub wrapped: Vec<u8>,
    pub created_at: Millis,
}

/// What a version of an org's key may still do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// Everything; one version of an org is active.
    Active,
    /// Opens data keys and checks MACs while rows are moved to the active version.
    Retiring,
    /// Checks old audit entries and checkpoints, and nothing else.
    VerifyOnly,
}

impl KeyState {
    /// The name in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            KeyState::Active => "active",
            KeyState::Retiring => "retiring",
            KeyState::VerifyOnly => "verify_only",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [KeyState::Active, KeyState::Retiring, KeyState::VerifyOnly].into_iter().find(|s| s.as_str() == text)
    }
}

/// The root key and what is derived from it.
pub(crate) struct Root {
    pub version: i64,
    pub key: LockedKey,
    pub slots: LockedKey,
    pub instance: LockedKey,
    pub backup: LockedKey,
}

impl Root {
    pub fn new(version: i64, key: LockedKey) -> Result<Self> {
        let [slots, instance, backup] = ["slots", "instance", "backup"].map(|label| kdf::subkey(&key, label));
        Ok(Self { version, slots: slots?, instance: instance?, backup: backup?, key })
    }

    pub fn wrap_org(
        &self,
        instance: &str,
        row: &mut OrgKeyRow,
        key: &LockedKey,
        random: &dyn Random,
    ) -> Result<()> {
        row.root_version = self.version;
        let place = org_place(instance, row)?;
        row.wrapped =
            key.expose(|k| envelope::seal(&self.key, self.name(instance)?, &place, Content::Key, k, random))?;
        Ok(())
    }

    /// Fails with `key_changed` if another process has made a new root since this one was opened.
    pub fn unwrap_org(&self, instance: &str, row: &OrgKeyRow) -> Result<LockedKey> {
        if row.root_version != self.version {
            return Err(Error::new(Code::KeyChanged, "the key of an org is under another root key"));
        }
        let parsed = envelope::parse(&row.wrapped)?;
        expect_name(parsed.name, self.name(instance)?)?;
        from_bytes(&parsed.open(&self.key, &org_place(instance, row)?, &[Content::Key])?)
    }

    fn name(&self, instance: &str) -> Result<KeyName> {
        Ok(KeyName { id: kdf::key_id("root", &[instance]), version: counted(self.version)? })
    }
}

fn org_place<'a>(instance: &'a str, row: &'a OrgKeyRow) -> Result<Context<'a>> {
    Ok(Context {
        instance,
        org: row.org.as_str(),
        table: "org_keys",
        record: row.org.as_str(),
        version: counted(row.version)?.into(),
        field: "org_key",
        scope: row.state.as_str(),
        owner: "",
        policy: [0; 32],
    })
}

/// One version of an org's key and what is derived from it.
pub(crate) struct OrgKey {
    pub version: u32,
    pub state: KeyState,
    pub wrap: LockedKey,
    pub rowmac: LockedKey,
    pub fingerprint: LockedKey,
    pub audit: LockedKey,
    /// The seed of an Ed25519 key.
    pub checkpoint: LockedKey,
}

impl OrgKey {
    pub fn new(version: u32, state: KeyState, key: LockedKey) -> Result<Self> {
        let [rowmac, fingerprint, audit, checkpoint] =
            ["rowmac", "fingerprint", "audit", "checkpoint"].map(|label| kdf::subkey(&key, label));
        Ok(Self {
            version,
            state,
            rowmac: rowmac?,
            fingerprint: fingerprint?,
            audit: audit?,
            checkpoint: checkpoint?,
            wrap: key,
        })
    }

    pub fn name(&self, instance: &str, org: &str) -> KeyName {
        KeyName { id: kdf::key_id("org", &[instance, org]), version: self.version }
    }
}

/// All loaded versions of one org's key; exactly one is active.
pub(crate) struct OrgKeys {
    active: u32,
    versions: BTreeMap<u32, OrgKey>,
}

impl OrgKeys {
    /// Fails with `integrity_failure` unless exactly one version is active.
    pub fn new(keys: Vec<OrgKey>) -> Result<Self> {
        let mut active = keys.iter().filter(|key| key.state == KeyState::Active).map(|key| key.version);
        match (active.next(), active.next()) {
            (Some(active), None) => {
                Ok(Self { active, versions: keys.into_iter().map(|key| (key.version, key)).collect() })
            }
            _ => Err(Error::new(Code::Integrity, "an org does not have exactly one active key")),
        }
    }

    pub fn active(&self) -> &OrgKey {
        self.versions.get(&self.active).expect("`new` saw the active version among these")
    }

    /// Any loaded version; fails with `key_unknown`.
    pub fn version(&self, version: u32) -> Result<&OrgKey> {
        self.versions.get(&version).ok_or_else(|| {
            Error::new(Code::KeyUnknown, format!("version {version} of the org's key is not loaded"))
        })
    }

    /// A version that still guards rows and data keys; fails with `key_unknown`.
    pub fn in_use(&self, version: u32) -> Result<&OrgKey> {
        let key = self.version(version)?;
        match key.state {
            KeyState::Active | KeyState::Retiring => Ok(key),
            KeyState::VerifyOnly => {
                Err(Error::new(Code::KeyUnknown, format!("version {version} of the org's key is retired")))
            }
        }
    }
}

/// A key that was unwrapped, moved into locked memory.
pub(crate) fn from_bytes(bytes: &SecretBytes) -> Result<LockedKey> {
    bytes.expose(|bytes| {
        let bytes: &[u8; KEY] =
            bytes.try_into().map_err(|_| Error::new(Code::BadEnvelope, "a wrapped key has a wrong size"))?;
        Ok(LockedKey::copied(bytes))
    })
}

/// A version number of the database as an envelope writes it; `integrity_failure` where none can be.
pub(crate) fn counted(version: i64) -> Result<u32> {
    u32::try_from(version)
        .ok()
        .filter(|version| *version > 0)
        .ok_or_else(|| Error::new(Code::Integrity, "the version of a key is out of range"))
}

/// The one key that may have sealed something is known from where it stands, so no other is ever tried:
/// another id means a value that was moved (`integrity_failure`), another version a key that is not here.
pub(crate) fn expect_name(found: KeyName, expected: KeyName) -> Result<()> {
    if found.id != expected.id {
        return Err(Error::new(Code::Integrity, "a sealed value belongs to another key than its place says"));
    }
    if found.version != expected.version {
        return Err(Error::new(
            Code::KeyUnknown,
            format!("a value is sealed under version {} of its key", found.version),
        ));
    }
    Ok(())
}
