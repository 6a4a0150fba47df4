//! Databases: where one is, who signs in, and single statements. For PostgreSQL, MySQL and MariaDB.
//!
//! Under the outbound rules, with TLS wherever the server has it, and with certificates always checked. A statement is sent once;
//! where its answer is lost, that is told, and nothing here sends it again.
pub mod mysql;
pub mod postgres;

use super::client::Outbound;
use std::borrow::Cow;
use std::time::Duration;
use url::{Url, form_urlencoded};
use zeroize::Zeroizing;

/// How long looking up, connecting and signing in may take together; and each statement after it.
const WHOLE: Duration = Duration::from_secs(10);

/// Our own words, with names of parameters at most.
pub type Why = Cow<'static, str>;

/// Where a database is, and as whom it is used.
pub struct Place {
    pub host: String,
    pub port: u16,
    pub user: Zeroizing<String>,
    pub password: Zeroizing<String>,
    pub database: String,
    pub tls: Tls,
}

/// What is said of TLS. Certificates are always checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    Unsaid,
    Wanted,
    Refused,
}

/// Why nothing was answered with rows.
#[derive(Debug, PartialEq)]
pub enum Failed {
    /// The server says no, by its own code: `28P01`, `1045`. It did nothing.
    Refused(String),
    /// There was no session: nothing was asked.
    Unreached(Why),
    /// It was asked, and its answer was lost: it may have done it.
    Lost,
}

/// What a statement answered: the text of each column of each row.
pub type Rows = Vec<Vec<String>>;

impl Place {
    /// From a connection string, as `postgres://user:password@host:5432/database?sslmode=require`.
    pub fn of_url(text: &str, port: u16) -> Result<Self, Why> {
        let url = connection_string(text)?;
        if !url.has_host() || url.username().is_empty() {
            return Err("its connection string names no host or no user".into());
        }
        let mode = url
            .query_pairs()
            .find(|(name, _)| matches!(&**name, "sslmode" | "ssl-mode" | "sslMode"))
            .map(|(_, mode)| mode.into_owned());
        Ok(Self {
            host: bare(url.host_str().unwrap_or_default())?,
            port: url.port().unwrap_or(port),
            user: decoded(url.username()),
            password: decoded(url.password().ok_or("its connection string has no password")?),
            database: decoded(url.path().trim_start_matches('/')).to_string(),
            tls: Tls::of(mode.as_deref()),
        })
    }

    /// The same place, for somebody else.
    pub fn for_user(&self, user: &str, password: &str) -> Self {
        Self {
            host: self.host.clone(),
            port: self.port,
            user: Zeroizing::new(user.to_owned()),
            password: Zeroizing::new(password.to_owned()),
            database: self.database.clone(),
            tls: self.tls,
        }
    }

    /// Whether it may be spoken to without TLS: an admin named it, and nobody asked for TLS.
    fn expect_plain(&self, outbound: &Outbound) -> Result<(), Why> {
        match (self.tls, outbound.is_named(&self.host, self.port)) {
            (Tls::Wanted, _) => Err("it offers no TLS, which was asked for".into()),
            (_, true) => Ok(()),
            (_, false) => Err("it offers no TLS, or sslmode refuses it: nothing was sent".into()),
        }
    }
}

impl Tls {
    /// As `sslmode` says it.
    pub fn of(mode: Option<&str>) -> Self {
        match mode.map(str::to_ascii_lowercase).as_deref() {
            Some("disable" | "disabled") => Self::Refused,
            Some("require" | "required" | "verify-ca" | "verify-full" | "verify_ca" | "verify_identity") => {
                Self::Wanted
            }
            _ => Self::Unsaid,
        }
    }
}

/// A connection string as an address, where there is one way to read it.
///
/// What stands before the first `/`, `?` or `#` is the authority (RFC 3986 §3.2): with one of these in a password as it is, a
/// piece of the password would be the host. An `@` after it tells of that.
pub fn connection_string(text: &str) -> Result<Url, Why> {
    let text = text.trim();
    let (_, rest) = text.split_once("://").ok_or("its value is no connection string")?;
    let (_, after) = rest.split_at(rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len()));
    if after.contains('@') {
        return Err("its connection string can be read in two ways: write / ? # and @ within its parts as %2F %3F %23 and %40".into());
    }
    // A parser would leave these out and read on.
    if text.contains(|c: char| c.is_control()) {
        return Err("its value is no connection string".into());
    }
    Url::parse(text).map_err(|_| "its value is no connection string".into())
}

