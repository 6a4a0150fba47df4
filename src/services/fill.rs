//! Puts a person's parameters into an address of a manifest, so that they can only land where they belong.
//!
//! A parameter in the host position must be a bare host name: no scheme, no path, no user, no IP address. Anywhere
//! else it is percent-encoded. Which address the name resolves to is for the client to check when it connects.
use std::collections::BTreeMap;

use url::Url;

use super::service::{Param, Service};
use crate::error::{Result, invalid};
use crate::model::suspicion::{Kind, PLAIN};
use crate::model::text::may_be_a_value;

/// The address that `template` becomes with `params`; `{name}` is replaced by the parameter of that name.
///
/// Fails with `invalid_input` when a parameter is missing, when a host is not a bare host name (a port may follow
/// where the whole host is a parameter), or when the result is not an https address of the intended host.
pub fn fill(template: &str, params: &BTreeMap<String, String>) -> Result<String> {
    let rest =
        template.strip_prefix("https://").ok_or_else(|| invalid("an address must begin with https://"))?;
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));

    let host = replace(authority, params, &|name, value| bare_host(name, value))?;
    // The path a person names may have several segments; everything else stays within one.
    let path = replace(path, params, &|name, value| encode(name, value, name == "path"))?;

    let filled = format!("https://{host}{path}");
    let parsed = Url::parse(&filled).map_err(|_| invalid("the parameters do not make an address"))?;
    let plain = parsed.username().is_empty() && parsed.password().is_none();
    let name = host.split(':').next().unwrap_or_default();
    if plain && parsed.domain().is_some_and(|domain| domain.eq_ignore_ascii_case(name)) {
        Ok(filled)
    } else {
        Err(invalid("the parameters lead to another host than the one intended"))
    }
}

/// The names of the parameters in `template`, in order of appearance, each once.
pub fn placeholders(template: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let mut rest = template;
    while let Some((name, after)) = next_placeholder(rest).map(|(_, name, after)| (name, after)) {
        if !names.contains(&name) {
            names.push(name);
        }
        rest = after;
    }
    names
}

impl Service {
    /// `fill`, where a parameter that was not given has the default of this manifest.
    pub fn fill(&self, template: &str, given: &BTreeMap<String, String>) -> Result<String> {
        let default = |param: &Param| Some((param.name.clone(), param.default.clone()?));
        let mut params: BTreeMap<_, _> = self.params.iter().filter_map(default).collect();
        params.extend(given.clone());
        fill(template, &params)
    }

    /// The parameters that the OAuth addresses need, in the manifest's order.
    pub fn oauth_params(&self) -> Vec<&Param> {
        let Some(oauth) = &self.oauth else { return Vec::new() };
        let needed: Vec<&str> =
            oauth.addresses().into_iter().flat_map(|(_, url)| placeholders(url)).collect();
        self.params.iter().filter(|param| needed.contains(&param.name.as_str())).collect()
    }
}

/// What stands before the next `{name}`, the name, and what follows.
fn next_placeholder(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once('{')?;
    let (name, after) = rest.split_once('}')?;
    Some((before, name, after))
}

type Check<'a> = &'a dyn Fn(&str, &str) -> Result<String>;

fn replace(template: &str, params: &BTreeMap<String, String>, accept: Check<'_>) -> Result<String> {
    let mut filled = String::new();
    let mut rest = template;
    while let Some((before, name, after)) = next_placeholder(rest) {
        let value = params.get(name).ok_or_else(|| invalid(format!("the parameter {name} is missing")))?;
        filled.push_str(before);
        filled.push_str(&accept(name, value)?);
        rest = after;
    }
    filled.push_str(rest);
    Ok(filled)
}

/// `value` if it is a host name, or part of one, with nothing around it but perhaps a port.
fn bare_host(name: &str, value: &str) -> Result<String> {
    let refused =
        || invalid(format!("the parameter {name} must be a bare host name, such as app.example.com"));
    let (host, port) = match value.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (value, None),
    };
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last = host.rsplit('.').next().unwrap_or_default();
    // Every spelling of an IPv4 address ends in a number, hexadecimal ones included (WHATWG URL, "ends in a number").
    let is_number = last.bytes().all(|b| b.is_ascii_digit())
        || last
            .to_ascii_lowercase()
            .strip_prefix("0x")
            .is_some_and(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
    let is_local = last.eq_ignore_ascii_case("localhost");
    // A label alone may be all digits: it is part of a longer name, and `fill` looks at the whole again.
    let host_fits =
        host.len() <= 253 && host.split('.').all(label) && !is_local && !(is_number && host.contains('.'));
    let port_fits = port.is_none_or(|p| p.parse::<u16>().is_ok_and(|n| n > 0) && !p.starts_with(['+', '0']));
    // A host of one label is a short name; a value in the wrong field would go to a resolver, and into the log.
    let is_random = |text: &str| PLAIN.check_text(text, Kind::FreeText).is_some() || may_be_a_value(text);
    let may_be_a_value = !host.contains('.') && is_random(host);
    if host_fits && port_fits && !may_be_a_value { Ok(value.to_ascii_lowercase()) } else { Err(refused()) }
}

