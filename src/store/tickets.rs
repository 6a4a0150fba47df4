//! Tokens and entry links: found by the hash of what a visitor shows, never by what they say they are.
use super::Reader;
use super::Writer;
use super::entity::entity;
use super::link::Value;
use crate::clock::Millis;
use crate::error::{Code, Error, Result};
use crate::ids::{EntryId, OrgId, TokenId, UserId};
use crate::model::entry::EntryLink;
use crate::model::token::Token;

entity!(kept Token, "token", 1, org_id, {
    id, org_id, user_id, label, purpose, hash, toolsets, read_only, is_assured, created_at, created_by, expires_at, revoked_at
});
entity!(EntryLink, "entry_link", 1, org_id, {
    id, org_id, asked_by, door, client, purpose, object_id, policy, is_assured, hash, tries, foreign_visits, state, created_at, expires_at, ended_at
});

fn text(s: &str) -> Value {
    Value::Text(s.into())
}

impl Reader<'_> {
    /// The token with this hash, of whichever org it is: the token decides.
    pub fn token_by_hash(&self, hash: &[u8]) -> Result<Option<Token>> {
        Ok(self.select::<Token>("WHERE hash = $1", &[Value::Blob(hash.to_vec())])?.pop())
    }

    pub fn token(&self, org: &OrgId, id: &TokenId) -> Result<Token> {
        self.find::<Token>(&[id.as_str()])?
            .filter(|token| token.org_id == *org)
            .ok_or_else(|| Error::new(Code::TokenNotFound, "there is no such token"))
    }

    /// Newest first; of one user, or of all.
    pub fn tokens(&self, org: &OrgId, user: Option<&UserId>) -> Result<Vec<Token>> {
        match user {
            Some(user) => self.select(
                "WHERE org_id = $1 AND user_id = $2 ORDER BY created_at DESC, id",
                &[text(org.as_str()), text(user.as_str())],
            ),
            None => self.select("WHERE org_id = $1 ORDER BY created_at DESC, id", &[text(org.as_str())]),
        }
    }

    /// The link with this hash, of whichever org it is.
    pub fn entry_by_hash(&self, hash: &[u8]) -> Result<Option<EntryLink>> {
        Ok(self.select::<EntryLink>("WHERE hash = $1", &[Value::Blob(hash.to_vec())])?.pop())
    }

    pub fn entry(&self, org: &OrgId, id: &EntryId) -> Result<Option<EntryLink>> {
        Ok(self.find::<EntryLink>(&[id.as_str()])?.filter(|link| link.org_id == *org))
    }

    /// One person's links since then, newest first.
    pub fn entries_by(&self, org: &OrgId, user: &UserId, since: Millis) -> Result<Vec<EntryLink>> {
        self.select(
            "WHERE org_id = $1 AND asked_by = $2 AND created_at >= $3 ORDER BY created_at DESC, id LIMIT 200",
            &[text(org.as_str()), text(user.as_str()), Value::Int(since.0)],
        )
    }
}

impl Writer<'_> {
    /// Removes links whose time was over before `before`: the log keeps what became of them.
    pub fn forget_entries(&mut self, before: Millis) -> Result<()> {
        self.conn().execute("DELETE FROM entry_link WHERE expires_at < $1", &[Value::Int(before.0)])?;
        Ok(())
    }

    /// Removes a person's tokens and links.
    pub fn forget_tickets(&mut self, org: &OrgId, user: &UserId) -> Result<()> {
        let of = [text(org.as_str()), text(user.as_str())];
        self.conn().execute(
            "DELETE FROM consumer_token WHERE token_id IN (SELECT id FROM token WHERE org_id = $1 AND user_id = $2)",
            &of,
        )?;
        self.conn().execute("DELETE FROM token WHERE org_id = $1 AND user_id = $2", &of)?;
        self.conn().execute("DELETE FROM entry_link WHERE org_id = $1 AND asked_by = $2", &of)?;
        Ok(())
    }
}
