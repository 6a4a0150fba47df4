//! What a person granted through a provider, as the database keeps it: everything but the tokens, which are a version of
//! the credential. And a consent that is under way.
use super::status::StatusReason;
use crate::clock::Millis;
use crate::ids::{ConsentId, CredentialId, OrgId, ProviderId, UserId};

words! {
    /// Where a connection stands.
    ConnectionState {
        /// There are tokens, which are kept fresh.
        Connected = "connected",
        /// The tokens are of no use any more: a person has to connect it again.
        Broken = "broken",
        /// Disconnected here; the service has not confirmed yet that it ended the grant.
        Revoking = "revoking",
        Disconnected = "disconnected",
    }
}

words! {
    /// How tokens are got (RFC 6749 §4.1 and §4.4, RFC 8628).
    GrantKind {
        AuthorizationCode = "authorization_code",
        DeviceCode = "device_code",
        /// The client itself, no person: there is nothing to consent to.
        ClientCredentials = "client_credentials",
    }
}

words! {
    /// Where a consent stands. All but `open` are final.
    ConsentState {
        Open = "open",
        /// The answer is being exchanged for tokens.
        Taken = "taken",
        Done = "done",
        /// The person, or the provider for them, said no.
        Denied = "denied",
        Failed = "failed",
        /// Connected as another account than before: the person is asked.
        OtherAccount = "other_account",
    }
}

/// How long a person has for a consent.
pub const CONSENT_LIFE_MS: i64 = 10 * 60 * 1000;
/// How long a claim on the refresh of a connection lasts: twice the deadline of the request, and ten seconds more, so that
/// a request can never outlast its claim.
pub const LEASE_MS: i64 = 30_000;
/// How long the refresh token of a broken connection is kept, for a provider that was wrong.
pub const KEPT_BROKEN_MS: i64 = 7 * crate::clock::DAY_MS;
/// How long a revocation is tried again.
pub const REVOKE_TRIED_MS: i64 = crate::clock::DAY_MS;

/// One connection: a row beside its credential.
#[derive(Clone, Debug, PartialEq)]
pub struct Connection {
    pub credential_id: CredentialId,
    pub org_id: OrgId,
    pub provider_id: ProviderId,
    pub state: ConnectionState,
    /// Why it is broken; a word of [`StatusReason`], or empty.
    pub reason: String,
    pub grant_kind: GrantKind,
    /// SHA-256 of the provider's client and addresses: tokens go nowhere else than where they were got.
    pub policy: Vec<u8>,
    /// The provider's own id of the account, and what people know it by; empty where it does not tell.
    pub subject: String,
    pub account: String,
    pub scopes_asked: Vec<String>,
    pub scopes_granted: Vec<String>,
    /// The version of the credential that holds the tokens. It is the generation that a refresh is fenced by.
    pub generation: i64,
    pub has_refresh: bool,
    pub obtained_at: Millis,
    /// When the access token ends; none where the provider does not say.
    pub access_expires_at: Option<Millis>,
    /// When the background pass refreshes it.
    pub refresh_due_at: Option<Millis>,
    pub refresh_expires_at: Option<Millis>,
    /// Who refreshes it right now, and until when that counts.
    pub lease_owner: String,
    pub lease_until: Millis,
    /// The generation whose refresh was begun and whose end is not known; 0 for none.
    pub intent: i64,
    pub failures: i64,
    /// What went wrong last, in words of ours.
    pub last_error: String,
    pub next_try_at: Option<Millis>,
    pub connected_at: Millis,
    pub connected_by: UserId,
    pub updated_at: Millis,
    pub revision: i64,
}

impl Connection {
    /// One that holds no tokens yet.
    pub fn fresh(
        credential_id: CredentialId,
        org_id: OrgId,
        provider_id: ProviderId,
        grant_kind: GrantKind,
        connected_by: UserId,
        now: Millis,
    ) -> Self {
        Self {
            credential_id,
            org_id,
            provider_id,
            state: ConnectionState::Connected,
            reason: String::new(),
            grant_kind,
            policy: Vec::new(),
            subject: String::new(),
            account: String::new(),
            scopes_asked: Vec::new(),
            scopes_granted: Vec::new(),
            generation: 0,
            has_refresh: false,
            obtained_at: now,
            access_expires_at: None,
            refresh_due_at: None,
            refresh_expires_at: None,
            lease_owner: String::new(),
            lease_until: Millis(0),
            intent: 0,
            failures: 0,
            last_error: String::new(),
            next_try_at: None,
            connected_at: now,
            connected_by,
            updated_at: now,
            revision: 0,
        }
    }

    /// Whether the access token has enough left at `now` to be handed out: `most_ms`, or a fifth of its life where that is
    /// less.
    pub fn is_fresh(&self, now: Millis, most_ms: i64) -> bool {
        self.access_expires_at.is_none_or(|end| {
            let needed_ms = most_ms.min((end.0 - self.obtained_at.0) / 5);
            end.0 - now.0 >= needed_ms.max(1)
        })
    }

    /// Whether the access token is good at all.
    pub fn is_alive(&self, now: Millis) -> bool {
        self.access_expires_at.is_none_or(|end| end > now)
    }

    /// Whether another holder's claim stands at `now`.
    pub fn is_claimed(&self, now: Millis) -> bool {
        // One that lies further ahead than any is given is of a clock that was set back since.
        !self.lease_owner.is_empty() && self.lease_until > now && self.lease_until.0 - now.0 <= LEASE_MS
    }

