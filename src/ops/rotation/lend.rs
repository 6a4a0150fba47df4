//! What a call to a service needs opened: the values of the credential that is rotated, and the one of whoever administers it.
//!
//! Each use is on record before anything is opened. Nothing counts as called yet: what fails here has reached nobody.
use super::calls::{told, used};
use crate::app::App;
use crate::error::{Code, Error, Result, invalid};
use crate::ids::CredentialId;
use crate::model::access::Caller;
use crate::model::credential::{Credential, Source, Version};
use crate::model::rotation::Rotation;
use crate::ops::canary;
use crate::ops::credential::sealing::open_fields;
use crate::ops::reach::{self, Need};
use crate::rotation::{Call, Driver, Fields};
use crate::store::Reader;

/// The values of one call.
pub(super) struct Lent {
    admin: Option<(Credential, Fields)>,
    old: Fields,
    new: Option<Fields>,
}

impl Lent {
    /// A call about `c`; with another new value than the one that was opened, where there is one.
    pub fn call<'a>(&'a self, c: &'a Credential, new: Option<&'a Fields>) -> Call<'a> {
        Call {
            credential: c,
            admin: self.admin.as_ref().map(|(credential, fields)| (credential, fields)),
            old: &self.old,
            new: new.or(self.new.as_ref()),
        }
    }

    /// What a driver says went wrong, in its own words; without them where one of the values is in them.
    pub fn told(&self, c: &Credential, new: Option<&Fields>, e: Error) -> Error {
        let own = [Some(&self.old), self.new.as_ref(), new].into_iter().flatten().map(|fields| (c, fields));
        let admin = self.admin.as_ref().map(|(credential, fields)| (credential, fields));
        told(e, &own.chain(admin).collect::<Vec<_>>())
    }
}

/// Records that the values of this call are used, and opens them.
///
/// Fails with `not_allowed` where the caller may not use the credential with whose rights the driver works.
pub(super) async fn lend(
    app: &App,
    caller: &Caller,
    (r, c): (&Rotation, &Credential),
    driver: &dyn Driver,
    call: &'static str,
    (old, new): (&Version, Option<&Version>),
) -> Result<Lent> {
    let plain = Caller { idempotency: None, approval: None, ..caller.clone() };
    let (asking, r, of, name, id) = (caller.clone(), r.clone(), c.clone(), driver.name(), driver.admin(c));
    let (old, new, file) = (old.clone(), new.cloned(), app.config.file.clone());
    let (admin, old, new, alarms) = app
        .store
        .write(&plain, move |tx| {
            let mut alarms = Vec::new();
            alarms.extend(canary::watch(tx, &asking, &of, ("rotation", name), &file)?);
            let admin = match id {
                None => None,
                Some(id) => {
                    let (admin, version) = admin(tx, &asking, &of, &id)?;
                    alarms.extend(canary::watch(tx, &asking, &admin, ("rotation", name), &file)?);
                    tx.count_use(&admin.id, true)?;
                    tx.note(used(&admin, &version, &r, name, call).with("for", of.id.0.clone()))?;
                    let fields = tx.fields(&version.id)?;
                    Some((admin, version, fields))
                }
            };
            if let Some(new) = &new {
                tx.note(used(&of, new, &r, name, call))?;
            }
            let sealed = tx.fields(&old.id)?;
            let new = new.map(|new| Ok::<_, Error>((tx.fields(&new.id)?, new))).transpose()?;
            let event = used(&of, &old, &r, name, call);
            tx.record_step(event, (admin, (sealed, old), new, alarms))
        })
        .await?;
    alarms.iter().for_each(|alarm| canary::alert(app, alarm));
    let vault = app.vault();
    let admin = admin.map(|(credential, version, sealed)| {
        let fields = open_fields(&vault, &credential, &version, sealed)?;
        Ok::<_, Error>((credential, fields))
    });
    Ok(Lent {
        admin: admin.transpose()?,
        old: open_fields(&vault, c, &old.1, old.0)?,
        new: new.map(|(sealed, version)| open_fields(&vault, c, &version, sealed)).transpose()?,
    })
}

/// The credential with whose rights `c` is changed, by its id alone: a name could be another one for each caller.
fn admin(
    tx: &Reader<'_>,
    caller: &Caller,
    c: &Credential,
    id: &CredentialId,
) -> Result<(Credential, Version)> {
    let not_yours = || {
        Error::new(
            Code::NotAllowed,
            format!(
                "{} is changed with the rights of the credential that `admin` names in unsaid.toml, which you may not use",
                c.label()
            ),
        )
        .next("Have somebody go on with the rotation who may use both, or ask for that one to be shared.")
    };
    let who = tx.standing(caller)?;
    let found = reach::credential(tx, caller, &who, id.as_str(), Need::Use).map_err(|e| match e.code {
        Code::CredentialNotFound | Code::NotAllowed | Code::AmbiguousName => not_yours(),
        _ => e,
    })?;
    let admin = found.credential;
    if admin.id != *id {
        return Err(not_yours());
    }
    if admin.id == c.id || admin.source != Source::Manual {
        return Err(invalid(format!(
            "what `admin` names in unsaid.toml cannot change {}: it is that one itself, or a connection",
            c.label()
        )));
    }
    if admin.expires_at.is_some_and(|end| end <= tx.now()) {
        return Err(Error::new(Code::CredentialExpired, format!("{} has expired", admin.label())));
    }
    let version = tx.current_version(&admin)?;
    let version =
        version.ok_or_else(|| Error::new(Code::ValueMissing, format!("{} has no value", admin.label())))?;
    Ok((admin, version))
}
