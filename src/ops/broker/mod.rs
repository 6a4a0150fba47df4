//! The broker's doorkeeper: who asks, which credential their consumer is bound to, and the use on record before it
//! leaves.
//!
//! A request names a consumer and a service. Where it goes is the catalogue's, how it is signed too; what it may do is
//! the binding's.
mod lift;
mod rate;

pub use lift::{LiftSuspension, Lifted};
pub use rate::Rate;

use super::echo;
use super::hand_over::{Meant, meant, open_for_request};
use super::token::{Shown, verify};
use crate::app::App;
use crate::error::{Code, Error, Result, invalid};
use crate::inject::broker::{Asked, Doorkeeper, Ended, Given, Limits, Outcome, Passage, Route, Way};
use crate::model::access::{Caller, Door};
use crate::model::credential::Source;
use crate::model::event::{self, Event};
use crate::model::token::Purpose;
use crate::ops::connection::{Wanted, ensure_fresh};
use crate::ops::refusal::remember;
use crate::ops::rotation::heard_by_broker;
use crate::secret::SecretBytes;
use crate::services::{PathPattern, Placement, Service};
use futures_util::future::BoxFuture;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio_util::task::TaskTracker;

/// Gives the open vault; a server opens it when it is first asked for.
pub type Vaults = Arc<dyn Fn() -> BoxFuture<'static, Result<Arc<App>>> + Send + Sync>;

/// Whose requests are let through.
pub enum Let {
    /// Whoever shows a consumer's token.
    Tokens,
    /// The one program that was given this token, which lives as long as we do; as this caller, a consumer.
    One { token: SecretBytes, caller: Box<Caller> },
}

/// See [`Doorkeeper`].
pub struct Keeper {
    pub vaults: Vaults,
    pub lets: Let,
    pub rate: Rate,
    /// Ends of uses that are on their way into the log: waited for before the program ends.
    pub endings: TaskTracker,
}

/// One use, until it has ended.
pub struct Used {
    app: Arc<App>,
    caller: Caller,
    meant: Meant,
    operation: String,
    version: i64,
    /// It is a second attempt already.
    is_renewed: bool,
}

impl Keeper {
    async fn caller(&self, app: &App, token: &SecretBytes) -> Result<Caller> {
        match &self.lets {
            Let::Tokens => {
                let shown = token.expose(|bytes| std::str::from_utf8(bytes).ok().map(Shown::new));
                let none = || Error::new(Code::TokenInvalid, "the token is not valid");
                let shown = shown.ok_or_else(none)??;
                Ok(verify(app, shown, Purpose::Consumer, Door::Http).await?.caller)
            }
            Let::One { token: ours, caller } if ours == token => {
                // One request, one id in the log.
                Ok(Caller { request: crate::ids::fresh(), ..(**caller).clone() })
            }
            Let::One { .. } => {
                Err(Error::new(Code::TokenInvalid, "the token is not the one of this program"))
            }
        }
    }
}

/// The service of the catalogue, and where and how requests of it are sent.
fn destination(app: &App, meant: &Meant) -> Result<(Arc<Route>, Placement)> {
    let c = &meant.credential;
    // The binding's, which a person agreed to; never what the credential says of itself.
    let service: Arc<Service> = app.catalogue.service(&meant.binding.service)?;
    let preset = service.broker().ok_or_else(|| {
        invalid(format!("the catalogue does not say how {} takes its credential in a request", service.name))
            .next("Bind it with delivery env instead, or describe the service in a manifest of your own.")
    })?;
    let base = service.broker_base(&preset, &BTreeMap::new())?;
    // What the token endpoint gave is a bearer token, however the service's keys are sent (RFC 6750).
    let placement = match c.source {
        Source::OAuth => Placement::bearer(),
        Source::Manual => preset.placement,
    };
    Ok((Arc::new(Route::new(base, preset.paths)?), placement))
}

fn limits(meant: &Meant) -> Result<Limits> {
    let b = &meant.binding;
    let method = |m: &String| {
        http::Method::from_bytes(m.as_bytes()).map_err(|_| crate::error::internal("a stored method is none"))
    };
    Ok(Limits {
        methods: b.methods.iter().map(method).collect::<Result<_>>()?,
        paths: b.paths.iter().map(|p| PathPattern::parse(p)).collect::<Result<_>>()?,
        cookies: false,
    })
}

/// Records the use, opens the value, and lets the request through.
async fn pass(
    app: Arc<App>,
    caller: Caller,
    meant: Meant,
    operation: String,
    way: Way,
    placement: Placement,
    is_renewed: bool,
) -> Result<Passage<Used>> {
    let host = way.host().to_owned();
    let (fields, version) = open_for_request(&app, &caller, &meant, operation.clone(), host).await?;
    let label = meant.credential.name.clone();
    let values = fields
        .into_iter()
        .map(|f| Given { field: f.name, label: label.clone(), value: f.value, is_secret: f.is_secret })
        .collect();
    let is_renewable = meant.credential.source == Source::OAuth && !is_renewed;
    let used = Used { app, caller, meant, operation, version, is_renewed };
    Ok(Passage { way, placement, values, is_renewable, used })
}

