//! The end of the old value at its service: by a driver, by a person on the service's page and a test that it is dead, or
//! by a person's word where nothing can test it.
use super::advance::AdvanceRotation;
use super::calls::{self, conclude, old_version};
use super::lend::lend;
use super::view::{Guide, RotationAnswer};
use super::{ADVANCE, event, evidence};
use crate::app::App;
use crate::error::{Code, Error, Result};
use crate::model::access::Caller;
use crate::model::credential::{Credential, Version};
use crate::model::event::Outcome;
use crate::model::rotation::{CallState, Finding, Rotation, RotationStage, SignalSource, Way};
use crate::rotation::Ended;
use crate::store::{Reader, Writer};

/// How the old one is found to be dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// The driver asks the service to end it.
    Driver,
    /// A person ended it on the page: it is tested.
    Test,
    /// Nothing can test it, and a person says so.
    Word,
    /// It ended when a connection was connected again.
    Nothing,
}

pub(super) fn how(guide: &Guide, c: &Credential, r: &Rotation, input: &AdvanceRotation) -> How {
    match r.way {
        Way::Reconnect => How::Nothing,
        _ if r.old_finding == Finding::CouldNotCheck && !input.reason().is_empty() => How::Word,
        _ if guide.revokes(c) && r.old_finding == Finding::Untested && r.way == Way::Overlap => How::Driver,
        _ => How::Test,
    }
}

/// Whether something has shown that the service takes the new one: its test, or a consumer that was handed it. Where no test
/// is known, a person's word has to do.
///
/// Without this, words alone would end the last value that works: nothing that is said of a service that cannot be reached can
/// be held against it.
pub(super) fn is_shown_to_work(tx: &Reader<'_>, guide: &Guide, c: &Credential, r: &Rotation) -> Result<bool> {
    if is_taken(r.finding) || !guide.tests(c) {
        return Ok(true);
    }
    let all = evidence::gather(tx, c, r)?;
    let says_so = |bound: &evidence::Bound| {
        bound.state == evidence::BoundState::Good && bound.said_by != Some(SignalSource::Person)
    };
    Ok(all.iter().any(says_so) && all.iter().all(|bound| bound.state != evidence::BoundState::Failed))
}

/// Whether the service knows the value, whatever it lets it do.
fn is_taken(finding: Finding) -> bool {
    matches!(finding, Finding::Valid | Finding::Limited | Finding::OtherAccount | Finding::ScopesMissing)
}

pub(super) fn unshown(c: &Credential, r: &Rotation) -> Error {
    Error::new(
        Code::WrongStage,
        format!("nothing has shown that the service takes the new value of {}: the old one is kept", c.label()),
    )
    .next(format!(
        "Call advance_rotation with rotation {} and step verify once the service can be reached, or have a consumer use it; roll_back brings the old one back.",
        r.id
    ))
}

fn find(
    tx: &Reader<'_>,
    guide: &Guide,
    caller: &Caller,
    input: &AdvanceRotation,
) -> Result<(Rotation, Credential, Version, Version)> {
    let meant = input.meant(tx, guide, caller)?;
    if meant.r.stage != RotationStage::Confirmed {
        return Err(Error::new(
            Code::WrongStage,
            format!(
                "the new value of {} is not confirmed yet: the rotation is {}",
                meant.c.label(),
                meant.r.stage
            ),
        )
        .next(guide.next(&meant.c, &meant.r)));
    }
    let gone = || Error::new(Code::VersionNotFound, "the old one is not kept here any more");
    let old = old_version(tx, &meant.c, &meant.r).ok_or_else(gone)?;
    let new = tx.current_version(&meant.c)?.ok_or_else(gone)?;
    Ok((meant.r, meant.c, old, new))
}

