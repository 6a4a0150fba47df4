//! Many tasks that all need one connection fresh, for races over processes: the OAuth tests start several of these at once.
//!
//! `refresh_race CREDENTIAL TASKS [--all]` opens the vault of `UNSAID_HOME` and prints `ready`. For each line on standard
//! input it asks for the connection TASKS times at once, and prints one line: how many were well, and the code of each that
//! was not. With `--all` a line makes one pass over all that is due instead, and prints how many there were and how long it took.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::collections::BTreeMap;
use std::io::BufRead as _;
use std::sync::Arc;
use std::time::Instant;
use tokio_util::sync::CancellationToken;
use unsaid::app::App;
use unsaid::config::Config;
use unsaid::ids::CredentialId;
use unsaid::model::access::{Caller, Door};
use unsaid::ops::connection::{Pace, Wanted, ensure_fresh, pass};

#[tokio::main]
async fn main() {
    let mut args = std::env::args().skip(1);
    let (name, tasks) = (args.next().unwrap(), args.next().unwrap().parse::<usize>().unwrap());
    let is_pass = args.next().is_some();
    let config = Config::load(&|name| std::env::var(name).ok()).unwrap();
    let app = Arc::new(App::open(config, None).unwrap());
    let identity = &app.config.file.identity;
    let caller = Caller::new(identity.org.as_str().into(), identity.user.as_str().into(), Door::System);
    println!("ready");
    for line in std::io::stdin().lock().lines() {
        if line.is_err() {
            return;
        }
        if is_pass {
            let began = Instant::now();
            let pace = Pace::of(app.config.file.oauth.refreshes_per_second);
            let mut done = 0;
            loop {
                match pass(&app, &pace, &CancellationToken::new()).await.unwrap() {
                    0 => break,
                    n => done += n,
                }
            }
            println!("{done} {}", began.elapsed().as_millis());
            continue;
        }
        let id = CredentialId::from(name.as_str());
        let mut at_work = tokio::task::JoinSet::new();
        for _ in 0..tasks {
            let (app, caller, id) = (app.clone(), caller.clone(), id.clone());
            at_work.spawn(async move { ensure_fresh(&app, &caller, &caller.org, &id, Wanted::ForUse).await });
        }
        let mut ended = BTreeMap::<&str, usize>::new();
        while let Some(one) = at_work.join_next().await {
            *ended.entry(one.unwrap().map_or_else(|e| e.code.name(), |()| "ok")).or_default() += 1;
        }
        println!("{}", ended.iter().map(|(code, n)| format!("{code}={n}")).collect::<Vec<_>>().join(" "));
    }
}
