//! Services: the list, and what is known of one. What a person or a model needs, not the whole manifest.
use crate::app::App;
use crate::error::{Result, invalid};
use crate::model::access::Caller;
use crate::ops::{Effect, Operation, Permission, Toolset};
use crate::services::catalogue::{Filter, Summary};
use crate::services::service::Confidence;
use crate::services::{CredentialType, Service};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const PAGE: usize = 50;

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ListServices {
    /// Words in name, category or variable names.
    #[schemars(length(max = 80))]
    pub text: Option<String>,
    #[schemars(length(max = 40))]
    pub category: Option<String>,
    pub credential_type: Option<CredentialType>,
    /// Has an OAuth preset.
    pub oauth: Option<bool>,
    #[schemars(length(max = 64))]
    pub cursor: Option<String>,
    #[schemars(range(min = 1, max = 150))]
    pub limit: Option<u32>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct ServiceList {
    pub services: Vec<Summary>,
    pub total: usize,
    /// On the first page.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub categories: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GetService {
    /// Id or alias.
    #[schemars(length(min = 1, max = 64))]
    pub service: String,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct ServiceDetails {
    pub id: String,
    pub name: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    pub category: String,
    pub credential_types: Vec<CredentialType>,
    /// Customary variables.
    pub env_names: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub website: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub docs_url: Option<String>,
    /// Where a person makes and revokes keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manage_url: Option<String>,
    pub keys: Vec<KeyShape>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub params: Vec<ParamRow>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oauth: Option<OauthSummary>,
    /// A request is known that tests a key.
    pub can_be_tested: bool,
    pub overlap: bool,
    pub recommended_interval_days: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lifecycle_notice: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notes: Option<String>,
    pub confidence: Confidence,
    /// Known MCP servers that take a value of it: what register_consumer is given as server.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(skip)]
    pub mcp_servers: Vec<String>,
}

/// The shape of a key, made of x, X and 0.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline)]
pub struct KeyShape {
    pub kind: String,
    pub example_shape: String,
    /// Not a secret.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub public: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// A value that addresses need besides.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline)]
pub struct ParamRow {
    pub name: String,
    pub label: String,
    pub example: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline)]
pub struct OauthSummary {
    pub authorization_url: String,
    pub token_url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offline_scope: Option<String>,
    /// `scope: meaning (risk)`.
    pub scopes: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notes: Option<String>,
}

impl From<&Service> for ServiceDetails {
    fn from(s: &Service) -> Self {
        let key = |k: &crate::services::service::Key| KeyShape {
            kind: k.kind.clone(),
            example_shape: k.example_shape.clone(),
            public: k.public,
            note: k.note.clone(),
        };
        let param = |p: &crate::services::service::Param| ParamRow {
            name: p.name.clone(),
            label: p.label.clone(),
            example: p.example.clone(),
            default: p.default.clone(),
        };
        Self {
            id: s.id.clone(),
            name: s.name.clone(),
            aliases: s.aliases.clone(),
            category: s.category.clone(),
            credential_types: s.credential_types.clone(),
            env_names: s.env_names.clone(),
            website: s.website.clone(),
            docs_url: s.docs_url.clone(),
            manage_url: s.manage_url.clone(),
            keys: s.keys.iter().map(key).collect(),
            params: s.params.iter().map(param).collect(),
            oauth: s.oauth.as_ref().map(|o| OauthSummary {
                authorization_url: o.authorization_url.clone(),
                token_url: o.token_url.clone(),
                offline_scope: o.offline_scope.clone(),
                scopes: o
                    .scopes
                    .iter()
                    .map(|s| {
                        format!("{}: {} ({})", s.scope, s.meaning, format!("{:?}", s.risk).to_lowercase())
                    })
                    .collect(),
                notes: o.notes.clone(),
            }),
            can_be_tested: s.verify.is_some(),
            overlap: s.rotation.overlap_possible,
            recommended_interval_days: s.rotation.recommended_interval_days,
            lifecycle_notice: s.lifecycle_notice.clone(),
            notes: s.notes.clone(),
            confidence: s.confidence,
            mcp_servers: Vec::new(),
        }
    }
}

impl Operation for ListServices {
    const NAME: &'static str = "list_services";
    const TITLE: &'static str = "Services of the catalogue";
    const ABOUT: &'static str =
        "Find which services are known: by words, category, kind of credential, or OAuth.";
    const TOOLSET: Toolset = Toolset::Catalogue;
    const EFFECT: Effect = Effect::Reads;
    const NEEDS: Permission = Permission::Anyone;
    const IDEMPOTENT: bool = true;
    type Output = ServiceList;

    async fn run(self, app: &App, caller: &Caller) -> Result<ServiceList> {
        enabled(app, caller).await?;
        let limit = match self.limit {
            None => PAGE,
            Some(n) if (1..=150).contains(&n) => n as usize,
            Some(_) => return Err(invalid("limit is 1 to 150")),
        };
        let filter = Filter {
            text: self.text,
            credential_type: self.credential_type,
            category: self.category,
            oauth: self.oauth,
        };
        let all = app.catalogue.list(&filter);
        let after = self.cursor.as_deref().unwrap_or("");
        let total = all.len();
        let mut services: Vec<_> =
            all.into_iter().filter(|s| s.id.as_str() > after).take(limit + 1).collect();
        let more = services.len() > limit;
        services.truncate(limit);
        let categories = match self.cursor {
            None => app.catalogue.categories().into_iter().map(str::to_owned).collect(),
            Some(_) => Vec::new(),
        };
        let next_cursor = services.last().filter(|_| more).map(|s| s.id.clone());
        Ok(ServiceList { services, total, categories, next_cursor })
    }
}

impl Operation for GetService {
    const NAME: &'static str = "get_service";
    const TITLE: &'static str = "One service";
    const ABOUT: &'static str =
        "See how a service's keys look, where they are made, and what its OAuth offers.";
    const TOOLSET: Toolset = Toolset::Catalogue;
    const EFFECT: Effect = Effect::Reads;
    const NEEDS: Permission = Permission::Anyone;
    const IDEMPOTENT: bool = true;
    type Output = ServiceDetails;

    async fn run(self, app: &App, caller: &Caller) -> Result<ServiceDetails> {
        enabled(app, caller).await?;
        let service = app.catalogue.service(&self.service)?;
        let mcp_servers = app.servers.of_service(&service.id);
        Ok(ServiceDetails { mcp_servers, ..ServiceDetails::from(&*service) })
    }
}

/// The catalogue is for enabled users of the vault, as everything is.
async fn enabled(app: &App, caller: &Caller) -> Result<()> {
    let caller = caller.clone();
    app.store.read(move |tx| tx.standing(&caller).map(drop)).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;
    use crate::model::access::Door;
    use crate::ops::org::UpdateUser;
    use crate::ops::org::fixture::Place;

    #[tokio::test]
    async fn pages_hold_every_service_once_and_stay_small() {
        let world = Place::new().await;

        let (mut cursor, mut seen) = (None, Vec::new());
        loop {
            let ask = ListServices { cursor, limit: Some(150), ..ListServices::default() };
            let page = world.run("max", Door::Stdio, ask).await.unwrap();
            assert!(serde_json::to_string(&page).unwrap().len() < 24_000);
            seen.extend(page.services.into_iter().map(|s| s.id));
            cursor = page.next_cursor;
            if cursor.is_none() {
                assert_eq!(seen.len(), page.total);
                break;
            }
        }
        assert!(seen.is_sorted());
    }

    #[tokio::test]
    async fn the_details_of_every_service_fit_into_a_context() {
        let world = Place::new().await;

        for service in world.app.catalogue.services() {
            let details = ServiceDetails::from(&**service);
            assert!(serde_json::to_string(&details).unwrap().len() < 24_000, "{}", service.id);
        }
        let github = world.run("max", Door::Stdio, GetService { service: "GitHub".into() }).await.unwrap();
        assert!(github.oauth.is_some() && github.env_names.contains(&"GITHUB_TOKEN".to_owned()));
        assert!(github.mcp_servers.contains(&"github".to_owned()), "{:?}", github.mcp_servers);
    }

    #[tokio::test]
    async fn what_is_not_there_is_not_found_and_not_repeated() {
        let world = Place::new().await;

        for name in ["planted-name", "", "../github"] {
            let refused =
                world.run("max", Door::Stdio, GetService { service: name.into() }).await.unwrap_err();
            assert_eq!(refused.code, Code::ServiceNotFound);
            assert!(!refused.message().contains("planted"));
        }
        let none = ListServices { text: Some("no-such-thing".into()), ..ListServices::default() };
        assert_eq!(world.run("max", Door::Stdio, none).await.unwrap().total, 0);
        let limit = ListServices { limit: Some(151), ..ListServices::default() };
        assert_eq!(world.run("max", Door::Stdio, limit).await.unwrap_err().code, Code::InvalidInput);
    }

    #[tokio::test]
    async fn a_disabled_user_reads_not_even_the_catalogue() {
        let world = Place::new().await;
        let disable = UpdateUser { user: "max".into(), role: None, disabled: Some(true), display_name: None };
        world.run("ada", Door::Cli, disable).await.unwrap();

        let refused = world.run("max", Door::Stdio, ListServices::default()).await.unwrap_err();
        assert_eq!(refused.code, Code::NotAllowed);
        let refused =
            world.run("max", Door::Stdio, GetService { service: "github".into() }).await.unwrap_err();
        assert_eq!(refused.code, Code::NotAllowed);
    }
}
