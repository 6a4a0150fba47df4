//! The few calls that need `unsafe`: what happens between fork and exec, the reaper, and signal handlers.
//!
//! Everything here that runs in a forked child or in a handler is async-signal-safe: system calls on memory
//! prepared beforehand, no allocation, no lock. Nothing here sees a value.
#![allow(unsafe_code)]
use std::ffi::CString;
use std::io::{self, PipeReader, PipeWriter, Read as _};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::sync::atomic::{AtomicI32, Ordering};

/// Arranges what the child does before it becomes the program:
/// no core dump, no descriptor but 0, 1, 2, SIGTERM when we die, and with `terminal` a session of
/// its own that has that terminal as its controlling one.
///
/// The death signal belongs to the *thread* that spawns, so that thread must outlive the child (prctl(2)).
pub(super) fn prepare(command: &mut Command, terminal: Option<RawFd>) {
    let us = rustix::process::getpid().as_raw_nonzero().get();
    // SAFETY: system calls only, on values captured by copy.
    unsafe {
        command.pre_exec(move || {
            let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
            check(libc::setrlimit(libc::RLIMIT_CORE, &none))?;
            if let Some(terminal) = terminal {
                check(libc::setsid())?;
                check(libc::ioctl(terminal, libc::TIOCSCTTY as _, 0))?;
            }
            #[cfg(target_os = "linux")]
            check(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM))?;
            if libc::getppid() != us {
                return Err(io::Error::from_raw_os_error(libc::ESRCH));
            }
            close_on_exec_from(3);
            Ok(())
        });
    }
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Marks every descriptor from `first` on as closed by exec, also those we inherited and never knew of.
/// They are marked and not closed because the standard library still reports a failed exec through one.
fn close_on_exec_from(first: RawFd) {
    // SAFETY: system calls on numbers; a number that is not open fails with EBADF, which is what we want.
    unsafe {
        #[cfg(target_os = "linux")]
        if libc::syscall(libc::SYS_close_range, first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) == 0 {
            return;
        }
        for fd in first..most_descriptors() {
            libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC);
        }
    }
}

fn most_descriptors() -> RawFd {
    // SAFETY: sysconf reads a number.
    let open_max = unsafe { libc::sysconf(libc::_SC_OPEN_MAX) };
    open_max.clamp(256, 65_536) as RawFd
}

/// A process that waits for our end of a pipe to close, however we end, and then removes `files` and `folder`.
pub(super) struct Reaper {
    pid: libc::pid_t,
    alive: Option<PipeWriter>,
}

/// Forks the reaper.
///
/// A fork and not a second start of our binary: it costs 0.2 ms instead of several, needs no hidden argument, and
/// works when the binary was replaced meanwhile. It runs system calls only, so other threads of ours do not
/// matter. It shares our memory pages, which stay non-dumpable, and ends as soon as we do.
pub(super) fn fork_reaper(files: &[CString], folder: &CString) -> io::Result<Reaper> {
    let (read, write) = io::pipe()?;
    let (wait_on, limit) = (read.as_raw_fd(), most_descriptors());
    // SAFETY: the child calls async-signal-safe functions only, on memory made before the fork, and never returns.
    unsafe {
        match libc::fork() {
            -1 => Err(io::Error::last_os_error()),
            0 => {
                libc::setsid();
                for signal in
                    [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM, libc::SIGUSR1, libc::SIGUSR2]
                {
                    libc::signal(signal, libc::SIG_IGN);
                }
                libc::dup2(wait_on, 0);
                close_from(1, limit);
                libc::chdir(c"/".as_ptr());
                let mut byte = 0u8;
                while libc::read(0, (&raw mut byte).cast(), 1) == -1 && *errno() == libc::EINTR {}
                for file in files {
                    libc::unlink(file.as_ptr());
                }
                libc::rmdir(folder.as_ptr());
                libc::_exit(0)
            }
            pid => Ok(Reaper { pid, alive: Some(write) }),
        }
    }
}

/// Closes every descriptor from `first` on, so that the reaper holds no pipe of ours open.
fn close_from(first: RawFd, limit: RawFd) {
    // SAFETY: only called in the reaper, which owns nothing behind these numbers.
    unsafe {
        #[cfg(target_os = "linux")]
        if libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) == 0 {
            return;
        }
        for fd in first..limit {
            libc::close(fd);
        }
    }
}

impl Drop for Reaper {
    /// Lets the reaper do its work and waits for it.
    fn drop(&mut self) {
        self.alive = None;
        // SAFETY: waits for our own child; its status does not matter.
        unsafe { while libc::waitpid(self.pid, std::ptr::null_mut(), 0) == -1 && *errno() == libc::EINTR {} }
    }
}

