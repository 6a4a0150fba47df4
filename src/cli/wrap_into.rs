//! What a wrap puts into the vault: names for credentials that are free there, and the values under them.
use super::output::{at, items};
use super::place::Place;
use crate::error::{Code, Error, Result, internal, invalid};
use crate::ids::CredentialId;
use crate::model::Word as _;
use crate::model::consumer::{BindingSource, Delivery};
use crate::model::credential::Scope;
use crate::model::name::CredentialName;
use crate::model::suspicion::{Detector, Kind};
use crate::model::text::shown;
use crate::ops::consumer::{GivenBinding, RegisterConsumer};
use crate::ops::credential::create::CreateCredential;
use crate::ops::credential::value::{Entry, Target};
use crate::ops::hygiene::fingerprint::{MOST_PAIRS, are_same};
use crate::secret::{Secret, SecretBytes};
use crate::wrap::{Config, ConsumerRemote, FoundServer, FoundValue};
use serde_json::{Value, json};

/// One credential that a value becomes.
pub struct Move<'a> {
    /// The variable it was found under.
    variable: String,
    proposed: String,
    pub name: String,
    pub value: &'a Secret,
    pub service: Option<String>,
}

/// What is there already.
pub struct Taken {
    /// Names of consumers anywhere.
    pub consumers: Vec<String>,
    /// Credentials of that place.
    credentials: Vec<Held>,
    /// Those of other places.
    others: Vec<Other>,
    /// Values of the file that a credential of that place holds already: server and variable, and its name.
    same: Vec<(usize, String, String)>,
}

/// A credential of the place that values move into.
struct Held {
    id: String,
    name: String,
    /// A program that is bound to its name is given its value: an API key that can be used, for no account or environment of
    /// its own.
    is_plain: bool,
}

/// A credential of another place, which a new one may have the name of.
struct Other {
    name: String,
    scope: Scope,
    /// A team's name.
    owner: String,
}

impl Taken {
    /// What is there of the name of a new credential of `scope`, a line each: which comes first is how names resolve.
    pub fn beside(&self, name: &str, scope: Scope) -> impl Iterator<Item = String> {
        self.others.iter().filter(move |other| other.name.eq_ignore_ascii_case(name)).map(move |other| {
            let whose = match other.scope {
                Scope::Personal => "your own".to_owned(),
                Scope::Team => format!("the one of the team {}", shown(&other.owner)),
                Scope::Org => "the one of the org".to_owned(),
            };
            match other.scope > scope {
                true => format!("{name} comes before {whose}, wherever either would do"),
                false => format!("{name} comes behind {whose}, except in these servers"),
            }
        })
    }
}

/// What is in the vault already, of what is in the file.
///
/// `compares`: whether it may be asked which values are there. That is for people who act for themselves and are about to agree.
pub async fn taken(
    session: &super::Session,
    place: &Place,
    config: &Config,
    renamed: &Renamed,
    compares: bool,
) -> Result<Taken> {
    // Of every place: a client starts its server by the bare name.
    let consumers = all(session, "list_consumers", "/consumers", json!({})).await?;
    let consumers = consumers.iter().map(|row| at(row, "/name")).collect();
    let (mut credentials, mut others) = (Vec::new(), Vec::new());
    for row in all(session, "list_credentials", "/credentials", json!({ "limit": 100 })).await? {
        let name = at(&row, "/name");
        match Scope::parse(&at(&row, "/scope")) {
            Some(scope) if scope != place.scope => {
                others.push(Other { name, scope, owner: at(&row, "/owner") });
            }
            // Of the very team that was named, by its name; of any other, or of one that goes unnamed, nothing is bound.
            _ => {
                let owner = at(&row, "/owner");
                let is_there = place.scope != Scope::Team
                    || place.team.as_ref().is_some_and(|team| owner.eq_ignore_ascii_case(team));
                let is_plain = is_there
                    && at(&row, "/type") == "api_key"
                    && at(&row, "/account").is_empty()
                    && matches!(at(&row, "/environment").as_str(), "" | "any")
                    && matches!(at(&row, "/status/status").as_str(), "active" | "expiring");
                credentials.push(Held { id: at(&row, "/id"), name, is_plain });
            }
        }
    }
    let mut taken = Taken { consumers, credentials, others, same: Vec::new() };
    if compares {
        taken.same = same(session, config, renamed, &taken.credentials).await?;
    }
    Ok(taken)
}

