//! `test_credential`: asks the service whether a credential still works, and whose it is.
use super::refresh::{Wanted, ensure_fresh, not_connected};
use super::who::{self, Account};
use super::{provider_of, save};
use crate::app::App;
use crate::clock::Millis;
use crate::error::{Code, Error, Result, invalid};
use crate::model::Word;
use crate::model::access::Caller;
use crate::model::connection::ConnectionState;
use crate::model::credential::Source;
use crate::model::event::{Event, Outcome};
use crate::model::status::{StatusReason, StatusReport, status};
use crate::ops::canary;
use crate::ops::reach::{self, Need};
use crate::ops::{Effect, Operation, Permission, Toolset};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TestCredential {
    /// Id or name
    #[schemars(length(max = 160))]
    pub credential: String,
}

words! {
    /// What a test found out. Refused and could-not-check are never the same.
    Verdict {
        Valid = "valid",
        Refused = "refused",
        Limited = "limited",
        CouldNotCheck = "could_not_check",
    }
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Tested {
    pub id: String,
    pub name: String,
    pub verdict: Verdict,
    pub message: String,
    /// Whose account it is, as the service says.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub account: String,
    /// It is another account than the one it was connected as.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub account_changed: bool,
    /// Asked for and not granted.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub scopes_missing: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_expires_at: Option<Millis>,
    pub status: StatusReport,
    pub next: String,
}

impl Operation for TestCredential {
    const NAME: &'static str = "test_credential";
    const TITLE: &'static str = "Test a connection";
    const ABOUT: &'static str = "Ask the service whether an OAuth connection still works, whose account it is and what it may do. Refreshes it first if need be.";
    const TOOLSET: Toolset = Toolset::Credentials;
    const EFFECT: Effect = Effect::Changes;
    const NEEDS: Permission = Permission::Use;
    const IDEMPOTENT: bool = true;
    type Output = Tested;

    async fn run(self, app: &App, caller: &Caller) -> Result<Tested> {
        let asking = caller.clone();
        let (c, p) = app
            .store
            .read(move |tx| {
                let who = tx.standing(&asking)?;
                let c = reach::credential(tx, &asking, &who, &self.credential, Need::Use)?.credential;
                if c.source != Source::OAuth {
                    return Err(invalid(format!(
                        "{} is no connection: only those can be tested yet",
                        c.name
                    ))
                    .next("Use it with the program that needs it, and see whether that works."));
                }
                let p = provider_of(tx, &c)?;
                match tx.connection(&asking.org, &c.id)? {
                    Some(connection) if connection.state == ConnectionState::Connected => Ok((c, p)),
                    connection => Err(not_connected(&c, connection.as_ref())),
                }
            })
            .await?;
        let fresh = ensure_fresh(app, caller, &caller.org, &c.id, Wanted::ForUse).await;
        let account = match &fresh {
            Err(e) if e.code == Code::RefreshUnreachable => {
                Account::Unknown("its token could not be refreshed")
            }
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
                let mut connection =
                    tx.connection(&asking.org, &c.id)?.ok_or_else(|| not_connected(&c, None))?;
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
                let mark = StatusReason::RevokedUpstream.as_str();
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
                    Account::Known(now) => (
                        now.label.clone(),
                        !connection.subject.is_empty() && connection.subject != now.subject,
                    ),
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
                    scopes_missing: connection.scopes_missing().into_iter().map(str::to_owned).collect(),
                    token_expires_at: connection.access_expires_at,
                    status: status(&c, Some(&connection), tx.now(), org.warn_days, org.bin_days),
                    next,
                };
                let event = Event::of(Self::NAME)
                    .on(&c)
                    .ended(outcome, "")
                    .with("verdict", crate::model::Word::as_str(verdict))
                    .with("account_changed", changed);
                tx.record(event, output)
            })
            .await
    }
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
    let (c, version, alarm) = app
        .store
        .write(&plain, move |tx| {
            let who = tx.standing(&asking)?;
            let c = reach::credential(tx, &asking, &who, id.as_str(), Need::Use)?.credential;
            let version = tx.current_version(&c)?.ok_or_else(|| not_connected(&c, None))?;
            let alarm = canary::watch(tx, &asking, &c, "test", "")?;
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
