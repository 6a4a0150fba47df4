//! Servers that are an address: which of their headers hold secrets, and what a consumer sends in the client's stead.
use std::ops::Range;

use jsonc_parser::ast::{Object, Value};
use jsonc_parser::common::Ranged as _;
use jsonc_parser::cst::CstRootNode;
use zeroize::Zeroizing;

use super::arguments::name_for;
use super::document::{distinct, options, parse, range};
use super::found::{Fate, FoundServer, FoundValue, Guess, Note, ServerKind, Where};
use super::judge::Judge;
use super::notes::comments;
use super::rewrite::{Rewrite, json, same_but};
use super::server::{MAX_VALUE_BYTES, Reader};
use crate::error::{Code, Error, Result, internal};
use crate::model::header::HeaderLine;
use crate::model::suspicion::{Kind, PLAIN};
use crate::model::text::shown;
use crate::secret::Secret;
use crate::services::client::is_safe;
use crate::services::servers::Place;

/// Where clients have an address.
const ADDRESSES: [&str; 3] = ["url", "serverUrl", "httpUrl"];
/// What says how it is spoken to.
const TYPES: [&str; 2] = ["type", "transport"];
/// The ways that are streamable HTTP, in lower case and without punctuation.
const STREAMABLE: [&str; 2] = ["http", "streamablehttp"];
/// What only the client can do for a server.
const OF_THE_CLIENT: [&str; 6] = ["headersHelper", "oauth", "auth", "authProviderType", "command", "args"];
/// What stands before a token (RFC 9110 §11.1), and what services made up.
const SCHEMES: [&str; 7] = ["bearer", "token", "basic", "bot", "apikey", "api-key", "key"];
/// A shorter value is not sent, for it could not be found in answers.
const SHORTEST_BYTES: usize = 6;
const STAYS: &str = "the client sends it itself: let it sign in by OAuth, or fill it in by a reference";

/// One header that a consumer sends.
#[derive(Debug)]
pub(super) struct FoundHeader {
    /// What its binding is called; for a secret also the credential.
    variable: String,
    line: HeaderLine,
}

/// What a consumer sends, and where. No secret is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerRemote {
    pub url: String,
    /// The binding's name and its header, as `Authorization: Bearer {value}`.
    pub headers: Vec<(String, String)>,
}

impl FoundServer {
    /// What a consumer sends in the client's stead, where this is an address.
    ///
    /// Fails with `invalid_input` where something keeps it from being reached elsewhere than from this file.
    pub fn remote(&self) -> Result<ConsumerRemote> {
        let refused = |why: &str| {
            Error::new(
                Code::InvalidInput,
                format!("line {}: this server cannot be wrapped: {why}", self.line),
            )
            .next("Leave it as it is, or correct the file and try again.")
        };
        match (self.obstacles.first(), &self.address) {
            (Some(why), _) => Err(refused(why)),
            (None, None) => Err(refused("it is not an address")),
            (None, Some(url)) => Ok(ConsumerRemote {
                url: url.clone(),
                headers: self.headers.iter().map(|h| (h.variable.clone(), h.line.line())).collect(),
            }),
        }
    }
}

