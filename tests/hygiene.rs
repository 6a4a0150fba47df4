//! What is wrong is found for whoever may see it, and told to nobody else; nothing of a value is kept that tells it.
use crate::support::world::{FormYes, PersonYes, World};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;
use unsaid::clock::DAY_MS;
use unsaid::error::Code;
use unsaid::model::access::Caller;
use unsaid::ops::lifecycle::rekey::rotate_org;

/// 32 characters that nobody guesses, others for each number.
fn strong(n: usize) -> String {
    use sha2::Digest;
    sha2::Sha256::digest(n.to_be_bytes()).iter().take(16).map(|b| format!("{b:02x}")).collect()
}

async fn report(w: &World, by: &Caller, arguments: Value) -> Value {
    w.call(by, "audit_credentials", arguments).await.unwrap()
}

/// The findings of every page.
async fn findings(w: &World, by: &Caller, mut arguments: Value) -> Vec<Value> {
    let mut all = Vec::new();
    loop {
        let page = report(w, by, arguments.clone()).await;
        assert!(page.to_string().len() < 24_000, "{}", page.to_string().len());
        all.extend(page["findings"].as_array().unwrap().iter().cloned());
        match page.get("next_cursor") {
            Some(cursor) => arguments["cursor"] = cursor.clone(),
            None => return all,
        }
    }
}

async fn of_kind(w: &World, by: &Caller, kind: &str) -> Vec<Value> {
    findings(w, by, json!({"kind": kind})).await
}

