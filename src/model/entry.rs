//! Entry links: a one-time, short-lived way to a page where a person types what no model may see.
//!
//! The link names a request and proves nothing about who opens it.
use crate::clock::Millis;
use crate::ids::{EntryId, OrgId, UserId};

words! {
    /// What happens on the page.
    EntryPurpose {
        /// The value of a credential.
        Value = "value",
        /// The client secret of an OAuth provider.
        ClientSecret = "client_secret",
        /// A consent that connects a credential.
        Connect = "connect",
        /// A one-time sign-in made by `unsaid open`.
        SignIn = "sign_in",
    }
}

words! {
    /// Where a link stands. All but `open` are final.
    EntryState {
        Open = "open",
        /// The person entered it.
        Done = "done",
        Declined = "declined",
        /// Too many wrong codes.
        Blocked = "blocked",
        /// A newer link for the same thing took its place.
        Replaced = "replaced",
    }
}

/// How long a link lives.
pub const ENTRY_LIFE_MS: i64 = 10 * 60 * 1000;
/// How long a one-time sign-in lives.
pub const SIGN_IN_LIFE_MS: i64 = 2 * 60 * 1000;
/// How many wrong codes a link takes.
pub const MOST_TRIES: i64 = 5;
/// How many links of one person may be open at once.
pub const MOST_OPEN: usize = 20;

/// How many of those may be for one and the same thing.
pub const MOST_OF_ONE: usize = 3;

/// A link's row; what makes the link work is stored as a hash.
#[derive(Clone, Debug, PartialEq)]
pub struct EntryLink {
    pub id: EntryId,
    pub org_id: OrgId,
    /// Who asked, and alone may enter.
    pub asked_by: UserId,
    pub door: String,
    pub client: String,
    pub purpose: EntryPurpose,
    /// The credential, provider or user that it is about.
    pub object_id: String,
    /// SHA-256 of where the value will go and whom it will serve: what the page shows is what it is entered for.
    pub policy: Vec<u8>,
    /// Of a sign-in: a person passed the terminal's challenge, and may approve.
    pub is_assured: bool,
    /// SHA-256 of the link's random part.
    pub hash: Vec<u8>,
    /// Wrong codes so far.
    pub tries: i64,
    /// How often somebody else opened it, and was refused.
    pub foreign_visits: i64,
    pub state: EntryState,
    pub created_at: Millis,
    pub expires_at: Millis,
    pub ended_at: Option<Millis>,
    pub revision: i64,
}

impl EntryLink {
    pub fn is_open(&self, now: Millis) -> bool {
        self.state == EntryState::Open && now < self.expires_at
    }
}
