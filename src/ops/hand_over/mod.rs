//! Handing values to a process: resolve, record, commit, and only then decrypt.
//!
//! If the log cannot be written, no value leaves. A missing value never becomes an empty one.
mod consumer;
mod holding;
mod remote;
mod request;
mod wish;

pub use consumer::{ForConsumer, Lent, hand_over_to};
pub use holding::{Holding, Wanting, holding, would_hand};
pub(super) use remote::ended;
pub use remote::{Message, Remote, expect_ready, find_remote, open_for_message};
pub use request::{Meant, Opened, Stated, meant, meant_now, open_for_request, stated};
use wish::{Asked, Wish};

use super::canary;
use super::connection::{Wanted, ensure_fresh};
use super::consumer::Found;
use super::credential::sealing::open_fields;
use super::echo::expect_kept;
use super::reach;
use super::refusal::remember;
use crate::app::App;
use crate::error::{Code, Error, Result, invalid};
use crate::ids::CredentialId;
use crate::model::access::{Caller, Standing, access};
use crate::model::consumer::{Binding, Delivery};
use crate::model::credential::{Credential, CredentialType, Environment, SealedField, Source, Version};
use crate::model::event::Event;
use crate::model::name::Reserved;
use crate::model::suspicion::Kind;
use crate::secret::SecretBytes;
use crate::store::{ListFilter, Reader};

/// How many credentials `--all` looks through.
const MOST_LISTED: usize = 2000;
/// At most so many values for one process.
const MOST: usize = 200;

/// What is asked for.
#[derive(Clone, Debug, Default)]
pub struct HandOver {
    pub names: Vec<String>,
    /// Everything the caller may use, said aloud.
    pub all: bool,
    /// Left out of `all`, so that one that cannot be used does not stop the others.
    pub except: Vec<String>,
    pub account: Option<String>,
    pub environment: Option<Environment>,
    /// Whose value is meant where several of the caller's teams have one: name or id.
    pub team: Option<String>,
    /// The program's name, for the log: never its arguments.
    pub command: String,
}

/// One value for one variable.
pub struct Handed {
    pub variable: String,
    /// The credential's name, for the masker.
    pub label: String,
    pub value: SecretBytes,
    /// Given as a file of this name, whose path goes into the variable.
    pub file_name: Option<String>,
    /// Which credential it is of, and which version.
    pub credential: CredentialId,
    pub version: i64,
    /// What it is bound by, where a consumer gets it: the variable of the binding.
    pub binding: String,
}

/// A winner with its sealed value, on the way from the store to the vault.
struct Chosen {
    credential: Credential,
    version: Version,
    fields: Vec<SealedField>,
    /// What it is bound by, where a consumer gets it.
    binding: Option<Binding>,
}

impl Chosen {
    /// The variable that a program finds `field` under.
    fn variable(&self, field: &str) -> String {
        match &self.binding {
            None => self.credential.variable(field),
            Some(b) if !b.field.is_empty() => b.variable.clone(),
            Some(b) => match self.credential.kind {
                CredentialType::ApiKey | CredentialType::OAuth | CredentialType::File => b.variable.clone(),
                CredentialType::Basic | CredentialType::Custom => {
                    format!("{}_{}", b.variable, field.to_ascii_uppercase())
                }
            },
        }
    }
}

/// Resolves every name for the caller and hands the values over, or none of them.
///
/// Fails with `unresolved` naming everything that is missing and how to add it; `ambiguous_…`, `credential_expired`
/// where that is the one problem. The audit rows are committed before the first value is decrypted.
pub async fn hand_over(app: &App, caller: &Caller, wanted: HandOver) -> Result<Vec<Handed>> {
    if wanted.names.iter().any(|name| app.detector.check_text(name, Kind::Identifier).is_some()) {
        let e = Error::new(Code::SecretInArgument, "a name that is asked for looks like a secret");
        remember(app, caller, Event::of("use"), &e).await;
        return Err(e);
    }
    hand(app, caller, Asked::Names(wanted)).await
}

