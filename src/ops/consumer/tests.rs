use crate::error::{Code, Error};
use crate::model::Word as _;
use crate::model::access::{Caller, Door};
use crate::ops::hand_over::{Handed, hand_over_to};
use crate::testing::{FormYes, PersonYes, World};
use serde_json::{Value, json};

async fn add(w: &World, who: &str, input: Value) -> Result<Value, Error> {
    w.call_with(&w.person(who), "register_consumer", input, &PersonYes).await
}

async fn github(w: &World, who: &str, scope: &str, bindings: Value) -> Value {
    let mut input =
        json!({"name": "github", "scope": scope, "command": ["npx", "server"], "bindings": bindings});
    if scope == "team" {
        input["team"] = json!("core");
    }
    add(w, who, input).await.unwrap()
}

/// What is handed over, as `VARIABLE=value` of test values, and plain text.
async fn start(w: &World, who: &Caller, consumer: &str) -> Result<Vec<String>, Code> {
    let show = |h: &Handed| {
        let text = h.value.expose(|v| String::from_utf8_lossy(v).into_owned());
        format!("{}={text}", h.variable)
    };
    let started = hand_over_to(&w.app, who, consumer, "npx").await.map_err(|e| e.code)?;
    let mut all: Vec<_> = started.handed.iter().map(show).collect();
    all.extend(started.plain.iter().map(|(name, text)| format!("{name}={text}")));
    all.sort();
    Ok(all)
}

async fn value(w: &World, who: &str, scope: &str, name: &str, text: &str) {
    w.add(who, if scope == "team" { "core" } else { scope }, name, text).await;
}

/// Outcome and consumer of every `use` in the log.
async fn uses(w: &World) -> Vec<(String, String)> {
    let org = w.org.clone();
    let rows = w.app.store.read(move |tx| tx.audit_after(&org, 0, 10_000)).await.unwrap();
    rows.into_iter().filter(|r| r.operation == "use").map(|r| (r.outcome, r.consumer)).collect()
}

#[tokio::test]
async fn a_consumer_gets_what_it_is_bound_to_and_nothing_else() {
    let w = World::new().await;
    value(&w, "mia", "personal", "GITHUB_TOKEN", "mine").await;
    value(&w, "mia", "personal", "OTHER_KEY", "not bound").await;
    github(
        &w,
        "mia",
        "personal",
        json!([
            {"variable": "GITHUB_TOKEN"},
            {"variable": "GH_TOKEN", "credential": "GITHUB_TOKEN", "source": "user_secret"},
            {"variable": "LOG_LEVEL", "text": "debug"},
        ]),
    )
    .await;

    let got = start(&w, &w.person("mia"), "github").await.unwrap();

    assert_eq!(got, ["GH_TOKEN=mine", "GITHUB_TOKEN=mine", "LOG_LEVEL=debug"]);
    let log = uses(&w).await;
    assert_eq!(log.len(), 2);
    assert!(log.iter().all(|(outcome, consumer)| outcome == "ok" && consumer.len() == 26));
}

#[tokio::test]
async fn each_source_takes_from_its_own_place_and_never_from_another() {
    let w = World::new().await;
    value(&w, "mia", "personal", "KEY", "mias").await;
    value(&w, "tess", "team", "KEY", "cores").await;
    value(&w, "ada", "org", "KEY", "orgs").await;
    for (source, text) in
        [("auto", "mias"), ("user_secret", "mias"), ("team_secret", "cores"), ("org_secret", "orgs")]
    {
        let input = json!({"name": source, "bindings": [{"variable": "KEY", "source": source}]});
        add(&w, "mia", input).await.unwrap();

        assert_eq!(start(&w, &w.person("mia"), source).await.unwrap(), [format!("KEY={text}")], "{source}");
    }
    add(&w, "mia", json!({"name": "conn", "bindings": [{"variable": "KEY", "source": "oauth"}]}))
        .await
        .unwrap();
    assert_eq!(start(&w, &w.person("mia"), "conn").await.unwrap_err(), Code::Unresolved);
}

#[tokio::test]
async fn the_orgs_consumer_hands_each_person_their_own_value() {
    let w = World::new().await;
    value(&w, "mia", "personal", "KEY", "mias").await;
    value(&w, "max", "personal", "KEY", "maxs").await;
    github(&w, "ada", "org", json!([{"variable": "KEY", "source": "user_secret"}])).await;

    assert_eq!(start(&w, &w.person("mia"), "github").await.unwrap(), ["KEY=mias"]);
    assert_eq!(start(&w, &w.person("max"), "github").await.unwrap(), ["KEY=maxs"]);
    assert_eq!(start(&w, &w.person("tom"), "github").await.unwrap_err(), Code::Unresolved);
}

#[tokio::test]
async fn what_is_required_and_missing_stops_the_start_and_says_how_to_add_it() {
    let w = World::new().await;
    value(&w, "mia", "personal", "A_KEY", "a").await;
    let bindings =
        json!([{"variable": "A_KEY"}, {"variable": "B_KEY"}, {"variable": "C_KEY", "required": false}]);
    let answer = github(&w, "mia", "personal", bindings).await;

    assert_eq!(answer["ready"], false);
    let Err(e) = hand_over_to(&w.app, &w.person("mia"), "github", "npx").await else { panic!("it started") };
    assert_eq!(e.code, Code::Unresolved);
    assert!(e.message().contains("B_KEY") && e.next_step().contains("unsaid set B_KEY"), "{e:?}");
    let log = uses(&w).await;
    assert!(log.len() == 1 && log[0].0 == "refused", "{log:?}");

    value(&w, "mia", "personal", "B_KEY", "b").await;
    assert_eq!(start(&w, &w.person("mia"), "github").await.unwrap(), ["A_KEY=a", "B_KEY=b"]);
}

