//! Services whose own interface makes or ends values: the catalogue's addresses, and what their documentation says of the answers.
//!
//! Only where the catalogue is sure of the addresses, and only where the configuration names the service. None of it was tried on the
//! real services. A request is sent once: where its answer is lost, so may be the value in it, and that is told.
use super::super::driver::{Call, Created, Driver, Ended, Fields, Made, Makes, Tested};
use crate::clock::{Clock, DAY_MS};
use crate::config::Rotation;
use crate::error::{Code, Error, Result, internal, invalid};
use crate::ids::CredentialId;
use crate::model::credential::Credential;
use crate::secret::SecretBytes;
use crate::services::Service;
use crate::services::check::Method;
use crate::services::service::Confidence;
use crate::services::wire::{Answered, Ask, Wire};
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use url::Url;
use zeroize::{Zeroize, Zeroizing};

/// What the documentation of one service says, besides the catalogue's addresses.
struct Contract {
    service: &'static str,
    name: &'static str,
    /// The header that has the key, and what stands before it there.
    header: (&'static str, &'static str),
    more: &'static [(&'static str, &'static str)],
    makes: Option<Making>,
    ends: Option<Ending>,
}

struct Making {
    /// Which address of the catalogue.
    action: &'static str,
    /// The old one works on.
    overlaps: bool,
    /// Where the answer has the value and its id (RFC 6901).
    value: &'static str,
    id: &'static str,
}

struct Ending {
    /// The parameter of the address, and the plain field, that has the id of the old one.
    id: &'static str,
}

const CONTRACTS: [Contract; 4] = [
    Contract {
        service: "gitlab",
        name: "gitlab api",
        header: ("private-token", ""),
        more: &[],
        // The old one dies with it. Asked again by the old one, the service ends the whole family.
        makes: Some(Making { action: "rotate", overlaps: false, value: "/token", id: "/id" }),
        ends: None,
    },
    Contract {
        service: "neon",
        name: "neon api",
        header: ("authorization", "Bearer "),
        more: &[],
        makes: Some(Making { action: "create", overlaps: true, value: "/key", id: "/id" }),
        ends: Some(Ending { id: "key_id" }),
    },
    Contract {
        service: "anthropic",
        name: "anthropic api",
        header: ("x-api-key", ""),
        more: &[("anthropic-version", "2023-06-01")],
        makes: None,
        ends: Some(Ending { id: "api_key_id" }),
    },
    Contract {
        service: "elevenlabs",
        name: "elevenlabs api",
        header: ("xi-api-key", ""),
        more: &[],
        makes: None,
        ends: Some(Ending { id: "api_key_id" }),
    },
];

pub struct Http {
    contract: &'static Contract,
    service: Arc<Service>,
    wire: Arc<Wire>,
    settings: Arc<Rotation>,
    clock: Arc<dyn Clock>,
}

impl Http {
    /// Nothing for a service that the catalogue is not sure of, or whose answers are not known.
    pub fn new(
        service: Arc<Service>,
        wire: Arc<Wire>,
        settings: Arc<Rotation>,
        clock: Arc<dyn Clock>,
    ) -> Option<Self> {
        let contract = CONTRACTS.iter().find(|contract| contract.service == service.id)?;
        let is_sure = service.group_confidence.rotation_api == Some(Confidence::High);
        is_sure.then_some(Self { contract, service, wire, settings, clock })
    }

