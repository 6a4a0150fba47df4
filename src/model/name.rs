//! The name of a credential, which is also the environment variable that a program finds it under.
//!
//! Refuses whatever is no such name, and the names that change how programs run (SECURITY.md §4): a value
//! under `LD_PRELOAD` or `OPENAI_BASE_URL` would be a command or a destination, not a secret.
use crate::error::{Code, Error, Result, invalid};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;

/// The longest name, in characters.
pub const MAX_NAME: usize = 64;

/// A name such as `GITHUB_TOKEN`, kept as it was written.
///
/// Names differ by case, as environment variables do, but two that differ *only* by case may not live side by
/// side: whoever keeps names unique compares [`CredentialName::key`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CredentialName(String);

impl CredentialName {
    /// `text` as a name: `[A-Za-z_][A-Za-z0-9_]*`, at most 64 characters.
    ///
    /// Fails with `invalid_input` for other text and `reserved_name` for a name of the deny-list. The messages
    /// do not repeat the text: somebody may have put a value where the name belongs.
    pub fn parse(text: &str) -> Result<Self> {
        if text.is_empty() {
            return Err(invalid("a credential needs a name, such as GITHUB_TOKEN"));
        }
        if text.len() > MAX_NAME {
            return Err(invalid("a credential name has at most 64 characters"));
        }
        let starts_well = !text.as_bytes()[0].is_ascii_digit();
        if !starts_well || !text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return Err(invalid(
                "a credential name has only A-Z, a-z, 0-9 and _, and does not start with a digit",
            ));
        }
        match Reserved::of(text) {
            None => Ok(Self(text.to_owned())),
            Some(reserved) => {
                Err(Error::new(Code::ReservedName, format!("this name is reserved: {}", reserved.reason())))
            }
        }
    }

    /// The name as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What must be unique: the name in upper case, so `github_token` and `GITHUB_TOKEN` are one.
    pub fn key(&self) -> String {
        self.0.to_ascii_uppercase()
    }
}

impl fmt::Display for CredentialName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<CredentialName> for String {
    fn from(name: CredentialName) -> Self {
        name.0
    }
}

impl TryFrom<String> for CredentialName {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        Self::parse(&text)
    }
}

impl JsonSchema for CredentialName {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "CredentialName".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]*$", "maxLength": MAX_NAME })
    }
}

/// Why a name may not be a credential's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reserved {
    /// The dynamic linker, the C library or an allocator reads it.
    Loader,
    /// A shell reads it, or a program that starts others.
    Shell,
    /// A language's interpreter, compiler or virtual machine takes options or code from it.
    Runtime,
    /// Git or SSH takes a command, a file or a configuration from it.
    Transport,
    /// It decides which certificates are trusted, or writes the keys of connections to a file.
    Trust,
    /// It decides which host a program talks to, and so who receives its secrets.
    Destination,
    /// Unsaid itself reads it.
    Ours,
}

impl Reserved {
    /// Whether the deny-list names `name`; case does not count, since `http_proxy` is read like `HTTP_PROXY`.
    ///
    /// A family that also holds ordinary secrets (`SSH_PRIVATE_KEY`, `GIT_TOKEN`, `PYTHONANYWHERE_API_TOKEN`,
    /// `STRIPE_ENDPOINT_SECRET`) lets through a name with such a word in it; the families in `ALWAYS` do not.
    pub fn of(name: &str) -> Option<Self> {
        let name = name.to_ascii_uppercase();
        if let Some((_, why)) = EXACT.iter().find(|(names, _)| names.contains(&name.as_str())) {
            return Some(*why);
        }
        if let Some((_, why)) = ALWAYS.iter().find(|(start, _)| name.starts_with(start)) {
            return Some(*why);
        }
        if let Some((_, why)) = ENDINGS.iter().find(|(end, _)| name.ends_with(end)) {
            return Some(*why);
        }
        if name.split('_').any(|word| SECRET_WORDS.contains(&word)) {
            return None;
        }
        if let Some((_, why)) = STARTS.iter().find(|(start, _)| name.starts_with(start)) {
            return Some(*why);
        }
        // AWS_ENDPOINT_URL_S3, OTEL_EXPORTER_OTLP_ENDPOINT_2
        name.split('_').any(|word| word == "ENDPOINT").then_some(Self::Destination)
    }

