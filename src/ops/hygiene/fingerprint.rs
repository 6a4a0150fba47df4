//! Keyed fingerprints of values, and what a value was recognised as: made while it is stored, past every model.
//!
//! Nothing here leaves the vault: a fingerprint is stored under a mask of its own row, is compared in memory, and is in no
//! answer. What few guesses reach has none.
use crate::app::App;
use crate::error::{Code, Error, Result};
use crate::ids::{CredentialId, OrgId};
use crate::model::access::{Caller, Door, access};
use crate::model::credential::{Credential, CredentialType, Source, Version};
use crate::model::event::Event;
use crate::model::hygiene::kept::{Fingerprint, PRIVATE_KEY};
use crate::model::hygiene::strength::{Strength, strength};
use crate::ops::credential::sealing::open_fields;
use crate::ops::people_only;
use crate::secret::SecretBytes;
use crate::services::{Catalogue, Sensitivity};
use crate::store::Writer;
use crate::vault::Vault;

/// 120 bits of a keyed fingerprint.
pub type Print = [u8; 15];

/// How many values one transaction opens to make their fingerprints.
const BATCH: usize = 500;

/// What was judged of a value besides, in the first byte under the mask.
const IS_WEAK: u8 = 1;
const IS_COMPARED: u8 = 2;

/// What a fingerprint tells once its mask is off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unmasked {
    /// A password that few guesses reach.
    pub is_weak: bool,
    /// `None`: not compared with others.
    pub print: Option<Print>,
}

/// Under which kind the fingerprint of a field is made, so that values of one kind are compared; `None` for what is no secret.
pub fn kind_of(kind: CredentialType, field: &str, is_secret: bool) -> Option<&'static str> {
    match kind {
        // A user's name is the same in many places.
        CredentialType::Basic if field == "username" => None,
        CredentialType::OAuth => None,
        CredentialType::File => Some("file"),
        _ if is_secret => Some("text"),
        _ => None,
    }
}

/// The fingerprint of a value; blanks around a text count for nothing.
pub fn of(vault: &Vault, org: &OrgId, kind: &str, bytes: &[u8]) -> Result<Print> {
    let bytes = if kind == "text" { bytes.trim_ascii() } else { bytes };
    let whole = vault.fingerprint(org, kind, bytes)?;
    Ok(std::array::from_fn(|n| whole[n]))
}

/// The mask of one row: no two rows have the same, and the same row always has it under one key.
fn mask(vault: &Vault, f: &Fingerprint) -> Result<[u8; 16]> {
    vault.fingerprint(&f.org_id, "mask", format!("{}/{}", f.version_id, f.field).as_bytes())
}

/// Takes the mask off. `None` where it was made with another key than the active one.
pub fn unmask(vault: &Vault, active: i64, f: &Fingerprint) -> Result<Option<Unmasked>> {
    let Ok(sealed) = <[u8; 16]>::try_from(&f.sealed[..]) else { return Ok(None) };
    if f.key_version != active {
        return Ok(None);
    }
    let mask = mask(vault, f)?;
    let plain: [u8; 16] = std::array::from_fn(|n| sealed[n] ^ mask[n]);
    let print = (plain[0] & IS_COMPARED != 0).then(|| std::array::from_fn(|n| plain[n + 1]));
    Ok(Some(Unmasked { is_weak: plain[0] & IS_WEAK != 0, print }))
}

