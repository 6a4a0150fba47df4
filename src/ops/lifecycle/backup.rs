//! A backup: a consistent image of the database, while others go on writing, encrypted into one new file.
//!
//! The image stays sealed field by field, and the ways into the vault travel with it: what opens the backup file alone
//! opens no value. Nothing is ever written over, and a file that appears under the wanted name is whole.
use super::container::{self, HeadOf, Header, Seal};
use super::source;
use crate::app::{App, slot_row};
use crate::clock::Millis;
use crate::error::{Code, Error, Result, internal};
use crate::ids::BackupId;
use crate::model::access::Caller;
use crate::model::event::Event;
use crate::ops::{people_only, reach};
use crate::store::{BackupRow, Reader};
use crate::vault::SlotKind;
use sha2::{Digest, Sha256};
use std::fs::{File, Permissions};
use std::io::{BufReader, BufWriter, Read, Seek, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// What images in the making are called; one that a kill left behind is removed by the next backup.
const IMAGE: &str = ".image-";

/// A finished backup.
#[derive(Clone, Debug)]
pub struct BackedUp {
    pub id: BackupId,
    pub file: PathBuf,
    pub size_bytes: u64,
    pub created_at: Millis,
    pub sealed_to: String,
    /// How many credentials it holds, of all orgs.
    pub credentials: i64,
    /// What is needed besides, to read values in the restored vault: one of these.
    pub opened_by: Vec<String>,
    pub has_recovery_code: bool,
    /// It lies beside the vault that it is to replace.
    pub is_beside_vault: bool,
}

/// Writes a backup to `file`, which must not exist.
///
/// Fails with `invalid_file` for the path, `passphrase_weak`, `invalid_input` for the recipient, `store_full`; then there
/// is no file.
pub async fn backup(app: &App, caller: &Caller, file: &Path, seal: Seal) -> Result<BackedUp> {
    people_only(caller)?;
    let asking = caller.clone();
    let slots = app
        .store
        .read(move |tx| {
            reach::admin(tx, &asking)?;
            tx.slots()
        })
        .await?;
    match &seal {
        Seal::Passphrase(passphrase) => crate::vault::sources::passphrase::strong_enough(passphrase)?,
        Seal::Recipient(recipient) => container::parse_recipient(recipient).map(drop)?,
    }
    let folder = folder_of(file)?;
    let data = &app.config.places.data;
    sweep(data);
    let id = BackupId::fresh();
    let now = app.now();

    let hidden = tempfile::Builder::new()
        .prefix(IMAGE)
        .permissions(Permissions::from_mode(0o700))
        .tempdir_in(data)
        .map_err(|e| {
            Error::new(Code::StoreReadOnly, "the image cannot be written into the data folder").because(e)
        })?;
    let image = hidden.path().join("image.db");
    app.store.image(&image)?;
    let (rows, heads) = app.store.look_into(&image, |tx| Ok((tx.row_counts()?, heads(tx)?)))?;
    let (image_bytes, image_sha256) = measure(&image)?;
    let header = Header {
        format: Header::format(),
        program: env!("CARGO_PKG_VERSION").into(),
        instance: app.vault().instance().into(),
        schema: app.store.schema()?,
        created_at: now,
        root_version: app.vault().root_version(),
        heads,
        rows,
        image_bytes,
        image_sha256,
    };
    let text =
        serde_json::to_vec(&header).map_err(|e| internal("a backup's header is not JSON").because(e))?;
    let mac = app.vault().backup_mac(&container::canonical(&text));
    let size_bytes = place(file, &folder, |out| {
        let mut image = BufReader::new(File::open(&image)?);
        Ok(container::write(out, &seal, &text, &mac, &mut image))
    })?;

    let seq = header.heads.iter().find(|head| head.org == caller.org.as_str()).map_or(0, |head| head.seq);
    let row = BackupRow { id: id.clone(), at: now, org: caller.org.clone(), seq, sealed_to: seal.name() };
    let sealed_to = row.sealed_to.clone();
    app.store
        .write(caller, move |tx| {
            tx.put_backup(&row)?;
            let event = Event::of("backup").about("backup", row.id.as_str(), "");
            tx.record(event.with("sealed_to", row.sealed_to.clone()).with("seq", row.seq), ())
        })
        .await?;
    let slots: Vec<_> = slots.iter().map(slot_row).collect::<Result<_>>()?;
    Ok(BackedUp {
        id,
        file: file.to_owned(),
        size_bytes,
        created_at: now,
        sealed_to,
        credentials: header.rows.iter().find(|(table, _)| table == "credential").map_or(0, |(_, n)| *n),
        opened_by: slots
            .iter()
            .map(|slot| format!("{} ({})", slot.kind.as_str(), source::place(slot)))
            .collect(),
        has_recovery_code: slots.iter().any(|slot| slot.kind == SlotKind::Recovery),
        is_beside_vault: folder.starts_with(data.canonicalize().unwrap_or_else(|_| data.clone())),
    })
}

/// The ends of all audit chains.
pub(super) fn heads(tx: &Reader<'_>) -> Result<Vec<HeadOf>> {
    let mut found = Vec::new();
    for org in tx.orgs()? {
        if let Some((seq, mac)) = tx.audit_head(&org.id)? {
            found.push(HeadOf { org: org.id.0, seq, mac: data_encoding::HEXLOWER.encode(&mac) });
        }
    }
    Ok(found)
}

fn measure(image: &Path) -> Result<(u64, String)> {
    let failed =
        |e: std::io::Error| Error::new(Code::StoreReadOnly, "the image cannot be read back").because(e);
    let mut file = File::open(image).map_err(failed)?;
    let (mut hash, mut size, mut buffer) = (Sha256::new(), 0u64, vec![0u8; 64 * 1024]);
    loop {
        match file.read(&mut buffer).map_err(failed)? {
            0 => return Ok((size, data_encoding::HEXLOWER.encode(&hash.finalize()))),
            n => {
                hash.update(&buffer[..n]);
                size += n as u64;
            }
        }
    }
}

/// The folder of a file that does not exist.
fn folder_of(file: &Path) -> Result<PathBuf> {
    let folder = match file.parent() {
        Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
        Some(folder) => folder,
        None => return Err(bad_path(file, "has no folder")),
    };
    if file.symlink_metadata().is_ok() {
        return Err(bad_path(file, "exists already, and is not written over"));
    }
    folder.canonicalize().map_err(|e| bad_path(file, "is in a folder that is not there").because(e))
}

fn bad_path(file: &Path, why: &str) -> Error {
    Error::new(Code::InvalidFile, format!("the backup file {} {why}", file.display()))
        .next("Name a new file.")
}

/// Writes beside `file` (0600), brings it to the disk, and only then gives it its name, over nothing.
fn place(
    file: &Path,
    folder: &Path,
    write: impl FnOnce(&mut BufWriter<&File>) -> std::io::Result<Result<()>>,
) -> Result<u64> {
    let failed = |e: std::io::Error| match e.kind() {
        std::io::ErrorKind::StorageFull => {
            Error::new(Code::StoreFull, "the disk is full, there is no backup").because(e)
        }
        _ => bad_path(file, "cannot be written").because(e),
    };
    let mut draft = tempfile::Builder::new().prefix(".unsaid-backup-").tempfile_in(folder).map_err(failed)?;
    let mut out = BufWriter::with_capacity(128 * 1024, draft.as_file());
    write(&mut out).map_err(failed)??;
    out.flush().map_err(failed)?;
    drop(out);
    draft.as_file().sync_all().map_err(failed)?;
    let size = draft.as_file_mut().stream_position().map_err(failed)?;
    draft.persist_noclobber(file).map_err(|e| match e.error.kind() {
        std::io::ErrorKind::AlreadyExists => bad_path(file, "exists already, and is not written over"),
        _ => failed(e.error),
    })?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
    Ok(size)
}

/// Removes images that a kill left behind an hour ago or more. They are as sealed as the database itself.
fn sweep(data: &Path) {
    let Ok(entries) = std::fs::read_dir(data) else { return };
    for entry in entries.flatten() {
        let is_image = entry.file_name().to_string_lossy().starts_with(IMAGE);
        let age = entry.metadata().and_then(|found| found.modified()).ok().and_then(|at| at.elapsed().ok());
        if is_image
            && age.is_some_and(|age| age.as_secs() > 3600)
            && std::fs::remove_dir_all(entry.path()).is_err()
        {
            tracing::warn!("an image that an earlier backup left could not be removed");
        }
    }
}
