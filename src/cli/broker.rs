//! `unsaid broker`: adds credentials to the requests of consumers, which never hold them.
use super::Context;
use super::output::{at, items, line, note};
use crate::app::App;
use crate::error::Result;
use crate::front::{Guard, Listener, Place, beside, guarded, serve, stop_on_signals};
use crate::inject::broker::{Broker as Engine, PREFIX, Settings};
use crate::ops::broker::{Keeper, Let, Rate, Vaults};
use crate::ops::connection::keep_fresh;
use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use clap::{Args, Subcommand};
use serde_json::json;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long answers on their way are waited for at the end.
const GRACE: Duration = Duration::from_secs(10);
/// And what is still to be written about the requests that were answered.
const TOLD: Duration = Duration::from_secs(5);
/// And a refresh that was sent.
const REFRESHED: Duration = Duration::from_secs(15);

/// Add credentials to the requests of consumers, which never hold them
#[derive(Args)]
#[command(after_help = "\
A consumer sends its request to http://127.0.0.1:8741/b/CONSUMER/SERVICE/path with its own token in place of the key;
the broker adds the credential that is bound with delivery header, sends it to the service's own host and to no other,
and takes the credential out of the answer. `unsaid serve --http` has the same at /b/.

Examples:
  unsaid consumer add bot --kind agent --bind OPENAI_API_KEY,delivery=header,paths=/v1/**
  unsaid token create bot --consumer bot
  unsaid broker
  curl -H \"Authorization: Bearer $TOKEN\" http://127.0.0.1:8741/b/bot/openai/v1/models
  unsaid broker lift OPENAI_API_KEY       after a service sent it back three times, and is not sent it any more")]
#[command(args_conflicts_with_subcommands = true)]
pub struct Broker {
    #[command(subcommand)]
    action: Option<Action>,
    /// Where it listens, on this machine
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8741")]
    listen: SocketAddr,
}

#[derive(Subcommand)]
enum Action {
    /// Send a credential again to a service that has sent it back; asks for a challenge
    #[command(after_help = "\
A service that had a credential in three of its answers is not sent it any more, until the value is replaced or you say so
here. Look first at what was asked for: `unsaid log --credential NAME`.")]
    Lift {
        /// Name or id
        credential: String,
        /// Only for this service, or this remote server: its host and port
        #[arg(long, value_name = "SERVICE")]
        service: Option<String>,
        /// Why, for the audit log
        #[arg(long)]
        reason: Option<String>,
    },
}

/// The engine's pages, for a router, as the configuration has them; `base` is what clients type before [`PREFIX`]. What
/// is spawned into `endings` is for [`all_told`].
pub fn routes(cx: &Context, vaults: Vaults, lets: Let, base: &str, endings: &TaskTracker) -> Result<Router> {
    let rate = Rate::new(cx.config.file.broker.requests_per_minute()?.value);
    let settings =
        Settings { outbound: crate::app::outbound(&cx.config), base: base.to_owned(), ..Settings::default() };
    let engine = Engine::new(Keeper { vaults, lets, rate, endings: endings.clone() }, settings);
    Ok(beside(Router::new(), PREFIX, engine))
}

/// Waits, once nothing is served any more, until the log has how every use ended.
pub async fn all_told(endings: &TaskTracker) {
    endings.close();
    if tokio::time::timeout(TOLD, endings.wait()).await.is_err() {
        tracing::warn!(uses = endings.len(), "how some uses ended could not be written down in time");
    }
}

impl Broker {
    pub async fn run(self, cx: &Context) -> Result<()> {
        if let Some(Action::Lift { credential, service, reason }) = self.action {
            let given = json!({ "credential": credential, "service": service, "reason": reason });
            let answer = cx.call("lift_suspension", given).await?;
            return cx.print(&answer, |a| {
                let services: Vec<_> = items(a, "/services").iter().filter_map(|s| s.as_str()).collect();
                line(&format!("{} is sent to {} again", at(a, "/name"), services.join(", ")))
            });
        }
        let place = Place { listen: self.listen, public_url: None, has_tls: false, behind_proxy: false };
        place.check()?;
        let app = Arc::new(cx.open()?);
        let listener = Listener::bind(self.listen, None).await?;
        let address = place.address(listener.local()?);
        let stop = CancellationToken::new();
        stop_on_signals(stop.clone())?;
        let endings = TaskTracker::new();
        let router = routes(cx, open(app.clone()), Let::Tokens, &address.base, &endings)?
            .route("/healthz", get(|| async { "ok\n" }))
            .fallback(|| async { (StatusCode::NOT_FOUND, "there is nothing here\n") });
        let guard = Guard { unread: vec![PREFIX], ..Guard::at(&address, false) };
        note(&format!("listening on {}{PREFIX}CONSUMER/SERVICE/path; stop with Ctrl-C", address.base));
        let keeping = tokio::spawn(keep_fresh(app, stop.clone()));
        serve(listener, guarded(router, guard), stop, async {}, GRACE).await;
        all_told(&endings).await;
        // A refresh that was sent is waited for: its answer would be lost with us.
        let _ = tokio::time::timeout(REFRESHED, keeping).await;
        Ok(())
    }
}

/// The vault that is open already.
pub fn open(app: Arc<App>) -> Vaults {
    Arc::new(move || {
        let app = app.clone();
        Box::pin(async move { Ok(app) })
    })
}
