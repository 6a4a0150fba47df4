//! Arranges for all the tests of this module.
mod finding;
mod hostile;
mod remotes;
mod rewriting;
mod round_trip;

use super::*;
use crate::model::suspicion::PLAIN;

/// A value that only the tests know, of a shape that is known to everybody.
fn github_token() -> String {
    format!("gh{}_{}", "p", "a1B2".repeat(9))
}

/// A value that only its name gives away.
fn quiet(word: &str) -> String {
    format!("{word}-{}", "quiet".repeat(2))
}

fn known() -> Knowledge<'static> {
    Knowledge { servers: Servers::embedded(), catalogue: Catalogue::embedded(), detector: &PLAIN }
}

fn read_text(text: &str) -> Config {
    read(text.as_bytes(), None, &known()).expect("the file is good")
}

fn refused(bytes: &[u8]) -> crate::error::Error {
    read(bytes, None, &known()).err().expect("the file is refused")
}

/// What a caller does who agrees to the plan: wraps all that can be, taking the secret variables out.
fn wrap_all(config: &Config) -> Vec<Rewrite> {
    config
        .plan()
        .servers
        .iter()
        .filter(|planned| planned.to_wrap)
        .map(|planned| {
            let server = &config.servers()[planned.server];
            let of_env = |value: &&FoundValue| matches!(value.fate, Fate::Moves);
            Rewrite {
                server: planned.server,
                program: "/usr/bin/unsaid".to_owned(),
                args: vec!["mcp".to_owned(), planned.consumer.clone()],
                remove_env: server
                    .movable()
                    .filter(of_env)
                    .filter_map(|value| value.credential_name().map(str::to_owned))
                    .collect(),
            }
        })
        .collect()
}

struct Wrapped {
    text: String,
    diff: String,
}

fn wrapped(config: &Config) -> Wrapped {
    let done = config.rewrite(&wrap_all(config), "mcp.json", &known()).expect("it is rewritten");
    let text = done.text.expose(|bytes| String::from_utf8(bytes.to_vec()).expect("UTF-8"));
    Wrapped { text, diff: done.diff }
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).expect("JSON")
}
