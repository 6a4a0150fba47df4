//! Rules of the product that stand in no other journey: resolution in every combination, and rights that end at once.
use crate::support::world::{FormYes, PersonYes, World};
use serde_json::json;
use unsaid::clock::Millis;
use unsaid::error::{Code, Result};
use unsaid::model::access::{Caller, Door, Standing};
use unsaid::model::credential::Scope;
use unsaid::ops::catalog;
use unsaid::ops::hand_over::{HandOver, hand_over};
use unsaid::store::Place;

async fn value(w: &World, login: &str, name: &str) -> Result<String> {
    let wanted = HandOver { names: vec![name.into()], command: "true".into(), ..HandOver::default() };
    let handed = hand_over(&w.app, &w.caller(login), wanted).await?;
    Ok(handed[0].value.expose(|bytes| String::from_utf8_lossy(bytes).into_owned()))
}

/// What may stand in a scope.
#[derive(Clone, Copy, Debug, PartialEq)]
enum There {
    Nothing,
    Live,
    Expired,
    Deleted,
    Empty,
}

/// What must come out, written down apart from the product's own rule: the first scope that has something undeleted
/// decides, and if that cannot be used the use fails.
fn expected(personal: There, team: There, org: There) -> Result<&'static str, Code> {
    for (there, word) in [(personal, "personal"), (team, "team"), (org, "org")] {
        match there {
            There::Nothing | There::Deleted => {}
            There::Live => return Ok(word),
            There::Expired => return Err(Code::CredentialExpired),
            There::Empty => return Err(Code::ValueMissing),
        }
    }
    Err(Code::Unresolved)
}

#[tokio::test]
async fn z_17_every_combination_of_scopes_resolves_as_the_rule_says() {
    let w = World::new().await;
    let kinds = [There::Nothing, There::Live, There::Expired, There::Deleted, There::Empty];
    let places = [("mia", "personal"), ("tess", "core"), ("ada", "org")];
    let mut cases = Vec::new();
    for personal in kinds {
        for team in kinds {
            for org in kinds {
                let name = format!("CASE_{}", cases.len());
                for (there, (login, place)) in [personal, team, org].into_iter().zip(places) {
                    put(&w, login, place, &name, there).await;
                }
                cases.push((name, [personal, team, org]));
            }
        }
    }
    w.clock.advance_ms(10 * unsaid::clock::DAY_MS);

    for (name, [personal, team, org]) in cases {
        let found = value(&w, "mia", &name).await.map_err(|e| e.code);

        let expected = expected(personal, team, org).map(|word| format!("{name} {word}"));
        assert_eq!(found, expected, "{personal:?} {team:?} {org:?}");
    }
}

async fn put(w: &World, login: &str, place: &str, name: &str, there: There) {
    let word = if place == "core" { "team" } else { place };
    let id = match there {
        There::Nothing => return,
        There::Empty => {
            let mut wish = json!({"name": name, "scope": word});
            if word == "team" {
                wish["team"] = json!(place);
            }
            w.call_with(&w.person(login), "create_credential", wish, &FormYes).await.unwrap();
            return;
        }
        _ => w.add(login, place, name, &format!("{name} {word}")).await,
    };
    match there {
        There::Expired => {
            let wish = json!({"credential": id, "expires_at": "2026-06-02"});
            w.call(&w.person(login), "update_credential", wish).await.unwrap();
        }
        There::Deleted => {
            let wish = json!({"credential": id, "reason": "test"});
            w.call_with(&w.person(login), "delete_credential", wish, &PersonYes).await.unwrap();
        }
        _ => {}
    }
}

