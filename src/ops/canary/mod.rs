//! Canary credentials: marking one, raising the alarm when it is used, and saying that one knows.
//!
//! The use goes on as any other, with the dead value that the canary has: whoever is stopped is warned. Alarm and use are
//! one transaction, so that there is not the one without the other.
mod acknowledge;
mod decoy;
mod list;
mod mark;

pub use acknowledge::AcknowledgeCanary;
pub use decoy::decoy;
pub use list::{AlertRow, ListCanaries};
pub use mark::MarkCanary;

use crate::app::App;
use crate::config::File;
use crate::error::Result;
use crate::ids::AlertId;
use crate::model::access::Caller;
use crate::model::canary::{CanaryAlert, USED};
use crate::model::credential::Credential;
use crate::model::event::Event;
use crate::model::notice::NoticeKind;
use crate::ops::notice;
use crate::store::Writer;

/// More open alerts of one credential than these are counted in the last of them.
const MOST_OPEN: i64 = 50;

/// A canary was used. Hand it to [`alert`] once the use is committed.
#[derive(Clone, Debug)]
#[must_use = "an alarm that nobody is told of is none"]
pub struct Alarm {
    pub alert: CanaryAlert,
    /// The credential's name.
    pub name: String,
}

/// Looks whether what is about to be used is a canary, and writes the alert and its event where it is.
///
/// `how`: `process`, `broker`, `test` or `rotation`; `place`: the program or the host. Called by whatever records a use, in its
/// transaction; a search for leaks is no use. Notices of a new alert are put on their way as `file` says.
pub fn watch(
    tx: &mut Writer<'_>,
    caller: &Caller,
    credential: &Credential,
    (how, place): (&str, &str),
    file: &File,
) -> Result<Option<Alarm>> {
    if tx.canary(&credential.org_id, &credential.id)?.is_none() {
        return Ok(None);
    }
    let now = tx.now();
    let fresh = CanaryAlert {
        id: AlertId::fresh(),
        org_id: credential.org_id.clone(),
        credential_id: credential.id.clone(),
        user_id: caller.user.clone(),
        door: caller.door.to_string(),
        client: caller.client.chars().take(200).collect(),
        consumer: caller.consumer.clone(),
        how: how.to_owned(),
        place: place.chars().take(200).collect(),
        first_at: now,
        last_at: now,
        times: 1,
        acknowledged_at: None,
        acknowledged_by: None,
        revision: 0,
    };
    let open = tx.open_alerts(&credential.org_id, Some(&credential.id), MOST_OPEN)?;
    let is_full = open.len() as i64 == MOST_OPEN;
    let again = open.iter().position(|one| one.is_like(&fresh)).or(is_full.then_some(0));
    let alert = match again.map(|at| open[at].clone()) {
        Some(mut alert) => {
            alert.times += 1;
            alert.last_at = now;
            tx.save(&mut alert)?;
            alert
        }
        None => {
            let mut alert = fresh;
            tx.insert(&mut alert)?;
            notice::queue(tx, file, credential, NoticeKind::CanaryUsed, None)?;
            alert
        }
    };
    let mut event = Event::of(USED).on(credential).with("how", how).with("alert", alert.id.0.clone());
    if !place.is_empty() {
        event = event.with("place", place);
    }
    tx.note(event)?;
    Ok(Some(Alarm { alert, name: credential.name.clone() }))
}

/// Tells whoever reads our log. Alert, event and notices are written already.
pub fn alert(_app: &App, alarm: &Alarm) {
    let a = &alarm.alert;
    tracing::warn!(
        credential = a.credential_id.as_str(),
        user = a.user_id.as_str(),
        door = a.door,
        consumer = a.consumer,
        how = a.how,
        alert = a.id.as_str(),
        "a canary credential was used"
    );
}
