//! Processes that serve viewers: the common start of the API and relays, and the relay itself.

pub mod control_thread;
pub mod directory_follower;
pub mod error;
pub mod listen;
pub mod relay;
