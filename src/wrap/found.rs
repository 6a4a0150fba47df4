//! What a file holds: servers, and the values that each of them is given.
use std::ops::Range;
use std::sync::Arc;

use super::remote::FoundHeader;
use crate::error::{Code, Error, Result};
use crate::model::suspicion::{Kind, PLAIN};
use crate::model::text;
use crate::secret::Secret;
use crate::services::ServerDefinition;

/// One server of the file. Neither `Clone` nor `Serialize`: it holds secrets.
#[derive(Debug)]
pub struct FoundServer {
    /// Its place in [`super::Config::servers`].
    pub index: usize,
    /// The keys from the top of the file to it; the last is its name.
    pub path: Vec<String>,
    /// Where it begins, counted from 1.
    pub line: usize,
    pub kind: ServerKind,
    /// What its command or address is known to be.
    pub definition: Option<Arc<ServerDefinition>>,
    pub values: Vec<FoundValue>,
    /// What keeps it from being started by a consumer; none names a value.
    pub obstacles: Vec<String>,
    pub notes: Vec<Note>,
    /// For a program: the word it is started by, and what follows.
    pub(super) command: Option<Secret>,
    pub(super) args: Vec<Secret>,
    pub(super) edits: Vec<ArgEdit>,
    /// The object of the file.
    pub(super) range: Range<usize>,
    /// The keys from the server to the object that holds `command`, `args` and `env`: none but in an older Zed.
    pub(super) launch: Option<LaunchKeys>,
    /// For an address without a secret in it: the address, and the headers that can be sent from elsewhere.
    pub(super) address: Option<String>,
    pub(super) headers: Vec<FoundHeader>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerKind {
    /// A program that the client starts.
    Launch {
        /// The folder it is started in, if the file says so. It stays in the file: `unsaid mcp` hands its own on.
        cwd: Option<String>,
    },
    /// Started by `unsaid mcp` already, as this consumer.
    Wrapped { consumer: Option<String> },
    /// Unsaid's own server.
    Unsaid,
    /// An address.
    Remote,
    /// Nothing that a client could start.
    Unclear(&'static str),
}

/// How the keys of a program are spelt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LaunchKeys {
    /// `command`, `args`, `env` in the server.
    Flat,
    /// `path`, `args`, `env` in an object `command`.
    Nested,
}

/// Arguments `first..first + count`, and what stands there instead once their value is elsewhere.
#[derive(Debug)]
pub(super) struct ArgEdit {
    pub first: usize,
    pub count: usize,
    pub with: Vec<String>,
}

/// A value of a server, secret or not.
#[derive(Debug)]
pub struct FoundValue {
    pub place: Where,
    /// The value itself, without what surrounds it.
    pub value: Secret,
    pub guess: Guess,
    pub fate: Fate,
    /// The service of the catalogue that it belongs to, as far as its name, its shape or the definition tells.
    pub service: Option<String>,
    /// The text of the file that holds it.
    pub(super) range: Range<usize>,
}

impl FoundValue {
    /// The name of the credential it would become; none where it cannot become one.
    pub fn credential_name(&self) -> Option<&str> {
        match (&self.fate, &self.place) {
            (Fate::Moves, Where::Env(name)) => Some(name),
            (Fate::Becomes(name) | Fate::Argument(name), _) => Some(name),
            _ => None,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Where {
    /// The variable of this name.
    Env(String),
    /// The argument of this number, counted from 0.
    Argument(usize),
    /// The word that starts the program, where it holds a whole line.
    Command,
    Header(String),
    Address,
}

/// Whether a value is a secret, and what says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guess {
    Yes(&'static str),
    No(&'static str),
    /// Something like `${input:key}`, which the client fills in.
    Reference(&'static str),
}

/// What can be done about a value, whether or not somebody wants to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It leaves `env`, and the consumer gives it under the same name.
    Moves,
    /// It leaves the arguments, and the consumer gives it as this variable, which the server reads as well; or it leaves the
    /// headers, and the consumer sends it.
    Becomes(String),
    /// The server takes it as an argument only: `{NAME}` stands there in what the consumer runs. While the server runs,
    /// other programs of this machine can read it.
    Argument(String),
    /// It leaves the headers, and the consumer sends it as it is: whoever sees the consumer reads it.
    Sent,
    /// It leaves the headers, and no consumer sends it, because.
    Dropped(&'static str),
    /// It stays in the file, because.
    Stays(&'static str),
}

/// Something to tell a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    pub line: usize,
    pub text: &'static str,
}

/// What a consumer must run in the client's stead. No secret is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerLaunch {
    pub command: String,
    /// `{NAME}` for each of `placeholders`, and for nothing else that the file did not hold as such.
    pub args: Vec<String>,
    pub placeholders: Vec<String>,
}

impl FoundServer {
    /// Its name in the file.
    pub fn name(&self) -> &str {
        self.path.last().map(String::as_str).unwrap_or_default()
    }

    /// The same, fit to be shown: short, on one line, and nothing that looks like a value.
    pub fn shown_name(&self) -> String {
        text::shown(self.name())
    }

    /// The project it is for, where the file tells projects apart.
    pub fn project(&self) -> Option<&str> {
        match self.path.as_slice() {
            [projects, project, ..] if projects == "projects" => Some(project),
            _ => None,
        }
    }

    /// Its name as one of a consumer: lower-case letters, digits and hyphens, at most 48; `server` where none is left, or
    /// where the name looks like a value.
    pub fn suggested_consumer(&self) -> String {
        let words = match PLAIN.check_text(self.name(), Kind::Identifier) {
            Some(_) => String::new(),
            None => self.name().to_ascii_lowercase(),
        };
        let words = words.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
        let name: String = words.collect::<Vec<_>>().join("-").chars().take(48).collect();
        let name = name.trim_end_matches('-');
        if name.is_empty() { "server".to_owned() } else { name.to_owned() }
    }

    /// The values that a consumer would be given: the secret ones that can leave the file.
    pub fn movable(&self) -> impl Iterator<Item = &FoundValue> {
        self.values
            .iter()
            .filter(|value| matches!(value.guess, Guess::Yes(_)) && value.credential_name().is_some())
    }

    /// What the consumer must run, the secret arguments taken out.
    ///
    /// Fails with `invalid_input` when this is no program, or when something keeps it from being started elsewhere than
    /// from this file: a reference that only the client can fill in, or a secret that cannot leave the arguments.
    pub fn launch(&self) -> Result<ConsumerLaunch> {
        let refused = |why: String| {
            Error::new(
                Code::InvalidInput,
                format!("line {}: this server cannot be wrapped: {why}", self.line),
            )
            .next("Leave it as it is, or correct the file and try again.")
        };
        if let Some(why) = self.obstacles.first() {
            return Err(refused(why.clone()));
        }
        let (ServerKind::Launch { .. }, Some(command)) = (&self.kind, &self.command) else {
            return Err(refused("it is not a program that the client starts".to_owned()));
        };
        let (mut args, mut at) = (Vec::new(), 0);
        while at < self.args.len() {
            match self.edits.iter().find(|edit| edit.first == at) {
                Some(edit) => {
                    args.extend(edit.with.iter().cloned());
                    at += edit.count.max(1);
                }
                None => {
                    args.push(self.args[at].expose(str::to_owned));
                    at += 1;
                }
            }
        }
        let placeholders = self.values.iter().filter_map(|value| match &value.fate {
            Fate::Argument(name) => Some(name.clone()),
            _ => None,
        });
        let placeholders = placeholders.collect();
        Ok(ConsumerLaunch { command: command.expose(str::to_owned), args, placeholders })
    }
}
