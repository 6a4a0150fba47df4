//! Sends a person to the page where a value is entered: by the client's own way of opening addresses where it has one
//! (URL mode, from 2025-11-25), and by the link in the result in any case.
//!
//! An accept means that the person agreed to open the page, not that they entered anything (MCP, elicitation). So the
//! call waits a while for the page itself, and then answers with how things stand; whoever asks later sees the rest.
use super::asking::{Asker, is_per_request};
use crate::app::App;
use crate::ids::EntryId;
use crate::model::access::Caller;
use crate::ops::entry::{state_of, withdraw};
use rmcp::RoleServer;
use rmcp::model::{
    CustomNotification, ElicitRequestParams, ElicitationAction, ProgressNotificationParam, ProtocolVersion,
    ServerNotification,
};
use rmcp::service::{Peer, RequestContext};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// How long a call waits for the page once the person agreed to open it. Clients give a call up after 60 s.
const PATIENCE: Duration = Duration::from_secs(20);
const EVERY: Duration = Duration::from_millis(300);

/// Where an answer sends a person.
pub(super) struct Errand {
    pub id: EntryId,
    url: String,
    message: String,
}

impl Errand {
    /// The errand of this answer, if it has one.
    pub fn of(answer: &Value) -> Option<Self> {
        let entry = answer.get("entry")?;
        let text = |name: &str| entry.get(name).and_then(Value::as_str).map(str::to_owned);
        let name = answer.get("name").or(answer.pointer("/provider/name")).and_then(Value::as_str)?;
        let code = match text("code") {
            Some(code) => format!(" The page asks for this code: {code}"),
            None => String::new(),
        };
        Some(Self {
            id: EntryId(text("id")?),
            url: text("url")?,
            message: format!(
                "Enter {name} on a page that no model reads. It works once, for ten minutes.{code}"
            ),
        })
    }

    /// What the client is asked.
    pub fn params(&self, is_per_request: bool) -> ElicitRequestParams {
        ElicitRequestParams::UrlElicitationParams {
            meta: None,
            message: self.message.clone(),
            url: self.url.clone(),
            // The newer era has no such field.
            elicitation_id: if is_per_request { String::new() } else { self.id.0.clone() },
        }
    }
}

/// Whether this client opens addresses for its user.
pub(super) fn opens_addresses(cx: &RequestContext<RoleServer>) -> bool {
    let knows = cx.protocol_version().is_some_and(|version| version >= ProtocolVersion::V_2025_11_25);
    knows && cx.client_capabilities().and_then(|c| c.elicitation).is_some_and(|e| e.url.is_some())
}

/// Asks the client to open the page within this call (handshake era), and waits a while.
///
/// Returns the answer with how things stand. A client that fails, declines or does not answer loses nothing: the link
/// stands in the answer, unless the person declined.
pub(super) async fn send(
    app: &Arc<App>,
    caller: &Caller,
    asker: &Asker<'_>,
    cx: &RequestContext<RoleServer>,
    errand: &Errand,
    mut answer: Value,
) -> Value {
    let Ok(url) = Url::parse(&errand.url) else { return answer };
    if is_per_request(cx) || !opens_addresses(cx) {
        return answer;
    }
    let Some(action) = asker.open_page(&errand.message, url, errand.id.as_str()).await else { return answer };
    settle(app, caller, asker, cx, errand, action, &mut answer).await;
    answer
}

/// Goes on once the person has agreed to open the page, or has not.
pub(super) async fn settle(
    app: &Arc<App>,
    caller: &Caller,
    asker: &Asker<'_>,
    cx: &RequestContext<RoleServer>,
    errand: &Errand,
    action: ElicitationAction,
    answer: &mut Value,
) {
    // The page may have been filled in before the question was answered: then that is what counts.
    let before = standing(app, caller, errand).await;
    if before != "open" {
        answer["next"] = told(&before, answer).into();
        answer["entry"]["state"] = before.into();
        return;
    }
    match action {
        ElicitationAction::Accept => {
            let state = match asker.place_to_wait() {
                Some(_place) => wait(app, caller, cx, errand).await,
                None => "open".to_owned(),
            };
            let is_final = state != "open";
            answer["entry"]["state"] = state.clone().into();
            if is_final {
                answer["next"] = told(&state, answer).into();
            }
            if !is_per_request(cx) {
                let (app, caller, id, peer) =
                    (app.clone(), caller.clone(), errand.id.clone(), cx.peer.clone());
                tokio::spawn(async move { complete(app, caller, id, peer).await });
            }
        }
        ElicitationAction::Decline => {
            let state = match withdraw(app, caller, &errand.id).await {
                Ok(()) => "declined".to_owned(),
                // It was closed another way at the same moment.
                Err(_) => standing(app, caller, errand).await,
            };
            answer["next"] = told(&state, answer).into();
            answer["entry"]["state"] = state.into();
        }
        // Dismissed: the link stands in the answer.
        _ => {}
    }
}

fn told(state: &str, answer: &Value) -> String {
    let command = answer.get("command").and_then(Value::as_str).unwrap_or("unsaid set NAME");
    match state {
        "done" => "The person entered it. Nothing more is to be done for it here.".into(),
        "declined" => format!(
            "The person does not want to enter it now. Ask them what they would rather do; `{command}` in a terminal does the same."
        ),
        state => format!(
            "The link is {state}. Call set_credential_value for a new one, or ask the person to run `{command}`."
        ),
    }
}

/// How the link stands; `open` where it cannot be asked about for a moment.
async fn standing(app: &Arc<App>, caller: &Caller, errand: &Errand) -> String {
    match state_of(app, &caller.org, &errand.id).await {
        Ok(Some(status)) => status.state,
        _ => "open".to_owned(),
    }
}

/// How the link stands after a while, or as soon as it is final.
async fn wait(app: &Arc<App>, caller: &Caller, cx: &RequestContext<RoleServer>, errand: &Errand) -> String {
    let began = tokio::time::Instant::now();
    let token = cx.meta.get_progress_token();
    let mut told = 0;
    loop {
        let state = standing(app, caller, errand).await;
        if state != "open" || began.elapsed() >= PATIENCE || cx.ct.is_cancelled() {
            return state;
        }
        if let Some(token) = &token
            && began.elapsed().as_secs() / 5 >= told
        {
            told += 1;
            let progress = ProgressNotificationParam::new(token.clone(), told as f64)
                .with_message("waiting for the person to enter it on the page");
            // Whoever does not listen to progress misses nothing.
            let _ = cx.peer.notify_progress(progress).await;
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// Tells the client that the page is done with, once it is (`notifications/elicitation/complete`).
async fn complete(app: Arc<App>, caller: Caller, id: EntryId, peer: Peer<RoleServer>) {
    loop {
        match state_of(&app, &caller.org, &id).await {
            Ok(Some(status)) if status.state == "open" => {}
            Ok(_) => break,
            Err(e) => tracing::debug!(code = e.code.name(), "a link could not be looked after"),
        }
        if peer.is_transport_closed() {
            return;
        }
        tokio::time::sleep(EVERY * 3).await;
    }
    let params = json!({ "elicitationId": id.as_str() });
    let done = CustomNotification::new("notifications/elicitation/complete", Some(params));
    // A client that has gone needs to know nothing.
    let _ = peer.send_notification(ServerNotification::CustomNotification(done)).await;
}
