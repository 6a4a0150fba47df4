//! One database, one writer, and no commit without an audit row.
//!
//! Nothing here decrypts: this module sees sealed bytes and ids. The MACs it needs come through a narrow port.
mod audit;
mod canaries;
mod care;
mod connections;
mod consumers;
mod credentials;
mod echoes;
pub mod entity;
mod hygiene;
mod keys;
mod lane;
mod link;
mod migrate;
mod orgs;
mod place;
mod rekey;
mod requests;
mod rotations;
#[cfg(test)]
mod tests;
mod tickets;

pub use audit::{AuditFilter, Checkpoint, Verified};
pub use care::{BackupRow, Wal};
pub use credentials::{ListFilter, Place, Usage};
pub use hygiene::UsedBy;
pub use keys::{OrgKeyRecord, SlotRecord};
pub use link::{Value, sqlite_version};
pub use place::{check_folder, check_place, make_folder};
pub use rekey::Stale;
pub use rotations::RotationFilter;

use crate::clock::{Clock, Millis};
use crate::error::{Code, Error, Result};
use crate::ids::OrgId;
use crate::model::access::Caller;
use lane::{Job, ReadLanes, WriteLane};
use link::Conn;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use tokio::sync::oneshot;

/// What the store lets somebody else compute, so that keys stay in the vault.
pub trait Mac: Send + Sync {
    /// MAC of a row (opaque bytes that name their key).
    fn row(&self, org: &OrgId, canonical: &[u8]) -> Result<Vec<u8>>;
    /// Whether `mac` is the row's MAC, in constant time.
    fn row_ok(&self, org: &OrgId, canonical: &[u8], mac: &[u8]) -> Result<bool>;
    fn audit(&self, org: &OrgId, canonical: &[u8]) -> Result<Vec<u8>>;
    fn audit_ok(&self, org: &OrgId, canonical: &[u8], mac: &[u8]) -> Result<bool>;
    /// Signature of a checkpoint (Ed25519).
    fn sign(&self, org: &OrgId, bytes: &[u8]) -> Result<Vec<u8>>;
    fn signed_ok(&self, org: &OrgId, bytes: &[u8], signature: &[u8]) -> Result<bool>;
    /// The epoch of the keys it holds; see [`Mac::reload`].
    fn epoch(&self) -> i64;
    /// Another process changed keys: take these rows over.
    fn reload(&self, epoch: i64, slots: &[SlotRecord], keys: &[OrgKeyRecord]) -> Result<()>;
}

/// The port as lanes hold it: empty until the vault is open.
#[derive(Clone)]
pub(crate) struct Port {
    mac: Arc<OnceLock<Arc<dyn Mac>>>,
    clock: Arc<dyn Clock>,
}

impl Port {
    fn mac(&self) -> Result<&dyn Mac> {
        match self.mac.get() {
            Some(mac) => Ok(mac.as_ref()),
            None => Err(Error::new(Code::VaultLocked, "the vault is locked")),
        }
    }

    /// Follows a key rotation by another process, inside the transaction that has just begun.
    fn refresh(&self, conn: &Conn) -> Result<()> {
        let Some(mac) = self.mac.get() else { return Ok(()) };
        let epoch = keys::epoch(conn)?;
        if epoch != mac.epoch() {
            mac.reload(epoch, &keys::slots(conn)?, &keys::org_keys(conn)?)?;
        }
        Ok(())
    }
}

/// An open store.
pub struct Store {
    path: PathBuf,
    port: Port,
    writer: WriteLane,
    readers: ReadLanes,
}

/// Queries. Every write transaction can also read.
pub struct Reader<'t> {
    conn: &'t Conn,
    port: &'t Port,
}

impl<'t> Reader<'t> {
    pub(crate) fn new(conn: &'t Conn, port: &'t Port) -> Self {
        Self { conn, port }
    }
    pub(crate) fn conn(&self) -> &'t Conn {
        self.conn
    }
    pub(crate) fn mac(&self) -> Result<&'t dyn Mac> {
        self.port.mac()
    }
    pub fn now(&self) -> Millis {
        self.port.clock.now()
    }
}

/// A write transaction in progress. It commits only by way of [`Writer::record`].
pub struct Writer<'t> {
    read: Reader<'t>,
    caller: Option<Caller>,
    heads: HashMap<OrgId, audit::Head>,
    /// Orgs that this transaction made, whose log begins here.
    made_orgs: Vec<OrgId>,
}

/// Proof that the change carried in it has its audit row.
///
/// ```compile_fail,E0308
/// # async fn f(store: unsaid::store::Store, caller: unsaid::model::access::Caller) {
/// store.write(&caller, |tx| Ok(())).await; // nothing recorded: does not compile
/// # }
/// ```
/// ```compile_fail,E0423
/// let forged = unsaid::store::Recorded(());
/// ```
pub struct Recorded<T>(T);

impl<'t> std::ops::Deref for Writer<'t> {
    type Target = Reader<'t>;
    fn deref(&self) -> &Reader<'t> {
        &self.read
    }
}

