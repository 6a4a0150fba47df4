//! `hosts.yml` of the GitHub command line: a token of each host, or of each account of a host.
use super::batch::{At, Batch};
use super::record::{Record, Role};
use super::tree::{Map, Node, wrong};
use super::{MORE, Options, guard, naming, shape};
use crate::error::Result;
use crate::secret::Secret;
use zeroize::Zeroizing;

const KEYRING: &str = "its token is in the keyring of the system: `gh auth token` prints it";

/// What is kept besides the token, and is of no use here.
const SETTINGS: &[&str] = &[
    "git_protocol",
    "api_protocol",
    "editor",
    "prompt",
    "prefer_editor_prompt",
    "pager",
    "browser",
    "http_unix_socket",
];

pub(super) fn read(file: Node, options: &Options<'_>, batch: &mut Batch) -> Result<()> {
    let mut number = 0;
    for (host, node) in file.into_map(At::Line(1), "the file")?.0 {
        let at = At::Entry(number + 1);
        let is_host = naming::host(&host).is_some_and(|h| h == host) && host.contains('.');
        if !is_host {
            return Err(wrong(at, "this is no name of a host, as gh has it"));
        }
        let mut map = node.into_map(at, "a host")?;
        let tokens = tokens(at, &mut map, options, batch)?;
        if map.drop_settings(SETTINGS, options) {
            batch.leave(at, None, guard::SETTING);
        }
        if map.has_more() {
            batch.leave(at, None, MORE);
        }
        if tokens.is_empty() {
            number += 1;
            batch.entries += 1;
            batch.leave(at, None, KEYRING);
        }
        for (user, token) in tokens {
            super::check_room(batch)?;
            number += 1;
            shape::take(record(At::Entry(number), &host, user, token), options, batch);
        }
    }
    match number {
        0 => Err(wrong(At::Line(1), "there is no host, as gh has it")),
        _ => Ok(()),
    }
}

/// The tokens of a host by their users. The active user's may stand a second time, by itself.
fn tokens(at: At, map: &mut Map, options: &Options<'_>, batch: &mut Batch) -> Result<Vec<(String, Secret)>> {
    let (active, own) = (map.word("user", at)?, map.text("oauth_token", at)?);
    let mut all = Vec::new();
    for (user, node) in map.map("users", at)?.unwrap_or_default().0 {
        if matches!(node, Node::Null) {
            continue;
        }
        let mut map = node.into_map(at, "a user")?;
        all.extend(map.text("oauth_token", at)?.map(|token| (user, token)));
        if map.drop_settings(SETTINGS, options) {
            batch.leave(at, None, guard::SETTING);
        }
        if map.has_more() {
            return Err(wrong(at, "there is more in it than gh keeps of a user"));
        }
    }
    if let Some(own) = own
        && !all.iter().any(|(user, token)| *user == active && *token == own)
    {
        all.push((active, own));
    }
    all.retain(|(_, token)| !token.expose(str::is_empty));
    Ok(all)
}

fn record(at: At, host: &str, user: String, token: Secret) -> Record {
    let mut record = Record::new(at, "GitHub token");
    match host {
        "github.com" => record.service = Some("github"),
        host => record.title = Zeroizing::new(format!("GitHub token {host}")),
    }
    record.url.push_str(host);
    if !user.is_empty() {
        record.remark = Zeroizing::new(format!("user {user}"));
    }
    record.account = user;
    record.put(Role::Password, "value", token);
    record
}
