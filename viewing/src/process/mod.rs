//! Processes that serve viewers: what the API and relays begin with, and the relay itself.

pub mod advertised;
pub mod control_thread;
pub mod directory_follower;
pub mod error;
pub mod listen;
pub mod relay;
