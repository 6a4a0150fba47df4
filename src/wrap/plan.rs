//! What a wrap would do, in names: fit for a person, a program or a model to read.
use serde::Serialize;

use super::Config;
use super::found::{Fate, FoundServer, FoundValue, Guess, ServerKind, Where};
use crate::model::text::shown;

/// What can be taken out of a file. Holds no value, and no name that looks like one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// Every server of the file, in its order.
    pub servers: Vec<PlannedServer>,
    /// About the file as a whole, each with its line.
    pub notes: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PlannedServer {
    /// Its place in [`Config::servers`].
    pub server: usize,
    pub name: String,
    /// The project it is for, where the file tells projects apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    pub line: usize,
    /// `launch`, `wrapped`, `unsaid`, `remote` or `unclear`.
    pub kind: &'static str,
    /// The definition it was recognised as.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub definition: Option<String>,
    /// The name proposed for its consumer.
    pub consumer: String,
    /// It can be started by a consumer, and has a reason to be.
    pub to_wrap: bool,
    /// Secrets that would leave the file.
    pub moves: Vec<PlannedValue>,
    /// Plain configuration that leaves the file, and is readable in the consumer from then on.
    pub plain: Vec<PlannedValue>,
    /// What leaves the file and is sent by nobody.
    pub dropped: Vec<PlannedValue>,
    /// Plain configuration that stays in the file.
    pub stays: Vec<PlannedValue>,
    /// What the client fills in.
    pub references: Vec<PlannedValue>,
    /// Secrets that cannot leave the file, and why.
    pub cannot: Vec<PlannedValue>,
    /// What keeps it from being started by a consumer.
    pub obstacles: Vec<String>,
    pub notes: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PlannedValue {
    /// The variable, the header, or where else it stands.
    pub name: String,
    /// The credential that it would become.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// What tells it apart, or why it cannot leave.
    pub why: String,
}

impl Plan {
    /// Nothing could be taken out.
    pub fn is_empty(&self) -> bool {
        self.servers.iter().all(|server| !server.to_wrap)
    }
}

impl Config {
    /// What can be done about this file, without a value in it.
    pub fn plan(&self) -> Plan {
        let about = |note: &super::Note| format!("line {}: {}", note.line, note.text);
        Plan {
            servers: self.servers.iter().map(planned).collect(),
            notes: self.notes.iter().map(about).collect(),
        }
    }
}

fn planned(server: &FoundServer) -> PlannedServer {
    let (mut moves, mut stays, mut references, mut cannot) = (vec![], vec![], vec![], vec![]);
    let (mut plain, mut dropped) = (vec![], vec![]);
    for value in &server.values {
        match (value.guess, &value.fate) {
            (Guess::Yes(why) | Guess::No(why) | Guess::Reference(why), Fate::Sent) => {
                plain.push(planned_value(value, why));
            }
            (_, Fate::Dropped(why)) => dropped.push(planned_value(value, why)),
            (Guess::Yes(_), Fate::Stays(why)) => cannot.push(planned_value(value, why)),
            (Guess::Yes(why), Fate::Argument(_)) => {
                let why = format!("{why}; the server takes it as an argument only, readable while it runs");
                moves.push(planned_value(value, &why));
            }
            (Guess::Yes(why), Fate::Moves | Fate::Becomes(_)) => moves.push(planned_value(value, why)),
            (Guess::Reference(why), _) => references.push(planned_value(value, why)),
            (Guess::No(why), _) => stays.push(planned_value(value, why)),
        }
    }
    let kind = match &server.kind {
        ServerKind::Launch { .. } => "launch",
        ServerKind::Wrapped { .. } => "wrapped",
        ServerKind::Unsaid => "unsaid",
        ServerKind::Remote => "remote",
        ServerKind::Unclear(_) => "unclear",
    };
    let startable =
        matches!(server.kind, ServerKind::Launch { .. } | ServerKind::Wrapped { .. } | ServerKind::Remote);
    let to_wrap = startable && server.obstacles.is_empty() && !moves.is_empty();
    match (to_wrap, &server.kind) {
        (true, ServerKind::Remote) => plain.insert(0, of_the_consumer("the address")),
        (true, _) => plain.insert(0, of_the_consumer("the command")),
        (false, _) => stays.extend(plain.drain(..).chain(dropped.drain(..))),
    }
    let unclear = match server.kind {
        ServerKind::Unclear(why) => Some(why.to_owned()),
        _ => None,
    };
    PlannedServer {
        server: server.index,
        name: server.shown_name(),
        project: server.project().map(shown),
        line: server.line,
        kind,
        definition: server.definition.as_ref().map(|definition| definition.id.clone()),
        consumer: server.suggested_consumer(),
        to_wrap,
        moves,
        plain,
        dropped,
        stays,
        references,
        cannot,
        obstacles: unclear.into_iter().chain(server.obstacles.iter().cloned()).collect(),
        notes: server.notes.iter().map(|note| format!("line {}: {}", note.line, note.text)).collect(),
    }
}

fn of_the_consumer(name: &str) -> PlannedValue {
    let why = "the consumer is registered with it".to_owned();
    PlannedValue { name: name.to_owned(), credential: None, service: None, why }
}

fn planned_value(value: &FoundValue, why: &str) -> PlannedValue {
    PlannedValue {
        name: match &value.place {
            Where::Env(name) | Where::Header(name) => shown(name),
            Where::Argument(at) => format!("argument {}", at + 1),
            Where::Command => "the command".to_owned(),
            Where::Address => "the address".to_owned(),
        },
        credential: value.credential_name().map(str::to_owned),
        service: value.service.clone(),
        why: why.to_owned(),
    }
}
