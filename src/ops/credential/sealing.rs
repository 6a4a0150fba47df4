//! Versions of values: sealed, checked, opened, moved and retired.
//!
//! What is opened goes to whoever hands over, and to what seals it again elsewhere.
use crate::clock::Millis;
use crate::error::{Code, Error, Result, invalid};
use crate::ids::VersionId;
use crate::model::access::Caller;
use crate::model::credential::{Credential, CredentialType, FieldSpec, SealedField, Source, Stage, Version};
use crate::model::probe::{EndSource, Ending};
use crate::ops::hygiene::fingerprint;
use crate::secret::SecretBytes;
use crate::services::Catalogue;
use crate::services::probe::inside::ending;
use crate::services::probe::says_where;
use crate::store::Writer;
use crate::vault::{Context, Vault};

/// The longest value of one field, bytes.
pub const MOST_VALUE_BYTES: usize = 64 * 1024;
/// The longest file, bytes.
pub const MOST_FILE_BYTES: usize = 1024 * 1024;
/// How many earlier versions keep their key: the one before, so that there is a way back.
const PREVIOUS_KEPT: usize = 1;

/// Where the data key of a version belongs.
pub fn key_context<'a>(instance: &'a str, c: &'a Credential, v: &'a Version) -> Context<'a> {
    Context {
        instance,
        org: c.org_id.as_str(),
        table: "version",
        record: v.id.as_str(),
        version: v.number as u64,
        field: "key",
        scope: crate::model::Word::as_str(c.scope),
        owner: &c.owner_id,
        policy: [0; 32],
    }
}

/// The name of a field inside its envelope's context.
pub fn field_tag(name: &str) -> String {
    format!("field/{name}")
}

/// What is entered or made for a credential.
#[derive(Clone, Copy)]
pub struct Values<'a> {
    /// Field names and their values; fields not named keep what they have.
    pub fields: &'a [(String, SecretBytes)],
    /// For type file, the name people know it by.
    pub file_name: &'a str,
}

/// Seals values, inside the transaction that records them.
pub struct Sealer<'a> {
    pub vault: &'a Vault,
    pub catalogue: &'a Catalogue,
    /// Who brings them.
    pub caller: &'a Caller,
}

