//! What the hygiene report reads in one pass, and what it keeps: fingerprints, accepted findings, the last report.
//!
//! A pass goes by pages of the primary key within one transaction: every row's MAC is checked, and no more than a page
//! of whole rows is held at a time.
use super::audit::IS_FOR_USE;
use super::entity::{Entity, entity};
use super::link::Value;
use super::{ListFilter, Place, Reader, Usage, Writer};
use crate::clock::Millis;
use crate::error::{Error, Result, internal};
use crate::ids::{OrgId, UserId};
use crate::model::access::Grant;
use crate::model::connection::Connection;
use crate::model::consumer::{Binding, Consumer};
use crate::model::credential::Credential;
use crate::model::hygiene::kept::{Acceptance, Fingerprint, KeptReport};
use crate::model::org::{Membership, Team, User};
use crate::model::probe::Ending;
use std::collections::HashMap;

entity!(Fingerprint, "fingerprint", 2, org_id, {
    version_id, field, org_id, credential_id, version, key_version, sealed, services, kind, live
});
entity!(Acceptance, "accepted_finding", 1, org_id, {
    finding, org_id, kind, facts, reason, until, accepted_at, accepted_by
});
entity!(KeptReport, "hygiene_report", 1, org_id, {
    user_id, org_id, number, made_at, earlier_at, wrapped_key, key_version, sealed, sealed_earlier, looked
});

/// How many rows are held at a time.
const AT_ONCE: usize = 1000;
/// How far back the log is read for who uses what, in events.
const MOST_EVENTS: i64 = 500_000;

/// One use, as the log has it.
pub struct Use<'a> {
    /// Of a refused use it may be empty.
    pub credential: &'a str,
    pub user: &'a str,
    /// Empty where it was none.
    pub consumer: &'a str,
    pub is_ok: bool,
    /// It failed or was refused.
    pub has_failed: bool,
    pub at: Millis,
}

/// Uses of one credential by one user through one consumer, as the log has them.
#[derive(Clone, Debug, PartialEq)]
pub struct UsedBy {
    /// Of a refused use it may be empty.
    pub credential: String,
    pub user: String,
    /// Empty where it was none.
    pub consumer: String,
    pub ok: i64,
    pub failed: i64,
    pub last_at: Millis,
}

fn text(s: &str) -> Value {
    Value::Text(s.into())
}

