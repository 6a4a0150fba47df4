//! Each refusal of a consent leaves one event, where it is known whose log that is.
use super::*;

const SENT_AWAY: [(String, String); 0] = [];

/// The code of a refusal, which left exactly `row` in the log.
async fn refused<T>(rig: &Rig, since: usize, done: Result<T>, row: &str) -> Error {
    let Err(e) = done else { panic!("it was not refused: {row}") };
    assert_eq!(rig.log(since).await, [row]);
    assert!(rig.world.chain_is_whole().await);
    e
}

#[tokio::test]
async fn a_consent_that_may_not_begin_is_in_the_log_once() {
    let rig = Rig::new().await;
    let model = rig.world.caller("mia", Door::Stdio);
    let max = rig.world.caller("max", Door::Cli);
    let id = rig.id.as_str();
    let machine = Rig::bound(&rig.world, &rig.mia, "MACHINE", "machine").await;

    for (caller, credential, row) in [
        (&model, id, "begin_consent refused people_only"),
        (&max, id, "begin_consent refused credential_not_found"),
        (&rig.mia, "NOTHING", "begin_consent refused credential_not_found"),
        (&rig.mia, machine.as_str(), "begin_consent refused invalid_input"),
    ] {
        let since = rig.log_size().await;
        refused(&rig, since, begin(rig.app(), caller, credential, None, &[]).await, row).await;
    }
    assert!(rig.consents().await.is_empty());
}

#[tokio::test]
async fn a_device_grant_that_may_not_begin_is_in_the_log_once() {
    let rig = Rig::new().await;
    let model = rig.world.caller("mia", Door::Stdio);
    let id = rig.id.as_str();
    rig.idp.says("/device", Reply::Broken);
    rig.idp.says("/device", Reply::Json(400, json!({ "error": "invalid_scope" })));

    for (caller, row) in [
        (&model, "begin_consent refused people_only"),
        (&rig.mia, "begin_consent failed unreachable"),
        (&rig.mia, "begin_consent refused refresh_refused"),
    ] {
        let since = rig.log_size().await;
        refused(&rig, since, begin_device(rig.app(), caller, id, None).await, row).await;
    }
    assert!(rig.consents().await.is_empty());
    assert!(rig.world.last_event().await.details.contains("device_code"));
}

#[tokio::test]
async fn an_answer_that_counts_no_more_is_in_the_log_once() {
    let rig = Rig::new().await;
    let (_, answer) = rig.consented().await;
    finish_pasted(rig.app(), &rig.mia, &answer).await.unwrap();

    let since = rig.log_size().await;
    let again = finish_pasted(rig.app(), &rig.mia, &answer).await;
    let row = "take_consent refused consent_invalid";
    assert!(refused(&rig, since, again, row).await.message().contains("used already"));
    assert_eq!(rig.world.last_event().await.object_id, rig.id.as_str());

    let (_, late) = rig.consented().await;
    rig.wait(crate::model::connection::CONSENT_LIFE_MS);
    let since = rig.log_size().await;
    refused(&rig, since, finish_pasted(rig.app(), &rig.mia, &late).await, row).await;
    assert_eq!(rig.idp.asked("/token").len(), 1);
}

#[tokio::test]
async fn an_answer_that_ends_its_consent_is_in_the_log_once() {
    let rig = Rig::new().await;
    for (from, to, row) in [
        ("code=a-code", "error=access_denied", "take_consent refused consent_denied"),
        ("code=a-code", "x=y", "take_consent refused consent_invalid"),
        ("code=", "iss=https%3A%2F%2Fevil.invalid&code=", "take_consent refused consent_invalid"),
    ] {
        let (_, answer) = rig.consented().await;
        let since = rig.log_size().await;
        let done = finish_pasted(rig.app(), &rig.mia, &answer.replace(from, to)).await;
        refused(&rig, since, done, row).await;
    }
    assert!(rig.idp.asked("/token").is_empty() && rig.connection().await.is_none());
}