impl Sealer<'_> {
    /// Seals `values` as the next version of `credential` and makes it the current one. Returns its number.
    pub fn keep_current(
        &self,
        tx: &mut Writer<'_>,
        credential: &mut Credential,
        values: Values<'_>,
    ) -> Result<i64> {
        let now = tx.now();
        let mut next = self.seal(tx, credential, values)?;
        // A way back that a rotation needs is kept until it is closed.
        let needed = tx.open_rotation(&credential.org_id, &credential.id)?.and_then(|open| open.old_version);
        // The old current one must leave that stage first: there is one current version at any time.
        let mut previous_seen = 0;
        for mut old in tx.versions(&credential.org_id, &credential.id, 100)? {
            match old.stage {
                Stage::Current => {
                    old.stage = Stage::Previous;
                    previous_seen += 1;
                    tx.save(&mut old)?;
                }
                Stage::Previous if Some(old.number) == needed => {}
                Stage::Previous if previous_seen < PREVIOUS_KEPT => previous_seen += 1,
                // One that is left of a rotation is overtaken.
                Stage::Previous | Stage::Pending => retire(tx, &mut old)?,
                Stage::Retired => {}
            }
        }
        let number = next.insert(tx)?;
        credential.current_version = Some(number);
        credential.value_set_at = Some(now);
        credential.value_set_by = Some(self.caller.user.clone());
        credential.updated_at = now;
        tx.save(credential)?;
        Ok(number)
    }

    /// Seals `values` beside the version in use, which stays it.
    pub fn keep_pending(
        &self,
        tx: &mut Writer<'_>,
        credential: &Credential,
        values: Values<'_>,
    ) -> Result<i64> {
        let mut next = self.seal(tx, credential, values)?;
        next.version.stage = Stage::Pending;
        next.insert(tx)
    }

    /// A secret stays where it was entered for: who says anew where it is sent enters it again, which only a person can who
    /// has it.
    fn expect_same_place(
        &self,
        tx: &Writer<'_>,
        credential: &Credential,
        values: Values<'_>,
        kept: &[(String, SecretBytes)],
    ) -> Result<()> {
        let specs = credential.field_specs();
        let is_secret = |name: &str| specs.iter().any(|spec| spec.name == name && spec.secret);
        if !kept.iter().any(|(name, _)| is_secret(name)) {
            return Ok(());
        }
        let says_where =
            |name: &str| !is_secret(name) && says_where(self.catalogue, &credential.service, name);
        let new: Vec<_> = values.fields.iter().filter(|(name, _)| says_where(name)).collect();
        let Some(current) = tx.current_version(credential)?.filter(|_| !new.is_empty()) else {
            return Ok(());
        };
        let mut old = tx.fields(&current.id)?;
        old.retain(|field| new.iter().any(|(name, _)| *name == field.name));
        let old = open_fields(self.vault, credential, &current, old)?;
        let is_kept =
            |(name, value): &&(String, SecretBytes)| old.iter().any(|(n, v)| n == name && v == value);
        match new.into_iter().find(|entered| !is_kept(entered)) {
            None => Ok(()),
            Some((name, _)) => Err(invalid(format!(
                "{name} says where {} is sent, and its secret fields would stay as they are",
                credential.name
            ))
            .next("Enter its secret fields again with it: nothing was stored.")),
        }
    }

    /// The next version of `credential` with its sealed fields, not stored yet.
    fn seal(&self, tx: &mut Writer<'_>, credential: &Credential, values: Values<'_>) -> Result<Next> {
        let vault = self.vault;
        let specs = credential.field_specs();
        expect_manual(credential)?;
        check_values(credential, &specs, values.fields)?;
        let earlier = tx.versions(&credential.org_id, &credential.id, 1)?;
        let mut version = Version {
            id: VersionId::fresh(),
            org_id: credential.org_id.clone(),
            credential_id: credential.id.clone(),
            number: earlier.first().map_or(0, |v| v.number) + 1,
            stage: Stage::Current,
            wrapped_key: Vec::new(),
            key_version: vault.active_version(&credential.org_id)?,
            file_name: values.file_name.chars().filter(|c| !c.is_control() && *c != '/').take(120).collect(),
            created_at: tx.now(),
            created_by: self.caller.user.clone(),
            destroyed_at: None,
            revision: 0,
        };
        let mut ends = Vec::new();
        let (wrapped, sealed) = {
            let context = key_context(vault.instance(), credential, &version);
            let (key, wrapped) = vault.new_data_key(&context)?;
            let kept = kept_fields(tx, vault, credential, &specs, values.fields)?;
            self.expect_same_place(tx, credential, values, &kept)?;
            let all = || {
                values
                    .fields
                    .iter()
                    .map(|(name, value)| (name.as_str(), value))
                    .chain(kept.iter().map(|(n, v)| (n.as_str(), v)))
            };
            fingerprint::keep(tx, vault, self.catalogue, credential, &version, all())?;
            let mut sealed = Vec::new();
            for (name, value) in all() {
                ends.extend(value.expose(ending));
                let tag = field_tag(name);
                let place = context.field(&tag);
                let bytes = value.expose(|bytes| match credential.kind {
                    CredentialType::File => key.seal_file(&place, bytes),
                    _ => key.seal(&place, bytes),
                })?;
                let is_secret = specs.iter().find(|s| s.name == name).is_none_or(|s| s.secret);
                sealed.push(SealedField { name: name.to_owned(), is_secret, sealed: bytes });
            }
            (wrapped, sealed)
        };
        version.wrapped_key = wrapped;
        Ok(Next { version, sealed, ends })
    }
}

/// A version that was sealed and is not stored yet.
struct Next {
    version: Version,
    sealed: Vec<SealedField>,
    /// When it ends, by what its values say themselves.
    ends: Vec<(Millis, EndSource)>,
}

impl Next {
    /// Stores it. Returns its number.
    fn insert(&mut self, tx: &mut Writer<'_>) -> Result<i64> {
        let version = &mut self.version;
        tx.insert(version)?;
        self.sealed.iter().try_for_each(|field| tx.put_field(&version.id, field))?;
        remember_ending(tx, version, &self.ends)?;
        Ok(version.number)
    }
}

/// Keeps when a version ends by what its values say themselves, if they do: the earliest of them.
fn remember_ending(tx: &mut Writer<'_>, version: &Version, ends: &[(Millis, EndSource)]) -> Result<()> {
    let Some((ends_at, source)) = ends.iter().copied().min_by_key(|(at, _)| *at) else { return Ok(()) };
    tx.keep_ending(Ending {
        credential_id: version.credential_id.clone(),
        number: version.number,
        org_id: version.org_id.clone(),
        ends_at,
        source,
        revision: 0,
    })
}

/// As [`Writer::retire_version`].
pub fn retire(tx: &mut Writer<'_>, version: &mut Version) -> Result<()> {
    tx.retire_version(version)
}

/// Refuses what is no person's to enter: the tokens of a connection are managed.
pub(in crate::ops) fn expect_manual(credential: &Credential) -> Result<()> {
    match credential.source {
        Source::Manual => Ok(()),
        Source::OAuth => {
            Err(invalid(format!("{} is a connection: its value is managed, not entered", credential.name))
                .next(format!(
                    "Call connect_credential, or ask the person to run `{}`.",
                    credential.connect_command()
                )))
        }
    }
}

