//! `get_consumer`: one consumer, and for a person: is everything there, which value would win, what is missing.
use super::check::{BindingCheck, check};
use super::hints::{Hints, Unset};
use super::{ConsumerRow, reach, row};
use crate::app::App;
use crate::clock::Millis;
use crate::error::{Code, Error, Result};
use crate::model::access::{Caller, Standing};
use crate::ops::org::named;
use crate::ops::{Effect, Operation, Permission, Toolset};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GetConsumer {
    /// Id or name
    #[schemars(length(min = 1, max = 80))]
    pub consumer: String,
    /// For this person (admins, auditors); default the caller
    #[schemars(length(max = 80))]
    pub user: Option<String>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ConsumerDetail {
    #[serde(flatten)]
    pub consumer: ConsumerRow,
    /// Whom `ready` and `bindings` are for.
    pub for_user: String,
    /// Whether that person may run it at all.
    pub may_run: bool,
    /// Everything required is there.
    pub ready: bool,
    pub checks: Vec<BindingCheck>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<Millis>,
    /// Live tokens of it.
    pub tokens: usize,
    pub message: String,
    pub next: Vec<String>,
    /// What its server takes besides, as the definition says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(skip)]
    pub unset: Vec<Unset>,
}

impl Operation for GetConsumer {
    const NAME: &'static str = "get_consumer";
    const TITLE: &'static str = "One consumer, and is it ready";
    const ABOUT: &'static str = "See a consumer's bindings and whether every required credential is there: which value wins and why, what is missing and how to add it.";
    const TOOLSET: Toolset = Toolset::Consumers;
    const EFFECT: Effect = Effect::Reads;
    const NEEDS: Permission = Permission::Anyone;
    const IDEMPOTENT: bool = true;
    type Output = ConsumerDetail;

    async fn run(self, app: &App, caller: &Caller) -> Result<ConsumerDetail> {
        let (caller, servers) = (caller.clone(), app.servers);
        app.store
            .read(move |tx| {
                let asking = tx.standing(&caller)?;
                let c = reach(tx, &caller, &asking, &self.consumer)?;
                let person: Standing = match &self.user {
                    None => asking.clone(),
                    Some(user) => {
                        let user = named(user)?;
                        let found = match asking.sees_all() {
                            true => tx.user_named(&caller.org, &user)?,
                            // Of others a member learns nothing, not even that they are there.
                            false if user == asking.login || user == asking.user.as_str() => {
                                tx.user(&caller.org, &asking.user)?
                            }
                            false => {
                                return Err(Error::new(
                                    Code::NotAllowed,
                                    "only admins and auditors look for somebody else",
                                )
                                .next("Leave user out: it is looked at for you."));
                            }
                        };
                        tx.standing(&Caller { user: found.id, ..caller.clone() })?
                    }
                };
                let is_oneself = person.user == asking.user;
                let bindings = tx.bindings(&caller.org, &c.id)?;
                let their = Caller { user: person.user.clone(), ..caller.clone() };
                let checked = check(tx, &their, &person, &c, &bindings, &Hints::of(servers, &c), is_oneself)?;
                let now = tx.now();
                let mut tokens = 0;
                for held in tx.tokens_of_consumer(&c.org_id, &c.id)? {
                    tokens += usize::from(tx.token(&c.org_id, &held.token_id)?.is_live(now));
                }
                let may_run = c.is_run_by(&person);
                let message = match may_run {
                    false => format!("{} may not run {}", person.login, c.name),
                    true => format!("{} {}", c.name, checked.told()),
                };
                Ok(ConsumerDetail {
                    consumer: row(tx, &c, bindings.len())?,
                    for_user: person.login.clone(),
                    may_run,
                    ready: may_run && checked.ready,
                    checks: checked.bindings,
                    last_used_at: tx.last_use_by(&c.org_id, &c.id)?,
                    tokens,
                    message,
                    next: checked.next,
                    unset: checked.unset,
                })
            })
            .await
    }
}