#[tokio::test]
async fn an_exchange_that_fails_is_in_the_log_once() {
    let rig = Rig::new().await;
    rig.idp.says("/token", Reply::Broken);
    rig.idp.says("/token", Reply::Json(400, json!({ "error": "invalid_grant" })));
    for row in ["complete_consent failed unreachable", "complete_consent refused refresh_refused"] {
        let (_, answer) = rig.consented().await;
        let since = rig.log_size().await;

        let done = finish_pasted(rig.app(), &rig.mia, &answer).await;

        assert!(done.is_err());
        assert_eq!(rig.log(since).await, ["take_consent ok", row]);
    }
    assert!(rig.connection().await.is_none());
}

#[tokio::test]
async fn what_a_person_pastes_that_is_not_their_consent_is_in_their_log_and_names_none() {
    let rig = Rig::new().await;
    let (begun, answer) = rig.consented().await;
    let max = rig.world.caller("max", Door::Web);
    let foreign = unguessable().unwrap();
    let unknown = format!("https://vault.example/oauth/callback?code=x&state={foreign}");
    let stateless = "https://vault.example/oauth/callback?code=x".to_owned();

    for (caller, pasted, row) in [
        (&max, &answer, "take_consent refused consent_invalid"),
        (&rig.mia, &unknown, "take_consent refused consent_invalid"),
        (&rig.mia, &stateless, "take_consent refused consent_invalid"),
        (&rig.mia, &"nothing".to_owned(), "take_consent refused invalid_input"),
    ] {
        let since = rig.log_size().await;
        refused(&rig, since, finish_pasted(rig.app(), caller, pasted).await, row).await;
        let event = rig.world.last_event().await;
        assert_eq!(event.user, caller.user.as_str());
        assert!(event.object_id.is_empty() && !event.details.contains(begun.id.as_str()), "{event:?}");
    }
    finish_pasted(rig.app(), &rig.mia, &answer).await.unwrap();
}

#[tokio::test]
async fn another_orgs_person_leaves_nothing_in_the_log_of_the_consent() {
    let rig = Rig::new().await;
    let (_, answer) = rig.consented().await;
    let stranger = rig.world.caller("globex/mia", Door::Web);
    let (since, theirs) = (rig.log_size().await, stranger.org.clone());

    let done = finish_pasted(rig.app(), &stranger, &answer).await;

    assert_eq!(done.unwrap_err().code, Code::ConsentInvalid);
    assert!(rig.log(since).await.is_empty());
    let last = rig.app().store.read(move |tx| tx.audit_after(&theirs, 0, 100)).await.unwrap().pop().unwrap();
    assert_eq!((last.operation.as_str(), last.code.as_str()), ("take_consent", "consent_invalid"));
    assert!(last.object_id.is_empty() && last.details == "{}", "{last:?}");
}

#[tokio::test]
async fn a_browser_of_nobody_leaves_an_event_only_where_the_consent_is_known() {
    let rig = Rig::new().await;
    let begun = begin(rig.app(), &rig.mia, rig.id.as_str(), None, &[]).await.unwrap();
    let started = start(rig.app(), &begun.ticket).await.unwrap();
    let answer = Url::parse(&back(&started.address)).unwrap();
    let came = || Came::Browser { held: &SENT_AWAY, path: "/oauth/callback" };
    let since = rig.log_size().await;

    for _ in 0..50 {
        let bad = format!("code=x&state={}", unguessable().unwrap());
        for query in [bad.as_str(), "code=x", "", "state=a&state=b"] {
            assert_eq!(finish(rig.app(), query, came()).await.unwrap_err().code, Code::ConsentInvalid);
        }
        assert!(start(rig.app(), &unguessable().unwrap()).await.is_err());
        let id = crate::ids::ConsentId::fresh();
        assert!(accept_other_by_browser(rig.app(), &id, &SENT_AWAY).await.is_err());
    }
    assert!(rig.log(since).await.is_empty());

    let done = finish(rig.app(), answer.query().unwrap(), came()).await;
    refused(&rig, since, done, "take_consent refused consent_invalid").await;
    assert_eq!(rig.world.last_event().await.object_id, rig.id.as_str());
}

