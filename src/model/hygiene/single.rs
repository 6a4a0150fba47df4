//! The rules about one credential.
use super::kept::PRIVATE_KEY;
use super::kinds::{ENOUGH_USES, NEW_DAYS};
use super::names::{better_name, is_outside_production, is_vague_name};
use super::subject::{Inventory, Keeper, Subject};
use super::{Finding, FindingKind as K};
use crate::model::credential::{CredentialType, Environment, Scope, Source};
use crate::model::status::Status;
use std::collections::BTreeSet;

/// What one rule finds of one credential, at its place.
type Rule = fn(&Inventory, u32, &Subject) -> Option<Finding>;

/// Judges the credential at place `n`.
pub fn judge(inventory: &Inventory, n: u32, found: &mut Vec<Finding>) {
    let s = &inventory.credentials[n as usize];
    let rules: [Rule; 13] = [
        expired,
        rotation_overdue,
        weak_password,
        live_outside_production,
        contradicts_value,
        broad_scopes,
        owner_gone,
        scope_too_wide,
        unused,
        never_used,
        unbound,
        vague_name,
        vague_description,
    ];
    found.extend(rules.iter().filter_map(|rule| rule(inventory, n, s)));
}

fn on(kind: K, n: u32) -> Finding {
    Finding::on(kind, vec![n])
}

fn replace(s: &Subject) -> String {
    format!("Call set_credential_value with credential {}: a person enters the new value.", s.id)
}

fn expired(_: &Inventory, n: u32, s: &Subject) -> Option<Finding> {
    if s.status != Status::Expired {
        return None;
    }
    let (message, next) = match s.source {
        Source::OAuth => (
            format!("{} is connected no more: its grant is over", s.label()),
            format!("Call connect_credential with credential {}.", s.id),
        ),
        Source::Manual => (format!("{} has expired", s.label()), replace(s)),
    };
    let end = s.expires_at.map_or_else(|| "over".to_owned(), |end| end.to_string());
    Some(on(K::Expired, n).fact("expired_at", end).says(message, next))
}

fn rotation_overdue(_: &Inventory, n: u32, s: &Subject) -> Option<Finding> {
    let (Some(days), Some(set)) = (s.rotation_days, s.value_set_at) else { return None };
    if !s.is_rotation_due || s.status == Status::Expired {
        return None;
    }
    let finding =
        on(K::RotationOverdue, n).fact("set_at", set.to_string()).fact("every_days", days.to_string());
    Some(finding.says(
        format!("{} should be replaced every {days} days, and was not since {set}", s.label()),
        format!("Call get_rotation_guide with credential {}.", s.id),
    ))
}

fn weak_password(_: &Inventory, n: u32, s: &Subject) -> Option<Finding> {
    let set = s.value_set_at.filter(|_| s.is_weak)?;
    Some(on(K::WeakPassword, n).fact("set_at", set.to_string()).says(
        format!("the password of {} is easy to guess", s.label()),
        format!(
            "Call get_rotation_guide with credential {}: let the service or a generator make the new one.",
            s.id
        ),
    ))
}

fn live_outside_production(_: &Inventory, n: u32, s: &Subject) -> Option<Finding> {
    if s.is_live() != Some(true) || !is_outside_production(s) {
        return None;
    }
    let place = match s.environment {
        Environment::Any => "by its name is not for production".to_owned(),
        environment => format!("is for {environment}"),
    };
    let finding = on(K::LiveOutsideProduction, n)
        .fact("recognised_as", s.key_kind().to_string())
        .fact("environment", s.environment.to_string());
    Some(finding.says(
        format!("{} holds a live key of {} and {place}", s.label(), s.services().join(" or ")),
        format!("Make a test key there, then: {}", replace(s)),
    ))
}

/// What is a file, as a value was recognised when it was stored.
const KEY_FILES: [&str; 2] = [PRIVATE_KEY, "service_account_json"];

