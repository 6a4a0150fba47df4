//! Temporary files for values: one folder a run, which is gone when the run is, however it ended.
//!
//! Folders are 0700 and files 0600 whatever the umask; no link is followed; a base folder that somebody else could
//! write to is refused.
use super::{Delivery, Injected, spawn};
use crate::error::{Code, Error, Result};
use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use std::ffi::{CString, OsStr, OsString};
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

const FOLDER: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC).union(OFlags::RDONLY);

/// What a renewed file is called until it takes the old one's place.
const NEXT: &str = ".next";

/// Where temporary files go by preference: memory and not a disk.
///
/// `runtime_dir` is `$XDG_RUNTIME_DIR`; without it `/dev/shm`, and without that `otherwise`.
pub fn scratch_folder(runtime_dir: Option<&OsStr>, otherwise: &Path) -> PathBuf {
    let usable = |path: &Path| path.is_absolute() && path.is_dir();
    let runtime_dir = runtime_dir.map(Path::new).filter(|path| usable(path));
    let memory = Some(Path::new("/dev/shm")).filter(|path| usable(path));
    runtime_dir.or(memory).unwrap_or(otherwise).to_owned()
}

/// Removes the folders of runs that are over, for instance after a power cut; returns how many there were.
///
/// A run in progress holds a lock on its folder, so a process id that is in use again confuses nobody.
pub fn sweep(scratch: &Path) -> Result<usize> {
    let path = base_path(scratch);
    let base = match open_base(&path) {
        Err(Errno::NOENT) => return Ok(0),
        opened => opened.map_err(|errno| unusable(&path, errno))?,
    };
    rustix::fs::flock(&base, FlockOperation::LockExclusive).map_err(|errno| unusable(&path, errno))?;
    let entries = rustix::fs::Dir::read_from(&base).map_err(|errno| unusable(&path, errno))?;
    let mut removed = 0;
    for entry in entries.flatten() {
        let name = entry.file_name();
        if name.to_bytes().starts_with(b".") {
            continue;
        }
        // An entry that vanishes or is busy belongs to a run that is ending or going on.
        let Ok(folder) = rustix::fs::openat(&base, name, FOLDER, Mode::empty()) else { continue };
        if rustix::fs::flock(&folder, FlockOperation::NonBlockingLockExclusive).is_ok() {
            for file in rustix::fs::Dir::read_from(&folder).into_iter().flatten().flatten() {
                // `.` and `..` fail, and so does what is no file; then the folder stays.
                let _ = rustix::fs::unlinkat(&folder, file.file_name(), AtFlags::empty());
            }
            removed += usize::from(rustix::fs::unlinkat(&base, name, AtFlags::REMOVEDIR).is_ok());
        }
    }
    Ok(removed)
}

pub(super) fn is_plain_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= 200 && name != "." && name != ".." && !name.contains(['/', '\0'])
}

/// The files of one run; dropping it removes them.
pub(super) struct Files {
    folder: PathBuf,
    names: Vec<OsString>,
    /// The variable of each name.
    variables: Vec<String>,
    /// The folder, locked: this tells [`sweep`] that the run goes on.
    opened: OwnedFd,
    /// Removes everything when we cannot.
    _reaper: spawn::Reaper,
}

impl Files {
    /// Writes the values that are to be delivered as files; `None` when there are none.
    ///
    /// The reaper starts before the first file exists.
    pub(super) fn write(scratch: &Path, injected: &[Injected]) -> Result<Option<Self>> {
        let wanted: Vec<(&Injected, &str)> = injected
            .iter()
            .filter_map(|one| match &one.delivery {
                Delivery::File { file_name } => Some((one, file_name.as_str())),
                Delivery::Environment => None,
            })
            .collect();
        if wanted.is_empty() {
            return Ok(None);
        }
        let names = distinct(wanted.iter().map(|(_, name)| *name));
        let (folder, opened) = make_folder(scratch)?;
        let failed = |errno: std::io::Error| unusable(&folder, errno);
        let c_path =
            |path: &Path| CString::new(path.as_os_str().as_bytes()).map_err(|_| failed(Errno::INVAL.into()));
        let both = |name: &OsString| {
            let mut next = name.clone();
            next.push(NEXT);
            [name.clone(), next]
        };
        // A renewed value is written beside the old one first.
        let c_files =
            names.iter().flat_map(both).map(|name| c_path(&folder.join(name))).collect::<Result<Vec<_>>>()?;
        let reaper = spawn::fork_reaper(&c_files, &c_path(&folder)?).map_err(|error| {
            // Empty, so this succeeds; if not, the next sweep does.
            let _ = std::fs::remove_dir(&folder);
            failed(error)
        })?;
        let variables = wanted.iter().map(|(one, _)| one.variable.clone()).collect();
        let files = Self { folder, names, variables, opened, _reaper: reaper };
        for ((one, _), name) in wanted.iter().zip(&files.names) {
            files.write_one(name, one).map_err(|error| unusable(&files.folder, error))?;
        }
        Ok(Some(files))
    }

