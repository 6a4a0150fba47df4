//! Warnings and notices: told once, signed, repeated until they arrive, and nothing of a value in them.
use super::*;
use crate::secret::SecretBytes;
use crate::services::wire::{Answered, Failure};
use crate::testing::World;
use futures_util::FutureExt;
use serde_json::Value;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use zeroize::Zeroizing;

/// A receiver: what it was sent, and the status that it answers with; 0 is not there.
#[derive(Default)]
struct Receiver {
    got: Mutex<Vec<Value>>,
    status: AtomicU16,
}

/// A vault that posts notices for its first org, in the name of ada.
async fn world() -> (World, Arc<Receiver>) {
    let mut file = File::default();
    file.identity.org = "acme".into();
    file.identity.user = "user-acme-ada".into();
    file.notices.webhook = Some("https://hooks.example.com/unsaid".into());
    file.notices.webhook_secret = Some("HOOK_SECRET".into());
    let w = World::with(file).await;
    let receiver = Arc::new(Receiver::default());
    receiver.status.store(200, Ordering::SeqCst);
    let there = receiver.clone();
    w.app.wire.answered_by(Box::new(move |_, body| {
        let status = there.status.load(Ordering::SeqCst);
        if status == 200 {
            there.got.lock().unwrap().push(serde_json::from_str(&body).unwrap());
        }
        async move {
            match status {
                0 => Err(Failure { why: "no connection", is_unsent: true }),
                status => Ok(Answered {
                    status,
                    is_json: false,
                    headers: Default::default(),
                    body: Zeroizing::new(Vec::new()),
                    retry_after_ms: None,
                }),
            }
        }
        .boxed()
    }));
    w.add("ada", "org", "HOOK_SECRET", "words").await;
    (w, receiver)
}

async fn ending_in(w: &World, place: &str, name: &str, days: i64) -> String {
    let id = w.add("ada", place, name, "plain words").await;
    let ends = serde_json::json!({"credential": id, "expires_at": w.app.now().plus_days(days)});
    w.call(&w.person("ada"), "update_credential", ends).await.unwrap();
    id
}

async fn pass(w: &World) {
    warn(&w.app).await.unwrap();
    send_due(&w.app).await.unwrap();
}

#[tokio::test]
async fn an_end_is_told_of_at_thirty_fourteen_seven_and_one_days_once_each() {
    let (w, receiver) = world().await;
    ending_in(&w, "org", "KEY", 40).await;
    let mut told = Vec::new();
    for _ in 0..42 {
        pass(&w).await;
        pass(&w).await;
        told.extend(receiver.got.lock().unwrap().drain(..).map(|body| body["days_left"].as_i64().unwrap()));
        w.clock.advance_ms(DAY_MS);
    }

    assert_eq!(told, [30, 14, 7, 1]);
    assert!(w.chain_is_whole().await);
}