#[tokio::test]
async fn an_expired_override_does_not_fall_back_even_where_it_is_optional() {
    let w = World::new().await;
    value(&w, "ada", "org", "KEY", "orgs").await;
    value(&w, "mia", "personal", "KEY", "mias").await;
    github(&w, "ada", "org", json!([{"variable": "KEY", "required": false}])).await;
    let expires = w.app.now().plus_days(1).to_string();
    w.call(
        &w.person("mia"),
        "update_credential",
        json!({"credential": "personal/KEY", "expires_at": expires}),
    )
    .await
    .unwrap();
    w.clock.advance_ms(2 * crate::clock::DAY_MS);

    assert_eq!(start(&w, &w.person("mia"), "github").await.unwrap_err(), Code::CredentialExpired);
    assert_eq!(start(&w, &w.person("max"), "github").await.unwrap(), ["KEY=orgs"]);
}

#[tokio::test]
async fn get_consumer_says_what_wins_and_why_and_what_is_missing_and_how_to_add_it() {
    let w = World::new().await;
    value(&w, "mia", "personal", "KEY", "mias").await;
    value(&w, "ada", "org", "KEY", "orgs").await;
    let bindings = json!([{"variable": "KEY"}, {"variable": "GONE_KEY", "source": "org_secret"}]);
    github(&w, "ada", "org", bindings).await;

    let seen = w.call(&w.caller("mia"), "get_consumer", json!({"consumer": "github"})).await.unwrap();

    assert_eq!((&seen["ready"], &seen["for_user"]), (&json!(false), &json!("mia")));
    let checks = seen["checks"].as_array().unwrap();
    assert_eq!((&checks[1]["state"], &checks[1]["scope"]), (&json!("ready"), &json!("personal")));
    assert_eq!(checks[1]["runners_up"][0]["verdict"], "shadowed");
    assert_eq!(checks[0]["state"], "missing");
    assert!(checks[0]["next"].as_str().unwrap().contains("unsaid set GONE_KEY --scope org"));
    // Told to an admin it is about her, and not about the admin.
    let of_her = json!({"consumer": "github", "user": "mia"});
    let told = w.call(&w.caller("ada"), "get_consumer", of_her).await.unwrap();
    let why = told["checks"][0]["why"].as_str().unwrap();
    assert!(why.contains("they may use") && !why.contains("you"), "{why}");
}

#[tokio::test]
async fn one_of_another_account_or_environment_is_missing_and_the_next_step_says_which_is_meant() {
    let w = World::new().await;
    value(&w, "mia", "personal", "KEY", "mias").await;
    let bindings = json!([
        {"variable": "A_KEY", "credential": "KEY", "source": "user_secret", "account": "it's me"},
        {"variable": "B_KEY", "source": "user_secret", "environment": "staging"},
        {"variable": "C_KEY", "source": "team_secret", "team": "core"},
        {"variable": "D_KEY", "source": "oauth"},
    ]);
    github(&w, "mia", "personal", bindings).await;

    let seen = w.call(&w.caller("mia"), "get_consumer", json!({"consumer": "github"})).await.unwrap();

    let checks = seen["checks"].as_array().unwrap();
    let core = w.team("core");
    for (n, expected) in [
        (0, "`unsaid set KEY --account 'it'\\''s me'`".to_owned()),
        (1, "`unsaid set B_KEY --env staging`".to_owned()),
        (2, format!("`unsaid set C_KEY --scope team:{core}`")),
        (3, "`unsaid set D_KEY --type oauth --provider NAME`".to_owned()),
    ] {
        assert_eq!(checks[n]["state"], "missing", "{}", checks[n]);
        assert!(checks[n]["next"].as_str().unwrap().contains(&expected), "{}", checks[n]);
    }
    assert!(checks[0]["why"].as_str().unwrap().contains("of the account its me"), "{}", checks[0]);
    let e = hand_over_to(&w.app, &w.person("mia"), "github", "npx").await.map(|_| ()).unwrap_err();
    assert_eq!(e.code, Code::Unresolved);
    assert!(!e.message().contains("may not use it"), "{e:?}");
}

#[tokio::test]
async fn an_admin_who_looks_for_somebody_else_learns_nothing_of_what_is_personal() {
    let w = World::new().await;
    value(&w, "mia", "personal", "KEY", "mias").await;
    value(&w, "ada", "org", "KEY", "orgs").await;
    let bindings = json!([{"variable": "KEY"}, {"variable": "OWN_KEY", "source": "user_secret"}]);
    github(&w, "ada", "org", bindings).await;
    let look = |user: &str| {
        let input = json!({"consumer": "github", "user": user});
        let (w, who) = (&w, w.caller("ada"));
        async move { w.call(&who, "get_consumer", input).await.unwrap()["checks"].clone() }
    };

    let (mia, max) = (look("mia").await, look("max").await);

    assert_eq!(mia, max);
    assert_eq!(mia[0]["scope"], "org");
    let e = w.call(&w.caller("mia"), "get_consumer", json!({"consumer": "github", "user": "max"})).await;
    assert_eq!(e.unwrap_err().code, Code::NotAllowed);
}

