//! Reads everything that a report is made from, in one pass of each table, on two threads; and keeps no more of each row
//! than the rules need. Every row's MAC is checked.
use super::catalogue::{Known, Texts};
use super::fingerprint::{self, Unmasked};
use crate::app::App;
use crate::clock::Millis;
use crate::error::Result;
use crate::ids::{CredentialId, OrgId};
use crate::model::access::{Caller, Grant, GranteeKind, Standing, access};
use crate::model::connection::Connection;
use crate::model::consumer::{Binding, BindingSource, Consumer};
use crate::model::credential::{Credential, Environment, Scope};
use crate::model::hygiene::kept::Fingerprint;
use crate::model::hygiene::kinds::{LATELY_DAYS, WINDOW_DAYS};
use crate::model::hygiene::names::{is_configuration, is_vague_description, names_a_secret};
use crate::model::hygiene::{Inventory, Keeper, Party, Recognised, Subject, TeamFacts, UsedFrom};
use crate::model::org::{Membership, Org, Team, TeamRole, User};
use crate::model::probe::Ending;
use crate::model::status::StatusReason;
use crate::ops::consumer::may_mean;
use crate::ops::credential::facts::Facts;
use crate::ops::reach;
use crate::ops::rotation::Policies;
use crate::store::Reader;
use sha2::Digest;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Everything for one report.
pub struct Gathered {
    pub inventory: Inventory,
    /// Credentials whose values have no fingerprint of the key in use.
    pub unfilled: Vec<CredentialId>,
    /// The version in use of each credential of the inventory.
    pub versions: Vec<Option<i64>>,
}

/// Room is made for so many credentials before they are read, at most.
const MOST_ROOM: i64 = 1_000_000;

/// A credential's id as a number: there may be hundreds of thousands of them at once.
type Key = u128;

fn key(id: &str) -> Key {
    // Ours are ULIDs, which are numbers; of any other text 128 bits of its hash are as good as the text.
    ulid::Ulid::from_string(id).map(|id| id.0).unwrap_or_else(|_| {
        let hash = sha2::Sha256::digest(id.as_bytes());
        Key::from_be_bytes(hash[..16].try_into().expect("it has 32 bytes"))
    })
}

/// What lies beside credentials, each list in the order of their keys.
#[derive(Default)]
struct Beside {
    prints: Vec<(Key, Print)>,
    last_uses: Vec<(Key, Millis)>,
    uses: Vec<(Key, Use)>,
    /// What the numbers of users and consumers stand for.
    texts: Vec<Arc<str>>,
    /// Uses of the last week by consumer: successful, failed.
    lately: HashMap<Arc<str>, (i64, i64)>,
}

/// Uses by one person through one consumer, by their numbers.
struct Use {
    user: u32,
    consumer: u32,
    ok: u32,
    last_at: Millis,
}

struct Print {
    version: i64,
    unmasked: Unmasked,
    recognised: Option<Arc<Recognised>>,
}

/// What values were recognised as, each once.
#[derive(Default)]
struct Shapes {
    all: HashMap<String, Option<Arc<Recognised>>>,
    /// Of the last one that was asked about: made anew for each row it would be a hundred thousand texts.
    asked: String,
}

impl Shapes {
    fn of(&mut self, f: &Fingerprint, texts: &mut Texts) -> Option<Arc<Recognised>> {
        if f.kind.is_empty() {
            return None;
        }
        self.asked.clear();
        [&f.services, "|", &f.kind, "|", &f.live].iter().for_each(|part| self.asked.push_str(part));
        if let Some(found) = self.all.get(&self.asked) {
            return found.clone();
        }
        let services = f.services.split(' ').filter(|id| !id.is_empty()).map(|id| texts.of(id)).collect();
        let made = Recognised { services, kind: texts.of(&f.kind), is_live: fingerprint::liveness(f) };
        let made = Some(Arc::new(made));
        self.all.insert(self.asked.clone(), made.clone());
        made
    }
}

/// Texts that are one number each.
#[derive(Default)]
struct Numbers {
    by_text: HashMap<Arc<str>, u32>,
    all: Vec<Arc<str>>,
}

