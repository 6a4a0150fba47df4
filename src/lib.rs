//! Unsaid: the credentials your agents use, and never see.
pub mod clock;
pub mod error;
pub mod ids;
pub mod import;
pub mod model;
pub mod secret;

pub use error::{Code, Error, Kind, Result};
