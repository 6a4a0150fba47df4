//! The log: nothing happens without it, everything leaves one event, and no edit of it goes unseen.
use crate::support::world::{FormYes, PersonYes, START, World};
use rusqlite::Connection;
use rusqlite::types::Value as Cell;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use unsaid::app::App;
use unsaid::error::{Code, Error};
use unsaid::ids::CredentialId;
use unsaid::model::access::Caller;
use unsaid::model::canary::CanaryAlert;
use unsaid::model::echo::MOST_ECHOES;
use unsaid::model::event::{AuditRow, Event};
use unsaid::model::token::Purpose;
use unsaid::ops::hand_over::{HandOver, hand_over};
use unsaid::ops::token::{NewToken, create};
use unsaid::ops::{Effect, catalog};
use unsaid::store::Verified;

fn attacker(w: &World) -> Connection {
    Connection::open(w.app.config.places.database()).unwrap()
}

fn edit(w: &World, sql: &str) {
    attacker(w).execute_batch(sql).unwrap();
}

async fn rows(w: &World) -> Vec<AuditRow> {
    let org = w.org.clone();
    w.app.store.read(move |tx| tx.audit_after(&org, 0, 10_000)).await.unwrap()
}

async fn verify(w: &World) -> Verified {
    let org = w.org.clone();
    w.app.store.read(move |tx| tx.verify_audit(&org, None)).await.unwrap()
}

async fn take(w: &World, login: &str, name: &str) -> Result<usize, Error> {
    let wanted = HandOver { names: vec![name.into()], ..HandOver::default() };
    hand_over(&w.app, &w.caller(login), wanted).await.map(|handed| handed.len())
}

/// Every row of every table but the log's own.
fn everything(w: &World) -> Vec<Vec<Cell>> {
    let conn = attacker(w);
    let mut tables = conn
        .prepare(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'audit%' ORDER BY name",
        )
        .unwrap();
    let names: Vec<String> = tables.query_map([], |r| r.get(0)).unwrap().map(Result::unwrap).collect();
    let mut all = Vec::new();
    for name in names {
        let mut rows = conn.prepare(&format!("SELECT * FROM {name}")).unwrap();
        let width = rows.column_count();
        let cells = |r: &rusqlite::Row<'_>| (0..width).map(|i| r.get(i)).collect::<Result<Vec<Cell>, _>>();
        all.extend(rows.query_map([], cells).unwrap().map(Result::unwrap));
    }
    all
}

/// Stands for the first finding of ada's report.
const FINDING: &str = "the first finding";
/// Of a canary of the org.
const ALERT: &str = "the-alert";

/// `arguments` with the finding that is meant, and until when it is accepted.
fn with_finding(mut arguments: Value, (finding, until): &(String, String)) -> Value {
    if arguments["id"] == FINDING {
        arguments["id"] = finding.as_str().into();
        arguments["until"] = until.as_str().into();
    }
    arguments
}

