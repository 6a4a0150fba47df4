//! MariaDB: two users under load, one user, lost answers, and what the server's log has.
use super::bench::*;
use super::told;
use std::sync::Arc;
use std::time::Duration;
use unsaid::config::Rotated;
use unsaid::model::rotation::Finding;
use unsaid::rotation::drivers::mysql::Mysql;
use unsaid::rotation::{Driver, Ended, Fields};
use unsaid::services::client::Outbound;
use unsaid::services::sql::mysql::Session;
use unsaid::services::sql::{Place, Tls};
use zeroize::Zeroizing;

const PAIR: [&str; 6] = ["HOST", "PORT", "SSLMODE", "USERNAME", "ALTERNATE_USERNAME", "PASSWORD"];
const ONE: [&str; 5] = ["HOST", "PORT", "SSLMODE", "USERNAME", "PASSWORD"];

fn one(port: u16, user: &str, password: &str) -> Fields {
    let port = port.to_string();
    fields(&[
        ("HOST", "127.0.0.1"),
        ("PORT", &port),
        ("SSLMODE", "disable"),
        ("USERNAME", user),
        ("PASSWORD", password),
    ])
}

fn pair(port: u16, user: &str, other: &str, password: &str) -> Fields {
    let mut all = one(port, user, password);
    all.extend(fields(&[("ALTERNATE_USERNAME", other)]));
    all
}

fn place(port: u16, user: &str, password: &str) -> Place {
    Place {
        host: "127.0.0.1".into(),
        port,
        user: Zeroizing::new(user.into()),
        password: Zeroizing::new(password.into()),
        database: String::new(),
        tls: Tls::Refused,
    }
}

fn sign_in(outbound: &Outbound) -> SignIn {
    let outbound = outbound.clone();
    Arc::new(move |fields| {
        let outbound = outbound.clone();
        Box::pin(async move {
            let port = field(&fields, "PORT").parse().expect("a port");
            let place = place(port, &field(&fields, "USERNAME"), &field(&fields, "PASSWORD"));
            match Session::sign_in(&outbound, &place).await {
                Ok(mut session) => session.run("SELECT count(*) FROM shop.orders").await.is_ok(),
                Err(_) => false,
            }
        })
    })
}

pub async fn all(report: &mut Report) {
    let (port, word) = (told("ROTATE_PORT").parse().expect("a port"), told("ROTATE_ADMIN"));
    let between = Between::start(port).await;
    let allow = vec![format!("127.0.0.1:{port}"), format!("127.0.0.1:{}", between.port)];
    let outbound = Outbound { allow, ..Outbound::default() };
    let mut session =
        Session::sign_in(&outbound, &place(port, "admin", &word)).await.expect("the admin signs in");
    for statement in [
        "CREATE DATABASE shop",
        "CREATE TABLE shop.orders (id int)",
        "CREATE USER 'app_a'@'127.0.0.1' IDENTIFIED BY 'first-of-a'",
        "CREATE USER 'app_b'@'127.0.0.1'",
        "CREATE USER 'we`ird'' user'@'127.0.0.1' IDENTIFIED BY 'first-of-weird'",
        "CREATE USER 'poor'@'127.0.0.1' IDENTIFIED BY 'first-of-poor'",
        "GRANT SELECT ON shop.* TO 'app_a'@'127.0.0.1'",
        "GRANT SELECT ON shop.* TO 'app_b'@'127.0.0.1'",
        "GRANT SELECT ON shop.* TO 'we`ird'' user'@'127.0.0.1'",
    ] {
        session.run(statement).await.expect("the admin's statement is done");
    }
    let mut made = Vec::new();
    let admin = (credential("admin", "mysql", &ONE), one(port, "admin", &word));
    two_users(report, &outbound, (&admin.0, &admin.1), port, &mut made).await;
    one_user(report, &outbound, port, &between, &mut made).await;
    refusals(report, &outbound, port).await;
    let log = std::fs::read_to_string(told("ROTATE_LOG")).expect("the server's log");
    let found = made.iter().filter(|password| log.contains(password.as_str())).count();
    report
        .is("the log has the statements", log.contains("ALTER USER `app_b`") && log.contains("SET PASSWORD"));
    report.is("the log has no password of ours", found == 0 && made.len() > 3);
}