fn names(finding: &Value) -> Vec<&str> {
    finding["about"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect()
}

fn rows(w: &World, sql: &str) -> Vec<Vec<u8>> {
    let conn = rusqlite::Connection::open(w.app.config.places.database()).unwrap();
    let mut statement = conn.prepare(sql).unwrap();
    let found = statement.query_map([], |row| row.get::<_, Vec<u8>>(0)).unwrap();
    found.map(Result::unwrap).collect()
}

fn change(w: &World, sql: &str) {
    let conn = rusqlite::Connection::open(w.app.config.places.database()).unwrap();
    conn.execute_batch(sql).unwrap();
}

#[tokio::test]
async fn equal_values_are_found_and_nothing_in_the_database_shows_that_they_are_equal() {
    let w = World::new().await;
    for name in ["LEDGER_ONE", "LEDGER_TWO"] {
        w.add("ada", "org", name, &strong(1)).await;
    }
    w.add("ada", "org", "LEDGER_THREE", &format!(" {}\n", strong(1))).await;
    w.add("ada", "org", "LEDGER_OTHER", &strong(2)).await;

    let found = of_kind(&w, &w.caller("ada"), "duplicate_value").await;

    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(names(&found[0]), ["LEDGER_ONE", "LEDGER_TWO", "LEDGER_THREE"]);
    let sealed = rows(&w, "SELECT sealed FROM fingerprint");
    assert_eq!(sealed.iter().collect::<BTreeSet<_>>().len(), 4, "two rows look alike");
    assert!(!found[0].to_string().contains(&strong(1)[..8]));
}

#[tokio::test]
async fn what_few_guesses_reach_is_never_compared() {
    let w = World::new().await;
    for (n, value) in ["hunter2", "words", "Summer2026!", "12345678901234567890"].into_iter().enumerate() {
        w.add("ada", "org", &format!("LEDGER_A{n}"), value).await;
        w.add("ada", "org", &format!("LEDGER_B{n}"), value).await;
    }

    assert!(of_kind(&w, &w.caller("ada"), "duplicate_value").await.is_empty());
}

#[tokio::test]
async fn c_32_a_twin_that_the_caller_may_not_see_is_not_counted() {
    let w = World::new().await;
    w.add("mia", "personal", "LEDGER_MINE", &strong(1)).await;
    w.add("max", "personal", "LEDGER_HIS", &strong(1)).await;
    w.add("tess", "core", "LEDGER_CORE", &strong(1)).await;
    w.add("ada", "org", "LEDGER_ORG", &strong(1)).await;
    w.add_as(
        &Caller { door: w.person("ada").door, ..w.stranger("ada") },
        "org",
        "LEDGER_FOREIGN",
        &strong(1),
    )
    .await;

    // A member uses what is the team's and the org's, and does not see their configuration.
    let before = findings(&w, &w.caller("mia"), json!({})).await;
    assert!(before.iter().all(|f| f["kind"] != "duplicate_value"), "{before:?}");
    let of_ada = of_kind(&w, &w.caller("ada"), "duplicate_value").await;
    assert_eq!(names(&of_ada[0]), ["LEDGER_CORE", "LEDGER_ORG"]);
    let of_otto = of_kind(&w, &w.caller("otto"), "duplicate_value").await;
    assert_eq!(of_otto[0]["id"], of_ada[0]["id"], "the same facts have the same id");
    assert!(of_kind(&w, &w.stranger("ada"), "duplicate_value").await.is_empty());

    // With and without the twin, the answer is the same to the byte.
    let told = report(&w, &w.caller("max"), json!({})).await;
    w.add("tess", "core", "LEDGER_AGAIN", &strong(1)).await;
    assert_eq!(report(&w, &w.caller("max"), json!({})).await, told);
}

#[tokio::test]
async fn nobody_learns_of_anything_that_others_keep_for_themselves() {
    let w = World::new().await;
    w.add("mia", "personal", "HIDDEN_LEDGER", "hunter2").await;
    w.clock.advance_ms(60 * DAY_MS);

    assert!(!findings(&w, &w.caller("mia"), json!({})).await.is_empty());
    for other in [w.caller("ada"), w.caller("otto"), w.caller("tess"), w.caller("max"), w.stranger("ada")] {
        let told = report(&w, &other, json!({})).await.to_string();
        assert!(!told.contains("HIDDEN"), "{told}");
    }
    for arguments in
        [json!({"credential": "HIDDEN_LEDGER"}), json!({"team": "nowhere"}), json!({"consumer": "nobody"})]
    {
        let refused = w.refused(&w.caller("max"), "audit_credentials", arguments).await;
        assert!(matches!(
            refused.code,
            Code::CredentialNotFound | Code::TeamNotFound | Code::ConsumerNotFound
        ));
    }
    let theirs = w.refused(&w.caller("max"), "audit_credentials", json!({"team": "core"})).await;
    let absent = w.refused(&w.caller("max"), "audit_credentials", json!({"team": "absent"})).await;
    assert_eq!(
        theirs.to_json().to_string().replace("core", "…"),
        absent.to_json().to_string().replace("absent", "…")
    );
    assert_eq!(
        w.refused(&w.caller("ada"), "audit_credentials", json!({"kind": "odd"})).await.code,
        Code::InvalidInput
    );
}

#[tokio::test]
async fn c_33_a_report_is_no_way_to_try_out_values() {
    let w = World::new().await;
    w.add("ada", "org", "LEDGER_TARGET", &strong(7)).await;
    let ada = w.caller("ada");
    let mut told = Vec::new();
    for guess in 0..10 {
        let id = w.add("ada", "org", &format!("LEDGER_GUESS_{guess}"), &strong(guess)).await;
        let shown = w.call(&ada, "get_credential", json!({"credential": id})).await.unwrap();
        assert!(!shown.to_string().contains("LEDGER_TARGET"), "entering told of its twin");
        let page = report(&w, &ada, json!({})).await;
        let again = report(&w, &ada, json!({})).await;
        assert_eq!(
            page["findings"], again["findings"],
            "the same set may be looked at as often as one likes"
        );
        told.push(page["by_kind"]["duplicate_value"].as_u64().unwrap_or(0));
        assert_eq!(page["notes"].is_array(), guess >= 4, "{page}");
    }
    // The seventh guess was right, and nobody heard of it.
    assert_eq!(told, [0; 10]);
    let refused = w.refused(&ada, "audit_credentials", json!({"kind": "duplicate_value"})).await;
    assert_eq!(refused.code, Code::Quota);
    let accept = json!({"id": "aaaaaaaaaaaaaaaa", "reason": "a test", "until": "2026-07-01T00:00:00Z"});
    assert_eq!(w.refused(&w.person("ada"), "accept_finding", accept).await.code, Code::FindingNotFound);

    w.clock.advance_ms(60 * 60 * 1000 + 1);
    assert_eq!(of_kind(&w, &ada, "duplicate_value").await.len(), 1);
    assert!(w.chain_is_whole().await);
}

#[tokio::test]
async fn a_fingerprint_goes_with_its_version_and_comes_anew_after_a_new_key() {
    let w = World::new().await;
    let id = w.add("ada", "org", "LEDGER_ONE", &strong(1)).await;
    w.add("ada", "org", "LEDGER_TWO", &strong(1)).await;
    let ask = json!({"name": "deployer", "scope": "org", "bindings": [{"variable": "LEDGER_ONE"}]});
    w.call_with(&w.person("ada"), "register_consumer", ask, &PersonYes).await.unwrap();
    let ada = w.caller("ada");
    let before = of_kind(&w, &ada, "duplicate_value").await;
    let accept = json!({"id": before[0]["id"], "reason": "on purpose", "until": "2026-07-01T00:00:00Z"});
    w.call(&w.person("ada"), "accept_finding", accept).await.unwrap();

    rotate_org(&w.app, &w.person("ada"), Duration::ZERO).await.unwrap();

    assert!(rows(&w, "SELECT sealed FROM fingerprint").is_empty());
    assert!(of_kind(&w, &ada, "duplicate_value").await.is_empty(), "it is accepted still");
    let accepted = findings(&w, &ada, json!({"accepted": true})).await;
    assert_eq!(accepted[0]["id"], before[0]["id"]);
    assert_eq!(rows(&w, "SELECT sealed FROM fingerprint").len(), 2);
    assert_eq!(w.call(&ada, "list_consumers", json!({})).await.unwrap()["consumers"][0]["name"], "deployer");

    // Two more values: the first version's key is destroyed, and what was kept of it.
    for n in [2, 3] {
        let target = unsaid::ops::credential::value::Target::Existing(id.clone());
        let values = vec![("value".to_owned(), unsaid::secret::SecretBytes::copied(strong(n).as_bytes()))];
        unsaid::ops::credential::value::enter_value(&w.app, &w.person("ada"), target, values, String::new())
            .await
            .unwrap();
    }
    assert_eq!(rows(&w, "SELECT sealed FROM fingerprint").len(), 3);
    let bin = json!({"credential": id, "reason": "a test"});
    w.call_with(&w.person("ada"), "delete_credential", bin.clone(), &PersonYes).await.unwrap();
    w.call_with(&w.person("ada"), "purge_credential", bin, &PersonYes).await.unwrap();
    assert_eq!(rows(&w, "SELECT sealed FROM fingerprint").len(), 1);
    assert!(w.chain_is_whole().await);
}

#[tokio::test]
async fn what_was_entered_before_there_were_fingerprints_is_found_too_and_a_changed_row_is_not_believed() {
    let w = World::new().await;
    w.add("ada", "org", "LEDGER_ONE", &strong(1)).await;
    w.add("ada", "org", "LEDGER_TWO", &strong(1)).await;
    change(&w, "DELETE FROM fingerprint");

    assert_eq!(of_kind(&w, &w.caller("ada"), "duplicate_value").await.len(), 1);
    assert!(w.log().await.iter().any(|line| line == "fingerprint_values ok"));

    change(&w, "UPDATE fingerprint SET services = 'stripe'");
    let refused = w.refused(&w.caller("ada"), "audit_credentials", json!({})).await;
    assert_eq!(refused.code, Code::Integrity);
}

#[tokio::test]
async fn a_value_is_recognised_when_it_is_stored() {
    let w = World::new().await;
    let github = format!("{}{}{}", ["gh", "p_"].concat(), strong(1), &strong(2)[..4]);
    w.add("ada", "org", "STRIPE_SECRET_KEY", &github).await;
    w.add("ada", "org", "GITHUB_TOKEN", &github.replace('a', "b")).await;
    w.add("ada", "org", "MAIL_PASSWORD", "hunter2").await;
    w.add("ada", "org", "MAIL_HOST_PASSWORD", &strong(3)).await;
    let live = format!("{}{}", ["sk_", "live_"].concat(), &strong(4)[..24]);
    w.add("ada", "org", "STRIPE_SANDBOX_KEY", &live).await;
    let pem = format!("{}{}\n{}\n", ["-----BEGIN OPENSSH", " PRIVATE KEY-----"].concat(), "", strong(5));
    w.add("ada", "org", "DEPLOY_KEY", &pem).await;
    let ada = w.caller("ada");

    let one = |found: Vec<Value>| {
        let mut all = found.iter().flat_map(names).map(str::to_owned).collect::<Vec<_>>();
        all.sort();
        all
    };
    assert_eq!(one(of_kind(&w, &ada, "contradicts_value").await), ["DEPLOY_KEY", "STRIPE_SECRET_KEY"]);
    assert_eq!(one(of_kind(&w, &ada, "weak_password").await), ["MAIL_PASSWORD"]);
    assert_eq!(one(of_kind(&w, &ada, "live_key_outside_production").await), ["STRIPE_SANDBOX_KEY"]);
}

#[tokio::test]
async fn a_finding_is_left_out_while_somebody_who_answers_for_it_says_so() {
    let w = World::new().await;
    let id = w.add("ada", "org", "API_KEY", &strong(1)).await;
    let ada = w.caller("ada");
    let found = of_kind(&w, &ada, "vague_name").await;
    let ask =
        |until: &str| json!({"id": found[0]["id"], "reason": "everybody here knows it", "until": until});

    assert_eq!(w.refused(&ada, "accept_finding", ask("2026-07-01")).await.code, Code::PeopleOnly);
    assert_eq!(
        w.refused(&w.person("otto"), "accept_finding", ask("2026-07-01")).await.code,
        Code::NotAllowed
    );
    assert_eq!(
        w.refused(&w.person("mia"), "accept_finding", ask("2026-07-01")).await.code,
        Code::FindingNotFound
    );
    for until in ["2026-05-01", "2028-01-01"] {
        assert_eq!(w.refused(&w.person("ada"), "accept_finding", ask(until)).await.code, Code::InvalidInput);
    }
    w.call(&w.person("ada"), "accept_finding", ask("2026-07-01")).await.unwrap();

    let page = report(&w, &ada, json!({"kind": "vague_name"})).await;
    assert_eq!((page["total"].as_u64(), page["accepted"].as_u64()), (Some(0), Some(1)));
    let shown = findings(&w, &w.caller("otto"), json!({"accepted": true})).await;
    assert_eq!(shown[0]["accepted"], "until 2026-07-01T00:00:00Z by ada: everybody here knows it");

    // Its facts change: another name would be better now.
    let service = json!({"credential": id, "service": "github"});
    w.call(&w.person("ada"), "update_credential", service).await.unwrap();
    assert_eq!(of_kind(&w, &ada, "vague_name").await[0]["id"], found[0]["id"]);
    w.call(&w.person("ada"), "accept_finding", ask("2026-07-01")).await.unwrap();
    assert!(of_kind(&w, &ada, "vague_name").await.is_empty());

    w.clock.advance_ms(31 * DAY_MS);
    assert_eq!(of_kind(&w, &ada, "vague_name").await.len(), 1, "its date passed");
    w.call(&w.person("ada"), "accept_finding", ask("2026-08-01")).await.unwrap();
    w.call(&w.person("ada"), "accept_finding", json!({"id": found[0]["id"], "reason": "not so"}))
        .await
        .unwrap();
    assert_eq!(of_kind(&w, &ada, "vague_name").await.len(), 1, "it was taken back");
    assert!(w.chain_is_whole().await);
}

#[tokio::test]
async fn a_report_says_what_is_new_and_what_is_gone() {
    let w = World::new().await;
    let id = w.add("ada", "org", "API_KEY", &strong(1)).await;
    let ada = w.caller("ada");
    let first = report(&w, &ada, json!({})).await;
    assert!(first["compared_with"].is_null() && first["total"] == 2, "{first}");

    w.clock.advance_ms(1000);
    let named = json!({"credential": id, "new_name": "GITHUB_TOKEN"});
    w.call_with(&w.person("ada"), "update_credential", named, &PersonYes).await.unwrap();
    w.add("ada", "org", "MAIL_PASSWORD", "hunter2").await;
    for _ in 0..2 {
        let second = report(&w, &ada, json!({})).await;
        let told = ["new", "gone", "still"].map(|word| second[word].as_u64().unwrap());
        assert_eq!(told, [2, 1, 1], "{second}");
        assert_eq!(second["gone_findings"][0], format!("vague_name of {id}"));
        let weak = &second["findings"][0];
        assert_eq!((weak["kind"].as_str(), weak["is_new"].as_bool()), (Some("weak_password"), Some(true)));
        w.clock.advance_ms(1000);
    }
    // Somebody else's reports are their own.
    assert!(report(&w, &w.caller("otto"), json!({})).await["compared_with"].is_null());
}

#[tokio::test]
async fn pages_are_small_and_hold_everything_once_and_filters_narrow() {
    let w = World::new().await;
    for n in 0..150 {
        let ask = json!({"name": format!("{}_{n:03}", "LEDGER_NAME".repeat(5)), "scope": "org"});
        w.call(&w.person("ada"), "create_credential", ask).await.unwrap();
    }
    w.add("tess", "core", "MAIL_PASSWORD", "hunter2").await;
    let ada = w.caller("ada");

    let all = findings(&w, &ada, json!({})).await;
    let ids: BTreeSet<_> = all.iter().map(|f| f["id"].to_string()).collect();
    assert_eq!((all.len(), ids.len()), (152, 152));
    assert_eq!(all, findings(&w, &ada, json!({})).await, "the same facts give the same report");
    let count = async |arguments: Value| findings(&w, &ada, arguments).await.len();
    assert_eq!(count(json!({"severity": "high"})).await, 1);
    assert_eq!(count(json!({"scope": "team"})).await, 2);
    assert_eq!(count(json!({"team": "core"})).await, 2);
    assert_eq!(count(json!({"credential": "MAIL_PASSWORD"})).await, 2);
    assert_eq!(count(json!({"service": "github"})).await, 0);
    assert_eq!(count(json!({"kind": "vague_description", "scope": "org"})).await, 150);
}

#[tokio::test]
async fn consumers_that_lack_something_or_hold_it_in_plain_are_told_of() {
    let w = World::new().await;
    w.add("ada", "org", "LEDGER_TOKEN", &strong(1)).await;
    let ask = json!({"name": "deployer", "scope": "org", "bindings": [
        {"variable": "LEDGER_TOKEN", "source": "org_secret"}, {"variable": "NOWHERE_TOKEN", "source": "org_secret"},
        {"variable": "OWN_TOKEN", "source": "user_secret"}, {"variable": "SPARE_TOKEN", "required": false},
        {"variable": "REGION", "source": "static", "text": "eu"}]});
    w.call_with(&w.person("ada"), "register_consumer", ask, &PersonYes).await.unwrap();
    let mine = json!({"name": "mine", "scope": "personal", "bindings": [{"variable": "HIDDEN_TOKEN"}]});
    w.call_with(&w.person("max"), "register_consumer", mine, &PersonYes).await.unwrap();

    let found = of_kind(&w, &w.caller("ada"), "missing_credential").await;

    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0]["evidence"]["looks_for"], "NOWHERE_TOKEN");
    assert_eq!(of_kind(&w, &w.caller("max"), "missing_credential").await.len(), 2);
    assert!(of_kind(&w, &w.caller("ada"), "static_binding").await.is_empty());
}

