//! Unsaid: the credentials your agents use, and never see.
pub mod clock;
pub mod error;
pub mod ids;
pub mod inject;
pub mod model;
pub mod secret;
pub mod store;
pub mod vault;

pub use error::{Code, Error, Kind, Result};
