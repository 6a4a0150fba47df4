//! Signing in to a PostgreSQL database, and where a database is: a connection string, or fields beside a password.
use super::super::check::Check;
use super::super::client::Stream;
use super::super::service::Service;
use super::super::sql::connection_string;
use super::subject::{Subject, missing};
use super::{Way, Why, limits, refuses, takes};
use crate::model::credential::CredentialType;
use crate::model::probe::Probed;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_postgres::config::SslMode;
use tokio_postgres::{Config, NoTls, SimpleQueryMessage};
use url::form_urlencoded;
use zeroize::Zeroizing;

/// Asks for TLS (PostgreSQL's protocol, "SSLRequest").
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
/// The password was right, and the database is not there, or not for this user.
const SIGNED_IN_AND_NO_FURTHER: [&str; 2] = ["3D000", "42501"];

/// Where a database is, and as whom it is used.
pub(super) struct Place {
    pub host: String,
    pub port: u16,
    pub user: Zeroizing<String>,
    pub password: Zeroizing<String>,
    pub database: String,
    pub tls: Tls,
    /// The user stands in a field of its own, so that it may be named.
    pub has_fields: bool,
}

/// What is said of TLS. Certificates are always checked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Tls {
    Unsaid,
    Wanted,
    Refused,
}

impl Place {
    pub fn of(subject: &Subject, port: u16) -> Result<Self, Why> {
        let url = match subject.kind {
            CredentialType::ApiKey | CredentialType::File => subject.key(),
            _ => ["url", "dsn", "uri", "connection_string"].iter().find_map(|name| subject.part(name)),
        };
        match url {
            Some(url) => Self::of_url(&url, port),
            None => Self::of_fields(subject, port),
        }
    }

    fn of_fields(subject: &Subject, port: u16) -> Result<Self, Why> {
        let host = subject.part("host").ok_or_else(|| missing("host"))?;
        let user =
            subject.part("user").or_else(|| subject.part("username")).ok_or_else(|| missing("user"))?;
        let database = ["database", "dbname", "db"].iter().find_map(|name| subject.part(name));
        let port = match subject.part("port") {
            Some(text) => text.trim().parse().map_err(|_| "its port is no number")?,
            None => port,
        };
        Ok(Self {
            host: bare(&host)?,
            port,
            user,
            password: subject.part("password").ok_or_else(|| missing("password"))?,
            database: database.map(|name| name.to_string()).unwrap_or_default(),
            tls: tls(subject.part("sslmode").map(|mode| mode.to_string()).as_deref()),
            has_fields: true,
        })
    }

    fn of_url(text: &str, port: u16) -> Result<Self, Why> {
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
            tls: tls(mode.as_deref()),
            has_fields: false,
        })
    }
}

/// One host, and nothing around it: what else there is would be read by one and not by another.
pub(super) fn bare(host: &str) -> Result<String, Why> {
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

fn tls(mode: Option<&str>) -> Tls {
    match mode.map(str::to_ascii_lowercase).as_deref() {
        Some("disable" | "disabled") => Tls::Refused,
        Some("require" | "required" | "verify-ca" | "verify-full" | "verify_ca" | "verify_identity") => {
            Tls::Wanted
        }
        _ => Tls::Unsaid,
    }
}

/// A part of an address as it was meant (RFC 3986 §2.1); a plus stands for itself.
fn decoded(part: &str) -> Zeroizing<String> {
    let form = Zeroizing::new(format!("x={}", part.replace('+', "%2B").replace('&', "%26")));
    Zeroizing::new(
        form_urlencoded::parse(form.as_bytes()).next().map_or(String::new(), |(_, v)| v.into_owned()),
    )
}

/// Whether a server may be spoken to without TLS: an admin named it, and nobody asked for TLS.
pub(super) fn may_be_plain(way: &Way<'_>, place: &Place) -> Result<(), Why> {
    match (place.tls, way.outbound.is_named(&place.host, place.port)) {
        (Tls::Wanted, _) => Err("it offers no TLS, which its connection string asks for".into()),
        (_, true) => Ok(()),
        (_, false) => Err("it offers no TLS, or its connection string refuses it: nothing was sent".into()),
    }
}

impl Way<'_> {
    pub(super) async fn postgres(
        &self,
        service: &Service,
        check: &Check,
        subject: &Subject,
    ) -> Result<Probed, Why> {
        let place = Place::of(subject, 5432)?;
        let stream = self.secured(&place).await?;
        let mut config = Config::new();
        config
            .user(place.user.as_str())
            .password(place.password.as_bytes())
            .application_name("unsaid")
            .ssl_mode(SslMode::Disable);
        if !place.database.is_empty() {
            config.dbname(&place.database);
        }
        let failed = |e: tokio_postgres::Error| -> Result<Probed, Why> {
            let state = e.code().map(|state| state.code().to_owned()).unwrap_or_default();
            if check.invalid_sqlstate.contains(&state) {
                return Ok(refuses(service));
            }
            match SIGNED_IN_AND_NO_FURTHER.contains(&state.as_str()) {
                true => Ok(limits(service)),
                false => Err("it did not let us sign in, and not for the password's sake".into()),
            }
        };
        let (client, connection) = match config.connect_raw(stream, NoTls).await {
            Ok(both) => both,
            Err(e) => return failed(e),
        };
        let query = client.simple_query(check.query.as_deref().unwrap_or("SELECT current_user"));
        let rows = tokio::select! {
            rows = query => rows,
            _ = connection => return Err("the connection broke off".into()),
        };
        let rows = match rows {
            Ok(rows) => rows,
            Err(e) => return failed(e),
        };
        let user = rows.iter().find_map(|row| match row {
            SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        });
        let mut found = takes(service);
        // Inside a connection string the user is a part of the value.
        let is_named = |user: &String| place.has_fields && *user == *place.user && !subject.is_in(user);
        if let Some(user) = user.filter(is_named) {
            found.account = user.chars().filter(|c| !c.is_control()).take(100).collect();
        }
        Ok(found)
    }

    /// A connection over which the protocol begins: with TLS wherever there is any.
    async fn secured(&self, place: &Place) -> Result<Stream, Why> {
        let broken = |_| Why::from("the connection broke off");
        if place.tls == Tls::Refused {
            may_be_plain(self, place)?;
            return self.outbound.tcp_to(&place.host, place.port).await;
        }
        let mut stream = self.outbound.tcp_to(&place.host, place.port).await?;
        stream.write_all(&SSL_REQUEST).await.map_err(broken)?;
        stream.flush().await.map_err(broken)?;
        // One byte and no more: what follows must come through TLS (CVE-2021-23222).
        match stream.read_u8().await.map_err(broken)? {
            b'S' => self.outbound.tls_over(&place.host, stream).await,
            b'N' => may_be_plain(self, place).map(|()| stream),
            _ => Err("it does not speak PostgreSQL's protocol".into()),
        }
    }
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
        assert_eq!(place.database, "app");
        assert!(place.tls == Tls::Wanted && !place.has_fields);
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
}
