//! Connections that no consent page makes: a grant made elsewhere, and a client that is its own account.
use super::begin::{expect, expect_secret};
use super::callback::{Finished, Taken, close, exchanged};
use super::conclude::{conclude, keep};
use super::consent::{changed, fresh};
use super::{address, client, policy, quirks};
use crate::app::App;
use crate::error::Result;
use crate::model::access::Caller;
use crate::model::connection::{ConsentState, GrantKind};
use crate::model::event::Event;
use crate::oauth::{Grant, Identity, token_form};
use crate::ops::refusal;
use crate::secret::{SecretBytes, looked_up_by};

/// Takes over a grant that was made elsewhere, by its refresh token: it is used once at once, so that what is kept is known
/// to work. For people only.
///
/// Fails as a refresh does; nothing is kept then.
pub async fn adopt(app: &App, caller: &Caller, credential: &str, token: SecretBytes) -> Result<Finished> {
    let taken = match adopted(app, caller, credential, &token).await {
        Ok(taken) => taken,
        Err(e) => {
            refusal::remember(app, caller, Event::of("take_consent").with("adopted", true), &e).await;
            return Err(e);
        }
    };
    let p = taken.provider.clone();
    let asked = async {
        let (url, client, quirks) = (address(&p.endpoints.token_url)?, client(app, &p)?, quirks(app, &p));
        let grant = Grant::Refresh { token: &token };
        exchanged(app, &p, || token_form(&url, &client, &grant, &p.resource, &quirks)).await
    }
    .await;
    let (mut tokens, began_at) = match asked {
        Ok(asked) => asked,
        Err(e) => {
            close(app, caller, &taken.consent, &taken.credential, ConsentState::Failed, &e).await?;
            return Err(e);
        }
    };
    // A provider that sends no new one means the old one to stay.
    if tokens.refresh.is_none() {
        tokens.refresh = Some(token);
    }
    keep(app, caller, taken, tokens, began_at).await
}

/// Written down before it is asked: whatever comes is for the provider as it is now.
async fn adopted(app: &App, caller: &Caller, credential: &str, token: &SecretBytes) -> Result<Taken> {
    crate::ops::people_only(caller)?;
    let is_token = token
        .expose(|bytes| (1..=16 * 1024).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic));
    if !is_token {
        return Err(crate::error::invalid(
            "that is no refresh token: it is visible characters without spaces",
        ));
    }
    let (asking, wanted) = (caller.clone(), credential.to_owned());
    app.store
        .write(caller, move |tx| {
            let (credential, provider, _) = expect(tx, &asking, &wanted)?;
            expect_secret(&provider)?;
            let scopes = provider.scopes.clone();
            let mut consent =
                fresh(tx, &asking, &credential, &provider, GrantKind::AuthorizationCode, scopes);
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
        .await
}

/// Tokens of a client that is its own account (RFC 6749 §4.4): nobody consents, so it is connected at once.
pub(super) async fn connect_client(app: &App, caller: &Caller, credential: &str) -> Result<Finished> {
    let (asking, wanted) = (caller.clone(), credential.to_owned());
    let (c, p) = app.store.read(move |tx| expect(tx, &asking, &wanted).map(|(c, p, _)| (c, p))).await?;
    expect_secret(&p)?;
    let (url, client, quirks) = (address(&p.endpoints.token_url)?, client(app, &p)?, quirks(app, &p));
    let grant = Grant::Client { scopes: &p.scopes };
    let asked = exchanged(app, &p, || token_form(&url, &client, &grant, &p.resource, &quirks)).await;
    let (tokens, began_at) = match asked {
        Ok(asked) => asked,
        Err(e) => {
            refusal::remember(app, caller, Event::of("complete_consent").on(&c), &e).await;
            return Err(e);
        }
    };
    let (asking, keys, asked_of) = (caller.clone(), app.keys.clone(), policy(&p));
    let plain = Caller { idempotency: None, ..caller.clone() };
    app.store
        .write(&plain, move |tx| {
            let (c, p, _) = expect(tx, &asking, c.id.as_str())?;
            // Tokens of the addresses of before are not the new ones'.
            if policy(&p) != asked_of {
                return Err(changed());
            }
            let mut consent = fresh(tx, &asking, &c, &p, GrantKind::ClientCredentials, p.scopes.clone());
            consent.hash = looked_up_by(consent.id.as_str().as_bytes()).to_vec();
            consent.state = ConsentState::Taken;
            tx.insert(&mut consent)?;
            // The account is the client itself, and its id is no secret.
            let identity = Identity { subject: p.client_id.clone(), label: String::new() };
            conclude(tx, &keys.vault(), &asking, consent, &tokens, &identity, began_at)
        })
        .await
}