/// `value` with everything encoded that has a meaning in an address (RFC 3986 §2.3 lists what has none).
fn encode(name: &str, value: &str, keep_slashes: bool) -> Result<String> {
    let climbs = value.split('/').any(|segment| matches!(segment, "." | ".."));
    if value.is_empty() || climbs || value.chars().any(char::is_control) {
        return Err(invalid(format!("the parameter {name} cannot be part of an address")));
    }
    let mut encoded = String::new();
    for byte in value.bytes() {
        let plain =
            byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte) || (keep_slashes && byte == b'/');
        if plain { encoded.push(char::from(byte)) } else { encoded.push_str(&format!("%{byte:02X}")) }
    }
    Ok(encoded)
}

#[cfg(test)]
mod tests {
    use crate::services::catalogue::Catalogue;

    use super::*;

    fn with(name: &str, value: &str) -> BTreeMap<String, String> {
        BTreeMap::from([(name.to_owned(), value.to_owned())])
    }

    #[test]
    fn a_bare_host_name_is_filled_in_and_may_have_a_port() {
        let url = |host| fill("https://{host}/oauth/token", &with("host", host)).expect("accepted");

        assert_eq!(url("GitLab.example.com"), "https://gitlab.example.com/oauth/token");
        assert_eq!(url("vault.example.com:8200"), "https://vault.example.com:8200/oauth/token");
    }

    #[test]
    fn a_host_that_is_more_than_a_name_is_refused() {
        for host in [
            "",
            "https://a.example",
            "a.example/x",
            "a.example?x",
            "a.example#x",
            "me@a.example",
            "a.example:x",
            "a.example:0",
            "127.0.0.1",
            "0x7f.1",
            "127.1",
            "[::1]",
            "localhost",
            "x.localhost",
            "a..example",
            "-a.example",
            "a.example\\b",
            "a example",
            "ex\u{e4}mple.com",
            "a.example%2fb",
            "10.0.0.0x1",
            "2130706433",
        ] {
            assert!(fill("https://{host}/x", &with("host", host)).is_err(), "{host:?}");
        }
    }

    #[test]
    fn a_part_of_a_host_cannot_leave_the_vendors_domain() {
        let url = |shop| fill("https://{shop}.myshopify.com/admin", &with("shop", shop));

        assert_eq!(url("example-shop").expect("accepted"), "https://example-shop.myshopify.com/admin");
        for shop in ["evil.example/", "evil.example:443", "evil.example#", "a@evil.example", "evil.example?"]
        {
            assert!(url(shop).is_err(), "{shop}");
        }
    }

    #[test]
    fn elsewhere_a_parameter_stays_within_its_segment() {
        let url = |id| fill("https://api.example.com/v1/projects/{id}/keys?x={id}", &with("id", id));

        assert_eq!(
            url("a/b?c").expect("encoded"),
            "https://api.example.com/v1/projects/a%2Fb%3Fc/keys?x=a%2Fb%3Fc"
        );
        for id in ["", "..", ".", "a/../b", "a\nb"] {
            assert!(url(id).is_err(), "{id:?}");
        }
    }

    #[test]
    fn a_default_of_the_manifest_is_used_where_nothing_was_given() {
        let gitlab = Catalogue::embedded().service("gitlab").expect("in the catalogue");
        let token_url = &gitlab.oauth.as_ref().expect("it has OAuth").token_url;

        let default = gitlab.fill(token_url, &BTreeMap::new()).expect("filled");
        let own = gitlab.fill(token_url, &with("host", "git.example.com")).expect("filled");

        assert_eq!(default, "https://gitlab.com/oauth/token");
        assert_eq!(own, "https://git.example.com/oauth/token");
    }

    #[test]
    fn the_parameters_of_a_sign_in_are_known_before_it_starts() {
        let catalogue = Catalogue::embedded();
        let needed = |id: &str| {
            let service = catalogue.service(id).expect("in the catalogue");
            service.oauth_params().iter().map(|param| param.name.clone()).collect::<Vec<_>>()
        };

        assert_eq!(needed("shopify"), ["shop"]);
        assert!(needed("linear").is_empty());
    }

    #[test]
    fn a_missing_parameter_is_named() {
        let error = fill("https://{host}/x", &BTreeMap::new()).expect_err("nothing given");

        assert!(error.message().contains("host"));
    }

    #[test]
    fn a_refusal_never_repeats_the_value() {
        let value = "planted/value";

        let error = fill("https://{host}/x", &with("host", value)).expect_err("refused");

        assert!(!format!("{error:?}").contains("planted"));
    }
}
