//! A client that registers itself (RFC 7591), where an issuer offers that.
use crate::app::App;
use crate::error::{Code, Error, Result, internal};
use crate::model::connection::GrantKind;
use crate::model::provider::ClientAuth;
use crate::secret::SecretBytes;
use crate::services::wire::Ask;
use serde::Deserialize;
use serde_json::json;
use url::Url;
use zeroize::Zeroizing;

/// What the issuer gave.
pub(super) struct Registered {
    pub client_id: String,
    pub client_secret: Option<SecretBytes>,
    pub client_auth: ClientAuth,
}

#[derive(Deserialize)]
struct Answer {
    client_id: Option<String>,
    client_secret: Option<Zeroizing<String>>,
    token_endpoint_auth_method: Option<String>,
}

/// Registers a client that comes back to `callback`.
pub(super) async fn register(app: &App, url: &str, callback: &str, grant: GrantKind) -> Result<Registered> {
    let url = Url::parse(url).map_err(|_| internal("a checked address is none"))?;
    let unreachable = |why: &str| {
        Error::new(Code::Unreachable, format!("the issuer did not register a client: {why}"))
            .next("Make a client on the issuer's own page, and give its client_id.")
    };
    let wanted = match grant {
        GrantKind::ClientCredentials => json!({
            "client_name": "Unsaid", "grant_types": ["client_credentials"], "response_types": [],
            "token_endpoint_auth_method": "client_secret_basic",
        }),
        _ => json!({
            "client_name": "Unsaid", "redirect_uris": [callback],
            "grant_types": ["authorization_code", "refresh_token"], "response_types": ["code"],
            "token_endpoint_auth_method": "client_secret_basic",
            "application_type": if callback.starts_with("http://") { "native" } else { "web" },
        }),
    };
    let body = Zeroizing::new(wanted.to_string().into_bytes());
    let headers = vec![("accept", Zeroizing::new("application/json".to_owned()))];
    let answered = app
        .wire
        .send(Ask::post(url, headers, "application/json", body), app.now())
        .await
        .map_err(|failure| unreachable(failure.why))?;
    if !matches!(answered.status, 200 | 201) || !answered.is_json {
        return Err(unreachable("it refused").detail("status", answered.status.to_string()));
    }
    let answer: Answer =
        serde_json::from_slice(&answered.body).map_err(|_| unreachable("its answer is no JSON"))?;
    let client_id = super::parse_client_id(&answer.client_id.unwrap_or_default())
        .map_err(|_| unreachable("its answer holds no client id"))?;
    let client_secret =
        answer.client_secret.filter(|s| !s.is_empty()).map(|s| SecretBytes::copied(s.as_bytes()));
    let client_auth = match (answer.token_endpoint_auth_method.as_deref(), &client_secret) {
        (_, None) => ClientAuth::None,
        (Some("client_secret_post"), _) => ClientAuth::Post,
        _ => ClientAuth::Basic,
    };
    Ok(Registered { client_id, client_secret, client_auth })
}
