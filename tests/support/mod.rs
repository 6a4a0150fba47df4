//! What the journeys share.
pub mod world;
