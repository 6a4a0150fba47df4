//! A process that ends between a provider's answer and its being kept loses nothing of it.
use super::*;
use crate::model::connection::{ConnectionState, ConsentState};
use crate::ops::connection::hold::LEFT_MS;
use tokio_util::sync::CancellationToken;

impl Rig {
    /// A consent whose tokens came, in a process that ended before it knew whose they are; the tokens.
    async fn left(&self) -> (Consent, Value) {
        let (_, answer) = self.consented().await;
        self.killed_asking(finish_pasted(self.app(), &self.mia, &answer)).await
    }

    async fn killed_asking<T>(&self, work: impl Future<Output = T>) -> (Consent, Value) {
        let given = tokens(3600);
        self.idp.says("/token", Reply::Json(200, given.clone()));
        self.idp.says("/me", Reply::Hangs);
        self.killed(work).await;
        (self.consents().await.remove(0), given)
    }

    /// The next look of a process that lives, `ms` later.
    async fn looks(&self, ms: i64) {
        self.wait(ms);
        self.pass(&CancellationToken::new()).await;
    }

    async fn consent(&self, id: &crate::ids::ConsentId) -> Consent {
        self.consents().await.into_iter().find(|consent| consent.id == *id).unwrap()
    }

    /// Whether the tokens that are kept are these.
    async fn holds(&self, given: &Value) -> bool {
        let (org, id, keys) = (self.world.org.clone(), self.id.clone(), self.app().keys.clone());
        let [access, refresh] = ["access_token", "refresh_token"].map(|name| given[name].to_string());
        let kept = self.app().store.read(move |tx| {
            let c = tx.find_credential(&org, &id)?.unwrap();
            let v = tx.current_version(&c)?.unwrap();
            let field = |name| save::field(tx, &keys.vault(), &c, &v, name);
            Ok([field(ACCESS)?.unwrap(), field(REFRESH)?.unwrap()])
        });
        let is =
            |kept: &SecretBytes, given: &str| kept.expose(|kept| given.trim_matches('"').as_bytes() == kept);
        let [a, r] = kept.await.unwrap();
        is(&a, &access) && is(&r, &refresh)
    }
}

#[tokio::test]
async fn tokens_are_durable_before_it_is_asked_whose_they_are() {
    let rig = Rig::new().await;
    let since = rig.log_size().await;

    let (consent, given) = rig.left().await;

    assert!(consent.state == ConsentState::Taken && rig.connection().await.is_none());
    let (held, whose, _) = hold::opened(&rig.app().vault(), &consent).unwrap();
    let is_access = |b: &[u8]| given["access_token"].as_str().unwrap().as_bytes() == b;
    assert!(held.access.expose(is_access) && held.refresh.is_some() && whose.subject.is_empty());
    let steps = ["begin_consent ok", "send_to_consent ok", "take_consent ok", "complete_consent started"];
    assert_eq!(rig.log(since).await, steps);
}

#[tokio::test]
async fn a_consent_that_is_taken_and_waits_for_its_tokens_holds_nothing() {
    let rig = Rig::new().await;
    let (_, answer) = rig.consented().await;
    rig.idp.says("/token", Reply::Hangs);

    rig.killed(finish_pasted(rig.app(), &rig.mia, &answer)).await;

    let [consent] = rig.consents().await.try_into().unwrap();
    assert!(consent.state == ConsentState::Taken && consent.sealed.is_empty() && consent.key_version == 0);
    let since = rig.log_size().await;
    rig.looks(LEFT_MS + 1).await;
    assert!(rig.log(since).await.is_empty() && rig.connection().await.is_none());
}

#[tokio::test]
async fn what_was_left_is_kept_by_the_next_look_once_nobody_is_at_it() {
    let rig = Rig::new().await;
    let (consent, given) = rig.left().await;
    rig.looks(LEFT_MS).await;
    assert!(rig.connection().await.is_none());
    let since = rig.log_size().await;

    rig.looks(1).await;

    assert_eq!(rig.log(since).await, ["complete_consent started", "complete_consent ok"]);
    let (connection, consent) = (rig.connection().await.unwrap(), rig.consent(&consent.id).await);
    assert_eq!(
        (connection.account.as_str(), connection.connected_by),
        ("mia@example.com", rig.mia.user.clone())
    );
    assert!(consent.state == ConsentState::Done && consent.sealed.is_empty());
    assert!(rig.holds(&given).await);
    let since = rig.log_size().await;
    rig.looks(LEFT_MS).await;
    assert!(rig.log(since).await.is_empty());
}

#[tokio::test]
async fn what_was_left_by_a_device_and_from_elsewhere_is_kept_too() {
    let rig = Rig::new().await;
    let begun = begin_device(rig.app(), &rig.mia, rig.id.as_str(), None).await.unwrap();
    let (_, given) = rig.killed_asking(poll_device(rig.app(), &rig.mia, &begun.id)).await;
    let once = poll_device(rig.app(), &rig.mia, &begun.id).await;
    assert_eq!(once.unwrap_err().code, Code::ConsentInvalid);
    rig.looks(LEFT_MS + 1).await;
    assert!(rig.holds(&given).await);

    rig.wait(1);
    let token = SecretBytes::copied(unguessable().unwrap().as_bytes());
    let (_, given) = rig.killed_asking(adopt(rig.app(), &rig.mia, rig.id.as_str(), token)).await;
    rig.looks(LEFT_MS + 1).await;
    assert!(rig.holds(&given).await);
}

