//! Keys that are known by their shape: our own list without regular expressions, and the catalogue's, compiled late.
use regex::Regex;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Text that gives a secret away wherever it stands.
const MARKERS: &[(&str, &str)] = &[
    ("-----BEGIN ", "a PEM block"),
    ("PuTTY-User-Key-File", "a PuTTY private key"),
    ("AGE-SECRET-KEY-1", "an age private key"),
    ("AGE-PLUGIN-", "an age plugin identity"),
    ("hooks.slack.com/services/T", "a Slack webhook address"),
    ("hooks.slack.com/workflows/T", "a Slack webhook address"),
    ("hooks.slack.com/triggers/T", "a Slack webhook address"),
    ("discord.com/api/webhooks/", "a Discord webhook address"),
    ("discordapp.com/api/webhooks/", "a Discord webhook address"),
    ("\"private_key\"", "a service account file"),
];

pub(super) fn marker(text: &str) -> Option<&'static str> {
    // All markers have one of these; most text has neither.
    if !text.contains(['-', '.', '"']) {
        return None;
    }
    MARKERS.iter().find(|(marker, _)| text.contains(marker)).map(|(_, why)| *why)
}

/// What may follow a prefix.
#[derive(Clone, Copy)]
enum Of {
    Hex,
    Upper,
    Alnum,
    /// Letters, digits, `-` and `_`.
    Url,
    /// `Url` with `.`, `=`, `+`, `/` and `~`.
    Any,
}

impl Of {
    fn has(self, byte: u8) -> bool {
        match self {
            Of::Hex => byte.is_ascii_hexdigit(),
            Of::Upper => byte.is_ascii_uppercase() || byte.is_ascii_digit(),
            Of::Alnum => byte.is_ascii_alphanumeric(),
            Of::Url => byte.is_ascii_alphanumeric() || b"-_".contains(&byte),
            Of::Any => byte.is_ascii_alphanumeric() || b"-_.=+/~".contains(&byte),
        }
    }
}

