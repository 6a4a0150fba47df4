//! Rows that carry authority: each has a revision and a MAC over all its columns.
//!
//! A row whose MAC does not fit is unusable: it fails with `integrity_failure` and is never repaired.
use super::link::{Conn, Row, Value, wrong_type};
use super::{Reader, Writer};
use crate::clock::Millis;
use crate::error::{Code, Error, Result};
use crate::ids::*;
use crate::model::Word;

/// A struct that is one row of one table. The first `KEYS` columns are the primary key.
pub trait Entity: Sized + Send + 'static {
    const TABLE: &'static str;
    const KEYS: usize;
    const COLUMNS: &'static [&'static str];
    /// The statements of this table, written once.
    fn sql() -> &'static Statements;
    fn org(&self) -> &OrgId;
    fn revision(&self) -> i64;
    fn set_revision(&mut self, revision: i64);
    fn to_values(&self) -> Vec<Value>;
    fn from_row(row: &mut Row) -> Result<Self>;
    /// The answer that the connection has kept. Only what every call reads again is kept.
    fn recall(_: &Conn, _: &[u8]) -> Option<Vec<Self>> {
        None
    }
    fn keep(_: &Conn, _: Vec<u8>, _: &[Self]) {}
    /// Whether [`Entity::keep`] keeps it.
    const IS_KEPT: bool = false;
}

/// What is said to the database about one table.
pub struct Statements {
    /// `SELECT` and `FROM` of a statement whose rows are this table's entities.
    pub select: String,
    find: String,
    insert: String,
    save: String,
    remove: String,
}

impl Statements {
    pub fn of<T: Entity>() -> Self {
        let (table, columns, n) = (T::TABLE, T::COLUMNS.join(", "), T::COLUMNS.len());
        let equals = |columns: &[&str], from: usize| -> Vec<String> {
            columns.iter().zip(from..).map(|(column, n)| format!("{column} = ${n}")).collect()
        };
        let key = equals(&T::COLUMNS[..T::KEYS], 1).join(" AND ");
        let set = equals(&T::COLUMNS[T::KEYS..], T::KEYS + 1).join(", ");
        let places = (1..=n + 2).map(|n| format!("${n}")).collect::<Vec<_>>().join(", ");
        let select = format!("SELECT {columns}, revision, mac FROM {table}");
        Self {
            find: format!("{select} WHERE {key}"),
            select,
            insert: format!("INSERT INTO {table} ({columns}, revision, mac) VALUES ({places})"),
            save: format!(
                "UPDATE {table} SET {set}, revision = ${}, mac = ${} WHERE {key} AND revision = ${}",
                n + 1,
                n + 2,
                n + 3
            ),
            remove: format!("DELETE FROM {table} WHERE {key}"),
        }
    }
}

/// What can stand in a column.
pub trait Cell: Sized {
    fn to_value(&self) -> Value;
    fn from_value(value: Value) -> Result<Self>;
}

impl Cell for String {
    fn to_value(&self) -> Value {
        Value::Text(self.clone())
    }
    fn from_value(value: Value) -> Result<Self> {
        match value {
            Value::Text(text) => Ok(text),
            _ => Err(wrong_type()),
        }
    }
}
impl Cell for i64 {
    fn to_value(&self) -> Value {
        Value::Int(*self)
    }
    fn from_value(value: Value) -> Result<Self> {
        match value {
            Value::Int(n) => Ok(n),
            _ => Err(wrong_type()),
        }
    }
}
impl Cell for bool {
    fn to_value(&self) -> Value {
        Value::Int(i64::from(*self))
    }
    fn from_value(value: Value) -> Result<Self> {
        i64::from_value(value).map(|n| n != 0)
    }
}
impl Cell for Vec<u8> {
    fn to_value(&self) -> Value {
        Value::Blob(self.clone())
    }
    fn from_value(value: Value) -> Result<Self> {
        match value {
            Value::Blob(bytes) => Ok(bytes),
            _ => Err(wrong_type()),
        }
    }
}
impl Cell for Millis {
    fn to_value(&self) -> Value {
        Value::Int(self.0)
    }
    fn from_value(value: Value) -> Result<Self> {
        i64::from_value(value).map(Millis)
    }
}
impl<T: Cell> Cell for Option<T> {
    fn to_value(&self) -> Value {
        self.as_ref().map_or(Value::Null, Cell::to_value)
    }
    fn from_value(value: Value) -> Result<Self> {
        match value {
            Value::Null => Ok(None),
            value => T::from_value(value).map(Some),
        }
    }
}

macro_rules! id_cells {
    ($($id:ident)*) => {$(impl Cell for $id {
        fn to_value(&self) -> Value { Value::Text(self.0.clone()) }
        fn from_value(value: Value) -> Result<Self> { String::from_value(value).map($id) }
    })*};
}
id_cells! {
    OrgId UserId TeamId CredentialId VersionId GrantId ProviderId ApprovalId SlotId TokenId EntryId ConsentId ConsumerId AlertId
    RotationId CampaignId CallId
}

