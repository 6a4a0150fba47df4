//! Whose account it is, as the provider itself says (OpenID Connect Core §5.3, or the catalogue's address).
use serde_json::Value;

/// An account: told apart by `subject`, shown as `label`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// What never changes: the provider's own id of the account (O-23).
    pub subject: String,
    /// E-mail address or login.
    pub label: String,
}

/// Reads the answer of a userinfo address. `pointer`: where the account stands (RFC 6901), where the catalogue says so.
///
/// `None` where nothing in it names an account: a label is never guessed.
pub fn identity(answer: &Value, pointer: Option<&str>) -> Option<Identity> {
    let at = |path: &str| answer.pointer(path).and_then(text);
    let named = pointer.and_then(at);
    let subject = ["/sub", "/id", "/user_id", "/account_id", "/data/id", "/user/id"].into_iter().find_map(at);
    let label =
        ["/email", "/preferred_username", "/login", "/username", "/user/email", "/data/email", "/name"]
            .into_iter()
            .find_map(at);
    let label = named.clone().or(label)?;
    Some(Identity { subject: subject.or(named).unwrap_or_else(|| label.clone()), label })
}

/// A short text or number, fit to be shown.
fn text(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    let is_good = (1..=80).contains(&text.chars().count()) && !text.chars().any(char::is_control);
    is_good.then_some(text)
}
