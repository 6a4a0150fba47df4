//! Sends a person to the page where a value is entered: by the client's own way of opening addresses where it has one
//! (URL mode, from 2025-11-25), and by the link in the result in any case.
//!
//! An accept means that the person agreed to open the page, not that they entered anything (MCP, elicitation). So the
//! call waits a while for the page itself, and then answers with how things stand; whoever asks later sees the rest.
use super::asking::{Asker, is_per_request};
use crate::app::App;
use crate::ids::EntryId;
use crate::model::access::Caller;
use crate::ops::entry::{Offer, state_of, withdraw};
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
    /// What the answer says of it as a step to take.
    step: String,
    /// The same in a terminal.
    command: String,
    /// What gives a new link, as one may ask for it.
    renewal: &'static str,
}

impl Errand {
    /// The errand of this answer, if it has one.
    pub fn of(answer: &Value) -> Option<Self> {
        // The `entry` of an answer that only reads says how a link stands: that is no offer, and sends nobody.
        let offer: Offer = serde_json::from_value(answer.get("entry")?.clone()).ok()?;
        let text = |path: &str| answer.pointer(path).and_then(Value::as_str);
        let step = offer.told();
        let (name, command, renewal) = match (text("/name"), text("/provider/name")) {
            (Some(name), _) => {
                let other = text("/next").and_then(|next| next.strip_prefix(step.as_str()));
                let command = text("/command").or_else(|| command_in(other?)).map(str::to_owned);
                let command = command.unwrap_or_else(|| format!("unsaid set {name}"));
                (name, command, "Call set_credential_value for a new one, or ask")
            }
            // No tool gives another link for a client secret.
            (None, Some(name)) => (name, format!("unsaid provider secret {name}"), "Ask"),
            (None, None) => return None,
        };
        let code = match &offer.code {
            Some(code) => format!(" The page asks for this code: {code}"),
            None => String::new(),
        };
        Some(Self {
            message: format!(
                "Enter {name} on a page that no model reads. It works once, for ten minutes.{code}"
            ),
            id: offer.id,
            url: offer.url,
            step,
            command,
            renewal,
        })
    }

    /// Writes into `answer` how the link stands, and what is to be done now in the place of the step that sent the
    /// person to it.
    fn settled(&self, state: &str, answer: &mut Value) {
        let told = self.told(state);
        answer["next"] = match answer["next"].take() {
            Value::Array(steps) => {
                let is_over = |step: &str| {
                    // What was entered on the page is not to be entered in a terminal as well.
                    step == self.step || state == "done" && step.contains(&format!("`{}`", self.command))
                };
                steps
                    .into_iter()
                    .filter(|step| !step.as_str().is_some_and(is_over))
                    .chain([Value::from(told)])
                    .collect()
            }
            _ => told.into(),
        };
        answer["entry"]["state"] = state.into();
    }

    fn told(&self, state: &str) -> String {
        let (command, renewal) = (&self.command, self.renewal);
        match state {
            "done" => "The person entered it. Nothing more is to be done for it here.".into(),
            "declined" => format!(
                "The person does not want to enter it now. Ask them what they would rather do; `{command}` in a terminal does the same."
            ),
            // They declined, and that could not be written down.
            "open" => format!(
                "The person does not want to open the page now; until its time is over the link still works. Ask them what they would rather do; `{command}` in a terminal does the same."
            ),
            state => format!("The link is {state}. {renewal} the person to run `{command}` in a terminal."),
        }
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

/// The command in a step that ends by naming it, which may quote an account of anybody's making.
fn command_in(step: &str) -> Option<&str> {
    let from = step.find("`unsaid ")? + 1;
    step.get(from..step.rfind("` in a terminal")?)
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
        errand.settled(&before, answer);
        return;
    }
    match action {
        ElicitationAction::Accept => {
            let state = match asker.place_to_wait() {
                Some(_place) => wait(app, caller, cx, errand).await,
                None => "open".to_owned(),
            };
            match state.as_str() {
                // They may be typing yet: what is to be done stays as it is.
                "open" => answer["entry"]["state"] = "open".into(),
                state => errand.settled(state, answer),
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
            errand.settled(&state, answer);
        }
        // Dismissed: the link stands in the answer.
        _ => {}
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::Pages;
    use crate::error::Result;
    use crate::testing::World;
    use futures_util::future::BoxFuture;

    /// Pages that are nowhere, and ask for no code.
    struct Nowhere;

    impl Pages for Nowhere {
        fn base(&self) -> BoxFuture<'_, Result<String>> {
            Box::pin(async { Ok("http://127.0.0.1:1".to_owned()) })
        }
        fn code(&self, _: &str) -> Option<String> {
            None
        }
        fn callback(&self) -> Option<String> {
            None
        }
    }

    async fn world() -> World {
        let w = World::new().await;
        assert!(w.app.pages.set(Arc::new(Nowhere)).is_ok());
        w
    }

    /// What `next` says once the link of this answer stands like that.
    fn settled(answer: &Value, state: &str) -> Value {
        let mut answer = answer.clone();
        Errand::of(&answer).unwrap().settled(state, &mut answer);
        assert_eq!(answer["entry"]["state"], state);
        answer["next"].take()
    }

    #[tokio::test]
    async fn the_steps_of_a_provider_stay_a_list_and_only_what_the_link_was_for_is_said_anew() {
        let w = world().await;
        let arguments = json!({ "service": "github", "name": "hub", "client_id": "abc" });
        let made = w.call(&w.caller("ada"), "create_oauth_provider", arguments).await.unwrap();

        for (state, told, steps) in [
            ("done", "The person entered it", 2),
            ("declined", "`unsaid provider secret hub`", 3),
            ("open", "`unsaid provider secret hub`", 3),
            ("blocked", "`unsaid provider secret hub`", 3),
        ] {
            let next = settled(&made, state);

            let next: Vec<&str> = next.as_array().unwrap().iter().filter_map(Value::as_str).collect();
            assert_eq!(next.len(), steps, "{state}: {next:?}");
            assert!(next[0].contains("callback URL") && next[steps - 1].contains(told), "{state}: {next:?}");
            let all = next.concat();
            assert!(!all.contains("http://127.0.0.1:1") && !all.contains("set_credential_value"), "{next:?}");
        }
    }

    #[tokio::test]
    async fn the_command_that_is_named_is_the_one_that_reaches_the_credential() {
        let w = world().await;
        let arguments = json!({ "name": "A_KEY", "scope": "org", "account": "a `b` in a terminal" });
        let made = w.call(&w.caller("ada"), "create_credential", arguments).await.unwrap();
        let again = w
            .call(&w.caller("ada"), "set_credential_value", json!({ "credential": made["id"] }))
            .await
            .unwrap();
        let command = again["command"].as_str().unwrap();
        assert!(command.contains("--scope org --account"), "{command}");

        for answer in [&made, &again] {
            let declined = settled(answer, "declined");
            let expired = settled(answer, "expired");

            for next in [&declined, &expired] {
                assert!(next.as_str().unwrap().contains(&format!("`{command}`")), "{next}");
            }
            assert!(expired.as_str().unwrap().contains("Call set_credential_value"), "{expired}");
        }
    }

    #[tokio::test]
    async fn a_link_that_could_not_be_closed_is_not_called_over() {
        let w = world().await;
        let made = w.call(&w.caller("mia"), "create_credential", json!({ "name": "A_KEY" })).await.unwrap();

        let next = settled(&made, "open");

        assert!(next.as_str().unwrap().contains("still works"), "{next}");
        assert!(!next.as_str().unwrap().contains("new one"), "{next}");
    }
}
