//! `share_credential`: lets a user or a team at a team or org credential. A person grants it, out of band.
use crate::app::App;
use crate::error::{Code, Error, Result, invalid};
use crate::ids::GrantId;
use crate::model::access::{Caller, Grant, GranteeKind, Level};
use crate::model::credential::Scope;
use crate::model::event::Event;
use crate::model::text::Reason;
use crate::ops::confirm::{Confirm, Question};
use crate::ops::consumer;
use crate::ops::reach::{self, Need, Reached};
use crate::ops::{Effect, Operation, Permission, Toolset};
use crate::store::Reader;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ShareCredential {
    /// Id or name
    #[schemars(length(max = 160))]
    pub credential: String,
    /// use: may inject; view: sees configuration; manage: all
    pub level: Level,
    /// Login or id
    #[schemars(length(max = 80))]
    pub user: Option<String>,
    /// Name or id
    #[schemars(length(max = 80))]
    pub team: Option<String>,
    /// Name or id; level use only
    #[schemars(length(max = 80))]
    pub consumer: Option<String>,
    /// Why, for whoever approves
    #[schemars(length(max = 300))]
    pub reason: String,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Shared {
    pub grant: String,
    pub credential: String,
    pub who: String,
    pub level: Level,
}

/// The other side of a grant: kind, id, name.
pub fn grantee(
    tx: &Reader<'_>,
    caller: &Caller,
    user: Option<&str>,
    team: Option<&str>,
    consumer: Option<&str>,
) -> Result<(GranteeKind, String, String)> {
    match (user, team, consumer) {
        (None, None, Some(consumer)) => {
            let c = consumer::reach(tx, caller, &tx.standing(caller)?, consumer)?;
            Ok((GranteeKind::Consumer, c.id.0, format!("consumer {}", c.name)))
        }
        (Some(user), None, None) => {
            let user = tx.user_named(&caller.org, user)?;
            if user.disabled_at.is_some() {
                return Err(Error::new(Code::UserNotFound, format!("{} is disabled", user.login)));
            }
            Ok((GranteeKind::User, user.id.0, user.login))
        }
        (None, Some(team), None) => {
            let team = tx.team_named(&caller.org, team)?;
            Ok((GranteeKind::Team, team.id.0, format!("team {}", team.name)))
        }
        _ => Err(invalid("name a user, a team or a consumer")),
    }
}

impl ShareCredential {
    fn check(&self, tx: &Reader<'_>, caller: &Caller) -> Result<(Reached, (GranteeKind, String, String))> {
        let who = tx.standing(caller)?;
        let found = reach::credential(tx, caller, &who, &self.credential, Need::Manage)?;
        if found.credential.scope == Scope::Personal {
            return Err(Error::new(Code::PolicyForbids, "a personal credential serves its owner only")
                .next("Move it to a team or the org first: update_credential with a new scope."));
        }
        if !found.access.covers(self.level) {
            return Err(Error::new(Code::NotAllowed, "nobody gives more than they have"));
        }
        let grantee =
            grantee(tx, caller, self.user.as_deref(), self.team.as_deref(), self.consumer.as_deref())?;
        if grantee.0 == GranteeKind::Consumer && self.level != Level::Use {
            return Err(invalid("a consumer is given use, and nothing else"));
        }
        let same =
            |g: &&Grant| g.grantee_kind == grantee.0 && g.grantee_id == grantee.1 && g.level == self.level;
        if let Some(grant) = found.grants.iter().find(same) {
            return Err(Error::new(Code::NothingToDo, format!("{} has that already", grantee.2))
                .detail("grant", grant.id.0.clone()));
        }
        Ok((found, grantee))
    }
}

impl Operation for ShareCredential {
    const NAME: &'static str = "share_credential";
    const TITLE: &'static str = "Share a credential";
    const ABOUT: &'static str =
        "Let a user or team use, view or manage a team or org credential. A person approves it out of band.";
    const TOOLSET: Toolset = Toolset::Credentials;
    const EFFECT: Effect = Effect::Widens;
    const NEEDS: Permission = Permission::Manage;
    type Output = Shared;

    async fn confirm(&self, app: &App, caller: &Caller) -> Result<Confirm> {
        let (asking, input) = (caller.clone(), self.clone());
        let reason = Reason::parse(&self.reason)?;
        app.store
            .read(move |tx| {
                let (found, (kind, grantee, name)) = input.check(tx, &asking)?;
                let c = &found.credential;
                Ok(Confirm::Person(Question {
                    summary: format!("let {name} {} {} ({}, {})", input.level, c.label(), c.scope, c.id),
                    impact: vec![match input.level {
                        Level::Use if kind == GranteeKind::Consumer => {
                            format!("whoever may run {name} runs it with the value, once it is bound to it")
                        }
                        Level::Use => format!("{name} can run programs that receive the value"),
                        Level::View => {
                            format!("{name} sees its configuration and log, and does not receive the value")
                        }
                        Level::Manage => format!("{name} can use, change, share and delete it"),
                    }],
                    reason: reason.to_string(),
                    // By id: a name may pass to somebody else before a person says yes.
                    pins: vec![("credential", c.id.0.clone()), (crate::model::Word::as_str(kind), grantee)],
                }))
            })
            .await
    }

    async fn run(self, app: &App, caller: &Caller) -> Result<Shared> {
        let asking = caller.clone();
        let reason = Reason::parse(&self.reason)?;
        app.store
            .write(caller, move |tx| {
                let (found, (kind, id, name)) = self.check(tx, &asking)?;
                let mut grant = Grant {
                    id: GrantId::fresh(),
                    org_id: asking.org.clone(),
                    credential_id: found.credential.id.clone(),
                    grantee_kind: kind,
                    grantee_id: id.clone(),
                    level: self.level,
                    created_at: tx.now(),
                    created_by: asking.user.clone(),
                    revision: 0,
                };
                tx.insert(&mut grant)?;
                let output = Shared {
                    grant: grant.id.0.clone(),
                    credential: found.credential.id.0.clone(),
                    who: name,
                    level: self.level,
                };
                let event = Event::of(Self::NAME)
                    .on(&found.credential)
                    .because(reason.as_str())
                    .with("grantee_kind", crate::model::Word::as_str(kind))
                    .with("grantee", id)
                    .with("level", crate::model::Word::as_str(self.level));
                tx.record(event, output)
            })
            .await
    }
}
