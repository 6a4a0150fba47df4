//! `delete_credential`: to the bin, from which it can be restored.
use super::instead::handed_instead;
use super::view::Names;
use crate::app::App;
use crate::clock::Millis;
use crate::error::Result;
use crate::model::access::{Caller, GranteeKind, Standing};
use crate::model::credential::Scope;
use crate::model::event::Event;
use crate::model::text::Reason;
use crate::ops::confirm::{Confirm, Question};
use crate::ops::consumer;
use crate::ops::reach::{self, Need, Reached};
use crate::ops::{Effect, Operation, Permission, Toolset};
use crate::store::Reader;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeleteCredential {
    /// Id or name
    #[schemars(length(max = 160))]
    pub credential: String,
    /// Why, for the log
    #[schemars(length(max = 300))]
    pub reason: String,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Deleted {
    pub id: String,
    pub name: String,
    pub deleted_at: Millis,
    /// Until then it can surely be restored.
    pub restore_until: Millis,
    /// Who stops being served.
    pub impact: Vec<String>,
}

/// How many consumers are named.
const NAMED: usize = 10;

/// Who is affected when nothing can use it any more.
pub fn impact(tx: &Reader<'_>, caller: &Caller, found: &Reached) -> Result<Vec<String>> {
    let c = &found.credential;
    let mut names = Names::new(tx, &caller.org);
    let mut lines = vec![match c.scope {
        Scope::Personal => format!("only {} uses it", names.owner(c.scope, &c.owner_id)?),
        Scope::Team => format!("every member of team {} loses it", names.owner(c.scope, &c.owner_id)?),
        Scope::Org => "everybody in the org loses it".into(),
    }];
    let held = |kind| found.grants.iter().filter(|g| g.grantee_kind == kind).count();
    let (users, teams) = (held(GranteeKind::User), held(GranteeKind::Team));
    if users + teams > 0 {
        lines.push(format!("{users} people and {teams} teams have it by a grant"));
    }
    let bound = consumer::bound_to(tx, &tx.standing(caller)?, c)?;
    if !bound.is_empty() {
        let names: Vec<_> =
            bound.iter().take(NAMED).map(|(c, variable)| format!("{} ({variable})", c.name)).collect();
        let more = bound.len().saturating_sub(NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        lines.push(format!("consumers bound to it: {}{more}", names.join(", ")));
    }
    let used = tx.usage(&c.id)?;
    lines.push(match used.last_at {
        Some(at) => format!("used {} times, last at {at} by {}", used.uses, names.user(&used.last_user)?),
        None => "never used".into(),
    });
    Ok(lines)
}

impl DeleteCredential {
    /// It can be undone, so a form does; but not where another credential takes its place at a consumer.
    fn question(&self, tx: &Reader<'_>, caller: &Caller, who: &Standing, found: &Reached) -> Result<Confirm> {
        let c = &found.credential;
        let instead = handed_instead(tx, caller, who, c)?;
        let is_person = !instead.is_empty();
        let mut impact = impact(tx, caller, found)?;
        impact.extend(instead);
        let question = Question {
            summary: format!("delete {} ({}, {})", c.label(), c.scope, c.id),
            impact,
            reason: Reason::parse(&self.reason)?.to_string(),
            pins: vec![("credential", c.id.0.clone())],
        };
        Ok(if is_person { Confirm::Person(question) } else { Confirm::Form(question) })
    }
}

impl Operation for DeleteCredential {
    const NAME: &'static str = "delete_credential";
    const TITLE: &'static str = "Delete a credential";
    const ABOUT: &'static str = "Move a credential to the bin. Whatever uses it stops working at once; it can be restored. Also ends a personal override.";
    const TOOLSET: Toolset = Toolset::Credentials;
    const EFFECT: Effect = Effect::Removes;
    const NEEDS: Permission = Permission::Manage;
    type Output = Deleted;

    async fn confirm(&self, app: &App, caller: &Caller) -> Result<Confirm> {
        let (asking, wanted) = (caller.clone(), self.clone());
        app.store
            .read(move |tx| {
                crate::ops::quota::removal(tx, &asking)?;
                let who = tx.standing(&asking)?;
                let found = reach::credential(tx, &asking, &who, &wanted.credential, Need::Manage)?;
                wanted.question(tx, &asking, &who, &found)
            })
            .await
    }

    async fn run(self, app: &App, caller: &Caller) -> Result<Deleted> {
        let asking = caller.clone();
        let reason = Reason::parse(&self.reason)?;
        app.store
            .write(caller, move |tx| {
                crate::ops::quota::removal(tx, &asking)?;
                let (who, org) = reach::who(tx, &asking)?;
                let found = reach::credential(tx, &asking, &who, &self.credential, Need::Manage)?;
                self.question(tx, &asking, &who, &found)?.expect_agreed(&asking)?;
                let impact = impact(tx, &asking, &found)?;
                let now = tx.now();
                let mut c = found.credential;
                c.deleted_at = Some(now);
                c.deleted_by = Some(asking.user.clone());
                c.updated_at = now;
                tx.save(&mut c)?;
                if let Some(ended) = crate::ops::rotation::cut_off(tx, &c)? {
                    tx.note(ended)?;
                }
                let output = Deleted {
                    id: c.id.0.clone(),
                    name: c.name.clone(),
                    deleted_at: now,
                    restore_until: now.plus_days(org.bin_days),
                    impact,
                };
                tx.record(Event::of(Self::NAME).on(&c).because(reason.as_str()), output)
            })
            .await
    }
}
