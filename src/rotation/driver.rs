//! Drivers: how a value is made, set, tested and revoked at a service by itself.
//!
//! Whoever calls one has written its intent down before, with no transaction open, and writes the outcome after: a call
//! whose outcome is missing may have happened at the service, and is never made again by itself.
use crate::error::Result;
use crate::model::credential::Credential;
use crate::model::rotation::Finding;
use crate::secret::SecretBytes;
use futures_util::future::BoxFuture;
use std::collections::BTreeMap;
use std::sync::Arc;

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

/// What a call is about.
pub struct Call<'a> {
    pub credential: &'a Credential,
    /// The value in use.
    pub old: &'a Fields,
    /// The new one, where there is one.
    pub new: Option<&'a Fields>,
}

/// A value that a service has made.
pub struct Made {
    pub fields: Fields,
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

    /// Has the service make a new value.
    fn create<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, Result<Made>>;
    /// A new value of ours, before the service hears of it.
    fn invent(&self, call: Call<'_>) -> Result<Made>;
    /// Tells the service the new value.
    fn set<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, Result<Ended>>;
    /// Asks the service about `fields`.
    fn test<'a>(&'a self, credential: &'a Credential, fields: &'a Fields) -> BoxFuture<'a, Result<Tested>>;
    /// Ends the old value, by the new one or by itself.
    fn revoke<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, Result<Ended>>;
}

/// The drivers that there are, by the service of the catalogue.
#[derive(Default)]
pub struct Drivers {
    by_service: BTreeMap<String, Arc<dyn Driver>>,
}

impl Drivers {
    pub fn with(mut self, service: &str, driver: Arc<dyn Driver>) -> Self {
        self.by_service.insert(service.to_owned(), driver);
        self
    }

    /// The one for this credential; none for a service that is not named.
    pub fn find(&self, credential: &Credential) -> Option<Arc<dyn Driver>> {
        self.by_service.get(&credential.service).cloned()
    }
}
