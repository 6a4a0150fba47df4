//! Pseudo-terminals for the child, and raw mode on ours, which is always given back.
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{
    LocalModes, OptionalActions, OutputModes, Termios, tcgetattr, tcgetpgrp, tcgetwinsize, tcsetattr,
    tcsetwinsize,
};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// A pseudo-terminal: the child gets `child_end`, we read and write `our_end`, which never blocks.
pub(super) struct Pty {
    pub our_end: OwnedFd,
    pub child_end: OwnedFd,
}

impl Pty {
    /// One that behaves like the terminal `model` and has its size.
    pub(super) fn like(model: BorrowedFd<'_>) -> io::Result<Self> {
        let our_end = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
        rustix::io::fcntl_setfd(&our_end, rustix::io::FdFlags::CLOEXEC)?;
        grantpt(&our_end)?;
        unlockpt(&our_end)?;
        let name = ptsname(&our_end, Vec::new())?;
        let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY | rustix::fs::OFlags::CLOEXEC;
        let child_end = rustix::fs::open(name, flags, rustix::fs::Mode::empty())?;
        rustix::io::ioctl_fionbio(&our_end, true)?;
        tcsetattr(&child_end, OptionalActions::Now, &tcgetattr(model)?)?;
        let pty = Self { our_end, child_end };
        copy_size(model, pty.our_end.as_fd());
        Ok(pty)
    }

    /// One for output alone, which leaves every byte as it is: the real terminal is behind it and does the rest.
    pub(super) fn for_output(model: BorrowedFd<'_>) -> io::Result<Self> {
        let pty = Self::like(model)?;
        let mut plain = tcgetattr(&pty.child_end)?;
        plain.output_modes.remove(OutputModes::OPOST);
        plain.local_modes.remove(LocalModes::ECHO);
        tcsetattr(&pty.child_end, OptionalActions::Now, &plain)?;
        Ok(pty)
    }
}

/// Gives `to` the size of `from`; the foreground program of `to` gets SIGWINCH if that is a change.
pub(super) fn copy_size(from: BorrowedFd<'_>, to: BorrowedFd<'_>) {
    if let Ok(size) = tcgetwinsize(from) {
        // A terminal that has gone needs no size.
        let _ = tcsetwinsize(to, size);
    }
}

/// Whether we may read from and change the terminal `fd`: we are its foreground process group.
pub(super) fn is_ours_to_drive(fd: BorrowedFd<'_>) -> bool {
    tcgetpgrp(fd).is_ok_and(|group| group == rustix::process::getpgrp())
}

/// A terminal that passes every key on as it is, until this is dropped (also by a panic).
pub(super) struct RawMode {
    terminal: OwnedFd,
    former: Termios,
}

impl RawMode {
    pub(super) fn set(terminal: BorrowedFd<'_>) -> io::Result<Self> {
        let terminal = terminal.try_clone_to_owned()?;
        let former = tcgetattr(&terminal)?;
        let this = Self { terminal, former };
        this.again();
        Ok(this)
    }

    /// Raw once more, after we were stopped.
    pub(super) fn again(&self) {
        let mut raw = self.former.clone();
        raw.make_raw();
        // Fails only when the terminal has gone, and then there is nothing to set.
        let _ = tcsetattr(&self.terminal, OptionalActions::Drain, &raw);
    }

    /// As it was before.
    pub(super) fn give_back(&self) {
        // In the background it is somebody else's, and setting it would stop us.
        if tcgetpgrp(&self.terminal).is_ok_and(|group| group != rustix::process::getpgrp()) {
            return;
        }
        let _ = tcsetattr(&self.terminal, OptionalActions::Drain, &self.former);
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        self.give_back();
    }
}
