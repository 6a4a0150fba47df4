//! `unsaid restore NAME`: out of the bin.
use super::Context;
use super::output::{at, line};
use crate::error::Result;
use clap::Args;
use serde_json::json;

/// Bring a credential back from the bin
#[derive(Args)]
#[command(after_help = "`unsaid list --status deleted` shows the bin.")]
pub struct Restore {
    /// Name or id
    credential: String,
}

impl Restore {
    pub async fn run(self, cx: &Context) -> Result<()> {
        let answer = cx.call("restore_credential", json!({ "credential": self.credential })).await?;
        cx.print(&answer, |a| line(&format!("{} is back: {}", at(a, "/name"), at(a, "/status/message"))))
    }
}
