//! Which service a value comes from, told by its shape alone.
//!
//! Meant for values that people enter. A guess is never a reason to send the value anywhere: shapes that several
//! vendors share are not used here at all, and where one vendor's shape serves several services, all are named.
use std::sync::{Arc, OnceLock};

use regex::Regex;
use schemars::JsonSchema;
use serde::Serialize;

use super::catalogue::Catalogue;
use super::service::{Sensitivity, Service};

/// What a value looks like.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Recognised {
    pub service: String,
    pub kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sensitivity: Option<Sensitivity>,
    /// An identifier or publishable value, not a secret.
    pub public: bool,
    /// Other services that issue this very shape: ask which one it is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub also_used_by: Vec<String>,
}

/// Every recognising expression of a catalogue. Each is compiled when a value with its first letters comes by.
pub(super) struct Shapes(Vec<Shape>);

struct Shape {
    service: Arc<Service>,
    key: usize,
    compiled: OnceLock<Option<Regex>>,
}

impl Shape {
    fn text(&self) -> &str {
        self.service.keys[self.key].regex.as_deref().unwrap_or_default()
    }

    fn matches(&self, value: &str) -> bool {
        value.starts_with(literal_prefix(self.text()))
            && self
                .compiled
                .get_or_init(|| Regex::new(self.text()).ok())
                .as_ref()
                .is_some_and(|r| r.is_match(value))
    }
}

impl Catalogue {
    fn shapes(&self) -> &[Shape] {
        let shapes = self.shapes.get_or_init(|| {
            let with_regex = |service: &Arc<Service>| {
                let keys = service.keys.iter().enumerate().filter(|(_, key)| key.regex.is_some());
                keys.map(|(key, _)| Shape { service: Arc::clone(service), key, compiled: OnceLock::new() })
                    .collect::<Vec<_>>()
            };
            Shapes(self.services().flat_map(with_regex).collect())
        });
        &shapes.0
    }

    /// What this value looks like; blanks around it are ignored. At most one service, unless a user's own
    /// manifest claims a shape of ours.
    pub fn recognise(&self, value: &str) -> Vec<Recognised> {
        let value = value.trim();
        self.shapes()
            .iter()
            .filter(|shape| shape.matches(value))
            .map(|shape| {
                let key = &shape.service.keys[shape.key];
                Recognised {
                    service: shape.service.id.clone(),
                    kind: key.kind.clone(),
                    sensitivity: key.sensitivity,
                    public: key.public,
                    also_used_by: key.also_used_by.clone(),
                }
            })
            .collect()
    }

    /// The anchored expressions of everything that is a secret; identifiers and publishable values are left out.
    pub fn known_shapes(&self) -> impl Iterator<Item = &str> {
        self.shapes().iter().filter(|shape| !shape.service.keys[shape.key].public).map(Shape::text)
    }
}

/// The letters that everything matched by an anchored expression begins with; empty when there are none to see.
///
/// A rule of the manifests keeps `|` out of the top level, so what stands before the first group, class or
/// repetition is common to all matches.
fn literal_prefix(regex: &str) -> &str {
    let body = regex.strip_prefix('^').unwrap_or_default();
    let plain = |c: char| {
        c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | ':' | '/' | '=' | '~' | ',' | '@' | ' ')
    };
    let end = body.find(|c| !plain(c)).unwrap_or(body.len());
    // `ab?` and `ab{0,3}` may do without the b.
    let repeated = body[end..].starts_with(['?', '*', '+', '{']);
    &body[..end - usize::from(repeated && end > 0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_recognised_and_its_sensitivity_told() {
        let value = format!("  sk_{}_{}\n", "live", "x".repeat(24));

        let found = Catalogue::embedded().recognise(&value);

        assert_eq!(found.len(), 1);
        assert_eq!((found[0].service.as_str(), found[0].kind.as_str()), ("stripe", "secret_key_live"));
        assert_eq!(found[0].sensitivity, Some(Sensitivity::Live));
        assert!(!found[0].public);
    }

    #[test]
    fn a_shape_of_several_services_names_them_all() {
        let found = Catalogue::embedded().recognise(&format!("AI{}{}", "za", "x".repeat(35)));

        assert_eq!(found[0].service, "google");
        assert_eq!(found[0].also_used_by, ["google-ai", "youtube"]);
    }

    #[test]
    fn ordinary_text_is_nothing() {
        for text in
            ["", "hello", "production", "0123456789abcdef0123456789abcdef", "https://example.com/", "a b c"]
        {
            assert!(Catalogue::embedded().recognise(text).is_empty(), "{text}");
        }
    }

    #[test]
    fn publishable_values_are_recognised_but_are_no_known_secret_shape() {
        let catalogue = Catalogue::embedded();

        assert!(catalogue.recognise(&format!("pk_{}_{}", "live", "x".repeat(24)))[0].public);
        assert!(catalogue.known_shapes().all(|text| !text.starts_with("^pk_live_")));
        assert!(catalogue.known_shapes().any(|text| text.starts_with("^sk_live_")));
    }

    #[test]
    fn a_literal_prefix_stops_before_whatever_may_vary() {
        assert_eq!(literal_prefix("^ghp_[0-9]{36}$"), "ghp_");
        assert_eq!(literal_prefix("^ab?c$"), "a");
        assert_eq!(literal_prefix("^(?:a|b)c$"), "");
        assert_eq!(literal_prefix("^AQ\\.x$"), "AQ");
    }

    #[test]
    fn recognising_compiles_only_what_could_match() {
        let catalogue = Catalogue::embedded();
        catalogue.recognise("#");

        let unanchored_at_first =
            catalogue.shapes().iter().filter(|s| literal_prefix(s.text()).is_empty()).count();

        assert!(unanchored_at_first < 20, "{unanchored_at_first} expressions are compiled for every value");
    }
}
