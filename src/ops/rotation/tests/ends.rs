use super::*;
use crate::error::Code;
use crate::ops::lifecycle::rekey::rotate_org;
use std::time::Duration;

#[tokio::test]
async fn f_07_a_value_that_nobody_goes_on_with_ends_after_a_day_and_the_old_one_is_served() {
    let rig = Rig::new(true, true).await;
    rig.start().await.unwrap();
    rig.make_and_enter().await;
    rig.hours(23);
    assert_eq!(rig.pass().await, 0);

    rig.hours(2);

    assert_eq!(rig.pass().await, 1);
    assert_eq!(rig.held().await, [(Stage::Current, rig.first.clone())]);
    assert_eq!(rig.stage().await, "aborted");
    assert_eq!(rig.pass().await, 0);
    assert!(rig.w.log().await.contains(&"rotation_pass ok".to_owned()));
}

#[tokio::test]
async fn f_07_a_rotation_that_nobody_gives_a_value_is_a_plan_again_and_a_set_is_an_ordinary_one() {
    let rig = Rig::new(true, true).await;
    rig.start().await.unwrap();
    rig.hours(25);
    rig.pass().await;
    assert_eq!(rig.stage().await, "planned");

    rig.enter("ordinary").await.unwrap();

    assert_eq!((rig.served().await.as_str(), rig.stage().await.as_str()), ("ordinary", "planned"));
    rig.step("enter").await.unwrap();
    rig.make_and_enter().await;
    assert_eq!((rig.served().await.as_str(), rig.stage().await.as_str()), ("ordinary", "staged"));
}

#[tokio::test]
async fn without_overlap_a_value_that_may_be_the_only_one_outlives_its_time_and_an_abort() {
    let rig = Rig::new(false, true).await;
    let started = rig.start().await.unwrap();
    assert!(started["next"].as_str().unwrap().contains("the old one may stop at the moment"), "{started}");
    let new = rig.make_and_enter().await;
    rig.hours(30);
    rig.pass().await;
    assert_eq!(rig.kept(Stage::Pending).await, std::slice::from_ref(&new));
    assert!(rig.look().await["trouble"].as_str().unwrap().contains("nobody went on with it"));

    rig.call("abort_rotation", json!({ "rotation": rig.id })).await.unwrap();
    let again = rig.start().await.unwrap();

    assert_eq!(again["rotation"]["stage"], "staged");
    rig.step("verify").await.unwrap();
    rig.step("promote").await.unwrap();
    assert_eq!(rig.served().await, new);
}

#[tokio::test]
async fn what_is_set_after_promotion_outlives_the_way_back_and_the_next_rotation_goes_on_with_it() {
    let rig = Rig::new(false, true).await;
    rig.promoted().await;
    let later = rig.make_and_enter().await;
    rig.call("abort_rotation", json!({ "rotation": rig.id })).await.unwrap();
    assert!(rig.kept(Stage::Pending).await.contains(&later));

    rig.start().await.unwrap();
    rig.step("promote").await.unwrap();

    assert_eq!(rig.served().await, later);
}

#[tokio::test]
async fn m_35_a_deleted_credential_s_rotation_ends_cleanly_and_a_restored_one_has_its_old_value() {
    let rig = Rig::new(true, true).await;
    rig.start().await.unwrap();
    rig.make_and_enter().await;

    rig.call("delete_credential", json!({ "credential": rig.id, "reason": "a test" })).await.unwrap();

    assert_eq!(rig.stage().await, "aborted");
    assert_eq!(rig.step("verify").await.unwrap_err().code, Code::WrongStage);
    rig.call("restore_credential", json!({ "credential": rig.id })).await.unwrap();
    assert_eq!(rig.held().await, [(Stage::Current, rig.first.clone())]);
    rig.start().await.unwrap();
}

#[tokio::test]
async fn m_35_a_purged_credential_leaves_no_rotation_and_no_value_behind() {
    let rig = Rig::new(true, true).await;
    rig.promoted().await;
    let id = rig.look().await["id"].as_str().unwrap().to_owned();
    rig.call("delete_credential", json!({ "credential": rig.id, "reason": "a test" })).await.unwrap();
    let purge = json!({ "credential": rig.id, "reason": "a test" });
    rig.w.call_with(&rig.w.person("ada"), "purge_credential", purge, &PersonYes).await.unwrap();

    let gone = rig.call("get_rotation", json!({ "rotation": id })).await.unwrap_err();

    assert!(matches!(gone.code, Code::RotationNotFound | Code::CredentialNotFound), "{gone:?}");
    let org = rig.w.org.clone();
    let left =
        rig.w.app.store.read(move |tx| tx.count::<crate::model::rotation::Rotation>(&org)).await.unwrap();
    assert_eq!(left, 0);
}

