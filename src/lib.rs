//! Unsaid: the credentials your agents use, and never see.
//!
//! # The house
//!
//! ```text
//!              main
//!               │
//!              cli ─────────────┐      doors: parse, ask, answer
//!          ┌────┴────┐          │
//!         mcp       web         │
//!          ├── front ┤          │      over HTTP: listener, TLS, names, limits
//!          └───────────┬────────┘
//!                      ▼
//!                     ops              what a caller can ask for: every rule, once
//!                      │
//!  oauth ── import ── wrap ── inject ── rotation   engines: effects outside, protocols
//!                      │
//!        store ── vault ── services    adapters: disk, cryptography, catalogue
//!                      │
//!                    model             pure rules
//!                      │
//!   error · secret · ids · clock · memory  leaves
//! ```
//!
//! Arrows only point down; neighbours do not import each other (`tests/house.rs` holds this). The store never sees the
//! vault: the MACs that it needs come through [`store::Mac`]. A [`secret::Secret`] is lent, never given.
//!
//! # Three walkthroughs
//!
//! **An assistant deletes a credential.** [`mcp`] finds the [`ops::Entry`] and hands its raw arguments to
//! [`ops::call`]: limits of the server, no secret in an argument, parse without echo, an answer kept under the
//! idempotency key, permission, confirmation. [`ops::Confirm::Form`] makes the door ask the person, or stores an
//! approval where it cannot. Then `run` changes the row and records its event in one transaction:
//! [`store::Writer::record`] alone makes the [`store::Recorded`] that a transaction must return.
//!
//! **A person enters a value.** `cli::set` reads it without echo into [`secret::SecretBytes`];
//! [`ops::credential::value::enter_value`] seals it under a new data key inside the transaction that makes it the
//! current version and records the event.
//!
//! **Or on a page.** [`ops::entry`] makes a one-time link after `create_credential` has answered, so that no kept answer
//! holds it; [`mcp`] has the client open it. [`web`] signs the person in, shows what they are asked for and takes the
//! value; the transaction that seals it uses the link up, and closes it where it is no longer for what the page showed.
//!
//! **A program receives it.** `cli::run` asks [`ops::hand_over::hand_over`], which resolves every name, records the uses,
//! commits, and only then opens the envelopes; [`inject::launch`] starts the program and masks what it prints.
#[cfg(test)]
extern crate self as unsaid;

#[macro_use]
pub mod model;

pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod error;
pub mod front;
pub mod ids;
pub mod import;
pub mod inject;
pub mod mcp;
pub mod memory;
pub mod oauth;
pub mod ops;
pub mod rotation;
pub mod secret;
pub mod services;
pub mod store;
pub mod telemetry;
#[cfg(test)]
#[path = "../tests/support/world.rs"]
#[allow(dead_code)]
pub mod testing;
pub mod vault;
pub mod web;
pub mod wrap;

pub use error::{Code, Error, Kind, Result};
