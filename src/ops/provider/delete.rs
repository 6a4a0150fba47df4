//! Deleting a provider that no credential is bound to.
use crate::app::App;
use crate::error::{Code, Error, Result};
use crate::ids::ProviderId;
use crate::model::access::Caller;
use crate::model::provider::Provider;
use crate::model::text::Reason;
use crate::ops::confirm::{Confirm, Question};
use crate::ops::org::{about, named};
use crate::ops::{Effect, Operation, Permission, Toolset, reach};
use crate::store::Reader;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How many bound credentials a refusal names.
const NAMED: usize = 10;

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeleteOauthProvider {
    /// Id or name.
    #[schemars(length(min = 1, max = 64))]
    pub provider: String,
    pub reason: Option<Reason>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct DeletedProvider {
    pub id: ProviderId,
    pub name: String,
}

/// The provider, if it may go.
fn check(tx: &Reader<'_>, caller: &Caller, wanted: &str) -> Result<Provider> {
    let who = reach::admin(tx, caller)?;
    let p = tx.provider_named(&caller.org, &named(wanted)?)?;
    let mut bound = Vec::new();
    let mut hidden = false;
    for c in tx.credentials_of_provider(&caller.org, &p.id)? {
        let found = reach::reached(tx, &caller.org, &who, c)?;
        match found.access.sees() {
            true => bound.push(found.credential.label()),
            // Somebody's personal one: that it exists is theirs to know.
            false => hidden = true,
        }
    }
    if bound.is_empty() && !hidden {
        return Ok(p);
    }
    let more = bound.len() > NAMED || hidden;
    bound.truncate(NAMED);
    let list = match (bound.is_empty(), more) {
        (true, _) => "credentials you cannot see".to_owned(),
        (_, true) => format!("{} and more", bound.join(", ")),
        (_, false) => bound.join(", "),
    };
    Err(Error::new(Code::HasDependents, format!("{} is what these get their tokens from: {list}", p.name)))
}

impl Operation for DeleteOauthProvider {
    const NAME: &'static str = "delete_oauth_provider";
    const TITLE: &'static str = "Delete an OAuth provider";
    const ABOUT: &'static str =
        "Delete an OAuth client that no credential is bound to, and destroy its client secret.";
    const TOOLSET: Toolset = Toolset::OAuth;
    const EFFECT: Effect = Effect::Destroys;
    const NEEDS: Permission = Permission::Admin;
    type Output = DeletedProvider;

    async fn confirm(&self, app: &App, caller: &Caller) -> Result<Confirm> {
        let (asking, wanted) = (caller.clone(), self.provider.clone());
        let p = app.store.read(move |tx| check(tx, &asking, &wanted)).await?;
        let question = Question {
            summary: format!("delete the OAuth provider {}", p.name),
            impact: match p.has_secret() {
                true => {
                    vec!["its client secret is destroyed and must be entered again for a new provider".into()]
                }
                false => vec!["it has no client secret; the same provider can be made again".into()],
            },
            reason: self.reason.as_ref().map_or(String::new(), |reason| reason.as_str().to_owned()),
            pins: vec![("provider", p.id.0.clone())],
        };
        // A form can be forged, so it confirms only what can be undone (SECURITY.md §1).
        Ok(if p.has_secret() { Confirm::Person(question) } else { Confirm::Form(question) })
    }

    async fn run(self, app: &App, caller: &Caller) -> Result<DeletedProvider> {
        let asking = caller.clone();
        app.store
            .write(caller, move |tx| {
                crate::ops::quota::removal(tx, &asking)?;
                let p = check(tx, &asking, &self.provider)?;
                tx.remove::<Provider>(&[p.id.as_str()])?;
                let reason = self.reason.as_ref().map_or("", Reason::as_str);
                let event = about(Self::NAME, "provider", p.id.as_str(), &p.name, p.revision)
                    .because(reason)
                    .with("had_secret", p.has_secret());
                tx.record(event, DeletedProvider { id: p.id, name: p.name })
            })
            .await
    }
}
