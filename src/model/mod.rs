//! Pure rules: no input, no output, no clock.
pub mod name;
pub mod suspicion;
pub mod text;
