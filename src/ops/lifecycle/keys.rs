//! The ways into the vault: what there are, one more, one less, and a new root key under all of them.
//!
//! Each change is one transaction with its event. Nothing here touches a value: slots wrap the root key, the root key
//! wraps the keys of orgs. The last way in, and a keyring without a recovery code, are never taken away.
use super::recovery::{self, Keep, Kept};
use super::source::{self, KeySource};
use crate::app::{
    App, Prompt, org_key_record, org_key_row, slot_named, slot_record, slot_row, with_unlocking,
};
use crate::clock::Millis;
use crate::error::{Code, Error, Result, invalid};
use crate::model::access::Caller;
use crate::model::event::Event;
use crate::ops::{people_only, reach};
use crate::vault::{KeyState, NewSlot, SlotKind, SlotRow, guarantee, may_remove};

/// More ways in than this are a mistake.
const MOST_SLOTS: usize = 8;

/// One way in.
#[derive(Clone, Debug, serde::Serialize)]
pub struct SlotView {
    pub id: String,
    pub kind: &'static str,
    pub label: String,
    /// Where its secret is.
    pub place: String,
    /// What it is worth, in a sentence.
    pub worth: &'static str,
    pub created_at: Millis,
}

/// One version of an org's key.
#[derive(Clone, Debug, serde::Serialize)]
pub struct OrgKeyView {
    pub org: String,
    pub version: i64,
    pub state: &'static str,
    pub created_at: Millis,
}

#[derive(Clone, Debug, serde::Serialize)]
pub struct KeyStatus {
    pub root_version: i64,
    pub slots: Vec<SlotView>,
    pub has_recovery_code: bool,
    pub org_keys: Vec<OrgKeyView>,
    /// A rotation of an org's key was begun and not finished.
    pub is_rotation_open: bool,
    /// How the keys of this process are kept in memory.
    pub memory: &'static str,
}

/// What there is. Only admins see the ways in.
pub async fn status(app: &App, caller: &Caller) -> Result<KeyStatus> {
    people_only(caller)?;
    let asking = caller.clone();
    let (slots, keys) = app
        .store
        .read(move |tx| {
            reach::admin(tx, &asking)?;
            Ok((tx.slots()?, tx.org_keys()?))
        })
        .await?;
    let slots: Vec<_> = slots.iter().map(slot_row).collect::<Result<_>>()?;
    let keys: Vec<_> = keys.iter().map(org_key_row).collect::<Result<_>>()?;
    Ok(KeyStatus {
        root_version: app.vault().root_version(),
        has_recovery_code: slots.iter().any(|slot| slot.kind == SlotKind::Recovery),
        slots: slots.iter().map(view).collect(),
        is_rotation_open: keys.iter().any(|key| key.state == KeyState::Retiring),
        org_keys: keys
            .iter()
            .map(|key| OrgKeyView {
                org: key.org.0.clone(),
                version: key.version,
                state: key.state.as_str(),
                created_at: key.created_at,
            })
            .collect(),
        memory: guarantee().sentence(),
    })
}

pub(super) fn view(slot: &SlotRow) -> SlotView {
    SlotView {
        id: slot.id.0.clone(),
        kind: slot.kind.as_str(),
        label: slot.label.clone(),
        place: source::place(slot),
        worth: source::worth(slot.kind),
        created_at: slot.created_at,
    }
}

/// What `add` is to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NewWay {
    Source(KeySource),
    /// A recovery code; the one there was opens nothing any more.
    Recovery,
}

/// A way in that was added.
#[derive(Clone, Debug)]
pub struct Added {
    pub slot: SlotView,
    pub warning: Option<&'static str>,
    pub recovery: Kept,
    /// Ways in that went with it: the recovery code before this one.
    pub replaced: usize,
}

