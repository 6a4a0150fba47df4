//! Brings a database up to this program's schema, with a copy beside it before each step.
use super::link::{APPLICATION_ID, Conn};
use super::place;
use crate::error::{Code, Error, Result};
use std::path::Path;

/// A schema's number with the statements that lead there from the one before.
type Step = (i64, &'static str);

/// Every step that ever was, in the order of their numbers, which may leave gaps. A released step is never edited.
const STEPS: &[Step] = &[
    (1, include_str!("schema/0001_spine.sql")),
    (2, include_str!("schema/0002_consumers.sql")),
    (3, include_str!("schema/0003_echoes.sql")),
    (10, include_str!("schema/0010_rotation.sql")),
    (11, include_str!("schema/0011_probe.sql")),
    (12, include_str!("schema/0012_hygiene.sql")),
    (13, include_str!("schema/0013_canary.sql")),
    (14, include_str!("schema/0014_rotation_advice.sql")),
];

/// The schema that `steps` lead to.
fn newest(steps: &[Step]) -> i64 {
    steps.last().map_or(0, |(number, _)| *number)
}

fn number(conn: &Conn, sql: &str) -> Result<i64> {
    conn.query(sql, &[])?.pop().map_or(Ok(0), |mut row| row.int())
}

/// Applies the missing steps. A newer database is refused, a foreign one too.
pub fn bring_up(conn: &Conn, path: &Path) -> Result<()> {
    apply(conn, path, STEPS)
}

/// Whether there is nothing to apply. A newer database is refused.
pub fn is_current(conn: &Conn) -> Result<bool> {
    is_at(conn, newest(STEPS))
}

fn is_at(conn: &Conn, newest: i64) -> Result<bool> {
    Ok(version(conn, newest)? == newest && number(conn, "PRAGMA application_id")? == APPLICATION_ID)
}

fn apply(conn: &Conn, path: &Path, steps: &[Step]) -> Result<()> {
    let newest = newest(steps);
    if is_at(conn, newest)? {
        return Ok(());
    }
    // Several processes may start at once on an old database: one migrates, the others wait here and find it done.
    conn.begin(true)?;
    let done = is_at(conn, newest).and_then(|is_there| match is_there {
        true => Ok(()),
        false => step_up(conn, path, version(conn, newest)?, steps),
    });
    match done {
        Ok(()) => conn.commit(),
        Err(e) => {
            conn.rollback();
            Err(e)
        }
    }
}

fn version(conn: &Conn, newest: i64) -> Result<i64> {
    let have = schema_version(conn)?;
    if have > newest {
        return Err(Error::new(
            Code::StoreNewer,
            format!("the vault has schema {have}, this unsaid knows {newest}"),
        ));
    }
    Ok(have)
}

fn step_up(conn: &Conn, path: &Path, have: i64, steps: &[Step]) -> Result<()> {
    let tables = number(conn, "SELECT count(*) FROM sqlite_schema")?;
    if have == 0 && tables > 0 {
        return Err(Error::new(Code::StoreCorrupt, "the file is a database of another program")
            .next("Set UNSAID_HOME to an empty folder."));
    }
    let missing: Vec<_> = steps.iter().filter(|(number, _)| *number > have).collect();
    if have > 0
        && let Some((next, _)) = missing.first()
    {
        copy_before(path, *next)?;
    }
    for (_, step) in missing {
        conn.batch(step)?;
    }
    conn.batch(&format!("PRAGMA user_version={}; PRAGMA application_id={APPLICATION_ID};", newest(steps)))
}

/// Keeps what was there before, while the writer's lock keeps it from changing. A copy has its name only when it is
/// whole, so that one that a kill cut off is never taken for one.
fn copy_before(path: &Path, next: i64) -> Result<()> {
    let named = |end: String| {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        std::path::PathBuf::from(name)
    };
    let copy = named(format!(".before-schema-{next}"));
    if copy.exists() {
        return Ok(());
    }
    let part = named(format!(".part-{}", crate::ids::fresh()));
    place::create_file(&part)?;
    // Another connection: the writer's own may not be copied in the middle of its transaction.
    Conn::open(path, false)?.image(&part)?;
    std::fs::rename(&part, &copy).map_err(|e| {
        Error::new(Code::StoreReadOnly, "the copy before a migration could not be kept, nothing was changed")
            .because(e)
    })
}

/// The schema version of the open database.
pub fn schema_version(conn: &Conn) -> Result<i64> {
    number(conn, "PRAGMA user_version")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &[Step] = &[STEPS[0], (2, "ALTER TABLE org ADD COLUMN colour TEXT NOT NULL DEFAULT ''")];

    fn at_step_one() -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data").join("vault.db");
        place::create_file(&path).unwrap();
        let conn = Conn::open(&path, true).unwrap();
        apply(&conn, &path, &STEPS[..1]).unwrap();
        conn.batch("INSERT INTO meta VALUES ('kept', 'yes')").unwrap();
        (folder, path)
    }

    fn copy_of(path: &Path) -> std::path::PathBuf {
        path.with_file_name("vault.db.before-schema-2")
    }

    fn kept(path: &Path) -> String {
        let conn = Conn::open(path, true).unwrap();
        conn.query("SELECT value FROM meta WHERE name = 'kept'", &[]).unwrap().pop().unwrap().text().unwrap()
    }

    #[test]
    fn s_25_an_old_database_is_copied_and_brought_up_and_a_second_time_changes_nothing() {
        let (_folder, path) = at_step_one();
        let conn = Conn::open(&path, true).unwrap();

        apply(&conn, &path, TWO).unwrap();
        apply(&conn, &path, TWO).unwrap();

        assert_eq!(schema_version(&conn).unwrap(), 2);
        let copy = Conn::open(&copy_of(&path), true).unwrap();
        assert_eq!(schema_version(&copy).unwrap(), 1);
        assert_eq!((kept(&copy_of(&path)), kept(&path)), ("yes".into(), "yes".into()));
    }

    #[test]
    fn s_25_numbers_may_leave_gaps_and_each_step_is_taken_once() {
        let (_folder, path) = at_step_one();
        let conn = Conn::open(&path, true).unwrap();
        let gap = [TWO[0], TWO[1], (7, "CREATE TABLE seventh (x)")];
        assert!(STEPS.is_sorted_by(|a, b| a.0 < b.0));

        apply(&conn, &path, TWO).unwrap();
        apply(&conn, &path, &gap).unwrap();
        apply(&conn, &path, &gap).unwrap();

        assert_eq!((schema_version(&conn).unwrap(), kept(&path)), (7, "yes".into()));
        assert_eq!(apply(&conn, &path, TWO).unwrap_err().code, Code::StoreNewer);
    }

    #[test]
    fn s_25_a_vault_of_any_earlier_schema_gets_what_is_missing() {
        for known in 1..STEPS.len() {
            let (_folder, path) = at_step_one();
            let conn = Conn::open(&path, true).unwrap();
            apply(&conn, &path, &STEPS[..known]).unwrap();

            bring_up(&conn, &path).unwrap();

            assert_eq!(schema_version(&conn).unwrap(), newest(STEPS));
            assert!(is_current(&conn).unwrap() && kept(&path) == "yes");
            conn.query("SELECT id FROM rotation", &[]).unwrap();
        }
    }

    #[test]
    fn s_25_a_step_that_fails_leaves_the_old_schema_and_the_next_start_goes_on() {
        let (_folder, path) = at_step_one();
        let conn = Conn::open(&path, true).unwrap();
        let broken =
            [STEPS[0], (2, "ALTER TABLE org ADD COLUMN colour TEXT; INSERT INTO nothing VALUES (1)")];

        assert!(apply(&conn, &path, &broken).is_err());

        assert_eq!(schema_version(&conn).unwrap(), 1);
        assert!(conn.query("SELECT colour FROM org", &[]).is_err());
        apply(&conn, &path, TWO).unwrap();
        assert_eq!((schema_version(&conn).unwrap(), kept(&path)), (2, "yes".into()));
    }

    #[test]
    fn s_25_a_copy_that_a_kill_cut_off_is_not_taken_for_the_copy() {
        let (_folder, path) = at_step_one();
        std::fs::write(path.with_file_name("vault.db.part-01"), b"half").unwrap();

        apply(&Conn::open(&path, true).unwrap(), &path, TWO).unwrap();

        assert_eq!(kept(&copy_of(&path)), "yes");
    }

    #[test]
    fn s_22_a_newer_database_and_a_foreign_one_are_refused_and_untouched() {
        let (_folder, path) = at_step_one();
        let conn = Conn::open(&path, true).unwrap();
        apply(&conn, &path, TWO).unwrap();
        assert_eq!(apply(&conn, &path, &STEPS[..1]).unwrap_err().code, Code::StoreNewer);

        let other = path.with_file_name("other.db");
        place::create_file(&other).unwrap();
        let foreign = Conn::open(&other, true).unwrap();
        foreign.batch("CREATE TABLE theirs (x)").unwrap();
        assert_eq!(bring_up(&foreign, &other).unwrap_err().code, Code::StoreCorrupt);
        assert_eq!(number(&foreign, "SELECT count(*) FROM sqlite_schema").unwrap(), 1);
    }

    #[test]
    fn several_that_start_at_once_on_an_old_database_migrate_it_once() {
        let (_folder, path) = at_step_one();

        std::thread::scope(|all| {
            for _ in 0..8 {
                all.spawn(|| apply(&Conn::open(&path, true).unwrap(), &path, TWO).unwrap());
            }
        });

        assert_eq!(schema_version(&Conn::open(&path, true).unwrap()).unwrap(), 2);
    }
}
