//! `unsaid serve --http`: the doors over HTTP put together behind one front.
use super::output;
use super::serve::opening;
use super::{Context, broker};
use crate::config;
use crate::error::{Code, Error, Result, internal, invalid};
use crate::front::{Guard, Listener, Place, Tls, guarded, serve, stop_on_signals};
use crate::mcp::Server;
use crate::mcp::http::{self, ByToken, Rates, Shape};
use crate::model::access::{Caller, Door};
use crate::model::event::{Event, Outcome};
use crate::ops::Limits;
use crate::ops::broker::{Let, Vaults};
use crate::ops::watch::keep_watch;
use crate::web::{self, SignedIn};
use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use clap::Args;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long what runs may take to finish once we are told to stop.
const GRACE: Duration = Duration::from_secs(10);
/// How long a refresh that was sent is waited for after that: its deadline, and what it takes to keep the answer.
const REFRESHED: Duration = Duration::from_secs(15);
/// How long a request that is on its way takes to become a call.
const SETTLE: Duration = Duration::from_millis(200);
/// How long the last words may take.
const SAID: Duration = Duration::from_secs(1);
/// How long it is waited for the vault before it is told that the server is not ready.
const READY: Duration = Duration::from_secs(2);
/// How often who has been quiet is forgotten.
const TIDY: Duration = Duration::from_secs(60);

/// How to serve over HTTP.
#[derive(Args)]
pub struct Http {
    /// Serve many clients over HTTP at this address, as 127.0.0.1:8740
    #[arg(long = "http", value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// What people and clients type, as https://vault.example.com
    #[arg(long, value_name = "URL", requires = "listen")]
    public_url: Option<String>,
    /// The certificate with its chain (PEM)
    #[arg(long, value_name = "FILE", requires = "listen")]
    tls_cert: Option<PathBuf>,
    /// The certificate's private key (PEM)
    #[arg(long, value_name = "FILE", requires = "listen")]
    tls_key: Option<PathBuf>,
    /// A proxy in front has TLS and says who the visitor is (X-Forwarded-For)
    #[arg(long, requires = "listen")]
    trusted_proxy: bool,
}

impl Http {
    pub fn is_asked_for(&self) -> bool {
        self.listen.is_some()
    }

    fn place(&self, file: &config::Http) -> Result<(Place, Option<Tls>)> {
        let listen = self.listen.ok_or_else(|| internal("no address to listen on"))?;
        let cert = self.tls_cert.as_ref().or(file.tls_cert.as_ref());
        let key = self.tls_key.as_ref().or(file.tls_key.as_ref());
        let tls = match (cert, key) {
            (Some(cert), Some(key)) => Some(Tls::load(cert, key)?),
            (None, None) => None,
            _ => {
                return Err(Error::new(Code::ConfigInvalid, "TLS needs a certificate and its key")
                    .next("Give both --tls-cert and --tls-key."));
            }
        };
        let public_url = self.public_url.as_ref().or(file.public_url.as_ref());
        let public_url = public_url
            .map(|text| url::Url::parse(text).map_err(|_| invalid("--public-url is no address")))
            .transpose()?;
        let place = Place {
            listen,
            public_url,
            has_tls: tls.is_some(),
            behind_proxy: self.trusted_proxy || file.trusted_proxy == Some(true),
        };
        place.check()?;
        Ok((place, tls))
    }
}

fn rates(file: &config::Http) -> Result<Rates> {
    let a_second = NonZeroU32::new(file.calls_per_second.unwrap_or(200))
        .ok_or_else(|| Error::new(Code::ConfigInvalid, "calls_per_second is not zero"))?;
    let at_once = file.calls_at_once.unwrap_or(32).max(1);
    Ok(Rates::new(a_second, at_once, 256.max(at_once)))
}

