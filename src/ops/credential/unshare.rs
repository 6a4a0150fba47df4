//! `unshare_credential`: ends what a grant gave.
use crate::app::App;
use crate::error::{Code, Error, Result, invalid};
use crate::model::access::{Caller, Grant, GranteeKind, Level};
use crate::model::event::Event;
use crate::ops::confirm::{Confirm, Question};
use crate::ops::reach::{self, Need, Reached};
use crate::ops::{Effect, Operation, Permission, Toolset};
use crate::store::Reader;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UnshareCredential {
    /// Id or name
    #[schemars(length(max = 160))]
    pub credential: String,
    /// Grant id, as get_credential shows it
    #[schemars(length(max = 40))]
    pub grant: Option<String>,
    /// Or the user's login
    #[schemars(length(max = 80))]
    pub user: Option<String>,
    /// Or the team's name
    #[schemars(length(max = 80))]
    pub team: Option<String>,
    /// Or the consumer's name
    #[schemars(length(max = 80))]
    pub consumer: Option<String>,
    /// Only this level; default all
    pub level: Option<Level>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Unshared {
    pub credential: String,
    pub removed: Vec<String>,
}

/// Who is named. Whoever is not there holds no grant: the answer does not tell the two apart.
fn holder(
    tx: &Reader<'_>,
    caller: &Caller,
    user: Option<&str>,
    team: Option<&str>,
    consumer: Option<&str>,
) -> Result<Option<(GranteeKind, String)>> {
    let found = match (user, team, consumer) {
        (None, None, Some(name)) => crate::ops::consumer::reach(tx, caller, &tx.standing(caller)?, name)
            .map(|c| (GranteeKind::Consumer, c.id.0)),
        (Some(user), None, None) => tx.user_named(&caller.org, user).map(|u| (GranteeKind::User, u.id.0)),
        (None, Some(team), None) => tx.team_named(&caller.org, team).map(|t| (GranteeKind::Team, t.id.0)),
        _ => return Err(invalid("name a user, a team or a consumer")),
    };
    match found {
        Ok(found) => Ok(Some(found)),
        Err(e) if matches!(e.code, Code::UserNotFound | Code::TeamNotFound | Code::ConsumerNotFound) => {
            Ok(None)
        }
        Err(e) => Err(e),
    }
}

impl UnshareCredential {
    fn check(&self, tx: &Reader<'_>, caller: &Caller) -> Result<(Reached, Vec<Grant>)> {
        let who = tx.standing(caller)?;
        let found = reach::credential(tx, caller, &who, &self.credential, Need::Manage)?;
        let level = |g: &Grant| self.level.is_none_or(|level| g.level == level);
        let gone: Vec<_> = match (&self.grant, &self.user, &self.team, &self.consumer) {
            (Some(id), None, None, None) => {
                found.grants.iter().filter(|g| g.id.as_str() == id && level(g)).cloned().collect()
            }
            (None, None, None, None) => {
                return Err(invalid("name the grant, the user, the team or the consumer"));
            }
            (None, user, team, consumer) => {
                match holder(tx, caller, user.as_deref(), team.as_deref(), consumer.as_deref())? {
                    None => Vec::new(),
                    Some((kind, id)) => found
                        .grants
                        .iter()
                        .filter(|g| g.grantee_kind == kind && g.grantee_id == id && level(g))
                        .cloned()
                        .collect(),
                }
            }
            _ => return Err(invalid("name either the grant, or who holds it")),
        };
        if gone.is_empty() {
            return Err(Error::new(
                Code::GrantNotFound,
                format!("there is no such grant on {}", found.credential.name),
            ));
        }
        Ok((found, gone))
    }
}

impl Operation for UnshareCredential {
    const NAME: &'static str = "unshare_credential";
    const TITLE: &'static str = "Stop sharing a credential";
    const ABOUT: &'static str =
        "Take a user's or team's grant on a credential away. What it gave ends at once.";
    const TOOLSET: Toolset = Toolset::Credentials;
    const EFFECT: Effect = Effect::Removes;
    const NEEDS: Permission = Permission::Manage;
    type Output = Unshared;

    async fn confirm(&self, app: &App, caller: &Caller) -> Result<Confirm> {
        let (asking, input) = (caller.clone(), self.clone());
        app.store
            .read(move |tx| {
                crate::ops::quota::removal(tx, &asking)?;
                let (found, gone) = input.check(tx, &asking)?;
                let mut names = super::view::Names::new(tx, &asking.org);
                let mut impact = Vec::new();
                for g in &gone {
                    let name = match g.grantee_kind {
                        GranteeKind::Team => {
                            format!("team {}", names.team(&g.grantee_id)?)
                        }
                        GranteeKind::Consumer => {
                            format!(
                                "consumer {}",
                                crate::ops::consumer::name_of(
                                    tx,
                                    &tx.standing(&asking)?,
                                    &asking.org,
                                    &g.grantee_id
                                )?
                            )
                        }
                        GranteeKind::User => names.user(&g.grantee_id)?,
                    };
                    impact.push(format!("{name} loses {}", g.level));
                }
                let c = &found.credential;
                Ok(Confirm::Form(Question {
                    summary: format!("stop sharing {} ({})", c.label(), c.id),
                    impact,
                    reason: String::new(),
                    pins: vec![("credential", c.id.0.clone())],
                }))
            })
            .await
    }

    async fn run(self, app: &App, caller: &Caller) -> Result<Unshared> {
        let asking = caller.clone();
        app.store
            .write(caller, move |tx| {
                crate::ops::quota::removal(tx, &asking)?;
                let (found, gone) = self.check(tx, &asking)?;
                for grant in &gone {
                    tx.remove::<Grant>(&[grant.id.as_str()])?;
                }
                let removed: Vec<_> = gone.iter().map(|g| g.id.0.clone()).collect();
                let event = Event::of(Self::NAME).on(&found.credential).with("removed", removed.clone());
                tx.record(event, Unshared { credential: found.credential.id.0.clone(), removed })
            })
            .await
    }
}
