//! How a brokered request ended, told once, whatever ends it.
use super::places::Place;

/// Told to the [`Doorkeeper`](super::Doorkeeper).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Of the service's answer, if there was one.
    pub status: Option<u16>,
    pub outcome: Outcome,
    /// The answer had the credential in it, in plain or encoded; it was masked.
    pub was_echoed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The service answered, whatever its status.
    Answered,
    /// It did not, or not to the end.
    Failed(&'static str),
    /// The caller went away.
    Aborted,
}

pub(in crate::inject) type Tell = Box<dyn FnOnce(Ended) + Send>;

/// Tells how it ended; when it is dropped, that it was aborted.
pub(in crate::inject) struct Ending {
    tell: Option<Tell>,
    pub status: Option<u16>,
    pub was_echoed: bool,
    /// Given back when it has ended.
    place: Option<Place>,
}

impl Ending {
    pub fn new(tell: Tell, place: Option<Place>) -> Self {
        Self { tell: Some(tell), status: None, was_echoed: false, place }
    }

    /// For what takes no place.
    pub(in crate::inject) fn of(tell: Tell) -> Self {
        Self::new(tell, None)
    }

    pub(in crate::inject) fn well(mut self) {
        self.tell(Outcome::Answered);
    }

    /// Returns the place, for a second attempt.
    pub fn answered(mut self) -> Option<Place> {
        self.tell(Outcome::Answered);
        self.place.take()
    }

    pub fn failed(mut self, why: &'static str) {
        self.tell(Outcome::Failed(why));
    }

    fn tell(&mut self, outcome: Outcome) {
        if let Some(tell) = self.tell.take() {
            tell(Ended { status: self.status, outcome, was_echoed: self.was_echoed });
        }
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.tell(Outcome::Aborted);
    }
}
