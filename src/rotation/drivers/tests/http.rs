//! Services by their documented answers, given in their place. None of this was tried on the real ones.
use super::super::http::Http;
use super::{credential, fields, text};
use crate::clock::{FixedClock, Millis};
use crate::config::Rotation;
use crate::rotation::driver::{Call, Created, Driver, Ended, Makes};
use crate::services::Catalogue;
use crate::services::client::Outbound;
use crate::services::wire::{Answered, Failure, Wire};
use std::sync::{Arc, Mutex};
use zeroize::Zeroizing;

/// 2026-06-01.
const NOW: Millis = Millis(1_780_272_000_000);

type Asked = Arc<Mutex<Vec<(String, String)>>>;

/// The driver of `service`, where every request is answered so; and what was asked.
fn driver(service: &str, answer: Result<(u16, &'static str), Failure>) -> (Http, Asked) {
    let (wire, asked) = (Wire::new(Outbound::default()), Asked::default());
    let log = asked.clone();
    wire.answered_by(Box::new(move |path, body| {
        log.lock().unwrap().push((path, body));
        Box::pin(async move {
            let (status, body) = answer?;
            let body = Zeroizing::new(body.as_bytes().to_vec());
            Ok(Answered {
                status,
                is_json: true,
                headers: http::HeaderMap::new(),
                body,
                retry_after_ms: None,
            })
        })
    }));
    let service = Catalogue::embedded().find_service(service).unwrap();
    let clock = Arc::new(FixedClock::at(NOW));
    (Http::new(service, Arc::new(wire), Arc::new(Rotation::default()), clock).unwrap(), asked)
}

const LOST: Failure = Failure { why: "it did not answer in time", is_unsent: false };
const UNSENT: Failure = Failure { why: "no connection", is_unsent: true };

#[test]
fn only_services_that_the_catalogue_is_sure_of_have_one() {
    let of = |id: &str| {
        let service = Catalogue::embedded().find_service(id).unwrap();
        let clock = Arc::new(FixedClock::at(NOW));
        Http::new(service, Arc::new(Wire::new(Outbound::default())), Arc::default(), clock)
    };
    for id in ["gitlab", "neon", "anthropic", "elevenlabs", "vault"] {
        let driver = of(id).unwrap();
        assert!(!driver.is_tried_live(&credential(id, &["TOKEN"])), "{id}");
    }
    for id in ["openai", "postgres", "github"] {
        assert!(of(id).is_none(), "{id}");
    }
}

#[tokio::test]
async fn gitlab_rotates_in_place_with_an_end_and_a_lost_answer_is_a_lost_value() {
    let c = credential("gitlab", &["TOKEN"]);
    let old = fields(&[("TOKEN", "of-before")]);
    let call = || Call { credential: &c, admin: None, old: &old, new: None };
    let (gitlab, asked) =
        driver("gitlab", Ok((200, r#"{"id":42,"token":"of-now","expires_at":"2026-09-29"}"#)));

    let Created::Made(made) = gitlab.create(call()).await.unwrap() else { panic!("it was made") };

    assert_eq!(text(&made.fields, "TOKEN"), "of-now");
    assert_eq!((gitlab.makes(), gitlab.overlaps(&c), gitlab.revokes()), (Makes::Service, Some(false), false));
    let asked = std::mem::take(&mut *asked.lock().unwrap());
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].0, "/api/v4/personal_access_tokens/self/rotate");
    assert_eq!(asked[0].1, r#"{"expires_at":"2026-09-29"}"#);
    for unclear in
        [Err(LOST), Ok((502, "")), Ok((302, "")), Ok((408, "")), Ok((200, "{}")), Ok((200, "<html>"))]
    {
        let (gitlab, asked) = driver("gitlab", unclear);
        assert!(matches!(gitlab.create(call()).await.unwrap(), Created::Unsure));
        assert_eq!(asked.lock().unwrap().len(), 1);
    }
    for refused in [Err(UNSENT), Ok((401, "{}")), Ok((403, "{}")), Ok((429, "{}"))] {
        let (gitlab, asked) = driver("gitlab", refused);
        assert!(gitlab.create(call()).await.is_err());
        assert_eq!(asked.lock().unwrap().len(), 1);
    }
}

#[tokio::test]
async fn neon_makes_a_second_key_with_its_id_and_ends_the_first_by_its_own() {
    let c = credential("neon", &["TOKEN", ".KEY_ID"]);
    let old = fields(&[("TOKEN", "of-before"), ("KEY_ID", "7")]);
    let (neon, _) = driver("neon", Ok((200, r#"{"id":8,"key":"of-now","name":"unsaid 2026-06-01"}"#)));

    let made = neon.create(Call { credential: &c, admin: None, old: &old, new: None }).await.unwrap();

    let Created::Made(made) = made else { panic!("it was made") };
    let new = made.fields;
    assert_eq!((text(&new, "TOKEN"), text(&new, "KEY_ID")), ("of-now".into(), "8".into()));
    let call = || Call { credential: &c, admin: None, old: &old, new: Some(&new) };
    for (answer, ended) in [
        (Ok((200, "{}")), Ended::Confirmed),
        (Ok((403, "{}")), Ended::Refused),
        (Ok((404, "{}")), Ended::Unsure),
        (Ok((500, "{}")), Ended::Unsure),
        (Err(LOST), Ended::Unsure),
    ] {
        let (neon, asked) = driver("neon", answer);
        assert_eq!(neon.revoke(call()).await.unwrap(), ended);
        assert_eq!(asked.lock().unwrap()[0].0, "/api/v2/api_keys/7");
    }
    let (neon, asked) = driver("neon", Ok((200, "{}")));
    let same = Call { credential: &c, admin: None, old: &old, new: Some(&old) };
    assert!(neon.revoke(same).await.is_err() && asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn anthropic_ends_a_key_by_its_id_with_an_admins_key_and_makes_none() {
    let c = credential("anthropic", &["TOKEN", ".API_KEY_ID"]);
    let (old, new) = (
        fields(&[("TOKEN", "of-before"), ("API_KEY_ID", "apikey_1")]),
        fields(&[("TOKEN", "of-now"), ("API_KEY_ID", "apikey_2")]),
    );
    let admin = (credential("anthropic", &["TOKEN"]), fields(&[("TOKEN", "of-the-admin")]));
    let (anthropic, asked) = driver("anthropic", Ok((200, "{}")));
    let call = Call { credential: &c, admin: Some((&admin.0, &admin.1)), old: &old, new: Some(&new) };

    assert_eq!(anthropic.revoke(call).await.unwrap(), Ended::Confirmed);

    assert_eq!(anthropic.makes(), Makes::Nobody);
    let asked = asked.lock().unwrap();
    assert_eq!(
        asked[0],
        ("/v1/organizations/api_keys/apikey_1".to_owned(), r#"{"status":"inactive"}"#.to_owned())
    );
}

#[tokio::test]
async fn an_id_that_nobody_kept_ends_nothing() {
    let c = credential("neon", &["TOKEN"]);
    let (old, new) = (fields(&[("TOKEN", "of-before")]), fields(&[("TOKEN", "of-now")]));
    let (neon, asked) = driver("neon", Ok((200, "{}")));

    assert!(neon.revoke(Call { credential: &c, admin: None, old: &old, new: Some(&new) }).await.is_err());

    assert!(asked.lock().unwrap().is_empty());
}
