//! The program's parts, built once: store, vault, catalogue, clock.
use crate::clock::{Clock, Millis, SystemClock};
use crate::config::{self, Config};
use crate::error::{Code, Error, Result};
use crate::ids::{self, CredentialId, OrgId, SlotId};
use crate::model::suspicion::Detector;
use crate::rotation::{Drivers, drivers};
use crate::secret::Secret;
use crate::services::client::Outbound;
use crate::services::wire::Wire;
use crate::services::{Catalogue, Servers};
use crate::store::{Mac, OrgKeyRecord, SlotRecord, Store};
use crate::vault::{KeyState, OrgKeyRow, SlotKind, SlotRow, Unlocking, Vault};
use futures_util::future::BoxFuture;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock, RwLock};
use tokio::sync::broadcast;

/// How many changes wait for a slow listener; older ones are lost to it.
const MOST_CHANGES: usize = 256;

/// A credential whose state is another than before.
#[derive(Clone, Debug)]
pub struct Change {
    pub org: OrgId,
    pub credential: CredentialId,
}

/// Everything an operation can reach.
pub struct App {
    pub config: Config,
    pub store: Store,
    pub keys: Arc<Keys>,
    pub catalogue: &'static Catalogue,
    /// The MCP servers that are known.
    pub servers: &'static Servers,
    pub detector: Detector,
    pub clock: Arc<dyn Clock>,
    /// Requests to OAuth providers.
    pub wire: Wire,
    /// Told of each credential whose state changed without anybody asking; who listens may show it anew.
    pub changes: broadcast::Sender<Change>,
    /// What serves the pages where people enter values, in a process that has such a thing.
    pub pages: OnceLock<Arc<dyn Pages>>,
    /// What rotates values at services by itself.
    pub drivers: Arc<Drivers>,
}

/// The pages as operations see them: a port, for what serves them stands above.
pub trait Pages: Send + Sync {
    /// Where they are reached, as `http://127.0.0.1:8740`; starts what serves them if need be.
    fn base(&self) -> BoxFuture<'_, Result<String>>;
    /// The code that shows a visitor of this link to be its asker. `None` where visitors sign in.
    fn code(&self, link: &str) -> Option<String>;
    /// Where the browser comes back to after a consent, where this process serves such a page.
    fn callback(&self) -> Option<String>;
    /// Where a browser is sent off from that will come back to `redirect_uri`, as `http://127.0.0.1:8740`. Fails where
    /// nothing of ours can listen there.
    fn come_back<'a>(&'a self, _redirect_uri: &'a str) -> BoxFuture<'a, Result<String>> {
        Box::pin(async { Err(crate::error::invalid("nothing of ours listens there")) })
    }
    /// Where people sign in to decide what was asked for, where this process serves such pages.
    fn approvals(&self) -> Option<String> {
        None
    }
}

/// Opens the vault again with these slots, asking nobody.
type Reopen = Box<dyn Fn(&[SlotRow]) -> Result<Vault> + Send + Sync>;

/// The open vault, replaced as a whole when another process rotated the root key.
pub struct Keys {
    vault: RwLock<Arc<Vault>>,
    epoch: AtomicI64,
    reopen: Reopen,
}

impl Keys {
    pub fn vault(&self) -> Arc<Vault> {
        self.vault.read().unwrap_or_else(|e| e.into_inner()).clone()
    }

    /// Takes over a vault that this process itself has just changed and committed.
    pub fn replace(&self, vault: Arc<Vault>, epoch: i64) {
        *self.vault.write().unwrap_or_else(|e| e.into_inner()) = vault;
        self.epoch.store(epoch, Ordering::SeqCst);
    }
}

