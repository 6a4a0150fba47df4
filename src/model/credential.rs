//! A credential and its versions, as the database keeps them: everything but the values.
use crate::clock::Millis;
use crate::error::{Code, Error, Result};
use crate::ids::{CredentialId, OrgId, ProviderId, UserId, VersionId};
use crate::model::name::Reserved;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

words! {
    /// What shape the value has.
    CredentialType {
        ApiKey = "api_key",
        OAuth = "oauth",
        /// Username and password.
        Basic = "basic",
        /// A file name and its bytes.
        File = "file",
        /// Named fields, each secret or plain.
        Custom = "custom",
    }
}

words! {
    /// Where the value comes from.
    Source { Manual = "manual", OAuth = "oauth" }
}

words! {
    /// Whom a credential serves. The order is the order of resolution.
    Scope { Personal = "personal", Team = "team", Org = "org" }
}

words! {
    /// Which deployment it is of.
    Environment { Any = "any", Prod = "prod", Staging = "staging", Dev = "dev" }
}

words! {
    /// Where a version stands.
    Stage {
        Pending = "pending",
        Current = "current",
        Previous = "previous",
        /// Its data key is destroyed.
        Retired = "retired",
    }
}

// One named part of a value. No doc comment: it would stand in every schema.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
#[serde(deny_unknown_fields)]
pub struct FieldSpec {
    /// As HOST
    #[schemars(length(min = 1, max = 64))]
    pub name: String,
    /// A plain one may be shown
    #[serde(default = "yes")]
    pub secret: bool,
}

fn yes() -> bool {
    true
}

/// One stored secret, without its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Credential {
    pub id: CredentialId,
    pub org_id: OrgId,
    pub name: String,
    /// The upper-cased name: what must be unique in its place.
    pub name_key: String,
    pub kind: CredentialType,
    pub source: Source,
    pub scope: Scope,
    /// The user's, team's or org's id, as `scope` says.
    pub owner_id: String,
    /// Id of a catalogue service, or empty.
    pub service: String,
    /// Which account of the service, or empty.
    pub account: String,
    pub environment: Environment,
    pub description: String,
    pub tags: Vec<String>,
    pub fields: Vec<FieldSpec>,
    pub provider_id: Option<ProviderId>,
    pub expires_at: Option<Millis>,
    /// After how many days a value should be replaced.
    pub rotation_days: Option<i64>,
    /// The number of the version in use; none until a value was entered.
    pub current_version: Option<i64>,
    pub value_set_at: Option<Millis>,
    pub value_set_by: Option<UserId>,
    pub created_at: Millis,
    pub created_by: UserId,
    pub updated_at: Millis,
    pub deleted_at: Option<Millis>,
    pub deleted_by: Option<UserId>,
    pub revision: i64,
}

impl Credential {
    pub fn is_deleted(&self) -> bool {
        self.deleted_at.is_some()
    }

    /// The fields that a value of this type has.
    pub fn field_specs(&self) -> Vec<FieldSpec> {
        let secret = |name: &str| FieldSpec { name: name.into(), secret: true };
        match self.kind {
            CredentialType::ApiKey | CredentialType::OAuth => vec![secret("value")],
            CredentialType::Basic => vec![secret("username"), secret("password")],
            CredentialType::File => vec![secret("content")],
            CredentialType::Custom => self.fields.clone(),
        }
    }

    /// The variable that a program finds `field` under: `NAME` where there is one value, else `NAME_FIELD`.
    pub fn variable(&self, field: &str) -> String {
        match self.kind {
            CredentialType::ApiKey | CredentialType::OAuth | CredentialType::File => self.name.clone(),
            CredentialType::Basic | CredentialType::Custom => {
                format!("{}_{}", self.name, field.to_ascii_uppercase())
            }
        }
    }

    /// Fails with `reserved_name` where a program could never be given one of the fields.
    pub fn expect_usable_variables(&self) -> Result<()> {
        for spec in self.field_specs() {
            let variable = self.variable(&spec.name);
            if let Some(reserved) = Reserved::of(&variable) {
                return Err(Error::new(
                    Code::ReservedName,
                    format!(
                        "its field {} would fill {variable}, which is reserved: {}",
                        spec.name,
                        reserved.reason()
                    ),
                )
                .next("Give the credential or that field another name."));
            }
        }
        Ok(())
    }

    /// The command with which a person enters its value.
    pub fn set_command(&self) -> String {
        let mut text = format!("unsaid set {}", self.name);
        match self.scope {
            Scope::Personal => {}
            Scope::Team => text.push_str(&format!(" --scope team:{}", self.owner_id)),
            Scope::Org => text.push_str(" --scope org"),
        }
        if !self.account.is_empty() {
            let quoted = self.account.replace('\'', "'\\''");
            text.push_str(&format!(" --account '{quoted}'"));
        }
        if self.environment != Environment::Any {
            text.push_str(&format!(" --env {}", self.environment));
        }
        if self.kind == CredentialType::File {
            text.push_str(" --file PATH");
        }
        text
    }

    /// The command with which a person connects it.
    pub fn connect_command(&self) -> String {
        self.set_command().replacen("unsaid set ", "unsaid connect ", 1)
    }

    /// `name`, with account and environment where they tell it from another of that name.
    pub fn label(&self) -> String {
        let mut text = self.name.clone();
        if !self.account.is_empty() {
            text.push_str(&format!(" ({})", self.account));
        }
        if self.environment != Environment::Any {
            text.push_str(&format!(" [{}]", self.environment));
        }
        text
    }
}

/// One sealed set of field values. Never edited, only replaced.
#[derive(Clone, Debug, PartialEq)]
pub struct Version {
    pub id: VersionId,
    pub org_id: OrgId,
    pub credential_id: CredentialId,
    /// Counts from 1 within its credential.
    pub number: i64,
    pub stage: Stage,
    /// The data key, wrapped under the org's key; empty once destroyed.
    pub wrapped_key: Vec<u8>,
    /// Which version of the org's key wraps it.
    pub key_version: i64,
    /// Name of an uploaded file, or empty.
    pub file_name: String,
    pub created_at: Millis,
    pub created_by: UserId,
    pub destroyed_at: Option<Millis>,
    pub revision: i64,
}

/// One sealed field of a version. The envelope protects itself, so there is no row MAC.
#[derive(Clone, Debug, PartialEq)]
pub struct SealedField {
    pub name: String,
    pub is_secret: bool,
    pub sealed: Vec<u8>,
}
