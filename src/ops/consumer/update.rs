//! `update_consumer`: one thing at a time or all at once; what is not named stays as it is.
use super::given::{GivenBinding, command, expect_address, expect_one_a_service, parse_all, remote, screen};
use super::register::answer;
use super::{ConsumerAnswer, about, logged, managed, parse_runners, runners, sent_to, shown_command, told};
use crate::app::App;
use crate::error::{Code, Error, Result, invalid};
use crate::model::access::{Caller, Standing};
use crate::model::consumer::{Binding, BindingSource, Consumer, MOST_BINDINGS, parse_name};
use crate::model::text::{Description, Reason, clean};
use crate::ops::confirm::{Confirm, Question};
use crate::ops::{Effect, Operation, Permission, Toolset};
use crate::services::Catalogue;
use crate::store::Reader;
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateConsumer {
    /// Id or name
    #[schemars(length(min = 1, max = 80))]
    pub consumer: String,
    #[schemars(length(max = 64))]
    pub new_name: Option<String>,
    pub description: Option<Description>,
    /// Empty: none
    #[schemars(length(max = 80))]
    pub stack: Option<String>,
    /// Replaces all; empty: everybody of its scope
    #[schemars(length(max = 20), inner(length(max = 80)))]
    pub run_by: Option<Vec<String>>,
    #[schemars(length(max = 64), inner(length(max = 1000)))]
    pub command: Option<Vec<String>>,
    #[schemars(length(max = 500))]
    pub url: Option<String>,
    /// As for register_consumer; adds these or replaces those of the same variable, others stay
    #[schemars(length(max = 40))]
    pub set_bindings: Option<Vec<GivenBinding>>,
    /// Variables
    #[schemars(length(max = 40), inner(length(max = 64)))]
    pub remove_bindings: Option<Vec<String>>,
    pub reason: Option<Reason>,
}

struct Plan {
    who: Standing,
    before: Consumer,
    after: Consumer,
    set: Vec<Binding>,
    /// Those of `set` that are there already, as they are.
    replaced: Vec<Binding>,
    removed: Vec<Binding>,
    /// More people may run it than before.
    widens: bool,
    /// Which credentials go to which host from then on.
    sent_to: Option<String>,
}

impl Plan {
    /// Something else is started, or something else goes where it starts: by its name clients start it.
    fn redirects(&self) -> bool {
        let (a, b) = (&self.before, &self.after);
        !self.set.is_empty() || a.command != b.command || a.url != b.url || a.name != b.name || self.widens
            // What is left of the secrets may go elsewhere without it: a base address, a proxy.
            || self.removed.iter().any(|b| b.source == BindingSource::Static)
    }
}

impl UpdateConsumer {
    fn screen(&self, app: &App) -> Result<()> {
        let (bindings, command) = (self.set_bindings.as_deref(), self.command.as_deref());
        let url = self.url.as_deref().unwrap_or_default();
        screen(app, bindings.unwrap_or_default(), command.unwrap_or_default(), url)
    }

    fn plan(&self, catalogue: &Catalogue, tx: &Reader<'_>, caller: &Caller) -> Result<Plan> {
        let (who, before) = managed(tx, caller, &self.consumer)?;
        let mut after = before.clone();
        if let Some(name) = &self.new_name {
            after.name = parse_name(name)?;
            after.name_key = after.name.to_ascii_lowercase();
            let taken = tx.consumers_named(&caller.org, &after.name_key)?;
            if taken
                .iter()
                .any(|c| c.id != after.id && c.scope == after.scope && c.owner_id == after.owner_id)
            {
                return Err(Error::new(
                    Code::AlreadyExists,
                    format!("there is a consumer {} here already", after.name),
                ));
            }
        }
        if let Some(description) = &self.description {
            after.description = description.as_str().to_owned();
        }
        if let Some(stack) = &self.stack {
            let stack = clean(stack);
            if stack.chars().count() > 80 {
                return Err(invalid("a stack's name has at most 80 characters"));
            }
            after.stack = stack;
        }
        if let Some(runners) = &self.run_by {
            after.run_by = parse_runners(tx, &caller.org, runners)?;
        }
        if let Some(words) = &self.command {
            after.command = command(words)?;
        }
        if let Some(url) = &self.url {
            after.url = remote(url)?;
        }
        let have = tx.bindings(&caller.org, &before.id)?;
        let mut set = parse_all(
            catalogue,
            tx,
            caller,
            &who,
            &before.id,
            self.set_bindings.as_deref().unwrap_or_default(),
        )?;
        let mut replaced = Vec::new();
        let same = |a: &str, b: &str| a.eq_ignore_ascii_case(b);
        for new in &mut set {
            if let Some(old) = have.iter().find(|old| same(&old.variable, &new.variable)) {
                new.revision = old.revision;
                new.created_at = old.created_at;
                new.created_by = old.created_by.clone();
                new.variable.clone_from(&old.variable);
                replaced.push(old.clone());
            }
        }
        set.retain(|new| !replaced.contains(new));
        replaced.retain(|old: &Binding| set.iter().any(|new| new.variable == old.variable));
        let mut removed = Vec::new();
        for variable in self.remove_bindings.iter().flatten() {
            let Some(old) = have.iter().find(|old| same(&old.variable, variable.trim())) else {
                return Err(invalid(format!("{} has no such binding to remove", before.name))
                    .next("Call get_consumer to see its bindings."));
            };
            if set.iter().any(|new| same(&new.variable, &old.variable)) {
                return Err(invalid(format!("{} is set and removed at once", old.variable)));
            }
            if !removed.contains(old) {
                removed.push(old.clone());
            }
        }
        let is_kept =
            |old: &&Binding| !removed.contains(*old) && !set.iter().any(|new| new.variable == old.variable);
        let after_all: Vec<_> = have.iter().filter(is_kept).chain(&set).collect();
        expect_one_a_service(after_all.iter().copied())?;
        expect_address(&after.url, after_all.iter().copied())?;
        let sent_to = sent_to(&after.url, after_all.iter().copied());
        if after_all.len() > MOST_BINDINGS {
            return Err(invalid(format!("a consumer has at most {MOST_BINDINGS} bindings")));
        }
        if after == before && set.is_empty() && removed.is_empty() {
            return Err(Error::new(Code::NothingToDo, format!("{} is that way already", before.name)));
        }
        let widens = !before.run_by.is_empty()
            && (after.run_by.is_empty() || after.run_by.iter().any(|one| !before.run_by.contains(one)));
        Ok(Plan { who, before, after, set, replaced, removed, widens, sent_to })
    }