#[tokio::test]
async fn z_30_a_right_that_is_taken_away_ends_with_the_next_call() {
    let w = World::new().await;
    w.add("tess", "core", "TEAM_KEY", "v").await;
    w.add("ada", "org", "ORG_KEY", "v").await;
    assert!(value(&w, "mia", "TEAM_KEY").await.is_ok());

    let wish = json!({"team": "core", "user": "mia"});
    w.call_with(&w.person("ada"), "remove_member", wish, &PersonYes).await.unwrap();
    assert_eq!(value(&w, "mia", "TEAM_KEY").await.unwrap_err().code, Code::Unresolved);
    let e = w.refused(&w.caller("mia"), "get_credential", json!({"credential": "TEAM_KEY"})).await;
    assert_eq!(e.code, Code::CredentialNotFound);

    let wish = json!({"user": "mia", "disabled": true});
    w.call_with(&w.person("ada"), "update_user", wish, &PersonYes).await.unwrap();
    assert_eq!(value(&w, "mia", "ORG_KEY").await.unwrap_err().code, Code::NotAllowed);
    for entry in catalog() {
        let outcome = w.call(&w.caller("mia"), entry.name, json!({})).await;
        assert!(outcome.is_err(), "{} answers a disabled user", entry.name);
    }
}

#[tokio::test]
async fn m_30_a_model_deletes_into_the_bin_only_and_hears_who_is_hit() {
    let w = World::new().await;
    w.add("ada", "org", "ORG_KEY", "v").await;
    value(&w, "max", "ORG_KEY").await.unwrap();
    let wish = json!({"credential": "ORG_KEY", "reason": "unused"});

    let gone = w.call_with(&w.caller("ada"), "delete_credential", wish, &FormYes).await.unwrap();

    let impact = gone["impact"].to_string();
    assert!(impact.contains("everybody in the org") && impact.contains("last at"), "{impact}");
    assert_eq!(gone["restore_until"], "2026-07-01T00:00:00Z");
    w.call(&w.caller("ada"), "restore_credential", json!({"credential": "ORG_KEY"})).await.unwrap();
    assert_eq!(value(&w, "max", "ORG_KEY").await.unwrap(), "v");
}

#[tokio::test]
async fn m_32_nothing_irreversible_and_nobodys_rights_are_a_models_to_change() {
    let w = World::new().await;
    let id = w.add("ada", "org", "ORG_KEY", "v").await;
    let wish = json!({"credential": id, "reason": "x"});
    w.call_with(&w.caller("ada"), "delete_credential", wish.clone(), &FormYes).await.unwrap();

    for (operation, wish) in [
        ("purge_credential", wish.clone()),
        ("lift_suspension", wish),
        ("set_policy", json!({"bin_days": 1})),
        ("add_user", json!({"login": "eve"})),
        ("update_user", json!({"user": "mia", "role": "admin"})),
        ("create_team", json!({"name": "new"})),
        ("delete_team", json!({"team": "ops"})),
        ("set_member", json!({"team": "core", "user": "max", "role": "owner"})),
        ("remove_member", json!({"team": "core", "user": "mia"})),
    ] {
        // Even an answer that claims a person agreed.
        let e = w.call_with(&w.caller("ada"), operation, wish, &PersonYes).await.unwrap_err();
        assert_eq!(e.code, Code::PeopleOnly, "{operation}");
        assert!(!unsaid::ops::find_entry(operation).unwrap().is_tool(), "{operation}");
    }
    assert!(w.chain_is_whole().await);
}

/// Z-36: what was asked for by somebody who lost the right meanwhile is not done, whoever says yes.
#[tokio::test]
async fn z_36_a_request_is_carried_out_with_the_rights_that_its_asker_has_then() {
    let w = World::new().await;
    w.add("tess", "core", "TEAM_KEY", "v").await;
    let wish = json!({"credential": "TEAM_KEY", "level": "use", "user": "max", "reason": "on call"});
    let asked = w.refused(&w.caller("tess"), "share_credential", wish).await;
    let id = asked.details().iter().find(|(name, _)| *name == "approval_id").unwrap().1.clone();
    for (login, role) in [("mia", "owner"), ("tess", "member")] {
        let change = json!({"team": "core", "user": login, "role": role});
        w.call(&w.person("ada"), "set_member", change).await.unwrap();
    }

    let refused = unsaid::ops::approval::approve(&w.app, &w.person("tess"), &id).await.unwrap_err();

    assert!(
        matches!(refused.code, Code::NotAllowed | Code::ApprovalNotFound | Code::ApprovalClosed),
        "{refused:?}"
    );
    assert!(value(&w, "max", "TEAM_KEY").await.is_err());
}