macro_rules! word_cells {
    ($($word:ty),* $(,)?) => {$(impl Cell for $word {
        fn to_value(&self) -> Value { Value::Text(self.as_str().into()) }
        fn from_value(value: Value) -> Result<Self> {
            <$word>::parse(&String::from_value(value)?).ok_or_else(wrong_type)
        }
    })*};
}
word_cells! {
    crate::model::credential::CredentialType, crate::model::credential::Source, crate::model::credential::Scope,
    crate::model::credential::Environment, crate::model::credential::Stage, crate::model::org::Role,
    crate::model::org::TeamRole, crate::model::org::SharingPlan, crate::model::access::Level,
    crate::model::access::GranteeKind, crate::model::approval::ApprovalState, crate::model::provider::ClientAuth,
    crate::model::connection::ConnectionState, crate::model::connection::GrantKind,
    crate::model::connection::ConsentState, crate::model::token::Purpose, crate::model::entry::EntryPurpose, crate::model::entry::EntryState,
    crate::model::consumer::ConsumerKind, crate::model::consumer::BindingSource, crate::model::consumer::Delivery,
    crate::model::rotation::RotationStage, crate::model::rotation::Way, crate::model::rotation::Finding,
    crate::model::rotation::Signal, crate::model::rotation::SignalSource, crate::model::rotation::CallState,
    crate::model::rotation::CampaignKind,
}

macro_rules! json_cells {
    ($($ty:ty),* $(,)?) => {$(impl Cell for $ty {
        fn to_value(&self) -> Value {
            Value::Text(serde_json::to_string(self).expect("plain data becomes JSON"))
        }
        fn from_value(value: Value) -> Result<Self> {
            serde_json::from_str(&String::from_value(value)?).map_err(|_| wrong_type())
        }
    })*};
}
json_cells! {
    Vec<String>, Vec<(String, String)>, Vec<crate::model::credential::FieldSpec>, crate::model::provider::Endpoints,
}

/// `entity!(Type, "table", keys, org field, { columns })`: field names are column names.
/// `entity!(kept …)` for rows that every call reads again: who calls, where they belong, and what they are bound to.
macro_rules! entity {
    (kept $ty:ty, $table:literal, $keys:literal, $org:ident, { $($field:ident),* $(,)? }) => {
        $crate::store::entity::entity!(@ $ty, $table, $keys, $org, { $($field),* }, {
            const IS_KEPT: bool = true;
            fn recall(conn: &$crate::store::link::Conn, question: &[u8]) -> Option<Vec<Self>> {
                conn.recall(question)
            }
            fn keep(conn: &$crate::store::link::Conn, question: Vec<u8>, answer: &[Self]) {
                conn.keep(question, || answer.to_vec());
            }
        });
    };
    ($ty:ty, $table:literal, $keys:literal, $org:ident, { $($field:ident),* $(,)? }) => {
        $crate::store::entity::entity!(@ $ty, $table, $keys, $org, { $($field),* }, {});
    };
    (@ $ty:ty, $table:literal, $keys:literal, $org:ident, { $($field:ident),* }, { $($kept:tt)* }) => {
        impl $crate::store::entity::Entity for $ty {
            const TABLE: &'static str = $table;
            const KEYS: usize = $keys;
            const COLUMNS: &'static [&'static str] = &[$(stringify!($field)),*];
            fn sql() -> &'static $crate::store::entity::Statements {
                static SQL: std::sync::LazyLock<$crate::store::entity::Statements> =
                    std::sync::LazyLock::new($crate::store::entity::Statements::of::<$ty>);
                &SQL
            }
            fn org(&self) -> &$crate::ids::OrgId { &self.$org }
            fn revision(&self) -> i64 { self.revision }
            fn set_revision(&mut self, revision: i64) { self.revision = revision; }
            fn to_values(&self) -> Vec<$crate::store::Value> {
                vec![$($crate::store::entity::Cell::to_value(&self.$field)),*]
            }
            fn from_row(row: &mut $crate::store::link::Row) -> $crate::error::Result<Self> {
                // Read in the order of COLUMNS; the revision comes last.
                $(let $field = $crate::store::entity::Cell::from_value(row.take())?;)*
                let revision = row.int()?;
                Ok(Self { $($field,)* revision })
            }
            $($kept)*
        }
    };
}
pub(crate) use entity;

/// The bytes that a row's MAC covers: table, revision and every column, typed and length-prefixed.
pub(super) fn canonical(table: &str, revision: i64, values: &[Value]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(512);
    let mut put = |tag: u8, part: &[u8]| {
        bytes.push(tag);
        bytes.extend_from_slice(&(part.len() as u32).to_be_bytes());
        bytes.extend_from_slice(part);
    };
    put(b'r', b"row1");
    put(b't', table.as_bytes());
    put(b'v', &revision.to_be_bytes());
    for value in values {
        match value {
            Value::Null => put(b'0', &[]),
            Value::Int(n) => put(b'i', &n.to_be_bytes()),
            Value::Text(text) => put(b's', text.as_bytes()),
            Value::Blob(blob) => put(b'b', blob),
        }
    }
    bytes
}

