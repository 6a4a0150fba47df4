//! Who is calling, what they are here, and what came of what they asked people for.
use crate::app::App;
use crate::clock::{DAY_MS, Millis};
use crate::error::Result;
use crate::ids::ApprovalId;
use crate::model::access::{Caller, Door, Standing};
use crate::model::approval::{APPROVAL_LIFE_MS, Approval, ApprovalState};
use crate::model::credential::Scope;
use crate::model::org::{Role, SharingPlan, TeamRole};
use crate::ops::{Effect, Operation, Permission, Toolset, reach};
use crate::store::{ListFilter, Place, Reader};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How far credentials are counted.
const COUNT_CAP: i64 = 10_000;
/// How many requests are shown.
const SHOWN: usize = 20;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Whoami {}

#[derive(Debug, Serialize, JsonSchema)]
pub struct Me {
    pub org: String,
    pub user: String,
    pub login: String,
    pub role: Role,
    pub teams: Vec<MyTeam>,
    pub policy: PolicySummary,
    pub credentials: Counts,
    /// Open ones, and what became of those of the last day.
    pub approvals: Vec<MyApproval>,
    pub server_version: String,
    pub door: Door,
    /// What can be done through this door.
    pub may: String,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline)]
pub struct MyTeam {
    pub id: String,
    pub name: String,
    pub role: TeamRole,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline)]
pub struct PolicySummary {
    pub sharing_plan: SharingPlan,
    pub bin_days: i64,
    pub warn_days: i64,
}

/// Credentials you can see, each number at most 10000.
#[derive(Debug, PartialEq, Serialize, JsonSchema)]
#[schemars(inline)]
pub struct Counts {
    pub total: i64,
    pub personal: i64,
    pub team: i64,
    pub org: i64,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline)]
pub struct MyApproval {
    pub id: ApprovalId,
    pub operation: String,
    pub summary: String,
    /// `open`, `expired`, `done`, `declined` or `failed`.
    pub state: String,
    pub asked_at: Millis,
    /// Of a failed one, why.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub outcome: String,
    /// What to do; empty where nothing is.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub next: String,
}

impl MyApproval {
    fn of(a: Approval, now: Millis) -> Self {
        let is_open = a.is_open(now);
        let state =
            if !is_open && a.state == ApprovalState::Open { "expired".into() } else { a.state.to_string() };
        let next = match a.state {
            _ if is_open => format!("Ask the person to run `unsaid approve {}`.", a.id),
            ApprovalState::Failed => "Look at the reason, then ask again.".into(),
            _ => String::new(),
        };
        Self {
            summary: a.impact.lines().next().unwrap_or("").to_owned(),
            outcome: if a.state == ApprovalState::Failed { a.outcome } else { String::new() },
            id: a.id,
            operation: a.operation,
            state,
            asked_at: a.created_at,
            next,
        }
    }
}

impl Operation for Whoami {
    const NAME: &'static str = "whoami";
    const TITLE: &'static str = "Who am I here";
    const ABOUT: &'static str = "See org, role, teams, policy and your approval requests; call first, and to learn whether a person said yes.";
    const TOOLSET: Toolset = Toolset::Session;
    const EFFECT: Effect = Effect::Reads;
    const NEEDS: Permission = Permission::Anyone;
    const IDEMPOTENT: bool = true;
    type Output = Me;

    async fn run(self, app: &App, caller: &Caller) -> Result<Me> {
        let caller = caller.clone();
        app.store
            .read(move |tx| {
                let (who, org) = reach::who(tx, &caller)?;
                let mut teams = Vec::new();
                for (id, role) in &who.teams {
                    let team = tx.team(&caller.org, id)?;
                    teams.push(MyTeam { id: team.id.0, name: team.name, role: *role });
                }
                teams.sort_by(|a, b| a.name.cmp(&b.name));
                Ok(Me {
                    credentials: count(tx, &caller, &who)?,
                    approvals: approvals(tx, &caller)?,
                    may: may(caller.door, who.role),
                    org: org.name,
                    user: who.user.0,
                    login: who.login,
                    role: who.role,
                    teams,
                    policy: PolicySummary {
                        sharing_plan: org.sharing_plan,
                        bin_days: org.bin_days,
                        warn_days: org.warn_days,
                    },
                    server_version: env!("CARGO_PKG_VERSION").into(),
                    door: caller.door,
                })
            })
            .await
    }
}

