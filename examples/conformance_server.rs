//! The server as the conformance suite wants to meet it: ours over a new vault, with the suite's fixtures beside our own
//! tools, behind the library's own assembly over HTTP.
//!
//! `conformance_server [--port N]` listens on loopback alone, says where on standard output, and stops with SIGTERM or
//! SIGINT. Nobody shows a token here, and the vault goes when it stops: it is for `tests/conformance/run.py`, and nothing
//! else should start it.
mod conformance;

use conformance::Fixtures;
use futures_util::future::BoxFuture;
use rmcp::RoleServer;
use rmcp::service::RequestContext;
use std::io::Write;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use unsaid::app::App;
use unsaid::clock::SystemClock;
use unsaid::config::Config;
use unsaid::error::{Result, internal, invalid};
use unsaid::front::{Guard, Listener, Place, guarded, serve, stop_on_signals};
use unsaid::mcp::http::{MOST_BODY, Shape, mount};
use unsaid::mcp::{Identity, Known, Server};
use unsaid::model::access::{Caller, Door};
use unsaid::ops::Limits;
use unsaid::ops::lifecycle::init::{Init, init};
use unsaid::ops::lifecycle::{Keep, KeySource};

/// How long what runs may take to finish once we are told to stop.
const GRACE: Duration = Duration::from_secs(1);
const SESSIONS: usize = 256;

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("conformance_server: {e}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<()> {
    let place = Place {
        listen: SocketAddr::from(([127, 0, 0, 1], port()?)),
        public_url: None,
        has_tls: false,
        behind_proxy: false,
    };
    let home = tempfile::tempdir().map_err(|e| internal("there is no temporary folder").because(e))?;
    let home_path = home.path().join("home").display().to_string();
    let config = Config::load(&|name| (name == "UNSAID_HOME").then(|| home_path.clone()))?;
    let wanted = Init {
        org: "conformance".into(),
        login: "admin".into(),
        display_name: "Admin".into(),
        key: KeySource::File(None),
    };
    let (app, made) = init(config, Arc::new(SystemClock), wanted, Keep::Nowhere, None).await?;
    let app = Arc::new(app);
    let admin = Admin(Caller::new(made.org, made.user, Door::Http));
    let server = Server::new(Arc::new(move || Ok(app.clone())), admin, Limits::default())?;
    let fixtures = Fixtures::new(server.clone())?;

    let listener = Listener::bind(place.listen, None).await?;
    let address = place.address(listener.local()?);
    let stop = CancellationToken::new();
    stop_on_signals(stop.clone())?;
    let shape = Shape {
        hosts: address.hosts.clone(),
        origins: address.origins.clone(),
        most_sessions: SESSIONS,
        most_of_one: SESSIONS,
    };
    let router = mount(move |gone| fixtures.over(server.connection(gone)), &shape, &stop);
    let guard = Guard { body: MOST_BODY, ..Guard::at(&address, false) };
    writeln!(std::io::stdout(), "listening on {}/mcp", address.base)
        .map_err(|e| internal("standard output is closed").because(e))?;
    serve(listener, guarded(router, guard), stop, std::future::ready(()), GRACE).await;
    Ok(())
}

/// The port that the command line names; 0, any, where it names none.
fn port() -> Result<u16> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        [] => Ok(0),
        ["--port", port] => port.parse().map_err(|_| invalid("the port is no number up to 65535")),
        _ => Err(invalid("the arguments are --port N, or none")),
    }
}

/// Everybody is the vault's admin.
struct Admin(Caller);

impl Identity for Admin {
    fn caller<'a>(&'a self, _: &'a App, _: &'a RequestContext<RoleServer>) -> BoxFuture<'a, Result<Known>> {
        Box::pin(async { Ok(Known { caller: self.0.clone(), limits: Limits::default() }) })
    }
}
