//! Tests of credentials, the ends that values tell of themselves, warnings and notices.
use super::entity::{Entity, entity};
use super::link::Value;
use super::{Reader, Writer};
use crate::clock::{DAY_MS, Millis};
use crate::error::Result;
use crate::ids::{CredentialId, NoticeId, OrgId};
use crate::model::credential::Credential;
use crate::model::notice::{Notice, NoticeState, Warning};
use crate::model::probe::{Ending, Probe};
use std::collections::HashMap;

entity!(Probe, "probe", 1, org_id, {
    credential_id, org_id, version, verdict, message, account, scopes, checked_at, failures, recent, due_at
});
entity!(Ending, "ending", 2, org_id, { credential_id, number, org_id, ends_at, source });
entity!(Warning, "warning", 3, org_id, { credential_id, ends_at, days, org_id, at });
entity!(Notice, "notice", 1, org_id, {
    id, org_id, credential_id, kind, way, body, state, attempts, due_at, last_error, created_at
});

/// How long after an entry its test is begun, where that is wanted.
const ENTERED_WITHIN_MS: i64 = 3_600_000;

/// By credential and the number of its version.
type Endings = HashMap<(String, i64), Ending>;

fn text(s: &str) -> Value {
    Value::Text(s.into())
}

impl Reader<'_> {
    pub fn probe(&self, org: &OrgId, credential: &CredentialId) -> Result<Option<Probe>> {
        Ok(self.find::<Probe>(&[credential.as_str()])?.filter(|p| p.org_id == *org))
    }

    /// When the version `number` ends, as it or its service says.
    pub fn ending(&self, org: &OrgId, credential: &CredentialId, number: i64) -> Result<Option<Ending>> {
        let values = [text(credential.as_str()), Value::Int(number), text(org.as_str())];
        Ok(self.select::<Ending>("WHERE credential_id = $1 AND number = $2 AND org_id = $3", &values)?.pop())
    }

    /// Tests and ends of these credentials, each by the credential's id. A row that was changed is left out.
    pub fn facts_of(&self, org: &OrgId, ids: &[&str]) -> Result<(HashMap<String, Probe>, Endings)> {
        let (mut probes, mut endings) = (HashMap::new(), HashMap::new());
        for ids in ids.chunks(100) {
            let places: Vec<_> = (2..ids.len() + 2).map(|n| format!("${n}")).collect();
            let mut values = vec![text(org.as_str())];
            values.extend(ids.iter().map(|id| text(id)));
            // By its key first: the org alone would be gone through whole.
            let rest = format!("WHERE org_id || '' = $1 AND credential_id IN ({})", places.join(","));
            let sql = format!("{} {rest}", Probe::sql().select);
            for probe in self.rows_each::<Probe>(&sql, &values)?.into_iter().flatten() {
                probes.insert(probe.credential_id.0.clone(), probe);
            }
            let sql = format!("{} {rest}", Ending::sql().select);
            for ending in self.rows_each::<Ending>(&sql, &values)?.into_iter().flatten() {
                endings.insert((ending.credential_id.0.clone(), ending.number), ending);
            }
        }
        Ok((probes, endings))
    }

    /// Credentials of one of these services, of every org, that nothing was planned for yet, or that are due at `now`;
    /// with `on_entry`, those too whose value is newer than their last test. Canaries are left out, and a row that was changed.
    pub fn probes_due(
        &self,
        services: &[&str],
        now: Millis,
        on_entry: bool,
        on_schedule: bool,
        limit: i64,
    ) -> Result<Vec<Credential>> {
        let places: Vec<_> = (2..services.len() + 2).map(|n| format!("${n}")).collect();
        let mut values = vec![Value::Int(now.0)];
        values.extend(services.iter().map(|id| text(id)));
        let recent;
        let mut terms = vec!["p.due_at <= $1"];
        if on_entry {
            // Of what was entered long before nobody expects a test.
            values.push(Value::Int(now.plus_ms(-ENTERED_WITHIN_MS).0));
            recent = format!(
                "p.due_at IS NULL AND ifnull(p.version, 0) <> c.current_version AND c.value_set_at > ${}",
                values.len()
            );
            terms.push(&recent);
        }
        if on_schedule {
            terms.push("p.due_at IS NULL");
        }
        let columns: Vec<_> = Credential::COLUMNS.iter().map(|column| format!("c.{column}")).collect();
        let sql = format!(
            "SELECT {}, c.revision, c.mac FROM credential c LEFT JOIN probe p ON p.credential_id = c.id \
             WHERE c.deleted_at IS NULL AND c.source = 'manual' AND c.current_version IS NOT NULL \
             AND NOT EXISTS (SELECT 1 FROM canary k WHERE k.credential_id = c.id) \
             AND c.service IN ({}) AND ({}) ORDER BY p.due_at, c.id LIMIT {limit}",
            columns.join(", "),
            places.join(","),
            terms.iter().map(|term| format!("({term})")).collect::<Vec<_>>().join(" OR ")
        );
        Ok(self.rows_each::<Credential>(&sql, &values)?.into_iter().filter_map(Result::ok).collect())
    }

    /// Undeleted credentials of `org`, personal ones left out, that end after `now` and not after `until`, as was entered
    /// or as their current value says, after the id `after`.
    pub fn ending_until(
        &self,
        org: &OrgId,
        now: Millis,
        until: Millis,
        after: &str,
        limit: i64,
    ) -> Result<Vec<Credential>> {
        let columns: Vec<_> = Credential::COLUMNS.iter().map(|column| format!("c.{column}")).collect();
        let sql = format!(
            "SELECT {}, c.revision, c.mac FROM credential c WHERE c.id IN (\
             SELECT id FROM credential WHERE org_id = $1 AND expires_at > $2 AND expires_at <= $3 AND deleted_at IS NULL \
             UNION SELECT credential_id FROM ending WHERE org_id = $1 AND ends_at > $2 AND ends_at <= $3) \
             AND c.org_id || '' = $1 AND c.deleted_at IS NULL AND c.id > $4 ORDER BY c.id LIMIT {limit}",
            columns.join(", ")
        );
        let values = [text(org.as_str()), Value::Int(now.0), Value::Int(until.0), text(after)];
        Ok(self.rows_each::<Credential>(&sql, &values)?.into_iter().filter_map(Result::ok).collect())
    }

    /// As [`Reader::ending_until`], of what is due by a rotation policy: the credential's own, else that of its service, else
    /// the org's (of an empty service). Connections are not told of: they are refreshed.
    pub fn due_until<'p>(
        &self,
        org: &OrgId,
        now: Millis,
        until: Millis,
        policies: impl Iterator<Item = (&'p str, i64)>,
        after: &str,
        limit: i64,
    ) -> Result<Vec<Credential>> {
        let policies: serde_json::Map<_, _> =
            policies.map(|(service, days)| (service.to_owned(), days.into())).collect();
        let of_org = policies.get("").and_then(serde_json::Value::as_i64).unwrap_or_default();
        let columns: Vec<_> = Credential::COLUMNS.iter().map(|column| format!("c.{column}")).collect();
        let due = format!("c.value_set_at + coalesce(c.rotation_days, p.value, $4) * {DAY_MS}");
        let sql = format!(
            "SELECT {}, c.revision, c.mac FROM credential c LEFT JOIN json_each($5) p ON p.key = c.service AND c.service <> '' \
             WHERE c.org_id = $1 AND c.deleted_at IS NULL AND c.source = 'manual' AND c.current_version IS NOT NULL \
             AND coalesce(c.rotation_days, p.value, $4) > 0 AND {due} > $2 AND {due} <= $3 AND c.id > $6 \
             ORDER BY c.id LIMIT {limit}",
            columns.join(", ")
        );
        let policies = serde_json::Value::Object(policies).to_string();
        let values = [
            text(org.as_str()),
            Value::Int(now.0),
            Value::Int(until.0),
            Value::Int(of_org),
            text(&policies),
            text(after),
        ];
        Ok(self.rows_each::<Credential>(&sql, &values)?.into_iter().filter_map(Result::ok).collect())
    }

    /// The days of which this end was told already.
    pub fn warned(&self, org: &OrgId, credential: &CredentialId, ends_at: Millis) -> Result<Vec<i64>> {
        let values = [text(credential.as_str()), Value::Int(ends_at.0), text(org.as_str())];
        let found =
            self.select::<Warning>("WHERE credential_id = $1 AND ends_at = $2 AND org_id = $3", &values)?;
        Ok(found.into_iter().map(|warning| warning.days).collect())
    }

    /// Notices of `org` to be sent at `now`, whichever is longest due first. A row that was changed is left out.
    pub fn notices_due(&self, org: &OrgId, now: Millis, limit: i64) -> Result<Vec<Notice>> {
        let sql = format!(
            "{} WHERE due_at IS NOT NULL AND due_at <= $1 AND org_id || '' = $2 ORDER BY due_at, id LIMIT {limit}",
            Notice::sql().select
        );
        let found = self.rows_each::<Notice>(&sql, &[Value::Int(now.0), text(org.as_str())])?;
        Ok(found.into_iter().filter_map(Result::ok).collect())
    }

    /// Whether notices wait to be forgotten.
    pub fn has_old_notices(&self, org: &OrgId, before: Millis) -> Result<bool> {
        let sql = "SELECT 1 FROM notice WHERE org_id = $1 AND due_at IS NULL AND created_at < $2 LIMIT 1";
        Ok(!self.conn().query(sql, &[text(org.as_str()), Value::Int(before.0)])?.is_empty())
    }

    /// The notice as it is in this transaction, while it waits.
    pub fn waiting_notice(&self, org: &OrgId, id: &NoticeId) -> Result<Option<Notice>> {
        let found = self.find::<Notice>(&[id.as_str()])?;
        Ok(found.filter(|n| n.org_id == *org && n.state == NoticeState::Waiting))
    }
}

