//! A new key for an org, while everybody goes on working.
//!
//! ```text
//! begin   one transaction: a new version is active, the old one retiring; every process follows the key epoch
//! move    batches of 100: each row's MAC and wrapped data key under the new version
//! finish  one transaction: nothing is left, so the old version only checks old audit entries
//! ```
//! What is left to move is what the database says, so a kill at any point is followed by the same command. No value is
//! opened: a data key is wrapped anew, what it sealed stays. A row that was changed outside unsaid is not given a sound
//! MAC: it is named, and the old key is kept until somebody has dealt with it.
use super::keys::forget_old_pages;
use super::tables::{every_remade_table, every_table};
use crate::app::{App, org_key_record, org_key_row};
use crate::error::{Code, Error, Result};
use crate::ids::OrgId;
use crate::model::access::{Caller, Grant};
use crate::model::approval::Approval;
use crate::model::canary::{Canary, CanaryAlert};
use crate::model::connection::{Connection, Consent};
use crate::model::consumer::{Binding, Consumer, ConsumerToken};
use crate::model::credential::{Credential, Version};
use crate::model::entry::EntryLink;
use crate::model::event::{Event, Outcome};
use crate::model::hygiene::kept::{Acceptance, Fingerprint, KeptReport};
use crate::model::notice::{Notice, Warning};
use crate::model::org::{Membership, Org, Team, User};
use crate::model::probe::{Ending, Probe};
use crate::model::provider::Provider;
use crate::model::rotation::{
    Campaign, Rotation, RotationAdvice, RotationCall, RotationConsumer, RotationPolicy,
};
use crate::model::token::Token;
use crate::ops::connection::consent_context;
use crate::ops::credential::sealing::key_context;
use crate::ops::provider::{key_context as provider_context, next_context};
use crate::ops::{people_only, reach};
use crate::store::entity::Entity;
use crate::store::{Reader, Value};
use crate::vault::{KeyState, OrgKeyRow, Vault};
use std::time::Duration;

const BATCH: usize = 100;
/// Rows that are saved while a pass goes on are found by the next; more passes than this mean that something is wrong.
const MOST_PASSES: usize = 50;
/// How many of the newest versions are opened before the old key is given up.
const SAMPLE: usize = 50;

/// How long the old key outlives the last batch: for reads and hand-overs that began before it.
pub const GRACE: Duration = Duration::from_secs(1);

const NAME: &str = "key_rotate_org";

/// What a rotation did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OrgRotated {
    pub from: Vec<i64>,
    pub to: i64,
    /// Rows that were put under the new key by this run.
    pub rows: i64,
    /// It went on where an earlier one was stopped.
    pub is_resumed: bool,
}

/// Gives the caller's org a new key, or finishes a rotation that was begun.
///
/// Fails with `integrity_failure`, naming the first, where rows were changed outside unsaid; all others are moved then.
pub async fn rotate_org(app: &App, caller: &Caller, grace: Duration) -> Result<OrgRotated> {
    people_only(caller)?;
    let mut done = begin(app, caller).await?;
    for _ in 0..MOST_PASSES {
        let mut unsound = Vec::new();
        done.rows += pass(app, caller, done.to, &mut unsound).await?;
        if let Some(first) = unsound.first() {
            return Err(Error::new(
                Code::Integrity,
                format!("{} rows were changed outside unsaid and are not moved, the first is {first}", unsound.len()),
            )
            .next("Restore them from a backup or remove them, then run `unsaid key rotate --org-key` again; the old key is kept until then."));
        }
        open_sample(app, caller).await?;
        tokio::time::sleep(grace).await;
        match finish(app, caller, done.to, done.rows).await {
            Ok(()) => {
                forget_old_pages(app);
                return Ok(done);
            }
            // Something was saved by a process that had sealed it before it knew of the new key.
            Err(e) if e.code == Code::Changed => continue,
            Err(e) => return Err(e),
        }
    }
    Err(Error::new(Code::StoreBusy, "rows under the old key keep coming")
        .next("Run `unsaid key rotate --org-key` again."))
}

fn keys_of(tx: &Reader<'_>, org: &OrgId) -> Result<Vec<OrgKeyRow>> {
    tx.org_keys()?.iter().filter(|key| key.org == *org).map(org_key_row).collect()
}

