//! Signing in to a database: where it is by a connection string, or by fields beside a password.
use super::super::check::Check;
use super::super::service::Service;
use super::super::sql::{Failed, Place, Tls, bare, mysql, postgres};
use super::subject::{Subject, missing};
use super::{Way, Why, limits, refuses, takes};
use crate::model::credential::CredentialType;
use crate::model::probe::Probed;

/// The password was right, and the database is not there, or not for this user: by PostgreSQL's code, and by MySQL's.
const SIGNED_IN_AND_NO_FURTHER: [&str; 4] = ["3D000", "42501", "1044", "1049"];

/// Where it is, and whether its user stands in a field of its own, so that it may be named.
fn place(subject: &Subject, port: u16) -> Result<(Place, bool), Why> {
    let url = match subject.kind {
        CredentialType::ApiKey | CredentialType::File => subject.key(),
        _ => ["url", "dsn", "uri", "connection_string"].iter().find_map(|name| subject.part(name)),
    };
    match url {
        Some(url) => Ok((Place::of_url(&url, port)?, false)),
        None => Ok((of_fields(subject, port)?, true)),
    }
}

fn of_fields(subject: &Subject, port: u16) -> Result<Place, Why> {
    let host = subject.part("host").ok_or_else(|| missing("host"))?;
    let user = subject.part("user").or_else(|| subject.part("username")).ok_or_else(|| missing("user"))?;
    let database = ["database", "dbname", "db"].iter().find_map(|name| subject.part(name));
    let port = match subject.part("port") {
        Some(text) => text.trim().parse().map_err(|_| "its port is no number")?,
        None => port,
    };
    Ok(Place {
        host: bare(&host)?,
        port,
        user,
        password: subject.part("password").ok_or_else(|| missing("password"))?,
        database: database.map(|name| name.to_string()).unwrap_or_default(),
        tls: Tls::of(subject.part("sslmode").map(|mode| mode.to_string()).as_deref()),
    })
}

/// What it means that nobody is signed in; `is_dead` knows the codes by which the server refuses the password.
fn out(service: &Service, failed: Failed, is_dead: impl Fn(&str) -> bool) -> Result<Probed, Why> {
    match failed {
        Failed::Refused(code) if is_dead(&code) => Ok(refuses(service)),
        Failed::Refused(code) if SIGNED_IN_AND_NO_FURTHER.contains(&code.as_str()) => Ok(limits(service)),
        Failed::Refused(_) => Err("it did not let us sign in, and not for the password's sake".into()),
        Failed::Unreached(why) => Err(why),
        Failed::Lost => Err("the connection broke off".into()),
    }
}

/// That it takes it, of whom where that may be named.
fn signed_in(service: &Service, subject: &Subject, user: Option<&str>) -> Probed {
    let mut found = takes(service);
    if let Some(user) = user.filter(|user| !subject.is_in(user)) {
        found.account = user.chars().filter(|c| !c.is_control()).take(100).collect();
    }
    found
}

impl Way<'_> {
    pub(super) async fn postgres(
        &self,
        service: &Service,
        check: &Check,
        subject: &Subject,
    ) -> Result<Probed, Why> {
        let (place, has_fields) = place(subject, postgres::PORT)?;
        let is_dead = |code: &str| check.invalid_sqlstate.iter().any(|dead| dead == code);
        let asked = async {
            let session = postgres::Session::sign_in(self.outbound, &place).await?;
            session.run(check.query.as_deref().unwrap_or("SELECT current_user")).await
        };
        let rows = match asked.await {
            Ok(rows) => rows,
            Err(failed) => return out(service, failed, is_dead),
        };
        let user = rows.first().and_then(|row| row.first());
        let is_named = |user: &&String| has_fields && **user == *place.user;
        Ok(signed_in(service, subject, user.filter(is_named).map(String::as_str)))
    }

    pub(super) async fn mysql(
        &self,
        service: &Service,
        check: &Check,
        subject: &Subject,
    ) -> Result<Probed, Why> {
        let (place, has_fields) = place(subject, mysql::PORT)?;
        let is_dead = |code: &str| code.parse().is_ok_and(|code| check.invalid_error_codes.contains(&code));
        match mysql::Session::sign_in(self.outbound, &place).await {
            Ok(session) => session.quit().await,
            Err(failed) => return out(service, failed, is_dead),
        }
        Ok(signed_in(service, subject, has_fields.then_some(place.user.as_str())))
    }
}
