//! Threads that own database connections, so that async code never blocks on one.
//!
//! The writer drains its queue into one transaction with a savepoint for each job (group commit): many concurrent
//! callers pay for one flush. A job is answered only after the commit.
use super::link::Conn;
use super::{Port, Reader, Writer};
use crate::error::{Code, Error, Result, internal};
use crate::model::access::Caller;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, mpsc};
use tokio::sync::oneshot;

/// How many jobs may wait before a caller is told that the store is busy.
const DEPTH: usize = 512;
/// How many jobs share one commit at most.
const BATCH: usize = 256;
/// How many callers read on their own threads at once.
const HERE: usize = 4;

/// Work that the writer does inside its transaction, and answers after the commit.
pub trait WriteJob: Send {
    /// Does the work; an error means that this job's savepoint is rolled back.
    fn work(&mut self, tx: &mut Writer<'_>) -> Result<(), ()>;
    /// Answers: with its result, or with why the commit failed.
    fn answer(self: Box<Self>, committed: Result<(), (Code, String)>);
}

type ReadJob = Box<dyn FnOnce(&Conn, &Port) + Send>;

fn gone() -> Error {
    internal("the store's thread is gone")
}

fn full() -> Error {
    Error::new(Code::StoreBusy, "too many calls are waiting for the store")
}

/// The one writer of this process.
pub struct WriteLane {
    jobs: mpsc::SyncSender<Box<dyn WriteJob>>,
    short_log: Arc<AtomicBool>,
    /// How opening its connection went, until somebody asks.
    opened: Mutex<Option<mpsc::Receiver<Result<()>>>>,
}

impl WriteLane {
    /// Begins on a thread of its own, which opens the connection with `open` while the caller goes on.
    pub fn start(open: impl FnOnce() -> Result<Conn> + Send + 'static, port: Port) -> Result<Self> {
        let (jobs, inbox) = mpsc::sync_channel::<Box<dyn WriteJob>>(DEPTH);
        let (tell, opened) = mpsc::sync_channel(1);
        let short_log = Arc::new(AtomicBool::new(false));
        let asked = short_log.clone();
        std::thread::Builder::new()
            .name("store-writer".into())
            .stack_size(1 << 20)
            .spawn(move || {
                let (told, conn) = match open() {
                    Ok(conn) => (Ok(()), Some(conn)),
                    Err(e) => (Err(e), None),
                };
                // Who opened the store may be gone already.
                let _ = tell.send(told);
                let Some(conn) = conn else { return };
                while let Ok(first) = inbox.recv() {
                    run_batch(&conn, &port, first, &inbox, asked.load(Ordering::Relaxed));
                }
            })
            .map_err(|e| internal("the store's thread did not start").because(e))?;
        Ok(Self { jobs, short_log, opened: Mutex::new(Some(opened)) })
    }

    /// Waits until the connection is open. Fails as opening it did, to whoever asks first.
    pub fn ready(&self) -> Result<()> {
        let mut opened = self.opened.lock().unwrap_or_else(|e| e.into_inner());
        match opened.take() {
            Some(told) => told.recv().unwrap_or_else(|_| Err(gone())),
            None => Ok(()),
        }
    }

    /// See [`super::Store::keep_log_short`].
    pub fn keep_log_short(&self) {
        self.short_log.store(true, Ordering::Relaxed);
    }

