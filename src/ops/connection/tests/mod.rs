//! Connections at a provider that a test answers for: what is kept, what is refused, and what the log says of it.
mod ends;
mod held;
mod lent;
mod refusals;

use super::*;
use crate::error::Code;
use crate::ids::CredentialId;
use crate::model::access::Door;
use crate::model::connection::{Connection, Consent};
use crate::model::event::Event;
use crate::ops::org::fixture::Place;
use crate::secret::unguessable;
use crate::services::wire::{Answered, Failure};
use crate::testing::PersonYes;
use futures_util::FutureExt;
use serde_json::{Value, json};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use tokio::sync::Notify;
use zeroize::Zeroizing;

/// How a provider answers.
enum Reply {
    Json(u16, Value),
    Broken,
    /// Never.
    Hangs,
}

/// The provider: what it was asked, and what it says next in place of what it would.
#[derive(Default)]
struct Idp {
    asked: Mutex<Vec<(String, String)>>,
    next: Mutex<HashMap<&'static str, VecDeque<Reply>>>,
    account: Mutex<String>,
    /// Somebody waits for an answer that does not come.
    reached: Notify,
}

impl Idp {
    fn says(&self, path: &'static str, reply: Reply) {
        self.next.lock().unwrap().entry(path).or_default().push_back(reply);
    }

    fn is(&self, account: &str) {
        *self.account.lock().unwrap() = account.into();
    }

    /// What was sent to `path`.
    fn asked(&self, path: &str) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|(at, _)| at == path).map(|(_, body)| body.clone()).collect()
    }

    fn answer(&self, path: &str) -> Reply {
        if let Some(reply) = self.next.lock().unwrap().get_mut(path).and_then(VecDeque::pop_front) {
            return reply;
        }
        Reply::Json(
            200,
            match path {
                "/token" => json!({
                    "access_token": unguessable().unwrap(), "refresh_token": unguessable().unwrap(),
                    "token_type": "Bearer", "expires_in": 3600,
                }),
                "/me" => {
                    json!({ "sub": *self.account.lock().unwrap(), "email": *self.account.lock().unwrap() })
                }
                "/device" => json!({
                    "device_code": unguessable().unwrap(), "user_code": "ABCD-EFGH",
                    "verification_uri": "https://idp.example/activate", "expires_in": 600, "interval": 1,
                }),
                _ => json!({}),
            },
        )
    }
}

/// New ones, whose access token lives so long.
fn tokens(life_s: i64) -> Value {
    json!({
        "access_token": unguessable().unwrap(), "refresh_token": unguessable().unwrap(), "token_type": "Bearer",
        "expires_in": life_s,
    })
}

/// A vault with a provider `idp`, and mia's own TOKEN bound to it.
struct Rig {
    world: Place,
    idp: Arc<Idp>,
    mia: Caller,
    id: CredentialId,
}

impl Rig {
    async fn new() -> Self {
        let world = Place::new().await;
        let idp = Arc::new(Idp::default());
        idp.is("mia@example.com");
        let provider = idp.clone();
        world.app.wire.answered_by(Box::new(move |path, body| {
            let idp = provider.clone();
            async move {
                idp.asked.lock().unwrap().push((path.clone(), body));
                match idp.answer(&path) {
                    Reply::Json(status, told) => Ok(Answered {
                        status,
                        is_json: true,
                        headers: Default::default(),
                        body: Zeroizing::new(told.to_string().into_bytes()),
                        retry_after_ms: None,
                    }),
                    Reply::Broken => Err(Failure { why: "the connection broke off", is_unsent: false }),
                    Reply::Hangs => {
                        idp.reached.notify_one();
                        std::future::pending().await
                    }
                }
            }
            .boxed()
        }));
        let add = |name: &str, grant: &str| {
            json!({
                "name": name, "client_id": "abc", "client_auth": "none", "grant": grant, "scopes": ["read"],
                "callback_url": "https://vault.example/oauth/callback", "endpoints": {
                    "authorization_url": "https://idp.example/authorize", "token_url": "https://idp.example/token",
                    "revocation_url": "https://idp.example/revoke", "userinfo_url": "https://idp.example/me",
                    "device_authorization_url": "https://idp.example/device",
                },
            })
        };
        let ada = world.person("ada");
        for (name, grant) in [("idp", "authorization_code"), ("machine", "client_credentials")] {
            world
                .call_with(&ada, "create_oauth_provider", add(name, grant), &PersonYes)
                .await
                .expect("the provider is added");
        }
        let mia = world.caller("mia", Door::Cli);
        let id = Self::bound(&world, &mia, "TOKEN", "idp").await;
        Self { world, idp, mia, id }
    }

    /// A credential of `caller`'s own that is bound to `provider`.
    async fn bound(world: &Place, caller: &Caller, name: &str, provider: &str) -> CredentialId {
        let ask = json!({ "name": name, "type": "oauth", "provider": provider, "scope": "personal" });
        let made = world.call(caller, "create_credential", ask).await.expect("the credential is made");
        CredentialId(made["id"].as_str().expect("it has an id").to_owned())
    }

    fn app(&self) -> &App {
        &self.world.app
    }

    /// Begins a consent of mia's and sends her away; the address that the provider sends her back to.
    async fn consented(&self) -> (Begun, String) {
        let begun = begin(self.app(), &self.mia, self.id.as_str(), None, &[]).await.expect("it begins");
        let there = consent_address(self.app(), &begun).await.expect("she is sent away");
        (begun, back(&there))
    }

    /// All the way, as whoever the provider says.
    async fn connect(&self) -> Finished {
        let (_, back) = self.consented().await;
        finish_pasted(self.app(), &self.mia, &back).await.expect("it connects")
    }

    async fn connection(&self) -> Option<Connection> {
        let (org, id) = (self.world.org.clone(), self.id.clone());
        self.app().store.read(move |tx| tx.connection(&org, &id)).await.expect("the row reads")
    }

    async fn consents(&self) -> Vec<Consent> {
        let (org, id) = (self.world.org.clone(), self.id.clone());
        self.app().store.read(move |tx| tx.consents_of(&org, &id)).await.expect("the rows read")
    }

    /// Changes the connection behind everybody's back.
    async fn change(&self, change: impl FnOnce(&mut Connection) + Send + 'static) {
        let (org, id) = (self.world.org.clone(), self.id.clone());
        let write = move |tx: &mut crate::store::Writer<'_>| {
            let mut connection = tx.connection(&org, &id)?.expect("it is connected");
            change(&mut connection);
            tx.save(&mut connection)?;
            tx.record_step(Event::of("test"), ())
        };
        self.app().store.write(&self.mia, write).await.expect("the row is written");
    }

    /// What the log got since it had `since` rows.
    async fn log(&self, since: usize) -> Vec<String> {
        self.world.log().await.split_off(since)
    }

    async fn log_size(&self) -> usize {
        self.world.log().await.len()
    }

    fn wait(&self, ms: i64) {
        self.world.clock.advance_ms(ms);
    }
}

/// Where a provider sends a browser back to that was sent to `there`.
fn back(there: &Url) -> String {
    let asked: HashMap<_, _> = there.query_pairs().collect();
    let mut back = Url::parse(&asked["redirect_uri"]).expect("the callback is an address");
    back.query_pairs_mut().append_pair("code", "a-code").append_pair("state", &asked["state"]);
    back.into()
}
