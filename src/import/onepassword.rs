//! 1Password: the items of a 1PUX archive's `export.data`, and of `op item get --format json`.
use super::batch::{At, Batch};
use super::record::{Attached, Record, Role, What};
use super::tree::{Map, Node, wrong};
use super::{MORE, Options, shape};
use crate::clock::Millis;
use crate::error::Result;
use crate::secret::SecretBytes;
use zeroize::Zeroizing;

/// Gives a file of the archive by id and name, or why it is not there.
pub(super) type Files<'a> = &'a mut dyn FnMut(&str, &str) -> Result<Result<SecretBytes, &'static str>>;

const PERSON: &str = "the data of a person, not for programs";

/// Categories that are left out, and why.
fn not_ours(category: &str) -> Option<&'static str> {
    Some(match category {
        "002" => "a payment card, not for programs",
        "101" => "a bank account, not for programs",
        "004" | "103" | "104" | "105" | "106" | "107" | "108" | "113" => PERSON,
        _ => return None,
    })
}

/// Every item of every vault in `export.data`.
pub(super) fn read(mut data: Map, files: Files<'_>, options: &Options<'_>, batch: &mut Batch) -> Result<()> {
    let top = At::Line(1);
    let Some(accounts) = data.take("accounts") else {
        return Err(wrong(top, "there is no list of accounts, as 1Password has it"));
    };
    let mut number = 0;
    for account in accounts.into_list(top, "accounts")? {
        let mut account = account.into_map(top, "an account")?;
        let Some(vaults) = account.take("vaults") else {
            return Err(wrong(top, "an account without vaults"));
        };
        for vault in vaults.into_list(top, "vaults")? {
            let mut vault = vault.into_map(top, "a vault")?;
            let name = match vault.map("attrs", top)? {
                Some(mut attrs) => attrs.word("name", top)?,
                None => String::new(),
            };
            let Some(items) = vault.take("items") else { return Err(wrong(top, "a vault without items")) };
            for item in items.into_list(top, "items")? {
                number += 1;
                super::check_room(batch)?;
                let at = At::Entry(number);
                take(at, item.into_map(at, "an item")?, &name, files, options, batch)?;
            }
        }
        account.drop_all(&["attrs"]);
        if account.has_more() {
            batch.leave(top, None, MORE);
        }
    }
    Ok(())
}

fn take(
    at: At,
    mut item: Map,
    vault: &str,
    files: Files<'_>,
    options: &Options<'_>,
    batch: &mut Batch,
) -> Result<()> {
    let mut overview = item.map("overview", at)?.ok_or_else(|| wrong(at, "an item without an overview"))?;
    let mut details = item.map("details", at)?.ok_or_else(|| wrong(at, "an item without details"))?;
    let category = item.word("categoryUuid", at)?;
    let state = item.word("state", at)?;
    item.drop_all(&["uuid", "favIndex", "createdAt", "updatedAt"]);
    let mut record = Record::new(at, &Zeroizing::new(overview.word("title", at)?));
    record.url = Zeroizing::new(overview.word("url", at)?);
    for tag in overview.list("tags", at)? {
        if let Node::Text(tag) = tag {
            record.tags.push(tag.expose(str::to_owned));
        }
    }
    record.tags.push(vault.to_owned());
    for field in details.list("loginFields", at)? {
        login_field(&mut record, field.into_map(at, "a field")?)?;
    }
    if let Some(password) = details.text("password", at)? {
        record.put(Role::Password, "password", password);
    }
    for section in details.list("sections", at)? {
        let mut section = section.into_map(at, "a section")?;
        for field in section.list("fields", at)? {
            section_field(&mut record, field.into_map(at, "a field")?, files, batch)?;
        }
    }
    if let Some(document) = details.map("documentAttributes", at)? {
        attach(&mut record, document, true, files)?;
    }
    if let Some(notes) = details.text("notesPlain", at)? {
        record.put(Role::Note, "notes", notes);
    }
    if !details.list("passwordHistory", at)?.is_empty() {
        batch.leave(at, None, "earlier passwords are not taken over");
    }
    if details.take("passkey").is_some_and(|node| !node.is_empty()) {
        batch.leave(at, None, "a passkey: it belongs to the browser, no program can use it");
    }
    if details.has_more() || item.has_more() {
        batch.leave(at, None, MORE);
    }
    if let Some(why) = not_ours(&category) {
        record.what = What::NotOurs(why);
    } else if category == "003" {
        record.what = What::Note;
    }
    match state.as_str() {
        "archived" => record.tags.push("archived".into()),
        "trashed" | "deleted" => record.what = What::NotOurs("it is in the bin there"),
        _ => {}
    }
    shape::take(record, options, batch);
    Ok(())
}

fn login_field(record: &mut Record, mut field: Map) -> Result<()> {
    let at = record.at;
    let (designation, kind) = (field.word("designation", at)?, field.word("fieldType", at)?);
    let label = [field.word("name", at)?, field.word("id", at)?].into_iter().find(|l| !l.is_empty());
    let role = match (designation.as_str(), kind.as_str()) {
        ("username", _) => Role::User,
        ("password", _) => Role::Password,
        (_, "P") => Role::Hidden,
        // Boxes and buttons of the page that was filled in.
        (_, "B" | "C" | "I" | "R" | "S") => return Ok(()),
        _ => Role::Plain,
    };
    if let Some(value) = field.text("value", at)? {
        record.put(role, &label.unwrap_or_default(), value);
    }
    Ok(())
}