    pub fn submit(&self, job: Box<dyn WriteJob>) -> Result<()> {
        self.jobs.try_send(job).map_err(|e| match e {
            mpsc::TrySendError::Full(_) => full(),
            mpsc::TrySendError::Disconnected(_) => gone(),
        })
    }
}

fn fail(jobs: Vec<Box<dyn WriteJob>>, e: Error) {
    tracing::warn!(code = e.code.name(), cause = ?std::error::Error::source(&e).map(|c| c.to_string()), "a transaction failed");
    for job in jobs {
        job.answer(Err((e.code, e.message().to_owned())));
    }
}

fn run_batch(
    conn: &Conn,
    port: &Port,
    first: Box<dyn WriteJob>,
    inbox: &mpsc::Receiver<Box<dyn WriteJob>>,
    keep_log_short: bool,
) {
    if let Err(e) = conn.begin(true).and_then(|()| conn.look_again()).and_then(|_| port.refresh(conn)) {
        conn.forget();
        conn.rollback();
        // Those behind it have waited as long: one after the other they would wait for ever.
        return fail(std::iter::once(first).chain(inbox.try_iter().take(DEPTH)).collect(), e);
    }
    let mut tx = Writer::new(Reader::new(conn, port));
    let mut kept: Vec<Box<dyn WriteJob>> = Vec::new();
    let mut next = Some(first);
    while let Some(mut job) = next.take() {
        if let Err(e) = conn.step("SAVEPOINT job") {
            conn.forget();
            conn.rollback();
            kept.push(job);
            return fail(kept, e);
        }
        let heads = tx.heads_saved();
        // A panicking job is rolled back like a failing one; the lane lives on.
        let done = catch_unwind(AssertUnwindSafe(|| job.work(&mut tx)));
        let settled = if matches!(done, Ok(Ok(()))) {
            conn.step("RELEASE job")
        } else {
            tx.restore_heads(heads);
            conn.forget_answers();
            conn.step("ROLLBACK TO job").and_then(|()| conn.step("RELEASE job"))
        };
        kept.push(job);
        if let Err(e) = settled {
            conn.forget();
            conn.rollback();
            return fail(kept, e);
        }
        if kept.len() < BATCH {
            next = inbox.try_recv().ok();
        }
    }
    let ended = tx.finish().and_then(|()| conn.commit());
    match ended {
        Ok(()) => {
            // Before the answers: the process may end with them.
            if keep_log_short && let Err(e) = conn.shorten_log() {
                tracing::warn!(code = e.code.name(), "the write-ahead log could not be shortened");
            }
            for job in kept {
                job.answer(Ok(()));
            }
        }
        Err(e) => {
            conn.forget();
            conn.rollback();
            fail(kept, e);
        }
    }
}

/// Read-only threads, each with a connection. The first starts with the first read, another when all are at work.
///
/// A few more connections serve short reads on the caller's own thread: on a busy machine, waking another thread and
/// being woken by it takes many times what the read does.
pub struct ReadLanes {
    path: PathBuf,
    port: Port,
    most: usize,
    here: [Mutex<Option<Conn>>; HERE],
    started: Mutex<Option<Started>>,
    /// Jobs that were handed in and are not done.
    open: Arc<AtomicUsize>,
}

struct Started {
    jobs: mpsc::SyncSender<ReadJob>,
    inbox: Arc<Mutex<mpsc::Receiver<ReadJob>>>,
    threads: usize,
}

impl ReadLanes {
    pub fn new(path: PathBuf, port: Port, most: usize, here: Option<Conn>) -> Self {
        let mut first = here;
        // The others open when two callers read at once.
        let here = std::array::from_fn(|_| Mutex::new(first.take()));
        Self { path, port, most, here, started: Mutex::new(None), open: Arc::default() }
    }

    fn submit(&self, job: ReadJob) -> Result<()> {
        let mut started = self.started.lock().unwrap_or_else(|e| e.into_inner());
        let lanes = match &mut *started {
            Some(lanes) => lanes,
            none => {
                let (jobs, inbox) = mpsc::sync_channel::<ReadJob>(DEPTH);
                let inbox = Arc::new(Mutex::new(inbox));
                self.start_thread(0, inbox.clone())?;
                none.insert(Started { jobs, inbox, threads: 1 })
            }
        };
        if lanes.threads < self.most && self.open.load(Ordering::Relaxed) >= lanes.threads {
            self.start_thread(lanes.threads, lanes.inbox.clone())?;
            lanes.threads += 1;
        }
        self.open.fetch_add(1, Ordering::Relaxed);
        lanes.jobs.try_send(job).map_err(|e| {
            self.open.fetch_sub(1, Ordering::Relaxed);
            match e {
                mpsc::TrySendError::Full(_) => full(),
                mpsc::TrySendError::Disconnected(_) => gone(),
            }
        })
    }

