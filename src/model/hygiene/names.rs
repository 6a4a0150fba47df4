//! Names and descriptions that tell nobody what a credential opens.
use super::subject::Subject;
use crate::model::credential::Environment;

/// Parts of names that say nothing of the service or the purpose.
const GENERIC: &[&str] = &[
    "A",
    "ACCESS",
    "API",
    "APIKEY",
    "APP",
    "AUTH",
    "BAR",
    "BAZ",
    "COPY",
    "CRED",
    "CREDENTIAL",
    "CREDENTIALS",
    "CREDS",
    "DEFAULT",
    "DEV",
    "FOO",
    "ID",
    "KEY",
    "KEYS",
    "LOGIN",
    "MAIN",
    "MISC",
    "MY",
    "NEW",
    "OLD",
    "OTHER",
    "PASS",
    "PASSWD",
    "PASSWORD",
    "PRIVATE",
    "PROD",
    "PWD",
    "QA",
    "SECRET",
    "SECRETS",
    "SERVICE",
    "STAGING",
    "STUFF",
    "TEMP",
    "TEST",
    "TESTING",
    "THE",
    "TMP",
    "TODO",
    "TOKEN",
    "TOKENS",
    "UNTITLED",
    "USER",
    "VALUE",
    "XX",
    "XXX",
];
/// Words of descriptions that say nothing either.
const FILLERS: &[&str] = &[
    "a",
    "an",
    "and",
    "api",
    "credential",
    "foo",
    "for",
    "here",
    "important",
    "is",
    "it",
    "key",
    "misc",
    "my",
    "new",
    "of",
    "old",
    "our",
    "password",
    "secret",
    "some",
    "stuff",
    "tbd",
    "temp",
    "test",
    "the",
    "thing",
    "this",
    "tmp",
    "to",
    "todo",
    "token",
    "used",
    "value",
    "xxx",
];

/// Whether no part of `name` says what it opens.
pub fn is_vague_name(name: &str) -> bool {
    name.split('_').filter(|part| !part.is_empty()).all(|part| {
        let part = part.to_ascii_uppercase();
        let bare = part.trim_end_matches(|c: char| c.is_ascii_digit());
        bare.len() <= 1 || GENERIC.binary_search(&bare).is_ok()
    })
}

/// Whether `description` says no more than the name and the service do.
pub fn is_vague_description(description: &str, name: &str, service: &str) -> bool {
    let known: Vec<String> = name
        .split('_')
        .chain(service.split(['-', '_', ' ']))
        .map(str::to_lowercase)
        .filter(|part| !part.is_empty())
        .collect();
    description
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .all(|word| {
            word.chars().all(|c| c.is_ascii_digit())
                || FILLERS.binary_search(&word.as_str()).is_ok()
                || known.contains(&word)
        })
}

/// Words in names that say that something is not for production.
const NOT_PRODUCTION: &[&str] =
    &["DEV", "DEVELOPMENT", "LOCAL", "QA", "SANDBOX", "STAGE", "STAGING", "TEST", "TESTING"];

/// Whether it stands in a place that is not production, by its environment or else by its name.
pub fn is_outside_production(s: &Subject) -> bool {
    match s.environment {
        Environment::Staging | Environment::Dev => true,
        Environment::Prod => false,
        Environment::Any => {
            s.name.split('_').any(|part| NOT_PRODUCTION.contains(&part.to_ascii_uppercase().as_str()))
        }
    }
}

/// A name that says more: what the service is customarily called, and what tells it from others.
pub fn better_name(s: &Subject) -> Option<String> {
    let mut name = match (&s.customary, s.services().first().filter(|_| s.service.is_empty())) {
        (Some(customary), _) => customary.to_string(),
        (None, Some(service)) => format!("{}_TOKEN", service.to_uppercase().replace('-', "_")),
        (None, None) if !s.service.is_empty() => {
            format!("{}_TOKEN", s.service.to_uppercase().replace('-', "_"))
        }
        (None, None) => return None,
    };
    if s.environment != Environment::Any {
        name.push('_');
        name.push_str(&s.environment.to_string().to_uppercase());
    }
    (*name != *s.name && name.len() <= 64).then_some(name)
}

