//! The way back: whose consent it is, exchanged for tokens once, and kept in one transaction.
use super::begin::expect_secret;
use super::conclude::keep;
use super::consent::{about, end, open, unknown, unseal};
use super::{address, client, policy, provider_of, quirks};
use crate::app::App;
use crate::clock::Millis;
use crate::error::{Code, Error, Result};
use crate::ids::ConsentId;
use crate::model::access::{Caller, Door};
use crate::model::connection::{Consent, ConsentState};
use crate::model::credential::Credential;
use crate::model::event::{Event, Outcome};
use crate::model::provider::Provider;
use crate::oauth::{Answer, Grant, Refusal, Returned, Tokens, Trouble, returned, token_form, tokens};
use crate::ops::provider::is_same_domain;
use crate::ops::reach::{self, Need};
use crate::ops::refusal;
use crate::secret::{SecretBytes, looked_up_by};
use serde::Serialize;
use subtle::ConstantTimeEq;
use url::Url;
use zeroize::Zeroizing;

/// Who brings the answer of a consent back.
pub enum Came<'a> {
    /// The browser that was sent away: by the id of the consent, what it was given then; and the path it came back to.
    Browser { held: &'a [(String, String)], path: &'a str },
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
    let (back, found) = match found(app, query).await {
        Ok(found) => found,
        Err(e) => {
            // Of a browser nobody knows whose it is: there is no log to write this into, and none that it could fill.
            if let Came::Person(caller) = came {
                refusal::remember(app, caller, Event::of("take_consent"), &e).await;
            }
            return Err(e);
        }
    };
    let caller = match came {
        Came::Person(caller) if caller.org == found.org_id && caller.user == found.asked_by => caller.clone(),
        Came::Person(caller) => {
            // Which credential it is of is not theirs to read in the log, either.
            let e = unknown();
            refusal::remember(app, caller, Event::of("take_consent"), &e).await;
            return Err(e);
        }
        Came::Browser { held, path } => {
            let caller = by_browser(&found, held);
            let caller = match caller {
                // O-13: an answer belongs to the provider whose path it came by.
                Ok(_) if !is_path_of(&found.redirect_uri, path) => {
                    Err(invalid("the answer came by another provider's path"))
                }
                caller => caller,
            };
            match caller {
                Ok(caller) => caller,
                Err(e) => {
                    let asker = Caller::new(found.org_id.clone(), found.asked_by.clone(), Door::System);
                    refusal::remember(app, &asker, about("take_consent", &found), &e).await;
                    return Err(e);
                }
            }
        }
    };
    let taken = take(app, &caller, found, &back).await?;
    let (consent, c) = (&taken.consent, &taken.credential);
    let exchanged = exchange(app, &taken, &back).await;
    let (tokens, began_at) = match exchanged {
        Ok(exchanged) => exchanged,
        Err(e) => {
            close(app, &caller, consent, c, ConsentState::Failed, &e).await?;
            return Err(e);
        }
    };
    keep(app, &caller, taken, tokens, began_at).await
}

/// What the provider sent back, and the consent that its state is of.
async fn found(app: &App, query: &str) -> Result<(Returned, Consent)> {
    let back = returned(query).ok_or_else(|| invalid("the answer has a parameter twice"))?;
    if back.state.is_empty() {
        return Err(invalid("the answer has no state"));
    }
    let hash = looked_up_by(back.state.as_bytes()).to_vec();
    let found = app.store.read(move |tx| tx.consent_by_hash(&hash)).await?.ok_or_else(unknown)?;
    Ok((back, found))
}

fn is_path_of(redirect_uri: &str, path: &str) -> bool {
    Url::parse(redirect_uri).is_ok_and(|url| url.path() == path)
}

/// The person whose browser was sent away, where this is that one.
pub(super) fn by_browser(consent: &Consent, held: &[(String, String)]) -> Result<Caller> {
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
    let Ok(url) = Url::parse(&pasted) else {
        let e = crate::error::invalid("that is no address")
            .next("Paste the whole address from the browser's address bar: it begins with http and holds code= and state=.");
        refusal::remember(app, caller, Event::of("take_consent"), &e).await;
        return Err(e);
    };
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
    let event = about("take_consent", &found);
    let taken = app
        .store
        .write(caller, move |tx| {
            let mut consent = tx.consent(&found.org_id, found.id.as_str())?.ok_or_else(unknown)?;
            if consent.state == ConsentState::Done && consent.hash == found.hash {
                return Err(Error::new(
                    Code::ConsentInvalid,
                    "this consent was used already, and it is connected",
                )
                .next("You can close this page."));
            }
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
                // Of one whose issuer is not known, it is at least of the same domain.
                Some(iss) if p.issuer.is_empty() && !is_same_domain(iss, &p.endpoints.authorization_url) => {
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
            // What is sealed in it from now on are the tokens that come.
            unseal(&mut consent);
            tx.save(&mut consent)?;
            tx.record_step(event, Ok(Taken { consent, credential: c, provider: p, verifier }))
        })
        .await;
    match taken {
        // What ended the consent was written down with its end.
        Ok(taken) => taken,
        Err(e) => {
            refusal::remember(app, caller, event, &e).await;
            Err(e)
        }
    }
}

fn denied(p: &Provider, word: &str) -> Error {
    let e = Error::new(Code::ConsentDenied, format!("the OAuth provider {} answered: {word}", p.name));
    match word {
        "access_denied" => Error::new(Code::ConsentDenied, format!("nothing was allowed at {}", p.name))
            .next("Nothing was changed. Open the link again if that was not meant."),
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
        Answer::Half(_, why) => {
            Err(Error::new(Code::Unreachable, format!("{} gave no tokens that can be used: {why}", p.name)))
        }
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

pub(super) async fn close(
    app: &App,
    caller: &Caller,
    consent: &Consent,
    c: &Credential,
    state: ConsentState,
    e: &Error,
) -> Result<()> {
    let (org, id, outcome) = (consent.org_id.clone(), consent.id.clone(), e.message().to_owned());
    let event = Event::of("complete_consent").on(c).with("consent", id.0.clone());
    let event = refusal::ended(event, e);
    app.store
        .write(caller, move |tx| {
            // Where it was ended meanwhile, it stays as it ended.
            let consent = tx.consent(&org, id.as_str())?;
            if let Some(mut consent) =
                consent.filter(|c| matches!(c.state, ConsentState::Open | ConsentState::Taken))
            {
                end(tx, &mut consent, state, &outcome)?;
            }
            tx.record_step(event, ())
        })
        .await
}
