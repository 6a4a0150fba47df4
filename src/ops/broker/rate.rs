//! How often one credential is sent, by the broker or to a remote server (B-17). Beyond that it stays here, and who asked is told when to come again.
//!
//! What one process has sent is counted; another, such as the broker of a single program, counts for itself.
use crate::error::{Code, Error};
use crate::ids::CredentialId;
use crate::model::credential::Credential;
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use std::num::NonZeroU32;

/// Refusals of one consumer and credential that are written down, a minute: a burst is one event.
const TOLD: NonZeroU32 = NonZeroU32::MIN;

/// The requests of every credential.
pub struct Rate {
    a_minute: NonZeroU32,
    sent: DefaultKeyedRateLimiter<CredentialId>,
    /// By credential and consumer.
    told: DefaultKeyedRateLimiter<(CredentialId, String)>,
    clock: DefaultClock,
}

impl Rate {
    /// So many requests of one credential `a_minute`, and as many at once where there were none for a while.
    pub fn new(a_minute: NonZeroU32) -> Self {
        Self {
            a_minute,
            sent: RateLimiter::keyed(Quota::per_minute(a_minute)),
            told: RateLimiter::keyed(Quota::per_minute(TOLD)),
            clock: DefaultClock::default(),
        }
    }

    /// Counts one request. Fails with `too_many_requests`.
    pub fn count(&self, c: &Credential) -> Result<(), Error> {
        self.sent.check_key(&c.id).map_err(|until| {
            let seconds = until.wait_time_from(self.clock.now()).as_secs() + 1;
            let limit = format!("{} is sent at most {} times a minute", c.name, self.a_minute);
            Error::new(Code::TooManyRequests, limit)
                .next(format!(
                    "Wait {seconds} seconds, then send it again. An admin can allow more: `[broker] requests_per_minute` in unsaid.toml."
                ))
                .detail("retry_after", seconds.to_string())
        })
    }

    /// Whether a refusal of `consumer` is the first for a while, and is to be written down.
    pub fn is_news(&self, c: &Credential, consumer: &str) -> bool {
        self.told.check_key(&(c.id.clone(), consumer.to_owned())).is_ok()
    }
}
