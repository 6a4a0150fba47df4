//! `unsaid set NAME`: a value comes in, past every model. Makes the credential where it is not there.
//!
//! The value is asked for last and stored in one transaction, so that giving up leaves nothing behind.
use super::output::{self, at, items, line, note};
use super::place::Place;
use super::terminal::Terminal;
use super::usage::secret_on_the_command_line;
use super::value::{Given, Origin, nobody_to_ask};
use super::{Context, Session};
use crate::error::{Code, Error, Result, internal, invalid};
use crate::model::credential::{CredentialType, Environment, FieldSpec, Scope};
use crate::model::name::CredentialName;
use crate::model::suspicion::Kind;
use crate::ops::canary::decoy;
use crate::ops::credential::create::CreateCredential;
use crate::ops::credential::sealing::{MOST_FILE_BYTES, MOST_VALUE_BYTES};
use crate::ops::credential::value::{Entered, Target, enter_value};
use crate::secret::SecretBytes;
use clap::Args;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const EXAMPLES: &str = "\
The value never stands on the command line: it is asked for without echo, or read from standard input or a file.
A personal value comes before a shared one of the same name, for you alone.

Examples:
  unsaid set GITHUB_TOKEN
  op read op://dev/github/token | unsaid set GITHUB_TOKEN --scope team:backend
  unsaid set DB --type basic --username app --env prod
  unsaid set GCP_KEY --type file --file key.json
  unsaid set AWS_ROOT_KEY --service aws --canary
  unsaid set SMTP --type custom --field REGION:plain --field PASSWORD";

/// Enter a value; makes the credential if it is not there
#[derive(Args, Default)]
#[command(after_help = EXAMPLES)]
pub struct Set {
    /// Name such as GITHUB_TOKEN, or the id of a credential
    name: String,
    #[command(flatten)]
    given: Given,
    /// Where it is kept: personal, team:NAME or org
    #[arg(long, value_name = "PLACE")]
    scope: Option<Place>,
    /// Which account of the service it belongs to
    #[arg(long)]
    account: Option<String>,
    /// Which deployment it belongs to: prod, staging, dev or any
    #[arg(long, value_name = "ENV")]
    env: Option<Environment>,
    /// What shape the value has: api_key, basic, file, custom, or oauth for what is connected
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<CredentialType>,
    /// Which service it is for, such as github
    #[arg(long)]
    service: Option<String>,
    /// A field of a custom credential; NAME:plain where it is no secret. Repeatable
    #[arg(long = "field", value_name = "NAME")]
    fields: Vec<String>,
    /// The user name of a basic credential
    #[arg(long)]
    username: Option<String>,
    /// What it is for
    #[arg(long)]
    description: Option<String>,
    /// When the value ends, as 2027-01-31
    #[arg(long, value_name = "DATE")]
    expires: Option<crate::clock::Millis>,
    /// For --type oauth: the provider it will be connected through (nothing is entered)
    #[arg(long, value_name = "NAME")]
    provider: Option<String>,
    /// Make it a canary: a value that opens nothing is made up, and any use of it raises an alert
    #[arg(long, conflicts_with_all = ["stdin", "file", "fields", "username", "provider"])]
    canary: bool,
    /// A value does not belong here; see below
    #[arg(hide = true, num_args = 0..)]
    misplaced: Vec<std::ffi::OsString>,
}

/// Enters the value of the credential with this id, as `unsaid set` does. Returns what was stored, told to a person.
pub async fn enter_for(session: &Session, id: &str, given: Given) -> Result<String> {
    let mut set = Set { name: id.to_owned(), given, ..Set::default() };
    let aim = set.aim(session).await?;
    let label = aim.label.clone();
    let entered = set.enter(session, aim).await?;
    Ok(told(&entered, &label))
}

/// What the value is for, as far as it is known before it is asked for.
struct Aim {
    target: Target,
    /// As a person reads it: name, account and place.
    label: String,
    kind: CredentialType,
    fields: Vec<FieldSpec>,
    /// Whether it has a value already, so that fields which are not given keep theirs.
    has_value: bool,
    service: String,
}

