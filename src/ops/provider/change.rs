//! Changes of a provider. A changed address voids the client secret: it was sealed to the address before.
use super::endpoints::{self, GivenEndpoints, Resolved, Terms};
use super::{ProviderAnswer, ProviderRow};
use crate::app::App;
use crate::error::{Code, Error, Result};
use crate::model::access::Caller;
use crate::model::connection::GrantKind;
use crate::model::entry::EntryPurpose;
use crate::model::provider::{ClientAuth, Endpoints, Provider};
use crate::model::text::Reason;
use crate::ops::confirm::{Confirm, Question};
use crate::ops::org::{about, named};
use crate::ops::{Effect, Operation, Permission, Toolset, connection, reach};
use crate::services::Catalogue;
use crate::store::Reader;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateOauthProvider {
    /// Id or name.
    #[schemars(length(min = 1, max = 64))]
    pub provider: String,
    #[schemars(length(max = 64))]
    pub new_name: Option<String>,
    #[schemars(length(max = 500))]
    pub client_id: Option<String>,
    pub client_auth: Option<ClientAuth>,
    #[schemars(length(max = 100))]
    pub scopes: Option<Vec<String>>,
    /// Replaces all.
    pub params: Option<BTreeMap<String, String>>,
    /// Replaces those given; an empty one is removed, or the preset's again. Changing one voids the client secret.
    pub endpoints: Option<GivenEndpoints>,
    #[schemars(length(max = 500))]
    pub callback_url: Option<String>,
    /// What tokens are for (RFC 8707); empty: nothing
    #[schemars(length(max = 500))]
    pub resource: Option<String>,
    pub reason: Option<Reason>,
}

/// The provider as it would be, and what that means.
struct Plan {
    before: Provider,
    after: Provider,
    needs_person: bool,
    voids_secret: bool,
    /// Connections that end with it.
    detached: usize,
    warnings: Vec<String>,
}

impl UpdateOauthProvider {
    fn plan(
        &self,
        tx: &Reader<'_>,
        caller: &Caller,
        catalogue: &Catalogue,
        own_callback: &str,
        allow: &[String],
    ) -> Result<Plan> {
        reach::admin(tx, caller)?;
        let before = tx.provider_named(&caller.org, &named(&self.provider)?)?;
        let mut after = before.clone();
        if let Some(name) = &self.new_name {
            after.name = super::parse_name(name)?;
            if tx.provider_named(&caller.org, &after.name).is_ok_and(|other| other.id != after.id) {
                return Err(endpoints::taken(&after.name));
            }
        }
        if let Some(id) = &self.client_id {
            after.client_id = super::parse_client_id(id)?;
        }
        after.client_auth = self.client_auth.unwrap_or(after.client_auth);
        if let Some(scopes) = &self.scopes {
            after.scopes = super::parse_scopes(scopes)?;
        }
        if let Some(url) = &self.callback_url {
            after.callback_url = super::parse_callback(url)?;
        }
        let service = endpoints::service(catalogue, Some(before.service.as_str()))?;
        let redirects = self.params.is_some() || self.endpoints.is_some();
        let mut needs_person = after.callback_url != before.callback_url
            && after.callback_url != own_callback
            && after.callback_url != format!("{own_callback}/{}", after.name);
        if redirects || after.client_id != before.client_id {
            let params = self.params.clone().unwrap_or_else(|| before.params.iter().cloned().collect());
            let own = overlay(&before, self.endpoints.as_ref());
            let terms = Terms { allow, asks_person: before.grant_kind != GrantKind::ClientCredentials };
            let resolved = endpoints::resolve(service.as_deref(), &after.client_id, &params, &own, &terms)?;
            after.endpoints = resolved.endpoints;
            after.params = resolved.params;
            after.is_preset = resolved.is_preset;
            // The parameters say where the broker sends its tokens, too.
            needs_person |= resolved.needs_person
                && (after.endpoints != before.endpoints || after.params != before.params);
        }
        // A secret for a client that no longer sends one, or for another address, is destroyed.
        let voids_secret = before.has_secret()
            && (after.endpoints.canonical() != before.endpoints.canonical()
                || after.client_auth == ClientAuth::None);
        if voids_secret {
            after.wrapped_key = Vec::new();
            after.sealed_secret = Vec::new();
            after.key_version = 0;
            after.secret_set_at = None;
            after.drop_next();
        }
        if let Some(resource) = &self.resource {
            after.resource = super::parse_resource(resource)?;
        }
        // Whose name it is was found out for the addresses of before.
        if after.endpoints != before.endpoints {
            after.issuer = String::new();
            after.sends_iss = false;
        }
        // Nobody consents to what such a client is given, so somebody agrees to what is asked for.
        if before.grant_kind == GrantKind::ClientCredentials
            && (after.scopes.iter().any(|scope| !before.scopes.contains(scope))
                || after.resource != before.resource)
        {
            needs_person = true;
        }
        let detached = match connection::policy(&after) != connection::policy(&before) {
            true => tx.connections_of_provider(&before.org_id, &before.id)?.len(),
            false => 0,
        };
        if after == before {
            return Err(Error::new(Code::NothingToDo, format!("{} is that way already", before.name)));
        }
        let seen = Resolved {
            endpoints: after.endpoints.clone(),
            is_preset: after.is_preset,
            needs_person,
            params: Vec::new(),
            client_auth: after.client_auth,
        };
        let mut warnings = endpoints::warnings(service.as_deref(), &seen, &after.scopes);
        if voids_secret {
            warnings.push(
                "The client secret was for the setup before: it is destroyed, and must be entered again."
                    .into(),
            );
        }
        if detached > 0 {
            warnings.push(format!(
                "{detached} connections have to be connected again by a person: their tokens are destroyed."
            ));
        }
        Ok(Plan {
            before,
            after,
            needs_person,
            voids_secret: voids_secret || detached > 0,
            detached,
            warnings,
        })
    }
}

