//! Where things are and how this process was told to behave: flags > environment > file > defaults.
//!
//! No secret stands in a configuration, and each value knows where it came from.
use crate::error::{Code, Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

/// Where a setting came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    Flag,
    Environment,
    File,
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Origin::Flag => "flag",
            Origin::Environment => "environment",
            Origin::File => "file",
            Origin::Default => "default",
        })
    }
}

/// A value that knows its origin.
#[derive(Clone, Debug)]
pub struct Setting<T> {
    pub value: T,
    pub origin: Origin,
}

/// The folders of one vault.
#[derive(Clone, Debug)]
pub struct Places {
    /// Holds the database, and nothing that opens it.
    pub data: PathBuf,
    /// Holds `unsaid.toml`.
    pub config: PathBuf,
    /// Holds the key file, where there is one.
    pub keys: PathBuf,
    pub origin: Origin,
}

impl Places {
    /// The platform's folders, or three folders below `UNSAID_HOME`.
    pub fn find(environment: &dyn Fn(&str) -> Option<String>) -> Result<Self> {
        if let Some(home) = environment("UNSAID_HOME").filter(|home| !home.is_empty()) {
            let home = PathBuf::from(home);
            if !home.is_absolute() {
                return Err(Error::new(Code::ConfigInvalid, "UNSAID_HOME is not an absolute path")
                    .next("Set UNSAID_HOME to an absolute path."));
            }
            return Ok(Self {
                data: home.join("data"),
                config: home.join("config"),
                keys: home.join("keys"),
                origin: Origin::Environment,
            });
        }
        use etcetera::BaseStrategy;
        let base = etcetera::choose_base_strategy().map_err(|_| {
            Error::new(Code::ConfigInvalid, "no home folder was found").next("Set HOME, or set UNSAID_HOME.")
        })?;
        let (data, config) = (base.data_dir().join("unsaid"), base.config_dir().join("unsaid"));
        Ok(Self { keys: config.join("keys"), data, config, origin: Origin::Default })
    }

    pub fn database(&self) -> PathBuf {
        self.data.join("vault.db")
    }
    pub fn file(&self) -> PathBuf {
        self.config.join("unsaid.toml")
    }
}

/// What `unsaid.toml` may say.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct File {
    #[serde(skip_serializing_if = "Identity::is_empty")]
    pub identity: Identity,
    #[serde(skip_serializing_if = "Key::is_empty")]
    pub key: Key,
    #[serde(skip_serializing_if = "Catalogue::is_empty")]
    pub catalogue: Catalogue,
    #[serde(skip_serializing_if = "Http::is_empty")]
    pub http: Http,
    #[serde(skip_serializing_if = "Outbound::is_empty")]
    pub outbound: Outbound,
    #[serde(skip_serializing_if = "OAuth::is_empty")]
    pub oauth: OAuth,
    #[serde(skip_serializing_if = "Tests::is_empty")]
    pub tests: Tests,
    #[serde(skip_serializing_if = "Notices::is_empty")]
    pub notices: Notices,
    #[serde(skip_serializing_if = "Broker::is_empty")]
    pub broker: Broker,
    #[serde(skip_serializing_if = "Rotation::is_empty")]
    pub rotation: Rotation,
}

/// What makes, sets and revokes values at services by itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rotation {
    /// The services of the catalogue, by id, whose own interface may be called for it; none where nothing is said.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<String>,
    /// What is said of one credential, by its id.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub credential: BTreeMap<String, Rotated>,
}

/// What a driver needs to know of one credential, besides its own plain fields.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rotated {
    /// Where its database is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sslmode: Option<String>,
    /// Two logins that take turns; with none, or one, the password changes in place.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// Id of the credential with whose rights it is changed; its own where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin: Option<String>,
    /// Parameters of the service's addresses, such as ids.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, String>,
    /// An own program and its fixed arguments, started without a shell.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// How long it may take; 30 where nothing is said, 300 at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command_seconds: Option<u32>,
    /// The program makes values itself (`create`), instead of being told ours (`set`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command_creates: Option<bool>,
    /// Old and new work side by side, with this program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overlap: Option<bool>,
}

