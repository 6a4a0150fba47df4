//! Ending a grant at the service (RFC 7009, or as the service does it), and trying again where it cannot be reached.
use super::{address, client, preset, save};
use crate::app::App;
use crate::error::Result;
use crate::model::connection::Connection;
use crate::model::credential::Credential;
use crate::model::provider::Provider;
use crate::oauth::{Client, revocation};
use crate::secret::SecretBytes;
use crate::services::wire::{Ask, Failure};
use data_encoding::BASE64;
use url::Url;
use zeroize::Zeroizing;

/// What the service said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It confirmed that the tokens are of no use any more.
    Confirmed,
    /// It has no way to do that for us.
    NoWay,
    /// It could not be reached, or failed: worth another try.
    NotNow(&'static str),
    /// It refused, and would again.
    Refused,
    /// There was no token left to end.
    Nothing,
}

/// The tokens of a connection, opened for being ended.
pub(super) struct Tokens {
    pub access: Option<SecretBytes>,
    pub refresh: Option<SecretBytes>,
}

/// Reads the tokens of the generation that the connection names.
pub(super) async fn tokens(app: &App, c: &Credential, connection: &Connection) -> Result<Tokens> {
    let (c, generation, keys) = (c.clone(), connection.generation, app.keys.clone());
    app.store
        .read(move |tx| {
            let vault = keys.vault();
            let version = tx.find_version(&c.org_id, &c.id, generation)?.filter(|v| v.destroyed_at.is_none());
            let Some(v) = version else { return Ok(Tokens { access: None, refresh: None }) };
            Ok(Tokens {
                access: save::field(tx, &vault, &c, &v, save::ACCESS)?,
                refresh: save::refresh_token(tx, &vault, &c, &v)?,
            })
        })
        .await
}

/// Asks the service to end the grant: the refresh token first, which ends all of it, then the access token (O-24). A
/// refusal of one does not keep the other from being ended.
pub async fn end_at_service(app: &App, p: &Provider, tokens: &[(&str, &SecretBytes)]) -> Result<Ended> {
    if tokens.is_empty() {
        return Ok(Ended::Nothing);
    }
    if p.endpoints.revocation_url.is_empty() {
        return Ok(Ended::NoWay);
    }
    let style = preset(app, p).and_then(|preset| preset.revocation_style).unwrap_or_default();
    let url = address(&p.endpoints.revocation_url)?;
    let client = match client(app, p) {
        Ok(client) => client,
        // Without its secret the client cannot prove itself: no request would be taken.
        Err(_) => return Ok(Ended::Refused),
    };
    let (mut confirmed, mut refused) = (0, 0);
    for (hint, token) in tokens {
        // Styles of their own take the access token, whose grant they end.
        if !style.is_empty() && *hint != "access_token" {
            continue;
        }
        let Some(ask) = asked(&style, &url, &client, token, hint) else { return Ok(Ended::NoWay) };
        match app.wire.send(ask, app.now()).await {
            Ok(answered) => match answered.status {
                // Some say no with a 200.
                200..=299 if says_no(&answered.body) => refused += 1,
                200..=299 => confirmed += 1,
                429 | 500.. => return Ok(Ended::NotNow("it failed, or asks to be called less often")),
                _ => refused += 1,
            },
            Err(Failure { why, .. }) => return Ok(Ended::NotNow(why)),
        }
    }
    Ok(match (confirmed, refused) {
        (1.., _) => Ended::Confirmed,
        (0, 1..) => Ended::Refused,
        _ => Ended::Nothing,
    })
}

/// The request in the service's own style, as the catalogue words it; `None` for one that we do not speak.
fn asked(style: &str, url: &Url, client: &Client, token: &SecretBytes, hint: &str) -> Option<Ask> {
    let none = || Zeroizing::new(Vec::new());
    match style {
        "" => Some(revocation(url, client, token, hint)),
        "DELETE, HTTP Basic client_id:client_secret, JSON body {access_token}" => {
            let secret = client.secret.as_ref()?;
            let proof = secret.expose(|secret| {
                let mut pair = Zeroizing::new(Vec::with_capacity(client.id.len() + 1 + secret.len()));
                pair.extend_from_slice(client.id.as_bytes());
                pair.push(b':');
                pair.extend_from_slice(secret);
                Zeroizing::new(format!("Basic {}", BASE64.encode(&pair)))
            });
            let body = token.expose(|token| {
                let text = String::from_utf8_lossy(token);
                Zeroizing::new(serde_json::json!({ "access_token": text }).to_string().into_bytes())
            });
            Some(Ask::delete(url.clone(), vec![("authorization", proof)], "application/json", body))
        }
        "DELETE with the token as Bearer" | "DELETE with the user token" => {
            Some(Ask::delete(url.clone(), vec![("authorization", bearer(token))], "application/json", none()))
        }
        "GET or POST with the token itself as Bearer"
        | "POST with the access token as Bearer, empty body" => {
            let form = "application/x-www-form-urlencoded";
            Some(Ask::post(url.clone(), vec![("authorization", bearer(token))], form, none()))
        }
        _ => None,
    }
}

fn bearer(token: &SecretBytes) -> Zeroizing<String> {
    token.expose(|bytes| Zeroizing::new(format!("Bearer {}", String::from_utf8_lossy(bytes))))
}

/// `{"ok": false}`, as Slack answers.
fn says_no(body: &[u8]) -> bool {
    serde_json::from_slice::<serde_json::Value>(body)
        .is_ok_and(|answer| answer.get("ok") == Some(&serde_json::Value::Bool(false)))
}