    /// Sends the catalogue's `action` with this key. Nothing where its answer is lost; fails where it was surely not done.
    async fn send(
        &self,
        action: &str,
        params: &BTreeMap<String, String>,
        key: &Zeroizing<String>,
        more: Option<Value>,
    ) -> Result<Option<Answered>> {
        let call = self.service.rotation.api.get(action);
        let (Some(call), Some(template)) = (call, call.and_then(|call| call.url.as_deref())) else {
            return Err(internal("the catalogue has no such address"));
        };
        let address = self.service.fill(template, params)?;
        let url = Url::parse(&address).map_err(|_| invalid("its address cannot be used"))?;
        let (name, before) = self.contract.header;
        let mut headers = vec![(name, Zeroizing::new(format!("{before}{}", key.as_str())))];
        headers.extend(
            self.contract.more.iter().map(|(name, text)| (*name, Zeroizing::new((*text).to_owned()))),
        );
        let body = more.or_else(|| call.body.clone().map(Value::Object)).unwrap_or_else(|| json!({}));
        let body = Zeroizing::new(body.to_string().into_bytes());
        let ask = match call.method {
            Some(Method::Post) => Ask::post(url, headers, "application/json", body),
            Some(Method::Delete) => Ask::delete(url, headers, "application/json", body),
            _ => return Err(internal("the catalogue names another method")),
        };
        match self.wire.send(ask, self.clock.now()).await {
            Ok(answered) => Ok(Some(answered)),
            Err(failure) if failure.is_unsent => Err(Error::new(
                Code::Unreachable,
                format!("{} could not be reached: {}", self.service.name, failure.why),
            )),
            Err(_) => Ok(None),
        }
    }

    /// The configuration's parameters, and plain fields under their own names.
    fn params(&self, credential: &Credential, fields: &Fields) -> BTreeMap<String, String> {
        let said = self.settings.credential.get(credential.id.as_str());
        let mut params = said.map(|said| said.params.clone()).unwrap_or_default();
        for spec in credential.field_specs().into_iter().filter(|spec| !spec.secret) {
            if let Some((_, value)) = fields.iter().find(|(name, _)| *name == spec.name)
                && let Some(text) = value.expose(|bytes| std::str::from_utf8(bytes).map(str::to_owned).ok())
            {
                params.insert(spec.name.to_ascii_lowercase(), text);
            }
        }
        params
    }

    /// What is sent for a new one: a name, or an end after the next rotation is due.
    fn wish(&self, credential: &Credential) -> Value {
        let rotation = &self.service.rotation;
        let due = credential.rotation_days.unwrap_or(i64::from(rotation.recommended_interval_days));
        let most = rotation.expiry_max_days.map_or(i64::MAX, i64::from);
        let day = |days: i64| {
            let at = jiff::Timestamp::from_millisecond(self.clock.now().0.saturating_add(days * DAY_MS));
            at.map(|at| at.strftime("%Y-%m-%d").to_string()).unwrap_or_default()
        };
        match self.contract.service {
            // Without one it lives a week.
            "gitlab" => json!({ "expires_at": day((due + 30).clamp(1, most)) }),
            _ => json!({ "key_name": format!("unsaid {}", day(0)) }),
        }
    }

    async fn make(&self, call: &Call<'_>) -> Result<Created> {
        let making = self.contract.makes.as_ref().ok_or_else(|| internal("it makes nothing"))?;
        let field = key_field(call.credential)?;
        let params = self.params(call.credential, call.old);
        let wish = self.wish(call.credential);
        let sent = self.send(making.action, &params, &text(call.old, &field)?, Some(wish)).await?;
        let Some(answered) = sent else { return Ok(Created::Unsure) };
        match answered.status {
            200..=299 => {}
            status @ (400..=407 | 409..=499) => {
                return Err(Error::new(
                    Code::Unreachable,
                    format!("{} made none: status {status}", self.service.name),
                ));
            }
            _ => return Ok(Created::Unsure),
        }
        let Ok(mut body) = serde_json::from_slice::<Value>(&answered.body) else {
            return Ok(Created::Unsure);
        };
        let id = body.pointer(making.id).map(|id| id.as_str().map_or(id.to_string(), str::to_owned));
        let Some(Value::String(value)) = body.pointer_mut(making.value) else { return Ok(Created::Unsure) };
        let new = SecretBytes::copied(value.as_bytes());
        value.zeroize();
        let is_id = |name: &str| {
            self.contract.ends.as_ref().is_some_and(|ending| name.eq_ignore_ascii_case(ending.id))
        };
        let fields = call.old.iter().map(|(name, old)| {
            let kept = || old.expose(SecretBytes::copied);
            let value = match &id {
                _ if *name == field => new.expose(SecretBytes::copied),
                Some(id) if is_id(name) => SecretBytes::copied(id.as_bytes()),
                _ => kept(),
            };
            (name.clone(), value)
        });
        Ok(Created::Made(Made { fields: fields.collect() }))
    }

