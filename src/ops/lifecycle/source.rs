//! What a person may choose to open the vault with, as it is written on the command line.
use crate::app::Prompt;
use crate::config::Config;
use crate::error::{Code, Error, Result, invalid};
use crate::vault::sources::Config as SlotConfig;
use crate::vault::{NewSlot, OsRandom, SlotKind, SlotRow, Unlocking, choose};
use std::path::PathBuf;
use std::str::FromStr;

/// The name of our items in the keyring of the operating system.
const SERVICE: &str = "unsaid";

/// `keyring`, `file`, `file:PATH`, `passphrase`, `env:NAME`, `systemd:NAME` or `command`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum KeySource {
    /// The safest that works on this machine.
    #[default]
    Automatic,
    Keyring,
    /// The vault's own key folder where there is no path.
    File(Option<PathBuf>),
    Passphrase,
    Environment(String),
    Systemd(String),
    /// `key.command` of the configuration file. The database alone can name no command.
    Command,
}

impl FromStr for KeySource {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, rest) = text.split_once(':').unwrap_or((text, ""));
        let named = |make: fn(String) -> KeySource, what: &str| match rest.is_empty() {
            true => Err(format!("write the name too: {what}")),
            false => Ok(make(rest.to_owned())),
        };
        match (kind, rest) {
            ("keyring", "") => Ok(KeySource::Keyring),
            ("file", "") => Ok(KeySource::File(None)),
            ("file", path) => Ok(KeySource::File(Some(path.into()))),
            ("passphrase", "") => Ok(KeySource::Passphrase),
            ("command", "") => Ok(KeySource::Command),
            ("env", _) => named(KeySource::Environment, "env:NAME"),
            ("systemd", _) => named(KeySource::Systemd, "systemd:NAME"),
            // What was written may be a passphrase, so it is not repeated.
            _ => {
                Err("choose one of: keyring, file, file:PATH, passphrase, env:NAME, systemd:NAME, command, and with `key add` also recovery"
                    .into())
            }
        }
    }
}

/// A slot to be made, and why it is of this kind.
pub struct Chosen {
    pub slot: NewSlot,
    pub why: String,
}

impl KeySource {
    /// The slot for this choice. `has_recovery` says whether a recovery code stands beside it: a keyring alone is
    /// lost with the login that opens it, so without a code it is not taken by itself (K-27).
    ///
    /// Asks for a new passphrase, twice, if that was chosen; `needs_terminal` where nobody can be asked.
    pub fn slot(
        &self,
        config: &Config,
        instance: &str,
        has_recovery: bool,
        by: &Unlocking<'_>,
        prompt: Prompt,
    ) -> Result<Chosen> {
        let file = || config.places.keys.join("vault.key");
        let chosen = |slot, why: &str| Ok(Chosen { slot, why: why.to_owned() });
        match self {
            KeySource::Automatic if has_recovery => {
                let choice = choose(by, SERVICE, instance, &file(), &OsRandom);
                Ok(Chosen { slot: choice.slot, why: choice.why })
            }
            KeySource::Automatic => chosen(
                NewSlot::File { path: file() },
                "the root key is opened by a key file that only your account can read: a keyring alone would be \
                 lost with your login, and there is no recovery code beside it",
            ),
            KeySource::Keyring if !has_recovery => Err(Error::new(
                Code::NeedsTerminal,
                "the keyring cannot be the only way in: without a recovery code the vault is lost with your login",
            )
            .next("Run it in a terminal, or give `--recovery-file PATH`.")),
            KeySource::Keyring => chosen(
                NewSlot::Keyring { service: SERVICE.into(), account: instance.into() },
                "you chose the keyring of this machine",
            ),
            KeySource::File(path) => chosen(
                NewSlot::File { path: path.clone().unwrap_or_else(file) },
                "you chose a key file",
            ),
            KeySource::Passphrase => {
                chosen(NewSlot::Passphrase(new_passphrase(prompt)?), "you chose a passphrase")
            }
            KeySource::Environment(name) => {
                chosen(NewSlot::Environment { name: name.clone() }, "you chose an environment variable")
            }
            KeySource::Systemd(name) => {
                chosen(NewSlot::Systemd { name: name.clone() }, "you chose a systemd credential")
            }
            KeySource::Command => match &config.file.key.command[..] {
                [] => Err(Error::new(Code::ConfigInvalid, "the configuration names no key command").next(format!(
                    "Write `[key]` and `command = [\"program\", \"argument\"]` into {}.",
                    config.places.file().display()
                ))),
                argv => chosen(NewSlot::Command { argv: argv.to_vec() }, "you chose the command of the configuration"),
            },
        }
    }
}

