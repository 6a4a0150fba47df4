//! What is asked for, before anybody knows whether it is there.
use super::{HandOver, MOST, every_name};
use crate::error::{Code, Error, Result, internal, invalid};
use crate::ids::ConsumerId;
use crate::model::access::{Caller, Standing};
use crate::model::consumer::{Binding, BindingSource, Consumer, Delivery};
use crate::model::credential::Scope;
use crate::model::event::Event;
use crate::model::name::CredentialName;
use crate::model::resolution::Narrowing;
use crate::model::text::shown;
use crate::ops::consumer::{self, Found, host_of};
use crate::ops::credential::explain::{advice, own_team, resolve_for};
use crate::store::Reader;

/// Whom it is for.
#[derive(Clone)]
pub(super) enum Asked {
    Names(HandOver),
    /// What this consumer is bound to, and nothing else.
    Consumer {
        id: ConsumerId,
        scope: Scope,
        owner: String,
        command: String,
    },
    /// What goes into a header of the consumer's own address, for one message.
    Remote(Box<Consumer>, String),
}

/// One value that is wanted.
pub(super) struct Wish {
    pub name: String,
    narrowing: Narrowing,
    pub binding: Option<Binding>,
    consumer: Option<Consumer>,
}

impl Asked {
    pub fn command(&self) -> &str {
        match self {
            Self::Names(wanted) => &wanted.command,
            Self::Consumer { command, .. } => command,
            Self::Remote(..) => "",
        }
    }

    /// The event of a use, with what it is for.
    pub fn used(&self, event: Event) -> Event {
        match self {
            Self::Remote(c, operation) => {
                event.with("operation", operation.as_str()).with("host", host_of(&c.url))
            }
            _ => event.with("operation", "process").with("command", self.command()),
        }
    }

    /// What the values are sent to, as [`expect_kept`](crate::ops::echo::expect_kept) knows it; nothing where they stay
    /// on this machine.
    pub fn host(&self) -> Option<String> {
        match self {
            Self::Remote(c, _) => Some(host_of(&c.url)),
            Self::Names(_) | Self::Consumer { .. } => None,
        }
    }

    pub fn is_all(&self) -> bool {
        matches!(self, Self::Names(wanted) if wanted.all)
    }

    /// What is written down where it is refused. Of a personal consumer only its owner reads it.
    pub fn refusal(&self) -> Event {
        let (id, scope, owner) = match self {
            Self::Names(_) => return Event::of("use"),
            Self::Consumer { id, scope, owner, .. } => (id, *scope, owner),
            Self::Remote(c, _) => (&c.id, c.scope, &c.owner_id),
        };
        let mut event = Event::of("use").about("consumer", id.as_str(), "");
        event.object.scope = Some(scope);
        event.object.owner.clone_from(owner);
        event
    }

    /// The event of a start that hands nothing over, where that may be.
    pub fn started(&self) -> Result<Event> {
        match self {
            Self::Names(_) => Err(invalid("no credential is named")),
            Self::Consumer { command, .. } => {
                let event = self.refusal();
                Ok(Event { operation: "start_consumer".into(), ..event }.with("command", command.as_str()))
            }
            Self::Remote(..) => Err(internal("a message without a credential is nobody's use")),
        }
    }

    /// Every value that is wanted, as things stand in this transaction.
    pub fn wishes(&self, tx: &Reader<'_>, caller: &Caller, who: &Standing) -> Result<Vec<Wish>> {
        match self {
            Self::Names(wanted) => named(wanted, tx, caller, who),
            Self::Consumer { id, .. } => {
                let c = consumer::run_by(tx, caller, who, id.as_str())?;
                let mut bindings = tx.bindings(&caller.org, &c.id)?;
                bindings.retain(|b| b.source != BindingSource::Static && b.delivery != Delivery::Header);
                Ok(bindings.into_iter().map(|b| Wish::bound(c.clone(), b)).collect())
            }
            Self::Remote(agreed, _) => {
                let c = consumer::run_by(tx, caller, who, agreed.id.as_str())?;
                if c.url != agreed.url {
                    return Err(Error::new(Code::Changed, format!("{} has another address by now", c.name))
                        .next("Start it again in its client."));
                }
                let mut bindings = tx.bindings(&caller.org, &c.id)?;
                bindings.retain(|b| b.source != BindingSource::Static && b.header().is_some());
                Ok(bindings.into_iter().map(|b| Wish::bound(c.clone(), b)).collect())
            }
        }
    }
}

fn named(wanted: &HandOver, tx: &Reader<'_>, caller: &Caller, who: &Standing) -> Result<Vec<Wish>> {
    let team = match &wanted.team {
        Some(team) => Some(own_team(tx, caller, who, team)?),
        None => None,
    };
    let narrowing = Narrowing { account: wanted.account.clone(), environment: wanted.environment, team };
    let mut names = match wanted.all {
        true => every_name(tx, caller, who)?,
        false => wanted.names.clone(),
    };
    // A misspelt exception would hand over what was to be left out.
    let is_there = |except: &String| names.iter().any(|name| name.eq_ignore_ascii_case(except));
    if let Some(unknown) = wanted.except.iter().find(|except| !is_there(except)) {
        return Err(invalid(format!("{} is not among the credentials you may use", shown(unknown)))
            .next("Correct the name after --except: nothing was handed over."));
    }
    names.retain(|name| !wanted.except.iter().any(|other| other.eq_ignore_ascii_case(name)));
    if names.is_empty() {
        return Err(invalid("no credential is named")
            .next("Name some with `--only A,B`, write them into .unsaid.toml, or say `--all`."));
    }
    if names.len() > MOST {
        return Err(invalid(format!("at most {MOST} credentials go to one process")));
    }
    let wish = |name| Wish { name, narrowing: narrowing.clone(), binding: None, consumer: None };
    Ok(names.into_iter().map(wish).collect())
}

impl Wish {
    /// What `b` means for the consumer.
    pub fn bound(c: Consumer, b: Binding) -> Self {
        let name = b.wanted().to_owned();
        Self { name, narrowing: Narrowing::default(), binding: Some(b), consumer: Some(c) }
    }

    /// Resolves it for `who`.
    pub fn look(&self, tx: &Reader<'_>, caller: &Caller, who: &Standing) -> Result<Found> {
        if let (Some(b), Some(c)) = (&self.binding, &self.consumer) {
            return consumer::look(tx, caller, who, c, b);
        }
        let name = CredentialName::parse(&self.name)?;
        let (candidates, resolved) = resolve_for(tx, caller, who, name.as_str(), &self.narrowing)?;
        Ok(Found { candidates, resolved, narrowing: self.narrowing.clone() })
    }

    pub fn is_optional(&self) -> bool {
        self.binding.as_ref().is_some_and(|b| !b.is_required)
    }

    /// Why there is none.
    pub fn problem(&self, found: &Found) -> Error {
        if let Some(b) = &self.binding {
            return consumer::problem(b, found);
        }
        use crate::model::resolution::Problem as P;
        let (message, next) = advice(&self.name, &found.resolved, &found.narrowing);
        let code = match found.resolved.problem {
            Some(P::Ambiguous) => Code::AmbiguousName,
            Some(P::AmbiguousTeam) => Code::AmbiguousTeam,
            Some(P::Expired) => Code::CredentialExpired,
            Some(P::ValueMissing) => Code::ValueMissing,
            Some(P::ReauthRequired) => Code::ReauthRequired,
            Some(P::NotFound) | None => Code::Unresolved,
        };
        Error::new(code, message).next(next)
    }
}