/// One good call of every operation that does more than read, in an order that works, by an admin in person.
fn life() -> Vec<(&'static str, Value)> {
    let why = "a test";
    vec![
        ("accept_finding", json!({"id": FINDING, "reason": why})),
        ("mark_canary", json!({"credential": "ROTATED"})),
        ("acknowledge_canary", json!({"alert": ALERT})),
        ("create_credential", json!({"name": "A_KEY", "scope": "org"})),
        ("update_credential", json!({"credential": "A_KEY", "description": "new words"})),
        ("set_credential_value", json!({"credential": "A_KEY"})),
        ("share_credential", json!({"credential": "A_KEY", "user": "max", "level": "view", "reason": why})),
        ("unshare_credential", json!({"credential": "A_KEY", "user": "max"})),
        ("delete_credential", json!({"credential": "A_KEY", "reason": why})),
        ("restore_credential", json!({"credential": "A_KEY"})),
        ("delete_credential", json!({"credential": "A_KEY", "reason": why})),
        ("purge_credential", json!({"credential": "A_KEY", "reason": why})),
        ("create_oauth_provider", json!({"service": "github", "name": "hub", "client_id": "abc"})),
        ("update_oauth_provider", json!({"provider": "hub", "client_id": "abcd"})),
        ("create_credential", json!({"name": "A_GRANT", "scope": "org", "type": "oauth", "provider": "hub"})),
        ("connect_credential", json!({"credential": "A_GRANT"})),
        ("delete_credential", json!({"credential": "A_GRANT", "reason": why})),
        ("purge_credential", json!({"credential": "A_GRANT", "reason": why})),
        ("delete_oauth_provider", json!({"provider": "hub"})),
        ("register_consumer", json!({"name": "bot", "scope": "org", "bindings": [{"variable": "A_KEY"}]})),
        ("update_consumer", json!({"consumer": "bot", "set_bindings": [{"variable": "B_KEY"}]})),
        ("report_use", json!({"consumer": "bot", "outcome": "ok"})),
        ("remove_consumer", json!({"consumer": "bot"})),
        ("start_rotation", json!({"credential": "ROTATED"})),
        ("advance_rotation", json!({"rotation": "ROTATED"})),
        ("abort_rotation", json!({"rotation": "ROTATED"})),
        ("set_rotation_policy", json!({"credential": "ROTATED", "days": 90})),
        ("set_policy", json!({"bin_days": 31})),
        ("add_user", json!({"login": "new"})),
        ("update_user", json!({"user": "new", "display_name": "New"})),
        ("create_team", json!({"name": "fresh"})),
        ("set_member", json!({"team": "fresh", "user": "new", "role": "member"})),
        ("remove_member", json!({"team": "fresh", "user": "new"})),
        ("delete_team", json!({"team": "fresh"})),
        ("revoke_token", json!({"id": "laptop"})),
        ("lift_suspension", json!({"credential": "REPEATED_KEY"})),
        ("erase_user", json!({"user": "new"})),
    ]
}

/// The token that `life` ends, the suspension that it lifts, the alert, and the value that it rotates. Returns a finding, and a day.
async fn prepare(w: &World) -> (String, String) {
    w.add("ada", "org", "ROTATED", "words").await;
    let laptop = NewToken {
        label: "laptop".into(),
        user: None,
        purpose: Purpose::Mcp,
        toolsets: Vec::new(),
        consumer: None,
        read_only: false,
        is_assured: true,
        expires_at: None,
    };
    create(&w.app, &w.person("ada"), laptop).await.unwrap();
    let id = CredentialId(w.add("ada", "org", "REPEATED_KEY", "v").await);
    let (ada, now) = (w.person("ada"), w.app.now());
    let mut alert = CanaryAlert {
        id: ALERT.into(),
        org_id: w.org.clone(),
        credential_id: id.clone(),
        user_id: ada.user.clone(),
        door: "cli".into(),
        client: String::new(),
        consumer: String::new(),
        how: "process".into(),
        place: String::new(),
        first_at: now,
        last_at: now,
        times: 1,
        acknowledged_at: None,
        acknowledged_by: None,
        revision: 0,
    };
    w.app
        .store
        .write(&ada, move |tx| {
            for _ in 0..MOST_ECHOES {
                tx.count_echo(&id, "acme", 1)?;
            }
            tx.insert(&mut alert)?;
            tx.record_step(Event::of("use"), ())
        })
        .await
        .unwrap();
    // A report that differs from the last one leaves an event of its own: everybody has had theirs.
    w.call(&w.person("otto"), "audit_credentials", json!({})).await.unwrap();
    let report = w.call(&w.person("ada"), "audit_credentials", json!({})).await.unwrap();
    (report["findings"][0]["id"].as_str().unwrap().to_owned(), now.plus_days(30).to_string())
}

