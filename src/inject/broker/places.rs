//! How many requests may be on their way: in all, and for one token.
use crate::error::{Code, Error, Result};
use crate::secret::{SecretBytes, looked_up_by};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

pub(in crate::inject) struct Places {
    most: usize,
    of_one: usize,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    all: usize,
    /// By the token's hash, as long as a request of its is there.
    by_token: HashMap<[u8; 32], usize>,
}

/// One of them, given back when it is dropped.
pub(in crate::inject) struct Place {
    places: Arc<Places>,
    token: [u8; 32],
}

impl Places {
    pub fn new(most: usize, of_one: usize) -> Self {
        Self { most, of_one, taken: Mutex::default() }
    }

    /// A place for one more; `too_many_requests` where there is none.
    pub fn take(self: &Arc<Self>, token: &SecretBytes) -> Result<Place> {
        let token = token.expose(looked_up_by);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let of_this = taken.by_token.get(&token).copied().unwrap_or_default();
        if of_this >= self.of_one || taken.all >= self.most {
            return Err(Error::new(Code::TooManyRequests, "too many requests are on their way")
                .next("Wait until some are answered, then send it again.")
                .detail("retry_after", "1"));
        }
        taken.all += 1;
        taken.by_token.insert(token, of_this + 1);
        drop(taken);
        Ok(Place { places: self.clone(), token })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all -= 1;
        if let Some(of_this) = taken.by_token.get_mut(&self.token) {
            *of_this -= 1;
            if *of_this == 0 {
                taken.by_token.remove(&self.token);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_token_leaves_places_to_others_and_nobody_is_remembered_who_has_none() {
        let places = Arc::new(Places::new(3, 2));
        let [one, other] = [b"one", b"two"].map(|token| SecretBytes::copied(token));

        let held = [places.take(&one), places.take(&one)];
        assert!(held.iter().all(Result::is_ok));
        let refused = places.take(&one).err().expect("it has two");
        assert_eq!(refused.code, Code::TooManyRequests);
        let last = places.take(&other).expect("there is one left");
        assert!(places.take(&other).is_err());

        drop((held, last));
        let taken = places.taken.lock().expect("nobody panicked");
        assert!(taken.all == 0 && taken.by_token.is_empty());
    }
}
