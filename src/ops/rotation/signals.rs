//! What is heard of the new value while the old one is kept: a failure brings the old one back in the same transaction.
use super::{event, go_back};
use crate::app::App;
use crate::config::File;
use crate::error::{Code, Error, Result};
use crate::ids::{ConsumerId, CredentialId, OrgId};
use crate::model::access::{Caller, Door};
use crate::model::credential::{Credential, Scope};
use crate::model::event::{Event, Outcome};
use crate::model::notice::NoticeKind;
use crate::model::probe::Verdict;
use crate::model::rotation::{Finding, Rotation, RotationConsumer, RotationStage, Signal, SignalSource};
use crate::ops::notice;
use crate::ops::reach::{self, Need};
use crate::rotation::engine;
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
    file: &File,
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
    if signal == Signal::Failed
        && answers_for(tx, caller, c, consumer)?
        && let Some(back) = fall_back(tx, c, r, &source.to_string(), file)?
    {
        return Ok((Heard::RolledBack, vec![noted, back]));
    }
    Ok((Heard::Noted, vec![noted]))
}

/// Whether a failure told by `consumer` may change what is served to everybody: it lives where the credential does, or
/// whoever runs it manages the credential. Anybody may have a consumer of their own that fails.
fn answers_for(tx: &Reader<'_>, caller: &Caller, c: &Credential, consumer: &ConsumerId) -> Result<bool> {
    let Some(consumer) = tx.find_consumer(&c.org_id, consumer)? else { return Ok(false) };
    let lives_there = match (c.scope, consumer.scope) {
        (Scope::Org | Scope::Team, Scope::Org) => true,
        (of, at) => of != Scope::Org && of == at && consumer.owner_id == c.owner_id,
    };
    if lives_there {
        return Ok(true);
    }
    let who = tx.standing(caller)?;
    Ok(reach::credential(tx, caller, &who, c.id.as_str(), Need::Manage).is_ok())
}

/// Brings the old value back where a failure of the new one may do that by itself, and puts that on its way to where the
/// configuration has notices sent. Returns the event.
pub(super) fn fall_back(
    tx: &mut Writer<'_>,
    c: &mut Credential,
    r: Rotation,
    why: &str,
    file: &File,
) -> Result<Option<Event>> {
    let is_served = c.current_version.is_some() && c.current_version == r.new_version;
    let may = is_served && r.new_version.is_some_and(|version| r.falls_back_on(version, tx.now()));
    if !may || engine::has_ended_the_old(tx, &r)? {
        return Ok(None);
    }
    let failed = r.new_version;
    let mut back = go_back(tx, c, r)?;
    back.trouble = "the new one failed in use, and the old one is served again".into();
    tx.save(&mut back)?;
    notice::queue(tx, file, c, NoticeKind::WentBack, None)?;
    Ok(Some(
        event("roll_back_rotation", c, &back)
            .ended(Outcome::Ok, "")
            .with("by_itself", true)
            .with("why", why)
            .with("failed_version", failed.unwrap_or_default()),
    ))
}

/// A test by ourselves showed what the service says of `version`, which is the one in use: what a rotation makes of that.
/// Returns the events.
///
/// A yes counts for every consumer that has it; a no brings the old one back where a failure may do so, and is kept in the
/// way of its confirmation where not.
pub(in crate::ops) fn heard_by_test(
    tx: &mut Writer<'_>,
    c: &mut Credential,
    version: i64,
    verdict: Verdict,
    file: &File,
) -> Result<Vec<Event>> {
    let Some(r) = about(tx, &c.org_id, &c.id, version)? else { return Ok(Vec::new()) };
    let (finding, trouble) = match verdict {
        Verdict::Valid => (Finding::Valid, ""),
        Verdict::Refused => (Finding::Refused, "the service refuses the new one"),
        Verdict::Limited | Verdict::CouldNotCheck => return Ok(Vec::new()),
    };
    if finding == Finding::Refused
        && let Some(back) = fall_back(tx, c, r.clone(), "test", file)?
    {
        return Ok(vec![back]);
    }
    if r.finding == finding {
        return Ok(Vec::new());
    }
    let mut r = Rotation { finding, trouble: trouble.into(), ..r };
    tx.save(&mut r)?;
    Ok(vec![event("rotation_signal", c, &r).with("source", "test").with("finding", finding.to_string())])
}

/// Whether a rotation waits to hear how this version does.
pub(in crate::ops) fn is_awaited(
    tx: &Reader<'_>,
    org: &OrgId,
    id: &CredentialId,
    version: i64,
) -> Result<bool> {
    Ok(about(tx, org, id, version)?.is_some())
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
    let file = app.config.file.clone();
    let heard = app.store.write(&plain, move |tx| {
        let found = about(tx, &by.org, &id, version)?.zip(tx.find_credential(&by.org, &id)?);
        let Some((r, mut c)) = found else {
            return Err(Error::new(Code::NothingToDo, "its rotation has ended meanwhile"));
        };
        let (_, events) = hear(tx, &by, &mut c, r, &of, (signal, SignalSource::Broker), &file)?;
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