impl Keeper {
    /// Whether the service takes a value is what a rotation waits to hear.
    fn tell_rotation(&self, used: &Used, ended: &Ended) {
        let is_good = match (&ended.outcome, ended.status) {
            (Outcome::Answered, Some(200..=299)) => true,
            // 403 says that it may not do this, and so that it is known.
            (Outcome::Answered | Outcome::Aborted, Some(401)) => false,
            _ => return,
        };
        let (app, caller, version) = (used.app.clone(), used.caller.clone(), used.version);
        let (credential, consumer) = (used.meant.credential.id.clone(), used.meant.consumer.id.clone());
        self.endings.spawn(async move {
            let heard = heard_by_broker(&app, &caller, &credential, &consumer, (version, is_good));
            if let Err(e) = heard.await {
                tracing::error!(code = e.code.name(), "what a rotation waits for could not be recorded");
            }
        });
    }
}

impl Doorkeeper for Keeper {
    type Use = Used;

    async fn admit(&self, asked: &Asked<'_>) -> Result<Passage<Used>> {
        let app = (self.vaults)().await?;
        let caller = self.caller(&app, asked.token).await?;
        let decided = async {
            let meant = meant(&app, &caller, asked.consumer(), asked.service()).await?;
            let (route, placement) = destination(&app, &meant)?;
            let operation = asked.operation(&route);
            let way = asked.way(&route, &Arc::new(limits(&meant)?))?;
            Ok::<_, Error>((meant, operation, way, placement))
        };
        match decided.await {
            Ok((meant, operation, way, placement)) => {
                if let Err(e) = self.rate.count(&meant.credential) {
                    if self.rate.is_news(&meant.credential, &caller.consumer) {
                        let event = Event::of("use")
                            .on(&meant.credential)
                            .with("operation", operation)
                            .with("host", way.host())
                            .with("binding", meant.binding.variable.clone());
                        remember(&app, &caller, event, &e).await;
                    }
                    return Err(e);
                }
                pass(app, caller, meant, operation, way, placement, false).await
            }
            Err(e) => {
                // Every refusal of somebody we know leaves its event; nothing of the request but its service is in it.
                let event = Event::of("use").with("service", asked.service().to_owned());
                remember(&app, &caller, event, &e).await;
                Err(e)
            }
        }
    }

    async fn renew(&self, used: &Used, way: &Way) -> Result<Option<Passage<Used>>> {
        if used.is_renewed || used.meant.credential.source != Source::OAuth {
            return Ok(None);
        }
        let (app, c) = (used.app.clone(), &used.meant.credential);
        ensure_fresh(&app, &used.caller, &c.org_id, &c.id, Wanted::Instead(used.meant.generation)).await?;
        let consumer = used.meant.consumer.id.0.clone();
        let meant = meant(&app, &used.caller, &consumer, &used.meant.binding.service).await?;
        if meant.binding != used.meant.binding {
            // What was let through was let through by the other one.
            return Ok(None);
        }
        let (_, placement) = destination(&app, &meant)?;
        let caller = used.caller.clone();
        pass(app, caller, meant, used.operation.clone(), way.clone(), placement, true).await.map(Some)
    }

    /// A use that failed is told; one that went well is on record already.
    fn ended(&self, used: &Used, ended: Ended) {
        self.tell_rotation(used, &ended);
        let (why, is_failure) = match (ended.outcome, ended.status) {
            (Outcome::Failed(why), _) => (why, true),
            (Outcome::Answered | Outcome::Aborted, Some(401 | 403)) => ("the service refused it", true),
            _ if ended.was_echoed => ("the service sent the credential back, and it was masked", false),
            _ => return,
        };
        let outcome = if is_failure { event::Outcome::Failed } else { event::Outcome::Ok };
        let mut event = Event::of("use")
            .on(&used.meant.credential)
            .ended(outcome, "")
            .with("operation", used.operation.clone())
            .with("binding", used.meant.binding.variable.clone())
            .with("ended", why);
        event.object.version = Some(used.version);
        if let Some(status) = ended.status {
            event = event.with("status", i64::from(status));
        }
        if ended.was_echoed {
            event = event.with("echoed", true);
        }
        let (app, caller, id) = (used.app.clone(), used.caller.clone(), used.meant.credential.id.clone());
        let (service, version) = (used.meant.binding.service.clone(), used.version);
        self.endings.spawn(async move {
            let org = caller.org.clone();
            let noted = app.store.write(&caller, move |tx| {
                if is_failure {
                    tx.count_use(&id, false)?;
                }
                if ended.was_echoed && echo::count(tx, &org, &id, version, &service)? {
                    event = event.with("suspended_for", service);
                }
                tx.record_step(event, ())
            });
            if let Err(e) = noted.await {
                tracing::error!(code = e.code.name(), "the end of a use could not be recorded");
            }
        });
    }
}
