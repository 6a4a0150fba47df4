//! `unsaid key`: the ways into the vault.
use super::init::{keep, kept, os_login, prompt};
use super::terminal::{Terminal, needs_terminal};
use super::{Context, output};
use crate::clock::SystemClock;
use crate::error::{Result, invalid};
use crate::ops::lifecycle::keys::{self, KeyStatus, NewWay, SlotView};
use crate::ops::lifecycle::{Kept, KeySource, recover, recovery, rekey};
use crate::secret::Secret;
use clap::Subcommand;
use serde_json::json;
use std::path::PathBuf;
use std::sync::Arc;

#[derive(clap::Args)]
pub struct Key {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Show the ways into the vault, and what each is worth
    Status,
    /// Add a way into the vault
    Add {
        /// recovery, keyring, file[:PATH], passphrase, env:NAME, systemd:NAME or command
        #[arg(value_name = "SOURCE", value_parser = way)]
        way: NewWay,
        /// How people call it
        #[arg(long, value_name = "TEXT")]
        label: Option<String>,
        /// Write a recovery code to this new file instead of showing it
        #[arg(long, value_name = "PATH")]
        recovery_file: Option<PathBuf>,
    },
    /// Take a way into the vault away
    Remove {
        /// Its id, label or kind, as `unsaid key status` shows them
        name: String,
    },
    /// Replace the root key, or with --org-key the key of your org, while others work
    Rotate {
        /// The org's key instead of the root key; goes on with a rotation that was stopped
        #[arg(long)]
        org_key: bool,
        /// Give up ways in that cannot be read now
        #[arg(long, conflicts_with = "org_key")]
        drop_unreadable: bool,
        /// Write the new recovery code to this new file instead of showing it
        #[arg(long, value_name = "PATH", conflicts_with = "org_key")]
        recovery_file: Option<PathBuf>,
    },
    /// Open the vault with its recovery code, and add a new way in
    Recover {
        /// The new way in; the safest that works here where left out
        #[arg(long, value_name = "SOURCE")]
        key: Option<KeySource>,
        /// Read the code from this file instead of the terminal
        #[arg(long, value_name = "PATH")]
        code_file: Option<PathBuf>,
    },
}

fn way(text: &str) -> Result<NewWay, String> {
    match text {
        "recovery" => Ok(NewWay::Recovery),
        source => source.parse().map(NewWay::Source),
    }
}

impl Key {
    pub async fn run(self, cx: &Context) -> Result<()> {
        match self.what {
            What::Status => status(cx).await,
            What::Add { way, label, recovery_file } => {
                let session = cx.session().await?;
                let keep = keep(recovery_file);
                let done =
                    keys::add(&session.app, &session.caller, way, label.as_deref(), keep, prompt()).await?;
                let answer = json!({
                    "added": done.slot, "warning": done.warning, "recovery_code": kept(&done.recovery), "replaced": done.replaced,
                });
                cx.print(&answer, |_| {
                    let mut text = output::line(&format!("added: {}", named(&done.slot)));
                    text.push_str(&output::line(done.warning.unwrap_or_default()));
                    if done.replaced > 0 {
                        text.push_str("the recovery code before this one opens nothing any more\n");
                    }
                    text + &moved(&done.recovery)
                })
            }
            What::Remove { name } => {
                let session = cx.session().await?;
                let slot = keys::remove(&session.app, &session.caller, &name).await?;
                cx.print(&json!({ "removed": slot }), |_| {
                    output::line(&format!(
                        "removed: {}. Its secret was left where it is, and opens older backups still.",
                        named(&slot)
                    ))
                })
            }
            What::Rotate { org_key: true, .. } => rotate_org(cx).await,
            What::Rotate { drop_unreadable, recovery_file, .. } => {
                let session = cx.session().await?;
                let keep = keep(recovery_file);
                let done =
                    keys::rotate_root(&session.app, &session.caller, keep, drop_unreadable, prompt()).await?;
                let dropped: Vec<_> =
                    done.dropped.iter().map(|(slot, why)| json!({ "slot": slot, "why": why })).collect();
                let answer = json!({
                    "root_version": done.root_version, "kept": done.kept, "dropped": dropped,
                    "recovery_code": kept(&done.recovery), "org_keys": done.org_keys,
                });
                cx.print(&answer, |_| {
                    let mut text = format!("the root key has version {}\n", done.root_version);
                    for slot in &done.kept {
                        text.push_str(&output::line(&format!("kept: {}", named(slot))));
                    }
                    for (slot, why) in &done.dropped {
                        text.push_str(&output::line(&format!("gone: {}: {why}", named(slot))));
                    }
                    text.push_str("Backups of before are opened by what opened the vault then.\n");
                    text + &moved(&done.recovery)
                })
            }
            What::Recover { key, code_file } => run_recover(cx, key, code_file).await,
        }
    }
}

