//! `unsaid mcp NAME`: starts a registered MCP server with what it is bound to. What a client's configuration says
//! in place of a secret.
use super::Context;
use super::launch::{self, Bundle};
use crate::error::Result;
use crate::inject::Masking;
use clap::Args;
use std::process::ExitCode;

/// Start a registered MCP server with its credentials, and mask them in what it answers
#[derive(Args)]
#[command(after_help = "\
A client starts this in place of the server, so that its configuration holds no secret:
  { \"command\": \"unsaid\", \"args\": [\"mcp\", \"github\"] }

Register the server first: `unsaid consumer add github --bind GITHUB_TOKEN -- npx -y SERVER`, or let
`unsaid mcp-config --wrap FILE` do it for a whole configuration.")]
pub struct Mcp {
    /// The consumer: name or id
    consumer: String,
}

impl Mcp {
    pub fn run(self, cx: &Context) -> Result<ExitCode> {
        launch::expect_oneself(cx)?;
        let runtime = launch::runtime()?;
        let app = cx.open()?;
        let (started, slots) = runtime.block_on(async {
            let started = launch::for_consumer(cx, &app, &self.consumer, &["mcp".into()]).await?;
            let slots = app.store.read_here(|tx| tx.slots()).await?;
            Ok::<_, crate::error::Error>((started, slots))
        })?;
        let argv = launch::command_of(&started, Vec::new())?;
        let bundle = Bundle {
            injected: launch::deliver(started.handed),
            plain: started.plain,
            strip: launch::ours(&slots),
        };
        // The vault is closed while the server runs, however long that is.
        drop((app, runtime));
        launch::start(cx, argv, bundle, Masking::On)
    }
}
