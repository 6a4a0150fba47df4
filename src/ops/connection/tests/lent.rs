//! Where the tokens of a connection are sent, of a service whose address has parameters.
use super::*;
use crate::model::connection::ConnectionState;
use crate::ops::hand_over::{hand_over_to, meant, stated};

/// Mia's connection to a Zendesk of her org's, and a consumer that is lent it.
async fn rig() -> Rig {
    let mut rig = Rig::new().await;
    let provider = json!({
        "service": "zendesk", "name": "desk", "client_id": "abc", "client_auth": "none", "scopes": ["read"],
        "callback_url": "https://vault.example/oauth/callback", "params": { "subdomain": "acme" },
    });
    let ada = rig.world.person("ada");
    rig.world.call_with(&ada, "create_oauth_provider", provider, &PersonYes).await.expect("it is added");
    rig.id = Rig::bound(&rig.world, &rig.mia, "DESK", "desk").await;
    rig.idp.says("/oauth/tokens", Reply::Json(200, tokens(3600)));
    rig.connect().await;
    let bindings = json!([{"variable": "DESK", "delivery": "header", "service": "zendesk"}]);
    let bot = json!({"name": "bot", "bindings": bindings});
    rig.world.call_with(&rig.mia, "register_consumer", bot, &PersonYes).await.expect("it is bound");
    rig
}

impl Rig {
    /// The subdomain by which its service is reached.
    async fn subdomain(&self) -> Result<Option<String>> {
        let started = hand_over_to(self.app(), &self.mia, "bot", "sh").await?;
        let meant = meant(self.app(), &started.caller, "bot", "zendesk").await?;
        let mut stated = stated(self.app(), &started.caller, &meant, &["subdomain"]).await?;
        Ok(stated.params.remove("subdomain"))
    }
}

#[tokio::test]
async fn the_provider_that_a_person_agreed_to_says_where() {
    let rig = rig().await;

    assert_eq!(rig.subdomain().await.expect("it says so").as_deref(), Some("acme"));
}

#[tokio::test]
async fn o_02_tokens_go_nowhere_once_the_providers_addresses_are_others() {
    let rig = rig().await;
    rig.change(|connection| connection.policy = vec![0; 32]).await;
    assert_eq!(rig.connection().await.map(|c| c.state), Some(ConnectionState::Connected));

    assert_eq!(rig.subdomain().await.expect_err("refused").code, Code::ReauthRequired);
}