#[tokio::test]
async fn a_model_binds_nothing_without_a_person() {
    let w = World::new().await;
    let bound = json!({"name": "a", "bindings": [{"variable": "KEY"}]});
    let started = json!({"name": "a", "command": ["sh"]});
    let remote = json!({"name": "a", "url": "https://mcp.example.com/"});
    for input in [bound, started, remote] {
        // A form can be forged by the client.
        for client in [&FormYes as &dyn crate::ops::Confirmer, &crate::ops::NoOne] {
            let e = w.call_with(&w.caller("mia"), "register_consumer", input.clone(), client).await;
            assert_eq!(e.unwrap_err().code, Code::ApprovalRequired);
        }
    }
    assert_eq!(w.call(&w.caller("mia"), "list_consumers", json!({})).await.unwrap()["consumers"], json!([]));
    // An empty one is only a name.
    w.call(&w.caller("mia"), "register_consumer", json!({"name": "a", "kind": "agent"})).await.unwrap();
    for change in [
        json!({"set_bindings": [{"variable": "KEY"}]}),
        json!({"set_bindings": [{"variable": "API_VERSION", "text": "2"}]}),
        json!({"command": ["sh"]}),
        json!({"url": "https://mcp.example.com/"}),
    ] {
        let mut input = change;
        input["consumer"] = json!("a");
        let e = w.call_with(&w.caller("mia"), "update_consumer", input, &FormYes).await;
        assert_eq!(e.unwrap_err().code, Code::ApprovalRequired);
    }
    w.call(&w.caller("mia"), "update_consumer", json!({"consumer": "a", "description": "mine"}))
        .await
        .unwrap();
}

#[tokio::test]
async fn an_approved_binding_is_what_the_person_was_shown() {
    let w = World::new().await;
    value(&w, "mia", "personal", "KEY", "mias").await;
    let input = json!({"name": "a", "bindings": [{"variable": "KEY"}]});
    let e = w.call(&w.caller("mia"), "register_consumer", input).await.unwrap_err();
    let id = e.details().iter().find(|(name, _)| *name == "approval_id").unwrap().1.clone();
    let shown = crate::ops::approval::show(&w.app, &w.person("mia"), &id).await.unwrap();
    assert!(shown.impact.contains("gets: KEY = auto (env)"), "{}", shown.impact);

    crate::ops::approval::approve(&w.app, &w.person("mia"), &id).await.unwrap();

    assert_eq!(start(&w, &w.person("mia"), "a").await.unwrap(), ["KEY=mias"]);
}

#[tokio::test]
async fn r_15_r_16_a_variable_that_changes_how_programs_run_takes_no_secret_and_plain_text_only_of_people() {
    let w = World::new().await;
    let with = |binding: Value| json!({"name": "a", "bindings": [binding]});
    for binding in [
        json!({"variable": "LD_PRELOAD"}),
        json!({"variable": "NODE_OPTIONS", "credential": "KEY"}),
        json!({"variable": "UNSAID_TOKEN", "text": "x"}),
    ] {
        assert_eq!(add(&w, "mia", with(binding)).await.unwrap_err().code, Code::ReservedName);
    }
    let configured = with(json!({"variable": "OPENAI_BASE_URL", "text": "https://api.example.com"}));
    let e = w.call_with(&w.caller("mia"), "register_consumer", configured.clone(), &PersonYes).await;
    assert_eq!(e.unwrap_err().code, Code::ReservedName);
    add(&w, "mia", configured).await.unwrap();
}

#[tokio::test]
async fn a_binding_that_does_not_fit_together_is_refused_and_nothing_is_kept() {
    let w = World::new().await;
    for binding in [
        json!({"variable": "KEY", "source": "static"}),
        json!({"variable": "KEY", "source": "auto", "text": "x"}),
        json!({"variable": "KEY", "text": "x", "delivery": "file"}),
        json!({"variable": "KEY", "text": "x", "credential": "OTHER"}),
        json!({"variable": "KEY", "methods": ["GET"]}),
        json!({"variable": "KEY", "delivery": "header", "service": "github", "methods": ["TRACE"]}),
        json!({"variable": "KEY", "delivery": "header", "service": "github", "paths": ["/a/../b"]}),
        json!({"variable": "KEY", "delivery": "header"}),
        json!({"variable": "KEY", "credential": "not a name"}),
        json!({"variable": "1KEY"}),
    ] {
        let e = add(&w, "mia", json!({"name": "a", "bindings": [binding.clone()]})).await.unwrap_err();
        assert_eq!(e.code, Code::InvalidInput, "{binding}");
    }
    let twice = json!({"name": "a", "bindings": [{"variable": "KEY"}, {"variable": "key"}]});
    assert_eq!(add(&w, "mia", twice).await.unwrap_err().code, Code::InvalidInput);
    let secret = format!("ghp_{}", "a1B2".repeat(9));
    let pasted = json!({"name": "a", "bindings": [{"variable": "KEY", "text": secret}]});
    assert_eq!(add(&w, "mia", pasted).await.unwrap_err().code, Code::SecretInArgument);
    let typed = json!({"name": "a", "command": ["x", format!("--token={secret}")]});
    assert_eq!(add(&w, "mia", typed).await.unwrap_err().code, Code::SecretInArgument);
    assert_eq!(w.call(&w.caller("mia"), "list_consumers", json!({})).await.unwrap()["consumers"], json!([]));
}

#[tokio::test]
async fn bindings_change_one_by_one_and_the_others_stay() {
    let w = World::new().await;
    github(&w, "mia", "personal", json!([{"variable": "A_KEY"}, {"variable": "B_KEY", "required": false}]))
        .await;
    let change =
        json!({"consumer": "github", "set_bindings": [{"variable": "B_KEY", "source": "org_secret"}]});
    let answer = w.call_with(&w.person("mia"), "update_consumer", change.clone(), &PersonYes).await.unwrap();

    let names = |v: &Value| -> Vec<String> {
        let one =
            |c: &Value| format!("{} {}", c["variable"].as_str().unwrap(), c["source"].as_str().unwrap());
        v["checks"].as_array().unwrap().iter().map(one).collect()
    };
    assert_eq!(names(&answer), ["A_KEY auto", "B_KEY org_secret"]);
    let remove = json!({"consumer": "github", "remove_bindings": ["A_KEY"]});
    let answer = w.call_with(&w.person("mia"), "update_consumer", remove.clone(), &FormYes).await.unwrap();
    assert_eq!(names(&answer), ["B_KEY org_secret"]);
    let e = w.call_with(&w.person("mia"), "update_consumer", remove, &FormYes).await.unwrap_err();
    assert_eq!(e.code, Code::InvalidInput);
}

