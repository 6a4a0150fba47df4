//! What can be asked about and done with credentials.
pub mod create;
pub mod delete;
pub mod explain;
pub mod get;
mod instead;
pub mod list;
pub mod probe;
pub mod purge;
pub mod restore;
pub mod set_value;
pub mod share;
#[cfg(test)]
mod tests;
pub mod unshare;
pub mod update;
pub mod value;
pub mod view;
