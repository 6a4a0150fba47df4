use super::*;
use crate::app::Pages;
use crate::ids::CredentialId;
use crate::model::access::{Caller, Door};
use crate::model::entry::{ENTRY_LIFE_MS, EntryPurpose, MOST_OPEN};
use crate::secret::{Secret, SecretBytes};
use crate::testing::World;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use std::sync::Arc;

/// Pages that are nowhere, with or without codes.
struct Nowhere {
    has_codes: bool,
}

impl Pages for Nowhere {
    fn base(&self) -> BoxFuture<'_, Result<String>> {
        Box::pin(async { Ok("http://127.0.0.1:1".to_owned()) })
    }
    fn code(&self, link: &str) -> Option<String> {
        self.has_codes.then(|| format!("{}-{}", &link[..4], &link[4..8]).to_uppercase())
    }
    fn callback(&self) -> Option<String> {
        None
    }
}

async fn world(has_codes: bool) -> World {
    let w = World::new().await;
    assert!(w.app.pages.set(Arc::new(Nowhere { has_codes })).is_ok());
    w
}

fn web(w: &World, login: &str) -> Caller {
    Caller { door: Door::Web, ..w.caller(login) }
}

/// The link in an answer.
fn link(answer: &Value) -> String {
    answer["entry"]["url"].as_str().unwrap().rsplit('/').next().unwrap().to_owned()
}

async fn create(w: &World, login: &str, name: &str) -> Value {
    w.call(&w.caller(login), "create_credential", json!({ "name": name })).await.unwrap()
}

fn value(text: &str) -> Vec<(String, SecretBytes)> {
    vec![("value".into(), SecretBytes::copied(text.as_bytes()))]
}

async fn entered(w: &World, who: &Caller, link: &str) -> Result<i64> {
    enter(&w.app, who, link, value("plain words"), String::new()).await.map(|done| done.version)
}

async fn shown(w: &World, login: &str, name: &str) -> Value {
    w.call(&w.caller(login), "get_credential", json!({ "credential": name })).await.unwrap()
}

#[tokio::test]
async fn the_asker_enters_a_value_by_the_link_once_and_the_model_learns_that_it_is_done() {
    let w = world(false).await;
    let made = create(&w, "mia", "A_KEY").await;
    let link = link(&made);
    assert!(made["next"].as_str().unwrap().contains(&link) && made["entry"]["code"].is_null());
    assert_eq!(shown(&w, "mia", "A_KEY").await["entry"]["state"], "open");

    let seen = look(&w.app, &web(&w, "mia"), &link).await.unwrap();
    let version = entered(&w, &web(&w, "mia"), &link).await.unwrap();

    assert_eq!((seen.name.as_str(), seen.asked_by.as_str(), version), ("A_KEY", "mia", 1));
    let after = shown(&w, "mia", "A_KEY").await;
    assert_eq!((&after["entry"]["state"], &after["status"]["status"]), (&json!("done"), &json!("active")));
    assert_eq!(entered(&w, &web(&w, "mia"), &link).await.unwrap_err().code, Code::EntryClosed);
    assert_eq!(shown(&w, "mia", "A_KEY").await["configuration"]["versions"].as_array().unwrap().len(), 1);
}

/// W-02: refused, in the log, and the asker sees it.
#[tokio::test]
async fn w_02_somebody_else_s_link_shows_nothing_and_enters_nothing() {
    let w = world(false).await;
    let link = link(&create(&w, "mia", "A_KEY").await);
    let stranger = Caller { door: Door::Web, ..w.stranger("ada") };

    for (n, other) in [web(&w, "max"), web(&w, "ada"), stranger].iter().enumerate() {
        assert_eq!(look(&w.app, other, &link).await.unwrap_err().code, Code::NotAllowed);
        assert_eq!(entered(&w, other, &link).await.unwrap_err().code, Code::NotAllowed);
        assert_eq!(decline(&w.app, other, &link).await.unwrap_err().code, Code::NotAllowed);
        assert_eq!(shown(&w, "mia", "A_KEY").await["entry"]["foreign_visits"], 3 * (n as i64 + 1));
    }

    assert_eq!(w.log().await.iter().filter(|line| *line == "open_entry refused not_allowed").count(), 9);
    assert_eq!(entered(&w, &web(&w, "mia"), &link).await.unwrap(), 1);
}

