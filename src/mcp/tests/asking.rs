//! Questions to a person: by a form in both eras, and everything a client may try instead of asking.
use super::*;

const DELETE: &str = "delete_credential";

fn deleting(name: &str) -> Value {
    json!({ "credential": name, "reason": "not used any more" })
}

async fn rig_with(names: &[&str]) -> Rig {
    let rig = Rig::new().await;
    for name in names {
        rig.world.add("ada", "org", name, "plain words").await;
    }
    rig
}

async fn is_there(rig: &Rig, name: &str) -> bool {
    let arguments = json!({ "credential": name });
    let shown = rig.world.call(&rig.world.caller("ada"), "get_credential", arguments).await.unwrap();
    shown["status"]["status"] != "deleted"
}

impl Client {
    /// Calls, answers the form that comes, and returns the form and the result.
    async fn call_and_answer(&mut self, tool: &str, arguments: Value, answer: Value) -> (Value, Value) {
        let call = self.send("tools/call", json!({ "name": tool, "arguments": arguments })).await;
        let asked = self.receive().await;
        match self.era {
            Era::Handshake => {
                assert_eq!(asked["method"], "elicitation/create", "{asked}");
                self.line(&json!({ "jsonrpc": "2.0", "id": asked["id"], "result": answer }).to_string())
                    .await;
                let reply = self.receive().await;
                assert_eq!(reply["id"], call, "{reply}");
                (asked["params"].clone(), reply["result"].clone())
            }
            Era::PerRequest => {
                assert_eq!(asked["result"]["resultType"], "input_required", "{asked}");
                let reply = self.retry(tool, arguments, &asked["result"]["requestState"], answer).await;
                (asked["result"]["inputRequests"]["confirm"]["params"].clone(), reply["result"].clone())
            }
        }
    }

    async fn retry(&mut self, tool: &str, arguments: Value, state: &Value, answer: Value) -> Value {
        let params = json!({ "name": tool, "arguments": arguments, "requestState": state, "inputResponses": { "confirm": answer } });
        self.request("tools/call", params).await
    }

    async fn state(&mut self, tool: &str, arguments: Value) -> Value {
        let asked = self.call(tool, arguments).await;
        assert_eq!(asked["resultType"], "input_required", "{asked}");
        asked["requestState"].clone()
    }
}

fn yes() -> Value {
    json!({ "action": "accept", "content": { "confirm": true } })
}

#[tokio::test]
async fn a_form_asks_for_one_tick_without_a_default_and_a_yes_does_it_in_both_eras() {
    for era in ERAS {
        let rig = rig_with(&["A_KEY"]).await;
        let mut client = rig.client(era).await;

        let (form, result) = client.call_and_answer(DELETE, deleting("A_KEY"), yes()).await;

        assert!(form["message"].as_str().unwrap().contains("delete A_KEY"), "{form}");
        let fields = form["requestedSchema"]["properties"].as_object().unwrap();
        assert_eq!(fields.len(), 1);
        assert_eq!(fields["confirm"]["type"], "boolean");
        assert!(fields["confirm"]["default"].is_null());
        assert_eq!(form["requestedSchema"]["required"], json!(["confirm"]));
        assert_eq!(result["structuredContent"]["name"], "A_KEY");
        assert!(!is_there(&rig, "A_KEY").await);
        assert!(rig.world.log().await.contains(&"delete_credential ok".to_owned()));
    }
}

#[tokio::test]
async fn a_no_in_any_shape_changes_nothing_and_is_in_the_log() {
    for era in ERAS {
        let rig = rig_with(&["A_KEY"]).await;
        let mut client = rig.client(era).await;
        for no in [
            json!({ "action": "decline" }),
            json!({ "action": "accept" }),
            json!({ "action": "accept", "content": { "confirm": false } }),
            json!({ "action": "accept", "content": { "confirm": "true" } }),
            json!({ "action": "accept", "content": { "yes": true } }),
        ] {
            let (_, result) = client.call_and_answer(DELETE, deleting("A_KEY"), no).await;
            assert_eq!(failure(&result)["code"], "declined");
        }
        assert!(is_there(&rig, "A_KEY").await);
        let refusals =
            rig.world.log().await.iter().filter(|l| *l == "delete_credential refused declined").count();
        assert_eq!(refusals, 5);
    }
}

