//! What a process is given, and every way in which it is given nothing.
use crate::support::world::World;
use serde_json::{Value, json};
use unsaid::clock::{DAY_MS, Millis};
use unsaid::error::{Code, Error, Result};
use unsaid::ops::credential::value::{Target, enter_value};
use unsaid::ops::hand_over::{HandOver, hand_over};
use unsaid::secret::SecretBytes;

async fn given(w: &World, wanted: HandOver) -> Result<Vec<String>> {
    let handed = hand_over(&w.app, &w.caller("mia"), wanted).await?;
    Ok(handed.into_iter().map(|one| one.variable).collect())
}

fn only(names: &[&str]) -> HandOver {
    HandOver { names: names.iter().map(|n| (*n).to_owned()).collect(), ..all() }
}

fn all() -> HandOver {
    HandOver { command: "true".into(), ..HandOver::default() }
}

fn field(name: &str) -> (String, SecretBytes) {
    (name.to_owned(), SecretBytes::copied(b"words"))
}

async fn login(w: &World, name: &str) {
    w.call(&w.caller("mia"), "create_credential", json!({ "name": name, "type": "basic" })).await.unwrap();
    let values = vec![field("username"), field("password")];
    enter_value(&w.app, &w.person("mia"), Target::Existing(name.into()), values, String::new())
        .await
        .unwrap();
}

async fn uses(w: &World, name: &str) -> Value {
    let shown = w.call(&w.caller("mia"), "get_credential", json!({ "credential": name })).await.unwrap();
    shown["configuration"]["uses"].clone()
}

async fn last_event(w: &World) -> String {
    w.log().await.last().cloned().unwrap_or_default()
}

fn refused<T>(outcome: Result<T>) -> Error {
    outcome.err().expect("it is refused")
}

#[tokio::test]
async fn two_credentials_for_one_variable_are_refused_before_a_use_is_counted() {
    let w = World::new().await;
    login(&w, "SITE").await;
    w.add("mia", "personal", "SITE_USERNAME", "words").await;

    let e = refused(given(&w, only(&["SITE", "SITE_USERNAME"])).await);

    assert!(e.code == Code::AmbiguousName && e.message().contains("SITE_USERNAME"), "{e:?}");
    assert_eq!(last_event(&w).await, "use refused ambiguous_name");
    assert_eq!((uses(&w, "SITE").await, uses(&w, "SITE_USERNAME").await), (json!(0), json!(0)));
    assert_eq!(given(&w, only(&["SITE"])).await.unwrap(), ["SITE_PASSWORD", "SITE_USERNAME"]);
}

#[tokio::test]
async fn a_field_that_no_program_could_be_given_is_refused_when_it_is_named() {
    let w = World::new().await;
    let custom =
        |name: &str, field: &str| json!({ "name": name, "type": "custom", "fields": [{ "name": field }] });

    let e = w.refused(&w.caller("mia"), "create_credential", custom("MAIL", "host")).await;
    assert!(e.code == Code::ReservedName && e.message().contains("MAIL_HOST"), "{e:?}");
    let e = w.refused(&w.caller("mia"), "create_credential", custom("OPENAI", "base_url")).await;
    assert_eq!(e.code, Code::ReservedName);
    assert!(!e.next_step().is_empty(), "{e:?}");

    w.call(&w.caller("mia"), "create_credential", custom("SITE", "options")).await.unwrap();
    let rename = json!({ "credential": "SITE", "new_name": "NODE", "reason": "shorter" });
    let e = w.refused(&w.caller("mia"), "update_credential", rename).await;
    assert!(e.code == Code::ReservedName && e.message().contains("NODE_OPTIONS"), "{e:?}");
}

#[tokio::test]
async fn with_all_one_that_cannot_be_used_stops_the_others_until_it_is_left_out() {
    let w = World::new().await;
    w.add("mia", "personal", "GOOD", "words").await;
    let old = json!({ "name": "OLD", "expires_at": Millis(w.app.now().0 + 1000) });
    w.call(&w.caller("mia"), "create_credential", old).await.unwrap();
    enter_value(
        &w.app,
        &w.person("mia"),
        Target::Existing("OLD".into()),
        vec![field("value")],
        String::new(),
    )
    .await
    .unwrap();
    w.clock.advance_ms(DAY_MS);

    let e = refused(given(&w, HandOver { all: true, ..all() }).await);
    assert!(e.code == Code::Unresolved && e.message().contains("OLD"), "{e:?}");
    assert!(e.next_step().contains("--except"), "{e:?}");
    assert_eq!(uses(&w, "GOOD").await, 0);

    let misspelt = HandOver { all: true, except: vec!["OLDD".into()], ..all() };
    let e = refused(given(&w, misspelt).await);
    assert!(e.code == Code::InvalidInput && e.message().contains("OLDD"), "{e:?}");
    let except = HandOver { all: true, except: vec!["old".into()], ..all() };
    assert_eq!(given(&w, except).await.unwrap(), ["GOOD"]);
}

#[tokio::test]
async fn a_name_that_looks_like_a_secret_is_refused_and_leaves_its_event_without_it() {
    let w = World::new().await;
    let planted = format!("ghp_{}", "aB3xK9".repeat(6));

    let e = refused(given(&w, only(&[&planted])).await);

    assert_eq!(e.code, Code::SecretInArgument);
    assert_eq!(last_event(&w).await, "use refused secret_in_argument");
    let log = w.call(&w.person("ada"), "search_audit_log", json!({})).await.unwrap();
    assert!(!log.to_string().contains(&planted));
}

#[tokio::test]
async fn a_value_that_is_refused_leaves_its_event() {
    let w = World::new().await;
    w.add("ada", "org", "SHARED", "words").await;
    let mia = w.person("mia");
    let enter = |name: &str| {
        enter_value(&w.app, &mia, Target::Existing(name.into()), vec![field("value")], String::new())
    };

    assert_eq!(refused(enter("SHARED").await).code, Code::NotAllowed);
    assert_eq!(last_event(&w).await, "enter_value refused not_allowed");
    assert_eq!(refused(enter("NOT_THERE").await).code, Code::CredentialNotFound);
    assert_eq!(last_event(&w).await, "enter_value refused credential_not_found");
}
