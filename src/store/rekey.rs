//! Rows that stand under an older key of their org, and moving them to the active one.
//!
//! What is left to do is what the database itself says, so a rotation that was killed goes on where it stopped.
//! Nothing here decrypts or changes what a row means: a moved row keeps its revision.
use super::entity::{Entity, canonical};
use super::link::Value;
use super::{Reader, Writer};
use crate::error::{Code, Error, Result, internal};
use crate::ids::OrgId;

/// A row under an older key.
pub struct Stale<T> {
    pub row: T,
    /// Whether its MAC fits under a key that still guards rows. An unsound row is not to be moved.
    pub is_sound: bool,
}

/// The column that names the org of a row.
fn org_column<T: Entity>() -> &'static str {
    if T::COLUMNS.contains(&"org_id") { "org_id" } else { "id" }
}

/// What tells a row that is not (wholly) under version `active`: its MAC starts with its key's version, and a
/// wrapped data key has its own. Another process may have saved the row anew and left the data key as it was.
fn stale_terms<T: Entity>(org: &OrgId, active: i64) -> Result<(String, Vec<Value>)> {
    let version = u32::try_from(active).map_err(|_| internal("the version of an org key is out of range"))?;
    let mut values = vec![Value::Text(org.0.clone()), Value::Blob(version.to_be_bytes().to_vec())];
    let mut terms = "substr(mac, 1, 4) <> $2".to_owned();
    if T::COLUMNS.contains(&"wrapped_key") {
        values.push(Value::Int(active));
        terms.push_str(" OR (length(wrapped_key) > 0 AND key_version <> $3)");
    }
    Ok((format!("{} = $1 AND ({terms})", org_column::<T>()), values))
}

/// `(a, b) > ($n, $m)` over the primary key of `T`, for going on after a row.
fn after_terms<T: Entity>(key: &[Value], values: &mut Vec<Value>) -> String {
    let places: Vec<_> = (0..T::KEYS).map(|n| format!("${}", values.len() + n + 1)).collect();
    values.extend_from_slice(key);
    format!("({}) > ({})", T::COLUMNS[..T::KEYS].join(", "), places.join(", "))
}

impl Reader<'_> {
    /// Up to `limit` rows of `org` that are not under its key `active`, in the order of the primary key, after the
    /// row with the key `after` (empty: from the first).
    pub fn stale<T: Entity>(
        &self,
        org: &OrgId,
        active: i64,
        after: &[Value],
        limit: usize,
    ) -> Result<Vec<Stale<T>>> {
        let (mut terms, mut values) = stale_terms::<T>(org, active)?;
        if !after.is_empty() {
            terms = format!("{terms} AND {}", after_terms::<T>(after, &mut values));
        }
        self.checked(&terms, &values, limit)
    }

    /// How many rows of `org` are not under its key `active`.
    pub fn count_stale<T: Entity>(&self, org: &OrgId, active: i64) -> Result<i64> {
        let (terms, values) = stale_terms::<T>(org, active)?;
        let sql = format!("SELECT count(*) FROM {} WHERE {terms}", T::TABLE);
        self.conn().query(&sql, &values)?.pop().map_or(Ok(0), |mut row| row.int())
    }

    /// How many rows of `T` the org has.
    pub fn count<T: Entity>(&self, org: &OrgId) -> Result<usize> {
        let sql = format!("SELECT count(*) FROM {} WHERE {} = $1", T::TABLE, org_column::<T>());
        let count = self
            .conn()
            .query(&sql, &[Value::Text(org.0.clone())])?
            .pop()
            .map_or(Ok(0), |mut row| row.int())?;
        Ok(usize::try_from(count).unwrap_or(0))
    }

    /// Visits every row of `org` with whether its MAC fits, in the order of the primary key.
    pub fn walk<T: Entity>(&self, org: &OrgId, mut visit: impl FnMut(Stale<T>) -> Result<()>) -> Result<()> {
        let mut after: Vec<Value> = Vec::new();
        loop {
            let mut values = vec![Value::Text(org.0.clone())];
            let mut terms = format!("{} = $1", org_column::<T>());
            if !after.is_empty() {
                terms = format!("{terms} AND {}", after_terms::<T>(&after, &mut values));
            }
            let page = self.checked::<T>(&terms, &values, 500)?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.row.to_values().drain(..T::KEYS).collect();
            page.into_iter().try_for_each(&mut visit)?;
        }
    }

    fn checked<T: Entity>(&self, terms: &str, values: &[Value], limit: usize) -> Result<Vec<Stale<T>>> {
        let columns = T::COLUMNS.join(", ");
        let keys = T::COLUMNS[..T::KEYS].join(", ");
        let sql = format!(
            "SELECT {columns}, revision, mac FROM {} WHERE {terms} ORDER BY {keys} LIMIT {limit}",
            T::TABLE
        );
        let read = |mut row: super::link::Row| {
            let entity = T::from_row(&mut row)?;
            let bytes = canonical(T::TABLE, entity.revision(), &entity.to_values());
            let is_sound = self.mac()?.row_ok(entity.org(), &bytes, &row.blob()?)?;
            Ok(Stale { row: entity, is_sound })
        };
        self.conn().query(&sql, values)?.into_iter().map(read).collect()
    }
}

impl Writer<'_> {
    /// Writes a row again under the active key, at the revision it has: for a rotation, which changes nothing that
    /// anybody could have read.
    pub fn restamp<T: Entity>(&mut self, entity: &T) -> Result<()> {
        let mut values = entity.to_values();
        let revision = entity.revision();
        let mac = self.mac()?.row(entity.org(), &canonical(T::TABLE, revision, &values))?;
        let column = |(name, n): (&&str, usize)| format!("{name} = ${n}");
        let set: Vec<_> = T::COLUMNS.iter().zip(1..).skip(T::KEYS).map(column).collect();
        let key: Vec<_> = T::COLUMNS[..T::KEYS].iter().zip(1..).map(column).collect();
        let n = values.len();
        values.extend([Value::Blob(mac), Value::Int(revision)]);
        let sql = format!(
            "UPDATE {} SET {}, mac = ${} WHERE {} AND revision = ${}",
            T::TABLE,
            set.join(", "),
            n + 1,
            key.join(" AND "),
            n + 2
        );
        match self.conn().execute(&sql, &values)? {
            1 => Ok(()),
            _ => Err(Error::new(Code::Changed, format!("the {} was changed meanwhile", T::TABLE))),
        }
    }
}
