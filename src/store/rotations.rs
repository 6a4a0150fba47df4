//! Rotations, what their consumers said, the calls they made, campaigns and policies.
use super::audit::IS_FOR_USE;
use super::entity::{Entity, entity};
use super::link::Value;
use super::{Reader, Writer};
use crate::clock::Millis;
use crate::error::{Code, Error, Result};
use crate::ids::{CallId, CampaignId, ConsumerId, CredentialId, OrgId, RotationId, UserId};
use crate::model::credential::{Credential, Stage, Version};
use crate::model::rotation::{
    Campaign, Rotation, RotationAdvice, RotationCall, RotationConsumer, RotationPolicy, RotationStage,
};
use crate::model::text::shown;
use std::collections::HashSet;

entity!(Rotation, "rotation", 1, org_id, {
    id, org_id, credential_id, campaign, rank, way, stage, is_open, old_version, new_version, finding, old_finding,
    trouble, started_by, owner, started_at, changed_at, due_at, promoted_at, ended_at
});
entity!(RotationConsumer, "rotation_consumer", 2, org_id, {
    rotation_id, consumer_id, org_id, signal, source, version, at, told_by
});
entity!(RotationCall, "rotation_call", 1, org_id, {
    id, org_id, rotation_id, driver, call, version, state, started_at, started_by, ended_at
});
entity!(Campaign, "rotation_campaign", 1, org_id, { id, org_id, kind, subject, size, started_by, started_at });
entity!(RotationPolicy, "rotation_policy", 2, org_id, { org_id, service, days, set_by, set_at });

entity!(RotationAdvice, "rotation_advice", 1, org_id, { org_id, advice, set_by, set_at });

fn text(s: &str) -> Value {
    Value::Text(s.into())
}

/// Which rotations to show, newest first.
#[derive(Clone, Debug, Default)]
pub struct RotationFilter {
    pub stage: Option<RotationStage>,
    pub is_open: Option<bool>,
    pub credential: Option<CredentialId>,
    /// In the order of their risk instead.
    pub campaign: Option<CampaignId>,
    /// How many are passed over.
    pub offset: i64,
    pub limit: i64,
}

