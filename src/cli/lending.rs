//! A broker for one program: it lives as long as the program does, and only the program has its token.
use super::Context;
use super::broker::{all_told, open, routes};
use crate::app::App;
use crate::error::{Result, internal};
use crate::front::{Guard, Listener, Place, guarded, serve};
use crate::inject::broker::PREFIX;
use crate::inject::{Delivery, Injected};
use crate::model::token;
use crate::ops::broker::Let;
use crate::ops::hand_over::ForConsumer;
use crate::secret::SecretBytes;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use zeroize::Zeroizing;

/// Answers on their way when the program has ended are of no use to anybody.
const GRACE: Duration = Duration::from_secs(1);

/// A running broker; dropping it stops it.
pub struct Lending {
    stop: CancellationToken,
    thread: Option<std::thread::JoinHandle<()>>,
    /// Where clients are pointed: base-URL variables and addresses.
    pub plain: Vec<(String, String)>,
    /// The token, in the variable of each key that it stands for.
    pub injected: Vec<Injected>,
}

impl Drop for Lending {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            // One that panicked has nothing more to stop.
            let _ = thread.join();
        }
    }
}

impl Lending {
    /// Starts it for what `started` is lent, on a port of its own of this machine.
    pub fn start(cx: &Context, app: Arc<App>, started: &ForConsumer) -> Result<Self> {
        let mut random = Zeroizing::new([0u8; 32]);
        getrandom::fill(&mut random[..])
            .map_err(|_| internal("the operating system gave no random bytes"))?;
        let text = Zeroizing::new(token::write(&random));
        let ours = || SecretBytes::copied(text.as_bytes());
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(|e| internal("the runtime could not be started").because(e))?;
        let place = Place {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            public_url: None,
            has_tls: false,
            behind_proxy: false,
        };
        let listener = runtime.block_on(Listener::bind(place.listen, None))?;
        let address = place.address(listener.local()?);
        let lets = Let::One { token: ours(), caller: Box::new(started.caller.clone()) };
        let endings = TaskTracker::new();
        let router = routes(cx, open(app.clone()), lets, &address.base, &endings)?;
        let guard = Guard { unread: vec![PREFIX], ..Guard::at(&address, false) };
        let stop = CancellationToken::new();
        let (plain, injected) = point(&app, started, &address.base, &ours);
        let until = stop.clone();
        let thread = std::thread::Builder::new()
            .name("broker".into())
            .spawn(move || {
                runtime.block_on(async {
                    serve(listener, guarded(router, guard), until, async {}, GRACE).await;
                    all_told(&endings).await;
                });
                runtime.shutdown_timeout(GRACE);
            })
            .map_err(|e| internal("the broker could not be started").because(e))?;
        Ok(Self { stop, thread: Some(thread), plain, injected })
    }
}

/// Where each client is pointed, and what it shows there.
fn point(
    app: &App,
    started: &ForConsumer,
    base: &str,
    token: &dyn Fn() -> SecretBytes,
) -> (Vec<(String, String)>, Vec<Injected>) {
    let (mut plain, mut injected) = (Vec::new(), Vec::new());
    for lent in &started.headers {
        injected.push(Injected {
            variable: lent.variable.clone(),
            label: format!("{} of the broker", started.consumer.name),
            value: token(),
            delivery: Delivery::Environment,
        });
        let at = format!("{base}{PREFIX}{}/{}", started.consumer.name, lent.service);
        let preset = app.catalogue.find_service(&lent.service).and_then(|service| service.broker());
        if let Some(preset) = preset {
            let suffix = preset.base_url_suffix.unwrap_or_default();
            plain.extend(preset.base_url_env.into_iter().map(|name| (name, format!("{at}{suffix}"))));
        }
        // For programs that have no variable of their own for it.
        let service = lent.service.to_ascii_uppercase().replace(|c: char| !c.is_ascii_alphanumeric(), "_");
        plain.push((format!("BROKER_URL_{service}"), at));
    }
    (plain, injected)
}
