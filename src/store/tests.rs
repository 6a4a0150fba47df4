//! What the store does when something goes wrong underneath it, or beside it.
use super::*;
use crate::clock::FixedClock;
use crate::ids::UserId;
use crate::model::access::Door;
use crate::model::event::Event;
use crate::model::org::{Org, SharingPlan};
use std::time::{Duration, Instant};

/// Sums instead of MACs: what is tested here is the store.
struct Sums;

fn sum(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().fold(17u64, |h, b| h.wrapping_mul(0x100_0000_01b3) ^ u64::from(*b)).to_be_bytes().repeat(4)
}

impl Mac for Sums {
    fn row(&self, _: &OrgId, canonical: &[u8]) -> Result<Vec<u8>> {
        Ok(sum(canonical))
    }
    fn row_ok(&self, _: &OrgId, canonical: &[u8], mac: &[u8]) -> Result<bool> {
        Ok(sum(canonical) == mac)
    }
    fn audit(&self, _: &OrgId, canonical: &[u8]) -> Result<Vec<u8>> {
        Ok(sum(canonical))
    }
    fn audit_ok(&self, _: &OrgId, canonical: &[u8], mac: &[u8]) -> Result<bool> {
        Ok(sum(canonical) == mac)
    }
    fn sign(&self, _: &OrgId, bytes: &[u8]) -> Result<Vec<u8>> {
        Ok(sum(bytes))
    }
    fn signed_ok(&self, _: &OrgId, bytes: &[u8], signature: &[u8]) -> Result<bool> {
        Ok(sum(bytes) == signature)
    }
    fn epoch(&self) -> i64 {
        0
    }
    fn reload(&self, _: i64, _: &[SlotRecord], _: &[OrgKeyRecord]) -> Result<()> {
        Ok(())
    }
}

fn caller() -> Caller {
    Caller::new(OrgId::from("acme"), UserId::from("ada"), Door::Cli)
}

struct Rig {
    store: Arc<Store>,
    path: PathBuf,
    _folder: tempfile::TempDir,
}

impl Rig {
    /// A store with one org, whose writer's connection was prepared by `sql`.
    async fn with(sql: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data").join("vault.db");
        let clock = Arc::new(FixedClock::at(Millis(1)));
        let first = Store::create(&path, clock.clone()).unwrap();
        first.unlock(Arc::new(Sums));
        let me = caller();
        let made = first.write(&me, |tx| {
            tx.insert(&mut Org {
                id: "acme".into(),
                name: "acme".into(),
                sharing_plan: SharingPlan::MultiTeam,
                bin_days: 30,
                warn_days: 14,
                created_at: Millis(1),
                revision: 0,
            })?;
            tx.record_step(Event::of("init"), ())
        });
        made.await.unwrap();
        let conn = Conn::open(&path, true).unwrap();
        conn.batch(sql).unwrap();
        let store = Store::over(conn, &path, clock).unwrap();
        store.unlock(Arc::new(Sums));
        Self { store: Arc::new(store), path, _folder: folder }
    }

    async fn write<T: Send + 'static>(
        &self,
        run: impl FnOnce(&mut Writer<'_>) -> Result<Recorded<T>> + Send + 'static,
    ) -> Result<T> {
        self.store.write(&caller(), run).await
    }

    async fn put(&self, name: &str, value: &str) -> Result<()> {
        let (name, value) = (name.to_owned(), value.to_owned());
        let step = move |tx: &mut Writer<'_>| {
            tx.set_meta(&name, &value)?;
            tx.record_step(Event::of("put").about("meta", &name, &name), ())
        };
        self.store.write(&caller(), step).await
    }

    async fn has(&self, name: &str) -> bool {
        let name = name.to_owned();
        self.store.read(move |tx| tx.meta(&name)).await.unwrap().is_some()
    }

    /// How many events there are; the chain must be whole.
    async fn events(&self) -> i64 {
        let found = self.store.read(|tx| tx.verify_audit(&"acme".into(), None)).await.unwrap();
        assert_eq!(found.first_bad, None);
        found.good
    }
}

#[tokio::test]
async fn a_panic_in_a_write_undoes_it_and_the_lane_lives_on() {
    let rig = Rig::with("").await;

    let panicked = rig.write(|tx| -> Result<Recorded<()>> {
        tx.set_meta("half", "done")?;
        panic!("a bug")
    });

    assert_eq!(panicked.await.unwrap_err().code, Code::Internal);
    rig.put("next", "x").await.unwrap();
    assert!(!rig.has("half").await && rig.has("next").await);
    assert_eq!(rig.events().await, 2);
}

#[tokio::test]
async fn a_panic_in_a_read_is_an_answer_and_the_lane_lives_on() {
    let rig = Rig::with("").await;

    for _ in 0..8 {
        let panicked = rig.store.read(|_| -> Result<()> { panic!("a bug") });
        assert_eq!(panicked.await.unwrap_err().code, Code::Internal);
    }

    assert!(!rig.has("anything").await);
}

