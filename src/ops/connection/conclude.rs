//! Keeping what a consent brought: at once, or once the person has said that another account is meant.
use super::attempt::is_passing;
use super::callback::{Finished, Taken, by_browser, close};
use super::consent::{about, changed, end, unknown};
use super::hold::{hold, opened, sealed};
use super::{policy, provider_of, save, who};
use crate::app::App;
use crate::clock::Millis;
use crate::error::{Code, Result};
use crate::ids::ConsentId;
use crate::model::access::{Caller, Door};
use crate::model::connection::{Connection, Consent, ConsentState, GrantKind};
use crate::model::credential::Credential;
use crate::model::event::{Event, Outcome};
use crate::model::provider::Provider;
use crate::oauth::{Identity, Tokens};
use crate::ops::entry;
use crate::ops::reach::{self, Need};
use crate::ops::refusal;
use crate::store::Writer;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a store that is busy is asked again.
const PATIENCE: Duration = Duration::from_secs(20);

/// Keeps what a consent brought, or asks whether another account is meant. It exists nowhere else: it is made durable
/// before it is asked whose it is, and a store that is busy is asked again for a while.
pub(super) async fn keep(
    app: &App,
    caller: &Caller,
    taken: Taken,
    tokens: Tokens,
    began_at: Millis,
) -> Result<Finished> {
    let brought = Arc::new((taken, tokens));
    let mut is_held = false;
    let kept = async {
        patiently(|| hold(app, caller, brought.clone(), began_at)).await?;
        is_held = true;
        let (taken, tokens) = &*brought;
        let identity = who::account(app, &taken.provider, &tokens.access).await.unwrap_or_default();
        patiently(|| keep_once(app, caller, brought.clone(), identity.clone(), began_at)).await
    };
    match kept.await {
        Ok(finished) => Ok(finished),
        // It is durable: the background pass goes on with it once the store can be written to.
        Err(e) if is_held && is_passing(e.code) => Err(e),
        Err(e) => {
            let (taken, _) = &*brought;
            // Whoever waits for it is told; what could not be written is in our own log.
            if let Err(e) =
                close(app, caller, &taken.consent, &taken.credential, ConsentState::Failed, &e).await
            {
                tracing::error!(code = e.code.name(), "a consent that failed could not be closed");
            }
            Err(e)
        }
    }
}

