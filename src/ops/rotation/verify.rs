//! The test of a new value at its service: it works, for the same account, and may do at least as much.
use super::advance::AdvanceRotation;
use super::calls::{self, Asked};
use super::view::{Guide, RotationAnswer};
use super::{ADVANCE, because, event, signals};
use crate::app::App;
use crate::error::{Code, Error, Result};
use crate::model::access::Caller;
use crate::model::connection::ConnectionState;
use crate::model::credential::{Credential, Version};
use crate::model::event::Outcome;
use crate::model::rotation::{Finding, Rotation, RotationStage, Way};
use crate::rotation::engine;
use crate::store::Reader;

/// What both values showed.
struct Compared {
    finding: Finding,
    trouble: String,
}

/// The versions to be compared, as they are in one transaction.
fn versions(tx: &Reader<'_>, c: &Credential, r: &Rotation) -> Result<(Version, Option<Version>)> {
    let new = engine::version(tx, c, r.new_version)?;
    // An old one that is not kept any more has nothing to be compared with.
    let old = engine::version(tx, c, r.old_version).ok();
    Ok((new, old))
}

pub(super) async fn verify(app: &App, caller: &Caller, input: AdvanceRotation) -> Result<RotationAnswer> {
    let (asked, asking, guide) = (input.clone(), caller.clone(), Guide::of(app));
    let (r, c, versions) = app
        .store
        .read(move |tx| {
            let meant = asked.meant(tx, &guide, &asking)?;
            let versions = match meant.r.stage {
                RotationStage::AwaitingValue if meant.r.way == Way::Reconnect => None,
                _ if meant.r.new_version.is_none() => {
                    return Err(Error::new(
                        Code::WrongStage,
                        format!("there is no new value of {} to test yet", meant.c.label()),
                    )
                    .next(guide.next(&meant.c, &meant.r)));
                }
                _ => Some(versions(tx, &meant.c, &meant.r)?),
            };
            Ok((meant.r, meant.c, versions))
        })
        .await?;
    let Some((new, old)) = versions else { return reconnected(app, caller, input).await };
    let compared = compare(app, caller, (&r, &c), &new, old.as_ref()).await?;
    settle(app, caller, input, r, compared).await
}

async fn compare(
    app: &App,
    caller: &Caller,
    (r, c): (&Rotation, &Credential),
    new: &Version,
    old: Option<&Version>,
) -> Result<Compared> {
    let found = calls::test(app, caller, r, c, new).await?;
    let told = |finding: Finding, trouble: String| Compared { finding, trouble };
    match found.finding {
        Finding::Valid | Finding::Limited => {}
        Finding::Refused => return Ok(told(found.finding, "the service does not take the new one".into())),
        _ => {
            return Ok(told(
                found.finding,
                format!("the new one could not be tested{}", because(&found.message)),
            ));
        }
    }
    let is_limited = found.finding == Finding::Limited;
    let before = match old {
        Some(old) if is_limited || !found.account.is_empty() || !found.scopes.is_empty() => {
            Some(calls::test(app, caller, r, c, old).await?)
        }
        _ => None,
    };
    if let Some((finding, why)) = before.as_ref().and_then(|before| differs(before, &found)) {
        return Ok(told(finding, why));
    }
    // What lacks the same permission as the one in use may do as much.
    let is_as_before = before.is_some_and(|before| before.finding == found.finding);
    Ok(match is_limited && !is_as_before {
        true => told(
            Finding::Limited,
            "the service takes the new one, and it may not do what the test asks for".into(),
        ),
        false => told(Finding::Valid, String::new()),
    })
}

