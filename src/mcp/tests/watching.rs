//! Subscriptions: told to whoever may read it, of what changed, and no more than its address.
use super::*;
use crate::ids::{CredentialId, OrgId};
use std::time::Duration;

fn uri(id: &str) -> String {
    format!("unsaid://credentials/{id}")
}

fn changed(rig: &Rig, id: &str) {
    rig.world.app.changed(&rig.world.org, &CredentialId::from(id));
}

/// A client that is subscribed to these; in the later era, with what was acknowledged.
async fn subscribed(rig: &Rig, era: Era, uris: &[String]) -> (Client, Vec<String>) {
    let mut client = rig.client(era).await;
    if era == Era::Handshake {
        for uri in uris {
            let reply = client.request("resources/subscribe", json!({ "uri": uri })).await;
            assert!(reply["error"].is_null(), "{reply}");
        }
        return (client, uris.to_vec());
    }
    client.send("subscriptions/listen", json!({ "notifications": { "resourceSubscriptions": uris } })).await;
    let told = client.receive().await;
    assert_eq!(told["method"], "notifications/subscriptions/acknowledged", "{told}");
    let accepted = &told["params"]["notifications"]["resourceSubscriptions"];
    // The acknowledgment comes before the changes are listened to.
    tokio::time::sleep(Duration::from_millis(100)).await;
    (client, serde_json::from_value(accepted.clone()).unwrap_or_default())
}

/// The addresses that are told, until nothing comes any more.
async fn heard(client: &mut Client) -> Vec<String> {
    let mut all = Vec::new();
    while let Ok(told) = tokio::time::timeout(Duration::from_millis(300), client.receive()).await {
        assert_eq!(told["method"], "notifications/resources/updated", "{told}");
        let params = told["params"].as_object().unwrap();
        assert!(params.keys().all(|key| key == "uri" || key == "_meta"), "{told}");
        all.push(params["uri"].as_str().unwrap().to_owned());
    }
    all
}

#[tokio::test]
async fn a_change_is_told_to_who_subscribed_and_nothing_else_is() {
    let rig = Rig::new().await;
    let id = rig.world.add("ada", "org", "STRIPE_KEY", "plain words").await;
    let other = rig.world.add("ada", "org", "OTHER_KEY", "plain words").await;
    for era in ERAS {
        let (mut client, _) = subscribed(&rig, era, &[uri(&id)]).await;

        changed(&rig, &other);
        changed(&rig, &id);

        assert_eq!(heard(&mut client).await, [uri(&id)], "{era:?}");
    }
}

#[tokio::test]
async fn the_inventory_changes_with_everything_that_the_caller_may_see() {
    let rig = Rig::new().await;
    let id = rig.world.add("ada", "org", "STRIPE_KEY", "plain words").await;
    let hidden = rig.world.add("max", "personal", "MINE", "plain words").await;
    for era in ERAS {
        let (mut client, _) = subscribed(&rig, era, &["unsaid://inventory".to_owned()]).await;

        changed(&rig, &hidden);
        assert!(heard(&mut client).await.is_empty(), "{era:?}");
        changed(&rig, &id);
        assert_eq!(heard(&mut client).await, ["unsaid://inventory"], "{era:?}");
    }
}

#[tokio::test]
async fn z_30_a_right_that_is_taken_away_ends_what_is_heard() {
    let rig = Rig::new().await;
    let id = rig.world.add("tess", "core", "RED_KEY", "plain words").await;
    for era in ERAS {
        rig.becomes("tess");
        let (mut client, _) = subscribed(&rig, era, &[uri(&id)]).await;
        rig.becomes("max");
        changed(&rig, &id);
        assert!(heard(&mut client).await.is_empty(), "{era:?}");

        rig.becomes("tess");
        changed(&rig, &id);
        assert_eq!(heard(&mut client).await, [uri(&id)], "{era:?}");
    }
}

#[tokio::test]
async fn z_02_what_may_not_be_read_is_subscribed_to_as_what_does_not_exist() {
    let rig = Rig::new().await;
    let id = rig.world.add("max", "personal", "MINE", "plain words").await;
    let mut client = rig.client(Era::Handshake).await;
    let mut refused = async |id: &str| {
        let mut reply = client.request("resources/subscribe", json!({ "uri": uri(id) })).await;
        assert!(reply["result"].is_null(), "{reply}");
        reply["error"].take().to_string().replace(id, "it")
    };
    assert_eq!(refused(&id).await, refused("01ARZ3NDEKTSV4RRFFQ69G5FAV").await);

    let (mut client, _) = subscribed(&rig, Era::PerRequest, &[uri(&id)]).await;
    changed(&rig, &id);
    assert!(heard(&mut client).await.is_empty());
}

#[tokio::test]
async fn z_03_a_change_in_another_org_is_told_to_nobody_here() {
    let rig = Rig::new().await;
    let id = rig.world.add("ada", "org", "STRIPE_KEY", "plain words").await;
    for era in ERAS {
        let (mut client, _) = subscribed(&rig, era, &["unsaid://inventory".to_owned()]).await;
        let theirs = CredentialId::from("01ARZ3NDEKTSV4RRFFQ69G5FAV");
        rig.world.app.changed(&rig.world.other_org, &theirs);
        // An id of ours does not make it ours.
        rig.world.app.changed(&OrgId::from("globex"), &CredentialId::from(id.as_str()));

        assert!(heard(&mut client).await.is_empty(), "{era:?}");
    }
}

#[tokio::test]
async fn what_does_not_tell_its_changes_says_so_and_what_is_ended_is_silent() {
    let rig = Rig::new().await;
    let id = rig.world.add("ada", "org", "STRIPE_KEY", "plain words").await;
    let (mut client, _) = subscribed(&rig, Era::Handshake, &[uri(&id)]).await;
    for wrong in ["unsaid://policy", "unsaid://services/stripe", "unsaid://nothing", "file:///etc/passwd", ""]
    {
        let reply = client.request("resources/subscribe", json!({ "uri": wrong })).await;
        assert!(reply["error"]["code"].is_i64(), "{wrong}: {reply}");
    }
    let reply = client.request("resources/unsubscribe", json!({ "uri": uri(&id) })).await;
    assert!(reply["error"].is_null(), "{reply}");
    changed(&rig, &id);
    assert!(heard(&mut client).await.is_empty());

    let wrong = ["unsaid://policy", "file:///etc/passwd"].map(str::to_owned);
    let (_, accepted) = subscribed(&rig, Era::PerRequest, &wrong).await;
    assert!(accepted.is_empty(), "{accepted:?}");
}

#[tokio::test]
async fn one_connection_has_no_more_than_a_hundred() {
    let rig = Rig::new().await;
    let mut client = rig.client(Era::Handshake).await;
    for n in 0..=crate::mcp::watching::MOST {
        let id = rig.world.add("ada", "org", &format!("KEY_{n}"), "plain words").await;
        let reply = client.request("resources/subscribe", json!({ "uri": uri(&id) })).await;
        assert_eq!(reply["error"].is_null(), n < crate::mcp::watching::MOST, "{n}: {reply}");
    }
}
