//! The way back: whose consent it is, exchanged for tokens once, and kept in one transaction.
use super::begin::{changed, end, expect_secret, open, seal, unknown};
use super::{address, client, policy, provider_of, quirks, save, who};
use crate::app::App;
use crate::clock::Millis;
use crate::error::{Code, Error, Result};
use crate::ids::ConsentId;
use crate::model::access::{Caller, Door};
use crate::model::connection::{Connection, ConnectionState, Consent, ConsentState, GrantKind};
use crate::model::credential::Credential;
use crate::model::event::{Event, Outcome};
use crate::model::provider::Provider;
use crate::oauth::{
    Answer, Grant, Identity, Refusal, Returned, Tokens, Trouble, returned, token_form, tokens,
};
use crate::ops::entry;
use crate::ops::reach::{self, Need};
use crate::secret::{SecretBytes, looked_up_by};
use crate::store::Writer;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use url::Url;
use zeroize::Zeroizing;

/// Who brings the answer of a consent back.
pub enum Came<'a> {
    /// The browser that was sent away: by the id of the consent, what it was given then.
    Browser(&'a [(String, String)]),
    /// The person who asked, in a terminal or on a page they are signed in to.
    Person(&'a Caller),
}

/// What came of a consent.
#[derive(Clone, Debug, Serialize)]
pub struct Finished {
    pub consent: ConsentId,
    pub id: String,
    pub name: String,
    pub provider: String,
    /// Whose account it is, as the provider says; empty where it does not.
    pub account: String,
    pub scopes_missing: Vec<String>,
    /// There is no refresh token: the connection ends with its access token.
    pub is_short: bool,
    pub token_expires_at: Option<Millis>,
    /// It was connected as this account before. Nothing is changed until the person says so.
    pub was_account: Option<String>,
}

/// Ends a consent by the query that the provider sent the browser back with.
///
/// Fails with `consent_invalid` for a state that is none, used, too old or another browser's, `consent_denied` where the
/// person or the provider said no, and `unreachable` or `refresh_refused` where the exchange failed. Nothing is kept then.
pub async fn finish(app: &App, query: &str, came: Came<'_>) -> Result<Finished> {
    let back = returned(query).ok_or_else(|| invalid("the answer has a parameter twice"))?;
    let hash = looked_up_by(back.state.as_bytes()).to_vec();
    if back.state.is_empty() {
        return Err(invalid("the answer has no state"));
    }
    let found = app.store.read(move |tx| tx.consent_by_hash(&hash)).await?.ok_or_else(unknown)?;
    let caller = match came {
        Came::Person(caller) if caller.org == found.org_id && caller.user == found.asked_by => caller.clone(),
        Came::Person(_) => return Err(unknown()),
        Came::Browser(held) => by_browser(&found, held)?,
    };
    let taken = take(app, &caller, found, &back).await?;
    let (consent, c, p) = (&taken.consent, &taken.credential, &taken.provider);
    let exchanged = exchange(app, &taken, &back).await;
    let (tokens, began_at) = match exchanged {
        Ok(exchanged) => exchanged,
        Err(e) => {
            close(app, &caller, consent, c, ConsentState::Failed, &e).await?;
            return Err(e);
        }
    };
    let identity = who::account(app, p, &tokens.access).await.unwrap_or_default();
    keep(app, &caller, taken, tokens, identity, began_at).await
}

/// The person whose browser was sent away, where this is that one.
fn by_browser(consent: &Consent, held: &[(String, String)]) -> Result<Caller> {
    let is_same = held.iter().any(|(id, shown)| {
        id == consent.id.as_str()
            && !consent.browser.is_empty()
            && bool::from(looked_up_by(shown.as_bytes()).as_slice().ct_eq(consent.browser.as_slice()))
    });
    // O-14: nobody's browser may end up with a stranger's account, nor the other way round.
    match is_same {
        true => Ok(Caller {
            client: consent.client.clone(),
            ..Caller::new(consent.org_id.clone(), consent.asked_by.clone(), Door::Web)
        }),
        false => Err(invalid("this browser is not the one that was sent to consent")),
    }
}

/// As [`finish`], from the whole address at which a browser elsewhere ended, as the person pasted it.
pub async fn finish_pasted(app: &App, caller: &Caller, pasted: &str) -> Result<Finished> {
    let pasted = Zeroizing::new(pasted.trim().to_owned());
    let url = Url::parse(&pasted).map_err(|_| {
        crate::error::invalid("that is no address")
            .next("Paste the whole address from the browser's address bar: it begins with http and holds code= and state=.")
    })?;
    finish(app, url.query().unwrap_or_default(), Came::Person(caller)).await
}

fn invalid(why: &'static str) -> Error {
    Error::new(Code::ConsentInvalid, why)
}

/// A consent that nobody else can end any more.
pub(super) struct Taken {
    pub consent: Consent,
    pub credential: Credential,
    pub provider: Provider,
    /// What proves it to the provider: the verifier, or the device code.
    pub verifier: SecretBytes,
}

/// Takes the consent, so that its state works once; checks that the answer is that provider's, and a yes.
async fn take(app: &App, caller: &Caller, found: Consent, back: &Returned) -> Result<Taken> {
    let (asking, keys) = (caller.clone(), app.keys.clone());
    let (iss, error, has_code) = (back.iss.clone(), back.error, back.code.is_some());
    app.store
        .write(caller, move |tx| {
            let mut consent = tx.consent(&found.org_id, found.id.as_str())?.ok_or_else(unknown)?;
            if !consent.is_open(tx.now()) || consent.hash != found.hash {
                return Err(unknown());
            }
            let who = tx.standing(&asking)?;
            let c = reach::credential(tx, &asking, &who, consent.credential_id.as_str(), Need::Manage)?
                .credential;
            let p = provider_of(tx, &c)?;
            let wrong = match &iss {
                // RFC 9207 §2.4: it must be there where it was promised, and must be the one.
                Some(iss) if !p.issuer.is_empty() && *iss != p.issuer => {
                    Some("the answer is another provider's")
                }
                None if p.sends_iss => {
                    Some("the answer does not say which provider it is of, as this one promised to")
                }
                _ if policy(&p) != consent.policy => {
                    Some("the OAuth provider was changed since this consent began")
                }
                _ => None,
            };
            let event = Event::of("take_consent").on(&c).with("consent", consent.id.0.clone());
            let refused = |e: Error| -> Result<Taken> { Err(e) };
            if let Some(why) = wrong {
                end(tx, &mut consent, ConsentState::Failed, why)?;
                let event = event.ended(Outcome::Refused, Code::ConsentInvalid.name()).with("why", why);
                return tx.record_step(event, refused(invalid(why)));
            }
            if let Some(word) = error {
                end(tx, &mut consent, ConsentState::Denied, word)?;
                let event = event.ended(Outcome::Refused, Code::ConsentDenied.name()).with("why", word);
                return tx.record_step(event, refused(denied(&p, word)));
            }
            if !has_code {
                end(tx, &mut consent, ConsentState::Failed, "the answer has no code")?;
                let event = event.ended(Outcome::Refused, Code::ConsentInvalid.name());
                return tx.record_step(event, refused(invalid("the answer has neither a code nor an error")));
            }
            let verifier = open(&keys.vault(), &consent)?;
            consent.state = ConsentState::Taken;
            tx.save(&mut consent)?;
            tx.record_step(event, Ok(Taken { consent, credential: c, provider: p, verifier }))
        })
        .await?
}

fn denied(p: &Provider, word: &str) -> Error {
    let e = Error::new(Code::ConsentDenied, format!("{} answered: {word}", p.name));
    match word {
        "access_denied" => e.next("Nothing was changed. Connect it again if that was not meant."),
        "invalid_scope" => e.next("An admin should look at the scopes of the OAuth provider: the service does not know one of them."),
        _ => e,
    }
}

async fn exchange(app: &App, taken: &Taken, back: &Returned) -> Result<(Tokens, Millis)> {
    let p = &taken.provider;
    expect_secret(p)?;
    let (url, client, quirks) = (address(&p.endpoints.token_url)?, client(app, p)?, quirks(app, p));
    let code = back.code.as_ref().ok_or_else(|| invalid("the answer has no code"))?;
    let verifier = taken.verifier.expose(|bytes| Zeroizing::new(String::from_utf8_lossy(bytes).into_owned()));
    let grant = Grant::Code { code, redirect_uri: &taken.consent.redirect_uri, verifier: &verifier };
    exchanged(app, p, || token_form(&url, &client, &grant, &p.resource, &quirks)).await
}

/// Asks for tokens; what surely did not arrive is sent once more.
pub(super) async fn exchanged(
    app: &App,
    p: &Provider,
    ask: impl Fn() -> crate::services::wire::Ask,
) -> Result<(Tokens, Millis)> {
    let mut began_at = app.now();
    let mut answer = tokens(app.wire.send(ask(), began_at).await);
    if matches!(answer, Answer::Trouble(Trouble { is_unsent: true, .. })) {
        began_at = app.now();
        answer = tokens(app.wire.send(ask(), began_at).await);
    }
    match answer {
        Answer::Yes(tokens) => Ok((tokens, began_at)),
        Answer::No(refusal) => Err(refused(p, refusal)),
        Answer::Trouble(trouble) => {
            Err(Error::new(Code::Unreachable, format!("{} gave no tokens: {}", p.name, trouble.why))
                .next("Nothing was kept. Connect it again in a moment."))
        }
    }
}

pub(super) fn refused(p: &Provider, refusal: Refusal) -> Error {
    let (word, next) = match refusal {
        Refusal::Grant(word) => {
            (word, "Nothing was kept. Connect it again; each consent works once.".to_owned())
        }
        Refusal::Client(word) => (
            word,
            format!(
                "Ask an admin to check the OAuth provider {}: its client id, its client secret, and how it is sent (client_auth).",
                p.name
            ),
        ),
        Refusal::Request(word) => (
            word,
            format!(
                "Ask an admin to check the OAuth provider {}: its scopes and its callback address.",
                p.name
            ),
        ),
        Refusal::Pending | Refusal::SlowDown => ("authorization_pending", "Wait a moment.".to_owned()),
    };
    Error::new(Code::RefreshRefused, format!("{} refused to give tokens: {word}", p.name)).next(next)
}

async fn close(
    app: &App,
    caller: &Caller,
    consent: &Consent,
    c: &Credential,
    state: ConsentState,
    e: &Error,
) -> Result<()> {
    let (org, id, c, outcome, code) =
        (consent.org_id.clone(), consent.id.clone(), c.clone(), e.message().to_owned(), e.code.name());
    app.store
        .write(caller, move |tx| {
            if let Some(mut consent) = tx.consent(&org, id.as_str())? {
                end(tx, &mut consent, state, &outcome)?;
            }
            let event =
                Event::of("complete_consent").on(&c).ended(Outcome::Failed, code).with("consent", id.0);
            tx.record_step(event, ())
        })
        .await
}

/// What waits for a person's word, sealed: tokens of another account than before.
#[derive(Serialize, Deserialize)]
struct Waiting {
    access: Zeroizing<String>,
    refresh: Option<Zeroizing<String>>,
    expires_in_s: Option<i64>,
    refresh_expires_in_s: Option<i64>,
    scopes: Option<Vec<String>>,
    subject: String,
    account: String,
    began_at_ms: i64,
}

/// Keeps what a device grant brought.
pub(super) async fn keep_device(
    app: &App,
    caller: &Caller,
    taken: Taken,
    tokens: Tokens,
    identity: Identity,
    began_at: Millis,
) -> Result<Finished> {
    let (org, id) = (taken.consent.org_id.clone(), taken.consent.id.clone());
    app.store
        .write(caller, move |tx| {
            let mut consent = tx.consent(&org, id.as_str())?.ok_or_else(unknown)?;
            if consent.state != ConsentState::Open {
                return Err(unknown());
            }
            consent.state = ConsentState::Taken;
            tx.save(&mut consent)?;
            tx.record_step(Event::of("take_consent").with("consent", consent.id.0.clone()), ())
        })
        .await?;
    keep(app, caller, taken, tokens, identity, began_at).await
}

async fn keep(
    app: &App,
    caller: &Caller,
    taken: Taken,
    tokens: Tokens,
    identity: Identity,
    began_at: Millis,
) -> Result<Finished> {
    let (asking, keys) = (caller.clone(), app.keys.clone());
    app.store
        .write(caller, move |tx| {
            let vault = keys.vault();
            let mut consent =
                tx.consent(&taken.consent.org_id, taken.consent.id.as_str())?.ok_or_else(unknown)?;
            if consent.state != ConsentState::Taken {
                return Err(unknown());
            }
            let before = tx.connection(&consent.org_id, &consent.credential_id)?;
            let was = before.as_ref().filter(|b| !is_same_account(b, &identity)).map(|b| b.account.clone());
            if let Some(was) = was {
                let plain = |token: &SecretBytes| {
                    token.expose(|b| Zeroizing::new(String::from_utf8_lossy(b).into_owned()))
                };
                let waiting = Waiting {
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
                serde_json::to_writer(&mut bytes, &waiting)
                    .map_err(|_| crate::error::internal("tokens could not be written down"))?;
                seal(&vault, &mut consent, &SecretBytes::new(bytes))?;
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
                finished.account = identity.label;
                finished.was_account = Some(was);
                return tx.record_step(event, finished);
            }
            conclude(tx, &vault, &asking, consent, &tokens, &identity, began_at)
        })
        .await
}

/// Whether a connection stays the same account's. One that does not tell whose it is cannot be told from another.
fn is_same_account(before: &Connection, now: &Identity) -> bool {
    before.subject.is_empty() || now.subject.is_empty() || before.subject == now.subject
}

/// Lets a connection become another account's, once the person who connected it has said so.
pub async fn accept_other(app: &App, caller: &Caller, id: &ConsentId) -> Result<Finished> {
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
            let sealed = open(&vault, &consent)?;
            let waiting: Waiting = sealed
                .expose(|bytes| serde_json::from_slice(bytes))
                .map_err(|_| crate::error::internal("tokens could not be read back"))?;
            let token = |text: &Zeroizing<String>| SecretBytes::copied(text.as_bytes());
            let tokens = Tokens {
                access: token(&waiting.access),
                refresh: waiting.refresh.as_ref().map(token),
                expires_in_s: waiting.expires_in_s,
                refresh_expires_in_s: waiting.refresh_expires_in_s,
                scopes: waiting.scopes,
            };
            let identity = Identity { subject: waiting.subject, label: waiting.account };
            conclude(tx, &vault, &asking, consent, &tokens, &identity, Millis(waiting.began_at_ms))
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
    let caller = by_browser(&found, held)?;
    accept_other(app, &caller, id).await
}

/// Keeps the tokens: identity, grants, history and name of the credential stay as they are.
fn conclude(
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
    let mut connection = connected(before, &c, asking, &consent, identity, tx.now());
    if c.account.is_empty() && !identity.label.is_empty() {
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

pub(super) fn connected(
    before: Option<Connection>,
    c: &Credential,
    asking: &Caller,
    consent: &Consent,
    identity: &Identity,
    now: Millis,
) -> Connection {
    let mut connection = before.unwrap_or_else(|| Connection {
        credential_id: c.id.clone(),
        org_id: c.org_id.clone(),
        provider_id: consent.provider_id.clone(),
        state: ConnectionState::Connected,
        reason: String::new(),
        grant_kind: consent.grant_kind,
        policy: Vec::new(),
        subject: String::new(),
        account: String::new(),
        scopes_asked: Vec::new(),
        scopes_granted: Vec::new(),
        generation: 0,
        has_refresh: false,
        obtained_at: now,
        access_expires_at: None,
        refresh_due_at: None,
        refresh_expires_at: None,
        lease_owner: String::new(),
        lease_until: Millis(0),
        intent: 0,
        failures: 0,
        last_error: String::new(),
        next_try_at: None,
        connected_at: now,
        connected_by: asking.user.clone(),
        updated_at: now,
        revision: 0,
    });
    connection.provider_id = consent.provider_id.clone();
    connection.grant_kind = consent.grant_kind;
    connection.policy.clone_from(&consent.policy);
    if !identity.label.is_empty() {
        connection.subject.clone_from(&identity.subject);
        connection.account.clone_from(&identity.label);
    }
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
            let consent = super::begin::fresh(tx, &asking, &c, &p, GrantKind::AuthorizationCode, Vec::new());
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

/// Takes over a grant that was made elsewhere, by its refresh token: it is used once at once, so that what is kept is known
/// to work. For people only.
///
/// Fails as a refresh does; nothing is kept then.
pub async fn adopt(app: &App, caller: &Caller, credential: &str, token: SecretBytes) -> Result<Finished> {
    crate::ops::people_only(caller)?;
    let (asking, wanted) = (caller.clone(), credential.to_owned());
    let (c, p, _) = app.store.read(move |tx| super::begin::expect(tx, &asking, &wanted)).await?;
    expect_secret(&p)?;
    let is_token = token
        .expose(|bytes| (1..=16 * 1024).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic));
    if !is_token {
        return Err(crate::error::invalid(
            "that is no refresh token: it is visible characters without spaces",
        ));
    }
    let (url, client, quirks) = (address(&p.endpoints.token_url)?, client(app, &p)?, quirks(app, &p));
    let grant = Grant::Refresh { token: &token };
    let asked = exchanged(app, &p, || token_form(&url, &client, &grant, &p.resource, &quirks)).await;
    let (mut tokens, began_at) = match asked {
        Ok(asked) => asked,
        Err(e) => {
            crate::ops::refusal::remember(app, caller, Event::of("complete_consent").on(&c), &e).await;
            return Err(e);
        }
    };
    // A provider that sends no new one means the old one to stay.
    if tokens.refresh.is_none() {
        tokens.refresh = Some(token);
    }
    let identity = who::account(app, &p, &tokens.access).await.unwrap_or_default();
    let asking = caller.clone();
    let taken = app
        .store
        .write(caller, move |tx| {
            let (credential, provider, _) = super::begin::expect(tx, &asking, c.id.as_str())?;
            let scopes = provider.scopes.clone();
            let mut consent = super::begin::fresh(
                tx,
                &asking,
                &credential,
                &provider,
                GrantKind::AuthorizationCode,
                scopes,
            );
            consent.hash = looked_up_by(consent.id.as_str().as_bytes()).to_vec();
            consent.state = ConsentState::Taken;
            tx.insert(&mut consent)?;
            let event = Event::of("take_consent")
                .on(&credential)
                .with("consent", consent.id.0.clone())
                .with("adopted", true);
            let verifier = SecretBytes::new(Vec::new());
            tx.record_step(event, Taken { consent, credential, provider, verifier })
        })
        .await?;
    keep(app, caller, taken, tokens, identity, began_at).await
}

/// Tokens of a client that is its own account (RFC 6749 §4.4): nobody consents, so it is connected at once.
pub(super) async fn connect_client(app: &App, caller: &Caller, credential: &str) -> Result<Finished> {
    let (asking, wanted) = (caller.clone(), credential.to_owned());
    let (c, p) =
        app.store.read(move |tx| super::begin::expect(tx, &asking, &wanted).map(|(c, p, _)| (c, p))).await?;
    expect_secret(&p)?;
    let (url, client, quirks) = (address(&p.endpoints.token_url)?, client(app, &p)?, quirks(app, &p));
    let grant = Grant::Client { scopes: &p.scopes };
    let asked = exchanged(app, &p, || token_form(&url, &client, &grant, &p.resource, &quirks)).await;
    let (tokens, began_at) = match asked {
        Ok(asked) => asked,
        Err(e) => {
            crate::ops::refusal::remember(app, caller, Event::of("complete_consent").on(&c), &e).await;
            return Err(e);
        }
    };
    let (asking, keys) = (caller.clone(), app.keys.clone());
    let plain = Caller { idempotency: None, ..caller.clone() };
    app.store
        .write(&plain, move |tx| {
            let (c, p, _) = super::begin::expect(tx, &asking, c.id.as_str())?;
            let mut consent =
                super::begin::fresh(tx, &asking, &c, &p, GrantKind::ClientCredentials, p.scopes.clone());
            consent.hash = looked_up_by(consent.id.as_str().as_bytes()).to_vec();
            consent.state = ConsentState::Taken;
            tx.insert(&mut consent)?;
            // The account is the client itself, and its id is no secret.
            let identity = Identity { subject: p.client_id.clone(), label: String::new() };
            conclude(tx, &keys.vault(), &asking, consent, &tokens, &identity, began_at)
        })
        .await
}
