//! Rotations against a service of our own, which takes what it has been told and nothing else.
mod campaigns;
mod ends;
mod ours;
mod probing;
mod property;
mod steps;

use crate::app::App;
use crate::error::{Error, Result};
use crate::ids::CredentialId;
use crate::model::credential::{Credential, Stage, Version};
use crate::model::rotation::Finding;
use crate::ops::credential::create::CreateCredential;
use crate::ops::credential::sealing::open_fields;
use crate::ops::credential::value::{Entered, Target, enter_value};
use crate::rotation::{Call, Created, Driver, Drivers, Ended, Fields, Made, Makes, Tested};
use crate::secret::SecretBytes;
use crate::testing::{PersonYes, World};
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// Old and new work side by side there, by the catalogue.
pub const SIDE_BY_SIDE: &str = "stripe";
/// The old one stops when the new one is made.
pub const ONE_ONLY: &str = "telegram";

#[derive(Default)]
struct State {
    /// What it takes, and whose it is.
    alive: BTreeMap<String, String>,
    made: usize,
    is_down: bool,
    /// Its next call that changes something happens, and is never answered.
    is_cut_off: bool,
    /// It is asked through pages alone: it makes and revokes nothing by itself.
    is_manual: bool,
    /// It is told values of ours, and makes none.
    is_told: bool,
    /// What it does with the next ones.
    hears: Hears,
    /// With whose rights it is told.
    admin: Option<CredentialId>,
    /// Its driver has no test of its own: the catalogue's counts.
    has_no_test: bool,
    /// How often it was asked to end a value.
    ended: usize,
    /// With which rights it was told each.
    told_by: Vec<Option<String>>,
}

/// How a service that is told a value goes about it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hears {
    #[default]
    Takes,
    Refuses,
    /// It surely does nothing, and its driver says why; with the value in its words.
    Fails {
        with_value: bool,
    },
    /// The answer is lost.
    Loses {
        but_takes: bool,
    },
    /// Its driver finds no way to make a value.
    Cannot,
    /// It takes it at once, and its answer is lost much later.
    TakesLong,
}

/// A service that is simulated.
pub struct Service {
    overlaps: bool,
    state: Mutex<State>,
    /// What it was slow to answer is answered.
    answers: tokio::sync::Notify,
}

impl Service {
    pub fn new(overlaps: bool, is_manual: bool) -> Arc<Self> {
        let state = Mutex::new(State { is_manual, ..State::default() });
        Arc::new(Self { overlaps, state, answers: tokio::sync::Notify::new() })
    }

    fn with<T>(&self, what: impl FnOnce(&mut State) -> T) -> T {
        what(&mut self.state.lock().unwrap_or_else(|e| e.into_inner()))
    }

    /// A new value, made on its page.
    pub fn make(&self, account: &str) -> String {
        self.with(|s| {
            s.made += 1;
            let text = format!("made-{}", s.made);
            if !self.overlaps {
                s.alive.clear();
            }
            s.alive.insert(text.clone(), account.to_owned());
            text
        })
    }
    pub fn end(&self, text: &str) {
        self.with(|s| s.alive.remove(text));
    }
    pub fn takes(&self, text: &str) -> bool {
        self.with(|s| s.alive.contains_key(text))
    }
    pub fn is_down(&self, is_down: bool) {
        self.with(|s| s.is_down = is_down);
    }
    /// From here on it is told values of ours.
    pub fn is_told(&self, hears: Hears) {
        self.with(|s| (s.is_told, s.hears) = (true, hears));
    }
    /// How often it was told one, and with whose rights.
    pub fn told_by(&self) -> Vec<Option<String>> {
        self.with(|s| s.told_by.clone())
    }
    pub fn cut_off(&self, is_cut_off: bool) {
        self.with(|s| s.is_cut_off = is_cut_off);
    }
}

pub fn text_of(fields: &Fields) -> String {
    fields[0].1.expose(|bytes| String::from_utf8_lossy(bytes).into_owned())
}

