//! Unsaid: the credentials your agents use, and never see.
pub mod clock;
pub mod error;
pub mod ids;
pub mod secret;
pub mod services;

pub use error::{Code, Error, Kind, Result};
