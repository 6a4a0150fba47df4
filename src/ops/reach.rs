//! From what a caller wrote to a credential that they may reach. What they may not know of is not found, in every answer.
use crate::app::App;
use crate::error::{Code, Error, Result};
use crate::ids::{CredentialId, OrgId, TeamId};
use crate::model::Word;
use crate::model::access::{Access, Caller, Grant, Standing, access};
use crate::model::credential::{Credential, Scope};
use crate::model::org::{Org, Role};
pub use crate::model::text::shown;
use crate::store::{Place, Reader};

/// A credential with what this caller may do to it.
#[derive(Clone, Debug)]
pub struct Reached {
    pub credential: Credential,
    pub access: Access,
    pub grants: Vec<Grant>,
}

/// What an operation asks for before it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    See,
    View,
    Use,
    Manage,
}

/// The caller's standing and org, read afresh.
pub fn who(tx: &Reader<'_>, caller: &Caller) -> Result<(Standing, Org)> {
    Ok((tx.standing(caller)?, tx.org(&caller.org)?))
}

/// What the caller is in their org, for a door that shortens its list of tools. Cheap: one row.
pub async fn role(app: &App, caller: &Caller) -> Result<Role> {
    let asking = caller.clone();
    app.store.read_here(move |tx| Ok(tx.standing(&asking)?.role)).await
}

/// Refuses all but admins.
pub fn admin(tx: &Reader<'_>, caller: &Caller) -> Result<Standing> {
    let who = tx.standing(caller)?;
    match who.role {
        Role::Admin => Ok(who),
        _ => Err(Error::new(Code::NotAllowed, "only an admin of the org may do this")),
    }
}

fn not_found(name: &str) -> Error {
    Error::new(Code::CredentialNotFound, format!("there is no credential {} you can see", shown(name)))
}

/// What `who` may do with `credential`.
pub fn reached(tx: &Reader<'_>, org: &OrgId, who: &Standing, credential: Credential) -> Result<Reached> {
    let grants = tx.grants_on(org, &credential.id)?;
    Ok(Reached { access: access(who, &credential, &grants), credential, grants })
}

/// By id, by name, or by name narrowed as `NAME@account`, `NAME[prod]`, `team/NAME`, `org/NAME`, `personal/NAME`.
///
/// Fails with `credential_not_found` for what the caller may not know, `ambiguous_name` where several fit (naming
/// only those they see), and `not_allowed` where they see it and may do less than `need`.
pub fn credential(
    tx: &Reader<'_>,
    caller: &Caller,
    who: &Standing,
    wanted: &str,
    need: Need,
) -> Result<Reached> {
    let found = lookup(tx, caller, who, wanted, false)?;
    check(&found, need)?;
    Ok(found)
}

/// As [`credential`], for a name that a configuration gives: by id, or among what the org owns and nothing else.
///
/// A name in a team or of a person is chosen by whoever leads that team, or is that person.
pub fn configured(
    tx: &Reader<'_>,
    caller: &Caller,
    who: &Standing,
    wanted: &str,
    need: Need,
) -> Result<Reached> {
    let found = match by_id(tx, caller, who, wanted.trim(), false)? {
        Some(found) => found,
        None => by_name(tx, caller, who, wanted.trim(), false, &[Place::All(Scope::Org)])?,
    };
    check(&found, need)?;
    Ok(found)
}

/// As [`credential`], in the bin too; where both exist, the one outside the bin.
pub fn credential_or_deleted(
    tx: &Reader<'_>,
    caller: &Caller,
    who: &Standing,
    wanted: &str,
    need: Need,
) -> Result<Reached> {
    let found = lookup(tx, caller, who, wanted, true)?;
    check(&found, need)?;
    Ok(found)
}

fn check(found: &Reached, need: Need) -> Result<()> {
    let a = found.access;
    let (allowed, what) = match need {
        Need::See => (a.sees(), "see"),
        Need::View => (a.views || a.manages, "see the configuration of"),
        Need::Use => (a.uses, "use"),
        Need::Manage => (a.manages, "manage"),
    };
    match allowed {
        true => Ok(()),
        false => Err(Error::new(Code::NotAllowed, format!("you may not {what} {}", found.credential.name))
            .detail("credential", found.credential.id.0.clone())),
    }
}

fn lookup(
    tx: &Reader<'_>,
    caller: &Caller,
    who: &Standing,
    wanted: &str,
    with_deleted: bool,
) -> Result<Reached> {
    let wanted = wanted.trim();
    match by_id(tx, caller, who, wanted, with_deleted)? {
        Some(found) => Ok(found),
        None => by_name(tx, caller, who, wanted, with_deleted, &places(who)),
    }
}

