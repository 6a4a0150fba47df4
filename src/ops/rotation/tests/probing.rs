//! Rotations whose values are tested by the catalogue's own request, on demand and by the background pass.
use super::*;
use crate::config::File;
use crate::ops::credential::due;
use crate::services::wire::{Answered, Failure};
use futures_util::FutureExt;
use std::collections::VecDeque;
use zeroize::Zeroizing;

const HOUR_MS: i64 = 3_600_000;

/// What the service answers next, by its status; 0 breaks the connection off, and where nothing is said it is 200.
type Script = Arc<Mutex<VecDeque<u16>>>;

async fn rig(service: &str) -> (Rig, Script) {
    let mut file = File::default();
    file.tests.every_hours = 1;
    let (w, script) = (World::with(file).await, Script::default());
    let answers = script.clone();
    w.app.wire.answered_by(Box::new(move |_, _| {
        let status = answers.lock().unwrap().pop_front().unwrap_or(200);
        async move {
            match status {
                0 => Err(Failure { why: "the connection broke off", is_unsent: false }),
                status => Ok(Answered {
                    status,
                    is_json: true,
                    headers: Default::default(),
                    body: Zeroizing::new(br#"{"login":"mia"}"#.to_vec()),
                    retry_after_ms: None,
                }),
            }
        }
        .boxed()
    }));
    let new = CreateCredential {
        name: "KEY".into(),
        scope: Some(crate::model::credential::Scope::Org),
        service: Some(service.into()),
        ..CreateCredential::default()
    };
    let values = vec![("value".to_owned(), SecretBytes::copied(b"first words"))];
    let target = Target::New(Box::new(new));
    let made = enter_value(&w.app, &w.person("ada"), target, values, String::new()).await.unwrap();
    (Rig { w, service: Service::new(true, true), id: made.id, first: "first words".into() }, script)
}

fn answers(script: &Script, statuses: &[u16]) {
    script.lock().unwrap().extend(statuses);
}

/// With a second value of that service, tested as `statuses` say.
async fn verified(service: &str, statuses: &[u16]) -> (Rig, Value) {
    let (rig, script) = rig(service).await;
    rig.start().await.unwrap();
    rig.enter("second words").await.unwrap();
    answers(&script, statuses);
    let told = rig.step("verify").await.unwrap();
    (rig, told["rotation"].clone())
}

/// Lets the background pass plan a test and do it, with this answer.
async fn tested_by_itself(rig: &Rig, script: &Script, status: u16) {
    due::pass(&rig.w.app).await.unwrap();
    rig.w.clock.advance_ms(2 * HOUR_MS);
    answers(script, &[status]);
    due::pass(&rig.w.app).await.unwrap();
    assert!(script.lock().unwrap().is_empty(), "the service was asked");
}

#[tokio::test]
async fn a_new_value_is_tested_at_its_own_service_before_it_is_served() {
    let (rig, told) = verified("github", &[200, 200]).await;

    assert_eq!((told["stage"].as_str(), told["tested"].as_str()), (Some("verified"), Some("valid")));
    assert_eq!(rig.served().await, "first words");
    let uses = rig.w.log().await.iter().filter(|event| *event == "use ok").count();
    assert_eq!(uses, 2, "the new one's and, for whose account it is, the old one's");
    rig.step("promote").await.unwrap();
    assert_eq!(rig.served().await, "second words");
    assert!(rig.w.chain_is_whole().await);
}

#[tokio::test]
async fn a_new_value_that_its_service_refuses_is_not_served() {
    let (rig, told) = verified("github", &[401]).await;

    assert_eq!((told["stage"].as_str(), told["tested"].as_str()), (Some("staged"), Some("refused")));
    let asked = json!({ "rotation": rig.id, "step": "promote" });
    assert!(rig.w.call(&rig.w.caller("ada"), "advance_rotation", asked).await.is_err());
    assert_eq!(rig.served().await, "first words");
}

#[tokio::test]
async fn a_service_that_cannot_be_asked_says_nothing_against_a_value_and_a_person_decides() {
    let (rig, told) = verified("github", &[0]).await;

    assert_eq!((told["stage"].as_str(), told["tested"].as_str()), (Some("staged"), Some("could_not_check")));
    let asked = json!({ "rotation": rig.id, "step": "promote" });
    let refused = rig.w.call(&rig.w.caller("ada"), "advance_rotation", asked).await.unwrap_err();
    assert_eq!(refused.code, crate::error::Code::ApprovalRequired);
    rig.step("promote").await.unwrap();
    assert_eq!(rig.served().await, "second words");
}

#[tokio::test]
async fn a_value_that_lacks_a_permission_is_held_against_the_one_in_use() {
    for (statuses, stage, tested) in [
        ([403, 200], "staged", "scopes_missing"),
        ([403, 403], "verified", "valid"),
        ([403, 401], "staged", "limited"),
        ([403, 0], "staged", "limited"),
    ] {
        let (_, told) = verified("sendgrid", &statuses).await;

        assert_eq!(
            (told["stage"].as_str(), told["tested"].as_str()),
            (Some(stage), Some(tested)),
            "{statuses:?}"
        );
    }
}

#[tokio::test]
async fn an_old_value_that_only_lacks_a_permission_is_not_dead() {
    let (rig, script) = rig("sendgrid").await;
    rig.start().await.unwrap();
    rig.enter("second words").await.unwrap();
    rig.step("verify").await.unwrap();
    rig.step("promote").await.unwrap();
    rig.word("confirm").await.unwrap();
    answers(&script, &[403]);
    let alive = rig.word("revoke_old").await.unwrap();
    assert_eq!(alive["rotation"]["stage"], "confirmed");
    // Another word does not make it dead either: it is tested again.
    answers(&script, &[403]);
    assert_eq!(rig.word("revoke_old").await.unwrap()["rotation"]["stage"], "confirmed");

    answers(&script, &[401]);
    let dead = rig.step("revoke_old").await.unwrap();

    assert_eq!(dead["rotation"]["stage"], "old_revoked");
}

#[tokio::test]
async fn a_scheduled_test_that_is_refused_brings_the_old_value_back_while_it_may() {
    let (rig, script) = rig("github").await;
    rig.start().await.unwrap();
    rig.enter("second words").await.unwrap();
    rig.step("verify").await.unwrap();
    rig.step("promote").await.unwrap();

    tested_by_itself(&rig, &script, 401).await;

    assert_eq!((rig.served().await.as_str(), rig.stage().await.as_str()), ("first words", "rolled_back"));
    let log = rig.w.log().await;
    assert_eq!(log[log.len() - 2..], ["roll_back_rotation ok", "test_credential failed"]);
    assert!(rig.w.chain_is_whole().await);
}

#[tokio::test]
async fn a_scheduled_test_that_is_refused_too_late_stands_in_the_way_of_a_confirmation() {
    let (rig, script) = rig("github").await;
    rig.bind("deploy").await;
    rig.start().await.unwrap();
    rig.enter("second words").await.unwrap();
    rig.step("verify").await.unwrap();
    rig.step("promote").await.unwrap();
    rig.run("deploy").await;
    rig.hours(25);

    tested_by_itself(&rig, &script, 401).await;

    let found = rig.look().await;
    assert_eq!((rig.served().await.as_str(), found["stage"].as_str()), ("second words", Some("promoted")));
    assert_eq!((&found["tested"], &found["is_confirmed"]), (&json!("refused"), &json!(false)));
}

#[tokio::test]
async fn a_scheduled_test_that_is_good_speaks_for_every_consumer_that_has_the_value() {
    let (rig, script) = rig("github").await;
    rig.bind("deploy").await;
    rig.start().await.unwrap();
    rig.enter("second words").await.unwrap();
    answers(&script, &[0]);
    rig.step("verify").await.unwrap();
    rig.step("promote").await.unwrap();
    rig.run("deploy").await;
    assert_eq!(rig.look().await["is_confirmed"], false);

    tested_by_itself(&rig, &script, 200).await;
    rig.pass().await;

    assert_eq!(rig.stage().await, "confirmed");
}

#[tokio::test]
async fn a_key_that_was_only_read_is_neither_taken_for_tested_nor_for_alive() {
    let (rig, _) = rig("ssh-key").await;
    let pair = |seed: u8| {
        let pair = ed25519_dalek::SigningKey::from_bytes(&[seed; 32]).to_keypair_bytes();
        let pair = ssh_key::private::Ed25519Keypair::from_bytes(&pair).unwrap();
        ssh_key::PrivateKey::from(pair).to_openssh(ssh_key::LineEnding::LF).unwrap().to_string()
    };
    rig.enter(&pair(1)).await.unwrap();
    rig.start().await.unwrap();
    rig.enter(&pair(2)).await.unwrap();

    let told = rig.step("verify").await.unwrap();

    assert_eq!(
        (told["rotation"]["stage"].as_str(), told["rotation"]["tested"].as_str()),
        (Some("staged"), Some("could_not_check"))
    );
    rig.step("promote").await.unwrap();
    rig.word("confirm").await.unwrap();
    assert_eq!(rig.step("revoke_old").await.unwrap()["rotation"]["stage"], "confirmed");
    assert_eq!(rig.word("revoke_old").await.unwrap()["rotation"]["stage"], "old_revoked");
}

#[tokio::test]
async fn the_old_value_is_not_ended_where_the_catalogue_s_test_refuses_the_new_one() {
    let (mut rig, script) = rig("stripe").await;
    rig.service = Service::new(true, false);
    rig.service.with(|s| s.has_no_test = true);
    let app = Arc::get_mut(&mut rig.w.app).expect("nobody else has it");
    app.drivers = drivers(&rig.service);
    rig.start().await.unwrap();
    rig.enter("second words").await.unwrap();
    rig.step("verify").await.unwrap();
    rig.step("promote").await.unwrap();
    rig.word("confirm").await.unwrap();
    answers(&script, &[401]);

    let refused = rig.step("revoke_old").await.unwrap_err();

    assert_eq!(refused.code, crate::error::Code::WrongStage);
    assert_eq!(rig.service.with(|s| s.ended), 0);
    assert_eq!(rig.stage().await, "confirmed");
    // It works again, and the old one may go.
    rig.step("revoke_old").await.unwrap();
    assert_eq!((rig.service.with(|s| s.ended), rig.stage().await.as_str()), (1, "old_revoked"));
}

#[tokio::test]
async fn words_alone_do_not_end_the_last_value_that_works_where_the_service_can_be_asked() {
    let (rig, script) = rig("github").await;
    rig.start().await.unwrap();
    rig.enter("mistyped words").await.unwrap();
    answers(&script, &[0]);
    rig.step("verify").await.unwrap();
    rig.step("promote").await.unwrap();
    rig.word("confirm").await.unwrap();
    answers(&script, &[0]);
    let unknown = rig.step("revoke_old").await.unwrap();
    assert_eq!(unknown["rotation"]["stage"], "confirmed");

    let refused = rig.word("revoke_old").await.unwrap_err();

    assert_eq!(refused.code, crate::error::Code::WrongStage);
    assert!(refused.next_step().contains("step verify") && refused.next_step().contains("roll_back"));
    assert_eq!(rig.kept(Stage::Previous).await, ["first words"]);
    // Once the service has said that it takes it, a word about the old one has to do.
    answers(&script, &[200]);
    rig.step("verify").await.unwrap();
    assert_eq!(rig.word("revoke_old").await.unwrap()["rotation"]["stage"], "old_revoked");
}

#[tokio::test]
async fn a_consumer_that_works_shows_as_much_as_a_test_and_a_person_s_word_for_it_does_not() {
    let (rig, script) = rig("github").await;
    rig.bind("deploy").await;
    rig.start().await.unwrap();
    rig.enter("second words").await.unwrap();
    answers(&script, &[0]);
    rig.step("verify").await.unwrap();
    rig.step("promote").await.unwrap();
    rig.run("deploy").await;
    rig.word("confirm").await.unwrap();
    answers(&script, &[0]);
    rig.step("revoke_old").await.unwrap();
    assert_eq!(rig.word("revoke_old").await.unwrap_err().code, crate::error::Code::WrongStage);

    rig.report("deploy", "ok").await;

    assert_eq!(rig.word("revoke_old").await.unwrap()["rotation"]["stage"], "old_revoked");
}

#[tokio::test]
async fn a_driver_does_not_end_the_old_value_either_where_nothing_showed_that_the_new_one_works() {
    let (mut rig, script) = rig("stripe").await;
    rig.service = Service::new(true, false);
    rig.service.with(|s| s.has_no_test = true);
    Arc::get_mut(&mut rig.w.app).expect("nobody else has it").drivers = drivers(&rig.service);
    rig.start().await.unwrap();
    rig.enter("mistyped words").await.unwrap();
    answers(&script, &[0]);
    rig.step("verify").await.unwrap();
    rig.step("promote").await.unwrap();
    rig.word("confirm").await.unwrap();
    answers(&script, &[0]);

    let refused = rig.step("revoke_old").await.unwrap_err();

    assert_eq!(refused.code, crate::error::Code::WrongStage);
    assert_eq!((rig.service.with(|s| s.ended), rig.stage().await.as_str()), (0, "confirmed"));
    answers(&script, &[200]);
    rig.step("revoke_old").await.unwrap();
    assert_eq!(rig.service.with(|s| s.ended), 1);
}

#[tokio::test]
async fn the_service_that_is_asked_does_not_change_while_a_value_is_replaced() {
    let (rig, _) = rig("github").await;
    let elsewhere = |service: &str| json!({ "credential": rig.id, "service": service });
    rig.start().await.unwrap();
    rig.enter("second words").await.unwrap();

    for service in ["", "stripe"] {
        let refused = rig.call("update_credential", elsewhere(service)).await.unwrap_err();
        assert_eq!(refused.code, crate::error::Code::WrongStage, "{service}");
    }
    // What else describes it may.
    rig.call("update_credential", json!({ "credential": rig.id, "description": "Deploys of the shop." }))
        .await
        .unwrap();
    rig.call("abort_rotation", json!({ "rotation": rig.id })).await.unwrap();
    rig.call("update_credential", elsewhere("")).await.unwrap();
}
