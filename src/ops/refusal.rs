//! What is kept of a call that was refused or failed.
use crate::app::App;
use crate::error::Error;
use crate::model::access::Caller;
use crate::model::event::{Event, Outcome};

/// `event` as ended by `e`, with its code and details.
pub fn ended(event: Event, e: &Error) -> Event {
    let outcome = if e.kind().outcome() == "failed" { Outcome::Failed } else { Outcome::Refused };
    let event = event.ended(outcome, e.code.name());
    e.details().iter().fold(event, |event, (name, text)| event.with(name, text.clone()))
}

/// Writes `event` as ended by `e`, with its code and details. Never fails: the refusal itself is the answer.
pub async fn remember(app: &App, caller: &Caller, event: Event, e: &Error) {
    let event = ended(event, e);
    let mut caller = caller.clone();
    // A kept answer belongs to what was done, and nothing was.
    caller.idempotency = None;
    let operation = event.operation.clone();
    if let Err(e) = app.store.write(&caller, move |tx| tx.record(event, ())).await {
        tracing::error!(operation, code = e.code.name(), "a refusal could not be recorded");
    }
}