impl Numbers {
    fn of(&mut self, text: &str) -> u32 {
        match self.by_text.get(text) {
            Some(n) => *n,
            None => {
                let (n, kept): (_, Arc<str>) = (self.all.len() as u32, text.into());
                self.all.push(kept.clone());
                self.by_text.insert(kept, n);
                n
            }
        }
    }
}

/// Those of `all` that lie at `key`.
fn at<T>(all: &[(Key, T)], key: Key) -> &[(Key, T)] {
    let from = all.partition_point(|(k, _)| *k < key);
    let many = all[from..].partition_point(|(k, _)| *k == key);
    &all[from..from + many]
}

pub async fn gather(app: &App, caller: &Caller) -> Result<Gathered> {
    let (by, keys) = (caller.clone(), app.keys.clone());
    // First of all whether they may ask: nothing is read for somebody who may not.
    let since = app.store.read_here(move |tx| tx.standing(&by).map(|_| tx.now())).await?;
    let by = caller.clone();
    let beside = app.store.read(move |tx| {
        let vault = keys.vault();
        Beside::read(
            tx,
            &by,
            since,
            |active, f| fingerprint::unmask(&vault, active, f),
            vault.active_version(&by.org)?,
        )
    });
    let (by, catalogue) = (caller.clone(), app.catalogue);
    let rough = app.store.read(move |tx| Rough::read(tx, &by, Known::of(catalogue)));
    let (beside, rough) = tokio::join!(beside, rough);
    let known = Known::of(app.catalogue);
    Ok(rough?.with(beside?, &known))
}

impl Beside {
    fn read(
        tx: &Reader<'_>,
        caller: &Caller,
        now: Millis,
        unmask: impl Fn(i64, &Fingerprint) -> Result<Option<Unmasked>>,
        active: i64,
    ) -> Result<Self> {
        let (mut all, mut texts, mut shapes) = (Self::default(), Texts::default(), Shapes::default());
        tx.each::<Fingerprint>(&caller.org, |f| {
            if let Some(unmasked) = unmask(active, &f)? {
                let recognised = shapes.of(&f, &mut texts);
                let print = Print { version: f.version, unmasked, recognised };
                all.prints.push((key(f.credential_id.as_str()), print));
            }
            Ok(())
        })?;
        tx.each_usage(|id, usage| all.last_uses.extend(usage.last_at.map(|last| (key(&id), last))))?;
        all.prints.sort_by_key(|(k, print)| (*k, print.version));
        all.last_uses.sort_unstable_by_key(|(k, _)| *k);
        all.count_uses(tx, caller, now)?;
        Ok(all)
    }

    fn count_uses(&mut self, tx: &Reader<'_>, caller: &Caller, now: Millis) -> Result<()> {
        let (window, lately) = (now.plus_days(-WINDOW_DAYS), now.plus_days(-LATELY_DAYS));
        let mut numbers = Numbers::default();
        let mut of_week: HashMap<u32, (i64, i64)> = HashMap::new();
        tx.each_use(&caller.org, &caller.user, window, |u| {
            let (user, consumer) = (numbers.of(u.user), numbers.of(u.consumer));
            if !u.consumer.is_empty() && u.at >= lately {
                let (ok, failed) = of_week.entry(consumer).or_default();
                *ok += i64::from(u.is_ok);
                *failed += i64::from(u.has_failed);
            }
            if u.is_ok {
                let used = Use { user, consumer, ok: 1, last_at: u.at };
                self.uses.push((key(u.credential), used));
            }
            Ok(())
        })?;
        self.lately =
            of_week.into_iter().map(|(n, counts)| (numbers.all[n as usize].clone(), counts)).collect();
        self.texts = numbers.all;
        let place = |(k, used): &(Key, Use)| (*k, used.user, used.consumer);
        self.uses.sort_unstable_by_key(place);
        self.uses.dedup_by(|next, first| {
            let is_same = place(next) == place(first);
            if is_same {
                first.1.ok = first.1.ok.saturating_add(next.1.ok);
                first.1.last_at = first.1.last_at.max(next.1.last_at);
            }
            is_same
        });
        self.uses.shrink_to_fit();
        Ok(())
    }
}