/// Parts of variables that say that a secret stands there.
const SECRETS: &[&str] = &[
    "APIKEY",
    "CREDENTIAL",
    "CREDENTIALS",
    "KEY",
    "PASS",
    "PASSPHRASE",
    "PASSWD",
    "PASSWORD",
    "PWD",
    "SECRET",
    "TOKEN",
];

/// Whether a variable's name says that a secret stands there.
pub fn names_a_secret(variable: &str) -> bool {
    variable.split('_').any(|part| SECRETS.contains(&part.to_ascii_uppercase().as_str()))
}

/// Whether a text is configuration whatever its variable is called: a path, an address, a number, a switch, or nothing.
pub fn is_configuration(text: &str) -> bool {
    let text = text.trim();
    text.is_empty()
        || text.starts_with(['/', '~'])
        || text.starts_with("./")
        || (text.contains("://") && !text.contains('@'))
        || text.parse::<f64>().is_ok()
        || ["true", "false", "yes", "no", "on", "off", "none"].contains(&text.to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_are_in_order_so_that_they_can_be_searched() {
        assert!(GENERIC.is_sorted() && FILLERS.is_sorted());
    }

    #[test]
    fn a_name_is_vague_where_no_part_says_what_it_opens() {
        for name in ["API_KEY", "TOKEN", "MY_SECRET_2", "KEY1", "TEST_TOKEN_NEW", "x", "PROD_KEY"] {
            assert!(is_vague_name(name), "{name}");
        }
        for name in [
            "GITHUB_TOKEN",
            "STRIPE_KEY",
            "MAIL_PASSWORD",
            "DATABASE_URL",
            "CI_DEPLOY_KEY",
            "AWS_ACCESS_KEY_ID",
            "S3_KEY_EU",
            "PAYROLL",
            "ORG_KEY",
            "PG_PASSWORD",
            "NPM_TOKEN",
            "DNS_API_TOKEN",
            "BILLING_SECRET",
            "MAPS_API_KEY",
        ] {
            assert!(!is_vague_name(name), "{name}");
        }
    }

    #[test]
    fn a_description_is_vague_where_it_says_no_more_than_the_name() {
        for text in ["", "  ", "the github token", "API key", "todo", "test 123", "GITHUB_TOKEN"] {
            assert!(is_vague_description(text, "GITHUB_TOKEN", "github"), "{text}");
        }
        for text in [
            "Deploys the site",
            "reads issues",
            "owned by payments",
            "CI",
            "for the nightly build",
            "rotated by Ada",
            "GitHub token of the release bot",
            "billing",
            "Schlüssel der Buchhaltung",
            "staging only",
            "デプロイ用",
            "used by cron",
            "invoices",
            "backup job",
        ] {
            assert!(!is_vague_description(text, "GITHUB_TOKEN", "github"), "{text}");
        }
    }

    #[test]
    fn a_variable_names_a_secret_by_a_part_of_its_name() {
        for name in ["API_KEY", "GITHUB_TOKEN", "db_password", "SMTP_PASS"] {
            assert!(names_a_secret(name), "{name}");
        }
        for name in
            ["LOG_LEVEL", "KEYBOARD", "PASSENGER_URL", "MONKEY_PATCH", "REGION", "TOKENIZER", "HOST", "PORT"]
        {
            assert!(!names_a_secret(name), "{name}");
        }
    }

    #[test]
    fn plain_configuration_is_no_secret_whatever_its_variable_is_called() {
        for text in
            ["", "/etc/key.pem", "~/.ssh/id", "https://auth.example/token", "3600", "true", "./key", "0.5"]
        {
            assert!(is_configuration(text), "{text}");
        }
        for text in ["hunter2", "postgres://me:word@host/db", "abc-def-123", "some words"] {
            assert!(!is_configuration(text), "{text}");
        }
    }
}
