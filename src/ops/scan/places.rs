//! Files and folders, as they stand on the disk.
//!
//! No link is followed, nothing is opened that is no plain file, and what a kernel makes up (`/proc`, `/sys`) is left out.
use super::Look;
use crate::error::{Result, invalid};
use crate::model::text::shown;
use ignore::WalkBuilder;
use rustix::fs::{FileType, Mode, OFlags};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// What somebody named: a link to it is followed, this once. Fails with `invalid_input` where there is nothing.
pub(super) fn root(path: &Path) -> Result<PathBuf> {
    std::fs::canonicalize(path).map_err(|e| {
        invalid(format!("{} cannot be searched ({})", shown(&path.to_string_lossy()), e.kind())).because(e)
    })
}

pub(super) fn walk(look: &mut Look<'_>, root: &Path, obeys_gitignore: bool) {
    let mut builder = WalkBuilder::new(root);
    builder
        .standard_filters(false)
        .parents(obeys_gitignore)
        .git_ignore(obeys_gitignore)
        .git_exclude(obeys_gitignore)
        .follow_links(false)
        .sort_by_file_name(|a, b| a.cmp(b))
        .filter_entry(|entry| {
            let is_folder = entry.file_type().is_some_and(|kind| kind.is_dir());
            !is_folder || !(is_object_store(entry.path()) || is_made_up(entry.path()))
        });
    for entry in builder.build() {
        let entry = match entry {
            Ok(entry) => entry,
            Err(e) => {
                let name = named_by(&e).unwrap_or_else(|| root.display().to_string());
                let kind = e.io_error().map_or(io::ErrorKind::Other, io::Error::kind);
                look.unreadable(&name, &kind.into());
                continue;
            }
        };
        let name = entry.path().to_string_lossy().into_owned();
        match entry.file_type() {
            Some(kind) if kind.is_dir() => look.name_of(entry.path()),
            Some(kind) if kind.is_file() => {
                look.name_of(entry.path());
                file(look, entry.path(), &name);
            }
            _ => look.done.left_out.special += 1,
        }
    }
}

impl Look<'_> {
    /// The last part of a path: those before it have had their turn.
    fn name_of(&mut self, path: &Path) {
        let Some(last) = path.file_name() else { return };
        for whose in self.sought.within(last.as_encoded_bytes()) {
            self.found(whose, &path.to_string_lossy(), None, false, "");
        }
    }
}

fn file(look: &mut Look<'_>, path: &Path, name: &str) {
    match open(path) {
        Err(e) => look.unreadable(name, &e),
        Ok(None) => look.done.left_out.special += 1,
        Ok(Some((_, size))) if size > look.most_bytes => look.done.left_out.too_large += 1,
        Ok(Some((file, _))) => {
            // A file that grows while it is read has an end all the same.
            let mut bounded = io::Read::take(file, look.most_bytes);
            look.done.searched.files += u64::from(look.read(name, &mut bounded));
        }
    }
}

/// The file with its size; `None` for what is no plain file any more.
fn open(path: &Path) -> io::Result<Option<(File, u64)>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let fd = match rustix::fs::open(path, flags, Mode::empty()) {
        // Exchanged for a link meanwhile.
        Err(rustix::io::Errno::LOOP) => return Ok(None),
        opened => opened?,
    };
    let stat = rustix::fs::fstat(&fd)?;
    let is_plain = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    let file = File::from(fd);
    Ok((is_plain && !is_made_up(path)).then_some((file, u64::try_from(stat.st_size).unwrap_or(0))))
}

/// The objects of a repository are compressed: nothing is found there, and their history is a search of its own.
fn is_object_store(path: &Path) -> bool {
    path.ends_with("objects") && path.parent().is_some_and(|git| git.join("HEAD").is_file())
}

/// Whether a kernel answers instead of a disk.
#[cfg(target_os = "linux")]
fn is_made_up(path: &Path) -> bool {
    // linux/magic.h: proc, sysfs, devpts, cgroup, cgroup2, debugfs, tracefs, securityfs, bpf, pstore, efivarfs, selinuxfs.
    const MADE_UP: [u32; 12] = [
        0x9fa0,
        0x6265_6572,
        0x1cd1,
        0x0027_e0eb,
        0x6367_7270,
        0x6462_6720,
        0x7472_6163,
        0x7363_6673,
        0xcafe_4a11,
        0x6165_676c,
        0xde5e_81e4,
        0xf97c_ff8c,
    ];
    rustix::fs::statfs(path)
        .is_ok_and(|fs| MADE_UP.iter().any(|kind| i128::from(*kind) == i128::from(fs.f_type as u32)))
}

#[cfg(not(target_os = "linux"))]
fn is_made_up(_: &Path) -> bool {
    false
}

fn named_by(e: &ignore::Error) -> Option<String> {
    match e {
        ignore::Error::WithPath { path, .. } => Some(path.display().to_string()),
        ignore::Error::WithDepth { err, .. } | ignore::Error::WithLineNumber { err, .. } => named_by(err),
        _ => None,
    }
}
