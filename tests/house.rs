//! The house stands as drawn: who imports whom, and that every journey runs.
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            // What stands under `tests` tests: it may look behind every wall.
            if !path.ends_with("tests") {
                sources(&path, found);
            }
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// Which modules a module may import, besides itself and the leaves.
const MAY: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("store", &["model"]),
    ("vault", &["model"]),
    ("services", &["model"]),
    ("config", &["store"]),
    ("import", &["model"]),
    ("oauth", &["model", "services"]),
    ("inject", &["services"]),
    ("wrap", &["model", "services"]),
    ("rotation", &["config", "model", "services", "store"]),
    ("app", &["config", "model", "rotation", "services", "store", "vault"]),
    (
        "ops",
        &["app", "config", "import", "inject", "model", "oauth", "rotation", "services", "store", "vault"],
    ),
    ("front", &[]),
    ("mcp", &["app", "front", "model", "ops"]),
    ("web", &["app", "front", "model", "ops"]),
    (
        "cli",
        &[
            "app",
            "config",
            "front",
            "import",
            "inject",
            "mcp",
            "model",
            "ops",
            "services",
            "store",
            "vault",
            "telemetry",
            "web",
            "wrap",
        ],
    ),
    ("telemetry", &[]),
];
const LEAVES: &[&str] =
    &["error", "secret", "ids", "clock", "memory", "Code", "Error", "Kind", "Result", "testing"];

/// The part of a file before its tests.
fn product_code(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests {").next().unwrap_or(text)
}

#[test]
fn arrows_only_point_down() {
    let mut wrong = BTreeSet::new();
    for (module, may) in MAY {
        let mut files = Vec::new();
        let folder = root().join("src").join(module);
        if folder.is_dir() {
            sources(&folder, &mut files);
        } else if folder.with_extension("rs").is_file() {
            files.push(folder.with_extension("rs"));
        }
        for file in files {
            if file.file_name().is_some_and(|n| n.to_string_lossy().contains("tests")) {
                continue;
            }
            let text = std::fs::read_to_string(&file).unwrap();
            for line in product_code(&text).lines().filter(|l| !l.trim_start().starts_with("//")) {
                for part in line.split("crate::").skip(1) {
                    let target: String =
                        part.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                    if !target.is_empty()
                        && target != *module
                        && !LEAVES.contains(&target.as_str())
                        && !may.contains(&target.as_str())
                    {
                        wrong.insert(format!(
                            "{} imports {target}",
                            file.strip_prefix(root()).unwrap().display()
                        ));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Which crates may be named in which places only.
const CRATES: &[(&str, &[&str])] = &[
    ("rmcp::", &["src/mcp/"]),
    ("rusqlite::", &["src/store/link.rs"]),
    ("axum::", &["src/front/", "src/mcp/http/", "src/web/", "src/cli/serve_http.rs", "src/cli/broker.rs"]),
    ("reqwest::", &["src/services/client.rs", "src/services/wire.rs"]),
    ("maud::", &["src/web/"]),
    ("clap::", &["src/cli/", "src/main.rs"]),
    ("jsonc_parser::", &["src/wrap/"]),
    ("similar::", &["src/wrap/"]),
    ("yaml_rust2::", &["src/import/yaml.rs"]),
];

#[test]
fn each_foreign_crate_stays_in_its_room() {
    let mut files = Vec::new();
    sources(&root().join("src"), &mut files);
    for file in files {
        let shown = file.strip_prefix(root()).unwrap().display().to_string();
        let text = std::fs::read_to_string(&file).unwrap();
        for (name, rooms) in CRATES {
            let is_named =
                product_code(&text).lines().any(|l| !l.trim_start().starts_with("//") && l.contains(name));
            assert!(!is_named || rooms.iter().any(|room| shown.starts_with(room)), "{shown} names {name}");
        }
    }
}

#[test]
fn s_13_nobody_opens_the_database_through_the_file_system() {
    let mut files = Vec::new();
    sources(&root().join("src/store"), &mut files);
    for file in files {
        let shown = file.strip_prefix(root()).unwrap().display().to_string();
        let text = std::fs::read_to_string(&file).unwrap();
        for word in ["File::open", "fs::read(", "fs::copy", "OpenOptions"] {
            let is_used =
                product_code(&text).lines().any(|l| !l.trim_start().starts_with("//") && l.contains(word));
            assert!(!is_used || shown.ends_with("place.rs"), "{shown} uses {word}");
        }
    }
}

#[test]
fn every_table_with_macs_is_put_under_a_new_key() {
    let mut files = Vec::new();
    sources(&root().join("src/store"), &mut files);
    let list = std::fs::read_to_string(root().join("src/ops/lifecycle/tables.rs")).unwrap();
    let mut seen = 0;
    for file in files {
        for line in std::fs::read_to_string(&file).unwrap().lines() {
            let Some(entity) = line.strip_prefix("entity!(") else { continue };
            let entity = entity.strip_prefix("kept ").unwrap_or(entity).split(',').next().unwrap();
            seen += 1;
            assert!(list.contains(&format!("::{entity},")), "{entity} is not in the list of tables");
        }
    }
    assert!(seen >= 16, "{seen}");
}

#[test]
fn every_journey_is_listed() {
    let list = std::fs::read_to_string(root().join("tests/main.rs")).unwrap();
    for entry in std::fs::read_dir(root().join("tests")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if let Some(journey) = name.strip_suffix(".rs").filter(|n| *n != "main") {
            assert!(list.contains(&format!("mod {journey};")), "tests/main.rs does not list {journey}");
        }
    }
}
