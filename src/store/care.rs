//! Looking after the database as a whole: its beginning, its checks, its images, and the list of its backups.
//!
//! Nothing here opens the database through the file system: images and checks go through a connection.
use super::link::{Value, companions};
use super::{Reader, Store, Writer, migrate, place};
use crate::clock::Millis;
use crate::error::{Code, Error, Result};
use crate::ids::{BackupId, OrgId};
use std::path::Path;

/// Tables whose rows a backup counts, so that a restored one can be compared.
const COUNTED: [&str; 14] = [
    "slot",
    "org_key",
    "org",
    "user",
    "team",
    "membership",
    "credential",
    "version",
    "field",
    "access_grant",
    "provider",
    "approval",
    "audit",
    "checkpoint",
];

/// One finished backup.
#[derive(Clone, Debug, PartialEq)]
pub struct BackupRow {
    pub id: BackupId,
    pub at: Millis,
    pub org: OrgId,
    /// The last event of the org's audit chain that the backup holds.
    pub seq: i64,
    /// `passphrase`, or the age recipient.
    pub sealed_to: String,
}

/// The write-ahead log beside the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wal {
    pub size_bytes: u64,
}

impl Store {
    /// The id that a vault which is being made here goes by: the one of an earlier attempt that did not finish, or
    /// `fresh`. It is no vault before its `instance` is set.
    ///
    /// Fails with `already_initialised` where there is a vault, and with `store_corrupt` where rows are left of one
    /// whose id is gone: no new root key is made over them (K-22).
    pub fn begin_vault(&self, fresh: &str) -> Result<String> {
        let conn = self.maintenance()?;
        conn.begin(true)?;
        let begun = || {
            if super::keys::meta(&conn, "instance")?.is_some() {
                return Err(Error::new(Code::AlreadyInitialised, "there is a vault here already"));
            }
            for table in COUNTED {
                if !conn.query(&format!("SELECT 1 FROM {table} LIMIT 1"), &[])?.is_empty() {
                    return Err(Error::new(
                        Code::StoreCorrupt,
                        "the database holds rows of a vault whose id is gone, and no new one is made over them",
                    ));
                }
            }
            conn.execute(
                "INSERT INTO meta (name, value) VALUES ('begun', $1) ON CONFLICT (name) DO NOTHING",
                &[Value::Text(fresh.into())],
            )?;
            Ok(super::keys::meta(&conn, "begun")?.unwrap_or_else(|| fresh.to_owned()))
        };
        let id = begun().inspect_err(|_| conn.rollback())?;
        conn.commit()?;
        Ok(id)
    }

    /// Copies a consistent image of the database to the new file `to`, 0600, while others go on writing.
    pub fn image(&self, to: &Path) -> Result<()> {
        place::create_file(to)?;
        self.maintenance()?.image(to)
    }

    /// Reads an image of this store, with this store's keys.
    pub fn look_into<T>(&self, image: &Path, read: impl FnOnce(&Reader<'_>) -> Result<T>) -> Result<T> {
        let conn = super::link::Conn::open(image, true)?;
        conn.begin(false)?;
        let found = read(&Reader::new(&conn, &self.port));
        conn.rollback();
        found
    }

    /// `ok`, or what SQLite's own check found first.
    pub fn integrity(&self, thorough: bool) -> Result<String> {
        self.maintenance()?.check(thorough)
    }

    /// The run-time settings that are relied on, as name and value.
    pub fn profile(&self) -> Result<Vec<(&'static str, String)>> {
        self.maintenance()?.profile()
    }

    /// The number of the schema the database has.
    pub fn schema(&self) -> Result<i64> {
        migrate::schema_version(&self.maintenance()?)
    }

    /// Writes the log back and empties it, so that overwritten rows are gone from the disk. `false` where a reader
    /// of another process was in the way.
    pub fn checkpoint(&self) -> Result<bool> {
        self.maintenance()?.checkpoint()
    }

    /// The log's size; zero where there is none.
    pub fn wal(&self) -> Wal {
        let [log, _] = companions(self.path());
        Wal { size_bytes: std::fs::symlink_metadata(log).map_or(0, |found| found.len()) }
    }
}

impl Reader<'_> {
    /// How many rows each table of a backup has.
    pub fn row_counts(&self) -> Result<Vec<(String, i64)>> {
        let count = |table: &str| {
            let mut found = self.conn().query(&format!("SELECT count(*) FROM {table}"), &[])?;
            Ok((table.to_owned(), found.pop().map_or(Ok(0), |mut row| row.int())?))
        };
        COUNTED.into_iter().map(count).collect()
    }

    /// The newest backup of this vault, whoever made it.
    pub fn last_backup(&self) -> Result<Option<BackupRow>> {
        let sql = "SELECT id, at, org_id, seq, sealed_to FROM backup ORDER BY at DESC, id DESC LIMIT 1";
        let Some(mut row) = self.conn().query(sql, &[])?.pop() else { return Ok(None) };
        Ok(Some(BackupRow {
            id: BackupId(row.text()?),
            at: Millis(row.int()?),
            org: OrgId(row.text()?),
            seq: row.int()?,
            sealed_to: row.text()?,
        }))
    }

    /// When the newest event of any org was written, as the writer's clock had it.
    pub fn last_event_at(&self) -> Result<Option<Millis>> {
        let sql = "SELECT a.at FROM audit_head h JOIN audit a ON a.org_id = h.org_id AND a.seq = h.seq \
                   ORDER BY a.at DESC LIMIT 1";
        self.conn().query(sql, &[])?.pop().map(|mut row| row.int().map(Millis)).transpose()
    }
}

impl Writer<'_> {
    pub fn put_backup(&mut self, row: &BackupRow) -> Result<()> {
        self.conn().execute(
            "INSERT INTO backup (id, at, org_id, seq, sealed_to) VALUES ($1, $2, $3, $4, $5)",
            &[
                Value::Text(row.id.0.clone()),
                Value::Int(row.at.0),
                Value::Text(row.org.0.clone()),
                Value::Int(row.seq),
                Value::Text(row.sealed_to.clone()),
            ],
        )?;
        Ok(())
    }

    /// Forgets every kept answer: after a restore, an old key must not answer for what never happened here.
    pub fn forget_answers(&mut self) -> Result<()> {
        self.conn().execute("DELETE FROM idempotency", &[])?;
        Ok(())
    }
}
