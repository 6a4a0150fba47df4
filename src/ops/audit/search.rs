//! Events by filter, newest first. Members see their own and those of credentials whose configuration they see.
use super::Logins;
use crate::app::App;
use crate::clock::Millis;
use crate::error::{Code, Result, internal, invalid};
use crate::model::Word;
use crate::model::access::{Caller, Standing};
use crate::model::canary::{is_private, is_telling, may_know, may_know_all};
use crate::model::event::{AuditRow, Outcome};
use crate::ops::org::named;
use crate::ops::reach::{self, Need};
use crate::ops::{Effect, Operation, Permission, Toolset};
use crate::store::{AuditFilter, Reader};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::HashMap;

const PAGE: usize = 50;
const MOST: usize = 200;
/// How much JSON a page holds, in bytes, so that an answer stays under 24 kB with its frame.
const BUDGET: usize = 21_000;
/// How many events one call looks at; the cursor goes on from there.
const SCANNED: usize = 5_000;

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SearchAuditLog {
    /// Id or name.
    #[schemars(length(max = 200))]
    pub credential: Option<String>,
    /// Id or login.
    #[schemars(length(max = 80))]
    pub user: Option<String>,
    /// As `use` or `delete_credential`.
    #[schemars(length(max = 64))]
    pub operation: Option<String>,
    pub outcome: Option<Outcome>,
    pub since: Option<Millis>,
    /// Exclusive.
    pub until: Option<Millis>,
    #[schemars(length(max = 24))]
    pub cursor: Option<String>,
    #[schemars(range(min = 1, max = 200))]
    pub limit: Option<u32>,
}

/// One event.
#[derive(Debug, Serialize, JsonSchema)]
pub struct EventRow {
    pub seq: i64,
    pub at: Millis,
    /// Login.
    pub user: String,
    pub door: String,
    /// What the client claimed to be.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub client: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub consumer: String,
    pub operation: String,
    pub outcome: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub code: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<ObjectRow>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub details: Map<String, Value>,
}

