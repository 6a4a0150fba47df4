//! A systemd credential (`LoadCredentialEncrypted=`): a file that only this service sees while it runs.
use super::super::locked::LockedKey;
use crate::error::{Code, Error, Result};
use std::ffi::OsString;
use std::io::Read;
use std::path::Path;
use zeroize::Zeroizing;

/// The longest credential read, bytes.
const LIMIT: usize = 4096;

/// The key in `$CREDENTIALS_DIRECTORY/name`: 32 bytes in base64 or hex, or at least 32 characters of text.
pub(crate) fn read(name: &str, environment: &dyn Fn(&str) -> Option<OsString>) -> Result<LockedKey> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    if name.is_empty() || name.starts_with('.') || !name.bytes().all(fits) {
        return Err(Error::new(
            Code::ConfigInvalid,
            "the name of the systemd credential is not a plain name",
        ));
    }
    let dir = environment("CREDENTIALS_DIRECTORY").ok_or_else(|| {
        Error::new(
            Code::KeyNotFound,
            "systemd gave this process no credentials (CREDENTIALS_DIRECTORY is not set)",
        )
    })?;
    let file = std::fs::File::open(Path::new(&dir).join(name))
        .map_err(|_| Error::new(Code::KeyNotFound, format!("the systemd credential {name} is not there")))?;
    let mut given = Zeroizing::new(Vec::with_capacity(LIMIT + 1));
    let size = file.take(LIMIT as u64).read_to_end(&mut given);
    size.map_err(|_| Error::new(Code::KeyNotFound, format!("the systemd credential {name} cannot be read")))?;
    super::material(&given, &format!("the systemd credential {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_read_from_the_folder_systemd_names_and_from_nowhere_else() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("root"), "k".repeat(40)).unwrap();
        let environment = |name: &str| (name == "CREDENTIALS_DIRECTORY").then(|| dir.path().into());

        assert!(read("root", &environment).is_ok());
        assert_eq!(read("other", &environment).unwrap_err().code, Code::KeyNotFound);
        assert_eq!(read("../root", &environment).unwrap_err().code, Code::ConfigInvalid);
        assert_eq!(read("root", &|_| None).unwrap_err().code, Code::KeyNotFound);
    }
}
