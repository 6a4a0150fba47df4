//! Carries one output stream of the child through the masker to ours, in a thread of its own.
//!
//! It reads no faster than our reader does, so memory stays constant, and it does not wait for ever for a
//! grandchild that keeps the stream open.
use super::mask::{Masker, Patterns};
use super::spawn;
use crate::secret::SecretBytes;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

const CHUNK_BYTES: usize = 64 * 1024;
/// After the child has ended, a stream that says nothing for so long is held open by somebody else.
const QUIET: Duration = Duration::from_millis(200);
/// And one that goes on for so long, with more than a pipe can hold, is written by somebody else.
const DRAIN: Duration = Duration::from_secs(2);
const DRAIN_BYTES: usize = 1024 * 1024;
/// On a terminal, how long a prompt may wait to be seen whole.
const PAUSE: Duration = Duration::from_millis(50);

/// Builds the patterns when the first byte comes; a child that prints nothing costs nothing.
pub(super) struct Lazy {
    injected: Vec<super::Injected>,
    /// Values that came later, and the patterns of all.
    state: Mutex<State>,
    /// Counts the times that values came.
    generation: AtomicU64,
}

#[derive(Default)]
struct State {
    later: Vec<(String, SecretBytes)>,
    patterns: Option<Arc<Patterns>>,
}

impl Lazy {
    pub(super) fn new(injected: Vec<super::Injected>) -> Self {
        Self { injected, state: Mutex::default(), generation: AtomicU64::new(0) }
    }

    fn masker(&self) -> Masker {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State { later, patterns } = &mut *state;
        let patterns = patterns.get_or_insert_with(|| {
            let first = self.injected.iter().map(|one| (one.label.as_str(), &one.value));
            Arc::new(Patterns::new(first.chain(later.iter().map(|(label, value)| (label.as_str(), value)))))
        });
        Masker::new(Arc::clone(patterns))
    }

    /// Masks these as well from now on; the former ones go on being masked.
    pub(super) fn renew(&self, values: &[super::Injected]) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for one in values {
            let copy = one.value.expose(SecretBytes::copied);
            state.later.push((one.label.clone(), copy));
        }
        state.patterns = None;
        self.generation.fetch_add(1, Ordering::SeqCst);
    }
}

/// One stream.
pub(super) struct Relay {
    pub from: OwnedFd,
    pub to: OwnedFd,
    /// Ends when the child has.
    pub child_alive: PipeReader,
    /// Closes when this relay is done.
    pub _done: PipeWriter,
    /// `from` is a pseudo-terminal: it shows prompts, and is read to the end even if nobody sees it.
    pub is_terminal: bool,
}

impl Relay {
    pub(super) fn start(self, lazy: Arc<Lazy>) -> io::Result<JoinHandle<()>> {
        std::thread::Builder::new().name("output".into()).stack_size(256 * 1024).spawn(move || {
            spawn::leave_signals_to_others();
            self.run(&lazy);
        })
    }

    /// Returns at the end of the stream, or when our own is closed: `from` closes then, and the child gets the
    /// SIGPIPE or the hang-up that it would have got without us.
    fn run(self, lazy: &Lazy) {
        let mut chunk = Zeroizing::new(vec![0u8; CHUNK_BYTES]);
        let mut out = Vec::with_capacity(CHUNK_BYTES + 1024);
        let mut masker: Option<Masker> = None;
        let mut since: Option<Instant> = None;
        let (mut drained, mut is_seen, mut generation) = (0, true, 0);
        loop {
            let may_pause = self.is_terminal && masker.as_ref().is_some_and(Masker::has_more_to_show);
            let timeout = match since {
                Some(_) => Some(QUIET),
                None => may_pause.then_some(PAUSE),
            };
            let ready = match self.wait(timeout, since.is_none()) {
                Ready::Bytes => rustix::io::read(&self.from, &mut chunk[..]),
                Ready::ChildEnded => {
                    since = Some(Instant::now());
                    continue;
                }
                Ready::Nothing if since.is_some() => Ok(0),
                Ready::Nothing => {
                    if let Some(masker) = &mut masker {
                        masker.pause(&mut out);
                    }
                    is_seen = is_seen && write_all(&self.to, &out);
                    out.clear();
                    continue;
                }
            };
            let size = match ready {
                Err(Errno::INTR | Errno::AGAIN) => continue,
                // A pseudo-terminal whose last other end has closed says EIO.
                Ok(0) | Err(_) => break,
                Ok(size) => size,
            };
            let now = lazy.generation.load(Ordering::SeqCst);
            if std::mem::replace(&mut generation, now) != now
                && let Some(mut former) = masker.take()
            {
                former.finish(&mut out);
            }
            masker.get_or_insert_with(|| lazy.masker()).push(&chunk[..size], &mut out);
            is_seen = is_seen && write_all(&self.to, &out);
            out.clear();
            if !is_seen && !self.is_terminal {
                return;
            }
            drained += size;
            match since {
                None => drained = 0,
                Some(since) if drained > DRAIN_BYTES && since.elapsed() > DRAIN => break,
                Some(_) => {}
            }
        }
        if let Some(mut masker) = masker {
            masker.finish(&mut out);
            write_all(&self.to, &out);
        }
    }

    fn wait(&self, timeout: Option<Duration>, watch_child: bool) -> Ready {
        let timeout = timeout.map(|time| Timespec { tv_sec: 0, tv_nsec: i64::from(time.subsec_nanos()) });
        let mut fds = [
            PollFd::new(&self.from, PollFlags::IN),
            PollFd::from_borrowed_fd(self.child_alive.as_fd(), PollFlags::IN),
        ];
        let count = if watch_child { 2 } else { 1 };
        loop {
            match poll(&mut fds[..count], timeout.as_ref()) {
                Err(Errno::INTR) => {}
                Err(_) => return Ready::Bytes,
                Ok(_) if !fds[0].revents().is_empty() => return Ready::Bytes,
                Ok(0) => return Ready::Nothing,
                Ok(_) => return Ready::ChildEnded,
            }
        }
    }
}

enum Ready {
    Bytes,
    ChildEnded,
    Nothing,
}

/// Whether all of `bytes` could be written. Waits for a slow reader, also on a handle that does not.
fn write_all(to: &OwnedFd, mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        match rustix::io::write(to, bytes) {
            Ok(size) => bytes = &bytes[size..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                // An interrupted wait only tries again.
                let _ = poll(&mut [PollFd::new(to, PollFlags::OUT)], None);
            }
            Err(_) => return false,
        }
    }
    true
}
