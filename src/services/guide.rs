//! How a credential is replaced, as its manifest says it and as a person reads it.
use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::Method;
use super::service::{Confidence, Service, is_false};

/// How to put a new credential in the place of an old one.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rotation {
    /// Old and new may work side by side.
    pub overlap_possible: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_active_keys: Option<u32>,
    /// Our advice, not the vendor's.
    pub recommended_interval_days: u32,
    /// The longest life the vendor allows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expiry_max_days: Option<u32>,
    /// For people, at most four.
    pub steps: Vec<String>,
    /// `create` with `revoke` makes a new one beside the old; `rotate` changes the value in place.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub api: BTreeMap<String, ApiCall>,
}

/// One call of a vendor's API, or one statement of SQL.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApiCall {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<Method>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sql: Option<String>,
    /// The stored credential may do this to itself.
    #[serde(default, skip_serializing_if = "is_false")]
    pub self_service: bool,
    /// What the calling credential must be allowed to do.
    pub needs: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub success_status: Vec<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<serde_json::Map<String, serde_json::Value>>,
}

/// What somebody needs to know before rotating a credential of one service.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Guide {
    pub service: String,
    pub name: String,
    /// Old and new may work side by side.
    pub overlap: bool,
    /// Why there will be a gap; absent when there need not be one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
    pub steps: Vec<String>,
    /// The pages to open, the main one first.
    pub pages: Vec<Page>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_active_keys: Option<u32>,
    /// Our advice, not the vendor's.
    pub recommended_interval_days: u32,
    /// The longest life the vendor allows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expiry_max_days: Option<u32>,
    /// What the vendor's API can do about it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub api: Vec<ApiStep>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lifecycle_notice: Option<String>,
    /// How sure we are of the steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confidence: Option<Confidence>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub docs_url: Option<String>,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Page {
    /// What the page manages.
    pub what: String,
    /// May hold `{name}` for a parameter that the credential's configuration knows.
    pub url: String,
}

/// One thing the vendor's API can do.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ApiStep {
    /// `create`, `rotate`, `revoke`, `disable` and their kin.
    pub action: String,
    /// The stored credential may do it to itself.
    pub self_service: bool,
    /// What the calling credential must be allowed to do.
    pub needs: String,
}

/// The guide that `service`'s manifest amounts to.
pub fn rotation_guide(service: &Service) -> Guide {
    let rotation = &service.rotation;
    let main = service.manage_url.iter().map(|url| ("credentials".to_owned(), url));
    let more = service.manage_urls.iter().map(|(what, url)| (what.replace('_', " "), url));
    Guide {
        service: service.id.clone(),
        name: service.name.clone(),
        overlap: rotation.overlap_possible,
        warning: (!rotation.overlap_possible).then(|| {
            "The old value stops when the new one is made: have every place that uses it ready, and expect a short gap."
                .to_owned()
        }),
        steps: rotation.steps.clone(),
        pages: main.chain(more).map(|(what, url)| Page { what, url: url.clone() }).collect(),
        max_active_keys: rotation.max_active_keys,
        recommended_interval_days: rotation.recommended_interval_days,
        expiry_max_days: rotation.expiry_max_days,
        api: rotation
            .api
            .iter()
            .map(|(action, call)| ApiStep {
                action: action.clone(),
                self_service: call.self_service,
                needs: call.needs.clone(),
            })
            .collect(),
        lifecycle_notice: service.lifecycle_notice.clone(),
        confidence: service.group_confidence.rotation,
        docs_url: service.docs_url.clone(),
    }
}

#[cfg(test)]
mod tests {
    use crate::services::catalogue::Catalogue;

    use super::*;

    #[test]
    fn a_service_without_overlap_warns_of_the_gap() {
        let catalogue = Catalogue::embedded();

        let with = rotation_guide(&catalogue.service("stripe").expect("in the catalogue"));
        let without = rotation_guide(&catalogue.service("telegram").expect("in the catalogue"));

        assert!(with.overlap && with.warning.is_none());
        assert!(!without.overlap && without.warning.is_some());
    }

    #[test]
    fn the_main_page_comes_first_and_what_the_api_can_do_is_named() {
        let guide = rotation_guide(&Catalogue::embedded().service("aws").expect("in the catalogue"));

        assert!(guide.pages[0].url.contains("security_credentials"));
        assert_eq!(guide.max_active_keys, Some(2));
        assert!(guide.api.iter().any(|step| step.action == "create" && step.self_service));
    }
}
