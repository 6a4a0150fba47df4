//! What every server definition must obey, ours and a user's own.
use std::collections::HashSet;

use url::Url;

use super::definition::{CredentialField, Place, ServerDefinition, Transport};
use crate::model::consumer::MOST_BINDINGS;
use crate::model::header::HeaderLine;
use crate::model::name::{CredentialName, MAX_NAME, Reserved};
use crate::model::suspicion::{Kind, PLAIN};
use crate::model::text::is_unseen;
use crate::services::client::is_safe;
use crate::services::fill::placeholders;

type Fault = (String, String);

fn broken<T>(field: impl Into<String>, rule: &str) -> Result<T, Fault> {
    Err((field.into(), rule.to_owned()))
}

/// The first field that breaks a rule, and the rule; never what the field holds.
pub(super) fn fault(definition: &ServerDefinition) -> Option<Fault> {
    names(definition)
        .and_then(|()| transport(definition))
        .and_then(|()| fields(definition))
        .and_then(|()| no_secrets(definition))
        .err()
}

fn names(definition: &ServerDefinition) -> Result<(), Fault> {
    let is_id = |id: &str| {
        !id.is_empty()
            && id.len() <= 64
            && id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    if !is_id(&definition.id) {
        return broken("id", "only lower-case letters, digits and hyphens");
    }
    if !definition.aliases.iter().all(|alias| is_id(alias)) {
        return broken("aliases", "only lower-case letters, digits and hyphens");
    }
    for (field, text, most) in [("name", &definition.name, 80), ("description", &definition.description, 300)]
    {
        if text.trim().is_empty() || !is_line(text, most) {
            return broken(field, "must be one line of text, and no longer than a line or three");
        }
    }
    if definition.notes.as_deref().is_some_and(|notes| !is_line(notes, 1000)) {
        return broken("notes", "must be one line of at most 1000 characters");
    }
    for (field, url) in [("docs_url", &definition.docs_url), ("source", &definition.source)] {
        if !url.is_empty() && !is_https(url) {
            return broken(field, "must be an address that begins with https://");
        }
    }
    let is_day = |text: &str| text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok();
    if !definition.checked.is_empty() && !is_day(&definition.checked) {
        return broken("checked", "must be a day, as YYYY-MM-DD");
    }
    if definition.packages.iter().any(|package| package.name.trim().is_empty()) {
        return broken("packages", "must have names");
    }
    Ok(())
}

/// A text that is shown to people and to models as it is.
fn is_line(text: &str, most: usize) -> bool {
    text.chars().count() <= most && !text.chars().any(is_unseen)
}

fn is_https(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| {
        url.scheme() == "https" && url.username().is_empty() && url.password().is_none() && url.has_host()
    })
}

/// Where a server is: https, or http on this machine.
fn is_address(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| is_safe(&url) && url.username().is_empty() && url.password().is_none())
}

fn transport(definition: &ServerDefinition) -> Result<(), Fault> {
    let wanted: HashSet<&str> =
        definition.fields.iter().filter(|f| f.place == Place::Arg).map(|f| f.id.as_str()).collect();
    match &definition.transport {
        Transport::Http { url } => {
            if !is_address(url) || url.contains(['?', '#', '{']) {
                return broken("transport.url", "must begin with https:// and have no query");
            }
            match definition.fields.iter().position(|field| field.place != Place::Header) {
                Some(at) => {
                    broken(format!("fields[{at}].in"), "must be header, for an address is no program")
                }
                None => Ok(()),
            }
        }
        Transport::Stdio { command, args } => {
            if command.is_empty() || command.chars().any(|c| c.is_control() || c.is_whitespace()) {
                return broken("transport.command", "must be one word; what follows it belongs into args");
            }
            if args.iter().any(|arg| arg.chars().any(char::is_control)) {
                return broken("transport.args", "must have no control characters");
            }
            let used: HashSet<&str> = args.iter().flat_map(|arg| placeholders(arg)).collect();
            if used != wanted {
                return broken(
                    "transport.args",
                    "must use each field that goes into an argument, and no other",
                );
            }
            match definition.fields.iter().position(|field| field.place == Place::Header) {
                Some(at) => {
                    broken(format!("fields[{at}].in"), "must be env or arg, for a program has no headers")
                }
                None => Ok(()),
            }
        }
    }
}

