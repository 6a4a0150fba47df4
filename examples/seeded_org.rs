//! An org as there are many, for the tests that talk with an assistant: 200 people, 30 teams, 3,000 credentials, 500
//! consumers, half a year of uses, and what goes wrong in half a year.
//!
//! `seeded_org` makes it in a new folder of the temporary directory and prints, as JSON, where it is. Everything but the
//! ids and the keys is the same each time. The values are made here and told to nobody.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "../tests/support/world.rs"]
#[allow(dead_code)]
mod world;

use serde_json::{Value, json};
use std::collections::BTreeMap;
use unsaid::clock::Millis;
use unsaid::ids::{CredentialId, TeamId, UserId};
use unsaid::model::access::{Caller, Door};
use unsaid::model::credential::{CredentialType, Environment, Scope};
use unsaid::model::event::{Event, Outcome};
use unsaid::model::org::{Membership, Role, Team, TeamRole, User};
use unsaid::ops::credential::create::CreateCredential;
use unsaid::ops::credential::value::{Entry, Target, enter_many};
use unsaid::secret::SecretBytes;
use world::{PersonYes, START, World};

const USERS: usize = 200;
const TEAMS: usize = 30;
const CREDENTIALS: usize = 3000;
const CONSUMERS: usize = 500;
/// The team whose people have left but one.
const SHRUNK: usize = 29;
/// Who leaves.
const LEAVER: usize = 17;
/// Who has left, and entered some of the org's values.
const GONE: usize = 23;

const TEAM_NAMES: [&str; TEAMS] = [
    "billing",
    "checkout",
    "search",
    "mobile",
    "data",
    "growth",
    "support",
    "security",
    "infra",
    "identity",
    "ledger",
    "pricing",
    "catalogue",
    "shipping",
    "returns",
    "fraud",
    "ads",
    "email",
    "web",
    "design",
    "research",
    "partners",
    "legal",
    "people",
    "finance",
    "sales",
    "insight",
    "platform",
    "release",
    "archive",
];
/// Services, and what people call their keys.
const SERVICES: [(&str, &str); 10] = [
    ("github", "GITHUB"),
    ("openai", "OPENAI"),
    ("anthropic", "ANTHROPIC"),
    ("stripe", "STRIPE"),
    ("slack", "SLACK"),
    ("sendgrid", "SENDGRID"),
    ("datadog", "DATADOG"),
    ("sentry", "SENTRY"),
    ("cloudflare", "CLOUDFLARE"),
    ("gitlab", "GITLAB"),
];
const WORK: [&str; 12] = [
    "DEPLOY",
    "REPORTS",
    "INVOICES",
    "BACKUP",
    "ALERTS",
    "SYNC",
    "CRAWLER",
    "EXPORT",
    "WEBHOOK",
    "METRICS",
    "MIGRATION",
    "PREVIEW",
];

/// So many characters that nobody guesses.
fn strong(n: usize, length: usize) -> String {
    use sha2::Digest;
    let hash = |part: usize| sha2::Sha256::digest(format!("{n} {part}").as_bytes());
    let text: String = (0..2).flat_map(|part| hash(part).to_vec()).map(|b| format!("{b:02x}")).collect();
    text[..length].to_owned()
}

/// A key of the service, as it issues them; something that could be one where we do not know how.
fn key_of(service: &str, n: usize) -> String {
    match service {
        "github" => format!("{}{}", ["gh", "p_"].concat(), strong(n, 36)),
        "stripe" => format!("{}{}", ["sk_", "live_"].concat(), strong(n, 24)),
        _ => strong(n, 40),
    }
}

fn user(n: usize) -> UserId {
    UserId(format!("user-acme-{:03}", n))
}

fn login(n: usize) -> String {
    format!("user{n:03}")
}

fn team(n: usize) -> TeamId {
    TeamId(format!("team-acme-{}", TEAM_NAMES[n]))
}

