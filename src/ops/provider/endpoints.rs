//! The addresses of a provider: filled from a preset, or a person's own; what may stand in one; who must say yes.
use crate::error::{Code, Error, Result, invalid};
use crate::model::provider::{ClientAuth, Endpoints};
use crate::services::fill::placeholders;
use crate::services::preset::ClientAuth as PresetAuth;
use crate::services::{OauthPreset, Service, fill, offline_access_missing};
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;
use url::Url;

/// Endings of names that no public server has.
const LOCAL_NAMES: [&str; 9] =
    ["localhost", "local", "internal", "intranet", "lan", "home", "corp", "test", "home.arpa"];

/// Addresses as a caller gives them: an empty one is taken away, one that is not there stays as it is.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[schemars(inline)]
#[serde(deny_unknown_fields)]
pub struct GivenEndpoints {
    #[schemars(length(max = 500))]
    pub authorization_url: Option<String>,
    #[schemars(length(max = 500))]
    pub token_url: Option<String>,
    #[schemars(length(max = 500))]
    pub revocation_url: Option<String>,
    #[schemars(length(max = 500))]
    pub userinfo_url: Option<String>,
    #[schemars(length(max = 500))]
    pub device_authorization_url: Option<String>,
}

impl GivenEndpoints {
    /// `own`, with what is given in its place.
    pub(super) fn over(&self, mut own: Endpoints) -> Endpoints {
        let given = [
            &self.authorization_url,
            &self.token_url,
            &self.revocation_url,
            &self.userinfo_url,
            &self.device_authorization_url,
        ];
        for ((_, slot), given) in slots(&mut own).into_iter().zip(given) {
            if let Some(url) = given {
                slot.clone_from(url);
            }
        }
        own
    }
}

/// The addresses with what is to be said about them.
#[derive(Debug)]
pub(super) struct Resolved {
    pub endpoints: Endpoints,
    /// All of it the catalogue's.
    pub is_preset: bool,
    /// The caller chose where the secret goes: a person must agree.
    pub needs_person: bool,
    /// Only the parameters that the addresses use.
    pub params: Vec<(String, String)>,
    pub client_auth: ClientAuth,
}

impl Resolved {
    /// Of an issuer that nobody has agreed to ask yet.
    pub fn unknown() -> Self {
        Self {
            endpoints: Endpoints::default(),
            is_preset: false,
            needs_person: true,
            params: Vec::new(),
            client_auth: ClientAuth::Basic,
        }
    }
}

