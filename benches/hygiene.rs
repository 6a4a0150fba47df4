//! The hygiene report over a hundred thousand credentials: everything planted is found, nothing else is, in time and in memory.
//!
//! `cargo bench --bench hygiene [-- COUNT]`. The vault is filled through the operations that people use; the report is made by a
//! process of its own, which opens the vault, so that its time and its memory are what a first call costs.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "../tests/support/world.rs"]
#[allow(dead_code)]
mod world;

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use unsaid::app::App;
use unsaid::clock::FixedClock;
use unsaid::config::{Config, File, Origin, Places};
use unsaid::ids::{ConsumerId, CredentialId, OrgId, ProviderId, TeamId, UserId};
use unsaid::model::Word;
use unsaid::model::access::{Caller, Door};
use unsaid::model::connection::{Connection, GrantKind};
use unsaid::model::consumer::{Binding, BindingSource, Consumer, ConsumerKind, Delivery};
use unsaid::model::credential::{Credential, CredentialType, Environment, Scope, Source};
use unsaid::model::event::{Event, Outcome};
use unsaid::model::hygiene::FindingKind;
use unsaid::model::org::{Membership, Role, Team, TeamRole, User};
use unsaid::ops::confirm::NoOne;
use unsaid::ops::credential::create::CreateCredential;
use unsaid::ops::credential::value::{Entry, Target, enter_many};
use unsaid::ops::{Limits, Reply, find_entry};
use unsaid::secret::SecretBytes;
use world::{START, World};

const PLANTED: usize = 10;
const TEAMS: usize = 30;
const USERS: usize = 200;
const CONSUMERS: usize = 500;
/// The day on which the report is made, counted from the beginning.
const TODAY: i64 = 220;
const MOST_SECONDS: f64 = 2.0;
const MOST_MB: u64 = 200;

/// One use: day, user, through a consumer.
type Use = (i64, usize, bool);

