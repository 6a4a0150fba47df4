//! Asking a service whether one version of a credential works. Its use is in the log before its value is opened.
//!
//! Where the value goes is what the catalogue says of the credential's own service, and nothing that a caller says. What
//! comes back is a verdict and short texts.
use super::sealing::open_fields;
use crate::app::App;
use crate::clock::Millis;
use crate::error::{Code, Error, Result};
use crate::ids::VersionId;
use crate::model::Word;
use crate::model::access::{Caller, Door};
use crate::model::credential::{Credential, SealedField, Source, Stage, Version};
use crate::model::event::{Event, Outcome};
use crate::model::probe::{EndSource, Ending, Probe};
pub use crate::model::probe::{Probed, Verdict};
use crate::ops::reach::{self, Need};
use crate::ops::{canary, connection};
use crate::services::probe::{Field, Subject, Way, asks_anybody, is_testable};
use crate::services::{Catalogue, Service};
use crate::store::{Reader, Writer};
use std::sync::Arc;

/// Asks the service of `credential` about `version`, whichever stage it is in.
///
/// A connection is asked about as it is now, refreshed if need be. Fails with `too_many_requests` for more than six in a
/// minute, with `not_allowed` and `credential_not_found` as every use does, and with `changed_meanwhile` where the
/// credential or the version is another by now.
pub async fn probe(app: &App, caller: &Caller, credential: &Credential, version: &Version) -> Result<Probed> {
    asked(app, caller, credential, version, false).await
}

/// As [`probe`], for the one process that finds it due.
///
/// Fails with `changed_meanwhile` where another was faster.
pub(super) async fn probe_due(app: &App, caller: &Caller, c: &Credential, v: &Version) -> Result<Probed> {
    asked(app, caller, c, v, true).await
}

async fn asked(
    app: &App,
    caller: &Caller,
    credential: &Credential,
    version: &Version,
    is_claimed: bool,
) -> Result<Probed> {
    if credential.source == Source::OAuth {
        admit(app, caller, credential, version, Event::of("test_begun"), is_claimed).await?;
        return connection::ask(app, caller, credential).await;
    }
    let service = match service(app, credential) {
        Ok(service) => service,
        // Nothing is opened for what is sent nowhere.
        Err(why) => return Ok(Probed::could_not(why)),
    };
    let event = Event::of("use").with("operation", "test").with("service", service.id.clone());
    let fields = admit(app, caller, credential, version, event, is_claimed).await?;
    let subject = subject(app, credential, version, fields)?;
    let outbound = app.outbound();
    let way = Way { catalogue: app.catalogue, wire: &app.wire, outbound: &outbound, now: app.now() };
    Ok(way.ask(&service, &subject).await)
}

/// The service whose test it is, where there is one: its own, and never one that its value was only likened to.
pub(in crate::ops) fn service(app: &App, c: &Credential) -> std::result::Result<Arc<Service>, String> {
    service_of(app.catalogue, c)
}

fn service_of(catalogue: &Catalogue, c: &Credential) -> std::result::Result<Arc<Service>, String> {
    if c.service.is_empty() {
        return Err(format!(
            "Nobody said which service {} is of, so it was sent nowhere. Say it with update_credential.",
            c.name
        ));
    }
    let Some(service) = catalogue.find_service(&c.service) else {
        return Err(format!("The service of {} is not in the catalogue.", c.name));
    };
    match is_testable(&service) {
        true => Ok(service),
        false => {
            let why =
                service.verify_note.as_deref().unwrap_or("the catalogue knows no harmless request for it");
            Err(format!("{} cannot be asked: {why}", service.name))
        }
    }
}

/// Whether a test of `c` is an answer of its service, and no mere look at the value.
pub(in crate::ops) fn is_asked(app: &App, c: &Credential) -> bool {
    can_be_asked(app.catalogue, c)
}

/// As [`is_asked`], where the catalogue is all that is at hand.
pub(in crate::ops) fn can_be_asked(catalogue: &Catalogue, c: &Credential) -> bool {
    c.source == Source::OAuth || service_of(catalogue, c).is_ok_and(|service| asks_anybody(&service))
}