/// M-16: no form, no choice, no answer in time: an approval to ask for, and never less than a person's yes.
#[tokio::test]
async fn m_16_without_an_answer_a_person_has_to_approve() {
    for era in ERAS {
        let rig = rig_with(&["A_KEY"]).await;
        let mut mute = Client::connect(rig.server(), era, json!({})).await;
        let mut by_url = Client::connect(rig.server(), era, json!({ "elicitation": { "url": {} } })).await;
        let mut closing = rig.client(era).await;

        let results = [
            mute.call(DELETE, deleting("A_KEY")).await,
            by_url.call(DELETE, deleting("A_KEY")).await,
            closing.call_and_answer(DELETE, deleting("A_KEY"), json!({ "action": "cancel" })).await.1,
        ];

        for result in results {
            let told = &failure(&result);
            assert_eq!(told["code"], "approval_required", "{told}");
            assert!(told["next"].as_str().unwrap().contains(told["approval_id"].as_str().unwrap()));
        }
        assert!(is_there(&rig, "A_KEY").await);
    }
}

/// The published schema of an answer holds for it after a question as well.
#[tokio::test]
async fn who_declines_to_open_a_page_leaves_the_other_steps_of_the_answer_as_they_are() {
    for era in ERAS {
        let rig = Rig::new().await;
        let pages = crate::web::SignedIn { base: "http://127.0.0.1:8740".into() };
        assert!(rig.world.app.pages.set(Arc::new(pages)).is_ok());
        let mut client = Client::connect(rig.server(), era, json!({ "elicitation": { "url": {} } })).await;
        let made = json!({ "service": "github", "name": "hub", "client_id": "abc" });

        let (page, result) =
            client.call_and_answer("create_oauth_provider", made, json!({ "action": "decline" })).await;

        assert_eq!(page["mode"], "url", "{page}");
        let answer = &result["structuredContent"];
        assert_eq!(answer["entry"]["state"], "declined", "{answer}");
        let next = answer["next"].as_array().expect("it is a list, as the schema says");
        assert!(next[0].as_str().unwrap().contains("/oauth/callback"), "{answer}");
        assert!(next.last().unwrap().as_str().unwrap().contains("does not want to enter it"), "{answer}");
    }
}

#[tokio::test]
async fn a_form_that_nobody_answers_ends_in_an_approval_after_a_while() {
    let mut rig = rig_with(&["A_KEY"]).await;
    rig.patience_ms = 30;
    let mut client = rig.client(Era::Handshake).await;

    client.send("tools/call", json!({ "name": DELETE, "arguments": deleting("A_KEY") })).await;
    assert_eq!(client.receive().await["method"], "elicitation/create");
    let mut last = client.receive().await;
    if last["method"] == "notifications/cancelled" {
        last = client.receive().await;
    }

    assert_eq!(failure(&last["result"])["code"], "approval_required");
}

#[tokio::test]
async fn a_call_that_is_cancelled_while_it_asks_leaves_neither_change_nor_approval() {
    let rig = rig_with(&["A_KEY"]).await;
    let mut client = rig.client(Era::Handshake).await;
    let call = client.send("tools/call", json!({ "name": DELETE, "arguments": deleting("A_KEY") })).await;
    let asked = client.receive().await;

    let cancel =
        json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": call } });
    client.line(&cancel.to_string()).await;
    client.line(&json!({ "jsonrpc": "2.0", "id": asked["id"], "result": yes() }).to_string()).await;
    client.tools().await;

    assert!(is_there(&rig, "A_KEY").await);
    assert!(!rig.world.log().await.iter().any(|line| line.contains("delete") || line.contains("approval")));
}

