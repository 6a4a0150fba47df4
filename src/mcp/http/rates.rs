//! How much one principal may ask for: calls a second, and calls at once. Beyond, 429 with when to come again.
use crate::error::{Code, Error};
use crate::ids::TokenId;
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use std::collections::HashMap;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Wrong or missing tokens of one address, a minute.
const FAILURES: NonZeroU32 = NonZeroU32::new(60).expect("is not zero");

/// The limits of one server.
pub struct Rates {
    calls: DefaultKeyedRateLimiter<TokenId>,
    failures: DefaultKeyedRateLimiter<IpAddr>,
    at_once: Mutex<HashMap<TokenId, Arc<Semaphore>>>,
    most_at_once: usize,
    /// Calls at once of everybody.
    everybody: Arc<Semaphore>,
    clock: DefaultClock,
}

fn too_many(why: &'static str, seconds: u64) -> Error {
    Error::new(Code::TooManyRequests, why).detail("retry_after", seconds.max(1).to_string())
}

impl Rates {
    /// `a_second` calls of one token, twice that in a burst, and `at_once` of them at work; `everybody` in all.
    pub fn new(a_second: NonZeroU32, at_once: usize, everybody: usize) -> Self {
        let quota = Quota::per_second(a_second)
            .allow_burst(a_second.saturating_mul(NonZeroU32::MIN.saturating_add(1)));
        Self {
            calls: RateLimiter::keyed(quota),
            failures: RateLimiter::keyed(Quota::per_minute(FAILURES)),
            at_once: Mutex::new(HashMap::new()),
            most_at_once: at_once,
            everybody: Arc::new(Semaphore::new(everybody)),
            clock: DefaultClock::default(),
        }
    }

    /// Counts a message against its token's rate. Fails with `too_many_requests`.
    pub fn count(&self, token: &TokenId) -> Result<(), Error> {
        self.calls.check_key(token).map_err(|until| {
            let wait = until.wait_time_from(self.clock.now());
            too_many("this token calls too often", wait.as_secs() + 1)
        })
    }

    /// A place for one call, kept until it is answered. Fails with `too_many_requests`.
    pub fn enter(&self, token: &TokenId) -> Result<Place, Error> {
        let own = {
            let mut all = self.at_once.lock().unwrap_or_else(PoisonError::into_inner);
            // Tokens come and go; those with nothing at work need no entry.
            if all.len() > 1024 {
                all.retain(|_, places| places.available_permits() < self.most_at_once);
            }
            all.entry(token.clone()).or_insert_with(|| Arc::new(Semaphore::new(self.most_at_once))).clone()
        };
        let own = own
            .try_acquire_owned()
            .map_err(|_| too_many("too many calls of this token are at work already", 1))?;
        let everybody = self
            .everybody
            .clone()
            .try_acquire_owned()
            .map_err(|_| too_many("the server is busy with other calls", 1))?;
        Ok(Place(own, everybody))
    }

    /// Counts an attempt without a good token. Fails with `too_many_requests` where an address makes too many.
    pub fn failed(&self, peer: IpAddr) -> Result<(), Error> {
        self.failures.check_key(&peer).map_err(|until| {
            let wait = until.wait_time_from(self.clock.now());
            too_many("too many attempts without a valid token", wait.as_secs() + 1)
        })
    }

    /// Forgets who has been quiet for a while.
    pub fn tidy(&self) {
        self.calls.retain_recent();
        self.failures.retain_recent();
    }
}

/// A place among the calls at work.
pub struct Place(#[allow(dead_code)] OwnedSemaphorePermit, #[allow(dead_code)] OwnedSemaphorePermit);

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(a_second: u32, at_once: usize, everybody: usize) -> Rates {
        Rates::new(NonZeroU32::new(a_second).unwrap(), at_once, everybody)
    }

    #[test]
    fn l_03_a_token_beyond_its_rate_is_told_when_to_come_again_and_another_is_not_held_up() {
        let rates = rates(1, 100, 100);
        let (one, other) = (TokenId::from("one"), TokenId::from("other"));
        assert!((0..2).all(|_| rates.count(&one).is_ok()));

        let refused = rates.count(&one).err().unwrap();

        assert_eq!(refused.code, Code::TooManyRequests);
        assert!(
            refused
                .details()
                .iter()
                .any(|(name, s)| *name == "retry_after" && s.parse::<u64>().unwrap() >= 1)
        );
        assert!(rates.count(&other).is_ok());
    }

    #[test]
    fn places_are_given_back_and_are_each_tokens_own_within_those_of_all() {
        let rates = rates(1000, 2, 3);
        let (one, other) = (TokenId::from("one"), TokenId::from("other"));
        let first = rates.enter(&one).ok().unwrap();
        let _second = rates.enter(&one).ok().unwrap();

        assert!(rates.enter(&one).is_err());
        let _third = rates.enter(&other).ok().unwrap();
        assert!(rates.enter(&other).is_err());
        drop(first);
        assert!(rates.enter(&other).is_ok());
    }

    #[test]
    fn w_29_an_address_that_guesses_is_stopped() {
        let rates = rates(1, 1, 1);
        let (guesser, other): (IpAddr, IpAddr) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());

        let passed = (0..200).filter(|_| rates.failed(guesser).is_ok()).count();

        assert_eq!(passed, 60);
        assert!(rates.failed(other).is_ok());
    }
}
