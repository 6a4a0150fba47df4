//! `set_rotation_policy`: after how many days a value is due: of one credential, of a service, or of the whole org.
use super::standing::Policies;
use crate::app::App;
use crate::error::{Error, Result, invalid};
use crate::model::access::Caller;
use crate::model::event::Event;
use crate::model::rotation::{MOST_DAYS, RotationAdvice, RotationPolicy};
use crate::ops::confirm::{Confirm, Question};
use crate::ops::reach::{self, Need};
use crate::ops::{Effect, Operation, Permission, Toolset};
use crate::services::Catalogue;
use crate::store::{Reader, Recorded, Writer};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SetRotationPolicy {
    /// Without it and a service: the org
    #[schemars(length(max = 160))]
    pub credential: Option<String>,
    #[schemars(length(max = 64))]
    pub service: Option<String>,
    /// 0: never. Left out: as the wider policy
    #[schemars(range(min = 0, max = 3650))]
    pub days: Option<i64>,
    /// As the catalogue says
    pub advised: Option<bool>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct PolicySet {
    /// `credential`, `service` or `org`
    pub of: String,
    pub name: String,
    /// Absent: never
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub due_after_days: Option<i64>,
    /// For so many services as the catalogue advises.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(skip)]
    pub advised: Option<usize>,
    pub next: String,
}

impl SetRotationPolicy {
    fn check(&self) -> Result<()> {
        if self.credential.is_some() && self.service.is_some() {
            return Err(invalid("give a credential or a service, not both"));
        }
        if self.advised.is_some() && self.days.is_some() {
            return Err(invalid("give days or advised, not both"));
        }
        if self.advised == Some(false) && (self.credential.is_some() || self.service.is_some()) {
            return Err(invalid("advised: false is for the whole org")
                .next("Leave days and advised out: then the next wider policy counts."));
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

    /// Of one service or credential: the days that are meant.
    fn days_for(&self, catalogue: &Catalogue, service: &str) -> Result<Option<i64>> {
        if self.advised != Some(true) {
            return Ok(self.days);
        }
        if service.is_empty() {
            return Err(invalid("the credential has no service, so nothing is advised for it")
                .next("Name its service with update_credential, or give days."));
        }
        Ok(Some(i64::from(catalogue.service(service)?.rotation.recommended_interval_days)))
    }

    /// What is agreed to where the org follows the catalogue, or no longer does. Of this very advice: another is another question.
    fn question_of_advice(
        &self,
        catalogue: &Catalogue,
        tx: &Reader<'_>,
        caller: &Caller,
    ) -> Result<Question> {
        let before = tx.rotation_advice(&caller.org)?;
        let follows = self.advised == Some(true);
        let told = |is: bool| match is {
            true => "what the catalogue advises for each service",
            false => "the org's own policies alone",
        };
        let mut impact = Vec::new();
        let now = advice(catalogue);
        match (&before, follows) {
            (Some(before), true) => {
                let known: HashMap<_, _> = before.days().collect();
                let changed = RotationAdvice { advice: now.clone(), ..before.clone() };
                let changed: Vec<_> = changed
                    .days()
                    .filter(|(service, days)| known.get(service) != Some(days))
                    .map(|(service, days)| format!("{service} {days}"))
                    .collect();
                impact
                    .push(format!("the advice of {} services is another than was agreed to", changed.len()));
                impact.push(changed.into_iter().take(20).collect::<Vec<_>>().join(", "));
            }
            _ => impact.push(format!("from {} to {}", told(before.is_some()), told(follows))),
        }
        if follows {
            let days: Vec<i64> =
                now.split(' ').filter_map(|one| one.split_once(':')?.1.parse().ok()).collect();
            impact.push(format!(
                "{} services, after {} to {} days",
                days.len(),
                days.iter().min().copied().unwrap_or_default(),
                days.iter().max().copied().unwrap_or_default()
            ));
        }
        impact.push("policies of credentials and services come first all the same".to_owned());
        if follows {
            // So that a yes to this advice is none to another.
            let digest = data_encoding::BASE32_NOPAD.encode(&Sha256::digest(now.as_bytes())[..10]);
            impact.push(format!("the advice as of today ({digest})"));
        }
        impact.retain(|line| !line.is_empty());
        Ok(Question {
            summary: "change after how long values of the whole org are due".to_owned(),
            impact,
            reason: String::new(),
            pins: Vec::new(),
        })
    }

    fn is_org_advice(&self) -> bool {
        self.advised.is_some() && self.service.is_none() && self.credential.is_none()
    }

    /// Follows what the catalogue advises today, or ends that.
    fn follow(
        &self,
        catalogue: &Catalogue,
        tx: &mut Writer<'_>,
        asking: &Caller,
    ) -> Result<Recorded<PolicySet>> {
        Confirm::Person(self.question_of_advice(catalogue, tx, asking)?).expect_agreed(asking)?;
        let (advice, now) = (advice(catalogue), tx.now());
        let count = advice.split(' ').count();
        match (tx.rotation_advice(&asking.org)?, self.advised == Some(true)) {
            (None, false) => {
                return Err(Error::new(
                    crate::error::Code::NothingToDo,
                    "the catalogue's advice is not followed",
                ));
            }
            (Some(_), false) => tx.remove::<RotationAdvice>(&[asking.org.as_str()])?,
            (Some(there), true) if there.advice == advice => {
                return Err(Error::new(
                    crate::error::Code::NothingToDo,
                    "the catalogue's advice is followed already",
                ));
            }
            (Some(mut there), true) => {
                (there.advice, there.set_at, there.set_by) = (advice, now, asking.user.clone());
                tx.save(&mut there)?;
            }
            (None, true) => tx.insert(&mut RotationAdvice {
                org_id: asking.org.clone(),
                advice,
                set_by: asking.user.clone(),
                set_at: now,
                revision: 0,
            })?,
        }
        let event =
            Event::of(Self::NAME).about("org", "", "").with("advised", self.advised).with("services", count);
        let days =
            tx.rotation_policies(&asking.org)?.into_iter().find(|p| p.service.is_empty()).map(|p| p.days);
        let output = PolicySet {
            of: "org".into(),
            name: String::new(),
            due_after_days: days.filter(|days| *days > 0),
            advised: (self.advised == Some(true)).then_some(count),
            next: next(" now"),
        };
        tx.record(event, output)
    }

    fn question(
        &self,
        tx: &Reader<'_>,
        caller: &Caller,
        service: &str,
        days: Option<i64>,
    ) -> Result<Question> {
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
            impact: vec![format!("from {} to {}", told(before.map(|p| p.days)), told(days))],
            reason: String::new(),
            pins: Vec::new(),
        })
    }
}

/// What the catalogue advises today, as it is kept: `service:days`, between blanks.
fn advice(catalogue: &Catalogue) -> String {
    let advised = catalogue.services().filter(|s| s.rotation.recommended_interval_days > 0);
    let advised = advised.map(|s| format!("{}:{}", s.id, s.rotation.recommended_interval_days));
    advised.collect::<Vec<_>>().join(" ")
}

fn next(name: &str) -> String {
    format!("Call start_rotation with overdue to plan what is due{name}.")
}

impl Operation for SetRotationPolicy {
    const NAME: &'static str = "set_rotation_policy";
    const TITLE: &'static str = "Set when values are due";
    const ABOUT: &'static str = "Say when values of a credential, a service or the org are due; beyond one credential a person approves.";
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
                let is_nothing = input.days.is_none() && input.advised.is_none() && input.service.is_none();
                if is_nothing && tx.rotation_policies(&asking.org)?.iter().all(|p| !p.service.is_empty()) {
                    return Err(Error::new(
                        crate::error::Code::NothingToDo,
                        "the org has no policy of its own",
                    )
                    .next("Give days, or advised."));
                }
                if input.is_org_advice() {
                    return Ok(Confirm::Person(input.question_of_advice(catalogue, tx, &asking)?));
                }
                let service = input.service(catalogue)?;
                let days = input.days_for(catalogue, &service)?;
                Ok(Confirm::Person(input.question(tx, &asking, &service, days)?))
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
                    c.rotation_days = self.days_for(catalogue, &c.service)?;
                    c.updated_at = now;
                    tx.save(&mut c)?;
                    let output = PolicySet {
                        of: "credential".into(),
                        name: c.label(),
                        due_after_days: Policies::read(tx, &asking.org)?.days_for(&c),
                        advised: None,
                        next: next(""),
                    };
                    return tx.record(Event::of(Self::NAME).on(&c).with("days", c.rotation_days), output);
                }
                reach::admin(tx, &asking)?;
                if self.is_org_advice() {
                    return self.follow(catalogue, tx, &asking);
                }
                let service = self.service(catalogue)?;
                let days = self.days_for(catalogue, &service)?;
                Confirm::Person(self.question(tx, &asking, &service, days)?).expect_agreed(&asking)?;
                let there = tx.rotation_policies(&asking.org)?.into_iter().find(|p| p.service == service);
                match (there, days) {
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
                let event = Event::of(Self::NAME).about(of, &service, &service).with("days", days);
                let output = PolicySet {
                    of: of.into(),
                    name: service,
                    due_after_days: days.filter(|days| *days > 0),
                    advised: None,
                    next: next(" now"),
                };
                tx.record(event, output)
            })
            .await
    }
}
