//! Attempts without a good token or ticket, counted by where they come from.
//!
//! Nobody is kept out here: an address may be many people, so what follows from a number is for who counts.
use super::Peer;
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Networks that are remembered before those that have been quiet are looked for, once a second at most.
const MANY: usize = 10_000;
const TIDY: Duration = Duration::from_secs(1);

/// How many attempts a network may make, and which have made more.
pub struct Attempts {
    of: DefaultKeyedRateLimiter<IpAddr>,
    clock: DefaultClock,
    tidied: Mutex<Instant>,
}

impl Attempts {
    pub fn new(a_minute: NonZeroU32) -> Self {
        Self {
            of: RateLimiter::keyed(Quota::per_minute(a_minute)),
            clock: DefaultClock::default(),
            tidied: Mutex::new(Instant::now()),
        }
    }

    /// One more. Fails, with how long to wait, where there are too many.
    pub fn count(&self, peer: Peer) -> Result<(), Duration> {
        if self.of.len() > MANY && self.is_time_to_tidy() {
            self.tidy();
        }
        self.of.check_key(&peer.network()).map_err(|until| until.wait_time_from(self.clock.now()))
    }

    /// Forgets who has been quiet for a while.
    pub fn tidy(&self) {
        self.of.retain_recent();
    }

    fn is_time_to_tidy(&self) -> bool {
        let mut last = self.tidied.lock().unwrap_or_else(PoisonError::into_inner);
        let is_time = last.elapsed() >= TIDY;
        if is_time {
            *last = Instant::now();
        }
        is_time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_changes_address_within_its_network_is_counted_on_and_others_are_not_counted() {
        let attempts = Attempts::new(NonZeroU32::new(3).unwrap());
        let peer = |ip: &str| Peer(ip.parse().unwrap());

        let counted: Vec<_> =
            (1..=4).map(|n| attempts.count(peer(&format!("2001:db8::{n}"))).is_ok()).collect();

        assert_eq!(counted, [true, true, true, false]);
        assert!(attempts.count(peer("2001:db8:0:1::1")).is_ok());
        assert_eq!(attempts.of.len(), 2);
    }
}
