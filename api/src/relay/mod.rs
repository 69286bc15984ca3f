//! Frames from NATS to viewers: the newest, never a queue.
//!
//! ```text
//! NATS --Frames--> hub: one task per watched stream --Latest--> watch slot --+--> viewer --> WebSocket
//!                                                                            +--> snapshot
//! viewers and players --Wishes--> directory --demand--> NATS
//! ```

pub mod demand;
pub mod hub;
pub mod latest;
pub mod limits;
pub mod proxies;
pub mod seats;
pub mod viewer;
pub mod wishes;