/// The way of every hand-over.
async fn hand(app: &App, caller: &Caller, asked: Asked) -> Result<Vec<Handed>> {
    freshen(app, caller, &asked).await?;
    let (asking, refusal, file) = (caller.clone(), asked.refusal(), app.config.file.clone());
    let chosen = app
        .store
        .write(caller, move |tx| {
            let who = tx.standing(&asking)?;
            let wishes = asked.wishes(tx, &asking, &who)?;
            let mut chosen: Vec<Chosen> = Vec::new();
            let mut problems: Vec<(Code, String, String)> = Vec::new();
            for wish in wishes {
                let is_bound = wish.binding.is_some();
                match chosen_for(tx, &asking, &who, wish, asked.host().as_deref()) {
                    Ok(None) => {}
                    Ok(Some(one))
                        if !is_bound && chosen.iter().any(|c| c.credential.id == one.credential.id) => {}
                    Ok(Some(one)) => chosen.push(one),
                    Err(e)
                        if matches!(
                            e.kind(),
                            crate::error::Kind::Internal | crate::error::Kind::Unavailable
                        ) =>
                    {
                        return Err(e);
                    }
                    Err(e) => problems.push((e.code, e.message().to_owned(), e.next_step().to_owned())),
                }
            }
            if !problems.is_empty() {
                return Err(together(problems, asked.is_all()));
            }
            expect_one_each(&chosen)?;
            let (mut events, mut alarms) = (Vec::new(), Vec::new());
            for c in &chosen {
                tx.count_use(&c.credential.id, true)?;
                alarms.extend(canary::watch(
                    tx,
                    &asking,
                    &c.credential,
                    ("process", asked.command()),
                    &file,
                )?);
                let mut event = asked.used(Event::of("use").on(&c.credential));
                if let Some(b) = &c.binding {
                    event = event.with("binding", b.variable.clone());
                }
                event.object.version = Some(c.version.number);
                events.push(event);
            }
            let Some(last) = events.pop() else {
                // Everything that it is bound to is optional, and nothing of it is there.
                return tx.record_step(asked.started()?, (chosen, alarms));
            };
            for event in events {
                tx.note(event)?;
            }
            tx.record_step(last, (chosen, alarms))
        })
        .await;
    let (chosen, alarms) = match chosen {
        Ok(chosen) => chosen,
        Err(e) => {
            remember(app, caller, refusal, &e).await;
            return Err(e);
        }
    };
    alarms.iter().for_each(|alarm| canary::alert(app, alarm));
    // The log has it: now, and not before, the values are opened.
    let vault = app.vault();
    let mut handed = Vec::new();
    for mut one in chosen {
        let sealed = std::mem::take(&mut one.fields);
        let fields = match open_fields(&vault, &one.credential, &one.version, sealed) {
            Ok(fields) => fields,
            Err(e) => {
                let e = e.detail("table", "field").detail("id", one.version.id.0.clone());
                remember(app, caller, Event::of("use").on(&one.credential), &e).await;
                return Err(e);
            }
        };
        if let Err(e) = spread(&one, fields, &mut handed) {
            remember(app, caller, Event::of("use").on(&one.credential), &e).await;
            return Err(e);
        }
    }
    Ok(handed)
}

/// Refreshes the connections among what will be handed over that have too little of their life left. What cannot be used
/// for another reason is told by the resolution itself.
async fn freshen(app: &App, caller: &Caller, asked: &Asked) -> Result<()> {
    let (asking, asked, fresh_ms) = (caller.clone(), asked.clone(), app.config.file.oauth.fresh_ms());
    let stale = app
        .store
        .read_here(move |tx| {
            let who = tx.standing(&asking)?;
            let mut stale = Vec::new();
            for wish in asked.wishes(tx, &asking, &who)? {
                let Ok(Found { mut candidates, resolved, .. }) = wish.look(tx, &asking, &who) else {
                    continue;
                };
                let Some(winner) = resolved.winner else { continue };
                let c = candidates.swap_remove(winner);
                if c.source == Source::OAuth
                    && tx
                        .connection(&c.org_id, &c.id)?
                        .is_some_and(|connection| !connection.is_fresh(tx.now(), fresh_ms))
                {
                    stale.push(c.id);
                }
            }
            Ok(stale)
        })
        .await;
    let stale = match stale {
        Ok(stale) => stale,
        // Told, and written down, by the transaction that comes next.
        Err(_) => return Ok(()),
    };
    for id in stale {
        if let Err(e) = ensure_fresh(app, caller, &caller.org, &id, Wanted::ForUse).await {
            remember(app, caller, Event::of("use").about("credential", id.as_str(), ""), &e).await;
            return Err(e);
        }
    }
    Ok(())
}

/// A variable holds one value: two credentials that would fill the same are refused before anything is recorded.
fn expect_one_each(chosen: &[Chosen]) -> Result<()> {
    let mut filled = std::collections::HashSet::new();
    for one in chosen {
        for field in &one.fields {
            let variable = one.variable(&field.name);
            if !filled.insert(variable.clone()) {
                return Err(Error::new(
                    Code::AmbiguousName,
                    format!("two credentials would fill the variable {variable}"),
                )
                .next("Hand over one of them at a time, or rename one."));
            }
        }
    }
    Ok(())
}

fn together(mut problems: Vec<(Code, String, String)>, all: bool) -> Error {
    if let ([_], false) = (&problems[..], all) {
        let (code, message, next) = problems.remove(0);
        return Error::new(code, message).next(next);
    }
    let lines: Vec<_> = problems.iter().map(|(_, message, next)| format!("{message} ({next})")).collect();
    let e = Error::new(
        Code::Unresolved,
        format!(
            "{} credential{} cannot be used: {}",
            lines.len(),
            if lines.len() == 1 { "" } else { "s" },
            lines.join("; ")
        ),
    );
    match all {
        true => e.next("Put that right, or leave them out: `--all --except A,B`."),
        false => e,
    }
}