/// Asks a store that is busy again for a while.
async fn patiently<T, F: Future<Output = Result<T>>>(write: impl Fn() -> F) -> Result<T> {
    let until = Instant::now() + PATIENCE;
    loop {
        match write().await {
            Err(e) if is_passing(e.code) && Instant::now() < until => {
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
            done => return done,
        }
    }
}

pub(super) async fn keep_once(
    app: &App,
    caller: &Caller,
    brought: Arc<(Taken, Tokens)>,
    identity: Identity,
    began_at: Millis,
) -> Result<Finished> {
    let (asking, keys) = (caller.clone(), app.keys.clone());
    app.store
        .write(caller, move |tx| {
            let vault = keys.vault();
            let (taken, tokens) = &*brought;
            let identity = &identity;
            let mut consent = tx
                .consent(&taken.consent.org_id, taken.consent.id.as_str())?
                .filter(|consent| consent.state == ConsentState::Taken)
                .ok_or_else(unknown)?;
            let before = tx.connection(&consent.org_id, &consent.credential_id)?;
            let was = before.as_ref().filter(|b| !is_same_account(b, identity)).map(|b| b.account.clone());
            if let Some(was) = was {
                sealed(&vault, &mut consent, tokens, identity, began_at)?;
                consent.state = ConsentState::OtherAccount;
                consent.outcome = format!("another account: {}", identity.label);
                tx.save(&mut consent)?;
                let c = &taken.credential;
                let event = Event::of("complete_consent")
                    .on(c)
                    .ended(Outcome::Started, Code::OtherAccount.name())
                    .with("consent", consent.id.0.clone())
                    .with("was", was.clone())
                    .with("account", identity.label.clone());
                let mut finished = finished(c, &taken.provider, &consent, None);
                finished.account.clone_from(&identity.label);
                finished.was_account = Some(was);
                return tx.record_step(event, finished);
            }
            conclude(tx, &vault, &asking, consent, tokens, identity, began_at)
        })
        .await
}

/// Whether a connection stays the same account's. Where it was known whose it is and now cannot be learnt, that is not known.
fn is_same_account(before: &Connection, now: &Identity) -> bool {
    before.subject.is_empty() || before.subject == now.subject
}

/// Lets a connection become another account's, once the person who connected it has said so.
pub async fn accept_other(app: &App, caller: &Caller, id: &ConsentId) -> Result<Finished> {
    let accepted = accepted(app, caller, id).await;
    if let Err(e) = &accepted {
        refusal::remember(app, caller, Event::of("complete_consent"), e).await;
    }
    accepted
}

async fn accepted(app: &App, caller: &Caller, id: &ConsentId) -> Result<Finished> {
    crate::ops::people_only(caller)?;
    let (asking, id, keys) = (caller.clone(), id.clone(), app.keys.clone());
    app.store
        .write(caller, move |tx| {
            let vault = keys.vault();
            let consent = tx
                .consent(&asking.org, id.as_str())?
                .filter(|c| {
                    c.asked_by == asking.user
                        && c.state == ConsentState::OtherAccount
                        && tx.now() < c.expires_at
                })
                .ok_or_else(unknown)?;
            let (tokens, identity, began_at) = opened(&vault, &consent)?;
            conclude(tx, &vault, &asking, consent, &tokens, &identity, began_at)
        })
        .await
}

/// As [`accept_other`], in the browser that came back with it.
pub async fn accept_other_by_browser(
    app: &App,
    id: &ConsentId,
    held: &[(String, String)],
) -> Result<Finished> {
    let wanted = id.clone();
    let found =
        app.store.read(move |tx| tx.find::<Consent>(&[wanted.as_str()])).await?.ok_or_else(unknown)?;
    match by_browser(&found, held) {
        Ok(caller) => accept_other(app, &caller, id).await,
        Err(e) => {
            let asker = Caller::new(found.org_id.clone(), found.asked_by.clone(), Door::System);
            refusal::remember(app, &asker, about("complete_consent", &found), &e).await;
            Err(e)
        }
    }
}

/// Keeps the tokens: identity, grants, history and name of the credential stay as they are.
pub(super) fn conclude(
    tx: &mut Writer<'_>,
    vault: &crate::vault::Vault,
    asking: &Caller,
    mut consent: Consent,
    tokens: &Tokens,
    identity: &Identity,
    began_at: Millis,
) -> Result<crate::store::Recorded<Finished>> {
    let who = tx.standing(asking)?;
    let mut c = reach::credential(tx, asking, &who, consent.credential_id.as_str(), Need::Manage)?.credential;
    let p = provider_of(tx, &c)?;
    if policy(&p) != consent.policy {
        return Err(changed());
    }
    let before = tx.connection(&c.org_id, &c.id)?;
    let was = before.as_ref().map(|b| b.account.clone()).filter(|was| *was != identity.label);
    let mut connection = connected(before.clone(), &c, asking, &consent, identity, tx.now());
    // A name that we gave follows the account; one that a person gave stays.
    let is_ours = c.account.is_empty() || before.as_ref().is_some_and(|b| b.account == c.account);
    if is_ours && !identity.label.is_empty() {
        label(tx, &mut c, &identity.label)?;
    }
    save::store(tx, vault, &mut c, &mut connection, tokens, began_at)?;
    if !consent.link.is_empty() {
        entry::use_up(tx, &consent.link)?;
    }
    end(tx, &mut consent, ConsentState::Done, "connected")?;
    let mut event = Event::of("complete_consent")
        .on(&c)
        .with("consent", consent.id.0.clone())
        .with("provider", p.name.clone())
        .with("grant", crate::model::Word::as_str(consent.grant_kind))
        .with("account", identity.label.clone())
        .with("scopes", connection.scopes_granted.clone());
    if let Some(was) = was.filter(|was| !was.is_empty()) {
        event = event.with("was", was);
    }
    let finished = finished(&c, &p, &consent, Some(&connection));
    tx.record_step(event, finished)
}

/// Names the account, where no other credential of that name has it already.
fn label(tx: &Writer<'_>, c: &mut Credential, account: &str) -> Result<()> {
    let place = [crate::store::Place::Owned(c.scope, c.owner_id.clone())];
    let others = tx.candidates(&c.org_id, &c.name_key, &place)?;
    let is_taken =
        others.iter().any(|o| o.id != c.id && o.account == account && o.environment == c.environment);
    if !is_taken && crate::model::text::Label::parse(account).is_ok() {
        c.account = account.into();
    }
    Ok(())
}

fn connected(
    before: Option<Connection>,
    c: &Credential,
    asking: &Caller,
    consent: &Consent,
    identity: &Identity,
    now: Millis,
) -> Connection {
    let mut connection = before.unwrap_or_else(|| {
        let (id, org) = (c.id.clone(), c.org_id.clone());
        Connection::fresh(id, org, consent.provider_id.clone(), consent.grant_kind, asking.user.clone(), now)
    });
    connection.provider_id = consent.provider_id.clone();
    connection.grant_kind = consent.grant_kind;
    connection.policy.clone_from(&consent.policy);
    connection.subject.clone_from(&identity.subject);
    connection.account.clone_from(&identity.label);
    connection.scopes_asked.clone_from(&consent.scopes);
    // A provider that does not say what it granted, granted what was asked (RFC 6749 §5.1).
    connection.scopes_granted.clone_from(&consent.scopes);
    // The old refresh token belongs to the old grant.
    connection.has_refresh = false;
    connection.refresh_expires_at = None;
    connection.connected_at = now;
    connection.connected_by = asking.user.clone();
    connection
}

/// What a connection of the caller's is connected to now. For whoever waited for another process to end the consent.
pub async fn found(app: &App, caller: &Caller, id: &crate::ids::CredentialId) -> Result<Finished> {
    let (asking, id) = (caller.clone(), id.clone());
    app.store
        .read(move |tx| {
            let (c, p, connection) = super::begin::expect(tx, &asking, id.as_str())?;
            let consent =
                super::consent::fresh(tx, &asking, &c, &p, GrantKind::AuthorizationCode, Vec::new());
            Ok(finished(&c, &p, &consent, connection.as_ref()))
        })
        .await
}

fn finished(c: &Credential, p: &Provider, consent: &Consent, connection: Option<&Connection>) -> Finished {
    Finished {
        consent: consent.id.clone(),
        id: c.id.0.clone(),
        name: c.label(),
        provider: p.name.clone(),
        account: connection.map_or(String::new(), |c| c.account.clone()),
        scopes_missing: connection
            .map_or(Vec::new(), |c| c.scopes_missing().into_iter().map(str::to_owned).collect()),
        is_short: connection.is_some_and(|c| !c.renews() && c.access_expires_at.is_some()),
        token_expires_at: connection.and_then(|c| c.access_expires_at),
        was_account: None,
    }
}
