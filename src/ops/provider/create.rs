//! A new provider, from a preset or with addresses of its own.
use super::discover::Discovered;
use super::endpoints::{self, GivenEndpoints, Resolved, Terms};
use super::{ProviderAnswer, ProviderRow};
use crate::app::App;
use crate::error::{Result, invalid};
use crate::ids::ProviderId;
use crate::model::access::Caller;
use crate::model::connection::GrantKind;
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
    /// Public; never the secret. Left out: the client registers itself at the issuer.
    #[schemars(length(max = 500))]
    #[serde(default)]
    pub client_id: String,
    /// Whose metadata gives the addresses, in place of a service
    #[schemars(length(max = 500))]
    pub issuer: Option<String>,
    /// authorization_code (default), or client_credentials where no person consents
    pub grant: Option<GrantKind>,
    /// What tokens are for (RFC 8707)
    #[schemars(length(max = 500))]
    pub resource: Option<String>,
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
    /// An issuer that nobody has agreed to ask yet: where it is.
    unasked: Option<String>,
    issuer: String,
    sends_iss: bool,
    grant_kind: GrantKind,
    resource: String,
    /// Where the client registers itself, as it has no id.
    registration_url: String,
    more_warnings: Vec<String>,
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
        self.resolved.needs_person || self.is_foreign_callback || self.unasked.is_some()
    }
    fn warnings(&self) -> Vec<String> {
        let mut all = endpoints::warnings(self.service.as_deref(), &self.resolved, &self.scopes);
        all.extend(self.more_warnings.iter().cloned());
        all
    }
}

impl CreateOauthProvider {
    /// Asks the issuer, where somebody who may has agreed: a person in person, or by approving this very request. Before
    /// that nothing is sent to where a model points (O-01).
    async fn discovered(&self, app: &App, caller: &Caller, is_agreed: bool) -> Result<Option<Discovered>> {
        let Some(issuer) = self.issuer.as_deref().map(str::trim).filter(|issuer| !issuer.is_empty()) else {
            return Ok(None);
        };
        if self.service.is_some() {
            return Err(invalid(
                "a provider has its addresses from a service or from an issuer, not from both",
            ));
        }
        match is_agreed || crate::ops::people_only(caller).is_ok() {
            true => super::discover::read_from(app, issuer).await.map(Some),
            // What a person is shown then is the issuer alone: nothing may stand beside it that they do not see.
            false if self.endpoints.is_some() => {
                Err(invalid("addresses come from the issuer, or are given: not both")
                    .next("Leave endpoints out, or the issuer."))
            }
            false => Ok(None),
        }
    }

