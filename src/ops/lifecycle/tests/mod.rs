//! Tests of a vault's life as its owner sees it: what there is afterwards, what does not exist, and what the log says.
mod backup;
mod health;
mod init;
mod keys;
mod rotation;

use super::init::{Init, Initialised, init};
use super::{Keep, KeySource};
use crate::app::{App, Prompt};
use crate::clock::{Clock, FixedClock, SystemClock};
use crate::config::{Config, File, Origin, Places};
use crate::error::{Error, Result};
use crate::ids::{CredentialId, OrgId, UserId};
use crate::model::access::{Caller, Door};
use crate::ops::credential::create::CreateCredential;
use crate::ops::credential::sealing::open_fields;
use crate::ops::credential::value::{Entry, Target, enter_many};
use crate::secret::{Secret, SecretBytes};
use crate::testing::START;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;

/// A place for a vault, and nothing in it.
struct Ground {
    folder: TempDir,
    clock: Arc<FixedClock>,
}

fn config_at(home: &Path) -> Config {
    Config {
        places: Places {
            data: home.join("data"),
            config: home.join("config"),
            keys: home.join("keys"),
            origin: Origin::Flag,
        },
        file: File::default(),
    }
}

impl Ground {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), clock: Arc::new(FixedClock::at(START)) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn home(&self) -> PathBuf {
        self.path("home")
    }

    fn config(&self) -> Config {
        config_at(&self.home())
    }

    /// The configuration as a later process reads it.
    fn saved_config(&self) -> Config {
        saved_config(&self.home())
    }

    fn clock(&self) -> Arc<dyn Clock> {
        self.clock.clone()
    }

    async fn try_init(&self, key: KeySource, keep: Keep<'_>, prompt: Prompt) -> Result<(App, Initialised)> {
        init(self.config(), self.clock(), request(key), keep, prompt).await
    }

    /// A vault with a key file and no recovery code.
    async fn vault(&self) -> (App, Initialised) {
        self.try_init(KeySource::File(None), Keep::Nowhere, None).await.unwrap()
    }

    /// A vault with a key file, and its recovery code.
    async fn vault_with_code(&self) -> (App, Initialised, Secret) {
        let path = self.path("recovery.txt");
        let (app, made) = self.try_init(KeySource::File(None), Keep::File(path.clone()), None).await.unwrap();
        let code = super::recovery::read_file(&path).unwrap();
        (app, made, code)
    }

    fn open(&self) -> Result<App> {
        App::open_with(self.saved_config(), self.clock(), None)
    }
}

fn saved_config(home: &Path) -> Config {
    let mut config = config_at(home);
    let text = std::fs::read_to_string(config.places.file()).unwrap_or_default();
    config.file = toml::from_str(&text).unwrap();
    config
}

fn request(key: KeySource) -> Init {
    Init { org: "acme".into(), login: "ada".into(), display_name: "Ada".into(), key }
}

fn owner(app: &App) -> Caller {
    let identity = &app.config.file.identity;
    Caller::new(OrgId::from(identity.org.as_str()), UserId::from(identity.user.as_str()), Door::Cli)
}

/// The error of what must fail.
fn refused<T>(outcome: Result<T>) -> Error {
    match outcome {
        Err(e) => e,
        Ok(_) => panic!("it was not refused"),
    }
}

fn value_of(n: usize) -> String {
    format!("value number {n} of the test")
}

/// Credentials `KEY_0` … with the values that [`value_of`] tells.
async fn fill(app: &App, count: usize) {
    for chunk in (0..count).collect::<Vec<_>>().chunks(100) {
        let entry = |n: &usize| Entry {
            target: Target::New(Box::new(CreateCredential {
                name: format!("KEY_{n}"),
                ..CreateCredential::default()
            })),
            values: vec![("value".into(), SecretBytes::copied(value_of(*n).as_bytes()))],
            file_name: String::new(),
        };
        enter_many(app, &owner(app), chunk.iter().map(entry).collect()).await.unwrap();
    }
}

/// Opens every value and holds it against what was entered. Returns how many there are.
async fn every_value_opens(app: &App) -> usize {
    let (org, vault) = (owner(app).org, app.keys.clone());
    app.store
        .read(move |tx| {
            let mut count = 0;
            let mut ids: Vec<CredentialId> = Vec::new();
            tx.walk::<crate::model::credential::Credential>(&org, |found| {
                assert!(found.is_sound);
                ids.push(found.row.id);
                Ok(())
            })?;
            for id in ids {
                let credential = tx.find_credential(&org, &id)?.unwrap();
                let version = tx.current_version(&credential)?.unwrap();
                let fields = open_fields(&vault.vault(), &credential, &version, tx.fields(&version.id)?)?;
                let n: usize = credential.name.trim_start_matches("KEY_").parse().unwrap();
                fields[0].1.expose(|bytes| assert_eq!(bytes, value_of(n).as_bytes()));
                count += 1;
            }
            Ok(count)
        })
        .await
        .unwrap()
}

/// The log of the owner's org as `operation outcome`, and that its chain is whole.
async fn log(app: &App) -> Vec<String> {
    let org = owner(app).org;
    app.store
        .read(move |tx| {
            assert_eq!(tx.verify_audit(&org, None)?.first_bad, None);
            Ok(tx
                .audit_after(&org, 0, 100_000)?
                .iter()
                .map(|r| format!("{} {}", r.operation, r.outcome))
                .collect())
        })
        .await
        .unwrap()
}

/// Runs one of the ignored tests of this binary in a process of its own, on the vault in `home`.
fn child(test: &str, home: &Path, more: &[(&str, String)]) -> std::process::Child {
    std::process::Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            &format!("ops::lifecycle::tests::{test}"),
            "--ignored",
            "--nocapture",
            "--test-threads=1",
        ])
        .env("UNSAID_TEST_HOME", home)
        .envs(more.iter().map(|(name, value)| (*name, value.clone())))
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap()
}

fn childs_home() -> PathBuf {
    PathBuf::from(std::env::var_os("UNSAID_TEST_HOME").expect("this runs only as a child of another test"))
}

fn open_in_child() -> App {
    App::open_with(saved_config(&childs_home()), Arc::new(SystemClock), None).unwrap()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}
