//! A request that a person must say yes to, out of the model's reach.
use crate::clock::Millis;
use crate::ids::{ApprovalId, OrgId, UserId};

words! {
    /// Where a request stands.
    ApprovalState {
        Open = "open",
        /// Granted, and carried out.
        Done = "done",
        Declined = "declined",
        /// Granted, and then refused or failed when it was carried out.
        Failed = "failed",
    }
}

/// How long a person has to decide.
pub const APPROVAL_LIFE_MS: i64 = 24 * 60 * 60 * 1000;
/// How many requests of one person may be open at once.
pub const MOST_OPEN: usize = 10;
/// How long after a decline the same request is refused.
pub const COOL_DOWN_MS: i64 = 60 * 1000;

/// A stored request: exactly this, with these arguments, by this person.
#[derive(Clone, Debug, PartialEq)]
pub struct Approval {
    pub id: ApprovalId,
    pub org_id: OrgId,
    pub requested_by: UserId,
    pub door: String,
    pub client: String,
    pub operation: String,
    /// The operation's input as JSON. It holds no secret: the detector stood in front of it.
    pub arguments: String,
    /// SHA-256 over operation and arguments, to collapse repeats.
    pub digest: Vec<u8>,
    /// What will happen, composed by us from structured fields.
    pub impact: String,
    /// What the asker says it is for.
    pub reason: String,
    pub state: ApprovalState,
    pub created_at: Millis,
    pub expires_at: Millis,
    pub decided_at: Option<Millis>,
    pub decided_by: Option<UserId>,
    /// What came of it, as JSON or as an error code.
    pub outcome: String,
    pub revision: i64,
}

impl Approval {
    pub fn is_open(&self, now: Millis) -> bool {
        self.state == ApprovalState::Open && now < self.expires_at
    }
}
