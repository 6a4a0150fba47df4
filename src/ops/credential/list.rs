//! `list_credentials`: what the caller may see, in a stable order, a page at a time.
use super::facts::Facts;
use super::view::{CredentialRow, Names, row};
use crate::app::App;
use crate::clock::Millis;
use crate::error::{Code, Result, invalid};
use crate::model::access::{Caller, Standing, access};
use crate::model::credential::{Credential, CredentialType, Environment, Scope, Source};
use crate::model::event::{Event, Outcome};
use crate::model::status::Status;
use crate::ops::page as marks;
use crate::ops::{Effect, Operation, Permission, Toolset, reach};
use crate::store::{ListFilter, Reader, Usage};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Rows of a page at most.
const MOST: usize = 100;
/// Rows looked at for one answer, when filters let few through; the cursor goes on from there.
const MOST_SCANNED: usize = 20_000;
/// A page stays below this many bytes of JSON.
const MOST_BYTES: usize = 22_000;
/// How many damaged rows a summary names.
const MOST_NAMED: usize = 10;
/// Counting stops here.
const COUNT_CAP: i64 = 10_000;

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListCredentials {
    #[serde(rename = "type")]
    pub kind: Option<CredentialType>,
    pub status: Option<Status>,
    pub scope: Option<Scope>,
    #[schemars(length(max = 64))]
    pub service: Option<String>,
    /// Name or id
    #[schemars(length(max = 80))]
    pub team: Option<String>,
    pub environment: Option<Environment>,
    #[schemars(length(max = 40))]
    pub tag: Option<String>,
    /// Not used since then, or never
    pub unused_since: Option<Millis>,
    pub expires_before: Option<Millis>,
    /// In name, description, account, service or tags
    #[schemars(length(max = 80))]
    pub text: Option<String>,
    /// Also say how many there are
    pub count: Option<bool>,
    /// default 50
    #[schemars(range(min = 1, max = 100))]
    pub limit: Option<i64>,
    #[schemars(length(max = 200))]
    pub cursor: Option<String>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct CredentialPage {
    /// One line about this page.
    pub summary: String,
    pub credentials: Vec<CredentialRow>,
    /// Pass it as cursor for the next page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
    /// How many the caller can see without filters; 10000 stands for that many or more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub visible: Option<i64>,
}

impl ListCredentials {
    /// Whether rows are left out that the caller may see.
    fn has_filter(&self) -> bool {
        self.kind.is_some()
            || self.status.is_some()
            || self.service.is_some()
            || self.team.is_some()
            || self.environment.is_some()
            || self.tag.is_some()
            || self.unused_since.is_some()
            || self.expires_before.is_some()
            || self.text.as_deref().is_some_and(|text| !text.trim().is_empty())
    }
}

impl Operation for ListCredentials {
    const NAME: &'static str = "list_credentials";
    const TITLE: &'static str = "List credentials";
    const ABOUT: &'static str =
        "See which credentials there are, their status and what needs attention. Never shows a value.";
    const TOOLSET: Toolset = Toolset::Credentials;
    const EFFECT: Effect = Effect::Reads;
    const NEEDS: Permission = Permission::Anyone;
    const IDEMPOTENT: bool = true;
    type Output = CredentialPage;

    async fn run(self, app: &App, caller: &Caller) -> Result<CredentialPage> {
        let asking = caller.clone();
        let is_short = !self.has_filter() && self.count != Some(true);
        let read = move |tx: &Reader<'_>| {
            let mut damaged = Vec::new();
            page(tx, &asking, &self, &mut damaged).map(|page| (page, damaged))
        };
        let (page, damaged) = match is_short {
            true => app.store.read_here(read).await?,
            // It may look at thousands of rows.
            false => app.store.read(read).await?,
        };
        if !damaged.is_empty() {
            let damaged: Vec<_> = damaged.into_iter().take(MOST_NAMED).collect();
            let event = Event::of(Self::NAME)
                .ended(Outcome::Failed, Code::Integrity.name())
                .with("table", "credential")
                .with("id", damaged);
            app.store.write(caller, move |tx| tx.record_step(event, ())).await?;
        }
        Ok(page)
    }
}

