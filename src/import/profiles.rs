//! The credentials file of AWS: profiles, each with an access key.
//!
//! Refuses what the SDKs read differently: a profile or a name that stands twice, quotes, and spaces in a value.
use super::batch::{At, Batch};
use super::record::{Record, Role};
use super::{Options, broken, guard, secret, shape};
use crate::error::Result;
use crate::secret::Secret;
use std::collections::HashSet;

const NO_KEY: &str = "it has no access key: what it uses is kept elsewhere";
const HALF: &str = "it has a part of an access key only";
const SETTING: &str = "a setting, and no secret";
const UNKNOWN: &str = "a setting that is not known here";
const TEMPORARY: &str = "it has a session token, so it ends within hours";

const COMMAND: &str = "a command that prints a key, and may hold one";

/// What stands indented below `s3 =`.
const OF_S3: &[&str] = &[
    "addressing_style",
    "max_bandwidth",
    "max_concurrent_requests",
    "max_queue_size",
    "multipart_chunksize",
    "multipart_threshold",
    "payload_signing_enabled",
    "signature_version",
    "use_accelerate_endpoint",
    "use_dualstack_endpoint",
];

/// What a profile has besides its key.
const SETTINGS: &[&str] = &[
    "ca_bundle",
    "cli_auto_prompt",
    "cli_pager",
    "credential_source",
    "defaults_mode",
    "duration_seconds",
    "endpoint_url",
    "max_attempts",
    "mfa_serial",
    "output",
    "region",
    "retry_mode",
    "role_arn",
    "role_session_name",
    "s3",
    "source_profile",
    "sso_account_id",
    "sso_region",
    "sso_role_name",
    "sso_session",
    "sso_start_url",
    "sts_regional_endpoints",
    "web_identity_token_file",
];

struct Profile {
    line: usize,
    name: String,
    names: HashSet<String>,
    id: Option<Secret>,
    key: Option<Secret>,
    token: Option<Secret>,
    /// The last setting had no value, so indented lines are its members.
    is_open: bool,
}

pub(super) fn read(text: &str, options: &Options<'_>, batch: &mut Batch) -> Result<()> {
    let mut seen = HashSet::new();
    let mut profile: Option<Profile> = None;
    for (i, whole) in text.lines().enumerate() {
        let (number, line) = (i + 1, whole.trim());
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(rest) = line.strip_prefix('[') {
            let name = heading(number, rest)?;
            if !seen.insert(name.clone()) {
                return Err(broken(number, "a profile stands twice"));
            }
            super::check_room(batch)?;
            finish(profile.take(), options, batch);
            let names = HashSet::new();
            profile =
                Some(Profile { line: number, name, names, id: None, key: None, token: None, is_open: false });
            continue;
        }
        let Some(profile) = &mut profile else {
            return Err(broken(number, "a setting before the first [profile]"));
        };
        if whole.starts_with([' ', '\t']) {
            match profile.is_open {
                true => {
                    leave_below(number, line, options, batch);
                    continue;
                }
                false => {
                    return Err(broken(number, "a line that begins with a space, below none it belongs to"));
                }
            }
        }
        setting(number, line, profile, options, batch)?;
    }
    finish(profile, options, batch);
    match seen.is_empty() {
        true => Err(broken(1, "there is no [profile]")),
        false => Ok(()),
    }
}

/// The name between `[` and `]`; the file of settings writes `profile` before it.
fn heading(number: usize, rest: &str) -> Result<String> {
    let name = rest.strip_suffix(']').ok_or_else(|| broken(number, "a [ without its ] at the end"))?;
    let name = name.trim();
    let name = name.strip_prefix("profile ").unwrap_or(name).trim().trim_matches('"');
    match name.is_empty() || name.contains(['[', ']', '"', '\'', '#', ';', '=']) {
        true => Err(broken(number, "this is no name of a profile")),
        false => Ok(name.to_owned()),
    }
}

/// A line below a setting without a value, such as `s3 =`.
fn leave_below(number: usize, line: &str, options: &Options<'_>, batch: &mut Batch) {
    let (name, value) = line.split_once('=').unwrap_or((line, ""));
    let known = OF_S3.iter().find(|known| name.trim().eq_ignore_ascii_case(known));
    match known.filter(|known| !guard::setting(known, value, options)) {
        Some(known) => batch.leave_trifle(At::Line(number), Some((*known).to_owned()), SETTING),
        None => batch.leave(At::Line(number), None, UNKNOWN),
    }
}

fn setting(
    number: usize,
    line: &str,
    profile: &mut Profile,
    options: &Options<'_>,
    batch: &mut Batch,
) -> Result<()> {
    let Some((name, value)) = line.split_once('=') else {
        return Err(broken(number, "not of the form name = value"));
    };
    let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Err(broken(number, "this is no name of a setting"));
    }
    let part = match name.as_str() {
        "aws_access_key_id" => &mut profile.id,
        "aws_secret_access_key" => &mut profile.key,
        "aws_session_token" | "aws_security_token" => &mut profile.token,
        other => {
            match SETTINGS.iter().find(|known| **known == other) {
                _ if other == "credential_process" => batch.leave(At::Line(number), None, COMMAND),
                Some(known) if guard::setting(known, value, options) => {
                    batch.leave(At::Line(number), Some((*known).to_owned()), guard::SETTING);
                }
                Some(known) => batch.leave_trifle(At::Line(number), Some((*known).to_owned()), SETTING),
                None => batch.leave(At::Line(number), None, UNKNOWN),
            }
            profile.is_open = value.is_empty();
            return match profile.names.insert(name) {
                true => Ok(()),
                false => Err(broken(number, "a name stands twice in one profile")),
            };
        }
    };
    profile.is_open = false;
    if part.is_some() {
        return Err(broken(number, "a name stands twice in one profile"));
    }
    if value.is_empty() || !value.bytes().all(|b| b.is_ascii_graphic() && !b"\"'`\\".contains(&b)) {
        return Err(broken(
            number,
            "a part of an access key is missing, or has what none has: a space, a quote",
        ));
    }
    *part = Some(secret(value));
    Ok(())
}

fn finish(profile: Option<Profile>, options: &Options<'_>, batch: &mut Batch) {
    let Some(profile) = profile else { return };
    let at = At::Line(profile.line);
    // Of the profile "default", the fields are then AWS_ACCESS_KEY_ID and the like: what programs look for.
    let title = match profile.name.as_str() {
        "default" => "AWS".to_owned(),
        name => format!("AWS {name}"),
    };
    let (id, key) = match (profile.id, profile.key, &profile.token) {
        (Some(id), Some(key), _) => (id, key),
        (None, None, None) => {
            batch.entries += 1;
            return batch.leave(at, None, NO_KEY);
        }
        _ => {
            batch.entries += 1;
            return batch.leave(at, None, HALF);
        }
    };
    let mut record = Record::new(at, &title);
    record.service = Some("aws");
    record.keeps_labels = true;
    record.put(Role::Hidden, "access_key_id", id);
    record.put(Role::Hidden, "secret_access_key", key);
    let is_temporary = profile.token.is_some();
    if let Some(token) = profile.token {
        record.put(Role::Hidden, "session_token", token);
    }
    let before = batch.items.len();
    shape::take(record, options, batch);
    let name = batch.items.get(before).map(|item| item.name.clone());
    if let Some(name) = name.filter(|_| is_temporary) {
        batch.remark(at, &name, TEMPORARY);
    }
}
