//! The name of a credential, which is also the environment variable that a program finds it under.
//!
//! Refuses whatever is no such name, and the names that change how programs run (SECURITY.md §4): a value
//! under `LD_PRELOAD` or `OPENAI_BASE_URL` would be a command or a destination, not a secret.
mod reserved;

use crate::error::{Code, Error, Result, invalid};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;

pub use reserved::Reserved;

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
    #[rustfmt::skip]
    fn r_15_names_that_change_how_programs_run_are_refused_in_any_case() {
        for name in [
            "LD_PRELOAD", "LD_ANYTHING", "DYLD_INSERT_LIBRARIES", "PATH", "Path", "IFS", "BASH_ENV", "ENV",
            "HOME", "PROMPT_COMMAND", "PYTHONPATH", "PYTHONSTARTUP", "PYTHON_GIL", "NODE_OPTIONS",
            "node_options", "RUBYOPT", "PERL5LIB", "PERL5OPT", "GIT_SSH", "GIT_SSH_COMMAND",
            "GIT_CONFIG_COUNT", "GIT_CONFIG_KEY_0", "GIT_CONFIG_GLOBAL", "GIT_ASKPASS", "GIT_EXEC_PATH",
            "GIT_EXTERNAL_DIFF", "SSH_AUTH_SOCK", "SSH_ASKPASS", "HTTP_PROXY", "https_proxy", "ALL_PROXY",
            "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR", "JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS",
            "REQUESTS_CA_BUNDLE", "SSLKEYLOGFILE", "CARGO_BUILD_RUSTC_WRAPPER", "RUSTC_WRAPPER",
            "NPM_CONFIG_REGISTRY", "npm_config_script_shell", "DOTNET_STARTUP_HOOKS", "XDG_CONFIG_HOME",
            "UNSAID_HOME", "UNSAID_TOKEN", "unsaid_key", "EDITOR", "LESSOPEN", "GLIBC_TUNABLES",
        ] {
            assert_eq!(CredentialName::parse(name).unwrap_err().code, Code::ReservedName, "{name}");
        }
    }

    #[test]
    #[rustfmt::skip]
    fn r_16_names_that_choose_a_destination_are_refused() {
        for name in [
            "OPENAI_BASE_URL", "ANTHROPIC_BASE_URL", "openai_api_base", "AWS_ENDPOINT_URL",
            "AWS_ENDPOINT_URL_S3", "AZURE_OPENAI_ENDPOINT", "DB_HOST", "DOCKER_HOST", "REDIS_HOST",
            "OTEL_EXPORTER_OTLP_ENDPOINT", "PGHOST", "GITHUB_API_URL",
        ] {
            assert_eq!(Reserved::of(name), Some(Reserved::Destination), "{name}");
            assert_eq!(CredentialName::parse(name).unwrap_err().code, Code::ReservedName, "{name}");
        }
    }

    #[test]
    #[rustfmt::skip]
    fn the_names_people_really_give_their_secrets_pass() {
        for name in [
            "GIT_TOKEN", "GITHUB_TOKEN", "GH_TOKEN", "GITLAB_TOKEN", "GIT_PASSWORD", "GIT_SSH_KEY",
            "SSH_PRIVATE_KEY", "SSH_KEY", "SSH_KEY_PASSPHRASE", "SSH_DEPLOY_KEY_BASE64", "SSH_PASSWORD",
            "PYPI_TOKEN", "NODE_AUTH_TOKEN", "NPM_TOKEN", "NPM_CONFIG__AUTHTOKEN", "DATABASE_URL",
            "REDIS_URL", "SENTRY_DSN", "SLACK_WEBHOOK_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY",
            "AWS_SESSION_TOKEN", "OPENAI_API_KEY", "ANTHROPIC_API_KEY", "CARGO_REGISTRY_TOKEN",
            "CARGO_REGISTRIES_MINE_TOKEN", "PYTHONANYWHERE_API_TOKEN", "STRIPE_ENDPOINT_SECRET",
            "GOOGLE_APPLICATION_CREDENTIALS", "KUBECONFIG", "PGPASSWORD", "HTTP_PROXY_PASSWORD",
            "PATH_TOKEN", "GHOST_ADMIN_KEY", "PROXYCURL_API_KEY", "ENVOY_TOKEN", "SSL_KEY",
            "LDAP_PASSWORD", "HOSTINGER_TOKEN", "MAIL_PASSWORD", "DB_USER", "JWT_SECRET", "HEROKU_API_KEY",
            "TLS_PRIVATE_KEY", "GPG_KEY",
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
