//! A new value by a driver: the service makes it and says it once, or we make it and tell the service.
use super::advance::AdvanceRotation;
use super::calls::{claim, conclude, end, old_in_use};
use super::lend::lend;
use super::view::{Guide, RotationAnswer};
use super::{ADVANCE, event};
use crate::app::App;
use crate::error::{Code, Error, Result};
use crate::ids::RotationId;
use crate::model::access::Caller;
use crate::model::credential::{Credential, Stage, Version};
use crate::model::event::Outcome;
use crate::model::rotation::{CallState, Finding, Rotation, RotationCall, RotationStage, Way};
use crate::ops::credential::sealing::{Sealer, Values};
use crate::rotation::{Created, Driver, Ended, Fields, Makes, engine};
use crate::secret::SecretBytes;
use crate::vault::Vault;
use std::sync::Arc;

/// What a call is made about: the rotation as it was found, its credential, and the version in use.
type About = (Rotation, Credential, Version);

/// Has the new value made, where a driver can.
pub(super) async fn make(app: &App, caller: &Caller, input: AdvanceRotation) -> Result<RotationAnswer> {
    let (asked, asking, guide) = (input.clone(), caller.clone(), Guide::of(app));
    let (r, c, old) = app
        .store
        .read(move |tx| {
            let meant = asked.meant(tx, &guide, &asking)?;
            asked.needs(tx, &guide, &asking, &meant)?.expect_agreed(&asking)?;
            let is_open_to_it = match meant.r.stage {
                RotationStage::AwaitingValue => meant.r.way != Way::Reconnect,
                // Another one, in the place of what the service does not take.
                RotationStage::Staged => meant.r.finding == Finding::Refused,
                _ => false,
            };
            if !is_open_to_it {
                return Err(Error::new(
                    Code::WrongStage,
                    format!("the rotation of {} is {}", meant.c.label(), meant.r.stage),
                )
                .next(guide.next(&meant.c, &meant.r)));
            }
            let old = old_in_use(tx, &meant.c)?;
            Ok((meant.r, meant.c, old))
        })
        .await?;
    let driver = Guide::of(app).driver(&c).filter(|driver| driver.makes() != Makes::Nobody);
    let driver = driver.ok_or_else(|| {
        Error::new(Code::InvalidInput, format!("nothing makes new values of {} by itself", c.label()))
            .next(Guide::of(app).next(&c, &r))
    })?;
    let id = r.id.clone();
    let done = match driver.makes() {
        Makes::Us => by_us(app, caller, input, (r, c, old), driver).await?,
        _ => by_service(app, caller, input, (r, c, old), driver).await?,
    };
    answered(app, caller, id, done).await
}

/// The service makes it, and says it once: until our commit nobody else has it, which the open intent tells.
async fn by_service(
    app: &App,
    caller: &Caller,
    input: AdvanceRotation,
    (r, c, old): About,
    driver: Arc<dyn Driver>,
) -> Result<&'static str> {
    let lent = lend(app, caller, (&r, &c), &*driver, "create", (&old, None)).await?;
    let untouched = |_: &mut crate::store::Writer<'_>, _: &Guide, r: Rotation| Ok((r, None));
    let call = claim(app, caller, &input, (&r, &c), &driver, "create", untouched).await?;
    match driver.create(lent.call(&c, None)).await {
        Ok(Created::Made(made)) => stage(app, caller, &r, made.fields, call).await,
        Ok(Created::Unsure) => {
            let trouble = "whether the service made a new one is not known, and nobody has it if it did";
            conclude(app, caller, &c, &r, call, CallState::Unsure, trouble).await?;
            Err(Error::new(Code::Unreachable, format!("{}: {trouble}", c.label())).next(
                "It is not asked again by itself. Ask the person to look at the service's page, to end there what it made, and \
                 to enter another.",
            ))
        }
        Err(e) => {
            let e = lent.told(&c, None, e);
            let trouble = format!("no new one was made: {}", e.message());
            conclude(app, caller, &c, &r, call, CallState::Failed, &trouble).await?;
            Err(e)
        }
    }
}

/// We make it: sealed in the transaction that says that its service will be told, so that no crash loses it.
async fn by_us(
    app: &App,
    caller: &Caller,
    input: AdvanceRotation,
    (r, c, old): About,
    driver: Arc<dyn Driver>,
) -> Result<&'static str> {
    let lent = lend(app, caller, (&r, &c), &*driver, "set", (&old, None)).await?;
    let made = driver.invent(lent.call(&c, None)).map_err(|e| lent.told(&c, None, e))?.fields;
    let copy: Fields =
        made.iter().map(|(name, value)| (name.clone(), value.expose(SecretBytes::copied))).collect();
    let (asking, of, keys) = (caller.clone(), c.clone(), app.keys.clone());
    let sealed = move |tx: &mut crate::store::Writer<'_>, guide: &Guide, r: Rotation| {
        // Where it is now, or what is sealed could not be opened there.
        let of = tx.find_credential(&asking.org, &of.id)?.ok_or_else(|| {
            Error::new(Code::CredentialNotFound, "the credential was purged while its new value was made")
        })?;
        let version = kept(tx, &keys.vault(), guide, &asking, &of, &copy)?;
        Ok((super::stage_value(tx, &asking, &of, r, version)?, Some(version)))
    };
    let call = claim(app, caller, &input, (&r, &c), &driver, "set", sealed).await?;
    let refused = |e: Error| {
        let next = "The old one is served as before. Call advance_rotation with step make once that is put right, or have \
                    a person enter the new one.";
        Error::new(e.code, format!("the new value of {} was not set: {}", c.label(), e.message())).next(next)
    };
    match driver.set(lent.call(&c, Some(&made))).await {
        Ok(Ended::Confirmed) => {
            conclude(app, caller, &c, &r, call, CallState::Done, "").await?;
            Ok("the new one is kept beside the old one, and its service knows it")
        }
        Ok(Ended::Unsure) => {
            let trouble = "whether its service took the new one is not known: a test of it tells";
            conclude(app, caller, &c, &r, call, CallState::Unsure, trouble).await?;
            Ok("the new one is kept beside the old one; whether its service took it is not known")
        }
        Ok(Ended::Refused) => {
            let e = Error::new(Code::Unreachable, "its service refused it");
            take_back(app, caller, &c, &r, call, &e).await?;
            Err(refused(e))
        }
        Err(e) => {
            let e = lent.told(&c, Some(&made), e);
            take_back(app, caller, &c, &r, call, &e).await?;
            Err(refused(e))
        }
    }
}

