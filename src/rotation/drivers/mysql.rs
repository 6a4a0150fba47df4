//! Passwords of MariaDB and MySQL: one user, two that take turns, or MySQL's two passwords of one user.
//!
//! MariaDB is told what it keeps of a password (`mysql_native_password`), never the password. MySQL takes none of that for its own
//! default: it is told the password, inside TLS alone. MySQL's two passwords are used where the configuration says `overlap`.
use super::super::driver::{Call, Created, Driver, Ended, Fields, Made, Makes, Tested};
use super::login::{Login, found, fresh_password, not_in};
use super::{expect_same_server, is_same_server};
use crate::config::Rotation;
use crate::error::{Result, internal, invalid};
use crate::ids::CredentialId;
use crate::model::credential::Credential;
use crate::model::rotation::Finding;
use crate::services::client::Outbound;
use crate::services::sql::mysql::{PORT, Session, native_hash, quoted};
use crate::services::sql::{Failed, Place};
use futures_util::future::BoxFuture;
use std::sync::Arc;
use zeroize::Zeroizing;

/// The password is not right, or the user is unknown. That it is locked (3118, 4151) says nothing of its password.
const DEAD: [&str; 1] = ["1045"];
/// The password was right, and the database is not there, or not for this user.
const LIMITED: [&str; 2] = ["1044", "1049"];

pub struct Mysql {
    outbound: Outbound,
    settings: Arc<Rotation>,
}

/// Whose password is changed.
enum Whom<'a> {
    /// Whoever is signed in.
    Oneself,
    /// A user of this name, by somebody who may.
    Other(&'a str),
}

impl Mysql {
    pub fn new(outbound: Outbound, settings: Arc<Rotation>) -> Self {
        Self { outbound, settings }
    }

    fn login<'a>(&self, credential: &'a Credential) -> Login<'a> {
        Login::of(&self.settings, credential, PORT)
    }

    /// Whether one user keeps two passwords for a while.
    fn is_dual(&self, credential: &Credential) -> bool {
        let said = self.settings.credential.get(credential.id.as_str());
        !self.login(credential).has_two_roles() && said.is_some_and(|said| said.overlap == Some(true))
    }

    async fn changer(&self, call: &Call<'_>, there: &Place, own: &Place) -> Result<Session, Failed> {
        let place = match call.admin {
            None => own.for_user(&own.user, &own.password),
            Some((admin, fields)) => self
                .login(admin)
                .place(fields)
                .ok()
                .filter(|place| is_same_server(place, there))
                .ok_or(Failed::Unreached("what `admin` names is no login at the same server".into()))?,
        };
        Session::sign_in(&self.outbound, &place).await
    }

    async fn set_password(&self, call: &Call<'_>) -> Result<Ended> {
        let login = self.login(call.credential);
        let new = call.new.ok_or_else(|| internal("there is no new value to set"))?;
        let (old, new) = (login.place(call.old)?, login.place(new)?);
        expect_same_server(&old, &new)?;
        let mut session = self.changer(call, &new, &old).await.map_err(not_in)?;
        let whom = match call.admin.is_none() && old.user == new.user {
            true => Whom::Oneself,
            false => Whom::Other(&new.user),
        };
        let retain = self.is_dual(call.credential);
        let statement = alter(&mut session, whom, &new.password, retain).await?;
        match session.run(&statement).await {
            Ok(_) => Ok(Ended::Confirmed),
            Err(Failed::Refused(_)) => Ok(Ended::Refused),
            // A right password is proof; a wrong one is none, for the statement may still be under way.
            Err(_) => match self.find(&new).await {
                Finding::Valid | Finding::Limited => Ok(Ended::Confirmed),
                _ => Ok(Ended::Unsure),
            },
        }
    }

    async fn end_old(&self, call: &Call<'_>) -> Result<Ended> {
        let login = self.login(call.credential);
        let new = call.new.ok_or_else(|| internal("there is no new value in use"))?;
        let (old, new) = (login.place(call.old)?, login.place(new)?);
        expect_same_server(&old, &new)?;
        if old.user == new.user && !self.is_dual(call.credential) {
            // It ended when the new one was set; whatever is done to this user now would be done to the new one.
            return Ok(match self.find(&old).await {
                Finding::Refused => Ended::Confirmed,
                Finding::Valid | Finding::Limited => Ended::Refused,
                _ => Ended::Unsure,
            });
        }
        if old.password == new.password {
            return Err(invalid("the old value and the new one have the same password: nothing was ended"));
        }
        if old.user == new.user {
            let session = Session::sign_in(&self.outbound, &new).await.map_err(not_in)?;
            return self.ended(session, "ALTER USER USER() DISCARD OLD PASSWORD", &old).await;
        }
        // Signed in as the old one itself, unless there is an admin: each user may change its own password.
        let mut session = match self.changer(call, &old, &old).await {
            Ok(session) => session,
            Err(failed) if call.admin.is_none() && found(&failed, &DEAD, &[]) == Finding::Refused => {
                return Ok(Ended::Confirmed);
            }
            Err(failed) => return Err(not_in(failed)),
        };
        let whom = if call.admin.is_none() { Whom::Oneself } else { Whom::Other(&old.user) };
        let statement = alter(&mut session, whom, &fresh_password()?, false).await?;
        self.ended(session, &statement, &old).await
    }

    async fn ended(&self, mut session: Session, statement: &str, old: &Place) -> Result<Ended> {
        match session.run(statement).await {
            Ok(_) => Ok(Ended::Confirmed),
            Err(Failed::Refused(_)) => Ok(Ended::Refused),
            Err(_) => match self.find(old).await {
                Finding::Refused => Ok(Ended::Confirmed),
                _ => Ok(Ended::Unsure),
            },
        }
    }

    async fn find(&self, place: &Place) -> Finding {
        match Session::sign_in(&self.outbound, place).await {
            Ok(_) => Finding::Valid,
            Err(failed) => found(&failed, &DEAD, &LIMITED),
        }
    }

    async fn look(&self, credential: &Credential, fields: &Fields) -> Result<Tested> {
        let login = self.login(credential);
        let place = login.place(fields)?;
        let nothing = |finding| Tested { finding, account: String::new(), scopes: Vec::new() };
        let mut session = match Session::sign_in(&self.outbound, &place).await {
            Ok(session) => session,
            Err(failed) => return Ok(nothing(found(&failed, &DEAD, &LIMITED))),
        };
        match session.run("SHOW GRANTS").await {
            Ok(rows) => Ok(Tested {
                finding: Finding::Valid,
                account: login.account(fields, &place),
                scopes: rows.into_iter().filter_map(|row| grant(row.first()?)).take(200).collect(),
            }),
            Err(_) => Ok(nothing(Finding::Valid)),
        }
    }
}

