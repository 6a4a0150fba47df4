//! Keeping tokens: one transaction, in which the new ones become the current version and the old ones are destroyed.
use crate::clock::Millis;
use crate::error::Result;
use crate::ids::VersionId;
use crate::model::connection::{Connection, ConnectionState, GrantKind, due_after_ms};
use crate::model::credential::{Credential, SealedField, Stage, Version};
use crate::model::provider::Provider;
use crate::oauth::Tokens;
use crate::ops::credential::sealing::{field_tag, key_context, open_fields, retire};
use crate::secret::SecretBytes;
use crate::store::{Reader, Writer};
use crate::vault::Vault;

/// The field that is handed over.
pub const ACCESS: &str = "value";
/// The field that never is.
pub const REFRESH: &str = "refresh_token";
/// How many versions whose tokens are destroyed keep their row.
const HISTORY: usize = 5;

/// Seals `tokens` as the next version of `c`, makes it the current one, and brings `connection` up to date with it.
///
/// A provider that sends no new refresh token means the old one to stay (RFC 6749 §6): it is sealed again. `began_at` is
/// when the request was sent: a token's life is counted from there, so that a slow answer makes it shorter, not longer.
pub(super) fn store(
    tx: &mut Writer<'_>,
    vault: &Vault,
    c: &mut Credential,
    connection: &mut Connection,
    tokens: &Tokens,
    began_at: Millis,
) -> Result<()> {
    let now = tx.now();
    let earlier = tx.versions(&c.org_id, &c.id, 1000)?;
    let kept = match (&tokens.refresh, earlier.iter().find(|v| v.number == connection.generation)) {
        (None, Some(v)) if connection.has_refresh && v.destroyed_at.is_none() => {
            refresh_token(tx, vault, c, v)?
        }
        _ => None,
    };
    let refresh = tokens.refresh.as_ref().or(kept.as_ref());
    let mut version = Version {
        id: VersionId::fresh(),
        org_id: c.org_id.clone(),
        credential_id: c.id.clone(),
        number: earlier.first().map_or(0, |v| v.number) + 1,
        stage: Stage::Current,
        wrapped_key: Vec::new(),
        key_version: vault.active_version(&c.org_id)?,
        file_name: String::new(),
        created_at: now,
        created_by: tx.caller().user.clone(),
        destroyed_at: None,
        revision: 0,
    };
    let mut sealed = Vec::new();
    {
        let place = key_context(vault.instance(), c, &version);
        let (key, wrapped) = vault.new_data_key(&place)?;
        for (name, value) in [(ACCESS, Some(&tokens.access)), (REFRESH, refresh)] {
            let Some(value) = value else { continue };
            let tag = field_tag(name);
            let bytes = value.expose(|bytes| key.seal(&place.field(&tag), bytes))?;
            sealed.push(SealedField { name: name.into(), is_secret: true, sealed: bytes });
        }
        version.wrapped_key = wrapped;
    }
    destroy_versions(tx, earlier, HISTORY)?;
    tx.insert(&mut version)?;
    for field in &sealed {
        tx.put_field(&version.id, field)?;
    }
    c.current_version = Some(version.number);
    c.value_set_at = Some(now);
    c.value_set_by = Some(connection.connected_by.clone());
    c.updated_at = now;
    tx.save(c)?;

    connection.state = ConnectionState::Connected;
    connection.reason.clear();
    connection.generation = version.number;
    connection.has_refresh = refresh.is_some();
    connection.obtained_at = began_at;
    connection.access_expires_at = tokens.expires_in_s.map(|s| began_at.plus_ms(s.saturating_mul(1000)));
    connection.refresh_expires_at = tokens
        .refresh_expires_in_s
        .map(|s| began_at.plus_ms(s.saturating_mul(1000)))
        .or(connection.refresh_expires_at.filter(|_| tokens.refresh.is_none()));
    let renews = connection.has_refresh || connection.grant_kind == GrantKind::ClientCredentials;
    connection.refresh_due_at = tokens
        .expires_in_s
        .filter(|_| renews)
        .map(|s| began_at.plus_ms(due_after_ms(s.saturating_mul(1000), super::dice())));
    if let Some(scopes) = &tokens.scopes {
        connection.scopes_granted.clone_from(scopes);
    }
    connection.lease_owner.clear();
    connection.lease_until = Millis(0);
    connection.intent = 0;
    connection.failures = 0;
    connection.last_error.clear();
    connection.next_try_at = None;
    connection.updated_at = now;
    match connection.revision {
        0 => tx.insert(connection),
        _ => tx.save(connection),
    }
}

