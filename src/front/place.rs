//! Where a server listens and what it is called from outside. Beyond this machine it wants TLS, or a proxy that has it.
use crate::error::{Code, Error, Result};
use std::net::{IpAddr, SocketAddr};
use url::Url;

/// Where to listen and how it is reached.
#[derive(Clone, Debug)]
pub struct Place {
    pub listen: SocketAddr,
    /// What people and clients type, as `https://vault.example.com`; `None`: the address itself.
    pub public_url: Option<Url>,
    pub has_tls: bool,
    /// A proxy in front terminates TLS and says who the visitor is (`X-Forwarded-For`).
    pub behind_proxy: bool,
}

/// What a bound place is called.
#[derive(Clone, Debug, PartialEq)]
pub struct Address {
    /// Without a slash at its end.
    pub base: String,
    /// What `Host` may say, exactly.
    pub hosts: Vec<String>,
    /// What `Origin` may say, exactly.
    pub origins: Vec<String>,
    /// Whether only this machine can reach it.
    pub is_local: bool,
}

fn wrong(message: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(Code::ConfigInvalid, message)
}

impl Place {
    /// Fails with `config_invalid` for an address beyond this machine with neither TLS nor a trusted proxy, and for a
    /// public address that does not fit (W-14, W-30).
    pub fn check(&self) -> Result<()> {
        if !self.listen.ip().is_loopback() && !self.has_tls && !self.behind_proxy {
            return Err(wrong(format!("{} can be reached from other machines, and there is no TLS", self.listen))
                .next(
                    "Listen on 127.0.0.1, or give --tls-cert and --tls-key, or put a proxy with TLS in front and say --trusted-proxy with --public-url https://….",
                ));
        }
        if self.behind_proxy && self.public_url.is_none() {
            return Err(wrong("--trusted-proxy needs --public-url: what the proxy is called")
                .next("Add --public-url https://vault.example.com."));
        }
        if self.has_tls && self.behind_proxy {
            return Err(
                wrong("--trusted-proxy and TLS of our own exclude each other").next("Leave one of them out.")
            );
        }
        let Some(url) = &self.public_url else { return Ok(()) };
        let is_plain = url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none();
        if !is_plain || url.host_str().is_none() || !matches!(url.scheme(), "http" | "https") {
            return Err(wrong("--public-url is a scheme, a name and perhaps a port")
                .next("Write it as https://vault.example.com."));
        }
        if url.scheme() == "http" && !is_local_name(url) {
            return Err(wrong("--public-url of another machine begins with https://")
                .next("Write it as https://vault.example.com."));
        }
        if url.scheme() == "http" && (self.has_tls || self.behind_proxy) {
            return Err(wrong("--public-url says http, and what is served has TLS")
                .next("Write it as https://vault.example.com."));
        }
        if url.scheme() == "https" && !self.has_tls && !self.behind_proxy {
            return Err(wrong("--public-url says https, and there is no TLS")
                .next("Give --tls-cert and --tls-key, or --trusted-proxy."));
        }
        Ok(())
    }

    /// What the place is called once it is bound to `bound`.
    pub fn address(&self, bound: SocketAddr) -> Address {
        // A port that the scheme implies is left out by browsers, and so in what links are compared with.
        let (scheme, implied) = if self.has_tls { ("https", ":443") } else { ("http", ":80") };
        let port = bound.port();
        let mut hosts: Vec<String> = match bound.ip() {
            ip if ip.is_loopback() => {
                vec![SocketAddr::new(ip, port).to_string(), format!("localhost:{port}")]
            }
            ip if ip.is_unspecified() => Vec::new(),
            ip => vec![SocketAddr::new(ip, port).to_string()],
        };
        let mut origins: Vec<String> = hosts.iter().map(|host| format!("{scheme}://{host}")).collect();
        let base = match &self.public_url {
            Some(url) => {
                let host = url.host_str().unwrap_or_default();
                let authority = url.port().map_or(host.to_owned(), |port| format!("{host}:{port}"));
                let origin = format!("{}://{authority}", url.scheme());
                // Behind a proxy nobody else is to come by the address itself.
                if self.behind_proxy {
                    hosts.clear();
                    origins.clear();
                }
                hosts.push(authority);
                origins.push(origin.clone());
                origin
            }
            None => {
                if bound.ip().is_unspecified() {
                    hosts.push(format!("localhost:{port}"));
                    origins.push(format!("{scheme}://localhost:{port}"));
                }
                let origin = origins.first().cloned().unwrap_or_default();
                origin.strip_suffix(implied).map(str::to_owned).unwrap_or(origin)
            }
        };
        for list in [&mut hosts, &mut origins] {
            let short: Vec<_> =
                list.iter().filter_map(|name| name.strip_suffix(implied).map(str::to_owned)).collect();
            list.extend(short);
        }
        Address {
            base,
            hosts,
            origins,
            is_local: bound.ip().is_loopback()
                && !self.behind_proxy
                && self.public_url.as_ref().is_none_or(is_local_name),
        }
    }
}

