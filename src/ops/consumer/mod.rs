//! Consumers: what uses credentials. They get what they are bound to, and nothing else.
//!
//! Whoever binds gives no right away: a value goes out only where the person it runs for may use it, or the consumer
//! itself was granted it. What a binding decides is where it goes, so a person agrees to each.
mod check;
mod get;
mod given;
mod hints;
mod list;
mod register;
mod remove;
mod resolve;
#[cfg(test)]
mod tests;
mod update;

pub use check::{BindingCheck, BindingState, Checked, check};
pub use get::GetConsumer;
pub use given::GivenBinding;
pub use list::{ConsumerList, ListConsumers};
pub use register::{RegisterConsumer, check_all, register_all};
pub use remove::{RemoveConsumer, Removed};
pub use resolve::{Found, look};
pub(in crate::ops) use resolve::{bound_to, every_bound, may_mean, problem};
pub use update::UpdateConsumer;

use crate::clock::Millis;
use crate::error::{Code, Error, Result, invalid};
use crate::ids::{ConsumerId, OrgId, TeamId, UserId};
use crate::model::Word;
use crate::model::access::{Caller, Standing};
use crate::model::consumer::{Binding, BindingSource, Consumer, ConsumerKind, Delivery};
use crate::model::credential::Scope;
use crate::model::event::Event;
use crate::model::org::Team;
use crate::model::text::shown;
use crate::store::{Reader, Writer};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Host and port of a consumer's address: what it is called in the log, and where a credential came back from.
pub(in crate::ops) fn host_of(url: &str) -> String {
    let url = url::Url::parse(url).ok();
    url.map_or_else(String::new, |url| url[url::Position::BeforeHost..url::Position::AfterPort].to_owned())
}

/// One consumer, without its bindings.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct ConsumerRow {
    pub id: ConsumerId,
    pub name: String,
    pub kind: ConsumerKind,
    pub scope: Scope,
    /// Login or team
    #[serde(skip_serializing_if = "String::is_empty")]
    pub owner: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub stack: String,
    /// Empty: everybody of its scope.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub run_by: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub server: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub url: String,
    pub bindings: usize,
    pub created_at: Millis,
    pub updated_at: Millis,
}

/// What registering and changing answer.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ConsumerAnswer {
    pub consumer: ConsumerRow,
    /// Whether everything required is there, for the caller.
    pub ready: bool,
    pub checks: Vec<BindingCheck>,
    pub next: Vec<String>,
}

/// `c` as a row, for somebody who may see it.
pub(super) fn row(tx: &Reader<'_>, c: &Consumer, bindings: usize) -> Result<ConsumerRow> {
    let owner = match c.scope {
        Scope::Personal => tx.user(&c.org_id, &UserId::from(c.owner_id.as_str())).map(|u| u.login),
        Scope::Team => tx.team(&c.org_id, &TeamId::from(c.owner_id.as_str())).map(|t| t.name),
        Scope::Org => Ok(String::new()),
    };
    Ok(ConsumerRow {
        id: c.id.clone(),
        name: c.name.clone(),
        kind: c.kind,
        scope: c.scope,
        owner: owner.unwrap_or_default(),
        description: c.description.clone(),
        stack: c.stack.clone(),
        run_by: c.run_by.iter().map(|one| runner_name(tx, &c.org_id, one)).collect(),
        server: c.definition.clone(),
        command: c.command.clone(),
        url: c.url.clone(),
        bindings,
        created_at: c.created_at,
        updated_at: c.updated_at,
    })
}

fn runner_name(tx: &Reader<'_>, org: &OrgId, stored: &str) -> String {
    match stored.split_once(':') {
        Some(("team", id)) => {
            tx.team(org, &TeamId::from(id)).map_or_else(|_| stored.to_owned(), |t| format!("team:{}", t.name))
        }
        Some((_, id)) => tx.user(org, &UserId::from(id)).map_or_else(|_| stored.to_owned(), |u| u.login),
        None => stored.to_owned(),
    }
}

/// `login` or `team:NAME`, as they are stored.
fn parse_runners(tx: &Reader<'_>, org: &OrgId, given: &[String]) -> Result<Vec<String>> {
    let mut runners = Vec::new();
    for one in given {
        let one = crate::ops::org::named(one)?;
        let stored = match one.split_once(':') {
            Some(("team", name)) => format!("team:{}", tx.team_named(org, name)?.id),
            Some(("user", name)) => format!("user:{}", tx.user_named(org, name)?.id),
            _ => format!("user:{}", tx.user_named(org, &one)?.id),
        };
        if !runners.contains(&stored) {
            runners.push(stored);
        }
    }
    Ok(runners)
}

