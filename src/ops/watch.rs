//! What a server does without being asked, while it runs: connections kept fresh, tests on entry and on schedule, early
//! warnings, notices.
use super::connection::keep_fresh;
use super::{credential, notice};
use crate::app::App;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// How often it looks.
const PAUSE: Duration = Duration::from_secs(5);
/// How often ends are looked through for warnings.
const WARN_EVERY: Duration = Duration::from_secs(600);

/// Does all of it until `stop`. Several processes may do so at once: each piece of work is claimed.
pub async fn keep_watch(app: Arc<App>, stop: CancellationToken) {
    tokio::join!(keep_fresh(app.clone(), stop.clone()), look_after(&app, &stop));
}

async fn look_after(app: &App, stop: &CancellationToken) {
    let mut warned: Option<Instant> = None;
    loop {
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            () = stop.cancelled() => return,
        }
        let told = |what: &str, e: crate::error::Error| {
            tracing::warn!(code = e.code.name(), what, "a background pass failed");
        };
        if let Err(e) = credential::due::pass(app).await {
            told("tests", e);
        }
        if warned.is_none_or(|at| at.elapsed() >= WARN_EVERY) {
            warned = Some(Instant::now());
            if let Err(e) = notice::warn(app).await {
                told("warnings", e);
            }
        }
        if let Err(e) = notice::send_due(app).await {
            told("notices", e);
        }
    }
}
