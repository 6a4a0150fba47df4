//! Telling people without being asked: which credentials end soon or are to be replaced, which one its service refuses, which
//! canary was used, which rotation went back by itself.
//!
//! A notice has names and dates in it and never a value. It waits in the database until it was taken, so that one that a
//! crash or a dead network cut off goes out later. What is personal is told to nobody else: it is in its owner's status.
mod send;
#[cfg(test)]
mod tests;

pub use send::send_due;

use super::credential::facts::Facts;
use crate::app::App;
use crate::clock::{DAY_MS, Millis};
use crate::config::File;
use crate::error::Result;
use crate::ids::{NoticeId, OrgId};
use crate::model::Word;
use crate::model::access::{Caller, Door};
use crate::model::credential::{Credential, Scope};
use crate::model::event::Event;
use crate::model::notice::{
    Notice, NoticeKind, NoticeState, WARN_DAYS, Warning, Way, reached, reached_of_policy,
};
use crate::ops::reach::{self, Need};
use crate::ops::rotation::Policies;
use crate::store::{Reader, Writer};
use serde::Serialize;
use serde_json::json;

/// How many credentials are looked at in one go.
const PAGE: i64 = 200;
/// How long what is over is kept, days.
const KEPT_DAYS: i64 = 90;

/// The org whose notices this configuration sends, and who it does that as; none where there is nowhere to send them.
fn sender(file: &File) -> Option<Caller> {
    let identity = &file.identity;
    let is_set = !file.notices.is_empty() && !identity.org.is_empty();
    is_set.then(|| Caller::new(identity.org.as_str().into(), identity.user.as_str().into(), Door::System))
}

/// A setting of `[notices]` without which nothing goes out, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Missing {
    pub setting: &'static str,
    pub what: String,
    pub next: &'static str,
}

/// What keeps notices from going out, as far as the vault can tell: nobody hears of it otherwise.
pub fn missing(tx: &Reader<'_>, file: &File) -> Result<Vec<Missing>> {
    const NEXT: &str = "Name a credential of the org in unsaid.toml, best by its id: one of a team or a person is not taken by its name.";
    let notices = &file.notices;
    if notices.webhook.is_none() && notices.mail_to.is_empty() {
        return Ok(Vec::new());
    }
    let Some(caller) = sender(file) else {
        return Ok(vec![Missing {
            setting: "identity",
            what: "[identity] names no org whose notices are sent".into(),
            next: "Name the org and the user under [identity] in unsaid.toml.",
        }]);
    };
    let wanted = [
        ("webhook_secret", notices.webhook.is_some(), &notices.webhook_secret),
        ("mail_credential", !notices.mail_to.is_empty(), &notices.mail_credential),
    ];
    let who = tx.standing(&caller);
    let mut found = Vec::new();
    for (setting, _, named) in wanted.into_iter().filter(|(_, is_used, _)| *is_used) {
        let why = match (named, &who) {
            (None, _) => Some("is not set".to_owned()),
            (_, Err(_)) => Some("cannot be used by the user of [identity]".to_owned()),
            (Some(named), Ok(who)) => match reach::configured(tx, &caller, who, named, Need::Use) {
                Err(e) => Some(format!("cannot be used: {}", e.message())),
                Ok(found) if tx.current_version(&found.credential)?.is_none() => {
                    Some(format!("is {}, which has no value", found.credential.label()))
                }
                Ok(_) => None,
            },
        };
        let what = why.map(|why| format!("{setting} of [notices] {why}: no notice goes out there"));
        found.extend(what.map(|what| Missing { setting, what, next: NEXT }));
    }
    Ok(found)
}

/// What a warning is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Near {
    /// Its end: as entered, as its service or its value says.
    End,
    /// By its rotation policy its value is to be replaced.
    Due,
}

impl Near {
    fn kind(self) -> NoticeKind {
        match self {
            Self::End => NoticeKind::Expiring,
            Self::Due => NoticeKind::RotationDue,
        }
    }

    fn page(self, tx: &Reader<'_>, policies: &Policies, org: &OrgId, after: &str) -> Result<Vec<Credential>> {
        let now = tx.now();
        let until = now.plus_days(WARN_DAYS[0]);
        match self {
            Self::End => tx.ending_until(org, now, until, after, PAGE),
            Self::Due => tx.due_until(org, now, until, policies.by_service(), after, PAGE),
        }
    }

    /// When it is, and of which days nobody was told yet; none where there is nothing to tell.
    fn untold(
        self,
        tx: &Reader<'_>,
        policies: &Policies,
        c: &Credential,
    ) -> Result<Option<(Millis, Vec<i64>)>> {
        let now = tx.now();
        let found = match self {
            Self::End => Facts::of(tx, c)?.ends_at(c).map(|end| (end, reached(end, now))),
            Self::Due => policies.due_at(c).map(|(due, every)| (due, reached_of_policy(due, now, every))),
        };
        let Some((at, mut days)) = found else { return Ok(None) };
        let told = tx.warned(&c.org_id, &c.id, at)?;
        days.retain(|days| !told.contains(&self.kept(*days)));
        Ok((!days.is_empty()).then_some((at, days)))
    }

    /// As it is kept beside the other kind.
    fn kept(self, days: i64) -> i64 {
        match self {
            Self::End => days,
            Self::Due => -days,
        }
    }
}

