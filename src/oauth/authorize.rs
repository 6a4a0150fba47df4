//! The way to the consent page and back (RFC 6749 §4.1, RFC 7636, RFC 8707, RFC 9207).
use super::ask::Quirks;
use crate::error::{Result, internal};
use crate::secret::unguessable;
use data_encoding::BASE64URL_NOPAD;
use sha2::{Digest, Sha256};
use url::Url;
use zeroize::Zeroizing;

/// A verifier with its challenge. Always S256: `plain` protects against nothing (RFC 7636 §7.2).
pub struct Challenge {
    pub verifier: Zeroizing<String>,
    pub challenge: String,
}

impl Challenge {
    pub fn fresh() -> Result<Self> {
        Ok(Self::of(Zeroizing::new(unguessable()?)))
    }

    pub fn of(verifier: Zeroizing<String>) -> Self {
        let challenge = BASE64URL_NOPAD.encode(&Sha256::digest(verifier.as_bytes()));
        Self { verifier, challenge }
    }
}

/// The address of the consent page for one request.
pub struct AskConsent<'a> {
    pub client_id: &'a str,
    pub redirect_uri: &'a str,
    pub scopes: &'a [String],
    pub state: &'a str,
    pub challenge: &'a str,
    pub resource: &'a str,
    /// The provider knows OpenID Connect: who consented can be asked for again.
    pub login_hint: &'a str,
}

/// Fails with `internal` where the stored address is none, which is checked when it is stored.
pub fn authorization_url(endpoint: &str, ask: &AskConsent<'_>, quirks: &Quirks) -> Result<Url> {
    let mut url = Url::parse(endpoint).map_err(|_| internal("a stored address is none"))?;
    // What the address has of its own, and what we say ourselves, is not said twice (RFC 6749 §3.1).
    let ours = |name: &str| {
        matches!(
            name,
            "response_type"
                | "client_id"
                | "redirect_uri"
                | "scope"
                | "state"
                | "code_challenge"
                | "code_challenge_method"
                | "resource"
        )
    };
    let kept: Vec<(String, String)> =
        url.query_pairs().map(|(n, v)| (n.into_owned(), v.into_owned())).filter(|(n, _)| !ours(n)).collect();
    {
        let mut query = url.query_pairs_mut();
        query.clear();
        query.append_pair("response_type", "code");
        query.append_pair("client_id", ask.client_id);
        query.append_pair("redirect_uri", ask.redirect_uri);
        if !ask.scopes.is_empty() {
            query.append_pair("scope", &ask.scopes.join(quirks.separator()));
        }
        query.append_pair("state", ask.state);
        query.append_pair("code_challenge", ask.challenge);
        query.append_pair("code_challenge_method", "S256");
        if !ask.resource.is_empty() {
            query.append_pair("resource", ask.resource);
        }
        if !ask.login_hint.is_empty() {
            query.append_pair("login_hint", ask.login_hint);
        }
        for (name, value) in kept {
            query.append_pair(&name, &value);
        }
        for (name, value) in quirks.authorize.iter().filter(|(name, _)| !ours(name)) {
            query.append_pair(name, value);
        }
    }
    Ok(url)
}

/// What the browser brought back, each parameter at most once.
#[derive(Default)]
pub struct Returned {
    pub state: String,
    pub code: Option<Zeroizing<String>>,
    pub iss: Option<String>,
    /// One of the words of RFC 6749 §4.1.2.1, or `other`: what a provider writes there is shown to nobody.
    pub error: Option<&'static str>,
}

/// Reads the query of the callback. `None` where a parameter is there twice or is longer than any can be.
pub fn returned(query: &str) -> Option<Returned> {
    if query.len() > 8192 {
        return None;
    }
    let mut found = Returned::default();
    let mut seen = Vec::new();
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        if !matches!(&*name, "state" | "code" | "iss" | "error") {
            continue;
        }
        if seen.contains(&name) || value.len() > 4096 {
            return None;
        }
        match &*name {
            "state" => found.state = value.into_owned(),
            "code" => found.code = Some(Zeroizing::new(value.into_owned())),
            "iss" => found.iss = Some(value.into_owned()),
            _ => found.error = Some(consent_error(&value)),
        }
        seen.push(name);
    }
    Some(found)
}

fn consent_error(word: &str) -> &'static str {
    const KNOWN: [&str; 12] = [
        "access_denied",
        "invalid_request",
        "unauthorized_client",
        "unsupported_response_type",
        "invalid_scope",
        "server_error",
        "temporarily_unavailable",
        "login_required",
        "consent_required",
        "interaction_required",
        "account_selection_required",
        "invalid_target",
    ];
    KNOWN.iter().find(|known| **known == word).copied().unwrap_or("other")
}
