//! Teams: list, make, delete. A team that still owns credentials stays.
use super::{about, named};
use crate::app::App;
use crate::error::{Code, Error, Result, invalid};
use crate::ids::TeamId;
use crate::model::access::{Caller, Grant, Standing};
use crate::model::credential::Scope;
use crate::model::org::{Membership, Role, SharingPlan, Team, TeamRole};
use crate::model::text::DisplayName;
use crate::ops::{Effect, Operation, Permission, Toolset, people_only, reach};
use crate::store::{ListFilter, Place, Reader};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How many credentials a refusal names.
const NAMED: usize = 5;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListTeams {}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateTeam {
    pub name: DisplayName,
    /// Id or login; default you.
    #[schemars(length(max = 80))]
    pub owner: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeleteTeam {
    /// Id or name.
    #[schemars(length(min = 1, max = 80))]
    pub team: String,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct TeamRow {
    pub id: TeamId,
    pub name: String,
    /// Only for members of the team, admins and auditors.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<super::MemberRow>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct TeamList {
    pub teams: Vec<TeamRow>,
}

/// The team as this person may see it.
pub(super) fn row(tx: &Reader<'_>, who: &Standing, team: &Team) -> Result<TeamRow> {
    let mut members = Vec::new();
    if who.sees_all() || who.team_role(team.id.as_str()).is_some() {
        for m in tx.members(&team.org_id, &team.id)? {
            let login = tx.user(&team.org_id, &m.user_id)?.login;
            members.push(super::MemberRow { team: team.name.clone(), user: login, role: m.role });
        }
        members.sort_by(|a, b| a.user.cmp(&b.user));
    }
    Ok(TeamRow { id: team.id.clone(), name: team.name.clone(), members })
}

impl Operation for ListTeams {
    const NAME: &'static str = "list_teams";
    const TITLE: &'static str = "Teams of the org";
    const ABOUT: &'static str = "List the teams, with the members of those you belong to.";
    const TOOLSET: Toolset = Toolset::People;
    const EFFECT: Effect = Effect::Reads;
    const NEEDS: Permission = Permission::Anyone;
    const IDEMPOTENT: bool = true;
    type Output = TeamList;

    async fn run(self, app: &App, caller: &Caller) -> Result<TeamList> {
        people_only(caller)?;
        let caller = caller.clone();
        app.store
            .read(move |tx| {
                let who = tx.standing(&caller)?;
                let teams = tx.teams(&caller.org)?;
                Ok(TeamList { teams: teams.iter().map(|team| row(tx, &who, team)).collect::<Result<_>>()? })
            })
            .await
    }
}

impl Operation for CreateTeam {
    const NAME: &'static str = "create_team";
    const TITLE: &'static str = "Make a team";
    const ABOUT: &'static str = "Make a team, with one owner to begin with.";
    const TOOLSET: Toolset = Toolset::People;
    const EFFECT: Effect = Effect::Changes;
    const NEEDS: Permission = Permission::Admin;
    type Output = TeamRow;

    async fn run(self, app: &App, caller: &Caller) -> Result<TeamRow> {
        people_only(caller)?;
        let asking = caller.clone();
        app.store
            .write(caller, move |tx| {
                let who = reach::admin(tx, &asking)?;
                let teams = tx.teams(&asking.org)?;
                match tx.org(&asking.org)?.sharing_plan {
                    SharingPlan::Workspace => {
                        return Err(Error::new(
                            Code::PolicyForbids,
                            "the sharing plan workspace has no teams",
                        ));
                    }
                    SharingPlan::SingleTeam if !teams.is_empty() => {
                        return Err(Error::new(
                            Code::PolicyForbids,
                            "the sharing plan single_team has one team, and there is one",
                        ));
                    }
                    _ => {}
                }
                let name = String::from(self.name);
                if name.len() == 26 && name.bytes().all(|b| b.is_ascii_alphanumeric()) {
                    return Err(invalid("a team's name cannot look like an id"));
                }
                if teams.iter().any(|team| team.name.to_lowercase() == name.to_lowercase()) {
                    return Err(Error::new(Code::AlreadyExists, format!("there is a team {name} already")));
                }
                let owner = match &self.owner {
                    Some(owner) => tx.user_named(&asking.org, &named(owner)?)?,
                    None => tx.user(&asking.org, &who.user)?,
                };
                if owner.disabled_at.is_some() || owner.role == Role::Auditor {
                    return Err(invalid("a team's owner is neither disabled nor an auditor"));
                }
                let now = tx.now();
                let mut team = Team {
                    id: TeamId::fresh(),
                    org_id: asking.org.clone(),
                    name,
                    created_at: now,
                    deleted_at: None,
                    revision: 0,
                };
                tx.insert(&mut team)?;
                tx.insert(&mut Membership {
                    team_id: team.id.clone(),
                    user_id: owner.id.clone(),
                    org_id: asking.org.clone(),
                    role: TeamRole::Owner,
                    created_at: now,
                    revision: 0,
                })?;
                let event = about(Self::NAME, "team", team.id.as_str(), &team.name, team.revision)
                    .with("owner", owner.id.0.clone());
                let made = row(tx, &who, &team)?;
                tx.record(event, made)
            })
            .await
    }
}

impl Operation for DeleteTeam {
    const NAME: &'static str = "delete_team";
    const TITLE: &'static str = "Delete a team";
    const ABOUT: &'static str =
        "Delete a team that owns no credentials. Its members lose what was granted to it.";
    const TOOLSET: Toolset = Toolset::People;
    const EFFECT: Effect = Effect::Destroys;
    const NEEDS: Permission = Permission::Admin;
    type Output = TeamRow;

    async fn run(self, app: &App, caller: &Caller) -> Result<TeamRow> {
        people_only(caller)?;
        let asking = caller.clone();
        app.store
            .write(caller, move |tx| {
                let who = reach::admin(tx, &asking)?;
                let mut team = tx.team_named(&asking.org, &named(&self.team)?)?;
                refuse_with_credentials(tx, &team)?;
                let gone = row(tx, &who, &team)?;
                for m in tx.members(&asking.org, &team.id)? {
                    tx.remove::<Membership>(&[m.team_id.as_str(), m.user_id.as_str()])?;
                }
                // Somebody who is nobody, and in this team alone, holds exactly what was granted to the team.
                let holder = Standing {
                    user: "".into(),
                    login: String::new(),
                    role: Role::Member,
                    teams: vec![(team.id.clone(), TeamRole::Member)],
                    consumer: None,
                };
                let grants = tx.grants_held(&asking.org, &holder)?;
                for grant in &grants {
                    tx.remove::<Grant>(&[grant.id.as_str()])?;
                }
                team.deleted_at = Some(tx.now());
                tx.save(&mut team)?;
                let event = about(Self::NAME, "team", team.id.as_str(), &team.name, team.revision)
                    .with("members", gone.members.len())
                    .with("grants", grants.len());
                tx.record(event, gone)
            })
            .await
    }
}

/// What lies in the bin counts too: it could be restored to nobody.
fn refuse_with_credentials(tx: &Reader<'_>, team: &Team) -> Result<()> {
    let mut owned = Vec::new();
    for deleted in [false, true] {
        let filter = ListFilter {
            places: vec![Place::Owned(Scope::Team, team.id.0.clone())],
            deleted,
            after: None,
            limit: NAMED + 1,
        };
        let suffix = if deleted { " (in the bin)" } else { "" };
        owned.extend(
            tx.list_credentials(&team.org_id, &filter)?.iter().map(|c| format!("{}{suffix}", c.label())),
        );
    }
    owned.extend(
        crate::ops::consumer::owned_by_team(tx, team)?.iter().map(|c| format!("the consumer {}", c.name)),
    );
    if owned.is_empty() {
        return Ok(());
    }
    let more = if owned.len() > NAMED { " and more" } else { "" };
    owned.truncate(NAMED);
    Err(Error::new(Code::HasDependents, format!("{} still owns {}{more}", team.name, owned.join(", ")))
        .next("Move credentials with update_credential or purge them, remove consumers with remove_consumer, then delete the team."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::access::{Door, GranteeKind, Level};
    use crate::ops::org::fixture::Place as World;
    use crate::ops::org::{GetPolicy, SetPolicy};

    fn create(name: &str) -> CreateTeam {
        CreateTeam { name: DisplayName::parse(name).unwrap(), owner: None }
    }
    fn delete(team: &str) -> DeleteTeam {
        DeleteTeam { team: team.into() }
    }

    #[tokio::test]
    async fn a_new_team_has_its_owner_and_its_event() {
        let world = World::new().await;

        let team = world
            .run("ada", Door::Cli, CreateTeam { owner: Some("max".into()), ..create("Payments") })
            .await
            .unwrap();

        assert_eq!((team.members[0].user.as_str(), team.members[0].role), ("max", TeamRole::Owner));
        let event = world.last_event().await;
        assert_eq!((event.operation.as_str(), event.object_id), ("create_team", team.id.0));
    }

    #[tokio::test]
    async fn only_an_admin_in_person_makes_and_deletes_teams() {
        let world = World::new().await;

        for (who, door, code) in [
            ("ada", Door::Stdio, Code::PeopleOnly),
            ("tess", Door::Cli, Code::NotAllowed),
            ("max", Door::Cli, Code::NotAllowed),
            ("otto", Door::Cli, Code::NotAllowed),
        ] {
            assert_eq!(world.run(who, door, create("x")).await.unwrap_err().code, code, "{who}");
            assert_eq!(world.run(who, door, delete("core")).await.unwrap_err().code, code, "{who}");
        }
    }

    #[tokio::test]
    async fn the_plan_limits_what_teams_there_can_be() {
        let world = World::new().await;

        for plan in [SharingPlan::Workspace, SharingPlan::SingleTeam] {
            let set = SetPolicy { sharing_plan: Some(plan), bin_days: None, warn_days: None };
            world.run("ada", Door::Cli, set).await.unwrap();
            assert_eq!(world.run("ada", Door::Cli, create("x")).await.unwrap_err().code, Code::PolicyForbids);
        }
        assert!(!world.run("ada", Door::Cli, GetPolicy {}).await.unwrap().notes.is_empty());
    }

    #[tokio::test]
    async fn names_are_unique_whatever_their_case_and_never_look_like_ids() {
        let world = World::new().await;

        assert_eq!(world.run("ada", Door::Cli, create("CORE")).await.unwrap_err().code, Code::AlreadyExists);
        let id_like = create(&TeamId::fresh().0);
        assert_eq!(world.run("ada", Door::Cli, id_like).await.unwrap_err().code, Code::InvalidInput);
        let auditor = CreateTeam { owner: Some("otto".into()), ..create("x") };
        assert_eq!(world.run("ada", Door::Cli, auditor).await.unwrap_err().code, Code::InvalidInput);
    }

    #[tokio::test]
    async fn a_team_that_owns_credentials_stays_even_if_they_are_in_the_bin() {
        let world = World::new().await;
        let c = world.credential("TEAM_KEY", Scope::Team, "core").await;

        let refused = world.run("ada", Door::Cli, delete("core")).await.unwrap_err();
        assert_eq!(refused.code, Code::HasDependents);
        assert!(refused.message().contains("TEAM_KEY"));

        world.bin(&c).await;
        let refused = world.run("ada", Door::Cli, delete("core")).await.unwrap_err();
        assert!(refused.message().contains("in the bin"), "{refused}");
    }

    #[tokio::test]
    async fn deleting_a_team_ends_its_memberships_and_grants() {
        let world = World::new().await;
        let c = world.credential("KEY", Scope::Org, "").await;
        world.grant(&c, GranteeKind::Team, world.team("core").as_str(), Level::Manage).await;

        world.run("ada", Door::Cli, delete("core")).await.unwrap();

        assert!(world.grants(&c).await.is_empty());
        let teams = world.run("tess", Door::Cli, ListTeams {}).await.unwrap().teams;
        assert!(teams.iter().all(|team| team.name != "core" && team.members.is_empty()));
        assert_eq!(world.run("ada", Door::Cli, delete("core")).await.unwrap_err().code, Code::TeamNotFound);
    }

    #[tokio::test]
    async fn members_see_who_is_in_their_own_teams_only() {
        let world = World::new().await;

        let seen = world.run("tess", Door::Cli, ListTeams {}).await.unwrap().teams;

        let of = |name: &str| seen.iter().find(|team| team.name == name).unwrap().members.len();
        assert_eq!((of("core"), of("ops")), (3, 0));
        assert_eq!(seen.len(), 2);
    }
}
