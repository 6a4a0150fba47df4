//! Secrets of Kubernetes as manifests and `kubectl get secret -o yaml` have them: documents, or a List of them.
//!
//! Reads strictly, as the API server does: an unknown member, a value that is no text and bad base64 are refused.
use super::batch::{At, Batch};
use super::record::{Attached, Record, Role};
use super::tree::{Map, Node, wrong};
use super::{Options, encoded, guard, shape};
use crate::error::Result;
use crate::secret::{Secret, SecretBytes};

const OTHER: &str = "it is an object of Kubernetes, but no Secret";
const OVERRULED: &str = "stringData has the same name, and is what Kubernetes takes";
const NO_NAME: &str = "there is no metadata.name, as a Secret has it";

const ANNOTATION: &str = "an annotation, which people write anything into";

/// Annotations that tools write. The first repeats the whole Secret.
const OF_TOOLS: &[&str] = &[
    "kubectl.kubernetes.io/last-applied-configuration",
    "argocd.argoproj.io/tracking-id",
    "cert-manager.io/alt-names",
    "cert-manager.io/certificate-name",
    "cert-manager.io/common-name",
    "cert-manager.io/ip-sans",
    "cert-manager.io/issuer-group",
    "cert-manager.io/issuer-kind",
    "cert-manager.io/issuer-name",
    "cert-manager.io/uri-sans",
    "deployment.kubernetes.io/revision",
    "kubernetes.io/service-account.name",
    "kubernetes.io/service-account.uid",
    "meta.helm.sh/release-name",
    "meta.helm.sh/release-namespace",
    "reconcile.external-secrets.io/data-hash",
];

/// What the API server writes into metadata.
const OF_SERVER: &[&str] = &[
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generation",
    "managedFields",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// What else stands there besides the name, and is of no use here.
const OF_METADATA: &[&str] = &["finalizers", "generateName", "labels", "ownerReferences"];

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
        let mut metadata = map.map("metadata", at)?.unwrap_or_default();
        metadata.drop_all(&["continue", "remainingItemCount", "resourceVersion", "selfLink"]);
        return match map.has_more() || metadata.has_more() {
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
    for (name, node) in metadata.map("annotations", at)?.unwrap_or_default().0 {
        if !OF_TOOLS.contains(&name.as_str()) && (!node.is_empty() || guard::member(&name, &node, options)) {
            batch.leave(at, shape::shown(&name, options.looks_secret), ANNOTATION);
        }
    }
    metadata.drop_all(OF_SERVER);
    if metadata.drop_settings(OF_METADATA, options) {
        batch.leave(at, None, guard::SETTING);
    }
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
            batch.leave(at, shape::shown(&key, options.looks_secret), OVERRULED);
            continue;
        }
        let bytes = match value {
            Some(text) => encoded::bytes(&text).ok_or_else(|| wrong(at, "a value of data is no base64"))?,
            None => SecretBytes::new(Vec::new()),
        };
        match encoded::text(&bytes) {
            Some(text) => put(&mut record, &key, text, options, batch),
            None => record.files.push(Attached { file_name: key, content: Ok(bytes), is_all: false }),
        }
    }
    for (key, node) in plain.0 {
        let text = value(at, &key, node)?.unwrap_or_else(|| super::secret(""));
        put(&mut record, &key, text, options, batch);
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

fn put(record: &mut Record, key: &str, text: Secret, options: &Options<'_>, batch: &mut Batch) {
    let role = match key {
        "username" => Role::User,
        "password" => Role::Password,
        _ => Role::Hidden,
    };
    if text.expose(str::is_empty) {
        shape::leave_empty(record.at, key, options, batch);
    }
    record.put(role, key, text);
}
