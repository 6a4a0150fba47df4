//! What a process that stops leaves behind, and what is told of it.
use super::*;
use crate::model::connection::{ConnectionState, ConsentState};
use crate::ops::Operation as _;
use crate::ops::credential::list::ListCredentials;
use tokio_util::sync::CancellationToken;

impl Rig {
    /// Runs `work` until the provider is asked at a place where it hangs, and ends it there, as a kill would.
    pub(super) async fn killed<T>(&self, work: impl Future<Output = T>) {
        tokio::select! {
            _ = work => panic!("it ended by itself"),
            () = self.idp.reached.notified() => {}
        }
    }

    pub(super) async fn pass(&self, stop: &CancellationToken) -> usize {
        pass(self.app(), &Pace::of(1000), stop).await.unwrap()
    }

    pub(super) async fn disconnect(&self) -> Disconnected {
        self.disconnecting().await.unwrap()
    }

    async fn disconnecting(&self) -> Result<Disconnected> {
        let (credential, reason) = (self.id.0.clone(), "not used any more".to_owned());
        DisconnectCredential { credential, revoke: None, reason }.run(self.app(), &self.mia).await
    }
}

#[tokio::test]
async fn a_pass_that_is_told_to_stop_begins_nothing() {
    let rig = Rig::new().await;
    rig.idp.says("/token", Reply::Json(200, tokens(60)));
    rig.connect().await;
    rig.wait(60_000);
    let (stop, since) = (CancellationToken::new(), rig.log_size().await);
    stop.cancel();

    let worked = rig.pass(&stop).await;

    assert_eq!((worked, rig.idp.asked("/token").len()), (0, 1));
    assert!(!rig.log(since).await.iter().any(|row| row.starts_with("refresh_token")));
    assert_eq!(rig.connection().await.unwrap().intent, 0);
    let worked = rig.pass(&CancellationToken::new()).await;
    assert_eq!((worked, rig.idp.asked("/token").len()), (1, 2));
}

#[tokio::test]
async fn a_list_names_a_connection_whose_row_is_gone_and_none_that_was_never_connected() {
    let rig = Rig::new().await;
    rig.connect().await;
    let never = Rig::bound(&rig.world, &rig.mia, "NEVER", "idp").await;
    let list = || ListCredentials::default().run(rig.app(), &rig.mia);
    assert_eq!(list().await.unwrap().credentials.len(), 2);
    let id = rig.id.clone();
    let gone = move |tx: &mut crate::store::Writer<'_>| {
        tx.remove::<Connection>(&[id.as_str()])?;
        tx.record_step(Event::of("test"), ())
    };
    rig.app().store.write(&rig.mia, gone).await.unwrap();
    let since = rig.log_size().await;

    let page = list().await.unwrap();

    let shown: Vec<_> = page.credentials.iter().map(|row| row.id.as_str()).collect();
    assert_eq!(shown, [never.as_str()]);
    assert!(page.summary.contains("1 damaged") && page.summary.contains(rig.id.as_str()), "{}", page.summary);
    assert!(!page.summary.contains(never.as_str()));
    assert_eq!(rig.log(since).await, ["list_credentials failed integrity_failure"]);
    assert!(rig.world.last_event().await.details.contains(rig.id.as_str()));
}

#[tokio::test]
async fn a_grant_from_elsewhere_is_written_down_before_it_is_used() {
    let rig = Rig::new().await;
    rig.idp.says("/token", Reply::Hangs);
    let token = SecretBytes::copied(unguessable().unwrap().as_bytes());

    rig.killed(adopt(rig.app(), &rig.mia, rig.id.as_str(), token)).await;

    assert_eq!(rig.idp.asked("/token").len(), 1);
    let [consent] = rig.consents().await.try_into().unwrap();
    assert_eq!(consent.state, ConsentState::Taken);
    assert_eq!(rig.world.log().await.pop().as_deref(), Some("take_consent ok"));
    assert!(rig.connection().await.is_none());
}

#[tokio::test]
async fn a_grant_from_elsewhere_that_does_not_work_is_closed() {
    let rig = Rig::new().await;
    rig.idp.says("/token", Reply::Json(400, json!({ "error": "invalid_grant" })));
    rig.idp.says("/token", Reply::Broken);
    for (code, row) in [
        (Code::RefreshRefused, "complete_consent refused refresh_refused"),
        (Code::Unreachable, "complete_consent failed unreachable"),
    ] {
        let since = rig.log_size().await;
        let token = SecretBytes::copied(unguessable().unwrap().as_bytes());

        let refused = adopt(rig.app(), &rig.mia, rig.id.as_str(), token).await.unwrap_err();

        assert_eq!(refused.code, code);
        assert_eq!(rig.log(since).await, ["take_consent ok", row]);
        let consents = rig.consents().await;
        assert!(consents.iter().all(|c| c.state == ConsentState::Failed && c.ended_at.is_some()));
        assert!(rig.connection().await.is_none());
    }
}

#[tokio::test]
async fn a_grant_from_elsewhere_that_works_is_kept_and_closed() {
    let rig = Rig::new().await;
    let token = unguessable().unwrap();
    let given = SecretBytes::copied(token.as_bytes());

    let done = adopt(rig.app(), &rig.mia, rig.id.as_str(), given).await.unwrap();

    assert!(rig.idp.asked("/token")[0].contains(&token));
    assert_eq!(done.account, "mia@example.com");
    let [consent] = rig.consents().await.try_into().unwrap();
    assert_eq!(consent.state, ConsentState::Done);
    assert!(consent.sealed.is_empty() && rig.connection().await.unwrap().has_refresh);
}

#[tokio::test]
async fn an_end_that_was_confirmed_after_a_broken_refresh_is_told_as_unsure() {
    let rig = Rig::new().await;
    rig.connect().await;
    rig.change(|c| c.intent = c.generation).await;

    let done = rig.disconnect().await;

    assert_eq!(done.at_service, "unsure");
    let connection = rig.connection().await.unwrap();
    assert_eq!(connection.state, ConnectionState::Disconnected);
    assert!(connection.last_error.contains("newer tokens"), "{}", connection.last_error);
}

#[tokio::test]
async fn a_confirmed_end_that_could_not_be_written_stays_unsure_when_it_is_asked_for_again() {
    let rig = Rig::new().await;
    rig.connect().await;
    rig.change(|c| c.intent = c.generation).await;
    // The service ends it, and we end before that is written.
    rig.idp.says("/revoke", Reply::Hangs);
    rig.killed(rig.disconnecting()).await;
    let held = rig.connection().await.unwrap();
    assert_eq!((held.state, held.intent), (ConnectionState::Revoking, held.generation));
    rig.wait(60_000);

    rig.pass(&CancellationToken::new()).await;

    let connection = rig.connection().await.unwrap();
    assert_eq!(connection.state, ConnectionState::Disconnected);
    assert!(connection.last_error.contains("newer tokens"), "{}", connection.last_error);
    assert_eq!(rig.idp.asked("/revoke").len(), 3);
}

#[tokio::test]
async fn an_end_whose_refreshes_are_all_known_is_told_as_confirmed() {
    let rig = Rig::new().await;
    rig.connect().await;

    let done = rig.disconnect().await;

    assert_eq!(done.at_service, "confirmed");
    assert!(rig.connection().await.unwrap().last_error.is_empty());
}
