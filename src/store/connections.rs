//! Connections and consents under way.
use super::entity::{Entity, entity};
use super::link::Value;
use super::{Reader, Writer};
use crate::clock::Millis;
use crate::error::Result;
use crate::ids::{CredentialId, OrgId, ProviderId, UserId};
use crate::model::Word;
use crate::model::connection::{Connection, ConnectionState, Consent, ConsentState};
use std::collections::HashMap;

entity!(Connection, "connection", 1, org_id, {
    credential_id, org_id, provider_id, state, reason, grant_kind, policy, subject, account, scopes_asked,
    scopes_granted, generation, has_refresh, obtained_at, access_expires_at, refresh_due_at, refresh_expires_at,
    lease_owner, lease_until, intent, failures, last_error, next_try_at, connected_at, connected_by, updated_at
});
entity!(Consent, "consent", 1, org_id, {
    id, org_id, credential_id, provider_id, asked_by, door, client, grant_kind, policy, hash, browser, link, redirect_uri,
    scopes, wrapped_key, key_version, sealed, user_code, verification_uri, interval_ms, state, outcome, created_at,
    expires_at, ended_at
});

fn text(s: &str) -> Value {
    Value::Text(s.into())
}

impl Reader<'_> {
    pub fn connection(&self, org: &OrgId, credential: &CredentialId) -> Result<Option<Connection>> {
        Ok(self.find::<Connection>(&[credential.as_str()])?.filter(|c| c.org_id == *org))
    }

    /// Of these credentials, those that have one. A row that was changed is left out; `get_credential` tells of it.
    pub fn connections_of(&self, org: &OrgId, ids: &[&str]) -> Result<HashMap<String, Connection>> {
        let mut found = HashMap::new();
        for ids in ids.chunks(100) {
            let places: Vec<_> = (2..ids.len() + 2).map(|n| format!("${n}")).collect();
            let mut values = vec![text(org.as_str())];
            values.extend(ids.iter().map(|id| text(id)));
            let rest = format!("WHERE org_id = $1 AND credential_id IN ({})", places.join(","));
            let sql = format!("{} {rest}", Connection::sql().select);
            for c in self.rows_each::<Connection>(&sql, &values)?.into_iter().flatten() {
                found.insert(c.credential_id.0.clone(), c);
            }
        }
        Ok(found)
    }

    pub fn connections_of_provider(&self, org: &OrgId, provider: &ProviderId) -> Result<Vec<Connection>> {
        self.select(
            "WHERE provider_id = $2 AND org_id = $1 ORDER BY credential_id",
            &[text(org.as_str()), text(provider.as_str())],
        )
    }

    /// The providers with connections that the background pass has to do something about, of every org.
    pub fn providers_due(&self, now: Millis) -> Result<Vec<ProviderId>> {
        let sql = "SELECT DISTINCT provider_id FROM connection WHERE refresh_due_at IS NOT NULL AND refresh_due_at <= $1";
        let rows = self.conn().query(sql, &[Value::Int(now.0)])?;
        rows.into_iter().map(|mut row| row.text().map(ProviderId)).collect()
    }

    /// Those of one provider, whichever is longest due first. A row that was changed is left out: it stops no other.
    pub fn connections_due(&self, provider: &ProviderId, now: Millis, limit: i64) -> Result<Vec<Connection>> {
        let sql = format!(
            "{} WHERE provider_id = $1 AND refresh_due_at IS NOT NULL AND refresh_due_at <= $2 \
             ORDER BY refresh_due_at, credential_id LIMIT {limit}",
            Connection::sql().select
        );
        let found = self.rows_each::<Connection>(&sql, &[text(provider.as_str()), Value::Int(now.0)])?;
        Ok(found.into_iter().filter_map(Result::ok).collect())
    }

    /// Consents whose tokens are sealed in their row and were not kept, of every org: those whose time ends before
    /// `before`. A row that was changed is left out.
    pub fn consents_held(&self, before: Millis) -> Result<Vec<Consent>> {
        let sql = format!(
            "{} WHERE state = $1 AND key_version <> 0 AND expires_at < $2 ORDER BY expires_at LIMIT 50",
            Consent::sql().select
        );
        let found =
            self.rows_each::<Consent>(&sql, &[text(ConsentState::Taken.as_str()), Value::Int(before.0)])?;
        Ok(found.into_iter().filter_map(Result::ok).collect())
    }

    /// Whether consents wait to be forgotten.
    pub fn has_old_consents(&self, before: Millis) -> Result<bool> {
        let sql = "SELECT 1 FROM consent WHERE expires_at < $1 LIMIT 1";
        Ok(!self.conn().query(sql, &[Value::Int(before.0)])?.is_empty())
    }

    /// The consent with this hash, of whichever org it is: the state decides.
    pub fn consent_by_hash(&self, hash: &[u8]) -> Result<Option<Consent>> {
        Ok(self.select::<Consent>("WHERE hash = $1", &[Value::Blob(hash.to_vec())])?.pop())
    }

    pub fn consent(&self, org: &OrgId, id: &str) -> Result<Option<Consent>> {
        Ok(self.find::<Consent>(&[id])?.filter(|c| c.org_id == *org))
    }

    /// One credential's consents, newest first.
    pub fn consents_of(&self, org: &OrgId, credential: &CredentialId) -> Result<Vec<Consent>> {
        self.select(
            "WHERE credential_id = $2 AND org_id = $1 ORDER BY created_at DESC, id DESC LIMIT 50",
            &[text(org.as_str()), text(credential.as_str())],
        )
    }
}

impl Writer<'_> {
    /// Removes consents whose time was over before `before`: the log keeps what became of them.
    pub fn forget_consents(&mut self, before: Millis) -> Result<()> {
        self.conn().execute("DELETE FROM consent WHERE expires_at < $1", &[Value::Int(before.0)])?;
        Ok(())
    }

    /// Takes every connection off the list of what is due, and forgets consents under way. For a restored backup.
    pub fn rest_connections(&mut self) -> Result<()> {
        for org in self.orgs()? {
            for mut c in self.select::<Connection>("WHERE org_id = $1", &[text(org.id.as_str())])? {
                if c.state != ConnectionState::Connected {
                    continue;
                }
                c.refresh_due_at = None;
                c.lease_owner.clear();
                // What was begun before the backup, or after it, is not known here.
                c.intent = c.generation;
                self.save(&mut c)?;
            }
        }
        self.conn().execute("DELETE FROM consent", &[])?;
        Ok(())
    }

    /// Removes what is under way for one credential.
    pub fn forget_consents_for(&mut self, org: &OrgId, credential: &CredentialId) -> Result<()> {
        let of = [text(org.as_str()), text(credential.as_str())];
        self.conn().execute("DELETE FROM consent WHERE org_id = $1 AND credential_id = $2", &of)?;
        Ok(())
    }

    /// Removes a person's consents under way.
    pub fn forget_consents_of(&mut self, org: &OrgId, user: &UserId) -> Result<()> {
        let of = [text(org.as_str()), text(user.as_str())];
        self.conn().execute("DELETE FROM consent WHERE org_id = $1 AND asked_by = $2", &of)?;
        Ok(())
    }
}
