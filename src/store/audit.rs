//! The audit chain: one per org, gapless, each event's MAC over the one before it.
//!
//! Nothing is ever removed from it here.
use super::link::{Row, Value};
use super::{Reader, Recorded, Writer};
use crate::clock::Millis;
use crate::error::{Code, Error, Result, internal};
use crate::ids::{OrgId, UserId};
use crate::model::Word;
use crate::model::credential::Scope;
use crate::model::event::{AuditRow, Event};
use serde::Serialize;

/// After how many events a signed checkpoint is kept.
const CHECKPOINT_EVERY: i64 = 1000;
/// Of an event that a value was opened: for somebody's use. Who scans for leaks, or asks its service about it, does not use it.
/// Text that people wrote has its quotation marks escaped there.
pub(super) const IS_FOR_USE: &str =
    "instr(details, '\"operation\":\"scan\"') = 0 AND instr(details, '\"operation\":\"test\"') = 0";
/// How many rows verification reads at a time.
const VERIFY_PAGE: i64 = 2000;

/// The end of an org's chain.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    seq: i64,
    mac: Vec<u8>,
    written_seq: i64,
}

/// A signed statement that event `seq` of `org` has this MAC. Kept outside the database it shows a cut-off tail.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    pub seq: i64,
    pub at: Millis,
    pub mac: Vec<u8>,
    pub signature: Vec<u8>,
}

impl Checkpoint {
    /// The bytes that the signature covers.
    pub fn canonical(org: &OrgId, seq: i64, at: Millis, mac: &[u8]) -> Vec<u8> {
        let mut bytes = b"checkpoint1".to_vec();
        bytes.extend_from_slice(&(org.as_str().len() as u32).to_be_bytes());
        bytes.extend_from_slice(org.as_str().as_bytes());
        bytes.extend_from_slice(&seq.to_be_bytes());
        bytes.extend_from_slice(&at.0.to_be_bytes());
        bytes.extend_from_slice(mac);
        bytes
    }
}

/// What verification found.
#[derive(Clone, Debug, PartialEq)]
pub struct Verified {
    /// How many events are in order, counted from the first.
    pub good: i64,
    /// The first event that is not, with why.
    pub first_bad: Option<(i64, String)>,
}

/// Which events to show. `viewer` limits what a plain member sees to their own and to `objects`.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    pub viewer: Option<UserId>,
    /// May read events that concern others (admins, auditors, or somebody who sees the object asked for).
    pub sees_others: bool,
    pub object_id: Option<String>,
    pub user_id: Option<String>,
    pub operation: Option<String>,
    pub outcome: Option<String>,
    pub since: Option<Millis>,
    pub until: Option<Millis>,
    /// Only events before this one.
    pub before_seq: Option<i64>,
    pub limit: i64,
}

const COLUMNS: &str = "org_id, seq, at, user_id, door, client, request, consumer, operation, outcome, code, object_kind, \
                       object_id, object_name, version, revision, scope, owner, reason, details, mac";

fn read(mut r: Row) -> Result<AuditRow> {
    let optional = |value: Value| match value {
        Value::Int(n) => Some(n),
        _ => None,
    };
    Ok(AuditRow {
        org: OrgId(r.text()?),
        seq: r.int()?,
        at: Millis(r.int()?),
        user: r.text()?,
        door: r.text()?,
        client: r.text()?,
        request: r.text()?,
        consumer: r.text()?,
        operation: r.text()?,
        outcome: r.text()?,
        code: r.text()?,
        object_kind: r.text()?,
        object_id: r.text()?,
        object_name: r.text()?,
        version: optional(r.take()),
        revision: optional(r.take()),
        scope: r.text()?,
        owner: r.text()?,
        reason: r.text()?,
        details: r.text()?,
        mac: r.blob()?,
    })
}

fn head_bytes(seq: i64, mac: &[u8]) -> Vec<u8> {
    [b"head1".as_slice(), &seq.to_be_bytes(), mac].concat()
}

