//! Sending a notice: signed, to a webhook; or as mail, by a mail server whose credential is in the vault.
//!
//! An attempt is in the log, with the use of the credential that it takes, before that is opened.
use super::sender;
use crate::app::App;
use crate::clock::Millis;
use crate::config::Notices;
use crate::error::{Code, Error, Result};
use crate::model::Word;
use crate::model::access::Caller;
use crate::model::credential::{Credential, SealedField, Version};
use crate::model::event::{Event, Outcome};
use crate::model::notice::{Notice, NoticeKind, NoticeState, Way, pause_ms};
use crate::ops::credential::probe::subject;
use crate::ops::reach::{self, Need};
use crate::services::probe::Subject;
use crate::services::probe::smtp::Smtp;
use crate::services::wire::Ask;
use data_encoding::{BASE64, HEXLOWER};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;
use std::borrow::Cow;
use std::time::Duration;
use url::Url;
use zeroize::Zeroizing;

/// How many are sent in one go.
const PAGE: i64 = 20;
/// How long handing a mail over may take.
const MAIL: Duration = Duration::from_secs(20);

/// Why an attempt failed, in words that may be kept.
type Why = Cow<'static, str>;

/// Sends what is due; returns how much that was.
pub async fn send_due(app: &App) -> Result<usize> {
    let Some(caller) = sender(&app.config.file) else { return Ok(0) };
    let (org, now) = (caller.org.clone(), app.now());
    let due = app.store.read(move |tx| tx.notices_due(&org, now, PAGE)).await?;
    let found = due.len();
    for notice in due {
        match attempt(app, &caller, notice).await {
            Ok(()) => {}
            // Another process sends it.
            Err(e) if e.code == Code::Changed => {}
            Err(e) => return Err(e),
        }
    }
    Ok(found)
}

async fn attempt(app: &App, caller: &Caller, notice: Notice) -> Result<()> {
    let settings = &app.config.file.notices;
    let credential = match notice.way {
        Way::Webhook => settings.webhook_secret.clone(),
        Way::Mail => settings.mail_credential.clone(),
    };
    let begun = begin(app, caller, &notice, credential).await?;
    let sent = match begun {
        Ok((c, version, fields)) => match subject(app, &c, &version, fields) {
            Ok(subject) => match notice.way {
                Way::Webhook => post(app, settings, &subject, &notice).await,
                Way::Mail => mail(app, settings, &subject, &notice).await,
            },
            Err(_) => Err("the credential that it takes cannot be opened".into()),
        },
        Err(why) => Err(why),
    };
    end(app, caller, notice, sent).await
}

type Begun = std::result::Result<(Credential, Version, Vec<SealedField>), Why>;

/// Claims the notice until its next attempt, and records the use of what it takes.
async fn begin(app: &App, caller: &Caller, notice: &Notice, wanted: Option<String>) -> Result<Begun> {
    let (asking, seen) = (caller.clone(), notice.clone());
    app.store
        .write(caller, move |tx| {
            let gone = || Error::new(Code::Changed, "another process sends this notice");
            let mut notice = tx
                .waiting_notice(&asking.org, &seen.id)?
                .filter(|n| n.revision == seen.revision)
                .ok_or_else(gone)?;
            notice.attempts += 1;
            notice.due_at = Some(tx.now().plus_ms(pause_ms(notice.attempts).unwrap_or(0)));
            tx.save(&mut notice)?;
            let event = Event::of(notice.kind.operation())
                .about("notice", notice.id.as_str(), notice.kind.as_str())
                .ended(Outcome::Started, "")
                .with("way", notice.way.as_str())
                .with("attempt", notice.attempts);
            let Some(wanted) = wanted else {
                let why = "no credential is named for it in [notices]";
                return tx.record_step(event, Err(why.into()));
            };
            let who = tx.standing(&asking)?;
            let found = reach::configured(tx, &asking, &who, &wanted, Need::Use)
                .and_then(|found| Ok((tx.current_version(&found.credential)?, found.credential)));
            let (version, c) = match found {
                Ok((Some(version), c)) => (version, c),
                Ok((None, _)) => {
                    return tx.record_step(event, Err("the credential that it takes has no value".into()));
                }
                Err(_) => {
                    return tx.record_step(event, Err("the credential that it takes is not there".into()));
                }
            };
            let fields = tx.fields(&version.id)?;
            tx.count_use(&c.id, true)?;
            tx.note(event)?;
            tx.record_step(Event::of("use").on(&c).with("operation", "notice"), Ok((c, version, fields)))
        })
        .await
}

