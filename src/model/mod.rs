//! Pure rules: no input or output, no clock, no randomness.
#[macro_use]
mod words;

pub mod access;
pub mod approval;
pub mod canary;
pub mod connection;
pub mod consumer;
pub mod credential;
pub mod echo;
pub mod entry;
pub mod event;
pub mod header;
pub mod hygiene;
pub mod name;
pub mod notice;
pub mod org;
pub mod part;
pub mod pattern;
pub mod probe;
pub mod provider;
pub mod resolution;
pub mod rotation;
pub mod status;
pub mod suspicion;
pub mod text;
pub mod token;

pub use words::Word;
