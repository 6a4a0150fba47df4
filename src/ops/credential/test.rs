//! `test_credential`: asks the service whether a credential still works, and whose it is.
use super::probe::{Probed, Verdict, keep, probe};
use crate::app::App;
use crate::clock::Millis;
use crate::error::{Code, Error, Result};
use crate::model::access::Caller;
use crate::model::credential::{Credential, Source, Version};
use crate::model::status::StatusReport;
use crate::ops::reach::{self, Need};
use crate::ops::rotation::{Policies, status_with};
use crate::ops::{Effect, Operation, Permission, Toolset, connection};
use crate::store::Reader;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TestCredential {
    /// Id or name
    #[schemars(length(max = 160))]
    pub credential: String,
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
    /// It is another account than before.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub account_changed: bool,
    /// What it may do, as the service says.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub scopes: Vec<String>,
    /// Asked for and not granted.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub scopes_missing: Vec<String>,
    /// Of the key or of a connection's token, as the service says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Millis>,
    pub status: StatusReport,
    pub next: String,
}

impl Operation for TestCredential {
    const NAME: &'static str = "test_credential";
    const TITLE: &'static str = "Test a credential";
    const ABOUT: &'static str = "Ask a credential's own service, by one harmless request, whether it still works, whose account it is and what it may do.";
    const TOOLSET: Toolset = Toolset::Credentials;
    const EFFECT: Effect = Effect::Changes;
    const NEEDS: Permission = Permission::Use;
    const IDEMPOTENT: bool = true;
    type Output = Tested;

    async fn run(self, app: &App, caller: &Caller) -> Result<Tested> {
        let asking = caller.clone();
        let (c, version) = app
            .store
            .read(move |tx| {
                let who = tx.standing(&asking)?;
                let c = reach::credential(tx, &asking, &who, &self.credential, Need::Use)?.credential;
                let version = tx.current_version(&c)?;
                Ok((c, version))
            })
            .await?;
        if c.source == Source::OAuth {
            return connection::test(app, caller, &c).await;
        }
        let version = version.ok_or_else(|| missing(&c))?;
        let found = probe(app, caller, &c, &version).await?;
        let asking = caller.clone();
        app.store
            .write(caller, move |tx| {
                let who = tx.standing(&asking)?;
                let c = reach::credential(tx, &asking, &who, c.id.as_str(), Need::Use)?.credential;
                let before = tx.probe(&c.org_id, &c.id)?;
                let is_other = before.is_some_and(|before| {
                    !before.account.is_empty() && !found.account.is_empty() && before.account != found.account
                });
                let event = keep(tx, &c, version.number, &found, None)?;
                let output = told(tx, &c, &version, found, is_other)?;
                tx.record(event.with("account_changed", is_other), output)
            })
            .await
    }
}

fn missing(c: &Credential) -> Error {
    Error::new(Code::ValueMissing, format!("{} has no value yet", c.name))
        .next(format!("Ask the person to run `{}`.", c.set_command()))
}

fn told(tx: &Reader<'_>, c: &Credential, v: &Version, found: Probed, is_other: bool) -> Result<Tested> {
    let org = tx.org(&c.org_id)?;
    let next = match (found.verdict, is_other) {
        (_, true) => {
            "It is another account than at the last test. Ask the person whether that is meant.".to_owned()
        }
        (Verdict::Valid, _) => String::new(),
        (Verdict::Refused, _) => {
            format!("Ask the person to make a new one (get_rotation_guide) and run `{}`.", c.set_command())
        }
        (Verdict::Limited, _) => {
            "It works. Whether it may do what it is for, its service's own page says.".to_owned()
        }
        (Verdict::CouldNotCheck, _) => "Nothing is known to be wrong with it.".to_owned(),
    };
    let facts = super::facts::Facts::of(tx, c)?;
    Ok(Tested {
        id: c.id.0.clone(),
        name: c.name.clone(),
        verdict: found.verdict,
        message: found.message,
        account: found.account,
        account_changed: is_other,
        scopes: found.scopes,
        scopes_missing: Vec::new(),
        expires_at: found.expires_at.or(facts.ends_at(c).filter(|_| Some(v.number) == c.current_version)),
        status: status_with(tx, &Policies::read(tx, &c.org_id)?, c, None, &facts, &org, tx.now())?,
        next,
    })
}
