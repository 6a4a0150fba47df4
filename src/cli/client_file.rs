//! The configuration file of an MCP client on the disk: read, replaced as a whole, put back, and its backups wiped.
//!
//! A backup holds the values that left the file, in plain text: it is 0600 and stays until `forget`. No link is
//! followed, and nothing is written over a file that somebody changed since it was read.
use std::fs::{File, OpenOptions, Permissions};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::clock::Millis;
use crate::error::{Code, Error, Result, internal};
use crate::secret::SecretBytes;
use crate::wrap::MAX_FILE_BYTES;

const MARK: &str = ".unsaid-backup-";
const PART: &str = "part-";

/// A file as it was when it was read.
#[derive(Debug)]
pub struct ClientFile {
    path: PathBuf,
    bytes: SecretBytes,
    /// Permission bits, and the group.
    mode: u32,
    group: u32,
    /// Device and inode.
    identity: (u64, u64),
}

impl ClientFile {
    /// Reads `path`.
    ///
    /// Fails with `invalid_file` when it is a link (the message names its target), no regular file, has a second name
    /// (which would keep the plaintext) or belongs to somebody else; with `too_large` above 8 MiB.
    pub fn read(path: &Path) -> Result<Self> {
        let (bytes, found) = read(path)?;
        Ok(Self {
            path: path.to_owned(),
            bytes,
            mode: found.mode() & 0o7777,
            group: found.gid(),
            identity: (found.dev(), found.ino()),
        })
    }

    pub fn bytes(&self) -> &SecretBytes {
        &self.bytes
    }

    /// Writes `new` in its place, in one step, with the same permissions; what stood there becomes a backup beside it,
    /// named after `now`, whose path is returned.
    ///
    /// Fails with `changed_meanwhile` when the file is no longer what was read. Whatever fails, the file is either the
    /// old one or the new one, and a backup that was not needed is removed.
    pub fn replace(&self, new: &SecretBytes, now: Millis) -> Result<PathBuf> {
        let folder = self.folder();
        self.unchanged()?;
        let backup = self.write_backup(now)?;
        let done = self.put(new, &folder).and_then(|()| sync_folder(&folder));
        match done {
            Ok(()) => Ok(backup),
            Err(error) => {
                // The file still holds what the backup does, or else the backup is all there is.
                if self.unchanged().is_ok() {
                    forget(&backup)?;
                }
                Err(error)
            }
        }
    }

    fn folder(&self) -> PathBuf {
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        folder.unwrap_or(Path::new(".")).to_owned()
    }

    /// How a file is called that is written and not in its place yet: as a backup is, so that one which a crash left is
    /// found and wiped like one.
    fn part(&self) -> String {
        let name = self.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        format!("{name}{MARK}{PART}")
    }

    fn put(&self, new: &SecretBytes, folder: &Path) -> Result<()> {
        let failed = |e: std::io::Error| unwritable(&self.path, e);
        let mut file = tempfile::Builder::new().prefix(&self.part()).tempfile_in(folder).map_err(failed)?;
        new.expose(|bytes| file.write_all(bytes)).map_err(failed)?;
        // Only a group that this person is in can be kept; otherwise the file has their own.
        let _ = std::os::unix::fs::fchown(file.as_file(), None, Some(self.group));
        file.as_file().set_permissions(Permissions::from_mode(self.mode)).map_err(failed)?;
        file.as_file().sync_all().map_err(failed)?;
        self.unchanged()?;
        file.persist(&self.path).map_err(|e| failed(e.error))?;
        Ok(())
    }

    fn unchanged(&self) -> Result<()> {
        let (bytes, found) = read(&self.path)?;
        match bytes == self.bytes && (found.dev(), found.ino()) == self.identity {
            true => Ok(()),
            false => {
                Err(Error::new(Code::Changed, format!("{} changed since it was read", self.path.display()))
                    .next("Close the client, then try again. Nothing was changed."))
            }
        }
    }

    fn write_backup(&self, now: Millis) -> Result<PathBuf> {
        let stamp = jiff::Timestamp::from_millisecond(now.0)
            .map_err(|_| internal("the clock shows no time that can be written"))?
            .strftime("%Y%m%dT%H%M%SZ")
            .to_string();
        for again in 0..100 {
            let mut path = self.path.clone().into_os_string();
            path.push(match again {
                0 => format!("{MARK}{stamp}"),
                again => format!("{MARK}{stamp}-{again:02}"),
            });
            let path = PathBuf::from(path);
            let failed = |e: std::io::Error| unwritable(&path, e);
            let mut file = match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => continue,
                opened => opened.map_err(failed)?,
            };
            let written = self.bytes.expose(|bytes| file.write_all(bytes)).and_then(|()| file.sync_all());
            if let Err(e) = written {
                forget(&path)?;
                return Err(failed(e));
            }
            sync_folder(&self.folder())?;
            return Ok(path);
        }
        Err(Error::new(
            Code::AlreadyExists,
            format!("{} has a hundred backups of this second", self.path.display()),
        ))
    }
}

