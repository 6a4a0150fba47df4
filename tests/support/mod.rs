//! What the journeys share.
pub mod rig;
pub mod shell;
pub mod world;
