//! The credential that is tested, as templates name its parts.
use super::super::catalogue::Catalogue;
use super::super::check::Check;
use super::super::fill::{fill, placeholders};
use super::super::service::Service;
use super::super::sql::bare;
use super::Why;
use crate::model::credential::CredentialType;
use crate::model::part;
use crate::secret::SecretBytes;
use std::collections::BTreeMap;
use url::Url;
use zeroize::Zeroizing;

/// One part of a credential's value.
pub struct Field {
    pub name: String,
    pub value: SecretBytes,
    pub is_secret: bool,
}

/// A credential with its value opened, for one test.
pub struct Subject {
    pub kind: CredentialType,
    pub fields: Vec<Field>,
}

/// What a user name is called, by the services.
const USER_NAMES: [&str; 13] = [
    "username",
    "user",
    "login",
    "account",
    "email",
    "client_id",
    "account_sid",
    "key_sid",
    "service_account",
    "public_key",
    "api_key",
    "access_key_id",
    "identifier",
];

impl Subject {
    /// Every secret part that is text.
    pub fn secrets(&self) -> impl Iterator<Item = Zeroizing<String>> {
        self.fields.iter().filter(|field| field.is_secret).filter_map(text)
    }

    /// Whether `shown` tells of a secret part: by [`part::tells`], or as something that somebody has masked.
    ///
    /// To be asked of a whole text: what was cut may have lost its second half, and the first is as bad.
    pub fn is_in(&self, shown: &str) -> bool {
        if part::is_masked(shown) {
            return true;
        }
        self.fields
            .iter()
            .filter(|field| field.is_secret && !self.is_user_name(field, shown))
            .filter_map(text)
            .any(|secret| part::tells(&secret, shown))
    }

    /// A user name is kept as a secret, and is what an account is called.
    fn is_user_name(&self, field: &Field, shown: &str) -> bool {
        let is_user = self.kind == CredentialType::Basic && field.name == "username";
        is_user && text(field).is_some_and(|user| user.as_str() == shown)
    }

    /// The field that a template's `{name}` means, without those that only `{token}` means.
    fn named(&self, name: &str) -> Option<&Field> {
        let key = |field: &&Field| field.name.eq_ignore_ascii_case(name);
        if let Some(exact) = self.fields.iter().find(key) {
            return Some(exact);
        }
        if self.kind == CredentialType::Basic && USER_NAMES.contains(&name) {
            return self.fields.iter().find(|field| field.name == "username");
        }
        let ending_in = |end: &str| {
            let mut ending = self.fields.iter().filter(|f| f.name.to_ascii_lowercase().ends_with(end));
            ending.next().filter(|_| ending.next().is_none())
        };
        // A field that a program would find as NAME_HOST cannot be: see the reserved names.
        if name.ends_with("host") {
            let server = self.fields.iter().find(|field| field.name.eq_ignore_ascii_case("server"));
            if let Some(server) = server.or_else(|| ending_in("_server")) {
                return Some(server);
            }
        }
        ending_in(&format!("_{}", name.to_ascii_lowercase()))
    }

    /// The field that is the key itself, where the other placeholders are `others`.
    fn token(&self, others: &[&str]) -> Option<&Field> {
        match self.kind {
            CredentialType::ApiKey | CredentialType::OAuth | CredentialType::File => self.fields.first(),
            CredentialType::Basic => self.fields.iter().find(|field| field.name == "password"),
            CredentialType::Custom => {
                let taken: Vec<_> = others
                    .iter()
                    .filter_map(|name| self.named(name))
                    .map(|field| field.name.as_str())
                    .collect();
                if let Some(token) = self.fields.iter().find(|f| f.name.eq_ignore_ascii_case("token")) {
                    // What is plain is shown to everybody: it is no key.
                    return Some(token).filter(|token| token.is_secret);
                }
                let mut left = self
                    .fields
                    .iter()
                    .filter(|field| field.is_secret && !taken.contains(&field.name.as_str()));
                left.next().filter(|_| left.next().is_none())
            }
        }
    }

    /// The place of the field that each of `placeholders` means, `token` among them; what nothing says is left out.
    pub fn meant_by<'a>(&self, placeholders: &[&'a str]) -> Vec<(&'a str, usize)> {
        let others: Vec<_> = placeholders.iter().copied().filter(|name| *name != "token").collect();
        let place = |field: &Field| self.fields.iter().position(|f| f.name == field.name);
        let meant = |name: &'a str| {
            let field = if name == "token" { self.token(&others) } else { self.named(name) };
            Some((name, field.and_then(place)?))
        };
        placeholders.iter().filter_map(|name| meant(name)).collect()
    }

    /// The field that a template's `{name}` means.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.named(name)
    }

    /// A part by its name, as text.
    pub fn part(&self, name: &str) -> Option<Zeroizing<String>> {
        self.named(name).and_then(text)
    }

    /// The key itself, as text, where nothing else of it is needed.
    pub(super) fn key(&self) -> Option<Zeroizing<String>> {
        self.token(&[]).and_then(text)
    }
}

