//! Who and what used one credential, counted by day and by user from the log.
use super::Logins;
use crate::app::App;
use crate::clock::{DAY_MS, Millis};
use crate::error::Result;
use crate::ids::{CredentialId, OrgId};
use crate::model::access::{Caller, Standing};
use crate::model::pattern::{Unusual, Use, unusual};
use crate::ops::reach::{self, Need};
use crate::ops::{Effect, Operation, Permission, Toolset};
use crate::store::{AuditFilter, Reader};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};

/// How many days are counted one by one.
const DAYS: i64 = 30;
/// How many events are read at a time, and at most.
const FETCH: i64 = 1000;
const MOST: usize = 20_000;
/// How many users and consumers are told apart.
const USERS: usize = 20;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GetUsage {
    /// Id or name.
    #[schemars(length(min = 1, max = 200))]
    pub credential: String,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct UsageReport {
    pub credential: CredentialId,
    pub name: String,
    /// Since it exists.
    pub uses: i64,
    pub failures: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_at: Option<Millis>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_at: Option<Millis>,
    /// The last 30 days, those without use left out.
    pub by_day: Vec<DayUse>,
    /// The most frequent first.
    pub by_user: Vec<UserUse>,
    /// What the rules flagged, as new_consumer or burst; empty: nothing.
    pub unusual: Vec<Unusual>,
    /// There are more events than were counted: `first_at` is unknown, and the lists tell of the latest.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_partial: bool,
    /// In a sentence.
    pub message: String,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline)]
pub struct DayUse {
    /// UTC, as `2027-01-31`.
    pub day: String,
    pub uses: i64,
    pub failures: i64,
}

#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline)]
pub struct UserUse {
    pub user: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub consumer: String,
    pub uses: i64,
    pub failures: i64,
    pub first_at: Millis,
    pub last_at: Millis,
}

impl Operation for GetUsage {
    const NAME: &'static str = "get_usage";
    const TITLE: &'static str = "Usage of a credential";
    const ABOUT: &'static str =
        "See how often a credential is used, by whom, and whether it fails; before rotating or deleting it.";
    const TOOLSET: Toolset = Toolset::Audit;
    const EFFECT: Effect = Effect::Reads;
    const NEEDS: Permission = Permission::View;
    const IDEMPOTENT: bool = true;
    type Output = UsageReport;

    async fn run(self, app: &App, caller: &Caller) -> Result<UsageReport> {
        let caller = caller.clone();
        app.store
            .read(move |tx| {
                let who = tx.standing(&caller)?;
                let found = reach::credential_or_deleted(tx, &caller, &who, &self.credential, Need::View)?;
                let c = found.credential;
                let total = tx.usage(&c.id)?;
                let mut counted = Counted::of(tx, &caller, &c.id)?;
                let message = match total.last_at {
                    None => format!("{} was never used", c.name),
                    Some(last) => format!("{} was used {} times, last at {last}", c.name, total.uses),
                };
                Ok(UsageReport {
                    name: c.name,
                    credential: c.id,
                    uses: total.uses,
                    failures: total.failures,
                    first_at: counted.first_at.filter(|_| !counted.is_partial),
                    last_at: total.last_at,
                    by_day: counted.days(),
                    by_user: counted.users(tx, &who, &caller.org)?,
                    unusual: counted.unusual(tx, &who, &caller.org)?,
                    is_partial: counted.is_partial,
                    message,
                })
            })
            .await
    }
}

/// Uses and failures.
type Pair = (i64, i64);

#[derive(Default)]
struct Counted {
    by_day: BTreeMap<String, Pair>,
    /// By login and consumer, with the time of the last.
    by_user: BTreeMap<(String, String), (Pair, Millis, Millis)>,
    /// Newest first.
    uses: Vec<Use>,
    first_at: Option<Millis>,
    is_partial: bool,
}

