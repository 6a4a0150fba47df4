//! The way back in with the recovery code, on this machine or on a clean one (K-26).
//!
//! The code opens the vault once and leaves a new way in behind; it stays valid itself.
use super::keys::{self, SlotView};
use super::source::KeySource;
use crate::app::{App, Prompt, org_key_row, slot_record, slot_row, with_unlocking};
use crate::clock::Clock;
use crate::config::{Config, Identity};
use crate::error::{Code, Error, Result};
use crate::model::access::{Caller, Door};
use crate::model::event::Event;
use crate::model::org::{Role, User};
use crate::secret::Secret;
use crate::store::{Reader, Store};
use crate::vault::{SlotRow, Vault};
use std::sync::Arc;

/// What recovery left behind.
#[derive(Clone, Debug)]
pub struct Recovered {
    pub slot: SlotView,
    pub warning: Option<&'static str>,
    /// Dead ways in that the new one replaced.
    pub replaced: usize,
    /// The login of the admin that this command line now acts as.
    pub login: String,
}

/// Opens the vault of `config` with its recovery code, without any other slot.
pub fn open(config: Config, clock: Arc<dyn Clock>, code: &Secret) -> Result<App> {
    let store = Store::open(&config.places.database(), clock.clone())?;
    let Some(instance) = store.meta("instance")? else {
        return Err(Error::new(Code::NotInitialised, "there is no finished vault here"));
    };
    let (epoch, slots, org_keys) = store.keys()?;
    let slots: Vec<_> = slots.iter().map(slot_row).collect::<Result<_>>()?;
    let vault = Vault::unlock_with_recovery(&instance, &slots, code)?;
    let org_keys: Vec<_> = org_keys.iter().map(org_key_row).collect::<Result<_>>()?;
    vault.load_org_keys(&org_keys)?;
    Ok(App::assemble(config, store, clock, vault, instance, epoch))
}

/// Opens the vault with its recovery code and adds a new way in, as `source` says. The configuration gets an identity
/// if it has none that exists.
///
/// Fails with `invalid_input` on a slip in the code, `vault_locked` for a code of another vault or of before the last
/// rotation of the root key, and as the source does; then nothing was changed.
pub async fn recover(
    config: Config,
    clock: Arc<dyn Clock>,
    code: &Secret,
    source: &KeySource,
    login: &str,
    prompt: Prompt,
) -> Result<(App, Recovered)> {
    let mut app = open(config, clock, code)?;
    let admin = app
        .store
        .read({
            let (identity, login) = (app.config.file.identity.clone(), login.to_owned());
            move |tx| local_admin(tx, &identity, &login)
        })
        .await?;
    let caller = Caller::new(admin.org_id.clone(), admin.id.clone(), Door::Cli);
    let (epoch, slots) = app.store.read(|tx| Ok((tx.key_epoch()?, tx.slots()?))).await?;
    let slots: Vec<_> = slots.iter().map(slot_row).collect::<Result<_>>()?;
    let vault = app.vault();
    let added = with_unlocking(&app.config, prompt, |by| {
        let chosen = source.slot(&app.config, vault.instance(), true, by, prompt)?;
        let label = chosen.slot.kind().as_str();
        vault.add_slot(chosen.slot, label, by, app.now())
    })?;
    // A slot with the same settings reads the same secret, and that did not open the vault: it is dead.
    let same = |slot: &&SlotRow| slot.kind == added.row.kind && slot.config == added.row.config;
    let dead: Vec<_> = slots.iter().filter(same).map(|slot| slot.id.clone()).collect();
    let (row, replaced) = (slot_record(&added.row), dead.len());
    app.store
        .write(&caller, move |tx| {
            keys::expect_epoch(tx.key_epoch()?, epoch)?;
            for id in &dead {
                tx.remove_slot(id)?;
            }
            tx.save_slot(&row)?;
            let event = Event::of("key_recover").about("slot", row.id.as_str(), &row.label);
            tx.record(event.with("kind", row.kind.clone()).with("replaced", dead.len()), ())
        })
        .await?;
    let identity = Identity { org: admin.org_id.0.clone(), user: admin.id.0.clone() };
    if app.config.file.identity != identity {
        app.config.file.identity = identity;
        app.config.save()?;
    }
    Ok((
        app,
        Recovered { slot: keys::view(&added.row), warning: added.warning, replaced, login: admin.login },
    ))
}

/// Whom the holder of the keys acts as: the configured person if they are an admin, else the admin with this login, else
/// the only admin there is.
///
/// Fails with `user_not_found` where that leaves a choice: somebody must make it in the configuration.
pub fn local_admin(tx: &Reader<'_>, identity: &Identity, login: &str) -> Result<User> {
    let mut admins = Vec::new();
    for org in tx.orgs()? {
        admins.extend(
            tx.users(&org.id)?.into_iter().filter(|u| u.role == Role::Admin && u.disabled_at.is_none()),
        );
    }
    let configured = |u: &User| u.id.as_str() == identity.user && u.org_id.as_str() == identity.org;
    if let Some(at) = admins.iter().position(configured) {
        return Ok(admins.swap_remove(at));
    }
    if admins.iter().filter(|u| u.login == login).count() == 1 {
        admins.retain(|u| u.login == login);
    }
    match admins.len() {
        1 => Ok(admins.swap_remove(0)),
        n => {
            Err(Error::new(Code::UserNotFound, format!("there are {n} admins, and none is named as you are"))
                .next("Write the org's and the user's id into `[identity]` of unsaid.toml."))
        }
    }
}
