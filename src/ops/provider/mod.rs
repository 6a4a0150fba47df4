//! An org's OAuth clients: which service, which addresses, which scopes. Configuration only; the flow comes later.
//!
//! The client secret never comes in by an argument: a person enters it on a page, or at `unsaid provider secret NAME`.
//! It is sealed to the addresses as they are then, so a re-pointed provider cannot have it.
mod change;
mod create;
mod delete;
mod discover;
mod endpoints;
mod list;
mod register;
mod secret;
#[cfg(test)]
mod tests;

pub use change::UpdateOauthProvider;
pub use create::CreateOauthProvider;
pub use delete::{DeleteOauthProvider, DeletedProvider};
pub use discover::{Discovered, discover};
pub use endpoints::{GivenEndpoints, distinct_hosts, domain_warning, hosts, is_same_domain};
pub use list::{ListOauthProviders, ProviderList};
pub use secret::{FIELD as SECRET_FIELD, key_context, set_secret};
pub(in crate::ops) use secret::{next_context, open_next, prove_next, set_secret_by_link};

use crate::app::App;
use crate::clock::Millis;
use crate::error::{Result, invalid};
use crate::ids::ProviderId;
use crate::model::connection::GrantKind;
use crate::model::entry::EntryPurpose;
use crate::model::provider::{ClientAuth, Endpoints, Provider};
use crate::model::text::clean;
use crate::ops::entry::Offer;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use url::{Host, Url};

/// Where a local server takes the answer of an authorisation.
pub const LOCAL_CALLBACK: &str = "http://127.0.0.1:8740/oauth/callback";

/// The callback that is this process's own, as [`parse_callback`] writes it: any other is somebody else's, and is taken
/// on a person's word alone.
fn own_callback(app: &App) -> String {
    let own = app.callback().unwrap_or_else(|| LOCAL_CALLBACK.to_owned());
    Url::parse(&own).map_or(own, String::from)
}

/// The same with a path for each provider, so that the answer of one is never taken for another's (O-13).
fn callback_of(app: &App, name: &str) -> String {
    format!("{}/{name}", own_callback(app))
}

/// A provider. Members see name, service and scopes; admins and auditors the rest.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ProviderRow {
    pub id: ProviderId,
    pub name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub service: String,
    pub scopes: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub setup: Option<ProviderSetup>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline)]
pub struct ProviderSetup {
    pub client_id: String,
    pub client_auth: ClientAuth,
    pub endpoints: Endpoints,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, String>,
    /// To paste into the service's page.
    pub callback_url: String,
    pub grant: GrantKind,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub issuer: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub resource: String,
    /// The addresses are the catalogue's.
    pub is_preset: bool,
    pub has_secret: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_set_at: Option<Millis>,
    /// A newer client secret waits for a refresh to prove it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_secret: Option<NextSecret>,
}

/// `waiting`, or `refused` by the provider; then the one before still serves.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline)]
pub struct NextSecret {
    pub state: &'static str,
    pub set_at: Millis,
}

/// A provider with what its maker should know.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ProviderAnswer {
    pub provider: ProviderRow,
    pub warnings: Vec<String>,
    /// What to do now, in order.
    pub next: Vec<String>,
    /// Where an admin enters the client secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entry: Option<Offer>,
}

/// The client secret of the provider that `answer` is about, where it has none and wants one.
fn wants_secret(answer: &Value) -> Option<(EntryPurpose, String)> {
    let provider = answer.get("provider")?;
    let setup = provider.get("setup")?;
    let wants = setup.get("has_secret")? == false && setup.get("client_auth")? != "none";
    wants.then_some((EntryPurpose::ClientSecret, provider.get("id")?.as_str()?.to_owned()))
}