fn contradicts_value(_: &Inventory, n: u32, s: &Subject) -> Option<Finding> {
    let is_said = |service: &std::sync::Arc<str>| s.services().contains(service);
    let is_file = KEY_FILES.contains(&s.key_kind());
    let (says, what, mend) = if is_file && matches!(s.kind, CredentialType::ApiKey | CredentialType::Basic) {
        let says = crate::model::Word::as_str(s.kind).to_owned();
        let finding = on(K::ContradictsValue, n)
            .fact("says", says.clone())
            .fact("recognised_as", s.key_kind().to_string());
        let kind = s.key_kind().replace('_', " ");
        return Some(finding.says(
            format!("its type says {says}, and what was entered in {} is a {kind}", s.label()),
            format!(
                "Call create_credential with type file for it, enter it there, and delete_credential {}.",
                s.id
            ),
        ));
    } else if s.services().is_empty() {
        return None;
    } else if !s.service.is_empty() && !is_said(&s.service) {
        (s.service.to_string(), "its service", "service")
    } else if !s.named_after.is_empty() && !s.named_after.iter().any(is_said) {
        (s.named_after.join(" or "), "its name", "new_name")
    } else if s.is_live() == Some(false) && s.environment == Environment::Prod {
        ("prod".to_owned(), "its environment", "environment")
    } else {
        return None;
    };
    let recognised = s.services().join(" or ");
    let finding = on(K::ContradictsValue, n)
        .fact("says", says.clone())
        .fact("recognised_as", format!("{} of {recognised}", s.key_kind()));
    Some(finding.says(
        format!("{what} says {says}, and what was entered in {} is a {} of {recognised}", s.label(), s.key_kind()),
        format!("Ask which is right. Call update_credential with credential {} and the right {mend}, or set_credential_value.", s.id),
    ))
}

fn broad_scopes(_: &Inventory, n: u32, s: &Subject) -> Option<Finding> {
    if s.broad_scopes.is_empty() {
        return None;
    }
    let scopes = s.broad_scopes.iter().take(20).map(ToString::to_string).collect::<Vec<_>>().join(", ");
    Some(on(K::BroadScopes, n).fact("scopes", scopes.clone()).says(
        format!("the connection of {} may do more than most need: {scopes}", s.label()),
        "Ask whether they are needed. If not: update_oauth_provider with narrower scopes, then connect_credential.",
    ))
}

fn owner_gone(inventory: &Inventory, n: u32, s: &Subject) -> Option<Finding> {
    let team = (s.scope == Scope::Team).then(|| inventory.teams.get(&s.owner)).flatten();
    let is_orphan = s.scope == Scope::Team && team.is_none_or(|team| team.is_deleted || !team.has_keeper);
    let is_left = s.scope != Scope::Personal && inventory.gone.contains(&s.entered_by);
    let (why, message, next) = if is_orphan {
        (
            "no_keeper",
            format!("nobody leads the team of {}", s.label()),
            format!(
                "Ask an admin to make somebody an owner (`unsaid team`), or call update_credential with credential {} and a new scope.",
                s.id
            ),
        )
    } else if is_left {
        (
            "entered_by_who_left",
            format!("whoever entered the value of {} is disabled, and may still know it", s.label()),
            format!("Call get_rotation_guide with credential {}, and replace it.", s.id),
        )
    } else {
        return None;
    };
    let finding = on(K::OwnerGone, n).fact("why", why).fact("by", inventory.login(&s.entered_by));
    Some(finding.says(message, next))
}

