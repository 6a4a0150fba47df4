//! Orgs, users, teams, memberships, grants.
use super::Reader;
use super::entity::entity;
use super::link::Value;
use crate::error::{Code, Error, Result};
use crate::ids::{CredentialId, OrgId, TeamId, UserId};
use crate::model::access::{Caller, Grant, Standing};
use crate::model::org::{Membership, Org, Team, User};
use crate::model::text::shown;

entity!(kept Org, "org", 1, id, { id, name, sharing_plan, bin_days, warn_days, created_at });
entity!(kept User, "user", 1, org_id, { id, org_id, login, display_name, role, created_at, disabled_at });
entity!(kept Team, "team", 1, org_id, { id, org_id, name, created_at, deleted_at });
entity!(kept Membership, "membership", 2, org_id, { team_id, user_id, org_id, role, created_at });
entity!(kept Grant, "access_grant", 1, org_id, {
    id, org_id, credential_id, grantee_kind, grantee_id, level, created_at, created_by
});

fn text(s: &str) -> Value {
    Value::Text(s.into())
}

impl Reader<'_> {
    pub fn org(&self, id: &OrgId) -> Result<Org> {
        self.find::<Org>(&[id.as_str()])?
            .ok_or_else(|| Error::new(Code::OrgNotFound, format!("there is no org {}", shown(id.as_str()))))
    }

    /// Every org of this vault. For the local command line only: a caller sees one org.
    pub fn orgs(&self) -> Result<Vec<Org>> {
        self.select("ORDER BY name", &[])
    }

    pub fn user(&self, org: &OrgId, id: &UserId) -> Result<User> {
        self.find::<User>(&[id.as_str()])?
            .filter(|user| user.org_id == *org)
            .ok_or_else(|| Error::new(Code::UserNotFound, format!("there is no user {}", shown(id.as_str()))))
    }

    /// By id or login.
    pub fn user_named(&self, org: &OrgId, name: &str) -> Result<User> {
        self.select::<User>(
            "WHERE org_id = $1 AND (login = $2 OR id = $2)",
            &[text(org.as_str()), text(name)],
        )?
        .pop()
        .ok_or_else(|| Error::new(Code::UserNotFound, format!("there is no user {}", shown(name))))
    }

    pub fn users(&self, org: &OrgId) -> Result<Vec<User>> {
        self.select("WHERE org_id = $1 ORDER BY login", &[text(org.as_str())])
    }

    pub fn team(&self, org: &OrgId, id: &TeamId) -> Result<Team> {
        self.find::<Team>(&[id.as_str()])?
            .filter(|team| team.org_id == *org && team.deleted_at.is_none())
            .ok_or_else(|| Error::new(Code::TeamNotFound, format!("there is no team {}", shown(id.as_str()))))
    }

    /// By id or name.
    pub fn team_named(&self, org: &OrgId, name: &str) -> Result<Team> {
        self.select::<Team>(
            "WHERE org_id = $1 AND (name = $2 OR id = $2) AND deleted_at IS NULL",
            &[text(org.as_str()), text(name)],
        )?
        .pop()
        .ok_or_else(|| Error::new(Code::TeamNotFound, format!("there is no team {}", shown(name))))
    }

    pub fn teams(&self, org: &OrgId) -> Result<Vec<Team>> {
        self.select("WHERE org_id = $1 AND deleted_at IS NULL ORDER BY name", &[text(org.as_str())])
    }

    pub fn memberships_of(&self, org: &OrgId, user: &UserId) -> Result<Vec<Membership>> {
        self.select("WHERE org_id = $1 AND user_id = $2", &[text(org.as_str()), text(user.as_str())])
    }

    pub fn members(&self, org: &OrgId, team: &TeamId) -> Result<Vec<Membership>> {
        self.select("WHERE org_id = $1 AND team_id = $2", &[text(org.as_str()), text(team.as_str())])
    }

    /// What the caller is right now. A disabled or unknown user may do nothing.
    pub fn standing(&self, caller: &Caller) -> Result<Standing> {
        let not_allowed = || Error::new(Code::NotAllowed, "this user may no longer use the vault");
        let user = self
            .find::<User>(&[caller.user.as_str()])?
            .filter(|user| user.org_id == caller.org && user.disabled_at.is_none())
            .ok_or_else(not_allowed)?;
        let consumer = Some(caller.consumer.clone()).filter(|id| !id.is_empty());
        Ok(Standing { consumer, ..self.standing_of(&user)? })
    }

    /// What a person is, disabled or not: for what is asked about them, never for what they ask.
    pub fn standing_of(&self, user: &User) -> Result<Standing> {
        let teams = self.memberships_of(&user.org_id, &user.id)?;
        Ok(Standing {
            user: user.id.clone(),
            login: user.login.clone(),
            role: user.role,
            teams: teams.into_iter().map(|m| (m.team_id, m.role)).collect(),
            consumer: None,
        })
    }

    pub fn grants_on(&self, org: &OrgId, credential: &CredentialId) -> Result<Vec<Grant>> {
        self.select(
            "WHERE credential_id = $2 AND org_id = $1 ORDER BY created_at, id",
            &[text(org.as_str()), text(credential.as_str())],
        )
    }

    /// Grants that this person holds, directly or through a team.
    pub fn grants_held(&self, org: &OrgId, who: &Standing) -> Result<Vec<Grant>> {
        let sql = "WHERE org_id = $1 AND grantee_kind = $2 AND grantee_id = $3";
        let mut held =
            self.select::<Grant>(sql, &[text(org.as_str()), text("user"), text(who.user.as_str())])?;
        for (team, _) in &who.teams {
            held.extend(self.select::<Grant>(sql, &[text(org.as_str()), text("team"), text(team.as_str())])?);
        }
        Ok(held)
    }
}