/// Asks the service to end the old one. Whatever is not a clear yes is tested next, and not asked for again.
pub(super) async fn by_driver(app: &App, caller: &Caller, input: AdvanceRotation) -> Result<RotationAnswer> {
    let (asked, asking, guide) = (input.clone(), caller.clone(), Guide::of(app));
    let (r, c, old, new) = app.store.read(move |tx| find(tx, &guide, &asking, &asked)).await?;
    let driver = Guide::of(app).driver(&c).ok_or_else(|| crate::error::internal("a driver is gone"))?;
    // There is no way back from here: the new one is asked about once more, whatever was said of it.
    let now = calls::test(app, caller, &r, &c, &new).await?;
    if now.finding == Finding::Refused || (driver.tests() && now.finding != Finding::Valid) {
        return Err(Error::new(
            Code::WrongStage,
            format!(
                "the service does not say that it takes the new value of {}: the old one is not ended",
                c.label()
            ),
        )
        .next(format!("Call advance_rotation with rotation {} and step roll_back, or verify.", r.id)));
    }
    if !is_taken(now.finding) {
        let (guide, asked, of) = (Guide::of(app), r.clone(), c.clone());
        if !app.store.read(move |tx| is_shown_to_work(tx, &guide, &of, &asked)).await? {
            return Err(unshown(&c, &r));
        }
    }
    let lent = lend(app, caller, (&r, &c), &*driver, "revoke", (&old, Some(&new))).await?;
    let number = old.number;
    let about = move |_: &mut Writer<'_>, _: &Guide, r: Rotation| Ok((r, Some(number)));
    let call = calls::claim(app, caller, &input, (&r, &c), &driver, "revoke", about).await?;
    let ended = driver.revoke(lent.call(&c, None)).await;
    let (state, finding, trouble) = match ended {
        Ok(Ended::Confirmed) => (CallState::Done, Finding::Refused, String::new()),
        Ok(Ended::Refused) => {
            (CallState::Failed, Finding::Valid, "the service refused to end the old one".to_owned())
        }
        Ok(Ended::Unsure) => (
            CallState::Unsure,
            Finding::CouldNotCheck,
            "whether the service ended the old one is not known".to_owned(),
        ),
        Err(e) => {
            let e = lent.told(&c, None, e);
            (CallState::Failed, Finding::Valid, format!("the old one was not ended: {}", e.message()))
        }
    };
    conclude(app, caller, &c, &r, call, state, "").await?;
    // What was done stays done, whatever became of the yes to it.
    settle(app, &Caller { approval: None, ..caller.clone() }, input, finding, trouble, "driver").await
}

fn neither(c: &Credential, r: &Rotation) -> Error {
    Error::new(
        Code::WrongStage,
        format!(
            "the service takes neither the old value of {} nor the new one: nothing of it is given up",
            c.label()
        ),
    )
    .next(format!("Call abort_rotation with {}: every value that is kept can be tried again.", r.id))
}

/// Tests whether the old one is dead.
pub(super) async fn by_test(app: &App, caller: &Caller, input: AdvanceRotation) -> Result<RotationAnswer> {
    let (asked, asking, guide) = (input.clone(), caller.clone(), Guide::of(app));
    let (r, c, old, new) = app.store.read(move |tx| find(tx, &guide, &asking, &asked)).await?;
    let found = calls::test(app, caller, &r, &c, &old).await?;
    if found.finding == Finding::Refused {
        // There is no way back from here, and another value that waits would end with it.
        let now = calls::test(app, caller, &r, &c, &new).await?;
        if now.finding == Finding::Refused {
            return Err(neither(&c, &r));
        }
    }
    let trouble = match found.finding {
        Finding::Refused => String::new(),
        Finding::Valid | Finding::Limited => {
            "the service still takes the old one: it has to be ended there".to_owned()
        }
        _ => format!("whether the old one is dead could not be tested{}", super::because(&found.message)),
    };
    settle(app, caller, input, found.finding, trouble, "test").await
}

async fn settle(
    app: &App,
    caller: &Caller,
    input: AdvanceRotation,
    finding: Finding,
    trouble: String,
    by: &'static str,
) -> Result<RotationAnswer> {
    let (asking, guide) = (caller.clone(), Guide::of(app));
    app.store
        .write(caller, move |tx| {
            let meant = input.meant(tx, &guide, &asking)?;
            let c = meant.c;
            let mut r = meant.r.old_tested(finding, trouble.clone(), tx.now())?;
            r.owner = asking.user.clone();
            let is_dead = finding == Finding::Refused;
            if is_dead {
                r = r.old_revoked(tx.now())?;
            }
            tx.save(&mut r)?;
            let done = if is_dead { "the old one is dead".to_owned() } else { trouble };
            let event = event(ADVANCE, &c, &r)
                .because(input.reason())
                .ended(if is_dead { Outcome::Ok } else { Outcome::Failed }, "")
                .with("step", "revoke_old")
                .with("by", by)
                .with("old", finding.to_string());
            let output = guide.answer(tx, &c, &r, done)?;
            tx.record(event, output)
        })
        .await
}