async fn two_users(
    report: &mut Report,
    outbound: &Outbound,
    admin: (&unsaid::model::credential::Credential, &Fields),
    port: u16,
    made: &mut Vec<String>,
) {
    let c = credential("pair", "mysql", &PAIR);
    let said = Rotated { admin: Some("admin".into()), ..Rotated::default() };
    let driver = Mysql::new(outbound.clone(), settings("pair", said));
    let turn = Turn::of(&driver, &c, Some(admin), pair(port, "app_a", "app_b", "first-of-a"));
    report.is("two users: the driver says that old and new overlap", driver.overlaps(&c) == Some(true));
    let programs = Programs::start(&turn, sign_in(outbound));
    for round in ["there", "back"] {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let (old, new) = (turn.current(), turn.invent());
        made.push(field(&new, "PASSWORD"));
        report.is(&format!("two users, {round}: set"), turn.set(&new).await.ok() == Some(Ended::Confirmed));
        let (before, now) = (turn.test(&old).await, turn.test(&new).await);
        let is_same = before.account == now.account && before.scopes == now.scopes && !now.scopes.is_empty();
        let is_valid = before.finding == Finding::Valid && now.finding == Finding::Valid;
        report.is(
            &format!("two users, {round}: both work, for the same account and rights"),
            is_valid && is_same,
        );
        turn.promote(copied(&new));
        tokio::time::sleep(Duration::from_secs(2)).await;
        report.is(
            &format!("two users, {round}: revoke"),
            turn.revoke(&old).await.ok() == Some(Ended::Confirmed),
        );
        report.is(
            &format!("two users, {round}: the old one is dead"),
            turn.test(&old).await.finding == Finding::Refused,
        );
        report.is(
            &format!("two users, {round}: the new one works"),
            turn.test(&new).await.finding == Finding::Valid,
        );
    }
    let (tried, refused) = programs.stop().await;
    say(&format!(
        "FIGURE mariadb, two users, {RATE} new connections/s: {tried} logins, {} failed",
        refused.len()
    ));
    report.is("two users: no login failed", refused.is_empty() && tried > 250);
}

async fn one_user(
    report: &mut Report,
    outbound: &Outbound,
    port: u16,
    between: &Between,
    made: &mut Vec<String>,
) {
    let c = credential("one", "mysql", &ONE);
    let driver = Mysql::new(outbound.clone(), Arc::default());
    let turn = Turn::of(&driver, &c, None, one(port, "we`ird' user", "first-of-weird"));
    report.is("one user: the driver says that there is a gap", driver.overlaps(&c) == Some(false));
    let (old, new) = (turn.current(), turn.invent());
    made.push(field(&new, "PASSWORD"));
    report.is("one user: set by its own rights", turn.set(&new).await.ok() == Some(Ended::Confirmed));
    report.is("one user: the old one is dead at once", turn.test(&old).await.finding == Finding::Refused);
    turn.promote(copied(&new));
    report.is("one user: nothing is left to revoke", turn.revoke(&old).await.ok() == Some(Ended::Confirmed));
    report.is("one user: the new one survives that", turn.test(&new).await.finding == Finding::Valid);

    let password = field(&new, "PASSWORD");
    let turn = Turn::of(&driver, &c, None, one(between.port, "we`ird' user", &password));
    let new = turn.invent();
    made.push(field(&new, "PASSWORD"));
    between.lose(Loses::Message("SET PASSWORD"));
    report.is("lost before it arrived: unsure", turn.set(&new).await.ok() == Some(Ended::Unsure));
    report.is(
        "lost before it arrived: the old one works",
        turn.test(&turn.current()).await.finding == Finding::Valid,
    );
    between.lose(Loses::AnswerTo("SET PASSWORD"));
    report.is("lost on the way back: it was done", turn.set(&new).await.ok() == Some(Ended::Confirmed));
    report.is(
        "lost on the way back: the old one is dead",
        turn.test(&turn.current()).await.finding == Finding::Refused,
    );
}

async fn refusals(report: &mut Report, outbound: &Outbound, port: u16) {
    let c = credential("pair", "mysql", &PAIR);
    let driver = Mysql::new(outbound.clone(), Arc::default());
    let turn = Turn::of(&driver, &c, None, pair(port, "poor", "app_b", "first-of-poor"));
    report.is("a user without rights changes nobody's", turn.set(&turn.invent()).await.is_err());
    report.is("it works as before", turn.test(&turn.current()).await.finding == Finding::Valid);
    let turn = Turn::of(&driver, &c, None, pair(port, "poor", "app_b", "wrong"));
    report.is("who is not let in changes nothing, and says so", turn.set(&turn.invent()).await.is_err());

    let said = Rotated { overlap: Some(true), ..Rotated::default() };
    let dual = Mysql::new(outbound.clone(), settings("one", said));
    let c = credential("one", "mysql", &ONE);
    let turn = Turn::of(&dual, &c, None, one(port, "poor", "first-of-poor"));
    report.is("MariaDB has no two passwords: nothing is changed", turn.set(&turn.invent()).await.is_err());
    report.is("it works as before that", turn.test(&turn.current()).await.finding == Finding::Valid);
}
