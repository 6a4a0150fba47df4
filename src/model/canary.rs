//! Canaries: credentials that nothing should use, so that whoever uses one gives themselves away.
//!
//! That a credential is one is told to people who manage it and to nobody else, and never through a door behind which a
//! model may stand: a thief who knows which one it is leaves it alone.
use super::access::{Access, Caller, Door};
use super::org::Role;
use crate::clock::Millis;
use crate::ids::{AlertId, CredentialId, OrgId, UserId};

/// The mark on a credential.
#[derive(Clone, Debug, PartialEq)]
pub struct Canary {
    pub credential_id: CredentialId,
    pub org_id: OrgId,
    pub created_at: Millis,
    pub created_by: UserId,
    pub revision: i64,
}

/// That it was used, once or more often in the same way, until somebody says that they know.
#[derive(Clone, Debug, PartialEq)]
pub struct CanaryAlert {
    pub id: AlertId,
    pub org_id: OrgId,
    pub credential_id: CredentialId,
    pub user_id: UserId,
    pub door: String,
    /// What the client says it is.
    pub client: String,
    pub consumer: String,
    /// `process`, `broker`, `test` or `rotation`.
    pub how: String,
    /// The program, or the host.
    pub place: String,
    pub first_at: Millis,
    pub last_at: Millis,
    pub times: i64,
    pub acknowledged_at: Option<Millis>,
    pub acknowledged_by: Option<UserId>,
    pub revision: i64,
}

impl CanaryAlert {
    /// Whether `other` is the same again.
    pub fn is_like(&self, other: &CanaryAlert) -> bool {
        let what = |a: &CanaryAlert| {
            [&a.user_id.0, &a.door, &a.client, &a.consumer, &a.how, &a.place].map(String::clone)
        };
        self.credential_id == other.credential_id && what(self) == what(other)
    }
}

/// The operation of the event that a use leaves.
pub const USED: &str = "canary_used";
/// The operation of the events of a notice that tells people of such a use.
pub const NOTICED: &str = "send_canary_notice";
/// The operations whose events tell which credential is a canary.
const TELLING: [&str; 4] = [USED, NOTICED, "mark_canary", "acknowledge_canary"];

/// Whether an event of this operation gives a canary away.
pub fn is_telling(operation: &str) -> bool {
    TELLING.contains(&operation)
}

/// Whether a person stands behind this door, and no model.
pub fn is_private(caller: &Caller) -> bool {
    matches!(caller.door, Door::Cli | Door::Web | Door::System)
}

/// Whether the caller may learn that a credential is a canary.
pub fn may_know(caller: &Caller, access: Access) -> bool {
    is_private(caller) && access.manages
}

/// Whether the caller reads all events of canaries that are not somebody else's own.
pub fn may_know_all(caller: &Caller, role: Role) -> bool {
    is_private(caller) && matches!(role, Role::Admin | Role::Auditor)
}
