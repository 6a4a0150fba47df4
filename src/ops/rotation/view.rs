//! The shapes in which rotations are shown, and what is to be done next in a sentence.
use crate::app::App;
use crate::clock::Millis;
use crate::error::Result;
use crate::model::credential::{Credential, Scope};
use crate::model::rotation::{Finding, Rotation, RotationStage, Step, Way};
use crate::ops::credential::probe::can_be_asked;
use crate::ops::credential::view::Names;
use crate::ops::entry::Offer;
use crate::rotation::{Driver, Drivers, Makes};
use crate::services::Catalogue;
use crate::store::Reader;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// One rotation, in a line.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct RotationRow {
    pub id: String,
    pub credential_id: String,
    pub credential: String,
    #[schemars(with = "String")]
    pub scope: Scope,
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub service: String,
    #[schemars(with = "String")]
    pub way: Way,
    #[schemars(with = "String")]
    pub stage: RotationStage,
    /// What the test of the new one said.
    #[schemars(with = "String")]
    pub tested: Finding,
    /// Who went on with it last.
    pub owner: String,
    pub started_at: Millis,
    pub changed_at: Millis,
    /// Until when this stage lasts by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Millis>,
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub campaign: String,
    /// What went wrong last.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub trouble: String,
}

/// What a step answers.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct RotationAnswer {
    /// As list_rotations shows it.
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    pub rotation: RotationRow,
    /// What has been done.
    pub done: String,
    pub next: String,
    /// Where the person enters it in a browser.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    pub entry: Option<Offer>,
}

pub(super) fn row(names: &mut Names<'_, '_>, c: &Credential, r: &Rotation) -> Result<RotationRow> {
    Ok(RotationRow {
        id: r.id.0.clone(),
        credential_id: c.id.0.clone(),
        credential: c.label(),
        scope: c.scope,
        service: c.service.clone(),
        way: r.way,
        stage: r.stage,
        tested: r.finding,
        owner: names.user(r.owner.as_str())?,
        started_at: r.started_at,
        changed_at: r.changed_at,
        until: r.due_at,
        campaign: r.campaign.clone(),
        trouble: r.trouble.clone(),
    })
}

/// What says how a rotation goes on: the catalogue, and the drivers that there are.
#[derive(Clone)]
pub(super) struct Guide {
    pub catalogue: &'static Catalogue,
    drivers: Arc<Drivers>,
}

impl Guide {
    pub fn of(app: &App) -> Self {
        Self { catalogue: app.catalogue, drivers: app.drivers.clone() }
    }

    pub fn driver(&self, c: &Credential) -> Option<Arc<dyn Driver>> {
        self.drivers.find(c)
    }

    /// Whether a driver makes new values of this credential.
    pub fn makes(&self, c: &Credential) -> bool {
        self.driver(c).is_some_and(|driver| driver.makes() != Makes::Nobody)
    }

    /// Whether a driver ends old values of this credential.
    pub fn revokes(&self, c: &Credential) -> bool {
        self.driver(c).is_some_and(|driver| driver.revokes())
    }

    /// Whether its service, or its driver, can be asked whether it takes a value.
    pub fn tests(&self, c: &Credential) -> bool {
        self.driver(c).is_some_and(|driver| driver.tests()) || can_be_asked(self.catalogue, c)
    }

    /// Whether the old value ends at the service in the moment when a driver has the new one made or set.
    pub fn ends_old_at_once(&self, c: &Credential, r: &Rotation) -> bool {
        r.way == Way::ShortGap || self.driver(c).is_some_and(|driver| driver.overlaps(c) == Some(false))
    }

    /// What is told of the driver that nobody has seen at work, beside what it does.
    pub fn untried(&self, c: &Credential) -> Option<&'static str> {
        let is_untried = self.driver(c).is_some_and(|driver| !driver.is_tried_live(c));
        is_untried.then_some("this driver was not tried live")
    }

    /// The step that comes next: by a driver where there is one.
    pub fn next_step(&self, c: &Credential, r: &Rotation) -> Option<Step> {
        match r.next_step() {
            Some(Step::Enter) if r.stage == RotationStage::AwaitingValue && self.makes(c) => Some(Step::Make),
            step => step,
        }
    }

    /// The one thing to do next, with the call to make.
    pub fn next(&self, c: &Credential, r: &Rotation) -> String {
        let driver = match r.stage {
            RotationStage::Confirmed => self.revokes(c) && r.old_finding == Finding::Untested,
            _ => self.makes(c),
        };
        let untried = self.untried(c).map_or(String::new(), |note| format!(" ({note})"));
        next(self.catalogue, c, r, driver.then_some(untried.as_str()))
    }

    /// What a step answers, for somebody who manages the credential.
    pub fn answer(
        &self,
        tx: &Reader<'_>,
        c: &Credential,
        r: &Rotation,
        done: impl Into<String>,
    ) -> Result<RotationAnswer> {
        let mut names = Names::new(tx, &c.org_id);
        let (rotation, next) = (row(&mut names, c, r)?, self.next(c, r));
        Ok(RotationAnswer { rotation, done: done.into(), next, entry: None })
    }
}

