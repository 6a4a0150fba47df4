//! `advance_rotation`: the next step of a rotation, or a named one. Whoever manages the credential goes on with it.
use super::view::{Guide, RotationAnswer};
use super::{ADVANCE, event, evidence, go_back, make, reach_rotation, revoke, start, verify};
use crate::app::App;
use crate::error::{Code, Error, Result};
use crate::model::access::Caller;
use crate::model::credential::Credential;
use crate::model::entry::EntryPurpose;
use crate::model::rotation::{Finding, Rotation, RotationStage, Step, Way};
use crate::model::text::Reason;
use crate::ops::confirm::{Confirm, Question};
use crate::ops::reach::{Need, Reached};
use crate::ops::{Effect, Operation, Permission, Toolset};
use crate::rotation::engine;
use crate::store::{Reader, Recorded, Writer};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdvanceRotation {
    /// Its id, or the credential's
    #[schemars(length(max = 160))]
    pub rotation: String,
    /// Default: the next one
    pub step: Option<Step>,
    /// Needed where a person says what nothing has shown
    pub reason: Option<Reason>,
}

/// What a step is about, as things stand in one transaction.
pub(super) struct Meant {
    pub r: Rotation,
    pub c: Credential,
    pub step: Step,
    found: Reached,
}

impl AdvanceRotation {
    pub(super) fn meant(&self, tx: &Reader<'_>, guide: &Guide, caller: &Caller) -> Result<Meant> {
        let who = tx.standing(caller)?;
        let (r, found) = reach_rotation(tx, caller, &who, &self.rotation, Need::Manage)?;
        let c = found.credential.clone();
        let ended = || {
            Error::new(Code::WrongStage, format!("the rotation of {} is {}", c.label(), r.stage))
                .next(guide.next(&c, &r))
        };
        let next = guide.next_step(&c, &r).ok_or_else(ended)?;
        let step = self.step.unwrap_or(next);
        Ok(Meant { r, c, step, found })
    }

    pub(super) fn reason(&self) -> &str {
        self.reason.as_ref().map_or("", Reason::as_str)
    }

    /// What a person must agree to before it, as things stand.
    pub(super) fn needs(
        &self,
        tx: &Reader<'_>,
        guide: &Guide,
        caller: &Caller,
        meant: &Meant,
    ) -> Result<Confirm> {
        let Meant { r, c, step, .. } = meant;
        let question = |what: &str, mut impact: Vec<String>| -> Result<Question> {
            // What changes with each use would be another question when it is answered.
            let mut users = crate::ops::credential::delete::impact(tx, caller, &meant.found)?;
            users.retain(|line| line.starts_with("consumers bound"));
            impact.extend(users);
            Ok(Question {
                summary: format!("{what} {} (rotation {})", c.label(), r.id),
                impact,
                reason: self.reason().to_owned(),
                pins: vec![("rotation", r.id.0.clone())],
            })
        };
        Ok(match step {
            Step::Promote if r.stage == RotationStage::Staged => {
                let found = match r.finding {
                    Finding::Untested => "it was not tested at its service".to_owned(),
                    finding => format!("its test said: {finding}"),
                };
                Confirm::Person(question(
                    "serve an untested new value of",
                    vec![found, "what uses it gets the new one from then on; the old one is kept".into()],
                )?)
            }
            Step::Make if guide.makes(c) && guide.ends_old_at_once(c, r) && r.way != Way::Reconnect => {
                let mut impact = vec![
                    "the old one stops working there at that moment, and what uses it fails until it has the new one".into(),
                ];
                impact.extend(guide.untried(c).map(str::to_owned));
                Confirm::Person(question("have the value replaced at its service:", impact)?)
            }
            Step::Confirm if r.stage == RotationStage::Promoted => {
                let all = evidence::gather(tx, c, r)?;
                match evidence::is_confirmed(&all, r) {
                    true => Confirm::Nothing,
                    false if self.reason().is_empty() => return Err(unconfirmed(c, &all)),
                    false => Confirm::Form(question(
                        "take the new value as confirmed for",
                        vec![missing(&all)],
                    )?),
                }
            }
            Step::RevokeOld if r.stage == RotationStage::Confirmed => match revoke::how(guide, c, r, self) {
                revoke::How::Driver => {
                    let what = "the service is asked to revoke the old one; there is no way back after that";
                    let mut impact = vec![what.to_owned()];
                    if r.finding != Finding::Valid {
                        impact.push(format!("the test of the new one said: {}", r.finding));
                    }
                    impact.extend(guide.untried(c).map(str::to_owned));
                    Confirm::Person(question("end the old value at its service:", impact)?)
                }
                revoke::How::Word if !revoke::is_shown_to_work(tx, guide, c, r)? => {
                    return Err(revoke::unshown(c, r));
                }
                revoke::How::Word => Confirm::Person(question(
                    "take the old value as ended for",
                    vec![
                        "nothing could test that it is dead; its key here is destroyed when the rotation is closed".into(),
                        format!("the test of the new one said: {}", r.finding),
                    ],
                )?),
                revoke::How::Test | revoke::How::Nothing => Confirm::Nothing,
            },
            _ => Confirm::Nothing,
        })
    }
}

