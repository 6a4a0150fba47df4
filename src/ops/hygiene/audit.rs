//! `audit_credentials`: one report of everything that is wrong, a page at a time.
use super::gather::{Gathered, gather};
use super::report::{Findings, Memory, digest, remembered};
use super::{fingerprint, row};
use crate::app::App;
use crate::clock::Millis;
use crate::error::{Code, Error, Result, invalid};
use crate::memory::give_back;
use crate::model::Word;
use crate::model::access::{Caller, Door};
use crate::model::credential::Scope;
use crate::model::event::Event;
use crate::model::hygiene::kept::Acceptance;
use crate::model::hygiene::{Finding, FindingKind, Inventory, Keeper, Severity, audit, shown_id};
use crate::ops::reach::{self, Need};
use crate::ops::{Effect, Operation, Permission, Toolset, consumer, page};
use crate::store::Reader;
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};

/// How much JSON the findings of a page hold, in bytes.
const BUDGET: usize = 17_000;
/// How many findings that are gone are named.
const GONE: usize = 20;

#[derive(Clone, Debug, Default, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AuditCredentials {
    /// As by_kind has it
    #[schemars(length(max = 40))]
    pub kind: Option<String>,
    pub severity: Option<Severity>,
    pub scope: Option<Scope>,
    #[schemars(length(max = 64))]
    pub service: Option<String>,
    #[schemars(length(max = 80))]
    pub team: Option<String>,
    #[schemars(length(max = 200))]
    pub credential: Option<String>,
    #[schemars(length(max = 80))]
    pub consumer: Option<String>,
    pub accepted: Option<bool>,
    #[schemars(length(max = 200))]
    pub cursor: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct AuditReport {
    /// Those that fit, those of other pages too.
    pub total: usize,
    pub by_severity: BTreeMap<String, usize>,
    pub by_kind: BTreeMap<String, usize>,
    /// Left out because somebody accepted them.
    pub accepted: usize,
    /// The last report that differed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub compared_with: Option<Millis>,
    /// Since then, whatever was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "usize")]
    pub new: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "usize")]
    pub still: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "usize")]
    pub gone: Option<usize>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gone_findings: Vec<String>,
    pub findings: Vec<row::FindingRow>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub next_cursor: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl Operation for AuditCredentials {
    const NAME: &'static str = "audit_credentials";
    const TITLE: &'static str = "Audit credentials";
    const ABOUT: &'static str = "Report what is wrong with credentials and consumers, worst first, and what is new, with evidence and the next step.";
    const TOOLSET: Toolset = Toolset::Hygiene;
    const EFFECT: Effect = Effect::Reads;
    const NEEDS: Permission = Permission::Anyone;
    const IDEMPOTENT: bool = true;
    type Output = AuditReport;

    async fn run(self, app: &App, caller: &Caller) -> Result<AuditReport> {
        let asked = self.kind.as_deref().map(parse_kind).transpose()?;
        let after = self.cursor.as_deref().map(read_cursor).transpose()?;
        // What they may not ask about is refused before anything is read for them.
        let (by, wanted) = (caller.clone(), self.clone());
        let narrowed = app.store.read(move |tx| Narrowed::of(tx, &by, &wanted, asked)).await?;
        let made = make(app, caller, asked).await?;
        let by = caller.clone();
        let accepted = app.store.read(move |tx| tx.acceptances(&by.org)).await?;
        // A person at a terminal reads it whole: no model's window is filled, and each page would be a report of its own.
        let budget = if caller.door == Door::Cli { usize::MAX } else { BUDGET };
        let page = made.page(&self, &narrowed, &accepted, after, budget);
        drop(made);
        give_back();
        page
    }
}

/// Fails with `invalid_input`, naming the kinds there are.
fn parse_kind(text: &str) -> Result<FindingKind> {
    FindingKind::parse(text.trim()).ok_or_else(|| {
        let known: Vec<_> = FindingKind::WORDS.iter().map(|(word, _)| *word).collect();
        invalid(format!("kind is one of: {}", known.join(", ")))
    })
}

fn read_cursor(text: &str) -> Result<(FindingKind, String)> {
    let (kind, id) = page::read_mark(text)?;
    Ok((parse_kind(&kind)?, id))
}

/// A report with everything that a page of it needs.
pub struct Made {
    pub gathered: Gathered,
    pub found: Vec<([u8; 10], Finding)>,
    pub now: Findings,
    pub memory: Memory,
    /// When values are compared again, where they were not.
    pub compares_at: Option<Millis>,
}

