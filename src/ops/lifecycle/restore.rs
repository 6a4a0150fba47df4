//! Brings a backup back, to a new place only, and only after everything in it was verified.
//!
//! The work is done in a hidden folder beside the wanted one, which gets its name at the end: whatever fails or is killed
//! before leaves nothing under that name. The vault keeps its id: it is the same vault at an earlier time, so two of them
//! should not be used side by side.
use super::backup::heads;
use super::container::{self, Header, Opening};
use super::keys::SlotView;
use super::recover;
use super::source::KeySource;
use super::tables::{every_remade_table, every_table};
use crate::app::{App, Prompt};
use crate::clock::{Clock, Millis};
use crate::config::{Config, File as ConfigFile, Identity, Origin, Places};
use crate::error::{Code, Error, Result};
use crate::ids::OrgId;
use crate::model::access::{Caller, Door};
use crate::model::credential::{Credential, Version};
use crate::model::event::Event;
use crate::ops::credential::sealing::open_fields;
use crate::secret::Secret;
use crate::store::entity::Entity;
use crate::store::{Reader, make_folder};
use std::fs::{File, OpenOptions, Permissions};
use std::io::{BufReader, BufWriter, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use subtle::ConstantTimeEq;

/// Values of about so many versions are opened, spread over all of them.
const SAMPLE: usize = 500;

/// What is to be restored, and how.
pub struct Restore<'a> {
    pub file: &'a Path,
    /// The new home: the folders `data`, `config` and `keys` are made in it.
    pub to: &'a Path,
    pub opening: &'a Opening,
    pub unlock: Unlock<'a>,
    /// The configuration of this machine: its key command and identity are taken over where they fit.
    pub mine: &'a Config,
    /// The login of the person at the machine.
    pub login: &'a str,
}

/// How the vault in the backup is opened.
pub enum Unlock<'a> {
    /// By a way in that travelled with it, such as a key file that is still where it was.
    Slots,
    /// By its recovery code, which adds a new way in at the new place.
    RecoveryCode(&'a Secret, KeySource),
}

/// What was restored and verified.
#[derive(Clone, Debug)]
pub struct Restored {
    pub home: PathBuf,
    pub instance: String,
    pub created_at: Millis,
    /// Who the new configuration acts as.
    pub login: String,
    /// The way in that the recovery code added.
    pub slot: Option<SlotView>,
    pub verified: Verified,
}

/// What was looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Verified {
    pub orgs: usize,
    pub events: i64,
    pub rows: usize,
    pub credentials: usize,
    /// Versions whose values were opened, and thrown away.
    pub opened: usize,
}

/// Restores; on any failure there is nothing at the new place.
///
/// Fails with `invalid_file` for a file that is damaged or none of ours, `invalid_input` where the passphrase, identity or
/// code is wrong, `already_exists` where the new place is not empty, `store_newer`, `integrity_failure` where the vault in
/// it does not verify, and as unlocking does.
pub async fn restore(request: Restore<'_>, clock: Arc<dyn Clock>, prompt: Prompt) -> Result<Restored> {
    let home = std::path::absolute(request.to)
        .map_err(|e| bad_place(request.to, "has no absolute path").because(e))?;
    let parent = home.parent().ok_or_else(|| bad_place(&home, "has no folder above it"))?;
    expect_free(&home)?;
    let draft = tempfile::Builder::new()
        .prefix(".unsaid-restore-")
        .permissions(Permissions::from_mode(0o700))
        .tempdir_in(parent)
        .map_err(|e| bad_place(&home, "cannot be made").because(e))?;
    let places = places(draft.path());
    make_folder(&places.data)?;
    let input = File::open(request.file).map_err(|e| {
        Error::new(Code::InvalidFile, format!("{} cannot be read", request.file.display())).because(e)
    })?;
    let (header, text, mac) = unpack(input, request.opening, &places.database())?;

    let settings = |places: Places| Config {
        places,
        file: ConfigFile {
            key: request.mine.file.key.clone(),
            identity: request.mine.file.identity.clone(),
            ..ConfigFile::default()
        },
    };
    let app = open(settings(places), clock.clone(), &request.unlock, prompt)?;
    let verified = verify(&app, &header, &text, &mac).await?;
    drop(app);

    let draft = draft.keep();
    if let Err(e) = std::fs::rename(&draft, &home) {
        remove(&draft);
        return Err(bad_place(&home, "cannot be made").because(e));
    }
    match settle(settings(self::places(&home)), clock, &request, &header, prompt).await {
        Ok((login, slot)) => Ok(Restored {
            home,
            instance: header.instance,
            created_at: header.created_at,
            login,
            slot,
            verified,
        }),
        Err(e) => {
            remove(&home);
            Err(e)
        }
    }
}

