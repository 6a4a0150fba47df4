//! HashiCorp Vault by its documented answers (`/v1/auth/token`), from a server of our own over TLS. Not tried on the real one.
use super::super::http::Http;
use super::served::Reply::{self, BreaksOff, HangsUp, Says};
use super::served::{Served, says};
use super::{credential, fields, text};
use crate::clock::{FixedClock, Millis};
use crate::config::{Rotated, Rotation};
use crate::error::Code;
use crate::model::credential::Credential;
use crate::model::rotation::Finding;
use crate::rotation::driver::{Call, Created, Driver, Ended, Fields, Makes};
use crate::services::Catalogue;
use crate::services::client::{Names, Outbound};
use crate::services::wire::Wire;
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

const NAME: &str = "vault.test";
const LOOK: &str = "GET /v1/auth/token/lookup-self";
const CREATE: &str = "POST /v1/auth/token/create-orphan";
const END: &str = "POST /v1/auth/token/revoke-self";

fn refused(status: u16) -> Reply {
    says(status, &json!({ "errors": ["permission denied for of-before of-now of-the-admin"] }))
}

struct Vault {
    driver: Http,
    server: Served,
    credential: Credential,
    admin: (Credential, Fields),
    old: Fields,
    new: Fields,
}

impl Vault {
    /// One that gives these answers, in this order; every further request is answered by a hang-up.
    async fn new(replies: impl IntoIterator<Item = Reply>) -> Self {
        let mut replies: VecDeque<Reply> = replies.into_iter().collect();
        let server = Served::new(NAME, move |_| replies.pop_front().unwrap_or(HangsUp)).await;
        let place = format!("{NAME}:{}", server.address.port());
        // Whoever enters values would like them sent elsewhere.
        let credential = credential("vault", &["TOKEN", ".ACCESSOR", ".VAULT_HOST", ".SERVER"]);
        let value = |token, accessor| {
            fields(&[
                ("TOKEN", token),
                ("ACCESSOR", accessor),
                ("VAULT_HOST", "elsewhere.test"),
                ("SERVER", "elsewhere.test"),
            ])
        };
        let admin = super::credential("vault", &["TOKEN"]);
        Self {
            driver: driver(server.outbound(&place), said(&place)).unwrap(),
            server,
            credential,
            admin: (admin, fields(&[("TOKEN", "of-the-admin")])),
            old: value("of-before", "accessor-1"),
            new: value("of-now", "accessor-2"),
        }
    }

    fn call<'a>(&'a self, new: Option<&'a Fields>) -> Call<'a> {
        Call {
            credential: &self.credential,
            admin: Some((&self.admin.0, &self.admin.1)),
            old: &self.old,
            new,
        }
    }

    /// What was asked, and by whose token.
    fn asked(&self) -> Vec<(String, String)> {
        self.server
            .asked()
            .iter()
            .map(|one| (one.what.clone(), one.header("x-vault-token").to_owned()))
            .collect()
    }

    fn bodies(&self) -> Vec<Value> {
        self.server.asked().iter().map(|one| one.json()).collect()
    }
}

fn said(place: &str) -> Rotated {
    let params = BTreeMap::from([("vault_host".to_owned(), place.to_owned())]);
    Rotated { admin: Some("two".into()), params, ..Rotated::default() }
}

fn driver(outbound: Outbound, said: Rotated) -> Option<Http> {
    let credential = BTreeMap::from([("one".to_owned(), said)]);
    let settings = Arc::new(Rotation { credential, ..Rotation::default() });
    let service = Catalogue::embedded().find_service("vault").unwrap();
    let clock = Arc::new(FixedClock::at(Millis(1_780_272_000_000)));
    Http::new(service, Arc::new(Wire::new(outbound)), settings, clock)
}

/// `lookup-self`, as documented, with `changes`.
fn seen(changes: Value) -> Reply {
    let mut data = json!({
        "accessor": "accessor-1", "creation_time": 1780000000, "creation_ttl": 2764800, "display_name": "token-web",
        "entity_id": "", "expire_time": "2026-07-01T00:00:00Z", "explicit_max_ttl": 0, "id": "of-before",
        "issue_time": "2026-06-01T00:00:00Z", "meta": { "for": "web" }, "num_uses": 0, "orphan": true,
        "path": "auth/token/create", "policies": ["app-read"], "renewable": true, "ttl": 2764790, "type": "service",
    });
    data.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    says(200, &json!({ "request_id": "r", "data": data, "auth": null, "warnings": null }))
}

fn made() -> Reply {
    let auth = json!({
        "client_token": "of-now", "accessor": "accessor-2", "policies": ["app-read"], "token_policies": ["app-read"],
        "lease_duration": 2764800, "renewable": true, "entity_id": "", "token_type": "service", "orphan": true,
    });
    says(200, &json!({ "request_id": "r", "data": null, "auth": auth, "warnings": null }))
}

