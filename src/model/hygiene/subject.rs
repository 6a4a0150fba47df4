//! What the rules judge: credentials, consumers, teams and uses, as one caller may see them. No more of each than the
//! rules need: there may be a hundred thousand.
use crate::clock::Millis;
use crate::ids::{ConsumerId, CredentialId};
use crate::model::consumer::BindingSource;
use crate::model::credential::{CredentialType, Environment, Scope, Source};
use crate::model::status::Status;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Everything of one report.
#[derive(Debug, Default)]
pub struct Inventory {
    pub org: String,
    pub now: Millis,
    /// Those whose configuration the caller may see, in the order of their ids.
    pub credentials: Vec<Subject>,
    /// Those that the caller may know of, in the order of their ids.
    pub consumers: Vec<Party>,
    pub teams: HashMap<Arc<str>, TeamFacts>,
    /// People who are disabled.
    pub gone: HashSet<Arc<str>>,
    /// Logins by id.
    pub logins: HashMap<Arc<str>, Arc<str>>,
    /// Upper-case names that the org has, those too whose configuration the caller may not see.
    pub org_names: HashSet<Arc<str>>,
    /// Whether values are compared in this report.
    pub compares: bool,
}

/// One credential.
#[derive(Clone, Debug)]
pub struct Subject {
    pub id: CredentialId,
    pub name: Arc<str>,
    pub kind: CredentialType,
    pub source: Source,
    pub scope: Scope,
    pub owner: Arc<str>,
    pub service: Arc<str>,
    pub account: Arc<str>,
    pub environment: Environment,
    pub has_vague_description: bool,
    pub status: Status,
    pub is_rotation_due: bool,
    pub expires_at: Option<Millis>,
    pub rotation_days: Option<i64>,
    pub value_set_at: Option<Millis>,
    /// Who entered the value, or made it where it has none.
    pub entered_by: Arc<str>,
    pub last_used_at: Option<Millis>,
    /// Uses of the last 90 days.
    pub uses: Box<[UsedFrom]>,
    /// The consumers that may be handed it by a binding, as places in [`Inventory::consumers`].
    pub bound: Vec<u32>,
    /// Whether a consumer holds a grant on it.
    pub is_granted_to_consumer: bool,
    /// Fingerprints of its secret fields.
    pub prints: Box<[[u8; 15]]>,
    pub is_weak: bool,
    /// What its value was recognised as when it was stored.
    pub recognised: Option<Arc<Recognised>>,
    /// What a variable of its service is customarily called.
    pub customary: Option<Arc<str>>,
    /// Services for which its name is customary, where its value was recognised as one of none of them.
    pub named_after: Box<[Arc<str>]>,
    /// Scopes of its connection that are broad.
    pub broad_scopes: Box<[Arc<str>]>,
}

/// What values of one shape are: the same for all of them, and kept once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recognised {
    /// Services that issue such values; empty for what anybody makes.
    pub services: Box<[Arc<str>]>,
    /// The kind of key there.
    pub kind: Arc<str>,
    pub is_live: Option<bool>,
}

/// Uses by one person through one consumer.
#[derive(Clone, Debug, PartialEq)]
pub struct UsedFrom {
    pub user: Arc<str>,
    /// Empty where it was none.
    pub consumer: Arc<str>,
    pub ok: i64,
    pub last_at: Millis,
}

/// One team.
#[derive(Clone, Debug, Default)]
pub struct TeamFacts {
    pub name: Arc<str>,
    pub is_deleted: bool,
    /// Those who are not disabled.
    pub members: HashSet<Arc<str>>,
    pub has_keeper: bool,
}

/// Whose a consumer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keeper {
    Person(Arc<str>),
    Team(Arc<str>),
    Everybody,
}

impl Keeper {
    pub fn scope(&self) -> Scope {
        match self {
            Keeper::Person(_) => Scope::Personal,
            Keeper::Team(_) => Scope::Team,
            Keeper::Everybody => Scope::Org,
        }
    }
}

/// One consumer.
#[derive(Clone, Debug)]
pub struct Party {
    pub id: ConsumerId,
    pub name: Arc<str>,
    pub keeper: Keeper,
    pub ok_lately: i64,
    pub failed_lately: i64,
    /// Plain texts that stand where a secret is named.
    pub plain_secrets: Vec<Arc<str>>,
    /// Required bindings that find nothing: variable, what it looks for, where.
    pub missing: Vec<(Arc<str>, Arc<str>, BindingSource)>,
}

impl Inventory {
    /// What a person is called; their id where that is not known.
    pub fn login<'a>(&'a self, user: &'a Arc<str>) -> &'a str {
        self.logins.get(user).unwrap_or(user)
    }
}

impl Subject {
    /// Services that issue such values; empty: not recognised.
    pub fn services(&self) -> &[Arc<str>] {
        self.recognised.as_ref().map_or(&[], |seen| &seen.services)
    }
    /// The kind of key; empty: not recognised.
    pub fn key_kind(&self) -> &str {
        self.recognised.as_ref().map_or("", |seen| &seen.kind)
    }
    pub fn is_live(&self) -> Option<bool> {
        self.recognised.as_ref().and_then(|seen| seen.is_live)
    }
    /// Since when it has had a value for more than `days` days.
    pub fn has_had_value(&self, now: Millis, days: i64) -> bool {
        self.value_set_at.is_some_and(|set| set.plus_days(days) < now)
    }
    /// `NAME (org)`, as messages call it.
    pub fn label(&self) -> String {
        format!("{} ({})", self.name, self.scope)
    }
}
