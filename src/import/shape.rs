//! Which credential an entry becomes: a login, a key, named fields, or a file.
//!
//! Refuses to turn free text into anything that is shown: a note stays secret, and a note that is no key by its
//! looks is left out unless it is asked for.
use super::batch::{At, Batch, Field, Item};
use super::naming::{self, LooksSecret};
use super::record::{Attached, Part, Record, Role, What};
use super::{BAD_NAME, Options};
use crate::model::credential::CredentialType;
use crate::model::name::{CredentialName, Reserved};
use crate::model::suspicion::Kind;
use crate::secret::SecretBytes;

/// The most fields that a credential has.
const MOST_FIELDS: usize = 20;
/// The longest value of a field and of a file, bytes; the vault takes no longer ones.
const MOST_VALUE_BYTES: usize = 64 * 1024;
const MOST_FILE_BYTES: usize = 1024 * 1024;

const NO_SECRET: &str = "it has no password, key or other secret";
const JUST_A_NOTE: &str = "a secure note: --notes takes notes over, as a secret field";
const NO_NAME: &str = "no variable name can be made of its title or address: give it another title";
const TOO_LONG: &str = "a value is longer than 64 KiB";
const FILE_TOO_LONG: &str = "the file is larger than 1 MiB";
const NAME_IS_SECRET: &str = "its name looks like a secret itself";
const EMPTY_FILE: &str = "the file is empty";
const TOO_MANY: &str = "it has more than 20 fields: --split makes each a credential of its own";

/// Adds what `record` becomes to `batch`, or why it becomes nothing.
pub(super) fn take(mut record: Record, options: &Options<'_>, batch: &mut Batch) {
    let secret = options.looks_secret;
    let at = record.at;
    batch.entries += 1;
    let name = match name_of(&record, secret, batch) {
        Ok(name) => name,
        Err(()) => return,
    };
    if let What::NotOurs(why) = record.what {
        return batch.leave(at, Some(name), why);
    }
    for file in std::mem::take(&mut record.files) {
        take_file(file, &record, &name, options, batch);
    }
    let is_only_a_note = record.what == What::Note
        && !options.notes
        && record.parts.iter().all(|p| p.role == Role::Note || p.role == Role::Plain);
    if is_only_a_note {
        return take_note(record, name, options, batch);
    }
    if options.split && record.keeps_labels {
        return split(record, &name, options, batch);
    }
    let parts = std::mem::take(&mut record.parts);
    if !parts.iter().any(|p| is_secret(p, secret)) {
        if batch.items.last().is_none_or(|item| item.at != at) {
            batch.leave(at, Some(name), NO_SECRET);
        }
        return;
    }
    let roles: Vec<_> = parts.iter().map(|p| p.role).collect();
    let hint = hint(&parts, &record.account, secret);
    let (kind, fields) = if !record.keeps_labels && matches!(roles[..], [role] if role != Role::Note) {
        (CredentialType::ApiKey, named(parts, |_, _| "value".into(), secret))
    } else if is_login(&roles) {
        let by_role = |p: &Part, _| if p.role == Role::User { "username".into() } else { "password".into() };
        (CredentialType::Basic, named(parts, by_role, secret))
    } else {
        let mut fields = named(parts, |part, number| label(part, number, secret), secret);
        make_unlike(&mut fields);
        let before = fields.len();
        leave_reserved(at, &name, &mut fields, batch);
        if before != fields.len() && !fields.iter().any(|f| f.is_secret) {
            return batch.leave(at, Some(name), NO_SECRET);
        }
        (CredentialType::Custom, fields)
    };
    if fields.len() > MOST_FIELDS {
        return batch.leave(at, Some(name), TOO_MANY);
    }
    let item = item(&record, name, kind, fields, hint, secret);
    push(item, batch);
}

fn is_login(roles: &[Role]) -> bool {
    matches!(roles, [Role::User, Role::Password] | [Role::Password, Role::User])
}

