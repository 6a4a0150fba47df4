//! What the server answers: passed on as lines, or told as an error.
use super::events::{Event, Events, too_large};
use super::message::{self, Spoken, passed_on, refusal};
use super::{Bridge, Got, Keys, MOST_MESSAGE};
use crate::error::{Code, Error, Result};
use crate::inject::broker::is_packed;
use crate::services::upstream::Answered;
use http::{Method, StatusCode, header};
use http_body::Body as _;
use hyper::body::Bytes;
use serde_json::Value;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

/// How often a stream that broke off before its answer came is asked for again.
const MOST_RESUMED: usize = 5;
/// How long a stream is not asked for again, where the server does not say.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// The longest session id that is kept, bytes.
const MOST_ID: usize = 1024;

/// The requests of one message that have no answer yet.
pub(super) struct Owed {
    ids: Vec<Value>,
    is_initialize: bool,
    /// Told when the server has it: at the head of its answer, and for a request once nothing is owed.
    done: Option<oneshot::Sender<()>>,
}

impl Owed {
    pub fn new(spoken: &Spoken, done: oneshot::Sender<()>) -> Self {
        Self { ids: spoken.ids.clone(), is_initialize: spoken.is_initialize(), done: Some(done) }
    }

    fn tell(&mut self) {
        if self.ids.is_empty()
            && let Some(done) = self.done.take()
        {
            // Who waited has gone on.
            let _ = done.send(());
        }
    }
}

/// What a body is, as its head says.
enum Kind {
    Nothing,
    Json,
    Events,
    Other,
}

fn kind<U>(got: &Got<U>) -> Kind {
    let headers = got.response.headers();
    let said = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let said = said.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match said.as_str() {
        _ if got.response.body().is_end_stream() => Kind::Nothing,
        _ if matches!(got.response.status(), StatusCode::ACCEPTED | StatusCode::NO_CONTENT) => Kind::Nothing,
        "application/json" => Kind::Json,
        "text/event-stream" => Kind::Events,
        _ => Kind::Other,
    }
}

impl<K: Keys> Bridge<K> {
    /// Sends one message, and passes on whatever is answered; an error is the answer to what is still owed.
    ///
    /// Returns why, where nothing is owed that could be told so.
    pub(super) async fn exchange(
        self: Arc<Self>,
        line: Bytes,
        spoken: Spoken,
        done: oneshot::Sender<()>,
    ) -> Result<()> {
        let mut owed = Owed::new(&spoken, done);
        let answered = self.answered(line, &spoken, &mut owed).await;
        let Err(e) = answered else { return Ok(()) };
        for id in &owed.ids {
            self.say(refusal(id, &e)).await;
        }
        match owed.ids.is_empty() {
            true => Err(e),
            false => Ok(()),
        }
    }

    async fn answered(self: &Arc<Self>, line: Bytes, spoken: &Spoken, owed: &mut Owed) -> Result<()> {
        let mut got = self.ask(Method::POST, Some(spoken), line, None).await?;
        if !got.response.status().is_success() {
            return self.turned_down(got, owed).await;
        }
        if spoken.is_initialize() {
            let id = got.response.headers().get("mcp-session-id");
            let id = id.filter(|id| id.len() <= MOST_ID).cloned();
            self.session.lock().unwrap_or_else(PoisonError::into_inner).id = id;
        }
        owed.tell();
        if is_packed(got.response.headers()) {
            got.ending.failed("its answer is packed");
            return Err(self.unusable("it is packed, which was not asked for"));
        }
        match kind(&got) {
            Kind::Nothing => got.response.body_mut().go_home(),
            Kind::Json => {
                let body = self.whole(&mut got).await?;
                if body.trim_ascii().is_empty() && owed.ids.is_empty() {
                    return Ok(());
                }
                self.pass(body, owed, &mut got).await?;
            }
            Kind::Events => return self.follow(got, owed).await,
            Kind::Other if owed.ids.is_empty() => {}
            Kind::Other => return Err(self.unusable("it is neither JSON nor a stream of events")),
        }
        got.ending.well();
        match owed.ids.is_empty() {
            true => Ok(()),
            false => Err(self.unusable("nothing answers the request")),
        }
    }

