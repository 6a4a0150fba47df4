//! How to replace a credential: the steps of its service, and for one of ours who will notice.
use crate::app::App;
use crate::clock::Millis;
use crate::error::{Result, invalid};
use crate::ids::CredentialId;
use crate::model::access::{Caller, GranteeKind};
use crate::model::credential::{Credential, Scope};
use crate::model::status::StatusReport;
use crate::ops::audit::Logins;
use crate::ops::reach::{self, Need, Reached};
use crate::ops::rotation::{Policies, consumers_of, status_of};
use crate::ops::{Effect, Operation, Permission, Toolset};
use crate::services::{Guide, rotation_guide};
use crate::store::{AuditFilter, Reader};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How many uses are shown.
const LAST_USES: i64 = 10;
/// How many holders are named.
const HOLDERS: usize = 50;

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GetRotationGuide {
    /// Id or alias; or give a credential.
    #[schemars(length(max = 64))]
    pub service: Option<String>,
    /// Id or name.
    #[schemars(length(max = 200))]
    pub credential: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct RotationAnswer {
    /// Absent where the service is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guide: Option<Guide>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credential: Option<CredentialGuide>,
    /// From here: what to do in this vault.
    pub steps: Vec<String>,
}

/// Who will notice.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline)]
pub struct CredentialGuide {
    pub id: CredentialId,
    pub name: String,
    pub scope: Scope,
    pub status: StatusReport,
    /// Absent where you may not see it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub used_by: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub last_uses: Vec<LastUse>,
    /// The consumers that are bound to it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub consumers: Vec<BoundConsumer>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline)]
pub struct BoundConsumer {
    pub consumer: String,
    pub variable: String,
    /// When it was handed a value last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_use_at: Option<Millis>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline)]
pub struct LastUse {
    pub at: Millis,
    pub user: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub consumer: String,
    pub outcome: String,
}

impl Operation for GetRotationGuide {
    const NAME: &'static str = "get_rotation_guide";
    const TITLE: &'static str = "How to rotate";
    const ABOUT: &'static str = "Get the steps to replace a credential, the page to open, and who uses it; give a credential or a service.";
    const TOOLSET: Toolset = Toolset::Rotation;
    const EFFECT: Effect = Effect::Reads;
    const NEEDS: Permission = Permission::See;
    const IDEMPOTENT: bool = true;
    type Output = RotationAnswer;

    async fn run(self, app: &App, caller: &Caller) -> Result<RotationAnswer> {
        let asking = caller.clone();
        let wanted = match (&self.service, self.credential) {
            (Some(_), Some(_)) => return Err(invalid("give a credential or a service, not both")),
            (None, None) => return Err(invalid("give a credential or a service")),
            (_, wanted) => wanted,
        };
        let found = app
            .store
            .read(move |tx| {
                let (who, org) = reach::who(tx, &asking)?;
                let Some(wanted) = wanted else { return Ok(None) };
                let found = reach::credential(tx, &asking, &who, &wanted, Need::See)?;
                let report = status_of(
                    tx,
                    &Policies::read(tx, &org.id)?,
                    &found.credential,
                    tx.connection(&found.credential.org_id, &found.credential.id)?.as_ref(),
                    &org,
                    tx.now(),
                )?;
                let guide = describe(tx, &asking, &found, report)?;
                Ok(Some((found.credential, guide)))
            })
            .await?;
        match found {
            None => {
                let service = app.catalogue.service(self.service.as_deref().unwrap_or(""))?;
                let steps = steps(None, service.rotation.overlap_possible, true);
                Ok(RotationAnswer { guide: Some(rotation_guide(&service)), credential: None, steps })
            }
            Some((c, guide)) => {
                let service =
                    if c.service.is_empty() { None } else { app.catalogue.find_service(&c.service) };
                let overlap = service.as_ref().is_some_and(|s| s.rotation.overlap_possible);
                let steps = steps(Some(&c), overlap, service.is_some());
                Ok(RotationAnswer {
                    guide: service.map(|s| rotation_guide(&s)),
                    credential: Some(guide),
                    steps,
                })
            }
        }
    }
}

fn describe(
    tx: &Reader<'_>,
    caller: &Caller,
    found: &Reached,
    status: StatusReport,
) -> Result<CredentialGuide> {
    let c = &found.credential;
    let sees_users = found.access.views || found.access.manages;
    let mut logins = Logins::default();
    let mut last_uses = Vec::new();
    let filter = AuditFilter {
        viewer: Some(caller.user.clone()),
        sees_others: sees_users,
        object_id: Some(c.id.0.clone()),
        operation: Some("use".into()),
        limit: LAST_USES,
        ..AuditFilter::default()
    };
    for row in tx.search_audit(&caller.org, &filter)? {
        let user = logins.of(tx, &caller.org, &row.user)?;
        last_uses.push(LastUse { at: row.at, user, consumer: row.consumer, outcome: row.outcome });
    }
    let used_by = if sees_users { Some(holders(tx, caller, found, &mut logins)?) } else { None };
    let consumers = match sees_users {
        true => consumers_of(tx, &tx.standing(caller)?, c)?,
        false => Vec::new(),
    };
    let consumers = consumers
        .into_iter()
        .take(HOLDERS)
        .map(|(consumer, variable, last_use_at)| BoundConsumer { consumer, variable, last_use_at })
        .collect();
    Ok(CredentialGuide {
        id: c.id.clone(),
        name: c.name.clone(),
        scope: c.scope,
        status,
        used_by,
        last_uses,
        consumers,
    })
}

/// Who may use it: its place, then whoever it was granted to.
fn holders(tx: &Reader<'_>, caller: &Caller, found: &Reached, logins: &mut Logins) -> Result<Vec<String>> {
    let c = &found.credential;
    let who = tx.standing(caller)?;
    let mut holders = vec![match c.scope {
        Scope::Personal => format!("only {}", logins.of(tx, &c.org_id, &c.owner_id)?),
        Scope::Team => format!("team {}", team_name(tx, c, &c.owner_id)?),
        Scope::Org => "everybody in the org".to_owned(),
    }];
    for grant in found.grants.iter().take(HOLDERS) {
        let holder = match grant.grantee_kind {
            GranteeKind::User => format!("user {}", logins.of(tx, &c.org_id, &grant.grantee_id)?),
            GranteeKind::Team => format!("team {}", team_name(tx, c, &grant.grantee_id)?),
            GranteeKind::Consumer => {
                format!("consumer {}", crate::ops::consumer::name_of(tx, &who, &c.org_id, &grant.grantee_id)?)
            }
        };
        holders.push(format!("{holder} ({})", grant.level));
    }
    for (consumer, variable) in crate::ops::consumer::bound_to(tx, &who, c)?.into_iter().take(HOLDERS) {
        holders.push(format!("consumer {} as {variable}", consumer.name));
    }
    if found.grants.len() > HOLDERS {
        holders.push(format!("and {} more", found.grants.len() - HOLDERS));
    }
    Ok(holders)
}

/// Its name, or its id where the team is gone.
fn team_name(tx: &Reader<'_>, c: &Credential, id: &str) -> Result<String> {
    match tx.team(&c.org_id, &id.into()) {
        Ok(team) => Ok(team.name),
        Err(e) if e.code == crate::error::Code::TeamNotFound => Ok(id.to_owned()),
        Err(e) => Err(e),
    }
}

/// What is done in this vault, after what the guide says about the service.
fn steps(c: Option<&Credential>, overlap: bool, known: bool) -> Vec<String> {
    let name = c.map_or("NAME", |c| c.name.as_str());
    let mut steps = Vec::new();
    if !known {
        steps.push(format!(
            "The catalogue does not know the service of {name}: make a new value where the old one was made, or name \
             the service with update_credential for exact steps."
        ));
    }
    if c.is_some() {
        steps.push(
            "Look at used_by and last_uses, and tell those people before the old value stops.".to_owned(),
        );
    }
    steps.push(format!(
        "Ask the person to run `unsaid set {name}` in a terminal and enter the new value there, never in the chat."
    ));
    steps.push("Start again whatever uses it; what runs already keeps the old value.".to_owned());
    steps.push(if overlap {
        "Revoke the old value at the service once get_usage shows that the new one works.".to_owned()
    } else {
        "Check with get_usage that the new value works; make sure that the old one is revoked.".to_owned()
    });
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;
    use crate::model::access::{Door, Level};
    use crate::ops::org::fixture::Place;

    fn of(credential: &str) -> GetRotationGuide {
        GetRotationGuide { credential: Some(credential.into()), service: None }
    }

    #[tokio::test]
    async fn a_credential_s_guide_says_who_uses_it_and_where_the_value_is_entered() {
        let world = Place::new().await;
        let c =
            world.credential_with("STRIPE_KEY", Scope::Team, "core", |c| c.service = "stripe".into()).await;
        world.grant(&c, GranteeKind::User, world.user("max").as_str(), Level::Use).await;
        world.used(&c, "mia", "").await;

        let answer = world.run("tess", Door::Stdio, of("STRIPE_KEY")).await.unwrap();

        let guide = answer.guide.unwrap();
        assert!(guide.overlap && !guide.pages.is_empty() && !guide.steps.is_empty());
        let c = answer.credential.unwrap();
        assert_eq!(c.used_by.unwrap(), ["team core", "user max (use)"]);
        assert_eq!(c.last_uses[0].user, "mia");
        assert!(answer.steps.iter().any(|step| step.contains("unsaid set STRIPE_KEY")));
    }

    #[tokio::test]
    async fn a_service_alone_has_its_guide_and_an_unknown_one_general_steps() {
        let world = Place::new().await;
        world.credential("HOME_MADE", Scope::Org, "").await;

        let ask = GetRotationGuide { service: Some("telegram".into()), credential: None };
        assert!(world.run("max", Door::Stdio, ask).await.unwrap().guide.unwrap().warning.is_some());
        let own = world.run("ada", Door::Stdio, of("HOME_MADE")).await.unwrap();
        assert!(own.guide.is_none() && own.steps[0].contains("update_credential"));
    }

    #[tokio::test]
    async fn z_23_whoever_only_uses_it_learns_the_steps_and_not_the_others() {
        let world = Place::new().await;
        let c = world.credential("RED_KEY", Scope::Team, "core").await;
        world.used(&c, "tess", "").await;

        let seen = world.run("mia", Door::Stdio, of("RED_KEY")).await.unwrap().credential.unwrap();

        assert!(seen.used_by.is_none() && seen.last_uses.is_empty());
    }

    #[tokio::test]
    async fn what_a_caller_may_not_know_is_not_found_and_neither_or_both_is_refused() {
        let world = Place::new().await;
        world.credential("MINE", Scope::Personal, "max").await;
        world.credential("RED_KEY", Scope::Team, "core").await;

        for (who, name) in [("ada", "MINE"), ("otto", "MINE"), ("max", "RED_KEY"), ("globex/ada", "RED_KEY")]
        {
            let refused = world.run(who, Door::Stdio, of(name)).await.unwrap_err();
            assert_eq!(refused.code, Code::CredentialNotFound, "{who}");
        }
        let both = GetRotationGuide { service: Some("stripe".into()), ..of("MINE") };
        assert_eq!(world.run("max", Door::Stdio, both).await.unwrap_err().code, Code::InvalidInput);
        let neither = GetRotationGuide::default();
        assert_eq!(world.run("max", Door::Stdio, neither).await.unwrap_err().code, Code::InvalidInput);
        let unknown = GetRotationGuide { service: Some("nothing".into()), credential: None };
        assert_eq!(world.run("max", Door::Stdio, unknown).await.unwrap_err().code, Code::ServiceNotFound);
    }
}
