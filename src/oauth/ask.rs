//! What is sent to a token, device or revocation endpoint, and how the client proves itself there.
use crate::model::provider::ClientAuth;
use crate::secret::SecretBytes;
use crate::services::preset::{OauthPreset, TokenBody};
use crate::services::wire::Ask;
use data_encoding::BASE64;
use std::collections::BTreeMap;
use url::Url;
use zeroize::Zeroizing;

/// The client as the token endpoint knows it. The secret is here for one request and goes nowhere else.
pub struct Client {
    pub id: String,
    pub auth: ClientAuth,
    pub secret: Option<SecretBytes>,
}

/// How a provider differs from the specifications, as the catalogue says.
#[derive(Clone, Debug, Default)]
pub struct Quirks {
    separator: Option<String>,
    pub authorize: BTreeMap<String, String>,
    token: BTreeMap<String, String>,
    is_json: bool,
}

impl Quirks {
    pub fn of(preset: Option<&OauthPreset>) -> Self {
        preset.map_or_else(Self::default, |p| Self {
            separator: p.scope_separator.clone(),
            authorize: p.extra_authorize_params.clone(),
            token: p.token_extra_params.clone(),
            is_json: p.token_body == TokenBody::Json,
        })
    }

    /// What stands between scopes: a space (RFC 6749 §3.3), or what the catalogue says.
    pub fn separator(&self) -> &str {
        self.separator.as_deref().filter(|s| !s.is_empty()).unwrap_or(" ")
    }
}

/// What is asked of the token endpoint.
pub enum Grant<'a> {
    /// RFC 6749 §4.1.3 with RFC 7636 §4.5.
    Code { code: &'a str, redirect_uri: &'a str, verifier: &'a str },
    /// RFC 6749 §6.
    Refresh { token: &'a SecretBytes },
    /// RFC 6749 §4.4.2.
    Client { scopes: &'a [String] },
    /// RFC 8628 §3.4.
    Device { device_code: &'a SecretBytes },
}

type Fields = Vec<(String, Zeroizing<String>)>;

fn text(bytes: &SecretBytes) -> Zeroizing<String> {
    bytes.expose(|bytes| Zeroizing::new(String::from_utf8_lossy(bytes).into_owned()))
}

/// The request for tokens at `url`.
pub fn token_form(url: &Url, client: &Client, grant: &Grant<'_>, resource: &str, quirks: &Quirks) -> Ask {
    let mut fields: Fields = Vec::new();
    let mut put = |name: &str, value: Zeroizing<String>| fields.push((name.to_owned(), value));
    let plain = |text: &str| Zeroizing::new(text.to_owned());
    match grant {
        Grant::Code { code, redirect_uri, verifier } => {
            put("grant_type", plain("authorization_code"));
            put("code", plain(code));
            put("redirect_uri", plain(redirect_uri));
            put("code_verifier", plain(verifier));
        }
        Grant::Refresh { token } => {
            put("grant_type", plain("refresh_token"));
            put("refresh_token", text(token));
        }
        Grant::Client { scopes } => {
            put("grant_type", plain("client_credentials"));
            if !scopes.is_empty() {
                put("scope", Zeroizing::new(scopes.join(quirks.separator())));
            }
        }
        Grant::Device { device_code } => {
            put("grant_type", plain("urn:ietf:params:oauth:grant-type:device_code"));
            put("device_code", text(device_code));
        }
    }
    if !resource.is_empty() {
        put("resource", plain(resource));
    }
    for (name, value) in &quirks.token {
        put(name, plain(value));
    }
    proven(url, client, fields, quirks)
}

/// The request that begins a device grant (RFC 8628 §3.1).
pub fn device_form(url: &Url, client: &Client, scopes: &[String], resource: &str, quirks: &Quirks) -> Ask {
    let mut fields: Fields = Vec::new();
    if !scopes.is_empty() {
        fields.push(("scope".into(), Zeroizing::new(scopes.join(quirks.separator()))));
    }
    if !resource.is_empty() {
        fields.push(("resource".into(), Zeroizing::new(resource.to_owned())));
    }
    proven(url, client, fields, &Quirks { is_json: false, ..quirks.clone() })
}

/// The request that ends a token (RFC 7009 §2.1). `hint`: `refresh_token` or `access_token`.
pub fn revocation(url: &Url, client: &Client, token: &SecretBytes, hint: &str) -> Ask {
    let fields = vec![
        ("token".to_owned(), text(token)),
        ("token_type_hint".to_owned(), Zeroizing::new(hint.to_owned())),
    ];
    proven(url, client, fields, &Quirks::default())
}

/// Adds how the client proves itself (RFC 6749 §2.3.1). One way, never two.
fn proven(url: &Url, client: &Client, mut fields: Fields, quirks: &Quirks) -> Ask {
    let mut headers = vec![("accept", Zeroizing::new("application/json".to_owned()))];
    match (client.auth, &client.secret) {
        (ClientAuth::Basic, Some(secret)) => {
            // Both are form-encoded before they are joined, whatever characters they hold.
            let pair = Zeroizing::new(format!("{}:{}", *encoded(&client.id), *encoded(&text(secret))));
            headers
                .push(("authorization", Zeroizing::new(format!("Basic {}", BASE64.encode(pair.as_bytes())))));
        }
        (ClientAuth::Post, Some(secret)) => {
            fields.push(("client_id".into(), Zeroizing::new(client.id.clone())));
            fields.push(("client_secret".into(), text(secret)));
        }
        _ => fields.push(("client_id".into(), Zeroizing::new(client.id.clone()))),
    }
    let (kind, body) = match quirks.is_json {
        true => ("application/json", json(&fields)),
        false => ("application/x-www-form-urlencoded", form(&fields)),
    };
    Ask::post(url.clone(), headers, kind, body)
}

fn encoded(text: &str) -> Zeroizing<String> {
    Zeroizing::new(url::form_urlencoded::byte_serialize(text.as_bytes()).collect())
}

fn form(fields: &Fields) -> Zeroizing<Vec<u8>> {
    // Room for all of it from the start: growing would leave copies behind.
    let most: usize = fields.iter().map(|(name, value)| 3 * (name.len() + value.len()) + 2).sum();
    let mut body = Zeroizing::new(Vec::with_capacity(most));
    for (name, value) in fields {
        if !body.is_empty() {
            body.push(b'&');
        }
        body.extend_from_slice(encoded(name).as_bytes());
        body.push(b'=');
        body.extend_from_slice(encoded(value).as_bytes());
    }
    body
}

fn json(fields: &Fields) -> Zeroizing<Vec<u8>> {
    let most: usize = fields.iter().map(|(name, value)| 6 * (name.len() + value.len()) + 8).sum();
    let mut body = Zeroizing::new(Vec::with_capacity(most + 2));
    let object: BTreeMap<&str, &str> = fields.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    // Texts alone: this cannot fail, and an empty body would only be refused.
    let _ = serde_json::to_writer(&mut *body, &object);
    body
}