/// W-03, first half: expired.
#[tokio::test]
async fn w_03_a_link_lives_ten_minutes() {
    let w = world(false).await;
    let link = link(&create(&w, "mia", "A_KEY").await);

    w.clock.advance_ms(ENTRY_LIFE_MS);

    assert_eq!(look(&w.app, &web(&w, "mia"), &link).await.unwrap_err().code, Code::EntryClosed);
    assert_eq!(entered(&w, &web(&w, "mia"), &link).await.unwrap_err().code, Code::EntryClosed);
    assert_eq!(shown(&w, "mia", "A_KEY").await["entry"]["state"], "expired");
}

/// W-03, second half: five wrong codes.
#[tokio::test]
async fn w_03_five_wrong_codes_block_a_link_for_ever() {
    let w = world(true).await;
    let made = create(&w, "mia", "A_KEY").await;
    let (link, code) = (link(&made), made["entry"]["code"].as_str().unwrap().to_owned());

    for left in (1..5).rev() {
        let wrong = expect_code(&w.app, &link, "WRONG").await.unwrap_err();
        assert_eq!(wrong.code, Code::CodeWrong);
        assert!(wrong.details().contains(&("tries_left", left.to_string())));
    }
    assert_eq!(expect_code(&w.app, &link, "").await.unwrap_err().code, Code::EntryClosed);

    assert_eq!(expect_code(&w.app, &link, &code).await.unwrap_err().code, Code::EntryClosed);
    assert_eq!(entered(&w, &web(&w, "mia"), &link).await.unwrap_err().code, Code::EntryClosed);
    assert_eq!(shown(&w, "mia", "A_KEY").await["entry"]["state"], "blocked");
    assert_eq!(w.log().await.iter().filter(|line| *line == "open_entry refused code_wrong").count(), 5);
}

#[tokio::test]
async fn the_code_lets_in_as_the_asker_however_it_is_typed() {
    let w = world(true).await;
    let made = create(&w, "mia", "A_KEY").await;
    let code = made["entry"]["code"].as_str().unwrap().to_lowercase().replace('-', " ");

    let visitor = expect_code(&w.app, &link(&made), &format!(" {code} ")).await.unwrap();

    assert_eq!((visitor.user, visitor.door), (w.caller("mia").user, Door::Web));
}

#[tokio::test]
async fn w_05_neither_link_nor_code_is_in_the_database_the_log_or_a_kept_answer() {
    let w = world(true).await;
    let arguments = json!({ "name": "A_KEY", "idempotency_key": "once" });
    let first = w.call(&w.caller("mia"), "create_credential", arguments.clone()).await.unwrap();
    let again = w.call(&w.caller("mia"), "create_credential", arguments).await.unwrap();
    assert_eq!(first["id"], again["id"]);
    assert_ne!(link(&first), link(&again));

    w.app.store.forget_old_pages().await.unwrap();

    for entry in std::fs::read_dir(&w.app.config.places.data).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap_or_default();
        for answer in [&first, &again] {
            let (link, code) = (link(answer), answer["entry"]["code"].as_str().unwrap());
            for text in [link.as_str(), code] {
                assert!(!bytes.windows(text.len()).any(|part| part == text.as_bytes()));
            }
        }
    }
    // A repeat takes no page away that somebody is typing into; with one of them the other is closed.
    assert_eq!(entered(&w, &web(&w, "mia"), &link(&first)).await.unwrap(), 1);
    assert_eq!(entered(&w, &web(&w, "mia"), &link(&again)).await.unwrap_err().code, Code::EntryClosed);
}

