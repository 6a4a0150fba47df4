//! Services whose own interface makes or ends values: the catalogue's addresses, and what their documentation says of the answers.
//!
//! Only where the catalogue is sure of the addresses, and only where the configuration names the service. None of it was tried on the
//! real services. A request is sent once: where its answer is lost, so may be the value in it, and that is told.
use super::super::driver::{Call, Created, Driver, Ended, Fields, Made, Makes, Tested};
use super::sibling;
use crate::clock::{Clock, DAY_MS};
use crate::config::Rotation;
use crate::error::{Code, Error, Result, internal, invalid};
use crate::ids::CredentialId;
use crate::model::credential::Credential;
use crate::model::rotation::Finding;
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
    /// The header that has the key, and what stands before it there; none where the service wants to know of nobody.
    header: Option<(&'static str, &'static str)>,
    more: &'static [(&'static str, &'static str)],
    /// The parameter that says where the server is: of the configuration alone, for whoever enters a value must not choose where
    /// an administrator's key is sent. None where the catalogue has the whole address, or only the key itself is sent.
    place: Option<&'static str>,
    makes: Option<Making>,
    ends: Option<Ending>,
}

struct Making {
    /// Which address of the catalogue.
    action: &'static str,
    /// The old one works on.
    overlaps: bool,
    /// Where the answer has the value (RFC 6901).
    value: &'static str,
    /// Where it has its id, and the plain field that keeps it.
    id: Option<(&'static str, &'static str)>,
    /// Which address of the catalogue tells what the old one may do, where the new one is made like it by an administrator.
    like: Option<&'static str>,
}

#[derive(Clone, Copy)]
enum Ending {
    /// By an address with its id: the parameter there, and the plain field, that has the id of the old one.
    ById(&'static str),
    /// By the old one itself, which takes with it whatever was made with its rights.
    Itself,
    /// By whoever has it: the old one is in the body, where the catalogue has `{token}` or `{old_token}`. A header has the new one.
    /// Only what begins like a key that this address takes is sent there: never a private key that is kept for the service too.
    ByValue(&'static [&'static str]),
}

