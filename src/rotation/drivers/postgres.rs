//! PostgreSQL passwords, with one role or with two that take turns.
//!
//! With one role the old password ends when the new one is set: there is a short gap. With two, the new value is the other role's, and
//! the old one works until it is revoked: its password becomes one that nobody knows. Only what the server keeps of a password
//! goes over the wire, so that neither a log nor a listener has it. Sessions that are open live on.
use super::super::driver::{Call, Created, Driver, Ended, Fields, Made, Makes, Tested};
use super::login::{Login, found, fresh_password, not_in};
use super::{expect_same_server, is_same_server};
use crate::config::Rotation;
use crate::error::{Result, internal};
use crate::ids::CredentialId;
use crate::model::credential::Credential;
use crate::model::rotation::Finding;
use crate::services::client::Outbound;
use crate::services::sql::postgres::{PORT, Session, quoted, verifier};
use crate::services::sql::{Failed, Place};
use futures_util::future::BoxFuture;
use std::sync::Arc;
use zeroize::Zeroizing;

/// The password is not right. That the role may not sign in, or not from here (28000), says nothing of its password.
const DEAD: [&str; 1] = ["28P01"];
/// The password was right, and the database is not there, or not for this role.
const LIMITED: [&str; 2] = ["3D000", "42501"];
/// What a role may do, besides the roles that it is a member of: a new one may do at least as much.
const RIGHTS: &str = "SELECT 'member of ' || r.rolname FROM pg_catalog.pg_roles r \
     WHERE pg_catalog.pg_has_role(current_user, r.oid, 'MEMBER') \
     UNION ALL SELECT x.may FROM pg_catalog.pg_roles r, LATERAL (VALUES ('superuser', r.rolsuper), \
     ('createrole', r.rolcreaterole), ('createdb', r.rolcreatedb), ('replication', r.rolreplication), \
     ('bypassrls', r.rolbypassrls)) AS x(may, has) WHERE r.rolname = current_user AND x.has \
     ORDER BY 1 LIMIT 200";

pub struct Postgres {
    outbound: Outbound,
    settings: Arc<Rotation>,
}

impl Postgres {
    pub fn new(outbound: Outbound, settings: Arc<Rotation>) -> Self {
        Self { outbound, settings }
    }

    fn login<'a>(&self, credential: &'a Credential) -> Login<'a> {
        Login::of(&self.settings, credential, PORT)
    }

    /// Whoever may change the password of a role at `there`: the credential that the configuration names, else `own`.
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
        let session = self.changer(call, &new, &old).await.map_err(not_in)?;
        match session.run(&alter(&new.user, &new.password)).await {
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
        if old.user == new.user {
            // It ended when the new one was set; whatever is done to this role now would be done to the new one.
            return Ok(match self.find(&old).await {
                Finding::Refused => Ended::Confirmed,
                Finding::Valid | Finding::Limited => Ended::Refused,
                _ => Ended::Unsure,
            });
        }
        // Signed in as the old one itself, unless there is an admin: each role may change its own password.
        let session = match self.changer(call, &old, &old).await {
            Ok(session) => session,
            Err(failed) if call.admin.is_none() && found(&failed, &DEAD, &[]) == Finding::Refused => {
                return Ok(Ended::Confirmed);
            }
            Err(failed) => return Err(not_in(failed)),
        };
        let nobodys = fresh_password()?;
        match session.run(&alter(&old.user, &nobodys)).await {
            Ok(_) => Ok(Ended::Confirmed),
            Err(Failed::Refused(_)) => Ok(Ended::Refused),
            Err(_) => match self.find(&old).await {
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
        let session = match Session::sign_in(&self.outbound, &place).await {
            Ok(session) => session,
            Err(failed) => return Ok(nothing(found(&failed, &DEAD, &LIMITED))),
        };
        // Membership in one another is how the two may be kept, and no right of theirs.
        let other = login.next_user(fields, &place.user)?;
        let own = [format!("member of {}", place.user.as_str()), format!("member of {}", other.as_str())];
        let scopes = match session.run(RIGHTS).await {
            Ok(rows) => rows
                .into_iter()
                .filter_map(|row| row.into_iter().next())
                .filter(|s| !own.contains(s))
                .collect(),
            Err(failed) => return Ok(nothing(found(&failed, &DEAD, &LIMITED))),
        };
        Ok(Tested { finding: Finding::Valid, account: login.account(fields, &place), scopes })
    }
}

fn alter(role: &str, password: &str) -> Zeroizing<String> {
    Zeroizing::new(format!("ALTER ROLE {} PASSWORD '{}'", quoted(role), verifier(password)))
}

impl Driver for Postgres {
    fn name(&self) -> &'static str {
        "postgres"
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
        Some(self.login(credential).has_two_roles())
    }
    fn admin(&self, credential: &Credential) -> Option<CredentialId> {
        let said = self.settings.credential.get(credential.id.as_str())?;
        said.admin.as_deref().map(CredentialId::from)
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