/// What an event is about.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline)]
pub struct ObjectRow {
    pub kind: String,
    pub id: String,
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<i64>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct EventPage {
    pub events: Vec<EventRow>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

impl EventRow {
    pub(super) fn of(tx: &Reader<'_>, logins: &mut Logins, row: AuditRow) -> Result<Self> {
        let has_object = !row.object_kind.is_empty();
        let object_name = match row.object_kind.as_str() {
            "user" => logins.of(tx, &row.org, &row.object_id)?,
            _ => row.object_name,
        };
        Ok(Self {
            seq: row.seq,
            at: row.at,
            user: logins.of(tx, &row.org, &row.user)?,
            door: row.door,
            client: logins.in_text(tx, &row.org, &row.client)?,
            consumer: row.consumer,
            operation: row.operation,
            outcome: row.outcome,
            code: row.code,
            object: has_object.then_some(ObjectRow {
                kind: row.object_kind,
                id: row.object_id,
                name: object_name,
                version: row.version,
            }),
            reason: row.reason,
            details: serde_json::from_str(&row.details).unwrap_or_default(),
        })
    }
}

impl Operation for SearchAuditLog {
    const NAME: &'static str = "search_audit_log";
    const TITLE: &'static str = "Search the audit log";
    const ABOUT: &'static str = "Find out who did, used or was refused what, and when; newest first.";
    const TOOLSET: Toolset = Toolset::Audit;
    const EFFECT: Effect = Effect::Reads;
    const NEEDS: Permission = Permission::Anyone;
    const IDEMPOTENT: bool = true;
    type Output = EventPage;

    async fn run(self, app: &App, caller: &Caller) -> Result<EventPage> {
        let caller = caller.clone();
        app.store.read(move |tx| self.search(tx, &caller)).await
    }
}

impl SearchAuditLog {
    fn search(self, tx: &Reader<'_>, caller: &Caller) -> Result<EventPage> {
        let who = tx.standing(caller)?;
        let limit = match self.limit {
            None => PAGE,
            Some(n) if (1..=MOST as u32).contains(&n) => n as usize,
            Some(_) => return Err(invalid("limit is 1 to 200")),
        };
        let mut before = self.before()?;
        let (object, all_of_it) = self.object(tx, caller, &who)?;
        let user = match &self.user {
            None => None,
            Some(name) => Some(tx.user_named(&caller.org, &named(name)?)?.id.0),
        };
        let mut eye = Eye {
            caller,
            who: &who,
            all: who.sees_all() || all_of_it,
            views: HashMap::new(),
            manages: HashMap::new(),
        };
        let fetch = if eye.all { limit as i64 + 1 } else { 500 };
        let mut logins = Logins::default();
        let (mut events, mut size, mut scanned) = (Vec::new(), 0, 0);
        loop {
            let filter = AuditFilter {
                viewer: Some(who.user.clone()),
                sees_others: true,
                object_id: object.clone(),
                user_id: user.clone(),
                operation: self.operation.clone(),
                outcome: self.outcome.map(|o| o.as_str().to_owned()),
                since: self.since,
                until: self.until,
                before_seq: before,
                limit: fetch,
            };
            let page = tx.search_audit(&caller.org, &filter)?;
            let is_last = (page.len() as i64) < fetch;
            for row in page {
                let seq = row.seq;
                scanned += 1;
                if eye.sees(tx, &row)? {
                    let event = EventRow::of(tx, &mut logins, row)?;
                    let bytes = serde_json::to_string(&event)
                        .map_err(|e| internal("an event is not JSON").because(e))?
                        .len();
                    let is_full = events.len() == limit || size + bytes > BUDGET;
                    if is_full && !events.is_empty() {
                        return Ok(EventPage { events, next_cursor: Some((seq + 1).to_string()) });
                    }
                    size += bytes + 1;
                    events.push(event);
                }
                before = Some(seq);
            }
            if is_last {
                return Ok(EventPage { events, next_cursor: None });
            }
            if scanned >= SCANNED {
                return Ok(EventPage { events, next_cursor: before.map(|seq| seq.to_string()) });
            }
        }
    }

    fn before(&self) -> Result<Option<i64>> {
        let Some(cursor) = &self.cursor else { return Ok(None) };
        let seq = cursor.parse::<i64>().ok().filter(|seq| *seq > 0);
        seq.map(Some).ok_or_else(|| invalid("this cursor is not one that search_audit_log gave"))
    }

    /// The object asked for, and whether every event about it may be read.
    fn object(&self, tx: &Reader<'_>, caller: &Caller, who: &Standing) -> Result<(Option<String>, bool)> {
        let Some(wanted) = &self.credential else { return Ok((None, false)) };
        match reach::credential_or_deleted(tx, caller, who, wanted, Need::See) {
            Ok(found) => Ok((Some(found.credential.id.0), found.access.views || found.access.manages)),
            // A purged credential is known to the log alone; an id of which it says nothing to this person is as
            // unknown as one that was never given.
            Err(e) if e.code == Code::CredentialNotFound && who.sees_all() && is_id(wanted) => {
                let id = wanted.trim().to_owned();
                let any = AuditFilter {
                    viewer: Some(who.user.clone()),
                    sees_others: true,
                    object_id: Some(id.clone()),
                    limit: 1,
                    ..AuditFilter::default()
                };
                match tx.search_audit(&caller.org, &any)?.is_empty() {
                    true => Err(e),
                    false => Ok((Some(id), false)),
                }
            }
            Err(e) => Err(e),
        }
    }
}

fn is_id(text: &str) -> bool {
    let text = text.trim();
    text.len() == 26 && text.bytes().all(|b| b.is_ascii_alphanumeric())
}

/// Decides, event by event, what this person may read.
struct Eye<'a> {
    caller: &'a Caller,
    who: &'a Standing,
    all: bool,
    /// By credential id.
    views: HashMap<String, bool>,
    manages: HashMap<String, bool>,
}

impl Eye<'_> {
    fn sees(&mut self, tx: &Reader<'_>, row: &AuditRow) -> Result<bool> {
        if is_telling(&row.operation) && !self.knows(tx, row)? {
            return Ok(false);
        }
        if self.all || row.user == self.who.user.as_str() {
            return Ok(true);
        }
        let Some(id) = row.credential_id() else { return Ok(false) };
        if let Some(views) = self.views.get(id.as_str()) {
            return Ok(*views);
        }
        let views = match tx.find_credential(&row.org, &id)? {
            None => false,
            Some(c) => {
                let access = reach::reached(tx, &row.org, self.who, c)?.access;
                access.views || access.manages
            }
        };
        self.views.insert(id.0, views);
        Ok(views)
    }

