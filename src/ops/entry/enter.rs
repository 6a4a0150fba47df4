//! The value comes in: checked, sealed, the link used up, all in one transaction.
use super::offer::close;
use super::visit::expect_asker;
use super::{expect_open, find, not_found};
use crate::app::App;
use crate::error::{Code, Error, Result};
use crate::model::access::Caller;
use crate::model::entry::{ENTRY_LIFE_MS, EntryLink, EntryPurpose, EntryState};
use crate::model::event::Event;
use crate::ops::credential::value::{Entered, enter_by_link};
use crate::ops::people_only;
use crate::ops::provider::{ProviderAnswer, set_secret_by_link};
use crate::secret::{Secret, SecretBytes};
use crate::store::Writer;

/// Uses the link up inside the transaction that stores what it was for: of two submits at once, one wins. Other links
/// for the same thing close with it.
pub(in crate::ops) fn consume(tx: &mut Writer<'_>, caller: &Caller, hash: &[u8]) -> Result<EntryLink> {
    let mut link = tx
        .entry_by_hash(hash)?
        .filter(|link| link.org_id == caller.org && link.asked_by == caller.user)
        .ok_or_else(not_found)?;
    expect_open(&link, tx.now())?;
    close(tx, &mut link, EntryState::Done)?;
    for mut other in tx.entries_by(&link.org_id, &link.asked_by, link.created_at.plus_ms(-ENTRY_LIFE_MS))? {
        let is_same = other.purpose == link.purpose && other.object_id == link.object_id;
        if is_same && other.id != link.id && other.is_open(tx.now()) {
            close(tx, &mut other, EntryState::Replaced)?;
        }
    }
    Ok(link)
}

/// Uses up a link whose person was sent elsewhere and has come back, if it is open still: what they brought counts anyhow.
pub(in crate::ops) fn use_up(tx: &mut Writer<'_>, hash: &[u8]) -> Result<()> {
    match tx.entry_by_hash(hash)? {
        Some(mut link) if link.state == EntryState::Open => close(tx, &mut link, EntryState::Done),
        _ => Ok(()),
    }
}

/// Refuses what is not what the page showed when the link was made.
pub(in crate::ops) fn expect_same(link: &EntryLink, policy: &[u8]) -> Result<()> {
    match link.policy == policy {
        true => Ok(()),
        false => {
            Err(Error::new(Code::EntryClosed, "what this link is for has been changed since it was made")
                .next(
                    "Nothing was stored. Ask the assistant for a new link, and look again at what it is for.",
                ))
        }
    }
}

/// The link's row, for its asker, where it is for `purpose`.
pub(in crate::ops) async fn expect(
    app: &App,
    visitor: &Caller,
    link: &str,
    purpose: EntryPurpose,
) -> Result<EntryLink> {
    people_only(visitor)?;
    let row = find(app, link).await?;
    expect_asker(app, visitor, &row).await?;
    match row.purpose == purpose {
        true => Ok(row),
        false => Err(not_found()),
    }
}

/// Enters the value of the link's credential. Fields that are not given keep what they have.
///
/// Fails as [`enter_value`](crate::ops::credential::value::enter_value) does, whereupon the link stays open, and with
/// `entry_closed`, `entry_not_found`, `not_allowed` for a link that is not the visitor's or not good any more.
pub async fn enter(
    app: &App,
    visitor: &Caller,
    link: &str,
    values: Vec<(String, SecretBytes)>,
    file_name: String,
) -> Result<Entered> {
    let row = expect(app, visitor, link, EntryPurpose::Value).await?;
    enter_by_link(app, visitor, row.hash, row.object_id, values, file_name).await
}

/// Enters the client secret of the link's provider.
pub async fn enter_client_secret(
    app: &App,
    visitor: &Caller,
    link: &str,
    secret: Secret,
) -> Result<ProviderAnswer> {
    let row = expect(app, visitor, link, EntryPurpose::ClientSecret).await?;
    set_secret_by_link(app, visitor, &row.object_id, secret, row.hash).await
}

/// Closes the link without entering anything.
pub async fn decline(app: &App, visitor: &Caller, link: &str) -> Result<()> {
    people_only(visitor)?;
    let row = find(app, link).await?;
    expect_asker(app, visitor, &row).await?;
    app.store
        .write(visitor, move |tx| {
            let mut link = tx.entry_by_hash(&row.hash)?.ok_or_else(not_found)?;
            expect_open(&link, tx.now())?;
            close(tx, &mut link, EntryState::Declined)?;
            crate::ops::connection::end_of_link(tx, &link)?;
            tx.record_step(Event::of("decline_entry").with("link", link.id.0.clone()), ())
        })
        .await
}
