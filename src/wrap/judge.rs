//! Is a value a secret? By the definition of the server, else by its name, else by what it looks like.
//!
//! A wrong yes costs a question; a wrong no leaves a secret in a file. So in doubt it is a yes.
use super::Knowledge;
use super::found::Guess;
use crate::model::name::Reserved;
use crate::model::suspicion::Kind;
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

    /// A header of a request.
    pub fn header(&self, name: &str, value: &str) -> Guess {
        let bare = value.trim().split_once(' ').map_or(value, |(_, rest)| rest);
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
        let lower = name.to_ascii_lowercase();
        let carries = ["authorization", "proxy-authorization", "cookie", "x-auth"].contains(&lower.as_str());
        by_name(carries || says_secret(name), name, value, "its name says so")
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

/// What documentation writes where a value belongs.
fn is_placeholder(value: &str) -> bool {
    let value = value.trim();
    let lower = value.to_ascii_lowercase();
    let one_word = !value.contains(char::is_whitespace);
    let no_digits = !value.bytes().any(|b| b.is_ascii_digit());
    let speaks = lower.contains("your") || ["_here", "-here"].iter().any(|end| lower.ends_with(end));
    (value.starts_with('<') && value.ends_with('>'))
        || value.chars().all(|c| "*xX.-_•…".contains(c))
        || (one_word && no_digits && speaks)
        || ["changeme", "change-me", "change_me", "replace-me", "replace_me", "todo", "none", "null"]
            .contains(&lower.as_str())
}

#[rustfmt::skip]
const SECRET_WORDS: &[&str] = &[
    "TOKEN", "TOKENS", "AUTHTOKEN", "ACCESSTOKEN", "KEY", "KEYS", "APIKEY", "SECRET", "SECRETS", "PASSWORD", "PASSWD",
    "PASSPHRASE", "PASS", "PWD", "PAT", "CREDENTIAL", "CREDENTIALS", "AUTH", "AUTHORIZATION", "BEARER", "COOKIE",
    "DSN", "PRIVATE", "JWT", "SIGNATURE", "OTP", "PIN",
];

/// Last words of a name that is about a secret without being one.
#[rustfmt::skip]
const ABOUT: &[&str] = &[
    "FILE", "PATH", "DIR", "FOLDER", "URL", "URI", "HOST", "PORT", "TYPE", "MODE", "METHOD", "NAME", "HEADER", "TTL",
    "LIMIT", "COUNT", "LENGTH", "SIZE", "EXPIRY", "ENABLED", "REQUIRED", "PREFIX", "REGION", "SCOPE", "SCOPES", "ISSUER",
    "AUDIENCE", "PROVIDER", "ALGORITHM", "FLOW",
];

/// Whether the name of a variable, an option or a parameter says that a secret follows.
pub(super) fn says_secret(name: &str) -> bool {
    let words = words(name);
    let about = words.last().is_some_and(|last| ABOUT.contains(&last.as_str()));
    let connection = words.windows(2).any(|pair| pair[0] == "CONNECTION" && pair[1] == "STRING");
    !about && (connection || words.iter().any(|word| SECRET_WORDS.contains(&word.as_str())))
}

/// `figmaApiKey`, `figma-api-key` and `FIGMA_API_KEY` are the same three words.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut before = '_';
    for c in name.chars() {
        let starts = c.is_ascii_uppercase() && before.is_ascii_lowercase();
        if !c.is_ascii_alphanumeric() || starts {
            words.push(String::new());
        }
        if c.is_ascii_alphanumeric() {
            words.last_mut().expect("there is one").push(c.to_ascii_uppercase());
        }
        before = c;
    }
    words.retain(|word| !word.is_empty());
    words
}

/// A switch, a number of tokens, or the path of a key file: no secret, whatever its name says.
fn is_plain_setting(name: &str, value: &str) -> bool {
    let value = value.trim();
    let switch = ["true", "false", "yes", "no", "on", "off"].contains(&value.to_ascii_lowercase().as_str());
    let is_key = words(name).iter().any(|word| {
        matches!(
            word.as_str(),
            "PASSWORD" | "PASSWD" | "PASS" | "PWD" | "PIN" | "OTP" | "SECRET" | "PASSPHRASE"
        )
    });
    let number = !is_key && value.len() <= 9 && value.bytes().all(|b| b.is_ascii_digit());
    let path = ["/", "~/", "./", "../"].iter().any(|start| value.starts_with(start))
        && !is_key
        && value.rsplit('/').next().is_some_and(|file| file.contains('.'));
    switch || number || path
}
