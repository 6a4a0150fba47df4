//! What a test of a credential found out, and when its value ends by what the value or the service says itself.
use crate::clock::Millis;
use crate::ids::{CredentialId, OrgId};

words! {
    /// What a test found out. Refused and could-not-check are never the same.
    Verdict {
        Valid = "valid",
        /// The service does not take it.
        Refused = "refused",
        /// The service takes it, and it may not do what the test asks for.
        Limited = "limited",
        CouldNotCheck = "could_not_check",
    }
}

/// Everything that a test found out: a word and short texts, never what a service answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probed {
    pub verdict: Verdict,
    /// Whose account it is, as the service says; empty where it does not.
    pub account: String,
    /// What it may do, as the service says.
    pub scopes: Vec<String>,
    /// When it ends, as the service says.
    pub expires_at: Option<Millis>,
    pub message: String,
}

impl Probed {
    pub fn of(verdict: Verdict, message: impl Into<String>) -> Self {
        Self {
            verdict,
            account: String::new(),
            scopes: Vec::new(),
            expires_at: None,
            message: message.into(),
        }
    }

    pub fn could_not(message: impl Into<String>) -> Self {
        Self::of(Verdict::CouldNotCheck, message)
    }
}

/// The tests of one credential: the last one's result, and how soon the next may be.
#[derive(Clone, Debug, PartialEq)]
pub struct Probe {
    pub credential_id: CredentialId,
    pub org_id: OrgId,
    /// The number of the version that the result is of.
    pub version: i64,
    /// None where none has ended yet.
    pub verdict: Option<Verdict>,
    pub message: String,
    pub account: String,
    pub scopes: Vec<String>,
    pub checked_at: Option<Millis>,
    /// How many in a row, up to the last, could not be done.
    pub failures: i64,
    /// When the latest ones began, the oldest first: what the limit counts.
    pub recent: Vec<i64>,
    /// When the background pass tests it next.
    pub due_at: Option<Millis>,
    pub revision: i64,
}

/// How many tests of one credential may begin within [`WINDOW_MS`].
pub const MOST_PROBES: usize = 6;
/// One minute.
pub const WINDOW_MS: i64 = 60_000;
/// How many tests in a row could not be done before the status tells.
const UNREACHABLE_AFTER: i64 = 3;

impl Probe {
    pub fn new(org: OrgId, credential: CredentialId) -> Self {
        Self {
            credential_id: credential,
            org_id: org,
            version: 0,
            verdict: None,
            message: String::new(),
            account: String::new(),
            scopes: Vec::new(),
            checked_at: None,
            failures: 0,
            recent: Vec::new(),
            due_at: None,
            revision: 0,
        }
    }

    /// Counts one more that begins at `now`; false, and nothing counted, where there were too many in the last minute.
    pub fn admit(&mut self, now: Millis) -> bool {
        // A clock that was set back does not lock anybody out for longer than the window.
        self.recent.retain(|at| *at > now.0 - WINDOW_MS && *at <= now.0);
        let is_admitted = self.recent.len() < MOST_PROBES;
        if is_admitted {
            self.recent.push(now.0);
        }
        is_admitted
    }

    /// Takes over what a test of `version` found out at `now`.
    pub fn ended(&mut self, version: i64, found: &Probed, now: Millis) {
        self.failures = match found.verdict {
            Verdict::CouldNotCheck if self.version == version => self.failures + 1,
            Verdict::CouldNotCheck => 1,
            _ => 0,
        };
        self.version = version;
        self.verdict = Some(found.verdict);
        self.message.clone_from(&found.message);
        self.account.clone_from(&found.account);
        self.scopes.clone_from(&found.scopes);
        self.checked_at = Some(now);
    }

    /// What its status says of the version `current`: the last test of another one says nothing about it.
    pub fn finding(&self, current: Option<i64>) -> Option<Finding> {
        if Some(self.version) != current {
            return None;
        }
        match self.verdict? {
            Verdict::Refused => Some(Finding::Refused),
            Verdict::CouldNotCheck if self.failures >= UNREACHABLE_AFTER => Some(Finding::Unreachable),
            _ => None,
        }
    }
}

/// What of a test is worth a word in the status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    Refused,
    Unreachable,
}

words! {
    /// Who says when a value ends.
    EndSource { Jwt = "jwt", Certificate = "certificate", Service = "service" }
}

/// When one version of a credential ends, as it says itself or its service does. A fact beside the version.
#[derive(Clone, Debug, PartialEq)]
pub struct Ending {
    pub credential_id: CredentialId,
    /// The version's number.
    pub number: i64,
    pub org_id: OrgId,
    pub ends_at: Millis,
    pub source: EndSource,
    pub revision: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe() -> Probe {
        Probe::new("acme".into(), "id".into())
    }

    #[test]
    fn b_22_six_a_minute_begin_and_the_seventh_waits_until_the_first_is_a_minute_old() {
        let mut probe = probe();
        for second in 0..6 {
            assert!(probe.admit(Millis(second * 1000)), "{second}");
        }

        assert!(!probe.admit(Millis(6_000)) && !probe.admit(Millis(59_999)));
        assert!(probe.admit(Millis(60_000)));
        assert!(!probe.admit(Millis(60_001)));
    }

    #[test]
    fn a_clock_that_was_set_back_locks_nobody_out() {
        let mut probe = probe();
        for _ in 0..6 {
            assert!(probe.admit(Millis(1_000_000)));
        }

        assert!(probe.admit(Millis(5)));
    }

    #[test]
    fn one_failure_is_a_hiccup_and_three_are_told_and_a_refusal_is_told_at_once() {
        let mut probe = probe();
        let failed = Probed::could_not("no answer");
        probe.ended(1, &failed, Millis(1));
        probe.ended(1, &failed, Millis(2));
        assert_eq!(probe.finding(Some(1)), None);

        probe.ended(1, &failed, Millis(3));
        assert_eq!(probe.finding(Some(1)), Some(Finding::Unreachable));
        assert_eq!(probe.finding(Some(2)), None);

        probe.ended(2, &Probed::of(Verdict::Refused, "no"), Millis(4));
        assert_eq!((probe.finding(Some(2)), probe.failures), (Some(Finding::Refused), 0));
    }
}
