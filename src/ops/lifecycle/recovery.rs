//! What becomes of a fresh recovery code: a person has it, or a file, or nobody and it is said.
//!
//! The code is given away before the row that it opens is committed, so no vault ever counts on a code that nobody saw.
//! It is never written into the data folder and never over an existing file.
use crate::error::{Code, Error, Result};
use crate::secret::Secret;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Where a recovery code goes.
pub enum Keep<'a> {
    /// Shows it to a person and asks for parts of it back; an error says that they do not have it.
    Show(&'a (dyn Fn(&Secret) -> Result<()> + Sync)),
    /// Into a new file, 0600.
    File(PathBuf),
    /// Nobody is there to take it, so none is made.
    Nowhere,
}

impl Keep<'_> {
    pub fn is_possible(&self) -> bool {
        !matches!(self, Keep::Nowhere)
    }
}

/// Where a recovery code went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    Shown,
    File(PathBuf),
    Nowhere,
}

fn first_line(instance: &str) -> String {
    format!("unsaid recovery code of vault {instance}\n")
}

/// Gives the code away. Call [`undo`] where what it opens was not committed after all.
pub fn give(code: &Secret, keep: &Keep<'_>, instance: &str, data: &Path) -> Result<Kept> {
    match keep {
        Keep::Show(show) => show(code).map(|()| Kept::Shown),
        Keep::File(path) => write(code, path, instance, data).map(|()| Kept::File(path.clone())),
        Keep::Nowhere => Ok(Kept::Nowhere),
    }
}

/// Removes the file of a code that opens nothing.
pub fn undo(kept: &Kept) {
    if let Kept::File(path) = kept
        && std::fs::remove_file(path).is_err()
    {
        tracing::warn!("a recovery file that opens nothing could not be removed");
    }
}

/// Removes the file of an earlier `init` of the same vault that was killed before it finished: its code opens nothing.
pub fn clear_leftover(keep: &Keep<'_>, instance: &str) -> Result<()> {
    let Keep::File(path) = keep else { return Ok(()) };
    let expected = first_line(instance);
    let mut found = Vec::with_capacity(expected.len());
    let read = File::open(path).and_then(|file| file.take(expected.len() as u64).read_to_end(&mut found));
    if read.is_ok() && found == expected.as_bytes() {
        std::fs::remove_file(path).map_err(|e| failed(path, "cannot be replaced").because(e))?;
    }
    Ok(())
}

fn failed(path: &Path, why: &str) -> Error {
    Error::new(Code::InvalidFile, format!("the recovery file {} {why}", path.display()))
        .next("Name a new file in a folder of yours, away from the vault, such as on a stick.")
}

/// Refuses a path that cannot work before anything else is made.
pub fn check(keep: &Keep<'_>, data: &Path) -> Result<()> {
    let Keep::File(path) = keep else { return Ok(()) };
    let folder = match path.parent() {
        Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
        Some(folder) => folder,
        None => return Err(failed(path, "has no folder")),
    };
    let folder =
        folder.canonicalize().map_err(|e| failed(path, "is in a folder that is not there").because(e))?;
    let data = data.canonicalize().unwrap_or_else(|_| data.to_owned());
    match folder.starts_with(data) {
        true => Err(failed(path, "would lie beside the database that it opens")),
        false => Ok(()),
    }
}

fn write(code: &Secret, path: &Path, instance: &str, data: &Path) -> Result<()> {
    check(&Keep::File(path.to_owned()), data)?;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(path)
        .map_err(|e| match e.kind() {
            std::io::ErrorKind::AlreadyExists => failed(path, "exists already, and is not written over"),
            _ => failed(path, "cannot be made"),
        })?;
    let mut text = Zeroizing::new(String::with_capacity(1024));
    text.push_str(&first_line(instance));
    text.push('\n');
    code.expose(|code| text.push_str(code));
    text.push_str(
        "\n\nWhoever has this code and a copy of the database can open the vault. Print it or move it to a place of its\n\
         own, then delete this file. To use it: unsaid key recover\n",
    );
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    written.map_err(|e| {
        undo(&Kept::File(path.to_owned()));
        failed(path, "could not be written to the disk").because(e)
    })
}

/// The code in a recovery file, or in a file that holds nothing else.
pub fn read_file(path: &Path) -> Result<Secret> {
    let mut text = Zeroizing::new(String::with_capacity(4096));
    let read = File::open(path).and_then(|file| file.take(4096).read_to_string(&mut text));
    read.map_err(|e| failed(path, "cannot be read").because(e))?;
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.next().unwrap_or("");
    let code = if first.starts_with("unsaid recovery code") { lines.next().unwrap_or("") } else { first };
    Ok(Secret::new(code.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn code() -> Secret {
        Secret::new(["ABCD"; 14].join("-"))
    }

    #[test]
    fn a_recovery_file_is_private_and_gives_its_code_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("recovery.txt");

        give(&code(), &Keep::File(path.clone()), "v1", &folder.path().join("data")).unwrap();

        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(read_file(&path).unwrap(), code());
    }

    #[test]
    fn an_existing_file_and_the_data_folder_and_a_missing_folder_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        std::fs::create_dir_all(data.join("deep")).unwrap();
        let taken = folder.path().join("taken");
        std::fs::write(&taken, "mine").unwrap();

        for path in
            [taken.clone(), data.join("code"), data.join("deep/code"), folder.path().join("gone/code")]
        {
            let refused = give(&code(), &Keep::File(path), "v1", &data).unwrap_err();
            assert_eq!(refused.code, Code::InvalidFile);
            assert!(!refused.message().contains("ABCD"));
        }
        assert_eq!(std::fs::read_to_string(taken).unwrap(), "mine");
    }

    #[test]
    fn only_the_leftover_of_the_same_vault_is_cleared() {
        let folder = tempfile::tempdir().unwrap();
        let keep = Keep::File(folder.path().join("recovery.txt"));
        give(&code(), &keep, "v1", Path::new("/nowhere")).unwrap();

        clear_leftover(&keep, "v2").unwrap();
        assert!(give(&code(), &keep, "v2", Path::new("/nowhere")).is_err());

        clear_leftover(&keep, "v1").unwrap();
        assert!(give(&code(), &keep, "v1", Path::new("/nowhere")).is_ok());
    }
}