impl Mac for Keys {
    fn row(&self, org: &OrgId, canonical: &[u8]) -> Result<Vec<u8>> {
        self.vault().row_mac(org, canonical)
    }
    fn row_ok(&self, org: &OrgId, canonical: &[u8], mac: &[u8]) -> Result<bool> {
        self.vault().row_mac_ok(org, canonical, mac)
    }
    fn audit(&self, org: &OrgId, canonical: &[u8]) -> Result<Vec<u8>> {
        self.vault().audit_mac(org, canonical)
    }
    fn audit_ok(&self, org: &OrgId, canonical: &[u8], mac: &[u8]) -> Result<bool> {
        self.vault().audit_mac_ok(org, canonical, mac)
    }
    fn sign(&self, org: &OrgId, bytes: &[u8]) -> Result<Vec<u8>> {
        self.vault().sign_checkpoint(org, bytes)
    }
    fn signed_ok(&self, org: &OrgId, bytes: &[u8], signature: &[u8]) -> Result<bool> {
        self.vault().checkpoint_ok(org, bytes, signature)
    }
    fn epoch(&self) -> i64 {
        self.epoch.load(Ordering::SeqCst)
    }
    fn reload(&self, epoch: i64, slots: &[SlotRecord], keys: &[OrgKeyRecord]) -> Result<()> {
        // A read that began before the last change sees the rows of before it: what is loaded opens those too.
        if epoch < self.epoch() {
            return Ok(());
        }
        let keys: Vec<_> = keys.iter().map(org_key_row).collect::<Result<_>>()?;
        let mut vault = self.vault();
        let rotated = keys.iter().any(|key| key.root_version != vault.root_version());
        if rotated {
            let slots: Vec<_> = slots.iter().map(slot_row).collect::<Result<_>>()?;
            vault = Arc::new((self.reopen)(&slots).map_err(|e| {
                Error::new(Code::KeyChanged, "the root key was rotated, and cannot be opened again here")
                    .because(e)
            })?);
        }
        vault.load_org_keys(&keys)?;
        self.replace(vault, epoch);
        Ok(())
    }
}

pub fn slot_row(r: &SlotRecord) -> Result<SlotRow> {
    Ok(SlotRow {
        id: r.id.clone(),
        kind: SlotKind::parse(&r.kind)
            .ok_or_else(|| Error::new(Code::Integrity, "an unlock method is of a kind there is not"))?,
        label: r.label.clone(),
        config: r.config.clone(),
        wrapped: r.wrapped.clone(),
        root_version: r.root_version,
        created_at: r.created_at,
        mac: r.mac.clone(),
    })
}

pub fn slot_record(r: &SlotRow) -> SlotRecord {
    SlotRecord {
        id: r.id.clone(),
        kind: r.kind.as_str().into(),
        label: r.label.clone(),
        config: r.config.clone(),
        wrapped: r.wrapped.clone(),
        root_version: r.root_version,
        created_at: r.created_at,
        mac: r.mac.clone(),
    }
}

pub fn org_key_row(r: &OrgKeyRecord) -> Result<OrgKeyRow> {
    Ok(OrgKeyRow {
        org: r.org.clone(),
        version: r.version,
        state: KeyState::parse(&r.state)
            .ok_or_else(|| Error::new(Code::Integrity, "an org key is in a state there is not"))?,
        root_version: r.root_version,
        wrapped: r.wrapped.clone(),
        created_at: r.created_at,
    })
}

pub fn org_key_record(r: &OrgKeyRow) -> OrgKeyRecord {
    OrgKeyRecord {
        org: r.org.clone(),
        version: r.version,
        state: r.state.as_str().into(),
        root_version: r.root_version,
        wrapped: r.wrapped.clone(),
        created_at: r.created_at,
    }
}

/// Asks a person at the terminal for a passphrase; `None` where there is no terminal.
pub type Prompt = Option<fn(&str) -> Result<Secret>>;

impl App {
    /// Opens the vault of this configuration. Never asks anybody unless `prompt` is given.
    ///
    /// Fails with `not_initialised`, `store_…`, `key_…` or `vault_locked`.
    pub fn open(config: Config, prompt: Prompt) -> Result<Self> {
        Self::open_with(config, Arc::new(SystemClock), prompt)
    }

    /// As [`App::open`], with the clock handed in.
    pub fn open_with(config: Config, clock: Arc<dyn Clock>, prompt: Prompt) -> Result<Self> {
        let store = Store::begin(&config.places.database(), clock.clone())?;
        let Some(instance) = store.meta("instance")? else {
            return Err(Error::new(Code::NotInitialised, "the vault was begun and not finished")
                .next("Run `unsaid init` again: it goes on where it stopped."));
        };
        let (epoch, slots, org_keys) = store.keys()?;
        let slots: Vec<_> = slots.iter().map(slot_row).collect::<Result<_>>()?;
        let vault = unlock(&config, &instance, &slots, prompt)?;
        let org_keys: Vec<_> = org_keys.iter().map(org_key_row).collect::<Result<_>>()?;
        vault.load_org_keys(&org_keys)?;
        store.ready()?;
        Ok(Self::assemble(config, store, clock, vault, instance, epoch))
    }