fn slots(e: &mut Endpoints) -> [(&'static str, &mut String); 5] {
    [
        ("authorization_url", &mut e.authorization_url),
        ("token_url", &mut e.token_url),
        ("revocation_url", &mut e.revocation_url),
        ("userinfo_url", &mut e.userinfo_url),
        ("device_authorization_url", &mut e.device_authorization_url),
    ]
}

/// Every address that is set, with its name.
pub(super) fn addresses(e: &Endpoints) -> Vec<(&'static str, String)> {
    let mut e = e.clone();
    let set = |(name, url): (&'static str, &mut String)| (name, std::mem::take(url));
    slots(&mut e).map(set).into_iter().filter(|(_, url)| !url.is_empty()).collect()
}

/// What else decides which addresses will do.
pub(super) struct Terms<'a> {
    /// Hosts outside the public network that the configuration names.
    pub allow: &'a [String],
    /// A person consents, so that there must be a page for it.
    pub asks_person: bool,
}

/// The addresses of `service`'s preset with `params`, replaced where `own` says otherwise.
///
/// Fails with `invalid_input` where a parameter is missing, an address is not fit, or there is no token address.
pub(super) fn resolve(
    service: Option<&Service>,
    client_id: &str,
    params: &BTreeMap<String, String>,
    own: &Endpoints,
    terms: &Terms<'_>,
) -> Result<Resolved> {
    let preset = service.and_then(|s| s.oauth.as_ref());
    let mut resolved = match (service, preset) {
        (Some(service), Some(preset)) => from_preset(service, preset, client_id, params, terms)?,
        _ if !params.is_empty() => return Err(invalid("params are for a service with an OAuth preset")),
        _ => Resolved {
            endpoints: Endpoints::default(),
            is_preset: true,
            needs_person: false,
            params: Vec::new(),
            client_auth: ClientAuth::Basic,
        },
    };
    let mut own = own.clone();
    for ((name, slot), (_, own)) in slots(&mut resolved.endpoints).into_iter().zip(slots(&mut own)) {
        if own.is_empty() {
            continue;
        }
        let checked = check_address(name, own, terms.allow)?;
        if *slot != checked {
            *slot = checked;
            resolved.is_preset = false;
            resolved.needs_person = true;
        }
    }
    for needed in ["authorization_url", "token_url"] {
        if needed == "authorization_url" && !terms.asks_person {
            continue;
        }
        if !addresses(&resolved.endpoints).iter().any(|(name, _)| *name == needed) {
            return Err(invalid(format!("{needed} is missing")).next(
                "Name a service with an OAuth preset (list_services with oauth true), or give endpoints.",
            ));
        }
    }
    Ok(resolved)
}

fn from_preset(
    service: &Service,
    preset: &OauthPreset,
    client_id: &str,
    given: &BTreeMap<String, String>,
    terms: &Terms<'_>,
) -> Result<Resolved> {
    let templates = [
        Some(&preset.authorization_url),
        Some(&preset.token_url),
        preset.revocation_url.as_ref(),
        preset.userinfo_url.as_ref(),
        preset.device_authorization_url.as_ref(),
    ];
    let mut needed: Vec<&str> = Vec::new();
    for template in templates.iter().flatten() {
        for name in placeholders(template) {
            if name != "client_id" && !needed.contains(&name) {
                needed.push(name);
            }
        }
    }
    // An unknown name is the caller's own text, so the known ones are told instead.
    if given.keys().any(|name| !needed.contains(&name.as_str())) {
        let known = if needed.is_empty() { "none".to_owned() } else { needed.join(", ") };
        return Err(invalid(format!("params of {} are: {known}", service.id)));
    }
    let default =
        |name: &str| service.params.iter().find(|p| p.name == name).and_then(|p| p.default.as_ref());
    let mut values = BTreeMap::from([("client_id".to_owned(), client_id.to_owned())]);
    for name in &needed {
        let Some(value) = given.get(*name).or(default(name)) else {
            let param = service.params.iter().find(|p| p.name == *name);
            let (label, example) = param.map_or(("", ""), |p| (p.label.as_str(), p.example.as_str()));
            return Err(invalid(format!("{} needs the parameter {name}: {label}, as {example}", service.id))
                .next("Give it in params."));
        };
        values.insert((*name).to_owned(), value.clone());
    }
    let mut endpoints = Endpoints::default();
    let mut needs_person = false;
    for ((name, slot), template) in slots(&mut endpoints).into_iter().zip(templates) {
        if let Some(template) = template {
            *slot = check_address(name, &fill(template, &values)?, terms.allow)?;
            let chooses = |param: &&str| given.get(*param).is_some_and(|v| Some(v) != default(param));
            needs_person |= host_params(template).iter().any(chooses);
        }
    }
    let params = needed.iter().map(|name| ((*name).to_owned(), values[*name].clone())).collect();
    let client_auth = match preset.client_auth {
        PresetAuth::Basic | PresetAuth::Both => ClientAuth::Basic,
        PresetAuth::Post => ClientAuth::Post,
    };
    Ok(Resolved { endpoints, is_preset: true, needs_person, params, client_auth })
}

/// The parameters that decide whose server it is: in the host, and not below a domain of the vendor's.
fn host_params(template: &str) -> Vec<&str> {
    let rest = template.strip_prefix("https://").unwrap_or(template);
    let host = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    let fixed = host.rsplit('}').next().unwrap_or_default().trim_start_matches('.');
    if fixed.split('.').filter(|label| !label.is_empty()).count() >= 2 {
        Vec::new()
    } else {
        placeholders(host)
    }
}

/// `url` as it will be used, if a server of the public network may be there (O-03). The message does not repeat it.
///
/// A host that the configuration names (`allow`, as `idp.intranet:8443`) may be anywhere, by https all the same.
pub(super) fn check_address(name: &str, url: &str, allow: &[String]) -> Result<String> {
    let refused = |why: &str| invalid(format!("{name} {why}"));
    if url.len() > 500 || url.chars().any(|c| c.is_whitespace() || c.is_control() || c == '\\') {
        return Err(refused("is not an address of at most 500 characters"));
    }
    let parsed = Url::parse(url).map_err(|_| refused("is not an address"))?;
    if parsed.scheme() != "https" || !url.to_ascii_lowercase().starts_with("https://") {
        return Err(refused("must begin with https://"));
    }
    if !parsed.username().is_empty() || parsed.password().is_some() || authority(url).contains('@') {
        return Err(refused("must not name a user"));
    }
    if parsed.fragment().is_some() {
        return Err(refused("must not have a fragment"));
    }
    let named = format!(
        "{}:{}",
        parsed.host_str().unwrap_or_default(),
        parsed.port_or_known_default().unwrap_or(443)
    );
    if allow.iter().any(|allowed| allowed.eq_ignore_ascii_case(&named)) {
        return Ok(parsed.into());
    }
    if parsed.port().is_some() {
        return Err(refused("must use port 443"));
    }
    let Some(host) = parsed.domain() else {
        return Err(refused("must name its host, not an IP address"));
    };
    let host = host.trim_end_matches('.');
    let is_local = LOCAL_NAMES.iter().any(|local| host == *local || host.ends_with(&format!(".{local}")));
    if is_local || !host.contains('.') {
        return Err(refused("must name a host of the public network"));
    }
    Ok(parsed.into())
}

/// What stands between `//` and the path.
fn authority(url: &str) -> &str {
    let rest = url.split_once("//").map_or(url, |(_, rest)| rest);
    &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())]
}

