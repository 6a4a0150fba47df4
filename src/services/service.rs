//! What one manifest says about a service: plain facts, as `manifests/services/<id>.toml` spells them.
//!
//! Addresses are templates: `{name}` stands for a parameter a person supplies, for an id that an earlier answer
//! gave, or for the secret itself (`{token}`). A field that is absent is unknown or does not apply. Nothing here
//! is a secret and nothing here calls anybody.
use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::broker::Broker;
use super::check::Check;
use super::guide::Rotation;
use super::preset::{Oauth1, OauthPreset};

/// A service that issues credentials: how its keys look, and how to test, make, rotate and revoke them.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// Lower-case letters, digits and hyphens; the name of the file.
    pub id: String,
    pub name: String,
    /// Other names people search for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// A shelf of the catalogue, such as `ai`, `cloud` or `payments`.
    pub category: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub website: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub docs_url: Option<String>,
    /// The page where a person makes, rolls or revokes the credential.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manage_url: Option<String>,
    /// More such pages, by what they manage.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub manage_urls: BTreeMap<String, String>,
    pub credential_types: Vec<CredentialType>,
    /// Customary environment variables, secrets and companions alike.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env_names: Vec<String>,
    /// A dated withdrawal or change that the vendor announced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lifecycle_notice: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notes: Option<String>,
    /// Why there is no request that tests this credential.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verify_note: Option<String>,
    /// Of the manifest as a whole, as judged when its facts were gathered.
    pub confidence: Confidence,
    #[serde(default)]
    pub group_confidence: GroupConfidence,
    /// Values the templates need besides the secret.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub params: Vec<Param>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oauth: Option<OauthPreset>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oauth1: Option<Oauth1>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<KeyFile>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<Key>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verify: Option<Check>,
    /// The same, for other kinds of credential of this service.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub verify_alternatives: Vec<Check>,
    /// How the HTTP broker reaches it; see there for what its absence means.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broker: Option<Broker>,
    pub rotation: Rotation,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CredentialType {
    Oauth,
    ApiKey,
    Basic,
    File,
    /// Several values that belong together, or a signing scheme.
    Custom,
}

/// How sure we are of a fact: two independent sources, one, or memory alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    High,
    Medium,
    Low,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GroupConfidence {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oauth: Option<Confidence>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keys: Option<Confidence>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verify: Option<Confidence>,
    /// The steps for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotation: Option<Confidence>,
    /// The addresses of `rotation.api`. Unattended rotation needs `high`, or a vendor page read again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotation_api: Option<Confidence>,
}

/// A value that a template needs and a person knows.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Param {
    pub name: String,
    pub label: String,
    pub example: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
}

/// How to know a file that a person brings.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyFile {
    pub format: FileFormat,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_line: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub required_fields: Vec<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fixed_fields: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FileFormat {
    Json,
    Pem,
}

/// The shape of one kind of key.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Key {
    pub kind: String,
    /// Anchored, and matched by no other service: good for recognising a value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regex: Option<String>,
    /// A shape that several vendors share: only a warning, once the service is chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format_regex: Option<String>,
    /// Made of x, X and 0; never a real key.
    pub example_shape: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sensitivity: Option<Sensitivity>,
    /// An identifier or publishable value, not a secret.
    #[serde(default, skip_serializing_if = "is_false")]
    pub public: bool,
    /// Other services that issue this very shape: ask which one it is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also_used_by: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Sensitivity {
    Live,
    Test,
}

/// For fields that are left out while they are false.
pub(super) fn is_false(value: &bool) -> bool {
    !*value
}
