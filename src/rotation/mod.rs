//! The engine of rotations: what happens to the versions of a credential, and the drivers that speak to services.
//!
//! It decides nothing: what may happen is `model::rotation`'s, who may ask for it `ops`'.
pub mod driver;
pub mod drivers;
pub mod engine;

pub use driver::{Call, Created, Driver, Drivers, Ended, Fields, Made, Makes, Tested, has_secret, tells_of};
