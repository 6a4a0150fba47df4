//! What a rotation does to the versions of its credential: each of these is a part of one transaction.
//!
//! At any time exactly one version is current. Nothing here makes a value or reads one.
use crate::error::{Code, Error, Result};
use crate::model::credential::{Credential, Stage, Version};
use crate::model::rotation::{CallState, Finding, Rotation, Way};
use crate::store::{Reader, Writer};

/// The row of a version that a rotation names; its key is there still.
pub fn version(tx: &Reader<'_>, c: &Credential, number: Option<i64>) -> Result<Version> {
    let found = match number {
        Some(number) => tx.find_version(&c.org_id, &c.id, number)?,
        None => None,
    };
    found.filter(|v| v.destroyed_at.is_none()).ok_or_else(|| {
        Error::new(Code::VersionNotFound, format!("that version of {} is not kept any more", c.name))
    })
}

/// The new version comes into use, and the old one is kept.
pub fn promote(tx: &mut Writer<'_>, c: &mut Credential, r: &Rotation) -> Result<()> {
    let mut new = version(tx, c, r.new_version)?;
    if new.stage != Stage::Pending {
        return Err(Error::new(Code::Changed, format!("version {} is not pending any more", new.number)));
    }
    serve(tx, c, &mut new, Stage::Previous)
}

/// The old version comes into use again. The new one, and what was set since, are kept as pending: one of them may be what
/// the service takes.
pub fn roll_back(tx: &mut Writer<'_>, c: &mut Credential, r: &Rotation) -> Result<()> {
    let mut old = version(tx, c, r.old_version)?;
    if old.stage != Stage::Previous {
        return Err(Error::new(
            Code::Changed,
            format!("version {} is not kept for that any more", old.number),
        ));
    }
    serve(tx, c, &mut old, Stage::Pending)?;
    if let Ok(mut new) = version(tx, c, r.new_version)
        && new.stage == Stage::Previous
    {
        new.stage = Stage::Pending;
        tx.save(&mut new)?;
    }
    Ok(())
}

/// `next` is the version in use from here on, and the one before it is kept as `leaves`.
fn serve(tx: &mut Writer<'_>, c: &mut Credential, next: &mut Version, leaves: Stage) -> Result<()> {
    // It leaves that stage first: there is one current version at any time.
    if let Some(mut before) = tx.current_version(c)? {
        before.stage = leaves;
        tx.save(&mut before)?;
    }
    next.stage = Stage::Current;
    tx.save(next)?;
    c.current_version = Some(next.number);
    c.value_set_at = Some(next.created_at);
    c.value_set_by = Some(next.created_by.clone());
    c.updated_at = tx.now();
    tx.save(c)
}

/// Destroys every value that waits: the one in use was confirmed, and the one before has ended.
pub fn discard_pending(tx: &mut Writer<'_>, c: &Credential) -> Result<()> {
    discard(tx, c, |_| true)
}

/// Destroys what waits for `r` and may go, but for `kept`.
///
/// Where old and new work side by side that is every value that was never served: the one in use goes on. One that was
/// served once may be the one that the service takes, and stays. Without overlap only what the service refused may go.
pub fn discard_unserved(tx: &mut Writer<'_>, c: &Credential, r: &Rotation, kept: Option<i64>) -> Result<()> {
    let served: Vec<_> = tx
        .rotations_of(&c.org_id, &c.id)?
        .into_iter()
        .filter(|one| one.promoted_at.is_some())
        .filter_map(|one| one.new_version)
        .collect();
    let is_refused = |v: &Version| r.finding == Finding::Refused && r.new_version == Some(v.number);
    let unsure = told_unsurely(tx, c)?;
    discard(tx, c, |v| {
        Some(v.number) != kept
            && match r.way {
                Way::ShortGap => is_refused(v) && !unsure.contains(&v.number),
                Way::Overlap | Way::Reconnect => is_refused(v) || !served.contains(&v.number),
            }
    })
}

/// Versions that the service was told, and nobody knows whether it heard: what it refuses now it may take later.
fn told_unsurely(tx: &Reader<'_>, c: &Credential) -> Result<Vec<i64>> {
    let mut versions = Vec::new();
    for one in tx.rotations_of(&c.org_id, &c.id)? {
        let calls = tx.rotation_calls(&one.id)?.into_iter();
        let unsure = calls.filter(|call| {
            call.call == "set" && matches!(call.state, CallState::Started | CallState::Unsure)
        });
        versions.extend(unsure.filter_map(|call| call.version));
    }
    Ok(versions)
}

/// Whether the unserved value of `r` may be the only one that the service takes: then nothing destroys it but another one.
pub fn may_hold_the_only_value(tx: &Reader<'_>, c: &Credential, r: &Rotation) -> Result<bool> {
    Ok(match (r.way, r.finding, r.new_version) {
        (Way::ShortGap, Finding::Refused, Some(new)) => told_unsurely(tx, c)?.contains(&new),
        (Way::ShortGap, ..) => true,
        (Way::Overlap | Way::Reconnect, ..) => false,
    })
}

fn discard(tx: &mut Writer<'_>, c: &Credential, may_go: impl Fn(&Version) -> bool) -> Result<()> {
    for mut version in tx.versions(&c.org_id, &c.id, 1000)? {
        if version.stage == Stage::Pending && version.destroyed_at.is_none() && may_go(&version) {
            tx.retire_version(&mut version)?;
        }
    }
    Ok(())
}

/// A value that was entered, is kept and not served.
pub fn find_pending(tx: &Reader<'_>, c: &Credential) -> Result<Option<Version>> {
    let is_kept = |v: &Version| v.stage == Stage::Pending && v.destroyed_at.is_none();
    Ok(tx.versions(&c.org_id, &c.id, 1000)?.into_iter().find(is_kept))
}

/// Destroys the key of the old version and of what was before it, where it is not in use again.
pub fn destroy_old(tx: &mut Writer<'_>, c: &Credential, r: &Rotation) -> Result<()> {
    for mut version in tx.versions(&c.org_id, &c.id, 1000)? {
        if version.stage == Stage::Previous && r.old_version.is_some_and(|old| version.number <= old) {
            tx.retire_version(&mut version)?;
        }
    }
    Ok(())
}
