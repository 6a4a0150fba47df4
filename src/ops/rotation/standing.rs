//! A credential's status with its rotation: when a value is due by the policy that counts, and what is under way.
use crate::clock::Millis;
use crate::error::Result;
use crate::ids::OrgId;
use crate::model::connection::Connection;
use crate::model::credential::Credential;
use crate::model::org::Org;
use crate::model::rotation::{effective_days, in_progress};
use crate::model::status::StatusReport;
use crate::ops::credential::facts::Facts;
use crate::store::Reader;
use std::collections::HashMap;

/// The org's rotation policies, read once for an answer.
#[derive(Clone, Debug, Default)]
pub(in crate::ops) struct Policies {
    /// By service, what the org says before what the catalogue advised; the org's own has an empty one.
    days: HashMap<String, i64>,
}

impl Policies {
    pub fn read(tx: &Reader<'_>, org: &OrgId) -> Result<Self> {
        let advice = tx.rotation_advice(org)?;
        let advised = advice.iter().flat_map(|advice| advice.days());
        let mut days: HashMap<_, _> = advised.map(|(service, days)| (service.to_owned(), days)).collect();
        days.extend(tx.rotation_policies(org)?.into_iter().map(|p| (p.service, p.days)));
        Ok(Self { days })
    }

    /// After how many days a value of `c` is due, if ever.
    pub fn days_for(&self, c: &Credential) -> Option<i64> {
        let service = match c.service.is_empty() {
            true => None,
            false => self.days.get(&c.service).copied(),
        };
        effective_days(c.rotation_days, service, self.days.get("").copied())
    }

    /// The days of each service, and those of the org where neither a credential nor its service has any.
    pub fn by_service(&self) -> impl Iterator<Item = (&str, i64)> {
        self.days.iter().map(|(service, days)| (service.as_str(), *days))
    }

    /// When its value is to be replaced, and after how many days that is; none where it is never.
    pub fn due_at(&self, c: &Credential) -> Option<(Millis, i64)> {
        self.days_for(c).zip(c.value_set_at).map(|(days, set)| (set.plus_days(days), days))
    }

    /// Whether its value is older than it may be.
    pub fn is_due(&self, c: &Credential, now: Millis) -> bool {
        self.due_at(c).is_some_and(|(due, _)| due <= now)
    }
}

/// Its status, with what its last test showed, what counts as due, and the rotation that is under way.
pub(in crate::ops) fn report(
    tx: &Reader<'_>,
    policies: &Policies,
    c: &Credential,
    connection: Option<&Connection>,
    org: &Org,
    now: Millis,
) -> Result<StatusReport> {
    report_with(tx, policies, c, connection, &Facts::of(tx, c)?, org, now)
}

/// As [`report`], where the facts are read already.
pub(in crate::ops) fn report_with(
    tx: &Reader<'_>,
    policies: &Policies,
    c: &Credential,
    connection: Option<&Connection>,
    facts: &Facts,
    org: &Org,
    now: Millis,
) -> Result<StatusReport> {
    let counted = Credential { rotation_days: policies.days_for(c), ..c.clone() };
    let report = facts.status(&counted, connection, now, org);
    Ok(match tx.open_rotation(&c.org_id, &c.id)? {
        Some(open) => in_progress(report, &open),
        None => report,
    })
}
