//! Sessions of the handshake era: each its principal's alone, and not too many of them.
//!
//! The library binds a session to nobody: whoever had another's session id could read its stream and answer its
//! questions. Somebody else's session here is one that does not exist.
use super::bearer::WHOSE;
use super::living::End;
use crate::ids::TokenId;
use crate::mcp::seats::{Seat, Seats};
use futures_util::Stream;
use rmcp::model::{ClientJsonRpcMessage, ServerJsonRpcMessage};
use rmcp::transport::streamable_http_server::session::local::{
    LocalSessionManager, LocalSessionManagerError,
};
use rmcp::transport::streamable_http_server::session::{
    RestoreOutcome, ServerSseMessage, SessionId, SessionManager,
};
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

/// Whose request this is; `None` where the assembly lets everybody in.
pub(super) fn owner() -> Option<TokenId> {
    WHOSE.try_with(|principal| principal.token.clone()).ok()
}

/// A place for one more session of whose request this is; `None` where there is none.
pub(super) fn seat(seats: &Seats) -> Option<Seat> {
    // Outside of a request of anybody's, everybody is let in.
    let seat = WHOSE.try_with(|principal| seats.enter(Some(&principal.caller)));
    seat.unwrap_or_else(|_| seats.enter(None)).ok()
}

struct Owned {
    owner: Option<TokenId>,
    _seat: Seat,
    /// Keeps the token looked after as long as the session is there.
    _end: Option<End>,
}

pub(super) struct Sessions {
    inner: Arc<LocalSessionManager>,
    owned: Arc<Mutex<HashMap<SessionId, Owned>>>,
    /// Of sessions over both transports.
    seats: Seats,
}

#[derive(Debug)]
pub(super) enum Refused {
    Full,
    Local(LocalSessionManagerError),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::Full => f.write_str("too many sessions"),
            Refused::Local(e) => e.fmt(f),
        }
    }
}

impl std::error::Error for Refused {}

impl From<LocalSessionManagerError> for Refused {
    fn from(e: LocalSessionManagerError) -> Self {
        Refused::Local(e)
    }
}

impl Sessions {
    pub fn new(inner: LocalSessionManager, seats: Seats) -> Self {
        Self { inner: Arc::new(inner), owned: Arc::default(), seats }
    }

    fn owned(&self) -> std::sync::MutexGuard<'_, HashMap<SessionId, Owned>> {
        self.owned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the session is that of whose request this is. The library closes dead ones from a task of its own.
    fn is_mine(&self, id: &SessionId) -> bool {
        let whose = WHOSE.try_with(|principal| principal.token.clone());
        match whose {
            Ok(token) => self.owned().get(id).is_some_and(|owned| owned.owner.as_ref() == Some(&token)),
            Err(_) => true,
        }
    }

    fn expect_mine(&self, id: &SessionId) -> Result<(), Refused> {
        match self.is_mine(id) {
            true => Ok(()),
            false => Err(LocalSessionManagerError::SessionNotFound(id.clone()).into()),
        }
    }
}

impl SessionManager for Sessions {
    type Error = Refused;
    type Transport = <LocalSessionManager as SessionManager>::Transport;

    async fn create_session(&self) -> Result<(SessionId, Self::Transport), Refused> {
        let Some(seat) = seat(&self.seats) else {
            // The library answers with an error of its own; this is how the right one is told.
            let _ = WHOSE.try_with(|principal| principal.is_full.store(true, Ordering::Relaxed));
            return Err(Refused::Full);
        };
        let (id, transport) = self.inner.create_session().await?;
        let end = WHOSE.try_with(|principal| principal.end.clone()).ok();
        let ended = end.as_ref().map(End::token);
        self.owned().insert(id.clone(), Owned { owner: owner(), _seat: seat, _end: end });
        // A session ends with its token.
        if let Some(end) = ended {
            let (inner, owned, id) = (self.inner.clone(), Arc::downgrade(&self.owned), id.clone());
            tokio::spawn(async move {
                let gone = async {
                    // The map forgets a session that was closed another way: then there is nothing to wait for.
                    loop {
                        tokio::time::sleep(std::time::Duration::from_secs(30)).await;
                        let Some(owned) = owned.upgrade() else { return };
                        if !owned.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&id) {
                            return;
                        }
                    }
                };
                tokio::select! {
                    () = gone => {}
                    () = end.cancelled() => {
                        // One that is closed already is as it should be.
                        let _ = inner.close_session(&id).await;
                        if let Some(owned) = owned.upgrade() {
                            owned.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
                        }
                    }
                }
            });
        }
        Ok((id, transport))
    }

    async fn initialize_session(
        &self,
        id: &SessionId,
        message: ClientJsonRpcMessage,
    ) -> Result<ServerJsonRpcMessage, Refused> {
        Ok(self.inner.initialize_session(id, message).await?)
    }

    async fn has_session(&self, id: &SessionId) -> Result<bool, Refused> {
        Ok(self.is_mine(id) && self.inner.has_session(id).await?)
    }

    async fn close_session(&self, id: &SessionId) -> Result<(), Refused> {
        // Somebody else's is answered as any other, and stays.
        if !self.is_mine(id) {
            return Ok(());
        }
        self.owned().remove(id);
        Ok(self.inner.close_session(id).await?)
    }

    async fn create_stream(
        &self,
        id: &SessionId,
        message: ClientJsonRpcMessage,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, Refused> {
        self.expect_mine(id)?;
        Ok(self.inner.create_stream(id, message).await?)
    }

    async fn accept_message(&self, id: &SessionId, message: ClientJsonRpcMessage) -> Result<(), Refused> {
        self.expect_mine(id)?;
        Ok(self.inner.accept_message(id, message).await?)
    }

    async fn create_standalone_stream(
        &self,
        id: &SessionId,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, Refused> {
        self.expect_mine(id)?;
        Ok(self.inner.create_standalone_stream(id).await?)
    }

    async fn resume(
        &self,
        id: &SessionId,
        last_event_id: String,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, Refused> {
        self.expect_mine(id)?;
        Ok(self.inner.resume(id, last_event_id).await?)
    }

    async fn restore_session(&self, id: SessionId) -> Result<RestoreOutcome<Self::Transport>, Refused> {
        Ok(self.inner.restore_session(id).await?)
    }
}
