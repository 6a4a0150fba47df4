//! Handing a consumer what it is bound to.
use super::wish::Wish;
use super::{Asked, Handed, hand, remember};
use crate::app::App;
use crate::error::{Code, Result};
use crate::model::access::{Caller, Standing};
use crate::model::consumer::{Binding, BindingSource, Consumer, Delivery};
use crate::model::event::Event;
use crate::ops::consumer::run_by;
use crate::store::Reader;

/// What a consumer starts with.
pub struct ForConsumer {
    pub consumer: Consumer,
    /// The caller as who it runs for, with the consumer: what is asked in its name goes by this one.
    pub caller: Caller,
    pub handed: Vec<Handed>,
    /// Plain configuration, by variable.
    pub plain: Vec<(String, String)>,
    /// What only the broker adds.
    pub headers: Vec<Lent>,
}

/// A credential that a consumer uses by the broker, and never holds.
pub struct Lent {
    pub variable: String,
    /// The service of the catalogue, as the broker's path names it.
    pub service: String,
}

/// Everything that the broker would add, or why it could not.
fn lent(
    tx: &Reader<'_>,
    caller: &Caller,
    who: &Standing,
    c: &Consumer,
    bindings: &[Binding],
) -> Result<Vec<Lent>> {
    let mut all = Vec::new();
    for b in bindings.iter().filter(|b| b.is_brokered()) {
        let wish = Wish::bound(c.clone(), b.clone());
        let found = wish.look(tx, caller, who)?;
        match found.winner() {
            Some(winner) => {
                super::request::expect_of_service(winner, b)?;
                all.push(Lent { variable: b.variable.clone(), service: b.service.clone() });
            }
            None => {
                let e = wish.problem(&found);
                if b.is_required || !matches!(e.code, Code::Unresolved | Code::ValueMissing) {
                    return Err(e);
                }
            }
        }
    }
    Ok(all)
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
            let acting = Caller { consumer: c.id.0.clone(), ..asking };
            let headers = lent(tx, &acting, &tx.standing(&acting)?, &c, &bindings)?;
            Ok((c, bindings, headers))
        })
        .await;
    let (consumer, bindings, headers) = match found {
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
            // Where it is started by its own command, that is the program.
            let own =
                consumer.command.first().map_or("", |program| program.rsplit('/').next().unwrap_or_default());
            let command = if command.is_empty() { own } else { command };
            let asked = Asked::Consumer {
                id: consumer.id.clone(),
                scope: consumer.scope,
                owner: consumer.owner_id.clone(),
                command: command.to_owned(),
            };
            hand(app, &caller, asked).await?
        }
        false => Vec::new(),
    };
    let plain = bindings.into_iter().filter(Binding::is_plain).map(|b| (b.variable, b.text)).collect();
    Ok(ForConsumer { consumer, caller, handed, plain, headers })
}
