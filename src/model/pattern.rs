//! What is unusual about the uses of one credential: five rules, each told with what it saw.
//!
//! Rules and not guesses: the same log gives the same answer, and whoever reads it can check it by hand.
use crate::clock::{DAY_MS, Millis};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What counts as now: the last so many days.
pub const RECENT_DAYS: i64 = 7;
/// How long a credential must have been used before anything can be new about it, days.
pub const HISTORY_DAYS: i64 = 14;
/// Uses of one hour that are a burst, at least.
pub const BURST_USES: usize = 50;
/// And so many times the median of the earlier hours that had any.
pub const BURST_TIMES: usize = 10;
/// Earlier uses that are enough to know its hours.
pub const KNOWN_USES: usize = 100;
/// Failures in a row.
pub const FAILURES: usize = 5;

const HOUR_MS: i64 = 3_600_000;

words! {
    /// Which rule flagged it.
    Rule {
        NewConsumer = "new_consumer",
        NewHost = "new_host",
        Burst = "burst",
        HourNeverSeen = "hour_never_seen",
        RepeatedFailures = "repeated_failures",
    }
}

/// One use, as the rules see it.
#[derive(Clone, Debug)]
pub struct Use {
    pub at: Millis,
    pub is_ok: bool,
    /// Id, or empty for a person's own.
    pub consumer: String,
    /// Where a broker sent it, or empty.
    pub host: String,
}

/// Something to look at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct Unusual {
    pub rule: Rule,
    /// When it began.
    pub at: Millis,
    /// What the rule is and what it saw.
    pub why: String,
}

/// What is unusual about `uses` (oldest first) as seen at `now`, in the order of the rules.
pub fn unusual(uses: &[Use], now: Millis) -> Vec<Unusual> {
    let since = now.plus_days(-RECENT_DAYS);
    let split = uses.partition_point(|u| u.at < since);
    let (before, recent) = uses.split_at(split);
    let is_known = before.first().is_some_and(|first| first.at <= now.plus_days(-HISTORY_DAYS));
    let mut found = Vec::new();
    if is_known {
        news(before, recent, &mut found);
    }
    burst(before, recent, &mut found);
    if is_known && before.len() >= KNOWN_USES {
        hours(before, recent, &mut found);
    }
    failures(uses, &mut found);
    found
}

/// A consumer, or a host, of which there was nothing before.
fn news(before: &[Use], recent: &[Use], found: &mut Vec<Unusual>) {
    type Of = fn(&Use) -> &String;
    let kinds: [(Rule, Of, &str); 2] =
        [(Rule::NewConsumer, |u| &u.consumer, "the consumer"), (Rule::NewHost, |u| &u.host, "the host")];
    for (rule, of, what) in kinds {
        let mut told: Vec<&String> = Vec::new();
        for one in recent.iter().filter(|u| !of(u).is_empty()) {
            let name = of(one);
            if before.iter().any(|u| of(u) == name) || told.contains(&name) {
                continue;
            }
            told.push(name);
            found.push(Unusual {
                rule,
                at: one.at,
                why: format!(
                    "{what} {name} used it for the first time within the last {RECENT_DAYS} days; it is in use for more than {HISTORY_DAYS}"
                ),
            });
        }
    }
}

fn by_hour(uses: &[Use]) -> BTreeMap<i64, usize> {
    let mut hours = BTreeMap::new();
    for one in uses {
        *hours.entry(one.at.0.div_euclid(HOUR_MS)).or_insert(0) += 1;
    }
    hours
}

fn burst(before: &[Use], recent: &[Use], found: &mut Vec<Unusual>) {
    let mut usual: Vec<_> = by_hour(before).into_values().collect();
    usual.sort_unstable();
    let Some(&median) = usual.get(usual.len() / 2) else { return };
    let worst = by_hour(recent).into_iter().max_by_key(|(hour, n)| (*n, std::cmp::Reverse(*hour)));
    if let Some((hour, n)) = worst.filter(|(_, n)| *n >= BURST_USES && *n > median * BURST_TIMES) {
        found.push(Unusual {
            rule: Rule::Burst,
            at: Millis(hour * HOUR_MS),
            why: format!(
                "{n} uses in one hour; an hour with any use had {median} before (more than {BURST_TIMES} times, and {BURST_USES} at least)"
            ),
        });
    }
}

fn hours(before: &[Use], recent: &[Use], found: &mut Vec<Unusual>) {
    let hour_of = |u: &Use| u.at.0.rem_euclid(DAY_MS) / HOUR_MS;
    let mut told = [false; 24];
    for one in before {
        told[hour_of(one) as usize] = true;
    }
    for one in recent {
        let hour = hour_of(one);
        if !std::mem::replace(&mut told[hour as usize], true) {
            found.push(Unusual {
                rule: Rule::HourNeverSeen,
                at: one.at,
                why: format!(
                    "used between {hour:02}:00 and {hour:02}:59 UTC, where none of {} earlier uses fell",
                    before.len()
                ),
            });
        }
    }
}

