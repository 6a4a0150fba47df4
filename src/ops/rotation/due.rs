//! The background pass over rotations: a value that nobody goes on with ends, and what all consumers have shown is taken.
use super::{event, evidence};
use crate::app::App;
use crate::error::Result;
use crate::model::access::{Caller, Door};
use crate::model::event::Event;
use crate::model::rotation::{Rotation, RotationStage, Way};
use crate::rotation::engine;
use crate::store::{Reader, Writer};

/// How many are looked at in one go.
const PAGE: i64 = 200;

/// Looks after every org's rotations once. Returns how many were moved.
pub async fn pass(app: &App) -> Result<usize> {
    let (now, mut after, mut moved) = (app.now(), String::new(), 0);
    loop {
        let from = after.clone();
        let due = app.store.read(move |tx| tx.rotations_to_look_after(now, &from, PAGE)).await?;
        let is_last = (due.len() as i64) < PAGE;
        for r in due {
            after.clone_from(&r.id.0);
            let look = r.clone();
            if !app.store.read(move |tx| is_ready(tx, &look)).await? {
                continue;
            }
            let caller = Caller::new(r.org_id.clone(), r.owner.clone(), Door::System);
            let (org, credential) = (r.org_id.clone(), r.credential_id.clone());
            match app.store.write(&caller, move |tx| move_on(tx, &r)).await {
                Ok(()) => {
                    moved += 1;
                    app.changed(&org, &credential);
                }
                // Somebody went on with it at the same moment.
                Err(e) if e.code == crate::error::Code::Changed => {}
                Err(e) => tracing::warn!(code = e.code.name(), "a rotation could not be looked after"),
            }
        }
        if is_last {
            return Ok(moved);
        }
    }
}

fn is_over(tx: &Reader<'_>, r: &Rotation) -> bool {
    r.due_at.is_some_and(|due| due <= tx.now())
}

/// Whether there is something to do with it.
fn is_ready(tx: &Reader<'_>, r: &Rotation) -> Result<bool> {
    if is_over(tx, r) {
        return Ok(true);
    }
    match (r.stage, tx.find_credential(&r.org_id, &r.credential_id)?) {
        (RotationStage::Promoted, Some(c)) => {
            let all = evidence::gather(tx, &c, r)?;
            // With nobody bound a person decides that it is enough.
            Ok(!all.is_empty() && evidence::is_confirmed(&all, r))
        }
        _ => Ok(false),
    }
}

fn move_on(tx: &mut Writer<'_>, before: &Rotation) -> Result<crate::store::Recorded<()>> {
    use RotationStage as S;
    let changed = || crate::error::Error::new(crate::error::Code::Changed, "it was gone on with meanwhile");
    let r = tx.rotation(&before.org_id, before.id.as_str())?;
    if r.revision != before.revision || !is_ready(tx, &r)? {
        return Err(changed());
    }
    let c = tx.find_credential(&r.org_id, &r.credential_id)?.ok_or_else(changed)?;
    let (now, over) = (tx.now(), is_over(tx, &r));
    let (mut r, what): (Rotation, &str) = match r.stage {
        S::AwaitingValue => (r.shelved(now)?, "nobody entered a value"),
        S::Staged | S::Verified if engine::may_hold_the_only_value(tx, &c, &r)? => {
            let trouble = "nobody went on with it; its value is kept, for it may be the only one that the service takes";
            (rest(r, trouble), "nobody went on with it")
        }
        S::Staged | S::Verified => {
            engine::discard_unserved(tx, &c, &r, None)?;
            let mut ended = r.aborted(now)?;
            ended.trouble =
                "nobody went on with it, and its value was destroyed; the old one is served".into();
            (ended, "nobody went on with it")
        }
        S::Promoted if !over => (r.confirmed(now)?, "every consumer works with it"),
        S::Promoted if r.way != Way::Reconnect => (
            rest(
                r,
                "not every consumer has shown that it works; a failure brings the old one back no more by itself",
            ),
            "not confirmed in time",
        ),
        _ => {
            let trouble = r.trouble.clone();
            (rest(r, &trouble), "time is over")
        }
    };
    tx.save(&mut r)?;
    let event: Event = event("rotation_pass", &c, &r).with("why", what);
    tx.record_step(event, ())
}

/// Stays where it is, with no end of its own any more.
fn rest(r: Rotation, trouble: &str) -> Rotation {
    Rotation { due_at: None, trouble: trouble.to_owned(), ..r }
}