/// A credential, who enters it, and on which days before today it was used by whom.
struct Plan {
    by: Caller,
    create: CreateCredential,
    values: Vec<(&'static str, String)>,
    uses: Vec<(i64, usize)>,
}

/// Everybody in a team or two, each with a lead.
async fn people(w: &World) {
    let (org, ada) = (w.org.clone(), w.person("ada"));
    let made = w.app.store.write(&ada, move |tx| {
        for n in 0..USERS {
            tx.insert(&mut User {
                id: user(n),
                org_id: org.clone(),
                login: login(n),
                display_name: String::new(),
                role: Role::Member,
                created_at: START,
                disabled_at: None,
                revision: 0,
            })?;
        }
        for (n, name) in TEAM_NAMES.iter().enumerate() {
            tx.insert(&mut Team {
                id: team(n),
                org_id: org.clone(),
                name: (*name).to_owned(),
                created_at: START,
                deleted_at: None,
                revision: 0,
            })?;
        }
        for n in 0..USERS {
            // Everybody's first team; every third works in a second one.
            let second = (n * 7 + 3) % TEAMS;
            let is_in_two = n.is_multiple_of(3) && second != n % TEAMS;
            for team_of in [Some(n % TEAMS), is_in_two.then_some(second)].into_iter().flatten() {
                tx.insert(&mut Membership {
                    team_id: team(team_of),
                    user_id: user(n),
                    org_id: org.clone(),
                    role: if n == team_of { TeamRole::Owner } else { TeamRole::Member },
                    created_at: START,
                    revision: 0,
                })?;
            }
        }
        tx.record(Event::of("seed"), ())
    });
    made.await.unwrap();
}

fn plan(w: &World, n: usize, scope: Scope, owner: usize, name: String) -> Plan {
    let (service, _) = SERVICES[n % SERVICES.len()];
    let by = match scope {
        Scope::Org => w.person("ada"),
        _ => Caller::new(w.org.clone(), user(owner), Door::Cli),
    };
    let create = CreateCredential {
        name,
        scope: Some(scope),
        team: (scope == Scope::Team).then(|| TEAM_NAMES[owner].to_owned()),
        service: Some(service.into()),
        account: Some(format!("account-{n}")),
        environment: Some(Environment::Prod),
        description: Some(format!("{} of the nightly run {n}", WORK[n % WORK.len()].to_lowercase())),
        ..CreateCredential::default()
    };
    // The org's are used by several teams, a team's by two of its people, and each in the last days.
    let users = match scope {
        Scope::Org => vec![n % USERS, (n + 1) % USERS],
        Scope::Team => vec![owner, owner + TEAMS],
        Scope::Personal => vec![owner],
    };
    let uses =
        users.into_iter().enumerate().map(|(day, user)| (1 + day as i64 + (n % 5) as i64, user)).collect();
    Plan { by, create, values: vec![("value", key_of(service, n))], uses }
}

fn name_of(n: usize) -> String {
    let (_, service) = SERVICES[n % SERVICES.len()];
    format!("{service}_{}_{n:04}_TOKEN", WORK[n % WORK.len()])
}

fn plans(w: &World) -> Vec<Plan> {
    let mut all = Vec::new();
    let mut add = |scope: Scope, owner: usize, name: &str, change: &dyn Fn(&mut Plan)| {
        let n = all.len();
        let name = if name.is_empty() { name_of(n) } else { name.to_owned() };
        let mut one = plan(w, n, scope, owner, name);
        change(&mut one);
        all.push(one);
    };
    let of = |service: &'static str, value: String| {
        move |p: &mut Plan| {
            p.create.service = Some(service.into());
            p.values = vec![("value", value.clone())];
        }
    };
    // What goes wrong: the same key in three places, a live key on a test machine, words for passwords, ends, leavers.
    for (scope, owner, name) in [
        (Scope::Org, 0, "STRIPE_PAYMENTS_KEY"),
        (Scope::Team, 3, "STRIPE_REFUNDS_KEY"),
        (Scope::Team, 4, "STRIPE_OLD_KEY"),
    ] {
        add(scope, owner, name, &|p| {
            of("stripe", key_of("stripe", 90_001))(p);
            if name == "STRIPE_OLD_KEY" {
                p.uses.clear();
            }
        });
    }
    add(Scope::Team, 1, "STRIPE_CHECKOUT_KEY", &|p| {
        of("stripe", key_of("stripe", 90_002))(p);
        p.create.environment = Some(Environment::Dev);
    });
    for owner in [2, 5] {
        add(Scope::Team, owner, "REPORTING_LOGIN", &|p| {
            p.create.kind = Some(CredentialType::Basic);
            p.create.service = None;
            p.values = vec![("username", "reports".into()), ("password", ["sum", "mer1"].concat())];
        });
    }
    for owner in 6..12 {
        add(Scope::Team, owner, "OPENAI_API_KEY", &|p| {
            of("openai", strong(90_100 + owner, 48))(p);
            p.create.account = None;
        });
    }
    for n in 0..4 {
        add(Scope::Org, 0, "", &|p| p.create.expires_at = Some(Millis(START.0 + (30 + n) * 86_400_000)));
        add(Scope::Team, 8, &format!("API_KEY_{n}"), &|p| p.create.description = None);
        add(Scope::Team, 9, "", &|p| p.uses = vec![(100 + n, 9)]);
        add(Scope::Org, 0, "", &|p| p.uses = Vec::new());
        add(Scope::Org, 0, "", &|p| p.uses = (0..7).map(|day| (1 + day, 40)).collect());
    }
    add(Scope::Org, 0, "LEDGER_API_KEY", &|p| {
        // The service of our own is made known when the org is there.
        p.create.service = None;
        p.create.account = None;
        p.uses = (1..20).map(|day| (day, day as usize)).collect();
    });
    add(Scope::Team, LEAVER, "DATADOG_PAGER_KEY", &|p| p.uses = (1..6).map(|day| (day, LEAVER)).collect());
    let rest = CREDENTIALS - all.len();
    let mut others = Vec::with_capacity(rest);
    for n in 0..rest {
        let (scope, owner) = match n % 10 {
            0 | 1 => (Scope::Org, 0),
            2..=6 => (Scope::Team, n / 10 % TEAMS),
            _ => (Scope::Personal, n % USERS),
        };
        let n = all.len() + n;
        others.push(plan(w, n, scope, owner, name_of(n)));
    }
    all.extend(others);
    all
}

