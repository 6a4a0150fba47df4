//! What hygiene keeps beside credentials, as the database has it. Nothing here tells a value.
use crate::clock::Millis;
use crate::ids::{CredentialId, OrgId, UserId, VersionId};

/// The kind of key of what is a private key in PEM or in PuTTY's form, whoever issued it.
pub const PRIVATE_KEY: &str = "private_key";

/// A keyed fingerprint of one secret field of one version, with what the value was recognised as when it was stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Fingerprint {
    pub version_id: VersionId,
    pub field: String,
    pub org_id: OrgId,
    pub credential_id: CredentialId,
    /// The number of its version.
    pub version: i64,
    /// The version of the org's key that it was made with: others are not compared.
    pub key_version: i64,
    /// Sixteen bytes under a mask of this row alone, so that equal values are not equal here: what was judged of the
    /// value's strength, and fifteen bytes of its fingerprint.
    pub sealed: Vec<u8>,
    /// Ids of the services that issue values of this shape, joined by blanks; empty: not recognised.
    pub services: String,
    /// The kind of key that it is there; empty: not recognised.
    pub kind: String,
    /// `live`, `test`, or empty where its shape does not say.
    pub live: String,
    pub revision: i64,
}

/// Somebody's word that a finding may stay for a while.
#[derive(Clone, Debug, PartialEq)]
pub struct Acceptance {
    /// The finding's id.
    pub finding: String,
    pub org_id: OrgId,
    pub kind: String,
    /// A hash of its facts when it was accepted: with other facts it comes back.
    pub facts: String,
    pub reason: String,
    pub until: Millis,
    pub accepted_at: Millis,
    pub accepted_by: UserId,
    pub revision: i64,
}

/// What one person's last report found, and the one before it, sealed: it tells which values are equal.
#[derive(Clone, Debug, PartialEq)]
pub struct KeptReport {
    pub user_id: UserId,
    pub org_id: OrgId,
    /// Counts the differing reports.
    pub number: i64,
    pub made_at: Millis,
    pub earlier_at: Option<Millis>,
    pub wrapped_key: Vec<u8>,
    pub key_version: i64,
    pub sealed: Vec<u8>,
    pub sealed_earlier: Vec<u8>,
    /// Which sets of values were looked through for duplicates lately: (digest, milliseconds).
    pub looked: Vec<(String, String)>,
    pub revision: i64,
}
