//! Who may do what with a credential (PRODUCT.md §2). Deny is the default.
use super::credential::{Credential, Scope};
use super::org::{Role, TeamRole};
use crate::clock::Millis;
use crate::ids::{CredentialId, GrantId, OrgId, TeamId, UserId};

words! {
    /// The way a caller came in.
    Door { Stdio = "stdio", Http = "http", Web = "web", Rest = "rest", Cli = "cli", System = "system" }
}

words! {
    /// What a grant adds. `manage` contains the other two; `view` and `use` do not contain each other.
    Level { Use = "use", View = "view", Manage = "manage" }
}

words! {
    /// Who holds a grant.
    GranteeKind { User = "user", Team = "team", Consumer = "consumer" }
}

/// Somebody's right to a credential that their place in the org does not give them.
#[derive(Clone, Debug, PartialEq)]
pub struct Grant {
    pub id: GrantId,
    pub org_id: OrgId,
    pub credential_id: CredentialId,
    pub grantee_kind: GranteeKind,
    pub grantee_id: String,
    pub level: Level,
    pub created_at: Millis,
    pub created_by: UserId,
    pub revision: i64,
}

/// Who calls, through which door. Identity only: what they may do is read afresh for every call.
#[derive(Clone, Debug)]
pub struct Caller {
    pub org: OrgId,
    pub user: UserId,
    pub door: Door,
    /// What the client says it is, and its version. Claimed, never trusted.
    pub client: String,
    /// One call's id, for log and audit.
    pub request: String,
    /// The id of the token that let them in; empty where none did.
    pub token: String,
    /// The consumer that acts for the user, if one does.
    pub consumer: String,
    /// A person's yes to this very request: the approval's id.
    pub approval: Option<String>,
    /// What was agreed to for this very call; `None` where no door asked, for what we do ourselves.
    pub agreed: Option<Agreed>,
    /// The caller's own key for this request, with the digest of the request.
    pub idempotency: Option<Idempotency>,
}

/// Who said yes to a call, the stronger the later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Agreed {
    /// Nobody was asked.
    Nobody,
    /// A form, which a client can forge.
    Form,
    Person,
}

/// A key under which a mutation happens at most once (24 h).
#[derive(Clone, Debug)]
pub struct Idempotency {
    pub operation: &'static str,
    pub key: String,
    pub digest: Vec<u8>,
}

impl Caller {
    pub fn new(org: OrgId, user: UserId, door: Door) -> Self {
        Self {
            org,
            user,
            door,
            client: String::new(),
            request: crate::ids::fresh(),
            token: String::new(),
            consumer: String::new(),
            approval: None,
            agreed: None,
            idempotency: None,
        }
    }
}

/// What the caller is right now, as the database says.
#[derive(Clone, Debug)]
pub struct Standing {
    pub user: UserId,
    pub login: String,
    pub role: Role,
    pub teams: Vec<(TeamId, TeamRole)>,
    /// The consumer that acts for them, which grants can be to.
    pub consumer: Option<String>,
}

impl Standing {
    pub fn team_role(&self, team: &str) -> Option<TeamRole> {
        self.teams.iter().find(|(id, _)| id.as_str() == team).map(|(_, role)| *role)
    }
    pub fn manages_team(&self, team: &str) -> bool {
        matches!(self.team_role(team), Some(TeamRole::Owner | TeamRole::Admin)) && self.role != Role::Auditor
    }
    /// Whether they see the metadata of every org and team credential.
    pub fn sees_all(&self) -> bool {
        matches!(self.role, Role::Admin | Role::Auditor)
    }
    /// Whether they may make or keep credentials in this place.
    pub fn manages_place(&self, scope: Scope, owner: &str) -> bool {
        match (self.role, scope) {
            (Role::Auditor, _) => false,
            (_, Scope::Personal) => owner == self.user.as_str(),
            (_, Scope::Team) => self.manages_team(owner),
            (role, Scope::Org) => role == Role::Admin,
        }
    }
}

/// What one caller may do with one credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Access {
    /// May inject it.
    pub uses: bool,
    /// Sees its configuration.
    pub views: bool,
    /// May change and delete it.
    pub manages: bool,
}

impl Access {
    pub const NONE: Access = Access { uses: false, views: false, manages: false };
    const ALL: Access = Access { uses: true, views: true, manages: true };

    /// Whether they may know that it exists.
    pub fn sees(self) -> bool {
        self.uses || self.views || self.manages
    }
    fn and(self, level: Level) -> Access {
        match level {
            Level::Use => Access { uses: true, ..self },
            Level::View => Access { views: true, ..self },
            Level::Manage => Access::ALL,
        }
    }
    /// Whether they may hand this level on: nobody gives more than they have.
    pub fn covers(self, level: Level) -> bool {
        self.manages
            && match level {
                Level::Use => self.uses,
                Level::View => self.views,
                Level::Manage => self.manages,
            }
    }
}

/// What `who` may do with `credential`, given the grants on it.
pub fn access(who: &Standing, credential: &Credential, grants: &[Grant]) -> Access {
    let mut access = match credential.scope {
        Scope::Personal if credential.owner_id == who.user.as_str() => Access::ALL,
        Scope::Personal => return Access::NONE,
        Scope::Team => match who.team_role(&credential.owner_id) {
            Some(TeamRole::Owner | TeamRole::Admin) => Access::ALL,
            Some(TeamRole::Member) => Access::NONE.and(Level::Use),
            None => Access::NONE,
        },
        Scope::Org if who.role == Role::Admin => Access::ALL,
        Scope::Org => Access::NONE.and(Level::Use),
    };
    for grant in grants.iter().filter(|g| g.credential_id == credential.id) {
        let held = match grant.grantee_kind {
            GranteeKind::User => grant.grantee_id == who.user.as_str(),
            GranteeKind::Team => who.team_role(&grant.grantee_id).is_some(),
            GranteeKind::Consumer => who.consumer.as_deref() == Some(grant.grantee_id.as_str()),
        };
        if held {
            access = access.and(grant.level);
        }
    }
    if who.sees_all() {
        access.views = true;
    }
    if who.role == Role::Auditor {
        // An auditor reads everything of org and teams, and neither uses nor changes anything.
        access = match credential.scope {
            Scope::Personal => Access { uses: false, views: true, manages: false },
            _ => Access { uses: false, views: true, manages: false },
        };
    }
    access
}
