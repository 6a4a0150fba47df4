//! Canaries and what used them.
use super::Reader;
use super::entity::entity;
use super::link::Value;
use crate::error::Result;
use crate::ids::{AlertId, CredentialId, OrgId};
use crate::model::canary::{Canary, CanaryAlert};

entity!(kept Canary, "canary", 1, org_id, { credential_id, org_id, created_at, created_by });
entity!(CanaryAlert, "canary_alert", 1, org_id, {
    id, org_id, credential_id, user_id, door, client, consumer, how, place, first_at, last_at, times, acknowledged_at,
    acknowledged_by
});

fn text(s: &str) -> Value {
    Value::Text(s.into())
}

impl Reader<'_> {
    /// The mark on this credential, if there is one.
    pub fn canary(&self, org: &OrgId, credential: &CredentialId) -> Result<Option<Canary>> {
        Ok(self.find::<Canary>(&[credential.as_str()])?.filter(|c| c.org_id == *org))
    }

    /// Up to `limit` of the org, after this credential.
    pub fn canaries(&self, org: &OrgId, after: &str, limit: i64) -> Result<Vec<Canary>> {
        self.select(
            "WHERE org_id = $1 AND credential_id > $2 ORDER BY credential_id LIMIT $3",
            &[text(org.as_str()), text(after), Value::Int(limit)],
        )
    }

    /// What nobody has acknowledged of one credential, or of all, newest first.
    pub fn open_alerts(
        &self,
        org: &OrgId,
        credential: Option<&CredentialId>,
        limit: i64,
    ) -> Result<Vec<CanaryAlert>> {
        let (term, mut values) = match credential {
            Some(id) => ("AND credential_id = $3", vec![text(id.as_str())]),
            None => ("", Vec::new()),
        };
        let mut all = vec![text(org.as_str()), Value::Int(limit)];
        all.append(&mut values);
        self.select(
            &format!(
                "WHERE org_id = $1 AND acknowledged_at IS NULL {term} ORDER BY last_at DESC, id DESC LIMIT $2"
            ),
            &all,
        )
    }

    pub fn alert(&self, org: &OrgId, id: &AlertId) -> Result<Option<CanaryAlert>> {
        Ok(self.find::<CanaryAlert>(&[id.as_str()])?.filter(|a| a.org_id == *org))
    }
}