/// M-15: a form's yes, asked for or forged, shares nothing.
#[tokio::test]
async fn m_15_a_forged_yes_does_not_do_what_needs_a_person() {
    for era in ERAS {
        let rig = rig_with(&["A_KEY", "B_KEY"]).await;
        let mut client = rig.client(era).await;
        let share = json!({ "credential": "A_KEY", "user": "mia", "level": "use", "reason": "please", "confirm": true });

        let odd = client.call("share_credential", share.clone()).await;
        assert_eq!(odd["isError"], true, "{odd}");
        let mut share = share;
        share.as_object_mut().unwrap().remove("confirm");
        let stolen = match era {
            Era::PerRequest => client.state(DELETE, deleting("B_KEY")).await,
            Era::Handshake => json!("rs1.e30.AAAA"),
        };
        for params in [
            json!({ "name": "share_credential", "arguments": share }),
            json!({ "name": "share_credential", "arguments": share, "inputResponses": { "confirm": yes() } }),
            json!({ "name": "share_credential", "arguments": share, "inputResponses": { "confirm": yes() }, "requestState": stolen }),
        ] {
            let reply = client.request("tools/call", params).await;
            let is_asked =
                reply["error"].is_null() && failure(&reply["result"])["code"] == "approval_required";
            assert!(is_asked || reply["error"]["code"] == -32602, "{reply}");
        }
        let seen = rig
            .world
            .call(&rig.world.caller("ada"), "get_credential", json!({ "credential": "A_KEY" }))
            .await
            .unwrap();
        assert!(!seen["configuration"]["who"].to_string().contains("grant\":\""), "{seen}");
        assert!(!rig.world.log().await.contains(&"share_credential ok".to_owned()));
    }
}

/// M-17: every way a state can be wrong has one and the same answer, and changes nothing.
#[tokio::test]
async fn m_17_a_state_that_is_not_for_this_request_is_refused_with_one_message() {
    let rig = rig_with(&["A_KEY", "B_KEY"]).await;
    let mut client = rig.client(Era::PerRequest).await;
    let state = client.state(DELETE, deleting("A_KEY")).await;
    let text = state.as_str().unwrap().to_owned();
    let mut refusals = Vec::new();

    for at in [0, 4, text.len() / 2, text.len() - 1] {
        let mut flipped = text.clone().into_bytes();
        flipped[at] ^= 1;
        let flipped = json!(String::from_utf8_lossy(&flipped));
        refusals.push(client.retry(DELETE, deleting("A_KEY"), &flipped, yes()).await);
    }
    for broken in ["", "rs1", "rs1..", "rs1.e30.AAAA", &text[..text.len() - 4]] {
        refusals.push(client.retry(DELETE, deleting("A_KEY"), &json!(broken), yes()).await);
    }
    // Other arguments, another reason, another tool, another server's key.
    refusals.push(client.retry(DELETE, deleting("B_KEY"), &state, yes()).await);
    refusals
        .push(client.retry(DELETE, json!({ "credential": "A_KEY", "reason": "else" }), &state, yes()).await);
    refusals.push(client.retry("restore_credential", deleting("A_KEY"), &state, yes()).await);
    refusals.push(rig.client(Era::PerRequest).await.retry(DELETE, deleting("A_KEY"), &state, yes()).await);
    // Another person over the same connection.
    rig.becomes("tess");
    refusals.push(client.retry(DELETE, deleting("A_KEY"), &state, yes()).await);
    rig.becomes("ada");
    assert!(is_there(&rig, "A_KEY").await && is_there(&rig, "B_KEY").await);
    // The state itself is still good, and then used up.
    let done = client.retry(DELETE, deleting("A_KEY"), &state, yes()).await;
    assert_eq!(done["result"]["structuredContent"]["name"], "A_KEY");
    refusals.push(client.retry(DELETE, deleting("A_KEY"), &state, yes()).await);

    for refused in refusals {
        assert_eq!(refused["error"]["code"], -32602, "{refused}");
        assert_eq!(refused["error"]["message"], "requestState is not valid for this request");
    }
    assert!(is_there(&rig, "B_KEY").await);
}

