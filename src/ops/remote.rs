//! The keys of a remote MCP server: which credential goes with each message, on record before it leaves.
use super::broker::Rate;
use super::echo;
use super::hand_over::{Message, Remote, ended, open_for_message};
use crate::app::App;
use crate::error::Result;
use crate::ids::{self, CredentialId};
use crate::inject::broker::{Ended, Given, Outcome};
use crate::inject::remote::{Admitted, Header, Keys};
use crate::model::access::Caller;
use crate::model::consumer::BindingSource;
use crate::model::credential::{Credential, Source};
use crate::model::event::{self, Event};
use crate::ops::connection::{Wanted, ensure_fresh};
use std::sync::Arc;
use tokio_util::task::TaskTracker;

/// See [`Keys`].
pub struct Keeper {
    pub app: Arc<App>,
    pub remote: Remote,
    pub rate: Rate,
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

/// As a [`Header`] names its value.
fn which(credential: &CredentialId, version: i64, field: &str) -> String {
    format!("{credential}:{version}:{field}")
}

/// The credential and the version in it.
fn parsed(which: &str) -> Option<(CredentialId, i64)> {
    let (credential, rest) = which.split_once(':')?;
    let (version, _) = rest.split_once(':')?;
    Some((CredentialId::from(credential), version.parse().ok()?))
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
            which: which(&one.credential, one.version, &b.field),
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
        let mut message = open_for_message(&self.app, &remote, operation, &self.rate).await?;
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

    /// The server is told apart by its host and port: in the third answer it is enough, as with the broker (B-25).
    fn echoed(&self, used: &Used, which: &str) {
        let Some((id, version)) = parsed(which) else { return };
        let (remote, operation) = (used.remote.clone(), used.operation.clone());
        let (app, caller) = (self.app.clone(), used.remote.caller.clone());
        self.endings.spawn(async move {
            let noted = app.store.write(&caller, move |tx| {
                let (org, host) = (&remote.caller.org, remote.host());
                // It may be gone by now.
                let mut event = match tx.find_credential(org, &id)? {
                    Some(c) => ended(&remote, &c, version, &operation),
                    None => Event::of("use").about("credential", id.as_str(), ""),
                };
                event = event
                    .ended(event::Outcome::Ok, "")
                    .with("ended", "the server sent the credential back, and it was masked")
                    .with("echoed", true);
                if echo::count(tx, org, &id, version, &host)? {
                    event = event.with("suspended_for", host);
                }
                tx.record_step(event, ())
            });
            if let Err(e) = noted.await {
                tracing::error!(code = e.code.name(), "the end of a use could not be recorded");
            }
        });
    }

    /// A use that failed is told; one that went well is on record already, and so is what came back.
    fn ended(&self, used: &Used, how: Ended) {
        let why = match (how.outcome, how.status) {
            (Outcome::Failed(why), _) => why,
            (_, Some(401 | 403)) => "the server refused it",
            _ => return,
        };
        for (c, _, version) in &used.credentials {
            let mut event = ended(&used.remote, c, *version, &used.operation)
                .ended(event::Outcome::Failed, "")
                .with("ended", why);
            if let Some(status) = how.status {
                event = event.with("status", i64::from(status));
            }
            let (app, caller, id) = (self.app.clone(), used.remote.caller.clone(), c.id.clone());
            self.endings.spawn(async move {
                let noted = app.store.write(&caller, move |tx| {
                    tx.count_use(&id, false)?;
                    tx.record_step(event, ())
                });
                if let Err(e) = noted.await {
                    tracing::error!(code = e.code.name(), "the end of a use could not be recorded");
                }
            });
        }
    }
}