/// Makes a report, and remembers it where it is not the last one again.
///
/// Fails with `quota` where nothing but equal values was asked for, and too many sets of values were compared already.
pub async fn make(app: &App, caller: &Caller, asked: Option<FindingKind>) -> Result<Made> {
    let mut gathered = gather(app, caller).await?;
    if !gathered.unfilled.is_empty() {
        fingerprint::fill(app, caller, std::mem::take(&mut gathered.unfilled)).await?;
        gathered = gather(app, caller).await?;
    }
    let digest = digest(&gathered.inventory, &gathered.versions);
    let (by, keys) = (caller.clone(), app.keys.clone());
    let memory = app.store.read(move |tx| Memory::read(tx, &keys.vault(), &by)).await?;
    let compares_at = memory.may_compare(&digest, app.now()).err();
    gathered.inventory.compares = compares_at.is_none();
    if let Some(at) = compares_at.filter(|_| asked == Some(FindingKind::DuplicateValue)) {
        let message = format!(
            "{} differing sets of values an hour are compared at most",
            super::report::MOST_DIFFERING
        );
        return Err(
            Error::new(Code::Quota, message).next(format!("Ask for another kind, or again after {at}."))
        );
    }
    let found = audit(&gathered.inventory);
    let mut now = remembered(&gathered.inventory, &found)?;
    if compares_at.is_some() {
        // Neither new nor gone: it was not looked.
        let kept = memory.last.iter().filter(|(_, one)| one.kind == FindingKind::DuplicateValue);
        now.extend(kept.map(|(id, one)| (*id, one.clone())));
    }
    let compared = gathered.inventory.compares.then_some(digest);
    if !memory.has(&now, compared.as_deref(), app.now()) {
        let (by, keys, findings, count) = (caller.clone(), app.keys.clone(), now.clone(), found.len());
        app.store
            .write(caller, move |tx| {
                let vault = keys.vault();
                // Anew: another report of theirs may have been made meanwhile, and counts too.
                let memory = Memory::read(tx, &vault, &by)?;
                if let Some(digest) = &compared
                    && memory.may_compare(digest, tx.now()).is_err()
                {
                    return Err(Error::new(Code::Changed, "another report was made meanwhile"));
                }
                memory.keep(tx, &vault, &findings, compared.as_deref())?;
                tx.record_step(Event::of(AuditCredentials::NAME).with("findings", count), ())
            })
            .await?;
    }
    Ok(Made { gathered, found, now, memory, compares_at })
}

/// What a page is narrowed to, looked up.
struct Narrowed {
    kind: Option<FindingKind>,
    credential: Option<String>,
    consumer: Option<String>,
    team: Option<String>,
}

impl Narrowed {
    fn of(
        tx: &Reader<'_>,
        caller: &Caller,
        wanted: &AuditCredentials,
        kind: Option<FindingKind>,
    ) -> Result<Self> {
        let who = tx.standing(caller)?;
        let credential = match &wanted.credential {
            Some(name) => Some(reach::credential(tx, caller, &who, name, Need::See)?.credential.id.0),
            None => None,
        };
        let consumer = match &wanted.consumer {
            Some(name) => Some(consumer::reach(tx, caller, &who, name)?.id.0),
            None => None,
        };
        let team = match &wanted.team {
            Some(name) => {
                let none = || {
                    Error::new(
                        Code::TeamNotFound,
                        format!("there is no team {} you can see", reach::shown(name)),
                    )
                };
                let team = tx.team_named(&caller.org, name).map_err(|_| none())?;
                match who.sees_all() || who.team_role(team.id.as_str()).is_some() {
                    true => Some(team.id.0),
                    false => return Err(none()),
                }
            }
            None => None,
        };
        Ok(Self { kind, credential, consumer, team })
    }