#[tokio::test]
async fn a_removed_consumer_gets_nothing_and_its_name_is_free() {
    let w = World::new().await;
    value(&w, "mia", "personal", "KEY", "mias").await;
    github(&w, "mia", "personal", json!([{"variable": "KEY"}])).await;
    let e = w.call(&w.caller("mia"), "remove_consumer", json!({"consumer": "github"})).await.unwrap_err();
    assert_eq!(e.code, Code::ApprovalRequired);

    let gone =
        w.call_with(&w.caller("mia"), "remove_consumer", json!({"consumer": "github"}), &FormYes).await;

    assert_eq!(gone.unwrap()["name"], "github");
    assert_eq!(start(&w, &w.person("mia"), "github").await.unwrap_err(), Code::ConsumerNotFound);
    github(&w, "mia", "personal", json!([])).await;
}

#[tokio::test]
async fn nobody_learns_of_a_consumer_that_is_not_theirs() {
    let w = World::new().await;
    github(&w, "mia", "personal", json!([])).await;
    add(&w, "tess", json!({"name": "cores", "scope": "team", "team": "core"})).await.unwrap();

    for (who, name) in [("ada", "github"), ("max", "github"), ("otto", "github"), ("max", "cores")] {
        for door in [Door::Stdio, Door::Cli] {
            let caller = Caller { door, ..w.caller(who) };
            for op in ["get_consumer", "update_consumer", "remove_consumer"] {
                let input = json!({"consumer": name, "description": "x"});
                let input = if op == "update_consumer" { input } else { json!({"consumer": name}) };
                let e = w.call_with(&caller, op, input, &PersonYes).await.unwrap_err();
                assert_eq!(e.code, Code::ConsumerNotFound, "{who} {op} {}", door.as_str());
            }
            assert_eq!(start(&w, &caller, name).await.unwrap_err(), Code::ConsumerNotFound);
        }
    }
    let listed = w.call(&w.caller("max"), "list_consumers", json!({})).await.unwrap();
    assert_eq!(listed["consumers"], json!([]));
    let e = w.call(&w.stranger("mia"), "get_consumer", json!({"consumer": "github"})).await.unwrap_err();
    assert_eq!(e.code, Code::ConsumerNotFound);
}

#[tokio::test]
async fn a_member_runs_the_teams_consumer_and_does_not_change_it() {
    let w = World::new().await;
    value(&w, "tess", "team", "KEY", "cores").await;
    github(&w, "tess", "team", json!([{"variable": "KEY", "source": "team_secret"}])).await;

    assert_eq!(start(&w, &w.person("mia"), "github").await.unwrap(), ["KEY=cores"]);
    // An admin of the org sees it, is in no team, and starts nothing.
    assert_eq!(start(&w, &w.person("ada"), "github").await.unwrap_err(), Code::NotAllowed);
    for who in ["mia", "ada"] {
        let change = json!({"consumer": "github", "description": "x"});
        let e = w.call_with(&w.person(who), "update_consumer", change, &PersonYes).await.unwrap_err();
        assert_eq!(e.code, Code::NotAllowed);
    }
    let narrow = json!({"consumer": "github", "run_by": ["tom"]});
    w.call_with(&w.person("tess"), "update_consumer", narrow, &PersonYes).await.unwrap();
    assert_eq!(start(&w, &w.person("mia"), "github").await.unwrap_err(), Code::NotAllowed);
    assert_eq!(start(&w, &w.person("tom"), "github").await.unwrap(), ["KEY=cores"]);
    let widen = json!({"consumer": "github", "run_by": []});
    let e = w.call_with(&w.caller("tess"), "update_consumer", widen, &FormYes).await.unwrap_err();
    assert_eq!(e.code, Code::ApprovalRequired);
}

#[tokio::test]
async fn a_team_that_still_has_consumers_is_not_deleted_and_an_erased_persons_go() {
    let w = World::new().await;
    github(&w, "tess", "team", json!([])).await;
    let e =
        w.call_with(&w.person("ada"), "delete_team", json!({"team": "core"}), &PersonYes).await.unwrap_err();
    assert_eq!(e.code, Code::HasDependents);
    assert!(e.message().contains("consumer github"));
    github(&w, "max", "personal", json!([{"variable": "KEY"}])).await;

    w.call_with(&w.person("ada"), "update_user", json!({"user": "max", "disabled": true}), &PersonYes)
        .await
        .unwrap();
    w.call_with(&w.person("ada"), "erase_user", json!({"user": "max"}), &PersonYes).await.unwrap();

    let org = w.org.clone();
    let left = w.app.store.read(move |tx| tx.bindings_naming(&org, "KEY", "")).await.unwrap();
    assert!(left.is_empty());
}

