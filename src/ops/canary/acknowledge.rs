//! `acknowledge_canary`: somebody who manages a canary says that they know of an alert. People only.
use super::AlertRow;
use crate::app::App;
use crate::error::{Code, Error, Result};
use crate::ids::AlertId;
use crate::model::access::Caller;
use crate::model::canary::may_know;
use crate::model::event::Event;
use crate::ops::reach;
use crate::ops::{Effect, Operation, Permission, Toolset, people_only};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AcknowledgeCanary {
    /// The alert's id, as list_canaries shows it
    #[schemars(length(max = 40))]
    pub alert: String,
    /// What came of it, in a sentence
    #[serde(default)]
    #[schemars(length(max = 500))]
    pub reason: String,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct Acknowledged {
    pub alert: AlertRow,
}

impl Operation for AcknowledgeCanary {
    const NAME: &'static str = "acknowledge_canary";
    const TITLE: &'static str = "Acknowledge a canary's alert";
    const ABOUT: &'static str = "Say that you know of a canary's alert; the next use raises another.";
    const TOOLSET: Toolset = Toolset::People;
    const EFFECT: Effect = Effect::Changes;
    const NEEDS: Permission = Permission::Manage;
    type Output = Acknowledged;

    async fn run(self, app: &App, caller: &Caller) -> Result<Acknowledged> {
        people_only(caller)?;
        let asking = caller.clone();
        app.store
            .write(caller, move |tx| {
                let who = tx.standing(&asking)?;
                // Of somebody else's canary nobody learns that there is an alert.
                let none = || Error::new(Code::AlertNotFound, "there is no such alert of what you manage");
                let mut alert =
                    tx.alert(&asking.org, &AlertId(self.alert.trim().to_owned()))?.ok_or_else(none)?;
                let c = tx.find_credential(&asking.org, &alert.credential_id)?.ok_or_else(none)?;
                let found = reach::reached(tx, &asking.org, &who, c)?;
                if !may_know(&asking, found.access) {
                    return Err(none());
                }
                if alert.acknowledged_at.is_some() {
                    return Err(Error::new(Code::NothingToDo, "this alert is acknowledged already"));
                }
                alert.acknowledged_at = Some(tx.now());
                alert.acknowledged_by = Some(asking.user.clone());
                tx.save(&mut alert)?;
                let event = Event::of(Self::NAME)
                    .on(&found.credential)
                    .because(self.reason.trim())
                    .with("alert", alert.id.0.clone());
                let row = AlertRow::of(tx, &alert, &found.credential.name)?;
                tx.record(event, Acknowledged { alert: row })
            })
            .await
    }
}
