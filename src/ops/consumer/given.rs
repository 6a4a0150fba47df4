//! Bindings as a caller gives them, held against the rules before anything is asked or kept.
use crate::app::App;
use crate::error::{Code, Error, Result, invalid};
use crate::ids::{ConsumerId, CredentialId};
use crate::model::access::{Caller, Standing, access};
use crate::model::consumer::{
    Binding, BindingSource, Delivery, MOST_BINDINGS, MOST_TEXT, parse_method, parse_variable,
};
use crate::model::credential::Environment;
use crate::model::header::HeaderLine;
use crate::model::name::CredentialName;
use crate::model::suspicion::Kind;
use crate::model::text::{Label, clean, is_unseen, shown};
use crate::ops::credential::explain::own_team;
use crate::ops::people_only;
use crate::services::client::is_safe;
use crate::services::{Catalogue, PathPattern};
use crate::store::Reader;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

// One binding, as a tool is given it. No doc comment: it would stand in every schema.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
#[serde(deny_unknown_fields)]
pub struct GivenBinding {
    #[schemars(length(min = 1, max = 64))]
    pub variable: String,
    /// Default auto; static with text
    pub source: Option<BindingSource>,
    /// Name or id; default the variable
    #[schemars(length(max = 160))]
    pub credential: Option<String>,
    #[schemars(length(max = 40))]
    pub field: Option<String>,
    #[schemars(length(max = 80))]
    pub account: Option<String>,
    pub environment: Option<Environment>,
    #[schemars(length(max = 80))]
    pub team: Option<String>,
    /// Plain; never a secret. With delivery header and url: the header, as Authorization: Bearer {value}
    #[schemars(length(max = 2000))]
    pub text: Option<String>,
    /// header: it never holds it
    pub delivery: Option<Delivery>,
    /// Where the broker sends it
    #[schemars(length(max = 64))]
    pub service: Option<String>,
    #[schemars(length(max = 7), inner(length(max = 8)))]
    pub methods: Option<Vec<String>>,
    /// As /v1/**
    #[schemars(length(max = 20), inner(length(max = 200)))]
    pub paths: Option<Vec<String>>,
    /// Default true
    pub required: Option<bool>,
}

impl GivenBinding {
    fn source(&self) -> BindingSource {
        match (self.source, &self.text, self.delivery) {
            (Some(source), ..) => source,
            (None, Some(_), None | Some(Delivery::Env | Delivery::File)) => BindingSource::Static,
            (None, ..) => BindingSource::Auto,
        }
    }

    /// As it is kept, for `consumer`.
    ///
    /// Fails with `invalid_input` for what does not fit together, `reserved_name` for a variable that changes how
    /// programs run, `secret_in_argument` for plain text that looks like a secret, `team_not_found`.
    pub(super) fn binding(
        &self,
        catalogue: &Catalogue,
        tx: &Reader<'_>,
        caller: &Caller,
        who: &Standing,
        consumer: &ConsumerId,
    ) -> Result<Binding> {
        let source = self.source();
        let is_static = source == BindingSource::Static;
        // A secret never goes into such a variable; as plain text only a person sets one.
        let may_configure = is_static && people_only(caller).is_ok();
        let variable = parse_variable(&self.variable, may_configure)?;
        let wrong = |what: &str| invalid(format!("{variable}: {what}"));
        let delivery = self.delivery.unwrap_or(Delivery::Env);
        let given = |text: &Option<String>| {
            text.as_deref().map(str::trim).filter(|t| !t.is_empty()).map(str::to_owned)
        };
        let text = match (is_static, &self.text) {
            (_, Some(text)) if delivery == Delivery::Header => header(&variable, text, is_static)?,
            (true, Some(text)) => plain(&variable, text)?,
            (true, None) => return Err(wrong("a static binding has text")),
            (false, Some(_)) => return Err(wrong("only a static binding or a header has text")),
            (false, None) => String::new(),
        };
        if is_static {
            if delivery == Delivery::File {
                return Err(wrong("plain text is delivered as env, or in a header"));
            }
            if [&self.credential, &self.field, &self.account, &self.team, &self.service]
                .iter()
                .any(|t| given(t).is_some())
                || self.environment.is_some()
            {
                return Err(wrong("plain text has no credential"));
            }
        }
        let is_brokered = delivery == Delivery::Header && text.is_empty();
        if !is_brokered && (self.methods.is_some() || self.paths.is_some() || given(&self.service).is_some())
        {
            return Err(wrong("methods, paths and service are for the broker")
                .next("Set delivery to header without text, or leave them out."));
        }
        let credential = given(&self.credential).unwrap_or_default();
        if !credential.is_empty() {
            let is_id = credential.len() == 26
                && match tx.find_credential(&caller.org, &CredentialId::from(credential.as_str()))? {
                    Some(c) => access(who, &c, &tx.grants_on(&caller.org, &c.id)?).sees(),
                    None => false,
                };
            if !is_id {
                CredentialName::parse(&credential).map_err(|e| {
                    invalid(format!("{variable}: the credential is no name ({})", e.message()))
                        .next("Give its name, as GITHUB_TOKEN, or its id; account, environment and team are fields of their own.")
                })?;
            }
        } else if !is_static {
            CredentialName::parse(&variable)?;
        }
        let team_id = match given(&self.team) {
            None => String::new(),
            Some(team) => own_team(tx, caller, who, &team)?,
        };
        let service = match is_brokered {
            true => {
                let wanted = if credential.is_empty() { &variable } else { &credential };
                lent_to(catalogue, tx, caller, who, wanted, given(&self.service))?
            }
            false => String::new(),
        };
        let field = given(&self.field).unwrap_or_default();
        if !field.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return Err(wrong("field is a field's name"));
        }
        Ok(Binding {
            consumer_id: consumer.clone(),
            org_id: caller.org.clone(),
            source,
            delivery,
            credential,
            field,
            account: given(&self.account)
                .map(|a| Label::parse(&a))
                .transpose()?
                .map_or(String::new(), String::from),
            environment: self.environment,
            team_id,
            service,
            text,
            methods: self.methods.iter().flatten().map(|m| parse_method(m)).collect::<Result<_>>()?,
            paths: self
                .paths
                .iter()
                .flatten()
                .map(|p| PathPattern::parse(p.trim()).map(|_| p.trim().to_owned()))
                .collect::<Result<_>>()?,
            is_required: self.required.unwrap_or(true),
            created_at: tx.now(),
            created_by: caller.user.clone(),
            variable,
            revision: 0,
        })
    }
}

