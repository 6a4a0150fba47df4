//! Whether everything that a consumer needs is there, for one person; which value would win, and why.
use super::hints::{Hints, Unset, how_to_set};
use super::resolve::{self, look};
use crate::error::{Code, Result};
use crate::model::access::{Caller, Standing};
use crate::model::consumer::{Binding, BindingSource, Consumer, Delivery};
use crate::model::credential::{Environment, Scope};
use crate::model::resolution::Considered;
use crate::ops::echo::expect_kept;
use crate::store::Reader;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

words! {
    /// How a binding stands.
    BindingState {
        Ready = "ready",
        /// Plain text.
        Plain = "plain",
        Missing = "missing",
        ValueMissing = "value_missing",
        Expired = "expired",
        Ambiguous = "ambiguous",
        ReauthRequired = "reauth_required",
        NotAllowed = "not_allowed",
    }
}

/// One binding with how it stands.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct BindingCheck {
    pub variable: String,
    pub source: BindingSource,
    /// Name or id that it looks for.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub credential: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub team: String,
    /// Which one is looked for; told, and left out of the schema, which every model reads.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(skip)]
    pub account: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(skip)]
    pub environment: Option<Environment>,
    pub delivery: Delivery,
    pub required: bool,
    pub state: BindingState,
    /// Id of what would be handed over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub winner: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<Scope>,
    pub why: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub runners_up: Vec<Considered>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// Where the broker sends it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(skip)]
    pub service: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub next: String,
    /// What it is and where it is found, as the server's definition says, where it is missing.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(skip)]
    pub about: String,
}

/// All of a consumer's bindings.
pub struct Checked {
    pub bindings: Vec<BindingCheck>,
    /// Nothing that is required is missing, and nothing that is there is in the way.
    pub ready: bool,
    /// How many are in the way.
    pub in_the_way: usize,
    pub next: Vec<String>,
    /// What its server takes besides.
    pub unset: Vec<Unset>,
}

impl Checked {
    /// How the whole of it stands, after the consumer's name.
    pub fn told(&self) -> String {
        let count =
            |state: fn(&BindingState) -> bool| self.bindings.iter().filter(|b| state(&b.state)).count();
        let handed = count(|s| *s == BindingState::Ready);
        let lacking = count(|s| matches!(s, BindingState::Missing | BindingState::ValueMissing));
        match (self.ready, self.bindings.len(), lacking) {
            (_, 0, _) => "is bound to nothing, and gets nothing".to_owned(),
            (true, 1, 0) => "is ready: one binding".to_owned(),
            (true, n, 0) => format!("is ready: {n} bindings"),
            (true, _, lacking) if handed == 0 => {
                format!("starts without a credential: {lacking} are optional, and none of them is there")
            }
            (true, n, lacking) => format!("is ready: {n} bindings, {lacking} of them optional and not there"),
            (false, n, _) => format!("is not ready: {} of {n} bindings need something", self.in_the_way),
        }
    }
}

/// How many runners-up are told of each, where there are few bindings: an answer stays below 24 kB.
const RUNNERS_UP: usize = 3;
const FEW: usize = 10;
/// How many next steps are told.
const STEPS: usize = 10;

/// Looks at every binding as `who`. `is_oneself`: what is personal may be told.
pub fn check(
    tx: &Reader<'_>,
    caller: &Caller,
    who: &Standing,
    c: &Consumer,
    bindings: &[Binding],
    hints: &Hints,
    is_oneself: bool,
) -> Result<Checked> {
    let mut checked =
        Checked { bindings: Vec::new(), ready: true, in_the_way: 0, next: Vec::new(), unset: Vec::new() };
    let who = Standing { consumer: Some(c.id.0.clone()), ..who.clone() };
    for b in bindings {
        let mut one = check_one(tx, caller, &who, c, b, is_oneself)?;
        if matches!(one.state, BindingState::Missing | BindingState::ValueMissing) {
            one.about = hints.about(&b.variable).unwrap_or_default();
        }
        if bindings.len() > FEW {
            one.runners_up.clear();
        }
        let is_in_the_way = match one.state {
            BindingState::Ready | BindingState::Plain => false,
            BindingState::Missing | BindingState::ValueMissing => b.is_required,
            _ => true,
        };
        if is_in_the_way {
            checked.ready = false;
            checked.in_the_way += 1;
            if !one.next.is_empty() && !checked.next.contains(&one.next) && checked.next.len() < STEPS {
                checked.next.push(one.next.clone());
            }
        }
        checked.bindings.push(one);
    }
    checked.unset = hints.besides(bindings);
    checked.next.extend(how_to_set(c, &checked.unset));
    Ok(checked)
}

