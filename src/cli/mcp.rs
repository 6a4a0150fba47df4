//! `unsaid mcp NAME`: starts a registered MCP server with what it is bound to, or speaks to a remote one. What a
//! client's configuration says in place of a secret.
use super::{Context, launch, remote, runtime};
use crate::error::Result;
use crate::inject::Masking;
use crate::ops::hand_over::find_remote;
use clap::Args;
use std::process::ExitCode;

/// Start a registered MCP server, or speak to a remote one, with its credentials, and mask them in what it answers
#[derive(Args)]
#[command(after_help = "\
A client starts this in place of the server, so that its configuration holds no secret:
  { \"command\": \"unsaid\", \"args\": [\"mcp\", \"github\"] }

Register the server first: `unsaid consumer add github --bind GITHUB_TOKEN -- npx -y SERVER`, or let
`unsaid mcp-config --wrap FILE` do it for a whole configuration.

A remote server (streamable HTTP) is registered with its address, and the header that its credential goes into:
  unsaid consumer add linear --server linear
  unsaid consumer add mine --url https://mcp.example.com/mcp --bind MY_TOKEN=,header=Authorization")]
pub struct Mcp {
    /// The consumer: name or id
    consumer: String,
}

impl Mcp {
    pub fn run(self, cx: &Context) -> Result<ExitCode> {
        launch::expect_oneself(cx)?;
        let app = cx.open()?;
        let found = runtime()?.block_on(async {
            let caller = cx.caller(&app).await?;
            find_remote(&app, &caller, &self.consumer).await
        });
        match found {
            Ok(Some(remote)) => remote::run(cx, app, remote),
            // Whatever is wrong is told, and written down, by the start itself.
            Ok(None) | Err(_) => launch::run_consumer(cx, Some(app), &self.consumer, &[], Masking::On, None),
        }
    }
}