    /// A status that is no success. What the protocol itself says is passed on; nothing else of the body is.
    async fn turned_down(&self, mut got: Got<K::Use>, owed: &mut Owed) -> Result<()> {
        let (status, host) = (got.response.status(), self.host());
        let failure = match status.as_u16() {
            401 => self.refused(&got.remedy),
            403 => Error::new(Code::NotAllowed, format!("{host} does not let this credential do that (status 403)"))
                .next("Ask whoever gave it for the rights that are missing, or bind another credential."),
            404 if got.had_session => {
                *self.session.lock().unwrap_or_else(PoisonError::into_inner) = super::Session::default();
                Error::new(Code::Unreachable, format!("{host} has ended the session (status 404)"))
                    .next("Start this server again in its client.")
            }
            300..=399 => Error::new(
                Code::Unreachable,
                format!("{host} sends the request elsewhere (status {}), which is not followed", status.as_u16()),
            )
            .next("Where the server has moved, a person gives its new address: `unsaid consumer edit NAME --url URL`."),
            429 => Error::new(Code::TooManyRequests, format!("{host} was asked too often (status 429)")),
            500..=599 => Error::new(
                Code::Unreachable,
                format!("{host} failed (status {})", status.as_u16()),
            )
            .next("Try again in a moment: the fault is the server's."),
            other => Error::new(Code::Unreachable, format!("{host} answered with status {other}"))
                .next("Check the server's address, and that it speaks streamable HTTP."),
        };
        let is_ours = matches!(status.as_u16(), 401 | 403 | 300..=399 | 500..=599)
            || (status == StatusCode::NOT_FOUND && got.had_session);
        if !is_ours
            && matches!(kind(&got), Kind::Json)
            && !is_packed(got.response.headers())
            && let [id] = &owed.ids[..]
            && let Ok(body) = self.whole(&mut got).await
            && let Some(told) = passed_on(id, &body)
        {
            let told = self.masked(told, &mut got);
            owed.ids.clear();
            self.say(told).await;
            owed.tell();
            got.ending.well();
            return Ok(());
        }
        got.ending.well();
        Err(failure)
    }

    fn unusable(&self, why: &str) -> Error {
        Error::new(Code::Unreachable, format!("the answer of {} cannot be used: {why}", self.host()))
            .next("Check the server's address, and that it speaks streamable HTTP.")
    }

    fn broken_off(&self) -> Error {
        Error::new(Code::Unreachable, format!("{} broke its answer off", self.host()))
    }