fn fields(definition: &ServerDefinition) -> Result<(), Fault> {
    if definition.fields.len() > MOST_BINDINGS {
        return broken("fields", "are more than a consumer has bindings");
    }
    let mut seen = HashSet::new();
    for (at, field) in definition.fields.iter().enumerate() {
        one_field(field).map_err(|(part, rule)| (format!("fields[{at}].{part}"), rule))?;
        if !seen.insert(field.id.to_ascii_uppercase()) {
            return broken(format!("fields[{at}].id"), "names two fields");
        }
    }
    Ok(())
}

fn one_field(field: &CredentialField) -> Result<(), Fault> {
    if field.label.trim().is_empty() || !is_line(&field.label, 80) {
        return broken("label", "must be one line of at most 80 characters");
    }
    for (part, text) in [("help", &field.help), ("default", &field.default), ("format", &field.format)] {
        if text.as_deref().is_some_and(|text| !is_line(text, 300)) {
            return broken(part, "must be one line of at most 300 characters");
        }
    }
    let name = field.credential_name();
    if field.secret && CredentialName::parse(name).is_err() {
        let part = if field.variable.is_some() || field.place == Place::Header { "variable" } else { "id" };
        return broken(part, "must be a name that a credential can have");
    }
    match field.place {
        Place::Header => {
            if HeaderLine::parse(&field.id).is_err() || field.id.contains(':') {
                return broken("id", "must be the name of a header that is not the protocol's own");
            }
            if field.format.as_deref().is_some_and(|format| placeholders(format) != ["value"]) {
                return broken("format", "must hold {value} once and no other placeholder");
            }
        }
        Place::Env | Place::Arg => {
            if !is_variable(&field.id) {
                return broken("id", "must be the name of an environment variable");
            }
            if Reserved::of(&field.id) == Some(Reserved::Ours) {
                return broken("id", "must not be a variable that configures unsaid");
            }
            if field.format.is_some() || field.variable.is_some() {
                return broken("format", "and variable are for headers only");
            }
        }
    }
    if !field.flags.is_empty() && field.place != Place::Env {
        return broken("flags", "need a variable to be replaced by");
    }
    if field.flags.iter().any(|flag| !flag.starts_with('-') || flag.contains(['=', ' '])) {
        return broken("flags", "must begin with a hyphen and hold no value");
    }
    if field.secret && field.default.is_some() {
        return broken("default", "is for plain configuration only");
    }
    Ok(())
}

fn is_variable(name: &str) -> bool {
    name.len() <= MAX_NAME
        && name.bytes().next().is_some_and(|first| !first.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Nothing in a definition may look like a value: it belongs into the vault.
fn no_secrets(definition: &ServerDefinition) -> Result<(), Fault> {
    let clean = |field: String, text: &str, kind: Kind| match PLAIN.check_text(text, kind) {
        Some(_) => broken(field, "looks like a secret: name a field for it instead"),
        None => Ok(()),
    };
    clean("id".into(), &definition.id, Kind::Identifier)?;
    clean("name".into(), &definition.name, Kind::FreeText)?;
    clean("description".into(), &definition.description, Kind::FreeText)?;
    clean("notes".into(), definition.notes.as_deref().unwrap_or_default(), Kind::FreeText)?;
    match &definition.transport {
        Transport::Http { url } => clean("transport.url".into(), url, Kind::Url)?,
        Transport::Stdio { command, args } => {
            clean("transport.command".into(), command, Kind::FreeText)?;
            for (at, arg) in args.iter().enumerate() {
                clean(format!("transport.args[{at}]"), arg, Kind::FreeText)?;
            }
        }
    }
    for (at, field) in definition.fields.iter().enumerate() {
        let texts = [("default", &field.default), ("help", &field.help), ("format", &field.format)];
        for (part, text) in texts {
            clean(format!("fields[{at}].{part}"), text.as_deref().unwrap_or_default(), Kind::FreeText)?;
        }
        clean(format!("fields[{at}].label"), &field.label, Kind::FreeText)?;
        clean(format!("fields[{at}].id"), &field.id, Kind::Identifier)?;
    }
    Ok(())
}
