//! Frames from NATS to viewers: the newest, never a queue.
//!
//! ```text
//! NATS --Frames--> hub: one task per watched stream and width --LatestFrame--> slot --+--> viewer --> socket (WebSocket)
//!                                                                                +--> multipart
//!                                                                                +--> snapshot
//! viewers and players --Wishes--> directory --demand--> NATS
//! ```

pub mod crowd;
pub mod demand;
pub mod departure;
pub mod hub;
pub mod limits;
pub mod multipart;
pub mod pace;
pub mod proxies;
pub mod seats;
pub mod slot;
pub mod snapshots;
pub mod socket;
pub mod told;
pub mod viewer;
pub mod wishes;
pub mod ws_frame;
