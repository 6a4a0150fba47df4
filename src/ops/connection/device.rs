//! The device grant (RFC 8628): a code that a person types on any device, for machines without a browser.
use super::begin::{expect, expect_secret, host, scopes};
use super::callback::{Finished, Taken, close, refused};
use super::conclude::keep;
use super::consent::{changed, fresh, make_room, open, seal, unknown};
use super::{address, client, policy, quirks};
use crate::app::App;
use crate::clock::Millis;
use crate::error::{Code, Error, Result};
use crate::ids::ConsentId;
use crate::model::access::Caller;
use crate::model::connection::{Consent, ConsentState, GrantKind};
use crate::model::event::Event;
use crate::oauth::{Answer, Client, Grant, Refusal, Trouble, device, device_form, token_form, tokens};
use crate::ops::people_only;
use crate::ops::refusal;
use crate::secret::{looked_up_by, unguessable};

/// What the person types, and where.
#[derive(Clone, Debug)]
pub struct DeviceBegun {
    pub id: ConsentId,
    pub user_code: String,
    pub verification_uri: String,
    /// Shown beside it, so that the person sees whose page it is.
    pub host: String,
    pub provider: String,
    pub scopes: Vec<String>,
    pub expires_at: Millis,
    /// How long to wait between two looks, milliseconds.
    pub interval_ms: i64,
}

/// Begins a device grant for a person who manages `credential`.
///
/// Fails with `invalid_input` where the provider has no device address.
pub async fn begin_device(
    app: &App,
    caller: &Caller,
    credential: &str,
    link: Option<Vec<u8>>,
) -> Result<DeviceBegun> {
    let begun = written_down(app, caller, credential, link).await;
    if let Err(e) = &begun {
        let event = Event::of("begin_consent").with("grant", "device_code");
        refusal::remember(app, caller, event, e).await;
    }
    begun
}

async fn written_down(
    app: &App,
    caller: &Caller,
    credential: &str,
    link: Option<Vec<u8>>,
) -> Result<DeviceBegun> {
    people_only(caller)?;
    let (asking, wanted) = (caller.clone(), credential.to_owned());
    let (c, p, before) = app.store.read(move |tx| expect(tx, &asking, &wanted)).await?;
    if p.endpoints.device_authorization_url.is_empty() {
        return Err(crate::error::invalid(format!("{} has no address for codes (RFC 8628)", p.name))
            .next(format!("Connect it with a browser: `{}`.", c.connect_command())));
    }
    expect_secret(&p)?;
    let mut scopes = scopes(&p, &[])?;
    scopes.extend(before.iter().flat_map(|b| b.scopes_asked.clone()).collect::<Vec<_>>());
    scopes.dedup();
    let (url, client, quirks) =
        (address(&p.endpoints.device_authorization_url)?, client(app, &p)?, quirks(app, &p));
    let ask = device_form(&url, &client, &scopes, &p.resource, &quirks);
    let answer = match device(app.wire.send(ask, app.now()).await) {
        Answer::Yes(answer) => answer,
        Answer::No(refusal) => return Err(refused(&p, refusal)),
        Answer::Trouble(Trouble { why, .. }) | Answer::Half(_, why) => {
            return Err(Error::new(Code::Unreachable, format!("{} gave no code: {why}", p.name)));
        }
    };
    let (asking, keys, hash) =
        (caller.clone(), app.keys.clone(), looked_up_by(unguessable()?.as_bytes()).to_vec());
    let (consent, host, provider) = app
        .store
        .write(caller, move |tx| {
            let (c, now_p, _) = expect(tx, &asking, c.id.as_str())?;
            if policy(&now_p) != policy(&p) {
                return Err(changed());
            }
            let mut consent = fresh(tx, &asking, &c, &p, GrantKind::DeviceCode, scopes);
            consent.hash = hash;
            consent.link = link.unwrap_or_default();
            consent.user_code = answer.user_code;
            consent.verification_uri = match answer.verification_uri_complete.is_empty() {
                true => answer.verification_uri,
                false => answer.verification_uri_complete,
            };
            consent.interval_ms = answer.interval_s * 1000;
            consent.expires_at = tx.now().plus_ms(answer.expires_in_s * 1000);
            seal(&keys.vault(), &mut consent, &answer.device_code)?;
            make_room(tx, &c)?;
            tx.insert(&mut consent)?;
            let host = host(&consent.verification_uri);
            let event = Event::of("begin_consent")
                .on(&c)
                .with("consent", consent.id.0.clone())
                .with("provider", p.name.clone())
                .with("grant", "device_code")
                .with("host", host.clone());
            tx.record_step(event, (consent, host, p.name))
        })
        .await?;
    Ok(DeviceBegun {
        id: consent.id,
        user_code: consent.user_code,
        verification_uri: consent.verification_uri,
        host,
        provider,
        scopes: consent.scopes,
        expires_at: consent.expires_at,
        interval_ms: consent.interval_ms,
    })
}

