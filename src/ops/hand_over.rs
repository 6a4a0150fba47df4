//! Handing values to a process: resolve, record, commit, and only then decrypt.
//!
//! If the log cannot be written, no value leaves. A missing value never becomes an empty one.
use super::connection::{Wanted, ensure_fresh};
use super::credential::explain::{advice, own_team, resolve_for};
use super::credential::value::open_fields;
use super::reach;
use super::refusal::remember;
use crate::app::App;
use crate::error::{Code, Error, Result, invalid};
use crate::model::access::{Caller, access};
use crate::model::credential::{Credential, CredentialType, Environment, SealedField, Source, Version};
use crate::model::event::Event;
use crate::model::name::CredentialName;
use crate::model::resolution::Narrowing;
use crate::model::suspicion::Kind;
use crate::model::text::shown;
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

impl HandOver {
    fn narrowing(
        &self,
        tx: &Reader<'_>,
        caller: &Caller,
        who: &crate::model::access::Standing,
    ) -> Result<Narrowing> {
        let team = match &self.team {
            Some(team) => Some(own_team(tx, caller, who, team)?),
            None => None,
        };
        Ok(Narrowing { account: self.account.clone(), environment: self.environment, team })
    }
}

/// One value for one variable.
pub struct Handed {
    pub variable: String,
    /// The credential's name, for the masker.
    pub label: String,
    pub value: SecretBytes,
    /// Given as a file of this name, whose path goes into the variable.
    pub file_name: Option<String>,
}

/// A winner with its sealed value, on the way from the store to the vault.
struct Chosen {
    credential: Credential,
    version: Version,
    fields: Vec<SealedField>,
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
    freshen(app, caller, &wanted).await?;
    let asking = caller.clone();
    let chosen = app
        .store
        .write(caller, move |tx| {
            let who = tx.standing(&asking)?;
            let narrowing = wanted.narrowing(tx, &asking, &who)?;
            let mut names = match wanted.all {
                true => every_name(tx, &asking, &who)?,
                false => wanted.names.clone(),
            };
            // A misspelt exception would hand over what was to be left out.
            let is_there = |except: &String| names.iter().any(|name| name.eq_ignore_ascii_case(except));
            if let Some(unknown) = wanted.except.iter().find(|except| !is_there(except)) {
                return Err(invalid(format!("{} is not among the credentials you may use", shown(unknown)))
                    .next("Correct the name after --except: nothing was handed over."));
            }
            names.retain(|name| !wanted.except.iter().any(|other| other.eq_ignore_ascii_case(name)));
            if names.is_empty() {
                return Err(invalid("no credential is named")
                    .next("Name some with `--only A,B`, write them into .unsaid.toml, or say `--all`."));
            }
            if names.len() > MOST {
                return Err(invalid(format!("at most {MOST} credentials go to one process")));
            }
            let mut chosen: Vec<Chosen> = Vec::new();
            let mut problems: Vec<(Code, String, String)> = Vec::new();
            for name in &names {
                match choose(tx, &asking, &who, name, &narrowing) {
                    Ok(one) if chosen.iter().any(|c| c.credential.id == one.credential.id) => {}
                    Ok(one) => chosen.push(one),
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
                return Err(together(problems, wanted.all));
            }
            expect_one_each(&chosen)?;
            let mut events = Vec::new();
            for c in &chosen {
                tx.count_use(&c.credential.id, true)?;
                let mut event = Event::of("use")
                    .on(&c.credential)
                    .with("operation", "process")
                    .with("command", wanted.command.clone());
                event.object.version = Some(c.version.number);
                events.push(event);
            }
            let Some(last) = events.pop() else { return Err(invalid("no credential is named")) };
            for event in events {
                tx.note(event)?;
            }
            tx.record_step(last, chosen)
        })
        .await;
    let chosen = match chosen {
        Ok(chosen) => chosen,
        Err(e) => {
            remember(app, caller, Event::of("use"), &e).await;
            return Err(e);
        }
    };
    // The log has it: now, and not before, the values are opened.
    let vault = app.vault();
    let mut handed = Vec::new();
    for one in chosen {
        let fields = match open_fields(&vault, &one.credential, &one.version, one.fields) {
            Ok(fields) => fields,
            Err(e) => {
                let e = e.detail("table", "field").detail("id", one.version.id.0.clone());
                remember(app, caller, Event::of("use").on(&one.credential), &e).await;
                return Err(e);
            }
        };
        if let Err(e) = spread(&one.credential, &one.version, fields, &mut handed) {
            remember(app, caller, Event::of("use").on(&one.credential), &e).await;
            return Err(e);
        }
    }
    Ok(handed)
}

/// Refreshes the connections among what will be handed over that have too little of their life left. What cannot be used
/// for another reason is told by the resolution itself.
async fn freshen(app: &App, caller: &Caller, wanted: &HandOver) -> Result<()> {
    let (asking, wanted, fresh_ms) = (caller.clone(), wanted.clone(), app.config.file.oauth.fresh_ms());
    let stale = app
        .store
        .read_here(move |tx| {
            let who = tx.standing(&asking)?;
            let narrowing = wanted.narrowing(tx, &asking, &who)?;
            let names = match wanted.all {
                true => every_name(tx, &asking, &who)?,
                false => wanted.names.clone(),
            };
            let mut stale = Vec::new();
            for name in names.iter().take(MOST + wanted.except.len()) {
                if wanted.except.iter().any(|other| other.eq_ignore_ascii_case(name)) {
                    continue;
                }
                let Ok(name) = CredentialName::parse(name) else { continue };
                let (mut candidates, resolved) = resolve_for(tx, &asking, &who, name.as_str(), &narrowing)?;
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
        for spec in one.credential.field_specs() {
            let variable = one.credential.variable(&spec.name);
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

fn choose(
    tx: &Reader<'_>,
    caller: &Caller,
    who: &crate::model::access::Standing,
    name: &str,
    narrowing: &Narrowing,
) -> Result<Chosen> {
    let name = CredentialName::parse(name)?;
    let (mut candidates, resolved) = resolve_for(tx, caller, who, name.as_str(), narrowing)?;
    let Some(winner) = resolved.winner else {
        use crate::model::resolution::Problem as P;
        let (message, next) = advice(name.as_str(), &resolved, narrowing);
        let code = match resolved.problem {
            Some(P::Ambiguous) => Code::AmbiguousName,
            Some(P::AmbiguousTeam) => Code::AmbiguousTeam,
            Some(P::Expired) => Code::CredentialExpired,
            Some(P::ValueMissing) => Code::ValueMissing,
            Some(P::ReauthRequired) => Code::ReauthRequired,
            Some(P::NotFound) | None => Code::Unresolved,
        };
        return Err(Error::new(code, message).next(next));
    };
    let credential = candidates.swap_remove(winner);
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
    credential.expect_usable_variables()?;
    Ok(Chosen { credential, version, fields })
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
fn spread(
    c: &Credential,
    v: &Version,
    fields: Vec<(String, SecretBytes)>,
    handed: &mut Vec<Handed>,
) -> Result<()> {
    for (field, value) in fields {
        let variable = c.variable(&field);
        if value.size_bytes() == 0 {
            return Err(Error::new(Code::ValueMissing, format!("the value of {variable} is empty")));
        }
        let file_name = (c.kind == CredentialType::File).then(|| match v.file_name.is_empty() {
            true => c.name.to_lowercase(),
            false => v.file_name.clone(),
        });
        handed.push(Handed { variable, label: c.name.clone(), value, file_name });
    }
    Ok(())
}
