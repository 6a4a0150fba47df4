//! What an issuer says of itself (RFC 8414, OpenID Connect Discovery 1.0), to fill a form with. It decides nothing: what a
//! person then saves is checked and approved as any other addresses are.
use crate::app::App;
use crate::error::{Code, Error, Result, invalid};
use crate::model::access::Caller;
use crate::model::provider::{ClientAuth, Endpoints};
use crate::ops::{people_only, reach};
use serde_json::Value;
use url::Url;

/// The largest document, bytes.
const MOST: usize = 256 * 1024;

/// What an issuer's document says.
#[derive(Clone, Debug, PartialEq)]
pub struct Discovered {
    pub endpoints: Endpoints,
    /// What clients may ask for, where it says so.
    pub scopes: Vec<String>,
    pub client_auth: Option<ClientAuth>,
    /// Its own name for itself, letter by letter.
    pub issuer: String,
    /// It promises `iss` in its answers (RFC 9207 §3).
    pub sends_iss: bool,
    /// It takes PKCE with S256, as far as it says (RFC 8414 §2, RFC 7636).
    pub takes_s256: Option<bool>,
    /// Where clients register themselves (RFC 7591); empty where they do not.
    pub registration_url: String,
}

/// Asks the issuer. For an admin in person, who chose the address.
///
/// Fails with `invalid_input` for an address that may not be called and for a document that is not this issuer's
/// (RFC 8414 §3.3), `unreachable` where it does not answer.
pub async fn discover(app: &App, caller: &Caller, issuer: &str) -> Result<Discovered> {
    people_only(caller)?;
    let asking = caller.clone();
    app.store.read(move |tx| reach::admin(tx, &asking).map(drop)).await?;
    read_from(app, issuer).await
}

/// As [`discover`], once it is known that somebody who may has agreed to it.
pub(super) async fn read_from(app: &App, issuer: &str) -> Result<Discovered> {
    let outbound = app.outbound();
    let issuer = issuer.trim().trim_end_matches('/');
    let mut last = invalid("the issuer is no address");
    for url in documents(issuer)? {
        match outbound.get_json(&url, MOST).await {
            Ok(document) => return read(issuer, &document),
            // There may be a document at the other of its two places.
            Err(e) if e.code == Code::Unreachable => last = e,
            Err(e) => return Err(e),
        }
    }
    Err(last)
}

/// Where an issuer's document may be: RFC 8414 §3.1 puts it before the path, OpenID Connect after it.
fn documents(issuer: &str) -> Result<Vec<Url>> {
    let wrong = || invalid("an issuer is an https address without query and fragment");
    let url = Url::parse(issuer).map_err(|_| wrong())?;
    let is_plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    if url.scheme() != "https" || !is_plain || url.password().is_some() || issuer.len() > 500 {
        return Err(wrong());
    }
    let path = url.path().trim_end_matches('/').to_owned();
    let at = |path: String| {
        let mut url = url.clone();
        url.set_path(&path);
        url
    };
    Ok(vec![
        at(format!("/.well-known/oauth-authorization-server{path}")),
        at(format!("{path}/.well-known/openid-configuration")),
    ])
}

fn read(issuer: &str, document: &Value) -> Result<Discovered> {
    let text = |name: &str| document.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    if text("issuer").trim_end_matches('/') != issuer {
        return Err(Error::new(Code::InvalidInput, "the document there says that it is another issuer's")
            .next("Check the address: it must be the issuer's own, letter by letter."));
    }
    let list = |name: &str| -> Vec<String> {
        let all = document.get(name).and_then(Value::as_array).into_iter().flatten();
        all.filter_map(Value::as_str).map(str::to_owned).take(100).collect()
    };
    let mut endpoints = Endpoints {
        authorization_url: text("authorization_endpoint"),
        token_url: text("token_endpoint"),
        revocation_url: text("revocation_endpoint"),
        userinfo_url: text("userinfo_endpoint"),
        device_authorization_url: text("device_authorization_endpoint"),
    };
    for url in [
        &mut endpoints.authorization_url,
        &mut endpoints.token_url,
        &mut endpoints.revocation_url,
        &mut endpoints.userinfo_url,
        &mut endpoints.device_authorization_url,
    ] {
        // Shown in a form and checked when it is saved; what is no address at all is not even shown.
        if url.len() > 500 || !url.starts_with("https://") {
            url.clear();
        }
    }
    if endpoints.token_url.is_empty() {
        return Err(invalid("the issuer's document names no token address"));
    }
    let methods = list("token_endpoint_auth_methods_supported");
    let has = |method: &str| methods.iter().any(|m| m == method);
    let client_auth = match () {
        // The default of RFC 8414 §2.
        () if methods.is_empty() || has("client_secret_basic") => Some(ClientAuth::Basic),
        () if has("client_secret_post") => Some(ClientAuth::Post),
        () if has("none") => Some(ClientAuth::None),
        () => None,
    };
    let methods =
        document.get("code_challenge_methods_supported").map(|_| list("code_challenge_methods_supported"));
    let registration_url =
        Some(text("registration_endpoint")).filter(|url| url.starts_with("https://") && url.len() <= 500);
    Ok(Discovered {
        endpoints,
        scopes: list("scopes_supported"),
        client_auth,
        issuer: text("issuer"),
        sends_iss: document.get("authorization_response_iss_parameter_supported") == Some(&Value::Bool(true)),
        takes_s256: methods.map(|all| all.iter().any(|method| method == "S256")),
        registration_url: registration_url.unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_issuer_s_documents_are_where_the_two_specifications_put_them() {
        let at = |issuer: &str| documents(issuer).unwrap().into_iter().map(String::from).collect::<Vec<_>>();
        assert_eq!(
            at("https://idp.example/tenant"),
            [
                "https://idp.example/.well-known/oauth-authorization-server/tenant",
                "https://idp.example/tenant/.well-known/openid-configuration"
            ]
        );
        assert_eq!(at("https://idp.example")[1], "https://idp.example/.well-known/openid-configuration");
        for wrong in
            ["http://idp.example", "idp.example", "https://a@idp.example", "https://idp.example?x", ""]
        {
            assert_eq!(documents(wrong).unwrap_err().code, Code::InvalidInput, "{wrong}");
        }
    }

    #[test]
    fn a_document_of_another_issuer_is_refused_and_one_of_its_own_fills_the_form() {
        let document = json!({
            "issuer": "https://idp.example", "authorization_endpoint": "https://idp.example/a",
            "token_endpoint": "https://idp.example/t", "userinfo_endpoint": "javascript:alert(1)",
            "scopes_supported": ["openid", 7], "token_endpoint_auth_methods_supported": ["client_secret_post"],
        });

        let found = read("https://idp.example", &document).unwrap();

        assert_eq!(found.endpoints.token_url, "https://idp.example/t");
        assert!(found.endpoints.userinfo_url.is_empty());
        assert_eq!((found.scopes, found.client_auth), (vec!["openid".to_owned()], Some(ClientAuth::Post)));
        for wrong in ["https://idp.example.evil", "https://IDP.example", "https://idp.example/tenant"] {
            assert_eq!(read(wrong, &document).unwrap_err().code, Code::InvalidInput);
        }
        assert!(read("https://idp.example", &json!({"issuer": "https://idp.example"})).is_err());
    }
}
