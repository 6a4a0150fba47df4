//! `connect_credential`: tells where a person consents, or connects at once where there is nobody to ask.
use super::begin::expect;
use super::without::connect_client;
use crate::app::App;
use crate::error::Result;
use crate::model::access::Caller;
use crate::model::connection::GrantKind;
use crate::model::entry::EntryPurpose;
use crate::model::event::Event;
use crate::ops::entry::Offer;
use crate::ops::provider::hosts;
use crate::ops::{Effect, Operation, Permission, Toolset};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConnectCredential {
    /// Id or name, of type oauth
    #[schemars(length(max = 160))]
    pub credential: String,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Connecting {
    pub id: String,
    pub name: String,
    pub provider: String,
    /// Nobody has to consent: it is connected now.
    pub connected: bool,
    /// Where the consent page and the token address are.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub hosts: Vec<String>,
    pub scopes: Vec<String>,
    /// Whose account it was connected as before, which it should be again.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub account: String,
    /// What the person runs in a terminal of their own.
    pub command: String,
    pub next: String,
    /// Where the person consents in a browser.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub entry: Option<Offer>,
}

impl Operation for ConnectCredential {
    const NAME: &'static str = "connect_credential";
    const TITLE: &'static str = "Have a connection made";
    const ABOUT: &'static str = "Get the link or the command with which a person connects an OAuth credential, or connects it again in place. Shows no token.";
    const TOOLSET: Toolset = Toolset::OAuth;
    const EFFECT: Effect = Effect::Changes;
    const NEEDS: Permission = Permission::Manage;
    const IDEMPOTENT: bool = true;
    type Output = Connecting;

    fn entry(answer: &Value) -> Option<(EntryPurpose, String)> {
        let waits = answer.get("connected").and_then(Value::as_bool) == Some(false);
        let id = answer.get("id").and_then(Value::as_str)?;
        waits.then(|| (EntryPurpose::Connect, id.to_owned()))
    }

    async fn run(self, app: &App, caller: &Caller) -> Result<Connecting> {
        let (asking, wanted) = (caller.clone(), self.credential.clone());
        let (_, p, _) = app.store.read(move |tx| expect(tx, &asking, &wanted)).await?;
        let connected = p.grant_kind == GrantKind::ClientCredentials;
        if connected {
            connect_client(app, caller, &self.credential).await?;
        }
        let asking = caller.clone();
        app.store
            .write(caller, move |tx| {
                let (c, p, connection) = expect(tx, &asking, &self.credential)?;
                let next = match connected {
                    true => "It is connected, and kept fresh. Nothing more is to be done.".to_owned(),
                    false => format!(
                        "Ask the person to run `{}` in a terminal. Then call get_credential to see that it is done.",
                        c.connect_command()
                    ),
                };
                let output = Connecting {
                    id: c.id.0.clone(),
                    name: c.name.clone(),
                    provider: p.name.clone(),
                    connected,
                    hosts: hosts(&p.endpoints),
                    scopes: p.scopes.clone(),
                    account: connection.map_or(String::new(), |c| c.account),
                    command: c.connect_command(),
                    next,
                    entry: None,
                };
                tx.record(Event::of(Self::NAME).on(&c), output)
            })
            .await
    }
}