/// The page where values of its service are made and ended, as a person reads it.
pub(super) fn page(catalogue: &Catalogue, c: &Credential) -> String {
    let service = if c.service.is_empty() { None } else { catalogue.find_service(&c.service) };
    match service.and_then(|service| service.manage_url.clone().map(|url| (service.name.clone(), url))) {
        Some((name, url)) => format!("on {name}'s page {url}"),
        None => "where it was made".to_owned(),
    }
}

/// `driver`: a driver does the next step, with what is to be said of it.
fn next(catalogue: &Catalogue, c: &Credential, r: &Rotation, driver: Option<&str>) -> String {
    use RotationStage as S;
    let page = page(catalogue, c);
    let advance = |step: &str| format!("Call advance_rotation with rotation {} and step {step}", r.id);
    match (r.stage, r.way) {
        (S::Planned, _) => format!("Call advance_rotation with rotation {} to begin it.", r.id),
        (S::AwaitingValue, Way::Reconnect) => format!(
            "Call connect_credential for {}, or ask the person to run `{}`; the old tokens serve until then. Afterwards {}.",
            c.id,
            c.connect_command(),
            lower(&advance("verify"))
        ),
        (S::AwaitingValue, way) if let Some(untried) = driver => {
            let gap = match way {
                Way::ShortGap => {
                    "; the old one stops at that moment, which a person approves, so have everything ready and verify and promote \
                     without waiting"
                }
                Way::Overlap | Way::Reconnect => "",
            };
            format!(
                "{}: a driver has the new one made{untried}{gap}. Or a person enters it: `{}`.",
                advance("make"),
                c.set_command()
            )
        }
        (S::AwaitingValue, Way::Overlap) => format!(
            "Ask the person to make a new one {page}, without ending the old one, and to enter it: `{}`. The old one is served \
             meanwhile. Never ask for it in the chat.",
            c.set_command()
        ),
        (S::AwaitingValue, Way::ShortGap) => format!(
            "It is not known that old and new work side by side here: have everything ready first, for the old one may stop at the \
             moment when the person makes the new one {page}. They enter it at once: `{}`; then {} without waiting.",
            c.set_command(),
            lower(&advance("verify"))
        ),
        (S::Staged, _) => match r.finding {
            Finding::Untested => {
                format!("{}: it is tested at its service before anybody is served it.", advance("verify"))
            }
            Finding::Refused | Finding::OtherAccount | Finding::ScopesMissing => format!(
                "The old one is still served. Ask the person to enter another: `{}`{}, or call abort_rotation with {}.",
                c.set_command(),
                match driver {
                    Some(_) if r.finding == Finding::Refused =>
                        ", have its driver make another with step make",
                    _ => "",
                },
                r.id
            ),
            _ => format!(
                "{} again later; or step promote, which a person must approve for it was not tested.",
                advance("verify")
            ),
        },
        (S::Verified, _) => {
            format!("{}: from then on it is served, and the old one kept.", advance("promote"))
        }
        (S::Promoted, _) => format!(
            "Start again whatever uses it; get_rotation shows who has it and how it did. Then {}; a person may say so in their \
             place, with a reason. roll_back brings the old one back.",
            lower(&advance("confirm"))
        ),
        (S::Confirmed, Way::ShortGap) => {
            format!("{}: it is tested that the old one is dead.", advance("revoke_old"))
        }
        (S::Confirmed, _) if let Some(untried) = driver => format!(
            "{}: the service is asked to end the old one{untried}, which a person approves.",
            advance("revoke_old")
        ),
        (S::Confirmed, _) if r.old_finding == Finding::CouldNotCheck => format!(
            "It cannot be tested whether the old one is dead. Once the person has ended it {page}, {}, with a reason: they approve that.",
            lower(&advance("revoke_old"))
        ),
        (S::Confirmed, _) => format!(
            "Ask the person to end the old one {page}; then {}, which tests that it is dead.",
            lower(&advance("revoke_old"))
        ),
        (S::OldRevoked, _) => format!("{}: the key of the old one is destroyed here.", advance("close")),
        (S::Closed, _) => String::new(),
        (S::Aborted | S::RolledBack, _) => format!("Call start_rotation for {} to begin again.", c.id),
    }
}

fn lower(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or(String::new(), |first| first.to_lowercase().chain(chars).collect())
}
