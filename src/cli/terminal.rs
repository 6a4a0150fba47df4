//! The controlling terminal: prompts without echo, questions, and the challenge that a model cannot answer.
//!
//! It is `/dev/tty` and never standard input. Nobody is asked where there is no terminal, or where another program
//! has it in the foreground; an unanswered prompt gives up. The terminal is put back as it was, also by a signal.
use super::typed::{Line, Typed};
use crate::error::{Code, Error, Result, internal, invalid};
use crate::secret::{Secret, SecretBytes};
use crate::telemetry::escaped;
use rustix::fs::{Mode, OFlags};
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, isatty, tcgetattr, tcgetpgrp, tcsetattr,
};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// How long a prompt waits. A program that started us must not hang on a question that nobody sees.
const PATIENCE: Duration = Duration::from_secs(10 * 60);
/// The most that is typed where a short answer is expected.
const MOST_ANSWER: usize = 256;

/// The controlling terminal, while we are in its foreground.
pub struct Terminal {
    tty: OwnedFd,
}

/// Whether a prompt shows what is typed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Echo {
    On,
    Off,
}

impl Terminal {
    /// `None` where there is none, or where it is another program's turn.
    pub fn open() -> Option<Self> {
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let tty = rustix::fs::open("/dev/tty", flags, Mode::empty()).ok()?;
        let this = Self { tty };
        (isatty(&this.tty) && this.is_ours()).then_some(this)
    }

    fn is_ours(&self) -> bool {
        tcgetpgrp(&self.tty).is_ok_and(|group| group == rustix::process::getpgrp())
    }

    /// Shows text of our own; whoever composes it has escaped what came from elsewhere.
    pub fn tell(&self, text: &str) {
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            match rustix::io::write(&self.tty, rest) {
                Ok(size) => rest = &rest[size..],
                Err(rustix::io::Errno::INTR) => {}
                // A terminal that has gone shows nothing; the read that follows fails.
                Err(_) => return,
            }
        }
    }

    /// Asks for a secret of at most `most` bytes. Nothing is shown while it is typed or pasted.
    ///
    /// Fails with `declined` for an empty answer, `too_large`, `invalid_input` where more than one line came
    /// without a paste around it, and `needs_terminal` when nobody answers.
    pub fn secret(&self, question: &str, most: usize) -> Result<SecretBytes> {
        self.secret_or_nothing(question, most)?.ok_or_else(|| {
            Error::new(Code::Declined, "nothing was entered")
                .next("Nothing was changed. Run the command again when you have the value.")
        })
    }

    /// The same, where it may be left out: nothing for an empty line.
    pub fn secret_or_nothing(&self, question: &str, most: usize) -> Result<Option<SecretBytes>> {
        let mut typed = self.line(question, Echo::Off, most)?;
        Ok((!typed.is_empty()).then(|| SecretBytes::new(std::mem::take(&mut *typed))))
    }

    /// Asks for something that may be seen, such as a user name.
    pub fn answer(&self, question: &str) -> Result<String> {
        let typed = self.line(question, Echo::On, MOST_ANSWER)?;
        match std::str::from_utf8(&typed) {
            Ok(text) => Ok(text.trim().to_owned()),
            Err(_) => Err(invalid("the answer is not UTF-8")),
        }
    }

    /// Whether the person answers yes; anything else is no.
    pub fn agrees(&self, question: &str) -> Result<bool> {
        let answer = self.answer(&format!("{question} [y/N] "))?;
        Ok(matches!(answer.to_ascii_lowercase().as_str(), "y" | "yes"))
    }

    /// Whether the person types a number that was made just now and shown nowhere else.
    pub fn passes_challenge(&self) -> Result<bool> {
        let challenge = challenge()?;
        let answer = self.answer(&format!("To go on, type {challenge} (anything else stops): "))?;
        let digits: String = answer.chars().filter(|c| !c.is_whitespace()).collect();
        let passed = digits == challenge;
        if !passed {
            self.tell("That is not the number: nothing was changed.\n");
        }
        Ok(passed)
    }

    fn line(&self, question: &str, echo: Echo, most: usize) -> Result<Zeroizing<Vec<u8>>> {
        let question = format!("{}{}", escaped(question), if question.ends_with(' ') { "" } else { ": " });
        let watch = Watch::get()?.begin();
        let mode = Quiet::set(self)?;
        self.tell(&question);
        let typed = self.typed(echo, most, &question, &watch, &mode);
        drop(mode);
        self.tell("\n");
        // A signal of the last moment is obeyed now that the terminal is as it was.
        drop(watch);
        typed
    }

    fn typed(
        &self,
        echo: Echo,
        most: usize,
        question: &str,
        watch: &Watching<'_>,
        mode: &Quiet<'_>,
    ) -> Result<Zeroizing<Vec<u8>>> {
        let asked = Instant::now();
        let mut line = Line::new(most);
        let mut bytes = Zeroizing::new([0u8; 1024]);
        let mut gone = 0;
        loop {
            watch.obey(mode, question)?;
            if asked.elapsed() > PATIENCE {
                return Err(needs_terminal("nobody answered at the terminal"));
            }
            let began = Instant::now();
            let size = match rustix::io::read(&self.tty, &mut bytes[..]) {
                Ok(size) => size,
                Err(rustix::io::Errno::INTR) => continue,
                Err(_) => return Err(needs_terminal("the terminal has gone")),
            };
            // A terminal that is there waits a tenth of a second before it says that nothing was typed.
            gone = if size == 0 && began.elapsed() < Duration::from_millis(20) { gone + 1 } else { 0 };
            if gone > 50 {
                return Err(needs_terminal("the terminal has gone"));
            }
            for (i, byte) in bytes[..size].iter().enumerate() {
                match line.take(*byte) {
                    Typed::Done => {
                        let more = i + 1 < size || rustix::io::ioctl_fionread(&self.tty).is_ok_and(|n| n > 0);
                        return finish(line, echo, more);
                    }
                    Typed::Ended => return Ok(Zeroizing::new(Vec::new())),
                    change if echo == Echo::On => self.show(change, *byte),
                    _ => {}
                }
            }
        }
    }

    fn show(&self, change: Typed, byte: u8) {
        match change {
            Typed::Added if byte >= b' ' => drop(rustix::io::write(&self.tty, &[byte])),
            Typed::Removed => self.tell("\u{8} \u{8}"),
            Typed::Cleared(characters) => self.tell(&"\u{8} \u{8}".repeat(characters)),
            _ => {}
        }
    }
}