    /// Whether this person may learn which credential is a canary: not even from what they did themselves.
    fn knows(&mut self, tx: &Reader<'_>, row: &AuditRow) -> Result<bool> {
        if may_know_all(self.caller, self.who.role) {
            return Ok(true);
        }
        let Some(id) = row.credential_id() else { return Ok(is_private(self.caller)) };
        if let Some(manages) = self.manages.get(id.as_str()) {
            return Ok(*manages);
        }
        let manages = match tx.find_credential(&row.org, &id)? {
            None => false,
            Some(c) => may_know(self.caller, reach::reached(tx, &row.org, self.who, c)?.access),
        };
        self.manages.insert(id.0, manages);
        Ok(manages)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::access::{Door, GranteeKind, Level};
    use crate::model::credential::Scope;
    use crate::ops::org::fixture::Place;

    async fn search(world: &Place, who: &str, filter: SearchAuditLog) -> Vec<(String, String)> {
        let page = world.run(who, Door::Stdio, filter).await.unwrap();
        let name = |e: &EventRow| e.object.as_ref().map_or(String::new(), |o| o.name.clone());
        page.events.iter().map(|e| (e.operation.clone(), name(e))).collect()
    }
    fn about(credential: &str) -> SearchAuditLog {
        SearchAuditLog { credential: Some(credential.into()), ..SearchAuditLog::default() }
    }

    #[tokio::test]
    async fn an_auditor_reads_everything_but_what_is_personal_to_others() {
        let world = Place::new().await;
        world.credential("ORG_KEY", Scope::Org, "").await;
        world.credential("MINE", Scope::Personal, "max").await;

        for who in ["ada", "otto"] {
            let seen = search(&world, who, SearchAuditLog::default()).await;
            assert!(seen.contains(&("create_credential".into(), "ORG_KEY".into())), "{who}");
            assert!(seen.iter().all(|(_, name)| name != "MINE"), "{who}");
        }
        assert_eq!(search(&world, "max", about("MINE")).await.len(), 1);
    }

    #[tokio::test]
    async fn z_24_not_even_by_id_does_an_admin_read_of_a_personal_credential() {
        let world = Place::new().await;
        let c = world.credential("MINE", Scope::Personal, "max").await;

        for who in ["ada", "otto", "tess", "globex/ada"] {
            let refused = world.run(who, Door::Stdio, about(c.id.as_str())).await.unwrap_err();
            assert_eq!(refused.code, Code::CredentialNotFound, "{who}");
        }
    }

    #[tokio::test]
    async fn an_auditor_finds_what_the_log_says_of_a_purged_credential_by_its_id() {
        let world = Place::new().await;
        let c = world.credential("KEY", Scope::Org, "").await;
        let (id, event) = (c.id.clone(), crate::model::event::Event::of("purge_credential").on(&c));
        let purge = move |tx: &mut crate::store::Writer<'_>| {
            tx.remove::<crate::model::credential::Credential>(&[id.as_str()])?;
            tx.record(event, ())
        };
        world.app.store.write(&world.person("ada"), purge).await.unwrap();

        assert_eq!(search(&world, "otto", about(c.id.as_str())).await.len(), 2);
        let refused = world.run("max", Door::Stdio, about(c.id.as_str())).await.unwrap_err();
        assert_eq!(refused.code, Code::CredentialNotFound);
    }

