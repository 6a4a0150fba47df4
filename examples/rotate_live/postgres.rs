//! PostgreSQL: two roles under load, a new one that fails, one role, lost answers, and what the server's log has.
use super::bench::*;
use super::told;
use std::sync::Arc;
use std::time::{Duration, Instant};
use unsaid::config::Rotated;
use unsaid::model::rotation::Finding;
use unsaid::rotation::drivers::postgres::Postgres;
use unsaid::rotation::{Driver, Ended, Fields};
use unsaid::services::client::Outbound;
use unsaid::services::sql::postgres::Session;
use unsaid::services::sql::{Place, Tls};
use zeroize::Zeroizing;

const PAIR: [&str; 7] = ["HOST", "PORT", "DATABASE", "SSLMODE", "USERNAME", "ALTERNATE_USERNAME", "PASSWORD"];
const ONE: [&str; 6] = ["HOST", "PORT", "DATABASE", "SSLMODE", "USERNAME", "PASSWORD"];

struct Server {
    port: u16,
    admin: String,
    outbound: Outbound,
}

impl Server {
    fn place(&self, port: u16, user: &str, password: &str) -> Place {
        Place {
            host: "127.0.0.1".into(),
            port,
            user: Zeroizing::new(user.into()),
            password: Zeroizing::new(password.into()),
            database: "postgres".into(),
            tls: Tls::Refused,
        }
    }
    async fn run(&self, sql: &str) -> Vec<Vec<String>> {
        let session = Session::sign_in(&self.outbound, &self.place(self.port, "postgres", &self.admin)).await;
        session.expect("the admin signs in").run(sql).await.expect("the admin's statement is done")
    }
    fn one(&self, port: u16, user: &str, password: &str) -> Fields {
        let port = port.to_string();
        fields(&[
            ("HOST", "127.0.0.1"),
            ("PORT", &port),
            ("DATABASE", "postgres"),
            ("SSLMODE", "disable"),
            ("USERNAME", user),
            ("PASSWORD", password),
        ])
    }
    fn pair(&self, port: u16, user: &str, other: &str, password: &str) -> Fields {
        let mut all = self.one(port, user, password);
        all.extend(fields(&[("ALTERNATE_USERNAME", other)]));
        all
    }
    fn sign_in(&self) -> SignIn {
        let outbound = self.outbound.clone();
        Arc::new(move |fields| {
            let outbound = outbound.clone();
            Box::pin(async move {
                let place = Place {
                    host: "127.0.0.1".into(),
                    port: field(&fields, "PORT").parse().expect("a port"),
                    user: Zeroizing::new(field(&fields, "USERNAME")),
                    password: Zeroizing::new(field(&fields, "PASSWORD")),
                    database: "postgres".into(),
                    tls: Tls::Refused,
                };
                match Session::sign_in(&outbound, &place).await {
                    Ok(session) => session.run("SELECT count(*) FROM shop.orders").await.is_ok(),
                    Err(_) => false,
                }
            })
        })
    }
}

pub async fn all(report: &mut Report) {
    let port = told("ROTATE_PORT").parse().expect("a port");
    let between = Between::start(port).await;
    let outbound = Outbound {
        allow: vec![format!("127.0.0.1:{port}"), format!("127.0.0.1:{}", between.port)],
        ..Outbound::default()
    };
    let server = Server { port, admin: told("ROTATE_ADMIN"), outbound };
    for statement in [
        "CREATE ROLE shop NOLOGIN",
        "CREATE SCHEMA shop AUTHORIZATION shop",
        "CREATE TABLE shop.orders (id int)",
        "ALTER TABLE shop.orders OWNER TO shop",
        "CREATE ROLE app_a LOGIN IN ROLE shop PASSWORD 'first-of-a'",
        "CREATE ROLE app_b LOGIN IN ROLE shop",
        "CREATE ROLE rotator LOGIN CREATEROLE PASSWORD 'of-the-rotator'",
        "CREATE ROLE \"we\"\"ird' role\" LOGIN IN ROLE shop PASSWORD 'first-of-weird'",
        "CREATE ROLE poor LOGIN PASSWORD 'first-of-poor'",
    ] {
        server.run(statement).await;
    }
    let mut made = Vec::new();
    two_roles(report, &server, &mut made).await;
    a_failing_one(report, &server, &mut made).await;
    one_role(report, &server, &mut made).await;
    lost_answers(report, &server, &between, &mut made).await;
    refusals(report, &server).await;
    with_tls(report, &server, &mut made).await;
    log_is_clean(report, &made);
}

fn admin(server: &Server) -> (unsaid::model::credential::Credential, Fields) {
    (credential("admin", "postgres", &ONE), server.one(server.port, "rotator", "of-the-rotator"))
}

