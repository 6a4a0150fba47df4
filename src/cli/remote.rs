//! A remote MCP server as a local one: what `unsaid mcp` does with a consumer that is an address.
use super::Context;
use super::broker::all_told;
use super::output::note;
use crate::app::App;
use crate::error::{Result, internal, invalid};
use crate::front::stop_on_signals;
use crate::inject::remote::serve;
use crate::ops::broker::Rate;
use crate::ops::hand_over::{Remote, expect_ready};
use crate::ops::remote::Keeper;
use std::process::ExitCode;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Carries messages between standard input and output and the server, until the client ends.
///
/// Fails before anything is read where something required is missing.
pub fn run(cx: &Context, app: App, remote: Remote) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|e| internal("the runtime could not be started").because(e))?;
    app.store.keep_log_short();
    let app = Arc::new(app);
    let outbound = crate::app::outbound(&cx.config);
    let rate = Rate::new(cx.config.file.broker.requests_per_minute()?.value);
    let served = runtime.block_on(async {
        expect_ready(&app, &remote).await?;
        let url = url::Url::parse(&remote.consumer.url)
            .map_err(|_| invalid(format!("the address of {} is none", remote.consumer.name)))?;
        let stop = CancellationToken::new();
        stop_on_signals(stop.clone())?;
        let endings = TaskTracker::new();
        let keys = Keeper { app: app.clone(), remote, rate, endings: endings.clone() };
        let input = tokio::io::BufReader::new(tokio::io::stdin());
        let warn = |text: &str| note(&format!("unsaid: {text}"));
        let served = serve(keys, &url, outbound, input, tokio::io::stdout(), stop, warn).await;
        all_told(&endings).await;
        served
    });
    // Somebody who still holds standard input open is not waited for.
    runtime.shutdown_background();
    served.map(|()| ExitCode::SUCCESS)
}
