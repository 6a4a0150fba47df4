//! The child itself: its environment, its streams, the signals it gets, and its end.
use super::keyboard::Keyboard;
use super::relay::Lazy;
use super::spawn::{self, Arrived, Signals};
use super::streams::{Sizes, Started, Streams};
use super::{Control, Delivery, Ended, Launch, Order, files, is_stripped};
use crate::error::{Code, Error, Result, internal};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};
use std::ffi::OsStr;
use std::io::{self, PipeReader, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::TryRecvError;
use std::sync::{Arc, Mutex, PoisonError};

/// What is passed on to the child.
const FORWARDED: [i32; 6] =
    [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT, libc::SIGUSR1, libc::SIGUSR2];

/// Of these, what tells us to end.
const ENDING: [i32; 4] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT];

/// Signal handlers belong to the process, so one child is launched at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

pub(super) fn run(mut launch: Launch, warn: &dyn Fn(&str)) -> Result<Ended> {
    let control = launch.control.take();
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let listened = [&FORWARDED[..], &[libc::SIGCHLD, libc::SIGWINCH, libc::SIGCONT]].concat();
    // Before the first file exists: a signal in between finds it removed.
    let mut signals = Signals::listen(&listened).map_err(failed)?;
    let files = files::Files::write(&launch.scratch, &launch.injected)?;
    let mut command = Command::new(&launch.argv[0]);
    command.args(&launch.argv[1..]);
    set_environment(&mut command, &launch, files.as_ref(), warn);
    let streams = Streams::plan(launch.masking).map_err(failed)?;
    let is_interactive = streams.keyboard.is_some();
    if let Some(early) = signals.arrived().into_iter().find(|early| FORWARDED.contains(&early.signal)) {
        return Ok(Ended { exit_code: 128 + early.signal, was_told_to: true });
    }
    let (child, started) = streams.start(command, launch)?;
    let Started { keyboard, sizes, relays, child_alive, output, lazy } = started;
    let mut running =
        Running { child, signals, keyboard, sizes, is_interactive, control, files, lazy, was_told_to: false };
    let status = running.wait().map_err(failed)?;
    drop(child_alive);
    // `running` still lives: the last output was made for a raw terminal.
    if let Some(signal) = running.wait_for(&output) {
        return Ok(Ended { exit_code: 128 + signal, was_told_to: true });
    }
    for relay in relays {
        relay.join().map_err(|_| internal("the thread that masks the output failed"))?;
    }
    Ok(Ended { exit_code: exit_code_of(status), was_told_to: running.was_told_to })
}

pub(super) fn failed(cause: io::Error) -> Error {
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
    files: Option<&files::Files>,
    warn: &dyn Fn(&str),
) {
    for (name, _) in std::env::vars_os() {
        if is_stripped(&name, &launch.strip) {
            command.env_remove(name);
        } else if launch.injected.iter().any(|one| OsStr::new(&one.variable) == name) {
            warn(&format!("{} was set already; the value of the vault replaces it", name.display()));
        }
    }
    for (variable, text) in &launch.plain {
        command.env(variable, text);
    }
    for one in launch.injected.iter().filter(|one| one.delivery == Delivery::Environment) {
        one.value.expose(|value| command.env(&one.variable, OsStr::from_bytes(value)));
    }
    for (variable, path) in files.iter().flat_map(|files| files.paths()) {
        command.env(variable, path);
    }
}

/// Names the command only: its arguments may hold anything.
pub(super) fn not_started(program: &OsStr, cause: io::Error) -> Error {
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
    sizes: Option<Sizes>,
    is_interactive: bool,
    control: Option<Control>,
    /// Gone when the run is.
    files: Option<files::Files>,
    lazy: Arc<Lazy>,
    was_told_to: bool,
}

