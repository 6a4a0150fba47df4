//! What an import would do, name by name, and what stands in its way.
use crate::app::App;
use crate::error::Result;
use crate::import::{At, Batch, Field, Format, Item, Left, Remark, numbered};
use crate::model::access::Caller;
use crate::model::credential::{Credential, CredentialType, Environment, Scope, Source};
use crate::ops::credential::create::{self, CreateCredential};
use crate::ops::{people_only, reach};
use crate::services::Catalogue;
use crate::store::{Place, Reader};
use std::collections::HashSet;

/// Where the credentials are to be kept.
#[derive(Clone, Debug)]
pub struct Into {
    pub scope: Scope,
    /// Name or id, for scope team; without one, the caller's only team.
    pub team: Option<String>,
    pub environment: Option<Environment>,
}

/// What is done where a credential is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnClash {
    /// What is there stays, and the file's is left out.
    Skip,
    /// What is there gets a new version.
    Replace,
    /// Both are kept, the file's under another name.
    Rename,
}

/// A credential of this name that is in this place already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clash {
    pub id: String,
    /// Why it cannot get a new version out of the file, where it cannot.
    pub why_not: Option<&'static str>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    Create,
    /// A new version of the credential with this id.
    Replace(String),
    /// Left out: what is there stays.
    Skip,
    /// Somebody must say what is to be done.
    Undecided(Clash),
}

/// One credential of a plan. Holds its values: neither `Clone` nor `Serialize`.
#[derive(Debug)]
pub struct Planned {
    pub at: At,
    pub action: Action,
    pub(super) create: CreateCredential,
    pub(super) fields: Vec<Field>,
    pub(super) file_name: String,
    /// A free name, should both be kept.
    other_name: String,
}

impl Planned {
    pub fn name(&self) -> &str {
        &self.create.name
    }
    pub fn kind(&self) -> CredentialType {
        self.create.kind.unwrap_or(CredentialType::ApiKey)
    }
    /// The account that tells it from another of its name.
    pub fn account(&self) -> Option<&str> {
        self.create.account.as_deref()
    }
    /// The service whose key it looks like.
    pub fn service(&self) -> Option<&str> {
        self.create.service.as_deref()
    }
    /// The names of its fields.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|f| f.name.as_str())
    }

    /// Name and account, as a person reads them.
    pub fn label(&self) -> String {
        match self.account() {
            None => self.name().to_owned(),
            Some(account) => format!("{} ({account})", self.name()),
        }
    }

    /// Decides an open clash. What cannot be replaced is skipped instead.
    pub fn decide(&mut self, what: OnClash) {
        let Action::Undecided(clash) = &self.action else { return };
        self.action = match what {
            OnClash::Replace if clash.why_not.is_none() => Action::Replace(clash.id.clone()),
            OnClash::Skip | OnClash::Replace => Action::Skip,
            OnClash::Rename => {
                self.create.name = std::mem::take(&mut self.other_name);
                Action::Create
            }
        };
    }
}

/// A whole plan, and what is left out of it.
#[derive(Debug)]
pub struct Plan {
    pub format: Format,
    pub planned: Vec<Planned>,
    pub left: Vec<Left>,
    pub remarks: Vec<Remark>,
    /// How many entries the file has.
    pub entries: usize,
    /// How much of it is not wanted: credentials, and what would not become one.
    pub unwanted: usize,
}

impl Plan {
    pub fn undecided(&self) -> usize {
        self.planned.iter().filter(|p| matches!(p.action, Action::Undecided(_))).count()
    }

    /// Decides every clash that is open.
    pub fn decide(&mut self, what: OnClash) {
        self.planned.iter_mut().for_each(|p| p.decide(what));
    }

    /// How many credentials would be made or replaced.
    pub fn to_store(&self) -> usize {
        self.planned.iter().filter(|p| matches!(p.action, Action::Create | Action::Replace(_))).count()
    }

    /// How much of the file is not taken over and would be missed.
    pub fn missing(&self) -> usize {
        let skipped = self.planned.iter().filter(|p| matches!(p.action, Action::Skip | Action::Undecided(_)));
        self.unwanted + skipped.count() + self.left.iter().filter(|l| !l.is_trifle).count()
    }
}

