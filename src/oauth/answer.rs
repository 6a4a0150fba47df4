//! What a provider's answer means. Nothing of it but words we know is ever shown.
use crate::model::part;
use crate::secret::SecretBytes;
use crate::services::wire::{Answered, Failure};
use serde::Deserialize;
use serde::de::{Deserializer, Visitor};
use std::fmt;
use zeroize::Zeroizing;

/// The longest life of a token that is believed, seconds: a year.
const MOST_LIFE_S: i64 = 366 * 86_400;
/// The longest token, bytes.
const MOST_TOKEN: usize = 16 * 1024;

/// Tokens as they came, not yet kept.
#[derive(Debug)]
pub struct Tokens {
    pub access: SecretBytes,
    pub refresh: Option<SecretBytes>,
    /// Seconds. `None`: the provider does not say (RFC 6749 §5.1 only recommends it).
    pub expires_in_s: Option<i64>,
    /// Of the refresh token, seconds, where the provider says so.
    pub refresh_expires_in_s: Option<i64>,
    /// What was granted, where it differs from what was asked (RFC 6749 §5.1).
    pub scopes: Option<Vec<String>>,
}

/// The provider said no, and will say it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The grant is over: expired, revoked, used twice (`invalid_grant` and its kin). A person must consent again.
    Grant(&'static str),
    /// The client is not what the provider knows: wrong secret, gone, not allowed this grant. An admin must repair it.
    Client(&'static str),
    /// The request itself: a scope that there is not, a parameter that is missing.
    Request(&'static str),
    /// RFC 8628 §3.5: ask again later.
    Pending,
    /// RFC 8628 §3.5: ask again later, and less often.
    SlowDown,
}

/// No answer that means anything: try again later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// What was wrong, in words of ours.
    pub why: &'static str,
    /// The request surely did not reach the provider, so that it may be sent again at once.
    pub is_unsent: bool,
    /// It may have done what it was asked for: nobody knows.
    pub is_unknown: bool,
    /// How long the provider asks to be left alone, milliseconds.
    pub wait_ms: Option<i64>,
}

#[derive(Debug)]
pub enum Answer<T> {
    Yes(T),
    No(Refusal),
    Trouble(Trouble),
    /// The provider has renewed the grant, and its access token is of no use: the new refresh token alone counts, for the
    /// old one may be dead. And why.
    Half(SecretBytes, &'static str),
}

impl<T> Answer<T> {
    /// An answer that cannot be used, to a request that may have been carried out.
    fn trouble(why: &'static str) -> Self {
        Answer::Trouble(Trouble { why, is_unsent: false, is_unknown: true, wait_ms: None })
    }

    /// A request that was not carried out.
    fn undone(why: &'static str, wait_ms: Option<i64>) -> Self {
        Answer::Trouble(Trouble { why, is_unsent: false, is_unknown: false, wait_ms })
    }
}

/// Twice the same field is an error here, which is what we want of an answer that could mean two things.
#[derive(Deserialize)]
struct Raw {
    access_token: Option<Zeroizing<String>>,
    refresh_token: Option<Zeroizing<String>>,
    token_type: Option<String>,
    #[serde(default, deserialize_with = "seconds")]
    expires_in: Option<i64>,
    #[serde(default, deserialize_with = "seconds")]
    refresh_token_expires_in: Option<i64>,
    #[serde(default, deserialize_with = "seconds")]
    refresh_expires_in: Option<i64>,
    scope: Option<serde_json::Value>,
    error: Option<String>,
    device_code: Option<Zeroizing<String>>,
    user_code: Option<String>,
    verification_uri: Option<String>,
    verification_url: Option<String>,
    verification_uri_complete: Option<String>,
    verification_url_complete: Option<String>,
    #[serde(default, deserialize_with = "seconds")]
    interval: Option<i64>,
}

/// A whole number of seconds as a number, or as text, as some providers write it. What is none is left out.
fn seconds<'de, D: Deserializer<'de>>(d: D) -> Result<Option<i64>, D::Error> {
    struct Seconds;
    impl<'de> Visitor<'de> for Seconds {
        type Value = Option<i64>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("seconds")
        }
        fn visit_i64<E>(self, n: i64) -> Result<Option<i64>, E> {
            Ok(Some(n.clamp(-1, MOST_LIFE_S)))
        }
        fn visit_u64<E>(self, n: u64) -> Result<Option<i64>, E> {
            Ok(Some(i64::try_from(n).unwrap_or(MOST_LIFE_S).min(MOST_LIFE_S)))
        }
        fn visit_f64<E>(self, n: f64) -> Result<Option<i64>, E> {
            Ok(n.is_finite().then_some((n as i64).clamp(-1, MOST_LIFE_S)))
        }
        fn visit_str<E>(self, text: &str) -> Result<Option<i64>, E> {
            Ok(text.trim().parse::<i64>().ok().map(|n| n.clamp(-1, MOST_LIFE_S)))
        }
        fn visit_unit<E>(self) -> Result<Option<i64>, E> {
            Ok(None)
        }
        fn visit_none<E>(self) -> Result<Option<i64>, E> {
            Ok(None)
        }
        fn visit_some<D: Deserializer<'de>>(self, d: D) -> Result<Option<i64>, D::Error> {
            d.deserialize_any(Seconds)
        }
    }
    d.deserialize_any(Seconds)
}