impl Counted {
    fn of(tx: &Reader<'_>, caller: &Caller, id: &CredentialId) -> Result<Self> {
        let oldest_day = Millis(tx.now().0.div_euclid(DAY_MS) * DAY_MS).plus_days(1 - DAYS);
        let mut counted = Self::default();
        let mut logins = Logins::default();
        let mut ended = HashSet::new();
        let (mut before_seq, mut read) = (None, 0);
        loop {
            let filter = AuditFilter {
                viewer: Some(caller.user.clone()),
                sees_others: true,
                object_id: Some(id.0.clone()),
                operation: Some("use".into()),
                before_seq,
                limit: FETCH,
                ..AuditFilter::default()
            };
            let page = tx.search_audit(&caller.org, &filter)?;
            let is_last = (page.len() as i64) < FETCH;
            read += page.len();
            for row in page {
                before_seq = Some(row.seq);
                let failed = !matches!(row.outcome.as_str(), "ok" | "started");
                let details: serde_json::Value = serde_json::from_str(&row.details).unwrap_or_default();
                // Who looks for a leak does not use what was leaked, nor who asks whether it works.
                if details["operation"] == "scan" || details["operation"] == "test" {
                    continue;
                }
                // How a use ended that has its own event, further back: it is no second use.
                let is_end = details["ended"].is_string();
                let one: Pair = (i64::from(!failed && !is_end), i64::from(failed));
                let add = |pair: &mut Pair| *pair = (pair.0 + one.0, pair.1 + one.1);
                if row.at >= oldest_day {
                    let day = row.at.to_string().chars().take(10).collect();
                    add(counted.by_day.entry(day).or_default());
                }
                let user = logins.of(tx, &caller.org, &row.user)?;
                if is_end {
                    if failed {
                        ended.insert(row.request.clone());
                    }
                } else {
                    counted.uses.push(Use {
                        at: row.at,
                        is_ok: !failed && !ended.contains(&row.request),
                        consumer: row.consumer.clone(),
                        host: details["host"].as_str().unwrap_or_default().to_owned(),
                    });
                }
                let entry = counted.by_user.entry((user, row.consumer)).or_insert(((0, 0), row.at, row.at));
                add(&mut entry.0);
                entry.1 = row.at;
                counted.first_at = Some(row.at);
            }
            if is_last {
                return Ok(counted);
            }
            if read >= MOST {
                counted.is_partial = true;
                return Ok(counted);
            }
        }
    }

    fn days(&self) -> Vec<DayUse> {
        let row = |(day, (uses, failures)): (&String, &Pair)| DayUse {
            day: day.clone(),
            uses: *uses,
            failures: *failures,
        };
        self.by_day.iter().map(row).collect()
    }

    fn users(&self, tx: &Reader<'_>, who: &Standing, org: &OrgId) -> Result<Vec<UserUse>> {
        let mut users = Vec::new();
        for ((user, consumer), ((uses, failures), first_at, last_at)) in &self.by_user {
            users.push(UserUse {
                user: user.clone(),
                consumer: consumer_name(tx, who, org, consumer)?,
                uses: *uses,
                failures: *failures,
                first_at: *first_at,
                last_at: *last_at,
            });
        }
        users.sort_by_key(|user| std::cmp::Reverse(user.uses + user.failures));
        users.truncate(USERS);
        Ok(users)
    }

    /// What the rules of [`crate::model::pattern`] say, with names in place of ids.
    fn unusual(&mut self, tx: &Reader<'_>, who: &Standing, org: &OrgId) -> Result<Vec<Unusual>> {
        self.uses.reverse();
        for one in &mut self.uses {
            one.consumer = consumer_name(tx, who, org, &one.consumer)?;
        }
        Ok(unusual(&self.uses, tx.now()))
    }
}

