//! The daily life of a credential, and every way it is refused.
use crate::error::Code;
use crate::ops::hand_over::{HandOver, hand_over};
use crate::testing::{FormYes, PersonYes, World};
use serde_json::json;

async fn values(w: &World, login: &str, name: &str) -> crate::error::Result<Vec<(String, Vec<u8>)>> {
    let wanted = HandOver { names: vec![name.into()], command: "true".into(), ..HandOver::default() };
    let handed = hand_over(&w.app, &w.caller(login), wanted).await?;
    Ok(handed.iter().map(|h| (h.variable.clone(), h.value.expose(<[u8]>::to_vec))).collect())
}

#[tokio::test]
async fn a_value_goes_in_past_the_model_and_out_to_a_process_only() {
    let w = World::new().await;
    let made = w.call(&w.caller("mia"), "create_credential", json!({"name": "GITHUB_TOKEN"})).await.unwrap();
    assert_eq!(made["status"]["reasons"][0], "value_missing");
    assert!(made["next"].as_str().unwrap().contains("unsaid set GITHUB_TOKEN"));
    assert_eq!(values(&w, "mia", "GITHUB_TOKEN").await.unwrap_err().code, Code::ValueMissing);

    let target = super::value::Target::Existing("GITHUB_TOKEN".into());
    let value = vec![("value".to_owned(), crate::secret::SecretBytes::copied(b"plain words"))];
    super::value::enter_value(&w.app, &w.person("mia"), target, value, String::new()).await.unwrap();

    assert_eq!(
        values(&w, "mia", "github_token").await.unwrap(),
        [("GITHUB_TOKEN".into(), b"plain words".to_vec())]
    );
    let shown =
        w.call(&w.caller("mia"), "get_credential", json!({"credential": "GITHUB_TOKEN"})).await.unwrap();
    assert_eq!(shown["status"]["status"], "active");
    assert!(!shown.to_string().contains("plain words"));
    assert_eq!(shown["configuration"]["uses"], 1);
    assert_eq!(w.log().await.last().unwrap(), "use ok");
    assert!(w.chain_is_whole().await);
}

#[tokio::test]
async fn what_a_caller_may_not_know_is_not_found_in_every_answer() {
    let w = World::new().await;
    let id = w.add("mia", "personal", "SECRET_PLAN", "v").await;
    w.add("tess", "core", "TEAM_KEY", "v").await;

    for stranger in
        [w.caller("ada"), w.caller("otto"), w.caller("tess"), w.stranger("mia"), w.stranger("ada")]
    {
        for wanted in [id.as_str(), "SECRET_PLAN", "personal/SECRET_PLAN"] {
            let e = w.refused(&stranger, "get_credential", json!({"credential": wanted})).await;
            assert_eq!(e.code, Code::CredentialNotFound);
        }
        let page = w.call(&stranger, "list_credentials", json!({"count": true})).await.unwrap();
        assert!(!page.to_string().contains("SECRET_PLAN"));
    }
    let e = w.refused(&w.caller("max"), "get_credential", json!({"credential": "TEAM_KEY"})).await;
    assert_eq!(e.code, Code::CredentialNotFound);
    assert_eq!(values(&w, "max", "TEAM_KEY").await.unwrap_err().code, Code::Unresolved);
}

