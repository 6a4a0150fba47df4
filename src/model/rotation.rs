//! One replacement of a value, step by step, with its way back. States change by value; nothing here knows the time.
//!
//! ```text
//! planned → awaiting_value → staged → verified → promoted → confirmed → old_revoked → closed
//!     └──────────┴──────────────┴─────────┴→ aborted   └──────────┴→ rolled_back
//! ```
//! The old value is served until `promoted`, and kept with its key until `closed`.
use super::Word;
use super::status::{Status, StatusReason, StatusReport};
use crate::clock::{DAY_MS, Millis};
use crate::error::{Code, Error, Result};
use crate::ids::{CallId, CampaignId, ConsumerId, CredentialId, OrgId, RotationId, UserId};

words! {
    /// How far a rotation is.
    RotationStage {
        Planned = "planned",
        /// What a person enters is kept beside the value in use.
        AwaitingValue = "awaiting_value",
        /// The new value is sealed as pending, the old one served.
        Staged = "staged",
        /// The service takes the new one, for the same account and at least the same scopes.
        Verified = "verified",
        /// The new one is served, the old one kept.
        Promoted = "promoted",
        /// Whatever uses it works with the new one.
        Confirmed = "confirmed",
        OldRevoked = "old_revoked",
        /// The old one's key is destroyed.
        Closed = "closed",
        Aborted = "aborted",
        RolledBack = "rolled_back",
    }
}

words! {
    /// What the service allows.
    Way {
        /// Old and new work side by side.
        Overlap = "overlap",
        /// The old one stops when the new one is made.
        ShortGap = "short_gap",
        /// A connection: a person consents again, in place.
        Reconnect = "reconnect",
    }
}

words! {
    /// What can be done with a rotation.
    Step {
        /// Have the new value entered, or connected.
        Enter = "enter",
        /// Have the service make it, where there is a driver.
        Make = "make",
        Verify = "verify",
        Promote = "promote",
        Confirm = "confirm",
        RevokeOld = "revoke_old",
        Close = "close",
        RollBack = "roll_back",
    }
}

words! {
    /// What a test of one of its values said.
    Finding {
        Untested = "untested",
        Valid = "valid",
        Refused = "refused",
        /// The service takes it, and it may not do what the test asks for.
        Limited = "limited",
        CouldNotCheck = "could_not_check",
        OtherAccount = "other_account",
        ScopesMissing = "scopes_missing",
    }
}

words! {
    /// What a consumer's use of the new value said.
    Signal { Good = "good", Failed = "failed" }
}

words! {
    /// Who said it.
    SignalSource { Broker = "broker", Report = "report", Test = "test", Person = "person" }
}

words! {
    /// How a call to a service ended. A `started` one that nobody ends may have happened there.
    CallState { Started = "started", Done = "done", Failed = "failed", Unsure = "unsure" }
}

words! {
    /// What the credentials of a campaign have in common.
    CampaignKind { User = "user", Service = "service", Overdue = "overdue", Chosen = "chosen" }
}

/// How long a rotation waits for a value, and keeps one that nobody goes on with (F-07).
pub const PENDING_LIFE_MS: i64 = DAY_MS;
/// How long after promotion a failing signal brings the old value back by itself.
pub const CONFIRM_WINDOW_MS: i64 = DAY_MS;
/// The longest policy, days.
pub const MOST_DAYS: i64 = 3650;

/// One rotation.
#[derive(Clone, Debug, PartialEq)]
pub struct Rotation {
    pub id: RotationId,
    pub org_id: OrgId,
    pub credential_id: CredentialId,
    /// Its campaign's id, or empty.
    pub campaign: String,
    /// Its place in the campaign, the riskiest first.
    pub rank: i64,
    pub way: Way,
    pub stage: RotationStage,
    /// One open rotation a credential: a unique index says so.
    pub is_open: bool,
    pub old_version: Option<i64>,
    pub new_version: Option<i64>,
    /// What the test of the new value said.
    pub finding: Finding,
    /// What the last test of the old value said, after it was to be revoked.
    pub old_finding: Finding,
    /// What went wrong last, in our own words; or empty.
    pub trouble: String,
    pub started_by: UserId,
    /// Who went on with it last.
    pub owner: UserId,
    pub started_at: Millis,
    pub changed_at: Millis,
    /// Until when its stage lasts by itself: a value is waited for or kept, a failing signal brings the old one back.
    pub due_at: Option<Millis>,
    pub promoted_at: Option<Millis>,
    pub ended_at: Option<Millis>,
    pub revision: i64,
}

/// What one bound consumer's use of the new value said, last.
#[derive(Clone, Debug, PartialEq)]
pub struct RotationConsumer {
    pub rotation_id: RotationId,
    pub consumer_id: ConsumerId,
    pub org_id: OrgId,
    pub signal: Signal,
    pub source: SignalSource,
    /// Which version it is about.
    pub version: i64,
    pub at: Millis,
    pub told_by: UserId,
    pub revision: i64,
}