/// What stands in the org itself, before uses and fingerprints are added.
struct Rough {
    inventory: Inventory,
    who: Standing,
    org: Org,
    /// The current versions of [`Inventory::credentials`], in the same order, and whether they have fingerprints.
    versions: Vec<(Option<i64>, bool)>,
}

/// What is at hand while credentials come by.
struct AtHand {
    bindings: Bindings,
    known: Known,
    texts: Texts,
    /// When values end, as they or their services say, by credential.
    endings: HashMap<String, Vec<Ending>>,
}

impl Rough {
    fn read(tx: &Reader<'_>, caller: &Caller, known: Known) -> Result<Self> {
        let (who, org) = reach::who(tx, caller)?;
        let mut texts = Texts::default();
        let mut inventory =
            Inventory { org: caller.org.0.clone(), now: tx.now(), compares: true, ..Inventory::default() };
        people(tx, &caller.org, &mut texts, &mut inventory)?;
        let mut grants: HashMap<String, Vec<Grant>> = HashMap::new();
        for grant in tx.all::<Grant>(&caller.org)? {
            grants.entry(grant.credential_id.0.clone()).or_default().push(grant);
        }
        let connections: HashMap<String, Connection> =
            tx.all::<Connection>(&caller.org)?.into_iter().map(|c| (c.credential_id.0.clone(), c)).collect();
        let bindings = Bindings::read(tx, &who, &caller.org, &mut texts, &mut inventory)?;
        let mut endings: HashMap<String, Vec<Ending>> = HashMap::new();
        for ending in tx.all::<Ending>(&caller.org)? {
            endings.entry(ending.credential_id.0.clone()).or_default().push(ending);
        }
        let mut at_hand = AtHand { bindings, known, texts, endings };
        let mut rough = Self { inventory, who, org, versions: Vec::new() };
        let (mut seen, places) = (HashSet::new(), reach::places(&rough.who));
        let overlaps = !rough.who.sees_all();
        let policies = Policies::read(tx, &caller.org)?;
        // Room for all at once: a list that grows is there twice while it does.
        let most =
            usize::try_from(tx.count_credentials(&caller.org, &places, MOST_ROOM)?).unwrap_or_default();
        rough.inventory.credentials.reserve_exact(most);
        rough.versions.reserve_exact(most);
        tx.each_credential(&caller.org, &places, |mut c| {
            if overlaps && !seen.insert(c.id.clone()) {
                return Ok(());
            }
            let granted = grants.get(c.id.as_str()).map_or(&[][..], Vec::as_slice);
            let may = access(&rough.who, &c, granted);
            if may.sees() {
                // What counts may be the service's or the org's.
                c.rotation_days = policies.days_for(&c);
                let connection = connections.get(c.id.as_str());
                rough.take(&c, may.views || may.manages, granted, connection, &mut at_hand);
            }
            Ok(())
        })?;
        at_hand.bindings.told(&rough.who, &mut rough.inventory);
        Ok(rough)
    }

