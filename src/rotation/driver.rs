//! Drivers: how a value is made, set, tested and revoked at a service by itself.
//!
//! Whoever calls one has written its intent down before, with no transaction open, and writes the outcome after: a call
//! whose outcome is missing may have happened at the service, and is never made again by itself.
use crate::error::Result;
use crate::ids::CredentialId;
use crate::model::credential::Credential;
use crate::model::part;
use crate::model::rotation::Finding;
use crate::secret::SecretBytes;
use crate::services::sql::decoded;
use futures_util::future::BoxFuture;
use std::collections::BTreeMap;
use std::sync::Arc;
use url::Url;

/// The fields of one version, opened for one call.
pub type Fields = Vec<(String, SecretBytes)>;

/// Where a new value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Makes {
    /// People make it on the service's page.
    Nobody,
    /// The service, in its answer: only there it is told.
    Service,
    /// We do: it is sealed before the service hears of it.
    Us,
}

/// Whether `text` has one of these secret fields in it, or the password of a connection string.
pub fn has_secret(credential: &Credential, fields: &Fields, text: &str) -> bool {
    let specs = credential.field_specs();
    let is_in = |secret: &str| !secret.is_empty() && text.contains(secret);
    fields.iter().any(|(name, value)| {
        let is_secret = specs.iter().find(|spec| spec.name == *name).is_none_or(|spec| spec.secret);
        let is_told = |bytes: &[u8]| {
            let Ok(value) = std::str::from_utf8(bytes) else { return false };
            let url = Url::parse(value).ok();
            let password = url.as_ref().and_then(Url::password);
            is_in(value) || password.is_some_and(|password| is_in(password) || is_in(&decoded(password)))
        };
        is_secret && value.expose(is_told)
    })
}

/// Whether `text` tells a part of one of these secret fields, or is something that was masked: for what others wrote.
pub fn tells_of(credential: &Credential, fields: &Fields, text: &str) -> bool {
    let specs = credential.field_specs();
    let is_told = |(name, value): &(String, SecretBytes)| {
        let is_secret = specs.iter().find(|spec| spec.name == *name).is_none_or(|spec| spec.secret);
        let is_part = |bytes: &[u8]| std::str::from_utf8(bytes).is_ok_and(|secret| part::tells(secret, text));
        is_secret && value.expose(is_part)
    };
    part::is_masked(text) || has_secret(credential, fields, text) || fields.iter().any(is_told)
}

/// What a call is about.
pub struct Call<'a> {
    pub credential: &'a Credential,
    /// The value of the credential that [`Driver::admin`] names, where the caller may use it.
    pub admin: Option<(&'a Credential, &'a Fields)>,
    /// The value in use.
    pub old: &'a Fields,
    /// The new one, where there is one.
    pub new: Option<&'a Fields>,
}

/// A value that a service has made.
pub struct Made {
    pub fields: Fields,
}

/// What became of a value that a service was to make.
pub enum Created {
    Made(Made),
    /// It may have made one, and its answer is lost with it.
    Unsure,
}

/// What the service said about one value. Never more of its answer than this.
#[derive(Clone, Debug, PartialEq)]
pub struct Tested {
    pub finding: Finding,
    pub account: String,
    pub scopes: Vec<String>,
}

/// What became of the old value at the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    Confirmed,
    Refused,
    /// It could not be reached, or its answer is not known.
    Unsure,
}

/// One service's, or one protocol's.
///
/// A call fails with an error only where the service surely did nothing; where that is not known it says so.
pub trait Driver: Send + Sync {
    /// As the log names it.
    fn name(&self) -> &'static str;
    fn makes(&self) -> Makes {
        Makes::Nobody
    }
    fn revokes(&self) -> bool {
        false
    }
    fn tests(&self) -> bool {
        false
    }

    /// Whether it can do anything for this one: what it needs to know of it is known.
    fn drives(&self, _credential: &Credential) -> bool {
        true
    }
    /// Whether old and new work side by side for this one, where that is not what the catalogue says of its service.
    fn overlaps(&self, _credential: &Credential) -> Option<bool> {
        None
    }
    /// The credential, by its id, with whose rights it works. Whoever calls must be allowed to use that one too.
    fn admin(&self, _credential: &Credential) -> Option<CredentialId> {
        None
    }
    /// Whether it was ever tried on the real thing; else it is shown as `not tried live`.
    fn is_tried_live(&self, _credential: &Credential) -> bool {
        true
    }

    /// Has the service make a new value.
    fn create<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, Result<Created>>;
    /// A new value of ours, before the service hears of it.
    fn invent(&self, call: Call<'_>) -> Result<Made>;
    /// Tells the service the new value.
    fn set<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, Result<Ended>>;
    /// Asks the service about `fields`.
    fn test<'a>(&'a self, credential: &'a Credential, fields: &'a Fields) -> BoxFuture<'a, Result<Tested>>;
    /// Ends the old value, by the new one or by itself.
    fn revoke<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, Result<Ended>>;
}

/// The drivers that there are, by the credential, else by the service of the catalogue.
#[derive(Default)]
pub struct Drivers {
    by_credential: BTreeMap<CredentialId, Arc<dyn Driver>>,
    by_service: BTreeMap<String, Arc<dyn Driver>>,
}

impl Drivers {
    pub fn with(mut self, service: &str, driver: Arc<dyn Driver>) -> Self {
        self.by_service.insert(service.to_owned(), driver);
        self
    }

    pub fn with_credential(mut self, id: CredentialId, driver: Arc<dyn Driver>) -> Self {
        self.by_credential.insert(id, driver);
        self
    }

    /// The one for this credential: its own, else its service's if that can do anything for it.
    pub fn find(&self, credential: &Credential) -> Option<Arc<dyn Driver>> {
        let own = self.by_credential.get(&credential.id);
        own.or_else(|| self.by_service.get(&credential.service))
            .filter(|driver| driver.drives(credential))
            .cloned()
    }
}