fn finish(line: Line, echo: Echo, more: bool) -> Result<Zeroizing<Vec<u8>>> {
    if line.is_too_long() {
        return Err(Error::new(Code::TooLarge, "what was typed is too long"));
    }
    if more && echo == Echo::Off {
        return Err(invalid("more than one line was pasted, and only the first would have been taken")
            .next("Nothing was changed. Use --file PATH or --stdin for a value of several lines."));
    }
    Ok(line.finish())
}

/// Six digits from the operating system.
fn challenge() -> Result<String> {
    let mut random = [0u8; 8];
    getrandom::fill(&mut random)
        .map_err(|e| internal("the operating system gives no random bytes").because(e))?;
    // The bias of a 64-bit number modulo a million is beyond notice.
    Ok(format!("{:06}", u64::from_be_bytes(random) % 1_000_000))
}

/// The error of a prompt that has nobody to ask.
pub fn needs_terminal(why: &'static str) -> Error {
    Error::new(Code::NeedsTerminal, why)
}

/// The passphrase of the vault, as [`crate::app::Prompt`] wants it.
pub fn passphrase(question: &str) -> Result<Secret> {
    let terminal = Terminal::open()
        .ok_or_else(|| needs_terminal("there is no terminal to ask for the passphrase on"))?;
    let typed = terminal.secret(question, 1024)?;
    // The bytes are copied once into a buffer of their size; the first is wiped when it is dropped.
    typed.expose(|bytes| match std::str::from_utf8(bytes) {
        Ok(text) => Ok(Secret::new(text.to_owned())),
        Err(_) => Err(invalid("the passphrase is not UTF-8")),
    })
}

