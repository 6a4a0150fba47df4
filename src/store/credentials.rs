//! Credentials, their versions and sealed fields, providers, and what use leaves behind.
use super::entity::{Entity, entity};
use super::link::Value;
use super::{Reader, Writer};
use crate::clock::Millis;
use crate::error::{Code, Error, Result};
use crate::ids::{CredentialId, OrgId, ProviderId, VersionId};
use crate::model::Word;
use crate::model::credential::{Credential, Scope, SealedField, Stage, Version};
use crate::model::provider::Provider;
use crate::model::text::shown;
use std::collections::HashMap;

entity!(kept Credential, "credential", 1, org_id, {
    id, org_id, name, name_key, kind, source, scope, owner_id, service, account, environment, description, tags, fields,
    provider_id, expires_at, rotation_days, current_version, value_set_at, value_set_by, created_at, created_by,
    updated_at, deleted_at, deleted_by
});
entity!(Version, "version", 1, org_id, {
    id, org_id, credential_id, number, stage, wrapped_key, key_version, file_name, created_at, created_by, destroyed_at
});
entity!(Provider, "provider", 1, org_id, {
    id, org_id, name, service, client_id, client_auth, endpoints, scopes, params, callback_url, grant_kind,
    issuer, sends_iss, resource, is_preset, wrapped_key,
    key_version, sealed_secret, secret_set_at, next_wrapped_key, next_key_version, next_sealed, next_set_at,
    next_refused_at, created_at, created_by, updated_at
});

/// One place of which a caller may see all credentials.
#[derive(Clone, Debug)]
pub enum Place {
    /// One owner's.
    Owned(Scope, String),
    /// Every owner's of this scope.
    All(Scope),
    /// Those granted to these holders (kind, id).
    Granted(Vec<(&'static str, String)>),
}

/// A page of credentials in the stable order name, id.
#[derive(Clone, Debug)]
pub struct ListFilter {
    pub places: Vec<Place>,
    pub deleted: bool,
    /// Name key and id of the last row of the page before.
    pub after: Option<(String, String)>,
    pub limit: usize,
}

/// What use has left behind.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Usage {
    pub uses: i64,
    pub failures: i64,
    pub last_at: Option<Millis>,
    pub last_user: String,
}

/// How many places one statement looks through: SQLite joins at most 500 of them.
const PLACES: usize = 100;

fn text(s: &str) -> Value {
    Value::Text(s.into())
}

impl Reader<'_> {
    /// The credential with this id in this org, deleted or not.
    pub fn find_credential(&self, org: &OrgId, id: &CredentialId) -> Result<Option<Credential>> {
        Ok(self.find::<Credential>(&[id.as_str()])?.filter(|c| c.org_id == *org))
    }

    /// Undeleted credentials of this name in one of these places: what resolution looks at.
    pub fn candidates(&self, org: &OrgId, name_key: &str, places: &[Place]) -> Result<Vec<Credential>> {
        self.named(org, name_key, places, false)
    }

    /// Deleted credentials of this name in one of these places.
    pub fn deleted_candidates(
        &self,
        org: &OrgId,
        name_key: &str,
        places: &[Place],
    ) -> Result<Vec<Credential>> {
        self.named(org, name_key, places, true)
    }

    fn named(&self, org: &OrgId, name_key: &str, places: &[Place], deleted: bool) -> Result<Vec<Credential>> {
        let state = if deleted { "NOT NULL" } else { "NULL" };
        let mut found = Vec::new();
        // Each place by its own index, as many in one statement as a database takes.
        for places in places.chunks(PLACES) {
            let mut all = vec![text(org.as_str()), text(name_key)];
            let mut arms = Vec::new();
            for place in places {
                let (term, mut values) = place_term(place, all.len() + 1);
                arms.push(format!(
                    "{} WHERE org_id = $1 AND name_key = $2 AND {term} AND deleted_at IS {state}",
                    Credential::sql().select
                ));
                all.append(&mut values);
            }
            found.extend(self.rows::<Credential>(&arms.join(" UNION ALL "), &all)?);
        }
        found.sort_by(|a, b| a.id.cmp(&b.id));
        found.dedup_by(|a, b| a.id == b.id);
        Ok(found)
    }

    /// One page. Each place is read by its own index, so the cost does not grow with what the caller cannot see.
    ///
    /// Fails with `integrity_failure` where one of the rows was changed.
    pub fn list_credentials(&self, org: &OrgId, f: &ListFilter) -> Result<Vec<Credential>> {
        self.page(org, f, &mut Err)
    }