impl Set {
    pub async fn run(mut self, cx: &Context) -> Result<()> {
        if !self.misplaced.is_empty() {
            return Err(secret_on_the_command_line("the value stood on the command line"));
        }
        let session = cx.session().await?;
        self.refuse_secrets(&session)?;
        let aim = self.aim(&session).await?;
        if let (CredentialType::OAuth, Target::New(input)) = (aim.kind, &aim.target) {
            // A connection has nothing to enter: it is made, and waits to be connected.
            let input =
                serde_json::to_value(input).map_err(|e| internal("the input is no JSON").because(e))?;
            let answer = session.call("create_credential", input).await?;
            return cx.print(&answer, |a| {
                line(&format!("{} is made. {}", aim.label, super::phrase::for_people(&at(a, "/next"))))
            });
        }
        if self.canary {
            return self.make_canary(cx, &session, aim).await;
        }
        let label = aim.label.clone();
        let entered = self.enter(&session, aim).await?;
        let answer =
            serde_json::to_value(&entered).map_err(|e| internal("the answer is no JSON").because(e))?;
        if self.expires.is_some_and(|end| end <= session.app.now()) {
            note("it has expired already: no program will be given it until its expiry is changed");
        }
        cx.print(&answer, |_| told(&entered, &label))
    }

    /// Asks for the value, or reads it, and enters it.
    async fn enter(&self, session: &Session, mut aim: Aim) -> Result<Entered> {
        let origin = self.given.origin();
        let values = self.values(&aim, &origin)?;
        if aim.kind == CredentialType::ApiKey {
            hint(session, &mut aim, &values);
        }
        let file_name = match (&aim.kind, &origin) {
            (CredentialType::File, Origin::File(path)) => {
                path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
            }
            _ => String::new(),
        };
        enter_value(&session.app, &session.caller, aim.target, values, file_name).await
    }

    /// A new credential with a value that nobody knows and nothing takes, marked before anybody is told of it.
    async fn make_canary(&self, cx: &Context, session: &Session, aim: Aim) -> Result<()> {
        if !matches!(aim.target, Target::New(_)) {
            return Err(invalid(format!(
                "{} is there already, and --canary makes up the value of a new one",
                aim.label
            ))
            .next("Choose another name, or mark it as it is with `unsaid canary mark`."));
        }
        if aim.kind != CredentialType::ApiKey {
            return Err(invalid("a canary's value is made up, and only that of an api_key can be"));
        }
        let value = decoy(session.app.catalogue, &aim.service)?;
        let values = vec![("value".to_owned(), value)];
        let entered = enter_value(&session.app, &session.caller, aim.target, values, String::new()).await?;
        session.call("mark_canary", json!({ "credential": entered.id })).await?;
        let mut answer =
            serde_json::to_value(&entered).map_err(|e| internal("the answer is no JSON").because(e))?;
        answer["is_canary"] = true.into();
        cx.print(&answer, |_| {
            told(&entered, &aim.label) + &line("It is a canary: any use of it raises an alert.")
        })
    }

    /// What describes a credential is readable to whoever has the database: a value in it would be, too.
    fn refuse_secrets(&self, session: &Session) -> Result<()> {
        let described =
            [Some(&self.name), self.account.as_ref(), self.service.as_ref(), self.description.as_ref()];
        let is_suspect = |text: &&String| session.app.detector.check_text(text, Kind::FreeText).is_some();
        match described.into_iter().flatten().chain(&self.fields).any(|text| is_suspect(&text)) {
            true => Err(secret_on_the_command_line("a word of the command line looks like a secret")),
            false => Ok(()),
        }
    }

    /// Which credential is meant: one that is there, or the one to be made.
    async fn aim(&mut self, session: &Session) -> Result<Aim> {
        match self.existing(session).await? {
            Some(found) => self.aim_at(&found),
            None => self.aim_at_new(session),
        }
    }

    fn aim_at(&self, found: &Value) -> Result<Aim> {
        let label = label_of(found);
        let kind: CredentialType = serde_json::from_value(found["type"].clone())
            .map_err(|_| internal("a credential is of a type there is not"))?;
        if self.kind.is_some_and(|asked| asked != kind) {
            return Err(invalid(format!("{label} is of type {kind}")).next(
                "Leave --type out, or make another credential with another name, account or environment.",
            ));
        }
        if self.provider.is_some() {
            return Err(invalid(format!("{label} is there already, and --provider is for a new one")).next(
                "Leave --provider out, or make another credential with another name, account or environment.",
            ));
        }
        let specs = match &found["configuration"]["fields"] {
            Value::Null => Vec::new(),
            fields => {
                serde_json::from_value(fields.clone()).map_err(|_| internal("the fields are no fields"))?
            }
        };
        Ok(Aim {
            target: Target::Existing(at(found, "/id")),
            label,
            fields: self.chosen(kind, specs)?,
            kind,
            has_value: found.pointer("/configuration/value_set_at").is_some(),
            service: at(found, "/service"),
        })
    }

