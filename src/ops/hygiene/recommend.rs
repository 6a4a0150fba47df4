//! `recommend_scope`: who should have a credential, from who really needs it.
use crate::app::App;
use crate::error::{Result, invalid};
use crate::model::access::{Caller, access};
use crate::model::consumer::BindingSource;
use crate::model::credential::Scope;
use crate::model::hygiene::Keeper;
use crate::model::hygiene::kinds::{LATELY_DAYS, WINDOW_DAYS};
use crate::model::hygiene::where_to::{Advice, Need, advise, trade_off};
use crate::model::name::CredentialName;
use crate::model::org::Role;
use crate::ops::credential::view::Names;
use crate::ops::{Effect, Operation, Permission, Toolset, consumer, reach};
use crate::store::Reader;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;

/// How many credentials of one name are told of.
const MOST_EXISTING: usize = 30;
const MOST_CONSUMERS: usize = 20;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RecommendScope {
    pub name: CredentialName,
    /// What for
    #[schemars(length(max = 300))]
    pub purpose: Option<String>,
    #[schemars(length(max = 20), inner(length(max = 80)))]
    pub consumers: Option<Vec<String>>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct Recommendation {
    #[schemars(with = "String")]
    pub scope: Scope,
    /// Its name, where it is a team's.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub team: String,
    pub reasons: Vec<String>,
    /// Of all three, what speaks for and against.
    pub trade_offs: Vec<String>,
    /// Those of that name that are there already: id, where, last use, and what to do about it.
    pub existing: Vec<String>,
    /// The tool to call next.
    pub next: Vec<String>,
}

impl Operation for RecommendScope {
    const NAME: &'static str = "recommend_scope";
    const TITLE: &'static str = "Recommend a scope";
    const ABOUT: &'static str =
        "Find the narrowest scope for a credential, with reasons, before making or moving one.";
    const TOOLSET: Toolset = Toolset::Hygiene;
    const EFFECT: Effect = Effect::Reads;
    const NEEDS: Permission = Permission::Anyone;
    const IDEMPOTENT: bool = true;
    type Output = Recommendation;

    async fn run(self, app: &App, caller: &Caller) -> Result<Recommendation> {
        if self.consumers.as_ref().is_some_and(|all| all.len() > MOST_CONSUMERS) {
            return Err(invalid(format!("at most {MOST_CONSUMERS} consumers")));
        }
        if self.purpose.as_ref().is_some_and(|text| text.chars().count() > 300) {
            return Err(invalid("purpose has at most 300 characters"));
        }
        let caller = caller.clone();
        app.store.read(move |tx| self.look(tx, &caller)).await
    }
}

impl RecommendScope {
    fn look(&self, tx: &Reader<'_>, caller: &Caller) -> Result<Recommendation> {
        let (who, org) = reach::who(tx, caller)?;
        let mut need = Need {
            caller: who.user.as_str().into(),
            purpose: self.purpose.clone().unwrap_or_default(),
            ..Need::default()
        };
        for team in tx.teams(&caller.org)? {
            let members = tx.members(&caller.org, &team.id)?;
            // Members' names are their team's affair: others see no more of it than that it is there.
            if who.sees_all() || who.team_role(team.id.as_str()).is_some() {
                let members = members.iter().map(|m| Arc::from(m.user_id.as_str())).collect();
                need.teams.push((team.id.as_str().into(), team.name, members));
            }
        }
        for wanted in self.consumers.iter().flatten() {
            let c = consumer::reach(tx, caller, &who, wanted)?;
            need.consumers.push((c.name.clone(), keeper(&c)));
        }
        let key = self.name.as_str().to_ascii_uppercase();
        let mut existing = Vec::new();
        for c in tx.candidates(&caller.org, &key, &reach::places(&who))? {
            let may = access(&who, &c, &tx.grants_on(&caller.org, &c.id)?);
            if may.sees() {
                existing.push((c, may));
            }
        }
        if need.consumers.is_empty() {
            bound(tx, caller, &who, &key, &mut need)?;
        }
        used(
            tx,
            caller,
            &existing
                .iter()
                .filter(|(_, may)| may.views || may.manages)
                .map(|(c, _)| c.id.0.as_str())
                .collect(),
            &mut need,
        )?;
        let advice = advise(org.sharing_plan, &need);
        let mut names = Names::new(tx, &caller.org);
        let mut told = Vec::new();
        for (c, may) in existing.iter().take(MOST_EXISTING) {
            let owner = match c.scope {
                Scope::Personal => who.login.clone(),
                Scope::Team => names.team(&c.owner_id)?,
                Scope::Org => String::new(),
            };
            let usage = if may.views || may.manages { tx.usage(&c.id)?.last_at } else { None };
            let used = usage.map_or(String::new(), |at| format!(", last used {at}"));
            let place = if owner.is_empty() { c.scope.to_string() } else { format!("{} {owner}", c.scope) };
            let advice = about_existing(c.scope, &c.owner_id, may.manages, &advice);
            told.push(format!("{} ({place}{used}): {advice}", c.id));
        }
        let has_it = existing.iter().any(|(c, _)| is_there(c.scope, &c.owner_id, &advice));
        Ok(Recommendation {
            scope: advice.scope,
            team: advice.team.as_ref().map(|(_, name)| name.clone()).unwrap_or_default(),
            trade_offs: [Scope::Personal, Scope::Team, Scope::Org]
                .map(|scope| trade_off(org.sharing_plan, scope))
                .to_vec(),
            next: self.next(&advice, &who, has_it),
            reasons: advice.reasons,
            existing: told,
        })
    }

    fn next(&self, advice: &Advice, who: &crate::model::access::Standing, has_it: bool) -> Vec<String> {
        let name = self.name.as_str();
        if has_it {
            return vec![format!(
                "There is one: call get_credential with {name}, and list_consumers with bound_to {name}."
            )];
        }
        let (place, owner) = match &advice.team {
            Some((id, team)) => (format!("scope team and team {team}"), id.as_ref()),
            None => (format!("scope {}", advice.scope), who.user.as_str()),
        };
        let may = match advice.scope {
            Scope::Org => who.role == Role::Admin,
            scope => who.manages_place(scope, owner),
        };
        match may {
            true => vec![format!(
                "Call create_credential with name {name}, {place}; or update_credential to move one there."
            )],
            false => vec![format!(
                "You may not keep credentials there: ask whoever may to create {name} with {place}."
            )],
        }
    }
}

fn keeper(c: &crate::model::consumer::Consumer) -> Keeper {
    match c.scope {
        Scope::Personal => Keeper::Person(c.owner_id.as_str().into()),
        Scope::Team => Keeper::Team(c.owner_id.as_str().into()),
        Scope::Org => Keeper::Everybody,
    }
}

/// The consumers whose bindings name it already.
fn bound(
    tx: &Reader<'_>,
    caller: &Caller,
    who: &crate::model::access::Standing,
    key: &str,
    need: &mut Need,
) -> Result<()> {
    let mut seen = BTreeSet::new();
    for b in tx.bindings_naming(&caller.org, key, "")? {
        if b.source == BindingSource::UserSecret || !seen.insert(b.consumer_id.clone()) {
            continue;
        }
        if let Some(c) = tx.find_consumer(&caller.org, &b.consumer_id)?
            && c.deleted_at.is_none()
            && c.is_seen_by(who)
        {
            need.consumers.push((c.name.clone(), keeper(&c)));
        }
    }
    Ok(())
}

/// Who used those that the caller sees the uses of.
fn used(tx: &Reader<'_>, caller: &Caller, ids: &BTreeSet<&str>, need: &mut Need) -> Result<()> {
    if ids.is_empty() {
        return Ok(());
    }
    let (window, lately) = (tx.now().plus_days(-WINDOW_DAYS), tx.now().plus_days(-LATELY_DAYS));
    for u in tx.uses_since(&caller.org, &caller.user, window, lately)? {
        if u.ok > 0 && ids.contains(u.credential.as_str()) {
            need.users.insert(u.user.as_str().into());
        }
    }
    Ok(())
}

fn is_there(scope: Scope, owner: &str, advice: &Advice) -> bool {
    scope == advice.scope && advice.team.as_ref().is_none_or(|(id, _)| **id == *owner)
}

fn about_existing(scope: Scope, owner: &str, manages: bool, advice: &Advice) -> String {
    if is_there(scope, owner, advice) {
        return "Keep it: it is where it belongs.".into();
    }
    let text = match (scope, advice.scope) {
        (Scope::Personal, Scope::Personal) | (Scope::Org, Scope::Org) => "Keep it.",
        (Scope::Personal, _) => {
            "It comes before the shared one for you alone. Delete it with delete_credential once the shared one works, or keep it if it is another account."
        }
        (Scope::Team, Scope::Team) => {
            "Another team's: keep it if that team has an account of its own; else delete it once they are served."
        }
        (Scope::Team, Scope::Org) => {
            "It comes before the org's for that team. Delete it once the org's works, or keep it if it is another account."
        }
        (Scope::Team | Scope::Org, Scope::Personal) => {
            "It is wider than anything shows to be needed: call get_usage, then narrow it with update_credential."
        }
        (Scope::Org, Scope::Team) => {
            "It is wider than needed: move it with update_credential, or delete it once the team has its own."
        }
    };
    match manages || scope == Scope::Personal {
        true => text.to_owned(),
        false => format!("Not yours to change; tell whoever manages it. {text}"),
    }
}
