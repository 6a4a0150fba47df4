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

/// What an argument names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Names {
    Credential,
    Service,
    Team,
    Scope,
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
        return Err(ErrorData::invalid_params(
            "there is no such prompt or template, or it has no such argument",
            None,
        ));
    };
    let typed = request.argument.value.trim();
    let mut found = match names {
        Names::Credential => credentials(door, typed, cx).await,
        Names::Service => services(door, cx).await,
        Names::Team => teams(door, cx).await,
        Names::Scope => Scope::WORDS.iter().map(|(word, _)| (*word).to_owned()).collect(),
    };
    let typed = typed.to_lowercase();
    found.retain(|name| name.to_lowercase().contains(&typed));
    found.sort_by_key(|name| (!name.to_lowercase().starts_with(&typed), name.clone()));
    found.dedup();
    let total = found.len();
    found.truncate(CompletionInfo::MAX_VALUES);
    let info =
        CompletionInfo::with_pagination(found, u32::try_from(total).ok(), total > CompletionInfo::MAX_VALUES);
    info.map(CompleteResult::new).map_err(|_| ErrorData::internal_error("too many completions", None))
}

fn variable(template: &str, argument: &str) -> Option<Names> {
    match (template, argument) {
        ("unsaid://credentials/{id}", "id") => Some(Names::Credential),
        ("unsaid://services/{id}" | "unsaid://services/{id}/rotation-guide", "id") => Some(Names::Service),
        _ => None,
    }
}

/// Names, and ids where a name would be ambiguous.
async fn credentials(door: &Door, typed: &str, cx: &RequestContext<RoleServer>) -> Vec<String> {
    let arguments = match typed {
        "" => json!({ "limit": 100 }),
        typed => json!({ "limit": 100, "text": typed }),
    };
    let page = door.read("list_credentials", arguments, cx).await.unwrap_or_default();
    let rows: Vec<(&str, &str)> =
        rows(&page, "credentials").filter_map(|r| Some((text(r, "name")?, text(r, "id")?))).collect();
    let mut times: HashMap<&str, usize> = HashMap::new();
    for (name, _) in &rows {
        *times.entry(name).or_default() += 1;
    }
    let typed = typed.to_lowercase();
    // The filter also looks into descriptions: here only names count. An id is offered for its name's sake.
    let fits = |name: &str| name.to_lowercase().contains(&typed);
    rows.iter()
        .filter(|(name, _)| fits(name))
        .map(|(name, id)| if times[name] == 1 { *name } else { *id }.to_owned())
        .collect()
}

async fn services(door: &Door, cx: &RequestContext<RoleServer>) -> Vec<String> {
    let page = door.read("list_services", json!({}), cx).await.unwrap_or_default();
    rows(&page, "services").filter_map(|row| text(row, "id")).map(str::to_owned).collect()
}

async fn teams(door: &Door, cx: &RequestContext<RoleServer>) -> Vec<String> {
    let me = door.read("whoami", json!({}), cx).await.unwrap_or_default();
    rows(&me, "teams").filter_map(|row| text(row, "name")).map(str::to_owned).collect()
}

fn rows<'a>(page: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> {
    page.get(field).and_then(Value::as_array).into_iter().flatten()
}

fn text<'a>(row: &'a Value, field: &str) -> Option<&'a str> {
    row.get(field)?.as_str()
}
