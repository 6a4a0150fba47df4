//! The one file that knows which database it is. Everything above speaks SQL of the house subset.
use crate::error::{Code, Error, Result};
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, ErrorCode, OpenFlags};
use std::any::Any;
use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a transaction waits for another process's writer.
const BUSY: Duration = Duration::from_secs(5);
/// A log of 64 pages: what who opens the vault next reads in well under a millisecond.
const SHORT_LOG_BYTES: u64 = 64 * 4120;
/// The first SQLite without the WAL-reset corruption race.
const OLDEST_SQLITE: i32 = 3_051_003;
/// "UNSD": marks the file as ours.
pub const APPLICATION_ID: i64 = 0x554e_5344;

/// A column's value in the house subset.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Int(i64),
    Text(String),
    Blob(Vec<u8>),
}

/// One row, read left to right.
pub struct Row {
    cells: std::vec::IntoIter<Value>,
}

impl Row {
    /// The next column; the caller's SQL says how many there are.
    pub fn take(&mut self) -> Value {
        self.cells.next().unwrap_or(Value::Null)
    }
    /// The first column if it is text, without taking it: a row's id, for messages.
    pub fn first_text(&self) -> String {
        match self.cells.as_slice().first() {
            Some(Value::Text(text)) => text.clone(),
            _ => String::new(),
        }
    }
    pub fn text(&mut self) -> Result<String> {
        match self.take() {
            Value::Text(text) => Ok(text),
            _ => Err(wrong_type()),
        }
    }
    pub fn int(&mut self) -> Result<i64> {
        match self.take() {
            Value::Int(n) => Ok(n),
            _ => Err(wrong_type()),
        }
    }
    pub fn blob(&mut self) -> Result<Vec<u8>> {
        match self.take() {
            Value::Blob(bytes) => Ok(bytes),
            _ => Err(wrong_type()),
        }
    }
}

/// A column holds what our schema rules out: somebody changed the database.
pub fn wrong_type() -> Error {
    Error::new(Code::Integrity, "a row of the database holds a value of the wrong type")
}

/// An open connection, with everything asserted that we rely on.
pub struct Conn(Connection, RefCell<Kept>);

/// What this connection has read and checked since it last saw that somebody wrote. It is metadata, never a value.
#[derive(Default)]
struct Kept {
    /// `PRAGMA data_version`, which tells of what others wrote; what this connection writes itself makes it forget.
    version: Option<i64>,
    answers: HashMap<Vec<u8>, Box<dyn Any + Send>>,
}

/// What begins the statements that change nothing of what is kept: every use runs them.
const APPENDS: [&str; 3] = ["INSERT INTO audit", "INSERT INTO checkpoint", "INSERT INTO usage"];
/// How many answers are kept.
const MOST_KEPT: usize = 512;