#[tokio::test]
async fn a_scope_is_recommended_from_real_consumers_and_teams_within_the_plan() {
    let w = World::new().await;
    let ask = json!({"name": "deployer", "scope": "team", "team": "core"});
    w.call_with(&w.person("tess"), "register_consumer", ask, &PersonYes).await.unwrap();
    let wanted = json!({"name": "LEDGER_TOKEN", "consumers": ["deployer"]});
    let advice = w.call(&w.caller("tess"), "recommend_scope", wanted.clone()).await.unwrap();
    assert_eq!((advice["scope"].as_str(), advice["team"].as_str()), (Some("team"), Some("core")));
    assert!(advice["next"][0].as_str().unwrap().contains("create_credential"));

    // Who may not keep it there is told so, and a consumer that they may not know of is not found.
    let told = w.call(&w.caller("mia"), "recommend_scope", wanted.clone()).await.unwrap();
    assert!(told["next"][0].as_str().unwrap().contains("ask whoever may"), "{told}");
    assert_eq!(
        w.refused(&w.caller("max"), "recommend_scope", wanted.clone()).await.code,
        Code::ConsumerNotFound
    );

    w.add("tess", "personal", "LEDGER_TOKEN", &strong(1)).await;
    w.add("max", "personal", "LEDGER_TOKEN", &strong(2)).await;
    let advice = w.call(&w.caller("tess"), "recommend_scope", wanted.clone()).await.unwrap();
    assert_eq!(advice["existing"].as_array().unwrap().len(), 1, "another's own is not told of");

    w.call(&w.person("ada"), "set_policy", json!({"sharing_plan": "workspace"})).await.unwrap();
    let advice = w.call(&w.caller("tess"), "recommend_scope", wanted).await.unwrap();
    assert_eq!(advice["scope"], "org");
    assert!(advice["trade_offs"][1].as_str().unwrap().contains("not allowed"));
}

