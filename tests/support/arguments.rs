//! Valid arguments for every operation, and every place in them where text can stand.
use serde_json::{Value, json};
use unsaid::ops::Entry;

/// A call of `operation` that an admin of the world may make, given ORG_KEY, BIN_KEY (in the bin) and provider hub.
pub fn valid(operation: &str) -> Value {
    let why = "a test";
    match operation {
        "create_credential" => json!({"name": "NEW_KEY", "scope": "org", "type": "custom",
            "fields": [{"name": "host"}], "tags": ["one"]}),
        "update_credential" => json!({"credential": "ORG_KEY", "description": "words", "tags": ["one"]}),
        "get_credential"
        | "mark_canary"
        | "set_credential_value"
        | "get_usage"
        | "connect_credential"
        | "refresh_credential"
        | "test_credential" => json!({"credential": "ORG_KEY"}),
        "start_rotation" => json!({"credential": "ORG_KEY", "reason": why}),
        "advance_rotation" | "get_rotation" | "abort_rotation" => json!({"rotation": "ORG_KEY"}),
        "set_rotation_policy" => json!({"credential": "ORG_KEY", "days": 90}),
        "report_use" => json!({"consumer": "deploy", "outcome": "ok", "reason": why}),
        "get_rotation_guide" => json!({"credential": "ORG_KEY"}),
        "delete_credential" | "disconnect_credential" => json!({"credential": "ORG_KEY", "reason": why}),
        "share_credential" => json!({"credential": "ORG_KEY", "user": "max", "level": "view", "reason": why}),
        "unshare_credential" => json!({"credential": "ORG_KEY", "user": "max"}),
        "restore_credential" => json!({"credential": "BIN_KEY"}),
        "purge_credential" => json!({"credential": "BIN_KEY", "reason": why}),
        "audit_credentials" => json!({"credential": "ORG_KEY"}),
        "recommend_scope" => json!({"name": "ORG_KEY", "purpose": "deploys"}),
        "plan_offboarding" => json!({"user": "max"}),
        "accept_finding" => json!({"id": "abcd", "reason": why, "until": "2026-07-01T00:00:00Z"}),
        "explain_resolution" => json!({"name": "ORG_KEY"}),
        "get_service" => json!({"service": "github"}),
        "verify_audit_log" => {
            json!({"checkpoint": {"seq": 1, "at": "2026-06-01T00:00:00Z", "mac": "00", "signature": "00"}})
        }
        "create_oauth_provider" => {
            json!({"name": "own", "client_id": "abc", "params": {}, "scopes": ["read"],
            "endpoints": {"authorization_url": "https://auth.example/a", "token_url": "https://auth.example/t"}})
        }
        "update_oauth_provider" => json!({"provider": "hub", "client_id": "abcd", "scopes": ["read"]}),
        "delete_oauth_provider" => json!({"provider": "hub"}),
        "acknowledge_canary" => json!({"alert": "01"}),
        "revoke_token" => json!({"id": "laptop"}),
        "set_policy" => json!({"bin_days": 31}),
        "add_user" => json!({"login": "new"}),
        "erase_user" => json!({"user": "max"}),
        "update_user" => json!({"user": "max", "display_name": "Max"}),
        "create_team" => json!({"name": "fresh"}),
        "delete_team" => json!({"team": "ops"}),
        "set_member" => json!({"team": "ops", "user": "max", "role": "member"}),
        "remove_member" => json!({"team": "ops", "user": "max"}),
        _ => json!({}),
    }
}

/// Every place of `entry`'s input where free text can stand, as a path of names; `[]` is an element, `*` any name.
pub fn texts(entry: &Entry) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    walk(&Value::Object(entry.input.clone()), &mut Vec::new(), &mut found);
    found
}

fn walk(schema: &Value, path: &mut Vec<String>, found: &mut Vec<Vec<String>>) {
    for part in ["anyOf", "oneOf", "allOf"] {
        for inner in schema[part].as_array().into_iter().flatten() {
            walk(inner, path, found);
        }
    }
    let is = |word: &str| {
        schema["type"] == word || schema["type"].as_array().is_some_and(|all| all.iter().any(|t| t == word))
    };
    if is("string") && schema["enum"].is_null() && schema["const"].is_null() {
        found.push(path.clone());
    }
    for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
        path.push(name.clone());
        walk(inner, path, found);
        path.pop();
    }
    for (word, key) in [("items", "[]"), ("additionalProperties", "*")] {
        if schema[word].is_object() {
            path.push(key.into());
            walk(&schema[word], path, found);
            path.pop();
        }
    }
}

/// `arguments` with `text` at `path`.
pub fn with(mut arguments: Value, path: &[String], text: &str) -> Value {
    let mut at = &mut arguments;
    for step in path {
        at = match step.as_str() {
            "[]" => {
                if at.as_array().is_none_or(Vec::is_empty) {
                    *at = json!([null]);
                }
                &mut at[0]
            }
            name => {
                if !at.is_object() {
                    *at = json!({});
                }
                &mut at[if name == "*" { "tenant" } else { name }]
            }
        };
    }
    *at = text.into();
    arguments
}