    /// Whether new tokens can be got without a person.
    pub fn renews(&self) -> bool {
        self.has_refresh || self.grant_kind == GrantKind::ClientCredentials
    }

    /// What was asked for and not granted. A provider that does not say granted all (RFC 6749 §5.1).
    pub fn scopes_missing(&self) -> Vec<&str> {
        // Scopes of OpenID Connect often are not repeated.
        let implied = ["openid", "profile", "email", "offline_access"];
        self.scopes_asked
            .iter()
            .map(String::as_str)
            .filter(|asked| {
                !self.scopes_granted.iter().any(|granted| granted == asked) && !implied.contains(asked)
            })
            .collect()
    }

    /// Why a person has to do something, if they have to.
    pub fn broken_reason(&self) -> Option<StatusReason> {
        match self.state {
            ConnectionState::Broken => {
                Some(crate::model::Word::parse(&self.reason).unwrap_or(StatusReason::ReauthRequired))
            }
            _ => None,
        }
    }
}

/// When to refresh a token that was got at `now` and lives `life_ms`: at four fifths of its life, a tenth of it earlier or
/// later, so that what was connected together does not fall due together. `dice`: 0 to 255.
pub fn due_after_ms(life_ms: i64, dice: u8) -> i64 {
    let tenth = life_ms / 10;
    8 * tenth - tenth / 2 + tenth * i64::from(dice) / 255
}

/// How long to wait after the `failures`th failure in a row: half a second, doubled each time, at most a minute, and
/// anywhere between half and all of it.
pub fn backoff_ms(failures: i64, dice: u8) -> i64 {
    let full = 500i64.saturating_mul(1 << failures.clamp(1, 8)).min(60_000);
    full / 2 + full / 2 * i64::from(dice) / 255
}

/// A consent that a person was sent to: what is behind a `state`.
#[derive(Clone, Debug, PartialEq)]
pub struct Consent {
    pub id: ConsentId,
    pub org_id: OrgId,
    pub credential_id: CredentialId,
    pub provider_id: ProviderId,
    pub asked_by: UserId,
    pub door: String,
    pub client: String,
    pub grant_kind: GrantKind,
    /// SHA-256 of the provider's client and addresses when it began.
    pub policy: Vec<u8>,
    /// SHA-256 of the `state`, or of the ticket of a device grant.
    pub hash: Vec<u8>,
    /// SHA-256 of what the browser that was sent away holds; empty until it was sent.
    pub browser: Vec<u8>,
    /// The entry link that is used up when it is done; empty where there is none.
    pub link: Vec<u8>,
    pub redirect_uri: String,
    pub scopes: Vec<String>,
    /// The verifier or device code, sealed; its data key.
    pub wrapped_key: Vec<u8>,
    pub key_version: i64,
    pub sealed: Vec<u8>,
    /// Of a device grant: what the person types, where, and how often it is asked for (milliseconds).
    pub user_code: String,
    pub verification_uri: String,
    pub interval_ms: i64,
    pub state: ConsentState,
    /// What came of it, in words of ours.
    pub outcome: String,
    pub created_at: Millis,
    pub expires_at: Millis,
    pub ended_at: Option<Millis>,
    pub revision: i64,
}

impl Consent {
    pub fn is_open(&self, now: Millis) -> bool {
        self.state == ConsentState::Open && now < self.expires_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn connection(life_ms: Option<i64>) -> Connection {
        let now = Millis(1_000_000);
        Connection {
            generation: 1,
            has_refresh: true,
            access_expires_at: life_ms.map(|ms| now.plus_ms(ms)),
            ..Connection::fresh(
                CredentialId::from("c"),
                OrgId::from("o"),
                ProviderId::from("p"),
                GrantKind::AuthorizationCode,
                UserId::from("u"),
                now,
            )
        }
    }

    #[test]
    fn a_token_is_handed_out_with_a_minute_or_a_fifth_of_its_life_left() {
        let hour = connection(Some(3_600_000));
        assert!(hour.is_fresh(Millis(1_000_000 + 3_540_000), 60_000));
        assert!(!hour.is_fresh(Millis(1_000_000 + 3_540_001), 60_000));
        let short = connection(Some(5_000));
        assert!(short.is_fresh(Millis(1_000_000 + 4_000), 60_000));
        assert!(!short.is_fresh(Millis(1_000_000 + 4_001), 60_000));
        assert!(short.is_alive(Millis(1_000_000 + 4_999)) && !short.is_alive(Millis(1_000_000 + 5_000)));
        assert!(connection(None).is_fresh(Millis(i64::MAX), 60_000));
    }

    #[test]
    fn what_was_asked_and_not_granted_is_missing_but_for_what_is_never_repeated() {
        let mut c = connection(None);
        c.scopes_asked = ["openid", "repo", "mail"].map(str::to_owned).to_vec();
        c.scopes_granted = vec!["repo".into()];
        assert_eq!(c.scopes_missing(), ["mail"]);
    }

    proptest! {
        #[test]
        fn a_refresh_falls_due_between_three_quarters_and_nine_tenths_of_a_life(life in 1_000i64..400 * 86_400_000, dice: u8) {
            let due = due_after_ms(life, dice);
            prop_assert!(due >= life / 10 * 7 && due <= life / 10 * 9, "{due} of {life}");
        }

        #[test]
        fn a_wait_grows_and_stays_within_a_minute(failures in 1i64..1000, dice: u8) {
            let wait = backoff_ms(failures, dice);
            prop_assert!((500..=60_000).contains(&wait));
        }
    }
}
