//! Frames from NATS to viewers: the newest, never a queue.
//!
//! ```text
//! NATS --Frames--> hub, one task per watched stream and width --Frame--> slot --+--> viewer --> socket (WebSocket)
//!                                                                               +--> multipart
//!                                                                               +--> snapshot
//! viewers and players --> demand_desk --> StreamDemand --> demand_publisher --> NATS
//! ```

pub mod demand_desk;
pub mod demand_publisher;
pub mod departure;
pub mod frame;
pub mod hub;
pub mod limits;
pub mod multipart;
pub mod pace;
pub mod proxies;
pub mod seats;
pub mod slot;
pub mod snapshots;
pub mod socket;
pub mod state_notices;
pub mod viewer;
pub mod viewer_threads;
pub mod ws_frame;