/// Asks for a new passphrase, twice.
pub fn new_passphrase(prompt: Prompt) -> Result<crate::secret::Secret> {
    let ask = prompt.ok_or_else(|| {
        Error::new(Code::NeedsTerminal, "a new passphrase is only taken from a person at a terminal")
    })?;
    let first = ask("New passphrase (15 characters or more)")?;
    match first == ask("The same passphrase again")? {
        true => Ok(first),
        false => Err(invalid("the two passphrases differ")),
    }
}

/// Where a slot's secret is, for a person: a path, a name, or how it is derived. Never the secret.
pub fn place(slot: &SlotRow) -> String {
    match SlotConfig::read(slot) {
        Err(_) => "its settings cannot be read".into(),
        Ok(SlotConfig::Keyring { service, account }) => format!("item {service}/{account} of the keyring"),
        Ok(SlotConfig::File { path }) => path.display().to_string(),
        Ok(SlotConfig::Passphrase { m_kib, t, .. }) => format!("Argon2id, {} MiB, {t} passes", m_kib / 1024),
        Ok(SlotConfig::Environment { name }) => format!("variable {name}"),
        Ok(SlotConfig::Systemd { name }) => format!("systemd credential {name}"),
        Ok(SlotConfig::Command { argv }) => format!("command {}", argv.first().map_or("", String::as_str)),
        Ok(SlotConfig::Recovery {}) => "on paper, or where you put it".into(),
    }
}

/// How sure one may be of a way in, in a sentence.
pub const fn worth(kind: SlotKind) -> &'static str {
    match kind {
        SlotKind::Keyring => {
            "opens while your session is unlocked; other programs of your account may ask it too"
        }
        SlotKind::File => {
            "any program of your account, and whoever copies the file with the database, can open the vault"
        }
        SlotKind::Passphrase => "only who knows the passphrase opens it; a server without a terminal cannot",
        SlotKind::Environment => "whoever can read this process's environment can open the vault",
        SlotKind::Systemd => "systemd hands it to the service alone",
        SlotKind::Command => "as safe as the command that prints it",
        SlotKind::Recovery => "for the day when everything else is lost",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_of_writing_a_source_is_understood() {
        for (text, source) in [
            ("keyring", KeySource::Keyring),
            ("file", KeySource::File(None)),
            ("file:/k/a:b", KeySource::File(Some("/k/a:b".into()))),
            ("passphrase", KeySource::Passphrase),
            ("env:MY_KEY", KeySource::Environment("MY_KEY".into())),
            ("systemd:unsaid", KeySource::Systemd("unsaid".into())),
            ("command", KeySource::Command),
        ] {
            assert_eq!(text.parse::<KeySource>().unwrap(), source);
        }
    }

    #[test]
    fn a_passphrase_written_on_the_command_line_is_refused_and_not_repeated() {
        for wrong in
            ["passphrase:hunter2", "hunter2", "env", "env:", "systemd:", "keyring:x", "command:ls", ""]
        {
            let refused = wrong.parse::<KeySource>().unwrap_err();
            assert!(!refused.contains("hunter2"), "{refused}");
        }
    }

    #[test]
    fn two_different_passphrases_are_refused() {
        use std::sync::atomic::{AtomicUsize, Ordering};
        static N: AtomicUsize = AtomicUsize::new(0);
        fn differs(_: &str) -> Result<crate::secret::Secret> {
            Ok(crate::secret::Secret::new(format!("passphrase {}", N.fetch_add(1, Ordering::SeqCst))))
        }

        assert_eq!(new_passphrase(Some(differs)).unwrap_err().code, Code::InvalidInput);
        assert_eq!(new_passphrase(None).unwrap_err().code, Code::NeedsTerminal);
    }
}