/// Writes down how an attempt ended.
async fn end(app: &App, caller: &Caller, seen: Notice, sent: std::result::Result<(), Why>) -> Result<()> {
    let asking = caller.clone();
    app.store
        .write(caller, move |tx| {
            let event =
                Event::of(seen.kind.operation()).about("notice", seen.id.as_str(), seen.kind.as_str());
            let Some(mut notice) = tx.waiting_notice(&asking.org, &seen.id)? else {
                return tx.record_step(event.ended(Outcome::Failed, ""), ());
            };
            let event = event.with("way", notice.way.as_str()).with("attempt", notice.attempts);
            let outcome = match &sent {
                Ok(()) => {
                    notice.state = NoticeState::Sent;
                    notice.due_at = None;
                    notice.last_error.clear();
                    Outcome::Ok
                }
                Err(why) => {
                    notice.last_error = why.to_string();
                    if pause_ms(notice.attempts).is_none() {
                        notice.state = NoticeState::GivenUp;
                        notice.due_at = None;
                    }
                    Outcome::Failed
                }
            };
            tx.save(&mut notice)?;
            tx.record_step(event.ended(outcome, "").with("state", notice.state.as_str()), ())
        })
        .await
}

async fn post(
    app: &App,
    settings: &Notices,
    subject: &Subject,
    notice: &Notice,
) -> std::result::Result<(), Why> {
    let url = settings.webhook.as_deref().unwrap_or_default();
    let url = Url::parse(url).map_err(|_| "the webhook of [notices] is no address")?;
    let secret = subject.secrets().next().ok_or("the secret that signs it is no text")?;
    let signature = signed(secret.trim().as_bytes(), app.now(), notice.body.as_bytes())?;
    let headers = vec![("x-unsaid-signature", signature), ("accept", Zeroizing::new("*/*".to_owned()))];
    let body = Zeroizing::new(notice.body.clone().into_bytes());
    match app.wire.send(Ask::post(url, headers, "application/json", body), app.now()).await {
        Ok(answered) if (200..300).contains(&answered.status) => Ok(()),
        Ok(answered) => Err(format!("it answered with status {}", answered.status).into()),
        Err(failure) => Err(failure.why.into()),
    }
}

/// `t=<seconds>,v1=<hex>`: HMAC-SHA-256 over the seconds, a dot and the body. The seconds let a receiver refuse what is old.
fn signed(secret: &[u8], now: Millis, body: &[u8]) -> std::result::Result<Zeroizing<String>, Why> {
    let seconds = now.0.div_euclid(1000);
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).map_err(|_| "it could not be signed")?;
    mac.update(format!("{seconds}.").as_bytes());
    mac.update(body);
    Ok(Zeroizing::new(format!("t={seconds},v1={}", HEXLOWER.encode(&mac.finalize().into_bytes()))))
}

async fn mail(
    app: &App,
    settings: &Notices,
    subject: &Subject,
    notice: &Notice,
) -> std::result::Result<(), Why> {
    let from = settings.mail_from.as_deref().ok_or("[notices] has no mail_from")?;
    if !settings.mail_to.iter().map(String::as_str).chain([from]).all(is_address) {
        return Err("an address of [notices] is none".into());
    }
    let part = |name: &str| {
        subject.part(name).ok_or_else(|| Why::from(format!("its credential has no field {name}")))
    };
    let (host, user, password) =
        (part("host")?, part("username").or_else(|_| part("user"))?, part("password")?);
    let port = match subject.part("port") {
        Some(port) => port.trim().parse().map_err(|_| "the port of its credential is no number")?,
        None => 587,
    };
    let message = message(notice, from, &settings.mail_to, app.now())?;
    let outbound = app.outbound();
    let handed = async {
        let mut server = Smtp::connect(&outbound, host.trim(), port).await?;
        if server.sign_in(&user, &password).await? != 235 {
            return Err("the mail server does not take the password".into());
        }
        server.send(from, &settings.mail_to, &message).await?;
        server.quit().await;
        Ok(())
    };
    tokio::time::timeout(MAIL, handed).await.unwrap_or_else(|_| Err("it did not answer in time".into()))
}