impl Reader<'_> {
    /// Visits every undeleted credential of these places; one that is in several, several times.
    ///
    /// Whole scopes are read once, in the order of ids, in which the rows lie; what one owner has, by its own index.
    pub fn each_credential(
        &self,
        org: &OrgId,
        places: &[Place],
        mut visit: impl FnMut(Credential) -> Result<()>,
    ) -> Result<()> {
        let whole: Vec<_> = places
            .iter()
            .filter_map(|p| if let Place::All(scope) = p { Some(*scope) } else { None })
            .collect();
        if !whole.is_empty() {
            let scopes: Vec<_> = whole.iter().map(|scope| format!("'{scope}'")).collect();
            let rest = format!(
                "WHERE id > $2 AND +org_id = $1 AND +scope IN ({}) AND deleted_at IS NULL ORDER BY id LIMIT {AT_ONCE}",
                scopes.join(", ")
            );
            let mut after = String::new();
            loop {
                let page = self.select::<Credential>(&rest, &[text(org.as_str()), text(&after)])?;
                let is_last = page.len() < AT_ONCE;
                if let Some(last) = page.last() {
                    after.clone_from(&last.id.0);
                }
                page.into_iter().try_for_each(&mut visit)?;
                if is_last {
                    break;
                }
            }
        }
        for place in places.iter().filter(|p| !matches!(p, Place::All(_))) {
            let mut filter =
                ListFilter { places: vec![place.clone()], deleted: false, after: None, limit: AT_ONCE };
            loop {
                let page = self.list_credentials(org, &filter)?;
                let is_last = page.len() < AT_ONCE;
                filter.after = page.last().map(|last| (last.name_key.clone(), last.id.0.clone()));
                page.into_iter().try_for_each(&mut visit)?;
                if is_last {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Visits every row of `T` of this org, in the order of its primary key.
    pub fn each<T: Entity>(&self, org: &OrgId, mut visit: impl FnMut(T) -> Result<()>) -> Result<()> {
        let keys = T::COLUMNS[..T::KEYS].join(", ");
        let mut after: Vec<Value> = vec![text(""); T::KEYS];
        loop {
            let places: Vec<_> = (0..T::KEYS).map(|n| format!("${}", n + 2)).collect();
            let mut values = vec![text(org.as_str())];
            values.extend(after.iter().cloned());
            let rest = format!(
                "WHERE org_id = $1 AND ({keys}) > ({}) ORDER BY {keys} LIMIT {AT_ONCE}",
                places.join(", ")
            );
            let page = self.select::<T>(&rest, &values)?;
            let is_last = page.len() < AT_ONCE;
            if let Some(last) = page.last() {
                after = last.to_values().drain(..T::KEYS).collect();
            }
            page.into_iter().try_for_each(&mut visit)?;
            if is_last {
                return Ok(());
            }
        }
    }

    /// Every grant, connection, consumer, binding, user, team, membership or end of a value of the org.
    pub fn all<T: Entity + InOneOrg>(&self, org: &OrgId) -> Result<Vec<T>> {
        let mut all = Vec::new();
        self.each::<T>(org, |row| {
            all.push(row);
            Ok(())
        })?;
        Ok(all)
    }

    /// What use has left behind of every credential, with the last user.
    pub fn each_usage(&self, mut visit: impl FnMut(String, Usage)) -> Result<()> {
        let mut after = String::new();
        loop {
            let sql = format!(
                "SELECT credential_id, uses, failures, last_at, last_user FROM usage WHERE credential_id > $1 \
                 ORDER BY credential_id LIMIT {AT_ONCE}"
            );
            let page = self.conn().query(&sql, &[text(&after)])?;
            let is_last = page.len() < AT_ONCE;
            for mut row in page {
                after = row.text()?;
                let usage = Usage {
                    uses: row.int()?,
                    failures: row.int()?,
                    last_at: Some(Millis(row.int()?)),
                    last_user: row.text()?,
                };
                visit(after.clone(), usage);
            }
            if is_last {
                return Ok(());
            }
        }
    }

    /// Visits every use since then, as far as the last half million events tell, the oldest first; what is personal is
    /// told to its owner only.
    pub fn each_use(
        &self,
        org: &OrgId,
        viewer: &UserId,
        since: Millis,
        mut visit: impl FnMut(Use<'_>) -> Result<()>,
    ) -> Result<()> {
        let sql = format!(
            "SELECT seq, object_id, user_id, consumer, outcome, at FROM audit WHERE org_id = $1 AND seq > $2 AND at >= $3 \
             AND operation = 'use' AND {IS_FOR_USE} AND (scope <> 'personal' OR owner = $4) ORDER BY seq LIMIT {AT_ONCE}"
        );
        let mut after = self.audit_head(org)?.map_or(0, |(seq, _)| seq) - MOST_EVENTS;
        loop {
            let values = [text(org.as_str()), Value::Int(after), Value::Int(since.0), text(viewer.as_str())];
            let page = self.conn().query(&sql, &values)?;
            let is_last = page.len() < AT_ONCE;
            for mut row in page {
                after = row.int()?;
                let (credential, user, consumer) = (row.text()?, row.text()?, row.text()?);
                let outcome = row.text()?;
                visit(Use {
                    credential: &credential,
                    user: &user,
                    consumer: &consumer,
                    is_ok: outcome == "ok",
                    has_failed: matches!(outcome.as_str(), "failed" | "refused"),
                    at: Millis(row.int()?),
                })?;
            }
            if is_last {
                return Ok(());
            }
        }
    }

    /// What of the org's and its teams one person used, ever.
    pub fn uses_by(&self, org: &OrgId, user: &UserId) -> Result<Vec<UsedBy>> {
        let sql = format!(
            "SELECT object_id, user_id, consumer, sum(outcome = 'ok'), sum(outcome IN ('failed', 'refused')), \
             max(at) FROM audit WHERE user_id = $2 AND org_id = $1 AND operation = 'use' AND {IS_FOR_USE} \
             AND scope <> 'personal' GROUP BY object_id, user_id, consumer"
        );
        self.conn()
            .query(&sql, &[text(org.as_str()), text(user.as_str())])?
            .into_iter()
            .map(used_by)
            .collect()
    }

    pub fn fingerprints_of(&self, org: &OrgId, version: &str) -> Result<Vec<Fingerprint>> {
        self.select("WHERE version_id = $2 AND org_id = $1", &[text(org.as_str()), text(version)])
    }

    pub fn acceptances(&self, org: &OrgId) -> Result<HashMap<String, Acceptance>> {
        let all = self.select::<Acceptance>("WHERE org_id = $1", &[text(org.as_str())])?;
        Ok(all.into_iter().map(|one| (one.finding.clone(), one)).collect())
    }
}

fn used_by(mut row: super::link::Row) -> Result<UsedBy> {
    Ok(UsedBy {
        credential: row.text()?,
        user: row.text()?,
        consumer: row.text()?,
        ok: row.int()?,
        failed: row.int()?,
        last_at: Millis(row.int()?),
    })
}

/// Tables whose rows name their org.
pub trait InOneOrg {}
impl InOneOrg for Grant {}
impl InOneOrg for Connection {}
impl InOneOrg for Consumer {}
impl InOneOrg for Binding {}
impl InOneOrg for User {}
impl InOneOrg for Team {}
impl InOneOrg for Membership {}
impl InOneOrg for Ending {}

impl Writer<'_> {
    /// Writes a fingerprint in the place of what was there for that field.
    pub fn put_fingerprint(&mut self, print: &mut Fingerprint) -> Result<()> {
        self.remove::<Fingerprint>(&[print.version_id.as_str(), &print.field])?;
        self.insert(print)
    }

    /// Removes what was made with an older key of the org: fingerprints and reports, which are made anew from what there is.
    /// Returns how many.
    pub fn forget_older_hygiene(&mut self, org: &OrgId, active: i64) -> Result<i64> {
        let active = u32::try_from(active).map_err(|_| out_of_range())?;
        let values =
            [text(org.as_str()), Value::Blob(active.to_be_bytes().to_vec()), Value::Int(i64::from(active))];
        let mut removed = 0;
        for table in ["fingerprint", "hygiene_report"] {
            let sql = format!(
                "DELETE FROM {table} WHERE org_id = $1 AND (substr(mac, 1, 4) <> $2 OR key_version <> $3)"
            );
            removed += self.conn().execute(&sql, &values)?;
        }
        Ok(removed as i64)
    }
}

fn out_of_range() -> Error {
    internal("the version of an org key is out of range")
}
