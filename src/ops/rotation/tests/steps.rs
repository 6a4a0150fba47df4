use super::*;
use crate::error::Code;
use crate::model::access::Door;
use crate::ops::hand_over::{HandOver, hand_over};
use crate::testing::FormYes;

#[tokio::test]
async fn a_rotation_goes_from_its_plan_to_its_end_and_the_log_tells_it() {
    let rig = Rig::new(true, true).await;
    rig.bind("deploy").await;

    let started = rig.start().await.unwrap();
    assert_eq!(started["rotation"]["stage"], "awaiting_value");
    let new = rig.make_and_enter().await;
    assert_eq!((rig.stage().await.as_str(), rig.served().await), ("staged", rig.first.clone()));
    assert_eq!(rig.step("verify").await.unwrap()["rotation"]["stage"], "verified");
    rig.step("promote").await.unwrap();
    assert_eq!(rig.run("deploy").await, new);
    assert_eq!(rig.step("confirm").await.unwrap()["rotation"]["stage"], "confirmed");
    rig.service.end(&rig.first);
    assert_eq!(rig.step("revoke_old").await.unwrap()["rotation"]["stage"], "old_revoked");
    assert_eq!(rig.kept(Stage::Previous).await, std::slice::from_ref(&rig.first));
    assert_eq!(rig.step("close").await.unwrap()["rotation"]["stage"], "closed");

    assert_eq!(rig.held().await, [(Stage::Current, new)]);
    let told = rig.look().await["log"].to_string();
    for word in ["start_rotation", "verify", "promote", "confirm", "revoke_old", "close", "enter_value"] {
        assert!(told.contains(word), "{word}: {told}");
    }
    assert!(rig.w.chain_is_whole().await);
}

#[tokio::test]
async fn f_01_the_new_value_is_handed_over_by_every_process_at_once_and_what_runs_keeps_the_old() {
    let rig = Rig::new(true, true).await;
    let other = App::open_with(rig.w.app.config.clone(), rig.w.clock.clone(), None).unwrap();
    let wanted = || HandOver { names: vec!["KEY".into()], ..HandOver::default() };
    let before = hand_over(&other, &rig.w.person("mia"), wanted()).await.unwrap();

    let new = rig.promoted().await;

    let after = hand_over(&other, &rig.w.person("mia"), wanted()).await.unwrap();
    let shown = |handed: &[crate::ops::hand_over::Handed]| {
        handed[0].value.expose(|bytes| String::from_utf8_lossy(bytes).into_owned())
    };
    assert_eq!((shown(&before), shown(&after)), (rig.first.clone(), new));
    assert!(rig.service.takes(&rig.first), "what runs already goes on");
}

#[tokio::test]
async fn f_02_after_each_step_a_vault_that_is_opened_anew_goes_on_where_it_was() {
    let mut rig = Rig::new(true, true).await;
    rig.start().await.unwrap();
    rig.reopen();
    let new = rig.make_and_enter().await;
    for (step, stage) in [("verify", "verified"), ("promote", "promoted")] {
        rig.reopen();
        rig.step(step).await.unwrap();
        rig.reopen();
        assert_eq!(rig.stage().await, stage);
    }
    rig.word("confirm").await.unwrap();
    rig.reopen();
    rig.service.end(&rig.first);
    rig.step("revoke_old").await.unwrap();
    rig.reopen();
    rig.step("close").await.unwrap();

    assert_eq!((rig.served().await, rig.stage().await.as_str()), (new, "closed"));
}

#[tokio::test]
async fn f_03_a_refused_new_value_leaves_the_old_one_served_and_ends_with_the_rotation() {
    let rig = Rig::new(true, true).await;
    rig.start().await.unwrap();
    rig.enter("mistyped").await.unwrap();

    let told = rig.step("verify").await.unwrap();

    assert_eq!(
        (told["rotation"]["stage"].as_str(), told["rotation"]["tested"].as_str()),
        (Some("staged"), Some("refused"))
    );
    assert_eq!(rig.served().await, rig.first);
    assert!(rig.w.log().await.contains(&"advance_rotation failed".to_owned()));
    rig.call("abort_rotation", json!({ "rotation": rig.id })).await.unwrap();
    assert_eq!(rig.held().await, [(Stage::Current, rig.first.clone())]);
}

