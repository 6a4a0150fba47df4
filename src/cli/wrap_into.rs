//! What a wrap puts into the vault: names for credentials that are free there, and the values under them.
use super::output::{at, items};
use super::place::Place;
use crate::error::{Result, internal, invalid};
use crate::ids::CredentialId;
use crate::model::Word as _;
use crate::model::consumer::{BindingSource, Delivery};
use crate::model::credential::Scope;
use crate::model::name::CredentialName;
use crate::model::text::shown;
use crate::ops::consumer::{GivenBinding, RegisterConsumer};
use crate::ops::credential::create::CreateCredential;
use crate::ops::credential::value::{Entry, Target};
use crate::ops::hygiene::fingerprint::are_same;
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
    /// It is one of several of its name: of an account, or for an environment.
    is_one_of_several: bool,
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
pub async fn taken(
    session: &super::Session,
    place: &Place,
    config: &Config,
    renamed: &Renamed,
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
            _ => credentials.push(Held {
                id: at(&row, "/id"),
                name,
                is_one_of_several: !at(&row, "/account").is_empty()
                    || !matches!(at(&row, "/environment").as_str(), "" | "any"),
            }),
        }
    }
    let mut taken = Taken { consumers, credentials, others, same: Vec::new() };
    taken.same = same(session, config, renamed, &taken.credentials).await?;
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
            let is_of_name = |one: &&Held| {
                let name = one.name.to_ascii_uppercase();
                !one.is_one_of_several
                    && (name == wanted
                        || name.strip_prefix(&wanted).is_some_and(|rest| rest.starts_with('_')))
            };
            for one in held.iter().filter(is_of_name) {
                asked.push((server.index, variable.to_owned(), one.name.clone()));
                let bytes = value.value.expose(|text| SecretBytes::copied(text.as_bytes()));
                pairs.push((CredentialId::from(one.id.as_str()), bytes));
            }
        }
    }
    let same = are_same(&session.app, &session.caller, pairs).await?;
    Ok(std::iter::zip(asked, same).filter(|(_, is_same)| *is_same).map(|(asked, _)| asked).collect())
}

/// Other names that a person wants: by the variable, or by the name that was proposed.
#[derive(Default)]
pub struct Renamed(Vec<(String, String)>);

impl Renamed {
    /// Takes `FROM=TO`.
    pub fn add(&mut self, pair: &str) -> Result<()> {
        let (from, to) = pair
            .split_once('=')
            .ok_or_else(|| invalid("another name for a credential is written FROM=TO"))?;
        let to = CredentialName::parse(to.trim())?.to_string();
        let from = from.trim();
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
    let is_taken = |name: &str| {
        taken.credentials.iter().any(|other| other.name.eq_ignore_ascii_case(name))
            || moves.iter().any(|one| one.name.eq_ignore_ascii_case(name))
    };
    let own = consumer.to_ascii_uppercase().replace(|c: char| !c.is_ascii_alphanumeric(), "_");
    let free = |asked: &str| {
        let candidates = [asked.to_owned(), format!("{asked}_{own}")];
        let numbered = (2..100).map(|n| format!("{asked}_{n}"));
        let found = candidates.into_iter().chain(numbered).find(|name| !is_taken(name));
        found.ok_or_else(|| internal("no name is free for a value"))
    };
    let proposed = free(&variable)?;
    let name = match renamed.of(&[&proposed, &variable]) {
        Some(wanted) => free(wanted)?,
        None => proposed.clone(),
    };
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