#[tokio::test]
async fn a_03_every_change_and_every_refusal_leaves_exactly_one_event() {
    let w = World::new().await;
    let changing: BTreeSet<_> =
        catalog().iter().filter(|e| e.effect != Effect::Reads).map(|e| e.name).collect();
    let tried: BTreeSet<_> = life().into_iter().map(|(name, _)| name).collect();
    // These ask a provider, or need a connection that one made: `tests/python/connecting.py` has them.
    let outside = BTreeSet::from(["disconnect_credential", "refresh_credential", "test_credential"]);
    let changing: BTreeSet<_> = changing.difference(&outside).copied().collect();
    assert_eq!(tried, changing, "life() has a call for every operation that does more than read");

    let finding = prepare(&w).await;
    for (name, arguments) in life() {
        let arguments = with_finding(arguments, &finding);
        let before = rows(&w).await.len();
        let refused = w.call_with(&w.person("otto"), name, arguments.clone(), &PersonYes).await.unwrap_err();
        let after = rows(&w).await;
        assert_eq!(after.len(), before + 1, "{name} refused with {refused:?}");
        let last = after.last().unwrap();
        assert_eq!((last.operation.as_str(), last.outcome.as_str()), (name, "refused"));
        assert_eq!(last.code, refused.code.name());

        let unknown = json!({"no_such_field": 1});
        let invalid = w.call_with(&w.person("ada"), name, unknown, &PersonYes).await.unwrap_err();
        let after = rows(&w).await;
        assert_eq!((after.len(), invalid.code), (before + 2, Code::InvalidInput), "{name}");

        w.call_with(&w.person("ada"), name, arguments, &PersonYes).await.unwrap();
        let after = rows(&w).await;
        assert_eq!(after.len(), before + 3, "{name} done");
        let last = after.last().unwrap();
        assert_eq!((last.operation.as_str(), last.outcome.as_str(), last.code.as_str()), (name, "ok", ""));
    }
    assert!(w.chain_is_whole().await);
}

#[tokio::test]
async fn a_03_a_read_leaves_none_and_a_refused_one_does() {
    let w = World::new().await;
    w.add("tess", "core", "TEAM_KEY", "words").await;
    let before = rows(&w).await.len();

    for name in ["list_credentials", "whoami", "list_services", "search_audit_log"] {
        w.call(&w.caller("mia"), name, json!({})).await.unwrap();
    }
    assert_eq!(rows(&w).await.len(), before);

    w.refused(&w.caller("mia"), "get_usage", json!({"credential": "TEAM_KEY"})).await;
    w.refused(&w.caller("mia"), "verify_audit_log", json!({})).await;
    assert_eq!(
        w.log().await[before..],
        ["get_usage refused not_allowed", "verify_audit_log refused not_allowed"]
    );
}

/// Ways in which the next event cannot be written, and how to undo them.
const FAULTS: [(&str, &str); 3] = [
    ("ALTER TABLE audit RENAME TO audit_aside", "ALTER TABLE audit_aside RENAME TO audit"),
    (
        "INSERT INTO audit SELECT org_id, (SELECT max(seq) + 1 FROM audit WHERE org_id = 'acme'), at, user_id, door, client, \
         request, consumer, operation, outcome, code, object_kind, object_id, object_name, version, revision, scope, owner, \
         reason, details, mac FROM audit WHERE org_id = 'acme' AND seq = 1",
        "DELETE FROM audit WHERE org_id = 'acme' AND seq = (SELECT max(seq) FROM audit WHERE org_id = 'acme')",
    ),
    (
        "CREATE TABLE audit_kept AS SELECT * FROM audit_head; DELETE FROM audit_head WHERE org_id = 'acme'",
        "INSERT INTO audit_head SELECT * FROM audit_kept WHERE org_id = 'acme'; DROP TABLE audit_kept",
    ),
];