fn is_local_name(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(ip)) => IpAddr::V4(ip).is_loopback(),
        Some(url::Host::Ipv6(ip)) => IpAddr::V6(ip).is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(listen: &str) -> Place {
        Place { listen: listen.parse().unwrap(), public_url: None, has_tls: false, behind_proxy: false }
    }

    #[test]
    fn w_14_w_30_beyond_this_machine_it_wants_tls_or_a_proxy() {
        assert!(place("127.0.0.1:8740").check().is_ok());
        assert!(place("[::1]:8740").check().is_ok());
        for listen in ["0.0.0.0:8740", "[::]:8740", "192.0.2.1:8740"] {
            assert_eq!(place(listen).check().unwrap_err().code, Code::ConfigInvalid);
            assert!(Place { has_tls: true, ..place(listen) }.check().is_ok());
            let proxied = Place { behind_proxy: true, ..place(listen) };
            assert_eq!(proxied.check().unwrap_err().code, Code::ConfigInvalid);
            let named = Place { public_url: Some("https://vault.example".parse().unwrap()), ..proxied };
            assert!(named.check().is_ok());
        }
    }

    #[test]
    fn a_public_address_is_a_name_and_no_more_and_https_unless_it_is_this_machine() {
        for url in [
            "http://vault.example",
            "https://vault.example/path",
            "https://u@vault.example",
            "https://vault.example?x",
            "ftp://vault.example",
            "data:text/plain,x",
        ] {
            let place =
                Place { public_url: Some(url.parse().unwrap()), has_tls: true, ..place("127.0.0.1:1") };
            assert_eq!(place.check().unwrap_err().code, Code::ConfigInvalid, "{url}");
        }
        let without =
            Place { public_url: Some("https://vault.example".parse().unwrap()), ..place("127.0.0.1:1") };
        assert_eq!(without.check().unwrap_err().code, Code::ConfigInvalid);
    }

    #[test]
    fn a_public_address_without_tls_does_not_name_a_server_that_has_it() {
        let url = Some("http://localhost:8740".parse().unwrap());
        let plain = Place { public_url: url, ..place("127.0.0.1:8740") };
        assert!(plain.check().is_ok());

        let own = Place { has_tls: true, ..plain.clone() };
        let proxied = Place { behind_proxy: true, ..plain };

        assert_eq!(own.check().unwrap_err().code, Code::ConfigInvalid);
        assert_eq!(proxied.check().unwrap_err().code, Code::ConfigInvalid);
    }

    #[test]
    fn what_a_place_is_called_is_the_origin_of_its_links() {
        for (bound, has_tls, base) in [
            ("127.0.0.1:80", false, "http://127.0.0.1"),
            ("127.0.0.1:443", true, "https://127.0.0.1"),
            ("[::1]:80", false, "http://[::1]"),
            ("0.0.0.0:443", true, "https://localhost"),
            ("127.0.0.1:8080", false, "http://127.0.0.1:8080"),
            ("127.0.0.1:443", false, "http://127.0.0.1:443"),
        ] {
            let address = Place { has_tls, ..place(bound) }.address(bound.parse().unwrap());

            assert_eq!(address.base, base);
            let link = Url::parse(&format!("{}/e/x", address.base)).unwrap();
            assert_eq!(link.origin().ascii_serialization(), address.base);
            assert!(address.origins.contains(&address.base), "{:?}", address.origins);
        }
    }

    #[test]
    fn w_10_a_place_is_called_by_its_own_names_and_no_others() {
        let local = place("127.0.0.1:0").address("127.0.0.1:8740".parse().unwrap());
        assert_eq!(local.base, "http://127.0.0.1:8740");
        assert_eq!(local.hosts, ["127.0.0.1:8740", "localhost:8740"]);
        assert!(local.is_local);

        let proxied = Place {
            public_url: Some("https://vault.example".parse().unwrap()),
            behind_proxy: true,
            ..place("127.0.0.1:8740")
        };
        let proxied = proxied.address("127.0.0.1:8740".parse().unwrap());
        assert_eq!((proxied.hosts, proxied.is_local), (vec!["vault.example".to_owned()], false));
        assert_eq!(proxied.origins, ["https://vault.example"]);
    }
}