/// The answer of a token endpoint.
pub fn tokens(answered: Result<Answered, Failure>) -> Answer<Tokens> {
    read(answered, |raw| {
        let refresh = raw.refresh_token.and_then(kept);
        let half = |refresh: Option<SecretBytes>, why| match refresh {
            Some(refresh) => Answer::Half(refresh, why),
            None => Answer::trouble(why),
        };
        // Some providers answer 200 with an error; then there is no token.
        let Some(access) = raw.access_token.and_then(token) else {
            return half(refresh, "its answer holds no access token");
        };
        // RFC 6749 §7.1: a type that is not understood must not be used. Some say nothing, or an own word for bearer.
        match raw.token_type.as_deref() {
            None => {}
            Some(kind) if is_bearer(kind) => {}
            Some(_) => return half(refresh, "its token is of a type other than bearer"),
        }
        if matches!(raw.expires_in, Some(..=0)) {
            return half(refresh, "its token had expired when it came");
        }
        // What has a piece of the tokens in it is no scope, and would be shown as one.
        let is_telling = |scope: &String| {
            let is_in = |token: &SecretBytes| {
                token.expose(|b| std::str::from_utf8(b).is_ok_and(|token| part::tells(token, scope)))
            };
            part::is_masked(scope) || is_in(&access) || refresh.as_ref().is_some_and(is_in)
        };
        let scopes =
            raw.scope.and_then(scopes).map(|all| all.into_iter().filter(|s| !is_telling(s)).collect());
        Answer::Yes(Tokens {
            access,
            refresh,
            expires_in_s: raw.expires_in,
            refresh_expires_in_s: raw.refresh_token_expires_in.or(raw.refresh_expires_in).filter(|s| *s > 0),
            scopes,
        })
    })
}

fn is_bearer(kind: &str) -> bool {
    ["bearer", "bot", "user", "authenticated_user"].iter().any(|known| kind.eq_ignore_ascii_case(known))
}

/// A device's codes (RFC 8628 §3.2).
#[derive(Debug)]
pub struct DeviceAnswer {
    pub device_code: SecretBytes,
    pub user_code: String,
    pub verification_uri: String,
    pub verification_uri_complete: String,
    pub expires_in_s: i64,
    pub interval_s: i64,
}

/// The answer of a device endpoint.
pub fn device(answered: Result<Answered, Failure>) -> Answer<DeviceAnswer> {
    read(answered, |raw| {
        let (Some(device_code), Some(user_code), Some(uri)) =
            (raw.device_code.and_then(kept), raw.user_code, raw.verification_uri.or(raw.verification_url))
        else {
            return Answer::trouble("its answer holds no device code");
        };
        let is_address =
            |uri: &str| uri.len() <= 500 && uri.starts_with("https://") && !uri.contains(char::is_control);
        let is_code = (1..=40).contains(&user_code.len())
            && user_code.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == ' ');
        if !is_address(&uri) || !is_code {
            return Answer::trouble("its answer holds no device code that a person could type");
        }
        Answer::Yes(DeviceAnswer {
            device_code,
            user_code,
            verification_uri_complete: raw
                .verification_uri_complete
                .or(raw.verification_url_complete)
                .filter(|uri| is_address(uri))
                .unwrap_or_default(),
            verification_uri: uri,
            expires_in_s: raw.expires_in.filter(|s| *s > 0).unwrap_or(600).min(1800),
            // The default of RFC 8628 §3.2.
            interval_s: raw.interval.unwrap_or(5).clamp(1, 60),
        })
    })
}

/// A token as it may stand in a header (RFC 6750 §2.1 and what is seen in the wild): visible ASCII.
fn token(text: Zeroizing<String>) -> Option<SecretBytes> {
    let is_good = (1..=MOST_TOKEN).contains(&text.len()) && text.bytes().all(|b| (0x21..=0x7e).contains(&b));
    is_good.then(|| SecretBytes::copied(text.as_bytes()))
}

