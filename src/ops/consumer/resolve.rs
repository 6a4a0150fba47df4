//! Which credential a binding means for the person a consumer runs for.
use crate::error::{Code, Error, Result};
use crate::ids::CredentialId;
use crate::model::access::{Caller, Standing, access};
use crate::model::consumer::{Binding, BindingSource, Consumer};
use crate::model::credential::{Credential, Scope, Source};
use crate::model::resolution::{Narrowing, Resolved, Verdict, resolve};
use crate::ops::reach;
use crate::store::Reader;

/// What a binding found.
pub struct Found {
    pub candidates: Vec<Credential>,
    pub resolved: Resolved,
    pub narrowing: Narrowing,
}

impl Found {
    pub fn winner(&self) -> Option<&Credential> {
        self.resolved.winner.map(|i| &self.candidates[i])
    }
}

/// Looks for `binding`'s credential as `who` (with `who.consumer` set, what the consumer was granted counts too).
///
/// A binding narrows what the name would resolve to; it never reaches further than its person and its grants do.
pub fn look(tx: &Reader<'_>, caller: &Caller, who: &Standing, c: &Consumer, b: &Binding) -> Result<Found> {
    let narrowing = Narrowing {
        account: (!b.account.is_empty()).then(|| b.account.clone()),
        environment: b.environment,
        team: match (b.team_id.is_empty(), c.scope) {
            (false, _) => Some(b.team_id.clone()),
            (true, Scope::Team) => Some(c.owner_id.clone()),
            (true, _) => None,
        },
    };
    let wanted = b.wanted();
    let is_id = wanted.len() == 26;
    let mut candidates = match is_id {
        true => tx
            .find_credential(&caller.org, &CredentialId::from(wanted))?
            .filter(|c| c.deleted_at.is_none())
            .into_iter()
            .collect(),
        false => Vec::new(),
    };
    if candidates.is_empty() {
        candidates = tx.candidates(&caller.org, &wanted.to_ascii_uppercase(), &reach::places(who))?;
    }
    candidates.retain(|found| match b.source {
        BindingSource::Auto => true,
        BindingSource::Static => false,
        BindingSource::OAuth => found.source == Source::OAuth,
        BindingSource::OrgSecret => found.scope == Scope::Org,
        BindingSource::TeamSecret => {
            found.scope == Scope::Team && (b.team_id.is_empty() || found.owner_id == b.team_id)
        }
        BindingSource::UserSecret => found.scope == Scope::Personal && found.owner_id == who.user.as_str(),
    });
    let mut seen = Vec::with_capacity(candidates.len());
    let mut may_use = Vec::with_capacity(candidates.len());
    for found in candidates {
        let access = access(who, &found, &tx.grants_on(&caller.org, &found.id)?);
        if access.sees() {
            may_use.push(access.uses);
            seen.push(found);
        }
    }
    let resolved = resolve(&seen, &may_use, &narrowing, tx.now());
    Ok(Found { candidates: seen, resolved, narrowing })
}

/// Whether a binding of `consumer` that names `credential` may be handed it.
pub(in crate::ops) fn may_mean(b: &Binding, consumer: &Consumer, credential: &Credential) -> bool {
    let is_of_source = match b.source {
        BindingSource::Auto => true,
        BindingSource::Static => false,
        BindingSource::OAuth => credential.source == Source::OAuth,
        BindingSource::OrgSecret => credential.scope == Scope::Org,
        BindingSource::TeamSecret => credential.scope == Scope::Team,
        BindingSource::UserSecret => credential.scope == Scope::Personal,
    };
    // One person's own consumer never gets another's credential.
    let is_reached = credential.scope != Scope::Personal
        || consumer.scope != Scope::Personal
        || consumer.owner_id == credential.owner_id;
    is_of_source
        && is_reached
        && (b.account.is_empty() || b.account == credential.account)
        && (b.team_id.is_empty() || credential.scope != Scope::Team || b.team_id == credential.owner_id)
}

/// The consumers that `caller` may see and that may be handed this credential by a binding, with the variable.
pub(in crate::ops) fn bound_to(
    tx: &Reader<'_>,
    who: &Standing,
    credential: &Credential,
) -> Result<Vec<(Consumer, String)>> {
    let mut bound = every_bound(tx, credential)?;
    bound.retain(|(c, _)| c.is_seen_by(who));
    Ok(bound)
}

/// As [`bound_to`], whoever looks: what depends on it, and not what is shown.
pub(in crate::ops) fn every_bound(
    tx: &Reader<'_>,
    credential: &Credential,
) -> Result<Vec<(Consumer, String)>> {
    let org = &credential.org_id;
    let mut bound: Vec<(Consumer, String)> = Vec::new();
    for b in tx.bindings_naming(org, &credential.name_key, credential.id.as_str())? {
        let Some(c) = tx.find_consumer(org, &b.consumer_id)?.filter(|c| c.deleted_at.is_none()) else {
            continue;
        };
        if may_mean(&b, &c, credential) {
            bound.push((c, b.variable));
        }
    }
    Ok(bound)
}

/// Why there is no value, as an error to refuse a start with.
pub(in crate::ops) fn problem(b: &Binding, found: &Found) -> Error {
    use crate::model::resolution::Problem as P;
    let (message, next) =
        crate::ops::credential::explain::advice(b.wanted(), &found.resolved, &found.narrowing);
    // One of another account or environment is not what was asked for, and no reason to say that it may not be used.
    let is_seen = found.resolved.considered.iter().any(|one| one.verdict == Verdict::NotUsable);
    let code = match found.resolved.problem {
        Some(P::Ambiguous) => Code::AmbiguousName,
        Some(P::AmbiguousTeam) => Code::AmbiguousTeam,
        Some(P::Expired) => Code::CredentialExpired,
        Some(P::ValueMissing) => Code::ValueMissing,
        Some(P::ReauthRequired) => Code::ReauthRequired,
        Some(P::NotFound) | None if is_seen => Code::NotAllowed,
        Some(P::NotFound) | None => Code::Unresolved,
    };
    let message = match code {
        Code::NotAllowed => format!("{}: there is one, and you may not use it", b.wanted()),
        _ => message,
    };
    let next = match code {
        Code::Unresolved => add(b, ""),
        _ => next,
    };
    Error::new(code, message).next(next)
}

/// How to add what `b` looks for, where it looks for it. `team`: whose it would be, where the binding does not say.
pub(in crate::ops) fn add(b: &Binding, team: &str) -> String {
    let team = if b.team_id.is_empty() { team } else { &b.team_id };
    let mut command = format!("unsaid set {}", b.wanted());
    match b.source {
        BindingSource::OrgSecret => command.push_str(" --scope org"),
        BindingSource::TeamSecret if team.is_empty() => command.push_str(" --scope team:NAME"),
        BindingSource::TeamSecret => command.push_str(&format!(" --scope team:{team}")),
        BindingSource::OAuth => command.push_str(" --type oauth --provider NAME"),
        _ => {}
    }
    if !b.account.is_empty() {
        command.push_str(&format!(" --account '{}'", b.account.replace('\'', "'\\''")));
    }
    if let Some(environment) = b.environment {
        command.push_str(&format!(" --env {environment}"));
    }
    match b.source {
        BindingSource::OrgSecret => format!("Ask an admin to add it: `{command}`."),
        BindingSource::TeamSecret => format!("Ask an owner of the team to add it: `{command}`."),
        BindingSource::OAuth => {
            format!("Create it with `{command}`, or create_credential with type oauth; then connect it.")
        }
        _ => format!("Enter it with `{command}`, or call create_credential and give its link."),
    }
}
