//! Handing a consumer what it is bound to.
use super::{Asked, Handed, hand, remember};
use crate::app::App;
use crate::error::Result;
use crate::model::access::Caller;
use crate::model::consumer::{Binding, BindingSource, Consumer, Delivery};
use crate::model::event::Event;
use crate::ops::consumer::run_by;

/// What a consumer starts with.
pub struct ForConsumer {
    pub consumer: Consumer,
    /// The caller as who it runs for, with the consumer: what is asked in its name goes by this one.
    pub caller: Caller,
    pub handed: Vec<Handed>,
    /// Plain configuration, by variable.
    pub plain: Vec<(String, String)>,
    /// What only the broker adds.
    pub headers: Vec<Binding>,
}

/// Resolves the bindings of `consumer` (name or id) for the caller, and hands all of them over or none.
///
/// Fails with `consumer_not_found`, `not_allowed` for who may not run it, and as [`super::hand_over`] does for what is
/// missing. A binding that is not required may be missing; one that is expired or ambiguous is told all the same.
pub async fn hand_over_to(app: &App, caller: &Caller, consumer: &str, command: &str) -> Result<ForConsumer> {
    let (asking, wanted) = (caller.clone(), consumer.to_owned());
    let found = app
        .store
        .read_here(move |tx| {
            let who = tx.standing(&asking)?;
            let c = run_by(tx, &asking, &who, &wanted)?;
            let bindings = tx.bindings(&asking.org, &c.id)?;
            Ok((c, bindings))
        })
        .await;
    let (consumer, bindings) = match found {
        Ok(found) => found,
        Err(e) => {
            remember(app, caller, Event::of("use"), &e).await;
            return Err(e);
        }
    };
    let caller = Caller { consumer: consumer.id.0.clone(), ..caller.clone() };
    let needs = |b: &Binding| b.source != BindingSource::Static && b.delivery != Delivery::Header;
    let handed = match bindings.iter().any(needs) {
        true => {
            let asked = Asked::Consumer { id: consumer.id.clone(), command: command.to_owned() };
            hand(app, &caller, asked).await?
        }
        false => Vec::new(),
    };
    let (mut plain, mut headers) = (Vec::new(), Vec::new());
    for b in bindings {
        match (b.source, b.delivery) {
            (BindingSource::Static, _) => plain.push((b.variable, b.text)),
            (_, Delivery::Header) => headers.push(b),
            _ => {}
        }
    }
    Ok(ForConsumer { consumer, caller, handed, plain, headers })
}