    /// The body, at most as large as a message may be.
    async fn whole(&self, got: &mut Got<K::Use>) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        while let Some(piece) = next(got.response.body_mut()).await.map_err(|_| self.broken_off())? {
            if body.len() + piece.len() > MOST_MESSAGE {
                return Err(too_large());
            }
            body.extend_from_slice(&piece);
        }
        Ok(body)
    }

    /// Passes one message on, on a line of its own.
    async fn pass(&self, mut body: Vec<u8>, owed: &mut Owed, got: &mut Got<K::Use>) -> Result<()> {
        let said: Value = serde_json::from_slice(&body).map_err(|_| self.unusable("it is no JSON"))?;
        let is_message = |one: &Value| one.is_object();
        let all = match &said {
            Value::Array(all) => &all[..],
            one => std::slice::from_ref(one),
        };
        if all.is_empty() || !all.iter().all(is_message) {
            return Err(self.unusable("it is no message of the protocol"));
        }
        for one in all.iter().filter(|one| one.get("method").is_none()) {
            owed.ids.retain(|id| Some(id) != one.get("id"));
            let version = one["result"]["protocolVersion"].as_str().filter(|_| owed.is_initialize);
            if let Some(version) = version.and_then(message::version) {
                self.session.lock().unwrap_or_else(PoisonError::into_inner).version = Some(version);
            }
        }
        // A line end within a JSON document is white space between two tokens.
        body.iter_mut().filter(|b| matches!(**b, b'\n' | b'\r')).for_each(|b| *b = b' ');
        let line = self.masked(body, got);
        self.say(line).await;
        owed.tell();
        Ok(())
    }

    /// A line for the client; it may be gone.
    pub(super) async fn say(&self, mut line: Vec<u8>) {
        line.push(b'\n');
        // Who reads has gone, and we end soon.
        let _ = self.said.send(line).await;
    }

    /// Passes on what a stream says until it ends; where it ends before its answer came, it is asked for again.
    async fn follow(self: &Arc<Self>, mut got: Got<K::Use>, owed: &mut Owed) -> Result<()> {
        let mut events = Events::default();
        let mut resumed = 0;
        loop {
            self.read(&mut got, &mut events, owed).await?;
            got.ending.well();
            let last = events.last_id.clone();
            let again = last.filter(|_| !owed.ids.is_empty() && resumed < MOST_RESUMED);
            let Some(last) = again else {
                return if owed.ids.is_empty() { Ok(()) } else { Err(self.broken_off()) };
            };
            resumed += 1;
            tokio::time::sleep(events.retry.unwrap_or(PAUSE)).await;
            got = self.ask(Method::GET, None, Bytes::new(), Some(&last)).await?;
            if !got.response.status().is_success() || !matches!(kind(&got), Kind::Events) {
                got.ending.well();
                return Err(self.broken_off());
            }
            events = Events::after(Some(last), events.retry);
        }
    }

    /// To the end of this connection; says whether there was a message.
    async fn read(&self, got: &mut Got<K::Use>, events: &mut Events, owed: &mut Owed) -> Result<bool> {
        let mut has_said = false;
        if is_packed(got.response.headers()) {
            return Err(self.unusable("it is packed, which was not asked for"));
        }
        // One that breaks off is one that ended.
        while let Ok(Some(piece)) = next(got.response.body_mut()).await {
            for Event { data } in events.push(&piece)? {
                self.pass(data, owed, got).await?;
                has_said = true;
            }
        }
        Ok(has_said)
    }

    /// What the server says without being asked, where it does.
    pub(super) async fn listen(self: Arc<Self>) {
        let (mut last_id, mut pause): (Option<String>, Duration) = (None, PAUSE);
        let mut owed = Owed { ids: Vec::new(), is_initialize: false, done: None };
        loop {
            match self.ask(Method::GET, None, Bytes::new(), last_id.as_deref()).await {
                Ok(mut got) if got.response.status().is_success() && matches!(kind(&got), Kind::Events) => {
                    let mut events = Events::after(last_id.take(), None);
                    if let Ok(true) = self.read(&mut got, &mut events, &mut owed).await {
                        pause = PAUSE;
                    }
                    got.ending.well();
                    last_id = events.last_id;
                    pause = pause.max(events.retry.unwrap_or_default());
                }
                // It has none (405), or not for us; it is not asked again and again.
                Ok(got) if !got.response.status().is_server_error() => return got.ending.well(),
                Ok(got) => got.ending.well(),
                Err(e) if e.code == Code::Unreachable => {}
                Err(_) => return,
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Ends the session at the server, which need not know how.
    pub(super) async fn end(self: &Arc<Self>) {
        if self.session().id.is_some()
            && let Ok(got) = self.ask(Method::DELETE, None, Bytes::new(), None).await
        {
            got.ending.well();
        }
    }
}

async fn next(body: &mut Answered) -> Result<Option<Bytes>, hyper::Error> {
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await {
        if let Ok(piece) = frame?.into_data() {
            return Ok(Some(piece));
        }
    }
    Ok(None)
}
