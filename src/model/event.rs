//! What the audit log keeps of one change, use or refusal. Structured fields only, never a value.
use super::credential::{Credential, Scope};
use crate::clock::Millis;
use crate::ids::{CredentialId, OrgId};
use serde_json::{Map, Value};

words! {
    /// How it ended.
    Outcome { Ok = "ok", Refused = "refused", Failed = "failed", Started = "started" }
}

/// One event, before the store gives it its number, its time and its place in the chain.
#[derive(Clone, Debug)]
pub struct Event {
    pub operation: String,
    pub outcome: Outcome,
    /// The error code of a refusal or failure, or empty.
    pub code: String,
    pub object: Object,
    /// What the caller said it is for, or empty.
    pub reason: String,
    /// Which consumer, where one is concerned.
    pub consumer: String,
    /// More facts: ids, words and numbers.
    pub details: Map<String, Value>,
}

/// What an event is about.
#[derive(Clone, Debug, Default)]
pub struct Object {
    /// `credential`, `provider`, `user`, …; empty for none.
    pub kind: String,
    pub id: String,
    pub name: String,
    pub version: Option<i64>,
    /// The row's revision after the change, so that a rolled-back row can be told.
    pub revision: Option<i64>,
    /// Where a credential was then: it decides who may read the event.
    pub scope: Option<Scope>,
    pub owner: String,
}

impl Event {
    pub fn of(operation: impl Into<String>) -> Self {
        Self {
            operation: operation.into(),
            outcome: Outcome::Ok,
            code: String::new(),
            object: Object::default(),
            reason: String::new(),
            consumer: String::new(),
            details: Map::new(),
        }
    }

    pub fn on(mut self, credential: &Credential) -> Self {
        self.object = Object {
            kind: "credential".into(),
            id: credential.id.0.clone(),
            name: credential.name.clone(),
            version: credential.current_version,
            revision: Some(credential.revision),
            scope: Some(credential.scope),
            owner: credential.owner_id.clone(),
        };
        self
    }

    pub fn about(mut self, kind: &str, id: &str, name: &str) -> Self {
        self.object = Object { kind: kind.into(), id: id.into(), name: name.into(), ..Object::default() };
        self
    }

    pub fn because(mut self, reason: impl Into<String>) -> Self {
        self.reason = reason.into();
        self
    }

    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.details.insert(name.into(), value.into());
        self
    }

    pub fn ended(mut self, outcome: Outcome, code: &str) -> Self {
        self.outcome = outcome;
        self.code = code.into();
        self
    }
}

/// One row of the audit log, as it is read back.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditRow {
    pub org: OrgId,
    /// Gapless, from 1.
    pub seq: i64,
    pub at: Millis,
    pub user: String,
    pub door: String,
    pub client: String,
    pub request: String,
    pub consumer: String,
    pub operation: String,
    pub outcome: String,
    pub code: String,
    pub object_kind: String,
    pub object_id: String,
    pub object_name: String,
    pub version: Option<i64>,
    pub revision: Option<i64>,
    pub scope: String,
    pub owner: String,
    pub reason: String,
    /// JSON object.
    pub details: String,
    pub mac: Vec<u8>,
}

impl AuditRow {
    pub fn credential_id(&self) -> Option<CredentialId> {
        (self.object_kind == "credential").then(|| CredentialId(self.object_id.clone()))
    }

    /// The bytes that the chain's MAC covers: the previous MAC and every column, length-prefixed.
    pub fn canonical(&self, previous: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(512);
        let mut put = |part: &[u8]| {
            bytes.extend_from_slice(&(part.len() as u32).to_be_bytes());
            bytes.extend_from_slice(part);
        };
        put(b"event1");
        put(previous);
        put(&self.seq.to_be_bytes());
        put(&self.at.0.to_be_bytes());
        for text in [
            self.org.as_str(),
            &self.user,
            &self.door,
            &self.client,
            &self.request,
            &self.consumer,
            &self.operation,
            &self.outcome,
            &self.code,
            &self.object_kind,
            &self.object_id,
            &self.object_name,
            &self.scope,
            &self.owner,
            &self.reason,
            &self.details,
        ] {
            put(text.as_bytes());
        }
        for number in [self.version, self.revision] {
            put(&number.map_or(vec![], |n| n.to_be_bytes().to_vec()));
        }
        bytes
    }
}