/// The longest answer that is kept, in rows.
const MOST_ROWS_KEPT: usize = 16;

impl Reader<'_> {
    /// Every row of `T` that `rest` (`WHERE … ORDER BY … LIMIT …`) selects, each MAC checked.
    pub fn select<T: Entity>(&self, rest: &str, values: &[Value]) -> Result<Vec<T>> {
        self.rows(&[T::sql().select.as_str(), " ", rest].concat(), values)
    }

    /// Rows of `T` by a whole statement whose columns are `T`'s, then `revision` and `mac`.
    pub fn rows<T: Entity>(&self, sql: &str, values: &[Value]) -> Result<Vec<T>> {
        let read = || self.conn().query(sql, values)?.into_iter().map(|row| self.verified(row)).collect();
        if !T::IS_KEPT {
            return read();
        }
        let question = canonical(sql, 0, values);
        if let Some(kept) = T::recall(self.conn(), &question) {
            return Ok(kept);
        }
        let found = read()?;
        // A long list is a page that somebody looks at: it would be kept for nobody.
        if found.len() <= MOST_ROWS_KEPT {
            T::keep(self.conn(), question, &found);
        }
        Ok(found)
    }

    /// As [`Reader::rows`], each row by itself: one damaged row does not hide the others.
    ///
    /// Fails where the whole query does; a row that was changed is an `Err` in its place.
    pub fn rows_each<T: Entity>(&self, sql: &str, values: &[Value]) -> Result<Vec<Result<T>>> {
        Ok(self.conn().query(sql, values)?.into_iter().map(|row| self.verified(row)).collect())
    }

    /// The row as `T`; `integrity_failure` with table and id where we did not write it so.
    fn verified<T: Entity>(&self, mut row: Row) -> Result<T> {
        let id = row.first_text();
        let changed = |why: Option<Error>| {
            tracing::error!(table = T::TABLE, id, "a row was changed outside unsaid");
            let e = Error::new(Code::Integrity, format!("the {} {id} was changed outside unsaid", T::TABLE))
                .detail("table", T::TABLE)
                .detail("id", id.clone());
            match why {
                Some(why) => e.because(why),
                None => e,
            }
        };
        let read = |row: &mut Row| Ok((T::from_row(row)?, row.blob()?));
        let (entity, mac) = read(&mut row).map_err(|e: Error| changed(Some(e)))?;
        let bytes = canonical(T::TABLE, entity.revision(), &entity.to_values());
        match self.mac()?.row_ok(entity.org(), &bytes, &mac) {
            Ok(true) => Ok(entity),
            Ok(false) => Err(changed(None)),
            // A row of an org that there is not.
            Err(e) if e.code == Code::KeyUnknown => Err(changed(Some(e))),
            Err(e) => Err(e),
        }
    }

    /// The row with this primary key, if there is one.
    pub fn find<T: Entity>(&self, key: &[&str]) -> Result<Option<T>> {
        debug_assert_eq!(key.len(), T::KEYS);
        let values: Vec<_> = key.iter().map(|k| Value::Text((*k).into())).collect();
        Ok(self.rows(&T::sql().find, &values)?.pop())
    }
}

impl Writer<'_> {
    /// Adds a row. A row like it (a unique index says so) is `already_exists`.
    pub fn insert<T: Entity>(&mut self, entity: &mut T) -> Result<()> {
        entity.set_revision(1);
        let mut values = entity.to_values();
        let mac = self.mac()?.row(entity.org(), &canonical(T::TABLE, 1, &values))?;
        values.push(Value::Int(1));
        values.push(Value::Blob(mac));
        self.conn().execute(&T::sql().insert, &values)?;
        if T::TABLE == "org" {
            self.made_orgs.push(entity.org().clone());
        }
        Ok(())
    }

    /// Writes a changed row; `changed_meanwhile` where its revision moved on since it was read.
    pub fn save<T: Entity>(&mut self, entity: &mut T) -> Result<()> {
        let read = entity.revision();
        entity.set_revision(read + 1);
        let mut values = entity.to_values();
        let mac = self.mac()?.row(entity.org(), &canonical(T::TABLE, read + 1, &values))?;
        values.extend([Value::Int(read + 1), Value::Blob(mac), Value::Int(read)]);
        match self.conn().execute(&T::sql().save, &values)? {
            1 => Ok(()),
            _ => Err(Error::new(Code::Changed, format!("the {} was changed meanwhile", T::TABLE))),
        }
    }

    /// Removes the row with this primary key.
    pub fn remove<T: Entity>(&mut self, key: &[&str]) -> Result<()> {
        let values: Vec<_> = key.iter().map(|k| Value::Text((*k).into())).collect();
        self.conn().execute(&T::sql().remove, &values)?;
        Ok(())
    }
}
