//! Runs a program with secrets in its environment or in files only it can read, and masks them in its output.
//!
//! It never goes through a shell, never writes a value anywhere but there, and never runs a program with half of
//! what it was to get. Masking is a guard against accidents: a program that transforms a value can still print it.
mod anchors;
pub mod broker;
mod child;
mod encodings;
mod files;
mod keyboard;
mod mask;
mod relay;
pub mod remote;
mod search;
mod spawn;
mod streams;
mod terminal;
mod views;

use crate::error::{Code, Error, Result, invalid};
use crate::secret::SecretBytes;
use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::io::{PipeReader, PipeWriter, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender};

pub use encodings::MASKED_FROM_BYTES;
pub use files::{scratch_folder, sweep};
pub use mask::{Masker, Patterns};
pub use search::{Found, Reading, Sought, search};

/// One value for the child.
pub struct Injected {
    pub variable: String,
    /// The credential's name, as `[unsaid:NAME]` shows it where the value was printed.
    pub label: String,
    pub value: SecretBytes,
    pub delivery: Delivery,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// The variable holds the value.
    Environment,
    /// The variable holds the path of a file of this name that holds the value (0600, gone when the child is).
    File { file_name: String },
}

/// Whether the child's output is searched for the values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Masking {
    On,
    /// The child gets our own handles.
    Off,
}

/// What to run, and with what.
pub struct Launch {
    /// The program and its arguments, handed over exactly as they are.
    pub argv: Vec<OsString>,
    pub injected: Vec<Injected>,
    /// Plain configuration beside them, by variable: no secret, and not masked.
    pub plain: Vec<(String, String)>,
    pub masking: Masking,
    /// Where temporary files may go; see [`scratch_folder`].
    pub scratch: PathBuf,
    /// Variables of ours that the child must not see; `UNSAID_*` names all that begin so.
    pub strip: Vec<String>,
    /// What to do with the child while it runs.
    pub control: Option<Control>,
}

/// Orders for a child that runs, from another thread.
pub struct Control {
    orders: Receiver<Order>,
    bell: PipeReader,
}

/// The other end of a [`Control`].
pub struct Controller {
    orders: Sender<Order>,
    bell: PipeWriter,
}

/// What to do.
pub enum Order {
    /// Send it this signal.
    Signal(i32),
    /// Write these values into the files that it has of them, then send it this signal.
    Renew { values: Vec<Injected>, signal: i32 },
}

/// A pair of them.
pub fn control() -> Result<(Controller, Control)> {
    let (read, write) = std::io::pipe().map_err(child::failed)?;
    let (send, receive) = std::sync::mpsc::channel();
    Ok((Controller { orders: send, bell: write }, Control { orders: receive, bell: read }))
}

impl Controller {
    /// Has it done; `false` where the child has ended.
    pub fn order(&mut self, order: Order) -> bool {
        self.orders.send(order).is_ok() && self.bell.write_all(&[1]).is_ok()
    }
}

/// How the child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its own exit code, or 128+n when signal n ended it.
    pub exit_code: i32,
    /// Somebody told us to end (SIGINT, SIGTERM, SIGHUP, SIGQUIT) while it ran.
    pub was_told_to: bool,
}

/// Runs `launch.argv` and returns when it has ended.
///
/// Blocks the calling thread, which must be the one that lives as long as the child. `warn` gets a sentence for
/// whatever the person should know: a variable overridden, a value too short to mask.
///
/// Fails with `command_not_found`, `command_not_executable` or `command_not_started`, with `invalid_input` when a
/// value cannot be delivered as asked, and with `store_insecure` when the scratch folder is not ours alone;
/// [`exit_code`] says what each of them is to a shell.
pub fn launch(mut launch: Launch, warn: &dyn Fn(&str)) -> Result<Ended> {
    check(&launch)?;
    warn_of_short_values(&launch, warn);
    if !launch.injected.iter().any(is_maskable) {
        launch.masking = Masking::Off;
    }
    child::run(launch, warn)
}

/// What a shell sees when the child never ran: 127 not found, 126 not executable, 125 anything else (env(1)).
pub fn exit_code(error: &Error) -> u8 {
    match error.code {
        Code::CommandNotFound => 127,
        Code::CommandNotExecutable => 126,
        _ => 125,
    }
}

fn check(launch: &Launch) -> Result<()> {
    if launch.argv.first().is_none_or(|program| program.is_empty()) {
        return Err(invalid("there is no command to run").next("Name the program after `--`."));
    }
    if launch.argv.iter().any(|word| word.as_bytes().contains(&0)) {
        return Err(invalid("an argument of the command holds a NUL byte"));
    }
    let mut seen = HashSet::new();
    for (variable, text) in &launch.plain {
        if variable.is_empty() || variable.contains(['=', '\0']) || text.contains('\0') {
            return Err(invalid("plain configuration holds a variable or text that no program can get"));
        }
        seen.insert(variable);
    }
    for injected in &launch.injected {
        let variable = &injected.variable;
        if variable.is_empty() || variable.contains(['=', '\0']) {
            return Err(invalid("a variable's name is empty or holds `=` or NUL"));
        }
        if !seen.insert(variable) {
            return Err(invalid(format!("two values are to go into the variable {variable}"))
                .next("Leave one of them out, or give it another variable."));
        }
        if injected.value.size_bytes() == 0 {
            return Err(Error::new(Code::ValueMissing, format!("the value for {variable} is empty")));
        }
        match &injected.delivery {
            Delivery::Environment if injected.value.expose(|value| value.contains(&0)) => {
                return Err(invalid(format!(
                    "the value for {variable} holds a NUL byte, which no variable can hold"
                ))
                .next("Deliver it as a file: the variable then holds the path."));
            }
            Delivery::File { file_name } if !files::is_plain_name(file_name) => {
                return Err(invalid(format!("the file name for {variable} is not a plain file name"))
                    .next("Use a name without slashes, for instance key.json."));
            }
            _ => {}
        }
    }
    Ok(())
}

/// a value this short would blot out half of any output, so it passes, and the person is told.
fn warn_of_short_values(launch: &Launch, warn: &dyn Fn(&str)) {
    if launch.masking == Masking::Off {
        return;
    }
    for injected in &launch.injected {
        if !is_maskable(injected) {
            warn(&format!("{} is too short to be masked in the output", injected.variable));
        }
    }
}

fn is_maskable(injected: &Injected) -> bool {
    injected.value.expose(|value| value.trim_ascii().len()) >= MASKED_FROM_BYTES
}

/// Whether `name` is among `strip`, where a trailing `*` stands for any ending.
fn is_stripped(name: &OsStr, strip: &[String]) -> bool {
    let name = name.as_bytes();
    strip.iter().any(|pattern| match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start.as_bytes()),
        None => name == pattern.as_bytes(),
    })
}

#[cfg(test)]
mod tests;