/// Two turns, there and back, while 40 programs a second sign in.
async fn two_roles(report: &mut Report, server: &Server, made: &mut Vec<String>) {
    let c = credential("pair", "postgres", &PAIR);
    let said = Rotated { admin: Some("admin".into()), ..Rotated::default() };
    let driver = Postgres::new(server.outbound.clone(), settings("pair", said));
    let (admin_c, admin_fields) = admin(server);
    let turn = Turn::of(
        &driver,
        &c,
        Some((&admin_c, &admin_fields)),
        server.pair(server.port, "app_a", "app_b", "first-of-a"),
    );
    report.is("two roles: the driver says that old and new overlap", driver.overlaps(&c) == Some(true));
    let programs = Programs::start(&turn, server.sign_in());
    for round in ["there", "back"] {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let (old, new) = (turn.current(), turn.invent());
        made.push(field(&new, "PASSWORD"));
        report.is(&format!("two roles, {round}: set"), turn.set(&new).await.ok() == Some(Ended::Confirmed));
        let (before, now) = (turn.test(&old).await, turn.test(&new).await);
        let is_same = before.account == now.account && before.scopes == now.scopes && !now.scopes.is_empty();
        report.is(
            &format!("two roles, {round}: both work, for the same account and rights"),
            before.finding == Finding::Valid && now.finding == Finding::Valid && is_same,
        );
        turn.promote(copied(&new));
        tokio::time::sleep(Duration::from_secs(2)).await;
        report.is(
            &format!("two roles, {round}: revoke"),
            turn.revoke(&old).await.ok() == Some(Ended::Confirmed),
        );
        report.is(
            &format!("two roles, {round}: the old one is dead"),
            turn.test(&old).await.finding == Finding::Refused,
        );
        let again = turn.revoke(&old).await.ok();
        report.is(
            &format!("two roles, {round}: a dead one is not lost by another revoke"),
            again == Some(Ended::Confirmed),
        );
        report.is(
            &format!("two roles, {round}: the new one still works"),
            turn.test(&new).await.finding == Finding::Valid,
        );
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (tried, refused) = programs.stop().await;
    say(&format!(
        "FIGURE postgres, two roles, {RATE} new connections/s: {tried} logins, {} failed",
        refused.len()
    ));
    report.is("two roles: no login failed", refused.is_empty() && tried > 300);
}

/// The new one fails after it is served: the old one is there to go back to.
async fn a_failing_one(report: &mut Report, server: &Server, made: &mut Vec<String>) {
    server.run("ALTER ROLE app_a PASSWORD 'second-of-a'").await;
    let c = credential("pair", "postgres", &PAIR);
    let said = Rotated { admin: Some("admin".into()), ..Rotated::default() };
    let driver = Postgres::new(server.outbound.clone(), settings("pair", said));
    let (admin_c, admin_fields) = admin(server);
    let first = server.pair(server.port, "app_a", "app_b", "second-of-a");
    let turn = Turn::of(&driver, &c, Some((&admin_c, &admin_fields)), first);
    let programs = Programs::start(&turn, server.sign_in());
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (old, new) = (turn.current(), turn.invent());
    made.push(field(&new, "PASSWORD"));
    report.is("failing: set", turn.set(&new).await.ok() == Some(Ended::Confirmed));
    turn.promote(copied(&new));
    // Somebody breaks it behind our back.
    server.run("ALTER ROLE app_b PASSWORD 'another'").await;
    let broken = Instant::now();
    let back = loop {
        if turn.test(&turn.current()).await.finding == Finding::Refused {
            turn.promote(copied(&old));
            break broken.elapsed();
        }
        if broken.elapsed() > Duration::from_secs(5) {
            break broken.elapsed();
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    };
    let after = Instant::now();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (tried, refused) = programs.stop().await;
    let late = refused.iter().filter(|at| **at > after).count();
    say(&format!(
        "FIGURE postgres, a new password that fails: back after {} ms; {tried} logins, {} failed meanwhile, {late} after",
        back.as_millis(),
        refused.len()
    ));
    report.is("failing: back within 5 s, none failed after it", back < Duration::from_secs(5) && late == 0);
    report.is("failing: the old one still works", turn.test(&old).await.finding == Finding::Valid);
}

/// One role, changed by its own rights; programs notice the gap, and it is as long as the way to promotion.
async fn one_role(report: &mut Report, server: &Server, made: &mut Vec<String>) {
    for (user, password) in [("app_a", "second-of-a"), ("we\"ird' role", "first-of-weird")] {
        let c = credential("one", "postgres", &ONE);
        let driver = Postgres::new(server.outbound.clone(), Arc::default());
        let turn = Turn::of(&driver, &c, None, server.one(server.port, user, password));
        report.is("one role: the driver says that there is a gap", driver.overlaps(&c) == Some(false));
        let programs = Programs::start(&turn, server.sign_in());
        tokio::time::sleep(Duration::from_secs(1)).await;
        let (old, new) = (turn.current(), turn.invent());
        made.push(field(&new, "PASSWORD"));
        report.is("one role: set by its own rights", turn.set(&new).await.ok() == Some(Ended::Confirmed));
        report.is("one role: the old one is dead at once", turn.test(&old).await.finding == Finding::Refused);
        report.is("one role: the new one works", turn.test(&new).await.finding == Finding::Valid);
        turn.promote(copied(&new));
        report.is(
            "one role: nothing is left to revoke",
            turn.revoke(&old).await.ok() == Some(Ended::Confirmed),
        );
        report.is("one role: the new one survives that", turn.test(&new).await.finding == Finding::Valid);
        tokio::time::sleep(Duration::from_secs(1)).await;
        let (tried, refused) = programs.stop().await;
        say(&format!("FIGURE postgres, one role: {tried} logins, {} failed in the gap", refused.len()));
    }
}

async fn lost_answers(report: &mut Report, server: &Server, between: &Between, made: &mut Vec<String>) {
    server.run("ALTER ROLE app_a PASSWORD 'third-of-a'").await;
    let c = credential("one", "postgres", &ONE);
    let driver = Postgres::new(server.outbound.clone(), Arc::default());
    let turn = Turn::of(&driver, &c, None, server.one(between.port, "app_a", "third-of-a"));
    let new = turn.invent();
    made.push(field(&new, "PASSWORD"));

    between.lose(Loses::Message("ALTER ROLE"));
    let unsure = turn.set(&new).await;
    report.is("lost before it arrived: unsure, and not tried again", unsure.ok() == Some(Ended::Unsure));
    report.is(
        "lost before it arrived: the old one works",
        turn.test(&turn.current()).await.finding == Finding::Valid,
    );

    between.lose(Loses::AnswerTo("ALTER ROLE"));
    let done = turn.set(&new).await;
    report.is("lost on the way back: the new one works, so it was done", done.ok() == Some(Ended::Confirmed));
    report.is(
        "lost on the way back: the old one is dead",
        turn.test(&turn.current()).await.finding == Finding::Refused,
    );
}

async fn refusals(report: &mut Report, server: &Server) {
    let c = credential("pair", "postgres", &PAIR);
    let driver = Postgres::new(server.outbound.clone(), Arc::default());
    let turn = Turn::of(&driver, &c, None, server.pair(server.port, "poor", "app_b", "first-of-poor"));
    let new = turn.invent();
    report.is("a role without rights is refused", turn.set(&new).await.ok() == Some(Ended::Refused));
    report.is("a refused one works as before", turn.test(&turn.current()).await.finding == Finding::Valid);

    let turn = Turn::of(&driver, &c, None, server.pair(server.port, "poor", "app_b", "wrong"));
    report.is("who is not let in changes nothing, and says so", turn.set(&turn.invent()).await.is_err());

    let elsewhere = server.one(1, "rotator", "of-the-rotator");
    let admin_c = credential("admin", "postgres", &ONE);
    let first = server.pair(server.port, "poor", "app_b", "first-of-poor");
    let turn = Turn::of(&driver, &c, Some((&admin_c, &elsewhere)), first);
    report.is("an admin of another server is asked for nothing", turn.set(&turn.invent()).await.is_err());

    let closed = Postgres::new(Outbound::default(), Arc::default());
    let turn = Turn::of(&closed, &c, None, server.pair(server.port, "poor", "app_b", "first-of-poor"));
    let found = turn.test(&turn.current()).await.finding;
    report.is("a private address that nobody allowed is not called", found == Finding::CouldNotCheck);
}

/// With TLS nothing needs to be allowed but a private address; a certificate that nobody trusts ends it before the password.
async fn with_tls(report: &mut Report, server: &Server, made: &mut Vec<String>) {
    let c = credential("one", "postgres", &ONE);
    let value = |sslmode: &str| {
        let mut all = server.one(server.port, "poor", "first-of-poor");
        all.retain(|(name, _)| name != "SSLMODE");
        all.extend(fields(&[("SSLMODE", sslmode)]));
        all
    };
    let trusting = Outbound { ca_file: Some(told("ROTATE_CA").into()), ..server.outbound.clone() };
    let strange = Postgres::new(server.outbound.clone(), Arc::default());
    for mode in ["require", "prefer", "verify-full"] {
        let found = strange.test(&c, &value(mode)).await.map(|tested| tested.finding);
        report.is(
            &format!("TLS, {mode}: an unknown certificate is not signed in to"),
            found.ok() == Some(Finding::CouldNotCheck),
        );
        let turn = Turn::of(&strange, &c, None, value(mode));
        report.is(&format!("TLS, {mode}: nothing is changed there"), turn.set(&turn.invent()).await.is_err());
    }
    let driver = Postgres::new(trusting, Arc::default());
    let turn = Turn::of(&driver, &c, None, value("require"));
    let new = turn.invent();
    made.push(field(&new, "PASSWORD"));
    report.is("TLS: set", turn.set(&new).await.ok() == Some(Ended::Confirmed));
    report.is("TLS: the new one works", turn.test(&new).await.finding == Finding::Valid);
}

/// The server logs every statement, as it was told to.
fn log_is_clean(report: &mut Report, made: &[String]) {
    let log = std::fs::read_to_string(told("ROTATE_LOG")).expect("the server's log");
    report.is(
        "the log has the statements",
        log.matches("ALTER ROLE \"app_b\" PASSWORD 'SCRAM-SHA-256$").count() >= 2,
    );
    let found = made.iter().filter(|password| log.contains(password.as_str())).count();
    report.is("the log has no password of ours", found == 0 && made.len() > 4);
}
