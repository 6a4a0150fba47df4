//! What the name beside a value says: whether a secret follows.
//!
//! Knows words, and no format; what a value looks like by itself is for the detector to say.

/// Whether the name of a variable, an option or a parameter says that a secret follows.
pub fn says_secret(name: &str) -> bool {
    let words = words(name);
    let about = words.last().is_some_and(|last| ABOUT.contains(&last.as_str()));
    let connection = words.windows(2).any(|pair| pair[0] == "CONNECTION" && pair[1] == "STRING");
    !about && (connection || words.iter().any(|word| SECRET_WORDS.contains(&word.as_str())))
}

/// A switch, a number where the name counts, or the path of a key file: no secret, whatever else the name says.
pub fn is_plain_setting(name: &str, value: &str) -> bool {
    let value = value.trim();
    let words = words(name);
    let is_key = words.iter().any(|word| {
        matches!(
            word.as_str(),
            "PASSWORD" | "PASSWD" | "PASS" | "PWD" | "PIN" | "OTP" | "SECRET" | "PASSPHRASE"
        )
    });
    let counts = !is_key && words.iter().any(|word| COUNTING.contains(&word.as_str()));
    let number = counts && value.len() <= 9 && value.bytes().all(|b| b.is_ascii_digit());
    let path = ["/", "~/", "./", "../"].iter().any(|start| value.starts_with(start))
        && !is_key
        && value.rsplit('/').next().is_some_and(|file| file.contains('.'));
    is_switch(value) || number || path
}

/// On or off: nobody is let in by that.
pub fn is_switch(value: &str) -> bool {
    ["true", "false", "yes", "no", "on", "off", "enabled", "disabled"]
        .contains(&value.trim().to_ascii_lowercase().as_str())
}

/// What documentation writes where a value belongs.
pub fn is_placeholder(value: &str) -> bool {
    let value = value.trim();
    let lower = value.to_ascii_lowercase();
    let one_word = !value.contains(char::is_whitespace);
    let no_digits = !value.bytes().any(|b| b.is_ascii_digit());
    let speaks = lower.contains("your") || ["_here", "-here"].iter().any(|end| lower.ends_with(end));
    (value.starts_with('<') && value.ends_with('>'))
        || value.chars().all(|c| "*xX.-_•…".contains(c))
        || (one_word && no_digits && speaks)
        || ["changeme", "change-me", "change_me", "replace-me", "replace_me", "todo", "none", "null"]
            .contains(&lower.as_str())
}

#[rustfmt::skip]
const SECRET_WORDS: &[&str] = &[
    "TOKEN", "TOKENS", "AUTHTOKEN", "ACCESSTOKEN", "KEY", "KEYS", "APIKEY", "SECRET", "SECRETS", "PASSWORD", "PASSWD",
    "PASSPHRASE", "PASS", "PWD", "PAT", "CREDENTIAL", "CREDENTIALS", "AUTH", "AUTHORIZATION", "BEARER", "COOKIE",
    "DSN", "PRIVATE", "JWT", "SIGNATURE", "OTP", "PIN",
];

/// Last words of a name that is about a secret without being one.
#[rustfmt::skip]
const ABOUT: &[&str] = &[
    "FILE", "PATH", "DIR", "FOLDER", "URL", "URI", "HOST", "PORT", "TYPE", "MODE", "METHOD", "NAME", "HEADER", "TTL",
    "LIMIT", "COUNT", "LENGTH", "SIZE", "EXPIRY", "ENABLED", "REQUIRED", "PREFIX", "REGION", "SCOPE", "SCOPES", "ISSUER",
    "AUDIENCE", "PROVIDER", "ALGORITHM", "FLOW",
];

/// Words of a name that counts something or tells a time: a number beside it is no secret.
#[rustfmt::skip]
const COUNTING: &[&str] = &[
    "MAX", "MIN", "MOST", "NUM", "NUMBER", "TOKENS", "KEYS", "BUDGET", "TIMEOUT", "INTERVAL", "RETRIES", "MS", "SECONDS",
    "SECS", "MINUTES", "HOURS", "DAYS",
];

/// `figmaApiKey`, `figma-api-key` and `FIGMA_API_KEY` are the same three words.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut before = '_';
    for c in name.chars() {
        let starts = c.is_ascii_uppercase() && before.is_ascii_lowercase();
        if !c.is_ascii_alphanumeric() || starts {
            words.push(String::new());
        }
        if c.is_ascii_alphanumeric() {
            words.last_mut().expect("there is one").push(c.to_ascii_uppercase());
        }
        before = c;
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_plain_beside_a_name_that_counts_and_beside_no_other() {
        for name in ["MAX_TOKENS", "--max-tokens", "tokenBudget", "AUTH_TIMEOUT_MS"] {
            assert!(is_plain_setting(name, "4096"), "{name}");
        }
        for name in ["API_KEY", "X-Api-Key", "AUTH_TOKEN", "MAX_SECRET", "PIN", "COOKIE", "MIN_PASSWORD"] {
            assert!(!is_plain_setting(name, "48213377"), "{name}");
        }
    }

    #[test]
    fn a_switch_and_the_path_of_a_file_are_plain_and_a_text_is_not() {
        for (value, is_plain) in [
            ("true", true),
            ("Off", true),
            ("/keys/id.pem", true),
            ("trueish", false),
            ("hunter22", false),
            ("/keys/id", false),
            ("", false),
        ] {
            assert_eq!(is_plain_setting("PRIVATE_KEY", value), is_plain, "{value}");
        }
        assert!(!is_plain_setting("DB_PASSWORD", "/keys/id.pem"));
    }
}
