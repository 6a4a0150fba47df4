//! Reads the servers out of the tree of a file.
use jsonc_parser::ast::{Object, ObjectProp, Value};
use jsonc_parser::common::Ranged as _;
use zeroize::Zeroizing;

use super::Knowledge;
use super::arguments::{Arg, Outcome, Walk};
use super::document::{broken, distinct, line_of, parse, range};
use super::found::{Fate, FoundServer, FoundValue, Guess, LaunchKeys, Note, ServerKind, Where};
use super::judge::{Judge, references};
use super::place::{Client, containers};
use crate::error::Result;
use crate::model::name::{CredentialName, Reserved};
use crate::model::suspicion::{Kind, PLAIN};
use crate::secret::Secret;
use crate::services::servers::Place;

/// The longest value that a vault holds, in bytes.
pub(super) const MAX_VALUE_BYTES: usize = 64 * 1024;

/// Every server of the file, and what else there is to say about it.
pub(super) fn find_all(
    text: &str,
    client: Option<Client>,
    known: &Knowledge<'_>,
) -> Result<(Vec<FoundServer>, Vec<Note>)> {
    let parsed = parse(text)?;
    let root = match &parsed.value {
        None => return Ok((Vec::new(), Vec::new())),
        Some(Value::Object(root)) => root,
        Some(other) => return Err(broken(line_of(text, other.start()), "the file is not one object")),
    };
    let reader = Reader { text, known };
    let mut servers = Vec::new();
    for container in containers(text, root, client)? {
        for property in &container.object.properties {
            let path = container.path.iter().cloned().chain([property.name.as_str().to_owned()]).collect();
            servers.push(reader.server(servers.len(), path, property)?);
        }
    }
    servers.sort_by_key(|server| server.range.start);
    for (index, server) in servers.iter_mut().enumerate() {
        server.index = index;
    }
    let mut notes = reader.comments(&parsed);
    notes.extend(reader.inputs(root));
    Ok((servers, notes))
}

pub(super) struct Reader<'a> {
    pub text: &'a str,
    pub known: &'a Knowledge<'a>,
}