    fn take(
        &mut self,
        c: &Credential,
        views: bool,
        granted: &[Grant],
        connection: Option<&Connection>,
        at_hand: &mut AtHand,
    ) {
        let AtHand { bindings, known, texts, endings } = at_hand;
        let bound = bindings.bound_to(c);
        let name: Arc<str> = c.name.as_str().into();
        if c.scope == Scope::Org {
            let key = if c.name == c.name_key { name.clone() } else { c.name_key.as_str().into() };
            self.inventory.org_names.insert(key);
        }
        if !views {
            return;
        }
        let ending = endings
            .get(c.id.as_str())
            .and_then(|all| all.iter().find(|ending| Some(ending.number) == c.current_version).cloned());
        let facts = Facts { probe: None, ending };
        let report = facts.status(c, connection, self.inventory.now, &self.org);
        let broad = connection.map(|one| known.broad_scopes(&c.service, one)).unwrap_or_default();
        self.versions.push((c.current_version, fingerprint::is_fingerprinted(c)));
        self.inventory.credentials.push(Subject {
            id: c.id.clone(),
            kind: c.kind,
            source: c.source,
            scope: c.scope,
            owner: texts.of(&c.owner_id),
            service: texts.of(&c.service),
            account: texts.of(&c.account),
            environment: c.environment,
            has_vague_description: is_vague_description(&c.description, &c.name, &c.service),
            status: report.status,
            is_rotation_due: report.reasons.contains(&StatusReason::RotationDue),
            expires_at: facts.ends_at(c),
            rotation_days: c.rotation_days,
            value_set_at: c.value_set_at.filter(|_| c.current_version.is_some()),
            entered_by: texts.of(c.value_set_by.as_ref().unwrap_or(&c.created_by).as_str()),
            last_used_at: None,
            uses: Box::default(),
            bound,
            is_granted_to_consumer: granted.iter().any(|g| g.grantee_kind == GranteeKind::Consumer),
            prints: Box::default(),
            is_weak: false,
            recognised: None,
            customary: known.customary(&c.service),
            named_after: Box::default(),
            broad_scopes: broad.into_iter().map(Arc::from).collect(),
            name,
        });
    }

    /// Adds what lies beside: one list after the other, each gone before the next is taken over.
    fn with(self, beside: Beside, known: &Known) -> Gathered {
        let Self { mut inventory, versions, .. } = self;
        let Beside { prints, last_uses, uses, texts, lately } = beside;
        for s in &mut inventory.credentials {
            s.last_used_at = at(&last_uses, key(s.id.as_str())).last().map(|(_, last)| *last);
        }
        drop(last_uses);
        let mut unfilled = Vec::new();
        for (n, s) in inventory.credentials.iter_mut().enumerate() {
            let (version, is_fingerprinted) = versions[n];
            let is_current = |(_, print): &&(Key, Print)| Some(print.version) == version;
            let of_it = at(&prints, key(s.id.as_str())).iter().filter(is_current);
            let of_it: Vec<&Print> = of_it.map(|(_, print)| print).collect();
            if of_it.is_empty() {
                if is_fingerprinted {
                    unfilled.push(s.id.clone());
                }
                continue;
            }
            s.is_weak = of_it.iter().any(|print| print.unmasked.is_weak);
            s.prints = of_it.iter().filter_map(|print| print.unmasked.print).collect();
            // What a service issues says more than a key that anybody makes.
            let seen = || of_it.iter().filter_map(|print| print.recognised.as_ref());
            if let Some(seen) = seen().find(|seen| !seen.services.is_empty()).or_else(|| seen().next()) {
                let named_after = known.named_after(&s.name);
                if !seen.services.is_empty() && !named_after.iter().any(|one| seen.services.contains(one)) {
                    s.named_after = named_after.into();
                }
                s.recognised = Some(seen.clone());
            }
        }
        drop(prints);
        for s in &mut inventory.credentials {
            let named = |(_, used): &(Key, Use)| UsedFrom {
                user: texts[used.user as usize].clone(),
                consumer: texts[used.consumer as usize].clone(),
                ok: used.ok.into(),
                last_at: used.last_at,
            };
            s.uses = at(&uses, key(s.id.as_str())).iter().map(named).collect();
            // The order in which they were seen says nothing.
            s.uses.sort_by(|a, b| (&a.user, &a.consumer).cmp(&(&b.user, &b.consumer)));
        }
        for party in &mut inventory.consumers {
            let (ok, failed) = lately.get(party.id.as_str()).copied().unwrap_or_default();
            (party.ok_lately, party.failed_lately) = (ok, failed);
        }
        let versions = versions.into_iter().map(|(version, _)| version).collect();
        Gathered { inventory, unfilled, versions }
    }
}