impl Reader<'_> {
    /// What an address and its headers hold.
    pub(super) fn remote(&self, server: &mut FoundServer, object: &Object<'_>) -> Result<()> {
        for key in ADDRESSES {
            let address = match object.get(key).map(|address| &address.value) {
                None => continue,
                Some(Value::StringLit(address)) => address,
                Some(_) => {
                    server.obstacles.push(format!("its {key} is not a text"));
                    continue;
                }
            };
            server.definition =
                server.definition.take().or_else(|| self.known.servers.find_for_url(&address.value));
            let definition = server.definition.clone();
            let judge = Judge { known: self.known, definition: definition.as_deref() };
            let guess = judge.remote_address(&address.value);
            match guess {
                Guess::Yes(why) => server.obstacles.push(format!("its address holds a secret: {why}")),
                Guess::Reference(_) => {
                    server
                        .obstacles
                        .push("its address holds a reference that only the client fills in".to_owned());
                }
                Guess::No(_) => {}
            }
            if !matches!(guess, Guess::No(_)) {
                server.values.push(FoundValue {
                    place: Where::Address,
                    value: Secret::new(address.value.to_string()),
                    service: None,
                    guess,
                    fate: Fate::Stays(STAYS),
                    range: address.range.start..address.range.end,
                });
            } else if server.address.replace(address.value.to_string()).is_some() {
                server.obstacles.push("it has two addresses".to_owned());
            }
        }
        self.way(server, object);
        self.headers(server, object)?;
        let is_unclear = server.kind != ServerKind::Remote;
        if is_unclear {
            // What it is keeps it where it is, whatever else there is to say.
            server.obstacles.clear();
        }
        // Without what it cannot do without nothing of it is moved.
        if is_unclear || !server.obstacles.is_empty() {
            let moves = |value: &&mut FoundValue| {
                matches!(value.fate, Fate::Becomes(_) | Fate::Sent | Fate::Dropped(_))
            };
            server.values.iter_mut().filter(moves).for_each(|value| value.fate = Fate::Stays(STAYS));
        }
        Ok(())
    }

    /// What keeps it from being reached in the client's stead.
    fn way(&self, server: &mut FoundServer, object: &Object<'_>) {
        let is_reachable = |address: &String| {
            url::Url::parse(address).is_ok_and(|url| {
                is_safe(&url)
                    && url.username().is_empty()
                    && url.password().is_none()
                    && url.fragment().is_none()
            })
        };
        if server.address.as_ref().is_some_and(|address| !is_reachable(address)) {
            server.obstacles.push("its address is neither https nor on this machine".to_owned());
        }
        for kind in TYPES.iter().filter_map(|key| object.get(key)) {
            let said = kind.value.as_string_lit().map(|text| text.value.to_ascii_lowercase());
            let said: String = said.unwrap_or_default().chars().filter(char::is_ascii_alphanumeric).collect();
            match said.as_str() {
                "sse" => server.obstacles.push("it is spoken to by the older SSE transport".to_owned()),
                said if STREAMABLE.contains(&said) => {}
                _ => server.obstacles.push("how it is spoken to is not known".to_owned()),
            }
        }
        for key in OF_THE_CLIENT.iter().filter(|key| object.get(key).is_some()) {
            server.obstacles.push(format!("only the client can do what its {key} says"));
        }
        if object.get("env").is_some_and(|env| !matches!(env.value, Value::NullKeyword(_))) {
            server.obstacles.push("it has an env, which no address gets".to_owned());
        }
    }

    fn headers(&self, server: &mut FoundServer, object: &Object<'_>) -> Result<()> {
        let definition = server.definition.clone();
        let judge = Judge { known: self.known, definition: definition.as_deref() };
        let headers = match object.get("headers").map(|headers| &headers.value) {
            None | Some(Value::NullKeyword(_)) => return Ok(()),
            Some(Value::Object(headers)) => headers,
            Some(_) => {
                server.obstacles.push("its headers are not an object of names and values".to_owned());
                return Ok(());
            }
        };
        if !comments(&parse(&self.text[headers.range.start..headers.range.end])?).is_empty() {
            server.obstacles.push("there is a comment among its headers".to_owned());
        }
        for property in distinct(self.text, headers)? {
            let Value::StringLit(value) = &property.value else {
                server.obstacles.push("one of its headers is not a text".to_owned());
                continue;
            };
            let (name, text) = (property.name.as_str(), value.value.as_ref());
            let guess = judge.header(name, text);
            if let Guess::Reference(_) = guess {
                let line = self.line(property.range.start);
                server.notes.extend(self.beside_reference(&judge, text).map(|text| Note { line, text }));
                server.obstacles.push("a header holds a reference that only the client fills in".to_owned());
            }
            if matches!(guess, Guess::No(_)) && judge.is_unfilled_header(name, text) {
                server.obstacles.push(format!("its header {} is not filled in yet", shown(name)));
            }
            let (fate, bare) = self.fate(server, &judge, name, text, guess);
            server.values.push(FoundValue {
                place: Where::Header(name.to_owned()),
                service: match guess {
                    Guess::Yes(_) => judge.service(Place::Header, name, &text[bare.clone()]),
                    _ => None,
                },
                value: Secret::new(text[bare].to_owned()),
                guess,
                fate,
                range: range(&property.value),
            });
        }
        Ok(())
    }

    /// What becomes of a header, and which part of it is the value.
    fn fate(
        &self,
        server: &mut FoundServer,
        judge: &Judge<'_>,
        name: &str,
        text: &str,
        guess: Guess,
    ) -> (Fate, Range<usize>) {
        let whole = 0..text.len();
        let is_secret = match guess {
            Guess::Yes(_) => true,
            Guess::No(_) => false,
            Guess::Reference(_) => return (Fate::Stays("the client fills it in"), whole),
        };
        // What the protocol says of itself is said by whoever speaks it.
        let is_of_the_protocol =
            http::HeaderName::from_bytes(name.as_bytes()).is_ok() && HeaderLine::parse(name).is_err();
        if !is_secret && text.trim().is_empty() {
            return (Fate::Dropped("it is empty"), whole);
        }
        if !is_secret && is_of_the_protocol {
            return (Fate::Dropped("it is said by whoever speaks the protocol"), whole);
        }
        let bare = match (is_secret, text.trim().split_once(' ')) {
            (true, Some((scheme, token)))
                if SCHEMES.iter().any(|known| scheme.eq_ignore_ascii_case(known))
                    && !token.trim().is_empty() =>
            {
                let token = token.trim();
                let start = token.as_ptr() as usize - text.as_ptr() as usize;
                start..start + token.len()
            }
            _ => {
                let start = text.len() - text.trim_start().len();
                start..start + text.trim().len()
            }
        };
        let mut refused = |why: &'static str| {
            server.obstacles.push(format!("its header {} cannot be sent elsewhere: {why}", shown(name)));
            (Fate::Stays(why), bare.clone())
        };
        let value = &text[bare.clone()];
        if is_secret && (value.len() < SHORTEST_BYTES || value.len() > MAX_VALUE_BYTES) {
            return refused("its value is too short to be found in answers, or longer than 64 KiB");
        }
        if PLAIN.check_text(name, Kind::Identifier).is_some() {
            return refused("its name looks like a secret itself");
        }
        if !text.bytes().all(|b| (b' '..=b'~').contains(&b)) {
            return refused("its value has characters that are no ASCII");
        }
        let format = match is_secret {
            true => format!("{}{{value}}", text[..bare.start].trim_start()),
            false => value.to_owned(),
        };
        let Ok(line) = HeaderLine::parse(&format!("{name}: {format}")) else {
            return refused("it is no header that a binding sends");
        };
        if !is_secret && !line.is_plain() {
            return refused("it holds what stands for a value");
        }
        if server.headers.iter().any(|other| other.line.name.eq_ignore_ascii_case(name)) {
            return refused("it stands there twice");
        }
        let taken: Vec<String> = server.headers.iter().map(|other| other.variable.clone()).collect();
        let is_taken = |name: &str| taken.iter().any(|other| other.eq_ignore_ascii_case(name));
        let known = judge.definition.and_then(|definition| definition.field(Place::Header, name));
        let known = known.map(|field| field.credential_name().to_owned()).filter(|name| !is_taken(name));
        let what = if is_secret && bare.start > 0 { "token" } else { name };
        let variable = known.unwrap_or_else(|| name_for(server.name(), what, &is_taken));
        server.headers.push(FoundHeader { variable: variable.clone(), line });
        match is_secret {
            true => (Fate::Becomes(variable), bare),
            false => (Fate::Sent, bare),
        }
    }
}

