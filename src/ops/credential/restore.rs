//! `restore_credential`: out of the bin.
use super::facts::Facts;
use crate::app::App;
use crate::error::{Code, Error, Result};
use crate::model::access::Caller;
use crate::model::event::Event;
use crate::model::status::StatusReport;
use crate::ops::reach::{self, Need};
use crate::ops::{Effect, Operation, Permission, Toolset};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RestoreCredential {
    /// Id or name
    #[schemars(length(max = 160))]
    pub credential: String,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Restored {
    pub id: String,
    pub name: String,
    pub status: StatusReport,
}

impl Operation for RestoreCredential {
    const NAME: &'static str = "restore_credential";
    const TITLE: &'static str = "Restore a credential";
    const ABOUT: &'static str =
        "Bring a deleted credential back from the bin, with its value, grants and history.";
    const TOOLSET: Toolset = Toolset::Credentials;
    const EFFECT: Effect = Effect::Changes;
    const NEEDS: Permission = Permission::Manage;
    type Output = Restored;

    async fn run(self, app: &App, caller: &Caller) -> Result<Restored> {
        let asking = caller.clone();
        app.store
            .write(caller, move |tx| {
                let (who, org) = reach::who(tx, &asking)?;
                let mut c = reach::credential_or_deleted(tx, &asking, &who, &self.credential, Need::Manage)?.credential;
                if !c.is_deleted() {
                    return Err(Error::new(Code::NotDeleted, format!("{} is not in the bin", c.name))
                        .next("Nothing to do. If you mean another one of that name, call list_credentials with status deleted and use its id."));
                }
                let now = tx.now();
                c.deleted_at = None;
                c.deleted_by = None;
                c.updated_at = now;
                tx.save(&mut c).map_err(|e| match e.code {
                    Code::AlreadyExists => Error::new(Code::AlreadyExists, format!("another {} took its place meanwhile", c.label()))
                        .next("Rename or delete the other one first."),
                    _ => e,
                })?;
                let output = Restored { id: c.id.0.clone(), name: c.name.clone(), status: Facts::of(tx, &c)?.status(&c, tx.connection(&c.org_id, &c.id)?.as_ref(), now, &org) };
                tx.record(Event::of(Self::NAME).on(&c), output)
            })
            .await
    }
}