impl Conn {
    /// Opens `path`, which must exist (see `place`), and asserts the run-time profile (SECURITY.md §5).
    pub fn open(path: &Path, writes: bool) -> Result<Self> {
        if rusqlite::version_number() < OLDEST_SQLITE {
            return Err(Error::new(Code::StoreCorrupt, "this build carries an SQLite older than 3.51.3")
                .next("Install a release of unsaid that is built with its own SQLite."));
        }
        let mode = if writes { OpenFlags::SQLITE_OPEN_READ_WRITE } else { OpenFlags::SQLITE_OPEN_READ_ONLY };
        let flags = mode | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
        let conn = Connection::open_with_flags(path, flags)?;
        conn.busy_timeout(BUSY)?;
        conn.set_prepared_statement_cache_capacity(64);
        use rusqlite::config::DbConfig as C;
        conn.set_db_config(C::SQLITE_DBCONFIG_DEFENSIVE, true)?;
        conn.set_db_config(C::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
        conn.set_db_config(C::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
        conn.set_db_config(C::SQLITE_DBCONFIG_ENABLE_VIEW, false)?;
        // Closing leaves the log for the next opener: a process that ran one command does not pay a checkpoint.
        conn.set_db_config(C::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        // Plans do not look at bound values: else most statements are compiled anew each time they get new ones.
        conn.set_db_config(C::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        conn.set_db_config(C::SQLITE_DBCONFIG_DQS_DML, false)?;
        conn.set_db_config(C::SQLITE_DBCONFIG_DQS_DDL, false)?;
        conn.execute_batch(
            "PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; PRAGMA secure_delete=ON; PRAGMA temp_store=MEMORY; \
             PRAGMA cell_size_check=ON; PRAGMA mmap_size=0; PRAGMA cache_size=-2000;",
        )?;
        if cfg!(target_os = "macos") {
            conn.execute_batch("PRAGMA fullfsync=ON; PRAGMA checkpoint_fullfsync=ON;")?;
        }
        if writes {
            let journal: String = conn.query_row("PRAGMA journal_mode=WAL", [], |r| r.get(0))?;
            conn.execute_batch("PRAGMA wal_autocheckpoint=1000; PRAGMA journal_size_limit=16777216;")?;
            if !journal.eq_ignore_ascii_case("wal") {
                return Err(Error::new(
                    Code::StoreInsecure,
                    "the database cannot use write-ahead logging here",
                )
                .next("Put the data folder on a local disk: set UNSAID_HOME."));
            }
        }
        Ok(Self(conn, RefCell::default()))
    }

    /// The pragmas that S-09 asserts, as `name=value`.
    pub fn profile(&self) -> Result<Vec<(&'static str, String)>> {
        let mut found = Vec::new();
        for name in [
            "journal_mode",
            "synchronous",
            "foreign_keys",
            "secure_delete",
            "temp_store",
            "trusted_schema",
            "mmap_size",
            "busy_timeout",
        ] {
            let value: rusqlite::types::Value =
                self.0.query_row(&format!("PRAGMA {name}"), [], |r| r.get(0)).or_else(
                    // A pragma that is off at compile time returns no row.
                    |e| {
                        if matches!(e, rusqlite::Error::QueryReturnedNoRows) {
                            Ok(rusqlite::types::Value::Integer(0))
                        } else {
                            Err(e)
                        }
                    },
                )?;
            let text = match value {
                rusqlite::types::Value::Integer(n) => n.to_string(),
                rusqlite::types::Value::Text(t) => t,
                _ => String::new(),
            };
            found.push((name, text));
        }
        Ok(found)
    }

    pub fn execute(&self, sql: &str, values: &[Value]) -> Result<u64> {
        if !APPENDS.iter().any(|begin| sql.starts_with(begin)) {
            self.forget_answers();
        }
        let mut statement = self.0.prepare_cached(&sqlite_sql(sql))?;
        Ok(statement.execute(rusqlite::params_from_iter(values))? as u64)
    }

    pub fn query(&self, sql: &str, values: &[Value]) -> Result<Vec<Row>> {
        let mut statement = self.0.prepare_cached(&sqlite_sql(sql))?;
        let width = statement.column_count();
        let mut rows = statement.query(rusqlite::params_from_iter(values))?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let cells = (0..width).map(|i| row.get::<_, Value>(i)).collect::<Result<Vec<_>, _>>()?;
            found.push(Row { cells: cells.into_iter() });
        }
        Ok(found)
    }

    pub fn batch(&self, sql: &str) -> Result<()> {
        self.forget_answers();
        Ok(self.0.execute_batch(sql)?)
    }

    /// Starts a transaction; a writer takes its lock now, not at its first write.
    pub fn begin(&self, writes: bool) -> Result<()> {
        self.step(if writes { "BEGIN IMMEDIATE" } else { "BEGIN DEFERRED" })
    }
    pub fn commit(&self) -> Result<()> {
        self.step("COMMIT")
    }
    /// Rolls back; a transaction that SQLite ended by itself is rolled back already.
    pub fn rollback(&self) {
        if !self.0.is_autocommit() && self.step("ROLLBACK").is_err() {
            tracing::error!("a transaction could not be rolled back");
        }
    }
    /// Whether anybody else wrote since this connection last looked; what it kept is forgotten then. For a transaction
    /// that has just begun.
    pub fn look_again(&self) -> Result<bool> {
        let version = self.query("PRAGMA data_version", &[])?.pop().map_or(Ok(0), |mut row| row.int())?;
        let mut kept = self.1.borrow_mut();
        if kept.version == Some(version) {
            return Ok(false);
        }
        *kept = Kept { version: Some(version), answers: HashMap::new() };
        Ok(true)
    }
    /// Forgets what was kept, so that the next transaction looks at everything anew.
    pub fn forget(&self) {
        *self.1.borrow_mut() = Kept::default();
    }
    /// Forgets what was kept, where this transaction itself changed or undid something.
    pub fn forget_answers(&self) {
        self.1.borrow_mut().answers.clear();
    }
    /// The kept answer to `question`.
    pub fn recall<T: Clone + 'static>(&self, question: &[u8]) -> Option<T> {
        self.1.borrow().answers.get(question)?.downcast_ref::<T>().cloned()
    }
    /// Keeps an answer for as long as nobody writes.
    pub fn keep<T: Send + 'static>(&self, question: Vec<u8>, answer: impl FnOnce() -> T) {
        let mut kept = self.1.borrow_mut();
        if kept.version.is_some() {
            if kept.answers.len() >= MOST_KEPT {
                kept.answers.clear();
            }
            kept.answers.insert(question, Box::new(answer()));
        }
    }
    /// How many answers are kept.
    #[cfg(test)]
    pub fn kept(&self) -> usize {
        self.1.borrow().answers.len()
    }
    pub fn step(&self, sql: &str) -> Result<()> {
        self.0.prepare_cached(sql)?.execute([])?;
        Ok(())
    }

    /// Empties the log where it is longer than [`SHORT_LOG_BYTES`] and nobody is reading it.
    ///
    /// SQLite's own checkpoint leaves the file as it is for the next writer of the same process to begin anew. A process
    /// that wrote once has no next writer, and the first opener after it forgets how much was written back: without
    /// this, a log that only short processes write grows for ever, and each of them reads all of it.
    pub fn shorten_log(&self) -> Result<()> {
        let Some(path) = self.0.path() else { return Ok(()) };
        let [log, _] = companions(Path::new(path));
        if std::fs::symlink_metadata(log).map_or(0, |found| found.len()) <= SHORT_LOG_BYTES {
            return Ok(());
        }
        self.0.busy_timeout(Duration::ZERO)?;
        let emptied = self.checkpoint();
        self.0.busy_timeout(BUSY)?;
        emptied.map(drop)
    }

    /// Writes the log back into the database and empties it, so that overwritten rows are gone from disk.
    pub fn checkpoint(&self) -> Result<bool> {
        let busy: i64 = self.0.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |r| r.get(0))?;
        Ok(busy == 0)
    }