fn pair(what: &str, whose: &str) -> (String, String) {
    (what.to_owned(), whose.to_owned())
}

fn expect_no_value(e: &crate::error::Error) {
    let shown = format!("{e:?} {} {}", e.message(), e.next_step());
    for value in ["of-before", "of-now", "of-the-admin"] {
        assert!(!shown.contains(value), "{shown}");
    }
}

#[tokio::test]
async fn an_administrator_makes_another_one_that_may_do_what_the_old_one_may() {
    let vault = Vault::new([seen(json!({ "period": 86400, "explicit_max_ttl": 9000000 })), made()]).await;

    let created = vault.driver.create(vault.call(None)).await.unwrap();

    let Created::Made(new) = created else { panic!("it was made") };
    assert_eq!(
        (text(&new.fields, "TOKEN"), text(&new.fields, "ACCESSOR")),
        ("of-now".into(), "accessor-2".into())
    );
    assert_eq!(text(&new.fields, "VAULT_HOST"), "elsewhere.test");
    assert_eq!(vault.asked(), [pair(LOOK, "of-before"), pair(CREATE, "of-the-admin")]);
    assert_eq!(
        vault.bodies()[1],
        json!({
            "policies": ["app-read"], "no_default_policy": true, "renewable": true, "type": "service",
            "meta": { "for": "web" }, "display_name": "web", "ttl": "2764800s", "explicit_max_ttl": "9000000s",
            "period": "86400s",
        })
    );
    assert_eq!(
        (vault.driver.makes(), vault.driver.revokes(), vault.driver.tests()),
        (Makes::Service, true, true)
    );
    assert_eq!(vault.driver.overlaps(&vault.credential), Some(true));
    assert!(!vault.driver.is_tried_live(&vault.credential));
}

#[tokio::test]
async fn what_vault_refuses_to_make_is_refused_and_asked_once() {
    for status in [400, 403, 404, 405, 412, 429] {
        let vault = Vault::new([seen(json!({})), refused(status), made()]).await;

        let e = vault.driver.create(vault.call(None)).await.err().unwrap();

        assert_eq!(e.code, Code::Unreachable, "{status}");
        assert!(e.message().contains(&format!("made none: status {status}")), "{}", e.message());
        expect_no_value(&e);
        assert_eq!(vault.asked().len(), 2);
    }
}

#[tokio::test]
async fn an_answer_that_does_not_have_the_new_one_leaves_it_unsure_and_is_not_asked_for_again() {
    let answers = || {
        [
            BreaksOff,
            HangsUp,
            refused(500),
            // Sealed, or what stands before it says so, with the request under way.
            refused(503),
            Says(307, String::new()),
            Says(204, String::new()),
            Says(200, "<html>".into()),
            says(200, &json!({ "auth": null, "data": null })),
            says(200, &json!({ "auth": { "accessor": "accessor-2" } })),
            says(200, &json!({ "auth": { "client_token": 7 } })),
            says(200, &json!({ "auth": null, "wrap_info": { "token": "of-now" } })),
        ]
    };
    for (at, answer) in answers().into_iter().enumerate() {
        let vault = Vault::new([seen(json!({})), answer, made()]).await;

        let created = vault.driver.create(vault.call(None)).await.unwrap();

        assert!(matches!(created, Created::Unsure), "{at}");
        assert_eq!(vault.asked().len(), 2, "{at}");
    }
}

#[tokio::test]
async fn nothing_is_made_where_vault_does_not_say_what_the_old_one_may_do() {
    let answers =
        || [BreaksOff, HangsUp, refused(403), refused(503), Says(200, "{}".into()), Says(204, String::new())];
    for (at, answer) in answers().into_iter().enumerate() {
        let vault = Vault::new([answer, made()]).await;

        let e = vault.driver.create(vault.call(None)).await.err().unwrap();

        assert_eq!(e.code, Code::Unreachable, "{at}");
        expect_no_value(&e);
        assert_eq!(vault.asked(), [pair(LOOK, "of-before")], "{at}");
    }
}

#[tokio::test]
async fn an_old_one_that_no_other_can_be_like_is_left_to_a_person() {
    for changes in [
        json!({ "policies": ["root"], "path": "auth/token/root" }),
        json!({ "policies": ["app-read", "root"] }),
        json!({ "policies": [] }),
        json!({ "path": "auth/approle/login" }),
        json!({ "path": "auth/token/create/web", "role": "web" }),
        json!({ "role": "web" }),
        json!({ "entity_id": "e" }),
        json!({ "identity_policies": ["ops"] }),
        json!({ "type": "batch" }),
        json!({ "num_uses": 3 }),
        json!({ "bound_cidrs": ["10.0.0.0/8"] }),
    ] {
        let vault = Vault::new([seen(changes.clone()), made()]).await;

        let e = vault.driver.create(vault.call(None)).await.err().unwrap();

        assert_eq!(e.code, Code::InvalidInput, "{changes}");
        assert!(e.next_step().contains("yourself"), "{changes}");
        expect_no_value(&e);
        assert_eq!(vault.asked(), [pair(LOOK, "of-before")], "{changes}");
    }
}

