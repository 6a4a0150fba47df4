//! `register_consumer`: a new consumer with its bindings. Where one is bound or started, a person agrees.
use super::check::check;
use super::given::{GivenBinding, command, expect_address, parse_all, remote, screen};
use super::hints::Hints;
use super::{
    ConsumerAnswer, about, filled_command, logged, parse_runners, row, runners, sent_to, shown_command, told,
};
use crate::app::App;
use crate::error::{Code, Error, Result, invalid};
use crate::ids::ConsumerId;
use crate::model::access::{Caller, Standing};
use crate::model::consumer::{Binding, BindingSource, Consumer, ConsumerKind, Delivery, parse_name};
use crate::model::credential::Scope;
use crate::model::event::Event;
use crate::model::text::{Description, Label, Reason};
use crate::ops::confirm::{Confirm, Question};
use crate::ops::credential::create::place;
use crate::ops::{Effect, Operation, Permission, Toolset, people_only, reach, refusal};
use crate::services::servers::{CredentialField, Place, ServerDefinition, Transport};
use crate::services::{Catalogue, Servers};
use crate::store::{Reader, Writer};
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RegisterConsumer {
    /// As github; letters, digits, . _ -
    #[schemars(length(min = 1, max = 64))]
    pub name: String,
    /// Default mcp_server
    pub kind: Option<ConsumerKind>,
    /// Default personal
    pub scope: Option<Scope>,
    #[schemars(length(max = 80))]
    pub team: Option<String>,
    pub description: Option<Description>,
    /// Group of MCP servers
    pub stack: Option<Label>,
    /// Logins or team:NAME that alone may run it
    #[schemars(length(max = 20), inner(length(max = 80)))]
    pub run_by: Option<Vec<String>>,
    /// Id of a known MCP server: fills command or url, and bindings
    #[schemars(length(max = 64))]
    pub server: Option<String>,
    /// Program and arguments
    #[schemars(length(max = 64), inner(length(max = 1000)))]
    pub command: Option<Vec<String>>,
    /// Of a remote server
    #[schemars(length(max = 500))]
    pub url: Option<String>,
    #[schemars(length(max = 40))]
    pub bindings: Option<Vec<GivenBinding>>,
    pub reason: Option<Reason>,
}

/// What it would be.
struct Plan {
    who: Standing,
    consumer: Consumer,
    bindings: Vec<Binding>,
}

impl RegisterConsumer {
    fn needs_person(&self) -> bool {
        self.bindings.as_ref().is_some_and(|b| !b.is_empty())
            || self.command.as_ref().is_some_and(|c| !c.is_empty())
            || self.url.as_ref().is_some_and(|u| !u.trim().is_empty())
            || self.server.is_some()
    }

    /// With what the server definition says filled in: its command and every field that is not given. Fails with
    /// `service_not_found` for no definition, `invalid_input` where a plain field that it needs is missing.
    fn filled(&self, app: &App) -> Result<Self> {
        let Some(id) = self.server.as_deref().map(str::trim).filter(|id| !id.is_empty()) else {
            return Ok(self.clone());
        };
        let definition = app.servers.definition(id)?;
        let mut filled = Self { server: Some(definition.id.clone()), ..self.clone() };
        match &definition.transport {
            Transport::Stdio { command, args } if self.command.is_none() => {
                filled.command = Some(std::iter::once(command).chain(args).cloned().collect());
            }
            Transport::Http { .. } if self.command.is_some() || self.url.is_some() => {
                return Err(invalid(format!("{} is at an address of its own", definition.name))
                    .next("Leave command and url out, or leave server out."));
            }
            Transport::Http { url } => filled.url = Some(url.clone()),
            _ => {}
        }
        let bindings = filled.bindings.get_or_insert_default();
        for field in &definition.fields {
            let is_of_field =
                |b: &&mut GivenBinding| b.variable.eq_ignore_ascii_case(field.credential_name());
            if let Some(given) = bindings.iter_mut().find(is_of_field) {
                if field.place == Place::Header && given.delivery.is_none() {
                    into_header(field, given);
                }
                continue;
            }
            if let Some(binding) = of_field(&definition, field)? {
                bindings.push(binding);
            }
        }
        Ok(filled)
    }

    fn screen(&self, app: &App) -> Result<()> {
        let (bindings, command) = (self.bindings.as_deref(), self.command.as_deref());
        let url = self.url.as_deref().unwrap_or_default();
        screen(app, bindings.unwrap_or_default(), command.unwrap_or_default(), url)
    }

