//! Secrets among the arguments of a server: where they stand, and how the server can be started without them.
use std::ops::Range;

use super::found::{ArgEdit, Fate, FoundValue, Guess, Where};
use super::judge::{Judge, references};
use crate::model::name::{CredentialName, MAX_NAME};
use crate::model::suspicion::names::says_secret;
use crate::secret::Secret;
use crate::services::servers::Place;

/// An argument and the text of the file that holds it.
pub(super) struct Arg {
    pub text: Secret,
    pub range: Range<usize>,
}

/// What the arguments of one server come to.
#[derive(Default)]
pub(super) struct Outcome {
    pub values: Vec<FoundValue>,
    pub edits: Vec<ArgEdit>,
    pub obstacles: Vec<String>,
}

/// One walk along the arguments.
pub(super) struct Walk<'a> {
    pub judge: &'a Judge<'a>,
    /// The server's name in the file, for names of credentials.
    pub server: &'a str,
    /// `docker run` and the like, where `-e NAME=value` sets a variable.
    pub is_container: bool,
    /// `mcp-remote`, which fills `${NAME}` in a header with the variable of that name (its README, Custom Headers).
    pub is_mcp_remote: bool,
    /// The names in `env`.
    pub taken: &'a [String],
    outcome: Outcome,
}

impl<'a> Walk<'a> {
    pub fn new(
        judge: &'a Judge<'a>,
        server: &'a str,
        command: &str,
        args: &[Arg],
        taken: &'a [String],
    ) -> Self {
        let program = command.rsplit(['/', '\\']).next().unwrap_or(command);
        let is_container = ["docker", "podman", "nerdctl"].contains(&program.trim_end_matches(".exe"));
        let is_package =
            |arg: &Arg| arg.text.expose(|text| text == "mcp-remote" || text.starts_with("mcp-remote@"));
        let is_mcp_remote = program == "mcp-remote" || args.iter().take(4).any(is_package);
        Self { judge, server, is_container, is_mcp_remote, taken, outcome: Outcome::default() }
    }

    pub fn along(mut self, args: &[Arg]) -> Outcome {
        let mut at = 0;
        while let Some(arg) = args.get(at) {
            let next = args.get(at + 1);
            at += arg.text.expose(|text| match next {
                Some(next) => next.text.expose(|follows| self.step(at, arg, text, Some((next, follows)))),
                None => self.step(at, arg, text, None),
            });
        }
        self.outcome
    }

    /// Looks at one argument, with the one after it; returns how many were dealt with.
    fn step(&mut self, at: usize, arg: &Arg, text: &str, next: Option<(&Arg, &str)>) -> usize {
        if self.is_container {
            if let (Some((next, follows)), "-e" | "--env") = (next, text)
                && let Some((name, value)) = follows.split_once('=')
            {
                self.variable(at, at + 1, next, (name, value), vec![text.to_owned(), name.to_owned()]);
                return 2;
            }
            if let Some((name, value)) = text.strip_prefix("--env=").and_then(|pair| pair.split_once('=')) {
                self.variable(at, at, arg, (name, value), vec![format!("--env={name}")]);
                return 1;
            }
        }
        if let (Some((next, follows)), "--header" | "-H") = (next, text)
            && let Some((name, value)) = follows.split_once(':')
        {
            self.header(at, at + 1, next, (name, value), &[text], "");
            return 2;
        }
        if let Some((name, value)) = text.strip_prefix("--header=").and_then(|pair| pair.split_once(':')) {
            self.header(at, at, arg, (name, value), &[], "--header=");
            return 1;
        }
        if text.starts_with('-') {
            if let Some((flag, value)) = text.split_once('=') {
                let with = |name: &str| vec![format!("{flag}={{{name}}}")];
                self.option(at, at, arg, (flag, value), 1, &with);
                return 1;
            }
            let known =
                self.judge.definition.is_some_and(|definition| definition.field_of_flag(text).is_some());
            if let Some((next, follows)) = next
                && !follows.starts_with('-')
                && (known || says_secret(text))
            {
                let with = |name: &str| vec![text.to_owned(), format!("{{{name}}}")];
                self.option(at, at + 1, next, (text, follows), 2, &with);
                return 2;
            }
            return 1;
        }
        self.word(at, arg, text);
        1
    }

    /// `-e NAME=value` of a container: the value can come from the environment of the program that starts it.
    fn variable(&mut self, first: usize, at: usize, arg: &Arg, pair: (&str, &str), with: Vec<String>) {
        let (name, value) = pair;
        match self.judge.variable(name, value) {
            Guess::Yes(why) => {
                let fate = match CredentialName::parse(name) {
                    Ok(_) if !self.is_taken(name) => {
                        let count = at - first + 1;
                        self.outcome.edits.push(ArgEdit { first, count, with });
                        Fate::Becomes(name.to_owned())
                    }
                    Ok(_) => Fate::Stays("env gives a variable of the same name"),
                    Err(_) => Fate::Stays("no credential can have this name"),
                };
                self.add(at, arg, value, Guess::Yes(why), fate, Place::Env, name);
            }
            Guess::Reference(_) => self.reference(at),
            Guess::No(_) => {}
        }
    }