/// Seals a value that nobody typed beside the one in use. Returns the version's number.
fn kept(
    tx: &mut crate::store::Writer<'_>,
    vault: &Vault,
    guide: &Guide,
    caller: &Caller,
    c: &Credential,
    made: &Fields,
) -> Result<i64> {
    let sealer = Sealer { vault, catalogue: guide.catalogue, caller };
    sealer.keep_pending(tx, c, Values { fields: made, file_name: "" })
}

/// Seals what the service made as the new value, with the end of the call that made it. It is kept even where somebody has
/// ended the rotation meanwhile, or took their yes back: the service may take no other any more.
async fn stage(
    app: &App,
    caller: &Caller,
    r: &Rotation,
    made: Fields,
    mut call: RotationCall,
) -> Result<&'static str> {
    let plain = Caller { idempotency: None, approval: None, ..caller.clone() };
    let (asking, guide, keys, id) = (caller.clone(), Guide::of(app), app.keys.clone(), r.id.clone());
    app.store
        .write(&plain, move |tx| {
            let r = tx.rotation(&asking.org, id.as_str())?;
            let c = tx.find_credential(&asking.org, &r.credential_id)?.ok_or_else(|| {
                Error::new(Code::CredentialNotFound, "the credential was purged while its new value was made")
            })?;
            let version = kept(tx, &keys.vault(), &guide, &asking, &c, &made)?;
            let (r, done) = match r.takes_value() {
                true => (
                    super::stage_value(tx, &asking, &c, r, version)?,
                    "the service made the new one, and it is kept beside the old one",
                ),
                false => (r, "the rotation was ended meanwhile; the new one is kept, unserved, for the next"),
            };
            call.version = Some(version);
            let mut event =
                event("rotation_call", &c, &r).with("call", call.call.clone()).with("ended", "done");
            event.object.version = Some(version);
            end(tx, &call, CallState::Done)?;
            tx.record_step(event, done)
        })
        .await
}

/// Writes down that the service surely does not know the new value, which ends here: as before it was made.
async fn take_back(
    app: &App,
    caller: &Caller,
    c: &Credential,
    r: &Rotation,
    call: RotationCall,
    why: &Error,
) -> Result<()> {
    let plain = Caller { idempotency: None, approval: None, ..caller.clone() };
    let (c, r, trouble) = (c.clone(), r.clone(), format!("the new one was not set: {}", why.message()));
    app.store
        .write(&plain, move |tx| {
            let mut now = tx.rotation(&r.org_id, r.id.as_str())?;
            let ours = engine::version(tx, &c, call.version).ok().filter(|v| v.stage == Stage::Pending);
            // Whoever went on with it meanwhile has seen it work.
            let is_known_there = now.new_version == call.version && now.finding == Finding::Valid;
            if let (Some(mut ours), false) = (ours, is_known_there) {
                tx.retire_version(&mut ours)?;
                if now.new_version == call.version && now.stage == RotationStage::Staged {
                    now = now.unset(trouble, tx.now())?;
                    tx.save(&mut now)?;
                }
            }
            let event = event("rotation_call", &c, &now)
                .ended(Outcome::Failed, "")
                .with("call", call.call.clone())
                .with("ended", "failed");
            end(tx, &call, CallState::Failed)?;
            tx.record_step(event, ())
        })
        .await
}

/// The answer, kept for whoever asks again with the same key. What was done stays done, whatever became of the yes to it.
async fn answered(app: &App, caller: &Caller, id: RotationId, done: &'static str) -> Result<RotationAnswer> {
    let (asking, guide) = (caller.clone(), Guide::of(app));
    app.store
        .write(&Caller { approval: None, ..caller.clone() }, move |tx| {
            let r = tx.rotation(&asking.org, id.as_str())?;
            let c = tx.find_credential(&asking.org, &r.credential_id)?.ok_or_else(|| {
                Error::new(Code::CredentialNotFound, "the credential was purged while its new value was made")
            })?;
            let mut event = event(ADVANCE, &c, &r).with("step", "make");
            event.object.version = r.new_version.or(event.object.version);
            let output = guide.answer(tx, &c, &r, done)?;
            tx.record(event, output)
        })
        .await
}