    /// Each variable, and the path it is to hold.
    pub(super) fn paths(&self) -> impl Iterator<Item = (&str, PathBuf)> {
        let names = self.names.iter();
        self.variables.iter().zip(names).map(|(variable, name)| (variable.as_str(), self.folder.join(name)))
    }

    /// Whether all of `values` are among the files: another set of them needs another start.
    pub(super) fn check_renewable(&self, values: &[Injected]) -> Result<()> {
        let is_there = |one: &Injected| self.variables.contains(&one.variable);
        match values.iter().filter(|one| one.delivery != Delivery::Environment).all(is_there) {
            true => Ok(()),
            false => Err(crate::error::internal("a file came that the program does not know of")),
        }
    }

    /// Writes the new values in the place of the old ones, each file in one step: who reads it sees one or the other.
    pub(super) fn renew(&self, values: &[Injected]) -> Result<()> {
        for (variable, name) in self.variables.iter().zip(&self.names) {
            let Some(one) = values.iter().find(|one| one.variable == *variable) else { continue };
            let mut next = name.clone();
            next.push(NEXT);
            let renewed = self
                .write_one(&next, one)
                .and_then(|()| Ok(rustix::fs::renameat(&self.opened, &next, &self.opened, name)?));
            if let Err(e) = renewed {
                // It holds the value: away with it, whatever became of it.
                let _ = rustix::fs::unlinkat(&self.opened, &next, AtFlags::empty());
                return Err(unusable(&self.folder, e));
            }
        }
        Ok(())
    }

    fn write_one(&self, name: &OsStr, one: &Injected) -> std::io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.opened, name, flags, Mode::RUSR | Mode::WUSR)?;
        rustix::fs::fchmod(&fd, Mode::RUSR | Mode::WUSR)?;
        one.value.expose(|value| std::fs::File::from(fd).write_all(value))
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        for name in &self.names {
            // The reaper, which goes next, and the sweep of the next run are behind this one.
            let _ = rustix::fs::unlinkat(&self.opened, name.as_os_str(), AtFlags::empty());
        }
        let _ = std::fs::remove_dir(&self.folder);
    }
}

/// A name that comes again gets a number in front, so that its ending stays.
fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> Vec<OsString> {
    let mut taken: Vec<OsString> = Vec::new();
    for name in names {
        let free = std::iter::once(OsString::from(name))
            .chain((2..).map(|n| OsString::from(format!("{n}-{name}"))))
            .find(|candidate| !taken.contains(candidate))
            .expect("there is always a next number");
        taken.push(free);
    }
    taken
}

fn base_path(scratch: &Path) -> PathBuf {
    scratch.join(format!("unsaid-run-{}", rustix::process::getuid().as_raw()))
}

/// Opens the base folder if it is a folder, ours, and closed to others.
fn open_base(path: &Path) -> Result<OwnedFd, Errno> {
    let base = rustix::fs::openat(CWD, path, FOLDER, Mode::empty())?;
    let stat = rustix::fs::fstat(&base)?;
    let is_ours = stat.st_uid == rustix::process::geteuid().as_raw();
    if is_ours && stat.st_mode & 0o077 == 0 { Ok(base) } else { Err(Errno::PERM) }
}

/// A fresh folder for this run, locked while the descriptor is open.
fn make_folder(scratch: &Path) -> Result<(PathBuf, OwnedFd)> {
    let path = base_path(scratch);
    let made = || -> Result<(PathBuf, OwnedFd), Errno> {
        match rustix::fs::mkdirat(CWD, &path, Mode::RWXU) {
            Ok(()) => rustix::fs::chmodat(CWD, &path, Mode::RWXU, AtFlags::empty())?,
            Err(Errno::EXIST) => {}
            Err(other) => return Err(other),
        }
        let base = open_base(&path)?;
        // Held until the folder has its own lock, so that no sweep comes in between.
        rustix::fs::flock(&base, FlockOperation::LockExclusive)?;
        let name = format!("{}-{}", rustix::process::getpid().as_raw_nonzero(), crate::ids::fresh());
        rustix::fs::mkdirat(&base, &name, Mode::RWXU)?;
        rustix::fs::chmodat(&base, &name, Mode::RWXU, AtFlags::empty())?;
        let folder = rustix::fs::openat(&base, &name, FOLDER, Mode::empty())?;
        rustix::fs::flock(&folder, FlockOperation::NonBlockingLockExclusive)?;
        Ok((path.join(name), folder))
    };
    made().map_err(|errno| unusable(&path, errno))
}

fn unusable(path: &Path, cause: impl Into<std::io::Error>) -> Error {
    let cause = cause.into();
    let path = path.display();
    let is = |errno: Errno| cause.raw_os_error() == Some(errno.raw_os_error());
    if [Errno::PERM, Errno::LOOP, Errno::NOTDIR].into_iter().any(is) {
        return Error::new(
            Code::StoreInsecure,
            format!("the folder for temporary files is not ours alone: {path}"),
        )
        .next("Remove that folder, or make it yours with mode 0700. Nothing was written.");
    }
    Error::new(
        Code::CommandNotStarted,
        format!("cannot use the folder for temporary files {path} ({})", cause.kind()),
    )
    .next("Make that folder writable, or deliver the value in the environment.")
    .because(cause)
}
