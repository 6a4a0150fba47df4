//! People, teams and the org's policy: what people alone change, on the command line or the web.
//!
//! A model may read the policy. Everything else here refuses every other door with `people_only`.
mod erase;
#[cfg(test)]
pub(crate) mod fixture;
mod members;
mod orgs;
mod policy;
mod teams;
mod users;

pub use erase::{EraseUser, Erased};
pub use members::{MemberRow, RemoveMember, Removed, SetMember};
pub use orgs::{FirstAdmin, NewOrg, OrgRow, create_org, list_orgs, rename};
pub use policy::{GetPolicy, Policy, SetPolicy};
pub use teams::{CreateTeam, DeleteTeam, ListTeams, TeamList, TeamRow};
pub use users::{AddUser, ListUsers, UpdateUser, UserList, UserRow};

use crate::error::{Result, invalid};
use crate::model::event::Event;
use crate::model::text::clean;

/// An event about a row that is no credential.
pub(super) fn about(operation: &str, kind: &str, id: &str, name: &str, revision: i64) -> Event {
    let mut event = Event::of(operation).about(kind, id, name);
    event.object.revision = Some(revision);
    event
}

/// What somebody wrote to name a user, team or provider, fit to look up and to show.
pub(super) fn named(text: &str) -> Result<String> {
    let text = clean(text);
    match text.chars().count() {
        1..=80 => Ok(text),
        _ => Err(invalid("a name has 1 to 80 characters")),
    }
}