impl Reader<'_> {
    fn server(&self, index: usize, path: Vec<String>, property: &ObjectProp<'_>) -> Result<FoundServer> {
        let line = self.line(property.range.start);
        let mut server = FoundServer {
            index,
            path,
            line,
            kind: ServerKind::Unclear("it has neither a command nor an address"),
            definition: None,
            values: Vec::new(),
            obstacles: Vec::new(),
            notes: Vec::new(),
            command: None,
            args: Vec::new(),
            edits: Vec::new(),
            range: range(&property.value),
            launch: None,
            address: None,
            headers: Vec::new(),
        };
        let Value::Object(object) = &property.value else {
            server.kind = ServerKind::Unclear("it is not an object");
            return Ok(server);
        };
        distinct(self.text, object)?;
        let address = ["url", "serverUrl", "httpUrl"].iter().find_map(|key| object.get_string(key));
        match (object.get("command").map(|command| &command.value), address) {
            (Some(_), Some(_)) => {
                server.kind = ServerKind::Unclear("it has a command and an address");
                self.remote(&mut server, object)?;
            }
            (Some(Value::StringLit(_)), None) => {
                server.launch = Some(LaunchKeys::Flat);
                self.program(&mut server, object, "command")?;
            }
            (Some(Value::Object(inner)), None) if inner.get_string("path").is_some() => {
                distinct(self.text, inner)?;
                server.launch = Some(LaunchKeys::Nested);
                self.program(&mut server, inner, "path")?;
            }
            (Some(_), None) => {
                server.kind = ServerKind::Unclear("its command is not a text");
                self.environment(&mut server, object)?;
            }
            (None, Some(_)) => {
                server.kind = ServerKind::Remote;
                self.remote(&mut server, object)?;
                self.environment(&mut server, object)?;
            }
            (None, None) => self.environment(&mut server, object)?,
        }
        self.beside(&mut server, object);
        Ok(server)
    }

    fn program(&self, server: &mut FoundServer, object: &Object<'_>, key: &str) -> Result<()> {
        let command = object.get_string(key).map(|found| found.value.as_ref()).unwrap_or_default();
        let mut args = Vec::new();
        match object.get("args").map(|args| &args.value) {
            None | Some(Value::NullKeyword(_)) => {}
            Some(Value::Array(found)) => {
                for element in &found.elements {
                    let Some(text) = self.scalar(element) else {
                        server.obstacles.push("one of its arguments is not a text".to_owned());
                        continue;
                    };
                    args.push(Arg { text: Secret::new(text.to_string()), range: range(element) });
                }
            }
            Some(_) => server.obstacles.push("its arguments are not a list".to_owned()),
        }
        let words: Vec<Zeroizing<String>> =
            args.iter().map(|arg| Zeroizing::new(arg.text.expose(str::to_owned))).collect();
        let words: Vec<&str> = words.iter().map(|word| word.as_str()).collect();
        server.definition = self.known.servers.find_for_command(command, &words);
        server.kind = match own_command(command, &words) {
            Some(kind) => kind,
            None => ServerKind::Launch { cwd: object.get_string("cwd").map(|cwd| cwd.value.to_string()) },
        };
        self.environment(server, object)?;
        if !matches!(server.kind, ServerKind::Launch { .. }) {
            server.command = Some(Secret::new(command.to_owned()));
            server.args = args.into_iter().map(|arg| arg.text).collect();
            return Ok(());
        }

        let definition = server.definition.clone();
        let judge = Judge { known: self.known, definition: definition.as_deref() };
        if command.trim().is_empty() {
            server.obstacles.push("its command is empty".to_owned());
        }
        match judge.text(command) {
            Guess::Yes(why) => {
                server.obstacles.push("its command holds a secret: put its words into args".to_owned());
                let place = object.get(key).map_or(0..0, |command| range(&command.value));
                server.values.push(FoundValue {
                    place: Where::Command,
                    value: Secret::new(command.to_owned()),
                    guess: Guess::Yes(why),
                    fate: Fate::Stays("it is part of the command"),
                    service: None,
                    range: place,
                });
            }
            Guess::Reference(_) => {
                server
                    .obstacles
                    .push("its command holds a reference that only the client fills in".to_owned());
            }
            Guess::No(_) => {}
        }
        let taken: Vec<String> = server
            .values
            .iter()
            .filter_map(|value| match &value.place {
                Where::Env(name) => Some(name.clone()),
                _ => None,
            })
            .collect();
        let name = server.name().to_owned();
        let Outcome { values, edits, obstacles } =
            Walk::new(&judge, &name, command, &args, &taken).along(&args);
        server.values.extend(values);
        server.edits = edits;
        server.obstacles.extend(obstacles);
        server.command = Some(Secret::new(command.to_owned()));
        server.args = args.into_iter().map(|arg| arg.text).collect();
        Ok(())
    }

    /// Text, a number or a switch as text.
    fn scalar<'t>(&'t self, value: &'t Value<'_>) -> Option<&'t str> {
        match value {
            Value::StringLit(text) => Some(text.value.as_ref()),
            Value::NumberLit(number) => Some(number.value),
            Value::BooleanLit(_) => Some(&self.text[range(value)]),
            Value::Object(_) | Value::Array(_) | Value::NullKeyword(_) => None,
        }
    }

    fn environment(&self, server: &mut FoundServer, object: &Object<'_>) -> Result<()> {
        let definition = server.definition.clone();
        let judge = Judge { known: self.known, definition: definition.as_deref() };
        let env = match object.get("env").map(|env| &env.value) {
            None | Some(Value::NullKeyword(_)) => return Ok(()),
            Some(Value::Object(env)) => env,
            Some(_) => {
                server.obstacles.push("its env is not an object of names and values".to_owned());
                return Ok(());
            }
        };
        for property in distinct(self.text, env)? {
            let name = property.name.as_str();
            let line = self.line(property.range.start);
            let Some(value) = self.scalar(&property.value) else {
                if !matches!(property.value, Value::NullKeyword(_)) {
                    server.notes.push(Note {
                        line,
                        text: "a variable here is a list or an object: no program can get it",
                    });
                }
                continue;
            };
            let guess = judge.variable(name, value);
            if let Guess::Reference(_) = guess {
                server.notes.extend(self.beside_reference(&judge, value).map(|text| Note { line, text }));
            }
            let fate = variable_fate(name, value, guess);
            server.values.push(FoundValue {
                place: Where::Env(name.to_owned()),
                value: Secret::new(value.to_owned()),
                service: match guess {
                    Guess::Yes(_) => judge.service(Place::Env, name, value),
                    _ => None,
                },
                guess,
                fate,
                range: range(&property.value),
            });
        }
        Ok(())
    }
}

fn variable_fate(name: &str, value: &str, guess: Guess) -> Fate {
    if let Guess::Reference(_) = guess {
        return Fate::Stays("the client fills it in");
    }
    if Reserved::of(name).is_some() {
        return Fate::Stays(
            "it changes how programs run, or where they connect: no credential has such a name",
        );
    }
    if CredentialName::parse(name).is_err() {
        return Fate::Stays("no credential can have this name");
    }
    if PLAIN.check_text(name, Kind::Identifier).is_some() {
        return Fate::Stays("its name looks like a secret itself");
    }
    match value {
        "" => Fate::Stays("it is empty"),
        _ if value.contains('\0') => Fate::Stays("it has a NUL character"),
        _ if value.len() > MAX_VALUE_BYTES => Fate::Stays("it is larger than 64 KiB"),
        _ => Fate::Moves,
    }
}

/// What a command of ours does: `unsaid mcp NAME`, or `unsaid serve`.
fn own_command(command: &str, args: &[&str]) -> Option<ServerKind> {
    let file = command.rsplit(['/', '\\']).next().unwrap_or(command);
    if file == "env" {
        // `env UNSAID_HOME=… unsaid mcp NAME`: another vault than the usual one.
        let at = args.iter().position(|arg| !arg.contains('='))?;
        return own_command(args[at], &args[at + 1..]);
    }
    if file.trim_end_matches(".exe") != "unsaid" {
        return None;
    }
    Some(match args.iter().position(|arg| *arg == "mcp") {
        Some(at) => {
            let consumer = args[at + 1..].iter().find(|arg| !arg.starts_with('-'));
            ServerKind::Wrapped { consumer: consumer.map(|name| (*name).to_owned()) }
        }
        None => ServerKind::Unsaid,
    })
}

/// Whether a value is nothing but references.
pub(super) fn is_only_references(value: &str) -> bool {
    let names = references(value);
    !names.is_empty() && value.len() == names.iter().map(|name| name.len() + 3).sum::<usize>()
}
