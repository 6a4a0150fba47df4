//! `unsaid serve`: the server, for one client over standard input and output, or for many over HTTP.
use super::Context;
use super::context::CallerOf;
use super::serve_http::{Http, serve_http};
use crate::app::{App, Pages};
use crate::error::{Code, Error, Result};
use crate::mcp::{Identify, Known, Open, serve_stdio};
use crate::model::access::Door;
use crate::model::token::Purpose;
use crate::ops::token::{Shown, verify};
use crate::ops::{Limits, Toolset};
use crate::secret::Secret;
use crate::web::LocalPages;
use clap::Args;
use std::sync::Arc;
use tokio::sync::OnceCell;

/// Serve the vault to MCP clients: one over standard input and output, or many over HTTP
#[derive(Args)]
#[command(after_help = "\
An MCP client starts this; `unsaid mcp-config` prints what it needs. It never asks anything at a terminal. With
UNSAID_TOKEN set, it serves as that token's user and within its limits.

With --http it serves Streamable HTTP at /mcp, the older SSE transport at /sse, and the pages where people enter values.
Clients show a token (`unsaid token create`), people sign in (`unsaid open`).

Examples:
  unsaid serve
  unsaid serve --read-only
  unsaid serve --toolsets credentials,catalogue
  unsaid serve --http 127.0.0.1:8740
  unsaid serve --http 0.0.0.0:8740 --public-url https://vault.example.com --tls-cert c.pem --tls-key k.pem")]
pub struct Serve {
    /// Answer questions and change nothing
    #[arg(long)]
    read_only: bool,
    /// Offer these groups of tools only: credentials, oauth, audit, catalogue (session is always there)
    #[arg(long, value_name = "A,B", value_delimiter = ',', value_parser = toolset)]
    toolsets: Vec<Toolset>,
    #[command(flatten)]
    http: Http,
}

pub(super) fn toolset(text: &str) -> Result<Toolset, String> {
    match text.parse::<Toolset>() {
        Ok(Toolset::People) => Err("what is for people only is never a tool".into()),
        // `people` is a toolset that no server offers.
        other => other.map_err(|e| e.replace(", people", "")),
    }
}

/// Opens the vault of the configuration as it is then: `unsaid init` may have written it since we were started.
///
/// `pages` makes what serves the pages of the opened vault.
pub(super) fn opening(
    cx: &Context,
    pages: impl Fn(&Arc<App>) -> Result<Arc<dyn Pages>> + Send + Sync + 'static,
) -> Open {
    let config = cx.config.clone();
    Arc::new(move || {
        let config =
            crate::config::Config::load(&|name| std::env::var(name).ok()).unwrap_or_else(|_| config.clone());
        let app = App::open(config, None)?;
        app.store.keep_log_short();
        let app = Arc::new(app);
        let pages = pages(&app)?;
        // Opened once: nothing is there yet.
        let _ = app.pages.set(pages);
        Ok(app)
    })
}

impl Serve {
    /// Whether it serves over HTTP.
    pub fn is_for_many(&self) -> bool {
        self.http.is_asked_for()
    }

    pub async fn run(self, cx: &Context) -> Result<()> {
        let limits = Limits { read_only: self.read_only, toolsets: self.toolsets };
        if self.http.is_asked_for() {
            return serve_http(cx, self.http, limits).await;
        }
        let identify = match std::env::var("UNSAID_TOKEN").ok().filter(|token| !token.is_empty()) {
            Some(token) => by_token(Secret::new(token)),
            None => by_configuration(cx),
        };
        serve_stdio(opening(cx, |app| Ok(Arc::new(LocalPages::new(app)?))), limits, identify).await
    }
}

/// The local person, or whom `--as` names.
fn by_configuration(cx: &Context) -> Identify {
    let whose = Arc::new(CallerOf { org: cx.org.clone(), other: cx.as_user.clone(), door: Door::Stdio });
    let known = Arc::new(OnceCell::new());
    Box::new(move |app| {
        let (whose, known) = (whose.clone(), known.clone());
        Box::pin(async move {
            // Every operation looks the user up itself; only acting as another is decided here, each time.
            let caller = match whose.is_oneself() {
                true => known.get_or_try_init(|| whose.caller(app)).await.cloned(),
                false => whose.caller(app).await,
            };
            Ok(Known { caller: caller?, limits: Limits::default() })
        })
    })
}

/// The token's user, within its limits. Asked for every call: it may be revoked meanwhile.
fn by_token(token: Secret) -> Identify {
    let shown = Arc::new(token.expose(Shown::new));
    Box::new(move |app| {
        let shown = shown.clone();
        Box::pin(async move {
            let shown = shown.as_ref().as_ref().ok().cloned().ok_or_else(|| {
                Error::new(Code::TokenInvalid, "what UNSAID_TOKEN holds is no token of unsaid")
            })?;
            let verified = verify(app, shown, Purpose::Mcp, Door::Stdio).await?;
            Ok(Known { caller: verified.caller, limits: verified.limits })
        })
    })
}
