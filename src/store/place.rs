//! Where the database may lie: a private folder on a local disk, in a file that is ours alone.
//!
//! This is the only file of the store that touches the database's path through the file system, and it never opens an
//! existing database: closing such a handle would drop SQLite's locks in this process.
use crate::error::{Code, Error, Result};
use std::fs::{DirBuilder, Metadata, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

fn insecure(message: String, fix: String) -> Error {
    Error::new(Code::StoreInsecure, message).next(fix)
}

/// Makes the folder (0700) if it is missing, and checks it.
pub fn make_folder(folder: &Path) -> Result<()> {
    if !folder.exists() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|e| {
            insecure(
                format!("the folder {} cannot be made", folder.display()),
                "Make it yourself with mode 0700, or set UNSAID_HOME to another place.".into(),
            )
            .because(e)
        })?;
    }
    check_folder(folder)
}

fn stat(path: &Path) -> Result<Metadata> {
    std::fs::symlink_metadata(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => {
            Error::new(Code::NotInitialised, "there is no vault here yet").because(e)
        }
        _ => insecure(
            format!("{} cannot be looked at", path.display()),
            "Check who owns it, and its folders.".into(),
        )
        .because(e),
    })
}

/// Whether the folder is a real directory, ours, closed to others, and on a local disk.
pub fn check_folder(folder: &Path) -> Result<()> {
    let shown = folder.display();
    let found = stat(folder)?;
    if !found.is_dir() {
        return Err(insecure(
            format!("{shown} is not a real folder"),
            "Remove the link or file, or set UNSAID_HOME to another place.".into(),
        ));
    }
    if found.uid() != rustix::process::geteuid().as_raw() {
        return Err(insecure(
            format!("{shown} belongs to somebody else"),
            format!("Run `chown $USER {shown}`."),
        ));
    }
    if found.permissions().mode() & 0o077 != 0 {
        return Err(insecure(format!("{shown} is open to other users"), format!("Run `chmod 700 {shown}`.")));
    }
    if let Some(kind) = network_file_system(folder) {
        return Err(insecure(
            format!("{shown} is on a network file system ({kind}), where locks cannot be trusted"),
            "Set UNSAID_HOME to a folder on a local disk.".into(),
        ));
    }
    Ok(())
}

/// Makes the database file, 0600, failing where one exists.
pub fn create_file(path: &Path) -> Result<()> {
    if let Some(folder) = path.parent() {
        make_folder(folder)?;
    }
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map(drop).map_err(|e| {
        match e.kind() {
            std::io::ErrorKind::AlreadyExists => {
                Error::new(Code::AlreadyInitialised, "there is a vault here already")
            }
            _ => insecure(
                format!("{} cannot be made", path.display()),
                "Check the folder's owner and free space.".into(),
            )
            .because(e),
        }
    })
}

/// Whether the database at `path` and its folder may be used; `not_initialised` where there is none.
pub fn check_place(path: &Path) -> Result<()> {
    let shown = path.display();
    let found = stat(path)?;
    if let Some(folder) = path.parent() {
        check_folder(folder)?;
    }
    if !found.is_file() {
        return Err(insecure(
            format!("{shown} is not a regular file"),
            "Put the real database file there; links, pipes and devices are not followed.".into(),
        ));
    }
    if found.nlink() != 1 {
        return Err(insecure(
            format!("{shown} has a second name (hard link)"),
            "Remove the other name.".into(),
        ));
    }
    if found.uid() != rustix::process::geteuid().as_raw() {
        return Err(insecure(
            format!("{shown} belongs to somebody else"),
            format!("Run `chown $USER {shown}`."),
        ));
    }
    for file in super::link::companions(path).iter().map(|p| p.as_path()).chain([path]) {
        if let Ok(found) = std::fs::symlink_metadata(file)
            && found.permissions().mode() & 0o077 != 0
        {
            let shown = file.display();
            return Err(insecure(
                format!("{shown} is open to other users"),
                format!("Run `chmod 600 {shown}`."),
            ));
        }
    }
    Ok(())
}

#[cfg(target_os = "linux")]
fn network_file_system(folder: &Path) -> Option<&'static str> {
    const NETWORK: [(i64, &str); 8] = [
        (0x6969, "NFS"),
        (0x517B, "SMB"),
        (0xFF53_4D42, "CIFS"),
        (0xFE53_4D42, "SMB2"),
        (0x0102_1997, "9p"),
        (0x5346_414F, "AFS"),
        (0x00C3_6400, "Ceph"),
        (0x6573_5546, "FUSE"),
    ];
    let kind = rustix::fs::statfs(folder).ok()?.f_type as i64;
    NETWORK.iter().find(|(magic, _)| *magic == kind).map(|(_, name)| *name)
}

#[cfg(not(target_os = "linux"))]
fn network_file_system(_: &Path) -> Option<&'static str> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        folder
    }

    #[test]
    fn h_20_a_new_database_is_private_whatever_the_umask() {
        let folder = folder();
        let path = folder.path().join("deep/er/vault.db");

        create_file(&path).unwrap();

        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::metadata(path.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
        check_place(&path).unwrap();
    }

    #[test]
    fn h_21_links_pipes_and_open_folders_are_refused_with_the_fix() {
        let folder = folder();
        let real = folder.path().join("vault.db");
        create_file(&real).unwrap();
        let link = folder.path().join("link.db");
        symlink(&real, &link).unwrap();
        assert_eq!(check_place(&link).unwrap_err().code, Code::StoreInsecure);

        let second = folder.path().join("second.db");
        std::fs::hard_link(&real, &second).unwrap();
        assert_eq!(check_place(&real).unwrap_err().code, Code::StoreInsecure);
        std::fs::remove_file(&second).unwrap();

        std::fs::set_permissions(&real, std::fs::Permissions::from_mode(0o644)).unwrap();
        let refused = check_place(&real).unwrap_err();
        assert_eq!(refused.code, Code::StoreInsecure);
        assert!(refused.next_step().contains("chmod 600"));
        std::fs::set_permissions(&real, std::fs::Permissions::from_mode(0o600)).unwrap();

        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        assert!(check_place(&real).unwrap_err().next_step().contains("chmod 700"));
    }

    #[test]
    fn a_missing_database_says_how_to_begin() {
        let folder = folder();

        let refused = check_place(&folder.path().join("vault.db")).unwrap_err();

        assert_eq!(refused.code, Code::NotInitialised);
        assert!(refused.next_step().contains("unsaid init"));
    }
}
