//! `list_rotations`: what is under way and what was, a page at a time; of a campaign the riskiest first, with its progress.
use super::campaign::{self, Progress};
use super::view::{RotationRow, row};
use crate::app::App;
use crate::error::{Code, Result, invalid};
use crate::model::access::Caller;
use crate::model::rotation::RotationStage;
use crate::ops::credential::view::Names;
use crate::ops::reach::{self, Need};
use crate::ops::{Effect, Operation, Permission, Toolset};
use crate::store::{Reader, RotationFilter};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const PAGE: i64 = 20;
/// How much JSON a page holds, in bytes.
const BUDGET: usize = 18_000;
/// How many are looked at for one page.
const MOST_SCANNED: i64 = 5_000;

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ListRotations {
    pub stage: Option<RotationStage>,
    /// Only those under way
    pub open: Option<bool>,
    #[schemars(length(max = 40))]
    pub campaign: Option<String>,
    #[schemars(length(max = 160))]
    pub credential: Option<String>,
    #[schemars(range(min = 1, max = 50))]
    pub limit: Option<i64>,
    #[schemars(length(max = 40))]
    pub cursor: Option<String>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct RotationPage {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    pub campaign: Option<Progress>,
    pub rotations: Vec<RotationRow>,
    /// When values are due: `org 90`, `github 30`
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub policies: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next_cursor: Option<String>,
}

impl Operation for ListRotations {
    const NAME: &'static str = "list_rotations";
    const TITLE: &'static str = "List rotations";
    const ABOUT: &'static str =
        "See rotations, how far a campaign is, and after how many days values are due.";
    const TOOLSET: Toolset = Toolset::Rotation;
    const EFFECT: Effect = Effect::Reads;
    const NEEDS: Permission = Permission::Anyone;
    const IDEMPOTENT: bool = true;
    type Output = RotationPage;

    async fn run(self, app: &App, caller: &Caller) -> Result<RotationPage> {
        let asking = caller.clone();
        app.store.read(move |tx| self.page(tx, &asking)).await
    }
}

impl ListRotations {
    fn page(&self, tx: &Reader<'_>, caller: &Caller) -> Result<RotationPage> {
        let limit = match self.limit {
            None => PAGE,
            Some(n) if (1..=50).contains(&n) => n,
            Some(_) => return Err(invalid("limit is 1 to 50")),
        };
        let begin = match self.cursor.as_deref() {
            None => 0,
            Some(cursor) => cursor
                .strip_prefix('r')
                .and_then(|n| n.parse::<i64>().ok())
                .filter(|n| (0..=10_000_000).contains(n))
                .ok_or_else(|| {
                    invalid("this cursor is not one of ours")
                        .next("Call again without a cursor, from the first page.")
                })?,
        };
        let who = tx.standing(caller)?;
        let campaign = match self.campaign.as_deref().map(str::trim) {
            None => None,
            Some(id) => {
                let campaign = tx.campaign(&caller.org, id)?;
                campaign::expect_seen(&who, &campaign)?;
                Some(campaign)
            }
        };
        let credential = match &self.credential {
            None => None,
            Some(wanted) => {
                Some(reach::credential_or_deleted(tx, caller, &who, wanted, Need::View)?.credential.id)
            }
        };
        let mut names = Names::knowing(tx, &caller.org, &who);
        let (mut rows, mut size, mut offset) = (Vec::new(), 0, begin);
        let mut next_cursor = None;
        'pages: loop {
            let filter = RotationFilter {
                stage: self.stage,
                is_open: self.open.filter(|open| *open),
                credential: credential.clone(),
                campaign: campaign.as_ref().map(|campaign| campaign.id.clone()),
                offset,
                limit: 200,
            };
            let some = tx.rotations(&caller.org, &filter)?;
            let is_last = some.len() < 200;
            for r in some {
                if rows.len() as i64 == limit || size > BUDGET || offset - begin >= MOST_SCANNED {
                    next_cursor = Some(format!("r{offset}"));
                    break 'pages;
                }
                offset += 1;
                let found = match reach::credential_or_deleted(
                    tx,
                    caller,
                    &who,
                    r.credential_id.as_str(),
                    Need::View,
                ) {
                    Ok(found) => found,
                    Err(e) if matches!(e.code, Code::CredentialNotFound | Code::NotAllowed) => continue,
                    Err(e) => return Err(e),
                };
                let one = row(&mut names, &found.credential, &r)?;
                size += serde_json::to_string(&one).map_or(400, |text| text.len());
                rows.push(one);
            }
            if is_last {
                break;
            }
        }
        let policies = match begin {
            0 => policies(tx, caller)?,
            _ => Vec::new(),
        };
        let campaign = campaign.map(|campaign| campaign::progress(tx, &campaign)).transpose()?;
        Ok(RotationPage { campaign, rotations: rows, policies, next_cursor })
    }
}

fn policies(tx: &Reader<'_>, caller: &Caller) -> Result<Vec<String>> {
    let told = |p: crate::model::rotation::RotationPolicy| {
        let days = if p.days == 0 { "never".to_owned() } else { p.days.to_string() };
        format!("{} {days}", if p.service.is_empty() { "org" } else { &p.service })
    };
    let mut all: Vec<_> = tx.rotation_policies(&caller.org)?.into_iter().map(told).collect();
    all.truncate(100);
    if let Some(advice) = tx.rotation_advice(&caller.org)? {
        all.push(format!("as advised: {} services", advice.days().count()));
    }
    Ok(all)
}