/// Prefix, what follows it, how many of those at least, and what it is.
const PREFIXES: &[(&str, Of, usize, &str)] = &[
    ("unsaid_", Of::Alnum, 40, "a token of unsaid"),
    ("AKIA", Of::Upper, 16, "an AWS access key"),
    ("ASIA", Of::Upper, 16, "an AWS access key"),
    ("ABSK", Of::Any, 60, "an AWS Bedrock key"),
    ("ghp_", Of::Alnum, 30, "a GitHub token"),
    ("gho_", Of::Alnum, 30, "a GitHub token"),
    ("ghu_", Of::Alnum, 30, "a GitHub token"),
    ("ghs_", Of::Any, 30, "a GitHub token"),
    ("ghr_", Of::Alnum, 30, "a GitHub token"),
    ("github_pat_", Of::Url, 40, "a GitHub token"),
    ("glpat-", Of::Url, 20, "a GitLab token"),
    ("gldt-", Of::Url, 20, "a GitLab token"),
    ("glptt-", Of::Url, 20, "a GitLab token"),
    ("glrt-", Of::Url, 20, "a GitLab token"),
    ("glcbt-", Of::Url, 20, "a GitLab token"),
    ("glsoat-", Of::Url, 20, "a GitLab token"),
    ("gloas-", Of::Url, 20, "a GitLab secret"),
    ("xoxb-", Of::Url, 20, "a Slack token"),
    ("xoxp-", Of::Url, 20, "a Slack token"),
    ("xoxa-", Of::Url, 20, "a Slack token"),
    ("xoxs-", Of::Url, 20, "a Slack token"),
    ("xoxr-", Of::Url, 20, "a Slack token"),
    ("xoxe-", Of::Url, 20, "a Slack token"),
    ("xoxe.", Of::Any, 20, "a Slack token"),
    ("xapp-", Of::Url, 20, "a Slack token"),
    ("sk_live_", Of::Alnum, 16, "a Stripe key"),
    ("sk_test_", Of::Alnum, 16, "a Stripe key"),
    ("rk_live_", Of::Alnum, 16, "a Stripe key"),
    ("rk_test_", Of::Alnum, 16, "a Stripe key"),
    ("whsec_", Of::Any, 20, "a webhook secret"),
    ("sk-ant-", Of::Url, 24, "an Anthropic key"),
    ("sk-proj-", Of::Url, 24, "an OpenAI key"),
    ("sk-svcacct-", Of::Url, 24, "an OpenAI key"),
    ("sk-admin-", Of::Url, 24, "an OpenAI key"),
    ("sk-or-v1-", Of::Hex, 32, "an OpenRouter key"),
    ("sk-", Of::Alnum, 32, "an API key"),
    ("AIza", Of::Url, 35, "a Google API key"),
    ("GOCSPX-", Of::Url, 24, "a Google client secret"),
    ("ya29.", Of::Any, 20, "a Google access token"),
    ("1//", Of::Url, 40, "a Google refresh token"),
    ("eyJ", Of::Any, 36, "a JSON web token"),
    ("SG.", Of::Any, 40, "a SendGrid key"),
    ("xkeysib-", Of::Url, 40, "a Brevo key"),
    ("npm_", Of::Alnum, 36, "an npm token"),
    ("pypi-", Of::Url, 50, "a PyPI token"),
    ("rubygems_", Of::Hex, 40, "a RubyGems key"),
    ("dckr_pat_", Of::Url, 20, "a Docker token"),
    ("dckr_oat_", Of::Url, 20, "a Docker token"),
    ("dop_v1_", Of::Hex, 40, "a DigitalOcean token"),
    ("doo_v1_", Of::Hex, 40, "a DigitalOcean token"),
    ("dor_v1_", Of::Hex, 40, "a DigitalOcean token"),
    ("hvs.", Of::Url, 20, "a Vault token"),
    ("hvb.", Of::Url, 20, "a Vault token"),
    ("hf_", Of::Alnum, 30, "a Hugging Face token"),
    ("gsk_", Of::Alnum, 40, "a Groq key"),
    ("r8_", Of::Url, 36, "a Replicate token"),
    ("xai-", Of::Url, 60, "an xAI key"),
    ("pplx-", Of::Alnum, 40, "a Perplexity key"),
    ("shpat_", Of::Hex, 32, "a Shopify token"),
    ("shpca_", Of::Hex, 32, "a Shopify token"),
    ("shppa_", Of::Hex, 32, "a Shopify token"),
    ("shpss_", Of::Hex, 32, "a Shopify secret"),
    ("lin_api_", Of::Alnum, 32, "a Linear key"),
    ("lin_oauth_", Of::Alnum, 32, "a Linear token"),
    ("ntn_", Of::Alnum, 40, "a Notion token"),
    ("secret_", Of::Alnum, 40, "a Notion token"),
    ("ATATT3", Of::Any, 40, "an Atlassian token"),
    ("ATCTT3", Of::Any, 40, "an Atlassian token"),
    ("ATBB", Of::Any, 24, "a Bitbucket token"),
    ("figd_", Of::Any, 36, "a Figma token"),
    ("sntrys_", Of::Any, 40, "a Sentry token"),
    ("sntryu_", Of::Hex, 40, "a Sentry token"),
    ("glsa_", Of::Url, 32, "a Grafana token"),
    ("glc_", Of::Any, 32, "a Grafana token"),
    ("dapi", Of::Hex, 32, "a Databricks token"),
    ("NRAK-", Of::Upper, 27, "a New Relic key"),
    ("HRKU-", Of::Url, 30, "a Heroku key"),
    ("fo1_", Of::Url, 40, "a Fly.io token"),
    ("FlyV1", Of::Any, 40, "a Fly.io token"),
    ("sbp_", Of::Hex, 40, "a Supabase token"),
    ("sb_secret_", Of::Url, 15, "a Supabase key"),
    ("pscale_tkn_", Of::Any, 32, "a PlanetScale token"),
    ("pscale_pw_", Of::Any, 32, "a PlanetScale password"),
    ("napi_", Of::Alnum, 40, "a Neon key"),
    ("nfp_", Of::Alnum, 36, "a Netlify token"),
    ("dp.pt.", Of::Alnum, 40, "a Doppler token"),
    ("dp.st.", Of::Any, 40, "a Doppler token"),
    ("ops_eyJ", Of::Any, 40, "a 1Password token"),
    ("tskey-", Of::Url, 20, "a Tailscale key"),
    ("pul-", Of::Hex, 40, "a Pulumi token"),
    ("PMAK-", Of::Url, 50, "a Postman key"),
    ("CCIPAT_", Of::Url, 40, "a CircleCI token"),
    ("phx_", Of::Alnum, 40, "a PostHog key"),
    ("pcsk_", Of::Url, 50, "a Pinecone key"),
    ("CFPAT-", Of::Url, 40, "a Contentful token"),
    ("lsv2_", Of::Url, 40, "a LangSmith key"),
    ("EAAA", Of::Any, 56, "a Square token"),
    ("key-", Of::Alnum, 32, "a Mailgun key"),
];

/// Whether `word` begins with a key of our own list.
pub(super) fn known(word: &str) -> Option<&'static str> {
    let bytes = word.as_bytes();
    let first = *bytes.first()?;
    PREFIXES
        .iter()
        .filter(|(prefix, ..)| prefix.as_bytes()[0] == first)
        .find(|(prefix, of, least, _)| {
            bytes.strip_prefix(prefix.as_bytes()).is_some_and(|rest| {
                let rest = &rest[..rest.iter().take_while(|b| of.has(**b)).count()];
                // A run of one character is a placeholder: ghp_xxxx…
                rest.len() >= *least && rest.iter().any(|b| *b != rest[0])
            })
        })
        .map(|(_, _, _, why)| *why)
        .or_else(|| is_bot_token(bytes).then_some("a Telegram bot token"))
}

