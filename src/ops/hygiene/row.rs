//! How a finding is shown. An allow-list: ids, names, counts and dates.
use crate::clock::Millis;
use crate::model::credential::Scope;
use crate::model::hygiene::kept::Acceptance;
use crate::model::hygiene::{Finding, FindingKind, Inventory, Keeper, Severity};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;

/// How many credentials of one finding are named.
const NAMED: usize = 10;

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline)]
pub struct FindingRow {
    /// The same in each report.
    pub id: String,
    pub kind: FindingKind,
    pub severity: Severity,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_new: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub credentials: Vec<Named>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub consumers: Vec<Named>,
    /// How many more there are.
    #[serde(skip_serializing_if = "is_none")]
    pub more: usize,
    /// Names, counts and dates that show it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub evidence: BTreeMap<&'static str, String>,
    pub message: String,
    pub next: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accepted: Option<AcceptedBy>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline)]
pub struct Named {
    pub id: String,
    pub name: String,
    pub scope: Scope,
    /// Login or team.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub owner: String,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline)]
pub struct AcceptedBy {
    pub until: Millis,
    pub by: String,
    pub reason: String,
}

fn is_none(n: &usize) -> bool {
    *n == 0
}

/// `f` for somebody who may see what it is about.
pub fn of(
    inventory: &Inventory,
    f: &Finding,
    id: String,
    is_new: bool,
    accepted: Option<&Acceptance>,
) -> FindingRow {
    let team = |id: &str| inventory.teams.get(id).map_or(String::new(), |team| team.name.to_string());
    let credential = |n: &u32| {
        let c = &inventory.credentials[*n as usize];
        let owner = match c.scope {
            Scope::Personal => inventory.login(&c.owner).to_owned(),
            Scope::Team => team(&c.owner),
            Scope::Org => String::new(),
        };
        Named { id: c.id.0.clone(), name: c.name.to_string(), scope: c.scope, owner }
    };
    let consumer = |n: &u32| {
        let c = &inventory.consumers[*n as usize];
        let owner = match &c.keeper {
            Keeper::Person(user) => inventory.login(user).to_owned(),
            Keeper::Team(id) => team(id),
            Keeper::Everybody => String::new(),
        };
        Named { id: c.id.0.clone(), name: c.name.to_string(), scope: c.keeper.scope(), owner }
    };
    FindingRow {
        id,
        kind: f.kind,
        severity: f.kind.severity(),
        is_new,
        credentials: f.credentials.iter().take(NAMED).map(credential).collect(),
        consumers: f.consumers.iter().take(NAMED).map(consumer).collect(),
        more: f.credentials.len().saturating_sub(NAMED),
        evidence: f.facts.iter().chain(&f.figures).map(|(name, text)| (*name, text.clone())).collect(),
        message: f.message.clone(),
        next: f.next.clone(),
        accepted: accepted.map(|a| AcceptedBy {
            until: a.until,
            by: inventory.login(&a.accepted_by.0.as_str().into()).to_owned(),
            reason: a.reason.clone(),
        }),
    }
}
