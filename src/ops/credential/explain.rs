//! `explain_resolution`: which value a name would give, and why; asked before it is used.
use crate::app::App;
use crate::error::{Code, Error, Result, invalid};
use crate::model::access::{Caller, access};
use crate::model::credential::{Credential, Environment};
use crate::model::name::CredentialName;
use crate::model::resolution::{Considered, Narrowing, Problem, Resolved, resolve};
use crate::model::text::shown;
use crate::ops::{Effect, Operation, Permission, Toolset, reach};
use crate::store::Reader;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExplainResolution {
    #[schemars(length(max = 64))]
    pub name: String,
    #[schemars(length(max = 80))]
    pub account: Option<String>,
    pub environment: Option<Environment>,
    /// The consumer's team, name or id
    #[schemars(length(max = 80))]
    pub team: Option<String>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Explained {
    pub name: String,
    /// Id of the credential whose value would be used; none where the use would fail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub winner: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
    pub message: String,
    pub considered: Vec<Considered>,
    pub next: String,
}

/// Resolves `name` for the caller in this transaction.
pub fn resolve_for(
    tx: &Reader<'_>,
    caller: &Caller,
    who: &crate::model::access::Standing,
    name: &str,
    narrowing: &Narrowing,
) -> Result<(Vec<Credential>, Resolved)> {
    let candidates = tx.candidates(&caller.org, &name.to_ascii_uppercase(), &reach::places(who))?;
    let may_use = candidates
        .iter()
        .map(|c| Ok(access(who, c, &tx.grants_on(&caller.org, &c.id)?).uses))
        .collect::<Result<Vec<_>>>()?;
    let resolved = resolve(&candidates, &may_use, narrowing, tx.now());
    Ok((candidates, resolved))
}

/// The id of a team that the caller is in, or sees. Any other does not exist for them.
pub fn own_team(
    tx: &Reader<'_>,
    caller: &Caller,
    who: &crate::model::access::Standing,
    name: &str,
) -> Result<String> {
    let unknown = || Error::new(Code::TeamNotFound, "there is no such team you are in");
    let found = tx.team_named(&caller.org, name).map_err(|e| match e.code {
        Code::TeamNotFound => unknown(),
        _ => e,
    })?;
    match who.team_role(found.id.as_str()).is_some() || who.sees_all() {
        true => Ok(found.id.0),
        false => Err(unknown()),
    }
}

/// What a problem means and what to do about it.
pub fn advice(name: &str, resolved: &Resolved, narrowing: &Narrowing) -> (String, String) {
    match (resolved.winner, resolved.problem) {
        (Some(_), _) => (format!("{name} resolves"), String::new()),
        (None, Some(Problem::Ambiguous)) => (
            format!("several credentials named {name} fit"),
            "Say which account or environment: `--account`, `--env`.".into(),
        ),
        (None, Some(Problem::AmbiguousTeam)) => (
            format!("two of your teams have a {name}"),
            format!(
                "Name the team (`unsaid run --team NAME`), or set your own value with `unsaid set {name}`."
            ),
        ),
        (None, Some(Problem::Expired)) => (
            format!("the {name} that wins is expired; there is no silent fall back"),
            format!("Replace its value with `unsaid set {name}`, or delete it to use the next one."),
        ),
        (None, Some(Problem::ValueMissing)) => {
            (format!("the {name} that wins has no value"), format!("Enter it with `unsaid set {name}`."))
        }
        (None, Some(Problem::ReauthRequired)) => (
            format!("the {name} that wins is not connected; there is no silent fall back"),
            format!("Call connect_credential, or connect it with `unsaid connect {name}`."),
        ),
        (None, Some(Problem::NotFound) | None) => (
            format!("there is no {name}{} that you may use", narrowed(narrowing)),
            format!("Add it with `unsaid set {name}`, or ask an admin to share it."),
        ),
    }
}

/// What else was asked for, as a part of a sentence.
fn narrowed(by: &Narrowing) -> String {
    let account = by.account.as_ref().map(|account| format!(" of the account {}", shown(account)));
    let environment = by.environment.map(|environment| format!(" for {environment}"));
    [account, environment].into_iter().flatten().collect()
}

impl Operation for ExplainResolution {
    const NAME: &'static str = "explain_resolution";
    const TITLE: &'static str = "Explain which value wins";
    const ABOUT: &'static str = "See which credential a name resolves to for the caller (personal, then team, then org), the runners-up and the reasons.";
    const TOOLSET: Toolset = Toolset::Credentials;
    const EFFECT: Effect = Effect::Reads;
    const NEEDS: Permission = Permission::Anyone;
    const IDEMPOTENT: bool = true;
    type Output = Explained;

    async fn run(self, app: &App, caller: &Caller) -> Result<Explained> {
        let asking = caller.clone();
        app.store
            .read(move |tx| {
                let who = tx.standing(&asking)?;
                let name = CredentialName::parse(&self.name).map_err(|e| {
                    invalid(e.message().to_owned()).next("Give the name alone, as GITHUB_TOKEN.")
                })?;
                let team = match &self.team {
                    Some(team) => Some(own_team(tx, &asking, &who, team)?),
                    None => None,
                };
                let narrowing = Narrowing { account: self.account, environment: self.environment, team };
                let (candidates, resolved) = resolve_for(tx, &asking, &who, name.as_str(), &narrowing)?;
                let (message, next) = advice(name.as_str(), &resolved, &narrowing);
                Ok(Explained {
                    name: name.to_string(),
                    winner: resolved.winner.map(|i| candidates[i].id.0.clone()),
                    problem: resolved.problem,
                    message,
                    considered: resolved.considered,
                    next,
                })
            })
            .await
    }
}
