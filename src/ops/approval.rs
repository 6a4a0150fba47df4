//! Approvals: a stored request, a person's decision out of the model's reach, and carrying it out.
//!
//! What is granted is exactly what was asked for: same operation, same arguments, same asker, whose rights are
//! checked again when it happens.
use super::confirm::{Confirm, NoOne, Question, digest};
use super::dispatch::{Limits, Reply};
use super::{Effect, Entry, Operation, Permission, Toolset, find_entry, people_only, reach};
use crate::app::App;
use crate::clock::{DAY_MS, Millis};
use crate::error::{Code, Error, Result};
use crate::ids::ApprovalId;
use crate::model::Word;
use crate::model::access::{Caller, Door, Idempotency};
use crate::model::approval::{APPROVAL_LIFE_MS, Approval, ApprovalState, COOL_DOWN_MS, MOST_OPEN};
use crate::model::credential::Scope;
use crate::model::event::{Event, Outcome};
use crate::model::org::Role;
use crate::store::Reader;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Stores the request, or finds the same one open, and returns the error that tells the caller its id.
pub async fn request(
    app: &App,
    caller: &Caller,
    operation: &'static str,
    arguments: &Map<String, Value>,
    question: Question,
) -> Result<Error> {
    let asking = caller.clone();
    // What is stored names things by their ids: a name can pass to something else before a person decides.
    let mut pinned = arguments.clone();
    for (name, id) in &question.pins {
        pinned.insert((*name).to_owned(), Value::from(id.clone()));
    }
    let bound = digest(operation, &pinned);
    let arguments = serde_json::to_string(&pinned)
        .map_err(|e| crate::error::internal("the arguments could not be written as JSON").because(e))?;
    let summary = question.summary.clone();
    let page = match app.pages.get().and_then(|pages| pages.approvals()) {
        Some(base) => format!(", or to sign in at {base} and decide it under Approvals"),
        None => String::new(),
    };
    let answer = |id: ApprovalId| {
        Error::new(Code::ApprovalRequired, format!("a person must approve this: {summary}"))
            .next(format!(
                "Ask the person to run `unsaid approve {id}` in a terminal{page}. It happens when they approve; repeating this call changes nothing. whoami shows the decision."
            ))
            .detail("approval_id", id.0)
    };
    let (me, wanted) = (caller.clone(), bound.clone());
    let open = app
        .store
        .read(move |tx| {
            let now = tx.now();
            let mine = tx.approvals_by(&me.org, &me.user, now.plus_ms(-APPROVAL_LIFE_MS), 500)?;
            Ok(mine.into_iter().find(|a| a.is_open(now) && a.digest == wanted).map(|a| a.id))
        })
        .await?;
    // A repeat collapses: nothing new to decide, and nothing new to write down.
    if let Some(id) = open {
        return Ok(answer(id));
    }
    let mut plain = caller.clone();
    plain.idempotency = None;
    let id = app
        .store
        .write(&plain, move |tx| {
            let now = tx.now();
            let mine = tx.approvals_by(&asking.org, &asking.user, now.plus_ms(-APPROVAL_LIFE_MS), 500)?;
            let same = |a: &&Approval| a.digest == bound;
            if let Some(open) = mine.iter().filter(|a| a.is_open(now)).find(same) {
                // Asked for twice at the same moment.
                let event = about(tx, open, Event::of("request_approval"))?.with("repeat", true);
                return tx.record_step(event, open.id.clone());
            }
            let declined = |a: &Approval| {
                a.state == ApprovalState::Declined
                    && a.decided_at.is_some_and(|at| now.0 - at.0 < COOL_DOWN_MS)
            };
            if mine.iter().filter(same).any(declined) {
                return Err(Error::new(Code::Declined, "a person has just declined this").next(
                    "Nothing was changed. Talk to the person; the same request is refused for a minute.",
                ));
            }
            if mine.iter().filter(|a| a.is_open(now)).count() >= MOST_OPEN {
                return Err(Error::new(
                    Code::Quota,
                    format!("{MOST_OPEN} of your requests wait for a decision already"),
                )
                .next("Ask the person to run `unsaid approve` and decide them."));
            }
            let mut approval = Approval {
                id: ApprovalId::fresh(),
                org_id: asking.org.clone(),
                requested_by: asking.user.clone(),
                door: asking.door.as_str().into(),
                client: asking.client.clone(),
                operation: operation.into(),
                arguments,
                digest: bound,
                impact: question.text(),
                reason: question.reason.clone(),
                state: ApprovalState::Open,
                created_at: now,
                expires_at: now.plus_ms(APPROVAL_LIFE_MS),
                decided_at: None,
                decided_by: None,
                outcome: String::new(),
                revision: 0,
            };
            tx.insert(&mut approval)?;
            let event = about(tx, &approval, Event::of("request_approval"))?
                .because(question.reason.clone())
                .with("operation", operation);
            tx.record_step(event, approval.id)
        })
        .await?;
    Ok(answer(id))
}

