//! `set_credential_value`: tells where a person enters the value. It never takes one.
use super::create::entered_by_hand;
use super::sealing::expect_manual;
use crate::app::App;
use crate::error::Result;
use crate::model::access::Caller;
use crate::model::entry::EntryPurpose;
use crate::model::event::Event;
use crate::ops::entry::Offer;
use crate::ops::reach::{self, Need};
use crate::ops::{Effect, Operation, Permission, Toolset};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetCredentialValue {
    /// Id or name
    #[schemars(length(max = 160))]
    pub credential: String,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct WhereToEnter {
    pub id: String,
    pub name: String,
    /// What the person runs in a terminal of their own.
    pub command: String,
    /// The parts they will be asked for.
    pub fields: Vec<String>,
    pub next: String,
    /// Where the person enters it in a browser.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub entry: Option<Offer>,
}

impl Operation for SetCredentialValue {
    const NAME: &'static str = "set_credential_value";
    const TITLE: &'static str = "Have a value entered";
    const ABOUT: &'static str = "Get the link or the command with which a person enters or replaces a value, outside the chat. Takes no value itself.";
    const TOOLSET: Toolset = Toolset::Credentials;
    const EFFECT: Effect = Effect::Changes;
    const NEEDS: Permission = Permission::Manage;
    const IDEMPOTENT: bool = true;
    type Output = WhereToEnter;

    fn entry(answer: &Value) -> Option<(EntryPurpose, String)> {
        entered_by_hand(answer)
    }

    async fn run(self, app: &App, caller: &Caller) -> Result<WhereToEnter> {
        let asking = caller.clone();
        app.store
            .write(caller, move |tx| {
                let who = tx.standing(&asking)?;
                let c = reach::credential(tx, &asking, &who, &self.credential, Need::Manage)?.credential;
                expect_manual(&c)?;
                let output = WhereToEnter {
                    id: c.id.0.clone(),
                    name: c.name.clone(),
                    command: c.set_command(),
                    fields: c.field_specs().into_iter().map(|f| f.name).collect(),
                    next: "Ask the person to run the command in a terminal. Then call get_credential to see that it is done. Never ask for the value in the chat.".into(),
                    entry: None,
                };
                tx.record(Event::of(Self::NAME).on(&c), output)
            })
            .await
    }
}
