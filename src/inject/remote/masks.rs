//! What was sent to the server, looked for in everything that it says.
use super::Header;
use crate::error::{Result, invalid};
use crate::inject::broker::whole;
use crate::inject::{MASKED_FROM_BYTES, Patterns};
use std::sync::{Arc, Mutex, PoisonError};

/// So many values of one session are looked for; each replacement of a value adds one.
const MOST: usize = 16;

/// The patterns of the values that were sent in this session, by which value it is.
#[derive(Default)]
pub(super) struct Masks(Mutex<Vec<(String, Arc<Patterns>)>>);

impl Masks {
    /// From now on these are looked for too. Fails with `invalid_input` for a value that is too short to be told from
    /// other text: it is not sent.
    pub fn add(&self, headers: &[Header]) -> Result<()> {
        for header in headers {
            let Some(given) = &header.given else { continue };
            if given.value.expose(|value| value.trim_ascii().len()) < MASKED_FROM_BYTES {
                return Err(invalid(format!(
                    "{} is too short to be found in answers, so it is not sent",
                    given.label
                ))
                .next("Use a longer value."));
            }
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if all.iter().any(|(which, _)| *which == header.which) {
                continue;
            }
            if all.len() == MOST {
                all.remove(0);
            }
            all.push((header.which.clone(), Arc::new(Patterns::new([(given.label.as_str(), &given.value)]))));
        }
        Ok(())
    }

    /// `text`, which is all there is, masked; and whether it had to be.
    pub fn whole(&self, text: Vec<u8>) -> (Vec<u8>, bool) {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut was_echoed = false;
        let masked = all.iter().fold(text, |text, (_, patterns)| {
            if !patterns.may_be_in(&text) {
                return text;
            }
            let (masked, has_masked) = whole(&text, patterns);
            was_echoed |= has_masked;
            masked
        });
        (masked, was_echoed)
    }
}