impl Running {
    fn wait(&mut self) -> io::Result<ExitStatus> {
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            self.follow_a_stop();
            let keys = self.wait_for_something();
            self.obey();
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
        let mut awaited = vec![signals];
        let keys = self.keyboard.as_ref().and_then(Keyboard::awaited);
        let has_keys = keys.is_some();
        awaited.extend(keys);
        awaited.extend(self.control.as_ref().map(|control| PollFd::new(&control.bell, PollFlags::IN)));
        // An interrupted wait looks again, like any other.
        let _ = poll(&mut awaited, None);
        has_keys && awaited.get(1).is_some_and(|keys| !keys.revents().is_empty())
    }

    /// Does what was ordered meanwhile. Whoever orders no more is not waited for.
    fn obey(&mut self) {
        let Some(control) = &mut self.control else { return };
        let mut orders = Vec::new();
        loop {
            match control.orders.try_recv() {
                Ok(order) => orders.push(order),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => {
                    self.control = None;
                    break;
                }
            }
        }
        if let (Some(control), false) = (&mut self.control, orders.is_empty()) {
            // One byte for each order: what is left over only wakes us once more.
            let _ = control.bell.read(&mut vec![0; orders.len()]);
        }
        for order in orders {
            let signal = match order {
                Order::Signal(signal) => signal,
                Order::Renew { values, signal } => {
                    // Masked before the program can have it.
                    let renewed = self.files.as_ref().map_or(Ok(()), |files| files.check_renewable(&values));
                    self.lazy.renew(&values);
                    if let Some(files) = &self.files
                        && let Err(e) = renewed.and_then(|()| files.renew(&values))
                    {
                        tracing::error!(code = e.code.name(), "the files of a program could not be renewed");
                        continue;
                    }
                    signal
                }
            };
            if let Some(signal) = Signal::from_named_raw(signal) {
                // Not yet waited for, so this is still its process id; it may have ended, which is fine.
                let _ = rustix::process::kill_process(pid_of(&self.child), signal);
            }
        }
    }

    /// After the child has ended, waits until its output is through; returns a signal that comes before, for
    /// nobody is left to pass it on to, and our reader may never read on.
    fn wait_for(&mut self, output: &PipeReader) -> Option<i32> {
        loop {
            let signals = PollFd::from_borrowed_fd(self.signals.as_fd(), PollFlags::IN);
            let mut awaited = [signals, PollFd::new(output, PollFlags::IN)];
            let _ = poll(&mut awaited, None);
            if !awaited[1].revents().is_empty() {
                return None;
            }
            if let Some(arrived) = self.signals.arrived().iter().find(|one| FORWARDED.contains(&one.signal)) {
                return Some(arrived.signal);
            }
        }
    }

    fn pass_on(&mut self, arrived: Arrived) {
        self.was_told_to |= ENDING.contains(&arrived.signal);
        match arrived.signal {
            libc::SIGWINCH => {
                if let Some(sizes) = &self.sizes {
                    sizes.copy();
                }
            }
            libc::SIGCONT => self.continued(),
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
    fn follow_a_stop(&mut self) {
        let Some(keyboard) = &self.keyboard else { return };
        let pid = pid_of(&self.child);
        let stopped =
            rustix::process::waitid(WaitId::Pid(pid), WaitIdOptions::STOPPED | WaitIdOptions::NOHANG);
        if !stopped.is_ok_and(|status| status.is_some_and(|status| status.stopped())) {
            return;
        }
        keyboard.give_back();
        spawn::stop_ourselves();
        self.continued();
        // It may have been killed meanwhile, which the loop sees next.
        let _ = rustix::process::kill_process_group(pid, Signal::CONT);
    }

    fn continued(&mut self) {
        if let Some(sizes) = &self.sizes {
            sizes.copy();
        }
        if let Some(keyboard) = &mut self.keyboard {
            keyboard.take_again();
        }
    }
}

pub(super) fn pid_of(child: &Child) -> Pid {
    Pid::from_child(child)
}