/// Which credential is used, of which scope, and its number among those of who entered it.
type Used = (CredentialId, Scope, usize);

/// Enters every value as people do; then half a year of uses, two of three of them through a consumer.
async fn fill(w: &World, plans: Vec<Plan>, consumers: &[String], today: i64) {
    let mut by_person: BTreeMap<UserId, Vec<Plan>> = BTreeMap::new();
    for plan in plans {
        by_person.entry(plan.by.user.clone()).or_default().push(plan);
    }
    let mut uses: BTreeMap<(i64, usize), Vec<Used>> = BTreeMap::new();
    for plans in by_person.into_values() {
        let entries = plans.iter().map(|p| Entry {
            target: Target::New(Box::new(p.create.clone())),
            values: p
                .values
                .iter()
                .map(|(f, text)| ((*f).to_owned(), SecretBytes::copied(text.as_bytes())))
                .collect(),
            file_name: String::new(),
        });
        let entered = enter_many(&w.app, &plans[0].by, entries.collect()).await.unwrap();
        for (n, (plan, made)) in plans.iter().zip(entered).enumerate() {
            for (days_ago, who) in &plan.uses {
                let id = CredentialId::from(made.id.as_str());
                uses.entry((today - days_ago, *who)).or_default().push((id, made.scope, n));
            }
        }
    }
    for ((day, who), some) in uses {
        w.clock.advance_ms(START.plus_days(day).0 + 9 * 3_600_000 - w.app.now().0);
        let by = Caller::new(w.org.clone(), user(who % USERS), Door::Cli);
        let consumers = consumers.to_vec();
        let noted = w.app.store.write(&by, move |tx| {
            for (id, scope, n) in some {
                tx.count_use(&id, true)?;
                let mut event = Event::of("use").about("credential", id.as_str(), "");
                event.object.scope = Some(scope);
                if !n.is_multiple_of(3) {
                    event.consumer = consumers[n % consumers.len()].clone();
                }
                tx.note(event)?;
            }
            tx.record(Event::of("seed"), ())
        });
        noted.await.unwrap();
    }
}