#[tokio::test]
async fn a_01_nothing_changes_while_the_log_cannot_be_written() {
    for (fault, repair) in FAULTS {
        let w = World::new().await;
        let finding = prepare(&w).await;
        w.add("ada", "org", "ORG_KEY", "words").await;
        for (name, arguments) in life() {
            let arguments = with_finding(arguments, &finding);
            edit(&w, fault);
            let before = everything(&w);
            let e = w.call_with(&w.person("ada"), name, arguments.clone(), &PersonYes).await.unwrap_err();
            assert!(matches!(e.code, Code::Internal | Code::Integrity), "{name}: {e:?}");
            assert!(!format!("{e} {}", e.next_step()).to_lowercase().contains("sql"));
            assert!(everything(&w) == before, "{name} changed something");
            let refused = take(&w, "ada", "ORG_KEY").await.unwrap_err();
            assert!(matches!(refused.code, Code::Internal | Code::Integrity), "{refused:?}");
            edit(&w, repair);
            w.call_with(&w.person("ada"), name, arguments, &PersonYes).await.unwrap();
        }
        assert!(w.chain_is_whole().await);
        assert_eq!(take(&w, "ada", "ORG_KEY").await.unwrap(), 1);
    }
}

#[tokio::test]
async fn a_02_the_event_is_committed_before_the_value_is_opened() {
    let w = World::new().await;
    w.add("ada", "org", "ORG_KEY", "words").await;
    edit(&w, "UPDATE field SET sealed = zeroblob(200)");
    let before = rows(&w).await.len();

    // A value that does not open shows the order: the use stands in the log before the failure to open.
    let e = take(&w, "ada", "ORG_KEY").await.unwrap_err();
    assert_eq!(e.code, Code::BadEnvelope);
    assert_eq!(w.log().await[before..], ["use ok", "use failed bad_envelope"]);

    // And where the log fails, nobody gets as far as opening it.
    edit(&w, FAULTS[0].0);
    let e = take(&w, "ada", "ORG_KEY").await.unwrap_err();
    assert_eq!(e.code, Code::Internal);
    edit(&w, FAULTS[0].1);
    assert_eq!(rows(&w).await.len(), before + 2);
}

#[tokio::test]
async fn a_04_an_event_names_who_through_which_door_and_what_the_client_claims() {
    let w = World::new().await;
    let mut mia = w.caller("mia");
    mia.client = "some client 1.0".into();
    let ask = json!({"name": "MY_KEY"});

    w.call(&mia, "create_credential", ask).await.unwrap();
    w.refused(&mia, "delete_credential", json!({"credential": "NO_SUCH_KEY", "reason": "a test"})).await;

    for row in &rows(&w).await[1..] {
        assert_eq!((row.user.as_str(), row.door.as_str()), (mia.user.as_str(), "stdio"));
        assert_eq!((row.client.as_str(), row.request.as_str()), ("some client 1.0", mia.request.as_str()));
        assert_eq!((row.org.as_str(), row.at), ("acme", START));
        assert!(!row.request.is_empty());
    }
    let made = &rows(&w).await[1];
    assert_eq!((made.object_kind.as_str(), made.object_name.as_str()), ("credential", "MY_KEY"));
    assert_eq!((made.scope.as_str(), made.owner.as_str()), ("personal", mia.user.as_str()));
}

/// A world with a dozen events.
async fn busy() -> World {
    let w = World::new().await;
    for n in 0..5 {
        w.add("ada", "org", &format!("KEY_{n}"), "words").await;
    }
    take(&w, "mia", "KEY_1").await.unwrap();
    edit(&w, "CREATE TABLE audit_kept AS SELECT * FROM audit");
    w
}

fn restore(w: &World) {
    edit(w, "DELETE FROM audit; INSERT INTO audit SELECT * FROM audit_kept");
}

