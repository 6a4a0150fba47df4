//! What a wrap puts into the vault: names for credentials that are free there, and the values under them.
use super::output::{at, items};
use super::place::Place;
use crate::error::{Result, internal};
use crate::model::consumer::{BindingSource, Delivery};
use crate::model::name::CredentialName;
use crate::ops::consumer::GivenBinding;
use crate::ops::credential::create::CreateCredential;
use crate::ops::credential::value::{Entry, Target};
use crate::secret::{Secret, SecretBytes};
use crate::wrap::{ConsumerRemote, FoundValue};
use serde_json::json;

/// One credential that a value becomes.
pub struct Move<'a> {
    pub name: String,
    pub value: &'a Secret,
    pub service: Option<String>,
}

/// What is there already.
pub struct Taken {
    pub consumers: Vec<String>,
    /// Names of credentials in that place.
    pub credentials: Vec<String>,
}

pub async fn taken(session: &super::Session, place: &Place) -> Result<Taken> {
    let (mut consumers, mut credentials) = (Vec::new(), Vec::new());
    for (operation, list, into) in [
        ("list_consumers", "/consumers", &mut consumers),
        ("list_credentials", "/credentials", &mut credentials),
    ] {
        let mut cursor = serde_json::Value::Null;
        loop {
            let asked = json!({ "scope": place.scope, "cursor": cursor });
            let page = session.call(operation, asked).await?;
            let rows = items(&page, list);
            into.extend(rows.iter().map(|row| at(row, "/name")));
            cursor = page["next_cursor"].clone();
            if cursor.is_null() {
                break;
            }
        }
    }
    Ok(Taken { consumers, credentials })
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
