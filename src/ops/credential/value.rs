//! How a value comes in, past every model: sealed in the transaction that records it.
//!
//! Nothing here gives a value out; `hand_over` alone does.
use super::create::{self, CreateCredential};
use crate::app::App;
use crate::error::{Code, Error, Result, invalid};
use crate::ids::VersionId;
use crate::model::access::Caller;
use crate::model::credential::{Credential, CredentialType, Scope, SealedField, Source, Stage, Version};
use crate::model::event::Event;
use crate::model::suspicion::Kind;
use crate::ops::hygiene::fingerprint;
use crate::ops::reach::{self, Need};
use crate::ops::{entry, refusal, rotation};
use crate::secret::SecretBytes;
use crate::services::Catalogue;
use crate::store::Writer;
use crate::vault::{Context, Vault};
use serde::Serialize;

/// The longest value of one field, bytes.
pub const MOST_VALUE_BYTES: usize = 64 * 1024;
/// The longest file, bytes.
pub const MOST_FILE_BYTES: usize = 1024 * 1024;
/// How many earlier versions keep their key: the one before, so that there is a way back.
const PREVIOUS_KEPT: usize = 1;

/// Which credential a value is for.
#[derive(Clone, Debug)]
pub enum Target {
    /// Id or name.
    Existing(String),
    New(Box<CreateCredential>),
}

/// One value to be entered.
pub struct Entry {
    pub target: Target,
    /// Field names and their values; fields not named keep what they have.
    pub values: Vec<(String, SecretBytes)>,
    /// For type file, the name people know it by.
    pub file_name: String,
}

/// What was stored, without anything of the value.
#[derive(Debug, Serialize)]
pub struct Entered {
    pub id: String,
    pub name: String,
    pub scope: Scope,
    pub created: bool,
    pub version: i64,
    /// Whether an earlier value was replaced.
    pub replaced: bool,
    /// The rotation that it waits in, beside the value that stays in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotation: Option<String>,
    /// Other visible credentials of this name that it comes before.
    pub comes_before: Vec<String>,
}

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

/// Enters one value; see [`enter_many`].
pub async fn enter_value(
    app: &App,
    caller: &Caller,
    target: Target,
    values: Vec<(String, SecretBytes)>,
    file_name: String,
) -> Result<Entered> {
    let mut entered = enter_many(app, caller, vec![Entry { target, values, file_name }]).await?;
    entered.pop().ok_or_else(|| crate::error::internal("one value gives one answer"))
}

/// Enters values, all or none, each as a new version. Creates what is to be created.
///
/// Fails with `invalid_input` where a field is not the credential's, is empty, or is missing; `too_large` beyond the
/// limits; `not_allowed` and `credential_not_found` as for every change.
///
/// A refusal leaves its event, as every change's does.
pub async fn enter_many(app: &App, caller: &Caller, entries: Vec<Entry>) -> Result<Vec<Entered>> {
    enter_with(app, caller, entries, How::default()).await
}

/// How values come in, where it is not one by one.
#[derive(Default)]
pub(in crate::ops) struct How {
    /// The hash of the entry link that is used up by it.
    pub link: Option<Vec<u8>>,
    /// The kind of file they come from, kept in the log.
    pub from: Option<&'static str>,
    /// Told how many are stored, inside the transaction that stores them.
    pub progress: Option<Progress>,
}

/// What is told how far a long entry is.
pub type Progress = Box<dyn Fn(usize) + Send>;

/// As [`enter_many`], told how.
pub(in crate::ops) async fn enter_with(
    app: &App,
    caller: &Caller,
    entries: Vec<Entry>,
    how: How,
) -> Result<Vec<Entered>> {
    let entered = enter_all(app, caller, entries, how).await;
    if let Err(e) = &entered {
        refusal::remember(app, caller, Event::of("enter_value"), e).await;
    }
    entered
}

