//! Everything that the API and relays both serve to viewers: frames over WebSocket and multipart, HLS, snapshots, events,
//! the page. There is no database here, no address of a camera and no credential: a relay is made of this crate alone.

pub mod closing;
pub mod hls;
pub mod http;
pub mod metrics;
pub mod process;
pub mod relay;
pub mod routes;
pub mod service;
pub mod streams;
pub mod viewing;
