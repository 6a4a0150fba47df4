//! How much one principal may ask for: calls a second, and calls at once. Beyond, 429 with when to come again.
use crate::error::{Code, Error};
use crate::front::{Attempts, Peer};
use crate::ids::TokenId;
use crate::mcp::seats::{Full, Seat, Seats};
use crate::model::access::Caller;
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use std::collections::HashMap;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, SemaphorePermit};

/// Wrong or missing tokens of one network, a minute.
const FAILURES: NonZeroU32 = NonZeroU32::new(60).expect("is not zero");
/// How long a network is suspect after it has made more.
const SUSPECT: Duration = Duration::from_secs(10);
/// Tokens from suspect networks that are looked up at once, and how long one waits for its turn.
const TURNS: usize = 2;
const TURN_PATIENCE: Duration = Duration::from_secs(1);
/// Suspects that are remembered before those of long ago are looked for.
const MANY: usize = 10_000;

/// The limits of one server.
pub struct Rates {
    calls: DefaultKeyedRateLimiter<TokenId>,
    failures: Attempts,
    /// Networks that made too many wrong attempts, and until when they are suspect.
    suspects: Mutex<HashMap<IpAddr, Instant>>,
    turns: Semaphore,
    at_work: Seats,
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
            failures: Attempts::new(FAILURES),
            suspects: Mutex::default(),
            turns: Semaphore::new(TURNS),
            at_work: Seats::new(everybody, at_once),
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
    pub fn enter(&self, caller: &Caller) -> Result<Seat, Error> {
        self.at_work.enter(Some(caller)).map_err(|full| match full {
            Full::Own => too_many("too many calls of this token, or of its user, are at work already", 1),
            Full::All => too_many("the server is busy with other calls", 1),
        })
    }

    /// Counts an attempt without a good token. Fails with `too_many_requests` where a network makes too many.
    pub fn failed(&self, peer: Peer) -> Result<(), Error> {
        self.failures.count(peer).map_err(|wait| {
            let mut suspects = self.suspects.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            if suspects.len() >= MANY {
                suspects.retain(|_, until| *until > now);
            }
            // Where there are more, they are looked up as everybody's are.
            if suspects.len() < MANY {
                suspects.insert(peer.network(), now + SUSPECT);
            }
            too_many("too many attempts without a valid token", wait.as_secs() + 1)
        })
    }

    /// A turn to look a token up, for whoever comes from a suspect network; `None` for all others, who need none.
    ///
    /// Not refused outright: somebody with a good token may be at the same address. Fails with `too_many_requests`
    /// where the turn does not come within a second.
    pub async fn turn(&self, peer: Option<Peer>) -> Result<Option<SemaphorePermit<'_>>, Error> {
        if !peer.is_some_and(|peer| self.is_suspect(peer)) {
            return Ok(None);
        }
        match tokio::time::timeout(TURN_PATIENCE, self.turns.acquire()).await {
            Ok(Ok(turn)) => Ok(Some(turn)),
            _ => Err(too_many("too many attempts without a valid token came from this address", 1)),
        }
    }

    fn is_suspect(&self, peer: Peer) -> bool {
        let suspects = self.suspects.lock().unwrap_or_else(PoisonError::into_inner);
        suspects.get(&peer.network()).is_some_and(|until| *until > Instant::now())
    }

    /// Forgets who has been quiet for a while.
    pub fn tidy(&self) {
        self.calls.retain_recent();
        self.failures.tidy();
        let now = Instant::now();
        self.suspects.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, until| *until > now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(a_second: u32, at_once: usize, everybody: usize) -> Rates {
        Rates::new(NonZeroU32::new(a_second).unwrap(), at_once, everybody)
    }

    fn caller(user: &str, token: &str) -> Caller {
        let caller = Caller::new("acme".into(), user.into(), crate::model::access::Door::Http);
        Caller { token: token.into(), ..caller }
    }

    fn peer(ip: &str) -> Peer {
        Peer(ip.parse().unwrap())
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
        let (one, other) = (caller("ada", "one"), caller("bob", "other"));
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
        let (guesser, other) = (peer("192.0.2.1"), peer("192.0.2.2"));

        let passed = (0..200).filter(|_| rates.failed(guesser).is_ok()).count();

        assert_eq!(passed, 60);
        assert!(rates.failed(other).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn w_29_who_is_at_a_guesser_s_address_takes_turns_with_them_and_nobody_else_does() {
        let rates = rates(1, 1, 1);
        let (guesser, beside) = (peer("2001:db8::1"), peer("2001:db8::2"));
        assert!(rates.turn(Some(beside)).await.unwrap().is_none());
        assert!((0..200).any(|_| rates.failed(guesser).is_err()));

        let first = rates.turn(Some(guesser)).await.unwrap();
        let second = rates.turn(Some(beside)).await.unwrap();
        assert!(first.is_some() && second.is_some());
        let third = rates.turn(Some(beside)).await.err().unwrap();
        assert_eq!(third.code, Code::TooManyRequests);
        assert!(third.details().iter().any(|(name, _)| *name == "retry_after"));
        assert!(rates.turn(Some(peer("192.0.2.1"))).await.unwrap().is_none());

        drop(first);
        assert!(rates.turn(Some(beside)).await.unwrap().is_some());
    }
}