fn remove(folder: &Path) {
    if std::fs::remove_dir_all(folder).is_err() {
        tracing::warn!("the folder of a restore that failed could not be removed");
    }
}

fn places(home: &Path) -> Places {
    Places {
        data: home.join("data"),
        config: home.join("config"),
        keys: home.join("keys"),
        origin: Origin::Flag,
    }
}

fn bad_place(home: &Path, why: &str) -> Error {
    Error::new(Code::InvalidFile, format!("the place {} {why}", home.display()))
        .next("Name a new folder, in a folder that exists.")
}

fn expect_free(home: &Path) -> Result<()> {
    match std::fs::read_dir(home) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(Error::new(Code::AlreadyExists, format!("{} is not empty", home.display()))
                .next("A backup is restored to a new folder only: name another one.")),
        },
        Err(e) => Err(bad_place(home, "is no folder that can be used").because(e)),
    }
}

fn unpack(input: File, opening: &Opening, to: &Path) -> Result<(Header, Vec<u8>, [u8; 32])> {
    let failed =
        |e: std::io::Error| Error::new(Code::StoreReadOnly, "the image cannot be written").because(e);
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to).map_err(failed)?;
    let mut out = BufWriter::with_capacity(128 * 1024, &file);
    let read = container::read(BufReader::new(input), opening, &mut out)?;
    out.flush().map_err(failed)?;
    drop(out);
    file.sync_all().map_err(failed)?;
    Ok(read)
}

fn open(config: Config, clock: Arc<dyn Clock>, unlock: &Unlock<'_>, prompt: Prompt) -> Result<App> {
    match unlock {
        Unlock::RecoveryCode(code, _) => recover::open(config, clock, code),
        Unlock::Slots => App::open_with(config, clock, prompt).map_err(|e| match e.code {
            Code::KeyNotFound | Code::VaultLocked | Code::KeyInsecure => {
                Error::new(e.code, e.message().to_owned())
                    .next("Put the key of the vault back where it was, or restore with `--recovery-code`.")
            }
            _ => e,
        }),
    }
}

