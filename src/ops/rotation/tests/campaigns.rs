use super::*;
use crate::error::Code;
use crate::testing::FormYes;

#[tokio::test]
async fn a_leaver_s_campaign_begins_with_what_they_really_used_and_shows_how_far_it_is() {
    let rig = Rig::new(true, true).await;
    rig.w.add("ada", "org", "UNUSED", "words one").await;
    let used = rig.w.add("ada", "org", "ZZ_USED", "words two").await;
    rig.w.add("max", "personal", "OF_MAX", "words three").await;
    let wanted = crate::ops::hand_over::HandOver { names: vec!["ZZ_USED".into()], ..Default::default() };
    crate::ops::hand_over::hand_over(&rig.w.app, &rig.w.person("max"), wanted).await.unwrap();

    let started = rig.call("start_rotation", json!({ "user": "max", "reason": "he leaves" })).await.unwrap();

    let campaign = started["campaign"]["id"].as_str().unwrap();
    assert_eq!(started["campaign"]["total"], 3);
    let page = rig.call("list_rotations", json!({ "campaign": campaign })).await.unwrap();
    let names: Vec<_> =
        page["rotations"].as_array().unwrap().iter().map(|r| r["credential"].clone()).collect();
    assert_eq!(names[0], "ZZ_USED");
    assert!(!names.contains(&json!("OF_MAX")), "another's personal one stays unknown");
    let end = json!({ "rotation": used });
    rig.call("abort_rotation", end).await.unwrap();
    let page = rig.call("list_rotations", json!({ "campaign": campaign })).await.unwrap();
    assert_eq!(page["campaign"]["stages"], json!({ "aborted": 1, "planned": 2 }));
    let other = rig.w.refused(&rig.w.caller("mia"), "list_rotations", json!({ "campaign": campaign })).await;
    assert_eq!(other.code, Code::RotationNotFound);
}

#[tokio::test]
async fn what_is_due_goes_by_the_credential_s_own_policy_then_its_service_s_then_the_org_s() {
    let rig = Rig::new(true, true).await;
    let plain = rig.w.add("ada", "org", "PLAIN", "words").await;
    let set = |arguments: Value| rig.call("set_rotation_policy", arguments);
    set(json!({ "days": 90 })).await.unwrap();
    set(json!({ "service": SIDE_BY_SIDE, "days": 30 })).await.unwrap();
    let due = async |id: &str| {
        let shown = rig.call("get_credential", json!({ "credential": id })).await.unwrap();
        shown["status"]["reasons"].to_string().contains("rotation_due")
    };

    rig.hours(24 * 31);
    assert!(due(&rig.id).await && !due(&plain).await);
    rig.hours(24 * 60);
    assert!(due(&plain).await);
    set(json!({ "credential": plain, "days": 0 })).await.unwrap();
    assert!(!due(&plain).await, "never is a policy too");
    set(json!({ "credential": plain })).await.unwrap();
    assert!(due(&plain).await);

    let started = rig.call("start_rotation", json!({ "overdue": true })).await.unwrap();
    assert_eq!(started["campaign"]["total"], 2);
    let listed = rig.call("list_rotations", json!({})).await.unwrap();
    assert_eq!(listed["policies"], json!(["org 90", format!("{SIDE_BY_SIDE} 30")]));
}

#[tokio::test]
async fn an_org_that_follows_the_catalogue_has_what_it_advised_that_day_behind_its_own_policies() {
    let rig = Rig::new(true, true).await;
    let plain = rig.w.add("ada", "org", "PLAIN", "words").await;
    let set = |arguments: Value| rig.call("set_rotation_policy", arguments);
    let due_after = async |id: &str| {
        let app = &rig.w.app;
        let (org, id) = (rig.w.caller("ada").org, id.to_owned());
        let days = app.store.read(move |tx| {
            let c = tx.find_credential(&org, &crate::ids::CredentialId::from(id.as_str()))?.unwrap();
            Ok(crate::ops::rotation::Policies::read(tx, &org)?.days_for(&c))
        });
        days.await.unwrap()
    };
    let advised = rig.w.app.catalogue.service(SIDE_BY_SIDE).unwrap().rotation.recommended_interval_days;
    let advised = Some(i64::from(advised));

    assert_eq!(due_after(&rig.id).await, None, "advice alone is no policy");
    let told = set(json!({ "advised": true })).await.unwrap();
    assert_eq!(told["advised"], rig.w.app.catalogue.services().count());
    assert_eq!((due_after(&rig.id).await, due_after(&plain).await), (advised, None));
    set(json!({ "days": 400 })).await.unwrap();
    assert_eq!((due_after(&rig.id).await, due_after(&plain).await), (advised, Some(400)));
    set(json!({ "service": SIDE_BY_SIDE, "days": 7 })).await.unwrap();
    assert_eq!(due_after(&rig.id).await, Some(7));
    set(json!({ "credential": rig.id, "advised": true })).await.unwrap();
    assert_eq!(due_after(&rig.id).await, advised);
    let listed = rig.call("list_rotations", json!({})).await.unwrap();
    assert!(listed["policies"].to_string().contains("as advised: "), "{listed}");

    set(json!({ "credential": rig.id })).await.unwrap();
    set(json!({ "service": SIDE_BY_SIDE })).await.unwrap();
    set(json!({ "advised": false })).await.unwrap();
    assert_eq!(due_after(&rig.id).await, Some(400));
    for (wrong, code) in [
        (json!({ "advised": false }), Code::NothingToDo),
        (json!({ "advised": true, "days": 3 }), Code::InvalidInput),
        (json!({ "credential": plain, "advised": true }), Code::InvalidInput),
        (json!({ "service": SIDE_BY_SIDE, "advised": false }), Code::InvalidInput),
    ] {
        assert_eq!(set(wrong.clone()).await.unwrap_err().code, code, "{wrong}");
    }
    // What is agreed to is this advice, and says how much it is.
    let by = rig.w.caller("ada");
    let asked = rig.w.refused(&by, "set_rotation_policy", json!({ "advised": true })).await;
    assert_eq!(asked.code, Code::ApprovalRequired);
    let member = rig.w.refused(&rig.w.caller("mia"), "set_rotation_policy", json!({ "advised": true })).await;
    assert_eq!(member.code, Code::NotAllowed);
}

