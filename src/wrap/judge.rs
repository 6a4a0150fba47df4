//! Is a value a secret? By the definition of the server, else by its name, else by what it looks like.
//!
//! A wrong yes costs a question; a wrong no leaves a secret in a file. So in doubt it is a yes.
use super::Knowledge;
use super::found::Guess;
use crate::model::name::Reserved;
use crate::model::suspicion::Kind;
use crate::model::suspicion::names::{is_placeholder, is_plain_setting, is_switch, says_secret};
use crate::services::servers::{Place, ServerDefinition};

const BY_CLIENT: &str = "the client fills it in";

pub(super) struct Judge<'a> {
    pub known: &'a Knowledge<'a>,
    pub definition: Option<&'a ServerDefinition>,
}

/// What the name beside a value suggests, where nothing else did.
fn by_name(says_secret: bool, name: &str, value: &str, why: &'static str) -> Guess {
    match says_secret && !is_plain_setting(name, value) {
        true => Guess::Yes(why),
        false => Guess::No("nothing suggests a secret"),
    }
}

impl Judge<'_> {
    /// What is settled whatever the value is called: nothing is there, or it stands elsewhere, or is still to be filled in.
    fn settled(&self, value: &str) -> Option<Guess> {
        if value.trim().is_empty() {
            return Some(Guess::No("it is empty"));
        }
        if !references(value).is_empty() {
            return Some(Guess::Reference(BY_CLIENT));
        }
        self.is_unfilled(value).then_some(Guess::No("nobody has filled it in yet"))
    }

    /// A variable of the environment.
    pub fn variable(&self, name: &str, value: &str) -> Guess {
        if let Some(settled) = self.settled(value) {
            return settled;
        }
        let looks = self.looks(value);
        let field = self.definition.and_then(|definition| definition.field(Place::Env, name));
        match field {
            Some(field) if field.secret => return Guess::Yes("the definition of this server says so"),
            Some(_) => {
                return looks.map_or(Guess::No("the definition of this server says so"), Guess::Yes);
            }
            None => {}
        }
        if Reserved::of(name).is_some() {
            return looks.map_or(Guess::No("it changes how programs run, or where they connect"), Guess::Yes);
        }
        if self.is_public(value) {
            return Guess::No("it is an identifier or a publishable value");
        }
        if let Some(why) = looks {
            return Guess::Yes(why);
        }
        by_name(says_secret(name), name, value, "its name says so")
    }

    /// What follows an option of the command line.
    pub fn option(&self, flag: &str, value: &str) -> Guess {
        if let Some(settled) = self.settled(value) {
            return settled;
        }
        if let Some(field) = self.definition.and_then(|definition| definition.field_of_flag(flag))
            && field.secret
        {
            return Guess::Yes("the definition of this server says so");
        }
        if let Some(why) = self.looks(value) {
            return Guess::Yes(why);
        }
        let name = flag.trim_start_matches('-');
        by_name(says_secret(name), name, value, "its option says so")
    }

    /// A header of a request: a secret, unless its name or the definition of the server says that it is none.
    ///
    /// Whatever a header is called, its value may be what lets somebody in, and a plain one is readable to many.
    pub fn header(&self, name: &str, value: &str) -> Guess {
        let bare = without_scheme(value);
        if let Some(settled) = self.settled(value).or_else(|| self.settled(bare)) {
            return settled;
        }
        let field = self.definition.and_then(|definition| definition.field(Place::Header, name));
        if field.is_some_and(|field| field.secret) {
            return Guess::Yes("the definition of this server says so");
        }
        if let Some(why) = self.looks(value) {
            return Guess::Yes(why);
        }
        if field.is_some() {
            return Guess::No("the definition of this server says so");
        }
        if is_plain_header(name, value) {
            return Guess::No("a header like this lets nobody in");
        }
        Guess::Yes(if says_secret(name) { "its name says so" } else { "a header may let somebody in" })
    }

    /// Whether a header waits for its value still: then it is neither a secret nor plain.
    pub fn is_unfilled_header(&self, name: &str, value: &str) -> bool {
        let is_open = |text: &str| !text.trim().is_empty() && self.is_unfilled(text);
        !is_plain_header(name, value) && (is_open(value) || is_open(without_scheme(value)))
    }

    /// The address of a remote server. Whoever sees the consumer reads it, so it holds nothing random either.
    pub fn remote_address(&self, address: &str) -> Guess {
        match self.address(address) {
            Guess::Yes(why) => Guess::Yes(why),
            other => self.random_part(address).map_or(other, Guess::Yes),
        }
    }

    /// A part of the path or the query that nobody can guess. Of a server that we know the path is public.
    fn random_part(&self, address: &str) -> Option<&'static str> {
        let url = url::Url::parse(address).ok()?;
        let is_random = |part: &str| {
            is_unguessable(part) || self.known.detector.check_text(part, Kind::FreeText).is_some()
        };
        let is_public = self.known.servers.find_for_url(address).is_some();
        if !is_public && url.path().split(|c: char| "/;,=:@~!$&".contains(c)).any(is_random) {
            return Some("a part of its path looks random");
        }
        let values = url.query_pairs().any(|(name, value)| is_random(&name) || is_random(&value));
        values.then_some("a part of its query looks random")
    }

    /// An address: a password before the `@`, or a key in its query or path.
    pub fn address(&self, address: &str) -> Guess {
        if let Some(why) = self.looks(address) {
            return Guess::Yes(why);
        }
        let query = address.split_once('?').map_or("", |(_, query)| query);
        let carries = |pair: &str| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            !value.is_empty()
                && references(value).is_empty()
                && !self.is_unfilled(value)
                && says_secret(name)
                && !is_plain_setting(name, value)
        };
        if query.split(['&', '#']).any(carries) {
            return Guess::Yes("its query says so");
        }
        match references(address).is_empty() {
            true => Guess::No("nothing suggests a secret"),
            false => Guess::Reference(BY_CLIENT),
        }
    }

    /// Text of any kind: an argument, a comment.
    pub fn text(&self, text: &str) -> Guess {
        if text.contains("://") {
            return self.address(text);
        }
        match self.looks(text) {
            Some(why) => Guess::Yes(why),
            None if !references(text).is_empty() => Guess::Reference(BY_CLIENT),
            None => Guess::No("nothing suggests a secret"),
        }
    }

    /// What `value` looks like, if it looks like a secret.
    pub fn looks(&self, value: &str) -> Option<&'static str> {
        if self.is_unfilled(value) || self.is_public(value) {
            return None;
        }
        let check = |text: &str, kind| self.known.detector.check_text(text, kind);
        if !value.contains("://") {
            return check(value, Kind::FreeText);
        }
        // Random text is ordinary in an address, and nowhere beside it.
        let beside = value.split_whitespace().filter(|word| !word.contains("://"));
        check(value, Kind::Url).or_else(|| beside.filter_map(|word| check(word, Kind::FreeText)).next())
    }

    /// Documentation's stand-in for a value. What has the shape of a known key is one, whatever words are in it.
    fn is_unfilled(&self, value: &str) -> bool {
        is_placeholder(value) && self.known.detector.check_text(value, Kind::Identifier).is_none()
    }

    fn is_public(&self, value: &str) -> bool {
        let found = self.known.catalogue.recognise(value);
        !found.is_empty() && found.iter().all(|recognised| recognised.public)
    }

    /// The service that a value belongs to: as the definition, its shape or its name says.
    pub fn service(&self, place: Place, name: &str, value: &str) -> Option<String> {
        let field = self.definition.and_then(|definition| definition.field(place, name));
        if let Some(service) = field.and_then(|field| field.service.clone()) {
            return Some(service);
        }
        if let [only] = self.known.catalogue.recognise(value).as_slice() {
            return Some(only.service.clone());
        }
        match self.known.catalogue.service_for_env_name(name).as_slice() {
            [only] => Some(only.clone()),
            _ => None,
        }
    }
}

