//! Handing what goes to a consumer's own remote server, for one message at a time.
//!
//! It goes to the address that a person agreed to, in the headers that they agreed to: both are the consumer's, and
//! never what a definition says by now.
use super::{Asked, Handed, choose, chosen_for, freshen, hand, remember};
use crate::app::App;
use crate::error::{Code, Error, Result, invalid};
use crate::model::access::Caller;
use crate::model::consumer::{Binding, Consumer};
use crate::model::credential::{Credential, Source};
use crate::model::event::Event;
use crate::ops::broker::Rate;
use crate::ops::consumer::{host_of, run_by};

/// A consumer that is a remote server.
#[derive(Clone)]
pub struct Remote {
    pub consumer: Consumer,
    /// The caller as who it runs for, with the consumer.
    pub caller: Caller,
}

impl Remote {
    /// Where everything goes, as a log may show it.
    pub fn host(&self) -> String {
        host_of(&self.consumer.url)
    }
}

/// What goes with one message, on record already.
pub struct Message {
    pub handed: Vec<Handed>,
    pub bindings: Vec<Binding>,
    /// What was handed over, each with the generation of its tokens; 0 where it has none.
    pub credentials: Vec<(Credential, i64)>,
}

impl Message {
    /// Whether there may be a fresh value where this one is refused.
    pub fn is_renewable(&self) -> bool {
        self.credentials.iter().any(|(c, _)| c.source == Source::OAuth)
    }
}

/// The consumer of that name, where it is an address and no program.
pub async fn find_remote(app: &App, caller: &Caller, wanted: &str) -> Result<Option<Remote>> {
    let (asking, wanted) = (caller.clone(), wanted.to_owned());
    let found = app.store.read_here(move |tx| run_by(tx, &asking, &tx.standing(&asking)?, &wanted)).await?;
    let is_remote = found.command.is_empty() && !found.url.is_empty();
    Ok(is_remote.then(|| {
        let caller = Caller { consumer: found.id.0.clone(), ..caller.clone() };
        Remote { consumer: found, caller }
    }))
}

/// Whether everything that is required is there. Nothing is handed over, so nothing but a refusal is recorded.
///
/// Fails as [`super::hand_over_to`] does.
pub async fn expect_ready(app: &App, remote: &Remote) -> Result<()> {
    let asked = Asked::Remote(Box::new(remote.consumer.clone()), "start".into());
    let refusal = asked.refusal();
    let ready = async {
        freshen(app, &remote.caller, &asked).await?;
        let asking = remote.caller.clone();
        app.store
            .read_here(move |tx| {
                let who = tx.standing(&asking)?;
                let mut problems = Vec::new();
                for wish in asked.wishes(tx, &asking, &who)? {
                    if let Err(e) = chosen_for(tx, &asking, &who, wish, asked.host().as_deref()) {
                        problems.push((e.code, e.message().to_owned(), e.next_step().to_owned()));
                    }
                }
                match problems.is_empty() {
                    true => Ok(()),
                    false => Err(super::together(problems, false)),
                }
            })
            .await
    };
    match ready.await {
        Ok(()) => Ok(()),
        Err(e) => {
            remember(app, &remote.caller, refusal, &e).await;
            Err(e)
        }
    }
}

/// Records the use and commits it, then opens the values. `operation` is what the message asks for.
///
/// Fails as [`super::hand_over_to`] does, with `changed_meanwhile` where the consumer has another address by now, with
/// `too_many_requests` beyond the `rate` of one of the credentials, and with `credential_suspended` where the server has
/// sent one of them back too often.
pub async fn open_for_message(app: &App, remote: &Remote, operation: &str, rate: &Rate) -> Result<Message> {
    let asked = Asked::Remote(Box::new(remote.consumer.clone()), operation.to_owned());
    let (asking, looking) = (remote.caller.clone(), asked.clone());
    let found = app
        .store
        .read_here(move |tx| {
            let who = tx.standing(&asking)?;
            let Asked::Remote(consumer, _) = &looking else { return Ok((Vec::new(), false, Vec::new())) };
            let wishes = looking.wishes(tx, &asking, &who)?;
            let mut bindings = tx.bindings(&asking.org, &consumer.id)?;
            bindings.retain(|b| b.header().is_some());
            // All of it may be optional, and not there. What cannot be used is told by the hand-over itself.
            let (mut is_any, mut sent) = (false, Vec::<Credential>::new());
            for wish in wishes {
                let one = choose(tx, &asking, &who, wish);
                is_any |= !matches!(one, Ok(None));
                if let Ok(Some(one)) = one
                    && !sent.iter().any(|c| c.id == one.credential.id)
                {
                    sent.push(one.credential);
                }
            }
            Ok((bindings, is_any, sent))
        })
        .await;
    let (bindings, is_any, sent) = match found {
        Ok(found) => found,
        Err(e) => {
            remember(app, &remote.caller, asked.refusal(), &e).await;
            return Err(e);
        }
    };
    for c in &sent {
        if let Err(e) = rate.count(c) {
            if rate.is_news(c, &remote.caller.consumer) {
                let event = asked.used(Event::of("use").on(c));
                remember(app, &remote.caller, event, &e).await;
            }
            return Err(e);
        }
    }
    let handed = if is_any { hand(app, &remote.caller, asked).await? } else { Vec::new() };
    for (at, one) in handed.iter().enumerate() {
        if !bindings.iter().any(|b| b.variable == one.binding) {
            return Err(Error::new(Code::Changed, "the binding was changed while the message was read"));
        }
        if handed[..at].iter().any(|other| other.binding == one.binding) {
            let several = format!("{} has several fields, and one goes into a header", one.label);
            return Err(invalid(several).next(format!(
                "Say which: `unsaid consumer bind {} {}=…,field=…,header=…`.",
                remote.consumer.name, one.binding
            )));
        }
    }
    let (org, ids) =
        (remote.caller.org.clone(), handed.iter().map(|one| one.credential.clone()).collect::<Vec<_>>());
    let credentials = app
        .store
        .read_here(move |tx| {
            let mut all = Vec::new();
            for id in ids {
                let Some(c) = tx.find_credential(&org, &id)? else { continue };
                let generation = match c.source {
                    Source::OAuth => tx.connection(&org, &id)?.map_or(0, |c| c.generation),
                    Source::Manual => 0,
                };
                all.push((c, generation));
            }
            Ok(all)
        })
        .await?;
    Ok(Message { handed, bindings, credentials })
}

/// The event of how a use ended, or of what came of it.
pub(in crate::ops) fn ended(remote: &Remote, c: &Credential, version: i64, operation: &str) -> Event {
    let mut event = Event::of("use").on(c).with("operation", operation).with("host", remote.host());
    event.object.version = Some(version);
    event
}
