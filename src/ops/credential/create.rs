//! `create_credential`: a credential without a value. The value comes past the model.
use crate::app::App;
use crate::clock::Millis;
use crate::error::{Code, Error, Result, invalid};
use crate::ids::CredentialId;
use crate::model::Word as _;
use crate::model::access::{Caller, Standing};
use crate::model::credential::{Credential, CredentialType, Environment, FieldSpec, Scope, Source};
use crate::model::entry::EntryPurpose;
use crate::model::event::Event;
use crate::model::name::CredentialName;
use crate::model::org::{Org, Role};
use crate::model::provider::Provider;
use crate::model::status::{StatusReason, StatusReport, status};
use crate::model::text::{Description, Label, Tag};
use crate::ops::confirm::{Confirm, Question};
use crate::ops::entry::Offer;
use crate::ops::{Effect, Operation, Permission, Toolset, reach};
use crate::services::Catalogue;
use crate::store::{Reader, Writer};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What is said of a connection that nobody has made yet.
const NOT_CONNECTED: &str = "It is bound to its provider and waits to be connected";
const MOST_TAGS: usize = 20;
const MOST_FIELDS: usize = 20;

#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateCredential {
    /// Env-var style, as GITHUB_TOKEN
    #[schemars(length(max = 64))]
    pub name: String,
    /// default api_key
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<CredentialType>,
    /// default personal
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
    /// Team name or id, for scope team
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 80))]
    pub team: Option<String>,
    /// Catalogue id, as github
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub service: Option<String>,
    /// Which account of the service
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 80))]
    pub account: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<Environment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 500))]
    pub description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 20))]
    pub tags: Option<Vec<String>>,
    /// For type oauth: the provider it will be connected through
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 80))]
    pub provider: Option<String>,
    /// For type custom
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 20))]
    pub fields: Option<Vec<FieldSpec>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Millis>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Created {
    pub id: String,
    pub name: String,
    pub scope: Scope,
    pub status: StatusReport,
    /// What to do next, and who does it.
    pub next: String,
    /// Other credentials of this name that this one comes before, or behind.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub same_name: Vec<String>,
    /// Where the person enters the value.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub entry: Option<Offer>,
}

/// Tags, cleaned and without doubles.
pub fn tags(given: &[String]) -> Result<Vec<String>> {
    if given.len() > MOST_TAGS {
        return Err(invalid(format!("a credential has at most {MOST_TAGS} tags")));
    }
    let mut tags = given.iter().map(|t| Tag::parse(t).map(String::from)).collect::<Result<Vec<_>>>()?;
    tags.sort();
    tags.dedup();
    Ok(tags)
}

fn fields(kind: CredentialType, given: &[FieldSpec]) -> Result<Vec<FieldSpec>> {
    if kind != CredentialType::Custom {
        return match given.is_empty() {
            true => Ok(Vec::new()),
            false => Err(invalid("only type custom has fields of its own")),
        };
    }
    if given.is_empty() || given.len() > MOST_FIELDS {
        return Err(invalid(format!("type custom needs 1 to {MOST_FIELDS} fields")));
    }
    let mut seen = std::collections::HashSet::new();
    for field in given {
        let fits = field.name.len() <= 64
            && field.name.chars().next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
            && field.name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !fits {
            return Err(invalid("a field's name is letters, digits and underscores, at most 64"));
        }
        if !seen.insert(field.name.to_ascii_uppercase()) {
            return Err(invalid("two fields have the same name"));
        }
    }
    if !given.iter().any(|f| f.secret) {
        return Err(invalid("at least one field must be secret"));
    }
    Ok(given.to_vec())
}

/// The owner's id of a place, checked against the policy and the caller's rights.
pub fn place(tx: &Reader<'_>, who: &Standing, org: &Org, scope: Scope, team: Option<&str>) -> Result<String> {
    if !org.sharing_plan.allows(scope) {
        return Err(Error::new(
            Code::PolicyForbids,
            format!("the sharing plan {} has no {scope} credentials", org.sharing_plan),
        ));
    }
    let owner = match (scope, team) {
        (Scope::Team, Some(team)) => {
            let not_found = || Error::new(Code::TeamNotFound, "there is no such team you are in");
            let team = tx
                .team_named(&org.id, team)
                .map_err(|e| if e.code == Code::TeamNotFound { not_found() } else { e })?;
            if who.team_role(team.id.as_str()).is_none() && !who.sees_all() {
                return Err(not_found());
            }
            team.id.0
        }
        (Scope::Team, None) => match &who.teams[..] {
            [(only, _)] => only.0.clone(),
            _ => {
                return Err(invalid("say which team: you are in none or in several")
                    .next("Call whoami to see your teams, then name one."));
            }
        },
        (_, Some(_)) => return Err(invalid("a team is named only for scope team")),
        (Scope::Personal, None) => who.user.0.clone(),
        (Scope::Org, None) => org.id.0.clone(),
    };
    if !who.manages_place(scope, &owner) {
        let needed = match (who.role, scope) {
            (Role::Auditor, _) => "an auditor changes nothing",
            (_, Scope::Team) => "only owners and admins of the team manage its credentials",
            _ => "only admins of the org manage its credentials",
        };
        return Err(Error::new(Code::NotAllowed, needed));
    }
    Ok(owner)
}

