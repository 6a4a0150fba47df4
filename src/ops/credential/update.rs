//! `update_credential`: changes what describes a credential, or moves it. Never its value.
use super::create::{self, described, same_name};
use super::sealing;
use super::view::Names;
use crate::app::App;
use crate::clock::Millis;
use crate::error::{Code, Error, Result, invalid};
use crate::model::access::{Caller, Door, Grant, Standing};
use crate::model::credential::{Credential, Environment, Scope};
use crate::model::event::Event;
use crate::model::name::CredentialName;
use crate::model::org::Org;
use crate::model::rotation::RotationStage;
use crate::model::status::StatusReport;
use crate::model::text::{Description, Label, Reason};
use crate::ops::confirm::{Confirm, Question};
use crate::ops::consumer;
use crate::ops::reach::{self, Need, Reached};
use crate::ops::rotation::{Policies, status_of};
use crate::ops::{Effect, Operation, Permission, Toolset};
use crate::services::Catalogue;
use crate::store::Reader;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Fields that are not given stay as they are. An empty text clears a field.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateCredential {
    /// Id or name
    #[schemars(length(max = 160))]
    pub credential: String,
    #[schemars(length(max = 64))]
    pub new_name: Option<String>,
    #[schemars(length(max = 500))]
    pub description: Option<String>,
    #[schemars(length(max = 20))]
    pub tags: Option<Vec<String>>,
    #[schemars(length(max = 64))]
    pub service: Option<String>,
    #[schemars(length(max = 80))]
    pub account: Option<String>,
    pub environment: Option<Environment>,
    /// Empty text: never
    #[schemars(length(max = 40))]
    pub expires_at: Option<String>,
    /// Move it there
    pub scope: Option<Scope>,
    /// For scope team
    #[schemars(length(max = 80))]
    pub team: Option<String>,
    /// Why, for a move or rename
    #[schemars(length(max = 300))]
    pub reason: Option<String>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Updated {
    pub id: String,
    pub name: String,
    pub changed: Vec<String>,
    pub scope: Scope,
    pub status: StatusReport,
}

/// What an update comes to.
struct Plan {
    before: Reached,
    after: Credential,
    changed: Vec<String>,
    who: Standing,
    org: Org,
}

impl Plan {
    fn moves(&self) -> bool {
        (self.before.credential.scope, &self.before.credential.owner_id)
            != (self.after.scope, &self.after.owner_id)
    }
    /// More people can use it afterwards: a wider scope, or another team.
    fn widens(&self) -> bool {
        self.moves() && (self.after.scope > self.before.credential.scope || self.after.scope == Scope::Team)
    }
    /// Nobody but its new owner can bring it back afterwards, so a form is not enough.
    fn takes_away(&self) -> bool {
        self.moves() && self.after.scope == Scope::Personal
    }
    /// A model says of a value that is there already where it belongs, which is where a test sends it (SECURITY.md §1 c).
    fn redirects(&self, caller: &Caller) -> bool {
        let (before, after) = (&self.before.credential, &self.after);
        before.service != after.service
            && !after.service.is_empty()
            && after.current_version.is_some()
            && !matches!(caller.door, Door::Cli | Door::Web | Door::System)
    }
    fn renames(&self) -> bool {
        let (a, b) = (&self.before.credential, &self.after);
        a.name != b.name || a.account != b.account || a.environment != b.environment
    }
}

impl UpdateCredential {
    fn plan(&self, catalogue: &Catalogue, tx: &Reader<'_>, caller: &Caller) -> Result<Plan> {
        let (who, org) = reach::who(tx, caller)?;
        let before = reach::credential(tx, caller, &who, &self.credential, Need::Manage)?;
        let mut after = before.credential.clone();
        let mut changed = Vec::new();
        let mut note = |what: &str, differs: bool| {
            if differs {
                changed.push(what.to_owned());
            }
        };
        if let Some(name) = &self.new_name {
            let name = CredentialName::parse(name)?;
            note("name", name.as_str() != after.name);
            after.name_key = name.key();
            after.name = name.into();
            after.expect_usable_variables()?;
        }
        if let Some(text) = &self.description {
            let text = if text.trim().is_empty() { String::new() } else { Description::parse(text)?.into() };
            note("description", text != after.description);
            after.description = text;
        }
        if let Some(given) = &self.tags {
            let tags = create::tags(given)?;
            note("tags", tags != after.tags);
            after.tags = tags;
        }
        if let Some(service) = &self.service {
            let service =
                if service.is_empty() { String::new() } else { catalogue.service(service)?.id.clone() };
            let open = tx.open_rotation(&after.org_id, &after.id)?;
            // Which service is asked whether a value works is settled while one is replaced.
            if service != after.service && open.is_some_and(|r| r.stage != RotationStage::Planned) {
                return Err(Error::new(
                    Code::WrongStage,
                    format!("a rotation of {} is under way, and goes by its service", after.label()),
                )
                .next("Go on with it or abort it first: get_rotation says where it stands."));
            }
            note("service", service != after.service);
            after.service = service;
        }
        if let Some(account) = &self.account {
            let account =
                if account.trim().is_empty() { String::new() } else { Label::parse(account)?.into() };
            note("account", account != after.account);
            after.account = account;
        }
        if let Some(environment) = self.environment {
            note("environment", environment != after.environment);
            after.environment = environment;
        }
        if let Some(text) = &self.expires_at {
            let end = match text.trim() {
                "" => None,
                text => Some(text.parse::<Millis>().map_err(|how| invalid(format!("expires_at: {how}")))?),
            };
            note("expires_at", end != after.expires_at);
            after.expires_at = end;
        }
        if self.team.is_some() && self.scope != Some(Scope::Team) {
            return Err(invalid("a team is named only with scope team"));
        }
        if let Some(scope) = self.scope {
            let owner = create::place(tx, &who, &org, scope, self.team.as_deref())?;
            // A grant lets somebody manage it where it is; taking it out of a place is for whoever manages the place.
            if !who.manages_place(after.scope, &after.owner_id) {
                return Err(Error::new(
                    Code::NotAllowed,
                    "only whoever manages the place it is in may move it",
                ));
            }
            note("scope", (scope, &owner) != (after.scope, &after.owner_id));
            after.scope = scope;
            after.owner_id = owner;
        }
        if changed.is_empty() {
            return Err(Error::new(Code::NothingToDo, format!("{} is that way already", after.name)));
        }
        Ok(Plan { before, after, changed, who, org })
    }

    fn question(&self, tx: &Reader<'_>, caller: &Caller, plan: &Plan) -> Result<Confirm> {
        let shadowed = match plan.after.scope {
            Scope::Personal if plan.renames() || plan.moves() => {
                same_name(tx, caller, &plan.who, &plan.after)?
            }
            _ => Vec::new(),
        };
        let (repoints, redirects) = (repoints(tx, plan)?, plan.redirects(caller));
        if !plan.moves() && !plan.renames() && shadowed.is_empty() && !repoints && !redirects {
            return Ok(Confirm::Nothing);
        }
        let c = &plan.before.credential;
        let mut names = Names::new(tx, &caller.org);
        let mut impact = Vec::new();
        let mut place = |scope: Scope, owner: &str| -> Result<String> {
            Ok(match scope {
                Scope::Personal => format!("personal ({})", names.owner(scope, owner)?),
                Scope::Team => format!("team {}", names.owner(scope, owner)?),
                Scope::Org => "org".to_owned(),
            })
        };
        if plan.moves() {
            let (from, to) = (place(c.scope, &c.owner_id)?, place(plan.after.scope, &plan.after.owner_id)?);
            impact.push(format!("moves from {from} to {to}"));
            impact.push(match plan.after.scope {
                Scope::Org => "everybody in the org can use it then".into(),
                Scope::Team => format!("every member of {to} can use it then, others lose it"),
                Scope::Personal => "everybody else loses it, and its grants end".into(),
            });
        }
        if plan.renames() {
            impact.push(format!("is found as {} then, not as {}", plan.after.label(), c.label()));
        }
        for text in described(tx, caller, &shadowed)? {
            impact.push(format!("comes before {text} in your sessions"));
        }
        if repoints {
            impact
                .push("consumers are bound by these names: they get another credential then, or none".into());
            for c in [&plan.before.credential, &plan.after] {
                for (consumer, variable) in consumer::bound_to(tx, &plan.who, c)? {
                    impact.push(format!("{} is bound to {} as {variable}", consumer.name, c.label()));
                }
            }
            if plan.before.credential.service != plan.after.service && !redirects {
                impact.push(format!(
                    "service before: {}; after: {}",
                    plan.before.credential.service, plan.after.service
                ));
            }
        }
        if redirects {
            impact.push(format!(
                "service before: {}; after: {}: a test sends its value there",
                plan.before.credential.service, plan.after.service
            ));
        }
        let reason =
            self.reason.as_deref().map(Reason::parse).transpose()?.map_or(String::new(), |r| r.to_string());
        let question = Question {
            summary: format!("change {} ({})", c.label(), c.id),
            impact,
            reason,
            pins: vec![("credential", c.id.0.clone())],
        };
        Ok(if plan.widens() || plan.takes_away() || repoints || redirects {
            Confirm::Person(question)
        } else {
            Confirm::Form(question)
        })
    }
}

/// Whether a binding of anybody's names what it is called before or after, so that another secret goes there, or this one
/// goes elsewhere (SECURITY.md §1 c).
fn repoints(tx: &Reader<'_>, plan: &Plan) -> Result<bool> {
    let (before, after) = (&plan.before.credential, &plan.after);
    let is_moved = plan.renames() || plan.moves() || before.service != after.service;
    if !is_moved {
        return Ok(false);
    }
    for key in [&before.name_key, &after.name_key] {
        let named = tx.bindings_naming(&before.org_id, key, before.id.as_str())?;
        let is_met = |b: &crate::model::consumer::Binding| plan.renames() || plan.moves() || b.is_brokered();
        if named.iter().any(is_met) {
            return Ok(true);
        }
    }
    Ok(false)
}

impl Operation for UpdateCredential {
    const NAME: &'static str = "update_credential";
    const TITLE: &'static str = "Change a credential";
    const ABOUT: &'static str = "Change a credential's description, tags, expiry, name, account or environment, or move it to another scope. Never its value.";
    const TOOLSET: Toolset = Toolset::Credentials;
    const EFFECT: Effect = Effect::Changes;
    const NEEDS: Permission = Permission::Manage;
    const IDEMPOTENT: bool = true;
    type Output = Updated;

    async fn confirm(&self, app: &App, caller: &Caller) -> Result<Confirm> {
        let (asking, input, catalogue) = (caller.clone(), self.clone(), app.catalogue);
        app.store
            .read(move |tx| {
                let plan = input.plan(catalogue, tx, &asking)?;
                input.question(tx, &asking, &plan)
            })
            .await
    }

    async fn run(self, app: &App, caller: &Caller) -> Result<Updated> {
        let (asking, catalogue, keys) = (caller.clone(), app.catalogue, app.keys.clone());
        app.store
            .write(caller, move |tx| {
                // Taken inside: the transaction has followed every key rotation by now.
                let vault = keys.vault();
                let plan = self.plan(catalogue, tx, &asking)?;
                self.question(tx, &asking, &plan)?.expect_agreed(&asking)?;
                let now = tx.now();
                let mut c = plan.after.clone();
                c.updated_at = now;
                if plan.moves() {
                    sealing::move_versions(tx, &vault, &plan.before.credential, &c)?;
                    if c.scope == Scope::Personal {
                        for grant in &plan.before.grants {
                            tx.remove::<Grant>(&[grant.id.as_str()])?;
                        }
                    }
                }
                tx.save(&mut c).map_err(|e| match e.code {
                    Code::AlreadyExists => Error::new(
                        Code::AlreadyExists,
                        format!("there is a {} {} there already", c.scope, c.label()),
                    ),
                    _ => e,
                })?;
                let reason = self
                    .reason
                    .as_deref()
                    .map(Reason::parse)
                    .transpose()?
                    .map_or(String::new(), |r| r.to_string());
                let event =
                    Event::of(Self::NAME).on(&c).because(reason).with("changed", plan.changed.clone());
                let output = Updated {
                    id: c.id.0.clone(),
                    name: c.name.clone(),
                    changed: plan.changed,
                    scope: c.scope,
                    status: status_of(
                        tx,
                        &Policies::read(tx, &c.org_id)?,
                        &c,
                        tx.connection(&c.org_id, &c.id)?.as_ref(),
                        &plan.org,
                        now,
                    )?,
                };
                tx.record(event, output)
            })
            .await
    }
}