/// Puts `backup` back as `path`, byte for byte. What stood there becomes a backup in its turn, whose path is returned.
///
/// Fails as [`ClientFile::read`] and [`ClientFile::replace`] do.
pub fn undo(path: &Path, backup: &Path, now: Millis) -> Result<PathBuf> {
    checked_name(backup)?;
    let (old, _) = read(backup)?;
    ClientFile::read(path)?.replace(&old, now)
}

/// The backups of `path`, the oldest first.
pub fn backups(path: &Path) -> Result<Vec<PathBuf>> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return Ok(Vec::new()) };
    let start = format!("{name}{MARK}");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|e| unreadable(folder, e))? {
        let entry = entry.map_err(|e| unreadable(folder, e))?;
        if entry.file_name().to_str().is_some_and(|name| name.starts_with(&start)) {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

/// The one that was made last, of those that are whole.
pub fn newest(path: &Path) -> Result<Option<PathBuf>> {
    let part = format!("{MARK}{PART}");
    let is_whole = |backup: &PathBuf| !backup.to_string_lossy().contains(&part);
    Ok(backups(path)?.into_iter().rfind(is_whole))
}

/// Writes over a backup and removes it. A disk that moves what it writes, and a snapshot, may still have a copy.
///
/// Fails with `invalid_file` when the name is none of a backup, or it is a link or has a second name.
pub fn forget(backup: &Path) -> Result<()> {
    checked_name(backup)?;
    let failed = |e: std::io::Error| unwritable(backup, e);
    let mut file = open(backup, true)?;
    let mut left = regular(backup, &file)?.len();
    file.rewind().map_err(failed)?;
    let zeros = [0u8; 8192];
    while left > 0 {
        let part = left.min(zeros.len() as u64) as usize;
        file.write_all(&zeros[..part]).map_err(failed)?;
        left -= part as u64;
    }
    file.sync_all().map_err(failed)?;
    std::fs::remove_file(backup).map_err(failed)?;
    let folder = backup.parent().filter(|folder| !folder.as_os_str().is_empty());
    sync_folder(folder.unwrap_or(Path::new(".")))
}

fn checked_name(backup: &Path) -> Result<()> {
    let name = backup.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    match name.contains(MARK) {
        true => Ok(()),
        false => Err(broken(backup, "it is no backup that unsaid made")),
    }
}

fn read(path: &Path) -> Result<(SecretBytes, std::fs::Metadata)> {
    let mut file = open(path, false)?;
    let found = regular(path, &file)?;
    let limit = MAX_FILE_BYTES as u64;
    if found.len() > limit {
        return Err(Error::new(Code::TooLarge, format!("{} is larger than 8 MiB", path.display()))
            .next("Check that this is the configuration file of an MCP client."));
    }
    let mut bytes = Vec::with_capacity(found.len() as usize + 1);
    (&mut file).take(limit + 1).read_to_end(&mut bytes).map_err(|e| unreadable(path, e))?;
    Ok((SecretBytes::new(bytes), found))
}

fn open(path: &Path, to_write: bool) -> Result<File> {
    if let Ok(target) = std::fs::read_link(path) {
        let why = format!("it is a link to {}", target.display());
        return Err(broken(path, &why).next("Name the file itself, if that is the one you mean."));
    }
    // Without NONBLOCK, opening a pipe would wait for its writer.
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let opened = OpenOptions::new().read(true).write(to_write).custom_flags(flags).open(path);
    opened.map_err(|e| unreadable(path, e))
}

fn regular(path: &Path, file: &File) -> Result<std::fs::Metadata> {
    let found = file.metadata().map_err(|e| unreadable(path, e))?;
    if !found.is_file() {
        return Err(broken(path, "it is no regular file"));
    }
    if found.uid() != rustix::process::geteuid().as_raw() {
        return Err(broken(path, "it belongs to somebody else"));
    }
    if found.nlink() > 1 {
        return Err(broken(path, "it has a second name, under which the values would stay"));
    }
    Ok(found)
}

fn sync_folder(folder: &Path) -> Result<()> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(|e| unwritable(folder, e))
}

fn broken(path: &Path, why: &str) -> Error {
    Error::new(Code::InvalidFile, format!("{} is left as it is: {why}", path.display()))
}

fn unreadable(path: &Path, cause: std::io::Error) -> Error {
    Error::new(Code::InvalidFile, format!("{} cannot be read", path.display())).because(cause)
}

fn unwritable(path: &Path, cause: std::io::Error) -> Error {
    Error::new(Code::InvalidFile, format!("{} cannot be written", path.display()))
        .next("Make room and the folder writable, then try again.")
        .because(cause)
}

#[cfg(test)]
mod tests;
