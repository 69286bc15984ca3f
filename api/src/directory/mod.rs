//! Registered links beside their streams for viewers, and the task that publishes the streams to relays.

pub mod items;
pub mod links;
pub mod publisher;
pub mod shown;

pub use self::links::{Directory, Entry, View};
