//! Identifiers: ULIDs as text, one type a table, so that one cannot stand where another belongs.
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A fresh ULID (48 bits of time, 80 random bits from the operating system), as 26 characters.
pub fn fresh() -> String {
    let now_ms = jiff::Timestamp::now().as_millisecond().max(0) as u64;
    let mut random = [0u8; 16];
    getrandom::fill(&mut random).expect("the operating system gives random bytes");
    ulid::Ulid::from_parts(now_ms, u128::from_be_bytes(random) & ((1 << 80) - 1)).to_string()
}

macro_rules! id {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(transparent)]
        #[schemars(inline, extend("maxLength" = 40))]
        pub struct $name(pub String);

        impl $name {
            pub fn fresh() -> Self {
                Self(fresh())
            }
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }
    )*};
}

id! {
    /// A tenant.
    OrgId
    UserId
    TeamId
    CredentialId
    VersionId
    GrantId
    TokenId
    EntryId
    ConsentId
    ProviderId
    ConsumerId
    ApprovalId
    SlotId
    BackupId
    AlertId
    RotationId
    /// Several rotations that were started together.
    CampaignId
    /// One call of a rotation to a service.
    CallId
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn z_09_ids_are_random_and_do_not_repeat() {
        let many: std::collections::HashSet<_> = (0..10_000).map(|_| fresh()).collect();

        assert_eq!(many.len(), 10_000);
        assert!(many.iter().all(|id| id.len() == 26));
    }
}