const CONTRACTS: [Contract; 7] = [
    Contract {
        service: "gitlab",
        name: "gitlab api",
        header: Some(("private-token", "")),
        more: &[],
        place: None,
        // The old one dies with it. Asked again by the old one, the service ends the whole family.
        makes: Some(Making { action: "rotate", overlaps: false, value: "/token", id: None, like: None }),
        ends: None,
    },
    Contract {
        service: "neon",
        name: "neon api",
        header: Some(("authorization", "Bearer ")),
        more: &[],
        place: None,
        makes: Some(Making {
            action: "create",
            overlaps: true,
            value: "/key",
            id: Some(("/id", "key_id")),
            like: None,
        }),
        ends: Some(Ending::ById("key_id")),
    },
    Contract {
        service: "anthropic",
        name: "anthropic api",
        header: Some(("x-api-key", "")),
        more: &[("anthropic-version", "2023-06-01")],
        place: None,
        makes: None,
        ends: Some(Ending::ById("api_key_id")),
    },
    Contract {
        service: "elevenlabs",
        name: "elevenlabs api",
        header: Some(("xi-api-key", "")),
        more: &[],
        place: None,
        makes: None,
        ends: Some(Ending::ById("api_key_id")),
    },
    Contract {
        service: "vault",
        name: "vault api",
        header: Some(("x-vault-token", "")),
        more: &[],
        place: Some("vault_host"),
        // An orphan: the child of another would have that one's identity, and end with it.
        makes: Some(Making {
            action: "create_orphan",
            overlaps: true,
            value: "/auth/client_token",
            id: Some(("/auth/accessor", "accessor")),
            like: Some("lookup"),
        }),
        ends: Some(Ending::Itself),
    },
    Contract {
        service: "perplexity",
        name: "perplexity api",
        header: Some(("authorization", "Bearer ")),
        more: &[],
        place: None,
        makes: Some(Making { action: "create", overlaps: true, value: "/auth_token", id: None, like: None }),
        ends: Some(Ending::ByValue(&["pplx-"])),
    },
    Contract {
        service: "github",
        name: "github api",
        // With somebody's authorization it refuses.
        header: None,
        more: &[],
        place: None,
        makes: None,
        ends: Some(Ending::ByValue(&["ghp_", "github_pat_", "gho_", "ghu_", "ghr_"])),
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
        ended: Option<&Zeroizing<String>>,
    ) -> Result<Option<Answered>> {
        let call = self.service.rotation.api.get(action);
        let (Some(call), Some(template)) = (call, call.and_then(|call| call.url.as_deref())) else {
            return Err(internal("the catalogue has no such address"));
        };
        if let Some(place) = self.contract.place.filter(|place| !params.contains_key(*place)) {
            return Err(invalid(format!("where this {} is, is not known", self.service.name))
                .next(format!("Write {place} into the `params` of the credential in unsaid.toml.")));
        }
        let address = self.service.fill(template, params)?;
        let url = Url::parse(&address).map_err(|_| invalid("its address cannot be used"))?;
        let authorization = self.contract.header;
        let authorization =
            authorization.map(|(name, before)| (name, Zeroizing::new(format!("{before}{}", key.as_str()))));
        let more_headers = self.contract.more.iter();
        let more_headers = more_headers.map(|(name, text)| (*name, Zeroizing::new((*text).to_owned())));
        let headers = authorization.into_iter().chain(more_headers).collect();
        let body = more.or_else(|| call.body.clone().map(Value::Object)).unwrap_or_else(|| json!({}));
        let body = match ended {
            Some(ended) => with_value(&body.to_string(), ended)?,
            None => Zeroizing::new(body.to_string().into_bytes()),
        };
        let ask = match call.method {
            Some(Method::Get) => Ask::get(url, headers),
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

    /// The configuration's parameters, and plain fields under their own names where the server is not for them to say.
    fn params(&self, credential: &Credential, fields: &Fields) -> BTreeMap<String, String> {
        let said = self.settings.credential.get(credential.id.as_str());
        let mut params = said.map(|said| said.params.clone()).unwrap_or_default();
        if self.contract.place.is_some() {
            return params;
        }
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
            "perplexity" => json!({ "token_name": format!("unsaid {}", day(0)) }),
            _ => json!({ "key_name": format!("unsaid {}", day(0)) }),
        }
    }

    async fn make(&self, call: &Call<'_>) -> Result<Created> {
        let making = self.contract.makes.as_ref().ok_or_else(|| internal("it makes nothing"))?;
        let field = key_field(call.credential)?;
        let params = self.params(call.credential, call.old);
        let old = text(call.old, &field)?;
        let (key, wish) = match making.like {
            None => (old, self.wish(call.credential)),
            Some(look) => {
                let admin = call.admin.ok_or_else(|| {
                    invalid(format!("a new value of {} is made by an administrator", self.service.name)).next(
                        "Name its credential as `admin` in unsaid.toml, or make the new value yourself.",
                    )
                })?;
                let key = text(admin.1, &key_field(admin.0)?)?;
                let wish = self.look(look, &params, &old).await?.wish().map_err(|why| {
                    invalid(format!("{} made none: {why}", self.service.name))
                        .next("Make a new one there yourself, and have it entered.")
                })?;
                (key, wish)
            }
        };
        let sent = self.send(making.action, &params, &key, Some(wish), None).await?;
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
        let id = making.id.and_then(|(at, _)| body.pointer(at));
        let id = id.map(|id| id.as_str().map_or(id.to_string(), str::to_owned));
        let Some(Value::String(value)) = body.pointer_mut(making.value) else { return Ok(Created::Unsure) };
        let new = SecretBytes::copied(value.as_bytes());
        value.zeroize();
        let is_id = |name: &str| making.id.is_some_and(|(_, field)| name.eq_ignore_ascii_case(field));
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

    /// What the service says of `key` itself. Fails where it does not say it: nothing was done then.
    async fn look(
        &self,
        action: &str,
        params: &BTreeMap<String, String>,
        key: &Zeroizing<String>,
    ) -> Result<sibling::Seen> {
        let failed = |why: String| {
            Error::new(
                Code::Unreachable,
                format!("{} does not tell what a value may do: {why}", self.service.name),
            )
        };
        let answered = self.send(action, params, key, None, None).await?;
        let answered = answered.ok_or_else(|| failed("its answer is lost".into()))?;
        match answered.status {
            200 => sibling::read(&answered.body).ok_or_else(|| failed("its answer is another one".into())),
            status => Err(failed(format!("status {status}"))),
        }
    }

    async fn end(&self, call: &Call<'_>) -> Result<Ended> {
        let ending = self.contract.ends.ok_or_else(|| internal("it ends nothing"))?;
        let params = self.params(call.credential, call.old);
        let new = call.new.ok_or_else(|| internal("there is no new value in use"))?;
        let key = match ending {
            Ending::ById(id) => self.key_for(call, new, &params, id)?,
            Ending::Itself => self.expect_apart(call, new, &params).await?,
            Ending::ByValue(_) => text(new, &key_field(call.credential)?)?,
        };
        let ended = match ending {
            Ending::ByValue(begins) => {
                let (old, _) = two_values(call, new)?;
                if !begins.iter().any(|begin| old.starts_with(begin)) {
                    return Err(invalid(format!(
                        "the old value is no key that {} ends by its value: it was not sent there",
                        self.service.name
                    ))
                    .next("End it on the service's page."));
                }
                Some(Zeroizing::new(old.trim().to_owned()))
            }
            _ => None,
        };
        let answered = self.send("revoke", &params, &key, None, ended.as_ref()).await?;
        Ok(match (answered.map(|answered| answered.status), ending) {
            // It is taken up, whatever it was: a test tells when it is dead.
            (Some(202), _) => Ended::Unsure,
            (Some(200..=299), _) => Ended::Confirmed,
            // It may be gone for long.
            (Some(404 | 408 | 410) | None, _) => Ended::Unsure,
            // Of one that is gone, and of one that may not end itself, the same is said.
            (Some(401 | 403), Ending::Itself) => Ended::Unsure,
            (Some(400..=499), _) => Ended::Refused,
            (Some(_), _) => Ended::Unsure,
        })
    }

    /// The key that ends the old one by its id, which the new one must not have too.
    fn key_for(
        &self,
        call: &Call<'_>,
        new: &Fields,
        params: &BTreeMap<String, String>,
        id_field: &str,
    ) -> Result<Zeroizing<String>> {
        let id = params.get(id_field).filter(|id| !id.is_empty()).ok_or_else(|| {
            invalid(format!("which key of {} is to end is not known", self.service.name))
                .next("Keep the id of the key as a plain field beside it, or end it on the service's page.")
        })?;
        if self.params(call.credential, new).get(id_field) == Some(id) {
            return Err(invalid("the old value and the new one have the same id: nothing was ended"));
        }
        match call.admin {
            Some((credential, fields)) => text(fields, &key_field(credential)?),
            None => text(new, &key_field(call.credential)?),
        }
    }

    /// The old one, where its end is surely not the end of the new one too.
    async fn expect_apart(
        &self,
        call: &Call<'_>,
        new: &Fields,
        params: &BTreeMap<String, String>,
    ) -> Result<Zeroizing<String>> {
        let (old, new) = two_values(call, new)?;
        let look = self.looks().ok_or_else(|| internal("nothing tells what a value may do"))?;
        match self.look(look, params, &new).await?.is_orphan() {
            true => Ok(old),
            false => Err(invalid(
                "the new one was made with the rights of another, perhaps of the old one, and would end with that: nothing was \
                 ended",
            )
            .next("Look at the service whose child it is, and end the old one there.")),
        }
    }

    /// Which address of the catalogue tells about a value, where the answer is known.
    fn looks(&self) -> Option<&'static str> {
        self.contract.makes.as_ref().and_then(|making| making.like)
    }

    /// Asks about one value. Whatever is neither yes nor no could not be checked.
    async fn ask(&self, action: &str, credential: &Credential, fields: &Fields) -> Result<Tested> {
        let key = text(fields, &key_field(credential)?)?;
        let answered = self.send(action, &self.params(credential, fields), &key, None, None).await?;
        let (finding, seen) = match answered {
            Some(answered) if answered.status == 200 => match sibling::read(&answered.body) {
                Some(seen) => (Finding::Valid, Some(seen)),
                None => (Finding::CouldNotCheck, None),
            },
            Some(answered) if answered.status == 403 => (Finding::Refused, None),
            _ => (Finding::CouldNotCheck, None),
        };
        let (account, scopes) = seen.map(sibling::Seen::shown).unwrap_or_default();
        Ok(Tested { finding, account, scopes })
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

/// The old value and the new one, which are two: to end one must not be to end the other.
fn two_values(call: &Call<'_>, new: &Fields) -> Result<(Zeroizing<String>, Zeroizing<String>)> {
    let field = key_field(call.credential)?;
    let (old, new) = (text(call.old, &field)?, text(new, &field)?);
    // Servers take no notice of blanks around a key.
    match old.trim() == new.trim() {
        false => Ok((old, new)),
        true => Err(invalid("the old value and the new one are the same: nothing was ended")),
    }
}

/// The catalogue's body with the value in the place that is kept for it.
fn with_value(body: &str, value: &Zeroizing<String>) -> Result<Zeroizing<Vec<u8>>> {
    let place = ["\"{old_token}\"", "\"{token}\""].into_iter().find_map(|place| body.split_once(place));
    let (before, after) = place.ok_or_else(|| internal("the catalogue has no place for the value"))?;
    let json = serde_json::to_string(value.as_str()).map(Zeroizing::new);
    let json = json.map_err(|e| internal("a value is no JSON").because(e))?;
    // Room for all of it: a text that grows leaves copies.
    let mut all = Zeroizing::new(Vec::with_capacity(before.len() + json.len() + after.len()));
    [before, json.as_str(), after].iter().for_each(|part| all.extend_from_slice(part.as_bytes()));
    Ok(all)
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
    fn tests(&self) -> bool {
        self.looks().is_some()
    }
    fn drives(&self, credential: &Credential) -> bool {
        let said = self.settings.credential.get(credential.id.as_str());
        let is_placed = self.contract.place.is_none_or(|place| {
            said.is_some_and(|said| said.admin.is_some() && said.params.contains_key(place))
        });
        is_placed && key_field(credential).is_ok()
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
    fn test<'a>(&'a self, credential: &'a Credential, fields: &'a Fields) -> BoxFuture<'a, Result<Tested>> {
        Box::pin(async move {
            let looks = self.looks().ok_or_else(|| internal("it is tested by the catalogue's request"))?;
            self.ask(looks, credential, fields).await
        })
    }
    fn revoke<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, Result<Ended>> {
        Box::pin(async move { self.end(&call).await })
    }
}
