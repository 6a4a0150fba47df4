//! What could be meant: names of credentials, services and teams, for the arguments of prompts and templates.
//!
//! Everything comes from the caller's own lists, so nothing is offered that they may not know of. A completion
//! never fails for want of an answer: it is then empty.
use super::door::Door;
use super::prompts;
use crate::model::Word;
use crate::model::credential::Scope;
use rmcp::RoleServer;
use rmcp::model::{CompleteRequestParams, CompleteResult, CompletionInfo, ErrorData, Reference};
use rmcp::service::RequestContext;
use serde_json::{Value, json};
use std::collections::HashMap;

/// How many pages of a list are looked through for one completion.
const MOST_PAGES: usize = 4;

/// What an argument names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Names {
    Credential,
    Consumer,
    Rotation,
    Service,
    Team,
    Scope,
    User,
}

/// A value to offer, and the name under which somebody would look for it.
struct Offer {
    value: String,
    name: String,
}

impl From<&str> for Offer {
    fn from(name: &str) -> Self {
        Self { value: name.to_owned(), name: name.to_lowercase() }
    }
}

/// Up to a hundred values that contain what was typed; those that begin with it come first.
///
/// Fails for a prompt or template that does not exist, and for an argument that it does not have.
pub(super) async fn complete(
    door: &Door,
    request: &CompleteRequestParams,
    cx: &RequestContext<RoleServer>,
) -> Result<CompleteResult, ErrorData> {
    let argument = request.argument.name.as_str();
    let names = match &request.r#ref {
        Reference::Prompt(prompt) => prompts::argument(&prompt.name, argument),
        Reference::Resource(template) => variable(&template.uri, argument),
        _ => None,
    };
    let Some(names) = names else {
        let message = "there is no such prompt or template, or it has no such argument";
        return Err(ErrorData::invalid_params(message, None));
    };
    let typed = request.argument.value.trim();
    let mut offers = match names {
        Names::Credential => credentials(door, typed, cx).await,
        Names::Consumer => consumers(door, cx).await,
        Names::Rotation => rotations(door, cx).await,
        Names::Service => services(door, cx).await,
        Names::Team => teams(door, cx).await,
        // Who there is is told to people only.
        Names::User => Vec::new(),
        Names::Scope => Scope::WORDS.iter().map(|(word, _)| Offer::from(*word)).collect(),
    };
    let typed = typed.to_lowercase();
    offers.retain(|offer| offer.name.contains(&typed));
    offers.sort_by(|a, b| {
        let rank = |o: &Offer| !o.name.starts_with(&typed);
        (rank(a), &a.name, &a.value).cmp(&(rank(b), &b.name, &b.value))
    });
    let has_more = offers.len() > CompletionInfo::MAX_VALUES;
    let values = offers.into_iter().take(CompletionInfo::MAX_VALUES).map(|offer| offer.value).collect();
    CompletionInfo::with_pagination(values, None, has_more)
        .map(CompleteResult::new)
        .map_err(|_| ErrorData::internal_error("too many completions", None))
}

fn variable(template: &str, argument: &str) -> Option<Names> {
    match (template, argument) {
        ("unsaid://credentials/{id}", "id") => Some(Names::Credential),
        ("unsaid://consumers/{id}", "id") => Some(Names::Consumer),
        ("unsaid://rotations/{id}", "id") => Some(Names::Rotation),
        ("unsaid://services/{id}" | "unsaid://services/{id}/rotation-guide", "id") => Some(Names::Service),
        _ => None,
    }
}

/// Names, and ids where a name would be ambiguous.
async fn credentials(door: &Door, typed: &str, cx: &RequestContext<RoleServer>) -> Vec<Offer> {
    let filter = match typed {
        "" => json!({ "limit": 100 }),
        typed => json!({ "limit": 100, "text": typed }),
    };
    let rows = rows(door, "list_credentials", "credentials", filter, cx).await;
    let mut times: HashMap<&str, usize> = HashMap::new();
    for name in rows.iter().filter_map(|row| text(row, "name")) {
        *times.entry(name).or_default() += 1;
    }
    let offer = |row: &Value| {
        let name = text(row, "name")?;
        match times.get(name) {
            Some(1) => Some(Offer::from(name)),
            _ => Some(Offer { value: text(row, "id")?.to_owned(), name: name.to_lowercase() }),
        }
    };
    rows.iter().filter_map(offer).collect()
}

async fn consumers(door: &Door, cx: &RequestContext<RoleServer>) -> Vec<Offer> {
    let rows = rows(door, "list_consumers", "consumers", json!({ "limit": 50 }), cx).await;
    let offer = |row: &Value| {
        let name = text(row, "name")?;
        let is_alone = rows.iter().filter(|other| text(other, "name") == Some(name)).count() == 1;
        let value = if is_alone { name } else { text(row, "id")? };
        Some(Offer { value: value.to_owned(), name: name.to_lowercase() })
    };
    rows.iter().filter_map(offer).collect()
}

/// Ids, found by the name of what is rotated too; those under way alone.
async fn rotations(door: &Door, cx: &RequestContext<RoleServer>) -> Vec<Offer> {
    let rows = rows(door, "list_rotations", "rotations", json!({ "limit": 50, "open": true }), cx).await;
    let offer = |row: &Value| {
        let (id, name) = (text(row, "id")?, text(row, "credential")?);
        Some(Offer { value: id.to_owned(), name: format!("{id} {name}").to_lowercase() })
    };
    rows.iter().filter_map(offer).collect()
}

async fn services(door: &Door, cx: &RequestContext<RoleServer>) -> Vec<Offer> {
    let rows = rows(door, "list_services", "services", json!({ "limit": 150 }), cx).await;
    rows.iter().filter_map(|row| text(row, "id")).map(Offer::from).collect()
}

async fn teams(door: &Door, cx: &RequestContext<RoleServer>) -> Vec<Offer> {
    let rows = rows(door, "whoami", "teams", json!({}), cx).await;
    rows.iter().filter_map(|row| text(row, "name")).map(Offer::from).collect()
}

/// The rows of a list, from as many pages as it takes to have enough to offer.
async fn rows(
    door: &Door,
    operation: &str,
    field: &str,
    mut arguments: Value,
    cx: &RequestContext<RoleServer>,
) -> Vec<Value> {
    let mut rows = Vec::new();
    for _ in 0..MOST_PAGES {
        let Ok(mut page) = door.read(operation, arguments.clone(), cx).await else { break };
        if let Some(Value::Array(more)) = page.get_mut(field).map(Value::take) {
            rows.extend(more);
        }
        match page.get_mut("next_cursor").map(Value::take) {
            Some(Value::String(cursor)) if rows.len() <= CompletionInfo::MAX_VALUES => {
                arguments["cursor"] = Value::String(cursor);
            }
            _ => break,
        }
    }
    rows
}

fn text<'a>(row: &'a Value, field: &str) -> Option<&'a str> {
    row.get(field)?.as_str()
}
