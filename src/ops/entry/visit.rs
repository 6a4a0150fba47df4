//! Who opens a link: found by its hash, shown to be the asker, or refused.
use super::offer::close;
use super::{expect_open, hash, not_found};
use crate::app::App;
use crate::error::{Code, Error, Result, internal};
use crate::model::Word;
use crate::model::access::{Caller, Door};
use crate::model::entry::{EntryLink, EntryPurpose, EntryState, MOST_TRIES};
use crate::model::event::{Event, Outcome};
use subtle::ConstantTimeEq;

/// The link as it stands, open or not. Fails with `entry_not_found`.
pub async fn find(app: &App, link: &str) -> Result<EntryLink> {
    if link.len() != 43 {
        return Err(not_found());
    }
    let hash = hash(link);
    app.store
        .read_here(move |tx| {
            tx.entry_by_hash(&hash)?.filter(|l| l.purpose != EntryPurpose::SignIn).ok_or_else(not_found)
        })
        .await
}

/// Lets the visitor of a local page in who types the code that the asker was shown, as the asker.
///
/// Fails with `code_wrong`, and with `entry_closed` for ever once that was so five times.
pub async fn expect_code(app: &App, link: &str, typed: &str) -> Result<Caller> {
    let row = find(app, link).await?;
    let (hash, now) = (hash(link), app.now());
    expect_open(&row, now)?;
    let code = app
        .pages
        .get()
        .and_then(|pages| pages.code(link))
        .ok_or_else(|| internal("this page asks for no code"))?;
    let plain = |text: &str| {
        let mut kept = String::with_capacity(16);
        kept.extend(
            text.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_uppercase()).take(64),
        );
        kept
    };
    let visitor = Caller {
        client: row.client.clone(),
        ..Caller::new(row.org_id.clone(), row.asked_by.clone(), Door::Web)
    };
    if bool::from(plain(typed).as_bytes().ct_eq(plain(&code).as_bytes())) {
        return Ok(visitor);
    }
    let left = app
        .store
        .write(&visitor, move |tx| {
            let mut link = tx.entry_by_hash(&hash)?.ok_or_else(not_found)?;
            expect_open(&link, tx.now())?;
            link.tries += 1;
            let left = MOST_TRIES - link.tries;
            match left {
                ..=0 => close(tx, &mut link, EntryState::Blocked)?,
                _ => tx.save(&mut link)?,
            }
            let event = Event::of("open_entry")
                .ended(Outcome::Refused, Code::CodeWrong.name())
                .with("link", link.id.0.clone())
                .with("purpose", link.purpose.as_str())
                .with("tries_left", left);
            tx.record_step(event, left)
        })
        .await?;
    Err(match left {
        ..=0 => Error::new(Code::EntryClosed, "this link is blocked: a wrong code was typed too often"),
        left => Error::new(Code::CodeWrong, "that is not the code that was shown")
            .detail("tries_left", left.to_string()),
    })
}

/// Refuses everybody but the asker, and lets the asker know.
pub(super) async fn expect_asker(app: &App, visitor: &Caller, row: &EntryLink) -> Result<()> {
    if row.asked_by == visitor.user && row.org_id == visitor.org {
        return Ok(());
    }
    let (hash, asker) =
        (row.hash.clone(), Caller::new(row.org_id.clone(), row.asked_by.clone(), Door::System));
    // Somebody of another org is not named in this one's log.
    let by = if visitor.org == row.org_id { visitor.user.0.clone() } else { "another org".to_owned() };
    let noted = app
        .store
        .write(&asker, move |tx| {
            let mut link = tx.entry_by_hash(&hash)?.ok_or_else(not_found)?;
            link.foreign_visits += 1;
            tx.save(&mut link)?;
            let event = Event::of("open_entry")
                .ended(Outcome::Refused, Code::NotAllowed.name())
                .with("link", link.id.0.clone())
                .with("by", by);
            tx.record_step(event, ())
        })
        .await;
    if let Err(e) = noted {
        tracing::error!(code = e.code.name(), "a foreign visit could not be recorded");
    }
    Err(Error::new(Code::NotAllowed, "this link was made for somebody else")
        .next("Nothing was shown and nothing was changed. Whoever asked for it sees that it was opened."))
}