/// Nothing where `wanted` is no id of the org.
fn by_id(
    tx: &Reader<'_>,
    caller: &Caller,
    who: &Standing,
    wanted: &str,
    with_deleted: bool,
) -> Result<Option<Reached>> {
    if wanted.len() != 26 {
        return Ok(None);
    }
    let Some(c) = tx.find_credential(&caller.org, &CredentialId::from(wanted))? else { return Ok(None) };
    let found = reached(tx, &caller.org, who, c)?;
    match found.access.sees() {
        // Whoever only uses a credential has nothing to do with the bin.
        true if !found.credential.is_deleted() => Ok(Some(found)),
        true if with_deleted && (found.access.manages || found.access.views) => Ok(Some(found)),
        true if found.access.manages || found.access.views => {
            Err(Error::new(Code::Deleted, format!("{} is in the bin", found.credential.name)))
        }
        _ => Err(not_found(wanted)),
    }
}

fn by_name(
    tx: &Reader<'_>,
    caller: &Caller,
    who: &Standing,
    wanted: &str,
    with_deleted: bool,
    places: &[Place],
) -> Result<Reached> {
    let narrowed = Narrowed::parse(wanted);
    let key = narrowed.name.to_uppercase();
    let reach_all = |found: Vec<Credential>| -> Result<Vec<Reached>> {
        found.into_iter().filter(|c| narrowed.fits(c)).map(|c| reached(tx, &caller.org, who, c)).collect()
    };
    let mut live = reach_all(tx.candidates(&caller.org, &key, places)?)?;
    live.retain(|f| f.access.sees());
    let mut deleted = match live.is_empty() {
        true => reach_all(tx.deleted_candidates(&caller.org, &key, places)?)?,
        false => Vec::new(),
    };
    // Whoever only uses a credential has nothing to do with the bin.
    deleted.retain(|f| f.access.manages || f.access.views);
    match (live.len(), deleted.len()) {
        (1, _) => Ok(live.remove(0)),
        (0, 0) => Err(not_found(wanted)),
        (0, 1) if with_deleted => Ok(deleted.remove(0)),
        (0, _) if !with_deleted => Err(Error::new(Code::Deleted, format!("{} is in the bin", shown(wanted)))),
        (0, _) => Err(ambiguous(tx, wanted, &deleted)),
        _ => Err(ambiguous(tx, wanted, &live)),
    }
}

fn ambiguous(tx: &Reader<'_>, wanted: &str, found: &[Reached]) -> Error {
    let place = |c: &Credential| match c.scope {
        // The name of a team whose credential they see is nothing new to them.
        Scope::Team => match tx.team(&c.org_id, &TeamId::from(c.owner_id.as_str())) {
            Ok(team) => format!("team {}", team.name),
            Err(_) => "team".to_owned(),
        },
        scope => scope.to_string(),
    };
    let list: Vec<_> = found
        .iter()
        .take(10)
        .map(|f| format!("{} = {} ({})", f.credential.id, f.credential.label(), place(&f.credential)))
        .collect();
    Error::new(
        Code::AmbiguousName,
        format!("{} names {} credentials: {}", shown(wanted), found.len(), list.join("; ")),
    )
}

/// A name with what narrows it.
struct Narrowed<'a> {
    name: &'a str,
    scope: Option<Scope>,
    account: Option<&'a str>,
    environment: Option<&'a str>,
}

impl<'a> Narrowed<'a> {
    fn parse(text: &'a str) -> Self {
        let (scope, rest) = match text.split_once('/') {
            Some((scope, rest)) if Scope::parse(scope).is_some() => (Scope::parse(scope), rest),
            _ => (None, text),
        };
        let (rest, environment) = match rest.strip_suffix(']').and_then(|r| r.rsplit_once('[')) {
            Some((rest, environment)) => (rest, Some(environment)),
            None => (rest, None),
        };
        let (name, account) = match rest.split_once('@') {
            Some((name, account)) => (name, Some(account)),
            None => (rest, None),
        };
        Self { name: name.trim(), scope, account, environment }
    }
    fn fits(&self, c: &Credential) -> bool {
        self.scope.is_none_or(|scope| c.scope == scope)
            && self.account.is_none_or(|account| c.account == account)
            && self.environment.is_none_or(|environment| c.environment.as_str() == environment)
    }
}

/// Every place whose credentials this caller may see.
pub fn places(who: &Standing) -> Vec<Place> {
    let mut places = vec![Place::Owned(Scope::Personal, who.user.0.clone())];
    if who.sees_all() {
        places.push(Place::All(Scope::Team));
        places.push(Place::All(Scope::Org));
        return places;
    }
    places.push(Place::All(Scope::Org));
    let mut holders = vec![("user", who.user.0.clone())];
    for (team, _) in &who.teams {
        places.push(Place::Owned(Scope::Team, team.0.clone()));
        holders.push(("team", team.0.clone()));
    }
    holders.extend(who.consumer.iter().map(|id| ("consumer", id.clone())));
    places.push(Place::Granted(holders));
    places
}