/// Enters the value of the credential `id` by an entry link, which is used up by it. See [`crate::ops::entry`].
pub(in crate::ops) async fn enter_by_link(
    app: &App,
    caller: &Caller,
    link: Vec<u8>,
    id: String,
    values: Vec<(String, SecretBytes)>,
    file_name: String,
) -> Result<Entered> {
    let entry = Entry { target: Target::Existing(id), values, file_name };
    let how = How { link: Some(link), ..How::default() };
    enter_with(app, caller, vec![entry], how)
        .await?
        .pop()
        .ok_or_else(|| crate::error::internal("one value gives one answer"))
}

async fn enter_all(app: &App, caller: &Caller, entries: Vec<Entry>, how: How) -> Result<Vec<Entered>> {
    let How { link, from, progress } = how;
    for entry in &entries {
        if let Target::New(input) = &entry.target {
            refuse_secrets(app, input)?;
        }
    }
    let (asking, catalogue, keys) = (caller.clone(), app.catalogue, app.keys.clone());
    app.store
        .write(caller, move |tx| {
            // Taken inside: the transaction has followed every key rotation by now.
            let vault = keys.vault();
            let link = link.map(|hash| entry::consume(tx, &asking, &hash)).transpose()?;
            let mut done = Vec::with_capacity(entries.len());
            let mut events = Vec::with_capacity(entries.len());
            for given in entries {
                let (who, mut credential, created) = match &given.target {
                    Target::Existing(wanted) => {
                        let who = tx.standing(&asking)?;
                        let found = reach::credential(tx, &asking, &who, wanted, Need::Manage)?;
                        (who, found.credential, false)
                    }
                    Target::New(input) => {
                        let (who, _, mut credential) = create::prepare(catalogue, tx, &asking, input)?;
                        create::insert(tx, &mut credential)?;
                        (who, credential, true)
                    }
                };
                if let Some(link) = &link {
                    entry::expect_same(link, &entry::value_policy(&credential))?;
                }
                let replaced = credential.current_version.is_some();
                let rotating = rotation::taking_value(tx, &credential)?;
                let version = match &rotating {
                    Some(_) => store_pending(
                        tx,
                        &vault,
                        catalogue,
                        &asking,
                        &credential,
                        &given.values,
                        &given.file_name,
                    )?,
                    None => store_version(
                        tx,
                        &vault,
                        catalogue,
                        &asking,
                        &mut credential,
                        &given.values,
                        &given.file_name,
                    )?,
                };
                let rotating = rotating
                    .map(|open| rotation::stage_value(tx, &asking, &credential, open, version))
                    .transpose()?;
                let others = create::same_name(tx, &asking, &who, &credential)?;
                if created {
                    let mut made = Event::of("create_credential")
                        .on(&credential)
                        .with("type", crate::model::Word::as_str(credential.kind));
                    if let Some(from) = from {
                        made = made.with("imported_from", from);
                    }
                    events.push(made);
                }
                let mut event =
                    Event::of("enter_value").on(&credential).with("replaced", replaced && rotating.is_none());
                if let Some(open) = &rotating {
                    event = event.with("rotation", open.id.0.clone()).with("stage", "pending");
                    event.object.version = Some(version);
                }
                if let Some(from) = from {
                    event = event.with("imported_from", from);
                }
                if let Some(link) = &link {
                    event = event.with("link", link.id.0.clone());
                }
                events.push(event);
                done.push(Entered {
                    id: credential.id.0.clone(),
                    name: credential.name.clone(),
                    scope: credential.scope,
                    created,
                    version,
                    replaced: replaced && rotating.is_none(),
                    rotation: rotating.map(|open| open.id.0),
                    comes_before: match credential.scope {
                        Scope::Personal => create::described(tx, &asking, &others)?,
                        _ => Vec::new(),
                    },
                });
                if let Some(progress) = &progress {
                    progress(done.len());
                }
            }
            let Some(last) = events.pop() else { return Err(invalid("there is nothing to enter")) };
            for event in events {
                tx.note(event)?;
            }
            tx.record_step(last, done)
        })
        .await
}

