//! Where the secret of an unlock slot is kept. One file a source.
//!
//! A source's secret never is the root key: it only wraps it, so a new root rewrites rows and nothing else.
//! A source refuses rather than guesses: a missing or unsafe secret is an error with the defect in its text,
//! and nothing falls back to a weaker place on its own.
pub mod command;
pub mod environment;
pub mod file;
pub mod keyring;
pub mod passphrase;
pub mod recovery;
pub mod systemd;

use super::locked::{KEY, LockedKey};
use super::random::Random;
use super::slots::{SlotKind, SlotRow};
use crate::error::{Code, Error, Result};
use crate::secret::Secret;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use zeroize::{Zeroize, Zeroizing};

/// Shows a person a question and returns what they typed.
pub type Prompt<'a> = dyn Fn(&str) -> Result<Secret> + 'a;

/// What unlocking may touch.
pub struct Unlocking<'a> {
    /// Where the database is; a key file in or below it is refused.
    pub data_dir: &'a Path,
    /// Asks the person at the terminal; `None` where there is no terminal.
    pub prompt: Option<&'a Prompt<'a>>,
    /// The command of a command slot, from the configuration. A row of the database cannot be trusted before
    /// the root is open, so a command slot runs only if its row names exactly this.
    pub command: Option<&'a [String]>,
    /// Reads an environment variable.
    pub environment: &'a dyn Fn(&str) -> Option<OsString>,
}

impl<'a> Unlocking<'a> {
    /// Without a prompt, without a command, in the environment of this process.
    pub fn new(data_dir: &'a Path) -> Self {
        Self { data_dir, prompt: None, command: None, environment: &|name| std::env::var_os(name) }
    }
}

/// An unlock method to be added.
pub enum NewSlot {
    Keyring {
        service: String,
        account: String,
    },
    /// Made if it is not there.
    File {
        path: PathBuf,
    },
    Passphrase(Secret),
    Environment {
        name: String,
    },
    Systemd {
        name: String,
    },
    Command {
        argv: Vec<String>,
    },
    Recovery,
}

impl NewSlot {
    pub fn kind(&self) -> SlotKind {
        match self {
            NewSlot::Keyring { .. } => SlotKind::Keyring,
            NewSlot::File { .. } => SlotKind::File,
            NewSlot::Passphrase(_) => SlotKind::Passphrase,
            NewSlot::Environment { .. } => SlotKind::Environment,
            NewSlot::Systemd { .. } => SlotKind::Systemd,
            NewSlot::Command { .. } => SlotKind::Command,
            NewSlot::Recovery => SlotKind::Recovery,
        }
    }
}

/// The settings of a slot, as its row keeps them. None of them is secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "source", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Config {
    Keyring { service: String, account: String },
    File { path: PathBuf },
    Passphrase { m_kib: u32, t: u32, p: u32, salt: String },
    Environment { name: String },
    Systemd { name: String },
    Command { argv: Vec<String> },
    Recovery {},
}

impl Config {
    pub fn read(row: &SlotRow) -> Result<Self> {
        let broken = || Error::new(Code::Integrity, "the settings of an unlock method cannot be read");
        let config: Config = serde_json::from_str(&row.config).map_err(|_| broken())?;
        if config.kind() == row.kind { Ok(config) } else { Err(broken()) }
    }

    pub fn text(&self) -> String {
        serde_json::to_string(self).expect("plain strings and numbers always are JSON")
    }

    const fn kind(&self) -> SlotKind {
        match self {
            Config::Keyring { .. } => SlotKind::Keyring,
            Config::File { .. } => SlotKind::File,
            Config::Passphrase { .. } => SlotKind::Passphrase,
            Config::Environment { .. } => SlotKind::Environment,
            Config::Systemd { .. } => SlotKind::Systemd,
            Config::Command { .. } => SlotKind::Command,
            Config::Recovery {} => SlotKind::Recovery,
        }
    }
}

/// A slot's secret, freshly made or found, with what its row and its owner must know.
pub(crate) struct Made {
    pub secret: LockedKey,
    pub config: Config,
    pub recovery_code: Option<Secret>,
    pub warning: Option<&'static str>,
}

/// Makes the secret of a new slot, or takes the sound one that is already there.
pub(crate) fn make(new: NewSlot, by: &Unlocking<'_>, random: &dyn Random) -> Result<Made> {
    let plain = |secret, config| Made { secret, config, recovery_code: None, warning: None };
    Ok(match new {
        NewSlot::Keyring { service, account } => {
            let secret =
                keyring::Keyring::of_this_machine(by.environment)?.make(&service, &account, random)?;
            plain(secret, Config::Keyring { service, account })
        }
        NewSlot::File { path } => {
            let path =
                std::path::absolute(&path).map_err(|_| file::insecure(&path, "has no absolute path"))?;
            plain(file::make(&path, by.data_dir, random)?, Config::File { path })
        }
        NewSlot::Passphrase(passphrase) => {
            let (secret, config) =
                passphrase::make(&passphrase, passphrase::Cost::for_this_machine(), random)?;
            plain(secret, config)
        }
        NewSlot::Environment { name } => {
            let secret = environment::read(&name, by.environment)?;
            Made { warning: Some(environment::WARNING), ..plain(secret, Config::Environment { name }) }
        }
        NewSlot::Systemd { name } => plain(systemd::read(&name, by.environment)?, Config::Systemd { name }),
        NewSlot::Command { argv } => plain(command::read(&argv, by.environment)?, Config::Command { argv }),
        NewSlot::Recovery => {
            let (secret, code) = recovery::make(random)?;
            Made { recovery_code: Some(code), ..plain(secret, Config::Recovery {}) }
        }
    })
}

