//! The key of one credential version: it seals that version's fields, tokens and files, and dies with it.
use super::context::Context;
use super::envelope::{self, Content, KeyName};
use super::kdf;
use super::keys;
use super::locked::LockedKey;
use super::random::Random;
use crate::error::Result;
use crate::secret::SecretBytes;
use std::sync::Arc;

/// A random 256-bit key in locked memory, wiped when dropped. Deleting its wrapped form destroys what it sealed.
pub struct DataKey {
    key: LockedKey,
    name: KeyName,
    random: Arc<dyn Random>,
}

impl DataKey {
    pub(crate) fn fresh(random: Arc<dyn Random>) -> Result<Self> {
        Self::of(LockedKey::filled(|out| random.fill(out))?, random)
    }

    pub(crate) fn of(key: LockedKey, random: Arc<dyn Random>) -> Result<Self> {
        let mut id = [0u8; 16];
        key.expose(|k| kdf::expand(k, &[], &[b"cv1/key-id/data"], &mut id))?;
        Ok(Self { key, name: KeyName { id, version: 1 }, random })
    }

    pub(crate) fn key(&self) -> &LockedKey {
        &self.key
    }

    /// Seals a value of at most 64 KiB for the place `ctx`; `too_large` beyond.
    pub fn seal(&self, ctx: &Context<'_>, bytes: &[u8]) -> Result<Vec<u8>> {
        envelope::seal(&self.key, self.name, ctx, Content::Value, bytes, &*self.random)
    }

    /// Seals a file of at most 1 MiB for the place `ctx`; `too_large` beyond.
    pub fn seal_file(&self, ctx: &Context<'_>, bytes: &[u8]) -> Result<Vec<u8>> {
        envelope::seal(&self.key, self.name, ctx, Content::File, bytes, &*self.random)
    }

    /// Opens what `seal` or `seal_file` made for exactly this place.
    ///
    /// Fails with `bad_envelope` if it is no envelope, `key_unknown` if it names a version there is not, and
    /// `integrity_failure` if it was changed, moved from another place, or sealed under another key.
    pub fn open(&self, ctx: &Context<'_>, sealed: &[u8]) -> Result<SecretBytes> {
        let parsed = envelope::parse(sealed)?;
        keys::expect_name(parsed.name, self.name)?;
        parsed.open(&self.key, ctx, &[Content::Value, Content::File])
    }
}
