//! How the HTTP broker reaches a service: where its API is, which of its paths are open, and where the secret goes.
//!
//! Only the description lives here. A service whose manifest says nothing is reached at the origin of the request that
//! tests its credential, with the secret where that request has it.
use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use super::check::{Auth, Check};
use super::fill::placeholders;
use super::service::Service;
use crate::error::{Result, invalid};

/// What a manifest says about its service behind the broker.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Broker {
    /// Where requests go: an origin, and perhaps the path that all of the API's begin with.
    pub base_url: String,
    /// What may be asked for, as `/v1/models/*` (one segment) or `/v1/**` (any); empty for everything below `base_url`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
    /// Environment variables by which the service's own SDK or command line takes another address for its API.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub base_url_env: Vec<String>,
    /// What such a variable has after the broker's own address, as `/v1`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_url_suffix: Option<String>,
    /// Where the secret goes, if not where `verify.auth` has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth: Option<Auth>,
}

/// The same with what it leaves out, ready to be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerPreset {
    /// A template; see [`Service::fill`].
    pub base_url: String,
    pub paths: Vec<PathPattern>,
    pub base_url_env: Vec<String>,
    pub base_url_suffix: Option<String>,
    pub placement: Placement,
}

/// Where the broker puts a secret. The texts are templates over the credential's fields: `{token}`, `{username}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placement {
    Header { name: String, format: String },
    Basic { username: String, password: String },
    Query { name: String },
}

impl Placement {
    /// `Authorization: Bearer {token}` (RFC 6750 §2.1).
    pub fn bearer() -> Self {
        Self::Header { name: "Authorization".into(), format: "Bearer {token}".into() }
    }

    /// The fields that its texts name, each once.
    pub fn names(&self) -> Vec<&str> {
        let mut names = match self {
            Self::Header { format, .. } => placeholders(format),
            Self::Basic { username, .. } => placeholders(username),
            Self::Query { .. } => vec!["token"],
        };
        if let Self::Basic { password, .. } = self {
            names.extend(placeholders(password));
        }
        names.sort_unstable();
        names.dedup();
        names
    }

    /// `None` where the secret goes into a path, a body or a signature, which the broker does not make.
    pub fn of(auth: &Auth) -> Option<Self> {
        match auth.clone() {
            Auth::Header { name, format } => Some(Self::Header { name, format }),
            Auth::Basic { username, password } => Some(Self::Basic { username, password }),
            Auth::Query { name } => Some(Self::Query { name }),
            _ => None,
        }
    }
}

impl Service {
    /// How the broker reaches this service; `None` where it cannot: its manifest names no address, or a secret that is
    /// sent in another way than by header or query.
    pub fn broker(&self) -> Option<BrokerPreset> {
        let tested = self.verify.as_ref().filter(|check| check.protocol.is_none());
        let auth_of = |check: &Check| Placement::of(&check.auth);
        match &self.broker {
            Some(broker) => {
                let placement = match &broker.auth {
                    Some(auth) => Placement::of(auth)?,
                    None => auth_of(tested?)?,
                };
                Some(BrokerPreset {
                    base_url: broker.base_url.clone(),
                    paths: broker.paths.iter().filter_map(|text| PathPattern::parse(text).ok()).collect(),
                    base_url_env: broker.base_url_env.clone(),
                    base_url_suffix: broker.base_url_suffix.clone(),
                    placement,
                })
            }
            None => Some(BrokerPreset {
                base_url: origin(tested?.url.as_deref()?)?.to_owned(),
                paths: Vec::new(),
                base_url_env: Vec::new(),
                base_url_suffix: None,
                placement: auth_of(tested?)?,
            }),
        }
    }

    /// Where the broker sends requests for this service, its parameters filled in.
    ///
    /// Fails with `invalid_input` when a parameter is missing or does not fit.
    pub fn broker_base(&self, preset: &BrokerPreset, params: &BTreeMap<String, String>) -> Result<Url> {
        let filled = match preset.needs().is_empty() {
            true => preset.base_url.clone(),
            false => self.fill(&preset.base_url, params)?,
        };
        base(&filled).ok_or_else(|| invalid("the service's address for the broker cannot be used"))
    }
}

impl BrokerPreset {
    /// The parameters of its address, each once.
    pub fn needs(&self) -> Vec<&str> {
        placeholders(&self.base_url)
    }
}

/// `text` as the address that requests go below: no user, query or fragment, and no slash at its end but the first.
pub(super) fn base(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let is_plain = matches!(url.scheme(), "https" | "http")
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none()
        && (url.path() == "/" || !url.path().ends_with('/'));
    is_plain.then_some(url)
}

/// `https://host` of a template, which may have parameters in its host.
fn origin(template: &str) -> Option<&str> {
    let start = "https://".len();
    let rest = template.strip_prefix("https://")?;
    let host = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    (host > 0).then(|| &template[..start + host])
}

