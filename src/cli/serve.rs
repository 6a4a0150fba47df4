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
use crate::ops::watch::keep_watch;
use crate::ops::{Limits, Toolset};
use crate::secret::Secret;
use crate::web::LocalPages;
use clap::Args;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

/// Serve the vault to MCP clients: one over standard input and output, or many over HTTP
#[derive(Args)]
#[command(after_help = "\
An MCP client starts this; `unsaid mcp-config` prints what it needs. It never asks anything at a terminal. It serves as
yourself, as the user that an admin names with --as, or, with UNSAID_TOKEN set, as that token's user within its limits.

With --http it serves Streamable HTTP at /mcp, the older SSE transport at /sse, and the pages where people enter values.
Clients show a token (`unsaid token create`), people sign in (`unsaid open`); UNSAID_TOKEN, --as and --org are refused there.

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
    /// Offer these groups of tools only: credentials, oauth, consumers, audit, hygiene, rotation, catalogue (session is always there)
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

/// How long a refresh that was sent is waited for when the client is gone.
const REFRESHED: Duration = Duration::from_secs(15);

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
        let token = std::env::var("UNSAID_TOKEN").ok().filter(|token| !token.is_empty());
        let names = [cx.as_user.as_ref().map(|_| "--as"), cx.org.as_ref().map(|_| "--org")];
        let named = names.into_iter().flatten().next();
        expect_one_way_in(self.http.is_asked_for(), token.is_some(), named)?;
        if self.http.is_asked_for() {
            return serve_http(cx, self.http, limits).await;
        }
        let identify = match token {
            Some(token) => by_token(Secret::new(token)),
            None => by_configuration(cx),
        };
        let (stop, keeping) = (CancellationToken::new(), Arc::new(OnceLock::new()));
        let (until, kept) = (stop.clone(), keeping.clone());
        let open = opening(cx, move |app| {
            kept.get_or_init(|| Mutex::new(tokio::spawn(keep_watch(app.clone(), until.clone()))));
            Ok(Arc::new(LocalPages::new(app)?))
        });
        let served = serve_stdio(open, limits, identify).await;
        stop.cancel();
        // A refresh that was sent is waited for: its answer would be lost with us.
        if let Some(keeping) = keeping.get() {
            let mut keeping = keeping.lock().await;
            let _ = tokio::time::timeout(REFRESHED, &mut *keeping).await;
        }
        served
    }
}

/// Refuses a way of saying who calls that would be left aside for another: over HTTP each request has its token, and
/// on standard input and output a token says it all. `named` is the flag that names somebody.
fn expect_one_way_in(is_http: bool, has_token: bool, named: Option<&'static str>) -> Result<()> {
    let (wrong, next) = match (is_http, has_token, named) {
        (true, true, _) => (
            "UNSAID_TOKEN is set, and with --http each request shows a token of its own".to_owned(),
            "Unset UNSAID_TOKEN here, and give it to the client that is to use it.".to_owned(),
        ),
        (true, false, Some(flag)) => (
            format!("{flag} says who calls, and with --http the token of each request does"),
            format!("Leave {flag} out, and make a token for them: `unsaid token create NAME --user USER`."),
        ),
        (false, true, Some(flag)) => (
            format!("UNSAID_TOKEN is set and {flag} is given, and both say who calls"),
            format!("Leave {flag} out, or unset UNSAID_TOKEN."),
        ),
        _ => return Ok(()),
    };
    Err(Error::new(Code::InvalidInput, wrong).next(next))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_of_saying_who_calls_that_would_be_left_aside_is_refused() {
        for (is_http, has_token, named) in [
            (true, true, None),
            (true, false, Some("--as")),
            (true, false, Some("--org")),
            (false, true, Some("--as")),
        ] {
            let refused = expect_one_way_in(is_http, has_token, named).unwrap_err();

            assert_eq!(refused.code, Code::InvalidInput);
            let what = named.unwrap_or("UNSAID_TOKEN");
            assert!(refused.message().contains(what) && refused.next_step().contains(what), "{refused}");
        }
        for (is_http, has_token, named) in
            [(true, false, None), (false, true, None), (false, false, Some("--as")), (false, false, None)]
        {
            assert!(expect_one_way_in(is_http, has_token, named).is_ok());
        }
    }
}