    /// A consistent image of the whole database, as bytes, while others go on writing.
    pub fn image(&self, to: &Path) -> Result<()> {
        let mut target = Connection::open(to)?;
        let backup = rusqlite::backup::Backup::new(&self.0, &mut target)?;
        backup.run_to_completion(4096, Duration::ZERO, None)?;
        Ok(())
    }

    /// `ok`, or the first findings of SQLite's own check.
    pub fn check(&self, thorough: bool) -> Result<String> {
        let sql = if thorough { "PRAGMA integrity_check(3)" } else { "PRAGMA quick_check(3)" };
        Ok(self.0.query_row(sql, [], |r| r.get(0))?)
    }
}

/// `$1` positions become `?1`: SQLite numbers `$name` parameters by first appearance.
fn sqlite_sql(sql: &str) -> std::borrow::Cow<'_, str> {
    if sql.contains('$') { sql.replace('$', "?").into() } else { sql.into() }
}

impl From<rusqlite::Error> for Error {
    /// Driver failures carry SQL and paths, so callers hear a code; the cause goes to the log.
    fn from(e: rusqlite::Error) -> Self {
        let (code, message) = match e.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                (Code::StoreBusy, "another process kept the store busy for five seconds")
            }
            Some(ErrorCode::DiskFull) => (Code::StoreFull, "the disk is full, nothing was changed"),
            Some(ErrorCode::ReadOnly) => {
                (Code::StoreReadOnly, "the store cannot be written, nothing was changed")
            }
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                (Code::StoreCorrupt, "the database file is damaged or is none of ours")
            }
            Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
                (Code::StoreInsecure, "the database file cannot be opened")
            }
            Some(ErrorCode::SystemIoFailure) => (Code::StoreReadOnly, "the disk failed, nothing was changed"),
            Some(ErrorCode::ConstraintViolation) => (Code::AlreadyExists, "there is one like that already"),
            _ if matches!(
                e,
                rusqlite::Error::FromSqlConversionFailure(..) | rusqlite::Error::InvalidColumnType(..)
            ) =>
            {
                return wrong_type();
            }
            _ => (Code::Internal, "the store failed"),
        };
        Error::new(code, message).because(e)
    }
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Value::Null => ValueRef::Null,
            Value::Int(n) => ValueRef::Integer(*n),
            Value::Text(t) => ValueRef::Text(t.as_bytes()),
            Value::Blob(b) => ValueRef::Blob(b),
        }))
    }
}

impl FromSql for Value {
    fn column_result(v: ValueRef<'_>) -> FromSqlResult<Self> {
        Ok(match v {
            ValueRef::Null => Value::Null,
            ValueRef::Integer(n) => Value::Int(n),
            ValueRef::Blob(b) => Value::Blob(b.into()),
            // Text that is none was put there by somebody else: as bytes it fails where its own row is read.
            ValueRef::Text(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => Value::Text(text.into()),
                Err(_) => Value::Blob(bytes.into()),
            },
            ValueRef::Real(_) => return Err(FromSqlError::InvalidType),
        })
    }
}

/// The SQLite in this build.
pub fn sqlite_version() -> &'static str {
    rusqlite::version()
}

/// Where the database is, and what lies beside it.
pub fn companions(path: &Path) -> [PathBuf; 2] {
    let with = |suffix: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    [with("-wal"), with("-shm")]
}
