//! One call, from raw arguments to an answer: the same steps for every operation and every door.
//!
//! 1 no secret in an argument · 2 limits of the server · 3 parse without echo · 4 an answer kept under this
//! idempotency key · 5 permission and confirmation · 6 run · 7 a refusal leaves its event.
use super::confirm::{Answer, Confirm, Confirmer, Question, digest};
use super::{Effect, Entry, Operation, Toolset, entry, refusal};
use crate::app::App;
use crate::error::{Code, Error, Kind, Result, invalid};
use crate::model::access::{Agreed, Caller, Idempotency};
use crate::model::event::Event;
use crate::model::suspicion::{self, Detector};
use futures_util::future::BoxFuture;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// What this server or token allows, whatever the caller's role.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    pub read_only: bool,
    /// Empty: all toolsets.
    pub toolsets: Vec<Toolset>,
}

impl Limits {
    /// What both allow.
    pub fn and(&self, other: &Limits) -> Limits {
        let toolsets = match (&self.toolsets[..], &other.toolsets[..]) {
            ([], theirs) => theirs.to_vec(),
            (ours, []) => ours.to_vec(),
            // What only one of them names is not allowed; a session's own tools always are.
            (ours, theirs) => {
                let both: Vec<_> = ours.iter().filter(|t| theirs.contains(t)).copied().collect();
                if both.is_empty() { vec![Toolset::Session] } else { both }
            }
        };
        Limits { read_only: self.read_only || other.read_only, toolsets }
    }

    pub fn allow(&self, entry: &Entry) -> bool {
        (self.toolsets.is_empty()
            || entry.toolset == Toolset::Session
            || self.toolsets.contains(&entry.toolset))
            && !(self.read_only && entry.effect != Effect::Reads)
    }
}

/// What a call comes to.
#[derive(Debug)]
pub enum Reply {
    Done(Value),
    /// Ask a person this first, then call again with the answer.
    AskFirst(Question),
}

/// Runs one call of `entry`, whatever it is.
pub async fn call(
    app: &App,
    caller: &Caller,
    entry: &Entry,
    limits: &Limits,
    arguments: Map<String, Value>,
    confirmer: &dyn Confirmer,
) -> Result<Reply> {
    let outcome = async {
        // First of all: whoever put a secret there hears that it leaked, whatever else would be said.
        refuse_secrets(&app.detector, entry, &arguments)?;
        if !limits.allow(entry) {
            return Err(match limits.read_only && entry.effect != Effect::Reads {
                true => Error::new(
                    Code::ReadOnly,
                    format!("{} changes things, and this server or its token is read-only", entry.name),
                ),
                false => Error::new(
                    Code::ToolNotFound,
                    format!("{} is not among this server's toolsets", entry.name),
                ),
            });
        }
        (entry.call)(app, caller, arguments, confirmer).await
    }
    .await;
    if let Err(e) = &outcome {
        remember_refusal(app, caller, entry, e).await;
    }
    outcome
}

/// Fields that no tool has, and in which nobody would put anything but a value.
const VALUE_FIELDS: [&str; 12] = [
    "value",
    "values",
    "secret",
    "password",
    "passwd",
    "passphrase",
    "token",
    "access_token",
    "api_key",
    "apikey",
    "client_secret",
    "private_key",
];

/// Fails with `secret_in_argument` where an argument looks like a secret, which it does not repeat.
pub fn refuse_secrets(detector: &Detector, entry: &Entry, arguments: &Map<String, Value>) -> Result<()> {
    let is_given = |value: &Value| !matches!(value, Value::Null | Value::Bool(_)) && value != "";
    if let Some(field) = VALUE_FIELDS
        .iter()
        .find(|field| !entry.has_property(field) && arguments.get(**field).is_some_and(is_given))
    {
        return Err(Error::new(
            Code::SecretInArgument,
            format!("{} takes no {field}: a value never goes through a tool", entry.name),
        )
        .detail("field", *field));
    }
    match detector.check_arguments(arguments, &argument_kind) {
        None => Ok(()),
        Some(suspect) => {
            // The field's name is the caller's text where the field is unknown: name only known ones.
            let field =
                if entry.has_property(&suspect.field) { suspect.field.as_str() } else { "an argument" };
            Err(Error::new(
                Code::SecretInArgument,
                format!("{field} of {} looks like a secret ({})", entry.name, suspect.why),
            )
            .detail("field", field))
        }
    }
}

