//! Services by their documented answers, from servers of our own over TLS that keep to the contract: a key that is not there
//! is refused, one that was ended stays so. None of this was tried on the real ones.
use super::super::http::Http;
use super::served::Reply::{self, BreaksOff, HangsUp, Says};
use super::served::{Asked, Served, says};
use super::{credential, fields, text};
use crate::clock::{FixedClock, Millis};
use crate::config::{Rotated, Rotation};
use crate::error::Code;
use crate::rotation::driver::{Call, Created, Driver, Ended, Makes};
use crate::services::Catalogue;
use crate::services::client::Outbound;
use crate::services::wire::Wire;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

/// 2026-06-01.
const NOW: Millis = Millis(1_780_272_000_000);

/// The keys that a service knows: by id, where it has ids.
#[derive(Default)]
struct Keys(BTreeMap<u64, String>);

impl Keys {
    fn of(keys: &[&str]) -> Arc<Mutex<Self>> {
        Arc::new(Mutex::new(Self((1..).zip(keys.iter().map(|key| (*key).to_owned())).collect())))
    }
    fn has(&self, key: &str) -> bool {
        self.0.values().any(|known| known == key)
    }
    fn end(&mut self, key: &str) -> bool {
        let before = self.0.len();
        self.0.retain(|_, known| known != key);
        before != self.0.len()
    }
    fn add(&mut self, key: &str) -> u64 {
        let id = self.0.keys().last().map_or(1, |last| last + 1);
        self.0.insert(id, key.to_owned());
        id
    }
}

fn bearer(asked: &Asked) -> &str {
    asked.header("authorization").strip_prefix("Bearer ").unwrap_or_default()
}

fn unauthorized() -> Reply {
    says(401, &json!({ "message": "401 Unauthorized", "said": "of-before of-now of-the-admin" }))
}

/// `POST /api/v4/personal_access_tokens/self/rotate`: the token dies with its answer, and asked for by a dead one all end.
fn gitlab(keys: Arc<Mutex<Keys>>) -> impl FnMut(&Asked) -> Reply {
    move |asked| {
        let (mut keys, token) = (keys.lock().unwrap(), asked.header("private-token"));
        if asked.what != "POST /api/v4/personal_access_tokens/self/rotate" {
            return says(404, &json!({ "error": "404 Not Found" }));
        }
        if !keys.end(token) {
            keys.0.clear();
            return unauthorized();
        }
        keys.add("of-now");
        says(
            200,
            &json!({ "id": 42, "token": "of-now", "expires_at": asked.json()["expires_at"], "active": true }),
        )
    }
}

/// `POST /api/v2/api_keys`, `DELETE /api/v2/api_keys/{key_id}`.
fn neon(keys: Arc<Mutex<Keys>>) -> impl FnMut(&Asked) -> Reply {
    move |asked| {
        let mut keys = keys.lock().unwrap();
        if !keys.has(bearer(asked)) {
            return unauthorized();
        }
        match asked.what.strip_prefix("DELETE /api/v2/api_keys/") {
            Some(id) => match id.parse().ok().and_then(|id| keys.0.remove(&id)) {
                Some(_) => says(200, &json!({ "id": 7, "revoked": true })),
                None => says(404, &json!({ "code": "", "message": "not found" })),
            },
            None if asked.what == "POST /api/v2/api_keys" && asked.json()["key_name"].is_string() => {
                let id = keys.add("of-now");
                says(200, &json!({ "id": id, "key": "of-now", "name": asked.json()["key_name"] }))
            }
            None => says(400, &json!({ "message": "key_name" })),
        }
    }
}

/// `POST /generate_auth_token`, `POST /revoke_auth_token`, each with a live key of the group.
fn perplexity(keys: Arc<Mutex<Keys>>) -> impl FnMut(&Asked) -> Reply {
    move |asked| {
        let (mut keys, body) = (keys.lock().unwrap(), asked.json());
        if !keys.has(bearer(asked)) {
            return unauthorized();
        }
        match asked.what.as_str() {
            "POST /generate_auth_token" => {
                keys.add("of-now");
                says(200, &json!({ "auth_token": "of-now", "token_name": body["token_name"] }))
            }
            "POST /revoke_auth_token" => match keys.end(body["auth_token"].as_str().unwrap_or_default()) {
                true => says(200, &json!({})),
                false => says(400, &json!({ "error": "unknown" })),
            },
            _ => says(404, &json!({})),
        }
    }
}

