//! Whose account a token is for: asked of the provider, at its own address.
use super::preset;
use crate::app::App;
use crate::error::Result;
use crate::model::part;
use crate::model::provider::Provider;
use crate::oauth::{Identity, identity};
use crate::secret::SecretBytes;
use crate::services::wire::{Answered, Ask, Failure};
use std::time::Duration;
use url::Url;
use zeroize::Zeroizing;

/// What a question for the account found out.
pub(super) enum Account {
    Known(Identity),
    /// It answered, and said nothing that names an account.
    Unnamed,
    /// The token is not good there.
    Refused,
    /// No answer that could be used: why.
    Unknown(&'static str),
    /// The provider has no such address.
    NoAddress,
}

/// The account, where the provider tells it.
pub(super) async fn account(app: &App, p: &Provider, access: &SecretBytes) -> Option<Identity> {
    for pause_ms in [0, 400, 1200] {
        tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        match ask(app, p, access).await {
            Ok(Account::Known(identity)) => return Some(identity),
            // A hiccup is worth another try: without the account, another one could not be told from this.
            Ok(Account::Unknown(_)) => {}
            _ => return None,
        }
    }
    None
}

pub(super) async fn ask(app: &App, p: &Provider, access: &SecretBytes) -> Result<Account> {
    if p.endpoints.userinfo_url.is_empty() {
        return Ok(Account::NoAddress);
    }
    let preset = preset(app, p);
    let url: Url = super::address(&p.endpoints.userinfo_url)?;
    let template =
        preset.as_ref().and_then(|p| p.userinfo_auth.clone()).unwrap_or_else(|| "Bearer {token}".into());
    let header = access.expose(|bytes| {
        let token = Zeroizing::new(String::from_utf8_lossy(bytes).into_owned());
        Zeroizing::new(template.replace("{token}", &token))
    });
    let headers = vec![("authorization", header), ("accept", Zeroizing::new("application/json".to_owned()))];
    let is_post = preset
        .as_ref()
        .and_then(|p| p.userinfo_method.as_deref())
        .is_some_and(|m| m.eq_ignore_ascii_case("post"));
    let ask = match is_post {
        true => Ask::post(url, headers, "application/json", Zeroizing::new(Vec::new())),
        false => Ask::get(url, headers),
    };
    let pointer =
        preset.as_ref().filter(|p| p.account_id_from.is_none()).and_then(|p| p.account_id_path.clone());
    Ok(match app.wire.send(ask, app.now()).await {
        Err(Failure { why, .. }) => Account::Unknown(why),
        Ok(Answered { status: 401, .. }) => Account::Refused,
        // The token may be good for other things.
        Ok(Answered { status: 403, .. }) => Account::Unknown("it may not be asked with these scopes"),
        Ok(Answered { status: 200..=299, is_json: true, body, .. }) => {
            match serde_json::from_slice(&body).ok().and_then(|v| identity(&v, pointer.as_deref())) {
                // Who writes our token where a name should be is no account.
                Some(identity) if is_telling(access, &identity) => Account::Unnamed,
                Some(identity) => Account::Known(identity),
                None => Account::Unnamed,
            }
        }
        Ok(Answered { status: 200..=299, .. }) => Account::Unknown("its answer is no JSON"),
        Ok(_) => Account::Unknown("it answered with a failure"),
    })
}

/// Whether one of its names tells a part of the token that it was asked with.
fn is_telling(access: &SecretBytes, identity: &Identity) -> bool {
    let is_in = |name: &str| {
        let is_part = |bytes: &[u8]| std::str::from_utf8(bytes).is_ok_and(|token| part::tells(token, name));
        part::is_masked(name) || access.expose(is_part)
    };
    is_in(&identity.label) || is_in(&identity.subject)
}