/// Which paths are meant: segments as they are, `*` for any one, and at the end `**` for any that follow, or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPattern {
    segments: Vec<String>,
    is_open: bool,
}

impl PathPattern {
    /// Fails with `invalid_input` for what could match anything else than it seems to.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = || {
            invalid(
                "a path pattern begins with / and has plain segments, * for one and ** at the end for any",
            )
        };
        let rest = text.strip_prefix('/').ok_or_else(wrong)?;
        let mut segments: Vec<String> = rest.split('/').map(str::to_owned).collect();
        let is_open = segments.last().is_some_and(|last| last == "**");
        if is_open {
            segments.pop();
        }
        let is_plain = |segment: &String| {
            segment == "*"
                || (!matches!(segment.as_str(), "" | "." | "..")
                    && segment.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~:,=+!$&'()@".contains(&b)))
        };
        let is_root = segments == [""] && !is_open;
        match is_root || segments.iter().all(is_plain) {
            true => Ok(Self { segments, is_open }),
            false => Err(wrong()),
        }
    }

    /// Whether `path` is meant; it begins with a slash and is normalised. A slash at its end does not count.
    pub fn fits(&self, path: &str) -> bool {
        let rest = path.strip_prefix('/').unwrap_or(path);
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let mut asked = rest.split('/').filter(|_| !rest.is_empty());
        for segment in self.segments.iter().filter(|segment| !segment.is_empty()) {
            match asked.next() {
                Some(found) if segment == "*" || segment == found => {}
                _ => return false,
            }
        }
        self.is_open || asked.next().is_none()
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let open = self.is_open.then_some("**");
        self.segments.iter().map(String::as_str).chain(open).try_for_each(|segment| write!(f, "/{segment}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::Catalogue;

    #[test]
    fn a_pattern_means_whole_segments_and_no_more() {
        for (pattern, fits, fails) in [
            ("/", vec!["/"], vec!["/v1", "/v1/"]),
            (
                "/v1/models",
                vec!["/v1/models", "/v1/models/"],
                vec!["/v1/models/x", "/v1/modelsx", "/v1", "/"],
            ),
            ("/v1/*", vec!["/v1/a"], vec!["/v1", "/v1/a/b", "/v2/a"]),
            ("/v1/**", vec!["/v1", "/v1/", "/v1/a/b"], vec!["/v12", "/", "/a/v1"]),
            ("/*/x", vec!["/a/x"], vec!["/x", "/a/b/x"]),
            ("/**", vec!["/", "/a", "/a/b"], vec![]),
        ] {
            let parsed = PathPattern::parse(pattern).expect("it is one");
            assert_eq!(parsed.to_string(), pattern);
            fits.iter().for_each(|path| assert!(parsed.fits(path), "{pattern} {path}"));
            fails.iter().for_each(|path| assert!(!parsed.fits(path), "{pattern} {path}"));
        }
        for wrong in
            ["", "v1", "/a//b", "/../x", "/./x", "/a/**/b", "/a*", "/a?b", "/a#b", "/%2e", "/a\\b", "/a/"]
        {
            assert!(PathPattern::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_service_without_a_section_is_reached_where_its_credential_is_tested() {
        let stripe = Catalogue::embedded().service("stripe").expect("there").broker().expect("reached");

        assert_eq!(stripe.base_url, "https://api.stripe.com");
        assert_eq!(stripe.placement, Placement::bearer());
        assert!(stripe.base_url_env.is_empty() && stripe.paths.is_empty());
    }

    #[test]
    fn what_is_no_header_and_no_query_is_not_brokered() {
        for id in ["postgres", "ssh-key", "aws", "telegram"] {
            assert!(Catalogue::embedded().service(id).expect("there").broker().is_none(), "{id}");
        }
    }

    #[test]
    fn an_address_with_parameters_is_filled_like_every_other() {
        let service = Catalogue::embedded().service("zendesk").expect("there");
        let preset = service.broker().expect("reached");
        let params = |host: &str| {
            service.params.iter().map(|p| (p.name.clone(), host.to_owned())).collect::<BTreeMap<_, _>>()
        };

        assert!(service.broker_base(&preset, &params("acme")).is_ok());
        assert!(service.broker_base(&preset, &params("evil.example/")).is_err());
        assert!(service.broker_base(&preset, &params("x@evil")).is_err());
    }

    #[test]
    fn a_base_is_an_origin_with_a_path_and_nothing_else() {
        for good in
            ["https://a.example", "https://a.example/", "https://a.example/v1", "http://127.0.0.1:1/x"]
        {
            assert!(base(good).is_some(), "{good}");
        }
        for wrong in [
            "ftp://a.example",
            "https://u@a.example",
            "https://u:p@a.example",
            "https://a.example?x",
            "https://a.example#x",
            "https://a.example/v1/",
            "data:x",
            "/v1",
        ] {
            assert!(base(wrong).is_none(), "{wrong}");
        }
    }
}
