//! How a value comes in, past every model: sealed in the transaction that records it.
//!
//! Nothing here gives a value out; `hand_over` alone does.
use super::create::{self, CreateCredential};
use super::sealing::{Sealer, Values};
use crate::app::App;
use crate::error::{Code, Error, Result, invalid};
use crate::model::access::Caller;
use crate::model::credential::Scope;
use crate::model::event::Event;
use crate::model::suspicion::Kind;
use crate::ops::reach::{self, Need};
use crate::ops::{entry, refusal, rotation};
use crate::secret::SecretBytes;
use crate::services::probe::is_testable;
use serde::Serialize;

/// Which credential a value is for.
#[derive(Clone, Debug)]
pub enum Target {
    /// Id or name.
    Existing(String),
    New(Box<CreateCredential>),
}

/// One value to be entered.
pub struct Entry {
    pub target: Target,
    /// Field names and their values; fields not named keep what they have.
    pub values: Vec<(String, SecretBytes)>,
    /// For type file, the name people know it by.
    pub file_name: String,
}

/// What was stored, without anything of the value.
#[derive(Debug, Serialize)]
pub struct Entered {
    pub id: String,
    pub name: String,
    pub scope: Scope,
    pub created: bool,
    pub version: i64,
    /// Whether an earlier value was replaced.
    pub replaced: bool,
    /// Its service can be asked whether it works; nobody has been asked.
    pub can_be_tested: bool,
    /// The rotation that it waits in, beside the value that stays in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotation: Option<String>,
    /// Other visible credentials of this name that it comes before.
    pub comes_before: Vec<String>,
}

/// Enters one value; see [`enter_many`].
pub async fn enter_value(
    app: &App,
    caller: &Caller,
    target: Target,
    values: Vec<(String, SecretBytes)>,
    file_name: String,
) -> Result<Entered> {
    let mut entered = enter_many(app, caller, vec![Entry { target, values, file_name }]).await?;
    entered.pop().ok_or_else(|| crate::error::internal("one value gives one answer"))
}

/// Enters values, all or none, each as a new version. Creates what is to be created.
///
/// Fails with `invalid_input` where a field is not the credential's, is empty, or is missing; `too_large` beyond the
/// limits; `not_allowed` and `credential_not_found` as for every change.
///
/// A refusal leaves its event, as every change's does.
pub async fn enter_many(app: &App, caller: &Caller, entries: Vec<Entry>) -> Result<Vec<Entered>> {
    enter_with(app, caller, entries, How::default()).await
}

/// How values come in, where it is not one by one.
#[derive(Default)]
pub(in crate::ops) struct How {
    /// The hash of the entry link that is used up by it.
    pub link: Option<Vec<u8>>,
    /// The kind of file they come from, kept in the log.
    pub from: Option<&'static str>,
    /// Told how many are stored, inside the transaction that stores them.
    pub progress: Option<Progress>,
}

/// What is told how far a long entry is.
pub type Progress = Box<dyn Fn(usize) + Send>;

/// As [`enter_many`], told how.
pub(in crate::ops) async fn enter_with(
    app: &App,
    caller: &Caller,
    entries: Vec<Entry>,
    how: How,
) -> Result<Vec<Entered>> {
    let entered = enter_all(app, caller, entries, how).await;
    if let Err(e) = &entered {
        refusal::remember(app, caller, Event::of("enter_value"), e).await;
    }
    entered
}

/// Enters the value of the credential `id` by an entry link, which is used up by it. See [`crate::ops::entry`].
pub(in crate::ops) async fn enter_by_link(
    app: &App,
    caller: &Caller,
    link: Vec<u8>,
    id: String,
    values: Vec<(String, SecretBytes)>,
    file_name: String,
) -> Result<Entered> {
    let entry = Entry { target: Target::Existing(id), values, file_name };
    let how = How { link: Some(link), ..How::default() };
    enter_with(app, caller, vec![entry], how)
        .await?
        .pop()
        .ok_or_else(|| crate::error::internal("one value gives one answer"))
}

