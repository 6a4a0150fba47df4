//! The way to the provider's consent page: who goes, for what, and what only they can bring back.
use super::{policy, provider_of, quirks};
use crate::app::App;
use crate::clock::Millis;
use crate::error::{Code, Error, Result, internal};
use crate::ids::{ConsentId, CredentialId};
use crate::model::Word;
use crate::model::access::Caller;
use crate::model::connection::{CONSENT_LIFE_MS, Connection, Consent, ConsentState, GrantKind};
use crate::model::credential::Credential;
use crate::model::entry::EntryLink;
use crate::model::event::Event;
use crate::model::provider::{ClientAuth, Provider};
use crate::oauth::{AskConsent, Challenge, authorization_url};
use crate::ops::entry;
use crate::ops::people_only;
use crate::ops::reach::{self, Need};
use crate::ops::refusal;
use crate::secret::{SecretBytes, looked_up_by, unguessable};
use crate::store::{Reader, Writer};
use crate::vault::{Context, Vault};
use url::Url;

/// How long the row of a consent stays after its time, so that whoever waits for it learns what became of it.
pub(super) const KEPT_MS: i64 = 60_000;
/// How many consents for one credential may be open at once: the oldest makes room.
const MOST_OPEN: usize = 5;

/// A consent that has begun.
#[derive(Clone, Debug)]
pub struct Begun {
    pub id: ConsentId,
    /// Opens the way once, for one browser, which is remembered then. It is no proof of anything else.
    pub ticket: String,
    /// Where the provider sends the browser back to.
    pub redirect_uri: String,
    pub provider: String,
    /// The host of the consent page.
    pub host: String,
    pub scopes: Vec<String>,
    pub expires_at: Millis,
}

/// Begins a consent for `credential` (id or name), for a person who manages it. `link`: the hash of the entry link that
/// brought them, which is used up when it is done. `more`: scopes besides the provider's own.
///
/// Fails with `invalid_input` for what is no connection, `value_missing` where the provider lacks its client secret. A
/// refusal leaves its event, here as in every step of a consent whose org is known.
pub async fn begin(
    app: &App,
    caller: &Caller,
    credential: &str,
    link: Option<Vec<u8>>,
    more: &[String],
) -> Result<Begun> {
    let begun = written_down(app, caller, credential, link, more).await;
    if let Err(e) = &begun {
        refusal::remember(app, caller, Event::of("begin_consent"), e).await;
    }
    begun
}

async fn written_down(
    app: &App,
    caller: &Caller,
    credential: &str,
    link: Option<Vec<u8>>,
    more: &[String],
) -> Result<Begun> {
    people_only(caller)?;
    let (asking, wanted, more) = (caller.clone(), credential.to_owned(), more.to_owned());
    let ticket = unguessable()?;
    let hash = looked_up_by(ticket.as_bytes()).to_vec();
    let (consent, provider) = app
        .store
        .write(caller, move |tx| {
            let (c, p, connection) = expect(tx, &asking, &wanted)?;
            if p.grant_kind == GrantKind::ClientCredentials {
                return Err(crate::error::invalid(format!(
                    "{} asks no person: its client is the account",
                    p.name
                ))
                .next("Call connect_credential, or run `unsaid connect NAME`: it connects at once."));
            }
            expect_secret(&p)?;
            let mut scopes = scopes(&p, &more)?;
            if let Some(before) = &connection {
                // What was granted and used before is asked for again.
                for scope in &before.scopes_asked {
                    if !scopes.contains(scope) {
                        scopes.push(scope.clone());
                    }
                }
            }
            let mut consent = fresh(tx, &asking, &c, &p, GrantKind::AuthorizationCode, scopes);
            consent.hash = hash;
            consent.redirect_uri.clone_from(&p.callback_url);
            consent.link = link.unwrap_or_default();
            make_room(tx, &c)?;
            tx.insert(&mut consent)?;
            let event = Event::of("begin_consent")
                .on(&c)
                .with("consent", consent.id.0.clone())
                .with("provider", p.name.clone());
            tx.record_step(event, (consent, p))
        })
        .await?;
    Ok(Begun {
        id: consent.id,
        ticket,
        redirect_uri: consent.redirect_uri,
        host: host(&provider.endpoints.authorization_url),
        provider: provider.name,
        scopes: consent.scopes,
        expires_at: consent.expires_at,
    })
}

