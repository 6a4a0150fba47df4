//! The way to the provider's consent page: who goes, for what, and what only they can bring back.
use super::consent::{about, changed, fresh, make_room, seal, unknown};
use super::{policy, provider_of, quirks};
use crate::app::App;
use crate::clock::Millis;
use crate::error::Result;
use crate::ids::ConsentId;
use crate::model::access::Caller;
use crate::model::connection::{Connection, GrantKind};
use crate::model::credential::Credential;
use crate::model::event::Event;
use crate::model::provider::{ClientAuth, Provider};
use crate::oauth::{AskConsent, Challenge, authorization_url};
use crate::ops::entry;
use crate::ops::people_only;
use crate::ops::reach::{self, Need};
use crate::ops::refusal;
use crate::secret::{SecretBytes, looked_up_by, unguessable};
use crate::store::Reader;
use url::Url;

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

/// The credential of an entry link, which is bound to what the page showed.
pub async fn begin_by_link(app: &App, visitor: &Caller, link: &str) -> Result<Begun> {
    let row = entry::expect_purpose(app, visitor, link, crate::model::entry::EntryPurpose::Connect).await?;
    begin(app, visitor, &row.object_id, Some(row.hash), &[]).await
}