/// What still speaks against going on.
fn missing(all: &[evidence::Bound]) -> String {
    use evidence::BoundState as B;
    let count = |state: B| all.iter().filter(|bound| bound.state == state).count();
    match all.is_empty() {
        true => "no consumer is bound to it, and the new one was not tested".to_owned(),
        false => format!(
            "of {} bound consumers {} work, {} failed, {} have it and said nothing, {} do not have it yet",
            all.len(),
            count(B::Good),
            count(B::Failed),
            count(B::Handed),
            count(B::Waiting)
        ),
    }
}

fn unconfirmed(c: &Credential, all: &[evidence::Bound]) -> Error {
    Error::new(Code::HasDependents, format!("the new value of {} is not confirmed: {}", c.label(), missing(all))).next(
        "get_rotation names the rest. Start them again and have them use it (`unsaid report ok --consumer NAME` says so); or, if a person knows that \
         it works, call again with their reason.",
    )
}

impl Operation for AdvanceRotation {
    const NAME: &'static str = ADVANCE;
    const TITLE: &'static str = "Go on with a rotation";
    const ABOUT: &'static str = "Do a rotation's next step, or a named one. A person approves what is untested and what ends the old value.";
    const TOOLSET: Toolset = Toolset::Rotation;
    const EFFECT: Effect = Effect::Changes;
    const NEEDS: Permission = Permission::Manage;
    type Output = RotationAnswer;

    fn entry(answer: &Value) -> Option<(EntryPurpose, String)> {
        start::entered(answer)
    }

    async fn confirm(&self, app: &App, caller: &Caller) -> Result<Confirm> {
        let (input, asking, guide) = (self.clone(), caller.clone(), Guide::of(app));
        app.store
            .read(move |tx| {
                let meant = input.meant(tx, &guide, &asking)?;
                input.needs(tx, &guide, &asking, &meant)
            })
            .await
    }

    async fn run(self, app: &App, caller: &Caller) -> Result<RotationAnswer> {
        let (input, asking, guide) = (self.clone(), caller.clone(), Guide::of(app));
        let (step, how) = app
            .store
            .read(move |tx| {
                let meant = input.meant(tx, &guide, &asking)?;
                input.needs(tx, &guide, &asking, &meant)?.expect_agreed(&asking)?;
                Ok((meant.step, revoke::how(&guide, &meant.c, &meant.r, &input)))
            })
            .await?;
        match (step, how) {
            (Step::Make, _) => make::make(app, caller, self).await,
            (Step::Verify, _) => verify::verify(app, caller, self).await,
            (Step::RevokeOld, revoke::How::Driver) => revoke::by_driver(app, caller, self).await,
            (Step::RevokeOld, revoke::How::Test) => revoke::by_test(app, caller, self).await,
            _ => here(app, caller, self, step).await,
        }
    }
}

/// The steps that ask nobody outside: one transaction each.
async fn here(app: &App, caller: &Caller, input: AdvanceRotation, step: Step) -> Result<RotationAnswer> {
    let (asking, guide) = (caller.clone(), Guide::of(app));
    app.store
        .write(caller, move |tx| {
            let mut meant = input.meant(tx, &guide, &asking)?;
            meant.step = step;
            input.needs(tx, &guide, &asking, &meant)?.expect_agreed(&asking)?;
            meant.r.owner = asking.user.clone();
            apply(tx, &guide, &asking, meant, &input)
        })
        .await
}

fn apply(
    tx: &mut Writer<'_>,
    guide: &Guide,
    caller: &Caller,
    meant: Meant,
    input: &AdvanceRotation,
) -> Result<Recorded<RotationAnswer>> {
    let Meant { r, mut c, step, .. } = meant;
    let now = tx.now();
    let (r, done) = match step {
        Step::Enter if r.stage == RotationStage::Planned => {
            let r = start::begin(tx, caller, &c, r)?;
            (r, "begun: what a person enters now is kept beside the one in use")
        }
        Step::Enter => {
            let mut r = match r.takes_value() && r.stage != RotationStage::AwaitingValue {
                // Entered once more, it takes the place of the one that waits.
                true => r,
                false => r.awaiting(now)?,
            };
            tx.save(&mut r)?;
            (r, "it waits for the new one")
        }
        Step::Promote => {
            let mut promoted = r.clone().promoted(now)?;
            engine::promote(tx, &mut c, &r)?;
            tx.save(&mut promoted)?;
            (promoted, "the new one is served now, and the old one kept")
        }
        Step::Confirm => {
            let mut r = r.confirmed(now)?;
            tx.save(&mut r)?;
            (r, "the new one is confirmed")
        }
        Step::RevokeOld => {
            let mut r = r.old_revoked(now)?;
            tx.save(&mut r)?;
            (r, "the old one is taken as ended")
        }
        Step::Close => {
            let mut closed = r.clone().closed(now)?;
            engine::destroy_old(tx, &c, &r)?;
            engine::discard_pending(tx, &c)?;
            tx.save(&mut closed)?;
            (closed, "closed: the key of the old one is destroyed")
        }
        Step::RollBack => {
            let is_short = r.way == Way::ShortGap;
            let r = go_back(tx, &mut c, r)?;
            let done = match is_short {
                true => {
                    "the old one is served again, if the service still takes it; the new one is kept beside it"
                }
                false => "the old one is served again",
            };
            (r, done)
        }
        Step::Make | Step::Verify => return Err(crate::error::internal("a step went the wrong way")),
    };
    let event = event(ADVANCE, &c, &r).because(input.reason()).with("step", step.to_string());
    let output = guide.answer(tx, &c, &r, done)?;
    tx.record(event, output)
}
