//! From a request to an address at a service: joined, held against what is open, and looked at again.
use super::target::{PREFIX, Target, template};
use crate::error::{Code, Error, Result, internal};
use crate::secret::SecretBytes;
use crate::services::PathPattern;
use crate::services::upstream::Origin;
use http::{HeaderMap, HeaderValue, Method};
use std::sync::Arc;
use url::Url;

/// A request before anybody decided on it. Nothing of it was sent.
pub struct Asked<'a> {
    /// What the caller showed, whose shape alone was looked at.
    pub token: &'a SecretBytes,
    pub method: &'a Method,
    pub(super) target: &'a Target,
}

/// Where a service is, and what of it is open to anybody.
#[derive(Clone, Debug)]
pub struct Route {
    pub(super) origin: Origin,
    /// Empty for everything below its address.
    paths: Vec<PathPattern>,
}

impl Route {
    /// Below `base`; `paths` empty for everything there. Fails with `invalid_input` for an address without a host.
    pub fn new(base: Url, paths: Vec<PathPattern>) -> Result<Self> {
        Ok(Self { origin: Origin::of(base)?, paths })
    }

    /// What requests go below.
    pub fn address(&self) -> &Url {
        &self.origin.url
    }
}

/// What one binding may do with it. What is empty does not limit.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    pub methods: Vec<Method>,
    pub paths: Vec<PathPattern>,
    /// Cookies pass, in both directions.
    pub cookies: bool,
}

/// A request's address at its service, which is open to who asks. Only [`Asked::way`] makes one.
#[derive(Clone, Debug)]
pub struct Way {
    pub(super) route: Arc<Route>,
    pub(super) limits: Arc<Limits>,
    pub(super) path: String,
    pub(super) query: Option<String>,
    /// `/b/<consumer>/<service>`.
    ours: String,
}

impl Asked<'_> {
    pub fn consumer(&self) -> &str {
        &self.target.consumer
    }
    pub fn service(&self) -> &str {
        &self.target.service
    }

    /// What is asked for, as a log may show it: the method, and the path without what names a thing of somebody's.
    pub fn operation(&self, route: &Route) -> String {
        format!("{} {}", self.method, template(&joined(&route.origin.url, &self.target.path)))
    }

    /// Where the request would go. Fails with `not_allowed` where the service or the binding has it closed.
    pub fn way(&self, route: &Arc<Route>, limits: &Arc<Limits>) -> Result<Way> {
        let path = joined(&route.origin.url, &self.target.path);
        if !limits.methods.is_empty() && !limits.methods.contains(self.method) {
            return Err(closed(format!("{} is not among the methods that this binding allows", self.method)));
        }
        if !is_open(&route.paths, &path) || !is_open(&limits.paths, &path) {
            return Err(closed("this path is not among those that are open here".into()));
        }
        resolved(&route.origin.url, &path)?;
        Ok(Way {
            route: route.clone(),
            limits: limits.clone(),
            path,
            query: self.target.query.clone(),
            ours: format!("{PREFIX}{}/{}", self.target.consumer, self.target.service),
        })
    }
}

fn is_open(patterns: &[PathPattern], path: &str) -> bool {
    patterns.is_empty() || patterns.iter().any(|pattern| pattern.fits(path))
}

fn closed(why: String) -> Error {
    Error::new(Code::NotAllowed, why)
        .next("Ask the person who registered this consumer: methods and paths are part of its binding.")
}

fn joined(base: &Url, path: &str) -> String {
    format!("{}{path}", base.path().trim_end_matches('/'))
}

/// The address that `path` has below `base`, which must be what it says in every reader's eyes (B-01).
fn resolved(base: &Url, path: &str) -> Result<Url> {
    let url = base.join(path).map_err(|_| internal("a path that was checked makes no address"))?;
    let is_same = url.origin() == base.origin()
        && url.path() == path
        && url.username().is_empty()
        && url.password().is_none();
    if is_same { Ok(url) } else { Err(internal("a path that was checked leads elsewhere")) }
}

impl Way {
    /// Whether it leads where requests of `route` go.
    pub fn goes_to(&self, route: &Route) -> bool {
        self.route.address() == route.address()
    }

    /// The service's host, for a message.
    pub fn host(&self) -> &str {
        self.route.origin.url.host_str().unwrap_or_default()
    }

    /// A redirect's address as the caller can follow it: by way of the broker where it stays below what is open; as it is
    /// elsewhere, where nothing of ours goes along. `secret_parameter` is left out of it.
    pub(super) fn redirect(&self, said: &str, secret_parameter: Option<&str>) -> String {
        let base = &self.route.origin.url;
        let Ok(here) = resolved(base, &self.path) else { return said.to_owned() };
        let Ok(mut there) = here.join(said) else { return said.to_owned() };
        if there.origin() != base.origin() || !there.username().is_empty() || there.password().is_some() {
            return said.to_owned();
        }
        if let Some(name) = secret_parameter {
            strip(&mut there, name);
        }
        let below = there
            .path()
            .strip_prefix(base.path().trim_end_matches('/'))
            .filter(|rest| rest.is_empty() || rest.starts_with('/'));
        let is_open = is_open(&self.route.paths, there.path()) && is_open(&self.limits.paths, there.path());
        match below.filter(|_| is_open) {
            Some(rest) => format!("{}{rest}{}", self.ours, &there[url::Position::AfterPath..]),
            None => there.into(),
        }
    }

    /// A link's target likewise. Clients take one as it is, without looking where the answer came from: below `base`.
    pub(super) fn link(&self, said: &str, base: &str, secret_parameter: Option<&str>) -> String {
        if said.is_empty() || said.starts_with('#') {
            // The answer itself.
            return said.to_owned();
        }
        let told = self.redirect(said, secret_parameter);
        if told.starts_with(PREFIX) { format!("{base}{told}") } else { told }
    }
}

