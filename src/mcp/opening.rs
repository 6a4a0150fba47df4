//! The vault, opened when it is first needed, and who calls.
//!
//! A server starts before `unsaid init` has run and answers then with what is wrong; calls try again until the vault
//! opens, so that no client has to be restarted: each of them where there is no vault yet, one of them after a while
//! where there is one that does not open. Nothing here asks anybody anything.
use crate::app::App;
use crate::error::{Code, Error, Result, internal};
use crate::model::access::{Caller, Door};
use crate::ops::Limits;
use futures_util::future::BoxFuture;
use rmcp::RoleServer;
use rmcp::service::RequestContext;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::Instant;

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

/// How long after a failed attempt the next one is made, at first.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// A vault that may not be open yet.
pub(super) struct Opening {
    open: Open,
    app: Arc<OnceLock<Arc<App>>>,
    /// Held by the attempt that runs; between attempts, what came of the last.
    turn: Arc<Mutex<Option<Failed>>>,
    most_wait: Duration,
}

/// An attempt that failed.
struct Failed {
    error: Error,
    at: Instant,
    wait: Duration,
}

impl Opening {
    /// After failures in a row the time to the next attempt doubles, from one second up to `most_wait`.
    pub(super) fn new(open: Open, most_wait: Duration) -> Self {
        Self { open, app: Arc::default(), turn: Arc::default(), most_wait }
    }

    /// The open vault, opening it if need be. One attempt runs at a time, whoever waits for it or has left. What came of
    /// a failed one is told again until it is time for the next, for an attempt may cost much (a key command, a
    /// passphrase's hash) and anybody may ask. That there is no vault is seen at once, so it is looked for each time.
    ///
    /// Fails as [`App::open`] does, with `not_initialised` first of all.
    pub(super) async fn app(&self) -> Result<&Arc<App>> {
        if let Some(app) = self.app.get() {
            return Ok(app);
        }
        let turn = self.turn.clone().lock_owned().await;
        if self.app.get().is_none() {
            if let Some(failed) = &*turn
                && failed.at.elapsed() < failed.wait
            {
                return Err(failed.error.again());
            }
            // In a task of its own: who stops waiting does not end it, and the next to ask does not begin another.
            let attempt = attempt(self.open.clone(), self.app.clone(), turn, self.most_wait);
            let attempt = tokio::spawn(attempt).await;
            attempt.map_err(|_| internal("opening the vault was broken off"))??;
        }
        self.app.get().ok_or_else(|| internal("the vault was opened and is not there"))
    }
}

async fn attempt(
    open: Open,
    app: Arc<OnceLock<Arc<App>>>,
    mut turn: OwnedMutexGuard<Option<Failed>>,
    most_wait: Duration,
) -> Result<()> {
    let opened = match tokio::task::spawn_blocking(move || open()).await {
        Ok(opened) => opened,
        Err(_) => Err(internal("opening the vault was broken off")),
    };
    match opened {
        Ok(opened) => {
            // Nobody else had the turn: nothing is there yet.
            let _ = app.set(opened);
            *turn = None;
            Ok(())
        }
        Err(e) if e.code == Code::NotInitialised => {
            *turn = None;
            Err(e)
        }
        Err(e) => {
            let wait = turn.as_ref().map_or(FIRST_WAIT, |last| last.wait * 2).min(most_wait);
            *turn = Some(Failed { error: e.again(), at: Instant::now(), wait });
            Err(e)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// An opening that always fails with `code`, and how often it was tried.
    fn failing(code: Code, most_wait: Duration) -> (Opening, Arc<AtomicUsize>) {
        let tried = Arc::new(AtomicUsize::new(0));
        let counted = tried.clone();
        let open: Open = Arc::new(move || {
            counted.fetch_add(1, Ordering::SeqCst);
            Err::<Arc<App>, _>(Error::new(code, "it does not open").next("Do this.").because("a cause"))
        });
        (Opening::new(open, most_wait), tried)
    }

    /// Asks five times at each full second, and tells in which seconds it was tried.
    async fn tried_at(opening: &Opening, tried: &AtomicUsize, seconds: u64) -> Vec<u64> {
        let mut at = Vec::new();
        for second in 0..seconds {
            let before = tried.load(Ordering::SeqCst);
            for _ in 0..5 {
                let e = opening.app().await.err().unwrap();
                assert_eq!((e.message(), e.next_step()), ("it does not open", "Do this."));
            }
            at.extend((tried.load(Ordering::SeqCst) > before).then_some(second));
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        at
    }

    #[tokio::test(start_paused = true)]
    async fn a_vault_that_does_not_open_is_tried_less_and_less_often_and_what_came_of_it_is_told_again() {
        let (opening, tried) = failing(Code::VaultLocked, Duration::from_secs(30));

        assert_eq!(tried_at(&opening, &tried, 100).await, [0, 1, 3, 7, 15, 31, 61, 91]);
        assert_eq!(tried.load(Ordering::SeqCst), 8);
    }

    #[tokio::test(start_paused = true)]
    async fn for_one_client_it_is_tried_again_within_a_second() {
        let (opening, tried) = failing(Code::VaultLocked, Duration::from_secs(1));

        assert_eq!(tried_at(&opening, &tried, 5).await, [0, 1, 2, 3, 4]);
        assert_eq!(tried.load(Ordering::SeqCst), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn a_vault_that_is_not_there_is_looked_for_each_time() {
        let (opening, tried) = failing(Code::NotInitialised, Duration::from_secs(30));

        for _ in 0..3 {
            assert_eq!(opening.app().await.err().unwrap().code, Code::NotInitialised);
        }

        assert_eq!(tried.load(Ordering::SeqCst), 3);
    }

    #[tokio::test]
    async fn who_leaves_while_it_opens_does_not_have_it_opened_twice() {
        let (go, gone) = std::sync::mpsc::channel::<()>();
        let gone = std::sync::Mutex::new(gone);
        let tried = Arc::new(AtomicUsize::new(0));
        let counted = tried.clone();
        let open: Open = Arc::new(move || {
            counted.fetch_add(1, Ordering::SeqCst);
            gone.lock().unwrap().recv().unwrap();
            Err::<Arc<App>, _>(Error::new(Code::VaultLocked, "it does not open"))
        });
        let opening = Opening::new(open, Duration::from_secs(30));
        for _ in 0..3 {
            let mut asked = Box::pin(opening.app());
            for _ in 0..3 {
                assert!(futures_util::poll!(&mut asked).is_pending());
                tokio::task::yield_now().await;
            }
        }

        go.send(()).unwrap();
        let told = opening.app().await.err().unwrap();

        assert_eq!((told.code, tried.load(Ordering::SeqCst)), (Code::VaultLocked, 1));
    }
}