async fn status(cx: &Context) -> Result<()> {
    let session = cx.session().await?;
    let found: KeyStatus = keys::status(&session.app, &session.caller).await?;
    let answer = serde_json::to_value(&found)
        .map_err(|e| crate::error::internal("a status is not JSON").because(e))?;
    cx.print(&answer, |_| {
        let mut table = output::Table::new(&["ID", "KIND", "LABEL", "WHERE", "WORTH"]);
        for slot in &found.slots {
            table.row([
                slot.id.clone(),
                slot.kind.to_owned(),
                slot.label.clone(),
                slot.place.clone(),
                slot.worth.to_owned(),
            ]);
        }
        let mut text = table.text("there is no way into this vault");
        text.push_str(&format!("\nroot key: version {}; {}\n", found.root_version, found.memory));
        for key in &found.org_keys {
            text.push_str(&output::line(&format!(
                "org {}: key version {} is {}",
                key.org, key.version, key.state
            )));
        }
        if !found.has_recovery_code {
            text.push_str("There is no recovery code: run `unsaid key add recovery`.\n");
        }
        if found.is_rotation_open {
            text.push_str("A rotation was stopped half way: run `unsaid key rotate --org-key`.\n");
        }
        text
    })
}

async fn rotate_org(cx: &Context) -> Result<()> {
    let session = cx.session().await?;
    let done = rekey::rotate_org(&session.app, &session.caller, rekey::GRACE).await?;
    let answer = json!({ "from": done.from, "to": done.to, "rows": done.rows, "resumed": done.is_resumed });
    cx.print(&answer, |_| {
        let how = if done.is_resumed { ", going on where it was stopped" } else { "" };
        format!(
            "the org's key has version {}; {} rows were put under it{how}\n\
             If the old key may be known to somebody, rotate the credentials at their services too.\n",
            done.to, done.rows
        )
    })
}

async fn run_recover(cx: &Context, key: Option<KeySource>, code_file: Option<PathBuf>) -> Result<()> {
    let code = read_code(code_file)?;
    let source = key.unwrap_or_default();
    let (_, done) =
        recover::recover(cx.config.clone(), Arc::new(SystemClock), &code, &source, &os_login(), prompt())
            .await?;
    let answer = json!({ "added": done.slot, "warning": done.warning, "replaced": done.replaced, "login": done.login });
    cx.print(&answer, |_| {
        format!(
            "{}you act as {}. The recovery code stays valid; `unsaid key add recovery` makes another.\n",
            output::line(&format!("the vault opens again by {}", named(&done.slot))),
            crate::telemetry::escaped(&done.login)
        )
    })
}

/// The recovery code, from a file or from the person at the terminal.
pub fn read_code(file: Option<PathBuf>) -> Result<Secret> {
    if let Some(path) = file {
        return recovery::read_file(&path);
    }
    let terminal = Terminal::open().ok_or_else(|| {
        needs_terminal("a recovery code is only taken from a person at a terminal, or from a file")
            .next("Run it in a terminal, or name the file of the code.")
    })?;
    let typed = terminal.secret("Recovery code (14 groups)", 256)?;
    typed.expose(|bytes| match std::str::from_utf8(bytes) {
        Ok(text) => Ok(Secret::new(text.to_owned())),
        Err(_) => Err(invalid("the recovery code is not UTF-8")),
    })
}

fn named(slot: &SlotView) -> String {
    format!("{} ({})", slot.label, slot.place)
}

/// What to do with a recovery file.
fn moved(recovery: &Kept) -> String {
    match recovery {
        Kept::File(path) => output::line(&format!(
            "the recovery code is in {}: move it away from this machine",
            path.display()
        )),
        Kept::Shown | Kept::Nowhere => String::new(),
    }
}
