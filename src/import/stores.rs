//! Secret stores as their command lines print them: Doppler, Infisical, Vault KV, AWS, Azure and Google Cloud.
use super::batch::{At, Batch};
use super::record::{Attached, Record, Role};
use super::tree::{Map, Node, wrong};
use super::{MORE, Options, shape};
use crate::clock::Millis;
use crate::error::{Code, Error, Result};
use crate::secret::{Secret, SecretBytes};
use zeroize::Zeroizing;

const TOP: At = At::Line(1);
const INEXACT: &str = "a fraction or a very large number: put it in quotes";
const NULL: &str = "null is no value";
/// What Doppler adds to tell where the secrets come from.
pub(super) const OF_DOPPLER: &[&str] = &["DOPPLER_PROJECT", "DOPPLER_ENVIRONMENT", "DOPPLER_CONFIG"];
pub(super) const OF_DOPPLER_WHY: &str = "it tells where the secrets come from, and is none";

/// `doppler secrets download`, `doppler secrets --json`, or the API's answer.
pub(super) fn doppler(mut file: Map, options: &Options<'_>, batch: &mut Batch) -> Result<()> {
    if file.has("secrets") && file.has("success") {
        file = file.map("secrets", TOP)?.unwrap_or_default();
    }
    for (i, (name, node)) in file.0.into_iter().enumerate() {
        let at = At::Entry(i + 1);
        super::check_room(batch)?;
        let mut remark = String::new();
        let value = match node {
            Node::Map(mut map) => {
                remark = map.word("note", at)?;
                let computed = map.text("computed", at)?;
                let raw = map.text("raw", at)?;
                // `computed` has its references to other secrets resolved.
                let value = computed.or(raw).ok_or_else(|| wrong(at, "neither computed nor raw is there"))?;
                map.drop_all(&["computedVisibility", "rawVisibility", "computedValueType", "rawValueType"]);
                if map.has_more() {
                    batch.leave(at, None, MORE);
                }
                value
            }
            Node::Text(text) => text,
            _ => return Err(wrong(at, "the value is neither text nor what Doppler keeps of a secret")),
        };
        if OF_DOPPLER.contains(&name.as_str()) {
            batch.entries += 1;
            batch.leave_trifle(at, Some(name), OF_DOPPLER_WHY);
            continue;
        }
        variable(at, &name, value, &remark, Vec::new(), None, options, batch);
    }
    Ok(())
}

#[allow(clippy::too_many_arguments)]
fn variable(
    at: At,
    name: &str,
    value: Secret,
    remark: &str,
    tags: Vec<String>,
    expires_at: Option<Millis>,
    options: &Options<'_>,
    batch: &mut Batch,
) {
    let mut record = Record::variable(at, name, value);
    record.remark = Zeroizing::new(remark.to_owned());
    record.tags = tags;
    record.expires_at = expires_at;
    shape::take(record, options, batch);
}

/// `infisical export --format=json`.
pub(super) fn infisical(file: Vec<Node>, options: &Options<'_>, batch: &mut Batch) -> Result<()> {
    for (i, node) in file.into_iter().enumerate() {
        super::check_room(batch)?;
        let at = At::Entry(i + 1);
        let mut map = node.into_map(at, "a secret")?;
        let name = map.text("key", at)?.ok_or_else(|| wrong(at, "there is no key"))?.expose(str::to_owned);
        let value = map.text("value", at)?.ok_or_else(|| wrong(at, "there is no value"))?;
        let mut tags = vec![map.word("secretPath", at)?];
        for tag in map.list("tags", at)? {
            tags.push(tag.into_map(at, "a tag")?.word("slug", at)?);
        }
        let comment = map.word("comment", at)?;
        map.drop_all(&[
            "workspace",
            "type",
            "_id",
            "id",
            "Etag",
            "skipMultilineEncoding",
            "version",
            "environment",
            "createdAt",
            "updatedAt",
        ]);
        if map.has_more() {
            batch.leave(at, None, MORE);
        }
        variable(at, &name, value, &comment, tags, None, options, batch);
    }
    Ok(())
}

