//! Secrets of Kubernetes as manifests and `kubectl get secret -o yaml` have them: documents, or a List of them.
//!
//! Reads strictly, as the API server does: an unknown member, a value that is no text and bad base64 are refused.
use super::batch::{At, Batch};
use super::record::{Attached, Record, Role};
use super::tree::{Map, Node, wrong};
use super::{Options, encoded, shape};
use crate::error::Result;
use crate::secret::{Secret, SecretBytes};

const OTHER: &str = "it is an object of Kubernetes, but no Secret";
const OVERRULED: &str = "stringData has the same name, and is what Kubernetes takes";
const NO_NAME: &str = "there is no metadata.name, as a Secret has it";

/// What stands in metadata besides the name, and is of no use here. Annotations may repeat the whole Secret.
const OF_METADATA: &[&str] = &[
    "annotations",
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generateName",
    "generation",
    "labels",
    "managedFields",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
];

pub(super) fn read(documents: Vec<Node>, options: &Options<'_>, batch: &mut Batch) -> Result<()> {
    let mut number = 0;
    documents.into_iter().try_for_each(|document| object(document, &mut number, options, batch))
}

fn object(node: Node, number: &mut usize, options: &Options<'_>, batch: &mut Batch) -> Result<()> {
    let at = At::Entry(*number + 1);
    let mut map = node.into_map(at, "an object of Kubernetes")?;
    let (kind, version) = (map.word("kind", at)?, map.word("apiVersion", at)?);
    if kind.is_empty() || version.is_empty() {
        return Err(wrong(at, "there is no kind or no apiVersion, as Kubernetes has them"));
    }
    if kind == "List" {
        let items = map.list("items", at)?;
        map.drop_all(&["metadata"]);
        return match map.has_more() {
            true => Err(wrong(at, "there is more in it than a List has")),
            false => items.into_iter().try_for_each(|item| object(item, number, options, batch)),
        };
    }
    super::check_room(batch)?;
    *number += 1;
    if kind != "Secret" {
        batch.entries += 1;
        batch.leave(at, None, OTHER);
        return Ok(());
    }
    if version != "v1" {
        return Err(wrong(at, "a Secret of another version than v1"));
    }
    secret(at, map, options, batch)
}

fn secret(at: At, mut map: Map, options: &Options<'_>, batch: &mut Batch) -> Result<()> {
    let mut metadata = map.map("metadata", at)?.ok_or_else(|| wrong(at, NO_NAME))?;
    let (name, namespace) = (metadata.word("name", at)?, metadata.word("namespace", at)?);
    if name.is_empty() {
        return Err(wrong(at, NO_NAME));
    }
    let is_login = map.word("type", at)? == "kubernetes.io/basic-auth";
    let data = map.map("data", at)?.unwrap_or_default();
    let plain = map.map("stringData", at)?.unwrap_or_default();
    map.drop_all(&["immutable"]);
    metadata.drop_all(OF_METADATA);
    if map.has_more() || metadata.has_more() {
        return Err(wrong(at, "there is more in it than a Secret has"));
    }
    let mut record = Record::new(at, &name);
    record.keeps_labels = !is_login;
    if !namespace.is_empty() {
        record.tags.push(format!("namespace:{namespace}"));
    }
    for (key, node) in data.0 {
        let value = value(at, &key, node)?;
        if plain.has(&key) {
            batch.leave(at, shape::shown(&key), OVERRULED);
            continue;
        }
        let bytes = match value {
            Some(text) => encoded::bytes(&text).ok_or_else(|| wrong(at, "a value of data is no base64"))?,
            None => SecretBytes::new(Vec::new()),
        };
        match encoded::text(&bytes) {
            Some(text) => put(&mut record, &key, text, batch),
            None => record.files.push(Attached { file_name: key, content: Ok(bytes), is_all: false }),
        }
    }
    for (key, node) in plain.0 {
        let text = value(at, &key, node)?.unwrap_or_else(|| super::secret(""));
        put(&mut record, &key, text, batch);
    }
    shape::take(record, options, batch);
    Ok(())
}

/// The text of a member; `None` for null, which Kubernetes takes for nothing.
fn value(at: At, key: &str, node: Node) -> Result<Option<Secret>> {
    let is_key = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
    match node {
        _ if !is_key => Err(wrong(at, "a name in data or stringData that Kubernetes does not take")),
        Node::Null => Ok(None),
        Node::Text(text) => Ok(Some(text)),
        _ => Err(wrong(at, "a value of data or stringData is not text: put it in quotes")),
    }
}

fn put(record: &mut Record, key: &str, text: Secret, batch: &mut Batch) {
    let role = match key {
        "username" => Role::User,
        "password" => Role::Password,
        _ => Role::Hidden,
    };
    if text.expose(str::is_empty) {
        batch.leave_trifle(record.at, shape::shown(key), "it has no value");
    }
    record.put(role, key, text);
}