/// Checks everything about a new credential and makes it, in memory.
pub fn prepare(
    catalogue: &Catalogue,
    tx: &Reader<'_>,
    caller: &Caller,
    input: &CreateCredential,
) -> Result<(Standing, Org, Credential)> {
    let (who, org) = reach::who(tx, caller)?;
    let name = CredentialName::parse(&input.name)?;
    let kind = input.kind.unwrap_or(CredentialType::ApiKey);
    let scope = input.scope.unwrap_or(Scope::Personal);
    let owner = place(tx, &who, &org, scope, input.team.as_deref())?;
    let provider = bound_provider(tx, caller, kind, input)?;
    let service = match input.service.as_deref().filter(|s| !s.is_empty()) {
        None if provider.is_some() => provider.as_ref().map_or(String::new(), |p| p.service.clone()),
        Some(service) => catalogue.service(service)?.id.clone(),
        None => match &catalogue.service_for_env_name(name.as_str())[..] {
            [only] => only.clone(),
            _ => String::new(),
        },
    };
    let optional = |text: &Option<String>| text.clone().filter(|t| !t.trim().is_empty());
    let now = tx.now();
    let credential = Credential {
        id: CredentialId::fresh(),
        org_id: org.id.clone(),
        name_key: name.key(),
        name: name.into(),
        kind,
        source: if provider.is_some() { Source::OAuth } else { Source::Manual },
        scope,
        owner_id: owner,
        service,
        account: optional(&input.account)
            .map_or(Ok(String::new()), |a| Label::parse(&a).map(String::from))?,
        environment: input.environment.unwrap_or(Environment::Any),
        description: optional(&input.description)
            .map_or(Ok(String::new()), |d| Description::parse(&d).map(String::from))?,
        tags: tags(input.tags.as_deref().unwrap_or_default())?,
        fields: fields(kind, input.fields.as_deref().unwrap_or_default())?,
        provider_id: provider.map(|p| p.id),
        expires_at: input.expires_at,
        rotation_days: None,
        current_version: None,
        value_set_at: None,
        value_set_by: None,
        created_at: now,
        created_by: caller.user.clone(),
        updated_at: now,
        deleted_at: None,
        deleted_by: None,
        revision: 0,
    };
    credential.expect_usable_variables()?;
    Ok((who, org, credential))
}

/// The provider that a credential of type oauth is bound to; it has no value until somebody connects it.
fn bound_provider(
    tx: &Reader<'_>,
    caller: &Caller,
    kind: CredentialType,
    input: &CreateCredential,
) -> Result<Option<Provider>> {
    let named = input.provider.as_deref().map(str::trim).filter(|name| !name.is_empty());
    match (kind, named) {
        (CredentialType::OAuth, Some(name)) => {
            let provider = tx.provider_named(&caller.org, name)?;
            let other = input.service.as_deref().is_some_and(|s| !s.is_empty() && s != provider.service);
            match other {
                false => Ok(Some(provider)),
                true => Err(invalid(format!("{} is a provider of another service", provider.name))
                    .next("Leave the service out: it is the provider's.")),
            }
        }
        (CredentialType::OAuth, None) => Err(invalid("type oauth is bound to an OAuth provider: name it")
            .next("Call list_oauth_providers to see the providers there are, or create_oauth_provider.")),
        (_, Some(_)) => Err(invalid("only type oauth is bound to a provider")),
        (_, None) => Ok(None),
    }
}

/// Adds a prepared credential; says plainly where one like it exists.
pub fn insert(tx: &mut Writer<'_>, credential: &mut Credential) -> Result<()> {
    tx.insert(credential).map_err(|e| match e.code {
        Code::AlreadyExists => Error::new(
            Code::AlreadyExists,
            format!("there is already a {} credential {}", credential.scope, credential.label()),
        )
        .next("Call get_credential to see it; add an account label or an environment to keep several side by side."),
        _ => e,
    })
}

