//! Whether a connection still works, and whose it is: what `test_credential` does with one.
use super::refresh::{Wanted, ensure_fresh, not_connected};
use super::who::{self, Account};
use super::{provider_of, save};
use crate::app::App;
use crate::error::{Code, Error, Result};
use crate::model::Word;
use crate::model::access::Caller;
use crate::model::connection::ConnectionState;
use crate::model::credential::Credential;
use crate::model::event::{Event, Outcome};
use crate::model::probe::{Probed, Verdict};
use crate::model::provider::Provider;
use crate::model::status::{StatusReason, status};
use crate::ops::canary;
use crate::ops::credential::test::Tested;
use crate::ops::reach::{self, Need};

/// Refreshes the connection of `c` if need be, and asks its provider whose it is.
///
/// Fails with `reauth_required` where it is not connected.
pub(in crate::ops) async fn test(app: &App, caller: &Caller, c: &Credential) -> Result<Tested> {
    let p = connected(app, caller, c).await?;
    let fresh = ensure_fresh(app, caller, &caller.org, &c.id, Wanted::ForUse).await;
    let account = match &fresh {
        Err(e) if e.code == Code::RefreshUnreachable => Account::Unknown("its token could not be refreshed"),
        Err(e) if e.code == Code::RefreshRefused => {
            Account::Unknown("its token could not be refreshed: the client was refused")
        }
        Err(_) => return Err(fresh.err().unwrap_or_else(|| crate::error::internal("a refresh failed"))),
        Ok(()) => {
            let access = access(app, caller, &c.id).await?;
            who::ask(app, &p, &access).await?
        }
    };
    let (asking, id) = (caller.clone(), c.id.clone());
    app.store
        .write(caller, move |tx| {
            let who = tx.standing(&asking)?;
            let c = reach::credential(tx, &asking, &who, id.as_str(), Need::Use)?.credential;
            let org = tx.org(&asking.org)?;
            let mut connection = tx.connection(&asking.org, &c.id)?.ok_or_else(|| not_connected(&c, None))?;
            // What was found out stays until the next tokens: a refused token is not told as being in order.
            let found = match &account {
                Account::Refused => Some("the service does not take its token"),
                Account::Known(now)
                    if !connection.subject.is_empty() && connection.subject != now.subject =>
                {
                    Some("the service says that it is another account's")
                }
                _ => None,
            };
            let mark = Word::as_str(StatusReason::RevokedUpstream);
            match found {
                Some(why) => {
                    connection.reason = mark.into();
                    connection.last_error = why.into();
                    tx.save(&mut connection)?;
                }
                None if connection.reason == mark && matches!(account, Account::Known(_)) => {
                    connection.reason.clear();
                    connection.last_error.clear();
                    tx.save(&mut connection)?;
                }
                None => {}
            }
            let (verdict, message, next) = told(&p.name, &account, &c.connect_command());
            let (name, changed) = match &account {
                Account::Known(now) => {
                    (now.label.clone(), !connection.subject.is_empty() && connection.subject != now.subject)
                }
                _ => (String::new(), false),
            };
            let (message, next) = match changed {
                true => (
                    format!("{} answers, and it is another account than {}.", p.name, connection.account),
                    "Ask the person whether that is meant; if not, connect it again.".to_owned(),
                ),
                false => (message, next),
            };
            let outcome = if verdict == Verdict::Valid { Outcome::Ok } else { Outcome::Failed };
            let output = Tested {
                id: c.id.0.clone(),
                name: c.name.clone(),
                verdict,
                message,
                account: name,
                account_changed: changed,
                scopes: connection.scopes_granted.clone(),
                scopes_missing: connection.scopes_missing().into_iter().map(str::to_owned).collect(),
                expires_at: connection.access_expires_at,
                status: status(&c, Some(&connection), tx.now(), org.warn_days, org.bin_days),
                next,
            };
            let event = Event::of("test_credential")
                .on(&c)
                .ended(outcome, "")
                .with("verdict", Word::as_str(verdict))
                .with("account_changed", changed);
            tx.record(event, output)
        })
        .await
}