/// Everything that can be verified without comparing with the vault that was backed up.
async fn verify(app: &App, header: &Header, text: &[u8], mac: &[u8; 32]) -> Result<Verified> {
    let wrong = |what: &'static str| {
        Error::new(Code::Integrity, what).next("Restore an older backup. Nothing was written.")
    };
    let vault = app.vault();
    let found = vault.backup_mac(&container::canonical(text));
    if vault.instance() != header.instance
        || vault.root_version() != header.root_version
        || !bool::from(found.ct_eq(mac))
    {
        return Err(wrong("the backup was not written by the vault it holds"));
    }
    if app.store.integrity(true)? != "ok" {
        return Err(wrong("the database in the backup is damaged"));
    }
    let header = header.clone();
    app.store
        .read(move |tx| {
            let counted = tx.row_counts()?;
            if header.rows.iter().any(|(table, n)| counted.iter().any(|(t, m)| t == table && m != n)) {
                return Err(wrong("a table in the backup has another number of rows than its header says"));
            }
            if heads(tx)? != header.heads {
                return Err(wrong("the audit chain in the backup ends elsewhere than its header says"));
            }
            let mut seen = Verified::default();
            for org in tx.orgs()? {
                seen.orgs += 1;
                let chain = tx.verify_audit(&org.id, None)?;
                seen.events += chain.good;
                if let Some((seq, why)) = chain.first_bad {
                    return Err(Error::new(Code::Integrity, format!("event {seq} of the backup: {why}")));
                }
                every_row(tx, &org.id, &mut seen.rows)?;
                let step = (tx.count::<Version>(&org.id)? / SAMPLE).max(1);
                let mut picked = Vec::new();
                let mut n = 0usize;
                tx.walk::<Version>(&org.id, |found| {
                    if n.is_multiple_of(step) && !found.row.wrapped_key.is_empty() {
                        picked.push(found.row);
                    }
                    n += 1;
                    Ok(())
                })?;
                for version in picked {
                    let credential = tx.find_credential(&org.id, &version.credential_id)?;
                    let credential =
                        credential.ok_or_else(|| wrong("a version in the backup has no credential"))?;
                    open_fields(&vault, &credential, &version, tx.fields(&version.id)?)?;
                    seen.opened += 1;
                }
                seen.credentials += tx.count::<Credential>(&org.id)?;
            }
            Ok(seen)
        })
        .await
}

/// The MAC of every row that has one.
pub(super) fn every_row(tx: &Reader<'_>, org: &OrgId, rows: &mut usize) -> Result<()> {
    macro_rules! each {
        ($($table:ty),* $(,)?) => { $( sound::<$table>(tx, org, rows)?; )* };
    }
    every_table!(each);
    every_remade_table!(each);
    Ok(())
}

fn sound<T: Entity>(tx: &Reader<'_>, org: &OrgId, rows: &mut usize) -> Result<()> {
    tx.walk::<T>(org, |found| {
        *rows += 1;
        match found.is_sound {
            true => Ok(()),
            false => {
                let id = match found.row.to_values().into_iter().next() {
                    Some(crate::store::Value::Text(id)) => id,
                    _ => String::new(),
                };
                Err(Error::new(Code::Integrity, format!("the {} {id} was changed outside unsaid", T::TABLE)))
            }
        }
    })
}

/// At the new place: the new way in, the configuration, the event.
async fn settle(
    config: Config,
    clock: Arc<dyn Clock>,
    request: &Restore<'_>,
    header: &Header,
    prompt: Prompt,
) -> Result<(String, Option<SlotView>)> {
    let (mut app, slot) = match &request.unlock {
        Unlock::Slots => (open(config, clock, &request.unlock, prompt)?, None),
        Unlock::RecoveryCode(code, source) => {
            let (app, done) = recover::recover(config, clock, code, source, request.login, prompt).await?;
            (app, Some(done.slot))
        }
    };
    let (identity, login) = (app.config.file.identity.clone(), request.login.to_owned());
    let admin = app.store.read(move |tx| recover::local_admin(tx, &identity, &login)).await?;
    let caller = Caller::new(admin.org_id.clone(), admin.id.clone(), Door::Cli);
    let (instance, made) = (header.instance.clone(), header.created_at);
    app.store
        .write(&caller, move |tx| {
            tx.forget_answers()?;
            // One that was revoked after the backup was made would be good again.
            for org in tx.orgs()? {
                for mut token in tx.tokens(&org.id, None)? {
                    if token.revoked_at.is_none() {
                        token.revoked_at = Some(tx.now());
                        tx.save(&mut token)?;
                    }
                }
            }
            // The service may have replaced these tokens since: whoever uses one finds out, and nothing does by itself (P-11).
            tx.rest_connections()?;
            tx.bump_key_epoch()?;
            tx.record(
                Event::of("restore_backup").about("vault", &instance, "").with("made_at", made.to_string()),
                (),
            )
        })
        .await?;
    app.config.file.identity = Identity { org: admin.org_id.0.clone(), user: admin.id.0.clone() };
    app.config.save()?;
    Ok((admin.login, slot))
}