#[tokio::test]
async fn f_03_a_refused_value_is_overtaken_by_the_next_one_that_is_entered() {
    let rig = Rig::new(true, true).await;
    rig.start().await.unwrap();
    rig.enter("mistyped").await.unwrap();
    rig.step("verify").await.unwrap();

    let new = rig.make_and_enter().await;

    assert_eq!(rig.kept(Stage::Pending).await, [new]);
    assert_eq!(rig.look().await["tested"], "untested");
}

#[tokio::test]
async fn f_04_of_two_rotations_of_one_credential_the_second_is_a_conflict_that_names_the_first() {
    let rig = Rig::new(true, true).await;
    let id = rig.start().await.unwrap()["rotation"]["id"].as_str().unwrap().to_owned();

    let refused = rig.start().await.unwrap_err();

    assert_eq!(refused.code, Code::RotationOpen);
    assert!(refused.next_step().contains(&id) && refused.details()[0].1 == id);
    assert!(rig.w.log().await.contains(&"start_rotation refused rotation_open".to_owned()));
}

#[tokio::test]
async fn f_05_the_old_value_comes_back_until_it_has_ended_and_not_after() {
    for stop in ["promoted", "confirmed"] {
        let rig = Rig::new(true, true).await;
        rig.promoted().await;
        if stop == "confirmed" {
            rig.word("confirm").await.unwrap();
        }
        assert_eq!(rig.stage().await, stop);

        rig.step("roll_back").await.unwrap();

        assert_eq!((rig.served().await, rig.stage().await.as_str()), (rig.first.clone(), "rolled_back"));
    }
    let rig = Rig::new(true, true).await;
    let new = rig.promoted().await;
    rig.word("confirm").await.unwrap();
    rig.service.end(&rig.first);
    rig.step("revoke_old").await.unwrap();
    assert_eq!(rig.step("roll_back").await.unwrap_err().code, Code::WrongStage);
    let aborted = rig.call("abort_rotation", json!({ "rotation": rig.id })).await.unwrap_err();
    assert_eq!(aborted.code, Code::WrongStage);
    rig.step("close").await.unwrap();
    assert_eq!(rig.step("roll_back").await.unwrap_err().code, Code::WrongStage);
    assert_eq!(rig.served().await, new);
}

#[tokio::test]
async fn f_06_an_old_value_that_the_service_still_takes_keeps_the_rotation_open_and_is_told() {
    let rig = Rig::new(true, true).await;
    rig.promoted().await;
    rig.word("confirm").await.unwrap();

    let told = rig.step("revoke_old").await.unwrap();

    assert_eq!(told["rotation"]["stage"], "confirmed");
    assert!(told["rotation"]["trouble"].as_str().unwrap().contains("still takes the old one"));
    assert!(told["next"].as_str().unwrap().contains("https://"), "the page to open: {told}");
    assert_eq!(rig.step("close").await.unwrap_err().code, Code::WrongStage);
    rig.service.end(&rig.first);
    assert_eq!(rig.step("revoke_old").await.unwrap()["rotation"]["stage"], "old_revoked");
}

