//! The only outbound HTTP client: https to public addresses, no redirects, no proxy of the environment, small answers.
//!
//! A name is resolved once, each of its addresses is looked at, and the connection is made to those and no others, so
//! that a name cannot mean one host when it is checked and another when it is called. An admin's configuration may
//! name hosts that are not public.
//!
//! Where the configuration names a proxy, it is the proxy that resolves: what a name means there is not known here, and
//! not checked, for often nobody but the proxy has a resolver. Addresses written as numbers are checked all the same.
//! What a proxy lets through to its own network is for the proxy to refuse.
use crate::error::{Code, Error, Result, internal, invalid};
use reqwest::Client;
use reqwest::redirect::Policy;
use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use url::{Host, Url};

const CONNECT: Duration = Duration::from_secs(3);
const WHOLE: Duration = Duration::from_secs(10);

/// What may be called, and whose certificates count.
#[derive(Clone, Debug, Default)]
pub struct Outbound {
    /// `host:port` that may be called wherever it is.
    pub allow: Vec<String>,
    pub ca_file: Option<PathBuf>,
    pub proxy: Option<String>,
    pub names: Names,
}

type Look = dyn Fn(&str, u16) -> std::io::Result<Vec<SocketAddr>> + Send + Sync;

/// Who says where a name is: this machine's resolver, unless another is handed in.
#[derive(Clone, Default)]
pub struct Names(Option<Arc<Look>>);

impl Names {
    pub fn told_by(
        look: impl Fn(&str, u16) -> std::io::Result<Vec<SocketAddr>> + Send + Sync + 'static,
    ) -> Self {
        Self(Some(Arc::new(look)))
    }

    async fn look_up(&self, name: &str, port: u16) -> std::io::Result<Vec<SocketAddr>> {
        match &self.0 {
            Some(look) => look(name, port),
            None => Ok(tokio::net::lookup_host((name, port)).await?.collect()),
        }
    }
}

impl std::fmt::Debug for Names {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "Names(handed in)" } else { "Names(this machine's)" })
    }
}

/// A connection that something else than HTTP goes over.
pub type Stream = Box<dyn Duplex>;

/// What can be read from and written to.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

fn unreachable(url: &Url, why: &str) -> Error {
    let host = url.host_str().unwrap_or_default();
    Error::new(Code::Unreachable, format!("{host} could not be reached: {why}"))
}

impl Outbound {
    /// The same, and `url` may be called where it is on this machine: a person agreed to that very address. No proxy is
    /// on the way there.
    pub fn with(self, url: &Url) -> Self {
        let (true, Some(host), Some(port)) =
            (is_on_this_machine(url), url.host(), url.port_or_known_default())
        else {
            return self;
        };
        let prefix = if url.scheme() == "http" { "http://" } else { "" };
        Self { allow: vec![format!("{prefix}{host}:{port}")], proxy: None, ..self }
    }