impl Driver for Service {
    fn name(&self) -> &'static str {
        "simulated"
    }
    fn makes(&self) -> Makes {
        match self.with(|s| (s.is_manual, s.is_told)) {
            (true, _) => Makes::Nobody,
            (false, true) => Makes::Us,
            (false, false) => Makes::Service,
        }
    }
    fn admin(&self, _: &Credential) -> Option<CredentialId> {
        self.with(|s| s.admin.clone())
    }
    fn overlaps(&self, _: &Credential) -> Option<bool> {
        Some(self.overlaps)
    }
    fn revokes(&self) -> bool {
        !self.with(|s| s.is_manual)
    }
    fn tests(&self) -> bool {
        !self.with(|s| s.has_no_test)
    }
    fn create<'a>(&'a self, _: Call<'a>) -> BoxFuture<'a, Result<Created>> {
        Box::pin(async move {
            if self.with(|s| s.is_down) {
                return Err(Error::new(crate::error::Code::Unreachable, "it is down"));
            }
            let text = self.make("acme");
            if self.with(|s| s.is_cut_off) {
                std::future::pending::<()>().await;
            }
            if self.with(|s| matches!(s.hears, Hears::Loses { .. })) {
                return Ok(Created::Unsure);
            }
            Ok(Created::Made(Made { fields: vec![("value".into(), SecretBytes::copied(text.as_bytes()))] }))
        })
    }
    fn invent(&self, call: Call<'_>) -> Result<Made> {
        if self.with(|s| s.hears == Hears::Cannot) {
            let old = text_of(call.old);
            return Err(crate::error::invalid(format!(
                "which of its fields is the password is not clear: {old}"
            )));
        }
        let text = self.with(|s| {
            s.made += 1;
            format!("ours-{}", s.made)
        });
        Ok(Made { fields: vec![("value".into(), SecretBytes::copied(text.as_bytes()))] })
    }
    fn set<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, Result<Ended>> {
        Box::pin(async move {
            if self.with(|s| s.is_down) {
                return Err(Error::new(crate::error::Code::Unreachable, "it is down"));
            }
            let (old, new) = (text_of(call.old), text_of(call.new.unwrap()));
            let by = call.admin.map(|(_, fields)| text_of(fields));
            let hears = self.with(|s| {
                s.told_by.push(by);
                s.hears
            });
            match hears {
                Hears::Refuses => return Ok(Ended::Refused),
                Hears::Fails { with_value } => {
                    let said = if with_value { new } else { "role app_b is not there (42704)".into() };
                    return Err(Error::new(crate::error::Code::Unreachable, format!("it said {said}")));
                }
                Hears::Loses { but_takes: false } => return Ok(Ended::Unsure),
                Hears::Takes | Hears::TakesLong | Hears::Loses { .. } | Hears::Cannot => {}
            }
            let is_in = self.with(|s| {
                let is_in = s.alive.contains_key(&old) || s.admin.is_some();
                if is_in {
                    if !self.overlaps {
                        s.alive.clear();
                    }
                    s.alive.insert(new, "acme".to_owned());
                }
                is_in
            });
            if self.with(|s| s.is_cut_off) {
                std::future::pending::<()>().await;
            }
            if hears == Hears::TakesLong {
                self.answers.notified().await;
            }
            Ok(match (is_in, hears) {
                (true, Hears::Loses { .. } | Hears::TakesLong) => Ended::Unsure,
                (true, _) => Ended::Confirmed,
                (false, _) => Ended::Refused,
            })
        })
    }
    fn test<'a>(&'a self, _: &'a Credential, fields: &'a Fields) -> BoxFuture<'a, Result<Tested>> {
        Box::pin(async move {
            self.with(|s| {
                if s.is_down {
                    return Err(Error::new(crate::error::Code::Unreachable, "it is down"));
                }
                let account = s.alive.get(&text_of(fields)).cloned();
                Ok(Tested {
                    finding: if account.is_some() { Finding::Valid } else { Finding::Refused },
                    account: account.unwrap_or_default(),
                    scopes: Vec::new(),
                })
            })
        })
    }
    fn revoke<'a>(&'a self, call: Call<'a>) -> BoxFuture<'a, Result<Ended>> {
        Box::pin(async move {
            if self.with(|s| s.is_down) {
                return Ok(Ended::Unsure);
            }
            self.end(&text_of(call.old));
            self.with(|s| s.ended += 1);
            if self.with(|s| s.is_cut_off) {
                std::future::pending::<()>().await;
            }
            Ok(Ended::Confirmed)
        })
    }
}

/// A world with a credential of a simulated service.
pub struct Rig {
    pub w: World,
    pub service: Arc<Service>,
    pub id: String,
    pub first: String,
}

fn drivers(service: &Arc<Service>) -> Arc<Drivers> {
    let name = if service.overlaps { SIDE_BY_SIDE } else { ONE_ONLY };
    Arc::new(Drivers::default().with(name, service.clone()))
}

impl Rig {
    /// By hand on its pages, or by its driver.
    pub async fn new(overlaps: bool, is_manual: bool) -> Self {
        Self::with(crate::config::File::default(), overlaps, is_manual).await
    }

    pub async fn with(file: crate::config::File, overlaps: bool, is_manual: bool) -> Self {
        let (w, service) = (World::with(file).await, Service::new(overlaps, is_manual));
        let mut rig = Self { w, service, id: String::new(), first: String::new() };
        rig.reopen();
        rig.add("KEY").await;
        rig
    }