fn check_values(
    credential: &Credential,
    specs: &[FieldSpec],
    values: &[(String, SecretBytes)],
) -> Result<()> {
    let known = || specs.iter().map(|s| s.name.as_str()).collect::<Vec<_>>().join(", ");
    let mut seen = std::collections::HashSet::new();
    for (name, value) in values {
        if !specs.iter().any(|spec| spec.name == *name) {
            return Err(invalid(format!(
                "{} has no such field; its fields are: {}",
                credential.name,
                known()
            )));
        }
        if !seen.insert(name) {
            return Err(invalid(format!("the field {name} is given twice")));
        }
        if value.size_bytes() == 0 {
            return Err(invalid(format!("the value of {} is empty, nothing was stored", credential.name)));
        }
        let most = match credential.kind {
            CredentialType::File => MOST_FILE_BYTES,
            _ => MOST_VALUE_BYTES,
        };
        if value.size_bytes() > most {
            return Err(Error::new(
                Code::TooLarge,
                format!("the value of {} is larger than {} KiB", credential.name, most / 1024),
            ));
        }
    }
    if credential.current_version.is_none() {
        let missing: Vec<_> = specs
            .iter()
            .filter(|s| !values.iter().any(|(name, _)| *name == s.name))
            .map(|s| s.name.as_str())
            .collect();
        if !missing.is_empty() {
            return Err(invalid(format!("{} still needs: {}", credential.name, missing.join(", "))));
        }
    }
    if values.is_empty() {
        return Err(invalid(format!("there is no value for {}", credential.name)));
    }
    Ok(())
}

/// The fields of the current version that are not replaced, opened to be sealed again.
fn kept_fields(
    tx: &Writer<'_>,
    vault: &Vault,
    credential: &Credential,
    specs: &[FieldSpec],
    values: &[(String, SecretBytes)],
) -> Result<Vec<(String, SecretBytes)>> {
    let wanted =
        |name: &str| specs.iter().any(|s| s.name == name) && !values.iter().any(|(given, _)| given == name);
    if !specs.iter().any(|s| wanted(&s.name)) {
        return Ok(Vec::new());
    }
    let Some(current) = tx.current_version(credential)? else { return Ok(Vec::new()) };
    let fields = tx.fields(&current.id)?;
    open_fields(vault, credential, &current, fields.into_iter().filter(|f| wanted(&f.name)).collect())
}

/// Opens sealed fields. Called by what hands over, and by what seals again elsewhere.
pub fn open_fields(
    vault: &Vault,
    credential: &Credential,
    version: &Version,
    fields: Vec<SealedField>,
) -> Result<Vec<(String, SecretBytes)>> {
    let context = key_context(vault.instance(), credential, version);
    let key = vault.open_data_key(&context, &version.wrapped_key)?;
    fields
        .into_iter()
        .map(|field| {
            let tag = field_tag(&field.name);
            let value = key.open(&context.field(&tag), &field.sealed)?;
            Ok((field.name, value))
        })
        .collect()
}

/// Seals everything of a credential again for the place it moves to: the old place's envelopes do not open there.
pub fn move_versions(tx: &mut Writer<'_>, vault: &Vault, from: &Credential, to: &Credential) -> Result<()> {
    for mut version in tx.versions(&from.org_id, &from.id, 1000)? {
        if version.destroyed_at.is_some() {
            continue;
        }
        let fields = tx.fields(&version.id)?;
        let secrecy: Vec<_> = fields.iter().map(|f| (f.name.clone(), f.is_secret)).collect();
        let opened = open_fields(vault, from, &version, fields)?;
        let (wrapped, sealed) = {
            let context = key_context(vault.instance(), to, &version);
            let (key, wrapped) = vault.new_data_key(&context)?;
            let mut sealed = Vec::new();
            for (name, value) in &opened {
                let tag = field_tag(name);
                let place = context.field(&tag);
                let bytes = value.expose(|bytes| match to.kind {
                    CredentialType::File => key.seal_file(&place, bytes),
                    _ => key.seal(&place, bytes),
                })?;
                let is_secret = secrecy.iter().any(|(n, secret)| n == name && *secret);
                sealed.push(SealedField { name: name.clone(), is_secret, sealed: bytes });
            }
            (wrapped, sealed)
        };
        version.wrapped_key = wrapped;
        version.key_version = vault.active_version(&to.org_id)?;
        tx.save(&mut version)?;
        for field in &sealed {
            tx.put_field(&version.id, field)?;
        }
    }
    Ok(())
}
