//! What a provider has just given, between its coming and its being kept: sealed in the row of its consent.
//!
//! Whose account it is has to be asked of the provider before an old connection is replaced, which takes a while. Should this
//! process end meanwhile, the pass of another goes on from here, and asks the same question.
use super::callback::{Taken, close};
use super::conclude::keep_once;
use super::consent::{end, open, seal, unknown};
use super::{attempt, provider_of, who};
use crate::app::App;
use crate::clock::Millis;
use crate::error::{Code, Error, Result, internal};
use crate::model::access::{Caller, Door};
use crate::model::connection::{
    CONSENT_LIFE_MS, Connection, ConnectionState, Consent, ConsentState, GrantKind,
};
use crate::model::credential::Credential;
use crate::model::event::{Event, Outcome};
use crate::model::provider::Provider;
use crate::oauth::{Identity, Tokens};
use crate::ops::refusal;
use crate::secret::SecretBytes;
use crate::store::Writer;
use crate::vault::Vault;
use futures_util::{StreamExt, stream};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

/// After how long nobody is at it any more: all that stands between a request for tokens and their being kept has
/// deadlines, which together are shorter.
pub(super) const LEFT_MS: i64 = 3 * 60 * 1000;
/// How many are gone on with at once.
const AT_ONCE: usize = 4;

/// Tokens that are not kept yet, as they are sealed.
#[derive(Serialize, Deserialize)]
struct Held {
    access: Zeroizing<String>,
    refresh: Option<Zeroizing<String>>,
    expires_in_s: Option<i64>,
    refresh_expires_in_s: Option<i64>,
    scopes: Option<Vec<String>>,
    /// Both empty as long as it is not known whose they are.
    subject: String,
    account: String,
    began_at_ms: i64,
}

/// Seals tokens into the row of their consent. See [`opened`].
pub(super) fn sealed(
    vault: &Vault,
    consent: &mut Consent,
    tokens: &Tokens,
    identity: &Identity,
    began_at: Millis,
) -> Result<()> {
    let plain =
        |token: &SecretBytes| token.expose(|b| Zeroizing::new(String::from_utf8_lossy(b).into_owned()));
    let held = Held {
        access: plain(&tokens.access),
        refresh: tokens.refresh.as_ref().map(plain),
        expires_in_s: tokens.expires_in_s,
        refresh_expires_in_s: tokens.refresh_expires_in_s,
        scopes: tokens.scopes.clone(),
        subject: identity.subject.clone(),
        account: identity.label.clone(),
        began_at_ms: began_at.0,
    };
    let mut bytes = Vec::with_capacity(64 * 1024);
    serde_json::to_writer(&mut bytes, &held).map_err(|_| internal("tokens could not be written down"))?;
    seal(vault, consent, &SecretBytes::new(bytes))
}

/// The tokens of a consent, whose they are, and when they were asked for.
pub(super) fn opened(vault: &Vault, consent: &Consent) -> Result<(Tokens, Identity, Millis)> {
    let held: Held = open(vault, consent)?
        .expose(|bytes| serde_json::from_slice(bytes))
        .map_err(|_| internal("tokens could not be read back"))?;
    let token = |text: &Zeroizing<String>| SecretBytes::copied(text.as_bytes());
    let tokens = Tokens {
        access: token(&held.access),
        refresh: held.refresh.as_ref().map(token),
        expires_in_s: held.expires_in_s,
        refresh_expires_in_s: held.refresh_expires_in_s,
        scopes: held.scopes,
    };
    let identity = Identity { subject: held.subject, label: held.account };
    Ok((tokens, identity, Millis(held.began_at_ms)))
}

/// Makes tokens durable that have just come, in one transaction.
///
/// Fails with `consent_invalid` where the consent is not theirs to end any more.
pub(super) async fn hold(
    app: &App,
    caller: &Caller,
    brought: Arc<(Taken, Tokens)>,
    began_at: Millis,
) -> Result<()> {
    let keys = app.keys.clone();
    app.store
        .write(caller, move |tx| {
            let (taken, tokens) = &*brought;
            let mut consent =
                tx.consent(&taken.consent.org_id, taken.consent.id.as_str())?.ok_or_else(unknown)?;
            // A device's code is taken by the provider itself, which gives for it once.
            let is_device =
                consent.grant_kind == GrantKind::DeviceCode && consent.state == ConsentState::Open;
            if consent.state != ConsentState::Taken && !is_device {
                return Err(unknown());
            }
            sealed(&keys.vault(), &mut consent, tokens, &Identity::default(), began_at)?;
            consent.state = ConsentState::Taken;
            at_work(tx, &mut consent)?;
            let event = Event::of("complete_consent")
                .on(&taken.credential)
                .ended(Outcome::Started, "")
                .with("consent", consent.id.0.clone());
            tx.record_step(event, ())
        })
        .await
}

