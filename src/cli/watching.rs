//! Looks at the vault while a program runs, and has the program pick up what is replaced there.
//!
//! Nothing is kept longer than that: what was handed over is compared by version, never by value.
use super::launch::deliver;
use super::output::note;
use super::runtime;
use crate::app::App;
use crate::error::{Code, Error, Result, internal};
use crate::inject::{Control, Order, control};
use crate::model::access::Caller;
use crate::ops::hand_over::{Holding, Wanting, hand_over, hand_over_to, holding, would_hand};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often it looks. A replaced value is picked up well within a second.
const EVERY: Duration = Duration::from_millis(200);
/// How long nothing is tried again after it failed: each failure is written down.
const PAUSE: Duration = Duration::from_secs(30);
/// How long a program has to end before it is killed.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a program wants when a value of its was replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaction {
    /// To be ended (SIGTERM, SIGKILL after ten seconds) and started again.
    Restart,
    /// This signal, once the new values are in its files. What is in its environment stays as it was.
    Signal(i32),
}

impl FromStr for Reaction {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let name = text.to_ascii_uppercase();
        match name.strip_prefix("SIG").unwrap_or(&name) {
            "RESTART" => Ok(Self::Restart),
            "HUP" => Ok(Self::Signal(libc::SIGHUP)),
            "USR1" => Ok(Self::Signal(libc::SIGUSR1)),
            "USR2" => Ok(Self::Signal(libc::SIGUSR2)),
            _ => Err("write restart, HUP, USR1 or USR2".into()),
        }
    }
}

/// The thread that looks; it ends when this is dropped.
pub struct Watching {
    stop: Arc<AtomicBool>,
    restarts: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watching {
    /// `held`: what the program was started with.
    pub fn start(
        app: Arc<App>,
        caller: Caller,
        wanting: Wanting,
        held: Holding,
        reaction: Reaction,
    ) -> Result<(Self, Control)> {
        let (controller, control) = control()?;
        let (stop, restarts) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let runtime = runtime()?;
        let mut watcher = Watcher {
            app,
            caller,
            wanting,
            held,
            reaction,
            controller,
            stop: stop.clone(),
            restarts: restarts.clone(),
            has_warned: false,
        };
        let thread = std::thread::Builder::new()
            .name("watching".into())
            .spawn(move || runtime.block_on(watcher.watch()))
            .map_err(|e| internal("the vault cannot be watched").because(e))?;
        Ok((Self { stop, restarts, thread: Some(thread) }, control))
    }

    /// Whether the program was ended for being started again.
    pub fn asks_for_another_start(self) -> bool {
        self.restarts.load(Ordering::SeqCst)
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            // One that panicked looks no more, which is all that is wanted.
            let _ = thread.join();
        }
    }
}

struct Watcher {
    app: Arc<App>,
    caller: Caller,
    wanting: Wanting,
    held: Holding,
    reaction: Reaction,
    controller: crate::inject::Controller,
    stop: Arc<AtomicBool>,
    restarts: Arc<AtomicBool>,
    has_warned: bool,
}

impl Watcher {
    async fn watch(&mut self) {
        let mut not_before = Instant::now();
        loop {
            tokio::time::sleep(EVERY).await;
            if self.stop.load(Ordering::SeqCst) {
                return;
            }
            match would_hand(&self.app, &self.caller, &self.wanting).await {
                Ok(now) if now == self.held => self.has_warned = false,
                Ok(_) if Instant::now() < not_before => {}
                Ok(now) => {
                    let goes_on = match self.reaction {
                        Reaction::Restart => return self.restart().await,
                        Reaction::Signal(signal) => self.renew(signal).await,
                    };
                    match goes_on {
                        Ok(true) => self.held = now,
                        Ok(false) => return,
                        Err(e) => {
                            not_before = Instant::now() + PAUSE;
                            self.warn(&e);
                        }
                    }
                }
                Err(e) => self.warn(&e),
            }
        }
    }

    /// The program keeps what it has: nothing else could be handed to it.
    fn warn(&mut self, e: &Error) {
        // A store that is busy for a moment is no news.
        if !std::mem::replace(&mut self.has_warned, true) && e.code != Code::StoreBusy {
            note(&format!(
                "unsaid: the program keeps the values it has; now it would get none: {} ({})",
                e.message(),
                e.code.name()
            ));
        }
    }

    async fn restart(&mut self) {
        self.restarts.store(true, Ordering::SeqCst);
        if !self.controller.order(Order::Signal(libc::SIGTERM)) {
            return;
        }
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            tokio::time::sleep(EVERY).await;
            if self.stop.load(Ordering::SeqCst) {
                return;
            }
        }
        self.controller.order(Order::Signal(libc::SIGKILL));
    }

    /// Hands the values over again, which is a use like the first, into the program's files.
    async fn renew(&mut self, signal: i32) -> Result<bool> {
        let handed = match &self.wanting {
            Wanting::Names(wanted) => hand_over(&self.app, &self.caller, wanted.clone()).await?,
            Wanting::Consumer(id) => hand_over_to(&self.app, &self.caller, id.as_str(), "").await?.handed,
        };
        debug_assert!(!holding(&handed).is_empty() || self.held.is_empty());
        Ok(self.controller.order(Order::Renew { values: deliver(handed), signal }))
    }
}