#[tokio::test]
async fn a_policy_beyond_one_credential_is_an_admin_s_and_a_person_s_yes() {
    let rig = Rig::new(true, true).await;
    let wanted = json!({ "days": 90 });

    let member = rig.w.refused(&rig.w.caller("mia"), "set_rotation_policy", wanted.clone()).await;
    let form =
        rig.w.call_with(&rig.w.caller("ada"), "set_rotation_policy", wanted, &FormYes).await.unwrap_err();
    let other = rig
        .w
        .refused(&rig.w.caller("mia"), "set_rotation_policy", json!({ "credential": rig.id, "days": 1 }))
        .await;
    let much = rig
        .w
        .refused(&rig.w.caller("ada"), "set_rotation_policy", json!({ "credential": rig.id, "days": 9999 }))
        .await;

    assert_eq!(
        (member.code, form.code, other.code, much.code),
        (Code::NotAllowed, Code::ApprovalRequired, Code::NotAllowed, Code::InvalidInput)
    );
}

#[tokio::test]
async fn what_is_under_way_is_left_alone_and_a_set_of_nothing_is_told() {
    let rig = Rig::new(true, true).await;
    rig.w.add("ada", "org", "OTHER", "words").await;
    rig.start().await.unwrap();

    let started =
        rig.call("start_rotation", json!({ "credentials": [rig.id, "OTHER", "OTHER"] })).await.unwrap();

    assert_eq!(started["campaign"]["total"], 1);
    assert!(started["skipped"][0].as_str().unwrap().contains("is being rotated already"));
    let nothing = rig.call("start_rotation", json!({ "service": "github" })).await.unwrap_err();
    assert_eq!(nothing.code, Code::NothingToDo);
    let both = rig.call("start_rotation", json!({ "service": "github", "overdue": true })).await.unwrap_err();
    assert_eq!(both.code, Code::InvalidInput);
}

#[tokio::test]
async fn a_rotation_under_way_shows_in_the_status_of_its_credential() {
    let rig = Rig::new(true, true).await;
    rig.start().await.unwrap();

    let shown = rig.call("list_credentials", json!({})).await.unwrap();

    assert_eq!(shown["credentials"][0]["status"]["reasons"], json!(["rotation_in_progress"]));
    assert!(shown["credentials"][0]["status"]["next"].as_str().unwrap().contains("get_rotation"));
}

#[tokio::test]
async fn a_page_of_two_hundred_rotations_stays_small_and_the_next_begins_where_it_ended() {
    let rig = Rig::new(true, true).await;
    for n in 0..60 {
        rig.w.add("ada", "org", &format!("KEY_{n}"), "words").await;
    }
    rig.hours(24 * 400);
    rig.call("set_rotation_policy", json!({ "days": 30 })).await.unwrap();
    rig.call("start_rotation", json!({ "overdue": true })).await.unwrap();

    let (mut seen, mut cursor) = (std::collections::BTreeSet::new(), Value::Null);
    loop {
        let mut wanted = json!({ "limit": 50 });
        if !cursor.is_null() {
            wanted["cursor"] = cursor;
        }
        let page = rig.call("list_rotations", wanted).await.unwrap();
        assert!(page.to_string().len() < 24_000);
        seen.extend(page["rotations"].as_array().unwrap().iter().map(|r| r["id"].to_string()));
        cursor = page["next_cursor"].clone();
        if cursor.is_null() {
            break;
        }
    }
    assert_eq!(seen.len(), 61);
}
