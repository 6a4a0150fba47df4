//! What was sent to the server, looked for in everything that it says.
use super::Header;
use crate::error::{Result, invalid};
use crate::inject::broker::whole;
use crate::inject::{MASKED_FROM_BYTES, Patterns};
use crate::model::consumer::MOST_BINDINGS;
use std::sync::{Arc, Mutex, PoisonError};

/// So many values of one session are looked for; each replacement of a value adds one.
/// More than twice what one message can have, so that nothing that is being sent makes room for something else.
const MOST: usize = 2 * MOST_BINDINGS + 16;

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
            if let Some(at) = all.iter().position(|(which, _)| *which == header.which) {
                // It is in use still: what was not sent for longest goes first.
                let known = all.remove(at);
                all.push(known);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inject::broker::Given;
    use crate::secret::SecretBytes;

    fn header(n: usize) -> Header {
        let value = SecretBytes::copied(format!("the value of number {n:03} here").as_bytes());
        let given = Given { field: "token".into(), label: format!("M{n:03}"), value, is_secret: true };
        Header { name: "x".into(), format: "{token}".into(), which: n.to_string(), given: Some(given) }
    }

    fn is_masked(masks: &Masks, n: usize) -> bool {
        let (text, was_echoed) = masks.whole(format!("<the value of number {n:03} here>").into_bytes());
        was_echoed && text == format!("<[unsaid:M{n:03}]>").into_bytes()
    }

    #[test]
    fn everything_that_one_message_sends_is_looked_for() {
        let masks = Masks::default();
        masks.add(&(0..MOST_BINDINGS).map(header).collect::<Vec<_>>()).unwrap();

        assert!((0..MOST_BINDINGS).all(|n| is_masked(&masks, n)));
        assert!(!is_masked(&masks, MOST_BINDINGS));
    }

    #[test]
    fn what_is_sent_each_time_stays_however_often_another_value_is_replaced() {
        let masks = Masks::default();
        for n in 1..1000 {
            masks.add(&[header(0), header(n)]).unwrap();

            assert!(is_masked(&masks, 0) && is_masked(&masks, n), "{n}");
        }
    }
}
