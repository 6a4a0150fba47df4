//! Places of which nobody has all: sessions, calls at work, open questions, calls that wait for a page.
//!
//! A token has its share, and so has its user over all of their tokens: a person may make many.
use crate::ids::{OrgId, UserId};
use crate::model::access::Caller;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Who is counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Holder {
    User(OrgId, UserId),
    Token(String),
}

/// A number of places, and who has how many of them.
#[derive(Clone)]
pub struct Seats(Arc<Counts>);

struct Counts {
    taken: Mutex<Taken>,
    most: usize,
    of_token: usize,
    of_user: usize,
}

#[derive(Default)]
struct Taken {
    all: usize,
    of: HashMap<Holder, usize>,
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// Who asks has as many as they may.
    Own,
    All,
}

impl Seats {
    /// `most` places, `of_one` of them for one token or for who comes without one, and half for one user's tokens
    /// together, where that is more.
    pub fn new(most: usize, of_one: usize) -> Self {
        let of_user = (most / 2).max(of_one);
        Self(Arc::new(Counts { taken: Mutex::default(), most, of_token: of_one, of_user }))
    }

    /// A place for one more of `caller`'s; of nobody's, where everybody is let in.
    pub fn enter(&self, caller: Option<&Caller>) -> Result<Seat, Full> {
        let counts = &self.0;
        let holders: Vec<(Holder, usize)> = match caller {
            None => Vec::new(),
            Some(caller) => {
                let user = Holder::User(caller.org.clone(), caller.user.clone());
                match caller.token.is_empty() {
                    true => vec![(user, counts.of_token)],
                    false => {
                        vec![(user, counts.of_user), (Holder::Token(caller.token.clone()), counts.of_token)]
                    }
                }
            }
        };
        let mut taken = counts.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if holders.iter().any(|(who, most)| taken.of.get(who).copied().unwrap_or_default() >= *most) {
            return Err(Full::Own);
        }
        if taken.all >= counts.most {
            return Err(Full::All);
        }
        taken.all += 1;
        for (who, _) in &holders {
            *taken.of.entry(who.clone()).or_default() += 1;
        }
        let holders = holders.into_iter().map(|(who, _)| who).collect();
        Ok(Seat { counts: counts.clone(), holders })
    }
}

/// One place; given back when it is dropped.
pub struct Seat {
    counts: Arc<Counts>,
    holders: Vec<Holder>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.counts.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all -= 1;
        for who in &self.holders {
            if let Some(own) = taken.of.get_mut(who) {
                *own -= 1;
                if *own == 0 {
                    taken.of.remove(who);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::access::Door;

    fn caller(org: &str, user: &str, token: &str) -> Caller {
        let caller = Caller::new(org.into(), user.into(), Door::Http);
        Caller { token: token.into(), ..caller }
    }

    #[test]
    fn a_user_with_many_tokens_leaves_places_to_others() {
        let seats = Seats::new(8, 2);
        let mut held = Vec::new();
        for n in 0..10 {
            held.extend(seats.enter(Some(&caller("acme", "ada", &format!("t{n}")))).ok());
        }
        assert_eq!(held.len(), 4);
        assert_eq!(seats.enter(Some(&caller("acme", "ada", "t99"))).err(), Some(Full::Own));

        // Of the same name in another org is another person.
        held.extend(seats.enter(Some(&caller("other", "ada", "o"))).ok());
        held.extend(seats.enter(Some(&caller("other", "ada", "o"))).ok());
        assert_eq!(seats.enter(Some(&caller("other", "ada", "o"))).err(), Some(Full::Own));
        held.extend(seats.enter(Some(&caller("acme", "bob", ""))).ok());
        held.extend(seats.enter(Some(&caller("acme", "bob", ""))).ok());
        assert_eq!(held.len(), 8);
        assert_eq!(seats.enter(Some(&caller("acme", "eve", "e"))).err(), Some(Full::All));
        assert_eq!(seats.enter(None).err(), Some(Full::All));

        held.clear();
        assert_eq!(seats.0.taken.lock().unwrap().all, 0);
        assert!(seats.0.taken.lock().unwrap().of.is_empty());
    }

    #[test]
    fn who_comes_without_a_token_has_one_token_s_share() {
        let seats = Seats::new(8, 2);

        let held: Vec<_> =
            (0..8).filter_map(|_| seats.enter(Some(&caller("acme", "ada", ""))).ok()).collect();

        assert_eq!(held.len(), 2);
    }
}
