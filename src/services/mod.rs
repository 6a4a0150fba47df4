//! The catalogue of services, the definitions of MCP servers, and how to add this server to the programs that will use it.
//!
//! Everything is embedded as text and parsed when somebody asks: nothing here runs when the process starts.
//! This module reads manifests and answers questions about them; it calls nobody.
pub mod agents;
pub mod broker;
pub mod catalogue;
pub mod check;
pub mod client;
pub mod fill;
pub mod guide;
mod own;
pub mod preset;
pub mod probe;
pub mod recognise;
mod render;
mod rules;
#[cfg(test)]
mod server_manifest;
pub mod servers;
pub mod service;
pub mod sql;
pub mod upstream;
pub mod wire;

pub use agents::{Snippet, agents, snippet};
pub use broker::{BrokerPreset, PathPattern, Placement};
pub use catalogue::{Catalogue, Filter, Summary};
pub use fill::fill;
pub use guide::{Guide, rotation_guide};
pub use own::Checked;
pub use preset::{OauthPreset, Risk, offline_access_missing};
pub use recognise::Recognised;
pub use servers::{CredentialField, ServerDefinition, Servers, definition, definitions};
pub use service::{CredentialType, Sensitivity, Service};