    /// The fields of an existing credential that are to be entered.
    fn chosen(&self, kind: CredentialType, specs: Vec<FieldSpec>) -> Result<Vec<FieldSpec>> {
        if self.fields.is_empty() {
            return Ok(specs);
        }
        if kind != CredentialType::Custom {
            return Err(invalid("only a custom credential has fields of its own"));
        }
        let known: Vec<_> = specs.iter().map(|spec| spec.name.as_str()).collect::<Vec<_>>();
        let find = |name: &String| {
            let plain = name.split(':').next().unwrap_or(name);
            specs.iter().find(|spec| spec.name == plain).cloned().ok_or_else(|| {
                invalid(format!("there is no such field; the fields are: {}", known.join(", ")))
            })
        };
        self.fields.iter().map(find).collect()
    }

    fn aim_at_new(&mut self, session: &Session) -> Result<Aim> {
        let name = CredentialName::parse(&self.name)?;
        let place = self.scope.clone().unwrap_or(Place { scope: Scope::Personal, team: None });
        let kind = self.kind.unwrap_or_else(|| self.likely_type(session, name.as_str()));
        let fields = self.fields.iter().map(|text| field(text)).collect::<Result<Vec<_>>>()?;
        if kind == CredentialType::Custom && fields.is_empty() {
            return Err(invalid("a custom credential needs its fields")
                .next("Name them: --field HOST:plain --field PASSWORD."));
        }
        let input = CreateCredential {
            name: name.to_string(),
            kind: Some(kind),
            scope: Some(place.scope),
            team: place.team,
            service: self.service.take(),
            account: self.account.take(),
            environment: self.env,
            description: self.description.take(),
            tags: None,
            fields: (kind == CredentialType::Custom).then(|| fields.clone()),
            expires_at: self.expires,
            provider: self.provider.take(),
        };
        let specs = match kind {
            CredentialType::Custom => fields,
            CredentialType::Basic => vec![secret("username"), secret("password")],
            CredentialType::File => vec![secret("content")],
            CredentialType::ApiKey | CredentialType::OAuth => vec![secret("value")],
        };
        Ok(Aim {
            label: format!("{name} ({})", place.scope),
            kind,
            fields: specs,
            has_value: false,
            service: input.service.clone().unwrap_or_default(),
            target: Target::New(Box::new(input)),
        })
    }

    /// What a new credential is, where nobody said.
    fn likely_type(&self, session: &Session, name: &str) -> CredentialType {
        if !self.fields.is_empty() {
            return CredentialType::Custom;
        }
        if self.username.is_some() {
            return CredentialType::Basic;
        }
        let service = match &self.service {
            Some(service) => session.app.catalogue.find_service(service),
            None => match &session.app.catalogue.service_for_env_name(name)[..] {
                [only] => session.app.catalogue.find_service(only),
                _ => None,
            },
        };
        // A file that is given for a service whose credentials are files, such as a service account's key.
        match service {
            Some(service)
                if self.given.file.is_some()
                    && service.credential_types == [crate::services::CredentialType::File] =>
            {
                CredentialType::File
            }
            _ => CredentialType::ApiKey,
        }
    }

    /// The credential that is there already, with its details: your own before a shared one that you manage.
    async fn existing(&self, session: &Session) -> Result<Option<Value>> {
        // Ids begin with a digit, and no name does; what is neither is refused further on.
        let is_id = self.name.len() == 26 && self.name.bytes().all(|b| b.is_ascii_alphanumeric());
        if is_id {
            match session.call("get_credential", json!({ "credential": self.name })).await {
                Err(e) if e.code == Code::CredentialNotFound => {}
                found => return found.map(Some),
            }
        }
        let mut found = self.same_name(session).await?;
        // An exact account or environment counts more than a name alone.
        let exact = |row: &Value| {
            at(row, "/account") == self.account.as_deref().unwrap_or("")
                && at(row, "/environment") == self.env.map_or("any".to_owned(), |env| env.to_string())
        };
        if found.iter().any(exact) || self.account.is_some() || self.env.is_some() {
            found.retain(exact);
        }
        if self.scope.is_none() && found.iter().any(|row| row["scope"] == "personal") {
            found.retain(|row| row["scope"] == "personal");
        }
        let mut manageable = Vec::new();
        for row in &found {
            let detail = session.call("get_credential", json!({ "credential": row["id"] })).await?;
            if detail["you_may"].as_array().is_some_and(|may| may.iter().any(|level| level == "manage")) {
                manageable.push(detail);
            } else if self.scope.is_some() {
                return Err(Error::new(
                    Code::NotAllowed,
                    format!("you may not change {}", label_of(&detail)),
                )
                .next("Ask somebody who manages it, or set your own value with --scope personal."));
            }
        }
        match manageable.len() {
            0 | 1 => Ok(manageable.pop()),
            _ => {
                let names: Vec<_> =
                    manageable.iter().map(|one| format!("{} = {}", at(one, "/id"), label_of(one))).collect();
                Err(Error::new(Code::AmbiguousName, format!("several credentials fit: {}", names.join("; ")))
                    .next("Say which: --scope, --account, --env, or the id in place of the name."))
            }
        }
    }