impl<'t> Writer<'t> {
    pub(crate) fn new(read: Reader<'t>) -> Self {
        Self { read, caller: None, heads: HashMap::new(), made_orgs: Vec::new() }
    }
    pub(crate) fn serve(&mut self, caller: &Caller) {
        self.caller = Some(caller.clone());
    }
    pub(crate) fn caller(&self) -> &Caller {
        self.caller.as_ref().expect("a job is served for a caller")
    }
    pub(crate) fn heads_saved(&self) -> HashMap<OrgId, audit::Head> {
        self.heads.clone()
    }
    pub(crate) fn restore_heads(&mut self, heads: HashMap<OrgId, audit::Head>) {
        self.heads = heads;
    }
}

impl Store {
    /// Makes a new database at `path`, which must not exist, in a folder of ours.
    pub fn create(path: &Path, clock: Arc<dyn Clock>) -> Result<Self> {
        place::create_file(path)?;
        let conn = Conn::open(path, true)?;
        migrate::bring_up(&conn, path)?;
        Self::over(conn, path, clock)
    }

    /// Opens the database at `path`; an older one is backed up and migrated first.
    pub fn open(path: &Path, clock: Arc<dyn Clock>) -> Result<Self> {
        let store = Self::begin(path, clock)?;
        store.ready()?;
        Ok(store)
    }

    /// As [`Store::open`], but the writer's connection opens beside what the caller does next: see [`Store::ready`].
    pub fn begin(path: &Path, clock: Arc<dyn Clock>) -> Result<Self> {
        check_place(path)?;
        // A journal that a kill left in the middle of making the vault is rolled back by a writer only.
        let looked = Conn::open(path, false).and_then(|conn| Ok(migrate::is_current(&conn)?.then_some(conn)));
        let current = match looked {
            Err(e) if e.code == Code::StoreReadOnly => None,
            looked => looked?,
        };
        if let Some(conn) = current {
            let written = path.to_owned();
            return Self::with(path, clock, Some(conn), move || Conn::open(&written, true));
        }
        let conn = Conn::open(path, true)?;
        migrate::bring_up(&conn, path)?;
        Self::over(conn, path, clock)
    }

    /// Over a connection that may write.
    fn over(conn: Conn, path: &Path, clock: Arc<dyn Clock>) -> Result<Self> {
        Self::with(path, clock, None, move || Ok(conn))
    }

    fn with(
        path: &Path,
        clock: Arc<dyn Clock>,
        here: Option<Conn>,
        writer: impl FnOnce() -> Result<Conn> + Send + 'static,
    ) -> Result<Self> {
        let port = Port { mac: Arc::new(OnceLock::new()), clock };
        Ok(Self {
            path: path.to_owned(),
            readers: ReadLanes::new(path.to_owned(), port.clone(), 2, here),
            writer: WriteLane::start(writer, port.clone())?,
            port,
        })
    }

    /// Waits until it can be written too, so that no store is half open. Fails as opening it does.
    pub fn ready(&self) -> Result<()> {
        self.writer.ready()
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Hands the vault's MACs in; once.
    pub fn unlock(&self, mac: Arc<dyn Mac>) {
        // A second unlock of an open store changes nothing.
        let _ = self.port.mac.set(mac);
    }

    /// For processes that are started all the time: who opens the vault first reads the whole log, so keep it short.
    pub fn keep_log_short(&self) {
        self.writer.keep_log_short();
    }

    /// Runs `run` in a read transaction of its own.
    pub async fn read<T: Send + 'static>(
        &self,
        run: impl FnOnce(&Reader<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.readers.run(run).await
    }

    /// As [`Store::read`], for reads of a millisecond at most: done on the calling thread, which saves waking another.
    pub async fn read_here<T: Send + 'static>(
        &self,
        run: impl FnOnce(&Reader<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.readers.run_here(run).await
    }

    /// Runs `run` in one transaction and commits what it recorded; any error rolls all of it back.
    ///
    /// The answer comes after the commit is on disk. Fails with `store_busy` where too much is waiting.
    pub async fn write<T: Send + 'static>(
        &self,
        caller: &Caller,
        run: impl FnOnce(&mut Writer<'_>) -> Result<Recorded<T>> + Send + 'static,
    ) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        self.writer.submit(Box::new(Job { work: Some(run), caller: caller.clone(), result: None, reply }))?;
        answer.await.unwrap_or_else(|_| Err(crate::error::internal("the store's thread is gone")))
    }

    /// A blocking look at the key tables, before the vault is open.
    pub fn keys(&self) -> Result<(i64, Vec<SlotRecord>, Vec<OrgKeyRecord>)> {
        self.readers.look(|conn| Ok((keys::epoch(conn)?, keys::slots(conn)?, keys::org_keys(conn)?)))
    }

    /// A setting of the database itself, such as `instance`; readable before the vault is open.
    pub fn meta(&self, name: &str) -> Result<Option<String>> {
        self.readers.look(|conn| keys::meta(conn, name))
    }

    /// Writes the log back into the database and empties it, so that overwritten and removed rows are gone from disk.
    ///
    /// `false`: another process that reads right now keeps a part alive until the next time; that is no error.
    pub async fn forget_old_pages(&self) -> Result<bool> {
        let path = self.path.clone();
        let work = tokio::task::spawn_blocking(move || Conn::open(&path, true)?.checkpoint());
        match work.await {
            Ok(done) => done,
            Err(e) => Err(crate::error::internal("the store's maintenance stopped").because(e)),
        }
    }

    /// A connection of its own for maintenance (backup, checks, checkpoint). Blocks.
    pub(crate) fn maintenance(&self) -> Result<Conn> {
        Conn::open(&self.path, true)
    }
}