#[tokio::test]
async fn what_is_first_seen_late_is_told_of_once_and_another_end_anew() {
    let (w, receiver) = world().await;
    let id = ending_in(&w, "org", "KEY", 5).await;
    pass(&w).await;
    pass(&w).await;
    let got: Vec<Value> = receiver.got.lock().unwrap().drain(..).collect();
    assert_eq!(got.len(), 1);
    assert_eq!(
        (&got[0]["type"], &got[0]["credential"]["name"]),
        (&"credential.expiring".into(), &"KEY".into())
    );
    assert_eq!(got[0]["days_left"], 5);

    let ends = serde_json::json!({"credential": id, "expires_at": w.app.now().plus_days(6)});
    w.call(&w.person("ada"), "update_credential", ends).await.unwrap();
    pass(&w).await;
    assert_eq!(receiver.got.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_value_that_is_to_be_replaced_by_its_policy_is_told_of_ahead_once_each() {
    let (w, receiver) = world().await;
    let policy = async |arguments: Value| {
        let by = w.person("ada");
        w.call_with(&by, "set_rotation_policy", arguments, &crate::testing::PersonYes).await.unwrap()
    };
    policy(serde_json::json!({"days": 90})).await;
    policy(serde_json::json!({"service": "github", "days": 20})).await;
    w.add("ada", "org", "PLAIN", "plain words").await;
    w.add("ada", "personal", "MINE", "words of mine").await;
    for (name, days) in [("NEVER", Some(0)), ("OWN", Some(40)), ("OF_SERVICE", None)] {
        let id = w.add("ada", "org", name, "other words").await;
        if let Some(days) = days {
            policy(serde_json::json!({"credential": id, "days": days})).await;
        } else {
            let of = serde_json::json!({"credential": id, "service": "github"});
            w.call(&w.person("ada"), "update_credential", of).await.unwrap();
        }
    }
    let mut told = Vec::new();
    for _ in 0..92 {
        pass(&w).await;
        pass(&w).await;
        for body in receiver.got.lock().unwrap().drain(..) {
            assert_eq!(body["type"], "rotation.due");
            assert!(body["expires_at"].is_null() && !body["due_at"].is_null(), "{body}");
            assert!(body["next"].as_str().unwrap().contains("unsaid rotate "), "{body}");
            let name = body["credential"]["name"].as_str().unwrap().to_owned();
            told.push((name, body["days_left"].as_i64().unwrap()));
        }
        w.clock.advance_ms(DAY_MS);
    }

    let of = |wanted: &str| {
        told.iter().filter(|(name, _)| name == wanted).map(|(_, days)| *days).collect::<Vec<_>>()
    };
    assert_eq!(of("PLAIN"), [30, 14, 7, 1]);
    assert_eq!(of("OWN"), [14, 7, 1], "not in the first half of its life");
    assert_eq!(of("OF_SERVICE"), [7, 1]);
    assert_eq!(of("NEVER"), [0i64; 0]);
    assert_eq!(of("MINE"), [0i64; 0]);
    assert!(w.chain_is_whole().await);
}

#[tokio::test]
async fn what_is_personal_and_what_is_another_orgs_is_told_to_nobody_else() {
    let (w, receiver) = world().await;
    ending_in(&w, "personal", "MINE", 5).await;
    let mut changes = w.app.changes.subscribe();
    let theirs =
        serde_json::json!({"name": "THEIRS", "scope": "org", "expires_at": w.app.now().plus_days(5)});
    w.call(&w.stranger("ada"), "create_credential", theirs).await.unwrap();

    pass(&w).await;

    assert!(receiver.got.lock().unwrap().is_empty());
    let mut orgs = vec![changes.try_recv().unwrap().org, changes.try_recv().unwrap().org];
    orgs.sort_by(|a, b| a.as_str().cmp(b.as_str()));
    assert_eq!(orgs, [w.org.clone(), w.other_org.clone()]);
}

#[tokio::test]
async fn a_notice_that_does_not_arrive_is_tried_ever_later_and_its_attempts_are_in_the_log() {
    let (w, receiver) = world().await;
    ending_in(&w, "org", "KEY", 20).await;
    receiver.status.store(0, Ordering::SeqCst);
    pass(&w).await;
    pass(&w).await;
    let attempts = |log: Vec<String>| log.iter().filter(|e| *e == "send_notice started").count();
    assert_eq!(attempts(w.log().await), 1, "not again before its time");

    w.clock.advance_ms(60_000);
    receiver.status.store(500, Ordering::SeqCst);
    pass(&w).await;
    w.clock.advance_ms(300_000);
    receiver.status.store(200, Ordering::SeqCst);
    pass(&w).await;
    w.clock.advance_ms(DAY_MS);
    pass(&w).await;

    assert_eq!(receiver.got.lock().unwrap().len(), 1);
    let log = w.log().await;
    assert_eq!(log.iter().filter(|e| *e == "send_notice failed").count(), 2);
    assert_eq!((attempts(log.clone()), log.iter().filter(|e| *e == "send_notice ok").count()), (3, 1));
    assert!(log.iter().any(|e| e == "use ok"), "its secret's uses are told");
}

#[tokio::test]
async fn a_notice_whose_secret_is_not_there_is_not_sent_unsigned_and_is_given_up_in_the_end() {
    let (w, receiver) = world().await;
    let gone = serde_json::json!({"credential": "HOOK_SECRET", "reason": "a test"});
    w.call_with(&w.person("ada"), "delete_credential", gone, &crate::testing::FormYes).await.unwrap();
    ending_in(&w, "org", "KEY", 20).await;

    for _ in 0..12 {
        pass(&w).await;
        w.clock.advance_ms(DAY_MS / 2);
    }

    assert!(receiver.got.lock().unwrap().is_empty());
    let tried = w.log().await.iter().filter(|e| *e == "send_notice started").count();
    assert_eq!(tried, 8);
}

#[tokio::test]
async fn nothing_of_a_value_is_in_a_notice() {
    let (w, receiver) = world().await;
    let id = ending_in(&w, "org", "KEY", 5).await;
    let target = crate::ops::credential::value::Target::Existing(id);
    let values = vec![("value".to_owned(), SecretBytes::copied(b"plain words"))];
    crate::ops::credential::value::enter_value(&w.app, &w.person("ada"), target, values, String::new())
        .await
        .unwrap();

    pass(&w).await;

    let got = receiver.got.lock().unwrap();
    assert_eq!(got.len(), 1);
    assert!(!got[0].to_string().contains("plain words"));
}

#[tokio::test]
async fn the_use_of_a_canary_is_told_once_and_no_model_reads_of_it() {
    let (w, receiver) = world().await;
    w.add("ada", "org", "CANARY_KEY", "a dead value").await;
    w.call(&w.person("ada"), "mark_canary", serde_json::json!({"credential": "CANARY_KEY"})).await.unwrap();
    let wanted = || crate::ops::hand_over::HandOver {
        names: vec!["CANARY_KEY".into()],
        command: "curl".into(),
        ..Default::default()
    };
    for _ in 0..2 {
        crate::ops::hand_over::hand_over(&w.app, &w.person("mia"), wanted()).await.unwrap();
    }

    pass(&w).await;

    let got: Vec<Value> = receiver.got.lock().unwrap().drain(..).collect();
    assert_eq!(got.len(), 1, "the same again is counted in its alert");
    assert_eq!(
        (&got[0]["type"], &got[0]["credential"]["name"]),
        (&"canary.used".into(), &"CANARY_KEY".into())
    );
    assert!(!got[0].to_string().contains("a dead value"));
    let read =
        async |caller| w.call(&caller, "search_audit_log", serde_json::json!({})).await.unwrap().to_string();
    assert!(!read(w.caller("ada")).await.contains("canary"));
    assert!(read(w.person("ada")).await.contains("send_canary_notice"));
}

fn settings(w: &mut World) -> &mut File {
    &mut Arc::get_mut(&mut w.app).expect("nothing else runs yet").config.file
}

async fn unsent(w: &World) -> Vec<&'static str> {
    let file = w.app.config.file.clone();
    let found = w.app.store.read(move |tx| missing(tx, &file)).await.unwrap();
    found.into_iter().map(|one| one.setting).collect()
}

/// Deletes the org's credential that signs, and lets `place` have one of its name.
async fn only_in(w: &World, who: &str, place: &str) -> String {
    let gone = serde_json::json!({"credential": "HOOK_SECRET", "reason": "a test"});
    w.call_with(&w.person("ada"), "delete_credential", gone, &crate::testing::FormYes).await.unwrap();
    w.add(who, place, "HOOK_SECRET", "other words").await
}

#[tokio::test]
async fn a_credential_of_the_same_name_in_a_team_or_of_a_person_silences_nothing() {
    let (w, receiver) = world().await;
    w.add("tom", "core", "HOOK_SECRET", "other words").await;
    w.add("ada", "personal", "HOOK_SECRET", "more words").await;
    ending_in(&w, "org", "KEY", 5).await;

    pass(&w).await;

    assert_eq!(receiver.got.lock().unwrap().len(), 1);
    assert!(unsent(&w).await.is_empty());
    assert!(w.log().await.iter().any(|e| e == "send_notice ok"));
}

#[tokio::test]
async fn a_name_is_taken_from_the_org_alone_and_its_absence_is_told() {
    for (who, place) in [("tom", "core"), ("ada", "personal")] {
        let (w, receiver) = world().await;
        ending_in(&w, "org", "KEY", 5).await;
        only_in(&w, who, place).await;

        pass(&w).await;

        assert!(receiver.got.lock().unwrap().is_empty(), "{who} {place}");
        assert_eq!(unsent(&w).await, ["webhook_secret"], "{who} {place}");
        assert!(w.log().await.iter().any(|e| e == "send_notice failed"));
    }
}

#[tokio::test]
async fn a_scope_before_the_name_does_not_lead_out_of_the_org() {
    for name in ["team/HOOK_SECRET", "personal/HOOK_SECRET"] {
        let (mut w, receiver) = world().await;
        w.add("tom", "core", "HOOK_SECRET", "other words").await;
        w.add("ada", "personal", "HOOK_SECRET", "more words").await;
        settings(&mut w).notices.webhook_secret = Some(name.into());
        ending_in(&w, "org", "KEY", 5).await;

        pass(&w).await;

        assert!(receiver.got.lock().unwrap().is_empty(), "{name}");
        assert_eq!(unsent(&w).await, ["webhook_secret"], "{name}");
    }
}

#[tokio::test]
async fn an_id_is_taken_wherever_it_is_if_the_user_of_identity_may_use_it() {
    let (mut w, receiver) = world().await;
    let id = only_in(&w, "ada", "personal").await;
    let theirs = w.add("tom", "core", "HOOK_SECRET", "other words").await;
    settings(&mut w).notices.webhook_secret = Some(theirs);
    assert_eq!(unsent(&w).await, ["webhook_secret"], "an admin of the org does not use what a team has");
    settings(&mut w).notices.webhook_secret = Some(id);
    ending_in(&w, "org", "KEY", 5).await;

    pass(&w).await;

    assert_eq!(receiver.got.lock().unwrap().len(), 1);
    assert!(unsent(&w).await.is_empty());
}

#[tokio::test]
async fn what_no_notice_can_be_sent_with_is_told_by_doctor_and_what_is_not_wanted_is_not() {
    let (mut w, _) = world().await;
    settings(&mut w).notices.mail_to = vec!["ops@example.com".into()];
    assert_eq!(unsent(&w).await, ["mail_credential"], "it is not set");
    settings(&mut w).notices.mail_credential = Some("NOTICE_MAIL".into());
    assert_eq!(unsent(&w).await, ["mail_credential"], "it is not there");
    let empty = serde_json::json!({"name": "NOTICE_MAIL", "scope": "org"});
    w.call(&w.person("ada"), "create_credential", empty).await.unwrap();
    assert_eq!(unsent(&w).await, ["mail_credential"], "it has no value");
    settings(&mut w).notices.mail_to.clear();
    assert!(unsent(&w).await.is_empty(), "no mail is sent");

    settings(&mut w).notices.webhook_secret = Some("NONE".into());
    let file = w.app.config.file.clone();
    let told = w.app.store.read(move |tx| crate::ops::lifecycle::checks::notices(tx, &file)).await.unwrap();

    assert_eq!(told.len(), 1);
    assert_eq!(told[0].level, crate::ops::lifecycle::doctor::Level::Warn);
    assert!(told[0].what.contains("webhook_secret") && told[0].next.contains("unsaid.toml"));
    let found = crate::ops::lifecycle::doctor::doctor(&w.app.config, w.clock.clone(), false, None).await;
    assert!(found.iter().any(|check| check.what == told[0].what), "{found:?}");
    settings(&mut w).notices = Default::default();
    assert!(unsent(&w).await.is_empty(), "nothing is sent at all");
}