/// The provider of `c`, which must be connected.
async fn connected(app: &App, caller: &Caller, c: &Credential) -> Result<Provider> {
    let (org, c) = (caller.org.clone(), c.clone());
    app.store
        .read(move |tx| match tx.connection(&org, &c.id)? {
            Some(connection) if connection.state == ConnectionState::Connected => provider_of(tx, &c),
            connection => Err(not_connected(&c, connection.as_ref())),
        })
        .await
}

/// What the provider says of the token as it is now, without a word about it in the connection's row.
pub(in crate::ops) async fn ask(app: &App, caller: &Caller, c: &Credential) -> Result<Probed> {
    let p = connected(app, caller, c).await?;
    if let Err(e) = ensure_fresh(app, caller, &caller.org, &c.id, Wanted::ForUse).await {
        return match e.code {
            Code::RefreshUnreachable | Code::RefreshRefused => {
                Ok(Probed::could_not(format!("{}'s token could not be refreshed.", p.name)))
            }
            _ => Err(e),
        };
    }
    let access = access(app, caller, &c.id).await?;
    let account = who::ask(app, &p, &access).await?;
    let (verdict, message, _) = told(&p.name, &account, &c.connect_command());
    let mut found = Probed::of(verdict, message);
    if let Account::Known(now) = account {
        found.account = now.label;
    }
    let (org, id) = (caller.org.clone(), c.id.clone());
    if let Some(connection) = app.store.read(move |tx| tx.connection(&org, &id)).await? {
        found.scopes = connection.scopes_granted;
    }
    Ok(found)
}

fn told(provider: &str, account: &Account, command: &str) -> (Verdict, String, String) {
    match account {
        Account::Known(_) => (Verdict::Valid, format!("{provider} takes the token."), String::new()),
        Account::Unnamed => (
            Verdict::Valid,
            format!("{provider} takes the token, and does not say whose it is."),
            String::new(),
        ),
        Account::Refused => (
            Verdict::Refused,
            format!("{provider} does not take the token any more."),
            format!("Call refresh_credential; if that fails too, ask the person to run `{command}`."),
        ),
        Account::Unknown(why) => (
            Verdict::CouldNotCheck,
            format!("{provider} could not be asked: {why}."),
            "Nothing is known to be wrong. Try again in a moment.".into(),
        ),
        Account::NoAddress => (
            Verdict::CouldNotCheck,
            format!("{provider} has no address that says whose a token is."),
            "Nothing is known to be wrong. An admin can add the provider's userinfo address.".into(),
        ),
    }
}

/// The access token, recorded as a use before it is opened.
async fn access(
    app: &App,
    caller: &Caller,
    id: &crate::ids::CredentialId,
) -> Result<crate::secret::SecretBytes> {
    let (asking, id) = (caller.clone(), id.clone());
    let plain = Caller { idempotency: None, approval: None, ..caller.clone() };
    let file = app.config.file.clone();
    let (c, version, alarm) = app
        .store
        .write(&plain, move |tx| {
            let who = tx.standing(&asking)?;
            let c = reach::credential(tx, &asking, &who, id.as_str(), Need::Use)?.credential;
            let version = tx.current_version(&c)?.ok_or_else(|| not_connected(&c, None))?;
            let alarm = canary::watch(tx, &asking, &c, ("test", ""), &file)?;
            let event = Event::of("use").on(&c).with("operation", "test");
            tx.record_step(event, (c, version, alarm))
        })
        .await?;
    alarm.iter().for_each(|alarm| canary::alert(app, alarm));
    let keys = app.keys.clone();
    app.store
        .read(move |tx| {
            save::field(tx, &keys.vault(), &c, &version, save::ACCESS)?
                .ok_or_else(|| Error::new(Code::Integrity, "a token is missing from the database"))
        })
        .await
}