impl ProviderRow {
    fn of(p: &Provider, with_setup: bool) -> Self {
        Self {
            id: p.id.clone(),
            name: p.name.clone(),
            service: p.service.clone(),
            scopes: p.scopes.clone(),
            setup: with_setup.then(|| ProviderSetup {
                client_id: p.client_id.clone(),
                client_auth: p.client_auth,
                endpoints: p.endpoints.clone(),
                params: p.params.iter().cloned().collect(),
                callback_url: p.callback_url.clone(),
                grant: p.grant_kind,
                issuer: p.issuer.clone(),
                resource: p.resource.clone(),
                is_preset: p.is_preset,
                has_secret: p.has_secret(),
                secret_set_at: p.secret_set_at,
                next_secret: p.next_set_at.map(|set_at| NextSecret {
                    state: if p.next_refused_at.is_some() { "refused" } else { "waiting" },
                    set_at,
                }),
            }),
        }
    }
}

/// What is left to do by hand.
fn next_steps(p: &Provider) -> Vec<String> {
    let mut next = match p.grant_kind {
        GrantKind::ClientCredentials => Vec::new(),
        _ => vec![format!(
            "Paste the callback URL {} into the client's settings at the service.",
            p.callback_url
        )],
    };
    if p.client_auth != ClientAuth::None && !p.has_secret() {
        next.push(format!(
            "Ask the person to run `unsaid provider secret {}` in a terminal and enter the client secret there, never \
             in the chat.",
            p.name
        ));
    }
    next
}

/// A provider's name: 1 to 64 of `a-z 0-9 . _ -`, so that it is never taken for an id.
fn parse_name(text: &str) -> Result<String> {
    let name = text.trim();
    let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let fits = (1..=64).contains(&name.len())
        && good(name.as_bytes()[0])
        && name.bytes().all(|b| good(b) || b"._-".contains(&b));
    match fits {
        true => Ok(name.to_owned()),
        false => Err(invalid(
            "a provider's name is lower-case letters, digits and . _ -, as github or github-work",
        )),
    }
}

/// Scope tokens (RFC 6749 §3.3), each once.
pub(in crate::ops) fn parse_scopes(scopes: &[String]) -> Result<Vec<String>> {
    let fits = |s: &str| {
        (1..=200).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\')
    };
    let mut kept: Vec<String> = Vec::new();
    for scope in scopes {
        if !fits(scope) {
            return Err(invalid("a scope is 1 to 200 visible characters without space or quotation marks"));
        }
        if !kept.contains(scope) {
            kept.push(scope.clone());
        }
    }
    match kept.len() {
        0..=100 => Ok(kept),
        _ => Err(invalid("a provider has at most 100 scopes")),
    }
}

/// What tokens are for: an absolute address without fragment (RFC 8707 §2); empty for none.
fn parse_resource(text: &str) -> Result<String> {
    let text = text.trim();
    let refused =
        || invalid("resource is an absolute https address without fragment, as https://api.example.com/");
    if text.is_empty() {
        return Ok(String::new());
    }
    let url = Url::parse(text).map_err(|_| refused())?;
    match url.scheme() == "https"
        && url.fragment().is_none()
        && text.len() <= 500
        && url.username().is_empty()
    {
        true => Ok(url.into()),
        false => Err(refused()),
    }
}

/// A client id is public; it is some visible characters (RFC 6749 appendix A.1).
fn parse_client_id(text: &str) -> Result<String> {
    let id = clean(text);
    match (1..=500).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic()) {
        true => Ok(id),
        false => Err(invalid("a client id is 1 to 500 visible characters")),
    }
}

/// Where the browser comes back to: an https address, or http on this machine (RFC 8252 §7.3).
fn parse_callback(text: &str) -> Result<String> {
    let refused = || {
        invalid("a callback is an https address, or http on 127.0.0.1 or localhost, without fragment or user")
    };
    let url = Url::parse(text.trim()).map_err(|_| refused())?;
    let is_local = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    };
    let fits = (url.scheme() == "https" || url.scheme() == "http" && is_local)
        && url.username().is_empty()
        && url.password().is_none()
        && url.fragment().is_none()
        && url.as_str().len() <= 500;
    if fits { Ok(url.into()) } else { Err(refused()) }
}