async fn begin(app: &App, caller: &Caller) -> Result<OrgRotated> {
    let (by, keys) = (caller.clone(), app.keys.clone());
    let org = caller.org.clone();
    app.store
        .write(caller, move |tx| {
            reach::admin(tx, &by)?;
            let rows = keys_of(tx, &org)?;
            let active = rows.iter().find(|key| key.state == KeyState::Active).cloned();
            let active = active.ok_or_else(|| Error::new(Code::Integrity, "the org has no active key"))?;
            let retiring: Vec<_> =
                rows.iter().filter(|key| key.state == KeyState::Retiring).map(|key| key.version).collect();
            if !retiring.is_empty() {
                let begun = OrgRotated { from: retiring, to: active.version, rows: 0, is_resumed: true };
                return tx
                    .record_step(Event::of(NAME).ended(Outcome::Started, "").with("resumed", true), begun);
            }
            let vault = keys.vault();
            let to = rows.iter().map(|key| key.version).max().unwrap_or(0) + 1;
            tx.save_org_key(&org_key_record(&vault.org_key_in_state(&active, KeyState::Retiring)?))?;
            tx.save_org_key(&org_key_record(&vault.new_org_key(&org, to, tx.now())?))?;
            tx.bump_key_epoch()?;
            let event =
                Event::of(NAME).ended(Outcome::Started, "").with("from", active.version).with("to", to);
            tx.record_step(event, OrgRotated { from: vec![active.version], to, rows: 0, is_resumed: false })
        })
        .await
}

/// One pass over every table with MACs. Returns how many rows were moved.
async fn pass(app: &App, caller: &Caller, to: i64, unsound: &mut Vec<String>) -> Result<i64> {
    let mut moved = 0;
    macro_rules! each {
        ($($table:ty),* $(,)?) => { $( moved += table::<$table>(app, caller, to, unsound).await?; )* };
    }
    every_table!(each);
    forget_hygiene(app, caller, to).await?;
    Ok(moved)
}

/// Removes fingerprints and reports of an older key: they are made anew from what there is, when a report next asks.
async fn forget_hygiene(app: &App, caller: &Caller, to: i64) -> Result<()> {
    let org = caller.org.clone();
    let is_none = move |tx: &Reader<'_>| {
        Ok(tx.count_stale::<Fingerprint>(&org, to)? + tx.count_stale::<KeptReport>(&org, to)? == 0)
    };
    if app.store.read(is_none).await? {
        return Ok(());
    }
    let org = caller.org.clone();
    app.store
        .write(caller, move |tx| {
            let removed = tx.forget_older_hygiene(&org, to)?;
            tx.record_step(
                Event::of(NAME).with("step", "forget").with("table", "fingerprint").with("rows", removed),
                (),
            )
        })
        .await
}

async fn table<T: Moves>(app: &App, caller: &Caller, to: i64, unsound: &mut Vec<String>) -> Result<i64> {
    let mut moved = 0;
    let mut after: Vec<Value> = Vec::new();
    loop {
        let (org, from) = (caller.org.clone(), after.clone());
        // A look first: an empty batch would leave an event that says nothing.
        if app.store.read(move |tx| tx.stale::<T>(&org, to, &from, 1).map(|found| found.is_empty())).await? {
            return Ok(moved);
        }
        let (org, from, keys) = (caller.org.clone(), after, app.keys.clone());
        let (count, bad, last) = app
            .store
            .write(caller, move |tx| {
                let vault = keys.vault();
                let (mut count, mut bad, mut last) = (0, Vec::new(), from.clone());
                for mut found in tx.stale::<T>(&org, to, &from, BATCH)? {
                    last = found.row.to_values().drain(..T::KEYS).collect();
                    let key_moved = found.is_sound.then(|| found.row.move_key(tx, &vault));
                    match key_moved {
                        Some(Ok(())) => {
                            tx.restamp(&found.row)?;
                            count += 1;
                        }
                        Some(Err(e)) if !is_damage(e.code) => return Err(e),
                        _ => bad.push(format!("{} {}", T::TABLE, name_of(&last))),
                    }
                }
                let event = Event::of(NAME).with("step", "move").with("table", T::TABLE).with("rows", count);
                tx.record_step(event.with("unsound", bad.len()), (count, bad, last))
            })
            .await?;
        moved += count;
        unsound.extend(bad);
        after = last;
    }
}

/// Whether the row itself is at fault, and not the moment.
fn is_damage(code: Code) -> bool {
    matches!(code, Code::Integrity | Code::BadEnvelope | Code::KeyUnknown)
}

fn name_of(key: &[Value]) -> String {
    let parts = key.iter().map(|part| match part {
        Value::Text(text) => text.as_str(),
        _ => "?",
    });
    parts.collect::<Vec<_>>().join("/")
}

/// A row whose data key, if it has one, can be wrapped anew.
trait Moves: Entity {
    fn move_key(&mut self, _tx: &Reader<'_>, _vault: &Vault) -> Result<()> {
        Ok(())
    }
}

