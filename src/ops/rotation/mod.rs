//! Rotations: a new value is staged beside the old one, tested, promoted, confirmed by what uses it, and only then does the
//! old one end. Each step is one transaction, so that anybody who manages the credential goes on where another stopped.
//!
//! A call to a service is written down before and after, and never made again by itself.
mod abort;
mod advance;
mod calls;
mod campaign;
mod due;
mod evidence;
mod get;
mod lend;
mod list;
mod make;
mod policy;
mod report;
mod revoke;
mod signals;
mod standing;
mod start;
#[cfg(test)]
mod tests;
mod verify;
mod view;

pub use abort::AbortRotation;
pub use advance::AdvanceRotation;
pub use due::pass;
pub(in crate::ops) use evidence::consumers_of;
pub use evidence::{BoundState, BoundTo};
pub use get::{GetRotation, RotationDetail};
pub use list::{ListRotations, RotationPage};
pub use policy::SetRotationPolicy;
pub use report::{ReportUse, Reported};
pub(in crate::ops) use signals::{heard_by_broker, heard_by_test, is_awaited};
pub(in crate::ops) use standing::{Policies, report as status_of, report_with as status_with};
pub use start::{StartRotation, Started};
pub use view::{RotationAnswer, RotationRow};

use crate::error::{Code, Error, Result};
use crate::model::access::{Caller, Standing};
use crate::model::credential::Credential;
use crate::model::event::Event;
use crate::model::rotation::{Rotation, RotationStage};
use crate::ops::reach::{self, Need, Reached};
use crate::rotation::engine;
use crate::store::{Reader, Writer};

/// The operation, as events name it.
const ADVANCE: &str = "advance_rotation";

/// By the rotation's id, or by its credential: the open one, else the last.
///
/// Fails with `rotation_not_found` for what the caller may not know, `not_allowed` where they may do less than `need`, and
/// `nothing_to_do` for a credential that has none.
fn reach_rotation(
    tx: &Reader<'_>,
    caller: &Caller,
    who: &Standing,
    wanted: &str,
    need: Need,
) -> Result<(Rotation, Reached)> {
    let wanted = wanted.trim();
    if wanted.len() == 26 {
        match tx.rotation(&caller.org, wanted) {
            Ok(r) => match reach::credential_or_deleted(tx, caller, who, r.credential_id.as_str(), need) {
                Ok(found) => return Ok((r, found)),
                // What may not be known answers like what does not exist: below.
                Err(e) if e.code == Code::CredentialNotFound => {}
                Err(e) => return Err(e),
            },
            Err(e) if e.code == Code::RotationNotFound => {}
            Err(e) => return Err(e),
        }
    }
    let found = reach::credential_or_deleted(tx, caller, who, wanted, need)?;
    let all = tx.rotations_of(&caller.org, &found.credential.id)?;
    let r = all.iter().find(|r| r.is_open).or(all.first()).cloned().ok_or_else(|| {
        Error::new(Code::NothingToDo, format!("{} was never rotated", found.credential.label()))
            .next(format!("Call start_rotation for {}.", found.credential.id))
    })?;
    Ok((r, found))
}

/// The event of a step, about the credential, with where the rotation stands now.
fn event(operation: &str, c: &Credential, r: &Rotation) -> Event {
    Event::of(operation).on(c).with("rotation", r.id.0.clone()).with("stage", r.stage.to_string())
}

/// The rotation that a value entered now is for.
pub(in crate::ops) fn taking_value(tx: &Reader<'_>, c: &Credential) -> Result<Option<Rotation>> {
    Ok(tx.open_rotation(&c.org_id, &c.id)?.filter(Rotation::takes_value))
}

/// Takes `version`, which was just sealed beside the one in use, for its new value.
pub(in crate::ops) fn stage_value(
    tx: &mut Writer<'_>,
    caller: &Caller,
    c: &Credential,
    open: Rotation,
    version: i64,
) -> Result<Rotation> {
    engine::discard_unserved(tx, c, &open, Some(version))?;
    let mut r = open.staged(version, tx.now())?;
    r.owner = caller.user.clone();
    tx.save(&mut r)?;
    Ok(r)
}

/// Ends what is under way for a credential that goes to the bin. Returns the event of it.
pub(in crate::ops) fn cut_off(tx: &mut Writer<'_>, c: &Credential) -> Result<Option<Event>> {
    let Some(open) = tx.open_rotation(&c.org_id, &c.id)? else { return Ok(None) };
    if !is_past_promotion(open.stage) {
        engine::discard_unserved(tx, c, &open, None)?;
    }
    let mut r = open.cut_off(tx.now());
    tx.save(&mut r)?;
    Ok(Some(event("abort_rotation", c, &r).with("why", "its credential was deleted")))
}

fn is_past_promotion(stage: RotationStage) -> bool {
    use RotationStage as S;
    matches!(stage, S::Promoted | S::Confirmed | S::OldRevoked | S::Closed | S::RolledBack)
}

/// The way back, whatever has been done: nothing that was not served yet is, and what was served before is again.
fn go_back(tx: &mut Writer<'_>, c: &mut Credential, r: Rotation) -> Result<Rotation> {
    let now = tx.now();
    let mut r = match is_past_promotion(r.stage) {
        true => {
            let back = r.clone().rolled_back(now)?;
            engine::roll_back(tx, c, &r)?;
            back
        }
        false => {
            let back = r.clone().aborted(now)?;
            engine::discard_unserved(tx, c, &r, None)?;
            back
        }
    };
    tx.save(&mut r)?;
    Ok(r)
}

/// A reason behind a statement, where there is one.
fn because(why: &str) -> String {
    if why.is_empty() { String::new() } else { format!(": {why}") }
}
