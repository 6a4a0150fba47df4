//! A new provider, from a preset or with addresses of its own.
use super::endpoints::{self, GivenEndpoints, Resolved};
use super::{ProviderAnswer, ProviderRow};
use crate::app::App;
use crate::error::{Result, invalid};
use crate::ids::ProviderId;
use crate::model::access::Caller;
use crate::model::entry::EntryPurpose;
use crate::model::provider::{ClientAuth, Endpoints, Provider};
use crate::model::text::Reason;
use crate::ops::confirm::{Confirm, Question};
use crate::ops::org::about;
use crate::ops::{Effect, Operation, Permission, Toolset, reach};
use crate::services::Service;
use crate::store::Reader;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateOauthProvider {
    /// Default the service's id.
    #[schemars(length(max = 64))]
    pub name: Option<String>,
    /// Its preset gives the addresses.
    #[schemars(length(max = 64))]
    pub service: Option<String>,
    /// Public; never the secret.
    #[schemars(length(min = 1, max = 500))]
    pub client_id: String,
    pub client_auth: Option<ClientAuth>,
    #[serde(default)]
    #[schemars(length(max = 100))]
    pub scopes: Vec<String>,
    /// As get_service lists them.
    #[serde(default)]
    pub params: BTreeMap<String, String>,
    /// Only where there is no preset.
    pub endpoints: Option<GivenEndpoints>,
    #[schemars(length(max = 500))]
    pub callback_url: Option<String>,
    pub reason: Option<Reason>,
}

/// Everything that can be judged before a transaction.
struct Plan {
    name: String,
    service: Option<Arc<Service>>,
    client_id: String,
    resolved: Resolved,
    scopes: Vec<String>,
    callback_url: String,
    /// The callback is not one of our own.
    is_foreign_callback: bool,
}

impl Plan {
    /// Where the caller, and not the catalogue, decides where something goes.
    fn needs_person(&self) -> bool {
        self.resolved.needs_person || self.is_foreign_callback
    }
    fn warnings(&self) -> Vec<String> {
        endpoints::warnings(self.service.as_deref(), &self.resolved, &self.scopes)
    }
}

impl CreateOauthProvider {
    fn plan(&self, app: &App) -> Result<Plan> {
        let service = endpoints::service(app.catalogue, self.service.as_deref())?;
        let client_id = super::parse_client_id(&self.client_id)?;
        let name = match (&self.name, &service) {
            (Some(name), _) => super::parse_name(name)?,
            (None, Some(service)) => service.id.clone(),
            (None, None) => return Err(invalid("give a name or a service")),
        };
        let none = Endpoints::default();
        let own = match &self.endpoints {
            Some(given) => given.over(none),
            None => none,
        };
        let resolved = endpoints::resolve(service.as_deref(), &client_id, &self.params, &own)?;
        let own_callback = super::own_callback(app);
        let callback_url = match &self.callback_url {
            Some(url) => super::parse_callback(url)?,
            None => own_callback.clone(),
        };
        Ok(Plan {
            is_foreign_callback: callback_url != own_callback,
            name,
            service,
            client_id,
            resolved,
            scopes: super::parse_scopes(&self.scopes)?,
            callback_url,
        })
    }
}

fn check(tx: &Reader<'_>, caller: &Caller, name: &str) -> Result<()> {
    reach::admin(tx, caller)?;
    match tx.provider_named(&caller.org, name) {
        Ok(_) => Err(endpoints::taken(name)),
        Err(e) if e.code == crate::error::Code::ProviderNotFound => Ok(()),
        Err(e) => Err(e),
    }
}

impl Operation for CreateOauthProvider {
    const NAME: &'static str = "create_oauth_provider";
    const TITLE: &'static str = "Add an OAuth provider";
    const ABOUT: &'static str = "Set up an OAuth client of the org from a service's preset; a person enters its client secret, on a page or in a terminal.";
    const TOOLSET: Toolset = Toolset::OAuth;
    const EFFECT: Effect = Effect::Redirects;
    const NEEDS: Permission = Permission::Admin;
    type Output = ProviderAnswer;

    async fn confirm(&self, app: &App, caller: &Caller) -> Result<Confirm> {
        let asking = caller.clone();
        app.store.read(move |tx| reach::admin(tx, &asking).map(drop)).await?;
        let plan = self.plan(app)?;
        let (asking, name) = (caller.clone(), plan.name.clone());
        app.store.read(move |tx| check(tx, &asking, &name)).await?;
        if !plan.needs_person() {
            return Ok(Confirm::Nothing);
        }
        let mut impact = endpoints::hosts(&plan.resolved.endpoints);
        impact.push(format!("callback: {}", plan.callback_url));
        impact.extend(plan.warnings());
        Ok(Confirm::Person(Question {
            summary: format!(
                "add the OAuth provider {} with addresses that are not the catalogue's",
                plan.name
            ),
            impact,
            reason: self.reason.as_ref().map_or(String::new(), |reason| reason.as_str().to_owned()),
            // Another process than this one may carry it out, with a callback of its own.
            pins: vec![("callback_url", plan.callback_url)],
        }))
    }

    fn entry(answer: &Value) -> Option<(EntryPurpose, String)> {
        super::wants_secret(answer)
    }

    async fn run(self, app: &App, caller: &Caller) -> Result<ProviderAnswer> {
        let asking = caller.clone();
        // Rights come first: whoever may not do it learns nothing from what their input would lead to.
        app.store.read(move |tx| reach::admin(tx, &asking).map(drop)).await?;
        let plan = self.plan(app)?;
        let asking = caller.clone();
        app.store
            .write(caller, move |tx| {
                check(tx, &asking, &plan.name)?;
                let warnings = plan.warnings();
                let now = tx.now();
                let mut p = Provider {
                    id: ProviderId::fresh(),
                    org_id: asking.org.clone(),
                    name: plan.name,
                    service: plan.service.as_ref().map_or(String::new(), |s| s.id.clone()),
                    client_id: plan.client_id,
                    client_auth: self.client_auth.unwrap_or(plan.resolved.client_auth),
                    endpoints: plan.resolved.endpoints,
                    scopes: plan.scopes,
                    params: plan.resolved.params,
                    callback_url: plan.callback_url,
                    is_preset: plan.resolved.is_preset,
                    wrapped_key: Vec::new(),
                    key_version: 0,
                    sealed_secret: Vec::new(),
                    secret_set_at: None,
                    created_at: now,
                    created_by: asking.user.clone(),
                    updated_at: now,
                    revision: 0,
                };
                tx.insert(&mut p)?;
                let reason = self.reason.as_ref().map_or("", Reason::as_str);
                let event = about(Self::NAME, "provider", p.id.as_str(), &p.name, p.revision)
                    .because(reason)
                    .with("service", p.service.clone())
                    .with("is_preset", p.is_preset)
                    .with("hosts", endpoints::hosts(&p.endpoints));
                let next = super::next_steps(&p);
                tx.record(
                    event,
                    ProviderAnswer { provider: ProviderRow::of(&p, true), warnings, next, entry: None },
                )
            })
            .await
    }
}
