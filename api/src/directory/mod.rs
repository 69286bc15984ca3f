//! What is registered: the links beside what viewers may know of each, and the task that tells relays of it.

pub mod items;
pub mod links;
pub mod publisher;
pub mod shown;

pub use self::links::{Directory, Entry, View};