/// What the new one is not, compared with the old one while that still works.
fn differs(before: &Asked, now: &Asked) -> Option<(Finding, String)> {
    if !matches!(before.finding, Finding::Valid | Finding::Limited) {
        return None;
    }
    if !before.account.is_empty() && !now.account.is_empty() && before.account != now.account {
        return Some((Finding::OtherAccount, "the new one is of another account than the old one".into()));
    }
    if before.finding == Finding::Valid && now.finding == Finding::Limited {
        let why = "the new one may not do what the test asks for, and the old one may";
        return Some((Finding::ScopesMissing, why.into()));
    }
    // Who is told no scopes for the new one knows nothing.
    let missing: Vec<_> = match now.scopes.is_empty() {
        true => Vec::new(),
        false => before.scopes.iter().filter(|scope| !now.scopes.contains(scope)).cloned().collect(),
    };
    (!missing.is_empty()).then(|| {
        (
            Finding::ScopesMissing,
            format!("the new one may do less than the old one: {} scopes are missing", missing.len()),
        )
    })
}

/// Writes down what was found, if the rotation is still where it was.
async fn settle(
    app: &App,
    caller: &Caller,
    input: AdvanceRotation,
    before: Rotation,
    compared: Compared,
) -> Result<RotationAnswer> {
    let (asking, guide, file) = (caller.clone(), Guide::of(app), app.config.file.clone());
    app.store
        .write(caller, move |tx| {
            let meant = input.meant(tx, &guide, &asking)?;
            let mut c = meant.c;
            if meant.r.revision != before.revision {
                return Err(Error::new(Code::Changed, "somebody went on with this rotation meanwhile"));
            }
            let is_good = compared.finding == Finding::Valid;
            let is_served =
                meant.r.stage != RotationStage::Staged && meant.r.stage != RotationStage::Verified;
            if is_served && compared.finding == Finding::Refused {
                let mut r = meant.r;
                r.owner = asking.user.clone();
                let back = signals::fall_back(tx, &mut c, r.clone(), "test", &file)?;
                let (r, done) = match back {
                    Some(back) => {
                        tx.note(back)?;
                        let back = tx.rotation(&c.org_id, r.id.as_str())?;
                        (back, "the service refuses the new one: the old one is served again")
                    }
                    None => (r, "the service refuses the new one"),
                };
                let event = event(ADVANCE, &c, &r)
                    .ended(Outcome::Failed, "")
                    .with("step", "verify")
                    .with("finding", compared.finding.to_string());
                let output = guide.answer(tx, &c, &r, done)?;
                return tx.record(event, output);
            }
            if let (true, Some(version)) = (is_good, meant.r.new_version) {
                calls::arrived(tx, &meant.r, version)?;
            }
            let mut r = match is_served {
                true => Rotation { finding: compared.finding, trouble: compared.trouble, ..meant.r },
                false => meant.r.tested(compared.finding, compared.trouble, tx.now())?,
            };
            r.owner = asking.user.clone();
            tx.save(&mut r)?;
            let done = match compared.finding {
                Finding::Valid => "the service takes the new one".to_owned(),
                _ => r.trouble.clone(),
            };
            let event = event(ADVANCE, &c, &r)
                .ended(if is_good { Outcome::Ok } else { Outcome::Failed }, "")
                .with("step", "verify")
                .with("finding", compared.finding.to_string());
            let output = guide.answer(tx, &c, &r, done)?;
            tx.record(event, output)
        })
        .await
}

/// A connection that was connected again since: its new tokens are served already.
async fn reconnected(app: &App, caller: &Caller, input: AdvanceRotation) -> Result<RotationAnswer> {
    let (asking, guide) = (caller.clone(), Guide::of(app));
    app.store
        .write(caller, move |tx| {
            let meant = input.meant(tx, &guide, &asking)?;
            let (c, mut r) = (meant.c, meant.r);
            let connection = tx.connection(&c.org_id, &c.id)?;
            let is_new = connection.is_some_and(|connection| {
                connection.state == ConnectionState::Connected && connection.connected_at > r.started_at
            });
            let version = c.current_version.filter(|_| is_new).ok_or_else(|| {
                Error::new(Code::WrongStage, format!("{} was not connected again yet", c.label()))
                    .next(guide.next(&c, &r))
            })?;
            r.owner = asking.user.clone();
            let mut r = r.reconnected(version, tx.now())?;
            tx.save(&mut r)?;
            let event = event(ADVANCE, &c, &r).with("step", "verify");
            let output = guide.answer(tx, &c, &r, "it is connected again, and its new tokens are served")?;
            tx.record(event, output)
        })
        .await
}