impl Rotation {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Tests of credentials that nobody asks for; off where nothing is said.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tests {
    /// How often each credential is tested, in hours; 0 for never. Spread by a tenth to either side.
    pub every_hours: u32,
    /// A value is tested soon after it was entered, by whichever server runs.
    pub on_entry: bool,
}

impl Tests {
    pub fn is_on(&self) -> bool {
        self.every_hours > 0 || self.on_entry
    }
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Who is told ahead of time that a credential ends, or that its service refuses it: of the org of `[identity]`, and of
/// nothing that is personal.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Notices {
    /// An https address that notices are posted to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook: Option<String>,
    /// The credential (its id, or the name of one that the org owns) whose value signs what is posted; without it nothing is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook_secret: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mail_to: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mail_from: Option<String>,
    /// The credential (its id, or the name of one that the org owns) of the mail server: type custom with SERVER, PORT, USERNAME and PASSWORD.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mail_credential: Option<String>,
}

impl Notices {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What the broker sends.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Broker {
    /// How often one credential is sent, a minute; as many at once, where it was not sent for a while.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<u32>,
}

/// B-17. Two a second for as long as it lasts, and 120 of them at once.
const REQUESTS_PER_MINUTE: NonZeroU32 = NonZeroU32::new(120).expect("is not zero");

impl Broker {
    /// Fails with `config_invalid` for none at all.
    pub fn requests_per_minute(&self) -> Result<Setting<NonZeroU32>> {
        let Some(given) = self.requests_per_minute else {
            return Ok(Setting { value: REQUESTS_PER_MINUTE, origin: Origin::Default });
        };
        let value = NonZeroU32::new(given).ok_or_else(|| {
            Error::new(Code::ConfigInvalid, "[broker] requests_per_minute is zero")
                .next("Write one or more into unsaid.toml, or leave it out for 120.")
        })?;
        Ok(Setting { value, origin: Origin::File })
    }
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Connections to OAuth providers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OAuth {
    /// How often one provider is asked for new tokens by the background pass, a second.
    pub refreshes_per_second: u32,
    /// How many seconds of its life a token has left when it is handed out; a fifth of its life where that is less.
    pub fresh_seconds: u32,
}

impl Default for OAuth {
    fn default() -> Self {
        Self { refreshes_per_second: 10, fresh_seconds: 60 }
    }
}

impl OAuth {
    pub fn fresh_ms(&self) -> i64 {
        i64::from(self.fresh_seconds) * 1000
    }
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Connections that we make ourselves.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Outbound {
    /// Hosts, as `idp.intranet:8443`, that may be called although they are not in the public network.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<String>,
    /// Certificates (PEM) that are trusted besides the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// The one proxy that is used, as `http://proxy.intranet:3128`; none of the environment's is. It resolves names
    /// itself, so that they are not held against the public network here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy: Option<String>,
}

impl Outbound {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Who the local person is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Identity {
    /// Org id.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub org: String,
    /// User id.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub user: String,
}

impl Identity {
    fn is_empty(&self) -> bool {
        self.org.is_empty() && self.user.is_empty()
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Key {
    /// The command of a command slot, run without a shell. The database alone cannot name one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
}

impl Key {
    fn is_empty(&self) -> bool {
        self.command.is_empty()
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Catalogue {
    /// A folder of own service files, merged over the built-in ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folder: Option<PathBuf>,
    /// A folder of own MCP server definitions; `servers` in the configuration folder where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub servers: Option<PathBuf>,
}

impl Catalogue {
    fn is_empty(&self) -> bool {
        self.folder.is_none() && self.servers.is_none()
    }
}

/// How `unsaid serve --http` serves; its flags come before these.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Http {
    /// What people and clients type, as `https://vault.example.com`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_url: Option<String>,
    /// PEM files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_cert: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_key: Option<PathBuf>,
    /// A proxy with TLS stands in front and writes `X-Forwarded-For`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trusted_proxy: Option<bool>,
    /// Calls a second of one token; twice that in a burst.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calls_per_second: Option<u32>,
    /// Calls of one token at work at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calls_at_once: Option<usize>,
    /// Sessions at once, of all and of one token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sessions: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sessions_per_token: Option<usize>,
    /// Issuers named in the protected-resource metadata (RFC 9728).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub issuers: Vec<String>,
}

impl Http {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Everything a process needs to know before it opens the vault.
#[derive(Clone, Debug)]
pub struct Config {
    pub places: Places,
    pub file: File,
}

impl Config {
    /// Reads the file, if there is one. A wrong key or value is `config_invalid`, naming the line.
    pub fn load(environment: &dyn Fn(&str) -> Option<String>) -> Result<Self> {
        let places = Places::find(environment)?;
        let file = read(&places.file())?;
        Ok(Self { places, file })
    }

    /// Writes the file (0600), whole or not at all.
    pub fn save(&self) -> Result<()> {
        crate::store::make_folder(&self.places.config)?;
        let text = toml::to_string(&self.file)
            .map_err(|e| crate::error::internal("the configuration cannot be written").because(e))?;
        let path = self.places.file();
        let failed = |e: std::io::Error| {
            Error::new(Code::ConfigInvalid, format!("{} cannot be written", path.display()))
                .next("Check the folder's owner and free space.")
                .because(e)
        };
        let mut draft = tempfile::NamedTempFile::new_in(&self.places.config).map_err(failed)?;
        std::io::Write::write_all(&mut draft, text.as_bytes()).map_err(failed)?;
        draft.as_file().sync_all().map_err(failed)?;
        draft.persist(&path).map_err(|e| failed(e.error))?;
        Ok(())
    }
}

fn read(path: &Path) -> Result<File> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(File::default()),
        Err(e) => {
            return Err(
                Error::new(Code::ConfigInvalid, format!("{} cannot be read", path.display())).because(e)
            );
        }
    };
    toml::from_str(&text).map_err(|e| {
        // The parser quotes the line; a secret typed into the wrong file must not come back that way.
        let line = e.span().map_or(0, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        Error::new(
            Code::ConfigInvalid,
            format!("{}, line {line}: not a setting that unsaid knows", path.display()),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsaid_home_moves_everything_and_keeps_keys_apart_from_data() {
        let places = Places::find(&|name| (name == "UNSAID_HOME").then(|| "/x/y".to_owned())).unwrap();

        assert_eq!(places.database(), Path::new("/x/y/data/vault.db"));
        assert!(!places.keys.starts_with(&places.data));
        assert_eq!(places.origin, Origin::Environment);
    }

    #[test]
    fn a_relative_home_is_refused() {
        let refused = Places::find(&|_| Some("y".into())).unwrap_err();

        assert_eq!(refused.code, Code::ConfigInvalid);
    }

    #[test]
    fn b_17_how_often_a_credential_is_sent_has_a_default_and_is_never_zero() {
        let said = |text: &str| toml::from_str::<File>(text).unwrap().broker.requests_per_minute();

        let (unsaid, file) = (said("").unwrap(), said("[broker]\nrequests_per_minute = 6000").unwrap());

        assert_eq!((unsaid.value.get(), unsaid.origin), (120, Origin::Default));
        assert_eq!((file.value.get(), file.origin), (6000, Origin::File));
        let zero = said("[broker]\nrequests_per_minute = 0").unwrap_err();
        assert!(zero.code == Code::ConfigInvalid && zero.message().contains("requests_per_minute"));
        assert!(toml::from_str::<File>("[broker]\nrequests_per_minute = -1").is_err());
    }

    #[test]
    fn a_wrong_line_is_named_and_not_repeated() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("unsaid.toml");
        std::fs::write(&path, "[identity]\norg = \"a\"\npassword = \"hunter2\"\n").unwrap();

        let refused = read(&path).unwrap_err();

        assert!(refused.message().contains("line 3") || refused.message().contains("line 1"), "{refused}");
        assert!(!refused.message().contains("hunter2"));
    }
}
