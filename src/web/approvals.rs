//! Requests that wait for a person: what would happen, who asked and why, yes or no.
use super::answer::{Answer, sentence};
use super::form;
use super::pages::{self, ApprovalPage, ApprovalRow, Note, Session};
use super::sessions::Visitor;
use super::sign_in::told;
use crate::clock::Millis;
use crate::error::{Code, Error, Result};
use crate::model::approval::ApprovalState;
use crate::ops::Operation;
use crate::ops::approval::{
    ApprovalLine, Approved, ListApprovals, approve, decline, destination, destinations, look,
};
use axum::body::Bytes;
use axum::extract::Path;
use axum::http::StatusCode;
use serde_json::Value;

fn is_open(line: &ApprovalLine, now: Millis) -> bool {
    line.state == ApprovalState::Open && now < line.expires_at
}

/// Where it stands, in words; of what failed, why.
fn state(line: &ApprovalLine, now: Millis) -> String {
    match line.state {
        ApprovalState::Open if !is_open(line, now) => "expired".into(),
        ApprovalState::Failed => format!("failed: {}", line.outcome.replace('_', " ")),
        state => state.to_string(),
    }
}

pub(super) fn row(line: ApprovalLine, now: Millis) -> ApprovalRow {
    ApprovalRow {
        state: state(&line, now),
        summary: sentence(line.impact.lines().next().unwrap_or_default()).trim_end_matches('.').to_owned(),
        id: line.id,
        by: line.requested_by,
        client: match line.client.as_str() {
            // Asked for by a person, on a page or in a terminal: no client claims anything.
            "web" | "cli" => String::new(),
            client => claimed(client),
        },
        at: line.created_at.to_string(),
        expires: line.expires_at.to_string(),
    }
}

/// What a client says it is, without the token that it came with.
fn claimed(client: &str) -> String {
    match (client.split_once(" (token "), client.rsplit_once(" over ")) {
        (Some((name, _)), Some((_, door))) => format!("{name} over {door}"),
        _ => client.to_owned(),
    }
}

pub(super) async fn list(visitor: Visitor) -> Answer {
    let listed = async {
        let session = visitor.signed_in()?;
        let all = ListApprovals { all: Some(true) }.run(&visitor.app, &visitor.caller).await?;
        let now = visitor.app.now();
        let (open, decided): (Vec<_>, Vec<_>) = all.approvals.into_iter().partition(|a| is_open(a, now));
        let rows =
            |lines: Vec<ApprovalLine>| lines.into_iter().map(|line| row(line, now)).collect::<Vec<_>>();
        Ok(pages::approvals(&session, &rows(open), &rows(decided)))
    };
    match listed.await {
        Ok(page) => Answer::ok(page),
        Err(e) => visitor.failed(&e),
    }
}

pub(super) async fn show(Path((_, id)): Path<(String, String)>, visitor: Visitor) -> Answer {
    match page(&visitor, &id, None).await {
        Ok(page) => Answer::ok(pages::approval(&page)),
        Err(e) => visitor.failed(&e),
    }
}

/// The request as a page: open, with a way to decide it, or as it was decided.
async fn page(visitor: &Visitor, id: &str, error: Option<String>) -> Result<ApprovalPage> {
    let session = visitor.signed_in()?;
    form::expect_id(id)?;
    let line = look(&visitor.app, &visitor.caller, id).await?;
    let now = visitor.app.now();
    let is_open = is_open(&line, now);
    let (hosts, warnings) = destinations(&line);
    let mut impact: Vec<String> = line.impact.lines().skip(1).map(str::to_owned).collect();
    impact.retain(|text| !text.starts_with("Stated reason: "));
    impact.retain(|text| {
        // Shown by themselves, below.
        let is_warning = warnings.iter().any(|warning| warning == text.trim_start_matches("- "));
        !is_warning && destination(text).is_none()
    });
    for text in &mut impact {
        if let Some(plain) = text.strip_prefix("- ") {
            *text = plain.to_owned();
        }
    }
    Ok(ApprovalPage {
        action: match is_open {
            true => format!("{}/approvals/{id}", session.base),
            false => String::new(),
        },
        typed: hosts
            .iter()
            .find(|(what, _)| is_open && (what == "token_url" || what == "issuer"))
            .map(|(_, host)| host.clone()),
        reason: line.reason.clone(),
        row: row(line, now),
        session,
        impact,
        hosts,
        warnings,
        error,
    })
}

pub(super) async fn decide(Path((_, id)): Path<(String, String)>, visitor: Visitor, body: Bytes) -> Answer {
    let form = form::read(&body);
    let text = |name: &str| form.get(name).map_or("", |text| text.trim()).to_owned();
    match decided(&visitor, &id, &text("csrf"), &text("decision"), &text("typed")).await {
        Ok(answer) => answer,
        Err(e) => visitor.failed(&e),
    }
}

/// The same page, and what was wrong with what came from it.
async fn again(visitor: &Visitor, id: &str, wrong: &str) -> Result<Answer> {
    let page = page(visitor, id, Some(sentence(wrong))).await?;
    Ok(Answer::page(StatusCode::BAD_REQUEST, pages::approval(&page)))
}

async fn decided(visitor: &Visitor, id: &str, csrf: &str, decision: &str, typed: &str) -> Result<Answer> {
    let session = visitor.signed_in()?;
    visitor.expect_csrf(csrf)?;
    form::expect_id(id)?;
    match decision {
        "decline" => {
            decline(&visitor.app, &visitor.caller, id).await?;
            Ok(told(visitor, "Declined", "Nothing was changed. The same request is refused for a minute."))
        }
        "approve" => {
            let shown = page(visitor, id, None).await?;
            visitor.expect_assured()?;
            if shown.typed.is_some_and(|host| host != typed) {
                return again(visitor, id, "the host was not typed as it is shown").await;
            }
            let done = approve(&visitor.app, &visitor.caller, id).await?;
            match done.outcome.is_null() {
                false => Ok(carried_out(session, &done)),
                true => Err(Error::new(Code::StoreBusy, "it could not be carried out for the moment")
                    .next("The request is still open: approve it again.")),
            }
        }
        _ => again(visitor, id, "neither approve nor decline was chosen").await,
    }
}

/// That it is done, and where to go on.
fn carried_out(session: Session, done: &Approved) -> Answer {
    let (next, link) = match provider(&done.outcome) {
        Some((id, wants_secret)) if session.is_admin => {
            let next = match wants_secret {
                true => {
                    "Register its callback URL at the service, then enter its client secret: both are on its page."
                }
                false => "",
            };
            (next, Some((format!("/providers/{id}"), "Go to the provider’s page".to_owned())))
        }
        _ => ("", None),
    };
    Answer::ok(pages::note(&Note {
        title: "Approved".into(),
        message: format!("It is done: {}.", done.operation.replace('_', " ")),
        next: next.into(),
        link,
        is_error: false,
        session: Some(session),
    }))
}

/// The OAuth provider that was made or changed: its id, and whether its client secret is still to be entered.
fn provider(outcome: &Value) -> Option<(&str, bool)> {
    let provider = outcome.get("provider")?;
    let setup = provider.get("setup")?;
    let wants_secret = setup.get("has_secret")? == false && setup.get("client_auth")? != "none";
    Some((provider.get("id")?.as_str()?, wants_secret))
}
