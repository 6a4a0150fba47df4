//! The OAuth protocol as a client speaks it: what is asked, and what an answer means. It knows no store and no vault.
//!
//! RFC 6749 (grants), 6750 (bearer tokens), 7009 (revocation), 7636 (PKCE), 8414 (metadata), 8628 (device grant), 8707
//! (resource), 9207 (issuer in the answer of an authorisation).
mod answer;
mod ask;
mod authorize;
mod identity;
#[cfg(test)]
mod tests;

pub use answer::{Answer, DeviceAnswer, Refusal, Tokens, Trouble, device, tokens};
pub use ask::{Client, Grant, Quirks, device_form, revocation, token_form};
pub use authorize::{AskConsent, Challenge, Returned, authorization_url, returned};
pub use identity::{Identity, identity};