fn may(door: Door, role: Role) -> String {
    let here = match door {
        Door::Cli | Door::Web => "A person is here: everything their role allows.",
        _ => {
            "Everything but values and what people alone do (purge, keys, users, teams, policy); deleting asks with a \
             form or waits for an approval, sharing and own OAuth endpoints wait for `unsaid approve`."
        }
    };
    match role {
        Role::Auditor => "An auditor reads, and changes nothing.".into(),
        _ => here.into(),
    }
}

/// Places do not overlap, but for what is granted: then rows are counted, and each once.
fn count(tx: &Reader<'_>, caller: &Caller, who: &Standing) -> Result<Counts> {
    let places = reach::places(who);
    let mut counts = Counts { total: 0, personal: 0, team: 0, org: 0 };
    let granted: Vec<_> = places.iter().filter(|p| matches!(p, Place::Granted(_))).cloned().collect();
    if granted.is_empty() || tx.count_credentials(&caller.org, &granted, 1)? == 0 {
        for place in &places {
            let n = tx.count_credentials(&caller.org, std::slice::from_ref(place), COUNT_CAP)?;
            let counted = match place {
                Place::Owned(scope, _) | Place::All(scope) => counts.of(*scope),
                Place::Granted(_) => continue,
            };
            *counted = (*counted + n).min(COUNT_CAP);
        }
        counts.total = (counts.personal + counts.team + counts.org).min(COUNT_CAP);
        return Ok(counts);
    }
    let all = ListFilter { places, deleted: false, after: None, limit: COUNT_CAP as usize };
    // A damaged row is not counted; list_credentials tells of it.
    for c in tx.list_undamaged(&caller.org, &all, &mut Vec::new())? {
        *counts.of(c.scope) += 1;
        counts.total += 1;
    }
    Ok(counts)
}

impl Counts {
    fn of(&mut self, scope: Scope) -> &mut i64 {
        match scope {
            Scope::Personal => &mut self.personal,
            Scope::Team => &mut self.team,
            Scope::Org => &mut self.org,
        }
    }
}

