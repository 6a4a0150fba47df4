//! What the journeys share.
pub mod arguments;
pub mod imports;
pub mod rig;
pub mod shell;
pub mod world;
