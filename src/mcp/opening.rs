//! The vault, opened when it is first needed, and who calls.
//!
//! A server starts before `unsaid init` has run and answers then with what is wrong; every call tries again until
//! the vault opens, so that no client has to be restarted. Nothing here asks anybody anything.
use crate::app::App;
use crate::error::{Result, internal};
use crate::model::access::{Caller, Door};
use crate::ops::Limits;
use futures_util::future::BoxFuture;
use rmcp::RoleServer;
use rmcp::service::RequestContext;
use std::sync::Arc;
use tokio::sync::OnceCell;

/// Opens the vault. It may block (files, a key command), and must not ask at a terminal.
pub type Open = Arc<dyn Fn() -> Result<Arc<App>> + Send + Sync>;

/// Says who the local caller is. Asked for every call, so it should be cheap.
pub type Identify = Box<dyn for<'a> Fn(&'a App) -> BoxFuture<'a, Result<Known>> + Send + Sync>;

/// A transport's way of knowing its caller: the local user on stdio, the bearer of the token over HTTP.
pub trait Identity: Send + Sync + 'static {
    fn caller<'a>(&'a self, app: &'a App, cx: &'a RequestContext<RoleServer>)
    -> BoxFuture<'a, Result<Known>>;
}

/// A caller, and what their way in allows besides the server's own limits.
pub struct Known {
    pub caller: Caller,
    pub limits: Limits,
}

/// The local user for all that comes in over stdio. Whoever they are, a model stands behind this door.
pub struct Local(pub Identify);

impl Identity for Local {
    fn caller<'a>(&'a self, app: &'a App, _: &'a RequestContext<RoleServer>) -> BoxFuture<'a, Result<Known>> {
        Box::pin(async {
            let known = (self.0)(app).await?;
            Ok(Known { caller: Caller { door: Door::Stdio, ..known.caller }, ..known })
        })
    }
}

/// A vault that may not be open yet.
pub(super) struct Opening {
    open: Open,
    app: OnceCell<Arc<App>>,
}

impl Opening {
    pub(super) fn new(open: Open) -> Self {
        Self { open, app: OnceCell::new() }
    }

    /// The open vault, opening it if need be. One attempt runs at a time; a failed one is forgotten.
    ///
    /// Fails as [`App::open`] does, with `not_initialised` first of all.
    pub(super) async fn app(&self) -> Result<&Arc<App>> {
        self.app
            .get_or_try_init(|| async {
                let open = self.open.clone();
                match tokio::task::spawn_blocking(move || open()).await {
                    Ok(opened) => opened,
                    Err(_) => Err(internal("opening the vault was broken off")),
                }
            })
            .await
    }
}