#[tokio::test]
async fn a_05_an_edit_of_any_column_of_any_event_is_named_by_its_number() {
    let w = busy().await;
    let last = rows(&w).await.len() as i64;
    assert_eq!(verify(&w).await, Verified { good: last, first_bad: None });
    let columns = [
        "at = at + 1",
        "user_id = 'user-acme-max'",
        "door = 'cli2'",
        "client = 'another'",
        "request = 'another'",
        "consumer = 'another'",
        "operation = 'list_credentials'",
        "outcome = 'refused2'",
        "code = 'another'",
        "object_kind = 'another'",
        "object_id = 'another'",
        "object_name = 'another'",
        "version = 99",
        "revision = 99",
        "scope = 'another'",
        "owner = 'another'",
        "reason = 'another'",
        "details = '{\"a\":1}'",
        "mac = zeroblob(36)",
        "mac = zeroblob(0)",
        "reason = CAST(x'ff' AS TEXT)",
    ];
    for change in columns {
        for seq in [1, 2, last / 2, last] {
            edit(&w, &format!("UPDATE audit SET {change} WHERE org_id = 'acme' AND seq = {seq}"));
            let found = verify(&w).await;
            assert_eq!(found.first_bad.map(|(at, _)| at), Some(seq), "{change} of {seq}");
            assert_eq!(found.good, seq - 1);
            restore(&w);
        }
    }
    assert_eq!(verify(&w).await.first_bad, None);
}

#[tokio::test]
async fn a_05_events_taken_out_put_in_swapped_or_moved_are_named() {
    let w = busy().await;
    let last = rows(&w).await.len() as i64;
    let at = |n: i64| format!("org_id = 'acme' AND seq = {n}");
    for n in 1..=last {
        edit(&w, &format!("DELETE FROM audit WHERE {}", at(n)));
        assert_eq!(verify(&w).await.first_bad.map(|(at, _)| at), Some(n), "without {n}");
        restore(&w);
        // One put in: what follows moves on by one.
        edit(
            &w,
            &format!(
                "UPDATE audit SET seq = -seq WHERE org_id = 'acme' AND seq >= {n}; \
                 UPDATE audit SET seq = 1 - seq WHERE org_id = 'acme' AND seq < 0; \
                 INSERT INTO audit SELECT org_id, {n}, at, user_id, door, client, request, consumer, operation, outcome, code, \
                 object_kind, object_id, object_name, version, revision, scope, owner, reason, details, mac \
                 FROM audit_kept WHERE {}",
                at(n)
            ),
        );
        // The one put in is a true copy of the one it stands before, so the copy is good and the original is not.
        assert_eq!(verify(&w).await.first_bad.map(|(at, _)| at), Some(n + 1), "one more at {n}");
        restore(&w);
    }
    for n in 1..last {
        edit(
            &w,
            &format!(
                "UPDATE audit SET seq = -1 WHERE {}; UPDATE audit SET seq = {n} WHERE {}; \
                 UPDATE audit SET seq = {} WHERE org_id = 'acme' AND seq = -1",
                at(n),
                at(n + 1),
                n + 1
            ),
        );
        assert_eq!(verify(&w).await.first_bad.map(|(at, _)| at), Some(n), "{n} and the next swapped");
        restore(&w);
    }
    // Chained events of a future that never was.
    edit(
        &w,
        &format!(
            "INSERT INTO audit SELECT org_id, {}, at, user_id, door, client, request, consumer, operation, outcome, code, \
             object_kind, object_id, object_name, version, revision, scope, owner, reason, details, mac FROM audit_kept WHERE {}",
            last + 1,
            at(last)
        ),
    );
    assert_eq!(verify(&w).await.first_bad.map(|(at, _)| at), Some(last + 1));
}

#[tokio::test]
async fn a_07_an_event_of_another_org_is_none_of_this_one() {
    let w = busy().await;
    let take_over = "DELETE FROM audit WHERE org_id = 'acme' AND seq = 1; \
                     INSERT INTO audit SELECT 'acme', seq, at, user_id, door, client, request, consumer, operation, outcome, code, \
                     object_kind, object_id, object_name, version, revision, scope, owner, reason, details, mac FROM audit_kept \
                     WHERE org_id = 'globex' AND seq = 1";

    edit(&w, take_over);

    assert_eq!(verify(&w).await.first_bad.map(|(at, _)| at), Some(1));
}

