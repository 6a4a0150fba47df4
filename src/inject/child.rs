//! The child itself: its environment, its streams, the signals it gets, and its end.
use super::relay::{Lazy, Relay};
use super::spawn::{self, Arrived, Signals};
use super::terminal::{Pty, RawMode, copy_size, is_ours_to_drive};
use super::{Delivery, Ended, Launch, Masking, files, is_stripped};
use crate::error::{Code, Error, Result, internal};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, Signal, WaitIdOptions};
use std::ffi::OsStr;
use std::io::{self, IsTerminal as _, PipeReader, PipeWriter};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;

/// What is passed on to the child.
const FORWARDED: [i32; 6] =
    [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT, libc::SIGUSR1, libc::SIGUSR2];

/// Signal handlers belong to the process, so one child is launched at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

pub(super) fn run(launch: Launch, warn: &dyn Fn(&str)) -> Result<Ended> {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let listened = [&FORWARDED[..], &[libc::SIGCHLD, libc::SIGWINCH, libc::SIGCONT]].concat();
    // Before the first file exists: a signal in between finds it removed.
    let signals = Signals::listen(&listened).map_err(failed)?;
    let files = files::Files::write(&launch.scratch, &launch.injected)?;
    let mut command = Command::new(&launch.argv[0]);
    command.args(&launch.argv[1..]);
    set_environment(&mut command, &launch, files.as_ref().map_or(&[][..], |(_, paths)| paths), warn);
    let streams = Streams::plan(launch.masking).map_err(failed)?;
    let is_interactive = streams.keyboard.is_some();
    let (child, streams) = streams.start(command, launch)?;
    let status =
        Running { child, signals, keyboard: streams.keyboard, sizes: streams.sizes, is_interactive }.wait();
    drop(streams.child_alive);
    for relay in streams.relays {
        relay.join().map_err(|_| internal("the thread that masks the output failed"))?;
    }
    status.map_err(failed).map(|status| Ended { exit_code: exit_code_of(status) })
}

fn failed(cause: io::Error) -> Error {
    Error::new(Code::CommandNotStarted, format!("the command cannot be started ({})", cause.kind()))
        .because(cause)
}