/// Keeps a new refresh token that came without an access token: the old access token stays beside it, as long as it lives.
pub(super) fn store_half(
    tx: &mut Writer<'_>,
    vault: &Vault,
    c: &mut Credential,
    connection: &mut Connection,
    refresh: &SecretBytes,
) -> Result<()> {
    let before = connection.clone();
    let version = tx.find_version(&c.org_id, &c.id, connection.generation)?;
    let access = match version.filter(|v| v.destroyed_at.is_none()) {
        Some(version) => field(tx, vault, c, &version, ACCESS)?,
        None => None,
    };
    let Some(access) = access else {
        return Err(crate::error::internal("a connection has no access token beside its refresh token"));
    };
    let tokens = Tokens {
        access,
        refresh: Some(SecretBytes::copied(&refresh.expose(<[u8]>::to_vec))),
        expires_in_s: None,
        refresh_expires_in_s: None,
        scopes: None,
    };
    store(tx, vault, c, connection, &tokens, before.obtained_at)?;
    connection.access_expires_at = before.access_expires_at;
    connection.failures = before.failures;
    tx.save(connection)
}

/// The sealed refresh token of a version, opened.
pub(super) fn refresh_token(
    tx: &Reader<'_>,
    vault: &Vault,
    c: &Credential,
    v: &Version,
) -> Result<Option<SecretBytes>> {
    field(tx, vault, c, v, REFRESH)
}

/// One field of a version, opened.
pub(super) fn field(
    tx: &Reader<'_>,
    vault: &Vault,
    c: &Credential,
    v: &Version,
    name: &str,
) -> Result<Option<SecretBytes>> {
    let fields: Vec<_> = tx.fields(&v.id)?.into_iter().filter(|f| f.name == name).collect();
    Ok(open_fields(vault, c, v, fields)?.pop().map(|(_, value)| value))
}

/// Destroys the keys of these versions; of the oldest, the rows too.
fn destroy_versions(tx: &mut Writer<'_>, versions: Vec<Version>, keep: usize) -> Result<()> {
    for (n, mut version) in versions.into_iter().enumerate() {
        if version.destroyed_at.is_none() {
            retire(tx, &mut version)?;
        }
        if n >= keep {
            tx.remove::<Version>(&[version.id.as_str()])?;
        }
    }
    Ok(())
}

/// Destroys every token of `c`, which then has no value. The connection's row stays, for the caller to change.
pub(super) fn destroy_tokens(tx: &mut Writer<'_>, c: &mut Credential) -> Result<()> {
    let versions = tx.versions(&c.org_id, &c.id, 1000)?;
    destroy_versions(tx, versions, HISTORY)?;
    drop_value(tx, c)
}

/// Takes the access token out of use; what is sealed stays.
pub(super) fn drop_value(tx: &mut Writer<'_>, c: &mut Credential) -> Result<()> {
    for mut version in tx.versions(&c.org_id, &c.id, 20)? {
        if version.stage == Stage::Current {
            version.stage = Stage::Previous;
            tx.save(&mut version)?;
        }
    }
    c.current_version = None;
    c.updated_at = tx.now();
    tx.save(c)
}

/// Detaches every connection of a provider whose client or addresses changed: their tokens are destroyed and have to be
/// got again, from where the provider says now. Returns how many there were (O-02).
pub fn forget_all(tx: &mut Writer<'_>, p: &Provider) -> Result<usize> {
    let mut detached = 0;
    for mut connection in tx.connections_of_provider(&p.org_id, &p.id)? {
        let Some(mut c) = tx.find_credential(&p.org_id, &connection.credential_id)? else { continue };
        destroy_tokens(tx, &mut c)?;
        tx.forget_consents_for(&c.org_id, &c.id)?;
        connection.state = ConnectionState::Broken;
        connection.reason =
            crate::model::Word::as_str(crate::model::status::StatusReason::ReauthRequired).into();
        connection.last_error = "the provider's client or addresses were changed".into();
        connection.has_refresh = false;
        connection.refresh_due_at = None;
        connection.lease_owner.clear();
        connection.intent = 0;
        connection.updated_at = tx.now();
        tx.save(&mut connection)?;
        detached += 1;
    }
    Ok(detached)
}
