//! `list_canaries`: the canaries that the caller manages, and their open alerts. People only.
use crate::app::App;
use crate::clock::Millis;
use crate::error::Result;
use crate::ids::CredentialId;
use crate::model::access::Caller;
use crate::model::canary::{CanaryAlert, may_know};
use crate::model::credential::{Credential, Scope};
use crate::ops::reach;
use crate::ops::{Effect, Operation, Permission, Toolset, people_only};
use crate::store::Reader;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// How many canaries and alerts an org has at most, as far as they are shown.
const MOST: i64 = 1000;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListCanaries {}

#[derive(Debug, Serialize, JsonSchema)]
pub struct Canaries {
    pub canaries: Vec<CanaryRow>,
    /// Open ones, newest first.
    pub alerts: Vec<AlertRow>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline)]
pub struct CanaryRow {
    pub id: String,
    pub name: String,
    pub scope: Scope,
    pub marked_at: Millis,
    pub marked_by: String,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline)]
pub struct AlertRow {
    pub id: String,
    pub credential: String,
    pub name: String,
    /// Whose rights were used.
    pub user: String,
    pub door: String,
    /// What the client says it is.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub client: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub consumer: String,
    pub how: String,
    /// The program, or the host.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub place: String,
    pub first_at: Millis,
    pub last_at: Millis,
    pub times: i64,
}

impl AlertRow {
    pub(super) fn of(tx: &Reader<'_>, a: &CanaryAlert, name: &str) -> Result<Self> {
        Ok(Self {
            id: a.id.0.clone(),
            credential: a.credential_id.0.clone(),
            name: name.to_owned(),
            user: login(tx, a.org_id.clone(), a.user_id.as_str())?,
            door: a.door.clone(),
            client: a.client.clone(),
            consumer: a.consumer.clone(),
            how: a.how.clone(),
            place: a.place.clone(),
            first_at: a.first_at,
            last_at: a.last_at,
            times: a.times,
        })
    }
}

/// The login, or the id of somebody who was removed.
fn login(tx: &Reader<'_>, org: crate::ids::OrgId, id: &str) -> Result<String> {
    match tx.user(&org, &id.into()) {
        Ok(user) => Ok(user.login),
        Err(e) if e.kind() == crate::error::Kind::Missing => Ok(id.to_owned()),
        Err(e) => Err(e),
    }
}

impl Operation for ListCanaries {
    const NAME: &'static str = "list_canaries";
    const TITLE: &'static str = "List canaries";
    const ABOUT: &'static str = "See the canaries that you manage, and who used one.";
    const TOOLSET: Toolset = Toolset::People;
    const EFFECT: Effect = Effect::Reads;
    const NEEDS: Permission = Permission::Anyone;
    const IDEMPOTENT: bool = true;
    type Output = Canaries;

    async fn run(self, app: &App, caller: &Caller) -> Result<Canaries> {
        people_only(caller)?;
        let asking = caller.clone();
        app.store.read(move |tx| found(tx, &asking)).await
    }
}

fn found(tx: &Reader<'_>, caller: &Caller) -> Result<Canaries> {
    let who = tx.standing(caller)?;
    let mut known: HashMap<CredentialId, Option<Credential>> = HashMap::new();
    let mut managed = |id: &CredentialId| -> Result<Option<Credential>> {
        if let Some(known) = known.get(id) {
            return Ok(known.clone());
        }
        let managed = match tx.find_credential(&caller.org, id)? {
            None => None,
            Some(c) => {
                let found = reach::reached(tx, &caller.org, &who, c)?;
                may_know(caller, found.access).then_some(found.credential)
            }
        };
        known.insert(id.clone(), managed.clone());
        Ok(managed)
    };
    let (mut canaries, mut alerts) = (Vec::new(), Vec::new());
    for mark in tx.canaries(&caller.org, "", MOST)? {
        if let Some(c) = managed(&mark.credential_id)?.filter(|c| !c.is_deleted()) {
            canaries.push(CanaryRow {
                id: c.id.0,
                name: c.name,
                scope: c.scope,
                marked_at: mark.created_at,
                marked_by: login(tx, mark.org_id, mark.created_by.as_str())?,
            });
        }
    }
    for alert in tx.open_alerts(&caller.org, None, MOST)? {
        if let Some(c) = managed(&alert.credential_id)? {
            alerts.push(AlertRow::of(tx, &alert, &c.name)?);
        }
    }
    canaries.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
    Ok(Canaries { canaries, alerts })
}