/// Whether approval `id` is being carried out for exactly this request, and still means what the person was shown.
///
/// Arguments name things by words that can be given to something else between the request and the yes.
pub async fn expect_granted(
    app: &App,
    caller: &Caller,
    id: &str,
    bound: &[u8],
    question: Confirm,
) -> Result<()> {
    let (asking, id, bound) = (caller.clone(), id.to_owned(), bound.to_vec());
    app.store
        .read(move |tx| {
            let approval = tx.approval(&asking.org, &id)?;
            let fits = approval.requested_by == asking.user
                && approval.digest == bound
                && approval.is_open(tx.now());
            if !fits {
                return Err(Error::new(Code::ApprovalClosed, "this approval is not for this request"));
            }
            let is_as_shown = match &question {
                Confirm::Nothing => true,
                // Uses are counted in there, and move by themselves: the summary names the credential by its id.
                Confirm::Form(q) => approval.impact.lines().next() == q.summary.lines().next(),
                Confirm::Person(q) => approval.impact == q.text(),
            };
            match is_as_shown {
                true => Ok(()),
                false => Err(Error::new(
                    Code::ApprovalClosed,
                    "it would do something else now than what was asked for",
                )
                .next("Ask again, so that a person sees what it means now.")),
            }
        })
        .await
}

/// One request, as a person sees it.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct ApprovalLine {
    pub id: String,
    pub operation: String,
    pub impact: String,
    pub reason: String,
    pub requested_by: String,
    /// What the client said it is.
    pub client: String,
    pub state: ApprovalState,
    pub created_at: Millis,
    pub expires_at: Millis,
    pub outcome: String,
}