fn text(field: &Field) -> Option<Zeroizing<String>> {
    field.value.expose(|bytes| std::str::from_utf8(bytes).ok().map(|text| Zeroizing::new(text.to_owned())))
}

/// The values of one test's placeholders.
pub(super) struct Values<'a> {
    service: &'a Service,
    subject: &'a Subject,
    others: Vec<&'a str>,
}

impl<'a> Values<'a> {
    pub fn of(service: &'a Service, check: &'a Check, subject: &'a Subject, templates: Vec<&'a str>) -> Self {
        let urls = check.url.iter().chain(&check.address).map(String::as_str);
        let headers = check.headers.values().map(String::as_str);
        let mut others: Vec<_> = urls.chain(headers).chain(templates).flat_map(placeholders).collect();
        others.retain(|name| *name != "token");
        Self { service, subject, others }
    }

    /// What `{name}` is. Fails where nothing of the credential and no default of the manifest says.
    fn value(&self, name: &str) -> Result<Zeroizing<String>, Why> {
        if name == "app_name" {
            return Ok(Zeroizing::new(concat!("unsaid/", env!("CARGO_PKG_VERSION")).to_owned()));
        }
        if name == "token" {
            let field = self
                .subject
                .token(&self.others)
                .ok_or("which of its fields is the key is not clear; call that one TOKEN")?;
            return text(field).ok_or_else(|| "its value is no text".into());
        }
        match self.subject.named(name) {
            Some(field) => text(field).ok_or_else(|| "its value is no text".into()),
            None => self.default(name).map(Zeroizing::new).ok_or_else(|| missing(name)),
        }
    }

    fn default(&self, name: &str) -> Option<String> {
        self.service.params.iter().find(|param| param.name == name)?.default.clone()
    }

    /// `template` with every placeholder filled in: for a header or a body, never for an address.
    pub fn text(&self, template: &str) -> Result<Zeroizing<String>, Why> {
        let mut filled = Zeroizing::new(String::new());
        let mut rest = template;
        while let Some((before, after)) = rest.split_once('{') {
            let Some((name, after)) = after.split_once('}') else { break };
            filled.push_str(before);
            filled.push_str(&self.value(name)?);
            rest = after;
        }
        filled.push_str(rest);
        Ok(filled)
    }

    /// The address that `template` becomes: a host from plain fields and defaults alone.
    pub fn address(&self, template: &str) -> Result<Url, Why> {
        let host = template.strip_prefix("https://").unwrap_or_default();
        let host = host.split(['/', '?', '#']).next().unwrap_or_default();
        let mut params = BTreeMap::new();
        for name in placeholders(template) {
            let is_host = placeholders(host).contains(&name);
            if is_host && !self.is_plain(name) {
                return Err(format!("{name} is part of its address: keep it as a plain field").into());
            }
            params.insert(name.to_owned(), self.value(name)?.to_string());
        }
        let filled = fill(template, &params).map_err(|_| "a parameter of its address does not fit")?;
        Url::parse(&filled).map_err(|_| "its address cannot be used".into())
    }

    /// `host:port` that `template` becomes, for what is no HTTP.
    pub fn host_and_port(&self, template: &str) -> Result<(String, u16), Why> {
        let (host, port) = template.rsplit_once(':').ok_or("its manifest names no port")?;
        if placeholders(host).iter().any(|name| !self.is_plain(name)) {
            return Err("its host is no plain field".into());
        }
        let port = self.text(port)?.trim().parse().map_err(|_| "its port is no number")?;
        Ok((bare(&self.text(host)?)?, port))
    }

    fn is_plain(&self, name: &str) -> bool {
        name != "token" && self.subject.named(name).is_none_or(|field| !field.is_secret)
    }
}

pub(super) fn missing(name: &str) -> Why {
    let field = field_for(name);
    format!("its {name} is not known; keep it as a plain field {field} of type custom beside the key").into()
}

/// Whether a plain field of that name decides which host a value of `service` is sent to; where that is none of the
/// catalogue, a value of any service.
pub fn says_where(catalogue: &Catalogue, service: &str, field: &str) -> bool {
    let field = field.to_ascii_lowercase();
    if ["server", "host", "domain", "url", "endpoint"].iter().any(|word| field.ends_with(word)) {
        return true;
    }
    let has_it = |service: &Service| {
        let checks = service.verify.iter().chain(&service.verify_alternatives);
        let addresses = checks.flat_map(|check| check.url.iter().chain(&check.address)).cloned();
        let base = service.broker().map(|preset| preset.base_url);
        addresses.chain(base).any(|template| {
            let host = template.split_once("//").map_or(template.as_str(), |(_, rest)| rest);
            let host = host.split(['/', '?', '#']).next().unwrap_or_default();
            placeholders(host).iter().any(|name| field == *name || field.ends_with(&format!("_{name}")))
        })
    };
    match catalogue.find_service(service) {
        Some(service) => has_it(&service),
        None => catalogue.services().any(|service| has_it(service)),
    }
}

/// What the field is called that says the parameter `name`: a program could never be given one called a host.
pub fn field_for(name: &str) -> String {
    if name.ends_with("host") { "SERVER".to_owned() } else { name.to_ascii_uppercase() }
}