/// People and teams.
fn people(tx: &Reader<'_>, org: &OrgId, texts: &mut Texts, inventory: &mut Inventory) -> Result<()> {
    for user in tx.all::<User>(org)? {
        let id = texts.of(user.id.as_str());
        inventory.logins.insert(id.clone(), user.login.as_str().into());
        if user.disabled_at.is_some() {
            inventory.gone.insert(id);
        }
    }
    for team in tx.all::<Team>(org)? {
        let facts = TeamFacts {
            name: team.name.as_str().into(),
            is_deleted: team.deleted_at.is_some(),
            ..TeamFacts::default()
        };
        inventory.teams.insert(texts.of(team.id.as_str()), facts);
    }
    for member in tx.all::<Membership>(org)? {
        let user = texts.of(member.user_id.as_str());
        if inventory.gone.contains(&user) {
            continue;
        }
        if let Some(team) = inventory.teams.get_mut(member.team_id.as_str()) {
            team.has_keeper |= matches!(member.role, TeamRole::Owner | TeamRole::Admin);
            team.members.insert(user);
        }
    }
    Ok(())
}

/// The bindings of consumers that the caller may know of, by what they look for.
struct Bindings {
    /// Consumer (its place in the inventory), binding, and whether something was found for it.
    all: Vec<(u32, Binding, bool)>,
    consumers: Vec<Consumer>,
    /// Places in `all` by upper-case name, and by id.
    wanted: HashMap<String, Vec<usize>>,
}

impl Bindings {
    fn read(
        tx: &Reader<'_>,
        who: &Standing,
        org: &OrgId,
        texts: &mut Texts,
        inventory: &mut Inventory,
    ) -> Result<Self> {
        let mut consumers = tx.all::<Consumer>(org)?;
        consumers.retain(|c| c.deleted_at.is_none() && c.is_seen_by(who));
        consumers.sort_by(|a, b| a.id.cmp(&b.id));
        let places: HashMap<_, _> = consumers.iter().zip(0u32..).map(|(c, n)| (c.id.clone(), n)).collect();
        for c in &consumers {
            inventory.consumers.push(Party {
                id: c.id.clone(),
                name: c.name.as_str().into(),
                keeper: match c.scope {
                    Scope::Personal => Keeper::Person(texts.of(&c.owner_id)),
                    Scope::Team => Keeper::Team(texts.of(&c.owner_id)),
                    Scope::Org => Keeper::Everybody,
                },
                ok_lately: 0,
                failed_lately: 0,
                plain_secrets: Vec::new(),
                missing: Vec::new(),
            });
        }
        let (mut all, mut wanted) = (Vec::new(), HashMap::<String, Vec<usize>>::new());
        for b in tx.all::<Binding>(org)? {
            let Some(n) = places.get(&b.consumer_id).copied() else { continue };
            if b.source == BindingSource::Static {
                if names_a_secret(&b.variable) && !is_configuration(&b.text) {
                    inventory.consumers[n as usize].plain_secrets.push(b.variable.as_str().into());
                }
                continue;
            }
            wanted.entry(b.wanted().to_ascii_uppercase()).or_default().push(all.len());
            all.push((n, b, false));
        }
        Ok(Self { all, consumers, wanted })
    }

    /// The consumers that may be handed `c`, of which it is remembered that they found something.
    fn bound_to(&mut self, c: &Credential) -> Vec<u32> {
        let mut bound = Vec::new();
        for key in [c.name_key.as_str(), c.id.as_str()] {
            for at in self.wanted.get(key).into_iter().flatten() {
                let (n, b, is_found) = &mut self.all[*at];
                if may_mean(b, &self.consumers[*n as usize], c) {
                    let fits = b
                        .environment
                        .is_none_or(|asked| c.environment == Environment::Any || c.environment == asked);
                    *is_found |= fits;
                    bound.push(*n);
                }
            }
        }
        bound.sort_unstable();
        bound.dedup();
        bound
    }

    /// Tells the inventory which required bindings found nothing.
    fn told(self, who: &Standing, inventory: &mut Inventory) {
        for (n, b, is_found) in self.all {
            let is_others = b.source == BindingSource::TeamSecret
                && !b.team_id.is_empty()
                && !who.sees_all()
                && who.team_role(&b.team_id).is_none();
            if is_found || !b.is_required || b.source == BindingSource::UserSecret || is_others {
                continue;
            }
            let wanted: Arc<str> = b.wanted().into();
            inventory.consumers[n as usize].missing.push((b.variable.as_str().into(), wanted, b.source));
        }
    }
}
