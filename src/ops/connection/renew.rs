//! `refresh_credential`: new tokens now, for whoever wants to see whether a grant still holds.
use super::provider_of;
use super::refresh::{Wanted, ensure_fresh, load, not_connected};
use crate::app::App;
use crate::clock::Millis;
use crate::error::Result;
use crate::model::access::Caller;
use crate::model::connection::ConnectionState;
use crate::model::event::Event;
use crate::model::status::{StatusReport, status};
use crate::ops::reach::{self, Need};
use crate::ops::{Effect, Operation, Permission, Toolset};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RefreshCredential {
    /// Id or name
    #[schemars(length(max = 160))]
    pub credential: String,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Refreshed {
    pub id: String,
    pub name: String,
    pub status: StatusReport,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_expires_at: Option<Millis>,
}

impl Operation for RefreshCredential {
    const NAME: &'static str = "refresh_credential";
    const TITLE: &'static str = "Refresh a connection";
    const ABOUT: &'static str =
        "Get new tokens for an OAuth connection now, to see whether its grant still holds.";
    const TOOLSET: Toolset = Toolset::OAuth;
    const EFFECT: Effect = Effect::Changes;
    const NEEDS: Permission = Permission::Use;
    type Output = Refreshed;

    async fn run(self, app: &App, caller: &Caller) -> Result<Refreshed> {
        let asking = caller.clone();
        let (id, generation) = app
            .store
            .read(move |tx| {
                let who = tx.standing(&asking)?;
                let c = reach::credential(tx, &asking, &who, &self.credential, Need::Use)?.credential;
                provider_of(tx, &c)?;
                match tx.connection(&asking.org, &c.id)? {
                    Some(connection) if connection.state == ConnectionState::Connected => {
                        Ok((c.id, connection.generation))
                    }
                    connection => Err(not_connected(&c, connection.as_ref())),
                }
            })
            .await?;
        ensure_fresh(app, caller, &caller.org, &id, Wanted::Instead(generation)).await?;
        let (org_id, asking) = (caller.org.clone(), caller.clone());
        app.store
            .write(caller, move |tx| {
                let (c, connection) = load(tx, &org_id, &id)?;
                let org = tx.org(&asking.org)?;
                let output = Refreshed {
                    id: c.id.0.clone(),
                    name: c.name.clone(),
                    status: status(&c, connection.as_ref(), tx.now(), org.warn_days, org.bin_days),
                    token_expires_at: connection.and_then(|c| c.access_expires_at),
                };
                tx.record(Event::of(Self::NAME).on(&c), output)
            })
            .await
    }
}