/// `POST /credentials/revoke`: for nobody in particular, and whatever the credentials are.
fn github(keys: Arc<Mutex<Keys>>) -> impl FnMut(&Asked) -> Reply {
    move |asked| {
        if !asked.header("authorization").is_empty() {
            return says(403, &json!({ "message": "Forbidden" }));
        }
        let body = asked.json();
        let Some(credentials) =
            body["credentials"].as_array().filter(|_| asked.what == "POST /credentials/revoke")
        else {
            return says(422, &json!({ "message": "Validation Failed" }));
        };
        for one in credentials {
            keys.lock().unwrap().end(one.as_str().unwrap_or_default());
        }
        Says(202, String::new())
    }
}

/// `POST /v1/organizations/api_keys/{id}` of Anthropic and `DELETE …/api-keys/{id}` of ElevenLabs, by an admin's key alone.
fn by_admin(
    header: &'static str,
    path: &'static str,
    ids: &[&'static str],
) -> impl FnMut(&Asked) -> Reply + use<> {
    let mut ids: BTreeSet<_> = ids.iter().copied().collect();
    move |asked| {
        if asked.header(header) != "of-the-admin" {
            return unauthorized();
        }
        match asked.what.strip_prefix(path) {
            Some(id) if ids.remove(id) => says(200, &json!({ "id": id, "status": "inactive" })),
            _ => says(404, &json!({ "error": "not_found" })),
        }
    }
}

/// The driver of `service`, and the server that it speaks to.
async fn driver(
    service: &str,
    host: &str,
    answer: impl FnMut(&Asked) -> Reply + Send + 'static,
) -> (Http, Served) {
    let server = Served::new(host, answer).await;
    let params = BTreeMap::from([("service_account_user_id".to_owned(), "robot".to_owned())]);
    let said = Rotated { admin: Some("two".into()), params, ..Rotated::default() };
    let credential = BTreeMap::from([("one".to_owned(), said)]);
    let settings = Arc::new(Rotation { credential, ..Rotation::default() });
    let wire = Wire::new(server.outbound(&format!("{host}:443")));
    let service = Catalogue::embedded().find_service(service).unwrap();
    let clock = Arc::new(FixedClock::at(NOW));
    (Http::new(service, Arc::new(wire), settings, clock).unwrap(), server)
}

fn whats(server: &Served) -> Vec<String> {
    server.asked().into_iter().map(|asked| asked.what).collect()
}

fn expect_no_value(e: &crate::error::Error) {
    let shown = format!("{e:?} {} {}", e.message(), e.next_step());
    assert!(["of-before", "of-now", "of-the-admin"].iter().all(|value| !shown.contains(value)), "{shown}");
}

#[test]
fn only_services_that_the_catalogue_is_sure_of_have_one() {
    let of = |id: &str| {
        let service = Catalogue::embedded().find_service(id).unwrap();
        let clock = Arc::new(FixedClock::at(NOW));
        Http::new(service, Arc::new(Wire::new(Outbound::default())), Arc::default(), clock)
    };
    for id in ["gitlab", "neon", "anthropic", "elevenlabs", "vault", "perplexity", "github"] {
        let driver = of(id).unwrap();
        assert!(!driver.is_tried_live(&credential(id, &["TOKEN"])), "{id}");
    }
    for id in ["openai", "postgres", "stripe"] {
        assert!(of(id).is_none(), "{id}");
    }
}

#[tokio::test]
async fn gitlab_rotates_in_place_with_an_end_and_a_lost_answer_is_a_lost_value() {
    let c = credential("gitlab", &["TOKEN"]);
    let old = fields(&[("TOKEN", "of-before")]);
    let call = || Call { credential: &c, admin: None, old: &old, new: None };
    let keys = Keys::of(&["of-before"]);
    let (api, server) = driver("gitlab", "gitlab.com", gitlab(keys.clone())).await;

    let Created::Made(made) = api.create(call()).await.unwrap() else { panic!("it was made") };

    assert_eq!(text(&made.fields, "TOKEN"), "of-now");
    assert_eq!((api.makes(), api.overlaps(&c), api.revokes()), (Makes::Service, Some(false), false));
    assert!(keys.lock().unwrap().has("of-now") && !keys.lock().unwrap().has("of-before"));
    let asked = server.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].json(), json!({ "expires_at": "2026-09-29" }));
    // With a token that is gone it is refused, once: GitLab ends the whole family for it.
    let e = api.create(call()).await.err().expect("refused");
    assert_eq!((e.code, server.asked().len()), (Code::Unreachable, 2));
    expect_no_value(&e);

    type Answers = [fn() -> Reply; 6];
    let unclear: Answers = [
        || BreaksOff,
        || HangsUp,
        || Says(502, String::new()),
        || Says(302, String::new()),
        || Says(408, String::new()),
        || Says(200, "<html>".into()),
    ];
    for answer in unclear {
        let (api, server) = driver("gitlab", "gitlab.com", move |_| answer()).await;
        assert!(matches!(api.create(call()).await.unwrap(), Created::Unsure));
        assert_eq!(server.asked().len(), 1);
    }
    for status in [401, 403, 429] {
        let (api, server) = driver("gitlab", "gitlab.com", move |_| says(status, &json!({}))).await;
        assert!(api.create(call()).await.is_err());
        assert_eq!(server.asked().len(), 1);
    }
}