fn scope_too_wide(inventory: &Inventory, n: u32, s: &Subject) -> Option<Finding> {
    let members = match s.scope {
        Scope::Personal => return None,
        Scope::Team => inventory.teams.get(&s.owner)?.members.len(),
        Scope::Org => usize::MAX,
    };
    let uses: i64 = s.uses.iter().map(|u| u.ok).sum();
    if uses < ENOUGH_USES || members < 3 {
        return None;
    }
    let users: BTreeSet<_> = s.uses.iter().filter(|u| u.ok > 0).map(|u| &u.user).collect();
    let bound: Vec<_> = s.bound.iter().map(|c| &inventory.consumers[*c as usize].keeper).collect();
    let one = users.first().filter(|_| users.len() == 1);
    let is_theirs =
        |user: &std::sync::Arc<str>| bound.iter().all(|keeper| **keeper == Keeper::Person(user.clone()));
    let (to, message) = if let Some(user) = one.filter(|user| is_theirs(user)) {
        (
            "personal".to_owned(),
            format!("{} is used by one person only ({})", s.label(), inventory.login(user)),
        )
    } else if s.scope == Scope::Org {
        let serves = |id: &std::sync::Arc<str>, members: &std::collections::HashSet<std::sync::Arc<str>>| {
            users.iter().all(|user| members.contains(*user))
                && bound.iter().all(|keeper| match keeper {
                    Keeper::Team(team) => team == id,
                    Keeper::Person(user) => members.contains(user),
                    Keeper::Everybody => false,
                })
        };
        let mut teams: Vec<_> = inventory
            .teams
            .iter()
            .filter(|(id, team)| !team.is_deleted && serves(id, &team.members))
            .collect();
        teams.sort_by_key(|(id, team)| (team.members.len(), (*id).clone()));
        let (_, team) = teams.first()?;
        (
            format!("team {}", team.name),
            format!("{} is used by members of the team {} only", s.label(), team.name),
        )
    } else {
        return None;
    };
    let finding = on(K::ScopeTooWide, n).fact("would_do", to).figure("uses", uses.to_string());
    Some(finding.figure("users", users.len().to_string()).says(
        message,
        format!("Call recommend_scope with name {}, then update_credential with the narrower scope.", s.name),
    ))
}

fn unused(inventory: &Inventory, n: u32, s: &Subject) -> Option<Finding> {
    let last = s.last_used_at.filter(|_| s.value_set_at.is_some())?;
    let kind = match inventory.now {
        now if last.plus_days(180) < now => K::Unused180,
        now if last.plus_days(90) < now => K::Unused90,
        now if last.plus_days(30) < now => K::Unused30,
        _ => return None,
    };
    let next = match kind {
        K::Unused180 => {
            format!("Ask whether it is needed. If not: delete_credential with credential {}.", s.id)
        }
        _ => format!("Call get_usage with credential {}: who used it, and whether they still need it.", s.id),
    };
    Some(
        on(kind, n)
            .fact("last_used_at", last.to_string())
            .says(format!("{} was last used at {last}", s.label()), next),
    )
}

fn never_used(inventory: &Inventory, n: u32, s: &Subject) -> Option<Finding> {
    let set = s.value_set_at?;
    if s.last_used_at.is_some() || !s.has_had_value(inventory.now, NEW_DAYS) {
        return None;
    }
    Some(on(K::NeverUsed, n).fact("set_at", set.to_string()).says(
        format!("{} has had a value since {set} and was never used", s.label()),
        format!("Ask whether it is needed. If not: delete_credential with credential {}.", s.id),
    ))
}

fn unbound(inventory: &Inventory, n: u32, s: &Subject) -> Option<Finding> {
    let is_shared = s.scope != Scope::Personal;
    let by_consumer = s.uses.iter().any(|u| u.ok > 0 && !u.consumer.is_empty());
    let is_bound = !s.bound.is_empty() || s.is_granted_to_consumer;
    if !is_shared || is_bound || by_consumer || !s.has_had_value(inventory.now, NEW_DAYS) {
        return None;
    }
    Some(on(K::Unbound, n).says(
        format!("no consumer is bound to {}", s.label()),
        "Call list_consumers; if one of them needs it, update_consumer binds it. If none does: delete_credential.".to_owned(),
    ))
}

fn vague_name(_: &Inventory, n: u32, s: &Subject) -> Option<Finding> {
    if !is_vague_name(&s.name) {
        return None;
    }
    let finding = on(K::VagueName, n);
    Some(match better_name(s) {
        Some(better) => finding.fact("better_name", better.clone()).says(
            format!("{} does not say what it opens; {better} would", s.label()),
            format!("Call update_credential with credential {} and new_name {better}.", s.id),
        ),
        None => finding.says(
            format!("{} does not say what it opens", s.label()),
            format!("Ask what it opens. Call update_credential with credential {} and a new_name such as SERVICE_TOKEN.", s.id),
        ),
    })
}

fn vague_description(_: &Inventory, n: u32, s: &Subject) -> Option<Finding> {
    if s.scope == Scope::Personal || !s.has_vague_description {
        return None;
    }
    Some(on(K::VagueDescription, n).says(
        format!("the description of {} does not say what it is for", s.label()),
        format!("Ask what it is for. Call update_credential with credential {} and a description.", s.id),
    ))
}