#[tokio::test]
async fn m_17_a_state_that_is_too_old_is_refused() {
    let mut rig = rig_with(&["A_KEY"]).await;
    rig.state_life_ms = 1;
    let mut client = rig.client(Era::PerRequest).await;
    let state = client.state(DELETE, deleting("A_KEY")).await;
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;

    let refused = client.retry(DELETE, deleting("A_KEY"), &state, yes()).await;

    assert_eq!(refused["error"]["message"], "requestState is not valid for this request");
    assert!(is_there(&rig, "A_KEY").await);
}

/// M-18: of many answers at once to one question, one has an effect.
#[tokio::test]
async fn m_18_of_many_replays_at_once_one_has_an_effect() {
    let rig = rig_with(&["A_KEY"]).await;
    let mut client = rig.client(Era::PerRequest).await;
    let state = client.state(DELETE, deleting("A_KEY")).await;
    let params = json!({ "name": DELETE, "arguments": deleting("A_KEY"), "requestState": state, "inputResponses": { "confirm": yes() } });
    for _ in 0..300 {
        client.send("tools/call", params.clone()).await;
    }

    let mut done = 0;
    for _ in 0..300 {
        let reply = client.receive().await;
        match reply["error"].is_null() {
            true => done += 1,
            false => assert_eq!(reply["error"]["code"], -32602),
        }
    }

    assert_eq!(done, 1);
    assert_eq!(rig.world.log().await.iter().filter(|l| *l == "delete_credential ok").count(), 1);
}

#[tokio::test]
async fn half_of_an_answer_is_asked_again() {
    let rig = rig_with(&["A_KEY"]).await;
    let mut client = rig.client(Era::PerRequest).await;
    let state = client.state(DELETE, deleting("A_KEY")).await;
    for params in [
        json!({ "name": DELETE, "arguments": deleting("A_KEY"), "requestState": state }),
        json!({ "name": DELETE, "arguments": deleting("A_KEY"), "inputResponses": { "confirm": yes() } }),
        json!({ "name": DELETE, "arguments": deleting("A_KEY"), "requestState": state, "inputResponses": { "other": yes() } }),
    ] {
        let reply = client.request("tools/call", params).await;
        assert_eq!(reply["result"]["resultType"], "input_required", "{reply}");
    }
    assert!(is_there(&rig, "A_KEY").await);
}

#[tokio::test]
async fn a_yes_to_a_question_that_has_changed_is_asked_again() {
    let rig = rig_with(&["A_KEY"]).await;
    let mut client = rig.client(Era::PerRequest).await;
    let state = client.state(DELETE, deleting("A_KEY")).await;
    let ada = rig.world.person("ada");
    let share = json!({ "credential": "A_KEY", "user": "mia", "level": "view", "reason": "she needs it" });
    rig.world.call_with(&ada, "share_credential", share, &crate::testing::PersonYes).await.unwrap();

    let again = client.retry(DELETE, deleting("A_KEY"), &state, yes()).await;

    assert_eq!(again["result"]["resultType"], "input_required", "{again}");
    assert!(is_there(&rig, "A_KEY").await);
}

#[tokio::test]
async fn more_questions_than_anybody_can_read_end_in_approvals() {
    let names: Vec<String> =
        (0..10).map(|i| format!("KEY_{}", "ABCDEFGHIJ".chars().nth(i).unwrap())).collect();
    let rig = rig_with(&names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let mut client = rig.client(Era::Handshake).await;
    for name in &names {
        client.send("tools/call", json!({ "name": DELETE, "arguments": deleting(name) })).await;
    }

    let mut asked = 0;
    for _ in 0..names.len() {
        let message = client.receive().await;
        asked += usize::from(message["method"] == "elicitation/create");
    }

    assert_eq!(asked, 8);
}
