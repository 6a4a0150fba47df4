//! A variable of the environment: for containers that have nothing better.
//!
//! Only its name is kept. Whoever may read the process's environment has the key, hence the warning.
use super::super::locked::LockedKey;
use crate::error::{Code, Error, Result};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use zeroize::Zeroizing;

pub(crate) const WARNING: &str =
    "an environment variable can be read by other programs of this account, and child programs inherit it";

/// The key in the variable `name`: 32 bytes in base64 or hex, or at least 32 characters of text.
pub(crate) fn read(name: &str, environment: &dyn Fn(&str) -> Option<OsString>) -> Result<LockedKey> {
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Err(Error::new(Code::ConfigInvalid, "the name of the key's variable is not a variable name"));
    }
    let value = environment(name).ok_or_else(|| {
        Error::new(Code::KeyNotFound, format!("the environment variable {name} is not set"))
    })?;
    let value = Zeroizing::new(value.into_vec());
    super::material(&value, &format!("the environment variable {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_variable_and_a_bad_name_are_told_apart() {
        let missing = read("UNSAID_ROOT", &|_| None).unwrap_err();
        let bad = read("A=B", &|_| None).unwrap_err();

        assert_eq!((missing.code, bad.code), (Code::KeyNotFound, Code::ConfigInvalid));
        assert!(read("UNSAID_ROOT", &|_| Some("x".repeat(40).into())).is_ok());
    }
}