/// A credential to be made.
struct Plan {
    create: CreateCredential,
    values: Vec<(&'static str, String)>,
    uses: Vec<Use>,
    /// Entered by somebody who is gone by now.
    by_gone: bool,
    rotation_days: Option<i64>,
}

/// A value that no rule looks twice at: 32 characters that nobody guesses.
fn strong(n: usize) -> String {
    use sha2::Digest;
    let hash = sha2::Sha256::digest(n.to_be_bytes());
    hash.iter().take(16).map(|b| format!("{b:02x}")).collect()
}

fn github(n: usize) -> String {
    format!("{}{}{}", ["gh", "p_"].concat(), strong(n), &strong(n + 1)[..4])
}

fn stripe(n: usize) -> String {
    format!("{}{}", ["sk_", "live_"].concat(), &strong(n)[..24])
}

/// People of two different teams, so that no one team has all.
fn clean_uses(n: usize) -> Vec<Use> {
    let times = if n.is_multiple_of(50) { 3 } else { 1 };
    (0..times)
        .flat_map(|t| [(TODAY - 1 - t, n % USERS, true), (TODAY - 2 - t, (n + 1) % USERS, true)])
        .collect()
}

fn plan(n: usize, name: String, scope: Scope) -> Plan {
    let team = (scope == Scope::Team).then(|| format!("team {}", n % TEAMS));
    let create = CreateCredential {
        name,
        scope: Some(scope),
        team,
        account: Some(format!("account {n}")),
        service: Some("openai".into()),
        description: Some(format!("serves invoice run {n} of the ledger")),
        environment: Some(Environment::Prod),
        ..CreateCredential::default()
    };
    Plan {
        create,
        values: vec![("value", strong(n))],
        uses: clean_uses(n),
        by_gone: false,
        rotation_days: None,
    }
}

fn clean(n: usize) -> Plan {
    let scope = [Scope::Org, Scope::Org, Scope::Team, Scope::Team, Scope::Personal][n % 5];
    let mut one = plan(n, format!("INVOICE_{n:06}_TOKEN"), scope);
    if n.is_multiple_of(10) {
        one.create.service = Some("github".into());
        one.values = vec![("value", github(n))];
    }
    if n.is_multiple_of(7) {
        one.rotation_days = Some(365);
    }
    one
}

/// Ten of each kind that is about credentials; connections and consumers are planted beside.
fn planted() -> Vec<Plan> {
    let mut all = Vec::new();
    let mut next = 1_000_000;
    let mut add = |name: &str, i: usize, scope: Scope, change: &dyn Fn(&mut Plan, usize)| {
        next += 3;
        let mut one = plan(next, format!("PLANTED_{name}_{i}"), scope);
        change(&mut one, next);
        all.push(one);
    };
    for i in 0..PLANTED {
        add("EXPIRED", i, Scope::Org, &|p, _| p.create.expires_at = Some(START.plus_days(100)));
        add("WEAK", i, Scope::Org, &|p, _| {
            p.create.kind = Some(CredentialType::Basic);
            p.values = vec![("username", "billing".into()), ("password", "hunter2".into())];
        });
        for twin in ["LEFT", "RIGHT"] {
            add(twin, i, Scope::Org, &|p, _| p.values = vec![("value", strong(2_000_000 + i))]);
        }
        add("LIVE", i, Scope::Org, &|p, n| {
            p.create.service = Some("stripe".into());
            p.create.environment = Some(Environment::Staging);
            p.values = vec![("value", stripe(n))];
        });
        add("OVERDUE", i, Scope::Org, &|p, _| p.rotation_days = Some(30));
        add("WRONG", i, Scope::Org, &|p, n| {
            p.create.service = Some("stripe".into());
            p.values = vec![("value", github(n))];
        });
        add("LEFT_BEHIND", i, Scope::Org, &|p, _| p.by_gone = true);
        add("WIDE", i, Scope::Org, &|p, _| p.uses = (1..7).map(|day| (TODAY - day, 5, true)).collect());
        add("UNUSED180", i, Scope::Personal, &|p, _| p.uses = vec![(10, 1, true)]);
        add("UNUSED90", i, Scope::Personal, &|p, _| p.uses = vec![(TODAY - 120, 1, true)]);
        add("UNUSED30", i, Scope::Org, &|p, _| p.uses = vec![(TODAY - 50, 1, true)]);
        add("NEVER", i, Scope::Personal, &|p, _| p.uses = Vec::new());
        add("UNBOUND", i, Scope::Org, &|p, _| p.uses = vec![(TODAY - 1, 1, false), (TODAY - 2, 2, false)]);
        for twin in ["ONE", "OTHER"] {
            add(twin, i, Scope::Org, &|p, _| p.create.account = Some(format!("twice {i}")));
        }
        for team in 0..3 {
            add("x", i, Scope::Team, &|p, _| {
                p.create.name = format!("EVERYWHERE_{i}");
                p.create.account = Some(format!("everywhere {i}"));
                p.create.team = Some(format!("team {}", i + team));
            });
        }
        add("x", i, Scope::Org, &|p, _| p.create.name = format!("API_KEY_{i}"));
        add("UNDESCRIBED", i, Scope::Org, &|p, _| p.create.description = Some("todo".into()));
    }
    all
}

fn user(n: usize) -> UserId {
    UserId(format!("user-bench-{n:04}"))
}

fn team(n: usize) -> TeamId {
    TeamId(format!("team-bench-{n:04}"))
}

fn consumer(n: usize) -> ConsumerId {
    ConsumerId(format!("{n:026}"))
}

/// Users, each in the team of its number; ada leads all teams, and somebody leaves.
async fn people(w: &World) {
    let (org, ada) = (w.org.clone(), w.person("ada"));
    w.app
        .store
        .write(&ada.clone(), move |tx| {
            for n in 0..=USERS {
                tx.insert(&mut User {
                    id: user(n),
                    org_id: org.clone(),
                    login: format!("bench-{n}"),
                    display_name: String::new(),
                    role: if n == USERS { Role::Admin } else { Role::Member },
                    created_at: START,
                    disabled_at: None,
                    revision: 0,
                })?;
            }
            let member = |team_id, user_id, role| Membership {
                team_id,
                user_id,
                org_id: org.clone(),
                role,
                created_at: START,
                revision: 0,
            };
            for n in 0..TEAMS {
                let name = format!("team {n}");
                tx.insert(&mut Team {
                    id: team(n),
                    org_id: org.clone(),
                    name,
                    created_at: START,
                    deleted_at: None,
                    revision: 0,
                })?;
                tx.insert(&mut member(team(n), ada.user.clone(), TeamRole::Owner))?;
            }
            for n in 0..USERS {
                tx.insert(&mut member(team(n % TEAMS), user(n), TeamRole::Member))?;
            }
            tx.record(Event::of("bench"), ())
        })
        .await
        .unwrap();
}

fn binding(org: &OrgId, by: &UserId, n: usize, variable: &str, source: BindingSource, text: &str) -> Binding {
    Binding {
        consumer_id: consumer(n),
        variable: variable.into(),
        org_id: org.clone(),
        source,
        delivery: Delivery::Env,
        credential: String::new(),
        field: String::new(),
        account: String::new(),
        environment: None,
        team_id: String::new(),
        service: String::new(),
        text: text.into(),
        methods: Vec::new(),
        paths: Vec::new(),
        is_required: true,
        created_at: START,
        created_by: by.clone(),
        revision: 0,
    }
}

/// Consumers that are bound to clean credentials of the org, and ten each that lack something, hold a plain secret, or fail.
async fn consumers(w: &World, count: usize) {
    let (org, by) = (w.org.clone(), w.person("ada"));
    w.app
        .store
        .write(&by.clone(), move |tx| {
            for n in 0..CONSUMERS {
                tx.insert(&mut Consumer {
                    id: consumer(n),
                    org_id: org.clone(),
                    name: format!("service-{n}"),
                    name_key: format!("service-{n}"),
                    kind: ConsumerKind::Workflow,
                    scope: Scope::Org,
                    owner_id: String::new(),
                    description: String::new(),
                    stack: String::new(),
                    run_by: Vec::new(),
                    definition: String::new(),
                    command: Vec::new(),
                    url: String::new(),
                    created_at: START,
                    created_by: by.user.clone(),
                    updated_at: START,
                    deleted_at: None,
                    revision: 0,
                })?;
                for b in 0..20 {
                    let bound = (n * 20 + b) * 5 % count / 5 * 5;
                    let name = format!("INVOICE_{bound:06}_TOKEN");
                    tx.insert(&mut binding(&org, &by.user, n, &name, BindingSource::OrgSecret, ""))?;
                }
                tx.insert(&mut binding(&org, &by.user, n, "REGION", BindingSource::Static, "eu-central"))?;
                if n < PLANTED {
                    tx.insert(&mut binding(
                        &org,
                        &by.user,
                        n,
                        "NOWHERE_TOKEN",
                        BindingSource::OrgSecret,
                        "",
                    ))?;
                } else if n < 2 * PLANTED {
                    tx.insert(&mut binding(
                        &org,
                        &by.user,
                        n,
                        "LEGACY_TOKEN",
                        BindingSource::Static,
                        "some words",
                    ))?;
                }
            }
            tx.record(Event::of("bench"), ())
        })
        .await
        .unwrap();
}

/// Ten connections with a scope that the catalogue marks as admin.
async fn connections(w: &World) {
    let by = w.person("ada");
    w.app
        .store
        .write(&by.clone(), move |tx| {
            for i in 0..PLANTED {
                let name = format!("PLANTED_BROAD_{i}");
                let mut c = Credential {
                    id: CredentialId::fresh(),
                    org_id: by.org.clone(),
                    name_key: name.clone(),
                    name,
                    kind: CredentialType::OAuth,
                    source: Source::OAuth,
                    scope: Scope::Personal,
                    owner_id: by.user.0.clone(),
                    service: "github".into(),
                    account: format!("broad {i}"),
                    environment: Environment::Any,
                    description: String::new(),
                    tags: Vec::new(),
                    fields: Vec::new(),
                    provider_id: Some(ProviderId::from("p")),
                    expires_at: None,
                    rotation_days: None,
                    current_version: Some(1),
                    value_set_at: Some(tx.now()),
                    value_set_by: Some(by.user.clone()),
                    created_at: START,
                    created_by: by.user.clone(),
                    updated_at: START,
                    deleted_at: None,
                    deleted_by: None,
                    revision: 0,
                };
                tx.insert(&mut c)?;
                let scopes = vec!["read:user".to_owned(), "admin:org".to_owned()];
                tx.insert(&mut Connection {
                    scopes_asked: scopes.clone(),
                    scopes_granted: scopes,
                    has_refresh: true,
                    ..Connection::fresh(
                        c.id.clone(),
                        by.org.clone(),
                        ProviderId::from("p"),
                        GrantKind::AuthorizationCode,
                        by.user.clone(),
                        tx.now(),
                    )
                })?;
            }
            tx.record(Event::of("bench"), ())
        })
        .await
        .unwrap();
}

/// Enters every value as people do, a thousand at a time, and writes their uses.
async fn fill(w: &World, plans: Vec<Plan>) {
    type Used = (CredentialId, Scope, bool);
    let mut uses: BTreeMap<(i64, usize), Vec<Used>> = BTreeMap::new();
    let gone = Caller::new(w.org.clone(), user(USERS), Door::Cli);
    let mut plans = plans.into_iter().peekable();
    while plans.peek().is_some() {
        let some: Vec<_> = plans.by_ref().take(1000).collect();
        for by_gone in [false, true] {
            let chosen: Vec<_> = some.iter().filter(|p| p.by_gone == by_gone).collect();
            if chosen.is_empty() {
                continue;
            }
            let entries = chosen.iter().map(|p| Entry {
                target: Target::New(Box::new(p.create.clone())),
                values: p
                    .values
                    .iter()
                    .map(|(field, text)| ((*field).to_owned(), SecretBytes::copied(text.as_bytes())))
                    .collect(),
                file_name: String::new(),
            });
            let by = if by_gone { gone.clone() } else { w.person("ada") };
            let entered = enter_many(&w.app, &by, entries.collect()).await.unwrap();
            let mut policies = Vec::new();
            for (p, made) in chosen.iter().zip(entered) {
                let id = CredentialId::from(made.id.as_str());
                policies.extend(p.rotation_days.map(|days| (id.clone(), days)));
                for (day, who, through) in &p.uses {
                    uses.entry((*day, *who)).or_default().push((id.clone(), made.scope, *through));
                }
            }
            rotate_every(w, policies).await;
        }
    }
    for ((day, who), some) in uses {
        w.clock.advance_ms(START.plus_days(day).0 - w.app.now().0);
        let by = Caller::new(w.org.clone(), user(who), Door::Cli);
        w.app
            .store
            .write(&by, move |tx| {
                for (n, (id, scope, through)) in some.into_iter().enumerate() {
                    tx.count_use(&id, true)?;
                    let mut event = Event::of("use").about("credential", id.as_str(), "");
                    event.object.scope = Some(scope);
                    event.object.owner = "user-acme-ada".into();
                    if through {
                        // Those that fail, and those below them, are others.
                        event.consumer = consumer(3 * PLANTED + n % (CONSUMERS - 3 * PLANTED)).0;
                    }
                    tx.note(event)?;
                }
                tx.record(Event::of("bench"), ())
            })
            .await
            .unwrap();
    }
}

async fn rotate_every(w: &World, policies: Vec<(CredentialId, i64)>) {
    let org = w.org.clone();
    w.app
        .store
        .write(&w.person("ada"), move |tx| {
            for (id, days) in policies {
                let mut c = tx.find_credential(&org, &id)?.unwrap();
                c.rotation_days = Some(days);
                tx.save(&mut c)?;
            }
            tx.record(Event::of("bench"), ())
        })
        .await
        .unwrap();
}

/// Uses that fail, of the consumers between 20 and 30.
async fn failures(w: &World) {
    w.app
        .store
        .write(&w.person("ada"), |tx| {
            for n in 2 * PLANTED..3 * PLANTED {
                for _ in 0..3 {
                    let mut event = Event::of("use")
                        .about("consumer", consumer(n).as_str(), "")
                        .ended(Outcome::Failed, "unresolved");
                    event.object.scope = Some(Scope::Org);
                    event.consumer = consumer(n).0;
                    tx.note(event)?;
                }
            }
            tx.record(Event::of("bench"), ())
        })
        .await
        .unwrap();
}

async fn everything(app: &App, by: &Caller, mut arguments: Value) -> (Value, BTreeMap<String, usize>) {
    let entry = find_entry("audit_credentials").unwrap();
    let (mut first, mut seen) = (Value::Null, BTreeMap::new());
    loop {
        let given = arguments.as_object().unwrap().clone();
        let Reply::Done(page) =
            unsaid::ops::call(app, by, entry, &Limits::default(), given, &NoOne).await.unwrap()
        else {
            panic!("a report asks nobody");
        };
        assert!(page.to_string().len() < 24_000);
        for one in page["findings"].as_array().unwrap() {
            *seen.entry(one["kind"].as_str().unwrap().to_owned()).or_default() += 1;
        }
        arguments["cursor"] = page["next_cursor"].clone();
        if first.is_null() {
            first = page;
        }
        if arguments["cursor"].is_null() {
            return (first, seen);
        }
        arguments.as_object_mut().unwrap().retain(|_, v| !v.is_null());
    }
}

fn peak_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    line.and_then(|line| line.split_whitespace().nth(1)).and_then(|kb| kb.parse::<u64>().ok()).unwrap_or(0)
        / 1024
}