/// The intent and the outcome of one call to a service.
#[derive(Clone, Debug, PartialEq)]
pub struct RotationCall {
    pub id: CallId,
    pub org_id: OrgId,
    pub rotation_id: RotationId,
    pub driver: String,
    /// `create`, `set`, `test` or `revoke`.
    pub call: String,
    pub version: Option<i64>,
    pub state: CallState,
    pub started_at: Millis,
    pub started_by: UserId,
    pub ended_at: Option<Millis>,
    pub revision: i64,
}

/// Rotations that were started together.
#[derive(Clone, Debug, PartialEq)]
pub struct Campaign {
    pub id: CampaignId,
    pub org_id: OrgId,
    pub kind: CampaignKind,
    /// The user or the service, or empty.
    pub subject: String,
    pub size: i64,
    pub started_by: UserId,
    pub started_at: Millis,
    pub revision: i64,
}

/// After how many days values of a service, or of the whole org (an empty service), are due. 0: never.
#[derive(Clone, Debug, PartialEq)]
pub struct RotationPolicy {
    pub org_id: OrgId,
    pub service: String,
    pub days: i64,
    pub set_by: UserId,
    pub set_at: Millis,
    pub revision: i64,
}

/// What the catalogue advised for each service on the day that the org agreed to follow it. A later catalogue changes nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct RotationAdvice {
    pub org_id: OrgId,
    /// `service:days`, between blanks.
    pub advice: String,
    pub set_by: UserId,
    pub set_at: Millis,
    pub revision: i64,
}

impl RotationAdvice {
    /// Each service with its days.
    pub fn days(&self) -> impl Iterator<Item = (&str, i64)> {
        let pairs = self.advice.split_whitespace().filter_map(|pair| pair.split_once(':'));
        pairs.filter_map(|(service, days)| Some((service, days.parse().ok()?)))
    }
}

/// What counts: the credential's own, else its service's, else the org's. `None` where it is never due.
pub fn effective_days(own: Option<i64>, service: Option<i64>, org: Option<i64>) -> Option<i64> {
    own.or(service).or(org).filter(|days| *days > 0)
}

impl RotationStage {
    pub fn is_open(self) -> bool {
        !matches!(self, Self::Closed | Self::Aborted | Self::RolledBack)
    }
}

impl Rotation {
    fn to(mut self, stage: RotationStage, now: Millis) -> Self {
        self.stage = stage;
        self.is_open = stage.is_open();
        self.changed_at = now;
        self.due_at = None;
        self.trouble.clear();
        if !self.is_open {
            self.ended_at = Some(now);
        }
        self
    }

    fn from(self, allowed: &[RotationStage], what: &str) -> Result<Self> {
        match allowed.contains(&self.stage) {
            true => Ok(self),
            false => Err(Error::new(
                Code::WrongStage,
                format!("a rotation that is {} cannot be {what}", self.stage),
            )
            .detail("stage", self.stage.as_str())),
        }
    }

    /// From here on what is entered is its new value. Asked for again, it waits anew.
    pub fn awaiting(self, now: Millis) -> Result<Self> {
        use RotationStage as S;
        let mut r =
            self.from(&[S::Planned, S::AwaitingValue], "waiting for a value")?.to(S::AwaitingValue, now);
        r.due_at = Some(now.plus_ms(PENDING_LIFE_MS));
        Ok(r)
    }

    /// Nobody entered anything: it is a plan again, and what is entered then is an ordinary value.
    pub fn shelved(self, now: Millis) -> Result<Self> {
        Ok(self.from(&[RotationStage::AwaitingValue], "put off")?.to(RotationStage::Planned, now))
    }

    /// Whether a value that is entered now is its new one.
    pub fn takes_value(&self) -> bool {
        use RotationStage as S;
        matches!(self.stage, S::AwaitingValue | S::Staged | S::Verified) && self.way != Way::Reconnect
    }

    /// `version` is sealed beside the old one. Another one than before is untested again.
    pub fn staged(self, version: i64, now: Millis) -> Result<Self> {
        use RotationStage as S;
        let mut r = self
            .from(&[S::Planned, S::AwaitingValue, S::Staged, S::Verified], "given a value")?
            .to(S::Staged, now);
        r.new_version = Some(version);
        r.finding = Finding::Untested;
        r.due_at = Some(now.plus_ms(PENDING_LIFE_MS));
        Ok(r)
    }

    /// Its service surely does not know the value that was staged: as before there was one.
    pub fn unset(self, trouble: String, now: Millis) -> Result<Self> {
        let mut r = self.from(&[RotationStage::Staged], "without a value again")?;
        r = r.to(RotationStage::AwaitingValue, now);
        (r.new_version, r.finding, r.trouble) = (None, Finding::Untested, trouble);
        r.due_at = Some(now.plus_ms(PENDING_LIFE_MS));
        Ok(r)
    }

    /// What a test of the new value said; `trouble` in our words where it is no plain yes.
    pub fn tested(self, finding: Finding, trouble: String, now: Millis) -> Result<Self> {
        use RotationStage as S;
        let due = self.due_at;
        let stage = if finding == Finding::Valid { S::Verified } else { S::Staged };
        let mut r = self.from(&[S::Staged, S::Verified], "tested")?.to(stage, now);
        (r.finding, r.trouble, r.due_at) = (finding, trouble, due);
        Ok(r)
    }

