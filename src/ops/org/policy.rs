//! The org's policy: which scopes it uses, how long the bin keeps, how early an end is announced.
use super::about;
use crate::app::App;
use crate::error::{Code, Error, Result, invalid};
use crate::model::Word;
use crate::model::access::Caller;
use crate::model::credential::Scope;
use crate::model::org::{Org, SharingPlan};
use crate::ops::{Effect, Operation, Permission, Toolset, people_only, reach};
use crate::store::{Place, Reader};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How far "there are some left" is counted.
const COUNT_CAP: i64 = 1000;

/// Who says yes to what, for whoever reads the policy (PRODUCT.md §2).
const CONFIRMATIONS: [&str; 4] = [
    "read, describe, create empty, restore: permission is enough",
    "delete to the bin, unshare: a form, else an approval",
    "share, widen a scope, own OAuth endpoints: approval by a person with `unsaid approve`",
    "purge, keys, users, teams, roles, policy: people only, on the command line",
];

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GetPolicy {}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetPolicy {
    pub sharing_plan: Option<SharingPlan>,
    /// Days in the bin.
    #[schemars(range(min = 1, max = 365))]
    pub bin_days: Option<i64>,
    /// Days before its end that a credential counts as expiring.
    #[schemars(range(min = 0, max = 365))]
    pub warn_days: Option<i64>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct Policy {
    pub org: String,
    pub sharing_plan: SharingPlan,
    /// The scopes in which credentials can be made.
    pub scopes: Vec<Scope>,
    pub bin_days: i64,
    pub warn_days: i64,
    pub confirmations: Vec<&'static str>,
    /// What is left from before and no longer allowed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl Policy {
    fn of(org: &Org, notes: Vec<String>) -> Self {
        Self {
            org: org.name.clone(),
            sharing_plan: org.sharing_plan,
            scopes: Scope::WORDS.iter().map(|(_, s)| *s).filter(|s| org.sharing_plan.allows(*s)).collect(),
            bin_days: org.bin_days,
            warn_days: org.warn_days,
            confirmations: CONFIRMATIONS.to_vec(),
            notes,
        }
    }
}

/// What the plan no longer allows and the org still has. Nothing is taken away by a change of plan.
fn left_over(tx: &Reader<'_>, org: &Org) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    for scope in [Scope::Team, Scope::Org] {
        if !org.sharing_plan.allows(scope) {
            let count = tx.count_credentials(&org.id, &[Place::All(scope)], COUNT_CAP)?;
            if count > 0 {
                notes.push(format!("{count} {scope} credentials stay usable; no new ones can be made"));
            }
        }
    }
    let teams = tx.teams(&org.id)?.len();
    if org.sharing_plan == SharingPlan::SingleTeam && teams > 1 {
        notes.push(format!("there are {teams} teams; the plan has one"));
    }
    Ok(notes)
}

impl Operation for GetPolicy {
    const NAME: &'static str = "get_policy";
    const TITLE: &'static str = "Policy of the org";
    const ABOUT: &'static str =
        "Show which scopes the org uses, how long the bin keeps, and who confirms what.";
    const TOOLSET: Toolset = Toolset::People;
    const EFFECT: Effect = Effect::Reads;
    const NEEDS: Permission = Permission::Anyone;
    const IDEMPOTENT: bool = true;
    type Output = Policy;

    async fn run(self, app: &App, caller: &Caller) -> Result<Policy> {
        let caller = caller.clone();
        app.store
            .read(move |tx| {
                let (who, org) = reach::who(tx, &caller)?;
                // Counts of what others keep are for those who may list it.
                let notes = if who.sees_all() { left_over(tx, &org)? } else { Vec::new() };
                Ok(Policy::of(&org, notes))
            })
            .await
    }
}

impl Operation for SetPolicy {
    const NAME: &'static str = "set_policy";
    const TITLE: &'static str = "Change the policy";
    const ABOUT: &'static str = "Change the sharing plan, the days in the bin, or the days of warning.";
    const TOOLSET: Toolset = Toolset::People;
    const EFFECT: Effect = Effect::Changes;
    const NEEDS: Permission = Permission::Admin;
    const IDEMPOTENT: bool = true;
    type Output = Policy;

