//! Tokens: what a client or a browser shows to be let in as a user.
//!
//! A token is `unsaid_`, 43 characters of base 62 that say nothing, and 6 characters of checksum, so that a scanner
//! can tell one from a look-alike without asking anybody. It is shown once and stored as a hash.
use crate::clock::Millis;
use crate::ids::{OrgId, TokenId, UserId};

words! {
    /// What a token opens. One that a client holds cannot sign in on the page: it would be able to approve.
    Purpose {
        /// Tools over HTTP, or over stdio in `UNSAID_TOKEN`.
        Mcp = "mcp",
        /// The sign-in form.
        SignIn = "sign_in",
        /// The broker, as one consumer and for its user: no tool, no page.
        Consumer = "consumer",
    }
}

/// What every token begins with.
pub const PREFIX: &str = "unsaid_";
const BODY: usize = 43;
const CHECK: usize = 6;
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// How long a token lives when nothing is said, days.
pub const DEFAULT_DAYS: i64 = 90;
/// The longest life of a token, days.
pub const MOST_DAYS: i64 = 366;
/// How many live tokens one user has.
pub const MOST_LIVE: usize = 50;

/// A token's row; the token itself is nowhere.
#[derive(Clone, Debug, PartialEq)]
pub struct Token {
    pub id: TokenId,
    pub org_id: OrgId,
    pub user_id: UserId,
    /// What people call it, as `laptop` or `ci`.
    pub label: String,
    pub purpose: Purpose,
    /// SHA-256 of the whole token.
    pub hash: Vec<u8>,
    /// Names of toolsets; empty for all.
    pub toolsets: Vec<String>,
    pub read_only: bool,
    /// A person passed the terminal's challenge when it was made: who signs in by it may approve.
    pub is_assured: bool,
    pub created_at: Millis,
    pub created_by: UserId,
    pub expires_at: Millis,
    pub revoked_at: Option<Millis>,
    pub revision: i64,
}

impl Token {
    pub fn is_live(&self, now: Millis) -> bool {
        self.revoked_at.is_none() && now < self.expires_at
    }
}

/// `number` in base 62, most significant digit first, `size` digits (what does not fit is cut off at the front).
fn base62(mut bytes: Vec<u8>, size: usize) -> String {
    let mut digits = vec![b'0'; size];
    for digit in digits.iter_mut().rev() {
        let mut rest = 0u32;
        for byte in bytes.iter_mut() {
            let n = rest << 8 | u32::from(*byte);
            *byte = (n / 62) as u8;
            rest = n % 62;
        }
        *digit = DIGITS[rest as usize];
    }
    String::from_utf8_lossy(&digits).into_owned()
}

/// The token made of these random bytes.
pub fn write(random: &[u8; 32]) -> String {
    let mut token = String::with_capacity(PREFIX.len() + BODY + CHECK);
    token.push_str(PREFIX);
    token.push_str(&base62(random.to_vec(), BODY));
    let check = base62(crc32fast::hash(token.as_bytes()).to_be_bytes().to_vec(), CHECK);
    token.push_str(&check);
    token
}

/// Whether `text` is written as a token is, its checksum included: what is not need not be looked up.
pub fn is_well_formed(text: &str) -> bool {
    let Some(rest) = text.strip_prefix(PREFIX) else { return false };
    if rest.len() != BODY + CHECK || !rest.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return false;
    }
    let (body, check) = text.split_at(PREFIX.len() + BODY);
    base62(crc32fast::hash(body.as_bytes()).to_be_bytes().to_vec(), CHECK) == check
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::suspicion;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_token_is_well_formed_and_no_change_of_one_character_is(
            random in any::<[u8; 32]>(),
            at in 0usize..56,
            to in proptest::char::range('0', 'z'),
        ) {
            let token = write(&random);

            prop_assert_eq!(token.len(), 56);
            prop_assert!(is_well_formed(&token));
            let mut changed: Vec<char> = token.chars().collect();
            prop_assume!(changed[at] != to);
            changed[at] = to;
            prop_assert!(!is_well_formed(&changed.into_iter().collect::<String>()));
        }

        #[test]
        fn two_tokens_of_different_bytes_differ(a in any::<[u8; 32]>(), b in any::<[u8; 32]>()) {
            prop_assume!(a != b);
            prop_assert_ne!(write(&a), write(&b));
        }
    }

    #[test]
    fn a_token_in_an_argument_is_seen_as_a_secret() {
        for random in [[0u8; 32], [7u8; 32], [255u8; 32]] {
            let token = write(&random);
            for kind in [suspicion::Kind::FreeText, suspicion::Kind::Identifier, suspicion::Kind::Url] {
                assert!(suspicion::PLAIN.check_text(&format!("use {token} please"), kind).is_some());
            }
        }
    }
}