/// Whether the caller's place shows it to them. What a grant alone shows, only a whole grant shows: the row that led
/// here was found by a query, which checks nothing.
fn is_shown(tx: &Reader<'_>, who: &Standing, c: &Credential) -> Result<bool> {
    let by_place = match c.scope {
        Scope::Personal => c.owner_id == who.user.as_str(),
        Scope::Team => who.sees_all() || who.team_role(&c.owner_id).is_some(),
        Scope::Org => true,
    };
    if by_place && !c.is_deleted() {
        return Ok(true);
    }
    let a = access(who, c, &tx.grants_on(&c.org_id, &c.id)?);
    // Whoever only uses a credential does not see it in the bin.
    Ok(if c.is_deleted() { a.views || a.manages } else { a.sees() })
}

fn page(
    tx: &Reader<'_>,
    caller: &Caller,
    input: &ListCredentials,
    damaged: &mut Vec<String>,
) -> Result<CredentialPage> {
    let (who, org) = reach::who(tx, caller)?;
    let limit = input.limit.map_or(Ok(50), |n| match n {
        1..=100 => Ok(n as usize),
        _ => Err(invalid("limit is 1 to 100")),
    })?;
    let limit = limit.min(MOST);
    let team = match &input.team {
        // A team that the caller may not know of has no credentials to show.
        Some(team) => Some(tx.team_named(&org.id, team).map_or("-".to_owned(), |t| t.id.0)),
        None => None,
    };
    let mut places = reach::places(&who);
    if let Some(scope) = input.scope {
        places.retain(|p| match p {
            crate::store::Place::Owned(s, _) | crate::store::Place::All(s) => *s == scope,
            crate::store::Place::Granted(_) => scope != Scope::Personal,
        });
    }
    let wants_deleted = input.status == Some(Status::Deleted);
    let needle = input.text.as_deref().map(|t| t.trim().to_lowercase()).filter(|t| !t.is_empty());
    let now = tx.now();
    let mut after = input.cursor.as_deref().map(marks::read_mark).transpose()?;
    let mut names = Names::knowing(tx, &org.id, &who);
    let mut rows = Vec::new();
    let mut next_cursor = None;
    let mut bytes = 0;
    let mut scanned = 0;
    let batch = if input.has_filter() { 500 } else { limit + 1 };
    'pages: loop {
        let filter =
            ListFilter { places: places.clone(), deleted: wants_deleted, after: after.clone(), limit: batch };
        let found = tx.list_undamaged(&org.id, &filter, damaged)?;
        let is_last = found.len() < batch;
        let ids: Vec<_> = found.iter().map(|c| c.id.as_str()).collect();
        let used = tx.usage_of(&ids)?;
        let bound: Vec<_> =
            found.iter().filter(|c| c.source == Source::OAuth).map(|c| c.id.as_str()).collect();
        let connections = tx.connections_of(&org.id, &bound)?;
        let (probes, endings) = tx.facts_of(&org.id, &ids)?;
        let unused = Usage::default();
        let mut last: Option<&Credential> = None;
        for c in &found {
            if rows.len() == limit || bytes > MOST_BYTES {
                next_cursor = last
                    .map(|c| marks::mark(&c.name_key, c.id.as_str()))
                    .or_else(|| after.as_ref().map(|(n, i)| marks::mark(n, i)));
                break 'pages;
            }
            scanned += 1;
            let usage = used.get(c.id.as_str()).unwrap_or(&unused);
            let visible = match is_shown(tx, &who, c) {
                Ok(visible) => visible,
                Err(e) if e.code == Code::Integrity => {
                    damaged.push(c.id.0.clone());
                    false
                }
                Err(e) => return Err(e),
            };
            let connection = connections.get(c.id.as_str());
            // It has tokens, and no sound row that says how they stand.
            if visible && c.source == Source::OAuth && c.current_version.is_some() && connection.is_none() {
                damaged.push(c.id.0.clone());
                last = Some(c);
                continue;
            }
            last = Some(c);
            let facts = Facts {
                probe: probes.get(c.id.as_str()).cloned(),
                ending: c.current_version.and_then(|n| endings.get(&(c.id.0.clone(), n)).cloned()),
            };
            if visible && fits(c, input, team.as_deref(), needle.as_deref(), usage, facts.ends_at(c)) {
                let row = row(&mut names, &org, c, connection, &facts, usage, now)?;
                if input.status.is_none_or(|wanted| row.status.status == wanted) {
                    bytes += approximate_bytes(&row);
                    rows.push(row);
                }
            }
        }
        if is_last {
            break;
        }
        after = last.map(|c| (c.name_key.clone(), c.id.0.clone()));
        if scanned >= MOST_SCANNED {
            next_cursor = last.map(|c| marks::mark(&c.name_key, c.id.as_str()));
            break;
        }
    }
    let visible = match input.count {
        Some(true) => Some(tx.count_credentials(&org.id, &reach::places(&who), COUNT_CAP)?),
        _ => None,
    };
    Ok(CredentialPage {
        summary: summary(&rows, next_cursor.is_some(), damaged),
        credentials: rows,
        next_cursor,
        visible,
    })
}

