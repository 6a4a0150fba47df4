//! The engine of rotations: what happens to the versions of a credential, and the drivers that speak to services.
//!
//! It decides nothing: what may happen is `model::rotation`'s, who may ask for it `ops`'.
pub mod driver;

pub use driver::{Call, Driver, Drivers, Ended, Made, Makes, Tested};
