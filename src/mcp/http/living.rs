//! What is open under a token, so that it ends when the token does: streams in the middle, sessions, calls.
//!
//! Another process may revoke it, so tokens with something open are asked about twice a second.
use crate::app::App;
use crate::ids::{OrgId, TokenId};
use crate::model::token::Purpose;
use crate::ops::token::still_valid;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How long a revoked token's streams may go on.
const EVERY: Duration = Duration::from_millis(500);

struct Open {
    org: OrgId,
    end: CancellationToken,
}

/// Tokens that something is open under.
#[derive(Clone, Default)]
pub struct Living(Arc<Mutex<HashMap<TokenId, Open>>>);

impl Living {
    /// Ends when the token does.
    pub fn end_of(&self, org: &OrgId, token: &TokenId) -> CancellationToken {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.entry(token.clone())
            .or_insert_with(|| Open { org: org.clone(), end: CancellationToken::new() })
            .end
            .clone()
    }

    /// Ends everything under a token now.
    pub fn end(&self, token: &TokenId) {
        let ended = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(token);
        if let Some(open) = ended {
            open.end.cancel();
        }
    }

    fn all(&self) -> Vec<(OrgId, TokenId)> {
        let open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.iter().map(|(token, open)| (open.org.clone(), token.clone())).collect()
    }

    /// Looks after them until `stop`. Where the store cannot be asked for a moment, nothing ends.
    pub async fn watch(self, app: Arc<App>, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
            for (org, token) in self.all() {
                match still_valid(&app, org, token.clone(), Purpose::Mcp).await {
                    Ok(true) => {}
                    Ok(false) => self.end(&token),
                    Err(e) => tracing::warn!(code = e.code.name(), "a token could not be looked after"),
                }
            }
        }
    }
}
