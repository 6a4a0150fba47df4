//! The background pass: what falls due is refreshed ahead of its end, spread out, and each provider only as fast as it may be.
use super::consent::KEPT_MS;
use super::refresh::{Wanted, ensure_fresh};
use super::{disconnect, hold, save, system};
use crate::app::App;
use crate::error::{Code, Result};
use crate::ids::ProviderId;
use crate::model::access::{Caller, Door};
use crate::model::connection::{Connection, ConnectionState};
use crate::model::event::Event;
use futures_util::StreamExt;
use futures_util::stream;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// How often the pass looks, where nothing is due.
const PAUSE: Duration = Duration::from_secs(5);
/// How many are looked at in one go.
const PAGE: i64 = 500;
/// How many requests are under way at once, of all providers and of one.
const AT_ONCE: usize = 64;
const AT_ONCE_EACH: usize = 4;
/// How many providers are worked on at once.
const MOST_PROVIDERS: usize = 256;
/// How many failures in a row end what a pass does with a provider.
const MOST_FAILURES: usize = 5;

/// Keeps connections fresh until `stop`. Several processes may do so at once: each refresh is claimed.
pub async fn keep_fresh(app: Arc<App>, stop: CancellationToken) {
    let pace = Pace::of(app.config.file.oauth.refreshes_per_second);
    // Who has just been started has something else to do first.
    tokio::select! {
        () = tokio::time::sleep(PAUSE) => {}
        () = stop.cancelled() => return,
    }
    loop {
        // Never broken off: a request that was sent may have renewed a grant, whose answer has to be kept.
        let done = pass(&app, &pace, &stop).await;
        if let Err(e) = crate::ops::rotation::pass(&app).await {
            tracing::warn!(code = e.code.name(), "the pass over rotations failed");
        }
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
///
/// Each provider has its own places, so that one that hangs keeps nobody else waiting; after some failures in a row it is
/// left alone until the next pass. After `stop` nothing more is begun, and what is under way ends.
pub async fn pass(app: &App, pace: &Pace, stop: &CancellationToken) -> Result<usize> {
    let (held, worked) = tokio::join!(hold::go_on(app, stop), refresh_due(app, pace, stop));
    held?;
    // Only now: what was left is gone on with first.
    forget_consents(app).await?;
    worked
}

async fn refresh_due(app: &App, pace: &Pace, stop: &CancellationToken) -> Result<usize> {
    let now = app.now();
    let places = Semaphore::new(AT_ONCE);
    let providers = app.store.read(move |tx| tx.providers_due(now)).await?;
    let worked = stream::iter(providers)
        .map(|provider| of_provider(app, pace, &places, provider, stop))
        .buffer_unordered(MOST_PROVIDERS)
        .collect::<Vec<_>>()
        .await;
    worked.into_iter().sum()
}

async fn of_provider(
    app: &App,
    pace: &Pace,
    places: &Semaphore,
    provider: ProviderId,
    stop: &CancellationToken,
) -> Result<usize> {
    let (now, wanted) = (app.now(), provider.clone());
    let due = app.store.read(move |tx| tx.connections_due(&wanted, now, PAGE)).await?;
    let (failed, worked) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let (failed, worked) = (&failed, &worked);
    stream::iter(due)
        .for_each_concurrent(AT_ONCE_EACH, |connection| async move {
            if failed.load(Ordering::Relaxed) >= MOST_FAILURES {
                return;
            }
            tokio::select! {
                () = pace.wait(&connection.provider_id) => {}
                () = stop.cancelled() => return,
            }
            let Ok(_place) = places.acquire().await else { return };
            if stop.is_cancelled() {
                return;
            }
            worked.fetch_add(1, Ordering::Relaxed);
            // Its requests and its writes have deadlines of their own.
            match one(app, connection).await {
                Ok(()) => failed.store(0, Ordering::Relaxed),
                Err(e) => match e.code {
                    Code::RefreshUnreachable => {
                        failed.fetch_add(1, Ordering::Relaxed);
                    }
                    // Written down with the connection.
                    Code::RefreshRefused | Code::ReauthRequired | Code::Changed | Code::Deleted => {}
                    _ => tracing::warn!(code = e.code.name(), "a connection could not be looked after"),
                },
            }
        })
        .await;
    Ok(worked.load(Ordering::Relaxed))
}

/// What a consent that is over had sealed is destroyed with it.
async fn forget_consents(app: &App) -> Result<()> {
    let before = app.now().plus_ms(-KEPT_MS);
    if !app.store.read(move |tx| tx.has_old_consents(before)).await? {
        return Ok(());
    }
    let identity = &app.config.file.identity;
    let caller = Caller::new(identity.org.as_str().into(), identity.user.as_str().into(), Door::System);
    app.store
        .write(&caller, move |tx| {
            tx.forget_consents(before)?;
            tx.record_step(Event::of("forget_consents"), ())
        })
        .await
}

async fn one(app: &App, connection: Connection) -> Result<()> {
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
            let caller = system(&connection);
            let wanted = Wanted::Instead(connection.generation);
            ensure_fresh(app, &caller, &connection.org_id, &connection.credential_id, wanted).await
        }
        ConnectionState::Revoking => disconnect::end_again(app, connection).await,
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
