//! What a rotation does to the versions of its credential: each of these is a part of one transaction.
//!
//! At any time exactly one version is current. Nothing here makes a value or reads one.
use crate::error::{Code, Error, Result};
use crate::model::credential::{Credential, Stage, Version};
use crate::model::rotation::{CallState, Finding, Rotation, RotationCall, Way};
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
/// What was served once, or what a service was told or made, may be what it takes: nothing that it says now speaks against
/// that for good. Of the rest, all goes where old and new work side by side: the one in use goes on. What was entered where
/// they do not goes only where the service refused it, whatever the way of this rotation.
pub fn discard_unserved(tx: &mut Writer<'_>, c: &Credential, r: &Rotation, kept: Option<i64>) -> Result<()> {
    let held = Held::of(tx, c)?;
    let is_refused = |v: &Version| r.finding == Finding::Refused && r.new_version == Some(v.number);
    discard(tx, c, |v| {
        let has_gap = r.way == Way::ShortGap || held.for_gap.contains(&v.number);
        Some(v.number) != kept && !held.by_service.contains(&v.number) && (!has_gap || is_refused(v))
    })
}

/// What is known of the versions of a credential from its rotations.
struct Held {
    /// Served once; or, without overlap, told to a service or made by it, unless that surely failed.
    by_service: Vec<i64>,
    /// Entered where old and new do not work side by side.
    for_gap: Vec<i64>,
}

impl Held {
    fn of(tx: &Reader<'_>, c: &Credential) -> Result<Self> {
        let (mut by_service, mut for_gap) = (Vec::new(), Vec::new());
        for one in tx.rotations_of(&c.org_id, &c.id)? {
            let calls = tx.rotation_calls(&one.id)?.into_iter();
            // Where both work side by side, one that was made and never served is missed by nobody.
            let told = calls.filter(|call| {
                one.way == Way::ShortGap
                    && matches!(call.call.as_str(), "set" | "create")
                    && call.state != CallState::Failed
            });
            by_service.extend(told.filter_map(|call| call.version));
            by_service.extend(one.new_version.filter(|_| one.promoted_at.is_some()));
            for_gap.extend(one.new_version.filter(|_| one.way == Way::ShortGap));
        }
        Ok(Self { by_service, for_gap })
    }
}

/// Whether the service was told the new value of `r` where old and new do not work side by side, or made it: then it takes
/// the old one no more, as far as anybody knows.
pub fn has_ended_the_old(tx: &Reader<'_>, r: &Rotation) -> Result<bool> {
    let told = |call: &RotationCall| {
        call.version == r.new_version
            && matches!(call.call.as_str(), "set" | "create")
            && call.state == CallState::Done
    };
    Ok(r.way == Way::ShortGap && tx.rotation_calls(&r.id)?.iter().any(told))
}

/// Whether the unserved value of `r` may be the only one that the service takes: then nothing destroys it but another one.
pub fn may_hold_the_only_value(tx: &Reader<'_>, c: &Credential, r: &Rotation) -> Result<bool> {
    Ok(match (r.way, r.finding, r.new_version) {
        (Way::ShortGap, Finding::Refused, Some(new)) => Held::of(tx, c)?.by_service.contains(&new),
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
