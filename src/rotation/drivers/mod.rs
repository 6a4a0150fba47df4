//! The drivers that are built in: databases by their protocols, own programs, and services by the catalogue's addresses.
//!
//! Each makes one call at a time and says how it ended. None of them writes anything down, tries anything twice, or says more
//! of an answer than that.
mod login;
pub mod postgres;

use super::driver::Drivers;
use crate::config::Rotation;
use crate::services::client::Outbound;
use std::sync::Arc;

/// All of them, as the configuration says.
pub fn all(settings: &Rotation, outbound: &Outbound) -> Drivers {
    let settings = Arc::new(settings.clone());
    Drivers::default().with("postgres", Arc::new(postgres::Postgres::new(outbound.clone(), settings)))
}
