//! The audit log: search it, verify it, count uses, take it out.
//!
//! Nobody reads what concerns another person's personal credential, whatever their role.
mod export;
mod search;
mod usage;
mod verify;

pub use export::{CheckpointText, checkpoint, export};
pub use search::{EventPage, EventRow, ObjectRow, SearchAuditLog};
pub use usage::{DayUse, GetUsage, UsageReport, UserUse};
pub use verify::{BadEvent, CheckpointInput, Verification, VerifyAuditLog};

use crate::error::{Code, Error, Result};
use crate::ids::{OrgId, UserId};
use crate::model::access::Standing;
use crate::store::Reader;
use std::collections::HashMap;

/// Refuses all but admins and auditors.
fn reader_of_all(who: &Standing, what: &str) -> Result<()> {
    match who.sees_all() {
        true => Ok(()),
        false => Err(Error::new(Code::NotAllowed, format!("only admins and auditors {what}"))),
    }
}

/// Logins by user id, each looked up once.
#[derive(Default)]
pub(in crate::ops) struct Logins(HashMap<String, String>);

impl Logins {
    /// The login, or the id itself where there is no such user.
    pub(in crate::ops) fn of(&mut self, tx: &Reader<'_>, org: &OrgId, id: &str) -> Result<String> {
        if let Some(login) = self.0.get(id) {
            return Ok(login.clone());
        }
        let login = match tx.user(org, &UserId::from(id)) {
            Ok(user) => user.login,
            Err(e) if e.code == Code::UserNotFound => id.to_owned(),
            Err(e) => return Err(e),
        };
        self.0.insert(id.to_owned(), login.clone());
        Ok(login)
    }

    /// `text` with logins where it has ids: how a client is named that acts for somebody.
    pub(in crate::ops) fn in_text(&mut self, tx: &Reader<'_>, org: &OrgId, text: &str) -> Result<String> {
        // Only what we ourselves put at the end: what a client calls itself ends with its version, which is shorter.
        let mut words: Vec<_> = text.rsplitn(5, ' ').collect();
        words.reverse();
        match words[..] {
            [.., "as", them, "by", me] if them.len() == 26 && me.len() == 26 => {
                let start = &text[..text.len() - them.len() - me.len() - " by ".len()];
                Ok(format!("{start}{} by {}", self.of(tx, org, them)?, self.of(tx, org, me)?))
            }
            _ => Ok(text.to_owned()),
        }
    }
}