async fn enter_all(app: &App, caller: &Caller, entries: Vec<Entry>, how: How) -> Result<Vec<Entered>> {
    let How { link, from, progress } = how;
    for entry in &entries {
        if let Target::New(input) = &entry.target {
            refuse_secrets(app, input)?;
        }
    }
    let (asking, catalogue, keys) = (caller.clone(), app.catalogue, app.keys.clone());
    app.store
        .write(caller, move |tx| {
            // Taken inside: the transaction has followed every key rotation by now.
            let vault = keys.vault();
            let sealer = Sealer { vault: &vault, catalogue, caller: &asking };
            let link = link.map(|hash| entry::consume(tx, &asking, &hash)).transpose()?;
            let mut done = Vec::with_capacity(entries.len());
            let mut events = Vec::with_capacity(entries.len());
            for given in entries {
                let (who, mut credential, created) = match &given.target {
                    Target::Existing(wanted) => {
                        let who = tx.standing(&asking)?;
                        let found = reach::credential(tx, &asking, &who, wanted, Need::Manage)?;
                        (who, found.credential, false)
                    }
                    Target::New(input) => {
                        let (who, _, mut credential) = create::prepare(catalogue, tx, &asking, input)?;
                        create::insert(tx, &mut credential)?;
                        (who, credential, true)
                    }
                };
                if let Some(link) = &link {
                    entry::expect_same(link, &entry::value_policy(&credential))?;
                }
                let replaced = credential.current_version.is_some();
                let rotating = rotation::taking_value(tx, &credential)?;
                let values = Values { fields: &given.values, file_name: &given.file_name };
                let version = match &rotating {
                    Some(_) => sealer.keep_pending(tx, &credential, values)?,
                    None => sealer.keep_current(tx, &mut credential, values)?,
                };
                let rotating = rotating
                    .map(|open| rotation::stage_value(tx, &asking, &credential, open, version))
                    .transpose()?;
                let others = create::same_name(tx, &asking, &who, &credential)?;
                if created {
                    let mut made = Event::of("create_credential")
                        .on(&credential)
                        .with("type", crate::model::Word::as_str(credential.kind));
                    if let Some(from) = from {
                        made = made.with("imported_from", from);
                    }
                    events.push(made);
                }
                let mut event =
                    Event::of("enter_value").on(&credential).with("replaced", replaced && rotating.is_none());
                if let Some(open) = &rotating {
                    event = event.with("rotation", open.id.0.clone()).with("stage", "pending");
                    event.object.version = Some(version);
                }
                if let Some(from) = from {
                    event = event.with("imported_from", from);
                }
                if let Some(link) = &link {
                    event = event.with("link", link.id.0.clone());
                }
                events.push(event);
                done.push(Entered {
                    id: credential.id.0.clone(),
                    name: credential.name.clone(),
                    scope: credential.scope,
                    created,
                    version,
                    replaced: replaced && rotating.is_none(),
                    rotation: rotating.map(|open| open.id.0),
                    can_be_tested: catalogue
                        .find_service(&credential.service)
                        .is_some_and(|service| is_testable(&service)),
                    comes_before: match credential.scope {
                        Scope::Personal => create::described(tx, &asking, &others)?,
                        _ => Vec::new(),
                    },
                });
                if let Some(progress) = &progress {
                    progress(done.len());
                }
            }
            let Some(last) = events.pop() else { return Err(invalid("there is nothing to enter")) };
            for event in events {
                tx.note(event)?;
            }
            tx.record_step(last, done)
        })
        .await
}

/// The value goes into the envelope and not into the text beside it, which everybody who sees the credential reads.
fn refuse_secrets(app: &App, input: &CreateCredential) -> Result<()> {
    let texts =
        [("description", &input.description), ("account", &input.account), ("service", &input.service)];
    for (field, text) in texts {
        let seen = text.as_ref().and_then(|text| app.detector.check_text(text, Kind::FreeText));
        if let Some(why) = seen {
            return Err(Error::new(Code::SecretInArgument, format!("{field} looks like a secret ({why})"))
                .detail("field", field));
        }
    }
    Ok(())
}