pub(in crate::ops) fn host(url: &str) -> String {
    Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default()
}

/// The credential, its provider and what it was connected to before, for whoever manages it.
pub(super) fn expect(
    tx: &Reader<'_>,
    caller: &Caller,
    wanted: &str,
) -> Result<(Credential, Provider, Option<Connection>)> {
    let who = tx.standing(caller)?;
    let c = reach::credential(tx, caller, &who, wanted, Need::Manage)?.credential;
    let p = provider_of(tx, &c)?;
    let connection = tx.connection(&caller.org, &c.id)?;
    Ok((c, p, connection))
}

pub(super) fn expect_secret(p: &Provider) -> Result<()> {
    match p.client_auth == ClientAuth::None || p.has_secret() {
        true => Ok(()),
        false => Err(super::no_secret(p)),
    }
}

pub(super) fn scopes(p: &Provider, more: &[String]) -> Result<Vec<String>> {
    let mut scopes = p.scopes.clone();
    for scope in crate::ops::provider::parse_scopes(more)? {
        if !scopes.contains(&scope) {
            scopes.push(scope);
        }
    }
    Ok(scopes)
}

/// A consent that nobody was sent to yet.
pub(super) fn fresh(
    tx: &Reader<'_>,
    caller: &Caller,
    c: &Credential,
    p: &Provider,
    grant_kind: GrantKind,
    scopes: Vec<String>,
) -> Consent {
    let now = tx.now();
    Consent {
        id: ConsentId::fresh(),
        org_id: c.org_id.clone(),
        credential_id: c.id.clone(),
        provider_id: p.id.clone(),
        asked_by: caller.user.clone(),
        door: caller.door.as_str().into(),
        client: caller.client.clone(),
        grant_kind,
        policy: policy(p),
        hash: Vec::new(),
        browser: Vec::new(),
        link: Vec::new(),
        redirect_uri: String::new(),
        scopes,
        wrapped_key: Vec::new(),
        key_version: 0,
        sealed: Vec::new(),
        user_code: String::new(),
        verification_uri: String::new(),
        interval_ms: 0,
        state: ConsentState::Open,
        outcome: String::new(),
        created_at: now,
        expires_at: now.plus_ms(CONSENT_LIFE_MS),
        ended_at: None,
        revision: 0,
    }
}

pub(super) fn make_room(tx: &mut Writer<'_>, c: &Credential) -> Result<()> {
    let now = tx.now();
    tx.forget_consents(now.plus_ms(-KEPT_MS))?;
    let open: Vec<_> =
        tx.consents_of(&c.org_id, &c.id)?.into_iter().filter(|consent| consent.is_open(now)).collect();
    for mut old in open
        .into_iter()
        .filter(|old| old.asked_by == tx.caller().user)
        .skip(MOST_OPEN - 1)
        .collect::<Vec<_>>()
    {
        end(tx, &mut old, ConsentState::Failed, "replaced by a newer one")?;
    }
    Ok(())
}

/// Ends a consent for good, and destroys what was sealed for it.
pub(super) fn end(
    tx: &mut Writer<'_>,
    consent: &mut Consent,
    state: ConsentState,
    outcome: &str,
) -> Result<()> {
    consent.state = state;
    consent.outcome = outcome.into();
    consent.ended_at = Some(tx.now());
    consent.wrapped_key = Vec::new();
    consent.key_version = 0;
    consent.sealed = Vec::new();
    tx.save(consent)
}

