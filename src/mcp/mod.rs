//! The MCP door: every operation as a tool, with prompts, resources and completions over the same operations.
//!
//! This is the only place that knows rmcp. It reaches the world through `ops` alone: it decides nothing about
//! permission, keeps no state but open questions, and puts nothing on the wire that an operation did not answer.
//! Both eras of the protocol (handshake, up to 2025-11-25; per request, from 2026-07-28) are served by one
//! [`Server`], whatever the transport.
mod asking;
mod catalogue;
mod completion;
mod door;
mod gate;
pub mod http;
mod lines;
mod opening;
mod prompts;
mod resources;
mod seats;
mod sending;
mod server;
pub mod stdio;
#[cfg(test)]
mod tests;
mod watching;
mod wire;

pub use opening::{Identify, Identity, Known, Local, Open};
pub use server::Server;
pub use stdio::serve_stdio;