/// Agents, servers and workflows of the org and its teams, each with what it needs. Gives back those that do well.
async fn consumers(w: &World) -> Vec<String> {
    let mut all = Vec::new();
    let mut by_team: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    let mut of_org = Vec::new();
    let is_for_all =
        |p: &Plan| p.create.kind != Some(CredentialType::Basic) && p.create.name != "LEDGER_API_KEY";
    for p in plans(w).into_iter().filter(is_for_all) {
        match (p.create.scope, &p.create.team) {
            (Some(Scope::Org), _) => of_org.push(p.create.name),
            (_, Some(name)) => {
                let n = TEAM_NAMES.iter().position(|t| t == name).unwrap();
                by_team.entry(n).or_default().push(p.create.name);
            }
            _ => {}
        }
    }
    for n in 0..CONSUMERS - 2 {
        let team = n % (TEAMS + 6);
        let kind = ["agent", "mcp_server", "workflow", "integration"][n % 4];
        let (by, names, source) = match by_team.get(&team) {
            Some(names) => (Caller::new(w.org.clone(), user(team), Door::Cli), names, "team_secret"),
            None => (w.person("ada"), &of_org, "org_secret"),
        };
        let mut bindings: Vec<Value> = (0..4)
            .map(|b| &names[(n / 7 * 4 + b) % names.len()])
            .map(|name| json!({"variable": name, "credential": name, "source": source}))
            .collect();
        bindings.push(json!({"variable": "REGION", "source": "static", "text": "eu-central-1"}));
        if n.is_multiple_of(90) {
            bindings.push(json!({"variable": "WAREHOUSE_TOKEN", "source": source}));
        }
        let mut given = json!({"name": format!("{kind}-{n:03}"), "kind": kind, "bindings": bindings});
        given["scope"] = json!(if source == "org_secret" { "org" } else { "team" });
        if source == "team_secret" {
            given["team"] = json!(TEAM_NAMES[team]);
        }
        let made = w.call_with(&by, "register_consumer", given, &PersonYes).await.unwrap();
        all.push(made["consumer"]["id"].as_str().unwrap().to_owned());
    }
    for name in ["bookkeeper", "auditor"] {
        let bindings = json!([{"variable": "LEDGER_API_KEY", "source": "org_secret"}]);
        let given = json!({"name": name, "kind": "agent", "scope": "org", "bindings": bindings});
        let made = w.call_with(&w.person("ada"), "register_consumer", given, &PersonYes).await.unwrap();
        all.push(made["consumer"]["id"].as_str().unwrap().to_owned());
    }
    all
}

/// Three that fail since yesterday, and two people who have left, one of them the only one of a team.
async fn misfortunes(w: &World, consumers: &[String]) {
    let failing = consumers[..3].to_vec();
    let ada = w.person("ada");
    let noted = w.app.store.write(&ada, move |tx| {
        for id in failing.iter().flat_map(|id| [id; 4]) {
            let mut event = Event::of("use").about("consumer", id, "").ended(Outcome::Failed, "unresolved");
            event.object.scope = Some(Scope::Org);
            event.consumer = id.clone();
            tx.note(event)?;
        }
        tx.record(Event::of("seed"), ())
    });
    noted.await.unwrap();
    for gone in [GONE, SHRUNK] {
        let off = json!({"user": user(gone).0, "disabled": true});
        w.call_with(&ada, "update_user", off, &PersonYes).await.unwrap();
    }
}

#[tokio::main]
async fn main() {
    let w = World::new().await;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let today = (now.as_millis() as i64 - START.0) / 86_400_000;
    assert!(
        today > 130,
        "the clock of this machine is wrong: it is {today} days after the first of June 2026"
    );
    people(&w).await;
    let all = plans(&w);
    let known: Vec<_> = consumers(&w).await;
    fill(&w, all, &known[10..], today).await;
    w.clock.advance_ms(START.plus_days(today).0 - w.app.now().0);
    misfortunes(&w, &known).await;
    let counted = json!({
        "home": w.folder.path().join("home"), "org": w.org.0, "user": w.person("ada").user.0,
        "users": USERS, "teams": TEAMS, "credentials": CREDENTIALS, "consumers": CONSUMERS,
        "leaver": login(LEAVER), "member": user(0).0,
    });
    let config = w.app.config.places.config.clone();
    std::fs::create_dir_all(&config).unwrap();
    let identity = format!("[identity]\norg = \"{}\"\nuser = \"{}\"\n", w.org, w.person("ada").user);
    std::fs::write(config.join("unsaid.toml"), identity).unwrap();
    println!("{counted}");
    let _ = w.folder.keep();
}