    fn plan(&self, catalogue: &Catalogue, tx: &Reader<'_>, caller: &Caller) -> Result<Plan> {
        let (who, org) = reach::who(tx, caller)?;
        let name = parse_name(&self.name)?;
        let scope = self.scope.unwrap_or(Scope::Personal);
        let owner_id = place(tx, &who, &org, scope, self.team.as_deref())?;
        let name_key = name.to_ascii_lowercase();
        if tx
            .consumers_named(&caller.org, &name_key)?
            .iter()
            .any(|c| c.scope == scope && c.owner_id == owner_id)
        {
            return Err(Error::new(Code::AlreadyExists, format!("there is a consumer {name} here already"))
                .next("Change it with update_consumer, or choose another name."));
        }
        let now = tx.now();
        let consumer = Consumer {
            id: ConsumerId::fresh(),
            org_id: caller.org.clone(),
            name,
            name_key,
            kind: self.kind.unwrap_or(ConsumerKind::McpServer),
            scope,
            owner_id,
            description: self.description.as_ref().map_or(String::new(), |d| d.as_str().to_owned()),
            stack: self.stack.as_ref().map_or(String::new(), |s| s.as_str().to_owned()),
            run_by: parse_runners(tx, &caller.org, self.run_by.as_deref().unwrap_or_default())?,
            definition: self.server.clone().unwrap_or_default(),
            command: command(self.command.as_deref().unwrap_or_default())?,
            url: remote(self.url.as_deref().unwrap_or_default())?,
            created_at: now,
            created_by: caller.user.clone(),
            updated_at: now,
            deleted_at: None,
            revision: 0,
        };
        let given = self.bindings.as_deref().unwrap_or_default();
        let bindings = parse_all(catalogue, tx, caller, &who, &consumer.id, given)?;
        expect_address(&consumer.url, &bindings)?;
        Ok(Plan { who, consumer, bindings })
    }

    /// What a person agrees to.
    fn question(&self, tx: &Reader<'_>, plan: &Plan) -> Result<Question> {
        let c = &plan.consumer;
        let mut impact = Vec::new();
        if !c.command.is_empty() {
            let command = filled_command(&c.command, &plan.bindings);
            impact.push(format!("runs: {}", shown_command(&command)));
        }
        if !c.url.is_empty() {
            impact.push(format!("talks to: {}", c.url));
        }
        impact.extend(sent_to(&c.url, &plan.bindings));
        for b in &plan.bindings {
            impact.push(format!("gets: {}", told(tx, b)?));
        }
        if !c.run_by.is_empty() {
            impact.push(format!("run by: {}", runners(tx, c)));
        }
        impact.push(match c.scope {
            Scope::Personal => "runs for you alone".to_owned(),
            Scope::Team => "everybody in the team may run it, each with what they may use".to_owned(),
            Scope::Org => "everybody in the org may run it, each with what they may use".to_owned(),
        });
        Ok(Question {
            summary: format!("register the consumer {} ({}, {})", c.name, c.kind, c.scope),
            impact,
            reason: self.reason.as_ref().map_or(String::new(), |reason| reason.as_str().to_owned()),
            pins: Vec::new(),
        })
    }

    fn write(
        &self,
        catalogue: &Catalogue,
        servers: &Servers,
        tx: &mut Writer<'_>,
        caller: &Caller,
    ) -> Result<(Event, ConsumerAnswer)> {
        let Plan { who, mut consumer, mut bindings } = self.plan(catalogue, tx, caller)?;
        tx.insert(&mut consumer)?;
        for binding in &mut bindings {
            tx.insert(binding)?;
        }
        let event = about(Self::NAME, &consumer)
            .because(self.reason.as_ref().map_or("", Reason::as_str))
            .with("kind", crate::model::Word::as_str(consumer.kind))
            .with("command", consumer.command.first().cloned().unwrap_or_default())
            .with("url", consumer.url.clone())
            .with("bindings", bindings.iter().map(|b| logged(tx, b)).collect::<Result<Vec<_>>>()?);
        let answer = answer(servers, tx, caller, &who, &consumer, &bindings)?;
        Ok((event, answer))
    }
}

/// Into the header that the definition names; plain text goes there as it is.
fn into_header(field: &CredentialField, given: &mut GivenBinding) {
    let format = field.format.as_deref().unwrap_or("{value}");
    let format = match given.text.take() {
        Some(text) => {
            given.source = Some(BindingSource::Static);
            format.replace("{value}", &text)
        }
        None => format.to_owned(),
    };
    given.delivery = Some(Delivery::Header);
    given.text = Some(format!("{}: {format}", field.id));
}

