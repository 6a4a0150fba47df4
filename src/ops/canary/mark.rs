//! `mark_canary`: makes a credential a canary, or takes the mark away. People only.
use crate::app::App;
use crate::error::{Code, Error, Result};
use crate::model::access::Caller;
use crate::model::canary::Canary;
use crate::model::event::Event;
use crate::ops::reach::{self, Need};
use crate::ops::{Effect, Operation, Permission, Toolset, people_only};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MarkCanary {
    /// Id or name
    #[schemars(length(max = 160))]
    pub credential: String,
    /// Take the mark away
    #[serde(default)]
    pub remove: bool,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct Marked {
    pub id: String,
    pub name: String,
    pub is_canary: bool,
    pub next: String,
}

impl Operation for MarkCanary {
    const NAME: &'static str = "mark_canary";
    const TITLE: &'static str = "Mark a canary";
    const ABOUT: &'static str = "Make a credential a canary: any use of it raises an alert.";
    const TOOLSET: Toolset = Toolset::People;
    const EFFECT: Effect = Effect::Changes;
    const NEEDS: Permission = Permission::Manage;
    type Output = Marked;

    async fn run(self, app: &App, caller: &Caller) -> Result<Marked> {
        people_only(caller)?;
        let asking = caller.clone();
        app.store
            .write(caller, move |tx| {
                let who = tx.standing(&asking)?;
                let c = reach::credential(tx, &asking, &who, &self.credential, Need::Manage)?.credential;
                let there = tx.canary(&asking.org, &c.id)?.is_some();
                if there != self.remove {
                    let is = if there { "a canary already" } else { "no canary" };
                    return Err(Error::new(Code::NothingToDo, format!("{} is {is}", c.name)));
                }
                let next = match self.remove {
                    true => {
                        tx.remove::<Canary>(&[c.id.as_str()])?;
                        "Its open alerts stay until they are acknowledged."
                    }
                    false => {
                        tx.insert(&mut Canary {
                            credential_id: c.id.clone(),
                            org_id: asking.org.clone(),
                            created_at: tx.now(),
                            created_by: asking.user.clone(),
                            revision: 0,
                        })?;
                        "Give it a value that opens nothing, and tell nobody. `unsaid status` shows its alerts."
                    }
                };
                let event = Event::of(Self::NAME).on(&c).with("removed", self.remove);
                let marked = Marked {
                    id: c.id.0.clone(),
                    name: c.name.clone(),
                    is_canary: !self.remove,
                    next: next.into(),
                };
                tx.record(event, marked)
            })
            .await
    }
}
