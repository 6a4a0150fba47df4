//! The one test binary: one file a journey. It fails if a file beside it is not listed here.
#![allow(clippy::unwrap_used)]

mod support;

mod bit_rot;
mod crashing;
mod house;
mod store_faults;
