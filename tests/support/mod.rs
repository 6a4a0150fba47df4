//! What the journeys share.
pub mod arguments;
pub mod rig;
pub mod shell;
pub mod world;