/// `approval` as a line.
pub fn line(tx: &Reader<'_>, a: &Approval) -> Result<ApprovalLine> {
    Ok(ApprovalLine {
        id: a.id.0.clone(),
        operation: a.operation.clone(),
        impact: a.impact.clone(),
        reason: a.reason.clone(),
        requested_by: tx.user(&a.org_id, &a.requested_by).map(|u| u.login).unwrap_or_default(),
        client: match super::audit::Logins::default().in_text(tx, &a.org_id, &a.client)? {
            client if client.is_empty() => a.door.clone(),
            client => format!("{client} over {}", a.door),
        },
        state: a.state,
        created_at: a.created_at,
        expires_at: a.expires_at,
        outcome: a.outcome.clone(),
    })
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListApprovals {
    /// Also those that were decided in the last day
    pub all: Option<bool>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ApprovalList {
    pub approvals: Vec<ApprovalLine>,
}

impl Operation for ListApprovals {
    const NAME: &'static str = "list_approvals";
    const TITLE: &'static str = "List approval requests";
    const ABOUT: &'static str = "See what waits for a person's decision.";
    const TOOLSET: Toolset = Toolset::People;
    const EFFECT: Effect = Effect::Reads;
    const NEEDS: Permission = Permission::Anyone;
    const IDEMPOTENT: bool = true;
    type Output = ApprovalList;

    async fn run(self, app: &App, caller: &Caller) -> Result<ApprovalList> {
        let asking = caller.clone();
        app.store
            .read(move |tx| {
                let who = tx.standing(&asking)?;
                let now = tx.now();
                let mut approvals = Vec::new();
                for a in tx.approvals(&asking.org, now.plus_ms(-DAY_MS), 200)? {
                    if may_decide(tx, &asking, who.role, &a)? && (a.is_open(now) || self.all == Some(true)) {
                        approvals.push(line(tx, &a)?);
                    }
                }
                Ok(ApprovalList { approvals })
            })
            .await
    }
}

/// Where a secret would go if the request is granted: what each host is for, and what to look at twice. Read from the
/// impact, which we wrote ourselves when it was asked for.
pub fn destinations(line: &ApprovalLine) -> (Vec<(String, String)>, Vec<String>) {
    let hosts: Vec<_> = line
        .impact
        .lines()
        .filter_map(destination)
        .map(|(what, host)| (what.to_owned(), host.to_owned()))
        .collect();
    let warnings = super::provider::domain_warning(hosts.iter().map(|(_, host)| host.as_str()));
    (hosts, warnings.into_iter().collect())
}

/// What an address is for and its host, where this line of an impact names one that a secret would go to. Of a change
/// that is the address after it.
pub fn destination(line: &str) -> Option<(&str, &str)> {
    const ADDRESSES: [&str; 6] = [
        "authorization_url",
        "token_url",
        "revocation_url",
        "userinfo_url",
        "device_authorization_url",
        "issuer",
    ];
    let text = line.strip_prefix("- ")?;
    let (what, host) = text.strip_prefix("after, ").unwrap_or(text).split_once(": ")?;
    ADDRESSES.contains(&what).then_some((what, host))
}

/// The request with this id as it stands, open or not, for a person who may decide it or might have.
pub async fn look(app: &App, caller: &Caller, id: &str) -> Result<ApprovalLine> {
    people_only(caller)?;
    let (asking, id) = (caller.clone(), id.to_owned());
    app.store
        .read(move |tx| {
            let approval = visible(tx, &asking, &id)?;
            line(tx, &approval)
        })
        .await
}

/// The open request with this id, for a person who may decide it: the asker's own person, or an admin.
///
/// Fails with `approval_closed` where it was decided or its time is over.
pub async fn show(app: &App, caller: &Caller, id: &str) -> Result<ApprovalLine> {
    people_only(caller)?;
    let (asking, id) = (caller.clone(), id.to_owned());
    app.store
        .read(move |tx| {
            let approval = decidable(tx, &asking, &id)?;
            line(tx, &approval)
        })
        .await
}

/// The asker's own person, or an admin; of what is personal, its owner alone, for nobody else may know of it.
fn may_decide(tx: &Reader<'_>, caller: &Caller, role: Role, a: &Approval) -> Result<bool> {
    Ok(a.requested_by == caller.user || role == Role::Admin && !is_personal(tx, a)?)
}

/// Whether the request is about something personal, or may be: what cannot be looked up any more counts as such.
fn is_personal(tx: &Reader<'_>, a: &Approval) -> Result<bool> {
    let arguments: Map<String, Value> = serde_json::from_str(&a.arguments).unwrap_or_default();
    let text = |name: &str| arguments.get(name).and_then(Value::as_str);
    let personal = Scope::Personal.as_str();
    if matches!(a.operation.as_str(), "create_credential" | "register_consumer") {
        return Ok(text("scope").unwrap_or(personal) == personal);
    }
    let asker = Caller::new(a.org_id.clone(), a.requested_by.clone(), Door::System);
    if let Some(wanted) = text("consumer")
        && text("credential").is_none()
    {
        let found = tx.standing(&asker).and_then(|who| super::consumer::reach(tx, &asker, &who, wanted));
        return Ok(found.map_or(true, |c| c.scope == Scope::Personal));
    }
    let Some(wanted) = text("credential") else { return Ok(false) };
    let found = tx
        .standing(&asker)
        .and_then(|who| reach::credential_or_deleted(tx, &asker, &who, wanted, reach::Need::See));
    Ok(found.map_or(true, |found| found.credential.scope == Scope::Personal))
}

/// `event` about this request. Where it is about something personal, only its owner reads it in the log.
fn about(tx: &Reader<'_>, a: &Approval, event: Event) -> Result<Event> {
    let mut event = event.about("approval", a.id.as_str(), &a.operation);
    if is_personal(tx, a)? {
        event.object.scope = Some(Scope::Personal);
        event.object.owner = a.requested_by.0.clone();
    }
    Ok(event)
}

/// The request, open or not; for anybody who may not decide such a one, there is none.
fn visible(tx: &Reader<'_>, caller: &Caller, id: &str) -> Result<Approval> {
    let who = tx.standing(caller)?;
    let approval = tx.approval(&caller.org, id)?;
    match may_decide(tx, caller, who.role, &approval)? {
        true => Ok(approval),
        false => Err(Error::new(Code::ApprovalNotFound, "there is no such approval request")),
    }
}

fn decidable(tx: &Reader<'_>, caller: &Caller, id: &str) -> Result<Approval> {
    let approval = visible(tx, caller, id)?;
    if approval.state != ApprovalState::Open {
        return Err(Error::new(Code::ApprovalClosed, format!("it was decided already: {}", approval.state)));
    }
    if !approval.is_open(tx.now()) {
        return Err(Error::new(
            Code::ApprovalClosed,
            format!("its time was over at {}", approval.expires_at),
        ));
    }
    Ok(approval)
}

/// What came of an approval.
#[derive(Debug, Serialize)]
pub struct Approved {
    pub id: String,
    pub operation: String,
    pub outcome: Value,
}

/// Carries the request out for its asker, whose rights are checked again, and closes it.
///
/// The caller has shown it to a person and taken their challenge. A crash in between leaves it open; carrying it out
/// again does nothing twice, for it runs under an idempotency key of its own.
pub async fn approve(app: &App, caller: &Caller, id: &str) -> Result<Approved> {
    people_only(caller)?;
    let (asking, wanted) = (caller.clone(), id.to_owned());
    let approval = app.store.read(move |tx| decidable(tx, &asking, &wanted)).await?;
    let (entry, asker, arguments) = stored(caller, &approval)?;
    let outcome = super::call(app, &asker, entry, &Limits::default(), arguments, &NoOne).await;
    let (state, text) = match &outcome {
        Ok(Reply::Done(value)) => (ApprovalState::Done, value.to_string()),
        Ok(Reply::AskFirst(_)) => (ApprovalState::Failed, "it asked again".to_owned()),
        // What may pass by itself leaves the request open, to be approved again.
        Err(e) if e.kind() == crate::error::Kind::Unavailable => {
            return outcome.map(|_| unreachable_done(&approval));
        }
        Err(e) => (ApprovalState::Failed, e.code.name().to_owned()),
    };
    close(app, caller, &approval.id, state, text.chars().take(2000).collect()).await?;
    match outcome {
        Ok(Reply::Done(value)) => {
            Ok(Approved { id: approval.id.0, operation: approval.operation, outcome: value })
        }
        Ok(Reply::AskFirst(_)) => Err(crate::error::internal("an approved request asked again")),
        Err(e) => Err(e),
    }
}

fn unreachable_done(approval: &Approval) -> Approved {
    Approved { id: approval.id.0.clone(), operation: approval.operation.clone(), outcome: Value::Null }
}

/// Closes the request without carrying it out. The same request is refused for a minute.
pub async fn decline(app: &App, caller: &Caller, id: &str) -> Result<()> {
    people_only(caller)?;
    let (asking, wanted) = (caller.clone(), id.to_owned());
    let approval = app.store.read(move |tx| decidable(tx, &asking, &wanted)).await?;
    if let Ok((_, asker, _)) = stored(caller, &approval)
        && app.store.read(move |tx| tx.kept_answer(&asker)).await?.is_some()
    {
        // A crash came between carrying it out and closing it: saying no now would be a lie.
        return Err(Error::new(Code::ApprovalClosed, "it was approved and carried out already")
            .next(format!("Run `unsaid approve {}` once more to close it.", approval.id)));
    }
    close(app, caller, &approval.id, ApprovalState::Declined, String::new()).await
}

/// What is stored, ready to be carried out for its asker: under a key of its own, so that it happens once.
fn stored(caller: &Caller, approval: &Approval) -> Result<(&'static Entry, Caller, Map<String, Value>)> {
    let gone =
        || Error::new(Code::ApprovalClosed, "this unsaid does not know the operation that was asked for");
    let entry = find_entry(&approval.operation).ok_or_else(gone)?;
    let arguments: Map<String, Value> = serde_json::from_str(&approval.arguments)
        .map_err(|_| Error::new(Code::Integrity, "the request is damaged"))?;
    let mut asker = Caller::new(
        approval.org_id.clone(),
        approval.requested_by.clone(),
        Door::parse(&approval.door).unwrap_or(Door::System),
    );
    asker.client = approval.client.clone();
    asker.request = caller.request.clone();
    asker.approval = Some(approval.id.0.clone());
    asker.idempotency = Some(Idempotency {
        operation: entry.name,
        key: format!("approval:{}", approval.id),
        digest: digest(entry.name, &arguments),
    });
    Ok((entry, asker, arguments))
}

async fn close(
    app: &App,
    caller: &Caller,
    id: &ApprovalId,
    state: ApprovalState,
    outcome: String,
) -> Result<()> {
    let (asking, id) = (caller.clone(), id.clone());
    app.store
        .write(caller, move |tx| {
            let mut approval = decidable(tx, &asking, id.as_str())?;
            approval.state = state;
            approval.decided_at = Some(tx.now());
            approval.decided_by = Some(asking.user.clone());
            approval.outcome = outcome;
            tx.save(&mut approval)?;
            let operation = if state == ApprovalState::Declined { "decline" } else { "approve" };
            let ended = if state == ApprovalState::Failed { Outcome::Failed } else { Outcome::Ok };
            let event = about(tx, &approval, Event::of(operation))?
                .ended(ended, "")
                .with("requested_by", approval.requested_by.0.clone());
            tx.record_step(event, ())
        })
        .await
}