    /// What the name does, as the end of a sentence.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Loader => "the program loader reads it before a program starts",
            Self::Shell => "shells and the programs that they start obey it",
            Self::Runtime => "a language runtime or build tool takes options or code from it",
            Self::Transport => "git or ssh takes a command or its configuration from it",
            Self::Trust => "it decides which certificates programs trust",
            Self::Destination => "it decides which host programs send their secrets to",
            Self::Ours => "unsaid itself is configured by it",
        }
    }
}

use Reserved::{Destination, Loader, Ours, Runtime, Shell, Transport, Trust};

const EXACT: &[(&[&str], Reserved)] = &[
    (
        &[
            "GLIBC_TUNABLES",
            "GCONV_PATH",
            "LOCPATH",
            "NLSPATH",
            "GETCONF_DIR",
            "NIS_PATH",
            "LIBPATH",
            "SHLIB_PATH",
            "GTK_MODULES",
            "GTK_PATH",
            "QT_PLUGIN_PATH",
            "GIO_MODULE_DIR",
            "GIO_EXTRA_MODULES",
            "LIBGL_DRIVERS_PATH",
            "VK_ICD_FILENAMES",
            "TCMALLOC_HEAP_PROFILE",
        ],
        Loader,
    ),
    (
        &[
            "PATH",
            "IFS",
            "ENV",
            "BASH_ENV",
            "BASHOPTS",
            "SHELLOPTS",
            "PROMPT_COMMAND",
            "PS0",
            "PS1",
            "PS2",
            "PS4",
            "SHELL",
            "CDPATH",
            "GLOBIGNORE",
            "FPATH",
            "ZDOTDIR",
            "HOME",
            "PWD",
            "OLDPWD",
            "USER",
            "LOGNAME",
            "TMPDIR",
            "TMP",
            "TEMP",
            "EDITOR",
            "VISUAL",
            "PAGER",
            "MANPAGER",
            "BROWSER",
            "LESSOPEN",
            "LESSCLOSE",
            "SUDO_ASKPASS",
            "SUDO_EDITOR",
            "TERMINFO",
            "TERMINFO_DIRS",
            "TERMCAP",
            "INPUTRC",
            "DISPLAY",
            "WAYLAND_DISPLAY",
            "XAUTHORITY",
            "DBUS_SESSION_BUS_ADDRESS",
            "DBUS_SYSTEM_BUS_ADDRESS",
            "PATHEXT",
            "COMSPEC",
            "SYSTEMROOT",
            "WINDIR",
            "PSMODULEPATH",
            "USERPROFILE",
            "APPDATA",
            "LOCALAPPDATA",
            "PROGRAMDATA",
        ],
        Shell,
    ),
    (
        &[
            "NODE_OPTIONS",
            "NODE_PATH",
            "NODE_CHANNEL_FD",
            "NODE_V8_COVERAGE",
            "NODE_ICU_DATA",
            "ELECTRON_RUN_AS_NODE",
            "RUBYOPT",
            "RUBYLIB",
            "RUBYPATH",
            "RUBYSHELL",
            "GEM_HOME",
            "GEM_PATH",
            "BUNDLE_GEMFILE",
            "BUNDLE_PATH",
            "BUNDLE_BIN",
            "PERLLIB",
            "PERL_MM_OPT",
            "PERL_MB_OPT",
            "PHPRC",
            "PHP_INI_SCAN_DIR",
            "LUA_PATH",
            "LUA_CPATH",
            "CLASSPATH",
            "JAVA_HOME",
            "JAVA_OPTS",
            "JAVA_TOOL_OPTIONS",
            "_JAVA_OPTIONS",
            "JDK_JAVA_OPTIONS",
            "JVM_OPTS",
            "MAVEN_OPTS",
            "MAVEN_ARGS",
            "GRADLE_OPTS",
            "GRADLE_USER_HOME",
            "SBT_OPTS",
            "CATALINA_OPTS",
            "CATALINA_HOME",
            "RUSTC",
            "RUSTDOC",
            "RUSTFLAGS",
            "RUSTDOCFLAGS",
            "RUSTC_WRAPPER",
            "RUSTC_WORKSPACE_WRAPPER",
            "CC",
            "CXX",
            "LD",
            "AR",
            "CFLAGS",
            "CXXFLAGS",
            "LDFLAGS",
            "MAKE",
            "MAKEFLAGS",
            "GOFLAGS",
            "GOPATH",
            "GOROOT",
            "GOENV",
            "GOSUMDB",
            "GONOSUMDB",
            "GONOSUMCHECK",
            "GOINSECURE",
            "GOTOOLCHAIN",
            "OPENSSL_MODULES",
            "OPENSSL_ENGINES",
            "ERL_FLAGS",
            "ERL_AFLAGS",
            "ERL_ZFLAGS",
            "ELIXIR_ERL_OPTIONS",
            "R_PROFILE",
            "R_PROFILE_USER",
            "R_ENVIRON",
            "R_ENVIRON_USER",
            "JULIA_LOAD_PATH",
            "DENO_DIR",
            "BUN_INSTALL",
        ],
        Runtime,
    ),
    (&["GIT_ASKPASS", "SSH_ASKPASS", "RSYNC_RSH", "CVS_RSH", "SVN_SSH"], Transport),
    (
        &[
            "NODE_EXTRA_CA_CERTS",
            "NODE_TLS_REJECT_UNAUTHORIZED",
            "NODE_USE_ENV_PROXY",
            "OPENSSL_CONF",
            "SSLKEYLOGFILE",
            "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
            "CURL_HOME",
            "PIP_CERT",
            "NIX_SSL_CERT_FILE",
            "PGSSLROOTCERT",
            "PGSSLMODE",
        ],
        Trust,
    ),
    (
        &[
            "HOST",
            "HOSTNAME",
            "ENDPOINT",
            "BASE_URL",
            "API_URL",
            "API_BASE",
            "PROXY",
            "HOSTALIASES",
            "LOCALDOMAIN",
            "RES_OPTIONS",
            "GOPROXY",
            "PGHOST",
            "PGHOSTADDR",
            "PGSERVICEFILE",
            "PGSYSCONFDIR",
            "DOCKER_CONTEXT",
        ],
        Destination,
    ),
];