/// A plain address, with nothing in it that would end its line or its brackets.
fn is_address(text: &str) -> bool {
    let is_plain = |b: u8| b.is_ascii_graphic() && !b"<>()[],;:\\\"".contains(&b);
    text.bytes().all(is_plain)
        && matches!(text.split_once('@'), Some((a, b)) if !a.is_empty() && !b.is_empty())
}

/// The mail (RFC 5322). Names come from the vault, so they are plain; what stands in the text goes as base64.
fn message(notice: &Notice, from: &str, to: &[String], now: Millis) -> std::result::Result<String, Why> {
    let body: Value = serde_json::from_str(&notice.body).map_err(|_| "the notice cannot be read")?;
    let at = |path: &str| match body.pointer(path) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    };
    let plain = |text: String| {
        text.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').take(120).collect::<String>()
    };
    let name = plain(at("/credential/name"));
    let subject = match (notice.kind, at("/days_left").as_str()) {
        (NoticeKind::Refused, _) => format!("{name} is refused by its service"),
        (NoticeKind::RotationDue, "1") => format!("{name} is to be replaced within a day"),
        (NoticeKind::RotationDue, days) => format!("{name} is to be replaced within {days} days"),
        (NoticeKind::WentBack, _) => format!("the new value of {name} failed, and the old one is back"),
        (NoticeKind::CanaryUsed, _) => format!("the canary {name} was used"),
        (NoticeKind::Expiring, "1") => format!("{name} ends within a day"),
        (NoticeKind::Expiring, days) => format!("{name} ends in {days} days"),
    };
    let mut text = format!("{subject}.\r\n\r\n");
    for (label, path) in [
        ("Credential", "/credential/id"),
        ("Service", "/credential/service"),
        ("Scope", "/credential/scope"),
        ("Environment", "/credential/environment"),
        ("Ends at", "/expires_at"),
        ("Due at", "/due_at"),
        ("Next", "/next"),
    ] {
        let said = at(path);
        if !said.is_empty() {
            text.push_str(&format!("{label}: {said}\r\n"));
        }
    }
    let date = jiff::Timestamp::from_millisecond(now.0).map_err(|_| "the clock is out of range")?;
    let date = date.strftime("%a, %d %b %Y %H:%M:%S +0000");
    let encoded = BASE64.encode(text.as_bytes());
    let lines: Vec<_> = encoded.as_bytes().chunks(76).map(String::from_utf8_lossy).collect();
    Ok(format!(
        "From: Unsaid <{from}>\r\nTo: {}\r\nSubject: Unsaid: {subject}\r\nDate: {date}\r\nMessage-ID: <{}@unsaid>\r\n\
         MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\
         Auto-Submitted: auto-generated\r\n\r\n{}\r\n",
        to.join(", "),
        notice.id.as_str(),
        lines.join("\r\n")
    ))
}

#[cfg(test)]
mod checks {
    use super::*;

    #[test]
    fn a_signature_is_over_the_time_and_the_body() {
        let one = signed(b"key", Millis(1_000_000), b"{}").ok().unwrap();

        assert!(one.starts_with("t=1000,v1=") && one.len() == "t=1000,v1=".len() + 64);
        assert_ne!(*one, *signed(b"key", Millis(1_001_000), b"{}").ok().unwrap());
        assert_ne!(*one, *signed(b"key", Millis(1_000_000), b"{ }").ok().unwrap());
        assert_ne!(*one, *signed(b"other", Millis(1_000_000), b"{}").ok().unwrap());
    }

    #[test]
    fn an_address_has_nothing_in_it_that_ends_a_line() {
        assert!(is_address("ops@example.com") && is_address("a+b@x"));
        for wrong in ["", "x", "@x", "x@", "a@b>\r\nRCPT TO:<c@d", "a b@c", "<a@b>", "a@b,c@d", "a@b\n"] {
            assert!(!is_address(wrong), "{wrong:?}");
        }
    }
}
