//! Who wants to hear that a credential's state is another: subscriptions of both eras of the protocol.
//!
//! What is told is an address and nothing else. Whoever subscribed must be able to read it when they subscribe, and again
//! each time that something is told: a right that was taken away ends what is heard.
use super::door::{Door, protocol_error};
use super::resources;
use crate::app::Change;
use rmcp::RoleServer;
use rmcp::model::ErrorData;
use rmcp::service::RequestContext;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::future::Future;
use std::sync::{Mutex, PoisonError};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::{CancellationToken, DropGuard};

/// So many addresses one connection may subscribe to.
pub(super) const MOST: usize = 100;

/// A resource whose changes are told.
#[derive(Debug)]
pub(super) struct Watched {
    /// As the client wrote it: it is what it looks for.
    pub uri: String,
    /// The credential; none: all that the caller may see.
    credential: Option<String>,
}

/// The subscriptions of one connection: dropped, they end.
#[derive(Default)]
pub(super) struct Subscribed(Mutex<HashMap<String, DropGuard>>);

impl Subscribed {
    /// A new subscription to `uri`, in place of one that there was. Its token ends when it is ended, or the connection is.
    ///
    /// Fails where the connection has as many as it may have.
    pub fn begin(&self, uri: &str) -> Result<CancellationToken, ErrorData> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST && !all.contains_key(uri) {
            let text = format!("this connection has {MOST} subscriptions; end one of them first");
            return Err(ErrorData::invalid_params(text, None));
        }
        let token = CancellationToken::new();
        all.insert(uri.to_owned(), token.clone().drop_guard());
        Ok(token)
    }

    /// Ends the subscription to `uri`, if there is one.
    pub fn end(&self, uri: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(uri);
    }
}

/// Whether changes are told of the resource that this operation answers.
pub(super) fn is_told(operation: &str) -> bool {
    matches!(operation, "list_credentials" | "get_credential")
}

/// What `uri` is, where its changes are told and the caller may read it.
///
/// Fails as a reading of it does, and with `invalid params` where it is a resource whose changes nobody is told of.
pub(super) async fn watched(
    door: &Door,
    uri: &str,
    cx: &RequestContext<RoleServer>,
) -> Result<Watched, ErrorData> {
    let Some((operation, arguments)) = resources::route(uri) else {
        return Err(ErrorData::resource_not_found("there is no such resource", None));
    };
    let credential = match operation {
        "list_credentials" => None,
        "get_credential" => {
            let found = door.read(operation, arguments, cx).await.map_err(|e| protocol_error(&e))?;
            Some(found.get("id").and_then(Value::as_str).unwrap_or_default().to_owned())
        }
        _ => {
            let text = "changes are told of unsaid://inventory and unsaid://credentials/{id} only; read this one again";
            return Err(ErrorData::invalid_params(text, None));
        }
    };
    Ok(Watched { uri: uri.to_owned(), credential })
}

/// Tells each of `all` whose state changes and that the caller may read still, until nobody listens any more.
pub(super) async fn follow<T: Future<Output = bool>>(
    door: &Door,
    mut changes: Receiver<Change>,
    cx: &RequestContext<RoleServer>,
    all: &[Watched],
    mut tell: impl FnMut(String) -> T,
) {
    loop {
        let changed = match changes.recv().await {
            Ok(change) => Some(change),
            // More changed at once than is kept: any of them may have.
            Err(RecvError::Lagged(_)) => None,
            Err(RecvError::Closed) => return,
        };
        for one in all {
            let is_told = match (&one.credential, &changed) {
                (Some(id), Some(change)) if *id != change.credential.0 => false,
                (_, Some(change)) => door.sees(&change.org, change.credential.as_str(), cx).await,
                (Some(id), None) => {
                    door.read("get_credential", json!({ "credential": id }), cx).await.is_ok()
                }
                (None, None) => true,
            };
            if !is_told {
                continue;
            }
            if !tell(one.uri.clone()).await {
                return;
            }
        }
    }
}
