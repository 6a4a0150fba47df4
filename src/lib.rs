//! Unsaid: the credentials your agents use, and never see.
#[cfg(test)]
extern crate self as unsaid;

#[macro_use]
pub mod model;

pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod error;
pub mod ids;
pub mod import;
pub mod inject;
pub mod mcp;
pub mod ops;
pub mod secret;
pub mod services;
pub mod store;
pub mod telemetry;
#[cfg(test)]
#[path = "../tests/support/world.rs"]
#[allow(dead_code)]
pub mod testing;
pub mod vault;

pub use error::{Code, Error, Kind, Result};
