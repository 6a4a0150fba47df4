//! Calls of a rotation to a service: the intent is on record before, the outcome after, and no value is opened between.
//!
//! A call whose outcome is missing may have happened. It is never made again by itself: a person looks first.
use super::advance::AdvanceRotation;
use super::event;
use super::view::Guide;
use crate::app::App;
use crate::error::{Code, Error, Result};
use crate::ids::CallId;
use crate::model::access::Caller;
use crate::model::credential::{Credential, Version};
use crate::model::event::{Event, Outcome};
use crate::model::rotation::{CallState, Finding, Rotation, RotationCall, Way};
use crate::ops::canary;
use crate::ops::credential::probe::{Verdict, is_asked, probe};
use crate::ops::credential::sealing::open_fields;
use crate::rotation::{Driver, Fields, engine, has_secret};
use crate::store::{Reader, Writer};
use std::sync::Arc;

/// What a service said of one version.
pub(super) struct Asked {
    pub finding: Finding,
    pub account: String,
    pub scopes: Vec<String>,
    pub message: String,
}

/// Asks the service about `version`: by its driver, else by the catalogue's request.
pub(super) async fn test(
    app: &App,
    caller: &Caller,
    r: &Rotation,
    c: &Credential,
    version: &Version,
) -> Result<Asked> {
    let Some(driver) = Guide::of(app).driver(c).filter(|driver| driver.tests()) else {
        let probed = probe(app, caller, c, version).await?;
        let finding = match probed.verdict {
            // What can only be read shows neither that it works nor that it is not dead.
            Verdict::Valid | Verdict::Limited if !is_asked(app, c) => Finding::CouldNotCheck,
            Verdict::Valid => Finding::Valid,
            Verdict::Refused => Finding::Refused,
            Verdict::Limited => Finding::Limited,
            Verdict::CouldNotCheck => Finding::CouldNotCheck,
        };
        return Ok(Asked {
            finding,
            account: probed.account,
            scopes: probed.scopes,
            message: probed.message,
        });
    };
    let call = intend(app, caller, (r, c), &*driver, version).await?;
    let tested = match open(app, c, version).await {
        Ok(fields) => driver.test(c, &fields).await.map_err(|e| told(e, &[(c, &fields)])),
        Err(e) => {
            // Nobody was asked.
            conclude(app, caller, c, r, call, CallState::Failed, "").await?;
            return Err(e);
        }
    };
    let state = if tested.is_ok() { CallState::Done } else { CallState::Failed };
    conclude(app, caller, c, r, call, state, "").await?;
    Ok(match tested {
        Ok(found) => Asked {
            finding: found.finding,
            account: found.account,
            scopes: found.scopes,
            message: String::new(),
        },
        Err(e) => Asked {
            finding: Finding::CouldNotCheck,
            account: String::new(),
            scopes: Vec::new(),
            message: e.message().to_owned(),
        },
    })
}

/// Writes the intent of a test down, and with it that its value is used.
async fn intend(
    app: &App,
    caller: &Caller,
    (r, c): (&Rotation, &Credential),
    driver: &dyn Driver,
    version: &Version,
) -> Result<RotationCall> {
    let plain = Caller { idempotency: None, approval: None, ..caller.clone() };
    let (r, c, driver, by, version) = (r.clone(), c.clone(), driver.name(), caller.clone(), version.clone());
    let file = app.config.file.clone();
    let (row, alarm) = app
        .store
        .write(&plain, move |tx| {
            let alarm = canary::watch(tx, &by, &c, ("rotation", driver), &file)?;
            let row = begin(tx, &by, &r, driver, "test", Some(version.number))?;
            let event = used(&c, &version, &r, driver, "test");
            tx.record_step(event, (row, alarm))
        })
        .await?;
    alarm.iter().for_each(|alarm| canary::alert(app, alarm));
    Ok(row)
}

fn begin(
    tx: &mut Writer<'_>,
    by: &Caller,
    r: &Rotation,
    driver: &str,
    call: &str,
    version: Option<i64>,
) -> Result<RotationCall> {
    let mut row = RotationCall {
        id: CallId::fresh(),
        org_id: r.org_id.clone(),
        rotation_id: r.id.clone(),
        driver: driver.into(),
        call: call.into(),
        version,
        state: CallState::Started,
        started_at: tx.now(),
        started_by: by.user.clone(),
        ended_at: None,
        revision: 0,
    };
    tx.insert(&mut row)?;
    Ok(row)
}

/// The event of a value's use in a call, written before the value is opened.
pub(super) fn used(c: &Credential, version: &Version, r: &Rotation, driver: &str, call: &str) -> Event {
    let event = Event::of("use").on(c).ended(Outcome::Started, "").with("rotation", r.id.0.clone());
    let mut event = event.with("operation", format!("rotation {call}")).with("driver", driver);
    event.object.version = Some(version.number);
    event
}

/// Ends a call as it is by now. Says whether that is news: a test of its value may have told meanwhile that it arrived, which is
/// more than not to know, and with a credential that was purged it is gone.
pub(super) fn end(tx: &mut Writer<'_>, call: &RotationCall, state: CallState) -> Result<bool> {
    let Some(mut now) = tx.find_rotation_call(&call.id)? else { return Ok(false) };
    if now.state == CallState::Done && state == CallState::Unsure {
        return Ok(false);
    }
    now.version = call.version.or(now.version);
    now.state = state;
    now.ended_at = Some(tx.now());
    tx.save(&mut now)?;
    Ok(true)
}