fn strip(url: &mut Url, name: &str) {
    let Some(query) = url.query() else { return };
    let left: Vec<&str> = query.split('&').filter(|pair| !super::asked::is_parameter(pair, name)).collect();
    let left = (!left.is_empty()).then(|| left.join("&"));
    url.set_query(left.as_deref());
}

/// The one value of a header.
pub(super) fn only<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a HeaderValue> {
    let mut all = headers.get_all(name).iter();
    all.next().filter(|_| all.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    fn patterns(all: &[&str]) -> Vec<PathPattern> {
        all.iter().map(|text| PathPattern::parse(text).expect("it is one")).collect()
    }

    fn way(base: &str, path: &str, open: &[&str], limits: Limits, method: Method) -> Result<Way> {
        let target =
            Target { consumer: "bot".into(), service: "acme".into(), path: path.into(), query: None };
        let token = SecretBytes::new(Vec::new());
        let route = Arc::new(Route::new(base.parse().expect("an address"), patterns(open))?);
        Asked { token: &token, method: &method, target: &target }.way(&route, &Arc::new(limits))
    }

    #[test]
    fn a_path_goes_below_the_base_and_nowhere_else() {
        let way = |base, path| way(base, path, &[], Limits::default(), Method::GET).expect("open");

        assert_eq!(way("https://api.acme.example", "/v1/x").path, "/v1/x");
        assert_eq!(way("https://api.acme.example/v2", "/x").path, "/v2/x");
        assert_eq!(way("https://api.acme.example/v2", "/").path, "/v2/");
        assert_eq!(way("https://api.acme.example:8443", "/").route.origin.host, "api.acme.example:8443");
    }

    #[test]
    fn b_10_what_the_service_or_the_binding_does_not_open_is_refused() {
        let limited = |methods: &[Method], paths: &[&str]| Limits {
            methods: methods.to_vec(),
            paths: patterns(paths),
            cookies: false,
        };
        let at =
            |path, open: &[&str], limits, method| way("https://a.example/v1", path, open, limits, method);

        assert!(at("/x", &["/v1/*"], limited(&[Method::GET], &["/v1/x"]), Method::GET).is_ok());
        for refused in [
            at("/x", &["/v1/*"], limited(&[Method::GET], &[]), Method::POST),
            at("/x/y", &["/v1/*"], Limits::default(), Method::GET),
            at("/y", &["/v1/*"], limited(&[], &["/v1/x"]), Method::GET),
            at("/v1/x", &["/v1/x"], Limits::default(), Method::GET),
        ] {
            assert_eq!(refused.expect_err("closed").code, Code::NotAllowed);
        }
    }

    #[test]
    fn b_02_a_redirect_comes_back_to_the_broker_only_where_it_may() {
        let way =
            way("https://a.example/v1", "/x", &["/v1/**"], Limits::default(), Method::GET).expect("open");
        for (said, told) in [
            ("/v1/y?q=1", "/b/bot/acme/y?q=1"),
            ("y", "/b/bot/acme/y"),
            ("https://a.example/v1/y#f", "/b/bot/acme/y#f"),
            ("https://A.EXAMPLE:443/v1/y", "/b/bot/acme/y"),
            ("/v2/y", "https://a.example/v2/y"),
            ("/v10", "https://a.example/v10"),
            ("https://evil.example/v1/y", "https://evil.example/v1/y"),
            ("//evil.example/v1/y", "//evil.example/v1/y"),
            ("http://a.example/v1/y", "http://a.example/v1/y"),
            ("https://a.example:444/v1/y", "https://a.example:444/v1/y"),
            ("https://u@a.example/v1/y", "https://u@a.example/v1/y"),
            ("data:text/html,x", "data:text/html,x"),
        ] {
            assert_eq!(way.redirect(said, None), told, "{said}");
        }
        assert_eq!(way.redirect("/v1/y?key=x&a=1&k%65y=y", Some("key")), "/b/bot/acme/y?a=1");
    }

    #[test]
    fn a_link_is_a_whole_address_of_the_broker_only_where_it_may_be_followed() {
        let way =
            way("https://a.example/v1", "/x", &["/v1/**"], Limits::default(), Method::GET).expect("open");
        let ours = "http://127.0.0.1:8741";
        for (said, told) in [
            ("https://a.example/v1/x?page=2", "http://127.0.0.1:8741/b/bot/acme/x?page=2"),
            ("/v1/x?page=2", "http://127.0.0.1:8741/b/bot/acme/x?page=2"),
            ("?page=2", "http://127.0.0.1:8741/b/bot/acme/x?page=2"),
            ("x;y?page=2", "http://127.0.0.1:8741/b/bot/acme/x;y?page=2"),
            ("", ""),
            ("#part", "#part"),
            ("/v2/y", "https://a.example/v2/y"),
            // One that looks like ours, of the service's own.
            ("/b/bot/acme/x", "https://a.example/b/bot/acme/x"),
            ("https://a.example:444/v1/x", "https://a.example:444/v1/x"),
            ("http://a.example/v1/x", "http://a.example/v1/x"),
            ("https://u@a.example/v1/x", "https://u@a.example/v1/x"),
            ("//evil.example/v1/x", "//evil.example/v1/x"),
            ("https://evil.example/b/bot/acme/x", "https://evil.example/b/bot/acme/x"),
            ("data:text/html,x", "data:text/html,x"),
        ] {
            assert_eq!(way.link(said, ours, None), told, "{said}");
        }
        assert_eq!(way.link("/v1/y?key=x&a=1", "", Some("key")), "/b/bot/acme/y?a=1");
    }
}