/// A token that only goes back to whom it came from: any text.
fn kept(text: Zeroizing<String>) -> Option<SecretBytes> {
    let is_good = (1..=MOST_TOKEN).contains(&text.len()) && !text.chars().any(char::is_control);
    is_good.then(|| SecretBytes::copied(text.as_bytes()))
}

/// `None` where it is neither text nor a list of texts: then the provider has not said.
fn scopes(scope: serde_json::Value) -> Option<Vec<String>> {
    let all: Vec<String> = match scope {
        // Some separate by commas, whatever they were asked with.
        serde_json::Value::String(text) => text.split([' ', ',']).map(str::to_owned).collect(),
        serde_json::Value::Array(list) => {
            list.into_iter().filter_map(|one| one.as_str().map(str::to_owned)).collect()
        }
        _ => return None,
    };
    let is_good =
        |s: &String| !s.is_empty() && s.len() <= 200 && s.bytes().all(|b| (0x21..=0x7e).contains(&b));
    let mut all: Vec<String> = all.into_iter().filter(is_good).take(100).collect();
    all.sort();
    all.dedup();
    Some(all)
}

fn read<T>(answered: Result<Answered, Failure>, yes: impl FnOnce(Raw) -> Answer<T>) -> Answer<T> {
    let answered = match answered {
        Ok(answered) => answered,
        Err(Failure { why, is_unsent }) => {
            return Answer::Trouble(Trouble { why, is_unsent, is_unknown: !is_unsent, wait_ms: None });
        }
    };
    let status = answered.status;
    if status == 429 {
        return Answer::undone("it asks to be called less often", answered.retry_after_ms);
    }
    if status >= 500 {
        // A gateway's failure does not tell what became of the request behind it.
        let why = "it failed (status 5xx)";
        let wait_ms = answered.retry_after_ms;
        return Answer::Trouble(Trouble { why, is_unsent: false, is_unknown: true, wait_ms });
    }
    if (300..400).contains(&status) {
        return Answer::undone("it sent us elsewhere, where nothing of ours is sent", None);
    }
    let raw: Option<Raw> = match answered.is_json {
        true => serde_json::from_slice(&answered.body).ok(),
        false => None,
    };
    match (status, raw) {
        // An answer that gives tokens gives them, whatever else it says.
        (_, Some(Raw { error: Some(word), access_token: None, .. })) => match refusal(&word) {
            Some(refusal) => Answer::No(refusal),
            None => Answer::undone("it refused with a word that we do not know", None),
        },
        (200..=299, Some(raw)) => yes(raw),
        // RFC 6749 §5.2: a client that is not known is told so by 401, whatever the body says.
        (401, _) => Answer::No(Refusal::Client("invalid_client")),
        (200..=299, None) if !answered.is_json => Answer::trouble("its answer is no JSON"),
        (200..=299, None) => Answer::trouble("its answer is no JSON that could be understood"),
        _ => Answer::undone("it refused without saying why", None),
    }
}

/// What an error word means (RFC 6749 §5.2, RFC 8628 §3.5, and the words that big providers have of their own).
fn refusal(word: &str) -> Option<Refusal> {
    Some(match word {
        "invalid_grant" => Refusal::Grant("invalid_grant"),
        // GitHub, Slack, Microsoft and others for the same.
        "bad_refresh_token" | "bad_verification_code" => Refusal::Grant("bad_refresh_token"),
        "token_expired" | "expired_token" => Refusal::Grant("expired_token"),
        "token_revoked" | "invalid_refresh_token" | "refresh_token_not_found" => {
            Refusal::Grant("token_revoked")
        }
        "interaction_required" | "consent_required" | "login_required" => {
            Refusal::Grant("interaction_required")
        }
        "access_denied" => Refusal::Grant("access_denied"),
        "invalid_client" | "incorrect_client_credentials" | "bad_client_secret" => {
            Refusal::Client("invalid_client")
        }
        "unauthorized_client" => Refusal::Client("unauthorized_client"),
        "unsupported_grant_type" => Refusal::Client("unsupported_grant_type"),
        "invalid_scope" => Refusal::Request("invalid_scope"),
        "invalid_target" => Refusal::Request("invalid_target"),
        "invalid_request" => Refusal::Request("invalid_request"),
        "redirect_uri_mismatch" => Refusal::Request("redirect_uri_mismatch"),
        "authorization_pending" => Refusal::Pending,
        "slow_down" => Refusal::SlowDown,
        _ => return None,
    })
}