    fn fits(&self, wanted: &AuditCredentials, inventory: &Inventory, f: &Finding) -> bool {
        let credentials = || f.credentials.iter().map(|n| &inventory.credentials[*n as usize]);
        let consumers = || f.consumers.iter().map(|n| &inventory.consumers[*n as usize]);
        let service = wanted.service.as_deref().map(|text| text.trim().to_ascii_lowercase());
        self.kind.is_none_or(|kind| f.kind == kind)
            && wanted.severity.is_none_or(|severity| f.kind.severity() == severity)
            && wanted.scope.is_none_or(|scope| {
                credentials().any(|c| c.scope == scope) || consumers().any(|c| c.keeper.scope() == scope)
            })
            && service.is_none_or(|service| {
                credentials()
                    .any(|c| *c.service == *service || c.services().iter().any(|one| **one == *service))
            })
            && self.credential.as_ref().is_none_or(|id| credentials().any(|c| c.id.0 == *id))
            && self.consumer.as_ref().is_none_or(|id| consumers().any(|c| c.id.0 == *id))
            && self.team.as_ref().is_none_or(|team| {
                credentials().any(|c| c.scope == Scope::Team && *c.owner == **team)
                    || consumers().any(|c| matches!(&c.keeper, Keeper::Team(id) if **id == **team))
            })
    }
}

impl Made {
    /// Whether somebody's word still stands for this finding.
    fn is_accepted<'a>(
        &self,
        id: &str,
        f: &Finding,
        accepted: &'a HashMap<String, Acceptance>,
    ) -> Option<&'a Acceptance> {
        let inventory = &self.gathered.inventory;
        accepted.get(id).filter(|a| a.until > inventory.now && a.facts == f.facts_hash(inventory))
    }

    fn page(
        &self,
        wanted: &AuditCredentials,
        narrowed: &Narrowed,
        accepted: &HashMap<String, Acceptance>,
        after: Option<(FindingKind, String)>,
        budget: usize,
    ) -> Result<AuditReport> {
        let inventory = &self.gathered.inventory;
        let compared = self.memory.compared(&self.now);
        let mut report = AuditReport {
            total: 0,
            by_severity: BTreeMap::new(),
            by_kind: BTreeMap::new(),
            accepted: 0,
            compared_with: compared.map(|(at, _)| at),
            new: None,
            still: None,
            gone: None,
            gone_findings: Vec::new(),
            findings: Vec::new(),
            next_cursor: None,
            notes: Vec::new(),
        };
        if let Some((_, earlier)) = compared {
            report.compare(&self.now, earlier, after.is_none());
        }
        if let Some(at) = self.compares_at {
            report.notes.push(format!("Which credentials are equal is not told before {at}: too many differing sets were compared within the hour."));
        }
        let wants_accepted = wanted.accepted.unwrap_or(false);
        let place = |kind: FindingKind, id: &str| (kind.severity(), kind.as_str(), id.to_owned());
        let after = after.map(|(kind, id)| place(kind, &id));
        let (mut bytes, mut is_full) = (0, false);
        let mut last = None;
        for (id, f) in self.found.iter().filter(|(_, f)| narrowed.fits(wanted, inventory, f)) {
            let shown = shown_id(*id);
            let acceptance = if accepted.is_empty() { None } else { self.is_accepted(&shown, f, accepted) };
            if acceptance.is_some() != wants_accepted {
                report.accepted += usize::from(acceptance.is_some());
                continue;
            }
            report.total += 1;
            *report.by_severity.entry(f.kind.severity().to_string()).or_default() += 1;
            *report.by_kind.entry(f.kind.to_string()).or_default() += 1;
            let here = place(f.kind, &shown);
            if is_full || after.as_ref().is_some_and(|after| here <= *after) {
                continue;
            }
            let is_new = compared.is_some_and(|(_, earlier)| !earlier.contains_key(id));
            let one = row::of(inventory, f, shown, is_new, acceptance);
            bytes += serde_json::to_string(&one)
                .map_err(|e| crate::error::internal("a finding is not JSON").because(e))?
                .len();
            if bytes > budget && !report.findings.is_empty() {
                is_full = true;
                report.next_cursor.clone_from(&last);
                continue;
            }
            last = Some(page::mark(f.kind.as_str(), &one.id));
            report.findings.push(one);
        }
        Ok(report)
    }
}

impl AuditReport {
    fn compare(&mut self, now: &Findings, earlier: &Findings, names_gone: bool) {
        let still = now.keys().filter(|id| earlier.contains_key(*id)).count();
        (self.new, self.still, self.gone) =
            (Some(now.len() - still), Some(still), Some(earlier.len() - still));
        if names_gone {
            let mut gone: Vec<_> = earlier.iter().filter(|(id, _)| !now.contains_key(*id)).collect();
            gone.sort_by_key(|(id, one)| (one.kind, **id));
            let told = gone.into_iter().take(GONE);
            self.gone_findings = told.map(|(_, one)| row::gone(one.kind, &one.about)).collect();
        }
    }
}