/// No echo and no line discipline, until this is dropped (also by a panic).
struct Quiet<'t> {
    terminal: &'t Terminal,
    former: Termios,
    pastes: bool,
}

impl<'t> Quiet<'t> {
    fn set(terminal: &'t Terminal) -> Result<Self> {
        let former = tcgetattr(&terminal.tty).map_err(|_| needs_terminal("the terminal cannot be used"))?;
        let pastes = std::env::var("TERM").is_ok_and(|term| !term.is_empty() && term != "dumb");
        let this = Self { terminal, former, pastes };
        this.again()?;
        Ok(this)
    }

    fn again(&self) -> Result<()> {
        let mut quiet = self.former.clone();
        quiet.local_modes.remove(LocalModes::ECHO | LocalModes::ECHONL | LocalModes::ICANON);
        // A read comes back after a tenth of a second, so that a signal and the end of patience are seen.
        quiet.special_codes[SpecialCodeIndex::VMIN] = 0;
        quiet.special_codes[SpecialCodeIndex::VTIME] = 1;
        // What was typed before the question was asked is no answer to it.
        tcsetattr(&self.terminal.tty, OptionalActions::Flush, &quiet)
            .map_err(|_| needs_terminal("the terminal cannot be silenced"))?;
        if self.pastes {
            self.terminal.tell("\x1b[?2004h");
        }
        Ok(())
    }

    fn give_back(&self) {
        if self.pastes {
            self.terminal.tell("\x1b[?2004l");
        }
        // What is left of a paste must not reach the shell; a terminal that has gone needs nothing.
        let _ = tcsetattr(&self.terminal.tty, OptionalActions::Flush, &self.former);
    }
}

impl Drop for Quiet<'_> {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// Signals during a prompt. Between prompts each does what it always does.
struct Watch {
    idle: Arc<AtomicBool>,
    arrived: Arc<AtomicUsize>,
}

impl Watch {
    /// Registered once: a handler that is taken away again would leave its signal ignored.
    fn get() -> Result<&'static Watch> {
        static WATCH: OnceLock<Watch> = OnceLock::new();
        if let Some(watch) = WATCH.get() {
            return Ok(watch);
        }
        let watch = Watch { idle: Arc::new(AtomicBool::new(true)), arrived: Arc::new(AtomicUsize::new(0)) };
        let failed = |e: std::io::Error| internal("signals cannot be watched").because(e);
        for signal in [SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP] {
            signal_hook::flag::register_conditional_default(signal, watch.idle.clone()).map_err(failed)?;
            let number = usize::try_from(signal).map_err(|_| internal("a signal has a negative number"))?;
            signal_hook::flag::register_usize(signal, watch.arrived.clone(), number).map_err(failed)?;
        }
        Ok(WATCH.get_or_init(|| watch))
    }

    fn begin(&self) -> Watching<'_> {
        self.idle.store(false, Ordering::SeqCst);
        Watching(self)
    }

    fn take(&self) -> Option<i32> {
        i32::try_from(self.arrived.swap(0, Ordering::SeqCst)).ok().filter(|signal| *signal != 0)
    }
}

/// While a prompt is open.
struct Watching<'w>(&'w Watch);

impl Watching<'_> {
    /// Gives the terminal back and does what the signal is for: most end this process, ^Z stops it for a while.
    fn obey(&self, mode: &Quiet<'_>, question: &str) -> Result<()> {
        let Some(signal) = self.0.take() else { return Ok(()) };
        mode.give_back();
        mode.terminal.tell("\n");
        act(signal);
        mode.again()?;
        mode.terminal.tell(question);
        Ok(())
    }
}

impl Drop for Watching<'_> {
    fn drop(&mut self) {
        self.0.idle.store(true, Ordering::SeqCst);
        if let Some(signal) = self.0.take() {
            act(signal);
        }
    }
}

fn act(signal: i32) {
    // Fails only for a signal that cannot be handled, and none of those is watched.
    let _ = signal_hook::low_level::emulate_default_handler(signal);
}