/// One host, and nothing around it: what else there is would be read by one and not by another.
pub fn bare(host: &str) -> Result<String, Why> {
    let host = host.trim();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let is_v6 = host.starts_with('[') && host.ends_with(']');
    let inner = host.trim_start_matches('[').trim_end_matches(']');
    match is_v6 && inner.chars().all(|c| c.is_ascii_hexdigit() || c == ':') {
        true => Ok(host.to_owned()),
        false if !host.is_empty() && host.chars().all(is_plain) => Ok(host.to_ascii_lowercase()),
        false => Err("its host is no plain name".into()),
    }
}

/// A part of an address as it was meant (RFC 3986 §2.1); a plus stands for itself.
pub fn decoded(part: &str) -> Zeroizing<String> {
    let form = Zeroizing::new(format!("x={}", part.replace('+', "%2B").replace('&', "%26")));
    Zeroizing::new(
        form_urlencoded::parse(form.as_bytes()).next().map_or(String::new(), |(_, v)| v.into_owned()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_string_is_taken_apart_as_it_was_meant() {
        let place =
            Place::of_url("postgres://a%40b:p%2F+%3A@DB.example.com/app?sslmode=require", 5432).ok().unwrap();

        assert_eq!((place.host.as_str(), place.port), ("db.example.com", 5432));
        assert_eq!((place.user.as_str(), place.password.as_str()), ("a@b", "p/+:"));
        assert_eq!((place.database.as_str(), place.tls), ("app", Tls::Wanted));
    }

    #[test]
    fn what_could_mean_two_hosts_is_none() {
        for text in [
            "postgres://u:p@a.example,b.example/x",
            "postgres://u:p@/x?host=/tmp",
            "postgres://a.example/x",
            "postgres://u@a.example/x",
            "host=a.example user=u",
            "mysql://u:p@a b/x",
            "",
        ] {
            assert!(Place::of_url(text, 1).is_err(), "{text}");
        }
    }

    #[test]
    fn a_password_that_ends_the_authority_is_no_host_and_is_not_told() {
        let pieces =
            ["Kp9@778812345/Zq", "Kp9@10.1.2.3?Zq", "Kp9@10.1.2.3#Zq", "Kp9@10.1.2.3\\Zq", "1/Kp9Zq"];
        for piece in pieces {
            for (before, after) in [("app:", "/app"), ("app:x@y:", ""), ("", "/app?sslmode=require")] {
                let why =
                    Place::of_url(&format!("postgres://{before}{piece}@db.example.com{after}"), 1).err();

                let why = why.expect("it can be read in two ways");
                assert!(!why.contains("778812345") && !why.contains("Kp9") && !why.contains("Zq"), "{why}");
            }
        }
        assert!(Place::of_url("postgres://app:K@a.exa\nmple/app", 1).is_err());
        for fine in [
            "postgres://app:Kp9@778812345%2FZq@db.example.com/app",
            "postgres://app:Kp9%40Zq@db.example.com/app?application_name=a%40b",
        ] {
            assert_eq!(Place::of_url(fine, 1).ok().unwrap().host, "db.example.com");
        }
    }

    #[test]
    fn without_tls_only_what_the_configuration_names_is_spoken_to() {
        let place = |tls| Place { tls, ..Place::of_url("postgres://u:p@127.0.0.1:5/x", 1).ok().unwrap() };
        let (open, closed) =
            (Outbound { allow: vec!["127.0.0.1:5".into()], ..Outbound::default() }, Outbound::default());

        assert!(
            place(Tls::Unsaid).expect_plain(&open).is_ok() && place(Tls::Refused).expect_plain(&open).is_ok()
        );
        assert!(place(Tls::Wanted).expect_plain(&open).is_err());
        for tls in [Tls::Unsaid, Tls::Wanted, Tls::Refused] {
            assert!(place(tls).expect_plain(&closed).is_err(), "{tls:?}");
        }
    }
}
