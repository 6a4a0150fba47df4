//! `lift_suspension`: a credential goes again to a service that has sent it back. People only.
use crate::app::App;
use crate::error::{Code, Error, Result};
use crate::model::access::Caller;
use crate::model::credential::Credential;
use crate::model::echo::Echoes;
use crate::model::event::Event;
use crate::model::text::{Reason, shown};
use crate::ops::confirm::{Confirm, Question};
use crate::ops::echo::suspensions;
use crate::ops::reach::{self, Need};
use crate::ops::{Effect, Operation, Permission, Toolset, people_only};
use crate::store::Reader;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LiftSuspension {
    /// Id or name
    #[schemars(length(max = 160))]
    pub credential: String,
    /// Only for this one, or this host; all that have sent it back where nothing is said
    #[schemars(length(max = 260))]
    pub service: Option<String>,
    #[schemars(length(max = 300))]
    pub reason: Option<String>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Lifted {
    pub id: String,
    pub name: String,
    /// Where it goes again.
    pub services: Vec<String>,
}

impl LiftSuspension {
    /// As it was stated; empty where it was not.
    fn reason(&self) -> Result<String> {
        let given = self.reason.as_deref().map(Reason::parse).transpose()?;
        Ok(given.map_or_else(String::new, |reason| reason.to_string()))
    }

    /// The credential, and what is to be lifted of it.
    fn meant(&self, tx: &Reader<'_>, caller: &Caller) -> Result<(Credential, Vec<Echoes>)> {
        let who = tx.standing(caller)?;
        let c = reach::credential(tx, caller, &who, &self.credential, Need::Manage)?.credential;
        let mut found = suspensions(tx, &c)?;
        if let Some(service) = &self.service {
            found.retain(|echoes| echoes.service == *service);
        }
        if found.is_empty() {
            let nowhere = match &self.service {
                Some(service) => format!("{} is not suspended for {}", c.name, shown(service)),
                None => format!("{} is suspended for no service", c.name),
            };
            return Err(Error::new(Code::NothingToDo, nowhere));
        }
        Ok((c, found))
    }
}

impl Operation for LiftSuspension {
    const NAME: &'static str = "lift_suspension";
    const TITLE: &'static str = "Lift a suspension";
    const ABOUT: &'static str = "Send a credential again to a service that has sent it back.";
    const TOOLSET: Toolset = Toolset::People;
    const EFFECT: Effect = Effect::Widens;
    const NEEDS: Permission = Permission::Manage;
    type Output = Lifted;

    async fn confirm(&self, app: &App, caller: &Caller) -> Result<Confirm> {
        people_only(caller)?;
        let (asking, wanted, reason) = (caller.clone(), self.clone(), self.reason()?);
        app.store
            .read(move |tx| {
                let (c, found) = wanted.meant(tx, &asking)?;
                let services: Vec<_> = found.iter().map(|echoes| echoes.service.as_str()).collect();
                Ok(Confirm::Person(Question {
                    summary: format!("send {} ({}) to {} again", c.label(), c.id, services.join(", ")),
                    impact: found.iter().map(Echoes::why).collect(),
                    reason,
                    pins: vec![("credential", c.id.0.clone())],
                }))
            })
            .await
    }

    async fn run(self, app: &App, caller: &Caller) -> Result<Lifted> {
        people_only(caller)?;
        let (asking, reason) = (caller.clone(), self.reason()?);
        app.store
            .write(caller, move |tx| {
                let (c, found) = self.meant(tx, &asking)?;
                let services: Vec<_> = found.into_iter().map(|echoes| echoes.service).collect();
                for service in &services {
                    tx.forget_echoes(&c.id, service)?;
                }
                let event = Event::of(Self::NAME).on(&c).because(reason).with("services", services.clone());
                tx.record(event, Lifted { id: c.id.0, name: c.name, services })
            })
            .await
    }
}
