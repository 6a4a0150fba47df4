//! How a manifest says that a credential is tested: one harmless request and what its answers mean.
//!
//! Only the description lives here; nothing is sent.
use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::service::is_false;

/// One harmless request that tells whether a credential is alive. Any status not listed leaves it undecided.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// Stands in for method and url where the service does not speak HTTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
    /// `host:port` for such a protocol.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<Method>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The SQL to run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub body_form: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ok_status: Vec<u16>,
    /// The secret is dead.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub invalid_status: Vec<u16>,
    /// The secret is alive, a permission is missing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub limited_status: Vec<u16>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub invalid_sqlstate: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub invalid_error_codes: Vec<u32>,
    /// JSON pointer to the account in the answer (RFC 6901).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account_id_path: Option<String>,
    /// JSON pointer to what it may do: a list, or words between blanks or commas.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scopes_path: Option<String>,
    /// The same, where a header of the answer says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scopes_header: Option<String>,
    /// JSON pointer to its end: a date, a point in time, or seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_path: Option<String>,
    /// The same, where a header of the answer says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_header: Option<String>,
    /// JSON pointer to the seconds that are left of its life.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_in_path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    pub auth: Auth,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// A JSON body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<serde_json::Map<String, serde_json::Value>>,
    /// What an answer must hold to be a success, where 200 is always sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ok_body: Option<BodyTest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limited_body: Option<BodyTest>,
    /// What an answer holds when the secret is dead, where its status does not say so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invalid_body: Option<BodyTest>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    Smtp,
    Postgres,
    Mysql,
    Ssh,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

/// Where the secret goes in a request.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(tag = "in", rename_all = "snake_case", deny_unknown_fields)]
pub enum Auth {
    Header {
        name: String,
        format: String,
    },
    Basic {
        username: String,
        password: String,
    },
    Digest {
        username: String,
        password: String,
    },
    Query {
        name: String,
    },
    /// The secret is part of the address, which must stay out of every log.
    Path {},
    BodyForm {
        fields: BTreeMap<String, String>,
    },
    BodyJson {
        fields: BTreeMap<String, String>,
    },
    /// Sign an assertion with the key and trade it (RFC 7523).
    JwtBearer {
        grant_type: String,
        alg: String,
        aud: String,
        iss: String,
        scope: String,
    },
    AwsSigv4 {
        service: String,
        region: String,
        access_key_id: String,
        secret_access_key: String,
    },
    Sasl {
        mechanisms: Vec<String>,
        username: String,
        password: String,
    },
    Publickey {
        username: String,
    },
    ConnectionString {},
    None {},
}

/// What must be found at a place of a JSON answer: this value, or anything at all.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BodyTest {
    /// RFC 6901.
    pub pointer: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub equals: Option<serde_json::Value>,
    /// Any of these values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub one_of: Vec<serde_json::Value>,
    #[serde(default, skip_serializing_if = "is_false")]
    pub exists: bool,
}