/// The winner with its sealed value; `None` where the wish is optional and nobody ever added one.
fn choose(tx: &Reader<'_>, caller: &Caller, who: &Standing, wish: Wish) -> Result<Option<Chosen>> {
    let mut found = wish.look(tx, caller, who)?;
    let Some(winner) = found.resolved.winner else {
        let e = wish.problem(&found);
        return match wish.is_optional() && matches!(e.code, Code::Unresolved | Code::ValueMissing) {
            true => Ok(None),
            false => Err(e),
        };
    };
    let credential = found.candidates.swap_remove(winner);
    let version = tx
        .current_version(&credential)?
        .ok_or_else(|| Error::new(Code::ValueMissing, format!("{} has no value", credential.name)))?;
    // Between the look and now the token may have ended, or another have been refused.
    if credential.source == Source::OAuth
        && !tx.connection(&credential.org_id, &credential.id)?.is_some_and(|c| c.is_alive(tx.now()))
    {
        return Err(Error::new(
            Code::RefreshUnreachable,
            format!("the token of {} ended and is not refreshed yet", credential.name),
        ));
    }
    let specs = credential.field_specs();
    // What is not a field of its type is never handed over: the refresh token of a connection.
    let mut fields = tx.fields(&version.id)?;
    fields.retain(|f| specs.iter().any(|spec| spec.name == f.name));
    if specs.iter().any(|spec| !fields.iter().any(|f| f.name == spec.name)) {
        return Err(Error::new(
            Code::Integrity,
            format!("a field of {} is missing from the database", credential.name),
        ));
    }
    let Some(b) = wish.binding else {
        credential.expect_usable_variables()?;
        return Ok(Some(Chosen { credential, version, fields, binding: None }));
    };
    if !b.field.is_empty() {
        fields.retain(|f| f.name == b.field);
        if fields.is_empty() {
            return Err(Error::new(
                Code::ValueMissing,
                format!("{} has no field {}, which {} is bound to", credential.name, b.field, b.variable),
            )
            .next("Name one of its fields with update_consumer."));
        }
    }
    let one = Chosen { credential, version, fields, binding: Some(b) };
    for field in &one.fields {
        let variable = one.variable(&field.name);
        if let Some(reserved) = Reserved::of(&variable) {
            return Err(Error::new(
                Code::ReservedName,
                format!("{variable} takes no secret: {}", reserved.reason()),
            ));
        }
    }
    Ok(Some(one))
}

/// The same, for what it is sent to. Fails with `credential_suspended` where that has sent it back too often.
fn chosen_for(
    tx: &Reader<'_>,
    caller: &Caller,
    who: &Standing,
    wish: Wish,
    host: Option<&str>,
) -> Result<Option<Chosen>> {
    let chosen = choose(tx, caller, who, wish)?;
    if let (Some(one), Some(host)) = (&chosen, host) {
        expect_kept(tx, &one.credential, host)?;
    }
    Ok(chosen)
}

/// The names of everything the caller may use, each once.
fn every_name(tx: &Reader<'_>, caller: &Caller, who: &crate::model::access::Standing) -> Result<Vec<String>> {
    let filter =
        ListFilter { places: reach::places(who), deleted: false, after: None, limit: MOST_LISTED + 1 };
    let mut names: Vec<String> = Vec::new();
    let listed = tx.list_credentials(&caller.org, &filter)?;
    if listed.len() > MOST_LISTED {
        return Err(invalid(format!(
            "you can see more than {MOST_LISTED} credentials: name those that are needed"
        ))
        .next("Name them with `--only A,B`, or write them into .unsaid.toml."));
    }
    for c in listed {
        let may = access(who, &c, &tx.grants_on(&caller.org, &c.id)?).uses;
        if may && c.current_version.is_some() && !names.iter().any(|n| n.eq_ignore_ascii_case(&c.name)) {
            names.push(c.name.clone());
        }
    }
    Ok(names)
}

/// The values of a credential, each for its variable. Reserved ones were refused before.
fn spread(one: &Chosen, fields: Vec<(String, SecretBytes)>, handed: &mut Vec<Handed>) -> Result<()> {
    let (c, v) = (&one.credential, &one.version);
    for (field, value) in fields {
        let variable = one.variable(&field);
        if value.size_bytes() == 0 {
            return Err(Error::new(Code::ValueMissing, format!("the value of {variable} is empty")));
        }
        let is_file = one.binding.as_ref().is_some_and(|b| b.delivery == Delivery::File);
        let file_name = match (c.kind, v.file_name.is_empty()) {
            (CredentialType::File, false) => Some(v.file_name.clone()),
            (CredentialType::File, true) => Some(c.name.to_lowercase()),
            _ => is_file.then(|| variable.to_lowercase()),
        };
        handed.push(Handed {
            variable,
            label: c.name.clone(),
            value,
            file_name,
            credential: c.id.clone(),
            version: v.number,
            binding: one.binding.as_ref().map_or_else(String::new, |b| b.variable.clone()),
        });
    }
    Ok(())
}