/// Which values of the file are there under a name that this file's variable has, had or is to have.
async fn same(
    session: &super::Session,
    config: &Config,
    renamed: &Renamed,
    held: &[Held],
) -> Result<Vec<(usize, String, String)>> {
    let (mut asked, mut pairs) = (Vec::new(), Vec::new());
    for server in config.servers() {
        for value in server.movable() {
            let variable = value.credential_name().unwrap_or_default();
            let wanted = renamed.of(&[variable]).unwrap_or(variable).to_ascii_uppercase();
            // One that shares its name with another of this place is not what the name means.
            let is_alone = |one: &Held| {
                held.iter().filter(|other| other.name.eq_ignore_ascii_case(&one.name)).count() == 1
            };
            let is_of_name = |one: &&Held| {
                let name = one.name.to_ascii_uppercase();
                let is_named =
                    name == wanted || name.strip_prefix(&wanted).is_some_and(|rest| rest.starts_with('_'));
                is_named && one.is_plain && is_alone(one)
            };
            for one in held.iter().filter(is_of_name).take(MOST_PAIRS - pairs.len()) {
                asked.push((server.index, variable.to_owned(), one.name.clone()));
                let bytes = value.value.expose(|text| SecretBytes::copied(text.as_bytes()));
                pairs.push((CredentialId::from(one.id.as_str()), bytes));
            }
        }
    }
    if pairs.is_empty() {
        return Ok(Vec::new());
    }
    let same = are_same(&session.app, &session.caller, pairs).await?;
    Ok(std::iter::zip(asked, same).filter(|(_, is_same)| *is_same).map(|(asked, _)| asked).collect())
}

/// Other names that a person wants: by the variable, or by the name that was proposed.
#[derive(Default)]
pub struct Renamed(Vec<(String, String)>);

impl Renamed {
    /// Takes `FROM=TO`. Fails with `secret_in_argument` where TO looks like a secret, or holds what stands in the file.
    pub fn add(&mut self, pair: &str, config: &Config, detector: &Detector) -> Result<()> {
        let (from, to) = pair
            .split_once('=')
            .ok_or_else(|| invalid("another name for a credential is written FROM=TO"))?;
        let to = CredentialName::parse(to.trim())?.to_string();
        let from = from.trim();
        // It would stand in lists, in the log, and before the model.
        let upper = to.to_ascii_uppercase();
        let is_told = |value: &FoundValue| {
            value.value.expose(|text| {
                let text = text.trim().to_ascii_uppercase();
                text.len() >= 4 && (upper.contains(&text) || text.contains(&upper) && upper.len() >= 6)
            })
        };
        let values = || config.servers().iter().flat_map(|server| server.movable());
        if detector.check_text(&to, Kind::Identifier).is_some() || values().any(is_told) {
            return Err(Error::new(Code::SecretInArgument, "a name for a credential looks like a value")
                .next("Choose a name that says what it opens."));
        }
        self.0.retain(|(other, _)| other != from);
        self.0.push((from.to_owned(), to));
        Ok(())
    }

    fn of(&self, names: &[&str]) -> Option<&str> {
        let found = self.0.iter().find(|(from, _)| names.iter().any(|name| name.eq_ignore_ascii_case(from)));
        found.map(|(_, to)| to.as_str())
    }

    /// Fails with `invalid_input` where one of them is none of `known`.
    pub fn expect_known(&self, known: &[&str]) -> Result<()> {
        let is_known = |from: &String| known.iter().any(|name| name.eq_ignore_ascii_case(from));
        match self.0.iter().all(|(from, _)| is_known(from)) {
            true => Ok(()),
            false => Err(invalid("FROM=TO names a value that does not move into the vault")
                .next(format!("There are: {}.", known.join(", ")))),
        }
    }
}

/// The credential that a value becomes, or is already.
pub struct Named {
    pub variable: String,
    /// What it is called where nobody says otherwise.
    pub proposed: String,
    pub name: String,
    /// It is there, with this very value.
    pub is_there: bool,
}

/// The rows of all pages of a list.
async fn all(session: &super::Session, operation: &str, list: &str, mut asked: Value) -> Result<Vec<Value>> {
    let mut rows = Vec::new();
    loop {
        let page = session.call(operation, asked.clone()).await?;
        rows.extend(items(&page, list).iter().cloned());
        asked["cursor"] = page["next_cursor"].clone();
        if asked["cursor"].is_null() {
            return Ok(rows);
        }
    }
}

