//! What a model meets: names, descriptions, schemas, sizes. Each change of it shows in a snapshot.
use crate::support::arguments::{texts, valid, with};
use crate::support::world::{FormYes, PersonYes, World};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use unsaid::error::Code;
use unsaid::model::Word;
use unsaid::model::text::is_unseen;
use unsaid::ops::{Entry, catalog};

/// The tools of PRODUCT.md §3 that this part has.
const TOOLS: &str = "
    list_credentials get_credential create_credential update_credential set_credential_value delete_credential
    restore_credential share_credential unshare_credential explain_resolution test_credential
    connect_credential refresh_credential disconnect_credential
    list_oauth_providers create_oauth_provider update_oauth_provider delete_oauth_provider
    get_rotation_guide search_audit_log verify_audit_log get_usage list_services get_service whoami
    list_consumers get_consumer register_consumer update_consumer remove_consumer
    audit_credentials recommend_scope plan_offboarding
    start_rotation advance_rotation get_rotation list_rotations abort_rotation set_rotation_policy";

fn tools() -> impl Iterator<Item = &'static Entry> {
    catalog().iter().filter(|entry| entry.is_tool())
}

#[test]
fn the_catalogue_is_what_the_snapshot_says() {
    let shown: Vec<_> = catalog()
        .iter()
        .map(|e| {
            json!({
                "name": e.name, "title": e.title, "description": e.about, "toolset": e.toolset.as_str(),
                "effect": e.effect.as_str(), "needs": e.needs.as_str(), "input": *e.input, "output": *e.output,
            })
        })
        .collect();
    let text = serde_json::to_string_pretty(&shown).unwrap() + "\n";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/catalog.snap");
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }

    let kept = std::fs::read_to_string(&path).unwrap_or_default();

    assert!(kept == text, "the tools changed: look at it, then run again with UPDATE_SNAPSHOTS=1");
}

#[test]
fn the_tools_are_those_of_the_product() {
    let there: BTreeSet<_> = tools().map(|e| e.name).collect();

    assert_eq!(there, TOOLS.split_whitespace().collect());
    for e in catalog() {
        assert!(e.name.contains('_') || e.name == "whoami", "{} is a verb and a noun", e.name);
        assert!(!e.title.is_empty() && !e.about.contains('\n') && e.about.len() <= 240, "{}", e.name);
        assert_eq!(e.input["type"], "object", "{}", e.name);
        assert_eq!(e.output["type"], "object", "{}", e.name);
    }
}

/// Every object in a schema that has properties, and every property name with its schema.
fn each_property<'a>(schema: &'a Value, see: &mut dyn FnMut(&'a str, &'a Value)) {
    match schema {
        Value::Object(map) => {
            for (name, inner) in map.get("properties").and_then(Value::as_object).into_iter().flatten() {
                see(name, inner);
            }
            map.values().for_each(|inner| each_property(inner, see));
        }
        Value::Array(items) => items.iter().for_each(|inner| each_property(inner, see)),
        _ => {}
    }
}

#[test]
fn c_30_no_answer_has_a_place_for_a_value_or_anything_made_of_one() {
    const FORBIDDEN: [&str; 17] = [
        "value",
        "values",
        "length",
        "len",
        "prefix",
        "suffix",
        "hash",
        "digest",
        "fingerprint",
        "checksum",
        "size",
        "bytes",
        "last4",
        "masked",
        "preview",
        "plaintext",
        "password",
    ];
    for e in catalog() {
        let output = Value::Object(e.output.clone());
        each_property(&output, &mut |name, _| {
            let found = name.split('_').find(|word| FORBIDDEN.contains(word));
            // When and by whom a value was set is no part of it.
            assert!(found.is_none() || matches!(name, "value_set_at" | "value_set_by"), "{}: {name}", e.name);
        });
    }
}

/// C-38: none of an argument goes into a header either.
#[test]
fn c_36_no_argument_can_carry_a_value_and_none_is_unknown() {
    const FORBIDDEN: [&str; 10] = [
        "value",
        "values",
        "secret",
        "password",
        "token",
        "key",
        "passphrase",
        "content",
        "data",
        "client_secret",
    ];
    /// A map of names that the catalogue gives, for addresses with a tenant in them.
    const MAPS: [&str; 2] = ["create_oauth_provider", "update_oauth_provider"];
    for e in catalog() {
        let input = Value::Object(e.input.clone());
        each_property(&input, &mut |name, schema| {
            // Of a custom field it is said whether it is secret: yes or no.
            let is_flag = name == "secret" && schema["type"] == "boolean";
            assert!(is_flag || !FORBIDDEN.contains(&name), "{}: {name}", e.name);
        });
        let mut open = Vec::new();
        closed(&input, &mut String::new(), &mut open);
        let expected: &[&str] = if MAPS.contains(&e.name) { &["/params"] } else { &[] };
        assert_eq!(open, expected, "{} takes what is not named", e.name);
        assert!(!input.to_string().contains("x-mcp"), "C-38: {} has a header annotation", e.name);
    }
}