/// Ends what was begun by an entry link that its person does not want any more.
pub(in crate::ops) fn end_of_link(tx: &mut Writer<'_>, link: &EntryLink) -> Result<()> {
    let now = tx.now();
    for mut consent in tx.consents_of(&link.org_id, &CredentialId::from(link.object_id.as_str()))? {
        if consent.link == link.hash && consent.is_open(now) {
            end(tx, &mut consent, ConsentState::Denied, "the person did not want it")?;
        }
    }
    Ok(())
}

/// An event of whoever may read the consent.
pub(super) fn about(operation: &str, consent: &Consent) -> Event {
    Event::of(operation)
        .about("credential", consent.credential_id.as_str(), "")
        .with("consent", consent.id.0.clone())
}

/// Where what a consent keeps to itself is sealed.
pub fn key_context<'a>(instance: &'a str, consent: &'a Consent) -> Context<'a> {
    Context {
        instance,
        org: consent.org_id.as_str(),
        table: "consent",
        record: consent.id.as_str(),
        version: 1,
        field: "",
        scope: "",
        owner: "",
        policy: consent.policy.as_slice().try_into().unwrap_or([0; 32]),
    }
}

/// The field of what is sealed.
const FIELD: &str = "consent";

pub(super) fn seal(vault: &Vault, consent: &mut Consent, bytes: &SecretBytes) -> Result<()> {
    let (wrapped, sealed) = {
        let place = key_context(vault.instance(), consent);
        let (key, wrapped) = vault.new_data_key(&place)?;
        (wrapped, bytes.expose(|bytes| key.seal(&place.field(FIELD), bytes))?)
    };
    consent.wrapped_key = wrapped;
    consent.key_version = vault.active_version(&consent.org_id)?;
    consent.sealed = sealed;
    Ok(())
}

pub(super) fn open(vault: &Vault, consent: &Consent) -> Result<SecretBytes> {
    let place = key_context(vault.instance(), consent);
    let key = vault.open_data_key(&place, &consent.wrapped_key)?;
    key.open(&place.field(FIELD), &consent.sealed)
}

/// What a browser is shown that was given a ticket, before it is sent anywhere. Nothing is changed by looking.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// The credential, and whose account is asked for.
    pub name: String,
    pub asked_by: String,
    pub org: String,
    pub provider: String,
    pub host: String,
    pub scopes: Vec<String>,
}

/// What a ticket is for. Fails with `consent_invalid` as [`start`] does.
pub async fn peek(app: &App, ticket: &str) -> Result<Waiting> {
    let hash = looked_up_by(ticket.as_bytes()).to_vec();
    app.store
        .read(move |tx| {
            let consent = tx
                .consent_by_hash(&hash)?
                .filter(|consent| consent.is_open(tx.now()) && consent.sealed.is_empty())
                .ok_or_else(unknown)?;
            let c = tx.find_credential(&consent.org_id, &consent.credential_id)?.ok_or_else(unknown)?;
            let p = provider_of(tx, &c)?;
            Ok(Waiting {
                name: c.label(),
                asked_by: tx.user(&consent.org_id, &consent.asked_by)?.login,
                org: tx.org(&consent.org_id)?.name,
                host: host(&p.endpoints.authorization_url),
                provider: p.name,
                scopes: consent.scopes,
            })
        })
        .await
}

/// Sends a browser on its way: the consent page's address, and what the browser must show when it comes back.
///
/// Works once for each ticket. Fails with `consent_invalid` for a ticket that is none, used, or too old.
pub async fn start(app: &App, ticket: &str) -> Result<Started> {
    let browser = unguessable()?;
    let (address, id) = send_off(app, ticket, Some(&browser)).await?;
    Ok(Started { id, address, browser })
}

/// A browser that is sent away.
pub struct Started {
    pub id: ConsentId,
    pub address: Url,
    /// What it must show when it comes back.
    pub browser: String,
}

