//! Asking a person through the client's own form, in both eras of the protocol.
//!
//! A form's answer comes from the client and can be forged, so it only ever confirms what can be undone: the
//! [`Confirmer`] here never answers for a person out of band. It asks for a tick, never for a value.
//!
//! Handshake era: the question goes to the client while the call waits. From 2026-07-28 the call ends with the
//! question and a sealed state, and the client calls again with both; the state binds the answer to the caller,
//! the tool, its arguments and the question as it was put, lives five minutes, and works once (M-17).
use super::seats::{Seat, Seats};
use crate::error::{Result, internal};
use crate::model::Word;
use crate::model::access::Caller;
use crate::ops::{Answer, Confirmer, Question};
use futures_util::future::BoxFuture;
use rmcp::RoleServer;
use rmcp::model::{
    BooleanSchema, ElicitRequest, ElicitRequestParams, ElicitResult, ElicitationAction, ElicitationSchema,
    ErrorData, InputRequest, InputRequests, InputRequiredResult, InputResponses, JsonObject,
    RequestStateCodec, SealOptions,
};
use rmcp::service::RequestContext;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use url::Url;

/// The one key of our input requests, and the one field of our forms.
pub(super) const CONFIRM: &str = "confirm";
/// How long a sealed question can be answered.
const STATE_LIFE: Duration = Duration::from_secs(300);
/// How long a call waits for a form. Clients give a call up after 60 s as a rule: our answer should be before that.
const PATIENCE: Duration = Duration::from_secs(55);
/// As [`PATIENCE`], less what the call then waits for the page itself.
const PAGE_PATIENCE: Duration = Duration::from_secs(30);
/// Questions that one server has open at once, and of one token; beyond, the caller gets an approval to ask for.
const OPEN_QUESTIONS: usize = 32;
const OPEN_OF_ONE: usize = 8;
/// Calls that wait at once for a page to be filled in; beyond, the answer does not wait.
const WAITING: usize = 24;
const WAITING_OF_ONE: usize = 8;
/// Answered questions that are remembered. Each lives for `STATE_LIFE`; beyond this number none is accepted.
const MOST_REMEMBERED: usize = 65_536;

/// What all calls of one server share: the sealing key, and which questions have been answered.
pub(super) struct Asking {
    codec: RequestStateCodec,
    answered: Mutex<HashMap<String, Instant>>,
    /// Each open question, and each call that waits for a page, holds a place among the calls at work: so there are few,
    /// and nobody has all of them.
    open: Seats,
    waiting: Seats,
    pub(super) patience: Duration,
    /// How long a call waits for a person to agree to open a page.
    pub(super) page_patience: Duration,
    pub(super) state_life: Duration,
}

/// What a sealed question says. Signed, not encrypted: nothing here is worth reading.
#[derive(Serialize, Deserialize)]
struct State {
    nonce: String,
    question: String,
    /// What was answered already, where the question is only to open a page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    answer: Option<Value>,
}

/// A person's answer that came back with its state.
struct Given {
    question: String,
    answer: Answer,
}

/// What came back for a page that the person was asked to open, with what had been answered before.
pub(super) struct Opened {
    pub answer: Value,
    pub action: ElicitationAction,
}

impl Asking {
    /// With a fresh random key: questions do not outlive the process.
    pub(super) fn new() -> Result<Self> {
        let mut key = [0u8; 32];
        getrandom::fill(&mut key).map_err(|_| internal("the operating system gave no random bytes"))?;
        Ok(Self {
            codec: RequestStateCodec::try_new(key).map_err(|_| internal("the sealing key was refused"))?,
            answered: Mutex::new(HashMap::new()),
            open: Seats::new(OPEN_QUESTIONS, OPEN_OF_ONE),
            waiting: Seats::new(WAITING, WAITING_OF_ONE),
            patience: PATIENCE,
            page_patience: PAGE_PATIENCE,
            state_life: STATE_LIFE,
        })
    }

    /// The result that asks `question` and ends this round of the call.
    pub(super) fn input_required(&self, question: &Question, binding: &[u8]) -> Result<InputRequiredResult> {
        let state = State { nonce: crate::ids::fresh(), question: digest(question), answer: None };
        self.sealed(&state, form(question)?, binding)
    }

