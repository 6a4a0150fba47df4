//! The row of a consent: how it is made and ended, and what is sealed in it meanwhile.
use super::policy;
use crate::app::App;
use crate::error::{Code, Error, Result, internal};
use crate::ids::{ConsentId, CredentialId};
use crate::model::Word;
use crate::model::access::Caller;
use crate::model::connection::{CONSENT_LIFE_MS, Consent, ConsentState, GrantKind};
use crate::model::credential::Credential;
use crate::model::entry::EntryLink;
use crate::model::event::Event;
use crate::model::provider::Provider;
use crate::secret::SecretBytes;
use crate::store::{Reader, Writer};
use crate::vault::{Context, Vault};

/// How long the row of a consent stays after its time, so that whoever waits for it learns what became of it.
pub(super) const KEPT_MS: i64 = 60_000;
/// How many consents for one credential may be open at once: the oldest makes room.
const MOST_OPEN: usize = 5;

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
    unseal(consent);
    tx.save(consent)
}

/// Destroys what is sealed in its row.
pub(super) fn unseal(consent: &mut Consent) {
    consent.wrapped_key = Vec::new();
    consent.key_version = 0;
    consent.sealed = Vec::new();
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