    /// The JSON at `url`, at most `most` bytes of it.
    ///
    /// Fails with `invalid_input` for an address that may not be called, and `unreachable` where there is no answer, or
    /// none that can be used. Nothing of an answer's body is in an error.
    pub async fn get_json(&self, url: &Url, most: usize) -> Result<serde_json::Value> {
        let addresses = self.resolve(url).await?;
        let client = self.client(url, &addresses, self.tls()?, WHOLE)?;
        let mut response = client
            .get(url.clone())
            .header("accept", "application/json")
            .send()
            .await
            .map_err(|e| unreachable(url, kind(&e)))?;
        let status = response.status();
        if !status.is_success() {
            return Err(unreachable(url, &format!("it answered with status {}", status.as_u16()))
                .detail("status", status.as_u16().to_string()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| unreachable(url, kind(&e)))? {
            if body.len() + chunk.len() > most {
                return Err(unreachable(url, "its answer is too large"));
            }
            body.extend_from_slice(&chunk);
        }
        serde_json::from_slice(&body).map_err(|_| unreachable(url, "its answer is no JSON"))
    }

    /// Where the host of `url` is, if it may be called there; nothing where that is for the proxy to find.
    pub(super) async fn resolve(&self, url: &Url) -> Result<Vec<SocketAddr>> {
        if url.scheme() != "https" {
            return Err(invalid("only https addresses are called"));
        }
        self.addresses(url, self.names(url, "")).await
    }

    /// Whether the configuration names the host and port of `url`, with `prefix` before them.
    pub(super) fn names(&self, url: &Url, prefix: &str) -> bool {
        let (Some(host), Some(port)) = (url.host(), url.port_or_known_default()) else { return false };
        let named = format!("{prefix}{host}:{port}");
        self.allow.iter().any(|allowed| allowed.eq_ignore_ascii_case(&named))
    }

    /// Where the host of `url` is, if it is public or `is_allowed`.
    pub(super) async fn addresses(&self, url: &Url, is_allowed: bool) -> Result<Vec<SocketAddr>> {
        let (Some(host), Some(port)) = (url.host(), url.port_or_known_default()) else {
            return Err(invalid("the address names no host"));
        };
        let named = format!("{host}:{port}");
        let found: Vec<SocketAddr> = match host {
            Host::Ipv4(ip) => vec![(ip, port).into()],
            Host::Ipv6(ip) => vec![(ip, port).into()],
            Host::Domain(name) if self.proxy.is_some() && (is_allowed || !is_this_machine(name)) => {
                return Ok(Vec::new());
            }
            Host::Domain(_) if self.proxy.is_some() => vec![(Ipv4Addr::LOCALHOST, port).into()],
            Host::Domain(name) => tokio::time::timeout(CONNECT, self.names.look_up(name, port))
                .await
                .map_err(|_| unreachable(url, "its name was not resolved in time"))?
                .map_err(|_| unreachable(url, "its name has no address"))?,
        };
        if found.is_empty() {
            return Err(unreachable(url, "its name has no address"));
        }
        // Allowed by this name is this machine, and no other that a resolver may call so.
        if matches!(host, Host::Domain(name) if is_this_machine(name))
            && !found.iter().all(|address| address.ip().is_loopback())
        {
            return Err(unreachable(url, "its name means another machine"));
        }
        // One private address among public ones is as bad as all.
        match is_allowed || found.iter().all(|address| is_public(address.ip())) {
            true => Ok(found),
            false => Err(invalid(format!("{named} is not in the public network"))
                .next("An admin can allow it: `[outbound] allow = [\"host:port\"]` in unsaid.toml.")),
        }
    }

    /// A connection to `host`, by the same rules: to an address that was looked at, and to no other.
    ///
    /// Fails with a text that may be shown: it names no host, which may come out of a secret connection string. Behind a proxy there is none, for it passes HTTP on and nothing else.
    pub async fn tcp_to(&self, host: &str, port: u16) -> Result<Stream, Cow<'static, str>> {
        if self.proxy.is_some() {
            return Err("everything goes through a proxy here, which passes on no such connection".into());
        }
        let url = Url::parse(&format!("https://{host}:{port}/")).map_err(|_| "its host is no name")?;
        let found = self.addresses(&url, self.names(&url, "")).await.map_err(|e| match e.code {
            Code::InvalidInput => {
                Cow::from("its host is not in the public network, and `[outbound] allow` does not name it")
            }
            _ => "its name has no address, or it is not to be reached".into(),
        })?;
        let connect = async {
            for address in found {
                if let Ok(stream) = TcpStream::connect(address).await {
                    return Some(stream);
                }
            }
            None
        };
        match tokio::time::timeout(CONNECT, connect).await {
            Ok(Some(stream)) => Ok(Box::new(stream)),
            _ => Err("no connection".into()),
        }
    }

    /// As [`Outbound::tcp_to`], with TLS from the first byte.
    pub async fn tls_to(&self, host: &str, port: u16) -> Result<Stream, Cow<'static, str>> {
        let stream = self.tcp_to(host, port).await?;
        self.tls_over(host, stream).await
    }

