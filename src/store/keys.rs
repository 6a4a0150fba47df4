//! The key tables: unlock slots and wrapped org keys. They protect themselves, so no row MAC is needed to read them.
use super::link::{Conn, Row, Value};
use super::{Reader, Writer};
use crate::clock::Millis;
use crate::error::Result;
use crate::ids::{OrgId, SlotId};

/// One way to unlock the root key, as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct SlotRecord {
    pub id: SlotId,
    pub kind: String,
    pub label: String,
    /// JSON, no secret.
    pub config: String,
    pub wrapped: Vec<u8>,
    pub root_version: i64,
    pub created_at: Millis,
    pub mac: Vec<u8>,
}

/// One version of an org's key, wrapped under the root key.
#[derive(Clone, Debug, PartialEq)]
pub struct OrgKeyRecord {
    pub org: OrgId,
    pub version: i64,
    pub state: String,
    pub root_version: i64,
    pub wrapped: Vec<u8>,
    pub created_at: Millis,
}

pub(crate) fn meta(conn: &Conn, name: &str) -> Result<Option<String>> {
    let mut rows = conn.query("SELECT value FROM meta WHERE name = $1", &[Value::Text(name.into())])?;
    rows.pop().map(|mut row| row.text()).transpose()
}

/// Counts key changes; a process compares it with what it has loaded.
pub(crate) fn epoch(conn: &Conn) -> Result<i64> {
    Ok(meta(conn, "key_epoch")?.and_then(|text| text.parse().ok()).unwrap_or(0))
}

pub(crate) fn slots(conn: &Conn) -> Result<Vec<SlotRecord>> {
    let sql = "SELECT id, kind, label, config, wrapped, root_version, created_at, mac FROM slot ORDER BY created_at, id";
    let read = |mut r: Row| {
        Ok(SlotRecord {
            id: SlotId(r.text()?),
            kind: r.text()?,
            label: r.text()?,
            config: r.text()?,
            wrapped: r.blob()?,
            root_version: r.int()?,
            created_at: Millis(r.int()?),
            mac: r.blob()?,
        })
    };
    conn.query(sql, &[])?.into_iter().map(read).collect()
}

pub(crate) fn org_keys(conn: &Conn) -> Result<Vec<OrgKeyRecord>> {
    let sql = "SELECT org_id, version, state, root_version, wrapped, created_at FROM org_key ORDER BY org_id, version";
    let read = |mut r: Row| {
        Ok(OrgKeyRecord {
            org: OrgId(r.text()?),
            version: r.int()?,
            state: r.text()?,
            root_version: r.int()?,
            wrapped: r.blob()?,
            created_at: Millis(r.int()?),
        })
    };
    conn.query(sql, &[])?.into_iter().map(read).collect()
}

impl Reader<'_> {
    pub fn meta(&self, name: &str) -> Result<Option<String>> {
        meta(self.conn(), name)
    }
    pub fn slots(&self) -> Result<Vec<SlotRecord>> {
        slots(self.conn())
    }
    pub fn org_keys(&self) -> Result<Vec<OrgKeyRecord>> {
        org_keys(self.conn())
    }
    pub fn key_epoch(&self) -> Result<i64> {
        epoch(self.conn())
    }
}

impl Writer<'_> {
    pub fn set_meta(&mut self, name: &str, value: &str) -> Result<()> {
        let sql = "INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
        self.conn().execute(sql, &[Value::Text(name.into()), Value::Text(value.into())])?;
        Ok(())
    }

    /// Tells every process that keys changed. Returns the new epoch.
    pub fn bump_key_epoch(&mut self) -> Result<i64> {
        let next = self.key_epoch()? + 1;
        self.set_meta("key_epoch", &next.to_string())?;
        Ok(next)
    }

    pub fn save_slot(&mut self, slot: &SlotRecord) -> Result<()> {
        self.conn().execute(
            "INSERT INTO slot (id, kind, label, config, wrapped, root_version, created_at, mac) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (id) DO UPDATE SET label = excluded.label, \
             config = excluded.config, wrapped = excluded.wrapped, root_version = excluded.root_version, mac = excluded.mac",
            &[
                Value::Text(slot.id.0.clone()),
                Value::Text(slot.kind.clone()),
                Value::Text(slot.label.clone()),
                Value::Text(slot.config.clone()),
                Value::Blob(slot.wrapped.clone()),
                Value::Int(slot.root_version),
                Value::Int(slot.created_at.0),
                Value::Blob(slot.mac.clone()),
            ],
        )?;
        Ok(())
    }

    pub fn remove_slot(&mut self, id: &SlotId) -> Result<()> {
        self.conn().execute("DELETE FROM slot WHERE id = $1", &[Value::Text(id.0.clone())])?;
        Ok(())
    }

    pub fn save_org_key(&mut self, key: &OrgKeyRecord) -> Result<()> {
        self.conn().execute(
            "INSERT INTO org_key (org_id, version, state, root_version, wrapped, created_at) \
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (org_id, version) DO UPDATE SET state = excluded.state, \
             root_version = excluded.root_version, wrapped = excluded.wrapped",
            &[
                Value::Text(key.org.0.clone()),
                Value::Int(key.version),
                Value::Text(key.state.clone()),
                Value::Int(key.root_version),
                Value::Blob(key.wrapped.clone()),
                Value::Int(key.created_at.0),
            ],
        )?;
        Ok(())
    }
}
