//! `unsaid serve`: the MCP server for one client, over standard input and output.
use super::Context;
use super::context::CallerOf;
use crate::app::App;
use crate::error::Result;
use crate::mcp::{Identify, Open, serve_stdio};
use crate::model::access::Door;
use crate::ops::{Limits, Toolset};
use clap::Args;
use std::sync::Arc;
use tokio::sync::OnceCell;

/// Serve the vault to an MCP client over standard input and output
#[derive(Args)]
#[command(after_help = "\
An MCP client starts this; `unsaid mcp-config` prints what it needs. It never asks anything at a terminal.

Examples:
  unsaid serve
  unsaid serve --read-only
  unsaid serve --toolsets credentials,catalogue")]
pub struct Serve {
    /// Answer questions and change nothing
    #[arg(long)]
    read_only: bool,
    /// Offer these groups of tools only: credentials, oauth, audit, catalogue (session is always there)
    #[arg(long, value_name = "A,B", value_delimiter = ',', value_parser = toolset)]
    toolsets: Vec<Toolset>,
}

pub(super) fn toolset(text: &str) -> Result<Toolset, String> {
    match text.parse::<Toolset>() {
        Ok(Toolset::People) => Err("what is for people only is never a tool".into()),
        // `people` is a toolset that no server offers.
        other => other.map_err(|e| e.replace(", people", "")),
    }
}

impl Serve {
    pub async fn run(self, cx: &Context) -> Result<()> {
        let config = cx.config.clone();
        // The configuration is read again: `unsaid init` may have written it since we were started.
        let open: Open = Arc::new(move || {
            let config = crate::config::Config::load(&|name| std::env::var(name).ok())
                .unwrap_or_else(|_| config.clone());
            let app = App::open(config, None)?;
            app.store.keep_log_short();
            Ok(Arc::new(app))
        });
        let whose = Arc::new(CallerOf { org: cx.org.clone(), other: cx.as_user.clone(), door: Door::Stdio });
        let known = Arc::new(OnceCell::new());
        let identify: Identify = Box::new(move |app| {
            let (whose, known) = (whose.clone(), known.clone());
            Box::pin(async move {
                // Every operation looks the user up itself; only acting as another is decided here, each time.
                match whose.is_oneself() {
                    true => known.get_or_try_init(|| whose.caller(app)).await.cloned(),
                    false => whose.caller(app).await,
                }
            })
        });
        serve_stdio(open, Limits { read_only: self.read_only, toolsets: self.toolsets }, identify).await
    }
}
