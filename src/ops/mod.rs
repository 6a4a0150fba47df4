//! Operations: everything a caller can ask for, whichever door they come in by.
//!
//! A rule is written once, here or in `model`; a door only parses, asks and answers.
pub mod approval;
pub mod audit;
pub mod broker;
pub mod canary;
pub mod catalog;
pub mod confirm;
pub mod connection;
pub mod consumer;
pub mod credential;
pub mod dispatch;
mod echo;
pub mod entry;
pub mod hand_over;
pub mod hygiene;
pub mod import;
pub mod lifecycle;
pub mod org;
mod page;
pub mod provider;
pub mod quota;
pub mod reach;
pub mod refusal;
pub mod remote;
pub mod rotation;
pub mod scan;
pub mod service;
pub mod session;
pub mod token;

pub use catalog::{Entry, catalog, find_entry};
pub use confirm::{Answer, Confirm, Confirmer, NoOne, Question};
pub use dispatch::{Limits, Reply, call, refuse_secrets};

use crate::app::App;
use crate::error::Result;
use crate::model::access::Caller;
use crate::model::entry::EntryPurpose;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

words! {
    /// What an operation does to the world; doors turn it into hints and confirmations.
    Effect {
        Reads = "reads",
        Changes = "changes",
        /// Takes something away; it can be brought back.
        Removes = "removes",
        /// Lets more people or consumers at a credential.
        Widens = "widens",
        /// Changes where a secret goes.
        Redirects = "redirects",
        /// Hands a value to a process.
        Discloses = "discloses",
        /// Takes something away for good.
        Destroys = "destroys",
    }
}

words! {
    /// The groups of tools that a server or token can be limited to.
    Toolset {
        Credentials = "credentials",
        OAuth = "oauth",
        Consumers = "consumers",
        Hygiene = "hygiene",
        Rotation = "rotation",
        Audit = "audit",
        Catalogue = "catalogue",
        Session = "session",
        /// People only: on the command line and the web, never a tool.
        People = "people",
    }
}

words! {
    /// What an operation needs of its caller. `See` and below are checked against the credential it names.
    Permission {
        /// Any enabled user of the org.
        Anyone = "anyone",
        /// May know that the credential exists.
        See = "see",
        View = "view",
        Use = "use",
        Manage = "manage",
        /// May keep credentials in the place it names.
        ManagePlace = "manage_place",
        /// Admin or auditor.
        ReadAll = "read_all",
        ManageTeam = "manage_team",
        Admin = "admin",
    }
}

/// One thing a caller can ask for. The struct *is* the input; its doc comments become the tool's schema.
pub trait Operation: DeserializeOwned + JsonSchema + Send + Sync + 'static {
    const NAME: &'static str;
    const TITLE: &'static str;
    /// One line that says when to use it.
    const ABOUT: &'static str;
    const TOOLSET: Toolset;
    const EFFECT: Effect;
    const NEEDS: Permission;
    /// Whether a repeat changes nothing more.
    const IDEMPOTENT: bool = false;
    type Output: Serialize + JsonSchema + Send + 'static;

    /// What a person must agree to before [`Operation::run`], as things stand now. It also checks permission, so
    /// that nobody is asked about what would be refused.
    fn confirm(&self, _app: &App, _caller: &Caller) -> impl Future<Output = Result<Confirm>> + Send {
        async { Ok(Confirm::Nothing) }
    }

    /// What a person enters on a page after this `answer`, and of which object (an id). The answer then has `entry`,
    /// and what to do as its `next`.
    fn entry(_answer: &Value) -> Option<(EntryPurpose, String)> {
        None
    }

    fn run(self, app: &App, caller: &Caller) -> impl Future<Output = Result<Self::Output>> + Send;
}

/// Refuses every door behind which a model may stand.
pub fn people_only(caller: &Caller) -> Result<()> {
    use crate::model::access::Door;
    match caller.door {
        Door::Cli | Door::Web => Ok(()),
        // An approved request is carried out for its asker, whichever door they came in by; these are never stored.
        _ => Err(crate::error::Error::new(
            crate::error::Code::PeopleOnly,
            "only a person does this, in a terminal or on a page",
        )),
    }
}
