//! Two orgs in a vault of their own, for the tests of operations: `acme` with people of each role and two teams,
//! `other` with one admin and one team.
use super::{FirstAdmin, create_org};
use crate::app::App;
use crate::clock::{Clock, FixedClock, Millis};
use crate::config::{Config, File, Origin, Places};
use crate::error::Result;
use crate::ids::{CredentialId, GrantId, OrgId, TeamId, UserId};
use crate::model::Word;
use crate::model::access::{Caller, Door, Grant, GranteeKind, Level};
use crate::model::credential::{Credential, CredentialType, Environment, Scope, Source};
use crate::model::event::{AuditRow, Event};
use crate::model::org::{Membership, Role, Team, TeamRole, User};
use crate::model::text::DisplayName;
use crate::ops::Operation;
use crate::store::{AuditFilter, Store};
use crate::vault::Vault;
use std::sync::Arc;

/// Where the clock stands at the beginning.
pub const START: &str = "2027-01-31T12:00:00Z";

pub struct Place {
    pub app: App,
    pub clock: Arc<FixedClock>,
    _folder: tempfile::TempDir,
    users: Vec<(String, OrgId, UserId)>,
    teams: Vec<(String, TeamId)>,
}

impl Place {
    /// `ada` admin, `rea` auditor, `max`, `tom`, `mia` members; red: `tom` owner, `mia` member; blue: `max` owner.
    pub async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let start: Millis = START.parse().unwrap();
        let clock = Arc::new(FixedClock::at(start));
        let at = |name: &str| folder.path().join(name);
        let places =
            Places { data: at("data"), config: at("config"), keys: at("keys"), origin: Origin::Flag };
        let config = Config { places, file: File::default() };
        let store = Store::create(&config.places.database(), clock.clone() as Arc<dyn Clock>).unwrap();
        let instance = crate::app::fresh_instance();
        let vault = Vault::create(&instance).unwrap();
        let app = App::assemble(config, store, clock.clone() as Arc<dyn Clock>, vault, instance, 0);
        let mut world = Self { app, clock, _folder: folder, users: Vec::new(), teams: Vec::new() };
        world.org("Acme", "ada").await;
        world.org("Other", "zoe").await;
        for (login, role) in
            [("rea", Role::Auditor), ("max", Role::Member), ("tom", Role::Member), ("mia", Role::Member)]
        {
            world.add("ada", login, role).await;
        }
        world.make_team("ada", "red", &[("tom", TeamRole::Owner), ("mia", TeamRole::Member)]).await;
        world.make_team("ada", "blue", &[("max", TeamRole::Owner)]).await;
        world.make_team("zoe", "foreign", &[("zoe", TeamRole::Owner)]).await;
        world
    }

    async fn org(&mut self, name: &str, login: &str) {
        let admin = FirstAdmin { login: login.into(), display_name: None };
        let made = create_org(&self.app, DisplayName::parse(name).unwrap(), admin).await.unwrap();
        self.users.push((login.into(), made.org, made.admin));
    }

    async fn add(&mut self, by: &str, login: &str, role: Role) {
        let add = super::AddUser { login: login.into(), display_name: None, role: Some(role) };
        let row = self.run(by, Door::Cli, add).await.unwrap();
        let org = self.caller(by, Door::Cli).org;
        self.users.push((login.into(), org, row.id));
    }

    async fn make_team(&mut self, by: &str, name: &str, members: &[(&str, TeamRole)]) {
        let caller = self.caller(by, Door::Cli);
        let id = TeamId::fresh();
        let mut team = Team {
            id: id.clone(),
            org_id: caller.org.clone(),
            name: name.into(),
            created_at: self.clock.now(),
            deleted_at: None,
            revision: 0,
        };
        let mut rows: Vec<_> = members
            .iter()
            .map(|(login, role)| Membership {
                team_id: id.clone(),
                user_id: self.user(login),
                org_id: caller.org.clone(),
                role: *role,
                created_at: self.clock.now(),
                revision: 0,
            })
            .collect();
        self.app
            .store
            .write(&caller, move |tx| {
                tx.insert(&mut team)?;
                rows.iter_mut().try_for_each(|m| tx.insert(m))?;
                tx.record(Event::of("create_team"), ())
            })
            .await
            .unwrap();
        self.teams.push((name.into(), id));
    }

    pub fn caller(&self, login: &str, door: Door) -> Caller {
        let (_, org, user) = self.users.iter().find(|(l, _, _)| l == login).expect("somebody of this world");
        Caller::new(org.clone(), user.clone(), door)
    }
    pub fn user(&self, login: &str) -> UserId {
        self.caller(login, Door::Cli).user
    }
    pub fn team(&self, name: &str) -> TeamId {
        self.teams.iter().find(|(n, _)| n == name).expect("a team of this world").1.clone()
    }

    /// Runs `operation` as if confirmed.
    pub async fn run<O: Operation>(&self, login: &str, door: Door, operation: O) -> Result<O::Output> {
        operation.run(&self.app, &self.caller(login, door)).await
    }

    /// A credential without a value; `owner` is a login, a team's name, or nothing for the org.
    pub async fn credential(&self, name: &str, scope: Scope, owner: &str) -> Credential {
        self.credential_with(name, scope, owner, |_| {}).await
    }

    pub async fn credential_with(
        &self,
        name: &str,
        scope: Scope,
        owner: &str,
        change: impl FnOnce(&mut Credential),
    ) -> Credential {
        let caller = self.caller(if scope == Scope::Personal { owner } else { "ada" }, Door::Cli);
        let owner_id = match scope {
            Scope::Personal => self.user(owner).0,
            Scope::Team => self.team(owner).0,
            Scope::Org => caller.org.0.clone(),
        };
        let now = self.clock.now();
        let mut c = Credential {
            id: CredentialId::fresh(),
            org_id: caller.org.clone(),
            name: name.into(),
            name_key: name.to_uppercase(),
            kind: CredentialType::ApiKey,
            source: Source::Manual,
            scope,
            owner_id,
            service: String::new(),
            account: String::new(),
            environment: Environment::Any,
            description: String::new(),
            tags: Vec::new(),
            fields: Vec::new(),
            provider_id: None,
            expires_at: None,
            rotation_days: None,
            current_version: None,
            value_set_at: None,
            value_set_by: None,
            created_at: now,
            created_by: caller.user.clone(),
            updated_at: now,
            deleted_at: None,
            deleted_by: None,
            revision: 0,
        };
        change(&mut c);
        self.app
            .store
            .write(&caller, move |tx| {
                tx.insert(&mut c)?;
                tx.record_step(Event::of("create_credential").on(&c), c)
            })
            .await
            .unwrap()
    }

    pub async fn bin(&self, c: &Credential) {
        let mut c = c.clone();
        c.deleted_at = Some(self.clock.now());
        let write = move |tx: &mut crate::store::Writer<'_>| {
            tx.save(&mut c)?;
            tx.record(Event::of("delete_credential").on(&c), ())
        };
        self.app.store.write(&self.caller("ada", Door::Cli), write).await.unwrap();
    }

    pub async fn grant(&self, c: &Credential, kind: GranteeKind, holder: &str, level: Level) {
        let caller = self.caller("ada", Door::Cli);
        let mut grant = Grant {
            id: GrantId::fresh(),
            org_id: caller.org.clone(),
            credential_id: c.id.clone(),
            grantee_kind: kind,
            grantee_id: holder.into(),
            level,
            created_at: self.clock.now(),
            created_by: caller.user.clone(),
            revision: 0,
        };
        let event = Event::of("share_credential").on(c);
        let write = move |tx: &mut crate::store::Writer<'_>| {
            tx.insert(&mut grant)?;
            tx.record(event, ())
        };
        self.app.store.write(&caller, write).await.unwrap();
    }

    pub async fn grants(&self, c: &Credential) -> Vec<Grant> {
        let c = c.clone();
        self.app.store.read(move |tx| tx.grants_on(&c.org_id, &c.id)).await.unwrap()
    }

    /// One hand-over of `c`, as the log and the counters keep it.
    pub async fn used(&self, c: &Credential, login: &str, code: &str) {
        let outcome = crate::model::event::Outcome::parse(if code.is_empty() { "ok" } else { "failed" });
        let event = Event::of("use").on(c).ended(outcome.expect("a word"), code);
        let (id, ok) = (c.id.clone(), code.is_empty());
        let write = move |tx: &mut crate::store::Writer<'_>| {
            tx.count_use(&id, ok)?;
            tx.record(event, ())
        };
        self.app.store.write(&self.caller(login, Door::Cli), write).await.unwrap();
    }

    /// The newest event of acme.
    pub async fn last_event(&self) -> AuditRow {
        let org = self.caller("ada", Door::Cli).org;
        let newest = AuditFilter { sees_others: true, limit: 1, ..AuditFilter::default() };
        self.app.store.read(move |tx| tx.search_audit(&org, &newest)).await.unwrap().remove(0)
    }
}