#[tokio::test]
async fn w_07_two_submits_at_once_make_one_version() {
    let w = world(false).await;
    let link = link(&create(&w, "mia", "A_KEY").await);
    let mia = web(&w, "mia");

    let both = futures_util::future::join_all((0..8).map(|_| entered(&w, &mia, &link))).await;

    assert_eq!(both.iter().filter(|done| done.is_ok()).count(), 1);
    assert!(both.iter().flat_map(|done| done.as_ref().err()).all(|e| e.code == Code::EntryClosed));
}

#[tokio::test]
async fn w_08_an_asker_who_lost_the_right_meanwhile_is_refused_and_the_link_stays_unused() {
    let w = world(false).await;
    w.add("tess", "core", "TEAM_KEY", "plain words").await;
    let asked = w.call(&w.caller("tom"), "set_credential_value", json!({ "credential": "TEAM_KEY" })).await;
    let link = link(&asked.unwrap());
    let demote = json!({ "team": "core", "user": "tom", "role": "member" });
    w.call(&w.person("ada"), "set_member", demote).await.unwrap();

    assert_eq!(look(&w.app, &web(&w, "tom"), &link).await.unwrap_err().code, Code::NotAllowed);
    assert_eq!(entered(&w, &web(&w, "tom"), &link).await.unwrap_err().code, Code::NotAllowed);

    assert_eq!(shown(&w, "tess", "TEAM_KEY").await["configuration"]["versions"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn no_model_enters_a_value_or_looks_at_a_page() {
    let w = world(false).await;
    let link = link(&create(&w, "mia", "A_KEY").await);

    for door in [Door::Stdio, Door::Http] {
        let model = Caller { door, ..w.caller("mia") };
        assert_eq!(entered(&w, &model, &link).await.unwrap_err().code, Code::PeopleOnly);
        assert_eq!(look(&w.app, &model, &link).await.unwrap_err().code, Code::PeopleOnly);
        assert_eq!(decline(&w.app, &model, &link).await.unwrap_err().code, Code::PeopleOnly);
        let offered = offer_here(&w.app, &model, EntryPurpose::Value, "A_KEY").await;
        assert_eq!(offered.unwrap_err().code, Code::PeopleOnly);
    }
}

#[tokio::test]
async fn a_refused_value_leaves_the_link_open_and_nothing_stored() {
    let w = world(false).await;
    let made = create(&w, "mia", "A_KEY").await;
    let (link, mia) = (link(&made), web(&w, "mia"));

    for values in [Vec::new(), value(""), vec![("other".into(), SecretBytes::copied(b"x"))]] {
        let refused = enter(&w.app, &mia, &link, values, String::new()).await.unwrap_err();
        assert_eq!(refused.code, Code::InvalidInput);
    }
    let large = vec![("value".into(), SecretBytes::new(vec![b'x'; 64 * 1024 + 1]))];
    assert_eq!(enter(&w.app, &mia, &link, large, String::new()).await.unwrap_err().code, Code::TooLarge);

    let id = CredentialId(made["id"].as_str().unwrap().into());
    let org = w.org.clone();
    assert!(w.app.store.read(move |tx| tx.versions(&org, &id, 9)).await.unwrap().is_empty());
    assert_eq!(entered(&w, &mia, &link).await.unwrap(), 1);
}

#[tokio::test]
async fn a_declined_link_is_closed_and_the_model_sees_so() {
    let w = world(false).await;
    let link = link(&create(&w, "mia", "A_KEY").await);

    decline(&w.app, &web(&w, "mia"), &link).await.unwrap();

    assert_eq!(entered(&w, &web(&w, "mia"), &link).await.unwrap_err().code, Code::EntryClosed);
    assert_eq!(shown(&w, "mia", "A_KEY").await["entry"]["state"], "declined");
}

#[tokio::test]
async fn the_page_says_what_the_value_comes_before_and_replaces() {
    let w = world(false).await;
    w.add("ada", "org", "A_KEY", "plain words").await;
    let arguments = json!({ "name": "A_KEY", "scope": "personal" });
    let made = w
        .call_with(&w.caller("mia"), "create_credential", arguments, &crate::testing::FormYes)
        .await
        .unwrap();

    let seen = look(&w.app, &web(&w, "mia"), &link(&made)).await.unwrap();

    assert!(
        seen.warnings.iter().any(|text| text.contains("comes before") && text.contains("A_KEY")),
        "{seen:?}"
    );
    entered(&w, &web(&w, "mia"), &link(&made)).await.unwrap();
    let again =
        w.call(&w.caller("mia"), "set_credential_value", json!({ "credential": made["id"] })).await.unwrap();
    let seen = look(&w.app, &web(&w, "mia"), &link(&again)).await.unwrap();
    assert!(seen.warnings.iter().any(|text| text.contains("replaces")), "{seen:?}");
}

#[tokio::test]
async fn a_person_has_a_bounded_number_of_open_links_and_one_for_each_thing() {
    let w = world(false).await;
    for n in 0..MOST_OPEN {
        assert!(create(&w, "mia", &format!("KEY_{n}")).await["entry"].is_object());
    }

    // What was made stays made; the answer names the command instead.
    let more = create(&w, "mia", "ONE_MORE").await;
    assert!(more["entry"].is_null() && more["next"].as_str().unwrap().contains("unsaid set ONE_MORE"));
    assert!(create(&w, "max", "HIS_KEY").await["entry"].is_object());
}

#[tokio::test]
async fn o_05_the_client_secret_of_a_provider_comes_in_by_a_link_of_an_admin() {
    let w = world(false).await;
    let arguments = json!({ "service": "github", "name": "hub", "client_id": "abc" });
    let made = w.call(&w.caller("ada"), "create_oauth_provider", arguments).await.unwrap();
    let link = link(&made);

    let seen = look(&w.app, &web(&w, "ada"), &link).await.unwrap();
    assert!(seen.facts.iter().any(|(_, text)| text.contains("github.com")), "{seen:?}");
    assert_eq!(entered(&w, &web(&w, "ada"), &link).await.unwrap_err().code, Code::EntryNotFound);
    let secret = || Secret::new("plain words".into());
    enter_client_secret(&w.app, &web(&w, "ada"), &link, secret()).await.unwrap();

    let again = enter_client_secret(&w.app, &web(&w, "ada"), &link, secret()).await;
    assert_eq!(again.err().unwrap().code, Code::EntryClosed);
    let listed = w.call(&w.caller("ada"), "list_oauth_providers", json!({})).await.unwrap();
    assert_eq!(listed["providers"][0]["setup"]["has_secret"], true);
}

#[tokio::test]
async fn a_one_time_sign_in_works_once_for_two_minutes_and_is_no_entry_link() {
    let w = world(false).await;
    assert_eq!(offer_sign_in(&w.app, &w.caller("mia"), true).await.err().unwrap().code, Code::PeopleOnly);
    let (ticket, _) = offer_sign_in(&w.app, &w.person("mia"), true).await.unwrap();
    let ticket = ticket.expose(str::to_owned);

    assert_eq!(find(&w.app, &ticket).await.unwrap_err().code, Code::EntryNotFound);
    assert_eq!(peek_sign_in(&w.app, &ticket).await.unwrap().0.login, "mia");
    let (caller, is_assured) = sign_in(&w.app, &ticket).await.unwrap();
    assert!(is_assured);

    assert_eq!((caller.user, caller.door), (w.caller("mia").user, Door::Web));
    assert_eq!(sign_in(&w.app, &ticket).await.unwrap_err().code, Code::EntryClosed);
    let (late, _) = offer_sign_in(&w.app, &w.person("mia"), true).await.unwrap();
    w.clock.advance_ms(121_000);
    assert_eq!(sign_in(&w.app, &late.expose(str::to_owned)).await.unwrap_err().code, Code::EntryClosed);
    let link = link(&create(&w, "mia", "A_KEY").await);
    assert_eq!(sign_in(&w.app, &link).await.unwrap_err().code, Code::EntryNotFound);
}

#[tokio::test]
async fn what_is_approved_is_kept_without_a_link() {
    let w = world(false).await;
    w.add("ada", "org", "A_KEY", "plain words").await;
    let asked = w
        .refused(&w.caller("mia"), "create_credential", json!({ "name": "A_KEY", "scope": "personal" }))
        .await;
    let id = asked.details().iter().find(|(name, _)| *name == "approval_id").unwrap().1.clone();

    let done = crate::ops::approval::approve(&w.app, &web(&w, "mia"), &id).await.unwrap();

    assert!(done.outcome["entry"].is_null(), "{}", done.outcome);
}

/// The page said where it goes; a link never outlives that.
#[tokio::test]
async fn o_02_a_secret_is_not_sealed_for_another_place_than_the_page_showed() {
    let w = world(false).await;
    let made = json!({ "service": "zendesk", "name": "desk", "client_id": "abc", "params": { "subdomain": "acme" } });
    let made = w.call(&w.caller("ada"), "create_oauth_provider", made).await.unwrap();
    let link = link(&made);
    look(&w.app, &web(&w, "ada"), &link).await.unwrap();
    // Without a page of its own the change makes no new link.
    let moved = json!({ "provider": "desk", "params": { "subdomain": "evil" } });
    w.call_with(&w.person("ada"), "update_oauth_provider", moved, &crate::testing::PersonYes).await.unwrap();

    let entered =
        enter_client_secret(&w.app, &web(&w, "ada"), &link, Secret::new("plain words".into())).await;

    assert_eq!(entered.err().unwrap().code, Code::EntryClosed);
    assert_eq!(look(&w.app, &web(&w, "ada"), &link).await.unwrap_err().code, Code::EntryClosed);
    let listed = w.call(&w.caller("ada"), "list_oauth_providers", json!({})).await.unwrap();
    assert_eq!(listed["providers"][0]["setup"]["has_secret"], false);
}

#[tokio::test]
async fn a_value_is_not_entered_for_another_place_than_the_page_showed() {
    let w = world(false).await;
    let link = link(&create(&w, "ada", "A_KEY").await);
    let wider = json!({ "credential": "A_KEY", "scope": "org", "reason": "for all" });
    w.call_with(&w.person("ada"), "update_credential", wider, &crate::testing::PersonYes).await.unwrap();

    assert_eq!(entered(&w, &web(&w, "ada"), &link).await.unwrap_err().code, Code::EntryClosed);
    assert_eq!(shown(&w, "ada", "A_KEY").await["status"]["status"], "needs_attention");
}

#[tokio::test]
async fn a_value_is_not_entered_for_another_environment_than_the_page_showed() {
    let w = world(false).await;
    let link = link(&create(&w, "mia", "A_KEY").await);
    look(&w.app, &web(&w, "mia"), &link).await.unwrap();
    let moved = json!({ "credential": "A_KEY", "environment": "prod", "reason": "it is for production" });
    w.call_with(&w.person("mia"), "update_credential", moved, &crate::testing::PersonYes).await.unwrap();

    assert_eq!(look(&w.app, &web(&w, "mia"), &link).await.unwrap_err().code, Code::EntryClosed);
    assert_eq!(entered(&w, &web(&w, "mia"), &link).await.unwrap_err().code, Code::EntryClosed);
    assert_eq!(shown(&w, "mia", "A_KEY").await["status"]["status"], "needs_attention");
}