fn exit_code_of(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

/// Ours without `strip`, then the values and the paths of files over it.
fn set_environment(
    command: &mut Command,
    launch: &Launch,
    paths: &[(String, std::path::PathBuf)],
    warn: &dyn Fn(&str),
) {
    for (name, _) in std::env::vars_os() {
        if is_stripped(&name, &launch.strip) {
            command.env_remove(name);
        } else if launch.injected.iter().any(|one| OsStr::new(&one.variable) == name) {
            warn(&format!("{} was set already; the value of the vault replaces it", name.display()));
        }
    }
    for one in launch.injected.iter().filter(|one| one.delivery == Delivery::Environment) {
        one.value.expose(|value| command.env(&one.variable, OsStr::from_bytes(value)));
    }
    for (variable, path) in paths {
        command.env(variable, path);
    }
}

/// What the child's three handles are to be.
struct Streams {
    keyboard: Option<Keyboard>,
    stdin: Option<OwnedFd>,
    stdout: Option<Carried>,
    stderr: Option<Carried>,
    sizes: Option<(OwnedFd, OwnedFd)>,
    session: Option<OwnedFd>,
    relays: Vec<(OwnedFd, OwnedFd, bool)>,
}

/// The end of an output stream that the child gets.
struct Carried(OwnedFd);

/// Our terminal's keys, on their way to the child's pseudo-terminal.
struct Keyboard {
    terminal: OwnedFd,
    pty: OwnedFd,
    raw: RawMode,
    waiting: Vec<u8>,
    is_open: bool,
}

/// A child that runs, seen from here.
struct Started {
    keyboard: Option<Keyboard>,
    sizes: Option<(OwnedFd, OwnedFd)>,
    relays: Vec<JoinHandle<()>>,
    child_alive: PipeWriter,
}

impl Streams {
    /// Every stream stays what it was: a terminal, or not.
    ///
    /// With a keyboard (stdin and stdout are a terminal in whose foreground we are) the child gets a session of its
    /// own on a pseudo-terminal. Otherwise an output that was a terminal becomes a pseudo-terminal for output only,
    /// and the child stays in our session: in `run -- a | less` and `b | run -- c` the real terminal has another
    /// program to serve, and its ^C and ^Z reach everybody without us.
    fn plan(masking: Masking) -> io::Result<Self> {
        let mut plan = Self {
            keyboard: None,
            stdin: None,
            stdout: None,
            stderr: None,
            sizes: None,
            session: None,
            relays: Vec::new(),
        };
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
            plan.relays.push((pty.our_end.try_clone()?, terminal.try_clone_to_owned()?, true));
            plan.sizes = Some((terminal.try_clone_to_owned()?, pty.our_end.try_clone()?));
        }
        plan.stdout = Some(plan.carry(stdout.as_fd(), stdout.is_terminal(), pty.as_ref())?);
        plan.stderr = Some(plan.carry(stderr.as_fd(), stderr.is_terminal(), pty.as_ref())?);
        if let Some(pty) = pty.filter(|_| has_keyboard) {
            plan.stdin = Some(pty.child_end.try_clone()?);
            plan.session = Some(pty.child_end);
            plan.keyboard = Some(Keyboard {
                terminal: stdin.as_fd().try_clone_to_owned()?,
                pty: pty.our_end,
                raw: RawMode::set(stdin.as_fd())?,
                waiting: Vec::new(),
                is_open: true,
            });
        }
        Ok(plan)
    }

    fn carry(&mut self, ours: BorrowedFd<'_>, is_terminal: bool, pty: Option<&Pty>) -> io::Result<Carried> {
        if let Some(pty) = pty.filter(|_| is_terminal) {
            return Ok(Carried(pty.child_end.try_clone()?));
        }
        let (read, write) = io::pipe()?;
        self.relays.push((read.into(), ours.try_clone_to_owned()?, false));
        Ok(Carried(write.into()))
    }

    fn start(self, mut command: Command, launch: Launch) -> Result<(Child, Started)> {
        if let Some(stdin) = self.stdin {
            command.stdin(stdin);
        }
        if let Some(Carried(stdout)) = self.stdout {
            command.stdout(stdout);
        }
        if let Some(Carried(stderr)) = self.stderr {
            command.stderr(stderr);
        }
        spawn::prepare(&mut command, self.session.as_ref().map(AsRawFd::as_raw_fd));
        let child = command.spawn().map_err(|cause| not_started(&launch.argv[0], cause))?;
        // Our copies of the child's ends, or no stream would ever end.
        drop(command);
        drop(self.session);
        let (alive, child_alive) = io::pipe().map_err(failed)?;
        let relays = start_relays(self.relays, &alive, launch).map_err(failed)?;
        Ok((child, Started { keyboard: self.keyboard, sizes: self.sizes, relays, child_alive }))
    }
}

fn start_relays(
    streams: Vec<(OwnedFd, OwnedFd, bool)>,
    alive: &PipeReader,
    launch: Launch,
) -> io::Result<Vec<JoinHandle<()>>> {
    let lazy = Arc::new(Lazy { launch, patterns: OnceLock::new() });
    let mut relays = Vec::new();
    for (from, to, is_terminal) in streams {
        let relay = Relay { from, to, child_alive: alive.try_clone()?, is_terminal };
        relays.push(relay.start(Arc::clone(&lazy))?);
    }
    Ok(relays)
}

/// Names the command only: its arguments may hold anything.
fn not_started(program: &OsStr, cause: io::Error) -> Error {
    let program = program.display();
    match cause.raw_os_error() {
        Some(libc::ENOENT) => Error::new(Code::CommandNotFound, format!("there is no command {program}")),
        Some(libc::EACCES | libc::ENOEXEC | libc::EISDIR | libc::ENOTDIR | libc::EPERM) => {
            Error::new(Code::CommandNotExecutable, format!("{program} is no program that you may run"))
        }
        Some(libc::E2BIG) => {
            Error::new(Code::TooLarge, format!("the environment is too large for {program}"))
                .next("Deliver the largest values as files, or inject fewer of them.")
        }
        _ => return failed(cause),
    }
    .because(cause)
}

/// The loop that lives as long as the child.
struct Running {
    child: Child,
    signals: Signals,
    keyboard: Option<Keyboard>,
    sizes: Option<(OwnedFd, OwnedFd)>,
    is_interactive: bool,
}

