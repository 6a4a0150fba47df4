//! `report_use`: what runs a consumer, or the consumer itself, says whether it works with what it was handed. People and
//! programs only: a model's word is no signal.
use super::evidence;
use super::signals::{Heard, hear};
use crate::app::App;
use crate::config::File;
use crate::error::{Code, Error, Result, invalid};
use crate::ids::CredentialId;
use crate::model::access::Caller;
use crate::model::credential::Credential;
use crate::model::event::{Event, Outcome};
use crate::model::rotation::{RotationStage, Signal, SignalSource};
use crate::model::text::Reason;
use crate::ops::consumer::run_by;
use crate::ops::reach::{self, Need};
use crate::ops::{Effect, Operation, Permission, Toolset, people_only};
use crate::store::{Reader, Writer};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

words! {
    /// How it went.
    ReportedOutcome { Ok = "ok", Failed = "failed" }
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReportUse {
    /// Id or name
    #[schemars(length(max = 80))]
    pub consumer: String,
    pub outcome: ReportedOutcome,
    /// Only about this one
    #[schemars(length(max = 160))]
    pub credential: Option<String>,
    /// About this version of that credential, whichever it was handed since
    #[schemars(range(min = 1))]
    pub version: Option<i64>,
    pub reason: Option<Reason>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Reported {
    pub consumer: String,
    pub rotations: Vec<ReportedOn>,
    pub message: String,
}

/// One rotation that it told something about.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct ReportedOn {
    pub rotation: String,
    pub credential: String,
    /// `noted`, `rolled_back`, `not_handed` (it does not have the new one yet), or `other_version`: it is not about the new one
    pub result: String,
}

/// The version that is named, which there must have been: its value may be destroyed by now.
///
/// Fails with `invalid_input` where no credential says whose it is, and `version_not_found` where that never had it.
fn expect_version(tx: &Reader<'_>, input: &ReportUse, c: Option<&Credential>) -> Result<Option<i64>> {
    let Some(number) = input.version else { return Ok(None) };
    let c = c.ok_or_else(|| {
        invalid("a version is named, and no credential that it is of")
            .next("Name the credential too: each counts its own versions.")
    })?;
    match tx.find_version(&c.org_id, &c.id, number)? {
        Some(_) => Ok(Some(number)),
        None => Err(Error::new(
            Code::VersionNotFound,
            format!("{} never had a version {number}: nothing was noted", c.label()),
        )
        .next("Report the version that the consumer was handed, or leave it out to mean the last one.")),
    }
}

/// Rotations past promotion of credentials that this consumer is bound to.
fn meant(
    tx: &Reader<'_>,
    caller: &Caller,
    consumer: &crate::model::consumer::Consumer,
    credential: Option<&CredentialId>,
) -> Result<Vec<(crate::model::rotation::Rotation, Credential)>> {
    let filter = crate::store::RotationFilter { is_open: Some(true), limit: 5000, ..Default::default() };
    let mut found = Vec::new();
    for r in tx.rotations(&caller.org, &filter)? {
        if !matches!(r.stage, RotationStage::Promoted | RotationStage::Confirmed) {
            continue;
        }
        let Some(c) = tx.find_credential(&caller.org, &r.credential_id)? else { continue };
        let is_named = credential.is_none_or(|wanted| c.id == *wanted);
        let is_bound = evidence::gather(tx, &c, &r)?.iter().any(|bound| bound.consumer.id == consumer.id);
        if is_named && is_bound {
            found.push((r, c));
        }
    }
    Ok(found)
}

fn write(tx: &mut Writer<'_>, caller: &Caller, input: &ReportUse, file: &File) -> Result<(Event, Reported)> {
    let who = tx.standing(caller)?;
    let named = match &input.credential {
        Some(wanted) => Some(reach::credential(tx, caller, &who, wanted, Need::Use)?.credential),
        None => None,
    };
    let consumer = run_by(tx, caller, &who, &input.consumer)?;
    if !caller.consumer.is_empty() && caller.consumer != consumer.id.0 {
        return Err(Error::new(Code::NotAllowed, "this token is of another consumer"));
    }
    let version = expect_version(tx, input, named.as_ref())?;
    let signal = match input.outcome {
        ReportedOutcome::Ok => Signal::Good,
        ReportedOutcome::Failed => Signal::Failed,
    };
    let mut told = Vec::new();
    for (r, mut c) in meant(tx, caller, &consumer, named.as_ref().map(|c| &c.id))? {
        let handed = evidence::gather(tx, &c, &r)?;
        let has_new = handed.iter().any(|bound| bound.consumer.id == consumer.id && bound.has_new());
        let (rotation, credential) = (r.id.0.clone(), c.label());
        let result = match has_new {
            // A late word about the old one says nothing of the new one.
            _ if version.is_some() && version != r.new_version => "other_version",
            // What it says is about the old one.
            false => "not_handed",
            true => {
                let (heard, events) =
                    hear(tx, caller, &mut c, r, &consumer.id, (signal, SignalSource::Report), file)?;
                for event in events {
                    tx.note(event)?;
                }
                match heard {
                    Heard::Noted => "noted",
                    Heard::RolledBack => "rolled_back",
                }
            }
        };
        told.push(ReportedOn { rotation, credential, result: result.into() });
    }
    let is_told = told.iter().any(|one| one.result != "other_version");
    let message = match told.len() {
        n if n > 0 && !is_told => format!(
            "noted what {} says, {}; the new one being another version, its rotation goes on as before",
            consumer.name, input.outcome
        ),
        0 => "nothing that it is bound to is being rotated: there is nothing to tell".to_owned(),
        n => format!("{n} rotations are told that {} says {}", consumer.name, input.outcome),
    };
    let mut event = Event::of(ReportUse::NAME)
        .about("consumer", consumer.id.as_str(), &consumer.name)
        .because(input.reason.as_ref().map_or("", Reason::as_str))
        .ended(Outcome::Ok, "")
        .with("said", input.outcome.to_string())
        .with("rotations", told.len());
    if let Some((version, c)) = version.zip(named.as_ref()) {
        event = event.with("version", version).with("credential", c.id.0.clone());
    }
    event.object.scope = Some(consumer.scope);
    event.object.owner.clone_from(&consumer.owner_id);
    event.consumer.clone_from(&consumer.id.0);
    Ok((event, Reported { consumer: consumer.name, rotations: told, message }))
}

impl Operation for ReportUse {
    const NAME: &'static str = "report_use";
    const TITLE: &'static str = "Report how a consumer did";
    const ABOUT: &'static str = "Say whether a consumer works with what it was handed.";
    const TOOLSET: Toolset = Toolset::People;
    const EFFECT: Effect = Effect::Changes;
    const NEEDS: Permission = Permission::Use;
    type Output = Reported;

    async fn run(self, app: &App, caller: &Caller) -> Result<Reported> {
        people_only(caller)?;
        let (asking, file) = (caller.clone(), app.config.file.clone());
        app.store
            .write(caller, move |tx| {
                let (event, output) = write(tx, &asking, &self, &file)?;
                tx.record(event, output)
            })
            .await
    }
}