    fn start_thread(&self, n: usize, inbox: Arc<Mutex<mpsc::Receiver<ReadJob>>>) -> Result<()> {
        let conn = Conn::open(&self.path, false)?;
        let (port, open) = (self.port.clone(), self.open.clone());
        std::thread::Builder::new()
            .name(format!("store-reader-{n}"))
            .stack_size(1 << 20)
            .spawn(move || {
                loop {
                    let job = inbox.lock().unwrap_or_else(|e| e.into_inner()).recv();
                    let Ok(job) = job else { return };
                    // A panicking job dropped its answer's sender, which tells its caller.
                    if catch_unwind(AssertUnwindSafe(|| job(&conn, &port))).is_err() {
                        conn.rollback();
                    }
                    open.fetch_sub(1, Ordering::Relaxed);
                }
            })
            .map(drop)
            .map_err(|e| internal("the store's thread did not start").because(e))
    }

    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Reader<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        self.submit(Box::new(move |conn, port| {
            let result = read_once(conn, port, work);
            // The caller may have been cancelled: then nobody waits for the answer.
            let _ = reply.send(result);
        }))?;
        answer.await.unwrap_or_else(|_| Err(internal("a store operation panicked")))
    }

    /// A short read on this thread; where others are at all connections for that, on a lane.
    pub async fn run_here<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Reader<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        // No guard may live on while the lane is waited for.
        if let Some(here) = self.here.iter().find_map(|here| here.try_lock().ok()) {
            return self.with(here, |conn| read_once(conn, &self.port, work));
        }
        self.run(work).await
    }

    /// Reads before the vault is open, on this thread: no rotation is followed.
    pub fn look<T>(&self, work: impl FnOnce(&Conn) -> Result<T>) -> Result<T> {
        self.with(self.here[0].lock().unwrap_or_else(|e| e.into_inner()), work)
    }

    fn with<T>(
        &self,
        mut here: MutexGuard<'_, Option<Conn>>,
        work: impl FnOnce(&Conn) -> Result<T>,
    ) -> Result<T> {
        let conn = match &mut *here {
            Some(conn) => conn,
            none => none.insert(Conn::open(&self.path, false)?),
        };
        catch_unwind(AssertUnwindSafe(|| work(conn))).unwrap_or_else(|_| {
            conn.rollback();
            Err(internal("a store operation panicked"))
        })
    }
}

fn read_once<T>(conn: &Conn, port: &Port, work: impl FnOnce(&Reader<'_>) -> Result<T>) -> Result<T> {
    conn.begin(false)?;
    let result = conn.look_again().and_then(|changed| match changed {
        true => port.refresh(conn).inspect_err(|_| conn.forget()),
        false => Ok(()),
    });
    let result = result.and_then(|()| work(&Reader::new(conn, port)));
    conn.rollback();
    result
}

/// A write with its answer channel.
pub struct Job<T, F> {
    pub work: Option<F>,
    pub caller: Caller,
    pub result: Option<Result<T>>,
    pub reply: oneshot::Sender<Result<T>>,
}

impl<T: Send, F: FnOnce(&mut Writer<'_>) -> Result<super::Recorded<T>> + Send> WriteJob for Job<T, F> {
    fn work(&mut self, tx: &mut Writer<'_>) -> Result<(), ()> {
        let work = self.work.take().expect("a job works once");
        tx.serve(&self.caller);
        // Before anything else, so that a repeat never meets what the first call left behind.
        match tx.refuse_repeat().and_then(|()| tx.expect_approval_open()).and_then(|()| work(tx)) {
            Ok(recorded) => {
                self.result = Some(Ok(recorded.0));
                Ok(())
            }
            Err(e) => {
                self.result = Some(Err(e));
                Err(())
            }
        }
    }
    fn answer(self: Box<Self>, committed: Result<(), (Code, String)>) {
        let result = match (self.result, committed) {
            (None, Ok(())) => Err(internal("a store operation panicked")),
            (Some(result), Ok(())) => result,
            // Its own failure says more than the commit's.
            (Some(Err(e)), Err(_)) => Err(e),
            (_, Err((code, message))) => Err(Error::new(code, message)),
        };
        // The caller may have been cancelled: then nobody waits for the answer.
        let _ = self.reply.send(result);
    }
}
