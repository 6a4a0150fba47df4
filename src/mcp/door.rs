//! The one place where a tool call is let in, run and answered, and where a failure gets its shape on the wire.
//!
//! A failure of an operation is a tool result marked as an error, which the model reads; a protocol error is for
//! what cannot be routed at all, since clients tend to hide its text.
use super::asking::{Asker, Asking, Opened, binding, is_per_request};
use super::catalogue::find_tool;
use super::gate::Gate;
use super::opening::{Identity, Known, Opening};
use super::sending::{self, Errand};
use crate::app::App;
use crate::error::{Code, Error, Kind, Result, internal};
use crate::ids::OrgId;
use crate::model::access::Caller;
use crate::model::org::Role;
use crate::model::suspicion;
use crate::model::text::clean;
use crate::ops::{self, Effect, Entry, Limits, NoOne, Reply, find_entry};
use futures_util::FutureExt;
use rmcp::RoleServer;
use rmcp::model::{CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, ErrorData};
use rmcp::service::RequestContext;
use serde_json::{Value, json};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

/// What all connections of one server share.
pub(super) struct Door {
    pub(super) opening: Arc<Opening>,
    pub(super) identity: Box<dyn Identity>,
    pub(super) limits: Limits,
    pub(super) asking: Asking,
    pub(super) gate: Gate,
}

impl Door {
    /// A tool call, from its parameters to its answer.
    ///
    /// Fails, as a protocol error, for a tool that does not exist and a state that is not ours.
    pub(super) async fn call_tool(
        &self,
        request: CallToolRequestParams,
        cx: &RequestContext<RoleServer>,
        gone: &CancellationToken,
    ) -> Result<CallToolResponse, ErrorData> {
        let Some((entry, _)) = find_tool(&request.name) else {
            let looks_secret = request.arguments.as_ref().is_some_and(|arguments| {
                suspicion::PLAIN.check_arguments(arguments, &|_| suspicion::Kind::FreeText).is_some()
            });
            return Err(ErrorData::invalid_params(
                match looks_secret {
                    true => {
                        "there is no such tool, and an argument looks like a secret: it has leaked, rotate it"
                    }
                    false => "there is no such tool",
                },
                None,
            ));
        };
        let mut unroutable = None;
        let answered = self
            .guarded(cx, entry.name, async {
                let (app, caller, limits) =
                    self.caller(cx).await.map_err(|e| leaked(entry, &request).unwrap_or(e))?;
                match self.run(app, (&caller, &limits), entry, request, cx, gone).await {
                    Ok(answered) => answered.map_err(|e| remember(&caller, entry.name, e)),
                    Err(refused) => {
                        unroutable = Some(refused);
                        Err(internal("refused before it began"))
                    }
                }
            })
            .await;
        match (unroutable, answered) {
            (Some(refused), _) => Err(refused),
            (None, Ok(response)) => Ok(response),
            (None, Err(e)) => Ok(failed(&e).into()),
        }
    }

    async fn run(
        &self,
        app: &Arc<App>,
        (caller, limits): (&Caller, &Limits),
        entry: &Entry,
        request: CallToolRequestParams,
        cx: &RequestContext<RoleServer>,
        gone: &CancellationToken,
    ) -> Result<Result<CallToolResponse>, ErrorData> {
        let arguments = request.arguments.unwrap_or_default();
        let bound = match asks_first(entry, cx) {
            true => binding(caller, entry.name, &arguments),
            false => Vec::new(),
        };
        let (state, responses) = (request.request_state.as_deref(), request.input_responses.as_ref());
        let mut asker = Asker::new(&self.asking, cx, gone, state, responses, &bound, caller)?;
        // Where the way in no longer allows the tool, the call is refused as any other.
        if let Some(Opened { mut answer, action }) = asker.opened.take().filter(|_| limits.allow(entry)) {
            // What was to be done was done in the round before.
            if let Some(errand) = Errand::of(&answer) {
                sending::settle(app, caller, &asker, cx, &errand, action, &mut answer).await;
            }
            return Ok(Ok(CallToolResult::structured(answer).into()));
        }
        let span = tracing::info_span!("call", operation = entry.name, request = %caller.request);
        let reply = tokio::select! {
            reply = ops::call(app, caller, entry, limits, arguments, &asker).instrument(span) => reply,
            // Only while a question was open, when nothing had been done: once it runs, an operation is never dropped.
            () = asker.abandoned.notified() => Err(cancelled()),
        };
        Ok(match reply {
            Ok(Reply::Done(value)) => match Errand::of(&value) {
                Some(errand) if is_per_request(cx) && sending::opens_addresses(cx) => {
                    self.asking.page_required(errand.params(true), value, &bound).map(Into::into)
                }
                Some(errand) => {
                    let answer = sending::send(app, caller, &asker, cx, &errand, value).await;
                    Ok(CallToolResult::structured(answer).into())
                }
                None => Ok(CallToolResult::structured(value).into()),
            },
            Ok(Reply::AskFirst(question)) => self.asking.input_required(&question, &bound).map(Into::into),
            Err(e) => Err(e),
        })
    }

