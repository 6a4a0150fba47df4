//! What proves that we wrote something: row MACs, the audit chain, checkpoints, fingerprints.
//!
//! A MAC names the version of the key that made it, so that it can still be checked after the org's key changed.
use super::keys::{self, OrgKey};
use super::locked::LockedKey;
use super::{Vault, context, kdf};
use crate::error::Result;
use crate::ids::OrgId;
use ed25519_dalek::{Signature, Signer, SigningKey};
use subtle::ConstantTimeEq;

impl Vault {
    /// The MAC of a row: the org key's version in 4 bytes, big-endian, then 32 bytes of HMAC-SHA-256.
    ///
    /// `canonical` names table, key, row version and every column, without ambiguity.
    pub fn row_mac(&self, org: &OrgId, canonical: &[u8]) -> Result<Vec<u8>> {
        let keys = self.org(org)?;
        Ok(mac(keys.active(), &keys.active().rowmac, canonical))
    }

    /// Whether `mac` is this row's, under a key that still guards rows. A MAC of a retired or unknown version
    /// is not; only an org that is not loaded is an error (`key_unknown`).
    pub fn row_mac_ok(&self, org: &OrgId, canonical: &[u8], mac: &[u8]) -> Result<bool> {
        let keys = self.org(org)?;
        Ok(split(mac).is_some_and(|(version, mac)| {
            keys.in_use(version).is_ok_and(|key| same(&key.rowmac, canonical, mac))
        }))
    }

    /// The MAC of an audit entry (which holds the MAC before it), in the form of [`Vault::row_mac`].
    pub fn audit_mac(&self, org: &OrgId, canonical: &[u8]) -> Result<Vec<u8>> {
        let keys = self.org(org)?;
        Ok(mac(keys.active(), &keys.active().audit, canonical))
    }

    /// Whether `mac` is this entry's, under any loaded version.
    pub fn audit_mac_ok(&self, org: &OrgId, canonical: &[u8], mac: &[u8]) -> Result<bool> {
        let keys = self.org(org)?;
        Ok(split(mac).is_some_and(|(version, mac)| {
            keys.version(version).is_ok_and(|key| same(&key.audit, canonical, mac))
        }))
    }

    /// Signs a checkpoint of the audit chain with the org's Ed25519 key: version in 4 bytes, then 64 of signature.
    pub fn sign_checkpoint(&self, org: &OrgId, bytes: &[u8]) -> Result<Vec<u8>> {
        let keys = self.org(org)?;
        let key = keys.active();
        let text = self.checkpoint(org, bytes);
        let signature = with_signing_key(key, |signing| signing.sign(&text));
        Ok([&key.version.to_be_bytes()[..], &signature.to_bytes()].concat())
    }

    /// Whether this is our signature, under any loaded version.
    pub fn checkpoint_ok(&self, org: &OrgId, bytes: &[u8], signature: &[u8]) -> Result<bool> {
        let keys = self.org(org)?;
        let Some((version, signature)) = split(signature) else { return Ok(false) };
        let (Ok(key), Ok(signature)) = (keys.version(version), Signature::from_slice(signature)) else {
            return Ok(false);
        };
        let public = with_signing_key(key, SigningKey::verifying_key);
        Ok(public.verify_strict(&self.checkpoint(org, bytes), &signature).is_ok())
    }

    /// The Ed25519 public key that checks the checkpoints of one version, for an export.
    pub fn checkpoint_public(&self, org: &OrgId, version: i64) -> Result<[u8; 32]> {
        let keys = self.org(org)?;
        let key = keys.version(keys::counted(version)?)?;
        Ok(with_signing_key(key, SigningKey::verifying_key).to_bytes())
    }

    fn checkpoint(&self, org: &OrgId, bytes: &[u8]) -> Vec<u8> {
        context::tuple(&[b"cv1/checkpoint", self.instance.as_bytes(), org.as_str().as_bytes(), bytes])
    }

    /// HMAC-SHA-256 for the instance as a whole, apart for each purpose. It changes when the root does: for what
    /// may be made again (sessions, request states), never for rows that stay.
    pub fn instance_mac(&self, purpose: &str, bytes: &[u8]) -> [u8; 32] {
        kdf::hmac(&self.root().instance, &[&context::tuple(&[purpose.as_bytes()]), bytes])
    }

    /// HMAC-SHA-256 over a backup's header and digest, under the root in use.
    pub fn backup_mac(&self, bytes: &[u8]) -> [u8; 32] {
        kdf::hmac(&self.root().backup, &[bytes])
    }

    /// Tells equal values of one kind within one org, and nothing to anybody without the key. Store it sealed.
    /// It changes with the org key's version: compare only fingerprints of the active one.
    pub fn fingerprint(&self, org: &OrgId, kind: &str, value: &[u8]) -> Result<[u8; 16]> {
        let keys = self.org(org)?;
        let mac = kdf::hmac(&keys.active().fingerprint, &[&context::tuple(&[kind.as_bytes()]), value]);
        Ok(std::array::from_fn(|n| mac[n]))
    }
}

fn mac(key: &OrgKey, with: &LockedKey, canonical: &[u8]) -> Vec<u8> {
    [&key.version.to_be_bytes()[..], &kdf::hmac(with, &[canonical])].concat()
}

fn same(key: &LockedKey, canonical: &[u8], mac: &[u8]) -> bool {
    kdf::hmac(key, &[canonical]).ct_eq(mac).into()
}

fn split(versioned: &[u8]) -> Option<(u32, &[u8])> {
    let (version, rest) = versioned.split_first_chunk::<4>()?;
    Some((u32::from_be_bytes(*version), rest))
}

fn with_signing_key<R>(key: &OrgKey, use_it: impl FnOnce(&SigningKey) -> R) -> R {
    crate::secret::stack::clean(|| key.checkpoint.expose(|seed| use_it(&SigningKey::from_bytes(seed))))
}