/// Warns of every end that has come near since the last time, and of every value that is to be replaced soon: once for each of
/// 30, 14, 7 and 1 days.
///
/// What is first seen late is told of once, and not four times at once.
pub async fn warn(app: &App) -> Result<()> {
    let orgs = app.store.read(|tx| tx.orgs()).await?;
    for org in orgs {
        for near in [Near::End, Near::Due] {
            // What is wrong with one org's rows keeps nobody else's warnings back.
            if let Err(e) = warn_one(app, &org.id, near).await {
                tracing::warn!(code = e.code.name(), org = org.id.as_str(), "an org's warnings failed");
            }
        }
    }
    forget_old(app).await
}

async fn warn_one(app: &App, org: &OrgId, near: Near) -> Result<()> {
    let mut after = String::new();
    loop {
        let (id, from) = (org.clone(), after.clone());
        let due = app
            .store
            .read(move |tx| {
                let policies = Policies::read(tx, &id)?;
                let page = near.page(tx, &policies, &id, &from)?;
                let last = page.last().map(|c| c.id.0.clone());
                let mut due = Vec::new();
                for c in page {
                    if near.untold(tx, &policies, &c)?.is_some() {
                        due.push(c);
                    }
                }
                Ok((last, due))
            })
            .await?;
        for c in due.1 {
            warn_of(app, org, c, near).await?;
        }
        match due.0 {
            Some(last) => after = last,
            None => return Ok(()),
        }
    }
}

async fn warn_of(app: &App, org: &OrgId, c: Credential, near: Near) -> Result<()> {
    let file = app.config.file.clone();
    let user = c.value_set_by.clone().unwrap_or_else(|| c.created_by.clone());
    let caller = Caller::new(org.clone(), user, Door::System);
    let id = c.id.clone();
    let is_new = app
        .store
        .write(&caller, move |tx| {
            let now = tx.now();
            let event = Event::of(match near {
                Near::End => "warn_of_expiry",
                Near::Due => "warn_of_rotation",
            });
            let Some(c) = tx.find_credential(&c.org_id, &c.id)?.filter(|c| !c.is_deleted()) else {
                return tx.record_step(event, false);
            };
            // Again, inside: another process may have been faster.
            let policies = Policies::read(tx, &c.org_id)?;
            let Some((at, new)) = near.untold(tx, &policies, &c)? else {
                return tx.record_step(event, false);
            };
            let nearest = new.last().copied();
            for days in new {
                tx.insert(&mut Warning {
                    credential_id: c.id.clone(),
                    ends_at: at,
                    days: near.kept(days),
                    org_id: c.org_id.clone(),
                    at: now,
                    revision: 0,
                })?;
            }
            queue(tx, &file, &c, near.kind(), Some(at))?;
            tx.record_step(event.on(&c).with("days", nearest), true)
        })
        .await?;
    if is_new {
        app.changed(org, &id);
    }
    Ok(())
}

/// Puts what there is to tell of `c` on its way, to every place that the configuration names. `at`: when it ends, or is due.
pub(in crate::ops) fn queue(
    tx: &mut Writer<'_>,
    file: &File,
    c: &Credential,
    kind: NoticeKind,
    at: Option<Millis>,
) -> Result<()> {
    let is_ours = sender(file).is_some_and(|caller| caller.org == c.org_id);
    if !is_ours || c.scope == Scope::Personal {
        return Ok(());
    }
    let now = tx.now();
    let notices = &file.notices;
    let ways = [(Way::Webhook, notices.webhook.is_some()), (Way::Mail, !notices.mail_to.is_empty())];
    for (way, _) in ways.into_iter().filter(|(_, is_set)| *is_set) {
        let id = NoticeId::fresh();
        let days = at.map(|end| (end.0 - now.0 + DAY_MS - 1) / DAY_MS);
        let is_due = kind == NoticeKind::RotationDue;
        let mut body = json!({
            "id": id.as_str(), "type": kind.as_str(), "at": now, "org": c.org_id.as_str(),
            "credential": {
                "id": c.id.as_str(), "name": c.name, "scope": c.scope, "service": c.service,
                "environment": c.environment,
            },
            "expires_at": at.filter(|_| !is_due), "days_left": days, "next": next(c, kind),
        });
        if let (true, Some(at)) = (is_due, at) {
            body["due_at"] = json!(at);
        }
        tx.insert(&mut Notice {
            id,
            org_id: c.org_id.clone(),
            credential_id: c.id.clone(),
            kind,
            way,
            body: body.to_string(),
            state: NoticeState::Waiting,
            attempts: 0,
            due_at: Some(now),
            last_error: String::new(),
            created_at: now,
            revision: 0,
        })?;
    }
    Ok(())
}

fn next(c: &Credential, kind: NoticeKind) -> String {
    match kind {
        NoticeKind::Expiring => format!("Make a new one at its service, then run `{}`.", c.set_command()),
        NoticeKind::Refused => {
            format!("Its service does not take it. Make a new one there, then run `{}`.", c.set_command())
        }
        NoticeKind::RotationDue => {
            format!("By its policy its value is to be replaced: run `unsaid rotate {}`.", c.id)
        }
        NoticeKind::WentBack => format!(
            "The new value failed, and the old one is served again. See why with `unsaid rotate --status {}`.",
            c.id
        ),
        NoticeKind::CanaryUsed => {
            "Nothing should use it. Run `unsaid canary list` to see who did.".to_owned()
        }
    }
}

async fn forget_old(app: &App) -> Result<()> {
    let Some(caller) = sender(&app.config.file) else { return Ok(()) };
    let (org, before) = (caller.org.clone(), app.now().plus_days(-KEPT_DAYS));
    let id = org.clone();
    if !app.store.read(move |tx| tx.has_old_notices(&id, before)).await? {
        return Ok(());
    }
    app.store
        .write(&caller, move |tx| {
            tx.forget_old_notices(&org, before)?;
            tx.record_step(Event::of("forget_notices"), ())
        })
        .await
}