/// Adds a way in. `keep` is where a recovery code goes.
///
/// Fails with `needs_terminal` where a code has nobody to take it, `already_exists` where the same way is there, and as the
/// source does.
pub async fn add(
    app: &App,
    caller: &Caller,
    way: NewWay,
    label: Option<&str>,
    keep: Keep<'_>,
    prompt: Prompt,
) -> Result<Added> {
    let (slots, epoch) = ways(app, caller).await?;
    let is_recovery = |slot: &&SlotRow| slot.kind == SlotKind::Recovery;
    let has_recovery = slots.iter().any(|slot| is_recovery(&slot));
    if way == NewWay::Recovery && !keep.is_possible() {
        return Err(no_one_to_take_it(
            "a recovery code is shown once, and there is no terminal to show it on",
        ));
    }
    recovery::check(&keep, &app.config.places.data)?;
    let vault = app.vault();
    let now = app.now();
    let added = with_unlocking(&app.config, prompt, |by| {
        let new = match &way {
            NewWay::Recovery => NewSlot::Recovery,
            NewWay::Source(source) => {
                source.slot(&app.config, vault.instance(), has_recovery || slots.len() > 1, by, prompt)?.slot
            }
        };
        let label =
            label.unwrap_or(if way == NewWay::Recovery { "recovery code" } else { new.kind().as_str() });
        if label.is_empty() || label.chars().count() > 40 || label.chars().any(char::is_control) {
            return Err(invalid("a label has 1 to 40 characters"));
        }
        vault.add_slot(new, label, by, now)
    })?;
    let same = |slot: &SlotRow| slot.kind == added.row.kind && slot.config == added.row.config;
    if added.row.kind != SlotKind::Recovery && slots.iter().any(same) {
        return Err(Error::new(Code::AlreadyExists, "this way into the vault is there already")
            .next("Run `unsaid key status` to see the ways in."));
    }
    let replaced: Vec<_> = match way {
        NewWay::Recovery => slots.iter().filter(is_recovery).map(|slot| slot.id.clone()).collect(),
        NewWay::Source(_) => Vec::new(),
    };
    if slots.len() + 1 - replaced.len() > MOST_SLOTS {
        return Err(Error::new(Code::HasDependents, format!("there are {MOST_SLOTS} ways into this vault"))
            .next("Remove one that is not used with `unsaid key remove`."));
    }
    let kept = match &added.recovery_code {
        Some(code) => recovery::give(code, &keep, vault.instance(), &app.config.places.data)?,
        None => Kept::Nowhere,
    };
    let (row, gone) = (slot_record(&added.row), replaced.clone());
    let committed = app
        .store
        .write(caller, {
            let caller = caller.clone();
            move |tx| {
                reach::admin(tx, &caller)?;
                expect_epoch(tx.key_epoch()?, epoch)?;
                for id in &gone {
                    tx.remove_slot(id)?;
                }
                tx.save_slot(&row)?;
                let event = Event::of("key_add").about("slot", row.id.as_str(), &row.label);
                tx.record(event.with("kind", row.kind.clone()).with("replaced", gone.len()), ())
            }
        })
        .await;
    if let Err(e) = committed {
        recovery::undo(&kept);
        return Err(e);
    }
    Ok(Added { slot: view(&added.row), warning: added.warning, recovery: kept, replaced: replaced.len() })
}

/// Takes a way in away, by id, label or kind.
///
/// Fails with `last_slot` where no sound way would be left, and `ambiguous_name` where two fit.
pub async fn remove(app: &App, caller: &Caller, name: &str) -> Result<SlotView> {
    people_only(caller)?;
    let (by, name) = (caller.clone(), name.to_owned());
    let slot = app
        .store
        .write(caller, move |tx| {
            reach::admin(tx, &by)?;
            let slots: Vec<_> = tx.slots()?.iter().map(slot_row).collect::<Result<_>>()?;
            let slot = slot_named(&slots, &name)?.clone();
            let alike = |s: &&SlotRow| s.label == name || s.kind.as_str() == name;
            if slot.id.as_str() != name && slots.iter().filter(alike).count() > 1 {
                return Err(Error::new(Code::AmbiguousName, "more than one way in has this name")
                    .next("Name it by its id, as `unsaid key status` shows it."));
            }
            may_remove(&slots, &slot.id)?;
            tx.remove_slot(&slot.id)?;
            let event = Event::of("key_remove").about("slot", slot.id.as_str(), &slot.label);
            tx.record(event.with("kind", slot.kind.as_str()), view(&slot))
        })
        .await?;
    forget_old_pages(app);
    Ok(slot)
}

/// A new root key.
#[derive(Clone, Debug)]
pub struct RootRotated {
    pub root_version: i64,
    pub kept: Vec<SlotView>,
    /// Ways in that could not be read now, and why: they are gone.
    pub dropped: Vec<(SlotView, String)>,
    pub recovery: Kept,
    pub org_keys: usize,
}

