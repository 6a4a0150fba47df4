//! Tests of credentials through the operation: what is recorded, kept, refused, and told afterwards.
use crate::clock::Millis;
use crate::error::Code;
use crate::services::wire::{Answered, Failure};
use crate::testing::World;
use futures_util::FutureExt;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use zeroize::Zeroizing;

/// A service that answers with this status, and counts how often it is asked; 0 breaks the connection off.
#[derive(Default)]
struct Service {
    status: AtomicU16,
    asked: AtomicUsize,
}

async fn world(status: u16) -> (World, Arc<Service>) {
    world_with(crate::config::File::default(), status).await
}

async fn world_with(file: crate::config::File, status: u16) -> (World, Arc<Service>) {
    let w = World::with(file).await;
    let service = Arc::new(Service::default());
    service.status.store(status, Ordering::SeqCst);
    let there = service.clone();
    w.app.wire.answered_by(Box::new(move |_, _| {
        there.asked.fetch_add(1, Ordering::SeqCst);
        let status = there.status.load(Ordering::SeqCst);
        async move {
            match status {
                0 => Err(Failure { why: "the connection broke off", is_unsent: false }),
                status => Ok(Answered {
                    status,
                    is_json: true,
                    headers: Default::default(),
                    body: Zeroizing::new(br#"{"login":"mia","secret":"nothing"}"#.to_vec()),
                    retry_after_ms: None,
                }),
            }
        }
        .boxed()
    }));
    w.add("ada", "org", "GITHUB_TOKEN", &value()).await;
    (w, service)
}

fn value() -> String {
    ["plain", "words"].concat()
}

async fn test(w: &World, who: &str) -> Value {
    w.call(&w.caller(who), "test_credential", json!({"credential": "GITHUB_TOKEN"})).await.unwrap()
}

async fn shown(w: &World) -> Value {
    w.call(&w.caller("ada"), "get_credential", json!({"credential": "GITHUB_TOKEN"})).await.unwrap()
}

#[tokio::test]
async fn a_test_tells_the_account_is_kept_and_has_its_use_in_the_log_before_it() {
    let (w, service) = world(200).await;

    let answer = test(&w, "mia").await;

    assert_eq!((answer["verdict"].as_str(), answer["account"].as_str()), (Some("valid"), Some("mia")));
    assert_eq!(service.asked.load(Ordering::SeqCst), 1);
    let log = w.log().await;
    assert_eq!(log[log.len() - 2..], ["use ok", "test_credential ok"]);
    let shown = shown(&w).await;
    assert_eq!(shown["configuration"]["last_test"]["verdict"], "valid");
    assert_eq!(shown["configuration"]["last_test"]["version"], 1);
    assert_eq!((&shown["status"]["status"], &shown["configuration"]["uses"]), (&json!("active"), &json!(0)));
    assert!(w.chain_is_whole().await);
}

#[tokio::test]
async fn a_refusal_is_told_until_another_value_is_entered_and_a_hiccup_is_not() {
    let (w, service) = world(401).await;
    assert_eq!(test(&w, "ada").await["verdict"], "refused");
    let status = shown(&w).await["status"].clone();
    assert_eq!(
        (&status["status"], &status["reasons"]),
        (&json!("needs_attention"), &json!(["probe_refused"]))
    );
    let listed =
        w.call(&w.caller("ada"), "list_credentials", json!({"status": "needs_attention"})).await.unwrap();
    assert_eq!(listed["credentials"][0]["name"], "GITHUB_TOKEN");

    let values = vec![("value".to_owned(), crate::secret::SecretBytes::copied(b"other"))];
    let id = status_id(&w).await;
    let target = super::value::Target::Existing(id);
    super::value::enter_value(&w.app, &w.person("ada"), target, values, String::new()).await.unwrap();
    assert_eq!(shown(&w).await["status"]["status"], "active");

    service.status.store(0, Ordering::SeqCst);
    for expected in [json!([]), json!([]), json!(["probe_unreachable"])] {
        assert_eq!(test(&w, "ada").await["verdict"], "could_not_check");
        let status = shown(&w).await["status"].clone();
        assert_eq!((&status["status"], &status["reasons"]), (&json!("active"), &expected));
    }
}

async fn status_id(w: &World) -> String {
    shown(w).await["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn b_22_the_seventh_test_within_a_minute_is_refused_unasked_and_leaves_its_event() {
    let (w, service) = world(200).await;
    for _ in 0..6 {
        test(&w, "mia").await;
    }
    let before = w.log().await.len();

    let refused = w.refused(&w.caller("tom"), "test_credential", json!({"credential": "GITHUB_TOKEN"})).await;

    assert_eq!(refused.code, Code::TooManyRequests);
    assert_eq!(service.asked.load(Ordering::SeqCst), 6);
    let log = w.log().await;
    assert_eq!(log[before..], ["test_credential refused too_many_requests"]);
    w.clock.advance_ms(60_000);
    assert_eq!(test(&w, "mia").await["verdict"], "valid");
}

#[tokio::test]
async fn b_20_nothing_is_sent_for_whom_it_is_not_and_where_no_service_is_said() {
    let (w, service) = world(200).await;
    w.add("ada", "org", "MYSTERY", &value()).await;
    w.add("ada", "personal", "OWN", &value()).await;

    let nowhere =
        w.call(&w.caller("ada"), "test_credential", json!({"credential": "MYSTERY"})).await.unwrap();
    assert_eq!(nowhere["verdict"], "could_not_check");
    for (who, name, code) in
        [("otto", "GITHUB_TOKEN", Code::NotAllowed), ("mia", "OWN", Code::CredentialNotFound)]
    {
        let refused = w.refused(&w.caller(who), "test_credential", json!({"credential": name})).await;
        assert_eq!(refused.code, code, "{who} {name}");
    }
    let stranger =
        w.refused(&w.stranger("ada"), "test_credential", json!({"credential": "GITHUB_TOKEN"})).await;
    assert_eq!(stranger.code, Code::CredentialNotFound);
    for extra in ["url", "host", "service", "address"] {
        let with = json!({"credential": "GITHUB_TOKEN", extra: "evil.example"});
        assert_eq!(
            w.refused(&w.caller("ada"), "test_credential", with).await.code,
            Code::InvalidInput,
            "{extra}"
        );
    }
    assert_eq!(service.asked.load(Ordering::SeqCst), 0);
    assert!(!w.log().await.iter().any(|event| event.starts_with("use ")));
}

#[tokio::test]
async fn b_20_a_model_does_not_say_where_a_value_that_is_there_is_sent_and_a_person_may() {
    let (w, _) = world(200).await;
    let other = json!({"credential": "GITHUB_TOKEN", "service": "stripe"});

    let refused = w.call(&w.caller("ada"), "update_credential", other.clone()).await.unwrap_err();

    assert_eq!(refused.code, Code::ApprovalRequired);
    w.call(&w.person("ada"), "update_credential", other).await.unwrap();
    assert_eq!(shown(&w).await["service"], "stripe");
}

#[tokio::test]
async fn b_23_nothing_of_the_value_or_of_the_answer_is_in_what_is_told_or_logged() {
    for status in [200, 401, 500, 0] {
        let (w, _) = world(status).await;

        let answer = test(&w, "mia").await;

        let log = w.call(&w.caller("ada"), "search_audit_log", json!({})).await.unwrap();
        for text in [answer.to_string(), log.to_string(), shown(&w).await.to_string()] {
            assert!(!text.contains(&value()) && !text.contains("nothing\""), "{status}");
        }
    }
}

#[tokio::test]
async fn a_value_that_says_when_it_ends_is_warned_of_unless_somebody_said_another_date() {
    let (w, _) = world(200).await;
    let part = |text: String| data_encoding::BASE64URL_NOPAD.encode(text.as_bytes());
    let ends_at = w.app.now().plus_days(5);
    let claims = format!(r#"{{"exp":{}}}"#, ends_at.0 / 1000);
    let token = format!("{}.{}.{}", part(r#"{"alg":"HS256"}"#.into()), part(claims), "x".repeat(20));
    w.add("ada", "org", "SESSION", &token).await;
    let get =
        async || w.call(&w.caller("ada"), "get_credential", json!({"credential": "SESSION"})).await.unwrap();

    let shown = get().await;
    assert_eq!(shown["status"]["status"], "expiring");
    assert_eq!(shown["expires_at"].as_str().unwrap().parse::<Millis>().unwrap(), ends_at);
    assert_eq!(shown["configuration"]["expires_by"], "jwt");
    let soon = json!({"expires_before": ends_at.plus_days(1)});
    let listed = w.call(&w.caller("ada"), "list_credentials", soon).await.unwrap();
    assert_eq!(listed["credentials"][0]["name"], "SESSION");

    let later = json!({"credential": "SESSION", "expires_at": "2030-01-01"});
    w.call(&w.person("ada"), "update_credential", later).await.unwrap();
    let shown = get().await;
    assert_eq!(
        (&shown["status"]["status"], &shown["configuration"]["expires_by"]),
        (&json!("active"), &Value::Null)
    );
}

#[tokio::test]
async fn a_test_of_a_canary_raises_its_alert_and_is_never_begun_by_itself() {
    let mut file = crate::config::File::default();
    file.tests.every_hours = 1;
    let (w, service) = world_with(file, 200).await;
    w.call(&w.person("ada"), "mark_canary", json!({"credential": "GITHUB_TOKEN"})).await.unwrap();
    for _ in 0..2 {
        super::due::pass(&w.app).await.unwrap();
        w.clock.advance_ms(2 * 3_600_000);
    }
    assert_eq!(service.asked.load(Ordering::SeqCst), 0);

    assert_eq!(test(&w, "mia").await["verdict"], "valid");

    let log = w.log().await;
    assert_eq!(log[log.len() - 3..], ["canary_used ok", "use ok", "test_credential ok"]);
    let alerts = w.call(&w.person("ada"), "list_canaries", json!({})).await.unwrap();
    assert_eq!((&alerts["alerts"][0]["how"], &alerts["alerts"][0]["user"]), (&json!("test"), &json!("mia")));
}

#[tokio::test]
async fn who_tests_it_or_scans_for_it_has_not_used_it() {
    let (w, _) = world(200).await;
    for _ in 0..6 {
        test(&w, "mia").await;
        w.clock.advance_ms(60_000);
    }
    let used = crate::model::event::Event::of("use").with("operation", "scan");
    let (org, name) = (w.org.clone(), shown(&w).await["id"].as_str().unwrap().to_owned());
    w.app
        .store
        .write(&w.person("mia"), move |tx| {
            let c = tx.find_credential(&org, &crate::ids::CredentialId(name))?.unwrap();
            tx.record_step(used.on(&c), ())
        })
        .await
        .unwrap();

    let shown = shown(&w).await;
    let audit = w.call(&w.caller("ada"), "audit_credentials", json!({})).await.unwrap();
    let usage = w.call(&w.caller("ada"), "get_usage", json!({"credential": "GITHUB_TOKEN"})).await.unwrap();
    let leaver = w.call(&w.caller("ada"), "plan_offboarding", json!({"user": "mia"})).await.unwrap();

    assert_eq!((&shown["configuration"]["uses"], &usage["uses"]), (&json!(0), &json!(0)));
    assert!(audit["by_kind"].get("scope_too_wide").is_none(), "{audit}");
    let rotates = leaver["steps"].as_array().unwrap().iter().any(|step| step["action"] == "rotate");
    assert!(!rotates, "{leaver}");
}
