//! What is open under a token, so that it ends when the token does: streams in the middle, sessions, calls.
//!
//! Another process may revoke it, so tokens with something open are asked about twice a second.
use crate::app::App;
use crate::ids::{OrgId, TokenId};
use crate::model::token::Purpose;
use crate::ops::token::still_valid;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How long a revoked token's streams may go on.
const EVERY: Duration = Duration::from_millis(500);

type Open = Arc<Mutex<HashMap<TokenId, Weak<Under>>>>;

/// Tokens that something is open under.
#[derive(Clone, Default)]
pub struct Living(Open);

/// Held by whatever is open under a token; ends with it.
#[derive(Clone)]
pub struct End(Arc<Under>);

struct Under {
    org: OrgId,
    token: TokenId,
    end: CancellationToken,
    all: Open,
}

impl End {
    /// Ends when the token does.
    pub fn token(&self) -> CancellationToken {
        self.0.end.clone()
    }
}

impl std::fmt::Debug for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("End(..)")
    }
}

impl Drop for Under {
    fn drop(&mut self) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        // Another one may have come meanwhile, which is not dropped.
        if all.get(&self.token).is_some_and(|under| under.strong_count() == 0) {
            all.remove(&self.token);
        }
    }
}

impl Living {
    /// One more thing that is open under a token.
    pub fn under(&self, org: &OrgId, token: &TokenId) -> End {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(under) = all.get(token).and_then(Weak::upgrade) {
            return End(under);
        }
        let under = Arc::new(Under {
            org: org.clone(),
            token: token.clone(),
            end: CancellationToken::new(),
            all: self.0.clone(),
        });
        all.insert(token.clone(), Arc::downgrade(&under));
        End(under)
    }

    fn all(&self) -> Vec<End> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.values().filter_map(Weak::upgrade).map(End).collect()
    }

    /// Looks after them until `stop`. Where the store cannot be asked for a moment, nothing ends.
    pub async fn watch(self, app: Arc<App>, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
            for End(under) in self.all() {
                match still_valid(&app, under.org.clone(), under.token.clone(), Purpose::Mcp).await {
                    Ok(true) => {}
                    Ok(false) => under.end.cancel(),
                    Err(e) => tracing::warn!(code = e.code.name(), "a token could not be looked after"),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_looked_after_as_long_as_something_is_open_under_it() {
        let living = Living::default();
        let (org, token) = (OrgId::from("acme"), TokenId::from("one"));
        let first = living.under(&org, &token);
        let second = living.under(&org, &token);
        assert_eq!(living.all().len(), 1);

        drop(first);
        assert_eq!(living.all().len(), 1);
        drop(second);

        assert!(living.all().is_empty());
        assert!(living.0.lock().unwrap().is_empty());
    }
}