#[tokio::test]
async fn what_a_service_s_or_the_org_s_policy_says_is_overdue_is_found_too() {
    let w = World::new().await;
    let id = w.add("ada", "org", "LEDGER_TOKEN", &strong(1)).await;
    w.add("ada", "org", "STRIPE_TOKEN", &strong(2)).await;
    let service = json!({"credential": "STRIPE_TOKEN", "service": "stripe"});
    w.call_with(&w.person("ada"), "update_credential", service, &PersonYes).await.unwrap();
    w.clock.advance_ms(40 * DAY_MS);
    let ada = w.caller("ada");
    assert!(of_kind(&w, &ada, "rotation_overdue").await.is_empty());

    let policy = async |given: Value| {
        w.call_with(&w.person("ada"), "set_rotation_policy", given, &PersonYes).await.unwrap()
    };
    policy(json!({"service": "stripe", "days": 30})).await;
    let found = of_kind(&w, &ada, "rotation_overdue").await;
    assert_eq!(found.iter().flat_map(names).collect::<Vec<_>>(), ["STRIPE_TOKEN"]);
    assert_eq!(found[0]["evidence"]["every_days"], "30");

    policy(json!({"days": 35})).await;
    assert_eq!(of_kind(&w, &ada, "rotation_overdue").await.len(), 2);
    // Its own comes before the org's.
    policy(json!({"credential": id, "days": 365})).await;
    assert_eq!(of_kind(&w, &ada, "rotation_overdue").await.len(), 1);
}

