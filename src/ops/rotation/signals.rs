//! What is heard of the new value while the old one is kept: a failure brings the old one back in the same transaction.
use super::{event, go_back};
use crate::app::App;
use crate::error::{Code, Error, Result};
use crate::ids::{ConsumerId, CredentialId, OrgId};
use crate::model::access::{Caller, Door};
use crate::model::credential::Credential;
use crate::model::event::{Event, Outcome};
use crate::model::rotation::{Rotation, RotationConsumer, RotationStage, Signal, SignalSource};
use crate::store::{Reader, Writer};

/// What became of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Noted,
    RolledBack,
}

/// The rotation that a use of this version tells something about.
pub(super) fn about(
    tx: &Reader<'_>,
    org: &OrgId,
    credential: &CredentialId,
    version: i64,
) -> Result<Option<Rotation>> {
    let open = tx.open_rotation(org, credential)?;
    Ok(open.filter(|r| {
        matches!(r.stage, RotationStage::Promoted | RotationStage::Confirmed)
            && r.new_version == Some(version)
    }))
}

/// Keeps what `consumer` showed with the new version, and goes back where that was a failure in time. Returns the events.
pub(super) fn hear(
    tx: &mut Writer<'_>,
    caller: &Caller,
    c: &mut Credential,
    r: Rotation,
    consumer: &ConsumerId,
    (signal, source): (Signal, SignalSource),
) -> Result<(Heard, Vec<Event>)> {
    let version = r.new_version.unwrap_or_default();
    tx.put_signal(&mut RotationConsumer {
        rotation_id: r.id.clone(),
        consumer_id: consumer.clone(),
        org_id: r.org_id.clone(),
        signal,
        source,
        version,
        at: tx.now(),
        told_by: caller.user.clone(),
        revision: 0,
    })?;
    let mut noted =
        event("rotation_signal", c, &r).with("signal", signal.to_string()).with("source", source.to_string());
    noted.consumer.clone_from(&consumer.0);
    match signal {
        Signal::Failed => match fall_back(tx, c, r, &source.to_string())? {
            Some(back) => Ok((Heard::RolledBack, vec![noted, back])),
            None => Ok((Heard::Noted, vec![noted])),
        },
        Signal::Good => Ok((Heard::Noted, vec![noted])),
    }
}

/// Brings the old value back where a failure of the new one may do that by itself. Returns the event.
pub(super) fn fall_back(
    tx: &mut Writer<'_>,
    c: &mut Credential,
    r: Rotation,
    why: &str,
) -> Result<Option<Event>> {
    let is_served = c.current_version.is_some() && c.current_version == r.new_version;
    let may = is_served && r.new_version.is_some_and(|version| r.falls_back_on(version, tx.now()));
    if !may {
        return Ok(None);
    }
    let failed = r.new_version;
    let mut back = go_back(tx, c, r)?;
    back.trouble = "the new one failed in use, and the old one is served again".into();
    tx.save(&mut back)?;
    Ok(Some(
        event("roll_back_rotation", c, &back)
            .ended(Outcome::Ok, "")
            .with("by_itself", true)
            .with("why", why)
            .with("failed_version", failed.unwrap_or_default()),
    ))
}

/// A service answered a request that the broker had signed with `version`: it takes it, or it does not.
pub(in crate::ops) async fn heard_by_broker(
    app: &App,
    caller: &Caller,
    credential: &CredentialId,
    consumer: &ConsumerId,
    (version, is_good): (i64, bool),
) -> Result<()> {
    let signal = if is_good { Signal::Good } else { Signal::Failed };
    let (org, id, of) = (caller.org.clone(), credential.clone(), consumer.clone());
    let is_news = app
        .store
        .read_here(move |tx| {
            let Some(r) = about(tx, &org, &id, version)? else { return Ok(false) };
            Ok(tx.signal(&r.id, &of)?.is_none_or(|s| s.signal != signal || s.version != version))
        })
        .await?;
    if !is_news {
        return Ok(());
    }
    let plain = Caller { idempotency: None, approval: None, door: Door::System, ..caller.clone() };
    let (by, id, of) = (caller.clone(), credential.clone(), consumer.clone());
    let heard = app.store.write(&plain, move |tx| {
        let found = about(tx, &by.org, &id, version)?.zip(tx.find_credential(&by.org, &id)?);
        let Some((r, mut c)) = found else {
            return Err(Error::new(Code::NothingToDo, "its rotation has ended meanwhile"));
        };
        let (_, events) = hear(tx, &by, &mut c, r, &of, (signal, SignalSource::Broker))?;
        record_all(tx, events)
    });
    match heard.await {
        Err(e) if e.code == Code::NothingToDo => Ok(()),
        heard => heard,
    }
}

/// Records every event, the last one as the transaction's.
pub(super) fn record_all(tx: &mut Writer<'_>, mut events: Vec<Event>) -> Result<crate::store::Recorded<()>> {
    let last = events.pop().ok_or_else(|| crate::error::internal("a signal leaves an event"))?;
    for event in events {
        tx.note(event)?;
    }
    tx.record_step(last, ())
}