/// Of this caller: what is open, and what was asked for or decided within the last day. Open ones first.
fn approvals(tx: &Reader<'_>, caller: &Caller) -> Result<Vec<MyApproval>> {
    let now = tx.now();
    let since = now.plus_ms(-APPROVAL_LIFE_MS - DAY_MS);
    let mut mine: Vec<_> = tx
        .approvals_by(&caller.org, &caller.user, since, 500)?
        .into_iter()
        .filter(|a| a.is_open(now) || a.decided_at.unwrap_or(a.expires_at) >= now.plus_ms(-DAY_MS))
        .collect();
    mine.sort_by_key(|a| !a.is_open(now));
    Ok(mine.into_iter().take(SHOWN).map(|a| MyApproval::of(a, now)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;
    use crate::model::access::{GranteeKind, Level};
    use crate::model::event::Event;
    use crate::ops::org::UpdateUser;
    use crate::ops::org::fixture::Place as World;

    async fn whoami(world: &World, who: &str) -> Me {
        world.run(who, Door::Stdio, Whoami {}).await.unwrap()
    }

    async fn ask(world: &World, who: &str, state: ApprovalState, outcome: &str) -> ApprovalId {
        let caller = world.caller(who, Door::Stdio);
        let now = world.app.now();
        let mut approval = Approval {
            id: ApprovalId::fresh(),
            org_id: caller.org.clone(),
            requested_by: caller.user.clone(),
            door: "stdio".into(),
            client: String::new(),
            operation: "share_credential".into(),
            arguments: "{}".into(),
            digest: vec![1],
            impact: "share KEY with max\n- they may use it".into(),
            reason: "a test".into(),
            state,
            created_at: now,
            expires_at: now.plus_ms(APPROVAL_LIFE_MS),
            decided_at: (state != ApprovalState::Open).then_some(now),
            decided_by: None,
            outcome: outcome.into(),
            revision: 0,
        };
        let write = move |tx: &mut crate::store::Writer<'_>| {
            tx.insert(&mut approval)?;
            tx.record_step(Event::of("request_approval"), approval.id)
        };
        world.app.store.write(&caller, write).await.unwrap()
    }

    #[tokio::test]
    async fn it_tells_role_teams_policy_and_version() {
        let world = World::new().await;

        let me = whoami(&world, "tess").await;

        assert_eq!((me.org.as_str(), me.login.as_str(), me.role), ("acme", "tess", Role::Member));
        assert_eq!((me.teams.len(), me.teams[0].role), (1, TeamRole::Owner));
        assert_eq!((me.policy.bin_days, me.server_version.as_str()), (30, env!("CARGO_PKG_VERSION")));
        assert!(me.may.contains("unsaid approve"));
        assert!(whoami(&world, "otto").await.may.contains("auditor"));
    }

    #[tokio::test]
    async fn credentials_are_counted_as_far_as_the_caller_sees_them_and_once() {
        let world = World::new().await;
        let org = world.credential("ORG_KEY", Scope::Org, "").await;
        world.credential("RED", Scope::Team, "core").await;
        let blue = world.credential("BLUE", Scope::Team, "ops").await;
        world.credential("MINE", Scope::Personal, "max").await;
        world.grant(&org, GranteeKind::User, world.user("tess").as_str(), Level::View).await;
        world.grant(&blue, GranteeKind::User, world.user("tess").as_str(), Level::Use).await;

        let count = |total, personal, team, org| Counts { total, personal, team, org };
        assert_eq!(whoami(&world, "tess").await.credentials, count(3, 0, 2, 1));
        assert_eq!(whoami(&world, "max").await.credentials, count(3, 1, 1, 1));
        assert_eq!(whoami(&world, "ada").await.credentials, count(3, 0, 2, 1));
        assert_eq!(whoami(&world, "globex/ada").await.credentials, count(0, 0, 0, 0));
    }

    #[tokio::test]
    async fn a_model_sees_that_a_person_said_yes_or_no() {
        let world = World::new().await;
        ask(&world, "max", ApprovalState::Done, "{}").await;
        ask(&world, "max", ApprovalState::Failed, "credential_not_found").await;
        let open = ask(&world, "max", ApprovalState::Open, "").await;

        let mine = whoami(&world, "max").await.approvals;

        assert_eq!((mine[0].id.clone(), mine[0].state.as_str()), (open.clone(), "open"));
        assert!(mine[0].next.contains(open.as_str()) && mine[0].summary == "share KEY with max");
        let of = |state: &str| mine.iter().find(|a| a.state == state).map(|a| a.outcome.as_str());
        assert_eq!((of("done"), of("failed")), (Some(""), Some("credential_not_found")));
    }

    #[tokio::test]
    async fn requests_of_others_and_of_long_ago_are_not_shown() {
        let world = World::new().await;
        ask(&world, "max", ApprovalState::Open, "").await;

        assert!(whoami(&world, "tess").await.approvals.is_empty());
        assert!(whoami(&world, "ada").await.approvals.is_empty());
        world.clock.advance_ms(APPROVAL_LIFE_MS + 1);
        assert_eq!(whoami(&world, "max").await.approvals[0].state, "expired");
        world.clock.advance_ms(DAY_MS);
        assert!(whoami(&world, "max").await.approvals.is_empty());
    }

    #[tokio::test]
    async fn an_approval_that_a_call_left_behind_is_told_with_its_summary() {
        let world = World::new().await;
        let ask = serde_json::json!({ "service": "github", "client_id": "abc", "callback_url": "https://a.example/cb" });
        let refused = world.refused(&world.caller("ada", Door::Stdio), "create_oauth_provider", ask).await;

        let mine = whoami(&world, "ada").await.approvals;

        let id = &refused.details().iter().find(|(name, _)| *name == "approval_id").unwrap().1;
        assert_eq!((mine[0].id.as_str(), mine[0].state.as_str()), (id.as_str(), "open"));
        assert!(mine[0].summary.starts_with("add the OAuth provider github"), "{}", mine[0].summary);
    }

    #[tokio::test]
    async fn a_disabled_user_learns_nothing() {
        let world = World::new().await;
        let disable = UpdateUser { user: "max".into(), role: None, disabled: Some(true), display_name: None };
        world.run("ada", Door::Cli, disable).await.unwrap();

        let refused = world.run("max", Door::Stdio, Whoami {}).await.unwrap_err();

        assert_eq!(refused.code, Code::NotAllowed);
    }
}