/// No name of these families is ever a credential's.
const ALWAYS: &[(&str, Reserved)] = &[
    ("LD_", Loader),
    ("DYLD_", Loader),
    ("_RLD", Loader),
    ("MALLOC_", Loader),
    ("BASH_FUNC_", Shell),
    ("XDG_", Shell),
    ("GIT_CONFIG", Transport),
    ("UNSAID_", Ours),
];

/// As `STARTS`, but at the end; here no word excuses, for the ending itself tells what is meant.
const ENDINGS: &[(&str, Reserved)] = &[
    ("_PROXY", Destination),
    ("_BASE_URL", Destination),
    ("_BASE_URI", Destination),
    ("_BASEURL", Destination),
    ("_API_BASE", Destination),
    ("_API_URL", Destination),
    ("_ENDPOINT", Destination),
    ("_ENDPOINTS", Destination),
    ("_ENDPOINT_URL", Destination),
    ("_HOST", Destination),
    ("_HOSTS", Destination),
    ("_HOSTNAME", Destination),
    ("_CA_BUNDLE", Trust),
    ("_CA_CERTS", Trust),
    ("_ASKPASS", Shell),
    ("_PRELOAD", Loader),
    ("_JAVA_OPTS", Runtime),
];

/// Families with ordinary secrets among them; see [`Reserved::of`].
const STARTS: &[(&str, Reserved)] = &[
    ("PYTHON", Runtime),
    ("PERL5", Runtime),
    ("LUA_INIT", Runtime),
    ("NODE_REPL_", Runtime),
    ("DOTNET_", Runtime),
    ("COMPLUS_", Runtime),
    ("CORECLR_", Runtime),
    ("COR_", Runtime),
    ("CARGO_", Runtime),
    ("RUSTUP_", Runtime),
    ("NPM_CONFIG_", Runtime),
    ("GIT_", Transport),
    ("SSH_", Transport),
    ("SSL_CERT_", Trust),
];