/// A line for each address: what it is for, and its host.
pub fn hosts(e: &Endpoints) -> Vec<String> {
    addresses(e).iter().map(|(name, url)| format!("{name}: {}", host(url))).collect()
}

/// Each host once.
pub fn distinct_hosts(e: &Endpoints) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for (_, url) in addresses(e) {
        let host = host(&url);
        if !all.contains(&host) {
            all.push(host);
        }
    }
    all
}

pub(super) fn host(url: &str) -> String {
    Url::parse(url).ok().and_then(|u| u.host_str().map(str::to_owned)).unwrap_or_default()
}

/// The registrable domain of a host, by the Public Suffix List; the host itself where there is none.
fn registrable(host: &str) -> String {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    psl::domain_str(&host).unwrap_or(&host).to_owned()
}

/// Whether two addresses belong to one registrable domain.
pub fn is_same_domain(one: &str, other: &str) -> bool {
    let (one, other) = (host(one), host(other));
    !one.is_empty() && registrable(&one) == registrable(&other)
}

/// A warning where the hosts belong to different registrable domains.
pub fn domain_warning<'a>(hosts: impl Iterator<Item = &'a str>) -> Option<String> {
    let mut domains: Vec<String> = hosts.map(registrable).collect();
    domains.sort();
    domains.dedup();
    (domains.len() > 1).then(|| format!("The addresses belong to different domains: {}.", domains.join(", ")))
}

/// What a person should look at: addresses of different domains, names in another alphabet, no offline access.
pub(super) fn warnings(service: Option<&Service>, r: &Resolved, scopes: &[String]) -> Vec<String> {
    let mut warnings = Vec::new();
    if r.needs_person || !r.is_preset {
        let all = addresses(&r.endpoints);
        let hosts: Vec<_> = all.iter().map(|(_, url)| host(url)).collect();
        warnings.extend(domain_warning(hosts.iter().map(String::as_str)));
    }
    if addresses(&r.endpoints)
        .iter()
        .any(|(_, url)| host(url).split('.').any(|label| label.starts_with("xn--")))
    {
        warnings.push("A host name is in another alphabet (xn--…): compare it letter by letter.".to_owned());
    }
    if let Some(preset) = service.and_then(|s| s.oauth.as_ref()) {
        warnings.extend(offline_access_missing(preset, scopes));
    }
    warnings
}