/// `vault kv get -format=json`, of either version of the KV store.
pub(super) fn vault(mut file: Map, options: &Options<'_>, batch: &mut Batch) -> Result<()> {
    let Some(data) = file.take("data") else { return Err(wrong(TOP, "there is no data, as Vault has it")) };
    let mut data = data.into_map(TOP, "data")?;
    let at = At::Entry(1);
    let is_v2 = data.0.len() == 2 && data.has("data") && data.has("metadata");
    if is_v2 {
        let Some(mut metadata) = data.map("metadata", TOP)? else {
            return Err(wrong(TOP, "there is no metadata, as Vault has it"));
        };
        let is_destroyed = matches!(metadata.take("destroyed"), Some(Node::Bool(true)));
        match data.take("data") {
            Some(Node::Map(inner)) => data = inner,
            Some(Node::Null) => {
                let deleted = !metadata.word("deletion_time", TOP)?.is_empty();
                let what = match (is_destroyed, deleted) {
                    (true, _) => "this version of the secret is destroyed in Vault",
                    (_, true) => "this version of the secret is deleted in Vault",
                    _ => "the secret has no data",
                };
                return Err(Error::new(Code::InvalidFile, what)
                    .next("Get a version that is there: `vault kv get -version=N -format=json PATH`."));
            }
            _ => return Err(wrong(TOP, "data.data is not an object")),
        }
    }
    let name = options.name.to_owned();
    fields_of(at, &name, data, options, batch)
}

/// One credential with a field for each member.
fn fields_of(at: At, name: &str, map: Map, options: &Options<'_>, batch: &mut Batch) -> Result<()> {
    let mut record = Record::new(at, name);
    record.keeps_labels = true;
    for (label, node) in map.0 {
        let why = if matches!(node, Node::Null) { NULL } else { INEXACT };
        match node.into_value() {
            Some(value) => {
                let role = match label.as_str() {
                    "username" => Role::User,
                    "password" => Role::Password,
                    _ => Role::Hidden,
                };
                record.put(role, &label, value);
            }
            None => batch.leave(at, None, why),
        }
    }
    shape::take(record, options, batch);
    Ok(())
}

/// `aws secretsmanager get-secret-value` or `batch-get-secret-value`.
pub(super) fn aws(mut file: Map, options: &Options<'_>, batch: &mut Batch) -> Result<()> {
    if !file.has("SecretValues") {
        return aws_secret(At::Entry(1), file, options, batch);
    }
    let mut number = 0;
    for secret in file.list("SecretValues", TOP)? {
        super::check_room(batch)?;
        number += 1;
        let at = At::Entry(number);
        aws_secret(at, secret.into_map(at, "a secret")?, options, batch)?;
    }
    for error in file.list("Errors", TOP)? {
        number += 1;
        batch.entries += 1;
        let at = At::Entry(number);
        let mut error = error.into_map(at, "an error")?;
        let id = error.word("SecretId", at)?;
        let name = super::naming::variable_style(&id)
            .filter(|_| !(options.looks_secret)(&id, crate::model::suspicion::Kind::Identifier));
        batch.leave(at, name, "AWS did not give this secret: it told an error instead");
    }
    file.drop_all(&["NextToken"]);
    match file.has_more() {
        true => Err(wrong(TOP, "there is more in it than AWS writes")),
        false => Ok(()),
    }
}