    /// TLS over a connection to `host`, whose certificate must be for it.
    pub async fn tls_over(&self, host: &str, stream: Stream) -> Result<Stream, Cow<'static, str>> {
        let tls = self.tls().map_err(|_| "the [outbound] settings cannot be used")?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(host).map_err(|_| "its host is no name")?;
        match tokio::time::timeout(CONNECT, TlsConnector::from(Arc::new(tls)).connect(name, stream)).await {
            Ok(Ok(stream)) => Ok(Box::new(stream)),
            Ok(Err(_)) => Err("TLS did not come about, or its certificate is not trusted".into()),
            Err(_) => Err("it did not answer in time".into()),
        }
    }

    /// Whether the configuration names `host:port`, which then need not be public.
    pub fn is_named(&self, host: &str, port: u16) -> bool {
        Url::parse(&format!("https://{host}:{port}/")).is_ok_and(|url| self.names(&url, ""))
    }

    pub(super) fn client(
        &self,
        url: &Url,
        addresses: &[SocketAddr],
        tls: ClientConfig,
        whole: Duration,
    ) -> Result<Client> {
        let mut builder = Client::builder()
            .tls_backend_preconfigured(tls)
            .https_only(true)
            .redirect(Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT)
            .timeout(whole)
            .pool_max_idle_per_host(0)
            .referer(false)
            .user_agent(concat!("unsaid/", env!("CARGO_PKG_VERSION")));
        if let (Some(Host::Domain(name)), false) = (url.host(), addresses.is_empty()) {
            builder = builder.resolve_to_addrs(name, addresses);
        }
        if let Some(proxy) = &self.proxy {
            let proxy = reqwest::Proxy::https(proxy)
                .map_err(|_| Error::new(Code::ConfigInvalid, "[outbound] proxy is no address"))?;
            builder = builder.proxy(proxy);
        }
        builder.build().map_err(|_| internal("the outbound client could not be made"))
    }

    pub(super) fn tls(&self) -> Result<ClientConfig> {
        let mut roots = RootCertStore::empty();
        // A certificate of the system's that does not parse is one that nothing can be signed by.
        let (_, _) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if let Some(file) = &self.ca_file {
            let wrong = || {
                Error::new(
                    Code::ConfigInvalid,
                    format!("[outbound] ca_file {} cannot be used", file.display()),
                )
                .next("Give a PEM file of certificates.")
            };
            let all = CertificateDer::pem_file_iter(file).map_err(|_| wrong())?;
            for certificate in all {
                roots.add(certificate.map_err(|_| wrong())?).map_err(|_| wrong())?;
            }
        }
        Ok(ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|_| internal("TLS could not be set up"))?
            .with_root_certificates(roots)
            .with_no_client_auth())
    }
}

/// What went wrong, without the address, which may have a secret in its query.
pub(super) fn kind(e: &reqwest::Error) -> &'static str {
    if e.is_timeout() {
        "it did not answer in time"
    } else if e.is_connect() {
        "no connection, or its certificate is not trusted"
    } else {
        "the connection broke off"
    }
}

/// Whether `url` is on this machine, by its name or its number.
pub fn is_on_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

/// Whether nobody on the way to `url` reads along: https, or http on this machine.
pub fn is_safe(url: &Url) -> bool {
    url.has_host() && (url.scheme() == "https" || url.scheme() == "http" && is_on_this_machine(url))
}

/// Whether `name` means the machine that resolves it, whichever that is (RFC 6761 §6.3).
fn is_this_machine(name: &str) -> bool {
    let name = name.trim_end_matches('.');
    let last = name.rsplit('.').next().unwrap_or(name);
    last.eq_ignore_ascii_case("localhost")
}