fn failures(uses: &[Use], found: &mut Vec<Unusual>) {
    let failed: Vec<_> = uses.iter().rev().take_while(|u| !u.is_ok).collect();
    if failed.len() >= FAILURES
        && let Some(first) = failed.last()
    {
        found.push(Unusual {
            rule: Rule::RepeatedFailures,
            at: first.at,
            why: format!(
                "the last {} uses failed, without one that worked ({FAILURES} or more)",
                failed.len()
            ),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Millis = Millis(1_780_272_000_000);

    fn at(days_ago: i64, hour: i64) -> Use {
        let day = NOW.0.div_euclid(DAY_MS) * DAY_MS;
        Use {
            at: Millis(day - days_ago * DAY_MS + hour * HOUR_MS),
            is_ok: true,
            consumer: "a".into(),
            host: String::new(),
        }
    }

    /// Ten uses a day at nine, for forty days.
    fn usual() -> Vec<Use> {
        (1..=40).rev().flat_map(|day| std::iter::repeat_n(at(day, 9), 10)).collect()
    }

    fn rules(uses: &[Use]) -> Vec<Rule> {
        unusual(uses, NOW).into_iter().map(|u| u.rule).collect()
    }

    #[test]
    fn what_goes_on_as_ever_is_not_flagged() {
        assert_eq!(rules(&usual()), []);
        assert_eq!(rules(&[]), []);
    }

    #[test]
    fn a_consumer_and_a_host_of_which_there_was_nothing_are_told_once_each() {
        let mut uses = usual();
        for _ in 0..3 {
            uses.push(Use { consumer: "b".into(), host: "h".into(), ..at(0, 9) });
        }

        assert_eq!(rules(&uses), [Rule::NewConsumer, Rule::NewHost]);
    }

    #[test]
    fn nothing_is_new_about_what_is_new_itself() {
        let uses = [at(3, 9), Use { consumer: "b".into(), ..at(0, 9) }];

        assert_eq!(rules(&uses), []);
    }

    #[test]
    fn a_burst_is_many_in_an_hour_and_many_times_the_usual() {
        let more = |n: usize| {
            let mut uses = usual();
            uses.extend(std::iter::repeat_n(at(0, 9), n));
            rules(&uses)
        };

        assert_eq!(more(100), []);
        assert_eq!(more(101), [Rule::Burst]);
        // Ten times one is not fifty.
        let mut few: Vec<_> = (1..=40).rev().map(|day| at(day, 9)).collect();
        few.extend(std::iter::repeat_n(at(0, 9), 49));
        assert_eq!(rules(&few), []);
        few.push(at(0, 9));
        assert_eq!(rules(&few), [Rule::Burst]);
    }

    #[test]
    fn an_hour_is_never_seen_only_where_enough_was_seen() {
        let mut uses = usual();
        uses.push(at(1, 3));
        uses.sort_by_key(|u| u.at);
        assert_eq!(rules(&uses), [Rule::HourNeverSeen]);
        let mut few: Vec<_> = (10..=40).rev().map(|day| at(day, 9)).collect();
        few.push(at(1, 3));
        assert_eq!(rules(&few), []);
    }

    #[test]
    fn failures_count_in_a_row_up_to_the_last_use() {
        let failed = || Use { is_ok: false, ..at(0, 9) };
        let mut uses = usual();
        uses.extend((0..4).map(|_| failed()));
        assert_eq!(rules(&uses), []);
        uses.push(failed());
        assert_eq!(rules(&uses), [Rule::RepeatedFailures]);
        uses.push(at(0, 9));
        assert_eq!(rules(&uses), []);
    }

    proptest! {
        #[test]
        fn the_same_log_gives_the_same_answer_and_every_flag_lies_within_it(
            days in proptest::collection::vec((0i64..60, 0i64..24, any::<bool>(), 0u8..3), 0..300)
        ) {
            let mut uses: Vec<_> = days
                .into_iter()
                .map(|(day, hour, is_ok, who)| Use { is_ok, consumer: format!("c{who}"), ..at(day, hour) })
                .collect();
            uses.sort_by_key(|u| u.at);

            let found = unusual(&uses, NOW);

            prop_assert_eq!(&found, &unusual(&uses, NOW));
            for one in found {
                prop_assert!(uses.iter().any(|u| u.at.0.div_euclid(HOUR_MS) == one.at.0.div_euclid(HOUR_MS)));
            }
        }
    }
}
