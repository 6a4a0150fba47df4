//! `remove_consumer`: it gets nothing any more, and its tokens end. The credentials stay.
use super::{about, managed};
use crate::app::App;
use crate::clock::Millis;
use crate::error::Result;
use crate::ids::ConsumerId;
use crate::model::access::Caller;
use crate::model::consumer::Consumer;
use crate::model::text::Reason;
use crate::ops::confirm::{Confirm, Question};
use crate::ops::{Effect, Operation, Permission, Toolset};
use crate::store::{Reader, Writer};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RemoveConsumer {
    /// Id or name
    #[schemars(length(min = 1, max = 80))]
    pub consumer: String,
    pub reason: Option<Reason>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Removed {
    pub id: ConsumerId,
    pub name: String,
    /// How many of its tokens ended.
    pub tokens: usize,
    pub message: String,
}

fn last_use(tx: &Reader<'_>, c: &Consumer) -> Result<Option<Millis>> {
    tx.last_use_by(&c.org_id, &c.id)
}

/// Takes everything from it and marks it removed: the log goes on naming it. Returns how many tokens ended.
pub(super) fn end(tx: &mut Writer<'_>, mut c: Consumer) -> Result<usize> {
    let now = tx.now();
    let mut ended = 0;
    for held in tx.tokens_of_consumer(&c.org_id, &c.id)? {
        let mut token = tx.token(&c.org_id, &held.token_id)?;
        if token.revoked_at.is_none() {
            ended += usize::from(token.is_live(now));
            token.revoked_at = Some(now);
            tx.save(&mut token)?;
        }
    }
    tx.strip_consumer(&c.org_id, &c.id)?;
    c.deleted_at = Some(now);
    c.updated_at = now;
    tx.save(&mut c)?;
    Ok(ended)
}

impl Operation for RemoveConsumer {
    const NAME: &'static str = "remove_consumer";
    const TITLE: &'static str = "Remove a consumer";
    const ABOUT: &'static str = "End a consumer: its bindings, grants and tokens go, it cannot be started any more. Credentials stay.";
    const TOOLSET: Toolset = Toolset::Consumers;
    const EFFECT: Effect = Effect::Removes;
    const NEEDS: Permission = Permission::ManagePlace;
    type Output = Removed;

    async fn confirm(&self, app: &App, caller: &Caller) -> Result<Confirm> {
        let (asking, input) = (caller.clone(), self.clone());
        app.store
            .read(move |tx| {
                let (_, c) = managed(tx, &asking, &input.consumer)?;
                let bindings = tx.bindings(&c.org_id, &c.id)?.len();
                let tokens = tx.tokens_of_consumer(&c.org_id, &c.id)?.len();
                let many = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
                let lost = many(bindings, "binding");
                let mut impact = vec![format!("it loses {lost}, and cannot be started any more")];
                match tokens {
                    0 => {}
                    1 => impact.push("a token of it ends at once".to_owned()),
                    n => impact.push(format!("{n} tokens of it end at once")),
                }
                impact.push(match last_use(tx, &c)? {
                    Some(at) => format!("it was last given a value at {at}"),
                    None => "it was never given a value".to_owned(),
                });
                Ok(Confirm::Form(Question {
                    summary: format!("remove the consumer {} ({})", c.name, c.scope),
                    impact,
                    reason: input.reason.as_ref().map_or(String::new(), |r| r.as_str().to_owned()),
                    pins: vec![("consumer", c.id.0)],
                }))
            })
            .await
    }

    async fn run(self, app: &App, caller: &Caller) -> Result<Removed> {
        let asking = caller.clone();
        app.store
            .write(caller, move |tx| {
                crate::ops::quota::removal(tx, &asking)?;
                let (_, c) = managed(tx, &asking, &self.consumer)?;
                let (id, name) = (c.id.clone(), c.name.clone());
                let event = about(Self::NAME, &c).because(self.reason.as_ref().map_or("", Reason::as_str));
                let tokens = end(tx, c)?;
                let message = format!("{name} is removed. Its credentials are kept; what runs keeps what it was given until it ends.");
                tx.record(event.with("tokens", tokens), Removed { id, name, tokens, message })
            })
            .await
    }
}
