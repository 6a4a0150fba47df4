//! OAuth providers, for admins: what is configured, and forms to make and change them.
//!
//! Addresses that are no preset's become a request, which is decided on its own page with the hosts in sight.
use super::Site;
use super::answer::{Answer, sentence};
use super::form;
use super::pages::{self, ProviderForm, ProviderRow};
use super::sessions::Visitor;
use crate::error::{Code, Error, Result, internal};
use crate::model::entry::EntryPurpose;
use crate::model::suspicion::Kind;
use crate::ops::entry::offer_here;
use crate::ops::provider::discover;
use crate::ops::{Limits, NoOne, Reply, call, find_entry};
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde_json::{Map, Value, json};
use std::sync::Arc;

async fn ask(visitor: &Visitor, operation: &str, arguments: Value) -> Result<Value> {
    let entry = find_entry(operation).ok_or_else(|| internal("a page names an operation there is not"))?;
    let Value::Object(arguments) = arguments else { return Err(internal("arguments are an object")) };
    match call(&visitor.app, &visitor.caller, entry, &Limits::default(), arguments, &NoOne).await? {
        Reply::Done(answer) => Ok(answer),
        Reply::AskFirst(_) => Err(internal("a page was asked to ask")),
    }
}

fn text(value: &Value, path: &str) -> String {
    value.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned()
}

async fn all(visitor: &Visitor) -> Result<Vec<Value>> {
    let mut rows = Vec::new();
    let mut cursor = Value::Null;
    loop {
        let mut arguments = Map::new();
        if !cursor.is_null() {
            arguments.insert("cursor".into(), cursor);
        }
        let page = ask(visitor, "list_oauth_providers", Value::Object(arguments)).await?;
        rows.extend(page["providers"].as_array().cloned().unwrap_or_default());
        cursor = page["next_cursor"].clone();
        if cursor.is_null() {
            return Ok(rows);
        }
    }
}

pub(super) async fn list(visitor: Visitor) -> Answer {
    let listed = async {
        let session = visitor.signed_in()?;
        let rows: Vec<_> = all(&visitor)
            .await?
            .iter()
            .map(|p| ProviderRow {
                name: text(p, "/name"),
                service: text(p, "/service"),
                has_secret: match p.pointer("/setup/has_secret").and_then(Value::as_bool) {
                    Some(true) => "stored".into(),
                    Some(false) if text(p, "/setup/client_auth") == "none" => "none needed".into(),
                    Some(false) => "missing".into(),
                    None => String::new(),
                },
                href: format!("{}/providers/{}", session.base, text(p, "/id")),
            })
            .collect();
        Ok(pages::providers(&session, &rows))
    };
    match listed.await {
        Ok(page) => Answer::ok(page),
        Err(e) => visitor.failed(&e),
    }
}

fn empty(site: &Site, visitor: &Visitor) -> Result<ProviderForm> {
    let session = visitor.signed_in()?;
    if !visitor.is_admin {
        return Err(Error::new(Code::NotAllowed, "only an admin of the org sets up OAuth providers"));
    }
    let mut services: Vec<_> = visitor
        .app
        .catalogue
        .services()
        .filter(|service| service.oauth.is_some())
        .map(|service| (service.id.clone(), service.name.clone()))
        .collect();
    services.sort_by_key(|(_, name)| name.to_lowercase());
    services.insert(0, (String::new(), "none of these".into()));
    Ok(ProviderForm {
        action: format!("{}/providers/new", session.base),
        session,
        is_new: true,
        name: String::new(),
        service: String::new(),
        client_id: String::new(),
        client_auth: String::new(),
        scopes: String::new(),
        params: String::new(),
        issuer: String::new(),
        authorization_url: String::new(),
        token_url: String::new(),
        revocation_url: String::new(),
        userinfo_url: String::new(),
        device_authorization_url: String::new(),
        callback_url: format!("{}/oauth/callback", site.base),
        services,
        warnings: Vec::new(),
        error: None,
        secret_href: String::new(),
        secret_state: String::new(),
    })
}

