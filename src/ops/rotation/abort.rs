//! `abort_rotation`: the way back in one call, from wherever it is before the old value has ended.
use super::view::{Guide, RotationAnswer};
use super::{event, go_back, is_past_promotion, reach_rotation};
use crate::app::App;
use crate::error::{Code, Error, Result};
use crate::model::access::Caller;
use crate::model::rotation::{RotationStage, Way};
use crate::model::text::Reason;
use crate::ops::reach::Need;
use crate::ops::{Effect, Operation, Permission, Toolset};
use crate::rotation::engine;
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AbortRotation {
    /// Its id, or the credential's
    #[schemars(length(max = 160))]
    pub rotation: String,
    pub reason: Option<Reason>,
}

impl Operation for AbortRotation {
    const NAME: &'static str = "abort_rotation";
    const TITLE: &'static str = "Abort a rotation";
    const ABOUT: &'static str =
        "End a rotation and serve the old value, from any stage before it was revoked.";
    const TOOLSET: Toolset = Toolset::Rotation;
    const EFFECT: Effect = Effect::Changes;
    const NEEDS: Permission = Permission::Manage;
    type Output = RotationAnswer;

    async fn run(self, app: &App, caller: &Caller) -> Result<RotationAnswer> {
        let (asking, guide) = (caller.clone(), Guide::of(app));
        app.store
            .write(caller, move |tx| {
                let who = tx.standing(&asking)?;
                let (mut r, found) = reach_rotation(tx, &asking, &who, &self.rotation, Need::Manage)?;
                let mut c = found.credential;
                if !r.stage.is_open() {
                    return Err(Error::new(Code::NothingToDo, format!("the rotation of {} is {} already", c.label(), r.stage)));
                }
                r.owner = asking.user.clone();
                let is_served = is_past_promotion(r.stage);
                let keeps = !is_served && r.new_version.is_some() && engine::may_hold_the_only_value(tx, &c, &r)?;
                let (was, waited) = (r.stage, r.new_version.is_some());
                let r = match (r.way, is_served) {
                    // The new tokens are the only ones there are.
                    (Way::Reconnect, true) if r.stage != RotationStage::OldRevoked => {
                        let mut ended = r.cut_off(tx.now());
                        tx.save(&mut ended)?;
                        ended
                    }
                    _ => go_back(tx, &mut c, r)?,
                };
                let done = match (is_served, r.way, keeps) {
                    (true, Way::Reconnect, _) => "ended; the new tokens stay, for the old ones are gone",
                    (true, ..) => "the old one is served again; the new one is kept beside it",
                    (false, _, true) => "ended; the new one is kept unserved, for it may be the only one that the service takes",
                    (false, ..) if waited => "ended; the old one was served all along, and the new one that waited is destroyed",
                    (false, ..) => "ended; the old one was served all along, and no new one had been entered",
                };
                let reason = self.reason.as_ref().map_or("", Reason::as_str);
                let event = event(Self::NAME, &c, &r).because(reason).with("was", was.to_string());
                let output = guide.answer(tx, &c, &r, done)?;
                tx.record(event, output)
            })
            .await
    }
}