    async fn end(&self, call: &Call<'_>) -> Result<Ended> {
        let ending = self.contract.ends.as_ref().ok_or_else(|| internal("it ends nothing"))?;
        let params = self.params(call.credential, call.old);
        let new = call.new.ok_or_else(|| internal("there is no new value in use"))?;
        let id = params.get(ending.id).filter(|id| !id.is_empty()).ok_or_else(|| {
            invalid(format!("which key of {} is to end is not known", self.service.name))
                .next("Keep the id of the key as a plain field beside it, or end it on the service's page.")
        })?;
        if self.params(call.credential, new).get(ending.id) == Some(id) {
            return Err(invalid("the old value and the new one have the same id: nothing was ended"));
        }
        let key = match call.admin {
            Some((credential, fields)) => text(fields, &key_field(credential)?)?,
            None => text(new, &key_field(call.credential)?)?,
        };
        let answered = self.send("revoke", &params, &key, None).await?;
        Ok(match answered.map(|answered| answered.status) {
            Some(200..=299) => Ended::Confirmed,
            // It may be gone for long.
            Some(404 | 408 | 410) | None => Ended::Unsure,
            Some(400..=499) => Ended::Refused,
            Some(_) => Ended::Unsure,
        })
    }
}

/// The field that is the key itself: the one secret.
fn key_field(credential: &Credential) -> Result<String> {
    let specs = credential.field_specs();
    let mut secret = specs.iter().filter(|spec| spec.secret);
    match (secret.next(), secret.next()) {
        (Some(field), None) => Ok(field.name.clone()),
        _ => Err(invalid(format!("which field of {} is the key is not clear", credential.label()))
            .next("Keep the others as plain fields.")),
    }
}

fn text(fields: &Fields, name: &str) -> Result<Zeroizing<String>> {
    let value = fields.iter().find(|(field, _)| field == name).map(|(_, value)| value);
    value
        .and_then(|value| {
            value.expose(|bytes| std::str::from_utf8(bytes).map(|t| Zeroizing::new(t.to_owned())).ok())
        })
        .ok_or_else(|| invalid(format!("its field {name} has no text")))
}

impl Driver for Http {
    fn name(&self) -> &'static str {
        self.contract.name
    }
    fn makes(&self) -> Makes {
        if self.contract.makes.is_some() { Makes::Service } else { Makes::Nobody }
    }
    fn revokes(&self) -> bool {
        self.contract.ends.is_some()
    }
    fn drives(&self, credential: &Credential) -> bool {
        key_field(credential).is_ok()
    }
    fn overlaps(&self, _: &Credential) -> Option<bool> {
        self.contract.makes.as_ref().map(|making| making.overlaps)
    }
    fn admin(&self, credential: &Credential) -> Option<CredentialId> {
        let said = self.settings.credential.get(credential.id.as_str())?;
        said.admin.as_deref().map(CredentialId::from)
    }
    fn is_tried_live(&self, _: &Credential) -> bool {
        false
    }

    fn create<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, Result<Created>> {
        Box::pin(async move { self.make(&call).await })
    }
    fn invent(&self, _: Call<'_>) -> Result<Made> {
        Err(internal("the service makes the value"))
    }
    fn set<'a>(&'a self, _: Call<'a>) -> BoxFuture<'a, Result<Ended>> {
        Box::pin(async { Err(internal("the service takes no value of ours")) })
    }
    fn test<'a>(&'a self, _: &'a Credential, _: &'a Fields) -> BoxFuture<'a, Result<Tested>> {
        Box::pin(async { Err(internal("it is tested by the catalogue's request")) })
    }
    fn revoke<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, Result<Ended>> {
        Box::pin(async move { self.end(&call).await })
    }
}
