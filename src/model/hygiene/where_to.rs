//! Where a credential belongs: the narrowest scope that serves everybody who needs it, as far as the org's plan allows.
use super::subject::Keeper;
use crate::model::credential::Scope;
use crate::model::org::SharingPlan;
use std::collections::BTreeSet;
use std::sync::Arc;

/// What is known of who needs it.
#[derive(Clone, Debug, Default)]
pub struct Need {
    /// Whose the consumers are that it is for, and what each is called.
    pub consumers: Vec<(String, Keeper)>,
    /// Who used credentials of this name, by id.
    pub users: BTreeSet<Arc<str>>,
    pub caller: Arc<str>,
    /// Teams with their members: id, name, members.
    pub teams: Vec<(Arc<str>, String, BTreeSet<Arc<str>>)>,
    /// What it is for, in the caller's words; read for a few words only.
    pub purpose: String,
}

/// A scope, whose, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Advice {
    pub scope: Scope,
    /// The team's id and name, where it is a team's.
    pub team: Option<(Arc<str>, String)>,
    pub reasons: Vec<String>,
}

const ALONE: &[&str] = &["i", "me", "mine", "my", "own", "personal", "personally", "private", "myself"];
const TOGETHER: &[&str] = &[
    "all",
    "bot",
    "ci",
    "company",
    "deploy",
    "deployment",
    "everybody",
    "everyone",
    "org",
    "production",
    "shared",
    "team",
    "webhook",
];

/// The narrowest scope that serves `need` under `plan`.
pub fn advise(plan: SharingPlan, need: &Need) -> Advice {
    let mut reasons = Vec::new();
    let everybody: Vec<_> = names(need, |k| *k == Keeper::Everybody);
    let mut people: BTreeSet<Arc<str>> = need.users.clone();
    people.extend(need.consumers.iter().filter_map(|(_, k)| match k {
        Keeper::Person(user) => Some(user.clone()),
        _ => None,
    }));
    let teams: BTreeSet<_> = need
        .consumers
        .iter()
        .filter_map(|(_, k)| match k {
            Keeper::Team(team) => Some(team.clone()),
            _ => None,
        })
        .collect();
    if !everybody.is_empty() {
        reasons.push(format!("{} serve everybody in the org", everybody.join(", ")));
    }
    for (id, name, _) in need.teams.iter().filter(|(id, ..)| teams.contains(id)) {
        let theirs = names(need, |k| *k == Keeper::Team(id.clone()));
        reasons.push(format!("{} belong to the team {name}", theirs.join(", ")));
    }
    match need.users.len() {
        0 => {}
        1 => reasons.push("one person used a credential of this name in the last 90 days".into()),
        n => reasons.push(format!("{n} people used credentials of this name in the last 90 days")),
    }
    let serving = || {
        let mut fit: Vec<_> = need
            .teams
            .iter()
            .filter(|(id, _, members)| people.is_subset(members) && teams.iter().all(|team| team == id))
            .collect();
        fit.sort_by_key(|(id, _, members)| (members.len(), id.clone()));
        fit.first().map(|(id, name, _)| (id.clone(), name.clone()))
    };
    let is_alone = people.iter().all(|user| *user == need.caller);
    let wanted = if !everybody.is_empty() {
        Advice { scope: Scope::Org, team: None, reasons }
    } else if teams.is_empty() && is_alone {
        by_purpose(need, people.is_empty(), reasons)
    } else if let Some(team) = serving() {
        reasons.push(format!("everybody who needs it is in the team {}", team.1));
        Advice { scope: Scope::Team, team: Some(team), reasons }
    } else {
        reasons.push("no single team has everybody who needs it".into());
        Advice { scope: Scope::Org, team: None, reasons }
    };
    within(plan, wanted, need, serving())
}

fn names(need: &Need, is_meant: impl Fn(&Keeper) -> bool) -> Vec<String> {
    need.consumers.iter().filter(|(_, k)| is_meant(k)).map(|(name, _)| name.clone()).take(10).collect()
}

/// Where nobody else needs it, what it is for may still say that others will.
fn by_purpose(need: &Need, is_unknown: bool, mut reasons: Vec<String>) -> Advice {
    let words: Vec<_> = need
        .purpose
        .split(|c: char| !c.is_alphanumeric())
        .map(str::to_lowercase)
        .filter(|w| !w.is_empty())
        .collect();
    let says = |list: &[&str]| words.iter().find(|word| list.contains(&word.as_str())).cloned();
    if let (Some(word), None, true) = (says(TOGETHER), says(ALONE), is_unknown) {
        reasons.push(format!("its purpose says {word:?}, so that it serves more than one person"));
        let mine: Vec<_> =
            need.teams.iter().filter(|(_, _, members)| members.contains(&need.caller)).collect();
        return match mine[..] {
            [(id, name, _)] => {
                reasons.push(format!("you are in one team, {name}"));
                Advice { scope: Scope::Team, team: Some((id.clone(), name.clone())), reasons }
            }
            _ => {
                reasons.push("you are in no one team that it would be for".into());
                Advice { scope: Scope::Org, team: None, reasons }
            }
        };
    }
    match says(ALONE) {
        Some(word) => reasons.push(format!("its purpose says {word:?}")),
        None if is_unknown => {
            reasons.push(
                "nothing shows that anybody else needs it; it can be moved to a wider scope later".into(),
            );
        }
        None => reasons.push("nobody but you needs it".into()),
    }
    Advice { scope: Scope::Personal, team: None, reasons }
}

/// What the plan allows instead, never wider than it does.
fn within(plan: SharingPlan, mut advice: Advice, need: &Need, team: Option<(Arc<str>, String)>) -> Advice {
    if plan.allows(advice.scope) {
        return advice;
    }
    match advice.scope {
        Scope::Team => {
            advice
                .reasons
                .push(format!("the sharing plan {plan} has no teams, so the shared space is the next"));
            Advice { scope: Scope::Org, team: None, ..advice }
        }
        _ => {
            advice.reasons.push(format!(
                "the sharing plan {plan} has no org-wide credentials, so the team is the most there is"
            ));
            let only = need.teams.first().map(|(id, name, _)| (id.clone(), name.clone()));
            match team.or(only) {
                Some(team) => Advice { scope: Scope::Team, team: Some(team), ..advice },
                None => {
                    advice.reasons.push("and there is no team yet".into());
                    Advice { scope: Scope::Personal, team: None, ..advice }
                }
            }
        }
    }
}

/// What speaks for and against a scope, whoever needs it.
pub fn trade_off(plan: SharingPlan, scope: Scope) -> String {
    let text = match scope {
        _ if !plan.allows(scope) => return format!("{scope} is not allowed by the sharing plan {plan}"),
        Scope::Personal => {
            "personal: nobody else sees or uses it, and it comes before a team's and the org's; each person needs a value of their own, and it ends with them"
        }
        Scope::Team => {
            "team: its members use it and its owners replace it; people outside need a grant, and two teams with one name must say which"
        }
        Scope::Org => {
            "org: every member uses it and admins replace it once for all; a leak or a mistake reaches everybody"
        }
    };
    text.to_owned()
}
