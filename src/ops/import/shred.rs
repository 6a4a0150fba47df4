//! Overwriting and removing the file that was imported.
//!
//! Refuses what is not plainly one file of one name. It cannot reach copies: drives that move blocks about, file
//! systems that write beside, snapshots and backups may keep the old content, and whoever offers this says so.
use crate::error::{Code, Error, Result};
use rustix::fs::{FileType, Mode, OFlags, Stat};
use std::os::fd::OwnedFd;
use std::path::Path;

const BLOCK_BYTES: usize = 64 * 1024;

/// A file that was read, by which it is known again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

/// Why a file is not shredded.
pub type WhyNot = &'static str;

impl Known {
    /// The file as it is now.
    pub fn of(file: &std::fs::File) -> Result<Self> {
        let stat = rustix::fs::fstat(file).map_err(|e| failed(e.into()))?;
        Ok(Self::from(&stat))
    }
}

impl From<&Stat> for Known {
    #[allow(clippy::unnecessary_cast)]
    fn from(stat: &Stat) -> Self {
        Self {
            device: stat.st_dev as u64,
            inode: stat.st_ino as u64,
            size: stat.st_size as u64,
            modified: (stat.st_mtime as i64, stat.st_mtime_nsec as i64),
        }
    }
}

fn failed(e: std::io::Error) -> Error {
    Error::new(Code::InvalidFile, format!("the file could not be shredded ({})", e.kind()))
        .next("It may still hold the values: remove it yourself.")
        .because(e)
}

/// Why the file at `path` would not be shredded; `None` where it would.
pub fn why_not(path: &Path, read: &Known) -> Option<WhyNot> {
    match rustix::fs::lstat(path) {
        Ok(stat) => refusal(&stat, read),
        Err(_) => Some("it cannot be looked at any more"),
    }
}

fn refusal(stat: &Stat, read: &Known) -> Option<WhyNot> {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => {}
        FileType::Symlink => return Some("it is a symbolic link: the content stands elsewhere"),
        _ => return Some("it is not an ordinary file"),
    }
    if stat.st_nlink > 1 {
        return Some("it has other names (hard links), under which others may need it");
    }
    (Known::from(stat) != *read).then_some("it was changed since it was read")
}

/// Overwrites the file at `path` with random bytes, flushes it, and removes it. `read` is what was imported.
///
/// Fails with `invalid_file` for links, for other than ordinary files, and for a file that is not the one that was read.
pub fn shred(path: &Path, read: &Known) -> Result<()> {
    let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    if let Some(why) = why_not(path, read) {
        return Err(Error::new(Code::InvalidFile, format!("the file is not shredded: {why}"))
            .next("Remove it yourself once nothing needs it."));
    }
    let file = rustix::fs::open(path, flags, Mode::empty()).map_err(|e| failed(e.into()))?;
    // What is open now is what is written to, whatever the name means by now.
    let stat = rustix::fs::fstat(&file).map_err(|e| failed(e.into()))?;
    if let Some(why) = refusal(&stat, read) {
        return Err(Error::new(Code::InvalidFile, format!("the file is not shredded: {why}")));
    }
    overwrite(&file, read.size)?;
    rustix::fs::unlink(path).map_err(|e| failed(e.into()))?;
    if let Some(folder) = path.parent() {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        // The name is gone either way; a folder that cannot be flushed keeps it over a power cut at worst.
        if let Ok(folder) =
            rustix::fs::open(folder, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        {
            let _ = rustix::fs::fsync(folder);
        }
    }
    Ok(())
}

fn overwrite(file: &OwnedFd, size: u64) -> Result<()> {
    let mut block = vec![0u8; BLOCK_BYTES];
    let mut at = 0u64;
    while at < size {
        getrandom::fill(&mut block)
            .map_err(|_| crate::error::internal("the operating system gave no random bytes"))?;
        let most = usize::try_from(size - at).unwrap_or(BLOCK_BYTES).min(BLOCK_BYTES);
        match rustix::io::pwrite(file, &block[..most], at) {
            Ok(written) => at += written as u64,
            Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(failed(e.into())),
        }
    }
    rustix::fs::fsync(file).map_err(|e| failed(e.into()))
}