/// `123456789:AA…`
fn is_bot_token(bytes: &[u8]) -> bool {
    let digits = bytes.iter().take_while(|b| b.is_ascii_digit()).count();
    (8..=10).contains(&digits)
        && bytes[digits..]
            .strip_prefix(b":AA")
            .is_some_and(|rest| rest.iter().take_while(|b| Of::Url.has(**b)).count() >= 32)
}

const CATALOGUE: &str = "a key of a service in the catalogue";

/// The expressions of the service catalogue. Each is compiled when a text with its first characters turns up.
pub(super) struct Catalogue {
    source: Box<dyn Fn() -> Vec<String> + Send + Sync>,
    shapes: OnceLock<Vec<Shape>>,
    compiled: AtomicUsize,
}

struct Shape {
    text: String,
    /// The characters that every match begins with; may be empty.
    prefix: String,
    /// Spans several words: tried on a whole argument only.
    is_whole: bool,
    regex: OnceLock<Option<Regex>>,
}

impl Catalogue {
    pub(super) fn new(source: Box<dyn Fn() -> Vec<String> + Send + Sync>) -> Self {
        Self { source, shapes: OnceLock::new(), compiled: AtomicUsize::new(0) }
    }

    fn shapes(&self) -> &[Shape] {
        self.shapes.get_or_init(|| {
            let shape = |text: String| Shape {
                prefix: literal_prefix(&text),
                is_whole: text.starts_with("(?s)"),
                regex: OnceLock::new(),
                text,
            };
            (self.source)().into_iter().map(shape).collect()
        })
    }

    /// Whether one word is a key.
    pub(super) fn matches(&self, word: &str) -> Option<&'static str> {
        let mixed = word.bytes().any(|b| b.is_ascii_digit()) && word.bytes().any(|b| b.is_ascii_alphabetic());
        self.shapes()
            .iter()
            .filter(|shape| !shape.is_whole)
            .filter(|shape| if shape.prefix.is_empty() { mixed } else { word.starts_with(&shape.prefix) })
            .any(|shape| self.is_match(shape, word))
            .then_some(CATALOGUE)
    }

    /// Whether a whole argument is a key file, such as the JSON of a service account.
    pub(super) fn matches_whole(&self, text: &str) -> Option<&'static str> {
        let text = text.trim();
        if !text.contains(['\n', '{']) {
            return None;
        }
        self.shapes()
            .iter()
            .filter(|shape| shape.is_whole && text.starts_with('{') == shape.text.contains("\\{"))
            .any(|shape| self.is_match(shape, text))
            .then_some(CATALOGUE)
    }

    fn is_match(&self, shape: &Shape, text: &str) -> bool {
        let regex = shape.regex.get_or_init(|| {
            self.compiled.fetch_add(1, Ordering::Relaxed);
            Regex::new(&shape.text).ok()
        });
        regex.as_ref().is_some_and(|regex| regex.is_match(text))
    }

    pub(super) fn compiled(&self) -> usize {
        self.compiled.load(Ordering::Relaxed)
    }
}

/// The plain characters after the `^` of an expression, as far as they are certain.
fn literal_prefix(expression: &str) -> String {
    let Some(rest) = expression.strip_prefix('^') else { return String::new() };
    // An alternative at the top may begin otherwise. One in brackets ends the prefix below, so it does no harm.
    let mut depth = 0;
    let mut escaped = false;
    for c in rest.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '(' | '[' => depth += 1,
            ')' | ']' => depth -= 1,
            '|' if depth == 0 => return String::new(),
            _ => {}
        }
    }
    let mut prefix = String::new();
    let mut chars = rest.chars();
    while let Some(c) = chars.next() {
        match c {
            'a'..='z'
            | 'A'..='Z'
            | '0'..='9'
            | '_'
            | '-'
            | '/'
            | ':'
            | '!'
            | '@'
            | '~'
            | ' '
            | '#'
            | '%'
            | '='
            | '"' => prefix.push(c),
            '\\' => match chars.next() {
                Some(mark) if mark.is_ascii_punctuation() => prefix.push(mark),
                _ => break,
            },
            '?' | '*' | '{' => {
                prefix.pop();
                break;
            }
            _ => break,
        }
    }
    prefix
}

#[cfg(test)]
mod tests {
    use super::literal_prefix;

    #[test]
    fn the_certain_start_of_an_expression_is_found() {
        for (expression, prefix) in [
            ("^ghp_[0-9A-Za-z]{36}$", "ghp_"),
            (r"^SG\.[0-9A-Za-z_-]{22}\.x$", "SG."),
            ("^https?://[^:]+$", "http"),
            ("^A{19,22}x$", ""),
            ("^(?:a|b)c$", ""),
            ("^ab|cd$", ""),
            (r"^ab\d$", "ab"),
            ("ab", ""),
            ("^postgres(?:ql)?://x$", "postgres"),
        ] {
            assert_eq!(literal_prefix(expression), prefix, "{expression}");
        }
    }
}
