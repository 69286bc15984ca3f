//! From a camera to access units: two carriers behind one interface.

pub mod answers;
pub mod camera_clock;
pub mod carrier;
mod connect;
pub mod error;
mod failure;
mod in_a_row;
pub mod offer;
pub mod open;
pub mod opener;
pub mod reach;
mod received;
pub mod redact;
pub mod redirect;
mod resolve;
mod retina;
mod rtspsrc;
mod session;
mod synthetic;
#[cfg(test)]
mod tests;
mod tls;
mod tunnel;
mod unit;
pub mod whole;

pub use session::Source;
pub use synthetic::Synthetic;
pub use unit::SourceUnit;
