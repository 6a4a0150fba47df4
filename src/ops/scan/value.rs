//! The values that a search is for: what the caller may use, recorded as used, and then opened.
//!
//! The counters of use stay as they are: a search is not what a credential is kept for, and a weekly one would make each
//! look busy. The event is there all the same.
use crate::app::App;
use crate::error::{Code, Error, Result, invalid};
use crate::ids::CredentialId;
use crate::model::access::{Caller, Standing, access};
use crate::model::credential::{Credential, CredentialType, Scope, SealedField, Stage, Version};
use crate::model::event::Event;
use crate::ops::credential::sealing::open_fields;
use crate::ops::reach::{self, Need};
use crate::secret::SecretBytes;
use crate::store::{ListFilter, Reader};

/// At most so many credentials are opened for one search.
const MOST: usize = 5000;
const PAGE: usize = 500;
/// How many versions of a credential are looked at: current, pending and the two before.
const VERSIONS: i64 = 20;

/// Whose a value is.
pub(super) struct Value {
    pub id: CredentialId,
    pub name: String,
    pub scope: Scope,
    pub field: String,
    pub version: i64,
    pub stage: Stage,
}

/// One version with what is sealed of it.
struct Chosen {
    credential: Credential,
    version: Version,
    fields: Vec<SealedField>,
}

/// Opens every secret value of every version that there is, of what the caller may use.
pub(super) async fn open(
    app: &App,
    caller: &Caller,
    only: &[String],
) -> Result<(Vec<Value>, Vec<SecretBytes>)> {
    let (asking, only) = (caller.clone(), only.to_vec());
    let chosen = app
        .store
        .write(caller, move |tx| {
            let who = tx.standing(&asking)?;
            let credentials = match only.is_empty() {
                true => usable(tx, &asking, &who)?,
                false => named(tx, &asking, &who, &only)?,
            };
            let (mut chosen, mut events) = (Vec::new(), Vec::new());
            for c in credentials {
                let before = chosen.len();
                for version in tx.versions(&c.org_id, &c.id, VERSIONS)? {
                    let fields = secret_fields(tx, &c, &version)?;
                    if version.destroyed_at.is_none() && !fields.is_empty() {
                        chosen.push(Chosen { credential: c.clone(), version, fields });
                    }
                }
                if chosen.len() > before {
                    events.push(Event::of("use").on(&c).with("operation", "scan"));
                }
            }
            let Some(last) = events.pop() else {
                return Err(invalid("there is no value that you may use, so nothing to look for"));
            };
            for event in events {
                tx.note(event)?;
            }
            tx.record_step(last, chosen)
        })
        .await?;
    // The log has it: now, and not before, the values are opened.
    let vault = app.vault();
    let (mut values, mut opened) = (Vec::new(), Vec::new());
    for Chosen { credential: c, version, fields } in chosen {
        let fields = open_fields(&vault, &c, &version, fields)
            .map_err(|e| e.detail("table", "field").detail("id", version.id.0.clone()))?;
        for (field, value) in fields {
            values.push(Value {
                id: c.id.clone(),
                name: c.name.clone(),
                scope: c.scope,
                field,
                version: version.number,
                stage: version.stage,
            });
            opened.push(value);
        }
    }
    Ok((values, opened))
}

/// Everything that the caller may use.
fn usable(tx: &Reader<'_>, caller: &Caller, who: &Standing) -> Result<Vec<Credential>> {
    let mut filter = ListFilter { places: reach::places(who), deleted: false, after: None, limit: PAGE };
    let mut found = Vec::new();
    loop {
        let page = tx.list_credentials(&caller.org, &filter)?;
        filter.after = page.last().map(|c| (c.name_key.clone(), c.id.0.clone()));
        let is_last = page.len() < PAGE;
        for c in page {
            if access(who, &c, &tx.grants_on(&caller.org, &c.id)?).uses {
                found.push(c);
            }
        }
        if found.len() > MOST {
            return Err(Error::new(Code::TooLarge, format!("you may use more than {MOST} credentials"))
                .next("Name those that are meant with --only A,B."));
        }
        if is_last {
            return Ok(found);
        }
    }
}

fn named(tx: &Reader<'_>, caller: &Caller, who: &Standing, only: &[String]) -> Result<Vec<Credential>> {
    let mut found: Vec<Credential> = Vec::new();
    for name in only {
        let c = reach::credential(tx, caller, who, name, Need::Use)?.credential;
        if !found.iter().any(|other| other.id == c.id) {
            found.push(c);
        }
    }
    Ok(found)
}

/// What of a version nobody else should have: no user name, no plain field, and no token that is never handed over.
fn secret_fields(tx: &Reader<'_>, c: &Credential, version: &Version) -> Result<Vec<SealedField>> {
    let specs = c.field_specs();
    let is_secret = |name: &str| {
        specs.iter().any(|spec| spec.name == name && spec.secret)
            && !(c.kind == CredentialType::Basic && name == "username")
    };
    let mut fields = tx.fields(&version.id)?;
    fields.retain(|field| is_secret(&field.name));
    Ok(fields)
}
