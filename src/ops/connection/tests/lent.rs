//! Where the tokens of a connection are sent, of a service whose address has parameters.
use super::*;
use crate::model::connection::ConnectionState;
use crate::ops::hand_over::{hand_over_to, meant, stated};

/// Mia's connection to a Zendesk of her org's, and a consumer that is lent it.
async fn rig() -> Rig {
    rig_with(json!({})).await
}

async fn rig_with(endpoints: Value) -> Rig {
    let mut rig = Rig::new().await;
    let mut provider = json!({
        "service": "zendesk", "name": "desk", "client_id": "abc", "client_auth": "none", "scopes": ["read"],
        "callback_url": "https://vault.example/oauth/callback", "params": { "subdomain": "acme" },
    });
    if endpoints != json!({}) {
        provider["endpoints"] = endpoints;
    }
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

/// The addresses of another subdomain, in full.
fn elsewhere(subdomain: &str) -> Value {
    let at = |path: &str| format!("https://{subdomain}.zendesk.com{path}");
    json!({
        "authorization_url": at("/oauth/authorizations/new"), "token_url": at("/oauth/tokens"),
        "revocation_url": at("/api/v2/oauth/tokens/current.json"), "userinfo_url": at("/api/v2/users/me.json"),
    })
}

#[tokio::test]
async fn o_02_a_parameter_that_decides_no_address_of_the_provider_decides_none_of_the_broker() {
    // Its addresses are those of one place, its parameter names another.
    let rig = rig_with(elsewhere("good")).await;

    assert_eq!(rig.subdomain().await.expect_err("refused").code, Code::InvalidInput);
}

#[tokio::test]
async fn o_02_a_changed_parameter_beside_the_old_addresses_sends_no_token_anywhere_else() {
    let rig = rig().await;
    let change = json!({
        "provider": "desk", "params": { "subdomain": "evil" }, "endpoints": elsewhere("acme"),
    });
    let changed = rig.world.call(&rig.world.person("ada"), "update_oauth_provider", change.clone()).await;
    if changed.is_err() {
        rig.world
            .call_with(&rig.world.person("ada"), "update_oauth_provider", change, &PersonYes)
            .await
            .expect("a person says yes");
    }

    assert_ne!(rig.subdomain().await.ok().flatten().as_deref(), Some("evil"));
}

#[tokio::test]
async fn o_02_a_provider_of_another_service_says_nothing_of_this_one() {
    let rig = rig().await;
    let started = hand_over_to(rig.app(), &rig.mia, "bot", "sh").await.expect("it starts");
    let mut meant = meant(rig.app(), &started.caller, "bot", "zendesk").await.expect("it is meant");
    meant.binding.service = "gitlab".into();

    let refused = stated(rig.app(), &started.caller, &meant, &["host"]).await.expect_err("not gitlab.com");

    assert_eq!(refused.code, Code::InvalidInput);
}