/// The name, or that the entry is left out, which the batch then says.
fn name_of(record: &Record, secret: LooksSecret<'_>, batch: &mut Batch) -> Result<String, ()> {
    let at = record.at;
    if record.is_variable {
        return match CredentialName::parse(&record.title) {
            Ok(_) if secret(&record.title, Kind::FreeText) => {
                batch.leave(at, None, NAME_IS_SECRET);
                Err(())
            }
            Ok(name) => Ok(name.into()),
            Err(_) => {
                let why = Reserved::of(&record.title).map_or(BAD_NAME, Reserved::reason);
                batch.leave(at, shown(&record.title, secret), why);
                Err(())
            }
        };
    }
    match naming::of_record(record, secret) {
        Some(name) => {
            let plain = naming::variable_style(&record.title);
            if plain.as_deref().is_some_and(|plain| Reserved::of(plain).is_some()) {
                batch.remark(at, &name, "its own name is reserved, so it has another");
            }
            Ok(name)
        }
        None => {
            let plain = naming::variable_style(&record.title).filter(|name| Reserved::of(name).is_some());
            match plain {
                Some(name) => {
                    let why = Reserved::of(&name).map_or(BAD_NAME, Reserved::reason);
                    batch.leave(at, Some(name), why);
                }
                None => batch.leave(at, None, NO_NAME),
            }
            Err(())
        }
    }
}

/// A name of the file, where it is harmless to show.
pub(super) fn shown(name: &str, secret: LooksSecret<'_>) -> Option<String> {
    let harmless = !name.is_empty()
        && name.len() <= 64
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
    (harmless && !secret(name, Kind::FreeText)).then(|| name.to_owned())
}

/// Leaves out a name without a value: nobody misses it, unless the name is the secret.
pub(super) fn leave_empty(at: At, name: &str, options: &Options<'_>, batch: &mut Batch) {
    match (options.looks_secret)(name, Kind::FreeText) {
        true => batch.leave(at, None, NAME_IS_SECRET),
        false => batch.leave_trifle(at, shown(name, options.looks_secret), "it has no value"),
    }
}

fn is_secret(part: &Part, secret: LooksSecret<'_>) -> bool {
    match part.role {
        Role::Password | Role::Totp | Role::Note | Role::Hidden => true,
        // What somebody typed into an open field may be a key all the same.
        Role::Plain => part.value.expose(|text| secret(text, Kind::FreeText)),
        Role::User => false,
    }
}

fn hint(parts: &[Part], account: &str, secret: LooksSecret<'_>) -> String {
    match parts.iter().find(|p| p.role == Role::User) {
        Some(user) => user.value.expose(|text| naming::account(text, secret)),
        None => naming::account(account, secret),
    }
}

fn label(part: &Part, number: usize, secret: LooksSecret<'_>) -> String {
    match part.role {
        Role::User => "username".into(),
        Role::Password => "password".into(),
        Role::Totp => "totp".into(),
        Role::Note => "notes".into(),
        Role::Hidden | Role::Plain if secret(&part.label, Kind::FreeText) => format!("field_{number}"),
        Role::Hidden | Role::Plain => naming::field_name(&part.label, number),
    }
}

fn named(parts: Vec<Part>, name: impl Fn(&Part, usize) -> String, secret: LooksSecret<'_>) -> Vec<Field> {
    parts
        .into_iter()
        .enumerate()
        .map(|(i, part)| Field {
            name: name(&part, i + 1),
            // A user name is kept like a password, as in every login.
            is_secret: part.role == Role::User || is_secret(&part, secret),
            value: part.value.into_bytes(),
        })
        .collect()
}

/// Two labels may come to one name.
fn make_unlike(fields: &mut [Field]) {
    let mut seen = std::collections::HashSet::new();
    for field in fields {
        let mut n = 1;
        let base = field.name.clone();
        while !seen.insert(field.name.to_ascii_uppercase()) {
            n += 1;
            field.name = format!("{base}_{n}");
        }
    }
}

/// A field whose variable would change how programs run is left out, and the file is told to hold it still.
fn leave_reserved(at: At, name: &str, fields: &mut Vec<Field>, batch: &mut Batch) {
    fields.retain(|field| match Reserved::of(&format!("{name}_{}", field.name.to_ascii_uppercase())) {
        None => true,
        Some(reserved) => {
            batch.leave(at, Some(format!("{name}.{}", field.name)), reserved.reason());
            false
        }
    });
}

fn item(
    record: &Record,
    name: String,
    kind: CredentialType,
    fields: Vec<Field>,
    account_hint: String,
    secret: LooksSecret<'_>,
) -> Item {
    Item {
        at: record.at,
        name,
        kind,
        fields,
        file_name: String::new(),
        account: String::new(),
        description: naming::description(record, secret),
        tags: naming::tags(&record.tags, secret),
        expires_at: record.expires_at,
        service: record.service,
        account_hint,
    }
}

