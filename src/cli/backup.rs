//! `unsaid backup`: one encrypted file, while others work.
use super::init::prompt;
use super::{Context, output};
use crate::error::{Result, invalid};
use crate::ops::lifecycle::backup::{self, BackedUp};
use crate::ops::lifecycle::container::Seal;
use crate::ops::lifecycle::source::new_passphrase;
use crate::secret::Secret;
use serde_json::json;
use std::io::IsTerminal as _;
use std::path::PathBuf;

#[derive(clap::Args)]
#[command(after_help = "\
The file alone opens no value: the vault in it is sealed as this one is, and needs one of its keys besides.
Where there is no terminal, the passphrase is the first line of standard input.")]
pub struct Backup {
    /// The file to write; it must not exist
    file: PathBuf,
    /// Encrypt to a passphrase, which is asked for; this is the default
    #[arg(long, conflicts_with = "recipient")]
    passphrase: bool,
    /// Encrypt to an age recipient, as age-keygen prints it
    #[arg(long, value_name = "age1…")]
    recipient: Option<String>,
}

impl Backup {
    pub async fn run(self, cx: &Context) -> Result<()> {
        let session = cx.session().await?;
        let seal = match self.recipient {
            Some(recipient) => Seal::Recipient(recipient),
            None => Seal::Passphrase(match prompt() {
                None => from_standard_input()?,
                asks => new_passphrase(asks)?,
            }),
        };
        let done = backup::backup(&session.app, &session.caller, &self.file, seal).await?;
        let answer = json!({
            "id": done.id, "file": done.file, "size_bytes": done.size_bytes, "created_at": done.created_at,
            "sealed_to": done.sealed_to, "credentials": done.credentials, "vault_opened_by": done.opened_by,
            "has_recovery_code": done.has_recovery_code, "is_beside_vault": done.is_beside_vault,
        });
        cx.print(&answer, |_| told(&done))
    }
}

/// The first line of standard input, where that is no terminal.
pub fn from_standard_input() -> Result<Secret> {
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        return Err(super::terminal::needs_terminal("there is no terminal to ask for the passphrase on"));
    }
    let bytes = super::value::all(&stdin, 2048)?;
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    match std::str::from_utf8(line.strip_suffix(b"\r").unwrap_or(line)) {
        Ok("") => {
            Err(invalid("standard input held no passphrase")
                .next("Pipe the passphrase in, or use --recipient."))
        }
        Ok(text) => Ok(Secret::new(text.to_owned())),
        Err(_) => Err(invalid("the passphrase is not UTF-8")),
    }
}

fn told(done: &BackedUp) -> String {
    let mut text = output::line(&format!("{} holds {} credentials", done.file.display(), done.credentials));
    let opens = match done.sealed_to.as_str() {
        "passphrase" => "the passphrase you entered".to_owned(),
        recipient => format!("the age identity of {recipient}"),
    };
    text.push_str(&output::line(&format!(
        "The file is opened by {opens}. To read values in it, one of these is needed besides:"
    )));
    for way in &done.opened_by {
        text.push_str(&output::line(&format!("  {way}")));
    }
    if !done.has_recovery_code {
        text.push_str("There is no recovery code: if this machine is lost with its keys, the backup opens nothing.\nRun `unsaid key add recovery`, then back up again.\n");
    }
    if done.is_beside_vault {
        text.push_str("It lies beside the vault that it is to replace: copy it elsewhere.\n");
    }
    text
}
