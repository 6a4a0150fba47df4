//! What the journeys share.
pub mod arguments;
pub mod brokered;
pub mod imports;
pub mod remote;
pub mod rig;
pub mod shell;
pub mod world;