/// The secret of a slot that exists. A recovery code is never asked for here.
pub(crate) fn read(row: &SlotRow, by: &Unlocking<'_>) -> Result<LockedKey> {
    match Config::read(row)? {
        Config::Keyring { service, account } => {
            keyring::Keyring::of_this_machine(by.environment)?.read(&service, &account)
        }
        Config::File { path } => file::read(&path, by.data_dir),
        Config::Passphrase { m_kib, t, p, salt } => {
            let cost = passphrase::Cost::bounded(m_kib, t, p)?;
            let ask = by.prompt.ok_or_else(|| Error::new(Code::NeedsTerminal, "nobody is there to ask"))?;
            passphrase::read(&ask("Passphrase")?, cost, &salt)
        }
        Config::Environment { name } => environment::read(&name, by.environment),
        Config::Systemd { name } => systemd::read(&name, by.environment),
        Config::Command { argv } if by.command == Some(argv.as_slice()) => {
            command::read(&argv, by.environment)
        }
        Config::Command { .. } => Err(Error::new(
            Code::KeyInsecure,
            "the key command in the database is not the one in the configuration, so it was not run",
        )),
        Config::Recovery {} => {
            Err(Error::new(Code::NeedsTerminal, "the recovery code is only taken by `unsaid key recover`"))
        }
    }
}

/// What `unsaid init` uses where nobody chose, and why.
pub struct Choice {
    pub slot: NewSlot,
    pub why: String,
}

/// The safest source that works here: the keyring of the operating system if an item can be written, read back
/// and deleted in it; a key file otherwise.
pub fn choose(
    by: &Unlocking<'_>,
    service: &str,
    account: &str,
    key_file: &Path,
    random: &dyn Random,
) -> Choice {
    let probed = keyring::Keyring::of_this_machine(by.environment).and_then(|k| k.probe(service, random));
    match probed {
        Ok(()) => Choice {
            slot: NewSlot::Keyring { service: service.to_owned(), account: account.to_owned() },
            why: "the root key is opened by the keyring of this machine, which locks with your session"
                .to_owned(),
        },
        Err(error) => Choice {
            slot: NewSlot::File { path: key_file.to_owned() },
            why: format!(
                "the root key is opened by a key file that only your account can read, because {}",
                error.message()
            ),
        },
    }
}

/// A key out of what a person or a service manager handed over: 32 bytes in base64 or hex, or text of at
/// least 32 characters, which is hashed. White space around it does not count.
pub(crate) fn material(given: &[u8], what: &str) -> Result<LockedKey> {
    let trimmed = given.trim_ascii();
    if trimmed.is_empty() {
        return Err(Error::new(Code::KeyNotFound, format!("{what} is empty")));
    }
    if trimmed.len() < KEY {
        return Err(Error::new(
            Code::KeyInsecure,
            format!(
                "{what} is too short for a key: it takes 32 bytes in base64 or hex, or 32 characters of text"
            ),
        ));
    }
    LockedKey::filled(|out| {
        if !decoded(trimmed, out) {
            let mut hash = Sha256::new().chain_update(b"cv1/key-text/").chain_update(trimmed).finalize();
            out.copy_from_slice(&hash);
            hash.as_mut_slice().zeroize();
        }
        Ok(())
    })
}

fn decoded(text: &[u8], out: &mut [u8; KEY]) -> bool {
    use data_encoding::{BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD, HEXLOWER_PERMISSIVE};
    let mut buffer = Zeroizing::new([0u8; 48]);
    [HEXLOWER_PERMISSIVE, BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD].iter().any(|form| {
        let fits = form.decode_len(text.len()).is_ok_and(|len| (KEY..=buffer.len()).contains(&len));
        if !fits {
            return false;
        }
        let room = form.decode_len(text.len()).unwrap_or(0);
        let done = form.decode_mut(text, &mut buffer[..room]) == Ok(KEY);
        if done {
            out.copy_from_slice(&buffer[..KEY]);
        }
        done
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_taken_as_hex_as_base64_or_as_long_text() {
        let bytes = [0xa5u8; 32];
        let key = LockedKey::copied(&bytes);
        for text in [
            data_encoding::HEXLOWER.encode(&bytes),
            data_encoding::HEXUPPER.encode(&bytes),
            data_encoding::BASE64.encode(&bytes),
            format!("{}\n", data_encoding::BASE64URL_NOPAD.encode(&bytes)),
        ] {
            assert!(material(text.as_bytes(), "it").unwrap() == key);
        }
        assert!(material("correct horse battery ".repeat(3).as_bytes(), "it").unwrap() != key);
    }

    #[test]
    fn a_short_or_empty_key_is_refused_without_being_shown() {
        let refused = material(b"hunter2", "the variable KEY").unwrap_err();

        assert_eq!(refused.code, Code::KeyInsecure);
        assert!(!refused.message().contains("hunter2"));
        assert_eq!(material(b" \n", "it").unwrap_err().code, Code::KeyNotFound);
    }

    #[test]
    fn a_row_whose_settings_are_of_another_kind_is_not_read() {
        let row = SlotRow {
            id: "s".into(),
            kind: SlotKind::File,
            label: String::new(),
            config: Config::Command { argv: vec!["x".into()] }.text(),
            wrapped: vec![],
            root_version: 1,
            created_at: crate::clock::Millis(0),
            mac: vec![],
        };

        assert_eq!(Config::read(&row).unwrap_err().code, Code::Integrity);
    }
}