/// Counts and records what is about to be done; the sealed fields of the version.
async fn admit(
    app: &App,
    caller: &Caller,
    credential: &Credential,
    version: &Version,
    event: Event,
    is_claimed: bool,
) -> Result<Vec<SealedField>> {
    let (asking, meant, version) = (caller.clone(), credential.clone(), version.clone());
    // A step of an operation: its answer is kept by the operation itself.
    let plain = Caller { idempotency: None, approval: None, ..caller.clone() };
    let file = app.config.file.clone();
    let (fields, alarm) = app
        .store
        .write(&plain, move |tx| {
            let now = tx.now();
            let c = same(tx, &asking, &meant)?;
            // Whoever holds a canary's value waits for its use at the service, and by ourselves it has none.
            if is_claimed && tx.canary(&c.org_id, &c.id)?.is_some() {
                return Err(Error::new(
                    Code::Changed,
                    "it was made a canary, and those are not tested by themselves",
                ));
            }
            let v = still(tx, &c, &version.id, version.number)?;
            let mut probe = row(tx, &c)?;
            if is_claimed && probe.due_at.is_none_or(|due| due > now) {
                return Err(Error::new(Code::Changed, "another process tests it already"));
            }
            if !probe.admit(now) {
                return Err(Error::new(
                    Code::TooManyRequests,
                    format!("{} was tested six times within a minute", c.name),
                )
                .next("Wait a minute: the answer will be the same."));
            }
            // Whoever tests it at the same time, or looks whether it is due, sees that it is being done.
            probe.due_at = None;
            tx.keep_probe(&mut probe)?;
            let mut alarm = None;
            if event.operation == "use" {
                // In the log it is a use, for the value is opened; nobody used it.
                alarm = canary::watch(tx, &asking, &c, ("test", ""), &file)?;
            }
            let mut event = event.on(&c);
            event.object.version = Some(v.number);
            let fields = tx.fields(&v.id)?;
            tx.record_step(event, (fields, alarm))
        })
        .await?;
    alarm.iter().for_each(|alarm| canary::alert(app, alarm));
    Ok(fields)
}

/// The credential as it is now, which must still go to the same service and be the caller's to use.
fn same(tx: &Reader<'_>, caller: &Caller, meant: &Credential) -> Result<Credential> {
    let c = match caller.door {
        // The background pass works for the org; it was decided on entry who may have it tested.
        Door::System => tx
            .find_credential(&caller.org, &meant.id)?
            .filter(|c| !c.is_deleted())
            .ok_or_else(|| Error::new(Code::Changed, "the credential is gone"))?,
        _ => {
            let who = tx.standing(caller)?;
            reach::credential(tx, caller, &who, meant.id.as_str(), Need::Use)?.credential
        }
    };
    let is_same = c.service == meant.service && c.fields == meant.fields && c.source == meant.source;
    match is_same {
        true => Ok(c),
        false => Err(Error::new(Code::Changed, "its service or its fields were changed while it was tested")),
    }
}

fn still(tx: &Reader<'_>, c: &Credential, id: &VersionId, number: i64) -> Result<Version> {
    tx.find_version(&c.org_id, &c.id, number)?
        .filter(|v| v.id == *id && v.stage != Stage::Retired && v.destroyed_at.is_none())
        .ok_or_else(|| Error::new(Code::VersionNotFound, "that version's value is destroyed"))
}

/// A version's value, opened: its use is in the log by now.
pub(in crate::ops) fn subject(
    app: &App,
    c: &Credential,
    v: &Version,
    fields: Vec<SealedField>,
) -> Result<Subject> {
    let specs = c.field_specs();
    let opened = open_fields(&app.vault(), c, v, fields)
        .map_err(|e| e.detail("table", "field").detail("id", v.id.0.clone()))?;
    let fields = opened
        .into_iter()
        .map(|(name, value)| Field {
            is_secret: specs.iter().find(|spec| spec.name == name).is_none_or(|spec| spec.secret),
            name,
            value,
        })
        .collect();
    Ok(Subject { kind: c.kind, fields })
}

/// The row of its tests, new where there is none.
pub(in crate::ops) fn row(tx: &Reader<'_>, c: &Credential) -> Result<Probe> {
    Ok(tx.probe(&c.org_id, &c.id)?.unwrap_or_else(|| Probe::new(c.org_id.clone(), c.id.clone())))
}

/// Keeps what a test of the version `number` found out, with the end that the service told; the event of the operation.
pub(in crate::ops) fn keep(
    tx: &mut Writer<'_>,
    c: &Credential,
    number: i64,
    found: &Probed,
    due_at: Option<Millis>,
) -> Result<Event> {
    let now = tx.now();
    let mut probe = row(tx, c)?;
    probe.ended(number, found, now);
    probe.due_at = due_at;
    tx.keep_probe(&mut probe)?;
    if let Some(ends_at) = found.expires_at {
        tx.keep_ending(Ending {
            credential_id: c.id.clone(),
            number,
            org_id: c.org_id.clone(),
            ends_at,
            source: EndSource::Service,
            revision: 0,
        })?;
    }
    let outcome = if found.verdict == Verdict::Valid { Outcome::Ok } else { Outcome::Failed };
    let mut event =
        Event::of("test_credential").on(c).ended(outcome, "").with("verdict", Word::as_str(found.verdict));
    event.object.version = Some(number);
    Ok(event)
}
