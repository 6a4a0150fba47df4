//! Orgs, people and teams, and what an org's policy allows.
use super::credential::Scope;
use crate::clock::Millis;
use crate::ids::{OrgId, TeamId, UserId};

words! {
    /// What a person is in an org.
    Role { Admin = "admin", Auditor = "auditor", Member = "member" }
}

words! {
    /// What a person is in a team.
    TeamRole { Owner = "owner", Admin = "admin", Member = "member" }
}

words! {
    /// Which scopes the org uses.
    SharingPlan {
        /// One shared space, and personal.
        Workspace = "workspace",
        /// One team, and personal.
        SingleTeam = "single_team",
        /// Org, teams, personal.
        MultiTeam = "multi_team",
    }
}

impl SharingPlan {
    pub fn allows(self, scope: Scope) -> bool {
        match self {
            SharingPlan::Workspace => scope != Scope::Team,
            SharingPlan::SingleTeam => scope != Scope::Org,
            SharingPlan::MultiTeam => true,
        }
    }
}

/// A tenant, with its policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Org {
    pub id: OrgId,
    pub name: String,
    pub sharing_plan: SharingPlan,
    /// How many days a deleted credential can be restored.
    pub bin_days: i64,
    /// How many days before its end a credential counts as expiring.
    pub warn_days: i64,
    pub created_at: Millis,
    pub revision: i64,
}

#[derive(Clone, Debug, PartialEq)]
pub struct User {
    pub id: UserId,
    pub org_id: OrgId,
    /// What people call them: unique in the org, as `ada`.
    pub login: String,
    pub display_name: String,
    pub role: Role,
    pub created_at: Millis,
    pub disabled_at: Option<Millis>,
    pub revision: i64,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Team {
    pub id: TeamId,
    pub org_id: OrgId,
    pub name: String,
    pub created_at: Millis,
    pub deleted_at: Option<Millis>,
    pub revision: i64,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Membership {
    pub team_id: TeamId,
    pub user_id: UserId,
    pub org_id: OrgId,
    pub role: TeamRole,
    pub created_at: Millis,
    pub revision: i64,
}
