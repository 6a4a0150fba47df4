//! What the journeys share.
pub mod arguments;
pub mod imports;
pub mod brokered;
pub mod rig;
pub mod shell;
pub mod world;