/// Makes the row of one field; `None` for what is no secret.
fn row(
    vault: &Vault,
    catalogue: &Catalogue,
    c: &Credential,
    v: &Version,
    field: &str,
    value: &SecretBytes,
) -> Result<Option<Fingerprint>> {
    let is_secret = c.field_specs().iter().find(|spec| spec.name == field).is_none_or(|spec| spec.secret);
    let Some(kind) = kind_of(c.kind, field, is_secret) else { return Ok(None) };
    let mut made = Fingerprint {
        version_id: v.id.clone(),
        field: field.to_owned(),
        org_id: c.org_id.clone(),
        credential_id: c.id.clone(),
        version: v.number,
        key_version: vault.active_version(&c.org_id)?,
        sealed: Vec::new(),
        services: String::new(),
        kind: String::new(),
        live: String::new(),
        revision: 0,
    };
    let mask = mask(vault, &made)?;
    value.expose(|bytes| {
        let found = strength(bytes);
        let mut plain = [0u8; 16];
        if found == Strength::Weak && is_password(c, field) {
            plain[0] |= IS_WEAK;
        }
        if found == Strength::Strong {
            plain[0] |= IS_COMPARED;
            plain[1..].copy_from_slice(&of(vault, &c.org_id, kind, bytes)?);
        }
        made.sealed = std::iter::zip(plain, mask).map(|(a, b)| a ^ b).collect();
        if is_private_key(bytes) {
            made.kind = PRIVATE_KEY.to_owned();
        }
        if let Some(seen) =
            std::str::from_utf8(bytes).ok().and_then(|text| catalogue.recognise(text).into_iter().next())
        {
            made.services =
                std::iter::once(seen.service).chain(seen.also_used_by).collect::<Vec<_>>().join(" ");
            made.kind = seen.kind;
            made.live = match seen.sensitivity {
                Some(Sensitivity::Live) => "live".into(),
                Some(Sensitivity::Test) => "test".into(),
                None => String::new(),
            };
        }
        Ok(Some(made))
    })
}

/// Whether a value is a private key: PEM (RFC 7468) and what is written like it, or a file of PuTTY.
fn is_private_key(bytes: &[u8]) -> bool {
    let text = bytes.trim_ascii_start();
    let first = text.split(|b| *b == b'\n').next().unwrap_or_default().trim_ascii_end();
    (first.starts_with(b"-----BEGIN ") && first.ends_with(b"PRIVATE KEY-----"))
        || first.starts_with(b"PuTTY-User-Key-File-")
}

/// Whether a field holds what a person chose.
fn is_password(c: &Credential, field: &str) -> bool {
    let says = |name: &str| {
        let name = name.to_ascii_uppercase();
        ["PASSWORD", "PASSWD", "PASSPHRASE"].iter().any(|word| name.contains(word))
            || name.split('_').any(|part| part == "PASS" || part == "PWD")
    };
    match c.kind {
        CredentialType::Basic => field == "password",
        CredentialType::Custom => says(field),
        CredentialType::ApiKey => says(&c.name),
        CredentialType::OAuth | CredentialType::File => false,
    }
}

/// Keeps what can be told of the values of a version that is being stored. Called in the transaction that seals them.
pub fn keep<'a>(
    tx: &mut Writer<'_>,
    vault: &Vault,
    catalogue: &Catalogue,
    c: &Credential,
    v: &Version,
    values: impl Iterator<Item = (&'a str, &'a SecretBytes)>,
) -> Result<i64> {
    let mut kept = 0;
    for (field, value) in values {
        if let Some(mut print) = row(vault, catalogue, c, v, field, value)? {
            tx.put_fingerprint(&mut print)?;
            kept += 1;
        }
    }
    Ok(kept)
}

/// Makes the fingerprints that the current versions of `credentials` lack: older ones, and all after a new org key.
///
/// Values are opened inside the transaction that records it, as they are when a key is changed, and go nowhere.
pub async fn fill(app: &App, caller: &Caller, credentials: Vec<CredentialId>) -> Result<()> {
    let system = Caller { idempotency: None, approval: None, door: Door::System, ..caller.clone() };
    for batch in credentials.chunks(BATCH) {
        let (batch, keys, catalogue) = (batch.to_vec(), app.keys.clone(), app.catalogue);
        app.store
            .write(&system, move |tx| {
                let vault = keys.vault();
                let (mut kept, mut damaged) = (0, 0);
                let org = tx.caller().org.clone();
                for id in &batch {
                    // As it is now: it may have been replaced or moved since it was read.
                    let Some(c) = tx.find_credential(&org, id)?.filter(|c| !c.is_deleted()) else { continue };
                    let Some(v) = tx.current_version(&c)? else { continue };
                    match tx.fields(&v.id).and_then(|fields| open_fields(&vault, &c, &v, fields)) {
                        Ok(values) => {
                            let values = values.iter().map(|(name, value)| (name.as_str(), value));
                            kept += keep(tx, &vault, catalogue, &c, &v, values)?;
                        }
                        // Whoever uses it hears of it; a report about all others goes on.
                        Err(e) => {
                            tracing::warn!(
                                credential = c.id.as_str(),
                                code = e.code.name(),
                                "a value could not be fingerprinted"
                            );
                            damaged += 1;
                        }
                    }
                }
                let event =
                    Event::of("fingerprint_values").with("credentials", batch.len()).with("rows", kept);
                tx.record_step(event.with("unreadable", damaged), ())
            })
            .await?;
    }
    Ok(())
}

