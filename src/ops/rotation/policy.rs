//! `set_rotation_policy`: after how many days a value is due: of one credential, of a service, or of the whole org.
use super::standing::Policies;
use crate::app::App;
use crate::error::{Error, Result, invalid};
use crate::model::access::Caller;
use crate::model::event::Event;
use crate::model::rotation::{MOST_DAYS, RotationPolicy};
use crate::ops::confirm::{Confirm, Question};
use crate::ops::reach::{self, Need};
use crate::ops::{Effect, Operation, Permission, Toolset};
use crate::services::Catalogue;
use crate::store::Reader;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SetRotationPolicy {
    /// Id or name; without it and a service, the whole org
    #[schemars(length(max = 160))]
    pub credential: Option<String>,
    #[schemars(length(max = 64))]
    pub service: Option<String>,
    /// 0: never due. Left out: as the next wider policy says
    #[schemars(range(min = 0, max = 3650))]
    pub days: Option<i64>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct PolicySet {
    /// `credential`, `service` or `org`
    pub of: String,
    pub name: String,
    /// After how many days its values are due now; absent: never.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub due_after_days: Option<i64>,
    pub next: String,
}

impl SetRotationPolicy {
    fn check(&self) -> Result<()> {
        if self.credential.is_some() && self.service.is_some() {
            return Err(invalid("give a credential or a service, not both"));
        }
        match self.days {
            Some(days) if !(0..=MOST_DAYS).contains(&days) => {
                Err(invalid(format!("days is 0 to {MOST_DAYS}")))
            }
            _ => Ok(()),
        }
    }

    /// The service that is meant, by its id; empty for the org.
    fn service(&self, catalogue: &Catalogue) -> Result<String> {
        match self.service.as_deref().map(str::trim).filter(|name| !name.is_empty()) {
            Some(name) => Ok(catalogue.service(name)?.id.clone()),
            None => Ok(String::new()),
        }
    }

    fn question(&self, tx: &Reader<'_>, caller: &Caller, service: &str) -> Result<Question> {
        let before = tx.rotation_policies(&caller.org)?.into_iter().find(|p| p.service == service);
        let told = |days: Option<i64>| match days {
            Some(0) => "never".to_owned(),
            Some(days) => format!("{days} days"),
            None => "no policy of its own".to_owned(),
        };
        let of = if service.is_empty() {
            "the whole org".to_owned()
        } else {
            format!("every {service} credential")
        };
        Ok(Question {
            summary: format!("change after how long values of {of} are due"),
            impact: vec![format!("from {} to {}", told(before.map(|p| p.days)), told(self.days))],
            reason: String::new(),
            pins: Vec::new(),
        })
    }
}

fn next(name: &str) -> String {
    format!("Call start_rotation with overdue to plan what is due{name}.")
}

impl Operation for SetRotationPolicy {
    const NAME: &'static str = "set_rotation_policy";
    const TITLE: &'static str = "Set when values are due";
    const ABOUT: &'static str = "Say after how many days values of a credential, a service or the org are due; beyond one credential a person approves.";
    const TOOLSET: Toolset = Toolset::Rotation;
    const EFFECT: Effect = Effect::Changes;
    const NEEDS: Permission = Permission::Manage;
    const IDEMPOTENT: bool = true;
    type Output = PolicySet;

    async fn confirm(&self, app: &App, caller: &Caller) -> Result<Confirm> {
        self.check()?;
        let (input, asking, catalogue) = (self.clone(), caller.clone(), app.catalogue);
        app.store
            .read(move |tx| {
                if let Some(wanted) = &input.credential {
                    let who = tx.standing(&asking)?;
                    reach::credential(tx, &asking, &who, wanted, Need::Manage)?;
                    return Ok(Confirm::Nothing);
                }
                reach::admin(tx, &asking)?;
                let service = input.service(catalogue)?;
                Ok(Confirm::Person(input.question(tx, &asking, &service)?))
            })
            .await
    }

    async fn run(self, app: &App, caller: &Caller) -> Result<PolicySet> {
        self.check()?;
        let (asking, catalogue) = (caller.clone(), app.catalogue);
        app.store
            .write(caller, move |tx| {
                let now = tx.now();
                if let Some(wanted) = &self.credential {
                    let who = tx.standing(&asking)?;
                    let mut c = reach::credential(tx, &asking, &who, wanted, Need::Manage)?.credential;
                    c.rotation_days = self.days;
                    c.updated_at = now;
                    tx.save(&mut c)?;
                    let output = PolicySet {
                        of: "credential".into(),
                        name: c.label(),
                        due_after_days: Policies::read(tx, &asking.org)?.days_for(&c),
                        next: next(""),
                    };
                    return tx.record(Event::of(Self::NAME).on(&c).with("days", self.days), output);
                }
                reach::admin(tx, &asking)?;
                let service = self.service(catalogue)?;
                Confirm::Person(self.question(tx, &asking, &service)?).expect_agreed(&asking)?;
                let there = tx.rotation_policies(&asking.org)?.into_iter().find(|p| p.service == service);
                match (there, self.days) {
                    (Some(_), None) => tx.remove::<RotationPolicy>(&[asking.org.as_str(), &service])?,
                    (None, None) => {
                        return Err(Error::new(crate::error::Code::NothingToDo, "there is no such policy"));
                    }
                    (Some(mut p), Some(days)) => {
                        (p.days, p.set_at, p.set_by) = (days, now, asking.user.clone());
                        tx.save(&mut p)?;
                    }
                    (None, Some(days)) => tx.insert(&mut RotationPolicy {
                        org_id: asking.org.clone(),
                        service: service.clone(),
                        days,
                        set_by: asking.user.clone(),
                        set_at: now,
                        revision: 0,
                    })?,
                }
                let of = if service.is_empty() { "org" } else { "service" };
                let event = Event::of(Self::NAME).about(of, &service, &service).with("days", self.days);
                let output = PolicySet {
                    of: of.into(),
                    name: service,
                    due_after_days: self.days.filter(|days| *days > 0),
                    next: next(" now"),
                };
                tx.record(event, output)
            })
            .await
    }
}
