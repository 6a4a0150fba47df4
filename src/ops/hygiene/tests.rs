//! The hygiene operations.