    /// Puts the parts together over an open vault, which becomes the store's MAC port.
    pub fn assemble(
        config: Config,
        store: Store,
        clock: Arc<dyn Clock>,
        vault: Vault,
        instance: String,
        epoch: i64,
    ) -> Self {
        let for_reopening = config.clone();
        let keys = Arc::new(Keys {
            vault: RwLock::new(Arc::new(vault)),
            epoch: AtomicI64::new(epoch),
            reopen: Box::new(move |slots| unlock(&for_reopening, &instance, slots, None)),
        });
        store.unlock(keys.clone());
        let catalogue = catalogue(&config);
        let servers = servers(&config, catalogue);
        let outbound = outbound(&config);
        Self {
            drivers: Arc::new(drivers::all(&config.file.rotation, catalogue, &outbound, clock.clone())),
            wire: Wire::new(outbound),
            detector: Detector::new(move || catalogue.known_shapes().map(str::to_owned).collect()),
            config,
            store,
            keys,
            catalogue,
            servers,
            clock,
            changes: broadcast::channel(MOST_CHANGES).0,
            pages: OnceLock::new(),
        }
    }

    /// Tells whoever listens that a credential's state is another.
    pub fn changed(&self, org: &OrgId, credential: &CredentialId) {
        // Where nobody listens there is nobody to tell.
        let _ = self.changes.send(Change { org: org.clone(), credential: credential.clone() });
    }

    /// The callback address of OAuth clients, where this process serves one.
    pub fn callback(&self) -> Option<String> {
        self.pages.get().and_then(|pages| pages.callback())
    }

    pub fn vault(&self) -> Arc<Vault> {
        self.keys.vault()
    }
    pub fn now(&self) -> Millis {
        self.clock.now()
    }

    /// The outbound client of the configuration.
    pub fn outbound(&self) -> Outbound {
        outbound(&self.config)
    }
}

/// What the configuration says of connections that we make ourselves.
pub fn outbound(config: &Config) -> Outbound {
    let config::Outbound { allow, ca_file, proxy } = config.file.outbound.clone();
    Outbound { allow, ca_file, proxy, ..Outbound::default() }
}

/// Unlocks with what the configuration allows.
pub fn unlock(config: &Config, instance: &str, slots: &[SlotRow], prompt: Prompt) -> Result<Vault> {
    with_unlocking(config, prompt, |by| Vault::unlock(instance, slots, by))
}

/// Lends the configured way of unlocking to `work`.
pub fn with_unlocking<T>(
    config: &Config,
    prompt: Prompt,
    work: impl FnOnce(&Unlocking<'_>) -> Result<T>,
) -> Result<T> {
    let asking = prompt.map(|ask| move |text: &str| ask(text));
    let mut by = Unlocking::new(&config.places.data);
    by.prompt = asking.as_ref().map(|ask| ask as &dyn Fn(&str) -> Result<Secret>);
    by.command = (!config.file.key.command.is_empty()).then_some(&config.file.key.command[..]);
    work(&by)
}

fn catalogue(config: &Config) -> &'static Catalogue {
    match &config.file.catalogue.folder {
        None => Catalogue::embedded(),
        Some(folder) => match Catalogue::with_folder(folder) {
            // One for the life of the process.
            Ok(merged) => Box::leak(Box::new(merged)),
            Err(e) => {
                tracing::warn!(
                    code = e.code.name(),
                    message = e.message(),
                    "the own catalogue folder is not used"
                );
                Catalogue::embedded()
            }
        },
    }
}

/// Where a user's own definitions of MCP servers are, if there are any.
pub fn servers_folder(config: &Config) -> std::path::PathBuf {
    config.file.catalogue.servers.clone().unwrap_or_else(|| config.places.config.join("servers"))
}

fn servers(config: &Config, catalogue: &Catalogue) -> &'static Servers {
    let folder = servers_folder(config);
    if !folder.is_dir() {
        return Servers::embedded();
    }
    match Servers::with_folder(&folder, catalogue) {
        // One for the life of the process.
        Ok(merged) => Box::leak(Box::new(merged)),
        Err(e) => {
            tracing::warn!(code = e.code.name(), message = e.message(), "the own servers folder is not used");
            Servers::embedded()
        }
    }
}

/// A fresh instance id.
pub fn fresh_instance() -> String {
    ids::fresh()
}

/// Names the slot with this id or label.
pub fn slot_named<'a>(slots: &'a [SlotRow], name: &str) -> Result<&'a SlotRow> {
    slots
        .iter()
        .find(|slot| slot.id == SlotId::from(name) || slot.label == name || slot.kind.as_str() == name)
        .ok_or_else(|| Error::new(Code::SlotNotFound, "there is no such unlock method"))
}