/// Plans what the file would become, for one caller and place. `only` are the names that are wanted; none means all.
///
/// Fails with `people_only`, and as making a credential there does: `not_allowed`, `policy_forbids`, `team_not_found`.
pub async fn plan(
    app: &App,
    caller: &Caller,
    format: Format,
    batch: Batch,
    into: Into,
    only: Vec<String>,
) -> Result<Plan> {
    people_only(caller)?;
    let (asking, catalogue) = (caller.clone(), app.catalogue);
    app.store
        .read(move |tx| {
            let (who, org) = reach::who(tx, &asking)?;
            let owner = create::place(tx, &who, &org, into.scope, into.team.as_deref())?;
            let place = [Place::Owned(into.scope, owner)];
            let wanted =
                |name: &str| only.is_empty() || only.iter().any(|wish| wish.eq_ignore_ascii_case(name));
            let Batch { items, left, remarks, entries } = batch;
            // A new name must be free in the vault and in the file.
            let mut names: HashSet<String> = items.iter().map(|i| i.name.to_ascii_uppercase()).collect();
            let (all, mut planned) = (items.len(), Vec::with_capacity(items.len()));
            for item in items.into_iter().filter(|item| wanted(&item.name)) {
                let found = tx.candidates(&asking.org, &item.name.to_ascii_uppercase(), &place)?;
                planned.push(one(tx, &asking, &place, catalogue, item, &into, &found, &mut names)?);
            }
            let is_shown = |l: &Left| only.is_empty() || l.name.as_deref().is_some_and(wanted);
            let (left, unshown): (Vec<_>, Vec<_>) = left.into_iter().partition(is_shown);
            let unwanted = all - planned.len() + unshown.iter().filter(|l| !l.is_trifle).count();
            Ok(Plan { format, planned, left, remarks, entries, unwanted })
        })
        .await
}

#[allow(clippy::too_many_arguments)]
fn one(
    tx: &Reader<'_>,
    caller: &Caller,
    place: &[Place],
    catalogue: &Catalogue,
    item: Item,
    into: &Into,
    found: &[Credential],
    names: &mut HashSet<String>,
) -> Result<Planned> {
    let environment = into.environment.unwrap_or(Environment::Any);
    let clash = found.iter().find(|c| c.account == item.account && c.environment == environment);
    let mut other_name = String::new();
    let action = match clash {
        None => Action::Create,
        Some(there) => {
            let is_taken = |name: &str| {
                let key = name.to_ascii_uppercase();
                Ok(names.contains(&key) || !tx.candidates(&caller.org, &key, place)?.is_empty())
            };
            other_name = numbered(&item.name, is_taken)?;
            names.insert(other_name.to_ascii_uppercase());
            Action::Undecided(Clash { id: there.id.0.clone(), why_not: why_not(there, &item) })
        }
    };
    let text = |text: &String| (!text.is_empty()).then(|| text.clone());
    let create = CreateCredential {
        kind: Some(item.kind),
        scope: Some(into.scope),
        team: into.team.clone(),
        service: item.service.map(str::to_owned).or_else(|| service(catalogue, &item.fields)),
        account: text(&item.account),
        environment: into.environment,
        description: text(&item.description),
        fields: item.specs(),
        tags: (!item.tags.is_empty()).then_some(item.tags),
        expires_at: item.expires_at,
        provider: None,
        name: item.name,
    };
    Ok(Planned { at: item.at, action, create, fields: item.fields, file_name: item.file_name, other_name })
}

/// Why `there` cannot get the item as its next version.
fn why_not(there: &Credential, item: &Item) -> Option<&'static str> {
    let same_fields = || {
        let specs = there.field_specs();
        specs.len() == item.fields.len() && specs.iter().all(|s| item.fields.iter().any(|f| f.name == s.name))
    };
    if there.source != Source::Manual {
        Some("it is a connection, whose value is managed")
    } else if there.kind != item.kind {
        Some("it is of another type")
    } else if !same_fields() {
        Some("it has other fields")
    } else {
        None
    }
}

/// The one service whose key one of the values is by its shape. A guess, shown in the plan; nothing is sent anywhere.
fn service(catalogue: &Catalogue, fields: &[Field]) -> Option<String> {
    let mut found = fields.iter().filter(|f| f.is_secret && f.value.size_bytes() <= 4096).flat_map(|field| {
        field.value.expose(|bytes| {
            std::str::from_utf8(bytes).map(|text| catalogue.recognise(text)).unwrap_or_default()
        })
    });
    let first = found.find(|r| !r.public)?;
    let is_one = first.also_used_by.is_empty() && found.all(|r| r.public || r.service == first.service);
    is_one.then_some(first.service)
}
