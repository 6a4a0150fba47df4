//! The shapes in which credentials are shown. An allow-list: what is not named here is never shown.
use crate::clock::Millis;
use crate::error::Result;
use crate::ids::{OrgId, TeamId, UserId};
use crate::model::access::Standing;
use crate::model::connection::Connection;
use crate::model::credential::{Credential, CredentialType, Environment, Scope, Source};
use crate::model::org::Org;
use crate::model::status::StatusReport;
use crate::ops::echo::suspensions;
use crate::ops::rotation::{Policies, status_of};
use crate::store::{Reader, Usage};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// One line of a list.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct CredentialRow {
    pub id: String,
    pub name: String,
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub account: String,
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub service: String,
    #[serde(rename = "type")]
    pub kind: CredentialType,
    pub source: Source,
    pub scope: Scope,
    /// Login or team name; empty for the org.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub owner: String,
    pub environment: Environment,
    pub status: StatusReport,
    /// Serves more than one person.
    pub shared: bool,
    /// Who entered the value, for a personal override.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub set_by: String,
    pub created_at: Millis,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<Millis>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Millis>,
}

/// Names of people and teams, looked up once for an answer.
pub struct Names<'r, 't> {
    tx: &'r Reader<'t>,
    org: OrgId,
    known: HashMap<String, String>,
    policies: Option<Policies>,
}

impl<'r, 't> Names<'r, 't> {
    pub fn new(tx: &'r Reader<'t>, org: &OrgId) -> Self {
        Self { tx, org: org.clone(), known: HashMap::new(), policies: None }
    }

    /// As [`Names::new`], where one name is known already: the caller's own.
    pub fn knowing(tx: &'r Reader<'t>, org: &OrgId, who: &Standing) -> Self {
        let known = HashMap::from([(who.user.0.clone(), who.login.clone())]);
        Self { known, ..Self::new(tx, org) }
    }

    pub fn user(&mut self, id: &str) -> Result<String> {
        if let Some(name) = self.known.get(id) {
            return Ok(name.clone());
        }
        let name = self
            .tx
            .find::<crate::model::org::User>(&[id])?
            .filter(|u| u.org_id == self.org)
            .map_or(String::new(), |u| u.login);
        self.known.insert(id.to_owned(), name.clone());
        Ok(name)
    }

    pub fn team(&mut self, id: &str) -> Result<String> {
        if let Some(name) = self.known.get(id) {
            return Ok(name.clone());
        }
        let name = self.tx.team(&self.org, &TeamId::from(id)).map(|t| t.name).unwrap_or_default();
        self.known.insert(id.to_owned(), name.clone());
        Ok(name)
    }

    /// How `c` stands, with its rotation.
    fn status(
        &mut self,
        org: &Org,
        c: &Credential,
        connection: Option<&Connection>,
        now: Millis,
    ) -> Result<StatusReport> {
        let policies = match self.policies.take() {
            Some(policies) => policies,
            None => Policies::read(self.tx, &self.org)?,
        };
        let report = status_of(self.tx, &policies, c, connection, org, now);
        self.policies = Some(policies);
        report
    }

    pub fn owner(&mut self, scope: Scope, id: &str) -> Result<String> {
        match scope {
            Scope::Personal => self.user(id),
            Scope::Team => self.team(id),
            Scope::Org => Ok(String::new()),
        }
    }

    pub fn maybe_user(&mut self, id: Option<&UserId>) -> Result<String> {
        id.map_or(Ok(String::new()), |id| self.user(id.as_str()))
    }
}

/// `credential` as a line. What use tells is shown to whoever sees the line.
pub fn row(
    names: &mut Names<'_, '_>,
    org: &Org,
    c: &Credential,
    connection: Option<&Connection>,
    used: &Usage,
    now: Millis,
) -> Result<CredentialRow> {
    let set_by = match c.scope {
        Scope::Personal => names.maybe_user(c.value_set_by.as_ref())?,
        _ => String::new(),
    };
    Ok(CredentialRow {
        id: c.id.0.clone(),
        name: c.name.clone(),
        account: c.account.clone(),
        service: c.service.clone(),
        kind: c.kind,
        source: c.source,
        scope: c.scope,
        owner: names.owner(c.scope, &c.owner_id)?,
        environment: c.environment,
        status: names.status(org, c, connection, now)?.with_suspensions(c, &suspensions(names.tx, c)?),
        shared: c.scope != Scope::Personal,
        set_by,
        created_at: c.created_at,
        last_used_at: used.last_at,
        expires_at: c.expires_at,
    })
}
