//! `get_rotation`: where one stands, who depends on it and how they did, what has happened, and what comes next.
use super::evidence::{self, BoundTo};
use super::reach_rotation;
use super::view::{Guide, RotationRow, row};
use crate::app::App;
use crate::clock::Millis;
use crate::error::Result;
use crate::model::access::Caller;
use crate::model::rotation::{CallState, Rotation, Step};
use crate::ops::credential::view::Names;
use crate::ops::reach::Need;
use crate::ops::{Effect, Operation, Permission, Toolset};
use crate::services::{Guide as ServiceGuide, rotation_guide};
use crate::store::{AuditFilter, Reader};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How many consumers and how many events are shown.
const CONSUMERS: usize = 60;
const EVENTS: usize = 20;

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GetRotation {
    /// Its id, or the credential's
    #[schemars(length(max = 160))]
    pub rotation: String,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct RotationDetail {
    /// As list_rotations shows it, beside the rest.
    #[serde(flatten)]
    #[schemars(skip)]
    pub rotation: RotationRow,
    pub started_by: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old_version: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new_version: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub promoted_at: Option<Millis>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Millis>,
    /// Whether all of them work with the new one.
    pub is_confirmed: bool,
    pub consumers: Vec<BoundTo>,
    /// Calls to the service whose end is not known.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub unknown_calls: Vec<String>,
    /// The pages to open at its service.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub pages: Vec<String>,
    /// When, who, what, and how it ended; newest first.
    pub log: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub next_step: Option<Step>,
    pub next: String,
}

impl Operation for GetRotation {
    const NAME: &'static str = "get_rotation";
    const TITLE: &'static str = "Show a rotation";
    const ABOUT: &'static str =
        "See a rotation's stage, who has the new value and how they did, its log, the next step.";
    const TOOLSET: Toolset = Toolset::Rotation;
    const EFFECT: Effect = Effect::Reads;
    const NEEDS: Permission = Permission::View;
    const IDEMPOTENT: bool = true;
    type Output = RotationDetail;

    async fn run(self, app: &App, caller: &Caller) -> Result<RotationDetail> {
        let (asking, guide) = (caller.clone(), Guide::of(app));
        app.store.read(move |tx| detail(tx, &guide, &asking, &self.rotation)).await
    }
}

fn detail(tx: &Reader<'_>, guide: &Guide, caller: &Caller, wanted: &str) -> Result<RotationDetail> {
    let who = tx.standing(caller)?;
    let (r, found) = reach_rotation(tx, caller, &who, wanted, Need::View)?;
    let c = &found.credential;
    let mut all = evidence::gather(tx, c, &r)?;
    // What stands in the way comes first.
    all.sort_by_key(|bound| bound.state);
    let next = match all.len().saturating_sub(CONSUMERS) {
        0 => guide.next(c, &r),
        more => format!("{} {more} more consumers are not listed.", guide.next(c, &r)),
    };
    let mut names = Names::knowing(tx, &caller.org, &who);
    let unknown_calls = tx
        .rotation_calls(&r.id)?
        .into_iter()
        .filter(|call| matches!(call.state, CallState::Started | CallState::Unsure))
        .map(|call| format!("{} at {}, by {}", call.call, call.started_at, call.driver))
        .collect();
    let service = if c.service.is_empty() { None } else { guide.catalogue.find_service(&c.service) };
    let pages = service.map_or(Vec::new(), |service| {
        let ServiceGuide { pages, .. } = rotation_guide(&service);
        pages.into_iter().take(4).map(|page| page.url).collect()
    });
    Ok(RotationDetail {
        rotation: row(&mut names, c, &r)?,
        started_by: names.user(r.started_by.as_str())?,
        old_version: r.old_version,
        new_version: r.new_version,
        promoted_at: r.promoted_at,
        ended_at: r.ended_at,
        is_confirmed: evidence::is_confirmed(&all, &r),
        consumers: all.iter().take(CONSUMERS).map(|bound| bound.shown(&who)).collect(),
        unknown_calls,
        pages,
        log: log(tx, &mut names, &r)?,
        next_step: guide.next_step(c, &r),
        next,
    })
}

/// What the audit log has of it.
fn log(tx: &Reader<'_>, names: &mut Names<'_, '_>, r: &Rotation) -> Result<Vec<String>> {
    let filter = AuditFilter {
        sees_others: true,
        object_id: Some(r.credential_id.0.clone()),
        since: Some(r.started_at),
        limit: 500,
        ..AuditFilter::default()
    };
    let mut lines = Vec::new();
    for e in tx.search_audit(&r.org_id, &filter)? {
        let details: Value = serde_json::from_str(&e.details).unwrap_or_default();
        if details["rotation"].as_str() != Some(r.id.as_str()) {
            continue;
        }
        let of = |name: &str| details[name].as_str().map_or(String::new(), |word| format!(" {word}"));
        let did = match e.operation.as_str() {
            "use" => of("operation"),
            operation => format!("{operation}{}{}{}{}", of("step"), of("call"), of("signal"), of("finding")),
        };
        lines.push(format!("{} {} {}: {}", e.at, names.user(&e.user)?, did.trim(), e.outcome));
        if lines.len() == EVENTS {
            break;
        }
    }
    Ok(lines)
}
