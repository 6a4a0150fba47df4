//! The page where a person enters a value: what is asked and by whom, empty fields, and what came of it.
use super::Site;
use super::answer::{Answer, sentence};
use super::connect;
use super::form::{self, Entered};
use super::pages::{self, Asked, Done, EntryForm, Field, SealTo};
use super::seal::SealKey;
use super::sessions::Visitor;
use super::sign_in::told;
use crate::app::App;
use crate::error::{Code, Error, Kind, Result, invalid};
use crate::model::entry::EntryPurpose;
use crate::ops::entry::{EntryView, decline, enter, enter_client_secret, look};
use crate::secret::{Secret, SecretBytes};
use axum::extract::multipart::MultipartRejection;
use axum::extract::{Multipart, Path, State};
use axum::http::StatusCode;
use std::sync::Arc;

/// Both parts of the path; the first is the session's.
type Where = Path<(String, String)>;

pub(super) async fn show(State(site): State<Arc<Site>>, Path((_, link)): Where, visitor: Visitor) -> Answer {
    let looked = async {
        visitor.expect_link(&link)?;
        look(&visitor.app, &visitor.caller, &link).await
    };
    match looked.await {
        Ok(view) if view.purpose == EntryPurpose::Connect => {
            Answer::ok(pages::connect(&connect::page(&visitor, &link, view, None)))
        }
        Ok(view) => Answer::ok(pages::entry(&page(&site, &visitor, &link, view, None))),
        Err(e) => visitor.failed(&e),
    }
}

fn page(site: &Site, visitor: &Visitor, link: &str, view: EntryView, error: Option<String>) -> EntryForm {
    let is_file = view.is_file;
    let field = |f: &crate::ops::entry::FieldView| Field {
        label: match f.name.as_str() {
            "value" => "Value".into(),
            "username" => "User name".into(),
            "password" => "Password".into(),
            "client_secret" => "Client secret".into(),
            name => name.to_owned(),
        },
        name: f.name.clone(),
        is_secret: f.is_secret && f.name != "username",
        // A line break would be dropped in silence by a field of one line; a key may have some.
        is_multiline: !matches!(f.name.as_str(), "username" | "password" | "client_secret") && f.is_secret,
        hint: if f.is_kept { "Leave it empty to keep the value it has.".into() } else { String::new() },
        is_optional: f.is_kept,
    };
    EntryForm {
        action: format!("{}/e/{link}", visitor.base()),
        csrf: visitor.csrf().to_owned(),
        heading: match view.purpose {
            EntryPurpose::ClientSecret => format!("Enter the client secret of {}", view.name),
            _ => format!("Enter {}", view.name),
        },
        asked: Asked {
            by: view.asked_by.clone(),
            client: view.client.clone(),
            at: view.asked_at.to_string(),
            expires: view.expires_at.to_string(),
        },
        facts: view.facts.iter().map(|(label, text)| ((*label).to_owned(), text.clone())).collect(),
        warnings: view.warnings.clone(),
        used_by: view.used_by.clone(),
        fields: if is_file { Vec::new() } else { view.fields.iter().map(field).collect() },
        is_file,
        most_bytes: view.most_bytes as u64,
        seal: (!site.is_local)
            .then(|| SealTo { key: site.seal.public().to_owned(), info: SealKey::info(link) }),
        command: view.command,
        error,
        session: visitor.session(),
    }
}

pub(super) async fn take(
    State(site): State<Arc<Site>>,
    Path((_, link)): Where,
    visitor: Visitor,
    parts: Result<Multipart, MultipartRejection>,
) -> Answer {
    let answer = match taken(&site, &link, &visitor, parts).await {
        Ok(answer) => {
            // Who came by a code had this one thing to do; a consent takes more than one step.
            let is_over = look(&visitor.app, &visitor.caller, &link).await.is_err();
            if site.by_code && is_over {
                site.sessions.end(&visitor.half);
            }
            answer
        }
        Err(e) if connect::can_go_on(&e) && is_consent(&visitor, &link).await => {
            match look(&visitor.app, &visitor.caller, &link).await {
                Ok(view) => connect::again(&visitor, &link, view, &e),
                Err(_) => visitor.failed(&e),
            }
        }
        // What can be put right is put right on the same page, whose fields are empty again.
        Err(e) if e.kind() == Kind::Input || e.code == Code::TooLarge => {
            match look(&visitor.app, &visitor.caller, &link).await {
                Ok(view) => {
                    let error = format!("{} {}", sentence(e.message()), again(&e));
                    let form = page(&site, &visitor, &link, view, Some(error));
                    Answer::page(StatusCode::BAD_REQUEST, pages::entry(&form))
                }
                Err(closed) => visitor.failed(&closed),
            }
        }
        Err(e) => visitor.failed(&e),
    };
    answer.and_close()
}

fn again(e: &Error) -> &str {
    match e.code {
        Code::TooLarge => "A value holds 64 KiB, a file 1 MiB. Nothing was stored.",
        _ => "Nothing was stored.",
    }
}

