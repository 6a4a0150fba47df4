//! `start_rotation`: a rotation of one credential, or a campaign over many, the riskiest first.
use super::view::{Guide, RotationRow, row};
use super::{campaign, event};
use crate::app::App;
use crate::error::{Code, Error, Result, invalid};
use crate::ids::RotationId;
use crate::model::access::Caller;
use crate::model::credential::{Credential, Source};
use crate::model::entry::EntryPurpose;
use crate::model::rotation::{Finding, Rotation, RotationStage, Way};
use crate::model::text::Reason;
use crate::ops::credential::view::Names;
use crate::ops::entry::Offer;
use crate::ops::reach::{self, Need};
use crate::ops::{Effect, Operation, Permission, Toolset};
use crate::rotation::engine;
use crate::store::Writer;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StartRotation {
    /// Id or name; or give a set
    #[schemars(length(max = 160))]
    pub credential: Option<String>,
    #[schemars(length(max = 100), inner(length(max = 160)))]
    pub credentials: Option<Vec<String>>,
    /// Who leaves: what they could use
    #[schemars(length(max = 80))]
    pub user: Option<String>,
    #[schemars(length(max = 64))]
    pub service: Option<String>,
    /// All that are due
    pub overdue: Option<bool>,
    pub reason: Option<Reason>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Started {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    pub rotation: Option<RotationRow>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    pub campaign: Option<campaign::Progress>,
    /// Not taken in, with why.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub skipped: Vec<String>,
    pub next: String,
    /// Where the person enters it in a browser.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    pub entry: Option<Offer>,
}

/// Where a value is entered after an answer that shows a rotation that waits for one.
pub(super) fn entered(answer: &Value) -> Option<(EntryPurpose, String)> {
    let rotation = answer.get("rotation")?;
    let is = |field: &str, word: &str| rotation.get(field).is_some_and(|found| found == word);
    if !is("stage", "awaiting_value") {
        return None;
    }
    let purpose = if is("way", "reconnect") { EntryPurpose::Connect } else { EntryPurpose::Value };
    Some((purpose, rotation.get("credential_id")?.as_str()?.to_owned()))
}

/// What its driver says, else what the service of `c` allows. Where that is not known it goes as if old and new could not work
/// side by side.
fn way(guide: &Guide, c: &Credential) -> Way {
    if c.source == Source::OAuth {
        return Way::Reconnect;
    }
    let by_driver = guide.driver(c).and_then(|driver| driver.overlaps(c));
    let service = if c.service.is_empty() { None } else { guide.catalogue.find_service(&c.service) };
    match by_driver.unwrap_or_else(|| service.is_some_and(|service| service.rotation.overlap_possible)) {
        true => Way::Overlap,
        false => Way::ShortGap,
    }
}

/// Inserts a plan for `c`. Fails with `rotation_open` where one is under way, `value_missing` where there is nothing to rotate.
pub(super) fn plan(
    tx: &mut Writer<'_>,
    guide: &Guide,
    caller: &Caller,
    c: &Credential,
    (campaign, rank): (String, i64),
) -> Result<Rotation> {
    if c.current_version.is_none() {
        return Err(Error::new(
            Code::ValueMissing,
            format!("{} has no value yet: there is nothing to replace", c.label()),
        ));
    }
    let is_open = |open: &Rotation| {
        Error::new(Code::RotationOpen, format!("{} is being rotated already ({})", c.label(), open.stage))
            .next(format!("Call get_rotation with {}: anybody who manages it can go on with it.", open.id))
            .detail("rotation_id", open.id.0.clone())
    };
    if let Some(open) = tx.open_rotation(&c.org_id, &c.id)? {
        return Err(is_open(&open));
    }
    let now = tx.now();
    let mut r = Rotation {
        id: RotationId::fresh(),
        org_id: c.org_id.clone(),
        credential_id: c.id.clone(),
        campaign,
        rank,
        way: way(guide, c),
        stage: RotationStage::Planned,
        is_open: true,
        old_version: c.current_version,
        new_version: None,
        finding: Finding::Untested,
        old_finding: Finding::Untested,
        trouble: String::new(),
        started_by: caller.user.clone(),
        owner: caller.user.clone(),
        started_at: now,
        changed_at: now,
        due_at: None,
        promoted_at: None,
        ended_at: None,
        revision: 0,
    };
    tx.insert(&mut r)?;
    Ok(r)
}

/// From a plan to where a value is waited for. One that an earlier rotation left is taken up again.
pub(super) fn begin(tx: &mut Writer<'_>, caller: &Caller, c: &Credential, r: Rotation) -> Result<Rotation> {
    let now = tx.now();
    let kept = match r.way {
        Way::Reconnect => None,
        _ => engine::find_pending(tx, c)?,
    };
    let old_version = c.current_version;
    let mut r = match kept {
        Some(version) => r.staged(version.number, now)?,
        None => r.awaiting(now)?,
    };
    // It may have been planned long ago, and a value set since.
    r.old_version = old_version;
    r.owner = caller.user.clone();
    tx.save(&mut r)?;
    Ok(r)
}

impl StartRotation {
    fn is_single(&self) -> Result<bool> {
        let sets = [
            self.credential.is_some(),
            self.credentials.as_ref().is_some_and(|all| !all.is_empty()),
            self.user.is_some(),
            self.service.is_some(),
            self.overdue == Some(true),
        ];
        match sets.iter().filter(|given| **given).count() {
            1 => Ok(self.credential.is_some()),
            _ => Err(invalid("give one of: credential, credentials, user, service, overdue")),
        }
    }
}

impl Operation for StartRotation {
    const NAME: &'static str = "start_rotation";
    const TITLE: &'static str = "Start a rotation";
    const ABOUT: &'static str =
        "Begin to replace a value step by step; or plan a set: a leaver's, a service's, what is due.";
    const TOOLSET: Toolset = Toolset::Rotation;
    const EFFECT: Effect = Effect::Changes;
    const NEEDS: Permission = Permission::Manage;
    type Output = Started;

    fn entry(answer: &Value) -> Option<(EntryPurpose, String)> {
        entered(answer)
    }

    async fn run(self, app: &App, caller: &Caller) -> Result<Started> {
        if !self.is_single()? {
            return campaign::start(app, caller, self).await;
        }
        let (asking, guide) = (caller.clone(), Guide::of(app));
        app.store
            .write(caller, move |tx| {
                let who = tx.standing(&asking)?;
                let wanted = self.credential.as_deref().unwrap_or_default();
                let c = reach::credential(tx, &asking, &who, wanted, Need::Manage)?.credential;
                let r = plan(tx, &guide, &asking, &c, (String::new(), 0))?;
                let r = begin(tx, &asking, &c, r)?;
                let mut names = Names::knowing(tx, &asking.org, &who);
                let output = Started {
                    rotation: Some(row(&mut names, &c, &r)?),
                    campaign: None,
                    skipped: Vec::new(),
                    next: guide.next(&c, &r),
                    entry: None,
                };
                let reason = self.reason.as_ref().map_or("", Reason::as_str);
                tx.record(event(Self::NAME, &c, &r).because(reason).with("way", r.way.to_string()), output)
            })
            .await
    }
}