#[tokio::test]
async fn m_35_a_rotation_survives_a_move_to_another_place_and_a_new_key_of_the_org() {
    let mut rig = Rig::new(true, true).await;
    rig.bind("deploy").await;
    rig.start().await.unwrap();
    let new = rig.make_and_enter().await;
    rig.call(
        "share_credential",
        json!({ "credential": rig.id, "user": "tess", "level": "manage", "reason": "a test" }),
    )
    .await
    .unwrap();
    rotate_org(&rig.w.app, &rig.w.person("ada"), Duration::ZERO).await.unwrap();
    rig.call("update_credential", json!({ "credential": rig.id, "scope": "personal", "reason": "a test" }))
        .await
        .unwrap();
    rig.reopen();

    rig.step("verify").await.unwrap();
    rig.step("promote").await.unwrap();

    assert_eq!(rig.served().await, new);
    // What stands beside it is under the new key too.
    rig.call("get_consumer", json!({ "consumer": "deploy" })).await.unwrap();
    let found =
        crate::ops::lifecycle::doctor::doctor(&rig.w.app.config, rig.w.clock.clone(), true, None).await;
    let rows: Vec<_> = found.iter().filter(|check| check.name == "rows").map(|check| check.code).collect();
    assert!(rows.iter().all(Option::is_none), "{rows:?}");
}

#[tokio::test]
async fn an_ordinary_set_is_what_it_was_without_a_rotation() {
    let rig = Rig::new(true, true).await;

    let entered = rig.enter("second").await.unwrap();

    assert!(entered.replaced && entered.rotation.is_none());
    assert_eq!(rig.served().await, "second");
    assert_eq!(rig.kept(Stage::Previous).await, std::slice::from_ref(&rig.first));
}

#[tokio::test]
async fn a_credential_without_a_value_has_nothing_to_rotate_and_one_never_rotated_says_so() {
    let rig = Rig::new(true, true).await;
    rig.call("create_credential", json!({ "name": "EMPTY", "scope": "org" })).await.unwrap();

    let refused = rig.call("start_rotation", json!({ "credential": "EMPTY" })).await.unwrap_err();
    let never = rig.call("get_rotation", json!({ "rotation": "EMPTY" })).await.unwrap_err();

    assert_eq!((refused.code, never.code), (Code::ValueMissing, Code::NothingToDo));
}

#[tokio::test]
async fn going_back_by_itself_is_told_to_where_notices_go_and_going_back_by_hand_is_not() {
    let mut file = crate::config::File::default();
    file.identity.org = "acme".into();
    file.identity.user = "user-acme-ada".into();
    file.notices.webhook = Some("https://hooks.example.com/unsaid".into());
    let rig = Rig::with(file, true, true).await;
    let waiting = async || {
        let org = rig.w.org.clone();
        rig.w.app.store.read(move |tx| tx.notices_due(&org, tx.now(), 10)).await.unwrap()
    };
    rig.bind("deploy").await;
    rig.promoted().await;
    rig.call("abort_rotation", json!({ "rotation": rig.id })).await.unwrap();
    assert_eq!(rig.served().await, rig.first);
    assert!(waiting().await.is_empty());

    let new = rig.promoted().await;
    assert_eq!(rig.run("deploy").await, new);
    rig.report("deploy", "failed").await;

    assert_eq!(rig.served().await, rig.first);
    let told = waiting().await;
    assert_eq!(told.len(), 1);
    let body: Value = serde_json::from_str(&told[0].body).unwrap();
    assert_eq!((&body["type"], &body["credential"]["name"]), (&json!("rotation.went_back"), &json!("KEY")));
    assert!(body["next"].as_str().unwrap().contains("unsaid rotate --status"));
    assert!(!told[0].body.contains(&new) && !told[0].body.contains(&rig.first));
}
