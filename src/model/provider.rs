//! An org's OAuth client at a service: configuration now, the flow in a later part.
use super::connection::GrantKind;
use crate::clock::Millis;
use crate::ids::{OrgId, ProviderId, UserId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

words! {
    /// How the client proves itself at the token endpoint (RFC 6749 §2.3.1).
    ClientAuth { Basic = "basic", Post = "post", None = "none" }
}

/// Where a provider's messages go. Changing any of them voids the client secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
#[serde(deny_unknown_fields, default)]
pub struct Endpoints {
    #[schemars(length(max = 500))]
    pub authorization_url: String,
    #[schemars(length(max = 500))]
    pub token_url: String,
    #[schemars(length(max = 500))]
    pub revocation_url: String,
    #[schemars(length(max = 500))]
    pub userinfo_url: String,
    #[schemars(length(max = 500))]
    pub device_authorization_url: String,
}

impl Endpoints {
    /// The canonical text whose hash binds the client secret to these addresses.
    pub fn canonical(&self) -> String {
        [
            &self.authorization_url,
            &self.token_url,
            &self.revocation_url,
            &self.userinfo_url,
            &self.device_authorization_url,
        ]
        .iter()
        .map(|url| format!("{}:{url};", url.len()))
        .collect()
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Provider {
    pub id: ProviderId,
    pub org_id: OrgId,
    /// What people call it: unique in the org.
    pub name: String,
    /// Catalogue service, or empty.
    pub service: String,
    pub client_id: String,
    pub client_auth: ClientAuth,
    pub endpoints: Endpoints,
    pub scopes: Vec<String>,
    /// What the preset needs besides (`host`, `tenant`), as JSON pairs.
    pub params: Vec<(String, String)>,
    pub callback_url: String,
    pub grant_kind: GrantKind,
    /// Its own name for itself (RFC 8414 `issuer`), held against `iss` (RFC 9207); empty where it is not known.
    pub issuer: String,
    /// It promised to send `iss` (RFC 9207 §3).
    pub sends_iss: bool,
    /// What the tokens are for (RFC 8707); empty for none.
    pub resource: String,
    pub is_preset: bool,
    /// The client secret's data key, wrapped; empty where there is none.
    pub wrapped_key: Vec<u8>,
    pub key_version: i64,
    /// The sealed client secret; empty where there is none.
    pub sealed_secret: Vec<u8>,
    pub secret_set_at: Option<Millis>,
    /// A client secret that will take the other's place once a refresh has proven it; sealed under a key of its own.
    pub next_wrapped_key: Vec<u8>,
    pub next_key_version: i64,
    pub next_sealed: Vec<u8>,
    pub next_set_at: Option<Millis>,
    /// The provider refused it.
    pub next_refused_at: Option<Millis>,
    pub created_at: Millis,
    pub created_by: UserId,
    pub updated_at: Millis,
    pub revision: i64,
}

impl Provider {
    /// Whether a client secret waits to be proven.
    pub fn has_next(&self) -> bool {
        !self.next_sealed.is_empty()
    }

    pub fn drop_next(&mut self) {
        self.next_wrapped_key = Vec::new();
        self.next_key_version = 0;
        self.next_sealed = Vec::new();
        self.next_set_at = None;
        self.next_refused_at = None;
    }

    pub fn has_secret(&self) -> bool {
        !self.sealed_secret.is_empty()
    }
}