fn not_found(wanted: &str) -> Error {
    Error::new(Code::ConsumerNotFound, format!("there is no consumer {} you can see", shown(wanted)))
}

/// By id, by name, or by name with its scope: `personal/NAME`, `team/NAME`, `org/NAME`.
///
/// Fails with `consumer_not_found` for what the caller may not know, and `ambiguous_name` where several fit.
pub fn reach(tx: &Reader<'_>, caller: &Caller, who: &Standing, wanted: &str) -> Result<Consumer> {
    let wanted = wanted.trim();
    if wanted.is_empty() || wanted.len() > 80 {
        return Err(invalid("name a consumer, as list_consumers shows it"));
    }
    if wanted.len() == 26
        && let Some(c) = tx.find_consumer(&caller.org, &ConsumerId::from(wanted))?
        && c.deleted_at.is_none()
    {
        return if c.is_seen_by(who) { Ok(c) } else { Err(not_found(wanted)) };
    }
    let (scope, name) = match wanted.split_once('/') {
        Some((scope, name)) => (Scope::parse(scope), name),
        None => (None, wanted),
    };
    let mut found = tx.consumers_named(&caller.org, &name.to_ascii_lowercase())?;
    found.retain(|c| c.is_seen_by(who) && scope.is_none_or(|scope| c.scope == scope));
    match found.len() {
        0 => Err(not_found(wanted)),
        1 => Ok(found.remove(0)),
        n => {
            let list: Vec<_> = found.iter().take(10).map(|c| format!("{} = {}", c.id, c.label())).collect();
            Err(Error::new(
                Code::AmbiguousName,
                format!("{} names {n} consumers: {}", shown(wanted), list.join("; ")),
            )
            .next("Name it by its id, or with its scope, as personal/NAME or org/NAME."))
        }
    }
}

/// As [`reach`], for whoever keeps it.
pub(super) fn managed(tx: &Reader<'_>, caller: &Caller, wanted: &str) -> Result<(Standing, Consumer)> {
    let who = tx.standing(caller)?;
    let c = reach(tx, caller, &who, wanted)?;
    match who.manages_place(c.scope, &c.owner_id) {
        true => Ok((who, c)),
        false => Err(Error::new(Code::NotAllowed, format!("you may not change the consumer {}", c.name))),
    }
}

/// As [`reach`], for whoever may run it.
pub fn run_by(tx: &Reader<'_>, caller: &Caller, who: &Standing, wanted: &str) -> Result<Consumer> {
    let c = reach(tx, caller, who, wanted)?;
    match c.is_run_by(who) {
        true => Ok(c),
        false => Err(Error::new(Code::NotAllowed, format!("you may not run the consumer {}", c.name))
            .next("Ask whoever keeps it to add you: update_consumer with run_by.")),
    }
}

/// What a consumer is called, removed or not, to somebody who may know of it.
pub(in crate::ops) fn name_of(tx: &Reader<'_>, who: &Standing, org: &OrgId, id: &str) -> Result<String> {
    Ok(match tx.find_consumer(org, &ConsumerId::from(id))? {
        Some(c) if c.is_seen_by(who) => c.name,
        Some(_) => "a personal one".to_owned(),
        None => id.to_owned(),
    })
}

/// An event about `c`. Of a personal one only its owner reads it.
pub(super) fn about(operation: &str, c: &Consumer) -> Event {
    let mut event = Event::of(operation).about("consumer", c.id.as_str(), &c.name);
    event.object.revision = Some(c.revision);
    event.object.scope = Some(c.scope);
    event.object.owner.clone_from(&c.owner_id);
    event.consumer.clone_from(&c.id.0);
    event
}

/// What goes where, a line each, with all that decides it: for whoever agrees to it. Never a value.
pub(super) fn told(tx: &Reader<'_>, b: &Binding) -> Result<String> {
    written(tx, b, Texts::Shown)
}

/// The same for the log, without plain text: what turns out to be a secret can be taken from a binding, and from the
/// log it cannot.
pub(super) fn logged(tx: &Reader<'_>, b: &Binding) -> Result<String> {
    written(tx, b, Texts::Hidden)
}

