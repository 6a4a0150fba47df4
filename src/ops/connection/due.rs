//! The background pass: what falls due is refreshed ahead of its end, spread out, and each provider only as fast as it may be.
use super::refresh::{Wanted, ensure_fresh};
use super::{disconnect, save, system};
use crate::app::App;
use crate::error::{Code, Result};
use crate::ids::ProviderId;
use crate::model::connection::{Connection, ConnectionState};
use crate::model::event::Event;
use futures_util::StreamExt;
use futures_util::stream;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// How often the pass looks, where nothing is due.
const PAUSE: Duration = Duration::from_secs(5);
/// How many are looked at in one go.
const PAGE: i64 = 500;
/// How many requests are under way at once, of all providers and of one.
const AT_ONCE: usize = 64;
const AT_ONCE_EACH: usize = 4;

/// Keeps connections fresh until `stop`. Several processes may do so at once: each refresh is claimed.
pub async fn keep_fresh(app: Arc<App>, stop: tokio_util::sync::CancellationToken) {
    let pace = Pace::of(app.config.file.oauth.refreshes_per_second);
    // Who has just been started has something else to do first.
    tokio::select! {
        () = tokio::time::sleep(PAUSE) => {}
        () = stop.cancelled() => return,
    }
    loop {
        let done = tokio::select! {
            done = pass(&app, &pace) => done,
            () = stop.cancelled() => return,
        };
        let pause = match done {
            // A full page: there is more.
            Ok(n) if n >= PAGE as usize => Duration::ZERO,
            Ok(_) => PAUSE,
            Err(e) => {
                tracing::warn!(code = e.code.name(), "the pass over connections failed");
                PAUSE
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// How fast each provider may be asked.
pub struct Pace {
    rate: DefaultKeyedRateLimiter<ProviderId>,
}

impl Pace {
    pub fn of(per_second: u32) -> Self {
        let per_second = NonZeroU32::new(per_second).unwrap_or(NonZeroU32::MIN);
        // No burst: a pass that wakes to a thousand due connections asks as evenly as one that wakes to two.
        Self { rate: RateLimiter::keyed(Quota::per_second(per_second).allow_burst(NonZeroU32::MIN)) }
    }

    async fn wait(&self, provider: &ProviderId) {
        while let Err(not_until) = self.rate.check_key(provider) {
            let clock = governor::clock::DefaultClock::default();
            let wait = not_until.wait_time_from(governor::clock::Clock::now(&clock));
            tokio::time::sleep(wait.max(Duration::from_millis(1))).await;
        }
    }
}

/// Works on what is due now; returns how much that was.
pub async fn pass(app: &App, pace: &Pace) -> Result<usize> {
    let now = app.now();
    let due = app.store.read(move |tx| tx.connections_due(now, PAGE)).await?;
    let n = due.len();
    let mut places: HashMap<ProviderId, Arc<Semaphore>> = HashMap::new();
    let work: Vec<_> = due
        .into_iter()
        .map(|c| {
            let place =
                places.entry(c.provider_id.clone()).or_insert_with(|| Arc::new(Semaphore::new(AT_ONCE_EACH)));
            (c, place.clone())
        })
        .collect();
    stream::iter(work)
        .for_each_concurrent(AT_ONCE, |(connection, place)| async move {
            let Ok(_place) = place.acquire().await else { return };
            if let Err(e) = one(app, pace, connection).await {
                match e.code {
                    // Written down with the connection.
                    Code::RefreshUnreachable
                    | Code::RefreshRefused
                    | Code::ReauthRequired
                    | Code::Changed => {}
                    _ => tracing::warn!(code = e.code.name(), "a connection could not be looked after"),
                }
            }
        })
        .await;
    Ok(n)
}

async fn one(app: &App, pace: &Pace, connection: Connection) -> Result<()> {
    match connection.state {
        ConnectionState::Connected => {
            let (org, id) = (connection.org_id.clone(), connection.credential_id.clone());
            let is_there = app
                .store
                .read_here(move |tx| Ok(tx.find_credential(&org, &id)?.is_some_and(|c| !c.is_deleted())))
                .await?;
            if !is_there {
                // In the bin nothing is refreshed; what comes out of it again is refreshed when it is used.
                return rest(app, connection).await;
            }
            pace.wait(&connection.provider_id).await;
            let caller = system(&connection);
            let wanted = Wanted::Instead(connection.generation);
            ensure_fresh(app, &caller, &connection.org_id, &connection.credential_id, wanted).await
        }
        ConnectionState::Revoking => {
            pace.wait(&connection.provider_id).await;
            disconnect::end_again(app, connection).await
        }
        ConnectionState::Broken => forget(app, connection).await,
        ConnectionState::Disconnected => rest(app, connection).await,
    }
}

/// Takes a connection off the list of what is due.
async fn rest(app: &App, connection: Connection) -> Result<()> {
    let caller = system(&connection);
    app.store
        .write(&caller, move |tx| {
            if let Some(mut connection) = tx.connection(&connection.org_id, &connection.credential_id)? {
                connection.refresh_due_at = None;
                tx.save(&mut connection)?;
            }
            tx.record_step(
                Event::of("rest_connection").about("credential", connection.credential_id.as_str(), ""),
                (),
            )
        })
        .await
}

/// Destroys what was kept of a broken connection for a week.
async fn forget(app: &App, connection: Connection) -> Result<()> {
    let caller = system(&connection);
    app.store
        .write(&caller, move |tx| {
            let (org, id) = (&connection.org_id, &connection.credential_id);
            let mut event = Event::of("forget_tokens").about("credential", id.as_str(), "");
            if let (Some(mut c), Some(mut connection)) =
                (tx.find_credential(org, id)?, tx.connection(org, id)?)
                && connection.state == ConnectionState::Broken
            {
                save::destroy_tokens(tx, &mut c)?;
                connection.has_refresh = false;
                connection.refresh_due_at = None;
                tx.save(&mut connection)?;
                event = event.on(&c);
            }
            tx.record_step(event, ())
        })
        .await
}