    fn header(
        &mut self,
        first: usize,
        at: usize,
        arg: &Arg,
        pair: (&str, &str),
        before: &[&str],
        glued: &str,
    ) {
        let (name, value) = (pair.0, pair.1.trim());
        match self.judge.header(name, value) {
            Guess::Yes(why) if self.is_mcp_remote => {
                // A token is worth more in the vault than a header: other programs want it too.
                let (scheme, value) = match value.split_once(' ') {
                    Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
                        (format!("{scheme} "), token)
                    }
                    _ => (String::new(), value),
                };
                let field = self.judge.definition.and_then(|d| d.field(Place::Header, name));
                let known = field.map(|field| field.credential_name().to_owned());
                let variable =
                    known.unwrap_or_else(|| self.name_for(if scheme.is_empty() { name } else { "token" }));
                let mut with: Vec<String> = before.iter().map(|word| (*word).to_owned()).collect();
                with.push(format!("{glued}{name}: {scheme}${{{variable}}}"));
                self.outcome.edits.push(ArgEdit { first, count: at - first + 1, with });
                self.add(
                    at,
                    arg,
                    value.trim(),
                    Guess::Yes(why),
                    Fate::Becomes(variable),
                    Place::Header,
                    name,
                );
            }
            Guess::Yes(why) => {
                let variable = self.name_for(name);
                let mut with: Vec<String> = before.iter().map(|word| (*word).to_owned()).collect();
                with.push(format!("{glued}{name}: {{{variable}}}"));
                self.outcome.edits.push(ArgEdit { first, count: at - first + 1, with });
                self.add(at, arg, value, Guess::Yes(why), Fate::Argument(variable), Place::Header, name);
            }
            Guess::Reference(_) if self.is_mcp_remote => {}
            Guess::Reference(_) => self.reference(at),
            Guess::No(_) => {}
        }
    }

    fn option(
        &mut self,
        first: usize,
        at: usize,
        arg: &Arg,
        (flag, value): (&str, &str),
        count: usize,
        with: &dyn Fn(&str) -> Vec<String>,
    ) {
        match self.judge.option(flag, value) {
            Guess::Yes(why) => {
                let field = self.judge.definition.and_then(|definition| definition.field_of_flag(flag));
                let (fate, with, name) = match field.filter(|field| field.place == Place::Env) {
                    Some(field) if !self.is_taken(&field.id) => {
                        (Fate::Becomes(field.id.clone()), Vec::new(), field.id.clone())
                    }
                    _ => {
                        let name = self.name_for(flag);
                        (Fate::Argument(name.clone()), with(&name), name)
                    }
                };
                self.outcome.edits.push(ArgEdit { first, count, with });
                self.add(at, arg, value, Guess::Yes(why), fate, Place::Env, &name);
            }
            Guess::Reference(_) => self.reference(at),
            Guess::No(_) => {}
        }
    }

    fn word(&mut self, at: usize, arg: &Arg, text: &str) {
        let guess = match self.is_mcp_remote && text.contains("://") {
            true => self.judge.remote_address(text),
            false => self.judge.text(text),
        };
        match guess {
            Guess::Yes(why) => {
                let fields = self.judge.definition.into_iter().flat_map(|definition| &definition.fields);
                let mut secret = fields.filter(|field| field.place == Place::Arg && field.secret);
                let name = match (secret.next(), secret.next()) {
                    (Some(only), None) if !self.is_taken(&only.id) => only.id.clone(),
                    _ => self.name_for(if text.contains("://") { "url" } else { "argument" }),
                };
                self.outcome.edits.push(ArgEdit { first: at, count: 1, with: vec![format!("{{{name}}}")] });
                self.add(at, arg, text, Guess::Yes(why), Fate::Argument(name.clone()), Place::Arg, &name);
            }
            Guess::Reference(_)
                if self.is_mcp_remote && !references(text).iter().any(|name| name.contains(':')) => {}
            Guess::Reference(_) => self.reference(at),
            Guess::No(_) => {}
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn add(&mut self, at: usize, arg: &Arg, value: &str, guess: Guess, fate: Fate, place: Place, name: &str) {
        let service = self.judge.service(place, name, value);
        let value = Secret::new(value.to_owned());
        let range = arg.range.clone();
        self.outcome.values.push(FoundValue {
            place: Where::Argument(at),
            value,
            guess,
            fate,
            service,
            range,
        });
    }

    fn reference(&mut self, at: usize) {
        let text = format!("argument {} holds a reference that only the client fills in", at + 1);
        self.outcome.obstacles.push(text);
    }

    fn is_taken(&self, name: &str) -> bool {
        let given = self.outcome.values.iter().filter_map(FoundValue::credential_name);
        self.taken.iter().map(String::as_str).chain(given).any(|other| other.eq_ignore_ascii_case(name))
    }

    fn name_for(&self, what: &str) -> String {
        name_for(self.server, what, &|name| self.is_taken(name))
    }
}

/// A name for what follows `what`, such as `ACME_API_KEY` for `--api-key` of the server `acme`.
pub(super) fn name_for(server: &str, what: &str, is_taken: &dyn Fn(&str) -> bool) -> String {
    let upper = |text: &str| {
        let words = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
        words.collect::<Vec<_>>().join("_").to_ascii_uppercase()
    };
    let (server, what) = (upper(server), upper(what));
    let whole = [server, what].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("_");
    let whole: String = whole.chars().take(MAX_NAME - 8).collect();
    let usable = |name: &str| CredentialName::parse(name).is_ok() && !is_taken(name);
    let tries = [whole.clone(), format!("MCP_{whole}")];
    let numbered = (2..).map(|n| format!("MCP_VALUE_{n}"));
    tries.into_iter().chain(numbered).find(|name| usable(name)).expect("numbers do not end")
}