/// The process that makes the report.
async fn report(home: &Path) {
    let config = Config {
        places: Places {
            data: home.join("data"),
            config: home.join("config"),
            keys: home.join("keys"),
            origin: Origin::Environment,
        },
        file: File::default(),
    };
    let clock = Arc::new(FixedClock::at(START.plus_days(TODAY)));
    let opening = Instant::now();
    let app = App::open_with(config, clock, None).unwrap();
    println!("opening the vault          {:>8.3} s, {} MB", opening.elapsed().as_secs_f64(), peak_mb());
    let by = Caller::new(OrgId::from("acme"), UserId::from("user-acme-ada"), Door::Stdio);
    let entry = find_entry("audit_credentials").unwrap();
    let mut times = Vec::new();
    for _ in 0..6 {
        let began = Instant::now();
        unsaid::ops::call(&app, &by, entry, &Limits::default(), serde_json::Map::new(), &NoOne)
            .await
            .unwrap();
        times.push(began.elapsed().as_secs_f64());
    }
    let first = times.remove(0);
    times.sort_by(f64::total_cmp);
    let (median, peak) = (times[times.len() / 2], peak_mb());
    println!("the first report           {first:>8.3} s");
    println!("a report, median of five   {median:>8.3} s");
    println!("peak memory                {peak:>8} MB");
    let (first_page, seen) = everything(&app, &by, json!({})).await;
    println!("findings                   {:>8}", first_page["total"]);
    for (word, _) in FindingKind::WORDS {
        assert_eq!(seen.get(*word).copied().unwrap_or(0), PLANTED, "{word} of {seen:?}");
    }
    assert_eq!(seen.len(), FindingKind::WORDS.len(), "{seen:?}");
    println!("of each of {} kinds exactly the {PLANTED} that were planted", seen.len());
    assert!(first.max(median) < MOST_SECONDS, "slower than {MOST_SECONDS} s");
    assert!(peak < MOST_MB, "more than {MOST_MB} MB");
}

#[tokio::main]
async fn main() {
    let args: Vec<String> = std::env::args().collect();
    if let Some(at) = args.iter().position(|a| a == "--report") {
        return report(Path::new(&args[at + 1])).await;
    }
    let count = args.iter().filter_map(|a| a.parse().ok()).next().unwrap_or(100_000);
    let filling = Instant::now();
    let w = World::new().await;
    people(&w).await;
    let plans: Vec<_> = (0..count).map(clean).chain(planted()).collect();
    let all = plans.len();
    fill(&w, plans).await;
    w.clock.advance_ms(START.plus_days(TODAY).0 - w.app.now().0);
    consumers(&w, count).await;
    connections(&w).await;
    failures(&w).await;
    let gone = user(USERS);
    let off = json!({"user": gone.as_str(), "disabled": true});
    w.call(&w.person("ada"), "update_user", off).await.unwrap();
    println!("filled with {all} credentials in {:.0} s", filling.elapsed().as_secs_f64());
    let home = w.folder.path().join("home");
    let done = std::process::Command::new(std::env::current_exe().unwrap())
        .arg("--report")
        .arg(&home)
        .status()
        .unwrap();
    assert!(done.success());
}
