//! Campaigns: rotations that are planned together, the riskiest first, with one view of how far they are.
use super::event;
use super::standing::Policies;
use super::start::{StartRotation, Started, plan};
use super::view::Guide;
use crate::app::App;
use crate::clock::{DAY_MS, Millis};
use crate::error::{Code, Error, Result};
use crate::ids::{CampaignId, UserId};
use crate::model::access::{Caller, Standing, access};
use crate::model::credential::{Credential, Environment, Scope};
use crate::model::event::Event;
use crate::model::rotation::{Campaign, CampaignKind, Rotation, RotationStage};
use crate::model::text::Reason;
use crate::ops::credential::view::Names;
use crate::ops::reach::{self, Need, shown};
use crate::store::{ListFilter, Reader, RotationFilter, Writer};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};

/// The most rotations of one campaign.
pub const MOST: usize = 500;
/// How many credentials are looked at for one.
const MOST_SCANNED: usize = 1_000_000;
/// How many that are left out are told with why.
const MOST_TOLD: usize = 20;

/// How far a campaign is.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct Progress {
    pub id: String,
    /// As `user max` or `service github`
    pub about: String,
    pub started_by: String,
    pub started_at: Millis,
    pub total: i64,
    /// Closed ones.
    pub done: i64,
    /// How many are at each stage.
    pub stages: BTreeMap<String, i64>,
}

/// A credential that is to be taken in, and how dangerous it would be to leave it as it is.
struct Taken {
    credential: Credential,
    risk: i64,
}

/// What a leaver had to do with the credentials.
struct Leaver {
    standing: Standing,
    touched: HashSet<String>,
}

/// The higher, the sooner: what somebody really knows before what they could have known, production before the rest.
fn risk(c: &Credential, is_known: bool, is_managed: bool, is_due: bool, now: Millis) -> i64 {
    let points = [
        (is_known, 1000),
        (c.environment == Environment::Prod, 400),
        (is_managed, 200),
        (c.environment == Environment::Any, 100),
        (is_due, 100),
        (c.scope == Scope::Org, 50),
        (c.expires_at.is_some_and(|end| end <= now), 20),
    ];
    let years = c.value_set_at.map_or(0, |set| ((now.0 - set.0) / (365 * DAY_MS)).clamp(0, 9));
    points.iter().filter(|(is_so, _)| *is_so).map(|(_, points)| points).sum::<i64>() + years
}

/// Everything the caller manages that is out of the bin and has a value.
fn managed(
    tx: &Reader<'_>,
    caller: &Caller,
    who: &Standing,
) -> Result<Vec<(Credential, Vec<crate::model::access::Grant>)>> {
    let filter = ListFilter { places: reach::places(who), deleted: false, after: None, limit: MOST_SCANNED };
    let mut found = Vec::new();
    for c in tx.list_credentials(&caller.org, &filter)? {
        if c.current_version.is_none() {
            continue;
        }
        let grants = tx.grants_on(&caller.org, &c.id)?;
        if access(who, &c, &grants).manages {
            found.push((c, grants));
        }
    }
    Ok(found)
}

fn leaver(tx: &Reader<'_>, caller: &Caller, wanted: &str) -> Result<Leaver> {
    let user = tx.user_named(&caller.org, wanted)?;
    // Of somebody who is disabled already it is asked what they could reach until then.
    let standing = tx.standing_of(&user)?;
    Ok(Leaver { touched: tx.touched_by(&caller.org, &user.id)?, standing })
}

/// The set that is meant, unordered, and what it is called.
fn chosen(
    tx: &Reader<'_>,
    guide: &Guide,
    caller: &Caller,
    who: &Standing,
    input: &StartRotation,
) -> Result<(Vec<Taken>, CampaignKind, String)> {
    let (now, policies) = (tx.now(), Policies::read(tx, &caller.org)?);
    let plain = |credential: Credential| {
        let is_due = policies.is_due(&credential, now);
        Taken { risk: risk(&credential, false, false, is_due, now), credential }
    };
    if let Some(ids) = &input.credentials {
        let mut all: Vec<Taken> = Vec::new();
        for wanted in ids {
            let c = reach::credential(tx, caller, who, wanted, Need::Manage)?.credential;
            if all.iter().all(|taken| taken.credential.id != c.id) {
                all.push(plain(c));
            }
        }
        return Ok((all, CampaignKind::Chosen, String::new()));
    }
    if let Some(user) = &input.user {
        let them = leaver(tx, caller, user)?;
        let mut all = Vec::new();
        for (c, grants) in managed(tx, caller, who)? {
            let theirs = access(&them.standing, &c, &grants);
            let is_known = them.touched.contains(c.id.as_str())
                || c.value_set_by.as_ref() == Some(&them.standing.user)
                || c.created_by == them.standing.user;
            if theirs.uses || theirs.manages || is_known {
                let is_due = policies.is_due(&c, now);
                all.push(Taken { risk: risk(&c, is_known, theirs.manages, is_due, now), credential: c });
            }
        }
        return Ok((all, CampaignKind::User, them.standing.user.0));
    }
    let service = input.service.as_deref().map(|name| guide.catalogue.service(name)).transpose()?;
    let mut all: Vec<_> = managed(tx, caller, who)?.into_iter().map(|(c, _)| plain(c)).collect();
    match service {
        Some(service) => {
            all.retain(|taken| taken.credential.service == service.id);
            Ok((all, CampaignKind::Service, service.id.clone()))
        }
        None => {
            let is_overdue =
                |c: &Credential| policies.is_due(c, now) || c.expires_at.is_some_and(|end| end <= now);
            all.retain(|taken| is_overdue(&taken.credential));
            Ok((all, CampaignKind::Overdue, String::new()))
        }
    }
}