#[tokio::test]
async fn what_was_left_of_another_account_is_asked_about_and_replaces_nothing() {
    let rig = Rig::new().await;
    rig.connect().await;
    let before = rig.connection().await.unwrap();
    rig.wait(1);
    rig.idp.is("other@example.com");
    let (consent, given) = rig.left().await;

    rig.looks(LEFT_MS + 1).await;

    assert_eq!(rig.connection().await.unwrap(), before);
    assert_eq!(rig.consent(&consent.id).await.state, ConsentState::OtherAccount);
    assert_eq!(rig.world.log().await.pop().as_deref(), Some("complete_consent started other_account"));
    accept_other(rig.app(), &rig.mia, &consent.id).await.unwrap();
    assert_eq!(rig.connection().await.unwrap().account, "other@example.com");
    assert!(rig.holds(&given).await);
}

#[tokio::test]
async fn what_was_left_gives_way_to_what_came_since() {
    let rig = Rig::new().await;
    let (first, given) = rig.left().await;
    rig.connect().await;
    let connected = rig.connection().await.unwrap();

    rig.looks(LEFT_MS + 1).await;

    assert_eq!(rig.connection().await.unwrap(), connected);
    assert!(!rig.holds(&given).await);
    let consent = rig.consent(&first.id).await;
    assert!(consent.state == ConsentState::Failed && consent.sealed.is_empty());
    let row = "complete_consent refused consent_invalid";
    assert_eq!(rig.world.log().await.pop().as_deref(), Some(row));

    rig.wait(1);
    let (second, _) = rig.left().await;
    rig.disconnect().await;
    rig.looks(LEFT_MS + 1).await;
    assert_eq!(rig.connection().await.unwrap().state, ConnectionState::Disconnected);
    assert_eq!(rig.consent(&second.id).await.state, ConsentState::Failed);
    assert_eq!(rig.world.log().await.pop().as_deref(), Some(row));
}

#[tokio::test]
async fn what_was_left_is_not_kept_for_whoever_may_not_manage_it_any_more() {
    let rig = Rig::new().await;
    let (consent, _) = rig.left().await;
    let user = rig.mia.user.clone();
    let disable = move |tx: &mut crate::store::Writer<'_>| {
        let mut user = tx.user(&tx.caller().org.clone(), &user)?;
        user.disabled_at = Some(tx.now());
        tx.save(&mut user)?;
        tx.record_step(Event::of("test"), ())
    };
    rig.app().store.write(&rig.world.person("ada"), disable).await.unwrap();
    let since = rig.log_size().await;

    rig.looks(LEFT_MS + 1).await;

    assert!(rig.connection().await.is_none());
    let consent = rig.consent(&consent.id).await;
    assert!(consent.state == ConsentState::Failed && consent.sealed.is_empty());
    let log = rig.log(since).await;
    assert_eq!(log.len(), 2, "{log:?}");
    assert!(log[1].starts_with("complete_consent refused"), "{log:?}");
}

#[tokio::test]
async fn two_that_look_at_once_keep_what_was_left_once() {
    let rig = Rig::new().await;
    let (_, given) = rig.left().await;
    rig.wait(LEFT_MS + 1);
    let since = rig.log_size().await;
    let stop = CancellationToken::new();

    tokio::join!(rig.pass(&stop), rig.pass(&stop), rig.pass(&stop));

    assert!(rig.holds(&given).await);
    assert_eq!(rig.log(since).await, ["complete_consent started", "complete_consent ok"]);
    assert_eq!(rig.idp.asked("/me").len(), 2);
}

#[tokio::test]
async fn a_pass_that_is_told_to_stop_goes_on_with_nothing() {
    let rig = Rig::new().await;
    let (consent, _) = rig.left().await;
    rig.wait(LEFT_MS + 1);
    let stop = CancellationToken::new();
    stop.cancel();

    rig.pass(&stop).await;

    assert_eq!(rig.consent(&consent.id).await, consent);
}

#[tokio::test]
async fn a_consent_that_another_process_ended_stays_as_it_ended() {
    let rig = Rig::new().await;
    let (consent, _) = rig.left().await;
    rig.looks(LEFT_MS + 1).await;
    let c = {
        let (org, id) = (rig.world.org.clone(), rig.id.clone());
        rig.app().store.read(move |tx| tx.find_credential(&org, &id)).await.unwrap().unwrap()
    };
    let late = crate::error::invalid("too late");

    callback::close(rig.app(), &rig.mia, &consent, &c, ConsentState::Failed, &late).await.unwrap();

    assert_eq!(rig.consent(&consent.id).await.state, ConsentState::Done);
}