pub(super) async fn fresh(State(site): State<Arc<Site>>, visitor: Visitor) -> Answer {
    match empty(&site, &visitor) {
        Ok(form) => Answer::ok(pages::provider_form(&form)),
        Err(e) => visitor.failed(&e),
    }
}

async fn stored(site: &Site, visitor: &Visitor, id: &str) -> Result<ProviderForm> {
    form::expect_id(id)?;
    let all = all(visitor).await?;
    let found = all.iter().find(|p| text(p, "/id") == id);
    let p = found.ok_or_else(|| Error::new(Code::ProviderNotFound, "there is no such OAuth provider"))?;
    let form = empty(site, visitor)?;
    let at = |name: &str| text(p, &format!("/setup/endpoints/{name}"));
    let has_secret = p.pointer("/setup/has_secret").and_then(Value::as_bool) == Some(true);
    let wants_secret = text(p, "/setup/client_auth") != "none";
    let scopes: Vec<_> = p["scopes"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    Ok(ProviderForm {
        action: format!("{}/providers/{id}", form.session.base),
        is_new: false,
        name: text(p, "/name"),
        service: text(p, "/service"),
        client_id: text(p, "/setup/client_id"),
        client_auth: text(p, "/setup/client_auth"),
        scopes: scopes.join(" "),
        authorization_url: at("authorization_url"),
        token_url: at("token_url"),
        revocation_url: at("revocation_url"),
        userinfo_url: at("userinfo_url"),
        device_authorization_url: at("device_authorization_url"),
        callback_url: text(p, "/setup/callback_url"),
        secret_href: match wants_secret {
            true => format!("{}/providers/{id}/secret", form.session.base),
            false => String::new(),
        },
        secret_state: match (wants_secret, has_secret) {
            (false, _) => "A public client has no secret.".into(),
            (true, true) => "A client secret is stored.".into(),
            (true, false) => "No client secret is stored yet.".into(),
        },
        ..form
    })
}

pub(super) async fn show(
    State(site): State<Arc<Site>>,
    Path((_, id)): Path<(String, String)>,
    visitor: Visitor,
) -> Answer {
    match stored(&site, &visitor, &id).await {
        Ok(form) => Answer::ok(pages::provider_form(&form)),
        Err(e) => visitor.failed(&e),
    }
}

/// The `name=value` of each word.
fn pairs(params: &str) -> impl Iterator<Item = (&str, &str)> {
    params.split_whitespace().map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// Whether what was typed into the field `name` looks like a secret.
fn looks_secret(visitor: &Visitor, name: &str, typed: &str) -> bool {
    let is_secret = |text: &str, kind: Kind| visitor.app.detector.check_text(text, kind).is_some();
    match name {
        "name" | "service" => is_secret(typed, Kind::FreeText),
        // Each name and value by itself too, which is how the operation gets them.
        "params" => {
            is_secret(typed, Kind::FreeText)
                || pairs(typed)
                    .any(|(name, value)| is_secret(name, Kind::FreeText) || is_secret(value, Kind::FreeText))
        }
        "client_id" | "client_auth" | "scopes" => is_secret(typed, Kind::Identifier),
        _ => is_secret(typed, Kind::Url),
    }
}

/// What was typed, put into `form` so that nothing is lost by an error; and the first field that looks like a secret,
/// which no page shows again: it is as it was before.
fn typed(visitor: &Visitor, mut form: ProviderForm, body: &[u8]) -> (ProviderForm, Option<&'static str>) {
    let given = form::read(body);
    let mut secret = None;
    let mut take = |name: &'static str, field: &mut String| {
        let typed = given.get(name).map_or("", |text| text.trim());
        match looks_secret(visitor, name, typed) {
            false => typed.clone_into(field),
            true => secret = secret.or(Some(name)),
        }
    };
    if form.is_new {
        take("name", &mut form.name);
        take("service", &mut form.service);
        take("params", &mut form.params);
    }
    take("client_id", &mut form.client_id);
    take("client_auth", &mut form.client_auth);
    take("scopes", &mut form.scopes);
    take("issuer", &mut form.issuer);
    take("authorization_url", &mut form.authorization_url);
    take("token_url", &mut form.token_url);
    take("revocation_url", &mut form.revocation_url);
    take("userinfo_url", &mut form.userinfo_url);
    take("device_authorization_url", &mut form.device_authorization_url);
    (form, secret)
}

/// Tells that a secret was typed where none belongs; it is not in `form` any more.
fn misplaced(form: ProviderForm, field: &str) -> Answer {
    let error = format!(
        "What was typed as {} looks like a secret: nothing was stored, and it is not shown again. The client secret has its own page.",
        field.replace('_', " ")
    );
    let page = ProviderForm { error: Some(error), ..form };
    Answer::page(StatusCode::BAD_REQUEST, pages::provider_form(&page)).and_close()
}

/// The input of the operation, as far as something was typed.
fn arguments(form: &ProviderForm, id: Option<&str>, before: Option<&ProviderForm>) -> Value {
    let mut endpoints = Map::new();
    for (name, url, stored) in [
        ("authorization_url", &form.authorization_url, before.map(|b| &b.authorization_url)),
        ("token_url", &form.token_url, before.map(|b| &b.token_url)),
        ("revocation_url", &form.revocation_url, before.map(|b| &b.revocation_url)),
        ("userinfo_url", &form.userinfo_url, before.map(|b| &b.userinfo_url)),
        (
            "device_authorization_url",
            &form.device_authorization_url,
            before.map(|b| &b.device_authorization_url),
        ),
    ] {
        if stored.map_or(!url.is_empty(), |stored| stored != url) {
            endpoints.insert(name.into(), url.clone().into());
        }
    }
    let scopes: Vec<&str> = form.scopes.split_whitespace().collect();
    let mut arguments = json!({ "client_id": form.client_id, "scopes": scopes });
    match id {
        Some(id) => arguments["provider"] = id.into(),
        None => {
            arguments["name"] = form.name.clone().into();
            let params: Map<String, Value> =
                pairs(&form.params).map(|(name, value)| (name.to_owned(), value.into())).collect();
            if !params.is_empty() {
                arguments["params"] = Value::Object(params);
            }
            if !form.service.is_empty() {
                arguments["service"] = form.service.clone().into();
            }
        }
    }
    if !form.client_auth.is_empty() {
        arguments["client_auth"] = form.client_auth.clone().into();
    }
    if !endpoints.is_empty() {
        arguments["endpoints"] = Value::Object(endpoints);
    }
    arguments
}

/// The message, and the next step where there is one of its own: what the page shows is what to correct.
fn advised(e: &Error) -> String {
    match e.next_step() == e.code.next() {
        true => sentence(e.message()),
        false => format!("{} {}", sentence(e.message()), e.next_step()),
    }
}

/// Fills the form from what its issuer says, where that button was pressed.
async fn filled(visitor: &Visitor, form: ProviderForm, body: &[u8]) -> Result<Answer, Box<ProviderForm>> {
    if !form::read(body).contains_key("discover") {
        return Err(Box::new(form));
    }
    let page = match discover(&visitor.app, &visitor.caller, &form.issuer).await {
        Ok(found) => ProviderForm {
            authorization_url: found.endpoints.authorization_url,
            token_url: found.endpoints.token_url,
            revocation_url: found.endpoints.revocation_url,
            userinfo_url: found.endpoints.userinfo_url,
            device_authorization_url: found.endpoints.device_authorization_url,
            client_auth: found.client_auth.map_or(form.client_auth.clone(), |auth| auth.to_string()),
            warnings: match found.scopes.is_empty() {
                true => Vec::new(),
                false => vec![format!("The issuer offers these scopes: {}.", found.scopes.join(" "))],
            },
            error: None,
            ..form
        },
        Err(e) => ProviderForm { error: Some(advised(&e)), ..form },
    };
    let status = if page.error.is_some() { StatusCode::BAD_REQUEST } else { StatusCode::OK };
    Ok(Answer::page(status, pages::provider_form(&page)))
}

/// Runs it, or goes to the page where it is decided. `before` is the form as it was before anybody typed.
async fn save(
    visitor: &Visitor,
    operation: &str,
    form: ProviderForm,
    before: ProviderForm,
    arguments: Value,
) -> Answer {
    match ask(visitor, operation, arguments).await {
        Ok(answer) => {
            Answer::go(&format!("{}/providers/{}", form.session.base, text(&answer, "/provider/id")))
        }
        Err(e) if e.code == Code::ApprovalRequired => {
            let id = e.details().iter().find(|(name, _)| *name == "approval_id");
            let id = id.map_or("", |(_, id)| id);
            Answer::go(&format!("{}/approvals/{id}", form.session.base))
        }
        Err(e) if e.code == Code::SecretInArgument => {
            let field = e.details().iter().find(|(name, _)| *name == "field");
            let field = field.map_or("a field", |(_, field)| field.as_str());
            misplaced(before, field.split(['.', '[']).next().unwrap_or(field))
        }
        Err(e) if matches!(e.kind(), crate::error::Kind::Input | crate::error::Kind::Conflict) => {
            let error = advised(&e);
            let page = ProviderForm { error: Some(error), ..form };
            Answer::page(StatusCode::BAD_REQUEST, pages::provider_form(&page))
        }
        Err(e) => visitor.failed(&e),
    }
}

fn csrf(visitor: &Visitor, body: &[u8]) -> Result<()> {
    visitor.expect_csrf(form::read(body).get("csrf").map_or("", |csrf| csrf))
}

pub(super) async fn create(State(site): State<Arc<Site>>, visitor: Visitor, body: Bytes) -> Answer {
    let before = match csrf(&visitor, &body).and_then(|()| empty(&site, &visitor)) {
        Ok(before) => before,
        Err(e) => return visitor.failed(&e),
    };
    let form = match typed(&visitor, before.clone(), &body) {
        (form, None) => form,
        (form, Some(field)) => return misplaced(form, field),
    };
    let form = match filled(&visitor, form, &body).await {
        Ok(answer) => return answer,
        Err(form) => *form,
    };
    let arguments = arguments(&form, None, None);
    save(&visitor, "create_oauth_provider", form, before, arguments).await
}

pub(super) async fn change(
    State(site): State<Arc<Site>>,
    Path((_, id)): Path<(String, String)>,
    visitor: Visitor,
    body: Bytes,
) -> Answer {
    let before = match csrf(&visitor, &body) {
        Ok(()) => stored(&site, &visitor, &id).await,
        Err(e) => Err(e),
    };
    let before = match before {
        Ok(before) => before,
        Err(e) => return visitor.failed(&e),
    };
    let form = match typed(&visitor, before.clone(), &body) {
        (form, None) => form,
        (form, Some(field)) => return misplaced(form, field),
    };
    let form = match filled(&visitor, form, &body).await {
        Ok(answer) => return answer,
        Err(form) => *form,
    };
    let arguments = arguments(&form, Some(&id), Some(&before));
    save(&visitor, "update_oauth_provider", form, before, arguments).await
}

/// Goes to a fresh entry page for the client secret.
pub(super) async fn secret(Path((_, id)): Path<(String, String)>, visitor: Visitor, body: Bytes) -> Answer {
    let offered = async {
        csrf(&visitor, &body)?;
        form::expect_id(&id)?;
        let session = visitor.signed_in()?;
        let link = offer_here(&visitor.app, &visitor.caller, EntryPurpose::ClientSecret, &id).await?;
        Ok(format!("{}/e/{link}", session.base))
    };
    match offered.await {
        Ok(to) => Answer::go(&to),
        Err(e) => visitor.failed(&e),
    }
}
