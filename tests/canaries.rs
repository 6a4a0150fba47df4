//! A credential that nothing should use: who uses it gets it, and gives themselves away to those who manage it.
use crate::support::shell::Shell;
use crate::support::world::World;
use serde_json::{Value, json};
use unsaid::error::Code;
use unsaid::model::access::{Caller, Door};
use unsaid::ops::hand_over::{HandOver, hand_over};
use unsaid::ops::scan::{Scan, scan};

/// CANARY_KEY of team core, which tess owns and mia uses; PLAIN_KEY beside it.
async fn world() -> World {
    let w = World::new().await;
    w.add("tess", "core", "CANARY_KEY", "a dead value").await;
    w.add("tess", "core", "PLAIN_KEY", "a live value").await;
    w.call(&w.person("tess"), "mark_canary", json!({"credential": "CANARY_KEY"})).await.unwrap();
    w
}

async fn take(w: &World, caller: &Caller, name: &str) -> String {
    let wanted = HandOver { names: vec![name.into()], command: "curl".into(), ..HandOver::default() };
    let handed = hand_over(&w.app, caller, wanted).await.unwrap();
    handed[0].value.expose(|value| String::from_utf8(value.to_vec()).unwrap())
}

async fn alerts(w: &World, login: &str) -> Vec<Value> {
    let mut answer = w.call(&w.person(login), "list_canaries", json!({})).await.unwrap();
    answer["alerts"].as_array_mut().map(std::mem::take).unwrap()
}

#[tokio::test]
async fn a_use_goes_on_as_any_other_and_leaves_an_alert_with_who_and_what() {
    let w = world().await;

    assert_eq!(take(&w, &w.person("mia"), "CANARY_KEY").await, "a dead value");

    let all = alerts(&w, "tess").await;
    assert_eq!(all.len(), 1);
    let a = &all[0];
    assert_eq!(
        (a["name"].as_str(), a["user"].as_str(), a["door"].as_str(), a["how"].as_str(), a["place"].as_str()),
        (Some("CANARY_KEY"), Some("mia"), Some("cli"), Some("process"), Some("curl"))
    );
    let log = w.log().await;
    assert_eq!(log[log.len() - 2..], ["canary_used ok", "use ok"]);
    assert!(w.chain_is_whole().await);
}

#[tokio::test]
async fn the_same_again_is_counted_and_another_way_is_another_alert() {
    let w = world().await;
    for _ in 0..3 {
        take(&w, &w.person("mia"), "CANARY_KEY").await;
    }
    take(&w, &w.caller("mia"), "CANARY_KEY").await;
    take(&w, &w.person("tom"), "CANARY_KEY").await;

    let all = alerts(&w, "tess").await;

    assert_eq!(all.len(), 3);
    let mut times: Vec<_> = all.iter().map(|a| a["times"].as_i64().unwrap()).collect();
    times.sort_unstable();
    assert_eq!(times, [1, 1, 3]);
    assert_eq!(w.log().await.iter().filter(|line| *line == "canary_used ok").count(), 5);
}

#[tokio::test]
async fn what_is_no_canary_what_is_refused_and_a_search_raise_nothing() {
    let w = world().await;
    take(&w, &w.person("mia"), "PLAIN_KEY").await;
    for login in ["otto", "max"] {
        let wanted = HandOver { names: vec!["CANARY_KEY".into()], ..HandOver::default() };
        assert!(hand_over(&w.app, &w.person(login), wanted).await.is_err());
    }
    let input = Box::new(&b"words"[..]);
    scan(&w.app, &w.person("mia"), Scan { input: Some(input), ..Scan::default() }).await.unwrap();
    let gone = json!({"credential": "CANARY_KEY", "remove": true});
    w.call(&w.person("tess"), "mark_canary", gone).await.unwrap();
    take(&w, &w.person("mia"), "CANARY_KEY").await;

    assert!(alerts(&w, "tess").await.is_empty());
    assert!(!w.log().await.contains(&"canary_used ok".to_owned()));
}

/// An answer with what tells two credentials apart taken out: their names, and ids.
fn alike(answer: &Value, ids: &[String]) -> String {
    let names = ["CANARY_KEY".to_owned(), "PLAIN_KEY".to_owned()];
    names.iter().chain(ids).fold(answer.to_string(), |text, one| text.replace(one, "…"))
}

