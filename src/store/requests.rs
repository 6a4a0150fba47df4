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

/// A person whose name is to stand nowhere.
struct Hidden<'a> {
    user: &'a User,
    instead: &'a str,
}

impl Hidden<'_> {
    fn in_text(&self, text: &str) -> String {
        let in_login = |c: char| c.is_ascii_alphanumeric() || "._-@+".contains(c);
        let text = replaced(text, &self.user.login, self.instead, in_login);
        replaced(&text, &self.user.display_name, self.instead, char::is_alphanumeric)
    }

    /// In every text of a JSON document, and in none of its keys. What is no JSON is a text.
    fn in_json(&self, text: &str) -> String {
        let Ok(mut document) = serde_json::from_str::<serde_json::Value>(text) else {
            return self.in_text(text);
        };
        let before = document.clone();
        self.walk(&mut document);
        if document == before { text.to_owned() } else { document.to_string() }
    }

    fn walk(&self, value: &mut serde_json::Value) {
        match value {
            serde_json::Value::String(text) => *text = self.in_text(text),
            serde_json::Value::Array(all) => all.iter_mut().for_each(|one| self.walk(one)),
            serde_json::Value::Object(map) => map.values_mut().for_each(|one| self.walk(one)),
            _ => {}
        }
    }
}

/// `text` with `instead` for each `word` that stands by itself; the end of a sentence does not belong to it.
fn replaced(text: &str, word: &str, instead: &str, is_part: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut from = 0;
    for (at, _) in text.match_indices(word) {
        let behind = &text[at + word.len()..];
        let mut next = behind.chars();
        let ends = match next.next() {
            Some('.') => next.next().is_none_or(|c| !is_part(c)),
            after => after.is_none_or(|c| !is_part(c)),
        };
        if at >= from && ends && text[..at].chars().next_back().is_none_or(|c| !is_part(c)) {
            out.push_str(&text[from..at]);
            out.push_str(instead);
            from = at + word.len();
        }
    }
    out.push_str(&text[from..]);
    out
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

    /// Removes a person's own requests and kept answers, and puts `instead` where those of others name them.
    /// Returns how many of others' were changed.
    pub fn forget_mentions(&mut self, user: &User, instead: &str) -> Result<i64> {
        let org = user.org_id.clone();
        let hidden = Hidden { user, instead };
        let mut changed = 0;
        for mut a in self.approvals(&org, Millis(0), i64::MAX)? {
            if a.requested_by == user.id {
                self.remove::<Approval>(&[a.id.as_str()])?;
                continue;
            }
            let before = a.clone();
            a.arguments = hidden.in_json(&a.arguments);
            for text in [&mut a.impact, &mut a.reason, &mut a.outcome, &mut a.client] {
                *text = hidden.in_text(text);
            }
            if a != before {
                self.save(&mut a)?;
                changed += 1;
            }
        }
        let kept = "SELECT user_id, operation, key, answer FROM idempotency WHERE org_id = $1";
        let same = "WHERE org_id = $1 AND user_id = $2 AND operation = $3 AND key = $4";
        for mut row in self.conn().query(kept, &[text(org.as_str())])? {
            let (by, operation, key, answer) = (row.text()?, row.text()?, row.text()?, row.text()?);
            let mut key = vec![text(org.as_str()), text(&by), text(&operation), text(&key)];
            let shown = hidden.in_json(&answer);
            if by == user.id.as_str() {
                self.conn().execute(&format!("DELETE FROM idempotency {same}"), &key)?;
            } else if shown != answer {
                key.push(Value::Text(shown));
                self.conn().execute(&format!("UPDATE idempotency SET answer = $5 {same}"), &key)?;
                changed += 1;
            }
        }
        Ok(changed)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::org::Role;

    fn hide(login: &str, display: &str, text: &str) -> String {
        let user = User {
            id: "u".into(),
            org_id: "o".into(),
            login: login.into(),
            display_name: display.into(),
            role: Role::Member,
            created_at: Millis(0),
            disabled_at: None,
            revision: 1,
        };
        Hidden { user: &user, instead: "X" }.in_json(text)
    }

    #[test]
    fn a_name_is_replaced_as_a_word_and_nothing_else_is() {
        for (text, shown) in [
            ("let ada use KEY", "let X use KEY"),
            ("by ada.", "by X."),
            ("ada.lovelace, canada and adas stay", "ada.lovelace, canada and adas stay"),
            ("ada", "X"),
            ("Ada L, not Ada Lovelace", "X, not Ada Lovelace"),
            (r#"{"ada":"ada","user":["ada","a \"Ada L\""]}"#, r#"{"ada":"X","user":["X","a \"X\""]}"#),
            ("{}", "{}"),
            ("", ""),
        ] {
            assert_eq!(hide("ada", "Ada L", text), shown);
        }
        assert_eq!(hide("ada.", "ada.", "ask ada. first"), "ask X first");
        assert_eq!(hide("user", "e", r#"{"user":"somebody else"}"#), r#"{"user":"somebody else"}"#);
    }
}
