//! Asks a service whether one version of a credential works, and whose it is.
//!
//! No value is opened before its use is on record.
use crate::app::App;
use crate::clock::Millis;
use crate::error::Result;
use crate::model::access::Caller;
use crate::model::credential::{Credential, Source, Version};
pub use crate::ops::connection::Verdict;

/// What a service said about one version.
#[derive(Clone, Debug)]
pub struct Probed {
    pub verdict: Verdict,
    /// Whose it is, as the service says; empty where it does not.
    pub account: String,
    pub scopes: Vec<String>,
    pub expires_at: Option<Millis>,
    pub message: String,
}

/// Asks about `version`. What no request of the catalogue can test could not be checked.
pub async fn probe(_: &App, _: &Caller, credential: &Credential, version: &Version) -> Result<Probed> {
    let what = match credential.source {
        Source::Manual => "a value that was entered",
        Source::OAuth => "this version of a connection",
    };
    Ok(Probed {
        verdict: Verdict::CouldNotCheck,
        account: String::new(),
        scopes: Vec::new(),
        expires_at: None,
        message: format!("version {} is {what}, and there is no request that tests it", version.number),
    })
}