#[tokio::test]
async fn a_consumer_that_is_bound_to_another_name_has_no_part_in_a_recommendation() {
    let w = World::new().await;
    w.add("tess", "core", "LEDGER_TOKEN", &strong(1)).await;
    let bindings = json!([{"variable": "OTHER_TOKEN", "source": "org_secret"}]);
    let other = json!({"name": "stranger", "scope": "org", "bindings": bindings});
    w.call_with(&w.person("ada"), "register_consumer", other, &PersonYes).await.unwrap();

    let advice = w.call(&w.caller("ada"), "recommend_scope", json!({"name": "LEDGER_TOKEN"})).await.unwrap();

    assert!(!advice.to_string().contains("stranger"), "{advice}");
}

#[tokio::test]
async fn who_leaves_is_planned_for_by_admins_and_what_is_their_own_stays_their_own() {
    let w = World::new().await;
    w.add("max", "personal", "HIDDEN_TOKEN", &strong(1)).await;
    w.add("max", "ops", "OPS_TOKEN", &strong(2)).await;
    w.add("ada", "org", "LEDGER_TOKEN", &strong(3)).await;
    w.add("tess", "core", "CORE_TOKEN", &strong(4)).await;
    let share = json!({"credential": "LEDGER_TOKEN", "user": "max", "level": "view", "reason": "a test"});
    w.call_with(&w.person("ada"), "share_credential", share, &PersonYes).await.unwrap();
    for name in ["LEDGER_TOKEN", "HIDDEN_TOKEN"] {
        let wanted = unsaid::ops::hand_over::HandOver { names: vec![name.into()], ..Default::default() };
        unsaid::ops::hand_over::hand_over(&w.app, &w.person("max"), wanted).await.unwrap();
    }

    for other in ["otto", "tess", "max"] {
        let refused = w.refused(&w.caller(other), "plan_offboarding", json!({"user": "max"})).await;
        assert_eq!(refused.code, Code::NotAllowed);
    }
    assert_eq!(
        w.refused(&w.stranger("ada"), "plan_offboarding", json!({"user": format!("user-{}-max", w.org)}))
            .await
            .code,
        Code::UserNotFound
    );
    let plan = w.call(&w.caller("ada"), "plan_offboarding", json!({"user": "max"})).await.unwrap();
    let steps: Vec<_> = plan["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| format!("{} {}", s["step"].as_str().unwrap(), s["name"].as_str().unwrap()))
        .collect();
    assert_eq!(
        steps,
        ["account max", "rotate OPS_TOKEN", "rotate LEDGER_TOKEN", "team ops", "grant LEDGER_TOKEN"],
        "{plan}"
    );
    assert!(!plan.to_string().contains("HIDDEN") && !plan.to_string().contains("CORE_TOKEN"));

    // Replaced since: nothing of what they had is of use.
    w.clock.advance_ms(1000);
    let target = unsaid::ops::credential::value::Target::Existing("org/LEDGER_TOKEN".into());
    let values = vec![("value".to_owned(), unsaid::secret::SecretBytes::copied(strong(9).as_bytes()))];
    unsaid::ops::credential::value::enter_value(&w.app, &w.person("ada"), target, values, String::new())
        .await
        .unwrap();
    w.call_with(&w.person("ada"), "update_user", json!({"user": "max", "disabled": true}), &FormYes)
        .await
        .unwrap();
    let plan = w.call(&w.caller("ada"), "plan_offboarding", json!({"user": "max"})).await.unwrap();
    assert_eq!((plan["counts"]["rotate"].as_u64(), plan["counts"]["account"].as_u64()), (Some(1), None));
}

#[tokio::test]
async fn a_plan_of_many_steps_comes_in_small_pages() {
    let w = World::new().await;
    for n in 0..120 {
        w.add("max", "ops", &format!("LEDGER_TOKEN_{n:03}"), &strong(n)).await;
    }
    let (mut seen, mut arguments) = (BTreeSet::new(), json!({"user": "max"}));
    loop {
        let page = w.call(&w.caller("ada"), "plan_offboarding", arguments.clone()).await.unwrap();
        assert!(page.to_string().len() < 24_000);
        for step in page["steps"].as_array().unwrap() {
            assert!(seen.insert(format!("{}{}", step["step"], step["id"])), "{step} twice");
        }
        match page.get("next_cursor") {
            Some(cursor) => arguments["cursor"] = cursor.clone(),
            None => break,
        }
    }
    assert_eq!(seen.len(), 122);
}
