use super::Context;
use crate::error::{Result, internal};

#[derive(clap::Args)]
pub struct Provider {}

impl Provider {
    pub async fn run(self, _cx: &Context) -> Result<()> {
        Err(internal("comes with the next commit"))
    }
}