#[tokio::test]
async fn a_ticket_that_counts_no_more_is_in_the_log_once() {
    let rig = Rig::new().await;
    let begun = begin(rig.app(), &rig.mia, rig.id.as_str(), None, &[]).await.unwrap();
    rig.wait(crate::model::connection::CONSENT_LIFE_MS);
    let since = rig.log_size().await;

    let done = start(rig.app(), &begun.ticket).await;

    refused(&rig, since, done, "send_to_consent refused consent_invalid").await;
}

#[tokio::test]
async fn a_look_after_a_device_that_is_refused_is_in_the_log_once() {
    let rig = Rig::new().await;
    let max = rig.world.caller("max", Door::Web);
    let begun = begin_device(rig.app(), &rig.mia, rig.id.as_str(), None).await.unwrap();
    rig.idp.says("/token", Reply::Json(400, json!({ "error": "authorization_pending" })));
    rig.idp.says("/token", Reply::Broken);
    rig.idp.says("/token", Reply::Json(400, json!({ "error": "access_denied" })));
    let since = rig.log_size().await;
    for _ in 0..2 {
        assert!(poll_device(rig.app(), &rig.mia, &begun.id).await.unwrap().is_err());
    }
    assert!(rig.log(since).await.is_empty());

    for (caller, row) in [
        (&max, "complete_consent refused consent_invalid"),
        (&rig.mia, "complete_consent refused consent_denied"),
        (&rig.mia, "complete_consent refused consent_invalid"),
    ] {
        let since = rig.log_size().await;
        refused(&rig, since, poll_device(rig.app(), caller, &begun.id).await, row).await;
    }
    assert_eq!(rig.idp.asked("/token").len(), 3);
}

#[tokio::test]
async fn an_account_that_may_not_be_accepted_is_in_the_log_once() {
    let rig = Rig::new().await;
    rig.connect().await;
    rig.idp.is("other@example.com");
    let asked = rig.connect().await;
    assert_eq!(asked.was_account.as_deref(), Some("mia@example.com"));
    let (model, max) = (rig.world.caller("mia", Door::Stdio), rig.world.caller("max", Door::Cli));

    for (caller, row) in
        [(&model, "complete_consent refused people_only"), (&max, "complete_consent refused consent_invalid")]
    {
        let since = rig.log_size().await;
        refused(&rig, since, accept_other(rig.app(), caller, &asked.consent).await, row).await;
    }
    let since = rig.log_size().await;
    let done = accept_other_by_browser(rig.app(), &asked.consent, &SENT_AWAY).await;
    refused(&rig, since, done, "complete_consent refused consent_invalid").await;
    assert_eq!(rig.connection().await.unwrap().account, "mia@example.com");

    accept_other(rig.app(), &rig.mia, &asked.consent).await.unwrap();
    let since = rig.log_size().await;
    let again = accept_other(rig.app(), &rig.mia, &asked.consent).await;
    refused(&rig, since, again, "complete_consent refused consent_invalid").await;
    assert_eq!(rig.connection().await.unwrap().account, "other@example.com");
}

#[tokio::test]
async fn a_refresh_token_that_may_not_be_taken_over_is_in_the_log_once() {
    let rig = Rig::new().await;
    let model = rig.world.caller("mia", Door::Stdio);
    let token = || SecretBytes::copied(unguessable().unwrap().as_bytes());

    for (caller, credential, token, row) in [
        (&model, rig.id.as_str(), token(), "take_consent refused people_only"),
        (&rig.mia, "NOTHING", token(), "take_consent refused credential_not_found"),
        (&rig.mia, rig.id.as_str(), SecretBytes::copied(b"two words"), "take_consent refused invalid_input"),
    ] {
        let since = rig.log_size().await;
        refused(&rig, since, adopt(rig.app(), caller, credential, token).await, row).await;
    }
    assert!(rig.idp.asked("/token").is_empty() && rig.consents().await.is_empty());
}