    async fn same_name(&self, session: &Session) -> Result<Vec<Value>> {
        let mut cursor = Value::Null;
        let mut rows = Vec::new();
        loop {
            let place = self.scope.as_ref();
            let page = session
                .call(
                    "list_credentials",
                    json!({
                        "text": self.name, "limit": 100, "cursor": cursor,
                        "scope": place.map(|place| place.scope), "team": place.and_then(|place| place.team.clone()),
                    }),
                )
                .await?;
            rows.extend(
                items(&page, "/credentials")
                    .iter()
                    .filter(|row| {
                        row["name"].as_str().is_some_and(|name| name.eq_ignore_ascii_case(&self.name))
                    })
                    .cloned(),
            );
            cursor = page["next_cursor"].clone();
            if cursor.is_null() {
                return Ok(rows);
            }
        }
    }

    /// Asks for the values, or reads them.
    fn values(&self, aim: &Aim, origin: &Origin) -> Result<Vec<(String, SecretBytes)>> {
        match aim.kind {
            CredentialType::OAuth => {
                Err(invalid(format!("{} is a connection: its value is managed", aim.label))
                    .next(format!("Connect it with `unsaid connect {}`.", self.name)))
            }
            CredentialType::File if *origin == Origin::Terminal => {
                Err(invalid("a file cannot be typed").next("Give it by --file PATH, or by --stdin."))
            }
            CredentialType::File => Ok(vec![("content".into(), origin.read("", MOST_FILE_BYTES)?)]),
            CredentialType::ApiKey => {
                let question = format!("Value of {} (nothing is shown)", aim.label);
                Ok(vec![("value".into(), text_of(origin, &question)?)])
            }
            CredentialType::Basic => self.user_and_password(aim, origin),
            CredentialType::Custom => custom(aim, origin),
        }
    }

    fn user_and_password(&self, aim: &Aim, origin: &Origin) -> Result<Vec<(String, SecretBytes)>> {
        let user = match (&self.username, origin) {
            (Some(user), _) => user.clone(),
            (None, Origin::Terminal) => {
                let keep = if aim.has_value { " (empty keeps it)" } else { "" };
                Terminal::open()
                    .ok_or_else(nobody_to_ask)?
                    .answer(&format!("User name of {}{keep}", aim.label))?
            }
            (None, _) => String::new(),
        };
        if user.is_empty() && !aim.has_value {
            return Err(invalid(format!("{} needs a user name", aim.label)).next("Say --username NAME."));
        }
        let password = text_of(origin, &format!("Password of {} (nothing is shown)", aim.label))?;
        let mut values = vec![("password".to_owned(), password)];
        if !user.is_empty() {
            values.insert(0, ("username".to_owned(), SecretBytes::new(user.into_bytes())));
        }
        Ok(values)
    }
}