/// What kind of text an argument holds, for the detector.
fn argument_kind(path: &str) -> suspicion::Kind {
    let leaf = path
        .rsplit('.')
        .next()
        .unwrap_or(path)
        .trim_end_matches(|c: char| c == ']' || c.is_ascii_digit() || c == '[');
    match leaf {
        "cursor" => suspicion::Kind::Cursor,
        "reason" | "description" | "name" | "new_name" | "account" | "tags" | "add_tags" | "remove_tags"
        | "text" | "purpose" | "idempotency_key" => suspicion::Kind::FreeText,
        leaf if leaf.ends_with("_url") => suspicion::Kind::Url,
        "rotation" | "campaign" | "credential" | "id" | "client_id" | "provider" | "service" | "team"
        | "user" | "approval" | "scopes" | "signature" | "mac" | "checkpoint" => suspicion::Kind::Identifier,
        _ => suspicion::Kind::FreeText,
    }
}

async fn remember_refusal(app: &App, caller: &Caller, entry: &Entry, e: &Error) {
    let is_read = entry.effect == Effect::Reads;
    let worth_it = match e.kind() {
        Kind::Denied => e.code != Code::ApprovalRequired,
        // What somebody changed behind our back is told even where it was only read.
        _ if matches!(e.code, Code::SecretInArgument | Code::Integrity | Code::BadEnvelope) => true,
        _ => !is_read,
    };
    if !worth_it {
        return;
    }
    refusal::remember(app, caller, Event::of(entry.name), e).await;
}

/// The typed part of a call. `catalog` makes one of these for each operation.
pub fn typed<'a, O: Operation>(
    app: &'a App,
    caller: &'a Caller,
    mut arguments: Map<String, Value>,
    confirmer: &'a dyn Confirmer,
) -> BoxFuture<'a, Result<Reply>> {
    Box::pin(async move {
        let mut caller = caller.clone();
        if O::EFFECT != Effect::Reads {
            caller.idempotency = take_idempotency::<O>(&mut arguments)?.or(caller.idempotency);
        }
        // What only reads asks nobody anything: nothing has to be bound to a question.
        let (bound, kept) = match O::EFFECT {
            Effect::Reads => (Vec::new(), Map::new()),
            _ => (digest(O::NAME, &arguments), arguments.clone()),
        };
        let operation: O = parse::<O>(O::NAME, arguments)?;
        if caller.idempotency.is_some() {
            let asking = caller.clone();
            // A kept answer is for whoever may still call: a disabled user gets none.
            let kept = app.store.read(move |tx| tx.standing(&asking).and_then(|_| tx.kept_answer(&asking)));
            if let Some(answer) = kept.await? {
                return offered::<O>(app, &caller, replay(&answer)?).await;
            }
        }
        caller.agreed = Some(Agreed::Nobody);
        match operation.confirm(app, &caller).await? {
            Confirm::Nothing => {}
            _ if O::EFFECT == Effect::Reads => {
                return Err(crate::error::internal("a reading operation asked for a confirmation"));
            }
            question => {
                let asked = question.clone();
                if let Some(reply) = settle::<O>(app, &caller, &bound, &kept, question, confirmer).await? {
                    return Ok(reply);
                }
                // Who is asked may think for as long as they like, and things move on.
                if caller.approval.is_none() && !operation.confirm(app, &caller).await?.is_same(&asked) {
                    return Err(Error::new(
                        Code::Changed,
                        "it would do something else now than what was agreed to",
                    ));
                }
                caller.agreed = Some(match asked {
                    Confirm::Person(_) => Agreed::Person,
                    _ if caller.approval.is_some() => Agreed::Person,
                    _ => Agreed::Form,
                });
            }
        }
        let output = match operation.run(app, &caller).await {
            Err(e)
                if e.code == Code::IdempotencyConflict
                    && e.details().iter().any(|(name, _)| *name == "replay") =>
            {
                let asking = caller.clone();
                return match app.store.read(move |tx| tx.kept_answer(&asking)).await? {
                    Some(answer) => offered::<O>(app, &caller, replay(&answer)?).await,
                    None => Err(e),
                };
            }
            other => other?,
        };
        offered::<O>(app, &caller, to_reply(&output)?).await
    })
}

