//! The pages: sign-in, entry of values, approvals, OAuth providers. For people, never for models.
//!
//! Every page works without script and shows no stored value. A session is two halves, of which neither opens anything
//! alone: one in the path of every page, one in a cookie of that path alone. Cookies know no ports, so a program on
//! another port of this machine would otherwise be sent ours (W-18); a path it cannot guess it is never asked for.
mod answer;
mod approvals;
mod assets;
mod connect;
mod entry;
mod form;
mod home;
mod local;
pub mod pages;
mod providers;
mod seal;
mod sessions;
mod sign_in;
#[cfg(test)]
mod tests;

pub use local::LocalPages;

use crate::app::{App, Pages};
use crate::error::Result;
use answer::Answer;
use axum::Router;
use axum::routing::{get, post};
use futures_util::future::BoxFuture;
use sessions::Sessions;
use std::sync::Arc;

/// The largest request of a page, in bytes: a file of 1 MiB, in base64 and sealed, with its form.
pub const MOST_BODY: usize = 2 * 1024 * 1024;

/// Gives the open vault, or says why it is not.
pub type Vault = Arc<dyn Fn() -> BoxFuture<'static, Result<Arc<App>>> + Send + Sync>;

/// What all pages of one server share.
pub(crate) struct Site {
    vault: Vault,
    sessions: Sessions,
    seal: seal::SealKey,
    guesses: sign_in::Guesses,
    /// Cookies go over TLS only.
    is_https: bool,
    /// Whoever comes is on this machine: nothing in between reads along, so nothing is sealed in the browser.
    is_local: bool,
    /// Visitors type the code that the asker was shown, instead of signing in.
    by_code: bool,
    base: String,
}

/// How the pages are served.
#[derive(Clone, Debug)]
pub struct Shape {
    pub base: String,
    pub is_https: bool,
    pub is_local: bool,
}

/// All pages, for people who sign in.
pub fn router(vault: Vault, shape: &Shape) -> Result<Router> {
    let site = Arc::new(Site {
        vault,
        sessions: Sessions::default(),
        seal: seal::SealKey::new()?,
        guesses: sign_in::Guesses::new(),
        is_https: shape.is_https,
        is_local: shape.is_local,
        by_code: false,
        base: shape.base.clone(),
    });
    let router = Router::new()
        .route("/", get(sign_in::begin))
        .route("/sign-in", get(sign_in::begin).post(sign_in::by_token))
        .route("/sign-in/{ticket}", get(sign_in::ask_ticket).post(sign_in::by_ticket))
        .route("/e/{link}", get(sign_in::land))
        .route("/u/{half}/", get(home::show))
        .route("/u/{half}/sign-out", post(sign_in::sign_out))
        .route("/u/{half}/e/{link}", get(entry::show).post(entry::take))
        .merge(consents())
        .route("/u/{half}/approvals", get(approvals::list))
        .route("/u/{half}/approvals/{id}", get(approvals::show).post(approvals::decide))
        .route("/u/{half}/providers", get(providers::list))
        .route("/u/{half}/providers/new", get(providers::fresh).post(providers::create))
        .route("/u/{half}/providers/{id}", get(providers::show).post(providers::change))
        .route("/u/{half}/providers/{id}/secret", post(providers::secret))
        .route("/favicon.ico", get(assets::no_icon))
        .route("/assets/{name}", get(assets::get));
    Ok(router.with_state(site))
}

/// The way to a provider and back. No session: what counts is what the browser was given when it was sent away.
fn consents() -> Router<Arc<Site>> {
    Router::new()
        .route("/oauth/start/{ticket}", get(connect::ask_leave).post(connect::leave))
        .route("/oauth/callback", get(connect::back))
        .route("/oauth/callback/{name}", get(connect::back))
        .route("/oauth/accept", post(connect::accept))
}

/// The entry pages alone, for visitors who show a code.
fn by_code(site: Arc<Site>) -> Router {
    Router::new()
        .route("/e/{link}", get(sign_in::ask_code).post(sign_in::by_code))
        .route("/u/{half}/e/{link}", get(entry::show).post(entry::take))
        .merge(consents())
        .route("/favicon.ico", get(assets::no_icon))
        .route("/assets/{name}", get(assets::get))
        .fallback(|| async { Answer::nothing_here() })
        .with_state(site)
}

/// The way to a provider and back, on a port that the provider knows, and nothing else.
fn consents_alone(site: Arc<Site>) -> Router {
    consents()
        .route("/favicon.ico", get(assets::no_icon))
        .route("/assets/{name}", get(assets::get))
        .fallback(|| async { Answer::nothing_here() })
        .with_state(site)
}

/// Pages of a server that people sign in to.
pub struct SignedIn {
    pub base: String,
}

impl Pages for SignedIn {
    fn base(&self) -> BoxFuture<'_, Result<String>> {
        Box::pin(async { Ok(self.base.clone()) })
    }
    fn code(&self, _: &str) -> Option<String> {
        None
    }
    fn callback(&self) -> Option<String> {
        Some(format!("{}/oauth/callback", self.base))
    }
    fn come_back<'a>(&'a self, redirect_uri: &'a str) -> BoxFuture<'a, Result<String>> {
        Box::pin(async move {
            match redirect_uri.starts_with(&format!("{}/oauth/callback", self.base)) {
                true => Ok(self.base.clone()),
                false => Err(crate::error::invalid("the provider's callback is not this server's")),
            }
        })
    }
    fn approvals(&self) -> Option<String> {
        Some(self.base.clone())
    }
}

impl Site {
    async fn app(&self) -> Result<Arc<App>> {
        (self.vault)().await
    }
}
