//! What was sent to the server, looked for in everything that it says.
use super::Header;
use crate::error::{Result, invalid};
use crate::inject::broker::{Given, whole, within};
use crate::inject::{MASKED_FROM_BYTES, Patterns};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// So many values of one session are looked for, at least: twice what a consumer may be bound to. Each replacement of a
/// value adds one.
const MOST: usize = 80;

/// One value, in one header.
#[derive(Clone)]
struct Sought {
    which: String,
    /// Says whether there is a pair in it, which is looked for too.
    format: String,
    patterns: Arc<Patterns>,
}

/// The values that were sent in this session, those that were sent last at the end.
#[derive(Default)]
pub(super) struct Masks(Mutex<Vec<Sought>>);

impl Masks {
    /// From now on these are looked for too. Fails with `invalid_input` for a value that is too short to be told from
    /// other text: it is not sent.
    pub fn add(&self, headers: &[Header]) -> Result<()> {
        let mut all = self.all();
        let mut sent = 0;
        for header in headers {
            let Some(given) = &header.given else { continue };
            if given.value.expose(|value| value.trim_ascii().len()) < MASKED_FROM_BYTES {
                return Err(invalid(format!(
                    "{} is too short to be found in answers, so it is not sent",
                    given.label
                ))
                .next("Use a longer value."));
            }
            let known = all.iter().position(|one| one.which == header.which && one.format == header.format);
            let one = match known {
                Some(at) => all.remove(at),
                None => Sought {
                    which: header.which.clone(),
                    format: header.format.clone(),
                    patterns: patterns(header, given)?,
                },
            };
            all.push(one);
            sent += 1;
        }
        // What was not sent for longest goes; what is sent now stays, however much it is.
        let spare = all.len().saturating_sub(MOST.max(sent));
        all.drain(..spare);
        Ok(())
    }

    /// `text`, which is all there is, masked; and which values were in it.
    pub fn whole(&self, mut text: Vec<u8>) -> (Vec<u8>, Vec<String>) {
        let all = self.all().clone();
        let mut echoed = Vec::new();
        for one in &all {
            if !one.patterns.may_be_in(&text) {
                continue;
            }
            let (masked, has_masked) = whole(&text, &one.patterns);
            text = masked;
            if has_masked && !echoed.contains(&one.which) {
                echoed.push(one.which.clone());
            }
        }
        (text, echoed)
    }

    fn all(&self) -> MutexGuard<'_, Vec<Sought>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn patterns(header: &Header, given: &Given) -> Result<Arc<Patterns>> {
    let also = within(&header.placement(), std::slice::from_ref(given))?;
    let all = std::iter::once(given).chain(&also);
    Ok(Arc::new(Patterns::new(all.map(|given| (given.label.as_str(), &given.value)))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;
    use crate::secret::SecretBytes;

    fn value(n: usize) -> String {
        format!("value-of-{n:04}-{}", n * 7919)
    }

    fn header(n: usize, format: &str, value: &str) -> Header {
        let given = Given {
            field: "token".into(),
            label: format!("KEY_{n}"),
            value: SecretBytes::copied(value.as_bytes()),
            is_secret: true,
        };
        Header { name: format!("X-{n}"), format: format.into(), given: Some(given), which: n.to_string() }
    }

    fn headers(of: impl IntoIterator<Item = usize>) -> Vec<Header> {
        of.into_iter().map(|n| header(n, "{token}", &value(n))).collect()
    }

    fn is_masked(masks: &Masks, n: usize) -> bool {
        let (text, echoed) = masks.whole(format!("got {}", value(n)).into_bytes());
        let is_masked = text == format!("got [unsaid:KEY_{n}]").as_bytes();
        assert_eq!(is_masked, echoed == [n.to_string()]);
        is_masked
    }

    #[test]
    fn b_24_everything_that_one_request_sends_is_looked_for_however_much_it_is() {
        for many in [17, 40, 120] {
            let masks = Masks::default();

            masks.add(&headers(0..many)).expect("long enough");

            assert!((0..many).all(|n| is_masked(&masks, n)), "{many}");
        }
        assert!(!is_masked(&Masks::default(), 0));
    }

    #[test]
    fn b_24_a_value_that_is_sent_again_and_again_is_looked_for_however_often_others_are_replaced() {
        let masks = Masks::default();

        for n in 1..500 {
            masks.add(&headers([n, 0])).expect("long enough");
            assert!(is_masked(&masks, 0) && is_masked(&masks, n));
        }

        // What was replaced long ago is forgotten at some time, and not before a full set of others was sent twice.
        assert!((460..500).all(|n| is_masked(&masks, n)) && !is_masked(&masks, 1));
        assert!(masks.all().len() == MOST);
    }

    #[test]
    fn b_24_a_value_that_is_sent_in_two_ways_is_looked_for_in_both() {
        let masks = Masks::default();
        let encoded = "bWlhOmh1bnRlci0yMg==";
        masks.add(&[header(0, "Bearer {token}", encoded)]).expect("long enough");
        assert_eq!(masks.whole(b"mia:hunter-22".to_vec()).0, b"mia:hunter-22");

        masks.add(&[header(0, "Basic {token}", encoded)]).expect("long enough");

        for (said, told) in [
            ("mia:hunter-22", "[unsaid:KEY_0]"),
            ("pw hunter-22!", "pw [unsaid:KEY_0]!"),
            ("Basic bWlhOmh1bnRlci0yMg==", "Basic [unsaid:KEY_0]"),
            ("mia", "mia"),
        ] {
            assert_eq!(String::from_utf8_lossy(&masks.whole(said.into()).0), told);
        }
    }

    #[test]
    fn b_26_what_is_too_short_is_refused_and_what_was_sent_before_is_still_looked_for() {
        let masks = Masks::default();
        masks.add(&headers([1])).expect("long enough");

        // The second is `mia:pw`.
        for (format, short) in [("{token}", "abcde"), ("Basic {token}", "bWlhOnB3")] {
            let refused = masks.add(&[header(1, "{token}", &value(1)), header(2, format, short)]);
            assert_eq!(refused.expect_err(short).code, Code::InvalidInput);
        }

        assert!(is_masked(&masks, 1));
        assert!(!is_masked(&masks, 2));
    }
}