/// Other visible credentials of this name in wider or narrower scopes.
pub fn same_name(
    tx: &Reader<'_>,
    caller: &Caller,
    who: &Standing,
    c: &Credential,
) -> Result<Vec<Credential>> {
    let mut others = tx.candidates(&caller.org, &c.name_key, &reach::places(who))?;
    others.retain(|o| o.id != c.id && o.scope != c.scope);
    Ok(others)
}

pub fn described(tx: &Reader<'_>, caller: &Caller, others: &[Credential]) -> Result<Vec<String>> {
    let mut names = super::view::Names::new(tx, &caller.org);
    others
        .iter()
        .map(|o| {
            let owner = names.owner(o.scope, &o.owner_id)?;
            Ok(match o.scope {
                Scope::Team => format!("{} of team {owner} ({})", o.label(), o.id),
                scope => format!("{} ({scope}, {})", o.label(), o.id),
            })
        })
        .collect()
}

impl Operation for CreateCredential {
    const NAME: &'static str = "create_credential";
    const TITLE: &'static str = "Create a credential";
    const ABOUT: &'static str = "Make a credential without a value, or your own override of a shared one. A person then enters the value, outside the chat.";
    const TOOLSET: Toolset = Toolset::Credentials;
    const EFFECT: Effect = Effect::Changes;
    const NEEDS: Permission = Permission::ManagePlace;
    type Output = Created;

    /// Only an override asks: it takes the place of a shared value for this person.
    async fn confirm(&self, app: &App, caller: &Caller) -> Result<Confirm> {
        let asking = caller.clone();
        if self.scope.unwrap_or(Scope::Personal) != Scope::Personal {
            return Ok(Confirm::Nothing);
        }
        let key = CredentialName::parse(&self.name)?.key();
        app.store
            .read(move |tx| {
                let who = tx.standing(&asking)?;
                let mut shadowed = tx.candidates(&asking.org, &key, &reach::places(&who))?;
                shadowed.retain(|c| c.scope != Scope::Personal);
                if shadowed.is_empty() {
                    return Ok(Confirm::Nothing);
                }
                let impact = described(tx, &asking, &shadowed)?
                    .into_iter()
                    .map(|text| format!("your sessions stop using {text}, until the override is deleted"))
                    .collect();
                Ok(Confirm::Form(Question {
                    summary: format!(
                        "create a personal {} that comes before the shared one",
                        shadowed[0].name
                    ),
                    impact,
                    ..Question::default()
                }))
            })
            .await
    }

    fn entry(answer: &Value) -> Option<(EntryPurpose, String)> {
        entered_by_hand(answer)
    }

    async fn run(self, app: &App, caller: &Caller) -> Result<Created> {
        let (asking, catalogue) = (caller.clone(), app.catalogue);
        app.store
            .write(caller, move |tx| {
                let (who, org, mut credential) = prepare(catalogue, tx, &asking, &self)?;
                insert(tx, &mut credential)?;
                let others = same_name(tx, &asking, &who, &credential)?;
                let output = created(tx, &asking, &org, &credential, &others)?;
                let event = Event::of(Self::NAME).on(&credential).with("type", credential.kind.as_str());
                tx.record(event, output)
            })
            .await
    }
}

/// The credential that `answer` is about, whose value a person enters, or which they connect.
pub(super) fn entered_by_hand(answer: &Value) -> Option<(EntryPurpose, String)> {
    let reasons = answer.pointer("/status/reasons").and_then(Value::as_array);
    let is_connection =
        reasons.is_some_and(|all| all.iter().any(|r| r == StatusReason::ReauthRequired.as_str()));
    let purpose = if is_connection { EntryPurpose::Connect } else { EntryPurpose::Value };
    Some((purpose, answer.get("id")?.as_str()?.to_owned()))
}

fn created(
    tx: &Reader<'_>,
    caller: &Caller,
    org: &Org,
    c: &Credential,
    others: &[Credential],
) -> Result<Created> {
    let now = tx.now();
    Ok(Created {
        id: c.id.0.clone(),
        name: c.name.clone(),
        scope: c.scope,
        status: status(c, None, now, org.warn_days, org.bin_days),
        next: match c.source {
            Source::OAuth => format!(
                "{NOT_CONNECTED}: ask the person to run `{}` in a terminal, or call connect_credential.",
                c.connect_command()
            ),
            Source::Manual => format!(
                "Ask the person to run `{}` in a terminal and enter the value there. Never ask for it in the chat.",
                c.set_command()
            ),
        },
        same_name: described(tx, caller, others)?,
        entry: None,
    })
}
