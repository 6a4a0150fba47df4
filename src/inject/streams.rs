//! The child's three handles: what each is to be, and the threads that carry them.
use super::child::{failed, not_started};
use super::keyboard::Keyboard;
use super::relay::{Lazy, Relay};
use super::terminal::{Pty, copy_size, is_ours_to_drive};
use super::{Launch, Masking, spawn};
use crate::error::Result;
use std::io::{self, IsTerminal as _, PipeReader, PipeWriter};
use std::os::fd::{AsFd as _, AsRawFd, BorrowedFd, OwnedFd};
use std::process::{Child, Command};
use std::sync::Arc;
use std::thread::JoinHandle;

/// What the child's three handles are to be; `None` is our own.
#[derive(Default)]
pub(super) struct Streams {
    stdin: Option<OwnedFd>,
    stdout: Option<OwnedFd>,
    stderr: Option<OwnedFd>,
    /// The terminal of the session that the child gets.
    session: Option<OwnedFd>,
    lines: Vec<Line>,
    sizes: Option<Sizes>,
    pub(super) keyboard: Option<Keyboard>,
}

/// What to carry from where to where.
struct Line {
    from: OwnedFd,
    to: OwnedFd,
    is_terminal: bool,
}

/// Our terminal and the child's, which is to have the same size.
pub(super) struct Sizes {
    ours: OwnedFd,
    theirs: OwnedFd,
}

impl Sizes {
    pub(super) fn copy(&self) {
        copy_size(self.ours.as_fd(), self.theirs.as_fd());
    }
}

/// The streams of a child that runs, seen from here.
pub(super) struct Started {
    pub keyboard: Option<Keyboard>,
    pub sizes: Option<Sizes>,
    pub relays: Vec<JoinHandle<()>>,
    /// Dropping it tells the relays that the child has ended.
    pub child_alive: PipeWriter,
    /// Hangs up when the last relay is done.
    pub output: PipeReader,
    /// What the relays mask.
    pub lazy: Arc<Lazy>,
}

impl Streams {
    /// Every stream stays what it was: a terminal, or not.
    ///
    /// With a keyboard (stdin and stdout are a terminal in whose foreground we are) the child gets a session of its
    /// own on a pseudo-terminal. Otherwise an output that was a terminal becomes a pseudo-terminal for output only,
    /// and the child stays in our session: in `run -- a | less` and `b | run -- c` the real terminal has another
    /// program to serve, and its ^C and ^Z reach everybody without us.
    pub(super) fn plan(masking: Masking) -> io::Result<Self> {
        let mut plan = Self::default();
        if masking == Masking::Off {
            return Ok(plan);
        }
        let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
        let has_keyboard = stdin.is_terminal() && stdout.is_terminal() && is_ours_to_drive(stdin.as_fd());
        let terminal = match (stdout.is_terminal(), stderr.is_terminal()) {
            (true, _) => Some(stdout.as_fd()),
            (false, true) => Some(stderr.as_fd()),
            (false, false) => None,
        };
        let pty = match terminal {
            Some(terminal) if has_keyboard => Some(Pty::like(terminal)?),
            Some(terminal) => Some(Pty::for_output(terminal)?),
            None => None,
        };
        if let (Some(pty), Some(terminal)) = (&pty, terminal) {
            let (from, to) = (pty.our_end.try_clone()?, terminal.try_clone_to_owned()?);
            plan.sizes = Some(Sizes { ours: to.try_clone()?, theirs: from.try_clone()? });
            plan.lines.push(Line { from, to, is_terminal: true });
        }
        let out = plan.carry(stdout.as_fd(), stdout.is_terminal(), pty.as_ref())?;
        // After `2>&1` both are one stream, whose order must stay.
        plan.stderr = Some(match is_same(stdout.as_fd(), stderr.as_fd()) {
            true => out.try_clone()?,
            false => plan.carry(stderr.as_fd(), stderr.is_terminal(), pty.as_ref())?,
        });
        plan.stdout = Some(out);
        if let Some(pty) = pty.filter(|_| has_keyboard) {
            plan.stdin = Some(pty.child_end.try_clone()?);
            plan.session = Some(pty.child_end);
            plan.keyboard = Some(Keyboard::drive(stdin.as_fd(), pty.our_end)?);
        }
        Ok(plan)
    }

    /// The end that the child gets of the stream that goes to `ours`.
    fn carry(&mut self, ours: BorrowedFd<'_>, is_terminal: bool, pty: Option<&Pty>) -> io::Result<OwnedFd> {
        if let Some(pty) = pty.filter(|_| is_terminal) {
            return pty.child_end.try_clone();
        }
        let (read, write) = io::pipe()?;
        self.lines.push(Line { from: read.into(), to: ours.try_clone_to_owned()?, is_terminal: false });
        Ok(write.into())
    }

    /// Starts the child, and before it what carries its output: once it runs nothing can fail.
    pub(super) fn start(self, mut command: Command, launch: Launch) -> Result<(Child, Started)> {
        if let Some(stdin) = self.stdin {
            command.stdin(stdin);
        }
        if let Some(stdout) = self.stdout {
            command.stdout(stdout);
        }
        if let Some(stderr) = self.stderr {
            command.stderr(stderr);
        }
        spawn::prepare(&mut command, self.session.as_ref().map(AsRawFd::as_raw_fd));
        let program = launch.argv[0].clone();
        let (alive, child_alive) = io::pipe().map_err(failed)?;
        let (output, done) = io::pipe().map_err(failed)?;
        let lazy = Arc::new(Lazy::new(launch.injected));
        let relays = start_relays(self.lines, alive, done, &lazy).map_err(failed)?;
        // Dropping `command` and `session` closes our copies of the child's ends, or no stream would ever end.
        let child = command.spawn().map_err(|cause| not_started(&program, cause))?;
        Ok((child, Started { keyboard: self.keyboard, sizes: self.sizes, relays, child_alive, output, lazy }))
    }
}

fn is_same(one: BorrowedFd<'_>, other: BorrowedFd<'_>) -> bool {
    match (rustix::fs::fstat(one), rustix::fs::fstat(other)) {
        (Ok(one), Ok(other)) => (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino),
        _ => false,
    }
}

fn start_relays(
    lines: Vec<Line>,
    alive: PipeReader,
    done: PipeWriter,
    lazy: &Arc<Lazy>,
) -> io::Result<Vec<JoinHandle<()>>> {
    let mut relays = Vec::new();
    for Line { from, to, is_terminal } in lines {
        let (child_alive, done) = (alive.try_clone()?, done.try_clone()?);
        let relay = Relay { from, to, child_alive, _done: done, is_terminal };
        relays.push(relay.start(Arc::clone(lazy))?);
    }
    Ok(relays)
}