impl Reader<'_> {
    /// The end of the org's chain: number and MAC of the last event; `None` before the first.
    pub fn audit_head(&self, org: &OrgId) -> Result<Option<(i64, Vec<u8>)>> {
        let sql = "SELECT seq, mac, seal FROM audit_head WHERE org_id = $1";
        let Some(mut row) = self.conn().query(sql, &[Value::Text(org.0.clone())])?.pop() else {
            return Ok(None);
        };
        let (seq, mac, seal) = (row.int()?, row.blob()?, row.blob()?);
        if !self.mac()?.audit_ok(org, &head_bytes(seq, &mac), &seal)? {
            return Err(Error::new(
                Code::Integrity,
                "the head of the audit chain was changed outside unsaid",
            ));
        }
        Ok(Some((seq, mac)))
    }

    /// Newest first.
    pub fn search_audit(&self, org: &OrgId, f: &AuditFilter) -> Result<Vec<AuditRow>> {
        // An object's and a user's events have their own indexes. Left bare, the org would be looked up first, and
        // everything that ever happened in it gone through.
        let by_index = f.object_id.is_some() || f.user_id.is_some();
        let mut terms = vec![if by_index { "org_id || '' = $1" } else { "org_id = $1" }.to_owned()];
        let mut values = vec![Value::Text(org.0.clone())];
        let mut term = |text: &str, value: Value| {
            values.push(value);
            terms.push(text.replace("$?", &format!("${}", values.len())));
        };
        if let Some(id) = &f.object_id {
            term("object_id = $?", Value::Text(id.clone()));
        }
        if let Some(user) = &f.user_id {
            term("user_id = $?", Value::Text(user.clone()));
        }
        if let Some(operation) = &f.operation {
            term("operation = $?", Value::Text(operation.clone()));
        }
        if let Some(outcome) = &f.outcome {
            term("outcome = $?", Value::Text(outcome.clone()));
        }
        if let Some(since) = f.since {
            term("at >= $?", Value::Int(since.0));
        }
        if let Some(until) = f.until {
            term("at < $?", Value::Int(until.0));
        }
        if let Some(before) = f.before_seq {
            term("seq < $?", Value::Int(before));
        }
        if let Some(viewer) = &f.viewer {
            let me = Value::Text(viewer.0.clone());
            // Nobody learns of another person's personal credentials, whatever their role.
            term("(scope <> 'personal' OR owner = $?)", me.clone());
            if !f.sees_others {
                term("user_id = $?", me);
            }
        }
        let sql = format!(
            "SELECT {COLUMNS} FROM audit WHERE {} ORDER BY seq DESC LIMIT {}",
            terms.join(" AND "),
            f.limit.clamp(1, 1000)
        );
        self.conn().query(&sql, &values)?.into_iter().map(read).collect()
    }

    /// How many removals this person did since then, through a door that is no person's own.
    pub fn count_removals(&self, org: &OrgId, user: &UserId, since: Millis) -> Result<i64> {
        // The list of operations stands here word for word as in the partial index that answers this.
        let sql = "SELECT count(*) FROM audit WHERE org_id = $1 AND user_id = $2 AND at >= $3 AND outcome = 'ok' \
                   AND door NOT IN ('cli', 'web', 'system') \
                   AND operation IN ('delete_credential', 'unshare_credential', 'delete_oauth_provider')";
        let values = [Value::Text(org.0.clone()), Value::Text(user.0.clone()), Value::Int(since.0)];
        self.conn().query(sql, &values)?.pop().map_or(Ok(0), |mut row| row.int())
    }

    /// Events after `seq`, oldest first: for export and verification.
    pub fn audit_after(&self, org: &OrgId, seq: i64, limit: i64) -> Result<Vec<AuditRow>> {
        let sql =
            format!("SELECT {COLUMNS} FROM audit WHERE org_id = $1 AND seq > $2 ORDER BY seq LIMIT {limit}");
        self.conn()
            .query(&sql, &[Value::Text(org.0.clone()), Value::Int(seq)])?
            .into_iter()
            .map(read)
            .collect()
    }

    /// Recomputes the whole chain and names the first event that does not fit, a missing last one included.
    pub fn verify_audit(&self, org: &OrgId, against: Option<&Checkpoint>) -> Result<Verified> {
        let bad = |good: i64, seq: i64, why: &str| Ok(Verified { good, first_bad: Some((seq, why.into())) });
        let mut previous = vec![0u8; 32];
        let mut good = 0;
        let kept = self.checkpoints(org)?;
        let mut kept = kept.iter().chain(against).cloned().collect::<Vec<_>>();
        kept.sort_by_key(|c| c.seq);
        let mut kept = kept.into_iter().peekable();
        loop {
            let page = match self.audit_after(org, good, VERIFY_PAGE) {
                // One row cannot be read: go row by row up to it.
                Err(e) if e.code == Code::Integrity => match self.audit_after(org, good, 1) {
                    Err(e) if e.code == Code::Integrity => {
                        return bad(good, good + 1, "the event was changed and cannot be read");
                    }
                    one => one?,
                },
                page => page?,
            };
            if page.is_empty() {
                break;
            }
            for row in page {
                if row.seq != good + 1 {
                    return bad(good, good + 1, "the event is missing");
                }
                if !self.mac()?.audit_ok(org, &row.canonical(&previous), &row.mac)? {
                    return bad(good, row.seq, "the event was changed, inserted or moved");
                }
                while let Some(c) = kept.next_if(|c| c.seq == row.seq) {
                    if c.mac != row.mac {
                        return bad(good, row.seq, "the event differs from its signed checkpoint");
                    }
                }
                previous = row.mac;
                good = row.seq;
            }
        }
        if kept.peek().is_some() {
            return bad(
                good,
                good + 1,
                "a signed checkpoint names later events: the end of the log is missing",
            );
        }
        match self.audit_head(org) {
            Ok(None) if good == 0 => return bad(0, 1, "the whole log is missing"),
            Ok(Some((seq, mac))) if seq == good && mac == previous => {}
            Ok(Some((seq, _))) if seq > good => return bad(good, good + 1, "the end of the log is missing"),
            Ok(_) => return bad(good, good, "the log is longer than its sealed head says"),
            Err(e) if e.code == Code::Integrity => {
                return bad(good, good, "the head of the chain was changed");
            }
            Err(e) => return Err(e),
        }
        Ok(Verified { good, first_bad: None })
    }

    /// Every kept checkpoint, signature checked.
    pub fn checkpoints(&self, org: &OrgId) -> Result<Vec<Checkpoint>> {
        let sql = "SELECT seq, at, mac, signature FROM checkpoint WHERE org_id = $1 ORDER BY seq";
        let mut found = Vec::new();
        for mut r in self.conn().query(sql, &[Value::Text(org.0.clone())])? {
            let c = Checkpoint { seq: r.int()?, at: Millis(r.int()?), mac: r.blob()?, signature: r.blob()? };
            if !self.checkpoint_ok(org, &c)? {
                return Err(Error::new(
                    Code::Integrity,
                    format!("the checkpoint of event {} was changed", c.seq),
                ));
            }
            found.push(c);
        }
        Ok(found)
    }

    pub fn checkpoint_ok(&self, org: &OrgId, c: &Checkpoint) -> Result<bool> {
        self.mac()?.signed_ok(org, &Checkpoint::canonical(org, c.seq, c.at, &c.mac), &c.signature)
    }

    /// A checkpoint of the chain's end, now.
    pub fn checkpoint_now(&self, org: &OrgId) -> Result<Option<Checkpoint>> {
        let Some((seq, mac)) = self.audit_head(org)? else { return Ok(None) };
        let at = self.now();
        let signature = self.mac()?.sign(org, &Checkpoint::canonical(org, seq, at, &mac))?;
        Ok(Some(Checkpoint { seq, at, mac, signature }))
    }
}