    /// The result that asks the person to open a page, after the call did its work and came to `answer`.
    pub(super) fn page_required(
        &self,
        page: ElicitRequestParams,
        answer: Value,
        binding: &[u8],
    ) -> Result<InputRequiredResult> {
        let state = State { nonce: crate::ids::fresh(), question: String::new(), answer: Some(answer) };
        self.sealed(&state, page, binding)
    }

    fn sealed(
        &self,
        state: &State,
        request: ElicitRequestParams,
        binding: &[u8],
    ) -> Result<InputRequiredResult> {
        let sealed = self
            .codec
            .seal_json_with(state, &SealOptions::new().associated_data(binding).ttl(self.state_life))
            .map_err(|_| internal("a question could not be sealed"))?;
        let asked = InputRequest::Elicitation(ElicitRequest::new(request));
        Ok(InputRequiredResult::new(Some(InputRequests::from([(CONFIRM.to_owned(), asked)])), Some(sealed)))
    }

    /// Opens a state that came back, and uses it up if there is an answer with it.
    ///
    /// Fails with one and the same message whatever is wrong with it (M-17).
    fn given(
        &self,
        sealed: &str,
        responses: Option<&InputResponses>,
        binding: &[u8],
    ) -> Result<(Option<Given>, Option<Opened>), ErrorData> {
        let refused = || ErrorData::invalid_params("requestState is not valid for this request", None);
        let state: State = self.codec.open_json_with(sealed, binding).map_err(|_| refused())?;
        let response = responses.and_then(|all| all.get(CONFIRM)).cloned();
        let parsed: Option<ElicitResult> =
            response.as_ref().and_then(|response| serde_json::from_value(response.clone()).ok());
        if let Some(answer) = state.answer {
            // The work is done, whatever comes back: without an answer it is as if the page had been dismissed.
            let action = parsed.map_or(ElicitationAction::Cancel, |result| result.action);
            return match self.use_up(state.nonce) {
                true => Ok((None, Some(Opened { answer, action }))),
                false => Err(refused()),
            };
        }
        if response.is_none() {
            return Ok((None, None));
        }
        let answer = parsed.map_or(Answer::No, |result| read(&result));
        match self.use_up(state.nonce) {
            true => Ok((Some(Given { question: state.question, answer }), None)),
            false => Err(refused()),
        }
    }

    /// Whether this is the first time. One lock, so that of many at once one wins (M-18).
    fn use_up(&self, nonce: String) -> bool {
        let mut answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        if answered.len() >= 1024 {
            answered.retain(|_, at| at.elapsed() <= self.state_life);
        }
        answered.len() < MOST_REMEMBERED && answered.insert(nonce, Instant::now()).is_none()
    }
}

/// What a state is bound to besides its own content. Each part carries its length, so that none runs into the next.
pub(super) fn binding(caller: &Caller, tool: &str, arguments: &JsonObject) -> Vec<u8> {
    let digest = crate::ops::confirm::digest(tool, arguments);
    let mut bound = Vec::with_capacity(256);
    for part in [
        caller.org.as_str().as_bytes(),
        caller.user.as_str().as_bytes(),
        caller.door.as_str().as_bytes(),
        caller.consumer.as_bytes(),
        caller.token.as_bytes(),
        b"tools/call",
        tool.as_bytes(),
        &digest,
    ] {
        bound.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bound.extend_from_slice(part);
    }
    bound
}

/// What an answer is an answer to. Figures do not count: uses and times move by themselves, and a credential in use
/// could never be agreed about.
fn digest(question: &Question) -> String {
    let text: String = question.text().chars().filter(|c| !c.is_ascii_digit()).collect();
    data_encoding::BASE64URL_NOPAD.encode(&Sha256::digest(text))
}

/// One required yes-or-no without a default, so that nothing is agreed to by pressing return.
fn form(question: &Question) -> Result<ElicitRequestParams> {
    let schema = ElicitationSchema::builder()
        .required_bool_property(CONFIRM, |_| {
            BooleanSchema::new().title("Go ahead").description("Yes only if you agree to the above.")
        })
        .build()
        .map_err(|_| internal("the form's schema was refused"))?;
    Ok(ElicitRequestParams::FormElicitationParams {
        meta: None,
        message: question.text(),
        requested_schema: schema,
    })
}

