//! The drivers that are built in: databases by their protocols, own programs, and services by the catalogue's addresses.
//!
//! Each makes one call at a time and says how it ended. None of them writes anything down, tries anything twice, or says more
//! of an answer than that.
pub mod command;
pub mod http;
mod login;
pub mod mysql;
pub mod postgres;
mod sibling;
#[cfg(test)]
mod tests;

use super::driver::Drivers;
use crate::clock::Clock;
use crate::config::Rotation;
use crate::error::{Result, invalid};
use crate::ids::CredentialId;
use crate::services::Catalogue;
use crate::services::client::Outbound;
use crate::services::sql::Place;
use crate::services::wire::Wire;
use std::sync::Arc;

/// All of them, as the configuration says.
pub fn all(
    settings: &Rotation,
    catalogue: &'static Catalogue,
    outbound: &Outbound,
    clock: Arc<dyn Clock>,
) -> Drivers {
    let settings = Arc::new(settings.clone());
    let wire = Arc::new(Wire::new(outbound.clone()));
    let mut drivers = Drivers::default()
        .with("postgres", Arc::new(postgres::Postgres::new(outbound.clone(), settings.clone())))
        .with("mysql", Arc::new(mysql::Mysql::new(outbound.clone(), settings.clone())));
    for id in &settings.services {
        let service = catalogue.find_service(id);
        if let Some(http) =
            service.and_then(|s| http::Http::new(s, wire.clone(), settings.clone(), clock.clone()))
        {
            drivers = drivers.with(id, Arc::new(http));
        }
    }
    for (id, said) in settings.credential.iter().filter(|(_, said)| !said.command.is_empty()) {
        drivers = drivers
            .with_credential(CredentialId::from(id.as_str()), Arc::new(command::Own::new(said.clone())));
    }
    drivers
}

/// What was entered beside the one in use may be of another server: nothing is changed there by the old one's rights.
fn expect_same_server(old: &Place, new: &Place) -> Result<()> {
    match is_same_server(old, new) {
        true => Ok(()),
        false => Err(invalid("the old value and the new one are of different servers")),
    }
}

fn is_same_server(one: &Place, other: &Place) -> bool {
    (&one.host, one.port) == (&other.host, other.port)
}