    /// Whether nothing but a person's own yes lets it be promoted.
    pub fn lacks_test(&self) -> bool {
        self.stage != RotationStage::Verified
    }

    /// The new version is the one in use.
    pub fn promoted(self, now: Millis) -> Result<Self> {
        use RotationStage as S;
        let mut r = self.from(&[S::Staged, S::Verified], "promoted")?.to(S::Promoted, now);
        r.promoted_at = Some(now);
        r.due_at = Some(now.plus_ms(CONFIRM_WINDOW_MS));
        Ok(r)
    }

    /// A person has connected it again, in place: there is nothing to stage.
    pub fn reconnected(self, version: i64, now: Millis) -> Result<Self> {
        use RotationStage as S;
        let mut r = self.from(&[S::AwaitingValue], "taken as reconnected")?.to(S::Promoted, now);
        r.new_version = Some(version);
        r.promoted_at = Some(now);
        Ok(r)
    }

    pub fn confirmed(self, now: Millis) -> Result<Self> {
        let due = self.due_at;
        let mut r = self.from(&[RotationStage::Promoted], "confirmed")?.to(RotationStage::Confirmed, now);
        r.due_at = due;
        Ok(r)
    }

    /// What a test of the old value said, where it was not yet found dead.
    pub fn old_tested(mut self, finding: Finding, trouble: String, now: Millis) -> Result<Self> {
        self = self.from(&[RotationStage::Confirmed], "tested for its old value")?;
        (self.old_finding, self.trouble, self.changed_at) = (finding, trouble, now);
        Ok(self)
    }

    pub fn old_revoked(self, now: Millis) -> Result<Self> {
        Ok(self.from(&[RotationStage::Confirmed], "past its old value")?.to(RotationStage::OldRevoked, now))
    }

    pub fn closed(self, now: Millis) -> Result<Self> {
        Ok(self.from(&[RotationStage::OldRevoked], "closed")?.to(RotationStage::Closed, now))
    }

    /// Ended before anything was changed for anybody.
    pub fn aborted(self, now: Millis) -> Result<Self> {
        use RotationStage as S;
        Ok(self.from(&[S::Planned, S::AwaitingValue, S::Staged, S::Verified], "aborted")?.to(S::Aborted, now))
    }

    /// Ended whatever its stage is, for its credential is gone.
    pub fn cut_off(self, now: Millis) -> Self {
        self.to(RotationStage::Aborted, now)
    }

    /// The old version is the one in use again.
    pub fn rolled_back(self, now: Millis) -> Result<Self> {
        use RotationStage as S;
        if self.way == Way::Reconnect && self.stage.is_open() {
            return Err(Error::new(
                Code::WrongStage,
                "a connection has no way back: the old tokens ended when it was connected again",
            )
            .next("Connect it again with connect_credential if the new tokens fail."));
        }
        Ok(self.from(&[S::Promoted, S::Confirmed], "rolled back")?.to(S::RolledBack, now))
    }

    /// Whether a failing use of `version` brings the old one back by itself.
    pub fn falls_back_on(&self, version: i64, now: Millis) -> bool {
        use RotationStage as S;
        matches!(self.stage, S::Promoted | S::Confirmed)
            && self.way != Way::Reconnect
            && self.new_version == Some(version)
            && self.due_at.is_some_and(|until| now < until)
    }

    /// The step that comes next, if there is one.
    pub fn next_step(&self) -> Option<Step> {
        use RotationStage as S;
        Some(match (self.stage, self.way) {
            (S::Planned, _) => Step::Enter,
            (S::AwaitingValue, Way::Reconnect) => Step::Verify,
            (S::AwaitingValue, _) => Step::Enter,
            (S::Staged, _) if matches!(self.finding, Finding::CouldNotCheck | Finding::Limited) => {
                Step::Promote
            }
            (S::Staged, _) => Step::Verify,
            (S::Verified, _) => Step::Promote,
            (S::Promoted, _) => Step::Confirm,
            (S::Confirmed, _) => Step::RevokeOld,
            (S::OldRevoked, _) => Step::Close,
            (S::Closed | S::Aborted | S::RolledBack, _) => return None,
        })
    }
}

/// `report` with what its open rotation says: where it is, and how it goes on.
pub fn in_progress(mut report: StatusReport, open: &Rotation) -> StatusReport {
    report.reasons.push(StatusReason::RotationInProgress);
    let go_on = format!("Call get_rotation with {} to go on with its rotation.", open.id);
    match report.status {
        Status::Active => {
            report.message = format!("in order; its rotation is {}", open.stage);
            report.next = go_on;
        }
        Status::NeedsAttention | Status::Expiring | Status::Expired => {
            report.message.push_str(&format!("; its rotation is {}", open.stage));
            report.next = go_on;
        }
        Status::Error | Status::Disconnected | Status::Deleted => {}
    }
    report
}

#[cfg(test)]
mod tests;
