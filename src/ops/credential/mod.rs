//! What can be asked about and done with credentials.
pub mod create;
pub mod delete;
pub mod due;
pub mod explain;
pub mod facts;
pub mod get;
mod instead;
pub mod list;
pub mod probe;
#[cfg(test)]
mod probe_tests;
pub mod purge;
pub mod restore;
pub mod sealing;
pub mod set_value;
pub mod share;
pub mod test;
#[cfg(test)]
mod tests;
pub mod unshare;
pub mod update;
pub mod value;
pub mod view;