async fn taken(
    site: &Site,
    link: &str,
    visitor: &Visitor,
    parts: Result<Multipart, MultipartRejection>,
) -> Result<Answer> {
    visitor.expect_link(link)?;
    let parts = parts.map_err(|_| invalid("the form did not arrive as a form"))?;
    let mut entered = form::entered(parts).await?;
    visitor.expect_csrf(&entered.csrf)?;
    if entered.is_declined {
        let connects = is_consent(visitor, link).await;
        decline(&visitor.app, &visitor.caller, link).await?;
        return Ok(told(
            visitor,
            if connects { "Nothing was connected" } else { "Nothing was entered" },
            "The link is closed. The assistant can see that you did not want it, and nothing else.",
        ));
    }
    if let Some(sealed) = entered.sealed.take() {
        let opened = site.seal.open(link, &sealed)?;
        (entered.fields, entered.file) = (opened.fields, opened.file);
    }
    let view = look(&visitor.app, &visitor.caller, link).await?;
    match view.purpose {
        EntryPurpose::Connect => connect::taken(site, link, visitor, view, &entered).await,
        EntryPurpose::ClientSecret => client_secret(visitor, link, view, entered).await,
        _ => value(visitor, link, view, entered).await,
    }
}

async fn is_consent(visitor: &Visitor, link: &str) -> bool {
    look(&visitor.app, &visitor.caller, link).await.is_ok_and(|view| view.purpose == EntryPurpose::Connect)
}

async fn value(visitor: &Visitor, link: &str, view: EntryView, entered: Entered) -> Result<Answer> {
    let mut warnings = Vec::new();
    let (values, file_name) = match (view.is_file, entered.file) {
        (true, Some((name, content))) if entered.fields.is_empty() => {
            (vec![("content".to_owned(), content)], name)
        }
        (true, Some(_)) => {
            return Err(invalid("there is a file and a pasted text, and only one can be kept"));
        }
        (true, None) => (entered.fields, String::new()),
        (false, Some(_)) => return Err(invalid("this is no file")),
        (false, None) => {
            let mut values = Vec::with_capacity(entered.fields.len());
            for (name, value) in entered.fields {
                let (value, was_cut) = form::trimmed(value)?;
                if was_cut {
                    warnings.push("A line break at the end was left out.".to_owned());
                }
                values.push((name, value));
            }
            (values, String::new())
        }
    };
    let recognised = recognise(&visitor.app, &values);
    let done = enter(&visitor.app, &visitor.caller, link, values, file_name).await?;
    if let Some((service, _)) = &recognised
        && let Some((_, expected)) = view.facts.iter().find(|(label, _)| *label == "Service")
        && expected != service
    {
        warnings.push(format!(
            "This looks like a key of {service}, and the credential is for {expected}. If that is wrong, enter another value."
        ));
    }
    let mut facts = view.facts.iter().take(3).map(|(l, t)| ((*l).to_owned(), t.clone())).collect::<Vec<_>>();
    facts.push(("Version".into(), done.version.to_string()));
    warnings.extend(done.comes_before.iter().map(|text| format!("In your sessions it comes before {text}.")));
    Ok(Answer::ok(pages::done(&Done {
        heading: format!("{} is stored", view.name),
        facts,
        recognised: recognised.map(|(service, kind)| format!("{service}: {kind}")),
        warnings,
        session: visitor.session(),
    })))
}

/// The service whose keys look like this, and which kind; nothing where several do.
fn recognise(app: &App, values: &[(String, SecretBytes)]) -> Option<(String, String)> {
    let mut found = values.iter().filter_map(|(_, value)| {
        let seen = value.expose(|bytes| {
            let text = std::str::from_utf8(bytes).ok().filter(|text| text.len() <= 4096)?;
            match &app.catalogue.recognise(text)[..] {
                [only] if only.also_used_by.is_empty() => Some((only.service.clone(), only.kind.clone())),
                _ => None,
            }
        })?;
        let name = app.catalogue.find_service(&seen.0).map_or(seen.0, |service| service.name.clone());
        Some((name, seen.1.replace('_', " ")))
    });
    match (found.next(), found.next()) {
        (Some(only), None) => Some(only),
        _ => None,
    }
}

async fn client_secret(visitor: &Visitor, link: &str, view: EntryView, entered: Entered) -> Result<Answer> {
    let secret = match (entered.fields.into_iter().next(), entered.file) {
        (Some((name, value)), None) if name == "client_secret" => form::trimmed(value)?.0,
        _ => return Err(invalid("the client secret is missing")),
    };
    let text = secret.expose(|bytes| std::str::from_utf8(bytes).map(str::to_owned));
    let text = text.map_err(|_| invalid("a client secret is text"))?;
    let done = enter_client_secret(&visitor.app, &visitor.caller, link, Secret::new(text)).await?;
    Ok(Answer::ok(pages::done(&Done {
        heading: format!("The client secret of {} is stored", view.name),
        facts: view.facts.iter().map(|(l, t)| ((*l).to_owned(), t.clone())).collect(),
        recognised: None,
        warnings: done.warnings,
        session: visitor.session(),
    })))
}