#[tokio::test]
async fn a_grant_to_a_consumer_serves_it_and_nobody_without_it() {
    let w = World::new().await;
    value(&w, "tess", "team", "KEY", "cores").await;
    github(&w, "ada", "org", json!([{"variable": "KEY"}])).await;
    assert_eq!(start(&w, &w.person("max"), "github").await.unwrap_err(), Code::Unresolved);
    let share = |level: &str| json!({"credential": "KEY", "consumer": "github", "level": level, "reason": "the bot needs it"});
    let e =
        w.call_with(&w.person("tess"), "share_credential", share("manage"), &PersonYes).await.unwrap_err();
    assert_eq!(e.code, Code::InvalidInput);

    w.call_with(&w.person("tess"), "share_credential", share("use"), &PersonYes).await.unwrap();

    assert_eq!(start(&w, &w.person("max"), "github").await.unwrap(), ["KEY=cores"]);
    // By himself he has no right to it, and does not learn of it.
    let alone = w.call(&w.caller("max"), "explain_resolution", json!({"name": "KEY"})).await.unwrap();
    assert_eq!(alone["considered"], json!([]));
    add(&w, "max", json!({"name": "mine", "bindings": [{"variable": "KEY"}]})).await.unwrap();
    assert_eq!(start(&w, &w.person("max"), "mine").await.unwrap_err(), Code::Unresolved);
    let gone = json!({"credential": "KEY", "consumer": "github"});
    w.call_with(&w.person("tess"), "unshare_credential", gone, &FormYes).await.unwrap();
    assert_eq!(start(&w, &w.person("max"), "github").await.unwrap_err(), Code::Unresolved);
}

#[tokio::test]
async fn a_granted_but_unbound_credential_never_reaches_the_consumer() {
    let w = World::new().await;
    value(&w, "tess", "team", "KEY", "cores").await;
    value(&w, "ada", "org", "OTHER_KEY", "orgs").await;
    github(&w, "ada", "org", json!([{"variable": "OTHER_KEY"}])).await;
    let share = json!({"credential": "KEY", "consumer": "github", "level": "use", "reason": "r"});
    w.call_with(&w.person("tess"), "share_credential", share, &PersonYes).await.unwrap();

    assert_eq!(start(&w, &w.person("max"), "github").await.unwrap(), ["OTHER_KEY=orgs"]);
}

#[tokio::test]
async fn whoever_deletes_a_credential_sees_the_consumers_that_would_break() {
    let w = World::new().await;
    value(&w, "ada", "org", "KEY", "orgs").await;
    github(&w, "ada", "org", json!([{"variable": "GH", "credential": "KEY"}])).await;
    add(&w, "mia", json!({"name": "mias", "bindings": [{"variable": "KEY"}]})).await.unwrap();
    let e =
        w.call(&w.caller("ada"), "delete_credential", json!({"credential": "KEY", "reason": "old"})).await;
    let id = e.unwrap_err().details().iter().find(|(name, _)| *name == "approval_id").unwrap().1.clone();

    let shown = crate::ops::approval::show(&w.app, &w.person("ada"), &id).await.unwrap();

    assert!(shown.impact.contains("consumers bound to it: github (GH)"), "{}", shown.impact);
    assert!(!shown.impact.contains("mias"));
    let detail = w.call(&w.caller("ada"), "get_credential", json!({"credential": "KEY"})).await.unwrap();
    assert_eq!(detail["configuration"]["bound_to"], json!(["github (GH)"]));
}

async fn token(w: &World, who: &str, consumer: &str) -> Result<(String, String), Code> {
    let new = crate::ops::token::NewToken {
        label: "bot".into(),
        user: None,
        purpose: crate::model::token::Purpose::Consumer,
        consumer: Some(consumer.into()),
        toolsets: Vec::new(),
        read_only: false,
        is_assured: false,
        expires_at: None,
    };
    let (row, text) = crate::ops::token::create(&w.app, &w.person(who), new).await.map_err(|e| e.code)?;
    Ok((row.id.0, text.expose(str::to_owned)))
}

async fn verified(w: &World, text: &str, purpose: crate::model::token::Purpose) -> Result<Caller, Code> {
    let shown = crate::ops::token::Shown::new(text).map_err(|e| e.code)?;
    let verified = crate::ops::token::verify(&w.app, shown, purpose, Door::Http).await;
    verified.map(|v| v.caller).map_err(|e| e.code)
}

#[tokio::test]
async fn a_consumers_token_is_the_consumer_and_opens_no_tool_and_no_page() {
    use crate::model::token::Purpose;
    let w = World::new().await;
    let made = github(&w, "ada", "org", json!([])).await;
    let (_, text) = token(&w, "mia", "github").await.unwrap();

    let caller = verified(&w, &text, Purpose::Consumer).await.unwrap();

    assert_eq!(json!(caller.consumer), made["consumer"]["id"]);
    assert_eq!(caller.user, w.caller("mia").user);
    for purpose in [Purpose::Mcp, Purpose::SignIn] {
        assert_eq!(verified(&w, &text, purpose).await.unwrap_err(), Code::TokenInvalid);
    }
    add(&w, "max", json!({"name": "maxs"})).await.unwrap();
    assert_eq!(token(&w, "mia", "maxs").await.unwrap_err(), Code::ConsumerNotFound);
    assert_eq!(token(&w, "otto", "github").await.unwrap_err(), Code::NotAllowed);
}

#[tokio::test]
async fn a_consumers_token_ends_with_the_consumer_and_with_the_right_to_run_it() {
    use crate::model::token::Purpose;
    let w = World::new().await;
    github(&w, "ada", "org", json!([])).await;
    let (_, mias) = token(&w, "mia", "github").await.unwrap();
    let (_, toms) = token(&w, "tom", "github").await.unwrap();
    let narrow = json!({"consumer": "github", "run_by": ["mia"]});
    w.call_with(&w.person("ada"), "update_consumer", narrow, &PersonYes).await.unwrap();

    assert_eq!(verified(&w, &toms, Purpose::Consumer).await.unwrap_err(), Code::TokenInvalid);
    verified(&w, &mias, Purpose::Consumer).await.unwrap();
    w.call_with(&w.person("ada"), "remove_consumer", json!({"consumer": "github"}), &FormYes).await.unwrap();
    assert_eq!(verified(&w, &mias, Purpose::Consumer).await.unwrap_err(), Code::TokenInvalid);
}

