//! Approvals that wait for a person, and answers kept under an idempotency key.
use super::entity::entity;
use super::link::Value;
use super::{Reader, Writer};
use crate::clock::{DAY_MS, Millis};
use crate::error::{Code, Error, Result};
use crate::ids::{OrgId, UserId};
use crate::model::access::Caller;
use crate::model::approval::Approval;
use crate::model::org::User;
use serde::Serialize;

entity!(Approval, "approval", 1, org_id, {
    id, org_id, requested_by, door, client, operation, arguments, digest, impact, reason, state, created_at, expires_at,
    decided_at, decided_by, outcome
});

/// Whether `text` names this person: their login as a word, or their display name.
fn mentions(text: &str, user: &User) -> bool {
    let in_login = |c: char| c.is_ascii_alphanumeric() || "._-@+".contains(c);
    text.split(|c| !in_login(c)).any(|word| word.trim_matches('.') == user.login)
        || text.contains(&user.display_name)
}

fn text(s: &str) -> Value {
    Value::Text(s.into())
}

impl Reader<'_> {
    pub fn approval(&self, org: &OrgId, id: &str) -> Result<Approval> {
        self.find::<Approval>(&[id])?
            .filter(|a| a.org_id == *org)
            .ok_or_else(|| Error::new(Code::ApprovalNotFound, "there is no such approval request"))
    }

    /// Newest first.
    pub fn approvals(&self, org: &OrgId, since: Millis, limit: i64) -> Result<Vec<Approval>> {
        let rest =
            format!("WHERE org_id = $1 AND created_at >= $2 ORDER BY created_at DESC, id LIMIT {limit}");
        self.select(&rest, &[text(org.as_str()), Value::Int(since.0)])
    }

    /// One person's requests, newest first.
    pub fn approvals_by(
        &self,
        org: &OrgId,
        user: &UserId,
        since: Millis,
        limit: i64,
    ) -> Result<Vec<Approval>> {
        let rest = format!(
            "WHERE org_id = $1 AND created_at >= $2 AND requested_by = $3 ORDER BY created_at DESC, id LIMIT {limit}"
        );
        self.select(&rest, &[text(org.as_str()), Value::Int(since.0), text(user.as_str())])
    }

    /// The kept answer of an earlier call with the caller's idempotency key.
    pub fn kept_answer(&self, caller: &Caller) -> Result<Option<String>> {
        let Some(i) = &caller.idempotency else { return Ok(None) };
        let sql = "SELECT digest, answer, at FROM idempotency WHERE org_id = $1 AND user_id = $2 AND operation = $3 AND key = $4";
        let key = [text(caller.org.as_str()), text(caller.user.as_str()), text(i.operation), text(&i.key)];
        let Some(mut row) = self.conn().query(sql, &key)?.pop() else { return Ok(None) };
        let (digest, answer, at) = (row.blob()?, row.text()?, row.int()?);
        if self.now().0 - at > DAY_MS {
            return Ok(None);
        }
        if digest != i.digest {
            return Err(Error::new(
                Code::IdempotencyConflict,
                "this idempotency key belongs to another request",
            ));
        }
        Ok(Some(answer))
    }
}

impl Writer<'_> {
    /// Stops what an approval let through where a person has declined it meanwhile, or its time is over.
    pub(crate) fn expect_approval_open(&self) -> Result<()> {
        let caller = self.caller();
        // Refusals are recorded without the key, and may be: they change nothing.
        let (Some(id), Some(_)) = (&caller.approval, &caller.idempotency) else { return Ok(()) };
        match self.approval(&caller.org, id)?.is_open(self.now()) {
            true => Ok(()),
            false => {
                Err(Error::new(Code::ApprovalClosed, "it was decided meanwhile, and nothing was changed"))
            }
        }
    }

    /// Stops a call whose idempotency key has an answer already; `dispatch` then gives that answer.
    pub(crate) fn refuse_repeat(&self) -> Result<()> {
        match self.kept_answer(self.caller())? {
            None => Ok(()),
            Some(_) => Err(Error::new(Code::IdempotencyConflict, "done already").detail("replay", "1")),
        }
    }

    /// Removes the requests and kept answers of a person, and those that name them.
    pub fn forget_mentions(&mut self, user: &User) -> Result<()> {
        let org = user.org_id.clone();
        for a in self.approvals(&org, Millis(0), 100_000)? {
            let texts = [&a.arguments, &a.impact, &a.reason, &a.outcome, &a.client];
            if a.requested_by == user.id || texts.iter().any(|text| mentions(text, user)) {
                self.remove::<Approval>(&[a.id.as_str()])?;
            }
        }
        let kept = "SELECT user_id, operation, key, answer FROM idempotency WHERE org_id = $1";
        for mut row in self.conn().query(kept, &[text(org.as_str())])? {
            let (by, operation, key, answer) = (row.text()?, row.text()?, row.text()?, row.text()?);
            if by == user.id.as_str() || mentions(&answer, user) {
                self.conn().execute(
                    "DELETE FROM idempotency WHERE org_id = $1 AND user_id = $2 AND operation = $3 AND key = $4",
                    &[text(org.as_str()), text(&by), text(&operation), text(&key)],
                )?;
            }
        }
        Ok(())
    }

    pub(crate) fn keep_answer<T: Serialize>(&mut self, answer: &T) -> Result<()> {
        let caller = self.caller().clone();
        let Some(i) = &caller.idempotency else { return Ok(()) };
        let answer = serde_json::to_string(answer)
            .map_err(|e| crate::error::internal("an answer is not JSON").because(e))?;
        let now = self.now().0;
        self.conn().execute("DELETE FROM idempotency WHERE at < $1", &[Value::Int(now - DAY_MS)])?;
        self.conn().execute(
            "INSERT INTO idempotency (org_id, user_id, operation, key, digest, answer, at) VALUES ($1,$2,$3,$4,$5,$6,$7)",
            &[
                text(caller.org.as_str()),
                text(caller.user.as_str()),
                text(i.operation),
                text(&i.key),
                Value::Blob(i.digest.clone()),
                Value::Text(answer),
                Value::Int(now),
            ],
        )?;
        Ok(())
    }
}