/// Whether the plain text of a binding is told.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Texts {
    Shown,
    Hidden,
}

fn written(tx: &Reader<'_>, b: &Binding, texts: Texts) -> Result<String> {
    let from = match b.source {
        BindingSource::Static if b.delivery == Delivery::Header || texts == Texts::Hidden => {
            "plain text".to_owned()
        }
        BindingSource::Static => format!("plain text {:?}", b.text),
        source if b.credential.is_empty() => source.to_string(),
        source => match tx.find_credential(&b.org_id, &b.credential.as_str().into())? {
            Some(c) => format!("{source} {} ({}, {})", c.label(), c.scope, c.id),
            None => format!("{source} {}", b.credential),
        },
    };
    let mut text = format!("{} = {from} ({})", b.variable, b.delivery);
    let team = match b.team_id.is_empty() {
        true => String::new(),
        false => {
            tx.team(&b.org_id, &b.team_id.as_str().into()).map_or_else(|_| b.team_id.clone(), |t| t.name)
        }
    };
    let environment = b.environment.map_or(String::new(), |e| e.to_string());
    let header = b.header().map_or(String::new(), |line| match (b.source, texts) {
        (BindingSource::Static, Texts::Hidden) => line.name,
        _ => line.line(),
    });
    for (what, said) in [
        ("added by the broker for", &b.service),
        ("sent as", &header),
        ("field", &b.field),
        ("account", &b.account),
        ("environment", &environment),
        ("team", &team),
        ("methods", &b.methods.join(" ")),
        ("paths", &b.paths.join(" ")),
    ] {
        if !said.is_empty() {
            text.push_str(&format!(", {what} {said}"));
        }
    }
    if !b.is_required {
        text.push_str(", optional");
    }
    Ok(text)
}

/// Where what has a header goes, for whoever agrees to it; nothing where there is none.
pub(super) fn sent_to<'a>(url: &str, all: impl IntoIterator<Item = &'a Binding>) -> Option<String> {
    let is_sent = |b: &&Binding| b.source != BindingSource::Static && b.header().is_some();
    let sent: Vec<_> = all.into_iter().filter(is_sent).map(|b| b.variable.as_str()).collect();
    let url = url::Url::parse(url).ok().filter(|_| !sent.is_empty())?;
    Some(format!(
        "sends {} to {}",
        sent.join(", "),
        &url[url::Position::BeforeHost..url::Position::AfterPort]
    ))
}

/// Who alone runs it, by name.
pub(super) fn runners(tx: &Reader<'_>, c: &Consumer) -> String {
    match c.run_by.is_empty() {
        true => "everybody of its scope".to_owned(),
        false => c.run_by.iter().map(|one| runner_name(tx, &c.org_id, one)).collect::<Vec<_>>().join(", "),
    }
}

/// A command as a shell would be given it, so that two commands never look alike.
pub(super) fn shown_command(words: &[String]) -> String {
    let is_plain = |word: &String| {
        !word.is_empty() && word.chars().all(|c| c.is_alphanumeric() || "-_./:@=,+%".contains(c))
    };
    let quoted = |word: &String| match is_plain(word) {
        true => word.clone(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    };
    words.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

/// A command with plain configuration in the place of its `{NAME}`, as it is started.
pub(super) fn filled_command(words: &[String], bindings: &[Binding]) -> Vec<String> {
    let plain: Vec<_> =
        bindings.iter().filter(|b| b.is_plain()).map(|b| (b.variable.clone(), b.text.clone())).collect();
    words.iter().map(|word| filled(word, &plain)).collect()
}

/// `word` with plain configuration in the place of its `{NAME}`. A secret never goes into an argument.
pub fn filled(word: &str, plain: &[(String, String)]) -> String {
    plain.iter().fold(word.to_owned(), |word, (name, text)| word.replace(&format!("{{{name}}}"), text))
}

/// The consumers of a team that is to be deleted.
pub(super) fn owned_by_team(tx: &Reader<'_>, team: &Team) -> Result<Vec<Consumer>> {
    tx.consumers_owned(&team.org_id, Scope::Team, team.id.as_str())
}

/// Removes what an erased person kept for themselves.
pub(super) fn forget_of(tx: &mut Writer<'_>, org: &OrgId, user: &UserId) -> Result<()> {
    for c in tx.consumers_owned(org, Scope::Personal, user.as_str())? {
        remove::end(tx, c)?;
    }
    Ok(())
}