#[tokio::test]
async fn a_rotated_token_goes_on_for_the_overlap_and_not_longer() {
    use crate::model::token::Purpose;
    let w = World::new().await;
    github(&w, "mia", "personal", json!([])).await;
    let (id, old) = token(&w, "mia", "github").await.unwrap();
    let rotate = |who: &str, overlap_ms: i64| {
        let (app, who, id) = (w.app.clone(), w.person(who), id.clone());
        async move { crate::ops::token::rotate(&app, &who, &id, overlap_ms, None).await.map_err(|e| e.code) }
    };
    assert_eq!(rotate("max", 0).await.unwrap_err(), Code::TokenNotFound);
    assert_eq!(rotate("mia", -1).await.unwrap_err(), Code::InvalidInput);
    assert_eq!(rotate("mia", 31 * crate::clock::DAY_MS).await.unwrap_err(), Code::InvalidInput);

    let (row, text) = rotate("mia", 3_600_000).await.unwrap();

    let new = text.expose(str::to_owned);
    assert_eq!(row.consumer, "github");
    for text in [&old, &new] {
        verified(&w, text, Purpose::Consumer).await.unwrap();
    }
    w.clock.advance_ms(3_600_001);
    assert_eq!(verified(&w, &old, Purpose::Consumer).await.unwrap_err(), Code::TokenInvalid);
    verified(&w, &new, Purpose::Consumer).await.unwrap();
    assert_eq!(rotate("mia", 0).await.unwrap_err(), Code::TokenNotFound);
}

async fn lent(w: &World, who: &str) -> Result<String, Code> {
    let (row, _) = token(w, who, "bot").await?;
    drop(row);
    let started = hand_over_to(&w.app, &w.person(who), "bot", "sh").await.map_err(|e| e.code)?;
    let meant =
        crate::ops::hand_over::meant(&w.app, &started.caller, "bot", "github").await.map_err(|e| e.code)?;
    let opened = crate::ops::hand_over::open_for_request(
        &w.app,
        &started.caller,
        &meant,
        &crate::ops::hand_over::Stated::default(),
        "GET /user".into(),
        "api.github.com".into(),
    )
    .await
    .map_err(|e| e.code)?;
    Ok(opened.value.fields[0].value.expose(|v| String::from_utf8_lossy(v).into_owned()))
}

#[tokio::test]
async fn what_the_broker_adds_is_never_handed_over_and_each_use_is_on_record() {
    let w = World::new().await;
    value(&w, "mia", "personal", "GITHUB_TOKEN", "mine").await;
    let bindings = json!([{"variable": "GITHUB_TOKEN", "delivery": "header", "paths": ["/user"]}]);
    add(&w, "mia", json!({"name": "bot", "bindings": bindings})).await.unwrap();

    assert_eq!(start(&w, &w.person("mia"), "bot").await.unwrap(), Vec::<String>::new());
    assert_eq!(lent(&w, "mia").await.unwrap(), "mine");

    let log = uses(&w).await;
    assert!(log.len() == 1 && log[0].0 == "ok" && !log[0].1.is_empty(), "{log:?}");
}

#[tokio::test]
async fn whoever_renames_a_credentials_service_does_not_send_it_elsewhere() {
    let w = World::new().await;
    value(&w, "mia", "personal", "GITHUB_TOKEN", "mine").await;
    let bindings = json!([{"variable": "GITHUB_TOKEN", "delivery": "header", "service": "github"}]);
    add(&w, "mia", json!({"name": "bot", "bindings": bindings})).await.unwrap();
    lent(&w, "mia").await.unwrap();

    let set = json!({"credential": "GITHUB_TOKEN", "service": "openai"});
    // Only with a person, as above; and then it stays where it was agreed to.
    w.call_with(&w.person("mia"), "update_credential", set, &PersonYes).await.unwrap();

    assert_eq!(lent(&w, "mia").await.unwrap_err(), Code::NotAllowed);
    let started = hand_over_to(&w.app, &w.person("mia"), "bot", "sh").await.map_err(|e| e.code);
    assert_eq!(started.map(|_| ()).unwrap_err(), Code::NotAllowed);
    let twice = json!([
        {"variable": "A_KEY", "delivery": "header", "service": "github"},
        {"variable": "B_KEY", "delivery": "header", "service": "github"},
    ]);
    let e = add(&w, "mia", json!({"name": "two", "bindings": twice})).await.unwrap_err();
    assert_eq!(e.code, Code::InvalidInput);
    let nowhere = json!([{"variable": "A_KEY", "delivery": "header", "service": "no-such-service"}]);
    assert_eq!(
        add(&w, "mia", json!({"name": "c", "bindings": nowhere})).await.unwrap_err().code,
        Code::ServiceNotFound
    );
}

/// A form that is answered with yes, after a person did something else meanwhile.
struct Meanwhile<'a> {
    w: &'a World,
    who: &'static str,
    operation: &'static str,
    input: Value,
}

impl crate::ops::Confirmer for Meanwhile<'_> {
    fn form<'a>(
        &'a self,
        _: &'a crate::ops::Question,
    ) -> futures_util::future::BoxFuture<'a, crate::ops::Answer> {
        Box::pin(async {
            let person = self.w.person(self.who);
            self.w.call_with(&person, self.operation, self.input.clone(), &PersonYes).await.unwrap();
            crate::ops::Answer::Yes
        })
    }
}

