//! A vault of its own in a temporary folder, with two orgs and people of every role, and a clock that stands still.
//!
//! Used by the tests inside the library and by those of `tests/`.
use std::sync::Arc;
use tempfile::TempDir;
use unsaid::app::{App, org_key_record, slot_record, with_unlocking};
use unsaid::clock::{FixedClock, Millis};
use unsaid::config::{Config, File, Origin, Places};
use unsaid::error::{Error, Result};
use unsaid::ids::{OrgId, TeamId, UserId};
use unsaid::model::access::{Caller, Door};
use unsaid::model::event::Event;
use unsaid::model::org::{Membership, Org, Role, SharingPlan, Team, TeamRole, User};
use unsaid::ops::confirm::{Answer, Confirmer, NoOne, Question};
use unsaid::ops::credential::create::CreateCredential;
use unsaid::ops::credential::value::{Target, enter_value};
use unsaid::ops::{Limits, Reply, find_entry};
use unsaid::secret::SecretBytes;
use unsaid::store::Store;
use unsaid::vault::{NewSlot, Vault};

/// 2026-06-01T00:00:00Z.
pub const START: Millis = Millis(1_780_272_000_000);

pub struct World {
    pub app: Arc<App>,
    pub clock: Arc<FixedClock>,
    pub folder: TempDir,
    pub org: OrgId,
    pub other_org: OrgId,
}

/// Says yes to everything that a form asks, and to nothing that needs a person.
pub struct FormYes;

impl Confirmer for FormYes {
    fn form<'a>(&'a self, _: &'a Question) -> futures_util::future::BoxFuture<'a, Answer> {
        Box::pin(async { Answer::Yes })
    }
}

/// A person at the terminal who agrees.
pub struct PersonYes;

impl Confirmer for PersonYes {
    fn form<'a>(&'a self, _: &'a Question) -> futures_util::future::BoxFuture<'a, Answer> {
        Box::pin(async { Answer::Yes })
    }
    fn person<'a>(&'a self, _: &'a Question) -> futures_util::future::BoxFuture<'a, Answer> {
        Box::pin(async { Answer::Yes })
    }
}

fn caller_of(org: &OrgId, login: &str, door: Door) -> Caller {
    Caller::new(org.clone(), UserId(format!("user-{org}-{login}")), door)
}

/// The people: login, role.
pub const PEOPLE: [(&str, Role); 6] = [
    ("ada", Role::Admin),
    ("otto", Role::Auditor),
    ("tess", Role::Member),
    ("tom", Role::Member),
    ("mia", Role::Member),
    ("max", Role::Member),
];
/// Who is in which team: team, login, role.
pub const MEMBERS: [(&str, &str, TeamRole); 5] = [
    ("core", "tess", TeamRole::Owner),
    ("core", "tom", TeamRole::Admin),
    ("core", "mia", TeamRole::Member),
    ("ops", "max", TeamRole::Owner),
    ("ops", "mia", TeamRole::Member),
];

impl World {
    pub async fn new() -> Self {
        Self::with(File::default()).await
    }

    /// As [`World::new`], configured.
    pub async fn with(file: File) -> Self {
        Self::build(file).await.expect("a test vault can be made")
    }