/// The value goes into the envelope and not into the text beside it, which everybody who sees the credential reads.
fn refuse_secrets(app: &App, input: &CreateCredential) -> Result<()> {
    let texts =
        [("description", &input.description), ("account", &input.account), ("service", &input.service)];
    for (field, text) in texts {
        let seen = text.as_ref().and_then(|text| app.detector.check_text(text, Kind::FreeText));
        if let Some(why) = seen {
            return Err(Error::new(Code::SecretInArgument, format!("{field} looks like a secret ({why})"))
                .detail("field", field));
        }
    }
    Ok(())
}

/// Seals `values` as the next version of `credential` and makes it the current one. Returns its number.
fn store_version(
    tx: &mut Writer<'_>,
    vault: &Vault,
    catalogue: &Catalogue,
    caller: &Caller,
    credential: &mut Credential,
    values: &[(String, SecretBytes)],
    file_name: &str,
) -> Result<i64> {
    let now = tx.now();
    let (mut version, sealed) = seal_next(tx, vault, catalogue, caller, credential, values, file_name)?;
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
    insert(tx, &mut version, &sealed)?;
    credential.current_version = Some(version.number);
    credential.value_set_at = Some(now);
    credential.value_set_by = Some(caller.user.clone());
    credential.updated_at = now;
    tx.save(credential)?;
    Ok(version.number)
}

/// Seals `values` beside the version in use, which stays it.
fn store_pending(
    tx: &mut Writer<'_>,
    vault: &Vault,
    catalogue: &Catalogue,
    caller: &Caller,
    credential: &Credential,
    values: &[(String, SecretBytes)],
    file_name: &str,
) -> Result<i64> {
    let (mut version, sealed) = seal_next(tx, vault, catalogue, caller, credential, values, file_name)?;
    version.stage = Stage::Pending;
    insert(tx, &mut version, &sealed)?;
    Ok(version.number)
}

/// As [`store_pending`], for a value that nobody typed.
pub(in crate::ops) fn store_made(
    tx: &mut Writer<'_>,
    vault: &Vault,
    catalogue: &Catalogue,
    caller: &Caller,
    credential: &Credential,
    values: &[(String, SecretBytes)],
) -> Result<i64> {
    store_pending(tx, vault, catalogue, caller, credential, values, "")
}

fn insert(tx: &mut Writer<'_>, version: &mut Version, sealed: &[SealedField]) -> Result<()> {
    tx.insert(version)?;
    sealed.iter().try_for_each(|field| tx.put_field(&version.id, field))
}

/// The next version of `credential` with its sealed fields, not stored yet.
fn seal_next(
    tx: &mut Writer<'_>,
    vault: &Vault,
    catalogue: &Catalogue,
    caller: &Caller,
    credential: &Credential,
    values: &[(String, SecretBytes)],
    file_name: &str,
) -> Result<(Version, Vec<SealedField>)> {
    let specs = credential.field_specs();
    expect_manual(credential)?;
    check_values(credential, &specs, values)?;
    let earlier = tx.versions(&credential.org_id, &credential.id, 1)?;
    let mut version = Version {
        id: VersionId::fresh(),
        org_id: credential.org_id.clone(),
        credential_id: credential.id.clone(),
        number: earlier.first().map_or(0, |v| v.number) + 1,
        stage: Stage::Current,
        wrapped_key: Vec::new(),
        key_version: vault.active_version(&credential.org_id)?,
        file_name: file_name.chars().filter(|c| !c.is_control() && *c != '/').take(120).collect(),
        created_at: tx.now(),
        created_by: caller.user.clone(),
        destroyed_at: None,
        revision: 0,
    };
    let (wrapped, sealed) = {
        let context = key_context(vault.instance(), credential, &version);
        let (key, wrapped) = vault.new_data_key(&context)?;
        let kept = kept_fields(tx, vault, credential, &specs, values)?;
        let all = || {
            values
                .iter()
                .map(|(name, value)| (name.as_str(), value))
                .chain(kept.iter().map(|(n, v)| (n.as_str(), v)))
        };
        fingerprint::keep(tx, vault, catalogue, credential, &version, all())?;
        let mut sealed = Vec::new();
        for (name, value) in all() {
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
    Ok((version, sealed))
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
    specs: &[crate::model::credential::FieldSpec],
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
    specs: &[crate::model::credential::FieldSpec],
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