#[tokio::test]
async fn who_only_uses_it_and_every_assistant_sees_a_credential_like_any_other() {
    let w = world().await;
    for name in ["CANARY_KEY", "PLAIN_KEY"] {
        take(&w, &w.person("mia"), name).await;
    }

    let mut ids = Vec::new();
    for name in ["CANARY_KEY", "PLAIN_KEY"] {
        let found = w.call(&w.caller("tess"), "get_credential", json!({"credential": name})).await.unwrap();
        ids.push(found["id"].as_str().unwrap().to_owned());
    }
    for caller in [
        w.caller("mia"),
        w.person("mia"),
        w.caller("tess"),
        w.caller("tom"),
        w.caller("ada"),
        w.caller("otto"),
    ] {
        for (operation, argument) in [
            ("get_credential", "credential"),
            ("list_credentials", "text"),
            ("explain_resolution", "name"),
            ("get_usage", "credential"),
        ] {
            let mut answers = Vec::new();
            for name in ["CANARY_KEY", "PLAIN_KEY"] {
                let answer = w.call(&caller, operation, json!({argument: name})).await;
                answers.push(alike(&answer.unwrap_or_else(|e| e.to_json()), &ids));
            }
            assert_eq!(answers[0], answers[1], "{operation} of {}", caller.user);
            assert!(!answers[0].to_lowercase().contains("canary"), "{operation}: {}", answers[0]);
        }
        let told = w.call(&caller, "search_audit_log", json!({"limit": 200})).await.unwrap().to_string();
        assert!(!told.replace("CANARY_KEY", "").to_lowercase().contains("canary"), "{}: {told}", caller.user);
        let asked = json!({"operation": "canary_used"});
        assert_eq!(w.call(&caller, "search_audit_log", asked).await.unwrap()["events"], json!([]));
    }
}

#[tokio::test]
async fn people_who_manage_it_and_those_who_read_the_whole_log_find_the_event() {
    let w = world().await;
    take(&w, &w.person("mia"), "CANARY_KEY").await;

    for (login, count) in [("tess", 1), ("tom", 1), ("ada", 1), ("otto", 1), ("mia", 0), ("max", 0)] {
        let found =
            w.call(&w.person(login), "search_audit_log", json!({"operation": "canary_used"})).await.unwrap();
        assert_eq!(found["events"].as_array().unwrap().len(), count, "{login}");
    }
    let last =
        w.call(&w.person("tess"), "get_credential", json!({"credential": "CANARY_KEY"})).await.unwrap();
    assert!(last.to_string().contains("canary_used"));
    // The alert itself is for those who manage it.
    for login in ["ada", "otto", "mia", "max"] {
        assert!(alerts(&w, login).await.is_empty(), "{login}");
    }
}