fn push(item: Item, batch: &mut Batch) {
    let (most, why) = match item.kind {
        CredentialType::File => (MOST_FILE_BYTES, FILE_TOO_LONG),
        _ => (MOST_VALUE_BYTES, TOO_LONG),
    };
    if item.fields.iter().any(|f| f.value.size_bytes() > most) {
        return batch.leave(item.at, Some(item.name), why);
    }
    batch.items.push(item);
}

fn take_file(file: Attached, record: &Record, name: &str, options: &Options<'_>, batch: &mut Batch) {
    let secret = options.looks_secret;
    let own = match file.is_all {
        true => Some(name.to_owned()),
        false if secret(&file.file_name, Kind::FreeText) => Some(format!("{name}_FILE")),
        false => naming::variable_style(&file.file_name).map(|end| format!("{name}_{end}")),
    };
    let own = own.map(|own| own.chars().take(60).collect::<String>());
    let Some(own) = own.filter(|own| CredentialName::parse(own).is_ok()) else {
        return batch.leave(record.at, Some(name.to_owned()), "no variable name can be made for its file");
    };
    match file.content {
        Err(why) => batch.leave(record.at, Some(own), why),
        Ok(content) if content.size_bytes() == 0 => batch.leave(record.at, Some(own), EMPTY_FILE),
        Ok(content) => {
            let content = Field { name: "content".into(), is_secret: true, value: content };
            let hint = hint(&record.parts, &record.account, secret);
            let mut item = item(record, own, CredentialType::File, vec![content], hint, secret);
            if !secret(&file.file_name, Kind::FreeText) {
                item.file_name = file.file_name;
            }
            push(item, batch);
        }
    }
}

/// A note is taken over where it is a key by its looks: a key block, or one word that the detector knows.
fn take_note(record: Record, name: String, options: &Options<'_>, batch: &mut Batch) {
    let secret = options.looks_secret;
    let Some(note) = record.parts.iter().find(|p| p.role == Role::Note) else {
        if batch.items.last().is_none_or(|item| item.at != record.at) {
            batch.leave(record.at, Some(name), NO_SECRET);
        }
        return;
    };
    let value = |bytes: &[u8], field: &str| Field {
        name: field.into(),
        is_secret: true,
        value: SecretBytes::copied(bytes),
    };
    let made = note.value.expose(|text| {
        let trimmed = text.trim();
        if trimmed.starts_with("-----BEGIN ") && trimmed.ends_with("-----") {
            Some((CredentialType::File, value(text.as_bytes(), "content")))
        } else if !trimmed.contains(char::is_whitespace) && secret(trimmed, Kind::FreeText) {
            Some((CredentialType::ApiKey, value(trimmed.as_bytes(), "value")))
        } else {
            None
        }
    });
    match made {
        None => batch.leave(record.at, Some(name), JUST_A_NOTE),
        Some((kind, field)) => {
            batch.remark(record.at, &name, "a secure note that looks like a key");
            push(item(&record, name, kind, vec![field], String::new(), secret), batch);
        }
    }
}

/// One credential for each part. A label that is a variable's name already stays so.
fn split(mut record: Record, name: &str, options: &Options<'_>, batch: &mut Batch) {
    for (i, part) in std::mem::take(&mut record.parts).into_iter().enumerate() {
        let is_shown = !(options.looks_secret)(&part.label, Kind::FreeText);
        let is_variable =
            is_shown && part.label.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
        let own = match is_variable {
            true => part.label.clone(),
            false => {
                let label = if is_shown { part.label.as_str() } else { "" };
                let end = naming::field_name(label, i + 1).to_ascii_uppercase();
                format!("{name}_{end}").chars().take(60).collect()
            }
        };
        match CredentialName::parse(&own) {
            Ok(_) => {
                let fields = named(vec![part], |_, _| "value".into(), options.looks_secret);
                let fields = fields.into_iter().map(|f| Field { is_secret: true, ..f }).collect();
                let secret = options.looks_secret;
                push(item(&record, own, CredentialType::ApiKey, fields, String::new(), secret), batch);
            }
            Err(_) => {
                let why = Reserved::of(&own).map_or(BAD_NAME, Reserved::reason);
                batch.leave(record.at, shown(&own, options.looks_secret), why);
            }
        }
    }
}