/// Each field at the terminal; one field's value, or a JSON object of several, from elsewhere.
fn custom(aim: &Aim, origin: &Origin) -> Result<Vec<(String, SecretBytes)>> {
    if *origin == Origin::Terminal {
        let terminal = Terminal::open().ok_or_else(nobody_to_ask)?;
        let ask = |field: &FieldSpec| {
            let value = match field.secret {
                true => terminal.secret(
                    &format!("{} of {} (nothing is shown)", field.name, aim.label),
                    MOST_VALUE_BYTES,
                )?,
                false => {
                    let answer = terminal.answer(&format!("{} of {}", field.name, aim.label))?;
                    SecretBytes::new(answer.into_bytes())
                }
            };
            Ok((field.name.clone(), value))
        };
        return aim.fields.iter().map(ask).collect();
    }
    if let [only] = &aim.fields[..] {
        return Ok(vec![(only.name.clone(), text_of(origin, "")?)]);
    }
    let given = origin.read("", MOST_VALUE_BYTES)?;
    // The parser's own message could quote the text; strings it drops are wiped by the allocator.
    let fields: BTreeMap<String, String> =
        given.expose(|bytes| serde_json::from_slice(bytes)).map_err(|_| {
            invalid("the input is no JSON object of texts")
                .next("Several fields come as one JSON object: {\"FIELD\": \"value\", …}.")
        })?;
    Ok(fields.into_iter().map(|(name, value)| (name, SecretBytes::new(value.into_bytes()))).collect())
}

/// A text value: one line end at the end of a file belongs to the file, not to the value.
fn text_of(origin: &Origin, question: &str) -> Result<SecretBytes> {
    let value = origin.read(question, MOST_VALUE_BYTES)?;
    if !matches!(origin, Origin::File(_)) {
        return Ok(value);
    }
    let trimmed = value.expose(|bytes| {
        let line = bytes.strip_suffix(b"\n")?;
        Some(SecretBytes::copied(line.strip_suffix(b"\r").unwrap_or(line)))
    });
    if trimmed.is_some() {
        note("the line end at the end of the file was dropped");
    }
    Ok(trimmed.unwrap_or(value))
}

fn secret(name: &str) -> FieldSpec {
    FieldSpec { name: name.into(), secret: true }
}

fn field(text: &str) -> Result<FieldSpec> {
    match text.split_once(':') {
        None => Ok(secret(text)),
        Some((name, "plain")) => Ok(FieldSpec { name: name.into(), secret: false }),
        Some((name, "secret")) => Ok(secret(name)),
        Some(_) => Err(invalid("a field is written NAME, NAME:secret or NAME:plain")),
    }
}

/// Tells which service the value looks like it is for; never the value. A new credential is filed under it.
fn hint(session: &Session, aim: &mut Aim, values: &[(String, SecretBytes)]) {
    let Some((_, value)) = values.first() else { return };
    let seen =
        value.expose(|bytes| std::str::from_utf8(bytes).map(|text| session.app.catalogue.recognise(text)));
    let Ok(seen) = seen else { return };
    let [one] = &seen[..] else { return };
    if one.public {
        note(&format!("this looks like a public identifier of {}, not like a secret", one.service));
    }
    if !one.also_used_by.is_empty() {
        return;
    }
    match &mut aim.target {
        Target::New(input) if input.service.is_none() => {
            note(&format!("this looks like a value for {}, so it is filed under it", one.service));
            input.service = Some(one.service.clone());
        }
        _ if !aim.service.is_empty() && aim.service != one.service => {
            note(&format!(
                "this looks like a value for {}, and {} is for {}",
                one.service, aim.label, aim.service
            ));
        }
        _ => {}
    }
}

fn label_of(found: &Value) -> String {
    let mut label = at(found, "/name");
    let account = at(found, "/account");
    if !account.is_empty() {
        label.push_str(&format!(" ({account})"));
    }
    let (environment, owner) = (at(found, "/environment"), at(found, "/owner"));
    if environment != "any" && !environment.is_empty() {
        label.push_str(&format!(" [{environment}]"));
    }
    match found["scope"].as_str() {
        Some("team") => label.push_str(&format!(" of team {owner}")),
        Some(scope) => label.push_str(&format!(" ({scope})")),
        None => {}
    }
    label
}

fn told(entered: &Entered, label: &str) -> String {
    if let Some(rotation) = &entered.rotation {
        return output::line(&format!(
            "kept as version {} of {label}, beside the one in use, for its rotation {rotation}; go on with `unsaid rotate {}`",
            entered.version, entered.name
        ));
    }
    let did = match (entered.created, entered.replaced) {
        (true, _) => "created",
        (false, true) => "replaced the value of",
        (false, false) => "entered the value of",
    };
    let mut text = output::line(&format!("{did} {label}, version {}", entered.version));
    for other in &entered.comes_before {
        text.push_str(&output::line(&format!("  it comes before {other}")));
    }
    if entered.can_be_tested {
        text.push_str(&output::line(&format!("  whether it works: `unsaid test {}`", entered.name)));
    }
    text
}
