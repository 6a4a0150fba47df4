//! `.npmrc`: what npm keeps of each registry: a token, or a user with a password.
//!
//! `${VAR}` is expanded by nobody here: such a line is left out, and told. So is a value that has what npm's reader
//! takes for quotes, escapes and comments.
use super::batch::{At, Batch};
use super::record::{Record, Role};
use super::{Options, broken, encoded, guard, secret, shape};
use crate::error::Result;
use crate::secret::Secret;
use std::collections::HashSet;

const REFERENCE: &str = "a reference to the environment: the value is not in the file";
const UNSURE: &str =
    "a quote, a backslash, a space, a ; or a # in the value, which programs read differently";
const ELSEWHERE: &str = "the path of a file, where the key stands";
const SETTING: &str = "a setting, and no secret";

pub(super) fn read(text: &str, options: &Options<'_>, batch: &mut Batch) -> Result<()> {
    let (mut registries, mut seen): (Vec<(String, Record)>, _) = (Vec::new(), HashSet::new());
    for (i, line) in text.lines().enumerate() {
        let (number, line) = (i + 1, line.trim());
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        let Some((key, value)) = line.split_once('=') else {
            return Err(broken(number, "not of the form name=value"));
        };
        let (key, value) = (key.trim(), value.trim());
        let is_name = |b: u8| b.is_ascii_alphanumeric() || b"@:/._-[]".contains(&b);
        if key.is_empty() || key.starts_with('[') || !key.bytes().all(is_name) {
            return Err(broken(number, "this is no name of a setting of npm"));
        }
        if !key.ends_with("[]") && !seen.insert(key.to_owned()) {
            return Err(broken(number, "a setting stands twice"));
        }
        // //host/path/:_authToken
        let (place, word) = match key.strip_prefix("//") {
            Some(rest) => rest
                .rsplit_once(':')
                .filter(|(place, _)| !place.is_empty())
                .ok_or_else(|| broken(number, "this is nothing that npm keeps of a registry"))?,
            None => ("", key),
        };
        let (role, label) = match word {
            "_authToken" => (Role::Hidden, "token"),
            "_auth" => (Role::Hidden, "auth"),
            "_password" => (Role::Password, "password"),
            "username" => (Role::User, "username"),
            "email" => (Role::Plain, "email"),
            "always-auth" => {
                batch.leave_trifle(At::Line(number), None, SETTING);
                continue;
            }
            "keyfile" | "certfile" => {
                batch.leave(At::Line(number), None, ELSEWHERE);
                continue;
            }
            word if !place.is_empty() || word.starts_with('_') => {
                return Err(broken(number, "this is nothing that npm keeps of a registry"));
            }
            _ => {
                match guard::setting(key, value, options) {
                    true => batch.leave(At::Line(number), None, guard::SETTING),
                    false => batch.leave_trifle(At::Line(number), None, SETTING),
                }
                continue;
            }
        };
        let value = match read_value(value) {
            Ok(value) => value,
            Err(why) => {
                batch.entries += 1;
                batch.leave(At::Line(number), None, why);
                continue;
            }
        };
        let record = match registries.iter().position(|(known, _)| known == place) {
            Some(at) => &mut registries[at].1,
            None => {
                super::check_room(batch)?;
                registries.push((place.to_owned(), registry(number, place)));
                &mut registries.last_mut().expect("one was pushed right above").1
            }
        };
        put(number, record, role, label, value)?;
    }
    registries.into_iter().for_each(|(_, record)| shape::take(record, options, batch));
    match batch.entries + batch.left.len() {
        0 => Err(broken(1, "there is nothing in it that npm would read")),
        _ => Ok(()),
    }
}

fn registry(number: usize, place: &str) -> Record {
    let place = place.trim_end_matches('/');
    let mut record = Record::new(At::Line(number), format!("npm {place}").trim_end());
    record.url.push_str(place);
    record.service = (place == "registry.npmjs.org").then_some("npm");
    record
}

fn put(number: usize, record: &mut Record, role: Role, label: &str, value: Secret) -> Result<()> {
    let coded = |what: &str| broken(number, &format!("{what} is not what npm writes: it is no base64 of it"));
    match label {
        "auth" => {
            let (user, password) = encoded::login(&value).ok_or_else(|| coded("_auth"))?;
            record.put(Role::User, "username", user);
            record.put(Role::Password, "password", password);
        }
        "password" => {
            let bytes = encoded::bytes(&value).ok_or_else(|| coded("_password"))?;
            let password = encoded::text(&bytes).ok_or_else(|| coded("_password"))?;
            record.put(role, label, password);
        }
        _ => record.put(role, label, value),
    }
    Ok(())
}

/// A value as every reader takes it, or why there is none.
fn read_value(value: &str) -> std::result::Result<Secret, &'static str> {
    if value.contains("${") {
        return Err(REFERENCE);
    }
    let inner = ['"', '\''].iter().find_map(|q| value.strip_prefix(*q)?.strip_suffix(*q));
    let (bare, is_quoted) = (inner.unwrap_or(value), inner.is_some());
    let is_unsure = |c: char| {
        matches!(c, '"' | '\'' | '\\') || (!is_quoted && (matches!(c, ';' | '#') || c.is_whitespace()))
    };
    match bare.contains(is_unsure) {
        true => Err(UNSURE),
        false if bare.is_empty() => Err("it has no value"),
        false => Ok(secret(bare)),
    }
}