/// Writes the outcome of a call down, and `trouble` where there is any.
pub(super) async fn conclude(
    app: &App,
    caller: &Caller,
    c: &Credential,
    r: &Rotation,
    call: RotationCall,
    state: CallState,
    trouble: &str,
) -> Result<()> {
    let plain = Caller { idempotency: None, approval: None, ..caller.clone() };
    let outcome = if state == CallState::Done { Outcome::Ok } else { Outcome::Failed };
    let event = event("rotation_call", c, r)
        .ended(outcome, "")
        .with("call", call.call.clone())
        .with("ended", state.to_string());
    let (r, trouble) = (r.clone(), trouble.to_owned());
    app.store
        .write(&plain, move |tx| {
            if end(tx, &call, state)? && !trouble.is_empty() {
                let mut r = tx.rotation(&r.org_id, r.id.as_str())?;
                r.trouble = trouble;
                tx.save(&mut r)?;
            }
            tx.record_step(event, ())
        })
        .await
}

/// What a driver says went wrong, in its own words; without them where one of the opened values is in them.
pub(super) fn told(e: Error, opened: &[(&Credential, &Fields)]) -> Error {
    let shown = format!("{} {}", e.message(), e.next_step());
    match opened.iter().any(|(c, fields)| has_secret(c, fields, &shown)) {
        true => Error::new(e.code, "what its driver said has a value in it, and is not shown"),
        false => e,
    }
}

/// Opens a version for a call whose intent is on record.
pub(super) async fn open(app: &App, c: &Credential, version: &Version) -> Result<Fields> {
    let (c, version, keys) = (c.clone(), version.clone(), app.keys.clone());
    app.store
        .read(move |tx| {
            let fields = tx.fields(&version.id)?;
            open_fields(&keys.vault(), &c, &version, fields)
        })
        .await
}

/// Refuses another call of this kind while the end of one is not known.
pub(super) fn expect_known(tx: &Reader<'_>, r: &Rotation, call: &str) -> Result<()> {
    let is_unknown =
        |one: &RotationCall| one.call == call && matches!(one.state, CallState::Started | CallState::Unsure);
    match tx.rotation_calls(&r.id)?.iter().find(|one| is_unknown(one)) {
        None => Ok(()),
        Some(one) => Err(Error::new(
            Code::WrongStage,
            format!("the service was asked for {call} at {}, and how that ended is not known", one.started_at),
        )
        .next(
            "It is not asked again by itself. Ask the person to look at the service's page: enter the value that it made, or end \
             it there and call abort_rotation.",
        )),
    }
}

/// The intent of a call that changes something there, written down last before it: one of several callers gets it.
///
/// `first` is done in the same transaction, and says which version the call is about.
pub(super) async fn claim<F>(
    app: &App,
    caller: &Caller,
    input: &AdvanceRotation,
    (r, c): (&Rotation, &Credential),
    driver: &Arc<dyn Driver>,
    call: &'static str,
    first: F,
) -> Result<RotationCall>
where
    F: FnOnce(&mut Writer<'_>, &Guide, Rotation) -> Result<(Rotation, Option<i64>)> + Send + 'static,
{
    let plain = Caller { idempotency: None, ..caller.clone() };
    let (asking, input, guide, revision) = (caller.clone(), input.clone(), Guide::of(app), r.revision);
    let (name, c, has_gap) = (driver.name(), c.clone(), driver.overlaps(c) == Some(false));
    app.store
        .write(&plain, move |tx| {
            let mut meant = input.meant(tx, &guide, &asking)?;
            if meant.r.revision != revision {
                return Err(Error::new(Code::Changed, "somebody went on with this rotation meanwhile"));
            }
            expect_known(tx, &meant.r, call)?;
            meant.r.owner = asking.user.clone();
            if has_gap && meant.r.way == Way::Overlap {
                // It was planned when the driver was another, or set up otherwise.
                meant.r.way = Way::ShortGap;
            }
            let (mut r, version) = first(tx, &guide, meant.r)?;
            tx.save(&mut r)?;
            let row = begin(tx, &asking, &r, name, call, version)?;
            let mut event = event("rotation_call", &c, &r)
                .ended(Outcome::Started, "")
                .with("call", call)
                .with("driver", name);
            event.object.version = version.or(event.object.version);
            tx.record_step(event, row)
        })
        .await
}

/// Ends calls that told the service this version: it takes it, so they arrived.
pub(super) fn arrived(tx: &mut Writer<'_>, r: &Rotation, version: i64) -> Result<()> {
    for call in tx.rotation_calls(&r.id)? {
        let is_open = matches!(call.state, CallState::Started | CallState::Unsure);
        if is_open && call.call == "set" && call.version == Some(version) {
            end(tx, &call, CallState::Done)?;
        }
    }
    Ok(())
}

/// The version in use, which there must be.
pub(super) fn old_in_use(tx: &Reader<'_>, c: &Credential) -> Result<Version> {
    tx.current_version(c)?.ok_or_else(|| Error::new(Code::ValueMissing, format!("{} has no value", c.name)))
}

/// The version that is to end at the service, if it is kept here.
pub(super) fn old_version(tx: &Reader<'_>, c: &Credential, r: &Rotation) -> Option<Version> {
    engine::version(tx, c, r.old_version).ok()
}