    /// The answer of a reading operation, for resources, prompts and completions. It never asks anybody anything.
    pub(super) async fn read(
        &self,
        operation: &str,
        arguments: Value,
        cx: &RequestContext<RoleServer>,
    ) -> Result<Value> {
        let entry = find_entry(operation)
            .ok_or_else(|| internal("an operation that does not exist was asked for"))?;
        self.guarded(cx, entry.name, async {
            let (app, caller, limits) = self.caller(cx).await?;
            let Value::Object(arguments) = arguments else { return Err(internal("arguments are an object")) };
            match ops::call(app, &caller, entry, &limits, arguments, &NoOne).await {
                Ok(Reply::Done(value)) => Ok(value),
                Ok(Reply::AskFirst(_)) => Err(internal("a reading operation asked for a confirmation")),
                Err(e) => Err(remember(&caller, entry.name, e)),
            }
        })
        .await
    }

    /// Whether the caller may read this credential of this org.
    pub(super) async fn sees(&self, org: &OrgId, id: &str, cx: &RequestContext<RoleServer>) -> bool {
        let is_theirs = self.caller(cx).await.is_ok_and(|(_, caller, _)| caller.org == *org);
        is_theirs && self.read("get_credential", json!({ "credential": id }), cx).await.is_ok()
    }

    /// What the caller is and what their way in allows, where that can be known.
    pub(super) async fn role(&self, cx: &RequestContext<RoleServer>) -> Option<(Role, Limits)> {
        let role = async {
            let (app, caller, limits) = self.caller(cx).await?;
            Ok((ops::reach::role(app, &caller).await?, limits))
        };
        self.guarded(cx, "tools/list", role).await.ok()
    }

    /// Waits for a place, and turns a panic into an answer: the protocol library would let the caller wait for ever.
    async fn guarded<T>(
        &self,
        cx: &RequestContext<RoleServer>,
        what: &'static str,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let _place = self.gate.enter().await?;
        if cx.ct.is_cancelled() {
            return Err(cancelled());
        }
        match AssertUnwindSafe(work).catch_unwind().await {
            Ok(done) => done,
            Err(_) => {
                // What the panic said may hold a value: the panic hook prints where it was, and that is all.
                tracing::error!(operation = what, "a handler panicked");
                Err(internal(format!("{what} failed in an unexpected way")))
            }
        }
    }

    async fn caller(&self, cx: &RequestContext<RoleServer>) -> Result<(&Arc<App>, Caller, Limits)> {
        let app = self.opening.app().await?;
        let Known { mut caller, limits } = self.identity.caller(app, cx).await?;
        caller.request = crate::ids::fresh();
        // Who acts as another is named beside what their client calls itself.
        let said = client(app, cx);
        caller.client = match caller.client.is_empty() {
            true => said,
            false => format!("{said} {}", caller.client).trim_start().to_owned(),
        };
        Ok((app, caller, self.limits.and(&limits)))
    }
}

/// What is said about a secret among the arguments where the vault, which says it otherwise, does not open.
fn leaked(entry: &Entry, request: &CallToolRequestParams) -> Option<Error> {
    ops::refuse_secrets(&suspicion::PLAIN, entry, request.arguments.as_ref()?).err()
}

/// Whether this call could end with a question: it may change something, and its era asks that way.
fn asks_first(entry: &Entry, cx: &RequestContext<RoleServer>) -> bool {
    entry.effect != Effect::Reads && is_per_request(cx)
}

fn cancelled() -> Error {
    Error::new(Code::Cancelled, "the call was cancelled before it began")
}

/// What the client says it is, as `name/version`, fit for a line of the log. That line is kept for good, so what
/// looks like a secret does not get into it (C-34).
fn client(app: &App, cx: &RequestContext<RoleServer>) -> String {
    let Some(claimed) = cx.client_info() else { return String::new() };
    let part = |text: &str, most: usize| {
        let start: String = text.chars().take(4 * most).collect();
        match app.detector.check_text(&start, suspicion::Kind::FreeText) {
            None => clean(&start).chars().take(most).collect::<String>(),
            Some(_) => "withheld".into(),
        }
    };
    format!("{}/{}", part(&claimed.name, 60), part(&claimed.version, 20))
}

/// Logs what is our own fault, and gives the answer the id under which the log has it.
fn remember(caller: &Caller, operation: &str, e: Error) -> Error {
    if !matches!(e.kind(), Kind::Internal | Kind::Unavailable) || e.code == Code::Cancelled {
        return e;
    }
    let cause = std::error::Error::source(&e).map(ToString::to_string);
    tracing::error!(operation, request = %caller.request, code = e.code.name(), cause, "a call failed");
    e.detail("request_id", caller.request.clone())
}

/// A failure as the model reads it: `{code, message, next, …}` as text. Not as structured content too: a widely used client
/// holds that against the tool's output schema even where the result is an error, and shows nothing of it.
fn failed(e: &Error) -> CallToolResult {
    CallToolResult::error(vec![ContentBlock::text(e.to_json().to_string())])
}

/// A failure where the protocol has no other place for it: of a resource, a prompt or a completion.
pub(super) fn protocol_error(e: &Error) -> ErrorData {
    let (message, data) = (e.message().to_owned(), Some(e.to_json()));
    match e.kind() {
        Kind::Missing => ErrorData::resource_not_found(message, data),
        Kind::Input | Kind::Conflict => ErrorData::invalid_params(message, data),
        Kind::Denied | Kind::Limited => ErrorData::invalid_request(message, data),
        Kind::Unavailable | Kind::Internal => ErrorData::internal_error(message, data),
    }
}
