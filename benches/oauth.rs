//! How fast many connections that fall due together are refreshed, and that no provider is asked faster than it may be.
//!
//! `cargo bench --bench oauth -- PYTHON [COUNT]`: PYTHON runs tests/providers/faulty.py (`scripts/test` leaves one in
//! .local/python/bin). COUNT connections (10,000) are made, fall due, and are refreshed by one background pass; beside it the
//! same requests by the bare HTTP client, as many at once. Then two thousand at a set rate.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use futures_util::StreamExt as _;
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use unsaid::app::App;
use unsaid::config::Config;
use unsaid::model::access::{Caller, Door};
use unsaid::ops::connection::{Pace, adopt, pass};
use unsaid::secret::SecretBytes;

/// As many at once as the pass sends to one provider.
const AT_ONCE: usize = 4;
/// How long a token lives here; it falls due after four fifths of that.
const LIFE: Duration = Duration::from_secs(40);

#[tokio::main]
async fn main() {
    let mut args = std::env::args().skip(1).filter(|arg| arg != "--bench");
    let python = args.next().unwrap_or_else(|| ".local/python/bin/python".into());
    let count: usize = args.next().map_or(10_000, |n| n.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let provider = Provider::start(&python, folder.path());
    let bare = provider.client();

    let tokens = provider.grants(&bare, count).await;
    let began = Instant::now();
    let renewed: Vec<bool> = futures_util::stream::iter(tokens)
        .map(|token| provider.refresh(&bare, token))
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let alone = count as f64 / began.elapsed().as_secs_f64();
    assert!(renewed.iter().all(|ok| *ok));

    let app = provider.vault(folder.path(), 1_000_000);
    let (made, last) = provider.connect(&app, &bare, count).await;
    tokio::time::sleep((last + LIFE).saturating_duration_since(Instant::now())).await;
    provider.reset(&bare).await;
    let (done, took) = all(&app, 1_000_000).await;
    assert_eq!((done, made), (count, count));
    let ours = count as f64 / took.as_secs_f64();
    println!(
        "refreshing {count} that fall due together  {ours:>7.0} /s   the bare client {alone:>7.0} /s = {:.2} ×",
        ours / alone
    );

    let (count, rate) = (2_000.min(count), 100);
    tokio::time::sleep(LIFE).await;
    provider.reset(&bare).await;
    let app_time =
        tokio::time::timeout(Duration::from_secs(count as u64 / rate as u64 + 60), some(&app, rate, count));
    let took = app_time.await.unwrap();
    let most = provider.most_in_one_second(&bare).await;
    println!(
        "at most {rate} a second asked for: {count} in {:.1} s, the fullest second had {most}",
        took.as_secs_f64()
    );
    assert!(most <= rate as u64 + 2, "a burst of {most}");
}

/// One pass over all that is due.
async fn all(app: &App, rate: u32) -> (usize, Duration) {
    let (began, pace) = (Instant::now(), Pace::of(rate));
    let mut done = 0;
    loop {
        match pass(app, &pace, &CancellationToken::new()).await.unwrap() {
            0 => return (done, began.elapsed()),
            n => done += n,
        }
    }
}

/// Passes until `count` were looked after.
async fn some(app: &App, rate: u32, count: usize) -> Duration {
    let (began, pace) = (Instant::now(), Pace::of(rate));
    let mut done = 0;
    while done < count {
        done += pass(app, &pace, &CancellationToken::new()).await.unwrap();
    }
    began.elapsed()
}

struct Provider {
    child: Child,
    base: String,
    ca: PathBuf,
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Provider {
    fn start(python: &str, folder: &Path) -> Self {
        let made = "import sys; sys.path.insert(0, 'tests/providers'); import running; \
                    given = running.settings(sys.argv[1], ['http://127.0.0.1:8740/oauth/callback']); print(given.file); print(given.ca)";
        let out = Command::new(python).args(["-B", "-c", made]).arg(folder).output().unwrap();
        let said = String::from_utf8(out.stdout).unwrap();
        let mut lines = said.lines();
        let (file, ca) = (lines.next().expect("tests/providers makes its settings"), lines.next().unwrap());
        let mut child = Command::new(python)
            .args(["-B", "tests/providers/faulty.py", file, "--access-ttl", &LIFE.as_secs().to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut ready).unwrap();
        let base = ready.split_whitespace().nth(1).unwrap().to_owned();
        Self { child, base, ca: ca.into() }
    }

    /// As bare as can be, with what ours has too: the same certificates, no redirects, no connection kept.
    fn client(&self) -> reqwest::Client {
        use tokio_rustls::rustls::pki_types::{CertificateDer, pem::PemObject};
        use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::ring};
        let mut roots = RootCertStore::empty();
        for one in CertificateDer::pem_file_iter(&self.ca).unwrap() {
            roots.add(one.unwrap()).unwrap();
        }
        let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let client =
            reqwest::Client::builder().tls_backend_preconfigured(tls).pool_max_idle_per_host(0).no_proxy();
        client.build().unwrap()
    }

    async fn post(&self, client: &reqwest::Client, path: &str, body: &Value) -> Value {
        let sent = client.post(format!("{}{path}", self.base)).body(body.to_string());
        let bytes =
            sent.header("content-type", "application/json").send().await.unwrap().bytes().await.unwrap();
        serde_json::from_slice(&bytes).unwrap_or(Value::Null)
    }

    async fn grants(&self, client: &reqwest::Client, count: usize) -> Vec<String> {
        let answer = self.post(client, "/_grants", &json!({ "count": count, "client_id": "public" })).await;
        serde_json::from_value(answer["refresh_tokens"].clone()).unwrap()
    }

    async fn reset(&self, client: &reqwest::Client) {
        self.post(client, "/_reset", &json!({})).await;
    }

    async fn most_in_one_second(&self, client: &reqwest::Client) -> u64 {
        let bytes = client.get(format!("{}/_counts", self.base)).send().await.unwrap().bytes().await.unwrap();
        let counts: Value = serde_json::from_slice(&bytes).unwrap();
        counts["most_token_requests_in_one_second"].as_u64().unwrap()
    }

    async fn refresh(&self, client: &reqwest::Client, token: String) -> bool {
        let body = format!("grant_type=refresh_token&client_id=public&refresh_token={token}");
        let sent = client.post(format!("{}/token", self.base)).body(body);
        let sent = sent.header("content-type", "application/x-www-form-urlencoded").send().await.unwrap();
        let answer: Value = serde_json::from_slice(&sent.bytes().await.unwrap()).unwrap();
        answer["access_token"].is_string()
    }

    /// A vault with one provider, opened.
    fn vault(&self, folder: &Path, rate: u32) -> Arc<App> {
        let home = folder.join("home");
        let unsaid = |args: &[&str]| {
            let out = Command::new(env!("CARGO_BIN_EXE_unsaid"))
                .args(args)
                .env("UNSAID_HOME", &home)
                .output()
                .unwrap();
            assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
        };
        let recovery = folder.join("recovery").to_str().unwrap().to_owned();
        unsaid(&["init", "--key", "file", "--recovery-file", &recovery]);
        let env = |name: &str| match name {
            "UNSAID_HOME" => Some(home.to_str().unwrap().to_owned()),
            name => std::env::var(name).ok(),
        };
        let file = Config::load(&env).unwrap().places.file();
        let authority = self.base.trim_start_matches("https://");
        let more = format!(
            "\n[outbound]\nallow = [\"{authority}\"]\nca_file = \"{}\"\n\n[oauth]\nrefreshes_per_second = {rate}\n",
            self.ca.display()
        );
        std::fs::OpenOptions::new().append(true).open(file).unwrap().write_all(more.as_bytes()).unwrap();
        Arc::new(App::open(Config::load(&env).unwrap(), None).unwrap())
    }

    /// Makes `count` connections by refresh tokens; returns how many, and when the last one was.
    async fn connect(&self, app: &Arc<App>, client: &reqwest::Client, count: usize) -> (usize, Instant) {
        let identity = &app.config.file.identity;
        let caller = Caller::new(identity.org.as_str().into(), identity.user.as_str().into(), Door::Cli);
        let provider = json!({
            "name": "idp", "client_id": "public", "client_auth": "none",
            "endpoints": { "authorization_url": format!("{}/authorize", self.base), "token_url": format!("{}/token", self.base) },
        });
        run(app, &caller, "create_oauth_provider", provider).await;
        let tokens = self.grants(client, count).await;
        let made: Vec<_> = futures_util::stream::iter(tokens.into_iter().enumerate())
            .map(|(n, token)| {
                let (app, caller) = (app.clone(), caller.clone());
                async move {
                    let wanted = json!({ "name": format!("T_{n:05}"), "type": "oauth", "provider": "idp" });
                    let id = run(&app, &caller, "create_credential", wanted).await["id"]
                        .as_str()
                        .unwrap()
                        .to_owned();
                    adopt(&app, &caller, &id, SecretBytes::new(token.into_bytes())).await.unwrap();
                }
            })
            .buffer_unordered(32)
            .collect()
            .await;
        (made.len(), Instant::now())
    }
}

async fn run(app: &App, caller: &Caller, operation: &str, arguments: Value) -> Value {
    struct Yes;
    impl unsaid::ops::Confirmer for Yes {
        fn form<'a>(
            &'a self,
            _: &'a unsaid::ops::Question,
        ) -> futures_util::future::BoxFuture<'a, unsaid::ops::Answer> {
            Box::pin(async { unsaid::ops::Answer::Yes })
        }
        fn person<'a>(
            &'a self,
            _: &'a unsaid::ops::Question,
        ) -> futures_util::future::BoxFuture<'a, unsaid::ops::Answer> {
            Box::pin(async { unsaid::ops::Answer::Yes })
        }
    }
    let entry = unsaid::ops::find_entry(operation).unwrap();
    let arguments = arguments.as_object().cloned().unwrap();
    match unsaid::ops::call(app, caller, entry, &unsaid::ops::Limits::default(), arguments, &Yes)
        .await
        .unwrap()
    {
        unsaid::ops::Reply::Done(answer) => answer,
        unsaid::ops::Reply::AskFirst(_) => panic!("it asks"),
    }
}