/// How many pairs are compared in one go.
pub const MOST_PAIRS: usize = 100;

/// Of each pair, whether the credential's current value is this text, blanks around it aside. For people who act for themselves,
/// of API keys that they may use; each comparison is in the log. Compared by fingerprints: nothing is opened, and a value that few
/// guesses reach is never told, nor is a canary's.
///
/// Fails with `people_only`, and with `too_large` for more than [`MOST_PAIRS`]. What is not there, or may not be used, is not the same.
pub async fn are_same(
    app: &App,
    caller: &Caller,
    pairs: Vec<(CredentialId, SecretBytes)>,
) -> Result<Vec<bool>> {
    people_only(caller)?;
    if pairs.len() > MOST_PAIRS {
        return Err(Error::new(
            Code::TooLarge,
            format!("more than {MOST_PAIRS} values are not compared at once"),
        ));
    }
    let (asking, vault) = (caller.clone(), app.vault());
    app.store
        .write(caller, move |tx| {
            let who = tx.standing(&asking)?;
            let active = vault.active_version(&asking.org)?;
            let (mut same, mut events) = (Vec::with_capacity(pairs.len()), Vec::new());
            for (id, value) in &pairs {
                let found =
                    tx.find_credential(&asking.org, id)?.filter(|c| !c.is_deleted() && is_plain_key(c));
                let Some(c) = found else {
                    same.push(false);
                    continue;
                };
                let may_use = access(&who, &c, &tx.grants_on(&asking.org, &c.id)?).uses;
                let version = tx.current_version(&c)?.filter(|_| may_use);
                let Some(version) =
                    version.filter(|_| tx.canary(&asking.org, &c.id).is_ok_and(|canary| canary.is_none()))
                else {
                    same.push(false);
                    continue;
                };
                let print = value.expose(|bytes| of(&vault, &asking.org, "text", bytes))?;
                let mut is_same = false;
                for kept in tx.fingerprints_of(&asking.org, version.id.as_str())? {
                    is_same |= unmask(&vault, active, &kept)?.and_then(|seen| seen.print) == Some(print);
                }
                same.push(is_same);
                events.push(Event::of("compare_value").on(&c).with("same", is_same));
            }
            let last = events.pop().unwrap_or_else(|| Event::of("compare_value"));
            for event in events {
                tx.note(event)?;
            }
            tx.record_step(last, same)
        })
        .await
}

/// Whether it is one text that a variable is given as it is.
fn is_plain_key(c: &Credential) -> bool {
    c.kind == CredentialType::ApiKey && c.source == Source::Manual && c.field_specs().len() == 1
}

/// Whether a credential has fields that are fingerprinted at all.
pub fn is_fingerprinted(c: &Credential) -> bool {
    c.source == Source::Manual
        && c.current_version.is_some()
        && c.field_specs().iter().any(|spec| kind_of(c.kind, &spec.name, spec.secret).is_some())
}

/// What `live` stands for in a row.
pub fn liveness(f: &Fingerprint) -> Option<bool> {
    match f.live.as_str() {
        "live" => Some(true),
        "test" => Some(false),
        _ => None,
    }
}