/// Words that mark an ordinary secret (or the user name beside it) within a family of `STARTS`.
const SECRET_WORDS: &[&str] = &[
    "TOKEN",
    "TOKENS",
    "AUTHTOKEN",
    "KEY",
    "KEYS",
    "APIKEY",
    "SECRET",
    "SECRETS",
    "PASSWORD",
    "PASSWD",
    "PASSPHRASE",
    "PASS",
    "PWD",
    "PAT",
    "CREDENTIALS",
    "USER",
    "USERNAME",
    "EMAIL",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ordinary_name_is_kept_as_written() {
        for name in
            ["GITHUB_TOKEN", "github_token", "_x", "A", "Stripe_Key_2", "DATABASE_URL", &"A".repeat(64)]
        {
            assert_eq!(CredentialName::parse(name).unwrap().as_str(), name);
        }
    }

    #[test]
    fn names_that_differ_only_by_case_share_a_key_but_are_not_equal() {
        let (lower, upper) =
            (CredentialName::parse("a_key").unwrap(), CredentialName::parse("A_KEY").unwrap());

        assert_eq!(lower.key(), upper.key());
        assert_ne!(lower, upper);
    }

    #[test]
    fn whatever_is_no_variable_name_is_refused_without_repeating_it() {
        for bad in ["", "1A", "A-B", "A.B", "A B", "A=B", "Ä", "A\0", "A\n", "Токен", &"A".repeat(65)] {
            let error = CredentialName::parse(bad).unwrap_err();

            assert_eq!(error.code, Code::InvalidInput);
            assert!(bad.is_empty() || bad.len() < 3 || !error.message().contains(bad));
        }
    }

    #[test]
    fn r_15_names_that_change_how_programs_run_are_refused_in_any_case() {
        for name in [
            "LD_PRELOAD",
            "LD_ANYTHING",
            "DYLD_INSERT_LIBRARIES",
            "PATH",
            "Path",
            "IFS",
            "BASH_ENV",
            "ENV",
            "HOME",
            "PROMPT_COMMAND",
            "PYTHONPATH",
            "PYTHONSTARTUP",
            "PYTHON_GIL",
            "NODE_OPTIONS",
            "node_options",
            "RUBYOPT",
            "PERL5LIB",
            "PERL5OPT",
            "GIT_SSH",
            "GIT_SSH_COMMAND",
            "GIT_CONFIG_COUNT",
            "GIT_CONFIG_KEY_0",
            "GIT_CONFIG_GLOBAL",
            "GIT_ASKPASS",
            "GIT_EXEC_PATH",
            "GIT_EXTERNAL_DIFF",
            "SSH_AUTH_SOCK",
            "SSH_ASKPASS",
            "HTTP_PROXY",
            "https_proxy",
            "ALL_PROXY",
            "NO_PROXY",
            "SSL_CERT_FILE",
            "SSL_CERT_DIR",
            "JAVA_TOOL_OPTIONS",
            "_JAVA_OPTIONS",
            "REQUESTS_CA_BUNDLE",
            "SSLKEYLOGFILE",
            "CARGO_BUILD_RUSTC_WRAPPER",
            "RUSTC_WRAPPER",
            "NPM_CONFIG_REGISTRY",
            "npm_config_script_shell",
            "DOTNET_STARTUP_HOOKS",
            "XDG_CONFIG_HOME",
            "UNSAID_HOME",
            "UNSAID_TOKEN",
            "unsaid_key",
            "EDITOR",
            "LESSOPEN",
            "GLIBC_TUNABLES",
        ] {
            assert_eq!(CredentialName::parse(name).unwrap_err().code, Code::ReservedName, "{name}");
        }
    }

    #[test]
    fn r_16_names_that_choose_a_destination_are_refused() {
        for name in [
            "OPENAI_BASE_URL",
            "ANTHROPIC_BASE_URL",
            "openai_api_base",
            "AWS_ENDPOINT_URL",
            "AWS_ENDPOINT_URL_S3",
            "AZURE_OPENAI_ENDPOINT",
            "DB_HOST",
            "DOCKER_HOST",
            "REDIS_HOST",
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "PGHOST",
            "GITHUB_API_URL",
        ] {
            assert_eq!(Reserved::of(name), Some(Reserved::Destination), "{name}");
            assert_eq!(CredentialName::parse(name).unwrap_err().code, Code::ReservedName, "{name}");
        }
    }

    #[test]
    fn the_names_people_really_give_their_secrets_pass() {
        for name in [
            "GIT_TOKEN",
            "GITHUB_TOKEN",
            "GH_TOKEN",
            "GITLAB_TOKEN",
            "GIT_PASSWORD",
            "GIT_SSH_KEY",
            "SSH_PRIVATE_KEY",
            "SSH_KEY",
            "SSH_KEY_PASSPHRASE",
            "SSH_DEPLOY_KEY_BASE64",
            "SSH_PASSWORD",
            "PYPI_TOKEN",
            "NODE_AUTH_TOKEN",
            "NPM_TOKEN",
            "NPM_CONFIG__AUTHTOKEN",
            "DATABASE_URL",
            "REDIS_URL",
            "SENTRY_DSN",
            "SLACK_WEBHOOK_URL",
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_SESSION_TOKEN",
            "OPENAI_API_KEY",
            "ANTHROPIC_API_KEY",
            "CARGO_REGISTRY_TOKEN",
            "CARGO_REGISTRIES_MINE_TOKEN",
            "PYTHONANYWHERE_API_TOKEN",
            "STRIPE_ENDPOINT_SECRET",
            "GOOGLE_APPLICATION_CREDENTIALS",
            "KUBECONFIG",
            "PGPASSWORD",
            "HTTP_PROXY_PASSWORD",
            "PATH_TOKEN",
            "GHOST_ADMIN_KEY",
            "PROXYCURL_API_KEY",
            "ENVOY_TOKEN",
            "SSL_KEY",
            "LDAP_PASSWORD",
            "HOSTINGER_TOKEN",
            "MAIL_PASSWORD",
            "DB_USER",
            "JWT_SECRET",
            "HEROKU_API_KEY",
            "TLS_PRIVATE_KEY",
            "GPG_KEY",
        ] {
            assert!(CredentialName::parse(name).is_ok(), "{name}");
        }
    }

    #[test]
    fn json_is_parsed_by_the_same_rules_and_the_schema_states_them() {
        assert_eq!(serde_json::from_str::<CredentialName>("\"A_KEY\"").unwrap().as_str(), "A_KEY");
        let error = serde_json::from_str::<CredentialName>("\"not a name 123\"").unwrap_err();
        let schema = schemars::schema_for!(CredentialName);

        assert!(!error.to_string().contains("not a name 123"));
        assert_eq!(schema.get("maxLength").unwrap(), 64);
        assert_eq!(schema.get("pattern").unwrap(), "^[A-Za-z_][A-Za-z0-9_]*$");
    }
}
