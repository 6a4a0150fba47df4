//! `purge_credential`: destroys the keys of a deleted credential's versions, for good. People only.
use crate::app::App;
use crate::error::{Code, Error, Result};
use crate::model::access::{Caller, Grant};
use crate::model::connection::{Connection, ConnectionState};
use crate::model::credential::{Credential, Version};
use crate::model::event::Event;
use crate::model::text::Reason;
use crate::ops::confirm::{Confirm, Question};
use crate::ops::reach::{self, Need};
use crate::ops::{Effect, Operation, Permission, Toolset};
use crate::store::Writer;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The operation, as events name it.
pub const NAME: &str = "purge_credential";

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PurgeCredential {
    #[schemars(length(max = 160))]
    pub credential: String,
    #[schemars(length(max = 300))]
    pub reason: String,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Purged {
    pub id: String,
    pub name: String,
    pub versions_destroyed: i64,
    pub note: String,
}

impl Operation for PurgeCredential {
    const NAME: &'static str = NAME;
    const TITLE: &'static str = "Purge a credential";
    const ABOUT: &'static str = "Destroy a deleted credential for good.";
    const TOOLSET: Toolset = Toolset::People;
    const EFFECT: Effect = Effect::Destroys;
    const NEEDS: Permission = Permission::Manage;
    type Output = Purged;

    async fn confirm(&self, app: &App, caller: &Caller) -> Result<Confirm> {
        super::super::people_only(caller)?;
        let (asking, wanted) = (caller.clone(), self.credential.clone());
        let reason = Reason::parse(&self.reason)?;
        app.store
            .read(move |tx| {
                let who = tx.standing(&asking)?;
                let found = reach::credential_or_deleted(tx, &asking, &who, &wanted, Need::Manage)?;
                must_be_deleted(&found.credential)?;
                Ok(Confirm::Person(Question {
                    summary: format!(
                        "destroy {} ({}) for good",
                        found.credential.label(),
                        found.credential.id
                    ),
                    impact: vec!["its value cannot be brought back, except from a backup made before".into()],
                    reason: reason.to_string(),
                    pins: vec![("credential", found.credential.id.0.clone())],
                }))
            })
            .await
    }

    async fn run(self, app: &App, caller: &Caller) -> Result<Purged> {
        super::super::people_only(caller)?;
        let asking = caller.clone();
        let reason = Reason::parse(&self.reason)?;
        let purged = app
            .store
            .write(caller, move |tx| {
                let who = tx.standing(&asking)?;
                let found = reach::credential_or_deleted(tx, &asking, &who, &self.credential, Need::Manage)?;
                let c = found.credential;
                must_be_deleted(&c)?;
                let is_connected = tx
                    .connection(&c.org_id, &c.id)?
                    .is_some_and(|connection| connection.state != ConnectionState::Disconnected);
                let versions_destroyed = destroy(tx, &c, &found.grants)?;
                let output = Purged {
                    id: c.id.0.clone(),
                    name: c.name.clone(),
                    versions_destroyed,
                    note: match is_connected {
                        true => "The keys are destroyed here; backups made before still hold them. The service was not asked \
                                 to end the grant: remove the access on its own page."
                            .into(),
                        false => "The keys are destroyed here; backups made before still hold them.".into(),
                    },
                };
                tx.record(Event::of(Self::NAME).on(&c).because(reason.as_str()), output)
            })
            .await?;
        Ok(Purged { note: format!("{}{}", purged.note, sweep(app).await), ..purged })
    }
}

/// Empties the write-ahead log, which still holds the old pages. What was done stays done where that fails: then this
/// says so, as the end of a note.
pub async fn sweep(app: &App) -> &'static str {
    match app.store.forget_old_pages().await {
        Ok(true) => "",
        _ => {
            " Another process was reading, so what was removed is still on disk: stop it; the next purge, erasure or key rotation clears it."
        }
    }
}

/// Removes a credential with its versions, whose keys go with them, and its grants. Returns how many versions.
pub fn destroy(tx: &mut Writer<'_>, c: &Credential, grants: &[Grant]) -> Result<i64> {
    let versions = tx.versions(&c.org_id, &c.id, 100_000)?;
    for version in &versions {
        tx.remove_fields(&version.id)?;
        tx.remove::<Version>(&[version.id.as_str()])?;
    }
    for grant in grants {
        tx.remove::<Grant>(&[grant.id.as_str()])?;
    }
    tx.forget_rotations(c)?;
    tx.forget_consents_for(&c.org_id, &c.id)?;
    for echoes in tx.echoes(&c.id)? {
        tx.forget_echoes(&c.id, &echoes.service)?;
    }
    tx.remove::<Connection>(&[c.id.as_str()])?;
    tx.remove::<Credential>(&[c.id.as_str()])?;
    Ok(versions.len() as i64)
}

fn must_be_deleted(c: &Credential) -> Result<()> {
    match c.is_deleted() {
        true => Ok(()),
        false => Err(Error::new(Code::NotDeleted, format!("{} is not in the bin", c.name))
            .next("Delete it first; purge is for the bin.")),
    }
}