/// The consent page's address for a browser that is elsewhere: its answer is brought back by the person who asked, who
/// pastes it.
pub async fn consent_address(app: &App, begun: &Begun) -> Result<Url> {
    Ok(send_off(app, &begun.ticket, None).await?.0)
}

async fn send_off(app: &App, ticket: &str, browser: Option<&str>) -> Result<(Url, ConsentId)> {
    let hash = looked_up_by(ticket.as_bytes()).to_vec();
    let found = app.store.read(move |tx| tx.consent_by_hash(&hash)).await?.ok_or_else(unknown)?;
    let caller =
        Caller::new(found.org_id.clone(), found.asked_by.clone(), crate::model::access::Door::System);
    let (state, challenge) = (unguessable()?, Challenge::fresh()?);
    let (hash, held) =
        (looked_up_by(state.as_bytes()).to_vec(), browser.map(|b| looked_up_by(b.as_bytes()).to_vec()));
    let verifier = SecretBytes::copied(challenge.verifier.as_bytes());
    let keys = app.keys.clone();
    let refused = about("send_to_consent", &found);
    let sent = app
        .store
        .write(&caller, move |tx| {
            let mut consent = tx.consent(&found.org_id, found.id.as_str())?.ok_or_else(unknown)?;
            // The ticket is used up by its first use: its hash makes room for the state's.
            if !consent.is_open(tx.now()) || consent.hash != found.hash || !consent.sealed.is_empty() {
                return Err(unknown());
            }
            let c = tx.find_credential(&consent.org_id, &consent.credential_id)?.ok_or_else(unknown)?;
            let p = provider_of(tx, &c)?;
            if policy(&p) != consent.policy {
                return Err(changed());
            }
            seal(&keys.vault(), &mut consent, &verifier)?;
            consent.hash = hash;
            consent.browser = held.unwrap_or_default();
            tx.save(&mut consent)?;
            let hint = tx.connection(&c.org_id, &c.id)?.map_or(String::new(), |c| c.account);
            let event = Event::of("send_to_consent").on(&c).with("consent", consent.id.0.clone());
            tx.record_step(event, (consent, p, hint))
        })
        .await;
    let (consent, p, hint) = match sent {
        Ok(sent) => sent,
        Err(e) => {
            refusal::remember(app, &caller, refused, &e).await;
            return Err(e);
        }
    };
    let quirks = quirks(app, &p);
    let ask = AskConsent {
        client_id: &p.client_id,
        redirect_uri: &consent.redirect_uri,
        scopes: &consent.scopes,
        state: &state,
        challenge: &challenge.challenge,
        resource: &p.resource,
        login_hint: &hint,
    };
    Ok((authorization_url(&p.endpoints.authorization_url, &ask, &quirks)?, consent.id))
}

pub(super) fn unknown() -> Error {
    Error::new(
        Code::ConsentInvalid,
        "this consent is not known here, was used already, or its ten minutes are over",
    )
}

pub(super) fn changed() -> Error {
    Error::new(
        Code::ConsentInvalid,
        "the OAuth provider was changed since this consent began; nothing was kept",
    )
}

/// The credential of an entry link, which is bound to what the page showed.
pub async fn begin_by_link(app: &App, visitor: &Caller, link: &str) -> Result<Begun> {
    let row = entry::expect_purpose(app, visitor, link, crate::model::entry::EntryPurpose::Connect).await?;
    begin(app, visitor, &row.object_id, Some(row.hash), &[]).await
}

/// The caller's own consent as it stands: for whoever waits for it.
pub async fn state_of(app: &App, caller: &Caller, id: &ConsentId) -> Result<Consent> {
    let (asking, id) = (caller.clone(), id.clone());
    app.store
        .read_here(move |tx| {
            tx.consent(&asking.org, id.as_str())?
                .filter(|consent| consent.asked_by == asking.user)
                .ok_or_else(|| internal("a consent is gone"))
        })
        .await
}