    async fn build(file: File) -> Result<Self> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let home = folder.path().join("home");
        let config = Config {
            places: Places {
                data: home.join("data"),
                config: home.join("config"),
                keys: home.join("keys"),
                origin: Origin::Environment,
            },
            file,
        };
        let clock = Arc::new(FixedClock::at(START));
        let store = Store::create(&config.places.database(), clock.clone())?;
        let instance = unsaid::app::fresh_instance();
        let vault = Vault::create(&instance)?;
        let key_file = config.places.keys.join("root.key");
        let slot = with_unlocking(&config, None, |by| {
            vault.add_slot(NewSlot::File { path: key_file }, "key file", by, START)
        })?;
        let orgs = [OrgId::from("acme"), OrgId::from("globex")];
        let keys: Vec<_> = orgs.iter().map(|org| vault.new_org_key(org, 1, START)).collect::<Result<_>>()?;
        vault.load_org_keys(&keys)?;
        let app = Arc::new(App::assemble(config, store, clock.clone(), vault, instance.clone(), 1));
        let (slot, keys): (_, Vec<_>) = (slot_record(&slot.row), keys.iter().map(org_key_record).collect());
        for (i, org) in orgs.iter().enumerate() {
            let (slot, keys, instance, org_id) = (slot.clone(), keys.clone(), instance.clone(), org.clone());
            app.store
                .write(&caller_of(org, "ada", Door::System), move |tx| {
                    if i == 0 {
                        tx.set_meta("instance", &instance)?;
                        tx.save_slot(&slot)?;
                        keys.iter().try_for_each(|key| tx.save_org_key(key))?;
                        tx.bump_key_epoch()?;
                    }
                    tx.insert(&mut Org {
                        id: org_id.clone(),
                        name: org_id.0.clone(),
                        sharing_plan: SharingPlan::MultiTeam,
                        bin_days: 30,
                        warn_days: 14,
                        created_at: START,
                        revision: 0,
                    })?;
                    for (login, role) in PEOPLE {
                        tx.insert(&mut User {
                            id: UserId(format!("user-{org_id}-{login}")),
                            org_id: org_id.clone(),
                            login: login.into(),
                            display_name: login.to_uppercase(),
                            role,
                            created_at: START,
                            disabled_at: None,
                            revision: 0,
                        })?;
                    }
                    for team in ["core", "ops"] {
                        tx.insert(&mut Team {
                            id: TeamId(format!("team-{org_id}-{team}")),
                            org_id: org_id.clone(),
                            name: team.into(),
                            created_at: START,
                            deleted_at: None,
                            revision: 0,
                        })?;
                    }
                    for (team, login, role) in MEMBERS {
                        tx.insert(&mut Membership {
                            team_id: TeamId(format!("team-{org_id}-{team}")),
                            user_id: UserId(format!("user-{org_id}-{login}")),
                            org_id: org_id.clone(),
                            role,
                            created_at: START,
                            revision: 0,
                        })?;
                    }
                    tx.record(Event::of("init"), ())
                })
                .await?;
        }
        let [org, other_org] = orgs;
        Ok(Self { app, clock, folder, org, other_org })
    }

    /// A person of the first org, over stdio.
    pub fn caller(&self, login: &str) -> Caller {
        caller_of(&self.org, login, Door::Stdio)
    }
    /// A person of the first org, on the command line.
    pub fn person(&self, login: &str) -> Caller {
        caller_of(&self.org, login, Door::Cli)
    }
    /// A person of the other org.
    pub fn stranger(&self, login: &str) -> Caller {
        caller_of(&self.other_org, login, Door::Stdio)
    }
    pub fn team(&self, name: &str) -> String {
        format!("team-{}-{name}", self.org)
    }

    /// One call with a client that answers no question.
    pub async fn call(
        &self,
        caller: &Caller,
        name: &str,
        arguments: serde_json::Value,
    ) -> Result<serde_json::Value> {
        self.call_with(caller, name, arguments, &NoOne).await
    }

    pub async fn call_with(
        &self,
        caller: &Caller,
        name: &str,
        arguments: serde_json::Value,
        confirmer: &dyn Confirmer,
    ) -> Result<serde_json::Value> {
        let entry = find_entry(name).unwrap_or_else(|| panic!("there is no operation {name}"));
        let arguments = arguments.as_object().cloned().unwrap_or_default();
        match unsaid::ops::call(&self.app, caller, entry, &Limits::default(), arguments, confirmer).await? {
            Reply::Done(value) => Ok(value),
            Reply::AskFirst(question) => panic!("it asks first: {}", question.text()),
        }
    }

    /// The error of a call that must fail.
    pub async fn refused(&self, caller: &Caller, name: &str, arguments: serde_json::Value) -> Error {
        match self.call(caller, name, arguments).await {
            Err(e) => e,
            Ok(value) => panic!("{name} was not refused: {value}"),
        }
    }

    /// Makes an api_key with a value; `place` is `personal`, `org` or a team's name. Returns its id.
    pub async fn add(&self, login: &str, place: &str, name: &str, value: &str) -> String {
        self.add_as(&self.person(login), place, name, value).await
    }

    pub async fn add_as(&self, caller: &Caller, place: &str, name: &str, value: &str) -> String {
        let (scope, team) = match place {
            "personal" => (unsaid::model::credential::Scope::Personal, None),
            "org" => (unsaid::model::credential::Scope::Org, None),
            team => (unsaid::model::credential::Scope::Team, Some(team.to_owned())),
        };
        let create =
            CreateCredential { name: name.into(), scope: Some(scope), team, ..CreateCredential::default() };
        let values = vec![("value".to_owned(), SecretBytes::copied(value.as_bytes()))];
        let target = Target::New(Box::new(create));
        enter_value(&self.app, caller, target, values, String::new()).await.expect("the value is entered").id
    }

    /// The audit log of the first org, oldest first, as `operation outcome code`.
    pub async fn log(&self) -> Vec<String> {
        let org = self.org.clone();
        let rows =
            self.app.store.read(move |tx| tx.audit_after(&org, 0, 10_000)).await.expect("the log reads");
        rows.iter().map(|r| format!("{} {} {}", r.operation, r.outcome, r.code).trim().to_owned()).collect()
    }

    /// Whether the first org's chain is whole.
    pub async fn chain_is_whole(&self) -> bool {
        let org = self.org.clone();
        let verified =
            self.app.store.read(move |tx| tx.verify_audit(&org, None)).await.expect("the chain reads");
        verified.first_bad.is_none()
    }
}
