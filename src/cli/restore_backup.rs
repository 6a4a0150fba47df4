//! `unsaid restore-backup`: to a new place, verified first.
use super::backup::from_standard_input;
use super::init::{os_login, prompt};
use super::key::read_code;
use super::terminal;
use super::{Context, output};
use crate::clock::SystemClock;
use crate::error::{Result, invalid};
use crate::ops::lifecycle::KeySource;
use crate::ops::lifecycle::container::Opening;
use crate::ops::lifecycle::restore::{self, Restore, Unlock};
use crate::secret::SecretBytes;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[derive(clap::Args)]
#[command(after_help = "\
Everything in the backup is verified before anything stands at the new place; nothing is ever written over.
Where there is no terminal, the passphrase of the backup is the first line of standard input.")]
pub struct RestoreBackup {
    /// The backup
    file: PathBuf,
    /// The new folder, to be used as UNSAID_HOME
    #[arg(long, value_name = "FOLDER")]
    to: PathBuf,
    /// The file of the age identity that the backup is encrypted to; a passphrase is asked for where left out
    #[arg(long, value_name = "PATH")]
    identity: Option<PathBuf>,
    /// Open the vault with its recovery code, which is asked for, and add a new key at the new place
    #[arg(long)]
    recovery_code: bool,
    /// As --recovery-code, with the code in this file
    #[arg(long, value_name = "PATH")]
    recovery_file: Option<PathBuf>,
    /// With a recovery code, the new way in: keyring, file[:PATH], passphrase, env:NAME, systemd:NAME or command
    #[arg(long, value_name = "SOURCE")]
    key: Option<KeySource>,
}

impl RestoreBackup {
    pub async fn run(self, cx: &Context) -> Result<()> {
        let asks_code = self.recovery_code || self.recovery_file.is_some();
        if self.key.is_some() && !asks_code {
            return Err(invalid("--key makes a new way in, which takes the recovery code")
                .next("Add --recovery-code, or leave --key out."));
        }
        let opening = match &self.identity {
            Some(path) => Opening::Identity(identity(path)?),
            None if prompt().is_some() => {
                Opening::Passphrase(terminal::passphrase("Passphrase of the backup")?)
            }
            None => Opening::Passphrase(from_standard_input()?),
        };
        let code = asks_code.then(|| read_code(self.recovery_file)).transpose()?;
        let login = os_login();
        let request = Restore {
            file: &self.file,
            to: &self.to,
            opening: &opening,
            unlock: match &code {
                Some(code) => Unlock::RecoveryCode(code, self.key.unwrap_or_default()),
                None => Unlock::Slots,
            },
            mine: &cx.config,
            login: &login,
        };
        let done = restore::restore(request, Arc::new(SystemClock), prompt()).await?;
        let answer = json!({
            "home": done.home, "instance": done.instance, "created_at": done.created_at, "login": done.login,
            "added": done.slot, "verified": done.verified,
        });
        let seen = done.verified.clone();
        cx.print(&answer, |_| {
            let mut text = output::line(&format!("the vault of {} is in {}", done.created_at, done.home.display()));
            text.push_str(&format!(
                "verified: the file, the database, {} rows, {} events of {} orgs, and the values of {} versions of {} credentials\n",
                seen.rows, seen.events, seen.orgs, seen.opened, seen.credentials
            ));
            if let Some(slot) = &done.slot {
                text.push_str(&output::line(&format!("it opens by {} as well", slot.place)));
            }
            text.push_str(&output::line(&format!(
                "To use it: set UNSAID_HOME={}. It is the same vault at an earlier time: do not go on with both.",
                done.home.display()
            )));
            text
        })
    }
}

fn identity(path: &Path) -> Result<SecretBytes> {
    let file = std::fs::File::open(path)
        .map_err(|e| invalid(format!("the identity file {} cannot be read", path.display())).because(e))?;
    let mut bytes = super::value::all(&file, 64 * 1024)?;
    Ok(SecretBytes::new(std::mem::take(&mut *bytes)))
}