#[tokio::test]
async fn a_form_that_is_held_open_does_not_undo_what_a_person_narrowed_meanwhile() {
    let w = World::new().await;
    value(&w, "ada", "org", "KEY", "orgs").await;
    github(&w, "ada", "org", json!([{"variable": "KEY"}, {"variable": "B_KEY", "required": false}])).await;
    let again = json!({"consumer": "github", "remove_bindings": ["B_KEY"], "command": ["npx", "server"],
        "set_bindings": [{"variable": "KEY"}]});
    let narrowed = json!({"consumer": "github", "remove_bindings": ["KEY"], "command": ["npx", "safe"]});
    let held = Meanwhile { w: &w, who: "ada", operation: "update_consumer", input: narrowed };

    let e = w.call_with(&w.caller("ada"), "update_consumer", again, &held).await.unwrap_err();

    assert_eq!(e.code, Code::Changed);
    let seen = w.call(&w.caller("ada"), "get_consumer", json!({"consumer": "github"})).await.unwrap();
    assert_eq!((&seen["command"], seen["checks"].as_array().unwrap().len()), (&json!(["npx", "safe"]), 1));

    let id = w.add("ada", "org", "MOVED_KEY", "x").await;
    let widened = json!({"credential": id, "scope": "org", "new_name": "OTHER_NAME"});
    let taken = json!({"credential": id, "scope": "personal"});
    let held = Meanwhile { w: &w, who: "ada", operation: "update_credential", input: taken };
    let e = w.call_with(&w.caller("ada"), "update_credential", widened, &held).await.unwrap_err();
    assert_eq!(e.code, Code::Changed);
    let seen = w.call(&w.caller("ada"), "get_credential", json!({"credential": id})).await.unwrap();
    assert_eq!(seen["scope"], "personal");
}

#[tokio::test]
async fn what_a_transaction_has_come_to_do_needs_the_yes_for_that() {
    use crate::model::access::Agreed;
    use crate::ops::Operation as _;
    let w = World::new().await;
    github(&w, "mia", "personal", json!([])).await;
    let input = || crate::ops::consumer::UpdateConsumer {
        consumer: "github".into(),
        command: Some(vec!["sh".into()]),
        ..Default::default()
    };
    for (agreed, is_done) in [(Agreed::Nobody, false), (Agreed::Form, false), (Agreed::Person, true)] {
        let caller = Caller { agreed: Some(agreed), ..w.person("mia") };
        assert_eq!(input().run(&w.app, &caller).await.is_ok(), is_done, "{agreed:?}");
    }
}

#[tokio::test]
async fn a_name_that_something_is_started_or_found_by_changes_only_with_a_person() {
    let w = World::new().await;
    value(&w, "mia", "personal", "WEATHER_KEY", "sun").await;
    value(&w, "mia", "personal", "BANK_KEY", "gold").await;
    add(&w, "mia", json!({"name": "weather", "bindings": [{"variable": "WEATHER_KEY"}]})).await.unwrap();
    for (operation, input) in [
        ("update_consumer", json!({"consumer": "weather", "new_name": "deploy"})),
        ("update_credential", json!({"credential": "WEATHER_KEY", "new_name": "OLD_KEY"})),
        ("update_credential", json!({"credential": "BANK_KEY", "new_name": "WEATHER_KEY", "account": "x"})),
        ("update_credential", json!({"credential": "WEATHER_KEY", "account": "another"})),
        ("update_credential", json!({"credential": "WEATHER_KEY", "environment": "prod"})),
    ] {
        let e = w.call_with(&w.caller("mia"), operation, input.clone(), &FormYes).await.unwrap_err();
        assert_eq!(e.code, Code::ApprovalRequired, "{input}");
    }
    let lent =
        json!([{"variable": "A_KEY", "credential": "BANK_KEY", "delivery": "header", "service": "github"}]);
    add(&w, "mia", json!({"name": "bot", "bindings": lent})).await.unwrap();
    let service = json!({"credential": "BANK_KEY", "service": "github"});
    let e = w.call_with(&w.caller("mia"), "update_credential", service, &FormYes).await.unwrap_err();
    assert_eq!(e.code, Code::ApprovalRequired);
    // What nothing is bound by is renamed with a form, as ever.
    value(&w, "mia", "personal", "FREE_KEY", "x").await;
    let free = json!({"credential": "FREE_KEY", "new_name": "FREER_KEY"});
    w.call_with(&w.caller("mia"), "update_credential", free, &FormYes).await.unwrap();
}

async fn asked(w: &World, who: &str, operation: &str, input: Value) -> String {
    let e = w.call(&w.caller(who), operation, input).await.unwrap_err();
    let id = e.details().iter().find(|(name, _)| *name == "approval_id").expect("it asks").1.clone();
    crate::ops::approval::show(&w.app, &w.person(who), &id).await.unwrap().impact
}

