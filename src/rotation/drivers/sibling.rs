//! What HashiCorp Vault says of a token (`GET /v1/auth/token/lookup-self`), and a wish for another one like it.
//!
//! Whatever of it could not be made the same is no wish, but a reason for a person to make the new one: less would break
//! programs, more would be rights that nobody gave.
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Reads an answer; nothing where it is another one. The token itself is in it too, and is not taken over.
pub fn read(body: &[u8]) -> Option<Seen> {
    serde_json::from_slice::<Answer>(body).ok().map(|answer| answer.data)
}

#[derive(Deserialize)]
struct Answer {
    data: Seen,
}

#[derive(Deserialize)]
pub struct Seen {
    policies: Vec<String>,
    #[serde(default)]
    identity_policies: Option<Vec<String>>,
    #[serde(default)]
    entity_id: Option<String>,
    path: String,
    #[serde(default)]
    role: Option<String>,
    #[serde(default, rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    bound_cidrs: Option<Vec<String>>,
    #[serde(default)]
    meta: Option<BTreeMap<String, String>>,
    #[serde(default)]
    display_name: String,
    num_uses: i64,
    #[serde(default)]
    renewable: bool,
    orphan: bool,
    /// Seconds; none or zero where it never ends.
    #[serde(default)]
    creation_ttl: u64,
    #[serde(default)]
    explicit_max_ttl: u64,
    #[serde(default)]
    period: u64,
}

impl Seen {
    pub fn is_orphan(&self) -> bool {
        self.orphan
    }

    /// Whose it is, and what it may do.
    pub fn shown(self) -> (String, Vec<String>) {
        (self.display_name, self.policies)
    }

    /// What is asked for to get another one like it, or why none can be.
    pub fn wish(&self) -> Result<Value, &'static str> {
        let is_said = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
        let has_any = |all: &Option<Vec<String>>| all.as_ref().is_some_and(|all| !all.is_empty());
        if self.policies.is_empty() || self.policies.iter().any(|policy| policy == "root") {
            return Err("the one in use is a root token, or has no policy");
        }
        if self.path != "auth/token/create" && self.path != "auth/token/create-orphan" {
            return Err(
                "the one in use came from signing in or from a token role: a new one comes from there too",
            );
        }
        if is_said(&self.entity_id) || has_any(&self.identity_policies) || is_said(&self.role) {
            return Err("the one in use has rights by its identity or its token role");
        }
        if self.kind.as_ref().is_some_and(|kind| kind != "service") {
            return Err("the one in use is no service token");
        }
        if self.num_uses != 0 || has_any(&self.bound_cidrs) {
            return Err("the one in use is limited in its uses, or to networks");
        }
        let mut wish = Map::new();
        let mut with = |name: &str, value: Value| wish.insert(name.to_owned(), value);
        with("policies", json!(self.policies));
        // Said, or it is added.
        with("no_default_policy", json!(!self.policies.iter().any(|policy| policy == "default")));
        with("renewable", json!(self.renewable));
        with("type", json!("service"));
        if let Some(meta) = self.meta.as_ref().filter(|meta| !meta.is_empty()) {
            with("meta", json!(meta));
        }
        // What it was called comes back with this before it.
        if let Some(name) = self.display_name.strip_prefix("token-").filter(|name| !name.is_empty()) {
            with("display_name", json!(name));
        }
        for (name, seconds) in
            [("ttl", self.creation_ttl), ("explicit_max_ttl", self.explicit_max_ttl), ("period", self.period)]
        {
            if seconds > 0 {
                with(name, json!(format!("{seconds}s")));
            }
        }
        Ok(Value::Object(wish))
    }
}
