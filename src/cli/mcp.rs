//! `unsaid mcp NAME`: starts a registered MCP server with what it is bound to. What a client's configuration says
//! in place of a secret.
use super::Context;
use super::launch;
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
        launch::run_consumer(cx, &self.consumer, &[], Masking::On, None)
    }
}