#[tokio::test]
async fn f_08_every_bound_consumer_is_listed_and_told_apart_by_who_has_the_new_value() {
    let rig = Rig::new(true, true).await;
    for name in ["deploy", "nightly"] {
        rig.bind(name).await;
        rig.run(name).await;
    }
    let of_mia = json!({ "name": "own", "bindings": [{ "variable": "KEY" }] });
    rig.w.call_with(&rig.w.caller("mia"), "register_consumer", of_mia, &PersonYes).await.unwrap();
    let guide = rig.call("get_rotation_guide", json!({ "credential": rig.id })).await.unwrap();
    assert_eq!(guide["credential"]["consumers"].as_array().unwrap().len(), 2);
    assert!(guide["credential"]["consumers"][0]["last_use_at"].is_string());

    rig.promoted().await;
    rig.run("deploy").await;

    let shown = rig.look().await;
    let states: Vec<_> = shown["consumers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["consumer"].as_str().unwrap(), one["state"].as_str().unwrap()))
        .collect();
    assert!(states.contains(&("deploy", "good")) && states.contains(&("nightly", "waiting")), "{states:?}");
    // Another's personal one counts, and is not named.
    assert!(states.contains(&("a personal one", "waiting")));
    let refused = rig.step("confirm").await.unwrap_err();
    assert_eq!(refused.code, Code::HasDependents);
    assert!(refused.message().contains("of 3 bound consumers 1 work"), "{}", refused.message());
}

#[tokio::test]
async fn f_09_what_a_service_s_address_is_cannot_be_told_to_a_rotation() {
    let rig = Rig::new(true, true).await;
    rig.start().await.unwrap();

    for field in ["url", "verify_url", "endpoint", "host"] {
        let refused = rig
            .call(
                "advance_rotation",
                json!({ "rotation": rig.id, "step": "verify", field: "https://evil.example" }),
            )
            .await
            .unwrap_err();
        assert_eq!(refused.code, Code::InvalidInput, "{field}");
    }
}

#[tokio::test]
async fn a_new_value_of_another_account_is_no_yes() {
    let rig = Rig::new(true, true).await;
    rig.start().await.unwrap();
    let other = rig.service.make("somebody else's");
    rig.enter(&other).await.unwrap();

    let told = rig.step("verify").await.unwrap();

    assert_eq!(
        (told["rotation"]["stage"].as_str(), told["rotation"]["tested"].as_str()),
        (Some("staged"), Some("other_account"))
    );
}

#[tokio::test]
async fn what_is_not_tested_is_promoted_by_a_person_s_own_yes_alone() {
    let rig = Rig::new(true, true).await;
    rig.start().await.unwrap();
    rig.make_and_enter().await;
    let wanted = json!({ "rotation": rig.id, "step": "promote" });

    let asked = rig.w.refused(&rig.w.caller("ada"), "advance_rotation", wanted.clone()).await;
    let form = rig.w.call_with(&rig.w.caller("ada"), "advance_rotation", wanted, &FormYes).await.unwrap_err();

    assert_eq!((asked.code, form.code), (Code::ApprovalRequired, Code::ApprovalRequired));
    assert_eq!(rig.served().await, rig.first);
    let id = asked.details()[0].1.clone();
    crate::ops::approval::approve(&rig.w.app, &rig.w.person("ada"), &id).await.unwrap();
    assert_eq!(rig.stage().await, "promoted");
}

#[tokio::test]
async fn a_service_that_cannot_be_asked_is_told_as_that_and_changes_nothing() {
    let rig = Rig::new(true, true).await;
    rig.start().await.unwrap();
    rig.make_and_enter().await;
    rig.service.is_down(true);

    let told = rig.step("verify").await.unwrap();

    assert_eq!(told["rotation"]["tested"], "could_not_check");
    assert!(told["next"].as_str().unwrap().contains("a person must approve"), "{told}");
    rig.service.is_down(false);
    assert_eq!(rig.step("verify").await.unwrap()["rotation"]["stage"], "verified");
}

#[tokio::test]
async fn a_failing_consumer_brings_the_old_value_back_by_itself() {
    let rig = Rig::new(true, true).await;
    rig.bind("deploy").await;
    let new = rig.promoted().await;
    rig.run("deploy").await;

    let told = rig.report("deploy", "failed").await;

    assert_eq!(told["rotations"][0]["result"], "rolled_back");
    assert_eq!((rig.served().await, rig.stage().await.as_str()), (rig.first.clone(), "rolled_back"));
    assert_eq!(rig.kept(Stage::Pending).await, [new]);
    assert!(rig.w.log().await.contains(&"roll_back_rotation ok".to_owned()));
}

#[tokio::test]
async fn a_failure_of_who_has_the_old_value_or_after_a_day_brings_nothing_back() {
    let rig = Rig::new(true, true).await;
    rig.bind("deploy").await;
    rig.run("deploy").await;
    let new = rig.promoted().await;
    assert_eq!(rig.report("deploy", "failed").await["rotations"][0]["result"], "not_handed");
    assert_eq!(rig.served().await, new);

    rig.run("deploy").await;
    rig.hours(25);

    assert_eq!(rig.report("deploy", "failed").await["rotations"][0]["result"], "noted");
    assert_eq!(rig.served().await, new);
}

#[tokio::test]
async fn a_late_word_about_the_old_version_is_kept_and_is_none_about_the_new_one() {
    let rig = Rig::new(true, true).await;
    rig.bind("deploy").await;
    rig.run("deploy").await;
    let new = rig.promoted().await;
    rig.run("deploy").await;
    for outcome in ["failed", "ok"] {
        let told = rig.report_of(outcome, 1).await.unwrap();

        assert_eq!(told["rotations"][0]["result"], "other_version");
        assert!(told["message"].as_str().unwrap().contains("another version"), "{told}");
        assert_eq!((rig.served().await, rig.stage().await.as_str()), (new.clone(), "promoted"));
        assert_eq!(rig.look().await["consumers"][0]["said_by"], "test");
    }
    let log = rig.w.log().await;
    assert_eq!(log.iter().filter(|line| *line == "report_use ok").count(), 2);
    assert!(!log.iter().any(|line| line.starts_with("rotation_signal") || line.starts_with("roll_back")));
}

#[tokio::test]
async fn a_word_about_the_new_version_is_heard() {
    let rig = Rig::new(true, true).await;
    rig.bind("deploy").await;
    rig.run("deploy").await;
    rig.promoted().await;
    assert_eq!(rig.report_of("failed", 2).await.unwrap()["rotations"][0]["result"], "not_handed");
    rig.run("deploy").await;

    assert_eq!(rig.report_of("ok", 2).await.unwrap()["rotations"][0]["result"], "noted");
    assert_eq!(rig.report_of("failed", 2).await.unwrap()["rotations"][0]["result"], "rolled_back");

    assert_eq!((rig.served().await, rig.stage().await.as_str()), (rig.first.clone(), "rolled_back"));
}

#[tokio::test]
async fn a_version_that_never_was_or_is_nobodys_is_refused_and_changes_nothing() {
    let rig = Rig::new(true, true).await;
    rig.bind("deploy").await;
    let new = rig.promoted().await;
    rig.run("deploy").await;
    for version in [3, 0, -1] {
        let e = rig.report_of("failed", version).await.unwrap_err();

        assert_eq!(e.code, Code::VersionNotFound);
        assert!(e.message().contains(&format!("never had a version {version}")), "{}", e.message());
    }
    let nobodys = json!({ "consumer": "deploy", "outcome": "failed", "version": 2 });

    let e = rig.w.refused(&rig.w.person("mia"), "report_use", nobodys).await;

    assert_eq!(e.code, Code::InvalidInput);
    assert_eq!((rig.served().await, rig.stage().await.as_str()), (new, "promoted"));
}

#[tokio::test]
async fn who_may_not_run_a_consumer_says_nothing_for_it_and_no_model_does() {
    let rig = Rig::new(true, true).await;
    rig.bind("deploy").await;
    rig.promoted().await;
    let wanted = json!({ "consumer": "deploy", "outcome": "failed" });

    let auditor = rig.w.refused(&rig.w.person("otto"), "report_use", wanted.clone()).await;
    let model = rig.w.refused(&rig.w.caller("mia"), "report_use", wanted).await;

    assert_eq!((auditor.code, model.code), (Code::NotAllowed, Code::PeopleOnly));
}

#[tokio::test]
async fn the_service_s_answers_to_the_broker_are_signals() {
    for (is_good, stage) in [(true, "confirmed"), (false, "rolled_back")] {
        let rig = Rig::new(true, true).await;
        rig.bind("bot").await;
        rig.promoted().await;
        rig.run("bot").await;
        let consumer = rig.call("get_consumer", json!({ "consumer": "bot" })).await.unwrap();
        let id = consumer["consumer"]["id"].as_str().or(consumer["id"].as_str()).unwrap().to_owned();
        let version = rig.look().await["new_version"].as_i64().unwrap();
        let caller = crate::model::access::Caller { consumer: id.clone(), ..rig.w.person("mia") };

        super::super::heard_by_broker(
            &rig.w.app,
            &caller,
            &rig.id.as_str().into(),
            &id.as_str().into(),
            (version, is_good),
        )
        .await
        .unwrap();
        rig.pass().await;

        assert_eq!(rig.stage().await, stage);
        let heard = rig.w.log().await.iter().filter(|l| l.starts_with("rotation_signal")).count();
        assert_eq!(heard, 1);
    }
}

#[tokio::test]
async fn a_test_that_refuses_the_value_in_use_brings_the_old_one_back() {
    let rig = Rig::new(true, true).await;
    let new = rig.promoted().await;
    rig.service.end(&new);

    let told = rig.step("verify").await.unwrap();

    assert_eq!(told["rotation"]["stage"], "rolled_back");
    assert_eq!(rig.served().await, rig.first);
}

#[tokio::test]
async fn anybody_who_manages_it_goes_on_with_another_s_rotation_and_nobody_else_does() {
    let rig = Rig::new(true, true).await;
    rig.start().await.unwrap();
    rig.make_and_enter().await;
    let wanted = json!({ "rotation": rig.id, "step": "verify" });
    assert_eq!(
        rig.w.refused(&rig.w.caller("mia"), "advance_rotation", wanted.clone()).await.code,
        Code::NotAllowed
    );
    assert_eq!(
        rig.w.refused(&rig.w.stranger("ada"), "advance_rotation", wanted.clone()).await.code,
        Code::CredentialNotFound
    );
    let grant = json!({ "credential": rig.id, "user": "tess", "level": "manage", "reason": "she helps" });
    rig.call("share_credential", grant).await.unwrap();

    let mut tess = rig.w.caller("tess");
    tess.door = Door::Http;
    let told = rig.w.call(&tess, "advance_rotation", wanted).await.unwrap();

    assert_eq!(
        (told["rotation"]["stage"].as_str(), told["rotation"]["owner"].as_str()),
        (Some("verified"), Some("tess"))
    );
}

#[tokio::test]
async fn the_old_value_is_kept_for_the_way_back_whatever_is_set_meanwhile() {
    let rig = Rig::new(true, true).await;
    rig.promoted().await;
    for text in ["later", "latest"] {
        rig.enter(text).await.unwrap();
    }
    assert_eq!(rig.served().await, "latest");

    rig.step("roll_back").await.unwrap();

    assert_eq!(rig.served().await, rig.first);
}

#[tokio::test]
async fn a_rotation_by_its_driver_makes_tests_and_ends_by_itself_and_a_person_approves_the_end() {
    let rig = Rig::new(true, false).await;
    rig.start().await.unwrap();

    assert_eq!(
        rig.call("advance_rotation", json!({ "rotation": rig.id })).await.unwrap()["rotation"]["stage"],
        "staged"
    );
    rig.step("verify").await.unwrap();
    rig.step("promote").await.unwrap();
    rig.word("confirm").await.unwrap();
    let wanted = json!({ "rotation": rig.id, "step": "revoke_old" });
    let asked = rig.w.refused(&rig.w.caller("ada"), "advance_rotation", wanted).await;
    assert_eq!(asked.code, Code::ApprovalRequired);
    assert!(rig.service.takes(&rig.first));
    rig.step("revoke_old").await.unwrap();

    assert!(!rig.service.takes(&rig.first));
    assert_eq!(rig.stage().await, "old_revoked");
}

#[tokio::test]
async fn a_call_that_was_cut_off_is_told_and_never_made_again_by_itself() {
    let mut rig = Rig::new(true, false).await;
    rig.start().await.unwrap();
    rig.service.cut_off(true);
    let cut = tokio::time::timeout(std::time::Duration::from_millis(200), rig.step("make")).await;
    assert!(cut.is_err(), "the process is gone in the middle of the call");
    rig.service.cut_off(false);
    rig.reopen();

    let refused = rig.step("make").await.unwrap_err();

    assert_eq!(refused.code, Code::WrongStage);
    assert_eq!(rig.look().await["unknown_calls"].as_array().unwrap().len(), 1);
    assert_eq!(rig.service.with(|s| s.made), 2, "one for the beginning, and one that nobody has");
    rig.hours(1);
    let now = rig.w.app.now();
    let config = rig.w.app.config.clone();
    assert!(now > crate::testing::START);
    let found = crate::ops::lifecycle::doctor::doctor(&config, rig.w.clock.clone(), false, None).await;
    let told = found.iter().find(|check| check.name == "rotations").unwrap();
    assert!(told.what.contains("how they ended is not known"), "{}", told.what);
    rig.make_and_enter().await;
    assert_eq!(rig.stage().await, "staged");
}

#[tokio::test]
async fn z_16_a_member_s_own_consumer_undoes_nothing_that_others_are_served() {
    let rig = Rig::new(true, true).await;
    let own = json!({ "name": "mine", "scope": "personal", "bindings": [{ "variable": "KEY", "source": "org_secret" }] });
    rig.w.call_with(&rig.w.person("mia"), "register_consumer", own, &PersonYes).await.unwrap();
    let new = rig.promoted().await;
    assert_eq!(rig.run("mine").await, new);

    assert_eq!(rig.report("mine", "failed").await["rotations"][0]["result"], "noted");

    assert_eq!((rig.served().await, rig.stage().await.as_str()), (new, "promoted"));
    let shown = rig.look().await;
    assert!(shown["is_confirmed"] == false, "it stands in the way of the confirmation: {shown}");
}

#[tokio::test]
async fn whoever_manages_it_brings_it_back_by_a_consumer_of_their_own() {
    let rig = Rig::new(true, true).await;
    let own = json!({ "name": "mine", "scope": "personal", "bindings": [{ "variable": "KEY", "source": "org_secret" }] });
    let ada = rig.w.person("ada");
    rig.w.call_with(&ada, "register_consumer", own, &PersonYes).await.unwrap();
    rig.promoted().await;
    crate::ops::hand_over::hand_over_to(&rig.w.app, &ada, "mine", "program").await.unwrap();

    let wanted = json!({ "consumer": "mine", "outcome": "failed" });
    let told = rig.w.call(&ada, "report_use", wanted).await.unwrap();

    assert_eq!(told["rotations"][0]["result"], "rolled_back");
}

#[tokio::test]
async fn z_02_a_hidden_rotation_a_hidden_credential_and_what_does_not_exist_answer_alike() {
    let rig = Rig::new(true, true).await;
    let own = rig.w.add("ada", "personal", "HIDDEN", "some words").await;
    let started = rig.call("start_rotation", json!({ "credential": own })).await.unwrap();
    let hidden = started["rotation"]["id"].as_str().unwrap().to_owned();
    let mut answers = Vec::new();
    for wanted in [hidden.as_str(), own.as_str(), "01ARZ3NDEKTSV4RRFFQ69G5FAV"] {
        let refused =
            rig.w.refused(&rig.w.caller("mia"), "get_rotation", json!({ "rotation": wanted })).await;
        answers.push(refused.to_json().to_string().replace(wanted, "it"));
    }

    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[1], answers[2]);
}
