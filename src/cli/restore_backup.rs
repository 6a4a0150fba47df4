//! `unsaid restore-backup`.
use super::Context;
use crate::error::{Result, internal};

#[derive(clap::Args)]
pub struct RestoreBackup {}

impl RestoreBackup {
    pub async fn run(self, _cx: &Context) -> Result<()> {
        Err(internal("comes with the next commit"))
    }
}