/// Whether `ip` is an address of the public network (IANA special-purpose registries): not private, loopback,
/// link-local, shared, documentation, multicast or reserved, nor one of those inside an IPv6 address.
pub fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    !(ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_documentation()
        || ip.is_multicast()
        || ip.is_broadcast()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (b == 18 || b == 19)))
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let s = ip.segments();
    if let Some(v4) = ip.to_ipv4_mapped() {
        return is_public_v4(v4);
    }
    // Only global unicast, without what is carved out of it.
    let is_global = (s[0] & 0xe000) == 0x2000;
    let is_special = (s[0] == 0x2001 && (s[1] < 0x0200 || s[1] == 0x0db8))
        || s[0] == 0x2002
        || (s[0] == 0x3fff && s[1] < 0x1000);
    is_global && !is_special
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn only_addresses_of_the_public_network_are_public() {
        for ip in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "127.255.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "ff02::1",
            "3fff::1",
        ] {
            assert!(!is_public(ip.parse().unwrap()), "{ip}");
        }
        for ip in
            ["1.1.1.1", "100.128.0.1", "172.32.0.1", "192.0.1.1", "2606:4700::1111", "2a00:1450:4001::1"]
        {
            assert!(is_public(ip.parse().unwrap()), "{ip}");
        }
    }

    #[tokio::test]
    async fn an_address_that_is_not_public_is_not_called_unless_the_configuration_names_it() {
        let closed = Outbound::default();
        for url in [
            "http://example.com/",
            "https://127.0.0.1/x",
            "https://localhost/x",
            "https://[::1]/x",
            "https://169.254.169.254/latest",
            "https://10.0.0.1/",
        ] {
            let refused = closed.get_json(&Url::parse(url).unwrap(), 100).await.unwrap_err();
            assert_eq!(refused.code, Code::InvalidInput, "{url}");
        }

        // Port 1 of this machine: nobody answers there, and that is found out by calling it.
        let open = Outbound { allow: vec!["127.0.0.1:1".into()], ..Outbound::default() };
        let url = |text: &str| Url::parse(text).unwrap();
        let called = open.get_json(&url("https://127.0.0.1:1/x?code=plain"), 100).await.unwrap_err();
        assert_eq!(called.code, Code::Unreachable);
        assert!(!called.message().contains("plain"));
        let other = open.get_json(&url("https://127.0.0.1:2/x"), 100).await.unwrap_err();
        assert_eq!(other.code, Code::InvalidInput);
    }

    /// A resolver that says these one after the other, and the last for ever; and how often it was asked.
    fn flipping(answers: &[&[&str]]) -> (Names, Arc<AtomicUsize>) {
        let answers: Vec<Vec<IpAddr>> =
            answers.iter().map(|all| all.iter().map(|ip| ip.parse().unwrap()).collect()).collect();
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        let names = Names::told_by(move |_, port| {
            let turn = count.fetch_add(1, Ordering::SeqCst).min(answers.len() - 1);
            Ok(answers[turn].iter().map(|ip| (*ip, port).into()).collect())
        });
        (names, asked)
    }

    #[tokio::test]
    async fn b_06_what_a_name_means_is_looked_at_each_time_it_is_asked_for() {
        let url = Url::parse("https://api.acme.example/x").unwrap();
        for private in [
            "127.0.0.1",
            "169.254.169.254",
            "10.0.0.1",
            "fd00:ec2::254",
            "::ffff:127.0.0.1",
            "64:ff9b::7f00:1",
        ] {
            let (names, asked) = flipping(&[&["1.1.1.1"], &[private]]);
            let outbound = Outbound { names, ..Outbound::default() };

            // What was checked is what is returned: nobody asks again for the connection.
            let first = outbound.resolve(&url).await.unwrap();
            assert_eq!(first, ["1.1.1.1:443".parse().unwrap()]);
            assert_eq!(asked.load(Ordering::SeqCst), 1);

            let refused = outbound.resolve(&url).await.unwrap_err();
            assert_eq!(refused.code, Code::InvalidInput, "{private}");
        }
    }

    #[tokio::test]
    async fn b_06_a_private_address_among_public_ones_is_as_bad_as_all_and_none_is_no_address() {
        let url = Url::parse("https://api.acme.example/x").unwrap();
        for (all, code) in [
            (&["1.1.1.1", "127.0.0.1"][..], Code::InvalidInput),
            (&["127.0.0.1", "1.1.1.1"], Code::InvalidInput),
            (&["2606:4700::1111", "1.1.1.1", "169.254.169.254"], Code::InvalidInput),
            (&["1.1.1.1", "fe80::1"], Code::InvalidInput),
            (&[], Code::Unreachable),
        ] {
            let outbound = Outbound { names: flipping(&[all]).0, ..Outbound::default() };

            assert_eq!(outbound.resolve(&url).await.unwrap_err().code, code, "{all:?}");
        }
    }

    #[tokio::test]
    async fn b_06_the_connection_is_made_to_the_address_that_was_looked_at() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let host = format!("api.acme.example:{port}");
        // Nobody listens at the second.
        let (names, asked) = flipping(&[&["127.0.0.1"], &["127.0.0.2"]]);
        let outbound = Outbound { allow: vec![host.clone()], names, ..Outbound::default() };

        let accepted = tokio::spawn(async move { listener.accept().await.map(|(_, from)| from.ip()) });
        let url = Url::parse(&format!("https://{host}/x")).unwrap();
        let answer = outbound.get_json(&url, 100).await;

        // It was no TLS that answered, and it was there.
        assert_eq!(answer.unwrap_err().code, Code::Unreachable);
        assert!(accepted.await.unwrap().unwrap().is_loopback());
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn behind_a_proxy_names_are_its_to_resolve_and_numbers_are_checked_all_the_same() {
        // Port 1 of this machine: no proxy answers there, which is found out without asking for the name's address.
        let proxied = Outbound { proxy: Some("http://127.0.0.1:1".into()), ..Outbound::default() };
        let url = |text: &str| Url::parse(text).unwrap();

        let named = proxied.get_json(&url("https://idp.invalid/x"), 100).await.unwrap_err();

        assert_eq!(named.code, Code::Unreachable);
        assert!(named.message().contains("no connection"), "{named}");
        for private in ["https://10.0.0.1/", "https://[::1]/", "https://localhost/", "https://a.localhost./"]
        {
            let refused = proxied.get_json(&url(private), 100).await.unwrap_err();
            assert_eq!(refused.code, Code::InvalidInput, "{private}");
        }
    }
}