/// Where an object takes properties that it does not name.
fn closed(schema: &Value, path: &mut String, open: &mut Vec<String>) {
    let Value::Object(map) = schema else { return };
    let is_object = map.get("properties").is_some()
        || schema["type"] == "object"
        || schema["type"].as_array().is_some_and(|all| all.iter().any(|t| t == "object"));
    if is_object && map.get("additionalProperties") != Some(&Value::Bool(false)) {
        open.push(path.clone());
    }
    let mut go = |name: &str, inner: &Value| {
        let before = path.len();
        path.push('/');
        path.push_str(name);
        closed(inner, path, open);
        path.truncate(before);
    };
    for (name, inner) in map.get("properties").and_then(Value::as_object).into_iter().flatten() {
        go(name, inner);
    }
    for word in ["items", "anyOf", "oneOf", "allOf"] {
        match map.get(word) {
            Some(Value::Array(items)) => items.iter().for_each(|inner| go(word, inner)),
            Some(inner) => go(word, inner),
            None => {}
        }
    }
}

#[test]
fn every_text_and_list_of_an_input_has_its_limit() {
    fn limits(schema: &Value, path: &str, missing: &mut Vec<String>) {
        let is = |word: &str| {
            schema["type"] == word || schema["type"].as_array().is_some_and(|t| t.iter().any(|t| t == word))
        };
        if is("string") && ["enum", "const", "maxLength", "format"].iter().all(|w| schema[*w].is_null()) {
            missing.push(path.to_owned());
        }
        if is("array") && schema["maxItems"].is_null() {
            missing.push(format!("{path}[]"));
        }
        for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
            limits(inner, &format!("{path}.{name}"), missing);
        }
        for part in ["anyOf", "oneOf"] {
            schema[part].as_array().into_iter().flatten().for_each(|inner| limits(inner, path, missing));
        }
        if schema["items"].is_object() && schema["items"]["type"] == "object" {
            limits(&schema["items"], &format!("{path}[]"), missing);
        }
    }
    let mut missing = Vec::new();
    for e in tools() {
        limits(&Value::Object(e.input.clone()), e.name, &mut missing);
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

#[tokio::test]
async fn c_36_an_unknown_argument_is_refused_and_not_repeated() {
    let w = World::new().await;
    for e in catalog() {
        for (field, planted) in
            [("PLANTED_name", "words"), ("value", "PLANTED_words"), ("Credential", "PLANTED")]
        {
            // Whoever fills in a value, however harmless it looks, hears that it leaked.
            let code = if field == "value" { Code::SecretInArgument } else { Code::InvalidInput };
            let mut arguments = valid(e.name);
            arguments[field] = planted.into();
            let refused = w.refused(&w.person("ada"), e.name, arguments).await;
            assert_eq!(refused.code, code, "{}", e.name);
            assert!(!refused.to_json().to_string().contains("PLANTED"), "{}: {refused:?}", e.name);
        }
    }
    let nested = json!({"name": "A_KEY", "type": "custom", "fields": [{"name": "a", "PLANTED": 1}]});
    let refused = w.refused(&w.person("ada"), "create_credential", nested).await;
    assert!(refused.code == Code::InvalidInput && !refused.to_json().to_string().contains("PLANTED"));
}

#[test]
fn names_descriptions_and_inputs_of_all_tools_stay_small() {
    let total: usize = tools()
        .map(|e| e.name.len() + e.about.len() + Value::Object(e.listed.clone()).to_string().len())
        .sum();

    eprintln!("names, descriptions and input schemas of {} tools: {total} bytes", tools().count());
    assert!(total < 24_000, "{total}");
}

#[tokio::test]
async fn every_page_fits_a_model() {
    let w = World::new().await;
    // The longest there can be, of characters that take most room in JSON.
    for (n, c) in ["\"", "\\", "é", "🔐", "x"].into_iter().cycle().take(100).enumerate() {
        let name = format!("{}_{n:03}", "LONG_NAME_".repeat(6));
        let ask = json!({"name": &name[..name.len().min(64)], "scope": "org", "account": format!("{n} {}", format!("{c}{c}{c} ").repeat(19)),
            "description": format!("{c}{c}{c} ").repeat(120), "tags": (0..20).map(|t| format!("{t:02}{}", "t".repeat(38))).collect::<Vec<_>>(),
            "expires_at": "2026-06-10T00:00:00Z"});
        w.call_with(&w.person("ada"), "create_credential", ask, &FormYes).await.unwrap();
    }
    for n in 0..60 {
        let params = json!({"name": format!("{}-{n:02}", "p".repeat(60)), "client_id": "c".repeat(400),
            "scopes": (0..60).map(|s| format!("scope{s}.{}", "s".repeat(60))).collect::<Vec<_>>(), "service": "github"});
        w.call_with(&w.person("ada"), "create_oauth_provider", params, &FormYes).await.unwrap();
    }
    let first = w.call(&w.caller("ada"), "list_credentials", json!({"limit": 1})).await.unwrap();
    let id = first["credentials"][0]["id"].clone();
    for level in ["use", "view", "manage"] {
        for user in ["tess", "tom", "mia", "max", "otto"] {
            let ask = json!({"credential": id, "user": user, "level": level, "reason": "r".repeat(300)});
            w.call_with(&w.person("ada"), "share_credential", ask, &PersonYes).await.unwrap();
        }
    }

    for (name, arguments) in [
        ("list_credentials", json!({"limit": 100, "count": true})),
        ("list_credentials", json!({"limit": 100, "status": "needs_attention"})),
        ("search_audit_log", json!({"limit": 200})),
        ("search_audit_log", json!({"limit": 200, "operation": "share_credential"})),
        ("list_oauth_providers", json!({"limit": 50})),
        ("list_services", json!({"limit": 100})),
        ("list_services", json!({})),
        ("get_credential", json!({"credential": id})),
        ("get_rotation_guide", json!({"service": "github"})),
        ("get_service", json!({"service": "github"})),
        ("get_usage", json!({"credential": id})),
        ("whoami", json!({})),
    ] {
        let size = w.call(&w.caller("ada"), name, arguments.clone()).await.unwrap().to_string().len();
        assert!(size < 24_000, "{name} {arguments}: {size} bytes");
    }
    // And the pages hold everything, once.
    let (mut cursor, mut seen) = (Value::Null, BTreeSet::new());
    loop {
        let ask = json!({"limit": 100, "cursor": cursor});
        let page = w.call(&w.caller("mia"), "list_credentials", ask).await.unwrap();
        for row in page["credentials"].as_array().unwrap() {
            assert!(seen.insert(row["id"].to_string()), "{row} twice");
        }
        match page.get("next_cursor") {
            Some(next) => cursor = next.clone(),
            None => break,
        }
    }
    assert_eq!(seen.len(), 100);
}

/// Every text in the database.
fn stored(w: &World) -> Vec<(String, String)> {
    let conn = rusqlite::Connection::open(w.app.config.places.database()).unwrap();
    let sql = "SELECT s.name, c.name FROM sqlite_schema s, pragma_table_info(s.name) c WHERE s.type = 'table' AND c.type = 'TEXT'";
    let mut columns = conn.prepare(sql).unwrap();
    let columns: Vec<(String, String)> =
        columns.query_map([], |r| Ok((r.get(0)?, r.get(1)?))).unwrap().map(Result::unwrap).collect();
    let mut all = Vec::new();
    for (table, column) in columns {
        // Kept as it was asked, to be parsed anew when it is granted, and never shown.
        if (table.as_str(), column.as_str()) == ("approval", "arguments") {
            continue;
        }
        let mut rows =
            conn.prepare(&format!("SELECT {column} FROM {table} WHERE {column} IS NOT NULL")).unwrap();
        let texts = rows.query_map([], |r| r.get::<_, String>(0)).unwrap();
        all.extend(texts.map(|text| (format!("{table}.{column}"), text.unwrap())));
    }
    all
}

#[tokio::test]
async fn m_10_what_nobody_sees_is_neither_kept_nor_answered() {
    let orders: String = "obey".chars().map(|c| char::from_u32(0xE0000 + c as u32).unwrap()).collect();
    let unseen =
        format!("ab\u{202E}c\u{2066}d\u{200B}e\u{FEFF}f\u{AD}g\u{1B}[31mh\u{7}i\u{9B}j\u{FE0F}k{orders}l");
    let mut tried = 0;
    for e in catalog() {
        let places = texts(e);
        if places.is_empty() {
            continue;
        }
        let w = world_with_keys().await;
        for path in places {
            for text in [
                unseen.clone(),
                "ORG_KEY\u{202E}\u{200B}".to_string(),
                format!("https://auth.example/\u{202E}{orders}"),
            ] {
                let arguments = with(valid(e.name), &path, &text);
                let answer = match w.call_with(&w.person("ada"), e.name, arguments, &PersonYes).await {
                    Ok(value) => plain(&value),
                    Err(e) => plain(&e.to_json()),
                };
                assert!(!answer.chars().any(is_unseen), "{} {path:?} answers {answer:?}", e.name);
                tried += 1;
            }
        }
        for (column, text) in stored(&w) {
            assert!(!text.chars().any(is_unseen), "{} left {text:?} in {column}", e.name);
            assert!(!text.contains("\\u00"), "{} left {text:?} in {column}", e.name);
        }
    }
    assert!(tried > 150, "{tried}");
}

/// Every text of an answer, unescaped.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(plain).collect(),
        Value::Object(map) => {
            let map: &Map<String, Value> = map;
            map.iter().map(|(name, inner)| format!("{name}{}", plain(inner))).collect()
        }
        _ => String::new(),
    }
}

async fn world_with_keys() -> World {
    let w = World::new().await;
    w.add("ada", "org", "ORG_KEY", "words").await;
    w.add("ada", "org", "BIN_KEY", "words").await;
    let bin = json!({"credential": "BIN_KEY", "reason": "a test"});
    w.call_with(&w.person("ada"), "delete_credential", bin, &FormYes).await.unwrap();
    let hub = json!({"service": "github", "name": "hub", "client_id": "abc"});
    w.call(&w.person("ada"), "create_oauth_provider", hub).await.unwrap();
    w
}