    /// As [`Reader::list_credentials`], without the rows that were changed, whose ids go to `damaged`.
    pub fn list_undamaged(
        &self,
        org: &OrgId,
        f: &ListFilter,
        damaged: &mut Vec<String>,
    ) -> Result<Vec<Credential>> {
        self.page(org, f, &mut |e| {
            let id = e.details().iter().find(|(name, _)| *name == "id").map(|(_, id)| id.clone());
            match (e.code, id) {
                (Code::Integrity, Some(id)) => {
                    if !damaged.contains(&id) {
                        damaged.push(id);
                    }
                    Ok(())
                }
                _ => Err(e),
            }
        })
    }

    fn page(
        &self,
        org: &OrgId,
        f: &ListFilter,
        on_damage: &mut dyn FnMut(Error) -> Result<()>,
    ) -> Result<Vec<Credential>> {
        if f.places.is_empty() {
            return Ok(Vec::new());
        }
        let mut all = vec![text(org.as_str())];
        let mut rest = format!("deleted_at IS {}", if f.deleted { "NOT NULL" } else { "NULL" });
        if let Some((name_key, id)) = &f.after {
            rest.push_str(" AND (name_key, id) > ($2, $3)");
            all.extend([text(name_key), text(id)]);
        }
        let mut arms = Vec::new();
        for place in &f.places {
            let (term, mut values) = place_term(place, all.len() + 1);
            arms.push(format!(
                "{} WHERE {} AND {term} AND {rest}",
                Credential::sql().select,
                org_term(place)
            ));
            all.append(&mut values);
        }
        // The indexes give each arm in this order already: the database merges them, and stops at the limit.
        let sql = format!("{} ORDER BY name_key, id", arms.join(" UNION ALL "));
        // What was granted may be in one of the other places too.
        let overlaps = f.places.len() > 1 && f.places.iter().any(|p| matches!(p, Place::Granted(_)));
        let at_once = if overlaps { 2 * f.limit } else { f.limit };
        let (mut good, mut read) = (Vec::<Credential>::new(), 0);
        // A damaged row makes room for the one after it, so that a page is never short without reason.
        loop {
            let rows = self.rows_each::<Credential>(&format!("{sql} LIMIT {at_once} OFFSET {read}"), &all)?;
            let is_last = rows.len() < at_once;
            read += rows.len();
            for row in rows {
                match row {
                    Ok(credential) => good.push(credential),
                    Err(e) => on_damage(e)?,
                }
            }
            good.dedup_by(|a, b| a.id == b.id);
            if is_last || good.len() >= f.limit {
                break;
            }
        }
        good.truncate(f.limit);
        Ok(good)
    }

    /// How many there are in these places, counting no further than `cap`.
    pub fn count_credentials(&self, org: &OrgId, places: &[Place], cap: i64) -> Result<i64> {
        let mut total = 0;
        for place in places {
            let (term, mut values) = place_term(place, 2);
            let mut all = vec![text(org.as_str())];
            all.append(&mut values);
            let sql = format!(
                "SELECT count(*) FROM (SELECT 1 FROM credential WHERE {} AND {term} AND deleted_at IS NULL LIMIT {cap})",
                org_term(place)
            );
            total += self.conn().query(&sql, &all)?.pop().map_or(Ok(0), |mut r| r.int())?;
        }
        Ok(total.min(cap))
    }

    pub fn versions(&self, org: &OrgId, credential: &CredentialId, limit: i64) -> Result<Vec<Version>> {
        let rest = format!("WHERE credential_id = $2 AND org_id = $1 ORDER BY number DESC LIMIT {limit}");
        self.select(&rest, &[text(org.as_str()), text(credential.as_str())])
    }

    pub fn find_version(
        &self,
        org: &OrgId,
        credential: &CredentialId,
        number: i64,
    ) -> Result<Option<Version>> {
        let rest = "WHERE credential_id = $2 AND org_id = $1 AND number = $3";
        Ok(self.select(rest, &[text(org.as_str()), text(credential.as_str()), Value::Int(number)])?.pop())
    }

    /// The version in use; a number without its row is an integrity failure, never an empty value.
    pub fn current_version(&self, c: &Credential) -> Result<Option<Version>> {
        let Some(number) = c.current_version else { return Ok(None) };
        let version = self.find_version(&c.org_id, &c.id, number)?.filter(|v| v.stage == Stage::Current);
        version.map(Some).ok_or_else(|| {
            Error::new(
                Code::Integrity,
                format!("version {number} of {} is not what its credential says", c.name),
            )
        })
    }

    pub fn fields(&self, version: &VersionId) -> Result<Vec<SealedField>> {
        let sql = "SELECT name, is_secret, sealed FROM field WHERE version_id = $1 ORDER BY name";
        let read = |mut r: super::link::Row| {
            Ok(SealedField { name: r.text()?, is_secret: r.int()? != 0, sealed: r.blob()? })
        };
        self.conn().query(sql, &[text(version.as_str())])?.into_iter().map(read).collect()
    }

    pub fn usage(&self, credential: &CredentialId) -> Result<Usage> {
        Ok(self.usage_of(&[credential.as_str()])?.remove(credential.as_str()).unwrap_or_default())
    }

