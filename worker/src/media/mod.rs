//! Encoded pictures with their time, and how they reach every output of a stream.

pub mod access_unit;
pub mod dts;
pub mod hub;
mod hvcc;
pub mod keyless;
pub mod media_time;
pub mod pace;
pub mod parameters;
pub mod queue;
pub mod rate;