/// Z-05: an admin decides what their own org asks for, and learns of no other's.
#[tokio::test]
async fn z_05_requests_of_another_org_are_not_listed_for_its_admins() {
    let w = World::new().await;
    w.add("ada", "org", "ORG_KEY", "v").await;
    let wish = json!({"credential": "ORG_KEY", "level": "use", "user": "max", "reason": "on call"});
    w.refused(&w.caller("ada"), "share_credential", wish).await;
    let other = Caller { door: Door::Cli, ..w.stranger("ada") };

    let ours = w.call(&w.person("ada"), "list_approvals", json!({"all": true})).await.unwrap();
    let theirs = w.call(&other, "list_approvals", json!({"all": true})).await.unwrap();

    assert_eq!(ours["approvals"].as_array().unwrap().len(), 1);
    assert!(theirs["approvals"].as_array().unwrap().is_empty(), "{theirs}");
}

/// Z-03: each query asks for its org, whatever id it is given. A run that takes one such term out at a time must fail here.
#[tokio::test]
async fn z_03_ids_of_another_org_find_nothing_in_this_one() {
    let w = World::new().await;
    let them = Caller { door: Door::Cli, ..w.stranger("ada") };
    w.add_as(&them, "org", "THEIRS", "v").await;
    let wish = json!({"credential": "THEIRS", "level": "use", "user": "max", "reason": "on call"});
    w.call_with(&them, "share_credential", wish.clone(), &PersonYes).await.unwrap();
    let wish = json!({"credential": "THEIRS", "level": "manage", "user": "max", "reason": "on call"});
    w.refused(&w.stranger("ada"), "share_credential", wish).await;
    let (ours, theirs, ada) = (w.org.clone(), them.org.clone(), them.user.clone());
    let mixed = Caller { org: ours.clone(), ..them.clone() };

    let found = w.app.store.read(move |tx| {
        let c = tx.candidates(&theirs, "THEIRS", &[Place::Owned(Scope::Org, theirs.0.clone())])?.remove(0);
        let team = tx.teams(&theirs)?.remove(0);
        let member = tx.members(&theirs, &team.id)?.remove(0).user_id;
        let max = tx.user_named(&theirs, "max")?;
        let holder =
            Standing { user: max.id, login: "max".into(), role: max.role, teams: Vec::new(), consumer: None };
        assert_eq!(tx.grants_held(&theirs, &holder)?.len(), 1);
        assert_eq!(tx.approvals_by(&theirs, &ada, Millis(0), 9)?.len(), 1);
        assert_eq!(tx.versions(&theirs, &c.id, 9)?.len(), 1);
        Ok([
            ("user", usize::from(tx.user(&ours, &ada).is_ok())),
            ("standing", usize::from(tx.standing(&mixed).is_ok())),
            ("team", usize::from(tx.team(&ours, &team.id).is_ok())),
            ("memberships", tx.memberships_of(&ours, &member)?.len()),
            ("members", tx.members(&ours, &team.id)?.len()),
            ("credential", usize::from(tx.find_credential(&ours, &c.id)?.is_some())),
            ("versions", tx.versions(&ours, &c.id, 9)?.len()),
            ("version", usize::from(tx.find_version(&ours, &c.id, 1)?.is_some())),
            ("grants", tx.grants_on(&ours, &c.id)?.len()),
            ("grants held", tx.grants_held(&ours, &holder)?.len()),
            ("requests", tx.approvals_by(&ours, &ada, Millis(0), 9)?.len()),
        ])
    });

    for (what, count) in found.await.unwrap() {
        assert_eq!(count, 0, "{what}");
    }
}
