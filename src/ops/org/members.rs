//! Who is in a team, and as what. Admins of the org and the team's owners and admins decide; only owners and admins of
//! the org make or unmake owners.
use super::{about, named};
use crate::app::App;
use crate::error::{Code, Error, Result, invalid};
use crate::model::access::{Caller, Standing};
use crate::model::org::{Membership, Role, Team, TeamRole};
use crate::ops::{Effect, Operation, Permission, Toolset, people_only};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetMember {
    /// Id or name.
    #[schemars(length(min = 1, max = 80))]
    pub team: String,
    /// Id or login.
    #[schemars(length(min = 1, max = 80))]
    pub user: String,
    pub role: TeamRole,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RemoveMember {
    /// Id or name.
    #[schemars(length(min = 1, max = 80))]
    pub team: String,
    /// Id or login.
    #[schemars(length(min = 1, max = 80))]
    pub user: String,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct MemberRow {
    pub team: String,
    pub user: String,
    pub role: TeamRole,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct Removed {
    pub team: String,
    pub user: String,
}

/// Whether `me` may change memberships of `team`; `owners` where an owner is made or unmade.
fn check(me: &Standing, team: &Team, owners: bool) -> Result<()> {
    let role = me.team_role(team.id.as_str());
    let may = me.role == Role::Admin
        || me.manages_team(team.id.as_str()) && (!owners || role == Some(TeamRole::Owner));
    match may {
        true => Ok(()),
        false if owners && me.manages_team(team.id.as_str()) => {
            Err(Error::new(Code::NotAllowed, "only an owner of the team makes or unmakes owners"))
        }
        false => Err(Error::new(Code::NotAllowed, format!("you may not change who is in {}", team.name))),
    }
}

impl Operation for SetMember {
    const NAME: &'static str = "set_member";
    const TITLE: &'static str = "Add or change a member";
    const ABOUT: &'static str = "Add a person to a team, or change what they are in it.";
    const TOOLSET: Toolset = Toolset::People;
    const EFFECT: Effect = Effect::Widens;
    const NEEDS: Permission = Permission::ManageTeam;
    const IDEMPOTENT: bool = true;
    type Output = MemberRow;

    async fn run(self, app: &App, caller: &Caller) -> Result<MemberRow> {
        people_only(caller)?;
        let asking = caller.clone();
        app.store
            .write(caller, move |tx| {
                let me = tx.standing(&asking)?;
                let team = tx.team_named(&asking.org, &named(&self.team)?)?;
                check(&me, &team, false)?;
                let user = tx.user_named(&asking.org, &named(&self.user)?)?;
                let found = tx.find::<Membership>(&[team.id.as_str(), user.id.as_str()])?;
                let before = found.as_ref().map(|m| m.role);
                check(&me, &team, self.role == TeamRole::Owner || before == Some(TeamRole::Owner))?;
                if user.disabled_at.is_some() {
                    return Err(invalid(format!("{} is disabled", user.login)));
                }
                if user.role == Role::Auditor && self.role != TeamRole::Member {
                    return Err(invalid("an auditor manages nothing, a team neither"));
                }
                let member = match found {
                    Some(m) if m.role == self.role => {
                        return Err(Error::new(Code::NothingToDo, format!("{} is that already", user.login)));
                    }
                    Some(mut m) => {
                        m.role = self.role;
                        tx.save(&mut m)?;
                        m
                    }
                    None => {
                        let mut m = Membership {
                            team_id: team.id.clone(),
                            user_id: user.id.clone(),
                            org_id: asking.org.clone(),
                            role: self.role,
                            created_at: tx.now(),
                            revision: 0,
                        };
                        tx.insert(&mut m)?;
                        m
                    }
                };
                let event = about(Self::NAME, "team", team.id.as_str(), &team.name, member.revision)
                    .with("user", user.id.0.clone())
                    .with("role", self.role.to_string())
                    .with("role_before", before.map_or(String::new(), |role| role.to_string()));
                tx.record(event, MemberRow { team: team.name, user: user.login, role: self.role })
            })
            .await
    }
}

impl Operation for RemoveMember {
    const NAME: &'static str = "remove_member";
    const TITLE: &'static str = "Remove a member";
    const ABOUT: &'static str = "Take a person out of a team; they lose the team's credentials at once.";
    const TOOLSET: Toolset = Toolset::People;
    const EFFECT: Effect = Effect::Removes;
    const NEEDS: Permission = Permission::ManageTeam;
    type Output = Removed;

    async fn run(self, app: &App, caller: &Caller) -> Result<Removed> {
        people_only(caller)?;
        let asking = caller.clone();
        app.store
            .write(caller, move |tx| {
                let me = tx.standing(&asking)?;
                let team = tx.team_named(&asking.org, &named(&self.team)?)?;
                let is_leaving = named(&self.user)? == me.login || self.user == me.user.0;
                if !is_leaving {
                    check(&me, &team, false)?;
                }
                let user = tx.user_named(&asking.org, &named(&self.user)?)?;
                let key = [team.id.as_str(), user.id.as_str()];
                let Some(member) = tx.find::<Membership>(&key)? else {
                    return Err(Error::new(
                        Code::NothingToDo,
                        format!("{} is not in {}", user.login, team.name),
                    ));
                };
                if !is_leaving {
                    check(&me, &team, member.role == TeamRole::Owner)?;
                }
                tx.remove::<Membership>(&key)?;
                let event = about(Self::NAME, "team", team.id.as_str(), &team.name, member.revision)
                    .with("user", user.id.0.clone())
                    .with("role_before", member.role.to_string());
                tx.record(event, Removed { team: team.name, user: user.login })
            })
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::access::Door;
    use crate::ops::org::fixture::Place;

    fn set(team: &str, user: &str, role: TeamRole) -> SetMember {
        SetMember { team: team.into(), user: user.into(), role }
    }
    fn remove(team: &str, user: &str) -> RemoveMember {
        RemoveMember { team: team.into(), user: user.into() }
    }

    #[tokio::test]
    async fn an_owner_of_the_team_adds_promotes_and_removes() {
        let world = Place::new().await;

        world.run("tess", Door::Cli, set("core", "max", TeamRole::Member)).await.unwrap();
        world.run("tess", Door::Cli, set("core", "max", TeamRole::Owner)).await.unwrap();
        let event = world.last_event().await;
        assert!(
            event.details.contains("\"role\":\"owner\"")
                && event.details.contains("\"role_before\":\"member\"")
        );
        world.run("max", Door::Cli, remove("core", "tess")).await.unwrap();

        assert_eq!(
            world.run("tess", Door::Cli, remove("core", "max")).await.unwrap_err().code,
            Code::NotAllowed
        );
    }

    #[tokio::test]
    async fn whoever_does_not_manage_the_team_changes_nobody_in_it() {
        let world = Place::new().await;

        for (who, door, code) in [
            ("tess", Door::Stdio, Code::PeopleOnly),
            ("mia", Door::Cli, Code::NotAllowed),
            ("max", Door::Cli, Code::NotAllowed),
            ("otto", Door::Cli, Code::NotAllowed),
        ] {
            let refused = world.run(who, door, set("core", "max", TeamRole::Member)).await.unwrap_err();
            assert_eq!(refused.code, code, "{who}");
            let refused = world.run(who, door, remove("core", "tess")).await.unwrap_err();
            assert_eq!(refused.code, code, "{who}");
        }
        let refused = world.run("tess", Door::Cli, set("ops", "tess", TeamRole::Member)).await.unwrap_err();
        assert_eq!(refused.code, Code::NotAllowed);
    }

    #[tokio::test]
    async fn an_admin_of_the_team_neither_makes_nor_unmakes_owners() {
        let world = Place::new().await;
        world.run("tess", Door::Cli, set("core", "mia", TeamRole::Admin)).await.unwrap();

        for refused in [
            world.run("mia", Door::Cli, set("core", "mia", TeamRole::Owner)).await.map(drop),
            world.run("mia", Door::Cli, set("core", "tess", TeamRole::Member)).await.map(drop),
            world.run("mia", Door::Cli, remove("core", "tess")).await.map(drop),
        ] {
            assert_eq!(refused.unwrap_err().code, Code::NotAllowed);
        }
        world.run("mia", Door::Cli, set("core", "max", TeamRole::Admin)).await.unwrap();
    }

    #[tokio::test]
    async fn a_member_may_leave_and_nobody_leaves_twice() {
        let world = Place::new().await;

        world.run("mia", Door::Cli, remove("core", "mia")).await.unwrap();

        assert_eq!(
            world.run("mia", Door::Cli, remove("core", "mia")).await.unwrap_err().code,
            Code::NothingToDo
        );
    }

    #[tokio::test]
    async fn z_02_neither_a_foreign_person_nor_a_foreign_team_is_found() {
        let world = Place::new().await;

        let refused =
            world.run("ada", Door::Cli, set("core", &world.user("globex/max").0, TeamRole::Member)).await;
        assert_eq!(refused.unwrap_err().code, Code::UserNotFound);
        let refused = world.run("ada", Door::Cli, set("team-globex-ops", "max", TeamRole::Member)).await;
        assert_eq!(refused.unwrap_err().code, Code::TeamNotFound);
    }
}