#[tokio::test]
async fn neon_makes_a_second_key_with_its_id_and_ends_the_first_by_its_own() {
    let c = credential("neon", &["TOKEN", ".KEY_ID"]);
    let old = fields(&[("TOKEN", "of-before"), ("KEY_ID", "1")]);
    let keys = Keys::of(&["of-before"]);
    let (api, server) = driver("neon", "console.neon.tech", neon(keys.clone())).await;

    let made = api.create(Call { credential: &c, admin: None, old: &old, new: None }).await.unwrap();

    let Created::Made(made) = made else { panic!("it was made") };
    let new = made.fields;
    assert_eq!((text(&new, "TOKEN"), text(&new, "KEY_ID")), ("of-now".into(), "2".into()));
    assert!(keys.lock().unwrap().has("of-before"), "both work");
    let call = || Call { credential: &c, admin: None, old: &old, new: Some(&new) };
    assert_eq!(api.revoke(call()).await.unwrap(), Ended::Confirmed);
    assert!(!keys.lock().unwrap().has("of-before") && keys.lock().unwrap().has("of-now"));
    // It is gone: whether by us is not known.
    assert_eq!(api.revoke(call()).await.unwrap(), Ended::Unsure);
    assert_eq!(whats(&server)[1..], ["DELETE /api/v2/api_keys/1", "DELETE /api/v2/api_keys/1"]);

    for (status, ended) in [(403, Ended::Refused), (500, Ended::Unsure)] {
        let (api, _server) = driver("neon", "console.neon.tech", move |_| says(status, &json!({}))).await;
        assert_eq!(api.revoke(call()).await.unwrap(), ended);
    }
    let (api, _server) = driver("neon", "console.neon.tech", |_| HangsUp).await;
    assert_eq!(api.revoke(call()).await.unwrap(), Ended::Unsure);
    let (api, server) = driver("neon", "console.neon.tech", |_| says(200, &json!({}))).await;
    let same = Call { credential: &c, admin: None, old: &old, new: Some(&old) };
    assert!(api.revoke(same).await.is_err() && server.asked().is_empty());
}

#[tokio::test]
async fn anthropic_and_elevenlabs_end_a_key_by_its_id_with_an_admins_key_and_make_none() {
    for (service, host, header, path) in [
        ("anthropic", "api.anthropic.com", "x-api-key", "POST /v1/organizations/api_keys/"),
        ("elevenlabs", "api.elevenlabs.io", "xi-api-key", "DELETE /v1/service-accounts/robot/api-keys/"),
    ] {
        let c = credential(service, &["TOKEN", ".API_KEY_ID"]);
        let (old, new) = (
            fields(&[("TOKEN", "of-before"), ("API_KEY_ID", "key_1")]),
            fields(&[("TOKEN", "of-now"), ("API_KEY_ID", "key_2")]),
        );
        let admin = (credential(service, &["TOKEN"]), fields(&[("TOKEN", "of-the-admin")]));
        let (api, server) = driver(service, host, by_admin(header, path, &["key_1", "key_2"])).await;
        let call = |admin| Call { credential: &c, admin, old: &old, new: Some(&new) };

        // With its own key it may not.
        assert_eq!(api.revoke(call(None)).await.unwrap(), Ended::Refused, "{service}");
        let by_admin = Some((&admin.0, &admin.1));
        assert_eq!(api.revoke(call(by_admin)).await.unwrap(), Ended::Confirmed, "{service}");
        assert_eq!(api.revoke(call(by_admin)).await.unwrap(), Ended::Unsure, "it is gone already");

        assert_eq!(api.makes(), Makes::Nobody);
        let asked = server.asked();
        assert!(asked.iter().all(|one| one.what == format!("{path}key_1")), "{:?}", whats(&server));
        if service == "anthropic" {
            assert_eq!(asked[0].json(), json!({ "status": "inactive" }));
            assert_eq!(asked[0].header("anthropic-version"), "2023-06-01");
        }
    }
}