/// Which credentials a remote server is sent, and where that is; nothing for one that is started here.
pub fn sends(input: &RegisterConsumer) -> Option<String> {
    let url = url::Url::parse(input.url.as_deref()?).ok()?;
    let is_secret = |b: &&GivenBinding| b.source != Some(BindingSource::Static);
    let bindings = input.bindings.iter().flatten().filter(is_secret);
    let names: Vec<_> = bindings.map(|b| b.credential.as_ref().unwrap_or(&b.variable).as_str()).collect();
    Some(format!(
        "{} sends {} to {}",
        input.name,
        names.join(", "),
        &url[url::Position::BeforeHost..url::Position::AfterPort]
    ))
}

/// `name`, or it with a number, whichever is free.
pub fn free(name: &str, is_taken: impl Fn(&str) -> bool) -> String {
    let numbered = (2..).map(|n| format!("{name}-{n}"));
    std::iter::once(name.to_owned()).chain(numbered).find(|name| !is_taken(name)).unwrap_or_default()
}

/// The credential for `value` of `server`: one that holds the same already, else a new one under a name that is free.
pub fn name_for<'a>(
    server: &FoundServer,
    value: &'a FoundValue,
    consumer: &str,
    moves: &mut Vec<Move<'a>>,
    taken: &Taken,
    renamed: &Renamed,
) -> Result<Named> {
    let variable = value.credential_name().unwrap_or_default().to_owned();
    let named = |proposed: &str, name: &str, is_there| Named {
        variable: variable.clone(),
        proposed: proposed.to_owned(),
        name: name.to_owned(),
        is_there,
    };
    if let Some(same) = moves.iter().find(|one| one.variable == variable && one.value == &value.value) {
        return Ok(named(&same.proposed, &same.name, false));
    }
    if let Some((.., name)) = taken.same.iter().find(|(of, v, _)| *of == server.index && *v == variable) {
        return Ok(named(name, name, true));
    }
    let is_there = |name: &str| taken.credentials.iter().any(|other| other.name.eq_ignore_ascii_case(name));
    let is_taken = |name: &str| is_there(name) || moves.iter().any(|one| one.name.eq_ignore_ascii_case(name));
    // As if nothing was renamed: what is proposed does not change with what else is called otherwise.
    let is_proposed =
        |name: &str| is_there(name) || moves.iter().any(|one| one.proposed.eq_ignore_ascii_case(name));
    let own = consumer.to_ascii_uppercase().replace(|c: char| !c.is_ascii_alphanumeric(), "_");
    let free = |asked: &str, is_taken: &dyn Fn(&str) -> bool| {
        let candidates = [asked.to_owned(), format!("{asked}_{own}")];
        let numbered = (2..100).map(|n| format!("{asked}_{n}"));
        let found = candidates.into_iter().chain(numbered).find(|name| !is_taken(name));
        found.ok_or_else(|| internal("no name is free for a value"))
    };
    let proposed = free(&variable, &is_proposed)?;
    let wanted = renamed.of(&[&proposed]).or_else(|| renamed.of(&[&variable]));
    let name = free(wanted.unwrap_or(&proposed), &is_taken)?;
    let name = CredentialName::parse(&name)?.to_string();
    let done = named(&proposed, &name, false);
    moves.push(Move { variable, proposed, name, value: &value.value, service: value.service.clone() });
    Ok(done)
}

pub fn entry(one: &Move<'_>, place: &Place) -> Entry {
    let create = CreateCredential {
        name: one.name.clone(),
        scope: Some(place.scope),
        team: place.team.clone(),
        service: one.service.clone(),
        ..CreateCredential::default()
    };
    let value = one.value.expose(|text| SecretBytes::copied(text.as_bytes()));
    Entry {
        target: Target::New(Box::new(create)),
        values: vec![("value".to_owned(), value)],
        file_name: String::new(),
    }
}

/// The headers without a secret, which are sent as well.
pub fn plain_headers(remote: &ConsumerRemote) -> impl Iterator<Item = GivenBinding> + '_ {
    let is_plain = |(_, line): &&(String, String)| !line.contains("{value}");
    remote.headers.iter().filter(is_plain).map(|(variable, line)| GivenBinding {
        variable: variable.clone(),
        source: Some(BindingSource::Static),
        delivery: Some(Delivery::Header),
        text: Some(line.clone()),
        ..GivenBinding::default()
    })
}
