//! An authorisation server as its manifest describes it: what a provider of our own starts from.
use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An OAuth 2 authorisation server, as far as a client must know it.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OauthPreset {
    pub authorization_url: String,
    pub token_url: String,
    /// Only where it differs from `token_url`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revocation_url: Option<String>,
    /// How to revoke where it is not as RFC 7009 says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revocation_style: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub introspection_url: Option<String>,
    /// How to introspect where it is not as RFC 7662 says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub introspection_style: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub userinfo_url: Option<String>,
    /// Where it is not GET.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub userinfo_method: Option<String>,
    /// The Authorization header where it is not `Bearer {token}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub userinfo_auth: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_authorization_url: Option<String>,
    /// RFC 8414 or OpenID Connect discovery.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub discovery_url: Option<String>,
    /// JSON pointer to the account in the userinfo answer (RFC 6901).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account_id_path: Option<String>,
    /// Which answer `account_id_path` points into, where it is not the userinfo one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account_id_from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope_separator: Option<String>,
    /// The scope that asks for a refresh token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offline_scope: Option<String>,
    /// Always S256. Absent: unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pkce: Option<Pkce>,
    pub client_auth: ClientAuth,
    pub token_body: TokenBody,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_token_behaviour: Option<RefreshBehaviour>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_token_lifetime_s: Option<u64>,
    /// How long a refresh token lives without being used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_token_lifetime_s: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notes: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub extra_authorize_params: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub token_extra_params: BTreeMap<String, String>,
    /// The common ones, not all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<Scope>,
}

impl OauthPreset {
    /// Every address, with its field.
    pub fn addresses(&self) -> Vec<(&'static str, &str)> {
        let optional = [
            ("refresh_url", &self.refresh_url),
            ("revocation_url", &self.revocation_url),
            ("introspection_url", &self.introspection_url),
            ("userinfo_url", &self.userinfo_url),
            ("device_authorization_url", &self.device_authorization_url),
            ("discovery_url", &self.discovery_url),
        ];
        [("authorization_url", self.authorization_url.as_str()), ("token_url", self.token_url.as_str())]
            .into_iter()
            .chain(optional.into_iter().filter_map(|(field, url)| Some((field, url.as_deref()?))))
            .collect()
    }
}

#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scope {
    pub scope: String,
    pub meaning: String,
    pub risk: Risk,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Risk {
    Read,
    Write,
    Admin,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Pkce {
    Supported,
    Required,
    No,
}

/// Where the client id and secret go in a token request (RFC 6749 §2.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuth {
    Basic,
    Post,
    Both,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TokenBody {
    Form,
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RefreshBehaviour {
    /// There is no refresh token.
    None,
    /// The same value stays.
    Reusable,
    /// Save the new one from every answer and never refresh twice at once.
    Rotating,
}

/// The three addresses of OAuth 1.0a (RFC 5849).
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Oauth1 {
    pub request_url: String,
    pub authorization_url: String,
    pub token_url: String,
    pub signature_method: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub extra_authorize_params: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notes: Option<String>,
}

/// The sentence to show when `scopes` would bring an access token that nobody can renew.
///
/// Nothing is said where the service gives no refresh token at all, or gives one without a scope for it.
pub fn offline_access_missing(preset: &OauthPreset, scopes: &[impl AsRef<str>]) -> Option<String> {
    let wanted = preset.offline_scope.as_deref()?;
    if preset.refresh_token_behaviour == Some(RefreshBehaviour::None)
        || scopes.iter().any(|s| s.as_ref() == wanted)
    {
        return None;
    }
    let life = match preset.access_token_lifetime_s {
        Some(seconds) => format!("after {}", in_words(seconds)),
        None => "when its access token runs out".to_owned(),
    };
    Some(format!(
        "Without the scope {wanted} there is no refresh token, so a person must connect again {life}."
    ))
}

fn in_words(seconds: u64) -> String {
    let (count, unit) = match seconds {
        s if s >= 172_800 => (s / 86_400, "day"),
        s if s >= 3_600 => (s / 3_600, "hour"),
        s => (s.div_ceil(60), "minute"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use crate::services::catalogue::Catalogue;

    use super::*;

    #[test]
    fn scopes_without_offline_access_are_warned_about_and_only_those() {
        let microsoft = Catalogue::embedded().oauth_preset("microsoft").expect("Microsoft has OAuth");

        let warning = offline_access_missing(microsoft, &["openid"]).expect("offline_access is missing");
        assert!(warning.contains("offline_access"), "{warning}");
        assert_eq!(offline_access_missing(microsoft, &["openid", "offline_access"]), None);
    }

    #[test]
    fn a_service_that_never_refreshes_is_not_warned_about() {
        let github = Catalogue::embedded().oauth_preset("github").expect("GitHub has OAuth");

        assert_eq!(offline_access_missing(github, &["repo"]), None);
    }
}