/// Adds the link to the page, after the answer was kept, so that no link is: a repeat gets one of its own.
///
/// What was done is done: where no link can be made, the answer stands without one.
async fn offered<O: Operation>(app: &App, caller: &Caller, reply: Reply) -> Result<Reply> {
    let Reply::Done(mut answer) = reply else { return Ok(reply) };
    let Some((purpose, object)) = O::entry(&answer) else { return Ok(Reply::Done(answer)) };
    match entry::offer(app, caller, purpose, &object).await {
        Ok(Some(offer)) => {
            answer["next"] = match answer["next"].take() {
                Value::Array(mut steps) => {
                    steps.push(offer.told().into());
                    steps.into()
                }
                // The same by the command line, for who would rather.
                Value::String(other) => format!("{} Or: {other}", offer.told()).into(),
                _ => offer.told().into(),
            };
            answer["entry"] = serde_json::to_value(&offer)
                .map_err(|e| crate::error::internal("a link could not be written as JSON").because(e))?;
            Ok(Reply::Done(answer))
        }
        Ok(None) => Ok(Reply::Done(answer)),
        Err(e) => {
            tracing::warn!(code = e.code.name(), "no entry link could be made");
            Ok(Reply::Done(answer))
        }
    }
}

fn to_reply<T: serde::Serialize>(output: &T) -> Result<Reply> {
    serde_json::to_value(output)
        .map(Reply::Done)
        .map_err(|e| crate::error::internal("the answer could not be written as JSON").because(e))
}

fn replay(answer: &str) -> Result<Reply> {
    serde_json::from_str(answer)
        .map(Reply::Done)
        .map_err(|_| Error::new(Code::Integrity, "a kept answer is damaged"))
}

/// `None` when the operation may go on.
async fn settle<O: Operation>(
    app: &App,
    caller: &Caller,
    bound: &[u8],
    arguments: &Map<String, Value>,
    question: Confirm,
    confirmer: &dyn Confirmer,
) -> Result<Option<Reply>> {
    if let Some(id) = &caller.approval {
        super::approval::expect_granted(app, caller, id, bound, question).await?;
        return Ok(None);
    }
    let (answer, question) = match question {
        Confirm::Nothing => return Ok(None),
        Confirm::Form(q) => match confirmer.form(&q).await {
            Answer::CannotAsk => (confirmer.person(&q).await, q),
            answer => (answer, q),
        },
        Confirm::Person(q) => (confirmer.person(&q).await, q),
    };
    match answer {
        Answer::Yes => Ok(None),
        Answer::No => Err(Error::new(Code::Declined, format!("the person declined: {}", question.summary))),
        Answer::AskFirst => Ok(Some(Reply::AskFirst(question))),
        Answer::CannotAsk => Err(super::approval::request(app, caller, O::NAME, arguments, question).await?),
    }
}

fn take_idempotency<O: Operation>(arguments: &mut Map<String, Value>) -> Result<Option<Idempotency>> {
    let Some(key) = arguments.remove("idempotency_key") else { return Ok(None) };
    let fits = |key: &str| {
        !key.is_empty() && key.len() <= 64 && key.chars().all(|c| c.is_ascii_graphic() && c != ':')
    };
    match key {
        Value::Null => Ok(None),
        Value::String(key) if fits(&key) => {
            Ok(Some(Idempotency { operation: O::NAME, digest: digest(O::NAME, arguments), key }))
        }
        _ => Err(invalid("idempotency_key is 1 to 64 visible ASCII characters without a colon")),
    }
}

/// Serde quotes the value it rejects, and that value may be a secret: name the field instead.
pub fn parse<T: DeserializeOwned>(operation: &str, input: Map<String, Value>) -> Result<T> {
    serde_path_to_error::deserialize(Value::from(input)).map_err(|e| {
        let path = e.path().to_string();
        let cause = e.inner().to_string();
        // These three messages quote names of ours, not the caller's text.
        let message = if cause.starts_with("missing field `") {
            format!("{operation}: {cause}")
        } else if cause.starts_with("unknown field ") {
            let known = cause.split_once("expected ").map_or("", |(_, known)| known);
            format!("{operation}: there is a field that is not known; expected {known}")
        } else if cause.starts_with("unknown variant ") {
            let known = cause.split_once("expected ").map_or("", |(_, known)| known);
            format!("{operation}: {path} must be {known}")
        } else {
            format!("{operation}: the field {} has a value it cannot use", safe_path(&path))
        };
        invalid(message)
    })
}

/// A path may hold a map key, which is the caller's text: keep what looks like our own field names.
fn safe_path(path: &str) -> &str {
    let ours = path.len() <= 60
        && path.chars().all(|c| {
            c.is_ascii_lowercase() || c == '_' || c == '.' || c == '[' || c == ']' || c.is_ascii_digit()
        });
    if ours && path != "." { path } else { "named in the schema" }
}