/// Closing a form without a choice is no answer: what then follows is the same as without a form.
fn read(result: &ElicitResult) -> Answer {
    let ticked = || {
        result.content.as_ref().and_then(|c| c.get(CONFIRM)).and_then(serde_json::Value::as_bool)
            == Some(true)
    };
    match result.action {
        ElicitationAction::Accept if ticked() => Answer::Yes,
        ElicitationAction::Accept | ElicitationAction::Decline => Answer::No,
        _ => Answer::CannotAsk,
    }
}

/// Whether this request belongs to the era in which each request carries its own protocol version.
pub(super) fn is_per_request(cx: &RequestContext<RoleServer>) -> bool {
    cx.protocol_version().is_some_and(|version| !version.has_initialize())
}

/// Whether the client shows forms. An empty `elicitation: {}` means that it does.
fn shows_forms(cx: &RequestContext<RoleServer>) -> bool {
    cx.client_capabilities().and_then(|c| c.elicitation).is_some_and(|e| e.form.is_some() || e.url.is_none())
}

/// The way of asking within one call.
pub(super) struct Asker<'a> {
    asking: &'a Asking,
    cx: &'a RequestContext<RoleServer>,
    /// Ends when the connection does.
    gone: &'a CancellationToken,
    given: Option<Given>,
    /// Who asks.
    caller: &'a Caller,
    /// A page that was opened or not, after which nothing is left to run.
    pub(super) opened: Option<Opened>,
    /// Told when nobody waits for the answer any more.
    pub(super) abandoned: Notify,
}

impl<'a> Asker<'a> {
    /// Takes over what came back from an earlier round; `state` and `responses` mean nothing in the handshake era.
    ///
    /// Fails when `state` was not made for this very request.
    pub(super) fn new(
        asking: &'a Asking,
        cx: &'a RequestContext<RoleServer>,
        gone: &'a CancellationToken,
        state: Option<&str>,
        responses: Option<&InputResponses>,
        binding: &[u8],
        caller: &'a Caller,
    ) -> Result<Self, ErrorData> {
        let (given, opened) = match state {
            Some(sealed) if is_per_request(cx) => asking.given(sealed, responses, binding)?,
            _ => (None, None),
        };
        Ok(Self { asking, cx, gone, given, caller, opened, abandoned: Notify::new() })
    }

    async fn ask_now(&self, question: &Question) -> Answer {
        let Ok(_open) = self.asking.open.enter(Some(self.caller)) else { return Answer::CannotAsk };
        let Ok(form) = form(question) else { return Answer::CannotAsk };
        // From this very task: over HTTP another one's question would go to a stream that may have no reader.
        let asked = self.cx.peer.create_elicitation_with_timeout(form, Some(self.asking.patience));
        tokio::select! {
            // First, so that of a cancellation and a yes that came together the cancellation counts.
            biased;
            () = self.nobody_waits() => {
                // Nothing has happened yet: the call ends here, and asks nobody else.
                self.abandoned.notify_one();
                std::future::pending().await
            }
            answer = asked => answer.map_or(Answer::CannotAsk, |result| read(&result)),
        }
    }

    /// A place to wait for a page; `None` where enough calls do.
    pub(super) fn place_to_wait(&self) -> Option<Seat> {
        self.asking.waiting.enter(Some(self.caller)).ok()
    }

    /// Asks the client to open a page; `None` where it could not be asked, did not answer in time, or is gone.
    pub(super) async fn open_page(&self, message: &str, url: Url, id: &str) -> Option<ElicitationAction> {
        let _open = self.asking.open.enter(Some(self.caller)).ok()?;
        // From this very task, as a form is.
        let asked = self.cx.peer.elicit_url_with_timeout(message, url, id, Some(self.asking.page_patience));
        tokio::select! {
            biased;
            () = self.nobody_waits() => None,
            answer = asked => answer.ok(),
        }
    }

    async fn nobody_waits(&self) {
        tokio::select! {
            () = self.cx.ct.cancelled() => {}
            () = self.gone.cancelled() => {}
        }
    }
}

impl Confirmer for Asker<'_> {
    fn form<'b>(&'b self, question: &'b Question) -> BoxFuture<'b, Answer> {
        Box::pin(async move {
            match (&self.given, is_per_request(self.cx)) {
                // The answer counts only for the question as it was put: things may have changed since.
                (Some(given), true) if given.question == digest(question) => given.answer,
                _ if !shows_forms(self.cx) => Answer::CannotAsk,
                (_, true) => Answer::AskFirst,
                (_, false) => self.ask_now(question).await,
            }
        })
    }
}
