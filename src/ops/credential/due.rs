//! The background pass over tests: after a value was entered, and on a schedule, where the configuration says so.
//!
//! Nobody waits for it, and nothing fails by it. Tests are spread out, so that a thousand credentials that were imported
//! together are not tested together.
use super::probe::{is_asked, keep, probe_due, row, service};
use crate::app::App;
use crate::clock::Millis;
use crate::error::{Code, Result};
use crate::model::access::{Caller, Door};
use crate::model::credential::Credential;
use crate::model::event::Event;
use crate::model::notice::NoticeKind;
use crate::model::probe::{Finding, Probed, Verdict};
use crate::ops::{notice, rotation};
use crate::services::probe::is_testable;
use futures_util::{StreamExt, stream};

/// How many are looked at in one go, and how many tests are under way at once.
const PAGE: i64 = 50;
const AT_ONCE: usize = 4;
/// How long after an entry its test begins at the latest.
const AFTER_ENTRY_MS: i64 = 5_000;
const HOUR_MS: i64 = 3_600_000;

/// Works on what is due now; returns how much that was.
pub async fn pass(app: &App) -> Result<usize> {
    let tests = app.config.file.tests.clone();
    if !tests.is_on() {
        return Ok(0);
    }
    let services: Vec<String> = app
        .catalogue
        .services()
        .filter(|service| is_testable(service))
        .map(|service| service.id.clone())
        .collect();
    let now = app.now();
    let due = app
        .store
        .read(move |tx| {
            let services: Vec<_> = services.iter().map(String::as_str).collect();
            tx.probes_due(&services, now, tests.on_entry, tests.every_hours > 0, PAGE)
        })
        .await?;
    let found = due.len();
    stream::iter(due)
        .for_each_concurrent(AT_ONCE, |c| async move {
            if let Err(e) = one(app, &c).await {
                match e.code {
                    // Somebody else was faster, or changed it.
                    Code::Changed | Code::TooManyRequests | Code::VersionNotFound => {}
                    _ => tracing::warn!(code = e.code.name(), "a credential could not be tested"),
                }
            }
        })
        .await;
    Ok(found)
}

/// Plans the first test of `c`, or does the one that is due.
async fn one(app: &App, c: &Credential) -> Result<()> {
    let caller = system(c);
    let (org, id, current) = (c.org_id.clone(), c.id.clone(), c.current_version);
    let (before, version) = app
        .store
        .read_here(move |tx| {
            let before = tx.probe(&org, &id)?;
            let version = match current {
                Some(number) => tx.find_version(&org, &id, number)?,
                None => None,
            };
            Ok((before, version))
        })
        .await?;
    let Some(version) = version else { return Ok(()) };
    let is_due = before.as_ref().and_then(|p| p.due_at).is_some_and(|due| due <= app.now());
    if !is_due {
        return plan(app, &caller, c).await;
    }
    let found = match service(app, c) {
        Ok(_) => probe_due(app, &caller, c, &version).await?,
        Err(why) => Probed::could_not(why),
    };
    let tests = &app.config.file.tests;
    let next = (tests.every_hours > 0).then(|| {
        let every = i64::from(tests.every_hours).saturating_mul(HOUR_MS);
        // Between nine and eleven tenths of it.
        app.now().plus_ms(every / 10 * 9 + spread(every / 5))
    });
    let verdict = match found.verdict {
        Verdict::Valid if !is_asked(app, c) => Verdict::CouldNotCheck,
        verdict => verdict,
    };
    let was_refused = before.is_some_and(|p| p.finding(Some(version.number)) == Some(Finding::Refused));
    let (org, id) = (c.org_id.clone(), c.id.clone());
    let settings = app.config.file.clone();
    app.store
        .write(&caller, move |tx| {
            let Some(mut c) = tx.find_credential(&org, &id)?.filter(|c| !c.is_deleted()) else {
                return tx.record_step(Event::of("test_credential"), ());
            };
            let event = keep(tx, &c, version.number, &found, next)?.with("scheduled", true);
            let is_refused = row(tx, &c)?.finding(c.current_version) == Some(Finding::Refused);
            if is_refused && !was_refused {
                notice::queue(tx, &settings, &c, NoticeKind::Refused, None)?;
            }
            for told in rotation::heard_by_test(tx, &mut c, version.number, verdict, &settings)? {
                tx.note(told)?;
            }
            tx.record_step(event, ())
        })
        .await?;
    app.changed(&c.org_id, &c.id);
    Ok(())
}

/// Puts the first test of a value somewhere in the time before it is due.
async fn plan(app: &App, caller: &Caller, c: &Credential) -> Result<()> {
    let tests = app.config.file.tests.clone();
    // What was there long before it was turned on is spread over the whole time.
    let is_new = c.value_set_at.is_some_and(|at| app.now().0 - at.0 < HOUR_MS);
    let within = match tests.on_entry && is_new {
        true => AFTER_ENTRY_MS,
        false => i64::from(tests.every_hours).saturating_mul(HOUR_MS),
    };
    let due_at: Millis = app.now().plus_ms(spread(within));
    let (org, id) = (c.org_id.clone(), c.id.clone());
    app.store
        .write(caller, move |tx| {
            let event = Event::of("plan_test");
            let Some(c) = tx.find_credential(&org, &id)?.filter(|c| !c.is_deleted()) else {
                return tx.record_step(event, ());
            };
            let mut probe = row(tx, &c)?;
            probe.due_at = Some(due_at);
            tx.keep_probe(&mut probe)?;
            tx.record_step(event.on(&c), ())
        })
        .await
}

/// The caller for what happens without anybody asking: in the name of who entered the value.
fn system(c: &Credential) -> Caller {
    let user = c.value_set_by.clone().unwrap_or_else(|| c.created_by.clone());
    Caller::new(c.org_id.clone(), user, Door::System)
}

/// A random part of `most`.
fn spread(most: i64) -> i64 {
    let mut bytes = [0u8; 4];
    // Without it everything still works, only less spread out.
    let _ = getrandom::fill(&mut bytes);
    let part = i64::from(u32::from_le_bytes(bytes));
    (i128::from(most) * i128::from(part) / i128::from(u32::MAX)) as i64
}