    fn plan(&self, app: &App, found: Option<Discovered>) -> Result<Plan> {
        let grant_kind = match self.grant {
            Some(GrantKind::DeviceCode) => {
                return Err(invalid("grant is authorization_code or client_credentials")
                    .next("A provider with a device address offers codes besides: leave grant out."));
            }
            other => other.unwrap_or(GrantKind::AuthorizationCode),
        };
        let issuer = self.issuer.as_deref().map(str::trim).filter(|issuer| !issuer.is_empty());
        let unasked = match (&found, issuer) {
            (None, Some(issuer)) => {
                Some(endpoints::check_address("issuer", issuer, &app.config.file.outbound.allow)?)
            }
            _ => None,
        };
        let service = endpoints::service(app.catalogue, self.service.as_deref())?;
        let registers = self.client_id.trim().is_empty();
        let registration_url = found.as_ref().map_or(String::new(), |f| f.registration_url.clone());
        if registers && issuer.is_none() {
            return Err(
                invalid("client_id is missing").next("Give the id that the service shows for the client.")
            );
        }
        if registers && unasked.is_none() && registration_url.is_empty() {
            return Err(invalid("this issuer does not let clients register themselves: give a client_id"));
        }
        let client_id = if registers { String::new() } else { super::parse_client_id(&self.client_id)? };
        let name = match (&self.name, &service) {
            (Some(name), _) => super::parse_name(name)?,
            (None, Some(service)) => service.id.clone(),
            (None, None) => return Err(invalid("give a name or a service")),
        };
        let none = found.as_ref().map_or_else(Endpoints::default, |f| f.endpoints.clone());
        let own = match &self.endpoints {
            Some(given) => given.over(none),
            None => none,
        };
        let allow = &app.config.file.outbound.allow;
        let terms = Terms { allow, asks_person: grant_kind == GrantKind::AuthorizationCode };
        let mut resolved = match unasked {
            Some(_) => Resolved::unknown(),
            None => endpoints::resolve(service.as_deref(), &client_id, &self.params, &own, &terms)?,
        };
        let mut more_warnings = Vec::new();
        if let Some(found) = &found {
            resolved.client_auth = found.client_auth.unwrap_or(resolved.client_auth);
            if found.takes_s256 == Some(false) && grant_kind == GrantKind::AuthorizationCode {
                more_warnings.push("The issuer does not say that it takes PKCE with S256: a stolen code would be worth more there.".into());
            }
            if let Some(issuer) = issuer {
                let mut hosts: Vec<_> = endpoints::addresses(&resolved.endpoints)
                    .iter()
                    .map(|(_, url)| endpoints::host(url))
                    .collect();
                hosts.push(endpoints::host(issuer));
                more_warnings.extend(endpoints::domain_warning(hosts.iter().map(String::as_str)));
            }
            if !registration_url.is_empty() {
                endpoints::check_address("registration_endpoint", &registration_url, allow)?;
            }
        }
        let own_callback = super::own_callback(app);
        let callback_url = match &self.callback_url {
            Some(url) => super::parse_callback(url)?,
            None => super::callback_of(app, &name),
        };
        Ok(Plan {
            unasked,
            sends_iss: found.as_ref().is_some_and(|f| f.sends_iss),
            issuer: found.map_or(String::new(), |f| f.issuer),
            grant_kind,
            resource: self.resource.as_deref().map_or(Ok(String::new()), super::parse_resource)?,
            registration_url: if registers { registration_url } else { String::new() },
            more_warnings,
            is_foreign_callback: callback_url != own_callback
                && callback_url != super::callback_of(app, &name),
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
        // The question is the same when it is asked and when it is answered.
        let found = self.discovered(app, caller, false).await?;
        let plan = self.plan(app, found)?;
        let (asking, name) = (caller.clone(), plan.name.clone());
        app.store.read(move |tx| check(tx, &asking, &name)).await?;
        if !plan.needs_person() {
            return Ok(Confirm::Nothing);
        }
        let mut impact = endpoints::hosts(&plan.resolved.endpoints);
        if let Some(issuer) = &plan.unasked {
            impact.push(format!("issuer: {}", endpoints::host(issuer)));
            impact.push("its addresses are read from there, all of that domain, once you agree".into());
        }
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
        let found = self.discovered(app, caller, caller.approval.is_some()).await?;
        let mut plan = self.plan(app, found)?;
        // Who agreed saw the issuer, and not the addresses that it names: they are its own, or a person looks at them.
        if caller.approval.is_some()
            && let Some(issuer) = &self.issuer
        {
            let mut hosts: Vec<_> = endpoints::addresses(&plan.resolved.endpoints)
                .iter()
                .map(|(_, url)| endpoints::host(url))
                .collect();
            hosts.push(endpoints::host(issuer));
            if !plan.registration_url.is_empty() {
                hosts.push(endpoints::host(&plan.registration_url));
            }
            if endpoints::domain_warning(hosts.iter().map(String::as_str)).is_some() {
                return Err(invalid("the issuer names addresses of another domain than its own")
                    .next("An admin should add it in person: on the server's page, or with `unsaid provider add --issuer`."));
            }
        }
        let registered = match plan.registration_url.is_empty() {
            true => None,
            false => Some(
                super::register::register(app, &plan.registration_url, &plan.callback_url, plan.grant_kind)
                    .await?,
            ),
        };
        if let Some(registered) = &registered {
            plan.client_id.clone_from(&registered.client_id);
            plan.resolved.client_auth = registered.client_auth;
        }
        let keys = app.keys.clone();
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
                    client_auth: match registered {
                        Some(_) => plan.resolved.client_auth,
                        None => self.client_auth.unwrap_or(plan.resolved.client_auth),
                    },
                    grant_kind: plan.grant_kind,
                    issuer: plan.issuer,
                    sends_iss: plan.sends_iss,
                    resource: plan.resource,
                    endpoints: plan.resolved.endpoints,
                    scopes: plan.scopes,
                    params: plan.resolved.params,
                    callback_url: plan.callback_url,
                    is_preset: plan.resolved.is_preset,
                    wrapped_key: Vec::new(),
                    key_version: 0,
                    sealed_secret: Vec::new(),
                    secret_set_at: None,
                    next_wrapped_key: Vec::new(),
                    next_key_version: 0,
                    next_sealed: Vec::new(),
                    next_set_at: None,
                    next_refused_at: None,
                    created_at: now,
                    created_by: asking.user.clone(),
                    updated_at: now,
                    revision: 0,
                };
                if let Some(secret) = registered.and_then(|r| r.client_secret) {
                    super::secret::seal_into(&keys.vault(), &mut p, &secret, now)?;
                }
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
