//! What the MCP registry asks of `manifests/server.json` (schema of 2025-12-11), in short form; tests only.
//!
//! There is no `packages` field: the registry takes npm, PyPI, NuGet, OCI and MCPB packages, and there is none of
//! these yet. An entry without packages is valid.
use serde_json::Value;

fn manifest() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/manifests/server.json");
    serde_json::from_str(&std::fs::read_to_string(path).expect("the manifest is there")).expect("it is JSON")
}

/// The first rule that `server` breaks.
fn fault(server: &Value) -> Option<&'static str> {
    const KNOWN: [&str; 10] = [
        "$schema",
        "name",
        "title",
        "description",
        "version",
        "websiteUrl",
        "repository",
        "icons",
        "packages",
        "_meta",
    ];
    let text = |key: &str| server[key].as_str().unwrap_or_default();
    let length = |key: &str| text(key).chars().count();
    let fields = server.as_object().map(|fields| fields.keys().all(|key| KNOWN.contains(&key.as_str())));
    let name = regex::Regex::new("^[a-zA-Z0-9.-]+/[a-zA-Z0-9._-]+$").expect("it compiles");
    let semver = regex::Regex::new(r"^\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]+)?$").expect("it compiles");
    [
        (fields == Some(true), "only fields that the schema has"),
        (text("$schema").ends_with("/schemas/2025-12-11/server.schema.json"), "names its schema"),
        (
            name.is_match(text("name")) && (3..=200).contains(&length("name")),
            "a reverse-DNS name with one slash",
        ),
        ((1..=100).contains(&length("description")), "a description of at most 100 characters"),
        (
            server.get("title").is_none() || (1..=100).contains(&length("title")),
            "a title of at most 100 characters",
        ),
        (semver.is_match(text("version")) && length("version") <= 255, "one version, no range"),
        (server.get("packages").is_none_or(packages_fit), "packages with type, identifier and transport"),
    ]
    .into_iter()
    .find_map(|(holds, rule)| (!holds).then_some(rule))
}

fn packages_fit(packages: &Value) -> bool {
    let fits = |package: &Value| {
        let kind = package["registryType"].as_str().unwrap_or_default();
        ["npm", "pypi", "nuget", "oci", "mcpb"].contains(&kind)
            && package["identifier"].is_string()
            && package["transport"]["type"].is_string()
            && package["version"].as_str() != Some("latest")
            && (kind != "mcpb" || package["fileSha256"].as_str().is_some_and(|hash| hash.len() == 64))
            && package.get("registryBaseUrl").is_none()
    };
    packages.as_array().is_some_and(|all| all.iter().all(fits))
}

#[test]
fn the_manifest_is_valid_for_the_registry() {
    assert_eq!(fault(&manifest()), None);
}

#[test]
fn its_version_is_the_one_of_this_crate() {
    assert_eq!(manifest()["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn a_manifest_that_breaks_a_rule_is_caught() {
    let broken = |key: &str, value: Value| {
        let mut server = manifest();
        server[key] = value;
        fault(&server).is_some()
    };

    assert!(broken("name", Value::from("unsaid")));
    assert!(broken("name", Value::from("a/b/c")));
    assert!(broken("description", Value::from("x".repeat(101))));
    assert!(broken("version", Value::from("^1.0")));
    assert!(broken("status", Value::from("active")));
    assert!(broken("packages", serde_json::json!([{ "registryType": "crates", "identifier": "unsaid" }])));
}
