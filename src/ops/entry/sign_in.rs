//! `unsaid open`: a one-time way in for the local person, who has shown by their shell who they are.
use super::{expect_open, hash, not_found};
use crate::app::App;
use crate::clock::Millis;
use crate::error::Result;
use crate::ids::EntryId;
use crate::model::Word;
use crate::model::access::{Caller, Door};
use crate::model::entry::{EntryLink, EntryPurpose, EntryState, SIGN_IN_LIFE_MS};
use crate::model::event::Event;
use crate::model::org::User;
use crate::ops::people_only;
use crate::secret::{Secret, unguessable};

/// A ticket for one sign-in within two minutes. For people only.
///
/// `is_assured`: the terminal's challenge was passed, so that who signs in by it may approve.
pub async fn offer_sign_in(app: &App, caller: &Caller, is_assured: bool) -> Result<(Secret, Millis)> {
    people_only(caller)?;
    let text = unguessable()?;
    let (asking, hash) = (caller.clone(), hash(&text));
    let expires_at = app
        .store
        .write(caller, move |tx| {
            tx.standing(&asking)?;
            let now = tx.now();
            let mut link = EntryLink {
                id: EntryId::fresh(),
                org_id: asking.org.clone(),
                asked_by: asking.user.clone(),
                door: asking.door.as_str().into(),
                client: asking.client.clone(),
                purpose: EntryPurpose::SignIn,
                object_id: asking.user.0.clone(),
                policy: Vec::new(),
                is_assured,
                hash,
                tries: 0,
                foreign_visits: 0,
                state: EntryState::Open,
                created_at: now,
                expires_at: now.plus_ms(SIGN_IN_LIFE_MS),
                ended_at: None,
                revision: 0,
            };
            tx.insert(&mut link)?;
            let event =
                Event::of("offer_sign_in").with("link", link.id.0.clone()).with("assured", is_assured);
            tx.record_step(event, link.expires_at)
        })
        .await?;
    Ok((Secret::new(text), expires_at))
}

/// Who would be signed in, without using the ticket up. Fails with `entry_not_found` or `entry_closed`.
pub async fn peek_sign_in(app: &App, ticket: &str) -> Result<(User, String)> {
    let hash = hash(ticket);
    app.store
        .read(move |tx| {
            let link = tx
                .entry_by_hash(&hash)?
                .filter(|l| l.purpose == EntryPurpose::SignIn)
                .ok_or_else(not_found)?;
            expect_open(&link, tx.now())?;
            Ok((tx.user(&link.org_id, &link.asked_by)?, tx.org(&link.org_id)?.name))
        })
        .await
}

/// Uses the ticket up and returns who is signed in by it, and whether they may approve.
pub async fn sign_in(app: &App, ticket: &str) -> Result<(Caller, bool)> {
    let hash = hash(ticket);
    let looked = hash.clone();
    let row = app
        .store
        .read(move |tx| {
            tx.entry_by_hash(&looked)?.filter(|l| l.purpose == EntryPurpose::SignIn).ok_or_else(not_found)
        })
        .await?;
    let is_assured = row.is_assured;
    // Who made it is named in all that is done by it: an admin may act as another.
    let caller = Caller { client: row.client, ..Caller::new(row.org_id, row.asked_by, Door::Web) };
    let visitor = caller.clone();
    app.store
        .write(&caller, move |tx| {
            tx.standing(&visitor)?;
            let link = super::consume(tx, &visitor, &hash)?;
            let event = Event::of("sign_in")
                .with("by", "ticket")
                .with("link", link.id.0.clone())
                .with("door", link.door.as_str());
            tx.record_step(event, ())
        })
        .await?;
    Ok((caller, is_assured))
}