    pub fn usage_of(&self, ids: &[&str]) -> Result<HashMap<String, Usage>> {
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let places: Vec<_> = (1..=ids.len()).map(|n| format!("${n}")).collect();
        let sql = format!(
            "SELECT credential_id, uses, failures, last_at, last_user FROM usage WHERE credential_id IN ({})",
            places.join(",")
        );
        let values: Vec<_> = ids.iter().map(|id| text(id)).collect();
        let mut found = HashMap::new();
        for mut r in self.conn().query(&sql, &values)? {
            let id = r.text()?;
            let usage = Usage {
                uses: r.int()?,
                failures: r.int()?,
                last_at: Some(Millis(r.int()?)),
                last_user: r.text()?,
            };
            found.insert(id, usage);
        }
        Ok(found)
    }

    /// By id or name.
    pub fn provider_named(&self, org: &OrgId, name: &str) -> Result<Provider> {
        self.select::<Provider>(
            "WHERE org_id = $1 AND (name = $2 OR id = $2)",
            &[text(org.as_str()), text(name)],
        )?
        .pop()
        .ok_or_else(|| {
            Error::new(Code::ProviderNotFound, format!("there is no OAuth provider {}", shown(name)))
        })
    }

    pub fn providers(&self, org: &OrgId, after: &str, limit: i64) -> Result<Vec<Provider>> {
        let rest = format!("WHERE org_id = $1 AND name > $2 ORDER BY name LIMIT {limit}");
        self.select(&rest, &[text(org.as_str()), text(after)])
    }

    pub fn credentials_of_provider(&self, org: &OrgId, provider: &ProviderId) -> Result<Vec<Credential>> {
        self.select(
            "WHERE provider_id = $2 AND org_id = $1 AND deleted_at IS NULL ORDER BY name_key, id LIMIT 200",
            &[text(org.as_str()), text(provider.as_str())],
        )
    }
}

impl Writer<'_> {
    pub fn put_field(&mut self, version: &VersionId, field: &SealedField) -> Result<()> {
        self.conn().execute(
            "INSERT INTO field (version_id, name, is_secret, sealed) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (version_id, name) DO UPDATE SET sealed = excluded.sealed, is_secret = excluded.is_secret",
            &[
                text(version.as_str()),
                text(&field.name),
                Value::Int(i64::from(field.is_secret)),
                Value::Blob(field.sealed.clone()),
            ],
        )?;
        Ok(())
    }

    /// Removes the sealed fields of a version whose data key is destroyed, and what was kept about its values.
    pub fn remove_fields(&mut self, version: &VersionId) -> Result<()> {
        self.conn().execute("DELETE FROM field WHERE version_id = $1", &[text(version.as_str())])?;
        self.conn().execute("DELETE FROM fingerprint WHERE version_id = $1", &[text(version.as_str())])?;
        Ok(())
    }

    /// Counts one use.
    pub fn count_use(&mut self, credential: &CredentialId, ok: bool) -> Result<()> {
        let (uses, failures) = if ok { (1, 0) } else { (0, 1) };
        let (now, user) = (self.now().0, self.caller().user.0.clone());
        self.conn().execute(
            "INSERT INTO usage (credential_id, uses, failures, last_at, last_user) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT (credential_id) DO UPDATE SET uses = uses + excluded.uses, \
             failures = failures + excluded.failures, last_at = excluded.last_at, last_user = excluded.last_user",
            &[text(credential.as_str()), Value::Int(uses), Value::Int(failures), Value::Int(now), Value::Text(user)],
        )?;
        Ok(())
    }
}

/// The org of [`place_term`]. What was granted is found by its ids; left bare, the org would be looked up first, and
/// all of its credentials gone through.
fn org_term(place: &Place) -> &'static str {
    match place {
        Place::Granted(_) => "org_id || '' = $1",
        Place::Owned(..) | Place::All(_) => "org_id = $1",
    }
}

fn place_term(place: &Place, first: usize) -> (String, Vec<Value>) {
    match place {
        Place::Owned(scope, owner) => (
            format!("scope = ${first} AND owner_id = ${}", first + 1),
            vec![text(scope.as_str()), text(owner)],
        ),
        Place::All(scope) => (format!("scope = ${first}"), vec![text(scope.as_str())]),
        Place::Granted(holders) => {
            let mut values = Vec::new();
            let mut terms = Vec::new();
            for (kind, id) in holders {
                let n = first + values.len();
                terms.push(format!("(grantee_kind = ${n} AND grantee_id = ${})", n + 1));
                values.extend([text(kind), text(id)]);
            }
            // $1 is the org in every statement that uses this.
            let term = format!(
                "scope <> 'personal' AND id IN (SELECT credential_id FROM access_grant WHERE org_id = $1 AND ({}))",
                terms.join(" OR ")
            );
            (term, values)
        }
    }
}