/// Somebody is at it from now on: its time begins anew, and tells since when.
fn at_work(tx: &mut Writer<'_>, consent: &mut Consent) -> Result<()> {
    consent.expires_at = tx.now().plus_ms(CONSENT_LIFE_MS);
    tx.save(consent)
}

fn is_left(consent: &Consent, now: Millis) -> bool {
    consent.state == ConsentState::Taken
        && !consent.sealed.is_empty()
        && consent.expires_at < left_before(now)
}

/// The end of the time of what somebody began to work on so long ago that they are gone.
fn left_before(now: Millis) -> Millis {
    now.plus_ms(CONSENT_LIFE_MS - LEFT_MS)
}

/// Goes on with what processes that ended have left: keeps it, or asks whether another account is meant.
pub(super) async fn go_on(app: &App, stop: &CancellationToken) -> Result<()> {
    let before = left_before(app.now());
    let left = app.store.read(move |tx| tx.consents_held(before)).await?;
    stream::iter(left)
        .for_each_concurrent(AT_ONCE, |consent| async move {
            if stop.is_cancelled() {
                return;
            }
            if let Err(e) = one(app, consent).await {
                tracing::warn!(code = e.code.name(), "a consent that was left could not be gone on with");
            }
        })
        .await;
    Ok(())
}

async fn one(app: &App, consent: Consent) -> Result<()> {
    let caller = Caller {
        client: consent.client.clone(),
        ..Caller::new(consent.org_id.clone(), consent.asked_by.clone(), Door::System)
    };
    let Some((taken, tokens, began_at)) = taken_up(app, &caller, &consent).await? else { return Ok(()) };
    let identity = who::account(app, &taken.provider, &tokens.access).await.unwrap_or_default();
    let (consent, c) = (taken.consent.clone(), taken.credential.clone());
    if let Err(e) = keep_once(app, &caller, Arc::new((taken, tokens)), identity, began_at).await {
        // What the store could not take now is looked at again when nobody is at it any more.
        if !attempt::is_passing(e.code) {
            close(app, &caller, &consent, &c, ConsentState::Failed, &e).await?;
        }
    }
    Ok(())
}

/// Takes a consent that was left, so that no other process does; nothing where it is of no use any more, or another was
/// faster.
async fn taken_up(app: &App, caller: &Caller, consent: &Consent) -> Result<Option<(Taken, Tokens, Millis)>> {
    let (org, id, keys) = (consent.org_id.clone(), consent.id.clone(), app.keys.clone());
    let taken = app
        .store
        .write(caller, move |tx| {
            let mut consent = tx
                .consent(&org, id.as_str())?
                .filter(|consent| is_left(consent, tx.now()))
                .ok_or_else(|| Error::new(Code::Changed, "somebody else goes on with it"))?;
            let found = found(tx, &keys.vault(), &consent);
            let event = Event::of("complete_consent")
                .about("credential", consent.credential_id.as_str(), "")
                .with("consent", consent.id.0.clone())
                .with("again", true);
            match found {
                Ok((credential, provider, tokens, began_at)) => {
                    at_work(tx, &mut consent)?;
                    let event = event.on(&credential).ended(Outcome::Started, "");
                    let verifier = SecretBytes::new(Vec::new());
                    let taken = Taken { consent, credential, provider, verifier };
                    tx.record_step(event, Some((taken, tokens, began_at)))
                }
                Err(e) => {
                    end(tx, &mut consent, ConsentState::Failed, e.message())?;
                    tx.record_step(refusal::ended(event, &e), None)
                }
            }
        })
        .await;
    match taken {
        Err(e) if e.code == Code::Changed => Ok(None),
        taken => taken,
    }
}

/// What is needed to keep it, where nothing has come in its place since.
fn found(
    tx: &Writer<'_>,
    vault: &Vault,
    consent: &Consent,
) -> Result<(Credential, Provider, Tokens, Millis)> {
    let c = tx.find_credential(&consent.org_id, &consent.credential_id)?.ok_or_else(unknown)?;
    let p = provider_of(tx, &c)?;
    let (tokens, _, began_at) = opened(vault, consent)?;
    match tx.connection(&c.org_id, &c.id)? {
        Some(since) if is_newer(&since, began_at) => Err(Error::new(
            Code::ConsentInvalid,
            "it was connected or disconnected since this consent was broken off; nothing was changed",
        )),
        _ => Ok((c, p, tokens, began_at)),
    }
}

fn is_newer(connection: &Connection, began_at: Millis) -> bool {
    let is_ended = matches!(connection.state, ConnectionState::Revoking | ConnectionState::Disconnected);
    connection.connected_at >= began_at || (is_ended && connection.updated_at >= began_at)
}
