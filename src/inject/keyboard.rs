//! Our terminal's keys, on their way to the child's pseudo-terminal.
use super::child::pid_of;
use super::terminal::{RawMode, is_ours_to_drive};
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::process::Signal;
use rustix::termios::{LocalModes, SpecialCodeIndex, tcgetattr, tcgetpgrp};
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::process::Child;

/// The terminal in whose foreground we are, raw while this lives.
pub(super) struct Keyboard {
    terminal: OwnedFd,
    pty: OwnedFd,
    raw: RawMode,
    /// Keys that the pseudo-terminal has not taken yet.
    waiting: Vec<u8>,
    is_open: bool,
    /// We are in its foreground.
    is_ours: bool,
}

impl Keyboard {
    /// Takes the keys of `terminal` over for the child on the other end of `pty`.
    pub(super) fn drive(terminal: BorrowedFd<'_>, pty: OwnedFd) -> io::Result<Self> {
        let raw = RawMode::set(terminal)?;
        let terminal = terminal.try_clone_to_owned()?;
        Ok(Self { terminal, pty, raw, waiting: Vec::new(), is_open: true, is_ours: true })
    }

    /// What to wait for: a key, or room for those that wait. `None` while the keys are not ours to read.
    pub(super) fn awaited(&self) -> Option<PollFd<'_>> {
        if !self.waiting.is_empty() {
            return Some(PollFd::new(&self.pty, PollFlags::OUT));
        }
        (self.is_open && self.is_ours).then(|| PollFd::new(&self.terminal, PollFlags::IN))
    }

    /// Before we stop.
    pub(super) fn give_back(&self) {
        self.raw.give_back();
    }

    /// After we were continued: `fg` gives us the terminal, `bg` does not, and then its keys are not ours.
    pub(super) fn take_again(&mut self) {
        self.is_ours = is_ours_to_drive(self.terminal.as_fd());
        if self.is_ours {
            self.raw.again();
        }
    }

    /// Moves keys on, never blocking.
    pub(super) fn carry(&mut self, child: &Child) {
        if self.waiting.is_empty() {
            let mut keys = [0u8; 4096];
            match rustix::io::read(&self.terminal, &mut keys) {
                Err(Errno::INTR | Errno::AGAIN) => {}
                Ok(0) | Err(_) => self.is_open = false,
                Ok(size) => self.waiting.extend_from_slice(&keys[..size]),
            }
            self.stop_on_suspend(child);
        }
        match rustix::io::write(&self.pty, &self.waiting) {
            Ok(size) => drop(self.waiting.drain(..size)),
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(_) => {
                self.waiting.clear();
                self.is_open = false;
            }
        }
    }

    /// ^Z for the child itself. The kernel would drop it: nobody else is in the child's session to continue it
    /// (an orphaned process group, POSIX 2.4.3). A shell's own jobs are not touched, and neither is a program that
    /// reads ^Z as a key.
    fn stop_on_suspend(&mut self, child: &Child) {
        let Ok(modes) = tcgetattr(&self.pty) else { return };
        let suspend = modes.special_codes[SpecialCodeIndex::VSUSP];
        let in_front = tcgetpgrp(&self.pty).is_ok_and(|group| group == pid_of(child));
        if !modes.local_modes.contains(LocalModes::ISIG) || suspend == 0 || !in_front {
            return;
        }
        if let Some(at) = self.waiting.iter().position(|&key| key == suspend) {
            self.waiting.remove(at);
            // It may have ended, and then it need not stop.
            let _ = rustix::process::kill_process_group(pid_of(child), Signal::STOP);
        }
    }
}
