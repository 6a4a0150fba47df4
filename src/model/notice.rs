//! What people are told without asking: that a credential ends, that its service refuses it, that a canary was used,
//! that a rotation went back by itself.
use super::canary::NOTICED;
use crate::clock::{DAY_MS, Millis};
use crate::ids::{CredentialId, NoticeId, OrgId};

/// How many days before its end a credential is told of, the earliest first.
pub const WARN_DAYS: [i64; 4] = [30, 14, 7, 1];

words! {
    NoticeKind {
        Expiring = "credential.expiring", Refused = "credential.refused", CanaryUsed = "canary.used",
        /// A new value failed, and the old one is served again.
        WentBack = "rotation.went_back",
        /// By its rotation policy its value is to be replaced.
        RotationDue = "rotation.due"
    }
}

words! {
    /// How a notice goes out.
    Way { Webhook = "webhook", Mail = "mail" }
}

words! {
    NoticeState { Waiting = "waiting", Sent = "sent", GivenUp = "given_up" }
}

impl NoticeKind {
    /// The operation of the events of its sending.
    pub fn operation(self) -> &'static str {
        match self {
            Self::Expiring | Self::Refused | Self::WentBack | Self::RotationDue => "send_notice",
            // That one is sent at the moment of a use tells which credential is a canary.
            Self::CanaryUsed => NOTICED,
        }
    }
}

/// One notice on its way to one place. It has names and dates in it, and nothing of a value.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    pub id: NoticeId,
    pub org_id: OrgId,
    pub credential_id: CredentialId,
    pub kind: NoticeKind,
    pub way: Way,
    /// JSON: what is told.
    pub body: String,
    pub state: NoticeState,
    pub attempts: i64,
    /// When it is tried next.
    pub due_at: Option<Millis>,
    pub last_error: String,
    pub created_at: Millis,
    pub revision: i64,
}

/// That a credential's end was told of so many days ahead: once for each end. Or that its value is due by its policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Warning {
    pub credential_id: CredentialId,
    /// Its end, or when it is due.
    pub ends_at: Millis,
    /// Of what is due by its policy, with a minus.
    pub days: i64,
    pub org_id: OrgId,
    pub at: Millis,
    pub revision: i64,
}

/// Which of [`WARN_DAYS`] are reached at `now` for what ends at `ends_at`, the earliest first; none once it has ended.
pub fn reached(ends_at: Millis, now: Millis) -> Vec<i64> {
    let left = ends_at.0 - now.0;
    match left > 0 {
        true => WARN_DAYS.into_iter().filter(|days| left <= days.saturating_mul(DAY_MS)).collect(),
        false => Vec::new(),
    }
}

/// As [`reached`], of a value that is due after `every_days`: never in the first half of its life, or each would be told of
/// as soon as it is set.
pub fn reached_of_policy(due_at: Millis, now: Millis, every_days: i64) -> Vec<i64> {
    reached(due_at, now).into_iter().filter(|days| days.saturating_mul(2) <= every_days).collect()
}

/// How long after a failed attempt the next one is made; `None` where it is given up.
pub fn pause_ms(attempts: i64) -> Option<i64> {
    const MINUTE: i64 = 60_000;
    [MINUTE, 5 * MINUTE, 30 * MINUTE, 120 * MINUTE, 360 * MINUTE, 720 * MINUTE, 1440 * MINUTE]
        .get(usize::try_from(attempts.checked_sub(1)?).ok()?)
        .copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_threshold_is_reached_in_its_turn_and_none_after_the_end() {
        let end = Millis(100 * DAY_MS);
        let at = |days: i64| reached(end, Millis(end.0 - days * DAY_MS));

        assert_eq!(at(31), Vec::<i64>::new());
        assert_eq!(at(30), [30]);
        assert_eq!(at(8), [30, 14]);
        assert_eq!(at(1), [30, 14, 7, 1]);
        assert!(at(0).is_empty() && at(-1).is_empty());
    }

    #[test]
    fn a_policy_is_not_told_of_in_the_first_half_of_a_value_s_life() {
        let due = Millis(100 * DAY_MS);
        let at = |left: i64, every| reached_of_policy(due, Millis(due.0 - left * DAY_MS), every);

        assert_eq!((at(30, 90), at(30, 60), at(30, 59)), (vec![30], vec![30], vec![]));
        assert_eq!((at(5, 14), at(1, 2), at(1, 1)), (vec![7], vec![1], vec![]));
        assert!(at(0, 90).is_empty() && at(-1, 90).is_empty());
    }

    #[test]
    fn an_attempt_is_repeated_seven_times_ever_later_and_then_given_up() {
        let pauses: Vec<_> = (1..=8).map(pause_ms).collect();

        assert!(pauses.windows(2).all(|p| p[1].is_none() || p[0] < p[1]));
        assert_eq!(pauses[7], None);
        assert_eq!(pause_ms(0), None);
    }
}