/// The text of one server, anew: started by a command in place of its address and its headers.
pub(super) fn one(text: &str, rewrite: &Rewrite) -> Result<Zeroizing<String>> {
    let lost = || internal("a server of the file could not be found again");
    let parsed = parse(text)?;
    let object = parsed.value.as_ref().and_then(Value::as_object).ok_or_else(lost)?;
    let address = ADDRESSES.iter().find_map(|key| object.get(key)).ok_or_else(lost)?;
    let before = &text[..address.range.start];
    let line_start = before.rfind('\n').map(|at| at + 1);
    let own_line = line_start.map(|start| &before[start..]).filter(|line| line.trim().is_empty());
    let gap = match (own_line, line_start) {
        (Some(indent), Some(start)) => {
            let newline = if before[..start].ends_with("\r\n") { "\r\n" } else { "\n" };
            format!("{newline}{indent}")
        }
        _ => " ".to_owned(),
    };
    let args = rewrite.args.iter().map(|arg| json(arg)).collect::<Vec<_>>().join(", ");
    let started = format!("\"command\": {},{gap}\"args\": [{args}]", json(&rewrite.program));
    let mut edits = vec![(address.range.start..address.range.end, started)];
    for kind in TYPES.iter().filter_map(|key| object.get(key)) {
        edits.push((kind.value.start()..kind.value.end(), json("stdio")));
    }
    edits.sort_by_key(|(range, _)| std::cmp::Reverse(range.start));
    let mut new = Zeroizing::new(text.to_owned());
    for (range, with) in edits {
        new = Zeroizing::new([&new[..range.start], &with, &new[range.end..]].concat());
    }
    let root = CstRootNode::parse(&new, &options()).map_err(|_| lost())?;
    if let Some(headers) = root.object_value().ok_or_else(lost)?.get("headers") {
        headers.remove();
    }
    let new = Zeroizing::new(root.to_string());
    match is_as_told(text, &new, rewrite)? {
        true => Ok(new),
        false => Err(internal("a rewritten server is not what it should be")),
    }
}

/// Whether `new` is `old` but for what was told.
fn is_as_told(old: &str, new: &str, rewrite: &Rewrite) -> Result<bool> {
    let (old, new) = (parse(old)?, parse(new)?);
    let [Some(before), Some(after)] = [&old.value, &new.value].map(|v| v.as_ref().and_then(Value::as_object))
    else {
        return Ok(false);
    };
    let text = |key: &str| after.get_string(key).map(|found| found.value.as_ref());
    let args: Option<Vec<&str>> = after.get_array("args").and_then(|array| {
        array.elements.iter().map(|e| e.as_string_lit().map(|s| s.value.as_ref())).collect()
    });
    let changed: Vec<&str> =
        ADDRESSES.iter().chain(&TYPES).copied().chain(["headers", "command", "args"]).collect();
    let is_gone = |key: &&str| after.get(key).is_none();
    Ok(text("command") == Some(&rewrite.program)
        && args.is_some_and(|args| args == rewrite.args.iter().map(String::as_str).collect::<Vec<_>>())
        && ADDRESSES.iter().chain(&["headers"]).all(is_gone)
        && TYPES.iter().all(|key| before.get(key).is_none() == after.get(key).is_none())
        && TYPES.iter().filter_map(|key| text(key)).all(|kind| kind == "stdio")
        && same_but(before, after, &changed))
}