/// The service, if one is named; `service_not_found` where it is not in the catalogue.
pub(super) fn service(
    catalogue: &crate::services::Catalogue,
    name: Option<&str>,
) -> Result<Option<std::sync::Arc<Service>>> {
    name.filter(|name| !name.is_empty()).map(|name| catalogue.service(name)).transpose()
}

/// Refuses what would make a second provider of this name.
pub(super) fn taken(name: &str) -> Error {
    Error::new(Code::AlreadyExists, format!("there is an OAuth provider {name} already"))
        .next("Choose another name, or change that one with update_oauth_provider.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn o_03_only_https_addresses_of_the_public_network_pass() {
        let bad = [
            "http://example.com/token",
            "https://user@example.com/token",
            "https://user:x@example.com/token",
            "https://@example.com/token",
            "https://127.0.0.1/token",
            "https://127.1/token",
            "https://0x7f.1/token",
            "https://2130706433/token",
            "https://[::1]/token",
            "https://10.0.0.1/token",
            "https://169.254.169.254/latest",
            "https://localhost/token",
            "https://a.localhost/token",
            "https://localhost./token",
            "https://vault.local/token",
            "https://metadata.google.internal/token",
            "https://printer.home.arpa/token",
            "https://intranet/token",
            "https://example.com:22/token",
            "https://example.com:8443/token",
            "https://example.com/token#x",
            "https://example.com\\@evil.example/token",
            "https://exa mple.com/token",
            "https:example.com/token",
            "javascript:alert(1)",
            "file:///etc/passwd",
            "//example.com/token",
            "",
        ];
        for url in bad {
            let refused = check_address("token_url", url, &[]).unwrap_err();
            assert_eq!(refused.code, Code::InvalidInput, "{url}");
            assert!(url.is_empty() || !refused.message().contains(url));
        }
        assert!(
            check_address("token_url", &format!("https://example.com/{}", "a".repeat(500)), &[]).is_err()
        );
        for good in
            ["https://example.com/token", "https://example.com:443/t?x=1", "https://ÜBER.example/token"]
        {
            assert!(check_address("token_url", good, &[]).is_ok(), "{good}");
        }
    }

    #[test]
    fn every_oauth_preset_of_the_catalogue_resolves_with_the_examples_of_its_parameters() {
        let mut count = 0;
        for service in crate::services::Catalogue::embedded().services() {
            let Some(preset) = &service.oauth else { continue };
            let all =
                [&preset.authorization_url, &preset.token_url].into_iter().chain(&preset.revocation_url);
            let all = all.chain(&preset.userinfo_url).chain(&preset.device_authorization_url);
            let used: Vec<&str> = all.flat_map(|t| placeholders(t)).collect();
            let params = service
                .params
                .iter()
                .filter(|p| used.contains(&p.name.as_str()))
                .map(|p| (p.name.clone(), p.default.clone().unwrap_or_else(|| p.example.clone())))
                .collect();

            let resolved = resolve(
                Some(service),
                "abc",
                &params,
                &Endpoints::default(),
                &Terms { allow: &[], asks_person: true },
            );

            let resolved = resolved.unwrap_or_else(|e| panic!("{}: {e}", service.id));
            assert!(resolved.is_preset, "{}", service.id);
            count += 1;
        }
        assert!(count > 40, "{count}");
    }

    #[test]
    fn o_01_a_parameter_that_names_the_whole_host_needs_a_person_and_one_below_the_vendor_s_does_not() {
        assert_eq!(host_params("https://{host}/oauth/token"), ["host"]);
        assert_eq!(host_params("https://api.{site}/token"), ["site"]);
        assert!(host_params("https://{shop}.myshopify.com/admin/oauth").is_empty());
        assert!(host_params("https://login.example.com/{tenant}/token").is_empty());
    }

    #[test]
    fn domains_are_told_apart_as_the_public_suffix_list_says() {
        assert_eq!(registrable("accounts.google.com"), "google.com");
        // Anybody has one of these: they are not one owner's.
        assert_ne!(registrable("a.github.io"), registrable("b.github.io"));
        assert_eq!(registrable("login.example.co.uk"), "example.co.uk");
        assert_ne!(registrable("github.com.evil.example"), registrable("github.com"));
    }
}
