//! `unsaid rm NAME`: to the bin, after showing who it breaks.
use super::Context;
use super::output::{at, line, when};
use crate::error::Result;
use clap::Args;
use serde_json::json;

/// Move a credential to the bin; what uses it stops working
#[derive(Args)]
#[command(after_help = "It can be brought back with `unsaid restore` until the bin's days are over.")]
pub struct Rm {
    /// Name or id; also team/NAME, NAME@account, NAME[prod]
    credential: String,
    /// Why, for the audit log
    #[arg(long, default_value = "removed on the command line")]
    reason: String,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

impl Rm {
    pub async fn run(self, cx: &Context) -> Result<()> {
        let session = cx.session().await?;
        let arguments = json!({ "credential": self.credential, "reason": self.reason });
        let answer = session.call_with("delete_credential", arguments, self.yes).await?;
        cx.print(&answer, |a| {
            line(&format!(
                "{} is in the bin; `unsaid restore {}` brings it back until {}",
                at(a, "/name"),
                at(a, "/id"),
                when(a, "/restore_until")
            ))
        })
    }
}