/// Its name, removed or not; empty for none.
fn consumer_name(tx: &Reader<'_>, who: &Standing, org: &OrgId, id: &str) -> Result<String> {
    if id.is_empty() {
        return Ok(String::new());
    }
    crate::ops::consumer::name_of(tx, who, org, id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;
    use crate::model::access::Door;
    use crate::model::credential::Scope;
    use crate::model::event::{Event, Outcome};
    use crate::ops::org::fixture::Place;

    fn usage(credential: &str) -> GetUsage {
        GetUsage { credential: credential.into() }
    }

    #[tokio::test]
    async fn uses_are_counted_by_day_and_by_user_with_failures_apart() {
        let world = Place::new().await;
        let c = world.credential("KEY", Scope::Org, "").await;
        let first = world.app.now();
        world.used(&c, "max", "").await;
        world.clock.advance_ms(DAY_MS);
        world.used(&c, "max", "").await;
        world.used(&c, "tess", "value_missing").await;

        let report = world.run("otto", Door::Stdio, usage("KEY")).await.unwrap();

        assert_eq!((report.uses, report.failures, report.first_at), (2, 1, Some(first)));
        let days: Vec<_> = report.by_day.iter().map(|d| (d.day.as_str(), d.uses, d.failures)).collect();
        assert_eq!(days, [("2026-06-01", 1, 0), ("2026-06-02", 1, 1)]);
        assert_eq!((report.by_user[0].user.as_str(), report.by_user[0].uses), ("max", 2));
        assert!(!report.is_partial);
    }

    #[tokio::test]
    async fn how_a_use_ended_is_no_second_use_and_a_masked_echo_no_failure() {
        let world = Place::new().await;
        let c = world.credential("KEY", Scope::Org, "").await;
        world.used(&c, "max", "").await;
        world.used(&c, "max", "").await;
        for outcome in [Outcome::Ok, Outcome::Failed] {
            let event = Event::of("use").on(&c).ended(outcome, "").with("ended", "as it did");
            world.app.store.write(&world.person("max"), move |tx| tx.record(event, ())).await.unwrap();
        }

        let report = world.run("otto", Door::Stdio, usage("KEY")).await.unwrap();

        assert_eq!((report.by_day[0].uses, report.by_day[0].failures), (2, 1));
        assert_eq!((report.by_user[0].uses, report.by_user[0].failures), (2, 1));
    }

    #[tokio::test]
    async fn each_rule_flags_what_is_unusual_and_says_what_it_saw() {
        let world = Place::new().await;
        let c = world.credential("KEY", Scope::Org, "").await;
        let flagged = async || -> Vec<String> {
            let report = world.run("otto", Door::Stdio, usage("KEY")).await.unwrap();
            let told = |one: &Unusual| {
                assert!(!one.why.is_empty());
                crate::model::Word::as_str(one.rule).to_owned()
            };
            report.unusual.iter().map(told).collect()
        };
        let used = async |consumer: &str, host: &str, outcome: Outcome| {
            let mut event = Event::of("use").on(&c).ended(outcome, "").with("host", host);
            event.consumer = consumer.to_owned();
            world.app.store.write(&world.person("max"), move |tx| tx.record(event, ())).await.unwrap();
        };
        // A month of what is usual: five times a day, at one hour, by one consumer, to one host.
        for _ in 0..30 {
            for _ in 0..5 {
                used("of-long", "api.example", Outcome::Ok).await;
            }
            world.clock.advance_ms(DAY_MS);
        }
        assert_eq!(flagged().await, [""; 0], "what goes on as ever is not unusual");

        used("of-today", "api.example", Outcome::Ok).await;
        assert_eq!(flagged().await, ["new_consumer"]);
        used("of-long", "elsewhere.example", Outcome::Ok).await;
        assert_eq!(flagged().await, ["new_consumer", "new_host"]);
        for _ in 0..50 {
            used("of-long", "api.example", Outcome::Ok).await;
        }
        assert_eq!(flagged().await, ["new_consumer", "new_host", "burst"]);
        world.clock.advance_ms(5 * 3_600_000);
        used("of-long", "api.example", Outcome::Ok).await;
        assert_eq!(flagged().await, ["new_consumer", "new_host", "burst", "hour_never_seen"]);
        for _ in 0..5 {
            used("of-long", "api.example", Outcome::Failed).await;
        }
        assert_eq!(flagged().await.last().map(String::as_str), Some("repeated_failures"));
        used("of-long", "api.example", Outcome::Ok).await;
        assert!(!flagged().await.contains(&"repeated_failures".to_owned()), "one that works ends the row");
    }

    #[tokio::test]
    async fn use_of_long_ago_counts_in_the_total_and_not_by_day() {
        let world = Place::new().await;
        let c = world.credential("KEY", Scope::Org, "").await;
        world.used(&c, "max", "").await;
        world.clock.advance_ms(40 * DAY_MS);

        let report = world.run("ada", Door::Stdio, usage("KEY")).await.unwrap();

        assert_eq!((report.uses, report.by_day.len(), report.by_user.len()), (1, 0, 1));
    }

    #[tokio::test]
    async fn z_23_whoever_may_only_use_it_does_not_see_who_else_does() {
        let world = Place::new().await;
        world.credential("RED_KEY", Scope::Team, "core").await;
        world.credential("MINE", Scope::Personal, "max").await;

        for (who, name, code) in [
            ("mia", "RED_KEY", Code::NotAllowed),
            ("max", "RED_KEY", Code::CredentialNotFound),
            ("ada", "MINE", Code::CredentialNotFound),
            ("globex/ada", "RED_KEY", Code::CredentialNotFound),
        ] {
            assert_eq!(world.run(who, Door::Stdio, usage(name)).await.unwrap_err().code, code, "{who}");
        }
        assert_eq!(world.run("max", Door::Stdio, usage("MINE")).await.unwrap().uses, 0);
    }
}