/// The names in `${NAME}`, `${env:NAME}` and `${input:id}`, as they stand between the braces.
pub(super) fn references(text: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once("${") {
        let Some((name, after)) = after.split_once('}') else { break };
        let plain = |c: char| c.is_alphanumeric() || "_-.:/ ".contains(c);
        // A default (`${NAME:-value}`) is shown to nobody.
        let name = name.split(":-").next().unwrap_or(name);
        if !name.is_empty() && name.chars().all(plain) {
            names.push(name);
        }
        rest = after;
    }
    names
}

/// The defaults in `${NAME:-value}`.
pub(super) fn defaults(text: &str) -> impl Iterator<Item = &str> {
    text.split("${")
        .skip(1)
        .filter_map(|part| part.split_once('}')?.0.split_once(":-"))
        .map(|(_, value)| value)
}

/// What follows the scheme, as in `Bearer …`.
fn without_scheme(value: &str) -> &str {
    value.trim().split_once(' ').map_or(value, |(_, rest)| rest)
}

/// Headers about the form of an answer, or about who asks; in lower case.
#[rustfmt::skip]
const PLAIN_HEADERS: &[&str] = &[
    "accept", "accept-charset", "accept-encoding", "accept-language", "cache-control", "connection", "content-encoding",
    "content-language", "content-length", "content-type", "dnt", "host", "mcp-protocol-version", "origin", "pragma",
    "prefer", "priority", "user-agent", "x-mcp-readonly", "x-mcp-toolsets", "x-requested-with",
];

/// Whether no secret is in a header of this name: by a short list, as a version, or as a switch.
fn is_plain_header(name: &str, value: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let is_version = lower.ends_with("-version") && !says_secret(name) && is_version(value);
    PLAIN_HEADERS.contains(&lower.as_str()) || is_version || is_switch(value)
}

/// `2`, `v1.4`, `2024-11-05`, `2025-01-preview`: short parts, and numbers first.
fn is_version(value: &str) -> bool {
    let value = value.trim();
    let mut parts = value.trim_start_matches(['v', 'V']).split(['.', '-']);
    let is_number = |part: &str| (1..=4).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
    parts.next().is_some_and(is_number)
        && parts.all(|part| is_number(part) || ["alpha", "beta", "rc", "preview", "latest"].contains(&part))
}

/// A part of an address that is an id of many characters, or of both cases and digits in turn. As a word of a text it
/// may be harmless; an address with it may let in whoever has it.
fn is_unguessable(part: &str) -> bool {
    let plain: Vec<u8> = part.bytes().filter(|b| *b != b'-').collect();
    let has = |is: fn(&u8) -> bool| plain.iter().any(is);
    let is_hex = plain.len() >= 16
        && plain.iter().all(u8::is_ascii_hexdigit)
        && has(u8::is_ascii_digit)
        && has(u8::is_ascii_alphabetic);
    let changes =
        plain.windows(2).filter(|pair| pair[0].is_ascii_digit() != pair[1].is_ascii_digit()).count();
    let is_mixed =
        plain.len() >= 12 && has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase) && changes >= 3;
    is_hex || is_mixed
}