/// Where what is bound to a header goes: to the service, by way of the broker, or to the consumer's own address.
fn sent_to(c: &Consumer, b: &Binding) -> String {
    if b.is_brokered() { b.service.clone() } else { super::host_of(&c.url) }
}

fn check_one(
    tx: &Reader<'_>,
    caller: &Caller,
    who: &Standing,
    c: &Consumer,
    b: &Binding,
    is_oneself: bool,
) -> Result<BindingCheck> {
    let mut one = BindingCheck {
        variable: b.variable.clone(),
        source: b.source,
        credential: if b.source == BindingSource::Static { String::new() } else { b.wanted().to_owned() },
        team: match (b.source, b.team_id.is_empty(), c.scope) {
            (BindingSource::TeamSecret, true, Scope::Team) => c.owner_id.clone(),
            _ => b.team_id.clone(),
        },
        account: b.account.clone(),
        environment: b.environment,
        delivery: b.delivery,
        required: b.is_required,
        state: BindingState::Plain,
        winner: None,
        scope: None,
        why: String::new(),
        runners_up: Vec::new(),
        text: b.text.clone(),
        service: b.service.clone(),
        methods: b.methods.clone(),
        paths: b.paths.clone(),
        next: String::new(),
        about: String::new(),
    };
    if b.source == BindingSource::Static {
        one.why = "plain configuration".into();
        return Ok(one);
    }
    if !is_oneself && b.source == BindingSource::UserSecret {
        one.state = BindingState::Missing;
        one.why = "whether they have a value of their own is theirs to know".into();
        one.next = format!("Ask them to look: get_consumer, or `unsaid consumer show {}`.", c.name);
        return Ok(one);
    }
    let mut found = look(tx, caller, who, c, b)?;
    if !is_oneself {
        // What is personal to somebody else does not exist here; of their teams and org it is as they have it.
        let kept: Vec<_> = found.candidates.iter().map(|c| c.scope != Scope::Personal).collect();
        if kept.contains(&false) {
            let mut candidates = std::mem::take(&mut found.candidates);
            candidates.retain(|c| c.scope != Scope::Personal);
            let may_use = candidates
                .iter()
                .map(|c| Ok(crate::model::access::access(who, c, &tx.grants_on(&caller.org, &c.id)?).uses))
                .collect::<Result<Vec<_>>>()?;
            found.resolved =
                crate::model::resolution::resolve(&candidates, &may_use, &found.narrowing, tx.now());
            found.candidates = candidates;
        }
    }
    one.runners_up = found
        .resolved
        .considered
        .iter()
        .filter(|c| c.verdict != crate::model::resolution::Verdict::Wins)
        .take(RUNNERS_UP)
        .cloned()
        .collect();
    if let Some(winner) = found.winner() {
        one.state = BindingState::Ready;
        one.winner = Some(winner.id.0.clone());
        one.scope = Some(winner.scope);
        one.why = format!(
            "{} of {}",
            winner.label(),
            match winner.scope {
                Scope::Personal => "yours".to_owned(),
                Scope::Team => "the team".to_owned(),
                Scope::Org => "the org".to_owned(),
            }
        );
        if !is_oneself && b.source == BindingSource::Auto {
            one.why.push_str("; a personal value of theirs would win, if they have one");
        }
        if !b.field.is_empty() && !winner.field_specs().iter().any(|f| f.name == b.field) {
            one.state = BindingState::ValueMissing;
            one.why = format!("{} has no field {}", winner.name, b.field);
            one.next = format!(
                "Name one of its fields with update_consumer, or leave field out for {}.",
                b.variable
            );
        } else if b.delivery == Delivery::Header
            && let Err(e) = expect_kept(tx, winner, &sent_to(c, b))
        {
            one.state = BindingState::NotAllowed;
            one.why = e.message().to_owned();
            one.next = e.next_step().to_owned();
        }
        return Ok(one);
    }
    let e = resolve::problem(b, &found);
    one.state = match e.code {
        Code::AmbiguousName | Code::AmbiguousTeam => BindingState::Ambiguous,
        Code::CredentialExpired => BindingState::Expired,
        Code::ValueMissing => BindingState::ValueMissing,
        Code::ReauthRequired => BindingState::ReauthRequired,
        Code::NotAllowed => BindingState::NotAllowed,
        _ => BindingState::Missing,
    };
    one.why = match is_oneself {
        true => e.message().to_owned(),
        false => of_somebody_else(e.message()),
    };
    one.next = match one.state {
        BindingState::Missing => resolve::add(b, &one.team),
        _ => e.next_step().to_owned(),
    };
    Ok(one)
}

/// What is said to whoever it is about, as it is told to somebody else.
fn of_somebody_else(text: &str) -> String {
    text.replace("that you may use", "that they may use")
        .replace("and you may not", "and they may not")
        .replace("two of your teams", "two of their teams")
}
