//! What the journeys share.
pub mod rig;
pub mod world;