/// Makes a new root key under the same ways in: every slot and every org key is wrapped again, in one transaction.
/// A recovery code is replaced by a new one.
///
/// Fails with `has_dependents`, naming them, where a way in cannot be read now and `drop_unreadable` does not give it up;
/// `needs_terminal` where a new recovery code has nobody to take it; `changed_meanwhile` if keys moved meanwhile.
pub async fn rotate_root(
    app: &App,
    caller: &Caller,
    keep: Keep<'_>,
    drop_unreadable: bool,
    prompt: Prompt,
) -> Result<RootRotated> {
    let (slots, epoch) = ways(app, caller).await?;
    let org_keys = app.store.read(|tx| tx.org_keys()).await?;
    let org_keys: Vec<_> = org_keys.iter().map(org_key_row).collect::<Result<_>>()?;
    if slots.iter().any(|slot| slot.kind == SlotKind::Recovery) && !keep.is_possible() {
        return Err(no_one_to_take_it(
            "a new root key makes a new recovery code, and there is no terminal to show it on",
        ));
    }
    recovery::check(&keep, &app.config.places.data)?;
    let vault = app.vault();
    let rotated =
        with_unlocking(&app.config, prompt, |by| vault.rotate_root(&slots, &org_keys, by, app.now()))?;
    let dropped: Vec<_> =
        rotated.dropped.iter().map(|d| (view(&d.slot), d.why.message().to_owned())).collect();
    let lost: Vec<_> = rotated
        .dropped
        .iter()
        .filter(|d| d.slot.kind != SlotKind::Recovery)
        .map(|d| format!("{} ({})", d.slot.label, d.why.message()))
        .collect();
    if !lost.is_empty() && !drop_unreadable {
        return Err(Error::new(
            Code::HasDependents,
            format!("these ways in cannot be read now and would open nothing any more: {}", lost.join("; ")),
        )
        .next("Make them readable, or give them up with `--drop-unreadable`."));
    }
    let kept = match &rotated.new_recovery_code {
        Some(code) => recovery::give(code, &keep, vault.instance(), &app.config.places.data)?,
        None => Kept::Nowhere,
    };
    let (version, count) = (rotated.root_version, rotated.org_keys.len());
    let new_slots: Vec<_> = rotated.slots.iter().map(slot_record).collect();
    let new_keys: Vec<_> = rotated.org_keys.iter().map(org_key_record).collect();
    let (by, gone) = (caller.clone(), dropped.len());
    let committed = app
        .store
        .write(caller, move |tx| {
            reach::admin(tx, &by)?;
            expect_epoch(tx.key_epoch()?, epoch)?;
            for slot in tx.slots()? {
                tx.remove_slot(&slot.id)?;
            }
            for slot in &new_slots {
                tx.save_slot(slot)?;
            }
            for key in &new_keys {
                tx.save_org_key(key)?;
            }
            let epoch = tx.bump_key_epoch()?;
            let event = Event::of("key_rotate_root").with("root_version", version).with("org_keys", count);
            tx.record(event.with("slots", new_slots.len()).with("dropped", gone), epoch)
        })
        .await;
    match committed {
        Ok(epoch) => {
            vault.adopt(rotated.root);
            app.keys.replace(vault, epoch);
        }
        Err(e) => {
            recovery::undo(&kept);
            return Err(e);
        }
    }
    forget_old_pages(app);
    Ok(RootRotated {
        root_version: version,
        kept: rotated.slots.iter().map(view).collect(),
        dropped,
        recovery: kept,
        org_keys: count,
    })
}

/// Every slot, and the key epoch they belong to, for an admin.
async fn ways(app: &App, caller: &Caller) -> Result<(Vec<SlotRow>, i64)> {
    people_only(caller)?;
    let asking = caller.clone();
    let (slots, epoch) = app
        .store
        .read(move |tx| {
            reach::admin(tx, &asking)?;
            Ok((tx.slots()?, tx.key_epoch()?))
        })
        .await?;
    Ok((slots.iter().map(slot_row).collect::<Result<_>>()?, epoch))
}

/// A slot wraps one root: made for another, it would open nothing.
pub(super) fn expect_epoch(now: i64, then: i64) -> Result<()> {
    match now == then {
        true => Ok(()),
        false => Err(Error::new(Code::Changed, "the keys were changed by another process meanwhile")
            .next("Run the command again.")),
    }
}

/// What was overwritten must not stay in the log. Another process's reader may be in the way: then a later one does it.
pub(super) fn forget_old_pages(app: &App) {
    match app.store.checkpoint() {
        Ok(true) => {}
        Ok(false) => tracing::info!("the log could not be emptied now; a later checkpoint does it"),
        Err(e) => tracing::warn!(code = e.code.name(), "the log could not be emptied"),
    }
}

fn no_one_to_take_it(why: &'static str) -> Error {
    Error::new(Code::NeedsTerminal, why).next("Run it in a terminal, or give `--recovery-file PATH`.")
}
