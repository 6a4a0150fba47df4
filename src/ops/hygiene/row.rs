//! How a finding is shown. An allow-list: ids, names, counts and dates.
use crate::model::Word;
use crate::model::credential::Scope;
use crate::model::hygiene::kept::Acceptance;
use crate::model::hygiene::{Finding, FindingKind, Inventory, Keeper, Severity};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;

/// How many credentials of one finding are named.
const NAMED: usize = 10;

// In schemas a closed list of words is text: written out, they would be a good part of what a client is told of tools.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline)]
pub struct FindingRow {
    /// The same in each report.
    pub id: String,
    #[schemars(with = "String")]
    pub kind: FindingKind,
    #[schemars(with = "String")]
    pub severity: Severity,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_new: bool,
    pub about: Vec<Named>,
    /// How many more there are.
    #[serde(skip_serializing_if = "is_none")]
    pub more: usize,
    /// Names, counts and dates that show it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub evidence: BTreeMap<&'static str, String>,
    pub message: String,
    pub next: String,
    /// Until when, by whom and why.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub accepted: String,
}

/// A credential or a consumer.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline)]
pub struct Named {
    /// `credential` or `consumer`.
    #[schemars(with = "String")]
    pub what: &'static str,
    pub id: String,
    pub name: String,
    #[schemars(with = "String")]
    pub scope: Scope,
    /// Login or team.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub owner: String,
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
        Named { what: "credential", id: c.id.0.clone(), name: c.name.to_string(), scope: c.scope, owner }
    };
    let consumer = |n: &u32| {
        let c = &inventory.consumers[*n as usize];
        let owner = match &c.keeper {
            Keeper::Person(user) => inventory.login(user).to_owned(),
            Keeper::Team(id) => team(id),
            Keeper::Everybody => String::new(),
        };
        let scope = c.keeper.scope();
        Named { what: "consumer", id: c.id.0.clone(), name: c.name.to_string(), scope, owner }
    };
    let by = |a: &Acceptance| inventory.login(&a.accepted_by.0.as_str().into()).to_owned();
    FindingRow {
        id,
        kind: f.kind,
        severity: f.kind.severity(),
        is_new,
        about: f
            .credentials
            .iter()
            .take(NAMED)
            .map(credential)
            .chain(f.consumers.iter().take(NAMED).map(consumer))
            .collect(),
        more: f.credentials.len().saturating_sub(NAMED),
        evidence: f.facts.iter().chain(&f.figures).map(|(name, text)| (*name, text.clone())).collect(),
        message: f.message.clone(),
        next: f.next.clone(),
        accepted: accepted
            .map(|a| format!("until {} by {}: {}", a.until, by(a), a.reason))
            .unwrap_or_default(),
    }
}

/// What a report found before and finds no more: its kind, and the id of what it was about.
pub fn gone(kind: FindingKind, about: &str) -> String {
    format!("{} of {about}", kind.as_str())
}
