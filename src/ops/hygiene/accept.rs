//! `accept_finding`: somebody who answers for it says that a finding may stay, why, and until when. People only: a model
//! hides nothing.
use super::audit::make;
use crate::app::App;
use crate::clock::Millis;
use crate::error::{Code, Error, Result, invalid};
use crate::model::Word;
use crate::model::access::{Caller, Standing};
use crate::model::event::Event;
use crate::model::hygiene::kept::Acceptance;
use crate::model::hygiene::{Finding, FindingKind, Inventory, Keeper, shown_id};
use crate::model::org::Role;
use crate::model::text::Reason;
use crate::ops::reach::{self, Need};
use crate::ops::{Effect, Operation, Permission, Toolset, people_only};
use crate::store::Reader;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The longest time that a finding is accepted for, days.
const MOST_DAYS: i64 = 366;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AcceptFinding {
    /// Of your last report.
    #[schemars(length(min = 1, max = 40))]
    pub id: String,
    /// Why it may stay.
    pub reason: Reason,
    /// When it comes back; leave out to take the acceptance back.
    pub until: Option<Millis>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Accepted {
    pub id: String,
    pub kind: FindingKind,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Millis>,
    pub message: String,
}

impl Operation for AcceptFinding {
    const NAME: &'static str = "accept_finding";
    const TITLE: &'static str = "Accept a finding";
    const ABOUT: &'static str = "Leave a finding out of reports until a date, or until its facts change.";
    const TOOLSET: Toolset = Toolset::People;
    const EFFECT: Effect = Effect::Changes;
    const NEEDS: Permission = Permission::Anyone;
    const IDEMPOTENT: bool = true;
    type Output = Accepted;

    async fn run(self, app: &App, caller: &Caller) -> Result<Accepted> {
        people_only(caller)?;
        let now = app.now();
        if self.until.is_some_and(|until| until <= now || until > now.plus_days(MOST_DAYS)) {
            return Err(invalid(format!("until is a time to come, at most {MOST_DAYS} days away")));
        }
        let id = self.id.trim().to_lowercase();
        let not_found = || Error::new(Code::FindingNotFound, "there is no such finding in your report");
        let made = make(app, caller, None).await?;
        // A report like any other, and counted like one: asking for ids is no way to learn which values are equal.
        let (_, finding) =
            made.found.iter().find(|(raw, _)| shown_id(*raw) == id).cloned().ok_or_else(not_found)?;
        let (by, until, reason) = (caller.clone(), self.until, self.reason);
        app.store
            .write(caller, move |tx| {
                let who = tx.standing(&by)?;
                expect_answerable(tx, &by, &who, &made.gathered.inventory, &finding)?;
                let event = Event::of(Self::NAME)
                    .about("finding", &id, finding.kind.as_str())
                    .because(reason.as_str());
                tx.remove::<Acceptance>(&[&id])?;
                let Some(until) = until else {
                    let message = "it is in reports again".to_owned();
                    return tx.record(
                        event.with("accepted", false),
                        Accepted { id, kind: finding.kind, until: None, message },
                    );
                };
                tx.insert(&mut Acceptance {
                    finding: id.clone(),
                    org_id: by.org.clone(),
                    kind: finding.kind.to_string(),
                    facts: finding.facts_hash(&made.gathered.inventory),
                    reason: reason.as_str().to_owned(),
                    until,
                    accepted_at: tx.now(),
                    accepted_by: by.user.clone(),
                    revision: 0,
                })?;
                let message = format!("left out of reports until {until}, or until its facts change");
                tx.record(
                    event.with("accepted", true).with("until", until.to_string()),
                    Accepted { id, kind: finding.kind, until: Some(until), message },
                )
            })
            .await
    }
}

/// Refuses all but admins, and those who manage everything that the finding is about.
fn expect_answerable(
    tx: &Reader<'_>,
    caller: &Caller,
    who: &Standing,
    inventory: &Inventory,
    f: &Finding,
) -> Result<()> {
    if who.role == Role::Admin {
        return Ok(());
    }
    for n in &f.credentials {
        reach::credential(tx, caller, who, inventory.credentials[*n as usize].id.as_str(), Need::Manage)?;
    }
    for n in &f.consumers {
        let party = &inventory.consumers[*n as usize];
        let owner = match &party.keeper {
            Keeper::Person(id) | Keeper::Team(id) => id.as_ref(),
            Keeper::Everybody => caller.org.as_str(),
        };
        if !who.manages_place(party.keeper.scope(), owner) {
            return Err(Error::new(
                Code::NotAllowed,
                format!("you may not change the consumer {}", party.name),
            ));
        }
    }
    Ok(())
}