/// The service that the broker adds it for, and sends it to: as given, or what the credential of that name is of now.
/// It is kept with the binding, so that whoever changes the credential later does not change where it goes.
///
/// Fails with `service_not_found`, and `invalid_input` where nothing says which, or the catalogue does not say how.
fn lent_to(
    catalogue: &Catalogue,
    tx: &Reader<'_>,
    caller: &Caller,
    who: &Standing,
    wanted: &str,
    given: Option<String>,
) -> Result<String> {
    let id = match given {
        Some(id) => id,
        None => {
            let places = crate::ops::reach::places(who);
            let mut found = tx.candidates(&caller.org, &wanted.to_ascii_uppercase(), &places)?;
            found.extend(tx.find_credential(&caller.org, &CredentialId::from(wanted))?);
            let mut services = Vec::new();
            for c in found {
                let is_seen = access(who, &c, &tx.grants_on(&caller.org, &c.id)?).sees();
                if is_seen && !c.service.is_empty() && !services.contains(&c.service) {
                    services.push(c.service);
                }
            }
            match (services.pop(), services.is_empty()) {
                (Some(id), true) => id,
                _ => {
                    return Err(invalid(format!(
                        "{}: say for which service the broker adds it",
                        shown(wanted)
                    ))
                    .next("Set service to an id of list_services."));
                }
            }
        }
    };
    let service = catalogue.service(&id)?;
    match service.broker() {
        Some(_) => Ok(service.id.clone()),
        None => Err(invalid(format!(
            "the catalogue does not say how {} takes its credential in a request",
            service.name
        ))
        .next("Use delivery env, or describe the service in a manifest of your own.")),
    }
}

/// The header of the consumer's own address that it goes into.
fn header(variable: &str, text: &str, is_static: bool) -> Result<String> {
    let line = HeaderLine::parse(text).map_err(|e| invalid(format!("{variable}: {}", e.message())))?;
    match is_static {
        true if !line.is_plain() => Err(invalid(format!("{variable}: plain text has no {{value}}"))),
        false if !line.takes_value() => {
            Err(invalid(format!("{variable}: the header says once where the value goes: {{value}}")))
        }
        _ => Ok(line.line()),
    }
}

/// Plain text without what cannot be seen.
fn plain(variable: &str, text: &str) -> Result<String> {
    if text.len() > MOST_TEXT {
        return Err(Error::new(
            Code::TooLarge,
            format!("the text of {variable} is larger than {MOST_TEXT} bytes"),
        )
        .next("Plain configuration is short. A file or a secret is a credential: `unsaid set NAME`."));
    }
    let cleaned = clean(text);
    match cleaned.is_empty() {
        true => Err(invalid(format!("the text of {variable} is empty"))),
        false => Ok(cleaned),
    }
}

