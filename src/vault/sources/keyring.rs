//! The keyring of the operating system: Secret Service on Linux, the login keychain on macOS.
//!
//! It is asked on a thread of its own with a limit, because a session bus may accept and never answer, and at
//! a machine without a session nobody can answer its dialogue. It never makes a new key over one it cannot read.
use super::super::locked::{KEY, LockedKey};
use super::super::random::Random;
use crate::error::{Code, Error, Result};
use keyring_core::api::CredentialStore;
use sha2::{Digest, Sha256};
use std::ffi::OsString;
use std::sync::{Arc, mpsc};
use std::time::Duration;
use zeroize::Zeroizing;

/// How long the keyring may take to answer. On macOS a person may have to allow the access first.
const LIMIT: Duration = Duration::from_secs(if cfg!(target_os = "macos") { 20 } else { 2 });
/// The key and four bytes of checksum.
const SIZE: usize = KEY + 4;

type OpenStore = dyn Fn() -> keyring_core::Result<Arc<CredentialStore>> + Send + Sync;

/// A keyring that may answer.
pub(crate) struct Keyring {
    open: Arc<OpenStore>,
    limit: Duration,
}

impl Keyring {
    /// Fails at once with `key_not_found` where there is no session that could hold a keyring.
    pub fn of_this_machine(environment: &dyn Fn(&str) -> Option<OsString>) -> Result<Self> {
        if cfg!(target_os = "linux") {
            let named = environment("DBUS_SESSION_BUS_ADDRESS").is_some_and(|address| !address.is_empty());
            let socket = environment("XDG_RUNTIME_DIR").map(|dir| std::path::Path::new(&dir).join("bus"));
            if !named && !socket.is_some_and(|socket| socket.exists()) {
                return Err(unavailable("this session has no keyring service (no D-Bus session)"));
            }
        }
        Ok(Self { open: Arc::new(platform_store), limit: LIMIT })
    }

    /// The key of this item; made if there is no such item, kept if there is.
    pub fn make(&self, service: &str, account: &str, random: &dyn Random) -> Result<LockedKey> {
        match self.read(service, account) {
            Err(error) if error.code == Code::KeyNotFound && error.details().contains(&no_item()) => {}
            found => return found,
        }
        let key = LockedKey::filled(|out| random.fill(out))?;
        self.write(service, account, &key)?;
        let back = self.read(service, account)?;
        if back == key {
            Ok(key)
        } else {
            Err(unavailable("the keyring did not keep what was written to it"))
        }
    }

    /// Fails with `key_not_found` if there is no item or no keyring, `key_insecure` if the item is damaged.
    pub fn read(&self, service: &str, account: &str) -> Result<LockedKey> {
        let item = self.item(service, account);
        let bytes = within(self.limit, move || item()?.get_secret().map(Zeroizing::new))?;
        let damaged = || Error::new(Code::KeyInsecure, "the key in the keyring is damaged");
        if bytes.len() != SIZE {
            return Err(damaged());
        }
        let key = LockedKey::filled(|out| {
            out.copy_from_slice(&bytes[..KEY]);
            Ok(())
        })?;
        if key.expose(checksum) == bytes[KEY..] { Ok(key) } else { Err(damaged()) }
    }

    /// Writes, reads and deletes an item of its own, to know that all three work.
    pub fn probe(&self, service: &str, random: &dyn Random) -> Result<()> {
        let account = format!("probe-{}", crate::ids::fresh());
        self.make(service, &account, random)?;
        let item = self.item(service, &account);
        within(self.limit, move || item()?.delete_credential())
    }

    fn write(&self, service: &str, account: &str, key: &LockedKey) -> Result<()> {
        let item = self.item(service, account);
        let bytes = key.expose(|k| {
            let mut bytes = Zeroizing::new([0u8; SIZE]);
            bytes[..KEY].copy_from_slice(k);
            bytes[KEY..].copy_from_slice(&checksum(k));
            bytes
        });
        within(self.limit, move || item()?.set_secret(bytes.as_slice()))
    }

    fn item(
        &self,
        service: &str,
        account: &str,
    ) -> impl FnOnce() -> keyring_core::Result<keyring_core::Entry> + use<> {
        let (open, service, account) = (self.open.clone(), service.to_owned(), account.to_owned());
        move || open()?.build(&service, &account, None)
    }
}

fn checksum(key: &[u8; KEY]) -> [u8; 4] {
    let hash = Sha256::new().chain_update(b"cv1/keyring/").chain_update(key).finalize();
    std::array::from_fn(|n| hash[n])
}

fn unavailable(why: &'static str) -> Error {
    Error::new(Code::KeyNotFound, why)
}

