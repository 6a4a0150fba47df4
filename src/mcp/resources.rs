//! Resources: what an assistant may read without calling a tool. Each is the answer of the operation beside it.
use super::door::Door;
use crate::error::{Code, Error, Result};
use crate::ops::{Limits, find_entry};
use rmcp::RoleServer;
use rmcp::model::{ReadResourceResult, Resource, ResourceContents, ResourceTemplate};
use rmcp::service::RequestContext;
use serde_json::{Value, json};

const JSON: &str = "application/json";

/// A resource or template, and the operation that answers it.
struct Kind {
    uri: &'static str,
    name: &'static str,
    title: &'static str,
    about: &'static str,
    operation: &'static str,
}

const RESOURCES: &[Kind] = &[
    Kind {
        uri: "unsaid://inventory",
        name: "inventory",
        title: "Credentials you can see",
        about: "The first page of the credentials you can see, with status and a summary line. list_credentials filters and pages.",
        operation: "list_credentials",
    },
    Kind {
        uri: "unsaid://audit/recent",
        name: "audit-recent",
        title: "Recent audit events",
        about: "The latest events that you may see: changes, uses and refusals. search_audit_log filters and pages.",
        operation: "search_audit_log",
    },
    Kind {
        uri: "unsaid://policy",
        name: "policy",
        title: "Policy of the org",
        about: "The org's rules: sharing plan, days in the bin, when an expiry is told.",
        operation: "get_policy",
    },
];

const TEMPLATES: &[Kind] = &[
    Kind {
        uri: "unsaid://credentials/{id}",
        name: "credential",
        title: "One credential",
        about: "Configuration, status, versions, usage and who may use it, as get_credential shows it. Never the value.",
        operation: "get_credential",
    },
    Kind {
        uri: "unsaid://consumers/{id}",
        name: "consumer",
        title: "One consumer",
        about: "What an agent or MCP server is bound to, and whether all of it is there for you, as get_consumer shows it.",
        operation: "get_consumer",
    },
    Kind {
        uri: "unsaid://rotations/{id}",
        name: "rotation",
        title: "One rotation",
        about: "Its stage, which consumers have the new value and how they did, its log and the next step, as get_rotation shows it.",
        operation: "get_rotation",
    },
    Kind {
        uri: "unsaid://services/{id}",
        name: "service",
        title: "One service of the catalogue",
        about: "What a service is, how its keys are made and tested, as get_service shows it.",
        operation: "get_service",
    },
    Kind {
        uri: "unsaid://services/{id}/rotation-guide",
        name: "rotation-guide",
        title: "How to rotate a key of a service",
        about: "The steps, the page to open and how long old and new overlap, as get_rotation_guide shows it.",
        operation: "get_rotation_guide",
    },
];

fn is_served(kind: &&Kind, limits: &Limits) -> bool {
    find_entry(kind.operation).is_some_and(|entry| limits.allow(entry))
}

/// The fixed resources that these limits leave.
pub(super) fn all(limits: &Limits) -> Vec<Resource> {
    let shown = |k: &Kind| {
        Resource::new(k.uri, k.name).with_title(k.title).with_description(k.about).with_mime_type(JSON)
    };
    RESOURCES.iter().filter(|k| is_served(k, limits)).map(shown).collect()
}

/// The templates that these limits leave.
pub(super) fn templates(limits: &Limits) -> Vec<ResourceTemplate> {
    let shown = |k: &Kind| {
        ResourceTemplate::new(k.uri, k.name)
            .with_title(k.title)
            .with_description(k.about)
            .with_mime_type(JSON)
    };
    TEMPLATES.iter().filter(|k| is_served(k, limits)).map(shown).collect()
}

/// Which operation answers `uri`, and with which arguments.
pub(super) fn route(uri: &str) -> Option<(&'static str, Value)> {
    let path = uri.strip_prefix("unsaid://")?;
    Some(match path.split_once('/') {
        None if path == "inventory" => ("list_credentials", json!({ "count": true })),
        None if path == "policy" => ("get_policy", json!({})),
        Some(("audit", "recent")) => ("search_audit_log", json!({})),
        Some(("credentials", id)) if !id.is_empty() => ("get_credential", json!({ "credential": id })),
        Some(("consumers", id)) if !id.is_empty() => ("get_consumer", json!({ "consumer": id })),
        Some(("rotations", id)) if !id.is_empty() => ("get_rotation", json!({ "rotation": id })),
        Some(("services", rest)) => match rest.split_once('/') {
            None if !rest.is_empty() => ("get_service", json!({ "service": rest })),
            Some((id, "rotation-guide")) if !id.is_empty() => {
                ("get_rotation_guide", json!({ "service": id }))
            }
            _ => return None,
        },
        _ => return None,
    })
}

/// The resource as JSON text.
///
/// Fails with `resource_not_found` for an address that is none of ours (it is not repeated), else as the operation does.
pub(super) async fn read(
    door: &Door,
    uri: &str,
    cx: &RequestContext<RoleServer>,
) -> Result<ReadResourceResult> {
    let not_found = || Error::new(Code::ResourceNotFound, "there is no such resource");
    let (operation, arguments) = route(uri).ok_or_else(not_found)?;
    let value = door.read(operation, arguments, cx).await.map_err(|e| match e.code {
        Code::ToolNotFound => not_found(),
        _ => e,
    })?;
    Ok(ReadResourceResult::new(vec![ResourceContents::text(value.to_string(), uri).with_mime_type(JSON)]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_resource_names_an_operation_that_exists_and_leads_to_it() {
        for kind in RESOURCES.iter().chain(TEMPLATES) {
            assert!(find_entry(kind.operation).is_some(), "{}", kind.operation);
            assert_eq!(route(&kind.uri.replace("{id}", "x")).unwrap().0, kind.operation);
        }
    }

    #[test]
    fn addresses_that_are_not_ours_lead_nowhere() {
        for uri in [
            "",
            "unsaid://",
            "unsaid://credentials/",
            "unsaid://consumers/",
            "unsaid://rotations/",
            "unsaid://services/",
            "unsaid://services/x/y",
            "file:///etc/passwd",
        ] {
            assert!(route(uri).is_none(), "{uri}");
        }
    }
}
