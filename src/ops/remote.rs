//! The keys of a remote MCP server: which credential goes with each message, on record before it leaves.
use super::hand_over::{Message, Remote, ended, open_for_message};
use crate::app::App;
use crate::error::Result;
use crate::ids;
use crate::inject::broker::{Ended, Given, Outcome};
use crate::inject::remote::{Admitted, Header, Keys};
use crate::model::access::Caller;
use crate::model::consumer::BindingSource;
use crate::model::credential::{Credential, Source};
use crate::model::event;
use crate::ops::connection::{Wanted, ensure_fresh};
use std::sync::Arc;
use tokio_util::task::TaskTracker;

/// See [`Keys`].
pub struct Keeper {
    pub app: Arc<App>,
    pub remote: Remote,
    /// Ends of uses that are on their way into the log: waited for before the program ends.
    pub endings: TaskTracker,
}

/// One use, until it has ended.
pub struct Used {
    remote: Remote,
    operation: String,
    /// Each with the generation of its tokens and its version.
    credentials: Vec<(Credential, i64, i64)>,
}

/// What a person does where the server refuses what it was sent.
fn remedy(remote: &Remote, message: &Message) -> String {
    let name = &remote.consumer.name;
    match message.credentials.first() {
        Some((c, _)) if c.source == Source::OAuth => {
            format!("Connect it again: `unsaid connect {}`.", c.name)
        }
        Some((c, _)) => format!("Replace its value: `unsaid set {}`.", c.name),
        None if message.bindings.is_empty() => {
            format!("Bind the credential it wants: `unsaid consumer bind {name} NAME,header=Authorization`.")
        }
        None => format!("Enter the value it wants: `unsaid consumer set {name}`."),
    }
}

fn headers(message: &mut Message) -> Vec<Header> {
    let mut headers = Vec::new();
    for b in &message.bindings {
        let Some(line) = b.header() else { continue };
        if b.source == BindingSource::Static {
            headers.push(Header { name: line.name, format: line.format, given: None, which: String::new() });
            continue;
        }
        let Some(at) = message.handed.iter().position(|one| one.binding == b.variable) else { continue };
        let one = message.handed.swap_remove(at);
        headers.push(Header {
            name: line.name,
            format: line.format.replace("{value}", "{token}"),
            which: format!("{}:{}:{}", one.credential, one.version, b.field),
            given: Some(Given { field: "token".into(), label: one.label, value: one.value, is_secret: true }),
        });
    }
    headers
}

impl Keys for Keeper {
    type Use = Used;

    async fn admit(&self, operation: &str) -> Result<Admitted<Used>> {
        // One message, one id in the log.
        let caller = Caller { request: ids::fresh(), ..self.remote.caller.clone() };
        let remote = Remote { caller, ..self.remote.clone() };
        let mut message = open_for_message(&self.app, &remote, operation).await?;
        let version_of = |c: &Credential| {
            message.handed.iter().find(|one| one.credential == c.id).map_or(0, |one| one.version)
        };
        let credentials: Vec<_> = message
            .credentials
            .iter()
            .map(|(c, generation)| (c.clone(), *generation, version_of(c)))
            .collect();
        Ok(Admitted {
            is_renewable: message.is_renewable(),
            remedy: remedy(&remote, &message),
            headers: headers(&mut message),
            used: Used { remote, operation: operation.to_owned(), credentials },
        })
    }

    async fn renew(&self, used: &Used) -> Result<bool> {
        let mut is_renewed = false;
        for (c, generation, _) in used.credentials.iter().filter(|(c, ..)| c.source == Source::OAuth) {
            ensure_fresh(&self.app, &used.remote.caller, &c.org_id, &c.id, Wanted::Instead(*generation))
                .await?;
            is_renewed = true;
        }
        Ok(is_renewed)
    }

    /// A use that failed is told; one that went well is on record already.
    fn ended(&self, used: &Used, how: Ended) {
        let (why, is_failure) = match (how.outcome, how.status) {
            (Outcome::Failed(why), _) => (why, true),
            (_, Some(401 | 403)) => ("the server refused it", true),
            _ if how.was_echoed => ("the server sent the credential back, and it was masked", false),
            _ => return,
        };
        let outcome = if is_failure { event::Outcome::Failed } else { event::Outcome::Ok };
        for (c, _, version) in &used.credentials {
            let mut event =
                ended(&used.remote, c, *version, &used.operation).ended(outcome, "").with("ended", why);
            if let Some(status) = how.status {
                event = event.with("status", i64::from(status));
            }
            let (app, caller, id) = (self.app.clone(), used.remote.caller.clone(), c.id.clone());
            self.endings.spawn(async move {
                let noted = app.store.write(&caller, move |tx| {
                    if is_failure {
                        tx.count_use(&id, false)?;
                    }
                    tx.record_step(event, ())
                });
                if let Err(e) = noted.await {
                    tracing::error!(code = e.code.name(), "the end of a use could not be recorded");
                }
            });
        }
    }
}
