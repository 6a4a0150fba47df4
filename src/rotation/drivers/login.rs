//! A database login, as a credential keeps it: a connection string, or fields beside a password.
//!
//! Where it is comes from plain fields, a connection string or the configuration. A secret field never names a host.
use super::super::driver::{Fields, Made};
use crate::config::{Rotated, Rotation};
use crate::error::{Code, Error, Result, internal, invalid};
use crate::model::credential::{Credential, CredentialType};
use crate::model::rotation::Finding;
use crate::secret::SecretBytes;
use crate::services::sql::{Failed, Place, Tls, Why, bare, connection_string};
use zeroize::Zeroizing;

const URLS: [&str; 4] = ["url", "dsn", "uri", "connection_string"];
const USERS: [&str; 2] = ["username", "user"];
const OTHER_USERS: [&str; 2] = ["alternate_username", "alternate_user"];
const DATABASES: [&str; 3] = ["database", "dbname", "db"];
/// How many letters and digits a password of ours has: 190 random bits.
const LETTERS: usize = 32;

/// How the logins of one credential are found.
pub(super) struct Login<'a> {
    credential: &'a Credential,
    said: Rotated,
    port: u16,
}

impl<'a> Login<'a> {
    pub fn of(settings: &Rotation, credential: &'a Credential, port: u16) -> Self {
        let said = settings.credential.get(credential.id.as_str()).cloned().unwrap_or_default();
        Self { credential, said, port }
    }

    /// Whether its parts are there, going by their names.
    pub fn is_known(&self) -> bool {
        let has_host = self.said.host.is_some() || self.name(&["host"], true).is_some();
        let has_user = self.name(&USERS, false).is_some() && self.name(&["password"], false).is_some();
        self.url_field().is_some() || (has_host && has_user)
    }

    /// Whether two logins take turns.
    pub fn has_two_roles(&self) -> bool {
        self.said.roles.len() == 2 || self.name(&OTHER_USERS, true).is_some()
    }

    /// Where it is, and as whom it signs in with this value.
    pub fn place(&self, fields: &Fields) -> Result<Place> {
        let missing = |what: &str| {
            invalid(format!("the {what} of {} is not known", self.credential.label()))
                .next("Keep it as a plain field of a custom credential, or name it under [rotation.credential] in unsaid.toml.")
        };
        let refused = |why: Why| invalid(format!("{} cannot be used: {why}", self.credential.label()));
        if let Some(field) = self.url_field() {
            return Place::of_url(&text(fields, &field)?, self.port).map_err(refused);
        }
        let part = |names: &[&str]| self.name(names, true).map(|name| text(fields, &name)).transpose();
        let host = match &self.said.host {
            Some(host) => Zeroizing::new(host.clone()),
            None => part(&["host"])?.ok_or_else(|| missing("host"))?,
        };
        let port = match (self.said.port, part(&["port"])?) {
            (Some(port), _) => port,
            (None, Some(text)) => text.trim().parse().map_err(|_| refused("its port is no number".into()))?,
            (None, None) => self.port,
        };
        let database = match &self.said.database {
            Some(database) => database.clone(),
            None => part(&DATABASES)?.map(|name| name.to_string()).unwrap_or_default(),
        };
        let mode = match &self.said.sslmode {
            Some(mode) => Some(mode.clone()),
            None => part(&["sslmode"])?.map(|mode| mode.to_string()),
        };
        let secret =
            |names: &[&str], what: &str| text(fields, &self.name(names, false).ok_or_else(|| missing(what))?);
        Ok(Place {
            host: bare(&host).map_err(refused)?,
            port,
            user: secret(&USERS, "user")?,
            password: secret(&["password"], "password")?,
            database,
            tls: Tls::of(mode.as_deref()),
        })
    }

    /// Who signs in after `user`: the other of the two, else the same.
    pub fn next_user(&self, fields: &Fields, user: &str) -> Result<Zeroizing<String>> {
        let unknown = || {
            invalid(format!("which login of {} takes the next turn is not known", self.credential.label()))
                .next("Name two different ones: `roles` in unsaid.toml, or the plain field alternate_username; its user is one of them.")
        };
        let other = match (&self.said.roles[..], self.name(&OTHER_USERS, true)) {
            ([one, two], _) if one == user => Zeroizing::new(two.clone()),
            ([one, two], _) if two == user => Zeroizing::new(one.clone()),
            ([], Some(field)) => text(fields, &field)?,
            ([], None) => return Ok(Zeroizing::new(user.to_owned())),
            ([one], _) if one == user => return Ok(Zeroizing::new(user.to_owned())),
            _ => return Err(unknown()),
        };
        if other.trim().is_empty() || *other == user { Err(unknown()) } else { Ok(other) }
    }

    /// A new value: a fresh password, for whoever signs in next.
    pub fn invent(&self, old: &Fields) -> Result<Made> {
        let place = self.place(old)?;
        let user = self.next_user(old, &place.user)?;
        let password = fresh_password()?;
        let is_one_of =
            |names: &[&str], name: &str| self.name(names, false).is_some_and(|found| found == name);
        let url_field = self.url_field();
        let mut fields = Fields::new();
        for (name, value) in old {
            let value = if url_field.as_ref() == Some(name) {
                with_login(&text(old, name)?, &user, &password)?
            } else if is_one_of(&["password"], name) {
                secret(&password)
            } else if is_one_of(&USERS, name) {
                secret(&user)
            } else if is_one_of(&OTHER_USERS, name) {
                secret(&place.user)
            } else {
                value.expose(SecretBytes::copied)
            };
            fields.push((name.clone(), value));
        }
        Ok(Made { fields })
    }

