//! The names that change how programs run, which no credential may have (SECURITY.md §4).

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

#[rustfmt::skip]
const EXACT: &[(&[&str], Reserved)] = &[
    (
        &[
            "GLIBC_TUNABLES", "GCONV_PATH", "LOCPATH", "NLSPATH", "GETCONF_DIR", "NIS_PATH", "LIBPATH",
            "SHLIB_PATH", "GTK_MODULES", "GTK_PATH", "QT_PLUGIN_PATH", "GIO_MODULE_DIR",
            "GIO_EXTRA_MODULES", "LIBGL_DRIVERS_PATH", "VK_ICD_FILENAMES", "TCMALLOC_HEAP_PROFILE",
        ],
        Loader,
    ),
    (
        &[
            "PATH", "IFS", "ENV", "BASH_ENV", "BASHOPTS", "SHELLOPTS", "PROMPT_COMMAND", "PS0", "PS1",
            "PS2", "PS4", "SHELL", "CDPATH", "GLOBIGNORE", "FPATH", "ZDOTDIR", "HOME", "PWD", "OLDPWD",
            "USER", "LOGNAME", "TMPDIR", "TMP", "TEMP", "EDITOR", "VISUAL", "PAGER", "MANPAGER", "BROWSER",
            "LESSOPEN", "LESSCLOSE", "SUDO_ASKPASS", "SUDO_EDITOR", "TERMINFO", "TERMINFO_DIRS", "TERMCAP",
            "INPUTRC", "DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY", "DBUS_SESSION_BUS_ADDRESS",
            "DBUS_SYSTEM_BUS_ADDRESS", "PATHEXT", "COMSPEC", "SYSTEMROOT", "WINDIR", "PSMODULEPATH",
            "USERPROFILE", "APPDATA", "LOCALAPPDATA", "PROGRAMDATA",
        ],
        Shell,
    ),
    (
        &[
            "NODE_OPTIONS", "NODE_PATH", "NODE_CHANNEL_FD", "NODE_V8_COVERAGE", "NODE_ICU_DATA",
            "ELECTRON_RUN_AS_NODE", "RUBYOPT", "RUBYLIB", "RUBYPATH", "RUBYSHELL", "GEM_HOME", "GEM_PATH",
            "BUNDLE_GEMFILE", "BUNDLE_PATH", "BUNDLE_BIN", "PERLLIB", "PERL_MM_OPT", "PERL_MB_OPT",
            "PHPRC", "PHP_INI_SCAN_DIR", "LUA_PATH", "LUA_CPATH", "CLASSPATH", "JAVA_HOME", "JAVA_OPTS",
            "JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "JDK_JAVA_OPTIONS", "JVM_OPTS", "MAVEN_OPTS",
            "MAVEN_ARGS", "GRADLE_OPTS", "GRADLE_USER_HOME", "SBT_OPTS", "CATALINA_OPTS", "CATALINA_HOME",
            "RUSTC", "RUSTDOC", "RUSTFLAGS", "RUSTDOCFLAGS", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER",
            "CC", "CXX", "LD", "AR", "CFLAGS", "CXXFLAGS", "LDFLAGS", "MAKE", "MAKEFLAGS", "GOFLAGS",
            "GOPATH", "GOROOT", "GOENV", "GOSUMDB", "GONOSUMDB", "GONOSUMCHECK", "GOINSECURE",
            "GOTOOLCHAIN", "OPENSSL_MODULES", "OPENSSL_ENGINES", "ERL_FLAGS", "ERL_AFLAGS", "ERL_ZFLAGS",
            "ELIXIR_ERL_OPTIONS", "R_PROFILE", "R_PROFILE_USER", "R_ENVIRON", "R_ENVIRON_USER",
            "JULIA_LOAD_PATH", "DENO_DIR", "BUN_INSTALL",
        ],
        Runtime,
    ),
    (&["GIT_ASKPASS", "SSH_ASKPASS", "RSYNC_RSH", "CVS_RSH", "SVN_SSH"], Transport),
    (
        &[
            "NODE_EXTRA_CA_CERTS", "NODE_TLS_REJECT_UNAUTHORIZED", "NODE_USE_ENV_PROXY", "OPENSSL_CONF",
            "SSLKEYLOGFILE", "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", "CURL_HOME", "PIP_CERT",
            "NIX_SSL_CERT_FILE", "PGSSLROOTCERT", "PGSSLMODE",
        ],
        Trust,
    ),
    (
        &[
            "HOST", "HOSTNAME", "ENDPOINT", "BASE_URL", "API_URL", "API_BASE", "PROXY", "HOSTALIASES",
            "LOCALDOMAIN", "RES_OPTIONS", "GOPROXY", "PGHOST", "PGHOSTADDR", "PGSERVICEFILE",
            "PGSYSCONFDIR", "DOCKER_CONTEXT",
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
    ("COR_PROFILER", Runtime),
    ("COR_ENABLE_", Runtime),
    ("CARGO_", Runtime),
    ("RUSTUP_", Runtime),
    ("NPM_CONFIG_", Runtime),
    ("GIT_", Transport),
    ("SSH_", Transport),
    ("SSL_CERT_", Trust),
];

/// Words that mark an ordinary secret (or the user name beside it) within a family of `STARTS`.
#[rustfmt::skip]
const SECRET_WORDS: &[&str] = &[
    "TOKEN", "TOKENS", "AUTHTOKEN", "KEY", "KEYS", "APIKEY", "SECRET", "SECRETS", "PASSWORD", "PASSWD",
    "PASSPHRASE", "PASS", "PWD", "PAT", "CREDENTIALS", "USER", "USERNAME", "EMAIL",
];
