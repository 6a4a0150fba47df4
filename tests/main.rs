//! The one test binary: one file a journey. It fails if a file beside it is not listed here.
#![allow(clippy::unwrap_used)]

mod support;

mod audit_log;
mod bit_rot;
mod broker_attacks;
mod broker_limits;
mod brokering;
mod canaries;
mod command_line;
mod consumers;
mod crashing;
mod handing_over;
mod house;
mod hygiene;
mod importing;
mod importing_files;
mod importing_rules;
#[cfg(target_os = "linux")]
mod io_faults;
mod leak_args;
mod permissions;
mod remote;
mod remote_consumers;
mod rules;
mod scanning;
mod store_faults;
mod tampering;
mod tool_surface;