/// What a line of SHOW GRANTS gives, and not to whom: what follows has what is kept of the password.
fn grant(line: &str) -> Option<String> {
    let (given, _) = line.strip_prefix("GRANT ")?.split_once(" TO ")?;
    Some(given.to_owned())
}

/// The statement that sets `password`. Reads whose it is first; changes nothing.
async fn alter(
    session: &mut Session,
    whom: Whom<'_>,
    password: &str,
    retain: bool,
) -> Result<Zeroizing<String>> {
    let is_mariadb = session.version.contains("MariaDB");
    let account = match whom {
        Whom::Oneself => None,
        Whom::Other(user) => Some(account(session, user).await?),
    };
    let text = match (is_mariadb, account) {
        (true, _) if retain => {
            return Err(invalid(
                "MariaDB keeps one password a user: take `overlap` away, or name two `roles`",
            ));
        }
        (true, None) => format!("SET PASSWORD = '{}'", native_hash(password).as_str()),
        (true, Some(account)) => {
            format!(
                "ALTER USER {account} IDENTIFIED VIA mysql_native_password USING '{}'",
                native_hash(password).as_str()
            )
        }
        (false, _) if !session.has_tls => {
            return Err(invalid("MySQL is told the password itself, and without TLS it is not"));
        }
        (false, account) => {
            let account = account.unwrap_or_else(|| "USER()".to_owned());
            let retain = if retain { " RETAIN CURRENT PASSWORD" } else { "" };
            // Of letters and digits, unless a person entered it.
            if !password.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
                return Err(invalid("only passwords of letters and digits are set here"));
            }
            format!("ALTER USER {account} IDENTIFIED BY '{password}'{retain}")
        }
    };
    Ok(Zeroizing::new(text))
}

/// `user`@`host`, where there is one of that name.
async fn account(session: &mut Session, user: &str) -> Result<String> {
    let asked = format!(
        "SELECT Host FROM mysql.user WHERE User = X'{}'",
        data_encoding::HEXUPPER.encode(user.as_bytes())
    );
    let rows = session.run(&asked).await.map_err(|failed| match failed {
        Failed::Refused(code) => invalid(format!(
            "whoever changes the password may not see the users ({code})"
        ))
        .next("Name a credential under `admin` in unsaid.toml that may read mysql.user and alter users."),
        failed => not_in(failed),
    })?;
    match &rows[..] {
        [row] => Ok(format!("{}@{}", quoted(user), quoted(row.first().map_or("", String::as_str)))),
        [] => Err(invalid("the server knows no user of that name")),
        _ => Err(invalid("the server knows several users of that name, for different hosts")),
    }
}

impl Driver for Mysql {
    fn name(&self) -> &'static str {
        "mysql"
    }
    fn makes(&self) -> Makes {
        Makes::Us
    }
    fn revokes(&self) -> bool {
        true
    }
    fn tests(&self) -> bool {
        true
    }
    fn drives(&self, credential: &Credential) -> bool {
        self.login(credential).is_known()
    }
    fn overlaps(&self, credential: &Credential) -> Option<bool> {
        Some(self.login(credential).has_two_roles() || self.is_dual(credential))
    }
    fn admin(&self, credential: &Credential) -> Option<CredentialId> {
        let said = self.settings.credential.get(credential.id.as_str())?;
        said.admin.as_deref().map(CredentialId::from)
    }
    fn is_tried_live(&self, credential: &Credential) -> bool {
        !self.is_dual(credential)
    }

    fn create<'a>(&'a self, _: Call<'a>) -> BoxFuture<'a, Result<Created>> {
        Box::pin(async { Err(internal("a database makes no passwords")) })
    }
    fn invent(&self, call: Call<'_>) -> Result<Made> {
        self.login(call.credential).invent(call.old)
    }
    fn set<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, Result<Ended>> {
        Box::pin(async move { self.set_password(&call).await })
    }
    fn test<'a>(&'a self, credential: &'a Credential, fields: &'a Fields) -> BoxFuture<'a, Result<Tested>> {
        Box::pin(self.look(credential, fields))
    }
    fn revoke<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, Result<Ended>> {
        Box::pin(async move { self.end_old(&call).await })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_grant_only_what_it_gives_is_kept() {
        let line = "GRANT USAGE ON *.* TO `app_a`@`%` IDENTIFIED BY PASSWORD '*0123'";

        assert_eq!(grant(line).as_deref(), Some("USAGE ON *.*"));
        assert_eq!(grant("GRANT `reader` TO `app_a`@`%`").as_deref(), Some("`reader`"));
        assert_eq!(grant("SET DEFAULT ROLE x"), None);
    }
}