#[tokio::test]
async fn marking_and_acknowledging_is_for_people_who_manage_it() {
    let w = world().await;
    take(&w, &w.person("mia"), "CANARY_KEY").await;
    let alert = alerts(&w, "tess").await[0]["id"].clone();
    let mark = |name: &str| json!({"credential": name});
    let know = json!({"alert": alert, "reason": "the new intern"});
    for (caller, operation, arguments, code) in [
        (w.caller("tess"), "mark_canary", mark("PLAIN_KEY"), Code::PeopleOnly),
        (w.person("mia"), "mark_canary", mark("PLAIN_KEY"), Code::NotAllowed),
        (w.person("ada"), "mark_canary", mark("PLAIN_KEY"), Code::NotAllowed),
        (w.person("max"), "mark_canary", mark("PLAIN_KEY"), Code::CredentialNotFound),
        (w.person("tess"), "mark_canary", mark("CANARY_KEY"), Code::NothingToDo),
        (w.caller("tess"), "list_canaries", json!({}), Code::PeopleOnly),
        (w.caller("tess"), "acknowledge_canary", know.clone(), Code::PeopleOnly),
        (w.person("mia"), "acknowledge_canary", know.clone(), Code::AlertNotFound),
        (w.person("ada"), "acknowledge_canary", know.clone(), Code::AlertNotFound),
        (w.person("tess"), "acknowledge_canary", json!({"alert": "nothing"}), Code::AlertNotFound),
        (
            Caller { door: Door::Cli, ..w.stranger("ada") },
            "acknowledge_canary",
            know.clone(),
            Code::AlertNotFound,
        ),
    ] {
        let before = w.log().await.len();
        let e = w.refused(&caller, operation, arguments).await;
        assert_eq!(e.code, code, "{operation} by {}", caller.user);
        let log = w.log().await.split_off(before);
        let is_ours = caller.org == w.org;
        assert_eq!(log.len(), usize::from(is_ours), "{log:?}");
        assert!(log.iter().all(|line| line.ends_with(code.name())), "{log:?}");
    }
    assert_eq!(alerts(&w, "tom").await.len(), 1);

    w.call(&w.person("tom"), "acknowledge_canary", know.clone()).await.unwrap();

    assert!(alerts(&w, "tess").await.is_empty());
    assert_eq!(w.refused(&w.person("tess"), "acknowledge_canary", know).await.code, Code::NothingToDo);
    take(&w, &w.person("mia"), "CANARY_KEY").await;
    assert_eq!(alerts(&w, "tess").await.len(), 1);
}

#[tokio::test]
async fn a_mark_that_was_changed_outside_stops_the_use() {
    let w = world().await;
    let path = w.app.config.places.database();
    let conn = rusqlite::Connection::open(path).unwrap();

    conn.execute("UPDATE canary SET created_by = 'somebody'", []).unwrap();

    let wanted = HandOver { names: vec!["CANARY_KEY".into()], ..HandOver::default() };
    let e = hand_over(&w.app, &w.person("mia"), wanted).await.err().unwrap();
    assert_eq!(e.code, Code::Integrity);
}

#[test]
fn at_the_command_line_a_canary_is_made_with_a_value_that_nobody_sees() {
    let shell = Shell::new();

    let made = shell.ok(&["set", "GITHUB_ADMIN_TOKEN", "--service", "github", "--canary"], "");
    assert!(made.contains("It is a canary"), "{made}");
    assert!(!made.contains("ghp_") && !made.contains("github_pat_"));
    let run = shell.ok(
        &["run", "--only", "GITHUB_ADMIN_TOKEN", "--", "sh", "-c", "printf %.3s $GITHUB_ADMIN_TOKEN"],
        "",
    );
    assert!(run.starts_with("gh") || run.starts_with("git"), "{run}");

    let status = shell.ok(&["status"], "");
    assert!(status.contains("CANARY USED") && status.contains("GITHUB_ADMIN_TOKEN"), "{status}");
    assert!(shell.ok(&["show", "GITHUB_ADMIN_TOKEN"], "").contains("1 open alerts"));
    let doctor = shell.run(&["doctor"], "").out;
    assert!(doctor.contains("warn  canaries: 1 alerts"), "{doctor}");
    let all: Value = serde_json::from_str(&shell.ok(&["canary", "--json"], "")).unwrap();
    let id = all["alerts"][0]["id"].as_str().unwrap();
    shell.ok(&["canary", "acknowledge", id, "--reason", "a test"], "");
    assert!(!shell.ok(&["status"], "").contains("CANARY USED"));
    assert!(shell.run(&["doctor"], "").out.contains("ok    canaries: none was used"));

    for (args, code) in [
        (&["set", "GITHUB_ADMIN_TOKEN", "--canary"][..], 2),
        (&["set", "OTHER_KEY", "--canary", "--type", "basic"], 2),
        (&["set", "OTHER_KEY", "--canary", "--stdin"], 2),
        (&["canary", "mark", "NO_SUCH_KEY"], 4),
        (&["canary", "mark", "GITHUB_ADMIN_TOKEN"], 5),
        (&["canary", "acknowledge", "01NOTHING"], 4),
    ] {
        assert_eq!(shell.run(args, "").code, code, "{args:?}");
    }
    shell.ok(&["canary", "unmark", "GITHUB_ADMIN_TOKEN"], "");
    assert!(shell.ok(&["canary"], "").contains("You manage no canary."));
}
