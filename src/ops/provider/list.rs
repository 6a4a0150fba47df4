//! The providers of the org.
use super::ProviderRow;
use crate::app::App;
use crate::error::{Result, invalid};
use crate::model::suspicion::Kind;
use crate::model::access::Caller;
use crate::ops::{Effect, Operation, Permission, Toolset};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const PAGE: i64 = 20;
/// How much JSON a page holds, in bytes.
const BUDGET: usize = 20_000;

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ListOauthProviders {
    /// Only of this service.
    #[schemars(length(max = 64))]
    pub service: Option<String>,
    #[schemars(length(max = 64))]
    pub cursor: Option<String>,
    #[schemars(range(min = 1, max = 50))]
    pub limit: Option<u32>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct ProviderList {
    pub providers: Vec<ProviderRow>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

impl Operation for ListOauthProviders {
    const NAME: &'static str = "list_oauth_providers";
    const TITLE: &'static str = "OAuth providers";
    const ABOUT: &'static str = "See the org's OAuth clients: service, scopes and, for admins, their setup.";
    const TOOLSET: Toolset = Toolset::OAuth;
    const EFFECT: Effect = Effect::Reads;
    const NEEDS: Permission = Permission::Anyone;
    const IDEMPOTENT: bool = true;
    type Output = ProviderList;

    async fn run(self, app: &App, caller: &Caller) -> Result<ProviderList> {
        let limit = match self.limit {
            None => PAGE,
            Some(n) if (1..=50).contains(&n) => i64::from(n),
            Some(_) => return Err(invalid("limit is 1 to 50")),
        };
        // A page mark is a name of ours; anything else would come to lie in the database's own memory.
        let is_ours = |mark: &String| app.detector.check_text(mark, Kind::Identifier).is_none();
        if !self.cursor.as_ref().is_none_or(is_ours) {
            return Err(invalid("cursor is not one that this tool gave"));
        }
        let service =
            super::endpoints::service(app.catalogue, self.service.as_deref())?.map(|s| s.id.clone());
        let caller = caller.clone();
        app.store
            .read(move |tx| {
                let who = tx.standing(&caller)?;
                let mut after = self.cursor.unwrap_or_default();
                let (mut providers, mut size) = (Vec::new(), 0);
                loop {
                    let page = tx.providers(&caller.org, &after, limit + 1)?;
                    let is_last = (page.len() as i64) <= limit;
                    for p in page.iter().filter(|p| service.as_ref().is_none_or(|s| p.service == *s)) {
                        let row = ProviderRow::of(p, who.sees_all());
                        let bytes = serde_json::to_string(&row)
                            .map_err(|e| crate::error::internal("a provider is not JSON").because(e))?
                            .len();
                        let is_full = providers.len() as i64 == limit || size + bytes > BUDGET;
                        if is_full && !providers.is_empty() {
                            let next_cursor = providers.last().map(|last: &ProviderRow| last.name.clone());
                            return Ok(ProviderList { providers, next_cursor });
                        }
                        size += bytes + 1;
                        providers.push(row);
                    }
                    match page.last() {
                        Some(last) if !is_last => after = last.name.clone(),
                        _ => return Ok(ProviderList { providers, next_cursor: None }),
                    }
                }
            })
            .await
    }
}
