//! What the journeys share.
pub mod arguments;
pub mod world;