/// What the caller gives over what the provider had of its own; a preset's addresses are filled in anew.
fn overlay(before: &Provider, given: Option<&GivenEndpoints>) -> Endpoints {
    let own = if before.is_preset { Endpoints::default() } else { before.endpoints.clone() };
    match given {
        Some(given) => given.over(own),
        None => own,
    }
}

impl Operation for UpdateOauthProvider {
    const NAME: &'static str = "update_oauth_provider";
    const TITLE: &'static str = "Change an OAuth provider";
    const ABOUT: &'static str =
        "Change an OAuth client's name, id, scopes or addresses. A changed address voids its client secret.";
    const TOOLSET: Toolset = Toolset::OAuth;
    const EFFECT: Effect = Effect::Redirects;
    const NEEDS: Permission = Permission::Admin;
    const IDEMPOTENT: bool = true;
    type Output = ProviderAnswer;

    async fn confirm(&self, app: &App, caller: &Caller) -> Result<Confirm> {
        let (asking, wanted, catalogue) = (caller.clone(), self.clone(), app.catalogue);
        let own_callback = super::own_callback(app);
        let allow = app.config.file.outbound.allow.clone();
        let plan =
            app.store.read(move |tx| wanted.plan(tx, &asking, catalogue, &own_callback, &allow)).await?;
        // Destroying a secret cannot be undone, so a form is not enough.
        if !plan.needs_person && !plan.voids_secret {
            return Ok(Confirm::Nothing);
        }
        let mut impact = Vec::new();
        if plan.after.endpoints != plan.before.endpoints {
            impact.extend(
                endpoints::hosts(&plan.before.endpoints).iter().map(|line| format!("before, {line}")),
            );
            impact
                .extend(endpoints::hosts(&plan.after.endpoints).iter().map(|line| format!("after, {line}")));
        }
        if plan.after.callback_url != plan.before.callback_url {
            impact.push(format!("callback before: {}", plan.before.callback_url));
            impact.push(format!("callback after: {}", plan.after.callback_url));
        }
        if plan.after.scopes != plan.before.scopes {
            impact.push(format!("scopes before: {}", plan.before.scopes.join(", ")));
            impact.push(format!("scopes after: {}", plan.after.scopes.join(", ")));
        }
        if plan.after.resource != plan.before.resource {
            impact.push(format!("resource after: {}", plan.after.resource));
        }
        impact.extend(plan.warnings);
        Ok(Confirm::Person(Question {
            summary: format!("change where the OAuth provider {} sends", plan.before.name),
            impact,
            reason: self.reason.as_ref().map_or(String::new(), |reason| reason.as_str().to_owned()),
            pins: vec![("provider", plan.before.id.0.clone())],
        }))
    }

    fn entry(answer: &Value) -> Option<(EntryPurpose, String)> {
        super::wants_secret(answer)
    }

    async fn run(self, app: &App, caller: &Caller) -> Result<ProviderAnswer> {
        let (asking, catalogue, own_callback) = (caller.clone(), app.catalogue, super::own_callback(app));
        let allow = app.config.file.outbound.allow.clone();
        app.store
            .write(caller, move |tx| {
                let plan = self.plan(tx, &asking, catalogue, &own_callback, &allow)?;
                if plan.needs_person || plan.voids_secret {
                    Confirm::Person(Question::default()).expect_agreed(&asking)?;
                }
                let mut p = plan.after;
                p.updated_at = tx.now();
                tx.save(&mut p)?;
                if plan.detached > 0 {
                    connection::forget_all(tx, &p)?;
                }
                let reason = self.reason.as_ref().map_or("", Reason::as_str);
                let event = about(Self::NAME, "provider", p.id.as_str(), &p.name, p.revision)
                    .because(reason)
                    .with("hosts", endpoints::hosts(&p.endpoints))
                    .with("hosts_before", endpoints::hosts(&plan.before.endpoints))
                    .with("secret_voided", plan.voids_secret)
                    .with("detached", plan.detached);
                let next = super::next_steps(&p);
                let warnings = plan.warnings;
                tx.record(
                    event,
                    ProviderAnswer { provider: ProviderRow::of(&p, true), warnings, next, entry: None },
                )
            })
            .await
    }
}