#[tokio::test]
async fn jobs_that_fail_in_a_batch_undo_neither_the_others_nor_their_place_in_the_log() {
    let rig = Rig::with("").await;
    // The lane is held until all are queued, so that they share one commit.
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let held = rig.write(move |tx| {
        let _ = wait.recv();
        tx.record_step(Event::of("held"), ())
    });
    let jobs = (0..30).map(|n| {
        let store = rig.store.clone();
        async move {
            let job = move |tx: &mut Writer<'_>| {
                tx.set_meta(&format!("job{n}"), "x")?;
                // Its event is noted before it fails: the head of the chain must go back too.
                let noted = tx.record_step(Event::of("job"), ())?;
                match n % 3 {
                    0 => Err(crate::error::invalid("this one fails")),
                    1 if n % 2 == 0 => panic!("a bug"),
                    _ => Ok(noted),
                }
            };
            store.write(&caller(), job).await.is_ok()
        }
    });
    let all = async {
        tokio::join!(futures_util::future::join_all(jobs), async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            go.send(()).unwrap();
        })
        .0
    };

    let (held, done) = tokio::join!(held, all);

    held.unwrap();
    for (n, ok) in done.iter().enumerate() {
        assert_eq!(rig.has(&format!("job{n}")).await, *ok, "job {n}");
    }
    assert_eq!(rig.events().await, 2 + done.iter().filter(|ok| **ok).count() as i64);
}

#[tokio::test]
async fn a_cancelled_callers_write_is_done_or_not_done_and_never_by_half() {
    let rig = Rig::with("").await;

    for n in 0..100u64 {
        let name = format!("cancelled{n}");
        let _ = tokio::time::timeout(Duration::from_micros(n * 7), rig.put(&name, "x")).await;
    }

    rig.put("last", "x").await.unwrap();
    let mut there = 0;
    for n in 0..100 {
        there += i64::from(rig.has(&format!("cancelled{n}")).await);
    }
    assert_eq!(rig.events().await, 1 + there + 1);
}

#[tokio::test]
async fn s_04_a_full_disk_refuses_the_write_whole_and_gives_way_when_there_is_room() {
    let rig = Rig::with("PRAGMA max_page_count=170").await;
    let (mut done, mut refused) = (1, 0);
    for n in 0..200 {
        match rig.put(&format!("fill{n}"), &"x".repeat(3000)).await {
            Ok(()) => done += 1,
            Err(e) => {
                assert_eq!(e.code, Code::StoreFull);
                assert!(!rig.has(&format!("fill{n}")).await);
                refused += 1;
            }
        }
    }
    assert!(done > 5 && refused > 50, "{done} done, {refused} refused");
    assert_eq!(rig.events().await, done);

    let step = |tx: &mut Writer<'_>| {
        tx.conn().batch("PRAGMA max_page_count=1000000")?;
        tx.record_step(Event::of("room"), ())
    };
    // What makes room may itself be refused; it takes hold all the same.
    let _ = rig.write(step).await;
    rig.put("after", "x").await.unwrap();
    assert_eq!(rig.store.integrity(true).unwrap(), "ok");
    rig.events().await;
}

#[tokio::test]
async fn s_12_a_writer_that_never_lets_go_is_store_busy_for_all_who_wait_and_reads_go_on() {
    let rig = Rig::with("PRAGMA busy_timeout=300").await;
    let other = Conn::open(&rig.path, true).unwrap();
    other.begin(true).unwrap();
    let began = Instant::now();

    let waiting = (0..20).map(|n| {
        let (store, name) = (rig.store.clone(), format!("w{n}"));
        async move {
            let job = move |tx: &mut Writer<'_>| {
                tx.set_meta(&name, "x")?;
                tx.record_step(Event::of("put"), ())
            };
            store.write(&caller(), job).await
        }
    });
    let answers = futures_util::future::join_all(waiting).await;

    assert!(answers.iter().all(|a| a.as_ref().is_err_and(|e| e.code == Code::StoreBusy)));
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert!(!rig.has("w0").await);
    other.rollback();
    rig.put("after", "x").await.unwrap();
}

/// What every connection must have, whatever happened on it.
const PROFILE: [(&str, &str); 8] = [
    ("journal_mode", "wal"),
    ("synchronous", "2"),
    ("foreign_keys", "1"),
    ("secure_delete", "1"),
    ("temp_store", "2"),
    ("trusted_schema", "0"),
    ("mmap_size", "0"),
    ("busy_timeout", "5000"),
];

