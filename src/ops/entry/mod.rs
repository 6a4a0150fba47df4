//! Entry: a person is sent from the chat to a page, types there what no model may see, and the model learns only
//! that it is done.
//!
//! A link is one-time, lives ten minutes and proves nothing: who opens it must be the one who asked, by signing in or
//! by the code that was shown to the asker. It is stored as a hash, and is in no kept answer and no event.
mod enter;
mod look;
mod offer;
mod sign_in;
#[cfg(test)]
mod tests;
mod visit;

pub use enter::{decline, enter, enter_client_secret};
pub use look::{ConnectView, EntryView, FieldView, look, mine};
pub use offer::{EntryStatus, Offer, offer, offer_here, state_of, status, withdraw};
pub use sign_in::{offer_sign_in, peek_sign_in, sign_in};
pub use visit::{expect_code, find};

pub(super) use enter::{consume, expect as expect_purpose, expect_same, use_up};
pub(super) use offer::{connect_policy, secret_policy, value_policy};

use crate::clock::Millis;
use crate::error::{Code, Error, Result};
use crate::model::entry::{EntryLink, EntryState};

/// What is stored of a link.
fn hash(link: &str) -> Vec<u8> {
    crate::secret::looked_up_by(link.as_bytes()).to_vec()
}

fn not_found() -> Error {
    Error::new(Code::EntryNotFound, "there is no such link")
}

/// Fails with `entry_closed`, saying why, where the link is not open any more.
pub fn expect_open(link: &EntryLink, now: Millis) -> Result<()> {
    let closed = |why: &'static str| Err(Error::new(Code::EntryClosed, why));
    match link.state {
        EntryState::Done => closed("this link was used already"),
        EntryState::Declined => closed("this link was declined"),
        EntryState::Blocked => closed("this link is blocked: a wrong code was typed too often"),
        EntryState::Replaced => closed("a newer link took this one's place"),
        EntryState::Open if now >= link.expires_at => closed("this link's time is over"),
        EntryState::Open => Ok(()),
    }
}