/// As [`begin_device`], by an entry link.
pub async fn begin_device_by_link(app: &App, visitor: &Caller, link: &str) -> Result<DeviceBegun> {
    let row =
        crate::ops::entry::expect_purpose(app, visitor, link, crate::model::entry::EntryPurpose::Connect)
            .await?;
    begin_device(app, visitor, &row.object_id, Some(row.hash)).await
}

/// Asks once whether the person has typed the code. `Ok(Err(ms))`: not yet; ask again after so long.
///
/// Fails with `consent_denied` where they said no, `consent_invalid` where the time is over.
pub async fn poll_device(app: &App, caller: &Caller, id: &ConsentId) -> Result<Result<Finished, i64>> {
    let (taken, client) = match waiting(app, caller, id).await {
        Ok(waiting) => waiting,
        Err(e) => {
            refusal::remember(app, caller, Event::of("complete_consent"), &e).await;
            return Err(e);
        }
    };
    let (consent, p) = (&taken.consent, &taken.provider);
    let (url, quirks) = (address(&p.endpoints.token_url)?, quirks(app, p));
    let began_at = app.now();
    let grant = Grant::Device { device_code: &taken.verifier };
    let ask = token_form(&url, &client, &grant, &p.resource, &quirks);
    let interval = consent.interval_ms;
    match tokens(app.wire.send(ask, began_at).await) {
        Answer::Yes(tokens) => keep(app, caller, taken, tokens, began_at).await.map(Ok),
        Answer::No(Refusal::Pending) => Ok(Err(interval)),
        Answer::No(Refusal::SlowDown) => {
            slow_down(app, caller, consent).await?;
            Ok(Err(interval + 5000))
        }
        // RFC 8628 §3.5: on a failure to connect, wait longer each time.
        Answer::Trouble(_) | Answer::Half(..) => Ok(Err((interval * 2).min(60_000))),
        Answer::No(refusal) => {
            let e = match refusal {
                Refusal::Grant("access_denied") => {
                    Error::new(Code::ConsentDenied, format!("{}: the person said no", p.name))
                }
                Refusal::Grant("expired_token") => unknown(),
                refusal => refused(p, refusal),
            };
            let state =
                if e.code == Code::ConsentDenied { ConsentState::Denied } else { ConsentState::Failed };
            close(app, caller, consent, &taken.credential, state, &e).await?;
            Err(e)
        }
    }
}

/// The caller's own consent that waits for its code to be typed, and the client that asks for its tokens.
async fn waiting(app: &App, caller: &Caller, id: &ConsentId) -> Result<(Taken, Client)> {
    let (asking, wanted, keys) = (caller.clone(), id.clone(), app.keys.clone());
    let taken = app
        .store
        .read(move |tx| {
            let consent = tx
                .consent(&asking.org, wanted.as_str())?
                .filter(|c| c.asked_by == asking.user && c.grant_kind == GrantKind::DeviceCode)
                .ok_or_else(unknown)?;
            if !consent.is_open(tx.now()) {
                return Err(unknown());
            }
            let (credential, provider, _) = expect(tx, &asking, consent.credential_id.as_str())?;
            if policy(&provider) != consent.policy {
                return Err(changed());
            }
            let verifier = open(&keys.vault(), &consent)?;
            Ok(Taken { consent, credential, provider, verifier })
        })
        .await?;
    let client = client(app, &taken.provider)?;
    Ok((taken, client))
}

/// RFC 8628 §3.5: five seconds more from now on.
async fn slow_down(app: &App, caller: &Caller, consent: &Consent) -> Result<()> {
    let (org, id) = (consent.org_id.clone(), consent.id.clone());
    app.store
        .write(caller, move |tx| {
            let mut consent = tx.consent(&org, id.as_str())?.ok_or_else(unknown)?;
            consent.interval_ms = (consent.interval_ms + 5000).min(60_000);
            tx.save(&mut consent)?;
            tx.record_step(Event::of("slow_down").with("consent", id.0), ())
        })
        .await
}
