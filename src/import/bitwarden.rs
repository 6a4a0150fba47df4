//! Bitwarden's unencrypted JSON export, of a person or an organisation.
use super::batch::{At, Batch};
use super::record::{Attached, Record, Role, What};
use super::tree::{Map, Node, wrong};
use super::{MORE, Options, shape};
use crate::error::{Code, Error, Result};
use std::collections::HashMap;
use zeroize::Zeroizing;

const LOGIN: i64 = 1;
const NOTE: i64 = 2;
const CARD: i64 = 3;
const IDENTITY: i64 = 4;
const SSH_KEY: i64 = 5;

pub(super) fn read(mut file: Map, options: &Options<'_>, batch: &mut Batch) -> Result<()> {
    if !matches!(file.take("encrypted"), Some(Node::Bool(false))) {
        return Err(Error::new(Code::InvalidFile, "this Bitwarden export is encrypted")
            .next("Export it again in Bitwarden as .json, not \".json (Encrypted)\", then import that with --shred."));
    }
    let top = At::Line(1);
    let mut folders = HashMap::new();
    for list in ["folders", "collections"] {
        for folder in file.list(list, top)? {
            let mut folder = folder.into_map(top, "a folder")?;
            folders.insert(folder.word("id", top)?, folder.word("name", top)?);
        }
    }
    let Some(items) = file.take("items") else {
        return Err(wrong(top, "there is no list of items, as Bitwarden has it"));
    };
    for (i, item) in items.into_list(top, "items")?.into_iter().enumerate() {
        super::check_room(batch)?;
        let at = At::Entry(i + 1);
        take(at, item.into_map(at, "an item")?, &folders, options, batch)?;
    }
    if file.has_more() {
        batch.leave(top, None, MORE);
    }
    Ok(())
}

fn take(
    at: At,
    mut item: Map,
    folders: &HashMap<String, String>,
    options: &Options<'_>,
    batch: &mut Batch,
) -> Result<()> {
    let mut record = Record::new(at, &Zeroizing::new(item.word("name", at)?));
    let kind = item.number("type", at)?.ok_or_else(|| wrong(at, "there is no type"))?;
    let folder_ids =
        std::iter::once(item.take("folderId")).chain(item.list("collectionIds", at)?.into_iter().map(Some));
    for id in folder_ids.flatten() {
        if let Node::Text(id) = id {
            record.tags.extend(id.expose(|id| folders.get(id).cloned()));
        }
    }
    if item.text("archivedDate", at)?.is_some() {
        record.tags.push("archived".into());
    }
    let is_deleted = item.text("deletedDate", at)?.is_some();
    let has_history = !item.list("passwordHistory", at)?.is_empty();
    item.drop_all(&[
        "id",
        "organizationId",
        "revisionDate",
        "creationDate",
        "reprompt",
        "favorite",
        "key",
        "object",
    ]);
    match kind {
        LOGIN => {
            let mut login =
                item.map("login", at)?.ok_or_else(|| wrong(at, "a login without the part login"))?;
            if let Some(first) = login.list("uris", at)?.into_iter().next() {
                record.url = Zeroizing::new(first.into_map(at, "an address")?.word("uri", at)?);
            }
            put(&mut record, Role::User, "username", &mut login)?;
            put(&mut record, Role::Password, "password", &mut login)?;
            put(&mut record, Role::Totp, "totp", &mut login)?;
            if !login.list("fido2Credentials", at)?.is_empty() {
                batch.leave(at, None, "a passkey: it belongs to the browser, no program can use it");
            }
            login.drop_all(&["passwordRevisionDate", "autofillOnPageLoad", "uri"]);
            if login.has_more() {
                batch.leave(at, None, MORE);
            }
        }
        NOTE => record.what = What::Note,
        CARD => record.what = What::NotOurs("a payment card, not for programs"),
        IDENTITY => record.what = What::NotOurs("the data of a person, not for programs"),
        SSH_KEY => {
            let mut key =
                item.map("sshKey", at)?.ok_or_else(|| wrong(at, "an SSH key without the part sshKey"))?;
            let content =
                key.text("privateKey", at)?.ok_or_else(|| wrong(at, "an SSH key without a privateKey"))?;
            let content = Ok(content.into_bytes());
            record.files.push(Attached { file_name: "id".into(), content, is_all: true });
            // The public half can be made of the private one at any time.
            key.drop_all(&["publicKey", "keyFingerprint"]);
            if key.has_more() {
                batch.leave(at, None, MORE);
            }
        }
        _ => return Err(wrong(at, "the type is none that Bitwarden has")),
    }
    item.drop_all(&["secureNote", "card", "identity", "login", "sshKey"]);
    if let Some(notes) = item.text("notes", at)? {
        record.put(Role::Note, "notes", notes);
    }
    for field in item.list("fields", at)? {
        let mut field = field.into_map(at, "a field")?;
        let role = match field.number("type", at)? {
            Some(0 | 2) => Role::Plain,
            Some(1) => Role::Hidden,
            // A field that repeats another.
            Some(3) => continue,
            _ => return Err(wrong(at, "the type of a field is none that Bitwarden has")),
        };
        let name = field.word("name", at)?;
        if let Some(value) = field.text("value", at)? {
            record.put(role, &name, value);
        }
        field.drop_all(&["linkedId"]);
        if field.has_more() {
            batch.leave(at, None, MORE);
        }
    }
    if item.has_more() {
        batch.leave(at, None, MORE);
    }
    if is_deleted {
        record.what = What::NotOurs("it is in the bin there");
    }
    if has_history {
        batch.leave(at, None, "earlier passwords are not taken over");
    }
    shape::take(record, options, batch);
    Ok(())
}

fn put(record: &mut Record, role: Role, name: &str, from: &mut Map) -> Result<()> {
    if let Some(value) = from.text(name, record.at)? {
        record.put(role, name, value);
    }
    Ok(())
}