/// A little above what the row takes as JSON.
fn approximate_bytes(r: &CredentialRow) -> usize {
    260 + r.name.len()
        + r.account.len()
        + r.service.len()
        + r.owner.len()
        + r.set_by.len()
        + r.status.message.len()
        + r.status.next.len()
        + 20 * r.status.reasons.len()
        + 40 * (usize::from(r.last_used_at.is_some()) + usize::from(r.expires_at.is_some()))
}

fn fits(
    c: &Credential,
    f: &ListCredentials,
    team: Option<&str>,
    needle: Option<&str>,
    used: &Usage,
    ends_at: Option<Millis>,
) -> bool {
    let contains = |needle: &str| {
        [&c.name, &c.description, &c.account, &c.service]
            .iter()
            .any(|text| text.to_lowercase().contains(needle))
            || c.tags.iter().any(|tag| tag.contains(needle))
    };
    f.kind.is_none_or(|kind| c.kind == kind)
        && f.scope.is_none_or(|scope| c.scope == scope)
        && f.service.as_ref().is_none_or(|service| c.service.eq_ignore_ascii_case(service))
        && team.is_none_or(|team| c.scope == Scope::Team && c.owner_id == team)
        && f.environment.is_none_or(|environment| c.environment == environment)
        && f.tag.as_ref().is_none_or(|tag| c.tags.iter().any(|t| t.eq_ignore_ascii_case(tag)))
        && f.unused_since.is_none_or(|since| used.last_at.is_none_or(|last| last < since))
        && f.expires_before.is_none_or(|before| ends_at.is_some_and(|end| end < before))
        && needle.is_none_or(contains)
}

fn summary(rows: &[CredentialRow], more: bool, damaged: &[String]) -> String {
    let text = summary_of(rows, more);
    if damaged.is_empty() {
        return text;
    }
    let named: Vec<_> = damaged.iter().take(MOST_NAMED).map(String::as_str).collect();
    format!("{text}; {} damaged, changed outside unsaid and not shown: {}", damaged.len(), named.join(", "))
}

fn summary_of(rows: &[CredentialRow], more: bool) -> String {
    if rows.is_empty() {
        return if more { "none in this part; there is more".into() } else { "no credentials".into() };
    }
    let mut counts: Vec<(Status, usize)> = Vec::new();
    for row in rows {
        match counts.iter_mut().find(|(status, _)| *status == row.status.status) {
            Some((_, n)) => *n += 1,
            None => counts.push((row.status.status, 1)),
        }
    }
    counts.sort();
    let parts: Vec<_> = counts.iter().map(|(status, n)| format!("{n} {status}")).collect();
    let more = if more { "; more with next_cursor" } else { "" };
    let noun = if rows.len() == 1 { "credential" } else { "credentials" };
    format!("{} {noun}: {}{more}", rows.len(), parts.join(", "))
}