fn section_field(record: &mut Record, mut field: Map, files: Files<'_>, batch: &mut Batch) -> Result<()> {
    let at = record.at;
    let (title, id) = (field.word("title", at)?, field.word("id", at)?);
    let label = if title.trim().is_empty() { id.clone() } else { title };
    let Some(value) = field.map("value", at)? else { return Ok(()) };
    for (kind, node) in value.0 {
        if node.is_empty() {
            continue;
        }
        match (kind.as_str(), node) {
            ("concealed" | "creditCardNumber", Node::Text(text)) => record.put(Role::Hidden, &label, text),
            ("totp", Node::Text(text)) => record.put(Role::Totp, &label, text),
            ("string", Node::Text(text)) if id == "username" => record.put(Role::User, &label, text),
            (
                "string" | "url" | "email" | "phone" | "menu" | "gender" | "creditCardType" | "reference",
                Node::Text(text),
            ) => record.put(Role::Plain, &label, text),
            ("date", Node::Number(seconds)) => {
                let when = Millis(seconds.saturating_mul(1000));
                if id == "expires" {
                    record.expires_at = Some(when);
                } else {
                    record.put_text(Role::Plain, &label, &when.to_string());
                }
            }
            ("monthYear", Node::Number(n)) => record.put_text(Role::Plain, &label, &n.to_string()),
            ("email", Node::Map(mut email)) => {
                if let Some(text) = email.text("email_address", at)? {
                    record.put(Role::Plain, &label, text);
                }
            }
            ("address", node @ Node::Map(_)) => {
                if let Some(text) = node.into_value() {
                    record.put(Role::Plain, &label, text);
                }
            }
            ("sshKey", Node::Map(mut key)) => {
                let Some(content) = key.text("privateKey", at)? else {
                    return Err(wrong(at, "an SSH key without a privateKey"));
                };
                let content = Ok(content.into_bytes());
                record.files.push(Attached { file_name: "id".into(), content, is_all: true });
            }
            ("file", Node::Map(file)) => attach(record, file, false, files)?,
            // A kind of field that came with a later version, or one of another shape.
            _ => batch.leave(at, None, MORE),
        }
    }
    Ok(())
}

fn attach(record: &mut Record, mut file: Map, is_all: bool, files: Files<'_>) -> Result<()> {
    let at = record.at;
    let (id, file_name) = (file.word("documentId", at)?, file.word("fileName", at)?);
    let content = files(&id, &file_name)?;
    record.files.push(Attached { file_name, content, is_all });
    Ok(())
}

/// One item, as `op item get --format json` prints it, or a list of such.
pub(super) fn op_item(file: Node, options: &Options<'_>, batch: &mut Batch) -> Result<()> {
    let items = match file {
        Node::List(items) => items,
        one => vec![one],
    };
    for (i, item) in items.into_iter().enumerate() {
        super::check_room(batch)?;
        let at = At::Entry(i + 1);
        let mut item = item.into_map(at, "an item")?;
        let mut record = Record::new(at, &Zeroizing::new(item.word("title", at)?));
        let category = item.word("category", at)?;
        if category.is_empty() {
            return Err(wrong(at, "there is no category, as 1Password has it"));
        }
        for url in item.list("urls", at)? {
            let mut url = url.into_map(at, "an address")?;
            let href = url.word("href", at)?;
            if record.url.is_empty() {
                record.url = Zeroizing::new(href);
            }
        }
        for tag in item.list("tags", at)? {
            if let Node::Text(tag) = tag {
                record.tags.push(tag.expose(str::to_owned));
            }
        }
        let Some(fields) = item.take("fields") else { return Err(wrong(at, "an item without fields")) };
        for field in fields.into_list(at, "fields")? {
            let mut field = field.into_map(at, "a field")?;
            let (purpose, kind) = (field.word("purpose", at)?, field.word("type", at)?);
            let label = field.word("label", at)?;
            let role = match (purpose.as_str(), kind.as_str()) {
                ("USERNAME", _) => Role::User,
                ("PASSWORD", _) => Role::Password,
                ("NOTES", _) => Role::Note,
                (_, "CONCEALED") => Role::Hidden,
                (_, "OTP") => Role::Totp,
                _ => Role::Plain,
            };
            if let Some(value) = field.text("value", at)? {
                record.put(role, &label, value);
            }
        }
        match category.as_str() {
            "SECURE_NOTE" => record.what = What::Note,
            "CREDIT_CARD" => record.what = What::NotOurs("a payment card, not for programs"),
            "BANK_ACCOUNT" => record.what = What::NotOurs("a bank account, not for programs"),
            "IDENTITY" | "PASSPORT" | "DRIVER_LICENSE" | "SOCIAL_SECURITY_NUMBER" | "MEDICAL_RECORD" => {
                record.what = What::NotOurs(PERSON);
            }
            _ => {}
        }
        if !item.list("files", at)?.is_empty() {
            batch.leave(at, None, "its files are not in this export");
        }
        shape::take(record, options, batch);
    }
    Ok(())
}
