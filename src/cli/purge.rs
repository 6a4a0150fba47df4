//! `unsaid purge NAME`: destroys the keys of a credential in the bin, for good. Asks for a challenge.
use super::Context;
use super::output::{at, line};
use crate::error::Result;
use clap::Args;
use serde_json::json;

/// Destroy a credential of the bin for good
#[derive(Args)]
#[command(
    after_help = "Asks for a challenge on the terminal; nothing skips it. Backups made before still hold it."
)]
pub struct Purge {
    /// Name or id of a credential in the bin
    credential: String,
    /// Why, for the audit log
    #[arg(long, default_value = "purged on the command line")]
    reason: String,
}

impl Purge {
    pub async fn run(self, cx: &Context) -> Result<()> {
        let arguments = json!({ "credential": self.credential, "reason": self.reason });
        let answer = cx.call("purge_credential", arguments).await?;
        cx.print(&answer, |a| {
            line(&format!("{} is gone: {} versions destroyed", at(a, "/name"), at(a, "/versions_destroyed")))
                + &line(&at(a, "/note"))
        })
    }
}