    /// Who is meant, for comparing; both where two take turns. Nothing where the user is a part of the secret.
    pub fn account(&self, fields: &Fields, place: &Place) -> String {
        if self.name(&USERS, true).is_none() && self.said.roles.is_empty() {
            return String::new();
        }
        let Ok(other) = self.next_user(fields, &place.user) else { return String::new() };
        let mut all = vec![place.user.to_string(), other.to_string()];
        all.sort();
        all.dedup();
        all.join(" / ").chars().filter(|c| !c.is_control()).take(100).collect()
    }

    /// The field called so, in any case or at the end of a longer name; a plain one where `is_plain` asks for it.
    fn name(&self, names: &[&str], is_plain: bool) -> Option<String> {
        let all: Vec<_> =
            self.credential.field_specs().into_iter().filter(|spec| !is_plain || !spec.secret).collect();
        let is = |name: &str, wanted: &str| name.eq_ignore_ascii_case(wanted);
        let exact = names.iter().find_map(|wanted| all.iter().find(|spec| is(&spec.name, wanted)));
        if let Some(exact) = exact {
            return Some(exact.name.clone());
        }
        names.iter().find_map(|wanted| {
            let end = format!("_{wanted}");
            let is_other = |name: &str| {
                OTHER_USERS.iter().any(|other| name.ends_with(other)) && !wanted.starts_with("alternate")
            };
            let mut ending = all.iter().filter(|spec| {
                let name = spec.name.to_ascii_lowercase();
                name.ends_with(&end) && !is_other(&name)
            });
            let found = ending.next()?;
            ending.next().is_none().then(|| found.name.clone())
        })
    }

    fn url_field(&self) -> Option<String> {
        match self.credential.kind {
            CredentialType::ApiKey | CredentialType::File => {
                self.credential.field_specs().first().map(|spec| spec.name.clone())
            }
            CredentialType::Custom => self.name(&URLS, false),
            CredentialType::Basic | CredentialType::OAuth => None,
        }
    }
}

fn text(fields: &Fields, name: &str) -> Result<Zeroizing<String>> {
    let value = fields.iter().find(|(field, _)| field == name).map(|(_, value)| value);
    let text = value.and_then(|value| {
        value.expose(|bytes| std::str::from_utf8(bytes).ok().map(|text| Zeroizing::new(text.to_owned())))
    });
    text.ok_or_else(|| invalid(format!("its field {name} has no text")))
}

fn secret(text: &str) -> SecretBytes {
    SecretBytes::copied(text.as_bytes())
}

/// `url` with another user and password.
fn with_login(url: &str, user: &str, password: &str) -> Result<SecretBytes> {
    let wrong = |_| internal("a connection string takes no password");
    let mut url = connection_string(url).map_err(invalid)?;
    url.set_username(user).map_err(wrong)?;
    url.set_password(Some(password)).map_err(wrong)?;
    Ok(crate::secret::Secret::new(url.into()).into_bytes())
}

/// Letters and digits from the operating system's randomness: no program and no address reads them otherwise.
pub(super) fn fresh_password() -> Result<Zeroizing<String>> {
    const FROM: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut password = Zeroizing::new(String::with_capacity(LETTERS));
    let mut random = Zeroizing::new([0u8; 64]);
    while password.len() < LETTERS {
        getrandom::fill(&mut *random).map_err(|_| internal("the operating system gave no random bytes"))?;
        // Four times 62: a byte beyond would make some letters likelier than others.
        let even = random.iter().filter(|byte| **byte < 248);
        for byte in even.take(LETTERS - password.len()) {
            password.push(char::from(FROM[usize::from(byte % 62)]));
        }
    }
    Ok(password)
}

/// Why somebody could not sign in to change something: nothing was changed.
pub(super) fn not_in(failed: Failed) -> Error {
    let (why, next) = match failed {
        Failed::Refused(code) => (
            format!("the database does not let in whoever would change the password ({code})"),
            "Check the value in use, or the credential that `admin` names in unsaid.toml.",
        ),
        Failed::Unreached(why) => (format!("the database could not be reached: {why}"), ""),
        Failed::Lost => ("the database did not answer".to_owned(), ""),
    };
    let error = Error::new(Code::Unreachable, why);
    if next.is_empty() { error } else { error.next(next) }
}

/// What a failed sign-in says of the value, where `dead` are the codes for a password that is not right, and `limited` those of
/// one that is, and of no further use.
pub(super) fn found(failed: &Failed, dead: &[&str], limited: &[&str]) -> Finding {
    match failed {
        Failed::Refused(code) if dead.contains(&code.as_str()) => Finding::Refused,
        Failed::Refused(code) if limited.contains(&code.as_str()) => Finding::Limited,
        _ => Finding::CouldNotCheck,
    }
}
