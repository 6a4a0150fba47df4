//! `disconnect_credential`: the tokens end here for good, and at the service where it can be reached.
use super::revoke::{Ended, end_at_service, tokens};
use super::{provider_of, save};
use crate::app::App;
use crate::error::{Code, Error, Result};
use crate::model::access::Caller;
use crate::model::connection::{Connection, ConnectionState, REVOKE_TRIED_MS, backoff_ms};
use crate::model::credential::Credential;
use crate::model::event::{Event, Outcome};
use crate::model::provider::Provider;
use crate::model::text::Reason;
use crate::ops::confirm::{Confirm, Question};
use crate::ops::credential::delete::impact;
use crate::ops::reach::{self, Need};
use crate::ops::{Effect, Operation, Permission, Toolset};
use crate::store::Reader;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DisconnectCredential {
    /// Id or name
    #[schemars(length(max = 160))]
    pub credential: String,
    /// End the grant at the service too; default yes
    pub revoke: Option<bool>,
    /// Why, for the log
    #[schemars(length(max = 300))]
    pub reason: String,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Disconnected {
    pub id: String,
    pub name: String,
    /// `confirmed`, `unsure`, `refused`, `not_possible`, `nothing_left`, `retrying` or `not_asked`
    pub at_service: String,
    pub message: String,
    pub next: String,
}

struct Found {
    credential: Credential,
    provider: Provider,
    connection: Connection,
    /// A refresh was begun whose end is not known.
    is_unsure: bool,
}

fn find(tx: &Reader<'_>, caller: &Caller, wanted: &str) -> Result<Found> {
    let who = tx.standing(caller)?;
    let credential = reach::credential(tx, caller, &who, wanted, Need::Manage)?.credential;
    let provider = provider_of(tx, &credential)?;
    match tx.connection(&caller.org, &credential.id)? {
        Some(connection)
            if matches!(connection.state, ConnectionState::Connected | ConnectionState::Broken) =>
        {
            let is_unsure = connection.intent != 0;
            Ok(Found { credential, provider, connection, is_unsure })
        }
        _ => Err(Error::new(Code::NothingToDo, format!("{} is not connected", credential.name))),
    }
}

impl Operation for DisconnectCredential {
    const NAME: &'static str = "disconnect_credential";
    const TITLE: &'static str = "Disconnect a connection";
    const ABOUT: &'static str = "End an OAuth connection: its tokens are destroyed here and revoked at the service. The credential stays, to be connected again.";
    const TOOLSET: Toolset = Toolset::OAuth;
    const EFFECT: Effect = Effect::Removes;
    const NEEDS: Permission = Permission::Manage;
    type Output = Disconnected;

    async fn confirm(&self, app: &App, caller: &Caller) -> Result<Confirm> {
        let (asking, wanted) = (caller.clone(), self.credential.clone());
        let (reason, revokes) = (Reason::parse(&self.reason)?, self.revoke != Some(false));
        app.store
            .read(move |tx| {
                crate::ops::quota::removal(tx, &asking)?;
                let found = find(tx, &asking, &wanted)?;
                let who = tx.standing(&asking)?;
                let reached = reach::reached(tx, &asking.org, &who, found.credential.clone())?;
                // What changes with each use would be another question when it is answered.
                let mut impact = impact(tx, &asking, &reached)?;
                impact.retain(|line| !line.starts_with("used ") && line != "never used");
                impact
                    .push("its tokens are destroyed: a person has to consent again to bring it back".into());
                if revokes {
                    impact.push(format!("{} is asked to end the grant", found.provider.name));
                }
                let question = Question {
                    summary: format!("disconnect {} ({})", found.credential.label(), found.credential.id),
                    impact,
                    reason: reason.to_string(),
                    pins: vec![("credential", found.credential.id.0.clone())],
                };
                // What ends at the service cannot be brought back, so a form, which can be forged, is not enough.
                Ok(if revokes { Confirm::Person(question) } else { Confirm::Form(question) })
            })
            .await
    }

    async fn run(self, app: &App, caller: &Caller) -> Result<Disconnected> {
        let reason = Reason::parse(&self.reason)?;
        let revokes = self.revoke != Some(false);
        let asking = caller.clone();
        let plain = Caller { idempotency: None, ..caller.clone() };
        wait_for_refresh(app, caller, &self.credential).await?;
        // Out of use at once, whatever the service says (O-24). What it needs to end the grant stays sealed until then.
        let found = app
            .store
            .write(&plain, move |tx| {
                crate::ops::quota::removal(tx, &asking)?;
                let Found { mut credential, provider, mut connection, is_unsure } =
                    find(tx, &asking, &self.credential)?;
                let now = tx.now();
                // What a refresh brings now would be tokens that nobody ends.
                if connection.is_claimed(now) {
                    return Err(Error::new(Code::Changed, "its tokens are being refreshed at this moment")
                        .next("Call again in a few seconds."));
                }
                match revokes {
                    true => save::drop_value(tx, &mut credential)?,
                    false => save::destroy_tokens(tx, &mut credential)?,
                }
                connection.state =
                    if revokes { ConnectionState::Revoking } else { ConnectionState::Disconnected };
                connection.reason.clear();
                connection.last_error.clear();
                connection.failures = 0;
                connection.has_refresh &= revokes;
                connection.lease_owner.clear();
                connection.next_try_at = None;
                // Tried again by the background pass, should this process end in between.
                connection.refresh_due_at = revokes.then(|| now.plus_ms(60_000));
                connection.access_expires_at = None;
                connection.updated_at = now;
                tx.save(&mut connection)?;
                let event = Event::of(Self::NAME)
                    .on(&credential)
                    .because(reason.as_str())
                    .ended(if revokes { Outcome::Started } else { Outcome::Ok }, "")
                    .with("provider", provider.name.clone())
                    .with("at_service", if revokes { "asked" } else { "not_asked" });
                tx.record_step(event, Found { credential, provider, connection, is_unsure })
            })
            .await?;
        let name = found.credential.name.clone();
        let ended = if revokes { Some(end(app, caller, &found).await?) } else { None };
        let (at_service, message, next) = match ended {
            // A service says yes to tokens that it replaced long ago (RFC 7009 §2.2).
            Some(Ended::Confirmed) if found.is_unsure => (
                "unsure",
                format!(
                    "The tokens are destroyed here. {} confirmed the end of the tokens that we knew, and may have given newer \
                     ones to a refresh that was broken off.",
                    found.provider.name
                ),
                format!(
                    "Ask the person to look at the page of {}, where connected apps are listed.",
                    found.provider.name
                ),
            ),
            ended => told(&found.provider.name, ended),
        };
        let output = Disconnected {
            id: found.credential.id.0.clone(),
            name,
            at_service: at_service.into(),
            message,
            next,
        };
        let credential = found.credential;
        app.store
            .write(caller, move |tx| {
                let event =
                    Event::of(Self::NAME).on(&credential).with("at_service", output.at_service.clone());
                tx.record(event, output)
            })
            .await
    }
}

/// Waits until nobody refreshes it: a claim lasts half a minute at most.
async fn wait_for_refresh(app: &App, caller: &Caller, wanted: &str) -> Result<()> {
    for _ in 0..160 {
        let (asking, wanted) = (caller.clone(), wanted.to_owned());
        let claimed = app
            .store
            .read_here(move |tx| Ok(find(tx, &asking, &wanted)?.connection.is_claimed(tx.now())))
            .await?;
        if !claimed {
            return Ok(());
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    Ok(())
}

fn told(provider: &str, ended: Option<Ended>) -> (&'static str, String, String) {
    let by_hand = || {
        format!(
            "Ask the person to remove the access on the page of {provider}, where connected apps are listed."
        )
    };
    match ended {
        None => (
            "not_asked",
            format!(
                "The tokens are destroyed here. {provider} was not asked to end the grant, which lives on there."
            ),
            by_hand(),
        ),
        Some(Ended::Confirmed) => (
            "confirmed",
            format!("The tokens are destroyed here, and {provider} confirmed that it ended the grant."),
            String::new(),
        ),
        Some(Ended::Refused) => (
            "refused",
            format!(
                "The tokens are destroyed here. {provider} refused to end the grant, which may live on there."
            ),
            by_hand(),
        ),
        Some(Ended::Nothing) => (
            "nothing_left",
            format!(
                "There was no token left here to end; whether the grant lives on at {provider} is not known."
            ),
            by_hand(),
        ),
        Some(Ended::NoWay) => (
            "not_possible",
            format!("The tokens are destroyed here. {provider} has no address where a grant is ended."),
            by_hand(),
        ),
        Some(Ended::NotNow(why)) => (
            "retrying",
            format!(
                "The connection is out of use here. {provider} could not be asked to end the grant ({why}); that is tried again for a day."
            ),
            "Call get_credential later to see whether it was confirmed.".into(),
        ),
    }
}

/// Asks the service, and writes what it said. The intent stands in the connection's row until then (O-25).
async fn end(app: &App, caller: &Caller, found: &Found) -> Result<Ended> {
    let held = tokens(app, &found.credential, &found.connection).await?;
    let both: Vec<_> = [("refresh_token", &held.refresh), ("access_token", &held.access)]
        .into_iter()
        .filter_map(|(hint, token)| Some((hint, token.as_ref()?)))
        .collect();
    let ended = end_at_service(app, &found.provider, &both).await?;
    let (org, id) = (found.credential.org_id.clone(), found.credential.id.clone());
    let plain = Caller { idempotency: None, approval: None, ..caller.clone() };
    app.store
        .write(&plain, move |tx| {
            let mut c = tx
                .find_credential(&org, &id)?
                .ok_or_else(|| Error::new(Code::CredentialNotFound, "the credential is gone"))?;
            let mut connection =
                tx.connection(&org, &id)?
                    .filter(|c| c.state == ConnectionState::Revoking)
                    .ok_or_else(|| Error::new(Code::Changed, "it was connected again meanwhile"))?;
            let now = tx.now();
            let event = Event::of("revoke_at_service").on(&c);
            let is_late = now.0 - connection.updated_at.0 > REVOKE_TRIED_MS;
            let event = match ended {
                Ended::NotNow(why) if !is_late => {
                    connection.failures += 1;
                    connection.last_error = why.into();
                    let wait = 60 * backoff_ms(connection.failures, super::dice());
                    connection.refresh_due_at = Some(now.plus_ms(wait.min(3_600_000)));
                    tx.save(&mut connection)?;
                    event.ended(Outcome::Failed, Code::Unreachable.name()).with("why", why)
                }
                ended => {
                    save::destroy_tokens(tx, &mut c)?;
                    connection.state = ConnectionState::Disconnected;
                    connection.has_refresh = false;
                    connection.refresh_due_at = None;
                    connection.last_error = match ended {
                        Ended::Confirmed if connection.intent != 0 => {
                            "the service may have given newer tokens to a refresh that was broken off".into()
                        }
                        Ended::Confirmed => String::new(),
                        Ended::Refused => "the service refused to end the grant".into(),
                        Ended::NoWay => "the service has no way to end a grant".into(),
                        Ended::Nothing => "there was no token left to end".into(),
                        Ended::NotNow(why) => format!("the service could not be asked for a day: {why}"),
                    };
                    tx.save(&mut connection)?;
                    let event = event.with("confirmed", ended == Ended::Confirmed);
                    match ended {
                        Ended::Confirmed => event,
                        _ => event.ended(Outcome::Failed, Code::Unreachable.name()),
                    }
                }
            };
            tx.record_step(event, ())
        })
        .await?;
    Ok(ended)
}

/// Tries again what could not be ended before.
pub(super) async fn end_again(app: &App, connection: Connection) -> Result<()> {
    let caller = super::system(&connection);
    let (org, id) = (connection.org_id.clone(), connection.credential_id.clone());
    let found = app
        .store
        .read(move |tx| {
            let credential = tx
                .find_credential(&org, &id)?
                .ok_or_else(|| Error::new(Code::CredentialNotFound, "the credential is gone"))?;
            let provider = provider_of(tx, &credential)?;
            let is_unsure = connection.intent != 0;
            Ok(Found { credential, provider, connection, is_unsure })
        })
        .await?;
    end(app, &caller, &found).await.map(drop)
}