impl Writer<'_> {
    /// Keeps a row that may be new.
    pub fn keep_probe(&mut self, probe: &mut Probe) -> Result<()> {
        match probe.revision {
            0 => self.insert(probe),
            _ => self.save(probe),
        }
    }

    /// Keeps when a version ends, in the place of what was known.
    pub fn keep_ending(&mut self, mut ending: Ending) -> Result<()> {
        match self.ending(&ending.org_id, &ending.credential_id, ending.number)? {
            None => self.insert(&mut ending),
            Some(known) if known.ends_at == ending.ends_at && known.source == ending.source => Ok(()),
            Some(known) => {
                ending.revision = known.revision;
                self.save(&mut ending)
            }
        }
    }

    /// Removes all of this that is about a credential, which goes for good.
    pub fn forget_probes(&mut self, credential: &CredentialId) -> Result<()> {
        for table in ["probe", "ending", "warning", "notice"] {
            self.conn().execute(
                &format!("DELETE FROM {table} WHERE credential_id = $1"),
                &[text(credential.as_str())],
            )?;
        }
        Ok(())
    }

    /// Removes notices of `org` that are over and older than `before`, and warnings of ends before it.
    pub fn forget_old_notices(&mut self, org: &OrgId, before: Millis) -> Result<()> {
        let values = [text(org.as_str()), Value::Int(before.0)];
        self.conn().execute(
            "DELETE FROM notice WHERE org_id = $1 AND due_at IS NULL AND created_at < $2",
            &values,
        )?;
        self.conn().execute("DELETE FROM warning WHERE org_id = $1 AND ends_at < $2", &values)?;
        Ok(())
    }
}