impl Writer<'_> {
    fn head(&mut self, org: &OrgId) -> Result<&mut Head> {
        if !self.heads.contains_key(org) {
            let head = match self.audit_head(org)? {
                Some((seq, mac)) => Head { seq, mac, written_seq: seq },
                // Only the transaction that makes an org begins its log.
                None if self.made_orgs.contains(org) => Head { seq: 0, mac: vec![0; 32], written_seq: 0 },
                None => return Err(Error::new(Code::Integrity, "the audit log of this org is gone")),
            };
            self.heads.insert(org.clone(), head);
        }
        self.heads.get_mut(org).ok_or_else(|| internal("the head was just put there"))
    }

    /// Appends `event` to the caller's org's chain.
    pub fn note(&mut self, event: Event) -> Result<i64> {
        let caller = self.caller().clone();
        let now = self.now();
        let head = self.head(&caller.org)?;
        let (seq, previous) = (head.seq + 1, std::mem::take(&mut head.mac));
        let mut row = AuditRow {
            org: caller.org.clone(),
            seq,
            at: now,
            user: caller.user.0.clone(),
            door: caller.door.as_str().into(),
            client: caller.client.clone(),
            request: caller.request.clone(),
            consumer: if event.consumer.is_empty() { caller.consumer.clone() } else { event.consumer },
            operation: event.operation,
            outcome: event.outcome.as_str().into(),
            code: event.code,
            object_kind: event.object.kind,
            object_id: event.object.id,
            object_name: event.object.name,
            version: event.object.version,
            revision: event.object.revision,
            scope: event.object.scope.map_or(String::new(), |s: Scope| s.as_str().into()),
            owner: event.object.owner,
            reason: event.reason,
            details: serde_json::Value::Object(event.details).to_string(),
            mac: Vec::new(),
        };
        let mac = self.mac()?.audit(&caller.org, &row.canonical(&previous))?;
        row.mac = mac.clone();
        let optional = |n: Option<i64>| n.map_or(Value::Null, Value::Int);
        self.conn().execute(
            "INSERT INTO audit (org_id, seq, at, user_id, door, client, request, consumer, operation, outcome, code, \
             object_kind, object_id, object_name, version, revision, scope, owner, reason, details, mac) VALUES \
             ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14,$15,$16,$17,$18,$19,$20,$21)",
            &[
                Value::Text(row.org.0),
                Value::Int(seq),
                Value::Int(now.0),
                Value::Text(row.user),
                Value::Text(row.door),
                Value::Text(row.client),
                Value::Text(row.request),
                Value::Text(row.consumer),
                Value::Text(row.operation),
                Value::Text(row.outcome),
                Value::Text(row.code),
                Value::Text(row.object_kind),
                Value::Text(row.object_id),
                Value::Text(row.object_name),
                optional(row.version),
                optional(row.revision),
                Value::Text(row.scope),
                Value::Text(row.owner),
                Value::Text(row.reason),
                Value::Text(row.details),
                Value::Blob(row.mac),
            ],
        )
        .map_err(|e| match e.code {
            Code::AlreadyExists => {
                Error::new(Code::Integrity, "an event that unsaid did not write stands at the end of the log")
            }
            _ => e,
        })?;
        let head = self.head(&caller.org)?;
        head.seq = seq;
        head.mac = mac;
        Ok(seq)
    }

    /// Appends `event` and lets `value` out of the transaction. Where the caller gave an idempotency key, `value` is
    /// kept as the answer of every later call with that key.
    pub fn record<T: Serialize>(&mut self, event: Event, value: T) -> Result<Recorded<T>> {
        self.keep_answer(&value)?;
        self.note(event)?;
        Ok(Recorded(value))
    }

    /// Like [`Writer::record`] for a value that is not the caller's answer.
    pub fn record_step<T>(&mut self, event: Event, value: T) -> Result<Recorded<T>> {
        self.note(event)?;
        Ok(Recorded(value))
    }

    /// Seals the heads that moved; the last thing before the commit.
    pub(crate) fn finish(&mut self) -> Result<()> {
        for (org, head) in std::mem::take(&mut self.heads) {
            if head.seq == head.written_seq {
                continue;
            }
            let seal = self.mac()?.audit(&org, &head_bytes(head.seq, &head.mac))?;
            self.conn().execute(
                "INSERT INTO audit_head (org_id, seq, mac, seal) VALUES ($1, $2, $3, $4) ON CONFLICT (org_id) DO UPDATE \
                 SET seq = excluded.seq, mac = excluded.mac, seal = excluded.seal",
                &[Value::Text(org.0.clone()), Value::Int(head.seq), Value::Blob(head.mac.clone()), Value::Blob(seal)],
            )?;
            if head.seq / CHECKPOINT_EVERY != head.written_seq / CHECKPOINT_EVERY {
                let at = self.now();
                let signature =
                    self.mac()?.sign(&org, &Checkpoint::canonical(&org, head.seq, at, &head.mac))?;
                self.conn().execute(
                    "INSERT INTO checkpoint (org_id, seq, at, mac, signature) VALUES ($1, $2, $3, $4, $5)",
                    &[
                        Value::Text(org.0),
                        Value::Int(head.seq),
                        Value::Int(at.0),
                        Value::Blob(head.mac),
                        Value::Blob(signature),
                    ],
                )?;
            }
        }
        Ok(())
    }
}
