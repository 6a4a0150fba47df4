//! `restore_credential`: out of the bin.
use super::instead::handed_instead;
use crate::app::App;
use crate::error::{Code, Error, Result};
use crate::model::access::{Caller, Standing};
use crate::model::credential::Credential;
use crate::model::event::Event;
use crate::model::status::{StatusReport, status};
use crate::ops::confirm::{Confirm, Question};
use crate::ops::reach::{self, Need};
use crate::ops::{Effect, Operation, Permission, Toolset};
use crate::store::Reader;
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

    /// Nothing, unless consumers would be handed it in place of another.
    async fn confirm(&self, app: &App, caller: &Caller) -> Result<Confirm> {
        let (asking, wanted) = (caller.clone(), self.clone());
        app.store
            .read(move |tx| {
                let who = tx.standing(&asking)?;
                let c = wanted.deleted(tx, &asking, &who)?;
                question(tx, &asking, &who, &c)
            })
            .await
    }

    async fn run(self, app: &App, caller: &Caller) -> Result<Restored> {
        let asking = caller.clone();
        app.store
            .write(caller, move |tx| {
                let (who, org) = reach::who(tx, &asking)?;
                let mut c = self.deleted(tx, &asking, &who)?;
                question(tx, &asking, &who, &c)?.expect_agreed(&asking)?;
                let now = tx.now();
                c.deleted_at = None;
                c.deleted_by = None;
                c.updated_at = now;
                tx.save(&mut c).map_err(|e| match e.code {
                    Code::AlreadyExists => {
                        let message = format!("another {} took its place meanwhile", c.label());
                        Error::new(Code::AlreadyExists, message).next("Rename or delete the other one first.")
                    }
                    _ => e,
                })?;
                let connection = tx.connection(&c.org_id, &c.id)?;
                let status = status(&c, connection.as_ref(), now, org.warn_days, org.bin_days);
                let output = Restored { id: c.id.0.clone(), name: c.name.clone(), status };
                tx.record(Event::of(Self::NAME).on(&c), output)
            })
            .await
    }
}

impl RestoreCredential {
    /// The one in the bin that is meant; `not_deleted` where it is not there.
    fn deleted(&self, tx: &Reader<'_>, caller: &Caller, who: &Standing) -> Result<Credential> {
        let c = reach::credential_or_deleted(tx, caller, who, &self.credential, Need::Manage)?.credential;
        match c.is_deleted() {
            true => Ok(c),
            false => Err(Error::new(Code::NotDeleted, format!("{} is not in the bin", c.name)).next(
                "Nothing to do. If you mean another one of that name, call list_credentials with status deleted and use its id.",
            )),
        }
    }
}

fn question(tx: &Reader<'_>, caller: &Caller, who: &Standing, c: &Credential) -> Result<Confirm> {
    let impact = handed_instead(tx, caller, who, c)?;
    Ok(match impact.is_empty() {
        true => Confirm::Nothing,
        false => Confirm::Person(Question {
            summary: format!("bring back {} ({}, {})", c.label(), c.scope, c.id),
            impact,
            reason: String::new(),
            pins: vec![("credential", c.id.0.clone())],
        }),
    })
}