fn aws_secret(at: At, mut secret: Map, options: &Options<'_>, batch: &mut Batch) -> Result<()> {
    let name = secret.word("Name", at)?;
    if name.is_empty() {
        return Err(wrong(at, "there is no Name, as AWS has it"));
    }
    let (text, binary) = (secret.text("SecretString", at)?, secret.text("SecretBinary", at)?);
    secret.drop_all(&["ARN", "VersionId", "VersionStages", "CreatedDate"]);
    if secret.has_more() {
        batch.leave(at, None, MORE);
    }
    match (text, binary) {
        (Some(text), None) => {
            let object = text.expose(|text| match text.trim_start().starts_with('{') {
                true => super::tree::parse(text).ok(),
                false => None,
            });
            if let Some(Node::Map(map)) = object {
                drop(text);
                return fields_of(at, &name, map, options, batch);
            }
            let mut record = Record::new(at, &name);
            record.put(Role::Password, "value", text);
            shape::take(record, options, batch);
        }
        (None, Some(binary)) => {
            let bytes = binary
                .expose(|text| data_encoding::BASE64.decode(text.as_bytes()))
                .map_err(|_| wrong(at, "SecretBinary is no base64"))?;
            let mut record = Record::new(at, &name);
            let content = Ok(SecretBytes::new(bytes));
            record.files.push(Attached { file_name: "binary".into(), content, is_all: true });
            shape::take(record, options, batch);
        }
        _ => return Err(wrong(at, "there is neither a SecretString nor a SecretBinary, or there are both")),
    }
    Ok(())
}

/// `az keyvault secret show`, or a list of such answers.
pub(super) fn azure(mut file: Map, options: &Options<'_>, batch: &mut Batch) -> Result<()> {
    let at = At::Entry(1);
    let name = match file.word("name", at)? {
        name if name.is_empty() => {
            // …/secrets/NAME/VERSION
            let id = file.word("id", at)?;
            id.split("/secrets/")
                .nth(1)
                .and_then(|rest| rest.split('/').next())
                .unwrap_or_default()
                .to_owned()
        }
        name => name,
    };
    let value = file.text("value", at)?.ok_or_else(|| wrong(at, "there is no value, as Azure has it"))?;
    let mut record = Record::new(at, &name);
    record.put(Role::Password, "value", value);
    if let Some(mut attributes) = file.map("attributes", at)? {
        match attributes.take("expires") {
            None | Some(Node::Null) => {}
            Some(Node::Text(text)) => {
                let when = text.expose(|text| text.parse()).map_err(|_| wrong(at, "expires is no time"))?;
                record.expires_at = Some(when);
            }
            Some(Node::Number(seconds)) => record.expires_at = Some(Millis(seconds.saturating_mul(1000))),
            Some(_) => return Err(wrong(at, "expires is no time")),
        }
    }
    if let Some(tags) = file.map("tags", at)? {
        for (name, node) in tags.0 {
            if let Some(value) = node.into_value() {
                record.tags.push(value.expose(|value| format!("{name}:{value}")));
            }
        }
    }
    file.drop_all(&["id", "contentType", "kid", "managed"]);
    if file.has_more() {
        batch.leave(at, None, MORE);
    }
    shape::take(record, options, batch);
    Ok(())
}

/// `gcloud secrets versions access --format=json`.
pub(super) fn gcp(mut file: Map, options: &Options<'_>, batch: &mut Batch) -> Result<()> {
    let at = At::Entry(1);
    // projects/…/secrets/NAME/versions/N
    let path = file.word("name", at)?;
    let name =
        path.split("secrets/").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or_default().to_owned();
    if name.is_empty() {
        return Err(wrong(at, "the name is none of a secret's version"));
    }
    let mut payload = file.map("payload", at)?.ok_or_else(|| wrong(at, "there is no payload"))?;
    let data = payload.text("data", at)?.ok_or_else(|| wrong(at, "there is no data in the payload"))?;
    payload.drop_all(&["dataCrc32c"]);
    if payload.has_more() || file.has_more() {
        batch.leave(at, None, MORE);
    }
    let bytes = data
        .expose(|text| data_encoding::BASE64.decode(text.as_bytes()))
        .map_err(|_| wrong(at, "the data is no base64"))?;
    let mut record = Record::new(at, &name);
    match String::from_utf8(bytes) {
        Ok(text) => record.put(Role::Password, "value", Secret::new(text)),
        Err(e) => {
            let content = Ok(SecretBytes::new(e.into_bytes()));
            record.files.push(Attached { file_name: "payload".into(), content, is_all: true });
        }
    }
    shape::take(record, options, batch);
    Ok(())
}
