//! Short hands on the test world, for operations that are run by themselves.
use crate::error::Result;
use crate::ids::{CredentialId, GrantId, TeamId, UserId};
use crate::model::Word;
use crate::model::access::{Caller, Door, Grant, GranteeKind, Level};
use crate::model::credential::{Credential, CredentialType, Environment, Scope, Source};
use crate::model::event::{AuditRow, Event, Outcome};
use crate::ops::Operation;
use crate::store::{AuditFilter, Writer};
use crate::testing::World;
use std::ops::Deref;

pub struct Place(World);

impl Deref for Place {
    type Target = World;
    fn deref(&self) -> &World {
        &self.0
    }
}

impl Place {
    /// See [`World`]: `ada` admin, `otto` auditor, `tess` owner of core, `max` owner of ops, `mia` member of both.
    pub async fn new() -> Self {
        Self(World::new().await)
    }

    /// A person of acme, or of the other org as `globex/ada`.
    pub fn caller(&self, login: &str, door: Door) -> Caller {
        let mut caller = match login.strip_prefix("globex/") {
            Some(login) => self.stranger(login),
            None => self.person(login),
        };
        caller.door = door;
        caller
    }
    pub fn user(&self, login: &str) -> UserId {
        self.caller(login, Door::Cli).user
    }
    pub fn team(&self, name: &str) -> TeamId {
        TeamId(self.0.team(name))
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
        let now = self.app.now();
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
        let write = move |tx: &mut Writer<'_>| {
            tx.insert(&mut c)?;
            tx.record_step(Event::of("create_credential").on(&c), c)
        };
        self.app.store.write(&caller, write).await.unwrap()
    }

    pub async fn bin(&self, c: &Credential) {
        let mut c = c.clone();
        c.deleted_at = Some(self.app.now());
        let write = move |tx: &mut Writer<'_>| {
            tx.save(&mut c)?;
            tx.record(Event::of("delete_credential").on(&c), ())
        };
        self.app.store.write(&self.person("ada"), write).await.unwrap();
    }

    pub async fn grant(&self, c: &Credential, kind: GranteeKind, holder: &str, level: Level) {
        let caller = self.person("ada");
        let mut grant = Grant {
            id: GrantId::fresh(),
            org_id: caller.org.clone(),
            credential_id: c.id.clone(),
            grantee_kind: kind,
            grantee_id: holder.into(),
            level,
            created_at: self.app.now(),
            created_by: caller.user.clone(),
            revision: 0,
        };
        let event = Event::of("share_credential").on(c);
        let write = move |tx: &mut Writer<'_>| {
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
        let outcome = Outcome::parse(if code.is_empty() { "ok" } else { "failed" }).expect("a word");
        let event = Event::of("use").on(c).ended(outcome, code);
        let (id, ok) = (c.id.clone(), code.is_empty());
        let write = move |tx: &mut Writer<'_>| {
            tx.count_use(&id, ok)?;
            tx.record(event, ())
        };
        self.app.store.write(&self.person(login), write).await.unwrap();
    }

    /// The newest event of acme.
    pub async fn last_event(&self) -> AuditRow {
        let org = self.org.clone();
        let newest = AuditFilter { sees_others: true, limit: 1, ..AuditFilter::default() };
        self.app.store.read(move |tx| tx.search_audit(&org, &newest)).await.unwrap().remove(0)
    }
}