    #[tokio::test]
    async fn z_23_a_member_reads_their_own_events_and_those_of_what_they_may_view() {
        let world = Place::new().await;
        let red = world.credential("RED_KEY", Scope::Team, "core").await;
        let org = world.credential("ORG_KEY", Scope::Org, "").await;
        world.used(&red, "mia", "").await;
        world.used(&org, "max", "").await;

        // tess owns core; mia only uses it; max used the org's.
        assert_eq!(search(&world, "tess", SearchAuditLog::default()).await.len(), 2);
        assert_eq!(
            search(&world, "mia", SearchAuditLog::default()).await,
            [("use".into(), "RED_KEY".into())]
        );
        assert_eq!(search(&world, "max", about("ORG_KEY")).await.len(), 1);
        assert!(search(&world, "tess", about("ORG_KEY")).await.is_empty());
        world.grant(&org, GranteeKind::User, world.user("tess").as_str(), Level::View).await;
        assert_eq!(search(&world, "tess", about("ORG_KEY")).await.len(), 3);
    }

    #[tokio::test]
    async fn z_05_nothing_of_another_org_is_found() {
        let world = Place::new().await;
        world.credential("ORG_KEY", Scope::Org, "").await;

        let seen = search(&world, "globex/ada", SearchAuditLog::default()).await;
        assert!(seen.iter().all(|(_, name)| name != "ORG_KEY"));
        let by_user = SearchAuditLog { user: Some(world.user("ada").0), ..SearchAuditLog::default() };
        assert_eq!(world.run("globex/ada", Door::Stdio, by_user).await.unwrap_err().code, Code::UserNotFound);
    }

    #[tokio::test]
    async fn filters_narrow_by_operation_outcome_person_and_time() {
        let world = Place::new().await;
        let c = world.credential("KEY", Scope::Org, "").await;
        world.used(&c, "max", "").await;
        world.clock.advance_ms(1000);
        world.used(&c, "tess", "value_missing").await;
        let now = world.app.now();

        let uses = || SearchAuditLog { operation: Some("use".into()), ..SearchAuditLog::default() };
        assert_eq!(search(&world, "otto", uses()).await.len(), 2);
        let failed = SearchAuditLog { outcome: Some(Outcome::Failed), ..uses() };
        assert_eq!(search(&world, "otto", failed).await.len(), 1);
        assert_eq!(
            search(&world, "otto", SearchAuditLog { user: Some("max".into()), ..uses() }).await.len(),
            1
        );
        assert_eq!(search(&world, "otto", SearchAuditLog { since: Some(now), ..uses() }).await.len(), 1);
        assert_eq!(search(&world, "otto", SearchAuditLog { until: Some(now), ..uses() }).await.len(), 1);
    }

    #[tokio::test]
    async fn pages_follow_each_other_without_gap_or_repeat_and_stay_small() {
        let world = Place::new().await;
        let c = world.credential("KEY", Scope::Org, "").await;
        for _ in 0..260 {
            world.used(&c, "max", "").await;
        }

        let (mut cursor, mut seen) = (None, Vec::new());
        loop {
            let ask = SearchAuditLog { cursor, limit: Some(200), ..about("KEY") };
            let page = world.run("otto", Door::Stdio, ask).await.unwrap();
            assert!(serde_json::to_string(&page).unwrap().len() < 24_000);
            seen.extend(page.events.iter().map(|e| e.seq));
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }

        assert_eq!(seen.len(), 261);
        assert!(seen.is_sorted_by(|a, b| a > b));
    }

    #[tokio::test]
    async fn z_08_a_made_up_cursor_or_limit_is_refused() {
        let world = Place::new().await;

        for cursor in ["", "x", "-1", "0", "9999999999999999999999"] {
            let ask = SearchAuditLog { cursor: Some(cursor.into()), ..SearchAuditLog::default() };
            assert_eq!(world.run("otto", Door::Stdio, ask).await.unwrap_err().code, Code::InvalidInput);
        }
        for limit in [0, 201] {
            let ask = SearchAuditLog { limit: Some(limit), ..SearchAuditLog::default() };
            assert_eq!(world.run("otto", Door::Stdio, ask).await.unwrap_err().code, Code::InvalidInput);
        }
    }
}