#[tokio::test]
async fn perplexity_makes_a_second_key_and_the_new_one_ends_the_old_one() {
    let c = credential("perplexity", &["TOKEN"]);
    let before = ["pplx", "-of-before"].concat();
    let old = fields(&[("TOKEN", &before)]);
    let keys = Keys::of(&[&before]);
    let (api, server) = driver("perplexity", "api.perplexity.ai", perplexity(keys.clone())).await;

    let made = api.create(Call { credential: &c, admin: None, old: &old, new: None }).await.unwrap();

    let Created::Made(made) = made else { panic!("it was made") };
    let new = made.fields;
    assert_eq!((text(&new, "TOKEN"), api.overlaps(&c)), ("of-now".into(), Some(true)));
    let call = || Call { credential: &c, admin: None, old: &old, new: Some(&new) };
    assert_eq!(api.revoke(call()).await.unwrap(), Ended::Confirmed);
    assert!(!keys.lock().unwrap().has(&before) && keys.lock().unwrap().has("of-now"));
    assert_eq!(api.revoke(call()).await.unwrap(), Ended::Refused, "it knows no such key");
    let asked = server.asked();
    assert_eq!(asked[0].json(), json!({ "token_name": "unsaid 2026-06-01" }));
    assert_eq!((bearer(&asked[1]), asked[1].json()), ("of-now", json!({ "auth_token": before })));
    let same = Call { credential: &c, admin: None, old: &new, new: Some(&new) };
    assert!(api.revoke(same).await.is_err(), "the one in use is not ended");
    assert_eq!(server.asked().len(), 3);
}

#[tokio::test]
async fn github_takes_a_token_that_is_to_end_from_nobody_and_a_test_tells_whether_it_did() {
    let c = credential("github", &["TOKEN"]);
    // As JSON it is another text than as it is.
    let before = ["ghp", "_of-\"before\\"].concat();
    let (old, new) = (fields(&[("TOKEN", &before)]), fields(&[("TOKEN", "of-now")]));
    let keys = Keys::of(&[&before, "of-now"]);
    let (api, server) = driver("github", "api.github.com", github(keys.clone())).await;
    let call = || Call { credential: &c, admin: None, old: &old, new: Some(&new) };

    // It answers before it is done, and whatever it was given.
    assert_eq!(api.revoke(call()).await.unwrap(), Ended::Unsure);

    assert_eq!((api.makes(), api.revokes()), (Makes::Nobody, true));
    assert!(!keys.lock().unwrap().has(&before) && keys.lock().unwrap().has("of-now"));
    assert_eq!(server.asked()[0].json(), json!({ "credentials": [before] }));
    assert_eq!(server.asked()[0].header("authorization"), "");
    let same = Call { credential: &c, admin: None, old: &new, new: Some(&new) };
    assert!(api.revoke(same).await.is_err() && server.asked().len() == 1);
    let (api, _server) = driver("github", "api.github.com", |_| says(422, &json!({}))).await;
    assert_eq!(api.revoke(call()).await.unwrap(), Ended::Refused);
}

#[tokio::test]
async fn only_a_key_that_is_ended_by_its_value_is_sent_for_that_and_blanks_make_no_second_one() {
    let (api, server) = driver("github", "api.github.com", |_| Says(202, String::new())).await;
    let c = credential("github", &["TOKEN"]);
    let token = ["ghp", "_of-before"].concat();
    let (padded, new) = (format!("{token} "), fields(&[("TOKEN", "of-now")]));

    for old in ["the private key of an app", "of-before"] {
        let old = fields(&[("TOKEN", old)]);
        let call = Call { credential: &c, admin: None, old: &old, new: Some(&new) };
        expect_no_value(&api.revoke(call).await.unwrap_err());
    }
    let (one, other) = (fields(&[("TOKEN", &token)]), fields(&[("TOKEN", &padded)]));
    let call = Call { credential: &c, admin: None, old: &one, new: Some(&other) };
    assert!(api.revoke(call).await.is_err(), "the service takes them for one");
    assert!(server.asked().is_empty());
}

#[tokio::test]
async fn an_id_that_nobody_kept_ends_nothing() {
    let c = credential("neon", &["TOKEN"]);
    let (old, new) = (fields(&[("TOKEN", "of-before")]), fields(&[("TOKEN", "of-now")]));
    let (api, server) = driver("neon", "console.neon.tech", |_| says(200, &json!({}))).await;

    assert!(api.revoke(Call { credential: &c, admin: None, old: &old, new: Some(&new) }).await.is_err());

    assert!(server.asked().is_empty());
}
