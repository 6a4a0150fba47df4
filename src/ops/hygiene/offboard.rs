//! `plan_offboarding`: all that a person could reach and used, what they know the most of first, with what to do.
//!
//! What they keep for themselves is in no plan: nobody else may know of it. It ends with their account.
use crate::app::App;
use crate::clock::Millis;
use crate::error::{Result, internal};
use crate::model::access::{Caller, GranteeKind, Standing, access};
use crate::model::connection::{Connection, ConnectionState};
use crate::model::consumer::Consumer;
use crate::model::credential::{Credential, Environment, Scope};
use crate::model::org::{Role, Team, TeamRole, User};
use crate::ops::{Effect, Operation, Permission, Toolset, page, reach};
use crate::store::{Place, Reader};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};

/// How much JSON the steps of a page hold, in bytes.
const BUDGET: usize = 18_000;

words! {
    /// What a step is about, in the order in which it is done.
    StepKind {
        /// The way in: it is closed first.
        Account = "account",
        Token = "token",
        Consumer = "consumer",
        Connection = "connection",
        Rotate = "rotate",
        Team = "team",
        Grant = "grant",
        Review = "review",
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanOffboarding {
    /// Id or login
    #[schemars(length(max = 80))]
    pub user: String,
    #[schemars(length(max = 200))]
    pub cursor: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct OffboardingPlan {
    pub user: String,
    pub login: String,
    pub disabled: bool,
    /// How many steps of each kind there are, on all pages.
    pub counts: BTreeMap<String, usize>,
    /// The most urgent first.
    pub steps: Vec<Step>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub next_cursor: Option<String>,
    pub notes: Vec<String>,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(inline)]
pub struct Step {
    #[schemars(with = "String")]
    pub step: StepKind,
    pub id: String,
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub scope: Option<Scope>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub owner: String,
    pub why: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub last_used_at: Option<Millis>,
    /// The tool to call, or the command.
    pub next: String,
    /// The lower, the more urgent within its kind.
    #[serde(skip)]
    risk: u32,
}

impl Operation for PlanOffboarding {
    const NAME: &'static str = "plan_offboarding";
    const TITLE: &'static str = "Plan an offboarding";
    const ABOUT: &'static str = "List all that a person who leaves could reach and used, most urgent first, and what to do for each. For admins.";
    const TOOLSET: Toolset = Toolset::Hygiene;
    const EFFECT: Effect = Effect::Reads;
    const NEEDS: Permission = Permission::Admin;
    const IDEMPOTENT: bool = true;
    type Output = OffboardingPlan;

    async fn run(self, app: &App, caller: &Caller) -> Result<OffboardingPlan> {
        let after = self.cursor.as_deref().map(page::read_mark).transpose()?;
        let caller = caller.clone();
        app.store
            .read(move |tx| {
                reach::admin(tx, &caller)?;
                let leaving = tx.user_named(&caller.org, self.user.trim())?;
                let mut steps = Leaver::read(tx, &caller, &leaving)?.steps(tx)?;
                steps.sort_by_cached_key(key);
                paged(&leaving, steps, after)
            })
            .await
    }
}

/// The order of a plan, as the mark of a page has it.
fn key(step: &Step) -> (String, String) {
    (format!("{}-{:03}", step.step as u8, step.risk), step.id.clone())
}

fn paged(leaving: &User, steps: Vec<Step>, after: Option<(String, String)>) -> Result<OffboardingPlan> {
    let mut plan = OffboardingPlan {
        user: leaving.id.0.clone(),
        login: leaving.login.clone(),
        disabled: leaving.disabled_at.is_some(),
        counts: BTreeMap::new(),
        steps: Vec::new(),
        next_cursor: None,
        notes: vec![
            "What they keep for themselves is in no plan: nobody else may know of it. It ends with their account, and `unsaid user erase` destroys it.".into(),
        ],
    };
    let (mut bytes, mut last) = (0, None);
    for step in steps {
        *plan.counts.entry(step.step.to_string()).or_default() += 1;
        let here = key(&step);
        if plan.next_cursor.is_some() || after.as_ref().is_some_and(|after| here <= *after) {
            continue;
        }
        bytes += serde_json::to_string(&step).map_err(|e| internal("a step is not JSON").because(e))?.len();
        if bytes > BUDGET && !plan.steps.is_empty() {
            plan.next_cursor.clone_from(&last);
            continue;
        }
        last = Some(page::mark(&here.0, &here.1));
        plan.steps.push(step);
    }
    Ok(plan)
}

/// What there is about somebody.
struct Leaver {
    user: User,
    standing: Standing,
    credentials: Vec<(Credential, Reach)>,
    teams: HashMap<String, Team>,
}

/// How somebody is bound up with one credential.
#[derive(Default)]
struct Reach {
    uses: bool,
    manages: bool,
    uses_counted: i64,
    last_at: Option<Millis>,
    /// They entered the value that is in use.
    entered: bool,
    grants: Vec<String>,
    connected: bool,
}

impl Leaver {
    fn read(tx: &Reader<'_>, caller: &Caller, user: &User) -> Result<Self> {
        let org = &caller.org;
        let memberships = tx.memberships_of(org, &user.id)?;
        let standing = Standing {
            user: user.id.clone(),
            login: user.login.clone(),
            role: user.role,
            teams: memberships.into_iter().map(|m| (m.team_id, m.role)).collect(),
            consumer: None,
        };
        let mut used: HashMap<String, (i64, Millis)> = HashMap::new();
        for u in tx.uses_by(org, &user.id)? {
            let (count, last) = used.entry(u.credential).or_insert((0, u.last_at));
            *count += u.ok;
            *last = (*last).max(u.last_at);
        }
        let held = tx.grants_held(org, &standing)?;
        let mut connected: HashMap<String, Connection> = HashMap::new();
        for c in tx.all::<Connection>(org)? {
            if c.connected_by == user.id
                && matches!(c.state, ConnectionState::Connected | ConnectionState::Broken)
            {
                connected.insert(c.credential_id.0.clone(), c);
            }
        }
        let mut credentials = Vec::new();
        tx.each_credential(org, &[Place::All(Scope::Team), Place::All(Scope::Org)], |c| {
            let mine: Vec<_> = held.iter().filter(|g| g.credential_id == c.id).cloned().collect();
            let may = access(&standing, &c, &mine);
            let (count, last) = used.get(c.id.as_str()).map_or((0, None), |(n, at)| (*n, Some(*at)));
            let reach = Reach {
                uses: may.uses,
                manages: may.manages,
                uses_counted: count,
                last_at: last.filter(|_| count > 0),
                entered: c.current_version.is_some() && c.value_set_by.as_ref() == Some(&user.id),
                grants: mine
                    .iter()
                    .filter(|g| g.grantee_kind == GranteeKind::User)
                    .map(|g| g.level.to_string())
                    .collect(),
                connected: connected.contains_key(c.id.as_str()),
            };
            if may.uses
                || may.manages
                || count > 0
                || reach.entered
                || !reach.grants.is_empty()
                || reach.connected
            {
                credentials.push((c, reach));
            }
            Ok(())
        })?;
        let teams = tx.all::<Team>(org)?.into_iter().map(|t| (t.id.0.clone(), t)).collect();
        Ok(Self { user: user.clone(), standing, credentials, teams })
    }

    fn steps(&self, tx: &Reader<'_>) -> Result<Vec<Step>> {
        let login = &self.user.login;
        let mut steps = Vec::new();
        if self.user.disabled_at.is_none() {
            let why = match self.user.role {
                Role::Member => "they can still call everything that they could".to_owned(),
                role => format!("they are an {role} of the org, and can still call everything"),
            };
            let next = format!(
                "A person runs `unsaid user disable {login}`: nothing of theirs is used from then on."
            );
            steps.push(step(StepKind::Account, 0, self.user.id.as_str(), login, why, next));
        }
        self.tokens(tx, &mut steps)?;
        self.consumers(tx, &mut steps)?;
        for (c, reach) in &self.credentials {
            self.about(c, reach, &mut steps);
        }
        for (id, role) in &self.standing.teams {
            let name = self.teams.get(id.as_str()).map_or("", |t| t.name.as_str());
            let keepers = tx.members(&self.user.org_id, id)?;
            let is_last = matches!(role, TeamRole::Owner | TeamRole::Admin)
                && !keepers.iter().any(|m| m.user_id != self.user.id && m.role != TeamRole::Member);
            let why = match is_last {
                true => format!("they are its only {role}: nobody else could keep its credentials"),
                false => format!("they are a {role} of it"),
            };
            let next = match is_last {
                true => format!(
                    "A person first makes somebody else an owner (`unsaid team`), then removes {login} from {name}."
                ),
                false => format!("A person removes {login} from {name} with `unsaid team`."),
            };
            steps.push(step(StepKind::Team, u32::from(!is_last), id.as_str(), name, why, next));
        }
        Ok(steps)
    }

    fn tokens(&self, tx: &Reader<'_>, steps: &mut Vec<Step>) -> Result<()> {
        for token in tx.tokens(&self.user.org_id, Some(&self.user.id))? {
            if !token.is_live(tx.now()) {
                continue;
            }
            let why = format!("a live token for {} until {}", token.purpose, token.expires_at);
            let next = format!("A person runs `unsaid token revoke {}`.", token.id);
            steps.push(step(StepKind::Token, 0, token.id.as_str(), &token.label, why, next));
        }
        Ok(())
    }

    /// Shared consumers that they made, or that they alone may run. Their own are theirs.
    fn consumers(&self, tx: &Reader<'_>, steps: &mut Vec<Step>) -> Result<()> {
        let me = format!("user:{}", self.user.id);
        for c in tx.all::<Consumer>(&self.user.org_id)? {
            if c.deleted_at.is_some() || c.scope == Scope::Personal {
                continue;
            }
            let runs = c.run_by.contains(&me);
            let (risk, why) = match (runs, c.created_by == self.user.id) {
                (true, _) if c.run_by.len() == 1 => (0, "they alone may run it"),
                (true, _) => (1, "they are one of those who may run it"),
                (false, true) => (2, "they registered it"),
                (false, false) => continue,
            };
            let next = match risk {
                2 => format!(
                    "Call get_consumer with consumer {}: ask whether its command and bindings are still right.",
                    c.id
                ),
                _ => format!(
                    "Call update_consumer with consumer {} and run_by without {}.",
                    c.id, self.user.login
                ),
            };
            let mut one = step(StepKind::Consumer, risk, c.id.as_str(), &c.name, why.into(), next);
            one.scope = Some(c.scope);
            one.owner = self.owner(c.scope, &c.owner_id);
            steps.push(one);
        }
        Ok(())
    }

    fn owner(&self, scope: Scope, id: &str) -> String {
        match scope {
            Scope::Team => self.teams.get(id).map(|t| t.name.clone()).unwrap_or_default(),
            _ => String::new(),
        }
    }

    /// What is to be done about one credential: one step, and one for each grant.
    fn about(&self, c: &Credential, reach: &Reach, steps: &mut Vec<Step>) {
        let login = &self.user.login;
        let of = |kind, risk: u32, why: String, next: String| Step {
            scope: Some(c.scope),
            owner: self.owner(c.scope, &c.owner_id),
            last_used_at: reach.last_at,
            ..step(kind, risk, c.id.as_str(), &c.label(), why, next)
        };
        // The same value as when they last had it in a process of theirs.
        let had_it = reach.last_at.is_some_and(|last| c.value_set_at.is_none_or(|set| set <= last));
        let place = match (c.environment, c.scope) {
            (Environment::Prod, _) => 0,
            (_, Scope::Org) => 1,
            _ => 2,
        };
        if reach.connected {
            let why = "it acts as the account that they connected".to_owned();
            let next = format!(
                "Call disconnect_credential with credential {}, then connect_credential as somebody who stays.",
                c.id
            );
            steps.push(of(StepKind::Connection, place, why, next));
        } else if reach.entered || had_it {
            let (risk, why) = match (reach.entered, had_it) {
                (true, _) => (place, "they entered the value that is in use, and may know it"),
                (false, _) => (10 + place, "a program of theirs was given the value that is in use"),
            };
            let next = format!("Call get_rotation_guide with credential {}, and replace its value.", c.id);
            steps.push(of(StepKind::Rotate, risk, why.into(), next));
        } else if reach.uses_counted > 0 {
            let why = "they used it, and its value was replaced since".to_owned();
            steps.push(of(StepKind::Review, 10 + place, why, "Nothing is to be done.".into()));
        } else if reach.uses || reach.manages {
            let why = match reach.manages {
                true => "they could replace and delete it, and never used it",
                false => "they could use it, and never did",
            };
            steps.push(of(
                StepKind::Review,
                20 + place,
                why.into(),
                "Nothing is to be done: it ends with their account.".into(),
            ));
        }
        if !reach.grants.is_empty() {
            let why = format!("granted to them by name: {}", reach.grants.join(", "));
            let next = format!("Call unshare_credential with credential {} and user {login}.", c.id);
            steps.push(of(StepKind::Grant, place, why, next));
        }
    }
}

fn step(kind: StepKind, risk: u32, id: &str, name: &str, why: String, next: String) -> Step {
    Step {
        step: kind,
        id: id.to_owned(),
        name: name.to_owned(),
        scope: None,
        owner: String::new(),
        why,
        last_used_at: None,
        next,
        risk,
    }
}