impl Reader<'_> {
    /// By its id.
    pub fn rotation(&self, org: &OrgId, id: &str) -> Result<Rotation> {
        self.find::<Rotation>(&[id]).map(|found| found.filter(|r| r.org_id == *org))?.ok_or_else(|| {
            Error::new(Code::RotationNotFound, format!("there is no rotation {} you can see", shown(id)))
        })
    }

    /// The one that is under way for this credential.
    pub fn open_rotation(&self, org: &OrgId, credential: &CredentialId) -> Result<Option<Rotation>> {
        let rest = "WHERE credential_id = $2 AND is_open = 1 AND org_id = $1";
        Ok(self.select(rest, &[text(org.as_str()), text(credential.as_str())])?.pop())
    }

    /// Open or not, newest first.
    pub fn rotations_of(&self, org: &OrgId, credential: &CredentialId) -> Result<Vec<Rotation>> {
        let rest = "WHERE credential_id = $2 AND org_id = $1 ORDER BY started_at DESC, id DESC LIMIT 100";
        self.select(rest, &[text(org.as_str()), text(credential.as_str())])
    }

    pub fn rotations(&self, org: &OrgId, f: &RotationFilter) -> Result<Vec<Rotation>> {
        let mut values = vec![text(org.as_str())];
        let mut terms = vec!["org_id = $1".to_owned()];
        let mut term = |column: &str, value: Value| {
            values.push(value);
            terms.push(format!("{column} = ${}", values.len()));
        };
        if let Some(stage) = f.stage {
            term("stage", text(crate::model::Word::as_str(stage)));
        }
        if let Some(is_open) = f.is_open {
            term("is_open", Value::Int(i64::from(is_open)));
        }
        if let Some(credential) = &f.credential {
            term("credential_id", text(credential.as_str()));
        }
        let order = match &f.campaign {
            Some(campaign) => {
                term("campaign", text(campaign.as_str()));
                "rank, id"
            }
            None => "started_at DESC, id DESC",
        };
        values.extend([Value::Int(f.limit), Value::Int(f.offset)]);
        let n = values.len();
        let rest = format!("WHERE {} ORDER BY {order} LIMIT ${} OFFSET ${n}", terms.join(" AND "), n - 1);
        self.select(&rest, &values)
    }

    /// Open ones whose stage lasts no longer by itself, or that wait for signals.
    pub fn rotations_to_look_after(&self, now: Millis, after: &str, limit: i64) -> Result<Vec<Rotation>> {
        let rest =
            "WHERE is_open = 1 AND id > $2 AND (due_at <= $1 OR stage = 'promoted') ORDER BY id LIMIT $3";
        self.select(rest, &[Value::Int(now.0), text(after), Value::Int(limit)])
    }

    /// Those that have stood still since then, of every org.
    pub fn rotations_unmoved(&self, org: &OrgId, since: Millis) -> Result<Vec<Rotation>> {
        let rest = "WHERE org_id = $1 AND is_open = 1 AND stage <> 'planned' AND changed_at < $2 ORDER BY id LIMIT 100";
        self.select(rest, &[text(org.as_str()), Value::Int(since.0)])
    }

    pub fn signals(&self, rotation: &RotationId) -> Result<Vec<RotationConsumer>> {
        self.select("WHERE rotation_id = $1 ORDER BY consumer_id", &[text(rotation.as_str())])
    }

    pub fn signal(&self, rotation: &RotationId, consumer: &ConsumerId) -> Result<Option<RotationConsumer>> {
        self.find(&[rotation.as_str(), consumer.as_str()])
    }

    /// Oldest first.
    pub fn rotation_calls(&self, rotation: &RotationId) -> Result<Vec<RotationCall>> {
        self.select("WHERE rotation_id = $1 ORDER BY started_at, id", &[text(rotation.as_str())])
    }

    pub fn find_rotation_call(&self, id: &CallId) -> Result<Option<RotationCall>> {
        self.find(&[id.as_str()])
    }

    /// Calls to services whose end nobody wrote down.
    pub fn calls_begun(&self, org: &OrgId, before: Millis) -> Result<Vec<RotationCall>> {
        let rest =
            "WHERE org_id = $1 AND state = 'started' AND started_at < $2 ORDER BY started_at, id LIMIT 100";
        self.select(rest, &[text(org.as_str()), Value::Int(before.0)])
    }

    pub fn campaign(&self, org: &OrgId, id: &str) -> Result<Campaign> {
        self.find::<Campaign>(&[id]).map(|found| found.filter(|c| c.org_id == *org))?.ok_or_else(|| {
            Error::new(Code::RotationNotFound, format!("there is no campaign {} you can see", shown(id)))
        })
    }

    pub fn rotation_policies(&self, org: &OrgId) -> Result<Vec<RotationPolicy>> {
        self.select("WHERE org_id = $1 ORDER BY service", &[text(org.as_str())])
    }

    pub fn rotation_advice(&self, org: &OrgId) -> Result<Option<RotationAdvice>> {
        self.find(&[org.as_str()])
    }

    /// When `consumer` was handed this version of `credential` last; without one, the newest version that it ever was.
    pub fn last_handed(
        &self,
        org: &OrgId,
        credential: &CredentialId,
        consumer: &ConsumerId,
        version: Option<i64>,
    ) -> Result<Option<Millis>> {
        // The terms of the partial index that answers this stand here word for word.
        let mut sql = "SELECT at FROM audit WHERE object_id = $2 AND consumer = $3 AND org_id || '' = $1 \
                       AND operation = 'use' AND outcome = 'ok' AND consumer <> ''"
            .to_owned();
        let mut of = vec![text(org.as_str()), text(credential.as_str()), text(consumer.as_str())];
        if let Some(version) = version {
            sql.push_str(" AND version = $4");
            of.push(Value::Int(version));
        }
        sql.push_str(" ORDER BY version DESC, at DESC LIMIT 1");
        self.conn().query(&sql, &of)?.pop().map(|mut row| row.int().map(Millis)).transpose()
    }

    /// The credentials that this person was handed or entered, ever.
    pub fn touched_by(&self, org: &OrgId, user: &UserId) -> Result<HashSet<String>> {
        let sql = format!(
            "SELECT DISTINCT object_id FROM audit WHERE user_id = $2 AND org_id || '' = $1 AND {IS_FOR_USE} \
             AND object_kind = 'credential' AND outcome = 'ok' AND operation IN ('use', 'enter_value')"
        );
        let rows = self.conn().query(&sql, &[text(org.as_str()), text(user.as_str())])?;
        rows.into_iter().map(|mut row| row.text()).collect()
    }
}

impl Writer<'_> {
    /// Destroys a version's data key and sealed fields; its row stays, as history.
    pub fn retire_version(&mut self, version: &mut Version) -> Result<()> {
        version.stage = Stage::Retired;
        version.wrapped_key = Vec::new();
        version.destroyed_at = Some(self.now());
        self.remove_fields(&version.id)?;
        self.save(version)
    }

    /// Writes a consumer's signal, the first or another.
    pub fn put_signal(&mut self, signal: &mut RotationConsumer) -> Result<()> {
        match self.signal(&signal.rotation_id, &signal.consumer_id)? {
            Some(there) => {
                signal.revision = there.revision;
                self.save(signal)
            }
            None => self.insert(signal),
        }
    }

    /// Removes what there is of a purged credential's rotations; the log keeps what happened.
    pub fn forget_rotations(&mut self, credential: &Credential) -> Result<()> {
        let of = [text(credential.org_id.as_str()), text(credential.id.as_str())];
        for table in [RotationConsumer::TABLE, RotationCall::TABLE] {
            self.conn().execute(
                &format!(
                    "DELETE FROM {table} WHERE org_id = $1 AND rotation_id IN (SELECT id FROM rotation WHERE credential_id = $2)"
                ),
                &of,
            )?;
        }
        self.conn().execute("DELETE FROM rotation WHERE org_id = $1 AND credential_id = $2", &of)?;
        Ok(())
    }
}