impl Moves for Org {}
impl Moves for User {}
impl Moves for Team {}
impl Moves for Membership {}
impl Moves for Credential {}
impl Moves for Grant {}
impl Moves for Probe {}
impl Moves for Ending {}
impl Moves for Warning {}
impl Moves for Notice {}
impl Moves for Approval {}
impl Moves for Token {}
impl Moves for EntryLink {}
impl Moves for Connection {}
impl Moves for Consumer {}
impl Moves for Binding {}
impl Moves for ConsumerToken {}
impl Moves for Canary {}
impl Moves for CanaryAlert {}
impl Moves for Acceptance {}
impl Moves for Rotation {}
impl Moves for RotationConsumer {}
impl Moves for RotationCall {}
impl Moves for Campaign {}
impl Moves for RotationPolicy {}
impl Moves for RotationAdvice {}

impl Moves for Consent {
    fn move_key(&mut self, _: &Reader<'_>, vault: &Vault) -> Result<()> {
        if self.wrapped_key.is_empty() {
            return Ok(());
        }
        if let Some(wrapped) =
            vault.rewrap_data_key(&consent_context(vault.instance(), self), &self.wrapped_key)?
        {
            self.wrapped_key = wrapped;
        }
        self.key_version = vault.active_version(&self.org_id)?;
        Ok(())
    }
}

impl Moves for Version {
    fn move_key(&mut self, tx: &Reader<'_>, vault: &Vault) -> Result<()> {
        if self.wrapped_key.is_empty() {
            return Ok(());
        }
        let credential = tx.find_credential(&self.org_id, &self.credential_id)?;
        let credential =
            credential.ok_or_else(|| Error::new(Code::Integrity, "a version has no credential"))?;
        let context = key_context(vault.instance(), &credential, self);
        if let Some(wrapped) = vault.rewrap_data_key(&context, &self.wrapped_key)? {
            self.wrapped_key = wrapped;
        }
        self.key_version = vault.active_version(&self.org_id)?;
        Ok(())
    }
}

impl Moves for Provider {
    fn move_key(&mut self, _: &Reader<'_>, vault: &Vault) -> Result<()> {
        if self.wrapped_key.is_empty() {
            return Ok(());
        }
        if let Some(wrapped) =
            vault.rewrap_data_key(&provider_context(vault.instance(), self), &self.wrapped_key)?
        {
            self.wrapped_key = wrapped;
        }
        self.key_version = vault.active_version(&self.org_id)?;
        if !self.next_wrapped_key.is_empty() {
            let next =
                vault.rewrap_data_key(&next_context(vault.instance(), self), &self.next_wrapped_key)?;
            if let Some(wrapped) = next {
                self.next_wrapped_key = wrapped;
            }
            self.next_key_version = self.key_version;
        }
        Ok(())
    }
}

/// Opens data keys of the newest versions, so that the old key is not given up on a promise.
async fn open_sample(app: &App, caller: &Caller) -> Result<()> {
    let (org, keys) = (caller.org.clone(), app.keys.clone());
    app.store
        .read(move |tx| {
            let vault = keys.vault();
            let rest =
                format!("WHERE org_id = $1 AND length(wrapped_key) > 0 ORDER BY id DESC LIMIT {SAMPLE}");
            for version in tx.select::<Version>(&rest, &[Value::Text(org.0.clone())])? {
                let Some(credential) = tx.find_credential(&org, &version.credential_id)? else { continue };
                vault.open_data_key(
                    &key_context(vault.instance(), &credential, &version),
                    &version.wrapped_key,
                )?;
            }
            Ok(())
        })
        .await
}

/// Gives the old key up if nothing is left under it; `changed_meanwhile` otherwise.
async fn finish(app: &App, caller: &Caller, to: i64, rows: i64) -> Result<()> {
    let (org, keys) = (caller.org.clone(), app.keys.clone());
    app.store
        .write(caller, move |tx| {
            let mut left = 0;
            macro_rules! each {
                ($($table:ty),* $(,)?) => { $( left += tx.count_stale::<$table>(&org, to)?; )* };
            }
            every_table!(each);
            every_remade_table!(each);
            if left > 0 {
                return Err(Error::new(Code::Changed, format!("{left} rows are under the old key still")));
            }
            let vault = keys.vault();
            for key in keys_of(tx, &org)?.iter().filter(|key| key.state == KeyState::Retiring) {
                tx.save_org_key(&org_key_record(&vault.org_key_in_state(key, KeyState::VerifyOnly)?))?;
            }
            tx.bump_key_epoch()?;
            tx.record_step(Event::of(NAME).with("step", "finish").with("to", to).with("rows", rows), ())
        })
        .await
}