impl Running {
    fn wait(mut self) -> io::Result<ExitStatus> {
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            self.follow_a_stop();
            let keys = self.wait_for_something();
            for arrived in self.signals.arrived() {
                self.pass_on(arrived);
            }
            if let Some(keyboard) = self.keyboard.as_mut().filter(|_| keys) {
                keyboard.carry(&self.child);
            }
        }
    }

    /// Sleeps until a signal came, or a key (then `true`), or the pseudo-terminal takes keys again.
    fn wait_for_something(&self) -> bool {
        let signals = PollFd::from_borrowed_fd(self.signals.as_fd(), PollFlags::IN);
        // An interrupted wait looks again, like any other.
        match self.keyboard.as_ref().filter(|keyboard| keyboard.is_open || !keyboard.waiting.is_empty()) {
            None => {
                let _ = poll(&mut [signals], None);
                false
            }
            Some(keyboard) => {
                let keys = match keyboard.waiting.is_empty() {
                    true => PollFd::new(&keyboard.terminal, PollFlags::IN),
                    false => PollFd::new(&keyboard.pty, PollFlags::OUT),
                };
                let mut both = [signals, keys];
                let _ = poll(&mut both, None);
                !both[1].revents().is_empty()
            }
        }
    }

    fn pass_on(&self, arrived: Arrived) {
        match arrived.signal {
            libc::SIGWINCH => {
                if let Some((ours, theirs)) = &self.sizes {
                    copy_size(ours.as_fd(), theirs.as_fd());
                }
            }
            // A child in our own process group has had what the terminal sent.
            signal if FORWARDED.contains(&signal) && (self.is_interactive || !arrived.typed) => {
                if let Some(signal) = Signal::from_named_raw(signal) {
                    // Not yet waited for, so this is still its process id; it may have ended, which is fine.
                    let _ = rustix::process::kill_process(pid_of(&self.child), signal);
                }
            }
            _ => {}
        }
    }

    /// When the child on our pseudo-terminal was stopped, we stop too, and continue it when we are continued.
    fn follow_a_stop(&self) {
        let Some(keyboard) = &self.keyboard else { return };
        let pid = pid_of(&self.child);
        let options = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG;
        let id = rustix::process::WaitId::Pid(pid);
        if !rustix::process::waitid(id, options).is_ok_and(|status| status.is_some_and(|s| s.stopped())) {
            return;
        }
        keyboard.raw.give_back();
        spawn::stop_ourselves();
        keyboard.raw.again();
        if let Some((ours, theirs)) = &self.sizes {
            copy_size(ours.as_fd(), theirs.as_fd());
        }
        let _ = rustix::process::kill_process_group(pid, Signal::CONT);
    }
}

fn pid_of(child: &Child) -> Pid {
    Pid::from_child(child)
}

impl Keyboard {
    /// Moves keys on, never blocking.
    fn carry(&mut self, child: &Child) {
        if self.waiting.is_empty() {
            let mut keys = [0u8; 4096];
            match rustix::io::read(&self.terminal, &mut keys) {
                Ok(0) => self.is_open = false,
                Ok(size) => self.waiting.extend_from_slice(&keys[..size]),
                Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {}
                Err(_) => self.is_open = false,
            }
            self.stop_on_suspend(child);
        }
        match rustix::io::write(&self.pty, &self.waiting) {
            Ok(size) => drop(self.waiting.drain(..size)),
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {}
            Err(_) => (self.waiting.clear(), self.is_open = false).1,
        }
    }

    /// ^Z for the child itself. The kernel would drop it: nobody else is in the child's session to continue it
    /// (an orphaned process group, POSIX 2.4.3). A shell's own jobs are not touched, and neither is a program that
    /// reads ^Z as a key.
    fn stop_on_suspend(&mut self, child: &Child) {
        use rustix::termios::{LocalModes, SpecialCodeIndex, tcgetattr, tcgetpgrp};
        let Ok(modes) = tcgetattr(&self.pty) else { return };
        let suspend = modes.special_codes[SpecialCodeIndex::VSUSP];
        let in_front = tcgetpgrp(&self.pty).is_ok_and(|group| group == pid_of(child));
        if !modes.local_modes.contains(LocalModes::ISIG) || suspend == 0 || !in_front {
            return;
        }
        if let Some(at) = self.waiting.iter().position(|&key| key == suspend) {
            self.waiting.remove(at);
            let _ = rustix::process::kill_process_group(pid_of(child), Signal::STOP);
        }
    }
}
