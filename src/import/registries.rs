//! Docker's `config.json`: what `docker login` keeps of each registry, where no helper keeps it.
use super::batch::{At, Batch};
use super::record::{Record, Role};
use super::tree::{Map, Node, wrong};
use super::{MORE, Options, encoded, guard, naming, shape};
use crate::error::Result;

const TOP: At = At::Line(1);
const HELPER: &str = "its password is kept elsewhere, by a credential helper of docker";
const PLUGIN: &str = "plugins: what a plugin keeps may be a secret";
const STORE: &str = "credsStore: passwords are kept elsewhere, by a credential helper of docker";

/// Settings of the client that hold no secret.
const SETTINGS: &[&str] = &[
    "$schema",
    "aliases",
    "auth-pull",
    "cliPluginsExtraDirs",
    "configFormat",
    "currentContext",
    "experimental",
    "features",
    "imagesFormat",
    "networksFormat",
    "nodesFormat",
    "pluginsFormat",
    "pruneFilters",
    "psFormat",
    "secretFormat",
    "serviceInspectFormat",
    "servicesFormat",
    "stackOrchestrator",
    "statsFormat",
    "tasksFormat",
    "volumesFormat",
];

pub(super) fn read(mut file: Map, options: &Options<'_>, batch: &mut Batch) -> Result<()> {
    let auths = file.map("auths", TOP)?;
    let mut helpers = file.map("credHelpers", TOP)?.unwrap_or_default();
    let store = file.word("credsStore", TOP)?;
    let plugins = file.take("plugins").unwrap_or(Node::Null);
    // Which keys let go of a container: no keys that open anything.
    let keys = file.word("detachKeys", TOP)?;
    let has_guarded = file.drop_settings(SETTINGS, options) || guard::setting("detach", &keys, options);
    if auths.is_none() && helpers.0.is_empty() && store.is_empty() {
        return Err(wrong(TOP, "there are no auths, as docker has them"));
    }
    let mut number = 0;
    for (address, node) in auths.unwrap_or_default().0 {
        super::check_room(batch)?;
        number += 1;
        let at = At::Entry(number);
        let host = naming::host(&address)
            .ok_or_else(|| wrong(at, "this is no address of a registry, as docker has it"))?;
        let has_helper = helpers.take(&address).is_some() || !store.is_empty();
        let map = match node {
            Node::Null => Map::default(),
            node => node.into_map(at, "a registry")?,
        };
        registry(at, &host, map, has_helper, options, batch)?;
    }
    for (_, _) in helpers.0 {
        number += 1;
        batch.entries += 1;
        batch.leave(At::Entry(number), None, HELPER);
    }
    if !store.is_empty() {
        batch.leave(TOP, None, STORE);
    }
    if !is_plain(&plugins) || guard::member("plugins", &plugins, options) {
        batch.leave(TOP, None, PLUGIN);
    }
    if has_guarded {
        batch.leave(TOP, None, guard::SETTING);
    }
    if file.has_more() {
        batch.leave(TOP, None, MORE);
    }
    Ok(())
}

/// Whether docker's own programs keep no more there: switches, and the commands that a plugin is told of.
fn is_plain(plugins: &Node) -> bool {
    let is_hooks = |name: &str, node: &Node| {
        let is_command = |c: char| c.is_ascii_lowercase() || " ,-".contains(c);
        name == "hooks"
            && matches!(node, Node::Text(text) if text.expose(|text| text.chars().all(is_command)))
    };
    let is_plain = |(name, node): &(String, Node)| is_hooks(name, node) || guard::is_all_switches(node);
    match plugins {
        Node::Map(all) => all.0.iter().all(|(_, node)| match node {
            Node::Map(map) => map.0.iter().all(is_plain),
            node => guard::is_all_switches(node),
        }),
        node => guard::is_all_switches(node),
    }
}

fn registry(
    at: At,
    host: &str,
    mut map: Map,
    has_helper: bool,
    options: &Options<'_>,
    batch: &mut Batch,
) -> Result<()> {
    let mut record = Record::new(at, &format!("docker {host}"));
    record.url.push_str(host);
    record.service = (host == "index.docker.io").then_some("dockerhub");
    let (user, password) = (map.text("username", at)?, map.text("password", at)?);
    let login = match map.text("auth", at)?.filter(|auth| auth.expose(|text| !text.is_empty())) {
        // Both forms may stand there; docker itself takes this one.
        Some(auth) => {
            let login =
                encoded::login(&auth).ok_or_else(|| wrong(at, "auth is no base64 of user:password"))?;
            (Some(login.0), Some(login.1))
        }
        None => (user, password),
    };
    let parts = [
        (Role::User, "username", login.0),
        (Role::Password, "password", login.1),
        (Role::Hidden, "identity_token", map.text("identitytoken", at)?),
        (Role::Hidden, "registry_token", map.text("registrytoken", at)?),
        (Role::Plain, "email", map.text("email", at)?),
    ];
    for (role, label, value) in parts {
        if let Some(value) = value {
            record.put(role, label, value);
        }
    }
    if map.drop_settings(&["serveraddress"], options) {
        batch.leave(at, None, guard::SETTING);
    }
    if map.has_more() {
        return Err(wrong(at, "there is more in it than docker keeps of a registry"));
    }
    let has_secret = record.parts.iter().any(|p| matches!(p.role, Role::Password | Role::Hidden));
    match has_secret || !has_helper {
        true => shape::take(record, options, batch),
        false => {
            batch.entries += 1;
            batch.leave(at, None, HELPER);
        }
    }
    Ok(())
}
