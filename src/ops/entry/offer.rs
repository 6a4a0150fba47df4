//! Makes a link, for who asked and nobody else.
use super::hash;
use crate::app::App;
use crate::clock::Millis;
use crate::error::{Code, Error, Result};
use crate::ids::{EntryId, OrgId};
use crate::model::Word;
use crate::model::access::{Caller, Door};
use crate::model::credential::Credential;
use crate::model::entry::{ENTRY_LIFE_MS, EntryLink, EntryPurpose, EntryState, MOST_OF_ONE, MOST_OPEN};
use crate::model::event::Event;
use crate::model::provider::{ClientAuth, Provider};
use crate::ops::people_only;
use crate::ops::reach::{self, Need};
use crate::secret::unguessable;
use crate::store::{Reader, Writer};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// How long the row of a link stays after its time, so that an old one is told from one that never was.
const KEPT_MS: i64 = 7 * crate::clock::DAY_MS;

/// Where a person enters it. The address is no secret: it proves nothing about who opens it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct Offer {
    /// The page, for the person's browser; open it for nobody else.
    pub url: String,
    /// Where the page asks for it: what the asker types there.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub code: Option<String>,
    pub expires_at: Millis,
    /// The id of the link; it opens nothing.
    pub id: EntryId,
}

impl Offer {
    /// What the asker is told to do.
    pub fn told(&self) -> String {
        let code = match &self.code {
            Some(code) => format!(", and give them the code {code}, which the page asks for"),
            None => String::new(),
        };
        format!(
            "Show the person this link, to enter the value there{code}: {}. It works once, for ten minutes, and for \
             the person who asked. Do not open it yourself, and never ask for the value in the chat. Call the tool that \
             shows it to see that it is done.",
            self.url
        )
    }
}

/// What became of the last link for something.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct EntryStatus {
    /// `open`, `done`, `declined`, `blocked`, `replaced` or `expired`
    pub state: String,
    pub expires_at: Millis,
    /// Somebody else opened it, and was refused.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub foreign_visits: i64,
}

fn is_zero(n: &i64) -> bool {
    *n == 0
}

impl EntryStatus {
    pub fn of(link: &EntryLink, now: Millis) -> Self {
        let state = match link.state {
            EntryState::Open if now >= link.expires_at => "expired",
            state => state.as_str(),
        };
        Self { state: state.into(), expires_at: link.expires_at, foreign_visits: link.foreign_visits }
    }
}

/// A link for `caller` to enter `purpose` of the credential or provider `object` (an id).
///
/// `None` where this process serves no pages, where no model stands behind the door, or where an approval is carried
/// out, whose answer is kept. Fails with `not_allowed` and `…_not_found` as entering would, and `quota_exceeded` where
/// 20 links of the caller are open.
pub async fn offer(app: &App, caller: &Caller, purpose: EntryPurpose, object: &str) -> Result<Option<Offer>> {
    let Some(pages) = app.pages.get() else { return Ok(None) };
    if !matches!(caller.door, Door::Stdio | Door::Http) || caller.approval.is_some() {
        return Ok(None);
    }
    let base = pages.base().await?;
    let (text, id, expires_at) = make(app, caller, purpose, object).await?;
    let code = pages.code(&text);
    Ok(Some(Offer { url: format!("{base}/e/{text}"), code, expires_at, id }))
}

/// A link for a person who is on the pages already: they are taken there, and no model hears of it.
pub async fn offer_here(app: &App, caller: &Caller, purpose: EntryPurpose, object: &str) -> Result<String> {
    people_only(caller)?;
    Ok(make(app, caller, purpose, object).await?.0)
}

async fn make(
    app: &App,
    caller: &Caller,
    purpose: EntryPurpose,
    object: &str,
) -> Result<(String, EntryId, Millis)> {
    let text = unguessable()?;
    let (asking, hash, object) = (caller.clone(), hash(&text), object.to_owned());
    let mut plain = caller.clone();
    // The key belongs to the operation, whose answer is kept; the link is in no kept answer.
    plain.idempotency = None;
    let (id, expires_at) = app
        .store
        .write(&plain, move |tx| {
            let (event, policy) = about(tx, &asking, purpose, &object)?;
            let now = tx.now();
            let mine = tx.entries_by(&asking.org, &asking.user, now.plus_ms(-ENTRY_LIFE_MS))?;
            let (mut same, others): (Vec<_>, Vec<_>) = mine
                .into_iter()
                .filter(|link| link.is_open(now))
                .partition(|link| link.purpose == purpose && link.object_id == object);
            if others.len() >= MOST_OPEN {
                return Err(Error::new(Code::Quota, format!("{MOST_OPEN} of your links are open already"))
                    .next("Use one of them, or wait: each lives ten minutes."));
            }
            // A call that is repeated must not take the page away that the person is typing into.
            if same.len() >= MOST_OF_ONE
                && let Some(mut oldest) = same.pop()
            {
                close(tx, &mut oldest, EntryState::Replaced)?;
            }
            tx.forget_entries(now.plus_ms(-KEPT_MS))?;
            let mut link = EntryLink {
                id: EntryId::fresh(),
                org_id: asking.org.clone(),
                asked_by: asking.user.clone(),
                door: asking.door.as_str().into(),
                client: asking.client.clone(),
                purpose,
                object_id: object,
                policy,
                is_assured: false,
                hash,
                tries: 0,
                foreign_visits: 0,
                state: EntryState::Open,
                created_at: now,
                expires_at: now.plus_ms(ENTRY_LIFE_MS),
                ended_at: None,
                revision: 0,
            };
            tx.insert(&mut link)?;
            let event = event.with("link", link.id.0.clone()).with("purpose", purpose.as_str());
            tx.record_step(event, (link.id, link.expires_at))
        })
        .await?;
    Ok((text, id, expires_at))
}

