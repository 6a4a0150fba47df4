//! What a wrap puts into the vault: names for credentials that are free there, and the values under them.
use super::output::{at, items};
use super::place::Place;
use crate::error::{Result, internal};
use crate::model::Word as _;
use crate::model::consumer::{BindingSource, Delivery};
use crate::model::credential::Scope;
use crate::model::name::CredentialName;
use crate::model::text::shown;
use crate::ops::consumer::{GivenBinding, RegisterConsumer};
use crate::ops::credential::create::CreateCredential;
use crate::ops::credential::value::{Entry, Target};
use crate::secret::{Secret, SecretBytes};
use crate::wrap::{ConsumerRemote, FoundValue};
use serde_json::{Value, json};

/// One credential that a value becomes.
pub struct Move<'a> {
    pub name: String,
    pub value: &'a Secret,
    pub service: Option<String>,
}

/// What is there already.
pub struct Taken {
    /// Names of consumers anywhere.
    pub consumers: Vec<String>,
    /// Names of credentials in that place.
    pub credentials: Vec<String>,
    /// Those of other places.
    others: Vec<Other>,
}

/// A credential of another place, which a new one may have the name of.
struct Other {
    name: String,
    scope: Scope,
    /// A team's name.
    owner: String,
}

impl Taken {
    /// What is there of the name of a new credential of `scope`, a line each: which comes first is how names resolve.
    pub fn beside(&self, name: &str, scope: Scope) -> impl Iterator<Item = String> {
        self.others.iter().filter(move |other| other.name.eq_ignore_ascii_case(name)).map(move |other| {
            let whose = match other.scope {
                Scope::Personal => "your own".to_owned(),
                Scope::Team => format!("the one of the team {}", shown(&other.owner)),
                Scope::Org => "the one of the org".to_owned(),
            };
            match other.scope > scope {
                true => format!("{name} comes before {whose}, wherever either would do"),
                false => format!("{name} comes behind {whose}, except in these servers"),
            }
        })
    }
}

pub async fn taken(session: &super::Session, place: &Place) -> Result<Taken> {
    // Of every place: a client starts its server by the bare name.
    let consumers = all(session, "list_consumers", "/consumers", json!({})).await?;
    let consumers = consumers.iter().map(|row| at(row, "/name")).collect();
    let (mut credentials, mut others) = (Vec::new(), Vec::new());
    for row in all(session, "list_credentials", "/credentials", json!({ "limit": 100 })).await? {
        let name = at(&row, "/name");
        match Scope::parse(&at(&row, "/scope")) {
            Some(scope) if scope != place.scope => {
                others.push(Other { name, scope, owner: at(&row, "/owner") });
            }
            _ => credentials.push(name),
        }
    }
    Ok(Taken { consumers, credentials, others })
}

/// The rows of all pages of a list.
async fn all(session: &super::Session, operation: &str, list: &str, mut asked: Value) -> Result<Vec<Value>> {
    let mut rows = Vec::new();
    loop {
        let page = session.call(operation, asked.clone()).await?;
        rows.extend(items(&page, list).iter().cloned());
        asked["cursor"] = page["next_cursor"].clone();
        if asked["cursor"].is_null() {
            return Ok(rows);
        }
    }
}

/// Which credentials a remote server is sent, and where that is; nothing for one that is started here.
pub fn sends(input: &RegisterConsumer) -> Option<String> {
    let url = url::Url::parse(input.url.as_deref()?).ok()?;
    let is_secret = |b: &&GivenBinding| b.source != Some(BindingSource::Static);
    let bindings = input.bindings.iter().flatten().filter(is_secret);
    let names: Vec<_> = bindings.map(|b| b.credential.as_ref().unwrap_or(&b.variable).as_str()).collect();
    Some(format!(
        "{} sends {} to {}",
        input.name,
        names.join(", "),
        &url[url::Position::BeforeHost..url::Position::AfterPort]
    ))
}

/// `name`, or it with a number, whichever is free.
pub fn free(name: &str, is_taken: impl Fn(&str) -> bool) -> String {
    let numbered = (2..).map(|n| format!("{name}-{n}"));
    std::iter::once(name.to_owned()).chain(numbered).find(|name| !is_taken(name)).unwrap_or_default()
}

/// The credential for `value`: one that holds the same already, else a new one under a name that is free.
pub fn name_for<'a>(
    asked: &str,
    value: &'a FoundValue,
    consumer: &str,
    moves: &mut Vec<Move<'a>>,
    taken: &Taken,
) -> Result<String> {
    if let Some(same) = moves.iter().find(|one| one.name.starts_with(asked) && one.value == &value.value) {
        return Ok(same.name.clone());
    }
    let is_taken = |name: &str| {
        taken.credentials.iter().any(|other| other.eq_ignore_ascii_case(name))
            || moves.iter().any(|one| one.name.eq_ignore_ascii_case(name))
    };
    let own = consumer.to_ascii_uppercase().replace(|c: char| !c.is_ascii_alphanumeric(), "_");
    let candidates = [asked.to_owned(), format!("{asked}_{own}")];
    let numbered = (2..100).map(|n| format!("{asked}_{n}"));
    let name = candidates
        .into_iter()
        .chain(numbered)
        .find(|name| !is_taken(name))
        .ok_or_else(|| internal("no name is free for a value"))?;
    let name = CredentialName::parse(&name)?.to_string();
    moves.push(Move { name: name.clone(), value: &value.value, service: value.service.clone() });
    Ok(name)
}

pub fn entry(one: &Move<'_>, place: &Place) -> Entry {
    let create = CreateCredential {
        name: one.name.clone(),
        scope: Some(place.scope),
        team: place.team.clone(),
        service: one.service.clone(),
        ..CreateCredential::default()
    };
    let value = one.value.expose(|text| SecretBytes::copied(text.as_bytes()));
    Entry {
        target: Target::New(Box::new(create)),
        values: vec![("value".to_owned(), value)],
        file_name: String::new(),
    }
}

/// The headers without a secret, which are sent as well.
pub fn plain_headers(remote: &ConsumerRemote) -> impl Iterator<Item = GivenBinding> + '_ {
    let is_plain = |(_, line): &&(String, String)| !line.contains("{value}");
    remote.headers.iter().filter(is_plain).map(|(variable, line)| GivenBinding {
        variable: variable.clone(),
        source: Some(BindingSource::Static),
        delivery: Some(Delivery::Header),
        text: Some(line.clone()),
        ..GivenBinding::default()
    })
}
