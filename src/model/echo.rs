//! A service that sends a credential back: in the third answer it is enough, and it goes there no more (B-25).
use super::credential::Credential;
use crate::clock::Millis;
use crate::error::{Code, Error};

/// So many answers with the value in them, and no more requests.
pub const MOST_ECHOES: i64 = 3;

/// Answers of one service that had one credential in them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Echoes {
    /// Id in the catalogue.
    pub service: String,
    /// Which value it was: the number of its version; of a connection, when a person connected it.
    pub generation: i64,
    pub times: i64,
    pub last_at: Millis,
}

impl Echoes {
    /// Whether the value of this `generation` goes there no more. Another value has not been sent back.
    pub fn suspends(&self, generation: i64) -> bool {
        self.generation == generation && self.times >= MOST_ECHOES
    }

    /// The refusal of a request.
    pub fn refusal(&self, c: &Credential) -> Error {
        let message = format!("{} is not sent to {} any more: {}", c.name, self.service, self.why());
        Error::new(Code::CredentialSuspended, message).next(next(c)).detail("service", self.service.clone())
    }

    /// As `acme had it in 3 of its answers`.
    pub fn why(&self) -> String {
        format!("{} had it in {} of its answers, where it was masked", self.service, self.times)
    }
}

/// How it goes there again: another value, or a person's word.
pub fn next(c: &Credential) -> String {
    format!(
        "Ask the person to replace the value, or to run `unsaid broker lift {}` if they trust the service.",
        c.id
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b_25_the_third_echo_of_one_value_is_enough_and_another_value_begins_anew() {
        let echoes =
            |generation, times| Echoes { service: "acme".into(), generation, times, last_at: Millis(0) };

        assert!(echoes(2, 3).suspends(2) && echoes(2, 9).suspends(2));
        assert!(!echoes(2, 2).suspends(2));
        assert!(!echoes(2, 3).suspends(3) && !echoes(2, 3).suspends(1));
    }
}