/// Refuses what looks like a secret where everybody would read it: before anything is asked or kept.
///
/// Fails with `secret_in_argument`, naming the place and never the text.
pub(super) fn screen(app: &App, bindings: &[GivenBinding], command: &[String], url: &str) -> Result<()> {
    let refused = |what: &str, why: &str| {
        Error::new(Code::SecretInArgument, format!("{what} looks like a secret ({why})")).next(
            "Enter it with `unsaid set NAME` and bind that. If it is live and stood in a chat or a command line, replace it at its service.",
        )
    };
    for one in bindings {
        let text = one.text.as_deref().unwrap_or_default();
        if let Some(why) = app.detector.check_text(text, Kind::FreeText) {
            return Err(refused("the text of a binding", why));
        }
        for name in [&one.credential, &one.account, &one.field, &one.service].into_iter().flatten() {
            if let Some(why) = app.detector.check_text(name, Kind::Identifier) {
                return Err(refused("a binding", why));
            }
        }
    }
    for word in command {
        if let Some(why) = app.detector.check_text(word, Kind::FreeText) {
            return Err(refused("a word of the command", why));
        }
    }
    match app.detector.check_text(url, Kind::Url) {
        Some(why) => Err(refused("url", why)),
        None => Ok(()),
    }
}

/// All of them, no variable twice. Fails as [`GivenBinding::binding`] does.
pub(super) fn parse_all(
    catalogue: &Catalogue,
    tx: &Reader<'_>,
    caller: &Caller,
    who: &Standing,
    consumer: &ConsumerId,
    given: &[GivenBinding],
) -> Result<Vec<Binding>> {
    if given.len() > MOST_BINDINGS {
        return Err(invalid(format!("a consumer has at most {MOST_BINDINGS} bindings")));
    }
    let mut all: Vec<Binding> = Vec::with_capacity(given.len());
    for one in given {
        let binding = one.binding(catalogue, tx, caller, who, consumer)?;
        if all.iter().any(|b| b.variable.eq_ignore_ascii_case(&binding.variable)) {
            return Err(invalid(format!("{} is bound twice", binding.variable)));
        }
        all.push(binding);
    }
    expect_one_a_service(&all)?;
    Ok(all)
}

/// The broker knows a credential by its service, so there is one for each; and a header is sent once.
pub(super) fn expect_one_a_service<'a>(all: impl IntoIterator<Item = &'a Binding>) -> Result<()> {
    let mut seen: Vec<&str> = Vec::new();
    let mut headers: Vec<String> = Vec::new();
    for b in all {
        if let Some(line) = b.header() {
            let name = line.name.to_ascii_lowercase();
            if headers.contains(&name) {
                return Err(invalid(format!("two bindings are for the header {}", line.name)));
            }
            headers.push(name);
        }
        if !b.is_brokered() {
            continue;
        }
        if seen.contains(&b.service.as_str()) {
            return Err(invalid(format!("two bindings are for the broker and {}", b.service))
                .next("Register another consumer for the other one."));
        }
        seen.push(&b.service);
    }
    Ok(())
}

/// Headers go to the consumer's own address, so it has one.
pub(super) fn expect_address<'a>(url: &str, all: impl IntoIterator<Item = &'a Binding>) -> Result<()> {
    match all.into_iter().find(|b| url.is_empty() && b.header().is_some()) {
        Some(b) => {
            Err(invalid(format!("{} goes into a header, and there is no url to send it to", b.variable))
                .next("Give url, or leave text out where the broker adds it."))
        }
        None => Ok(()),
    }
}

/// A program and its arguments, as they are run.
pub(super) fn command(given: &[String]) -> Result<Vec<String>> {
    if given.len() > 64 || given.iter().map(String::len).sum::<usize>() > 4000 {
        return Err(Error::new(Code::TooLarge, "a command has at most 64 words and 4000 bytes"));
    }
    if given.first().is_some_and(|program| program.trim().is_empty()) {
        return Err(invalid("the command begins with a program"));
    }
    if given.iter().any(|word| word.chars().any(|c| c.is_control() || is_unseen(c))) {
        return Err(invalid("a word of the command holds a character that nobody sees"));
    }
    Ok(given.to_vec())
}

/// Where a remote consumer is: https, or http on this machine; no user and no password in it.
pub(super) fn remote(given: &str) -> Result<String> {
    let given = given.trim();
    if given.is_empty() {
        return Ok(String::new());
    }
    let url =
        url::Url::parse(given).map_err(|_| invalid("url is no address, as https://mcp.example.com/mcp"))?;
    if !is_safe(&url) {
        return Err(invalid("url is https, or http on this machine"));
    }
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err(invalid("url has no user, no password and no fragment"));
    }
    Ok(url.to_string())
}