#[tokio::test]
async fn resolution_goes_personal_team_org_and_an_expired_override_does_not_fall_back() {
    let w = World::new().await;
    w.add("ada", "org", "API_KEY", "of the org").await;
    assert_eq!(values(&w, "mia", "API_KEY").await.unwrap()[0].1, b"of the org");
    w.add("tess", "core", "API_KEY", "of the team").await;
    assert_eq!(values(&w, "mia", "API_KEY").await.unwrap()[0].1, b"of the team");
    let own = w.add("mia", "personal", "API_KEY", "my own").await;
    assert_eq!(values(&w, "mia", "API_KEY").await.unwrap()[0].1, b"my own");

    w.call(&w.caller("mia"), "update_credential", json!({"credential": own, "expires_at": "2026-06-02"}))
        .await
        .unwrap();
    w.clock.advance_ms(2 * crate::clock::DAY_MS);

    let e = values(&w, "mia", "API_KEY").await.unwrap_err();
    assert_eq!(e.code, Code::CredentialExpired);
    assert_eq!(values(&w, "tom", "API_KEY").await.unwrap()[0].1, b"of the team");
    let told = w.call(&w.caller("mia"), "explain_resolution", json!({"name": "API_KEY"})).await.unwrap();
    assert_eq!(told["problem"], "expired");
    assert_eq!(told["considered"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn two_teams_with_one_name_are_named_and_never_guessed() {
    let w = World::new().await;
    w.add("tess", "core", "DB_URL", "a").await;
    w.add("max", "ops", "DB_URL", "b").await;

    assert_eq!(values(&w, "mia", "DB_URL").await.unwrap_err().code, Code::AmbiguousTeam);
    assert_eq!(values(&w, "max", "DB_URL").await.unwrap()[0].1, b"b");
    let of = |team: &str| HandOver {
        names: vec!["DB_URL".into()],
        team: Some(team.into()),
        command: "true".into(),
        ..HandOver::default()
    };
    let handed = hand_over(&w.app, &w.caller("mia"), of("core")).await.unwrap();
    handed[0].value.expose(|bytes| assert_eq!(bytes, b"a"));
    assert_eq!(hand_over(&w.app, &w.caller("tom"), of("ops")).await.err().unwrap().code, Code::TeamNotFound);
}

#[tokio::test]
async fn z_19_an_override_that_shadows_is_asked_about_and_names_what_it_shadows() {
    let w = World::new().await;
    w.add("ada", "org", "API_KEY", "of the org").await;

    let e = w.refused(&w.caller("mia"), "create_credential", json!({"name": "API_KEY"})).await;
    assert_eq!(e.code, Code::ApprovalRequired);

    let made = w
        .call_with(&w.caller("mia"), "create_credential", json!({"name": "API_KEY"}), &FormYes)
        .await
        .unwrap();
    assert_eq!(made["scope"], "personal");
    assert!(made["same_name"][0].as_str().unwrap().contains("(org"));
}

#[tokio::test]
async fn deleting_asks_moves_to_the_bin_stops_use_and_can_be_undone() {
    let w = World::new().await;
    let id = w.add("ada", "org", "API_KEY", "v").await;
    let wish = json!({"credential": "API_KEY", "reason": "old"});

    let e = w.refused(&w.caller("ada"), "delete_credential", wish.clone()).await;
    assert_eq!(e.code, Code::ApprovalRequired, "without a way to ask, a person approves");
    assert_eq!(w.refused(&w.caller("mia"), "delete_credential", wish.clone()).await.code, Code::NotAllowed);
    assert_eq!(values(&w, "mia", "API_KEY").await.unwrap().len(), 1);

    w.call_with(&w.caller("ada"), "delete_credential", wish, &FormYes).await.unwrap();
    assert_eq!(values(&w, "mia", "API_KEY").await.unwrap_err().code, Code::Unresolved);
    assert_eq!(
        w.refused(&w.caller("mia"), "get_credential", json!({"credential": id})).await.code,
        Code::CredentialNotFound
    );
    let bin = w.call(&w.caller("ada"), "list_credentials", json!({"status": "deleted"})).await.unwrap();
    assert_eq!(bin["credentials"][0]["id"], id.as_str());

    w.call(&w.caller("ada"), "restore_credential", json!({"credential": "API_KEY"})).await.unwrap();
    assert_eq!(values(&w, "mia", "API_KEY").await.unwrap().len(), 1);
}

#[tokio::test]
async fn m_15_a_forged_form_answer_shares_nothing_and_an_approval_does_exactly_what_was_asked() {
    let w = World::new().await;
    w.add("tess", "core", "TEAM_KEY", "v").await;
    let wish = json!({"credential": "TEAM_KEY", "level": "use", "user": "max", "reason": "on call"});

    let e = match w.call_with(&w.caller("tess"), "share_credential", wish.clone(), &FormYes).await {
        Err(e) => e,
        Ok(v) => panic!("a form was enough: {v}"),
    };
    assert_eq!(e.code, Code::ApprovalRequired);
    let id = e.details().iter().find(|(n, _)| *n == "approval_id").unwrap().1.clone();
    let again = w.refused(&w.caller("tess"), "share_credential", wish.clone()).await;
    assert_eq!(again.details(), e.details(), "a repeat collapses into the same request");
    assert!(values(&w, "max", "TEAM_KEY").await.is_err());

    let by_model = crate::ops::approval::approve(&w.app, &w.caller("tess"), &id).await;
    assert_eq!(by_model.unwrap_err().code, Code::PeopleOnly);
    let by_other = crate::ops::approval::approve(&w.app, &w.person("mia"), &id).await;
    assert_eq!(by_other.unwrap_err().code, Code::ApprovalNotFound);

    crate::ops::approval::approve(&w.app, &w.person("tess"), &id).await.unwrap();
    assert_eq!(values(&w, "max", "TEAM_KEY").await.unwrap().len(), 1);
    let twice = crate::ops::approval::approve(&w.app, &w.person("tess"), &id).await;
    assert_eq!(twice.unwrap_err().code, Code::ApprovalClosed);
}

#[tokio::test]
async fn a_move_seals_again_and_the_old_place_opens_nothing() {
    let w = World::new().await;
    let id = w.add("tess", "personal", "KEY_ONE", "moved value").await;
    let wish = json!({"credential": id, "scope": "team", "team": "core"});
    assert_eq!(
        w.refused(&w.caller("tess"), "update_credential", wish.clone()).await.code,
        Code::ApprovalRequired
    );

    w.call_with(&w.person("tess"), "update_credential", wish, &PersonYes).await.unwrap();

    assert_eq!(values(&w, "mia", "KEY_ONE").await.unwrap()[0].1, b"moved value");
    assert!(values(&w, "max", "KEY_ONE").await.is_err());
}

#[tokio::test]
async fn m_20_an_idempotency_key_does_it_once_and_answers_the_same() {
    let w = World::new().await;
    let wish = json!({"name": "ONCE_ONLY", "idempotency_key": "k1"});
    let first = w.call(&w.caller("mia"), "create_credential", wish.clone()).await.unwrap();

    assert_eq!(w.call(&w.caller("mia"), "create_credential", wish).await.unwrap(), first);
    let other = json!({"name": "ANOTHER", "idempotency_key": "k1"});
    assert_eq!(w.refused(&w.caller("mia"), "create_credential", other).await.code, Code::IdempotencyConflict);
    let events = w.log().await;
    assert_eq!(events.iter().filter(|e| e.starts_with("create_credential ok")).count(), 1);
}

#[tokio::test]
async fn c_34_a_secret_in_an_argument_is_refused_logged_nowhere_and_named_as_leaked() {
    let w = World::new().await;
    let token = format!("{}_{}", "ghp", "a1B2".repeat(9));
    let wish = json!({"name": "GITHUB_TOKEN", "description": token.clone()});

    let e = w.refused(&w.caller("mia"), "create_credential", wish).await;

    assert_eq!(e.code, Code::SecretInArgument);
    assert!(e.next_step().contains("rotate"));
    assert!(!e.to_json().to_string().contains(&token));
    assert_eq!(w.log().await.last().unwrap(), "create_credential refused secret_in_argument");
}

#[tokio::test]
async fn c_21_a_value_in_the_wrong_place_is_not_echoed() {
    let w = World::new().await;
    for wish in [
        json!({"name": {"hunter2hunter2": 1}}),
        json!({"name": "A_B", "scope": "hunter2hunter2"}),
        json!({"hunter2hunter2": "x", "name": "A_B"}),
        json!({"name": "A_B", "tags": [{"hunter2hunter2": []}]}),
        json!({"name": "A_B", "expires_at": "hunter2hunter2"}),
        json!({"name": "hunter2 hunter2"}),
    ] {
        let e = w.refused(&w.caller("mia"), "create_credential", wish).await;
        assert!(!e.to_json().to_string().contains("hunter2"), "{e:?}");
    }
}

#[tokio::test]
async fn a_partial_entry_leaves_the_other_fields_as_they_were() {
    let w = World::new().await;
    let create = super::create::CreateCredential {
        name: "LOGIN".into(),
        kind: Some(crate::model::credential::CredentialType::Basic),
        ..Default::default()
    };
    let bytes = |text: &str| crate::secret::SecretBytes::copied(text.as_bytes());
    let target = super::value::Target::New(Box::new(create));
    let both = vec![("username".into(), bytes("ada")), ("password".into(), bytes("first"))];
    super::value::enter_value(&w.app, &w.person("mia"), target, both, String::new()).await.unwrap();

    let target = super::value::Target::Existing("LOGIN".into());
    super::value::enter_value(
        &w.app,
        &w.person("mia"),
        target,
        vec![("password".into(), bytes("second"))],
        String::new(),
    )
    .await
    .unwrap();

    let mut found = values(&w, "mia", "LOGIN").await.unwrap();
    found.sort();
    assert_eq!(found[0], ("LOGIN_PASSWORD".into(), b"second".to_vec()));
    assert_eq!(found[1], ("LOGIN_USERNAME".into(), b"ada".to_vec()));
}

#[tokio::test]
async fn only_one_earlier_version_keeps_its_key() {
    let w = World::new().await;
    let id = w.add("mia", "personal", "ROLLING", "v1").await;
    for n in 2..=4 {
        let target = super::value::Target::Existing(id.clone());
        let value =
            vec![("value".to_owned(), crate::secret::SecretBytes::copied(format!("v{n}").as_bytes()))];
        super::value::enter_value(&w.app, &w.person("mia"), target, value, String::new()).await.unwrap();
    }

    let shown = w.call(&w.caller("mia"), "get_credential", json!({"credential": id})).await.unwrap();
    let stages: Vec<_> =
        shown["configuration"]["versions"].as_array().unwrap().iter().map(|v| v["stage"].clone()).collect();
    assert_eq!(stages, ["current", "previous", "retired", "retired"]);
}

#[tokio::test]
async fn m_31_a_loop_that_deletes_is_stopped_and_a_person_is_not() {
    let w = World::new().await;
    for n in 0..8 {
        w.add("mia", "personal", &format!("KEY_{n}"), "v").await;
    }
    let wish = |n: usize| json!({"credential": format!("KEY_{n}"), "reason": "tidy"});
    for n in 0..5 {
        w.call_with(&w.caller("mia"), "delete_credential", wish(n), &FormYes).await.unwrap();
    }

    let e = w.call_with(&w.caller("mia"), "delete_credential", wish(5), &FormYes).await.unwrap_err();

    assert_eq!(e.code, Code::Quota);
    w.call_with(&w.person("mia"), "delete_credential", wish(6), &PersonYes).await.unwrap();
    w.clock.advance_ms(crate::ops::quota::WINDOW_MS + 1);
    w.call_with(&w.caller("mia"), "delete_credential", wish(7), &FormYes).await.unwrap();
}

/// The person approves what they were shown, whatever has been given that name since.
#[tokio::test]
async fn an_approval_does_not_pass_to_another_credential_that_took_the_name() {
    let w = World::new().await;
    let shown = w.add("ada", "org", "STAGING", "harmless").await;
    let prod = w.add("ada", "org", "PROD", "precious").await;
    let model = w.caller("ada");
    let ask = json!({"credential": "STAGING", "user": "mia", "level": "manage", "reason": "tests"});
    let asked = w.refused(&model, "share_credential", ask).await;
    let id = asked.details().iter().find(|(name, _)| *name == "approval_id").unwrap().1.clone();
    // Two renames with forms, whose answers a client can forge.
    for (credential, name) in [(&shown, "OLD"), (&prod, "STAGING")] {
        let arguments = json!({"credential": credential, "new_name": name}).as_object().cloned().unwrap();
        let entry = crate::ops::find_entry("update_credential").unwrap();
        crate::ops::call(&w.app, &model, entry, &crate::ops::Limits::default(), arguments, &FormYes)
            .await
            .unwrap();
    }

    let refused = crate::ops::approval::approve(&w.app, &w.person("ada"), &id).await.unwrap_err();

    assert_eq!(refused.code, Code::ApprovalClosed, "what it meant has changed");
    let (org, prod) = (w.org.clone(), crate::ids::CredentialId::from(prod.as_str()));
    assert!(w.app.store.read(move |tx| tx.grants_on(&org, &prod)).await.unwrap().is_empty());
}

#[tokio::test]
async fn taking_a_shared_credential_for_oneself_needs_a_person_and_the_place_it_is_in() {
    let w = World::new().await;
    let id = w.add("ada", "org", "ORG_KEY", "v").await;
    let wish = json!({"credential": id, "level": "manage", "user": "mia", "reason": "helps"});
    w.call_with(&w.person("ada"), "share_credential", wish, &PersonYes).await.unwrap();
    let take = json!({"credential": id, "scope": "personal"});

    let by_grant = w.call_with(&w.person("mia"), "update_credential", take.clone(), &PersonYes).await;
    assert_eq!(by_grant.unwrap_err().code, Code::NotAllowed);
    let by_form = w.call_with(&w.caller("ada"), "update_credential", take, &FormYes).await;
    assert_eq!(by_form.unwrap_err().code, Code::ApprovalRequired);
}

#[tokio::test]
async fn a_team_or_person_without_a_grant_is_not_told_apart_from_one_there_is_not() {
    let w = World::new().await;
    let id = w.add("mia", "personal", "MINE", "v").await;
    let mut codes = Vec::new();
    for wish in [
        json!({"credential": id, "user": "max"}),
        json!({"credential": id, "user": "nobody"}),
        json!({"credential": id, "team": "ops"}),
        json!({"credential": id, "team": "no-such-team"}),
    ] {
        codes.push(w.refused(&w.caller("mia"), "unshare_credential", wish).await.code);
    }

    assert_eq!(codes, [Code::GrantNotFound; 4]);
    let hidden =
        w.refused(&w.caller("tom"), "explain_resolution", json!({"name": "A_B", "team": "ops"})).await;
    let missing =
        w.refused(&w.caller("tom"), "explain_resolution", json!({"name": "A_B", "team": "none"})).await;
    assert_eq!(hidden.to_json(), missing.to_json());
}

#[tokio::test]
async fn a_request_that_a_person_declined_is_not_carried_out_by_a_yes_under_way() {
    let w = World::new().await;
    w.add("tess", "core", "TEAM_KEY", "v").await;
    let wish = json!({"credential": "TEAM_KEY", "level": "use", "user": "max", "reason": "on call"});
    let asked = w.refused(&w.caller("tess"), "share_credential", wish).await;
    let id = asked.details().iter().find(|(name, _)| *name == "approval_id").unwrap().1.clone();
    crate::ops::approval::decline(&w.app, &w.person("tess"), &id).await.unwrap();
    let mut late = w.caller("tess");
    late.approval = Some(id);
    late.idempotency = Some(crate::model::access::Idempotency {
        operation: "share_credential",
        key: "k".into(),
        digest: vec![1],
    });

    let written = w
        .app
        .store
        .write(&late, |tx| tx.record(crate::model::event::Event::of("share_credential"), ()))
        .await;

    assert_eq!(written.unwrap_err().code, Code::ApprovalClosed);
}