/// What a field of a definition becomes; nothing for plain configuration that may be left out.
fn of_field(definition: &ServerDefinition, field: &CredentialField) -> Result<Option<GivenBinding>> {
    let name = field.credential_name().to_owned();
    if field.secret {
        if field.place == Place::Arg {
            return Err(invalid(format!(
                "{} takes {name} as an argument only, where every process of this machine can read it",
                definition.name
            ))
            .next(
                "Choose another server for it, or register a program of your own that reads the variable.",
            ));
        }
        let mut given =
            GivenBinding { variable: name, required: Some(field.required), ..GivenBinding::default() };
        if field.place == Place::Header {
            into_header(field, &mut given);
        }
        return Ok(Some(given));
    }
    match (&field.default, field.required) {
        (Some(text), true) => {
            let mut given = GivenBinding {
                variable: name,
                source: Some(BindingSource::Static),
                text: Some(text.clone()),
                ..GivenBinding::default()
            };
            if field.place == Place::Header {
                into_header(field, &mut given);
            }
            Ok(Some(given))
        }
        // What the server assumes by itself need not be said.
        (_, false) => Ok(None),
        (None, true) => Err(invalid(format!("{} needs {name}: {}", definition.name, field.label))
            .next(format!("Give it as plain text: a binding {name} with text (`--text {name}=…`)."))),
    }
}

/// What there is now, and what to do next.
pub(super) fn answer(
    servers: &Servers,
    tx: &Reader<'_>,
    caller: &Caller,
    who: &Standing,
    consumer: &Consumer,
    bindings: &[Binding],
) -> Result<ConsumerAnswer> {
    let checked = check(tx, caller, who, consumer, bindings, &Hints::of(servers, consumer), true)?;
    let mut next = checked.next;
    if checked.ready && !bindings.is_empty() {
        let is_remote = consumer.kind == ConsumerKind::McpServer && !consumer.url.is_empty();
        let start = match consumer.command.is_empty() && !is_remote {
            true => format!("Run it: `unsaid run --consumer {} -- COMMAND`.", consumer.name),
            false => format!("Start it from a client's configuration as `unsaid mcp {}`.", consumer.name),
        };
        next.insert(0, start);
    }
    Ok(ConsumerAnswer {
        consumer: row(tx, consumer, bindings.len())?,
        ready: checked.ready,
        checks: checked.bindings,
        next,
    })
}

impl Operation for RegisterConsumer {
    const NAME: &'static str = "register_consumer";
    const TITLE: &'static str = "Register a consumer";
    const ABOUT: &'static str = "Set up an agent, MCP server, workflow or integration with what it may get. A person approves bindings and commands.";
    const TOOLSET: Toolset = Toolset::Consumers;
    const EFFECT: Effect = Effect::Redirects;
    const NEEDS: Permission = Permission::ManagePlace;
    type Output = ConsumerAnswer;

    async fn confirm(&self, app: &App, caller: &Caller) -> Result<Confirm> {
        let input = self.filled(app)?;
        input.screen(app)?;
        let (asking, catalogue) = (caller.clone(), app.catalogue);
        app.store
            .read(move |tx| {
                let plan = input.plan(catalogue, tx, &asking)?;
                Ok(match input.needs_person() {
                    true => Confirm::Person(input.question(tx, &plan)?),
                    false => Confirm::Nothing,
                })
            })
            .await
    }

    async fn run(self, app: &App, caller: &Caller) -> Result<ConsumerAnswer> {
        let input = self.filled(app)?;
        input.screen(app)?;
        let (asking, catalogue, servers) = (caller.clone(), app.catalogue, app.servers);
        app.store
            .write(caller, move |tx| {
                let (event, answer) = input.write(catalogue, servers, tx, &asking)?;
                tx.record(event, answer)
            })
            .await
    }
}

/// Whether [`register_all`] would register them, as things stand now: before anything else is done for them.
pub async fn check_all(app: &App, caller: &Caller, all: &[RegisterConsumer]) -> Result<()> {
    people_only(caller)?;
    let all = all.iter().map(|one| one.filled(app)).collect::<Result<Vec<_>>>()?;
    all.iter().try_for_each(|one| one.screen(app))?;
    let (asking, catalogue) = (caller.clone(), app.catalogue);
    app.store.read(move |tx| all.iter().try_for_each(|one| one.plan(catalogue, tx, &asking).map(drop))).await
}

/// Registers several, all or none: a client's whole configuration. For people, who have agreed to the list.
pub async fn register_all(
    app: &App,
    caller: &Caller,
    all: Vec<RegisterConsumer>,
) -> Result<Vec<ConsumerAnswer>> {
    people_only(caller)?;
    let all = all.iter().map(|one| one.filled(app)).collect::<Result<Vec<_>>>()?;
    all.iter().try_for_each(|one| one.screen(app))?;
    let (asking, catalogue, servers) = (caller.clone(), app.catalogue, app.servers);
    let done = app
        .store
        .write(caller, move |tx| {
            let mut answers = Vec::with_capacity(all.len());
            let mut last = None;
            for one in &all {
                let (event, answer) = one.write(catalogue, servers, tx, &asking)?;
                if let Some(before) = last.replace(event) {
                    tx.note(before)?;
                }
                answers.push(answer);
            }
            let last = last.ok_or_else(|| crate::error::invalid("there is no consumer to register"))?;
            tx.record_step(last, answers)
        })
        .await;
    if let Err(e) = &done {
        refusal::remember(app, caller, Event::of(RegisterConsumer::NAME), e).await;
    }
    done
}