    fn confirmation(&self, tx: &Reader<'_>, plan: &Plan) -> Result<Confirm> {
        let question = self.question(tx, plan)?;
        Ok(match (plan.redirects(), plan.removed.is_empty()) {
            (true, _) => Confirm::Person(question),
            (false, false) => Confirm::Form(question),
            (false, true) => Confirm::Nothing,
        })
    }

    fn question(&self, tx: &Reader<'_>, plan: &Plan) -> Result<Question> {
        let (before, after) = (&plan.before, &plan.after);
        let mut impact = Vec::new();
        for (what, a, b) in [
            ("name", &before.name, &after.name),
            ("description", &before.description, &after.description),
            ("stack", &before.stack, &after.stack),
        ] {
            if a != b {
                impact.push(format!("{what} before: {a}"));
                impact.push(format!("{what} after: {b}"));
            }
        }
        if plan.after.command != plan.before.command {
            impact.push(format!("runs before: {}", shown_command(&plan.before.command)));
            impact.push(format!("runs after: {}", shown_command(&plan.after.command)));
        }
        if plan.after.url != plan.before.url {
            impact.push(format!("talks to before: {}", plan.before.url));
            impact.push(format!("talks to after: {}", plan.after.url));
        }
        for new in &plan.set {
            if let Some(old) = plan.replaced.iter().find(|old| old.variable == new.variable) {
                impact.push(format!("before: {}", told(tx, old)?));
            }
            impact.push(format!("gets: {}", told(tx, new)?));
        }
        if plan.redirects() {
            impact.extend(plan.sent_to.clone());
        }
        impact.extend(plan.removed.iter().map(|b| format!("no longer gets: {}", b.variable)));
        if before.run_by != after.run_by {
            impact.push(format!("run by before: {}", runners(tx, before)));
            impact.push(format!("run by after: {}", runners(tx, after)));
        }
        Ok(Question {
            summary: format!("change the consumer {} ({})", plan.before.name, plan.before.scope),
            impact,
            reason: self.reason.as_ref().map_or(String::new(), |reason| reason.as_str().to_owned()),
            pins: vec![("consumer", plan.before.id.0.clone())],
        })
    }
}

impl Operation for UpdateConsumer {
    const NAME: &'static str = "update_consumer";
    const TITLE: &'static str = "Change a consumer";
    const ABOUT: &'static str = "Change a consumer or its bindings, one by one or all at once; the others stay. A person approves where secrets go.";
    const TOOLSET: Toolset = Toolset::Consumers;
    const EFFECT: Effect = Effect::Redirects;
    const NEEDS: Permission = Permission::ManagePlace;
    const IDEMPOTENT: bool = true;
    type Output = ConsumerAnswer;

    async fn confirm(&self, app: &App, caller: &Caller) -> Result<Confirm> {
        self.screen(app)?;
        let (asking, input, catalogue) = (caller.clone(), self.clone(), app.catalogue);
        app.store
            .read(move |tx| {
                let plan = input.plan(catalogue, tx, &asking)?;
                input.confirmation(tx, &plan)
            })
            .await
    }

    async fn run(self, app: &App, caller: &Caller) -> Result<ConsumerAnswer> {
        self.screen(app)?;
        let (asking, catalogue, servers) = (caller.clone(), app.catalogue, app.servers);
        app.store
            .write(caller, move |tx| {
                let plan = self.plan(catalogue, tx, &asking)?;
                self.confirmation(tx, &plan)?.expect_agreed(&asking)?;
                let mut c = plan.after;
                c.updated_at = tx.now();
                tx.save(&mut c)?;
                for old in &plan.removed {
                    tx.remove::<Binding>(&[c.id.as_str(), &old.variable])?;
                }
                let set = plan.set.iter().map(|b| logged(tx, b)).collect::<Result<Vec<_>>>()?;
                let replaced = plan.replaced.iter().map(|b| logged(tx, b)).collect::<Result<Vec<_>>>()?;
                for mut new in plan.set {
                    match new.revision {
                        0 => tx.insert(&mut new)?,
                        _ => tx.save(&mut new)?,
                    }
                }
                let event = about(Self::NAME, &c)
                    .because(self.reason.as_ref().map_or("", Reason::as_str))
                    .with("set", set)
                    .with("replaced", replaced)
                    .with("removed", plan.removed.iter().map(|b| b.variable.clone()).collect::<Vec<_>>())
                    .with("command", c.command.first().cloned().unwrap_or_default())
                    .with("url", c.url.clone());
                let bindings = tx.bindings(&c.org_id, &c.id)?;
                let answer = answer(servers, tx, &asking, &plan.who, &c, &bindings)?;
                tx.record(event, answer)
            })
            .await
    }
}
