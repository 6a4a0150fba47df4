//! What a rotation's consumers have shown: who is bound, who was handed the new version, and how it did.
use crate::clock::Millis;
use crate::error::Result;
use crate::model::access::Standing;
use crate::model::consumer::Consumer;
use crate::model::credential::Credential;
use crate::model::rotation::{Finding, Rotation, RotationConsumer, Signal, SignalSource};
use crate::ops::consumer::every_bound;
use crate::store::Reader;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

words! {
    /// How far one consumer is.
    BoundState {
        Failed = "failed",
        /// It was not handed the new one yet.
        Waiting = "waiting",
        /// It has the new one, and nothing is known of how it did.
        Handed = "handed",
        Good = "good",
    }
}

/// One bound consumer, as it is shown.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct BoundTo {
    pub consumer: String,
    pub variables: Vec<String>,
    #[schemars(with = "String")]
    pub state: BoundState,
    /// When it was handed the new one last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handed_at: Option<Millis>,
    /// When it was last handed any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_use_at: Option<Millis>,
    /// Who said how it did: broker, report, test or person.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub said_by: Option<SignalSource>,
}

/// As it is judged by.
pub(super) struct Bound {
    pub consumer: Consumer,
    variables: Vec<String>,
    pub state: BoundState,
    handed_at: Option<Millis>,
    last_use_at: Option<Millis>,
    pub said_by: Option<SignalSource>,
}

impl Bound {
    /// Whether it was handed the new version.
    pub fn has_new(&self) -> bool {
        self.handed_at.is_some()
    }

    /// What a viewer sees of it: of another's personal one not even the name.
    pub fn shown(&self, who: &Standing) -> BoundTo {
        let is_seen = self.consumer.is_seen_by(who);
        BoundTo {
            consumer: if is_seen { self.consumer.name.clone() } else { "a personal one".to_owned() },
            variables: if is_seen { self.variables.clone() } else { Vec::new() },
            state: self.state,
            handed_at: self.handed_at,
            last_use_at: self.last_use_at,
            said_by: self.said_by,
        }
    }
}

/// Every consumer bound to the rotation's credential, whoever looks.
pub(super) fn gather(tx: &Reader<'_>, c: &Credential, r: &Rotation) -> Result<Vec<Bound>> {
    let signals = tx.signals(&r.id)?;
    let since = r.promoted_at.unwrap_or(r.started_at);
    let mut all: Vec<Bound> = Vec::new();
    for (consumer, variable) in every_bound(tx, c)? {
        if let Some(there) = all.iter_mut().find(|bound| bound.consumer.id == consumer.id) {
            there.variables.push(variable);
            continue;
        }
        let last = |version| tx.last_handed(&c.org_id, &c.id, &consumer.id, version);
        let handed_at = match r.new_version {
            Some(new) => last(Some(new))?.filter(|at| *at >= since),
            None => None,
        };
        let before = match r.old_version {
            Some(old) => last(Some(old))?,
            None => None,
        };
        let last_use_at = last(None)?.max(before);
        let heard = signals.iter().find(|s| s.consumer_id == consumer.id && Some(s.version) == r.new_version);
        let state = judged(handed_at.is_some(), heard, r.finding);
        let by_test = (state == BoundState::Good && heard.is_none()).then_some(SignalSource::Test);
        all.push(Bound {
            variables: vec![variable],
            state,
            handed_at,
            last_use_at,
            said_by: heard.map(|s| s.source).or(by_test),
            consumer,
        });
    }
    Ok(all)
}

/// A good word counts only of who has the new value; the service's own yes speaks for whoever has it.
fn judged(is_handed: bool, heard: Option<&RotationConsumer>, finding: Finding) -> BoundState {
    match (is_handed, heard.map(|s| s.signal)) {
        (_, Some(Signal::Failed)) => BoundState::Failed,
        (true, Some(Signal::Good)) => BoundState::Good,
        (true, None) if finding == Finding::Valid => BoundState::Good,
        (true, None) => BoundState::Handed,
        (false, _) => BoundState::Waiting,
    }
}

/// Whether nothing speaks against going on: each consumer has shown that it works, or, where there is none, the test has.
pub(super) fn is_confirmed(all: &[Bound], r: &Rotation) -> bool {
    match all.is_empty() {
        true => r.finding == Finding::Valid,
        false => all.iter().all(|bound| bound.state == BoundState::Good),
    }
}

/// A credential's consumers that `who` may see, with when each was last handed a value.
pub(in crate::ops) fn consumers_of(
    tx: &Reader<'_>,
    who: &Standing,
    c: &Credential,
) -> Result<Vec<(String, String, Option<Millis>)>> {
    let mut all = Vec::new();
    for (consumer, variable) in every_bound(tx, c)? {
        if consumer.is_seen_by(who) {
            let at = tx.last_handed(&c.org_id, &c.id, &consumer.id, None)?;
            all.push((consumer.name, variable, at));
        }
    }
    Ok(all)
}