#[tokio::test]
async fn without_an_administrator_or_a_place_in_the_configuration_nothing_is_sent() {
    let vault = Vault::new([seen(json!({})), made()]).await;
    let alone = Call { admin: None, ..vault.call(None) };
    let no_place = driver(Outbound::default(), Rotated { params: BTreeMap::new(), ..said("") }).unwrap();
    let no_admin = driver(Outbound::default(), Rotated { admin: None, ..said("vault.test:8200") }).unwrap();

    let e = vault.driver.create(alone).await.err().unwrap();
    let nowhere = no_place.create(vault.call(None)).await.err().unwrap();

    assert!(e.next_step().contains("admin"), "{}", e.next_step());
    assert!(nowhere.next_step().contains("vault_host"), "{}", nowhere.next_step());
    assert!(vault.asked().is_empty());
    assert!(vault.driver.drives(&vault.credential));
    assert!(!no_place.drives(&vault.credential) && !no_admin.drives(&vault.credential));
}

#[tokio::test]
async fn a_server_in_the_own_network_is_spoken_to_only_where_the_configuration_allows_it() {
    let vault = Vault::new([]).await;
    let inside = Outbound {
        names: Names::told_by(|_, _| Ok(vec!["10.1.2.3:8200".parse().unwrap()])),
        ..Outbound::default()
    };
    for place in ["vault.test:8200", "127.0.0.1:8200", "vault.test/v1", "mia@vault.test"] {
        let driver = driver(inside.clone(), said(place)).unwrap();

        let e = driver.create(vault.call(None)).await.err().unwrap();

        expect_no_value(&e);
        assert!(matches!(e.code, Code::Unreachable | Code::InvalidInput), "{place}: {e:?}");
    }
    assert!(vault.asked().is_empty());
}

#[tokio::test]
async fn the_old_one_ends_itself_after_a_look_at_whose_child_the_new_one_is() {
    for status in [204, 200] {
        let vault = Vault::new([seen(json!({})), Says(status, String::new())]).await;

        let ended = vault.driver.revoke(vault.call(Some(&vault.new))).await.unwrap();

        assert_eq!(ended, Ended::Confirmed);
        assert_eq!(vault.asked(), [pair(LOOK, "of-now"), pair(END, "of-before")]);
    }
}

#[tokio::test]
async fn an_end_that_vault_does_not_confirm_is_not_asked_for_again() {
    for (answer, expected) in [
        (refused(400), Ended::Refused),
        (refused(429), Ended::Refused),
        // The same is said of one that ended long ago.
        (refused(403), Ended::Unsure),
        (refused(404), Ended::Unsure),
        (refused(500), Ended::Unsure),
        (refused(503), Ended::Unsure),
        (Says(307, String::new()), Ended::Unsure),
        (BreaksOff, Ended::Unsure),
        (HangsUp, Ended::Unsure),
    ] {
        let vault = Vault::new([seen(json!({})), answer, Says(204, String::new())]).await;

        assert_eq!(vault.driver.revoke(vault.call(Some(&vault.new))).await.unwrap(), expected);
        assert_eq!(vault.asked().len(), 2);
    }
}

#[tokio::test]
async fn nothing_ends_where_the_new_one_could_end_with_it() {
    for answer in
        [seen(json!({ "orphan": false })), refused(403), refused(503), BreaksOff, Says(200, "{}".into())]
    {
        let vault = Vault::new([answer, Says(204, String::new())]).await;

        let e = vault.driver.revoke(vault.call(Some(&vault.new))).await.unwrap_err();

        expect_no_value(&e);
        assert_eq!(vault.asked(), [pair(LOOK, "of-now")]);
    }
    let vault = Vault::new([seen(json!({})), Says(204, String::new())]).await;
    assert!(vault.driver.revoke(vault.call(Some(&vault.old))).await.is_err());
    assert!(vault.driver.revoke(vault.call(None)).await.is_err());
    assert!(vault.asked().is_empty());
}

#[tokio::test]
async fn a_test_asks_vault_about_the_token_itself() {
    for (answer, finding) in [
        (seen(json!({})), Finding::Valid),
        (refused(403), Finding::Refused),
        (refused(503), Finding::CouldNotCheck),
        (refused(429), Finding::CouldNotCheck),
        (Says(200, "{}".into()), Finding::CouldNotCheck),
        (BreaksOff, Finding::CouldNotCheck),
    ] {
        let vault = Vault::new([answer]).await;

        let tested = vault.driver.test(&vault.credential, &vault.new).await.unwrap();

        assert_eq!(tested.finding, finding);
        let expected = if finding == Finding::Valid { "token-web" } else { "" };
        assert_eq!(tested.account, expected);
        assert_eq!(vault.asked(), [pair(LOOK, "of-now")]);
    }
}
