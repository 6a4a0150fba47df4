//! Makes a vault: folders, database, keys, an org and its first admin.
//!
//! One transaction turns the database into a vault. Whatever a kill leaves before it is a folder, a key file or an empty
//! database, which the next `init` uses; after it, `init` says `already_initialised`. It never makes a root key over rows
//! that exist (K-22), never asks without a terminal, and falls back to nothing weaker than it says.
use super::recovery::{self, Keep, Kept};
use super::source::{self, KeySource};
use crate::app::{App, Prompt, fresh_instance, org_key_record, slot_record, with_unlocking};
use crate::clock::Clock;
use crate::config::{Config, Identity};
use crate::error::{Code, Error, Result};
use crate::ids::{OrgId, UserId};
use crate::model::access::{Caller, Door};
use crate::model::event::Event;
use crate::model::org::{Org, Role, SharingPlan, User};
use crate::model::text::DisplayName;
use crate::store::{Store, make_folder};
use crate::vault::{NewSlot, SlotKind, Vault};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long one `init` waits for another on the same folder.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a person wants of their new vault.
#[derive(Clone, Debug)]
pub struct Init {
    pub org: String,
    /// The login of the first admin, as the operating system calls them.
    pub login: String,
    pub display_name: String,
    pub key: KeySource,
}

/// What was made.
#[derive(Clone, Debug)]
pub struct Initialised {
    pub instance: String,
    pub org: OrgId,
    pub user: UserId,
    pub login: String,
    pub unlock: SlotKind,
    /// Where the key is.
    pub place: String,
    /// Why this way of unlocking.
    pub why: String,
    pub warning: Option<&'static str>,
    pub recovery: Kept,
    pub database: PathBuf,
    pub config: PathBuf,
}

/// Makes the vault of `config`, and hands it back open.
///
/// Fails with `already_initialised`, `store_corrupt` over rows of another vault, `store_insecure` for the folders, as the
/// chosen key source does, and with what `keep` says where a person did not take the recovery code. Then it is no vault.
pub async fn init(
    mut config: Config,
    clock: Arc<dyn Clock>,
    request: Init,
    keep: Keep<'_>,
    prompt: Prompt,
) -> Result<(App, Initialised)> {
    let name = DisplayName::parse(&request.org)?.to_string();
    let login = DisplayName::parse(&request.login)?.to_string();
    let display_name = DisplayName::parse(&request.display_name)?.to_string();
    make_folder(&config.places.data)?;
    make_folder(&config.places.config)?;
    recovery::check(&keep, &config.places.data)?;
    let _alone = alone_in(&config.places.data).await?;
    let store = open_or_create(&config.places.database(), clock.clone())?;
    let instance = store.begin_vault(&fresh_instance())?;
    recovery::clear_leftover(&keep, &instance)?;

    let vault = Vault::create(&instance)?;
    let now = clock.now();
    let (main, why) = with_unlocking(&config, prompt, |by| {
        let chosen = request.key.slot(&config, &instance, keep.is_possible(), by, prompt)?;
        let label = chosen.slot.kind().as_str();
        Ok((vault.add_slot(chosen.slot, label, by, now)?, chosen.why))
    })?;
    let mut slots = vec![slot_record(&main.row)];
    let mut recovery = Kept::Nowhere;
    if keep.is_possible() {
        let added =
            with_unlocking(&config, None, |by| vault.add_slot(NewSlot::Recovery, "recovery code", by, now))?;
        let code =
            added.recovery_code.ok_or_else(|| crate::error::internal("a recovery slot has no code"))?;
        recovery = recovery::give(&code, &keep, &instance, &config.places.data)?;
        slots.push(slot_record(&added.row));
    }

    let mut org = Org {
        id: OrgId::fresh(),
        name,
        sharing_plan: SharingPlan::MultiTeam,
        bin_days: 30,
        warn_days: 14,
        created_at: now,
        revision: 0,
    };
    let mut user = User {
        id: UserId::fresh(),
        org_id: org.id.clone(),
        login: login.clone(),
        display_name,
        role: Role::Admin,
        created_at: now,
        disabled_at: None,
        revision: 0,
    };
    let org_key = vault.new_org_key(&org.id, 1, now)?;
    vault.load_org_keys(std::slice::from_ref(&org_key))?;
    // The file comes first: an identity without its vault is overwritten by the next `init`, a vault without its
    // owner's identity would have to be asked for.
    config.file.identity = Identity { org: org.id.0.clone(), user: user.id.0.clone() };
    let made = Initialised {
        instance: instance.clone(),
        org: org.id.clone(),
        user: user.id.clone(),
        login,
        unlock: main.row.kind,
        place: source::place(&main.row),
        why,
        warning: main.warning,
        recovery,
        database: config.places.database(),
        config: config.places.file(),
    };
    let caller = Caller::new(org.id.clone(), user.id.clone(), Door::Cli);
    let saved = config.save();
    let app = App::assemble(config, store, clock, vault, instance.clone(), 0);
    let committed = match saved {
        Err(e) => Err(e),
        Ok(()) => {
            let unlock = made.unlock.as_str();
            let write = app.store.write(&caller, move |tx| {
                for slot in &slots {
                    tx.save_slot(slot)?;
                }
                tx.save_org_key(&org_key_record(&org_key))?;
                tx.insert(&mut org)?;
                tx.insert(&mut user)?;
                tx.set_meta("instance", &instance)?;
                let event = Event::of("init").about("vault", &instance, &org.name);
                tx.record(event.with("unlock", unlock).with("recovery_code", slots.len() > 1), ())
            });
            write.await
        }
    };
    match committed {
        Ok(()) => Ok((app, made)),
        Err(e) => {
            recovery::undo(&made.recovery);
            Err(e)
        }
    }
}

/// The database, made if it is not there. An empty one is what a killed `init` left.
fn open_or_create(path: &Path, clock: Arc<dyn Clock>) -> Result<Store> {
    match Store::create(path, clock.clone()) {
        Err(e) if e.code == Code::AlreadyInitialised => Store::open(path, clock),
        made => made,
    }
}

/// Holds the folder for one `init` at a time (P-14). The lock goes with the process, however it ends.
async fn alone_in(folder: &Path) -> Result<File> {
    use rustix::fs::{FlockOperation, flock};
    let failed = |e: std::io::Error| {
        Error::new(Code::StoreInsecure, format!("{} cannot be locked", folder.display())).because(e)
    };
    let file = File::open(folder).map_err(failed)?;
    let began = Instant::now();
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(rustix::io::Errno::WOULDBLOCK) if began.elapsed() < PATIENCE => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(Error::new(Code::StoreBusy, "another `unsaid init` is at work in this folder")
                    .next("Finish it, or end it, then run `unsaid init` again."));
            }
            Err(e) => return Err(failed(e.into())),
        }
    }
}