/// Plans a rotation for each of the set, in the order of their risk. What is under way already is left as it is.
pub(super) async fn start(app: &App, caller: &Caller, input: StartRotation) -> Result<Started> {
    let (asking, guide) = (caller.clone(), Guide::of(app));
    app.store.write(caller, move |tx| plan_all(tx, &guide, &asking, &input)).await
}

fn plan_all(
    tx: &mut Writer<'_>,
    guide: &Guide,
    caller: &Caller,
    input: &StartRotation,
) -> Result<crate::store::Recorded<Started>> {
    let who = tx.standing(caller)?;
    let (mut set, kind, subject) = chosen(tx, guide, caller, &who, input)?;
    set.sort_by(|a, b| {
        (b.risk, &a.credential.name_key, &a.credential.id).cmp(&(
            a.risk,
            &b.credential.name_key,
            &b.credential.id,
        ))
    });
    let mut campaign = Campaign {
        id: CampaignId::fresh(),
        org_id: caller.org.clone(),
        kind,
        subject,
        size: 0,
        started_by: caller.user.clone(),
        started_at: tx.now(),
        revision: 0,
    };
    let (mut skipped, mut first, mut left_out) = (Vec::new(), None, 0);
    for taken in set {
        if campaign.size as usize == MOST {
            left_out += 1;
            continue;
        }
        match plan(tx, guide, caller, &taken.credential, (campaign.id.0.clone(), campaign.size)) {
            Ok(r) => {
                tx.note(
                    event("start_rotation", &taken.credential, &r).with("campaign", campaign.id.0.clone()),
                )?;
                campaign.size += 1;
                first.get_or_insert((taken.credential, r));
            }
            Err(e) if matches!(e.code, Code::RotationOpen | Code::ValueMissing) => {
                skipped.push(e.message().to_owned())
            }
            Err(e) => return Err(e),
        }
    }
    let Some((c, r)) = first else {
        let why = match skipped.is_empty() {
            true => "there is nothing that you manage in it".to_owned(),
            false => skipped.join("; "),
        };
        return Err(Error::new(Code::NothingToDo, format!("nothing is to be rotated: {why}")));
    };
    if skipped.len() > MOST_TOLD {
        let more = skipped.len() - MOST_TOLD;
        skipped.truncate(MOST_TOLD);
        skipped.push(format!("and {more} more that are being rotated already"));
    }
    if left_out > 0 {
        skipped.push(format!("{left_out} more of a smaller risk: start again when these are done"));
    }
    tx.insert(&mut campaign)?;
    let progress = progress(tx, &campaign)?;
    let next = format!(
        "Call list_rotations with campaign {} for all of them, the riskiest first. The first is {}: {}",
        campaign.id,
        c.label(),
        guide.next(&c, &r)
    );
    let event = Event::of("start_rotation")
        .about("campaign", campaign.id.as_str(), "")
        .because(input.reason.as_ref().map_or("", Reason::as_str))
        .with("kind", campaign.kind.to_string())
        .with("subject", campaign.subject.clone())
        .with("size", campaign.size);
    tx.record(event, Started { rotation: None, campaign: Some(progress), skipped, next, entry: None })
}

/// One view of how far all of it is.
pub(super) fn progress(tx: &Reader<'_>, campaign: &Campaign) -> Result<Progress> {
    let mut names = Names::new(tx, &campaign.org_id);
    let mut stages: BTreeMap<String, i64> = BTreeMap::new();
    for r in rotations(tx, campaign)? {
        *stages.entry(r.stage.to_string()).or_default() += 1;
    }
    let subject = match campaign.kind {
        CampaignKind::User => names.user(UserId(campaign.subject.clone()).as_str())?,
        _ => campaign.subject.clone(),
    };
    Ok(Progress {
        id: campaign.id.0.clone(),
        about: format!("{} {subject}", campaign.kind).trim().to_owned(),
        started_by: names.user(campaign.started_by.as_str())?,
        started_at: campaign.started_at,
        total: campaign.size,
        done: stages.get(&RotationStage::Closed.to_string()).copied().unwrap_or_default(),
        stages,
    })
}

fn rotations(tx: &Reader<'_>, campaign: &Campaign) -> Result<Vec<Rotation>> {
    let filter = RotationFilter {
        campaign: Some(campaign.id.clone()),
        limit: MOST as i64,
        ..RotationFilter::default()
    };
    tx.rotations(&campaign.org_id, &filter)
}

/// Whether this person may see how far it is: who started it, and admins and auditors.
pub(super) fn expect_seen(who: &Standing, campaign: &Campaign) -> Result<()> {
    match campaign.started_by == who.user || who.sees_all() {
        true => Ok(()),
        false => Err(Error::new(
            Code::RotationNotFound,
            format!("there is no campaign {} you can see", shown(campaign.id.as_str())),
        )),
    }
}