#[tokio::test]
async fn s_09_every_connection_has_its_settings_also_after_an_error() {
    let rig = Rig::with("").await;
    let check = |found: Vec<(&'static str, String)>| {
        let found: Vec<_> = found.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!(found, PROFILE);
    };
    for _ in 0..2 {
        let written = rig.write(|tx| {
            let found = tx.conn().profile()?;
            tx.record_step(Event::of("look"), found)
        });
        check(written.await.unwrap());
        for _ in 0..4 {
            check(rig.store.read(|tx| tx.conn().profile()).await.unwrap());
        }
        check(rig.store.profile().unwrap());
        let wrong = |tx: &Reader<'_>| tx.conn().query("SELECT nothing FROM nowhere", &[]).map(|_| ());
        assert!(rig.store.read(wrong).await.is_err());
        let failed = rig.write(|tx| -> Result<Recorded<()>> {
            tx.conn().execute("INSERT INTO meta VALUES (NULL, NULL)", &[])?;
            tx.record_step(Event::of("never"), ())
        });
        assert!(failed.await.is_err());
    }
}

#[test]
fn s_10_this_build_carries_an_sqlite_without_the_log_reset_race() {
    let numbers: Vec<u32> = sqlite_version().split('.').map(|n| n.parse().unwrap()).collect();

    assert!(numbers >= vec![3, 51, 3], "{numbers:?}");
}

#[tokio::test]
async fn what_a_connection_keeps_is_forgotten_as_soon_as_anybody_writes() {
    let rig = Rig::with("").await;
    let other = Store::open(&rig.path, Arc::new(FixedClock::at(Millis(2)))).unwrap();
    other.unlock(Arc::new(Sums));
    let name = |store: Arc<Store>| async move {
        store.read_here(|tx| Ok(tx.org(&OrgId::from("acme"))?.name)).await.unwrap()
    };
    let rename = |to: &'static str| {
        move |tx: &mut Writer<'_>| {
            let mut org = tx.org(&OrgId::from("acme"))?;
            org.name = to.into();
            tx.save(&mut org)?;
            // Within the transaction, what it has written itself is what it reads.
            assert_eq!(tx.org(&OrgId::from("acme"))?.name, to);
            tx.record_step(Event::of("rename"), ())
        }
    };
    for _ in 0..2 {
        name(rig.store.clone()).await;
    }

    rig.store.write(&caller(), rename("by us")).await.unwrap();
    assert_eq!(name(rig.store.clone()).await, "by us");
    other.write(&caller(), rename("by another process")).await.unwrap();
    assert_eq!(name(rig.store.clone()).await, "by another process");
}

#[tokio::test]
async fn what_a_failed_job_changed_is_not_what_the_next_one_reads() {
    let rig = Rig::with("").await;
    let name = |tx: &mut Writer<'_>| {
        let name = tx.org(&OrgId::from("acme"))?.name;
        tx.record_step(Event::of("look"), name)
    };
    let before = rig.store.write(&caller(), name).await.unwrap();

    for _ in 0..2 {
        let undone: Result<()> = rig
            .store
            .write(&caller(), |tx| {
                let mut org = tx.org(&OrgId::from("acme"))?;
                org.name = "never".into();
                tx.save(&mut org)?;
                assert_eq!(tx.org(&OrgId::from("acme"))?.name, "never");
                Err(crate::error::invalid("changed our mind"))
            })
            .await;
        assert!(undone.is_err());
        assert_eq!(rig.store.write(&caller(), name).await.unwrap(), before);
    }
}

#[tokio::test]
async fn the_writer_sees_what_another_process_wrote_between_two_of_its_transactions() {
    let rig = Rig::with("").await;
    let other = Store::open(&rig.path, Arc::new(FixedClock::at(Millis(2)))).unwrap();
    other.unlock(Arc::new(Sums));
    let rename = |to: &'static str| {
        move |tx: &mut Writer<'_>| {
            let mut org = tx.org(&OrgId::from("acme"))?;
            let was = std::mem::replace(&mut org.name, to.into());
            tx.save(&mut org)?;
            tx.record_step(Event::of("rename"), was)
        }
    };

    rig.store.write(&caller(), rename("one")).await.unwrap();
    assert_eq!(other.write(&caller(), rename("two")).await.unwrap(), "one");
    assert_eq!(rig.store.write(&caller(), rename("three")).await.unwrap(), "two");
    assert_eq!(other.write(&caller(), rename("four")).await.unwrap(), "three");
}

#[tokio::test]
async fn what_is_kept_is_bounded() {
    let rig = Rig::with("").await;
    let asked = rig
        .store
        .read_here(|tx| {
            for n in 0..2_000 {
                let found = tx.select::<Org>("WHERE name = $1", &[super::Value::Text(format!("org {n}"))])?;
                assert!(found.is_empty());
            }
            Ok(tx.conn().kept())
        })
        .await
        .unwrap();
    assert!(asked <= 512, "{asked} answers are kept");
}