#[tokio::test]
async fn a_06_a_cut_off_end_is_seen_by_the_head_and_a_rolled_back_one_by_a_saved_checkpoint() {
    let w = busy().await;
    let last = rows(&w).await.len() as i64;
    edit(&w, "CREATE TABLE audit_then AS SELECT * FROM audit_head");
    let early = rows(&w).await.len();
    w.add("ada", "org", "LATER", "words").await;
    let saved = unsaid::ops::audit::checkpoint(&w.app, &w.person("ada")).await.unwrap().unwrap();
    assert_eq!(saved.seq as usize, early + 2);

    edit(&w, &format!("DELETE FROM audit WHERE org_id = 'acme' AND seq > {last}"));
    assert_eq!(verify(&w).await.first_bad.map(|(at, _)| at), Some(last + 1));
    let told = w.call(&w.caller("otto"), "verify_audit_log", json!({})).await.unwrap();
    assert_eq!((told["intact"].as_bool(), told["first_bad"]["seq"].as_i64()), (Some(false), Some(last + 1)));

    // The head of that time, put back with it: whole in itself, and not what was saved.
    edit(&w, "DELETE FROM audit_head; INSERT INTO audit_head SELECT * FROM audit_then");
    assert_eq!(verify(&w).await.first_bad, None);
    let ask = json!({"checkpoint": saved});
    let told = w.call(&w.caller("otto"), "verify_audit_log", ask).await.unwrap();
    assert_eq!((told["intact"].as_bool(), told["first_bad"]["seq"].as_i64()), (Some(false), Some(last + 1)));

    edit(&w, "DELETE FROM audit WHERE org_id = 'acme'");
    assert_eq!(verify(&w).await.first_bad.map(|(at, _)| at), Some(1));
    edit(&w, "DELETE FROM audit_head WHERE org_id = 'acme'");
    assert_eq!(verify(&w).await.first_bad.map(|(at, _)| at), Some(1));
    assert!(w.call_with(&w.person("ada"), "set_policy", json!({"bin_days": 7}), &FormYes).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_10_many_writers_of_several_programs_make_one_gapless_chain() {
    let w = World::new().await;
    let (writers, each) = (16, 12);
    let apps: Vec<Arc<App>> = (0..4)
        .map(|_| Arc::new(App::open_with(w.app.config.clone(), w.clock.clone(), None).unwrap()))
        .collect();
    let entry = unsaid::ops::find_entry("create_credential").unwrap();

    let tasks: Vec<_> = (0..writers)
        .map(|n| {
            let (app, caller): (_, Caller) = (apps[n % apps.len()].clone(), w.person("ada"));
            tokio::spawn(async move {
                for i in 0..each {
                    let arguments = json!({"name": format!("KEY_{n}_{i}"), "scope": "org"});
                    let arguments = arguments.as_object().cloned().unwrap();
                    let limits = unsaid::ops::Limits::default();
                    unsaid::ops::call(&app, &caller, entry, &limits, arguments, &PersonYes).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }

    let all = rows(&w).await;
    assert_eq!(all.len(), 1 + writers * each);
    assert!(all.iter().zip(1..).all(|(row, seq)| row.seq == seq));
    assert_eq!(verify(&w).await, Verified { good: all.len() as i64, first_bad: None });
    let names: BTreeSet<_> = all.iter().map(|row| row.object_name.clone()).collect();
    assert_eq!(names.len(), all.len());
}

#[tokio::test]
async fn a_13_a_clock_that_jumps_back_changes_no_order() {
    let w = World::new().await;
    w.call(&w.person("ada"), "add_user", json!({"login": "first"})).await.unwrap();
    w.clock.advance_ms(-3_600_000);
    w.call(&w.person("ada"), "add_user", json!({"login": "second"})).await.unwrap();

    let page = w.call(&w.caller("otto"), "search_audit_log", json!({"limit": 2})).await.unwrap();
    let names: Vec<_> =
        page["events"].as_array().unwrap().iter().map(|e| e["object"]["name"].clone()).collect();
    assert_eq!(names, ["second", "first"]);
    assert!(rows(&w).await[2].at < rows(&w).await[1].at);
    assert!(w.chain_is_whole().await);
}