fn errno() -> *mut libc::c_int {
    // SAFETY: both return the calling thread's own variable.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    return unsafe { libc::__errno_location() };
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    return unsafe { libc::__error() };
}

/// Where the handlers write; -1 while nobody listens.
static NOTES: AtomicI32 = AtomicI32::new(-1);

/// A signal that arrived. `typed`: the kernel sent it to the whole foreground group (^C), not one process to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Arrived {
    pub signal: i32,
    pub typed: bool,
}

/// Signals as bytes on a pipe, while this value lives; the former handlers come back when it is dropped.
pub(super) struct Signals {
    notes: PipeReader,
    _write: PipeWriter,
    former: Vec<(i32, libc::sigaction)>,
}

impl Signals {
    /// Listens for `signals`. One that this process was told to ignore (`nohup`) stays ignored, in the child too.
    pub(super) fn listen(signals: &[i32]) -> io::Result<Self> {
        let (notes, write) = io::pipe()?;
        for end in [notes.as_fd(), write.as_fd()] {
            rustix::io::ioctl_fionbio(end, true)?;
        }
        NOTES.store(write.as_raw_fd(), Ordering::SeqCst);
        let mut this = Self { notes, _write: write, former: Vec::with_capacity(signals.len()) };
        for &signal in signals {
            this.listen_for(signal)?;
        }
        Ok(this)
    }

    fn listen_for(&mut self, signal: i32) -> io::Result<()> {
        // SAFETY: the structures are plain data, valid when zeroed; `note` is async-signal-safe.
        unsafe {
            let mut former: libc::sigaction = std::mem::zeroed();
            check(libc::sigaction(signal, std::ptr::null(), &mut former))?;
            if former.sa_sigaction == libc::SIG_IGN && signal != libc::SIGCHLD {
                return Ok(());
            }
            let mut ours: libc::sigaction = std::mem::zeroed();
            ours.sa_sigaction = note as extern "C" fn(_, _, _) as usize;
            ours.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
            check(libc::sigaction(signal, &ours, std::ptr::null_mut()))?;
            self.former.push((signal, former));
            let mut only: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&mut only);
            libc::sigaddset(&mut only, signal);
            libc::pthread_sigmask(libc::SIG_UNBLOCK, &only, std::ptr::null_mut());
        }
        Ok(())
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.notes.as_fd()
    }

    /// What arrived since the last call; never waits.
    pub(super) fn arrived(&mut self) -> Vec<Arrived> {
        let mut bytes = [0u8; 128];
        let size = self.notes.read(&mut bytes).unwrap_or(0);
        bytes[..size].chunks_exact(2).map(|b| Arrived { signal: b[0].into(), typed: b[1] == 1 }).collect()
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        for (signal, former) in &self.former {
            // SAFETY: puts back what sigaction gave us for the same signal.
            unsafe { libc::sigaction(*signal, former, std::ptr::null_mut()) };
        }
        NOTES.store(-1, Ordering::SeqCst);
    }
}

/// The handler: two bytes onto the pipe, `errno` left as it was. A full pipe drops the note (32 000 are waiting).
extern "C" fn note(signal: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the kernel hands a valid `info`; write(2) is async-signal-safe and does not wait on this pipe.
    unsafe {
        let kept = *errno();
        // Linux marks its own signals by a positive code, others by no sender.
        let is_kernel = if cfg!(target_os = "linux") { (*info).si_code > 0 } else { (*info).si_pid() == 0 };
        let bytes = [signal as u8, u8::from(is_kernel)];
        libc::write(NOTES.load(Ordering::SeqCst), bytes.as_ptr().cast(), 2);
        *errno() = kept;
    }
}

/// Keeps every signal off the calling thread, for the other threads to take.
///
/// A handler's frame holds the vector registers, and in those of a thread that copies output lies what it copied:
/// so values would be left on its stack (H-01).
pub(super) fn leave_signals_to_others() {
    // SAFETY: the set is plain data, valid when zeroed, and is filled before it is used.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&mut all);
        // Whoever writes to a terminal from the background is stopped by it, and by no other thread's mask.
        libc::sigdelset(&mut all, libc::SIGTTOU);
        libc::pthread_sigmask(libc::SIG_BLOCK, &all, std::ptr::null_mut());
    }
}

/// Stops this process as the terminal's ^Z would; returns when something continues it.
pub(super) fn stop_ourselves() {
    // SAFETY: raise takes a number.
    unsafe { libc::raise(libc::SIGSTOP) };
}
