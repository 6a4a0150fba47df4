//! The harmless request itself.
use super::super::check::{Auth, Check, Method};
use super::super::service::Service;
use super::super::wire::{Ask, Failure};
use super::answer::judge;
use super::subject::{Subject, Values};
use super::{Way, Why, assertion, signature};
use crate::model::probe::Probed;
use http::header::{ACCEPT, AUTHORIZATION, HeaderName};
use std::collections::BTreeMap;
use url::{Url, form_urlencoded};
use zeroize::Zeroizing;

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";

/// A request before it is sent.
pub(super) struct Request {
    pub method: http::Method,
    pub url: Url,
    pub headers: Vec<(HeaderName, Zeroizing<String>)>,
    pub body: Option<(&'static str, Zeroizing<Vec<u8>>)>,
}

impl Way<'_> {
    pub(super) async fn http(
        &self,
        service: &Service,
        check: &Check,
        subject: &Subject,
    ) -> Result<Probed, Why> {
        let request = request(service, check, subject, self.now)?;
        let Request { method, url, headers, body } = request;
        let answered = self.wire.send(Ask::of(method, url, headers, body), self.now).await;
        match answered {
            Ok(answered) => Ok(judge(self.catalogue, service, check, subject, &answered, self.now)),
            Err(Failure { why, .. }) => Err(why.into()),
        }
    }
}

/// The request that `check` describes.
pub(super) fn request(
    service: &Service,
    check: &Check,
    subject: &Subject,
    now: crate::clock::Millis,
) -> Result<Request, Why> {
    let values = Values::of(service, check, subject, templates(&check.auth));
    let url = check.url.as_deref().ok_or("its manifest names no address")?;
    let mut request = Request {
        method: method(check.method),
        url: values.address(url)?,
        headers: vec![(ACCEPT, Zeroizing::new(JSON.to_owned()))],
        body: None,
    };
    for (name, template) in &check.headers {
        put(&mut request.headers, name, values.text(template)?)?;
    }
    let mut form = BTreeMap::new();
    for (name, template) in &check.body_form {
        form.insert(name.clone(), values.text(template)?);
    }
    let mut json: Option<serde_json::Map<String, serde_json::Value>> = check.body.clone();
    match &check.auth {
        Auth::Header { name, format } => put(&mut request.headers, name, values.text(format)?)?,
        Auth::Basic { username, password } => {
            let pair = Zeroizing::new(format!(
                "{}:{}",
                values.text(username)?.as_str(),
                values.text(password)?.as_str()
            ));
            let encoded = Zeroizing::new(data_encoding::BASE64.encode(pair.as_bytes()));
            request.headers.push((AUTHORIZATION, Zeroizing::new(format!("Basic {}", encoded.as_str()))));
        }
        Auth::Query { name } => {
            // Where the template has it already, it is not said twice.
            if !url.contains("{token}") {
                let token = values.text("{token}")?;
                request.url.query_pairs_mut().append_pair(name, &token);
            }
        }
        Auth::Path {} => {}
        Auth::BodyForm { fields } => {
            for (name, template) in fields {
                form.insert(name.clone(), values.text(template)?);
            }
        }
        Auth::BodyJson { fields } => {
            let body = json.get_or_insert_default();
            for (name, template) in fields {
                body.insert(name.clone(), values.text(template)?.as_str().into());
            }
        }
        Auth::AwsSigv4 { service, region, access_key_id, secret_access_key } => {
            let keys = (values.text(access_key_id)?, values.text(secret_access_key)?);
            signature::sign(&mut request, service, region, &keys, now)?;
        }
        Auth::JwtBearer { grant_type, alg, aud, scope, .. } => {
            let file = subject.key().ok_or("its value is no text")?;
            let assertion = assertion::signed(&file, alg, aud, scope, now)?;
            form.insert("grant_type".into(), Zeroizing::new(grant_type.clone()));
            form.insert("assertion".into(), assertion);
        }
        Auth::Digest { .. } => {
            return Err("it asks for a way of signing in that is not supported (digest)".into());
        }
        _ => return Err("its manifest names no request that carries it".into()),
    }
    if !form.is_empty() {
        request.body = Some((FORM, encoded(&form)));
    } else if let Some(json) = json {
        let bytes = serde_json::to_vec(&json).map_err(|_| "its body cannot be written")?;
        request.body = Some((JSON, Zeroizing::new(bytes)));
    }
    // The body says what it is.
    if request.body.is_some() {
        request.headers.retain(|(name, _)| *name != http::header::CONTENT_TYPE);
    }
    Ok(request)
}

fn method(method: Option<Method>) -> http::Method {
    match method {
        None | Some(Method::Get) => http::Method::GET,
        Some(Method::Post) => http::Method::POST,
        Some(Method::Put) => http::Method::PUT,
        Some(Method::Patch) => http::Method::PATCH,
        Some(Method::Delete) => http::Method::DELETE,
    }
}

/// The templates that `auth` has.
fn templates(auth: &Auth) -> Vec<&str> {
    match auth {
        Auth::Header { format, .. } => vec![format],
        Auth::Basic { username, password } | Auth::Digest { username, password } => vec![username, password],
        Auth::BodyForm { fields } | Auth::BodyJson { fields } => {
            fields.values().map(String::as_str).collect()
        }
        Auth::AwsSigv4 { access_key_id, secret_access_key, .. } => vec![access_key_id, secret_access_key],
        Auth::Sasl { username, password, .. } => vec![username, password],
        _ => Vec::new(),
    }
}

fn put(
    headers: &mut Vec<(HeaderName, Zeroizing<String>)>,
    name: &str,
    value: Zeroizing<String>,
) -> Result<(), Why> {
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| "its manifest names no header")?;
    headers.retain(|(known, _)| *known != name);
    headers.push((name, value));
    Ok(())
}

fn encoded(form: &BTreeMap<String, Zeroizing<String>>) -> Zeroizing<Vec<u8>> {
    let mut text = form_urlencoded::Serializer::new(String::with_capacity(1024));
    for (name, value) in form {
        text.append_pair(name, value);
    }
    Zeroizing::new(text.finish().into_bytes())
}