    async fn run(self, app: &App, caller: &Caller) -> Result<Policy> {
        people_only(caller)?;
        let asking = caller.clone();
        app.store
            .write(caller, move |tx| {
                reach::admin(tx, &asking)?;
                self.check()?;
                let before = tx.org(&asking.org)?;
                let mut org = before.clone();
                org.sharing_plan = self.sharing_plan.unwrap_or(org.sharing_plan);
                org.bin_days = self.bin_days.unwrap_or(org.bin_days);
                org.warn_days = self.warn_days.unwrap_or(org.warn_days);
                if org == before {
                    return Err(Error::new(Code::NothingToDo, "the policy says that already"));
                }
                tx.save(&mut org)?;
                let event = about(Self::NAME, "org", org.id.as_str(), &org.name, org.revision)
                    .with("sharing_plan", org.sharing_plan.as_str())
                    .with("sharing_plan_before", before.sharing_plan.as_str())
                    .with("bin_days", org.bin_days)
                    .with("warn_days", org.warn_days);
                let notes = left_over(tx, &org)?;
                tx.record(event, Policy::of(&org, notes))
            })
            .await
    }
}

impl SetPolicy {
    fn check(&self) -> Result<()> {
        if self.bin_days.is_some_and(|days| !(1..=365).contains(&days)) {
            return Err(invalid("bin_days is 1 to 365"));
        }
        if self.warn_days.is_some_and(|days| !(0..=365).contains(&days)) {
            return Err(invalid("warn_days is 0 to 365"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::access::Door;
    use crate::ops::org::fixture::Place as World;

    fn set(plan: Option<SharingPlan>, bin_days: Option<i64>) -> SetPolicy {
        SetPolicy { sharing_plan: plan, bin_days, warn_days: None }
    }

    #[tokio::test]
    async fn anybody_reads_the_policy_through_any_door() {
        let world = World::new().await;

        for who in ["ada", "max", "otto"] {
            let policy = world.run(who, Door::Stdio, GetPolicy {}).await.unwrap();
            assert_eq!(policy.sharing_plan, SharingPlan::MultiTeam);
            assert_eq!(policy.scopes, [Scope::Personal, Scope::Team, Scope::Org]);
        }
    }

    #[tokio::test]
    async fn an_admin_changes_it_and_the_log_says_what_was_before() {
        let world = World::new().await;

        let policy = world.run("ada", Door::Cli, set(Some(SharingPlan::Workspace), Some(7))).await.unwrap();

        assert_eq!((policy.bin_days, policy.scopes.len()), (7, 2));
        let event = world.last_event().await;
        assert_eq!((event.operation.as_str(), event.outcome.as_str()), ("set_policy", "ok"));
        assert!(event.details.contains("\"sharing_plan_before\":\"multi_team\""));
    }

    #[tokio::test]
    async fn what_a_new_plan_does_not_allow_stays_and_is_told() {
        let world = World::new().await;
        world.credential("KEY", Scope::Team, "core").await;

        let policy = world.run("ada", Door::Cli, set(Some(SharingPlan::Workspace), None)).await.unwrap();

        assert!(policy.notes[0].contains("1 team credentials"), "{:?}", policy.notes);
    }

    #[tokio::test]
    async fn no_model_no_member_and_no_auditor_changes_it() {
        let world = World::new().await;
        let cases = [
            ("ada", Door::Stdio, Code::PeopleOnly),
            ("ada", Door::Http, Code::PeopleOnly),
            ("ada", Door::Rest, Code::PeopleOnly),
            ("max", Door::Cli, Code::NotAllowed),
            ("otto", Door::Cli, Code::NotAllowed),
        ];

        for (who, door, code) in cases {
            let refused = world.run(who, door, set(None, Some(3))).await.unwrap_err();
            assert_eq!(refused.code, code, "{who} {door}");
        }
        assert_eq!(world.run("ada", Door::Cli, GetPolicy {}).await.unwrap().bin_days, 30);
    }

    #[tokio::test]
    async fn days_out_of_range_and_changes_of_nothing_are_refused() {
        let world = World::new().await;

        for days in [0, -1, 366, i64::MAX] {
            let refused = world.run("ada", Door::Cli, set(None, Some(days))).await.unwrap_err();
            assert_eq!(refused.code, Code::InvalidInput);
        }
        let refused = world.run("ada", Door::Cli, set(None, Some(30))).await.unwrap_err();
        assert_eq!(refused.code, Code::NothingToDo);
    }
}