    /// One more credential of that service, which is the one from here on.
    pub async fn add(&mut self, name: &str) {
        self.first = self.service.make("acme");
        let service = if self.service.overlaps { SIDE_BY_SIDE } else { ONE_ONLY };
        let new = CreateCredential {
            name: name.into(),
            scope: Some(crate::model::credential::Scope::Org),
            service: Some(service.into()),
            ..CreateCredential::default()
        };
        let values = vec![("value".to_owned(), SecretBytes::copied(self.first.as_bytes()))];
        let caller = self.w.person("ada");
        let made = enter_value(&self.w.app, &caller, Target::New(Box::new(new)), values, String::new()).await;
        self.id = made.unwrap().id;
    }

    /// The same vault, opened anew, as after a crash.
    pub fn reopen(&mut self) {
        let mut app = App::open_with(self.w.app.config.clone(), self.w.clock.clone(), None).unwrap();
        app.drivers = drivers(&self.service);
        self.w.app = Arc::new(app);
    }

    pub async fn enter(&self, text: &str) -> Result<Entered> {
        let values = vec![("value".to_owned(), SecretBytes::copied(text.as_bytes()))];
        let target = Target::Existing(self.id.clone());
        enter_value(&self.w.app, &self.w.person("ada"), target, values, String::new()).await
    }

    /// A person's new value, made on the page and entered.
    pub async fn make_and_enter(&self) -> String {
        let text = self.service.make("acme");
        self.enter(&text).await.unwrap();
        text
    }

    pub async fn call(&self, name: &str, arguments: Value) -> Result<Value> {
        self.w.call_with(&self.w.caller("ada"), name, arguments, &PersonYes).await
    }

    pub async fn start(&self) -> Result<Value> {
        self.call("start_rotation", json!({ "credential": self.id })).await
    }

    pub async fn step(&self, step: &str) -> Result<Value> {
        self.call("advance_rotation", json!({ "rotation": self.id, "step": step })).await
    }

    pub async fn word(&self, step: &str) -> Result<Value> {
        let wanted = json!({ "rotation": self.id, "step": step, "reason": "seen with my own eyes" });
        self.call("advance_rotation", wanted).await
    }

    pub async fn look(&self) -> Value {
        self.call("get_rotation", json!({ "rotation": self.id })).await.unwrap()
    }

    pub async fn stage(&self) -> String {
        self.look().await["stage"].as_str().unwrap().to_owned()
    }

    /// Every value that we hold: its stage, and what it is.
    pub async fn held(&self) -> Vec<(Stage, String)> {
        let (org, id, keys) = (self.w.org.clone(), self.id.clone(), self.w.app.keys.clone());
        let read = move |tx: &crate::store::Reader<'_>| {
            let c = tx.find_credential(&org, &id.as_str().into())?.unwrap();
            let versions = tx.versions(&org, &c.id, 1000)?;
            let kept = versions.into_iter().filter(|v: &Version| v.destroyed_at.is_none());
            kept.map(|v| Ok((v.stage, text_of(&open_fields(&keys.vault(), &c, &v, tx.fields(&v.id)?)?))))
                .collect()
        };
        self.w.app.store.read(read).await.unwrap()
    }

    /// What programs are served.
    pub async fn served(&self) -> String {
        let held = self.held().await;
        let current: Vec<_> = held.into_iter().filter(|(stage, _)| *stage == Stage::Current).collect();
        assert_eq!(current.len(), 1, "exactly one version is current");
        current.into_iter().next().unwrap().1
    }

    pub async fn kept(&self, stage: Stage) -> Vec<String> {
        self.held().await.into_iter().filter(|(s, _)| *s == stage).map(|(_, text)| text).collect()
    }

    /// A consumer of the org that is bound to the credential.
    pub async fn bind(&self, name: &str) {
        let wanted = json!({ "name": name, "scope": "org", "bindings": [{ "variable": "KEY" }] });
        self.call("register_consumer", wanted).await.unwrap();
    }

    /// Hands `name` what it is bound to, as a start of it would.
    pub async fn run(&self, name: &str) -> String {
        let caller = self.w.person("mia");
        let given = crate::ops::hand_over::hand_over_to(&self.w.app, &caller, name, "program").await.unwrap();
        given.handed[0].value.expose(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }

    pub async fn report(&self, name: &str, outcome: &str) -> Value {
        let wanted = json!({ "consumer": name, "outcome": outcome });
        self.w.call(&self.w.person("mia"), "report_use", wanted).await.unwrap()
    }

    pub async fn report_of(&self, outcome: &str, version: i64) -> Result<Value> {
        let wanted =
            json!({ "consumer": "deploy", "outcome": outcome, "credential": self.id, "version": version });
        self.w.call(&self.w.person("mia"), "report_use", wanted).await
    }

    pub fn hours(&self, hours: i64) {
        self.w.clock.advance_ms(hours * 3_600_000);
    }

    pub async fn pass(&self) -> usize {
        super::pass(&self.w.app).await.unwrap()
    }

    /// Up to where the new one is served.
    pub async fn promoted(&self) -> String {
        self.start().await.unwrap();
        let text = self.make_and_enter().await;
        self.step("verify").await.unwrap();
        self.step("promote").await.unwrap();
        text
    }
}