fn no_item() -> (&'static str, String) {
    ("keyring", "no_item".to_owned())
}

/// Runs `ask` elsewhere and waits no longer than `limit`. A foreign error may carry the item's bytes, so only
/// its kind survives.
fn within<T: Send + 'static>(
    limit: Duration,
    ask: impl FnOnce() -> keyring_core::Result<T> + Send + 'static,
) -> Result<T> {
    let (answer, wait) = mpsc::sync_channel(1);
    let asked = std::thread::Builder::new().name("keyring".into()).spawn(move || {
        // After the limit nobody listens any more, and that is fine.
        let _ = answer.send(ask());
    });
    if asked.is_err() {
        return Err(unavailable("the keyring could not be asked"));
    }
    match wait.recv_timeout(limit) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(match error {
            keyring_core::Error::NoEntry => {
                let (name, text) = no_item();
                unavailable("the keyring has no key for this vault").detail(name, text)
            }
            keyring_core::Error::NoStorageAccess(_) => unavailable("the keyring is locked or refuses access"),
            keyring_core::Error::Ambiguous(_) => {
                Error::new(Code::KeyInsecure, "the keyring has more than one key for this vault")
            }
            _ => unavailable("the keyring of this machine does not work"),
        }),
        Err(mpsc::RecvTimeoutError::Timeout) => Err(unavailable("the keyring did not answer in time")),
        Err(mpsc::RecvTimeoutError::Disconnected) => {
            Err(unavailable("the keyring of this machine does not work"))
        }
    }
}

#[cfg(target_os = "linux")]
fn platform_store() -> keyring_core::Result<Arc<CredentialStore>> {
    zbus_secret_service_keyring_store::Store::new().map(|store| store as Arc<CredentialStore>)
}

#[cfg(target_os = "macos")]
fn platform_store() -> keyring_core::Result<Arc<CredentialStore>> {
    apple_native_keyring_store::keychain::Store::new().map(|store| store as Arc<CredentialStore>)
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
fn platform_store() -> keyring_core::Result<Arc<CredentialStore>> {
    Err(keyring_core::Error::NotSupportedByStore("no keyring is known for this system".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::random::OsRandom;
    use std::time::Instant;

    fn of(open: impl Fn() -> keyring_core::Result<Arc<CredentialStore>> + Send + Sync + 'static) -> Keyring {
        Keyring { open: Arc::new(open), limit: Duration::from_millis(200) }
    }

    fn working() -> Keyring {
        let store: Arc<CredentialStore> = keyring_core::mock::Store::new().unwrap();
        of(move || Ok(store.clone()))
    }

    #[test]
    fn a_key_is_made_once_and_read_back() {
        let keyring = working();
        let made = keyring.make("unsaid", "main", &OsRandom).unwrap();

        assert!(keyring.read("unsaid", "main").unwrap() == made);
        assert!(keyring.make("unsaid", "main", &OsRandom).unwrap() == made);
        keyring.probe("unsaid", &OsRandom).unwrap();
    }

    #[test]
    fn k_21_without_a_session_the_answer_is_immediate_and_no_key_is_made() {
        let began = Instant::now();
        let refused = Keyring::of_this_machine(&|_| None).err();

        if cfg!(target_os = "linux") {
            assert_eq!(refused.unwrap().code, Code::KeyNotFound);
            assert!(began.elapsed() < Duration::from_millis(100));
        }
    }

    #[test]
    fn k_21_a_keyring_that_never_answers_is_given_up_on() {
        let keyring = of(|| {
            std::thread::park();
            Err(keyring_core::Error::NoEntry)
        });
        let began = Instant::now();

        let refused = keyring.make("unsaid", "main", &OsRandom).unwrap_err();

        assert_eq!(refused.code, Code::KeyNotFound);
        assert!(refused.message().contains("in time") && began.elapsed() < Duration::from_secs(2));
    }

    #[test]
    fn k_21_a_broken_keyring_is_an_error_and_not_an_empty_one() {
        let keyring = of(|| Err(keyring_core::Error::NoDefaultStore));

        let refused = keyring.make("unsaid", "main", &OsRandom).unwrap_err();

        assert!(refused.message().contains("does not work"));
    }

    #[test]
    fn a_damaged_item_is_refused_and_never_replaced() {
        let store: Arc<CredentialStore> = keyring_core::mock::Store::new().unwrap();
        store.build("unsaid", "main", None).unwrap().set_secret(&[9; SIZE]).unwrap();
        let keyring = of(move || Ok(store.clone()));

        assert_eq!(keyring.make("unsaid", "main", &OsRandom).unwrap_err().code, Code::KeyInsecure);
    }
}