/// The event, once it is known that the caller may enter it.
fn about(tx: &Reader<'_>, caller: &Caller, purpose: EntryPurpose, object: &str) -> Result<(Event, Vec<u8>)> {
    let event = Event::of("offer_entry");
    match purpose {
        EntryPurpose::Value => {
            let who = tx.standing(caller)?;
            let found = reach::credential(tx, caller, &who, object, Need::Manage)?;
            Ok((event.on(&found.credential), value_policy(&found.credential)))
        }
        EntryPurpose::ClientSecret => {
            reach::admin(tx, caller)?;
            let p = tx.provider_named(&caller.org, object)?;
            if p.client_auth == ClientAuth::None {
                return Err(Error::new(
                    Code::PolicyForbids,
                    format!("{} is a public client, which has no secret", p.name),
                ));
            }
            Ok((event.about("provider", p.id.as_str(), &p.name), secret_policy(&p)))
        }
        EntryPurpose::Connect => {
            let who = tx.standing(caller)?;
            let c = reach::credential(tx, caller, &who, object, Need::Manage)?.credential;
            let policy = connect_policy(tx, &c)?;
            Ok((event.on(&c), policy))
        }
        EntryPurpose::SignIn => Err(crate::error::internal("a sign-in is not offered to a model")),
    }
}

/// What a value is entered for: its name, place, service and environment as the page shows them.
pub(in crate::ops) fn value_policy(c: &Credential) -> Vec<u8> {
    let mut hash = Sha256::new();
    for part in [
        c.id.as_str(),
        &c.name,
        c.scope.as_str(),
        &c.owner_id,
        &c.service,
        &c.account,
        c.environment.as_str(),
        c.kind.as_str(),
    ] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().to_vec()
}

/// What a consent is for: the credential and the provider that the page shows.
pub(in crate::ops) fn connect_policy(tx: &Reader<'_>, c: &Credential) -> Result<Vec<u8>> {
    let p = crate::ops::connection::provider_of(tx, c)?;
    Ok(Sha256::new()
        .chain_update(value_policy(c))
        .chain_update(crate::ops::connection::policy(&p))
        .finalize()
        .to_vec())
}

/// Where a client secret goes: the addresses that the page shows.
pub(in crate::ops) fn secret_policy(p: &Provider) -> Vec<u8> {
    Sha256::new()
        .chain_update((p.client_id.len() as u64).to_be_bytes())
        .chain_update(&p.client_id)
        .chain_update(p.endpoints.canonical())
        .finalize()
        .to_vec()
}

/// Closes a link for good.
pub(super) fn close(tx: &mut Writer<'_>, link: &mut EntryLink, state: EntryState) -> Result<()> {
    link.state = state;
    link.ended_at = Some(tx.now());
    tx.save(link)
}

/// How the link stands now. For whoever waits for it.
pub async fn state_of(app: &App, org: &OrgId, id: &EntryId) -> Result<Option<EntryStatus>> {
    let (org, id) = (org.clone(), id.clone());
    app.store.read_here(move |tx| Ok(tx.entry(&org, &id)?.map(|link| EntryStatus::of(&link, tx.now())))).await
}

/// The caller's last link of the last hour for this object.
pub fn status(tx: &Reader<'_>, caller: &Caller, object: &str) -> Result<Option<EntryStatus>> {
    let now = tx.now();
    let mine = tx.entries_by(&caller.org, &caller.user, now.plus_ms(-3_600_000))?;
    Ok(mine.iter().find(|link| link.object_id == object).map(|link| EntryStatus::of(link, now)))
}

/// Closes a link whose asker does not want it: they declined to open it.
pub async fn withdraw(app: &App, caller: &Caller, id: &EntryId) -> Result<()> {
    let (asking, id) = (caller.clone(), id.clone());
    let mut plain = caller.clone();
    plain.idempotency = None;
    app.store
        .write(&plain, move |tx| {
            let mut link = tx
                .entry(&asking.org, &id)?
                .filter(|link| link.asked_by == asking.user)
                .ok_or_else(super::not_found)?;
            super::expect_open(&link, tx.now())?;
            close(tx, &mut link, EntryState::Declined)?;
            let event = Event::of("decline_entry").with("link", link.id.0.clone());
            tx.record_step(event, ())
        })
        .await
}
