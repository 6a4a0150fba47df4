//! Tokens: made and revoked by people, shown once, checked for every call.
mod create;
mod list;
mod revoke;
#[cfg(test)]
mod tests;
mod verify;

pub use create::{MOST_OVERLAP_DAYS, NewToken, create, rotate};
pub use list::{ListTokens, TokenList, TokenRow};
pub use revoke::{RevokeToken, Revoked};
pub(in crate::ops) use verify::{Known, settle};
pub use verify::{Shown, Verified, still_valid, verify};

/// What is stored of a token. It is random enough that no salt and no slow hash are needed.
fn hash(token: &str) -> Vec<u8> {
    crate::secret::looked_up_by(token.as_bytes()).to_vec()
}