/// Serves until SIGTERM or SIGINT.
pub async fn serve_http(cx: &Context, http: Http, limits: Limits) -> Result<()> {
    let file = cx.config.file.http.clone();
    let (place, tls) = http.place(&file)?;
    let is_https = tls.is_some() || place.behind_proxy;
    let listener = Listener::bind(place.listen, tls).await?;
    let address = place.address(listener.local()?);
    let stop = CancellationToken::new();
    let base = address.base.clone();
    let open = opening(cx, move |_| Ok(Arc::new(SignedIn { base: base.clone() })));
    let server = Server::for_many(open, ByToken, limits)?;
    let bearer = Arc::new(server.bearer(rates(&file)?, address.base.clone(), file.issuers.clone()));
    let shape = Shape {
        hosts: address.hosts.clone(),
        origins: address.origins.clone(),
        most_sessions: file.sessions.unwrap_or(2048),
        most_of_one: file.sessions_per_token.unwrap_or(128),
    };
    let handlers = server.clone();
    // Streams and sessions end only once the calls at work are answered.
    let ending = CancellationToken::new();
    let tools = http::mount(move |gone| handlers.connection(gone), &shape, &ending);
    let (ready, vault) = (bearer.clone(), bearer.clone());
    let vault: web::Vault = Arc::new(move || {
        let bearer = vault.clone();
        Box::pin(async move { bearer.app().await })
    });
    let lender = bearer.clone();
    let vaults: Vaults = Arc::new(move || {
        let bearer = lender.clone();
        Box::pin(async move { bearer.app().await })
    });
    let endings = TaskTracker::new();
    let shape = web::Shape { base: address.base.clone(), is_https, is_local: address.is_local };
    let router = Router::new()
        .merge(http::guarded(tools, bearer.clone()))
        .merge(web::router(vault, &shape)?)
        .merge(broker::routes(cx, vaults, Let::Tokens, &address.base, &endings)?)
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(move || is_ready(ready.clone())))
        .fallback(|| async { (StatusCode::NOT_FOUND, "there is nothing here\n") });
    let guard = Guard {
        bodies: vec![("/u/", web::MOST_BODY)],
        unread: vec!["/mcp", "/messages", crate::inject::broker::PREFIX],
        behind_proxy: place.behind_proxy,
        ..Guard::at(&address, is_https)
    };
    stop_on_signals(stop.clone())?;
    let (looked_after, base) = (bearer.clone(), address.base.clone());
    let until = stop.clone();
    let looking = tokio::spawn(async move {
        look_after(looked_after, base, until).await;
    });
    tokio::spawn(tidy(bearer.clone(), stop.clone()));
    // Beside serving: where the vault opens slowly or not at all, that is told, and we stop when told to.
    let warming = server.clone();
    tokio::spawn(async move { warming.warm().await });
    output::note(&format!(
        "listening on {}: /mcp, /sse, and pages for people (`unsaid open`); stop with Ctrl-C",
        address.base
    ));
    let finished = async {
        // A little less than all of the grace, so that what ends then is still told.
        let quiet = async {
            server.idle().await;
            // What was being read when we were told to stop has begun by now, and is waited for too.
            tokio::time::sleep(SETTLE).await;
            server.idle().await;
        };
        if tokio::time::timeout(GRACE - SAID, quiet).await.is_err() {
            tracing::warn!("calls were still at work and are broken off");
        }
        ending.cancel();
    };
    serve(listener, guarded(router, guard), stop, finished, GRACE).await;
    broker::all_told(&endings).await;
    // It says in the vault that nobody serves its pages any more.
    let _ = tokio::time::timeout(REFRESHED, looking).await;
    Ok(())
}

/// Whether calls would be answered: the vault is open and can be read.
async fn is_ready(bearer: Arc<http::Bearer>) -> (StatusCode, String) {
    let asked = async {
        let app = bearer.app().await?;
        app.store.read(|tx| tx.key_epoch()).await
    };
    match tokio::time::timeout(READY, asked).await {
        Ok(Ok(_)) => (StatusCode::OK, "ready\n".into()),
        Ok(Err(e)) => (StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", e.code.name())),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the vault is being opened\n".into()),
    }
}

/// Forgets who has been quiet, until `stop`.
async fn tidy(bearer: Arc<http::Bearer>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(TIDY) => bearer.rates.tidy(),
        }
    }
}

/// Once the vault is open: tells it where the pages are, and looks after what is open under tokens.
async fn look_after(bearer: Arc<http::Bearer>, base: String, stop: CancellationToken) {
    let opened = async {
        loop {
            // What came of the last attempt is told again until it is time for the next.
            match bearer.app().await {
                Ok(app) => return app,
                Err(_) => tokio::time::sleep(Duration::from_secs(1)).await,
            }
        }
    };
    let app = tokio::select! {
        () = stop.cancelled() => return,
        app = opened => app,
    };
    let identity = &app.config.file.identity;
    let caller = Caller::new(identity.org.as_str().into(), identity.user.as_str().into(), Door::System);
    let told = base.clone();
    let noted = app
        .store
        .write(&caller, move |tx| {
            tx.set_meta("server", &told)?;
            tx.record(Event::of("serve").with("base", told), ())
        })
        .await;
    if let Err(e) = noted {
        tracing::warn!(code = e.code.name(), "the vault could not be told where the pages are");
    }
    let keeping = tokio::spawn(keep_watch(app.clone(), stop.clone()));
    bearer.living.clone().watch(app.clone(), stop).await;
    // A refresh that was sent is waited for: its answer would be lost with us.
    let _ = keeping.await;
    let gone = app
        .store
        .write(&caller, move |tx| {
            // Another server may have come meanwhile, and is the one to go to.
            if tx.meta("server")?.as_ref() == Some(&base) {
                tx.set_meta("server", "")?;
            }
            tx.record(Event::of("serve").ended(Outcome::Ok, "").with("ended", true), ())
        })
        .await;
    if let Err(e) = gone {
        tracing::warn!(code = e.code.name(), "the vault could not be told that the pages are gone");
    }
}
