//! Calls of a rotation to a service: the intent is on record before, the outcome after, and no value is opened between.
//!
//! A call whose outcome is missing may have happened. It is never made again by itself: a person looks first.
use super::advance::AdvanceRotation;
use super::view::{Guide, RotationAnswer};
use super::{ADVANCE, event};
use crate::app::App;
use crate::error::{Code, Error, Result};
use crate::ids::CallId;
use crate::model::access::Caller;
use crate::model::credential::{Credential, Version};
use crate::model::event::{Event, Outcome};
use crate::model::rotation::{CallState, Finding, Rotation, RotationCall, RotationStage, Way};
use crate::ops::credential::probe::{Verdict, probe};
use crate::ops::credential::value::{open_fields, store_made};
use crate::rotation::{Call, Created, Driver, Ended, Fields, Makes, engine};
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
    let call = intend(app, caller, (r, c), &*driver, "test", Some(version.number)).await?;
    let fields = open(app, c, version).await?;
    let tested = driver.test(c, &fields).await;
    let state = if tested.is_ok() { CallState::Done } else { CallState::Failed };
    conclude(app, caller, c, r, call, state).await?;
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

/// Writes the intent of one call down. A value that it is about is in use from then on, so the use is recorded with it.
async fn intend(
    app: &App,
    caller: &Caller,
    (r, c): (&Rotation, &Credential),
    driver: &dyn Driver,
    call: &'static str,
    version: Option<i64>,
) -> Result<RotationCall> {
    let plain = Caller { idempotency: None, approval: None, ..caller.clone() };
    let (r, c, driver, by) = (r.clone(), c.clone(), driver.name(), caller.clone());
    app.store
        .write(&plain, move |tx| {
            let row = begin(tx, &by, &r, driver, call, version)?;
            let mut event = intent(&c, &r, driver, call);
            event.object.version = version.or(event.object.version);
            tx.record_step(event, row)
        })
        .await
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

fn intent(c: &Credential, r: &Rotation, driver: &str, call: &str) -> Event {
    let event = Event::of("use").on(c).ended(Outcome::Started, "").with("rotation", r.id.0.clone());
    event.with("operation", format!("rotation {call}")).with("driver", driver)
}

fn end(tx: &mut Writer<'_>, mut call: RotationCall, state: CallState) -> Result<()> {
    call.state = state;
    call.ended_at = Some(tx.now());
    tx.save(&mut call)
}

/// Writes the outcome of a call down.
pub(super) async fn conclude(
    app: &App,
    caller: &Caller,
    c: &Credential,
    r: &Rotation,
    call: RotationCall,
    state: CallState,
) -> Result<()> {
    let plain = Caller { idempotency: None, approval: None, ..caller.clone() };
    let outcome = if state == CallState::Done { Outcome::Ok } else { Outcome::Failed };
    let event = event("rotation_call", c, r)
        .ended(outcome, "")
        .with("call", call.call.clone())
        .with("ended", state.to_string());
    app.store
        .write(&plain, move |tx| {
            end(tx, call, state)?;
            tx.record_step(event, ())
        })
        .await
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

/// Has the new value made, where a driver can.
pub(super) async fn make(app: &App, caller: &Caller, input: AdvanceRotation) -> Result<RotationAnswer> {
    let (asked, asking, guide) = (input.clone(), caller.clone(), Guide::of(app));
    let (r, c, old) = app
        .store
        .read(move |tx| {
            let meant = asked.meant(tx, &guide, &asking)?;
            if meant.r.stage != RotationStage::AwaitingValue || meant.r.way == Way::Reconnect {
                return Err(Error::new(
                    Code::WrongStage,
                    format!("the rotation of {} is {}", meant.c.label(), meant.r.stage),
                )
                .next(guide.next(&meant.c, &meant.r)));
            }
            let old = tx.current_version(&meant.c)?;
            let old =
                old.ok_or_else(|| Error::new(Code::ValueMissing, format!("{} has no value", meant.c.name)))?;
            Ok((meant.r, meant.c, old))
        })
        .await?;
    let driver = Guide::of(app).driver(&c).filter(|driver| driver.makes() != Makes::Nobody);
    let driver = driver.ok_or_else(|| {
        Error::new(Code::InvalidInput, format!("nothing makes new values of {} by itself", c.label()))
            .next(Guide::of(app).next(&c, &r))
    })?;
    match driver.makes() {
        Makes::Us => by_us(app, caller, input, (r, c, old), driver).await,
        _ => by_service(app, caller, input, (r, c, old), driver).await,
    }
}

/// The service makes it, and says it once: until our commit nobody else has it, which the open intent tells.
async fn by_service(
    app: &App,
    caller: &Caller,
    input: AdvanceRotation,
    (r, c, old): (Rotation, Credential, Version),
    driver: Arc<dyn Driver>,
) -> Result<RotationAnswer> {
    let call = claim(app, caller, &input, (&r, &c), &*driver, ("create", None)).await?;
    let fields = open(app, &c, &old).await?;
    let made = match driver.create(Call { credential: &c, admin: None, old: &fields, new: None }).await {
        Ok(Created::Made(made)) => made,
        Ok(Created::Unsure) => {
            conclude(app, caller, &c, &r, call, CallState::Unsure).await?;
            return Err(Error::new(Code::Unreachable, "whether the service made a new value is not known"));
        }
        Err(e) => {
            conclude(app, caller, &c, &r, call, CallState::Failed).await?;
            return Err(e);
        }
    };
    stage(
        app,
        caller,
        &r,
        made.fields,
        Some(call),
        "the service made the new one, and it is kept beside the old one",
    )
    .await
}

/// We make it: sealed before the service hears of it, so that no crash loses it.
async fn by_us(
    app: &App,
    caller: &Caller,
    input: AdvanceRotation,
    (r, c, old): (Rotation, Credential, Version),
    driver: Arc<dyn Driver>,
) -> Result<RotationAnswer> {
    let call = claim(app, caller, &input, (&r, &c), &*driver, ("set", None)).await?;
    let fields = open(app, &c, &old).await?;
    let made = driver.invent(Call { credential: &c, admin: None, old: &fields, new: None })?.fields;
    let copy: Fields = made
        .iter()
        .map(|(name, value)| (name.clone(), value.expose(crate::secret::SecretBytes::copied)))
        .collect();
    let plain = Caller { idempotency: None, ..caller.clone() };
    let answer = stage(
        app,
        &plain,
        &r,
        copy,
        None,
        "the new one is kept beside the old one, and its service knows it",
    )
    .await?;
    let state = match driver.set(Call { credential: &c, admin: None, old: &fields, new: Some(&made) }).await {
        Ok(Ended::Confirmed) => CallState::Done,
        Ok(Ended::Refused) => CallState::Failed,
        // It may have taken it: the test of the new one tells.
        Ok(Ended::Unsure) => CallState::Unsure,
        Err(_) => CallState::Failed,
    };
    conclude(app, caller, &c, &r, call, state).await?;
    match state {
        CallState::Failed => Err(Error::new(
            Code::Unreachable,
            format!("the service did not take the new value of {}", c.label()),
        )
        .next("The old one is served as before. Call advance_rotation with step verify, or abort_rotation.")),
        _ => Ok(answer),
    }
}

/// The intent of a call that changes something there: one of several callers gets it.
pub(super) async fn claim(
    app: &App,
    caller: &Caller,
    input: &AdvanceRotation,
    (r, c): (&Rotation, &Credential),
    driver: &dyn Driver,
    (call, version): (&'static str, Option<i64>),
) -> Result<RotationCall> {
    let plain = Caller { idempotency: None, ..caller.clone() };
    let (asking, input, guide, revision) = (caller.clone(), input.clone(), Guide::of(app), r.revision);
    let (name, c) = (driver.name(), c.clone());
    app.store
        .write(&plain, move |tx| {
            let mut meant = input.meant(tx, &guide, &asking)?;
            if meant.r.revision != revision {
                return Err(Error::new(Code::Changed, "somebody went on with this rotation meanwhile"));
            }
            expect_known(tx, &meant.r, call)?;
            meant.r.owner = asking.user.clone();
            tx.save(&mut meant.r)?;
            let row = begin(tx, &asking, &meant.r, name, call, version)?;
            let mut event = intent(&c, &meant.r, name, call);
            event.object.version = version.or(event.object.version);
            tx.record_step(event, row)
        })
        .await
}

/// Seals what was made as the new value, with the end of the call that made it. It is kept even where somebody has ended the
/// rotation meanwhile: the service may take no other any more.
async fn stage(
    app: &App,
    caller: &Caller,
    r: &Rotation,
    made: Fields,
    call: Option<RotationCall>,
    done: &'static str,
) -> Result<RotationAnswer> {
    let (asking, guide, keys, id) = (caller.clone(), Guide::of(app), app.keys.clone(), r.id.clone());
    app.store
        .write(caller, move |tx| {
            let r = tx.rotation(&asking.org, id.as_str())?;
            let c = tx.find_credential(&asking.org, &r.credential_id)?.ok_or_else(|| {
                Error::new(Code::CredentialNotFound, "the credential was purged while its new value was made")
            })?;
            let version = store_made(tx, &keys.vault(), guide.catalogue, &asking, &c, &made)?;
            let (r, done) = match r.takes_value() {
                true => (super::stage_value(tx, &asking, &c, r, version)?, done),
                false => (r, "the rotation was ended meanwhile; the new one is kept, unserved, for the next"),
            };
            if let Some(mut call) = call {
                call.version = Some(version);
                end(tx, call, CallState::Done)?;
            }
            let mut event = event(ADVANCE, &c, &r).with("step", "make");
            event.object.version = Some(version);
            let output = guide.answer(tx, &c, &r, done)?;
            tx.record(event, output)
        })
        .await
}

/// The version that is to end at the service, if it is kept here.
pub(super) fn old_version(tx: &Reader<'_>, c: &Credential, r: &Rotation) -> Option<Version> {
    engine::version(tx, c, r.old_version).ok()
}