#[tokio::test]
async fn who_agrees_sees_everything_that_decides_where_a_secret_goes() {
    let w = World::new().await;
    let id = w.add("mia", "personal", "BANK_KEY", "gold").await;
    let new = json!({"name": "a", "scope": "org", "command": ["node", "{MODE}", "two words"], "run_by": ["tom"],
        "bindings": [{"variable": "MODE", "text": "--import=evil"}, {"variable": "API_HOST_NAME", "text": "evil.example"},
            {"variable": "LOG_KEY", "credential": id, "field": "value", "account": "prod", "environment": "prod"}]});
    let text = {
        let mut mine = new.clone();
        mine["scope"] = json!("personal");
        asked(&w, "mia", "register_consumer", mine).await
    };
    for part in [
        "node --import=evil 'two words'",
        "\"--import=evil\"",
        "\"evil.example\"",
        "BANK_KEY",
        "field value",
        "account prod",
        "environment prod",
        "run by: tom",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    github(&w, "ada", "org", json!([])).await;
    let change =
        json!({"consumer": "github", "run_by": ["tom"], "new_name": "gh", "description": "new words"});
    let text = asked(&w, "ada", "update_consumer", change).await;
    for part in
        ["name after: gh", "description after: new words", "run by before: everybody", "run by after: tom"]
    {
        assert!(text.contains(part), "{part} in {text}");
    }
    let unseen = json!({"name": "b", "command": ["sh", "a\u{202e}b"]});
    assert_eq!(add(&w, "mia", unseen).await.unwrap_err().code, Code::InvalidInput);
}

#[tokio::test]
async fn a_base_address_is_not_taken_away_by_a_form() {
    let w = World::new().await;
    let bindings =
        json!([{"variable": "KEY"}, {"variable": "OPENAI_BASE_URL", "text": "https://proxy.example"}]);
    add(&w, "mia", json!({"name": "a", "bindings": bindings})).await.unwrap();

    let remove = json!({"consumer": "a", "remove_bindings": ["OPENAI_BASE_URL"]});
    let e = w.call_with(&w.caller("mia"), "update_consumer", remove, &FormYes).await.unwrap_err();

    assert_eq!(e.code, Code::ApprovalRequired);
}

#[tokio::test]
async fn nobody_else_sees_or_decides_what_is_asked_for_a_personal_consumer() {
    let w = World::new().await;
    add(&w, "mia", json!({"name": "hers"})).await.unwrap();
    for (operation, input) in [
        ("register_consumer", json!({"name": "mias-bot", "bindings": [{"variable": "MIA_KEY"}]})),
        ("update_consumer", json!({"consumer": "hers", "command": ["sh"]})),
        ("remove_consumer", json!({"consumer": "hers"})),
    ] {
        let e = w.call(&w.caller("mia"), operation, input).await.unwrap_err();
        let id = e.details().iter().find(|(name, _)| *name == "approval_id").unwrap().1.clone();

        let seen = w.call(&w.person("ada"), "list_approvals", json!({"all": true})).await.unwrap();
        assert_eq!(seen["approvals"], json!([]), "{operation}");
        let e = crate::ops::approval::approve(&w.app, &w.person("ada"), &id).await.unwrap_err();
        assert_eq!(e.code, Code::ApprovalNotFound);
    }
    let log = w.call(&w.caller("ada"), "search_audit_log", json!({})).await.unwrap().to_string();
    assert!(!log.contains("mias-bot") && !log.contains("hers"), "{log}");
}

#[tokio::test]
async fn an_admin_gets_no_token_that_acts_for_somebody_else_and_no_name_of_a_personal_consumer() {
    let w = World::new().await;
    github(&w, "ada", "org", json!([])).await;
    add(&w, "mia", json!({"name": "mias-bot"})).await.unwrap();
    let (id, _) = token(&w, "mia", "mias-bot").await.unwrap();
    let for_mia = crate::ops::token::NewToken {
        label: "x".into(),
        user: Some("mia".into()),
        purpose: crate::model::token::Purpose::Consumer,
        consumer: Some("github".into()),
        toolsets: Vec::new(),
        read_only: false,
        is_assured: false,
        expires_at: None,
    };

    let made = crate::ops::token::create(&w.app, &w.person("ada"), for_mia).await.map(|_| ());
    assert_eq!(made.unwrap_err().code, Code::NotAllowed);
    let next = crate::ops::token::rotate(&w.app, &w.person("ada"), &id, 0, None).await.map(|_| ());
    assert_eq!(next.unwrap_err().code, Code::NotAllowed);
    let listed = w.call(&w.person("ada"), "list_tokens", json!({"all": true})).await.unwrap().to_string();
    assert!(!listed.contains("mias-bot"), "{listed}");
}

#[tokio::test]
async fn an_answer_about_the_most_bindings_stays_below_24_kb() {
    let w = World::new().await;
    let name = |n: usize| format!("THE_KEY_OF_SERVICE_{n:02}_FOR_ALL_OF_THE_TEAM");
    let bindings: Vec<_> = (0..40).map(|n| json!({"variable": name(n)})).collect();
    for n in 0..40 {
        value(&w, "mia", "personal", &name(n), "x").await;
        value(&w, "ada", "org", &name(n), "x").await;
    }
    let made = add(&w, "mia", json!({"name": "many", "bindings": bindings})).await.unwrap();
    let seen = w.call(&w.caller("mia"), "get_consumer", json!({"consumer": "many"})).await.unwrap();
    let missing: Vec<_> = (40..80).map(|n| json!({"variable": name(n)})).collect();
    let none = add(&w, "mia", json!({"name": "none", "bindings": missing})).await.unwrap();

    for answer in [made, seen, none] {
        let size = answer.to_string().len();
        assert!(size < 24_000, "{size} bytes");
    }
    let more: Vec<_> = (0..41).map(|n| json!({"variable": name(n)})).collect();
    let e = add(&w, "mia", json!({"name": "more", "bindings": more})).await.unwrap_err();
    assert_eq!(e.code, Code::InvalidInput);

    // Neither what stays as it is nor what is removed twice makes room for another.
    let new = json!([{"variable": name(0)}, {"variable": "ONE_MORE"}]);
    let twice = json!({"consumer": "many", "set_bindings": [{"variable": "ONE_MORE"}, {"variable": "TWO_MORE"}],
                       "remove_bindings": [name(0), name(0)]});
    for change in [json!({"consumer": "many", "set_bindings": new}), twice] {
        let e = w.call_with(&w.person("mia"), "update_consumer", change, &PersonYes).await.unwrap_err();
        assert!(e.code == Code::InvalidInput && e.message().contains("at most 40"), "{e}");
    }
}
