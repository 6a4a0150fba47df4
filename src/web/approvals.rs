//! Requests that wait for a person: what would happen, who asked and why, yes or no.
use super::answer::{Answer, sentence};
use super::form;
use super::pages::{self, ApprovalPage, ApprovalRow};
use super::sessions::Visitor;
use super::sign_in::told;
use crate::error::{Code, Error, Result, invalid};
use crate::model::approval::ApprovalState;
use crate::ops::Operation;
use crate::ops::approval::{ApprovalLine, ListApprovals, approve, decline, destinations, show as one};
use axum::body::Bytes;
use axum::extract::Path;
use axum::http::StatusCode;

pub(super) fn row(line: ApprovalLine) -> ApprovalRow {
    ApprovalRow {
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
        state: line.state.to_string(),
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
        let (open, decided): (Vec<_>, Vec<_>) = all
            .approvals
            .into_iter()
            .partition(|a| a.state == ApprovalState::Open && visitor.app.now() < a.expires_at);
        let rows = |lines: Vec<ApprovalLine>| lines.into_iter().map(row).collect::<Vec<_>>();
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

async fn page(visitor: &Visitor, id: &str, error: Option<String>) -> Result<ApprovalPage> {
    let session = visitor.signed_in()?;
    form::expect_id(id)?;
    let line = one(&visitor.app, &visitor.caller, id).await?;
    let (hosts, warnings) = destinations(&line);
    let mut impact: Vec<String> = line.impact.lines().skip(1).map(str::to_owned).collect();
    impact.retain(|text| !text.starts_with("Stated reason: "));
    impact.retain(|text| {
        let text = text.trim_start_matches("- ");
        // Shown by themselves, below.
        !warnings.iter().any(|warning| warning == text)
            && !hosts.iter().any(|(what, host)| text == format!("{what}: {host}"))
    });
    for text in &mut impact {
        if let Some(plain) = text.strip_prefix("- ") {
            *text = plain.to_owned();
        }
    }
    Ok(ApprovalPage {
        action: format!("{}/approvals/{id}", session.base),
        typed: hosts.iter().find(|(what, _)| what == "token_url").map(|(_, host)| host.clone()),
        reason: line.reason.clone(),
        row: row(line),
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
        Err(e) if e.code == Code::InvalidInput => {
            match page(&visitor, &id, Some(sentence(e.message()))).await {
                Ok(page) => Answer::page(StatusCode::BAD_REQUEST, pages::approval(&page)),
                Err(e) => visitor.failed(&e),
            }
        }
        Err(e) => visitor.failed(&e),
    }
}

async fn decided(visitor: &Visitor, id: &str, csrf: &str, decision: &str, typed: &str) -> Result<Answer> {
    visitor.signed_in()?;
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
                return Err(invalid("the host was not typed as it is shown"));
            }
            let done = approve(&visitor.app, &visitor.caller, id).await?;
            match done.outcome.is_null() {
                false => Ok(told(
                    visitor,
                    "Approved",
                    &format!("It is done: {}.", done.operation.replace('_', " ")),
                )),
                true => Err(Error::new(Code::StoreBusy, "it could not be carried out for the moment")
                    .next("The request is still open: approve it again.")),
            }
        }
        _ => Err(invalid("neither approve nor decline was chosen")),
    }
}
