//! The life of a vault: making it, its keys, its backups, its health. For people on the command line only: there is
//! no tool for any of this, and nothing here hands out a value of a credential.
//!
//! ```text
//! init ─ one transaction makes it a vault      keys ─ slots, recovery code, a new root key
//! rekey ─ a new key of an org, row by row      backup, restore ─ an age file around a sealed image
//! doctor ─ looks at everything, changes nothing
//! ```
pub mod backup;
pub mod checks;
pub mod container;
pub mod doctor;
pub mod init;
pub mod keys;
pub mod recover;
pub mod recovery;
pub mod rekey;
pub mod restore;
pub mod source;
mod tables;
#[cfg(test)]
mod tests;

pub use recovery::{Keep, Kept};
pub use source::KeySource;
