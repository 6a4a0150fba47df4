//! Brings a database up to this program's schema, with a copy beside it before each step.
use super::link::{APPLICATION_ID, Conn};
use super::place;
use crate::error::{Code, Error, Result};
use std::path::Path;

/// Every step that ever was, in order. A released step is never edited.
const STEPS: &[&str] = &[include_str!("schema/0001_spine.sql")];

fn number(conn: &Conn, sql: &str) -> Result<i64> {
    conn.query(sql, &[])?.pop().map_or(Ok(0), |mut row| row.int())
}

/// Applies the missing steps. A newer database is refused, a foreign one too.
pub fn bring_up(conn: &Conn, path: &Path) -> Result<()> {
    let have = number(conn, "PRAGMA user_version")?;
    let newest = STEPS.len() as i64;
    if have == newest && number(conn, "PRAGMA application_id")? == APPLICATION_ID {
        return Ok(());
    }
    if have > newest {
        return Err(Error::new(
            Code::StoreNewer,
            format!("the vault has schema {have}, this unsaid knows {newest}"),
        ));
    }
    // Several processes may start at once on an old database: one migrates, the others wait and find it done.
    if have > 0 {
        copy_before(conn, path, have)?;
    }
    conn.begin(true)?;
    let done = step_up(conn, newest);
    match done {
        Ok(()) => conn.commit(),
        Err(e) => {
            conn.rollback();
            Err(e)
        }
    }
}

fn step_up(conn: &Conn, newest: i64) -> Result<()> {
    let have = number(conn, "PRAGMA user_version")?;
    let tables = number(conn, "SELECT count(*) FROM sqlite_schema")?;
    if have == 0 && tables > 0 {
        return Err(Error::new(Code::StoreCorrupt, "the file is a database of another program")
            .next("Set UNSAID_HOME to an empty folder."));
    }
    for step in &STEPS[have as usize..] {
        conn.batch(step)?;
    }
    conn.batch(&format!("PRAGMA user_version={newest}; PRAGMA application_id={APPLICATION_ID};"))
}

fn copy_before(conn: &Conn, path: &Path, have: i64) -> Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".before-schema-{}", have + 1));
    let copy = std::path::PathBuf::from(name);
    if copy.exists() {
        return Ok(());
    }
    place::create_file(&copy)?;
    conn.image(&copy)
}

/// The schema version of the open database.
pub fn schema_version(conn: &Conn) -> Result<i64> {
    number(conn, "PRAGMA user_version")
}
